//! What cannot be is said: by whom, why, what to do, with an exit code of its own.

use std::net::UdpSocket;

use crate::nvdec::libraries;
use crate::support::{
    ClientStart, HostStart, PATIENCE, Place, assert_all_came, count, identity_fingerprint, session_turn,
    slow_sway, sway_turn,
};

/// A fingerprint that nobody has.
const NOBODY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn another_hosts_fingerprint_is_refused_and_both_are_named() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").ready();
    let real = identity_fingerprint(&place, true, "host-identity");
    assert_eq!(host.events("listening")[0]["fingerprint"], real.as_str());
    let client = ClientStart::new(&place, host.port).belief(&["--trust", NOBODY]).run();
    client.expect_error(3).expect_said(&[NOBODY, &real]);
    host.event("rejected", 0, PATIENCE);
    host.stop();
}

#[test]
fn a_client_that_the_host_does_not_trust_learns_its_own_fingerprint() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").belief(&["--trust", NOBODY]).ready();
    let ours = identity_fingerprint(&place, false, "client-identity");
    let client = ClientStart::new(&place, host.port).run();
    client.expect_code(3).expect_said(&[&ours, "--trust"]);
    // The host's operator finds it in the log, too.
    let rejected = host.event("rejected", 0, PATIENCE);
    assert!(rejected["reason"].as_str().unwrap().contains(&ours), "{rejected}");
    host.stop();
}

#[test]
fn those_who_trust_each_other_need_not_be_open() {
    let (_turn, place) = (session_turn(), Place::new());
    let theirs = identity_fingerprint(&place, false, "client-identity");
    let host = HostStart::new(&place, "card").belief(&["--trust", NOBODY, "--trust", &theirs]);
    let host = host.args(&["--once"]).ready();
    let real = identity_fingerprint(&place, true, "host-identity");
    let client =
        ClientStart::new(&place, host.port).belief(&["--trust", &real]).args(&["--seconds", "1"]).run();
    client.expect_code(0);
    assert_eq!(host.events("hello")[0]["fingerprint"], theirs.as_str());
    host.ends();
}

#[test]
fn an_impossible_mode_names_the_limit_and_the_host_goes_on() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").ready();
    // A client that decodes more than the host encodes.
    let libraries = libraries(&place);
    let connect = |mode| {
        let client = ClientStart::new(&place, host.port).env("LD_LIBRARY_PATH", &libraries);
        client.args(&["--mode", mode, "--seconds", "1"]).run()
    };
    connect("4096x4096@60").expect_code(5).expect_said(&["4096x4096", "36864 macroblocks", "smaller mode"]);
    connect("160x90@60").expect_code(5).expect_said(&["320x180", "160x90"]);
    let _turn = session_turn();
    let ended = connect("320x180@60");
    ended.expect_code(0);
    assert_all_came(&ended.json());
    host.stop();
}

#[test]
fn an_impossible_mode_is_refused_before_a_desktop_is_started_for_it() {
    let Some(_sway) = sway_turn() else { return };
    for source in ["wayland", "auto"] {
        // Whoever waits for this sway says that it did not answer.
        let place = Place::new();
        let host = HostStart::new(&place, source).env("PATH", slow_sway(&place, 60)).ready();
        // A client that decodes more than the host encodes.
        let libraries = libraries(&place);
        for mode in ["4096x4096@60", "3840x3840@60"] {
            let client = ClientStart::new(&place, host.port).env("LD_LIBRARY_PATH", &libraries);
            let client = client.args(&["--mode", mode, "--seconds", "1"]).run();
            let sides = mode.split('@').next().unwrap();
            client.expect_code(5).expect_said(&[sides, "36864 macroblocks", "smaller mode"]);
        }
        assert!(place.desktops().is_empty());
        let said = host.stop().stderr;
        assert!(!said.contains("is not ready"), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = Place::new();
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let ended = HostStart::new(&place, "card").listen(&address.to_string()).refused();
    ended.expect_error(7).expect_said(&[&address.port().to_string(), "in use", "--listen"]);
}

#[test]
fn a_missing_compositor_is_named_with_its_package() {
    let place = Place::new();
    std::fs::create_dir(place.path("bin")).unwrap();
    let ended = HostStart::new(&place, "wayland").env("PATH", place.path("bin")).refused();
    ended.expect_code(8).expect_said(&["apt install sway", "WAYLAND_DISPLAY"]);
    place.assert_empty(PATIENCE);
}

#[test]
fn without_a_compositor_auto_falls_back_to_the_card_and_says_so() {
    let (_turn, place) = (session_turn(), Place::new());
    std::fs::create_dir(place.path("bin")).unwrap();
    let host = HostStart::new(&place, "auto").args(&["--once"]).env("PATH", place.path("bin")).ready();
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
    client.expect_code(0);
    let summary = client.json();
    let source = summary["source"].as_str().unwrap();
    assert!(source.starts_with("test card 1280x720@60, because") && source.contains("sway"), "{source}");
    assert_eq!(host.events("welcome")[0]["source"], source);
    assert!(count(&summary, "/card/read") > 0, "{summary:#}");
    host.ends().expect_said(&["falling back to the test card"]);
}

#[test]
fn wrong_arguments_end_the_host_with_64() {
    let place = Place::new();
    let cases: [(&[&str], &str, &str); 7] = [
        (&["--open", "--trust", NOBODY], "card", "cannot be used with"),
        (&["--trust", "abc"], "card", "64 hex digits"),
        (&["--open"], "pipes", "bitstream:KEY=VALUE"),
        (&["--open"], "bitstream:colour=red", "rate, fps, slices, idr and seed"),
        (&["--open", "--slices", "99"], "card", "--slices"),
        (&["--open", "--link", "499"], "card", "500..=100000000"),
        (&["--open", "--link", "100000001"], "card", "500..=100000000"),
    ];
    for (belief, source, said) in cases {
        let ended = HostStart::new(&place, source).belief(belief).refused();
        ended.expect_error(64).expect_said(&[said]);
    }
}

#[test]
fn malformed_settings_in_the_environment_end_the_host_with_64() {
    let place = Place::new();
    for (name, value) in [
        ("PUNKTFUNK_LOG", "=,=nonsense=["),
        ("PUNKTFUNK_PIN", "maybe"),
        ("PUNKTFUNK_REALTIME", ""),
        ("PUNKTFUNK_MLOCK", "no"),
        ("PUNKTFUNK_SEAL", "wax"),
        ("PUNKTFUNK_SEAL", ""),
        ("PUNKTFUNK_NET", "pigeons"),
        ("PUNKTFUNK_NET", ""),
        ("PUNKTFUNK_SPIN_US", "-1"),
        ("PUNKTFUNK_STAGES", "some"),
        ("PUNKTFUNK_FEC_KERNEL", "abacus"),
        ("PUNKTFUNK_FEC_KERNEL", ""),
    ] {
        let ended = HostStart::new(&place, "card").env(name, value).refused();
        ended.expect_code(64).expect_said(&[name]);
    }
}

#[test]
fn what_ends_the_host_is_said_with_the_log_off() {
    let place = Place::new();
    let ended = HostStart::new(&place, "file:nowhere.y4m").env("PUNKTFUNK_LOG", "off").refused();
    ended.expect_code(6).expect_said(&["punktfunk-host:", "nowhere.y4m"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}
