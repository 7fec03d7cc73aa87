//! Memory of the host's that the device copies from and to by itself.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

use crate::buffer::{DeviceBuffer, Extent, Rows};
use crate::context::Context;
use crate::driver::call;
use crate::error::CudaError;
use crate::event::Event;
use crate::memory::check_size;
use crate::stream::Stream;

/// Pages of the host's that are nailed down, so that a copy runs while the host does something else. Read and written as a
/// slice whenever no copy has it: see [`InFlight`].
pub struct PinnedMemory {
    context: Context,
    start: NonNull<u8>,
    bytes: usize,
    copied: Event,
}

// SAFETY: the pages are this value's alone, as a boxed slice's would be.
unsafe impl Send for PinnedMemory {}
// SAFETY: as above.
unsafe impl Sync for PinnedMemory {}

impl PinnedMemory {
    /// `bytes` zeros.
    ///
    /// # Errors
    /// There are not so many, or nobody needs so many.
    pub fn new(context: &Context, bytes: usize) -> Result<Self, CudaError> {
        check_size(bytes)?;
        let copied = Event::new(context)?;
        let _current = context.enter()?;
        let mut start: *mut c_void = ptr::null_mut();
        // SAFETY: one address is written to where there is room for it.
        unsafe { call!(context.driver(), cuMemHostAlloc(&raw mut start, bytes, 0)) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(CudaError::Size { bytes })?;
        // SAFETY: the driver gave `bytes` bytes there, which nobody else has.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { context: context.clone(), start, bytes, copied })
    }
}

impl Deref for PinnedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `bytes` bytes were given and zeroed; a copy that writes them owns this value meanwhile.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for PinnedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl fmt::Debug for PinnedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedMemory").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        // SAFETY: the pages are the driver's own, freed once, and no stream uses them.
        self.context.release(|driver| unsafe { call!(driver, cuMemFreeHost(self.start.as_ptr().cast())) });
    }
}

/// A copy under way, and the memory that it has meanwhile. Dropped, the memory goes once the copy is done.
#[derive(Debug)]
pub struct InFlight {
    memory: PinnedMemory,
}

impl InFlight {
    /// Whether the copy is done.
    ///
    /// # Errors
    /// It has failed, or what was before it.
    pub fn is_done(&self) -> Result<bool, CudaError> {
        self.memory.copied.is_reached()
    }

    /// Waits for the copy, at most [`crate::limits::WAIT_MAX`], and gives the memory back.
    ///
    /// # Errors
    /// The copy has failed, or what was before it, or it is not done in time ([`CudaError::Stuck`]). The memory is gone then,
    /// or left to the driver.
    pub fn wait(self) -> Result<PinnedMemory, CudaError> {
        self.memory.copied.wait()?;
        Ok(self.memory)
    }
}

impl Stream {
    /// Begins to copy from the device to `to`.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed; the pinned memory is gone then.
    pub fn begin_read(
        &self,
        from: &dyn DeviceBuffer,
        from_rows: Rows,
        to: PinnedMemory,
        to_rows: Rows,
        extent: Extent,
    ) -> Result<InFlight, CudaError> {
        self.check("the pinned memory", &to.context)?;
        // SAFETY: the memory is this call's until the event says that the copy is done, or the stream has settled.
        unsafe { self.queue_read(from, from_rows, (to.start.as_ptr(), to.bytes), to_rows, extent) }?;
        to.copied.record(self)?;
        Ok(InFlight { memory: to })
    }

    /// Begins to copy from `from` to the device.
    ///
    /// # Errors
    /// The rows are not within the memory, or the call failed; the pinned memory is gone then.
    pub fn begin_write(
        &self,
        from: PinnedMemory,
        from_rows: Rows,
        to: &dyn DeviceBuffer,
        to_rows: Rows,
        extent: Extent,
    ) -> Result<InFlight, CudaError> {
        self.check("the pinned memory", &from.context)?;
        // SAFETY: as above.
        unsafe { self.queue_write((from.start.as_ptr(), from.bytes), from_rows, to, to_rows, extent) }?;
        from.copied.record(self)?;
        Ok(InFlight { memory: from })
    }
}
