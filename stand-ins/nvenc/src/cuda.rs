//! The CUDA that the process has loaded, if any: whoever loaded it, it is asked by its name.
//!
//! Promises: a picture is read once its input stream has come to where it was when the picture was handed in, and what is
//! put into the output stream after that waits for the encoder. Without CUDA in the process a picture is read at once.

use std::ffi::{CStr, c_int, c_void};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use punktfunk_nvenc::sys::{NV_ENC_ERR_GENERIC, NV_ENC_ERR_INVALID_DEVICE};

use crate::status::{Answer, Refused};

type HostFunction = unsafe extern "C" fn(*mut c_void);
type Launch = unsafe extern "C" fn(*mut c_void, HostFunction, *mut c_void) -> c_int;
type Push = unsafe extern "C" fn(*mut c_void) -> c_int;
type Pop = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
type Has = unsafe extern "C" fn(u64, usize) -> c_int;

/// Something that happens once, and that others wait for.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self) {
        let is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(is_open, |is_open| !*is_open).unwrap_or_else(PoisonError::into_inner));
    }
}

/// The driver's functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuda {
    launch: Launch,
    push: Push,
    pop: Pop,
    /// Of the stand-in's alone: whether so many bytes are the device's.
    has: Option<Has>,
}

impl Cuda {
    /// The library that is loaded already.
    pub(crate) fn loaded() -> Option<Self> {
        // SAFETY: a C string; nothing is loaded that is not there yet.
        let library = unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
        if library.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: an open library and a C string.
            let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!symbol.is_null()).then_some(symbol)
        };
        let (launch, push, pop) =
            (symbol(c"cuLaunchHostFunc")?, symbol(c"cuCtxPushCurrent_v2")?, symbol(c"cuCtxPopCurrent_v2")?);
        let has = symbol(c"punktfunk_standin_cuda_has");
        // SAFETY: these are the types that CUDA's driver API, and its stand-in, give these names. The handle is not closed, so that they stay.
        unsafe {
            Some(Self {
                launch: std::mem::transmute::<*mut c_void, Launch>(launch),
                push: std::mem::transmute::<*mut c_void, Push>(push),
                pop: std::mem::transmute::<*mut c_void, Pop>(pop),
                has: has.map(|has| std::mem::transmute::<*mut c_void, Has>(has)),
            })
        }
    }

    /// Does `work` in `context`.
    fn within<T>(self, context: usize, work: impl FnOnce() -> T) -> Answer<T> {
        // SAFETY: CUDA judges the handle itself.
        let pushed = unsafe { (self.push)(context as *mut c_void) };
        if pushed != 0 {
            return Refused::breach(NV_ENC_ERR_INVALID_DEVICE, format!("CUDA refuses the context: {pushed}"));
        }
        let done = work();
        let mut popped = std::ptr::null_mut();
        // SAFETY: what was pushed above comes off.
        unsafe { (self.pop)(&raw mut popped) };
        Ok(done)
    }

    /// Whether CUDA takes the context.
    pub(crate) fn check(self, context: usize) -> Answer {
        self.within(context, || ())
    }

    /// Opens `gate` once `stream` has come to here.
    pub(crate) fn after(self, context: usize, stream: usize, gate: &Arc<Gate>) -> Answer {
        self.launch(context, stream, open_gate, gate)
    }

    /// Lets `stream` wait at here until `gate` is open.
    pub(crate) fn hold(self, context: usize, stream: usize, gate: &Arc<Gate>) -> Answer {
        self.launch(context, stream, wait_at_gate, gate)
    }

    fn launch(self, context: usize, stream: usize, function: HostFunction, gate: &Arc<Gate>) -> Answer {
        let gate = Arc::into_raw(Arc::clone(gate));
        // SAFETY: the function takes the gate's count that it is given here, once.
        let launched = self.within(context, || unsafe {
            (self.launch)(stream as *mut c_void, function, gate.cast_mut().cast())
        })?;
        if launched != 0 {
            // SAFETY: it was not launched, so the count is still ours.
            drop(unsafe { Arc::from_raw(gate) });
            return Refused::world(NV_ENC_ERR_GENERIC, format!("CUDA refuses the stream: {launched}"));
        }
        Ok(())
    }

    /// Whether `bytes` from `address` on are the device's; not said where CUDA cannot tell.
    pub(crate) fn has(self, address: usize, bytes: usize) -> Option<bool> {
        // SAFETY: two numbers, looked up and not followed.
        self.has.map(|has| unsafe { has(address as u64, bytes) } == 0)
    }
}

unsafe extern "C" fn open_gate(gate: *mut c_void) {
    // SAFETY: `launch` gave it a count, and it is called once.
    unsafe { Arc::from_raw(gate.cast::<Gate>()) }.open();
}

unsafe extern "C" fn wait_at_gate(gate: *mut c_void) {
    // SAFETY: as above.
    unsafe { Arc::from_raw(gate.cast::<Gate>()) }.wait();
}
