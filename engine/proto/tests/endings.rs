//! Each access unit ends in exactly one way: delivered, lost, late or dropped.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Got, Host, Rng, Sent, drain, much_later, negotiated, opener, random_slices, reassembler};
use proptest::prelude::*;
use punktfunk_proto::{Arrival, Delivery, Reassembler, ReassemblerLimits, ReassemblyCounters};

fn ended(counters: &ReassemblyCounters) -> [u64; 5] {
    let ReassemblyCounters {
        aus_delivered, aus_lost, aus_late, aus_dropped_memory, aus_dropped_window, ..
    } = *counters;
    [aus_delivered, aus_lost, aus_late, aus_dropped_memory, aus_dropped_window]
}

fn handle_all(client: &mut Reassembler, sent: &[Sent], now: std::time::Instant, got: &mut Vec<Got>) {
    for datagram in sent {
        client.handle_datagram(&datagram.bytes, now);
        drain(client, now, got);
    }
}

/// Whether each block has k of the shards in `came`.
fn is_whole<'a>(sent: &[Sent], came: impl Iterator<Item = &'a Sent>) -> bool {
    let mut shards: BTreeMap<u16, u16> = BTreeMap::new();
    came.for_each(|datagram| *shards.entry(datagram.plan.block).or_default() += 1);
    sent.iter().all(|datagram| shards.get(&datagram.plan.block).is_some_and(|came| *came >= datagram.plan.k))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The oracle counts shards: an AU is delivered if k of each block came in time, late if k came at all, else lost.
    #[test]
    fn each_au_is_counted_once_and_rightly(seed in any::<u64>()) {
        eprintln!("seed {seed}");
        let mut rng = Rng(seed);
        let mut host = Host::new(&negotiated());
        let mut client = reassembler(&negotiated());
        let (mut now, mut got, mut expected) = (host.now, Vec::new(), [0; 5]);
        let mut is_unseen = false;
        let mut under_way: Vec<(std::time::Instant, Vec<Sent>)> = Vec::new();
        for _ in 0..40 {
            let sent = host.send(&random_slices(&mut rng, 4, 20_000), false, rng.clone().chance(100));
            // An AU of which nothing comes in time is followed by a whole one: what is newer gives up what is older.
            let chances = [(0, 0), (0, 100), (100, 0), (500, 20), (1_000, 0)];
            let (late, never) = if is_unseen { chances[0] } else { chances[rng.below(5)] };
            let fates: Vec<u8> =
                sent.iter().map(|_| if rng.chance(never) { 2 } else { u8::from(rng.chance(late)) }).collect();
            let with = |most: u8| sent.iter().zip(&fates).filter(move |(_, fate)| **fate <= most).map(|(d, _)| d);
            let way = if is_whole(&sent, with(0)) { 0 } else if is_whole(&sent, with(1)) { 2 } else { 1 };
            expected[way] += 1;
            let in_time: Vec<Sent> = with(0).cloned().collect();
            is_unseen = in_time.is_empty();
            let mut rest: Vec<Sent> =
                sent.iter().zip(&fates).filter(|(_, fate)| **fate == 1).map(|(d, _)| d.clone()).collect();
            rng.shuffle(&mut rest);
            under_way.push((now + Duration::from_millis(120), rest));
            handle_all(&mut client, &in_time, now, &mut got);
            now += Duration::from_millis(17);
            client.handle_timeout(now);
            drain(&mut client, now, &mut got);
            while under_way.first().is_some_and(|(at, _)| *at <= now) {
                handle_all(&mut client, &under_way.remove(0).1, now, &mut got);
            }
            let counters = client.counters();
            let told = got.iter().map(|got| match got {
                Got::Block { last, .. } => u64::from(*last),
                Got::Lost { count, .. } => u64::from(*count),
            });
            prop_assert_eq!(ended(&counters).iter().sum::<u64>(), told.sum::<u64>());
        }
        // One that is whole makes the ones before it known.
        handle_all(&mut client, &host.send(&[vec![1; 100]], false, false), now, &mut got);
        expected[0] += 1;
        now = much_later(now);
        client.handle_timeout(now);
        drain(&mut client, now, &mut got);
        for (_, rest) in under_way {
            handle_all(&mut client, &rest, now, &mut got);
        }
        prop_assert_eq!(ended(&client.counters()), expected);
    }
}

#[test]
fn an_au_that_was_pushed_out_can_be_late_and_a_whole_one_is_dropped() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let open = u32::from(ReassemblerLimits::from(&negotiated()).aus_open_max);
    let mut got = Vec::new();
    let first = host.send(&[vec![5; 20_000]], false, false);
    let second = host.send(&[vec![5; 20_000]], false, false);
    let k = usize::from(first[0].plan.k);
    handle_all(&mut client, &first[..k - 2], now, &mut got);
    // Of the third nothing comes; those from the fourth on wait for it.
    handle_all(&mut client, &second, now, &mut got);
    let third = host.send(&[vec![5; 600]], false, false);
    assert_eq!(third[0].plan.k, 2);
    let fourth = host.send(&[vec![5; 300]], false, false);
    handle_all(&mut client, &fourth, now, &mut got);
    assert!(got.is_empty());
    host.next_au = open + 3;
    handle_all(&mut client, &host.send(&[vec![5; 300]], false, false), now, &mut got);
    assert_eq!(got, [Got::Lost { au: 0, count: 4, blocks_delivered: 0 }]);
    assert_eq!(ended(&client.counters()), [0, 2, 0, 0, 2]);
    assert_eq!(client.handle_datagram(&first[k - 2].bytes, now), Arrival::Late);
    assert_eq!(ended(&client.counters()), [0, 2, 0, 0, 2], "one shard is still missing");
    assert_eq!(client.handle_datagram(&first[k].bytes, now), Arrival::Late);
    assert_eq!(ended(&client.counters()), [0, 1, 1, 0, 2], "parity will do");
    assert_eq!(client.handle_datagram(&first[k + 1].bytes, now), Arrival::Late);
    assert_eq!(client.handle_datagram(&third[0].bytes, now), Arrival::Late);
    assert_eq!(ended(&client.counters()), [0, 1, 1, 0, 2], "counted once");
    for datagram in &third[1..] {
        client.handle_datagram(&datagram.bytes, now);
    }
    assert_eq!(ended(&client.counters()), [0, 0, 2, 0, 2], "of which nothing had come");
}

#[test]
fn an_au_skipped_by_a_jump_can_be_late() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let mut got = Vec::new();
    host.next_au = 990;
    let skipped = host.send(&[vec![5; 3_000], vec![6; 300]], false, true);
    host.next_au = 1_015;
    handle_all(&mut client, &host.send(&[vec![5; 300]], false, false), now, &mut got);
    assert_eq!(ended(&client.counters()), [0, 1_000, 0, 0, 0]);
    handle_all(&mut client, &skipped, now, &mut got);
    assert_eq!(ended(&client.counters()), [0, 999, 1, 0, 0]);
}

#[test]
fn an_au_that_finds_no_memory_is_dropped() {
    let mut limits = ReassemblerLimits::from(&negotiated());
    limits.span_bytes_max = 64 * 1024;
    limits.slices_under_way = 0;
    let mut client = Reassembler::new(limits, opener(&limits));
    let mut host = Host::new(&negotiated());
    let mut now = host.now;
    let mut kept = Vec::new();
    for _ in 0..12 {
        for datagram in host.send(&[vec![1; 6_000]], false, false) {
            client.handle_datagram(&datagram.bytes, now);
        }
        while let Some(delivery) = client.poll_delivery(now) {
            match delivery {
                Delivery::Block(block) => kept.push(block.span),
                Delivery::Lost(lost) => panic!("{lost:?}"),
            }
        }
    }
    kept.into_iter().for_each(|span| client.give_back(span));
    // One that found memory again, and lacks a shard more than its parity can give.
    let sent = host.send(&[vec![1; 6_000]], false, false);
    let mut got = Vec::new();
    handle_all(&mut client, &sent[2..], now, &mut got);
    handle_all(&mut client, &host.send(&[vec![1; 6_000]], false, false), now, &mut got);
    now = much_later(now);
    client.handle_timeout(now);
    drain(&mut client, now, &mut got);
    assert_eq!(ended(&client.counters()), [9, 1, 0, 4, 0]);
}
