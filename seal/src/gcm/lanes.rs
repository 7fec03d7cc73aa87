//! Vectors of blocks: what the pass needs of a set of instructions, and the two sets that give it.
//!
//! Promises that every method is inlined into the pass, so that the pass's own target features hold for it. Refuses to
//! be called on a CPU without the instructions: each method is unsafe for that reason.

use super::key::BLOCK_BYTES;
use std::arch::x86_64::*;

/// Some blocks side by side.
pub(super) trait Lanes {
    type Vector: Copy;

    /// Blocks of a vector.
    const LANES: usize;
    /// Bytes of a vector.
    const BYTES: usize = Self::LANES * BLOCK_BYTES;

    /// # Safety
    /// The instructions are there.
    unsafe fn zero() -> Self::Vector;
    /// One block in every lane.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn broadcast(block: __m128i) -> Self::Vector;
    /// One block in the first lane, and zeros.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn first(block: __m128i) -> Self::Vector;
    /// # Safety
    /// The instructions are there, and [`Lanes::BYTES`] bytes can be read.
    unsafe fn load(from: *const u8) -> Self::Vector;
    /// # Safety
    /// The instructions are there, and [`Lanes::BYTES`] bytes can be written.
    unsafe fn store(to: *mut u8, vector: Self::Vector);
    /// The first `bytes` bytes, and zeros.
    ///
    /// # Safety
    /// The instructions are there; `bytes` are at most a vector's, and can be read.
    unsafe fn load_some(from: *const u8, bytes: usize) -> Self::Vector;
    /// Writes the first `bytes` bytes; returns the vector with zeros for the others.
    ///
    /// # Safety
    /// The instructions are there; `bytes` are at most a vector's, and can be written.
    unsafe fn store_some(to: *mut u8, bytes: usize, vector: Self::Vector) -> Self::Vector;
    /// # Safety
    /// The instructions are there.
    unsafe fn xor(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// # Safety
    /// The instructions are there.
    unsafe fn xor3(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// A round of the cipher.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn round(blocks: Self::Vector, key: Self::Vector) -> Self::Vector;
    /// Its last round.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn last_round(blocks: Self::Vector, key: Self::Vector) -> Self::Vector;
    /// The carry-less product of one half of each lane with one of another's.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn multiply<const HALVES: i32>(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The bytes of each lane, last first.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn reverse(blocks: Self::Vector) -> Self::Vector;
    /// The lanes' counters, each one more than the lane's before; the first is one more than it was.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn count(blocks: Self::Vector) -> Self::Vector;
    /// The counters of the next vector.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn count_on(blocks: Self::Vector) -> Self::Vector;
    /// The sum of the lanes.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn across(blocks: Self::Vector) -> __m128i;
    /// Asks for two cache lines.
    ///
    /// # Safety
    /// The instructions are there; the lines need not be.
    #[inline(always)]
    unsafe fn prefetch(from: *const u8, to: *mut u8) {
        // SAFETY: a prefetch reads and writes nothing that the program could see.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(from.cast());
            _mm_prefetch::<_MM_HINT_T0>(to.cast::<i8>());
        }
    }
}

/// Four blocks: VAES, VPCLMULQDQ and AVX-512 (F, BW).
pub(crate) enum Wide {}

/// The lowest `bytes` of a vector.
#[inline(always)]
fn mask(bytes: usize) -> u64 {
    if bytes >= 64 { u64::MAX } else { (1 << bytes) - 1 }
}

impl Lanes for Wide {
    type Vector = __m512i;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: the caller's CPU has the instructions; so below.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn broadcast(block: __m128i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_broadcast_i32x4(block) }
    }
    #[inline(always)]
    unsafe fn first(block: __m128i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_zextsi128_si512(block) }
    }
    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut u8, vector: __m512i) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), vector) }
    }
    #[inline(always)]
    unsafe fn load_some(from: *const u8, bytes: usize) -> __m512i {
        // SAFETY: the caller's; what the mask leaves out is not touched.
        unsafe { _mm512_maskz_loadu_epi8(mask(bytes), from.cast()) }
    }
    #[inline(always)]
    unsafe fn store_some(to: *mut u8, bytes: usize, vector: __m512i) -> __m512i {
        // SAFETY: the caller's; what the mask leaves out is not touched.
        unsafe {
            _mm512_mask_storeu_epi8(to.cast(), mask(bytes), vector);
            _mm512_maskz_mov_epi8(mask(bytes), vector)
        }
    }
    #[inline(always)]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_ternarylogic_epi64::<0x96>(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(blocks: __m512i, key: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_aesenc_epi128(blocks, key) }
    }
    #[inline(always)]
    unsafe fn last_round(blocks: __m512i, key: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_aesenclast_epi128(blocks, key) }
    }
    #[inline(always)]
    unsafe fn multiply<const HALVES: i32>(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_clmulepi64_epi128::<HALVES>(a, b) }
    }
    #[inline(always)]
    unsafe fn reverse(blocks: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let order = _mm512_set4_epi32(0x0001_0203, 0x0405_0607, 0x0809_0A0B, 0x0C0D_0E0F);
            _mm512_shuffle_epi8(blocks, order)
        }
    }
    #[inline(always)]
    unsafe fn count(blocks: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let steps = _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1);
            _mm512_add_epi32(blocks, steps)
        }
    }
    #[inline(always)]
    unsafe fn count_on(blocks: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_add_epi32(blocks, _mm512_set4_epi32(0, 0, 0, 4)) }
    }
    #[inline(always)]
    unsafe fn across(blocks: __m512i) -> __m128i {
        // SAFETY: the caller's.
        unsafe {
            let (low, high) = (_mm512_castsi512_si256(blocks), _mm512_extracti64x4_epi64::<1>(blocks));
            Narrow::across(_mm256_xor_si256(low, high))
        }
    }
}

/// Two blocks: VAES, VPCLMULQDQ and AVX2.
pub(crate) enum Narrow {}

impl Lanes for Narrow {
    type Vector = __m256i;
    const LANES: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: the caller's CPU has the instructions; so below.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn broadcast(block: __m128i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_broadcastsi128_si256(block) }
    }
    #[inline(always)]
    unsafe fn first(block: __m128i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_zextsi128_si256(block) }
    }
    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut u8, vector: __m256i) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_si256(to.cast(), vector) }
    }
    #[inline(always)]
    unsafe fn load_some(from: *const u8, bytes: usize) -> __m256i {
        let mut whole = [0_u8; 32];
        // SAFETY: the caller's bytes, and at most 32.
        unsafe { std::ptr::copy_nonoverlapping(from, whole.as_mut_ptr(), bytes) };
        // SAFETY: 32 bytes can be read.
        unsafe { _mm256_loadu_si256(whole.as_ptr().cast()) }
    }
    #[inline(always)]
    unsafe fn store_some(to: *mut u8, bytes: usize, vector: __m256i) -> __m256i {
        let mut whole = [0_u8; 32];
        // SAFETY: 32 bytes can be written.
        unsafe { _mm256_storeu_si256(whole.as_mut_ptr().cast(), vector) };
        // SAFETY: the caller's bytes, and at most 32.
        unsafe { std::ptr::copy_nonoverlapping(whole.as_ptr(), to, bytes) };
        whole[bytes..].fill(0);
        // SAFETY: 32 bytes can be read.
        unsafe { _mm256_loadu_si256(whole.as_ptr().cast()) }
    }
    #[inline(always)]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_xor_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn xor3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_xor_si256(_mm256_xor_si256(a, b), c) }
    }
    #[inline(always)]
    unsafe fn round(blocks: __m256i, key: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_aesenc_epi128(blocks, key) }
    }
    #[inline(always)]
    unsafe fn last_round(blocks: __m256i, key: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_aesenclast_epi128(blocks, key) }
    }
    #[inline(always)]
    unsafe fn multiply<const HALVES: i32>(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_clmulepi64_epi128::<HALVES>(a, b) }
    }
    #[inline(always)]
    unsafe fn reverse(blocks: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe {
            let order = _mm_set_epi32(0x0001_0203, 0x0405_0607, 0x0809_0A0B, 0x0C0D_0E0F);
            _mm256_shuffle_epi8(blocks, _mm256_broadcastsi128_si256(order))
        }
    }
    #[inline(always)]
    unsafe fn count(blocks: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_add_epi32(blocks, _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 1)) }
    }
    #[inline(always)]
    unsafe fn count_on(blocks: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_add_epi32(blocks, _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 2)) }
    }
    #[inline(always)]
    unsafe fn across(blocks: __m256i) -> __m128i {
        // SAFETY: the caller's.
        unsafe { _mm_xor_si128(_mm256_castsi256_si128(blocks), _mm256_extracti128_si256::<1>(blocks)) }
    }
}
