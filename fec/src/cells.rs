//! What a butterfly works on: one vector of one half of the symbols, or the vectors of both halves.
//!
//! Factors that lie in GF(2^8) leave the halves apart, so that eight rows of one half fit the registers; a factor
//! beyond it mixes them.

use crate::lanes::Lanes;

/// One operand of a butterfly.
pub(crate) trait Cell<L: Lanes>: Copy {
    /// Whether it holds both halves.
    const BOTH: bool;
    /// # Safety
    /// As [`Lanes::zero`].
    unsafe fn zero() -> Self;
    /// # Safety
    /// As [`Lanes::load`], at `from` and, for both halves, at `from + high`.
    unsafe fn load(from: *const u8, high: usize) -> Self;
    /// Asks for what [`Cell::load`] would read.
    fn prefetch(from: *const u8, high: usize);
    /// # Safety
    /// As [`Lanes::store`], at `to` and, for both halves, at `to + high`.
    unsafe fn store(self, to: *mut u8, high: usize);
    /// # Safety
    /// As [`Lanes::add`].
    unsafe fn add(self, other: Self) -> Self;
    /// `self + other * point(index)`, or what of the point lies in GF(2^8) unless `wide`.
    ///
    /// # Safety
    /// As [`Lanes::add`]; `index` is below 65,536.
    unsafe fn add_multiple(self, other: Self, index: usize, wide: bool) -> Self;
}

/// A vector of one half.
#[derive(Clone, Copy)]
pub(crate) struct Half<L: Lanes>(L::Vector);

/// The vectors of both halves.
#[derive(Clone, Copy)]
pub(crate) struct Both<L: Lanes>(L::Vector, L::Vector);

/// A factor of the whole field: for `c0`, `u c1` and `c0 + c1`.
pub(crate) struct Wide<L: Lanes> {
    first: &'static L::Factor,
    carry: &'static L::Factor,
    both: &'static L::Factor,
}

impl<L: Lanes> Wide<L> {
    /// From a packed coefficient (`field::packed`).
    #[inline(always)]
    pub(crate) fn new(packed: u32) -> Wide<L> {
        let [first, carry, both, _] = packed.to_le_bytes();
        Wide { first: L::factor(first), carry: L::factor(carry), both: L::factor(both) }
    }

    /// Of point `index`, an even one.
    ///
    /// # Safety
    /// `index` is below 65,536.
    #[inline(always)]
    unsafe fn of_point(index: usize) -> Wide<L> {
        // SAFETY: passed on.
        let [first, carry, both] = unsafe { L::wide_point(index) };
        Wide { first, carry, both }
    }

    /// The three products whose sums are the product's halves: low is the first and second, high the first and third.
    ///
    /// # Safety
    /// As [`Lanes::multiply`].
    #[inline(always)]
    pub(crate) unsafe fn products(&self, low: L::Vector, high: L::Vector, sum: L::Vector) -> [L::Vector; 3] {
        // SAFETY: passed on.
        unsafe { [L::multiply(low, self.first), L::multiply(high, self.carry), L::multiply(sum, self.both)] }
    }
}

impl<L: Lanes> Cell<L> for Half<L> {
    const BOTH: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: passed on.
        Half(unsafe { L::zero() })
    }
    #[inline(always)]
    unsafe fn load(from: *const u8, _high: usize) -> Self {
        // SAFETY: passed on.
        Half(unsafe { L::load(from) })
    }
    #[inline(always)]
    fn prefetch(from: *const u8, _high: usize) {
        L::prefetch(from);
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u8, _high: usize) {
        // SAFETY: passed on.
        unsafe { L::store(to, self.0) };
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: passed on.
        Half(unsafe { L::add(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn add_multiple(self, other: Self, index: usize, wide: bool) -> Self {
        debug_assert!(!wide, "a half alone takes factors of GF(2^8) only");
        // SAFETY: passed on; the index is below 256.
        Half(unsafe { L::add(self.0, L::multiply(other.0, L::point(index & 255))) })
    }
}

impl<L: Lanes> Cell<L> for Both<L> {
    const BOTH: bool = true;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: passed on.
        unsafe { Both(L::zero(), L::zero()) }
    }
    #[inline(always)]
    unsafe fn load(from: *const u8, high: usize) -> Self {
        // SAFETY: passed on.
        unsafe { Both(L::load(from), L::load(from.wrapping_add(high))) }
    }
    #[inline(always)]
    fn prefetch(from: *const u8, high: usize) {
        L::prefetch(from);
        L::prefetch(from.wrapping_add(high));
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u8, high: usize) {
        // SAFETY: passed on.
        unsafe {
            L::store(to, self.0);
            L::store(to.wrapping_add(high), self.1);
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: passed on.
        unsafe { Both(L::add(self.0, other.0), L::add(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn add_multiple(self, other: Self, index: usize, wide: bool) -> Self {
        // SAFETY: passed on; the index is below the tables' lengths.
        unsafe {
            if wide {
                let factor = Wide::<L>::of_point(index);
                let sum = L::add(other.0, other.1);
                let [first, carry, both] = factor.products(other.0, other.1, sum);
                Both(L::add3(self.0, first, carry), L::add3(self.1, first, both))
            } else {
                let factor = L::point(index & 255);
                Both(
                    L::add(self.0, L::multiply(other.0, factor)),
                    L::add(self.1, L::multiply(other.1, factor)),
                )
            }
        }
    }
}
