//! Which pictures the encoder may refer to: known as soon as a picture is handed in, since nothing but the order of the
//! calls decides it.
//!
//! Promises: a sliding window of so many pictures. A picture is built on the newest that is valid; an invalidated one takes
//! with it all that was built on it.

/// What a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Idr,
    /// Without a reference, and no restart.
    Intra,
    Predicted,
}

/// A picture in the decoded picture buffer.
#[derive(Debug, Clone, Copy)]
struct Held {
    id: u64,
    reference: Option<u64>,
    is_valid: bool,
}

/// The decoded picture buffer, oldest first.
#[derive(Debug)]
pub(crate) struct References {
    held: Vec<Held>,
    depth: usize,
    /// Whether there was a picture since the start.
    is_started: bool,
}

impl References {
    pub(crate) fn new(depth: u32) -> Self {
        Self { held: Vec::with_capacity(depth as usize), depth: depth.max(1) as usize, is_started: false }
    }

    /// Whether the picture is in the buffer, valid or not.
    pub(crate) fn holds(&self, id: u64) -> bool {
        self.held.iter().any(|held| held.id == id)
    }

    /// The next picture's kind and reference.
    pub(crate) fn take(&mut self, id: u64, is_idr: bool) -> (Kind, Option<u64>) {
        let is_idr = is_idr || !self.is_started;
        self.is_started = true;
        if is_idr {
            self.held.clear();
        }
        let reference = self.held.iter().rev().find(|held| held.is_valid).map(|held| held.id);
        if self.held.len() == self.depth {
            self.held.remove(0);
        }
        self.held.push(Held { id, reference, is_valid: true });
        let kind = match (is_idr, reference) {
            (true, _) => Kind::Idr,
            (false, None) => Kind::Intra,
            (false, Some(_)) => Kind::Predicted,
        };
        (kind, reference)
    }

    /// Marks `id` and what was built on it. Whether it is in the buffer.
    pub(crate) fn invalidate(&mut self, id: u64) -> bool {
        let Some(first) = self.held.iter().position(|held| held.id == id) else { return false };
        self.held[first].is_valid = false;
        for at in first + 1..self.held.len() {
            let reference = self.held[at].reference;
            let spoilt = self.held[first..at].iter().any(|held| Some(held.id) == reference && !held.is_valid);
            self.held[at].is_valid &= !spoilt;
        }
        true
    }

    /// Begins anew: what comes next is an IDR.
    pub(crate) fn restart(&mut self, depth: u32) {
        *self = Self::new(depth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_takes_with_it_what_was_built_on_it() {
        let mut references = References::new(4);
        assert_eq!(references.take(10, false), (Kind::Idr, None), "the first is one");
        for id in 11..15 {
            assert_eq!(references.take(id, false), (Kind::Predicted, Some(id - 1)));
        }
        assert!(!references.holds(10), "it has slid out");
        assert!(!references.invalidate(10));
        assert!(references.invalidate(13));
        assert_eq!(references.take(15, false), (Kind::Predicted, Some(12)));
        assert_eq!(references.take(16, false), (Kind::Predicted, Some(15)), "and on from there");
        assert!(references.invalidate(13), "once more, to no effect");
        assert_eq!(references.take(17, false), (Kind::Predicted, Some(16)));
        assert!(references.invalidate(15));
        assert_eq!(references.take(18, false), (Kind::Intra, None), "nothing is left");
        assert_eq!(references.take(19, true), (Kind::Idr, None));
        references.restart(2);
        assert_eq!(references.take(20, false), (Kind::Idr, None));
    }
}
