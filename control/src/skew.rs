//! The skew handshake: what the host's session clock reads when the client's clock reads so much.
//!
//! A round is NTP's (RFC 5905 section 8): the client stamps a question, the host stamps its arrival and
//! the answer's departure, the client stamps that arrival. The true offset lies within half the round
//! trip of the measured one, however lopsided the path is; so the round with the least round trip is
//! kept, and half of that is the error bound. Promises: the bound holds; a later handshake replaces the
//! estimate only when its bound, drift counted in, is tighter. Refuses: answers that were not asked
//! for, and times that run backwards.

use std::time::Instant;

use punktfunk_proto::SessionClock;

use crate::error::Violation;
use crate::limits::{CLOCK_DRIFT_PPM, SKEW_ROUNDS};
use crate::messages::{SkewPing, SkewPong};

/// Four stamps are cut to whole microseconds: their mean may be off by this.
const STAMP_ERROR_US: u64 = 2;

/// The map from the client's clock to the host's session clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkewEstimate {
    /// The host's session clock minus the client's clock, in microseconds.
    pub offset_us: i64,
    /// The true offset was within this of `offset_us` when it was measured.
    pub error_us: u64,
    /// The round trip of the kept round, in microseconds.
    pub rtt_us: u64,
    /// How many rounds the handshake had.
    pub rounds: u32,
    /// When the kept round was made.
    pub measured_at: Instant,
}

impl SkewEstimate {
    /// What one round says, whose answer came at `t_back_us` on the client's clock; `None` when the host claims to have
    /// held the question longer than the whole round took, or an offset that no clock has.
    pub fn of_round(pong: &SkewPong, t_back_us: u64, now: Instant) -> Option<Self> {
        let elapsed_us = t_back_us.checked_sub(pong.t_client_us)?;
        let held_us = pong.t_sent_us.checked_sub(pong.t_received_us)?;
        if held_us > elapsed_us.saturating_add(STAMP_ERROR_US) {
            return None;
        }
        let rtt_us = elapsed_us.saturating_sub(held_us);
        let there = i128::from(pong.t_received_us) - i128::from(pong.t_client_us);
        let back = i128::from(pong.t_sent_us) - i128::from(t_back_us);
        Some(Self {
            offset_us: i64::try_from((there + back) / 2).ok()?,
            error_us: rtt_us.div_ceil(2) + STAMP_ERROR_US,
            rtt_us,
            rounds: SKEW_ROUNDS,
            measured_at: now,
        })
    }

    /// The host's session time for a time on the client's clock; 0 before the session's start.
    pub fn host_us(&self, client_us: u64) -> u64 {
        client_us.saturating_add_signed(self.offset_us)
    }

    /// The error bound at `now`, in microseconds: the clocks have drifted apart since.
    pub fn error_us_at(&self, now: Instant) -> u64 {
        let age_us = now.saturating_duration_since(self.measured_at).as_micros();
        let drift_us = age_us * u128::from(CLOCK_DRIFT_PPM) / 1_000_000;
        self.error_us.saturating_add(u64::try_from(drift_us).unwrap_or(u64::MAX))
    }
}

/// The client's side of skew handshakes.
#[derive(Debug, Default)]
pub(crate) struct SkewMeter {
    rounds_left: u32,
    next_round: u32,
    asked: Option<SkewPing>,
    best_of_handshake: Option<SkewEstimate>,
    kept: Option<SkewEstimate>,
}

impl SkewMeter {
    /// Begins a handshake, unless one is under way.
    pub(crate) fn begin(&mut self) {
        if self.rounds_left == 0 {
            self.rounds_left = SKEW_ROUNDS;
            self.best_of_handshake = None;
        }
    }

    /// The next question, if one is due.
    pub(crate) fn poll_ping(&mut self, clock: SessionClock, now: Instant) -> Option<SkewPing> {
        if self.rounds_left == 0 || self.asked.is_some() {
            return None;
        }
        let ping = SkewPing { round: self.next_round, t_client_us: clock.micros(now) };
        self.next_round = self.next_round.wrapping_add(1);
        self.asked = Some(ping);
        Some(ping)
    }

    /// Takes an answer; an estimate comes with the handshake's last.
    ///
    /// # Errors
    /// When the answer was not asked for, or its times cannot be.
    pub(crate) fn handle_pong(
        &mut self,
        pong: &SkewPong,
        clock: SessionClock,
        now: Instant,
    ) -> Result<Option<SkewEstimate>, Violation> {
        let violation = Violation::Skew { round: pong.round };
        let ping = self.asked.take().ok_or(violation.clone())?;
        if ping.round != pong.round || ping.t_client_us != pong.t_client_us {
            return Err(violation);
        }
        let sample = SkewEstimate::of_round(pong, clock.micros(now), now).ok_or(violation)?;
        let best = match self.best_of_handshake {
            Some(best) if best.rtt_us <= sample.rtt_us => best,
            _ => sample,
        };
        self.best_of_handshake = Some(best);
        self.rounds_left = self.rounds_left.saturating_sub(1);
        if self.rounds_left > 0 {
            return Ok(None);
        }
        let kept = match self.kept {
            Some(old) if old.error_us_at(now) < best.error_us_at(now) => old,
            _ => best,
        };
        self.kept = Some(kept);
        Ok(Some(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Plays one handshake over a path with these one-way delays; the host's clock reads `lead_us` more.
    fn handshake(meter: &mut SkewMeter, start: Instant, lead_us: u64, delays: &[(u64, u64)]) -> SkewEstimate {
        let clock = SessionClock::new(start);
        let mut now = start + Duration::from_secs(1);
        meter.begin();
        for (there_us, back_us) in delays.iter().cycle() {
            let ping = meter.poll_ping(clock, now).expect("a round is due");
            assert!(meter.poll_ping(clock, now).is_none(), "one question at a time");
            let at_host = now + Duration::from_micros(*there_us);
            let stamp = clock.micros(at_host) + lead_us;
            let pong = SkewPong {
                round: ping.round,
                t_client_us: ping.t_client_us,
                t_received_us: stamp,
                t_sent_us: stamp,
            };
            now = at_host + Duration::from_micros(*back_us);
            if let Some(estimate) = meter.handle_pong(&pong, clock, now).expect("an honest answer") {
                return estimate;
            }
        }
        unreachable!("cycle() has no end")
    }

    proptest! {
        #[test]
        fn the_bound_holds_on_any_path(
            lead_us in 0u64..1 << 40,
            delays in prop::collection::vec((1u64..50_000, 1u64..50_000), 8),
        ) {
            let mut meter = SkewMeter::default();
            let estimate = handshake(&mut meter, Instant::now(), lead_us, &delays);
            let error = (estimate.offset_us - lead_us as i64).unsigned_abs();
            prop_assert!(error <= estimate.error_us, "off by {error}, bound {}", estimate.error_us);
            let least = delays.iter().map(|(a, b)| a + b).min().unwrap();
            prop_assert!(estimate.rtt_us <= least + 1);
        }

        #[test]
        fn hostile_times_never_panic(ping_us: u64, a: u64, b: u64, back_us: u64) {
            let pong = SkewPong { round: 0, t_client_us: ping_us, t_received_us: a, t_sent_us: b };
            let _ = SkewEstimate::of_round(&pong, back_us, Instant::now());
        }
    }

    #[test]
    fn a_worse_refresh_does_not_replace_a_better_estimate_until_it_has_aged() {
        let start = Instant::now();
        let mut meter = SkewMeter::default();
        let good = handshake(&mut meter, start, 7, &[(50, 50)]);
        let kept = handshake(&mut meter, start, 7, &[(5_000, 500)]);
        assert_eq!(kept, good);
        // 100 ppm for an hour is 360 ms: anything is better then.
        let later = start + Duration::from_secs(3600);
        assert!(good.error_us_at(later) > 300_000);
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_a_violation() {
        let now = Instant::now();
        let clock = SessionClock::new(now);
        let pong = SkewPong { round: 0, t_client_us: 0, t_received_us: 0, t_sent_us: 0 };
        let mut meter = SkewMeter::default();
        assert!(meter.handle_pong(&pong, clock, now).is_err());
        meter.begin();
        let ping = meter.poll_ping(clock, now).unwrap();
        let wrong = SkewPong { round: ping.round + 1, ..pong };
        assert!(meter.handle_pong(&wrong, clock, now).is_err());
    }
}
