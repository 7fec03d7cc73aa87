//! Pictures that the card's encoder fails at when some of them is on the wire already.

use std::time::Duration;

use serde_json::Value;

use crate::gpu::with_card;
use crate::support::{ClientStart, Place, assert_adds_up, count, session_turn};

/// Looks at a picture's buffer that fail. With four slices of 4 ms each, most looks are between two of them.
const LOOKS: [u32; 5] = [701, 1409, 2113, 3001, 4007];

/// Each failure that the encoder's memory can have in the midst of a picture.
const CALLS: [&str; 2] = ["nvEncLockBitstream", "nvEncUnlockBitstream"];

/// How often something took another's place for this reason.
fn falls(summary: &Value, reason: &str) -> u64 {
    let falls = summary["falls"].as_array().unwrap().iter().filter(|fall| fall["reason"] == reason);
    falls.map(|fall| fall["count"].as_u64().unwrap()).sum()
}

#[test]
fn a_picture_that_fails_on_its_way_is_lost_whole_and_the_next_one_heals() {
    let _turn = session_turn();
    for (call, stages) in CALLS.into_iter().flat_map(|call| ["apart", "together"].map(|it| (call, it))) {
        let place = Place::new();
        let failures: Vec<String> =
            LOOKS.iter().map(|nth| format!("{call}:{nth}=NV_ENC_ERR_INVALID_PARAM")).collect();
        let host = with_card(&place, "card")
            .env("PUNKTFUNK_STANDIN_SLICE_US", "4000")
            .env("PUNKTFUNK_STANDIN_FAIL", failures.join(","))
            .env("PUNKTFUNK_STAGES", stages)
            .args(&["--once", "--encoder", "nvenc"])
            .ready();
        let args = ["--mode", "320x192@30", "--bitrate", "40000", "--seconds", "4"];
        let ended = ClientStart::new(&place, host.port).args(&args).run_for(Duration::from_secs(4));
        ended.expect_code(0).expect_said(&[]);
        host.ends();
        let summary = ended.json();
        let what = format!("{call}, {stages}: {summary:#}");
        let of = |pointer| count(&summary, pointer);
        let given_up = falls(&summary, "picture-given-up");
        eprintln!("{call}, {stages}: {given_up} given up, {} lost", of("/pictures/lost"));
        assert!(given_up > 0, "{what}");
        // What came of them was shown by nobody, and what was shown is right. One may have come whole: its memory failed after
        // its last slice.
        assert!(of("/pictures/lost") + 1 >= given_up, "{what}");
        assert_adds_up(&summary);
        assert_eq!((of("/card/out_of_order"), of("/card/unreadable")), (0, 0), "{what}");
        // An IDR of the encoder's follows each, but for one that was the last picture; without another session or encoder.
        assert!(of("/recovery/idrs") >= given_up, "{what}");
        assert_eq!(falls(&summary, "session-made-anew") + falls(&summary, "encoder-lost"), 0, "{what}");
        // Nobody stood still: of 120 pictures most, however busy the machine is; a wait for slices takes 60 away.
        assert!(of("/pictures/decoded") > 60, "{what}");
    }
}
