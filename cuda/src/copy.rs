//! Copies of rows: on the device, and between it and the host.
//!
//! Promises: memory that is only borrowed is never the device's, whatever fails: it is copied through pinned memory of the
//! stream's own, which is left to the driver where a copy does not come to its end. Refuses: rows that are not within what
//! is said to hold them.

#![allow(unsafe_code)]

use std::ptr;

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUmemorytype};

use crate::buffer::{DeviceBuffer, Extent, Rows};
use crate::driver::call;
use crate::error::CudaError;
use crate::pinned::PinnedMemory;
use crate::stream::Stream;

impl Stream {
    /// Queues a copy on the device.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed.
    pub fn copy(
        &self,
        from: &dyn DeviceBuffer,
        from_rows: Rows,
        to: &dyn DeviceBuffer,
        to_rows: Rows,
        extent: Extent,
    ) -> Result<(), CudaError> {
        let mut copy = empty(extent);
        self.take_from(&mut copy, from, from_rows, extent)?;
        self.put_to(&mut copy, to, to_rows, extent)?;
        // SAFETY: both ends were checked, and stay until the stream is done with them.
        unsafe { self.queue_copy(&copy) }
    }

    /// Sets rows of device memory to `value`, in the stream's order.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed.
    pub fn fill(
        &self,
        memory: &dyn DeviceBuffer,
        rows: Rows,
        extent: Extent,
        value: u8,
    ) -> Result<(), CudaError> {
        self.check("the memory", memory.context())?;
        rows.check(extent, memory.bytes())?;
        let start = memory.pointer() + rows.offset as u64;
        let _current = self.context().enter()?;
        let Extent { width_bytes, rows: count } = extent;
        // SAFETY: the rows were checked, and the memory stays until the stream is done with it.
        unsafe {
            call!(
                self.context().driver(),
                cuMemsetD2D8Async(start, rows.pitch, value, width_bytes, count, self.raw().cast())
            )
        }
    }

    /// Copies from the device, after all that is queued, and waits for it, at most [`crate::limits::WAIT_MAX`]. The device
    /// writes to pinned memory of the stream's own, and the CPU from there to `to`.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed, or it is not done in time ([`CudaError::Stuck`]); `to` is as it
    /// was then.
    pub fn read(
        &self,
        from: &dyn DeviceBuffer,
        from_rows: Rows,
        to: &mut [u8],
        to_pitch: usize,
        extent: Extent,
    ) -> Result<(), CudaError> {
        Rows { offset: 0, pitch: to_pitch }.check(extent, to.len())?;
        let (staging, tight) = self.staging(extent)?;
        let copied = self.begin_read(from, from_rows, staging, tight, extent)?;
        let waited = self.wait();
        let staging = waited.and_then(|()| copied.wait())?;
        // Where there is one row only, its pitch means nothing.
        let pitch = to_pitch.max(extent.width_bytes);
        for (to, from) in to.chunks_mut(pitch).zip(staging.chunks(extent.width_bytes)).take(extent.rows) {
            to[..extent.width_bytes].copy_from_slice(from);
        }
        self.put_staging(staging);
        Ok(())
    }

    /// Copies to the device, after all that is queued, and waits for it, at most [`crate::limits::WAIT_MAX`]. The CPU copies
    /// `from` to pinned memory of the stream's own, and the device reads it there.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed, or it is not done in time ([`CudaError::Stuck`]).
    pub fn write(
        &self,
        from: &[u8],
        from_pitch: usize,
        to: &dyn DeviceBuffer,
        to_rows: Rows,
        extent: Extent,
    ) -> Result<(), CudaError> {
        Rows { offset: 0, pitch: from_pitch }.check(extent, from.len())?;
        let (mut staging, tight) = self.staging(extent)?;
        let pitch = from_pitch.max(extent.width_bytes);
        for (to, from) in staging.chunks_mut(extent.width_bytes).zip(from.chunks(pitch)).take(extent.rows) {
            to.copy_from_slice(&from[..extent.width_bytes]);
        }
        let copied = self.begin_write(staging, tight, to, to_rows, extent)?;
        let waited = self.wait();
        self.put_staging(waited.and_then(|()| copied.wait())?);
        Ok(())
    }

    /// Memory for rows without gaps, and how they lie in it.
    fn staging(&self, extent: Extent) -> Result<(PinnedMemory, Rows), CudaError> {
        let staging = self.take_staging(extent.width_bytes.saturating_mul(extent.rows))?;
        Ok((staging, Rows { offset: 0, pitch: extent.width_bytes }))
    }

    /// Queues a copy to the host.
    ///
    /// # Safety
    /// The host's memory stays, and nobody reads or writes it, until the stream is done.
    pub(crate) unsafe fn queue_read(
        &self,
        from: &dyn DeviceBuffer,
        from_rows: Rows,
        to: (*mut u8, usize),
        to_rows: Rows,
        extent: Extent,
    ) -> Result<(), CudaError> {
        to_rows.check(extent, to.1)?;
        let mut copy = empty(extent);
        self.take_from(&mut copy, from, from_rows, extent)?;
        copy.dstMemoryType = CUmemorytype::CU_MEMORYTYPE_HOST;
        copy.dstHost = to.0.wrapping_add(to_rows.offset).cast();
        copy.dstPitch = to_rows.pitch.max(extent.width_bytes);
        // SAFETY: both ends were checked; the device's stays until the stream is done, the host's by the caller's word.
        unsafe { self.queue_copy(&copy) }
    }

    /// Queues a copy from the host.
    ///
    /// # Safety
    /// The host's memory stays, and nobody writes it, until the stream is done.
    pub(crate) unsafe fn queue_write(
        &self,
        from: (*const u8, usize),
        from_rows: Rows,
        to: &dyn DeviceBuffer,
        to_rows: Rows,
        extent: Extent,
    ) -> Result<(), CudaError> {
        from_rows.check(extent, from.1)?;
        let mut copy = empty(extent);
        self.put_to(&mut copy, to, to_rows, extent)?;
        copy.srcMemoryType = CUmemorytype::CU_MEMORYTYPE_HOST;
        copy.srcHost = from.0.wrapping_add(from_rows.offset).cast();
        copy.srcPitch = from_rows.pitch.max(extent.width_bytes);
        // SAFETY: as above.
        unsafe { self.queue_copy(&copy) }
    }

    fn take_from(
        &self,
        copy: &mut CUDA_MEMCPY2D,
        from: &dyn DeviceBuffer,
        rows: Rows,
        extent: Extent,
    ) -> Result<(), CudaError> {
        self.check("the memory to copy from", from.context())?;
        rows.check(extent, from.bytes())?;
        copy.srcDevice = from.pointer() + rows.offset as u64;
        copy.srcPitch = rows.pitch.max(extent.width_bytes);
        Ok(())
    }

    fn put_to(
        &self,
        copy: &mut CUDA_MEMCPY2D,
        to: &dyn DeviceBuffer,
        rows: Rows,
        extent: Extent,
    ) -> Result<(), CudaError> {
        self.check("the memory to copy to", to.context())?;
        rows.check(extent, to.bytes())?;
        copy.dstDevice = to.pointer() + rows.offset as u64;
        copy.dstPitch = rows.pitch.max(extent.width_bytes);
        Ok(())
    }

    /// # Safety
    /// The memory at both ends is as long as `copy` says, and stays until the stream is done.
    unsafe fn queue_copy(&self, copy: &CUDA_MEMCPY2D) -> Result<(), CudaError> {
        let _current = self.context().enter()?;
        // SAFETY: the structure is read before the call returns; the rest is the caller's word.
        unsafe { call!(self.context().driver(), cuMemcpy2DAsync_v2(ptr::from_ref(copy), self.raw().cast())) }
    }
}

/// A copy from device to device of nothing yet.
fn empty(extent: Extent) -> CUDA_MEMCPY2D {
    CUDA_MEMCPY2D {
        srcXInBytes: 0,
        srcY: 0,
        srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
        srcHost: ptr::null(),
        srcDevice: 0,
        srcArray: ptr::null_mut(),
        srcPitch: 0,
        dstXInBytes: 0,
        dstY: 0,
        dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
        dstHost: ptr::null_mut(),
        dstDevice: 0,
        dstArray: ptr::null_mut(),
        dstPitch: 0,
        WidthInBytes: extent.width_bytes,
        Height: extent.rows,
    }
}
