//! What was sealed and waits for its turn: blocks whose datagrams leave in trains, and runs that go again, which leave
//! before them.

use std::collections::VecDeque;
use std::ops::Range;

use punktfunk_proto::{BlockPlan, Resend};

use crate::label::Label;

/// A block's datagrams, back to back, and which AU they are of.
#[derive(Debug)]
pub struct Lease {
    /// The AU.
    pub au: u32,
    /// All slots of the block.
    pub bytes: Vec<u8>,
}

/// Neighbouring datagrams of a block that leave together.
#[derive(Debug, Clone, Copy)]
pub struct Train {
    /// Their bytes.
    pub bytes: usize,
    is_again: bool,
}

/// A block that is being sent.
#[derive(Debug)]
struct Outgoing {
    plan: BlockPlan,
    lease: Lease,
    /// Those that may leave with the train that is next, and those that are behind it.
    now: Range<usize>,
    segments: usize,
}

/// A run that goes again, copied from its lease.
#[derive(Debug)]
struct Again {
    au: u32,
    block: u16,
    shards: Range<usize>,
    first: usize,
    stride: usize,
    bytes: Vec<u8>,
}

/// What waits for its turn.
#[derive(Debug, Default)]
pub struct Outbox {
    blocks: VecDeque<Outgoing>,
    again: Option<Again>,
}

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.again.is_none()
    }

    /// Whether something of AU `au` goes again.
    pub fn sends_again(&self, au: u32) -> bool {
        self.again.as_ref().is_some_and(|again| again.au == au)
    }

    /// A block is sealed; it leaves in trains of at most `segments`.
    pub fn push(&mut self, plan: BlockPlan, bytes: Vec<u8>, segments: usize) {
        let lease = Lease { au: plan.au, bytes };
        self.blocks.push_back(Outgoing { plan, lease, now: 0..0, segments: segments.max(1) });
    }

    /// A run goes again.
    pub fn push_again(&mut self, run: &Resend<'_, Lease>) {
        self.again = Some(Again {
            au: run.au,
            block: run.block,
            shards: run.shards.clone(),
            first: run.shards.start,
            stride: run.stride,
            bytes: run.lease.bytes[run.bytes()].to_vec(),
        });
    }

    /// What leaves next, if anything waits.
    pub fn next_train(&mut self) -> Option<Train> {
        if let Some(again) = &self.again {
            return Some(Train { bytes: again.shards.len() * again.stride, is_again: true });
        }
        let block = self.blocks.front_mut()?;
        let start = block.now.start;
        block.now = start..(start + block.segments).min(block.plan.shards());
        Some(Train { bytes: block.now.len() * block.plan.stride(), is_again: false })
    }

    /// Whether anything of the train has not left.
    pub fn has_more(&mut self, train: Train) -> bool {
        if train.is_again {
            self.again = self.again.take().filter(|again| !again.shards.is_empty());
            return self.again.is_some();
        }
        self.blocks.front().is_some_and(|block| !block.now.is_empty())
    }

    /// The next datagram of the train.
    pub fn poll_datagram(&mut self, train: Train) -> Option<(Label, &[u8])> {
        if train.is_again {
            let again = self.again.as_mut()?;
            let shard = again.shards.next()?;
            let label = Label { au: again.au, block: again.block, shard: shard as u16, again: true };
            let at = (shard - again.first) * again.stride;
            return Some((label, &again.bytes[at..at + again.stride]));
        }
        let block = self.blocks.front_mut()?;
        let shard = block.now.next()?;
        let (plan, stride) = (&block.plan, block.plan.stride());
        let label = Label { au: plan.au, block: plan.block, shard: shard as u16, again: false };
        Some((label, &block.lease.bytes[shard * stride..(shard + 1) * stride]))
    }

    /// A block all of which has left.
    pub fn poll_sent(&mut self) -> Option<(BlockPlan, Lease)> {
        let block = self.blocks.front()?;
        if block.now.start < block.plan.shards() {
            return None;
        }
        self.blocks.pop_front().map(|block| (block.plan, block.lease))
    }
}
