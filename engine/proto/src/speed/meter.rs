//! The receiving half: filler opened and counted.

use std::time::{Duration, Instant};

use punktfunk_seal::{Opener, Plane};

use super::{POSITIONS, position};
use crate::wire::{DATAGRAM_OVERHEAD, Flags, HEADER_BYTES, Header};

/// Delays that are kept; with more than that each is every second one of them, and so on.
const DELAYS_MAX: usize = 8_192;

/// What came of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FillerSeen {
    /// The test's number.
    pub test: u16,
    /// Datagrams that came, each counted once.
    pub datagrams: u64,
    /// Their bytes.
    pub wire_bytes: u64,
    /// From the first to the last, in microseconds.
    pub span_us: u64,
    /// The datagrams by where in their burst they stood.
    pub by_position: [u64; POSITIONS],
    /// One-way delay above the least, median, in microseconds.
    pub delay_p50_us: u32,
    /// The same, 99th percentile.
    pub delay_p99_us: u32,
    /// Datagrams that the receiver's socket dropped meanwhile, as far as that is known.
    pub client_drops: u64,
    /// The epoch that was opened of the plane.
    pub epoch_opened: u32,
}

/// Counts filler, for the newest test that an authentic datagram named.
#[derive(Debug)]
pub struct FillerMeter {
    opener: Opener,
    scratch: Box<[u8]>,
    shard_bytes_max: usize,
    /// What arrival times are counted from.
    clock: Instant,
    seen: FillerSeen,
    first_at: Option<Instant>,
    last_at: Option<Instant>,
    /// The pts of the train that a delay was last looked at of.
    train_pts_us: Option<u32>,
    /// What the first train's delay was; the clocks of both ends are in it.
    delay_base_us: u32,
    /// Delays above that of the first train, in microseconds.
    delays_us: Vec<i32>,
    /// Of how many trains one is kept.
    stride: u32,
    trains: u32,
}

impl FillerMeter {
    /// A meter for shards of at most `shard_bytes_max`. `opener` decides about keys, epochs and replays.
    pub fn new(opener: Opener, shard_bytes_max: u16, now: Instant) -> Self {
        Self {
            opener,
            scratch: vec![0; usize::from(shard_bytes_max)].into_boxed_slice(),
            shard_bytes_max: usize::from(shard_bytes_max),
            clock: now,
            seen: FillerSeen::default(),
            first_at: None,
            last_at: None,
            train_pts_us: None,
            delay_base_us: 0,
            delays_us: Vec::with_capacity(DELAYS_MAX),
            stride: 1,
            trains: 0,
        }
    }

    /// Takes one UDP payload; whether it was filler of the newest test, authentic and new.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> bool {
        let Some(header) = self.read_header(datagram) else { return false };
        let (aad, sealed) = datagram.split_at(HEADER_BYTES);
        let place = &mut self.scratch[..datagram.len() - DATAGRAM_OVERHEAD];
        if self.opener.open(header.epoch_low, header.sequence, aad, sealed, place, now).is_err() {
            return false;
        }
        let is_newer = (header.block.wrapping_sub(self.seen.test) as i16) > 0;
        if self.first_at.is_none() || is_newer {
            self.begin(&header, now);
        } else if header.block != self.seen.test {
            return false;
        }
        self.count(&header, datagram.len(), now);
        true
    }

    /// The newest test that filler was seen of.
    pub fn test(&self) -> Option<u16> {
        self.first_at.map(|_| self.seen.test)
    }

    /// Whether this test's filler was seen, and nothing has come for `quiet` since.
    pub fn is_quiet(&self, test: u16, quiet: Duration, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at) >= quiet;
        self.seen.test == test && self.last_at.is_some_and(since)
    }

    /// What came of test `test`; nothing, if another one came last.
    pub fn seen(&mut self, test: u16) -> FillerSeen {
        let epoch_opened = self.opener.epoch_opened();
        if self.first_at.is_none() || self.seen.test != test {
            return FillerSeen { test, epoch_opened, ..FillerSeen::default() };
        }
        self.delays_us.sort_unstable();
        let least = self.delays_us.first().copied().unwrap_or(0);
        let above = |per_mille: usize| {
            let at = self.delays_us.len().saturating_sub(1) * per_mille / 1_000;
            self.delays_us.get(at).map_or(0, |delay| delay.saturating_sub(least).unsigned_abs())
        };
        FillerSeen { delay_p50_us: above(500), delay_p99_us: above(990), epoch_opened, ..self.seen }
    }

    fn read_header(&self, datagram: &[u8]) -> Option<Header> {
        let header = Header::parse(datagram).ok()?;
        let is_filler = header.plane == Plane::Probe && header.flags == Flags::NONE && header.tail == 0;
        (is_filler && datagram.len() - DATAGRAM_OVERHEAD <= self.shard_bytes_max).then_some(header)
    }

    fn begin(&mut self, header: &Header, now: Instant) {
        self.seen = FillerSeen { test: header.block, ..FillerSeen::default() };
        self.first_at = Some(now);
        self.train_pts_us = None;
        self.delay_base_us = self.delay_us(header, now);
        self.delays_us.clear();
        self.stride = 1;
        self.trains = 0;
    }

    fn count(&mut self, header: &Header, bytes: usize, now: Instant) {
        let first_at = *self.first_at.get_or_insert(now);
        self.last_at = Some(now);
        self.seen.datagrams += 1;
        self.seen.wire_bytes += bytes as u64;
        self.seen.span_us = now.saturating_duration_since(first_at).as_micros() as u64;
        let datagrams = u32::from(header.k) + u32::from(header.m);
        self.seen.by_position[position(header.shard.into(), datagrams)] += 1;
        if self.train_pts_us.replace(header.pts_us) != Some(header.pts_us) {
            self.note_delay(header, now);
        }
    }

    /// A train's first datagram has come.
    fn note_delay(&mut self, header: &Header, now: Instant) {
        self.trains += 1;
        if !self.trains.is_multiple_of(self.stride) {
            return;
        }
        if self.delays_us.len() == DELAYS_MAX {
            // Every second one, in the order in which they came.
            (0..DELAYS_MAX / 2).for_each(|kept| self.delays_us[kept] = self.delays_us[2 * kept + 1]);
            self.delays_us.truncate(DELAYS_MAX / 2);
            self.stride *= 2;
        }
        // Both clocks run on while the difference of two such differences is small.
        let above = self.delay_us(header, now).wrapping_sub(self.delay_base_us) as i32;
        self.delays_us.push(above);
    }

    /// Arrival on our clock minus departure on the host's, modulo 2³².
    fn delay_us(&self, header: &Header, now: Instant) -> u32 {
        let arrived_us = now.saturating_duration_since(self.clock).as_micros() as u32;
        arrived_us.wrapping_sub(header.pts_us)
    }
}
