//! Which pictures the encoder may still refer to: its decoded picture buffer, as one knows it from the order of the calls.
//!
//! Promises: what is called a reference here was encoded, is within the buffer's depth, and was built on nothing that is
//! lost. Refuses to guess: where no such picture is left, the answer is an IDR, with the reason.

use std::collections::VecDeque;
use std::fmt;

/// What comes next after a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// A picture built on `picture`, which the client has: a recovery point without an IDR.
    Reference {
        /// The picture.
        picture: u64,
    },
    /// An IDR.
    Idr {
        /// Why.
        reason: IdrReason,
    },
}

/// Why a loss takes an IDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdrReason {
    /// The card's driver cannot invalidate references.
    Unable,
    /// Every picture of the buffer is lost, or built on one that is.
    NothingLeft,
    /// An IDR is due anyway.
    Due,
    /// The driver refused.
    Refused,
}

impl fmt::Display for IdrReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdrReason::Unable => "the card cannot invalidate references",
            IdrReason::NothingLeft => "no picture that the client has is left in the encoder's buffer",
            IdrReason::Due => "an IDR is due anyway",
            IdrReason::Refused => "the driver refused to invalidate a reference",
        })
    }
}

/// One picture of the buffer.
#[derive(Debug, Clone, Copy)]
struct Held {
    number: u64,
    is_sound: bool,
}

/// The decoded picture buffer, oldest first.
#[derive(Debug)]
pub(crate) struct References {
    held: VecDeque<Held>,
    depth: usize,
}

impl References {
    /// A buffer of `depth` pictures, with nothing in it.
    pub(crate) fn new(depth: u32) -> References {
        let depth = (depth as usize).max(1);
        References { held: VecDeque::with_capacity(depth + 1), depth }
    }

    /// `number` was encoded.
    pub(crate) fn push(&mut self, number: u64, is_idr: bool) {
        if is_idr {
            self.held.clear();
        }
        self.held.push_back(Held { number, is_sound: true });
        if self.held.len() > self.depth {
            self.held.pop_front();
        }
    }

    /// Nothing is left.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// What the next picture is built on; none is left where it must be an IDR.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.held.iter().rev().find(|held| held.is_sound).map(|held| held.number)
    }

    /// The client misses what was encoded from `from` on; whatever it got since was built on that. Calls `tell` with each
    /// picture that the encoder may not refer to any more, the oldest first.
    ///
    /// # Errors
    /// `tell`'s.
    pub(crate) fn lose<E>(
        &mut self,
        from: u64,
        mut tell: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Recovery, E> {
        if !self.held.iter().any(|held| held.is_sound && held.number < from) {
            return Ok(Recovery::Idr { reason: IdrReason::NothingLeft });
        }
        for held in self.held.iter_mut().filter(|held| held.is_sound && held.number >= from) {
            tell(held.number)?;
            held.is_sound = false;
        }
        Ok(match self.newest() {
            Some(picture) => Recovery::Reference { picture },
            None => Recovery::Idr { reason: IdrReason::NothingLeft },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    fn lose(references: &mut References, from: u64) -> (Recovery, Vec<u64>) {
        let mut told = Vec::new();
        let recovery = references.lose(from, |number| {
            told.push(number);
            Ok::<_, Infallible>(())
        });
        (recovery.expect("nothing fails"), told)
    }

    #[test]
    fn what_was_built_on_a_loss_is_lost_with_it() {
        let mut references = References::new(4);
        references.push(10, true);
        for number in 11..16 {
            references.push(number, false);
        }
        assert_eq!(lose(&mut references, 14), (Recovery::Reference { picture: 13 }, vec![14, 15]));
        assert_eq!(references.newest(), Some(13));
        references.push(16, false);
        assert_eq!(references.newest(), Some(16), "and on from there");
        assert_eq!(lose(&mut references, 16), (Recovery::Reference { picture: 13 }, vec![16]));
        let (recovery, told) = lose(&mut references, 12);
        assert_eq!(recovery, Recovery::Idr { reason: IdrReason::NothingLeft }, "12 has left the buffer");
        assert!(told.is_empty(), "an IDR makes it needless");
        references.push(17, true);
        assert_eq!(references.newest(), Some(17));
    }

    #[test]
    fn a_loss_of_the_future_and_one_that_is_told_twice_cost_nothing() {
        let mut references = References::new(4);
        references.push(1, true);
        references.push(2, false);
        assert_eq!(lose(&mut references, 3), (Recovery::Reference { picture: 2 }, vec![]));
        assert_eq!(lose(&mut references, 2), (Recovery::Reference { picture: 1 }, vec![2]));
        assert_eq!(lose(&mut references, 2), (Recovery::Reference { picture: 1 }, vec![]));
        references.clear();
        assert_eq!(lose(&mut references, 2).0, Recovery::Idr { reason: IdrReason::NothingLeft });
    }

    proptest! {
        /// A client that gets some pictures and reports losses late decodes every picture that is built on what it was
        /// said to be built on.
        #[test]
        fn what_the_next_picture_is_built_on_can_be_decoded(
            steps in proptest::collection::vec((any::<bool>(), 0u64..8), 1..200), depth in 1u32..8,
        ) {
            let mut references = References::new(depth);
            // The driver's own view: who was built on whom.
            let mut built_on: BTreeMap<u64, Option<u64>> = BTreeMap::new();
            let mut decodable: BTreeSet<u64> = BTreeSet::new();
            let mut idr = true;
            for (number, (arrives, age)) in steps.into_iter().enumerate() {
                let number = number as u64;
                let reference = if idr { None } else { references.newest() };
                prop_assert!(idr || reference.is_some());
                references.push(number, idr);
                built_on.insert(number, reference);
                idr = false;
                if arrives && reference.is_none_or(|reference| decodable.contains(&reference)) {
                    decodable.insert(number);
                }
                // A report of the first that it could not decode, of those not older than `age`.
                let lost = (number.saturating_sub(age)..=number).find(|number| !decodable.contains(number));
                if let Some(lost) = lost {
                    match lose(&mut references, lost).0 {
                        Recovery::Reference { picture } => {
                            prop_assert!(picture < lost);
                            prop_assert!(number - picture < u64::from(depth), "within the buffer");
                        }
                        Recovery::Idr { .. } => idr = true,
                    }
                }
            }
        }
    }
}
