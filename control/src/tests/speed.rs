//! The speed test's messages: in their course, out of turn, and from a hostile end.

use std::time::Duration;

use punktfunk_proto::{FillerSeen, Judgement, WeakestLink};

use super::hostile::{MEMORY_MAX, frame};
use super::pair::Pair;
use crate::error::{ConnectError, SessionEnd, Violation};
use crate::event::{ClientEvent, HostEvent};
use crate::messages::{
    Message, SpeedTestBegun, SpeedTestFailed, SpeedTestNews, SpeedTestResult, SpeedTestSeen, SpeedTestSent,
    StartSpeedTest, Weakest,
};

const WISH: StartSpeedTest = StartSpeedTest { target_kbps: 100_000, duration_ms: 2_000 };

fn seen() -> SpeedTestSeen {
    FillerSeen { test: 1, datagrams: 20, wire_bytes: 23_840, by_position: [2; 10], ..FillerSeen::default() }
        .into()
}

fn result() -> SpeedTestResult {
    let found = Judgement {
        target_kbps: 100_000,
        sent_kbps: 100_000,
        received_kbps: 60_000,
        goodput_kbps: 52_000,
        loss_ppm: 400_000,
        loss_by_position_ppm: [400_000; 10],
        delay_p50_us: 20_000,
        delay_p99_us: 40_000,
        recommended_kbps: 45_000,
        weakest: WeakestLink::Network,
        is_shallow: false,
    };
    SpeedTestResult::new(1, &found)
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

#[test]
fn a_speed_test_goes_its_course() {
    let mut pair = Pair::lan("speed_test");
    let client = pair.connect_and_start();
    let session = pair.session();
    pair.clients[client].control.start_speed_test(WISH, pair.now).unwrap();
    let asked = |event: &HostEvent| matches!(event, HostEvent::SpeedTestAsked { wish: WISH, .. });
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.events.iter().any(asked)));
    let begun = SpeedTestBegun { test: 1, target_kbps: 100_000, duration_ms: 2_000 };
    for news in [SpeedTestNews::Begun(begun), SpeedTestNews::Sent(SpeedTestSent { test: 1 })] {
        pair.host.send_speed_test(session, news, pair.now).unwrap();
    }
    let sent = |event: &ClientEvent| matches!(event, ClientEvent::SpeedTestSent(SpeedTestSent { test: 1 }));
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.clients[client].events.iter().any(sent)));
    let told = |event: &ClientEvent| matches!(event, ClientEvent::SpeedTestBegun(told) if *told == begun);
    assert!(pair.clients[client].events.iter().any(told));
    pair.clients[client].control.send_speed_test_seen(seen(), pair.now).unwrap();
    let came =
        |event: &HostEvent| matches!(event, HostEvent::SpeedTestSeen { seen: told, .. } if *told == seen());
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.events.iter().any(came)));
    pair.host.send_speed_test(session, SpeedTestNews::Result(result()), pair.now).unwrap();
    let failed = SpeedTestFailed { why: "another one runs".into() };
    pair.host.send_speed_test(session, SpeedTestNews::Failed(failed.clone()), pair.now).unwrap();
    let over = |event: &ClientEvent| matches!(event, ClientEvent::SpeedTestFailed(told) if *told == failed);
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.clients[client].events.iter().any(over)));
    let found =
        |event: &ClientEvent| matches!(event, ClientEvent::SpeedTestResult(told) if *told == result());
    assert!(pair.clients[client].events.iter().any(found));
    assert_eq!(result().weakest, Weakest::Network);
    assert!(result().verdict.starts_with("the network is the weakest link"), "{}", result().verdict);
}

#[test]
fn what_came_is_read_whatever_its_length() {
    let short = SpeedTestSeen { by_position: vec![7], ..seen() };
    let long = SpeedTestSeen { by_position: vec![7; 32], ..seen() };
    assert_eq!(FillerSeen::from(&short).by_position, [7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(FillerSeen::from(&long).by_position, [7; 10]);
    assert_eq!(SpeedTestSeen::from(FillerSeen::from(&seen())), seen());
}

#[test]
fn verbs_before_the_start_are_errors() {
    let mut pair = Pair::lan("speed_test_early");
    let client = pair.connect();
    let now = pair.now;
    assert!(pair.clients[client].control.start_speed_test(WISH, now).is_err());
    assert!(pair.clients[client].control.send_speed_test_seen(seen(), now).is_err());
}

/// A host that tells of a test before the Start, and a client that asks for one then.
#[test]
fn a_speed_test_before_the_start_ends_the_session() {
    for message in [
        Message::SpeedTestBegun(SpeedTestBegun { test: 1, target_kbps: 500, duration_ms: 200 }),
        Message::SpeedTestSent(SpeedTestSent { test: 1 }),
        Message::SpeedTestResult(result()),
        Message::SpeedTestFailed(SpeedTestFailed { why: String::new() }),
    ] {
        let mut pair = Pair::lan("speed_test_turn");
        let client = pair.connect();
        assert!(pair.run_until(Duration::from_secs(1), |pair| !pair.sessions.is_empty()));
        let session = pair.session();
        pair.host.link(session).inject(&encoded(&message));
        pair.clients[client].control.link().inject(&encoded(&Message::StartSpeedTest(WISH)));
        pair.run_for(Duration::from_millis(50));
        let violation = match (&pair.clients[client].ended, pair.ended.first()) {
            (Some(ConnectError::Violation(violation)), _)
            | (_, Some((_, SessionEnd::Violation(violation)))) => violation.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(violation.contains("SpeedTest"), "{violation}");
    }
    // What only the other end says is out of turn at any time.
    for message in [Message::SpeedTestSent(SpeedTestSent { test: 1 }), Message::SpeedTestResult(result())] {
        let mut pair = Pair::lan("speed_test_turn");
        let client = pair.connect_and_start();
        pair.clients[client].control.link().inject(&encoded(&message));
        pair.run_for(Duration::from_millis(50));
        let end = pair.ended.first();
        assert!(matches!(end, Some((_, SessionEnd::Violation(_)))), "{end:?}");
    }
    for message in [Message::StartSpeedTest(WISH), Message::SpeedTestSeen(seen())] {
        let mut pair = Pair::lan("speed_test_turn");
        let client = pair.connect_and_start();
        let session = pair.session();
        pair.host.link(session).inject(&encoded(&message));
        pair.run_for(Duration::from_millis(50));
        let ended = &pair.clients[client].ended;
        assert!(matches!(ended, Some(ConnectError::Violation(_))), "{ended:?}");
    }
}

#[test]
fn a_flood_is_held_back_and_too_long_a_list_ends_the_session() {
    let mut pair = Pair::lan("speed_test_flood");
    let client = pair.connect_and_start();
    let session = pair.session();
    for _ in 0..1_000 {
        pair.clients[client].control.link().inject(&encoded(&Message::StartSpeedTest(WISH)));
        pair.clients[client].control.link().inject(&encoded(&Message::SpeedTestSeen(seen())));
        assert!(pair.host.link(session).held_bytes() <= MEMORY_MAX);
    }
    pair.run_for(Duration::from_secs(1));
    let asked = |event: &&HostEvent| matches!(event, HostEvent::SpeedTestAsked { .. });
    assert_eq!(pair.events.iter().filter(asked).count(), 1_000);
    // SpeedTestSeen{4: a list of 33}, the rest zeros.
    let mut body = vec![0x82, 0x18, 0x21, 0xa9];
    for field in 0..9 {
        body.push(field);
        match field {
            4 => body.extend([&[0x98, 33][..], &[0; 33]].concat()),
            _ => body.push(0),
        }
    }
    pair.clients[client].control.link().inject(&frame(&body));
    pair.run_for(Duration::from_millis(50));
    let end = pair.ended.first();
    assert!(matches!(end, Some((_, SessionEnd::Violation(Violation::Message(_))))), "{end:?}");
}
