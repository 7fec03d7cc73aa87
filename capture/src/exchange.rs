//! Where a screen's thread and the caller meet: the newest picture, and buffers that come back.
//!
//! Promises: the newest picture wins, the one that it takes the place of is counted; a buffer has one
//! holder at any time, because it is moved; an end is told to every verb from then on. The lock is held
//! for moves only, once or twice a picture.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stamp::Stamp;
use crate::{CaptureError, Counters, Diagnosis, Mode};

/// A picture that can be taken.
#[derive(Debug)]
pub(crate) struct Captured<B> {
    pub(crate) buffer: B,
    pub(crate) mode: Mode,
    pub(crate) captured_at: Instant,
    pub(crate) number: u64,
}

/// Why and when there were no more pictures.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Before the first one: it cannot be captured from.
    Unusable(Diagnosis),
    /// The first one did not come within this.
    NoFirstPicture(Duration, Diagnosis),
    /// In mid-stream.
    Ended(Diagnosis),
}

impl From<End> for CaptureError {
    fn from(end: End) -> Self {
        match end {
            End::Unusable(diagnosis) => Self::Unusable { diagnosis },
            End::NoFirstPicture(waited, diagnosis) => Self::NoFirstPicture { waited, diagnosis },
            End::Ended(diagnosis) => Self::Ended { diagnosis },
        }
    }
}

#[derive(Debug)]
struct State<B> {
    newest: Option<Captured<B>>,
    returned: Vec<B>,
    /// There are no more buffers than that.
    buffers: usize,
    counters: Counters,
    end: Option<End>,
}

impl<B> State<B> {
    fn give_back(&mut self, buffer: B) {
        debug_assert!(self.returned.len() < self.buffers, "there are no more buffers than that");
        self.returned.push(buffer);
    }

    fn check(&self) -> Result<(), CaptureError> {
        self.end.clone().map_or(Ok(()), |end| Err(end.into()))
    }
}

/// The meeting place.
#[derive(Debug)]
pub(crate) struct Exchange<B> {
    state: Mutex<State<B>>,
    changed: Condvar,
}

impl<B> Exchange<B> {
    /// One for at most so many buffers.
    pub(crate) fn new(buffers: usize) -> Self {
        let state = State {
            newest: None,
            returned: Vec::with_capacity(buffers),
            buffers,
            counters: Counters::default(),
            end: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A state that somebody left while panicking is as good as any: moves are all that happen to it.
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The screen's thread has a picture.
    pub(crate) fn publish(&self, buffer: B, mode: Mode, stamp: Stamp) {
        let mut state = self.lock();
        let number = state.counters.captured;
        state.counters.captured += 1;
        state.counters.stamped_here += u64::from(!stamp.is_told);
        let captured_at = stamp.at;
        if let Some(older) = state.newest.replace(Captured { buffer, mode, captured_at, number }) {
            state.counters.superseded += 1;
            state.give_back(older.buffer);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The screen's thread leaves out a picture, for a newer one.
    #[cfg(feature = "pipewire")]
    pub(crate) fn pass_over(&self) {
        let mut state = self.lock();
        state.counters.captured += 1;
        state.counters.superseded += 1;
    }

    /// The screen's thread cannot read a picture.
    #[cfg(feature = "pipewire")]
    pub(crate) fn spoil(&self) {
        self.lock().counters.spoiled += 1;
    }

    /// The screen's thread does not need a buffer any more.
    #[cfg(feature = "pipewire")]
    pub(crate) fn give_back(&self, buffer: B) {
        self.lock().give_back(buffer);
    }

    /// The screen's thread needs a buffer: one that came back, if there is one.
    pub(crate) fn reuse(&self) -> Option<B> {
        self.lock().returned.pop()
    }

    /// There will be no more pictures. The first end is the one that is told; whatever could be taken
    /// until then still can.
    pub(crate) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_one();
    }

    /// Waits until a picture can be taken or there is an end.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<bool, CaptureError> {
        let nothing = |state: &mut State<B>| state.newest.is_none() && state.end.is_none();
        let state = self.lock();
        let (state, _) =
            self.changed.wait_timeout_while(state, timeout, nothing).unwrap_or_else(PoisonError::into_inner);
        if state.newest.is_some() {
            return Ok(true);
        }
        state.check().map(|()| false)
    }

    /// Takes the newest picture, and gives back the one before.
    pub(crate) fn take(&self, lent: &mut Option<Captured<B>>) -> Result<(), CaptureError> {
        let mut state = self.lock();
        if let Some(before) = lent.take() {
            state.give_back(before.buffer);
        }
        *lent = state.newest.take();
        if lent.is_some() { Ok(()) } else { state.check() }
    }

    /// Gives back what is lent.
    pub(crate) fn take_back(&self, lent: &mut Option<Captured<B>>) {
        if let Some(before) = lent.take() {
            self.lock().give_back(before.buffer);
        }
    }

    /// Drops the newest picture.
    pub(crate) fn skip(&self) {
        let mut state = self.lock();
        if let Some(skipped) = state.newest.take() {
            state.counters.skipped += 1;
            state.give_back(skipped.buffer);
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// The mode of the picture that could be taken now.
    pub(crate) fn newest_mode(&self) -> Option<Mode> {
        self.lock().newest.as_ref().map(|newest| newest.mode)
    }
}
