//! Every sealed byte against ring, which derives the keys and seals by itself from the layout in the crate's doc.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use punktfunk_seal::{Cipher, Direction, EPOCH_AGE_MAX, Plane, PlaneKeys, Sealer, Secret, TAG_BYTES};
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
    (epoch, sequence): (u32, u32),
    aad: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let algorithm = if cipher == 1 { &aead::AES_128_GCM } else { &aead::CHACHA20_POLY1305 };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    let mut nonce = [0; 12];
    nonce[4..8].copy_from_slice(&epoch.to_le_bytes());
    nonce[8..].copy_from_slice(&sequence.to_le_bytes());
    nonce.iter_mut().zip(static_nonce).for_each(|(byte, mask)| *byte ^= mask);
    let mut sealed = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).unwrap();
    sealed
}

/// Bytes of no pattern that a block cipher would hide.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + i / 251).to_le_bytes()[0]).collect()
}

#[test]
fn every_byte_is_what_ring_seals() {
    let secret: [u8; 32] = std::array::from_fn(|i| i.to_le_bytes()[0].wrapping_mul(37));
    let ciphers = [(Cipher::Aes128Gcm, 1), (Cipher::ChaCha20Poly1305, 2)];
    let directions = [(Direction::HostToClient, 1), (Direction::ClientToHost, 2)];
    let planes = [(Plane::Video, 0), (Plane::Probe, 1)];
    for (cipher, cipher_byte) in ciphers {
        for (direction, direction_byte) in directions {
            for (plane, plane_bits) in planes {
                let mut now = Instant::now();
                let mut sealer =
                    Sealer::new(PlaneKeys::new(&Secret::new(secret), cipher, direction, plane), now);
                for epoch in 0..6 {
                    let keys = derive(secret, cipher_byte, direction_byte, plane_bits, epoch);
                    for (sequence, (length, padding)) in
                        [(0, 0), (1, 0), (1408, 0), (1400, 8), (0, 1408), (9001, 0), (17, 15)]
                            .into_iter()
                            .enumerate()
                    {
                        let (plaintext, aad) = (pattern(length), pattern(24));
                        let ticket = sealer.reserve(now).unwrap();
                        let place = (ticket.epoch(), ticket.sequence());
                        assert_eq!(place, (epoch, u32::try_from(sequence).unwrap()));
                        assert_eq!(u32::from(ticket.epoch_low()), epoch % 4);
                        let mut out = vec![0xEE; length + padding + TAG_BYTES];
                        sealer.seal(ticket, &aad, &plaintext, padding, &mut out);
                        let padded = [plaintext, vec![0; padding]].concat();
                        let twin = seal_with_ring(cipher_byte, &keys, place, &aad, &padded);
                        assert_eq!(
                            out, twin,
                            "{cipher:?} {direction:?} {plane:?} {place:?} {length}+{padding}"
                        );
                    }
                    sealer.handle_epoch_opened(epoch);
                    now += EPOCH_AGE_MAX;
                }
            }
        }
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
