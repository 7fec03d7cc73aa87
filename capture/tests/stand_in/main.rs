//! A compositor that fails in every way that has a name, played by a socket that speaks just enough of
//! the wire format.

#![cfg(feature = "wayland")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod compositor;
mod image_copy;

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use compositor::{Play, Random, Then, XBGR8888, XRGB8888, XRGB2101010, play, serve};
use punktfunk_capture::wayland::{Protocol, WaylandSource};
use punktfunk_capture::{CaptureError, Diagnosis, Source};

const PROTOCOLS: [Protocol; 2] = [Protocol::ImageCopyCapture, Protocol::Screencopy];

/// What a stand-in that answers keeps within, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(1);
fn connect(path: &Path) -> Result<WaylandSource, CaptureError> {
    WaylandSource::connect_within(Some(path), None, DEADLINE)
}

/// The cause for which nothing could even be tried.
fn unusable(path: &Path) -> Diagnosis {
    match connect(path).unwrap_err() {
        CaptureError::Unusable { diagnosis } => diagnosis,
        other => panic!("{other}"),
    }
}

/// What ends a capture, and how many pictures there were before.
fn end(source: &mut WaylandSource) -> (u32, CaptureError) {
    let started = Instant::now();
    let mut pictures = 0;
    loop {
        match source.next_picture(Duration::from_millis(100)) {
            Ok(picture) => pictures += u32::from(picture.is_some()),
            Err(error) => return (pictures, error),
        }
        assert!(started.elapsed() < Duration::from_secs(10), "no end");
    }
}

#[test]
fn a_socket_that_is_not_there_or_refuses_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wayland-7");
    assert_eq!(unusable(&path), Diagnosis::SocketMissing { path: path.clone() });
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(unusable(&path), Diagnosis::SocketRefused { .. }));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    assert!(matches!(unusable(&path), Diagnosis::SocketRefused { .. }));
    if std::env::var_os("WAYLAND_DISPLAY").is_none() {
        let error = WaylandSource::connect_within(None, None, DEADLINE).unwrap_err();
        assert!(matches!(error, CaptureError::Unusable { diagnosis: Diagnosis::NoDisplay }), "{error}");
    }
}

#[test]
fn a_compositor_that_hangs_or_hangs_up_is_named() {
    let silent = serve(|stream, _| {
        thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    let started = Instant::now();
    assert_eq!(unusable(&silent.path), Diagnosis::NoAnswer { request: "wl_display.sync" });
    assert!(started.elapsed() < DEADLINE * 3, "{:?}", started.elapsed());
    let gone = serve(|stream, _| drop(stream));
    assert!(matches!(unusable(&gone.path), Diagnosis::Disconnected { .. }));
}

#[test]
fn what_is_missing_is_named() {
    let either = "ext_image_copy_capture_manager_v1 and no zwlr_screencopy_manager_v1 version 3";
    let sources = ("ext_output_image_capture_source_manager_v1", 1);
    let (shm, output, copying) = (("wl_shm", 1), ("wl_output", 4), ("ext_image_copy_capture_manager_v1", 1));
    for (globals, missing) in [
        (vec![], "wl_shm"),
        (vec![shm, output], either),
        (vec![shm, output, ("zwlr_screencopy_manager_v1", 2)], either),
        // One without the other is no way.
        (vec![shm, output, sources], either),
        (vec![shm, output, copying], either),
    ] {
        let stand_in = play(Play { globals, ..Play::default() });
        assert_eq!(unusable(&stand_in.path), Diagnosis::GlobalMissing { missing });
    }
    for globals in [vec![shm, ("zwlr_screencopy_manager_v1", 3)], vec![shm, sources, copying]] {
        assert_eq!(unusable(&play(Play { globals, ..Play::default() }).path), Diagnosis::NoOutput);
    }
}

#[test]
fn the_way_of_two_copies_is_taken_first_and_another_if_it_is_wanted() {
    let globals =
        [Play::of(Protocol::Screencopy).globals, Play::of(Protocol::ImageCopyCapture).globals].concat();
    for (wanted, taken) in [
        (None, Protocol::Screencopy),
        (Some(Protocol::ImageCopyCapture), Protocol::ImageCopyCapture),
        (Some(Protocol::Screencopy), Protocol::Screencopy),
    ] {
        let stand_in = play(Play { globals: globals.clone(), pictures: 1, ..Play::of(taken) });
        let source = WaylandSource::connect_by(wanted, Some(&stand_in.path), None, DEADLINE).unwrap();
        assert_eq!(source.protocol(), taken);
        assert!(source.describe().contains(&taken.to_string()), "{}", source.describe());
    }
    let older = play(Play::of(Protocol::Screencopy));
    let wanted = Some(Protocol::ImageCopyCapture);
    let error = WaylandSource::connect_by(wanted, Some(&older.path), None, DEADLINE).unwrap_err();
    assert!(error.to_string().contains("no ext_image_copy_capture_manager_v1:"), "{error}");
}

#[test]
fn the_first_picture_that_does_not_come_has_a_cause() {
    let output = || "STAND-1".to_owned();
    let silent = |protocol| Diagnosis::NoAnswer {
        request: match protocol {
            Protocol::ImageCopyCapture => "ext_image_copy_capture_manager_v1.create_session",
            Protocol::Screencopy => "zwlr_screencopy_manager_v1.capture_output",
        },
    };
    let cases = PROTOCOLS.into_iter().flat_map(|protocol| {
        [
            (protocol, None, Then::Wait, silent(protocol)),
            (protocol, Some(XRGB8888), Then::Wait, Diagnosis::NoDamage { output: output() }),
            (protocol, Some(XRGB8888), Then::Fail, Diagnosis::CopyFailed { output: output(), failures: 0 }),
        ]
    });
    for (protocol, format, then, cause) in cases {
        let stand_in = play(Play { format, then, ..Play::of(protocol) });
        let started = Instant::now();
        let mut source = connect(&stand_in.path).unwrap();
        let (pictures, error) = end(&mut source);
        let took = started.elapsed();
        assert_eq!(pictures, 0);
        let CaptureError::NoFirstPicture { waited, diagnosis } = &error else { panic!("{error}") };
        let short = DEADLINE.saturating_sub(*waited);
        assert!(short < Duration::from_millis(100) && *waited <= DEADLINE, "{waited:?}");
        match (diagnosis, &cause) {
            (Diagnosis::CopyFailed { failures, .. }, Diagnosis::CopyFailed { .. }) => {
                // It was asked again, at an interval: a compositor that fails at once is not kept busy.
                let copies = stand_in.copies.load(Ordering::Relaxed);
                let copies_max = 8 + 3 * took.as_millis() / 16;
                assert!(
                    *failures > 4 && u128::from(copies) < copies_max,
                    "{failures} failures of {copies} in {took:?}"
                );
            }
            _ => assert_eq!(*diagnosis, cause),
        }
        assert_eq!(end(&mut source).1.to_string(), error.to_string(), "an end is told again");
    }
}

#[test]
fn a_format_that_nobody_reads_is_refused_by_name() {
    for protocol in PROTOCOLS {
        let stand_in = play(Play { format: Some(XRGB2101010), ..Play::of(protocol) });
        let error = end(&mut connect(&stand_in.path).unwrap()).1;
        let CaptureError::Unusable { diagnosis: Diagnosis::BufferRefused { offered } } = &error else {
            panic!("{error}")
        };
        assert!(offered.contains("320x240 Xrgb2101010"), "{offered}");
    }
}

#[test]
fn pictures_come_until_the_end_and_the_end_is_named() {
    let cases = [
        (Then::Fail, XRGB8888),
        (Then::RemoveOutput, XBGR8888),
        (Then::Close, XBGR8888),
        (Then::Close, XRGB8888),
    ];
    let cases =
        PROTOCOLS.into_iter().flat_map(|protocol| cases.map(|(then, format)| (protocol, then, format)));
    for (protocol, then, format) in cases {
        let stand_in = play(Play { format: Some(format), pictures: 40, then, ..Play::of(protocol) });
        let mut source = connect(&stand_in.path).unwrap();
        assert_eq!(source.output(), "STAND-1");
        assert_eq!(source.mode().to_string(), "320x240@60");
        let (pictures, error) = end(&mut source);
        let counters = source.counters();
        assert_eq!(counters.captured, 40);
        assert_eq!(u64::from(pictures), counters.captured - counters.superseded);
        let CaptureError::Ended { diagnosis } = error else { panic!("{error}") };
        match then {
            Then::Fail => assert!(matches!(diagnosis, Diagnosis::CopyFailed { failures: 61.., .. })),
            Then::RemoveOutput => assert!(matches!(diagnosis, Diagnosis::OutputRemoved { .. })),
            _ => assert!(matches!(diagnosis, Diagnosis::Disconnected { .. })),
        }
    }
}

#[test]
fn a_foreign_clock_does_not_date_a_picture() {
    for protocol in PROTOCOLS {
        let stand_in = play(Play { pictures: 1, ..Play::of(protocol) });
        let mut source = connect(&stand_in.path).unwrap();
        let before = Instant::now();
        let picture = source.next_picture(Duration::from_secs(5)).unwrap().expect("one picture");
        assert!(
            picture.captured_at <= Instant::now() && picture.captured_at + Duration::from_secs(2) > before
        );
        assert_eq!(picture.memory().unwrap().2.len(), 1280 * 240);
        // A screen that stands still from then on is no error.
        assert!(source.next_picture(DEADLINE * 2).unwrap().is_none());
    }
}

#[test]
fn a_dropped_source_leaves_at_once() {
    let stand_in = play(Play { pictures: 1, ..Play::default() });
    let mut source = connect(&stand_in.path).unwrap();
    assert!(source.next_picture(Duration::from_secs(5)).unwrap().is_some());
    let started = Instant::now();
    drop(source);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn noise_is_an_error_and_never_a_panic() {
    let seed = std::env::var("PUNKTFUNK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    eprintln!("PUNKTFUNK_SEED={seed}");
    let mut random = Random(seed);
    for round in 0..60 {
        let (length, kind) = (random.next() % 400, random.next());
        let mut bytes: Vec<u8> = (0..length * 4).map(|_| random.next() as u8).collect();
        if kind % 2 == 0 {
            // Whole messages to objects that are there, of random content.
            bytes = (0..20)
                .flat_map(|_| {
                    let words = (random.next() % 8) as u32;
                    let header = [
                        1 + (random.next() % 8) as u32,
                        ((8 + 4 * words) << 16) | (random.next() % 8) as u32,
                    ];
                    let body: Vec<u32> = (0..words).map(|_| (random.next() % 64) as u32).collect();
                    header.into_iter().chain(body).flat_map(u32::to_ne_bytes).collect::<Vec<_>>()
                })
                .collect();
        }
        let stand_in = serve(move |mut stream, _| {
            let _ = stream.write_all(&bytes);
            let _ = stream.read(&mut [0; 4096]);
        });
        let deadline = Duration::from_millis(100);
        let outcome = WaylandSource::connect_within(Some(&stand_in.path), None, deadline);
        let mut source = match outcome {
            Err(CaptureError::Unusable { .. } | CaptureError::Mode(_)) => continue,
            Err(other) => panic!("round {round}: {other}"),
            Ok(source) => source,
        };
        let error = end(&mut source).1;
        eprintln!("round {round}: {error}");
    }
}

#[test]
fn a_confused_compositor_is_an_error_or_a_still_screen_and_never_a_panic() {
    let seed = std::env::var("PUNKTFUNK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    eprintln!("PUNKTFUNK_SEED={seed}");
    let mut random = Random(seed);
    let mut endings = std::collections::BTreeMap::<_, u32>::new();
    let mut slow = 0;
    for round in 0..200 {
        let noise = random.next();
        let protocol = PROTOCOLS[(round % 2) as usize];
        let stand_in = play(Play { pictures: round % 3, then: Then::Noise(noise), ..Play::of(protocol) });
        let deadline = Duration::from_millis(60);
        let mut source = match WaylandSource::connect_within(Some(&stand_in.path), None, deadline) {
            Ok(source) => source,
            // The noise comes later: a busy machine let the stand-in wait.
            Err(CaptureError::Unusable { diagnosis: Diagnosis::NoAnswer { .. } }) => {
                slow += 1;
                continue;
            }
            Err(other) => panic!("round {round}, noise {noise}: {other}"),
        };
        let started = Instant::now();
        let ending = loop {
            match source.next_picture(Duration::from_millis(20)) {
                Ok(Some(picture)) => {
                    let (_, stride, bytes) = picture.memory().unwrap();
                    assert!(bytes.len() >= stride * picture.height as usize);
                }
                Ok(None) if started.elapsed() > deadline => break "still".to_owned(),
                Ok(None) => {}
                Err(error) => break error.to_string(),
            }
        };
        assert!(!ending.contains("thread ended"), "round {round}, noise {noise}: {ending}");
        *endings.entry(ending.split(':').nth(1).unwrap_or(&ending).to_owned()).or_default() += 1;
    }
    eprintln!("{endings:#?}, {slow} not connected in time");
    assert!(slow < 100, "{slow} rounds of 200 were not connected in time");
    assert!(endings.len() > 3, "the noise reaches several places: {endings:?}");
}
