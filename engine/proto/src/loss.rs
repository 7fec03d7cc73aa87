//! Which sequences never came: loss and burst length, measured from authentic datagrams.
//!
//! A sequence is judged when it falls [`WINDOW`] behind the newest one, so that reordering within that is no loss.
//! Constant work a datagram. Sequences of an earlier epoch that straggle in are not looked at; nor are old ones of a
//! block that was asked for, because what was sent again was lost once all the same.

/// Sequences that may still come.
const WINDOW: u64 = 256;
const WORDS: usize = (WINDOW / 64) as usize;
/// Datagrams after which a change of the loss shows by half.
const SMOOTHING: u64 = 1_024;

#[derive(Debug, Default)]
pub(crate) struct LossMeter {
    epoch: u32,
    /// One past the newest sequence of the epoch, which may be the last that 32 bits count.
    next: u64,
    came: [u64; WORDS],
    run: u64,
    burst_max: u64,
    lost: u64,
    /// Judged since the last sample.
    judged: u64,
    judged_lost: u64,
    smoothed_ppm: u64,
}

impl LossMeter {
    /// An authentic datagram of the newest epoch came; `was_asked` if shards of its block were asked for before.
    pub(crate) fn handle(&mut self, epoch: u32, sequence: u32, was_asked: bool) {
        if epoch != self.epoch {
            self.judge_rest();
            self.epoch = epoch;
            self.next = 0;
        }
        let sequence = u64::from(sequence);
        if sequence >= self.next {
            self.advance(sequence);
        } else if was_asked {
            return;
        }
        if self.next - sequence <= WINDOW {
            let (word, bit) = place(sequence);
            self.came[word] |= bit;
        }
    }

    /// Sequences lost, total.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// The smoothed loss of each 1,000 and the longest run lost since the last call.
    pub(crate) fn sample(&mut self) -> (u16, u16) {
        if let Some(ppm) = (self.judged_lost * 1_000_000).checked_div(self.judged) {
            let weight = self.judged + SMOOTHING;
            self.smoothed_ppm = (self.smoothed_ppm * SMOOTHING + ppm * self.judged) / weight;
            (self.judged, self.judged_lost) = (0, 0);
        }
        let burst = std::mem::take(&mut self.burst_max);
        ((self.smoothed_ppm.div_ceil(1_000)).min(1_000) as u16, burst.min(u64::from(u16::MAX)) as u16)
    }

    fn advance(&mut self, sequence: u64) {
        let steps = sequence + 1 - self.next;
        for _ in 0..steps.min(WINDOW) {
            self.judge_one(self.next);
            self.next += 1;
        }
        if steps > WINDOW {
            // Whatever lies between the window before the jump and the one after it never came.
            self.judge_lost(steps - WINDOW);
            self.next = sequence + 1;
        }
    }

    /// Judges the sequence that shares a place with `sequence` and frees the place.
    fn judge_one(&mut self, sequence: u64) {
        let (word, bit) = place(sequence);
        let came = self.came[word] & bit != 0;
        self.came[word] &= !bit;
        if sequence < WINDOW {
            return;
        }
        if came {
            self.judged += 1;
            self.run = 0;
        } else {
            self.judge_lost(1);
        }
    }

    fn judge_lost(&mut self, count: u64) {
        self.judged += count;
        self.judged_lost += count;
        self.lost += count;
        self.run += count;
        self.burst_max = self.burst_max.max(self.run);
    }

    /// The epoch is over: what its window still holds is judged, as far as it was sent for certain.
    fn judge_rest(&mut self) {
        for sequence in self.next.saturating_sub(WINDOW)..self.next {
            let (word, bit) = place(sequence);
            if self.came[word] & bit == 0 {
                self.judge_lost(1);
            } else {
                self.judged += 1;
                self.run = 0;
            }
        }
        self.came = [0; WORDS];
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let at = sequence % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_what_never_came_and_the_longest_run() {
        let mut meter = LossMeter::default();
        for sequence in (0..2_000).filter(|s| !(500..507).contains(s) && *s != 900) {
            meter.handle(0, sequence, false);
        }
        assert_eq!(meter.lost(), 8);
        let (per_mille, burst) = meter.sample();
        assert_eq!((burst, meter.sample().1), (7, 0));
        assert!((3..=5).contains(&per_mille), "{per_mille}");
    }

    #[test]
    fn a_jump_is_counted_without_walking_it() {
        let mut meter = LossMeter::default();
        meter.handle(0, 0, false);
        meter.handle(0, u32::MAX, false);
        assert_eq!(meter.lost(), u64::from(u32::MAX) - 256);
        meter.handle(0, u32::MAX, false);
        meter.handle(0, u32::MAX - 1, false);
        meter.judge_rest();
        assert_eq!(meter.lost(), u64::from(u32::MAX) - 2);
    }

    #[test]
    fn what_was_sent_again_was_lost_all_the_same() {
        let mut meter = LossMeter::default();
        (0..600).filter(|s| *s != 400).for_each(|sequence| meter.handle(0, sequence, false));
        meter.handle(0, 400, true);
        meter.handle(0, 900, true);
        meter.judge_rest();
        assert_eq!(meter.lost(), 1 + 300, "a new one shows what lies before it, asked for or not");
    }

    #[test]
    fn a_new_epoch_judges_the_old_one() {
        let mut meter = LossMeter::default();
        meter.handle(0, 0, false);
        meter.handle(0, 2, false);
        meter.handle(1, 0, false);
        assert_eq!(meter.lost(), 1);
    }

    proptest! {
        #[test]
        fn reordering_within_the_window_is_no_loss(lost in proptest::collection::btree_set(0u32..2_000, 0..300), swaps in proptest::collection::vec((0usize..1_700, 1usize..200), 0..200)) {
            let mut order: Vec<u32> = (0..2_000).filter(|s| !lost.contains(s)).collect();
            let untouched = order.len();
            for (at, by) in swaps {
                let from = at % untouched;
                let to = (from + by % 100).min(untouched - 1);
                // One far move each: nothing is displaced by more than a few places in turn.
                let moved = order.remove(from);
                order.insert(to, moved);
            }
            let mut meter = LossMeter::default();
            let mut newest = 0;
            let mut too_late = 0;
            for sequence in order {
                newest = newest.max(sequence);
                too_late += u64::from(u64::from(newest - sequence) >= WINDOW);
                meter.handle(0, sequence, false);
            }
            meter.judge_rest();
            let expected = lost.iter().filter(|s| **s <= newest).count() as u64 + too_late;
            prop_assert_eq!(meter.lost(), expected);
        }
    }
}
