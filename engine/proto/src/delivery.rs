//! What a reassembler says: what became of a datagram, which blocks are whole, which AUs are lost, and its counters.

use std::time::Instant;

use crate::span::Span;
use crate::wire::Flags;

/// What became of a datagram. Each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// Opened straight into its place.
    Placed,
    /// Opened into scratch, believed, and copied to its place.
    Copied,
    /// Authentic, but its shard is there already or was recovered, or its block was delivered.
    Surplus,
    /// Its sequence was seen before, or is too old to know.
    Replayed,
    /// Authentic, but its AU was given up. So is parity of an AU that was late.
    Late,
    /// No media datagram of the video plane, or with a sequence that no epoch has, or authentic and in conflict with
    /// what its block or AU said before.
    Malformed,
    /// The tag is wrong.
    BadTag,
    /// Sealed under an epoch that is not open.
    UnknownEpoch,
    /// Claims or needs more than the limits allow. What a header alone claims too much of is refused before its tag is
    /// checked, so a stranger can be the cause of some of these.
    OverLimit,
}

/// What is handed on, strictly in the order of blocks and AUs.
#[derive(Debug)]
pub enum Delivery {
    /// The next block, whole.
    Block(DeliveredBlock),
    /// One or more AUs that will not be completed. Blocks of the first may have been delivered before.
    Lost(LostAu),
}

/// A whole block.
#[derive(Debug)]
pub struct DeliveredBlock {
    /// Access-unit number.
    pub au: u32,
    /// Number of the block in its AU.
    pub block: u16,
    /// Capture time on the session clock, low 32 bits of microseconds.
    pub pts_us: u32,
    /// Last block, slice end, IDR, recovery point.
    pub flags: Flags,
    /// The `now` handed in with the datagram of the AU that was believed first.
    pub au_first_seen: Instant,
    /// The `now` handed in with the datagram of the block that was believed first.
    pub first_seen: Instant,
    /// The `now` handed in with the last shard that it needed: the caller's stamp from before that datagram was opened and
    /// what is missing was computed. A caller that reads its clock once for a batch of datagrams hands in the batch's
    /// start, so opening the batch up to here is not in it either. To know when the block could be used, read the clock
    /// when it is delivered.
    pub whole_at: Instant,
    /// Data shards that FEC computed.
    pub shards_recovered: u16,
    /// The block's bytes, to be given back with `Reassembler::give_back`.
    pub span: Span,
}

/// Consecutive AUs that were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostAu {
    /// The first of them.
    pub au: u32,
    /// How many, from `au` on; more than one only where AU numbers jumped.
    pub count: u32,
    /// Blocks of the first that had been delivered.
    pub blocks_delivered: u16,
    /// Shards that had come for all of them.
    pub shards_seen: u32,
    /// Shards that the blocks which were known, but not whole, still needed.
    pub shards_missing: u32,
}

impl LostAu {
    /// The last of the lost AUs.
    pub const fn last(&self) -> u32 {
        self.au + (self.count - 1)
    }
}

/// Totals since the start, by value.
///
/// An AU number that lies behind the window was seen or skipped, and has ended in exactly one way: `aus_delivered +
/// aus_lost + aus_late + aus_dropped_memory + aus_dropped_window` is the count of all of them. Those still open are in
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReassemblyCounters {
    /// Datagrams handed in.
    pub datagrams: u64,
    /// Bytes of the authentic ones.
    pub authentic_bytes: u64,
    /// [`Arrival::Placed`].
    pub placed: u64,
    /// [`Arrival::Copied`].
    pub copied: u64,
    /// [`Arrival::Surplus`].
    pub surplus: u64,
    /// [`Arrival::Replayed`].
    pub replayed: u64,
    /// [`Arrival::Late`].
    pub late: u64,
    /// [`Arrival::Malformed`].
    pub malformed: u64,
    /// [`Arrival::BadTag`].
    pub bad_tag: u64,
    /// [`Arrival::UnknownEpoch`].
    pub unknown_epoch: u64,
    /// [`Arrival::OverLimit`].
    pub over_limit: u64,
    /// Sequences that never came, as far as is settled.
    pub datagrams_lost: u64,
    /// Blocks that became whole.
    pub blocks_whole: u64,
    /// Blocks of them that needed FEC.
    pub blocks_recovered: u64,
    /// Data shards that FEC computed.
    pub shards_recovered: u64,
    /// AUs delivered to their last block.
    pub aus_delivered: u64,
    /// AUs given up of which shards never came, or nothing at all. Goes down by one when such an AU turns out late.
    pub aus_lost: u64,
    /// AUs that came whole after they were given up; no longer among the lost. Of the newest 16 lost ones this is known.
    pub aus_late: u64,
    /// AUs given up of which this end refused a block because the span budget was spent.
    pub aus_dropped_memory: u64,
    /// AUs that were whole and were pushed out of the window by a newer one before they were handed on: one before them
    /// was not whole, or nobody polled.
    pub aus_dropped_window: u64,
    /// Span allocations: stands still once warm.
    pub spans_allocated: u64,
    /// Bytes of span memory, in use, handed on and free together.
    pub span_bytes: u64,
}

impl ReassemblyCounters {
    pub(crate) fn count(&mut self, arrival: Arrival) {
        self.datagrams += 1;
        let counter = match arrival {
            Arrival::Placed => &mut self.placed,
            Arrival::Copied => &mut self.copied,
            Arrival::Surplus => &mut self.surplus,
            Arrival::Replayed => &mut self.replayed,
            Arrival::Late => &mut self.late,
            Arrival::Malformed => &mut self.malformed,
            Arrival::BadTag => &mut self.bad_tag,
            Arrival::UnknownEpoch => &mut self.unknown_epoch,
            Arrival::OverLimit => &mut self.over_limit,
        };
        *counter += 1;
    }
}
