//! From the session's secret to the key and the static nonce of each epoch.

use crate::backend::{Backend, Key};
use crate::limits::{NONCE_BYTES, SECRET_BYTES, TAG_BYTES};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use zeroize::{Zeroize, Zeroizing};

/// Separates these keys from any others that a later version draws from the same secret.
const SALT: &[u8] = b"punktfunk/1 media";
/// Names what is expanded. Its length is fixed, so that the fields behind it cannot be read in two ways.
const LABEL: &[u8] = b"punktfunk/1 epoch";
const KEY_BYTES_MAX: usize = 32;

/// The session's secret, drawn from the TLS exporter by both ends. Wiped on drop.
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// Takes the exporter's output. The caller's own copy is the caller's to wipe.
    #[must_use]
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Secret {
        Secret(bytes)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The AEAD of a session's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-128-GCM: the choice wherever the CPU has AES instructions.
    Aes128Gcm,
    /// ChaCha20-Poly1305: for an end without AES instructions.
    ChaCha20Poly1305,
}

impl Cipher {
    /// Every cipher.
    pub const ALL: [Cipher; 2] = [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305];

    /// The byte that names the cipher in a key's derivation.
    #[must_use]
    pub fn as_byte(self) -> u8 {
        match self {
            Cipher::Aes128Gcm => 1,
            Cipher::ChaCha20Poly1305 => 2,
        }
    }

    /// The cipher that `byte` names.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Cipher> {
        match byte {
            1 => Some(Cipher::Aes128Gcm),
            2 => Some(Cipher::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// Bytes of a key.
    pub(crate) fn key_bytes(self) -> usize {
        match self {
            Cipher::Aes128Gcm => 16,
            Cipher::ChaCha20Poly1305 => KEY_BYTES_MAX,
        }
    }
}

/// Which way a plane's datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the host to the client.
    HostToClient,
    /// From the client to the host.
    ClientToHost,
}

impl Direction {
    fn as_byte(self) -> u8 {
        match self {
            Direction::HostToClient => 1,
            Direction::ClientToHost => 2,
        }
    }
}

/// A plane of media: its own keys, sequences and replay window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// The video stream.
    Video,
    /// The speed test's datagrams.
    Probe,
}

impl Plane {
    /// The plane's two bits on the wire, 0 to 3.
    #[must_use]
    pub fn as_bits(self) -> u8 {
        match self {
            Plane::Video => 0,
            Plane::Probe => 1,
        }
    }

    /// The plane that two bits of the wire name; none for a number that no plane has.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Plane> {
        match bits {
            0 => Some(Plane::Video),
            1 => Some(Plane::Probe),
            _ => None,
        }
    }
}

/// The keys of all epochs of one plane in one direction. Not `Clone`: two sealers from one value would use every nonce
/// twice. Make it once an end, and a fresh secret for each session.
pub struct PlaneKeys {
    root: Prk,
    cipher: Cipher,
    direction: Direction,
    plane: Plane,
    backend: Backend,
}

impl PlaneKeys {
    /// The keys of `plane` in `direction`, from the session's secret, for the first of [`Backend::ALL`].
    #[must_use]
    pub fn new(secret: &Secret, cipher: Cipher, direction: Direction, plane: Plane) -> PlaneKeys {
        let root = Salt::new(HKDF_SHA256, SALT).extract(&secret.0);
        PlaneKeys { root, cipher, direction, plane, backend: Backend::ALL[0] }
    }

    /// The same keys in another backend: not a byte on the wire changes.
    ///
    /// # Panics
    /// When the backend has not the cipher on this CPU: [`Backend::supports`] says so.
    #[must_use]
    pub fn with_backend(self, backend: Backend) -> PlaneKeys {
        assert!(backend.supports(self.cipher), "{backend} cannot do {:?} on this CPU", self.cipher);
        PlaneKeys { backend, ..self }
    }

    /// The plane that these keys seal.
    #[must_use]
    pub fn plane(&self) -> Plane {
        self.plane
    }

    /// The direction that these keys seal.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Derives the key and the static nonce of `epoch`. Allocates: aws-lc-rs keeps an expanded key on the heap.
    pub(crate) fn derive(&self, epoch: u32) -> EpochKey {
        let key_bytes = self.cipher.key_bytes();
        let mut okm = Zeroizing::new([0_u8; KEY_BYTES_MAX + NONCE_BYTES]);
        let okm = &mut okm[..key_bytes + NONCE_BYTES];
        let names = [self.cipher.as_byte(), self.direction.as_byte(), self.plane.as_bits()];
        let info: [&[u8]; 3] = [LABEL, &names, &epoch.to_le_bytes()];
        self.root
            .expand(&info, OkmBytes(okm.len()))
            .and_then(|expanded| expanded.fill(okm))
            .expect("44 bytes at most, of the 8,160 that HKDF-SHA256 can give");
        let (key, nonce) = okm.split_at(key_bytes);
        let key = Key::new(self.backend, self.cipher, key);
        EpochKey { epoch, key, nonces: Nonces::new(nonce, epoch) }
    }
}

impl std::fmt::Debug for PlaneKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlaneKeys")
            .field("cipher", &self.cipher)
            .field("direction", &self.direction)
            .field("plane", &self.plane)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

/// A length for HKDF-Expand.
struct OkmBytes(usize);

impl KeyType for OkmBytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// The key of one epoch, expanded and ready. The backend wipes it on drop.
pub(crate) struct EpochKey {
    epoch: u32,
    key: Key,
    nonces: Nonces,
}

impl EpochKey {
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Seals `plaintext` into `out`, tag last.
    #[inline]
    pub(crate) fn seal(&self, sequence: u32, aad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        let (ciphertext, tag) = split_tag(out);
        self.key.seal(self.nonces.nonce(sequence), aad, plaintext, ciphertext, tag);
    }

    /// Seals `plaintext` and zero bytes up to the tag into `out`: a copy, then a pass.
    pub(crate) fn seal_padded(&self, sequence: u32, aad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        let (text, tag) = split_tag(out);
        let (filled, padding) = text.split_at_mut(plaintext.len());
        filled.copy_from_slice(plaintext);
        padding.fill(0);
        self.key.seal_in_place(self.nonces.nonce(sequence), aad, text, tag);
    }

    /// Opens `sealed` (ciphertext, tag last) into `out`; false, and `out` scribbled on, when the tag is wrong.
    #[inline]
    pub(crate) fn open(&self, sequence: u32, aad: &[u8], sealed: &[u8], out: &mut [u8]) -> bool {
        let Some((ciphertext, tag)) = sealed.split_last_chunk::<TAG_BYTES>() else { return false };
        self.key.open(self.nonces.nonce(sequence), aad, ciphertext, tag, out)
    }
}

/// The text's room and the tag's.
#[inline]
fn split_tag(out: &mut [u8]) -> (&mut [u8], &mut [u8; TAG_BYTES]) {
    out.split_last_chunk_mut::<TAG_BYTES>().expect("the sealer asserted room for the tag")
}

/// The nonces of one epoch: the static nonce xor (0u32 ‖ epoch u32 ‖ sequence u32). Kept in the two pieces that the
/// ciphers read a nonce in; written in other pieces it costs a datagram several nanoseconds of stalled loads.
struct Nonces {
    /// The static nonce's first eight bytes with the epoch in.
    head: u64,
    /// The static nonce's last four bytes, before the sequence.
    tail: u32,
}

impl Nonces {
    fn new(static_nonce: &[u8], epoch: u32) -> Nonces {
        let (head, tail) = static_nonce.split_first_chunk::<8>().expect("a static nonce has 12 bytes");
        let head = u64::from_le_bytes(*head) ^ u64::from(epoch) << 32;
        let tail = u32::from_le_bytes(tail.try_into().expect("a static nonce has 12 bytes"));
        Nonces { head, tail }
    }

    #[inline(always)]
    fn nonce(&self, sequence: u32) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&self.head.to_le_bytes());
        nonce[8..].copy_from_slice(&(self.tail ^ sequence).to_le_bytes());
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEQUENCES_PER_EPOCH_MAX;
    use std::collections::HashSet;

    /// All single bits of both counters, every small value, and the ends.
    #[test]
    fn every_nonce_is_the_formulas_and_another() {
        let static_nonce: [u8; NONCE_BYTES] = std::array::from_fn(|i| (i * 53 + 7) as u8);
        let bits = (0..32).map(|bit| 1_u32 << bit);
        let epochs = (0..40).chain(bits.clone().filter(|bit| *bit >= 40)).chain([u32::MAX]);
        let sequences: Vec<u32> =
            (0..2_000).chain(bits.filter(|bit| *bit >= 2_000)).chain([SEQUENCES_PER_EPOCH_MAX - 1]).collect();
        let mut seen = HashSet::new();
        for epoch in epochs {
            let nonces = Nonces::new(&static_nonce, epoch);
            for &sequence in &sequences {
                let mut expected = [0; NONCE_BYTES];
                expected[4..8].copy_from_slice(&epoch.to_le_bytes());
                expected[8..].copy_from_slice(&sequence.to_le_bytes());
                expected.iter_mut().zip(static_nonce).for_each(|(byte, mask)| *byte ^= mask);
                assert_eq!(nonces.nonce(sequence), expected, "{epoch} {sequence}");
                assert!(seen.insert(expected), "{epoch} {sequence} has an earlier one's");
            }
        }
    }
}
