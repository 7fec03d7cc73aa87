//! How sessions end: killed at either end, asked at either end, refused because another runs.

use std::time::{Duration, Instant};

use crate::support::{
    Client, ClientStart, Host, HostStart, MARGIN, PATIENCE, Place, Program, assert_all_came, count, look,
    probe_recording, session_turn,
};

/// A client must have told of its host's death by then.
const CLIENT_TELLS: Duration = Duration::from_secs(3);

/// A host must be free for the next client by then.
const HOST_IS_FREE: Duration = Duration::from_secs(5);

/// A client that records the card, once its recording has begun.
fn streaming(place: &Place, host: &Host) -> Client {
    let recording = place.write("recording.h264", b"");
    let client = ClientStart::new(place, host.port)
        .args(&["--mode", "640x360@60"])
        .file("--record", &recording)
        .start();
    look("a recording", PATIENCE, || {
        std::fs::metadata(&recording).is_ok_and(|file| file.len() > 20_000).then_some(())
    });
    client
}

#[test]
fn a_killed_hosts_client_says_so_and_keeps_what_came() {
    let (_turn, place) = (session_turn(), Place::new());
    let mut host = HostStart::new(&place, "card").ready();
    let client = streaming(&place, &host);
    host.program.kill();
    let killed = Instant::now();
    let ended = client.program.wait(PATIENCE);
    let took = killed.elapsed();
    eprintln!("the client told of it after {took:?}");
    assert!(took < CLIENT_TELLS + MARGIN, "told after {took:?}");
    ended.expect_code(9).expect_said(&["silent", "killed"]);
    let summary = ended.json();
    let decoded = count(&summary, "/pictures/decoded");
    assert!(decoded > 0 && summary["ended"].as_str().unwrap().contains("silent"), "{summary:#}");
    assert_eq!(summary["pictures"]["sent_is_final"], false, "{summary:#}");
    if let Some(recorded) = probe_recording(&place.path("recording.h264"), false) {
        assert_eq!(recorded.pictures, decoded);
    }
}

#[test]
fn a_killed_client_frees_its_place_for_the_next() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").ready();
    let mut client = streaming(&place, &host);
    client.program.kill();
    let killed = Instant::now();
    let ended = host.event("ended", 0, PATIENCE);
    let took = killed.elapsed();
    eprintln!("the host was free after {took:?}");
    assert!(took < HOST_IS_FREE + MARGIN, "free after {took:?}");
    assert!(ended["reason"].as_str().unwrap().contains("silent"), "{ended}");
    assert_eq!(host.events("figures").len(), 1, "a session's figures come before its end");
    if let Some(recorded) = probe_recording(&place.path("recording.h264"), true) {
        assert!(recorded.pictures > 0, "{recorded:?}");
    }
    let next = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
    next.expect_code(0);
    assert_all_came(&next.json());
    host.stop();
}

#[test]
fn a_second_client_is_told_that_the_host_is_busy() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let first = streaming(&place, &host);
    let second = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
    second.expect_code(11).expect_said(&["another client is in session"]);
    assert!(second.stdout.is_empty(), "{}", second.stdout);
    first.program.signal("INT");
    let ended = first.program.wait(PATIENCE);
    ended.expect_code(0);
    // The first one did not notice.
    assert_all_came(&ended.json());
    host.ends();
}

#[test]
fn a_client_that_is_interrupted_ends_in_order() {
    let (_turn, place) = (session_turn(), Place::new());
    for signal in ["INT", "TERM", "HUP"] {
        let host = HostStart::new(&place, "card").args(&["--once"]).ready();
        let client = streaming(&place, &host);
        client.program.signal(signal);
        let asked = Instant::now();
        let ended = client.program.wait(PATIENCE);
        assert!(asked.elapsed() < CLIENT_TELLS + MARGIN, "SIG{signal} took {:?}", asked.elapsed());
        ended.expect_code(0).expect_said(&[]);
        let summary = ended.json();
        assert_all_came(&summary);
        if let Some(recorded) = probe_recording(&place.path("recording.h264"), false) {
            assert_eq!(recorded.pictures, count(&summary, "/pictures/decoded"));
        }
        let figures = host.event("figures", 0, PATIENCE);
        assert_eq!(figures["aus_sent"], summary["pictures"]["sent"]);
        let reason = host.event("ended", 0, PATIENCE)["reason"].to_string();
        assert!(reason.contains("the client left"), "{reason}");
        host.ends();
    }
}

#[test]
fn a_host_that_is_asked_to_end_tells_its_client() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").ready();
    let client = streaming(&place, &host);
    host.stop();
    let stopped = Instant::now();
    let ended = client.program.wait(PATIENCE);
    assert!(stopped.elapsed() < CLIENT_TELLS, "told, not timed out: {:?}", stopped.elapsed());
    ended.expect_code(9).expect_said(&["the host ended the session", "the host program ends"]);
    let summary = ended.json();
    assert_all_came(&summary);
    if let Some(recorded) = probe_recording(&place.path("recording.h264"), false) {
        assert_eq!(recorded.pictures, count(&summary, "/pictures/decoded"));
    }
}

#[test]
fn a_killed_hosts_port_is_free_for_the_next() {
    let (_turn, place) = (session_turn(), Place::new());
    let mut host = HostStart::new(&place, "card").ready();
    let port = host.port;
    let client = streaming(&place, &host);
    host.program.kill();
    drop::<Program>(host.program);
    let again = HostStart::new(&place, "card").listen(&format!("127.0.0.1:{port}")).ready();
    assert_eq!(again.port, port);
    // The new host knows nothing of the old one's client, which must not mistake it for the old.
    client.program.wait(PATIENCE).expect_code(9);
    let next = ClientStart::new(&place, port).args(&["--seconds", "1"]).run();
    next.expect_code(0);
    again.stop();
}
