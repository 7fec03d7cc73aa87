//! A real sway's screen: pictures at its rate, mode changes, a still screen, and its death.
//!
//! Where sway or foot is not installed these say so in one line and pass, unless `CI=true`.

#![cfg(feature = "wayland")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;
use std::time::{Duration, Instant};

use punktfunk_capture::wayland::WaylandSource;
use punktfunk_capture::{CaptureError, Diagnosis, PixelFormat, Source};
use punktfunk_display::Mode;
use punktfunk_display::sway::{Content, HeadlessSway, OutputName, SwayConfig};

/// One compositor at a time on a machine: the tests measure rates, and run in processes of their own.
fn turn() -> Option<File> {
    let path = std::env::temp_dir().join("punktfunk-sway-tests.lock");
    // Somebody else's file can be locked, too, and not be written to.
    let lock = File::open(&path).or_else(|_| File::create(&path)).unwrap();
    lock.lock().unwrap();
    for program in ["sway", "foot"] {
        if Command::new(program).arg("--version").output().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} must be installed under CI");
            eprintln!("skipped: {program} is not installed (apt install sway foot)");
            return None;
        }
    }
    Some(lock)
}

fn start(content: Content, mode: Mode) -> (HeadlessSway, OutputName) {
    let mut sway = HeadlessSway::start(&SwayConfig { content, ..SwayConfig::default() }).unwrap();
    let output = sway.create_output(mode).unwrap();
    (sway, output)
}

fn connect(sway: &HeadlessSway, output: &OutputName) -> WaylandSource {
    WaylandSource::connect(Some(sway.wayland_socket()), Some(output.as_str())).unwrap()
}

fn hd() -> Mode {
    Mode::new(1280, 720, 60_000).unwrap()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn pictures_come_at_the_screens_rate() {
    let Some(_turn) = turn() else { return };
    let (sway, output) = start(Content::Clock, hd());
    let mut source = connect(&sway, &output);
    assert_eq!(source.mode().to_string(), "1280x720@60");
    let first = Instant::now();
    assert!(source.wait_picture(Duration::from_secs(5)).unwrap(), "no first picture");
    eprintln!("{}: first picture after {:?}", source.describe(), first.elapsed());

    let (mut seen, mut gaps, mut last) = (HashSet::new(), Vec::new(), None);
    let mut ages = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        let Some(picture) = source.next_picture(Duration::from_millis(100)).unwrap() else { continue };
        ages.push(picture.captured_at.elapsed());
        let (format, stride, bytes) = picture.memory().unwrap();
        assert_eq!((format, picture.width, picture.height), (PixelFormat::Bgrx, 1280, 720));
        assert_eq!(bytes.len(), stride * 720);
        if let Some((number, captured_at)) = last {
            assert!(picture.number > number && picture.captured_at > captured_at);
            gaps.push(picture.captured_at - captured_at);
        }
        last = Some((picture.number, picture.captured_at));
        seen.insert(hash(bytes));
    }
    let rate = gaps.len() as f64 / started.elapsed().as_secs_f64();
    gaps.sort_unstable();
    ages.sort_unstable();
    eprintln!(
        "sway {}, 1280x720@60, foot: {rate:.1} pictures/s, {} different, {:?}; between two p50 {:?} p99 {:?}; \
         presented to taken p50 {:?} p99 {:?}",
        sway.version(),
        seen.len(),
        source.counters(),
        gaps[gaps.len() / 2],
        gaps[gaps.len() * 99 / 100],
        ages[ages.len() / 2],
        ages[ages.len() * 99 / 100],
    );
    assert!(rate >= 30.0, "{rate:.1} pictures/s");
    // A picture is copied because something changed.
    assert!(seen.len() * 10 >= gaps.len() * 9, "{} of {} are different", seen.len(), gaps.len());
    let counters = source.counters();
    assert!(counters.captured >= gaps.len() as u64 && counters.skipped == 0);
    drop(source);
    sway.stop().unwrap();
}

#[test]
fn a_slow_caller_gets_the_newest_and_the_rest_is_counted() {
    let Some(_turn) = turn() else { return };
    let (sway, output) = start(Content::Clock, hd());
    let mut source = connect(&sway, &output);
    let mut last = None;
    let mut ages = Vec::new();
    for _ in 0..11 {
        let picture = source.next_picture(Duration::from_secs(5)).unwrap().expect("the clock moves");
        assert!(last.is_none_or(|last| picture.number > last));
        last = Some(picture.number);
        ages.push(picture.captured_at.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    ages.sort_unstable();
    eprintln!("a caller every 100 ms: age of its pictures p50 {:?}, {:?}", ages[5], source.counters());
    // One of the pictures that wait would be older than the caller's interval, each by more than the one before.
    assert!(ages[5] < Duration::from_millis(100), "{ages:?}");
    assert!(source.counters().superseded >= 10, "{:?}", source.counters());
    assert!(source.wait_picture(Duration::from_secs(5)).unwrap());
    source.skip();
    let counters = source.counters();
    assert_eq!(counters.skipped, 1);
    // Every picture is accounted for: taken, superseded, skipped, or one that came just now.
    let known = 11 + counters.superseded + counters.skipped;
    assert!((known..=known + 1).contains(&counters.captured), "{counters:?}");
    drop(source);
    sway.stop().unwrap();
}

#[test]
fn mode_changes_in_mid_stream_are_followed() {
    let Some(_turn) = turn() else { return };
    let (mut sway, output) = start(Content::Clock, hd());
    let mut source = connect(&sway, &output);
    let modes = [(1920, 1080), (640, 480), (1366, 768), (16, 16), (2560, 1440), (1280, 720), (801, 601)];
    for round in 0..3 {
        for (width, height) in modes {
            sway.set_mode(&output, Mode::new(width, height, 60_000).unwrap()).unwrap();
            let started = Instant::now();
            loop {
                if let Some(picture) = source.next_picture(Duration::from_millis(50)).unwrap()
                    && (picture.width, picture.height) == (width & !1, height & !1)
                {
                    let (_, stride, bytes) = picture.memory().unwrap();
                    assert!(bytes.len() >= stride * picture.height as usize);
                    // Read to the last byte, so that a short mapping would show.
                    let _ = hash(bytes);
                    break;
                }
                assert!(
                    started.elapsed() < Duration::from_secs(5),
                    "round {round}: {width}x{height} never came"
                );
            }
            assert_eq!((source.mode().width(), source.mode().height()), (width & !1, height & !1));
        }
    }
    sway.check().unwrap();
    sway.stop().unwrap();
}

#[test]
fn a_still_screen_is_no_error_and_a_dead_compositor_is_named() {
    let Some(_turn) = turn() else { return };
    let (sway, output) = start(Content::Empty, hd());
    let mut source = WaylandSource::connect_within(
        Some(sway.wayland_socket()),
        Some(output.as_str()),
        Duration::from_secs(5),
    )
    .unwrap();
    assert!(source.next_picture(Duration::from_secs(5)).unwrap().is_some(), "a still screen has a picture");
    let started = Instant::now();
    let mut more = 0;
    while started.elapsed() < Duration::from_secs(2) {
        more += u32::from(source.next_picture(Duration::from_millis(200)).unwrap().is_some());
    }
    assert!(more <= 2, "{more} pictures of a still screen");

    sway.stop().unwrap();
    let error = source.next_picture(Duration::from_secs(5)).unwrap_err();
    assert!(matches!(error, CaptureError::Ended { .. }), "{error}");
    eprintln!("{error}");
    let again = source.next_picture(Duration::from_secs(5)).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
}

#[test]
fn the_output_is_found_by_name() {
    let Some(_turn) = turn() else { return };
    let (mut sway, first) = start(Content::Empty, hd());
    let second = sway.create_output(Mode::new(800, 600, 60_000).unwrap()).unwrap();
    let mut source = connect(&sway, &second);
    assert_eq!(source.output(), second.as_str());
    let picture = source.next_picture(Duration::from_secs(5)).unwrap().expect("a first picture");
    assert_eq!((picture.width, picture.height), (800, 600));
    let error = WaylandSource::connect(Some(sway.wayland_socket()), Some("DP-9")).unwrap_err();
    match &error {
        CaptureError::Unusable { diagnosis: Diagnosis::OutputNotFound { wanted, have } } => {
            assert_eq!(wanted, "DP-9");
            assert_eq!(have.iter().collect::<HashSet<_>>().len(), 2);
            assert!(have.contains(&first.as_str().to_owned()), "{error}");
        }
        _ => panic!("{error}"),
    }
    sway.stop().unwrap();
}
