//! The kernel's keys and entries on x86-64: safe to call, because a key is made only where its instructions are.

use super::key::{Expanded, to_bytes};
pub(crate) use super::lanes::{Narrow, Wide};
use super::pass::{Text, pass};
use crate::backend::Aead;
use crate::keys::Cipher;
use crate::limits::{AAD_BYTES_MAX, NONCE_BYTES, TAG_BYTES};
use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

/// A width of vectors, and the entries that are compiled for it.
pub(crate) trait Width {
    /// Whether this CPU has the instructions.
    fn is_supported() -> bool;

    /// Encrypts and hashes.
    ///
    /// # Safety
    /// The instructions are there; the text may be read and written.
    unsafe fn seal(key: &Expanded, nonce: [u8; NONCE_BYTES], aad: &[u8], text: Text) -> __m128i;

    /// Decrypts and hashes.
    ///
    /// # Safety
    /// As [`Width::seal`].
    unsafe fn open(key: &Expanded, nonce: [u8; NONCE_BYTES], aad: &[u8], text: Text) -> __m128i;
}

impl Width for Wide {
    fn is_supported() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
    }

    #[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq,aes,pclmulqdq")]
    unsafe fn seal(key: &Expanded, nonce: [u8; NONCE_BYTES], aad: &[u8], text: Text) -> __m128i {
        // SAFETY: the caller's.
        unsafe { pass::<Wide, true>(key, nonce, aad, text) }
    }

    #[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq,aes,pclmulqdq")]
    unsafe fn open(key: &Expanded, nonce: [u8; NONCE_BYTES], aad: &[u8], text: Text) -> __m128i {
        // SAFETY: the caller's.
        unsafe { pass::<Wide, false>(key, nonce, aad, text) }
    }
}

impl Width for Narrow {
    fn is_supported() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
    }

    #[target_feature(enable = "avx2,vaes,vpclmulqdq,aes,pclmulqdq")]
    unsafe fn seal(key: &Expanded, nonce: [u8; NONCE_BYTES], aad: &[u8], text: Text) -> __m128i {
        // SAFETY: the caller's.
        unsafe { pass::<Narrow, true>(key, nonce, aad, text) }
    }

    #[target_feature(enable = "avx2,vaes,vpclmulqdq,aes,pclmulqdq")]
    unsafe fn open(key: &Expanded, nonce: [u8; NONCE_BYTES], aad: &[u8], text: Text) -> __m128i {
        // SAFETY: the caller's.
        unsafe { pass::<Narrow, false>(key, nonce, aad, text) }
    }
}

/// An expanded key, and with it the proof that the CPU has the instructions of `W`.
pub(crate) struct Gcm<W> {
    key: Box<Expanded>,
    width: PhantomData<W>,
}

impl<W: Width> Gcm<W> {
    /// Whether this CPU has the instructions.
    pub(crate) fn is_supported() -> bool {
        W::is_supported()
    }
}

impl<W: Width> Aead for Gcm<W> {
    /// # Panics
    /// When the CPU lacks the instructions.
    fn new(cipher: Cipher, key: &[u8]) -> Self {
        assert!(
            cipher == Cipher::Aes128Gcm && W::is_supported(),
            "the backend supports what it is asked for"
        );
        let key = key.try_into().expect("the key has the cipher's own length");
        // SAFETY: the assertion is about more than AES and PCLMULQDQ.
        Gcm { key: unsafe { Expanded::new(key) }, width: PhantomData }
    }

    #[inline]
    fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) {
        assert!(plaintext.len() == out.len() && aad.len() <= AAD_BYTES_MAX, "the callers have asserted this");
        let text = Text { from: plaintext.as_ptr(), to: out.as_mut_ptr(), bytes: out.len() };
        // SAFETY: `new` has asserted the instructions; both slices have the text's length.
        *tag = to_bytes(unsafe { W::seal(&self.key, nonce, aad, text) });
    }

    fn seal_in_place(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) {
        assert!(aad.len() <= AAD_BYTES_MAX, "the callers have asserted this");
        let to = text.as_mut_ptr();
        let text = Text { from: to, to, bytes: text.len() };
        // SAFETY: `new` has asserted the instructions; the pass reads each vector before it writes it.
        *tag = to_bytes(unsafe { W::seal(&self.key, nonce, aad, text) });
    }

    #[inline]
    fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_BYTES],
        out: &mut [u8],
    ) -> bool {
        assert!(
            ciphertext.len() == out.len() && aad.len() <= AAD_BYTES_MAX,
            "the callers have asserted this"
        );
        let text = Text { from: ciphertext.as_ptr(), to: out.as_mut_ptr(), bytes: out.len() };
        // SAFETY: `new` has asserted the instructions; both slices have the text's length.
        let right = to_bytes(unsafe { W::open(&self.key, nonce, aad, text) });
        // One comparison of the whole: it takes as long wherever the two differ.
        u128::from_ne_bytes(right) ^ u128::from_ne_bytes(*tag) == 0
    }
}
