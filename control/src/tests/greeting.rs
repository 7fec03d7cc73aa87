//! From nothing to a running session, or to an error that a person can act on.

use std::net::SocketAddr;
use std::time::Duration;

use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret};

use super::network::Way;
use super::pair::{Pair, hello, welcome};
use crate::limits::{ALPN, CONNECT_MAX};
use crate::{
    ClientControl, ClientEvent, ConnectError, Fingerprint, HostEvent, HostLimits, Identity, PROTOCOL,
    RefusalCode, RejectReason, Trust,
};

const OTHER_ALPN: &[u8] = b"punktfunk/2";

/// Whether what one secret seals the other one opens.
fn same_secret(host: &Secret, client: &Secret, now: std::time::Instant) -> bool {
    let keys = |secret| PlaneKeys::new(secret, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    let mut sealer = Sealer::new(keys(host), now);
    let mut opener = Opener::new(keys(client), 1024);
    let ticket = sealer.reserve(now).unwrap();
    let (epoch, sequence) = (ticket.epoch(), ticket.sequence());
    let mut sealed = [0; 5 + 16];
    sealer.seal(ticket, b"header", b"shard", 0, &mut sealed);
    let mut opened = [0; 5];
    opener.open(epoch as u8 & 3, sequence, b"header", &sealed, &mut opened, now).is_ok()
        && &opened == b"shard"
}

fn ended(pair: &mut Pair, client: usize) -> ConnectError {
    let ended = pair.run_until(Duration::from_secs(10), |pair| pair.clients[client].ended.is_some());
    assert!(ended, "no end: {:?}", pair.clients[client].control);
    let reason = pair.clients[client].ended.clone().unwrap();
    eprintln!("the client says: {reason}");
    reason
}

fn rejection(pair: &mut Pair) -> RejectReason {
    let find = |pair: &Pair| {
        pair.events.iter().find_map(|event| match event {
            HostEvent::Rejected { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    };
    assert!(pair.run_until(Duration::from_secs(10), |pair| find(pair).is_some()), "the host says nothing");
    let reason = find(pair).unwrap();
    eprintln!("the host says: {reason}");
    reason
}

fn pinned_host(name: &str, trust: Trust) -> Pair {
    Pair::with(name, 1, Way::LAN, Way::LAN, trust, HostLimits::default(), ALPN)
}

#[test]
fn both_ends_start_with_the_same_secret() {
    let mut pair = Pair::lan("both_ends_start");
    let began = pair.now;
    let client = pair.connect_and_start();
    eprintln!("running after {:?}", pair.now - began);
    assert_eq!(pair.clients[client].welcomed, Some(welcome()));
    let (_, host_secret) = &pair.secrets[0];
    let client_secret = pair.clients[client].secret.as_ref().unwrap();
    assert!(same_secret(host_secret, client_secret, pair.now));
    let other = pair.connect_and_start();
    let other_secret = pair.clients[other].secret.as_ref().unwrap();
    assert!(!same_secret(&pair.secrets[0].1, other_secret, pair.now), "each session has a secret of its own");
}

#[test]
fn a_bad_network_only_delays_the_start() {
    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        let mut pair = Pair::new("a_bad_network", seed, Way::BAD, Way::BAD);
        let began = pair.now;
        let client = pair.connect_and_start();
        slowest = slowest.max(pair.now - began);
        assert!(pair.clients[client].ended.is_none());
    }
    eprintln!("slowest start with 15 % loss each way: {slowest:?}");
}

#[test]
fn pinned_both_ways_lets_the_right_ones_meet() {
    let identity = Identity::generate().unwrap();
    let mut pair = pinned_host("pinned_both_ways", Trust::Pinned(vec![identity.fingerprint()]));
    let trust = Trust::Pinned(vec![pair.host.fingerprint()]);
    let client = pair.connect_with(&identity, trust, hello(), ALPN);
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
    let told = pair.host.stats(pair.session()).unwrap();
    assert!(told.messages_received >= 2);
}

#[test]
fn a_wrong_host_is_named_by_its_fingerprint() {
    let mut pair = Pair::lan("a_wrong_host");
    let expected = vec![Fingerprint::from([7; 32])];
    let identity = Identity::generate().unwrap();
    let client = pair.connect_with(&identity, Trust::Pinned(expected.clone()), hello(), ALPN);
    let got = pair.host.fingerprint();
    assert_eq!(ended(&mut pair, client), ConnectError::WrongFingerprint { expected, got });
    assert_eq!(rejection(&mut pair), RejectReason::HostNotTrusted);
    assert!(pair.sessions.is_empty());
}

#[test]
fn an_unknown_client_is_told_what_to_trust() {
    for seed in 0..10 {
        let way = if seed == 0 { Way::LAN } else { Way::BAD };
        let limits = HostLimits::default();
        let known = Trust::Pinned(vec![Fingerprint::from([9; 32])]);
        let mut pair = Pair::with("an_unknown_client", seed, way, way, known, limits, ALPN);
        let identity = Identity::generate().unwrap();
        let client = pair.connect_with(&identity, Trust::Open, hello(), ALPN);
        let ours = identity.fingerprint();
        let reason = ended(&mut pair, client);
        assert_eq!(reason, ConnectError::HostDemandsTrust { ours });
        assert!(reason.to_string().contains(&ours.to_string()));
        assert_eq!(rejection(&mut pair), RejectReason::NotTrusted { fingerprint: ours });
        assert!(pair.sessions.is_empty() && pair.clients[client].secret.is_none());
    }
}

#[test]
fn another_alpn_is_a_version_mismatch_at_both_ends() {
    let mut pair = Pair::lan("another_alpn");
    let identity = Identity::generate().unwrap();
    let client = pair.connect_with(&identity, Trust::Open, hello(), OTHER_ALPN);
    let mismatch = ConnectError::ProtocolVersion { ours: PROTOCOL, theirs: None };
    assert_eq!(ended(&mut pair, client), mismatch);
    assert_eq!(rejection(&mut pair), RejectReason::ProtocolVersion { theirs: None });
}

#[test]
fn another_protocol_number_is_a_version_mismatch_at_both_ends() {
    let mut pair = Pair::lan("another_protocol");
    let identity = Identity::generate().unwrap();
    let newer = crate::Hello { protocol: PROTOCOL + 4, ..hello() };
    let client = pair.connect_with(&identity, Trust::Open, newer, ALPN);
    let mismatch = ConnectError::ProtocolVersion { ours: PROTOCOL + 4, theirs: Some(PROTOCOL) };
    assert_eq!(ended(&mut pair, client), mismatch);
    assert_eq!(rejection(&mut pair), RejectReason::ProtocolVersion { theirs: Some(PROTOCOL + 4) });
    assert!(pair.sessions.is_empty());
}

#[test]
fn a_second_client_is_told_that_the_host_is_busy() {
    let mut pair = Pair::lan("a_second_client");
    pair.one_at_a_time = true;
    let first = pair.connect_and_start();
    let second = pair.connect();
    match ended(&mut pair, second) {
        ConnectError::ConnectionRefusedByHost(refusal) => {
            assert_eq!(refusal.code, RefusalCode::Busy);
            assert_eq!(refusal.text, "somebody else plays");
        }
        other => panic!("{other}"),
    }
    pair.run_for(Duration::from_secs(5));
    assert!(pair.clients[first].ended.is_none(), "the first plays on");
    assert_eq!(pair.ended.len(), 1);
}

#[test]
fn nobody_there_is_no_answer_in_three_seconds() {
    let mut pair = Pair::lan("nobody_there");
    pair.host_dead = true;
    let began = pair.now;
    let client = pair.connect();
    let reason = ended(&mut pair, client);
    assert!(matches!(reason, ConnectError::NoAnswer { refused: false, .. }));
    assert!(reason.to_string().contains(&format!("{} in 2.5 s: ", pair.host_addr)), "{reason}");
    assert_eq!(pair.now - began, CONNECT_MAX);
}

#[test]
fn who_has_waited_elsewhere_waits_the_shorter_here() {
    let began = std::time::Instant::now();
    let host = "10.0.0.1:47800".parse().unwrap();
    for (rest, waited) in
        [(Duration::from_millis(400), Duration::from_millis(400)), (CONNECT_MAX * 2, CONNECT_MAX)]
    {
        let identity = Identity::generate().unwrap();
        let mut control =
            ClientControl::connect(identity, Trust::Open, host, hello(), began + rest, began).unwrap();
        control.handle_timeout(began + waited - Duration::from_millis(1));
        assert!(control.poll_event().is_none());
        assert!(control.poll_timeout().unwrap() <= began + waited);
        control.handle_timeout(began + waited);
        let Some(ClientEvent::Ended { reason: ConnectError::NoAnswer { waited: said, .. } }) =
            control.poll_event()
        else {
            panic!("no end after {waited:?}");
        };
        assert_eq!(said, waited);
    }
}

#[test]
fn a_port_that_nobody_has_is_told_at_once() {
    let mut pair = Pair::lan("refused");
    pair.host_dead = true;
    let began = pair.now;
    let client = pair.connect();
    let host = pair.host_addr;
    pair.run_for(Duration::from_millis(2));
    let others =
        [SocketAddr::new(host.ip(), host.port() + 1), SocketAddr::new([10, 9, 9, 9].into(), host.port())];
    for other in others {
        pair.clients[client].control.handle_refused(other, pair.now);
    }
    pair.run_for(Duration::from_millis(2));
    assert_eq!(pair.clients[client].ended, None, "another address is nobody's business");
    let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), host.port());
    pair.clients[client].control.handle_refused(mapped, pair.now);
    let reason = ended(&mut pair, client);
    assert!(matches!(reason, ConnectError::NoAnswer { refused: true, .. }));
    assert!(reason.to_string().contains("nobody listens on that port"), "{reason}");
    assert!(pair.now - began < Duration::from_millis(10));
}

#[test]
fn a_host_that_has_spoken_is_not_refused_away() {
    let mut pair = Pair::lan("spoken");
    let client = pair.connect();
    let host = pair.host_addr;
    let heard = pair.run_until(Duration::from_secs(1), |pair| {
        pair.clients[client].control.stats().datagrams_received > 0
    });
    assert!(heard);
    for _ in 0..100 {
        pair.clients[client].control.handle_refused(host, pair.now);
        pair.run_for(Duration::from_micros(50));
    }
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
    assert_eq!(pair.clients[client].ended, None);
}

#[test]
fn a_full_host_refuses_before_any_work() {
    let limits = HostLimits { connections_max: 2, ..HostLimits::default() };
    let mut pair = Pair::with("a_full_host", 1, Way::LAN, Way::LAN, Trust::Open, limits, ALPN);
    pair.connect_and_start();
    pair.connect_and_start();
    let third = pair.connect();
    match ended(&mut pair, third) {
        ConnectError::ConnectionRefusedByHost(refusal) => assert_eq!(refusal.code, RefusalCode::Busy),
        other => panic!("{other}"),
    }
    assert_eq!(rejection(&mut pair), RejectReason::Full { connections_max: 2 });
}

/// Handshakes that are begun and not gone on with, each of which holds a place for five seconds.
fn begin_handshakes(pair: &mut Pair, count: usize, address: impl Fn(usize) -> String) {
    for number in 0..count {
        let client = pair.connect();
        pair.clients[client].addr = address(number).parse().unwrap();
        pair.run_for(Duration::ZERO);
        pair.clients[client].dead = true;
    }
    pair.run_for(Duration::from_millis(5));
}

/// One machine that proves its address and finishes nothing takes no known client's place.
#[test]
fn half_finished_handshakes_of_one_machine_leave_room_for_others() {
    let limits = HostLimits { unproven_handshakes_max: usize::MAX, ..HostLimits::default() };
    let mut pair = Pair::with("half_finished", 1, Way::LAN, Way::LAN, Trust::Open, limits, ALPN);
    begin_handshakes(&mut pair, 40, |number| format!("10.0.9.9:{}", 50_000 + number));
    assert_eq!(rejection(&mut pair), RejectReason::Crowded { per_address_max: 8 });
    let client = pair.connect();
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
    // The machine itself is heard again once they are over.
    pair.run_for(Duration::from_secs(6));
    let client = pair.connect();
    pair.clients[client].addr = "10.0.9.9:60000".parse().unwrap();
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
}

/// Who only pretends to be at an address takes half of what that has: above that it would have to hear there.
#[test]
fn handshakes_in_another_machines_name_do_not_keep_it_out() {
    let mut pair = Pair::lan("in_its_name");
    begin_handshakes(&mut pair, 40, |number| format!("10.0.9.9:{}", 50_000 + number));
    let client = pair.connect();
    pair.clients[client].addr = "10.0.9.9:60000".parse().unwrap();
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
}

#[test]
fn many_half_open_handshakes_make_strangers_prove_their_address() {
    let limits = HostLimits { unproven_handshakes_max: 0, ..HostLimits::default() };
    let mut pair = Pair::with("half_open", 1, Way::LAN, Way::LAN, Trust::Open, limits, ALPN);
    let client = pair.connect();
    // A Retry costs one more round trip and then all goes on as ever.
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
}

#[test]
fn a_client_that_shakes_hands_and_says_nothing_loses_its_place() {
    let mut pair = Pair::lan("says_nothing");
    let client = pair.connect();
    pair.clients[client].control.link().finish();
    pair.run_until(Duration::from_secs(1), |pair| !pair.host.is_idle());
    assert!(pair.run_until(Duration::from_secs(6), |pair| pair.host.is_idle()), "the place is kept");
}

#[test]
fn a_client_that_never_starts_frees_the_host() {
    let mut pair = Pair::lan("never_starts");
    let client = pair.connect();
    pair.clients[client].starts = false;
    assert!(pair.run_until(Duration::from_secs(12), |pair| !pair.ended.is_empty()));
    assert!(matches!(pair.ended[0].1, crate::SessionEnd::Stalled { waited_for: "Start", .. }));
}

/// A pin is worth nothing without the proof that the peer holds the key.
#[test]
fn a_stolen_certificate_opens_no_door() {
    let victim = Identity::generate().unwrap();
    let mut pair = pinned_host("stolen", Trust::Pinned(vec![victim.fingerprint()]));
    let impostor = Identity::generate().unwrap().impostor_of(&victim);
    let client = pair.connect_with(&impostor, Trust::Open, hello(), ALPN);
    assert!(matches!(ended(&mut pair, client), ConnectError::Transport { .. }));
    assert!(matches!(rejection(&mut pair), RejectReason::NoHello { .. }));
    assert!(pair.sessions.is_empty());
}

#[test]
fn a_host_with_a_stolen_certificate_learns_nothing() {
    let mut pair = Pair::lan("stolen_by_the_host");
    let victim = pair.host_identity.clone();
    let impostor = Identity::generate().unwrap().impostor_of(&victim);
    let limits = HostLimits::default();
    pair.host = crate::HostControl::with_alpn(impostor, Trust::Open, limits, ALPN, pair.now).unwrap();
    let identity = Identity::generate().unwrap();
    let client = pair.connect_with(&identity, Trust::Pinned(vec![victim.fingerprint()]), hello(), ALPN);
    assert!(matches!(ended(&mut pair, client), ConnectError::Transport { .. }));
    assert!(pair.clients[client].welcomed.is_none() && pair.sessions.is_empty());
}

#[test]
fn trust_withdrawn_during_the_handshake_counts() {
    let mut pair = Pair::lan("withdrawn_early");
    let client = pair.connect();
    assert!(pair.run_until(Duration::from_secs(1), |pair| !pair.host.is_idle()));
    pair.host.set_trust(Trust::Pinned(vec![]), pair.now).unwrap();
    let ours = pair.clients[client].control.fingerprint();
    assert_eq!(ended(&mut pair, client), ConnectError::HostDemandsTrust { ours });
    assert_eq!(rejection(&mut pair), RejectReason::NotTrusted { fingerprint: ours });
    assert!(pair.sessions.is_empty());
}
