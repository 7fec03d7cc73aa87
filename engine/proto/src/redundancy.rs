//! The policy for m / k over time: how many parity shards a block gets.
//!
//! A [`Redundancy`] is the rule of the moment; a [`RedundancyControl`] makes it from the receiver's reports. FEC covers
//! what the round trip cannot: where a missing shard can be sent again, twice if need be, before its access unit's
//! deadline, parity covers the usual loss only, so that most pictures wait for no round trip, and what is beyond it is
//! sent again. Where it cannot, parity covers four standard deviations. The spread follows the burst length: shards
//! that are lost in runs of b vary 2b − 1 times as much as single ones (a sum of Poisson many geometric runs).
//!
//! Promises one parity shard at least for every block, more for an IDR, whose loss costs a whole restart, and never
//! more than what was negotiated. It rises within tenths of a second and falls over seconds. It refuses to go by
//! reports that have stopped coming: then it supposes some loss, and that nothing can be sent again.

use std::time::{Duration, Instant};

use crate::feedback::FeedbackReport;
use crate::limits::{Negotiated, RESEND_TRY, ReassemblerLimits};

/// The least parity of an IDR's block.
const IDR_PARITY_MIN: u16 = 2;
/// The share that parity stays within, where what is beyond can be sent again, unless the loss itself is as large:
/// with it and the resends the overhead is below 3 % at 1 % loss.
const RESENT_SHARE_PPM: u64 = 20_000;
/// The loss that is supposed before any was reported.
const LOSS_SUPPOSED_PPM: u32 = 10_000;
/// The least loss that is reckoned with where nothing can be sent again.
const LOSS_ALWAYS_PPM: u32 = 1_000;
/// Without a report for this long, five of a receiver's slowest, nothing is known.
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// A rise takes about this long: a single burst says little of the mean.
const RISE_TIME: Duration = Duration::from_millis(200);
/// And a fall about this long.
const FALL_TIME: Duration = Duration::from_secs(2);
/// The longest burst that is reckoned with: far beyond any that parity of a block could mend.
const BURST_MAX: u32 = 1_024;

/// How a session's redundancy is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedundancyPolicy {
    /// What was negotiated, whatever is reported.
    #[default]
    Fixed,
    /// What the reports call for; what was negotiated is the most.
    Adaptive,
}

impl RedundancyPolicy {
    /// Parity for each 1,000 data shards to begin with, of large blocks, where `per_mille` was negotiated.
    pub fn per_mille_at_start(self, per_mille: u16) -> u16 {
        match self {
            Self::Fixed => per_mille,
            Self::Adaptive => per_mille.min((RESENT_SHARE_PPM / 1_000) as u16),
        }
    }
}

/// How many parity shards a block gets, by its size and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    /// The most for each 1,000 data shards.
    per_mille: u16,
    expected: Option<Expected>,
}

/// The loss that parity is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expected {
    loss_ppm: u32,
    /// Mean run of lost datagrams, in thousandths.
    burst_milli: u32,
    /// What parity does not cover can be sent again.
    resend: bool,
}

impl Redundancy {
    /// Shards at most by which a block's parity passes its exact share.
    pub(crate) const ROUNDED_UP_MAX: u16 = IDR_PARITY_MIN;

    /// `per_mille` parity shards for each 1,000 data shards, rounded up.
    pub const fn fixed(per_mille: u16) -> Self {
        Self { per_mille, expected: None }
    }

    /// Parity shards for a block of `k` data shards: at least 1, for an IDR half as much again and at least 2.
    pub fn parity_for(&self, k: u16, idr: bool) -> u16 {
        let share = u32::from(k) * u32::from(self.per_mille);
        let (share, floor) = if idr { (share + share / 2, IDR_PARITY_MIN) } else { (share, 1) };
        let most = u16::try_from(share.div_ceil(1_000)).unwrap_or(u16::MAX - k).max(floor);
        match self.expected {
            None => most,
            Some(expected) => u16::try_from(expected.shards(k, idr)).unwrap_or(u16::MAX).clamp(floor, most),
        }
    }

    /// The same within what was negotiated.
    pub(crate) fn at_most(self, per_mille: u16) -> Self {
        Self { per_mille: self.per_mille.min(per_mille), ..self }
    }
}

impl Expected {
    fn shards(self, k: u16, idr: bool) -> u64 {
        // Micro-shards; at most 65,535 × 10⁶.
        let mean = u64::from(k) * u64::from(self.loss_ppm);
        let spread = 2 * u64::from(self.burst_milli) - 1_000;
        // Variance in square milli-shards: mean × spread, both scaled.
        let deviation = (mean * spread / 1_000).isqrt() * 1_000;
        let half_more = |shards: u64| if idr { shards + shards / 2 } else { shards };
        let wanted = match self.resend {
            true => {
                let room = half_more((u64::from(k) * RESENT_SHARE_PPM).max(mean + mean / 4));
                half_more(mean + deviation * 3 / 2).min(room / 1_000_000 * 1_000_000)
            }
            false => half_more(mean + deviation * 4),
        };
        wanted.div_ceil(1_000_000)
    }
}

/// Makes the rule of the moment.
#[derive(Debug, Clone)]
pub struct RedundancyControl {
    policy: RedundancyPolicy,
    per_mille: u16,
    au_deadline: Duration,
    loss_ppm: u32,
    burst_milli: u32,
    rtt: Option<Duration>,
    reported_at: Option<Instant>,
}

impl RedundancyControl {
    /// A control that has seen no report.
    pub fn new(policy: RedundancyPolicy, negotiated: &Negotiated) -> Self {
        Self {
            policy,
            per_mille: negotiated.redundancy_per_mille,
            au_deadline: ReassemblerLimits::from(negotiated).au_deadline,
            loss_ppm: LOSS_SUPPOSED_PPM,
            burst_milli: 1_000,
            rtt: None,
            reported_at: None,
        }
    }

    /// Takes a report; `rtt` is the path's round trip as control knows it.
    pub fn handle_report(&mut self, report: &FeedbackReport, rtt: Option<Duration>, now: Instant) {
        let since = self.reported_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.reported_at = Some(now);
        self.rtt = rtt;
        let loss_ppm = u32::from(report.lost_per_mille.min(1_000)) * 1_000;
        self.loss_ppm = follow(self.loss_ppm, loss_ppm, since);
        // Where nothing was lost, nothing is known of its bursts.
        if report.burst_max > 0 {
            let burst_milli = u32::from(report.burst_max).min(BURST_MAX) * 1_000;
            self.burst_milli = follow(self.burst_milli, burst_milli, since);
        }
    }

    /// The rule for what is sent at `now`.
    pub fn redundancy(&self, now: Instant) -> Redundancy {
        match self.policy {
            RedundancyPolicy::Fixed => Redundancy::fixed(self.per_mille),
            RedundancyPolicy::Adaptive => {
                Redundancy { per_mille: self.per_mille, expected: Some(self.expected(now)) }
            }
        }
    }

    fn expected(&self, now: Instant) -> Expected {
        let is_silent = self.reported_at.is_none_or(|at| now.saturating_duration_since(at) > SILENCE_MAX);
        let resend = !is_silent && self.rtt.is_some_and(|rtt| (rtt + RESEND_TRY) * 2 <= self.au_deadline);
        let least = match (resend, is_silent) {
            (true, _) => 0,
            (false, false) => LOSS_ALWAYS_PPM,
            (false, true) => LOSS_SUPPOSED_PPM,
        };
        Expected { loss_ppm: self.loss_ppm.max(least), burst_milli: self.burst_milli, resend }
    }
}

/// Quick up, slow down.
fn follow(before: u32, now: u32, since: Duration) -> u32 {
    let time = if now >= before { RISE_TIME } else { FALL_TIME };
    let (part_us, time_us) = (since.min(time).as_micros() as i64, time.as_micros() as i64);
    let step = (i64::from(now) - i64::from(before)) * part_us / time_us;
    u32::try_from(i64::from(before) + step).unwrap_or(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn negotiated(redundancy_per_mille: u16) -> Negotiated {
        Negotiated::new(1408, 500_000, 120_000, 1, redundancy_per_mille, 8 << 20).unwrap()
    }

    fn report(lost_per_mille: u16, burst_max: u16) -> FeedbackReport {
        FeedbackReport { lost_per_mille, burst_max, ..FeedbackReport::default() }
    }

    /// A control that has had this report 120 times a second for `seconds`.
    fn told(per_mille: u16, report: &FeedbackReport, rtt: Duration, seconds: u32) -> (Redundancy, Instant) {
        let start = Instant::now();
        let mut control = RedundancyControl::new(RedundancyPolicy::Adaptive, &negotiated(per_mille));
        let mut now = start;
        for _ in 0..120 * seconds {
            control.handle_report(report, Some(rtt), now);
            now += Duration::from_micros(8_333);
        }
        (control.redundancy(now), now)
    }

    #[test]
    fn rounds_up_and_never_gives_none() {
        let tenth = Redundancy::fixed(100);
        assert_eq!(tenth.parity_for(1, false), 1);
        assert_eq!(tenth.parity_for(10, false), 1);
        assert_eq!(tenth.parity_for(11, false), 2);
        assert_eq!(tenth.parity_for(1000, false), 100);
        assert_eq!(tenth.parity_for(1000, true), 150);
        assert_eq!(tenth.parity_for(1, true), 2);
        assert_eq!(Redundancy::fixed(0).parity_for(1000, false), 1);
    }

    #[test]
    fn where_shards_can_be_sent_again_parity_covers_the_usual_loss() {
        let (at_one_percent, _) = told(300, &report(10, 1), MS / 2, 1);
        // 500 Mbit/s at 120 Hz: 2 % of 370, and of an IDR five times as large half as much again.
        assert_eq!(at_one_percent.parity_for(370, false), 7);
        assert_eq!(at_one_percent.parity_for(1_850, true), 38);
        // Small blocks: one, and the rest is sent again.
        assert_eq!([1, 15, 30, 60].map(|k| at_one_percent.parity_for(k, false)), [1, 1, 1, 1]);
        let (clean, _) = told(300, &report(0, 0), MS / 2, 20);
        assert_eq!((clean.parity_for(370, false), clean.parity_for(370, true)), (1, 2));
        let (at_five_percent, _) = told(300, &report(50, 1), MS / 2, 1);
        assert_eq!(at_five_percent.parity_for(370, false), 23, "the loss and a quarter");
    }

    #[test]
    fn where_they_cannot_parity_covers_the_unusual() {
        let (single, _) = told(300, &report(10, 1), 30 * MS, 1);
        assert_eq!(single.parity_for(370, false), 12, "3.7 and four deviations");
        let (bursts, _) = told(300, &report(10, 8), 30 * MS, 1);
        assert_eq!(bursts.parity_for(370, false), 34, "which are four times as large");
        let (bounded, _) = told(50, &report(10, 8), 30 * MS, 1);
        assert_eq!(bounded.parity_for(370, false), 19, "what was negotiated is the most");
        let (clean, _) = told(300, &report(0, 0), 30 * MS, 20);
        assert_eq!(clean.parity_for(370, false), 3, "never as if nothing could be lost");
    }

    #[test]
    fn two_tries_must_fit_the_deadline() {
        let parity = |rtt| told(300, &report(10, 1), rtt, 1).0.parity_for(370, false);
        // 20 ms at 120 Hz.
        assert_eq!((parity(5 * MS), parity(5 * MS + Duration::from_nanos(1))), (7, 12));
    }

    #[test]
    fn it_rises_quickly_and_falls_slowly() {
        let mut control = RedundancyControl::new(RedundancyPolicy::Adaptive, &negotiated(300));
        let start = Instant::now();
        let at = |reports: u32| start + reports * Duration::from_micros(8_333);
        (0..1_200).for_each(|number| control.handle_report(&report(0, 0), Some(MS), at(number)));
        assert_eq!(control.redundancy(at(1_200)).parity_for(1_000, false), 1);
        (1_200..1_236).for_each(|number| control.handle_report(&report(50, 1), Some(MS), at(number)));
        let risen = control.redundancy(at(1_236)).parity_for(1_000, false);
        assert!(risen >= 45, "{risen} after 0.3 s");
        (1_236..1_272).for_each(|number| control.handle_report(&report(0, 0), Some(MS), at(number)));
        let fallen = control.redundancy(at(1_272)).parity_for(1_000, false);
        assert!(fallen > risen * 3 / 4 && fallen < risen, "{fallen} of {risen} after 0.3 s");
    }

    #[test]
    fn without_reports_nothing_is_supposed_to_be_sent_again() {
        let control = RedundancyControl::new(RedundancyPolicy::Adaptive, &negotiated(300));
        assert_eq!(control.redundancy(Instant::now()).parity_for(370, false), 12);
        let mut control = control;
        let start = Instant::now();
        (0..2_400).for_each(|ms| control.handle_report(&report(0, 0), Some(MS), start + ms * 5 * MS));
        assert_eq!(control.redundancy(start + 12_000 * MS).parity_for(370, false), 1);
        assert_eq!(control.redundancy(start + 12_600 * MS).parity_for(370, false), 12);
        let fixed = RedundancyControl::new(RedundancyPolicy::Fixed, &negotiated(100));
        assert_eq!(fixed.redundancy(start), Redundancy::fixed(100));
    }

    proptest! {
        /// Whatever a client claims, a block has a parity shard and no more than was negotiated.
        #[test]
        fn reports_move_it_within_its_bounds(
            reports in proptest::collection::vec((any::<u16>(), any::<u16>(), 0u64..1_000_000, any::<Option<u32>>()), 0..40),
            per_mille in 0u16..=1_000,
            k in 1u16..=4_096,
            idr: bool,
        ) {
            let mut control = RedundancyControl::new(RedundancyPolicy::Adaptive, &negotiated(per_mille));
            let mut now = Instant::now();
            for (lost, burst, wait_us, rtt_us) in reports {
                now += Duration::from_micros(wait_us);
                let rtt = rtt_us.map(|us| Duration::from_micros(us.into()));
                control.handle_report(&report(lost, burst), rtt, now);
                let parity = control.redundancy(now).parity_for(k, idr);
                let floor = if idr { 2 } else { 1 };
                prop_assert!(parity >= floor);
                prop_assert!(parity <= Redundancy::fixed(per_mille).parity_for(k, idr));
            }
        }
    }
}
