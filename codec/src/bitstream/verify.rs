//! Checks slices of the verifiable bitstream from nothing but their bytes.
//!
//! Promised: a slice passes only if every byte is the generator's and none is missing or too many. Pieces may be cut
//! anywhere. Refused: everything else, with the first place that is wrong.

use super::header::{SLICE_HEADER_BYTES, SliceHeader};
use super::noise;

/// A slice that is not what the generator made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The first bytes are no intact slice header.
    #[error("the slice does not begin with an intact header")]
    Header,
    /// An intact slice, but another than was expected.
    #[error("slice {slice} of access unit {au} came in the place of slice {expected_slice} of {expected_au}")]
    WrongSlice {
        /// Access unit that was expected.
        expected_au: u32,
        /// Slice that was expected.
        expected_slice: u16,
        /// Access unit that came.
        au: u32,
        /// Slice that came.
        slice: u16,
    },
    /// The slice is too short or too long.
    #[error("slice {slice} of access unit {au} has {came} bytes, not {expected}")]
    Length {
        /// Access unit as the slice's header says.
        au: u32,
        /// Slice as its header says.
        slice: u16,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that came.
        came: usize,
    },
    /// A body byte differs.
    #[error("byte {offset} of slice {slice} of access unit {au} is {came:#04x}, not {expected:#04x}")]
    Byte {
        /// Access unit as the slice's header says.
        au: u32,
        /// Slice as its header says.
        slice: u16,
        /// Offset in the slice of the first wrong byte.
        offset: usize,
        /// What should be there.
        expected: u8,
        /// What is there.
        came: u8,
    },
}

/// Which slice a verified run of bytes was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedSlice {
    /// Access unit number.
    pub au: u32,
    /// Slice index.
    pub slice: u16,
    /// Slices of that access unit.
    pub slices: u16,
    /// Whether the access unit is one of the large ones.
    pub idr: bool,
    /// Bytes of the slice.
    pub bytes: usize,
}

/// Checks slices, whose bytes may come in pieces.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Bytes of this slice so far.
    seen: usize,
    /// The header's bytes so far.
    head: [u8; SLICE_HEADER_BYTES],
    header: Option<SliceHeader>,
    mismatch: Option<Mismatch>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// A verifier that waits for a slice's first byte.
    pub fn new() -> Self {
        Self { seen: 0, head: [0; SLICE_HEADER_BYTES], header: None, mismatch: None }
    }

    /// Checks one whole slice against the access unit and slice index that it should be. Pieces that were pushed before
    /// are forgotten.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&mut self, au: u32, slice: u16, bytes: &[u8]) -> Result<VerifiedSlice, Mismatch> {
        self.reset();
        // What `push` finds, `finish` says.
        let _ = self.push(bytes);
        let verified = self.finish()?;
        if (verified.au, verified.slice) != (au, slice) {
            return Err(Mismatch::WrongSlice {
                expected_au: au,
                expected_slice: slice,
                au: verified.au,
                slice: verified.slice,
            });
        }
        Ok(verified)
    }

    /// Takes the next piece of a slice, of any length.
    ///
    /// # Errors
    /// The first thing that is wrong; later pieces of this slice are passed over with the same error.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Mismatch> {
        if self.mismatch.is_none() {
            self.mismatch = self.examine(piece).err();
        }
        self.seen += piece.len();
        self.mismatch.map_or(Ok(()), Err)
    }

    /// Ends a slice: says which it was, and is ready for the next.
    ///
    /// # Errors
    /// What was wrong with it, a missing end included.
    pub fn finish(&mut self) -> Result<VerifiedSlice, Mismatch> {
        let ended = std::mem::take(self);
        if let Some(mismatch) = ended.mismatch {
            return Err(mismatch);
        }
        let SliceHeader { au, slice, slices, idr, bytes, .. } = ended.header.ok_or(Mismatch::Header)?;
        let expected = bytes as usize;
        if ended.seen != expected {
            return Err(Mismatch::Length { au, slice, expected, came: ended.seen });
        }
        Ok(VerifiedSlice { au, slice, slices, idr, bytes: expected })
    }

    /// Forgets a slice that was begun, after a loss.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    fn examine(&mut self, piece: &[u8]) -> Result<(), Mismatch> {
        let missing = SLICE_HEADER_BYTES.saturating_sub(self.seen).min(piece.len());
        let (head, body) = piece.split_at(missing);
        if missing > 0 {
            self.head[self.seen..self.seen + missing].copy_from_slice(head);
            if self.seen + missing < SLICE_HEADER_BYTES {
                return Ok(());
            }
            self.header = Some(SliceHeader::parse(&self.head).ok_or(Mismatch::Header)?);
        }
        let Some(header) = self.header else { return Err(Mismatch::Header) };
        let SliceHeader { au, slice, bytes, .. } = header;
        let begin = self.seen + missing;
        let (expected, came) = (bytes as usize, begin + body.len());
        if came > expected {
            return Err(Mismatch::Length { au, slice, expected, came });
        }
        match noise::first_difference(header.key(), (begin - SLICE_HEADER_BYTES) as u64, body) {
            None => Ok(()),
            Some((at, expected)) => {
                Err(Mismatch::Byte { au, slice, offset: begin + at, expected, came: body[at] })
            }
        }
    }
}
