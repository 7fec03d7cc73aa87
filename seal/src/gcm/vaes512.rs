//! The pass itself: four blocks a vector, sixteen a step.
//!
//! Hash values are kept with their bytes reversed, as the carry-less product wants them. In that form a product comes
//! out one bit too low, which is made good once, in the table: it holds H^i / x. The reduction folds by the polynomial
//! x^128 + x^127 + x^126 + x^121 + 1, the field's own in reversed form, 64 bits at a time (Gueron and Kounavis, "Intel
//! Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode", 2014).

use crate::limits::{AAD_BYTES_MAX, NONCE_BYTES, TAG_BYTES};
use std::arch::x86_64::*;
use zeroize::Zeroize;

const BLOCK_BYTES: usize = 16;

/// Blocks of a vector.
const LANES: usize = 4;

const VECTOR_BYTES: usize = LANES * BLOCK_BYTES;

/// Powers of the hash key: header, text and length of a datagram of Ethernet's MTU are below, so that it is reduced
/// once. 2 KiB, which stay in L1. A longer text is reduced once for so many blocks.
const POWERS: usize = 128;

const _: () = assert!(POWERS.is_multiple_of(LANES));
const _: () = assert!(AAD_BYTES_MAX <= VECTOR_BYTES && AAD_BYTES_MAX / BLOCK_BYTES + LANES <= POWERS);

/// How far before the pass its source and its place are fetched into L1: a datagram, for the next one's bytes lie beside
/// this one's on both sides.
const AHEAD_BYTES: usize = 1536;

/// What the field is reduced by, both halves.
const POLYNOMIAL: [u64; 2] = [1, 0xC2 << 56];

/// The proof that this CPU has the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave(());

impl Leave {
    pub(super) fn new() -> Option<Leave> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq");
        has.then_some(Leave(()))
    }
}

/// Round keys and powers. On the heap, so that a move leaves no copy behind.
#[repr(C, align(64))]
pub(super) struct Expanded {
    /// H^128 / x down to H / x, and three zeros: what the unused lanes of a last vector are multiplied by.
    powers: [[u8; BLOCK_BYTES]; POWERS + LANES - 1],
    rounds: [[u8; BLOCK_BYTES]; 11],
}

impl Drop for Expanded {
    fn drop(&mut self) {
        self.powers.zeroize();
        self.rounds.zeroize();
    }
}

impl Expanded {
    pub(super) fn new(key: &[u8; 16], _leave: Leave) -> Box<Expanded> {
        let mut expanded = Box::new(Expanded {
            powers: [[0; BLOCK_BYTES]; POWERS + LANES - 1],
            rounds: [[0; BLOCK_BYTES]; 11],
        });
        // SAFETY: `_leave` says that the CPU has the instructions.
        unsafe { expand(key, &mut expanded) };
        expanded
    }

    #[inline]
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        debug_assert!(plaintext.len() == out.len());
        let text = Text { from: plaintext.as_ptr(), to: out.as_mut_ptr(), bytes: out.len() };
        // SAFETY: `self` was made with a `Leave`; both slices have the text's length.
        to_bytes(unsafe { pass::<true>(self, nonce, aad, text) })
    }

    pub(super) fn seal_in_place(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        let to = text.as_mut_ptr();
        let text = Text { from: to, to, bytes: text.len() };
        // SAFETY: `self` was made with a `Leave`; each vector is read before it is written.
        to_bytes(unsafe { pass::<true>(self, nonce, aad, text) })
    }

    #[inline]
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_BYTES],
        out: &mut [u8],
    ) -> bool {
        debug_assert!(ciphertext.len() == out.len());
        let text = Text { from: ciphertext.as_ptr(), to: out.as_mut_ptr(), bytes: out.len() };
        // SAFETY: `self` was made with a `Leave`; both slices have the text's length.
        let right = to_bytes(unsafe { pass::<false>(self, nonce, aad, text) });
        // One comparison of the whole: it takes as long wherever the two differ.
        u128::from_ne_bytes(right) ^ u128::from_ne_bytes(*tag) == 0
    }
}

/// Where the text is read and written: as many bytes, the same ones or apart.
#[derive(Clone, Copy)]
struct Text {
    from: *const u8,
    to: *mut u8,
    bytes: usize,
}

#[inline]
fn to_bytes(block: __m128i) -> [u8; TAG_BYTES] {
    // SAFETY: both have 16 bytes, any of which is a value.
    unsafe { std::mem::transmute(block) }
}

/// Sums of products, lane by lane: the low, the middle two and the high quarter products.
#[derive(Clone, Copy)]
struct Sums {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Sums {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Sums {
        let zero = _mm512_setzero_si512();
        Sums { low: zero, middle: zero, high: zero }
    }

    /// Adds the product of each lane of `values`, reversed, with the power in the same lane.
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn add(&mut self, values: __m512i, powers: __m512i) {
        let (mixed, mixed_too) = (
            _mm512_clmulepi64_epi128::<0x01>(values, powers),
            _mm512_clmulepi64_epi128::<0x10>(values, powers),
        );
        self.low = _mm512_xor_si512(self.low, _mm512_clmulepi64_epi128::<0x00>(values, powers));
        self.middle = _mm512_ternarylogic_epi64::<0x96>(self.middle, mixed, mixed_too);
        self.high = _mm512_xor_si512(self.high, _mm512_clmulepi64_epi128::<0x11>(values, powers));
    }

    /// The sum over the lanes, in the field.
    #[inline]
    #[target_feature(enable = "avx512f,pclmulqdq")]
    fn reduce(self) -> __m128i {
        reduce(across(self.low), across(self.middle), across(self.high))
    }
}

/// The sum of the four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn across(lanes: __m512i) -> __m128i {
    let halves = _mm256_xor_si256(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64::<1>(lanes));
    _mm_xor_si128(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves))
}

/// `low + middle·2^64 + high·2^128` in the field: the lowest 64 bits are folded upwards, twice.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> __m128i {
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

/// What reverses the bytes of each lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn reversal() -> __m512i {
    _mm512_set4_epi32(0x0001_0203, 0x0405_0607, 0x0809_0A0B, 0x0C0D_0E0F)
}

/// Encrypts counter blocks, and adds them to the text.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt<const VECTORS: usize>(
    rounds: &[__m512i; 11],
    counters: [__m512i; VECTORS],
    text: [__m512i; VECTORS],
) -> [__m512i; VECTORS] {
    let mut blocks = counters.map(|block| _mm512_xor_si512(block, rounds[0]));
    for round in &rounds[1..10] {
        for block in &mut blocks {
            *block = _mm512_aesenc_epi128(*block, *round);
        }
    }
    // The last round ends with an addition of the key: the text is added with it.
    for (block, text) in blocks.iter_mut().zip(text) {
        *block = _mm512_aesenclast_epi128(*block, _mm512_xor_si512(rounds[10], text));
    }
    blocks
}

/// A pass at work: where it is in the text, in the counters and in the table of powers.
struct Cursor<'a> {
    rounds: [__m512i; 11],
    reversal: __m512i,
    /// The next four counter blocks, reversed.
    counters: __m512i,
    sums: Sums,
    key: &'a Expanded,
    /// Index of the next block's power.
    power: usize,
    text: Text,
    /// Bytes of the text that are done.
    done: usize,
}

impl Cursor<'_> {
    /// The powers of the next four blocks.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn powers(&self, ahead: usize) -> __m512i {
        let index = self.power + ahead;
        debug_assert!(index + LANES <= self.key.powers.len());
        // SAFETY: as the assertion says: a group has as many blocks as were counted off the end of the table.
        unsafe { _mm512_loadu_si512(self.key.powers.as_ptr().add(index).cast()) }
    }

    /// Counter blocks of the next vector.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn counters(&mut self) -> __m512i {
        let counters = _mm512_shuffle_epi8(self.counters, self.reversal);
        self.counters = _mm512_add_epi32(self.counters, _mm512_set4_epi32(0, 0, 0, LANES as i32));
        counters
    }

    /// Adds what the lanes hold, in the byte order of the text, to the hash.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
    fn hash(&mut self, values: __m512i, ahead: usize) {
        let powers = self.powers(ahead);
        self.sums.add(_mm512_shuffle_epi8(values, self.reversal), powers);
    }

    /// The next `VECTORS` whole vectors.
    ///
    /// # Safety
    /// The text has so many bytes left.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq")]
    unsafe fn step<const SEALS: bool, const VECTORS: usize>(&mut self) {
        // SAFETY: the caller's text has the bytes.
        let (from, to) = unsafe { (self.text.from.add(self.done), self.text.to.add(self.done)) };
        let mut text = [_mm512_setzero_si512(); VECTORS];
        let mut counters = text;
        for (index, vector) in text.iter_mut().enumerate() {
            // SAFETY: the caller's text has the bytes.
            *vector = unsafe { _mm512_loadu_si512(from.add(index * VECTOR_BYTES).cast()) };
            // An access unit is more than L2 holds; a prefetch reads nothing that the program could see.
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(index * VECTOR_BYTES + AHEAD_BYTES).cast());
            _mm_prefetch::<_MM_HINT_ET0>(to.wrapping_add(index * VECTOR_BYTES + AHEAD_BYTES).cast());
            counters[index] = self.counters();
        }
        let crypted = encrypt(&self.rounds, counters, text);
        for (index, vector) in crypted.into_iter().enumerate() {
            // SAFETY: the caller's text has the bytes.
            unsafe { _mm512_storeu_si512(to.add(index * VECTOR_BYTES).cast(), vector) };
        }
        let hashed = if SEALS { crypted } else { text };
        for (index, vector) in hashed.into_iter().enumerate() {
            self.hash(vector, index * LANES);
        }
        self.power += VECTORS * LANES;
        self.done += VECTORS * VECTOR_BYTES;
    }

    /// What is left when less than a vector is, and the length.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq")]
    fn finish<const SEALS: bool>(&mut self, aad_bytes: usize) {
        let rest = self.text.bytes - self.done;
        debug_assert!(rest < VECTOR_BYTES);
        if rest > 0 {
            let mask = mask(rest);
            // SAFETY: the mask's bytes are those that the text has left; no other is touched.
            let text = unsafe { _mm512_maskz_loadu_epi8(mask, self.text.from.add(self.done).cast()) };
            let counters = self.counters();
            let [crypted] = encrypt(&self.rounds, [counters], [text]);
            // SAFETY: as above.
            unsafe { _mm512_mask_storeu_epi8(self.text.to.add(self.done).cast(), mask, crypted) };
            self.hash(_mm512_maskz_mov_epi8(mask, if SEALS { crypted } else { text }), 0);
            self.power += rest.div_ceil(BLOCK_BYTES);
            self.done = self.text.bytes;
        }
        let bits = |bytes: usize| (bytes as u64 * 8).cast_signed();
        let lengths = _mm_set_epi64x(bits(aad_bytes), bits(self.text.bytes));
        debug_assert!(self.power == POWERS - 1);
        let powers = self.powers(0);
        self.sums.add(_mm512_zextsi128_si512(lengths), powers);
    }
}

/// The lowest `bytes` of a vector.
#[inline]
fn mask(bytes: usize) -> u64 {
    if bytes >= VECTOR_BYTES { u64::MAX } else { (1 << bytes) - 1 }
}

/// Encrypts or decrypts the text and hashes its ciphertext; returns the tag.
///
/// # Safety
/// The CPU has the instructions; `text` may be read and written.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq")]
unsafe fn pass<const SEALS: bool>(
    key: &Expanded,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    text: Text,
) -> __m128i {
    let rounds = key.rounds.map(|round| _mm512_broadcast_i32x4(from_bytes(round)));
    let reversal = reversal();
    let reverse = |block| _mm_shuffle_epi8(block, _mm512_castsi512_si128(reversal));
    let mut first = [0; BLOCK_BYTES];
    first[..NONCE_BYTES].copy_from_slice(&nonce);
    first[BLOCK_BYTES - 1] = 1;
    let first = from_bytes(first);

    let aad_blocks = aad.len().div_ceil(BLOCK_BYTES);
    // Blocks that are not hashed yet, and those of them that the next reduction takes in: all of them, or, for a long
    // text, whole vectors that leave the last one out.
    let mut left = aad_blocks + text.bytes.div_ceil(BLOCK_BYTES) + 1;
    let whole = |room: usize| room / LANES * LANES - LANES;
    let mut group = if left <= POWERS { left } else { aad_blocks + whole(POWERS - aad_blocks) };
    let counters = _mm512_broadcast_i32x4(reverse(first));
    let mut cursor = Cursor {
        rounds,
        reversal,
        counters: _mm512_add_epi32(
            counters,
            _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1),
        ),
        sums: Sums::zero(),
        key,
        power: POWERS - group,
        text,
        done: 0,
    };
    // SAFETY: the mask's bytes are the header's; no other is touched.
    let header = unsafe { _mm512_maskz_loadu_epi8(mask(aad.len()), aad.as_ptr().cast()) };
    cursor.hash(header, 0);
    cursor.power += aad_blocks;
    (left, group) = (left - aad_blocks, group - aad_blocks);
    loop {
        let is_last = group == left;
        let vectors = if is_last { (text.bytes - cursor.done) / VECTOR_BYTES } else { group / LANES };
        for _ in 0..vectors / 4 {
            // SAFETY: so many vectors are left: of the text, or of the group, which is shorter.
            unsafe { cursor.step::<SEALS, 4>() };
        }
        for _ in 0..vectors % 4 {
            // SAFETY: as above.
            unsafe { cursor.step::<SEALS, 1>() };
        }
        if is_last {
            break;
        }
        let hash = std::mem::replace(&mut cursor.sums, Sums::zero()).reduce();
        left -= group;
        group = if left <= POWERS { left } else { whole(POWERS) };
        cursor.power = POWERS - group;
        // Added to the next block it would be multiplied by that block's power: that is done here.
        cursor.hash(_mm512_zextsi128_si512(reverse(hash)), 0);
    }
    cursor.finish::<SEALS>(aad.len());
    _mm_xor_si128(reverse(cursor.sums.reduce()), encrypt_block(key, first))
}

/// One block through the cipher.
#[inline]
#[target_feature(enable = "aes")]
fn encrypt_block(key: &Expanded, block: __m128i) -> __m128i {
    let mut block = _mm_xor_si128(block, from_bytes(key.rounds[0]));
    for round in &key.rounds[1..10] {
        block = _mm_aesenc_si128(block, from_bytes(*round));
    }
    _mm_aesenclast_si128(block, from_bytes(key.rounds[10]))
}

#[inline]
fn from_bytes(bytes: [u8; BLOCK_BYTES]) -> __m128i {
    // SAFETY: both have 16 bytes, any of which is a value.
    unsafe { std::mem::transmute(bytes) }
}

/// Fills `expanded` with what belongs to `key` (FIPS 197 section 5.2; SP 800-38D section 6.3).
///
/// # Safety
/// The CPU has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq")]
unsafe fn expand(key: &[u8; 16], expanded: &mut Expanded) {
    let mut round = from_bytes(*key);
    expanded.rounds[0] = *key;
    macro_rules! next_round {
        ($index:literal, $constant:literal) => {
            let word = _mm_shuffle_epi32::<0xFF>(_mm_aeskeygenassist_si128::<$constant>(round));
            for _ in 0..3 {
                round = _mm_xor_si128(round, _mm_slli_si128::<4>(round));
            }
            round = _mm_xor_si128(round, word);
            expanded.rounds[$index] = to_bytes(round);
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
    let hash_key = u128::from_be_bytes(to_bytes(encrypt_block(expanded, _mm_setzero_si128())));
    // Division by x: the bits move up by one, and the one that falls out, x^0, comes back as the polynomial's.
    let polynomial = u128::from(POLYNOMIAL[1]) << 64 | u128::from(POLYNOMIAL[0]);
    let carried = (hash_key >> 127).wrapping_neg() & polynomial;
    let divided = from_bytes((hash_key << 1 ^ carried).to_le_bytes());
    let mut power = divided;
    for place in expanded.powers[..POWERS].iter_mut().rev() {
        *place = to_bytes(power);
        power = multiply(power, divided);
    }
}
