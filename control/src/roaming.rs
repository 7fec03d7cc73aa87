//! Which address a session is at, and how it follows a client that has moved.
//!
//! QUIC follows an authentic datagram to wherever it came from before that address is proven, so that a copy which
//! overtakes its original could redirect a session. Here a session is *at home* where the client last proved itself:
//!
//! 1. What names the session from elsewhere is a *claim*. Each datagram is kept from QUIC for [`CLAIM_HOLD`], and until
//!    enough came from there that three times as much is a whole datagram; an authentic datagram from home ends every
//!    claim. A copy's original is such a datagram.
//! 2. Then QUIC judges what was kept, and if it is authentic and new, QUIC goes there: a *trial*, with QUIC's own path
//!    challenge (RFC 9000, section 9) and a `PathPing` on the control stream. No more is sent than three times what
//!    came from there, and what comes from there waits as before: whoever relays has a copy of the answer too. Whatever
//!    comes from home meanwhile is a *doubt*: the claimant waits once more, and QUIC returns with home's next authentic
//!    datagram, or by itself when its challenge stays unanswered. What is not authentic may be anybody's, or a copy's
//!    original that came late, so that it is a doubt for [`DOUBT_MAX`] of a trial only.
//! 3. The `PathPing`'s answer, in no doubt, is the proof: the address is home now, and media follows.
//! 4. With the first last word, of either end, home is *settled*: nothing can be proven any more, for a client answers no
//!    ping after its Bye. What QUIC says goes home then, wherever QUIC is, and a copy to the address that it is at, within
//!    three times what came from there. So the host's last figures reach a client whose new address never answers as
//!    well as one that has only just moved. Nothing has to wait for its judgement any more.
//!
//! Promises: bounded memory; time is an argument; media's address changes by step 3 alone. Refuses to follow while
//! hands are shaken, and after either end's last word. Cannot tell from a client behind a NAT: one who silences a client and answers in its place; one
//! who copies what it says and hands on what the host says, and whose copies are ahead by more than [`CLAIM_HOLD`] both
//! ways, or for whom the network loses all originals from a trial's beginning to its answer. He gets sealed media that
//! he cannot open, and can keep it from the client, as anybody on the way can. Nor does it help a client against one
//! who floods the host in the names of more than [`CLAIMS_MAX`] addresses, or in the name of its new one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::limits::{CLAIM_DATAGRAMS_MAX, CLAIM_HOLD, CLAIMS_MAX, DOUBT_MAX, UDP_PAYLOAD_BYTES_MIN};

/// What may be sent to an address that is not proven, as a multiple of what came from it (RFC 9000, section 8.1).
const AMPLIFICATION_MAX: u64 = 3;

/// What must have come from a claimant: three times as much is QUIC's smallest path challenge.
const CLAIM_BYTES_MIN: u64 = (UDP_PAYLOAD_BYTES_MIN as u64).div_ceil(AMPLIFICATION_MAX);

/// Datagrams of one address that are kept from QUIC.
#[derive(Debug)]
struct Claim<E> {
    from: SocketAddr,
    /// Bytes that came from there, those let go included, those that a trial was granted for left out.
    bytes: u64,
    /// Each with its arrival.
    datagrams: VecDeque<(Instant, E)>,
}

/// An address that QUIC has gone to and that is not proven.
#[derive(Debug)]
struct Trial {
    to: SocketAddr,
    began: Instant,
    nonce: u64,
    received: u64,
    sent: u64,
    /// When home was last heard.
    doubted: Option<Instant>,
}

impl Trial {
    fn allows(&self, bytes: usize) -> bool {
        self.sent + bytes as u64 <= AMPLIFICATION_MAX * self.received
    }

    fn is_doubted(&self, now: Instant) -> bool {
        self.doubted.is_some_and(|at| now < at + CLAIM_HOLD)
    }
}

/// What an answered ping means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The address that QUIC is at is home.
    Proven,
    /// Home was heard just now: ask again, by this nonce.
    Doubted(u64),
    /// It is no address's that is tried.
    Stale,
}

/// Totals since the session began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RoamingCounters {
    /// Times that the client proved another address.
    pub(crate) changed: u64,
    /// Times that an address was tried and not proven.
    pub(crate) refused: u64,
    /// Datagrams that came from another address than home, those of a client that then proved it included.
    pub(crate) strayed: u64,
}

/// Where a session is. `E` is a datagram as QUIC takes it.
#[derive(Debug)]
pub(crate) struct Roaming<E> {
    home: SocketAddr,
    claims: Vec<Claim<E>>,
    /// What was handed to QUIC last, of a claim: from where, and how much came from there.
    judged: Option<(SocketAddr, u64)>,
    trial: Option<Trial>,
    /// Whether a last word was said.
    is_settled: bool,
    counters: RoamingCounters,
}

impl<E> Roaming<E> {
    pub(crate) fn new(home: SocketAddr) -> Self {
        Self {
            home,
            claims: Vec::new(),
            judged: None,
            trial: None,
            is_settled: false,
            counters: RoamingCounters::default(),
        }
    }

    /// A last word was said: home stays what it is.
    pub(crate) fn settle(&mut self) {
        if !self.is_settled {
            self.is_settled = true;
            self.counters.refused += u64::from(self.trial.as_ref().is_some_and(|trial| trial.received > 0));
        }
    }

    /// The address that the client has proven.
    pub(crate) fn home(&self) -> SocketAddr {
        self.home
    }

    /// Whether QUIC is at an address that is not proven.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    pub(crate) fn counters(&self) -> RoamingCounters {
        self.counters
    }

    /// Takes a datagram of the session; gives it back when QUIC may have it now.
    pub(crate) fn handle_datagram(
        &mut self,
        from: SocketAddr,
        bytes: usize,
        datagram: E,
        now: Instant,
    ) -> Option<E> {
        if from == self.home {
            // Beyond that only what is authentic is a doubt.
            if let Some(trial) = self.trial.as_mut().filter(|trial| now < trial.began + DOUBT_MAX) {
                trial.doubted = Some(now);
            }
            return Some(datagram);
        }
        self.counters.strayed += 1;
        if self.is_settled {
            self.judged = Some((from, bytes as u64));
            if let Some(trial) = self.trial.as_mut().filter(|trial| trial.to == from) {
                trial.received += bytes as u64;
            }
            return Some(datagram);
        }
        self.claim(from, bytes as u64, datagram, now);
        None
    }

    fn claim(&mut self, from: SocketAddr, bytes: u64, datagram: E, now: Instant) {
        let known = self.claims.iter().position(|claim| claim.from == from);
        let index = known.unwrap_or_else(|| {
            self.make_room();
            self.claims.push(Claim { from, bytes: 0, datagrams: VecDeque::new() });
            self.claims.len() - 1
        });
        let claim = &mut self.claims[index];
        // What came counts once, for this trial or for a later one.
        match self.trial.as_mut().filter(|trial| trial.to == from) {
            Some(trial) => trial.received += bytes,
            None => claim.bytes += bytes,
        }
        // The first to come are the first whose time is up: a flood must not push them out.
        if claim.datagrams.len() < CLAIM_DATAGRAMS_MAX {
            claim.datagrams.push_back((now, datagram));
        }
    }

    /// Lets go of the claim that has given least, and never of the one that is tried.
    fn make_room(&mut self) {
        let tried = self.trial.as_ref().map(|trial| trial.to);
        let others = self.claims.iter().enumerate().filter(|(_, claim)| Some(claim.from) != tried);
        let least = others.min_by_key(|(_, claim)| claim.bytes).map(|(index, _)| index);
        if let Some(least) = least.filter(|_| self.claims.len() == CLAIMS_MAX) {
            self.claims.remove(least);
        }
    }

    /// A new, authentic datagram came from home: whoever claims to be the client is not, unless the client has left
    /// since and QUIC knows it.
    pub(crate) fn handle_home_heard(&mut self, now: Instant) {
        match &mut self.trial {
            Some(trial) => trial.doubted = Some(now),
            None => self.claims.clear(),
        }
    }

    /// When the first datagram of a claim may be judged, if enough came for that.
    fn due(&self, claim: &Claim<E>) -> Option<Instant> {
        let is_tried = self.trial.as_ref().is_some_and(|trial| trial.to == claim.from);
        let (came, _) = claim.datagrams.front()?;
        if claim.from == self.home || self.is_settled {
            return Some(*came);
        }
        let doubted = self.trial.as_ref().and_then(|trial| trial.doubted);
        let due = doubted.map_or(*came, |at| at.max(*came)) + CLAIM_HOLD;
        (is_tried || claim.bytes >= CLAIM_BYTES_MIN).then_some(due)
    }

    /// When [`Roaming::poll_datagram`] has something to be judged.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.claims.iter().filter_map(|claim| self.due(claim)).min()
    }

    /// The next datagram that QUIC shall judge: home has been silent for long enough.
    pub(crate) fn poll_datagram(&mut self, now: Instant) -> Option<E> {
        let is_due = |claim: &Claim<E>| self.due(claim).is_some_and(|due| due <= now);
        let index = self.claims.iter().position(is_due)?;
        let claim = &mut self.claims[index];
        self.judged = Some((claim.from, claim.bytes));
        let (_, datagram) = claim.datagrams.pop_front()?;
        if claim.datagrams.is_empty() {
            self.claims.remove(index);
        }
        Some(datagram)
    }

    /// QUIC is at `at` now. Gives the nonce to ping it with when that is an address to be tried and can be proven.
    pub(crate) fn handle_path(
        &mut self,
        at: SocketAddr,
        nonce: impl FnOnce() -> u64,
        now: Instant,
    ) -> Option<u64> {
        let judged = self.judged.take();
        if let Some(trial) = self.trial.take_if(|trial| trial.to != at) {
            // Where QUIC only fell back to, nobody claimed to be.
            self.counters.refused += u64::from(trial.received > 0 && !self.is_settled);
        }
        if at == self.home || self.trial.is_some() {
            return None;
        }
        let received = judged.filter(|(from, _)| *from == at).map_or(0, |(_, bytes)| bytes);
        for claim in self.claims.iter_mut().filter(|claim| claim.from == at) {
            claim.bytes = 0;
        }
        let nonce = nonce();
        self.trial = Some(Trial { to: at, began: now, nonce, received, sent: 0, doubted: None });
        (!self.is_settled).then_some(nonce)
    }

    /// A ping was answered.
    pub(crate) fn handle_pong(&mut self, nonce: u64, next: impl FnOnce() -> u64, now: Instant) -> Answer {
        let asked = self.trial.as_mut().filter(|trial| trial.nonce == nonce && !self.is_settled);
        let Some(trial) = asked else { return Answer::Stale };
        if trial.is_doubted(now) {
            trial.nonce = next();
            return Answer::Doubted(trial.nonce);
        }
        self.home = trial.to;
        self.trial = None;
        // What it has said since may go at once.
        self.claims.retain(|claim| claim.from == self.home);
        self.counters.changed += 1;
        Answer::Proven
    }

    /// Whether QUIC may say so many bytes where it is, or home may have them instead.
    pub(crate) fn may_send(&self, bytes: usize) -> bool {
        self.is_settled || self.trial.as_ref().is_none_or(|trial| trial.allows(bytes))
    }

    /// Where a datagram of QUIC's to `dest` goes, and where a copy of it goes.
    pub(crate) fn route(&self, dest: SocketAddr, bytes: usize) -> (SocketAddr, Option<SocketAddr>) {
        if !self.is_settled {
            return (dest, None);
        }
        let tried = self.trial.as_ref().filter(|trial| trial.to == dest && trial.allows(bytes));
        (self.home, tried.map(|trial| trial.to))
    }

    /// So much was sent to `dest`.
    pub(crate) fn handle_sent(&mut self, dest: SocketAddr, bytes: usize) {
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.to == dest) {
            trial.sent += bytes as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const STEP: Duration = Duration::from_millis(1);

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 9))
    }

    fn all(roaming: &mut Roaming<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| roaming.poll_datagram(now)).collect()
    }

    #[test]
    fn a_claim_waits_for_homes_silence_and_for_bytes() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        assert_eq!(roaming.handle_datagram(at(1), 80, 0, start), Some(0));
        assert_eq!(roaming.handle_datagram(at(2), 399, 1, start), None);
        assert_eq!((roaming.poll_timeout(), all(&mut roaming, start + 9 * CLAIM_HOLD)), (None, vec![]));
        assert_eq!(roaming.handle_datagram(at(2), 1, 2, start + STEP), None);
        assert_eq!(roaming.poll_timeout(), Some(start + CLAIM_HOLD));
        assert_eq!(all(&mut roaming, start + CLAIM_HOLD - STEP / 2), []);
        // Its original came.
        roaming.handle_home_heard(start);
        assert_eq!((roaming.poll_timeout(), all(&mut roaming, start + CLAIM_HOLD)), (None, vec![]));
        assert_eq!(roaming.handle_datagram(at(2), 1_000, 3, start), None);
        assert_eq!(all(&mut roaming, start + CLAIM_HOLD), [3]);
        assert_eq!(roaming.counters().strayed, 3);
    }

    /// Claims, is judged and tried, for 400 bytes.
    fn try_at(roaming: &mut Roaming<u32>, to: SocketAddr, nonce: u64, now: Instant) -> Instant {
        roaming.handle_datagram(to, 400, 1, now);
        let due = now + CLAIM_HOLD;
        assert_eq!(all(roaming, due), [1]);
        assert_eq!(roaming.handle_path(to, || nonce, due), Some(nonce));
        due
    }

    #[test]
    fn only_the_answer_to_the_ping_moves_home() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        roaming.handle_datagram(at(2), 500, 1, start);
        let due = start + CLAIM_HOLD;
        assert_eq!(all(&mut roaming, due), [1]);
        assert_eq!(roaming.handle_path(at(1), || 7, due), None, "QUIC did not believe it");
        let due = try_at(&mut roaming, at(2), 7, due);
        assert_eq!(roaming.handle_path(at(2), || 8, due), None, "once");
        assert_eq!(roaming.handle_datagram(at(2), 100, 3, due), None, "the answer's original has its time");
        assert_eq!(roaming.poll_timeout(), Some(due + CLAIM_HOLD));
        let due = due + CLAIM_HOLD;
        roaming.handle_datagram(at(2), 100, 4, due - STEP);
        roaming.handle_datagram(at(3), 900, 5, due - STEP);
        assert_eq!(all(&mut roaming, due), [3]);
        assert_eq!(roaming.handle_pong(8, || 9, due), Answer::Stale);
        assert_eq!((roaming.handle_pong(7, || 9, due), roaming.home()), (Answer::Proven, at(2)));
        assert_eq!((all(&mut roaming, due), roaming.poll_timeout()), (vec![4], None), "it waits no longer");
        assert_eq!((roaming.handle_pong(7, || 9, due), roaming.is_on_trial()), (Answer::Stale, false));
        let counters = roaming.counters();
        assert_eq!((counters.changed, counters.refused), (1, 0));
        // QUIC has lost its own answer and goes back to where nobody is; the client's next datagram brings it here.
        assert_eq!(roaming.handle_path(at(1), || 10, due), Some(10));
        assert!(!roaming.may_send(1));
        assert_eq!(roaming.handle_path(at(2), || 11, due), None);
        assert_eq!(roaming.counters(), counters);
    }

    #[test]
    fn no_more_than_three_times_is_sent_to_a_trial() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        assert!(roaming.may_send(1 << 20), "home is proven");
        let now = try_at(&mut roaming, at(2), 7, start);
        assert!(roaming.may_send(1_200) && !roaming.may_send(1_201));
        roaming.handle_sent(at(1), 1_200);
        roaming.handle_sent(at(2), 1_200);
        assert!(!roaming.may_send(1));
        roaming.handle_datagram(at(2), 400, 1, now);
        assert!(roaming.may_send(1_200) && !roaming.may_send(1_201));
        roaming.handle_sent(at(2), 1_200);
        // The trial fails; what has been spent grants no other one, whatever waits.
        assert_eq!(roaming.handle_path(at(1), || 8, now), None);
        assert_eq!(all(&mut roaming, now + 9 * CLAIM_HOLD), []);
        roaming.handle_datagram(at(2), 400, 2, now);
        assert_eq!(all(&mut roaming, now + CLAIM_HOLD), [1, 2]);
        assert_eq!(roaming.handle_path(at(2), || 9, now), Some(9));
        assert!(roaming.may_send(1_200) && !roaming.may_send(1_201));
    }

    #[test]
    fn after_a_last_word_home_stays_and_has_all() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        let now = try_at(&mut roaming, at(2), 7, start);
        roaming.handle_datagram(at(3), 80, 3, now);
        assert_eq!(roaming.route(at(2), 1_200), (at(2), None));
        roaming.settle();
        // Nothing waits any more, and nothing is proven.
        assert_eq!((roaming.poll_timeout(), all(&mut roaming, now)), (Some(now), vec![3]));
        assert_eq!(roaming.handle_datagram(at(2), 80, 4, now), Some(4));
        assert_eq!(roaming.handle_pong(7, || 8, now), Answer::Stale);
        // Three times the 480 bytes that came from there.
        assert_eq!(roaming.route(at(2), 1_440), (at(1), Some(at(2))));
        roaming.handle_sent(at(2), 1_440);
        assert_eq!(roaming.route(at(2), 1), (at(1), None));
        assert_eq!(roaming.route(at(1), 9_000), (at(1), None));
        assert!(roaming.may_send(9_000));
        // Wherever QUIC goes, nobody is asked.
        assert_eq!(roaming.handle_datagram(at(4), 100, 5, now), Some(5));
        assert_eq!(roaming.handle_path(at(4), || 9, now), None);
        assert_eq!(roaming.route(at(4), 300), (at(1), Some(at(4))));
        assert_eq!((roaming.home(), roaming.counters().refused, roaming.counters().changed), (at(1), 1, 0));
    }

    #[test]
    fn home_puts_a_trial_in_doubt_and_ends_it_when_quic_returns() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        let mut now = try_at(&mut roaming, at(2), 7, start);
        assert_eq!(roaming.handle_datagram(at(2), 80, 3, now), None, "it waits");
        assert_eq!(roaming.handle_datagram(at(1), 80, 2, now + STEP), Some(2));
        assert_eq!(all(&mut roaming, now + CLAIM_HOLD), []);
        assert_eq!(roaming.handle_pong(7, || 8, now + STEP), Answer::Doubted(8), "home may have said it");
        // Home was a straggler only: the trial goes on, in order.
        now += CLAIM_HOLD + STEP;
        assert_eq!(roaming.poll_timeout(), Some(now));
        assert_eq!(roaming.handle_datagram(at(2), 80, 4, now), None);
        assert_eq!(all(&mut roaming, now), [3]);
        assert_eq!(all(&mut roaming, now + CLAIM_HOLD), [4]);
        // Home was the client.
        assert_eq!(roaming.handle_datagram(at(1), 80, 6, now), Some(6));
        assert_eq!(roaming.handle_path(at(1), || 9, now), None);
        assert_eq!(roaming.handle_pong(8, || 9, now), Answer::Stale, "too late");
        assert_eq!(roaming.counters().refused, 1);
        assert_eq!(roaming.home(), at(1));
    }

    /// Before QUIC has seen it, a datagram may be anybody's.
    #[test]
    fn what_is_not_authentic_is_a_doubt_for_a_while_only() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        let began = try_at(&mut roaming, at(2), 7, start);
        roaming.handle_datagram(at(2), 80, 3, began);
        let released = (0..100).map(|step| began + step * STEP).find(|now| {
            roaming.handle_datagram(at(1), 80, 0, *now);
            all(&mut roaming, *now) == [3]
        });
        let released = released.expect("garbage holds nobody off for ever");
        assert_eq!(released, began + DOUBT_MAX - STEP + CLAIM_HOLD);
        // Authentic and new is one at any time, though QUIC stays where it heard what was sent later.
        roaming.handle_home_heard(released);
        assert_eq!(roaming.handle_pong(7, || 8, released), Answer::Doubted(8));
        assert_eq!(roaming.handle_pong(8, || 9, released + CLAIM_HOLD), Answer::Proven);
    }

    #[test]
    fn a_crowd_of_addresses_pushes_out_neither_who_gave_more_nor_who_is_tried() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        let crowd = |roaming: &mut Roaming<u32>, bytes| {
            for last in 10..30 {
                roaming.handle_datagram(at(last), bytes, 0, start);
            }
        };
        roaming.handle_datagram(at(2), 400, 1, start);
        crowd(&mut roaming, 399);
        assert_eq!(all(&mut roaming, start + CLAIM_HOLD), [1]);
        roaming.handle_path(at(2), || 7, start);
        roaming.handle_datagram(at(2), 80, 2, start);
        crowd(&mut roaming, 1_200);
        assert!(all(&mut roaming, start + CLAIM_HOLD).contains(&2));
    }

    #[test]
    fn a_flood_of_claims_is_bounded() {
        let (mut roaming, start) = (Roaming::new(at(0)), Instant::now());
        for number in 0..10_000_u32 {
            roaming.handle_datagram(at(1 + (number % 200) as u8), 1_200, number, start);
            roaming.handle_datagram(at(250), 1_200, number, start);
        }
        assert!(roaming.claims.len() <= CLAIMS_MAX);
        assert!(roaming.claims.iter().all(|claim| claim.datagrams.len() <= CLAIM_DATAGRAMS_MAX));
        assert!(all(&mut roaming, start + CLAIM_HOLD).len() <= CLAIMS_MAX * CLAIM_DATAGRAMS_MAX);
        assert_eq!(roaming.counters().strayed, 20_000);
    }
}
