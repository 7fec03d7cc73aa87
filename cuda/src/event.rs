//! A mark in a stream: whether it was reached, and when.

#![allow(unsafe_code)]

use std::ptr;
use std::thread;
use std::time::Duration;

use cudarc::driver::sys::{CUevent, CUevent_flags};

use crate::context::Context;
use crate::driver::call;
use crate::error::CudaError;
use crate::limits::{POLL, WAIT_MAX};
use crate::settle::{ready, wait_until};
use crate::stream::Stream;

/// A mark in a stream, which the device stamps with its own clock when it comes by.
#[derive(Debug)]
pub struct Event {
    context: Context,
    raw: CUevent,
}

// SAFETY: an event may be used by any thread, and by several at once (CUDA driver API, "Event Management").
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that was never recorded, and so counts as reached.
    ///
    /// # Errors
    /// A call failed.
    pub fn new(context: &Context) -> Result<Self, CudaError> {
        let _current = context.enter()?;
        let mut raw: CUevent = ptr::null_mut();
        let flags = CUevent_flags::CU_EVENT_DEFAULT as u32;
        // SAFETY: one pointer is written to where there is room for it.
        unsafe { call!(context.driver(), cuEventCreate(&raw mut raw, flags)) }?;
        Ok(Self { context: context.clone(), raw })
    }

    /// Puts the mark behind all that is queued on `stream`; an earlier mark is forgotten.
    ///
    /// # Errors
    /// A call failed, or the stream is of another context.
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        stream.check("the event", &self.context)?;
        let _current = self.context.enter()?;
        // SAFETY: both live.
        unsafe { call!(self.context.driver(), cuEventRecord(self.raw, stream.raw().cast())) }
    }

    /// Whether the mark was reached.
    ///
    /// # Errors
    /// Something before it has failed.
    pub fn is_reached(&self) -> Result<bool, CudaError> {
        let _current = self.context.enter()?;
        // SAFETY: the event lives.
        ready(unsafe { call!(self.context.driver(), cuEventQuery(self.raw)) })
    }

    /// Waits until the mark is reached, at most [`WAIT_MAX`]. The core is others' meanwhile.
    ///
    /// # Errors
    /// Something before it has failed, or is not done in time ([`CudaError::Stuck`]).
    pub fn wait(&self) -> Result<(), CudaError> {
        wait_until(WAIT_MAX, || self.is_reached(), |left| thread::sleep(left.min(POLL)))
    }

    /// The device's time from `earlier` to this mark, both of which were reached; to about half a microsecond.
    ///
    /// # Errors
    /// One of them was never recorded or is not reached.
    pub fn since(&self, earlier: &Event) -> Result<Duration, CudaError> {
        let _current = self.context.enter()?;
        let mut milliseconds = 0_f32;
        // SAFETY: both events live; one number is written to where there is room for it.
        unsafe {
            call!(self.context.driver(), cuEventElapsedTime(&raw mut milliseconds, earlier.raw, self.raw))
        }?;
        Ok(Duration::try_from_secs_f32(milliseconds / 1000.0).unwrap_or_default())
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn raw(&self) -> CUevent {
        self.raw
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(_current) = self.context.enter() {
            // SAFETY: it is destroyed once; the driver keeps what a stream still needs of it (cuEventDestroy: "may be called
            // before the event is completed").
            drop(unsafe { call!(self.context.driver(), cuEventDestroy_v2(self.raw)) });
        }
    }
}
