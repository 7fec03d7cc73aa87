//! What the code's bound allows, from the emulator's record alone: an access unit can be had if and only if, of each of
//! its blocks, k distinct shards arrive intact.
//!
//! It never looks at the receiver. It promises nothing about time: plans hold datagrams back for less than a deadline.

use punktfunk_proto::BlockPlan;

use crate::channel::Fate;

/// What came of each shard, block after block, in the order of sending; a flag an access unit is all that is kept.
#[derive(Debug, Default)]
pub struct Ledger {
    /// For each access unit with a block before the one that is being sent, whether those can all be had.
    allowed: Vec<bool>,
    sending: Option<Block>,
}

/// The block that is being sent.
#[derive(Debug)]
struct Block {
    au: u32,
    number: u16,
    k: usize,
    shards: usize,
    intact: usize,
}

impl Ledger {
    /// The datagram with shard `shard` of `plan`, the next of its block, met `fate`.
    pub fn note(&mut self, plan: &BlockPlan, shard: usize, fate: Fate) {
        if shard == 0 {
            self.judge();
            let k = usize::from(plan.k);
            self.sending = Some(Block { au: plan.au, number: plan.block, k, shards: 0, intact: 0 });
        }
        let block = self.sending.as_mut().expect("a block's first shard is sent first");
        assert_eq!((block.au, block.number), (plan.au, plan.block), "blocks are sent one after the other");
        assert_eq!(block.shards, shard, "each shard is sent once, in order");
        block.shards += 1;
        block.intact += usize::from(fate.intact > 0);
    }

    /// For each access unit that was sent, whether the bound allows it.
    pub fn allowed(mut self) -> Vec<bool> {
        self.judge();
        self.allowed
    }

    /// The block that was being sent is over.
    fn judge(&mut self) {
        let Some(block) = self.sending.take() else { return };
        let au = block.au as usize;
        assert!(au + 1 >= self.allowed.len(), "access units are sent one after the other");
        self.allowed.resize(au + 1, true);
        self.allowed[au] &= block.intact >= block.k;
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
                    ledger.note(&plan, shard, if last { twice } else { *fate });
                }
            }
        }
        assert_eq!(ledger.allowed(), [true, true, false, false]);
    }
}
