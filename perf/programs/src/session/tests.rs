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
    let counters: Vec<_> = counters.iter().filter(|(name, _)| !name.is_empty()).copied().collect();
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
    let client = [
        ("aus_whole", 60),
        ("decoded", 60),
        ("aus_lost", 0),
        ("aus_late", 0),
        ("dropped_window", 0),
        ("wire_bytes", 3_000_000),
    ];
    log(folder.path(), "client", &[Stage::Decode, Stage::CaptureToDecoded], &client, 3, true);
    let session = read(folder.path());
    assert_eq!(session.verdict, []);
    assert_eq!(
        page::headline(&session),
        ("60 pictures sent, 60 decoded: 0 lost, 0 late, 0 dropped, 0 shed.".into(), true)
    );
    assert_eq!((session.mode.as_deref(), session.source.as_str()), (Some("640x360@60"), "a card"));
    assert_eq!((session.wire_mbps, session.pictures_per_s), (Some(8.0), Some(20.0)));
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
        (pictures.lost, pictures.late, pictures.dropped_in_all, pictures.shed),
        (Some(3), Some(1), Some(6), Some(5))
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
    let lost: u64 = session.series.client.points.iter().filter_map(|point| point.lost).sum();
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
        (session.pictures.lost, session.pictures.dropped_in_all, session.stages.len()),
        (Some(1), Some(2), 1)
    );
    assert!(says(&session, "no sway") && says(&session, "no perf-host.hlog"));
    assert!(page::page(&session).contains("capture to decoded") && poster::png(&session).is_ok());
}

#[test]
fn what_nobody_counted_is_never_nought() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), "host", &[Stage::Send], &[("aus_sent", 60), ("wire_bytes", 9_000)], 3, true);
    let session = read(folder.path());
    assert_eq!(page::headline(&session).0, "60 pictures sent: ? lost, ? late, ? dropped, ? shed.");
    let charts: Vec<_> = plots::over_time(&session).iter().map(|chart| chart.id).collect();
    assert_eq!(charts, ["time-rate"], "no chart of losses that nobody counted, nor of what nobody shed");
    assert!(plots::over_time(&session)[0].note.contains("As the host counted it"));
    let page = page::page(&session);
    assert!(!page.contains("none in the whole session") && page.contains("<td>–</td>"));
}

#[test]
fn each_end_is_divided_by_its_own_seconds() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), "host", &[Stage::Send], &[("aus_sent", 300), ("wire_bytes", 5_000_000)], 5, true);
    log(folder.path(), "client", &[Stage::Decode], &[("decoded", 120), ("wire_bytes", 2_000_000)], 2, false);
    let cut = read(folder.path());
    assert_eq!((cut.pictures_per_s, cut.wire_mbps, cut.seconds), (Some(60.0), Some(8.0), 5.0));
    // A summary knows more than a log that ends early, and processor time is of the seconds that it counted.
    let summary = serde_json::json!({
        "streamed_s": 4.0, "wire_kbps": 7_000, "pictures": {"decoded": 200}, "cpu_s": {"host": 2.0, "client": 1.0},
    });
    fs::write(folder.path().join("summary.json"), summary.to_string()).unwrap();
    let told = read(folder.path());
    assert_eq!((told.pictures_per_s, told.wire_mbps), (Some(50.0), Some(7.0)));
    let cpu = page::key_figures(&told).into_iter().find(|(name, ..)| name.starts_with("CPU")).unwrap();
    assert_eq!(cpu.1, "50 + 25");
}

/// Each counter or word of a folder that must be a sentence, its weight, and the sentence.
const SAID: [(&str, &str, verdict::Weight, &str); 42] = {
    use super::verdict::Weight::{Loss, Note};
    [
        ("host", "packets_send_dropped", Loss, "7 datagrams found the send buffer full"),
        ("host", "blocks_dropped_key", Loss, "7 FEC blocks could not be sealed"),
        ("host", "datagrams_resent", Note, "7 datagrams sent again"),
        ("host", "resend_late", Note, "7 datagrams asked for again too late"),
        ("host", "resend_gone", Note, "7 datagrams asked for again, but not held"),
        ("host", "resend_refused", Note, "7 datagrams asked for again beyond"),
        ("host", "link_lost", Note, "Losses lowered the link's rate 7 times"),
        ("host", "link_late", Note, "rate was held back 7 times"),
        ("host", "burst_lost", Note, "may leave at once smaller 7 times"),
        ("host", "path_shrunk", Note, "stopped carrying long datagrams 7 times"),
        ("host", "path_changed", Note, "Media was sent another way 7 times"),
        ("host", "fallbacks", Note, "The host did without what it wanted 7 times"),
        ("host", "aus_dropped_protect", Loss, "7 pictures dropped at the host, before the wire"),
        ("host", "pictures_skipped", Loss, "7 pictures shed before encode"),
        ("client", "aus_lost", Loss, "7 pictures lost"),
        ("client", "aus_late", Loss, "7 pictures late"),
        ("client", "dropped_memory", Loss, "7 pictures dropped at the client, for want of memory"),
        ("client", "dropped_awaiting_idr", Loss, "7 pictures dropped while an IDR was awaited"),
        ("client", "kernel_drops", Loss, "kernel dropped 7 datagrams"),
        ("client", "bad_tag", Note, "7 had a wrong tag"),
        ("client", "malformed", Note, "7 were none of ours"),
        ("client", "replayed", Note, "7 came twice"),
        ("client", "unknown_epoch", Note, "7 were of a key that is not held"),
        ("client", "over_limit", Note, "7 went beyond an agreed bound"),
        ("client", "late", Note, "7 came for an access unit that had been given up"),
        ("client", "recovered_shards", Note, "7 shards recovered"),
        ("client", "idr_requests", Note, "asked 7 times to begin decoding anew"),
        ("client", "recovery_points", Note, "healed a loss 7 times, without an IDR"),
        ("client", "without_clock", Note, "7 pictures came before the clocks were joined"),
        ("client", "fallbacks", Note, "The client did without what it wanted 7 times"),
        ("summary", r#"{"recorded": false}"#, Loss, "the recording is not whole"),
        (
            "summary",
            r#"{"recorded": true, "recording_dropped": 7}"#,
            Loss,
            "The recording lacks 7 access units",
        ),
        ("summary", r#"{"recorded": true, "recording_refused": 1}"#, Loss, "lacks 1 access unit: no IDR"),
        ("summary", r#"{"snapshot": false}"#, Loss, "A picture was to be kept"),
        ("summary", r#"{"verified": {"wrong": 1}}"#, Loss, "1 slice came with other bytes"),
        ("summary", r#"{"skew_corrected": false}"#, Loss, "The clocks were not joined"),
        ("summary", r#"{"datagrams": {"over_limit": 7}}"#, Note, "7 went beyond an agreed bound"),
        ("summary", r#"{"path": {"refused": 2}}"#, Note, "tried and not proven twice"),
        (
            "summary",
            r#"{"falls": [{"from": "pipewire", "to": "wayland", "reason": "it ended", "count": 2}]}"#,
            Note,
            "The source went from pipewire to wayland twice: it ended",
        ),
        (
            "summary",
            r#"{"sources": {"told": [{"at_s": 3.21, "why": "it was killed", "source": null}]}}"#,
            Loss,
            "At 3.21 s the host's pictures ended: it was killed",
        ),
        (
            "summary",
            r#"{"sources": {"told": [{"at_s": 4, "why": "sway left", "source": "test card"}]}}"#,
            Note,
            "From 4 s on the pictures came from test card, because sway left",
        ),
        ("summary", r#"{"sources": {"told": [], "untold": 7}}"#, Loss, "The source changed 7 times more"),
    ]
};

#[test]
fn each_loss_and_each_fallback_that_was_counted_is_a_sentence() {
    for (place, what, weight, sentence) in SAID {
        let folder = tempfile::tempdir().unwrap();
        for end in ["host", "client"] {
            log(folder.path(), end, &[Stage::Send], &[(if place == end { what } else { "" }, 7)], 1, true);
        }
        if place == "summary" {
            fs::write(folder.path().join("summary.json"), what).unwrap();
        }
        let verdict = read(folder.path()).verdict;
        let said: Vec<_> = verdict.iter().filter(|word| word.words.contains(sentence)).collect();
        assert!(said.len() == 1 && said[0].weight == weight, "{sentence}: {verdict:?}");
        assert_eq!(verdict.len(), 1, "{what} is said once: {verdict:?}");
    }
}

#[test]
fn samples_that_are_missing_are_said() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), "host", &[Stage::Send], &[], 1, true);
    let path = folder.path().join("perf-host.hlog");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("overflowed=0 clamped=0", "overflowed=12 clamped=1")).unwrap();
    let session = read(folder.path());
    assert!(says(&session, "12 samples found no room and are missing"), "{:?}", session.verdict);
    assert!(says(&session, "1 sample longer than a histogram holds") && !page::headline(&session).1);
}

#[test]
fn all_stages_of_an_end_are_in_its_chart_each_with_a_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let of = |end| figures::WAY.iter().filter(move |(of, _)| *of == end).map(|(_, stage)| *stage);
    let stages: Vec<Stage> = of("host").collect();
    log(folder.path(), "host", &stages, &[], 1, true);
    let session = read(folder.path());
    let chart =
        plots::percentiles(&session).into_iter().find(|chart| chart.id == "percentiles-host").unwrap();
    let names: Vec<_> = chart.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["capture", "import", "encode", "FEC", "seal", "pace", "send"]);
    for (at, one) in chart.lines.iter().enumerate() {
        assert!(chart.lines[at + 1..].iter().all(|other| other.stroke != one.stroke), "{}", one.name);
    }
    assert!(chart.hits[0].words.contains("send 0.1"), "{}", chart.hits[0].words);
}

#[test]
fn a_log_of_faults_is_read_at_once_and_crowds_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), "client", &[Stage::Decode], &[], 1, true);
    let text = fs::read_to_string(folder.path().join("perf-client.hlog")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Tag=decode")).unwrap();
    let strange: String = (0..40_000).map(|at| line.replace("decode", &format!("s{at}")) + "\n").collect();
    let wrong = "Tag=encode,x\n".repeat(9);
    fs::write(folder.path().join("perf-host.hlog"), format!("{wrong}{strange}Tag=enc")).unwrap();
    let begun = Instant::now();
    let session = read(folder.path());
    // Quadratic it took longer; the bound is generous for a build without optimisation on a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for words in [
        "line 1:",
        "9 lines could not be read, and were left out",
        "40,000 intervals of no stage: \"s0\", \"s1\", \"s2\" and others",
        "last line has no end",
        "the host was killed",
    ] {
        assert!(says(&session, words), "{words}: {:?}", session.verdict);
    }
    assert!(session.verdict.len() < 12, "{:?}", session.verdict);
}

#[test]
fn the_picture_has_the_sentences_and_the_machine_too() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), "host", &[Stage::Encode, Stage::CaptureToSent], &[("fallbacks", 1)], 2, true);
    let client = serde_json::json!({"ended": "the client left", "recorded": false});
    let demo = serde_json::json!({"client": client, "fallback_reason": "no sway", "machine": {"cpu": "a fine one", "cores": 2}});
    fs::write(folder.path().join("summary.json"), demo.to_string()).unwrap();
    let svg = poster::svg(&read(folder.path()));
    for words in [
        "so the test card was streamed: no sway",
        "The host did without what it wanted once.",
        "the recording is not whole",
        "ended: the client left",
        ">Host</text>",
        ">640x360@60</text>",
        ">a fine one</text>",
        "The same in figures",
    ] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
}

#[test]
fn points_of_a_long_session_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let counters = [("wire_bytes", 700_000), ("pictures_shed", 700), ("aus_lost", 0)];
    for end in ["host", "client"] {
        log(folder.path(), end, &[Stage::CaptureToDecoded], &counters, 700, true);
    }
    let session = read(folder.path());
    let note = |id: &str| {
        let chart = plots::over_time(&session).into_iter().find(|chart| chart.id == id).unwrap();
        chart.note
    };
    assert!(note("time-latency").contains("the worst of 3 intervals"), "{}", note("time-latency"));
    assert!(note("time-rate").contains("the least of 3 intervals"), "{}", note("time-rate"));
    assert!(note("time-losses").contains("the sum of 3 intervals"), "{}", note("time-losses"));
    assert!(note("time-shed").contains("shed before encode 700. Each point is the sum of 3 intervals"));
}

#[test]
fn a_still_desktop_has_gaps_and_the_card_stutters() {
    for (source, word) in [("test card 640x360@60", "3 stutters of"), ("sway 1.12, 640x360@60", "3 gaps of")]
    {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), "client", &[Stage::DecodeInterval], &[], 3, true);
        let summary =
            serde_json::json!({"source": source, "mode": {"width": 9, "height": 9, "refresh_hz": 1_000}});
        fs::write(folder.path().join("summary.json"), summary.to_string()).unwrap();
        let mut session = read(folder.path());
        session.cadence[0].gaps = 3;
        let chart = &plots::cadence(&session)[0];
        assert!(chart.note.contains(word), "{}", chart.note);
    }
}

#[test]
fn long_words_of_a_file_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let long = "w".repeat(500_000);
    let summary = serde_json::json!({
        "source": long, "encoder": long, "ended": long, "falls": [{"from": long, "to": long, "reason": long}],
        "sources": {"told": vec![serde_json::json!({"why": long, "source": long}); 2]},
    });
    let demo = serde_json::json!({"client": summary, "mode": long, "machine": {"cpu": long, &long: 1}, "fallback_reason": long});
    fs::write(folder.path().join("summary.json"), demo.to_string()).unwrap();
    let facts = format!("#{long}: 1\n#mode: {long}\n").replace("wwwwwwwwww", "w").repeat(90);
    fs::write(folder.path().join("perf-host.hlog"), facts).unwrap();
    let session = read(folder.path());
    let page = page::page(&session);
    assert!(page.len() < 200_000, "{} bytes", page.len());
    assert!(!page.contains(&"w".repeat(401)));
}

#[test]
fn a_terminal_is_given_no_orders() {
    let session = read(
        {
            let folder = tempfile::tempdir().unwrap();
            let summary = serde_json::json!({"fallback_reason": "\u{1b}[31m\u{202e}red\n"});
            fs::write(folder.path().join("summary.json"), summary.to_string()).unwrap();
            folder
        }
        .path(),
    );
    let text = Written { session, files: Vec::new() }.text();
    assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("red"), "{text}");
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

/// What a line of a log can be: whole, of strange numbers and names, or cut off and changed.
fn line() -> impl Strategy<Value = String> {
    let real: Vec<String> = {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), "host", &[Stage::Encode, Stage::CaptureInterval], &[("aus_sent", 9)], 2, true);
        let text = fs::read_to_string(folder.path().join("perf-host.hlog")).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let histogram =
        real.iter().find(|line| line.starts_with("Tag")).unwrap().rsplit(',').next().unwrap().to_owned();
    let stage = prop::sample::select(
        Stage::ALL.map(Stage::name).into_iter().chain(["", "encode ", "<b>"]).collect::<Vec<_>>(),
    );
    let number = prop_oneof![
        "[0-9]{1,20}",
        "[0-9]{1,3}\\.[0-9]{1,9}",
        Just("1e308".into()),
        Just("nan".into()),
        "-?[0-9]"
    ];
    let counter = prop::sample::select(vec![
        "wire_bytes",
        "aus_lost",
        "aus_late",
        "aus_whole",
        "aus_sent",
        "decoded",
        "dropped_window",
        "pictures_shed",
        "pictures_captured",
        "datagrams",
        "fallbacks",
        "kernel_drops",
        "lost_aus",
        "other",
    ]);
    let value = prop_oneof![any::<u64>(), 0_u64..9, Just(u64::MAX)];
    let counters =
        (number.clone(), prop::collection::vec((counter, value), 0..9)).prop_map(|(at, values)| {
            let values: String = values.into_iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("#[Counters {at}:{values}]")
        });
    let tagged = (stage, number.clone(), number, 0_u64..9).prop_map(move |(stage, start, length, max)| {
        format!("Tag={stage},{start},{length},{max},{histogram}")
    });
    let fact = prop_oneof![
        "#(mode|source|net|stage|[a-z]{1,9}): .{0,40}",
        "#\\[(Recorder|StartTime|BaseTime): .{0,40}\\]"
    ];
    let damaged = (prop::sample::select(real), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(line, at, byte)| {
            let mut bytes = line.into_bytes();
            let at = at.index(bytes.len());
            if byte < 64 {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
            String::from_utf8_lossy(&bytes).into_owned()
        },
    );
    prop_oneof![3 => tagged, 3 => counters, 1 => fact, 2 => damaged]
}

/// A real client's summary in the demo's.
fn summary() -> serde_json::Value {
    let stage = serde_json::json!({"count": 9, "p50": 100, "p99": 200, "p999": 300, "max": 400});
    serde_json::json!({
        "client": {
            "source": "a card", "encoder": "openh264", "ended": "it left", "streamed_s": 15.0, "wire_kbps": 2_000,
            "mode": {"width": 1280, "height": 720, "refresh_hz": 60.0}, "cpu_s": {"client": 2.6, "host": 5.5},
            "falls": [{"from": "a", "to": "b", "reason": "c", "count": 1}],
            "sources": {"told": [{"at_s": 1.0, "why": "x", "source": null}], "untold": 0},
            "pictures": {"sent": 9, "decoded": 8, "lost": 1, "late": 0, "dropped": {"decode_error": 2}},
            "datagrams": {"sent": 99, "received": 98, "resend_missed": {"late": 1}},
            "link": {"lost": 0}, "path": {"shrunk": 1}, "recorded": true, "recording_dropped": 0,
            "stages": {"decode": stage, "capture_to_decoded": stage, "encode": stage}, "skew_corrected": true,
        },
        "fallback_reason": null, "machine": {"cpu": "one", "cores": 2}, "mode": "1280x720@60", "source": "wayland",
    })
}

/// The places of all values within.
fn places(value: &serde_json::Value, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, value)| self::places(value, &format!("{at}/{key}"), places));
        }
        serde_json::Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(key, value)| self::places(value, &format!("{at}/{key}"), places));
        }
        _ => {}
    }
}

fn changed_summary() -> impl Strategy<Value = String> {
    let mut all = Vec::new();
    places(&summary(), "", &mut all);
    let strange = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,40}".prop_map(serde_json::Value::from),
        Just(serde_json::json!([])),
        Just(serde_json::json!([{}, 1, null])),
        Just(serde_json::json!({"p50": 1})),
    ];
    prop::collection::vec((prop::sample::select(all), strange), 0..6).prop_map(|changes| {
        let mut summary = summary();
        for (place, value) in changes {
            if let Some(at) = summary.pointer_mut(&place) {
                *at = value;
            }
        }
        summary.to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_folder_of_anything_is_a_page_and_a_picture_or_an_error(
        host in prop::collection::vec(line(), 0..40), client in prop::collection::vec(line(), 0..40),
        summary in changed_summary(), bytes in prop::collection::vec(any::<u8>(), 0..40)
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("perf-host.hlog"), host.join("\n") + "\n").unwrap();
        fs::write(folder.path().join("perf-client.hlog"), [client.join("\n").as_bytes(), &bytes].concat()).unwrap();
        fs::write(folder.path().join("summary.json"), &summary).unwrap();
        let session = read(folder.path());
        let html = page::page(&session);
        prop_assert!(html.ends_with("</html>\n"));
        let svg = poster::svg(&session);
        prop_assert!(resvg::usvg::roxmltree::Document::parse(&svg).is_ok(), "{svg}");
        prop_assert!(!html.contains("NaN") && !svg.contains("NaN"), "{html}");
        prop_assert!(serde_json::to_string(&session).is_ok());
    }
}
