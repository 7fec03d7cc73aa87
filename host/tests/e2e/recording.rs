//! A session recorded as an MP4, judged by ffprobe: every picture at its time, and what a killed client leaves plays.

use std::path::Path;
use std::process::Command;

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

#[test]
fn what_a_killed_client_has_recorded_plays() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let recording = place.path("cut.mp4");
    let client = ClientStart::new(&place, host.port).args(&["--mode", "640x360@60"]);
    let mut client = client.file("--record", &recording).start();
    look("a recording", PATIENCE + MARGIN, || {
        std::fs::metadata(&recording).is_ok_and(|file| file.len() > 40_000).then_some(())
    });
    client.program.kill();
    drop(client);
    host.ends();
    if let Some(recorded) = probe_recording(&recording, true) {
        assert!(recorded.pictures > 20, "{recorded:?}");
    }
}
