//! What losses say of the link: a queue that was full, a burst too large, a rate too high, or the air, which no rate helps.
//!
//! Promises: one thing is tried at a time, judged after a few AUs, and taken back where it did not help.

use std::time::Instant;

use super::{BURST_BYTES_MIN, BURST_HOLD, CURE_AUS, LINK_KBPS, LOSSY_AUS, LinkRate, Pace, RateReason};
use crate::arrivals::AuArrivals;

/// Something that is tried against losses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cure {
    /// What held before the first try: the proven rate, and the burst.
    before: Pace,
    lost_before_ppm: u64,
    /// Sum over the AUs since.
    lost_ppm: u64,
    aus: u32,
    /// Whether it is the rate, after the burst.
    is_rate: bool,
}

impl LinkRate {
    pub(super) fn judge_loss(
        &mut self,
        index: usize,
        arrivals: &AuArrivals,
        now: Instant,
    ) -> Option<RateReason> {
        let course = &self.courses[index];
        let lost_ppm = lost_ppm(course.datagrams(), arrivals.datagrams);
        let is_lossy = lost_ppm > self.lossy_ppm();
        self.air_ppm = self.air_ppm.min((self.air_ppm * 7 + lost_ppm) / 8);
        if let Some(late) = course.late.filter(|_| is_lossy) {
            // It queued, and the queue was full: what went through is what there is.
            let sent_kbps = u64::from(course.rate_kbps) * (1_000_000 - lost_ppm) / 1_000_000;
            self.meet_ceiling(late.through_kbps.min(sent_kbps), *LINK_KBPS.start(), now);
            self.cure = None;
            self.counters.lost += 1;
            return Some(RateReason::Lost);
        }
        if course.is_trial {
            let before = course.proven_before_kbps.unwrap_or(self.proven_kbps);
            return is_lossy.then(|| self.revoke(before, now));
        }
        self.treat(lost_ppm, is_lossy, now)
    }

    /// A trial lost datagrams in a queue that is too short to be seen: it proved nothing.
    fn revoke(&mut self, before_kbps: u32, now: Instant) -> RateReason {
        self.proven_kbps = self.proven_kbps.min(before_kbps);
        self.meet_ceiling(self.proven_kbps.into(), self.proven_kbps, now);
        self.counters.lost += 1;
        RateReason::Lost
    }

    /// Lost, and nothing was seen to queue: a smaller burst is tried, then a lower rate. What neither mends is the
    /// air's, and both are taken back.
    fn treat(&mut self, lost_ppm: u64, is_lossy: bool, now: Instant) -> Option<RateReason> {
        let Some(mut cure) = self.cure else {
            self.lossy_in_a_row = if is_lossy { self.lossy_in_a_row + 1 } else { 0 };
            if self.lossy_in_a_row < LOSSY_AUS {
                return None;
            }
            return Some(self.begin_cure(lost_ppm, now));
        };
        cure.aus += 1;
        cure.lost_ppm += lost_ppm;
        self.cure = Some(cure);
        if cure.aus < CURE_AUS {
            return None;
        }
        let lost_ppm = cure.lost_ppm / u64::from(CURE_AUS);
        self.cure = None;
        if lost_ppm * 2 <= cure.lost_before_ppm {
            return None;
        }
        if cure.is_rate {
            self.air_ppm = lost_ppm;
            self.proven_kbps = cure.before.rate_kbps;
            self.burst_bytes = cure.before.burst_bytes;
            (self.burst_since, self.hold_until) = (None, None);
            return Some(RateReason::Air);
        }
        Some(self.cure_by_rate(lost_ppm, cure.before, now))
    }

    fn begin_cure(&mut self, lost_ppm: u64, now: Instant) -> RateReason {
        self.lossy_in_a_row = 0;
        let before = Pace { rate_kbps: self.proven_kbps, burst_bytes: self.burst_bytes };
        if self.burst_bytes <= BURST_BYTES_MIN {
            return self.cure_by_rate(lost_ppm, before, now);
        }
        self.cure = Some(Cure { before, lost_before_ppm: lost_ppm, lost_ppm: 0, aus: 0, is_rate: false });
        self.burst_bytes = BURST_BYTES_MIN;
        self.burst_since = Some(now);
        self.counters.burst_lost += 1;
        RateReason::BurstLost
    }

    fn cure_by_rate(&mut self, lost_ppm: u64, before: Pace, now: Instant) -> RateReason {
        self.cure = Some(Cure { before, lost_before_ppm: lost_ppm, lost_ppm: 0, aus: 0, is_rate: true });
        let ceiling = u64::from(self.proven_kbps) * (1_000_000 - lost_ppm.min(1_000_000)) / 1_000_000;
        self.meet_ceiling(ceiling, *LINK_KBPS.start(), now);
        self.counters.lost += 1;
        RateReason::Lost
    }

    pub(super) fn regrow_burst(&mut self, now: Instant) -> Option<RateReason> {
        let since = self.burst_since?;
        if now.saturating_duration_since(since) < BURST_HOLD {
            return None;
        }
        self.burst_bytes = (self.burst_bytes * 2).min(self.burst_max);
        self.burst_since = (self.burst_bytes < self.burst_max).then_some(now);
        Some(RateReason::BurstHeld)
    }
}

/// Of `sent` datagrams `came` ones came: what is lost of each million.
pub(super) fn lost_ppm(sent: u32, came: u32) -> u64 {
    u64::from(sent.saturating_sub(came)) * 1_000_000 / u64::from(sent.max(1))
}
