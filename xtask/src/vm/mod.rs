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
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::args::VmOptions;
use crate::fault::Fault;
use crate::process::Interrupt;
use crate::{packages, process, workspace};

/// How long a guest may take from its start to its end: on two free cores all tests take a minute, on busy ones two.
const PATIENCE: Duration = Duration::from_secs(400);

/// How long one test program may take in the guest.
const PROGRAM_PATIENCE_S: u64 = 150;

/// What the tests find: huge pages that are set apart, which whoever tests on his own machine may not have.
const SET_APART: &str = "echo 16 >/proc/sys/vm/nr_hugepages\n";

/// A program of tests.
#[derive(Debug)]
struct Tests {
    package: &'static str,
    /// A file of the package's tests; none for the tests beside its code.
    file: Option<&'static str>,
    /// Which of its tests; empty for all.
    filter: &'static str,
}

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

/// Boots the machine and runs the tests in it, or what `options` ask for.
pub(crate) fn run(options: &VmOptions) -> Result<(), Fault> {
    let root = workspace::root()?;
    let machine = prepare(&root, options.install)?;
    let job = match options.command.split_first() {
        Some(_) => command_job(&root, &options.command),
        None => tests_job(&root, &build(&root, Scope::Tests)?),
    };
    machine.run(&job, PATIENCE, &Interrupt::install()?)
}

/// As a part of the suite: where the machine cannot be had that is one line, and a failure only where `CI=true`.
pub(crate) fn run_in_suite(install: bool) -> Result<(), Fault> {
    let root = workspace::root()?;
    match prepare(&root, install) {
        Ok(machine) => {
            let programs = build(&root, Scope::Workspace)?;
            eprintln!("\n== cargo xtask vm");
            machine.run(&tests_job(&root, &programs), PATIENCE, &Interrupt::install()?)
        }
        Err(Fault::Interrupted) => Err(Fault::Interrupted),
        Err(fault) if std::env::var("CI").as_deref() == Ok("true") => Err(fault),
        Err(fault) => {
            eprintln!("not run: the tests in the virtual machine ({fault})");
            Ok(())
        }
    }
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

/// Which packages are built together: what one enables of a library is enabled for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those of the tests only.
    Tests,
    /// All, as the suite has built them already.
    Workspace,
}

/// Builds the test programs; where each is.
fn build(root: &Path, scope: Scope) -> Result<Vec<PathBuf>, Fault> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked", "--no-run", "--message-format=json-render-diagnostics", "--lib"]);
    if scope == Scope::Workspace {
        cargo.arg("--workspace");
    }
    for tests in TESTS {
        if scope == Scope::Tests {
            cargo.args(["-p", tests.package]);
        }
        cargo.args(tests.file.iter().flat_map(|file| ["--test", file]));
    }
    cargo.current_dir(root);
    eprintln!("\n== {}", process::words(&cargo));
    let messages = process::output(cargo.stderr(Stdio::inherit()))?;
    let programs = TESTS.iter().map(|tests| {
        find_program(&messages, tests).ok_or_else(|| Fault::Answer {
            program: "cargo test --no-run".to_owned(),
            expected: "where each test program is",
            got: format!("nothing of {tests:?}"),
        })
    });
    programs.collect()
}

/// Where cargo's messages say that a test program is.
fn find_program(messages: &str, tests: &Tests) -> Option<PathBuf> {
    let (kind, name) = match tests.file {
        Some(file) => ("test", file.to_owned()),
        None => ("lib", tests.package.replace('-', "_")),
    };
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name && message["target"]["kind"][0] == kind)
        // A path, an address or a registry's, with the package's folder or name in it.
        .filter(|message| names_package(message["package_id"].as_str().unwrap_or_default(), tests.package))
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Whether a package's identity, `…/FOLDER#VERSION` or `…#NAME@VERSION`, is that of `package`, whose folder has its name
/// without the project's.
fn names_package(identity: &str, package: &str) -> bool {
    let folder = package.rsplit('-').next().unwrap_or(package);
    let (place, version) = identity.rsplit_once('#').unwrap_or((identity, ""));
    match version.split_once('@') {
        Some((name, _)) => name == package,
        None => place.rsplit('/').next() == Some(folder),
    }
}

/// Runs each program, and once more if it fails, as the suite does with tests over real sockets: a busy machine may stall
/// an emulated one for longer than a test waits. The job fails if one fails twice.
fn tests_job(root: &Path, programs: &[PathBuf]) -> String {
    let mut job = format!("cd {}\nfailed=0\n{SET_APART}", quoted(&root.to_string_lossy()));
    for (program, tests) in programs.iter().zip(TESTS) {
        let program = quoted(&program.to_string_lossy());
        let Tests { package, file, filter } = tests;
        job.push_str(&format!(
            "echo; echo \"-- {package}, {}\"\n\
             run() {{ timeout --kill-after=5 {PROGRAM_PATIENCE_S} {program} --test-threads=1 --nocapture {filter}; }}\n\
             run || {{ echo; echo \"-- FLAKY or a fault: once more\"; run; }} || failed=1\n",
            file.unwrap_or(filter)
        ));
    }
    job.push_str("exit $failed\n");
    job
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
    fn a_test_program_is_found_among_cargos_messages() {
        let messages = r#"
            {"package_id":"path+file:///x/net#punktfunk-net@0.1.0","target":{"name":"punktfunk_net","kind":["lib"]},"executable":null}
            {"package_id":"path+file:///x/net#punktfunk-net@0.1.0","target":{"name":"punktfunk_net","kind":["lib"]},"executable":"/t/n-1"}
            {"package_id":"path+file:///x/engine#0.1.0","target":{"name":"departures","kind":["test"]},"executable":"/t/e-1"}
            {"package_id":"path+file:///x/net#punktfunk-net@0.1.0","target":{"name":"departures","kind":["test"]},"executable":"/t/d-1"}
            no message at all
            {"reason":"build-finished","success":true}"#;
        for (package, file, found) in [
            ("punktfunk-net", Some("departures"), Some("/t/d-1")),
            ("punktfunk-engine", Some("departures"), Some("/t/e-1")),
            ("punktfunk-net", None, Some("/t/n-1")),
            ("punktfunk-net", Some("others"), None),
            ("punktfunk-fec", Some("departures"), None),
        ] {
            let tests = Tests { package, file, filter: "" };
            assert_eq!(find_program(messages, &tests), found.map(PathBuf::from), "{tests:?}");
        }
    }

    #[test]
    fn a_job_fails_with_any_of_its_programs_and_spells_words_as_they_are() {
        let job = tests_job(Path::new("/a b"), &[PathBuf::from("/t/it's-1")]);
        assert!(job.starts_with("cd '/a b'\n") && job.ends_with("exit $failed\n"), "{job}");
        assert!(job.contains(r"'/t/it'\''s-1' --test-threads=1 --nocapture ; }"), "{job}");
        let words = ["echo", "$HOME", "it's"].map(str::to_owned);
        assert_eq!(command_job(Path::new("/"), &words), "cd '/'\nexec 'echo' '$HOME' 'it'\\''s'\n");
    }
}
