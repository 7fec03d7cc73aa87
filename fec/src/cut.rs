//! How the layers of a chunk are shared out among passes.
//!
//! *What it is.* A [`Cut`]: lowest layer and layers of each pass. *What it promises.* All layers, each once; the lowest
//! pass has whole groups of eight or sixteen rows, so that what is above it lies in scratch by eights. *What it refuses.*
//! Nothing: up to fifteen layers fit.

use crate::layers::LAYERS_MAX;
use crate::passes::{Butterflies, Passes};

/// The most passes: fifteen layers of a chunk of 32,768.
const PASSES_MAX: usize = 5;

/// Chunks of up to `2^7` rows, of which two fit 256 points, are gathered by 256.
const NEAR_LOG_MAX: usize = 7;

/// How `2^log` rows are cut into passes: lowest layer and layers of each, lowest first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    passes: [(usize, usize); PASSES_MAX],
    count: usize,
    /// Of each skew only what lies in GF(2^8) is taken.
    pub(crate) near: bool,
}

impl Cut {
    /// With whole skews.
    pub(crate) fn far(log: usize) -> Cut {
        Cut::of(log, LAYERS_MAX, false)
    }

    /// For `Transform::gather` of chunks of `2^log` rows.
    pub(crate) fn gathering(passes: &Passes, log: usize) -> Cut {
        if log <= NEAR_LOG_MAX { Cut::near(log, passes.lowest_near) } else { Cut::far(log) }
    }

    /// With what of the skews lies in GF(2^8), and a lowest pass of `lowest` layers, three or four, where that leaves no
    /// less than two for a top pass.
    fn near(log: usize, lowest: usize) -> Cut {
        Cut::of(log, if log >= lowest + 2 { lowest } else { LAYERS_MAX }, true)
    }

    fn of(log: usize, lowest: usize, near: bool) -> Cut {
        let mut cut = Cut { passes: [(0, 0); PASSES_MAX], count: 0, near };
        let mut layer = 0;
        loop {
            let layers = match log - layer {
                left if cut.count == 0 => left.min(lowest),
                // Two and two rather than three and one.
                4 => 2,
                left => left.min(LAYERS_MAX),
            };
            cut.passes[cut.count] = (layer, layers);
            cut.count += 1;
            layer += layers;
            if layer == log {
                return cut;
            }
        }
    }

    /// All passes below the top one, lowest first.
    pub(crate) fn lower(&self) -> &[(usize, usize)] {
        &self.passes[..self.count - 1]
    }

    /// The top pass: its lowest layer, and its layers.
    pub(crate) fn top(&self) -> (usize, usize) {
        self.passes[self.count - 1]
    }

    /// Whether one pass does it all.
    pub(crate) fn is_single(&self) -> bool {
        self.count == 1
    }

    /// What the top pass works with.
    pub(crate) fn butterflies<'a>(&self, passes: &'a Passes) -> &'a Butterflies {
        if self.is_single() { &passes.short } else { &passes.within }
    }

    /// Layers of a chunk.
    pub(crate) fn log(&self) -> usize {
        let (layer, log) = self.top();
        layer + log
    }

    /// Rows of a chunk.
    pub(crate) fn rows(&self) -> usize {
        1 << self.log()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::LAYERS_MAX_NEAR;

    #[test]
    fn a_cut_spans_all_layers_and_begins_with_eight_rows_or_sixteen() {
        for (log, lowest) in (0..=15).flat_map(|log| [(log, LAYERS_MAX), (log, LAYERS_MAX_NEAR)]) {
            let cut = Cut::near(log, lowest);
            assert_eq!(cut.passes[..cut.count].iter().map(|&(_, layers)| layers).sum::<usize>(), log);
            assert!(cut.passes[1..cut.count].iter().all(|&(_, layers)| layers <= LAYERS_MAX));
            let first = if log < lowest + 2 { LAYERS_MAX } else { lowest };
            assert_eq!(cut.passes[0], (0, log.min(first)));
            let (layer, top) = cut.top();
            assert_eq!(layer + top, log);
            assert!(layer == 0 || layer >= 3, "rows of a group lie one apart, or a multiple of eight");
        }
    }
}
