//! Memory of the device's own.

#![allow(unsafe_code)]

use std::fmt;

use cudarc::driver::sys::CUdeviceptr;

use crate::buffer::DeviceBuffer;
use crate::context::Context;
use crate::driver::call;
use crate::error::CudaError;
use crate::limits::MEMORY_BYTES_MAX;

/// What the driver allots rows for: four bytes suit every copy of ours.
const ELEMENT_BYTES: u32 = 4;

/// Memory of the device's own. Its content is undefined until something is written.
pub struct DeviceMemory {
    context: Context,
    pointer: CUdeviceptr,
    bytes: usize,
    pitch: usize,
}

impl DeviceMemory {
    /// `bytes` in one piece.
    ///
    /// # Errors
    /// There is not so much, or nobody needs so much.
    pub fn new(context: &Context, bytes: usize) -> Result<Self, CudaError> {
        check_size(bytes)?;
        let _current = context.enter()?;
        let mut pointer: CUdeviceptr = 0;
        // SAFETY: one address is written to where there is room for it.
        unsafe { call!(context.driver(), cuMemAlloc_v2(&raw mut pointer, bytes)) }?;
        Ok(Self { context: context.clone(), pointer, bytes, pitch: bytes })
    }

    /// `rows` rows of `width_bytes`, as far apart as suits the device: see [`DeviceMemory::pitch`].
    ///
    /// # Errors
    /// There is not so much, or nobody needs so much.
    pub fn pitched(context: &Context, width_bytes: usize, rows: usize) -> Result<Self, CudaError> {
        check_size(width_bytes.saturating_mul(rows))?;
        let _current = context.enter()?;
        let (mut pointer, mut pitch): (CUdeviceptr, usize) = (0, 0);
        // SAFETY: an address and a number are written to where there is room for them.
        unsafe {
            call!(
                context.driver(),
                cuMemAllocPitch_v2(&raw mut pointer, &raw mut pitch, width_bytes, rows, ELEMENT_BYTES)
            )
        }?;
        Ok(Self { context: context.clone(), pointer, bytes: pitch.saturating_mul(rows), pitch })
    }

    /// Bytes from row to row; all of it where there are no rows.
    #[must_use]
    pub fn pitch(&self) -> usize {
        self.pitch
    }
}

// SAFETY: the driver gave `bytes` bytes from `pointer` on, and gets them back only after the context has settled.
unsafe impl DeviceBuffer for DeviceMemory {
    fn pointer(&self) -> u64 {
        self.pointer
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn context(&self) -> &Context {
        &self.context
    }
}

impl fmt::Debug for DeviceMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceMemory").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // SAFETY: the address is the driver's own, freed once, and no stream uses it.
        self.context.release(|driver| unsafe { call!(driver, cuMemFree_v2(self.pointer)) });
    }
}

pub(crate) fn check_size(bytes: usize) -> Result<(), CudaError> {
    if (1..=MEMORY_BYTES_MAX).contains(&bytes) { Ok(()) } else { Err(CudaError::Size { bytes }) }
}
