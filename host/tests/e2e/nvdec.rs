//! The client's decoder of NVIDIA's, by its stand-in: what it decodes, and how it is done without.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use stand_in_common::{lay, library};

use crate::support::{ClientStart, Ended, HostStart, PATIENCE, Place, assert_all_came, count, session_turn};

/// A folder in which NVIDIA's libraries are their stand-ins.
pub(crate) fn libraries(place: &Place) -> PathBuf {
    let folder = place.path("nvidia");
    lay(&folder, "libcuda.so.1", &library("stand-in-cuda")).unwrap();
    lay(&folder, "libnvcuvid.so.1", &library("stand-in-nvdec")).unwrap();
    folder
}

/// Streams the card for four seconds to a client with these variables and arguments.
fn stream(place: &Place, env: &[(&'static str, &str)], args: &[&str]) -> Ended {
    let host = HostStart::new(place, "card").args(&["--once"]).ready();
    let client = ClientStart::new(place, host.port)
        .env("LD_LIBRARY_PATH", libraries(place))
        .env("PUNKTFUNK_STANDIN_STRICT", "1")
        .args(&["--mode", "640x360@60", "--seconds", "4"])
        .args(args);
    let client = env.iter().fold(client, |client, (name, value)| client.env(name, *value));
    let ended = client.run_for(Duration::from_secs(4));
    host.ends();
    place.assert_empty(PATIENCE);
    ended
}

/// Every decoded picture's number was read, and they rise.
fn check_numbers(summary: &Value) {
    let of = |pointer| count(summary, pointer);
    assert_eq!((of("/card/out_of_order"), of("/card/unreadable")), (0, 0), "{summary:#}");
    assert_eq!(of("/card/read"), of("/pictures/decoded"), "{summary:#}");
    assert!(of("/pictures/decoded") > 60, "{summary:#}");
}

#[test]
fn every_number_of_the_card_is_read_from_nvidias_pictures() {
    let (_turn, place) = (session_turn(), Place::new());
    let ended = stream(&place, &[], &[]);
    ended.expect_code(0);
    let summary = ended.json();
    assert_all_came(&summary);
    check_numbers(&summary);
    assert_eq!(summary["decoder"]["used"], "NVDEC on Stand-in GPU 0", "{summary:#}");
    assert_eq!(count(&summary, "/decoder/fallbacks"), 0, "{summary:#}");
    assert_eq!(count(&summary, "/decoder/copied_from_device"), count(&summary, "/card/read"), "{summary:#}");
    assert!(!ended.stderr.contains("breach"), "{}", ended.stderr);
}

#[test]
fn a_decoder_that_fails_in_mid_stream_gives_way_and_the_stream_goes_on() {
    let (_turn, place) = (session_turn(), Place::new());
    let ended = stream(&place, &[("PUNKTFUNK_STANDIN_FAIL", "cuvidDecodePicture:40=719")], &[]);
    ended.expect_code(0).expect_said(&["NVDEC failed", "cuvidDecodePicture", "openh264 goes on"]);
    let summary = ended.json();
    check_numbers(&summary);
    assert_eq!(summary["decoder"]["used"], "openh264", "{summary:#}");
    assert_eq!(count(&summary, "/decoder/fallbacks"), 1, "{summary:#}");
    assert_eq!(count(&summary, "/pictures/dropped/decode_error"), 1, "{summary:#}");
    assert!(count(&summary, "/pictures/idr_requests") >= 1, "{summary:#}");
    assert!(!ended.stderr.contains("breach"), "{}", ended.stderr);
}

#[test]
fn a_broken_driver_is_named_and_done_without() {
    let (_turn, place) = (session_turn(), Place::new());
    let ended = stream(&place, &[("PUNKTFUNK_STANDIN_FAIL", "cuInit=803")], &["--decoder", "nvdec"]);
    ended.expect_code(0).expect_said(&[
        "NVDEC was asked for",
        "SYSTEM_DRIVER_MISMATCH",
        "restart the machine",
    ]);
    let summary = ended.json();
    check_numbers(&summary);
    assert_eq!(summary["decoder"]["used"], "openh264", "{summary:#}");
    assert_eq!(count(&summary, "/decoder/fallbacks"), 1, "{summary:#}");
}
