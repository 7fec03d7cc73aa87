//! Calling other programs, and ending them.
//!
//! Promises: a [`Background`] program is ended when it is dropped: SIGTERM, a bounded wait, SIGKILL; it is
//! signalled by a pid descriptor, so that no other process can be hit. Should this program be killed
//! outright, the kernel ends it (by `setpriv --pdeathsig`, where util-linux is here). Ctrl-C and SIGTERM
//! are a flag, looked at while waiting.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::fault::Fault;

/// What setpriv is told: send SIGTERM when the parent thread has gone.
const BIND_ARGS: [&str; 3] = ["--pdeathsig", "TERM", "--"];

/// How long a program may take to end itself: the host stops a compositor meanwhile.
const GRACE: Duration = Duration::from_secs(8);

/// How often a program that is followed is listened to.
const LISTEN: Duration = Duration::from_millis(50);

/// Runs a program to its end on this terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Fault> {
    let status = command.status().map_err(Fault::io(format!("run `{}`", words(command))))?;
    match status.success() {
        true => Ok(()),
        false => Err(Fault::Command { command: words(command), status, log: None }),
    }
}

/// Runs a program to its end and hands its standard output back.
pub(crate) fn output(command: &mut Command) -> Result<String, Fault> {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(Child::wait_with_output)
        .map_err(Fault::io(format!("run `{}`", words(command))))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Fault::Command { command: words(command), status: output.status, log: None }),
    }
}

/// Where a program is in the path, if it is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A command as a person would type it: without folders before the program, and without what binds it to us.
pub(crate) fn words(command: &Command) -> String {
    let all: Vec<&OsStr> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let bound = all.get(1..BIND_ARGS.len() + 1).is_some_and(|args| args == BIND_ARGS);
    let own = if bound { &all[BIND_ARGS.len() + 1..] } else { &all[..] };
    let Some((program, args)) = own.split_first() else { return String::new() };
    let program = Path::new(program).file_name().unwrap_or(program);
    std::iter::once(&program).chain(args).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The wish to end: set by Ctrl-C and SIGTERM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes the signals over from now on.
    pub(crate) fn install() -> Result<Interrupt, Fault> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(Fault::io("take over Ctrl-C"))?;
        }
        Ok(Interrupt(flag))
    }

    /// Wishes the end from within, as a signal would.
    #[cfg(test)]
    pub(crate) fn wish(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// An error once somebody wishes the end.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.0.load(Ordering::Relaxed) { Err(Fault::Interrupted) } else { Ok(()) }
    }
}

/// A program that runs beside us, its words in a file.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    pidfd: OwnedFd,
    words: String,
    log: PathBuf,
    /// Whether it is asked to end before it is ended.
    asked: bool,
}

impl Background {
    /// Starts `program` with `args` and `environment`; standard error goes to the file `log`, standard
    /// output to the file `answer`, or into the log too.
    pub(crate) fn start(
        program: &Path,
        args: &[&OsStr],
        environment: &[(&str, &OsStr)],
        log: &Path,
        answer: Option<&Path>,
    ) -> Result<Background, Fault> {
        let create =
            |path: &Path| File::create(path).map_err(Fault::io(format!("create {}", path.display())));
        let log_file = create(log)?;
        let stdout = match answer {
            Some(answer) => create(answer)?,
            None => log_file.try_clone().map_err(Fault::io("share a log file"))?,
        };
        let mut command = bound_to_us(program);
        command.args(args);
        let words = words(&command);
        let mut child = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log_file)
            .spawn()
            .map_err(Fault::io(format!("start `{words}`")))?;
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Background { child, pidfd, words, log: log.to_owned(), asked: true }),
            Err(refused) => {
                // Unwatched it must not stay; both can only fail if it is gone already.
                let _ = child.kill();
                let _ = child.wait();
                Err(Fault::Io { action: format!("watch `{words}`"), source: refused.into() })
            }
        }
    }

    /// The same program, ended without being asked: for one that hears no SIGTERM and has nothing to put away.
    pub(crate) fn unasked(mut self) -> Background {
        self.asked = false;
        self
    }

    /// Waits at most `patience` for its end; `None` when it still runs. A signal to us ends the wait.
    pub(crate) fn wait_for(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Fault> {
        let timeout = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(refused) => {
                return Err(Fault::Io {
                    action: format!("wait for `{}`", self.words),
                    source: refused.into(),
                });
            }
        }
        self.child.try_wait().map_err(Fault::io(format!("wait for `{}`", self.words)))
    }

    /// Waits at most `patience` for its end, and passes what comes into the file `said` on to our standard output;
    /// `None` when it still runs.
    pub(crate) fn follow(
        &mut self,
        said: &Path,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> Result<Option<ExitStatus>, Fault> {
        let mut said = File::open(said).map_err(Fault::io(format!("read {}", said.display())))?;
        let give_up_at = Instant::now() + patience;
        loop {
            let ended = self.wait_for(LISTEN)?;
            pass_on(&mut said)?;
            interrupt.check()?;
            if ended.is_some() || Instant::now() >= give_up_at {
                return Ok(ended);
            }
        }
    }

    /// The error that says how it ended.
    pub(crate) fn ended(&self, status: ExitStatus) -> Fault {
        Fault::Command { command: self.words.clone(), status, log: Some(self.log.clone()) }
    }

    /// The error that says that it did not do what was expected in time.
    pub(crate) fn late(&self, waited: Duration, expected: &'static str) -> Fault {
        let program = format!("`{}`", self.words);
        Fault::Late { program, waited_s: waited.as_secs(), expected, log: self.log.clone() }
    }

    /// Asks it to end, and ends it when it does not.
    pub(crate) fn stop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while self.asked {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.wait_for(rest) {
                Ok(None) if !rest.is_zero() => {}
                Ok(Some(_)) => return,
                Ok(None) | Err(_) => break,
            }
        }
        // It is still ours to reap, so its pid cannot have become another's.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was said since the last time, to our standard output; a serial line's returns are left out.
fn pass_on(words: &mut impl Read) -> Result<(), Fault> {
    let mut said = Vec::new();
    words.read_to_end(&mut said).map_err(Fault::io("listen to a program"))?;
    said.retain(|byte| *byte != b'\r');
    let mut out = std::io::stdout().lock();
    out.write_all(&said).and_then(|()| out.flush()).map_err(Fault::io("pass a program's words on"))
}

/// A command whose process the kernel ends when the thread that starts it does, however that ends.
pub(crate) fn bound_to_us(program: &Path) -> Command {
    match find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(BIND_ARGS).arg(program);
            command
        }
        None => Command::new(program),
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Background {
        let args = [OsStr::new("-c"), OsStr::new(script)];
        let log = folder.join("log");
        Background::start(Path::new("/bin/sh"), &args, &[], &log, Some(&folder.join("answer"))).unwrap()
    }

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn an_end_is_seen_and_words_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell("echo answer; echo why >&2; exit 3", folder.path());
        let status = loop {
            if let Some(status) = program.wait_for(Duration::from_secs(10)).unwrap() {
                break status;
            }
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(std::fs::read_to_string(folder.path().join("answer")).unwrap(), "answer\n");
        assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "why\n");
        assert!(program.ended(status).to_string().contains("log"));
    }

    #[test]
    fn a_dropped_program_is_gone_and_was_asked_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut program =
            shell("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done", folder.path());
        let answer = folder.path().join("answer");
        while std::fs::read_to_string(&answer).unwrap() != "ready\n" {
            assert!(program.wait_for(Duration::from_millis(10)).unwrap().is_none());
        }
        let pid = program.child.id();
        assert!(is_alive(pid));
        drop(program);
        assert!(!is_alive(pid));
        assert_eq!(std::fs::read_to_string(&answer).unwrap(), "ready\nasked\n");
    }

    #[test]
    fn words_are_what_a_person_types() {
        let mut plain = Command::new("/usr/bin/cargo");
        assert_eq!(words(plain.args(["build", "--", "x"])), "cargo build -- x");
        let mut bound = bound_to_us(Path::new("a/host"));
        assert_eq!(words(bound.args(["serve", "--open"])), "host serve --open");
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(folder.path().join("nothing-here"));
        let fault = run(&mut command).unwrap_err().to_string();
        assert!(fault.contains("nothing-here"), "{fault}");
        assert!(matches!(output(Command::new("false").stderr(Stdio::null())), Err(Fault::Command { .. })));
        assert!(find("sh").is_some() && find("nothing-here").is_none());
    }
}
