//! The join of the two ends' clocks, kept fresh while media flows.
//!
//! Promises: the clocks are compared again every ten seconds, so that drift adds little to the error bound.
//! Refuses to ask before the first comparison is done.

use std::time::{Duration, Instant};

use punktfunk_control::SkewEstimate;
use serde_json::{Value, json};

/// How often the clocks are compared: 100 ppm of drift make this a millisecond.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// What is known about the host's clock.
#[derive(Debug, Default)]
pub struct Clocks {
    skew: Option<SkewEstimate>,
    refreshed: u32,
    next_refresh: Option<Instant>,
}

impl Clocks {
    /// Takes what a comparison came to; says whether it was the first.
    pub fn handle_skew(&mut self, skew: SkewEstimate, now: Instant) -> bool {
        let first = self.skew.replace(skew).is_none();
        self.refreshed += u32::from(!first);
        self.next_refresh = Some(now + REFRESH_INTERVAL);
        first
    }

    /// Whether to compare anew now; once in an interval.
    pub fn poll_refresh(&mut self, now: Instant) -> bool {
        let due = self.next_refresh.is_some_and(|due| due <= now);
        if due {
            self.next_refresh = Some(now + REFRESH_INTERVAL);
        }
        due
    }

    /// Whether times of the two ends can be compared.
    pub fn are_joined(&self) -> bool {
        self.skew.is_some()
    }

    /// The join as JSON: the error bound at `now`, drift counted in, in microseconds.
    pub fn json(&self, now: Instant) -> Value {
        self.skew.map_or(Value::Null, |skew| {
            json!({
                "error_us": skew.error_us_at(now), "rtt_us": skew.rtt_us, "refreshed": self.refreshed,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_anew_every_ten_seconds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let skew =
            |measured_at| SkewEstimate { offset_us: 7, error_us: 50, rtt_us: 90, rounds: 8, measured_at };
        let mut clocks = Clocks::default();
        assert!(!clocks.poll_refresh(after(100)), "before the first comparison");
        assert!(!clocks.are_joined() && clocks.json(start).is_null());
        assert!(clocks.handle_skew(skew(start), start));
        assert!(!clocks.poll_refresh(after(9)));
        assert!(clocks.poll_refresh(after(10)));
        assert!(!clocks.poll_refresh(after(10)), "twice");
        // The bound has grown by 100 ppm of ten seconds.
        assert_eq!(clocks.json(after(10)), json!({"error_us": 1_050, "rtt_us": 90, "refreshed": 0}));
        assert!(!clocks.handle_skew(skew(after(10)), after(10)));
        assert_eq!(clocks.json(after(10)), json!({"error_us": 50, "rtt_us": 90, "refreshed": 1}));
        assert!(clocks.poll_refresh(after(20)));
    }
}
