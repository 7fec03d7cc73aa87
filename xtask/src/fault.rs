//! What can go wrong in a chore: whose fault it is, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Every error of this program.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The command line makes no sense.
    Usage { problem: String },
    /// The system refused something.
    Io { action: String, source: io::Error },
    /// A program that was called failed; its own words are on the terminal or in `log`.
    Command { command: String, status: ExitStatus, log: Option<PathBuf> },
    /// A program gave something that cannot be read.
    Answer { program: String, expected: &'static str, got: String },
    /// A program did not do in time what it must.
    Late { program: String, waited_s: u64, expected: &'static str, log: PathBuf },
    /// Packages are missing and may or can not be installed.
    Packages { missing: Vec<&'static str>, why: PackageTrouble },
    /// The tree is not tidy.
    Findings { count: usize },
    /// Verbs take other instructions than the table says.
    Instructions { count: usize },
    /// What a tier of tests runs in, a virtual machine or another userland, cannot be had.
    Machine { problem: String },
    /// What ran in the virtual machine or another userland ended with this code, or without one.
    Guest { code: Option<u8>, console: PathBuf },
    /// Tests failed under memcheck, or used memory wrongly.
    Memory { count: usize },
    /// Programs of tests failed in the newer userland.
    Userland { count: usize },
    /// The console in the tree is not what its sources give.
    Web { differing: Vec<PathBuf> },
    /// What the GPU's library holds is not what its shaders give.
    Shaders { differing: Vec<PathBuf> },
    /// The demo ended without what it must leave.
    Incomplete { missing: Vec<PathBuf>, log: PathBuf },
    /// Somebody pressed Ctrl-C, or asked for the end by a signal.
    Interrupted,
}

/// Why packages were not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackageTrouble {
    /// The person said no.
    Declined,
    /// Not root, and no sudo.
    NotRoot,
    /// No dpkg-query or apt-get: not a Debian.
    NotDebian,
    /// apt-get ended with an error, shown above.
    AptFailed,
    /// It ended well, yet they are not there.
    StillMissing,
}

impl Fault {
    /// An IO error with what was being done.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Fault {
        move |source| Fault::Io { action: action.into(), source }
    }

    /// The program's exit code: 2 for a wrong command line, 130 after Ctrl-C, a guest's own, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Fault::Usage { .. } => 2,
            Fault::Interrupted => 130,
            Fault::Guest { code: Some(code), .. } => *code,
            Fault::Io { .. }
            | Fault::Command { .. }
            | Fault::Answer { .. }
            | Fault::Late { .. }
            | Fault::Packages { .. }
            | Fault::Findings { .. }
            | Fault::Instructions { .. }
            | Fault::Machine { .. }
            | Fault::Guest { code: None, .. }
            | Fault::Memory { .. }
            | Fault::Userland { .. }
            | Fault::Web { .. }
            | Fault::Shaders { .. }
            | Fault::Incomplete { .. } => 1,
        }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Usage { problem } => write!(f, "{problem}\n\n{}", crate::args::USAGE),
            Fault::Io { action, source } => write!(f, "cannot {action}: {source}"),
            Fault::Command { command, status, log: None } => write!(f, "`{command}` ended with {status}"),
            Fault::Command { command, status, log: Some(log) } => {
                write!(f, "`{command}` ended with {status}; its words are in {}", log.display())
            }
            Fault::Answer { program, expected, got } => {
                write!(f, "{program} did not give {expected}, but {got:?}")
            }
            Fault::Late { program, waited_s, expected, log } => {
                write!(
                    f,
                    "{program} did not {expected} within {waited_s} s; its words are in {}",
                    log.display()
                )
            }
            Fault::Packages { missing, why } => say_packages(&missing.join(" "), *why, f),
            Fault::Findings { count } => write!(f, "{count} findings: the tree is not tidy"),
            Fault::Instructions { count } => write!(
                f,
                "{count} verbs do not take what perf/instructions.toml says; \
                 if it must be so, renew it: cargo xtask instructions --renew"
            ),
            Fault::Machine { problem } => write!(f, "{problem}"),
            Fault::Guest { code: Some(code), console } => {
                write!(f, "what ran there ended with {code}; its words are in {}", console.display())
            }
            Fault::Guest { code: None, console } => {
                write!(f, "it was ended before its job was done; its words are in {}", console.display())
            }
            Fault::Memory { count } => write!(
                f,
                "{count} test programs failed under memcheck; what it says is above and in target/valgrind"
            ),
            Fault::Userland { count } => {
                write!(f, "{count} programs of tests failed in the newer userland; their words are above")
            }
            Fault::Web { differing } => {
                let names: Vec<String> =
                    differing.iter().map(|path| format!("web/{}", path.display())).collect();
                write!(f, "not what the sources in web/ give: {}; run `cargo xtask web`", names.join(", "))
            }
            Fault::Shaders { differing } => {
                let names: Vec<String> = differing.iter().map(|path| path.display().to_string()).collect();
                write!(f, "not what the shaders give: {}; run `cargo xtask shaders`", names.join(", "))
            }
            Fault::Incomplete { missing, log } => {
                let names: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
                write!(f, "the demo did not leave {}; see {}", names.join(", "), log.display())
            }
            Fault::Interrupted => write!(f, "interrupted; everything that was started has been ended"),
        }
    }
}

fn say_packages(names: &str, why: PackageTrouble, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match why {
        PackageTrouble::Declined => write!(f, "these packages are needed: {names}"),
        PackageTrouble::NotRoot => write!(
            f,
            "neither root nor sudo is here to install packages; as root, run: apt-get install {names}"
        ),
        PackageTrouble::NotDebian => write!(
            f,
            "this machine has no dpkg-query and apt-get; install what Debian calls {names} \
             by its own means, then add --no-install"
        ),
        PackageTrouble::AptFailed => write!(
            f,
            "apt-get could not install {names} (its words are above); \
             check the network and the package sources, or install them and add --no-install"
        ),
        PackageTrouble::StillMissing => {
            write!(f, "apt-get ended well, yet these packages are not installed: {names}")
        }
    }
}
