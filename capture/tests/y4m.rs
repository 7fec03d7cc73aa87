//! Y4M files, whole and broken.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests say what they saw

use std::io::Cursor;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use punktfunk_capture::file::{Y4m, Y4mFlaw};
use punktfunk_capture::{CaptureError, ModeError, PixelFormat, Source};

const HEADER: &str = "YUV4MPEG2 W32 H16 F240:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\n";
const PICTURE_BYTES: usize = 32 * 16 * 3 / 2;

fn file(header: &str, pictures: u8) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    for number in 0..pictures {
        bytes.extend_from_slice(if number % 2 == 0 { b"FRAME\n" } else { b"FRAME Ip\n" });
        bytes.extend(std::iter::repeat_n(number, PICTURE_BYTES));
    }
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Y4m<Cursor<Vec<u8>>>, CaptureError> {
    Y4m::new("test.y4m", Cursor::new(bytes), None, Instant::now())
}

fn flaw(bytes: Vec<u8>) -> Y4mFlaw {
    match open(bytes).map(|_| ()).unwrap_err() {
        CaptureError::Y4m { name, flaw } => {
            assert_eq!(name, "test.y4m");
            flaw
        }
        other => panic!("{other}"),
    }
}

#[test]
fn plays_in_order_and_loops() {
    let mut source = open(file(HEADER, 3)).unwrap();
    assert_eq!((source.mode().to_string().as_str(), source.pictures()), ("32x16@240", 3));
    for _ in 0..20 {
        let picture = source.next_picture(Duration::from_secs(1)).unwrap().unwrap();
        let (format, stride, bytes) = picture.memory().unwrap();
        assert_eq!((format, picture.width, picture.height, stride), (PixelFormat::I420, 32, 16, 32));
        assert_eq!(bytes.len(), PICTURE_BYTES);
        let expected = (picture.number % 3) as u8;
        assert!(bytes.iter().all(|byte| *byte == expected), "picture {}", picture.number);
    }
    source.wait_picture(Duration::from_secs(1)).unwrap();
    source.skip();
    let counters = source.counters();
    assert_eq!((counters.skipped, counters.captured), (1, 21 + counters.superseded));
}

#[test]
fn the_rate_can_be_overruled_and_must_be_known() {
    let unknown = HEADER.replace("F240:1", "F0:0");
    assert_eq!(flaw(file(&unknown, 1)), Y4mFlaw::Missing { tag: 'F' });
    let bytes = Cursor::new(file(&unknown, 1));
    let source = Y4m::new("test.y4m", bytes, Some(59_940), Instant::now()).unwrap();
    assert_eq!(source.mode().refresh_mhz(), 59_940);
    let ntsc = open(file(&HEADER.replace("F240:1", "F60000:1001"), 1)).unwrap();
    assert_eq!(ntsc.mode().refresh_mhz(), 59_940);
    let fast = open(file(&HEADER.replace("F240:1", "F9999:1"), 1)).map(|_| ());
    assert!(matches!(fast, Err(CaptureError::Mode(ModeError::Refresh { .. }))));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    assert_eq!(flaw(Vec::new()), Y4mFlaw::Signature);
    assert_eq!(flaw(b"RIFF....AVI ".to_vec()), Y4mFlaw::Signature);
    assert_eq!(flaw(b"YUV4MPEG W32 H16\n".to_vec()), Y4mFlaw::Signature);
    assert_eq!(flaw([b"YUV4MPEG2 ".as_slice(), &[b'X'; 5000]].concat()), Y4mFlaw::HeaderWithoutEnd);
    assert_eq!(flaw(file(HEADER, 0)), Y4mFlaw::NoPictures);
    assert_eq!(flaw(HEADER.trim_end().as_bytes().to_vec()), Y4mFlaw::NoPictures);
    for (from, to, tag) in [
        ("W32", "W33", 'W'),
        ("W32", "W0", 'W'),
        ("W32", "W-2", 'W'),
        ("W32", "W", 'W'),
        ("W32", "W99999999999999999999", 'W'),
        ("H16", "H8", 'H'),
        ("H16", "H16386", 'H'),
        ("F240:1", "F240", 'F'),
        ("F240:1", "F1:0", 'F'),
        ("F240:1", "Fa:b", 'F'),
        ("Ip", "It", 'I'),
        ("Ip", "Im", 'I'),
        ("C420jpeg", "C444", 'C'),
        ("C420jpeg", "C420p10", 'C'),
        ("C420jpeg", "Cmono", 'C'),
    ] {
        match flaw(file(&HEADER.replace(from, to), 1)) {
            Y4mFlaw::Parameter { tag: named, value, expected } => {
                assert_eq!((named, value.is_empty()), (tag, to.len() == 1), "{to}");
                assert!(!expected.is_empty());
            }
            other => panic!("{to}: {other}"),
        }
    }
    assert_eq!(flaw(file(&HEADER.replace("W32 ", ""), 1)), Y4mFlaw::Missing { tag: 'W' });
    let mut broken = file(HEADER, 3);
    let second = HEADER.len() + 6 + PICTURE_BYTES;
    broken[second] = b'G';
    let came = "GRAME Ip".to_owned();
    assert_eq!(flaw(broken), Y4mFlaw::FrameLine { picture: 1, offset: second as u64, came });
    let mut cut = file(HEADER, 2);
    cut.truncate(cut.len() - 100);
    let offset = (second + 9) as u64;
    assert_eq!(flaw(cut), Y4mFlaw::CutShort { picture: 1, offset, missing_bytes: 100 });
    let error = open(file(&HEADER.replace("C420jpeg", "C444"), 1)).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "test.y4m: line 1: parameter C\"444\" is wrong: only 8-bit 4:2:0 (C420, C420jpeg, C420mpeg2, C420paldv) can be streamed"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Y4m::open("/nowhere/at/all.y4m".as_ref(), None, Instant::now()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, CaptureError::Read { name, .. } if name == "/nowhere/at/all.y4m"), "{error}");
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), "/dev/zero".as_ref(), dir.path()] {
        let error = Y4m::open(path, None, Instant::now()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
    }
}

#[test]
fn a_file_that_shrinks_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("card.y4m");
    std::fs::write(&path, file(HEADER, 250)).unwrap();
    let mut source = Y4m::open(&path, None, Instant::now()).unwrap();
    assert!(source.next_picture(Duration::from_secs(1)).unwrap().is_some());
    std::fs::File::options().write(true).open(&path).unwrap().set_len(HEADER.len() as u64).unwrap();
    let gone = (0..250).find_map(|_| source.next_picture(Duration::from_secs(1)).map(|_| ()).err()).unwrap();
    assert!(matches!(gone, CaptureError::Y4m { flaw: Y4mFlaw::Shrunk { .. }, .. }), "{gone}");
}

proptest! {
    #[test]
    fn mutated_files_are_errors_or_play_on(
        changes in prop::collection::vec((0usize..1700, any::<u8>()), 1..8), keep in 0usize..1700, insert: Vec<u8>
    ) {
        let mut bytes = file(HEADER, 2);
        for (at, value) in changes {
            // Half of the changes hit what has a meaning.
            let place = if value % 2 == 0 { at % HEADER.len() } else { at % bytes.len() };
            bytes[place] = value;
        }
        bytes.truncate(keep.max(10));
        bytes.extend(insert);
        if let Ok(mut source) = open(bytes) {
            let _ = source.next_picture(Duration::ZERO);
        }
    }

    #[test]
    fn random_headers_are_errors_or_play_on(words in prop::collection::vec("[WHFICAX][0-9:.a-z-]{0,12}", 0..8)) {
        let mut bytes = format!("YUV4MPEG2 {}\nFRAME\n", words.join(" ")).into_bytes();
        bytes.extend([0; 1000]);
        let _ = open(bytes);
    }
}
