//! Where a screen's thread and the caller meet: that it has begun, the newest picture, and buffers that come back.
//!
//! Promises: the newest picture wins, the one that it takes the place of is counted; a buffer has one
//! holder at any time, because it is moved; an end is told to every verb from then on. The lock is held
//! for moves only, once or twice a picture.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[cfg(feature = "wayland")]
use crate::ModeError;
use crate::stamp::Stamp;
use crate::threaded::{Holds, Origin};
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
    /// It has a mode that cannot be.
    #[cfg(feature = "wayland")]
    Mode(ModeError),
    /// The first one did not come within this.
    NoFirstPicture(Duration, Diagnosis),
    /// In mid-stream.
    Ended(Diagnosis),
}

impl From<End> for CaptureError {
    fn from(end: End) -> Self {
        match end {
            End::Unusable(diagnosis) => Self::Unusable { diagnosis },
            #[cfg(feature = "wayland")]
            End::Mode(error) => Self::Mode(error),
            End::NoFirstPicture(waited, diagnosis) => Self::NoFirstPicture { waited, diagnosis },
            End::Ended(diagnosis) => Self::Ended { diagnosis },
        }
    }
}

#[derive(Debug)]
struct State<O: Origin> {
    /// What the thread told when it began, and the pictures' mode; until it is waited for.
    begun: Option<(O::Told, Mode)>,
    newest: Option<Captured<O::Buffer>>,
    returned: Vec<O::Buffer>,
    /// There are no more buffers than that.
    buffers: usize,
    counters: Counters,
    end: Option<End>,
}

impl<O: Origin> State<O> {
    fn give_back(&mut self, buffer: O::Buffer) {
        if !buffer.is_ours() {
            return;
        }
        debug_assert!(self.returned.len() < self.buffers, "there are no more buffers than that");
        self.returned.push(buffer);
    }

    fn check(&self) -> Result<(), CaptureError> {
        self.end.clone().map_or(Ok(()), |end| Err(end.into()))
    }
}

/// The meeting place.
#[derive(Debug)]
pub(crate) struct Exchange<O: Origin> {
    state: Mutex<State<O>>,
    changed: Condvar,
}

impl<O: Origin> Exchange<O> {
    /// One for at most so many buffers.
    pub(crate) fn new(buffers: usize) -> Self {
        let state = State {
            begun: None,
            newest: None,
            returned: Vec::with_capacity(buffers),
            buffers,
            counters: Counters::default(),
            end: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A state that somebody left while panicking is as good as any: moves are all that happen to it.
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The screen's thread knows what it captures: pictures of this mode come from now on.
    pub(crate) fn begin(&self, told: O::Told, mode: Mode) {
        self.lock().begun.get_or_insert((told, mode));
        self.changed.notify_one();
    }

    /// Waits until the screen's thread begins, once; what it told of that, or none in time.
    pub(crate) fn wait_begun(&self, timeout: Duration) -> Result<Option<(O::Told, Mode)>, CaptureError> {
        let nothing = |state: &mut State<O>| state.begun.is_none() && state.end.is_none();
        let state = self.lock();
        let (mut state, _) =
            self.changed.wait_timeout_while(state, timeout, nothing).unwrap_or_else(PoisonError::into_inner);
        match state.begun.take() {
            Some(begun) => Ok(Some(begun)),
            None => state.check().map(|()| None),
        }
    }

    /// The screen's thread has a picture.
    pub(crate) fn publish(&self, buffer: O::Buffer, mode: Mode, stamp: Stamp) {
        let mut state = self.lock();
        let number = state.counters.captured;
        state.counters.captured += 1;
        state.counters.stamped_here += u64::from(!stamp.is_told);
        state.counters.dmabufs += u64::from(!buffer.is_ours());
        state.counters.copied_bytes += buffer.copied_bytes();
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

    /// Pictures begin to come in memory, where dmabufs were wished for.
    #[cfg(feature = "pipewire")]
    pub(crate) fn fall_to_memory(&self) {
        self.lock().counters.memory_falls += 1;
    }

    /// The screen's thread cannot read a picture.
    #[cfg(feature = "pipewire")]
    pub(crate) fn spoil(&self) {
        self.lock().counters.spoiled += 1;
    }

    /// The screen's thread does not need a buffer any more.
    #[cfg(feature = "pipewire")]
    pub(crate) fn give_back(&self, buffer: O::Buffer) {
        self.lock().give_back(buffer);
    }

    /// The screen's thread needs a buffer: one that came back, if there is one.
    pub(crate) fn reuse(&self) -> Option<O::Buffer> {
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
        let nothing = |state: &mut State<O>| state.newest.is_none() && state.end.is_none();
        let state = self.lock();
        let (state, _) =
            self.changed.wait_timeout_while(state, timeout, nothing).unwrap_or_else(PoisonError::into_inner);
        if state.newest.is_some() {
            return Ok(true);
        }
        state.check().map(|()| false)
    }

    /// Takes the newest picture, and gives back the one before.
    pub(crate) fn take(&self, lent: &mut Option<Captured<O::Buffer>>) -> Result<(), CaptureError> {
        let mut state = self.lock();
        if let Some(before) = lent.take() {
            state.give_back(before.buffer);
        }
        *lent = state.newest.take();
        if lent.is_some() { Ok(()) } else { state.check() }
    }

    /// Gives back what is lent.
    pub(crate) fn take_back(&self, lent: &mut Option<Captured<O::Buffer>>) {
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
