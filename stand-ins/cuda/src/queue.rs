//! A stream's queue: a thread that does one thing after another.

use std::fmt;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::code::Code;
use crate::state::State;

type Work = Box<dyn FnOnce() -> Result<(), Code> + Send>;

/// What a stream is to do, and how far it is.
pub(crate) struct Queue {
    sender: Sender<Work>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    counts: Mutex<Counts>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    queued: u64,
    done: u64,
}

impl Queue {
    /// A queue of a context's.
    pub(crate) fn new(context: usize) -> Self {
        let (sender, works) = mpsc::channel::<Work>();
        let progress = Arc::new(Progress::default());
        let told = progress.clone();
        thread::spawn(move || {
            for work in works {
                if let Err(code) = work() {
                    State::lock().lose(context, code);
                }
                told.counts().done += 1;
                told.moved.notify_all();
            }
        });
        Self { sender, progress }
    }

    /// Queues `work`; gives its number.
    pub(crate) fn push(&self, work: impl FnOnce() -> Result<(), Code> + Send + 'static) -> u64 {
        let mut counts = self.progress.counts();
        counts.queued += 1;
        // The thread lives for as long as the sender does.
        let _ = self.sender.send(Box::new(work));
        counts.queued
    }

    /// Whether all is done.
    pub(crate) fn is_idle(&self) -> bool {
        let counts = self.progress.counts();
        counts.done == counts.queued
    }

    /// Waits until the work of this number is done; all that is queued, without one.
    pub(crate) fn wait(&self, number: Option<u64>) {
        let mut counts = self.progress.counts();
        let until = number.unwrap_or(counts.queued);
        while counts.done < until {
            counts = self.progress.moved.wait(counts).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Progress {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("progress", &self.progress).finish_non_exhaustive()
    }
}
