//! A simulated link, one way, on a virtual clock: what happens to datagrams between two ends, from a seed.
//!
//! A datagram meets, in this order: the path's MTU; the sender's own interface, which only spaces datagrams; a narrow
//! link with a tail-drop queue; a blackout; a trace's fate; independent loss; bursts of loss; duplication; and, for each
//! copy, a flipped bit, the one-way delay, jitter, and being held back.
//!
//! Promises that the same seed and the same sends give the same arrivals; that each harm draws from a stream of its
//! own, so that one setting never shifts another's chances; that it tells every datagram's fate as it is sent, and
//! counts them, so that sent and doubled equals arrived and ended; that it holds no more than what is on its way. With
//! every harm off it is transparent: all arrives, in order, after the delay.
//!
//! It refuses to know what datagrams mean: each carries a label of its sender's choosing. It reads no clock and opens
//! no socket.

mod fate;
mod loss;
mod queue;
pub mod trace;
mod wander;

#[cfg(test)]
mod tests;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

pub use fate::{Fate, FateCounts, Gone};
pub use loss::loss_max;

use crate::plan::LinkPlan;
use crate::rng::{Harm, Purpose, Rng, Way};
use loss::Bursts;
use queue::{Spacer, TailDrop};
use trace::{Replay, TraceFate};
use wander::Wander;

/// Bytes of IPv4's and UDP's headers: what an MTU has beside the payload.
const IP_UDP_BYTES: usize = 28;

/// One copy at the far end.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrival<L> {
    /// When.
    pub at: Duration,
    /// Whether it is as it was sent.
    pub intact: bool,
    /// What its sender called it.
    pub label: L,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A copy on its way; ties go in the order of sending.
#[derive(Debug)]
struct Flying<L> {
    order: u64,
    arrival: Arrival<L>,
}

/// One way between two ends.
#[derive(Debug)]
pub struct Link<L> {
    plan: LinkPlan,
    interface: Option<Spacer>,
    queue: Option<TailDrop>,
    replay: Option<Replay>,
    bursts: Option<Bursts>,
    wander: Wander,
    lossy: Rng,
    twice: Rng,
    damage: Rng,
    overtaken: Rng,
    order: u64,
    flying: BinaryHeap<Reverse<Flying<L>>>,
    /// Payloads that have arrived, to be filled again.
    spare: Vec<Vec<u8>>,
    counts: FateCounts,
}

impl<L: Copy> Link<L> {
    /// A link that does what `plan` says to what goes that `way`.
    pub fn new(plan: &LinkPlan, seed: u64, way: Way) -> Link<L> {
        let rng = |harm| Rng::new(seed, Purpose::Link(way, harm));
        Link {
            interface: plan.interface.map(|rate| Spacer::new(rate.kbps)),
            queue: plan.rate_limit.map(|rate| TailDrop::new(rate.kbps, plan.queue.0)),
            replay: plan.trace.as_ref().map(|file| Replay::new(file.trace())),
            bursts: plan.burst.map(|burst| Bursts::new(burst, plan.burst_density, rng(Harm::Burst))),
            wander: Wander::new(plan.jitter.0, seed, way),
            lossy: rng(Harm::Loss),
            twice: rng(Harm::Duplicate),
            damage: rng(Harm::Corrupt),
            overtaken: rng(Harm::Reorder),
            order: 0,
            flying: BinaryHeap::new(),
            spare: Vec::new(),
            counts: FateCounts::default(),
            plan: plan.clone(),
        }
    }

    /// Takes a datagram at `now`, which never goes back; returns what becomes of it.
    pub fn send(&mut self, bytes: &[u8], label: L, now: Duration) -> Fate {
        let fate = match self.pass(bytes.len(), now) {
            Err(gone) => Fate { gone: Some(gone), ..Fate::default() },
            Ok((at, traced)) => self.copies(bytes, label, at, traced),
        };
        self.counts.add(fate);
        fate
    }

    /// The next copy that arrives at `until` or before.
    pub fn poll_arrival(&mut self, until: Duration) -> Option<Arrival<L>> {
        self.flying.peek().filter(|Reverse(flying)| flying.arrival.at <= until)?;
        let Reverse(flying) = self.flying.pop()?;
        self.counts.arrived += 1;
        Some(flying.arrival)
    }

    /// When the next copy arrives.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.flying.peek().map(|Reverse(flying)| flying.arrival.at)
    }

    /// Takes the memory of a copy that has been read.
    pub fn give_back(&mut self, bytes: Vec<u8>) {
        self.spare.push(bytes);
    }

    /// All fates until now.
    pub fn counts(&self) -> FateCounts {
        self.counts
    }

    /// When the datagram is past all that could end it, and what a trace has for it.
    fn pass(&mut self, bytes: usize, now: Duration) -> Result<(Duration, TraceFate), Gone> {
        if bytes + IP_UDP_BYTES > self.mtu_at(now) {
            return Err(Gone::Mtu);
        }
        let left = self.interface.as_mut().map_or(now, |interface| interface.pass(bytes, now));
        let left = match self.queue.as_mut() {
            Some(queue) => queue.pass(bytes, left).ok_or(Gone::Queue)?,
            None => left,
        };
        if self.plan.blackouts.iter().any(|blackout| blackout.contains(left)) {
            return Err(Gone::Blackout);
        }
        let traced = self.replay.as_mut().map_or(TraceFate::Pass, |replay| replay.step(now));
        if traced == TraceFate::Lost {
            return Err(Gone::Trace);
        }
        if self.lossy.chance(self.plan.loss.share()) {
            return Err(Gone::Loss);
        }
        if self.bursts.as_mut().is_some_and(Bursts::takes_next) {
            return Err(Gone::Burst);
        }
        Ok((left, traced))
    }

    fn mtu_at(&self, now: Duration) -> usize {
        let changes = self.plan.mtu.iter().rev();
        let newest = changes.into_iter().find(|change| change.at.0 <= now);
        newest.map_or(usize::MAX, |change| usize::from(change.bytes))
    }

    fn copies(&mut self, bytes: &[u8], label: L, left: Duration, traced: TraceFate) -> Fate {
        let mut fate = Fate::default();
        let doubled = self.twice.chance(self.plan.duplicate.share());
        let copies = 1 + usize::from(doubled || traced == TraceFate::Twice);
        let traced_delay = match traced {
            TraceFate::Late(by) => by,
            TraceFate::Pass | TraceFate::Lost | TraceFate::Corrupt | TraceFate::Twice => Duration::ZERO,
        };
        for _ in 0..copies {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(bytes);
            let chosen = self.damage.chance(self.plan.corrupt.share());
            let damaged = (chosen || traced == TraceFate::Corrupt) && !copy.is_empty();
            if damaged {
                let bit = self.damage.below(copy.len() as u64 * 8) as usize;
                copy[bit / 8] ^= 1 << (bit % 8);
                fate.corrupted += 1;
            } else {
                fate.intact += 1;
            }
            let at = left + self.plan.delay.0 + self.wander.at(left) + self.held_back() + traced_delay;
            let arrival = Arrival { at, intact: !damaged, label, bytes: copy };
            self.flying.push(Reverse(Flying { order: self.order, arrival }));
            self.order += 1;
        }
        fate
    }

    fn held_back(&mut self) -> Duration {
        let Some(reorder) = self.plan.reorder else { return Duration::ZERO };
        let (share, how_long) = (self.overtaken.unit(), self.overtaken.unit());
        if share < reorder.share.share() { reorder.hold.0.mul_f64(how_long) } else { Duration::ZERO }
    }
}

impl<L> Flying<L> {
    const fn key(&self) -> (Duration, u64) {
        (self.arrival.at, self.order)
    }
}

impl<L> PartialEq for Flying<L> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<L> Eq for Flying<L> {}

impl<L> PartialOrd for Flying<L> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<L> Ord for Flying<L> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
