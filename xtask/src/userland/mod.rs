//! `cargo xtask userland`: what Debian's stable programs cannot show, in a newer userland.
//!
//! Compositors, PipeWire and portals of Debian's next release, in a folder of their own; what was built here runs among
//! them as it is. What is fetched is kept under `target/userland`, so that only the first run needs the network.
//!
//! Promises: each program of tests has mounts, processes and a network of its own, which has nothing but a loopback;
//! nothing that it starts outlives it, however this program ends; it writes nothing of this machine's; one that ran no test
//! has not passed. Refuses: to run without root, which the mounts take.

mod make;
mod room;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::args::UserlandOptions;
use crate::fault::Fault;
use crate::process::{self, Interrupt};
use crate::test_programs::{self, Scope, Tests};
use crate::{packages, suite, workspace};
use room::Room;

/// How long one program of tests may take: several times what the longest does, on a busy machine too.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(200);

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// What runs there where nothing else is asked for: of each program the tests that are ignored elsewhere. A test that
/// says so, and whose program is not here, fails this crate's own tests.
const TESTS: &[Tests] = &[
    Tests { package: "punktfunk-capture", file: Some("userland"), filter: "" },
    Tests { package: "punktfunk-capture", file: Some("pipewire"), filter: "" },
    Tests { package: "punktfunk-capture", file: Some("dmabufs"), filter: "" },
    Tests { package: "punktfunk-host", file: Some("cut_links"), filter: "" },
];

/// Makes the userland and runs the tests in it, or what `options` ask for.
pub(crate) fn run(options: &UserlandOptions) -> Result<(), Fault> {
    let root = workspace::root()?;
    let room = prepare(&root, options.install)?;
    let interrupt = Interrupt::install()?;
    match options.command.split_first() {
        Some(_) => match room.run(&options.command, &root, PATIENCE, &interrupt)? {
            Some(0) => Ok(()),
            code => Err(Fault::Guest { code, console: room.console() }),
        },
        None => {
            suite::build_programs(&root)?;
            test(&room, &root, Scope::Tests, &interrupt)
        }
    }
}

/// As a part of the suite.
pub(crate) fn run_in_suite(install: bool) -> Result<(), Fault> {
    let root = workspace::root()?;
    let Some(room) = suite::unless_missing("a newer userland", prepare(&root, install))? else {
        return Ok(());
    };
    test(&room, &root, Scope::Workspace, &Interrupt::install()?)
}

/// A userland that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// Its root.
    pub(crate) root: PathBuf,
    /// What keeps others from making it anew meanwhile.
    held: File,
}

/// Sees to it that the userland is there.
pub(crate) fn ensure(root: &Path, install: bool) -> Result<Made, Fault> {
    if !rustix::process::geteuid().is_root() {
        return Err(missing("only root may mount what it needs"));
    }
    packages::ensure(&[packages::USERLAND], install)?;
    let folder = folder(root)?;
    let held = make::ensure(&folder)?;
    Ok(Made { root: folder.join(make::ROOT), held })
}

fn folder(root: &Path) -> Result<PathBuf, Fault> {
    Ok(workspace::target_folder(root)?.join("userland"))
}

/// A room that programs can be run in.
fn prepare(root: &Path, install: bool) -> Result<Room, Fault> {
    if !rustix::process::geteuid().is_root() {
        return Err(missing("only root may mount what it needs"));
    }
    packages::ensure(&[packages::USERLAND], install)?;
    for program in room::PROGRAMS.iter().chain(&["mmdebstrap"]) {
        if process::find(program).is_none() {
            return Err(missing(&format!("there is no {program}")));
        }
    }
    room::check()?;
    let made = ensure(root, install)?;
    let (console, words) = room::console(&folder(root)?)?;
    Ok(Room {
        userland: made.root,
        console,
        shared: vec![root.to_owned(), workspace::target_folder(root)?],
        _held: vec![made.held, words],
    })
}

/// Runs each program of tests, and what of it fails once more, as the suite does with tests of real programs.
fn test(room: &Room, root: &Path, scope: Scope, interrupt: &Interrupt) -> Result<(), Fault> {
    let programs = test_programs::build(root, scope, TESTS)?;
    eprintln!("\n== cargo xtask userland");
    let give_up_at = Instant::now() + PATIENCE;
    let mut count = 0;
    for (program, tests) in programs.iter().zip(TESTS) {
        // Where cargo would run it.
        let folder = root.join(tests.folder());
        let run = |filters: &[String]| {
            let mut words = vec![program.to_string_lossy().into_owned()];
            words.extend(["--ignored", "--test-threads=1", "--nocapture"].map(str::to_owned));
            words.extend_from_slice(filters);
            let left = give_up_at.saturating_duration_since(Instant::now());
            let code = room.run(&words, &folder, left.min(PROGRAM_PATIENCE), interrupt)?;
            let said = std::fs::read(room.console()).map_err(Fault::io("read what the tests said"))?;
            Ok::<_, Fault>((code == Some(0), String::from_utf8_lossy(&said).into_owned()))
        };
        println!("\n-- {}", tests.name());
        let filter: Vec<String> = [tests.filter]
            .iter()
            .filter(|filter| !filter.is_empty())
            .map(|filter| (*filter).to_owned())
            .collect();
        let (passed, said) = run(&filter)?;
        if passed && ran(&said) > 0 {
            continue;
        }
        println!("\n-- FLAKY or a fault: once more");
        let mut again = failed(&said);
        let least = again.len().max(1);
        match again.is_empty() {
            // It did not come to its end, or had nothing to run.
            true => again = filter,
            false => again.push("--exact".to_owned()),
        }
        let (passed, said) = run(&again)?;
        if ran(&said) < least {
            println!("\n-- {} of {least} tests were run", ran(&said));
        }
        count += usize::from(!passed || ran(&said) < least);
    }
    if count == 0 { Ok(()) } else { Err(Fault::Userland { count }) }
}

/// How many tests a program says that it runs. One that was built without them, or has none of the names that it is told,
/// ends well all the same.
fn ran(said: &str) -> usize {
    let count = |line: &str| line.strip_prefix("running ")?.split_once(" test")?.0.parse::<usize>().ok();
    said.lines().filter_map(count).sum()
}

/// The tests that a program says have failed: the names in the last list of that title.
fn failed(said: &str) -> Vec<String> {
    let list = said.rsplit_once("\nfailures:\n").map_or("", |(_, list)| list);
    list.lines().map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

fn missing(problem: &str) -> Fault {
    Fault::Machine { problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_read_from_the_programs_last_words() {
        let said = "running 3 tests\ntest a ... FAILED\n\nfailures:\n\nfailures:\n    a\n    b::c\n\n\
                    test result: FAILED. 1 passed; 2 failed\n";
        assert_eq!(failed(said), ["a", "b::c"]);
        assert_eq!(failed("running 3 tests\ntest a ... "), [""; 0]);
        assert_eq!(failed("running 1 test\ntest a ... ok\n"), [""; 0]);
    }

    #[test]
    fn a_program_that_ran_nothing_has_not_passed() {
        assert_eq!(ran("\nrunning 0 tests\n\ntest result: ok. 0 passed\n"), 0);
        assert_eq!(ran("\nrunning 1 test\ntest a ... ok\n"), 1);
        assert_eq!(ran("\nrunning 12 tests\nrunning into trouble\n"), 12);
        assert_eq!(ran("error: Unrecognized option\n"), 0);
    }

    #[test]
    fn every_test_that_says_it_runs_here_does() {
        let programs = test_programs::that_say(&workspace::root().unwrap(), "cargo xtask userland");
        for (package, file) in &programs {
            let is_it = |tests: &&Tests| tests.package == package && tests.file == Some(file.as_str());
            assert!(TESTS.iter().any(|tests| is_it(&tests)), "{package}, {file} is in no program of TESTS");
        }
        assert!(programs.len() >= TESTS.len(), "{programs:?}");
    }
}
