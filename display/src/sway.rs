//! sway, started without a screen, with outputs at any mode.
//!
//! Promises: [`HeadlessSway::start`] returns a compositor that answers, within a deadline; an output
//! has exactly the mode that was asked for, or there is an error; and whatever happens (an error half
//! way, a drop, a program killed with -9) sway, all that it started and its runtime folder go. A small
//! supervisor sees to that, see [`supervise`].
//!
//! Refuses: to run as root (sway does), and commands that sway did not take.
//!
//! One desktop is one folder `punktfunk-sway-…` under the temporary folder, which is its
//! `XDG_RUNTIME_DIR` and `HOME`, and is locked as long as the program that started it lives. What a
//! machine that lost its power left behind is swept at the next start.

mod content;
mod ipc;
mod processes;
mod runtime_dir;
mod supervise;

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub use content::Content;
pub use ipc::{OutputName, Removal};

use crate::{
    DisplayError, Mode,
    limits::{CONTENT_DEADLINE, MODE_DEADLINE, POLL_INTERVAL, START_DEADLINE, STOP_DEADLINE},
    probe::{CompositorKind, ask},
};
use ipc::Ipc;
use runtime_dir::RuntimeDir;
use supervise::Supervised;

/// Whom the compositor runs as, when root starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id; there are no other groups.
    pub gid: u32,
}

impl RunAs {
    /// `nobody`, who has nothing: right for a desktop that shows a clock, not for one to work in.
    pub const NOBODY: Self = Self { uid: 65_534, gid: 65_534 };
}

/// What to start, and how. [`Default`] is right for a demonstration on any machine.
#[derive(Clone, Debug)]
pub struct SwayConfig {
    /// Another user to run as; only root can ask for it, and root must. `None`: the user of this
    /// process. The default is [`RunAs::NOBODY`] for root and `None` for everybody else.
    pub run_as: Option<RunAs>,
    /// What is shown on each output that is made.
    pub content: Content,
    /// Where the runtime folder is made. Must let `run_as` through. Default: the system's temporary
    /// folder.
    pub temp_dir: PathBuf,
    /// The binary: a name in `PATH`, or a path.
    pub program: PathBuf,
    /// How long sway may take until it answers.
    pub start_deadline: Duration,
    /// Set where nobody waits for it any more: whatever it is being waited for then ends as at a deadline.
    pub given_up: Arc<AtomicBool>,
}

impl Default for SwayConfig {
    fn default() -> Self {
        Self {
            run_as: (processes::effective_uid() == 0).then_some(RunAs::NOBODY),
            content: Content::Clock,
            temp_dir: std::env::temp_dir(),
            program: PathBuf::from("sway"),
            start_deadline: START_DEADLINE,
            given_up: Arc::default(),
        }
    }
}

/// A running sway without a screen. Dropping it stops it, as [`HeadlessSway::stop`] does, and loses
/// only the error.
#[derive(Debug)]
pub struct HeadlessSway {
    // Dropped in this order: the processes first, then their folder.
    supervised: Supervised,
    ipc: Ipc,
    wayland_socket: PathBuf,
    version: String,
    content: Content,
    /// Outputs that were made until now.
    shown: u64,
    given_up: Arc<AtomicBool>,
    runtime_dir: RuntimeDir,
}

impl HeadlessSway {
    /// Starts sway with no output at all and waits until both of its sockets answer.
    ///
    /// # Errors
    /// Names what is missing (binary, right, folder), or how sway ended and what it said. Nothing is
    /// left behind.
    pub fn start(config: &SwayConfig) -> Result<Self, DisplayError> {
        let uid = check_user(config.run_as)?;
        let package = CompositorKind::Sway.package();
        let program = config.program.display().to_string();
        let Some(usage) = ask(&program, "--help") else {
            return Err(DisplayError::NotInstalled { program, package });
        };
        config.content.check()?;
        let mut command = vec![config.program.clone().into_os_string()];
        // Newer ones refuse some drivers without it, although none is used here; older ones end on it.
        if usage.contains("--unsupported-gpu")
            || ask(&program, "--version").is_some_and(takes_unsupported_gpu)
        {
            command.push("--unsupported-gpu".into());
        }
        RuntimeDir::sweep(&config.temp_dir, uid);
        let runtime_dir = RuntimeDir::make(&config.temp_dir, config.run_as)?;
        runtime_dir.write("sway.conf", CONFIG)?;
        config.content.write(&runtime_dir)?;
        command.extend(["-c".into(), runtime_dir.path().join("sway.conf").into_os_string()]);
        let supervised = Supervised::spawn(&command, runtime_dir.path(), config.run_as)?;
        let mut sway = Self {
            supervised,
            ipc: Ipc::new(runtime_dir.path().join("sway-ipc.sock")),
            wayland_socket: PathBuf::new(),
            version: String::new(),
            content: config.content.clone(),
            shown: 0,
            given_up: Arc::clone(&config.given_up),
            runtime_dir,
        };
        sway.wait_ready(config.start_deadline)?;
        Ok(sway)
    }

    /// The Wayland socket, an absolute path that `WAYLAND_DISPLAY` takes as it is.
    pub fn wayland_socket(&self) -> &Path {
        &self.wayland_socket
    }

    /// sway's own version, e.g. `1.7`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The private `XDG_RUNTIME_DIR` of this desktop.
    pub fn runtime_dir(&self) -> &Path {
        self.runtime_dir.path()
    }

    /// Makes an output at exactly `mode`, and shows the content on it, on the whole of it.
    ///
    /// # Errors
    /// sway's refusal, another mode than the one asked for, or a content without a window. The output
    /// is removed again then.
    pub fn create_output(&mut self, mode: Mode) -> Result<OutputName, DisplayError> {
        self.create_output_within(mode, 2 * MODE_DEADLINE + CONTENT_DEADLINE)
    }

    /// [`HeadlessSway::create_output`] within `deadline`, which each of its steps' own may cut short.
    ///
    /// # Errors
    /// As there.
    pub fn create_output_within(
        &mut self,
        mode: Mode,
        deadline: Duration,
    ) -> Result<OutputName, DisplayError> {
        let started = Instant::now();
        let given_up = Arc::clone(&self.given_up);
        let is_over = || started.elapsed() >= deadline || given_up.load(Ordering::Relaxed);
        let output = self.explain(|sway| sway.ipc.create_output(&is_over, &|| sway.supervised.stderr()))?;
        self.shown += 1;
        let set =
            self.explain(|sway| sway.ipc.set_mode(&output, mode, &is_over, &|| sway.supervised.stderr()));
        let shown = set.and_then(|()| {
            self.explain(|sway| {
                let (place, stderr) = ((&sway.ipc, &sway.runtime_dir), || sway.supervised.stderr());
                sway.content.show(place, &output, sway.shown, &is_over, &stderr)
            })
        });
        match shown {
            Ok(()) => Ok(output),
            Err(error) => {
                // The first error is the one to tell; this one would only follow from it.
                let _ = self.ipc.remove_output(&output);
                Err(error)
            }
        }
    }

    /// Changes an output's mode, and reads it back.
    ///
    /// # Errors
    /// [`DisplayError::ModeNotTaken`], [`DisplayError::OutputUnknown`], or what IPC says.
    pub fn set_mode(&mut self, output: &OutputName, mode: Mode) -> Result<(), DisplayError> {
        self.explain(|sway| sway.ipc.set_mode(output, mode, &|| false, &|| sway.supervised.stderr()))
    }

    /// The mode that an output has now.
    ///
    /// # Errors
    /// [`DisplayError::OutputUnknown`], [`DisplayError::ModeImpossible`], or what IPC says.
    pub fn mode(&mut self, output: &OutputName) -> Result<Mode, DisplayError> {
        self.explain(|sway| sway.ipc.mode(output))
    }

    /// Closes the content on an output and removes the output, as far as this sway can: see
    /// [`Removal`]. [`HeadlessSway::stop`] removes all of them in any case.
    ///
    /// # Errors
    /// [`DisplayError::OutputUnknown`], or what IPC says.
    pub fn remove_output(&mut self, output: OutputName) -> Result<Removal, DisplayError> {
        self.explain(|sway| sway.ipc.remove_output(&output))
    }

    /// Whether sway still runs.
    ///
    /// # Errors
    /// [`DisplayError::Ended`] with its status and last words.
    pub fn check(&mut self) -> Result<(), DisplayError> {
        match self.supervised.exit_status() {
            None => Ok(()),
            Some(status) => Err(DisplayError::Ended { status, stderr: self.supervised.stderr_at_end() }),
        }
    }

    /// Stops sway and everything in it, and removes the runtime folder. Bounded by [`STOP_DEADLINE`].
    ///
    /// # Errors
    /// [`DisplayError::Killed`] where something had to be killed by this process; it is gone then, too.
    pub fn stop(mut self) -> Result<(), DisplayError> {
        let outcome = self.supervised.stop(STOP_DEADLINE);
        drop(self);
        outcome
    }

    /// Polls until sway serves Wayland and IPC.
    fn wait_ready(&mut self, deadline: Duration) -> Result<(), DisplayError> {
        let started = Instant::now();
        loop {
            self.check()?;
            let missing = match self.look_ready() {
                Ok(()) => break,
                Err(missing) => missing,
            };
            if started.elapsed() >= deadline || self.given_up.load(Ordering::Relaxed) {
                let stderr = self.supervised.stderr();
                return Err(DisplayError::NotReady { waited: started.elapsed(), missing, stderr });
            }
            thread::sleep(POLL_INTERVAL);
        }
        tracing::info!(
            version = %self.version,
            socket = %self.wayland_socket.display(),
            elapsed_ms = started.elapsed().as_millis(),
            "sway is ready"
        );
        Ok(())
    }

    /// What is still missing, in words.
    fn look_ready(&mut self) -> Result<(), String> {
        let socket = self.runtime_dir.wayland_socket().ok_or("there is no Wayland socket")?;
        UnixStream::connect(&socket)
            .map_err(|error| format!("{} refuses a connection: {error}", socket.display()))?;
        self.version = self.ipc.version().map_err(|error| error.to_string())?;
        self.wayland_socket = socket;
        Ok(())
    }

    /// Runs an IPC verb; where it fails because sway is gone, that is the error.
    fn explain<T>(&mut self, verb: impl FnOnce(&Self) -> Result<T, DisplayError>) -> Result<T, DisplayError> {
        let outcome = verb(self);
        if matches!(outcome, Err(DisplayError::Ipc { .. })) {
            self.supervised.settle();
            self.check()?;
        }
        outcome
    }
}

/// The whole configuration: no key, no bar, nothing that starts by itself.
const CONFIG: &str = "\
# Written by punktfunk for one session.
xwayland disable
default_border none
default_floating_border none
focus_follows_mouse no
";

/// The user id that sway will have.
fn check_user(run_as: Option<RunAs>) -> Result<u32, DisplayError> {
    let ours = processes::effective_uid();
    match run_as {
        None if ours == 0 => Err(DisplayError::RootRefused { compositor: "sway" }),
        Some(RunAs { uid: 0, .. }) => Err(DisplayError::RootRefused { compositor: "sway" }),
        Some(RunAs { uid, .. }) if ours != 0 && uid != ours => {
            Err(DisplayError::RunAsRefused { wanted: uid, ours })
        }
        None => Ok(ours),
        Some(RunAs { uid, .. }) => Ok(uid),
    }
}

/// The option came with 1.7 and is not in the usage text there.
fn takes_unsupported_gpu(version: String) -> bool {
    let number = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.is_some_and(|number| {
        let mut parts = number.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 7)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_for_unknown_drivers_is_for_those_who_take_it() {
        for (said, takes) in [
            ("sway version 1.7", true),
            ("sway version 1.12-dev-1234", true),
            ("sway version 1.6.1", false),
            ("", false),
            ("sway version 2.0", true),
        ] {
            assert_eq!(takes_unsupported_gpu(said.to_owned()), takes, "{said}");
        }
    }

    #[test]
    fn nobody_gets_a_sway_as_root() {
        assert!(matches!(check_user(Some(RunAs { uid: 0, gid: 0 })), Err(DisplayError::RootRefused { .. })));
        if processes::effective_uid() == 0 {
            assert!(matches!(check_user(None), Err(DisplayError::RootRefused { .. })));
            assert_eq!(check_user(Some(RunAs::NOBODY)).unwrap(), 65_534);
        } else {
            assert!(check_user(None).is_ok());
            let other = RunAs { uid: processes::effective_uid() + 1, gid: 1 };
            assert!(matches!(check_user(Some(other)), Err(DisplayError::RunAsRefused { .. })));
        }
    }
}
