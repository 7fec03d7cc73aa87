//! Lanes without special instructions: eight bytes, or one, through the table of products.

use super::Lanes;
use crate::field::{PRODUCTS, point};

/// Products by point number: row `i` is that of point `i`.
static POINT_BYTES: [u8; 256] = {
    let (mut bytes, mut index) = ([0; 256], 0);
    while index < 256 {
        bytes[index] = point(index).to_le_bytes()[0];
        index += 1;
    }
    bytes
};

/// Eight bytes in a word.
#[derive(Clone, Copy)]
pub(crate) struct Word;

/// One byte: for the shards that are shorter than a word's two halves.
#[derive(Clone, Copy)]
pub(crate) struct Byte;

impl Lanes for Word {
    type Vector = u64;
    type Factor = [u8; 256];
    const BYTES: usize = 8;
    const SUMS: usize = 4;
    const ROOMY: bool = false;

    #[inline(always)]
    unsafe fn zero() -> u64 {
        0
    }
    #[inline(always)]
    unsafe fn load(from: *const u8) -> u64 {
        // SAFETY: the caller gives eight readable bytes.
        unsafe { from.cast::<u64>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut u8, vector: u64) {
        // SAFETY: the caller gives eight writable bytes.
        unsafe { to.cast::<u64>().write_unaligned(vector) };
    }
    #[inline(always)]
    unsafe fn add(a: u64, b: u64) -> u64 {
        a ^ b
    }
    #[inline(always)]
    unsafe fn add3(a: u64, b: u64, c: u64) -> u64 {
        a ^ b ^ c
    }
    #[inline(always)]
    unsafe fn multiply(a: u64, factor: &'static [u8; 256]) -> u64 {
        u64::from_ne_bytes(a.to_ne_bytes().map(|byte| factor[usize::from(byte)]))
    }
    #[inline(always)]
    fn prefetch(_at: *const u8) {}
    #[inline(always)]
    fn factor(byte: u8) -> &'static [u8; 256] {
        &PRODUCTS[usize::from(byte)]
    }
    #[inline(always)]
    unsafe fn point(index: usize) -> &'static [u8; 256] {
        &PRODUCTS[usize::from(POINT_BYTES[index])]
    }
}

impl Lanes for Byte {
    type Vector = u8;
    type Factor = [u8; 256];
    const BYTES: usize = 1;
    const SUMS: usize = 4;
    const ROOMY: bool = false;

    #[inline(always)]
    unsafe fn zero() -> u8 {
        0
    }
    #[inline(always)]
    unsafe fn load(from: *const u8) -> u8 {
        // SAFETY: the caller gives a readable byte.
        unsafe { from.read() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut u8, vector: u8) {
        // SAFETY: the caller gives a writable byte.
        unsafe { to.write(vector) };
    }
    #[inline(always)]
    unsafe fn add(a: u8, b: u8) -> u8 {
        a ^ b
    }
    #[inline(always)]
    unsafe fn add3(a: u8, b: u8, c: u8) -> u8 {
        a ^ b ^ c
    }
    #[inline(always)]
    unsafe fn multiply(a: u8, factor: &'static [u8; 256]) -> u8 {
        factor[usize::from(a)]
    }
    #[inline(always)]
    fn prefetch(_at: *const u8) {}
    #[inline(always)]
    fn factor(byte: u8) -> &'static [u8; 256] {
        &PRODUCTS[usize::from(byte)]
    }
    #[inline(always)]
    unsafe fn point(index: usize) -> &'static [u8; 256] {
        &PRODUCTS[usize::from(POINT_BYTES[index])]
    }
}
