//! Clients and hosts that leave when it suits them least: while a desktop starts, twice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    ClientStart, HostStart, PATIENCE, Place, look, processes_of, session_turn, slow_sway, sway_turn,
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
    host.ends();
    // With the host's own end, not some time after it.
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
    let host = HostStart::new(&place, "wayland").env("PATH", slow_sway(&place, SLOW_S)).ready();
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
