//! 64-byte lanes: AVX-512 and GFNI.

use super::Lanes;
use crate::field::{POINTS, PRODUCTS, point};
use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

/// Multiplication by each byte as an 8×8 bit matrix.
pub(super) static MATRICES: [i64; 256] = {
    let (mut table, mut byte) = ([0; 256], 0);
    while byte < 256 {
        table[byte] = matrix(byte as u8);
        byte += 1;
    }
    table
};

/// The same by point number.
pub(super) static POINT_MATRICES: [i64; 256] = {
    let (mut table, mut index) = ([0; 256], 0);
    while index < 256 {
        table[index] = MATRICES[point(index) as usize];
        index += 1;
    }
    table
};

/// The first and the third factor of every even point, side by side: no look-up by byte stands before a butterfly.
static EVEN_POINT_MATRICES: [[i64; 2]; 32_768] = {
    let (mut table, mut index) = ([[0; 2]; 32_768], 0);
    while index < 32_768 {
        let [first, _, both, _] = POINTS[2 * index].to_le_bytes();
        table[index] = [MATRICES[first as usize], MATRICES[both as usize]];
        index += 1;
    }
    table
};

/// The second factor, which the points of one 256 share.
static CARRY_MATRICES: [i64; 256] = {
    let (mut table, mut index) = ([0; 256], 0);
    while index < 256 {
        table[index] = MATRICES[POINTS[index << 8].to_le_bytes()[1] as usize];
        index += 1;
    }
    table
};

/// The three factors of an even point.
///
/// # Safety
/// `index` is below 65,536.
#[inline(always)]
pub(super) unsafe fn wide_point(index: usize) -> [&'static i64; 3] {
    debug_assert!(index.is_multiple_of(2), "a butterfly's skew is an even point");
    // SAFETY: the caller's index, halved and by 256, is below the tables' lengths.
    unsafe {
        let [first, both] = EVEN_POINT_MATRICES.get_unchecked(index >> 1);
        [first, CARRY_MATRICES.get_unchecked(index >> 8), both]
    }
}

/// Row `i` of the matrix, which the instruction keeps in byte `7 - i`, picks the input bits that bit `i` of the product
/// is the parity of.
const fn matrix(byte: u8) -> i64 {
    let (mut matrix, mut input) = (0_u64, 0);
    while input < 8 {
        let column = PRODUCTS[byte as usize][1 << input];
        let mut output = 0;
        while output < 8 {
            matrix |= ((column as u64 >> output) & 1) << (8 * (7 - output) + input);
            output += 1;
        }
        input += 1;
    }
    matrix as i64
}

/// AVX-512 (F, BW, VL) and GFNI.
#[derive(Clone, Copy)]
pub(crate) struct Zmm;

impl Lanes for Zmm {
    type Vector = __m512i;
    type Factor = i64;
    const BYTES: usize = 64;
    const SUMS: usize = 4;
    const ROOMY: bool = true;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: the caller's CPU has the instructions.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        // SAFETY: the caller's CPU has the instructions, and 64 bytes can be read.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut u8, vector: __m512i) {
        // SAFETY: the caller's CPU has the instructions, and 64 bytes can be written.
        unsafe { _mm512_storeu_si512(to.cast(), vector) };
    }
    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the caller's CPU has the instructions.
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn add3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: the caller's CPU has the instructions.
        unsafe { _mm512_ternarylogic_epi64::<0x96>(a, b, c) }
    }
    #[inline(always)]
    unsafe fn multiply(a: __m512i, factor: &'static i64) -> __m512i {
        // SAFETY: the caller's CPU has the instructions.
        unsafe { _mm512_gf2p8affine_epi64_epi8::<0>(a, _mm512_set1_epi64(*factor)) }
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
        unsafe { wide_point(index) }
    }
}
