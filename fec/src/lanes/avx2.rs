//! 32-byte lanes: AVX2, with GFNI's affine maps or with look-ups by nibble.

use super::avx512::{MATRICES, POINT_MATRICES};
use super::{Lanes, avx512};
use crate::field::{PRODUCTS, point};
use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi8, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

/// AVX2 and GFNI.
#[derive(Clone, Copy)]
pub(crate) struct YmmAffine;

/// AVX2 alone.
#[derive(Clone, Copy)]
pub(crate) struct YmmShuffle;

/// Products of a byte with the sixteen low nibbles, then with the sixteen high ones.
#[repr(C, align(32))]
pub(crate) struct Nibbles([u8; 32]);

static NIBBLES: [Nibbles; 256] = {
    let (mut table, mut byte) = ([const { Nibbles([0; 32]) }; 256], 0);
    while byte < 256 {
        let mut nibble = 0;
        while nibble < 16 {
            table[byte].0[nibble] = PRODUCTS[byte][nibble];
            table[byte].0[16 + nibble] = PRODUCTS[byte][nibble << 4];
            nibble += 1;
        }
        byte += 1;
    }
    table
};

/// The same by point number.
static POINT_NIBBLES: [Nibbles; 256] = {
    let (mut table, mut index) = ([const { Nibbles([0; 32]) }; 256], 0);
    while index < 256 {
        table[index] = Nibbles(NIBBLES[point(index) as usize].0);
        index += 1;
    }
    table
};

macro_rules! moves_and_sums {
    () => {
        #[inline(always)]
        unsafe fn zero() -> __m256i {
            // SAFETY: the caller's CPU has the instructions.
            unsafe { _mm256_setzero_si256() }
        }
        #[inline(always)]
        unsafe fn load(from: *const u8) -> __m256i {
            // SAFETY: the caller's CPU has the instructions, and 32 bytes can be read.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut u8, vector: __m256i) {
            // SAFETY: the caller's CPU has the instructions, and 32 bytes can be written.
            unsafe { _mm256_storeu_si256(to.cast(), vector) };
        }
        #[inline(always)]
        unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: the caller's CPU has the instructions.
            unsafe { _mm256_xor_si256(a, b) }
        }
        #[inline(always)]
        unsafe fn add3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
            // SAFETY: the caller's CPU has the instructions.
            unsafe { _mm256_xor_si256(_mm256_xor_si256(a, b), c) }
        }
    };
}

impl Lanes for YmmAffine {
    type Vector = __m256i;
    type Factor = i64;
    const BYTES: usize = 32;
    const SUMS: usize = 2;
    const ROOMY: bool = false;

    moves_and_sums!();

    #[inline(always)]
    unsafe fn multiply(a: __m256i, factor: &'static i64) -> __m256i {
        // SAFETY: the caller's CPU has the instructions.
        unsafe { _mm256_gf2p8affine_epi64_epi8::<0>(a, _mm256_set1_epi64x(*factor)) }
    }
    #[inline(always)]
    fn prefetch(at: *const u8) {
        // SAFETY: SSE is there on every x86-64, and a prefetch reads nothing that the program could see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[inline(always)]
    fn factor(byte: u8) -> &'static i64 {
        &MATRICES[usize::from(byte)]
    }
    #[inline(always)]
    unsafe fn point(index: usize) -> &'static i64 {
        // SAFETY: the caller's index is below the table's 256.
        unsafe { POINT_MATRICES.get_unchecked(index) }
    }
    #[inline(always)]
    unsafe fn wide_point(index: usize) -> [&'static i64; 3] {
        // SAFETY: passed on.
        unsafe { avx512::wide_point(index) }
    }
}

impl Lanes for YmmShuffle {
    type Vector = __m256i;
    type Factor = Nibbles;
    const BYTES: usize = 32;
    const SUMS: usize = 2;
    const ROOMY: bool = false;

    moves_and_sums!();

    #[inline(always)]
    unsafe fn multiply(a: __m256i, factor: &'static Nibbles) -> __m256i {
        // SAFETY: the caller's CPU has the instructions; a factor is two tables of 16 bytes.
        unsafe {
            let low = _mm256_broadcastsi128_si256(_mm_loadu_si128(factor.0.as_ptr().cast()));
            let high = _mm256_broadcastsi128_si256(_mm_loadu_si128(factor.0.as_ptr().add(16).cast()));
            let nibble = _mm256_set1_epi8(0x0F);
            let of_low = _mm256_shuffle_epi8(low, _mm256_and_si256(a, nibble));
            let of_high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi64::<4>(a), nibble));
            _mm256_xor_si256(of_low, of_high)
        }
    }
    #[inline(always)]
    fn prefetch(at: *const u8) {
        // SAFETY: SSE is there on every x86-64, and a prefetch reads nothing that the program could see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[inline(always)]
    fn factor(byte: u8) -> &'static Nibbles {
        &NIBBLES[usize::from(byte)]
    }
    #[inline(always)]
    unsafe fn point(index: usize) -> &'static Nibbles {
        // SAFETY: the caller's index is below the table's 256.
        unsafe { POINT_NIBBLES.get_unchecked(index) }
    }
}
