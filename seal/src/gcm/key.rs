//! An expanded key: round keys, and powers of the hash key in the form that the pass multiplies by.
//!
//! Hash values are kept with their bytes reversed, as the carry-less product wants them. In that form a product comes
//! out one bit too low, which is made good once, in the table: it holds H^i / x. The reduction folds by the polynomial
//! x^128 + x^127 + x^126 + x^121 + 1, the field's own in reversed form, 64 bits at a time (Gueron and Kounavis, "Intel
//! Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode", 2014).
//!
//! Promises that both are wiped on drop. Refuses to be made without the proof that the CPU has the instructions.

use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_clmulepi64_si128,
    _mm_set_epi64x, _mm_setzero_si128, _mm_shuffle_epi32, _mm_slli_si128, _mm_xor_si128,
};
use zeroize::Zeroize;

pub(super) const BLOCK_BYTES: usize = 16;

/// Powers of the hash key: header, text and length of a datagram of Ethernet's MTU are below, so that it is reduced
/// once. 2 KiB, which stay in L1. A longer text is reduced once for so many blocks.
pub(super) const POWERS: usize = 128;

/// Blocks of the widest vector.
pub(super) const LANES_MAX: usize = 4;

const _: () = assert!(POWERS.is_multiple_of(LANES_MAX));

/// What the field is reduced by, both halves.
const POLYNOMIAL: [u64; 2] = [1, 0xC2 << 56];

/// Round keys and powers. Kept on the heap, so that moving the key moves none of this.
#[repr(C, align(64))]
pub(crate) struct Expanded {
    /// H^128 / x down to H / x, and zeros: what the unused lanes of a last vector are multiplied by.
    pub(super) powers: [[u8; BLOCK_BYTES]; POWERS + LANES_MAX - 1],
    pub(super) rounds: [[u8; BLOCK_BYTES]; 11],
}

impl Drop for Expanded {
    fn drop(&mut self) {
        self.powers.zeroize();
        self.rounds.zeroize();
    }
}

impl Expanded {
    /// Expands `key` (FIPS 197 section 5.2; SP 800-38D section 6.3).
    ///
    /// # Safety
    /// The CPU has AES and PCLMULQDQ.
    #[target_feature(enable = "aes,pclmulqdq")]
    pub(super) unsafe fn new(key: &[u8; 16]) -> Box<Expanded> {
        let mut expanded = Box::new(Expanded {
            powers: [[0; BLOCK_BYTES]; POWERS + LANES_MAX - 1],
            rounds: [[0; BLOCK_BYTES]; 11],
        });
        expand_rounds(key, &mut expanded.rounds);
        let hash_key = u128::from_be_bytes(to_bytes(encrypt_block(&expanded, _mm_setzero_si128())));
        // Division by x: the bits move up by one, and the one that falls out, x^0, comes back as the polynomial's.
        let polynomial = u128::from(POLYNOMIAL[1]) << 64 | u128::from(POLYNOMIAL[0]);
        let carried = (hash_key >> 127).wrapping_neg() & polynomial;
        let divided = from_bytes((hash_key << 1 ^ carried).to_le_bytes());
        let mut power = divided;
        for place in expanded.powers[..POWERS].iter_mut().rev() {
            *place = to_bytes(power);
            power = multiply(power, divided);
        }
        expanded
    }
}

#[target_feature(enable = "aes")]
fn expand_rounds(key: &[u8; 16], rounds: &mut [[u8; BLOCK_BYTES]; 11]) {
    let mut round = from_bytes(*key);
    rounds[0] = *key;
    macro_rules! next_round {
        ($index:literal, $constant:literal) => {
            let word = _mm_shuffle_epi32::<0xFF>(_mm_aeskeygenassist_si128::<$constant>(round));
            for _ in 0..3 {
                round = _mm_xor_si128(round, _mm_slli_si128::<4>(round));
            }
            round = _mm_xor_si128(round, word);
            rounds[$index] = to_bytes(round);
        };
    }
    next_round!(1, 0x01);
    next_round!(2, 0x02);
    next_round!(3, 0x04);
    next_round!(4, 0x08);
    next_round!(5, 0x10);
    next_round!(6, 0x20);
    next_round!(7, 0x40);
    next_round!(8, 0x80);
    next_round!(9, 0x1B);
    next_round!(10, 0x36);
}

/// One block through the cipher.
#[inline]
#[target_feature(enable = "aes")]
pub(super) fn encrypt_block(key: &Expanded, block: __m128i) -> __m128i {
    let mut block = _mm_xor_si128(block, from_bytes(key.rounds[0]));
    for round in &key.rounds[1..10] {
        block = _mm_aesenc_si128(block, from_bytes(*round));
    }
    _mm_aesenclast_si128(block, from_bytes(key.rounds[10]))
}

/// `low + middle·2^64 + high·2^128` in the field: the lowest 64 bits are folded upwards, twice.
#[inline]
#[target_feature(enable = "pclmulqdq")]
pub(super) fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> __m128i {
    let polynomial = _mm_set_epi64x(POLYNOMIAL[1].cast_signed(), POLYNOMIAL[0].cast_signed());
    let folded = _mm_clmulepi64_si128::<0x01>(polynomial, low);
    let middle = _mm_xor_si128(middle, _mm_xor_si128(folded, _mm_shuffle_epi32::<0x4E>(low)));
    let folded = _mm_clmulepi64_si128::<0x01>(polynomial, middle);
    _mm_xor_si128(high, _mm_xor_si128(folded, _mm_shuffle_epi32::<0x4E>(middle)))
}

/// The product of a field element with one that was divided by x.
#[target_feature(enable = "pclmulqdq")]
fn multiply(a: __m128i, b: __m128i) -> __m128i {
    let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
    reduce(_mm_clmulepi64_si128::<0x00>(a, b), middle, _mm_clmulepi64_si128::<0x11>(a, b))
}

#[inline]
pub(super) fn from_bytes(bytes: [u8; BLOCK_BYTES]) -> __m128i {
    // SAFETY: both have 16 bytes, any of which is a value.
    unsafe { std::mem::transmute(bytes) }
}

#[inline]
pub(super) fn to_bytes(block: __m128i) -> [u8; BLOCK_BYTES] {
    // SAFETY: both have 16 bytes, any of which is a value.
    unsafe { std::mem::transmute(block) }
}
