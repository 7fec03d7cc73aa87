//! Plans cover their slices exactly, within the limits that the receiver derives.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Host, negotiated};
use proptest::prelude::*;
use punktfunk_proto::{
    BlockPlan, Flags, Negotiated, PacketizeError, Packetizer, ReassemblerLimits, Redundancy,
};

proptest! {
    #[test]
    fn blocks_cover_each_slice_within_the_limits(
        shard_steps in 4u16..=139,
        redundancy in 0u16..=1_000,
        idr in any::<bool>(),
        slices in proptest::collection::vec(0usize..3_000_000, 1..=8),
    ) {
        let shard_bytes = shard_steps * 64;
        let negotiated = Negotiated::new(shard_bytes, 100_000, 60_000, 8, redundancy, 32 << 20).unwrap();
        let limits = ReassemblerLimits::from(&negotiated);
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(shard_bytes);
        packetizer.begin(3, 99, idr, false);
        let mut next_block = 0;
        for (index, bytes) in slices.iter().enumerate() {
            let last = index + 1 == slices.len();
            let plans: Vec<_> = packetizer.plan_slice(*bytes, last).unwrap().collect();
            let mut at = 0;
            for (position, plan) in plans.iter().enumerate() {
                let ends_slice = position + 1 == plans.len();
                prop_assert_eq!((plan.au, plan.block, plan.pts_us), (3, next_block, 99));
                prop_assert_eq!(plan.range_start, at);
                prop_assert_eq!(
                    usize::from(plan.k) * usize::from(plan.shard_bytes) - usize::from(plan.tail),
                    plan.range().len()
                );
                prop_assert!(plan.tail < plan.shard_bytes || (plan.k == 1 && *bytes == 0));
                prop_assert!(plan.k <= limits.block_data_shards_max && plan.m >= 1);
                prop_assert!(plan.k + plan.m <= limits.block_shards_max);
                prop_assert!(plan.block < limits.blocks_per_au_max);
                prop_assert_eq!(plan.flags.slice_end(), ends_slice);
                prop_assert_eq!(plan.flags.last_block(), ends_slice && last);
                prop_assert_eq!(plan.flags.idr(), idr);
                at = plan.range_end;
                next_block += 1;
            }
            prop_assert_eq!(at, *bytes);
            let longest = plans.iter().map(|plan| plan.k).max().unwrap();
            let shortest = plans.iter().map(|plan| plan.k).min().unwrap();
            prop_assert!(longest - shortest <= 1, "blocks of a slice are of nearly equal length");
        }
    }
}

/// Bytes on the wire of each slice of an AU.
fn wire_bytes(packetizer: &mut Packetizer, au: u32, idr: bool, slices: &[usize]) -> Vec<(usize, u16)> {
    packetizer.begin(au, 0, idr, false);
    let mut sent = Vec::new();
    for (index, bytes) in slices.iter().enumerate() {
        let plans: Vec<BlockPlan> =
            packetizer.plan_slice(*bytes, index + 1 == slices.len()).unwrap().collect();
        sent.push((plans.iter().map(BlockPlan::slots_bytes).sum(), plans[0].shard_bytes));
    }
    sent
}

/// The oracle: the same with shards of one length, counted.
fn wire_bytes_at(shard_bytes: usize, redundancy: u16, idr: bool, slice_bytes: usize) -> usize {
    let k = slice_bytes.div_ceil(shard_bytes).max(1);
    let m = usize::from(Redundancy::fixed(redundancy).parity_for(k as u16, idr));
    (k + m) * (shard_bytes + 40)
}

proptest! {
    /// An AU of one slice: as few bytes as with the best of all lengths, but for the 3 % that fewer datagrams are worth.
    #[test]
    fn a_short_au_costs_what_it_must(
        longest_steps in 4u16..=139,
        redundancy in 0u16..=1_000,
        idr in any::<bool>(),
        slice_bytes in prop_oneof![0usize..3_000, 0usize..30_000, 0usize..200_000],
    ) {
        let longest = longest_steps * 64;
        let negotiated = Negotiated::new(longest, 100_000, 60_000, 8, redundancy, 32 << 20).unwrap();
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(longest);
        let (wire, shard_bytes) = wire_bytes(&mut packetizer, 0, idr, &[slice_bytes])[0];
        prop_assert!((256..=longest).contains(&shard_bytes) && shard_bytes.is_multiple_of(64));
        let at = |shard: usize| wire_bytes_at(shard, redundancy, idr, slice_bytes);
        prop_assert_eq!(wire, at(usize::from(shard_bytes)));
        prop_assert!(wire <= at(usize::from(longest)), "{} of {}", wire, at(usize::from(longest)));
        if slice_bytes < 10 * 1408.min(usize::from(longest)) {
            let best = (256..=usize::from(longest)).step_by(64).map(at).min().unwrap();
            prop_assert!(wire * 97 <= best * 100, "{} where {} were enough", wire, best);
        }
    }

    /// AUs of several slices, each shaped like the one before it: never more than with the longest shard, and one length
    /// within an AU. Where an AU breaks with the one before it, its first slice still costs no more.
    #[test]
    fn aus_like_the_one_before_cost_no_more_than_with_the_longest_shard(
        redundancy in 0u16..=1_000,
        shapes in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![0usize..600, 0usize..9_000, 0usize..60_000], 1..=8), 1..5),
    ) {
        let negotiated = Negotiated::new(1408, 100_000, 60_000, 8, redundancy, 32 << 20).unwrap();
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(1408);
        let mut au = 0;
        for shape in shapes {
            for round in 0..3 {
                let sent = wire_bytes(&mut packetizer, au, false, &shape);
                let longest: Vec<usize> =
                    shape.iter().map(|bytes| wire_bytes_at(1408, redundancy, false, *bytes)).collect();
                prop_assert!(sent.iter().all(|(_, shard)| *shard == sent[0].1));
                prop_assert!(sent[0].0 <= longest[0]);
                let wire: usize = sent.iter().map(|(wire, _)| wire).sum();
                let wire_longest: usize = longest.iter().sum();
                prop_assert!(round == 0 || wire <= wire_longest, "{} of {}", wire, wire_longest);
                au += 1;
            }
        }
    }
}

/// A still desktop at 60 Hz: four slices of some 40 bytes a picture.
#[test]
fn still_pictures_cost_a_fifth_of_what_the_longest_shards_would() {
    let mut packetizer = Packetizer::new(&negotiated());
    packetizer.set_shard_bytes(1408);
    let still = [40; 4];
    let shard = |sent: &[(usize, u16)]| sent[0].1;
    assert_eq!(shard(&wire_bytes(&mut packetizer, 0, true, &[20_000; 4])), 1408);
    assert_eq!(shard(&wire_bytes(&mut packetizer, 1, false, &still)), 1408, "nothing to go by");
    let sent = wire_bytes(&mut packetizer, 2, false, &still);
    assert_eq!(sent, [(2 * 296, 256); 4]);
    assert_eq!(shard(&wire_bytes(&mut packetizer, 3, true, &still)), 1408, "an IDR of several slices");
    assert_eq!(shard(&wire_bytes(&mut packetizer, 4, false, &still)), 256);
    let moving = [40, 40, 30_000, 40];
    assert_eq!(shard(&wire_bytes(&mut packetizer, 5, false, &moving)), 256, "not known yet");
    assert_eq!(shard(&wire_bytes(&mut packetizer, 6, false, &moving)), 1408);
    packetizer.begin(7, 0, false, false);
    assert_eq!(packetizer.finish_empty().unwrap().slots_bytes(), 2 * 296, "nothing but an end");
}

/// The first slice is short and the rest is all that was agreed: the shortest shards, and as many as there can be.
#[test]
fn the_largest_au_in_the_shortest_shards_is_within_the_limits() {
    for (slices, redundancy, au_bytes) in [(2, 100, 65_536), (64, 1_000, 1 << 20), (4, 1_000, 64 << 20)] {
        let negotiated = Negotiated::new(8896, 100_000, 60_000, slices, redundancy, au_bytes).unwrap();
        let limits = ReassemblerLimits::from(&negotiated);
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(8896);
        let still = vec![40; usize::from(slices)];
        wire_bytes(&mut packetizer, 0, false, &still);
        let mut sizes = still;
        *sizes.last_mut().unwrap() = au_bytes as usize - 40 * (usize::from(slices) - 1);
        packetizer.begin(1, 0, false, false);
        let (mut blocks, mut datagrams, mut wire) = (0, 0, 0);
        for (index, bytes) in sizes.iter().enumerate() {
            for plan in packetizer.plan_slice(*bytes, index + 1 == sizes.len()).unwrap() {
                assert_eq!(plan.shard_bytes, 256);
                assert!(plan.k <= limits.block_data_shards_max && plan.k + plan.m <= limits.block_shards_max);
                assert!(plan.block < limits.blocks_per_au_max);
                blocks += 1;
                datagrams += plan.shards();
                wire += plan.slots_bytes();
            }
        }
        assert!(blocks < limits.blocks_per_au_max);
        assert!(wire <= negotiated.au_wire_bytes_max(), "{wire} of {}", negotiated.au_wire_bytes_max());
        assert!(6 * datagrams <= limits.replay_window, "{datagrams} of {}", limits.replay_window);
    }
}

#[test]
fn the_shard_length_changes_with_the_next_au_only() {
    let mut packetizer = Packetizer::new(&negotiated());
    packetizer.begin(0, 0, false, false);
    packetizer.set_shard_bytes(1408);
    assert_eq!(packetizer.plan_slice(100_000, true).unwrap().next().unwrap().shard_bytes, 1152);
    packetizer.begin(1, 0, false, false);
    assert_eq!(packetizer.plan_slice(100_000, true).unwrap().next().unwrap().shard_bytes, 1408);
    packetizer.set_shard_bytes(9_000);
    assert_eq!(packetizer.shard_bytes(), 1408, "no more than agreed");
    packetizer.set_shard_bytes(64);
    assert_eq!(packetizer.shard_bytes(), 1152, "no less than at the start");
    packetizer.set_shard_bytes(1_300);
    assert_eq!(packetizer.shard_bytes(), 1280, "a multiple of 64");
}

#[test]
fn what_was_not_agreed_is_refused() {
    let mut packetizer = Packetizer::new(&negotiated());
    assert_eq!(packetizer.plan_slice(1, true).unwrap_err(), PacketizeError::NoAccessUnit);
    assert_eq!(packetizer.finish_empty().unwrap_err(), PacketizeError::NoAccessUnit);
    packetizer.begin(4, 0, false, false);
    let refused = packetizer.plan_slice((8 << 20) + 1, true).unwrap_err();
    assert_eq!(refused, PacketizeError::AuTooLarge { au: 4, bytes: (8 << 20) + 1, bytes_max: 8 << 20 });
    for _ in 0..8 {
        packetizer.plan_slice(1, false).unwrap();
    }
    let refused = packetizer.plan_slice(1, true).unwrap_err();
    assert_eq!(refused, PacketizeError::TooManySlices { au: 4, slices_max: 8 });
    let end = packetizer.finish_empty().unwrap();
    assert_eq!((end.block, end.k, end.tail, end.flags), (8, 1, end.shard_bytes, Flags::LAST_BLOCK));
    assert_eq!(packetizer.plan_slice(1, true).unwrap_err(), PacketizeError::NoAccessUnit, "it has ended");
}

#[test]
fn each_datagram_has_its_own_sequence() {
    let mut host = Host::new(&negotiated());
    let mut sequences: Vec<u32> = (0..3)
        .flat_map(|_| host.send(&[vec![1; 50_000], vec![2; 10]], false, true))
        .map(|sent| u32::from_le_bytes(*sent.bytes[4..].first_chunk().unwrap()))
        .collect();
    let count = sequences.len();
    sequences.dedup();
    assert_eq!(sequences.len(), count);
    assert!(sequences.is_sorted());
}
