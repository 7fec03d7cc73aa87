//! Butterflies over the rows of one column, in place or from one place to another.
//!
//! *What it is.* [`layers`] takes rows through up to four layers of the additive FFT, sixteen at a time in registers;
//! [`top_sum`] does so for several chunks and keeps the sum.
//!
//! *What it promises.* A group of rows is read before any of it is written, so that a pass may work in place, and so
//! that no store stands ahead of a load that misses the cache. Blocks of butterflies whose factors are of one kind run
//! in one loop, compiled for that kind; rows of scratch are addressed by constants.
//!
//! *What it refuses.* Nothing: the addresses are the caller's word, and every pass is unsafe for that reason.

use crate::butterflies::{add, forward, inverse, load, shift, store};
use crate::cells::{Both, Cell, Half};
use crate::lanes::Lanes;
use crate::rows::Rows;

/// Layers that one pass may span.
pub(crate) const LAYERS_MAX: usize = 3;

/// The same for a lowest pass whose skews lie in GF(2^8), under lanes with [`Lanes::ROOMY`].
pub(crate) const LAYERS_MAX_NEAR: usize = 4;

/// Butterflies of `log` layers from `layer` up, over `rows` rows that stand at `position` of the code.
pub(crate) struct Layers {
    pub(crate) from: Rows,
    pub(crate) to: Rows,
    /// A multiple of `2^(layer + log)`.
    pub(crate) rows: usize,
    /// A multiple of `2^(layer + log)`.
    pub(crate) position: usize,
    /// 0, or no less than 3.
    pub(crate) layer: usize,
    pub(crate) log: usize,
    /// Of each skew only what lies in GF(2^8) is taken.
    pub(crate) near: bool,
}

/// The top `log` layers of several chunks from values to coefficients, and the sum of the chunks.
pub(crate) struct TopSum {
    /// The first chunk's rows.
    pub(crate) from: Rows,
    /// Bytes from one chunk's rows to the next one's.
    pub(crate) chunk: usize,
    pub(crate) chunks: usize,
    /// The first chunk's position, and the rows of a chunk. Of each skew only what lies in GF(2^8) is taken.
    pub(crate) position: usize,
    pub(crate) rows: usize,
    pub(crate) layer: usize,
    pub(crate) log: usize,
    pub(crate) to: Rows,
    /// Whether the sum is added to what `to` holds.
    pub(crate) add: bool,
    /// Whether the sum then takes the same layers from coefficients to values, at position 0.
    pub(crate) forward: bool,
}

/// Which way a pass goes.
pub(crate) type Way = u8;
/// From values to coefficients.
pub(crate) const INVERSE: Way = 0;
/// The same, and the result is added to what is there.
pub(crate) const INVERSE_ADD: Way = 1;
/// From coefficients to values.
pub(crate) const FORWARD: Way = 2;

/// By what coefficients of one place differ from those of another; the pass's position is the difference of theirs.
pub(crate) const SHIFT: Way = 3;

/// Where a pass's rows lie.
pub(crate) type Place = u8;
/// Anywhere, to anywhere. The layer is the lowest.
pub(crate) const OUTSIDE: Place = 0;
/// Anywhere, to scratch. The layer is the lowest, and there are three, or four of near skews.
pub(crate) const IN: Place = 1;
/// In scratch. The layer is not the lowest.
pub(crate) const WITHIN: Place = 2;
/// From scratch, to anywhere. The layer is the lowest, and there are three, or four of near skews.
pub(crate) const OUT: Place = 3;

/// `rows`, which the compiler learns the distances of if they are scratch.
#[inline(always)]
fn known<L: Lanes>(rows: Rows, is_scratch: bool) -> Rows {
    if is_scratch { Rows::scratch(rows.at, L::BYTES) } else { rows }
}

/// # Safety
/// `from` and `to` hold `rows` rows of [`Lanes::BYTES`] a half that can be read and written, in the places named; the
/// CPU has the instructions; positions are below 65,536.
#[inline(always)]
pub(crate) unsafe fn layers<L: Lanes, const WAY: Way, const PLACE: Place>(pass: &Layers) {
    // SAFETY: passed on.
    unsafe {
        match pass.log {
            _ if PLACE == IN || PLACE == OUT => {
                if L::ROOMY && pass.near && pass.log == 4 {
                    run::<L, Half<L>, WAY, PLACE, 4, 0>(pass, 0, pass.rows);
                } else {
                    layers_of::<L, WAY, PLACE, 3>(pass);
                }
            }
            0 => layers_of::<L, WAY, PLACE, 0>(pass),
            1 => layers_of::<L, WAY, PLACE, 1>(pass),
            2 => layers_of::<L, WAY, PLACE, 2>(pass),
            _ => layers_of::<L, WAY, PLACE, 3>(pass),
        }
    }
}

/// Shifts rows from one place to another. Needs a place that is [`OUTSIDE`] or [`WITHIN`].
///
/// # Safety
/// As [`layers`].
#[inline(always)]
pub(crate) unsafe fn shifted<L: Lanes, const PLACE: Place>(pass: &Layers) {
    // SAFETY: passed on.
    unsafe {
        match pass.log {
            0 => {}
            1 => run::<L, Both<L>, SHIFT, PLACE, 1, 1>(pass, 0, pass.rows),
            2 => run::<L, Both<L>, SHIFT, PLACE, 2, 2>(pass, 0, pass.rows),
            _ => run::<L, Both<L>, SHIFT, PLACE, 3, 3>(pass, 0, pass.rows),
        }
    }
}

/// Cuts the rows into runs of blocks with the same number of layers whose skews lie beyond GF(2^8).
///
/// # Safety
/// As [`layers`].
#[inline(always)]
unsafe fn layers_of<L: Lanes, const WAY: Way, const PLACE: Place, const LOG: usize>(pass: &Layers) {
    let mut row = 0;
    while row < pass.rows {
        let lowest = (pass.position + row) >> pass.layer;
        // Layer `l` of the pass has skews beyond GF(2^8) once the lowest one's index reaches `256 << l`.
        let wide = (lowest >> 8).checked_ilog2().map_or(0, |log| log as usize + 1).min(LOG);
        let wide = if pass.near { 0 } else { wide };
        let reach =
            if wide == LOG || pass.near { pass.rows } else { (256 << wide << pass.layer) - pass.position };
        let end = reach.min(pass.rows);
        // SAFETY: passed on.
        unsafe {
            match wide {
                // Every load before the first store, where registers allow.
                0 if L::ROOMY => run::<L, Both<L>, WAY, PLACE, LOG, 0>(pass, row, end),
                0 => run::<L, Half<L>, WAY, PLACE, LOG, 0>(pass, row, end),
                1 => run::<L, Both<L>, WAY, PLACE, LOG, 1>(pass, row, end),
                2 => run::<L, Both<L>, WAY, PLACE, LOG, 2>(pass, row, end),
                _ => run::<L, Both<L>, WAY, PLACE, LOG, 3>(pass, row, end),
            }
        }
        row = end;
    }
}

/// The blocks of butterflies from `row` to `end`.
///
/// # Safety
/// As [`layers`].
#[inline(always)]
unsafe fn run<
    L: Lanes,
    C: Cell<L>,
    const WAY: Way,
    const PLACE: Place,
    const LOG: usize,
    const WIDE: usize,
>(
    pass: &Layers,
    row: usize,
    end: usize,
) {
    let from = known::<L>(pass.from, PLACE == WITHIN || PLACE == OUT);
    let to = known::<L>(pass.to, PLACE == WITHIN || PLACE == IN);
    let (position, layer) = (pass.position, pass.layer);
    for block in (row..end).step_by(1 << (layer + LOG)) {
        let at = if WAY == SHIFT { position } else { position + block };
        // SAFETY: passed on: a group's rows are among the pass's.
        unsafe {
            if PLACE == WITHIN {
                for first in block..block + (1 << layer) {
                    halves::<L, C, WAY, PLACE, LOG, WIDE>(&from, &to, first, at, layer);
                }
            } else {
                halves::<L, C, WAY, PLACE, LOG, WIDE>(&from, &to, block, at, 0);
            }
        }
    }
}

/// The group of butterflies that begins with row `first` of the block at `position`: one half after the other, or both
/// together.
///
/// # Safety
/// As [`layers`].
#[inline(always)]
unsafe fn halves<
    L: Lanes,
    C: Cell<L>,
    const WAY: Way,
    const PLACE: Place,
    const LOG: usize,
    const WIDE: usize,
>(
    from: &Rows,
    to: &Rows,
    first: usize,
    position: usize,
    layer: usize,
) {
    // SAFETY: passed on.
    unsafe {
        group::<L, C, WAY, PLACE, LOG, WIDE>(from, to, first, position, layer);
        if !C::BOTH {
            let (from, to) = (from.along(from.high), to.along(to.high));
            group::<L, C, WAY, PLACE, LOG, WIDE>(&from, &to, first, position, layer);
        }
    }
}

/// The same for what one cell holds.
///
/// # Safety
/// As [`layers`].
#[inline(always)]
unsafe fn group<
    L: Lanes,
    C: Cell<L>,
    const WAY: Way,
    const PLACE: Place,
    const LOG: usize,
    const WIDE: usize,
>(
    from: &Rows,
    to: &Rows,
    first: usize,
    position: usize,
    layer: usize,
) {
    let (from_at, from_steps) = (from.row_at(first), from.steps(1 << layer));
    let (to_at, to_steps) = (to.row_at(first), to.steps(1 << layer));
    // SAFETY: passed on.
    unsafe {
        let mut x = load::<L, C, LOG>(from_at, from_steps, from.high);
        if PLACE == IN {
            let ahead = from_at.wrapping_add(((1 << LOG) >> 3) * from.octet);
            for row in 0..8 {
                C::prefetch(ahead.wrapping_add(row * from.row), from.high);
                if LOG == 4 {
                    C::prefetch(ahead.wrapping_add(from.octet + row * from.row), from.high);
                }
            }
        }
        match WAY {
            FORWARD => forward::<L, C, LOG, WIDE>(&mut x, position, layer),
            SHIFT => shift::<L, C, LOG>(&mut x, position, layer),
            _ => inverse::<L, C, LOG, WIDE>(&mut x, position, layer),
        }
        if WAY == INVERSE_ADD {
            let sum = load::<L, C, LOG>(to_at, to_steps, to.high);
            add::<L, C, LOG>(&mut x, &sum);
        }
        store::<L, C, LOG>(&x, to_at, to_steps, to.high);
    }
}

/// # Safety
/// As [`layers`], for each chunk; every skew lies in GF(2^8); the place is [`OUTSIDE`] or [`WITHIN`].
#[inline(always)]
pub(crate) unsafe fn top_sum<L: Lanes, const PLACE: Place>(pass: &TopSum) {
    // SAFETY: passed on.
    unsafe {
        match pass.log {
            0 => top_sum_of::<L, PLACE, 0>(pass),
            1 => top_sum_of::<L, PLACE, 1>(pass),
            2 => top_sum_of::<L, PLACE, 2>(pass),
            _ => top_sum_of::<L, PLACE, 3>(pass),
        }
    }
}

/// # Safety
/// As [`top_sum`].
#[inline(always)]
unsafe fn top_sum_of<L: Lanes, const PLACE: Place, const LOG: usize>(pass: &TopSum) {
    let layer = if PLACE == WITHIN { pass.layer } else { 0 };
    let (from, to) = (known::<L>(pass.from, PLACE == WITHIN), known::<L>(pass.to, PLACE == WITHIN));
    let apart = 1 << layer;
    let (from_steps, to_steps) = (from.steps(apart), to.steps(apart));
    for group in 0..apart {
        for half in 0..2 {
            let mut at = from.row_at(group).wrapping_add(half * from.high);
            let to = to.row_at(group).wrapping_add(half * to.high);
            let mut position = pass.position;
            // SAFETY: passed on: the group's rows are among each chunk's.
            unsafe {
                let mut sum = if pass.add {
                    load::<L, Half<L>, LOG>(to, to_steps, 0)
                } else {
                    [<Half<L> as Cell<L>>::zero(); 16]
                };
                for _ in 0..pass.chunks {
                    let mut x = load::<L, Half<L>, LOG>(at, from_steps, 0);
                    inverse::<L, Half<L>, LOG, 0>(&mut x, position, layer);
                    add::<L, Half<L>, LOG>(&mut sum, &x);
                    at = at.wrapping_add(pass.chunk);
                    position += pass.rows;
                }
                if pass.forward {
                    forward::<L, Half<L>, LOG, 0>(&mut sum, 0, layer);
                }
                store::<L, Half<L>, LOG>(&sum, to, to_steps, 0);
            }
        }
    }
}
