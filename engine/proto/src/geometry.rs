//! The shape of one FEC block on the wire and in the arena.
//!
//! A [`BlockPlan`] says which bytes of a slice a block carries, how they are cut into shards and where each
//! datagram's slot lies. It is plain arithmetic: no bytes are touched. Plans come from the packetizer only, which
//! keeps them within the limits.

use std::ops::Range;

use punktfunk_fec::{FecError, Shape};
use punktfunk_seal::Plane;

use crate::wire::{DATAGRAM_OVERHEAD, Flags, Header};

/// One block: k data shards of a slice and m parity shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlan {
    /// Access-unit number.
    pub au: u32,
    /// Number of the block in its AU.
    pub block: u16,
    /// First byte of the slice that this block carries.
    pub range_start: usize,
    /// One past the last byte of the slice that this block carries.
    pub range_end: usize,
    /// Data shards.
    pub k: u16,
    /// Parity shards.
    pub m: u16,
    /// Padding bytes at the end of the last data shard.
    pub tail: u16,
    /// What the header's flags say.
    pub flags: Flags,
    /// Capture time on the session clock, low 32 bits of microseconds.
    pub pts_us: u32,
    /// Shard length in bytes.
    pub shard_bytes: u16,
}

impl BlockPlan {
    /// The bytes of the slice that this block carries; empty for a block that only ends an AU.
    pub const fn range(&self) -> Range<usize> {
        self.range_start..self.range_end
    }

    /// Bytes from one slot to the next: a whole datagram.
    pub const fn stride(&self) -> usize {
        self.shard_bytes as usize + DATAGRAM_OVERHEAD
    }

    /// Data and parity shards together.
    pub const fn shards(&self) -> usize {
        self.k as usize + self.m as usize
    }

    /// Bytes of all slots of the block.
    pub const fn slots_bytes(&self) -> usize {
        self.shards() * self.stride()
    }

    /// The block's shape for the FEC coder.
    ///
    /// # Errors
    /// [`FecError`] for a plan that did not come from a packetizer.
    pub fn fec_shape(&self) -> Result<Shape, FecError> {
        Shape::new(self.k, self.m, usize::from(self.shard_bytes))
    }

    /// The bytes of `slice` that data shard `index` carries: shorter than a shard, or empty, at the end.
    pub(crate) fn shard_range(&self, index: usize) -> Range<usize> {
        let shard = usize::from(self.shard_bytes);
        let start = (self.range_start + index * shard).min(self.range_end);
        start..(start + shard).min(self.range_end)
    }

    /// The header of the datagram that carries shard `index` under this epoch and sequence.
    pub(crate) fn header(&self, shard: usize, epoch: u32, sequence: u32) -> Header {
        Header {
            plane: Plane::Video,
            epoch_low: (epoch & 3) as u8,
            flags: self.flags,
            shard: shard as u16,
            sequence,
            au: self.au,
            pts_us: self.pts_us,
            k: self.k,
            m: self.m,
            block: self.block,
            tail: self.tail,
        }
    }
}
