//! Each rule of the driver's contract is broken once: the call fails with the driver's code, and the breach is counted.

#![allow(unsafe_code, clippy::unwrap_used, non_snake_case)]

mod common;

use std::ffi::c_void;
use std::ptr;

use common::loaded;
use cudarc::driver::sys::{CUDA_MEMCPY2D, CUmemorytype};
use stand_in_common::{Loaded, Timeline};

const INVALID_VALUE: i32 = 1;
const INVALID_CONTEXT: i32 = 201;
const INVALID_HANDLE: i32 = 400;
const NOT_PERMITTED: i32 = 800;

/// Calls a function of the stand-in's by its name, with numbers and pointers as they are.
macro_rules! raw {
    ($loaded:expr, $name:ident($($argument:expr => $type:ty),*)) => {{
        type Function = unsafe extern "C" fn($($type),*) -> i32;
        // SAFETY: the types are those of the driver's function, and the pointers are good for the call.
        unsafe { $loaded.libraries()[0].get::<Function>(stringify!($name)).unwrap()($($argument),*) }
    }};
}

/// A driver that is begun, with a context current and a stream.
struct Begun {
    loaded: Loaded,
    context: usize,
    stream: usize,
}

impl Begun {
    fn new() -> Self {
        let loaded = loaded();
        let (mut context, mut stream) = (0, 0);
        assert_eq!(raw!(loaded, cuInit(0 => u32)), 0);
        assert_eq!(raw!(loaded, cuDevicePrimaryCtxRetain(&raw mut context => *mut usize, 0 => i32)), 0);
        assert_eq!(raw!(loaded, cuCtxPushCurrent_v2(context => usize)), 0);
        let made =
            raw!(loaded, cuStreamCreateWithPriority(&raw mut stream => *mut usize, 1 => u32, 0 => i32));
        assert_eq!(made, 0);
        Self { loaded, context, stream }
    }

    fn alloc(&self, bytes: usize) -> u64 {
        let mut pointer = 0;
        assert_eq!(raw!(self.loaded, cuMemAlloc_v2(&raw mut pointer => *mut u64, bytes => usize)), 0);
        pointer
    }

    fn free(&self, pointer: u64) -> i32 {
        raw!(self.loaded, cuMemFree_v2(pointer => u64))
    }

    fn copy(&self, from: u64, to: u64, (width, rows, pitch): (usize, usize, usize)) -> i32 {
        let desc = CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: ptr::null(),
            srcDevice: from,
            srcArray: ptr::null_mut(),
            srcPitch: pitch,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: ptr::null_mut(),
            dstDevice: to,
            dstArray: ptr::null_mut(),
            dstPitch: pitch,
            WidthInBytes: width,
            Height: rows,
        };
        raw!(self.loaded, cuMemcpy2DAsync_v2(&raw const desc => *const CUDA_MEMCPY2D, self.stream => usize))
    }

    fn wait(&self) -> i32 {
        raw!(self.loaded, cuStreamSynchronize(self.stream => usize))
    }

    /// Lets the stream and the context go.
    fn end(&self) -> i32 {
        assert_eq!(raw!(self.loaded, cuStreamDestroy_v2(self.stream => usize)), 0);
        raw!(self.loaded, cuDevicePrimaryCtxRelease_v2(0 => i32))
    }

    fn breaches(&self) -> u64 {
        self.loaded.breaches()
    }
}

#[test]
fn memory_is_freed_once_and_only_what_was_given() {
    let it = Begun::new();
    let pointer = it.alloc(100);
    assert_eq!(it.free(pointer + 1), INVALID_VALUE);
    assert_eq!(it.free(pointer), 0);
    assert_eq!(it.free(pointer), INVALID_VALUE, "twice");
    assert_eq!(raw!(it.loaded, cuMemFreeHost(pointer as usize => usize)), INVALID_VALUE);
    assert_eq!(it.breaches(), 3);
    assert_eq!(it.end(), 0);
    assert_eq!(it.breaches(), 3, "nothing was left behind");
}

#[test]
fn copies_stay_within_allocations_and_rows() {
    let it = Begun::new();
    let (from, to) = (it.alloc(1000), it.alloc(1000));
    assert_eq!(it.copy(from, to, (100, 10, 100)), 0);
    assert_eq!(it.copy(from, to, (100, 10, 101)), INVALID_VALUE, "beyond the end");
    assert_eq!(it.copy(from, to, (100, 10, 99)), INVALID_VALUE, "rows that overlap");
    assert_eq!(it.copy(from + 1, to, (100, 10, 100)), INVALID_VALUE);
    assert_eq!(it.breaches(), 3);
    assert_eq!(it.wait(), 0);
    assert_eq!((it.free(from), it.free(to)), (0, 0));
    assert_eq!(it.copy(from, to, (100, 10, 100)), INVALID_VALUE, "after the end");
    assert_eq!(it.end(), 0);
    assert_eq!(it.breaches(), 4);
}

#[test]
fn memory_that_goes_under_a_copy_is_noticed() {
    let it = Begun::new();
    let (from, to) = (it.alloc(1000), it.alloc(1000));
    let gate = Gate::new(&it);
    gate.hold(&it);
    assert_eq!(it.copy(from, to, (100, 10, 100)), 0);
    assert_eq!(it.free(from), 0);
    gate.open();
    assert_eq!(it.wait(), 700, "an illegal address ends the context");
    assert_eq!(it.breaches(), 1);
    assert_eq!(it.free(to), 700);
}

/// A semaphore that a stream waits for.
struct Gate {
    timeline: Timeline,
    raw: usize,
}

impl Gate {
    fn new(it: &Begun) -> Self {
        use cudarc::driver::sys::*;
        use std::os::fd::IntoRawFd;
        let fd = Timeline::create().unwrap();
        let timeline = Timeline::map(&fd).unwrap();
        let desc = CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC {
            type_: CUexternalSemaphoreHandleType::CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD,
            handle: CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC_st__bindgen_ty_1 { fd: fd.into_raw_fd() },
            flags: 0,
            reserved: [0; 16],
        };
        let mut raw = 0_usize;
        let imported = raw!(it.loaded, cuImportExternalSemaphore(
            &raw mut raw => *mut usize, &raw const desc => *const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC));
        assert_eq!(imported, 0);
        Self { timeline, raw }
    }

    fn hold(&self, it: &Begun) {
        // SAFETY: zeros are right for numbers and unused pointers.
        let mut params: cudarc::driver::sys::CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS =
            unsafe { std::mem::zeroed() };
        params.params.fence.value = 1;
        let params = (&raw const params).cast::<c_void>();
        let waited = raw!(it.loaded, cuWaitExternalSemaphoresAsync(
            &raw const self.raw => *const usize, params => *const c_void, 1 => u32, it.stream => usize));
        assert_eq!(waited, 0);
    }

    fn signal(&self, it: &Begun, value: u64) -> i32 {
        // SAFETY: as above.
        let mut params: cudarc::driver::sys::CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS =
            unsafe { std::mem::zeroed() };
        params.params.fence.value = value;
        let params = (&raw const params).cast::<c_void>();
        raw!(it.loaded, cuSignalExternalSemaphoresAsync(
            &raw const self.raw => *const usize, params => *const c_void, 1 => u32, it.stream => usize))
    }

    fn destroy(&self, it: &Begun) -> i32 {
        raw!(it.loaded, cuDestroyExternalSemaphore(self.raw => usize))
    }

    fn open(&self) {
        self.timeline.signal(1).unwrap();
    }
}

#[test]
fn a_semaphore_grows_and_goes_when_nobody_waits() {
    let it = Begun::new();
    let gate = Gate::new(&it);
    gate.hold(&it);
    assert_eq!(gate.destroy(&it), INVALID_VALUE, "a stream waits for it");
    assert_eq!(it.breaches(), 1);
    gate.open();
    assert_eq!((gate.signal(&it, 5), gate.signal(&it, 5)), (0, 0));
    assert_eq!(it.wait(), 0);
    assert_eq!(it.breaches(), 2, "a value that it had");
    assert_eq!(gate.timeline.value(), 5);
    assert_eq!((gate.destroy(&it), gate.destroy(&it)), (0, INVALID_HANDLE));
    assert_eq!(it.end(), 0);
    assert_eq!(it.breaches(), 3);
}

#[test]
fn streams_and_contexts_are_not_used_after_their_end() {
    let it = Begun::new();
    let mut popped = 0_usize;
    assert_eq!(raw!(it.loaded, cuCtxPopCurrent_v2(&raw mut popped => *mut usize)), 0);
    assert_eq!(popped, it.context);
    let mut pointer = 0_u64;
    let allocated = raw!(it.loaded, cuMemAlloc_v2(&raw mut pointer => *mut u64, 10 => usize));
    assert_eq!(allocated, INVALID_CONTEXT, "no context is current");
    assert_eq!(raw!(it.loaded, cuCtxPopCurrent_v2(&raw mut popped => *mut usize)), INVALID_CONTEXT);
    assert_eq!(raw!(it.loaded, cuCtxPushCurrent_v2(it.context => usize)), 0);
    assert_eq!(it.end(), 0);
    assert_eq!(it.breaches(), 2);
    assert_eq!(raw!(it.loaded, cuDevicePrimaryCtxRelease_v2(0 => i32)), INVALID_CONTEXT, "let go too often");
    assert_eq!(raw!(it.loaded, cuCtxPushCurrent_v2(it.context => usize)), INVALID_CONTEXT);
    assert_eq!(it.wait(), INVALID_CONTEXT, "current, and gone");
    assert_eq!(raw!(it.loaded, cuDeviceGet((&raw mut popped).cast() => *mut i32, 9 => i32)), 101);
    assert_eq!(it.breaches(), 6);
}

#[test]
fn what_is_left_in_a_context_is_a_leak() {
    let it = Begun::new();
    it.alloc(100);
    let mut event = 0_usize;
    assert_eq!(raw!(it.loaded, cuEventCreate(&raw mut event => *mut usize, 0 => u32)), 0);
    assert_eq!(it.end(), 0, "the driver itself says nothing");
    assert_eq!(it.breaches(), 1);
}

#[test]
fn a_host_function_makes_no_calls() {
    unsafe extern "C" fn calls(loaded: *mut c_void) {
        // SAFETY: the test waits for this function, so that the value stands meanwhile.
        let loaded = unsafe { &*loaded.cast::<Loaded>() };
        let mut version = 0;
        let called = raw!(loaded, cuDriverGetVersion(&raw mut version => *mut i32));
        assert_eq!(called, NOT_PERMITTED);
    }
    let it = Begun::new();
    type HostFunction = unsafe extern "C" fn(*mut c_void);
    let argument = (&raw const it.loaded).cast_mut().cast::<c_void>();
    let launched = raw!(it.loaded, cuLaunchHostFunc(
        it.stream => usize, calls => HostFunction, argument => *mut c_void));
    assert_eq!(launched, 0);
    assert_eq!(it.wait(), 0);
    assert_eq!(it.breaches(), 1);
    assert_eq!(it.end(), 0);
}
