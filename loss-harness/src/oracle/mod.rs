//! What may be delivered, from the links' own record alone: labels and times of intact arrivals. It never looks at the
//! receiver, opens no datagram and decodes nothing; it counts.
//!
//! Two answers for each access unit. *Allowed*: the code's bound, which knows no time: of each of its blocks at most m
//! shards were lost, so that k distinct ones arrived intact, resends counted in. *In time*: that much had arrived before
//! the receiver's stated patience was at its end ([`patience`]).
//!
//! It promises memory for what is on its way, and to say when something never came down.

mod patience;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use punktfunk_proto::ReassemblerLimits;

use crate::label::Label;
use crate::link::Fate;
use patience::Patience;

/// Counts what arrives.
#[derive(Debug)]
pub struct Oracle {
    patience: Patience,
    allowed: Vec<bool>,
    /// AUs on their way or not yet let go by the host, from `first` on.
    open: VecDeque<OpenAu>,
    first: u32,
}

/// An AU of which something may still arrive.
#[derive(Debug)]
struct OpenAu {
    blocks: Vec<Block>,
    blocks_short: usize,
    /// Intact copies on their way.
    flying: u64,
    /// The host sends no more of it.
    is_released: bool,
}

/// A block's distinct shards.
#[derive(Debug)]
struct Block {
    k: usize,
    count: usize,
    arrived: Vec<u64>,
}

/// What the oracle came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// For each AU, whether the code's bound allows it.
    pub allowed: Vec<bool>,
    /// For each AU, whether it could be had in time, too.
    pub in_time: Vec<bool>,
    /// Intact copies that were sent and never arrived at all.
    pub astray: u64,
}

impl Oracle {
    /// For a receiver of these limits.
    pub fn new(limits: &ReassemblerLimits) -> Oracle {
        Oracle { patience: Patience::new(limits), allowed: Vec::new(), open: VecDeque::new(), first: 0 }
    }

    /// The host begins the next AU, of blocks of so many (data, all) shards.
    pub fn begin(&mut self, shapes: impl Iterator<Item = (u16, usize)>) {
        let blocks: Vec<Block> = shapes
            .map(|(k, shards)| Block { k: k.into(), count: 0, arrived: vec![0; shards.div_ceil(64)] })
            .collect();
        let blocks_short = blocks.len();
        self.open.push_back(OpenAu { blocks, blocks_short, flying: 0, is_released: false });
        self.allowed.push(false);
    }

    /// The host put a shard on the link, which has decided its fate.
    pub fn note_sent(&mut self, label: Label, fate: Fate) {
        self.au(label.au).flying += u64::from(fate.intact);
    }

    /// The host sends no more of AU `au`, nor of those before it.
    pub fn release(&mut self, au: u32) {
        let count = (au + 1).saturating_sub(self.first) as usize;
        self.open.iter_mut().take(count).for_each(|open| open.is_released = true);
        self.forget();
    }

    /// A copy arrived; the receiver is shown it now.
    pub fn note_arrival(&mut self, label: Label, intact: bool, now: Duration) {
        self.patience.handle_time(now);
        if !intact {
            return;
        }
        let au = self.au(label.au);
        au.flying -= 1;
        let block = &mut au.blocks[usize::from(label.block)];
        let (word, bit) = (usize::from(label.shard / 64), 1 << (label.shard % 64));
        let is_new = block.arrived[word] & bit == 0;
        block.arrived[word] |= bit;
        let helps = is_new && block.count < block.k;
        block.count += usize::from(is_new);
        let block_is_whole = helps && block.count == block.k;
        au.blocks_short -= usize::from(block_is_whole);
        let is_whole = au.blocks_short == 0;
        self.allowed[label.au as usize] |= is_whole;
        self.patience.note(label.au, helps, is_whole, now);
        self.forget();
    }

    /// All has arrived that will, and all patience is at its end.
    pub fn finish(mut self) -> Verdicts {
        self.patience.handle_time(Duration::MAX);
        let astray = self.open.iter().map(|open| open.flying).sum();
        let in_time = self.patience.finish(self.allowed.len());
        Verdicts { allowed: self.allowed, in_time, astray }
    }

    fn au(&mut self, au: u32) -> &mut OpenAu {
        let index = au.checked_sub(self.first).expect("an AU is open while anything of it may be sent");
        &mut self.open[index as usize]
    }

    fn forget(&mut self) {
        while self.open.front().is_some_and(|open| open.is_released && open.flying == 0) {
            self.open.pop_front();
            self.first += 1;
        }
    }
}
