//! Peers that mean harm, before and after they have proven who they are.

use std::time::Duration;

use punktfunk_proto::Lost;

use super::course::missing;
use super::network::{Rng, Way};
use super::pair::{MODE, Pair, final_stats, hello, welcome};
use crate::limits::{ALPN, HostLimits, MESSAGE_BYTES_MAX, OUTBOX_BYTES_MAX, UNREAD_MAX};
use crate::link::CloseCode;
use crate::messages::{Bye, ByeReason, Message, RequestIdr, SkewPing, Start};
use crate::{ClientEvent, ConnectError, HostEvent, SessionEnd, SourceNews, Trust, Violation};

pub(super) const MEMORY_MAX: usize = 2 * (OUTBOX_BYTES_MAX + MESSAGE_BYTES_MAX);

pub(super) fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn news() -> SourceNews {
    SourceNews { source: "sway 1.7".into(), why: "it ended".into(), mode: Some(MODE), from_au: 512 }
}

fn samples() -> Vec<Vec<u8>> {
    let messages = [
        Message::Hello(hello()),
        Message::Welcome(welcome()),
        Message::Start(Start {}),
        Message::RequestIdr(RequestIdr { after_au: 7, from_au: Some(5) }),
        Message::SkewPing(SkewPing { round: 1, t_client_us: 5 }),
        Message::HostStats(final_stats()),
        Message::SourceNews(news()),
        Message::Bye(Bye::new(ByeReason::Asked, "x")),
    ];
    let encode = |message: Message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    };
    messages.into_iter().map(encode).collect()
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(4) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, rng.next() as u8),
        }
    }
}

#[test]
fn random_datagrams_do_nothing() {
    let mut pair = Pair::lan("random_datagrams");
    let mut rng = Rng::announced("random_datagrams bytes", 5);
    let client = pair.connect_and_start();
    let stranger = "10.66.66.66:6666".parse().unwrap();
    for round in 0..20_000 {
        let mut bytes = vec![0; rng.below(1500) as usize];
        bytes.iter_mut().for_each(|byte| *byte = rng.next() as u8);
        if let Some(first) = bytes.first_mut() {
            // Half of them look like QUIC of version 1.
            *first |= if rng.below(2) == 0 { 0xC0 } else { 0x40 };
        }
        if bytes.len() > 5 && rng.below(2) == 0 {
            bytes[1..5].copy_from_slice(&1u32.to_be_bytes());
        }
        let from = if rng.below(2) == 0 { stranger } else { pair.clients[client].addr };
        pair.host.handle_datagram(from, Some(pair.host_addr.ip()), &bytes, pair.now);
        pair.clients[client].control.handle_datagram(pair.host_addr, None, &bytes, pair.now);
        if round % 100 == 0 {
            pair.run_for(Duration::from_millis(1));
        }
    }
    pair.clients[client].control.request_idr(missing(1), pair.now).unwrap();
    pair.run_for(Duration::from_secs(10));
    assert!(pair.clients[client].ended.is_none() && pair.ended.is_empty(), "the session lives on");
    assert!(pair.events.iter().any(|event| matches!(event, HostEvent::RequestIdr { .. })));
}

/// Records real datagrams of handshake and session, bends them, and sends them in.
#[test]
fn mutated_datagrams_do_no_harm() {
    for seed in 0..8 {
        let mut pair = Pair::new("mutated_datagrams", seed, Way::LAN, Way::LAN);
        let mut rng = Rng::announced("mutated_datagrams bytes", 100 + seed);
        let client = pair.connect();
        let mut buf = Vec::new();
        for step in 0..3000 {
            let now = pair.now;
            let from = pair.clients[client].addr;
            while let Some(transmit) = pair.clients[client].control.poll_transmit(now, &mut buf) {
                for segment in buf.chunks(transmit.segment_bytes.unwrap_or(buf.len())) {
                    let mut bent = segment.to_vec();
                    mutate(&mut bent, &mut rng);
                    pair.host.handle_datagram(from, Some(pair.host_addr.ip()), &bent, now);
                    pair.network.send(from, transmit.dest, true, segment, now);
                }
            }
            let host_addr = pair.host_addr;
            while let Some(transmit) = pair.host.poll_transmit(now, &mut buf) {
                for segment in buf.chunks(transmit.segment_bytes.unwrap_or(buf.len())) {
                    let mut bent = segment.to_vec();
                    mutate(&mut bent, &mut rng);
                    if transmit.dest == from {
                        pair.clients[client].control.handle_datagram(host_addr, None, &bent, now);
                    }
                    pair.network.send(host_addr, transmit.dest, false, segment, now);
                }
            }
            if step == 2000 {
                let _ = pair.clients[client].control.request_idr(missing(1), now);
            }
            pair.run_for(Duration::from_micros(200));
        }
        // An attacker on the path can always break a handshake; he can make nothing up.
        for event in &pair.events {
            assert!(!matches!(event, HostEvent::RequestIdr { lost, .. } if *lost != missing(1)), "{event:?}");
        }
    }
}

/// Sends bytes down an authenticated stream to the host; says how the session ended, if it did.
fn feed_host(name: &str, bytes: &[u8]) -> (Pair, Option<SessionEnd>) {
    let mut pair = Pair::lan(name);
    let client = pair.connect_and_start();
    for chunk in bytes.chunks(OUTBOX_BYTES_MAX / 2) {
        pair.clients[client].control.link().inject(chunk);
        pair.run_for(Duration::from_millis(20));
        if let Some(session) = pair.sessions.last().filter(|_| pair.ended.is_empty()) {
            let held = pair.host.link(*session).held_bytes();
            assert!(held <= MEMORY_MAX, "{held} bytes held");
        }
    }
    let end = pair.ended.first().map(|(_, end)| end.clone());
    (pair, end)
}

#[test]
fn an_oversized_message_ends_the_session() {
    let (pair, end) = feed_host("oversized", &(MESSAGE_BYTES_MAX as u32 + 1).to_le_bytes());
    assert!(matches!(end, Some(SessionEnd::Violation(Violation::Message(_)))), "{end:?}");
    match &pair.clients[0].ended {
        Some(ConnectError::Violation(Violation::Accused { text })) => {
            assert!(text.contains("32769"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let (_, end) = feed_host("empty", &0u32.to_le_bytes());
    assert!(matches!(end, Some(SessionEnd::Violation(_))), "{end:?}");
}

#[test]
fn an_endless_message_is_never_more_than_one_message() {
    let mut bytes = (MESSAGE_BYTES_MAX as u32).to_le_bytes().to_vec();
    bytes.resize(MESSAGE_BYTES_MAX, 0x9f);
    let (_, end) = feed_host("endless", &bytes);
    assert_eq!(end, None, "it may still become a message");
    bytes.resize(20 * MESSAGE_BYTES_MAX, 0x9f);
    let (_, end) = feed_host("endless", &bytes);
    assert!(matches!(end, Some(SessionEnd::Violation(_))), "{end:?}");
}

#[test]
fn random_and_mutated_messages_end_the_session_or_are_messages() {
    let mut rng = Rng::announced("mutated_messages", 17);
    let (mut ended, mut lived) = (0, 0);
    for _ in 0..150 {
        let mut bytes = Vec::new();
        for _ in 0..1 + rng.below(4) {
            let samples = samples();
            let mut sample = samples[rng.below(samples.len() as u64) as usize].clone();
            if rng.below(4) == 0 {
                let mut body = vec![0; 1 + rng.below(200) as usize];
                body.iter_mut().for_each(|byte| *byte = rng.next() as u8);
                sample = frame(&body);
            }
            mutate(&mut sample, &mut rng);
            bytes.extend_from_slice(&sample);
        }
        match feed_host("mutated_messages", &bytes).1 {
            Some(_) => ended += 1,
            None => lived += 1,
        }
    }
    eprintln!("{ended} sessions ended, {lived} lived on");
    assert!(ended > 50);
}

/// Clients were broken by hosts: lengths in what these said were believed.
#[test]
fn cve_2023_42799_to_42801_a_hostile_host_cannot_harm_a_client_either() {
    let mut rng = Rng::announced("hostile_host", 23);
    let mut ended = 0;
    for _ in 0..100 {
        let mut pair = Pair::lan("hostile_host");
        let client = pair.connect_and_start();
        let samples = samples();
        let mut bytes = samples[rng.below(samples.len() as u64) as usize].clone();
        mutate(&mut bytes, &mut rng);
        bytes.extend_from_slice(&frame(&[0x82, 0x09, 0xa0]));
        let session = pair.session();
        pair.host.link(session).inject(&bytes);
        pair.run_for(Duration::from_millis(50));
        ended += u32::from(pair.clients[client].ended.is_some());
        assert!(pair.clients[client].control.link().held_bytes() <= MEMORY_MAX);
    }
    eprintln!("{ended} of 100 ended");
    assert!(ended > 40);
}

#[test]
fn messages_out_of_turn_end_the_session() {
    let news = Message::SourceNews(news());
    for message in [Message::Start(Start {}), Message::Hello(hello()), Message::Welcome(welcome()), news] {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let (_, end) = feed_host("out_of_turn", &bytes);
        match end {
            Some(SessionEnd::Violation(violation)) => {
                let text = violation.to_string();
                assert_eq!(text, format!("a {} message while running", message.name()));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A host may tell whatever it likes of its source; how much, and when a client takes it in, is bounded.
#[test]
fn a_flood_of_news_is_held_back_and_too_long_a_text_ends_the_session() {
    let mut pair = Pair::lan("news");
    let client = pair.connect_and_start();
    let session = pair.session();
    let mut one = Vec::new();
    Message::SourceNews(news()).encode(&mut one);
    for _ in 0..2_000 {
        pair.host.link(session).inject(&one);
        assert!(pair.clients[client].control.link().held_bytes() <= MEMORY_MAX);
    }
    pair.run_for(Duration::from_secs(1));
    let told = |event: &&ClientEvent| matches!(event, ClientEvent::SourceNews(told) if *told == news());
    assert_eq!(pair.clients[client].events.iter().filter(told).count(), 2_000);
    // SourceNews{1: text of 513}.
    let mut long = vec![0x82, 0x0e, 0xa3, 0x00, 0x60, 0x01, 0x79, 0x02, 0x01];
    long.resize(long.len() + 513, b'x');
    long.extend_from_slice(&[0x03, 0x00]);
    pair.host.link(session).inject(&frame(&long));
    pair.run_for(Duration::from_millis(50));
    let ended = pair.clients[client].ended.as_ref();
    assert!(matches!(ended, Some(ConnectError::Violation(Violation::Message(_)))), "{ended:?}");
}

#[test]
fn unknown_kinds_and_unknown_fields_are_skipped() {
    // Kind 999 with a map of strange things, then RequestIdr{after_au: 6} with a field 77.
    let mut bytes = frame(&[0x82, 0x19, 0x03, 0xe7, 0xa2, 0x00, 0x9f, 0x01, 0xff, 0x18, 0x63, 0x61, 0x78]);
    bytes
        .extend_from_slice(&frame(&[0x82, 0x07, 0xa2, 0x00, 0x06, 0x18, 0x4d, 0x83, 0x01, 0x02, 0x61, 0x79]));
    let (mut pair, end) = feed_host("unknown", &bytes);
    assert_eq!(end, None);
    let asked = pair
        .events
        .iter()
        .any(|event| matches!(event, HostEvent::RequestIdr { lost: Lost { from_au: 0, to_au: 6 }, .. }));
    assert!(asked, "{:?}", pair.events);
    let session = pair.session();
    assert_eq!(pair.host.stats(session).unwrap().messages_skipped, 1);
    pair.clients[0].control.request_idr(missing(8), pair.now).unwrap();
    pair.run_for(Duration::from_millis(10));
    assert!(
        pair.events
            .iter()
            .any(|event| matches!(event, HostEvent::RequestIdr { lost: Lost { from_au: 7, to_au: 8 }, .. }))
    );
}

#[test]
fn a_client_that_floods_clock_rounds_and_does_not_read_is_cut_off() {
    let mut pair = Pair::lan("ping_flood");
    let client = pair.connect_and_start();
    // Nothing of the host's reaches the client any more, so its answers pile up.
    pair.network.to_client.lost_per_mille = 1000;
    let mut ping = Vec::new();
    Message::SkewPing(SkewPing { round: 9, t_client_us: 1 }).encode(&mut ping);
    for _ in 0..3000 {
        pair.clients[client].control.link().inject(&ping);
    }
    pair.run_for(Duration::from_secs(8));
    assert_eq!(pair.ended.len(), 1);
}

#[test]
fn a_client_that_reads_nothing_is_ended_though_it_answers() {
    let mut pair = Pair::lan("deaf");
    let client = pair.connect_and_start();
    pair.clients[client].deaf = true;
    let session = pair.session();
    let (mut told, mut dropped_at) = (0, None);
    while pair.ended.is_empty() {
        told += 1;
        assert!(told < 100_000, "nothing becomes of a client that reads nothing");
        let before = pair.host.stats(session).unwrap().messages_dropped;
        pair.host.send_stats(session, &final_stats(), pair.now).unwrap();
        let dropped = pair.host.stats(session).is_some_and(|link| link.messages_dropped > before);
        if dropped && dropped_at.is_none() {
            dropped_at = Some(pair.now);
        }
        pair.run_for(Duration::from_millis(20));
    }
    let waited = pair.now - dropped_at.expect("its messages were dropped first");
    assert!((UNREAD_MAX..UNREAD_MAX + Duration::from_millis(100)).contains(&waited), "{waited:?}");
    assert!(
        matches!(pair.ended[..], [(_, SessionEnd::Violation(Violation::DoesNotRead))]),
        "{:?}",
        pair.ended
    );
}

#[test]
fn malformed_reports_end_the_session_and_strange_planes_do_not() {
    let mut pair = Pair::lan("reports");
    let client = pair.connect_and_start();
    pair.clients[client].control.link().send_datagram(crate::Plane::Cursor, |out| {
        out[..3].fill(9);
        3
    });
    // A report of version 200 is of another age.
    pair.clients[client].control.link().send_datagram(crate::Plane::Feedback, |out| {
        out[..40].fill(200);
        40
    });
    pair.run_for(Duration::from_millis(50));
    assert!(pair.ended.is_empty(), "{:?}", pair.ended);
    pair.clients[client].control.link().send_datagram(crate::Plane::Feedback, |out| {
        out[0] = 1;
        1
    });
    pair.run_for(Duration::from_millis(50));
    assert!(matches!(pair.ended[..], [(_, SessionEnd::Violation(Violation::Feedback))]), "{:?}", pair.ended);
}

#[test]
fn a_last_word_moves_no_cursor() {
    for code in [CloseCode::Bye, CloseCode::Violation, CloseCode::Stalled] {
        let bad = "<\x1b[2J\r\n\u{9b}\u{202e}\u{2066}>";
        let clean = "<?[2J?????>";
        let mut pair = Pair::lan("last_word");
        let client = pair.connect_and_start();
        let now = pair.now;
        pair.clients[client].control.link().close(code, bad, now);
        pair.run_for(Duration::from_millis(50));
        let end = pair.ended[0].1.to_string();
        assert!(end.contains(clean), "{code:?}: {end:?}");

        let mut pair = Pair::lan("last_word");
        let client = pair.connect_and_start();
        let (session, now) = (pair.session(), pair.now);
        pair.host.link(session).close(code, bad, now);
        pair.run_for(Duration::from_millis(50));
        let end = pair.clients[client].ended.as_ref().expect("the host has closed").to_string();
        assert!(end.contains(clean), "{code:?}: {end:?}");
    }
}

#[test]
fn a_flood_of_strangers_costs_places_for_a_moment_only() {
    let mut pair = Pair::with("strangers", 1, Way::LAN, Way::LAN, Trust::Open, HostLimits::default(), ALPN);
    for _ in 0..100 {
        let stranger = pair.connect();
        let mut buf = Vec::new();
        let from = pair.clients[stranger].addr;
        while pair.clients[stranger].control.poll_transmit(pair.now, &mut buf).is_some() {
            pair.host.handle_datagram(from, Some(pair.host_addr.ip()), &buf, pair.now);
        }
        pair.clients[stranger].dead = true;
    }
    pair.run_for(Duration::from_secs(6));
    assert!(pair.host.is_idle(), "strangers keep their places");
    pair.connect_and_start();
}
