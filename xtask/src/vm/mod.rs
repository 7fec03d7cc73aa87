//! `cargo xtask vm`: what this machine's kernel cannot show, in a virtual machine whose kernel can.
//!
//! Debian's kernel, emulated by qemu, with this machine's own files as its root: what was built here runs there as it
//! is. What is fetched is kept under `target/vm`, so that only the first run needs the network.
//!
//! Promises: the machine ends with its job or at [`PATIENCE`], however this program ends; the job's words come here as
//! they are said, and its exit code is ours. Refuses: to let the guest write anything of this machine's, and to take a
//! guest that died for one that ended well.

mod archive;
mod guest;
mod kernel;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::VmOptions;
use crate::fault::Fault;
use crate::process::Interrupt;
use crate::test_programs::{self, Scope, Tests};
use crate::{packages, suite, userland, workspace};

/// How long a guest may take from its start to its end: on two free cores all tests take two minutes, on busy ones three.
const PATIENCE: Duration = Duration::from_secs(500);

/// How long one test program may take in the guest.
const PROGRAM_PATIENCE_S: u64 = 150;

/// What the tests find: huge pages that are set apart, which whoever tests on his own machine may not have.
const SET_APART: &str = "echo 16 >/proc/sys/vm/nr_hugepages\n";

/// What runs in the guest where nothing else is asked for: what this machine's kernel may not be able to run in full,
/// and what an older kernel may do otherwise.
const TESTS: &[Tests] = &[
    Tests { package: "punktfunk-net", file: Some("departures"), filter: "" },
    Tests { package: "punktfunk-engine", file: Some("departures"), filter: "" },
    Tests { package: "punktfunk-net", file: None, filter: "ring" },
    Tests { package: "punktfunk-net", file: None, filter: "memory" },
    Tests { package: "punktfunk-net", file: Some("namespaces"), filter: "ring" },
    Tests { package: "punktfunk-net", file: Some("uring"), filter: "" },
    Tests { package: "punktfunk-net", file: Some("loopback"), filter: "" },
];

/// What runs in the guest among a newer Debian's programs: of each program the tests that are ignored elsewhere.
const USERLAND_TESTS: &[Tests] = &[
    Tests { package: "punktfunk-gpu", file: Some("dmabuf"), filter: "" },
    Tests {
        package: "punktfunk-capture",
        file: Some("dmabufs"),
        filter: "dmabufs_come_at points_are_said another_size",
    },
    Tests { package: "punktfunk-host", file: Some("dmabuf"), filter: "" },
];

/// What the last of them starts beside the two programs: an example of the capture's.
const PRODUCER: &str = "card-in-dmabufs";

/// Boots the machine and runs the tests in it, or what `options` ask for.
pub(crate) fn run(options: &VmOptions) -> Result<(), Fault> {
    let root = workspace::root()?;
    let machine = prepare(&root, options.install)?;
    if options.command.is_empty() {
        suite::build_programs(&root)?;
        return test(&root, &machine, Scope::Tests, Some(userland::ensure(&root, options.install)?));
    }
    machine.run(&command_job(&root, &options.command), PATIENCE, &Interrupt::install()?)
}

/// As a part of the suite.
pub(crate) fn run_in_suite(install: bool) -> Result<(), Fault> {
    let root = workspace::root()?;
    let Some(machine) = suite::unless_missing("the virtual machine", prepare(&root, install))? else {
        return Ok(());
    };
    let newer =
        suite::unless_missing("the virtual machine's newer userland", userland::ensure(&root, install))?;
    eprintln!("\n== cargo xtask vm");
    test(&root, &machine, Scope::Workspace, newer)
}

/// Runs the tests, those among newer programs where there are any.
fn test(
    root: &Path,
    machine: &guest::Machine,
    scope: Scope,
    newer: Option<userland::Made>,
) -> Result<(), Fault> {
    let all: Vec<Tests> = TESTS.iter().chain(newer.iter().flat_map(|_| USERLAND_TESTS)).copied().collect();
    let programs = test_programs::build(root, scope, &all)?;
    if newer.is_some() {
        test_programs::build_example(root, scope, &all, PRODUCER)?;
    }
    let (own, among_newer) = programs.split_at(TESTS.len());
    let newer = newer.as_ref().map(|newer| (newer.root.as_path(), among_newer));
    machine.run(&tests_job(root, own, newer), PATIENCE, &Interrupt::install()?)
}

/// A machine that can be booted.
fn prepare(root: &Path, install: bool) -> Result<guest::Machine, Fault> {
    if !cfg!(target_arch = "x86_64") {
        let problem = "the virtual machine is for x86-64 only".to_owned();
        return Err(Fault::Machine { problem });
    }
    packages::ensure(&[packages::VM], install)?;
    let folder = workspace::target_folder(root)?.join("vm");
    kernel::ensure(&folder)?;
    Ok(guest::Machine::in_folder(&folder))
}

/// Runs each program, and once more if it fails, as the suite does with tests over real sockets: a busy machine may stall
/// an emulated one for longer than a test waits. The job fails if one fails twice.
fn tests_job(root: &Path, programs: &[PathBuf], newer: Option<(&Path, &[PathBuf])>) -> String {
    let mut job = format!("cd {}\nfailed=0\n{SET_APART}", quoted(&root.to_string_lossy()));
    for (program, tests) in programs.iter().zip(TESTS) {
        run_twice(&mut job, tests, &quoted(&program.to_string_lossy()), "");
    }
    if let Some((newer, programs)) = newer {
        // Cargo has them all in one folder, and in the one above it what they start.
        let built = programs.iter().find_map(|program| program.ancestors().nth(2)).unwrap_or(root);
        let [newer, built] = [newer, built].map(|folder| quoted(&folder.to_string_lossy()));
        job.push_str(&format!("newer={newer}\nbuilt={built}\n{FURNISH}"));
        for (program, tests) in programs.iter().zip(USERLAND_TESTS) {
            let name = quoted(&program.file_name().unwrap_or_default().to_string_lossy());
            run_twice(&mut job, tests, &format!("{ENTER}{name}"), "--ignored");
        }
    }
    job.push_str("exit $failed\n");
    job
}

/// What a newer userland's root is given before anything runs in it.
const FURNISH: &str = r#"for place in dev proc sys; do mount --bind "/$place" "$newer/$place"; done
for place in tmp run; do mount -t tmpfs "$place" "$newer/$place"; done
mkdir "$newer/run/dbus" "$newer/tmp/built"
mount --bind "$built" "$newer/tmp/built"
"#;

/// Runs a program of what was built in a newer userland: its name follows.
const ENTER: &str = r#"chroot "$newer" /usr/bin/env HOME=/tmp TMPDIR=/tmp /tmp/built/deps/"#;

fn run_twice(job: &mut String, tests: &Tests, program: &str, options: &str) {
    let (name, filter) = (tests.name(), tests.filter);
    job.push_str(&format!(
        "echo; echo \"-- {name}\"\n\
         run() {{ timeout --kill-after=5 {PROGRAM_PATIENCE_S} {program} --test-threads=1 --nocapture {options} {filter}; }}\n\
         run || {{ echo; echo \"-- FLAKY or a fault: once more\"; run; }} || failed=1\n"
    ));
}

/// Runs what a person asks for.
fn command_job(root: &Path, words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("cd {}\nexec {}\n", quoted(&root.to_string_lossy()), words.join(" "))
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_says_it_runs_here_does() {
        let programs = test_programs::that_say(&workspace::root().unwrap(), "cargo xtask vm");
        for (package, file) in &programs {
            let is_it = |tests: &&Tests| tests.package == package && tests.file == Some(file.as_str());
            assert!(USERLAND_TESTS.iter().any(|tests| is_it(&tests)), "{package}, {file} is in none of them");
        }
        assert!(programs.len() >= 2, "{programs:?}");
    }

    #[test]
    fn a_job_fails_with_any_of_its_programs_and_spells_words_as_they_are() {
        let newer = (Path::new("/n r"), &[PathBuf::from("/t/debug/deps/2")][..]);
        let job = tests_job(Path::new("/a b"), &[PathBuf::from("/t/it's-1")], Some(newer));
        assert!(job.starts_with("cd '/a b'\n") && job.ends_with("exit $failed\n"), "{job}");
        assert!(job.contains(r"'/t/it'\''s-1' --test-threads=1 --nocapture  ; }"), "{job}");
        assert!(job.contains("newer='/n r'\nbuilt='/t/debug'\n"), "{job}");
        assert!(job.contains("/tmp/built/deps/'2' --test-threads=1 --nocapture --ignored ; }"), "{job}");
        let words = ["echo", "$HOME", "it's"].map(str::to_owned);
        assert_eq!(command_job(Path::new("/"), &words), "cd '/'\nexec 'echo' '$HOME' 'it'\\''s'\n");
    }
}
