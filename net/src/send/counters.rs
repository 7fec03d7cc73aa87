//! What a sender tells of its work.
//!
//! Promises: `sent + dropped` is all that was handed in; what is a fallback is in [`SendCounters::fallbacks`]. Refuses: to
//! count a datagram twice under one name.

#[cfg(doc)]
use crate::{Sender, limits::DEPARTURE_AHEAD_MAX};

/// What became of one [`Sender::send`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Datagrams given up. `sent + dropped` is all that were handed in.
    pub dropped: u64,
    /// System calls that sent or tried to.
    pub system_calls: u64,
}

/// All that a [`Sender`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounters {
    /// Datagrams the kernel took.
    pub datagrams: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Messages the kernel took that carried more than one datagram.
    pub trains: u64,
    /// System calls that sent or tried to.
    pub system_calls: u64,
    /// Datagrams finally not sent, whatever the cause.
    pub packets_send_dropped: u64,
    /// Waits for a full send buffer or device queue.
    pub waits_full: u64,
    /// Trains the kernel refused to cut, whose datagrams went one by one.
    pub gso_refused: u64,
    /// Datagrams larger than the path takes (also in `packets_send_dropped`).
    pub emsgsize: u64,
    /// Times a device queue was full.
    pub enobufs: u64,
    /// Errors of earlier datagrams that a send was told of, and that cost a second try.
    pub soft_errors: u64,
    /// Datagrams that could not be sent for another reason: no route, forbidden (also in
    /// `packets_send_dropped`).
    pub unreachable: u64,
    /// Datagrams the kernel took with a departure time that their route keeps.
    pub departures: u64,
    /// Datagrams handed in for later, on a route that keeps no departure times: they went at once.
    pub departures_unkept: u64,
    /// Datagrams handed in for later than [`DEPARTURE_AHEAD_MAX`]: they leave then (also in `departures`).
    pub departures_bounded: u64,
    /// Messages lent to the kernel that the device read where they lay.
    pub loans_read: u64,
    /// Messages lent to the kernel that it copied all the same.
    pub loans_copied: u64,
    /// Messages whose loan the kernel refused: they went by copy.
    pub loans_refused: u64,
    /// Loans whose ring broke before they came back: the arena takes other memory for theirs when it is leased from.
    pub loans_orphaned: u64,
    /// Rings that were refused or broke, or that turned out worse after they had been chosen: datagrams go without.
    pub uring_refused: u64,
}

impl SendCounters {
    /// Times that something lesser took the place of what was wanted: single datagrams of a train's, now or sooner of a
    /// departure time's, a copy of a loan's, a socket of a ring's.
    pub const fn fallbacks(&self) -> u64 {
        self.gso_refused
            + self.departures_unkept
            + self.departures_bounded
            + self.loans_refused
            + self.uring_refused
    }
}

#[cfg(test)]
mod tests {
    use super::SendCounters;

    #[test]
    fn each_lesser_way_is_a_fallback_and_nothing_else_is() {
        let counters = SendCounters {
            gso_refused: 1,
            departures_unkept: 10,
            departures_bounded: 10_000,
            loans_refused: 100,
            uring_refused: 1_000,
            loans_copied: 7,
            enobufs: 7,
            soft_errors: 7,
            ..SendCounters::default()
        };
        assert_eq!(counters.fallbacks(), 11_111);
    }
}
