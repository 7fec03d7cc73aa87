//! What can go wrong at this crate's edge, and whose fault it is.

use std::path::PathBuf;
use std::time::Duration;

use crate::ModeError;

/// An error of a picture source.
#[derive(Debug, thiserror::Error)]
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
    #[error("no first picture within {:.1} s: {diagnosis}", waited.as_secs_f64())]
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
    /// There are no more pictures, in mid-stream. The diagnosis says by whose doing, and what to do.
    #[error("the pictures stopped: {diagnosis}")]
    Ended {
        /// The cause.
        diagnosis: Diagnosis,
    },
}

/// Why there are no pictures: each says who gives none, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    #[error("the compositor does not answer {request}: it hangs or is very busy; restart it if it stays so")]
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
    #[error("the compositor has no output: plug one in, or switch one on")]
    NoOutput,
    /// Nothing changes on the screen.
    #[error(
        "the capture was accepted, but nothing is being drawn on {output:?}: is the screen switched off?"
    )]
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
    #[error(
        "the compositor failed {failures} copies of {output:?} in a row: restart it, or capture by another way"
    )]
    CopyFailed {
        /// The output.
        output: String,
        /// How many in a row.
        failures: u32,
    },
    /// The output was removed or its mode changed.
    #[error(
        "the output {output:?} went away: it was unplugged or switched off; name another one, or plug it in again"
    )]
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
    #[error("{by} ended the screen cast: somebody stopped it there, or what it showed is gone; start again")]
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
    #[error("the PipeWire node {node} was removed: what it showed has ended; start that again")]
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
    /// The node changed its format in mid-stream, and gave nothing since.
    #[error(
        "the PipeWire node {node} changed its format and has given no picture since: restart what makes it"
    )]
    NotChanged {
        /// Its number and name.
        node: String,
    },
    /// The node has no format that is read.
    #[error("the PipeWire node's pictures cannot be read: {offered}")]
    FormatRefused {
        /// What it offers.
        offered: String,
    },
    /// The node's pictures contradict themselves.
    #[error(
        "the PipeWire node gave pictures that cannot be read, the last one {came}: restart what makes them"
    )]
    PictureUnreadable {
        /// What came last.
        came: String,
    },
    /// PipeWire ended the stream.
    #[error("PipeWire ended the stream ({words}): restart what makes the pictures")]
    StreamEnded {
        /// Its word.
        words: String,
    },
    /// The compositor ended the capture.
    #[error(
        "the compositor ended the capture of {output:?}: somebody stopped it there, or the output is gone; start again"
    )]
    Stopped {
        /// The output.
        output: String,
    },
    /// The session bus went away, and with it whoever handed out the screen cast.
    #[error("the session's D-Bus went away: log in to the desktop again")]
    SessionBusGone,
    /// A thread of this program ended.
    #[error("this program's own thread that {thread} ended: our fault; the log has its last words")]
    ThreadEnded {
        /// What it does.
        thread: &'static str,
    },
    /// The connection broke.
    #[error("the connection to the compositor broke: {cause}; is it still running?")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_in_mid_stream_says_who_stopped_and_what_to_do() {
        let (node, by, output) = ("42 synth".to_owned(), "the desktop portal", "DP-1".to_owned());
        let words = "it was".to_owned();
        for (diagnosis, who, remedy) in [
            (Diagnosis::PipeWireGone { words: words.clone() }, "PipeWire", "start"),
            (Diagnosis::PipeWireHangs, "PipeWire", "restart"),
            (Diagnosis::StreamEnded { words: words.clone() }, "PipeWire", "restart"),
            (Diagnosis::NotChanged { node: node.clone() }, "PipeWire node 42 synth", "restart"),
            (Diagnosis::NodeRemoved { node }, "PipeWire node 42 synth", "start"),
            (Diagnosis::PictureUnreadable { came: words.clone() }, "PipeWire node", "restart"),
            (Diagnosis::PortalGone { by }, by, "restart"),
            (Diagnosis::ScreenCastEnded { by }, by, "start"),
            (Diagnosis::SessionBusGone, "D-Bus", "log in"),
            (Diagnosis::Disconnected { cause: words }, "compositor", "running?"),
            (Diagnosis::NoAnswer { request: "wl_display.sync" }, "compositor", "restart"),
            (Diagnosis::OutputRemoved { output: output.clone() }, "DP-1", "plug"),
            (Diagnosis::CopyFailed { output: output.clone(), failures: 60 }, "compositor", "restart"),
            (Diagnosis::Stopped { output }, "compositor", "start"),
            (Diagnosis::ThreadEnded { thread: "captures" }, "this program", "log"),
        ] {
            let text = CaptureError::Ended { diagnosis }.to_string();
            assert!(text.starts_with("the pictures stopped: "), "{text}");
            let (told, to_do) = (text.find(who), text.find(remedy));
            assert!(told.is_some() && told < to_do, "{text}");
            assert_eq!(text.contains("compositor"), who == "compositor", "{text}");
        }
    }
}
