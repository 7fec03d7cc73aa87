//! `cargo xtask test`: everything that the tests need, then all of them.
//!
//! Uses cargo-nextest where it is installed (each test in a process of its own, so that one that hangs is
//! named), else `cargo test`. Documentation's examples run in both cases. What this machine's programs cannot show runs in a
//! newer userland at the end, and what its kernel cannot, in a virtual machine.

use std::path::Path;
use std::process::Stdio;

use crate::args::TestOptions;
use crate::fault::Fault;
use crate::{headers, packages, process, unpacked, userland, vm, workspace};

// One run names all that fails.
const NEXTEST: [&str; 4] = ["nextest", "run", "--locked", "--no-fail-fast"];
const CARGO_TEST: [&str; 3] = ["test", "--locked", "--no-fail-fast"];

/// Installs, builds and tests: everything, or what the runner's arguments pick.
pub(crate) fn run(options: &TestOptions) -> Result<(), Fault> {
    packages::ensure(&[packages::BUILD, packages::DESKTOP, packages::TESTS], options.install)?;
    let root = workspace::root()?;
    unpacked::ensure(&root, options.install)?;
    headers::ensure(&root, options.install)?;
    build_programs(&root)?;
    let has_nextest = has_nextest();
    let runner = if has_nextest { &NEXTEST[..] } else { &CARGO_TEST[..] };
    if !options.runner_args.is_empty() {
        return cargo(&root, runner, &options.runner_args);
    }
    let of_all = workspace::features(|_| true);
    cargo(&root, &[runner, &["--workspace"]].concat(), &of_all)?;
    if has_nextest {
        cargo(&root, &["test", "--locked", "--workspace", "--doc"], &of_all)?;
    }
    userland::run_in_suite(options.install)?;
    vm::run_in_suite(options.install)
}

/// The two programs, which end-to-end tests start themselves.
pub(crate) fn build_programs(root: &Path) -> Result<(), Fault> {
    let programs = ["punktfunk-host", "punktfunk-client"];
    let of_programs = workspace::features(|package| programs.contains(&package));
    cargo(root, &["build", "--locked", "-p", programs[0], "-p", programs[1]], &of_programs)
}

fn cargo(root: &Path, words: &[&str], more: &[String]) -> Result<(), Fault> {
    let mut command = workspace::cargo();
    command.args(words).args(more).current_dir(root).stdin(Stdio::null());
    eprintln!("\n== {}", process::words(&command));
    process::run(&mut command)
}

/// What the tests of a tier run in; where that cannot be had, one line, and a failure only where `CI=true`.
pub(crate) fn unless_missing<T>(tier: &str, prepared: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match prepared {
        Ok(place) => Ok(Some(place)),
        Err(Fault::Interrupted) => Err(Fault::Interrupted),
        Err(fault) if std::env::var("CI").as_deref() == Ok("true") => Err(fault),
        Err(fault) => {
            eprintln!("not run: the tests in {tier} ({fault})");
            Ok(None)
        }
    }
}

fn has_nextest() -> bool {
    let mut version = workspace::cargo();
    process::output(version.args(["nextest", "--version"]).stderr(Stdio::null())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_lints_with_the_features_that_everything_is_built_with() {
        let script = std::fs::read_to_string(workspace::root().unwrap().join(".ci/run")).unwrap();
        let script = script.replace("\\\n  ", "");
        let words = [&["--workspace".to_owned()], &workspace::features(|_| true)[..]].concat().join(" ");
        assert!(script.contains(&format!("cargo clippy {words} --all-targets")), "{words}");
    }
}
