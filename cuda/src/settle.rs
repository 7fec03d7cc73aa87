//! Whether streams are done with what was queued on them.
//!
//! Promises: the answer yes is sure: the driver says so of each stream, or that the device is lost. The answer no comes
//! within [`SETTLE_MAX`], and at once from then on for a stream that has stood still for so long, until it moves again.
//! Refuses: to take a failed question for an answer.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use cudarc::driver::sys::CUstream;

use crate::context::Inner;
use crate::driver::call;
use crate::error::CudaError;
use crate::limits::{LOOK, SETTLE_MAX};
use crate::stream::on_reached;

const NOT_READY: i32 = 600;

/// A stream that is alive.
pub(crate) struct Listed {
    raw: CUstream,
    /// What it has not come to in all of [`SETTLE_MAX`].
    stuck_before: Option<Mark>,
}

/// A place in a stream's work: whether it was come to.
type Mark = Arc<AtomicBool>;

impl Inner {
    /// Lists a stream that is new.
    pub(crate) fn list(&self, raw: CUstream) {
        self.lock().push(Listed { raw, stuck_before: None });
    }

    /// Takes a stream off the list, which is destroyed next.
    pub(crate) fn unlist(&self, raw: CUstream) {
        self.lock().retain(|listed| listed.raw != raw);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every stream has done, within [`SETTLE_MAX`], what was queued on it before.
    pub(crate) fn settle(&self) -> bool {
        let (tell, told) = mpsc::channel();
        let mut open = Vec::new();
        // Locked meanwhile: a stream must not be destroyed between being listed and being asked.
        for listed in self.lock().iter_mut() {
            if self.is_over(listed.raw) {
                listed.stuck_before = None;
            } else if listed.stuck_before.as_ref().is_some_and(|mark| !mark.load(Ordering::Acquire)) {
                return false;
            } else {
                listed.stuck_before = None;
                let (mark, tell) = (Mark::default(), tell.clone());
                let reached = Arc::clone(&mark);
                // Where the driver takes no mark, the stream is done when there is nothing left on it.
                let _ = on_reached(self, listed.raw, move || {
                    reached.store(true, Ordering::Release);
                    // Nobody listens any more where the wait was given up.
                    let _ = tell.send(());
                });
                open.push((listed.raw, mark));
            }
        }
        let until = Instant::now() + SETTLE_MAX;
        loop {
            open.retain(|(raw, mark)| !mark.load(Ordering::Acquire) && !self.is_gone_or_over(*raw));
            let left = until.saturating_duration_since(Instant::now());
            if open.is_empty() || left.is_zero() {
                break;
            }
            // No mark is come to once the device is lost.
            let _ = told.recv_timeout(left.min(LOOK));
        }
        for listed in self.lock().iter_mut() {
            let stuck = open.iter().find(|(raw, _)| *raw == listed.raw);
            listed.stuck_before = stuck.map(|(_, mark)| Arc::clone(mark));
        }
        open.is_empty()
    }

    /// Whether nothing is left on any stream.
    pub(crate) fn are_streams_over(&self) -> bool {
        self.lock().iter().all(|listed| self.is_over(listed.raw))
    }

    /// Whoever destroys a stream has waited for it before.
    fn is_gone_or_over(&self, stream: CUstream) -> bool {
        let listed = self.lock();
        !listed.iter().any(|listed| listed.raw == stream) || self.is_over(stream)
    }

    /// Whether nothing is left on `stream`, which is alive; not where the driver does not say so.
    pub(crate) fn is_over(&self, stream: CUstream) -> bool {
        match self.is_idle(stream) {
            Ok(is_idle) => is_idle,
            Err(error) => error.is_device_lost(),
        }
    }

    /// Whether all that was queued on `stream`, which is alive, is done.
    pub(crate) fn is_idle(&self, stream: CUstream) -> Result<bool, CudaError> {
        let _current = self.enter()?;
        // SAFETY: the caller has a stream that is alive.
        ready(unsafe { call!(self.driver(), cuStreamQuery(stream)) })
    }
}

/// What a question for an end was answered with.
pub(crate) fn ready(answer: Result<(), CudaError>) -> Result<bool, CudaError> {
    match answer {
        Ok(()) => Ok(true),
        Err(CudaError::Call { code, .. }) if code.value() == NOT_READY => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until `is_there`, for `patience` at most; between two looks `pause` may be cut short by who knows better.
pub(crate) fn wait_until(
    patience: Duration,
    mut is_there: impl FnMut() -> Result<bool, CudaError>,
    mut pause: impl FnMut(Duration),
) -> Result<(), CudaError> {
    let until = Instant::now() + patience;
    while !is_there()? {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(CudaError::Stuck { waited: patience });
        }
        pause(left);
    }
    Ok(())
}
