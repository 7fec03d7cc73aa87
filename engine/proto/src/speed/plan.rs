//! The sending half: which burst leaves when, how it is cut into FEC blocks, and its datagrams sealed.

use std::ops::Range;
use std::time::{Duration, Instant};

use punktfunk_fec::{FecError, Parity, Shape};
use punktfunk_seal::{Plane, SealError, Sealer, Ticket};

use super::{POSITIONS, SpeedTestOrder, position};
use crate::limits::BLOCK_DATA_SHARDS_MAX;
use crate::packetize::seal_datagram;
use crate::redundancy::Redundancy;
use crate::wire::{DATAGRAM_OVERHEAD, Flags, Header};

/// Bursts are at most this far apart: at a slower picture rate one would have more datagrams than its header can count.
const INTERVAL_MAX: Duration = Duration::from_micros(41_667);
/// And at least this far, so that the end of one and the beginning of the next can be told apart.
const INTERVAL_MIN: Duration = Duration::from_micros(4_167);
/// Data of one block: about what a slice has of an access unit of 2 MB.
const BLOCK_BYTES_MAX: usize = 512 << 10;
/// A burst's `k + m` is a number of 16 bits.
const DATAGRAMS_MAX: u64 = 65_535;
/// The least burst: one datagram of data, and one of parity, as the least access unit has.
const DATAGRAMS_MIN: u64 = 2;

/// What the sender does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Sends this burst.
    Burst(Burst),
    /// Waits for the next burst's time.
    Wait(Instant),
    /// Has come to the test's end.
    Over,
}

/// Says which bursts leave when. A burst that is late leaves at once; one that could not be begun before the end is not
/// sent at all: that is what the test finds out.
#[derive(Debug, Clone, Copy)]
pub struct Filler {
    test: u16,
    order: SpeedTestOrder,
    redundancy: Redundancy,
    start: Instant,
    interval: Duration,
    bursts: u32,
    next: u32,
    /// Bytes that are due and have not been in a burst, times eight million: kilobits a second times nanoseconds.
    due: u64,
}

const DUE_PER_BYTE: u64 = 8_000_000;

impl Filler {
    /// Test `test` of a session whose pictures are `picture_interval` apart, with parity by `redundancy`, from `start` on.
    pub fn new(
        test: u16,
        order: SpeedTestOrder,
        picture_interval: Duration,
        redundancy: Redundancy,
        start: Instant,
    ) -> Self {
        let interval = picture_interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let duration = Duration::from_millis(order.duration_ms().into());
        let bursts = duration.as_nanos().div_ceil(interval.as_nanos());
        // At most 10 s by 4 ms.
        let bursts = u32::try_from(bursts).unwrap_or(u32::MAX);
        Self { test, order, redundancy, start, interval, bursts, next: 0, due: 0 }
    }

    /// What the test was asked for.
    pub const fn order(&self) -> SpeedTestOrder {
        self.order
    }

    /// The test's number.
    pub const fn test(&self) -> u16 {
        self.test
    }

    /// How long it takes: whole bursts, no less than was asked for.
    pub fn period(&self) -> Duration {
        self.interval * self.bursts
    }

    /// When nothing more may be sent.
    pub fn end(&self) -> Instant {
        self.start + self.period()
    }

    /// What is to be done now, in shards of `shard_bytes`.
    pub fn poll(&mut self, shard_bytes: u16, now: Instant) -> Next {
        while now < self.end() {
            // The last one's interval is a part of the test.
            let due = self.start + self.interval * self.next;
            if now < due {
                return Next::Wait(due);
            }
            self.due += u64::from(self.order.target_kbps()) * self.interval.as_nanos() as u64;
            let number = self.next;
            self.next += 1;
            if let Some(burst) = self.burst(number, shard_bytes) {
                self.due = self.due.saturating_sub(burst.bytes() * DUE_PER_BYTE);
                return Next::Burst(burst);
            }
        }
        Next::Over
    }

    /// A burst of what is due; none if that is less than the least burst.
    fn burst(&self, number: u32, shard_bytes: u16) -> Option<Burst> {
        let stride = u64::from(shard_bytes) + DATAGRAM_OVERHEAD as u64;
        let datagrams = (self.due / DUE_PER_BYTE / stride).min(DATAGRAMS_MAX);
        if datagrams < DATAGRAMS_MIN {
            return None;
        }
        let mut burst = Burst {
            test: self.test,
            number,
            shard_bytes,
            redundancy: self.redundancy,
            data: datagrams as u32,
            parity: 0,
        };
        // With less data there is less parity, so this comes to rest; what does not fit stays due.
        loop {
            burst.parity = burst.blocks().map(|block| u32::from(block.m)).sum();
            let over = (u64::from(burst.data + burst.parity)).saturating_sub(datagrams) as u32;
            if over == 0 || burst.data == 1 {
                return (over == 0).then_some(burst);
            }
            // Of each datagram taken away some more parity goes with it: half is never too much.
            burst.data = burst.data.saturating_sub(over.div_ceil(2)).max(1);
        }
    }
}

/// One burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    test: u16,
    number: u32,
    shard_bytes: u16,
    redundancy: Redundancy,
    data: u32,
    parity: u32,
}

impl Burst {
    /// All its datagrams.
    pub const fn datagrams(&self) -> u32 {
        self.data + self.parity
    }

    /// Those that carry data.
    pub const fn data(&self) -> u32 {
        self.data
    }

    /// Bytes from one slot to the next: a whole datagram.
    pub const fn stride(&self) -> usize {
        self.shard_bytes as usize + DATAGRAM_OVERHEAD
    }

    /// Bytes of a shard.
    pub const fn shard_bytes(&self) -> u16 {
        self.shard_bytes
    }

    /// Bytes on the wire.
    pub const fn bytes(&self) -> u64 {
        self.datagrams() as u64 * self.stride() as u64
    }

    /// The most data that a block of any burst has, in bytes.
    pub const fn block_bytes_max() -> usize {
        BLOCK_BYTES_MAX
    }

    /// The FEC blocks that it is coded in, in order, of nearly equal length.
    pub fn blocks(self) -> impl Iterator<Item = BurstBlock> {
        let shards_max = (BLOCK_BYTES_MAX / usize::from(self.shard_bytes.max(1))).max(1);
        let shards_max = (shards_max as u32).min(u32::from(BLOCK_DATA_SHARDS_MAX));
        let count = self.data.div_ceil(shards_max).max(1);
        let (mut left, mut first) = (self.data, 0);
        (0..count).map(move |index| {
            // At most BLOCK_DATA_SHARDS_MAX.
            let k = left.div_ceil(count - index) as u16;
            let block = BurstBlock { burst: self, first, k, m: self.redundancy.parity_for(k, false) };
            left -= u32::from(k);
            first += u32::from(block.k) + u32::from(block.m);
            block
        })
    }
}

/// One FEC block of a burst: its data datagrams, then its parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurstBlock {
    burst: Burst,
    /// The burst's datagram that it begins with.
    first: u32,
    /// Data shards.
    pub k: u16,
    /// Parity shards.
    pub m: u16,
}

impl BurstBlock {
    /// Data and parity shards together.
    pub const fn shards(&self) -> usize {
        self.k as usize + self.m as usize
    }

    /// Bytes from one slot to the next: a whole datagram.
    pub const fn stride(&self) -> usize {
        self.burst.stride()
    }

    /// Bytes of all its slots.
    pub const fn slots_bytes(&self) -> usize {
        self.shards() * self.burst.stride()
    }

    /// Bytes of its data.
    pub const fn data_bytes(&self) -> usize {
        self.k as usize * self.burst.shard_bytes as usize
    }

    /// The block's shape for the FEC coder.
    ///
    /// # Errors
    /// [`FecError`], which no block of a planned burst meets.
    pub fn fec_shape(&self) -> Result<Shape, FecError> {
        Shape::new(self.k, self.m, usize::from(self.burst.shard_bytes))
    }

    fn header(&self, index: usize, pts_us: u32, epoch_low: u8, sequence: u32) -> Header {
        Header {
            plane: Plane::Probe,
            epoch_low,
            flags: Flags::NONE,
            // A burst's datagrams fit 16 bits, see DATAGRAMS_MAX.
            shard: (self.first as usize + index) as u16,
            sequence,
            au: self.burst.number,
            pts_us,
            k: self.burst.data as u16,
            m: self.burst.parity as u16,
            block: self.burst.test,
            tail: 0,
        }
    }
}

/// Seals the block's datagrams `shards`, data all of them, from `data` into their slots; they are due to leave at `pts_us`
/// of the session clock.
///
/// # Errors
/// [`SealError`] when the sealer may not use another sequence.
///
/// # Panics
/// When `data` or `slots` is shorter than the block says, or `shards` passes k: faults of the caller.
pub fn seal_filler(
    block: &BurstBlock,
    shards: Range<usize>,
    data: &[u8],
    slots: &mut [u8],
    pts_us: u32,
    sealer: &mut Sealer,
    now: Instant,
) -> Result<(), SealError> {
    assert!(shards.end <= usize::from(block.k), "data shards end at k");
    let shard_bytes = usize::from(block.burst.shard_bytes);
    for index in shards {
        let plain = &data[index * shard_bytes..(index + 1) * shard_bytes];
        seal_slot(block, index, plain, slots, pts_us, sealer, now)?;
    }
    Ok(())
}

/// The same for parity datagrams: `shards` counts from the block's first datagram.
///
/// # Errors
/// [`SealError`] when the sealer may not use another sequence.
///
/// # Panics
/// When `parity` or `slots` is shorter than the block says, or `shards` begins before k: faults of the caller.
pub fn seal_filler_parity(
    block: &BurstBlock,
    shards: Range<usize>,
    parity: &Parity<'_>,
    slots: &mut [u8],
    pts_us: u32,
    sealer: &mut Sealer,
    now: Instant,
) -> Result<(), SealError> {
    let k = usize::from(block.k);
    for index in shards {
        seal_slot(block, index, parity.shard(index - k), slots, pts_us, sealer, now)?;
    }
    Ok(())
}

fn seal_slot(
    block: &BurstBlock,
    index: usize,
    plain: &[u8],
    slots: &mut [u8],
    pts_us: u32,
    sealer: &mut Sealer,
    now: Instant,
) -> Result<(), SealError> {
    let stride = block.burst.stride();
    let slot = &mut slots[index * stride..(index + 1) * stride];
    let header = |ticket: &Ticket| block.header(index, pts_us, ticket.epoch_low(), ticket.sequence());
    seal_datagram(header, (plain, 0), slot, sealer, now)
}

/// What the sender did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FillerSent {
    /// The test's number.
    pub test: u16,
    /// How long it took, in microseconds.
    pub period_us: u64,
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Their bytes.
    pub wire_bytes: u64,
    /// Bytes of the data shards among them.
    pub data_bytes: u64,
    /// The datagrams by where in their burst they stood.
    pub by_position: [u64; POSITIONS],
    /// Datagrams that the kernel would not take.
    pub dropped: u64,
    /// Time spent in waiting for a full send buffer, in microseconds.
    pub blocked_us: u64,
}

impl FillerSent {
    /// The kernel took `sent` datagrams of a train of the block, which begins at its datagram `index`, and would not take
    /// `dropped` behind those.
    pub fn handle_train(&mut self, block: &BurstBlock, index: usize, sent: u64, dropped: u64) {
        let first = block.first + index as u32;
        for index in first..first + sent as u32 {
            self.by_position[position(index, block.burst.datagrams())] += 1;
        }
        let data = (usize::from(block.k).saturating_sub(index) as u64).min(sent);
        self.datagrams += sent;
        self.wire_bytes += sent * block.burst.stride() as u64;
        self.data_bytes += data * u64::from(block.burst.shard_bytes);
        self.dropped += dropped;
    }
}
