//! How sessions end: by Bye, by kill, by restart, by withdrawn trust.

use std::time::Duration;

use super::course::missing;
use super::network::Way;
use super::pair::{Pair, final_stats};
use crate::limits::ALPN;
use crate::{Bye, ByeReason, ClientEvent, ConnectError, HostControl, HostLimits, SessionEnd, Trust};

pub(super) fn saw_final_stats(pair: &Pair, client: usize) -> bool {
    pair.clients[client]
        .events
        .iter()
        .any(|event| matches!(event, ClientEvent::HostStats(stats) if *stats == final_stats()))
}

#[test]
fn a_client_that_leaves_gets_the_final_statistics() {
    for seed in 0..20 {
        let way = if seed == 0 { Way::LAN } else { Way::BAD };
        let mut pair = Pair::new("client_leaves", seed, way, way);
        let client = pair.connect_and_start();
        let began = pair.now;
        let bye = Bye::new(ByeReason::Asked, "enough");
        pair.clients[client].control.bye(&bye, pair.now);
        assert!(pair.run_until(Duration::from_secs(2), |pair| pair.clients[client].ended.is_some()));
        if seed == 0 {
            assert!(saw_final_stats(&pair, client), "no final statistics");
            assert!(pair.now - began < Duration::from_millis(10));
        }
        assert_eq!(pair.clients[client].ended, Some(ConnectError::Left(bye.clone())));
        assert!(pair.run_until(Duration::from_secs(5), |pair| !pair.ended.is_empty() && pair.host.is_idle()));
        assert_eq!(pair.ended.len(), 1);
        if seed == 0 {
            assert_eq!(pair.ended[0].1, SessionEnd::ClientLeft(bye));
        }
    }
}

#[test]
fn a_host_that_leaves_says_so_with_its_final_statistics() {
    let mut with_stats = 0;
    for seed in 0..20 {
        let way = if seed == 0 { Way::LAN } else { Way::BAD };
        let mut pair = Pair::new("host_leaves", seed, way, way);
        let client = pair.connect_and_start();
        let bye = Bye::new(ByeReason::ShuttingDown, "maintenance");
        let session = pair.session();
        pair.host.send_stats(session, &final_stats(), pair.now).unwrap();
        pair.host.bye(session, &bye, pair.now).unwrap();
        assert!(pair.host.bye(session, &bye, pair.now).is_err(), "a session ends once");
        assert!(pair.run_until(Duration::from_secs(4), |pair| pair.clients[client].ended.is_some()));
        assert!(pair.run_until(Duration::from_secs(4), |pair| pair.host.is_idle()));
        assert_eq!(pair.ended, [(session, SessionEnd::HostLeft(bye.clone()))]);
        if seed == 0 {
            assert_eq!(pair.clients[client].ended, Some(ConnectError::Closed(bye)));
            assert!(pair.clients[client].ended.as_ref().unwrap().is_orderly());
        }
        with_stats += u32::from(saw_final_stats(&pair, client));
    }
    assert!(with_stats >= 18, "final statistics came in {with_stats} of 20 sessions with 15 % loss");
}

#[test]
fn a_killed_host_is_noticed_within_three_seconds() {
    for wait_ms in [0, 10, 300, 490, 510, 740, 1300, 4321] {
        let mut pair = Pair::lan("killed_host");
        let client = pair.connect_and_start();
        pair.run_for(Duration::from_millis(wait_ms));
        pair.host_dead = true;
        let killed = pair.now;
        assert!(pair.run_until(Duration::from_secs(10), |pair| pair.clients[client].ended.is_some()));
        let noticed = pair.now - killed;
        assert!(noticed <= Duration::from_secs(3), "noticed after {noticed:?}");
        let reason = pair.clients[client].ended.clone().unwrap();
        assert!(matches!(reason, ConnectError::Lost { .. }), "{reason}");
    }
}

#[test]
fn a_killed_client_frees_the_host_within_five_seconds() {
    for wait_ms in [0, 10, 490, 510, 1300] {
        let mut pair = Pair::lan("killed_client");
        let client = pair.connect_and_start();
        pair.run_for(Duration::from_millis(wait_ms));
        pair.clients[client].dead = true;
        let killed = pair.now;
        assert!(pair.run_until(Duration::from_secs(10), |pair| pair.host.is_idle()));
        assert!(pair.now - killed <= Duration::from_secs(5), "freed after {:?}", pair.now - killed);
        assert!(matches!(pair.ended[..], [(_, SessionEnd::Lost { .. })]), "{:?}", pair.ended);
    }
}

#[test]
fn an_idle_session_stays() {
    let mut pair = Pair::lan("idle");
    let client = pair.connect_and_start();
    pair.run_for(Duration::from_secs(600));
    assert!(pair.clients[client].ended.is_none() && pair.ended.is_empty());
    let sent = pair.clients[client].control.stats().datagrams_sent;
    eprintln!("{sent} datagrams in ten idle minutes");
}

#[test]
fn a_restarted_host_tells_its_old_client_at_once() {
    let mut pair = Pair::lan("restarted");
    let client = pair.connect_and_start();
    let identity = pair.host_identity.clone();
    pair.host = HostControl::with_alpn(identity, Trust::Open, HostLimits::default(), ALPN, pair.now).unwrap();
    let began = pair.now;
    pair.clients[client].control.request_idr(missing(1), pair.now).unwrap();
    assert!(pair.run_until(Duration::from_secs(3), |pair| pair.clients[client].ended.is_some()));
    assert_eq!(pair.clients[client].ended, Some(ConnectError::Restarted { host: pair.host_addr }));
    assert!(pair.now - began < Duration::from_millis(200), "after {:?}", pair.now - began);
}

#[test]
fn withdrawn_trust_ends_the_session_within_a_second() {
    let mut pair = Pair::lan("withdrawn");
    let client = pair.connect_and_start();
    pair.host.set_trust(Trust::Pinned(vec![]), pair.now).unwrap();
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.clients[client].ended.is_some()));
    match pair.clients[client].ended.as_ref().unwrap() {
        ConnectError::Closed(bye) => assert_eq!(bye.reason, ByeReason::TrustWithdrawn),
        other => panic!("{other}"),
    }
    let again = pair.connect();
    assert!(pair.run_until(Duration::from_secs(2), |pair| pair.clients[again].ended.is_some()));
    assert!(matches!(pair.clients[again].ended, Some(ConnectError::HostDemandsTrust { .. })));
}

#[test]
fn leaving_while_connecting_ends_at_once() {
    let mut pair = Pair::lan("leaving_early");
    let client = pair.connect();
    let bye = Bye::new(ByeReason::Asked, "");
    pair.clients[client].control.bye(&bye, pair.now);
    assert!(pair.run_until(Duration::ZERO, |pair| pair.clients[client].ended.is_some()));
    assert!(pair.run_until(Duration::from_secs(6), |pair| pair.clients[client].control.is_drained()));
    assert!(pair.run_until(Duration::from_secs(6), |pair| pair.host.is_idle()));
}

#[test]
fn verbs_out_of_turn_are_errors_that_say_so() {
    let mut pair = Pair::lan("out_of_turn");
    let client = pair.connect();
    let error = pair.clients[client].control.start(pair.now).unwrap_err();
    assert_eq!(error.to_string(), "start needs a session that is waiting for start, but it is connecting");
    assert!(pair.clients[client].control.request_idr(missing(0), pair.now).is_err());
    pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some());
    let session = pair.session();
    assert!(pair.host.welcome(session, &super::pair::welcome(), pair.now).is_err());
    assert!(pair.clients[client].control.start(pair.now).is_err());
}
