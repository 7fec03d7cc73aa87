//! The policy for m / k: how many parity shards a block gets.
//!
//! Promises one parity shard at least for every block, and more for an IDR, whose loss costs a whole restart.
//! A fixed share; it reads no feedback.

/// A fixed share of parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    per_mille: u16,
}

/// The least parity of an IDR's block.
const IDR_PARITY_MIN: u16 = 2;

impl Redundancy {
    /// Shards at most by which a block's parity passes its exact share.
    pub(crate) const ROUNDED_UP_MAX: u16 = IDR_PARITY_MIN;

    /// `per_mille` parity shards for each 1,000 data shards, rounded up.
    pub const fn fixed(per_mille: u16) -> Self {
        Self { per_mille }
    }

    /// Parity shards for a block of `k` data shards: at least 1, for an IDR half as much again and at least 2.
    pub fn parity_for(&self, k: u16, idr: bool) -> u16 {
        let share = u32::from(k) * u32::from(self.per_mille);
        let (share, floor) = if idr { (share + share / 2, IDR_PARITY_MIN) } else { (share, 1) };
        u16::try_from(share.div_ceil(1_000)).unwrap_or(u16::MAX - k).max(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_and_never_gives_none() {
        let tenth = Redundancy::fixed(100);
        assert_eq!(tenth.parity_for(1, false), 1);
        assert_eq!(tenth.parity_for(10, false), 1);
        assert_eq!(tenth.parity_for(11, false), 2);
        assert_eq!(tenth.parity_for(1000, false), 100);
        assert_eq!(tenth.parity_for(1000, true), 150);
        assert_eq!(tenth.parity_for(1, true), 2);
        assert_eq!(Redundancy::fixed(0).parity_for(1000, false), 1);
    }
}
