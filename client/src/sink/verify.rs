//! The test bitstream: every byte of every slice is checked as it comes.

use punktfunk_codec::bitstream::Verifier;
use punktfunk_engine::{Decode, DecodeOutcome, StageFault};
use punktfunk_proto::DeliveredBlock;

/// What a check came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Slices that were checked to their last byte.
    pub slices: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Slices with a wrong byte.
    pub wrong: u64,
}

/// Checks the verifiable bitstream.
#[derive(Default)]
pub struct Verify {
    verifier: Verifier,
    report: VerifyReport,
    /// The first thing wrong in the access unit.
    wrong: Option<String>,
}

impl Verify {
    /// What came of it so far.
    pub fn report(&self) -> VerifyReport {
        self.report
    }

    fn note(&mut self, mismatch: &impl ToString) {
        self.report.wrong += 1;
        self.wrong.get_or_insert_with(|| mismatch.to_string());
    }
}

impl Decode for Verify {
    fn has_references(&self) -> bool {
        false
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        let pushed = self.verifier.push(block.span.as_ref());
        if block.flags.slice_end() {
            match self.verifier.finish() {
                Ok(slice) => {
                    self.report.slices += 1;
                    self.report.bytes += slice.bytes as u64;
                }
                Err(mismatch) => self.note(&pushed.err().unwrap_or(mismatch)),
            }
        }
        if !block.flags.last_block() {
            return Ok(DecodeOutcome::Pending);
        }
        Ok(self.wrong.take().map_or(DecodeOutcome::Picture, DecodeOutcome::Refused))
    }

    fn abandon(&mut self) {
        self.verifier.reset();
        self.wrong = None;
    }
}
