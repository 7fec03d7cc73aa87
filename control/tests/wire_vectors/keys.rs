//! The key schedule, put together here from HKDF by itself, and held against what `seal` seals.

use crate::bench::hex;
use crate::secret;
use aws_lc_rs::aead::{AES_128_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use punktfunk_seal::{Cipher, Direction, EpochLimits, Plane, PlaneKeys, Sealer, Secret};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const AAD: &[u8] = b"header";
const TEXT: &[u8] = b"shard";

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The names of one key.
#[derive(Clone, Copy)]
struct Named {
    cipher: Cipher,
    direction: Direction,
    plane: Plane,
    epoch: u32,
}

fn direction_byte(direction: Direction) -> u8 {
    match direction {
        Direction::HostToClient => 1,
        Direction::ClientToHost => 2,
    }
}

fn plane_name(plane: Plane) -> &'static str {
    match plane {
        Plane::Video => "video",
        Plane::Probe => "probe",
    }
}

pub(crate) fn cipher_name(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::Aes128Gcm => "AES-128-GCM",
        Cipher::ChaCha20Poly1305 => "ChaCha20-Poly1305",
    }
}

/// What `seal` makes of the text as the last of `sequence + 1` datagrams of an epoch.
fn sealed(secret: [u8; 32], named: Named, sequence: u32) -> Vec<u8> {
    let now = Instant::now();
    let keys = PlaneKeys::new(&Secret::new(secret), named.cipher, named.direction, named.plane);
    // Epochs of one datagram up to the one that is wanted; then all its datagrams, of which the last is sealed.
    let mut sealer = Sealer::with_limits(keys, EpochLimits::shorter(1 << 22, Duration::from_secs(1)), now);
    let mut at = now;
    for epoch in 0..named.epoch {
        let _ = sealer.reserve(at).unwrap();
        sealer.handle_epoch_opened(epoch);
        at += Duration::from_secs(1);
    }
    let mut ticket = sealer.reserve(at).unwrap();
    for _ in 0..sequence {
        ticket = sealer.reserve(at).unwrap();
    }
    assert_eq!((ticket.epoch(), ticket.sequence()), (named.epoch, sequence));
    let mut out = vec![0; TEXT.len() + 16];
    sealer.seal(ticket, AAD, TEXT, 0, &mut out);
    out
}

fn vector(secret: [u8; 32], named: Named, sequences: &[u32]) -> Value {
    let Named { cipher, direction, plane, epoch } = named;
    let (algorithm, key_bytes) = match cipher {
        Cipher::Aes128Gcm => (&AES_128_GCM, 16),
        Cipher::ChaCha20Poly1305 => (&CHACHA20_POLY1305, 32),
    };
    let mut info = b"punktfunk/1 epoch".to_vec();
    info.extend([cipher.as_byte(), direction_byte(direction), plane.as_bits()]);
    info.extend(epoch.to_le_bytes());
    let root = Salt::new(HKDF_SHA256, b"punktfunk/1 media").extract(&secret);
    let mut okm = vec![0; key_bytes + 12];
    root.expand(&[&info], Length(okm.len())).unwrap().fill(&mut okm).unwrap();
    let (key, static_nonce) = okm.split_at(key_bytes);
    let datagrams: Vec<Value> = sequences
        .iter()
        .map(|sequence| {
            let mut nonce = [0; 12];
            nonce[4..8].copy_from_slice(&epoch.to_le_bytes());
            nonce[8..].copy_from_slice(&sequence.to_le_bytes());
            nonce.iter_mut().zip(static_nonce).for_each(|(byte, mask)| *byte ^= mask);
            let mut text = TEXT.to_vec();
            let aead = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
            let unique = Nonce::assume_unique_for_key(nonce);
            aead.seal_in_place_append_tag(unique, Aad::from(AAD), &mut text).unwrap();
            assert_eq!(text, sealed(secret, named, *sequence), "seal keeps to the document");
            json!({ "sequence": sequence, "nonce": hex(&nonce), "sealed": hex(&text) })
        })
        .collect();
    json!({
        "secret": hex(&secret), "cipher": cipher_name(cipher), "direction": direction_byte(direction),
        "plane": plane_name(plane), "epoch": epoch, "info": hex(&info), "key": hex(key),
        "static_nonce": hex(static_nonce), "aad": hex(AAD), "text": hex(TEXT), "datagrams": datagrams,
    })
}

pub(crate) fn vectors() -> Value {
    let usual = |cipher| Named { cipher, direction: Direction::HostToClient, plane: Plane::Video, epoch: 0 };
    let mut all = Vec::new();
    for cipher in Cipher::ALL {
        let usual = usual(cipher);
        all.push(vector(secret(), usual, &[0, 1, 2, 65_536]));
        all.push(vector(secret(), Named { epoch: 1, ..usual }, &[0]));
        all.push(vector(secret(), Named { epoch: 5, ..usual }, &[0, 7]));
        all.push(vector(secret(), Named { plane: Plane::Probe, ..usual }, &[0]));
        all.push(vector(secret(), Named { direction: Direction::ClientToHost, ..usual }, &[0]));
        all.push(vector([0xA5; 32], usual, &[0]));
    }
    json!({
        "about": "From the session's secret (32 bytes of the TLS exporter) to key, static nonce, nonce and sealed bytes. \
                  See docs/wire.md, Keys. All values but the numbers are hexadecimal.",
        "keys": all,
    })
}
