//! An absolute schedule: picture n is due at the start plus n periods, whatever happened before.
//!
//! Promised: no drift, and no burst after a stall: what was missed is counted and passed over.

use std::time::{Duration, Instant};

use crate::Counters;

/// The due times of pictures at a fixed refresh.
#[derive(Debug, Clone)]
pub struct Schedule {
    started: Instant,
    refresh_mhz: u32,
    /// When this refresh began, and with which picture.
    since: (Instant, u64),
    next: u64,
}

impl Schedule {
    /// A schedule whose picture 0 is due at `started`.
    ///
    /// # Panics
    /// If `refresh_mhz` is 0.
    pub fn new(refresh_mhz: u32, started: Instant) -> Self {
        assert!(refresh_mhz > 0, "a schedule needs a refresh");
        Self { started, refresh_mhz, since: (started, 0), next: 0 }
    }

    /// When the schedule's picture 0 was due.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When the next picture is due.
    pub fn next_due(&self) -> Instant {
        let (since, first) = self.since;
        since + due_offset(self.next - first, self.refresh_mhz)
    }

    /// Another refresh from the next picture on, which is due when it was.
    ///
    /// # Panics
    /// If `refresh_mhz` is 0.
    pub fn set_refresh(&mut self, refresh_mhz: u32) {
        assert!(refresh_mhz > 0, "a schedule needs a refresh");
        self.since = (self.next_due(), self.next);
        self.refresh_mhz = refresh_mhz;
    }

    /// Sleeps until the next picture is due, for at most `timeout`; true when it is.
    pub fn wait(&self, timeout: Duration) -> bool {
        let due = self.next_due();
        let missing = due.saturating_duration_since(Instant::now());
        if !missing.is_zero() {
            std::thread::sleep(missing.min(timeout));
        }
        due <= Instant::now()
    }

    /// The number of the newest picture that is due at `now` and was not claimed, and how many older ones are passed over by
    /// claiming it; `None` before the next one is due.
    pub fn claim(&mut self, now: Instant) -> Option<Claim> {
        let newest = self.newest_due(now)?;
        let passed_over = newest - self.next;
        self.next = newest + 1;
        Some(Claim { number: newest, passed_over })
    }

    fn newest_due(&self, now: Instant) -> Option<u64> {
        let (since, first) = self.since;
        let elapsed = now.checked_duration_since(since)?;
        let due = elapsed.as_nanos() * u128::from(self.refresh_mhz) / 1_000_000_000_000;
        let mut number = u64::try_from(due).unwrap_or(u64::MAX - 1);
        // The division above rounds once, `due_offset` another way: settle on what `next_due` says.
        if due_offset(number + 1, self.refresh_mhz) <= elapsed {
            number += 1;
        }
        let number = number.saturating_add(first);
        (number >= self.next).then_some(number)
    }
}

/// A schedule whose pictures are counted as a source has to.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    schedule: Schedule,
    counters: Counters,
}

impl Pace {
    /// See [`Schedule::new`].
    pub(crate) fn new(refresh_mhz: u32, started: Instant) -> Self {
        Self { schedule: Schedule::new(refresh_mhz, started), counters: Counters::default() }
    }

    /// Begins anew at `started`, with nothing counted.
    pub(crate) fn restart(&mut self, started: Instant) {
        *self = Self::new(self.schedule.refresh_mhz, started);
    }

    /// Another refresh from the next picture on.
    pub(crate) fn set_refresh(&mut self, refresh_mhz: u32) {
        self.schedule.set_refresh(refresh_mhz);
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// The number of the newest picture that is due and was neither claimed nor skipped.
    pub(crate) fn claim(&mut self, now: Instant) -> Option<u64> {
        let Claim { number, passed_over } = self.schedule.claim(now)?;
        self.counters.captured += passed_over + 1;
        self.counters.superseded += passed_over;
        Some(number)
    }

    /// Drops the picture that could be claimed, if there is one.
    pub(crate) fn skip(&mut self, now: Instant) {
        if self.claim(now).is_some() {
            self.counters.skipped += 1;
        }
    }
}

/// A picture claimed from a [`Schedule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The picture's number.
    pub number: u64,
    /// Older pictures that were due and never claimed.
    pub passed_over: u64,
}

/// When picture `number` is due after the start, rounded down to the nanosecond.
fn due_offset(number: u64, refresh_mhz: u32) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000_000 / u128::from(refresh_mhz);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_picture_once_and_no_drift() {
        let started = Instant::now();
        let mut schedule = Schedule::new(59_940, started);
        for number in 0..100_000 {
            let due = schedule.next_due();
            assert_eq!(schedule.claim(due), Some(Claim { number, passed_over: 0 }));
            assert_eq!(schedule.claim(due), None);
        }
        let exact = 100_000_000_f64 / 59_940.0;
        let offset = schedule.next_due().duration_since(started).as_secs_f64();
        assert!((offset - exact).abs() < 1e-6, "{offset} {exact}");
    }

    #[test]
    fn another_refresh_goes_on_where_the_one_before_was() {
        let started = Instant::now();
        let mut schedule = Schedule::new(60_000, started);
        assert_eq!(schedule.claim(started + Duration::from_millis(51)).map(|claim| claim.number), Some(3));
        schedule.set_refresh(10_000);
        let due = schedule.next_due();
        assert_eq!(due, started + due_offset(4, 60_000));
        assert_eq!(schedule.claim(due - Duration::from_micros(1)), None);
        assert_eq!(schedule.claim(due), Some(Claim { number: 4, passed_over: 0 }));
        assert_eq!(schedule.next_due(), due + Duration::from_millis(100));
        let claim = schedule.claim(due + Duration::from_millis(350)).unwrap();
        assert_eq!(claim, Claim { number: 7, passed_over: 2 });
        assert_eq!(schedule.started(), started);
    }

    #[test]
    fn a_stall_is_passed_over() {
        let started = Instant::now();
        let mut schedule = Schedule::new(60_000, started);
        assert_eq!(schedule.claim(started).map(|claim| claim.number), Some(0));
        let claim = schedule.claim(started + Duration::from_secs(1)).unwrap();
        assert_eq!(claim, Claim { number: 60, passed_over: 59 });
        assert_eq!(schedule.claim(started + Duration::from_millis(1016)), None);
        assert_eq!(schedule.claim(started + Duration::from_millis(1017)).unwrap().number, 61);
    }

    proptest! {
        #[test]
        fn claims_agree_with_due_times(refresh_mhz in 1_000u32..=480_000, gaps in prop::collection::vec(0u64..50_000_000, 1..40)) {
            let started = Instant::now();
            let mut schedule = Schedule::new(refresh_mhz, started);
            let (mut now, mut accounted) = (started, 0);
            for gap in gaps {
                now += Duration::from_nanos(gap);
                let was_due = schedule.next_due() <= now;
                let claim = schedule.claim(now);
                prop_assert_eq!(claim.is_some(), was_due);
                if let Some(claim) = claim {
                    accounted += claim.passed_over + 1;
                    prop_assert_eq!(accounted, claim.number + 1);
                    prop_assert!(schedule.next_due() > now);
                }
            }
        }
    }
}
