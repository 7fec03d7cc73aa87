//! What can seal, behind one trait: two libraries and a kernel of our own.
//!
//! *What it is.* [`Aead`]: one expanded key, sealing and opening from one buffer into another; [`AwsLc`] and [`Ring`]
//! are it in each library, [`Gcm`] in ours, [`Key`] is whichever was picked. aws-lc-rs passes over the bytes once, and has
//! no kernel for VAES without AVX-512; ring has, but only works in place, so it copies first; ours is AES-128-GCM for CPUs
//! with VAES, in two widths, and made for texts as short as a datagram.
//!
//! *What it promises.* The same bytes from all, and no allocation after the key was expanded but for what
//! `Opener::prepare_thread` describes. All wipe the expanded key on drop or keep it in memory that they wipe.
//!
//! *What it refuses.* Lengths that do not agree: the callers have asserted them.

use crate::error::BackendError;
use crate::gcm::{Gcm, Narrow, Wide};
use crate::keys::Cipher;
use crate::limits::{NONCE_BYTES, TAG_BYTES};
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

/// The environment variable that overrides the measurement's choice.
pub const BACKEND_VARIABLE: &str = "PUNKTFUNK_SEAL";

/// What seals and opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// aws-lc-rs: on a par with ring where there is AVX-512, and the slower one where there is not.
    AwsLc,
    /// ring: the faster library on CPUs with VAES and no AVX-512.
    Ring,
    /// Our own AES-128-GCM, on CPUs with VAES and AVX-512.
    Vaes512,
    /// The same on CPUs with VAES and AVX2.
    Vaes256,
}

impl Backend {
    /// All; the earlier is taken where two are equal.
    pub const ALL: [Backend; 4] = [Backend::AwsLc, Backend::Ring, Backend::Vaes512, Backend::Vaes256];

    /// Whether it can do this cipher on this CPU.
    #[must_use]
    pub fn supports(self, cipher: Cipher) -> bool {
        match self {
            Backend::AwsLc | Backend::Ring => true,
            Backend::Vaes512 => cipher == Cipher::Aes128Gcm && Gcm::<Wide>::is_supported(),
            Backend::Vaes256 => cipher == Cipher::Aes128Gcm && Gcm::<Narrow>::is_supported(),
        }
    }

    /// What the value of [`BACKEND_VARIABLE`] asks for; nothing when it is unset.
    ///
    /// # Errors
    /// The value names none of them, or one that this CPU cannot run.
    pub fn asked(variable: Option<OsString>) -> Result<Option<Backend>, BackendError> {
        let Some(value) = variable else { return Ok(None) };
        let backend: Backend = value.to_string_lossy().parse()?;
        if !Cipher::ALL.into_iter().any(|cipher| backend.supports(cipher)) {
            return Err(BackendError::Unsupported { backend });
        }
        Ok(Some(backend))
    }

    /// The name that [`BACKEND_VARIABLE`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Backend::AwsLc => "aws-lc",
            Backend::Ring => "ring",
            Backend::Vaes512 => "vaes512",
            Backend::Vaes256 => "vaes256",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = BackendError;

    /// Case and surrounding blanks do not matter.
    fn from_str(text: &str) -> Result<Self, BackendError> {
        let wanted = text.trim();
        let named = Backend::ALL.into_iter().find(|backend| backend.name().eq_ignore_ascii_case(wanted));
        named.ok_or_else(|| BackendError::Unknown { came: text.to_owned() })
    }
}

/// One expanded key of an AEAD: bytes go from one buffer into another.
pub(crate) trait Aead {
    /// Expands `key`, which has the cipher's own length.
    fn new(cipher: Cipher, key: &[u8]) -> Self;

    /// Seals `plaintext` into `out`, which is as long, and writes the tag.
    fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    );

    /// Seals `text` where it lies and writes the tag.
    fn seal_in_place(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], text: &mut [u8], tag: &mut [u8; TAG_BYTES]);

    /// Opens `ciphertext` into `out`, which is as long; false, and `out` scribbled on, when the tag is wrong.
    fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_BYTES],
        out: &mut [u8],
    ) -> bool;
}

/// A key in aws-lc-rs: one pass, from one buffer into another.
pub(crate) struct AwsLc(aws_lc_rs::aead::LessSafeKey);

impl Aead for AwsLc {
    fn new(cipher: Cipher, key: &[u8]) -> Self {
        use aws_lc_rs::aead::{AES_128_GCM, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
        let algorithm = match cipher {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).expect("the key has the algorithm's own length");
        AwsLc(LessSafeKey::new(key))
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
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, out, &[], tag)
            .expect("the lengths agree and are below the AEAD's limit");
    }

    fn seal_in_place(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_scatter(nonce, Aad::from(aad), text, &[], tag)
            .expect("the lengths agree and are below the AEAD's limit");
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
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out).is_ok()
    }
}

/// A key in ring: a copy, then a pass where the bytes lie.
pub(crate) struct Ring(ring::aead::LessSafeKey);

impl Aead for Ring {
    fn new(cipher: Cipher, key: &[u8]) -> Self {
        use ring::aead::{AES_128_GCM, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
        let algorithm = match cipher {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).expect("the key has the algorithm's own length");
        Ring(LessSafeKey::new(key))
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
        out.copy_from_slice(plaintext);
        self.seal_in_place(nonce, aad, out, tag);
    }

    #[inline]
    fn seal_in_place(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) {
        use ring::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        tag.copy_from_slice(sealed.expect("the lengths are below the AEAD's limit").as_ref());
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
        use ring::aead::{Aad, Nonce, Tag};
        out.copy_from_slice(ciphertext);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), out, 0..).is_ok()
    }
}

/// A key in what was picked.
#[expect(clippy::large_enum_variant, reason = "an end has four of them; a box would be a load a datagram")]
pub(crate) enum Key {
    AwsLc(AwsLc),
    Ring(Ring),
    Vaes512(Gcm<Wide>),
    Vaes256(Gcm<Narrow>),
}

impl Key {
    pub(crate) fn new(backend: Backend, cipher: Cipher, key: &[u8]) -> Key {
        match backend {
            Backend::AwsLc => Key::AwsLc(Aead::new(cipher, key)),
            Backend::Ring => Key::Ring(Aead::new(cipher, key)),
            Backend::Vaes512 => Key::Vaes512(Aead::new(cipher, key)),
            Backend::Vaes256 => Key::Vaes256(Aead::new(cipher, key)),
        }
    }

    #[inline]
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) {
        match self {
            Key::AwsLc(key) => key.seal(nonce, aad, plaintext, out, tag),
            Key::Ring(key) => key.seal(nonce, aad, plaintext, out, tag),
            Key::Vaes512(key) => key.seal(nonce, aad, plaintext, out, tag),
            Key::Vaes256(key) => key.seal(nonce, aad, plaintext, out, tag),
        }
    }

    pub(crate) fn seal_in_place(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) {
        match self {
            Key::AwsLc(key) => key.seal_in_place(nonce, aad, text, tag),
            Key::Ring(key) => key.seal_in_place(nonce, aad, text, tag),
            Key::Vaes512(key) => key.seal_in_place(nonce, aad, text, tag),
            Key::Vaes256(key) => key.seal_in_place(nonce, aad, text, tag),
        }
    }

    #[inline]
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_BYTES],
        out: &mut [u8],
    ) -> bool {
        match self {
            Key::AwsLc(key) => key.open(nonce, aad, ciphertext, tag, out),
            Key::Ring(key) => key.open(nonce, aad, ciphertext, tag, out),
            Key::Vaes512(key) => key.open(nonce, aad, ciphertext, tag, out),
            Key::Vaes256(key) => key.open(nonce, aad, ciphertext, tag, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_itself() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse::<Backend>().unwrap(), backend);
            let loud = format!("  {}\n", backend.name().to_uppercase());
            assert_eq!(loud.parse::<Backend>().unwrap(), backend);
        }
    }

    #[test]
    fn an_unset_variable_asks_for_nothing() {
        assert_eq!(Backend::asked(None), Ok(None));
        assert_eq!(Backend::asked(Some("ring".into())), Ok(Some(Backend::Ring)));
        assert!(Backend::asked(Some("".into())).is_err());
    }

    #[test]
    fn an_unknown_name_is_told_the_choices() {
        for wrong in ["", "awslc", "openssl", "ring,aws-lc"] {
            let said = wrong.parse::<Backend>().unwrap_err().to_string();
            for word in [BACKEND_VARIABLE, "aws-lc", "ring", &format!("{wrong:?}")] {
                assert!(said.contains(word), "{said}");
            }
        }
    }

    /// RFC 8439, section 2.8.2.
    #[test]
    fn chacha20_poly1305_is_the_rfcs() {
        let key: Vec<u8> = (0x80..0xa0).collect();
        let nonce = [0x07, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let plaintext =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
            future, sunscreen would be it.";
        let sealed = [
            0xd31a8d34648e60db7b86afbc53ef7ec2_u128,
            0xa4aded51296e08fea9e2b5a736ee62d6,
            0x3dbea45e8ca9671282fafb69da92728b,
            0x1a71de0a9e060b2905d6a5b67ecd3b36,
            0x92ddbd7f2d778b8c9803aee328091b58,
            0xfab324e4fad675945585808b4831d7bc,
            0x3ff4def08e4b7a9de576d26586cec64b,
        ];
        let mut sealed: Vec<u8> = sealed.iter().flat_map(|block| block.to_be_bytes()).collect();
        sealed.extend([0x61, 0x16]);
        let tag = 0x1ae10b594f09e26a7e902ecbd0600691_u128.to_be_bytes();
        let cipher = Cipher::ChaCha20Poly1305;
        let able: Vec<Backend> =
            Backend::ALL.into_iter().filter(|backend| backend.supports(cipher)).collect();
        assert!(able.len() >= 2, "both libraries can");
        for backend in able {
            let key = Key::new(backend, cipher, &key);
            let (mut out, mut found) = (vec![0; plaintext.len()], [0; TAG_BYTES]);
            key.seal(nonce, &aad, plaintext, &mut out, &mut found);
            assert_eq!((&out, found), (&sealed, tag), "{backend}");
            assert!(key.open(nonce, &aad, &sealed, &tag, &mut out), "{backend}");
            assert_eq!(out, plaintext, "{backend}");
            let wrong = (u128::from_be_bytes(tag) ^ 1).to_be_bytes();
            assert!(!key.open(nonce, &aad, &sealed, &wrong, &mut out), "{backend}");
        }
    }
}
