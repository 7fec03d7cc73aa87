//! Which sequences of an epoch were opened before: a ring of bits below the highest.

use crate::limits::{REPLAY_WINDOW_MAX, REPLAY_WINDOW_MIN};

const WORD_BITS: usize = u64::BITS as usize;

/// What the window says of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Never seen; from now on it is.
    Fresh,
    /// Seen before.
    Replayed,
    /// Too far below the highest for the window to know.
    TooOld {
        /// The highest sequence seen.
        highest: u32,
    },
}

/// Remembers exactly the newest `len` sequences up to the highest seen, one bit each. Show it only sequences whose tag
/// was good: it moves on their word.
#[derive(Debug, Clone)]
pub struct ReplayWindow {
    /// Bit `sequence mod len`. Bits of sequences that were never seen are 0, those above the highest included.
    words: Box<[u64]>,
    highest: Option<u32>,
}

impl ReplayWindow {
    /// A window of `sequences`, rounded up to a power of two in
    /// [`REPLAY_WINDOW_MIN`]`..=`[`REPLAY_WINDOW_MAX`]. The one allocation.
    #[must_use]
    pub fn new(sequences: usize) -> ReplayWindow {
        let bits = sequences.clamp(REPLAY_WINDOW_MIN, REPLAY_WINDOW_MAX).next_power_of_two();
        ReplayWindow { words: vec![0; bits / WORD_BITS].into_boxed_slice(), highest: None }
    }

    /// Sequences that the window remembers: a power of two.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a window is never empty")]
    pub fn len(&self) -> usize {
        self.words.len() * WORD_BITS
    }

    /// The highest sequence seen.
    #[must_use]
    pub fn highest(&self) -> Option<u32> {
        self.highest
    }

    /// Judges `sequence` and, when it is fresh, marks it seen. Constant work when sequences come about in order; a jump
    /// ahead clears the bits that it passes, at most the window.
    #[inline]
    pub fn admit(&mut self, sequence: u32) -> Verdict {
        match self.highest {
            None => self.highest = Some(sequence),
            Some(highest) if sequence > highest => {
                self.forget(highest.wrapping_add(1), (sequence - highest) as usize);
                self.highest = Some(sequence);
            }
            Some(highest) if (highest - sequence) as usize >= self.len() => {
                return Verdict::TooOld { highest };
            }
            Some(_) => {}
        }
        let position = sequence as usize & (self.len() - 1);
        let word = &mut self.words[position / WORD_BITS];
        let bit = 1_u64 << (position % WORD_BITS);
        if *word & bit != 0 {
            return Verdict::Replayed;
        }
        *word |= bit;
        Verdict::Fresh
    }

    /// Forgets every sequence, for the next epoch.
    pub fn clear(&mut self) {
        self.words.fill(0);
        self.highest = None;
    }

    /// Clears the bits of `count` sequences from `first` on.
    fn forget(&mut self, first: u32, count: usize) {
        if count >= self.len() {
            self.words.fill(0);
            return;
        }
        let mut position = first as usize & (self.len() - 1);
        let mut left = count;
        while left > 0 {
            let offset = position % WORD_BITS;
            let bits = left.min(WORD_BITS - offset);
            self.words[position / WORD_BITS] &= !((u64::MAX >> (WORD_BITS - bits)) << offset);
            position = (position + bits) & (self.len() - 1);
            left -= bits;
        }
    }
}
