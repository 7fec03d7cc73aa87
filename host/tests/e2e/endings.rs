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

/// A host that is back must have its client back by then.
const CLIENT_IS_BACK: Duration = Duration::from_secs(1);

/// A client that records the card, once its recording has begun.
fn streaming(place: &Place, host: &Host) -> Client {
    streaming_and(place, host, &[])
}

/// The same, with more arguments.
fn streaming_and(place: &Place, host: &Host, args: &[&str]) -> Client {
    let recording = place.write("recording.h264", b"");
    let client = ClientStart::new(place, host.port)
        .args(&["--mode", "640x360@60"])
        .args(args)
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
    let client = streaming_and(&place, &host, &["--reconnect", "0"]);
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
    second.expect_error(11).expect_said(&["another client is in session"]);
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

/// The host is killed and started again: its client has pictures again without a word, and both recordings.
#[test]
fn a_killed_host_that_is_started_again_has_its_client_back_within_a_second() {
    let (_turn, place) = (session_turn(), Place::new());
    let mut host = HostStart::new(&place, "card").ready();
    let port = host.port;
    let client = streaming(&place, &host);
    host.program.kill();
    drop::<Program>(host.program);
    let again = HostStart::new(&place, "card").listen(&format!("127.0.0.1:{port}")).ready();
    assert_eq!(again.port, port);
    let there = Instant::now();
    again.event("welcome", 0, PATIENCE);
    let took = there.elapsed();
    eprintln!("the client was back after {took:?}");
    assert!(took < CLIENT_IS_BACK + MARGIN, "back after {took:?}");
    let further = place.path("recording-2.h264");
    look("the further recording", PATIENCE, || {
        std::fs::metadata(&further).is_ok_and(|file| file.len() > 20_000).then_some(())
    });
    client.program.signal("INT");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0).expect_said(&["does not know this session any more", "looked for, for 30 s"]);
    let summary = ended.json();
    assert_all_came(&summary);
    assert_eq!((count(&summary, "/reconnects"), summary["earlier"].as_array().unwrap().len()), (1, 1));
    assert!(summary["away_s"].as_f64().unwrap() < 30.0, "{summary:#}");
    assert!(count(&summary, "/earlier/0/pictures/decoded") > 0, "{summary:#}");
    for (name, decoded) in
        [("recording.h264", "/earlier/0/pictures/decoded"), ("recording-2.h264", "/pictures/decoded")]
    {
        if let Some(recorded) = probe_recording(&place.path(name), false) {
            assert_eq!(recorded.pictures, count(&summary, decoded), "{name}");
        }
    }
    again.stop();
}

#[test]
fn a_host_that_does_not_come_back_is_looked_for_as_long_as_was_said() {
    let (_turn, place) = (session_turn(), Place::new());
    let mut host = HostStart::new(&place, "card").ready();
    let client = streaming_and(&place, &host, &["--reconnect", "1"]);
    host.program.kill();
    let killed = Instant::now();
    let ended = client.program.wait(PATIENCE);
    let took = killed.elapsed();
    assert!(took < CLIENT_TELLS + Duration::from_secs(1) + MARGIN, "ended after {took:?}");
    ended.expect_code(9).expect_said(&["silent", "looked for, for 1 s"]);
    let summary = ended.json();
    assert!(count(&summary, "/pictures/decoded") > 0 && count(&summary, "/reconnects") == 0, "{summary:#}");
}

#[test]
fn what_is_said_on_standard_input_is_done_in_mid_stream() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").ready();
    let said = "mode 320x240@30\nbitrate 3000\ncodec av1\nmode big\n\u{1b}[2J\ndeny 7\nmode 62x62@60\n";
    let client = streaming_and(&place, &host, &["--commands"]);
    client.program.signal("INT");
    client.program.wait(PATIENCE).expect_code(0);
    // The same with something to read, and an end of its own.
    let client = ClientStart::new(&place, host.port).args(&["--commands"]).typing(said).start();
    let told = look("the answers", PATIENCE, || {
        let told = client.program.stderr();
        (told.matches(" from access unit ").count() >= 2 && told.contains("does not change")).then_some(told)
    });
    for part in [
        "320x240@30 at",
        "at 3000 kbit/s from access unit",
        "h264 is the only one",
        "mode WxH@R",
        "no command",
        "no device with number 7 waits",
        "62x62",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    assert!(!told.contains('\u{1b}'), "{told:?}");
    client.program.signal("INT");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    let summary = ended.json();
    assert_all_came(&summary);
    let changed = &summary["reconfigured"];
    assert_eq!((count(changed, "/done"), count(changed, "/refused")), (2, 1), "{summary:#}");
    assert_eq!(
        (count(changed, "/now/width"), count(changed, "/now/bitrate_kbps")),
        (320, 3_000),
        "{summary:#}"
    );
    // And one that leaves by itself.
    let client = ClientStart::new(&place, host.port).args(&["--commands"]).typing("quit\n").start();
    client.program.wait(PATIENCE).expect_code(0);
    host.stop();
}
