//! The access units that are sent: sizes drawn from the plan's range, contents of their own, all from the seed.

use std::ops::Range;

use crate::plan::Plan;
use crate::rng::{Purpose, Rng};

/// Draws sizes.
#[derive(Debug)]
pub struct Sizes {
    rng: Rng,
    min: f64,
    max: f64,
    idr: Option<u64>,
}

impl Sizes {
    /// The plan's sizes.
    pub fn new(plan: &Plan) -> Sizes {
        Sizes {
            rng: Rng::new(plan.seed, Purpose::Sizes),
            min: plan.size.min.0 as f64,
            max: plan.size.max.0 as f64,
            idr: plan.idr_size.map(|size| size.0),
        }
    }

    /// The next AU's bytes. Draws once, whatever comes of it.
    pub fn draw(&mut self, idr: bool) -> usize {
        let drawn = (self.min * (self.max / self.min).powf(self.rng.unit())).round() as usize;
        self.idr.filter(|_| idr).map_or(drawn, |bytes| bytes as usize)
    }
}

/// The contents of AU `au`, made from the seed.
pub fn contents(seed: u64, au: u32, bytes: usize) -> Vec<u8> {
    let mut made = vec![0; bytes];
    Rng::new(seed, Purpose::Bytes(au)).fill(&mut made);
    made
}

/// Cuts `bytes` into at most `slices` parts, none empty unless there is nothing at all.
pub fn slices_of(bytes: usize, slices: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let slices = slices.min(bytes.max(1));
    (0..slices).map(move |index| index * bytes / slices..(index + 1) * bytes / slices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_everything() {
        for (bytes, slices) in [(0, 4), (1, 4), (3, 4), (4, 4), (1_001, 7)] {
            let ranges: Vec<_> = slices_of(bytes, slices).collect();
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, bytes));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(bytes == 0 || ranges.iter().all(|range| !range.is_empty()));
        }
    }
}
