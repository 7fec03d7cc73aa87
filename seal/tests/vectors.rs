//! Every sealed byte of every backend against ring, which derives the keys and seals by itself from the layout in the
//! crate's doc, and against AES-GCM put together in sight from a block cipher and GHASH.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use punktfunk_seal::{
    Backend, Cipher, Direction, EPOCH_AGE_MAX, Opener, Plane, PlaneKeys, Sealer, Secret, TAG_BYTES,
};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use std::time::Instant;

struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// The key and the static nonce of an epoch, as the crate's doc says.
fn derive(secret: [u8; 32], cipher: u8, direction: u8, plane: u8, epoch: u32) -> (Vec<u8>, [u8; 12]) {
    let key_bytes = if cipher == 1 { 16 } else { 32 };
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"punktfunk/1 media").extract(&secret);
    let mut info = b"punktfunk/1 epoch".to_vec();
    info.extend_from_slice(&[cipher, direction, plane]);
    info.extend_from_slice(&epoch.to_le_bytes());
    assert_eq!(info.len(), 24);
    let mut okm = vec![0; key_bytes + 12];
    prk.expand(&[&info], Bytes(key_bytes + 12)).unwrap().fill(&mut okm).unwrap();
    let nonce = okm[key_bytes..].try_into().unwrap();
    okm.truncate(key_bytes);
    (okm, nonce)
}

/// What ring seals: ciphertext, then tag.
fn seal_with_ring(
    cipher: u8,
    (key, static_nonce): &(Vec<u8>, [u8; 12]),
    place: (u32, u32),
    aad: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let algorithm = if cipher == 1 { &aead::AES_128_GCM } else { &aead::CHACHA20_POLY1305 };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    let nonce = nonce_of(static_nonce, place);
    let mut sealed = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).unwrap();
    sealed
}

/// Bytes of no pattern that a block cipher would hide.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + i / 251).to_le_bytes()[0]).collect()
}

/// AES-128-GCM as NIST SP 800-38D section 7.1 has it, for a nonce of 12 bytes: counter mode from block 2 on, and the
/// hash of everything masked with block 1.
fn seal_in_sight(key: &[u8], nonce: [u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let cipher = Aes128::new_from_slice(key).unwrap();
    let encrypt = |input: [u8; 16]| {
        let mut block = input.into();
        cipher.encrypt_block(&mut block);
        <[u8; 16]>::from(block)
    };
    let counter_block = |counter: u32| {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&nonce);
        block[12..].copy_from_slice(&counter.to_be_bytes());
        encrypt(block)
    };
    let mut sealed = plaintext.to_vec();
    for (chunk, counter) in sealed.chunks_mut(16).zip(2..) {
        chunk.iter_mut().zip(counter_block(counter)).for_each(|(byte, key)| *byte ^= key);
    }
    let bits = |bytes: &[u8]| (bytes.len() as u64 * 8).to_be_bytes();
    let mut lengths = [0; 16];
    lengths[..8].copy_from_slice(&bits(aad));
    lengths[8..].copy_from_slice(&bits(&sealed));
    let mut hash = GHash::new(&encrypt([0; 16]).into());
    hash.update_padded(aad);
    hash.update_padded(&sealed);
    hash.update_padded(&lengths);
    let hash = hash.finalize();
    sealed.extend(hash.iter().zip(counter_block(1)).map(|(byte, mask)| byte ^ mask));
    sealed
}

/// The nonce of a datagram, from the layout in the crate's doc.
fn nonce_of(static_nonce: &[u8; 12], (epoch, sequence): (u32, u32)) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..8].copy_from_slice(&epoch.to_le_bytes());
    nonce[8..].copy_from_slice(&sequence.to_le_bytes());
    nonce.iter_mut().zip(static_nonce).for_each(|(byte, mask)| *byte ^= mask);
    nonce
}

const CIPHERS: [(Cipher, u8); 2] = [(Cipher::Aes128Gcm, 1), (Cipher::ChaCha20Poly1305, 2)];
const DIRECTIONS: [(Direction, u8); 2] = [(Direction::HostToClient, 1), (Direction::ClientToHost, 2)];
const PLANES: [(Plane, u8); 2] = [(Plane::Video, 0), (Plane::Probe, 1)];

/// Bytes of plaintext and of padding: none, odd ends, a shard, more than any datagram.
const LENGTHS: [(usize, usize); 7] = [(0, 0), (1, 0), (1408, 0), (1400, 8), (0, 1408), (9001, 0), (17, 15)];

#[test]
fn every_byte_is_what_ring_seals() {
    let secret: [u8; 32] = std::array::from_fn(|i| i.to_le_bytes()[0].wrapping_mul(37));
    for (cipher, cipher_byte) in CIPHERS {
        for (direction, direction_byte) in DIRECTIONS {
            for (plane, plane_bits) in PLANES {
                for backend in able(cipher) {
                    let keys = || {
                        PlaneKeys::new(&Secret::new(secret), cipher, direction, plane).with_backend(backend)
                    };
                    let derive = |epoch| derive(secret, cipher_byte, direction_byte, plane_bits, epoch);
                    check_epochs(&keys, cipher, derive);
                }
            }
        }
    }
}

/// What can do the cipher on this CPU.
fn able(cipher: Cipher) -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(move |backend| backend.supports(cipher))
}

/// Six epochs of one sealer, each length in each, and opened again by every backend.
fn check_epochs(keys: &dyn Fn() -> PlaneKeys, cipher: Cipher, derive: impl Fn(u32) -> (Vec<u8>, [u8; 12])) {
    let mut now = Instant::now();
    let mut sealer = Sealer::new(keys(), now);
    let mut openers: Vec<_> =
        able(cipher).map(|backend| Opener::new(keys().with_backend(backend), 64)).collect();
    for epoch in 0..6 {
        let keys = derive(epoch);
        for (sequence, (length, padding)) in LENGTHS.into_iter().enumerate() {
            let (plaintext, aad) = (pattern(length), pattern(24));
            let ticket = sealer.reserve(now).unwrap();
            let (place, bits) = ((ticket.epoch(), ticket.sequence()), ticket.epoch_low());
            assert_eq!(place, (epoch, u32::try_from(sequence).unwrap()));
            assert_eq!(u32::from(bits), epoch % 4);
            let mut out = vec![0xEE; length + padding + TAG_BYTES];
            sealer.seal(ticket, &aad, &plaintext, padding, &mut out);
            let padded = [plaintext, vec![0; padding]].concat();
            let said = format!("{sealer:?} {length}+{padding}");
            assert_eq!(out, seal_with_ring(cipher.as_byte(), &keys, place, &aad, &padded), "{said}");
            if cipher == Cipher::Aes128Gcm {
                let nonce = nonce_of(&keys.1, place);
                assert_eq!(out, seal_in_sight(&keys.0, nonce, &aad, &padded), "{said}");
            }
            for opener in &mut openers {
                let mut opened = vec![0x11; padded.len()];
                assert_eq!(opener.open(bits, place.1, &aad, &out, &mut opened, now), Ok(()), "{said}");
                assert_eq!(opened, padded, "{said}");
            }
        }
        sealer.handle_epoch_opened(epoch);
        now += EPOCH_AGE_MAX;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The vector of the crate's doc.
#[test]
fn the_documented_vector() {
    let secret = std::array::from_fn(|i| i.to_le_bytes()[0]);
    let (key, static_nonce) = derive(secret, 1, 1, 0, 0);
    assert_eq!(hex(&key), "47d74bb36ca69c6cf8c6881f6dfbae13");
    assert_eq!(hex(&static_nonce), "551302f8386d2ac5de43475c");
    let now = Instant::now();
    let keys = PlaneKeys::new(&Secret::new(secret), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    let mut sealer = Sealer::new(keys, now);
    let _skipped = sealer.reserve(now).unwrap();
    let ticket = sealer.reserve(now).unwrap();
    let mut out = [0; 21];
    sealer.seal(ticket, b"header", b"shard", 0, &mut out);
    assert_eq!(hex(&out), "125b6adf8538866d8a04f080fbb3ff5c0d92349beb");
}

/// No two of the keys that a session uses are alike, nor the static nonces.
#[test]
fn every_key_is_another() {
    let mut seen = std::collections::BTreeSet::new();
    for cipher in [1, 2] {
        for direction in [1, 2] {
            for plane in [0, 1] {
                for epoch in [0, 1, 2, 256, u32::MAX] {
                    let (key, nonce) = derive([7; 32], cipher, direction, plane, epoch);
                    assert!(seen.insert(key[..16].to_vec()) && seen.insert(nonce.to_vec()));
                }
            }
        }
    }
}

#[test]
fn secrets_and_keys_print_nothing() {
    let secret = Secret::new([0xAB; 32]);
    let keys = PlaneKeys::new(&secret, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    let printed = format!("{secret:?} {keys:?}");
    let printed = format!("{printed} {:?}", Sealer::new(keys, Instant::now()));
    assert!(!printed.to_lowercase().contains("ab, ") && !printed.contains("171"), "{printed}");
}

#[test]
fn bits_and_bytes_name_what_they_came_from() {
    for plane in [Plane::Video, Plane::Probe] {
        assert_eq!(Plane::from_bits(plane.as_bits()), Some(plane));
    }
    for cipher in [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305] {
        assert_eq!(Cipher::from_byte(cipher.as_byte()), Some(cipher));
    }
    assert!((2..=u8::MAX).all(|bits| Plane::from_bits(bits).is_none()));
    assert!([0].into_iter().chain(3..=u8::MAX).all(|byte| Cipher::from_byte(byte).is_none()));
}
