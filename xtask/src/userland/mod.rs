//! `cargo xtask userland`: what Debian's stable programs cannot show, in a newer userland.
//!
//! Compositors, PipeWire and portals of Debian's next release, in a folder of their own; what was built here runs among
//! them as it is. What is fetched is kept under `target/userland`, so that only the first run needs the network.
//!
//! Promises: each program of tests has mounts, processes and a network of its own, which has nothing but a loopback;
//! nothing that it starts outlives it, however this program ends; it writes nothing of this machine's. Refuses: to run
//! without root, which the mounts take.

mod make;
mod room;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::args::UserlandOptions;
use crate::fault::Fault;
use crate::process::{self, Interrupt};
use crate::test_programs::{self, Scope, Tests};
use crate::{packages, suite, workspace};
use room::Room;

/// How long one program of tests may take: several times what the longest does.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(200);

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// What runs there where nothing else is asked for: of each program the tests that are ignored elsewhere.
const TESTS: &[Tests] = &[
    Tests { package: "punktfunk-capture", file: Some("userland"), filter: "" },
    Tests { package: "punktfunk-capture", file: Some("pipewire"), filter: "" },
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
        None => test(&room, &root, Scope::Tests, &interrupt),
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

/// A room that programs can be run in.
fn prepare(root: &Path, install: bool) -> Result<Room, Fault> {
    if !rustix::process::geteuid().is_root() {
        return Err(missing("only root may mount what it needs"));
    }
    packages::ensure(&[packages::USERLAND], install)?;
    for program in ["unshare", "setpriv", "mount", "chroot", "mmdebstrap"] {
        if process::find(program).is_none() {
            return Err(missing(&format!("there is no {program}")));
        }
    }
    room::check()?;
    let target = workspace::target_folder(root)?;
    let folder = target.join("userland");
    make::ensure(&folder)?;
    Ok(Room {
        userland: folder.join(make::ROOT),
        console: folder.join("console"),
        shared: vec![root.to_owned(), target],
    })
}

/// Runs each program of tests, and once more if it fails, as the suite does with tests of real programs.
fn test(room: &Room, root: &Path, scope: Scope, interrupt: &Interrupt) -> Result<(), Fault> {
    let programs = test_programs::build(root, scope, TESTS)?;
    eprintln!("\n== cargo xtask userland");
    let give_up_at = Instant::now() + PATIENCE;
    let mut failed = 0;
    for (program, tests) in programs.iter().zip(TESTS) {
        let mut words = vec![program.to_string_lossy().into_owned()];
        words.extend(["--ignored", "--test-threads=1", "--nocapture"].map(str::to_owned));
        words.extend(
            [tests.filter].iter().filter(|filter| !filter.is_empty()).map(|filter| (*filter).to_owned()),
        );
        // Where cargo would run it.
        let folder = root.join(tests.folder());
        let passes = || {
            let left = give_up_at.saturating_duration_since(Instant::now());
            let code = room.run(&words, &folder, left.min(PROGRAM_PATIENCE), interrupt)?;
            Ok::<bool, Fault>(code == Some(0))
        };
        println!("\n-- {}", tests.name());
        if passes()? {
            continue;
        }
        println!("\n-- FLAKY or a fault: once more");
        failed += usize::from(!passes()?);
    }
    if failed == 0 { Ok(()) } else { Err(Fault::Userland { count: failed }) }
}

fn missing(problem: &str) -> Fault {
    Fault::Machine { problem: problem.to_owned() }
}
