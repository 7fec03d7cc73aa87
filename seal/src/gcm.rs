//! AES-128-GCM of our own, for the CPUs that do four AES blocks at once: NIST SP 800-38D for 12-byte nonces.
//!
//! *What it is.* [`Gcm`]: a key expanded into round keys and into the powers of the hash key, and one pass over the
//! bytes that encrypts, hashes and moves them from one buffer into another. A datagram is shorter than the table of
//! powers, so that its hash is one sum of products with a single reduction at the end; no library keeps so many powers,
//! since it cannot know that all its messages are that short.
//!
//! *What it promises.* The bytes of the libraries and of the twin in sight (`tests/vectors.rs`, `tests/gcm.rs`). No branch
//! and no address depends on a key or on text: the instructions are AES rounds, carry-less products and shuffles. The
//! key is wiped on drop.
//!
//! *What it refuses.* A CPU without VAES, VPCLMULQDQ and AVX-512 ([`Gcm::is_supported`]), and headers of more than
//! [`AAD_BYTES_MAX`] bytes.

use crate::limits::{AAD_BYTES_MAX, NONCE_BYTES, TAG_BYTES};

#[cfg(target_arch = "x86_64")]
mod vaes512;

/// An expanded key.
pub(crate) struct Gcm {
    #[cfg(target_arch = "x86_64")]
    key: Box<vaes512::Expanded>,
    #[cfg(not(target_arch = "x86_64"))]
    key: std::convert::Infallible,
}

#[cfg(target_arch = "x86_64")]
impl Gcm {
    /// Whether this CPU has the instructions.
    pub(crate) fn is_supported() -> bool {
        vaes512::Leave::new().is_some()
    }

    /// Expands `key`.
    ///
    /// # Panics
    /// When the CPU lacks the instructions.
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        let leave = vaes512::Leave::new().expect("the backend was asked for on a CPU that has it");
        Gcm { key: vaes512::Expanded::new(key, leave) }
    }

    /// Encrypts `plaintext` into `out`; returns the tag.
    ///
    /// # Panics
    /// When the lengths differ, or `aad` is longer than [`AAD_BYTES_MAX`].
    #[inline]
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        assert!(plaintext.len() == out.len() && aad.len() <= AAD_BYTES_MAX, "the callers have asserted this");
        self.key.seal(nonce, aad, plaintext, out)
    }

    /// The same where the text lies.
    ///
    /// # Panics
    /// When `aad` is longer than [`AAD_BYTES_MAX`].
    pub(crate) fn seal_in_place(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        assert!(aad.len() <= AAD_BYTES_MAX, "the callers have asserted this");
        self.key.seal_in_place(nonce, aad, text)
    }

    /// Decrypts `ciphertext` into `out`; false when `tag` is not its tag.
    ///
    /// # Panics
    /// When the lengths differ, or `aad` is longer than [`AAD_BYTES_MAX`].
    #[inline]
    pub(crate) fn open(
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
        self.key.open(nonce, aad, ciphertext, tag, out)
    }
}
