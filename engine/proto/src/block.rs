//! One FEC block on its way to being whole: what it claims to be, and how far it has come.
//!
//! Only verbs called for authentic datagrams change it. It holds the block's span and the set of its shards until it
//! is handed on or released; it refuses nothing itself.

use std::time::Instant;

use punktfunk_fec::{Shape, ShardSet};

use crate::span::{BlockMemory, Span};
use crate::wire::{Flags, Header};

/// What all datagrams of a block say alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) shape: Shape,
    pub(crate) tail: u16,
    pub(crate) flags: Flags,
    pub(crate) pts_us: u32,
}

impl Claim {
    /// The claim of a parsed header, or `None` when the FEC code has no such shape.
    pub(crate) fn new(header: &Header, shard_bytes: usize) -> Option<Self> {
        let shape = Shape::new(header.k, header.m, shard_bytes).ok()?;
        Some(Self { shape, tail: header.tail, flags: header.flags, pts_us: header.pts_us })
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.shape.data() * self.shape.shard_bytes() - usize::from(self.tail)
    }

    pub(crate) fn span_bytes(&self) -> usize {
        self.shape.shards() * self.shape.shard_bytes()
    }

    pub(crate) fn same_au(&self, other: &Self) -> bool {
        self.pts_us == other.pts_us
            && self.flags.of_au() == other.flags.of_au()
            && self.shape.shard_bytes() == other.shape.shard_bytes()
    }
}

/// One block of an open AU.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) claim: Option<Claim>,
    pub(crate) state: BlockState,
}

#[derive(Debug)]
pub(crate) enum BlockState {
    /// Nothing authentic came of it.
    Unknown,
    /// Fewer than k shards are there.
    Filling(Filling),
    /// All its data is there.
    Whole(WholeBlock),
    /// Handed on, or refused by the FEC code: nothing is placed any more.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) span: Span,
    pub(crate) filled: ShardSet,
    pub(crate) first_seen: Instant,
    /// One past the highest shard that is there.
    pub(crate) shards_reached: usize,
    /// When its newest shard came.
    pub(crate) last_came: Instant,
    /// A report has asked for shards of it.
    pub(crate) asked: bool,
    /// A report has asked since its newest shard came.
    pub(crate) asked_since: bool,
}

impl Filling {
    pub(crate) const fn new(span: Span, filled: ShardSet, now: Instant) -> Self {
        Self {
            span,
            filled,
            first_seen: now,
            shards_reached: 0,
            last_came: now,
            asked: false,
            asked_since: false,
        }
    }

    /// The place of shard `index`.
    pub(crate) fn slot_mut(&mut self, index: usize, shard_bytes: usize) -> &mut [u8] {
        &mut self.span.bytes_mut()[index * shard_bytes..(index + 1) * shard_bytes]
    }

    pub(crate) fn insert(&mut self, index: usize, now: Instant) {
        self.filled.insert(index);
        self.shards_reached = self.shards_reached.max(index + 1);
        self.last_came = now;
        self.asked_since = false;
    }
}

#[derive(Debug)]
pub(crate) struct WholeBlock {
    pub(crate) span: Span,
    pub(crate) first_seen: Instant,
    pub(crate) whole_at: Instant,
    pub(crate) shards_recovered: u16,
}

impl Block {
    pub(crate) const UNKNOWN: Self = Self { claim: None, state: BlockState::Unknown };

    /// Data shards that it still needs.
    pub(crate) fn shards_missing(&self) -> u32 {
        match (&self.state, &self.claim) {
            (BlockState::Filling(filling), Some(claim)) => {
                claim.shape.data().saturating_sub(filling.filled.len()) as u32
            }
            (BlockState::Filling(_) | BlockState::Unknown | BlockState::Whole(_) | BlockState::Closed, _) => {
                0
            }
        }
    }

    /// Data shards that it still needs, or `None` if nothing of it was seen.
    pub(crate) fn missing_if_seen(&self) -> Option<u16> {
        // At most k, a u16.
        self.claim.map(|_| self.shards_missing() as u16)
    }

    pub(crate) fn release(&mut self, memory: &mut BlockMemory) {
        match std::mem::replace(self, Self::UNKNOWN).state {
            BlockState::Filling(filling) => {
                memory.put_set(filling.filled);
                memory.spans.put(filling.span);
            }
            BlockState::Whole(whole) => memory.spans.put(whole.span),
            BlockState::Unknown | BlockState::Closed => {}
        }
    }
}
