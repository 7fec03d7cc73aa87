//! A bitstream without an encoder that can be checked, and costs next to nothing to make.
//!
//! A slice is a header of 32 bytes and a body. The body is noise that the lent buffer's own seed decides, written once
//! when the buffer is made; each time it is lent anew only the header and one stamp in each kilobyte are written, which
//! name the access unit and the slice. So a sender's figures hold the reading of a slice's bytes, as an encoder's would,
//! and not the making. Where every byte is looked at, the noise is made anew for each slice from [`seed_of`], so that
//! nothing of another access unit, however short, can stand for it.
//!
//! Promises: a byte that is wrong is found by [`Check::finish`] when every byte is looked at; when only stamps are, a
//! piece of a kilobyte that is missing, stale or in another's place is found all the same. Refuses: slices that cannot
//! hold their header.

/// Bytes of the header.
pub const HEADER_BYTES: usize = 32;

/// The shortest slice: its header and one stamp.
pub const SLICE_BYTES_MIN: usize = HEADER_BYTES + STAMP_BYTES;

/// From one stamp to the next; shorter than a datagram, so that no shard of the usual length is without.
const STAMP_STRIDE: usize = 1024;

const STAMP_BYTES: usize = 8;

const MAGIC: u32 = u32::from_le_bytes(*b"PFPT");

/// Odd, so that its multiples take every value: 2⁶⁴ over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which slice a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Access-unit number.
    pub au: u32,
    /// Slice in it.
    pub slice: u16,
    /// Slices of it.
    pub slices: u16,
    /// Whether it is one of the large ones.
    pub idr: bool,
}

/// Fills a buffer with the noise of `seed`.
pub fn fill(seed: u32, buffer: &mut [u8]) {
    for (index, word) in buffer.chunks_mut(8).enumerate() {
        word.copy_from_slice(&noise(seed, index as u64).to_le_bytes()[..word.len()]);
    }
}

/// The noise that belongs to a slice alone, until 2¹⁸ access units later: 36 minutes at 120 Hz.
pub fn seed_of(au: u32, slice: u16) -> u32 {
    au << 6 | u32::from(slice & 63)
}

/// Makes the first `bytes` of a buffer, filled with the noise of `seed`, the slice of that name.
///
/// # Panics
/// If the slice is shorter than [`SLICE_BYTES_MIN`].
pub fn stamp(seed: u32, name: Name, slice: &mut [u8]) {
    let bytes = u32::try_from(slice.len()).expect("an access unit is at most 64 MiB");
    let (head, _) =
        slice.split_first_chunk_mut::<HEADER_BYTES>().expect("the caller's slice holds its header");
    *head = header(seed, name, bytes);
    for at in stamps(slice.len()) {
        slice[at..at + STAMP_BYTES].copy_from_slice(&mark(name, at).to_le_bytes());
    }
}

/// What is wrong with a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The first bytes are no header.
    #[error("the slice does not begin with an intact header")]
    Header,
    /// Another slice than was expected.
    #[error("slice {slice} of access unit {au} came in the place of slice {expected_slice} of {expected_au}")]
    Place {
        /// Access unit that came.
        au: u32,
        /// Slice that came.
        slice: u16,
        /// Access unit that was expected.
        expected_au: u32,
        /// Slice that was expected.
        expected_slice: u16,
    },
    /// Its noise is another slice's.
    #[error("slice {slice} of access unit {au} is filled with the noise of another")]
    Noise {
        /// Access unit that came.
        au: u32,
        /// Slice that came.
        slice: u16,
    },
    /// Too short or too long.
    #[error("a slice of {expected} bytes came with {came}")]
    Length {
        /// As the header says.
        expected: usize,
        /// Bytes that came.
        came: usize,
    },
    /// A byte differs.
    #[error("byte {at} is {came:#04x}, not {expected:#04x}")]
    Byte {
        /// Offset in the slice.
        at: usize,
        /// What should be there.
        expected: u8,
        /// What is there.
        came: u8,
    },
}

/// Checks a slice whose bytes may come in pieces, as long as no piece but the last ends within a header.
#[derive(Debug, Clone, Default)]
pub struct Check {
    every_byte: bool,
    seen: usize,
    begun: Option<Begun>,
    flaw: Option<Flaw>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    seed: u32,
    name: Name,
    bytes: usize,
}

impl Check {
    /// A check of every byte of slices that are filled with their own noise, or of headers and stamps only.
    pub fn new(every_byte: bool) -> Check {
        Check { every_byte, ..Check::default() }
    }

    /// Takes the next piece of a slice.
    pub fn push(&mut self, piece: &[u8]) {
        if self.flaw.is_none() {
            self.flaw = self.look(piece).err();
        }
        self.seen += piece.len();
    }

    /// Ends a slice, which should be `slice` of access unit `au`, and is ready for the next.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn finish(&mut self, au: u32, slice: u16) -> Result<Name, Flaw> {
        let ended = std::mem::replace(self, Check::new(self.every_byte));
        if let Some(flaw) = ended.flaw {
            return Err(flaw);
        }
        let Begun { name, bytes, seed } = ended.begun.ok_or(Flaw::Header)?;
        if ended.seen != bytes {
            return Err(Flaw::Length { expected: bytes, came: ended.seen });
        }
        if (name.au, name.slice) != (au, slice) {
            let (expected_au, expected_slice) = (au, slice);
            return Err(Flaw::Place { au: name.au, slice: name.slice, expected_au, expected_slice });
        }
        // The noise keeps 24 bits of its seed.
        if self.every_byte && (seed ^ seed_of(au, slice)) << 8 != 0 {
            return Err(Flaw::Noise { au, slice });
        }
        Ok(name)
    }

    /// What is wrong so far with a slice that will not be completed.
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    fn look(&mut self, piece: &[u8]) -> Result<(), Flaw> {
        if self.seen == 0 {
            self.begun = Some(parse(piece).ok_or(Flaw::Header)?);
        }
        let begun = self.begun.ok_or(Flaw::Header)?;
        let end = self.seen + piece.len();
        if end > begun.bytes {
            return Err(Flaw::Length { expected: begun.bytes, came: end });
        }
        for at in
            stamps(begun.bytes).skip_while(|at| at + STAMP_BYTES <= self.seen).take_while(|at| *at < end)
        {
            let mark = mark(begun.name, at).to_le_bytes();
            self.compare(piece, at, &mark)?;
        }
        if self.every_byte { self.look_at_noise(begun, piece) } else { Ok(()) }
    }

    /// Everything between the stamps.
    fn look_at_noise(&self, begun: Begun, piece: &[u8]) -> Result<(), Flaw> {
        let mut at = (self.seen.max(HEADER_BYTES) / 8) * 8;
        let end = self.seen + piece.len();
        while at < end {
            let is_stamp = at % STAMP_STRIDE == stamp_offset() && at + STAMP_BYTES <= begun.bytes;
            if !is_stamp {
                self.compare(piece, at, &noise(begun.seed, (at / 8) as u64).to_le_bytes())?;
            }
            at += 8;
        }
        Ok(())
    }

    /// Compares the part of `expected`, which belongs at offset `at` of the slice, that lies in `piece`.
    fn compare(&self, piece: &[u8], at: usize, expected: &[u8]) -> Result<(), Flaw> {
        let from = at.max(self.seen);
        let to = (at + expected.len()).min(self.seen + piece.len());
        if from >= to {
            return Ok(());
        }
        let (came, expected) = (&piece[from - self.seen..to - self.seen], &expected[from - at..to - at]);
        match came.iter().zip(expected).position(|(came, expected)| came != expected) {
            None => Ok(()),
            Some(offset) => {
                Err(Flaw::Byte { at: from + offset, expected: expected[offset], came: came[offset] })
            }
        }
    }
}

fn header(seed: u32, name: Name, bytes: u32) -> [u8; HEADER_BYTES] {
    let words = [
        u64::from(MAGIC) | u64::from(seed) << 32,
        u64::from(name.au) | u64::from(name.slice) << 32 | u64::from(name.slices) << 48,
        u64::from(bytes) | u64::from(name.idr) << 32,
    ];
    let mut out = [0; HEADER_BYTES];
    for (out, word) in out.chunks_exact_mut(8).zip(words.into_iter().chain([sum(&words)])) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn parse(piece: &[u8]) -> Option<Begun> {
    let (head, _) = piece.split_first_chunk::<HEADER_BYTES>()?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(head.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let [first, place, size, check] = words;
    let name = Name {
        au: place as u32,
        slice: (place >> 32) as u16,
        slices: (place >> 48) as u16,
        idr: size >> 32 & 1 == 1,
    };
    let bytes = size as u32 as usize;
    let intact = first as u32 == MAGIC && bytes >= SLICE_BYTES_MIN && check == sum(&[first, place, size]);
    intact.then_some(Begun { seed: (first >> 32) as u32, name, bytes })
}

fn sum(words: &[u64; 3]) -> u64 {
    words.iter().fold(STEP, |sum, word| mix(sum ^ word))
}

/// Where the stamps of a slice stand: behind the header, then one in each stride.
fn stamps(bytes: usize) -> impl Iterator<Item = usize> {
    (stamp_offset()..).step_by(STAMP_STRIDE).take_while(move |at| at + STAMP_BYTES <= bytes)
}

const fn stamp_offset() -> usize {
    HEADER_BYTES
}

fn mark(name: Name, at: usize) -> u64 {
    (u64::from(name.au) << 32 ^ u64::from(name.slice) << 48 ^ at as u64).wrapping_mul(STEP)
}

fn noise(seed: u32, index: u64) -> u64 {
    mix(u64::from(seed) << 40 ^ index.wrapping_mul(STEP))
}

/// Xorshift with Marsaglia's triple 13, 7, 17 ("Xorshift RNGs", 2003): one step, bijective.
fn mix(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ x << 17
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: Name = Name { au: 7, slice: 2, slices: 4, idr: false };

    fn slice(seed: u32, name: Name, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        fill(seed, &mut buffer);
        stamp(seed, name, &mut buffer);
        buffer
    }

    fn check(every_byte: bool, pieces: &[&[u8]]) -> Result<Name, Flaw> {
        let mut check = Check::new(every_byte);
        pieces.iter().for_each(|piece| check.push(piece));
        check.finish(NAME.au, NAME.slice)
    }

    proptest! {
        #[test]
        fn a_slice_passes_whole_and_in_pieces_and_no_wrong_byte_does(
            seed: u32, bytes in SLICE_BYTES_MIN..6_000, cut in HEADER_BYTES..6_000, wrong in 0usize..6_000, flip in 1u8..
        ) {
            let foreign = slice(seed, NAME, bytes);
            prop_assert_eq!(check(false, &[&foreign]), Ok(NAME));
            let own = seed_of(NAME.au, NAME.slice);
            prop_assert_eq!(check(true, &[&foreign]).is_ok(), (seed ^ own) << 8 == 0);
            let mut slice = slice(own, NAME, bytes);
            let (head, tail) = slice.split_at(cut.min(bytes));
            prop_assert_eq!(check(true, &[head, tail]), Ok(NAME));
            prop_assert_eq!(check(false, &[head, tail]), Ok(NAME));
            let wrong = wrong % bytes;
            slice[wrong] ^= flip;
            prop_assert!(check(true, &[&slice]).is_err(), "byte {wrong}");
        }
    }

    #[test]
    fn a_stale_or_misplaced_kilobyte_is_found_by_its_stamp_alone() {
        let now = slice(1, NAME, 10_000);
        let before = slice(1, Name { au: 3, ..NAME }, 10_000);
        for begin in [32, 1_408, 2_816, 8_448] {
            let mut mixed = now.clone();
            let end = (begin + 1_408).min(mixed.len());
            mixed[begin..end].copy_from_slice(&before[begin..end]);
            assert!(matches!(check(false, &[&mixed]), Err(Flaw::Byte { .. })), "{begin}");
        }
        let mut moved = now.clone();
        moved.copy_within(1_408..2_816, 2_816);
        assert!(check(false, &[&moved]).is_err());
    }

    #[test]
    fn the_shortest_stale_shard_is_found_where_every_byte_is_looked_at() {
        let made = |au: u32| slice(seed_of(au, NAME.slice), Name { au, ..NAME }, 10_000);
        for before in [made(6), made(NAME.au - 5)] {
            for begin in [64, 1_088, 5_120] {
                let mut mixed = made(NAME.au);
                mixed[begin..begin + 64].copy_from_slice(&before[begin..begin + 64]);
                assert!(check(true, &[&mixed]).is_err(), "{begin}");
            }
        }
    }

    #[test]
    fn what_is_missing_or_in_anothers_place_is_said() {
        let whole = slice(9, NAME, 5_000);
        assert_eq!(check(false, &[&whole[..4_999]]), Err(Flaw::Length { expected: 5_000, came: 4_999 }));
        assert_eq!(check(false, &[]), Err(Flaw::Header));
        let other = slice(9, Name { slice: 1, ..NAME }, 5_000);
        let said = check(false, &[&other]).unwrap_err().to_string();
        assert!(said.contains("slice 1 of access unit 7 came in the place of slice 2"), "{said}");
    }
}
