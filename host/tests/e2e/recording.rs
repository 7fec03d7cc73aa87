//! A session recorded as an MP4, judged by ffprobe: every picture at its time, and what a killed client leaves plays.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use punktfunk_perf::{CounterLine, parse_log};

use crate::support::{
    ClientStart, HostStart, MARGIN, PATIENCE, Place, Recording, assert_all_came, count, look,
    machine_kept_up, probe_recording, session_turn,
};

/// The times of a recording's pictures in microseconds, and how many of them a player may begin at.
fn times(path: &Path) -> (Vec<u64>, usize) {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts,flags", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let keys = text.lines().filter(|line| line.contains('K')).count();
    let time = |line: &str| line.split(',').next().and_then(|pts| pts.parse().ok()).expect("a pts");
    (text.lines().map(time).collect(), keys)
}

#[test]
fn an_mp4_has_every_picture_at_its_time() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let recording = place.path("card.mp4");
    let client = ClientStart::new(&place, host.port)
        .args(&["--mode", "640x360@60", "--seconds", "3"])
        .file("--record", &recording);
    let ended = client.run();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    let kept_up = assert_all_came(&summary) && machine_kept_up(&summary, "how even the times are");
    assert_eq!(summary["recording_dropped"], 0, "{summary:#}");
    let Some(recorded) = probe_recording(&recording, false) else { return };
    let pictures = count(&summary, "/pictures/decoded");
    assert_eq!(recorded, Recording { codec: "h264".into(), width: 640, height: 360, pictures });
    let (times, keys) = times(&recording);
    assert_eq!((times.len() as u64, times.first()), (pictures, Some(&0)));
    assert!(keys >= 1 && times.is_sorted_by(|a, b| a < b), "{keys} {times:?}");
    if kept_up {
        let mean_us = times.last().unwrap() / (pictures - 1).max(1);
        assert!((16_000..18_500).contains(&mean_us), "60 pictures a second, not one each {mean_us} us");
    }
}

/// What a killed client may lose, and what a busy machine may add before the thread that writes has its turn.
const LOST_MAX: Duration = Duration::from_millis(500 + 250);

/// How many pictures the client had decoded `before` the last word of its log.
fn decoded_before_the_end(log: &Path, before: Duration) -> u64 {
    let log = parse_log(File::open(log).unwrap()).unwrap();
    let decoded = |line: &CounterLine| line.values.iter().find(|(name, _)| name == "decoded").unwrap().1;
    let end = log.counters.last().expect("the log was begun").at;
    let until = log.counters.iter().take_while(|line| line.at + before <= end).last();
    until.map(decoded).expect("what was waited for takes longer than that")
}

#[test]
fn what_a_killed_client_has_recorded_plays_up_to_half_a_second_before() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let (recording, perf) = (place.path("cut.mp4"), place.path("perf"));
    let mut often = perf.clone().into_os_string();
    often.push(",0.02");
    let client = ClientStart::new(&place, host.port).args(&["--mode", "640x360@60"]);
    let mut client = client.env("PUNKTFUNK_PERF", often).file("--record", &recording).start();
    look("a recording", PATIENCE + MARGIN, || {
        std::fs::metadata(&recording).is_ok_and(|file| file.len() > 120_000).then_some(())
    });
    client.program.kill();
    drop(client);
    host.ends();
    let decoded = decoded_before_the_end(&perf.join("perf-client.hlog"), LOST_MAX);
    assert!(decoded > 20, "{decoded} pictures");
    let Some(recorded) = probe_recording(&recording, true) else { return };
    eprintln!("{} pictures of the {decoded} that must be there", recorded.pictures);
    assert!(recorded.pictures >= decoded, "{recorded:?} of {decoded}");
}
