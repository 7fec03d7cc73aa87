//! When pictures are due, and the waiting for it.
//!
//! Promises: due times lie on a grid that does not drift, however late a wake comes; the newest picture wins, and those
//! that were passed over are counted. Refuses: to catch up by a burst.

use std::thread;
use std::time::{Duration, Instant};

/// A grid of due times.
#[derive(Debug)]
pub struct Cadence {
    interval: Duration,
    next: Instant,
}

/// A picture that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it was taken.
    pub at: Instant,
    /// Pictures before it that nobody was there to take.
    pub passed_over: u64,
}

impl Cadence {
    /// Pictures each `interval` from `first` on.
    pub fn new(interval: Duration, first: Instant) -> Cadence {
        Cadence { interval: interval.max(Duration::from_micros(1)), next: first }
    }

    /// Another interval from the next picture on.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval.max(Duration::from_micros(1));
    }

    /// Waits for the next picture, at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<Due> {
        let left = self.next.saturating_duration_since(Instant::now());
        thread::sleep(left.min(timeout));
        if left > timeout { None } else { self.claim(Instant::now()) }
    }

    fn claim(&mut self, now: Instant) -> Option<Due> {
        let late = now.checked_duration_since(self.next)?;
        let passed_over = u64::try_from(late.as_nanos() / self.interval.as_nanos()).unwrap_or(u64::MAX);
        let steps = u32::try_from(passed_over + 1).unwrap_or(u32::MAX);
        self.next += self.interval * steps;
        Some(Due { at: now, passed_over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_does_not_drift_and_what_is_passed_over_is_counted() {
        let start = Instant::now();
        let millis = Duration::from_millis;
        let mut cadence = Cadence::new(millis(10), start);
        assert_eq!(cadence.claim(start), Some(Due { at: start, passed_over: 0 }));
        assert_eq!(cadence.claim(start + millis(9)), None);
        let late = start + millis(13);
        assert_eq!(cadence.claim(late), Some(Due { at: late, passed_over: 0 }));
        let later = start + millis(45);
        assert_eq!(cadence.claim(later), Some(Due { at: later, passed_over: 2 }), "those of 20 and 30");
        assert_eq!(cadence.claim(start + millis(49)), None);
    }

    #[test]
    fn a_wait_ends_at_its_timeout() {
        let mut cadence = Cadence::new(Duration::from_secs(1), Instant::now() + Duration::from_secs(60));
        assert_eq!(cadence.wait(Duration::from_millis(2)), None);
    }
}
