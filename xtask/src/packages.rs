//! Debian's packages that a chore needs: which, why, and how they get here.
//!
//! Promises: only stock packages of Debian 12 and later, only those that are missing; says which; asks
//! when somebody sits at the terminal, and never waits for an answer that nobody can give.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::fault::{Fault, PackageTrouble};
use crate::process;

/// A package and what it is for.
pub(crate) type Package = (&'static str, &'static str);

/// What building takes, beside Rust and a C compiler.
pub(crate) const BUILD: &[Package] = &[
    ("g++", "compiles openh264"),
    ("nasm", "assembles openh264's kernels"),
    ("libpipewire-0.3-dev", "the library that hands a desktop's pictures out"),
    ("libclang1", "reads its headers"),
    ("pkg-config", "finds it"),
];

/// What the demo shows.
pub(crate) const DESKTOP: &[Package] =
    &[("sway", "the compositor, without a screen"), ("foot", "a terminal in it, so that something moves")];

/// What the tests look with.
pub(crate) const TESTS: &[Package] = &[
    ("chromium", "opens the report's page and the console"),
    ("dbus-daemon", "a session bus, for a desktop portal of the tests' own"),
    ("ethtool", "switches a network device's offloads"),
    ("ffmpeg", "an independent decoder"),
    ("glslang-tools", "compiles the shaders, to be compared"),
    ("iproute2", "network namespaces"),
    ("mesa-vulkan-drivers", "Vulkan on the CPU"),
    ("nftables", "firewalls for the doctor to find"),
    ("pipewire", "a daemon for the doctor to ask"),
    ("python3", "a second implementation of the wire"),
];

/// What the tests look with that is fetched and unpacked, and not installed: see `unpacked`.
pub(crate) const UNPACKED: &[Package] = &[
    ("avahi-daemon", "hears what a host says of itself"),
    ("avahi-utils", "asks it, as a Linux desktop does"),
];

/// What a virtual machine is made and run with.
pub(crate) const VM: &[Package] = &[
    ("busybox-static", "the first programs in a virtual machine"),
    ("kmod", "tells which modules need which"),
    ("qemu-system-x86", "the virtual machine, emulated"),
    ("xz-utils", "unpacks its modules"),
    ("zstd", "unpacks its kernel"),
];

/// What a newer userland is made with.
pub(crate) const USERLAND: &[Package] = &[("mmdebstrap", "makes a newer Debian's userland in a folder")];

/// What counts instructions and watches memory.
pub(crate) const VALGRIND: &[Package] =
    &[("valgrind", "counts instructions and watches the unsafe code's memory")];

/// What makes Debian packages.
pub(crate) const PACKAGE: &[Package] = &[("dpkg-dev", "tells which packages a program links")];

/// What builds the console.
pub(crate) const WEB: &[Package] =
    &[("nodejs", "runs what builds the console"), ("npm", "fetches that, by its hashes")];

/// What compiles the shaders.
pub(crate) const SHADERS: &[Package] = &[("glslang-tools", "compiles the shaders")];

/// Sees to it that every package of `groups` is installed.
pub(crate) fn ensure(groups: &[&[Package]], install: bool) -> Result<(), Fault> {
    if !install {
        return Ok(());
    }
    let wanted: Vec<Package> = groups.iter().flat_map(|group| group.iter().copied()).collect();
    let names = |packages: &[Package]| packages.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let trouble = |packages: &[Package], why| Fault::Packages { missing: names(packages), why };
    if process::find("dpkg-query").is_none() || process::find("apt-get").is_none() {
        return Err(trouble(&wanted, PackageTrouble::NotDebian));
    }
    let missing = missing(&wanted);
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("These Debian packages are missing and will be installed:");
    for (name, reason) in &missing {
        eprintln!("  {name:<10} {reason}");
    }
    if std::io::stdin().is_terminal() && !agreed(&mut std::io::stdin().lock()) {
        return Err(trouble(&missing, PackageTrouble::Declined));
    }
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && process::find("sudo").is_none() {
        return Err(trouble(&missing, PackageTrouble::NotRoot));
    }
    install_all(&names(&missing), is_root).map_err(|_| trouble(&missing, PackageTrouble::AptFailed))?;
    let left = self::missing(&missing);
    if left.is_empty() { Ok(()) } else { Err(trouble(&left, PackageTrouble::StillMissing)) }
}

fn missing(wanted: &[Package]) -> Vec<Package> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"]);
    query.args(wanted.iter().map(|(name, _)| name)).stdin(Stdio::null());
    // Its exit code is 1 when one is unknown; what it prints about the others still holds.
    let listing = query.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let listing = listing.unwrap_or_default();
    wanted.iter().copied().filter(|(name, _)| !is_installed(&listing, name)).collect()
}

fn is_installed(listing: &str, name: &str) -> bool {
    listing.lines().any(|line| line.split_once(' ') == Some((name, "installed")))
}

fn agreed(answers: &mut impl BufRead) -> bool {
    eprint!("Install them now? [Y/n] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    match answers.read_line(&mut answer) {
        Ok(0) | Err(_) => false,
        Ok(_) => matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"),
    }
}

/// Installs, with the lists as they are first; where these are none or old, brought up to date.
fn install_all(names: &[&str], is_root: bool) -> Result<(), Fault> {
    let lists_know = names.iter().all(|name| {
        let mut show = Command::new("apt-cache");
        process::output(show.args(["show", "--quiet", name]).stderr(Stdio::null()))
            .is_ok_and(|shown| !shown.is_empty())
    });
    if lists_know && apt(is_root, &install_words(names)).is_ok() {
        return Ok(());
    }
    apt(is_root, &["update"])?;
    apt(is_root, &install_words(names))
}

/// Brings the lists of packages up to date.
pub(crate) fn update() -> Result<(), Fault> {
    apt(rustix::process::geteuid().is_root(), &["update"])
}

fn install_words<'a>(names: &[&'a str]) -> Vec<&'a str> {
    // Recommendations would bring a desktop's worth of packages.
    [&["install", "--yes", "--no-install-recommends"], names].concat()
}

fn apt(is_root: bool, words: &[&str]) -> Result<(), Fault> {
    let mut command = Command::new(if is_root { "env" } else { "sudo" });
    if !is_root {
        command.arg("env");
        if !std::io::stdin().is_terminal() {
            // Nobody can type a password: fail and say so.
            command = Command::new("sudo");
            command.args(["--non-interactive", "env"]);
        }
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300", "--quiet"]);
    process::run(command.args(words).stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts() {
        let listing = "g++ installed\nnasm config-files\nsway not-installed\nffmpeg-doc installed\n";
        assert!(is_installed(listing, "g++"));
        for name in ["nasm", "sway", "ffmpeg", "foot", ""] {
            assert!(!is_installed(listing, name), "{name}");
        }
    }

    #[test]
    fn an_unknown_package_is_missing_and_a_known_one_is_not() {
        if process::find("dpkg-query").is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "dpkg-query must be installed under CI");
            eprintln!("not checked: this is no Debian, there is no dpkg-query");
            return;
        }
        let wanted = [("dpkg", "is always there on Debian"), ("no-such-package-anywhere", "is not")];
        assert_eq!(missing(&wanted), [wanted[1]]);
    }

    #[test]
    fn silence_is_not_consent_but_enter_is() {
        for (answer, expected) in [("\n", true), ("y\n", true), ("Yes\n", true), ("n\n", false), ("", false)]
        {
            assert_eq!(agreed(&mut answer.as_bytes()), expected, "{answer:?}");
        }
    }

    #[test]
    fn what_the_tests_start_is_installed_for_them() {
        let programs = [
            ("dbus-daemon", "dbus-daemon"),
            ("ethtool", "ethtool"),
            ("ffprobe", "ffmpeg"),
            ("glslangValidator", "glslang-tools"),
            ("ip", "iproute2"),
            ("nft", "nftables"),
            ("pipewire", "pipewire"),
            ("python3", "python3"),
            ("swaymsg", "sway"),
        ];
        for (program, package) in programs {
            let mut installed = DESKTOP.iter().chain(TESTS);
            assert!(installed.any(|(name, _)| *name == package), "nobody installs {program}");
        }
    }

    #[test]
    fn the_readme_names_every_package_that_a_test_run_installs_or_unpacks() {
        let readme = std::fs::read_to_string(crate::workspace::root().unwrap().join("README.md")).unwrap();
        let list =
            readme.split("say which, and ask first").nth(1).and_then(|it| it.split_once("`).")).unwrap().0;
        let named: Vec<_> = list.split(|it: char| it.is_whitespace() || "`;()".contains(it)).collect();
        for (name, _) in [BUILD, DESKTOP, TESTS, UNPACKED, USERLAND, VM].into_iter().flatten() {
            assert!(named.contains(name), "the README does not name {name}");
        }
    }

    #[test]
    fn no_install_asks_nobody() {
        assert!(ensure(&[&[("no-such-package-anywhere", "is not")]], false).is_ok());
    }
}
