//! A sender's ring: wanted, on trial, used, or done without.
//!
//! Promises: it is made by the thread that sends; how a trial ended is said, and said again when that changes; where nobody
//! forced a backend, each change of destination has a trial of its own, [`TRIALS_MAX`] in all, whatever came of the last
//! one, and a former destination's too. Refuses: to make another ring once one was refused or broke, and to judge a route by another's loans.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::SendCounters;
use crate::flight::Flight;
use crate::limits::TRIALS_MAX;
use crate::uring::{Loans, Trial, Turn, UringSend, Verdict};

/// The ring that one sender has, had, or wants.
#[derive(Debug)]
pub(super) struct OwnRing {
    /// Nobody forced a backend: a ring is used only where a trial says so.
    on_trial: bool,
    /// To be made when the sending thread first comes by: a thread that had one is interrupted when it goes, and the
    /// thread that makes senders may be in a call that does not like that.
    wanted: bool,
    made: Option<UringSend>,
    /// What is lent from.
    flight: Option<Arc<Flight>>,
    /// A trial is to begin once nothing is lent.
    trial_due: bool,
    trial: Option<Trial>,
    /// Where the trial's trains go.
    tried_to: Option<SocketAddr>,
    trials: u32,
    /// How the trial was last said to have ended.
    said: Option<Verdict>,
    /// Of rings that were let go.
    former: Loans,
}

impl OwnRing {
    /// `wanted` by somebody, or to be tried.
    pub(super) fn new(wanted: bool, on_trial: bool) -> Self {
        Self {
            on_trial,
            wanted,
            made: None,
            flight: None,
            trial_due: false,
            trial: None,
            tried_to: None,
            trials: 0,
            said: None,
            former: Loans::default(),
        }
    }

    /// # Panics
    /// If there is something to lend from already.
    pub(super) fn attach(&mut self, flight: &Arc<Flight>) {
        assert!(self.flight.is_none(), "a sender lends from one arena");
        self.flight = Some(Arc::clone(flight));
        if let Some(ring) = &mut self.made {
            ring.attach(flight);
        }
    }

    /// What is sent from now on goes to `dest`: what holds of one route says nothing of another.
    pub(super) fn head_for(&mut self, dest: SocketAddr) {
        if !self.on_trial || self.flight.is_none() || self.tried_to == Some(dest) {
            return;
        }
        self.tried_to = Some(dest);
        self.trial = None;
        self.said = None;
        self.trial_due = self.trials < TRIALS_MAX;
        if self.trial_due {
            self.trials += 1;
            self.wanted = self.made.is_none();
        }
    }

    /// Makes the ring that is wanted.
    ///
    /// # Errors
    /// The kernel gives none.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if !mem::take(&mut self.wanted) {
            return Ok(());
        }
        let mut ring = UringSend::new()?;
        if let Some(flight) = &self.flight {
            ring.attach(flight);
        }
        self.made = Some(ring);
        Ok(())
    }

    /// The ring, if it has been made.
    pub(super) fn made(&mut self) -> Option<&mut UringSend> {
        self.made.as_mut()
    }

    /// Whether trains are to go through it.
    pub(super) fn is_chosen(&self) -> bool {
        match self.on_trial {
            true => self.made.is_some() && self.verdict() == Some(Verdict::Ring),
            false => self.made.is_some() || self.wanted,
        }
    }

    /// Whose turn it is while a trial of the ring is on; `None` where none is, or for what is not to be lent.
    pub(super) fn turn(&mut self, bytes: &[u8], message: usize) -> Option<Turn> {
        let ring = self.made.as_ref()?;
        if self.trial_due && ring.lent() == 0 {
            self.trial_due = false;
            self.trial = Some(Trial::new(ring.loans()));
        }
        let trial = self.trial.as_ref()?;
        (trial.verdict().is_none() && ring.would_lend(bytes, message)).then(|| trial.turn())
    }

    /// A turn cost `spent` for `datagrams` in `messages`.
    pub(super) fn note_turn(
        &mut self,
        turn: Turn,
        spent: Duration,
        datagrams: usize,
        messages: usize,
        counters: &mut SendCounters,
    ) {
        let (Some(ring), Some(trial)) = (&self.made, &mut self.trial) else { return };
        let ns = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX) / datagrams.max(1) as u64;
        trial.handle_call(turn, ns, messages as u64, ring.loans());
        self.say_verdict(counters);
    }

    /// Takes in what the kernel has done with, and waits for the rest no longer than `patience`. Whether nothing is
    /// lent any more.
    pub(super) fn settle(&mut self, patience: Duration, counters: &mut SendCounters) -> bool {
        let Some(ring) = &mut self.made else {
            // What a ring that has gone left behind settles with the arena's next lease.
            return self.flight.as_ref().is_none_or(|flight| flight.lent() == flight.settled());
        };
        let settled = ring.settle(patience);
        self.count(counters);
        let is_of_no_use = match self.verdict() {
            Some(verdict) => verdict != Verdict::Ring,
            // No trial is left that could choose it.
            None => self.on_trial && !self.trial_due && self.trial.is_none(),
        };
        if settled && is_of_no_use {
            // The arena's memory need not stay pinned.
            self.let_go();
        }
        settled
    }

    /// Takes over what the ring has counted.
    pub(super) fn count(&mut self, counters: &mut SendCounters) {
        let Some(ring) = &mut self.made else { return };
        let loans = ring.loans();
        counters.system_calls += mem::take(&mut ring.system_calls);
        counters.loans_read = self.former.read_in_place + loans.read_in_place;
        counters.loans_copied = self.former.copied + loans.copied;
        counters.loans_refused = self.former.refused + loans.refused;
        if let Some(trial) = &mut self.trial {
            trial.handle_loans(loans);
            self.say_verdict(counters);
        }
    }

    /// Goes on without a ring, for good.
    pub(super) fn leave(&mut self, counters: &mut SendCounters) {
        if let Some(ring) = &mut self.made {
            counters.loans_orphaned += ring.end();
        }
        self.count(counters);
        self.let_go();
        counters.uring_refused += 1;
        (self.on_trial, self.wanted, self.trial_due, self.trial) = (false, false, false, None);
    }

    fn let_go(&mut self) {
        if let Some(ring) = self.made.take() {
            let loans = ring.loans();
            self.former.read_in_place += loans.read_in_place;
            self.former.copied += loans.copied;
            self.former.refused += loans.refused;
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        self.trial.as_ref().and_then(Trial::verdict)
    }

    fn say_verdict(&mut self, counters: &mut SendCounters) {
        let verdict = self.verdict();
        let before = mem::replace(&mut self.said, verdict);
        match (before, verdict) {
            (before, verdict) if before == verdict => {}
            (_, Some(Verdict::Ring)) => {
                tracing::info!("io_uring lends without a copy here, and is faster: it is used");
            }
            (Some(Verdict::Ring), Some(verdict)) => {
                counters.uring_refused += 1;
                tracing::warn!(
                    ?verdict,
                    "io_uring was used, and does not pay here any more: it is done without"
                );
            }
            (_, Some(verdict)) => tracing::debug!(?verdict, "io_uring was tried, and does not pay here"),
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Family, RawAddr, RawPath};
    use crate::limits::TRIAL_CALLS;
    use crate::{Arena, uring};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    const MESSAGE: usize = 20_000;

    /// A trial that a ring has won.
    fn won() -> Trial {
        let mut trial = Trial::new(Loans::default());
        let mut loans = Loans::default();
        for _ in 0..TRIAL_CALLS {
            trial.handle_call(Turn::Calls, 100, 1, loans);
            loans.read_in_place += 1;
            trial.handle_call(Turn::Ring, 10, 1, loans);
        }
        assert_eq!(trial.verdict(), Some(Verdict::Ring));
        trial
    }

    #[test]
    fn what_a_ring_left_behind_is_settled_by_the_arena() {
        let mut arena = Arena::new(MESSAGE).unwrap();
        let (mut ring, mut counters) = (OwnRing::new(false, false), SendCounters::default());
        assert!(ring.settle(Duration::ZERO, &mut counters), "nothing can be lent");
        ring.attach(arena.flight());
        assert!(ring.settle(Duration::ZERO, &mut counters), "nothing is lent");
        arena.flight().lend();
        arena.flight().orphan();
        ring.leave(&mut counters);
        assert!(!ring.settle(Duration::ZERO, &mut counters), "nobody has told");
        let lease = arena.lease(1).unwrap();
        assert!(ring.settle(Duration::ZERO, &mut counters), "the arena has other memory");
        arena.release(lease);
    }

    #[test]
    fn a_ring_is_let_go_once_no_trial_is_left_that_could_choose_it() {
        if let Err(cause) = uring::probe() {
            eprintln!("punktfunk-net: not run: a ring without trials ({cause})");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs every tier: {cause}");
            return;
        }
        let arena = Arena::new(MESSAGE).unwrap();
        let (mut ring, mut counters) = (OwnRing::new(false, true), SendCounters::default());
        ring.attach(arena.flight());
        // To and fro: each change counts.
        for change in 0..TRIALS_MAX {
            ring.head_for(SocketAddr::from(([127, 0, 0, 1], 9 + (change % 2) as u16)));
            ring.prepare().unwrap();
            assert!(ring.settle(Duration::ZERO, &mut counters));
            assert!(ring.made().is_some() && ring.trial_due, "change {change}");
        }
        ring.head_for(SocketAddr::from(([127, 0, 0, 1], 11)));
        ring.prepare().unwrap();
        assert!(ring.settle(Duration::ZERO, &mut counters));
        assert!(ring.made().is_none() && !ring.is_chosen());
    }

    #[test]
    fn a_ring_that_was_chosen_and_turns_out_to_copy_is_let_go_said_and_counted() {
        if let Err(cause) = uring::probe() {
            eprintln!("punktfunk-net: not run: a ring that was chosen ({cause})");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs every tier: {cause}");
            return;
        }
        let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let dest = to.local_addr().unwrap();
        let path =
            RawPath { dest: RawAddr::encode(dest, Family::V4).unwrap(), source: None, departure_ns: None };
        let mut arena = Arena::new(MESSAGE).unwrap();
        let (mut ring, mut counters) = (OwnRing::new(false, true), SendCounters::default());
        ring.attach(arena.flight());
        ring.head_for(dest);
        ring.prepare().unwrap();
        assert!(ring.made().is_some() && !ring.is_chosen(), "it is on trial");
        (ring.trial, ring.trial_due) = (Some(won()), false);
        ring.say_verdict(&mut counters);
        assert!(ring.is_chosen());
        let lease = arena.lease(MESSAGE).unwrap();
        let sent = ring.made().unwrap().send(from.as_fd(), &path, arena.bytes(&lease), MESSAGE, None);
        assert_eq!(sent.unwrap(), 1);
        arena.release(lease);
        assert!(ring.settle(Duration::from_secs(2), &mut counters));
        assert_eq!((counters.loans_copied, counters.uring_refused), (1, 1), "{counters:?}");
        assert_eq!((ring.said, ring.is_chosen()), (Some(Verdict::Copies), false));
        assert!(ring.made().is_none() && !ring.wanted);
        ring.settle(Duration::ZERO, &mut counters);
        assert_eq!(counters.uring_refused, 1, "once");
        // The same destination again is none that is new; another is.
        ring.head_for(dest);
        assert!(!ring.wanted);
        ring.head_for("127.0.0.1:9".parse().unwrap());
        assert!(ring.wanted && ring.trial_due);
        // Once refused, never again.
        ring.leave(&mut counters);
        ring.head_for(dest);
        assert!(!ring.wanted && !ring.is_chosen());
        assert_eq!(counters.uring_refused, 2);
    }
}
