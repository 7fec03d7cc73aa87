//! The receiving end: datagrams opened, epochs followed, replays refused.

use crate::error::OpenError;
use crate::keys::{EpochKey, PlaneKeys};
use crate::limits::{
    AAD_BYTES_MAX, PREVIOUS_EPOCH_GRACE, SEQUENCES_PER_EPOCH_MAX, TAG_BYTES, TEXT_BYTES_MAX,
};
use crate::replay::{ReplayWindow, Verdict};
use crate::sealer::epoch_low;
use std::time::Instant;

/// The epoch that was current before, still opened until its grace ends.
struct Retiring {
    key: EpochKey,
    until: Instant,
}

/// The epoch ahead: nothing was opened with it yet, so there is no window to keep.
struct Ahead(EpochKey);

/// Opens one plane in one direction: epoch n, n + 1, and n − 1 for [`PREVIOUS_EPOCH_GRACE`].
///
/// n is the highest epoch of which a datagram was opened, 0 before there is one. The key of n + 1 is derived when n
/// begins, not when a header claims n + 1.
pub struct Opener {
    keys: PlaneKeys,
    retiring: Option<Retiring>,
    current: EpochKey,
    /// None after the last epoch there is.
    ahead: Option<Ahead>,
    current_window: ReplayWindow,
    retiring_window: ReplayWindow,
}

/// One of the keys that the opener holds.
#[derive(Clone, Copy)]
enum Holding {
    Retiring,
    Current,
    Ahead,
}

impl Opener {
    /// An opener in epoch 0 with a replay window of `replay_window` sequences (rounded up to a power of two, see
    /// [`ReplayWindow::new`]). Derives two keys and allocates both windows.
    #[must_use]
    pub fn new(keys: PlaneKeys, replay_window: usize) -> Opener {
        let (current, ahead) = (keys.derive(0), Some(Ahead(keys.derive(1))));
        let window = ReplayWindow::new(replay_window);
        Opener {
            keys,
            retiring: None,
            current,
            ahead,
            retiring_window: window.clone(),
            current_window: window,
        }
    }

    /// Opens `sealed` (ciphertext, then tag) into `out`, which is [`TAG_BYTES`] shorter. `epoch_low` and `sequence` are
    /// the header's word, `aad` the header. A sequence that no epoch has is refused without a look at the tag; of any
    /// other the tag is checked first, and only a good one moves the replay window or the epoch. The first datagram of
    /// the next epoch derives the key after it, which allocates; no other one does, but see [`Opener::prepare_thread`].
    ///
    /// # Errors
    /// [`OpenError`], with `out` scribbled on: even a replay's right plaintext is not to be used.
    ///
    /// # Panics
    /// When `sealed` has room for a tag and `out` is not [`TAG_BYTES`] shorter, `aad` is longer than
    /// [`AAD_BYTES_MAX`], or the text than [`TEXT_BYTES_MAX`].
    #[inline]
    pub fn open(
        &mut self,
        epoch_low: u8,
        sequence: u32,
        aad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Result<(), OpenError> {
        self.end_grace(now);
        if sequence >= SEQUENCES_PER_EPOCH_MAX {
            return Err(OpenError::SequenceTooHigh { sequence });
        }
        let Some(holding) = self.holding(epoch_low) else {
            return Err(OpenError::UnknownEpoch { epoch_low, current: self.current.epoch() });
        };
        if sealed.len() < TAG_BYTES {
            return Err(OpenError::BadTag { sequence });
        }
        assert_eq!(out.len(), sealed.len() - TAG_BYTES, "bytes of an opened datagram's room");
        assert!(aad.len() <= AAD_BYTES_MAX, "bytes of a datagram's header");
        assert!(out.len() <= TEXT_BYTES_MAX, "bytes of a datagram");
        if !self.key(holding).is_some_and(|key| key.open(sequence, aad, sealed, out)) {
            return Err(OpenError::BadTag { sequence });
        }
        // From here on the datagram is the sender's own.
        let window = match holding {
            Holding::Retiring => &mut self.retiring_window,
            Holding::Current => &mut self.current_window,
            Holding::Ahead => {
                self.follow(now);
                &mut self.current_window
            }
        };
        match window.admit(sequence) {
            Verdict::Fresh => Ok(()),
            Verdict::Replayed => Err(OpenError::Replayed { sequence }),
            Verdict::TooOld { highest } => Err(OpenError::TooOld { sequence, highest }),
        }
    }

    /// Readies the calling thread for [`Opener::open`]. The C library inside keeps a queue of errors for each thread and
    /// allocates it with the thread's first wrong tag; this meets one now, so that no forger does it later. Worth a
    /// call at the start of the thread that opens; without it that one wrong tag allocates twice.
    pub fn prepare_thread(&self) {
        let opened = self.current.open(0, &[], &[0; TAG_BYTES], &mut []);
        debug_assert!(!opened, "sixteen zeros are no tag");
    }

    /// The highest epoch of which a datagram was opened, for the feedback report; 0 before there is one, since every
    /// receiver can follow the sender from epoch 0 to 1.
    #[must_use]
    pub fn epoch_opened(&self) -> u32 {
        self.current.epoch()
    }

    /// Which key two bits name. At most three neighbours are held, so the bits name one of them or none.
    #[inline]
    fn holding(&self, bits: u8) -> Option<Holding> {
        if bits == epoch_low(self.current.epoch()) {
            return Some(Holding::Current);
        }
        if self.ahead.as_ref().is_some_and(|ahead| bits == epoch_low(ahead.0.epoch())) {
            return Some(Holding::Ahead);
        }
        if self.retiring.as_ref().is_some_and(|retiring| bits == epoch_low(retiring.key.epoch())) {
            return Some(Holding::Retiring);
        }
        None
    }

    #[inline]
    fn key(&self, holding: Holding) -> Option<&EpochKey> {
        match holding {
            Holding::Retiring => self.retiring.as_ref().map(|retiring| &retiring.key),
            Holding::Current => Some(&self.current),
            Holding::Ahead => self.ahead.as_ref().map(|ahead| &ahead.0),
        }
    }

    /// Drops the key of the epoch before when its grace is over. The clock decides, never a header.
    fn end_grace(&mut self, now: Instant) {
        if self.retiring.as_ref().is_some_and(|retiring| now >= retiring.until) {
            self.retiring = None;
        }
    }

    /// Makes the epoch ahead the current one: a datagram of it has been authenticated.
    #[cold]
    fn follow(&mut self, now: Instant) {
        let Some(Ahead(next)) = self.ahead.take() else { return };
        self.ahead = next.epoch().checked_add(1).map(|epoch| Ahead(self.keys.derive(epoch)));
        let key = std::mem::replace(&mut self.current, next);
        self.retiring = Some(Retiring { key, until: now + PREVIOUS_EPOCH_GRACE });
        std::mem::swap(&mut self.current_window, &mut self.retiring_window);
        self.current_window.clear();
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("keys", &self.keys)
            .field("epoch_opened", &self.epoch_opened())
            .field("highest", &self.current_window.highest())
            .finish_non_exhaustive()
    }
}
