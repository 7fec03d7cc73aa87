//! Real PipeWire nodes: rates, sizes, and every way in which they end.
//!
//! The programs are those of a newer Debian, for an older one's session manager does not run in a bare session:
//! `cargo xtask userland` runs this there.

#![cfg(feature = "pipewire")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod session;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use punktfunk_capture::pipewire::{Door, NodeRef, PipeWireSource};
use punktfunk_capture::{CaptureError, Diagnosis, Mode, PixelFormat, Source};
use rustix::process::Signal;
use session::{DEADLINE, Session};

/// Within this, whatever ends a stream is named.
const NAMED_WITHIN: Duration = Duration::from_secs(2);

fn full_hd() -> Mode {
    Mode::new(1920, 1080, 60_000).unwrap()
}

fn synthetic() -> Door {
    Door::Node(NodeRef::Name("synth".to_owned()))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Every 64th pixel: a test's own work is no part of what is measured.
    bytes.chunks_exact(256).for_each(|pixels| pixels[..4].hash(&mut hasher));
    hasher.finish()
}

/// What a source gave.
struct Measured {
    rate: f64,
    different: usize,
    size: (u32, u32),
}

/// Takes pictures for `duration` and tells what came.
fn measure(what: &str, source: &mut PipeWireSource, duration: Duration) -> Measured {
    assert!(source.wait_picture(DEADLINE).unwrap(), "no first picture");
    let (mut seen, mut gaps, mut ages) = (HashSet::new(), Vec::new(), Vec::new());
    let (mut last, mut size) = (None, (0, 0));
    let started = Instant::now();
    while started.elapsed() < duration {
        let Some(picture) = source.next_picture(Duration::from_millis(100)).unwrap() else { continue };
        ages.push(picture.captured_at.elapsed());
        assert_eq!(picture.format, PixelFormat::Bgrx);
        assert!(picture.bytes.len() >= picture.stride * picture.height as usize);
        size = (picture.width, picture.height);
        if let Some((number, captured_at)) = last {
            assert!(picture.number > number);
            gaps.push(picture.captured_at.saturating_duration_since(captured_at));
        }
        last = Some((picture.number, picture.captured_at));
        seen.insert(hash(picture.bytes));
    }
    let rate = gaps.len() as f64 / started.elapsed().as_secs_f64();
    gaps.sort_unstable();
    ages.sort_unstable();
    let at = |times: &[Duration], percent: usize| times.get(times.len() * percent / 100).copied();
    eprintln!(
        "{what}: {rate:.1} pictures/s, {} different, {}, {:?}; between two p50 {:?} p99 {:?}; stamped to taken \
         p50 {:?} p99 {:?}",
        seen.len(),
        source.describe(),
        source.counters(),
        at(&gaps, 50),
        at(&gaps, 99),
        at(&ages, 50),
        at(&ages, 99),
    );
    Measured { rate, different: seen.len(), size }
}

/// Waits for the source's end and checks that it came in time.
fn end_of(what: &str, source: &mut PipeWireSource, since: Instant) -> Diagnosis {
    loop {
        match source.next_picture(Duration::from_millis(50)) {
            Ok(_) => assert!(since.elapsed() < NAMED_WITHIN, "{what}: not named within {NAMED_WITHIN:?}"),
            Err(error) => {
                eprintln!("{what}: named after {:?}: {error}", since.elapsed());
                assert!(since.elapsed() < NAMED_WITHIN);
                let again = source.next_picture(Duration::ZERO).unwrap_err();
                assert_eq!(again.to_string(), error.to_string());
                match error {
                    CaptureError::Ended { diagnosis } => return diagnosis,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_synthetic_node_comes_at_its_rate() {
    let mut session = Session::start();
    session.spawn_synthetic("synth", 1920, 1080);
    let mut source = session.connect(&synthetic(), full_hd());
    assert_eq!(source.mode().to_string(), "1920x1080@60");
    let measured = measure("synthetic node", &mut source, Duration::from_secs(5));
    assert_eq!(measured.size, (1920, 1080));
    assert!(measured.rate >= 55.0, "{:.1} pictures/s\n{}", measured.rate, session.logs());
    assert!(measured.different > 100, "{}", measured.different);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_node_that_ends_and_a_pipewire_that_dies_or_hangs_are_named() {
    let mut session = Session::start();
    session.spawn_synthetic("synth", 640, 480);
    let mut source = session.connect(&synthetic(), full_hd());
    assert!(source.next_picture(DEADLINE).unwrap().is_some());
    let killed = Instant::now();
    session.kill("gst-launch-1.0");
    let diagnosis = end_of("node removed", &mut source, killed);
    assert!(matches!(diagnosis, Diagnosis::NodeRemoved { .. }), "{diagnosis}");
    drop(source);

    let mut session = Session::start();
    session.spawn_synthetic("synth", 640, 480);
    let mut source = session.connect(&synthetic(), full_hd());
    assert!(source.next_picture(DEADLINE).unwrap().is_some());
    let stopped = Instant::now();
    session.signal("pipewire", Signal::STOP);
    let diagnosis = end_of("PipeWire stopped", &mut source, stopped);
    assert!(matches!(diagnosis, Diagnosis::PipeWireHangs), "{diagnosis}");
    drop(source);

    let mut session = Session::start();
    session.spawn_synthetic("synth", 640, 480);
    let mut source = session.connect(&synthetic(), full_hd());
    assert!(source.next_picture(DEADLINE).unwrap().is_some());
    let killed = Instant::now();
    session.kill("pipewire");
    let diagnosis = end_of("PipeWire killed", &mut source, killed);
    assert!(matches!(diagnosis, Diagnosis::PipeWireGone { .. }), "{diagnosis}");
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn what_is_not_there_is_named_at_once() {
    let mut session = Session::start();
    let error =
        PipeWireSource::connect_in(&session.surroundings(), synthetic(), full_hd(), DEADLINE).unwrap_err();
    assert!(matches!(&error, CaptureError::Unusable { diagnosis: Diagnosis::NodeMissing { .. } }), "{error}");
    session.kill("pipewire");
    let started = Instant::now();
    let error =
        PipeWireSource::connect_in(&session.surroundings(), synthetic(), full_hd(), DEADLINE).unwrap_err();
    eprintln!("without PipeWire, after {:?}: {error}", started.elapsed());
    assert!(
        matches!(&error, CaptureError::Unusable { diagnosis: Diagnosis::PipeWireMissing { .. } }),
        "{error}"
    );
}
