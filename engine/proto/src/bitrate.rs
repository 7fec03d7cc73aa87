//! The wire's rate that the encoder is asked for: what was agreed on, or as much of it as the way and the client bear.
//!
//! What the link carries is not searched for here: [`LinkRate`] measures it with every AU. So this is no loop that feels
//! for an edge by filling a queue, as GCC (draft-ietf-rmcat-gcc-02, section 5) and SCReAM (RFC 8298, section 4.1.2) do,
//! but one that goes where the measure says, at once, and looks whether that helped.
//!
//! * **Down by delay**: at two looks in a row datagrams had met a queue of [`QUEUE_MAX`], and their AU came as from a link
//!   that is too slow for the rate. The rate goes to [`USED_PER_MILLE`] of that link's, and below it until the queue has drained. A queue
//!   alone is no reason: a receiver that stood still makes one, and hands all of it on at once.
//! * **Down by loss**: where losses have taken the link's proven rate below what the wire's needs, the rate follows it. Of
//!   losses that FEC and resends carry nothing is known here, and none is wanted. Where AUs are lost all the same, a lower
//!   rate is tried.
//! * **Down by decode**: pictures take the decoder longer than they are apart, and wait for it. A lower rate is tried.
//! * What is **tried** is judged: where a lower rate did not help (loss of the air, a decoder whose time is the
//!   picture's), it is taken back, said, and not tried again for a while that doubles. A fall meanwhile ends the trial:
//!   what was there before it is not what the link bears.
//! * **Up** by [`CLIMB_PER_MILLE`] at most, after [`CLIMB_INTERVAL`] in which AUs came without a queue, if the link has
//!   proven what the next step needs. A rate that was fallen from is tried again after a while that doubles each time.
//!
//! Promises: the rate stays between [`BITRATE_KBPS`]'s least and what was asked for, whatever a report says; bounded work
//! a report, no allocation. Refuses to move up on what an idle stream shows: with no AU there is no proof.

use std::time::{Duration, Instant};

use crate::feedback::{ClientLoad, FeedbackReport};
use crate::limits::BITRATE_KBPS;
use crate::link_rate::{LinkRate, Look};

mod cure;

use cure::{Ailment, Cure, Outcome};

/// A queue that is too long: half a picture's interval at 60 Hz. CoDel's target of 5 ms (RFC 8289, section 4.4) and what
/// a wireless hop, a wake and a batch add to a datagram without any queue.
const QUEUE_MAX: Duration = Duration::from_millis(8);
/// A queue that is none: what arrival times are uncertain by.
const QUEUE_NONE: Duration = Duration::from_millis(3);
/// How far apart two looks are that must agree: a report asks for shards again within half a millisecond.
const LOOKS_APART: Duration = Duration::from_millis(2);
/// The share of the link that is used: an AU of the mean size leaves within its interval at the pacer's rate, which is
/// 95 % of the link's, with 5 % to spare.
const USED_PER_MILLE: u64 = 900;
/// A queue shall have drained within this time.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// The most that is kept free for that, of each 1,000.
const DRAIN_PER_MILLE_MAX: u64 = 400;
/// Pictures that are under way at the old rate when it falls: in the encoder, and at the protect stage.
const AUS_UNDER_WAY: u32 = 3;
/// One step of a climb: within a second from a tenth of a rate to a third, and with what is free of the link's rate no
/// step fills it.
const CLIMB_PER_MILLE: u64 = 1_125;
/// And how long it is looked at: ten pictures at 60 Hz, and several round trips.
const CLIMB_INTERVAL: Duration = Duration::from_millis(150);
/// AUs that must have come meanwhile without a queue.
const CLIMB_AUS: u32 = 4;
/// How long after a fall no climb begins.
const CLIMB_AFTER: Duration = Duration::from_millis(500);
/// How long a rate that was fallen from is left alone, at first and at most.
const HOLD: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(16);
/// A rate is the one that was fallen from when they differ by no more than this of each 1,000; below that it is free.
const KNOWN_PER_MILLE: u64 = 100;

/// Whether the rate follows the way and the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BitratePolicy {
    /// What was asked for, whatever is reported.
    #[default]
    Fixed,
    /// What the reports call for; what was asked for is the most.
    Adaptive,
}

/// Why the rate moved last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BitrateReason {
    /// It was asked for.
    #[default]
    Asked,
    /// Datagrams queue on the way.
    Delay,
    /// Datagrams or AUs are lost by it.
    Loss,
    /// The decoder is too slow for it.
    Decode,
    /// The way has proven that it carries more.
    Climb,
    /// A lower rate helped neither the losses nor the decoder.
    Futile,
}

impl BitrateReason {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Asked, Self::Delay, Self::Loss, Self::Decode, Self::Climb, Self::Futile];

    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Decode => "decode",
            Self::Climb => "climb",
            Self::Futile => "futile",
        }
    }
}

/// One change, to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitrateChange {
    /// Why.
    pub reason: BitrateReason,
    /// What held before, in kbit/s.
    pub before_kbps: u32,
    /// What holds now.
    pub now_kbps: u32,
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BitrateCounters {
    /// Times that the rate fell because datagrams queued.
    pub delay: u64,
    /// Times that it fell because of losses.
    pub loss: u64,
    /// Times that it fell because of the decoder.
    pub decode: u64,
    /// Steps up.
    pub climb: u64,
    /// Times that a lower rate did not help and was taken back.
    pub futile: u64,
}

/// Decides on the rate.
#[derive(Debug)]
pub struct BitrateControl {
    asked_kbps: u32,
    /// What is believed to be borne.
    level_kbps: u32,
    /// What is kept free of it, of each 1,000, until the queue has drained; and when that has had its time.
    drain: Option<(u64, Instant)>,
    reason: BitrateReason,
    /// The newest look that counted.
    looked_at: Option<Instant>,
    /// The newest look, if it was at a queue on a link that is too slow, and what that carried.
    pressed_look: Option<(Look, u32)>,
    /// What the link carries, where two such looks agree.
    pressed: Option<u32>,
    /// AUs below this one were begun at a rate that has fallen since.
    judged_from_au: u32,
    /// AUs that came without a queue since the last step.
    clear_aus: u32,
    clear_au: Option<u32>,
    climb_at: Option<Instant>,
    /// The rate that was fallen from, and until when it is left alone.
    fallen_from_kbps: Option<u32>,
    hold: Duration,
    hold_until: Option<Instant>,
    cure: Cure,
    counters: BitrateCounters,
}

impl BitrateControl {
    /// A control for a session of `asked_kbps` whose pictures are `interval` apart.
    pub fn new(asked_kbps: u32, interval: Duration) -> Self {
        Self {
            asked_kbps,
            level_kbps: asked_kbps,
            drain: None,
            reason: BitrateReason::Asked,
            looked_at: None,
            pressed_look: None,
            pressed: None,
            judged_from_au: 0,
            clear_aus: 0,
            clear_au: None,
            climb_at: None,
            fallen_from_kbps: None,
            hold: *HOLD.start(),
            hold_until: None,
            cure: Cure::new(interval),
            counters: BitrateCounters::default(),
        }
    }

    /// The rate now, in kbit/s.
    pub fn kbps(&self) -> u32 {
        let free = self.drain.map_or(0, |(free, _)| free);
        self.within(share(self.level_kbps, 1_000 - free))
    }

    /// Why it moved last.
    pub const fn reason(&self) -> BitrateReason {
        self.reason
    }

    /// Totals since the start.
    pub const fn counters(&self) -> BitrateCounters {
        self.counters
    }

    /// Another rate is asked for: it is the most from now on. What has not fallen follows it at once.
    pub fn set_asked(&mut self, kbps: u32) -> Option<BitrateChange> {
        let before = self.kbps();
        let is_at_most = self.level_kbps == self.asked_kbps;
        self.asked_kbps = kbps;
        self.level_kbps = if is_at_most { kbps } else { self.level_kbps.min(kbps) };
        self.changed(BitrateReason::Asked, before)
    }

    /// Pictures are so far apart from now on. The rate stays, and moves by what is reported of them.
    pub fn set_interval(&mut self, interval: Duration) {
        self.cure.set_interval(interval);
    }

    /// The path is another: nothing is known of it, as at a session's beginning.
    pub fn restart(&mut self) -> Option<BitrateChange> {
        let before = self.kbps();
        let (counters, interval) = (self.counters, self.cure.interval());
        *self = Self { counters, reason: self.reason, ..Self::new(self.asked_kbps, interval) };
        self.changed(BitrateReason::Asked, before)
    }

    /// What the client saw, after `link` has taken it; the change that follows from it, if any does, of which `link` has
    /// been told.
    pub fn handle_report(
        &mut self,
        report: &FeedbackReport,
        link: &mut LinkRate,
        now: Instant,
    ) -> Option<BitrateChange> {
        let before = self.kbps();
        let look = link.look().filter(|look| look.au >= self.judged_from_au);
        let is_new = self.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOKS_APART);
        if let Some(look) = look.filter(|_| is_new) {
            self.looked_at = Some(now);
            self.handle_look(&look);
        }
        if let Some(au) = report.highest_au.filter(|_| !report.has_times) {
            // A client that tells no times shows no queue.
            self.count_clear(au);
        }
        let reason = self.fall(link, now).or_else(|| self.treat(report.load, now)).or_else(|| {
            self.end_drain(look, now);
            self.climb(link, now)
        });
        let change = self.changed(reason.unwrap_or(self.reason), before)?;
        link.set_wire_rate(change.now_kbps);
        Some(change)
    }

    fn handle_look(&mut self, look: &Look) {
        let before = self.pressed_look.take();
        let needed_kbps = LinkRate::need_kbps_of(self.level_kbps);
        if let Some(through) = look.through_kbps.filter(|through| *through < needed_kbps.into())
            && look.queue >= QUEUE_MAX
        {
            // A receiver that stood still has all of it by the next look, and leaves nothing for the next AU to meet.
            let agrees = |(before, _): &(Look, u32)| {
                (before.au == look.au && look.reach > before.reach) || look.standing >= QUEUE_MAX
            };
            let through_kbps = u32::try_from(through).unwrap_or(u32::MAX);
            self.pressed = before.filter(agrees).map(|(_, other_kbps)| through_kbps.max(other_kbps));
            self.pressed_look = Some((*look, through_kbps));
        }
        if look.standing >= QUEUE_NONE {
            self.clear_aus = 0;
        } else {
            self.count_clear(look.au);
        }
    }

    fn count_clear(&mut self, au: u32) {
        if self.clear_au.replace(au) != Some(au) {
            self.clear_aus = self.clear_aus.saturating_add(1);
        }
    }

    /// What the link says: at once.
    fn fall(&mut self, link: &mut LinkRate, now: Instant) -> Option<BitrateReason> {
        let can_fall = self.kbps() > *BITRATE_KBPS.start();
        if let Some(carried_kbps) = self.pressed.take() {
            self.pressed_look = None;
            let queue = link.look().map_or(Duration::ZERO, |look| look.queue);
            self.counters.delay += u64::from(can_fall);
            self.cure.cancel();
            self.fall_to(share(carried_kbps, USED_PER_MILLE), now);
            let free = queue.as_micros() as u64 * 1_000 / DRAIN_TIME.as_micros() as u64;
            self.drain = Some((free.min(DRAIN_PER_MILLE_MAX), now + 2 * DRAIN_TIME));
            self.judged_from_au = link.newest_au().saturating_add(AUS_UNDER_WAY);
            link.handle_ceiling(carried_kbps, now);
            return Some(BitrateReason::Delay);
        }
        let proven_kbps = link.proven_kbps();
        if can_fall && proven_kbps < LinkRate::need_kbps_of(self.kbps()) {
            self.counters.loss += 1;
            self.cure.cancel();
            self.fall_to(share(proven_kbps, USED_PER_MILLE), now);
            return Some(BitrateReason::Loss);
        }
        None
    }

    fn fall_to(&mut self, kbps: u32, now: Instant) {
        let from_kbps = self.level_kbps;
        let is_near = |known: u32| known.abs_diff(from_kbps) <= share(known, KNOWN_PER_MILLE);
        let is_known = self.fallen_from_kbps.is_some_and(is_near);
        self.hold = if is_known { (self.hold * 2).min(*HOLD.end()) } else { *HOLD.start() };
        self.hold_until = Some(now + self.hold);
        self.fallen_from_kbps = Some(from_kbps);
        self.level_kbps = self.within(kbps.min(from_kbps));
        (self.climb_at, self.clear_aus) = (Some(now + CLIMB_AFTER), 0);
    }

    /// What only a trial shows: whether a lower rate would help.
    fn treat(&mut self, load: Option<ClientLoad>, now: Instant) -> Option<BitrateReason> {
        match self.cure.handle(&load?, self.level_kbps, now)? {
            Outcome::Lower { ailment, kbps } => {
                let reason = match ailment {
                    Ailment::Loss => {
                        self.counters.loss += 1;
                        BitrateReason::Loss
                    }
                    Ailment::Decode => {
                        self.counters.decode += 1;
                        BitrateReason::Decode
                    }
                };
                self.fall_to(kbps, now);
                Some(reason)
            }
            Outcome::Futile { before_kbps } => {
                self.counters.futile += 1;
                self.level_kbps = self.within(before_kbps);
                (self.fallen_from_kbps, self.hold_until) = (None, None);
                Some(BitrateReason::Futile)
            }
        }
    }

    fn end_drain(&mut self, look: Option<Look>, now: Instant) {
        let Some((_, until)) = self.drain else { return };
        if now >= until || look.is_some_and(|look| look.standing < QUEUE_NONE) {
            self.drain = None;
        }
    }

    fn climb(&mut self, link: &LinkRate, now: Instant) -> Option<BitrateReason> {
        let is_due =
            self.climb_at.is_none_or(|at| now >= at) && self.drain.is_none() && !self.cure.is_on_trial();
        if !is_due || self.level_kbps >= self.asked_kbps || self.clear_aus < CLIMB_AUS {
            return None;
        }
        let held_kbps = self.fallen_from_kbps.filter(|_| self.hold_until.is_some_and(|until| now < until));
        let held_kbps = held_kbps.map_or(u32::MAX, |known| share(known, 1_000 - KNOWN_PER_MILLE));
        let proven_kbps = share(link.proven_kbps(), USED_PER_MILLE);
        let most_kbps =
            self.asked_kbps.min(held_kbps).min(proven_kbps).min(self.cure.borne_kbps(self.level_kbps));
        let next_kbps = share(self.level_kbps, CLIMB_PER_MILLE).max(self.level_kbps + 1).min(most_kbps);
        // Each change is work for the encoder's rate control.
        let least_kbps = share(self.level_kbps, 1_010).min(self.asked_kbps);
        if next_kbps <= self.level_kbps || next_kbps < least_kbps {
            return None;
        }
        self.level_kbps = next_kbps;
        self.counters.climb += 1;
        (self.climb_at, self.clear_aus) = (Some(now + CLIMB_INTERVAL), 0);
        Some(BitrateReason::Climb)
    }

    fn within(&self, kbps: u32) -> u32 {
        let least = *BITRATE_KBPS.start();
        kbps.clamp(least, self.asked_kbps.max(least))
    }

    fn changed(&mut self, reason: BitrateReason, before_kbps: u32) -> Option<BitrateChange> {
        let now_kbps = self.kbps();
        if now_kbps == before_kbps {
            return None;
        }
        self.reason = reason;
        Some(BitrateChange { reason, before_kbps, now_kbps })
    }
}

fn share(kbps: u32, per_mille: u64) -> u32 {
    u32::try_from(u64::from(kbps) * per_mille / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
