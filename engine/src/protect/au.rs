//! The access unit that is being sent, and why the rest of one is not.
//!
//! Promises: its patience is one for all its trains, and only waiting costs it. Refuses nothing.

use std::time::{Duration, Instant};

use punktfunk_net::Lease;
use punktfunk_seal::SealError;

/// What is known of the access unit that is being sent.
#[derive(Debug, Default)]
pub(crate) struct AuInProgress {
    pub(super) number: u32,
    pub(super) idr: bool,
    pub(super) shard_bytes: u16,
    /// Leases of blocks that were not sent whole: they go home with the access unit.
    pub(super) leases: Vec<Lease>,
    /// Set when a block could not be sent whole; the rest of the access unit is not sent.
    pub(super) broken: bool,
    /// Set when the encoder failed at it: there is no rest of it.
    pub(super) given_up: bool,
    /// A train of it had to wait.
    pub(super) has_waited: bool,
    /// The kernel has taken some of it.
    pub(super) has_left: bool,
    /// When its first datagrams left.
    pub(super) first_left_at: Option<Instant>,
    /// When the newest of its slices could be read.
    pub(super) last_ready_at: Option<Instant>,
    /// What is left of the stage's patience.
    pub(super) patience: Duration,
    pub(super) fec: Duration,
    pub(super) seal: Duration,
    pub(super) pace: Duration,
    pub(super) send: Duration,
}

impl AuInProgress {
    pub(crate) fn with_capacity(blocks: usize) -> Self {
        Self { leases: Vec::with_capacity(blocks), ..Self::default() }
    }

    /// A train has left at this time, if the kernel took any of it.
    pub(super) fn handle_left(&mut self, has_left: bool, at: Instant) {
        self.has_left |= has_left;
        if has_left {
            self.first_left_at.get_or_insert(at);
        }
    }

    /// How long before its last slice could be read its first datagrams left; none where that was after it.
    pub(super) fn overlap(&self) -> Option<Duration> {
        let overlap = self.last_ready_at?.checked_duration_since(self.first_left_at?)?;
        (!overlap.is_zero()).then_some(overlap)
    }

    /// A train took `spent` to send, and the kernel would not have `dropped` datagrams of it.
    pub(super) fn handle_sent(&mut self, has_waited: bool, spent: Duration, dropped: u64) -> Result<(), Cut> {
        self.send += spent;
        self.has_waited |= has_waited;
        if has_waited {
            self.patience = self.patience.saturating_sub(spent);
        }
        if dropped > 0 && self.patience.is_zero() { Err(Cut::Blocked) } else { Ok(()) }
    }
}

/// Why a block was not sent whole.
#[derive(Debug)]
pub(super) enum Cut {
    /// The arena has no room for a block, with nothing of it in use: it is too small.
    Arena,
    /// The kernel kept what it was lent of the arena until patience was used up.
    Lent,
    /// The key's sequences are used up.
    Key(SealError),
    /// Its datagrams are longer than the path takes.
    TooLong,
    /// The send buffer stayed full until patience was used up: what is behind is older still.
    Blocked,
    /// The pipeline shall stop.
    Stopped,
}
