//! What is shared with Vulkan: its memory, and its timeline semaphores.
//!
//! Promises: a descriptor is the driver's from success on, and is closed otherwise. Two devices that cannot share are
//! refused by the driver, not found out by wrong pixels: compare UUIDs first ([`crate::Device::uuid`]).

#![allow(unsafe_code)]

use std::fmt;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::ptr;

use cudarc::driver::sys::{
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC, CUDA_EXTERNAL_MEMORY_DEDICATED, CUDA_EXTERNAL_MEMORY_HANDLE_DESC,
    CUDA_EXTERNAL_MEMORY_HANDLE_DESC_st__bindgen_ty_1, CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC,
    CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC_st__bindgen_ty_1, CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS,
    CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS, CUdeviceptr, CUexternalMemory, CUexternalMemoryHandleType,
    CUexternalSemaphore, CUexternalSemaphoreHandleType,
};

use crate::buffer::DeviceBuffer;
use crate::context::Context;
use crate::driver::call;
use crate::error::CudaError;
use crate::memory::check_size;
use crate::stream::Stream;

/// Whether Vulkan allocated the memory for one image or buffer alone (`VkMemoryDedicatedAllocateInfo`). Both sides must say the
/// same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedicated {
    /// For one alone.
    Yes,
    /// Not so.
    No,
}

/// Memory that Vulkan exported as an opaque descriptor, as CUDA sees it.
pub struct ImportedMemory {
    context: Context,
    raw: CUexternalMemory,
    pointer: CUdeviceptr,
    bytes: usize,
}

// SAFETY: the handle and the address may be used by any thread; nothing here changes after `new`.
unsafe impl Send for ImportedMemory {}
// SAFETY: as above.
unsafe impl Sync for ImportedMemory {}

impl ImportedMemory {
    /// Imports the whole of an allocation of `bytes`, the number that Vulkan allocated.
    ///
    /// # Errors
    /// It is no memory of this device's, or not so long.
    pub fn new(
        context: &Context,
        memory: OwnedFd,
        bytes: usize,
        dedicated: Dedicated,
    ) -> Result<Self, CudaError> {
        check_size(bytes)?;
        let _current = context.enter()?;
        let raw = import_memory(context, memory, bytes, dedicated)?;
        let desc =
            CUDA_EXTERNAL_MEMORY_BUFFER_DESC { offset: 0, size: bytes as u64, flags: 0, reserved: [0; 16] };
        let mut pointer: CUdeviceptr = 0;
        let driver = context.driver();
        // SAFETY: one address is written to where there is room for it; the memory was imported just now.
        let mapped =
            unsafe { call!(driver, cuExternalMemoryGetMappedBuffer(&raw mut pointer, raw, &raw const desc)) };
        if let Err(error) = mapped {
            // SAFETY: nothing is mapped of it.
            drop(unsafe { call!(driver, cuDestroyExternalMemory(raw)) });
            return Err(error);
        }
        Ok(Self { context: context.clone(), raw, pointer, bytes })
    }
}

fn import_memory(
    context: &Context,
    memory: OwnedFd,
    bytes: usize,
    dedicated: Dedicated,
) -> Result<CUexternalMemory, CudaError> {
    let flags = match dedicated {
        Dedicated::Yes => CUDA_EXTERNAL_MEMORY_DEDICATED,
        Dedicated::No => 0,
    };
    let desc = CUDA_EXTERNAL_MEMORY_HANDLE_DESC {
        type_: CUexternalMemoryHandleType::CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD,
        handle: CUDA_EXTERNAL_MEMORY_HANDLE_DESC_st__bindgen_ty_1 { fd: memory.as_raw_fd() },
        size: bytes as u64,
        flags,
        reserved: [0; 16],
    };
    let mut raw: CUexternalMemory = ptr::null_mut();
    // SAFETY: one pointer is written to where there is room for it; the descriptor is open.
    unsafe { call!(context.driver(), cuImportExternalMemory(&raw mut raw, &raw const desc)) }?;
    // The driver has it now.
    let _ = memory.into_raw_fd();
    Ok(raw)
}

// SAFETY: the driver mapped `bytes` bytes at `pointer`, and unmaps them only after the context has settled.
unsafe impl DeviceBuffer for ImportedMemory {
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

impl fmt::Debug for ImportedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedMemory").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for ImportedMemory {
    fn drop(&mut self) {
        self.context.release(|driver| {
            // SAFETY: the mapping goes before the memory that it is of, each once, and no stream uses them.
            unsafe {
                call!(driver, cuMemFree_v2(self.pointer))?;
                call!(driver, cuDestroyExternalMemory(self.raw))
            }
        });
    }
}

/// A timeline semaphore that Vulkan exported: a number that only grows, which both can wait for and set.
pub struct TimelineSemaphore {
    context: Context,
    raw: CUexternalSemaphore,
}

// SAFETY: the handle may be used by any thread; nothing here changes after `new`.
unsafe impl Send for TimelineSemaphore {}
// SAFETY: as above.
unsafe impl Sync for TimelineSemaphore {}

impl TimelineSemaphore {
    /// Imports the semaphore behind a descriptor.
    ///
    /// # Errors
    /// The device cannot share one, or it is another thing.
    pub fn new(context: &Context, semaphore: OwnedFd) -> Result<Self, CudaError> {
        if !context.device().has_timeline_semaphores() {
            let device = context.device().name().to_owned();
            return Err(CudaError::Unable { device, what: "timeline semaphores to share with Vulkan" });
        }
        let desc = CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC {
            type_: CUexternalSemaphoreHandleType::CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD,
            handle: CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC_st__bindgen_ty_1 { fd: semaphore.as_raw_fd() },
            flags: 0,
            reserved: [0; 16],
        };
        let _current = context.enter()?;
        let mut raw: CUexternalSemaphore = ptr::null_mut();
        // SAFETY: one pointer is written to where there is room for it; the descriptor is open.
        unsafe { call!(context.driver(), cuImportExternalSemaphore(&raw mut raw, &raw const desc)) }?;
        // The driver has it now.
        let _ = semaphore.into_raw_fd();
        Ok(Self { context: context.clone(), raw })
    }
}

impl Stream {
    /// Holds what is queued from now on until `semaphore` has reached `value`. The host does not wait.
    ///
    /// # Errors
    /// A call failed, or the semaphore is of another context.
    pub fn wait_until(&self, semaphore: &TimelineSemaphore, value: u64) -> Result<(), CudaError> {
        self.check("the semaphore", &semaphore.context)?;
        // SAFETY: the structure is numbers and unused pointers, for which zeros are right.
        let mut params: CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS = unsafe { std::mem::zeroed() };
        params.params.fence.value = value;
        let context = self.context();
        let _current = context.enter()?;
        let (raw, stream) = (&raw const semaphore.raw, self.raw().cast());
        // SAFETY: one semaphore and one structure are read before the call returns; semaphore and stream live.
        unsafe { call!(context.driver(), cuWaitExternalSemaphoresAsync(raw, &raw const params, 1, stream)) }
    }

    /// Sets `semaphore` to `value` once all that is queued is done. The value must be greater than the last.
    ///
    /// # Errors
    /// A call failed, or the semaphore is of another context.
    pub fn signal(&self, semaphore: &TimelineSemaphore, value: u64) -> Result<(), CudaError> {
        self.check("the semaphore", &semaphore.context)?;
        // SAFETY: the structure is numbers and unused pointers, for which zeros are right.
        let mut params: CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS = unsafe { std::mem::zeroed() };
        params.params.fence.value = value;
        let context = self.context();
        let _current = context.enter()?;
        let (raw, stream) = (&raw const semaphore.raw, self.raw().cast());
        // SAFETY: one semaphore and one structure are read before the call returns; semaphore and stream live.
        unsafe { call!(context.driver(), cuSignalExternalSemaphoresAsync(raw, &raw const params, 1, stream)) }
    }
}

impl fmt::Debug for TimelineSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimelineSemaphore").finish_non_exhaustive()
    }
}

impl Drop for TimelineSemaphore {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once, and no stream waits for it or will signal it.
        self.context.release(|driver| unsafe { call!(driver, cuDestroyExternalSemaphore(self.raw)) });
    }
}
