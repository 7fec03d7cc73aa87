//! Pairing and knocking between two real ends: who is let in, when, and what is left of those who are not.

use std::time::Duration;

use super::network::{Rng, Way};
use super::pair::{Pair, hello};
use crate::limits::{ALPN, PENDING_MAX, PENDING_PER_ADDRESS_MAX, PENDING_WAIT_MAX};
use crate::pairing::{Pin, WindowEnd};
use crate::{
    ApplicantEvent, ConnectError, Fingerprint, HostEvent, HostLimits, Identity, PairError, RejectReason,
    SessionEnd, SessionId, Trust, TurnedAwayReason, Wish,
};

const SOON: Duration = Duration::from_secs(4);
const WINDOW: Duration = Duration::from_secs(120);

fn closed_host(name: &str) -> Pair {
    host_on(name, Way::LAN, 1)
}

fn host_on(name: &str, way: Way, seed: u64) -> Pair {
    Pair::with(name, seed, way, way, Trust::Pinned(vec![]), HostLimits::default(), ALPN)
}

fn wrong(pin: &Pin) -> Pin {
    let text = pin.reveal();
    let last = if text.ends_with('0') { "1" } else { "0" };
    (text[..5].to_owned() + last).parse().unwrap()
}

/// The device that has proven the PIN.
fn proven(pair: &Pair) -> Option<(SessionId, Fingerprint)> {
    pair.events.iter().find_map(|event| match event {
        HostEvent::PinProven { session, fingerprint, .. } => Some((*session, *fingerprint)),
        _ => None,
    })
}

fn closed(pair: &Pair) -> Vec<WindowEnd> {
    let end = |event: &HostEvent| match event {
        HostEvent::PairingClosed { end } => Some(*end),
        _ => None,
    };
    pair.events.iter().filter_map(end).collect()
}

/// Whether the client gets a session now.
fn connects(pair: &mut Pair, client: &Identity) -> bool {
    let trust = Trust::Pinned(vec![pair.host_identity.fingerprint()]);
    let index = pair.connect_with(client, trust, hello(), ALPN);
    pair.run_until(SOON, |pair| pair.skew(index).is_some() || pair.clients[index].ended.is_some());
    pair.skew(index).is_some()
}

/// Runs until a guest's outcome is known; the program lets in whoever proves the PIN.
fn run_guest(pair: &mut Pair, guest: usize, at_most: Duration) -> Option<Result<(), PairError>> {
    pair.run_until(at_most, |pair| proven(pair).is_some() || pair.guests[guest].outcome().is_some());
    if let Some((id, fingerprint)) = proven(pair) {
        pair.events.retain(|event| !matches!(event, HostEvent::PinProven { .. }));
        pair.host.set_trust(Trust::Pinned(vec![fingerprint]), pair.now).unwrap();
        pair.host.admit(id, "tower", pair.now).unwrap();
        pair.run_until(at_most, |pair| pair.guests[guest].outcome().is_some());
    }
    pair.guests[guest].outcome()
}

#[test]
fn cve_2024_31221_paired_by_pin_in_session_revoked_and_refused_from_then_on() {
    let (mut pair, client) = (closed_host("pairs"), Identity::generate().unwrap());
    assert!(!connects(&mut pair, &client), "nobody knows it yet");
    let armed = pair.host.arm_pairing(WINDOW, pair.now).unwrap();
    let guest = pair.apply(&client, Wish::Pair(armed.pin), "a desk");
    assert_eq!(run_guest(&mut pair, guest, SOON), Some(Ok(())));
    let host = pair.host_identity.fingerprint();
    let admitted = pair.guests[guest].events.last();
    assert!(
        matches!(admitted, Some(ApplicantEvent::Admitted { host_name, host_fingerprint })
            if host_name == "tower" && *host_fingerprint == host),
        "{admitted:?}"
    );
    assert_eq!(closed(&pair), [WindowEnd::Used]);
    assert!(connects(&mut pair, &client));

    // Unpaired clients came back until the program was started anew.
    let (live, began) = (pair.clients.len() - 1, pair.now);
    pair.host.set_trust(Trust::Pinned(vec![]), pair.now).unwrap();
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.clients[live].ended.is_some()));
    assert!(pair.run_until(Duration::from_secs(1), |pair| !pair.ended.is_empty()));
    assert!(pair.now - began <= Duration::from_secs(1), "{:?}", pair.now - began);
    assert!(matches!(pair.ended[0].1, SessionEnd::HostLeft(_)), "{:?}", pair.ended[0]);
    for _ in 0..3 {
        assert!(!connects(&mut pair, &client));
    }
    let ours = client.fingerprint();
    assert_eq!(pair.clients.last().unwrap().ended, Some(ConnectError::HostDemandsTrust { ours }));
}

/// A radio link that loses, doubles and reorders is no reason to fail, and no way to guess twice.
#[test]
fn pairing_survives_a_bad_link() {
    for seed in 1..=4 {
        let (mut pair, client) = (host_on("bad link", Way::BAD, seed), Identity::generate().unwrap());
        let armed = pair.host.arm_pairing(WINDOW, pair.now).unwrap();
        let guest = pair.apply(&client, Wish::Pair(armed.pin), "a desk");
        let outcome = run_guest(&mut pair, guest, Duration::from_secs(20));
        assert_eq!(outcome, Some(Ok(())), "seed {seed}");
    }
}

#[test]
fn a_wrong_pin_three_times_disarms() {
    let mut pair = closed_host("wrong PINs");
    let armed = pair.host.arm_pairing(WINDOW, pair.now).unwrap();
    for left in [2, 1, 0] {
        let guest = pair.apply(&Identity::generate().unwrap(), Wish::Pair(wrong(&armed.pin)), "a guesser");
        assert_eq!(run_guest(&mut pair, guest, SOON), Some(Err(PairError::Unproven)));
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.host.pairing_window().map_or(0, |window| window.guesses_left), left);
    }
    assert_eq!(closed(&pair), [WindowEnd::Failures]);
    let guest = pair.apply(&Identity::generate().unwrap(), Wish::Pair(armed.pin), "too late");
    assert_eq!(run_guest(&mut pair, guest, SOON), Some(Err(PairError::Unproven)), "the right PIN too");
    assert!(pair.host.arm_pairing(WINDOW, pair.now).is_err(), "and not at once again");
    pair.run_for(Duration::from_secs(5));
    assert!(pair.host.arm_pairing(WINDOW, pair.now).is_ok());
    assert!(proven(&pair).is_none());
}

/// The certificate was stored before the PIN was checked. Nothing is told to the program before.
#[test]
fn cve_2024_45407_nothing_is_told_before_the_pin_is_proven() {
    let (mut pair, client) = (closed_host("told"), Identity::generate().unwrap());
    let armed = pair.host.arm_pairing(WINDOW, pair.now).unwrap();
    let guest = pair.apply(&client, Wish::Pair(wrong(&armed.pin)), "a guesser");
    run_guest(&mut pair, guest, SOON);
    pair.run_for(Duration::from_secs(1));
    for event in &pair.events {
        assert!(matches!(event, HostEvent::Rejected { reason: RejectReason::NotPaired, .. }), "{event:?}");
    }
    assert!(!connects(&mut pair, &client));
}

/// A pairing whose client goes at any point leaves nobody let in, and costs a guess from the host's answer on.
#[test]
fn a_pairing_that_is_cut_off_leaves_nothing() {
    let mut rng = Rng::announced("cut off", 7);
    let mut told = 0;
    for _ in 0..60 {
        let (mut pair, client) = (closed_host("cut off"), Identity::generate().unwrap());
        let armed = pair.host.arm_pairing(WINDOW, pair.now).unwrap();
        let guest = pair.apply(&client, Wish::Pair(armed.pin), "a desk");
        pair.run_for(Duration::from_micros(rng.below(1_500)));
        pair.guests[guest].dead = true;
        pair.run_for(Duration::from_secs(8));
        if let Some((id, _)) = proven(&pair) {
            told += 1;
            // The program was told, so the PIN was proven; it has not answered, and the visit is over.
            assert!(pair.host.admit(id, "tower", pair.now).is_err());
        } else {
            assert!(pair.host.pairing_window().is_some());
        }
        assert!(pair.host.is_idle(), "no connection is left");
        assert!(!connects(&mut pair, &client));
    }
    assert!((1..60).contains(&told), "{told} of 60 came to the end");
}

/// A pairing that the host's program cannot write down is told so, and nobody is let in.
#[test]
fn a_device_that_could_not_be_written_down_is_told_so() {
    let (mut pair, client) = (closed_host("fault"), Identity::generate().unwrap());
    let armed = pair.host.arm_pairing(WINDOW, pair.now).unwrap();
    let guest = pair.apply(&client, Wish::Pair(armed.pin), "a desk");
    assert!(pair.run_until(SOON, |pair| proven(pair).is_some()));
    let (id, _) = proven(&pair).unwrap();
    pair.host.turn_away(id, TurnedAwayReason::Fault, pair.now).unwrap();
    pair.run_until(SOON, |pair| pair.guests[guest].outcome().is_some());
    let fault = PairError::TurnedAway(TurnedAwayReason::Fault);
    assert_eq!(pair.guests[guest].outcome(), Some(Err(fault)));
    assert!(!connects(&mut pair, &client));
}

/// The bytes that come back are as many and in as many datagrams, whether a PIN is armed or not.
#[test]
fn a_stranger_cannot_see_whether_a_pin_is_armed() {
    let mut heard = Vec::new();
    for is_armed in [true, false] {
        let mut pair = closed_host("armed or not");
        let pin = if is_armed {
            wrong(&pair.host.arm_pairing(WINDOW, pair.now).unwrap().pin)
        } else {
            "123456".parse().unwrap()
        };
        let guest = pair.apply(&Identity::generate().unwrap(), Wish::Pair(pin), "a guesser");
        assert_eq!(run_guest(&mut pair, guest, SOON), Some(Err(PairError::Unproven)));
        pair.run_for(Duration::from_secs(3));
        heard.push(pair.sent_to[&pair.guests[guest].addr]);
    }
    // A signature's DER form is a byte or two shorter or longer; certificates' too.
    assert!(heard[0].abs_diff(heard[1]) <= 16, "{heard:?}");
}

#[test]
fn a_device_that_knocks_waits_for_a_yes_or_a_no() {
    let (mut pair, client) = (closed_host("knocks"), Identity::generate().unwrap());
    let guest = pair.apply(&client, Wish::Knock, "a tablet");
    assert!(pair.run_until(SOON, |pair| !pair.guests[guest].events.is_empty()));
    assert!(matches!(pair.guests[guest].events[0], ApplicantEvent::Held { wait_s: 120, .. }));
    let [device] = pair.host.pending() else { panic!("{:?}", pair.host.pending()) };
    assert_eq!((device.name.as_str(), device.fingerprint), ("a tablet", client.fingerprint()));
    let id = device.id;
    pair.run_for(Duration::from_secs(100));
    assert!(pair.guests[guest].outcome().is_none(), "people take their time");
    pair.host.set_trust(Trust::Pinned(vec![client.fingerprint()]), pair.now).unwrap();
    pair.host.admit(id, "tower", pair.now).unwrap();
    assert!(pair.host.admit(id, "tower", pair.now).is_err(), "decided once");
    pair.run_until(SOON, |pair| pair.guests[guest].outcome().is_some());
    assert_eq!(pair.guests[guest].outcome(), Some(Ok(())));
    assert!(connects(&mut pair, &client));

    let guest = pair.apply(&Identity::generate().unwrap(), Wish::Knock, "somebody");
    pair.run_until(SOON, |pair| !pair.guests[guest].events.is_empty());
    let id = pair.host.pending()[0].id;
    pair.host.turn_away(id, TurnedAwayReason::Denied, pair.now).unwrap();
    pair.run_until(SOON, |pair| pair.guests[guest].outcome().is_some());
    let denied = PairError::TurnedAway(TurnedAwayReason::Denied);
    assert_eq!(pair.guests[guest].outcome(), Some(Err(denied)));
    assert!(pair.host.pending().is_empty());
}

#[test]
fn eight_wait_two_minutes_and_no_more() {
    let mut pair = closed_host("many knock");
    let guests: Vec<_> = (0..PENDING_MAX + 1)
        .map(|number| pair.apply(&Identity::generate().unwrap(), Wish::Knock, &format!("device {number}")))
        .collect();
    pair.run_for(Duration::from_secs(2));
    let full = PairError::TurnedAway(TurnedAwayReason::Full);
    let turned_away = |pair: &Pair| guests.iter().filter(|g| pair.guests[**g].outcome().is_some()).count();
    assert_eq!((turned_away(&pair), pair.host.pending().len()), (1, PENDING_MAX));
    assert!(guests.iter().any(|guest| pair.guests[*guest].outcome() == Some(Err(full.clone()))));
    // A place that is given back can be had.
    let gone = guests.iter().find(|guest| pair.guests[**guest].outcome().is_none()).unwrap();
    let now = pair.now;
    pair.guests[*gone].control.leave(now);
    pair.run_for(Duration::from_millis(50));
    assert_eq!(pair.host.pending().len(), PENDING_MAX - 1);
    pair.run_for(PENDING_WAIT_MAX + Duration::from_secs(1));
    let unanswered = PairError::TurnedAway(TurnedAwayReason::Unanswered);
    let expired =
        guests.iter().filter(|g| pair.guests[**g].outcome() == Some(Err(unanswered.clone()))).count();
    assert_eq!(expired, PENDING_MAX - 1);
    assert!(pair.host.pending().is_empty());
    pair.run_for(Duration::from_secs(10));
    assert!(pair.host.is_idle());
}

/// One device's second knock takes the place of its first.
#[test]
fn a_device_that_knocks_twice_waits_once() {
    let (mut pair, client) = (closed_host("knocks twice"), Identity::generate().unwrap());
    let first = pair.apply(&client, Wish::Knock, "first");
    pair.run_for(Duration::from_millis(100));
    let second = pair.apply(&client, Wish::Knock, "second");
    pair.run_for(Duration::from_millis(100));
    let superseded = PairError::TurnedAway(TurnedAwayReason::Superseded);
    assert_eq!(pair.guests[first].outcome(), Some(Err(superseded)));
    assert_eq!(pair.guests[second].outcome(), None);
    let names: Vec<_> = pair.host.pending().iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["second"]);
}

/// A No holds for two minutes, and nobody is asked again meanwhile.
#[test]
fn a_device_that_was_denied_is_turned_away_for_two_minutes() {
    let (mut pair, client) = (closed_host("denied"), Identity::generate().unwrap());
    let guest = pair.apply(&client, Wish::Knock, "a tablet");
    assert!(pair.run_until(SOON, |pair| !pair.host.pending().is_empty()));
    let id = pair.host.pending()[0].id;
    pair.host.turn_away(id, TurnedAwayReason::Denied, pair.now).unwrap();
    let denied = Some(Err(PairError::TurnedAway(TurnedAwayReason::Denied)));
    assert!(pair.run_until(SOON, |pair| pair.guests[guest].outcome() == denied));
    pair.run_for(Duration::from_secs(60));
    pair.events.clear();
    let again = pair.apply(&client, Wish::Knock, "a tablet");
    assert!(pair.run_until(SOON, |pair| pair.guests[again].outcome() == denied));
    assert!(!pair.events.iter().any(|event| matches!(event, HostEvent::PendingChanged)), "{:?}", pair.events);
    pair.run_for(PENDING_WAIT_MAX - Duration::from_secs(60));
    pair.apply(&client, Wish::Knock, "a tablet");
    assert!(pair.run_until(SOON, |pair| pair.host.pending().len() == 1), "it may ask again");
}

/// One machine makes as many keys as it likes.
#[test]
fn throw_away_keys_of_one_machine_leave_room_for_another_device() {
    let mut pair = closed_host("throw-away keys");
    for number in 0..PENDING_MAX {
        let guest = pair.apply(&Identity::generate().unwrap(), Wish::Knock, &format!("key {number}"));
        pair.guests[guest].addr = format!("10.0.9.9:{}", 50_000 + number).parse().unwrap();
        pair.run_for(Duration::from_millis(200));
    }
    assert_eq!(pair.host.pending().len(), PENDING_PER_ADDRESS_MAX);
    let other = pair.apply(&Identity::generate().unwrap(), Wish::Knock, "a tablet");
    assert!(pair.run_until(SOON, |pair| !pair.guests[other].events.is_empty()));
    assert_eq!(pair.guests[other].outcome(), None, "it waits");
}

/// Strangers cannot take the places of clients that are known.
#[test]
fn a_crowd_of_strangers_leaves_room_for_those_who_are_known() {
    let client = Identity::generate().unwrap();
    let trust = Trust::Pinned(vec![client.fingerprint()]);
    let mut pair = Pair::with("crowd", 1, Way::LAN, Way::LAN, trust, HostLimits::default(), ALPN);
    for number in 0..40 {
        pair.apply(&Identity::generate().unwrap(), Wish::Knock, &format!("device {number}"));
        pair.run_for(Duration::from_millis(20));
    }
    assert_eq!(pair.host.pending().len(), PENDING_MAX);
    assert!(connects(&mut pair, &client));
}

/// The word of a device's live session reaches the program, with whose it is.
#[test]
fn a_live_session_is_told_who_waits_and_may_decide() {
    let client = Identity::generate().unwrap();
    let trust = Trust::Pinned(vec![client.fingerprint()]);
    let mut pair = Pair::with("approves", 1, Way::LAN, Way::LAN, trust, HostLimits::default(), ALPN);
    assert!(connects(&mut pair, &client));
    let (live, session) = (pair.clients.len() - 1, pair.session());
    let stranger = Identity::generate().unwrap();
    pair.apply(&stranger, Wish::Knock, "a tablet");
    assert!(pair.run_until(SOON, |pair| !pair.host.pending().is_empty()));
    pair.host.send_pending(session, pair.now).unwrap();
    pair.run_for(Duration::from_millis(50));
    let told = pair.clients[live].events.iter().find_map(|event| match event {
        crate::ClientEvent::PendingDevices(pending) => Some(pending.clone()),
        _ => None,
    });
    let told = told.expect("the session's client is told").devices;
    assert_eq!(
        (told[0].name.as_str(), &told[0].fingerprint),
        ("a tablet", stranger.fingerprint().as_bytes())
    );
    let now = pair.now;
    pair.clients[live].control.decide_pending(told[0].id, true, now).unwrap();
    pair.run_for(Duration::from_millis(50));
    let decided = pair.events.iter().find_map(|event| match event {
        HostEvent::PendingDecided { by, pending, is_approved, .. } => Some((*by, *pending, *is_approved)),
        _ => None,
    });
    let waits = pair.host.pending()[0].id;
    assert_eq!(decided, Some((client.fingerprint(), waits, true)));
}

/// Whatever bytes an end puts on the stream of a pairing, the other one ends it, and nothing else.
#[test]
fn hostile_bytes_on_the_stream_of_a_pairing_end_it_and_nothing_else() {
    let mut rng = Rng::announced("hostile pairing", 11);
    for round in 0..80 {
        let (mut pair, client) = (closed_host("hostile pairing"), Identity::generate().unwrap());
        let pin = pair.host.arm_pairing(WINDOW, pair.now).unwrap().pin;
        let wish = if round % 3 == 0 { Wish::Knock } else { Wish::Pair(wrong(&pin)) };
        let guest = pair.apply(&client, wish, "a guesser");
        pair.run_for(Duration::from_micros(200 + rng.below(900)));
        let length = 1 + rng.below(200) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
        if rng.below(2) == 0 {
            // A length that holds, so that the body is looked at, and a kind that is known.
            bytes.splice(
                0..0,
                (length as u32 + 2).to_le_bytes().into_iter().chain([0x82, 1 + rng.below(7) as u8]),
            );
        }
        if round % 2 == 0 {
            pair.guests[guest].control.link().inject(&bytes);
        } else if let Some(link) = pair.host.stranger_links().next() {
            link.inject(&bytes);
        }
        pair.run_for(Duration::from_secs(130));
        assert!(pair.guests[guest].outcome().is_some_and(|outcome| outcome.is_err()), "round {round}");
        assert!(proven(&pair).is_none() && pair.host.pending().is_empty(), "round {round}");
        pair.run_for(Duration::from_secs(5));
        assert!(pair.host.is_idle(), "round {round}");
    }
}
