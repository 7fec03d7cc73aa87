//! Events: marks in queues.

use std::ffi::c_uint;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::code::{INVALID_HANDLE, NOT_READY};
use crate::entry::calls;
use crate::state::{Owned, Result, State, breach, put};

/// An event: how often it was recorded, and which recording was reached last.
#[derive(Debug, Default)]
pub(crate) struct Mark {
    reached: Mutex<Reached>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Reached {
    recorded: u64,
    reached: u64,
    at: Option<Instant>,
}

impl Mark {
    fn lock(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_reached(&self) -> bool {
        let reached = self.lock();
        reached.reached == reached.recorded
    }

    /// Waits until the recording of this number is reached.
    fn wait(&self, number: u64) {
        let mut reached = self.lock();
        while reached.reached < number {
            reached = self.moved.wait(reached).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// When it was reached.
    fn stamp(&self, call: &str) -> Result<Instant> {
        let reached = self.lock();
        match reached.at {
            _ if reached.reached < reached.recorded => Err(NOT_READY),
            Some(at) => Ok(at),
            None => Err(breach(call, INVALID_HANDLE, format_args!("the event was never recorded"))),
        }
    }
}

impl State {
    fn mark(&self, call: &str, event: usize) -> Result<Arc<Mark>> {
        let current = self.current(call)?;
        self.owned(call, "the event", current, self.events.at(event))
    }
}

calls! {
    /// `cuEventCreate`
    fn cuEventCreate[call](event: *mut usize, _flags: c_uint) {
        let mut state = State::lock();
        let context = state.current(call)?;
        let handle = state.events.add(Owned { context, thing: Arc::default() });
        put(call, event, handle)
    }

    /// `cuEventDestroy`
    fn cuEventDestroy_v2[call](event: usize) {
        let mut state = State::lock();
        state.mark(call, event)?;
        state.events.remove(event).map(|_| ()).ok_or(INVALID_HANDLE)
    }

    /// `cuEventRecord`
    fn cuEventRecord[call](event: usize, stream: usize) {
        let state = State::lock();
        let (mark, queue) = (state.mark(call, event)?, state.queue(call, stream)?);
        drop(state);
        mark.lock().recorded += 1;
        let number = mark.lock().recorded;
        queue.push(move || {
            let mut reached = mark.lock();
            reached.reached = reached.reached.max(number);
            reached.at = Some(Instant::now());
            mark.moved.notify_all();
            Ok(())
        });
        Ok(())
    }

    /// `cuEventQuery`
    fn cuEventQuery[call](event: usize) {
        let mark = State::lock().mark(call, event)?;
        if mark.is_reached() { Ok(()) } else { Err(NOT_READY) }
    }

    /// `cuEventSynchronize`
    fn cuEventSynchronize[call](event: usize) {
        let mark = State::lock().mark(call, event)?;
        let number = mark.lock().recorded;
        mark.wait(number);
        State::lock().current(call).map(|_| ())
    }

    /// `cuStreamWaitEvent`
    fn cuStreamWaitEvent[call](stream: usize, event: usize, _flags: c_uint) {
        let state = State::lock();
        let (mark, queue) = (state.mark(call, event)?, state.queue(call, stream)?);
        drop(state);
        let number = mark.lock().recorded;
        queue.push(move || {
            mark.wait(number);
            Ok(())
        });
        Ok(())
    }

    /// `cuEventElapsedTime`
    fn cuEventElapsedTime[call](milliseconds: *mut f32, from: usize, to: usize) {
        let state = State::lock();
        let (from, to) = (state.mark(call, from)?.stamp(call)?, state.mark(call, to)?.stamp(call)?);
        put(call, milliseconds, to.saturating_duration_since(from).as_secs_f32() * 1000.0)
    }
}
