//! Our own AES-128-GCM beside a library's: every length of text and header, every alignment, wrong tags.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use punktfunk_seal::{
    AAD_BYTES_MAX, Backend, Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret, TAG_BYTES,
};
use std::time::Instant;

/// What of ours this CPU can run; says what it cannot.
fn supported() -> impl Iterator<Item = Backend> {
    [Backend::Vaes512, Backend::Vaes256].into_iter().filter(|backend| {
        let supported = backend.supports(Cipher::Aes128Gcm);
        if !supported {
            eprintln!("{backend} was not run: this CPU lacks its instructions");
        }
        supported
    })
}

fn keys(secret: u64, backend: Backend) -> PlaneKeys {
    let mut bytes = [0x5A; 32];
    bytes[..8].copy_from_slice(&secret.to_le_bytes());
    PlaneKeys::new(&Secret::new(bytes), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
        .with_backend(backend)
}

/// The same datagrams sealed by both, and opened by ours.
struct Pair {
    ours: Sealer,
    library: Sealer,
    opener: Opener,
    now: Instant,
}

impl Pair {
    fn new(secret: u64, ours: Backend, library: Backend) -> Pair {
        let now = Instant::now();
        Pair {
            ours: Sealer::new(keys(secret, ours), now),
            library: Sealer::new(keys(secret, library), now),
            opener: Opener::new(keys(secret, ours), 64),
            now,
        }
    }

    /// Seals `text` and `padding` zeros at `offset` bytes into a buffer, by both; opens it; fails a changed tag.
    fn check(&mut self, aad: &[u8], text: &[u8], padding: usize, offset: usize) {
        let sealed_bytes = text.len() + padding + TAG_BYTES;
        let said = format!("{} + {padding} bytes, header {}, at {offset}", text.len(), aad.len());
        let (mut sealed, mut expected) = (vec![0xEE; offset + sealed_bytes + 64], vec![0; sealed_bytes]);
        let ticket = self.ours.reserve(self.now).unwrap();
        let sequence = ticket.sequence();
        self.ours.seal(ticket, aad, text, padding, &mut sealed[offset..][..sealed_bytes]);
        let ticket = self.library.reserve(self.now).unwrap();
        self.library.seal(ticket, aad, text, padding, &mut expected);
        assert_eq!(sealed[offset..][..sealed_bytes], expected, "{said}");
        let untouched = sealed[..offset].iter().chain(&sealed[offset + sealed_bytes..]);
        assert!(untouched.copied().all(|byte| byte == 0xEE), "{said}: written beside its room");
        let mut opened = vec![0x11; offset + text.len() + padding + 64];
        let room = offset..offset + text.len() + padding;
        let sealed = &mut sealed[offset..][..sealed_bytes];
        sealed[sealed_bytes - 1 - sequence as usize % TAG_BYTES] ^= 1 << (sequence % 8);
        self.opener.open(0, sequence, aad, sealed, &mut opened[room.clone()], self.now).unwrap_err();
        let wrong = self.opener.open(0, sequence, aad, &expected, &mut opened[room.clone()], self.now);
        assert_eq!(wrong, Ok(()), "{said}");
        assert_eq!(opened[room.clone()][..text.len()], *text, "{said}");
        assert!(opened[room.clone()][text.len()..].iter().all(|byte| *byte == 0), "{said}");
        let beside = opened[..room.start].iter().chain(&opened[room.end..]);
        assert!(beside.copied().all(|byte| byte == 0x11), "{said}: written beside its room");
    }
}

fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + i / 251 + seed * 13).to_le_bytes()[0]).collect()
}

/// Every length up to some steps, and all around the lengths where the hash is reduced once more.
#[test]
fn every_length_is_the_librarys() {
    let near = |blocks: usize| blocks * 16 - 70..blocks * 16 + 70;
    let lengths = (0..600).chain([120, 124, 126, 128, 250, 374, 576].into_iter().flat_map(near));
    for ours in supported() {
        let mut pair = Pair::new(1, ours, Backend::Ring);
        for (round, length) in lengths.clone().enumerate() {
            pair.check(&pattern(24, round), &pattern(length, round), 0, round % 64);
        }
    }
}

#[test]
fn every_header_is_the_librarys() {
    for ours in supported() {
        let mut pair = Pair::new(2, ours, Backend::AwsLc);
        for aad_bytes in 0..=AAD_BYTES_MAX {
            for length in [0, 1, 15, 16, 64, 1408, 1919, 1936, 1984, 2000, 2032, 2048, 8832] {
                pair.check(&pattern(aad_bytes, length), &pattern(length, aad_bytes), aad_bytes % 3, 0);
            }
        }
    }
}

#[test]
#[should_panic(expected = "bytes of a datagram's header")]
fn a_longer_header_is_a_programmers_fault() {
    let mut sealer = Sealer::new(keys(3, Backend::AwsLc), Instant::now());
    let ticket = sealer.reserve(Instant::now()).unwrap();
    sealer.seal(ticket, &[0; AAD_BYTES_MAX + 1], &[], 0, &mut [0; TAG_BYTES]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any key, text and header.
    #[test]
    fn any_datagram_is_the_librarys(
        secret: u64,
        aad in proptest::collection::vec(any::<u8>(), 0..=AAD_BYTES_MAX),
        text in proptest::collection::vec(any::<u8>(), 0..3_000),
        padding in 0..100_usize,
        offset in 0..64_usize,
    ) {
        for ours in supported() {
            Pair::new(secret, ours, Backend::AwsLc).check(&aad, &text, padding, offset);
        }
    }
}
