//! Copies of rows: on the device, and between it and the host.

#![allow(unsafe_code)]

use std::ptr;

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUmemorytype};

use crate::buffer::{DeviceBuffer, Extent, Rows};
use crate::driver::call;
use crate::error::CudaError;
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

    /// Copies from the device, after all that is queued, and waits for it.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed.
    pub fn read(
        &self,
        from: &dyn DeviceBuffer,
        from_rows: Rows,
        to: &mut [u8],
        to_pitch: usize,
        extent: Extent,
    ) -> Result<(), CudaError> {
        let to_rows = Rows { offset: 0, pitch: to_pitch };
        // SAFETY: `to` is borrowed until the stream is done.
        let queued =
            unsafe { self.queue_read(from, from_rows, (to.as_mut_ptr(), to.len()), to_rows, extent) };
        let waited = self.wait_surely();
        queued.and(waited)
    }

    /// Copies to the device, after all that is queued, and waits for it.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed.
    pub fn write(
        &self,
        from: &[u8],
        from_pitch: usize,
        to: &dyn DeviceBuffer,
        to_rows: Rows,
        extent: Extent,
    ) -> Result<(), CudaError> {
        let from_rows = Rows { offset: 0, pitch: from_pitch };
        // SAFETY: `from` is borrowed until the stream is done.
        let queued = unsafe { self.queue_write((from.as_ptr(), from.len()), from_rows, to, to_rows, extent) };
        let waited = self.wait_surely();
        queued.and(waited)
    }

    /// Waits until nothing queued uses the host's memory, whatever the driver says of it.
    fn wait_surely(&self) -> Result<(), CudaError> {
        let waited = self.wait();
        if waited.is_err() {
            // A lost device uses nothing any more; a call that failed for another reason says nothing of the copy.
            let _ = self.context().settle();
        }
        waited
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
