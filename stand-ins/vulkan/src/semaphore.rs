//! Timelines that are shared: each is a semaphore of the driver's and a file, and two threads that carry values across.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ash::vk::{self, Handle};
use stand_in_common::Timeline;

use crate::device::Functions;
use crate::{CONTROLS, chain};

/// How often a carrier looks whether it is still wanted.
const TURN: Duration = Duration::from_millis(20);

/// Every semaphore of this layer's, by its handle.
static SHARED: Mutex<Option<HashMap<u64, Shared>>> = Mutex::new(None);

/// A semaphore that was made to be shared, or into which another one was imported.
struct Shared {
    device: vk::Device,
    is_exportable: bool,
    file: Option<OwnedFd>,
    is_wanted: Arc<AtomicBool>,
    carriers: Vec<JoinHandle<()>>,
}

/// Calls a function with this layer's semaphores.
fn with<T>(call: impl FnOnce(&mut HashMap<u64, Shared>) -> T) -> T {
    call(SHARED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// What a call is to fail with, because a test wants it.
pub(crate) fn failure(call: &str) -> Option<vk::Result> {
    CONTROLS.failure(call).map(|code| vk::Result::from_raw(code.parse().unwrap_or(-13)))
}

fn breach(call: &str, what: &str) -> vk::Result {
    CONTROLS.breach(call, format_args!("{what}"));
    vk::Result::ERROR_VALIDATION_FAILED_EXT
}

pub(crate) unsafe extern "system" fn create(
    device: vk::Device,
    info: *const vk::SemaphoreCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    to: *mut vk::Semaphore,
) -> vk::Result {
    const CALL: &str = "vkCreateSemaphore";
    if let Some(code) = failure(CALL) {
        return code;
    }
    // SAFETY: the application's call.
    unsafe {
        let Some(functions) = Functions::of(device) else {
            return breach(CALL, "the device is none");
        };
        let export = vk::StructureType::EXPORT_SEMAPHORE_CREATE_INFO;
        let export = chain::find::<vk::ExportSemaphoreCreateInfo<'_>>((*info).p_next, export);
        let kind = vk::StructureType::SEMAPHORE_TYPE_CREATE_INFO;
        let kind = chain::find::<vk::SemaphoreTypeCreateInfo<'_>>((*info).p_next, kind);
        let types =
            export.map_or(vk::ExternalSemaphoreHandleTypeFlags::empty(), |export| export.handle_types);
        if types.is_empty() {
            return (functions.create_semaphore)(device, info, allocator, to);
        }
        // VUID-VkExportSemaphoreCreateInfo-handleTypes-01124.
        if types != vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD {
            return breach(CALL, "only opaque descriptors are said to be exportable");
        }
        let Some(kind) = kind.filter(|kind| kind.semaphore_type == vk::SemaphoreType::TIMELINE) else {
            return breach(CALL, "only timelines are said to be exportable");
        };
        // The driver hears of the timeline alone.
        let alone = vk::SemaphoreTypeCreateInfo { p_next: std::ptr::null(), ..*kind };
        let mut info = *info;
        info.p_next = (&raw const alone).cast();
        let result = (functions.create_semaphore)(device, &raw const info, allocator, to);
        if result == vk::Result::SUCCESS {
            with(|all| all.insert((*to).as_raw(), Shared::new(device, true)));
        }
        result
    }
}

impl Shared {
    fn new(device: vk::Device, is_exportable: bool) -> Self {
        let is_wanted = Arc::new(AtomicBool::new(true));
        Self { device, is_exportable, file: None, is_wanted, carriers: Vec::new() }
    }

    /// Lets its carriers end.
    fn end(self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        for carrier in self.carriers {
            if carrier.join().is_err() {
                CONTROLS.breach("vkDestroySemaphore", format_args!("a carrier of its values has failed"));
            }
        }
    }

    /// Begins to carry values between the semaphore and the file.
    fn carry(&mut self, functions: &Arc<Functions>, semaphore: vk::Semaphore, file: OwnedFd) -> Option<()> {
        let timeline = Arc::new(Timeline::map(file.as_fd()).ok()?);
        // SAFETY: the semaphore is a timeline of the device's.
        let value = unsafe { value(functions, semaphore) }?;
        if value > timeline.value() {
            let _ = timeline.signal(value);
        }
        for direction in [out_of_driver, into_driver] {
            let (functions, timeline) = (Arc::clone(functions), Arc::clone(&timeline));
            let is_wanted = Arc::clone(&self.is_wanted);
            self.carriers.push(thread::spawn(move || {
                while is_wanted.load(Ordering::Relaxed) {
                    // SAFETY: the semaphore is ended only when this thread is.
                    unsafe { direction(&functions, semaphore, &timeline) };
                }
            }));
        }
        self.file = Some(file);
        Some(())
    }
}

unsafe fn value(functions: &Functions, semaphore: vk::Semaphore) -> Option<u64> {
    let mut value = 0;
    // SAFETY: the caller's semaphore is a timeline of the device's.
    let result = unsafe { (functions.value)(functions.device, semaphore, &raw mut value) };
    (result == vk::Result::SUCCESS).then_some(value)
}

/// Carries a value that the device came to.
unsafe fn out_of_driver(functions: &Functions, semaphore: vk::Semaphore, timeline: &Timeline) {
    let (semaphores, values) = ([semaphore], [timeline.value() + 1]);
    let wait = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
    let nanoseconds = u64::try_from(TURN.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: as above; what is pointed to lives until the call returns.
    unsafe {
        if (functions.wait)(functions.device, &raw const wait, nanoseconds) == vk::Result::SUCCESS
            && let Some(value) = value(functions, semaphore)
        {
            // Another process may have been faster.
            let _ = timeline.signal(value);
        }
    }
}

/// Carries a value that another process, or another interface, came to.
unsafe fn into_driver(functions: &Functions, semaphore: vk::Semaphore, timeline: &Timeline) {
    // SAFETY: as above.
    unsafe {
        let had = value(functions, semaphore).unwrap_or(u64::MAX - 1);
        if !timeline.wait(had + 1, Some(Instant::now() + TURN)) {
            return;
        }
        let has = timeline.value();
        // The device itself may have come to it, and the other carrier told.
        if value(functions, semaphore).is_some_and(|value| value < has) {
            let signal = vk::SemaphoreSignalInfo::default().semaphore(semaphore).value(has);
            if (functions.signal)(functions.device, &raw const signal) != vk::Result::SUCCESS {
                CONTROLS.breach("vkSignalSemaphore", format_args!("the driver does not take {has}"));
            }
        }
    }
}

pub(crate) unsafe extern "system" fn destroy(
    device: vk::Device,
    semaphore: vk::Semaphore,
    allocator: *const vk::AllocationCallbacks<'_>,
) {
    if let Some(shared) = with(|all| all.remove(&semaphore.as_raw())) {
        shared.end();
    }
    // SAFETY: the application's call.
    if let Some(functions) = unsafe { Functions::of(device) } {
        // SAFETY: as above.
        unsafe { (functions.destroy_semaphore)(device, semaphore, allocator) };
    }
}

pub(crate) unsafe extern "system" fn export(
    device: vk::Device,
    info: *const vk::SemaphoreGetFdInfoKHR<'_>,
    to: *mut i32,
) -> vk::Result {
    const CALL: &str = "vkGetSemaphoreFdKHR";
    if let Some(code) = failure(CALL) {
        return code;
    }
    // SAFETY: the application's call.
    let (info, functions) = unsafe { (&*info, Functions::of(device)) };
    let Some(functions) = functions else { return breach(CALL, "the device is none") };
    // VUID-VkSemaphoreGetFdInfoKHR-handleType-01132.
    if info.handle_type != vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD {
        return breach(CALL, "the semaphore was made for another kind of descriptor");
    }
    with(|all| {
        let Some(shared) = all.get_mut(&info.semaphore.as_raw()).filter(|it| it.is_exportable) else {
            return breach(CALL, "the semaphore was not made to be exported");
        };
        if shared.device != device {
            return breach(CALL, "the semaphore is another device's");
        }
        if shared.file.is_none() {
            let begun =
                Timeline::create().ok().and_then(|file| shared.carry(&functions, info.semaphore, file));
            if begun.is_none() {
                return vk::Result::ERROR_TOO_MANY_OBJECTS;
            }
        }
        let Some(Ok(file)) = shared.file.as_ref().map(OwnedFd::try_clone) else {
            return vk::Result::ERROR_TOO_MANY_OBJECTS;
        };
        // SAFETY: there is room for a descriptor.
        unsafe { *to = file.into_raw_fd() };
        vk::Result::SUCCESS
    })
}

pub(crate) unsafe extern "system" fn import(
    device: vk::Device,
    info: *const vk::ImportSemaphoreFdInfoKHR<'_>,
) -> vk::Result {
    const CALL: &str = "vkImportSemaphoreFdKHR";
    if let Some(code) = failure(CALL) {
        return code;
    }
    // SAFETY: the application's call.
    let (info, functions) = unsafe { (&*info, Functions::of(device)) };
    let Some(functions) = functions else { return breach(CALL, "the device is none") };
    if info.handle_type != vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD {
        return breach(CALL, "only opaque descriptors are said to be importable");
    }
    // VUID-VkImportSemaphoreFdInfoKHR-flags-03323.
    if info.flags.contains(vk::SemaphoreImportFlags::TEMPORARY) {
        return breach(CALL, "a timeline is imported for good");
    }
    // SAFETY: the application hands the descriptor over; it is given back if the call fails.
    let file = unsafe { OwnedFd::from_raw_fd(info.fd) };
    let given_back = |file: OwnedFd| file.into_raw_fd();
    // SAFETY: the semaphore is the application's.
    if Timeline::map(file.as_fd()).is_err() || unsafe { value(&functions, info.semaphore) }.is_none() {
        given_back(file);
        let _ = breach(CALL, "the descriptor, or the semaphore, is of no timeline");
        return vk::Result::ERROR_INVALID_EXTERNAL_HANDLE;
    }
    with(|all| {
        let shared = all.entry(info.semaphore.as_raw()).or_insert_with(|| Shared::new(device, false));
        if shared.file.is_some() {
            given_back(file);
            return breach(CALL, "the semaphore is shared already, which this layer does not undo");
        }
        match shared.carry(&functions, info.semaphore, file) {
            Some(()) => vk::Result::SUCCESS,
            None => vk::Result::ERROR_INVALID_EXTERNAL_HANDLE,
        }
    })
}

/// Looks whether a device leaves shared semaphores behind (VUID-vkDestroyDevice-device-05137), and lets their carriers end.
pub(crate) fn check_none_of(device: vk::Device) {
    let left: Vec<Shared> =
        with(|all| all.extract_if(|_, shared| shared.device == device).map(|(_, shared)| shared).collect());
    if !left.is_empty() {
        CONTROLS.breach("vkDestroyDevice", format_args!("{} shared semaphores are left", left.len()));
    }
    left.into_iter().for_each(Shared::end);
}
