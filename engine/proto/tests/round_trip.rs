//! Packetize → loss, reordering, duplication → reassemble gives back what went in, for every pattern that leaves k
//! shards of each block; and for every other pattern exactly the AUs that lack a block are lost.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Got, Host, Rng, Sent, drain, much_later, negotiated, random_slices, reassembler};
use proptest::prelude::*;

/// Drops up to m shards of each block, duplicates and reorders what is left within the AU.
fn survivable(rng: &mut Rng, sent: &[Sent]) -> Vec<Sent> {
    let mut blocks: BTreeMap<u16, Vec<Sent>> = BTreeMap::new();
    for datagram in sent {
        blocks.entry(datagram.plan.block).or_default().push(datagram.clone());
    }
    let mut left = Vec::new();
    for (_, mut shards) in blocks {
        rng.shuffle(&mut shards);
        let drop = rng.below(usize::from(shards[0].plan.m) + 1);
        shards.truncate(shards.len() - drop);
        left.extend(shards);
    }
    for _ in 0..rng.below(10) {
        let again = left[rng.below(left.len())].clone();
        left.push(again);
    }
    rng.shuffle(&mut left);
    left
}

/// The slices of an AU, from its blocks.
fn slices_of(got: &[Got], number: u32) -> Vec<Vec<u8>> {
    let mut slices = Vec::new();
    let mut slice = Vec::new();
    let mut next_block = 0;
    for got in got {
        let Got::Block { au, block, slice_end, bytes, .. } = got else { panic!("lost: {got:?}") };
        if *au != number {
            continue;
        }
        assert_eq!(*block, next_block);
        next_block += 1;
        slice.extend_from_slice(bytes);
        if *slice_end {
            slices.push(std::mem::take(&mut slice));
        }
    }
    slices
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_k_of_each_block_give_back_the_input(seed in any::<u64>()) {
        eprintln!("seed {seed}");
        let mut rng = Rng(seed);
        let negotiated = negotiated();
        let mut host = Host::new(&negotiated);
        let mut client = reassembler(&negotiated);
        let now = host.now;
        let mut got = Vec::new();
        let mut input = Vec::new();
        for au in 0..6 {
            let bytes_max = [60, 300, 5_000, 400_000][rng.below(4)];
            let slices = random_slices(&mut rng, 8, bytes_max);
            let late_end = rng.chance(300);
            if rng.chance(300) {
                host.packetizer.set_shard_bytes([1152, 1280, 1408][rng.below(3)]);
            }
            let sent = host.send(&slices, au == 0, late_end);
            for datagram in survivable(&mut rng, &sent) {
                client.handle_datagram(&datagram.bytes, now);
                drain(&mut client, now, &mut got);
            }
            input.push(slices);
        }
        for (au, slices) in input.iter().enumerate() {
            prop_assert_eq!(&slices_of(&got, au as u32), slices, "access unit {}", au);
        }
        let counters = client.counters();
        prop_assert_eq!((counters.aus_delivered, counters.aus_lost, client.spans_out()), (6, 0, 0));
        prop_assert_eq!(client.spans_filling(), 0);
    }

    /// The oracle is a set per block: an AU can be had if and only if each of its blocks has k distinct shards.
    #[test]
    fn beyond_the_bound_exactly_those_aus_are_lost(seed in any::<u64>()) {
        eprintln!("seed {seed}");
        let mut rng = Rng(seed);
        let negotiated = negotiated();
        let mut host = Host::new(&negotiated);
        let mut client = reassembler(&negotiated);
        let mut now = host.now;
        let (mut got, mut input, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..12 {
            let slices = random_slices(&mut rng, 4, 60_000);
            let sent = host.send(&slices, false, false);
            let loss = [0, 50, 100, 300][rng.below(4)];
            let mut came: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
            for datagram in &sent {
                if rng.chance(loss) {
                    continue;
                }
                came.entry(datagram.plan.block).or_default().insert(datagram.shard);
                client.handle_datagram(&datagram.bytes, now);
                drain(&mut client, now, &mut got);
            }
            let whole = sent.iter().all(|datagram| {
                came.get(&datagram.plan.block).map_or(0, BTreeSet::len) >= usize::from(datagram.plan.k)
            });
            expected.push(whole);
            input.push(slices.concat());
            now += std::time::Duration::from_millis(17);
            client.handle_timeout(now);
            drain(&mut client, now, &mut got);
        }
        client.handle_timeout(much_later(now));
        drain(&mut client, now, &mut got);
        for (au, whole) in expected.iter().enumerate() {
            let (mut bytes, mut ended, mut lost) = (Vec::new(), false, false);
            for got in &got {
                match got {
                    Got::Block { au: number, bytes: more, last, .. } if *number == au as u32 => {
                        bytes.extend_from_slice(more);
                        ended |= last;
                    }
                    Got::Lost { au: number, .. } if *number == au as u32 => lost = true,
                    Got::Block { .. } | Got::Lost { .. } => {}
                }
            }
            let trailing = expected[au..].iter().all(|whole| !whole);
            prop_assert_eq!(ended, *whole, "access unit {}", au);
            // Of AUs at the very end nothing may have come, and then nobody knows of them.
            prop_assert!(lost != *whole || trailing, "access unit {}", au);
            prop_assert!(input[au].starts_with(&bytes), "access unit {}: wrong bytes", au);
            prop_assert!(!ended || bytes == input[au]);
        }
        prop_assert_eq!((client.spans_out(), client.spans_filling()), (0, 0));
    }
}
