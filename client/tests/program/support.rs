//! The client as a program: started in a folder of its own, watched to its end.
//!
//! Promises: no wait without an end, no client that outlives its test. Refuses the person's own settings.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What a busy machine may add to a time that is promised.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// No test of these waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A client under way.
pub(crate) struct Client {
    place: TempDir,
    child: Child,
    started: Instant,
    is_json: bool,
}

/// A client that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    is_json: bool,
}

/// Runs the client in a folder of its own and waits for its end.
pub(crate) fn run(args: &[&str], env: &[(&str, &str)]) -> Ended {
    Client::start(args, env).wait()
}

impl Client {
    /// Starts it in a folder of its own.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_reading(args, env, Stdio::null())
    }

    /// Starts it in a folder of its own, reading from this.
    pub(crate) fn start_reading(args: &[&str], env: &[(&str, &str)], input: Stdio) -> Self {
        let place = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_punktfunk"));
        let ours = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("PUNKTFUNK_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command
            .args(args)
            .env("XDG_CONFIG_HOME", place.path())
            .env("HOME", place.path())
            .envs(env.iter().copied())
            .stdin(input)
            .stdout(fs::File::create(place.path().join("out")).unwrap())
            .stderr(fs::File::create(place.path().join("err")).unwrap());
        let started = Instant::now();
        Self { child: command.spawn().unwrap(), place, started, is_json: args.contains(&"--json") }
    }

    /// Sends a signal by name: `INT`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let line = format!("kill -s {signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success(), "{line}");
    }

    /// Waits until it has something to do at SIGINT but to die of it.
    pub(crate) fn catches_interrupts(&self) {
        let catches = || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
        };
        while !catches() {
            assert!(self.started.elapsed() < PATIENCE, "the client does not catch SIGINT");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(self.started.elapsed() < PATIENCE, "the client does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = self.started.elapsed();
        let read = |name| fs::read_to_string(self.place.path().join(name)).unwrap();
        let is_json = self.is_json;
        Ended { code: status.code(), stdout: read("out"), stderr: read("err"), took, is_json }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It has ended by itself, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Panics unless the client ended with `code`, said all of these on standard error, and printed nothing, or with --json
    /// the same in one object.
    pub(crate) fn expect(&self, code: i32, said: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for part in said {
            assert!(self.stderr.contains(part), "{part:?} is not in {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        if self.is_json && code != 0 {
            let told: serde_json::Value = serde_json::from_str(&self.stdout).unwrap();
            assert_eq!(told["error"]["code"], code, "{told}");
            let message = told["error"]["message"].as_str().unwrap();
            assert!(self.stderr.contains(message.split_whitespace().next().unwrap()), "{told}");
        } else {
            assert_eq!(self.stdout, "");
        }
        self
    }
}
