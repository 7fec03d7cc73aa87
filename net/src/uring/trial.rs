//! Whether a ring beats plain calls on the route at hand: tried while media flows, on its own trains.
//!
//! Promises: a ring is chosen only if the kernel told of every loan that nothing was copied, and the median cost of
//! a datagram was a tenth less; a copy seen later ends it. Refuses: to judge by anything but this route's own
//! trains (loopback and virtual wires copy, and are found out by their first loan).
//!
//! What a kernel tells decides what a trial can find. Since 6.15 it lends from registered memory. From 6.10 on it tells of
//! copies and lends what it looks up for each train, so the trial is the same, and dearer for the ring. Before 6.10 it may
//! tell (since 6.2), but cannot be asked whether it does: every loan counts as copied, and no ring is ever chosen. An EFAULT that a
//! train on loan meets by chance on older kernels is a refused loan: the train goes by copy in the same call, it is
//! counted, and the trial ends.

use super::Loans;
use crate::Backend;
use crate::limits::TRIAL_CALLS;

/// A trial under way, or its outcome.
#[derive(Debug)]
pub(crate) struct Trial {
    calls: Costs,
    ring: Costs,
    /// Loans made for it.
    lent: u64,
    /// What was known of loans when it began.
    before: Loans,
    verdict: Option<Verdict>,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The ring is better.
    Ring,
    /// The kernel copies what it is lent.
    Copies,
    /// The kernel refuses loans.
    Refuses,
    /// Nothing is copied, and it is no faster all the same.
    NoFaster,
}

/// Who sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Plain calls.
    Calls,
    /// The ring.
    Ring,
}

impl Turn {
    /// The backend that sends.
    pub(crate) fn backend(self) -> Backend {
        match self {
            Turn::Calls => Backend::Gso,
            Turn::Ring => Backend::Uring,
        }
    }
}

/// Nanoseconds a datagram, of a few calls.
#[derive(Debug, Default)]
struct Costs {
    ns: [u64; TRIAL_CALLS],
    count: usize,
}

impl Costs {
    fn add(&mut self, ns: u64) {
        if let Some(place) = self.ns.get_mut(self.count) {
            *place = ns;
            self.count += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.count == TRIAL_CALLS
    }

    fn median(&self) -> u64 {
        let mut sorted = self.ns;
        sorted.sort_unstable();
        sorted[TRIAL_CALLS / 2]
    }
}

impl Trial {
    /// A new one; `before` is what is known of loans by now.
    pub(crate) fn new(before: Loans) -> Self {
        Self { calls: Costs::default(), ring: Costs::default(), lent: 0, before, verdict: None }
    }

    /// Who sends next. Calls first, so that caches and neighbours are warm when the ring's turn comes; then by turns.
    pub(crate) fn turn(&self) -> Turn {
        match self.verdict {
            Some(Verdict::Ring) => Turn::Ring,
            Some(Verdict::Copies | Verdict::Refuses | Verdict::NoFaster) => Turn::Calls,
            None if self.ring.is_full() || self.calls.count <= self.ring.count => Turn::Calls,
            None => Turn::Ring,
        }
    }

    /// A call by `turn` cost `ns` a datagram; `messages` of it were lent, and this is what is known of loans now.
    pub(crate) fn handle_call(&mut self, turn: Turn, ns: u64, messages: u64, loans: Loans) {
        let costs = if turn == Turn::Ring { &mut self.ring } else { &mut self.calls };
        costs.add(ns);
        self.lent += if turn == Turn::Ring { messages } else { 0 };
        self.handle_loans(loans);
    }

    /// This is what is known of loans now.
    pub(crate) fn handle_loans(&mut self, loans: Loans) {
        if loans.copied > self.before.copied {
            self.verdict = Some(Verdict::Copies);
        } else if loans.refused > self.before.refused {
            self.verdict = Some(Verdict::Refuses);
        } else if self.verdict.is_none() && self.calls.is_full() && self.ring.is_full() {
            // Until all loans are back nobody knows that none was copied.
            if loans.read_in_place - self.before.read_in_place == self.lent {
                let wins = self.ring.median() * 10 <= self.calls.median() * 9;
                self.verdict = Some(if wins { Verdict::Ring } else { Verdict::NoFaster });
            }
        }
    }

    /// How it ended, if it has.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that sends at these costs, and tells of a loan `late` calls afterwards.
    struct Device {
        calls_ns: u64,
        ring_ns: u64,
        copies: bool,
        refuses: bool,
        late: usize,
    }

    const CARD: Device = Device { calls_ns: 90, ring_ns: 50, copies: false, refuses: false, late: 0 };

    impl Device {
        fn run(&self, calls: usize) -> (Trial, usize) {
            let mut trial = Trial::new(Loans { copied: 3, read_in_place: 5, refused: 1 });
            let mut loans = trial.before;
            let (mut told, mut by_ring) = (Vec::new(), 0);
            for call in 0..calls {
                let turn = trial.turn();
                by_ring += usize::from(turn == Turn::Ring);
                if turn == Turn::Ring {
                    told.push(call + self.late);
                }
                while told.first().is_some_and(|due| *due <= call) {
                    told.remove(0);
                    loans.copied += u64::from(self.copies);
                    loans.refused += u64::from(self.refuses);
                    loans.read_in_place += u64::from(!self.copies && !self.refuses);
                }
                let ns = if turn == Turn::Ring { self.ring_ns } else { self.calls_ns };
                trial.handle_call(turn, ns, 1, loans);
            }
            (trial, by_ring)
        }
    }

    #[test]
    fn a_card_that_reads_in_place_and_is_faster_is_chosen() {
        for late in [0, 1, 30] {
            let (trial, by_ring) = Device { late, ..CARD }.run(10 * TRIAL_CALLS);
            assert_eq!(trial.verdict(), Some(Verdict::Ring), "{late}");
            assert!(by_ring > 4 * TRIAL_CALLS);
        }
        let (trial, _) = CARD.run(2 * TRIAL_CALLS - 1);
        assert_eq!(trial.verdict(), None, "not before its time");
    }

    #[test]
    fn what_copies_is_found_out_by_its_first_loan_whatever_it_costs() {
        let (trial, by_ring) = Device { copies: true, ring_ns: 1, ..CARD }.run(1000);
        assert_eq!((trial.verdict(), by_ring), (Some(Verdict::Copies), 1));
        let (trial, by_ring) = Device { refuses: true, ring_ns: 1, ..CARD }.run(1000);
        assert_eq!((trial.verdict(), by_ring), (Some(Verdict::Refuses), 1));
    }

    #[test]
    fn a_ring_that_is_hardly_faster_is_not_worth_it() {
        for (ring_ns, verdict) in
            [(81, Verdict::Ring), (82, Verdict::NoFaster), (90, Verdict::NoFaster), (200, Verdict::NoFaster)]
        {
            let (trial, by_ring) = Device { ring_ns, ..CARD }.run(10 * TRIAL_CALLS);
            assert_eq!(trial.verdict(), Some(verdict), "{ring_ns}");
            assert_eq!(by_ring > TRIAL_CALLS, verdict == Verdict::Ring);
        }
    }

    #[test]
    fn a_loan_that_never_comes_back_decides_nothing_and_lends_no_more() {
        let (trial, by_ring) = Device { late: usize::MAX / 2, ..CARD }.run(1000);
        assert_eq!((trial.verdict(), by_ring), (None, TRIAL_CALLS));
    }

    #[test]
    fn a_copy_seen_later_ends_it() {
        let (mut trial, _) = CARD.run(10 * TRIAL_CALLS);
        let loans = Loans { copied: trial.before.copied + 1, ..trial.before };
        trial.handle_loans(loans);
        assert_eq!((trial.verdict(), trial.turn()), (Some(Verdict::Copies), Turn::Calls));
    }
}
