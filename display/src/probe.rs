//! Which compositors are here, asked from their own binaries.
//!
//! Promises an answer for every [`CompositorKind`], within a deadline each; starts no compositor.
//! Refuses nothing: what cannot be used is listed with its reason.

use std::{
    fmt,
    fs::File,
    io::Read,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    time::Instant,
};

use crate::limits::{ANSWER_BYTES_MAX, VERSION_DEADLINE};

/// The compositors that the project knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompositorKind {
    /// sway, and with it wlroots.
    Sway,
    /// KDE's KWin.
    Kwin,
    /// GNOME's Mutter.
    Mutter,
    /// Valve's gamescope.
    Gamescope,
}

impl CompositorKind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Sway, Self::Kwin, Self::Mutter, Self::Gamescope];

    /// The name on the wire and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sway => "sway",
            Self::Kwin => "kwin",
            Self::Mutter => "mutter",
            Self::Gamescope => "gamescope",
        }
    }

    /// The Debian package that has it.
    pub fn package(self) -> &'static str {
        match self {
            Self::Sway => "sway",
            Self::Kwin => "kwin-wayland",
            Self::Mutter => "gnome-shell",
            Self::Gamescope => "gamescope",
        }
    }

    /// Its programs, the first that is there is asked.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Sway => &["sway"],
            Self::Kwin => &["kwin_wayland"],
            Self::Mutter => &["gnome-shell", "mutter"],
            Self::Gamescope => &["gamescope"],
        }
    }

    /// Whether this build can make a virtual display in it, and from which version on.
    fn version_min(self) -> Option<(u32, u32)> {
        match self {
            // `create_output` and custom modes; older ones were never tried.
            Self::Sway => Some((1, 7)),
            Self::Kwin | Self::Mutter | Self::Gamescope => None,
        }
    }
}

impl fmt::Display for CompositorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a compositor cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No program of it is in `PATH`.
    #[error("not installed; on Debian: apt install {package}")]
    NotInstalled {
        /// The Debian package.
        package: &'static str,
    },
    /// It is here, and this build cannot drive it.
    #[error("this build has no backend for it")]
    NoBackend,
    /// It is older than the oldest one that works.
    #[error("version {found} is too old: {needed} or newer is needed")]
    TooOld {
        /// The version that is here.
        found: String,
        /// The oldest one that works.
        needed: String,
    },
    /// It did not say its version.
    #[error("it did not say its version: {said}")]
    NoVersion {
        /// What it said in place of it.
        said: String,
    },
}

/// One compositor, as it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompositorProbe {
    /// Which one.
    pub kind: CompositorKind,
    /// The version that its binary prints, digits and dots first.
    pub version: Option<String>,
    /// Whether a session can run in it, or why it cannot.
    pub usable: Result<(), Reason>,
}

impl fmt::Display for CompositorProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        match &self.usable {
            Ok(()) => f.write_str(": usable"),
            Err(reason) => write!(f, ": {reason}"),
        }
    }
}

/// Asks every known compositor for its version. Takes milliseconds for what is there, and at most
/// [`VERSION_DEADLINE`] for each one that hangs.
pub fn probe() -> Vec<CompositorProbe> {
    CompositorKind::ALL.into_iter().map(probe_one).collect()
}

/// The same for one of them.
pub fn probe_one(kind: CompositorKind) -> CompositorProbe {
    let answer = kind.programs().iter().find_map(|program| ask(program, "--version"));
    let (version, usable) = match answer {
        None => (None, Err(Reason::NotInstalled { package: kind.package() })),
        Some(said) => match find_version(&said) {
            None => {
                (None, Err(Reason::NoVersion { said: said.lines().next().unwrap_or("nothing").to_owned() }))
            }
            Some(version) => {
                let usable = judge(kind, version);
                (Some(version.to_owned()), usable)
            }
        },
    };
    CompositorProbe { kind, version, usable }
}

fn judge(kind: CompositorKind, version: &str) -> Result<(), Reason> {
    let needed = kind.version_min().ok_or(Reason::NoBackend)?;
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < needed {
        let needed = format!("{}.{}", needed.0, needed.1);
        return Err(Reason::TooOld { found: version.to_owned(), needed });
    }
    Ok(())
}

/// The first word that starts with a digit, or with `v` and a digit.
fn find_version(said: &str) -> Option<&str> {
    said.split_whitespace()
        .map(|word| word.strip_prefix('v').unwrap_or(word).trim_end_matches([',', ')', ';']))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

/// What `program argument` prints on stdout or else stderr; `None` where there is no such program. One
/// that is not done in time is killed, with all that it started, and what it said until then is the answer.
pub(crate) fn ask(program: &str, argument: &str) -> Option<String> {
    let mut child = Command::new(program)
        .arg(argument)
        // Qt programs want a display even to say their version.
        .env("QT_QPA_PLATFORM", "offscreen")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A script's own children hold the pipes too: they are found by the group.
        .process_group(0)
        .spawn()
        .ok()?;
    let deadline = Instant::now() + VERSION_DEADLINE;
    let pipes = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    let [said, complained] = read_until(deadline, pipes.map(|pipe| pipe.map(File::from)));
    kill_group(&mut child);
    let said = if said.trim_ascii().is_empty() { complained } else { said };
    Some(String::from_utf8_lossy(&said).into_owned())
}

/// What comes out of pipes until they have all ended, one has said all that is listened to, or `deadline`.
fn read_until(deadline: Instant, mut pipes: [Option<File>; 2]) -> [Vec<u8>; 2] {
    let mut said = [Vec::new(), Vec::new()];
    while pipes.iter().any(Option::is_some) && said.iter().all(|said| said.len() < ANSWER_BYTES_MAX) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // poll passes over negative descriptors.
        let mut asked = pipes.each_ref().map(|pipe| libc::pollfd {
            fd: pipe.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            events: libc::POLLIN,
            revents: 0,
        });
        let patience = libc::c_int::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(libc::c_int::MAX);
        // SAFETY: `asked` holds as many entries as are named, and outlives the call; its descriptors are
        // open as long as `pipes` holds them.
        unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, patience) };
        // Interrupted or in vain, it leaves `revents` at 0.
        for ((pipe, said), asked) in pipes.iter_mut().zip(&mut said).zip(asked) {
            let Some(open) = pipe.as_mut().filter(|_| asked.revents != 0) else { continue };
            let mut bytes = [0; 4_096];
            match open.read(&mut bytes) {
                Ok(0) | Err(_) => *pipe = None,
                Ok(count) => said.extend_from_slice(&bytes[..count]),
            }
        }
    }
    said
}

/// Ends a child with its group, whatever still runs of them.
fn kill_group(child: &mut Child) {
    if let Ok(group) = libc::pid_t::try_from(child.id()) {
        // SAFETY: kill takes two integers and touches no memory of ours. The child leads its group and was not
        // waited for yet, so the number is nobody else's.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    // It may have left its group. Both fail only when it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::limits::POLL_INTERVAL;

    #[test]
    fn finds_versions_in_what_the_compositors_print() {
        for (said, version) in [
            ("sway version 1.7", "1.7"),
            ("sway version 1.12-dev-abcdef (Oct 1 2026, branch 'x')", "1.12-dev-abcdef"),
            ("kwin 6.3.6", "6.3.6"),
            ("GNOME Shell 48.7", "48.7"),
            ("gamescope version v3.16.4, (gcc 14)", "3.16.4"),
        ] {
            assert_eq!(find_version(said), Some(version), "{said}");
        }
        assert_eq!(find_version("segmentation fault"), None);
        assert_eq!(find_version(""), None);
    }

    #[test]
    fn old_and_unknown_ones_are_named() {
        assert_eq!(judge(CompositorKind::Sway, "1.7"), Ok(()));
        assert_eq!(judge(CompositorKind::Sway, "1.12-dev"), Ok(()));
        assert_eq!(judge(CompositorKind::Sway, "2"), Ok(()));
        assert!(matches!(judge(CompositorKind::Sway, "1.5.1"), Err(Reason::TooOld { .. })));
        assert_eq!(judge(CompositorKind::Kwin, "6.3"), Err(Reason::NoBackend));
    }

    #[test]
    fn every_kind_is_listed_with_a_version_or_a_reason() {
        let list = probe();
        assert_eq!(list.len(), CompositorKind::ALL.len());
        for one in list {
            assert!(one.version.is_some() || one.usable.is_err(), "{one}");
            assert!(one.to_string().starts_with(one.kind.name()));
        }
    }

    /// A program that a shell runs.
    fn script(folder: &Path, lines: &str) -> String {
        let (text, program) = (folder.join("text"), folder.join("program"));
        fs::write(&text, format!("#!/bin/sh\n{lines}\n")).unwrap();
        // Written by another process: what a test beside us forks could hold it open for writing, and the
        // kernel runs no file that is.
        let install = Command::new("install").arg("--mode=700").args([&text, &program]).status().unwrap();
        assert!(install.success());
        program.display().to_string()
    }

    #[test]
    fn a_wrappers_program_that_hangs_is_killed_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let program = script(
            folder.path(),
            &format!("echo sway version 1.9\nsh -c 'echo $$ > {}; exec sleep 60'\nexit 0", pid.display()),
        );
        let started = Instant::now();
        let said = ask(&program, "--version").unwrap();
        let took = started.elapsed();
        assert_eq!(said, "sway version 1.9\n");
        assert!(took >= VERSION_DEADLINE && took < VERSION_DEADLINE * 10, "{took:?}");
        // It ends once the kernel has come to it, and whoever is its parent by now has to bury it.
        let stat = format!("/proc/{}/stat", fs::read_to_string(&pid).unwrap().trim());
        let runs = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while runs() {
            assert!(started.elapsed() < VERSION_DEADLINE * 10, "the grandchild lives");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    #[test]
    fn words_on_either_pipe_are_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        for (lines, said) in [("echo a; echo b >&2", "a\n"), ("echo b >&2; echo", "b\n"), ("exit 3", "")] {
            assert_eq!(ask(&script(folder.path(), lines), "--version").unwrap(), said, "{lines}");
        }
    }

    #[test]
    fn a_missing_program_is_none_and_a_chatty_one_is_cut_off() {
        assert_eq!(ask("punktfunk-no-such-program", "--version"), None);
        let started = Instant::now();
        let said = ask("yes", "sway version 9.9").expect("coreutils are here");
        assert!(said.starts_with("sway version 9.9"));
        assert!(started.elapsed() < VERSION_DEADLINE * 2);
    }
}
