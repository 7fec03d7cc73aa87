//! The coefficients of a block's missing shards, in closed form.
//!
//! *What it is.* The generator of the code is a Cauchy matrix up to a factor for each chunk of the larger side: data
//! point `x` counts in parity point `y` by `s / (x + y)`, where `s` is the point numbered `z >> log` and `z` the one of
//! the two that lies beyond the first chunk (the vanishing polynomial of the first `2^log` points, taken there). What is
//! missing of the data solves a square Cauchy system whose inverse is known: with `E` the missing points and `R` the
//! parity points that stand in for them,
//!
//! ```text
//! 1 / (r + y)  inverts to  A(y) B(r) / (r + y)
//! A(y) = product over R of (y + r) / product over E without y of (y + y')
//! B(r) = product over E of (r + y) / product over R without r of (r + r')
//! ```
//!
//! (A. Cauchy, 1841; for erasure codes: Blömer et al., ICSI TR-95-048, section 3.)
//!
//! *What it promises.* Products are sums of logarithms; the time goes with the square of what is missing.
//!
//! *What it refuses.* Nothing: it is given disjoint sets of points of equal size.

use crate::column::{Code, Rate};
use crate::field::{ORDER, POINT_LOGS, exp, packed};

/// What is missing from a block, and what stands in for it.
#[derive(Debug, Default)]
pub(crate) struct Pattern {
    /// Points of missing data shards.
    pub(crate) lost: Vec<u16>,
    /// Points of as many parity shards that are there.
    pub(crate) kept: Vec<u16>,
    /// Packed factors of what `kept` lacks, in its order.
    pub(crate) before: Vec<u32>,
    /// Packed factors of what comes out for `lost`, in its order.
    pub(crate) after: Vec<u32>,
}

/// How the Cauchy system's inner sum is computed, which decides where the chunks' factors go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Sums of `1 / (r + y)`, one by one.
    Sums,
    /// By an FFT, whose values bring a factor of their own.
    Transform,
}

impl Pattern {
    /// Takes the memory for patterns of up to `losses` missing shards.
    pub(crate) fn reserve(&mut self, losses: usize) {
        for points in [&mut self.lost, &mut self.kept] {
            points.reserve_exact(losses.saturating_sub(points.len()));
        }
        for factors in [&mut self.before, &mut self.after] {
            factors.reserve_exact(losses.saturating_sub(factors.len()));
        }
    }

    /// Computes the factors.
    pub(crate) fn solve(&mut self, code: Code, way: Way) {
        let chunk_log = |point: u16| u32::from(POINT_LOGS[usize::from(point) >> code.log]);
        let times = if way == Way::Transform { 2 } else { 1 };
        self.before.clear();
        self.after.clear();
        for &point in &self.kept {
            let own = ORDER - self.balance(point);
            let chunk = if code.rate == Rate::Low { times * (ORDER - chunk_log(point)) } else { 0 };
            self.before.push(packed(exp(own + chunk)));
        }
        for &point in &self.lost {
            let own = self.balance(point);
            let chunk = if code.rate == Rate::High { times * (ORDER - chunk_log(point)) } else { 0 };
            self.after.push(packed(exp(own + chunk)));
        }
    }

    /// The logarithm of the product over `kept` by the product over `lost` of the sums with `point`, which counts for
    /// nothing where it is itself a member.
    fn balance(&self, point: u16) -> u32 {
        let sum = |points: &[u16]| {
            points.iter().map(|&other| u32::from(POINT_LOGS[usize::from(point ^ other)])).sum::<u32>() % ORDER
        };
        (sum(&self.kept) + ORDER - sum(&self.lost)) % ORDER
    }
}
