//! Whether resident memory stays flat: looks at it, and what they come to.
//!
//! Promises: growth is told both by its peak and by its slope, so that neither a step nor a trickle passes. Refuses: to
//! call flat what was looked at a few times only.

use serde::Serialize;

/// What memory may grow by once it has settled, by peak or by slope: the kernel counts a thread's pages late.
pub const GROWTH_KIB_MAX: u64 = 2_048;

/// How much of the run belongs to settling: by then every mode has been seen.
const SETTLING_SHARE: usize = 4;

/// Looks that there must be for a word about memory.
pub const LOOKS_MIN: usize = 8;

/// One end's memory over the run, after it had settled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Growth {
    /// The largest look over the largest of the settling part.
    pub grown_kib: u64,
    /// The line through the looks, by least squares, in KiB a minute.
    pub slope_kib_per_minute: f64,
    /// What that slope adds up to from settling to the end.
    pub slope_kib: f64,
}

impl Growth {
    /// Of looks, each with its moment in seconds.
    pub fn of(looks: &[(f64, u64)]) -> Option<Growth> {
        if looks.len() < LOOKS_MIN {
            return None;
        }
        let (settling, rest) = looks.split_at((looks.len() / SETTLING_SHARE).max(LOOKS_MIN / 2));
        let most = |looks: &[(f64, u64)]| looks.iter().map(|look| look.1).max().unwrap_or(0);
        let slope = slope(rest);
        let seconds = rest.last().map_or(0.0, |look| look.0) - rest.first().map_or(0.0, |look| look.0);
        Some(Growth {
            grown_kib: most(rest).saturating_sub(most(settling)),
            slope_kib_per_minute: slope * 60.0,
            slope_kib: slope * seconds,
        })
    }

    /// Neither grew.
    pub fn is_flat(&self) -> bool {
        self.grown_kib <= GROWTH_KIB_MAX && self.slope_kib <= GROWTH_KIB_MAX as f64
    }
}

/// By least squares, a second.
fn slope(looks: &[(f64, u64)]) -> f64 {
    let count = looks.len().max(1) as f64;
    let mean_at = looks.iter().map(|look| look.0).sum::<f64>() / count;
    let mean_kib = looks.iter().map(|look| look.1 as f64).sum::<f64>() / count;
    let (mut both, mut square) = (0.0, 0.0);
    for (at, kib) in looks {
        both += (at - mean_at) * (*kib as f64 - mean_kib);
        square += (at - mean_at) * (at - mean_at);
    }
    if square > 0.0 { both / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(kib: impl Fn(u64) -> u64) -> Vec<(f64, u64)> {
        (0..40).map(|look| (look as f64 * 3.0, kib(look))).collect()
    }

    #[test]
    fn growth_is_told_from_settling_and_from_a_small_mode() {
        let flat = Growth::of(&looks(|look| 50_000 + look % 8 * 100)).unwrap();
        assert!(flat.is_flat() && flat.grown_kib == 0, "{flat:?}");
        let leak = Growth::of(&looks(|look| 60_000 + look * 200)).unwrap();
        assert!(!leak.is_flat(), "{leak:?}");
        assert!((leak.slope_kib_per_minute - 4_000.0).abs() < 1.0, "{leak:?}");
        let step = Growth::of(&looks(|look| if look < 35 { 60_000 } else { 63_000 })).unwrap();
        assert!(!step.is_flat(), "{step:?}");
        let early = Growth::of(&looks(|look| 60_000 + look.min(8) * 1_000)).unwrap();
        assert!(early.is_flat(), "settling is no growth: {early:?}");
        assert_eq!(Growth::of(&looks(|_| 1)[..LOOKS_MIN - 1]), None, "too short to tell");
    }

    #[test]
    fn a_trickle_under_a_high_first_look_is_growth_by_its_slope() {
        let trickle =
            Growth::of(&looks(|look| if look < 10 { 70_000 } else { 60_000 + look * 100 })).unwrap();
        assert!(trickle.grown_kib == 0 && !trickle.is_flat(), "{trickle:?}");
    }
}
