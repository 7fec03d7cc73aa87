//! The pass itself: four vectors a step, each block encrypted, hashed and stored as it goes.
//!
//! Promises one read and one write of each byte of the text, in this order, so that it may be sealed where it lies.
//! Refuses lengths: the callers have asserted them.

use super::key::{BLOCK_BYTES, Expanded, POWERS, encrypt_block, from_bytes, reduce, to_bytes};
use super::lanes::Lanes;
use crate::limits::{AAD_BYTES_MAX, NONCE_BYTES};
use std::arch::x86_64::{__m128i, _mm_set_epi64x, _mm_xor_si128};

/// Vectors of a step: enough to cover the latency of an AES round.
const VECTORS: usize = 4;

/// How far before the pass its source and its place are fetched into L1: a datagram, for the next one's bytes lie beside
/// this one's on both sides, and an access unit is more than L2 holds.
const AHEAD_BYTES: usize = 1536;

const _: () = assert!(AAD_BYTES_MAX / BLOCK_BYTES + 2 * super::key::LANES_MAX <= POWERS);

/// Where the text is read and written: as many bytes, the same ones or apart.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub(super) from: *const u8,
    pub(super) to: *mut u8,
    pub(super) bytes: usize,
}

/// Encrypts or decrypts the text and hashes its ciphertext; returns the tag.
///
/// # Safety
/// The instructions of `L` are there; `text` may be read and written.
#[inline(always)]
pub(super) unsafe fn pass<L: Lanes, const SEALS: bool>(
    key: &Expanded,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    text: Text,
) -> __m128i {
    let mut first = [0; BLOCK_BYTES];
    first[..NONCE_BYTES].copy_from_slice(&nonce);
    first[BLOCK_BYTES - 1] = 1;
    let aad_blocks = aad.len().div_ceil(BLOCK_BYTES);
    // Blocks that are not hashed yet, and those of them that the next reduction takes in: all of them, or, for a long
    // text, whole vectors that leave the last one out.
    let mut left = aad_blocks + text.bytes.div_ceil(BLOCK_BYTES) + 1;
    let whole = |room: usize| room / L::LANES * L::LANES - L::LANES;
    let mut group = if left <= POWERS { left } else { aad_blocks + whole(POWERS - aad_blocks) };
    // SAFETY: the caller's instructions; the steps are as many as the text or the group has.
    unsafe {
        let mut cursor = Cursor::<L>::new(key, from_bytes(first), POWERS - group, text);
        cursor.hash_header(aad);
        (left, group) = (left - aad_blocks, group - aad_blocks);
        loop {
            let is_last = group == left;
            let vectors = if is_last { (text.bytes - cursor.done) / L::BYTES } else { group / L::LANES };
            for _ in 0..vectors / VECTORS {
                cursor.step::<SEALS, VECTORS>();
            }
            for _ in 0..vectors % VECTORS {
                cursor.step::<SEALS, 1>();
            }
            if is_last {
                break;
            }
            left -= group;
            group = if left <= POWERS { left } else { whole(POWERS) };
            cursor.regroup(POWERS - group);
        }
        cursor.finish::<SEALS>(aad.len());
        _mm_xor_si128(cursor.hashed(), encrypt_block(key, from_bytes(first)))
    }
}

/// Sums of products, lane by lane: the low, the middle two and the high quarter products.
struct Sums<L: Lanes> {
    low: L::Vector,
    middle: L::Vector,
    high: L::Vector,
}

/// A pass at work: where it is in the text, in the counters and in the table of powers.
struct Cursor<'a, L: Lanes> {
    rounds: [L::Vector; 11],
    /// The next vector's counter blocks, reversed.
    counters: L::Vector,
    sums: Sums<L>,
    key: &'a Expanded,
    /// Index of the next block's power.
    power: usize,
    text: Text,
    /// Bytes of the text that are done.
    done: usize,
}

impl<'a, L: Lanes> Cursor<'a, L> {
    /// `first` is the counter block before the text's, which masks the tag.
    ///
    /// # Safety
    /// The instructions are there; `text` may be read and written. So for all below.
    #[inline(always)]
    unsafe fn new(key: &'a Expanded, first: __m128i, power: usize, text: Text) -> Self {
        // SAFETY: the caller's.
        unsafe {
            // In loops, here and below: what the array's own `map` calls has not the instructions.
            let mut rounds = [L::zero(); 11];
            for (vector, round) in rounds.iter_mut().zip(key.rounds) {
                *vector = L::broadcast(from_bytes(round));
            }
            Cursor {
                rounds,
                counters: L::count(L::reverse(L::broadcast(first))),
                sums: Sums { low: L::zero(), middle: L::zero(), high: L::zero() },
                key,
                power,
                text,
                done: 0,
            }
        }
    }

    /// Adds what the lanes hold, in the byte order of the text, to the hash: each lane times its block's power.
    #[inline(always)]
    unsafe fn hash(&mut self, values: L::Vector, ahead: usize) {
        let index = self.power + ahead;
        debug_assert!(index + L::LANES <= self.key.powers.len());
        // SAFETY: as the assertion says: a group has as many blocks as were counted off the end of the table.
        let powers = unsafe { L::load(self.key.powers.as_ptr().add(index).cast()) };
        // SAFETY: the caller's.
        unsafe { self.add(L::reverse(values), powers) };
    }

    #[inline(always)]
    unsafe fn add(&mut self, values: L::Vector, powers: L::Vector) {
        let sums = &mut self.sums;
        // SAFETY: the caller's.
        unsafe {
            sums.low = L::xor(sums.low, L::multiply::<0x00>(values, powers));
            let mixed = (L::multiply::<0x01>(values, powers), L::multiply::<0x10>(values, powers));
            sums.middle = L::xor3(sums.middle, mixed.0, mixed.1);
            sums.high = L::xor(sums.high, L::multiply::<0x11>(values, powers));
        }
    }

    /// The hash of all so far, in the byte order of the text.
    #[inline(always)]
    unsafe fn hashed(&self) -> __m128i {
        let sums = &self.sums;
        // SAFETY: the caller's.
        let hash = unsafe { reduce(L::across(sums.low), L::across(sums.middle), L::across(sums.high)) };
        from_bytes(u128::from_ne_bytes(to_bytes(hash)).swap_bytes().to_ne_bytes())
    }

    #[inline(always)]
    unsafe fn hash_header(&mut self, aad: &[u8]) {
        for part in aad.chunks(L::BYTES) {
            // SAFETY: the part's bytes.
            unsafe { self.hash(L::load_some(part.as_ptr(), part.len()), 0) };
            self.power += part.len().div_ceil(BLOCK_BYTES);
        }
    }

    /// Begins the table of powers anew, at `power`. The hash so far would be added to the next block and multiplied by
    /// its power: that is done here.
    #[inline(always)]
    unsafe fn regroup(&mut self, power: usize) {
        // SAFETY: the caller's.
        unsafe {
            let hash = self.hashed();
            self.sums = Sums { low: L::zero(), middle: L::zero(), high: L::zero() };
            self.power = power;
            self.hash(L::first(hash), 0);
        }
    }

    /// Encrypts the next counter blocks, and adds them to the text.
    #[inline(always)]
    unsafe fn crypt<const COUNT: usize>(&mut self, text: [L::Vector; COUNT]) -> [L::Vector; COUNT] {
        // SAFETY: the caller's.
        unsafe {
            let mut blocks = [L::zero(); COUNT];
            for block in &mut blocks {
                *block = L::xor(L::reverse(self.counters), self.rounds[0]);
                self.counters = L::count_on(self.counters);
            }
            for round in &self.rounds[1..10] {
                for block in &mut blocks {
                    *block = L::round(*block, *round);
                }
            }
            // The last round ends with an addition of the key: the text is added with it.
            for (block, text) in blocks.iter_mut().zip(text) {
                *block = L::last_round(*block, L::xor(self.rounds[10], text));
            }
            blocks
        }
    }

    /// The next `COUNT` whole vectors, which the text must have left.
    #[inline(always)]
    unsafe fn step<const SEALS: bool, const COUNT: usize>(&mut self) {
        // SAFETY: the caller's text has the bytes.
        let (from, to) = unsafe { (self.text.from.add(self.done), self.text.to.add(self.done)) };
        // SAFETY: the caller's.
        let mut text = [unsafe { L::zero() }; COUNT];
        for (index, vector) in text.iter_mut().enumerate() {
            let at = index * L::BYTES;
            // SAFETY: the caller's text has the bytes.
            *vector = unsafe { L::load(from.add(at)) };
            if at.is_multiple_of(64) {
                let ahead = at + AHEAD_BYTES;
                // SAFETY: the caller's.
                unsafe { L::prefetch(from.wrapping_add(ahead), to.wrapping_add(ahead)) };
            }
        }
        // SAFETY: the caller's.
        let crypted = unsafe { self.crypt(text) };
        for (index, vector) in crypted.into_iter().enumerate() {
            // SAFETY: the caller's text has the bytes.
            unsafe { L::store(to.add(index * L::BYTES), vector) };
        }
        let hashed = if SEALS { crypted } else { text };
        for (index, vector) in hashed.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { self.hash(vector, index * L::LANES) };
        }
        self.power += COUNT * L::LANES;
        self.done += COUNT * L::BYTES;
    }

    /// What is left when less than a vector is, and the lengths.
    #[inline(always)]
    unsafe fn finish<const SEALS: bool>(&mut self, aad_bytes: usize) {
        let rest = self.text.bytes - self.done;
        debug_assert!(rest < L::BYTES);
        if rest > 0 {
            // SAFETY: so many bytes are left of the text.
            unsafe {
                let text = L::load_some(self.text.from.add(self.done), rest);
                let [crypted] = self.crypt([text]);
                let crypted = L::store_some(self.text.to.add(self.done), rest, crypted);
                self.hash(if SEALS { crypted } else { text }, 0);
            }
            self.power += rest.div_ceil(BLOCK_BYTES);
            self.done = self.text.bytes;
        }
        debug_assert!(self.power == POWERS - 1);
        let bits = |bytes: usize| (bytes as u64 * 8).cast_signed();
        // Reversed already, and so added as it is.
        let last = from_bytes(self.key.powers[POWERS - 1]);
        // SAFETY: the caller's.
        unsafe {
            let lengths = _mm_set_epi64x(bits(aad_bytes), bits(self.text.bytes));
            self.add(L::first(lengths), L::first(last));
        }
    }
}
