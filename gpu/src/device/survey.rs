//! Vulkan itself, and what its devices say of themselves.

use std::ffi::CStr;

use ash::vk;

use super::{Description, DrmNode, PciAddress, Uuid};
use crate::GpuError;
use crate::error::Link;

/// What this room stands on.
pub(crate) const VERSION: u32 = vk::API_VERSION_1_3;

/// The loader, and an instance of its.
pub(crate) struct Vulkan {
    /// Holds the library that `instance`'s calls are in.
    entry: ash::Entry,
    pub(crate) instance: ash::Instance,
}

impl Vulkan {
    pub(super) fn load() -> Result<Self, GpuError> {
        // SAFETY: the loader's own start is all that runs; it is Vulkan's by its file name.
        let entry = unsafe { ash::Entry::load() };
        let entry = entry.map_err(|error| GpuError::Loader { why: error.to_string() })?;
        let application = vk::ApplicationInfo::default().application_name(c"punktfunk").api_version(VERSION);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: what is pointed to lives until the call returns.
        match unsafe { entry.create_instance(&create, None) } {
            Ok(instance) => Ok(Self { entry, instance }),
            Err(vk::Result::ERROR_INCOMPATIBLE_DRIVER) => {
                Err(GpuError::Loader { why: "it finds no driver".to_owned() })
            }
            Err(code) => Err(GpuError::call(Link::Device, "vkCreateInstance")(code)),
        }
    }

    /// The devices, the most capable first.
    pub(super) fn devices(&self) -> Result<Vec<(vk::PhysicalDevice, Description)>, GpuError> {
        // SAFETY: the instance lives.
        let all = unsafe { self.instance.enumerate_physical_devices() };
        let all = all.map_err(GpuError::call(Link::Device, "vkEnumeratePhysicalDevices"))?;
        let mut devices = Vec::new();
        for physical in all {
            let (rank, description) = self.describe(physical)?;
            devices.push((rank, physical, description));
        }
        devices.sort_by_key(|(rank, ..)| *rank);
        Ok(devices.into_iter().map(|(_, physical, description)| (physical, description)).collect())
    }

    /// The extensions of a device.
    pub(super) fn extensions(
        &self,
        physical: vk::PhysicalDevice,
    ) -> Result<Vec<vk::ExtensionProperties>, GpuError> {
        // SAFETY: the device is of this instance.
        let extensions = unsafe { self.instance.enumerate_device_extension_properties(physical) };
        extensions.map_err(GpuError::call(Link::Device, "vkEnumerateDeviceExtensionProperties"))
    }

    /// What a device says of itself, and how capable its kind is, the best first.
    fn describe(&self, physical: vk::PhysicalDevice) -> Result<(u8, Description), GpuError> {
        let extensions = self.extensions(physical)?;
        let mut ids = vk::PhysicalDeviceIDProperties::default();
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut pci = vk::PhysicalDevicePCIBusInfoPropertiesEXT::default();
        let mut drm = vk::PhysicalDeviceDrmPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut ids);
        // SAFETY: the device is of this instance.
        let version = unsafe { self.instance.get_physical_device_properties(physical) }.api_version;
        if version >= vk::API_VERSION_1_2 {
            properties = properties.push_next(&mut driver);
        }
        if has(&extensions, ash::ext::pci_bus_info::NAME) {
            properties = properties.push_next(&mut pci);
        }
        if has(&extensions, ash::ext::physical_device_drm::NAME) {
            properties = properties.push_next(&mut drm);
        }
        // SAFETY: the chain is of structures that the device's version and extensions know, and lives until the call
        // returns.
        unsafe { self.instance.get_physical_device_properties2(physical, &mut properties) };
        let core = properties.properties;
        let words = |words: Result<&CStr, _>| {
            words.map_or_else(|_| String::new(), |it| it.to_string_lossy().into_owned())
        };
        let (rank, is_software) = match core.device_type {
            vk::PhysicalDeviceType::DISCRETE_GPU => (0, false),
            vk::PhysicalDeviceType::INTEGRATED_GPU => (1, false),
            vk::PhysicalDeviceType::VIRTUAL_GPU => (2, false),
            vk::PhysicalDeviceType::CPU => (4, true),
            _ => (3, false),
        };
        let number = |number: i64| u32::try_from(number).unwrap_or_default();
        let node = DrmNode { major: number(drm.render_major), minor: number(drm.render_minor) };
        let address = PciAddress {
            domain: pci.pci_domain,
            bus: pci.pci_bus,
            device: pci.pci_device,
            function: pci.pci_function,
        };
        let description = Description {
            name: words(core.device_name_as_c_str()),
            uuid: Uuid(ids.device_uuid),
            pci: has(&extensions, ash::ext::pci_bus_info::NAME).then_some(address),
            render_node: (drm.has_render == vk::TRUE).then_some(node),
            driver: format!(
                "{} {}",
                words(driver.driver_name_as_c_str()),
                words(driver.driver_info_as_c_str())
            ),
            vulkan: (vk::api_version_major(version), vk::api_version_minor(version)),
            is_software,
        };
        Ok((rank, description))
    }
}

impl Drop for Vulkan {
    fn drop(&mut self) {
        // SAFETY: whatever was made of the instance holds this, and has gone.
        unsafe { self.instance.destroy_instance(None) };
        // The library is closed behind it.
        let _ = &self.entry;
    }
}

/// Whether an extension is in a list.
pub(super) fn has(extensions: &[vk::ExtensionProperties], name: &CStr) -> bool {
    extensions.iter().any(|extension| extension.extension_name_as_c_str() == Ok(name))
}
