//! A flood of random, mutated, replayed and forged datagrams changes nothing: the same deliveries, the same counters
//! of the stream, the same deadlines and the same memory as without it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Got, Host, Rng, Sent, drain, much_later, negotiated, random_slices, reassembler};
use punktfunk_proto::{Arrival, Header, Reassembler, ReassemblyCounters};

/// What only says how much was refused, blanked.
fn of_the_stream(counters: ReassemblyCounters) -> ReassemblyCounters {
    ReassemblyCounters {
        datagrams: 0,
        replayed: 0,
        malformed: 0,
        bad_tag: 0,
        unknown_epoch: 0,
        over_limit: 0,
        ..counters
    }
}

/// A datagram that an attacker on the path may send, who knows all that was sent and what comes next.
fn hostile(rng: &mut Rng, past: &[Sent], future: &[Sent]) -> Vec<u8> {
    let old = (!past.is_empty()).then(|| &past[rng.below(past.len())].bytes);
    let new = (!future.is_empty()).then(|| &future[rng.below(future.len().min(50))].bytes);
    match rng.below(6) {
        0 => {
            let length = rng.below(2_000);
            rng.bytes(length)
        }
        1 => {
            let length = 40 + 64 * (1 + rng.below(22));
            let mut bytes = rng.bytes(length);
            bytes[0] &= 0b1100;
            bytes[1] &= 15;
            bytes
        }
        2 => old.cloned().unwrap_or_default(),
        3 => old.map(|old| mutated(rng, old)).unwrap_or_default(),
        4 => new.map(|new| mutated(rng, new)).unwrap_or_default(),
        _ => new.map(|new| forged(rng, new)).unwrap_or_default(),
    }
}

/// A few bits flipped anywhere.
fn mutated(rng: &mut Rng, datagram: &[u8]) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    for _ in 0..1 + rng.below(3) {
        let at = if rng.chance(500) { rng.below(24) } else { rng.below(bytes.len()) };
        bytes[at] ^= 1 << rng.below(8);
    }
    // The flips may have cancelled out: then it would be the genuine one.
    if bytes == datagram {
        bytes[30] ^= 1;
    }
    bytes
}

/// A header that parses, aimed at a block that is being filled, at the next one, or far ahead.
fn forged(rng: &mut Rng, datagram: &[u8]) -> Vec<u8> {
    let mut header = Header::parse(datagram).unwrap();
    match rng.below(6) {
        0 => header.shard = rng.below(usize::from(header.k + header.m)) as u16,
        1 => header.au = header.au.wrapping_add(rng.next() as u32),
        2 => header.au += 1 + rng.below(20) as u32,
        3 => header.block = rng.below(40) as u16,
        4 => (header.k, header.tail) = (header.k % 1_000 + 1, 0),
        _ => header.sequence = rng.next() as u32,
    }
    let mut bytes = datagram.to_vec();
    header.write(bytes.first_chunk_mut().unwrap());
    // Not the genuine one, even where the new value is the old.
    bytes[30] ^= 1;
    bytes
}

struct Client {
    reassembler: Reassembler,
    got: Vec<Got>,
}

impl Client {
    fn new() -> Self {
        Self { reassembler: reassembler(&negotiated()), got: Vec::new() }
    }

    fn handle(&mut self, datagram: &[u8], now: std::time::Instant) -> Arrival {
        let arrival = self.reassembler.handle_datagram(datagram, now);
        drain(&mut self.reassembler, now, &mut self.got);
        arrival
    }
}

fn flood(seed: u64, per_datagram: usize) {
    eprintln!("seed {seed}");
    let mut rng = Rng(seed);
    let mut host = Host::new(&negotiated());
    let (mut calm, mut flooded) = (Client::new(), Client::new());
    let mut now = host.now;
    let mut sent = Vec::new();
    for au in 0..24 {
        let slices = random_slices(&mut rng, 4, 40_000);
        sent.extend(host.send(&slices, au == 0, false));
    }
    // Lost on the way; an attacker who keeps them and sends them later is only a slow network.
    sent.retain(|_| !rng.chance(60));
    let mut refused = 0;
    for at in 0..sent.len() {
        for _ in 0..rng.below(2 * per_datagram + 1) {
            let bytes = hostile(&mut rng, &sent[..at], &sent[at..]);
            let arrival = flooded.handle(&bytes, now);
            let accepted =
                matches!(arrival, Arrival::Placed | Arrival::Copied | Arrival::Surplus | Arrival::Late);
            assert!(!accepted, "{arrival:?}");
            refused += 1;
        }
        assert_eq!(calm.handle(&sent[at].bytes, now), flooded.handle(&sent[at].bytes, now));
        if at > 0 && sent[at].plan.au != sent[at - 1].plan.au {
            now += Duration::from_millis(17);
            calm.reassembler.handle_timeout(now);
            flooded.reassembler.handle_timeout(now);
            assert_eq!(calm.reassembler.feedback(now), flooded.reassembler.feedback(now));
        }
        assert_eq!(calm.reassembler.poll_timeout(), flooded.reassembler.poll_timeout());
    }
    for client in [&mut calm, &mut flooded] {
        client.reassembler.handle_timeout(much_later(now));
        drain(&mut client.reassembler, now, &mut client.got);
        assert_eq!((client.reassembler.spans_out(), client.reassembler.spans_filling()), (0, 0));
    }
    assert_eq!(calm.got, flooded.got);
    let (calm, flooded) = (calm.reassembler.counters(), flooded.reassembler.counters());
    assert_eq!(of_the_stream(calm), of_the_stream(flooded));
    assert_eq!(flooded.datagrams, calm.datagrams + refused);
    assert!(calm.blocks_recovered > 0, "the flood met recovery");
}

#[test]
fn a_flood_changes_nothing_that_is_believed() {
    for seed in 1..=12 {
        flood(seed, 3);
    }
}

#[test]
fn a_flood_alone_takes_no_memory() {
    let mut rng = Rng(99);
    let mut host = Host::new(&negotiated());
    let sent = host.send(&[vec![1; 100_000]], true, false);
    let mut client = Client::new();
    let held_at_start = client.reassembler.counters().span_bytes;
    for _ in 0..50_000 {
        let bytes = hostile(&mut rng, &[], &sent);
        client.handle(&bytes, host.now);
    }
    let counters = client.reassembler.counters();
    assert_eq!((counters.span_bytes, counters.authentic_bytes), (held_at_start, 0));
    assert_eq!(client.reassembler.poll_timeout(), None);
    assert_eq!(client.reassembler.feedback(host.now).highest_au, None);
}
