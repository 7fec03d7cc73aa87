//! GPUs: which there are, which one is meant, and one of them opened.
//!
//! Promises: what a device can do is probed once, at opening ([`Caps`]); where it cannot do something that has a way down,
//! that is said once and kept there. A GPU that is none, Vulkan on the CPU, is opened only when it is asked for or when there is no
//! other, which is said. Refuses: drivers older than Vulkan 1.3, and devices that cannot hand memory on by a file descriptor.

mod names;
mod open;
mod survey;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ash::vk;

pub(crate) use open::vulkan_format;

pub use names::{Choice, DrmNode, PciAddress, Uuid};

use crate::GpuError;
use crate::error::Link;
use crate::format::Fourcc;

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name, for people.
    pub name: String,
    /// What CUDA knows it by too.
    pub uuid: Uuid,
    /// Where it is on the bus, if it is on one and its driver says so.
    pub pci: Option<PciAddress>,
    /// Its render node, if it has one and its driver says so.
    pub render_node: Option<DrmNode>,
    /// Its driver and that one's version, for people.
    pub driver: String,
    /// The version of Vulkan that it has: major, minor.
    pub vulkan: (u32, u32),
    /// Whether it is the CPU.
    pub is_software: bool,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uuid {}", self.name, self.uuid)?;
        if let Some(pci) = self.pci {
            write!(f, ", PCI {pci}")?;
        }
        write!(f, ", {})", self.driver)
    }
}

/// How far ahead of others' work ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Before that of desktops and games.
    High,
    /// The same: the system allows no more, which takes `CAP_SYS_NICE` with most drivers.
    Refused,
    /// The same: the driver knows no priorities.
    Unknown,
}

/// What a device can do, beyond what every opened one can.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Caps {
    /// It imports dmabufs as images, by their modifiers.
    pub imports_dmabufs: bool,
    /// It knows that a dmabuf may come from another driver (`VK_EXT_queue_family_foreign`).
    pub knows_foreign: bool,
    /// It reads pages of this process in place, from addresses that are multiples of this.
    pub host_pages: Option<u64>,
    /// Its timeline semaphores can be shared by a file descriptor.
    pub shares_timelines: bool,
    /// It waits for a sync_file by itself.
    pub waits_for_sync_files: bool,
    /// It makes a sync_file of its own work.
    pub makes_sync_files: bool,
    /// How far ahead of others' work ours is.
    pub priority: Priority,
    /// Nanoseconds of one tick of its clock, if it stamps our work.
    pub timestamps: Option<f32>,
}

/// A modifier that images of a format can be imported with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Importable {
    pub(crate) modifier: u64,
    pub(crate) planes: u32,
    pub(crate) width_max: u32,
    pub(crate) height_max: u32,
}

/// An opened device. A copy is the same one; it is closed with the last.
#[derive(Debug, Clone)]
pub struct Device {
    pub(crate) shared: Arc<Shared>,
}

impl Device {
    /// Every device of this machine that has Vulkan, whether it can be opened or not.
    ///
    /// # Errors
    /// [`GpuError::Loader`] where there is no Vulkan, [`GpuError::Call`] where it does not start.
    pub fn all() -> Result<Vec<Description>, GpuError> {
        let vulkan = survey::Vulkan::load()?;
        Ok(vulkan.devices()?.into_iter().map(|(_, description)| description).collect())
    }

    /// Opens the device that is meant.
    ///
    /// # Errors
    /// [`GpuError::Loader`], [`GpuError::NoDevice`] with what there is, [`GpuError::Missing`] with what the driver lacks.
    pub fn open(choice: &Choice) -> Result<Self, GpuError> {
        let vulkan = survey::Vulkan::load()?;
        let devices = vulkan.devices()?;
        let descriptions: Vec<&Description> = devices.iter().map(|(_, description)| description).collect();
        let Some(index) = choice.pick(&descriptions) else {
            let found = descriptions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let found = if found.is_empty() { "none".to_owned() } else { found };
            return Err(GpuError::NoDevice { wanted: choice.to_string(), found });
        };
        let (physical, description) = devices.into_iter().nth(index).expect("the index is of this list");
        if description.is_software && *choice == Choice::Automatic {
            tracing::warn!(device = description.name, "there is no GPU with Vulkan; its work is the CPU's");
        }
        let shared = open::open(vulkan, physical, description)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What it is.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.shared.description
    }

    /// What CUDA knows it by too.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.shared.description.uuid
    }

    /// Where it is on the bus.
    #[must_use]
    pub fn pci(&self) -> Option<PciAddress> {
        self.shared.description.pci
    }

    /// What it can do.
    #[must_use]
    pub fn caps(&self) -> Caps {
        self.shared.caps
    }

    /// Importers that went while the GPU was at work for them and did not come to an end: what they had is left to it.
    #[must_use]
    pub fn left_behind(&self) -> u64 {
        self.shared.left_behind.load(Ordering::Relaxed)
    }

    /// The formats in which it imports dmabufs, each with its modifiers; empty where it imports none. What a producer is
    /// to choose from.
    #[must_use]
    pub fn import_formats(&self) -> Vec<(u32, Vec<u64>)> {
        let formats = self.shared.importable.iter();
        formats.map(|(fourcc, list)| (fourcc.0, list.iter().map(|it| it.modifier).collect())).collect()
    }
}

/// What all of a device's objects stand on; they hold it, so that it goes last.
pub(crate) struct Shared {
    pub(crate) description: Description,
    pub(crate) caps: Caps,
    pub(crate) importable: Vec<(Fourcc, Vec<Importable>)>,
    pub(crate) device: ash::Device,
    pub(crate) family: u32,
    /// Whoever begins work holds it: importers of one device may be on several threads.
    pub(crate) queue: Mutex<vk::Queue>,
    pub(crate) memory: vk::PhysicalDeviceMemoryProperties,
    /// Bytes that a shader can be given at once.
    pub(crate) storage_bytes_max: u64,
    pub(crate) extensions: open::Extensions,
    /// Importers whose work it did not end.
    pub(crate) left_behind: AtomicU64,
    /// What the device is of: the last to go.
    vulkan: survey::Vulkan,
}

impl Shared {
    /// A type of memory out of `allowed` (a bit for each) that has `wanted`, and best `liked` too.
    pub(crate) fn memory_type(
        &self,
        allowed: u32,
        wanted: vk::MemoryPropertyFlags,
        liked: vk::MemoryPropertyFlags,
    ) -> Option<u32> {
        memory_type(&self.memory, allowed, wanted, liked)
    }

    /// What the device is of.
    pub(crate) fn instance(&self) -> &ash::Instance {
        &self.vulkan.instance
    }

    /// Begins work.
    pub(crate) fn submit(&self, work: &vk::SubmitInfo2<'_>, link: Link) -> Result<(), GpuError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the queue is held; what the work names is the caller's, who keeps it until the work is over.
        unsafe { self.device.queue_submit2(*queue, std::slice::from_ref(work), vk::Fence::null()) }
            .map_err(GpuError::call(link, "vkQueueSubmit2"))
    }
}

/// A type out of `memory`, as [`Shared::memory_type`].
pub(crate) fn memory_type(
    memory: &vk::PhysicalDeviceMemoryProperties,
    allowed: u32,
    wanted: vk::MemoryPropertyFlags,
    liked: vk::MemoryPropertyFlags,
) -> Option<u32> {
    let types = &memory.memory_types[..memory.memory_type_count as usize];
    let find = |flags: vk::MemoryPropertyFlags| {
        (0_u32..)
            .zip(types)
            .find(|(index, it)| allowed >> index & 1 == 1 && it.property_flags.contains(flags))
    };
    find(wanted | liked).or_else(|| find(wanted)).map(|(index, _)| index)
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("description", &self.description).field("caps", &self.caps).finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: every object of the device holds this, so that none is left; nothing is under way, since they wait for
        // their own work. A lost device's refusal to wait is no reason not to end it.
        unsafe {
            let _ = self.device.device_wait_idle();
            self.device.destroy_device(None);
        }
    }
}
