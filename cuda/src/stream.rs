//! A queue of work on the device.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Mutex, PoisonError, mpsc};

use cudarc::driver::sys::{CUstream, CUstream_flags};

use crate::context::{Context, Inner};
use crate::driver::call;
use crate::error::CudaError;
use crate::event::Event;
use crate::limits::{LOOK, WAIT_MAX};
use crate::pinned::PinnedMemory;
use crate::settle::wait_until;

/// Which stream's work goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// As the driver has it.
    Usual,
    /// Before all others of the device.
    Highest,
}

/// A queue of work on the device: what is put into it is done in order, after the call has returned. It waits for no other
/// stream, and none for it, but by an [`Event`] or a [`crate::TimelineSemaphore`].
#[derive(Debug)]
pub struct Stream {
    context: Context,
    raw: CUstream,
    /// What copies from and to memory that is only borrowed go through, between two of them.
    staging: Mutex<Option<PinnedMemory>>,
}

// SAFETY: a stream may be used by any thread, and by several at once (CUDA driver API, "Stream Management").
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// A stream without ties to the null stream.
    ///
    /// # Errors
    /// A call failed.
    pub fn new(context: &Context, priority: Priority) -> Result<Self, CudaError> {
        let _current = context.enter()?;
        let driver = context.driver();
        let (mut least, mut greatest) = (0, 0);
        // SAFETY: two numbers are written to where there is room for them.
        unsafe { call!(driver, cuCtxGetStreamPriorityRange(&raw mut least, &raw mut greatest)) }?;
        let priority = match priority {
            Priority::Usual => least,
            Priority::Highest => greatest,
        };
        let flags = CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        let mut raw: CUstream = ptr::null_mut();
        // SAFETY: one pointer is written to where there is room for it.
        unsafe { call!(driver, cuStreamCreateWithPriority(&raw mut raw, flags, priority)) }?;
        context.0.list(raw);
        Ok(Self { context: context.clone(), raw, staging: Mutex::new(None) })
    }

    /// Its context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The driver's handle of it, a `CUstream`, for NVIDIA's other libraries. It is good for as long as this is.
    #[must_use]
    pub fn raw(&self) -> *mut c_void {
        self.raw.cast()
    }

    /// Whether all that was queued is done.
    ///
    /// # Errors
    /// Something that was queued has failed.
    pub fn is_idle(&self) -> Result<bool, CudaError> {
        self.context.0.is_idle(self.raw)
    }

    /// Waits until all that was queued is done, at most [`WAIT_MAX`].
    ///
    /// # Errors
    /// Something that was queued has failed, or is not done in time ([`CudaError::Stuck`]).
    pub fn wait(&self) -> Result<(), CudaError> {
        if !self.is_idle()? {
            let (tell, told) = mpsc::channel();
            self.on_reached(move || {
                // Nobody listens any more where the wait was given up.
                let _ = tell.send(());
            })?;
            // Nobody tells once the device is lost: that is asked for.
            let is_told = Cell::new(false);
            let is_there = || Ok(is_told.get() || self.is_idle()?);
            wait_until(WAIT_MAX, is_there, |left| is_told.set(told.recv_timeout(left.min(LOOK)).is_ok()))?;
        }
        let _current = self.context.enter()?;
        // The driver's own wait has no bound, and its word on what has failed is wanted only: a stream is queued to by one
        // thread, this one.
        // SAFETY: the stream lives as long as `self`.
        unsafe { call!(self.context.driver(), cuStreamSynchronize(self.raw)) }
    }

    /// Holds what is queued from now on until `event` has come. The host does not wait.
    ///
    /// # Errors
    /// A call failed, or the event is of another context.
    pub fn wait_for(&self, event: &Event) -> Result<(), CudaError> {
        self.check("the event", event.context())?;
        let _current = self.context.enter()?;
        // SAFETY: both live; the driver copies what it needs of the event before the call returns.
        unsafe { call!(self.context.driver(), cuStreamWaitEvent(self.raw, event.raw(), 0)) }
    }

    /// Has `function` called by a thread of the driver's, once all that was queued before is done; what is queued after waits for
    /// it. It must be short and make no call of CUDA's. A panic in it ends in it. It is not called where the context has
    /// failed meanwhile.
    ///
    /// # Errors
    /// A call failed.
    pub fn on_reached(&self, function: impl FnOnce() + Send + 'static) -> Result<(), CudaError> {
        on_reached(&self.context.0, self.raw, function)
    }

    /// Pinned memory of `bytes` or more for one copy; give it back with [`Stream::put_staging`].
    pub(crate) fn take_staging(&self, bytes: usize) -> Result<PinnedMemory, CudaError> {
        let kept = self.staging.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept.filter(|kept| kept.len() >= bytes) {
            Some(kept) => Ok(kept),
            None => PinnedMemory::new(&self.context, bytes),
        }
    }

    pub(crate) fn put_staging(&self, memory: PinnedMemory) {
        let before = self.staging.lock().unwrap_or_else(PoisonError::into_inner).replace(memory);
        drop(before);
    }

    pub(crate) fn check(&self, what: &'static str, context: &Context) -> Result<(), CudaError> {
        if self.context.is_same(context) { Ok(()) } else { Err(CudaError::OtherContext { what }) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It stays listed, and so is asked again, where it is not done. Another one that stands still does not hold it.
        if !self.context.0.is_over(self.raw) && !self.context.settle() {
            return;
        }
        self.context.0.unlist(self.raw);
        if let Ok(_current) = self.context.enter() {
            // SAFETY: nobody else has it: the list of the living does not any more.
            drop(unsafe { call!(self.context.driver(), cuStreamDestroy_v2(self.raw)) });
        }
    }
}

/// Has `function` called once `stream` has come so far. The stream is alive.
pub(crate) fn on_reached<F: FnOnce() + Send + 'static>(
    context: &Inner,
    stream: CUstream,
    function: F,
) -> Result<(), CudaError> {
    unsafe extern "C" fn trampoline<F: FnOnce()>(function: *mut c_void) {
        // SAFETY: this is the pointer of the box that was let go below; the driver calls once at most.
        let function = unsafe { Box::from_raw(function.cast::<F>()) };
        // A panic must not run into the driver's frames; whose function it was has had its message.
        drop(catch_unwind(AssertUnwindSafe(function)));
    }
    let _current = context.enter()?;
    let boxed = Box::into_raw(Box::new(function));
    // SAFETY: the trampoline takes what it is given here, once; what the function holds is `Send` and `'static`.
    let launched =
        unsafe { call!(context.driver(), cuLaunchHostFunc(stream, trampoline::<F>, boxed.cast())) };
    if launched.is_err() {
        // SAFETY: a call that failed has queued nothing, so nobody else has the pointer.
        drop(unsafe { Box::from_raw(boxed) });
    }
    launched
}
