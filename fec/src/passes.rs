//! The loops over a column that every kernel has: butterflies over rows, sums of products, one product.
//!
//! *What it is.* Each pass is written once for any [`Lanes`] and compiled once for each set of instructions; a
//! [`Passes`] is the table of one such set.
//!
//! *What it promises.* A pass reads a whole group of rows before it writes any of it, so that it may work in place.
//!
//! *What it refuses.* Nothing: the addresses are the caller's word, and every pass is unsafe for that reason.

use crate::butterflies::{add, forward, inverse, load, store};
use crate::cells::{Both, Cell, Half, Wide};
use crate::field::INVERSES;
use crate::kernel::Kernel;
use crate::lanes::Lanes;
use crate::lanes::scalar::{Byte, Word};
use crate::rows::Rows;

/// Layers that one pass may span.
pub(crate) const LAYERS_MAX: usize = 3;

/// Butterflies of `log` layers from `layer` up, over `rows` rows that stand at `position` of the code.
pub(crate) struct Layers {
    pub(crate) from: Rows,
    pub(crate) to: Rows,
    /// A multiple of `2^(layer + log)`.
    pub(crate) rows: usize,
    /// A multiple of `2^(layer + log)`.
    pub(crate) position: usize,
    pub(crate) layer: usize,
    pub(crate) log: usize,
    /// Bytes from a row that is read to what is asked for from memory meanwhile; 0 for nothing.
    pub(crate) ahead: usize,
}

/// The top `log` layers of several chunks from values to coefficients, and the sum of the chunks.
pub(crate) struct TopSum {
    /// The first chunk's rows.
    pub(crate) from: Rows,
    /// Bytes from one chunk's rows to the next one's.
    pub(crate) chunk: usize,
    pub(crate) chunks: usize,
    /// The first chunk's position, and the rows of a chunk. All skews are to lie in GF(2^8).
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

/// A run of rows whose sum of products is multiplied by one coefficient more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// Packed.
    pub(crate) scale: u32,
}

/// For each output `t`: the sum over runs of the run's scale times the sum over its rows `r` of `row / (a + b)`, where
/// `a` is the point numbered `keys[r]` and `b` that numbered `with[t]`.
pub(crate) struct Quotients<'a> {
    /// Even rows.
    pub(crate) from: Rows,
    pub(crate) keys: &'a [u16],
    pub(crate) runs: &'a [Run],
    /// One to `Passes::sums` outputs.
    pub(crate) with: &'a [u16],
    pub(crate) to: Rows,
    /// Whether coefficients may lie beyond GF(2^8).
    pub(crate) wide: bool,
}

/// `to = coefficient * (a + b)`, one row.
pub(crate) struct Product {
    pub(crate) a: *const u8,
    pub(crate) a_high: usize,
    /// Nothing is added when this is null.
    pub(crate) b: *const u8,
    pub(crate) b_high: usize,
    pub(crate) to: *mut u8,
    pub(crate) to_high: usize,
    /// Packed.
    pub(crate) coefficient: u32,
}

/// The passes of one set of instructions.
#[derive(Debug)]
pub(crate) struct Passes {
    /// Bytes of each half that a column is wide.
    pub(crate) width: usize,
    /// Outputs of [`Quotients`] at a time.
    pub(crate) sums: usize,
    pub(crate) inverse: unsafe fn(&Layers),
    /// As `inverse`, and adds the result to `to`.
    pub(crate) inverse_add: unsafe fn(&Layers),
    pub(crate) forward: unsafe fn(&Layers),
    pub(crate) top_sum: unsafe fn(&TopSum),
    pub(crate) quotients: unsafe fn(&Quotients<'_>),
    pub(crate) product: unsafe fn(&Product),
}

/// The passes for shards with halves of `half` bytes: those of `kernel` when a half fills a vector, otherwise narrower
/// ones.
pub(crate) fn passes_of(kernel: Kernel, half: usize) -> &'static Passes {
    let wanted = match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512Gfni => &avx512_gfni::PASSES,
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2Gfni => &avx2_gfni::PASSES,
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => &avx2::PASSES,
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx512Gfni | Kernel::Avx2Gfni | Kernel::Avx2 => &word::PASSES,
        Kernel::Scalar => &word::PASSES,
    };
    [wanted, &word::PASSES].into_iter().find(|passes| passes.width <= half).unwrap_or(&byte::PASSES)
}

/// Which of a pass's directions is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Inverse,
    InverseAdd,
    Forward,
}

const INVERSE: u8 = Way::Inverse as u8;
const INVERSE_ADD: u8 = Way::InverseAdd as u8;
const FORWARD: u8 = Way::Forward as u8;

/// # Safety
/// `from` and `to` hold `rows` rows of [`Lanes::BYTES`] a half that can be read and written; the CPU has the
/// instructions; positions are below 65,536.
#[inline(always)]
unsafe fn layers<L: Lanes, const WAY: u8>(pass: &Layers) {
    // SAFETY: passed on.
    unsafe {
        match pass.log {
            0 => layers_of::<L, WAY, 0>(pass),
            1 => layers_of::<L, WAY, 1>(pass),
            2 => layers_of::<L, WAY, 2>(pass),
            _ => layers_of::<L, WAY, 3>(pass),
        }
    }
}

/// # Safety
/// As [`layers`].
#[inline(always)]
unsafe fn layers_of<L: Lanes, const WAY: u8, const LOG: usize>(pass: &Layers) {
    let rows_of_block = 1 << (pass.layer + LOG);
    let mut row = 0;
    while row < pass.rows {
        let lowest = (pass.position + row) >> pass.layer;
        // Layer `l` has skews beyond GF(2^8) once its index reaches 256.
        let wide = [256, 512, 1024].map(|first| usize::from(lowest >= first)).iter().sum::<usize>();
        // SAFETY: passed on.
        unsafe {
            match wide.min(LOG) {
                // Every load before the first store, where registers allow: a store ahead of a load that misses the cache
                // holds it up.
                0 if L::ROOMY => block::<L, Both<L>, WAY, LOG, 0>(pass, row, 0),
                0 => {
                    block::<L, Half<L>, WAY, LOG, 0>(pass, row, 0);
                    block::<L, Half<L>, WAY, LOG, 0>(pass, row, 1);
                }
                1 => block::<L, Both<L>, WAY, LOG, 1>(pass, row, 0),
                2 => block::<L, Both<L>, WAY, LOG, 2>(pass, row, 0),
                _ => block::<L, Both<L>, WAY, LOG, 3>(pass, row, 0),
            }
        }
        row += rows_of_block;
    }
}

/// One block of butterflies: all the groups that share their skews.
///
/// # Safety
/// As [`layers`].
#[inline(always)]
unsafe fn block<L: Lanes, C: Cell<L>, const WAY: u8, const LOG: usize, const WIDE: usize>(
    pass: &Layers,
    row: usize,
    half: usize,
) {
    // The lowest layer's blocks are one group: without a loop the compiler takes the factors from memory, and has no
    // reason to keep them all in registers, of which there are too few.
    // SAFETY: passed on.
    unsafe {
        if pass.layer == 0 {
            group::<L, C, WAY, LOG, WIDE>(pass, row, row, 0, half);
        } else {
            for first in row..row + (1 << pass.layer) {
                group::<L, C, WAY, LOG, WIDE>(pass, row, first, pass.layer, half);
            }
        }
    }
}

/// The group of butterflies that begins with row `first` of the block at `row`.
///
/// # Safety
/// As [`layers`]; `layer` is the pass's.
#[inline(always)]
unsafe fn group<L: Lanes, C: Cell<L>, const WAY: u8, const LOG: usize, const WIDE: usize>(
    pass: &Layers,
    row: usize,
    first: usize,
    layer: usize,
    half: usize,
) {
    let apart = 1 << layer;
    let (from_step, to_step) = (pass.from.step(apart), pass.to.step(apart));
    let position = pass.position + row;
    let from = pass.from.row_at(first).wrapping_add(half * pass.from.high);
    let to = pass.to.row_at(first).wrapping_add(half * pass.to.high);
    // SAFETY: passed on: the group's rows are among the pass's.
    unsafe {
        if WAY == INVERSE && pass.ahead != 0 {
            for row in 0..1 << LOG {
                let next = from.wrapping_add(row * from_step + pass.ahead);
                L::prefetch(next);
                L::prefetch(next.wrapping_add(pass.from.high));
            }
        }
        let mut x = load::<L, C, LOG>(from, from_step, pass.from.high);
        if WAY == FORWARD {
            forward::<L, C, LOG, WIDE>(&mut x, position, layer);
        } else {
            inverse::<L, C, LOG, WIDE>(&mut x, position, layer);
        }
        if WAY == INVERSE_ADD {
            let sum = load::<L, C, LOG>(to, to_step, pass.to.high);
            add::<L, C, LOG>(&mut x, &sum);
        }
        store::<L, C, LOG>(&x, to, to_step, pass.to.high);
    }
}

/// # Safety
/// As [`layers`], for each chunk; every skew lies in GF(2^8).
#[inline(always)]
unsafe fn top_sum<L: Lanes>(pass: &TopSum) {
    // SAFETY: passed on.
    unsafe {
        match pass.log {
            0 => top_sum_of::<L, 0>(pass),
            1 => top_sum_of::<L, 1>(pass),
            2 => top_sum_of::<L, 2>(pass),
            _ => top_sum_of::<L, 3>(pass),
        }
    }
}

/// # Safety
/// As [`top_sum`].
#[inline(always)]
unsafe fn top_sum_of<L: Lanes, const LOG: usize>(pass: &TopSum) {
    let apart = 1 << pass.layer;
    let (from_step, to_step) = (pass.from.step(apart), pass.to.step(apart));
    for group in 0..apart {
        for half in 0..2 {
            let mut from = pass.from.row_at(group).wrapping_add(half * pass.from.high);
            let to = pass.to.row_at(group).wrapping_add(half * pass.to.high);
            let mut position = pass.position;
            // SAFETY: passed on: the group's rows are among each chunk's.
            unsafe {
                let mut sum = if pass.add {
                    load::<L, Half<L>, LOG>(to, to_step, 0)
                } else {
                    [<Half<L> as Cell<L>>::zero(); 8]
                };
                for _ in 0..pass.chunks {
                    let mut x = load::<L, Half<L>, LOG>(from, from_step, 0);
                    inverse::<L, Half<L>, LOG, 0>(&mut x, position, pass.layer);
                    add::<L, Half<L>, LOG>(&mut sum, &x);
                    from = from.wrapping_add(pass.chunk);
                    position += pass.rows;
                }
                if pass.forward {
                    forward::<L, Half<L>, LOG, 0>(&mut sum, 0, pass.layer);
                }
                store::<L, Half<L>, LOG>(&sum, to, to_step, 0);
            }
        }
    }
}

/// # Safety
/// The rows of the runs can be read, `with.len()` rows of `to` written; every row has a key; no key is among `with`; the
/// CPU has the instructions.
#[inline(always)]
unsafe fn quotients<L: Lanes>(pass: &Quotients<'_>) {
    // SAFETY: passed on.
    unsafe {
        match (pass.with.len(), pass.wide) {
            (1, false) => near_quotients::<L, 1>(pass),
            (2, false) => near_quotients::<L, 2>(pass),
            (3, false) => near_quotients::<L, 3>(pass),
            (_, false) => near_quotients::<L, 4>(pass),
            (1, true) => wide_quotients::<L, 1>(pass),
            (2, true) => wide_quotients::<L, 2>(pass),
            (3, true) => wide_quotients::<L, 3>(pass),
            (_, true) => wide_quotients::<L, 4>(pass),
        }
    }
}

/// Coefficients of GF(2^8): the halves go one after the other.
///
/// # Safety
/// As [`quotients`]; `with` has `N` members and all keys and `with` are below 256.
#[inline(always)]
unsafe fn near_quotients<L: Lanes, const N: usize>(pass: &Quotients<'_>) {
    let with: [usize; N] = std::array::from_fn(|t| usize::from(pass.with[t]));
    for half in 0..2 {
        // SAFETY: passed on.
        unsafe {
            let mut total = [L::zero(); N];
            for run in pass.runs {
                let mut from = pass.from.row_at(run.first as usize).wrapping_add(half * pass.from.high);
                let mut sum = [L::zero(); N];
                for &key in pass.keys.get_unchecked(run.first as usize..(run.first + run.count) as usize) {
                    let row = L::load(from);
                    for t in 0..N {
                        let inverse = *INVERSES.get_unchecked(usize::from(key) ^ with[t]);
                        sum[t] = L::add(sum[t], L::multiply(row, L::factor(inverse.to_le_bytes()[0])));
                    }
                    from = from.wrapping_add(pass.from.row);
                }
                let scale = L::factor(run.scale.to_le_bytes()[0]);
                for t in 0..N {
                    total[t] = L::add(total[t], L::multiply(sum[t], scale));
                }
            }
            for (t, total) in total.into_iter().enumerate() {
                L::store(pass.to.row_at(t).wrapping_add(half * pass.to.high), total);
            }
        }
    }
}

/// Coefficients of the whole field. The three products of `Wide` have a sum each, and meet once a run.
///
/// # Safety
/// As [`quotients`]; `with` has `N` members.
#[inline(always)]
unsafe fn wide_quotients<L: Lanes, const N: usize>(pass: &Quotients<'_>) {
    let with: [usize; N] = std::array::from_fn(|t| usize::from(pass.with[t]));
    // SAFETY: passed on.
    unsafe {
        let mut total = [[L::zero(); 2]; N];
        for run in pass.runs {
            let mut from = pass.from.row_at(run.first as usize);
            let mut sums = [[L::zero(); 3]; N];
            for &key in pass.keys.get_unchecked(run.first as usize..(run.first + run.count) as usize) {
                let (low, high) = (L::load(from), L::load(from.wrapping_add(pass.from.high)));
                let both = L::add(low, high);
                for t in 0..N {
                    let factor = Wide::<L>::new(*INVERSES.get_unchecked(usize::from(key) ^ with[t]));
                    let products = factor.products(low, high, both);
                    sums[t][0] = L::add(sums[t][0], products[0]);
                    sums[t][1] = L::add(sums[t][1], products[1]);
                    sums[t][2] = L::add(sums[t][2], products[2]);
                }
                from = from.wrapping_add(pass.from.row);
            }
            let scale = Wide::<L>::new(run.scale);
            for t in 0..N {
                let (low, high) = (L::add(sums[t][0], sums[t][1]), L::add(sums[t][0], sums[t][2]));
                let [first, carry, both] = scale.products(low, high, L::add(low, high));
                total[t] = [L::add3(total[t][0], first, carry), L::add3(total[t][1], first, both)];
            }
        }
        for (t, [low, high]) in total.into_iter().enumerate() {
            let to = pass.to.row_at(t);
            L::store(to, low);
            L::store(to.wrapping_add(pass.to.high), high);
        }
    }
}

/// # Safety
/// [`Lanes::BYTES`] bytes of each half can be read at `a` and, unless it is null, at `b`, and written at `to`; the CPU has
/// the instructions.
#[inline(always)]
unsafe fn product<L: Lanes>(pass: &Product) {
    // SAFETY: passed on.
    unsafe {
        let (mut low, mut high) = (L::load(pass.a), L::load(pass.a.wrapping_add(pass.a_high)));
        if !pass.b.is_null() {
            low = L::add(low, L::load(pass.b));
            high = L::add(high, L::load(pass.b.wrapping_add(pass.b_high)));
        }
        let factor = Wide::<L>::new(pass.coefficient);
        let [first, carry, both] = factor.products(low, high, L::add(low, high));
        L::store(pass.to, L::add(first, carry));
        L::store(pass.to.wrapping_add(pass.to_high), L::add(first, both));
    }
}

/// Compiles every pass for one kind of lanes, under the target features named.
macro_rules! compile {
    ($module:ident, $lanes:ty $(, $feature:literal)?) => {
        mod $module {
            use super::*;

            pub(super) static PASSES: Passes = Passes {
                width: <$lanes as Lanes>::BYTES,
                sums: <$lanes as Lanes>::SUMS,
                inverse,
                inverse_add,
                forward,
                top_sum,
                quotients,
                product,
            };

            $(#[target_feature(enable = $feature)])?
            unsafe fn inverse(pass: &Layers) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { super::layers::<$lanes, INVERSE>(pass) };
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn inverse_add(pass: &Layers) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { super::layers::<$lanes, INVERSE_ADD>(pass) };
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn forward(pass: &Layers) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { super::layers::<$lanes, FORWARD>(pass) };
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn top_sum(pass: &TopSum) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { super::top_sum::<$lanes>(pass) };
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn quotients(pass: &Quotients<'_>) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { super::quotients::<$lanes>(pass) };
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn product(pass: &Product) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { super::product::<$lanes>(pass) };
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compile!(avx512_gfni, crate::lanes::avx512::Zmm, "avx512f,avx512bw,avx512vl,gfni");
#[cfg(target_arch = "x86_64")]
compile!(avx2_gfni, crate::lanes::avx2::YmmAffine, "avx2,gfni");
#[cfg(target_arch = "x86_64")]
compile!(avx2, crate::lanes::avx2::YmmShuffle, "avx2");
compile!(word, Word);
compile!(byte, Byte);
