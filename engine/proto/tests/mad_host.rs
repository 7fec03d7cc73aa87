//! A peer with the right keys and no sense: headers that parse and authenticate but contradict each other, jump and
//! repeat. Never a panic, memory within the budget, deliveries in order, each access unit ended exactly once.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Got, Rng, drain, keys, much_later, opener};
use punktfunk_proto::{
    Arrival, Flags, Header, Negotiated, Reassembler, ReassemblerLimits, ReassemblyCounters,
};
use punktfunk_seal::{Plane, Sealer};

const SHARD_BYTES: usize = 256;

/// Mostly near what was sent last, sometimes anything.
fn header(rng: &mut Rng, au: &mut u32) -> Header {
    match rng.below(40) {
        0 => *au = au.saturating_add(rng.below(200) as u32),
        1..4 => *au = au.saturating_add(1),
        _ => {}
    }
    let (k_max, m_max, blocks) = match rng.below(20) {
        0 => (200, 2, 4),
        1 => (3, 100, 4),
        2 => (3, 2, 300),
        _ => (3, 2, 4),
    };
    let k = 1 + rng.below(k_max) as u16;
    let m = 1 + rng.below(m_max) as u16;
    let flags = if rng.chance(200) { rng.next() as u8 & 15 } else { rng.next() as u8 & 1 };
    Header {
        plane: Plane::Video,
        epoch_low: 0,
        flags: Flags::from_bits(flags).unwrap(),
        shard: rng.below(usize::from(k + m)) as u16,
        sequence: 0,
        au: au.saturating_sub(rng.below(4) as u32),
        pts_us: if rng.chance(20) { rng.next() as u32 } else { 5 },
        k,
        m,
        block: rng.below(blocks) as u16,
        tail: if rng.chance(200) { rng.below(SHARD_BYTES + 1) as u16 } else { 0 },
    }
}

/// Each AU from 0 on ends once, in order, and its blocks come in order before that.
fn check_order(got: &[Got]) {
    let (mut next_au, mut next_block) = (0_u64, 0);
    for got in got {
        match got {
            Got::Block { au, block, last, .. } => {
                assert_eq!((u64::from(*au), *block), (next_au, next_block));
                next_block += 1;
                if *last {
                    (next_au, next_block) = (next_au + 1, 0);
                }
            }
            Got::Lost { au, count, blocks_delivered } => {
                assert_eq!((u64::from(*au), *blocks_delivered), (next_au, next_block));
                assert!(*count > 0);
                (next_au, next_block) = (next_au + u64::from(*count), 0);
            }
        }
    }
}

/// The AUs that ended undelivered, by how.
fn undelivered(counters: &ReassemblyCounters) -> [u64; 4] {
    [counters.aus_lost, counters.aus_late, counters.aus_dropped_memory, counters.aus_dropped_window]
}

#[test]
fn contradictions_from_the_peer_itself_do_no_harm() {
    let negotiated = Negotiated::new(SHARD_BYTES as u16, 500, 60_000, 4, 300, 65_536).unwrap();
    let (mut delivered, mut pushed_out) = (0, 0);
    let mut ways = [0; 4];
    let mut seen = std::collections::HashSet::new();
    for seed in 1..=16 {
        eprintln!("seed {seed}");
        let mut rng = Rng(seed);
        let mut limits = ReassemblerLimits::from(&negotiated);
        limits.span_bytes_max = 256 * 1024;
        let mut client = Reassembler::new(limits, opener(&limits));
        let mut now = std::time::Instant::now();
        let mut sealer = Sealer::new(keys(), now);
        let (mut au, mut got) = (0, Vec::new());
        for _ in 0..4_000 {
            let ticket = sealer.reserve(now).unwrap();
            let header = Header { sequence: ticket.sequence(), ..header(&mut rng, &mut au) };
            let shard_bytes = if rng.chance(30) { 64 * (1 + rng.below(5)) } else { SHARD_BYTES };
            let mut datagram = vec![0; 40 + shard_bytes];
            let (head, rest) = datagram.split_first_chunk_mut().unwrap();
            header.write(head);
            sealer.seal(ticket, head, &[], shard_bytes, rest);
            seen.insert(client.handle_datagram(&datagram, now));
            if rng.chance(900) {
                drain(&mut client, now, &mut got);
            }
            if rng.chance(20) {
                now += Duration::from_millis(15);
                client.handle_timeout(now);
                let _ = client.feedback(now);
            }
            assert!(client.counters().span_bytes <= limits.span_bytes_max);
        }
        drain(&mut client, now, &mut got);
        client.handle_timeout(much_later(now));
        drain(&mut client, now, &mut got);
        check_order(&got);
        assert_eq!((client.spans_out(), client.spans_filling()), (0, 0));
        assert_eq!(client.poll_timeout(), None);
        let counters = client.counters();
        let lost = got.iter().map(|got| match got {
            Got::Lost { count, .. } => u64::from(*count),
            Got::Block { .. } => 0,
        });
        let ended = undelivered(&counters);
        assert_eq!(lost.sum::<u64>(), ended.iter().sum::<u64>());
        delivered += counters.aus_delivered;
        pushed_out += got.iter().filter(|got| matches!(got, Got::Lost { count: 2.., .. })).count();
        ways.iter_mut().zip(ended).for_each(|(sum, count)| *sum += count);
    }
    assert!(delivered > 20 && pushed_out > 10, "{delivered} delivered, {pushed_out} times pushed out");
    assert!(ways[..3].iter().all(|count| *count > 0), "lost, late, dropped: {ways:?}");
    for arrival in [
        Arrival::Placed,
        Arrival::Copied,
        Arrival::Surplus,
        Arrival::Late,
        Arrival::Malformed,
        Arrival::OverLimit,
    ] {
        assert!(seen.contains(&arrival), "{arrival:?} never came");
    }
}
