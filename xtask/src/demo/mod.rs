//! `cargo xtask demo`: a real desktop, streamed to a client on this machine, and what it left.
//!
//! Promises: with nothing but cargo and Debian's packages it ends with a folder that holds a report as page and picture,
//! the recording, the picture, both ends' histogram logs and a summary, or with an error that names what is missing. Where
//! no compositor can be had that is said, and the test card takes its place.
//!
//! Refuses: to leave a program running, or an identity behind, and to pass any other failure of the desktop's
//! session off as a missing compositor.

mod programs;
mod progress;
mod report;
mod session;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::args::DemoOptions;
use crate::fault::Fault;
use crate::process::Interrupt;
use crate::{packages, process, workspace};
use programs::{Outcome, Programs, Source};
use session::Session;

/// Installs, builds, streams and reports.
pub(crate) fn run(options: &DemoOptions) -> Result<(), Fault> {
    packages::ensure(&[packages::BUILD, packages::DESKTOP], options.install)?;
    let root = workspace::root()?;
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "-p", "punktfunk-host", "-p", "punktfunk-client"]);
    build.args(["-p", "punktfunk-perf-programs"]);
    build.args(workspace::features(|package| package == "punktfunk-host"));
    eprintln!("\n== {}", process::words(&build));
    process::run(build.current_dir(&root))?;

    let built = workspace::target_folder(&root)?.join("release");
    let out = std::path::absolute(&options.out).map_err(Fault::io("find the out folder"))?;
    let interrupt = Interrupt::install()?;
    let session = Session {
        programs: Programs::built_in(&built),
        out: Outcome::in_folder(&out),
        stream: options.stream,
        interrupt,
    };
    stream(&session, first_source())
}

/// Streams from `first`, or from the card where no compositor can be had, and reports.
fn stream(session: &Session, first: Result<Source, String>) -> Result<(), Fault> {
    session.out.prepare()?;
    let (source, fallback_reason) = match first {
        Ok(source) => match session.stream(source) {
            Ok(()) => (source, None),
            Err(fault) => match no_compositor(&fault).filter(|_| source != Source::Card) {
                Some(reason) => (Source::Card, Some(reason)),
                None => return Err(fault),
            },
        },
        Err(reason) => (Source::Card, Some(reason)),
    };
    if let Some(reason) = &fallback_reason {
        eprintln!("\nNo compositor could be had, so the test card is streamed instead.\n  {reason}\n");
        session.out.prepare()?;
        session.stream(Source::Card)?;
    }
    session.out.check(source)?;
    let client = report::read_client(&session.out.client_json)?;
    let summary = report::summary(&client, source, session.stream, fallback_reason.as_deref());
    write(&session.out.summary, &summary)?;
    fs::remove_file(&session.out.client_json).map_err(Fault::io("remove the client's raw answer"))?;
    make_report(session)?;
    session.out.check_report(source)?;
    print!("{}", report::table(&summary, &session.out));
    Ok(())
}

/// The page and the picture of what the folder holds by now.
fn make_report(session: &Session) -> Result<(), Fault> {
    let mut report = Command::new(&session.programs.perf);
    report.arg("report").arg(&session.out.folder);
    process::output(&mut report).map(|_| ())
}

/// The desktop that is there, or one that the host starts; a reason where neither can be.
fn first_source() -> Result<Source, String> {
    let desktop = std::env::var_os("WAYLAND_DISPLAY").is_some_and(|display| !display.is_empty());
    if desktop || process::find("sway").is_some() {
        Ok(Source::Wayland)
    } else {
        Err("there is no WAYLAND_DISPLAY and no sway (package sway) to start".to_owned())
    }
}

/// Why there is no compositor, if that is what a program has ended for.
fn no_compositor(fault: &Fault) -> Option<String> {
    match fault {
        Fault::Command { status, log, .. } if status.code() == Some(programs::EXIT_NO_COMPOSITOR) => {
            // The program's own last word names the cause better than its exit code.
            let word = log.as_deref().and_then(session::last_word);
            Some(word.map_or_else(|| fault.to_string(), |word| format!("{fault}: {word}")))
        }
        Fault::Command { .. }
        | Fault::Usage { .. }
        | Fault::Io { .. }
        | Fault::Answer { .. }
        | Fault::Late { .. }
        | Fault::Packages { .. }
        | Fault::Findings { .. }
        | Fault::Instructions { .. }
        | Fault::Memory { .. }
        | Fault::Userland { .. }
        | Fault::Web { .. }
        | Fault::Shaders { .. }
        | Fault::Incomplete { .. }
        | Fault::Machine { .. }
        | Fault::Guest { .. }
        | Fault::Interrupted => None,
    }
}

fn write(path: &Path, value: &serde_json::Value) -> Result<(), Fault> {
    fs::write(path, format!("{value:#}\n")).map_err(Fault::io(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests;
