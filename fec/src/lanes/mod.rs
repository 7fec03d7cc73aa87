//! Vectors of bytes, and the three things that the passes do with them: move, add, multiply by one byte's worth.
//!
//! *What it is.* [`Lanes`] is what a set of instructions has to give; the files below give it. A pass is written once,
//! for any of them.
//!
//! *What it promises.* Every method is inlined into the pass that calls it, so that the pass's own target features hold
//! for it. All lanes compute the same bytes.
//!
//! *What it refuses.* To be called on a CPU without the instructions: each method is unsafe for that reason, and the
//! passes are reached only through a kernel that was found to be supported.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod scalar;

use crate::field::POINTS;

/// A vector of bytes under one set of instructions.
pub(crate) trait Lanes: Copy {
    /// The vector.
    type Vector: Copy;
    /// What a vector is multiplied by: one byte, in the form that the instructions want.
    type Factor: 'static;
    /// Bytes of a vector.
    const BYTES: usize;
    /// Sums that one pass over rows may keep in registers.
    const SUMS: usize;
    /// Whether eight rows of both halves fit the registers.
    const ROOMY: bool;

    /// # Safety
    /// The CPU has the lane's instructions.
    unsafe fn zero() -> Self::Vector;
    /// # Safety
    /// The CPU has the lane's instructions, and [`Lanes::BYTES`] bytes can be read at `from`, of whatever alignment.
    unsafe fn load(from: *const u8) -> Self::Vector;
    /// # Safety
    /// The CPU has the lane's instructions, and [`Lanes::BYTES`] bytes can be written at `to`, of whatever alignment.
    unsafe fn store(to: *mut u8, vector: Self::Vector);
    /// # Safety
    /// The CPU has the lane's instructions.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The sum of three.
    ///
    /// # Safety
    /// The CPU has the lane's instructions.
    unsafe fn add3(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Each byte times the factor's.
    ///
    /// # Safety
    /// The CPU has the lane's instructions.
    unsafe fn multiply(a: Self::Vector, factor: &'static Self::Factor) -> Self::Vector;
    /// Asks for the cache line at `at`, which need not be there.
    fn prefetch(at: *const u8);
    /// The factor of a byte.
    fn factor(byte: u8) -> &'static Self::Factor;
    /// The factor of point `index`, which is below 256.
    ///
    /// # Safety
    /// `index` is below 256.
    unsafe fn point(index: usize) -> &'static Self::Factor;
    /// The three factors of point `index`, an even one, as `field::packed` has them.
    ///
    /// # Safety
    /// `index` is below 65,536.
    #[inline(always)]
    unsafe fn wide_point(index: usize) -> [&'static Self::Factor; 3] {
        // SAFETY: the caller's index is below the table's length.
        let [first, carry, both, _] = unsafe { POINTS.get_unchecked(index) }.to_le_bytes();
        [Self::factor(first), Self::factor(carry), Self::factor(both)]
    }
}
