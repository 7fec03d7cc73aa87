//! Which address a session is at, and how it follows a client that has moved.
//!
//! QUIC follows an authentic datagram to wherever it came from before that address is proven, so that a copy which
//! overtakes its original could redirect a session. Here a session is *at home* where the client last proved itself:
//!
//! 1. What names the session from elsewhere is a *claim*. It is kept from QUIC until home has been silent for
//!    [`CLAIM_HOLD`] since, and enough came from there that three times as much is a whole datagram; an authentic
//!    datagram from home ends every claim. A copy's original is such a datagram.
//! 2. Then QUIC judges what was kept, and if it is authentic and new, QUIC goes there: a *trial*, with QUIC's own path
//!    challenge (RFC 9000, section 9) and a `PathPing` on the control stream. No more is sent than three times what
//!    came from there. Whatever comes from home meanwhile is a *doubt*: the claimant waits once more, and QUIC returns
//!    with home's next authentic datagram, or by itself when its challenge stays unanswered.
//! 3. The `PathPing`'s answer is the proof: the address is home now, and media follows.
//!
//! Promises: bounded memory; time is an argument; media's address changes by step 3 alone. Refuses to follow while
//! hands are shaken, and to tell one who can silence a client and answer in its place from a client behind a NAT.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::limits::{CLAIM_DATAGRAMS_MAX, CLAIM_HOLD, CLAIMS_MAX, UDP_PAYLOAD_BYTES_MIN};

/// What may be sent to an address that is not proven, as a multiple of what came from it (RFC 9000, section 8.1).
const AMPLIFICATION_MAX: u64 = 3;

/// What must have come from a claimant: three times as much is QUIC's smallest path challenge.
const CLAIM_BYTES_MIN: u64 = (UDP_PAYLOAD_BYTES_MIN as u64).div_ceil(AMPLIFICATION_MAX);

/// Datagrams of one address that are kept from QUIC.
#[derive(Debug)]
struct Claim<E> {
    from: SocketAddr,
    since: Instant,
    /// Bytes that came from there, those let go included.
    bytes: u64,
    datagrams: VecDeque<E>,
}

/// An address that QUIC has gone to and that is not proven.
#[derive(Debug)]
struct Trial {
    to: SocketAddr,
    nonce: u64,
    received: u64,
    sent: u64,
    /// When home was last heard.
    doubted: Option<Instant>,
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
    counters: RoamingCounters,
}

impl<E> Roaming<E> {
    pub(crate) fn new(home: SocketAddr) -> Self {
        Self { home, claims: Vec::new(), judged: None, trial: None, counters: RoamingCounters::default() }
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
        let bytes = bytes as u64;
        if from == self.home {
            if let Some(trial) = &mut self.trial {
                trial.doubted = Some(now);
            }
            return Some(datagram);
        }
        self.counters.strayed += 1;
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.to == from) {
            trial.received += bytes;
            trial.doubted = trial.doubted.filter(|since| now < *since + CLAIM_HOLD);
            // What waited for the doubt to end goes first.
            if trial.doubted.is_none() && !self.claims.iter().any(|claim| claim.from == from) {
                return Some(datagram);
            }
        }
        self.claim(from, bytes, datagram, now);
        None
    }

    fn claim(&mut self, from: SocketAddr, bytes: u64, datagram: E, now: Instant) {
        let known = self.claims.iter().position(|claim| claim.from == from);
        let index = known.unwrap_or_else(|| {
            if self.claims.len() == CLAIMS_MAX {
                // They are in the order of their beginnings; the oldest has had its time.
                self.claims.remove(0);
            }
            self.claims.push(Claim { from, since: now, bytes: 0, datagrams: VecDeque::new() });
            self.claims.len() - 1
        });
        let claim = &mut self.claims[index];
        claim.bytes += bytes;
        if claim.datagrams.len() == CLAIM_DATAGRAMS_MAX {
            claim.datagrams.pop_front();
        }
        claim.datagrams.push_back(datagram);
    }

    /// An authentic datagram came from home while QUIC was there: whoever claims to be the client is not.
    pub(crate) fn handle_home_heard(&mut self) {
        if self.trial.is_none() {
            self.claims.clear();
        }
    }

    fn is_due(&self, claim: &Claim<E>, now: Instant) -> bool {
        let is_tried = self.trial.as_ref().is_some_and(|trial| trial.to == claim.from);
        now >= self.due(claim) && (is_tried || claim.bytes >= CLAIM_BYTES_MIN)
    }

    fn due(&self, claim: &Claim<E>) -> Instant {
        let doubted = self.trial.as_ref().and_then(|trial| trial.doubted);
        doubted.map_or(claim.since, |since| since.max(claim.since)) + CLAIM_HOLD
    }

    /// When [`Roaming::poll_datagram`] has something to be judged.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.claims
            .iter()
            .map(|claim| (claim, self.due(claim)))
            .filter(|(claim, due)| self.is_due(claim, *due))
            .map(|(_, due)| due)
            .min()
    }

    /// The next datagram that QUIC shall judge: home has been silent for long enough.
    pub(crate) fn poll_datagram(&mut self, now: Instant) -> Option<E> {
        let index = self.claims.iter().position(|claim| self.is_due(claim, now))?;
        let claim = &mut self.claims[index];
        self.judged = Some((claim.from, claim.bytes));
        let datagram = claim.datagrams.pop_front();
        if claim.datagrams.is_empty() {
            self.claims.remove(index);
        }
        datagram
    }

    /// QUIC is at `at` now. Gives the nonce to ping it with when that is an address to be tried.
    pub(crate) fn handle_path(&mut self, at: SocketAddr, nonce: impl FnOnce() -> u64) -> Option<u64> {
        if self.trial.as_ref().is_some_and(|trial| trial.to != at) {
            self.trial = None;
            self.counters.refused += 1;
        }
        if at == self.home || self.trial.is_some() {
            return None;
        }
        let received = self.judged.filter(|(from, _)| *from == at).map_or(0, |(_, bytes)| bytes);
        let nonce = nonce();
        self.trial = Some(Trial { to: at, nonce, received, sent: 0, doubted: None });
        Some(nonce)
    }

    /// A ping was answered; whether that proves the address that QUIC is at.
    pub(crate) fn handle_pong(&mut self, nonce: u64) -> bool {
        let Some(trial) = self.trial.take_if(|trial| trial.nonce == nonce) else { return false };
        self.home = trial.to;
        self.claims.clear();
        self.counters.changed += 1;
        true
    }

    /// Whether QUIC may send a datagram of `bytes` to where it is.
    pub(crate) fn may_send(&self, bytes: usize) -> bool {
        self.trial
            .as_ref()
            .is_none_or(|trial| trial.sent + bytes as u64 <= AMPLIFICATION_MAX * trial.received)
    }

    /// QUIC has sent to `dest`.
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
        roaming.handle_home_heard();
        assert_eq!((roaming.poll_timeout(), all(&mut roaming, start + CLAIM_HOLD)), (None, vec![]));
        assert_eq!(roaming.handle_datagram(at(2), 1_000, 3, start), None);
        assert_eq!(all(&mut roaming, start + CLAIM_HOLD), [3]);
        assert_eq!(roaming.counters().strayed, 3);
    }

    #[test]
    fn only_the_answer_to_the_ping_moves_home() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        roaming.handle_datagram(at(2), 500, 1, start);
        let due = start + CLAIM_HOLD;
        assert_eq!(all(&mut roaming, due), [1]);
        assert_eq!(roaming.handle_path(at(1), || 7), None, "QUIC did not believe it");
        roaming.handle_datagram(at(2), 500, 2, due);
        let due = due + CLAIM_HOLD;
        assert_eq!(all(&mut roaming, due), [2]);
        assert_eq!(roaming.handle_path(at(2), || 7), Some(7));
        assert_eq!(roaming.handle_path(at(2), || 8), None, "once");
        assert_eq!(roaming.handle_datagram(at(2), 100, 3, due), Some(3));
        assert!(!roaming.handle_pong(8) && roaming.home() == at(1));
        assert!(roaming.handle_pong(7) && roaming.home() == at(2) && !roaming.is_on_trial());
        assert!(!roaming.handle_pong(7));
        let counters = roaming.counters();
        assert_eq!((counters.changed, counters.refused), (1, 0));
    }

    #[test]
    fn no_more_than_three_times_is_sent_to_a_trial() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        assert!(roaming.may_send(1 << 20), "home is proven");
        roaming.handle_datagram(at(2), 400, 1, start);
        all(&mut roaming, start + CLAIM_HOLD);
        roaming.handle_path(at(2), || 7);
        assert!(roaming.may_send(1_200) && !roaming.may_send(1_201));
        roaming.handle_sent(at(1), 1_200);
        roaming.handle_sent(at(2), 1_200);
        assert!(!roaming.may_send(1));
        roaming.handle_datagram(at(2), 400, 1, start + CLAIM_HOLD);
        assert!(roaming.may_send(1_200) && !roaming.may_send(1_201));
    }

    #[test]
    fn home_puts_a_trial_in_doubt_and_ends_it_when_quic_returns() {
        let (mut roaming, start) = (Roaming::new(at(1)), Instant::now());
        roaming.handle_datagram(at(2), 400, 1, start);
        let mut now = start + CLAIM_HOLD;
        all(&mut roaming, now);
        roaming.handle_path(at(2), || 7);
        assert_eq!(roaming.handle_datagram(at(1), 80, 2, now), Some(2));
        assert_eq!(roaming.handle_datagram(at(2), 80, 3, now + STEP), None, "it waits");
        assert_eq!(all(&mut roaming, now + STEP), []);
        // Home was a straggler only: the trial goes on, in order.
        now += CLAIM_HOLD + STEP;
        assert_eq!(roaming.poll_timeout(), Some(now));
        assert_eq!(roaming.handle_datagram(at(2), 80, 4, now), None);
        assert_eq!(all(&mut roaming, now), [3, 4]);
        assert_eq!(roaming.handle_datagram(at(2), 80, 5, now), Some(5));
        // Home was the client.
        assert_eq!(roaming.handle_datagram(at(1), 80, 6, now), Some(6));
        assert_eq!(roaming.handle_path(at(1), || 8), None);
        assert!(!roaming.handle_pong(7), "too late");
        assert_eq!(roaming.counters().refused, 1);
        assert_eq!(roaming.home(), at(1));
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
