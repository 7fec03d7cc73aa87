//! The 40 bytes that a slice of the verifiable bitstream begins with, little endian:
//!
//! `0` magic `PFBS` · `4` u32 version 1 · `8` u32 access unit · `12` u16 slice · `14` u16 slices · `16` u32 flags, bit 0
//! IDR · `20` u32 bytes of the slice, header included · `24` u64 seed · `32` u64 check over the 32 bytes before.

use super::noise::mix;

/// Bytes that every slice begins with, and so the shortest slice.
pub const SLICE_HEADER_BYTES: usize = 40;

const MAGIC: u32 = u32::from_le_bytes(*b"PFBS");
const VERSION: u32 = 1;
const FLAG_IDR: u32 = 1;

/// A slice's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SliceHeader {
    pub(super) au: u32,
    pub(super) slice: u16,
    pub(super) slices: u16,
    pub(super) idr: bool,
    /// Bytes of the slice, header included.
    pub(super) bytes: u32,
    pub(super) seed: u64,
}

impl SliceHeader {
    /// What the body's noise starts from: another for each seed, access unit and slice.
    pub(super) fn key(&self) -> u64 {
        mix(mix(self.seed) ^ u64::from(self.au) << 16 ^ u64::from(self.slice))
    }

    pub(super) fn write(&self) -> [u8; SLICE_HEADER_BYTES] {
        let words = [
            u64::from(MAGIC) | u64::from(VERSION) << 32,
            u64::from(self.au) | u64::from(self.slice) << 32 | u64::from(self.slices) << 48,
            u64::from(if self.idr { FLAG_IDR } else { 0 }) | u64::from(self.bytes) << 32,
            self.seed,
        ];
        let mut out = [0; SLICE_HEADER_BYTES];
        for (out, word) in out.chunks_exact_mut(8).zip(words.into_iter().chain([check(&words)])) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// `None` when the bytes are no intact header.
    pub(super) fn parse(bytes: &[u8; SLICE_HEADER_BYTES]) -> Option<Self> {
        let mut words = [0; SLICE_HEADER_BYTES / 8];
        let (pieces, _) = bytes.as_chunks();
        for (word, bytes) in words.iter_mut().zip(pieces) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [start, place, size, seed, came] = words;
        let (flags, length) = (size as u32, (size >> 32) as u32);
        let header = Self {
            au: place as u32,
            slice: (place >> 32) as u16,
            slices: (place >> 48) as u16,
            idr: flags & FLAG_IDR != 0,
            bytes: length,
            seed,
        };
        let intact = start == u64::from(MAGIC) | u64::from(VERSION) << 32
            && flags & !FLAG_IDR == 0
            && header.slice < header.slices
            && length as usize >= SLICE_HEADER_BYTES
            && came == check(&[start, place, size, seed]);
        intact.then_some(header)
    }
}

fn check(words: &[u64; 4]) -> u64 {
    words.iter().fold(0x5049_4354_5552_4553, |sum, word| mix(sum ^ word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_comes_back_and_no_flipped_bit_passes(
            au: u32, slice in 0u16..100, more in 1u16..100, idr: bool, bytes in 40u32.., seed: u64, bit in 0usize..320
        ) {
            let header = SliceHeader { au, slice, slices: slice + more, idr, bytes, seed };
            let mut wire = header.write();
            prop_assert_eq!(SliceHeader::parse(&wire), Some(header));
            wire[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SliceHeader::parse(&wire), None);
        }

        #[test]
        fn random_bytes_are_no_header(bytes: [u8; 32], tail: [u8; 8]) {
            let mut wire = [0; SLICE_HEADER_BYTES];
            wire[..32].copy_from_slice(&bytes);
            wire[32..].copy_from_slice(&tail);
            prop_assert_eq!(SliceHeader::parse(&wire), None);
        }
    }
}
