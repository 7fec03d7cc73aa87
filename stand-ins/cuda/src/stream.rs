//! Streams.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use crate::code::{INVALID_HANDLE, INVALID_VALUE, NOT_READY};
use crate::entry::{IN_HOST_FUNCTION, calls};
use crate::queue::Queue;
use crate::state::{Owned, State, breach, put};

type HostFunction = Option<unsafe extern "C" fn(*mut c_void)>;

calls! {
    /// `cuStreamCreateWithPriority`
    fn cuStreamCreateWithPriority[call](stream: *mut usize, flags: c_uint, priority: c_int) {
        if flags > 1 {
            return Err(breach(call, INVALID_VALUE, format_args!("flags {flags}")));
        }
        // Priorities outside the range are clamped by the driver, so none is wrong.
        let _ = priority;
        let mut state = State::lock();
        let context = state.current(call)?;
        let handle = state.streams.add(Owned { context, thing: Arc::new(Queue::new(context)) });
        put(call, stream, handle)
    }

    /// `cuStreamDestroy`: what is queued is still done.
    fn cuStreamDestroy_v2[call](stream: usize) {
        let mut state = State::lock();
        state.queue(call, stream)?;
        state.streams.remove(stream).map(|_| ()).ok_or(INVALID_HANDLE)
    }

    /// `cuStreamQuery`
    fn cuStreamQuery[call](stream: usize) {
        let queue = State::lock().queue(call, stream)?;
        if queue.is_idle() { Ok(()) } else { Err(NOT_READY) }
    }

    /// `cuStreamSynchronize`
    fn cuStreamSynchronize[call](stream: usize) {
        let queue = State::lock().queue(call, stream)?;
        queue.wait(None);
        State::lock().current(call).map(|_| ())
    }

    /// `cuLaunchHostFunc`
    fn cuLaunchHostFunc[call](stream: usize, function: HostFunction, argument: usize) {
        let queue = State::lock().queue(call, stream)?;
        let Some(function) = function else {
            return Err(breach(call, INVALID_VALUE, format_args!("no function")));
        };
        queue.push(move || {
            IN_HOST_FUNCTION.set(true);
            // SAFETY: the caller gave the function and what it takes, for this one call.
            unsafe { function(argument as *mut c_void) };
            IN_HOST_FUNCTION.set(false);
            Ok(())
        });
        Ok(())
    }
}
