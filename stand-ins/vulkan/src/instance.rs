//! The loader's way in, and instances: what a device can do is changed here.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::mem::transmute;
use std::sync::{Mutex, PoisonError};

use ash::vk::{self, Handle};

use crate::chain::{self, INTERFACE, Negotiation};
use crate::{NAME, device};

/// The next layer's functions for each instance.
static INSTANCES: Mutex<Option<HashMap<usize, Next>>> = Mutex::new(None);

/// An instance, and what comes behind this layer: found when the instance is made, since afterwards the loader's own way
/// leads through this layer again.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    pub(crate) instance: vk::Instance,
    functions: vk::PFN_vkGetInstanceProcAddr,
    destroy: vk::PFN_vkDestroyInstance,
    extensions: vk::PFN_vkEnumerateDeviceExtensionProperties,
    semaphores: vk::PFN_vkGetPhysicalDeviceExternalSemaphoreProperties,
}

impl Next {
    unsafe fn load(instance: vk::Instance, functions: vk::PFN_vkGetInstanceProcAddr) -> Option<Self> {
        type Any = unsafe extern "system" fn();
        // SAFETY: the instance lives; each type is the function's of its name.
        unsafe {
            let find = |name: &CStr| functions(instance, name.as_ptr());
            let semaphores = c"vkGetPhysicalDeviceExternalSemaphoreProperties";
            Some(Self {
                instance,
                functions,
                destroy: transmute::<Any, vk::PFN_vkDestroyInstance>(find(c"vkDestroyInstance")?),
                extensions: transmute::<Any, vk::PFN_vkEnumerateDeviceExtensionProperties>(find(
                    c"vkEnumerateDeviceExtensionProperties",
                )?),
                semaphores: transmute::<Any, vk::PFN_vkGetPhysicalDeviceExternalSemaphoreProperties>(find(
                    semaphores,
                )?),
            })
        }
    }

    /// Of the instance that a handle belongs to.
    ///
    /// # Safety
    /// The handle is of an instance or of a physical device.
    pub(crate) unsafe fn of(handle: u64) -> Option<Self> {
        // SAFETY: the caller's word.
        let key = unsafe { chain::key(handle) };
        INSTANCES.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&key).copied()
    }
}

/// What the loader asks first.
///
/// # Safety
/// `negotiation` is the loader's structure.
#[unsafe(no_mangle)]
unsafe extern "system" fn vkNegotiateLoaderLayerInterfaceVersion(
    negotiation: *mut Negotiation,
) -> vk::Result {
    // SAFETY: the caller's word.
    let negotiation = unsafe { &mut *negotiation };
    if negotiation.version < INTERFACE {
        return vk::Result::ERROR_INITIALIZATION_FAILED;
    }
    negotiation.version = INTERFACE;
    negotiation.instance_functions = function;
    negotiation.device_functions = device::function;
    negotiation.physical_functions = None;
    vk::Result::SUCCESS
}

/// This layer's functions, and the next one's.
unsafe extern "system" fn function(instance: vk::Instance, name: *const c_char) -> vk::PFN_vkVoidFunction {
    // SAFETY: the name ends with a zero; a function pointer is one word, whatever its type.
    unsafe {
        let own: usize = match CStr::from_ptr(name).to_bytes() {
            b"vkGetInstanceProcAddr" => function as vk::PFN_vkGetInstanceProcAddr as usize,
            b"vkCreateInstance" => create as vk::PFN_vkCreateInstance as usize,
            b"vkDestroyInstance" => destroy as vk::PFN_vkDestroyInstance as usize,
            b"vkCreateDevice" => device::create as vk::PFN_vkCreateDevice as usize,
            b"vkEnumerateDeviceExtensionProperties" => {
                extensions as vk::PFN_vkEnumerateDeviceExtensionProperties as usize
            }
            b"vkGetPhysicalDeviceExternalSemaphoreProperties"
            | b"vkGetPhysicalDeviceExternalSemaphorePropertiesKHR" => {
                semaphores as vk::PFN_vkGetPhysicalDeviceExternalSemaphoreProperties as usize
            }
            other => device::own(other),
        };
        if own != 0 {
            return transmute::<usize, vk::PFN_vkVoidFunction>(own);
        }
        let next = if instance.is_null() { None } else { Next::of(instance.as_raw()) };
        next.and_then(|next| (next.functions)(next.instance, name))
    }
}

unsafe extern "system" fn create(
    info: *const vk::InstanceCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    to: *mut vk::Instance,
) -> vk::Result {
    // SAFETY: the loader calls with what the application gave, and a link of its own.
    unsafe {
        let link = chain::take_link((*info).p_next, vk::StructureType::LOADER_INSTANCE_CREATE_INFO);
        let Some(link) = link else { return vk::Result::ERROR_INITIALIZATION_FAILED };
        let create = (link.instance_functions)(vk::Instance::null(), c"vkCreateInstance".as_ptr());
        let Some(create) = create else { return vk::Result::ERROR_INITIALIZATION_FAILED };
        let create = transmute::<unsafe extern "system" fn(), vk::PFN_vkCreateInstance>(create);
        let result = create(info, allocator, to);
        if result == vk::Result::SUCCESS {
            let Some(next) = Next::load(*to, link.instance_functions) else {
                return vk::Result::ERROR_INITIALIZATION_FAILED;
            };
            let mut instances = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
            instances.get_or_insert_default().insert(chain::key((*to).as_raw()), next);
        }
        result
    }
}

unsafe extern "system" fn destroy(instance: vk::Instance, allocator: *const vk::AllocationCallbacks<'_>) {
    if instance.is_null() {
        return;
    }
    // SAFETY: the instance is the application's, which ends it.
    unsafe {
        let key = chain::key(instance.as_raw());
        let next =
            INSTANCES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().remove(&key);
        if let Some(next) = next {
            (next.destroy)(instance, allocator);
        }
    }
}

/// The extension that this layer adds.
fn added() -> vk::ExtensionProperties {
    let mut added = vk::ExtensionProperties { spec_version: 1, ..Default::default() };
    let name = ash::khr::external_semaphore_fd::NAME.to_bytes();
    added.extension_name.iter_mut().zip(name).for_each(|(to, from)| *to = from.cast_signed());
    added
}

unsafe extern "system" fn extensions(
    physical: vk::PhysicalDevice,
    layer: *const c_char,
    count: *mut u32,
    to: *mut vk::ExtensionProperties,
) -> vk::Result {
    // SAFETY: the application's call; what is asked behind has room for all that it said it has.
    unsafe {
        let mut all = Vec::new();
        let is_ours = !layer.is_null() && CStr::from_ptr(layer).to_bytes() == NAME.as_bytes();
        if !is_ours {
            let Some(Next { extensions: ask, .. }) = Next::of(physical.as_raw()) else {
                return vk::Result::ERROR_INITIALIZATION_FAILED;
            };
            let mut behind = 0;
            let asked = ask(physical, layer, &raw mut behind, std::ptr::null_mut());
            if asked != vk::Result::SUCCESS {
                return asked;
            }
            all.resize(behind as usize, vk::ExtensionProperties::default());
            let asked = ask(physical, layer, &raw mut behind, all.as_mut_ptr());
            if asked != vk::Result::SUCCESS {
                return asked;
            }
            all.truncate(behind as usize);
        }
        let name = Ok(ash::khr::external_semaphore_fd::NAME);
        if (layer.is_null() || is_ours) && !all.iter().any(|it| it.extension_name_as_c_str() == name) {
            all.push(added());
        }
        let length = u32::try_from(all.len()).unwrap_or(u32::MAX);
        if to.is_null() {
            *count = length;
            return vk::Result::SUCCESS;
        }
        let room = (*count).min(length);
        std::ptr::copy_nonoverlapping(all.as_ptr(), to, room as usize);
        *count = room;
        if room < length { vk::Result::INCOMPLETE } else { vk::Result::SUCCESS }
    }
}

unsafe extern "system" fn semaphores(
    physical: vk::PhysicalDevice,
    info: *const vk::PhysicalDeviceExternalSemaphoreInfo<'_>,
    to: *mut vk::ExternalSemaphoreProperties<'_>,
) {
    // SAFETY: the application's call.
    unsafe {
        if let Some(next) = Next::of(physical.as_raw()) {
            (next.semaphores)(physical, info, to);
        }
        let kind = vk::StructureType::SEMAPHORE_TYPE_CREATE_INFO;
        let kind = chain::find::<vk::SemaphoreTypeCreateInfo<'_>>((*info).p_next, kind);
        let opaque = vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD;
        if (*info).handle_type == opaque
            && kind.is_some_and(|kind| kind.semaphore_type == vk::SemaphoreType::TIMELINE)
        {
            (*to).export_from_imported_handle_types = opaque;
            (*to).compatible_handle_types = opaque;
            (*to).external_semaphore_features =
                vk::ExternalSemaphoreFeatureFlags::EXPORTABLE | vk::ExternalSemaphoreFeatureFlags::IMPORTABLE;
        }
    }
}
