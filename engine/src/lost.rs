//! What is missing, told by several threads and taken by one.
//!
//! Promises: what was told is taken, once, at the latest with the next look; several tellings become one that names all
//! of it. Refuses: to lock, and to keep an order.

use std::sync::atomic::{AtomicU64, Ordering};

use punktfunk_proto::Lost;

/// One word: the newest access unit missed plus one in its upper half, 0 when nothing is; the oldest in its lower half.
#[derive(Debug, Default)]
pub(crate) struct LostCell(AtomicU64);

impl LostCell {
    /// Adds `lost`.
    pub(crate) fn tell(&self, lost: Lost) {
        let joined = |word| Some(pack(unpack(word).map_or(lost, |told| told.and(lost))));
        // It always has a word to put there.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, joined);
    }

    /// All that was told since the last look.
    pub(crate) fn take(&self) -> Option<Lost> {
        unpack(self.0.swap(0, Ordering::AcqRel))
    }
}

/// No access unit has the last number (`encode.rs`), so that its place is free.
fn pack(lost: Lost) -> u64 {
    (u64::from(lost.to_au.min(u32::MAX - 1)) + 1) << 32 | u64::from(lost.from_au)
}

fn unpack(word: u64) -> Option<Lost> {
    // The halves of a word are 32 bits each.
    let to_au = ((word >> 32) as u32).checked_sub(1)?;
    Some(Lost { from_au: word as u32, to_au })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_told_is_taken_once() {
        let cell = LostCell::default();
        assert_eq!(cell.take(), None);
        cell.tell(Lost { from_au: 7, to_au: 9 });
        cell.tell(Lost { from_au: 5, to_au: 6 });
        assert_eq!(cell.take(), Some(Lost { from_au: 5, to_au: 9 }));
        assert_eq!(cell.take(), None);
    }

    #[test]
    fn the_ends_of_the_numbers_fit() {
        let cell = LostCell::default();
        cell.tell(Lost::all_up_to(0));
        assert_eq!(cell.take(), Some(Lost::all_up_to(0)), "AU 0 is missing");
        cell.tell(Lost { from_au: u32::MAX, to_au: u32::MAX });
        assert_eq!(cell.take(), Some(Lost { from_au: u32::MAX, to_au: u32::MAX - 1 }));
    }
}
