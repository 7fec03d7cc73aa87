//! Programs of tests that run elsewhere than cargo would run them: which ones, built here, and where each is.
//!
//! Promises: within the suite they are the ones that it has built already. Refuses: a program that cargo did not name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fault::Fault;
use crate::{process, workspace};

/// Tests that run elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tests {
    pub(crate) package: &'static str,
    /// A file of the package's tests; none for the tests beside its code.
    pub(crate) file: Option<&'static str>,
    /// Which of its tests; empty for all.
    pub(crate) filter: &'static str,
}

impl Tests {
    /// The package's folder: its name without the project's.
    pub(crate) fn folder(&self) -> &'static str {
        self.package.rsplit('-').next().unwrap_or(self.package)
    }

    /// Their name for people.
    pub(crate) fn name(&self) -> String {
        format!("{}, {}", self.package, self.file.unwrap_or(self.filter))
    }
}

/// Which packages are built together: what one enables of a library is enabled for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the tests only.
    Tests,
    /// All, as the suite has built them already.
    Workspace,
}

/// Builds the test programs; where each of `all` is, in their order.
pub(crate) fn build(root: &Path, scope: Scope, all: &[Tests]) -> Result<Vec<PathBuf>, Fault> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]);
    packages(&mut cargo, scope, all);
    if all.iter().any(|tests| tests.file.is_none()) {
        cargo.arg("--lib");
    }
    for tests in all {
        cargo.args(tests.file.iter().flat_map(|file| ["--test", file]));
    }
    cargo.current_dir(root);
    eprintln!("\n== {}", process::words(&cargo));
    let messages = process::output(cargo.stderr(Stdio::inherit()))?;
    let programs = all.iter().map(|tests| {
        find(&messages, tests).ok_or_else(|| Fault::Answer {
            program: "cargo test --no-run".to_owned(),
            expected: "where each test program is",
            got: format!("nothing of {tests:?}"),
        })
    });
    programs.collect()
}

/// Builds an example, which tests start: with what is enabled for all of `all`, so that no library is built twice.
pub(crate) fn build_example(root: &Path, scope: Scope, all: &[Tests], name: &str) -> Result<(), Fault> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--locked"]);
    packages(&mut cargo, scope, all);
    cargo.args(["--example", name]).current_dir(root).stdin(Stdio::null());
    eprintln!("\n== {}", process::words(&cargo));
    process::run(&mut cargo)
}

/// Which packages are built, and with what.
fn packages(cargo: &mut Command, scope: Scope, all: &[Tests]) {
    let is_tested = |package: &str| all.iter().any(|tests| tests.package == package);
    match scope {
        Scope::Workspace => cargo.arg("--workspace").args(workspace::features(|_| true)),
        Scope::Tests => cargo
            .args(all.iter().flat_map(|tests| ["-p", tests.package]))
            .args(workspace::features(is_tested)),
    };
}

/// Where cargo's messages say that a test program is.
fn find(messages: &str, tests: &Tests) -> Option<PathBuf> {
    let (kind, name) = match tests.file {
        Some(file) => ("test", file.to_owned()),
        None => ("lib", tests.package.replace('-', "_")),
    };
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name && message["target"]["kind"][0] == kind)
        // A path, an address or a registry's, with the package's folder or name in it.
        .filter(|message| names_package(message["package_id"].as_str().unwrap_or_default(), tests))
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Whether a package's identity, `…/FOLDER#VERSION` or `…#NAME@VERSION`, is that of `tests`' package.
fn names_package(identity: &str, tests: &Tests) -> bool {
    let (place, version) = identity.rsplit_once('#').unwrap_or((identity, ""));
    match version.split_once('@') {
        Some((name, _)) => name == tests.package,
        None => place.rsplit('/').next() == Some(tests.folder()),
    }
}

/// The package and the program of a file of tests: `ROOM/tests/PROGRAM.rs` or `ROOM/tests/PROGRAM/….rs`.
#[cfg(test)]
fn program(path: &Path) -> Option<(String, String)> {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let (room, tests, program) = (parts.next()?, parts.next()?, parts.next()?);
    let program = program.strip_suffix(".rs").unwrap_or(&program).to_owned();
    (tests == "tests").then(|| (format!("punktfunk-{room}"), program))
}

/// The packages and programs of tests of which one says that it is left to another command, such as `cargo xtask vm`.
#[cfg(test)]
pub(crate) fn that_say(root: &Path, command: &str) -> Vec<(String, String)> {
    let says_so = |line: &str| line.contains("#[ignore") && line.contains(command);
    let text = |path: &Path| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut files = workspace::files(root).expect("the workspace can be listed");
    files.retain(|path| text(path).lines().any(says_so));
    let mut programs: Vec<_> = files.iter().filter_map(|path| program(path)).collect();
    programs.dedup();
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tests_is_of_a_program() {
        let of = |path: &str| program(Path::new(path));
        assert_eq!(of("host/tests/e2e/desktop.rs"), Some(("punktfunk-host".into(), "e2e".into())));
        assert_eq!(of("host/tests/dmabuf.rs"), Some(("punktfunk-host".into(), "dmabuf".into())));
        assert_eq!(of("host/src/main.rs"), None);
    }

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
            assert_eq!(self::find(messages, &tests), found.map(PathBuf::from), "{tests:?}");
        }
    }
}
