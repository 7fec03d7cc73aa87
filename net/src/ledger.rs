//! Which bytes of an arena are leased: the arithmetic of a FIFO ring, without the memory.
//!
//! Promises: a place is contiguous, aligned, and overlaps no other place that is out or still read by the kernel;
//! space returns in the order it was given, whatever the order of returns; with nothing out, the next place is at the
//! start, so that a lightly used arena stays warm in the cache.
//!
//! Refuses (by `None`): a place that does not fit now. Refuses (by panic): a return of what is not out.

use std::collections::VecDeque;

use crate::limits::LEASE_ALIGN_BYTES;

/// One place that is out, or was returned before an older one.
#[derive(Debug)]
struct Entry {
    start: usize,
    /// Aligned length.
    bytes: usize,
    /// Set when it was returned: the last loan to the kernel that may be of it.
    returned: Option<u64>,
}

/// A ring of `capacity` bytes.
#[derive(Debug)]
pub(crate) struct Ledger {
    capacity: usize,
    entries: VecDeque<Entry>,
    entries_max: usize,
    /// Serial of `entries[0]`.
    oldest: u64,
    leased_bytes: usize,
}

/// A place in the ring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) serial: u64,
    pub(crate) start: usize,
}

impl Ledger {
    /// A ring of `capacity` bytes with at most `entries_max` places out.
    pub(crate) fn new(capacity: usize, entries_max: usize) -> Self {
        Self {
            capacity,
            entries: VecDeque::with_capacity(entries_max),
            entries_max,
            oldest: 0,
            leased_bytes: 0,
        }
    }

    /// Takes `bytes` (rounded up to the alignment; at least one unit). Of what the kernel was lent, all up to
    /// `settled` has come back.
    pub(crate) fn take(&mut self, bytes: usize, settled: u64) -> Option<Place> {
        self.reclaim(settled);
        let bytes = aligned(bytes)?;
        if self.entries.len() == self.entries_max {
            return None;
        }
        let start = self.room_for(bytes)?;
        let serial = self.oldest + self.entries.len() as u64;
        self.entries.push_back(Entry { start, bytes, returned: None });
        self.leased_bytes += bytes;
        Some(Place { serial, start })
    }

    /// Gives a place back, of which the kernel may still read what it was lent up to `lent`. Its space can be
    /// taken again once that and everything older is back, too.
    ///
    /// # Panics
    /// If `serial` is not out: a lease of another arena, which is a fault in the caller.
    pub(crate) fn give_back(&mut self, serial: u64, lent: u64) {
        let entry = serial
            .checked_sub(self.oldest)
            .and_then(|index| self.entries.get_mut(usize::try_from(index).ok()?))
            .filter(|entry| entry.returned.is_none())
            .expect("a lease goes back once, to the arena it came from");
        entry.returned = Some(lent);
        self.leased_bytes -= entry.bytes;
    }

    fn reclaim(&mut self, settled: u64) {
        while self.entries.front().and_then(|entry| entry.returned).is_some_and(|lent| lent <= settled) {
            self.entries.pop_front();
            self.oldest += 1;
        }
    }

    /// Bytes out, alignment included.
    pub(crate) fn leased_bytes(&self) -> usize {
        self.leased_bytes
    }

    fn room_for(&self, bytes: usize) -> Option<usize> {
        let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) else {
            return (bytes <= self.capacity).then_some(0);
        };
        let head = last.start + last.bytes;
        if head > first.start {
            // Not wrapped: what is left at the end, else what was freed at the start.
            if bytes <= self.capacity - head {
                return Some(head);
            }
            return (bytes <= first.start).then_some(0);
        }
        (bytes <= first.start - head).then_some(head)
    }
}

/// `bytes` rounded up to the alignment, one unit at least; `None` where that overflows.
fn aligned(bytes: usize) -> Option<usize> {
    bytes.max(1).checked_next_multiple_of(LEASE_ALIGN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow twin: every byte unit knows its owner; space that may be reused is found by walking.
    struct Naive {
        owners: Vec<Option<u64>>,
        /// All that is out or waits for an older one: (serial, first unit, units, returned at this loan).
        queue: Vec<(u64, usize, usize, Option<u64>)>,
        next: u64,
    }

    impl Naive {
        fn new(capacity: usize) -> Self {
            Self { owners: vec![None; capacity / LEASE_ALIGN_BYTES], queue: Vec::new(), next: 0 }
        }

        fn take(&mut self, bytes: usize, entries_max: usize, settled: u64) -> Option<(u64, usize)> {
            while self.queue.first().is_some_and(|entry| entry.3.is_some_and(|lent| lent <= settled)) {
                let (_, start, units, _) = self.queue.remove(0);
                self.owners[start..start + units].fill(None);
            }
            let units = bytes.max(1).div_ceil(LEASE_ALIGN_BYTES);
            if self.queue.len() == entries_max {
                return None;
            }
            let head = self.queue.last().map_or(0, |entry| entry.1 + entry.2);
            let free = |start: usize| {
                (start..start + units).all(|unit| self.owners.get(unit).is_some_and(Option::is_none))
            };
            let start = [head, 0].into_iter().find(|start| free(*start))?;
            self.owners[start..start + units].fill(Some(self.next));
            self.queue.push((self.next, start, units, None));
            self.next += 1;
            Some((self.next - 1, start * LEASE_ALIGN_BYTES))
        }

        fn give_back(&mut self, serial: u64, lent: u64) {
            self.queue.iter_mut().find(|entry| entry.0 == serial).unwrap().3 = Some(lent);
        }

        fn leased_bytes(&self) -> usize {
            self.queue.iter().filter(|entry| entry.3.is_none()).map(|entry| entry.2 * LEASE_ALIGN_BYTES).sum()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn equals_the_naive_ring(
            units in 1_usize..40,
            entries_max in 1_usize..12,
            steps in prop::collection::vec((0_u8..8, 0_usize..1500, any::<prop::sample::Index>()), 1..300),
        ) {
            let capacity = units * LEASE_ALIGN_BYTES;
            let mut ledger = Ledger::new(capacity, entries_max);
            let mut naive = Naive::new(capacity);
            let mut out: Vec<u64> = Vec::new();
            let (mut lent, mut settled) = (0_u64, 0_u64);
            for (kind, bytes, which) in steps {
                match kind {
                    0 => lent += 1,
                    1 => settled += which.index((lent - settled) as usize + 1) as u64,
                    2..5 if !out.is_empty() => {
                        let serial = out.swap_remove(which.index(out.len()));
                        ledger.give_back(serial, lent);
                        naive.give_back(serial, lent);
                    }
                    _ => {
                        let got = ledger.take(bytes, settled).map(|place| (place.serial, place.start));
                        prop_assert_eq!(got, naive.take(bytes, entries_max, settled));
                        out.extend(got.map(|got| got.0));
                    }
                }
                prop_assert_eq!(ledger.leased_bytes(), naive.leased_bytes());
            }
        }
    }

    #[test]
    fn what_cannot_be_aligned_is_refused() {
        assert_eq!(Ledger::new(4096, 4).take(usize::MAX, 0), None);
    }

    #[test]
    #[should_panic(expected = "goes back once")]
    fn a_second_return_panics() {
        let mut ledger = Ledger::new(4096, 4);
        let first = ledger.take(64, 0).unwrap();
        let _second = ledger.take(64, 0).unwrap();
        ledger.give_back(first.serial, 0);
        ledger.give_back(first.serial, 0);
    }
}
