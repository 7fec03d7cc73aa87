//! Which compositors are here, asked from their own binaries.
//!
//! Promises an answer for every [`CompositorKind`], within a deadline each; starts no compositor.
//! Refuses nothing: what cannot be used is listed with its reason.

use std::{
    fmt,
    io::Read,
    process::{Command, Stdio},
    time::Instant,
};

use crate::limits::{POLL_INTERVAL, VERSION_DEADLINE};

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

fn probe_one(kind: CompositorKind) -> CompositorProbe {
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
/// that does not end in time is killed, and what it said until then is the answer.
pub(crate) fn ask(program: &str, argument: &str) -> Option<String> {
    let mut child = Command::new(program)
        .arg(argument)
        // Qt programs want a display even to say their version.
        .env("QT_QPA_PLATFORM", "offscreen")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + VERSION_DEADLINE;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(POLL_INTERVAL);
    }
    // Both fail only when it has ended already.
    let _ = child.kill();
    let _ = child.wait();
    let mut said = String::new();
    for pipe in [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
    ]
    .into_iter()
    .flatten()
    {
        if said.trim().is_empty() {
            let mut bytes = Vec::new();
            // A pipe's 64 KiB is all that the child could leave in it.
            let _ = pipe.take(65_536).read_to_end(&mut bytes);
            said = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_missing_program_is_none_and_a_chatty_one_is_cut_off() {
        assert_eq!(ask("punktfunk-no-such-program", "--version"), None);
        let started = Instant::now();
        let said = ask("yes", "sway version 9.9").expect("coreutils are here");
        assert!(said.starts_with("sway version 9.9"));
        assert!(started.elapsed() < VERSION_DEADLINE * 2);
    }
}
