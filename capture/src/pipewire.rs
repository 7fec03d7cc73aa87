//! A PipeWire node's pictures, over shared memory.
//!
//! What is it: a [`Source`] whose pictures come from a node of the session's PipeWire: a screen that the desktop's
//! portal hands out, one of GNOME's, or any node that has pictures.
//!
//! What does it promise: the newest picture, stamped with the time that the producer gives it (so what is measured
//! from the stamp on includes the way through PipeWire); the cursor in it, drawn here where it comes beside it; a
//! still screen is no error, after a first picture; a format change in mid-stream is followed; whatever ends the
//! stream is named by a [`Diagnosis`] within two seconds. No verb waits longer than it was told.
//!
//! What does it refuse: pixels that are not 8 bits a colour, memory that is not a file's (no dmabuf is imported),
//! and numbers that contradict themselves, for they come from other processes.
//!
//! A thread of its own drives the library's loop; a picture is read out of the producer's buffer there, which the
//! producer has back at once.

mod agreed;
mod bus;
mod cursor;
mod door;
mod link;
mod mapping;
mod mutter;
mod params;
mod picture;
mod portal;
mod raw;
mod session_env;
mod stream;
mod token;

use std::io::{self, PipeWriter};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::exchange::{Captured, End, Exchange};
use crate::limits::STREAM_PICTURES;
use crate::{CaptureError, Counters, Diagnosis, Mode, Picture, PixelFormat, Source};
pub use door::{Door, NodeRef};
use door::{Keeper, Opened};
use link::{Remote, Target};
use params::Size;
use picture::Pixels;

/// The session that a door is looked for in. The default is this program's own, as its environment tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// PipeWire's socket: a path, or a name in the runtime folder.
    pub pipewire: Option<PathBuf>,
    /// The session bus' address.
    pub bus: Option<String>,
    /// What names the session; told to systemd and D-Bus before the portal is asked. Of it only the few variables
    /// that a compositor is found by are passed on.
    pub environment: Option<Vec<(String, String)>>,
}

/// A PipeWire node as a source of pictures.
#[derive(Debug)]
pub struct PipeWireSource {
    exchange: Arc<Exchange<Pixels>>,
    lent: Option<Captured<Pixels>>,
    door: Door,
    mode: Mode,
    /// Dropped, it stops the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
    /// Dropped after the thread ended.
    _keeper: Option<Keeper>,
}

impl PipeWireSource {
    /// Goes through `door`, agrees on a format, and starts to capture. `wanted` is the size of a screen that is
    /// made, the highest rate that is asked for, and the refresh of a producer that does not tell its own.
    ///
    /// Waits for the agreement, for at most `deadline`; the first picture has the same deadline.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`] and [`CaptureError::NoFirstPicture`], which name the cause.
    pub fn connect(door: Door, wanted: Mode, deadline: Duration) -> Result<Self, CaptureError> {
        Self::connect_in(&Surroundings::default(), door, wanted, deadline)
    }

    /// [`PipeWireSource::connect`] in another session than this program's.
    ///
    /// # Errors
    /// As there.
    pub fn connect_in(
        surroundings: &Surroundings,
        door: Door,
        wanted: Mode,
        deadline: Duration,
    ) -> Result<Self, CaptureError> {
        let started = Instant::now();
        let exchange = Arc::new(Exchange::new(STREAM_PICTURES));
        let (ready, is_ready) = mpsc::sync_channel(1);
        let size = if door == Door::MutterVirtual { Size::Wanted } else { Size::Theirs };
        let session = Remote::Session(surroundings.pipewire.clone());
        let (remote, node, keeper) = if let Door::Node(node) = &door {
            (session, node.clone(), None)
        } else {
            let (ended, not_ready) = (Arc::clone(&exchange), ready.clone());
            let on_end = move |diagnosis| {
                let end = End::Ended(diagnosis);
                // Only heard where the stream is not ready yet.
                let _ = not_ready.try_send(Err(end.clone()));
                ended.end(end);
            };
            let (opened, keeper) = open(&door, surroundings, deadline, on_end)?;
            (opened.remote.map_or(session, Remote::Opened), NodeRef::Id(opened.node), Some(keeper))
        };
        let left = deadline.saturating_sub(started.elapsed());
        let target = Target { remote, node, size, wanted, deadline: left };
        let (reader, writer) = io::pipe().map_err(no_thread)?;
        let last_words = LastWords(Arc::clone(&exchange));
        let run = move || link::run(target, &last_words.0, reader, &ready);
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(run).map_err(no_thread)?;
        let (stop, thread) = (Some(writer), Some(thread));
        let mut source = Self { exchange, lent: None, door, mode: wanted, stop, thread, _keeper: keeper };
        match is_ready.recv_timeout(left + READY_GRACE) {
            Ok(Ok((mode, node))) => {
                source.mode = mode;
                tracing::info!(node, source = %source.describe(), "PipeWire capture is ready");
                Ok(source)
            }
            Ok(Err(end)) => Err(end.into()),
            Err(RecvTimeoutError::Timeout) => {
                let diagnosis = Diagnosis::PipeWireHangs;
                Err(CaptureError::NoFirstPicture { waited: deadline, diagnosis })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let diagnosis = Diagnosis::Disconnected { cause: "the capture thread ended".to_owned() };
                Err(CaptureError::Unusable { diagnosis })
            }
        }
    }
}

/// The thread keeps the deadline and names the cause; it has this long to say so.
const READY_GRACE: Duration = Duration::from_millis(100);

fn no_thread(source: io::Error) -> CaptureError {
    CaptureError::Read { name: "a thread for the stream".to_owned(), source }
}

/// Opens a door that somebody has to be asked for.
fn open(
    door: &Door,
    surroundings: &Surroundings,
    deadline: Duration,
    on_end: impl FnOnce(Diagnosis) + Send + 'static,
) -> Result<(Opened, Keeper), CaptureError> {
    let (opened, is_opened) = mpsc::sync_channel(1);
    let keeper = Keeper::start(door.clone(), surroundings.clone(), opened, on_end).map_err(no_thread)?;
    let diagnosis = match is_opened.recv_timeout(deadline) {
        Ok(Ok(opened)) => return Ok((opened, keeper)),
        Ok(Err(diagnosis)) => diagnosis,
        Err(RecvTimeoutError::Timeout) => Diagnosis::PortalTimedOut { asked: keeper.asking() },
        Err(RecvTimeoutError::Disconnected) => {
            Diagnosis::Disconnected { cause: "the portal's thread ended".to_owned() }
        }
    };
    Err(CaptureError::Unusable { diagnosis })
}

impl Source for PipeWireSource {
    fn describe(&self) -> String {
        let format = match &self.lent {
            Some(captured) => format!(", {}", captured.buffer.format_name),
            None => String::new(),
        };
        format!("{} {} over shared memory{format}", self.door, self.mode)
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn wait_picture(&mut self, timeout: Duration) -> Result<bool, CaptureError> {
        self.exchange.take_back(&mut self.lent);
        let is_there = self.exchange.wait(timeout)?;
        if let Some(mode) = self.exchange.newest_mode() {
            self.mode = mode;
        }
        Ok(is_there)
    }

    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
        self.exchange.take(&mut self.lent)?;
        let Some(captured) = &self.lent else { return Ok(None) };
        // A newer one of another mode may have come since it was waited for.
        self.mode = captured.mode;
        Ok(Some(Picture {
            format: PixelFormat::Bgrx,
            width: captured.mode.width(),
            height: captured.mode.height(),
            stride: captured.buffer.stride,
            bytes: &captured.buffer.bytes,
            captured_at: captured.captured_at,
            number: captured.number,
        }))
    }

    fn skip(&mut self) {
        self.exchange.take_back(&mut self.lent);
        self.exchange.skip();
    }

    fn counters(&self) -> Counters {
        self.exchange.counters()
    }
}

impl Drop for PipeWireSource {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told already, by `LastWords`.
            let _ = thread.join();
        }
    }
}

/// Tells of an end even where the thread panics: nobody waits for one that is gone.
struct LastWords(Arc<Exchange<Pixels>>);

impl Drop for LastWords {
    fn drop(&mut self) {
        // Only the first end is kept.
        self.0.end(End::Ended(Diagnosis::Disconnected { cause: "the capture thread ended".to_owned() }));
    }
}
