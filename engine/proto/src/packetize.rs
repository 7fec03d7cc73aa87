//! Slices in, sealed datagrams out.
//!
//! A [`Packetizer`] numbers the blocks of an AU and cuts each slice into FEC blocks as it comes, before its AU is
//! finished. [`seal_data`] and [`seal_parity`] fill the slots that its plans describe: `header | shard | tag`, at
//! equal stride, back to back.
//!
//! A short AU gets shards shorter than the path would carry, so that its padding and parity cost no more than they
//! must; within an AU their length is one.
//!
//! It promises that every plan lies within the limits that the other end derives from the same [`Negotiated`], that
//! a byte moves once, and no allocation. It refuses AUs that are too large, more slices than agreed on, and slices
//! of an AU that has ended.

use std::ops::Range;
use std::time::Instant;

use punktfunk_fec::Parity;
use punktfunk_seal::{SealError, Sealer, Ticket};

use crate::geometry::BlockPlan;
use crate::limits::{Negotiated, ReassemblerLimits, SHARD_BYTES_STEP};
use crate::redundancy::Redundancy;
use crate::shard_length::ShardLength;
use crate::wire::{Flags, HEADER_BYTES, Header};

/// Why a slice cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketizeError {
    /// No AU was begun, or the one begun has ended.
    #[error("a slice needs an access unit that was begun and has not ended")]
    NoAccessUnit,
    /// The AU would pass the agreed size: the encoder must be told to make smaller ones.
    #[error("access unit {au} would have {bytes} bytes, agreed were {bytes_max}")]
    AuTooLarge {
        /// Access-unit number.
        au: u32,
        /// Bytes with this slice.
        bytes: u64,
        /// The agreed most.
        bytes_max: u32,
    },
    /// The AU would have more slices than agreed.
    #[error("access unit {au} has more than the agreed {slices_max} slices")]
    TooManySlices {
        /// Access-unit number.
        au: u32,
        /// The agreed most.
        slices_max: u16,
    },
}

/// Numbers blocks and cuts slices.
#[derive(Debug, Clone)]
pub struct Packetizer {
    redundancy: Redundancy,
    redundancy_per_mille_max: u16,
    slices_max: u16,
    au_bytes_max: u32,
    block_data_shards_max: u16,
    shard_bytes_min: u16,
    shard_bytes_max: u16,
    /// The longest for the next AU.
    shard_bytes_next: u16,
    shard_length: ShardLength,
    au: Option<OpenAu>,
}

/// The AU whose slices are being planned.
#[derive(Debug, Clone, Copy)]
struct OpenAu {
    au: u32,
    pts_us: u32,
    flags: Flags,
    shard_bytes: u16,
    next_block: u16,
    slices: u16,
    bytes: u64,
}

impl Packetizer {
    /// A packetizer that starts with the shard length every path carries, 1152 bytes (or less, if so agreed).
    pub fn new(negotiated: &Negotiated) -> Self {
        let limits = ReassemblerLimits::from(negotiated);
        let redundancy = Redundancy::fixed(negotiated.redundancy_per_mille);
        Self {
            redundancy,
            redundancy_per_mille_max: negotiated.redundancy_per_mille,
            slices_max: negotiated.slices_max,
            au_bytes_max: negotiated.au_bytes_max,
            block_data_shards_max: limits.block_data_shards_max,
            shard_bytes_min: negotiated.shard_bytes_min(),
            shard_bytes_max: negotiated.shard_bytes_max,
            shard_bytes_next: negotiated.shard_bytes_min(),
            shard_length: ShardLength::new(redundancy),
            au: None,
        }
    }

    /// Changes the longest shard from the next AU on. It is rounded down to a multiple of 64 and kept between
    /// the length that the session started with and the longest that was agreed. A short AU has shorter shards, of 256
    /// bytes at least, where that is fewer bytes on the wire.
    pub fn set_shard_bytes(&mut self, shard_bytes: u16) {
        let whole = shard_bytes / SHARD_BYTES_STEP * SHARD_BYTES_STEP;
        self.shard_bytes_next = whole.clamp(self.shard_bytes_min, self.shard_bytes_max);
    }

    /// Changes the rule for parity from the next block on, within what was negotiated.
    pub fn set_redundancy(&mut self, redundancy: Redundancy) {
        self.redundancy = redundancy.at_most(self.redundancy_per_mille_max);
        self.shard_length.set_redundancy(self.redundancy);
    }

    /// The longest shard of the next AU.
    pub const fn shard_bytes(&self) -> u16 {
        self.shard_bytes_next
    }

    /// Begins AU `au`, captured at `pts_us` on the session clock. One that was not ended is left as it is.
    pub fn begin(&mut self, au: u32, pts_us: u32, idr: bool, recovery_point: bool) {
        self.shard_length.begin();
        let idr_flag = if idr { Flags::IDR } else { Flags::NONE };
        let recovery_flag = if recovery_point { Flags::RECOVERY_POINT } else { Flags::NONE };
        self.au = Some(OpenAu {
            au,
            pts_us,
            flags: idr_flag.with(recovery_flag),
            shard_bytes: self.shard_bytes_next,
            next_block: 0,
            slices: 0,
            bytes: 0,
        });
    }

    /// Plans the blocks of the AU's next slice; `last` ends the AU with it.
    ///
    /// # Errors
    /// [`PacketizeError`]; the AU stays open as it was.
    pub fn plan_slice(&mut self, slice_bytes: usize, last: bool) -> Result<SlicePlan, PacketizeError> {
        let au = self.au.as_mut().ok_or(PacketizeError::NoAccessUnit)?;
        let bytes = au.bytes.saturating_add(slice_bytes as u64);
        if bytes > u64::from(self.au_bytes_max) {
            return Err(PacketizeError::AuTooLarge { au: au.au, bytes, bytes_max: self.au_bytes_max });
        }
        if au.slices == self.slices_max {
            return Err(PacketizeError::TooManySlices { au: au.au, slices_max: self.slices_max });
        }
        if au.slices == 0 {
            au.shard_bytes = self.shard_length.choose(slice_bytes, last, au.flags.idr(), au.shard_bytes);
        }
        let shards = slice_bytes.div_ceil(usize::from(au.shard_bytes)).max(1);
        let blocks = shards.div_ceil(usize::from(self.block_data_shards_max));
        let plan = SlicePlan {
            au: *au,
            redundancy: self.redundancy,
            last,
            blocks_left: blocks,
            shards_left: shards,
            at: 0,
            slice_bytes,
        };
        au.bytes = bytes;
        au.slices += 1;
        // At most blocks_per_au_max, which is a u16: see limits.rs.
        au.next_block += blocks as u16;
        self.shard_length.note(slice_bytes);
        if last {
            self.shard_length.end(au.flags.idr());
            self.au = None;
        }
        Ok(plan)
    }

    /// Ends the AU whose end was learned late: a block of its own, k = 1 and all padding.
    ///
    /// # Errors
    /// [`PacketizeError::NoAccessUnit`] when none is open.
    pub fn finish_empty(&mut self) -> Result<BlockPlan, PacketizeError> {
        let mut au = self.au.take().ok_or(PacketizeError::NoAccessUnit)?;
        if au.slices == 0 {
            au.shard_bytes = self.shard_length.choose(0, true, au.flags.idr(), au.shard_bytes);
        }
        self.shard_length.end(au.flags.idr());
        Ok(BlockPlan {
            au: au.au,
            block: au.next_block,
            range_start: 0,
            range_end: 0,
            k: 1,
            m: self.redundancy.parity_for(1, au.flags.idr()),
            tail: au.shard_bytes,
            flags: au.flags.with(Flags::LAST_BLOCK),
            pts_us: au.pts_us,
            shard_bytes: au.shard_bytes,
        })
    }
}

/// The blocks of one slice, in order, of nearly equal length.
#[derive(Debug, Clone)]
pub struct SlicePlan {
    au: OpenAu,
    redundancy: Redundancy,
    last: bool,
    blocks_left: usize,
    shards_left: usize,
    at: usize,
    slice_bytes: usize,
}

impl Iterator for SlicePlan {
    type Item = BlockPlan;

    fn next(&mut self) -> Option<BlockPlan> {
        if self.blocks_left == 0 {
            return None;
        }
        let shards = self.shards_left.div_ceil(self.blocks_left);
        let shard_bytes = usize::from(self.au.shard_bytes);
        let end = (self.at + shards * shard_bytes).min(self.slice_bytes);
        self.blocks_left -= 1;
        self.shards_left -= shards;
        let ends_slice = self.blocks_left == 0;
        let mut flags = self.au.flags;
        if ends_slice {
            flags = flags.with(Flags::SLICE_END);
            flags = if self.last { flags.with(Flags::LAST_BLOCK) } else { flags };
        }
        // At most block_data_shards_max, a u16.
        let k = shards as u16;
        let plan = BlockPlan {
            au: self.au.au,
            block: self.au.next_block,
            range_start: self.at,
            range_end: end,
            k,
            m: self.redundancy.parity_for(k, flags.idr()),
            // Less than or equal to one shard, a u16.
            tail: (shards * shard_bytes - (end - self.at)) as u16,
            flags,
            pts_us: self.au.pts_us,
            shard_bytes: self.au.shard_bytes,
        };
        self.au.next_block += 1;
        self.at = end;
        Some(plan)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.blocks_left, Some(self.blocks_left))
    }
}

impl ExactSizeIterator for SlicePlan {}

/// Seals the data shards `shards` of a block from its slice into their slots.
///
/// `slice` is the whole slice, `slots` the whole block's slots (`plan.slots_bytes()`).
///
/// # Errors
/// [`SealError`] when the sealer may not use another sequence; slots before that are sealed, the rest untouched.
///
/// # Panics
/// When `slice` or `slots` is shorter than the plan says, or `shards` passes k: faults of the caller.
pub fn seal_data(
    plan: &BlockPlan,
    shards: Range<usize>,
    slice: &[u8],
    slots: &mut [u8],
    sealer: &mut Sealer,
    now: Instant,
) -> Result<(), SealError> {
    assert!(shards.end <= usize::from(plan.k), "data shards end at k");
    let stride = plan.stride();
    for index in shards {
        let plain = &slice[plan.shard_range(index)];
        let slot = &mut slots[index * stride..(index + 1) * stride];
        seal_slot(plan, index, plain, slot, sealer, now)?;
    }
    Ok(())
}

/// Seals all parity shards of a block into their slots, behind those of the data.
///
/// `slots` is the whole block's slots (`plan.slots_bytes()`).
///
/// # Errors
/// [`SealError`] when the sealer may not use another sequence.
///
/// # Panics
/// When `slots` or `parity` is shorter than the plan says: faults of the caller.
pub fn seal_parity(
    plan: &BlockPlan,
    parity: &Parity<'_>,
    slots: &mut [u8],
    sealer: &mut Sealer,
    now: Instant,
) -> Result<(), SealError> {
    let stride = plan.stride();
    for index in 0..usize::from(plan.m) {
        let slot = usize::from(plan.k) + index;
        let slots = &mut slots[slot * stride..(slot + 1) * stride];
        seal_slot(plan, slot, parity.shard(index), slots, sealer, now)?;
    }
    Ok(())
}

fn seal_slot(
    plan: &BlockPlan,
    index: usize,
    plain: &[u8],
    slot: &mut [u8],
    sealer: &mut Sealer,
    now: Instant,
) -> Result<(), SealError> {
    let padding = usize::from(plan.shard_bytes) - plain.len();
    let header = |ticket: &Ticket| plan.header(index, ticket.epoch(), ticket.sequence());
    seal_datagram(header, (plain, padding), slot, sealer, now)
}

/// Seals one datagram where it is sent from, its `plain` bytes with so many zeros behind them.
#[inline]
pub(crate) fn seal_datagram(
    header_of: impl FnOnce(&Ticket) -> Header,
    (plain, padding): (&[u8], usize),
    slot: &mut [u8],
    sealer: &mut Sealer,
    now: Instant,
) -> Result<(), SealError> {
    let ticket = sealer.reserve(now)?;
    let (header, sealed) =
        slot.split_first_chunk_mut::<HEADER_BYTES>().expect("a slot is longer than a header");
    header_of(&ticket).write(header);
    sealer.seal(ticket, header, plain, padding, sealed);
    Ok(())
}
