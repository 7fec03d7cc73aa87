//! Up to eight rows through up to three layers of the additive FFT, in registers.
//!
//! Lin, Chung and Han, "Novel Polynomial Basis and Its Application to Reed-Solomon Erasure Codes", FOCS 2014, section
//! III: layer `l` joins rows `2^l` apart, and the skew of the butterflies at position `p` is the point numbered `p >> l`.
//! Written out, since a loop over an array would not stay in registers.

use crate::cells::Cell;
use crate::lanes::Lanes;

/// From values to coefficients: `b += a`, then `a += skew b`.
macro_rules! inverse {
    ($x:ident, $a:literal, $b:literal, $index:expr, $wide:expr) => {
        $x[$b] = $x[$b].add($x[$a]);
        $x[$a] = $x[$a].add_multiple($x[$b], $index, $wide);
    };
}

/// From coefficients to values: `a += skew b`, then `b += a`.
macro_rules! forward {
    ($x:ident, $a:literal, $b:literal, $index:expr, $wide:expr) => {
        $x[$a] = $x[$a].add_multiple($x[$b], $index, $wide);
        $x[$b] = $x[$b].add($x[$a]);
    };
}

/// Reads the first `2^LOG` rows of eight.
///
/// # Safety
/// As [`Cell::load`] at each of the rows, `step` bytes apart.
#[inline(always)]
pub(crate) unsafe fn load<L: Lanes, C: Cell<L>, const LOG: usize>(
    from: *const u8,
    step: usize,
    high: usize,
) -> [C; 8] {
    let at = |row: usize| from.wrapping_add(row * step);
    // SAFETY: passed on.
    unsafe {
        let mut x = [C::zero(); 8];
        x[0] = C::load(at(0), high);
        if LOG >= 1 {
            x[1] = C::load(at(1), high);
        }
        if LOG >= 2 {
            x[2] = C::load(at(2), high);
            x[3] = C::load(at(3), high);
        }
        if LOG >= 3 {
            x[4] = C::load(at(4), high);
            x[5] = C::load(at(5), high);
            x[6] = C::load(at(6), high);
            x[7] = C::load(at(7), high);
        }
        x
    }
}

/// Writes the first `2^LOG` rows of eight.
///
/// # Safety
/// As [`Cell::store`] at each of the rows, `step` bytes apart.
#[inline(always)]
pub(crate) unsafe fn store<L: Lanes, C: Cell<L>, const LOG: usize>(
    x: &[C; 8],
    to: *mut u8,
    step: usize,
    high: usize,
) {
    let at = |row: usize| to.wrapping_add(row * step);
    // SAFETY: passed on.
    unsafe {
        x[0].store(at(0), high);
        if LOG >= 1 {
            x[1].store(at(1), high);
        }
        if LOG >= 2 {
            x[2].store(at(2), high);
            x[3].store(at(3), high);
        }
        if LOG >= 3 {
            x[4].store(at(4), high);
            x[5].store(at(5), high);
            x[6].store(at(6), high);
            x[7].store(at(7), high);
        }
    }
}

/// Adds the first `2^LOG` rows of `y`.
///
/// # Safety
/// As [`Cell::add`].
#[inline(always)]
pub(crate) unsafe fn add<L: Lanes, C: Cell<L>, const LOG: usize>(x: &mut [C; 8], y: &[C; 8]) {
    // SAFETY: passed on.
    unsafe {
        x[0] = x[0].add(y[0]);
        if LOG >= 1 {
            x[1] = x[1].add(y[1]);
        }
        if LOG >= 2 {
            x[2] = x[2].add(y[2]);
            x[3] = x[3].add(y[3]);
        }
        if LOG >= 3 {
            x[4] = x[4].add(y[4]);
            x[5] = x[5].add(y[5]);
            x[6] = x[6].add(y[6]);
            x[7] = x[7].add(y[7]);
        }
    }
}

/// `LOG` layers from values to coefficients, from `layer` up. `position` is that of the block of butterflies; the lowest
/// `WIDE` layers have skews beyond GF(2^8).
///
/// # Safety
/// As [`Cell::add_multiple`]: `position >> layer` is below 65,536, and below 256 from layer `layer + WIDE` on.
#[inline(always)]
pub(crate) unsafe fn inverse<L: Lanes, C: Cell<L>, const LOG: usize, const WIDE: usize>(
    x: &mut [C; 8],
    position: usize,
    layer: usize,
) {
    let index = position >> layer;
    // SAFETY: passed on.
    unsafe {
        if LOG >= 1 {
            inverse!(x, 0, 1, index, WIDE > 0);
        }
        if LOG >= 2 {
            inverse!(x, 2, 3, index + 2, WIDE > 0);
        }
        if LOG >= 3 {
            inverse!(x, 4, 5, index + 4, WIDE > 0);
            inverse!(x, 6, 7, index + 6, WIDE > 0);
        }
        let index = index >> 1;
        if LOG >= 2 {
            inverse!(x, 0, 2, index, WIDE > 1);
            inverse!(x, 1, 3, index, WIDE > 1);
        }
        if LOG >= 3 {
            inverse!(x, 4, 6, index + 2, WIDE > 1);
            inverse!(x, 5, 7, index + 2, WIDE > 1);
            let index = index >> 1;
            inverse!(x, 0, 4, index, WIDE > 2);
            inverse!(x, 1, 5, index, WIDE > 2);
            inverse!(x, 2, 6, index, WIDE > 2);
            inverse!(x, 3, 7, index, WIDE > 2);
        }
    }
}

/// `LOG` layers from coefficients to values, down to `layer`; otherwise as [`inverse`].
///
/// # Safety
/// As [`inverse`].
#[inline(always)]
pub(crate) unsafe fn forward<L: Lanes, C: Cell<L>, const LOG: usize, const WIDE: usize>(
    x: &mut [C; 8],
    position: usize,
    layer: usize,
) {
    let index = position >> layer;
    // SAFETY: passed on.
    unsafe {
        if LOG >= 3 {
            let index = index >> 2;
            forward!(x, 0, 4, index, WIDE > 2);
            forward!(x, 1, 5, index, WIDE > 2);
            forward!(x, 2, 6, index, WIDE > 2);
            forward!(x, 3, 7, index, WIDE > 2);
        }
        if LOG >= 2 {
            let index = index >> 1;
            forward!(x, 0, 2, index, WIDE > 1);
            forward!(x, 1, 3, index, WIDE > 1);
            if LOG >= 3 {
                forward!(x, 4, 6, index + 2, WIDE > 1);
                forward!(x, 5, 7, index + 2, WIDE > 1);
            }
        }
        if LOG >= 1 {
            forward!(x, 0, 1, index, WIDE > 0);
        }
        if LOG >= 2 {
            forward!(x, 2, 3, index + 2, WIDE > 0);
        }
        if LOG >= 3 {
            forward!(x, 4, 5, index + 4, WIDE > 0);
            forward!(x, 6, 7, index + 6, WIDE > 0);
        }
    }
}
