//! ChaCha20-Poly1305 through a plane's whole life: key after key, each used to its end, replays and forgeries between.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use punktfunk_seal::{
    Backend, Cipher, Direction, EPOCH_AGE_MAX, EpochLimits, OpenError, Opener, PREVIOUS_EPOCH_GRACE, Plane,
    PlaneKeys, SEQUENCES_PER_EPOCH_MAX, SealError, Sealer, Secret, TAG_BYTES,
};
use std::time::Instant;

const AAD: &[u8] = b"the header in clear";
const SHARD: [u8; 1408] = [0xC3; 1408];

fn keys(backend: Backend) -> PlaneKeys {
    let cipher = Cipher::ChaCha20Poly1305;
    PlaneKeys::new(&Secret::new([5; 32]), cipher, Direction::HostToClient, Plane::Video).with_backend(backend)
}

fn seal(sealer: &mut Sealer, now: Instant) -> Result<(u32, u32, Vec<u8>), SealError> {
    let ticket = sealer.reserve(now)?;
    let place = (ticket.epoch(), ticket.sequence());
    let mut sealed = vec![0; SHARD.len() + TAG_BYTES];
    sealer.seal(ticket, AAD, &SHARD, 0, &mut sealed);
    Ok((place.0, place.1, sealed))
}

fn open(
    opener: &mut Opener,
    (epoch, sequence, sealed): &(u32, u32, Vec<u8>),
    now: Instant,
) -> Result<(), OpenError> {
    let mut out = [0; SHARD.len()];
    opener.open(epoch.to_le_bytes()[0] & 3, *sequence, AAD, sealed, &mut out, now)?;
    assert!(out == SHARD);
    Ok(())
}

/// One library seals and the other opens.
#[test]
fn keys_change_are_used_up_and_open_once() {
    for [sealing, opening] in [[Backend::AwsLc, Backend::Ring], [Backend::Ring, Backend::AwsLc]] {
        let mut now = Instant::now();
        let limits = EpochLimits::shorter(50, EPOCH_AGE_MAX);
        let mut sealer = Sealer::with_limits(keys(sealing), limits, now);
        let mut opener = Opener::new(keys(opening), 64);
        let mut last = None;
        for epoch in 0..20 {
            for sequence in 0..50 {
                let datagram = seal(&mut sealer, now).unwrap();
                assert_eq!((datagram.0, datagram.1), (epoch, sequence));
                for at in [0, SHARD.len() - 1, SHARD.len(), SHARD.len() + TAG_BYTES - 1] {
                    let mut forged = datagram.clone();
                    forged.2[at] ^= 1;
                    assert_eq!(open(&mut opener, &forged, now), Err(OpenError::BadTag { sequence }));
                }
                assert_eq!(open(&mut opener, &datagram, now), Ok(()));
                assert_eq!(open(&mut opener, &datagram, now), Err(OpenError::Replayed { sequence }));
                last = Some(datagram);
            }
            if epoch == 0 {
                assert!(matches!(seal(&mut sealer, now), Err(SealError::KeyExhausted { epoch: 0, .. })));
            }
            sealer.handle_epoch_opened(opener.epoch_opened());
        }
        // The key before is let go after its grace.
        let straggler = last.unwrap();
        assert_eq!(open(&mut opener, &seal(&mut sealer, now).unwrap(), now), Ok(()));
        now += PREVIOUS_EPOCH_GRACE * 2;
        assert!(matches!(open(&mut opener, &straggler, now), Err(OpenError::UnknownEpoch { .. })));
    }
}

/// Its own bound on uses is far beyond; the one that holds is AES-GCM's, so that the wire knows one.
#[test]
fn a_key_ends_where_one_of_aes_does() {
    let now = Instant::now();
    let mut sealer = Sealer::new(keys(Backend::AwsLc), now);
    for _ in 0..SEQUENCES_PER_EPOCH_MAX {
        drop(sealer.reserve(now).unwrap());
    }
    assert!(matches!(sealer.reserve(now), Err(SealError::KeyExhausted { .. })));
    assert_eq!(SEQUENCES_PER_EPOCH_MAX, 1 << 23);
}
