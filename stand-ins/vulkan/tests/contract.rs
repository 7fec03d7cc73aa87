//! The layer on lavapipe: what it lets be shared, and what it holds against who shares it wrongly.

#![allow(unsafe_code, clippy::unwrap_used)]

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use ash::{khr, vk};
use stand_in_common::{Loaded, Timeline};

/// lavapipe with the layer in it, and a device that shares timelines.
struct Vulkan {
    _folder: tempfile::TempDir,
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    share: khr::external_semaphore_fd::Device,
}

impl Vulkan {
    fn begin() -> (Loaded, Self) {
        let loaded = Loaded::new(&["stand-in-vulkan"]);
        let folder = tempfile::tempdir().unwrap();
        stand_in_vulkan::lay(folder.path(), &stand_in_common::library("stand-in-vulkan")).unwrap();
        let manifest =
            std::fs::read_dir("/usr/share/vulkan/icd.d").unwrap().map(|entry| entry.unwrap().path());
        let lavapipe = |path: &std::path::PathBuf| path.to_string_lossy().contains("/lvp_icd");
        let manifest = { manifest }.find(lavapipe).expect("lavapipe is installed (mesa-vulkan-drivers)");
        // SAFETY: the tests of this program have their turn one after the other, and the loader is the one reader.
        unsafe {
            std::env::set_var("VK_ICD_FILENAMES", &manifest);
            std::env::set_var("VK_DRIVER_FILES", &manifest);
            std::env::set_var("VK_LAYER_PATH", folder.path());
            std::env::set_var("VK_INSTANCE_LAYERS", stand_in_vulkan::NAME);
        }
        // SAFETY: what is pointed to lives until each call returns; the extension is the layer's.
        unsafe {
            let entry = ash::Entry::load().unwrap();
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None).unwrap();
            let physical = instance.enumerate_physical_devices().unwrap()[0];
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let names = [khr::external_semaphore_fd::NAME.as_ptr()];
            let mut timelines =
                vk::PhysicalDeviceTimelineSemaphoreFeatures::default().timeline_semaphore(true);
            let create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&names)
                .push_next(&mut timelines);
            let device = instance.create_device(physical, &create, None).unwrap();
            let share = khr::external_semaphore_fd::Device::new(&instance, &device);
            (loaded, Self { _folder: folder, _entry: entry, instance, device, share })
        }
    }

    fn semaphore(
        &self,
        kind: vk::SemaphoreType,
        exported: vk::ExternalSemaphoreHandleTypeFlags,
    ) -> Result<vk::Semaphore, vk::Result> {
        let mut kind = vk::SemaphoreTypeCreateInfo::default().semaphore_type(kind);
        let mut export = vk::ExportSemaphoreCreateInfo::default().handle_types(exported);
        let create = vk::SemaphoreCreateInfo::default().push_next(&mut kind).push_next(&mut export);
        // SAFETY: what is pointed to lives until the call returns.
        unsafe { self.device.create_semaphore(&create, None) }
    }

    fn timeline(&self, exported: vk::ExternalSemaphoreHandleTypeFlags) -> vk::Semaphore {
        self.semaphore(vk::SemaphoreType::TIMELINE, exported).unwrap()
    }

    fn export(&self, semaphore: vk::Semaphore) -> Result<OwnedFd, vk::Result> {
        let query = vk::SemaphoreGetFdInfoKHR::default().semaphore(semaphore).handle_type(OPAQUE);
        // SAFETY: the descriptor is new.
        unsafe { self.share.get_semaphore_fd(&query).map(|fd| OwnedFd::from_raw_fd(fd)) }
    }

    fn import(&self, semaphore: vk::Semaphore, fd: OwnedFd) -> Result<(), vk::Result> {
        let fd = fd.into_raw_fd();
        let import = vk::ImportSemaphoreFdInfoKHR::default().semaphore(semaphore).handle_type(OPAQUE).fd(fd);
        // SAFETY: the descriptor becomes the layer's if the call succeeds, and is closed here otherwise.
        unsafe { self.share.import_semaphore_fd(&import).inspect_err(|_| drop(OwnedFd::from_raw_fd(fd))) }
    }

    fn signal(&self, semaphore: vk::Semaphore, value: u64) {
        let signal = vk::SemaphoreSignalInfo::default().semaphore(semaphore).value(value);
        // SAFETY: the semaphore is a timeline.
        unsafe { self.device.signal_semaphore(&signal).unwrap() };
    }

    fn wait(&self, semaphore: vk::Semaphore, value: u64) -> bool {
        let (semaphores, values) = ([semaphore], [value]);
        let wait = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        // SAFETY: as above.
        unsafe { self.device.wait_semaphores(&wait, 10_000_000_000).is_ok() }
    }

    /// Ends some semaphores, and all else.
    fn end(self, semaphores: &[vk::Semaphore]) {
        // SAFETY: nothing uses them any more.
        unsafe {
            semaphores.iter().for_each(|semaphore| self.device.destroy_semaphore(*semaphore, None));
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

const OPAQUE: vk::ExternalSemaphoreHandleTypeFlags = vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD;
const NONE: vk::ExternalSemaphoreHandleTypeFlags = vk::ExternalSemaphoreHandleTypeFlags::empty();

#[test]
fn values_go_both_ways_and_through_an_import() {
    let (loaded, vulkan) = Vulkan::begin();
    let (shared, other) = (vulkan.timeline(OPAQUE), vulkan.timeline(NONE));
    vulkan.signal(shared, 3);
    let fd = vulkan.export(shared).unwrap();
    let outside = Timeline::map(&fd).unwrap();
    assert_eq!(outside.value(), 3, "what it had come to before");
    let soon = || Some(Instant::now() + Duration::from_secs(10));
    vulkan.signal(shared, 5);
    assert!(outside.wait(5, soon()));
    outside.signal(8).unwrap();
    assert!(vulkan.wait(shared, 8));
    vulkan.import(other, fd).unwrap();
    assert!(vulkan.wait(other, 8));
    vulkan.signal(other, 9);
    assert!(vulkan.wait(shared, 9) && outside.wait(9, soon()));
    vulkan.end(&[shared, other]);
    assert_eq!(loaded.breaches(), 0);
}

#[test]
fn each_breach_is_counted_and_fails_the_call() {
    let (loaded, vulkan) = Vulkan::begin();
    let (plain, shared) = (vulkan.timeline(NONE), vulkan.timeline(OPAQUE));
    assert!(vulkan.export(plain).is_err(), "it was not made for it");
    assert!(vulkan.semaphore(vk::SemaphoreType::BINARY, OPAQUE).is_err());
    let sync_file = vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD;
    assert!(vulkan.semaphore(vk::SemaphoreType::TIMELINE, sync_file).is_err());
    assert!(vulkan.import(plain, std::fs::File::open("/dev/null").unwrap().into()).is_err());
    let fd = vulkan.export(shared).unwrap();
    assert!(vulkan.import(shared, fd).is_err(), "it is shared already");
    assert_eq!(loaded.breaches(), 5);
    // What is left behind is the sixth.
    vulkan.end(&[plain]);
    assert_eq!(loaded.breaches(), 6);
}

#[test]
fn calls_fail_on_request() {
    let (loaded, vulkan) = Vulkan::begin();
    let shared = vulkan.timeline(OPAQUE);
    loaded.fail("vkGetSemaphoreFdKHR=-10,vkCreateSemaphore:2=-1");
    assert_eq!(vulkan.export(shared).unwrap_err(), vk::Result::ERROR_TOO_MANY_OBJECTS);
    let other = vulkan.timeline(NONE);
    let refused = vulkan.semaphore(vk::SemaphoreType::TIMELINE, OPAQUE);
    assert_eq!(refused.unwrap_err(), vk::Result::ERROR_OUT_OF_HOST_MEMORY);
    loaded.fail("");
    vulkan.end(&[shared, other]);
    assert_eq!(loaded.breaches(), 0);
}
