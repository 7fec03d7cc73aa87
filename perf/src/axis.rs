//! The time axis that the logs of both ends share: the host's session clock.
//!
//! The host's zero is the moment it started the session clock. A client knows that clock through the
//! skew handshake as an offset to one of its own instants. Times on the axis are durations since the
//! session started, so two logs line up to within the skew's error, whatever the wall clocks say.

use std::time::{Duration, Instant, SystemTime};

/// Maps this machine's instants to session time, and session time to the wall.
#[derive(Debug, Clone, Copy)]
pub struct TimeAxis {
    origin: Instant,
    offset_us: i64,
    base: SystemTime,
}

impl TimeAxis {
    /// The host's axis: session time zero is `start`; `wall` is the wall clock read at `now`.
    pub fn host(start: Instant, wall: SystemTime, now: Instant) -> TimeAxis {
        TimeAxis::with_offset(start, 0, wall, now)
    }

    /// The client's axis: session time = microseconds since `origin`, plus `offset_us` (host session
    /// clock − client clock, from the skew handshake). `wall` is the wall clock read at `now`.
    pub fn with_offset(origin: Instant, offset_us: i64, wall: SystemTime, now: Instant) -> TimeAxis {
        let mut axis = TimeAxis { origin, offset_us, base: wall };
        // A log cannot say a time before the epoch; only an absurd offset leads there.
        axis.base = wall.checked_sub(axis.at(now)).unwrap_or(wall).max(SystemTime::UNIX_EPOCH);
        axis
    }

    /// Session time at `now`; zero before the session started.
    pub fn at(&self, now: Instant) -> Duration {
        let local = now.saturating_duration_since(self.origin);
        let offset = Duration::from_micros(self.offset_us.unsigned_abs());
        if self.offset_us < 0 { local.saturating_sub(offset) } else { local.saturating_add(offset) }
    }

    /// The wall clock's time at session time zero, as this machine believes it.
    pub fn base(&self) -> SystemTime {
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_on_a_moment() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        // The client's clock has its zero 3 s after the session's.
        let (host_start, client_origin) = (now, now + Duration::from_secs(3));
        let host = TimeAxis::host(host_start, wall, now);
        let client = TimeAxis::with_offset(client_origin, 3_000_000, wall, now);
        let moment = now + Duration::from_secs(10);
        assert_eq!(host.at(moment), Duration::from_secs(10));
        assert_eq!(client.at(moment), host.at(moment));

        let early = TimeAxis::with_offset(now, -1_500_000, wall, now);
        assert_eq!(early.at(now + Duration::from_secs(1)), Duration::ZERO, "before the session");
        assert_eq!(early.at(now + Duration::from_secs(2)), Duration::from_millis(500));
    }

    #[test]
    fn the_base_is_the_walls_time_at_zero() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let now = start + Duration::from_secs(7);
        assert_eq!(TimeAxis::host(start, wall, now).base(), wall - Duration::from_secs(7));
        let ancient = TimeAxis::with_offset(start, i64::MAX, wall, now);
        assert_eq!(ancient.base(), SystemTime::UNIX_EPOCH, "no panic for an absurd offset");
    }
}
