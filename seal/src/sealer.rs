//! The sending end: sequences handed out, datagrams sealed, epochs begun.

use crate::error::SealError;
use crate::keys::{Direction, EpochKey, Plane, PlaneKeys};
use crate::limits::{AAD_BYTES_MAX, EpochLimits, TAG_BYTES, TEXT_BYTES_MAX};
use std::time::Instant;

/// Leave to seal one datagram: one epoch and sequence, handed out once. Neither `Clone` nor `Copy`, and used up by
/// [`Sealer::seal`]; dropping it wastes the sequence, which is allowed.
#[derive(Debug)]
#[must_use = "a sequence is consumed though nothing is sealed under it"]
pub struct Ticket {
    direction: Direction,
    plane: Plane,
    epoch: u32,
    sequence: u32,
}

impl Ticket {
    /// The epoch of the key.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The epoch's two bits for the datagram's header, 0 to 3.
    #[must_use]
    pub fn epoch_low(&self) -> u8 {
        epoch_low(self.epoch)
    }

    /// The sequence, 0 up in each epoch, for the datagram's header.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.sequence
    }
}

/// The two bits of an epoch's number that go on the wire.
pub(crate) fn epoch_low(epoch: u32) -> u8 {
    epoch.to_le_bytes()[0] & 0b11
}

/// Seals one plane in one direction.
///
/// An epoch is due to end at the datagrams or the age of its [`EpochLimits`]. The next one begins with the first
/// [`Sealer::reserve`] after that, but only once the receiver has reported that it opened the current one: it opens one
/// epoch ahead and no more. Until then an aged epoch goes on; one out of sequences ends in [`SealError::KeyExhausted`].
pub struct Sealer {
    keys: PlaneKeys,
    limits: EpochLimits,
    current: EpochKey,
    /// The epoch before, for tickets that were reserved before the change and are sealed after it.
    previous: Option<EpochKey>,
    sequence_next: u32,
    /// When the current epoch is due to end by age.
    epoch_due: Instant,
    /// Whether the receiver reported that it opened the current epoch.
    current_is_opened: bool,
}

impl Sealer {
    /// A sealer in epoch 0, with epochs as long as they may be. Derives a key, which allocates.
    #[must_use]
    pub fn new(keys: PlaneKeys, now: Instant) -> Sealer {
        Sealer::with_limits(keys, EpochLimits::default(), now)
    }

    /// A sealer in epoch 0 whose epochs end by `limits`.
    #[must_use]
    pub fn with_limits(keys: PlaneKeys, limits: EpochLimits, now: Instant) -> Sealer {
        let current = keys.derive(0);
        Sealer {
            keys,
            limits,
            current,
            previous: None,
            sequence_next: 0,
            epoch_due: now + limits.age_max(),
            current_is_opened: false,
        }
    }

    /// The epoch that the next sequence is taken from, unless it is due to end.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.current.epoch()
    }

    /// Consumes the next sequence, sent or not. Begins the next epoch first when the current one is due to end and was
    /// reported opened; that derives a key, which allocates, and is the only reserve that does.
    ///
    /// # Errors
    /// [`SealError::KeyExhausted`] when the current epoch is out of sequences and was not reported opened.
    #[inline]
    pub fn reserve(&mut self, now: Instant) -> Result<Ticket, SealError> {
        let exhausted = self.sequence_next >= self.limits.sequences_max();
        let aged = now >= self.epoch_due;
        if exhausted || aged {
            let begun = self.begin_next_epoch(now);
            if exhausted && !begun {
                return Err(SealError::KeyExhausted { epoch: self.epoch(), sequences: self.sequence_next });
            }
        }
        let sequence = self.sequence_next;
        self.sequence_next += 1;
        let (direction, plane) = (self.keys.direction(), self.keys.plane());
        Ok(Ticket { direction, plane, epoch: self.epoch(), sequence })
    }

    /// Seals `plaintext` and `padding` zero bytes behind it into `out`: ciphertext, then tag. `aad` is authenticated
    /// and not sealed. Without padding this is one pass from `plaintext` into `out`; with it, a copy and a pass.
    ///
    /// # Panics
    /// When `out` is not `plaintext + padding + `[`TAG_BYTES`] long, `aad` is longer than
    /// [`AAD_BYTES_MAX`](crate::AAD_BYTES_MAX) or the text than [`TEXT_BYTES_MAX`](crate::TEXT_BYTES_MAX), or the ticket comes from another sealer or from an
    /// epoch before the previous one.
    #[inline]
    pub fn seal(&self, ticket: Ticket, aad: &[u8], plaintext: &[u8], padding: usize, out: &mut [u8]) {
        assert_eq!(out.len(), plaintext.len() + padding + TAG_BYTES, "bytes of a sealed datagram's room");
        assert!(aad.len() <= AAD_BYTES_MAX, "bytes of a datagram's header");
        assert!(out.len() <= TEXT_BYTES_MAX + TAG_BYTES, "bytes of a datagram");
        assert!(
            ticket.plane == self.keys.plane() && ticket.direction == self.keys.direction(),
            "a ticket of another sealer: its nonce may be in use here"
        );
        let key =
            if ticket.epoch == self.current.epoch() { &self.current } else { self.key_before(ticket.epoch) };
        if padding == 0 {
            key.seal(ticket.sequence, aad, plaintext, out);
        } else {
            key.seal_padded(ticket.sequence, aad, plaintext, out);
        }
    }

    /// Takes a feedback report's word that the receiver opened a datagram of `epoch`. Reports come late and repeat
    /// themselves; one that claims an epoch that has not begun is ignored.
    pub fn handle_epoch_opened(&mut self, epoch: u32) {
        if epoch == self.epoch() {
            self.current_is_opened = true;
        }
    }

    /// The key of `epoch`, which is not the current one.
    #[cold]
    fn key_before(&self, epoch: u32) -> &EpochKey {
        match &self.previous {
            Some(previous) if previous.epoch() == epoch => previous,
            Some(_) | None => panic!("a ticket of epoch {epoch} in epoch {}", self.epoch()),
        }
    }

    /// Begins the next epoch if the receiver can follow; false when it cannot.
    #[cold]
    fn begin_next_epoch(&mut self, now: Instant) -> bool {
        if !self.current_is_opened {
            return false;
        }
        // 2^32 epochs of 2^23 datagrams are a million years of the fastest link: the end is an error, not a wrap.
        let Some(epoch) = self.epoch().checked_add(1) else { return false };
        let next = self.keys.derive(epoch);
        self.previous = Some(std::mem::replace(&mut self.current, next));
        self.sequence_next = 0;
        self.epoch_due = now + self.limits.age_max();
        self.current_is_opened = false;
        true
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("keys", &self.keys)
            .field("epoch", &self.epoch())
            .field("sequence_next", &self.sequence_next)
            .field("current_is_opened", &self.current_is_opened)
            .finish_non_exhaustive()
    }
}
