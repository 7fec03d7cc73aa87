//! The supervisor between this program and the compositor: `supervise.sh`, run by `/bin/sh`.
//!
//! A compositor must not outlive the program that started it, not even when that one is killed with -9
//! and can do nothing about it. PR_SET_PDEATHSIG is not enough: it follows the death of a *thread*, is
//! lost where credentials change, and does not reach what the compositor started. So a shell stands
//! between: it holds one end of a pipe (the lifeline) whose other end only this program has. When that
//! closes, for whatever reason, the shell ends the compositor, everything that the compositor started
//! (it is their reaper), and the runtime folder. An orderly stop is the same path: close the lifeline.
//!
//! A shell, and not a fork of this program: a fork would keep a copy of this program's memory for as
//! long as it lives; and not this program started anew: every user of this library would have to lend
//! its `main` for it.
//!
//! Promises: after [`Supervised::stop`] none of the desktop's processes is alive. Refuses: to wait for
//! that longer than its deadline; then it kills by itself.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{RunAs, processes};
use crate::{
    DisplayError,
    limits::{POLL_INTERVAL, STDERR_LAG, STDERR_LINE_BYTES_MAX, STDERR_LINES_MAX, STOP_DEADLINE},
};

const SCRIPT: &str = include_str!("supervise.sh");

/// A compositor and its supervisor; stopped on drop.
#[derive(Debug)]
pub(super) struct Supervised {
    shell: Child,
    lifeline: Option<ChildStdin>,
    status: Option<ExitStatus>,
    runtime_dir: PathBuf,
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Supervised {
    /// Starts `command` (program first) as `run_as`, with an environment of its own.
    pub(super) fn spawn(
        command: &[OsString],
        runtime_dir: &Path,
        run_as: Option<RunAs>,
    ) -> Result<Self, DisplayError> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "punktfunk-supervise"]).arg(runtime_dir).args(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).current_dir("/");
        set_environment(&mut shell, runtime_dir);
        if let Some(RunAs { uid, gid }) = run_as {
            // With a user id and no list of groups, std clears the supplementary groups when it is root.
            shell.uid(uid).gid(gid);
        }
        // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe
        // functions may be called: setsid and prctl are plain system calls, and nothing is allocated
        // (`last_os_error` reads errno).
        unsafe { shell.pre_exec(become_reaper) };
        let mut shell =
            shell.spawn().map_err(|source| DisplayError::Spawn { program: "/bin/sh".to_owned(), source })?;
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let reader = shell.stderr.take().map(|stderr| {
            let lines = Arc::clone(&lines);
            thread::spawn(move || keep_last_lines(stderr, &lines))
        });
        let lifeline = shell.stdin.take();
        Ok(Self { shell, lifeline, status: None, runtime_dir: runtime_dir.to_owned(), lines, reader })
    }

    /// The compositor's exit status in words, once it has ended and everything is cleaned up.
    pub(super) fn exit_status(&mut self) -> Option<String> {
        if self.status.is_none() {
            self.status = self.shell.try_wait().ok().flatten();
        }
        self.status.map(describe)
    }

    /// Gives a compositor that is about to end the time to do it, so that its end can be told.
    pub(super) fn settle(&mut self) {
        self.wait(STDERR_LAG);
    }

    /// The last lines of stderr, until now.
    pub(super) fn stderr(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return "nothing".to_owned();
        }
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// The last lines of stderr, of a compositor that has ended.
    pub(super) fn stderr_at_end(&self) -> String {
        let started = Instant::now();
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished())
            && started.elapsed() < STDERR_LAG
        {
            thread::sleep(POLL_INTERVAL);
        }
        self.stderr()
    }

    /// Ends the compositor and all that it started.
    pub(super) fn stop(&mut self, deadline: Duration) -> Result<(), DisplayError> {
        self.lifeline = None;
        let ended = self.wait(deadline);
        // Also where the supervisor has ended: it may have been killed before its work was done.
        let left = processes::kill_all_in(&self.runtime_dir);
        if !ended {
            // It is dead, or about to be: SIGKILL is never late by much.
            let _ = self.shell.kill();
            self.status = self.shell.wait().ok();
        }
        if ended && left == 0 { Ok(()) } else { Err(DisplayError::Killed { waited: deadline, left }) }
    }

    /// Whether the supervisor has ended within `deadline`.
    fn wait(&mut self, deadline: Duration) -> bool {
        let started = Instant::now();
        while self.exit_status().is_none() {
            if started.elapsed() >= deadline {
                return false;
            }
            thread::sleep(POLL_INTERVAL);
        }
        true
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if self.lifeline.is_some()
            && let Err(error) = self.stop(STOP_DEADLINE)
        {
            tracing::warn!(%error, "stopped by force");
        }
    }
}

/// A session of its own (a terminal's Ctrl-C is for the program, which then stops us), and every
/// orphan below us becomes our child.
fn become_reaper() -> std::io::Result<()> {
    // SAFETY: setsid has no arguments and touches no memory of ours.
    if unsafe { libc::setsid() } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: with this option prctl takes one integer and touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// Nothing of the program's own environment but the search path: no display, no bus, no secret.
fn set_environment(command: &mut Command, runtime_dir: &Path) {
    command.env_clear();
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    command.env("PATH", path);
    command.env("HOME", runtime_dir);
    command.env("XDG_RUNTIME_DIR", runtime_dir);
    command.env("SWAYSOCK", runtime_dir.join("sway-ipc.sock"));
    // foot wants UTF-8, and this one is in every libc.
    command.env("LC_ALL", "C.UTF-8");
    command.env("WLR_BACKENDS", "headless");
    command.env("WLR_RENDERER", "pixman");
    command.env("WLR_LIBINPUT_NO_DEVICES", "1");
    // Each output is made when somebody comes to look at it.
    command.env("WLR_HEADLESS_OUTPUTS", "0");
}

fn describe(status: ExitStatus) -> String {
    // The shell gives a signal's number as 128 + n.
    match status.code() {
        Some(code) if code > 128 => format!("killed by signal {}", code - 128),
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

/// Reads until the last holder of the pipe has gone; keeps the last lines only.
fn keep_last_lines(stderr: ChildStderr, lines: &Mutex<VecDeque<String>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes_max = STDERR_LINE_BYTES_MAX as u64;
        match stderr.by_ref().take(bytes_max).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        tracing::debug!(target: "punktfunk_display::sway", "{text}");
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Path) -> Supervised {
        Supervised::spawn(&["sh".into(), "-c".into(), script.into()], dir, None).unwrap()
    }

    fn ended(supervised: &mut Supervised) -> String {
        assert!(supervised.wait(Duration::from_secs(10)), "still running");
        supervised.exit_status().unwrap()
    }

    /// A folder that the supervisor may remove, below one that stays.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("run");
        std::fs::create_dir(&dir).unwrap();
        (temp, dir)
    }

    #[test]
    fn an_end_is_told_with_its_status_and_last_words() {
        let (_temp, dir) = folder();
        let mut supervised = shell("echo no screen >&2; exit 7", &dir);
        assert_eq!(ended(&mut supervised), "exit status 7");
        assert_eq!(supervised.stderr_at_end(), "no screen");
        assert!(!dir.exists());
        supervised.stop(STOP_DEADLINE).unwrap();
    }

    #[test]
    fn only_the_last_words_are_kept() {
        let (_temp, dir) = folder();
        let mut supervised =
            shell("n=0; while [ $n -lt 1000 ]; do n=$((n+1)); echo line $n >&2; done; kill -9 $$", &dir);
        assert_eq!(ended(&mut supervised), "killed by signal 9");
        let stderr = supervised.stderr_at_end();
        assert!(stderr.contains("line 1000") && !stderr.contains("line 900 "), "{stderr}");
        assert!(stderr.len() < STDERR_LINES_MAX * STDERR_LINE_BYTES_MAX);
    }

    #[test]
    fn stop_takes_children_in_their_own_sessions_too() {
        let (_temp, dir) = folder();
        // As sway does it: a child that left its parent and its session; and one that ignores SIGTERM.
        let script = "(setsid sh -c 'trap \"\" TERM HUP; (sleep 70; true) & sleep 71; true' &) ; sleep 72";
        let mut supervised = shell(script, &dir);
        let started = Instant::now();
        while processes::all_in(&dir).len() < 6 {
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", processes::all_in(&dir));
            thread::sleep(POLL_INTERVAL);
        }
        supervised.stop(STOP_DEADLINE).unwrap();
        assert_eq!(processes::all_in(&dir), Vec::<i32>::new());
        assert!(!dir.exists());
    }

    #[test]
    fn what_ignores_the_asking_is_killed() {
        let (_temp, dir) = folder();
        let mut supervised = shell("trap '' TERM; while :; do sleep 0.1; done", &dir);
        let started = Instant::now();
        while processes::all_in(&dir).len() < 3 {
            assert!(started.elapsed() < Duration::from_secs(10));
            thread::sleep(POLL_INTERVAL);
        }
        let started = Instant::now();
        supervised.stop(STOP_DEADLINE).unwrap();
        assert!(started.elapsed() < STOP_DEADLINE, "{:?}", started.elapsed());
        assert!(processes::all_in(&dir).is_empty() && !dir.exists());
    }

    #[test]
    fn a_killed_program_reads_no_stderr_and_all_is_cleaned_up() {
        let (_temp, dir) = folder();
        let mut shell = Command::new("/bin/sh");
        // It dies of the signal, which the shell tells.
        shell.args(["-c", SCRIPT, "punktfunk-supervise"]).arg(&dir).args(["sleep", "74"]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        set_environment(&mut shell, &dir);
        // SAFETY: as in `Supervised::spawn`.
        unsafe { shell.pre_exec(become_reaper) };
        let mut shell = shell.spawn().unwrap();
        let started = Instant::now();
        // Until it is executed it still is the supervisor's copy, which catches the signal.
        let is_sleep =
            |id| std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm == "sleep\n");
        while processes::all_in(&dir).len() < 3 || !processes::all_in(&dir).into_iter().any(is_sleep) {
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", processes::all_in(&dir));
            thread::sleep(POLL_INTERVAL);
        }
        drop(shell.stderr.take());
        drop(shell.stdin.take());
        assert_eq!(describe(shell.wait().unwrap()), "killed by signal 15");
        assert!(processes::all_in(&dir).is_empty() && !dir.exists());
    }

    #[test]
    fn a_killed_supervisor_is_made_up_for() {
        let (_temp, dir) = folder();
        let mut supervised = shell("sleep 73; true", &dir);
        let started = Instant::now();
        while processes::all_in(&dir).len() < 4 {
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", processes::all_in(&dir));
            thread::sleep(POLL_INTERVAL);
        }
        supervised.shell.kill().unwrap();
        let error = supervised.stop(STOP_DEADLINE).unwrap_err();
        assert!(matches!(error, DisplayError::Killed { left, .. } if left > 0), "{error}");
        assert!(processes::all_in(&dir).is_empty());
    }
}
