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

use std::io::{self, PipeReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::{End, Exchange};
use crate::limits::{FIRST_PICTURE_DEADLINE, SCREEN_BUFFERS};
use crate::threaded::{Origin, ThreadedSource};
use crate::{CaptureError, Diagnosis, Mode, Patience};
use buffer::Buffer;
use link::Link;
pub use way::Protocol;

/// A compositor's screen as a source of pictures.
pub type WaylandSource = ThreadedSource<WaylandOutput>;

/// An output that is captured.
#[derive(Debug)]
pub struct WaylandOutput {
    name: String,
    protocol: Protocol,
}

impl Origin for WaylandOutput {
    type Buffer = Buffer;
    type Told = Self;

    fn describe(&self, mode: Mode) -> String {
        let Self { name, protocol } = self;
        format!("wayland output {name} {mode} by {protocol}")
    }

    fn silence() -> Diagnosis {
        Diagnosis::NoAnswer { request: "a connection" }
    }
}

impl ThreadedSource<WaylandOutput> {
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

    /// [`WaylandSource::connect`] with another patience for the first picture; the compositor's answers while connecting
    /// have the same one.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`], which names the cause.
    pub fn connect_within(
        display: Option<&Path>,
        output: Option<&str>,
        patience: impl Into<Patience>,
    ) -> Result<Self, CaptureError> {
        Self::connect_by(None, display, output, patience)
    }

    /// [`WaylandSource::connect_within`] by one protocol and no other; `None`: by the best that is there.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`], which names the cause.
    pub fn connect_by(
        protocol: Option<Protocol>,
        display: Option<&Path>,
        output: Option<&str>,
        patience: impl Into<Patience>,
    ) -> Result<Self, CaptureError> {
        let patience = patience.into();
        let first_picture_deadline = patience.left();
        let socket = socket_path(display).map_err(|diagnosis| CaptureError::Unusable { diagnosis })?;
        tracing::debug!(socket = %socket.display(), "capturing a compositor's screen");
        let wish = Wish { socket, output: output.map(str::to_owned), protocol, first_picture_deadline };
        let exchange = Arc::new(Exchange::new(SCREEN_BUFFERS));
        let run = move |exchange: &Arc<_>, stop| run(&wish, exchange, stop);
        Self::start(exchange, &patience, |told| told, run)
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
        &self.origin.name
    }

    /// How it is captured.
    pub fn protocol(&self) -> Protocol {
        self.origin.protocol
    }
}

/// What is to be captured, and how.
struct Wish {
    socket: PathBuf,
    output: Option<String>,
    protocol: Option<Protocol>,
    first_picture_deadline: Duration,
}

/// The thread: connects, and captures until the source goes or the compositor does.
fn run(wish: &Wish, exchange: &Arc<Exchange<WaylandOutput>>, stop: PipeReader) {
    let deadline = wish.first_picture_deadline;
    let opened = Link::connect(&wish.socket, Arc::clone(exchange), stop).and_then(|mut link| {
        let protocol = link.open(wish.output.as_deref(), wish.protocol, deadline)?;
        Ok((link, protocol))
    });
    let (link, protocol) = match opened {
        Ok(opened) => opened,
        Err(diagnosis) => return exchange.end(End::Unusable(diagnosis)),
    };
    let (name, mode) = link.output();
    match mode {
        Ok(mode) => exchange.begin(WaylandOutput { name, protocol }, mode),
        Err(error) => return exchange.end(End::Mode(error)),
    }
    link.run(exchange, deadline);
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
