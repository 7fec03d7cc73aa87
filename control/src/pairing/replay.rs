//! A run of the exchange with scalars that are given, for vectors.
//!
//! Promises: the same bytes each time. Refuses to be of use for anything else: a run whose scalars are known hides nothing.

use spake2plus::rand_core::{Infallible, TryCryptoRng, TryRng};

use super::exchange::{Answered, Asking, Binding, CONFIRMATION_BYTES, Record, SHARE_BYTES};
use super::pin::Pin;
use crate::fingerprint::Fingerprint;

/// Gives one scalar and nothing else.
pub(crate) struct Replay([u8; 64]);

impl Replay {
    /// Of 64 bytes that the curve draws and reduces, these are the last.
    pub(crate) fn of(scalar: [u8; 32]) -> Self {
        let mut bytes = [0; 64];
        bytes[32..].copy_from_slice(&scalar);
        Self(bytes)
    }
}

impl TryRng for Replay {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("the curve draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("the curve draws bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Replay {}

/// What travelled.
#[derive(Clone, Copy, Debug)]
pub struct ReplayedRun {
    /// The client's share.
    pub share_p: [u8; SHARE_BYTES],
    /// The host's share.
    pub share_v: [u8; SHARE_BYTES],
    /// The host's confirmation.
    pub confirm_v: [u8; CONFIRMATION_BYTES],
    /// The client's confirmation.
    pub confirm_p: [u8; CONFIRMATION_BYTES],
}

/// Both ends of a run between this host and this client, over a connection with this exporter.
///
/// # Panics
/// When the ends do not agree, which is a fault of this crate's.
pub fn replayed_run(
    pin: &Pin,
    (host, client, exporter): (Fingerprint, Fingerprint, [u8; 32]),
    (x, y): ([u8; 32], [u8; 32]),
) -> ReplayedRun {
    let binding = Binding { host, client, exporter };
    let (asking, share_p) = Asking::start(pin, &binding, &mut Replay::of(x));
    let answered = Answered::start(&Record::of(pin), &binding, &share_p, &mut Replay::of(y));
    let (answered, answer) = answered.expect("an honest share is one");
    let confirm_p = asking.handle_answer(&answer.share, &answer.confirmation).expect("both have the PIN");
    answered.handle_confirmation(&confirm_p).expect("both have the PIN");
    ReplayedRun { share_p, share_v: answer.share, confirm_v: answer.confirmation, confirm_p }
}
