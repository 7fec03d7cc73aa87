//! Files as sources: Y4M through the codec, H.264 passed through, and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use punktfunk_capture::Mode;
use punktfunk_capture::card::{CardStamp, Painter};

use crate::card::read_snapshot;
use crate::support::{
    ClientStart, Ended, HostStart, Place, Recording, assert_all_came, count, probe_recording, session_turn,
};

/// The pictures' numbers in the Y4M file: none that a card would have by itself so early.
const NUMBERS: std::ops::Range<u64> = 1_000_000..1_000_024;

fn source(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// A Y4M file of numbered cards.
fn write_y4m(place: &Place, mode: Mode) -> PathBuf {
    let mut painter = Painter::new(mode).unwrap();
    let (width, height) = (mode.width(), mode.height());
    let mut bytes = format!("YUV4MPEG2 W{width} H{height} F60:1 Ip C420jpeg\n").into_bytes();
    for number in NUMBERS {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(painter.paint(CardStamp { number, time_us: 0 }));
    }
    place.write("cards.y4m", &bytes)
}

#[test]
fn a_y4m_file_is_encoded_at_its_own_size() {
    let (_turn, place) = (session_turn(), Place::new());
    let file = write_y4m(&place, "640x360@60".parse().unwrap());
    let host = HostStart::new(&place, source(&file)).args(&["--once"]).ready();
    let (recording, snapshot) = (place.path("out.h264"), place.path("out.png"));
    let client = ClientStart::new(&place, host.port)
        .args(&["--mode", "1280x720@60", "--seconds", "2"])
        .file("--record", &recording)
        .file("--snapshot", &snapshot);
    let ended = client.run();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    assert_all_came(&summary);
    assert_eq!((count(&summary, "/mode/width"), count(&summary, "/mode/height")), (640, 360));
    assert!(summary["source"].as_str().unwrap().contains("cards.y4m"), "{summary:#}");
    let pictures = count(&summary, "/pictures/decoded");
    assert!(pictures > 24, "the file of 24 pictures is not played again: {pictures}");
    if let Some(recorded) = probe_recording(&recording, false) {
        assert_eq!(recorded, Recording { codec: "h264".into(), width: 640, height: 360, pictures });
    }
    let stamp = read_snapshot(&snapshot, (640, 360));
    assert!(NUMBERS.contains(&stamp.number), "{stamp:?}");
}

#[test]
fn an_h264_file_is_passed_through_byte_for_byte() {
    let (_turn, place) = (session_turn(), Place::new());
    let (file, again) = (place.path("first.h264"), place.path("again.h264"));
    let connect = |port, record: &Path, seconds| {
        let client = ClientStart::new(&place, port).file("--record", record);
        client
            .args(&["--mode", "640x360@60", "--seconds", seconds])
            .file("--snapshot", &place.path("out.png"))
            .run()
    };
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let first = connect(host.port, &file, "3");
    first.expect_code(0);
    host.ends();

    let host = HostStart::new(&place, source(&file)).args(&["--once"]).ready();
    let second = connect(host.port, &again, "2");
    second.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = second.json();
    let kept_up = assert_all_came(&summary);
    let text = summary["source"].as_str().unwrap();
    assert!(text.starts_with("H.264 file") && text.contains("first.h264"), "{text}");
    let (original, passed) = (fs::read(&file).unwrap(), fs::read(&again).unwrap());
    assert!(!passed.is_empty());
    if kept_up {
        let common = original.len().min(passed.len());
        assert!(original[..common] == passed[..common], "the stream was changed on its way");
    }
    let numbers = count(&first.json(), "/card/first")..=count(&first.json(), "/card/newest");
    let stamp = read_snapshot(&place.path("out.png"), (640, 360));
    assert!(numbers.contains(&stamp.number), "{stamp:?} is not of {numbers:?}");
}

#[test]
fn a_file_that_is_none_is_named_before_the_port_is_open() {
    let place = Place::new();
    let whole = fs::read(write_y4m(&place, "320x180@60".parse().unwrap())).unwrap();
    let cases: [(&str, Option<&[u8]>, &str); 8] = [
        ("missing.y4m", None, "No such file"),
        ("missing.h264", None, "No such file"),
        ("empty.y4m", Some(b""), "YUV4MPEG2"),
        ("junk.y4m", Some(b"\x89PNG\r\n\x1a\n and more"), "YUV4MPEG2"),
        ("cut.y4m", Some(&whole[..whole.len() - 1]), "picture 23"),
        ("empty.h264", Some(b""), "H.264"),
        ("junk.h264", Some(b"\x89PNG\r\n\x1a\n and more"), "H.264"),
        ("headless.h264", Some(b"\x00\x00\x00\x01\x41\x9a\x00\x10\x20\x30"), "IDR"),
    ];
    for (name, bytes, said) in cases {
        let path = place.path(name);
        if let Some(bytes) = bytes {
            place.write(name, bytes);
        }
        let ended = HostStart::new(&place, source(&path)).refused();
        ended.expect_error(6).expect_said(&[name, said]);
    }
}

#[test]
fn a_file_that_has_gone_bad_is_told_to_each_client_and_the_host_goes_on() {
    let place = Place::new();
    let file = write_y4m(&place, "320x180@60".parse().unwrap());
    let whole = fs::read(&file).unwrap();
    let host = HostStart::new(&place, source(&file)).ready();
    let refused = |said: &str| -> Ended {
        let ended = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
        ended.expect_code(10).expect_said(&["cards.y4m", said]);
        ended
    };
    fs::write(&file, &whole[..100]).unwrap();
    refused("cut short");
    fs::remove_file(&file).unwrap();
    refused("No such file");
    assert_eq!(host.events("refused").len(), 2);
    // Whole again, it is played.
    fs::write(&file, &whole).unwrap();
    let _turn = session_turn();
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
    client.expect_code(0);
    host.stop();
}
