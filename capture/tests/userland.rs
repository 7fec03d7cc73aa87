//! What only a newer userland has: a sway that copies its screen by ext-image-copy-capture. `cargo xtask userland` runs
//! these there, where nobody else's processes are.

#![cfg(feature = "wayland")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use punktfunk_capture::wayland::{Protocol, WaylandSource};
use punktfunk_capture::{CaptureError, Diagnosis, Source};
use punktfunk_display::Mode;
use punktfunk_display::sway::{Content, HeadlessSway, OutputName, SwayConfig};

const DEADLINE: Duration = Duration::from_secs(5);

fn start(content: Content, width: u32, height: u32) -> (HeadlessSway, OutputName) {
    let mut sway = HeadlessSway::start(&SwayConfig { content, ..SwayConfig::default() }).unwrap();
    let output = sway.create_output(Mode::new(width, height, 60_000).unwrap()).unwrap();
    (sway, output)
}

fn connect(sway: &HeadlessSway, output: &OutputName, protocol: Option<Protocol>) -> WaylandSource {
    let (socket, output) = (Some(sway.wayland_socket()), Some(output.as_str()));
    let mut source = WaylandSource::connect_by(protocol, socket, output, DEADLINE).unwrap();
    assert!(source.wait_picture(DEADLINE).unwrap(), "no first picture");
    source
}

/// The numbers of the version that a program tells.
fn version(program: &str) -> Vec<u32> {
    let output = Command::new(program).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let word = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let word = word.unwrap_or_else(|| panic!("{program} tells no version: {said}"));
    word.split(['.', '-']).map_while(|number| number.parse().ok()).collect()
}

/// The process called sway.
fn sway_pid() -> u32 {
    let of =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "sway");
    let names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).filter(of).collect();
    assert_eq!(pids.len(), 1, "{pids:?}");
    pids[0]
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Milliseconds of CPU that a process has used.
fn cpu_ms(pid: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    ticks * 10
}

#[test]
#[ignore = "wants a newer userland: cargo xtask userland"]
fn the_userland_is_a_newer_one() {
    for (program, least) in [("sway", [1, 12]), ("pipewire", [1, 4]), ("mutter", [48, 0])] {
        let version = version(program);
        eprintln!("{program} {version:?}");
        assert!(version.as_slice() >= least.as_slice(), "{program} {version:?}");
    }
}

/// What a few seconds of a screen gave.
fn watch(sway: &HeadlessSway, output: &OutputName, protocol: Protocol, seconds: f64) -> f64 {
    let mut source = connect(sway, output, Some(protocol));
    let pid = sway_pid().to_string();
    let (before, started) = ([cpu_ms(&pid), cpu_ms("self")], Instant::now());
    let (mut ages, mut gaps, mut last) = (Vec::new(), Vec::new(), None);
    while started.elapsed().as_secs_f64() < seconds {
        let Some(picture) = source.next_picture(Duration::from_millis(100)).unwrap() else { continue };
        ages.push(picture.captured_at.elapsed());
        gaps.extend(last.map(|last| picture.captured_at - last));
        last = Some(picture.captured_at);
    }
    let took = started.elapsed().as_secs_f64();
    let share = |now: u64, before: u64| (now - before) as f64 / (took * 10.0);
    let (theirs, ours) = (share(cpu_ms(&pid), before[0]), share(cpu_ms("self"), before[1]));
    ages.sort_unstable();
    gaps.sort_unstable();
    let at = |sorted: &[Duration], percent: usize| sorted[sorted.len() * percent / 100].as_secs_f64() * 1e3;
    let rate = ages.len() as f64 / took;
    eprintln!(
        "{protocol}: {rate:.1} pictures/s; presented to taken p50 {:.2} ms p99 {:.2} ms; between two p50 {:.2} ms p99 {:.2} ms; \
         CPU sway {theirs:.0} % ours {ours:.0} %; {:?}",
        at(&ages, 50),
        at(&ages, 99),
        at(&gaps, 50),
        at(&gaps, 99),
        source.counters(),
    );
    rate
}

#[test]
#[ignore = "wants a newer userland: cargo xtask userland"]
fn a_newer_sways_screen_comes_at_its_rate_by_either_way() {
    let (sway, output) = start(Content::Clock, 1920, 1080);
    let source = connect(&sway, &output, None);
    assert_eq!(source.protocol(), Protocol::Screencopy);
    eprintln!("sway {}: {}", sway.version(), source.describe());
    drop(source);
    let mut best = [0_f64; 2];
    for _ in 0..3 {
        for (best, protocol) in best.iter_mut().zip([Protocol::ImageCopyCapture, Protocol::Screencopy]) {
            *best = best.max(watch(&sway, &output, protocol, 2.0));
        }
    }
    assert!(best.iter().all(|rate| *rate > 50.0), "{best:?} pictures/s");
    sway.stop().unwrap();
}

#[test]
#[ignore = "wants a newer userland: cargo xtask userland"]
fn mode_changes_are_followed_by_a_session() {
    let (mut sway, output) = start(Content::Clock, 1280, 720);
    let mut source = connect(&sway, &output, Some(Protocol::ImageCopyCapture));
    for (width, height) in [(1920, 1080), (640, 480), (1366, 768), (2560, 1440), (801, 601), (1280, 720)] {
        sway.set_mode(&output, Mode::new(width, height, 60_000).unwrap()).unwrap();
        let started = Instant::now();
        loop {
            let picture = source.next_picture(Duration::from_millis(50)).unwrap();
            if let Some(picture) = picture
                && (picture.width, picture.height) == (width & !1, height & !1)
            {
                let (_, stride, bytes) = picture.memory().unwrap();
                assert!(bytes.len() >= stride * picture.height as usize);
                break;
            }
            assert!(started.elapsed() < DEADLINE, "{width}x{height} never came");
        }
        eprintln!("{width}x{height} after {:?}", started.elapsed());
    }
    sway.stop().unwrap();
}

/// Why a capture ended, and how long that took to be said.
fn end(source: &mut WaylandSource) -> (Diagnosis, Duration) {
    let started = Instant::now();
    loop {
        match source.next_picture(Duration::from_millis(50)) {
            Ok(_) => assert!(started.elapsed() < DEADLINE * 2, "no end"),
            Err(CaptureError::Ended { diagnosis }) => return (diagnosis, started.elapsed()),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
#[ignore = "wants a newer userland: cargo xtask userland"]
fn a_hang_is_named_and_a_moment_of_it_is_none() {
    let (sway, output) = start(Content::Clock, 1280, 720);
    let mut source = connect(&sway, &output, None);
    let pid = sway_pid();
    signal(pid, "-STOP");
    std::thread::sleep(Duration::from_secs(2));
    signal(pid, "-CONT");
    for _ in 0..20 {
        assert!(source.next_picture(DEADLINE).unwrap().is_some());
    }
    signal(pid, "-STOP");
    let (diagnosis, took) = end(&mut source);
    eprintln!("{diagnosis} after {took:?}");
    assert_eq!(diagnosis, Diagnosis::NoAnswer { request: "wl_display.sync" });
    signal(pid, "-KILL");
    let _ = sway.stop();
}

#[test]
#[ignore = "wants a newer userland: cargo xtask userland"]
fn an_output_and_a_compositor_that_go_are_named() {
    for protocol in [Protocol::ImageCopyCapture, Protocol::Screencopy] {
        let (mut sway, first) = start(Content::Clock, 1280, 720);
        let second = sway.create_output(Mode::new(800, 600, 60_000).unwrap()).unwrap();
        let mut removed = connect(&sway, &second, Some(protocol));
        let mut killed = connect(&sway, &first, Some(protocol));
        sway.remove_output(second).unwrap();
        let (diagnosis, took) = end(&mut removed);
        eprintln!("{protocol}: {diagnosis} after {took:?}");
        assert!(matches!(diagnosis, Diagnosis::OutputRemoved { .. }), "{diagnosis}");

        assert!(killed.next_picture(DEADLINE).unwrap().is_some());
        signal(sway_pid(), "-KILL");
        let (diagnosis, took) = end(&mut killed);
        eprintln!("{protocol}: {diagnosis} after {took:?}");
        assert!(
            matches!(diagnosis, Diagnosis::Disconnected { .. }) && took < Duration::from_secs(2),
            "{diagnosis}"
        );
        let _ = sway.stop();
    }
}
