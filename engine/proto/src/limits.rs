//! Every bound of the media plane, derived from what was negotiated, in one place.
//!
//! [`Negotiated`] is what Hello and Welcome agreed on, checked once; [`ReassemblerLimits`] is what follows from it
//! for memory and patience. The packetizer plans within the same figures, so what a host of this kind sends, a
//! client of this kind accepts.
//!
//! It refuses values outside the ranges below with an error that names the field, the range and the value.

use std::ops::RangeInclusive;
use std::time::Duration;

use punktfunk_fec::Shape;

use crate::redundancy::Redundancy;
use crate::span::CLASS_BYTES_MIN;
use crate::wire::DATAGRAM_OVERHEAD;

/// Shard lengths are multiples of this: whole cache lines, and of what the FEC code asks for.
pub const SHARD_BYTES_STEP: u16 = 64;
/// Allowed shard lengths. Below 256 the 40 bytes of overhead pass 15 %; 8896 + 40 still fits a 9000-byte MTU under
/// IPv6 (8952).
pub const SHARD_BYTES: RangeInclusive<u16> = 256..=8896;
/// The longest UDP payload of either plane: jumbo frames of 9000 less IPv6 and UDP.
pub const UDP_PAYLOAD_BYTES_MAX: u16 = 8_952;
/// The shard length before QUIC's path search has shown more: 1192-byte datagrams pass wherever QUIC's 1200 do.
pub const SHARD_BYTES_START: u16 = 1152;
/// Allowed wire rates: below, not even one datagram a picture; above, no LAN interface of this class.
pub const BITRATE_KBPS: RangeInclusive<u32> = 500..=8_000_000;
/// Allowed refresh rates in millihertz.
pub const REFRESH_MHZ: RangeInclusive<u32> = 1_000..=480_000;
/// Allowed slices an AU: encoders stop at 32; twice that costs nothing.
pub const SLICES: RangeInclusive<u16> = 1..=64;
/// Allowed redundancy: more parity than data helps no LAN.
pub const REDUNDANCY_PER_MILLE: RangeInclusive<u16> = 0..=1_000;
/// Allowed largest AU. 64 MiB is 2.6 times an uncompressed 4K picture of 4:2:0.
pub const AU_BYTES: RangeInclusive<u32> = 65_536..=67_108_864;
/// Data shards a FEC block at most. One block covers a whole slice of several megabytes (5.7 MB at 1408 bytes), so that
/// a burst meets all of its parity; a larger slice is cut, because the code's cost grows faster than the block.
pub const BLOCK_DATA_SHARDS_MAX: u16 = 4_096;
/// The most an AU may wait for its last shards once a newer AU has been seen.
pub const AU_DEADLINE_MAX: Duration = Duration::from_millis(100);
/// The least it waits: room for reordering and for a scheduler's worst ordinary pause.
pub const AU_DEADLINE_MIN: Duration = Duration::from_millis(20);
/// How long the newest AU may stand still before it is given up. Nothing waits behind it, so patience is cheap.
pub const AU_STALL_DEADLINE: Duration = Duration::from_millis(250);
/// What a resend costs beside the round trip: until a report leaves, and until the sender has its turn.
pub const RESEND_TRY: Duration = Duration::from_millis(5);
/// Resends may take this part of the wire's rate: a path that loses more than a fifth needs a lower rate, not resends.
pub const RESEND_RATE_PART: u64 = 4;
/// And this much at once beside it: at the lowest rates the only picture of a second may have to go again.
pub const RESEND_BURST_BYTES: u64 = 65_536;
/// The pacer's default microburst cap: what a shallow switch port swallows without loss.
pub const BURST_BYTES_DEFAULT: usize = 128 * 1024;

/// What a train may cost of the rate's time: a port in front of a link that is no faster never queues more of it. At 2
/// Gbit/s and more it leaves room for the longest train that the kernel takes.
pub const TRAIN_TIME: Duration = Duration::from_micros(250);

/// A train of so many bytes or less may cost [`TRAIN_TIME_MAX`] of it: what a call costs has to be worth it.
pub const TRAIN_BYTES_SHORT: u64 = 16 * 1024;

/// The gap behind a train is as long, so it is far below what an AU is waited for.
pub const TRAIN_TIME_MAX: Duration = Duration::from_millis(2);

/// AUs whose spans may be with the decoder or in the rings before it.
const AUS_HANDED_ON: u64 = 3;
/// AUs being filled at their largest: the newest, and the one before it that waits for its last shards.
const AUS_FILLING: u64 = 2;
/// Slices of this many of the longest shards or more have no shorter ones: nothing would be gained that is worth the
/// search.
pub(crate) const SHARDS_SHORT: u64 = 16;
/// An IDR's size, in mean AUs.
const IDR_MEAN_AUS: u64 = 5;
/// Bytes of a block that coders take working space for at a session's start: no more than some milliseconds' worth.
/// Larger blocks are those of rates above a gigabit, whose first IDR pays for its space itself.
const PREPARED_BLOCK_BYTES_MAX: u64 = 4 << 20;
/// AUs that are being filled or handed on at a time.
pub(crate) const AUS_UNDER_WAY: usize = (AUS_FILLING + AUS_HANDED_ON) as usize;
/// AUs' worth of spans that blocks of smaller classes may have: what they are larger than those.
const AUS_PARKED: u64 = 1;
/// AUs whose slots a sender may keep leased for resends.
const AUS_LEASED_FOR_RESEND: u64 = 3;
const REPLAY_WINDOW_MIN: u64 = 65_536;
/// Half an epoch: the largest AUs at the most redundancy, in the shortest shards.
const REPLAY_WINDOW_MAX: u64 = 1 << 22;
const AUS_OPEN: RangeInclusive<u64> = 16..=64;

const _: () = assert!(TRAIN_TIME_MAX.as_millis() * 4 <= AU_DEADLINE_MIN.as_millis());
const _: () = assert!(AUS_OPEN.end().is_power_of_two());
const _: () = assert!(SHARD_BYTES_START.is_multiple_of(SHARD_BYTES_STEP));
const _: () = assert!(SHARD_BYTES.end().is_multiple_of(SHARD_BYTES_STEP));
const _: () = assert!(SHARD_BYTES.start().is_multiple_of(SHARD_BYTES_STEP));
const _: () = assert!(*SHARD_BYTES.end() as usize + DATAGRAM_OVERHEAD <= UDP_PAYLOAD_BYTES_MAX as usize);
const _: () = assert!((SHARD_BYTES_STEP as usize).is_multiple_of(punktfunk_fec::SHARD_BYTES_MULTIPLE));
const _: () = assert!(BLOCK_DATA_SHARDS_MAX as usize <= punktfunk_fec::DATA_SHARDS_MAX);
// The largest block (an IDR's at full redundancy: 1.5 times as much parity as data) still fits the header's fields.
const _: () = assert!(BLOCK_DATA_SHARDS_MAX as usize * 5 / 2 + 2 <= punktfunk_fec::SHARDS_MAX);

/// A negotiated value is outside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// `field` must lie within `min..=max`.
    #[error("{field} must be {min} to {max}, got {value}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// Smallest allowed value.
        min: u32,
        /// Largest allowed value.
        max: u32,
        /// What came.
        value: u32,
    },
    /// The shard length is no multiple of [`SHARD_BYTES_STEP`].
    #[error("shard_bytes_max must be a multiple of {SHARD_BYTES_STEP}, got {value}")]
    ShardStep {
        /// What came.
        value: u16,
    },
}

/// What Hello and Welcome agreed on, as far as media is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// Longest shard in bytes, a multiple of 64.
    pub shard_bytes_max: u16,
    /// Wire rate in kbit/s: headers, tags and parity counted in.
    pub bitrate_kbps: u32,
    /// Refresh rate in millihertz.
    pub refresh_mhz: u32,
    /// Most slices an AU.
    pub slices_max: u16,
    /// Parity for each 1,000 data shards; every block has one parity shard at least.
    pub redundancy_per_mille: u16,
    /// Largest AU in bytes.
    pub au_bytes_max: u32,
}

impl Negotiated {
    /// Checks the six values, in the order of the fields.
    ///
    /// # Errors
    /// [`LimitError`] names the first value outside its range.
    pub fn new(
        shard_bytes_max: u16,
        bitrate_kbps: u32,
        refresh_mhz: u32,
        slices_max: u16,
        redundancy_per_mille: u16,
        au_bytes_max: u32,
    ) -> Result<Self, LimitError> {
        within("shard_bytes_max", shard_bytes_max.into(), widen(&SHARD_BYTES))?;
        if !shard_bytes_max.is_multiple_of(SHARD_BYTES_STEP) {
            return Err(LimitError::ShardStep { value: shard_bytes_max });
        }
        within("bitrate_kbps", bitrate_kbps, BITRATE_KBPS)?;
        within("refresh_mhz", refresh_mhz, REFRESH_MHZ)?;
        within("slices_max", slices_max.into(), widen(&SLICES))?;
        within("redundancy_per_mille", redundancy_per_mille.into(), widen(&REDUNDANCY_PER_MILLE))?;
        within("au_bytes_max", au_bytes_max, AU_BYTES)?;
        Ok(Self {
            shard_bytes_max,
            bitrate_kbps,
            refresh_mhz,
            slices_max,
            redundancy_per_mille,
            au_bytes_max,
        })
    }

    /// A fitting `au_bytes_max` for a rate: 16 mean AUs (an IDR of five times the mean and rate control's slack
    /// three times over), at least 4 MiB (the first IDR of a detailed desktop), at most 64 MiB.
    pub fn au_bytes_for(bitrate_kbps: u32, refresh_mhz: u32) -> u32 {
        let mean_bytes = u64::from(bitrate_kbps) * 125_000 / u64::from(refresh_mhz.max(1));
        let bytes = (mean_bytes * 16).clamp(4 << 20, u64::from(*AU_BYTES.end()));
        u32::try_from(bytes).unwrap_or(*AU_BYTES.end())
    }

    /// The least that a path carries: the shard that the session starts with. QUIC's path never falls below it. Short
    /// AUs have shorter ones.
    pub fn shard_bytes_min(&self) -> u16 {
        SHARD_BYTES_START.min(self.shard_bytes_max)
    }

    /// The blocks that a session has to expect early, for `Encoder::prepare` and `Decoder::prepare`: a slice of an IDR in
    /// the longest shards and in those that the session starts with, and a short slice in the shortest.
    pub fn shapes_expected(&self) -> [Shape; 3] {
        let idr_bytes =
            u64::try_from(idr_slice_span_bytes(self)).unwrap_or(u64::MAX).min(PREPARED_BLOCK_BYTES_MAX);
        let short_bytes = SHARDS_SHORT * u64::from(self.shard_bytes_max);
        [
            shape_of(self, idr_bytes, self.shard_bytes_max),
            shape_of(self, idr_bytes, self.shard_bytes_min()),
            shape_of(self, short_bytes, *SHARD_BYTES.start()),
        ]
    }

    /// Bytes on the wire of the usual AUs that a sender may hold for resends.
    pub fn aus_held_bytes(&self) -> usize {
        // The rate is the wire's.
        let au_bytes = u64::from(self.bitrate_kbps) * 125_000 / u64::from(self.refresh_mhz.max(1));
        usize::try_from(AUS_LEASED_FOR_RESEND * au_bytes).unwrap_or(usize::MAX)
    }

    /// Bytes that the largest AU has on the wire: its spans, and each shard's header and tag.
    pub fn au_wire_bytes_max(&self) -> usize {
        let spans = au_span_bytes(self);
        let shards = spans / u64::from(*SHARD_BYTES.start()) + 1;
        usize::try_from(spans + shards * DATAGRAM_OVERHEAD as u64).unwrap_or(usize::MAX)
    }
}

/// The longest shard that fits a UDP payload of `udp_payload_bytes`, or `None` when not even the shortest does.
pub fn shard_bytes_for_payload(udp_payload_bytes: usize) -> Option<u16> {
    let step = usize::from(SHARD_BYTES_STEP);
    let shard = udp_payload_bytes.checked_sub(DATAGRAM_OVERHEAD)? / step * step;
    let shard = u16::try_from(shard.min(usize::from(*SHARD_BYTES.end()))).ok()?;
    (shard >= *SHARD_BYTES.start()).then_some(shard)
}

fn within(field: &'static str, value: u32, range: RangeInclusive<u32>) -> Result<(), LimitError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(LimitError::OutOfRange { field, min: *range.start(), max: *range.end(), value })
}

fn widen(range: &RangeInclusive<u16>) -> RangeInclusive<u32> {
    u32::from(*range.start())..=u32::from(*range.end())
}

/// How much a reassembler may hold and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReassemblerLimits {
    /// Longest shard in bytes.
    pub shard_bytes_max: u16,
    /// Largest AU in bytes, padding not counted.
    pub au_bytes_max: u32,
    /// Data shards a block at most.
    pub block_data_shards_max: u16,
    /// Data and parity shards a block at most.
    pub block_shards_max: u16,
    /// Blocks an AU at most.
    pub blocks_per_au_max: u16,
    /// AUs open at once, a power of two (rounded up where it is not); a newer one gives up the oldest.
    pub aus_open_max: u16,
    /// Bytes of span memory, in use, handed on and free together.
    pub span_bytes_max: u64,
    /// Bytes of a mean slice's span at the negotiated rate.
    pub slice_span_bytes: usize,
    /// Slices of the AUs that are being filled or handed on at a time.
    pub slices_under_way: usize,
    /// Bytes of the span of an IDR's slice, five times the mean, or of the largest block where that is less: a larger
    /// slice is cut into blocks, each with its own span.
    pub idr_slice_span_bytes: usize,
    /// The blocks that have to be expected early ([`Negotiated::shapes_expected`]).
    pub shapes_expected: [Shape; 3],
    /// Sequences the replay window covers, a power of two.
    pub replay_window: usize,
    /// How long an AU waits once a newer one has been seen.
    pub au_deadline: Duration,
    /// How long the newest AU may stand still.
    pub au_stall_deadline: Duration,
}

impl From<&Negotiated> for ReassemblerLimits {
    fn from(negotiated: &Negotiated) -> Self {
        let au_deadline = au_deadline(negotiated.refresh_mhz);
        Self {
            shard_bytes_max: negotiated.shard_bytes_max,
            au_bytes_max: negotiated.au_bytes_max,
            block_data_shards_max: BLOCK_DATA_SHARDS_MAX,
            block_shards_max: BLOCK_DATA_SHARDS_MAX + parity_max(negotiated),
            blocks_per_au_max: blocks_per_au_max(negotiated),
            aus_open_max: aus_open_max(negotiated.refresh_mhz, au_deadline),
            span_bytes_max: span_bytes_max(negotiated),
            slice_span_bytes: slice_span_bytes(negotiated),
            slices_under_way: usize::from(negotiated.slices_max) * AUS_UNDER_WAY,
            idr_slice_span_bytes: idr_slice_span_bytes(negotiated),
            shapes_expected: negotiated.shapes_expected(),
            replay_window: replay_window(negotiated),
            au_deadline,
            au_stall_deadline: AU_STALL_DEADLINE,
        }
    }
}

/// What a sender may hold for resends, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResendLimits {
    /// AUs, the one being sent included.
    pub(crate) aus_max: usize,
    /// Blocks of them.
    pub(crate) blocks_max: usize,
    /// Words of 64 data shards of them.
    pub(crate) words_max: usize,
    /// Words of the largest block.
    pub(crate) block_words_max: usize,
    /// As the receiver's.
    pub(crate) au_deadline: Duration,
    /// As the receiver's.
    pub(crate) au_stall_deadline: Duration,
}

impl From<&Negotiated> for ResendLimits {
    fn from(negotiated: &Negotiated) -> Self {
        let receiver = ReassemblerLimits::from(negotiated);
        let blocks_per_au = usize::from(receiver.blocks_per_au_max);
        let shards = negotiated.au_bytes_max as usize / usize::from(*SHARD_BYTES.start());
        Self {
            aus_max: usize::from(receiver.aus_open_max) / 2,
            // The largest AU in the shortest shards, and the usual ones before it.
            blocks_max: AUS_LEASED_FOR_RESEND as usize * blocks_per_au,
            words_max: shards / 64 + AUS_LEASED_FOR_RESEND as usize * blocks_per_au,
            block_words_max: usize::from(BLOCK_DATA_SHARDS_MAX).div_ceil(64),
            au_deadline: receiver.au_deadline,
            au_stall_deadline: receiver.au_stall_deadline,
        }
    }
}

/// Parity shards of the largest block at its most.
fn parity_max(negotiated: &Negotiated) -> u16 {
    Redundancy::fixed(negotiated.redundancy_per_mille).parity_for(BLOCK_DATA_SHARDS_MAX, true)
}

/// A slice of s shards is cut into at most s / K + 1 blocks, and n slices of B bytes together have at most B / S + n
/// shards; one more block is a late end. S is the shortest there is: an AU whose first slice is short keeps it.
fn blocks_per_au_max(negotiated: &Negotiated) -> u16 {
    let slices = u32::from(negotiated.slices_max);
    let shards = negotiated.au_bytes_max / u32::from(*SHARD_BYTES.start()) + slices;
    let blocks = slices + shards.div_ceil(u32::from(BLOCK_DATA_SHARDS_MAX)) + 1;
    u16::try_from(blocks).unwrap_or(u16::MAX)
}

/// Two picture intervals, within [`AU_DEADLINE_MIN`] and [`AU_DEADLINE_MAX`].
fn au_deadline(refresh_mhz: u32) -> Duration {
    let interval_us = 1_000_000_000 / u64::from(refresh_mhz.max(1));
    Duration::from_micros(2 * interval_us).clamp(AU_DEADLINE_MIN, AU_DEADLINE_MAX)
}

/// Twice the AUs of one deadline, and eight that a stalled reader may find waiting; a power of two, for the ring.
fn aus_open_max(refresh_mhz: u32, au_deadline: Duration) -> u16 {
    let in_deadline = u64::from(refresh_mhz) * au_deadline.as_millis() as u64 / 1_000_000;
    let aus = (2 * in_deadline + 8).clamp(*AUS_OPEN.start(), *AUS_OPEN.end()).next_power_of_two();
    u16::try_from(aus).unwrap_or(16)
}

/// Bytes of the largest AU with its parity, the padding of every block's last shard, and what each block's parity is
/// rounded up by.
fn au_span_bytes(negotiated: &Negotiated) -> u64 {
    let blocks_shard = u64::from(blocks_per_au_max(negotiated)) * u64::from(negotiated.shard_bytes_max);
    let data = u64::from(negotiated.au_bytes_max) + blocks_shard;
    let parity_share = u64::from(parity_max(negotiated)) * 1_000 / u64::from(BLOCK_DATA_SHARDS_MAX) + 1;
    data + data * parity_share / 1_000 + u64::from(Redundancy::ROUNDED_UP_MAX) * blocks_shard
}

fn span_bytes_max(negotiated: &Negotiated) -> u64 {
    let aus = AUS_FILLING + AUS_HANDED_ON + AUS_PARKED;
    // Size classes are powers of two from a page on: a span is at most twice what its block needs, or a page.
    let pages = u64::from(blocks_per_au_max(negotiated)) * CLASS_BYTES_MIN as u64;
    aus * (2 * au_span_bytes(negotiated) + pages)
}

/// The rate is the wire's, so it has the parity in it already.
fn slice_span_bytes(negotiated: &Negotiated) -> usize {
    let au_bytes = u64::from(negotiated.bitrate_kbps) * 125_000 / u64::from(negotiated.refresh_mhz.max(1));
    usize::try_from(au_bytes.min(au_span_bytes(negotiated)) / u64::from(negotiated.slices_max)).unwrap_or(0)
}

fn idr_slice_span_bytes(negotiated: &Negotiated) -> usize {
    let idr = slice_span_bytes(negotiated) as u64 * IDR_MEAN_AUS;
    let block_shards = u64::from(BLOCK_DATA_SHARDS_MAX + parity_max(negotiated));
    let block = block_shards * u64::from(negotiated.shard_bytes_max);
    usize::try_from(idr.min(block)).unwrap_or(0)
}

/// The shape of a block of `bytes` of an IDR, as far as one block goes.
fn shape_of(negotiated: &Negotiated, bytes: u64, shard_bytes: u16) -> Shape {
    let shards = bytes.div_ceil(u64::from(shard_bytes)).clamp(1, u64::from(BLOCK_DATA_SHARDS_MAX));
    let k = u16::try_from(shards).unwrap_or(BLOCK_DATA_SHARDS_MAX);
    let m = Redundancy::fixed(negotiated.redundancy_per_mille).parity_for(k, true);
    Shape::new(k, m, usize::from(shard_bytes)).expect("asserted above: the largest block fits the code")
}

fn replay_window(negotiated: &Negotiated) -> usize {
    let datagrams = au_span_bytes(negotiated) / u64::from(*SHARD_BYTES.start());
    let window = (2 * AUS_LEASED_FOR_RESEND * datagrams)
        .clamp(REPLAY_WINDOW_MIN, REPLAY_WINDOW_MAX)
        .next_power_of_two();
    usize::try_from(window).unwrap_or(65_536)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Negotiated {
        Negotiated::new(1408, 20_000, 60_000, 4, 100, 4 << 20).unwrap()
    }

    #[test]
    fn refuses_each_value_outside_its_range_by_name() {
        let refused = |n: Result<Negotiated, LimitError>| n.unwrap_err().to_string();
        assert!(
            refused(Negotiated::new(192, 500, 60_000, 1, 100, 65_536))
                .contains("shard_bytes_max must be 256")
        );
        assert!(refused(Negotiated::new(1400, 500, 60_000, 1, 100, 65_536)).contains("multiple of 64"));
        assert!(refused(Negotiated::new(1408, 499, 60_000, 1, 100, 65_536)).contains("bitrate_kbps"));
        assert!(refused(Negotiated::new(1408, 500, 999, 1, 100, 65_536)).contains("refresh_mhz"));
        assert!(refused(Negotiated::new(1408, 500, 60_000, 0, 100, 65_536)).contains("slices_max"));
        assert!(
            refused(Negotiated::new(1408, 500, 60_000, 1, 1001, 65_536)).contains("redundancy_per_mille")
        );
        assert!(refused(Negotiated::new(1408, 500, 60_000, 1, 100, 65_535)).contains("au_bytes_max"));
    }

    #[test]
    fn the_limits_of_a_usual_session_are_modest() {
        let limits = ReassemblerLimits::from(&usual());
        assert_eq!(limits.block_shards_max, 4096 + 615);
        assert_eq!(limits.aus_open_max, 16);
        assert_eq!(limits.replay_window, 131_072, "16 KiB");
        assert!(limits.span_bytes_max < 80 << 20, "{}", limits.span_bytes_max);
        assert_eq!(limits.au_deadline, Duration::from_micros(33_332));
    }

    #[test]
    fn every_corner_of_the_ranges_derives_without_overflow() {
        for shard in [256, 1152, 8896] {
            for (bitrate, refresh) in [(500, 1_000), (8_000_000, 480_000), (8_000_000, 1_000)] {
                for (slices, redundancy, au) in [(1, 0, 65_536), (64, 1_000, 67_108_864)] {
                    let negotiated =
                        Negotiated::new(shard, bitrate, refresh, slices, redundancy, au).unwrap();
                    let limits = ReassemblerLimits::from(&negotiated);
                    assert!(limits.blocks_per_au_max < u16::MAX);
                    assert!(limits.replay_window.is_power_of_two());
                    assert!(limits.span_bytes_max >= 2 * u64::from(au));
                }
            }
        }
    }

    #[test]
    fn what_is_expected_early_is_bounded() {
        let shape = |k, m, shard| Shape::new(k, m, shard).unwrap();
        let limits = ReassemblerLimits::from(&usual());
        assert_eq!(limits.idr_slice_span_bytes, 52_080);
        assert_eq!(usual().shapes_expected(), [shape(37, 6, 1408), shape(46, 7, 1152), shape(88, 14, 256)]);
        let fastest = Negotiated::new(8896, 8_000_000, 1_000, 1, 1_000, 67_108_864).unwrap();
        let spans: Vec<usize> = fastest.shapes_expected().iter().map(Shape::span_bytes).collect();
        assert!(spans.iter().all(|bytes| *bytes < 12 << 20), "{spans:?}");
        let limits = ReassemblerLimits::from(&fastest);
        assert_eq!(limits.idr_slice_span_bytes, usize::from(limits.block_shards_max) * 8896);
    }

    #[test]
    fn shard_for_payload_is_the_longest_that_fits() {
        assert_eq!(shard_bytes_for_payload(1200), Some(1152));
        assert_eq!(shard_bytes_for_payload(1452), Some(1408));
        assert_eq!(shard_bytes_for_payload(1448), Some(1408));
        assert_eq!(shard_bytes_for_payload(1447), Some(1344));
        assert_eq!(shard_bytes_for_payload(65_000), Some(8896));
        assert_eq!(shard_bytes_for_payload(295), None);
        assert_eq!(shard_bytes_for_payload(0), None);
    }
}
