//! Crowds of devices that nobody knows, and a client that is known and comes meanwhile.

use std::time::Duration;

use super::network::Way;
use super::pair::{Pair, hello};
use crate::limits::{ALPN, CONNECT_MAX};
use crate::{HostEvent, HostLimits, Identity, RejectReason, Trust, Wish};

/// A host that knows one client.
fn host_of(name: &str, client: &Identity) -> Pair {
    let trust = Trust::Pinned(vec![client.fingerprint()]);
    // Everybody has to prove where it is.
    let limits = HostLimits { unproven_handshakes_max: 0, ..HostLimits::default() };
    Pair::with(name, 1, Way::LAN, Way::LAN, trust, limits, ALPN)
}

/// The known client connects while another stranger comes each `interval`, as it must by itself; how long that took.
fn connect_among(
    pair: &mut Pair,
    client: &Identity,
    interval: Duration,
    mut next: impl FnMut(&mut Pair),
) -> Duration {
    let trust = Trust::Pinned(vec![pair.host_identity.fingerprint()]);
    let known = pair.connect_with(client, trust, hello(), ALPN);
    pair.clients[known].addr = "10.0.3.1:50000".parse().unwrap();
    let began = pair.now;
    while pair.skew(known).is_none() {
        assert_eq!(pair.clients[known].ended, None);
        assert!(pair.now - began < CONNECT_MAX, "it is kept out");
        next(pair);
        pair.run_for(interval);
    }
    pair.now - began
}

/// A handshake that proves its address, and then says nothing more.
fn stall(pair: &mut Pair, number: usize) {
    let stranger = pair.connect();
    pair.clients[stranger].addr = format!("10.1.{}.{}:50000", number / 200, number % 200).parse().unwrap();
    // The answer to its first datagram is a Retry, which it answers.
    let asked = |pair: &Pair| pair.clients[stranger].control.stats().datagrams_received > 0;
    pair.run_until(Duration::from_millis(1), asked);
    pair.clients[stranger].dead = true;
}

fn gave_way(pair: &Pair) -> usize {
    let gave_way = |event: &&HostEvent| {
        matches!(event, HostEvent::Rejected { reason: RejectReason::GaveWay { .. }, .. })
    };
    pair.events.iter().filter(gave_way).count()
}

/// A machine has as many addresses as it likes, by IPv6 above all.
#[test]
fn a_known_client_connects_among_stalled_handshakes_from_many_addresses() {
    let client = Identity::generate().unwrap();
    let mut pair = host_of("stalled handshakes", &client);
    let mut count = 0;
    let mut next = |pair: &mut Pair| {
        stall(pair, count);
        count += 1;
    };
    for _ in 0..100 {
        next(&mut pair);
    }
    // Each millisecond another one.
    let took = connect_among(&mut pair, &client, Duration::from_micros(500), &mut next);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert!(gave_way(&pair) >= 60, "{}", gave_way(&pair));
    pair.run_for(Duration::from_secs(6));
    assert_eq!(pair.host.running().count(), 1, "and it stays");
}

/// Of those that answer all, and are refused for their certificate, something is left for half a second.
#[test]
fn a_known_client_connects_among_certificates_that_are_refused() {
    let client = Identity::generate().unwrap();
    let mut pair = host_of("refused certificates", &client);
    let stranger = Identity::generate().unwrap();
    let mut next = |pair: &mut Pair| {
        let number = pair.connect_with(&stranger, Trust::Open, hello(), ALPN);
        let address = format!("10.1.{}.{}:50000", number / 200, number % 200);
        pair.clients[number].addr = address.parse().unwrap();
    };
    for _ in 0..100 {
        next(&mut pair);
        pair.run_for(Duration::from_millis(2));
    }
    let took = connect_among(&mut pair, &client, Duration::from_millis(2), &mut next);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

/// Strangers that come to pair, or to knock when too many wait, and neither read nor go.
#[test]
fn a_known_client_and_one_who_knows_the_pin_come_in_among_strangers_that_stall() {
    let client = Identity::generate().unwrap();
    let mut pair = host_of("strangers that stall", &client);
    let stranger = Identity::generate().unwrap();
    let pin = pair.host.arm_pairing(Duration::from_secs(120), pair.now).unwrap().pin;
    let mut next = |pair: &mut Pair| {
        let identity = Identity::generate().unwrap();
        let guest = pair.apply(&identity, Wish::Knock, "a crowd");
        pair.guests[guest].addr = format!("10.2.{}.{}:50000", guest / 200, guest % 200).parse().unwrap();
        pair.run_for(Duration::from_millis(1));
        pair.guests[guest].dead = true;
    };
    for _ in 0..100 {
        next(&mut pair);
    }
    let took = connect_among(&mut pair, &client, Duration::from_millis(1), &mut next);
    assert!(took < Duration::from_millis(100), "{took:?}");
    let guest = pair.apply(&stranger, Wish::Pair(pin), "a desk");
    pair.guests[guest].addr = "10.0.3.2:50000".parse().unwrap();
    for _ in 0..200 {
        let proven = |event: &HostEvent| matches!(event, HostEvent::PinProven { .. });
        if pair.events.iter().any(proven) {
            return;
        }
        next(&mut pair);
    }
    panic!("the PIN was not heard: {:?}", pair.guests[guest].events);
}

/// More newcomers than the thread has time for are not heard, and QUIC says all again.
#[test]
fn newcomers_beyond_the_pace_come_again_by_themselves() {
    let client = Identity::generate().unwrap();
    let mut pair = host_of("beyond the pace", &client);
    for number in 0..620 {
        stall(&mut pair, number);
    }
    assert!(pair.host.counters().newcomers_unheard > 0, "{:?}", pair.host.counters());
    let quiet = |_: &mut Pair| {};
    let took = connect_among(&mut pair, &client, Duration::from_millis(1), quiet);
    assert!(took > Duration::from_millis(100), "{took:?}: it was heard at once");
}
