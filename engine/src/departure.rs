//! Waiting for a train's departure: a sleep that ends a little early, and a spin for the rest.
//!
//! How early is learned from how late sleeps end, so that the spin is as short as sleeps are uncertain, at most
//! [`SPIN_MAX`]. On a core that the stage owns nearly every sleep ends early. On a shared core three in four do: the
//! spin is then a few microseconds, less than the next sleep and wake would cost.
//!
//! Promises: it never ends before the departure. Refuses: to spin for a whole wait.

use std::thread;
use std::time::{Duration, Instant};

use crate::limits::PACE_SLEEP_MAX;
use crate::machine::Idle;
use crate::stage::Stop;

/// The longest spin at a wait's end.
const SPIN_MAX: Duration = Duration::from_micros(60);

/// What is thought of sleeps before the first.
const AHEAD_START: Duration = Duration::from_micros(30);

/// How far one sleep moves what is thought of them.
const LEARN: Duration = Duration::from_micros(2);

/// Waits for departures.
#[derive(Debug)]
pub(crate) struct Departures {
    /// Sleeps of each twenty that shall end early.
    early_of_twenty: u32,
    /// How long before a departure its sleep ends.
    ahead: Duration,
}

impl Departures {
    pub(crate) fn new(idle: Idle) -> Self {
        let early_of_twenty = match idle {
            Idle::Block => 15,
            Idle::SpinThenBlock(_) => 19,
        };
        Self { early_of_twenty, ahead: AHEAD_START }
    }

    /// Waits until `departure`; returns when it ended, or none as soon as a stop is requested. That is looked for
    /// before a departure that has passed, too: a long access unit is many of them.
    pub(crate) fn wait_for(&mut self, departure: Instant, stop: &Stop) -> Option<Instant> {
        loop {
            if stop.is_requested() {
                return None;
            }
            let now = Instant::now();
            if now >= departure {
                return Some(now);
            }
            self.wait(departure.min(now + PACE_SLEEP_MAX));
        }
    }

    /// Returns at `departure`, or at once if that has passed.
    fn wait(&mut self, departure: Instant) {
        let now = Instant::now();
        if let Some(wake) = departure.checked_sub(self.ahead).filter(|wake| *wake > now) {
            thread::sleep(wake - now);
            self.learn(Instant::now().saturating_duration_since(wake));
        }
        while Instant::now() < departure {
            std::hint::spin_loop();
        }
    }

    /// A sleep has ended this late. The steps up and down balance where the wanted share of sleeps ends early.
    fn learn(&mut self, late: Duration) {
        self.ahead = if late > self.ahead {
            (self.ahead + LEARN * self.early_of_twenty / 20).min(SPIN_MAX)
        } else {
            self.ahead.saturating_sub(LEARN * (20 - self.early_of_twenty) / 20)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_ends_before_its_departure() {
        for idle in [Idle::Block, Idle::SpinThenBlock(Duration::from_millis(1))] {
            let mut departures = Departures::new(idle);
            for us in [0, 1, 30, 100, 700, 2_000] {
                let departure = Instant::now() + Duration::from_micros(us);
                departures.wait(departure);
                assert!(Instant::now() >= departure);
            }
            departures.wait(Instant::now().checked_sub(Duration::from_millis(1)).expect("the machine is up"));
        }
    }

    #[test]
    fn a_stop_ends_a_wait_and_forbids_the_next() {
        let (mut departures, stop) = (Departures::new(Idle::Block), Stop::default());
        let departure = Instant::now() + Duration::from_millis(12);
        assert!(departures.wait_for(departure, &stop).is_some_and(|ended| ended >= departure));
        stop.request();
        assert_eq!(departures.wait_for(departure, &stop), None, "though it has passed");
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(departures.wait_for(far, &stop), None);
    }

    #[test]
    fn the_spin_is_as_short_as_sleeps_are_certain_and_bounded() {
        for (idle, least_us, most_us) in
            [(Idle::Block, 24, 28), (Idle::SpinThenBlock(Duration::ZERO), 28, 30)]
        {
            let mut departures = Departures::new(idle);
            // Sleeps that end 10 to 30 microseconds late, evenly.
            (0..4_000_u64).for_each(|n| departures.learn(Duration::from_micros(10 + n * 7 % 20)));
            let ahead = departures.ahead.as_micros();
            assert!((least_us..=most_us).contains(&ahead), "{ahead} µs");
            (0..4_000).for_each(|_| departures.learn(Duration::from_millis(5)));
            assert_eq!(departures.ahead, SPIN_MAX);
            (0..4_000).for_each(|_| departures.learn(Duration::ZERO));
            assert!(departures.ahead < LEARN);
        }
    }
}
