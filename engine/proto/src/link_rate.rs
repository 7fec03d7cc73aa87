//! The link's rate, as the reports prove it: what the pacer spreads access units at.
//!
//! Each AU is an experiment. The sender notes when each train left ([`course`]); the report says how long the same
//! datagrams took to come ([`crate::arrivals`]). No clock of one end is compared with one of the other.
//!
//! * **Ramp**: an AU is sent a step above the *proven* rate, a *trial*. If it came no later than a link of that rate
//!   would have had it, the rate is proven and the next trial begins there. A step is so small that a trial on a
//!   link that ends just below it queues [`TRIAL_QUEUE_BYTES`] at most. An IDR is never a trial.
//! * **Late**: what comes later than the pacer's rate explains has queued. One such AU ends its trial; two that agree
//!   on what went through, or three in a row, are the link's rate. What is used stays below it: [`USED_PER_MILLE`].
//! * **Lost**: datagrams that are lost while they queue are the link's rate at once. Lost without a queue that can be
//!   seen, a smaller burst is tried, then a lower rate, and what neither mends is the air's: no rate helps it.
//! * A ceiling is tried again after a while that doubles each time it is met.
//!
//! Promises: the rate stays within [`LINK_KBPS`], whatever a report says, and does not fall below what the negotiated
//! wire rate needs unless datagrams are lost; bounded work a report, no allocation after `new`. Refuses reports of
//! datagrams that were never sent: they prove nothing.

mod change;
mod course;
mod loss;
mod way;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

pub use self::change::{LinkRateCounters, Pace, RateChange, RateReason};
use self::course::{Course, Verdict};
use self::loss::{Cure, lost_ppm};
use self::way::Way;
use crate::arrivals::AuArrivals;
use crate::feedback::FeedbackReport;
use crate::limits::BITRATE_KBPS;

/// What a link may have, in kbit/s: no less than a session's slowest, and as much as the fastest interface, at which a
/// pacer waits for nothing.
pub const LINK_KBPS: RangeInclusive<u32> = *BITRATE_KBPS.start()..=100_000_000;
/// A session begins no slower than this: every wired LAN of today, and an ordinary wireless one.
const START_KBPS_MIN: u32 = 100_000;
/// A session begins at this share of what its wire rate is.
pub(crate) const START_PER_MILLE: u64 = 1_200;
/// What the wire rate needs: an AU of the mean size has left within its interval.
const NEED_PER_MILLE: u64 = 1_050;
/// What is used of the proven rate, so that a queue drains: a proof is a few parts in a hundred exact.
const USED_PER_MILLE: u64 = 950;
/// What an IDR uses, several AUs long.
const IDR_PER_MILLE: u64 = 920;
/// What a trial may queue on a link that it passes: what is left of a shallow port's 128 KiB after a burst.
const TRIAL_QUEUE_BYTES: u64 = 48 << 10;
/// Datagrams of an AU that must have come before it is looked at: below, a shaper's first train says nothing.
const LOOK_DATAGRAMS: u32 = 32;
/// The largest step of a trial.
const STEP_PER_MILLE_MAX: u64 = 1_250;
/// The burst in a trial: with what the trial may queue it fills a shallow port, no more.
const TRIAL_BURST_BYTES: usize = 32 << 10;
/// How long the link must have had nothing before a trial, unless the AU before it has queued nothing for certain.
const TRIAL_REST: Duration = Duration::from_micros(300);
/// The least burst: a few datagrams, for what no port is too shallow.
const BURST_BYTES_MIN: usize = 16 << 10;
/// How long a burst that was made smaller stays so before it is doubled.
const BURST_HOLD: Duration = Duration::from_secs(5);
/// How exactly arrival times are known: a wake, and a batch.
const NOISE_NS: u64 = 200_000;
/// An AU that came no later than this has queued nothing: far below what a batch or a wake may add.
const CLEAR_NS: i64 = 50_000;
/// And how exactly rates are, as a share of the time that they are measured over.
const NOISE_SHARE: u64 = 50;
/// Two measured rates agree when they differ by less than this share of the larger.
const AGREE_SHARE: u64 = 8;
/// How long a ceiling is left alone, at first and at most.
const HOLD: RangeInclusive<Duration> = Duration::from_millis(250)..=Duration::from_secs(8);
/// AUs whose courses are remembered: those in flight, and those that a quarter of a second of queue holds at 120 Hz.
const COURSES: usize = 32;
/// AUs after a trial's, by which its report would have come.
const TRIAL_AUS: u32 = 8;
/// Late AUs that are remembered, among as many that are judged.
const STRIKES: usize = 4;
/// Loss above what the way loses whatever is sent, of each 1,000 datagrams, that counts.
const LOSS_PER_MILLE: u64 = 10;
/// Lossy AUs in a row before something is tried against it.
const LOSSY_AUS: u32 = 2;
/// AUs after which it is known whether that helped.
const CURE_AUS: u32 = 4;

/// What a report shows of the way, judged or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The AU that is looked at: the newest of which enough has come.
    pub au: u32,
    /// How far it has come.
    pub reach: u32,
    /// How much longer than ever its newest datagram was on the way: what it met, and what its own AU made.
    pub queue: Duration,
    /// And the first that came: what had queued before it.
    pub standing: Duration,
    /// What the link carried of it, in kbit/s, where it came later than its pace explains.
    pub through_kbps: Option<u64>,
}

/// Estimates a link's rate.
#[derive(Debug)]
pub struct LinkRate {
    wire_kbps: u32,
    proven_kbps: u32,
    burst_max: usize,
    burst_bytes: usize,
    burst_since: Option<Instant>,
    courses: [Course; COURSES],
    /// The place of the AU that is being sent.
    at: usize,
    /// Bytes of the larger of the newest whole AUs, IDRs apart.
    au_bytes: u64,
    /// The AU on trial whose report has not come.
    trial_au: Option<u32>,
    /// Of the newest judged AUs, what went through those that were late.
    strikes: [Option<u64>; STRIKES],
    /// Late AUs in a row.
    late_in_a_row: u32,
    /// The newest AU was late: the next one meets what it has queued.
    is_queued: bool,
    /// The newest AU was in time by so much that it has queued nothing.
    is_clear: bool,
    hold: Duration,
    hold_until: Option<Instant>,
    /// What the way loses whatever is sent, of each million datagrams.
    air_ppm: u64,
    lossy_in_a_row: u32,
    cure: Option<Cure>,
    way: Way,
    look: Option<Look>,
    counters: LinkRateCounters,
}

impl LinkRate {
    /// An estimator for a session of `wire_kbps`, with `burst_bytes` at once at most.
    pub fn new(wire_kbps: u32, burst_bytes: usize) -> Self {
        Self {
            wire_kbps,
            proven_kbps: start_kbps(wire_kbps),
            burst_max: burst_bytes,
            burst_bytes,
            burst_since: None,
            courses: std::array::from_fn(|_| Course::new()),
            at: 0,
            au_bytes: 0,
            trial_au: None,
            strikes: [None; STRIKES],
            late_in_a_row: 0,
            is_queued: false,
            is_clear: false,
            hold: *HOLD.start(),
            hold_until: None,
            air_ppm: 0,
            lossy_in_a_row: 0,
            cure: None,
            way: Way::default(),
            look: None,
            counters: LinkRateCounters::default(),
        }
    }

    /// The path is another: what its link carries is to be proven anew, as in a new session.
    pub fn restart(&mut self) {
        self.proven_kbps = start_kbps(self.wire_kbps);
        (self.burst_bytes, self.burst_since) = (self.burst_max, None);
        self.courses.iter_mut().for_each(Course::forget);
        (self.trial_au, self.strikes, self.late_in_a_row) = (None, [None; STRIKES], 0);
        (self.is_queued, self.is_clear) = (false, false);
        (self.hold, self.hold_until) = (*HOLD.start(), None);
        (self.air_ppm, self.lossy_in_a_row, self.cure) = (0, 0, None);
        (self.way, self.look) = (Way::default(), None);
    }

    /// What AUs are paced by, trials apart.
    pub fn pace(&self) -> Pace {
        Pace { rate_kbps: self.used_kbps(USED_PER_MILLE), burst_bytes: self.burst_bytes }
    }

    /// The proven rate, in kbit/s.
    pub const fn proven_kbps(&self) -> u32 {
        self.proven_kbps
    }

    /// What a wire rate needs of a link, in kbit/s.
    pub fn need_kbps_of(wire_kbps: u32) -> u32 {
        within(share(wire_kbps, NEED_PER_MILLE))
    }

    /// What the newest report showed; none where it showed nothing.
    pub const fn look(&self) -> Option<Look> {
        self.look
    }

    /// The AU that was begun last.
    pub fn newest_au(&self) -> u32 {
        self.courses[self.at].au
    }

    /// The link carries no more than this, whatever the wire rate needed.
    pub fn handle_ceiling(&mut self, kbps: u32, now: Instant) {
        self.meet_ceiling(kbps.into(), *LINK_KBPS.start(), now);
        self.counters.late += 1;
    }

    /// Totals since the start.
    pub const fn counters(&self) -> LinkRateCounters {
        self.counters
    }

    /// Another wire rate was agreed on.
    pub fn set_wire_rate(&mut self, wire_kbps: u32) -> Option<RateChange> {
        let before = self.pace();
        self.wire_kbps = wire_kbps;
        self.proven_kbps = self.proven_kbps.max(self.need_kbps());
        self.change(RateReason::Agreed, before)
    }

    /// AU `au` begins: what it is paced by.
    pub fn begin_au(&mut self, au: u32, idr: bool, now: Instant) -> Pace {
        let clear_at = self.courses[self.at].clear_at();
        self.at = (self.at + 1) % COURSES;
        if self.trial_au.is_some_and(|trial| au.wrapping_sub(trial) >= TRIAL_AUS) {
            // Its report was lost.
            self.trial_au = None;
        }
        let is_held = self.hold_until.is_some_and(|until| now < until);
        let is_rested = self.is_clear || clear_at.is_none_or(|clear_at| now >= clear_at + TRIAL_REST);
        let is_ready = !is_held && is_rested && self.cure.is_none() && self.trial_au.is_none();
        let is_trial = is_ready && !idr && self.au_bytes > 0;
        let rate_kbps = match (is_trial, idr) {
            (true, _) => self.trial_kbps(),
            (false, true) => self.used_kbps(IDR_PER_MILLE),
            (false, false) => self.used_kbps(USED_PER_MILLE),
        };
        if is_trial {
            self.trial_au = Some(au);
        }
        // What a trial has queued is not known before its report.
        let is_after_late = std::mem::take(&mut self.is_queued) || (self.trial_au.is_some() && !is_trial);
        self.courses[self.at].begin(au, rate_kbps, is_trial, is_after_late);
        self.pace_now()
    }

    /// A train left at `at`; what the next one is paced by.
    pub fn handle_train(&mut self, datagrams: usize, bytes: usize, at: Instant) -> Pace {
        let rate_kbps = self.pace_now().rate_kbps;
        let datagrams = u32::try_from(datagrams).unwrap_or(u32::MAX);
        self.courses[self.at].handle_train(datagrams, bytes, rate_kbps, at);
        self.pace_now()
    }

    /// The AU is done with: handed to the kernel as a `whole`, or cut.
    pub fn end_au(&mut self, whole: bool, idr: bool) {
        let course = &mut self.courses[self.at];
        course.is_whole = whole;
        let (au, bytes) = (course.au, course.bytes());
        // One that grew past what its step was made for is proof of nothing.
        course.is_trial &= bytes <= trial_bytes_max(self.au_bytes);
        if self.trial_au == Some(au) && !(whole && course.is_trial) {
            self.trial_au = None;
        }
        if whole && !idr {
            self.au_bytes = bytes.max((15 * self.au_bytes + bytes) / 16);
        }
    }

    /// What the client saw; the change that follows from it, if any does.
    pub fn handle_report(&mut self, report: &FeedbackReport, now: Instant) -> Option<RateChange> {
        let before = self.pace();
        self.look = self.look_at(report, now);
        let mut reason = self.regrow_burst(now);
        // The older first: what it lost belongs to what it was late by.
        for arrivals in report.arrivals().iter().rev() {
            let is_over = report.highest_au.is_some_and(|highest| highest > arrivals.au);
            reason = self.handle_arrivals(arrivals, is_over, now).or(reason);
        }
        self.change(reason?, before)
    }

    fn change(&self, reason: RateReason, before: Pace) -> Option<RateChange> {
        let now = self.pace();
        (now != before).then_some(RateChange { reason, before, now })
    }

    /// What is paced by now: a trial's rate until it has grown too large.
    fn pace_now(&self) -> Pace {
        let course = &self.courses[self.at];
        let is_above = course.is_trial && course.bytes() <= trial_bytes_max(self.au_bytes);
        let rate_kbps =
            if is_above || !course.is_trial { course.rate_kbps } else { self.used_kbps(USED_PER_MILLE) };
        let burst_max = match (course.is_after_late, course.is_trial) {
            (true, _) => BURST_BYTES_MIN,
            (false, true) => TRIAL_BURST_BYTES,
            (false, false) => self.burst_max,
        };
        Pace { rate_kbps, burst_bytes: self.burst_bytes.min(burst_max) }
    }

    /// A step above the proven rate, so small that an AU of the usual size queues little more than it may.
    fn trial_kbps(&self) -> u32 {
        let unqueued = self.au_bytes.saturating_sub(TRIAL_QUEUE_BYTES).max(1);
        let step = (1_000 * self.au_bytes / unqueued).min(STEP_PER_MILLE_MAX);
        within(share(self.proven_kbps, step).max(self.proven_kbps.saturating_add(1)))
    }

    /// This share of the proven rate, but what the wire rate needs if that much is proven.
    fn used_kbps(&self, per_mille: u64) -> u32 {
        within(share(self.proven_kbps, per_mille).max(self.proven_kbps.min(self.need_kbps())))
    }

    fn need_kbps(&self) -> u32 {
        Self::need_kbps_of(self.wire_kbps)
    }

    /// Looks at the newest AU of which enough has come.
    fn look_at(&mut self, report: &FeedbackReport, now: Instant) -> Option<Look> {
        if !report.has_times {
            return None;
        }
        let seen = report.arrivals().iter().find_map(|arrivals| {
            let course = self.courses.iter().find(|course| course.au == arrivals.au)?;
            let is_enough = arrivals.reach >= LOOK_DATAGRAMS.min(course.datagrams());
            is_enough.then_some((arrivals, course))
        });
        let (arrivals, course) = seen?;
        let (first_at, sent_at) = (course.sent_at(1)?, course.sent_at(arrivals.reach)?);
        let span = Duration::from_micros(arrivals.span_us.into());
        let verdict = course.judge(arrivals.first, arrivals.reach, span, NOISE_NS);
        let late = verdict.filter(Verdict::is_late);
        let first_us = arrivals.newest_us.wrapping_sub(arrivals.span_us);
        let standing = self.way.handle(first_at, first_us, now);
        let queue = self.way.handle(sent_at, arrivals.newest_us, now);
        let through_kbps = late.map(|verdict| verdict.through_kbps);
        Some(Look { au: arrivals.au, reach: arrivals.reach, queue, standing, through_kbps })
    }

    /// Loss above this is none that the way always has.
    const fn lossy_ppm(&self) -> u64 {
        2 * self.air_ppm + LOSS_PER_MILLE * 1_000
    }

    fn handle_arrivals(&mut self, arrivals: &AuArrivals, is_over: bool, now: Instant) -> Option<RateReason> {
        let index = self.courses.iter().position(|course| course.is_whole && course.au == arrivals.au)?;
        let course = &mut self.courses[index];
        let mut reason = None;
        let reach_min = course.datagrams() - course.datagrams() / 8;
        if !course.is_delay_judged && (is_over || arrivals.reach >= reach_min) {
            course.is_delay_judged = true;
            reason = self.judge_delay(index, arrivals, now);
        }
        let course = &mut self.courses[index];
        if !course.is_loss_judged && is_over {
            course.is_loss_judged = true;
            reason = self.judge_loss(index, arrivals, now).or(reason);
        }
        reason
    }

    fn judge_delay(&mut self, index: usize, arrivals: &AuArrivals, now: Instant) -> Option<RateReason> {
        let course = &mut self.courses[index];
        let (is_trial, rate_kbps) = (course.is_trial, course.rate_kbps);
        if is_trial && self.trial_au == Some(course.au) {
            self.trial_au = None;
        }
        let span = Duration::from_micros(arrivals.span_us.into());
        let verdict = course.judge(arrivals.first, arrivals.reach, span, NOISE_NS)?;
        self.is_clear = verdict.excess_ns < CLEAR_NS;
        let is_late = verdict.is_late();
        // A trial that lost datagrams proved the opposite.
        let lost_ppm = lost_ppm(arrivals.reach, arrivals.datagrams);
        let is_lossy = lost_ppm > self.lossy_ppm();
        if is_late {
            self.courses[index].late = Some(verdict);
            self.is_queued = true;
            return self.strike(&verdict, now);
        }
        // A short AU, or one that left slowly, proves little more than what was carried.
        let carried = u32::try_from(verdict.carried_kbps).unwrap_or(u32::MAX);
        let proven = within(rate_kbps.min(carried.saturating_add(carried / 8)));
        self.acquit(proven);
        if !is_trial || is_lossy || proven <= self.proven_kbps {
            return None;
        }
        self.courses[index].proven_before_kbps = Some(self.proven_kbps);
        self.proven_kbps = proven;
        self.counters.proven += 1;
        Some(RateReason::Proven)
    }

    /// An AU was in time: what was taken for a slower link than that was none.
    fn acquit(&mut self, proven_kbps: u32) {
        self.late_in_a_row = 0;
        self.strikes.rotate_right(1);
        self.strikes[0] = None;
        for strike in &mut self.strikes {
            *strike = strike.filter(|through| *through > proven_kbps.into());
        }
    }

    /// An AU was late: the rate falls once another agrees, or when they come in a row.
    fn strike(&mut self, verdict: &Verdict, now: Instant) -> Option<RateReason> {
        let through = verdict.through_kbps;
        let agrees = |other: u64| through.abs_diff(other) < through.max(other) / AGREE_SHARE;
        let agreed = self.strikes.iter().flatten().copied().filter(|other| agrees(*other)).max();
        self.strikes.rotate_right(1);
        self.strikes[0] = Some(through);
        self.late_in_a_row += 1;
        let ceiling = match agreed {
            Some(other) => other.max(through),
            // A receiver that stands still now and then is no slow link; one that is late always is.
            None if self.late_in_a_row >= 3 => self.strikes.iter().flatten().copied().max()?,
            None => return None,
        };
        self.meet_ceiling(ceiling, self.need_kbps(), now);
        self.counters.late += 1;
        Some(RateReason::Late)
    }

    /// The link ends here, and no trial passes it for a while.
    fn meet_ceiling(&mut self, ceiling_kbps: u64, least_kbps: u32, now: Instant) {
        let ceiling = u32::try_from(ceiling_kbps).unwrap_or(u32::MAX);
        let target = within(ceiling).max(least_kbps);
        // The same ceiling met again is believed for longer.
        let is_known = target >= share(self.proven_kbps, 800);
        self.hold = if is_known { (self.hold * 2).min(*HOLD.end()) } else { *HOLD.start() };
        self.hold_until = Some(now + self.hold);
        self.proven_kbps = self.proven_kbps.min(target);
        self.strikes = [None; STRIKES];
        self.late_in_a_row = 0;
    }
}

/// Bytes of an AU on trial: as many as the step was made for, or as few as the largest step is for.
fn trial_bytes_max(au_bytes: u64) -> u64 {
    let least = TRIAL_QUEUE_BYTES * STEP_PER_MILLE_MAX / (STEP_PER_MILLE_MAX - 1_000);
    (au_bytes + au_bytes / 8).max(least)
}

impl Verdict {
    /// Whether it came later than arrival times are uncertain by.
    fn is_late(&self) -> bool {
        let noise_ns = NOISE_NS + self.model_ns / NOISE_SHARE;
        self.excess_ns > i64::try_from(noise_ns).unwrap_or(i64::MAX)
    }
}

fn share(kbps: u32, per_mille: u64) -> u32 {
    u32::try_from(u64::from(kbps) * per_mille / 1_000).unwrap_or(u32::MAX)
}

fn start_kbps(wire_kbps: u32) -> u32 {
    within(share(wire_kbps, START_PER_MILLE).max(START_KBPS_MIN))
}

fn within(kbps: u32) -> u32 {
    kbps.clamp(*LINK_KBPS.start(), *LINK_KBPS.end())
}

/// What `bytes` take at a rate, rounded up.
fn nanos_of(bytes: u64, rate_kbps: u32) -> u64 {
    bytes.saturating_mul(8_000_000).div_ceil(rate_kbps.max(1).into())
}

#[cfg(test)]
mod tests;
