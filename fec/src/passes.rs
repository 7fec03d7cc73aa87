//! The loops over a column that every kernel has: butterflies over rows, sums of products, one product.
//!
//! *What it is.* Each pass is written once for any [`Lanes`] and compiled once for each set of instructions; a
//! [`Passes`] is the table of one such set.
//!
//! *What it promises.* A pass reads a whole group of rows before it writes any of it, so that it may work in place.
//!
//! *What it refuses.* Nothing: the addresses are the caller's word, and every pass is unsafe for that reason.

use crate::cells::Wide;
use crate::field::INVERSES;
use crate::kernel::Kernel;
use crate::lanes::Lanes;
use crate::lanes::scalar::{Byte, Word};
use crate::layers::{
    FORWARD, IN, INVERSE, INVERSE_ADD, LAYERS_MAX, LAYERS_MAX_NEAR, Layers, OUT, OUTSIDE, Place, TopSum,
    WITHIN, Way,
};
use crate::rows::Rows;

/// A run of rows whose sum of products is multiplied by one coefficient more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// Packed.
    pub(crate) scale: u32,
}

/// For each output `t`, `scales[t]` times the sum over runs of the run's scale times the sum over its rows `r` of `row / (a + b)`, where
/// `a` is the point numbered `keys[r]` and `b` that numbered `with[t]`.
pub(crate) struct Quotients<'a> {
    /// Even rows.
    pub(crate) from: Rows,
    pub(crate) keys: &'a [u16],
    pub(crate) runs: &'a [Run],
    /// One to `Passes::sums` outputs.
    pub(crate) with: &'a [u16],
    /// What each output is multiplied by, packed.
    pub(crate) scales: &'a [u32],
    /// Where each output's row lies.
    pub(crate) to: &'a [*mut u8],
    pub(crate) to_high: usize,
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

/// Passes over layers, from one kind of place to one kind of place.
#[derive(Debug)]
pub(crate) struct Butterflies {
    pub(crate) inverse: unsafe fn(&Layers),
    /// As `inverse`, and adds the result to `to`.
    pub(crate) inverse_add: unsafe fn(&Layers),
    pub(crate) forward: unsafe fn(&Layers),
    pub(crate) top_sum: unsafe fn(&TopSum),
    pub(crate) shift: unsafe fn(&Layers),
}

/// The passes of one set of instructions.
#[derive(Debug)]
pub(crate) struct Passes {
    /// Bytes of each half that a column is wide.
    pub(crate) width: usize,
    /// Layers of a lowest pass whose skews lie in GF(2^8).
    pub(crate) lowest_near: usize,
    /// Outputs of [`Quotients`] at a time.
    pub(crate) sums: usize,
    /// For chunks of eight rows at most, which are done in one pass.
    pub(crate) short: Butterflies,
    /// For the others, in scratch.
    pub(crate) within: Butterflies,
    /// The three or four lowest layers to coefficients, from anywhere to scratch.
    pub(crate) inverse_in: unsafe fn(&Layers),
    /// The three or four lowest layers to values, from scratch to anywhere.
    pub(crate) forward_out: unsafe fn(&Layers),
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

/// # Safety
/// The rows of the runs can be read, rows of `to` written; `scales` and `to` are as long
/// as `with`; every row has a key; no key is among `with`; the
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
                let scale = L::factor(pass.scales.get_unchecked(t).to_le_bytes()[0]);
                let to = pass.to.get_unchecked(t).wrapping_add(half * pass.to_high);
                L::store(to, L::multiply(total, scale));
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
            let (scale, to) = (Wide::<L>::new(*pass.scales.get_unchecked(t)), *pass.to.get_unchecked(t));
            let [first, carry, both] = scale.products(low, high, L::add(low, high));
            L::store(to, L::add(first, carry));
            L::store(to.wrapping_add(pass.to_high), L::add(first, both));
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
                lowest_near: if <$lanes as Lanes>::ROOMY { LAYERS_MAX_NEAR } else { LAYERS_MAX },
                sums: <$lanes as Lanes>::SUMS,
                short: Butterflies {
                    inverse: layers::<INVERSE, OUTSIDE>,
                    inverse_add: layers::<INVERSE_ADD, OUTSIDE>,
                    forward: layers::<FORWARD, OUTSIDE>,
                    top_sum: top_sum::<OUTSIDE>,
                    shift: shift::<OUTSIDE>,
                },
                within: Butterflies {
                    inverse: layers::<INVERSE, WITHIN>,
                    inverse_add: layers::<INVERSE_ADD, WITHIN>,
                    forward: layers::<FORWARD, WITHIN>,
                    top_sum: top_sum::<WITHIN>,
                    shift: shift::<WITHIN>,
                },
                inverse_in: layers::<INVERSE, IN>,
                forward_out: layers::<FORWARD, OUT>,
                quotients,
                product,
            };

            $(#[target_feature(enable = $feature)])?
            unsafe fn layers<const WAY: Way, const PLACE: Place>(pass: &Layers) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { crate::layers::layers::<$lanes, WAY, PLACE>(pass) };
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn top_sum<const PLACE: Place>(pass: &TopSum) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { crate::layers::top_sum::<$lanes, PLACE>(pass) };
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn shift<const PLACE: Place>(pass: &Layers) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { crate::layers::shifted::<$lanes, PLACE>(pass) };
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
