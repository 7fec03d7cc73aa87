//! Up to sixteen rows through up to four layers of the additive FFT, in registers.
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

/// Reads the first `2^LOG` rows of sixteen.
///
/// # Safety
/// As [`Cell::load`] at each of the rows, `step` bytes apart, the second eight `octet` bytes behind the first.
#[inline(always)]
pub(crate) unsafe fn load<L: Lanes, C: Cell<L>, const LOG: usize>(
    from: *const u8,
    [step, octet]: [usize; 2],
    high: usize,
) -> [C; 16] {
    let at = |row: usize| from.wrapping_add((row >> 3) * octet + (row & 7) * step);
    // SAFETY: passed on.
    unsafe {
        let mut x = [C::zero(); 16];
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
        if LOG >= 4 {
            x[8] = C::load(at(8), high);
            x[9] = C::load(at(9), high);
            x[10] = C::load(at(10), high);
            x[11] = C::load(at(11), high);
            x[12] = C::load(at(12), high);
            x[13] = C::load(at(13), high);
            x[14] = C::load(at(14), high);
            x[15] = C::load(at(15), high);
        }
        x
    }
}

/// Writes the first `2^LOG` rows of sixteen.
///
/// # Safety
/// As [`Cell::store`] at each of the rows, `step` bytes apart, the second eight `octet` bytes behind the first.
#[inline(always)]
pub(crate) unsafe fn store<L: Lanes, C: Cell<L>, const LOG: usize>(
    x: &[C; 16],
    to: *mut u8,
    [step, octet]: [usize; 2],
    high: usize,
) {
    let at = |row: usize| to.wrapping_add((row >> 3) * octet + (row & 7) * step);
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
        if LOG >= 4 {
            x[8].store(at(8), high);
            x[9].store(at(9), high);
            x[10].store(at(10), high);
            x[11].store(at(11), high);
            x[12].store(at(12), high);
            x[13].store(at(13), high);
            x[14].store(at(14), high);
            x[15].store(at(15), high);
        }
    }
}

/// Adds the first `2^LOG` rows of `y`.
///
/// # Safety
/// As [`Cell::add`].
#[inline(always)]
pub(crate) unsafe fn add<L: Lanes, C: Cell<L>, const LOG: usize>(x: &mut [C; 16], y: &[C; 16]) {
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
/// `WIDE` layers have skews beyond GF(2^8); of the others, what lies in it is taken.
///
/// # Safety
/// As [`Cell::add_multiple`]: `position >> layer` is below 65,536, and below 256 from layer `layer + WIDE` on.
#[inline(always)]
pub(crate) unsafe fn inverse<L: Lanes, C: Cell<L>, const LOG: usize, const WIDE: usize>(
    x: &mut [C; 16],
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
        if LOG >= 4 {
            inverse!(x, 8, 9, index + 8, WIDE > 0);
            inverse!(x, 10, 11, index + 10, WIDE > 0);
            inverse!(x, 12, 13, index + 12, WIDE > 0);
            inverse!(x, 14, 15, index + 14, WIDE > 0);
        }
        let index = index >> 1;
        if LOG >= 2 {
            inverse!(x, 0, 2, index, WIDE > 1);
            inverse!(x, 1, 3, index, WIDE > 1);
        }
        if LOG >= 3 {
            inverse!(x, 4, 6, index + 2, WIDE > 1);
            inverse!(x, 5, 7, index + 2, WIDE > 1);
        }
        if LOG >= 4 {
            inverse!(x, 8, 10, index + 4, WIDE > 1);
            inverse!(x, 9, 11, index + 4, WIDE > 1);
            inverse!(x, 12, 14, index + 6, WIDE > 1);
            inverse!(x, 13, 15, index + 6, WIDE > 1);
        }
        let index = index >> 1;
        if LOG >= 3 {
            inverse!(x, 0, 4, index, WIDE > 2);
            inverse!(x, 1, 5, index, WIDE > 2);
            inverse!(x, 2, 6, index, WIDE > 2);
            inverse!(x, 3, 7, index, WIDE > 2);
        }
        if LOG >= 4 {
            inverse!(x, 8, 12, index + 2, WIDE > 2);
            inverse!(x, 9, 13, index + 2, WIDE > 2);
            inverse!(x, 10, 14, index + 2, WIDE > 2);
            inverse!(x, 11, 15, index + 2, WIDE > 2);
            let index = index >> 1;
            inverse!(x, 0, 8, index, WIDE > 3);
            inverse!(x, 1, 9, index, WIDE > 3);
            inverse!(x, 2, 10, index, WIDE > 3);
            inverse!(x, 3, 11, index, WIDE > 3);
            inverse!(x, 4, 12, index, WIDE > 3);
            inverse!(x, 5, 13, index, WIDE > 3);
            inverse!(x, 6, 14, index, WIDE > 3);
            inverse!(x, 7, 15, index, WIDE > 3);
        }
    }
}

/// `LOG` layers from coefficients to values, down to `layer`; otherwise as [`inverse`].
///
/// # Safety
/// As [`inverse`].
#[inline(always)]
pub(crate) unsafe fn forward<L: Lanes, C: Cell<L>, const LOG: usize, const WIDE: usize>(
    x: &mut [C; 16],
    position: usize,
    layer: usize,
) {
    let index = position >> layer;
    // SAFETY: passed on.
    unsafe {
        if LOG >= 4 {
            let index = index >> 3;
            forward!(x, 0, 8, index, WIDE > 3);
            forward!(x, 1, 9, index, WIDE > 3);
            forward!(x, 2, 10, index, WIDE > 3);
            forward!(x, 3, 11, index, WIDE > 3);
            forward!(x, 4, 12, index, WIDE > 3);
            forward!(x, 5, 13, index, WIDE > 3);
            forward!(x, 6, 14, index, WIDE > 3);
            forward!(x, 7, 15, index, WIDE > 3);
        }
        if LOG >= 3 {
            let index = index >> 2;
            forward!(x, 0, 4, index, WIDE > 2);
            forward!(x, 1, 5, index, WIDE > 2);
            forward!(x, 2, 6, index, WIDE > 2);
            forward!(x, 3, 7, index, WIDE > 2);
            if LOG >= 4 {
                forward!(x, 8, 12, index + 2, WIDE > 2);
                forward!(x, 9, 13, index + 2, WIDE > 2);
                forward!(x, 10, 14, index + 2, WIDE > 2);
                forward!(x, 11, 15, index + 2, WIDE > 2);
            }
        }
        if LOG >= 2 {
            let index = index >> 1;
            forward!(x, 0, 2, index, WIDE > 1);
            forward!(x, 1, 3, index, WIDE > 1);
            if LOG >= 3 {
                forward!(x, 4, 6, index + 2, WIDE > 1);
                forward!(x, 5, 7, index + 2, WIDE > 1);
            }
            if LOG >= 4 {
                forward!(x, 8, 10, index + 4, WIDE > 1);
                forward!(x, 9, 11, index + 4, WIDE > 1);
                forward!(x, 12, 14, index + 6, WIDE > 1);
                forward!(x, 13, 15, index + 6, WIDE > 1);
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
        if LOG >= 4 {
            forward!(x, 8, 9, index + 8, WIDE > 0);
            forward!(x, 10, 11, index + 10, WIDE > 0);
            forward!(x, 12, 13, index + 12, WIDE > 0);
            forward!(x, 14, 15, index + 14, WIDE > 0);
        }
    }
}

/// What `LOG` layers from `layer` up differ by between two places `difference` apart, a multiple of 256 blocks of the
/// lowest layer: `a += d b`, where `d` is the part of the skews' difference beyond GF(2^8).
///
/// # Safety
/// As [`Cell::add_multiple`].
#[inline(always)]
pub(crate) unsafe fn shift<L: Lanes, C: Cell<L>, const LOG: usize>(
    x: &mut [C; 16],
    difference: usize,
    layer: usize,
) {
    let at = |above: usize| (difference >> (layer + above)) & !255;
    // SAFETY: passed on.
    unsafe {
        if LOG >= 1 {
            x[0] = x[0].add_multiple(x[1], at(0), true);
        }
        if LOG >= 2 {
            x[2] = x[2].add_multiple(x[3], at(0), true);
            x[0] = x[0].add_multiple(x[2], at(1), true);
            x[1] = x[1].add_multiple(x[3], at(1), true);
        }
        if LOG >= 3 {
            x[4] = x[4].add_multiple(x[5], at(0), true);
            x[6] = x[6].add_multiple(x[7], at(0), true);
            x[4] = x[4].add_multiple(x[6], at(1), true);
            x[5] = x[5].add_multiple(x[7], at(1), true);
            x[0] = x[0].add_multiple(x[4], at(2), true);
            x[1] = x[1].add_multiple(x[5], at(2), true);
            x[2] = x[2].add_multiple(x[6], at(2), true);
            x[3] = x[3].add_multiple(x[7], at(2), true);
        }
    }
}
