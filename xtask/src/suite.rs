//! `cargo xtask test`: everything that the tests need, then all of them.
//!
//! Uses cargo-nextest where it is installed (each test in a process of its own, so that one that hangs is
//! named), else `cargo test`. Documentation's examples run in both cases. What this machine's kernel cannot show runs in a
//! virtual machine at the end.

use std::process::Stdio;

use crate::args::TestOptions;
use crate::fault::Fault;
use crate::{packages, process, vm, workspace};

// One run names all that fails.
const NEXTEST: [&str; 4] = ["nextest", "run", "--locked", "--no-fail-fast"];
const CARGO_TEST: [&str; 3] = ["test", "--locked", "--no-fail-fast"];

/// Installs, builds and tests: everything, or what the runner's arguments pick.
pub(crate) fn run(options: &TestOptions) -> Result<(), Fault> {
    packages::ensure(&[packages::BUILD, packages::DESKTOP, packages::TESTS], options.install)?;
    let root = workspace::root()?;
    let cargo = |words: &[&str], more: &[String]| {
        let mut command = workspace::cargo();
        command.args(words).args(more).current_dir(&root).stdin(Stdio::null());
        eprintln!("\n== {}", process::words(&command));
        process::run(&mut command)
    };
    // End-to-end tests start the two programs themselves.
    cargo(&["build", "--locked", "-p", "punktfunk-host", "-p", "punktfunk-client"], &[])?;
    let has_nextest = has_nextest();
    let runner = if has_nextest { &NEXTEST[..] } else { &CARGO_TEST[..] };
    if !options.runner_args.is_empty() {
        return cargo(runner, &options.runner_args);
    }
    cargo(&[runner, &["--workspace"]].concat(), &[])?;
    if has_nextest {
        cargo(&["test", "--locked", "--workspace", "--doc"], &[])?;
    }
    vm::run_in_suite(options.install)
}

fn has_nextest() -> bool {
    let mut version = workspace::cargo();
    process::output(version.args(["nextest", "--version"]).stderr(Stdio::null())).is_ok()
}
