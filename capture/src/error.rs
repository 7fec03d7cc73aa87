//! What can go wrong at this crate's edge, and whose fault it is.

use std::path::PathBuf;
use std::time::Duration;

use crate::ModeError;

/// An error of a picture source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The mode cannot be.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// The test card has no room in so small a picture.
    #[error(
        "the test card needs at least {min_width}x{min_height} pixels for its code, not {width}x{height}"
    )]
    CardTooSmall {
        /// Width that came, in pixels.
        width: u32,
        /// Height that came, in pixels.
        height: u32,
        /// Least width in pixels.
        min_width: u32,
        /// Least height in pixels.
        min_height: u32,
    },
    /// A Y4M file is malformed.
    #[error("{name}: {flaw}")]
    Y4m {
        /// The file.
        name: String,
        /// What is wrong with it, and where.
        flaw: crate::file::Y4mFlaw,
    },
    /// A file could not be read.
    #[error("{name}: {source}")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The compositor cannot be captured from; nothing was tried further.
    #[error("cannot capture the screen: {diagnosis}")]
    Unusable {
        /// The cause.
        diagnosis: Diagnosis,
    },
    /// No first picture came.
    #[error("no first picture within {} s: {diagnosis}", waited.as_millis() as f64 / 1e3)]
    NoFirstPicture {
        /// How long was waited.
        waited: Duration,
        /// The cause.
        diagnosis: Diagnosis,
    },
    /// None of several ways to pictures gives any.
    #[error("{said}")]
    NoWayLeft {
        /// What each of them came to.
        said: String,
    },
    /// The compositor went away, or ended the capture, in mid-stream.
    #[error("the compositor stopped giving pictures: {diagnosis}")]
    Ended {
        /// The cause.
        diagnosis: Diagnosis,
    },
}

/// Why a compositor gives no pictures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Diagnosis {
    /// No socket was named.
    #[error("WAYLAND_DISPLAY is not set: is a compositor running in this session?")]
    NoDisplay,
    /// The socket is not there.
    #[error("there is no Wayland socket at {}: is the compositor running?", path.display())]
    SocketMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The socket refuses.
    #[error("the Wayland socket at {} refuses: {cause}", path.display())]
    SocketRefused {
        /// Where it is.
        path: PathBuf,
        /// The system's word.
        cause: std::io::ErrorKind,
    },
    /// The socket takes requests and nothing comes back.
    #[error("the compositor does not answer {request}: does it hang?")]
    NoAnswer {
        /// The request that was not answered.
        request: &'static str,
    },
    /// The compositor speaks no protocol by which a screen is copied.
    #[error("the compositor has no {missing}: use one that lets its screen be copied, such as sway")]
    GlobalMissing {
        /// The interface that is missing, with its version.
        missing: &'static str,
    },
    /// No output of that name.
    #[error("there is no output {wanted:?}; the outputs are {have:?}")]
    OutputNotFound {
        /// What was asked for.
        wanted: String,
        /// What there is.
        have: Vec<String>,
    },
    /// No output at all.
    #[error("the compositor has no output")]
    NoOutput,
    /// Nothing changes on the screen.
    #[error("the compositor accepted the capture but nothing is being drawn on {output:?}")]
    NoDamage {
        /// The output.
        output: String,
    },
    /// The compositor offers no buffer that fits.
    #[error("the compositor wants buffers that cannot be made: {offered}")]
    BufferRefused {
        /// What it offers.
        offered: String,
    },
    /// The compositor reported a failed copy.
    #[error("the compositor failed {failures} copies of {output:?} in a row")]
    CopyFailed {
        /// The output.
        output: String,
        /// How many in a row.
        failures: u32,
    },
    /// The output was removed or its mode changed.
    #[error("the output {output:?} went away")]
    OutputRemoved {
        /// The output.
        output: String,
    },
    /// There is no session bus.
    #[error("there is no D-Bus session bus ({words}): is DBUS_SESSION_BUS_ADDRESS a running one's?")]
    NoSessionBus {
        /// The library's word.
        words: String,
    },
    /// Nobody answers for the desktop portal's screen cast.
    #[error(
        "this session has no desktop portal with a screen cast ({words}): install xdg-desktop-portal and the back \
         end of your desktop, such as xdg-desktop-portal-wlr, -gnome or -kde"
    )]
    PortalMissing {
        /// The bus' word.
        words: String,
    },
    /// Nobody answers for GNOME's screen cast.
    #[error("this session has no mutter with a screen cast ({words}): is it GNOME's?")]
    MutterMissing {
        /// The bus' word.
        words: String,
    },
    /// The screen cast was refused.
    #[error("{by} refused the screen cast: {words}")]
    PortalRefused {
        /// Who.
        by: &'static str,
        /// Why, in its words.
        words: String,
    },
    /// The person who was asked for a screen gave none.
    #[error("the person whom {by} asked for a screen cancelled: start again and choose one")]
    PortalCancelled {
        /// Who asked.
        by: &'static str,
    },
    /// An answer is not what the interface says.
    #[error("{by} gave an answer that cannot be used: {words}")]
    PortalUnreadable {
        /// Who.
        by: &'static str,
        /// What is wrong with it.
        words: String,
    },
    /// The door was not opened in time.
    #[error("asked {asked}, and no answer came: look at the screen, or restart it")]
    PortalTimedOut {
        /// Who was asked what.
        asked: &'static str,
    },
    /// Who handed out the screen cast went away.
    #[error("{by} went away: restart it")]
    PortalGone {
        /// Who.
        by: &'static str,
    },
    /// The screen cast was ended from outside.
    #[error("{by} ended the screen cast: somebody stopped it there, or what it showed is gone")]
    ScreenCastEnded {
        /// By whom.
        by: &'static str,
    },
    /// There is no PipeWire to connect to.
    #[error("there is no PipeWire in this session ({words}): is it installed and running?")]
    PipeWireMissing {
        /// The library's word.
        words: String,
    },
    /// PipeWire went away.
    #[error("PipeWire went away ({words}): start it again")]
    PipeWireGone {
        /// The library's word.
        words: String,
    },
    /// PipeWire takes requests and nothing comes back.
    #[error("PipeWire does not answer: it hangs; restart it")]
    PipeWireHangs,
    /// No node of that name or number.
    #[error("PipeWire has no node {wanted}; it has {have:?}")]
    NodeMissing {
        /// What was asked for.
        wanted: String,
        /// Some of those that it has, with their numbers.
        have: Vec<String>,
    },
    /// The node was removed in mid-stream.
    #[error("the PipeWire node {node} was removed: what it showed has ended")]
    NodeRemoved {
        /// Its number and name.
        node: String,
    },
    /// The node was never linked to us.
    #[error(
        "PipeWire has not linked us to its node {node}: is a session manager, such as wireplumber, running?"
    )]
    NotLinked {
        /// Its number and name.
        node: String,
    },
    /// The node agreed on a format and does not begin.
    #[error("the PipeWire node {node} agreed on a format and does not start: restart what makes it")]
    NotStarted {
        /// Its number and name.
        node: String,
    },
    /// The producer has no format that is read.
    #[error("the producer's pictures cannot be read: {offered}")]
    FormatRefused {
        /// What it offers.
        offered: String,
    },
    /// PipeWire ended the stream.
    #[error("PipeWire ended the stream: {words}")]
    StreamEnded {
        /// Its word.
        words: String,
    },
    /// The compositor ended the capture.
    #[error("the compositor ended the capture of {output:?}")]
    Stopped {
        /// The output.
        output: String,
    },
    /// The connection broke.
    #[error("the connection to the compositor broke: {cause}")]
    Disconnected {
        /// The library's word.
        cause: String,
    },
}

impl Diagnosis {
    /// The compositor offers nothing that two processes could both reach.
    #[cfg(feature = "wayland")]
    pub(crate) fn no_shared_memory() -> Self {
        Self::BufferRefused { offered: "no shared-memory buffer, only others".to_owned() }
    }
}
