//! What only a session can do: tell nonsense of its buffers, change its mind, stop.

use std::time::{Duration, Instant};

use punktfunk_capture::wayland::Protocol;
use punktfunk_capture::{CaptureError, Diagnosis, Source};

use crate::compositor::{Play, Then, XBGR8888, XRGB8888, XRGB2101010, play};
use crate::{connect, end};

const SIZE: u32 = 0;
const FORMAT: u32 = 1;
const DEVICE: u32 = 2;
const DONE: u32 = 4;

fn session() -> Play {
    Play::of(Protocol::ImageCopyCapture)
}

/// A session that tells this of its buffers.
fn telling(constraints: Vec<(u32, Vec<u32>)>) -> Play {
    Play { constraints: Some(constraints), pictures: 1, ..session() }
}

#[test]
fn buffers_that_cannot_be_are_refused_by_what_was_asked_for() {
    let (size, done) = ((SIZE, vec![320, 240]), (DONE, vec![]));
    for (constraints, word) in [
        (vec![(SIZE, vec![0, 0]), (FORMAT, vec![XRGB8888]), done.clone()], "0x0"),
        (vec![(SIZE, vec![320, 8]), (FORMAT, vec![XRGB8888]), done.clone()], "320x8"),
        (vec![(SIZE, vec![u32::MAX, u32::MAX]), (FORMAT, vec![XRGB8888]), done.clone()], "4294967295"),
        (vec![(SIZE, vec![16_384, 16_385]), (FORMAT, vec![XRGB8888]), done.clone()], "16384x16385"),
        (vec![size.clone(), (FORMAT, vec![XRGB2101010]), done.clone()], "Xrgb2101010"),
        (vec![size.clone(), (FORMAT, vec![0x1234_5678]), done.clone()], "0x12345678"),
        (vec![size.clone(), (DEVICE, vec![8, 1, 2]), done.clone()], "no shared-memory buffer"),
        (vec![(FORMAT, vec![XRGB8888]), done.clone()], "no size"),
        (vec![done.clone()], "no size"),
    ] {
        let stand_in = play(telling(constraints));
        let error = end(&mut connect(&stand_in.path).unwrap()).1;
        let CaptureError::Unusable { diagnosis: Diagnosis::BufferRefused { offered } } = &error else {
            panic!("{word}: {error}")
        };
        assert!(offered.contains(word), "{word}: {offered}");
    }
}

#[test]
fn of_many_formats_the_one_that_is_easiest_to_read_is_taken() {
    let unknown = (0..5_000).map(|number| (FORMAT, vec![0x8000_0000 + number]));
    let mut constraints: Vec<_> = unknown.collect();
    constraints.extend([(FORMAT, vec![XBGR8888]), (FORMAT, vec![XRGB8888]), (FORMAT, vec![XRGB2101010])]);
    constraints.extend([(SIZE, vec![64, 64]), (SIZE, vec![320, 240]), (DONE, vec![]), (DONE, vec![])]);
    let stand_in = play(telling(constraints));
    let mut source = connect(&stand_in.path).unwrap();
    let picture = source.next_picture(Duration::from_secs(5)).unwrap().expect("a picture");
    assert_eq!((picture.width, picture.height), (320, 240));
    assert!(source.describe().ends_with("XRGB8888"), "{}", source.describe());
}

#[test]
fn a_session_that_never_ends_its_telling_has_a_cause() {
    let stand_in = play(telling(vec![(SIZE, vec![320, 240]), (FORMAT, vec![XRGB8888])]));
    let error = end(&mut connect(&stand_in.path).unwrap()).1;
    let request = "ext_image_copy_capture_manager_v1.create_session";
    let CaptureError::NoFirstPicture { diagnosis, .. } = &error else { panic!("{error}") };
    assert_eq!(*diagnosis, Diagnosis::NoAnswer { request });
}

#[test]
fn a_change_of_size_is_followed_at_once() {
    let stand_in = play(Play { pictures: 20, then: Then::Resize(640, 480), ..session() });
    let mut source = connect(&stand_in.path).unwrap();
    let started = Instant::now();
    let mut sizes = Vec::new();
    while source.counters().captured < 39 {
        if let Some(picture) = source.next_picture(Duration::from_millis(100)).unwrap() {
            let (_, stride, bytes) = picture.memory().unwrap();
            assert!(bytes.len() >= stride * picture.height as usize);
            sizes.push((picture.width, picture.height));
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{sizes:?}");
    }
    sizes.dedup();
    assert_eq!(sizes, [(320, 240), (640, 480)]);
    assert_eq!((source.mode().width(), source.mode().height()), (640, 480));
}

#[test]
fn each_reason_for_no_copy_is_told_apart() {
    let stopped = 2;
    for (then, pictures) in [(Then::Stop, 3), (Then::Stop, 0), (Then::FailFor(stopped), 3)] {
        let stand_in = play(Play { pictures, then, ..session() });
        let error = end(&mut connect(&stand_in.path).unwrap()).1;
        let (CaptureError::Ended { diagnosis } | CaptureError::Unusable { diagnosis }) = &error else {
            panic!("{error}")
        };
        assert_eq!(*diagnosis, Diagnosis::Stopped { output: "STAND-1".to_owned() });
    }
    // Constraints that nothing fits, and a reason that nobody knows: tried again, and then the end.
    for reason in [0, 1, 77] {
        let stand_in = play(Play { pictures: 2, then: Then::FailFor(reason), ..session() });
        let error = end(&mut connect(&stand_in.path).unwrap()).1;
        let CaptureError::Ended { diagnosis: Diagnosis::CopyFailed { failures, .. } } = error else {
            panic!("{error}")
        };
        assert_eq!(failures, 61);
    }
}

#[test]
fn a_compositor_that_hangs_in_mid_stream_is_named() {
    let stand_in = play(Play { pictures: 3, then: Then::Hang, ..session() });
    let mut source = connect(&stand_in.path).unwrap();
    let started = Instant::now();
    let (pictures, error) = end(&mut source);
    let CaptureError::Ended { diagnosis } = &error else { panic!("{error}") };
    assert_eq!(*diagnosis, Diagnosis::NoAnswer { request: "wl_display.sync" });
    assert!(pictures > 0 && started.elapsed() > Duration::from_secs(5), "{:?}", started.elapsed());
}
