//! How evenly pictures came: the distances between those captured, and between those decoded.
//!
//! A stream of 60 pictures a second is smooth when they lie 16.7 ms apart. What lies more than half an interval too far
//! from the one before is a gap. A gap is a stutter only where the source has a picture for every turn: a desktop on
//! which nothing moves gives none, and that is no fault.

use hdrhistogram::Histogram;
use punktfunk_perf::Stage;
use serde::Serialize;

use super::figures::log_of;
use super::read::Found;

/// Bars of a picture's cadence.
pub const BARS: usize = 40;

/// The distances of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Cadence {
    /// `capture_interval` or `decode_interval`.
    pub stage: &'static str,
    /// How many.
    pub count: u64,
    /// What it should be, in milliseconds: from the mode, else the median.
    pub expected_ms: f64,
    /// Whether the mode said so.
    pub is_agreed: bool,
    /// The median.
    pub p50_ms: f64,
    /// One in a hundred was shorter.
    pub p1_ms: f64,
    /// Ninety-nine in a hundred were no longer.
    pub p99_ms: f64,
    /// 999 in a thousand were no longer.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// How many were more than one and a half times what was expected.
    pub gaps: u64,
    /// How many fell to each bar; a bar is 1/16 of what was expected, and the last one holds all beyond.
    pub bars: Vec<u64>,
}

/// Both kinds, those that were measured.
pub fn cadence(found: &Found, refresh_hz: Option<f64>) -> Vec<Cadence> {
    [("host", Stage::CaptureInterval), ("client", Stage::DecodeInterval)]
        .into_iter()
        .filter_map(|(end, stage)| Some(of(stage, log_of(found, end)?.total(stage)?, refresh_hz)))
        .collect()
}

/// Whether a source has a picture for every turn, so that a gap is a stutter: the test card alone is known to.
pub fn is_constant(source: &str) -> bool {
    source.starts_with("test card")
}

fn of(stage: Stage, histogram: &Histogram<u64>, refresh_hz: Option<f64>) -> Cadence {
    let ms = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e6;
    let expected_ms = refresh_hz.map_or_else(|| ms(0.5), |hz| 1e3 / hz).max(1e-3);
    let bar_ms = expected_ms / 16.0;
    let mut bars = vec![0_u64; BARS];
    for recorded in histogram.iter_recorded() {
        let bar = (recorded.value_iterated_to() as f64 / 1e6 / bar_ms) as usize;
        bars[bar.min(BARS - 1)] += recorded.count_at_value();
    }
    let smooth = histogram.count_between(0, (expected_ms * 1.5e6) as u64);
    Cadence {
        stage: stage.name(),
        count: histogram.len(),
        expected_ms,
        is_agreed: refresh_hz.is_some(),
        p50_ms: ms(0.5),
        p1_ms: ms(0.01),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        max_ms: histogram.max() as f64 / 1e6,
        gaps: histogram.len().saturating_sub(smooth),
        bars,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_not_there_in_its_turn_is_a_gap() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        histogram.record_n(16_667_000, 97).unwrap();
        histogram.record_n(33_333_000, 2).unwrap();
        histogram.record_n(500_000_000, 1).unwrap();
        let cadence = of(Stage::DecodeInterval, &histogram, Some(60.0));
        assert_eq!((cadence.count, cadence.gaps), (100, 3));
        assert_eq!(cadence.bars.iter().sum::<u64>(), 100);
        assert_eq!((cadence.bars[16], cadence.bars[BARS - 1]), (97, 1));
        let unnamed = of(Stage::DecodeInterval, &histogram, None);
        assert!((unnamed.expected_ms - 16.667).abs() < 0.02 && !unnamed.is_agreed);
    }

    #[test]
    fn nothing_but_zeros_is_no_fault() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        histogram.record(0).unwrap();
        assert_eq!(of(Stage::CaptureInterval, &histogram, None).count, 1);
    }

    #[test]
    fn a_still_desktop_does_not_stutter() {
        assert!(is_constant("test card 1280x720@60"));
        assert!(!is_constant("sway 1.7 without a screen, 1280x720@60"));
    }
}
