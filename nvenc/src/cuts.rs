//! Where an access unit is cut into slices, by what the driver reports while it encodes.
//!
//! Promises: the parts are one after the other, without a gap, from the first byte to the last; what precedes the first slice
//! (parameter sets, SEI) goes with it. What a driver must not say is refused by name: offsets that do not rise or are outside,
//! more slices than there is room for, bytes that go away, a slice that changes after it was finished. NVIDIA does not write
//! down what it says of a picture that is not done: where a slice that is announced has no byte yet, it is not there yet.

use std::ops::Range;

use crate::error::Nonsense;

/// What the driver says of an access unit, so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report<'a> {
    /// Where each slice begins of which something is there.
    offsets: &'a [u32],
    /// Bytes that are written.
    bytes: u32,
    /// Whether it is all.
    is_complete: bool,
}

impl<'a> Report<'a> {
    /// What the driver says, without the slices at its end that have no byte yet. A picture that is done has none of those.
    pub(crate) fn new(offsets: &'a [u32], bytes: u32, is_complete: bool) -> Report<'a> {
        let is_there = |offset: &u32| is_complete || *offset < bytes;
        let there = offsets.iter().rposition(is_there).map_or(0, |last| last + 1);
        Report { offsets: &offsets[..there], bytes, is_complete }
    }
}

/// How far it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    slices: u32,
    end: u32,
    /// How many there are, where that is known before. Where it is not, the newest slice waits for the next to begin: it
    /// might be the last, and whoever sends it must be told so with it.
    count: Option<u32>,
}

impl Cuts {
    pub(crate) fn new(count: Option<u32>) -> Cuts {
        Cuts { slices: 0, end: 0, count }
    }

    /// How many parts there were.
    pub(crate) fn slices(&self) -> u32 {
        self.slices
    }

    /// Whether every byte of a complete access unit was given.
    #[cfg(test)]
    pub(crate) fn is_at(&self, bytes: u32) -> bool {
        self.end == bytes
    }

    /// Judges a report against itself and what was given before.
    pub(crate) fn check(&self, report: &Report<'_>) -> Result<(), Nonsense> {
        let bytes = report.bytes;
        let mut before = 0;
        for (slice, &offset) in (0..).zip(report.offsets) {
            if offset >= bytes || (slice > 0 && offset <= before) {
                return Err(Nonsense::Offset { slice, offset, before, bytes });
            }
            before = offset;
        }
        if bytes < self.end {
            return Err(Nonsense::Moved { was: self.end, now: bytes });
        }
        match self.count {
            Some(count) if count == self.slices && bytes > self.end => {
                return Err(Nonsense::Moved { was: self.end, now: bytes });
            }
            // All was given, and none of it as the last.
            Some(expected)
                if (1..expected).contains(&self.slices) && report.is_complete && bytes == self.end =>
            {
                return Err(Nonsense::Slices { got: self.slices, expected });
            }
            _ => {}
        }
        // Where the first that was not given begins, the last that was given ends.
        match report.offsets.get(self.slices as usize) {
            Some(&now) if self.slices > 0 && now != self.end => Err(Nonsense::Moved { was: self.end, now }),
            _ if report.is_complete && bytes == 0 => Err(Nonsense::Empty),
            _ => Ok(()),
        }
    }

    /// The next finished part of a report that was judged, and whether it is the last; none where there is none yet.
    pub(crate) fn next(&mut self, report: &Report<'_>) -> Option<(Range<u32>, bool)> {
        if self.end == report.bytes {
            return None;
        }
        let following = self.slices as usize + 1;
        let end = match report.offsets.get(following) {
            Some(&begin) => begin,
            // The last of all, or what has no offsets.
            None if report.is_complete => report.bytes,
            // The newest.
            None if report.offsets.len() == following && self.count.is_some() => report.bytes,
            None => return None,
        };
        let range = self.end..end;
        self.slices += 1;
        self.end = end;
        let is_last = self.count == Some(self.slices) || report.is_complete && end == report.bytes;
        Some((range, is_last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(offsets: &[u32], bytes: u32, is_complete: bool) -> Report<'_> {
        Report::new(offsets, bytes, is_complete)
    }

    fn all(cuts: &mut Cuts, report: &Report<'_>) -> Vec<Range<u32>> {
        cuts.check(report).expect("sound");
        std::iter::from_fn(|| cuts.next(report)).map(|(range, _)| range).collect()
    }

    #[test]
    fn slices_come_as_they_are_finished_and_parameter_sets_go_with_the_first() {
        let mut cuts = Cuts::new(Some(4));
        assert!(all(&mut cuts, &report(&[], 0, false)).is_empty());
        assert_eq!(all(&mut cuts, &report(&[30], 100, false)), vec![0..100]);
        assert!(all(&mut cuts, &report(&[30], 100, false)).is_empty(), "nothing new");
        assert_eq!(all(&mut cuts, &report(&[30, 100, 150], 180, false)), [100..150, 150..180]);
        assert_eq!(all(&mut cuts, &report(&[30, 100, 150, 180], 200, true)), vec![180..200]);
        assert!(cuts.is_at(200) && cuts.slices() == 4);
    }

    #[test]
    fn where_their_number_is_not_known_the_newest_waits_for_the_next() {
        let mut cuts = Cuts::new(None);
        assert!(all(&mut cuts, &report(&[0], 100, false)).is_empty());
        assert_eq!(all(&mut cuts, &report(&[0, 90], 120, false)), vec![0..90]);
        assert_eq!(all(&mut cuts, &report(&[0, 90], 130, true)), vec![90..130]);
    }

    #[test]
    fn the_last_of_a_known_count_is_known_before_the_driver_says_so() {
        let lasts = |cuts: &mut Cuts, report: &Report<'_>| {
            cuts.check(report).expect("sound");
            std::iter::from_fn(|| cuts.next(report)).map(|(_, is_last)| is_last).collect::<Vec<bool>>()
        };
        let mut cuts = Cuts::new(Some(2));
        assert_eq!(lasts(&mut cuts, &report(&[0], 40, false)), [false]);
        assert_eq!(lasts(&mut cuts, &report(&[0, 40], 90, false)), [true], "before it is complete");
        assert!(matches!(cuts.check(&report(&[0, 40, 90], 120, true)), Err(Nonsense::Moved { was: 90, .. })));
        let mut cuts = Cuts::new(None);
        assert_eq!(lasts(&mut cuts, &report(&[0, 40], 90, false)), [false]);
        assert_eq!(lasts(&mut cuts, &report(&[0, 40], 90, true)), [true]);
        let mut cuts = Cuts::new(Some(4));
        assert_eq!(lasts(&mut cuts, &report(&[0, 40], 90, true)), [false, true], "fewer than was said");
        let mut cuts = Cuts::new(Some(4));
        assert_eq!(lasts(&mut cuts, &report(&[0, 40], 90, false)), [false, false]);
        let fewer = cuts.check(&report(&[0, 40], 90, true));
        assert_eq!(fewer, Err(Nonsense::Slices { got: 2, expected: 4 }), "too late to say so of the last");
    }

    #[test]
    fn a_slice_that_is_announced_is_not_there_before_its_first_byte() {
        let mut cuts = Cuts::new(Some(3));
        assert!(all(&mut cuts, &report(&[30], 30, false)).is_empty());
        assert_eq!(all(&mut cuts, &report(&[30, 100], 100, false)), vec![0..100]);
        assert_eq!(all(&mut cuts, &report(&[30, 100, 150, 150], 150, false)), vec![100..150]);
        assert_eq!(all(&mut cuts, &report(&[30, 100, 150], 200, true)), vec![150..200]);
        let mut cuts = Cuts::new(None);
        assert!(all(&mut cuts, &report(&[0, 90], 90, false)).is_empty(), "it might be the last");
        assert_eq!(all(&mut cuts, &report(&[0, 90], 91, false)), vec![0..90]);
    }

    #[test]
    fn without_offsets_it_is_one_part() {
        let mut cuts = Cuts::new(None);
        assert_eq!(all(&mut cuts, &report(&[], 70, true)), vec![0..70]);
        assert!(cuts.is_at(70));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let fresh = Cuts::new(None);
        for (wrong, name) in [
            (report(&[10, 10], 50, false), "slice 1 at byte 10"),
            (report(&[10, 5], 50, true), "slice 1 at byte 5"),
            (report(&[50], 50, true), "slice 0 at byte 50"),
            (report(&[50, 20], 50, false), "slice 0 at byte 50"),
            (report(&[0, u32::MAX], 50, true), "slice 1 at byte 4294967295"),
            (report(&[], 0, true), "no bytes"),
        ] {
            let error = fresh.check(&wrong).expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
        let mut cuts = Cuts::new(Some(3));
        assert_eq!(all(&mut cuts, &report(&[0], 40, false)), vec![0..40]);
        for wrong in [report(&[0, 44], 60, false), report(&[0], 30, true), report(&[0, 39], 60, true)] {
            assert!(matches!(cuts.check(&wrong), Err(Nonsense::Moved { was: 40, .. })), "{wrong:?}");
        }
    }

    proptest! {
        /// Whatever is reported, the parts are a beginning of the access unit without gap or overlap, and never outside.
        #[test]
        fn parts_are_one_after_the_other(
            reports in proptest::collection::vec(
                (proptest::collection::vec(0u32..300, 0..6), 0u32..300, any::<bool>()), 1..12),
            count in proptest::option::of(1u32..8),
        ) {
            let mut cuts = Cuts::new(count);
            let mut end = 0;
            for (offsets, bytes, is_complete) in &reports {
                let report = report(offsets, *bytes, *is_complete);
                if cuts.check(&report).is_err() {
                    break;
                }
                while let Some((range, is_last)) = cuts.next(&report) {
                    let is_count = count == Some(cuts.slices());
                    prop_assert_eq!(is_last, is_count || *is_complete && range.end == *bytes);
                    prop_assert_eq!(range.start, end);
                    prop_assert!(range.end > range.start && range.end <= *bytes);
                    end = range.end;
                }
                prop_assert!(!is_complete || cuts.is_at(*bytes));
                if *is_complete {
                    break;
                }
            }
        }

        /// A sound driver, looked at in any moments, loses nothing.
        #[test]
        fn a_sound_driver_is_read_whole(
            lengths in proptest::collection::vec(1u32..50, 1..10), looks in proptest::collection::vec(0usize..10, 0..20),
            is_counted in any::<bool>(), lead in 0u32..1,
        ) {
            let begins: Vec<u32> = lengths.iter().scan(lead, |at, length| { let begin = *at; *at += length; Some(begin) }).collect();
            let total = lead + lengths.iter().sum::<u32>();
            let mut looks: Vec<usize> = looks.into_iter().map(|look| look.min(lengths.len())).collect();
            looks.sort_unstable();
            let mut cuts = Cuts::new(is_counted.then_some(lengths.len() as u32));
            let mut parts = Vec::new();
            for finished in looks {
                let bytes = begins.get(finished).copied().unwrap_or(total);
                parts.extend(all(&mut cuts, &report(&begins[..finished], bytes, false)));
            }
            parts.extend(all(&mut cuts, &report(&begins, total, true)));
            prop_assert_eq!(parts.len(), lengths.len());
            prop_assert!(cuts.is_at(total));
        }
    }
}
