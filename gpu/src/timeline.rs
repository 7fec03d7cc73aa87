//! A timeline semaphore: a number that only rises, which the GPU and the CPU can wait for and bring up.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;

use ash::vk;

use crate::GpuError;
use crate::device::Shared;
use crate::error::Link;
use crate::limits::GPU_PATIENCE_NS;

/// A timeline of the device's.
#[derive(Debug)]
pub(crate) struct Timeline {
    device: Arc<Shared>,
    pub(crate) handle: vk::Semaphore,
    is_shared: bool,
}

impl Timeline {
    /// One at 0, which can be exported if it `is_shared`.
    pub(crate) fn new(device: &Arc<Shared>, is_shared: bool) -> Result<Self, GpuError> {
        let mut kind = vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
        let mut export = vk::ExportSemaphoreCreateInfo::default()
            .handle_types(vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD);
        let mut create = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        if is_shared {
            create = create.push_next(&mut export);
        }
        // SAFETY: what is pointed to lives until the call returns.
        let handle = unsafe { device.device.create_semaphore(&create, None) };
        let handle = handle.map_err(GpuError::call(Link::HandOver, "vkCreateSemaphore"))?;
        Ok(Self { device: Arc::clone(device), handle, is_shared })
    }

    /// Where it is.
    pub(crate) fn value(&self) -> Result<u64, GpuError> {
        // SAFETY: the semaphore is a timeline.
        let value = unsafe { self.device.device.get_semaphore_counter_value(self.handle) };
        value.map_err(GpuError::call(Link::Convert, "vkGetSemaphoreCounterValue"))
    }

    /// Waits until it is at `value`.
    pub(crate) fn wait(&self, value: u64) -> Result<(), GpuError> {
        match self.comes_to(value, GPU_PATIENCE_NS)? {
            true => Ok(()),
            // A GPU that takes so long is as good as lost.
            false => Err(GpuError::Lost { link: Link::Convert, call: "vkWaitSemaphores" }),
        }
    }

    /// Whether it comes to `value` within this many nanoseconds.
    pub(crate) fn comes_to(&self, value: u64, patience_ns: u64) -> Result<bool, GpuError> {
        let (semaphores, values) = ([self.handle], [value]);
        let wait = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        // SAFETY: as above; what is pointed to lives until the call returns.
        match unsafe { self.device.device.wait_semaphores(&wait, patience_ns) } {
            Ok(()) => Ok(true),
            Err(vk::Result::TIMEOUT) => Ok(false),
            Err(code) => Err(GpuError::call(Link::Convert, "vkWaitSemaphores")(code)),
        }
    }

    /// Brings it up to `value` from here, if it is below.
    pub(crate) fn bring_up(&self, value: u64) -> Result<(), GpuError> {
        if self.value()? >= value {
            return Ok(());
        }
        let signal = vk::SemaphoreSignalInfo::default().semaphore(self.handle).value(value);
        // SAFETY: as above; nobody else brings it up any more.
        unsafe { self.device.device.signal_semaphore(&signal) }
            .map_err(GpuError::call(Link::HandOver, "vkSignalSemaphore"))
    }

    /// It as a descriptor, if it was made to be shared.
    pub(crate) fn export(&self) -> Result<Option<OwnedFd>, GpuError> {
        let Some(extension) = self.device.extensions.semaphore_fd.as_ref().filter(|_| self.is_shared) else {
            return Ok(None);
        };
        let query = vk::SemaphoreGetFdInfoKHR::default()
            .semaphore(self.handle)
            .handle_type(vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD);
        // SAFETY: the semaphore was made to be exported as that.
        let fd = unsafe { extension.get_semaphore_fd(&query) };
        let fd = fd.map_err(GpuError::call(Link::HandOver, "vkGetSemaphoreFdKHR"))?;
        // SAFETY: the descriptor is new and ours.
        Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        // SAFETY: nothing waits for it or brings it up any more: its holder waits for that.
        unsafe { self.device.device.destroy_semaphore(self.handle, None) };
    }
}
