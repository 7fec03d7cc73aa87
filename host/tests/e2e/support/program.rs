//! One program that a test has started: its life, its words, its end.
//!
//! Promises: it is killed and reaped on drop; its output goes to files, so that no full pipe can stop it; a
//! failing test shows what it said last. Refuses to wait without an end.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{LOOK_INTERVAL, Place};

/// Lines of a program's log that a failing test shows.
const LINES_SHOWN: usize = 25;

/// A running program.
pub(crate) struct Program {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// A program that has ended.
pub(crate) struct Ended {
    name: String,
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts `command`, with everything that it writes by itself in `place`.
    pub(crate) fn start(place: &Place, kind: &str, command: Command) -> Self {
        Self::start_reading(place, kind, command, "")
    }

    /// The same, with this to read on its standard input.
    pub(crate) fn start_reading(place: &Place, kind: &str, command: Command, typed: &str) -> Self {
        let typed = place.write(&place.name("typed"), typed.as_bytes());
        Self::start_fed(place, kind, command, File::open(typed).unwrap().into())
    }

    /// The same, with this standard input.
    pub(crate) fn start_fed(place: &Place, kind: &str, mut command: Command, stdin: Stdio) -> Self {
        let name = place.name(kind);
        let (out, err) = (place.path(&format!("{name}.out")), place.path(&format!("{name}.err")));
        command
            .stdin(stdin)
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .current_dir(place.folder());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { name, child, out, err }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output until now.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it has written to standard error until now.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Sends a signal by name: `INT`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let line = format!("kill -s {signal} {}", self.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success(), "{line}");
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; panics when it does not come in time.
    pub(crate) fn wait(mut self, patience: Duration) -> Ended {
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{} has not ended within {patience:?}", self.name);
            std::thread::sleep(LOOK_INTERVAL);
        };
        let (stdout, stderr) = (self.stdout(), self.stderr());
        Ended { name: self.name.clone(), code: status.code(), stdout, stderr }
    }

    /// The most memory it has had, in bytes.
    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; reaping is what counts.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<&str> = stderr.lines().collect();
            let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
            eprintln!("--- {} said last:\n{shown}\n---", self.name);
        }
    }
}

impl Ended {
    /// Panics unless this was its exit code.
    pub(crate) fn expect_code(&self, code: i32) -> &Self {
        let Self { name, stdout, stderr, .. } = self;
        assert_eq!(self.code, Some(code), "{name}'s exit code; it said\n{stdout}\n{stderr}");
        self
    }

    /// Panics unless standard error holds all of these, and no panic's trace.
    pub(crate) fn expect_said(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{} does not say {part:?} but\n{}", self.name, self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Panics unless this was its exit code, and all that it printed is the error that says so.
    pub(crate) fn expect_error(&self, code: i32) -> &Self {
        let told = self.expect_code(code).json();
        assert_eq!((&told["error"]["code"], told.as_object().unwrap().len()), (&code.into(), 1), "{told}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(self.stderr.contains(message.split_whitespace().last().unwrap()), "{told}: {}", self.stderr);
        self
    }

    /// Standard output, which must be one JSON object and nothing else.
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{}: no single JSON object ({error}): {:?}", self.name, self.stdout)
        });
        assert!(value.is_object(), "{value}");
        value
    }
}
