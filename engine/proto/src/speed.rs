//! The speed test: what a path carries of access units, found by filler in a plane of its own.
//!
//! Filler is sent as video is: in bursts the size of access units, one a picture's interval, with parity, sealed, and
//! spread at the rate that a session of the target's wire rate begins with ([`PACE_PER_MILLE`] of it). [`Filler`] says
//! which bursts leave when, [`Burst`] how one is cut, [`FillerMeter`] counts what came, [`judge`] joins the two ends'
//! counts and names what held the rate down.
//!
//! A filler datagram has a media datagram's header, on the probe plane: `au` is the burst's number, `shard` counts all of
//! its datagrams in the order of their sending, `k` and `m` are its data and parity datagrams, `block` is the test's
//! number, and `pts_us` when the datagram was due to leave, on the session clock. Flags and tail are 0.
//!
//! Promises: no burst before it is due, none after the test's end; constant work and no allocation a datagram; counts
//! of authentic datagrams only, each once. Refuses targets and durations out of [`TARGET_KBPS`] and [`DURATION_MS`].

mod judge;
mod meter;
mod plan;

use std::ops::RangeInclusive;

use crate::link_rate::START_PER_MILLE;

pub use judge::{Judgement, WeakestLink, judge};
pub use meter::{FillerMeter, FillerSeen};
pub use plan::{Burst, BurstBlock, Filler, FillerSent, Next, seal_filler, seal_filler_parity};

/// The wire's rates that can be tried, in kbit/s: from a session's slowest to a little above its fastest, so that the
/// fastest can be proven.
pub const TARGET_KBPS: RangeInclusive<u32> = 500..=10_000_000;

/// How long a test may take, in milliseconds: from a dozen pictures to what a person waits for.
pub const DURATION_MS: RangeInclusive<u32> = 200..=10_000;

/// Parts of a burst that are counted apart.
pub const POSITIONS: usize = 10;

/// What a burst is spread at, of each 1,000 of the target: as a session begins.
pub const PACE_PER_MILLE: u64 = START_PER_MILLE;

/// What a test is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeedTestOrder {
    target_kbps: u32,
    duration_ms: u32,
}

/// Why there can be no such test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The rate cannot be tried.
    #[error("a speed test tries {least} to {most} kbit/s, not {_0}", least = TARGET_KBPS.start(), most = TARGET_KBPS.end())]
    Target(u32),
    /// It takes too short or too long.
    #[error("a speed test takes {least} to {most} ms, not {_0}", least = DURATION_MS.start(), most = DURATION_MS.end())]
    Duration(u32),
}

impl SpeedTestOrder {
    /// A test at `target_kbps` of the wire's rate for `duration_ms`.
    ///
    /// # Errors
    /// [`OrderError`] names the number that is out of its range.
    pub fn new(target_kbps: u32, duration_ms: u32) -> Result<Self, OrderError> {
        if !TARGET_KBPS.contains(&target_kbps) {
            return Err(OrderError::Target(target_kbps));
        }
        if !DURATION_MS.contains(&duration_ms) {
            return Err(OrderError::Duration(duration_ms));
        }
        Ok(Self { target_kbps, duration_ms })
    }

    /// The wire's rate to try, in kbit/s.
    pub const fn target_kbps(&self) -> u32 {
        self.target_kbps
    }

    /// For how long, in milliseconds.
    pub const fn duration_ms(&self) -> u32 {
        self.duration_ms
    }

    /// What bursts are spread at, in kbit/s.
    pub fn pace_kbps(&self) -> u32 {
        u32::try_from(u64::from(self.target_kbps) * PACE_PER_MILLE / 1_000).unwrap_or(u32::MAX)
    }
}

/// Which part of a burst of `datagrams` datagram `index` belongs to.
fn position(index: u32, datagrams: u32) -> usize {
    let part = u64::from(index) * POSITIONS as u64 / u64::from(datagrams.max(1));
    (part as usize).min(POSITIONS - 1)
}
