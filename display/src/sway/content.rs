//! What is shown on an output.
//!
//! The command is written into the runtime folder as a script, so that no text of ours or of a user
//! passes through sway's own parser, which splits at `;` and `,`.
//!
//! Promises: [`Content::show`] returns once a window is on the output and fills it. Refuses: a content
//! that shows no window in time.

use std::{thread, time::Instant};

use super::{
    ipc::{Ipc, OutputName},
    runtime_dir::RuntimeDir,
};
use crate::{
    DisplayError,
    limits::{CONTENT_DEADLINE, POLL_INTERVAL, STDERR_LAG},
    probe::ask,
};

const SCRIPT_NAME: &str = "content.sh";
/// Runs the content and writes down how it ended, under the number that it was started with: for people
/// on stderr, after its own last words, then for us in a file.
const SHOW_NAME: &str = "show.sh";
const SHOW: &str = "\
cd \"$XDG_RUNTIME_DIR\" || exit
sh content.sh
status=$?
echo \"content $1 ended with status $status\" >&2
echo $status >\"content.$1\"
";
const CLOCK_NAME: &str = "clock.sh";
const CLOCK: &str = include_str!("clock.sh");

/// What moves on an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A terminal (foot) with a counter and a clock that scroll by faster than any screen refreshes.
    Clock,
    /// A shell command that opens a window.
    Command(String),
    /// Nothing: sway's bare background, which never changes.
    Empty,
}

impl Content {
    /// Whether what is needed for it is installed.
    pub(super) fn check(&self) -> Result<(), DisplayError> {
        match self {
            Self::Clock if ask("foot", "--version").is_none() => {
                Err(DisplayError::NotInstalled { program: "foot".to_owned(), package: "foot" })
            }
            Self::Clock | Self::Command(_) | Self::Empty => Ok(()),
        }
    }

    /// Puts the scripts where sway will find them.
    pub(super) fn write(&self, dir: &RuntimeDir) -> Result<(), DisplayError> {
        dir.write(SHOW_NAME, SHOW)?;
        dir.write(CLOCK_NAME, CLOCK)?;
        dir.write(SCRIPT_NAME, &format!("{}\n", self.command()))
    }

    /// Starts the content, waits for its window, and gives it the whole of `output`. `number` is another
    /// one at each call. A content that ends well before its window comes may have left that to a
    /// program that was running already; one that fails is told at once.
    pub(super) fn show(
        &self,
        (ipc, dir): (&Ipc, &RuntimeDir),
        output: &OutputName,
        number: u64,
        is_over: &dyn Fn() -> bool,
        stderr: &dyn Fn() -> String,
    ) -> Result<(), DisplayError> {
        if *self == Self::Empty {
            return Ok(());
        }
        let before = ipc.windows()?;
        ipc.run(&format!("focus output {output}"))?;
        ipc.run(&format!("exec sh \"$XDG_RUNTIME_DIR/{SHOW_NAME}\" {number}"))?;
        let started = Instant::now();
        let window = loop {
            let now = ipc.windows()?;
            if let Some(window) = now.into_iter().find(|window| !before.contains(window)) {
                break window;
            }
            let command = self.command().to_owned();
            if let Some(status) = dir.read_short(&format!("content.{number}"))
                && !matches!(status.trim(), "" | "0")
            {
                let status = status.trim().to_owned();
                let stderr = last_words(number, stderr);
                return Err(DisplayError::ContentEnded { command, status, stderr });
            }
            if started.elapsed() >= CONTENT_DEADLINE || is_over() {
                let (waited, stderr) = (started.elapsed(), stderr());
                return Err(DisplayError::NoContent { command, waited, stderr });
            }
            thread::sleep(POLL_INTERVAL);
        };
        // It opens where the focus is; the focus may have been moved since.
        ipc.run(&format!("[con_id={window}] move container to output {output}"))?;
        ipc.run(&format!("[con_id={window}] fullscreen enable"))
    }

    fn command(&self) -> &str {
        match self {
            Self::Clock => "exec foot --app-id=punktfunk-clock --font=monospace:size=14 sh clock.sh",
            Self::Command(command) => command,
            Self::Empty => "",
        }
    }
}

/// stderr with all that the content said, which the line after it shows: its reader may lag behind.
fn last_words(number: u64, stderr: &dyn Fn() -> String) -> String {
    let closing = format!("content {number} ended");
    let started = Instant::now();
    while !stderr().contains(&closing) && started.elapsed() < STDERR_LAG {
        thread::sleep(POLL_INTERVAL);
    }
    stderr()
}
