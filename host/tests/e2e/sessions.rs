//! Several sessions at once: each its own, as many as there are places, and a client that comes again has its own place.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Client, ClientStart, Ended, Host, HostStart, MARGIN, PATIENCE, Place, assert_all_came, count, look,
    session_turn,
};

/// A client that comes again has pictures by then.
const BACK: Duration = Duration::from_secs(1);

/// Pictures whose every byte is checked.
const VERIFIED: &str = "bitstream:rate=5M,fps=60,slices=2";

/// A client of its own key, that streams until it is told to stop; from when on is known by the host's figures.
fn start<'a>(place: &'a Place, host: &Host, identity: &str) -> ClientStart<'a> {
    ClientStart::new(place, host.port).identity(identity).args(&["--name", identity])
}

/// Waits until this many sessions have been welcomed, all in all.
fn welcomed(host: &Host, count: usize) -> Value {
    host.event("welcome", count - 1, PATIENCE)
}

fn interrupted(client: Client) -> Ended {
    client.program.signal("INT");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    ended
}

/// Everything that came is what was sent.
fn assert_verified(ended: &Ended) {
    let summary = ended.json();
    assert_all_came(&summary);
    assert_eq!(count(&summary, "/verified/wrong"), 0, "{summary:#}");
    assert!(count(&summary, "/verified/slices") > 0, "{summary:#}");
}

#[test]
fn two_clients_have_each_their_own_session_with_its_own_mode() {
    let (_turn, place) = (session_turn(), Place::new());
    let perf = place.path("perf");
    let host = HostStart::new(&place, "card").env("PUNKTFUNK_PERF", &perf).ready();
    let modes = [("one", (640, 360, 60)), ("two", (320, 240, 30))];
    let clients = modes.map(|(identity, mode)| {
        let asked = format!("{}x{}@{}", mode.0, mode.1, mode.2);
        let client = start(&place, &host, identity).args(&["--mode", &asked, "--bitrate", "2000"]);
        (mode, client.args(&["--seconds", "2"]).start())
    });
    for ((width, height, hz), client) in clients {
        let ended = client.program.wait(PATIENCE);
        ended.expect_code(0);
        let summary = ended.json();
        assert_all_came(&summary);
        let mode = &summary["mode"];
        assert_eq!((count(mode, "/width"), count(mode, "/height")), (width, height), "{summary:#}");
        assert_eq!(mode["refresh_hz"], f64::from(hz), "{summary:#}");
        // Half a session's pictures at least, at the rate that this one has asked for.
        assert!((hz..=hz * 2 + 10).contains(&(count(&summary, "/pictures/sent") as u32)), "{summary:#}");
    }
    let figures = [host.event("figures", 0, PATIENCE), host.event("figures", 1, PATIENCE)];
    assert_ne!(figures[0]["session"], figures[1]["session"]);
    host.stop();
    // Neither has written over the other's.
    for log in ["perf-host.hlog", "perf-host-2.hlog"] {
        let log = std::fs::File::open(perf.join(log)).unwrap_or_else(|error| panic!("{log}: {error}"));
        assert!(!punktfunk_perf::parse_log(log).unwrap().cut_off);
    }
    place.assert_empty(PATIENCE);
}

#[test]
fn one_too_many_is_told_the_number_and_the_others_do_not_notice() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, VERIFIED).args(&["--sessions", "2"]).ready();
    let one = start(&place, &host, "one").start();
    welcomed(&host, 1);
    let two = start(&place, &host, "two").start();
    welcomed(&host, 2);
    let three = start(&place, &host, "three").args(&["--seconds", "1"]).run();
    three.expect_code(11).expect_said(&["busy", "all 2 sessions", "--sessions"]);
    // A place that is left is had by the next.
    assert_verified(&interrupted(two));
    let three = start(&place, &host, "three").args(&["--seconds", "1"]).run();
    three.expect_code(0);
    assert_verified(&three);
    assert_verified(&interrupted(one));
    host.stop();
    place.assert_empty(PATIENCE);
}

#[test]
fn a_client_that_comes_again_has_its_place_at_once_and_the_one_before_is_told() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, VERIFIED).args(&["--sessions", "2"]).ready();
    let other = start(&place, &host, "other").start();
    welcomed(&host, 1);
    let before = start(&place, &host, "again").start();
    welcomed(&host, 2);
    let after = start(&place, &host, "again").start();
    let ended = before.program.wait(PATIENCE);
    ended.expect_code(9).expect_said(&["the same client has come again"]);
    welcomed(&host, 3);
    let taken = host.event("taken_over", 0, PATIENCE);
    assert!(taken["by"].as_u64() > taken["session"].as_u64(), "{taken}");
    assert_verified(&interrupted(after));
    assert_verified(&interrupted(other));
    host.stop();
}

#[test]
fn a_killed_client_that_is_started_again_streams_within_a_second() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, VERIFIED).args(&["--sessions", "1"]).ready();
    let (mut client, mut took) = (start(&place, &host, "one").start(), Vec::new());
    welcomed(&host, 1);
    for turn in 2..5 {
        client.program.kill();
        let killed = Instant::now();
        drop(std::mem::replace(&mut client, start(&place, &host, "one").start()));
        // Media flows from its Start on, which follows the Welcome by a round trip.
        look("a Welcome", PATIENCE, || host.events("welcome").get(turn - 1).cloned());
        took.push(killed.elapsed());
    }
    eprintln!("killed clients were welcomed again after {took:?}");
    assert!(took.iter().all(|took| *took < BACK + MARGIN), "{took:?}");
    assert_eq!(host.events("taken_over").len(), 3);
    assert_verified(&interrupted(client));
    host.stop();
}
