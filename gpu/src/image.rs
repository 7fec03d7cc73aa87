//! A producer's dmabuf as an image that shaders read.
//!
//! Promises: what the producer says of its buffer is checked against the buffer before the driver hears of it; the image
//! holds the memory, so that a producer which closes its descriptor takes nothing away. Refuses: formats and modifiers that
//! [`crate::Device::import_formats`] does not list, planes that do not lie in the buffer, descriptors of anything else, and
//! pictures whose planes lie in several buffers.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use ash::vk;
use rustix::fs;

use crate::device::{Importable, Shared, vulkan_format};
use crate::error::Link;
use crate::format::{LINEAR, Order, PIXEL_BYTES, order};
use crate::input::Dmabuf;
use crate::limits::PLANES_MAX;
use crate::{DmabufPlane, GpuError};

/// What statfs says of a dmabuf's file system ("DMAB", the kernel's `DMA_BUF_MAGIC`).
const DMABUF_FILES: i64 = 0x444d_4142;

/// What an image was made of: another one of these under the same number is another image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    order: Order,
    modifier: u64,
    size: [u32; 2],
    planes: Vec<(u32, u32)>,
}

impl Shape {
    /// What a dmabuf says of itself, if its format is known.
    pub(crate) fn of(dmabuf: &Dmabuf<'_>) -> Result<Self, GpuError> {
        let order = order(dmabuf.fourcc).ok_or(GpuError::Format { fourcc: dmabuf.fourcc })?;
        let planes =
            dmabuf.planes.iter().take(PLANES_MAX + 1).map(|plane| (plane.offset, plane.stride)).collect();
        Ok(Self { order, modifier: dmabuf.modifier, size: [dmabuf.width, dmabuf.height], planes })
    }
}

/// An imported image.
#[derive(Debug)]
pub(crate) struct Image {
    device: Arc<Shared>,
    pub(crate) handle: vk::Image,
    pub(crate) view: vk::ImageView,
    memory: vk::DeviceMemory,
    pub(crate) shape: Shape,
}

impl Image {
    /// Imports a dmabuf.
    pub(crate) fn import(device: &Arc<Shared>, dmabuf: &Dmabuf<'_>) -> Result<Self, GpuError> {
        let shape = Shape::of(dmabuf)?;
        let importable = importable(device, dmabuf)?;
        let (fd, bytes) = check(dmabuf, importable)?;
        let (handle, view, memory) = (vk::Image::null(), vk::ImageView::null(), vk::DeviceMemory::null());
        let mut image = Self { device: Arc::clone(device), handle, view, memory, shape };
        image.create(dmabuf)?;
        image.allocate(fd, bytes, dmabuf)?;
        image.look()?;
        Ok(image)
    }

    fn create(&mut self, dmabuf: &Dmabuf<'_>) -> Result<(), GpuError> {
        let planes: Vec<_> = dmabuf
            .planes
            .iter()
            .map(|plane| vk::SubresourceLayout {
                offset: plane.offset.into(),
                row_pitch: plane.stride.into(),
                ..Default::default()
            })
            .collect();
        let mut modifier = vk::ImageDrmFormatModifierExplicitCreateInfoEXT::default()
            .drm_format_modifier(dmabuf.modifier)
            .plane_layouts(&planes);
        let mut external = vk::ExternalMemoryImageCreateInfo::default()
            .handle_types(vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT);
        let create = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(vulkan_format(self.shape.order))
            .extent(vk::Extent3D { width: dmabuf.width, height: dmabuf.height, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
            .usage(vk::ImageUsageFlags::SAMPLED)
            .sharing_mode(vk::SharingMode::EXCLUSIVE)
            .initial_layout(vk::ImageLayout::UNDEFINED)
            .push_next(&mut external)
            .push_next(&mut modifier);
        // SAFETY: the device has the extensions; what is pointed to lives until the call returns.
        self.handle =
            unsafe { self.device.device.create_image(&create, None) }.map_err(|code| match code {
                vk::Result::ERROR_INVALID_DRM_FORMAT_MODIFIER_PLANE_LAYOUT_EXT => {
                    refused(0, dmabuf.planes.first(), "the driver does not take its offset or its stride")
                }
                code => GpuError::allocation(Link::Import, "images", 0)(code),
            })?;
        Ok(())
    }

    /// Gives the image the buffer's memory.
    fn allocate(&mut self, fd: BorrowedFd<'_>, bytes: u64, dmabuf: &Dmabuf<'_>) -> Result<(), GpuError> {
        let device = &self.device.device;
        // SAFETY: the image is the device's.
        let needs = unsafe { device.get_image_memory_requirements(self.handle) };
        if needs.size > bytes {
            return Err(refused(0, dmabuf.planes.first(), "the buffer is too short for the picture"));
        }
        let dma_buf = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        let mut of_fd = vk::MemoryFdPropertiesKHR::default();
        let descriptor = fd.as_raw_fd();
        // SAFETY: the descriptor is open; the call takes nothing over.
        unsafe { self.device.extensions.memory_fd.get_memory_fd_properties(dma_buf, descriptor, &mut of_fd) }
            .map_err(GpuError::call(Link::Import, "vkGetMemoryFdPropertiesKHR"))?;
        let none = vk::MemoryPropertyFlags::empty();
        let types = needs.memory_type_bits & of_fd.memory_type_bits;
        let index = self.device.memory_type(types, none, none).ok_or_else(|| GpuError::Missing {
            link: Link::Import,
            device: self.device.description.to_string(),
            what: "access to the memory that the producer's buffer is in",
            remedy: "let the desktop draw on this GPU, or encode on the one that it draws on",
        })?;
        let own = rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(GpuError::system(
            Link::Import,
            "dup",
            "raise the limit of open files",
        ))?;
        let raw = own.into_raw_fd();
        let mut import = vk::ImportMemoryFdInfoKHR::default().handle_type(dma_buf).fd(raw);
        let mut dedicated = vk::MemoryDedicatedAllocateInfo::default().image(self.handle);
        let allocate = vk::MemoryAllocateInfo::default()
            .allocation_size(needs.size)
            .memory_type_index(index)
            .push_next(&mut import)
            .push_next(&mut dedicated);
        // SAFETY: the descriptor is of a dmabuf and becomes the driver's if the call succeeds; all lives until it returns.
        let memory = unsafe { device.allocate_memory(&allocate, None) };
        self.memory = memory.map_err(|code| {
            // SAFETY: the driver has not taken it over, and nobody else knows it.
            drop(unsafe { OwnedFd::from_raw_fd(raw) });
            GpuError::allocation(Link::Import, "imports", needs.size)(code)
        })?;
        // SAFETY: the memory is the image's alone, of a kind and a size that it may have.
        unsafe { device.bind_image_memory(self.handle, self.memory, 0) }
            .map_err(GpuError::call(Link::Import, "vkBindImageMemory"))
    }

    fn look(&mut self) -> Result<(), GpuError> {
        let create = vk::ImageViewCreateInfo::default()
            .image(self.handle)
            .view_type(vk::ImageViewType::TYPE_2D)
            .format(vulkan_format(self.shape.order))
            .subresource_range(WHOLE);
        // SAFETY: the image has its memory; what is pointed to lives until the call returns.
        let view = unsafe { self.device.device.create_image_view(&create, None) };
        self.view = view.map_err(GpuError::call(Link::Import, "vkCreateImageView"))?;
        Ok(())
    }
}

/// All of an image.
pub(crate) const WHOLE: vk::ImageSubresourceRange = vk::ImageSubresourceRange {
    aspect_mask: vk::ImageAspectFlags::COLOR,
    base_mip_level: 0,
    level_count: 1,
    base_array_layer: 0,
    layer_count: 1,
};

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: nothing of the GPU's uses it: its holders wait for that. What was not made is null.
        unsafe {
            self.device.device.destroy_image_view(self.view, None);
            self.device.device.destroy_image(self.handle, None);
            self.device.device.free_memory(self.memory, None);
        }
    }
}

/// What the device says of the dmabuf's format and modifier.
fn importable<'a>(device: &'a Shared, dmabuf: &Dmabuf<'_>) -> Result<&'a Importable, GpuError> {
    let modifiers = device.importable.iter().find(|(fourcc, _)| *fourcc == dmabuf.fourcc);
    let modifiers = modifiers.map_or(&[][..], |(_, modifiers)| modifiers);
    modifiers.iter().find(|it| it.modifier == dmabuf.modifier).ok_or_else(|| {
        let known: Vec<String> = modifiers.iter().map(|it| format!("{:#018x}", it.modifier)).collect();
        GpuError::Modifier {
            device: device.description.name.clone(),
            fourcc: dmabuf.fourcc,
            modifier: dmabuf.modifier,
            known: if known.is_empty() { "none: let it send memory".to_owned() } else { known.join(", ") },
        }
    })
}

/// Checks a producer's words; the buffer, and its bytes.
fn check<'a>(dmabuf: &Dmabuf<'a>, importable: &Importable) -> Result<(BorrowedFd<'a>, u64), GpuError> {
    let [width, height] = [dmabuf.width, dmabuf.height];
    if width == 0 || height == 0 || width > importable.width_max || height > importable.height_max {
        return Err(GpuError::Size { width, height, why: "the GPU imports no image of these sides" });
    }
    let first = dmabuf.planes.first();
    let (Some(plane), true) = (first, dmabuf.planes.len() == importable.planes as usize) else {
        return Err(refused(dmabuf.planes.len(), first, "the modifier has another count of planes"));
    };
    let stat = |plane: &DmabufPlane<'_>| {
        fs::fstat(plane.fd).map_err(GpuError::system(
            Link::Import,
            "fstat",
            "the producer sent a closed descriptor",
        ))
    };
    let its = stat(plane)?;
    for (index, other) in dmabuf.planes.iter().enumerate().skip(1) {
        let others = stat(other)?;
        if (its.st_dev, its.st_ino) != (others.st_dev, others.st_ino) {
            return Err(refused(index, Some(other), "it lies in another buffer than the first one"));
        }
    }
    let files = fs::fstatfs(plane.fd).map_err(GpuError::system(Link::Import, "fstatfs", NO_DMABUF))?;
    if files.f_type != DMABUF_FILES {
        return Err(refused(0, first, "the descriptor is of no dmabuf"));
    }
    // A dmabuf's end is its size; nobody reads at the position.
    let bytes = fs::seek(plane.fd, fs::SeekFrom::End(0)).map_err(GpuError::system(
        Link::Import,
        "lseek",
        NO_DMABUF,
    ))?;
    for (index, plane) in dmabuf.planes.iter().enumerate() {
        let why = plane_fault(plane, dmabuf, bytes);
        why.map_or(Ok(()), |why| Err(refused(index, Some(plane), why)))?;
    }
    Ok((plane.fd, bytes))
}

/// What is wrong with a plane in a buffer of so many bytes.
fn plane_fault(plane: &DmabufPlane<'_>, dmabuf: &Dmabuf<'_>, bytes: u64) -> Option<&'static str> {
    let (offset, stride) = (u64::from(plane.offset), u64::from(plane.stride));
    if offset >= bytes {
        return Some("it begins beyond the buffer's end");
    }
    if dmabuf.modifier != LINEAR {
        return None;
    }
    let row = u64::from(dmabuf.width) * u64::from(PIXEL_BYTES);
    if stride < row {
        return Some("a row does not fit into its stride");
    }
    if !stride.is_multiple_of(PIXEL_BYTES.into()) || !offset.is_multiple_of(PIXEL_BYTES.into()) {
        return Some("its pixels do not lie at multiples of four bytes");
    }
    let end = offset + stride * u64::from(dmabuf.height - 1) + row;
    (end > bytes).then_some("it ends beyond the buffer's end")
}

const NO_DMABUF: &str = "the producer sent a descriptor of no dmabuf";

fn refused(plane: usize, of: Option<&DmabufPlane<'_>>, why: &'static str) -> GpuError {
    let (offset, stride) = of.map_or((0, 0), |plane| (plane.offset.into(), plane.stride.into()));
    GpuError::Plane { plane, offset, stride, why }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::format::Fourcc;

    fn fault(width: u32, height: u32, offset: u32, stride: u32, bytes: u64) -> Option<&'static str> {
        let file = tempfile::tempfile().unwrap();
        let plane = DmabufPlane { fd: file.as_fd(), offset, stride };
        let (fourcc, planes) = (Fourcc::XRGB8888, [plane]);
        let dmabuf = Dmabuf {
            buffer: 1,
            fourcc,
            modifier: LINEAR,
            width,
            height,
            planes: &planes,
            acquire: None,
            release: None,
            overlay: None,
        };
        plane_fault(&plane, &dmabuf, bytes)
    }

    #[test]
    fn a_plane_lies_in_its_buffer_or_is_refused() {
        assert_eq!(fault(16, 16, 0, 64, 1024), None);
        assert_eq!(fault(16, 16, 64, 64, 1088), None);
        // The last row ends with its last pixel.
        assert_eq!(fault(16, 16, 0, 128, 128 * 15 + 64), None);
        for (width, height, offset, stride, bytes) in [
            (16, 16, 0, 64, 1023),
            (16, 16, 4, 64, 1024),
            (16, 16, 1024, 64, 1024),
            (16, 16, 2, 64, 2048),
            (16, 16, 0, 66, 2048),
            (16, 16, 0, 60, 2048),
            (16, 16, 0, 0, 2048),
            (16_384, 16_384, u32::MAX - 3, u32::MAX - 3, 4096),
            (16_384, 16_384, 0, u32::MAX - 3, u64::from(u32::MAX)),
        ] {
            assert!(
                fault(width, height, offset, stride, bytes).is_some(),
                "{width}x{height} {offset} {stride}"
            );
        }
    }
}
