//! Devices: their functions behind this layer, and the extension that it takes upon itself.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::mem::transmute;
use std::sync::{Arc, Mutex, PoisonError};

use ash::vk::{self, Handle};

use crate::instance::Next;
use crate::{chain, semaphore};

/// The functions of each device.
static DEVICES: Mutex<Option<HashMap<usize, Arc<Functions>>>> = Mutex::new(None);

/// A device, and what is called behind this layer.
pub(crate) struct Functions {
    pub(crate) device: vk::Device,
    find: vk::PFN_vkGetDeviceProcAddr,
    destroy: vk::PFN_vkDestroyDevice,
    pub(crate) create_semaphore: vk::PFN_vkCreateSemaphore,
    pub(crate) destroy_semaphore: vk::PFN_vkDestroySemaphore,
    pub(crate) value: vk::PFN_vkGetSemaphoreCounterValue,
    pub(crate) wait: vk::PFN_vkWaitSemaphores,
    pub(crate) signal: vk::PFN_vkSignalSemaphore,
    /// None before Vulkan 1.3.
    submit: Option<vk::PFN_vkQueueSubmit2>,
}

impl Functions {
    unsafe fn load(device: vk::Device, find: vk::PFN_vkGetDeviceProcAddr) -> Option<Self> {
        // SAFETY: each type is the function's of its name.
        unsafe {
            let function = |name: &CStr| find(device, name.as_ptr());
            Some(Self {
                device,
                find,
                destroy: transmute::<unsafe extern "system" fn(), vk::PFN_vkDestroyDevice>(function(
                    c"vkDestroyDevice",
                )?),
                create_semaphore: transmute::<unsafe extern "system" fn(), vk::PFN_vkCreateSemaphore>(
                    function(c"vkCreateSemaphore")?,
                ),
                destroy_semaphore: transmute::<unsafe extern "system" fn(), vk::PFN_vkDestroySemaphore>(
                    function(c"vkDestroySemaphore")?,
                ),
                value: transmute::<unsafe extern "system" fn(), vk::PFN_vkGetSemaphoreCounterValue>(
                    function(c"vkGetSemaphoreCounterValue")?,
                ),
                wait: transmute::<unsafe extern "system" fn(), vk::PFN_vkWaitSemaphores>(function(
                    c"vkWaitSemaphores",
                )?),
                signal: transmute::<unsafe extern "system" fn(), vk::PFN_vkSignalSemaphore>(function(
                    c"vkSignalSemaphore",
                )?),
                submit: function(c"vkQueueSubmit2")
                    .map(|submit| transmute::<unsafe extern "system" fn(), vk::PFN_vkQueueSubmit2>(submit)),
            })
        }
    }

    /// Of a device.
    ///
    /// # Safety
    /// The handle is of a device.
    pub(crate) unsafe fn of(device: vk::Device) -> Option<Arc<Self>> {
        // SAFETY: the caller's word.
        unsafe { Self::of_its(device.as_raw()) }
    }

    /// Of the device that a handle is of: its own, or a queue's, which the loader gives the same table.
    ///
    /// # Safety
    /// The handle is of one of these.
    unsafe fn of_its(handle: u64) -> Option<Arc<Self>> {
        // SAFETY: the caller's word.
        let key = unsafe { chain::key(handle) };
        DEVICES.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&key).cloned()
    }
}

/// The address of a function of a device's that this layer has, or 0.
pub(crate) fn own(name: &[u8]) -> usize {
    match name {
        b"vkGetDeviceProcAddr" => function as vk::PFN_vkGetDeviceProcAddr as usize,
        b"vkDestroyDevice" => destroy as vk::PFN_vkDestroyDevice as usize,
        b"vkCreateSemaphore" => semaphore::create as vk::PFN_vkCreateSemaphore as usize,
        b"vkDestroySemaphore" => semaphore::destroy as vk::PFN_vkDestroySemaphore as usize,
        b"vkGetSemaphoreFdKHR" => semaphore::export as vk::PFN_vkGetSemaphoreFdKHR as usize,
        b"vkImportSemaphoreFdKHR" => semaphore::import as vk::PFN_vkImportSemaphoreFdKHR as usize,
        b"vkQueueSubmit2" => submit as vk::PFN_vkQueueSubmit2 as usize,
        _ => 0,
    }
}

/// Passed on, unless a test wants it to fail: a device that is lost says so here.
unsafe extern "system" fn submit(
    queue: vk::Queue,
    count: u32,
    work: *const vk::SubmitInfo2<'_>,
    fence: vk::Fence,
) -> vk::Result {
    if let Some(code) = semaphore::failure("vkQueueSubmit2") {
        return code;
    }
    // SAFETY: the application's call.
    unsafe {
        match Functions::of_its(queue.as_raw()).and_then(|functions| functions.submit) {
            Some(submit) => submit(queue, count, work, fence),
            None => vk::Result::ERROR_INITIALIZATION_FAILED,
        }
    }
}

pub(crate) unsafe extern "system" fn function(
    device: vk::Device,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    // SAFETY: the name ends with a zero; a function pointer is one word, whatever its type.
    unsafe {
        let own = own(CStr::from_ptr(name).to_bytes());
        if own != 0 {
            return transmute::<usize, vk::PFN_vkVoidFunction>(own);
        }
        Functions::of(device).and_then(|functions| (functions.find)(device, name))
    }
}

pub(crate) unsafe extern "system" fn create(
    physical: vk::PhysicalDevice,
    info: *const vk::DeviceCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    to: *mut vk::Device,
) -> vk::Result {
    // SAFETY: the loader calls with what the application gave, and a link of its own.
    unsafe {
        let failed = vk::Result::ERROR_INITIALIZATION_FAILED;
        let link = chain::take_link((*info).p_next, vk::StructureType::LOADER_DEVICE_CREATE_INFO);
        let instance = Next::of(physical.as_raw()).map_or(vk::Instance::null(), |next| next.instance);
        let create = link.and_then(|link| (link.instance_functions)(instance, c"vkCreateDevice".as_ptr()));
        let (Some(link), Some(create)) = (link, create) else { return failed };
        let create = transmute::<unsafe extern "system" fn(), vk::PFN_vkCreateDevice>(create);
        // What comes behind does not know the extension.
        let mut info = *info;
        let names = std::slice::from_raw_parts(
            info.pp_enabled_extension_names,
            info.enabled_extension_count as usize,
        );
        let is_ours = |name: &*const c_char| CStr::from_ptr(*name) == ash::khr::external_semaphore_fd::NAME;
        let passed_on: Vec<_> = names.iter().copied().filter(|name| !is_ours(name)).collect();
        info.pp_enabled_extension_names = passed_on.as_ptr();
        info.enabled_extension_count = u32::try_from(passed_on.len()).unwrap_or(0);
        let result = create(physical, &raw const info, allocator, to);
        if result != vk::Result::SUCCESS {
            return result;
        }
        let Some(functions) = Functions::load(*to, link.device_functions) else { return failed };
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        devices.get_or_insert_default().insert(chain::key((*to).as_raw()), Arc::new(functions));
        result
    }
}

unsafe extern "system" fn destroy(device: vk::Device, allocator: *const vk::AllocationCallbacks<'_>) {
    if device.is_null() {
        return;
    }
    // SAFETY: the device is the application's, which ends it.
    unsafe {
        let key = chain::key(device.as_raw());
        let functions =
            DEVICES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().remove(&key);
        if let Some(functions) = functions {
            semaphore::check_none_of(device);
            (functions.destroy)(device, allocator);
        }
    }
}
