//! What was sealed and is held until it has left, and for as long as it may be sent again.

use std::ops::Range;

use punktfunk_proto::BlockPlan;

use crate::label::Label;

/// An AU's datagrams, back to back.
#[derive(Debug)]
pub struct SentAu {
    /// Its number.
    pub au: u32,
    /// All slots of all blocks.
    pub bytes: Vec<u8>,
}

/// Neighbouring datagrams of a block that leave together.
#[derive(Debug, Clone)]
pub struct Train {
    /// Their AU.
    pub au: u32,
    block: u16,
    shards: Range<usize>,
    /// Where the block's slots begin among the AU's.
    begin: usize,
    stride: usize,
}

impl Train {
    /// The datagrams of `shards`, of a block whose slots begin at `begin`.
    pub fn new(block: &BlockPlan, begin: usize, shards: Range<usize>) -> Train {
        Train { au: block.au, block: block.block, shards, begin, stride: block.stride() }
    }

    /// Bytes of those that have not left.
    pub fn bytes(&self) -> usize {
        self.shards.len() * self.stride
    }

    /// Whether all have left.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Takes the next: what it is, and where it lies among its AU's bytes.
    pub fn next(&mut self) -> Option<(Label, Range<usize>)> {
        let shard = self.shards.next()?;
        let at = self.begin + shard * self.stride;
        let label = Label { au: self.au, block: self.block, shard: shard as u16, again: false };
        Some((label, at..at + self.stride))
    }
}
