//! What took another's place between a source and the wire, told to whoever shows it.
//!
//! Promises: each is counted once for each time, by from, to and reason. Refuses nothing: there are as many kinds as this
//! folder names.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ways::Fall;

/// The falls of one stream's encoder; a clone is the same list.
#[derive(Debug, Clone, Default)]
pub struct EncoderFalls(Arc<Mutex<Vec<Fall>>>);

impl EncoderFalls {
    fn list(&self) -> MutexGuard<'_, Vec<Fall>> {
        // Counting leaves no half of anything.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one. What goes on as what it was has lost a picture, and is a fallback all the same.
    pub fn count(&self, from: &'static str, to: &'static str, reason: &'static str) {
        let mut list = self.list();
        let is_it = |fall: &&mut Fall| (fall.from, fall.to, fall.reason) == (from, to, reason);
        match list.iter_mut().find(is_it) {
            Some(fall) => fall.count += 1,
            None => list.push(Fall { from, to, reason, is_lesser: true, count: 1 }),
        }
    }

    /// Whether openh264 has taken the card's place.
    pub fn has_fallen(&self) -> bool {
        self.list().iter().any(|fall| (fall.from, fall.to) == ("nvenc", "openh264"))
    }

    /// All of them, as they stand.
    pub fn all(&self) -> Vec<Fall> {
        self.list().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_by_itself() {
        let falls = EncoderFalls::default();
        let shown = falls.clone();
        for reason in ["picture-failed", "encoder-lost", "picture-failed"] {
            falls.count("nvenc", "openh264", reason);
        }
        assert!(falls.has_fallen());
        let anew = EncoderFalls::default();
        anew.count("nvenc", "nvenc", "session-made-anew");
        assert!(!anew.has_fallen(), "it is still the card's");
        let counts: Vec<_> = shown.all().iter().map(|fall| (fall.reason, fall.count)).collect();
        assert_eq!(counts, [("picture-failed", 2), ("encoder-lost", 1)]);
    }
}
