//! What can go wrong here, said so that somebody can do something about it.

use std::{io, path::PathBuf, time::Duration};

use crate::Mode;

/// The errors of this room. Texts that come from a compositor are the last lines of its stderr.
#[derive(Debug, thiserror::Error)]
pub enum DisplayError {
    /// A program that is needed is not installed.
    #[error("{program} is not installed here; on Debian: apt install {package}")]
    NotInstalled {
        /// What was looked for in `PATH`.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// sway refuses to run as root, so another user has to be named.
    #[error("{compositor} refuses to run as root: name another user to run it as (run_as)")]
    RootRefused {
        /// Which compositor.
        compositor: &'static str,
    },
    /// Only root can start a program as somebody else.
    #[error("only root can run sway as user {wanted}; this process runs as user {ours}")]
    RunAsRefused {
        /// The user id that was asked for.
        wanted: u32,
        /// This process's effective user id.
        ours: u32,
    },
    /// No private folder for the compositor's sockets.
    #[error("cannot make the compositor's runtime folder {}: {source}", path.display())]
    RuntimeDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A socket's path has to fit 107 bytes.
    #[error("{} is too long for socket paths ({bytes_max} bytes at most): use a shorter temporary folder", path.display())]
    RuntimeDirTooLong {
        /// The folder.
        path: PathBuf,
        /// What would fit.
        bytes_max: usize,
    },
    /// The system did not start the program.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// What should have been started.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The compositor left, now or before it was ready.
    #[error("sway ended ({status}); it said: {stderr}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The last lines of its stderr.
        stderr: String,
    },
    /// The compositor runs and is not ready.
    #[error("sway is not ready after {waited:?}: {missing}; it said: {stderr}")]
    NotReady {
        /// How long it had.
        waited: Duration,
        /// What is not there.
        missing: String,
        /// The last lines of its stderr.
        stderr: String,
    },
    /// The compositor's IPC socket failed.
    #[error("sway does not answer `{request}` on its IPC socket: {source}")]
    Ipc {
        /// What was asked.
        request: String,
        /// What the IPC library said.
        source: Box<swayipc::Error>,
    },
    /// The compositor said no.
    #[error("sway refuses `{command}`: {answer}")]
    Refused {
        /// The command.
        command: String,
        /// Its answer.
        answer: String,
    },
    /// No output can have this mode.
    #[error("{width}x{height} at {refresh_mhz} mHz is no possible mode: {why}")]
    ModeImpossible {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Pictures a second, times 1000.
        refresh_mhz: u32,
        /// The bound that it breaks.
        why: String,
    },
    /// The output has another mode than the one that was asked for.
    #[error("output {output} has {got} where {wanted} was asked for; sway said: {stderr}")]
    ModeNotTaken {
        /// The output.
        output: String,
        /// The mode that was asked for.
        wanted: Mode,
        /// The mode that it has, in words.
        got: String,
        /// The last lines of the compositor's stderr.
        stderr: String,
    },
    /// `create_output` was answered, and no output is there.
    #[error("sway made no output within {waited:?}; it said: {stderr}")]
    NoOutput {
        /// How long it had.
        waited: Duration,
        /// The last lines of the compositor's stderr.
        stderr: String,
    },
    /// There is no such output.
    #[error("there is no output {output}; there are: {present}")]
    OutputUnknown {
        /// What was named.
        output: String,
        /// What is there.
        present: String,
    },
    /// The content was started and shows no window.
    #[error("`{command}` shows no window after {waited:?}; it said: {stderr}")]
    NoContent {
        /// The content's command.
        command: String,
        /// How long it had.
        waited: Duration,
        /// The last lines of stderr.
        stderr: String,
    },
    /// The content ended with an error before it showed a window.
    #[error("`{command}` ended with status {status} before it showed a window; it said: {stderr}")]
    ContentEnded {
        /// The content's command.
        command: String,
        /// Its exit status.
        status: String,
        /// The last lines of stderr.
        stderr: String,
    },
    /// The compositor had to be removed by force, or not all of it is gone.
    #[error("sway did not stop by itself within {waited:?}: {left} processes were killed")]
    Killed {
        /// How long it had.
        waited: Duration,
        /// How many processes were killed.
        left: usize,
    },
}
