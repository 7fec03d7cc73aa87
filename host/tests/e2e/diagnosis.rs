//! A host that looks at itself while it streams: the stream goes on, and its own ports are not called taken.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    ClientStart, HostStart, PATIENCE, Place, assert_all_came, count, look_for, operate, session_turn,
};

#[test]
fn a_stream_loses_nothing_while_its_host_looks_at_every_link() {
    let (_turn, place) = (session_turn(), Place::new());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let host = HostStart::new(&place, "card").args(&["--once"]).manage(&free).ready();
    let client =
        ClientStart::new(&place, host.port).args(&["--mode", "640x360@60", "--seconds", "4"]).start();
    host.event("welcome", 0, PATIENCE);
    let (began, mut rounds) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(2_500) {
        let ended =
            operate(&place, "host-identity", "doctor", &["--running", "--manage", &free]).wait(PATIENCE);
        let diagnosis: Value = serde_json::from_str(&ended.expect_code(0).stdout).unwrap();
        let said = |name: &str| {
            let checks = diagnosis["checks"].as_array().unwrap();
            checks
                .iter()
                .find(|check| check["name"] == name)
                .unwrap_or_else(|| panic!("no {name}: {diagnosis}"))
        };
        for (name, word) in
            [("udp-port", "held by this host"), ("console", "held by this host"), ("gso", "trains")]
        {
            assert_eq!(said(name)["state"], "ok", "{}", said(name));
            assert!(said(name)["found"].as_str().unwrap().contains(word), "{}", said(name));
        }
        // The tests' hosts are quiet, and the doctor inside knows it.
        assert_eq!(said("discovery")["state"], "degraded", "{}", said("discovery"));
        assert_eq!(said("discovery")["found"], "not announced: --no-announce");
        rounds += 1;
    }
    assert!(rounds >= 2, "{rounds}");
    let ended = client.program.wait(PATIENCE);
    let summary = ended.expect_code(0).json();
    assert_all_came(&summary);
    assert!(count(&summary, "/pictures/decoded") > 100, "{summary:#}");
    host.ends();
}

#[test]
fn another_identitys_host_is_not_called_this_one() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").ready();
    let at = format!("127.0.0.1:{}", host.port);
    let look = |identity: &str| {
        let ended = operate(&place, identity, "doctor", &["--listen", &at, "--manage", "off"]).wait(PATIENCE);
        let diagnosis: Value = serde_json::from_str(&ended.stdout).unwrap();
        let checks = diagnosis["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "udp-port").unwrap().clone()
    };
    let own = look("host-identity");
    assert_eq!(own["state"], "ok", "{own}");
    assert!(own["found"].as_str().unwrap().contains("which serves"), "{own}");
    let other = look("another-identity");
    assert_eq!(other["state"], "broken", "{other}");
    assert!(other["found"].as_str().unwrap().contains("host-identity"), "{other}");
    host.stop();
}

#[test]
fn rounds_leave_nothing_behind_and_do_not_overlap() {
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = UnixListener::bind(place.path("wayland-0")).unwrap();
    let host = HostStart::new(&place, "card").manage(&free);
    let host = host.env("WAYLAND_DISPLAY", place.path("wayland-0")).ready();
    let look = || operate(&place, "host-identity", "doctor", &["--running", "--manage", &free]);
    let count_of = |what: &str| fs::read_dir(format!("/proc/{}/{what}", host.program.id())).unwrap().count();

    // The compositor does not answer, so a round takes most of a second.
    let mut both = [look(), look()].map(|asked| asked.wait(PATIENCE));
    both.sort_by_key(|ended| ended.code);
    let [looked, refused] = &both;
    looked.expect_code(1).expect_said(&["broken: desktop"]);
    refused.expect_code(3).expect_said(&["looked at already", "try again"]);
    drop(silent);
    look().wait(PATIENCE).expect_code(1);

    let before = count_of("fd");
    for _ in 0..5 {
        look().wait(PATIENCE).expect_code(1);
    }
    let settled = look_for(PATIENCE, || (count_of("fd") <= before && count_of("task") <= 2).then_some(()));
    assert!(
        settled.is_some(),
        "{before} descriptors became {}; {} threads",
        count_of("fd"),
        count_of("task")
    );
    host.stop();
}
