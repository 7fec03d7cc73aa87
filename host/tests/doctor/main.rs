//! Faults that are planted for real, and what `punktfunk-host doctor` says of them; each beside the same machine
//! without the fault, so that a doctor who always complains fails, too.
//!
//! What changes the machine is done in namespaces that go with the program that is in them. Where there can be none
//! this says so, and fails under CI=true.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

mod machine;
mod network;
mod patient;
mod picture;
mod settings;
mod trust;

use std::time::{Duration, Instant};

use patient::{Patient, Seen};

/// The links, in the manual's order.
fn names(seen: &Seen) -> Vec<&str> {
    seen.checks().iter().map(|check| check["name"].as_str().unwrap()).collect()
}

#[test]
fn every_link_is_looked_at_in_json_and_on_a_page() {
    let patient = Patient::new();
    let seen = patient.diagnose();
    assert_eq!(names(&seen), punktfunk_doctor::Link::ALL.map(punktfunk_doctor::Link::name));
    for check in seen.checks() {
        assert!(!check["found"].as_str().unwrap().is_empty(), "{check}");
        assert_eq!(check["state"] == "ok", check["remedy"] == "", "{check}");
    }
    let page = patient.command(&[]).output().unwrap();
    assert_eq!(page.status.code(), seen.code);
    let text = String::from_utf8(page.stdout).unwrap();
    for name in names(&seen) {
        assert!(text.lines().any(|line| line.split_whitespace().nth(1) == Some(name)), "no {name} in {text}");
    }
    assert!(text.contains(&format!("\n{} links: ", punktfunk_doctor::Link::ALL.len())), "{text}");
}

#[test]
fn it_ends_with_1_only_where_something_is_broken() {
    let patient = Patient::new();
    let well = patient.diagnose();
    assert_eq!((well.code, well.broken()), (Some(0), vec![]), "{well:?}");
    std::fs::create_dir(patient.identity()).unwrap();
    std::fs::write(patient.identity().join("devices.toml"), "device = 7").unwrap();
    let ill = patient.diagnose();
    assert_eq!((ill.code, ill.broken()), (Some(1), vec!["identity", "devices"]), "{ill:?}");
    let told = |seen: &Seen| seen.error().map(|error| (error["code"].clone(), error["message"].clone()));
    assert_eq!(told(&well), None);
    assert_eq!(told(&ill), Some((1.into(), "broken: identity, devices".into())));
}

#[test]
fn whatever_hangs_is_named_and_all_is_said_within_ten_seconds() {
    let mut patient = Patient::new();
    let sockets = ["wayland-0", "pipewire-0", "bus"].map(|name| patient.listen(name));
    patient.env("WAYLAND_DISPLAY", "wayland-0");
    patient.program("kwin_wayland", "exec sleep 60");
    let began = Instant::now();
    let seen = patient.diagnose();
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    for name in ["desktop", "session-bus", "portal", "pipewire"] {
        assert_eq!(seen.state(name), "broken", "{name}: {seen:?}");
    }
    for name in ["encoder", "gso", "identity"] {
        assert_eq!(seen.state(name), "ok", "{name}: {seen:?}");
    }
    drop(sockets);
}

#[test]
fn a_diagnosis_changes_nothing_on_the_disk() {
    let patient = Patient::new();
    patient.diagnose();
    let left: Vec<_> =
        std::fs::read_dir(patient.home()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["runtime"], "the test's own folder");
}
