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
        let (format, stride, bytes) = picture.memory().unwrap();
        assert_eq!(format, PixelFormat::Bgrx);
        assert!(bytes.len() >= stride * picture.height as usize);
        size = (picture.width, picture.height);
        if let Some((number, captured_at)) = last {
            assert!(picture.number > number);
            gaps.push(picture.captured_at.saturating_duration_since(captured_at));
        }
        last = Some((picture.number, picture.captured_at));
        seen.insert(hash(bytes));
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
    // It blinks: cheap to make, so that the rate is not the producer's.
    assert_eq!(measured.different, 2);
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

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn sway_through_the_portal_comes_at_its_rate() {
    let mut session = Session::start();
    session.start_sway(full_hd());
    let token_file = Some(session.dir().join("token"));
    let door = Door::Portal { token_file: token_file.clone() };
    let mut source = session.connect(&door, full_hd());
    let measured = measure("sway through the portal", &mut source, Duration::from_secs(5));
    assert_eq!(measured.size, (1920, 1080));
    assert!(measured.rate >= 55.0, "{:.1} pictures/s\n{}", measured.rate, session.logs());
    assert!(measured.different > 200, "{}", measured.different);
    drop(source);

    // A token that the portal does not know costs no more than a question, which is asked once.
    std::fs::write(token_file.as_ref().unwrap(), "unknown").unwrap();
    let mut source = session.connect(&door, full_hd());
    assert!(source.next_picture(DEADLINE).unwrap().is_some());
    drop(source);

    // A portal that hangs is named when the time that was given is over, and says what it was asked.
    let portal = session.owner("org.freedesktop.portal.Desktop");
    rustix::process::kill_process(portal, Signal::STOP).unwrap();
    let (started, deadline) = (Instant::now(), Duration::from_millis(500));
    let error = PipeWireSource::connect_in(&session.surroundings(), door, full_hd(), deadline).unwrap_err();
    eprintln!("portal stopped: after {:?}: {error}", started.elapsed());
    assert!(started.elapsed() < NAMED_WITHIN);
    assert!(
        matches!(&error, CaptureError::Unusable { diagnosis: Diagnosis::PortalTimedOut { .. } }),
        "{error}"
    );
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn two_sessions_share_a_node_or_a_portal_and_neither_minds_the_others_end() {
    const RATE_LEAST: f64 = 45.0;
    let mut session = Session::start();
    let mode = Mode::new(640, 360, 60_000).unwrap();
    session.spawn_synthetic("synth", mode.width(), mode.height());
    session.start_sway(mode);
    let token_file = Some(session.dir().join("token"));
    for (what, door) in [("a node", synthetic()), ("the portal", Door::Portal { token_file })] {
        let (mut one, mut two) = (session.connect(&door, mode), session.connect(&door, mode));
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| measure(&format!("{what}, shared"), &mut two, Duration::from_secs(3)));
            [measure(&format!("{what}, shared"), &mut one, Duration::from_secs(3)), other.join().unwrap()]
        });
        for measured in both {
            assert_eq!(measured.size, (640, 360), "{what}");
            assert!(
                measured.rate >= RATE_LEAST,
                "{what}: {:.1} pictures/s\n{}",
                measured.rate,
                session.logs()
            );
        }
        drop(one);
        let alone = measure(&format!("{what}, after the other's end"), &mut two, Duration::from_secs(1));
        assert!(alone.rate >= RATE_LEAST, "{what}: {:.1} pictures/s\n{}", alone.rate, session.logs());
    }
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_screen_that_changes_its_size_in_mid_stream_is_followed_or_its_end_is_named() {
    let [first, others @ ..] =
        [(1280, 720), (800, 600), (1920, 1080)].map(|(w, h)| Mode::new(w, h, 60_000).unwrap());
    for mode in others {
        let mut session = Session::start();
        session.start_sway(first);
        let mut source = session.connect(&Door::Portal { token_file: None }, first);
        assert!(source.next_picture(DEADLINE).unwrap().is_some());
        session.change_sway(mode);
        // sway's portal 0.8.4 follows most changes; at others it is gone, or says no more.
        let (changed, mut of_the_old) = (Instant::now(), 0);
        let end = loop {
            assert!(changed.elapsed() < NAMED_WITHIN, "neither followed nor named: {}", session.logs());
            match source.next_picture(Duration::from_millis(50)) {
                Ok(Some(picture)) if (picture.width, picture.height) == (mode.width(), mode.height()) => {
                    let (_, stride, bytes) = picture.memory().unwrap();
                    assert!(bytes.len() >= stride * picture.height as usize);
                    break None;
                }
                Ok(picture) => of_the_old += u32::from(picture.is_some()),
                Err(error) => break Some(error),
            }
        };
        eprintln!("{mode}: after {:?}, {of_the_old} pictures of the old size, {end:?}", changed.elapsed());
        match end {
            None => {
                assert_eq!((source.mode().width(), source.mode().height()), (mode.width(), mode.height()));
                let measured = measure("after the change", &mut source, Duration::from_secs(1));
                assert_eq!(measured.size, (mode.width(), mode.height()));
                assert!(measured.rate >= 20.0, "{:.1} pictures/s", measured.rate);
            }
            Some(CaptureError::Ended { diagnosis }) => assert!(
                matches!(diagnosis, Diagnosis::NotChanged { .. } | Diagnosis::NodeRemoved { .. }),
                "{diagnosis}"
            ),
            Some(error) => panic!("{error}"),
        }
    }
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn formats_that_are_not_read_are_named_and_red_first_is_turned() {
    let mut session = Session::start();
    session.spawn_synthetic_of("synth", "NV12", 640, 480);
    let started = Instant::now();
    let error = loop {
        let deadline = Duration::from_secs(5);
        match PipeWireSource::connect_in(&session.surroundings(), synthetic(), full_hd(), deadline) {
            Err(CaptureError::Unusable { diagnosis: Diagnosis::NodeMissing { .. } })
                if started.elapsed() < DEADLINE => {}
            outcome => break outcome.unwrap_err(),
        }
    };
    eprintln!("NV12: {error}\n{}", session.logs());
    let CaptureError::Unusable { diagnosis: Diagnosis::FormatRefused { offered } } = &error else {
        panic!("{error}");
    };
    assert!(offered.contains("it offers NV12 640x480; only BGRx"), "{offered}");

    let mut session = Session::start();
    session.spawn_synthetic_of("synth", "RGBA", 641, 481);
    let mut source = session.connect(&synthetic(), full_hd());
    let picture = source.next_picture(DEADLINE).unwrap().expect("a first picture");
    assert_eq!((picture.width, picture.height), (640, 480));
    let (_, stride, bytes) = picture.memory().unwrap();
    assert!(bytes.len() >= stride * 480);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_portal_a_compositor_and_a_bus_that_die_are_named() {
    for (what, name) in [
        ("portal killed", "org.freedesktop.portal.Desktop"),
        ("portal's back end killed", "org.freedesktop.impl.portal.desktop.wlr"),
        ("sway killed", ""),
        ("bus killed", ""),
    ] {
        let mut session = Session::start();
        session.start_sway(Mode::new(640, 480, 60_000).unwrap());
        let mut source = session.connect(&Door::Portal { token_file: None }, full_hd());
        assert!(source.next_picture(DEADLINE).unwrap().is_some());
        let killed = Instant::now();
        match what {
            "sway killed" => session.kill("sway"),
            "bus killed" => session.kill("dbus-daemon"),
            _ => rustix::process::kill_process(session.owner(name), Signal::KILL).unwrap(),
        }
        let diagnosis = end_of(what, &mut source, killed);
        assert!(
            matches!(
                diagnosis,
                Diagnosis::PortalGone { .. }
                    | Diagnosis::ScreenCastEnded { .. }
                    | Diagnosis::SessionBusGone
                    | Diagnosis::NodeRemoved { .. }
            ),
            "{what}: {diagnosis}"
        );
    }
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn mutter_gives_its_monitor_and_one_of_the_wanted_size() {
    let mut session = Session::start();
    session.start_mutter(full_hd());
    let mut source = session.connect(&Door::MutterMonitor { connector: None }, full_hd());
    let measured = measure("mutter's monitor", &mut source, Duration::from_secs(6));
    assert_eq!(measured.size, (1920, 1080));
    // Rendered on the CPU: 39 where nothing runs beside.
    assert!(measured.rate >= 20.0, "{:.1} pictures/s\n{}", measured.rate, session.logs());
    drop(source);

    let wanted = Mode::new(1280, 800, 60_000).unwrap();
    let mut source = session.connect(&Door::MutterVirtual, wanted);
    assert_eq!((source.mode().width(), source.mode().height()), (1280, 800));
    let measured = measure("mutter's virtual monitor", &mut source, Duration::from_secs(2));
    assert_eq!(measured.size, (1280, 800));

    let killed = Instant::now();
    session.kill("mutter");
    let diagnosis = end_of("mutter killed", &mut source, killed);
    assert!(
        matches!(
            diagnosis,
            Diagnosis::PortalGone { .. } | Diagnosis::ScreenCastEnded { .. } | Diagnosis::NodeRemoved { .. }
        ),
        "{diagnosis}"
    );
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_door_that_nobody_opens_is_named() {
    let session = Session::start();
    for (door, said) in [
        (Door::Portal { token_file: None }, "xdg-desktop-portal"),
        (Door::MutterVirtual, "mutter"),
        (Door::MutterMonitor { connector: None }, "mutter"),
    ] {
        let started = Instant::now();
        let error =
            PipeWireSource::connect_in(&session.surroundings(), door, full_hd(), DEADLINE).unwrap_err();
        eprintln!("after {:?}: {error}", started.elapsed());
        assert!(error.to_string().contains(said), "{error}");
    }
    let mut nowhere = session.surroundings();
    nowhere.bus = Some("unix:path=/nonexistent".to_owned());
    let error = PipeWireSource::connect_in(&nowhere, Door::MutterVirtual, full_hd(), DEADLINE).unwrap_err();
    assert!(
        matches!(&error, CaptureError::Unusable { diagnosis: Diagnosis::NoSessionBus { .. } }),
        "{error}"
    );
}
