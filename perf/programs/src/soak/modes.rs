//! The modes that a soak goes through, and what a link's loss takes of each.
//!
//! Promises: most of the time is spent at the full rate, and each change leaves the stream in a mode that was agreed.
//! The bound is the code's alone: what resends mend comes on top. Refuses: to guess what a busy machine takes.

use std::time::Duration;

use punktfunk_proto::Redundancy;

use crate::case::Case;
use crate::talk::Change;

/// Tries that each lost shard has where redundancy counts on resends: itself and one more.
const TRIES: i32 = 2;

/// Data shards of a block at most, as the engine cuts them.
const BLOCK_SHARDS_MAX: usize = 4_096;

/// What is sent for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// An access unit's size, in thousandths of the case's.
    pub size_per_mille: u32,
    /// From picture to picture, in microseconds.
    pub interval_us: u32,
    /// Bytes of a shard.
    pub shard_bytes: u16,
    /// How long.
    pub seconds: u64,
}

const fn mode(size_per_mille: u32, interval_us: u32, shard_bytes: u16, seconds: u64) -> Mode {
    Mode { size_per_mille, interval_us, shard_bytes, seconds }
}

/// The modes in turn, for a case of 120 Hz. The first is the case's own.
pub const MODES: [Mode; 8] = [
    mode(1_000, 8_333, 1408, 4),
    mode(833, 6_944, 1408, 4),
    mode(1_000, 8_333, 1152, 4),
    mode(1_000, 16_667, 1408, 1),
    mode(500, 4_167, 1280, 4),
    mode(1_000, 8_333, 512, 2),
    mode(20, 8_333, 1152, 1),
    mode(1_000, 8_333, 1408, 4),
];

impl Mode {
    /// What the sender is told.
    pub fn change(&self) -> Change {
        Change {
            size_per_mille: Some(self.size_per_mille),
            interval_us: Some(self.interval_us),
            shard_bytes: Some(self.shard_bytes),
            pace_kbps: None,
        }
    }

    /// How long it lasts.
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Payload in Mbit/s, the large access units left out.
    pub fn mbps(&self, case: &Case) -> f64 {
        let usual_us = case.interval().as_secs_f64() * 1e6;
        case.rate.mbps() * f64::from(self.size_per_mille) / 1e3 * usual_us / f64::from(self.interval_us)
    }

    /// The share of access units that cannot be whole by the code alone.
    pub fn lost_share(&self, case: &Case) -> f64 {
        let (unit, large) = case.au_bytes();
        let scaled = |bytes: usize| bytes * self.size_per_mille as usize / 1_000;
        let ordinary = self.lost_share_of(case, scaled(unit), false);
        match case.idr_period_aus() {
            None => ordinary,
            Some(period) => {
                let (large, period) = (self.lost_share_of(case, scaled(large), true), f64::from(period));
                (ordinary * (period - 1.0) + large) / period
            }
        }
    }

    fn lost_share_of(&self, case: &Case, au_bytes: usize, idr: bool) -> f64 {
        let shards =
            au_bytes.div_ceil(usize::from(case.slices)).div_ceil(usize::from(self.shard_bytes)).max(1);
        let blocks = shards.div_ceil(BLOCK_SHARDS_MAX);
        let k = u16::try_from(shards.div_ceil(blocks)).unwrap_or(u16::MAX);
        let loss = f64::from(case.loss.per_mille()) / 1e3;
        let (loss, per_mille) = match case.adaptive {
            true => (loss.powi(TRIES), 0),
            false => (loss, case.redundancy.per_mille()),
        };
        let m = Redundancy::fixed(per_mille).parity_for(k, idr);
        let whole = 1.0 - more_than(m.into(), u32::from(k) + u32::from(m), loss);
        1.0 - whole.powf((usize::from(case.slices) * blocks) as f64)
    }
}

/// The chance that more than `most` of `count` are lost, each with chance `loss`: the upper tail of the binomial
/// distribution.
fn more_than(most: u32, count: u32, loss: f64) -> f64 {
    if loss <= 0.0 || most >= count {
        return 0.0;
    }
    if loss >= 1.0 {
        return 1.0;
    }
    // In logarithms: the first terms of a large block are below what a float holds.
    let mut term = f64::from(count) * (1.0 - loss).ln();
    let mut sum = term.exp();
    for lost in 1..=most {
        term += (f64::from(count - lost + 1) / f64::from(lost)).ln() + (loss / (1.0 - loss)).ln();
        sum += term.exp();
    }
    (1.0 - sum).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_binomials() {
        assert!((more_than(0, 1, 0.25) - 0.25).abs() < 1e-12);
        assert!((more_than(1, 5, 0.01) - 9.801_496e-4).abs() < 1e-9);
        assert!((more_than(500, 1_000, 0.5) - 0.487).abs() < 1e-3);
        assert!(more_than(18, 203, 0.01) < 1e-9);
        assert_eq!((more_than(5, 5, 0.9), more_than(2, 5, 0.0), more_than(2, 5, 1.0)), (0.0, 0.0, 1.0));
    }

    #[test]
    fn small_access_units_with_one_parity_shard_lose_most() {
        let case = Case { loss: crate::units::Percent::of_per_mille(10), slices: 4, ..Case::default() };
        let shares: Vec<f64> = MODES.iter().map(|mode| mode.lost_share(&case)).collect();
        assert!(shares[0] < 1e-6, "{shares:?}");
        assert!((1e-3..1e-1).contains(&shares[6]), "{shares:?}");
        let adaptive = Case { adaptive: true, ..case };
        assert!(MODES.iter().all(|mode| mode.lost_share(&adaptive) < 1e-2));
    }

    #[test]
    fn most_of_the_time_the_rate_is_the_full_one() {
        let case = Case::default();
        let total: u64 = MODES.iter().map(|mode| mode.seconds).sum();
        let carried: f64 = MODES.iter().map(|mode| mode.mbps(&case) * mode.seconds as f64).sum();
        assert!(carried / total as f64 > 900.0, "{carried} in {total}");
        assert_eq!(MODES[0].shard_bytes, case.shard_bytes);
    }
}
