//! Clients and hosts that leave when it suits them least: while a desktop starts, twice, from another address.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_net::{Socket, SocketConfig};

use crate::support::{
    Between, ClientStart, HostStart, PATIENCE, Place, count, look, processes_of, session_turn, slow_sway,
    stubborn_sway, sway_turn,
};

/// What a sway takes longer than it would, in seconds: time enough to leave.
const SLOW_S: u32 = 3;

#[test]
fn a_client_that_leaves_while_its_desktop_opens_leaves_nothing() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").args(&["--once"]).env("PATH", slow_sway(&place, SLOW_S));
    let host = host.ready();
    let client = ClientStart::new(&place, host.port).start();
    look("sway on its way", PATIENCE, || (!place.desktops().is_empty()).then_some(()));
    client.program.signal("TERM");
    client.program.wait(PATIENCE);
    let left = Instant::now();
    host.ends();
    // Nobody waits until it would have been there.
    assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
    // With the host's own end, not some time after it.
    place.assert_empty(Duration::ZERO);
}

#[test]
fn a_host_that_ends_gives_up_the_desktop_that_it_opens() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").env("PATH", slow_sway(&place, 60)).ready();
    let client = ClientStart::new(&place, host.port).start();
    look("sway on its way", PATIENCE, || (!place.desktops().is_empty()).then_some(()));
    let asked = Instant::now();
    host.stop();
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    client.program.wait(PATIENCE).expect_code(9).expect_said(&["the host program ends"]);
    place.assert_empty(Duration::ZERO);
}

#[test]
fn clients_that_come_and_leave_never_have_two_desktops_at_a_time() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").env("PATH", slow_sway(&place, 1)).ready();
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(place.desktops().len(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
        });
        for client in 0..3 {
            let leaving = ClientStart::new(&place, host.port).start();
            host.event("hello", client, PATIENCE);
            thread::sleep(Duration::from_millis(200));
            leaving.program.signal("TERM");
            leaving.program.wait(PATIENCE);
            host.event("ended", client, PATIENCE);
        }
        // One that stays waits for those before it, and gets its own.
        let stays = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
        done.store(true, Ordering::Relaxed);
        stays.expect_code(0);
    });
    assert_eq!(most.load(Ordering::Relaxed), 1, "desktops at a time");
    host.stop();
    place.assert_empty(Duration::ZERO);
}

#[test]
fn a_host_that_ends_turns_newcomers_away_and_goes_at_once_when_asked_twice() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").env("PATH", stubborn_sway(&place, 60)).ready();
    let client = ClientStart::new(&place, host.port).start();
    look("sway's delay", PATIENCE, || {
        processes_of(place.folder()).iter().any(|process| process.ends_with("sleep")).then_some(())
    });
    host.program.signal("HUP");
    client.program.wait(PATIENCE).expect_code(9).expect_said(&["the host program ends"]);
    let newcomer = ClientStart::new(&place, host.port).run();
    newcomer.expect_said(&["the host is shutting down", "the host program ends"]);
    let asked = Instant::now();
    host.program.signal("INT");
    let ended = host.program.wait(PATIENCE);
    ended.expect_code(130);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    // Nobody is left to wait for it, and still it goes.
    place.assert_empty(Duration::from_secs(5));
}

#[test]
fn a_hangup_ends_the_host_in_order() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").ready();
    host.program.signal("HUP");
    host.ends();
}

#[test]
fn a_client_that_cannot_be_reached_where_it_seems_to_be_keeps_its_media() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let dest = SocketAddr::from((Ipv4Addr::LOCALHOST, host.port));
    // What the host sends there is read by nobody.
    let elsewhere = Socket::open(&SocketConfig::new((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let has_moved = std::sync::Arc::new(AtomicBool::new(false));
    let moves = std::sync::Arc::clone(&has_moved);
    let between = Between::start(
        host.port,
        Box::new(move |datagram, send| match has_moved.load(Ordering::Relaxed) {
            false => send(datagram),
            true => elsewhere.send_to(dest, None, datagram, None).unwrap(),
        }),
        Box::new(|datagram, send| send(datagram)),
    );
    let client = ClientStart::new(&place, between.port()).args(&["--mode", "640x360@60", "--seconds", "4"]);
    let recording = place.path("recording.h264");
    let client = client.file("--record", &recording).start();
    look("a recording", PATIENCE, || {
        std::fs::metadata(&recording).is_ok_and(|file| file.len() > 20_000).then_some(())
    });
    moves.store(true, Ordering::Relaxed);
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    host.ends();
    let summary = ended.json();
    assert_eq!(count(&summary, "/path/changed"), 0, "{summary:#}");
    assert!(count(&summary, "/path/refused") > 0, "{summary:#}");
    // Its media went on to the end, most of it after the move.
    let is_little = std::fs::metadata(&recording).is_ok_and(|file| file.len() < 100_000);
    assert!(!is_little && count(&summary, "/pictures/decoded") > 60, "{summary:#}");
}
