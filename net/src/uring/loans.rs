//! What a ring knows of loans: which came back, and what became of them.
//!
//! Promises: an arena hears of a ticket once that and all before it are back, whatever the order of coming. Refuses: more
//! tickets at once than it has places for.

use std::io;
use std::mem;
use std::sync::Arc;

use crate::flight::Flight;

/// What became of loans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loans {
    /// Messages that the device read where they lay.
    pub(crate) read_in_place: u64,
    /// Messages that the kernel copied all the same, or may have: older ones do not tell.
    pub(crate) copied: u64,
    /// Messages whose loan was refused, sent by copy.
    pub(crate) refused: u64,
}

/// The arena that is lent from.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) flight: Arc<Flight>,
    /// The kernel knows the arena's pages already.
    pub(super) registered: bool,
    /// Which of the tickets above the last settled one have come back, by their number modulo the length.
    pub(super) back: Box<[bool]>,
}

impl Attached {
    /// This ticket has come back; one that is told of again is no other's.
    pub(super) fn take_back(&mut self, ticket: u64) {
        if ticket > self.flight.settled() {
            let slot = self.slot(ticket);
            self.back[slot] = true;
            self.advance();
        }
    }

    fn slot(&self, ticket: u64) -> usize {
        (ticket % self.back.len() as u64) as usize
    }

    /// Tells the arena of all that has come back in a row.
    pub(super) fn advance(&mut self) {
        let before = self.flight.settled();
        let mut settled = before;
        while settled < self.flight.lent() {
            let next = self.slot(settled + 1);
            if !mem::take(&mut self.back[next]) {
                break;
            }
            settled += 1;
        }
        if settled > before {
            self.flight.settle(settled);
        }
    }
}

/// A request's number in its call, and its ticket if it is lent.
pub(super) fn tag(index: usize, ticket: u64) -> u64 {
    ticket << 8 | index as u64
}

/// What [`tag`] put together.
pub(super) fn untag(tag: u64) -> (usize, u64) {
    ((tag & 0xff) as usize, tag >> 8)
}

/// Errors that may be the loan's and not the message's: pages that cannot be pinned or found (sporadic on older
/// kernels, where a train is lent), limits on them, kernels that lend less. A full queue (ENOBUFS) is not.
pub(super) fn is_loan_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EFAULT | libc::EINVAL | libc::ENOMEM | libc::EOPNOTSUPP | libc::EMSGSIZE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arena;

    #[test]
    fn tickets_come_back_in_any_order() {
        let arena = Arena::new(4096).unwrap();
        let flight = arena.flight();
        let mut attached = Attached {
            flight: Arc::clone(flight),
            registered: false,
            back: vec![false; 4].into_boxed_slice(),
        };
        for round in 0..10 {
            let first = round * 4 + 1;
            for ticket in first..first + 4 {
                assert_eq!(flight.lend(), ticket);
            }
            for (ticket, settled) in [(2, 0), (1, 0), (1, 0), (0, 3), (2, 3), (3, 4), (0, 4)] {
                attached.take_back(first + ticket);
                assert_eq!(flight.settled(), round * 4 + settled);
            }
        }
    }
}
