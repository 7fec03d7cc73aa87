//! Opens a device: its queue, its extensions, and what it can do.

use std::ffi::CStr;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use ash::{ext, khr, vk};

use super::survey::{VERSION, Vulkan, has};
use super::{Caps, Description, Importable, Priority, Shared};
use crate::GpuError;
use crate::error::Link;
use crate::format::{Fourcc, Order, SOURCES};

/// The calls of extensions that are used; none for an extension that the device has not.
pub(crate) struct Extensions {
    pub(crate) memory_fd: khr::external_memory_fd::Device,
    pub(crate) semaphore_fd: Option<khr::external_semaphore_fd::Device>,
    pub(crate) memory_host: Option<ext::external_memory_host::Device>,
}

/// What is used where it is there.
const OPTIONAL: &[&CStr] = &[
    ext::external_memory_dma_buf::NAME,
    ext::image_drm_format_modifier::NAME,
    ext::queue_family_foreign::NAME,
    ext::external_memory_host::NAME,
    khr::external_semaphore_fd::NAME,
];

pub(super) fn open(
    vulkan: Vulkan,
    physical: vk::PhysicalDevice,
    description: Description,
) -> Result<Shared, GpuError> {
    let listed = vulkan.extensions(physical)?;
    check(&vulkan, physical, &description, &listed)?;
    let (family, stamps) = family(&vulkan, physical, &description)?;
    let mut names: Vec<&CStr> = vec![khr::external_memory_fd::NAME];
    names.extend(OPTIONAL.iter().filter(|name| has(&listed, name)));
    let (device, priority) = create(&vulkan, physical, family, &names, &listed)?;
    // SAFETY: the family and the index are what the device was made with.
    let queue = Mutex::new(unsafe { device.get_device_queue(family, 0) });
    // SAFETY: the device is of this instance.
    let memory = unsafe { vulkan.instance.get_physical_device_memory_properties(physical) };
    let mut caps = probe(&vulkan, physical, &names, priority);
    caps.timestamps = stamps;
    let importable = match caps.imports_dmabufs {
        true => importable(&vulkan, physical),
        false => Vec::new(),
    };
    caps.imports_dmabufs = !importable.is_empty();
    let instance = &vulkan.instance;
    // SAFETY: as above.
    let limits = unsafe { vulkan.instance.get_physical_device_properties(physical) }.limits;
    let storage_bytes_max = limits.max_storage_buffer_range.into();
    let extensions = Extensions {
        memory_fd: khr::external_memory_fd::Device::new(instance, &device),
        semaphore_fd: names
            .contains(&khr::external_semaphore_fd::NAME)
            .then(|| khr::external_semaphore_fd::Device::new(instance, &device)),
        memory_host: names
            .contains(&ext::external_memory_host::NAME)
            .then(|| ext::external_memory_host::Device::new(instance, &device)),
    };
    tracing::info!(device = %description, ?caps, "the GPU is open");
    Ok(Shared {
        description,
        caps,
        importable,
        device,
        family,
        queue,
        memory,
        storage_bytes_max,
        extensions,
        left_behind: AtomicU64::new(0),
        vulkan,
    })
}

/// Whether the device has what there is no way around.
fn check(
    vulkan: &Vulkan,
    physical: vk::PhysicalDevice,
    description: &Description,
    listed: &[vk::ExtensionProperties],
) -> Result<(), GpuError> {
    let lacks = |what, remedy| {
        Err(GpuError::Missing { link: Link::Device, device: description.to_string(), what, remedy })
    };
    if description.vulkan < (vk::api_version_major(VERSION), vk::api_version_minor(VERSION)) {
        return lacks("Vulkan 1.3", "install a newer driver");
    }
    if !has(listed, khr::external_memory_fd::NAME) {
        return lacks("VK_KHR_external_memory_fd", "install a newer driver, or choose another GPU");
    }
    let mut timelines = vk::PhysicalDeviceTimelineSemaphoreFeatures::default();
    let mut sync = vk::PhysicalDeviceSynchronization2Features::default();
    let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut timelines).push_next(&mut sync);
    // SAFETY: Vulkan 1.3 knows both structures, which live until the call returns.
    unsafe { vulkan.instance.get_physical_device_features2(physical, &mut features) };
    if timelines.timeline_semaphore != vk::TRUE || sync.synchronization2 != vk::TRUE {
        return lacks("timeline semaphores", "install a newer driver");
    }
    Ok(())
}

/// The family of queues to work on, and its clock's tick: one that only computes goes on beside what draws.
fn family(
    vulkan: &Vulkan,
    physical: vk::PhysicalDevice,
    description: &Description,
) -> Result<(u32, Option<f32>), GpuError> {
    // SAFETY: the device is of this instance.
    let families = unsafe { vulkan.instance.get_physical_device_queue_family_properties(physical) };
    let computes = |family: &&(u32, &vk::QueueFamilyProperties)| {
        family.1.queue_flags.contains(vk::QueueFlags::COMPUTE) && family.1.queue_count > 0
    };
    let families: Vec<_> = (0_u32..).zip(&families).filter(|family| computes(&family)).collect();
    let only_computes = |family: &&(u32, &vk::QueueFamilyProperties)| {
        !family.1.queue_flags.contains(vk::QueueFlags::GRAPHICS) && family.1.timestamp_valid_bits > 0
    };
    let Some((index, family)) = families.iter().find(only_computes).or(families.first()) else {
        return Err(GpuError::Missing {
            link: Link::Device,
            device: description.to_string(),
            what: "queue that computes",
            remedy: "choose another GPU",
        });
    };
    // SAFETY: as above.
    let limits = unsafe { vulkan.instance.get_physical_device_properties(physical) }.limits;
    let stamps = family.timestamp_valid_bits > 0 && limits.timestamp_period > 0.0;
    Ok((*index, stamps.then_some(limits.timestamp_period)))
}

/// Makes the device, ahead of others' work where that is allowed.
fn create(
    vulkan: &Vulkan,
    physical: vk::PhysicalDevice,
    family: u32,
    names: &[&CStr],
    listed: &[vk::ExtensionProperties],
) -> Result<(ash::Device, Priority), GpuError> {
    let known = [khr::global_priority::NAME, ext::global_priority::NAME];
    let Some(name) = known.into_iter().find(|name| has(listed, name)) else {
        return create_at(vulkan, physical, family, names, false).map(|device| (device, Priority::Unknown));
    };
    let with_priority: Vec<&CStr> = names.iter().copied().chain([name]).collect();
    match create_at(vulkan, physical, family, &with_priority, true) {
        Ok(device) => Ok((device, Priority::High)),
        // Drivers say it in one of two ways; whatever else it is comes again without.
        Err(_) => {
            tracing::info!(
                "the GPU's work is not put before others': it takes CAP_SYS_NICE with most drivers"
            );
            create_at(vulkan, physical, family, names, false).map(|device| (device, Priority::Refused))
        }
    }
}

fn create_at(
    vulkan: &Vulkan,
    physical: vk::PhysicalDevice,
    family: u32,
    names: &[&CStr],
    is_ahead: bool,
) -> Result<ash::Device, GpuError> {
    let mut ahead = vk::DeviceQueueGlobalPriorityCreateInfoKHR::default()
        .global_priority(vk::QueueGlobalPriorityKHR::HIGH);
    let mut queue = vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0]);
    if is_ahead {
        queue = queue.push_next(&mut ahead);
    }
    let names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let mut timelines = vk::PhysicalDeviceTimelineSemaphoreFeatures::default().timeline_semaphore(true);
    let mut sync = vk::PhysicalDeviceSynchronization2Features::default().synchronization2(true);
    let queues = [queue];
    let create = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&names)
        .push_next(&mut timelines)
        .push_next(&mut sync);
    // SAFETY: all that is pointed to lives until the call returns; the extensions and features are the device's.
    let device = unsafe { vulkan.instance.create_device(physical, &create, None) };
    device.map_err(GpuError::call(Link::Device, "vkCreateDevice"))
}

/// What the device can do; its clock is the queue's.
fn probe(vulkan: &Vulkan, physical: vk::PhysicalDevice, names: &[&CStr], priority: Priority) -> Caps {
    let has = |name: &CStr| names.contains(&name);
    let shares = has(khr::external_semaphore_fd::NAME);
    let semaphores = |handle, kind| {
        let mut kind = vk::SemaphoreTypeCreateInfo::default().semaphore_type(kind);
        let query =
            vk::PhysicalDeviceExternalSemaphoreInfo::default().handle_type(handle).push_next(&mut kind);
        let mut answer = vk::ExternalSemaphoreProperties::default();
        // SAFETY: the structures are of Vulkan 1.2 and live until the call returns.
        unsafe {
            vulkan.instance.get_physical_device_external_semaphore_properties(physical, &query, &mut answer);
        }
        if shares { answer.external_semaphore_features } else { vk::ExternalSemaphoreFeatureFlags::empty() }
    };
    let timeline = semaphores(vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD, vk::SemaphoreType::TIMELINE);
    let file = semaphores(vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD, vk::SemaphoreType::BINARY);
    let host_pages = has(ext::external_memory_host::NAME).then(|| {
        let mut pages = vk::PhysicalDeviceExternalMemoryHostPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut pages);
        // SAFETY: the device has the extension whose structure this is.
        unsafe { vulkan.instance.get_physical_device_properties2(physical, &mut properties) };
        pages.min_imported_host_pointer_alignment
    });
    Caps {
        imports_dmabufs: has(ext::external_memory_dma_buf::NAME) && has(ext::image_drm_format_modifier::NAME),
        knows_foreign: has(ext::queue_family_foreign::NAME),
        host_pages,
        shares_timelines: timeline.contains(vk::ExternalSemaphoreFeatureFlags::EXPORTABLE),
        waits_for_sync_files: file.contains(vk::ExternalSemaphoreFeatureFlags::IMPORTABLE),
        makes_sync_files: file.contains(vk::ExternalSemaphoreFeatureFlags::EXPORTABLE),
        priority,
        timestamps: None,
    }
}

/// Vulkan's name for pixels of an order.
pub(crate) fn vulkan_format(order: Order) -> vk::Format {
    match order {
        Order::Bgr8 => vk::Format::B8G8R8A8_UNORM,
        Order::Rgb8 => vk::Format::R8G8B8A8_UNORM,
        Order::Bgr10 => vk::Format::A2R10G10B10_UNORM_PACK32,
        Order::Rgb10 => vk::Format::A2B10G10R10_UNORM_PACK32,
    }
}

/// The formats that can be imported, each with the modifiers that a shader can read from.
fn importable(vulkan: &Vulkan, physical: vk::PhysicalDevice) -> Vec<(Fourcc, Vec<Importable>)> {
    let mut formats = Vec::new();
    for (fourcc, order) in SOURCES {
        let format = vulkan_format(*order);
        let modifiers: Vec<_> = modifiers(vulkan, physical, format)
            .iter()
            .filter_map(|modifier| import_of(vulkan, physical, format, modifier))
            .collect();
        if !modifiers.is_empty() {
            formats.push((*fourcc, modifiers));
        }
    }
    formats
}

fn modifiers(
    vulkan: &Vulkan,
    physical: vk::PhysicalDevice,
    format: vk::Format,
) -> Vec<vk::DrmFormatModifierPropertiesEXT> {
    let ask = |room: &mut [vk::DrmFormatModifierPropertiesEXT]| {
        let mut list = vk::DrmFormatModifierPropertiesListEXT::default();
        if !room.is_empty() {
            list = list.drm_format_modifier_properties(room);
        }
        let mut properties = vk::FormatProperties2::default().push_next(&mut list);
        // SAFETY: the device has the extension whose structure this is; the list tells how long the room is.
        unsafe { vulkan.instance.get_physical_device_format_properties2(physical, format, &mut properties) };
        list.drm_format_modifier_count as usize
    };
    let mut room = vec![vk::DrmFormatModifierPropertiesEXT::default(); ask(&mut [])];
    let count = if room.is_empty() { 0 } else { ask(&mut room) };
    room.truncate(count);
    room.retain(|it| it.drm_format_modifier_tiling_features.contains(vk::FormatFeatureFlags::SAMPLED_IMAGE));
    room
}

/// Whether and how large a dmabuf of this modifier can be.
fn import_of(
    vulkan: &Vulkan,
    physical: vk::PhysicalDevice,
    format: vk::Format,
    modifier: &vk::DrmFormatModifierPropertiesEXT,
) -> Option<Importable> {
    let mut external = vk::PhysicalDeviceExternalImageFormatInfo::default()
        .handle_type(vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT);
    let mut tiling = vk::PhysicalDeviceImageDrmFormatModifierInfoEXT::default()
        .drm_format_modifier(modifier.drm_format_modifier)
        .sharing_mode(vk::SharingMode::EXCLUSIVE);
    let query = vk::PhysicalDeviceImageFormatInfo2::default()
        .format(format)
        .ty(vk::ImageType::TYPE_2D)
        .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
        .usage(vk::ImageUsageFlags::SAMPLED)
        .push_next(&mut external)
        .push_next(&mut tiling);
    let mut of_memory = vk::ExternalImageFormatProperties::default();
    let mut answer = vk::ImageFormatProperties2::default().push_next(&mut of_memory);
    // SAFETY: the device has the extensions whose structures these are; all of it lives until the call returns.
    let asked = unsafe {
        vulkan.instance.get_physical_device_image_format_properties2(physical, &query, &mut answer)
    };
    asked.ok()?;
    let extent = answer.image_format_properties.max_extent;
    let features = of_memory.external_memory_properties.external_memory_features;
    features.contains(vk::ExternalMemoryFeatureFlags::IMPORTABLE).then_some(Importable {
        modifier: modifier.drm_format_modifier,
        planes: modifier.drm_format_modifier_plane_count,
        width_max: extent.width,
        height_max: extent.height,
    })
}
