//! openh264's assembly is in, and the library runs it: without nasm it builds several times slower without a word.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)]

use std::ffi::c_int;

use punktfunk_codec::h264::Decoder;

// Both are in openh264's `codec/common`; the first is assembled by nasm and does not exist in a build without.
unsafe extern "C" {
    /// The sum of absolute differences of two blocks of 16 × 16 bytes (`sad_common.h`).
    fn WelsSampleSad16x16_sse2(a: *const u8, stride_a: c_int, b: *const u8, stride_b: c_int) -> c_int;
    /// The features of the CPU that the library uses (`cpu.h`); a build without assembly says 0.
    fn WelsCPUFeatureDetect(processors: *mut c_int) -> u32;
}

/// `WELS_CPU_SSE2` of `cpu_core.h`.
const SSE2: u32 = 0x0000_0008;

#[test]
fn an_assembled_kernel_is_linked_and_right() {
    drop(Decoder::new().unwrap()); // The library is linked through the crate.
    let block = |seed: usize| -> Vec<u8> { (0..16 * 32).map(|index| (index * seed % 251) as u8).collect() };
    let (a, b) = (block(7), block(13));
    let expected: u32 = (0..16)
        .flat_map(|row| (0..16).map(move |column| row * 32 + column))
        .map(|at| u32::from(a[at].abs_diff(b[at])))
        .sum();
    // SAFETY: both blocks have 16 rows of 16 bytes at a stride of 32.
    let came = unsafe { WelsSampleSad16x16_sse2(a.as_ptr(), 32, b.as_ptr(), 32) };
    assert_eq!(came, c_int::try_from(expected).unwrap());
}

#[test]
fn the_library_dispatches_to_its_assembly() {
    let mut processors = 0;
    // SAFETY: the out-pointer is valid for the call.
    let features = unsafe { WelsCPUFeatureDetect(&raw mut processors) };
    assert_ne!(
        features & SSE2,
        0,
        "openh264 was built without its assembly: install nasm and rebuild openh264-sys2"
    );
}
