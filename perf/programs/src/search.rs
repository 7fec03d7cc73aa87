//! The highest rate that is carried without a flaw, found by rising rates.
//!
//! A rate that fails is tried once more before it counts as failed, because the machine is shared and one hiccup is not
//! the data plane's limit. Promises: an end after a bounded number of tries; the answer is a rate that was clean when it
//! was tried. Refuses: to take a rate for clean that only its neighbours were.

use crate::units::Rate;

/// Tries of one rate before it counts as failed.
const TRIES: u32 = 2;

/// The next rate while nothing has failed, in thousandths of the last clean one.
const RISE_PER_MILLE: u64 = 1_500;

/// The search ends when the gap is this small, in thousandths of the clean rate.
const GAP_PER_MILLE: u64 = 60;

/// A search under way.
#[derive(Debug, Clone)]
pub struct RateSearch {
    first: Rate,
    most: Rate,
    clean: Option<Rate>,
    failed: Option<Rate>,
    tries: u32,
}

impl RateSearch {
    /// From `first` on, never above `most`.
    pub fn new(first: Rate, most: Rate) -> RateSearch {
        RateSearch { first: first.min(most), most, clean: None, failed: None, tries: 0 }
    }

    /// The rate to try; `None` when the search has come to its end.
    pub fn next(&self) -> Option<Rate> {
        let kbps = match (self.clean, self.failed) {
            (None, None) => self.first.kbps(),
            // Not even the first: go down by halves, but not for ever.
            (None, Some(failed)) if failed.kbps() <= self.first.kbps() / 16 => return None,
            (None, Some(failed)) => failed.kbps() / 2,
            (Some(clean), None) if clean >= self.most => return None,
            (Some(clean), None) => (clean.kbps() * RISE_PER_MILLE / 1_000).min(self.most.kbps()),
            (Some(clean), Some(failed)) => {
                let gap = failed.kbps().saturating_sub(clean.kbps());
                if gap * 1_000 <= clean.kbps() * GAP_PER_MILLE {
                    return None;
                }
                clean.kbps() + gap / 2
            }
        };
        Some(Rate::of_kbps(kbps))
    }

    /// What became of the rate that [`RateSearch::next`] named.
    pub fn handle(&mut self, rate: Rate, clean: bool) {
        if clean {
            self.clean = Some(self.clean.map_or(rate, |best| best.max(rate)));
            self.tries = 0;
            return;
        }
        self.tries += 1;
        if self.tries == TRIES {
            self.failed = Some(self.failed.map_or(rate, |least| least.min(rate)));
            self.tries = 0;
        }
    }

    /// The highest clean rate so far.
    pub fn best(&self) -> Option<Rate> {
        self.clean
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a search against a machine that carries up to `limit`, and fails every `hiccup`-th try for no reason.
    fn find(first: u64, most: u64, limit: u64, hiccup: usize) -> (Option<u64>, usize) {
        let mut search = RateSearch::new(Rate::of_kbps(first), Rate::of_kbps(most));
        let mut tries = 0;
        while let Some(rate) = search.next() {
            tries += 1;
            assert!(tries < 200, "the search does not end: {search:?}");
            search.handle(rate, rate.kbps() <= limit && tries % hiccup != 0);
        }
        (search.best().map(Rate::kbps), tries)
    }

    proptest! {
        #[test]
        fn the_limit_is_found_to_within_the_gap(limit in 100_000u64..20_000_000) {
            let (found, tries) = find(1_000_000, 40_000_000, limit, usize::MAX);
            let found = found.unwrap();
            prop_assert!(found <= limit && limit * 1_000 <= found * (1_000 + GAP_PER_MILLE) + 1_000, "{found} of {limit}");
            prop_assert!(tries <= 40, "{tries}");
        }

        #[test]
        fn a_hiccup_now_and_then_costs_little(limit in 1_000_000u64..20_000_000, hiccup in 3usize..9) {
            let (found, _) = find(1_000_000, 40_000_000, limit, hiccup);
            prop_assert!(found.unwrap() * 2 >= limit, "{found:?} of {limit}");
        }
    }

    #[test]
    fn the_most_is_not_passed_and_nothing_clean_is_said() {
        assert_eq!(find(1_000_000, 4_000_000, u64::MAX, usize::MAX).0, Some(4_000_000));
        assert_eq!(find(9_000_000, 4_000_000, u64::MAX, usize::MAX), (Some(4_000_000), 1));
        assert_eq!(find(1_000_000, 4_000_000, 0, usize::MAX).0, None);
    }
}
