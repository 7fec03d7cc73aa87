//! What of an arena the kernel may still read: joins the sender that lent it out to the arena that leases it.
//!
//! Promises: bytes that were lent before a lease was released are not leased again until the kernel has said
//! that it is done with them, whoever forgets to ask; where it never will, because the ring has gone, the arena can see
//! that. Refuses: to tell sends apart; what was lent first is
//! awaited first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One arena's loans. Tickets are counted from 1 on.
#[derive(Debug)]
pub(crate) struct Flight {
    base: usize,
    bytes: usize,
    /// The arena has gone, and its addresses mean nothing any more.
    closed: AtomicBool,
    /// Tickets handed out.
    lent: AtomicU64,
    /// All tickets up to this one have come back.
    settled: AtomicU64,
    /// Of all tickets up to this one that are not settled nobody will tell: their ring has gone.
    orphaned: AtomicU64,
}

impl Flight {
    /// Of an arena at this address.
    pub(crate) fn new(base: usize, bytes: usize) -> Self {
        Self {
            base,
            bytes,
            closed: AtomicBool::new(false),
            lent: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            orphaned: AtomicU64::new(0),
        }
    }

    /// Whether `bytes` are part of the arena, and the arena is there.
    pub(crate) fn covers(&self, bytes: &[u8]) -> bool {
        let start = bytes.as_ptr() as usize;
        let inside = start.checked_sub(self.base).is_some_and(|before| before + bytes.len() <= self.bytes);
        inside && !self.closed.load(Ordering::Relaxed)
    }

    /// The next ticket.
    pub(crate) fn lend(&self) -> u64 {
        self.lent.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The last ticket handed out.
    pub(crate) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    /// All tickets up to `ticket` have come back.
    pub(crate) fn settle(&self, ticket: u64) {
        // Release: whoever reads this may write what the kernel has read.
        // The larger: a sender and the arena may both tell.
        self.settled.fetch_max(ticket, Ordering::Release);
    }

    /// The last ticket of which it is known that it and all before it have come back.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Nobody will tell of what is lent now.
    pub(crate) fn orphan(&self) {
        // Release: whoever reads this must not read an older count of what came back.
        self.orphaned.store(self.lent(), Ordering::Release);
    }

    /// The last ticket that nobody will tell of, if it has not come back.
    pub(crate) fn orphaned(&self) -> Option<u64> {
        let orphaned = self.orphaned.load(Ordering::Acquire);
        (orphaned > self.settled()).then_some(orphaned)
    }

    /// The arena goes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Where the arena begins, and its length.
    pub(crate) fn range(&self) -> (usize, usize) {
        (self.base, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_inside_is_covered_and_nothing_once_closed() {
        let memory = vec![0_u8; 300];
        let arena = &memory[100..200];
        let flight = Flight::new(arena.as_ptr() as usize, arena.len());
        assert!(flight.covers(arena) && flight.covers(&arena[99..]) && flight.covers(&arena[..0]));
        for outside in [&memory[99..101], &memory[199..201], &memory[..], &memory[..50], &memory[250..]] {
            assert!(!flight.covers(outside));
        }
        flight.close();
        assert!(!flight.covers(arena));
    }

    #[test]
    fn orphans_are_those_that_had_not_come_back_and_what_has_settled_stays_so() {
        let flight = Flight::new(0, 0);
        assert_eq!(flight.orphaned(), None);
        assert_eq!((0..5).map(|_| flight.lend()).max(), Some(5));
        flight.settle(2);
        flight.orphan();
        assert_eq!((flight.lend(), flight.orphaned()), (6, Some(5)));
        flight.settle(5);
        flight.settle(3);
        assert_eq!((flight.settled(), flight.orphaned()), (5, None));
    }
}
