//! `cargo xtask soak`: the course of sessions, changes and kills that is too long for each run.
//!
//! Promises: the programs are built anew before; the figures are on standard error, as the course says them; it fails with
//! the course. Refuses to pass where the course was not run: a filter that meets no test is a failure.

use std::process::Stdio;

use crate::args::SoakOptions;
use crate::fault::Fault;
use crate::{packages, process, suite, workspace};

/// The course, by its whole name.
const COURSE: &str = "soak::two_hundred_sessions_come_and_go_and_leave_nothing";

/// Builds, and runs the course.
pub(crate) fn run(options: &SoakOptions) -> Result<(), Fault> {
    packages::ensure(&[packages::BUILD], options.install)?;
    let root = workspace::root()?;
    suite::build_programs(&root)?;
    let of_host = workspace::features(|package| package == "punktfunk-host");
    let mut command = workspace::cargo();
    command.args(["test", "--locked", "-p", "punktfunk-host", "--test", "e2e"]).args(of_host);
    command.args(["--", COURSE, "--exact", "--ignored", "--nocapture"]);
    let text = process::output(command.current_dir(&root).stdin(Stdio::null()).stderr(Stdio::inherit()))?;
    match text.contains("test result: ok. 1 passed") {
        true => Ok(()),
        false => Err(Fault::Answer {
            program: "cargo test".to_owned(),
            expected: "one test that has passed",
            got: text,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_is_there_under_its_name_and_names_this_command() {
        let file = workspace::root().unwrap().join("host/tests/e2e/soak.rs");
        let text = std::fs::read_to_string(file).unwrap();
        let name = COURSE.rsplit("::").next().unwrap();
        let (before, _) = text.split_once(&format!("fn {name}()")).expect("the course");
        assert!(before.trim_end().ends_with("#[ignore = \"takes minutes: cargo xtask soak\"]"), "{before}");
    }
}
