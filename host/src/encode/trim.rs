//! Holds what is really sent to the wire's rate, by trimming what the encoder is asked for.
//!
//! An encoder's rate control is off by its own error, and parity and padding weigh more the smaller an access
//! unit is; both show only in what leaves. So this is a loop around all of them.
//!
//! Promises: a stream above its rate is trimmed within half a second and pays back what it took too much; one
//! below it gets more, slowly. Refuses to trim below a tenth, where only the content could help.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use punktfunk_codec::limits::BITRATE_KBPS_MIN;

/// How long is measured before a decision: some pictures at 30 Hz, and well below a second.
const WINDOW: Duration = Duration::from_millis(300);

/// Within this time what was sent too much is paid back.
const REPAY: Duration = Duration::from_secs(2);

/// The most that is remembered as sent too much, in seconds of the rate: an IDR, not an hour of noise.
const DEBT_S_MAX: f64 = 2.0;

/// What the encoder's rate is multiplied by.
const FACTOR: RangeInclusive<f64> = 0.1..=1.0;

/// One decision trims to half at most: a single large IDR says little about what follows.
const DOWN_MAX: f64 = 0.5;

/// One decision adds this much at most.
const UP_MAX: f64 = 1.06;

/// The share of the rate that is aimed at, so that the mean lies below it.
const AIM: f64 = 0.98;

/// What is measured before a decision.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// When it began, and how many bytes had been sent then.
    begun: Instant,
    bytes_before: u64,
    /// What the rates of its time allowed, in bytes, until when, and the rate since.
    allowed: f64,
    until: Instant,
    kbps: u32,
}

impl Window {
    fn begin(wire_bytes: u64, kbps: u32, now: Instant) -> Self {
        Self { begun: now, bytes_before: wire_bytes, allowed: 0.0, until: now, kbps }
    }

    /// Another part of it has passed; from now on the rate is `kbps`.
    fn pass(&mut self, kbps: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.until);
        self.allowed += f64::from(self.kbps) * 125.0 * passed.as_secs_f64();
        (self.until, self.kbps) = (now, kbps);
    }
}

/// The loop's state.
#[derive(Debug, Clone)]
pub struct RateTrim {
    factor: f64,
    window: Option<Window>,
    /// Bytes sent above the rate and not paid back.
    debt_bytes: f64,
}

impl RateTrim {
    /// A loop that trims nothing yet.
    pub fn new() -> Self {
        Self { factor: *FACTOR.end(), window: None, debt_bytes: 0.0 }
    }

    /// What the encoder's rate is to be multiplied by.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The encoder's rate for one that was reckoned without the loop, in kbit/s.
    pub fn of(&self, payload_kbps: u32) -> u32 {
        ((f64::from(payload_kbps) * self.factor) as u32).max(BITRATE_KBPS_MIN)
    }

    /// Takes what has been sent until `now`, for a rate of `wire_kbps`; true when the factor has changed.
    pub fn handle(&mut self, wire_bytes: u64, wire_kbps: u32, now: Instant) -> bool {
        let Some(window) = &mut self.window else {
            self.window = Some(Window::begin(wire_bytes, wire_kbps, now));
            return false;
        };
        window.pass(wire_kbps, now);
        let Window { begun, bytes_before, allowed, .. } = *window;
        let elapsed = now.saturating_duration_since(begun);
        if elapsed < WINDOW {
            return false;
        }
        self.window = Some(Window::begin(wire_bytes, wire_kbps, now));
        let sent = wire_bytes.saturating_sub(bytes_before) as f64;
        let second = f64::from(wire_kbps) * 125.0;
        self.debt_bytes = (self.debt_bytes + sent - allowed).clamp(0.0, second * DEBT_S_MAX);
        let repaid = self.debt_bytes * elapsed.as_secs_f64() / REPAY.as_secs_f64();
        let wanted = (allowed * AIM - repaid).max(allowed * DOWN_MAX);
        let ratio = if sent > 0.0 { (wanted / sent).clamp(DOWN_MAX, UP_MAX) } else { UP_MAX };
        let factor = (self.factor * ratio).clamp(*FACTOR.start(), *FACTOR.end());
        // Each change is work for the encoder's rate control.
        let is_worth_it = (factor - self.factor).abs() > self.factor * 0.01;
        if is_worth_it {
            self.factor = factor;
        }
        is_worth_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams 60 pictures a second through an encoder that gives what `wire_of` makes of the factor, in
    /// kbit/s on the wire, after an IDR of `idr_bytes`; returns the mean and the last second's, in kbit/s.
    fn stream(
        asked_kbps: u32,
        idr_bytes: u64,
        seconds: u32,
        wire_of: impl Fn(f64, u32) -> f64,
    ) -> (f64, f64) {
        let started = Instant::now();
        let (mut trim, mut bytes, mut before_last) = (RateTrim::new(), 0_u64, 0);
        let pictures = seconds * 60;
        for picture in 0..pictures {
            trim.handle(bytes, asked_kbps, started + Duration::from_secs(1) * picture / 60);
            assert!(FACTOR.contains(&trim.factor()), "{}", trim.factor());
            bytes += (wire_of(trim.factor(), picture) * 125.0 / 60.0) as u64;
            if picture == 0 {
                bytes += idr_bytes;
            }
            if picture == pictures - 60 {
                before_last = bytes;
            }
        }
        (bytes as f64 / 125.0 / f64::from(seconds), (bytes - before_last) as f64 / 125.0 * 60.0 / 59.0)
    }

    #[test]
    fn what_the_formula_does_not_know_is_trimmed_away() {
        // What was measured without the loop: a megabit gave six.
        for (asked, gave) in [(1_000, 5_950.0), (3_000, 7_153.0), (5_000, 8_795.0), (20_000, 22_947.0)] {
            let (mean, last) = stream(asked, 0, 10, |factor, _| gave * factor);
            let asked = f64::from(asked);
            assert!(mean <= asked * 1.05, "{asked}: {mean}");
            assert!((asked * 0.85..=asked * 1.02).contains(&last), "{asked}: {last} in the last second");
        }
    }

    #[test]
    fn a_floor_that_no_factor_moves_is_met_as_far_as_it_can_be() {
        // Padding and parity: 40 % of the rate whatever the encoder is asked for.
        let (mean, last) = stream(3_000, 0, 10, |factor, _| 1_200.0 + 3_500.0 * factor);
        assert!(mean <= 3_150.0 && (2_600.0..=3_060.0).contains(&last), "{mean} {last}");
        let (_, last) = stream(1_000, 0, 10, |factor, _| 2_000.0 + 1_000.0 * factor);
        assert!(last < 2_150.0, "the least that can be had: {last}");
    }

    #[test]
    fn an_idr_is_paid_back() {
        // An IDR of half a second of the rate, on top of it.
        let (mean, _) = stream(8_000, 500_000, 8, |factor, _| 8_000.0 * factor);
        assert!((7_000.0..=8_400.0).contains(&mean), "{mean}");
    }

    #[test]
    fn what_needs_little_gets_all_it_asks_for_again() {
        // Two seconds of twice the rate, then a desktop that stands still, then it moves again.
        let started = Instant::now();
        let mut trim = RateTrim::new();
        let mut bytes = 0_u64;
        for window in 0..60_u32 {
            let kbps = if window < 7 { 20_000 } else { 100 };
            bytes += kbps * 125 * 3 / 10;
            trim.handle(bytes, 10_000, started + WINDOW * window);
            if window == 7 {
                assert!(trim.factor() < 0.7, "{}", trim.factor());
            }
        }
        assert!((trim.factor() - 1.0).abs() < 1e-9, "{}", trim.factor());
        // Nothing at all for an hour is no reason to stop.
        trim.handle(bytes, 10_000, started + Duration::from_secs(3600));
        assert!((trim.factor() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_that_falls_takes_nothing_of_what_was_right_before() {
        let (started, mut trim, mut bytes) = (Instant::now(), RateTrim::new(), 0);
        for picture in 0..120_u32 {
            let kbps = if picture < 67 { 100_000 } else { 20_000 };
            trim.handle(bytes, kbps, started + Duration::from_secs(1) * picture / 60);
            bytes += u64::from(kbps) * 125 / 60;
            assert!(trim.factor() > 0.8, "{} at picture {picture}", trim.factor());
        }
    }

    #[test]
    fn within_a_window_nothing_is_decided() {
        let started = Instant::now();
        let mut trim = RateTrim::new();
        assert!(!trim.handle(0, 1_000, started));
        assert!(!trim.handle(10_000_000, 1_000, started + WINDOW / 2));
        assert!(trim.handle(10_000_000, 1_000, started + WINDOW));
        assert!((trim.factor() - DOWN_MAX).abs() < 1e-9);
        // A clock or a counter that stands still or goes back is survived.
        assert!(!trim.handle(0, 1_000, started));
    }
}
