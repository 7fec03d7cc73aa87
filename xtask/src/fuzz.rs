//! `cargo xtask fuzz TARGET`: looks for new paths through one fuzz target with libFuzzer.
//!
//! Promises: builds on the stable toolchain, apart from other builds, with overflow and debug assertions on; begins
//! from the committed corpus, the target's seeds and what earlier runs found; says where an input that fails lies.
//! With `--keep`, what reaches code that the committed corpus does not is added to that.
//!
//! Refuses: to judge. Whether a target holds is what `cargo test -p fuzz` says.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::args::FuzzOptions;
use crate::fault::Fault;
use crate::{process, workspace};

/// LLVM's coverage, as libFuzzer reads it: edges counted in bytes, compared values told.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Bytes of an input at most, seconds that one may take, memory that it may.
const BOUNDS: [&str; 3] = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"];

/// Builds the driver and runs it for the time that was asked for.
pub(crate) fn run(options: &FuzzOptions) -> Result<(), Fault> {
    let root = workspace::root()?;
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let build = root.join("target/fuzz");
    let mut cargo = workspace::cargo();
    // A target of its own name keeps the flags from build scripts and macros.
    cargo.args(["build", "--locked", "--release", "-p", "fuzz", "--features", "libfuzzer"]);
    cargo.args(["--bin", "fuzz-driver", "--target", &triple, "--target-dir"]).arg(&build);
    cargo.env("RUSTFLAGS", COVERAGE).current_dir(&root).stdin(Stdio::null());
    for (setting, value) in
        [("LTO", "off"), ("DEBUG_ASSERTIONS", "true"), ("OVERFLOW_CHECKS", "true"), ("CODEGEN_UNITS", "16")]
    {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    process::run(&mut cargo)?;

    let place = |kind: &str| root.join("target/fuzz").join(kind).join(&options.target);
    let (seeds, found, faults) = (place("seeds"), place("found"), place("faults"));
    let corpus = root.join("fuzz/corpus").join(&options.target);
    for folder in [&seeds, &found, &faults] {
        make(folder)?;
    }
    let driver = build.join(&triple).join("release/fuzz-driver");
    let fuzz = |folders: &[&Path], words: &[String]| {
        let mut command = Command::new(&driver);
        command.args(words).args(folders.iter().filter(|folder| folder.is_dir()));
        command.env("PUNKTFUNK_FUZZ", &options.target).env("PUNKTFUNK_FUZZ_SEEDS", &seeds);
        process::run(command.current_dir(&root).stdin(Stdio::null()))
    };
    let mut words: Vec<String> = BOUNDS.map(str::to_owned).to_vec();
    words.push(format!("-max_total_time={}", options.seconds));
    words.push(format!("-artifact_prefix={}/", faults.display()));
    fuzz(&[&found, &corpus, &seeds], &words)?;
    if options.keep {
        make(&corpus)?;
        fuzz(&[&corpus, &seeds, &found], &["-merge=1".to_owned()])?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(folder).map_err(Fault::io(format!("make {}", folder.display())))
}
