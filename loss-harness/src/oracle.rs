//! What the code's bound allows, from the emulator's record alone: an access unit can be had if and only if, of each of
//! its blocks, k distinct shards arrive intact.
//!
//! It never looks at the receiver. It promises nothing about time: plans hold datagrams back for less than a deadline.

use std::collections::BTreeMap;

use punktfunk_proto::BlockPlan;

use crate::channel::Fate;

/// Which shard each datagram carries, by the channel's numbers.
#[derive(Debug, Default)]
pub struct Ledger {
    blocks: BTreeMap<(u32, u16), Block>,
}

#[derive(Debug)]
struct Block {
    k: usize,
    /// The datagram that carries each shard.
    datagrams: Vec<usize>,
}

impl Ledger {
    /// Datagram `number` carries shard `shard` of `plan`, the next of its block.
    pub fn note(&mut self, number: usize, plan: &BlockPlan, shard: usize) {
        let block = self.blocks.entry((plan.au, plan.block));
        let block = block.or_insert_with(|| Block { k: usize::from(plan.k), datagrams: Vec::new() });
        assert_eq!(block.datagrams.len(), shard, "each shard is sent once, in order");
        block.datagrams.push(number);
    }

    /// For each of `aus` access units, whether the bound allows it.
    pub fn allowed(&self, fates: &[Fate], aus: u32) -> Vec<bool> {
        let mut allowed = vec![true; aus as usize];
        for ((au, _), block) in &self.blocks {
            let intact = block.datagrams.iter().filter(|number| fates[**number].intact > 0).count();
            allowed[*au as usize] &= intact >= block.k;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Gone;
    use punktfunk_proto::{Negotiated, Packetizer};

    #[test]
    fn k_distinct_intact_shards_of_each_block_are_enough_and_less_are_not() {
        // The shortest shards: no access unit is short enough for shorter ones.
        let negotiated = Negotiated::new(256, 500, 60_000, 2, 100, 65_536).unwrap();
        let mut packetizer = Packetizer::new(&negotiated);
        let mut ledger = Ledger::default();
        let mut fates = Vec::new();
        let gone = Fate { gone: Some(Gone::Loss), ..Fate::default() };
        let twice = Fate { intact: 2, ..Fate::default() };
        let corrupted = Fate { corrupted: 1, ..Fate::default() };
        // Two blocks of 3 + 1 an access unit: what becomes of the first block's shards is varied.
        let cases = [
            [twice; 4],
            [gone, twice, twice, twice],
            [gone, gone, twice, twice],
            [corrupted, twice, twice, gone],
        ];
        for (au, case) in cases.iter().enumerate() {
            packetizer.begin(au as u32, 0, false, false);
            for last in [false, true] {
                let plan = packetizer.plan_slice(700, last).unwrap().next().unwrap();
                for (shard, fate) in case.iter().enumerate() {
                    ledger.note(fates.len(), &plan, shard);
                    fates.push(if last { twice } else { *fate });
                }
            }
        }
        assert_eq!(ledger.allowed(&fates, 4), [true, true, false, false]);
    }
}
