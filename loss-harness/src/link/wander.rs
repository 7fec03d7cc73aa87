//! Jitter: a delay that wanders between nothing and its most.
//!
//! It is a function of time alone: random heights on a grid, straight lines between them. The grid is no finer than
//! the most, so that it never falls faster than time goes on, and nothing overtakes: that is reordering's business.

use std::time::Duration;

use crate::rng::{Harm, Purpose, Rng, Way};

/// The finest grid: queues on the way fill and empty in milliseconds.
const GRID_MIN: Duration = Duration::from_millis(5);

/// A wandering delay.
#[derive(Debug)]
pub struct Wander {
    most: Duration,
    grid_ns: u128,
    seed: u64,
}

impl Wander {
    /// A delay up to `most`.
    pub fn new(most: Duration, seed: u64, way: Way) -> Wander {
        let seed = Rng::new(seed, Purpose::Link(way, Harm::Jitter)).word();
        Wander { most, grid_ns: most.max(GRID_MIN).as_nanos(), seed }
    }

    /// The delay of what is sent at `at`.
    pub fn at(&self, at: Duration) -> Duration {
        if self.most.is_zero() {
            return Duration::ZERO;
        }
        let (cell, into) = (at.as_nanos() / self.grid_ns, at.as_nanos() % self.grid_ns);
        let (from, to) = (self.height(cell), self.height(cell + 1));
        let nanos = (from * (self.grid_ns - into) + to * into) / self.grid_ns;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn height(&self, cell: u128) -> u128 {
        let share = u128::from(Rng::new(self.seed, Purpose::Cell(cell as u64)).word());
        (self.most.as_nanos() * share) >> 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wanders_within_its_most_and_never_overtakes(
            most_us in 0u64..50_000, seed in any::<u64>(),
            steps in proptest::collection::vec(0u64..3_000_000, 1..300),
        ) {
            let wander = Wander::new(Duration::from_micros(most_us), seed, Way::ToClient);
            let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
            for step in steps {
                now += Duration::from_nanos(step);
                let delay = wander.at(now);
                prop_assert!(delay <= Duration::from_micros(most_us));
                prop_assert!(now + delay >= last);
                last = now + delay;
            }
        }
    }

    #[test]
    fn uses_its_whole_range() {
        let wander = Wander::new(Duration::from_millis(4), 1, Way::ToClient);
        let delays: Vec<_> = (0..10_000).map(|ms| wander.at(Duration::from_millis(ms))).collect();
        let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*least < Duration::from_micros(100) && *most > Duration::from_micros(3_900));
        let mean = delays.iter().sum::<Duration>() / 10_000;
        assert!((1_900..2_100).contains(&mean.as_micros()), "{mean:?}");
    }
}
