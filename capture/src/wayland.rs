//! A Wayland compositor's screen, by wlr-screencopy or ext-image-copy-capture over shared memory.
//!
//! What is it: a [`Source`] whose pictures are copies of one output, made by the compositor at each of
//! its refreshes that changed something, cursor included. The pure Rust Wayland library speaks; nothing
//! of the system is linked.
//!
//! What does it promise: the newest picture, stamped with the time at which the compositor presented it
//! (so what is measured from the stamp on includes the copy); a still screen is no error, after a first
//! picture; a mode change in mid-stream is followed; whatever ends the capture is named by a
//! [`Diagnosis`], a first picture that does not come and a compositor that hangs included. No verb waits longer than
//! it was told.
//!
//! What does it refuse: compositors with neither ext-image-copy-capture nor wlr-screencopy version 3, and
//! pixels that are not 8 bits a colour.
//!
//! A copy takes rounds with the compositor, so a thread of its own answers
//! it: a caller that is busy for three refreshes finds the third picture, not the first one of them.

mod buffer;
mod delivery;
mod image_copy;
mod link;
mod outputs;
mod screen;
mod screencopy;
mod way;

use std::io::{self, PipeWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::exchange::{Captured, End, Exchange};
use crate::limits::{FIRST_PICTURE_DEADLINE, SCREEN_BUFFERS};
use crate::{CaptureError, Counters, Diagnosis, Mode, Picture, PixelFormat, Source};
use buffer::Buffer;
use link::Link;
pub use way::Protocol;

/// A compositor's screen as a source of pictures.
#[derive(Debug)]
pub struct WaylandSource {
    exchange: Arc<Exchange<Buffer>>,
    lent: Option<Captured<Buffer>>,
    output: String,
    protocol: Protocol,
    mode: Mode,
    /// Dropped, it stops the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl WaylandSource {
    /// Connects to a compositor, chooses an output, and starts to capture it.
    ///
    /// `display`: a socket's path, or its name in `XDG_RUNTIME_DIR`; `None`: what `WAYLAND_DISPLAY` says.
    /// `output`: an output's name, e.g. `HEADLESS-1`; `None`: the first one.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`], which names the cause.
    pub fn connect(display: Option<&Path>, output: Option<&str>) -> Result<Self, CaptureError> {
        Self::connect_within(display, output, FIRST_PICTURE_DEADLINE)
    }

    /// [`WaylandSource::connect`] with another deadline for the first picture, counted from here; the
    /// compositor's answers while connecting have the same one.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`], which names the cause.
    pub fn connect_within(
        display: Option<&Path>,
        output: Option<&str>,
        first_picture_deadline: Duration,
    ) -> Result<Self, CaptureError> {
        Self::connect_by(None, display, output, first_picture_deadline)
    }

    /// [`WaylandSource::connect_within`] by one protocol and no other; `None`: by the best that is there.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`], which names the cause.
    pub fn connect_by(
        protocol: Option<Protocol>,
        display: Option<&Path>,
        output: Option<&str>,
        first_picture_deadline: Duration,
    ) -> Result<Self, CaptureError> {
        let unusable = |diagnosis| CaptureError::Unusable { diagnosis };
        let no_thread = |source| CaptureError::Read { name: "a thread for the screen".to_owned(), source };
        let path = socket_path(display).map_err(unusable)?;
        let exchange = Arc::new(Exchange::new(SCREEN_BUFFERS));
        let (reader, writer) = io::pipe().map_err(no_thread)?;
        let mut link = Link::connect(&path, Arc::clone(&exchange), reader).map_err(unusable)?;
        let protocol = link.open(output, protocol, first_picture_deadline).map_err(unusable)?;
        let (output, mode) = link.output();
        let mode = mode?;

        let last_words = LastWords(Arc::clone(&exchange));
        let run = move || link.run(&last_words.0, first_picture_deadline);
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(run).map_err(no_thread)?;
        let (stop, thread) = (Some(writer), Some(thread));
        let source = Self { exchange, lent: None, output, protocol, mode, stop, thread };
        tracing::info!(socket = %path.display(), source = %source.describe(), "screen capture is ready");
        Ok(source)
    }

    /// Whether the compositor at this socket offers its screen to its clients; nothing is captured.
    ///
    /// # Errors
    /// Why not, or that it has not answered within `patience`.
    pub fn lends_screen(socket: &Path, patience: Duration) -> Result<(), Diagnosis> {
        let (reader, _writer) =
            io::pipe().map_err(|error| Diagnosis::Disconnected { cause: error.to_string() })?;
        Link::connect(socket, Arc::new(Exchange::new(SCREEN_BUFFERS)), reader)?
            .open(None, None, patience)
            .map(drop)
    }

    /// The name of the output that is captured.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// How it is captured.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl Source for WaylandSource {
    fn describe(&self) -> String {
        let lent = self.lent.as_ref().map(|captured| captured.buffer.shape.format_name());
        let format = lent.map_or_else(String::new, |name| format!(", {name}"));
        let Self { output, mode, protocol, .. } = self;
        format!("wayland output {output} {mode} by {protocol} over shared memory{format}")
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
            stride: captured.buffer.shape.stride as usize,
            bytes: captured.buffer.bytes(),
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

impl Drop for WaylandSource {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told already, by `LastWords`.
            let _ = thread.join();
        }
    }
}

/// Tells of an end even where the thread panics: nobody waits for one that is gone.
struct LastWords(Arc<Exchange<Buffer>>);

impl Drop for LastWords {
    fn drop(&mut self) {
        // Only the first end is kept.
        self.0.end(End::Ended(Diagnosis::Disconnected { cause: "the capture thread ended".to_owned() }));
    }
}

fn socket_path(display: Option<&Path>) -> Result<PathBuf, Diagnosis> {
    let named = match display {
        Some(display) => display.to_owned(),
        None => std::env::var_os("WAYLAND_DISPLAY")
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            .ok_or(Diagnosis::NoDisplay)?,
    };
    if named.is_absolute() {
        return Ok(named);
    }
    // Without a runtime folder the name leads nowhere, and the error shows it.
    Ok(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default().join(named))
}
