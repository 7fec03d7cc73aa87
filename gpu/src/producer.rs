//! A producer of dmabufs on the device itself, for measurements and tests: what a compositor does, without one.
//!
//! Promises: an image with a modifier that the device imports, filled once from the CPU, exported as a dmabuf, and given to
//! whoever imports it. Refuses: to be drawn to again.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ash::{ext, vk};

use crate::device::{Shared, vulkan_format};
use crate::error::Link;
use crate::format::{Fourcc, order};
use crate::image::WHOLE;
use crate::limits::{GPU_PATIENCE_NS, PLANES_MAX};
use crate::memory::Buffer;
use crate::timeline::Timeline;
use crate::{Device, DmabufPlane, GpuError};

/// A picture that its producer has drawn.
#[derive(Debug)]
pub struct Produced {
    device: Arc<Shared>,
    image: vk::Image,
    memory: vk::DeviceMemory,
    pool: vk::CommandPool,
    fd: Option<OwnedFd>,
    modifier: u64,
    planes: Vec<(u32, u32)>,
}

impl Produced {
    /// An image with one of `modifiers`, which the driver chooses, of these pixels, `width × height` words.
    ///
    /// # Errors
    /// [`GpuError::Format`], [`GpuError::Missing`] where the device exports no dmabufs, [`GpuError::Call`].
    pub fn new(
        device: &Device,
        fourcc: Fourcc,
        modifiers: &[u64],
        (width, height): (u32, u32),
        words: &[u32],
    ) -> Result<Self, GpuError> {
        let order = order(fourcc).ok_or(GpuError::Format { fourcc })?;
        let shared = &device.shared;
        if !shared.caps.imports_dmabufs {
            return Err(GpuError::Missing {
                link: Link::Import,
                device: shared.description.to_string(),
                what: "VK_EXT_image_drm_format_modifier",
                remedy: "install a newer driver",
            });
        }
        let mut produced = Self {
            device: Arc::clone(shared),
            image: vk::Image::null(),
            memory: vk::DeviceMemory::null(),
            pool: vk::CommandPool::null(),
            fd: None,
            modifier: 0,
            planes: Vec::new(),
        };
        produced.create(vulkan_format(order), modifiers, (width, height))?;
        produced.allocate()?;
        produced.draw((width, height), words)?;
        produced.look(device, fourcc)?;
        Ok(produced)
    }

    fn create(
        &mut self,
        format: vk::Format,
        modifiers: &[u64],
        (width, height): (u32, u32),
    ) -> Result<(), GpuError> {
        let mut list = vk::ImageDrmFormatModifierListCreateInfoEXT::default().drm_format_modifiers(modifiers);
        let mut external = vk::ExternalMemoryImageCreateInfo::default()
            .handle_types(vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT);
        let create = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(format)
            .extent(vk::Extent3D { width, height, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
            .usage(vk::ImageUsageFlags::TRANSFER_DST | vk::ImageUsageFlags::SAMPLED)
            .push_next(&mut external)
            .push_next(&mut list);
        // SAFETY: the device has the extensions; what is pointed to lives until the call returns.
        let image = unsafe { self.device.device.create_image(&create, None) };
        self.image = image.map_err(GpuError::call(Link::Import, "vkCreateImage"))?;
        Ok(())
    }

    fn allocate(&mut self) -> Result<(), GpuError> {
        let vulkan = &self.device.device;
        // SAFETY: the image is the device's.
        let needs = unsafe { vulkan.get_image_memory_requirements(self.image) };
        let (none, local) = (vk::MemoryPropertyFlags::empty(), vk::MemoryPropertyFlags::DEVICE_LOCAL);
        let what = "a kind that fits";
        let no_memory = GpuError::Memory { link: Link::Import, what, bytes: needs.size };
        let index = self.device.memory_type(needs.memory_type_bits, none, local).ok_or(no_memory)?;
        let dma_buf = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        let mut export = vk::ExportMemoryAllocateInfo::default().handle_types(dma_buf);
        let mut dedicated = vk::MemoryDedicatedAllocateInfo::default().image(self.image);
        let allocate = vk::MemoryAllocateInfo::default()
            .allocation_size(needs.size)
            .memory_type_index(index)
            .push_next(&mut export)
            .push_next(&mut dedicated);
        // SAFETY: what is pointed to lives until the call returns; the memory is the image's alone.
        unsafe {
            let memory = vulkan.allocate_memory(&allocate, None);
            self.memory =
                memory.map_err(GpuError::allocation(Link::Import, "a producer's image", needs.size))?;
            vulkan
                .bind_image_memory(self.image, self.memory, 0)
                .map_err(GpuError::call(Link::Import, "vkBindImageMemory"))?;
        }
        let query = vk::MemoryGetFdInfoKHR::default().memory(self.memory).handle_type(dma_buf);
        // SAFETY: the memory was made to be exported as that, and the descriptor is new.
        unsafe {
            let fd = self.device.extensions.memory_fd.get_memory_fd(&query);
            let fd = fd.map_err(GpuError::call(Link::Export, "vkGetMemoryFdKHR"))?;
            self.fd = Some(OwnedFd::from_raw_fd(fd));
        }
        Ok(())
    }

    /// Fills the image, gives it to whoever imports it, and waits for that.
    fn draw(&mut self, (width, height): (u32, u32), words: &[u32]) -> Result<(), GpuError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut upload = Buffer::upload(&self.device, u64::from(width) * u64::from(height) * 4)?;
        // SAFETY: the buffer is new: the GPU knows nothing of it.
        if let Some(to) = unsafe { upload.contents_mut() } {
            to.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        }
        let vulkan = &self.device.device;
        let create = vk::CommandPoolCreateInfo::default().queue_family_index(self.device.family);
        let over = Timeline::new(&self.device, false)?;
        // SAFETY: what is pointed to lives until each call returns; what the work names, until it is over.
        unsafe {
            let pool = vulkan.create_command_pool(&create, None);
            self.pool = pool.map_err(GpuError::call(Link::Import, "vkCreateCommandPool"))?;
            let allocate =
                vk::CommandBufferAllocateInfo::default().command_pool(self.pool).command_buffer_count(1);
            let commands = vulkan.allocate_command_buffers(&allocate);
            let commands = commands.map_err(GpuError::call(Link::Import, "vkAllocateCommandBuffers"))?[0];
            vulkan
                .begin_command_buffer(commands, &vk::CommandBufferBeginInfo::default())
                .map_err(GpuError::call(Link::Import, "vkBeginCommandBuffer"))?;
            self.barrier(commands, vk::ImageLayout::UNDEFINED, vk::ImageLayout::TRANSFER_DST_OPTIMAL, None);
            let region = vk::BufferImageCopy::default()
                .image_subresource(
                    vk::ImageSubresourceLayers::default()
                        .aspect_mask(vk::ImageAspectFlags::COLOR)
                        .layer_count(1),
                )
                .image_extent(vk::Extent3D { width, height, depth: 1 });
            let layout = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
            vulkan.cmd_copy_buffer_to_image(commands, upload.handle, self.image, layout, &[region]);
            let foreign = if self.device.caps.knows_foreign {
                vk::QUEUE_FAMILY_FOREIGN_EXT
            } else {
                vk::QUEUE_FAMILY_EXTERNAL
            };
            self.barrier(commands, layout, vk::ImageLayout::GENERAL, Some(foreign));
            vulkan
                .end_command_buffer(commands)
                .map_err(GpuError::call(Link::Import, "vkEndCommandBuffer"))?;
            let commands = [vk::CommandBufferSubmitInfo::default().command_buffer(commands)];
            let tells = [vk::SemaphoreSubmitInfo::default()
                .semaphore(over.handle)
                .value(1)
                .stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)];
            let submit =
                vk::SubmitInfo2::default().command_buffer_infos(&commands).signal_semaphore_infos(&tells);
            self.device.submit(&submit, Link::Import)?;
        }
        match over.comes_to(1, GPU_PATIENCE_NS) {
            Ok(true) => Ok(()),
            Err(lost @ GpuError::Lost { .. }) => Err(lost),
            outcome => {
                // The GPU may still be at work: all that it uses is left to it, and so the device.
                std::mem::forget((upload, over, Arc::clone(&self.device)));
                (self.image, self.memory, self.pool) =
                    (vk::Image::null(), vk::DeviceMemory::null(), vk::CommandPool::null());
                self.device.left_behind.fetch_add(1, Ordering::Relaxed);
                Err(outcome.err().unwrap_or(GpuError::Lost { link: Link::Import, call: "vkWaitSemaphores" }))
            }
        }
    }

    /// Records a change of layout, and of owner if it goes `to` another one.
    ///
    /// # Safety
    /// `commands` is being recorded.
    unsafe fn barrier(
        &self,
        commands: vk::CommandBuffer,
        old: vk::ImageLayout,
        new: vk::ImageLayout,
        to: Option<u32>,
    ) {
        let all = vk::PipelineStageFlags2::ALL_COMMANDS;
        let access = vk::AccessFlags2::TRANSFER_WRITE;
        let (from, to) =
            to.map_or((vk::QUEUE_FAMILY_IGNORED, vk::QUEUE_FAMILY_IGNORED), |to| (self.device.family, to));
        let images = [vk::ImageMemoryBarrier2::default()
            .image(self.image)
            .subresource_range(WHOLE)
            .old_layout(old)
            .new_layout(new)
            .src_queue_family_index(from)
            .dst_queue_family_index(to)
            .src_stage_mask(all)
            .src_access_mask(access)
            .dst_stage_mask(all)
            .dst_access_mask(access)];
        let dependency = vk::DependencyInfo::default().image_memory_barriers(&images);
        // SAFETY: the caller's word; what is pointed to lives until the call returns.
        unsafe { self.device.device.cmd_pipeline_barrier2(commands, &dependency) };
    }

    /// Asks the driver which modifier it chose, and where its planes are.
    fn look(&mut self, device: &Device, fourcc: Fourcc) -> Result<(), GpuError> {
        let instance = device.shared.instance();
        let extension = ext::image_drm_format_modifier::Device::new(instance, &self.device.device);
        let mut chosen = vk::ImageDrmFormatModifierPropertiesEXT::default();
        // SAFETY: the image was made with a list of modifiers.
        unsafe { extension.get_image_drm_format_modifier_properties(self.image, &mut chosen) }
            .map_err(GpuError::call(Link::Import, "vkGetImageDrmFormatModifierPropertiesEXT"))?;
        self.modifier = chosen.drm_format_modifier;
        let known = self.device.importable.iter().find(|(known, _)| *known == fourcc);
        let count = known
            .and_then(|(_, list)| list.iter().find(|it| it.modifier == self.modifier))
            .map_or(1, |it| it.planes as usize);
        let aspects = [
            vk::ImageAspectFlags::MEMORY_PLANE_0_EXT,
            vk::ImageAspectFlags::MEMORY_PLANE_1_EXT,
            vk::ImageAspectFlags::MEMORY_PLANE_2_EXT,
            vk::ImageAspectFlags::MEMORY_PLANE_3_EXT,
        ];
        const { assert!(PLANES_MAX == 4) };
        for aspect in aspects.into_iter().take(count) {
            let plane = vk::ImageSubresource::default().aspect_mask(aspect);
            // SAFETY: the modifier has that many planes.
            let layout = unsafe { self.device.device.get_image_subresource_layout(self.image, plane) };
            let word = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
            self.planes.push((word(layout.offset), word(layout.row_pitch)));
        }
        Ok(())
    }

    /// The modifier that the driver chose.
    #[must_use]
    pub fn modifier(&self) -> u64 {
        self.modifier
    }

    /// Its planes.
    #[must_use]
    pub fn planes(&self) -> Vec<DmabufPlane<'_>> {
        let fd = self.fd.iter().flat_map(|fd| self.planes.iter().map(move |plane| (fd.as_fd(), plane)));
        fd.map(|(fd, (offset, stride))| DmabufPlane { fd, offset: *offset, stride: *stride }).collect()
    }
}

impl Drop for Produced {
    fn drop(&mut self) {
        // SAFETY: its own work is over; an import has a memory object of its own. What was not made is null.
        unsafe {
            self.device.device.destroy_command_pool(self.pool, None);
            self.device.device.destroy_image(self.image, None);
            self.device.device.free_memory(self.memory, None);
        }
    }
}
