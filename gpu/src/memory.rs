//! Buffers in memory that others reach too: the CPU, another interface, or this process's own pages.
//!
//! Promises: a buffer has its memory to itself and goes with it. Refuses: memory that the CPU would have to flush.

use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use ash::vk;

use crate::GpuError;
use crate::device::{Shared, memory_type};
use crate::error::Link;
use crate::importer::Handover;

/// A buffer of the device's, with memory of its own.
#[derive(Debug)]
pub(crate) struct Buffer {
    device: Arc<Shared>,
    pub(crate) handle: vk::Buffer,
    memory: vk::DeviceMemory,
    /// Bytes of the buffer, and of its memory.
    bytes: u64,
    allocated: u64,
    mapped: Option<NonNull<u8>>,
}

// SAFETY: the mapping is the buffer's own and moves with it; Vulkan's handles may be used from any thread, and all that
// changes one takes the buffer exclusively.
unsafe impl Send for Buffer {}

impl Buffer {
    /// One that the CPU writes and the GPU reads, best in the GPU's own memory.
    pub(crate) fn upload(device: &Arc<Shared>, bytes: u64) -> Result<Self, GpuError> {
        let wanted = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
        let make = |liked| {
            let mut buffer =
                Self::create(device, bytes, vk::ExternalMemoryHandleTypeFlags::empty(), "uploads")?;
            buffer.allocate(wanted, liked, None)?;
            buffer.map()?;
            Ok(buffer)
        };
        // The part of the GPU's memory that the CPU reaches may be small.
        make(vk::MemoryPropertyFlags::DEVICE_LOCAL)
            .or_else(|_: GpuError| make(vk::MemoryPropertyFlags::HOST_VISIBLE))
    }

    /// One that the GPU writes, for who is to read it.
    pub(crate) fn output(device: &Arc<Shared>, bytes: u64, handover: Handover) -> Result<Self, GpuError> {
        let none = vk::ExternalMemoryHandleTypeFlags::empty();
        let visible = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
        match handover {
            Handover::Mapped => {
                let mut buffer = Self::create(device, bytes, none, "outputs")?;
                buffer.allocate(visible, vk::MemoryPropertyFlags::HOST_CACHED, None)?;
                buffer.map()?;
                Ok(buffer)
            }
            Handover::Exported => {
                let handle = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
                let mut buffer = Self::create(device, bytes, handle, "outputs")?;
                buffer.allocate(
                    vk::MemoryPropertyFlags::DEVICE_LOCAL,
                    vk::MemoryPropertyFlags::empty(),
                    None,
                )?;
                Ok(buffer)
            }
        }
    }

    /// This process's own pages, `bytes` of them at `address`, both multiples of the device's alignment.
    ///
    /// # Safety
    /// The pages are mapped, readable and writable, and stay so while the buffer lives.
    pub(crate) unsafe fn pages(device: &Arc<Shared>, address: usize, bytes: u64) -> Result<Self, GpuError> {
        let handle = vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT;
        let mut buffer = Self::create(device, bytes, handle, "pages")?;
        let none = vk::MemoryPropertyFlags::empty();
        buffer.allocate(none, none, Some(address))?;
        Ok(buffer)
    }

    fn create(
        device: &Arc<Shared>,
        bytes: u64,
        shared_as: vk::ExternalMemoryHandleTypeFlags,
        what: &'static str,
    ) -> Result<Self, GpuError> {
        if bytes > device.storage_bytes_max {
            return Err(GpuError::Missing {
                link: Link::Convert,
                device: device.description.to_string(),
                what: "shader that reads so large a picture at once",
                remedy: "ask for a smaller mode",
            });
        }
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(shared_as);
        let mut create = vk::BufferCreateInfo::default()
            .size(bytes)
            .usage(vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_SRC)
            .sharing_mode(vk::SharingMode::EXCLUSIVE);
        if !shared_as.is_empty() {
            create = create.push_next(&mut external);
        }
        // SAFETY: what is pointed to lives until the call returns.
        let handle = unsafe { device.device.create_buffer(&create, None) };
        let handle = handle.map_err(GpuError::allocation(Link::Convert, what, bytes))?;
        let memory = vk::DeviceMemory::null();
        Ok(Self { device: Arc::clone(device), handle, memory, bytes, allocated: 0, mapped: None })
    }

    /// Gives the buffer its memory: this process's pages at `pages`, or new one that is exported if the device can.
    fn allocate(
        &mut self,
        wanted: vk::MemoryPropertyFlags,
        liked: vk::MemoryPropertyFlags,
        pages: Option<usize>,
    ) -> Result<(), GpuError> {
        let device = &self.device.device;
        // SAFETY: the buffer is the device's.
        let needs = unsafe { device.get_buffer_memory_requirements(self.handle) };
        let index = match pages {
            Some(address) => {
                let types = needs.memory_type_bits & self.types_of_pages(address)?;
                kind_of_pages(&self.device.memory, types).ok_or_else(|| self.no_pages("coherent pages"))?
            }
            None => {
                let kind = self.device.memory_type(needs.memory_type_bits, wanted, liked);
                let (link, what, bytes) = (Link::Convert, "a kind that fits", needs.size);
                kind.ok_or(GpuError::Memory { link, what, bytes })?
            }
        };
        self.allocated = if pages.is_some() { self.bytes } else { needs.size };
        let mut dedicated = vk::MemoryDedicatedAllocateInfo::default().buffer(self.handle);
        let mut export = vk::ExportMemoryAllocateInfo::default()
            .handle_types(vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD);
        let mut import = vk::ImportMemoryHostPointerInfoEXT::default()
            .handle_type(vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT);
        let mut allocate =
            vk::MemoryAllocateInfo::default().allocation_size(self.allocated).memory_type_index(index);
        match pages {
            Some(address) => {
                import.p_host_pointer = address as *mut std::ffi::c_void;
                allocate = allocate.push_next(&mut import);
            }
            None if wanted.contains(vk::MemoryPropertyFlags::DEVICE_LOCAL) => {
                allocate = allocate.push_next(&mut export).push_next(&mut dedicated);
            }
            None => {}
        }
        // SAFETY: what is pointed to lives until the call returns; the pages are what `Self::pages` was promised.
        let memory = unsafe { device.allocate_memory(&allocate, None) };
        self.memory = memory.map_err(GpuError::allocation(Link::Convert, "pictures", needs.size))?;
        // SAFETY: the memory is the buffer's alone, of a kind and a size that it may have.
        unsafe { device.bind_buffer_memory(self.handle, self.memory, 0) }
            .map_err(GpuError::call(Link::Convert, "vkBindBufferMemory"))
    }

    fn types_of_pages(&self, address: usize) -> Result<u32, GpuError> {
        let extension = self.device.extensions.memory_host.as_ref();
        let extension = extension.ok_or_else(|| self.no_pages("VK_EXT_external_memory_host"))?;
        let mut properties = vk::MemoryHostPointerPropertiesEXT::default();
        let (ask, device) =
            (extension.fp().get_memory_host_pointer_properties_ext, self.device.device.handle());
        let kind = vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT;
        // SAFETY: the pages are mapped, as `Self::pages` was promised; the answer lives until the call returns.
        unsafe { ask(device, kind, address as *const std::ffi::c_void, &mut properties) }
            .result()
            .map_err(GpuError::call(Link::Import, "vkGetMemoryHostPointerPropertiesEXT"))?;
        Ok(properties.memory_type_bits)
    }

    /// The GPU does not read this process's pages, for want of this.
    fn no_pages(&self, what: &'static str) -> GpuError {
        let device = self.device.description.to_string();
        GpuError::Missing { link: Link::Import, device, what, remedy: "let pictures be copied" }
    }

    fn map(&mut self) -> Result<(), GpuError> {
        let flags = vk::MemoryMapFlags::empty();
        // SAFETY: the memory is visible to the host, and is mapped once.
        let mapped = unsafe { self.device.device.map_memory(self.memory, 0, vk::WHOLE_SIZE, flags) };
        let mapped = mapped.map_err(GpuError::call(Link::Convert, "vkMapMemory"))?;
        self.mapped = NonNull::new(mapped.cast());
        Ok(())
    }

    /// Bytes of the buffer.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of its memory, which who imports it has to know.
    pub(crate) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// What is in it; none where the CPU does not reach it.
    ///
    /// # Safety
    /// The GPU writes nothing to it while the slice lives.
    pub(crate) unsafe fn contents(&self) -> Option<&[u8]> {
        let length = usize::try_from(self.bytes).ok()?;
        // SAFETY: the mapping is of the whole buffer; what the caller promises excludes a writer.
        self.mapped.map(|at| unsafe { std::slice::from_raw_parts(at.as_ptr(), length) })
    }

    /// The same to be written.
    ///
    /// # Safety
    /// The GPU neither reads nor writes it while the slice lives.
    pub(crate) unsafe fn contents_mut(&mut self) -> Option<&mut [u8]> {
        let length = usize::try_from(self.bytes).ok()?;
        // SAFETY: the mapping is of the whole buffer and taken exclusively; what the caller promises excludes the GPU.
        self.mapped.map(|at| unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), length) })
    }

    /// Its memory, for one that imports it.
    pub(crate) fn export(&self) -> Result<OwnedFd, GpuError> {
        let query = vk::MemoryGetFdInfoKHR::default()
            .memory(self.memory)
            .handle_type(vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD);
        // SAFETY: the memory was made to be exported as that.
        let fd = unsafe { self.device.extensions.memory_fd.get_memory_fd(&query) };
        let fd = fd.map_err(GpuError::call(Link::Export, "vkGetMemoryFdKHR"))?;
        // SAFETY: the descriptor is new and ours.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// The type, of those `allowed`, that this process's pages are imported as: a coherent one, for nobody flushes what a producer
/// has written to them.
fn kind_of_pages(memory: &vk::PhysicalDeviceMemoryProperties, allowed: u32) -> Option<u32> {
    memory_type(memory, allowed, vk::MemoryPropertyFlags::HOST_COHERENT, vk::MemoryPropertyFlags::empty())
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: nothing of the GPU's uses it any more: its holders wait for that. Freeing ends the mapping.
        unsafe {
            self.device.device.destroy_buffer(self.handle, None);
            self.device.device.free_memory(self.memory, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_imported_as_coherent_memory_or_not_at_all() {
        let mut memory = vk::PhysicalDeviceMemoryProperties { memory_type_count: 3, ..Default::default() };
        let (visible, coherent) =
            (vk::MemoryPropertyFlags::HOST_VISIBLE, vk::MemoryPropertyFlags::HOST_COHERENT);
        let kinds = [visible | vk::MemoryPropertyFlags::HOST_CACHED, visible | coherent, visible];
        for (kind, flags) in memory.memory_types.iter_mut().zip(kinds) {
            kind.property_flags = flags;
        }
        assert_eq!(kind_of_pages(&memory, 0b111), Some(1));
        assert_eq!(kind_of_pages(&memory, 0b101), None, "its pages would have to be flushed");
        assert_eq!(kind_of_pages(&memory, 0), None);
    }
}
