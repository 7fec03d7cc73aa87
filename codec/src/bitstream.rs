//! The verifiable bitstream: access units of any rate and shape without an encoder, whose every byte can be checked.
//!
//! Promised: over every whole IDR period, and over any number of access units to within one byte, the mean rate of the
//! access units' bytes is exactly what was asked for, IDRs counted in. That is payload: redundancy, headers and
//! tags of the wire come on top. A verifier needs nothing but the bytes. Refused: shapes that cannot be, by name.
//!
//! A slice is a header of 40 bytes ([`SLICE_HEADER_BYTES`]) and a body of noise that its seed, access unit and index
//! alone decide, so that a byte that is wrong, missing or in another's place cannot pass.

mod header;
mod noise;
mod spec;
mod verify;

pub use header::SLICE_HEADER_BYTES;
pub use spec::{BitstreamSpec, SpecError};
pub use verify::{Mismatch, VerifiedSlice, Verifier};

use header::SliceHeader;

/// One access unit's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuPlan {
    number: u32,
    idr: bool,
    bytes: usize,
    slices: u16,
    seed: u64,
}

impl AuPlan {
    /// The access unit's number, from 0.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether it is one of the large, periodic ones (the first is).
    pub fn is_idr(&self) -> bool {
        self.idr
    }

    /// Bytes of all its slices.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many slices it has.
    pub fn slices(&self) -> u16 {
        self.slices
    }

    /// Bytes of slice `slice`: equal shares, to within one byte.
    ///
    /// # Panics
    /// If there is no such slice.
    pub fn slice_bytes(&self, slice: u16) -> usize {
        assert!(slice < self.slices, "slice {slice} of {}", self.slices);
        let share = |slices: u16| self.bytes as u64 * u64::from(slices) / u64::from(self.slices);
        (share(slice + 1) - share(slice)) as usize
    }

    /// Writes slice `slice` into `out`, which is exactly [`AuPlan::slice_bytes`] long.
    ///
    /// # Panics
    /// If there is no such slice or `out` has another length.
    pub fn fill(&self, slice: u16, out: &mut [u8]) {
        assert_eq!(out.len(), self.slice_bytes(slice), "the slice's own length");
        let header = SliceHeader {
            au: self.number,
            slice,
            slices: self.slices,
            idr: self.idr,
            bytes: u32::try_from(out.len()).expect("a spec bounds access units to 64 MiB"),
            seed: self.seed,
        };
        let (head, body) = out.split_at_mut(SLICE_HEADER_BYTES);
        head.copy_from_slice(&header.write());
        noise::fill(header.key(), body);
    }
}

/// Plans access units one after another.
#[derive(Debug, Clone)]
pub struct Generator {
    spec: BitstreamSpec,
    next: u32,
}

impl Generator {
    /// A generator that starts with access unit 0.
    pub fn new(spec: BitstreamSpec) -> Self {
        Self { spec, next: 0 }
    }

    /// The shape that was asked for.
    pub fn spec(&self) -> &BitstreamSpec {
        &self.spec
    }

    /// The next access unit's shape. One that is shed is simply never filled; the next has the next number all
    /// the same. Numbers wrap after 2³², more than a year at 120 Hz.
    pub fn next_au(&mut self) -> AuPlan {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let (begin, end) =
            (self.spec.bytes_before(number.into()), self.spec.bytes_before(u64::from(number) + 1));
        AuPlan {
            number,
            idr: self.spec.is_idr(number),
            bytes: (end - begin) as usize,
            slices: self.spec.slices(),
            seed: self.spec.seed(),
        }
    }
}
