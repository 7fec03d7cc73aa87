//! A host that looks at itself while it streams: the stream goes on, and its own ports are not called taken.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    ClientStart, HostStart, PATIENCE, Place, assert_all_came, count, operate, session_turn,
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
        rounds += 1;
    }
    assert!(rounds >= 2, "{rounds}");
    let ended = client.program.wait(PATIENCE);
    let summary = ended.expect_code(0).json();
    assert_all_came(&summary);
    assert!(count(&summary, "/pictures/decoded") > 100, "{summary:#}");
    host.ends();
}
