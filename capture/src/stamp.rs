//! From the compositor's presentation time to an [`Instant`].
//!
//! Both are CLOCK_MONOTONIC on Linux, but an `Instant` can only be made from another one: so the
//! picture's age is measured on the one clock and taken off the other. Promises a stamp that is not in
//! the future. Refuses times that cannot be ours (the protocol allows any offset): then it is now.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::SCREEN_STAMP_AGE_MAX;

/// The instant at which `presented`, a time on the compositor's clock, was.
pub(crate) fn instant_of(presented: Duration) -> Instant {
    let clock = clock_gettime(ClockId::Monotonic);
    let now = Instant::now();
    let seconds = u64::try_from(clock.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(clock.tv_nsec).unwrap_or(0);
    let age = age_of(presented, Duration::new(seconds, nanos));
    now.checked_sub(age).unwrap_or(now)
}

fn age_of(presented: Duration, clock: Duration) -> Duration {
    match clock.checked_sub(presented) {
        Some(age) if age <= SCREEN_STAMP_AGE_MAX => age,
        Some(_) | None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_age_on_one_clock_or_now() {
        let clock = Duration::from_secs(5000);
        assert_eq!(age_of(Duration::from_millis(4_999_995), clock), Duration::from_millis(5));
        for foreign in [Duration::ZERO, Duration::from_secs(5001), Duration::MAX, Duration::from_secs(3000)] {
            assert_eq!(age_of(foreign, clock), Duration::ZERO);
        }
    }

    #[test]
    fn comes_back_from_the_clock_that_it_was_read_from() {
        let before = Instant::now();
        let clock = clock_gettime(ClockId::Monotonic);
        let after = Instant::now();
        let stamp = instant_of(Duration::new(clock.tv_sec as u64, clock.tv_nsec as u32));
        // Two reads of two clocks lie between; a loaded machine may put some time there.
        assert!(stamp <= after + Duration::from_millis(50) && stamp + Duration::from_millis(50) >= before);
    }
}
