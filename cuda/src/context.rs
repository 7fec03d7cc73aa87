//! A device's context, and what is current on a thread.
//!
//! Promises: it outlives all that was made in it. What is dropped waits until the streams are done with what was queued
//! before, for a bounded time; what they are not done with is left to the driver, and so is the context.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cudarc::driver::sys::CUcontext;

use crate::device::Device;
use crate::driver::{Driver, call};
use crate::error::CudaError;
use crate::settle::Listed;

/// The primary context of a device: a handle, cheap to clone.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    device: Device,
    raw: CUcontext,
    /// The streams that are alive, so that a drop knows whom to wait for.
    pub(crate) streams: Mutex<Vec<Listed>>,
    left_behind: AtomicU64,
}

// SAFETY: the driver's calls may be made by any thread, and a context may be current on several at once (CUDA driver API,
// "Context Management"). What is ours in it is locked or atomic.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Context {
    /// Retains the primary context of `device`.
    pub(crate) fn retain(device: &Device) -> Result<Self, CudaError> {
        let mut raw: CUcontext = ptr::null_mut();
        // SAFETY: one pointer is written to where there is room for it; the device is the driver's own number.
        unsafe { call!(device.driver(), cuDevicePrimaryCtxRetain(&raw mut raw, device.raw())) }?;
        let left_behind = AtomicU64::new(0);
        Ok(Self(Arc::new(Inner { device: device.clone(), raw, streams: Mutex::default(), left_behind })))
    }

    /// Its device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// The driver's handle of it, a `CUcontext`, for NVIDIA's other libraries. It is good for as long as a clone of this is.
    #[must_use]
    pub fn raw(&self) -> *mut c_void {
        self.0.raw.cast()
    }

    /// Makes it current on this thread, until the guard is dropped. Guards are dropped in the reverse of their order.
    ///
    /// # Errors
    /// The context is gone.
    pub fn enter(&self) -> Result<Current<'_>, CudaError> {
        self.0.enter()
    }

    /// Free and total bytes of the device's memory.
    ///
    /// # Errors
    /// A call failed.
    pub fn memory(&self) -> Result<(usize, usize), CudaError> {
        let _current = self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: two numbers are written to where there is room for them.
        unsafe { call!(self.driver(), cuMemGetInfo_v2(&raw mut free, &raw mut total)) }?;
        Ok((free, total))
    }

    /// How many things were left to the driver: a stream still held them when they were dropped and went on holding them for
    /// [`crate::limits::SETTLE_MAX`], as where a semaphore is waited for that nobody signals, or the driver would not take
    /// them back.
    #[must_use]
    pub fn left_behind(&self) -> u64 {
        self.0.left_behind.load(Ordering::Relaxed)
    }

    /// The result of a call of another library that gives CUDA's numbers, under the call's name.
    ///
    /// # Errors
    /// Every number but 0.
    pub fn checked(&self, call: &'static str, result: c_int) -> Result<(), CudaError> {
        self.driver().checked(call, result)
    }

    /// Waits until every stream is done with what was queued on it before, at most [`crate::limits::SETTLE_MAX`]. Whoever
    /// frees what a stream may use calls this first, and frees nothing where the answer is no: it is counted as left behind
    /// ([`Context::left_behind`]). A device that is lost uses nothing; of any other failure of the driver's nothing is known.
    #[must_use]
    pub fn settle(&self) -> bool {
        let is_settled = self.0.settle();
        if !is_settled {
            self.leave_behind();
        }
        is_settled
    }

    pub(crate) fn is_same(&self, other: &Context) -> bool {
        self.0.raw == other.0.raw
    }

    pub(crate) fn driver(&self) -> &Arc<Driver> {
        self.0.device.driver()
    }

    /// Has `free` called with the context current, once nothing uses what it frees. A lost device has nothing to free; what
    /// the driver does not take back for another reason is left behind.
    pub(crate) fn release(&self, free: impl FnOnce(&Driver) -> Result<(), CudaError>) {
        if !self.settle() {
            return;
        }
        let freed = self.enter().and_then(|_current| free(self.driver()));
        if freed.is_err_and(|error| !error.is_device_lost()) {
            self.leave_behind();
        }
    }

    fn leave_behind(&self) {
        self.0.left_behind.fetch_add(1, Ordering::Relaxed);
    }
}

impl Inner {
    pub(crate) fn driver(&self) -> &Arc<Driver> {
        self.device.driver()
    }

    pub(crate) fn enter(&self) -> Result<Current<'_>, CudaError> {
        // SAFETY: the context is retained for as long as `self` is.
        unsafe { call!(self.driver(), cuCtxPushCurrent_v2(self.raw)) }?;
        Ok(Current { driver: self.driver(), _here: PhantomData })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.0.device.name()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What was left behind is the driver's, and goes with the context: not while a stream uses it.
        if !self.are_streams_over() {
            return;
        }
        let driver = self.device.driver();
        // SAFETY: it was retained once by `retain`; everything made in it holds this and so is gone, or was left behind by
        // whoever made it, and is used no more.
        // A failure means that the driver is gone, too.
        drop(unsafe { call!(driver, cuDevicePrimaryCtxRelease_v2(self.device.raw())) });
    }
}

/// A context that is current on this thread.
#[derive(Debug)]
pub struct Current<'a> {
    driver: &'a Driver,
    /// Current is a word about one thread.
    _here: PhantomData<*mut ()>,
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        let mut popped: CUcontext = ptr::null_mut();
        // SAFETY: one pointer is written to where there is room for it.
        drop(unsafe { call!(self.driver, cuCtxPopCurrent_v2(&raw mut popped)) });
    }
}
