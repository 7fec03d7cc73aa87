//! The session clock: microseconds since Start, and the 32 bits of it that travel with an AU.
//!
//! Promises that [`unwrap_pts`] of a pts taken within 35 minutes of *now* is exact. It reads no clock: `now` is
//! handed in.

use std::time::Instant;

/// Maps instants of this machine to microseconds of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionClock {
    start: Instant,
}

impl SessionClock {
    /// A clock that reads 0 at `start`.
    pub const fn new(start: Instant) -> Self {
        Self { start }
    }

    /// The instant at which the clock reads 0.
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// Microseconds since start; 0 for an instant before it.
    pub fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// The low 32 bits of [`Self::micros`], as the media header carries them.
    pub fn pts(&self, now: Instant) -> u32 {
        self.micros(now) as u32
    }
}

/// The session time congruent to `pts_us` modulo 2³² that is nearest to `session_now_us`.
///
/// Nearest *now*, never nearest the last pts: a screen can stand still for more than the 71 minutes of a wrap.
pub fn unwrap_pts(pts_us: u32, session_now_us: u64) -> u64 {
    let ahead = i64::from(pts_us.wrapping_sub(session_now_us as u32) as i32);
    match session_now_us.checked_add_signed(ahead) {
        Some(pts) => pts,
        // Before the start or past the end of time: the other neighbour is the only one that exists.
        None if ahead < 0 => u64::from(pts_us),
        None => session_now_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn reads_micros_from_start_and_wraps() {
        let start = Instant::now();
        let clock = SessionClock::new(start);
        assert_eq!(clock.micros(start + Duration::from_millis(3)), 3_000);
        assert_eq!(clock.pts(start + Duration::from_micros((1 << 32) + 7)), 7);
        assert_eq!(SessionClock::new(start + Duration::from_secs(1)).micros(start), 0);
    }

    #[test]
    fn a_pts_before_the_start_stays_positive() {
        assert_eq!(unwrap_pts(u32::MAX, 0), u64::from(u32::MAX));
        assert_eq!(unwrap_pts(5, 0), 5);
        assert_eq!(unwrap_pts(0, 10), 0);
    }

    proptest! {
        #[test]
        fn unwraps_whatever_is_within_half_a_wrap(now in (1u64 << 31)..(1 << 50), off in -0x7fff_ffffi64..0x7fff_ffff) {
            let pts = now.checked_add_signed(off).unwrap();
            prop_assert_eq!(unwrap_pts(pts as u32, now), pts);
        }
    }
}
