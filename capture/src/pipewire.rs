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
mod cursor;
mod link;
mod params;
mod picture;
mod raw;
mod stream;

use std::fmt;
use std::io::{self, PipeWriter};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::exchange::{Captured, End, Exchange};
use crate::{CaptureError, Counters, Diagnosis, Mode, Picture, PixelFormat, Source};
use link::{Remote, Target};
use params::Size;
use picture::Pixels;

/// A node of the session's PipeWire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeRef {
    /// Its number.
    Id(u32),
    /// Its name, `node.name`; the first one of that name.
    Name(String),
}

impl FromStr for NodeRef {
    type Err = std::convert::Infallible;

    /// Digits are a number, everything else is a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// The ways to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Door {
    /// A node of the session's PipeWire, asked of nobody.
    Node(NodeRef),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "PipeWire node {node}"),
        }
    }
}

/// The session that a door is looked for in. The default is this program's own, as its environment tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// PipeWire's socket: a path, or a name in the runtime folder.
    pub pipewire: Option<PathBuf>,
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
        let no_thread = |source| CaptureError::Read { name: "a thread for the stream".to_owned(), source };
        let Door::Node(node) = door.clone();
        let exchange = Arc::new(Exchange::new());
        let (reader, writer) = io::pipe().map_err(no_thread)?;
        let (ready, is_ready) = mpsc::sync_channel(1);
        let left = deadline.saturating_sub(started.elapsed());
        let remote = Remote::Session(surroundings.pipewire.clone());
        let target = Target { remote, node, size: Size::Theirs, wanted, deadline: left };
        let last_words = LastWords(Arc::clone(&exchange));
        let run = move || link::run(target, &last_words.0, reader, &ready);
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(run).map_err(no_thread)?;
        let mut source =
            Self { exchange, lent: None, door, mode: wanted, stop: Some(writer), thread: Some(thread) };
        match is_ready.recv_timeout(left) {
            Ok(Ok((mode, node))) => {
                source.mode = mode;
                tracing::info!(node, source = %source.describe(), "PipeWire capture is ready");
                Ok(source)
            }
            Ok(Err(end)) => Err(end.into()),
            Err(RecvTimeoutError::Timeout) => {
                let diagnosis = Diagnosis::NoAnswer { request: "PipeWire's thread" };
                Err(CaptureError::NoFirstPicture { waited: deadline, diagnosis })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let diagnosis = Diagnosis::Disconnected { cause: "the capture thread ended".to_owned() };
                Err(CaptureError::Unusable { diagnosis })
            }
        }
    }
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
