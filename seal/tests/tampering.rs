//! One bit changed anywhere in a datagram, or a byte more or less, and it does not open.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use punktfunk_seal::{
    Backend, Cipher, Direction, OpenError, Opener, Plane, PlaneKeys, SEQUENCES_PER_EPOCH_MAX, Sealer, Secret,
    TAG_BYTES,
};
use std::time::Instant;

const HEADER: [u8; 24] = [0x5A; 24];
const SHARD_BYTES: usize = 192;

fn keys(secret: u8, cipher: Cipher, direction: Direction, plane: Plane) -> PlaneKeys {
    PlaneKeys::new(&Secret::new([secret; 32]), cipher, direction, plane)
}

fn sealed(cipher: Cipher, now: Instant) -> Vec<u8> {
    let mut sealer = Sealer::new(keys(1, cipher, Direction::HostToClient, Plane::Video), now);
    let ticket = sealer.reserve(now).unwrap();
    let mut out = vec![0; SHARD_BYTES + TAG_BYTES];
    sealer.seal(ticket, &HEADER, &[0xC3; SHARD_BYTES], 0, &mut out);
    out
}

fn open(
    opener: &mut Opener,
    sequence: u32,
    header: &[u8],
    sealed: &[u8],
    now: Instant,
) -> Result<Vec<u8>, OpenError> {
    let mut out = vec![0; sealed.len().saturating_sub(TAG_BYTES)];
    opener.open(0, sequence, header, sealed, &mut out, now).map(|()| out)
}

#[test]
fn every_bit_of_header_ciphertext_and_tag_counts() {
    let now = Instant::now();
    let bad = Err(OpenError::BadTag { sequence: 0 });
    for (cipher, backend) in [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305]
        .into_iter()
        .flat_map(|cipher| Backend::ALL.map(|backend| (cipher, backend)))
        .filter(|(cipher, backend)| backend.supports(*cipher))
    {
        let datagram = sealed(cipher, now);
        let keys = keys(1, cipher, Direction::HostToClient, Plane::Video).with_backend(backend);
        let mut opener = Opener::new(keys, 64);
        for bit in 0..datagram.len() * 8 {
            let mut tampered = datagram.clone();
            tampered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&mut opener, 0, &HEADER, &tampered, now),
                bad,
                "{backend} {cipher:?}, bit {bit} of the sealed"
            );
        }
        for bit in 0..HEADER.len() * 8 {
            let mut tampered = HEADER;
            tampered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&mut opener, 0, &tampered, &datagram, now),
                bad,
                "{backend} {cipher:?}, bit {bit} of the header"
            );
        }
        for bit in 0..32 {
            let sequence = 1 << bit;
            let refused = if sequence < SEQUENCES_PER_EPOCH_MAX {
                OpenError::BadTag { sequence }
            } else {
                OpenError::SequenceTooHigh { sequence }
            };
            assert_eq!(open(&mut opener, sequence, &HEADER, &datagram, now), Err(refused));
        }
        for length in 0..datagram.len() {
            assert_eq!(
                open(&mut opener, 0, &HEADER, &datagram[..length], now),
                bad,
                "{backend} {cipher:?}, {length} bytes"
            );
        }
        let longer = [datagram.as_slice(), &[0]].concat();
        assert_eq!(open(&mut opener, 0, &HEADER, &longer, now), bad);
        assert_eq!(open(&mut opener, 0, &HEADER[..23], &datagram, now), bad);
        assert_eq!(open(&mut opener, 0, &HEADER, &datagram, now), Ok(vec![0xC3; SHARD_BYTES]));
    }
}

#[test]
fn another_session_cipher_direction_or_plane_does_not_open() {
    let now = Instant::now();
    let datagram = sealed(Cipher::Aes128Gcm, now);
    let others = [
        keys(2, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video),
        keys(1, Cipher::ChaCha20Poly1305, Direction::HostToClient, Plane::Video),
        keys(1, Cipher::Aes128Gcm, Direction::ClientToHost, Plane::Video),
        keys(1, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Probe),
    ];
    for keys in others {
        let opened = open(&mut Opener::new(keys, 64), 0, &HEADER, &datagram, now);
        assert_eq!(opened, Err(OpenError::BadTag { sequence: 0 }));
    }
}

#[test]
#[should_panic(expected = "bytes of an opened datagram's room")]
fn a_wrong_room_is_the_callers_fault() {
    let now = Instant::now();
    let mut opener = Opener::new(keys(1, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video), 64);
    let _ = opener.open(0, 0, &HEADER, &[0; 100], &mut [0; 100], now);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn noise_never_opens(
        epoch_low in any::<u8>(),
        sequence in prop_oneof![4 => 0..SEQUENCES_PER_EPOCH_MAX, 1 => any::<u32>()],
        header in prop::collection::vec(any::<u8>(), 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let now = Instant::now();
        let mut opener = Opener::new(keys(1, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video), 64);
        let mut out = vec![0; noise.len().saturating_sub(TAG_BYTES)];
        let opened = opener.open(epoch_low, sequence, &header, &noise, &mut out, now);
        let refused = match opened {
            Err(OpenError::SequenceTooHigh { .. }) => sequence >= SEQUENCES_PER_EPOCH_MAX,
            Err(OpenError::UnknownEpoch { .. } | OpenError::BadTag { .. }) => sequence < SEQUENCES_PER_EPOCH_MAX,
            _ => false,
        };
        prop_assert!(refused, "{:?}", opened);
        prop_assert_eq!(opener.epoch_opened(), 0);
    }
}
