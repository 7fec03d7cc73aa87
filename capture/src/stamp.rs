//! From the compositor's presentation time to an [`Instant`].
//!
//! Both are CLOCK_MONOTONIC on Linux, but an `Instant` can only be made from another one: so the
//! picture's age is measured on the one clock and taken off the other. Promises a stamp that is not in
//! the future. Refuses times that cannot be ours (the protocol allows any offset).

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::SCREEN_STAMP_AGE_MAX;

/// When a picture came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) at: Instant,
    /// Whether its producer told so; else it is when it came here.
    pub(crate) is_told: bool,
}

impl Stamp {
    /// What the producer told, where that is a time of ours, else `arrived`.
    pub(crate) fn new(told: Option<Duration>, arrived: impl FnOnce() -> Instant) -> Self {
        match told.and_then(instant_of) {
            Some(at) => Self { at, is_told: true },
            None => Self { at: arrived(), is_told: false },
        }
    }
}

/// The instant at which `presented`, a time on the compositor's clock, was; `None`: that is another clock.
pub(crate) fn instant_of(presented: Duration) -> Option<Instant> {
    let clock = clock_gettime(ClockId::Monotonic);
    let now = Instant::now();
    let seconds = u64::try_from(clock.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(clock.tv_nsec).unwrap_or(0);
    now.checked_sub(age_of(presented, Duration::new(seconds, nanos))?)
}

fn age_of(presented: Duration, clock: Duration) -> Option<Duration> {
    clock.checked_sub(presented).filter(|age| *age <= SCREEN_STAMP_AGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_age_on_one_clock_or_none() {
        let clock = Duration::from_secs(5000);
        assert_eq!(age_of(Duration::from_millis(4_999_995), clock), Some(Duration::from_millis(5)));
        for foreign in [Duration::ZERO, Duration::from_secs(5001), Duration::MAX, Duration::from_secs(3000)] {
            assert_eq!(age_of(foreign, clock), None);
        }
    }

    #[test]
    fn comes_back_from_the_clock_that_it_was_read_from() {
        let before = Instant::now();
        let clock = clock_gettime(ClockId::Monotonic);
        let after = Instant::now();
        let stamp = instant_of(Duration::new(clock.tv_sec as u64, clock.tv_nsec as u32)).unwrap();
        // Two reads of two clocks lie between; a loaded machine may put some time there.
        assert!(stamp <= after + Duration::from_millis(50) && stamp + Duration::from_millis(50) >= before);
    }

    #[test]
    fn a_foreign_time_is_replaced_and_known_to_be() {
        let arrived = Instant::now();
        for told in [None, Some(Duration::MAX), Some(Duration::ZERO)] {
            assert_eq!(Stamp::new(told, || arrived), Stamp { at: arrived, is_told: false });
        }
        let clock = clock_gettime(ClockId::Monotonic);
        let told = Duration::new(clock.tv_sec as u64, clock.tv_nsec as u32);
        assert!(Stamp::new(Some(told), || arrived).is_told);
    }
}
