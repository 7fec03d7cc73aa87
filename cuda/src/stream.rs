//! A queue of work on the device.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use cudarc::driver::sys::{CUstream, CUstream_flags};

use crate::context::Context;
use crate::driver::call;
use crate::error::CudaError;
use crate::event::Event;

const NOT_READY: i32 = 600;

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
        context.streams().push(raw);
        Ok(Self { context: context.clone(), raw })
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
        is_idle(&self.context, self.raw)
    }

    /// Waits until all that was queued is done.
    ///
    /// # Errors
    /// Something that was queued has failed.
    pub fn wait(&self) -> Result<(), CudaError> {
        let _current = self.context.enter()?;
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
        on_reached(&self.context, self.raw, function)
    }

    pub(crate) fn check(&self, what: &'static str, context: &Context) -> Result<(), CudaError> {
        if self.context.is_same(context) { Ok(()) } else { Err(CudaError::OtherContext { what }) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It stays listed, and so is asked again, where it is not done.
        if !self.context.settle() {
            return;
        }
        self.context.streams().retain(|stream| *stream != self.raw);
        if let Ok(_current) = self.context.enter() {
            // SAFETY: nobody else has it: the list of the living does not any more.
            drop(unsafe { call!(self.context.driver(), cuStreamDestroy_v2(self.raw)) });
        }
    }
}

/// Whether all that was queued on `stream` is done. The stream is alive.
pub(crate) fn is_idle(context: &Context, stream: CUstream) -> Result<bool, CudaError> {
    let _current = context.enter()?;
    // SAFETY: the caller has a stream that is alive.
    match unsafe { call!(context.driver(), cuStreamQuery(stream)) } {
        Ok(()) => Ok(true),
        Err(CudaError::Call { code, .. }) if code.value() == NOT_READY => Ok(false),
        Err(error) => Err(error),
    }
}

/// Has `function` called once `stream` has come so far. The stream is alive.
pub(crate) fn on_reached<F: FnOnce() + Send + 'static>(
    context: &Context,
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
