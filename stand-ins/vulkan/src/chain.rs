//! What the loader hands to a layer, and chains of structures (Khronos, "Loader and Layer Interface"; `vk_layer.h`).

#![allow(unsafe_code)]

use std::ffi::c_void;

use ash::vk;

/// `VkNegotiateLayerInterface`.
#[repr(C)]
pub(crate) struct Negotiation {
    pub(crate) kind: i32,
    pub(crate) next: *mut c_void,
    pub(crate) version: u32,
    pub(crate) instance_functions: vk::PFN_vkGetInstanceProcAddr,
    pub(crate) device_functions: vk::PFN_vkGetDeviceProcAddr,
    pub(crate) physical_functions: Option<vk::PFN_vkGetInstanceProcAddr>,
}

/// The version of the interface that is spoken.
pub(crate) const INTERFACE: u32 = 2;

/// `VkLayerInstanceCreateInfo` and `VkLayerDeviceCreateInfo`, where they are of a link: the next layer, or the driver.
#[repr(C)]
pub(crate) struct ChainLink {
    kind: vk::StructureType,
    next: *const c_void,
    function: i32,
    pub(crate) link: *mut Link,
}

/// `VkLayerInstanceLink` (the last one is of physical devices) and `VkLayerDeviceLink` (the last one is of devices).
#[repr(C)]
pub(crate) struct Link {
    pub(crate) next: *mut Link,
    pub(crate) instance_functions: vk::PFN_vkGetInstanceProcAddr,
    pub(crate) device_functions: vk::PFN_vkGetDeviceProcAddr,
}

/// `VK_LAYER_LINK_INFO`.
const LINK: i32 = 0;

/// Takes this layer's link out of a chain: the next one stands in its place from now on.
///
/// # Safety
/// `chain` is a chain of structures that the loader made.
pub(crate) unsafe fn take_link(chain: *const c_void, kind: vk::StructureType) -> Option<&'static Link> {
    let mut at = chain.cast_mut().cast::<ChainLink>();
    while !at.is_null() {
        // SAFETY: every structure of a chain begins with its kind and the next one; of this kind it is the loader's, which may
        // be written to, and whose link lives as long as what is made.
        unsafe {
            if (*at).kind == kind && (*at).function == LINK {
                let link = (*at).link;
                (*at).link = (*link).next;
                return Some(&*link);
            }
            at = (*at).next.cast_mut().cast();
        }
    }
    None
}

/// The structure of a kind in a chain.
///
/// # Safety
/// `chain` is a chain of structures, and `T` is the one of `kind`.
pub(crate) unsafe fn find<'a, T>(chain: *const c_void, kind: vk::StructureType) -> Option<&'a T> {
    let mut at = chain.cast::<vk::BaseInStructure<'_>>();
    while !at.is_null() {
        // SAFETY: every structure of a chain begins with its kind and the next one.
        unsafe {
            if (*at).s_type == kind {
                return Some(&*at.cast::<T>());
            }
            at = (*at).p_next;
        }
    }
    None
}

/// What the loader tells the things of one instance or device by: the first word of each.
///
/// # Safety
/// The handle is of an instance, a device, or a thing that is dispatched as one.
pub(crate) unsafe fn key(handle: u64) -> usize {
    // SAFETY: dispatchable handles are pointers to a pointer.
    unsafe { *(handle as usize as *const usize) }
}
