//! Several sessions at once: each its own, as many as there are places, and a client that comes again has its own place.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use punktfunk_control::limits::START_MAX;
use punktfunk_control::{ClientControl, ClientEvent, Codec, ConnectError, Hello, Identity, Mode, Trust};
use punktfunk_proto::is_media;
use serde_json::Value;

use crate::support::{
    Client, ClientStart, Ended, Host, HostStart, MARGIN, PATIENCE, Place, assert_all_came, count, look,
    session_turn, slow_sway, sway_turn,
};

/// A client that comes again has pictures by then.
const BACK: Duration = Duration::from_secs(1);

/// A client that is there and does nothing is left after this long.
const STILL_MAX: Duration = Duration::from_secs(5);

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
fn a_killed_client_that_is_started_again_has_pictures_within_a_second() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--sessions", "1"]).ready();
    let begin = || start(&place, &host, "one").args(&["--mode", "320x180@60"]).start_telling();
    let (mut client, mut took) = (begin(), Vec::new());
    client.has_pictures(1);
    for _ in 0..3 {
        client.program.kill();
        let killed = Instant::now();
        drop(std::mem::replace(&mut client, begin()));
        client.has_pictures(1);
        took.push(killed.elapsed());
    }
    eprintln!("killed clients had pictures again after {took:?}");
    assert!(took.iter().all(|took| *took < BACK + MARGIN), "{took:?}");
    assert_eq!(host.events("taken_over").len(), 3);
    let summary = interrupted(client).json();
    assert_all_came(&summary);
    let first_s = summary["first_picture_s"].as_f64().unwrap();
    assert!((0.0..(BACK + MARGIN).as_secs_f64()).contains(&first_s), "{summary:#}");
    host.stop();
}

/// A client that speaks QUIC and does nothing else; returns how it ended, and after how long.
fn mute(port: u16, starts: bool) -> (ConnectError, Duration) {
    let began = Instant::now();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (host, local) = (SocketAddr::from(([127, 0, 0, 1], port)), socket.local_addr().unwrap().ip());
    let mode = Mode { width: 640, height: 360, refresh_mhz: 60_000 };
    let mut hello = Hello::new("mute", mode, 5_000);
    hello.codecs = vec![Codec::Pattern];
    let identity = Identity::generate().unwrap();
    let mut control =
        ClientControl::connect(identity, Trust::Open, host, hello, began + PATIENCE, began).unwrap();
    let (mut buffer, mut outgoing) = ([0; 65_536], Vec::new());
    while began.elapsed() < PATIENCE {
        let now = Instant::now();
        while let Some(transmit) = control.poll_transmit(now, &mut outgoing) {
            let segment = transmit.segment_bytes.unwrap_or(transmit.bytes_len).max(1);
            for datagram in outgoing[..transmit.bytes_len].chunks(segment) {
                socket.send_to(datagram, transmit.dest).unwrap();
            }
        }
        let due = control.poll_timeout().map_or(now + PATIENCE, |due| due);
        let wait =
            due.saturating_duration_since(now).clamp(Duration::from_millis(1), Duration::from_millis(20));
        socket.set_read_timeout(Some(wait)).unwrap();
        if let Ok((bytes, from)) = socket.recv_from(&mut buffer)
            && !is_media(buffer[0])
        {
            control.handle_datagram(from, Some(local), &buffer[..bytes], Instant::now());
        }
        control.handle_timeout(Instant::now());
        while let Some(event) = control.poll_event() {
            match event {
                ClientEvent::Welcome { .. } if starts => control.start(Instant::now()).unwrap(),
                ClientEvent::Ended { reason } => return (reason, began.elapsed()),
                _ => {}
            }
        }
    }
    panic!("nothing became of a client that does nothing");
}

#[test]
fn clients_that_do_nothing_are_ended_each_with_its_reason_and_the_others_do_not_notice() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, VERIFIED).args(&["--sessions", "3"]).ready();
    let one = start(&place, &host, "one").start();
    welcomed(&host, 1);
    let port = host.port;
    let [silent, idle] = [true, false].map(|starts| std::thread::spawn(move || mute(port, starts)));
    let (reason, took) = silent.join().unwrap();
    let said = reason.to_string();
    assert!(said.contains("stands still") && said.contains("has reported nothing for 5 s"), "{said}");
    assert!((STILL_MAX..STILL_MAX + MARGIN).contains(&took), "{took:?}");
    assert!(host.event("still", 0, PATIENCE)["reason"].as_str().unwrap().contains("reported nothing"));
    let (reason, took) = idle.join().unwrap();
    assert!((START_MAX..START_MAX + MARGIN).contains(&took), "{took:?}: {reason}");
    let ends = look("both ends", PATIENCE, || Some(host.events("ended")).filter(|ends| ends.len() == 2));
    assert!(ends.iter().any(|end| end["reason"].as_str().unwrap().contains("Start")), "{ends:?}");
    assert_verified(&interrupted(one));
    host.stop();
    place.assert_empty(PATIENCE);
}

/// What a sway takes longer than it would, in seconds.
const SLOW_S: u32 = 3;

#[test]
fn slow_desktops_are_opened_and_ended_beside_each_other() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "sway").env("PATH", slow_sway(&place, SLOW_S)).ready();
    let began = Instant::now();
    let clients = ["one", "two"].map(|identity| {
        let client = start(&place, &host, identity).args(&["--mode", "320x180@30", "--bitrate", "2000"]);
        client.start()
    });
    welcomed(&host, 2);
    let took = began.elapsed();
    let slow = Duration::from_secs(SLOW_S.into());
    assert!((slow..slow + MARGIN).contains(&took), "both were there after {took:?}");
    assert_eq!(place.desktops().len(), 2);
    let [one, two] = clients;
    interrupted(one);
    look("the end of the first one's desktop", PATIENCE, || (place.desktops().len() == 1).then_some(()));
    assert_all_came(&interrupted(two).json());
    host.stop();
    place.assert_empty(PATIENCE);
}
