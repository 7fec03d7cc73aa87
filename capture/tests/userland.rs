//! What only a newer userland has: its sway's own way of copying a screen. `cargo xtask userland` runs these there.

#![cfg(feature = "wayland")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::process::Command;
use std::time::{Duration, Instant};

use punktfunk_capture::Source;
use punktfunk_capture::wayland::WaylandSource;
use punktfunk_display::Mode;
use punktfunk_display::sway::{Content, HeadlessSway, SwayConfig};

/// The numbers of the version that a program tells.
fn version(program: &str) -> Vec<u32> {
    let output = Command::new(program).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let word = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let word = word.unwrap_or_else(|| panic!("{program} tells no version: {said}"));
    word.split(['.', '-']).map_while(|number| number.parse().ok()).collect()
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

#[test]
#[ignore = "wants a newer userland: cargo xtask userland"]
fn a_newer_sways_screen_comes_at_its_rate() {
    let mut sway =
        HeadlessSway::start(&SwayConfig { content: Content::Clock, ..SwayConfig::default() }).unwrap();
    let output = sway.create_output(Mode::new(1920, 1080, 60_000).unwrap()).unwrap();
    let mut source = WaylandSource::connect(Some(sway.wayland_socket()), Some(output.as_str())).unwrap();
    assert!(source.wait_picture(Duration::from_secs(5)).unwrap(), "no first picture");
    let (started, mut pictures) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(3) {
        pictures += u32::from(source.next_picture(Duration::from_millis(100)).unwrap().is_some());
    }
    let rate = f64::from(pictures) / started.elapsed().as_secs_f64();
    eprintln!("sway {}: {}, {rate:.1} pictures/s", sway.version(), source.describe());
    assert!(rate > 30.0, "{rate:.1} pictures/s");
}
