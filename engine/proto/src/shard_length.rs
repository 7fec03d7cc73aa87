//! How long an AU's shards are: short AUs get short shards, so that padding and the one parity shard that every block
//! has do not multiply what they cost on the wire.
//!
//! All shards of an AU have one length, and it is chosen with the AU's first slice. What the later slices will be is
//! not known then; they are taken to be as those of the AU before. So an AU of one slice, and one shaped like the AU
//! before it, never costs more on the wire than with the longest shard. One that breaks with the AU before it may, by
//! at most the overhead of [`SHARD_BYTES`]' shortest, for that one AU.
//!
//! It promises bounded work and no allocation. It refuses to guess: with no AU to go by, with an IDR of several
//! slices, or where a slice is long, the longest shard stays.

use crate::limits::{SHARD_BYTES, SHARD_BYTES_STEP, SHARDS_SHORT, SLICES};
use crate::redundancy::Redundancy;
use crate::wire::DATAGRAM_OVERHEAD;

/// Lengths tried.
const CANDIDATES: usize = 24;
/// What a shorter shard has to come to, of what the longest costs: below that, fewer datagrams are worth more.
const WORTH_PERCENT: u64 = 97;

/// The lengths of an AU's slices.
#[derive(Debug, Clone)]
struct SliceLengths {
    bytes: [u32; *SLICES.end() as usize],
    count: usize,
}

impl SliceLengths {
    const NONE: Self = Self { bytes: [0; *SLICES.end() as usize], count: 0 };

    fn push(&mut self, bytes: usize) {
        if let Some(place) = self.bytes.get_mut(self.count) {
            // An AU's bytes are a u32.
            *place = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.count += 1;
        }
    }

    /// What comes after the first slice.
    fn later(&self) -> impl Iterator<Item = usize> + '_ {
        self.bytes[..self.count].iter().skip(1).map(|bytes| *bytes as usize)
    }
}

/// Chooses shard lengths.
#[derive(Debug, Clone)]
pub(crate) struct ShardLength {
    redundancy: Redundancy,
    /// Of the newest AU that is complete and no IDR.
    before: SliceLengths,
    /// Of the AU that is under way.
    open: SliceLengths,
}

impl ShardLength {
    pub(crate) const fn new(redundancy: Redundancy) -> Self {
        Self { redundancy, before: SliceLengths::NONE, open: SliceLengths::NONE }
    }

    /// What parity costs from now on.
    pub(crate) fn set_redundancy(&mut self, redundancy: Redundancy) {
        self.redundancy = redundancy;
    }

    /// An AU begins.
    pub(crate) fn begin(&mut self) {
        self.open.count = 0;
    }

    /// The AU has one more slice.
    pub(crate) fn note(&mut self, slice_bytes: usize) {
        self.open.push(slice_bytes);
    }

    /// The AU has all its slices.
    pub(crate) fn end(&mut self, idr: bool) {
        if !idr {
            std::mem::swap(&mut self.before, &mut self.open);
        }
    }

    /// The shard length of an AU whose first slice has `slice_bytes`; `last` if it is the only one. A multiple of 64,
    /// at most `longest`.
    pub(crate) fn choose(&self, slice_bytes: usize, last: bool, idr: bool, longest: u16) -> u16 {
        let later = || self.before.later().take(if last { 0 } else { self.before.count });
        let is_guess = !last && (idr || self.before.count == 0);
        let largest = later().fold(slice_bytes, usize::max);
        if is_guess || largest as u64 >= SHARDS_SHORT * u64::from(longest) {
            return longest;
        }
        let first_cost = |shard| wire_bytes(slice_bytes, shard, self.redundancy, idr);
        let cost = |shard| {
            let later = later().map(|bytes| wire_bytes(bytes, shard, self.redundancy, idr));
            first_cost(shard) + later.sum::<u64>()
        };
        let (first_longest, cost_longest) = (first_cost(longest), cost(longest));
        let shards_min = largest.div_ceil(usize::from(longest)).max(1);
        // For each count of shards the shortest that holds the largest slice: no other length can be the best for it.
        let best = (shards_min..shards_min + CANDIDATES)
            .map(|shards| shortest(largest, shards, longest))
            .filter(|shard| first_cost(*shard) <= first_longest)
            .map(|shard| (cost(shard), shard))
            // The first of equals: fewer datagrams.
            .min_by_key(|(cost, _)| *cost);
        match best {
            Some((cost, shard)) if cost * 100 <= cost_longest * WORTH_PERCENT => shard,
            Some(_) | None => longest,
        }
    }
}

/// The shortest shard of which `shards` hold `bytes`.
fn shortest(bytes: usize, shards: usize, longest: u16) -> u16 {
    let shard = bytes.div_ceil(shards).next_multiple_of(usize::from(SHARD_BYTES_STEP));
    u16::try_from(shard).unwrap_or(longest).clamp((*SHARD_BYTES.start()).min(longest), longest)
}

/// Bytes of all datagrams of a slice that is one block.
fn wire_bytes(slice_bytes: usize, shard_bytes: u16, redundancy: Redundancy, idr: bool) -> u64 {
    let k = slice_bytes.div_ceil(usize::from(shard_bytes)).max(1);
    // Short slices only: far below a block's most.
    let m = redundancy.parity_for(u16::try_from(k).unwrap_or(u16::MAX), idr);
    (k as u64 + u64::from(m)) * (u64::from(shard_bytes) + DATAGRAM_OVERHEAD as u64)
}
