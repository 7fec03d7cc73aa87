//! The test bitstream: every byte of every slice is checked as it comes, and every slice's place.
//!
//! Promises: an access unit passes only if it is exactly the slices of one access unit of the generator's, in
//! their order, and newer than those before it. Numbers may be passed over: the host sheds, the network loses.

use punktfunk_codec::bitstream::{VerifiedSlice, Verifier};
use punktfunk_engine::{Decode, DecodeOutcome, StageFault};
use punktfunk_proto::{DeliveredBlock, Flags};

/// What a check came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Slices that are right to their last byte, in their right place.
    pub slices: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Slices with a wrong byte or in another's place, and access units that ended too soon.
    pub wrong: u64,
}

/// Checks the verifiable bitstream.
#[derive(Default)]
pub struct Verify {
    verifier: Verifier,
    report: VerifyReport,
    place: Place,
    /// The first thing wrong in the access unit.
    wrong: Option<String>,
}

/// Where in the stream the next slice belongs.
#[derive(Debug, Default)]
struct Place {
    /// Slices of this access unit that have ended, the wrong ones too.
    ended: u16,
    /// This access unit, as its first right slice named it.
    au: Option<AuName>,
    /// The newest access unit before it.
    newest_au: Option<u32>,
}

/// What all slices of an access unit say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AuName {
    au: u32,
    slices: u16,
}

impl Verify {
    /// What came of it so far.
    pub fn report(&self) -> VerifyReport {
        self.report
    }

    fn check(&mut self, bytes: &[u8], flags: Flags) -> DecodeOutcome {
        let pushed = self.verifier.push(bytes);
        if flags.slice_end() {
            let placed = match self.verifier.finish() {
                Ok(slice) => self.place.take(&slice).map(|()| slice.bytes),
                Err(mismatch) => {
                    self.place.skip();
                    Err(pushed.err().unwrap_or(mismatch).to_string())
                }
            };
            match placed {
                Ok(bytes) => {
                    self.report.slices += 1;
                    self.report.bytes += bytes as u64;
                }
                Err(wrong) => self.note(wrong),
            }
        }
        if !flags.last_block() {
            return DecodeOutcome::Pending;
        }
        if !flags.slice_end() {
            self.note("the access unit ends within a slice".into());
        } else if let Err(wrong) = self.place.check_end() {
            self.note(wrong);
        }
        self.verifier.reset();
        self.place.end_au();
        self.wrong.take().map_or(DecodeOutcome::Picture, DecodeOutcome::Refused)
    }

    fn note(&mut self, wrong: String) {
        self.report.wrong += 1;
        self.wrong.get_or_insert(wrong);
    }
}

impl Place {
    /// Takes an intact slice as the next one, or says why it is not.
    fn take(&mut self, slice: &VerifiedSlice) -> Result<(), String> {
        let (index, known) = (self.ended, self.au);
        self.skip();
        let came = AuName { au: slice.au, slices: slice.slices };
        let what = format_args!("slice {} of access unit {}", slice.slice, slice.au);
        if let Some(newest) = self.newest_au.filter(|newest| !is_newer(slice.au, *newest)) {
            return Err(format!("{what} came after access unit {newest}"));
        }
        if let Some(known) = known.filter(|known| *known != came) {
            let AuName { au, slices } = known;
            return Err(format!("{what}, which has {}, came in {au}, which has {slices}", slice.slices));
        }
        if slice.slice != index {
            return Err(format!("{what} came in the place of slice {index}"));
        }
        self.au = Some(came);
        Ok(())
    }

    /// A slice ended whose bytes do not say which it was.
    fn skip(&mut self) {
        self.ended = self.ended.saturating_add(1);
    }

    /// Says what is missing at an access unit's end. One without a right slice has been told already.
    fn check_end(&self) -> Result<(), String> {
        let Some(AuName { au, slices }) = self.au.filter(|known| known.slices != self.ended) else {
            return Ok(());
        };
        Err(format!("access unit {au} ended after {} of its {slices} slices", self.ended))
    }

    /// This access unit will not go on.
    fn end_au(&mut self) {
        self.newest_au = self.au.take().map(|known| known.au).or(self.newest_au);
        self.ended = 0;
    }
}

/// Whether one access unit's number is above another's; numbers wrap after 2³².
fn is_newer(au: u32, than: u32) -> bool {
    au.wrapping_sub(than).cast_signed() > 0
}

impl Decode for Verify {
    fn has_references(&self) -> bool {
        false
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        Ok(self.check(block.span.as_ref(), block.flags))
    }

    fn abandon(&mut self) {
        self.verifier.reset();
        self.place.end_au();
        self.wrong = None;
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_codec::bitstream::{BitstreamSpec, Generator};

    use super::*;

    const SLICES: u16 = 4;

    /// The slices of the first access units.
    fn access_units() -> Vec<Vec<Vec<u8>>> {
        let spec = BitstreamSpec::parse("bitstream:rate=1M,fps=60,slices=4,idr=none").unwrap();
        let mut generator = Generator::new(spec);
        let mut au = || {
            let plan = generator.next_au();
            let slice = |index| {
                let mut bytes = vec![0; plan.slice_bytes(index)];
                plan.fill(index, &mut bytes);
                bytes
            };
            (0..SLICES).map(slice).collect()
        };
        vec![au(), au(), au()]
    }

    /// Hands over an access unit made of these slices, each in two blocks; what it ended as.
    fn hand_over(verify: &mut Verify, slices: &[&Vec<u8>]) -> DecodeOutcome {
        let (last, others) = slices.split_last().unwrap();
        let halves = |slice: &Vec<u8>| (slice[..50].to_vec(), slice[50..].to_vec());
        for slice in others {
            let (head, tail) = halves(slice);
            assert_eq!(verify.check(&head, Flags::NONE), DecodeOutcome::Pending);
            assert_eq!(verify.check(&tail, Flags::SLICE_END), DecodeOutcome::Pending);
        }
        let (head, tail) = halves(last);
        assert_eq!(verify.check(&head, Flags::NONE), DecodeOutcome::Pending);
        verify.check(&tail, Flags::SLICE_END.with(Flags::LAST_BLOCK))
    }

    fn all(au: &[Vec<u8>]) -> Vec<&Vec<u8>> {
        au.iter().collect()
    }

    #[test]
    fn every_slice_in_its_place_passes_and_access_units_may_be_missing() {
        let aus = access_units();
        let mut verify = Verify::default();
        for au in [&aus[0], &aus[2]] {
            assert_eq!(hand_over(&mut verify, &all(au)), DecodeOutcome::Picture);
        }
        let bytes = [&aus[0], &aus[2]].iter().flat_map(|au| au.iter()).map(|slice| slice.len() as u64).sum();
        assert_eq!(verify.report(), VerifyReport { slices: 8, bytes, wrong: 0 });
    }

    #[test]
    fn an_intact_slice_in_another_place_is_wrong_and_said() {
        let aus = access_units();
        let [before, now] = [&aus[0], &aus[1]];
        let [a, b, c, d] = [0, 1, 2, 3].map(|index| &now[index]);
        let cases: [(&str, Vec<&Vec<u8>>, u64, &str); 6] = [
            ("one four times", vec![a, a, a, a], 3, "slice 0 of access unit 1 came in the place of slice 1"),
            ("two swapped", vec![a, c, b, d], 2, "slice 2 of access unit 1 came in the place of slice 1"),
            ("the one before again", all(before), 4, "slice 0 of access unit 0 came after access unit 0"),
            ("one of the one before", vec![a, &before[1], c, d], 1, "access unit 0 came after"),
            (
                "one of the next",
                vec![a, b, &aus[2][2], d],
                1,
                "slice 2 of access unit 2, which has 4, came in 1",
            ),
            ("the last missing", vec![a, b, c], 1, "access unit 1 ended after 3 of its 4 slices"),
        ];
        for (name, slices, wrong, said) in cases {
            let mut verify = Verify::default();
            assert_eq!(hand_over(&mut verify, &all(before)), DecodeOutcome::Picture);
            match hand_over(&mut verify, &slices) {
                DecodeOutcome::Refused(reason) => assert!(reason.contains(said), "{name}: {reason}"),
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(verify.report().wrong, wrong, "{name}");
            // What is wrong with one says nothing of the next.
            assert_eq!(hand_over(&mut verify, &all(&aus[2])), DecodeOutcome::Picture, "{name}");
            assert_eq!(verify.report().wrong, wrong, "{name}");
        }
    }

    #[test]
    fn a_wrong_byte_and_an_end_within_a_slice_are_said() {
        let aus = access_units();
        let mut damaged = aus[0].clone();
        damaged[1][60] ^= 1;
        let mut verify = Verify::default();
        match hand_over(&mut verify, &all(&damaged)) {
            DecodeOutcome::Refused(reason) => assert!(reason.contains("byte 60 of slice 1"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!((verify.report().slices, verify.report().wrong), (3, 1));
        match verify.check(&aus[1][0], Flags::LAST_BLOCK) {
            DecodeOutcome::Refused(reason) => assert!(reason.contains("within a slice"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(verify.report().wrong, 2);
        assert_eq!(hand_over(&mut verify, &all(&aus[2])), DecodeOutcome::Picture);
    }

    #[test]
    fn what_was_abandoned_does_not_come_again() {
        let aus = access_units();
        let mut verify = Verify::default();
        assert_eq!(verify.check(&aus[1][0], Flags::SLICE_END), DecodeOutcome::Pending);
        assert_eq!(verify.check(&aus[1][1][..50], Flags::NONE), DecodeOutcome::Pending);
        verify.abandon();
        assert_eq!(verify.report().wrong, 0, "a loss is nothing wrong");
        assert!(matches!(hand_over(&mut verify, &all(&aus[0])), DecodeOutcome::Refused(_)));
        assert_eq!(hand_over(&mut verify, &all(&aus[2])), DecodeOutcome::Picture);
    }

    #[test]
    fn numbers_wrap() {
        assert!(is_newer(0, u32::MAX) && is_newer(6, 5));
        assert!(!is_newer(5, 5) && !is_newer(u32::MAX, 0));
    }
}
