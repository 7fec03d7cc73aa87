//! Bursts of loss: the two-state Markov chain of Gilbert ("Capacity of a Burst-Noise Channel", 1960), with Elliott's
//! loss below one in the bad state (1963).
//!
//! Told by what is measured of it: the share r of all datagrams that bursts take, the mean stay L in the bad state in
//! datagrams, and the density h, the loss within it. Then the bad state's share is b = r / h, it ends with probability
//! 1 / L and begins with b / ((1 - b) L). It promises that share and length from the first datagram on: it starts in
//! its stationary state. It counts datagrams, not time: a burst that meets the end of an access unit goes on with what is
//! sent next, resends too. It refuses r above [`loss_max`], beyond which bursts would have to begin more often than
//! always.

use crate::rng::Rng;
use crate::units::{Burst, Percent};

/// The chain.
#[derive(Debug)]
pub struct Bursts {
    is_bad: bool,
    begin: f64,
    end: f64,
    density: f64,
    rng: Rng,
}

/// The largest share that bursts of a mean length and density can take.
pub fn loss_max(datagrams: f64, density: Percent) -> f64 {
    density.share() * datagrams / (datagrams + 1.0)
}

impl Bursts {
    /// A chain that takes `burst.loss` of all datagrams, with `density` of those within a burst lost.
    pub fn new(burst: Burst, density: Percent, mut rng: Rng) -> Bursts {
        let bad = if burst.loss.share() > 0.0 { burst.loss.share() / density.share() } else { 0.0 };
        let end = 1.0 / burst.datagrams;
        let begin = bad * end / (1.0 - bad);
        let is_bad = rng.chance(bad);
        Bursts { is_bad, begin, end, density: density.share(), rng }
    }

    /// Whether a burst takes the next datagram.
    pub fn takes_next(&mut self) -> bool {
        let taken = self.rng.chance(if self.is_bad { self.density } else { 0.0 });
        self.is_bad ^= self.rng.chance(if self.is_bad { self.end } else { self.begin });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Harm, Purpose, Rng, Way};
    use proptest::prelude::*;

    /// Share lost and mean run of `count` datagrams.
    fn measured(burst: Burst, density: Percent, seed: u64, count: u32) -> (f64, f64) {
        let mut bursts =
            Bursts::new(burst, density, Rng::new(seed, Purpose::Link(Way::ToClient, Harm::Burst)));
        let (mut lost, mut runs, mut before) = (0_u32, 0_u32, false);
        for _ in 0..count {
            let taken = bursts.takes_next();
            lost += u32::from(taken);
            runs += u32::from(taken && !before);
            before = taken;
        }
        (f64::from(lost) / f64::from(count), f64::from(lost) / f64::from(runs.max(1)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Loss and mean run of full bursts come out as asked for. Of N datagrams there are about N r / L bursts, whose
        /// lengths spread by L: the mean of n of them spreads by L / √n, and five times that is allowed.
        #[test]
        fn loss_and_length_are_what_was_asked_for(
            per_mille in 5u32..200, length in 1u32..40, seed in any::<u64>()
        ) {
            let burst = Burst { loss: Percent::of(f64::from(per_mille) / 10.0), datagrams: f64::from(length) };
            prop_assume!(burst.loss.share() < loss_max(burst.datagrams, Percent::of(100.0)));
            let count = 400_000;
            let (loss, run) = measured(burst, Percent::of(100.0), seed, count);
            let bursts = f64::from(count) * burst.loss.share() / burst.datagrams;
            let spread = 5.0 * 2.0 / bursts.sqrt();
            prop_assert!((loss / burst.loss.share() - 1.0).abs() < spread, "{loss} of {:?}", burst);
            // A burst that begins where one has just ended makes one run of the two.
            let merged = burst.datagrams / (1.0 - burst.loss.share() * 1.2);
            prop_assert!(run > burst.datagrams * (1.0 - spread) && run < merged * (1.0 + spread), "{run} of {:?}", burst);
        }
    }

    #[test]
    fn density_thins_a_burst_and_keeps_the_loss() {
        let burst = Burst { loss: Percent::of(3.0), datagrams: 16.0 };
        let (loss, run) = measured(burst, Percent::of(50.0), 3, 2_000_000);
        assert!((0.028..0.032).contains(&loss), "{loss}");
        // Within a burst every other one is lost, so runs are of two on average.
        assert!((1.8..2.1).contains(&run), "{run}");
        let none = Burst { loss: Percent::of(0.0), datagrams: 16.0 };
        assert!(measured(none, Percent::of(100.0), 3, 10_000).0 == 0.0);
    }
}
