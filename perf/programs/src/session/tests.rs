//! A page and a picture of whatever a folder holds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use proptest::prelude::*;
use punktfunk_perf::{LogHeader, PerfTarget, Recorder, Stage, TimeAxis};

use super::*;

/// A log of `seconds` intervals, with these counters at the end of each.
fn log(folder: &Path, role: &str, stages: &[Stage], counters: &[(&str, u64)], seconds: u64, ends: bool) {
    let target = PerfTarget::parse(&folder.to_string_lossy()).unwrap();
    let now = Instant::now();
    let axis = TimeAxis::with_offset(now, 0, SystemTime::now(), now);
    let comments = ["source: a card".to_owned(), "mode: 640x360@60".to_owned()];
    let mut log = target.open_log(role, &LogHeader { axis, comments: &comments }).unwrap();
    let mut recorder = Recorder::new();
    for second in 1..=seconds {
        for stage in stages {
            recorder.record(*stage, Duration::from_micros(100 * second));
        }
        let counters = counters.iter().map(|(name, value)| (*name, value * second / seconds));
        log.write_interval(&mut recorder, counters, Duration::from_secs(second)).unwrap();
    }
    if ends {
        log.finish(&mut recorder, counters.iter().copied(), Duration::from_secs(seconds)).unwrap();
    }
}

fn read(folder: &Path) -> Session {
    figures::session(&read::read(folder).unwrap())
}

fn says(session: &Session, words: &str) -> bool {
    session.verdict.iter().any(|word| word.words.contains(words))
}

#[test]
fn a_clean_session_has_nothing_to_say_but_that() {
    let folder = tempfile::tempdir().unwrap();
    log(
        folder.path(),
        "host",
        &[Stage::Encode, Stage::CaptureToSent],
        &[("aus_sent", 60), ("pictures_shed", 0)],
        3,
        true,
    );
    let client =
        [("aus_whole", 60), ("decoded", 60), ("aus_lost", 0), ("aus_late", 0), ("wire_bytes", 3_000_000)];
    log(folder.path(), "client", &[Stage::Decode, Stage::CaptureToDecoded], &client, 3, true);
    let session = read(folder.path());
    assert_eq!(session.verdict, []);
    assert_eq!(
        page::headline(&session),
        ("60 pictures sent, 60 decoded: 0 lost, 0 late, 0 dropped, 0 shed.".into(), true)
    );
    assert_eq!((session.mode.as_deref(), session.source.as_str()), (Some("640x360@60"), "a card"));
    assert_eq!(session.wire_mbps, Some(8.0));
    assert_eq!(session.shares_of, Some("capture_to_decoded"));
}

#[test]
fn lost_late_and_dropped_are_three_and_each_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let host = [
        ("aus_sent", 100),
        ("pictures_shed", 4),
        ("pictures_skipped", 1),
        ("packets_send_dropped", 7),
        ("fallbacks", 1),
    ];
    log(folder.path(), "host", &[Stage::Send], &host, 2, true);
    // Of three, nothing at all came: only both ends together know.
    let client = [
        ("aus_whole", 90),
        ("decoded", 90),
        ("aus_lost", 2),
        ("aus_late", 1),
        ("dropped_window", 6),
        ("kernel_drops", 5),
    ];
    log(folder.path(), "client", &[Stage::Decode], &client, 2, true);
    let session = read(folder.path());
    let pictures = &session.pictures;
    assert_eq!(
        (pictures.lost, pictures.late, pictures.dropped_in_all(), pictures.shed),
        (Some(3), Some(1), 6, Some(5))
    );
    for words in [
        "3 pictures lost",
        "1 picture late",
        "6 pictures dropped at the client, by newer ones",
        "5 pictures shed",
        "7 datagrams found the send buffer full",
        "kernel dropped 5 datagrams",
        "without what it wanted once",
    ] {
        assert!(says(&session, words), "{words}: {:?}", session.verdict);
    }
    assert!(!page::headline(&session).1);
    let lost: u64 = session.series.counts.iter().map(|point| point.lost).sum();
    assert_eq!(lost, 2, "over time there is only what was counted then");
}

#[test]
fn a_killed_end_and_a_missing_one_are_said_and_what_there_is_counts() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), "host", &[Stage::Encode, Stage::Fec], &[("aus_sent", 50)], 5, false);
    let path = folder.path().join("perf-host.hlog");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 20);
    fs::write(&path, [b"Tag=encode,0,1,2,x\n".as_slice(), &bytes].concat()).unwrap();
    let session = read(folder.path());
    for words in ["no perf-client.hlog", "line 1:", "last line has no end", "the host was killed"] {
        assert!(says(&session, words), "{words}: {:?}", session.verdict);
    }
    assert_eq!(session.stages.iter().find(|timed| timed.stage == "encode").map(|timed| timed.count), Some(5));
    assert!(page::page(&session).contains("A picture’s way") && poster::png(&session).is_ok());
}

#[test]
fn a_summary_alone_is_a_page_and_the_demos_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let stage = serde_json::json!({"count": 9, "p50": 100, "p99": 200, "p999": 300, "max": 400});
    let client = serde_json::json!({
        "source": "a card", "streamed_s": 15.0, "wire_kbps": 2_000,
        "pictures": {"sent": 9, "decoded": 8, "lost": 1, "late": 0, "dropped": {"decode_error": 2}},
        "stages": {"decode": stage, "capture_to_decoded": stage},
    });
    let demo = serde_json::json!({"client": client, "fallback_reason": "no sway", "machine": {"cpu": "one", "cores": 2}});
    fs::write(folder.path().join("summary.json"), demo.to_string()).unwrap();
    let session = read(folder.path());
    assert_eq!(
        (session.pictures.lost, session.pictures.dropped_in_all(), session.stages.len()),
        (Some(1), 2, 1)
    );
    assert!(says(&session, "no sway") && says(&session, "no perf-host.hlog"));
    assert!(page::page(&session).contains("capture to decoded") && poster::png(&session).is_ok());
}

#[test]
fn no_pipe_is_waited_for_and_no_part_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("perf-host.hlog");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::create_dir(folder.path().join("summary.json")).unwrap();
    let said = read::read(folder.path()).unwrap_err().to_string();
    assert!(said.contains("no regular file") && said.contains("summary.json"), "{said}");
    assert!(write_whole(&folder.path().join("none/page.html"), b"x").is_err());
    assert!(write_whole(&folder.path().join("summary.json"), b"x").is_err());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn the_policy_names_the_script() {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, page::SCRIPT.as_bytes());
    assert_eq!(page::SCRIPT_HASH, base64::engine::general_purpose::STANDARD.encode(digest));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_folder_of_anything_is_a_page_or_an_error(
        host in prop::collection::vec(any::<u8>(), 0..300), summary in "[ -~]{0,80}", values in prop::collection::vec(any::<u64>(), 5)
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("perf-host.hlog"), &host).unwrap();
        fs::write(folder.path().join("summary.json"), &summary).unwrap();
        let counters: Vec<(&str, u64)> = ["wire_bytes", "aus_lost", "aus_whole", "decoded", "dropped_window"]
            .into_iter().zip(values.iter().map(|value| value / 4)).collect();
        log(folder.path(), "client", &[Stage::Decode], &counters, 2, true);
        let html = page::page(&read(folder.path()));
        prop_assert!(html.ends_with("</html>\n") && !html.contains("NaN"), "{html}");
    }
}
