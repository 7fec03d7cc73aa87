//! The few calls of CUDA's driver that a decoder makes by itself.

#![allow(unsafe_code)]

use std::ffi::c_uint;
use std::sync::OnceLock;

use libloading::Library;

use crate::entry::{Code, INVALID_CONTEXT, Result};

/// The driver that the process has loaded.
fn driver() -> Option<&'static Library> {
    static DRIVER: OnceLock<Option<Library>> = OnceLock::new();
    // SAFETY: it is loaded already, or runs its own beginnings.
    DRIVER.get_or_init(|| unsafe { Library::new("libcuda.so.1") }.ok()).as_ref()
}

fn checked(result: i32) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Code(result)) }
}

/// Whether a context is current on this thread.
pub(crate) fn has_context() -> bool {
    type Function = unsafe extern "C" fn(*mut usize) -> i32;
    let mut context = 0;
    // SAFETY: this is the function's type, and there is room for the answer.
    let asked = driver().and_then(|driver| unsafe {
        Some(driver.get::<Function>("cuCtxGetCurrent").ok()?(&raw mut context))
    });
    asked == Some(0) && context != 0
}

/// Rows in the device's memory: where, and how far apart.
pub(crate) fn allocate(width_bytes: usize, rows: usize) -> Result<(u64, usize)> {
    type Function = unsafe extern "C" fn(*mut u64, *mut usize, usize, usize, c_uint) -> i32;
    let driver = driver().ok_or(INVALID_CONTEXT)?;
    let (mut pointer, mut pitch) = (0, 0);
    // SAFETY: this is the function's type, and there is room for the answers.
    checked(unsafe {
        let function = driver.get::<Function>("cuMemAllocPitch_v2").map_err(|_| INVALID_CONTEXT)?;
        function(&raw mut pointer, &raw mut pitch, width_bytes, rows, 4)
    })?;
    Ok((pointer, pitch))
}

pub(crate) fn free(pointer: u64) -> Result<()> {
    type Function = unsafe extern "C" fn(u64) -> i32;
    let driver = driver().ok_or(INVALID_CONTEXT)?;
    // SAFETY: this is the function's type.
    checked(unsafe { driver.get::<Function>("cuMemFree_v2").map_err(|_| INVALID_CONTEXT)?(pointer) })
}

/// Waits for a stream; the null stream is none here.
pub(crate) fn wait(stream: usize) -> Result<()> {
    type Function = unsafe extern "C" fn(usize) -> i32;
    let driver = driver().ok_or(INVALID_CONTEXT)?;
    // SAFETY: this is the function's type.
    checked(unsafe { driver.get::<Function>("cuStreamSynchronize").map_err(|_| INVALID_CONTEXT)?(stream) })
}
