//! `cargo xtask valgrind`: the tests of the rooms that hold `unsafe`, under memcheck.
//!
//! Promises: first a program that uses memory wrongly is run, and unless memcheck finds each of its faults nothing is
//! believed; then the tests, as they were built for every other run. A read of what is freed or was never written, a
//! write behind an end, and a block that nothing points to any more fail the run, with memcheck's words.
//!
//! Refuses: to speak of kernels for CPUs that memcheck does not know: it shows the program a CPU with AVX2 and without
//! AVX-512, GFNI and VAES, so that the scalar and the AVX2 kernels are what runs. Tests that wait in a ring of
//! io_uring for a thread of their own are left out: memcheck holds its lock meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::args::ValgrindOptions;
use crate::fault::Fault;
use crate::process::{Background, Interrupt};
use crate::{packages, process, workspace};

/// One test binary to be watched.
struct Watched {
    package: &'static str,
    /// The library's own tests by the library's name, or a file's in `tests/`.
    target: &'static str,
    /// Tests that are left out, by a part of their name.
    left_out: &'static [&'static str],
}

const fn watched(package: &'static str, target: &'static str, left_out: &'static [&'static str]) -> Watched {
    Watched { package, target, left_out }
}

/// What is watched. Left out are: large pictures, which take minutes here; what waits in a ring for another thread; and
/// what sheds, because here everything is too slow. It has no GFNI, VAES and AVX-512: those kernels are not run, and AES by
/// VAES has `seal/tests/fences.rs`. What memcheck may find all the same is in `xtask/valgrind.supp`.
const WATCHED: &[Watched] = &[
    watched("punktfunk-fec", "punktfunk_fec", &[]),
    watched("punktfunk-fec", "twins", &[]),
    watched("punktfunk-fec", "vectors", &[]),
    watched("punktfunk-fec", "properties", &[]),
    watched("punktfunk-seal", "punktfunk_seal", &[]),
    watched("punktfunk-seal", "tampering", &[]),
    watched("punktfunk-seal", "vectors", &[]),
    watched("punktfunk-net", "punktfunk_net", &[]),
    watched("punktfunk-net", "addresses", &[]),
    watched("punktfunk-net", "loopback", &["a_wake_ends_a_wait"]),
    watched("punktfunk-net", "uring", &[]),
    watched("punktfunk-engine", "loopback", &["load_is_shed"]),
    watched(
        "punktfunk-codec",
        "h264",
        &["every_picture", "an_idr_comes", "the_bitrate_follows", "the_largest"],
    ),
];

/// The ways of using memory wrongly, and memcheck's word for each.
const MISUSES: &[(&str, &str)] = &[
    ("freed", "Invalid read"),
    ("unwritten", "depends on uninitialised value"),
    ("beyond", "Invalid write"),
    ("lost", "definitely lost"),
];

/// Memcheck's own exit code, which no test ends with.
const FOUND: i32 = 99;

/// Cases of a property test: memory is used in the same ways in each.
const PROPTEST_CASES: &str = "8";

/// What one binary may take: several times what the longest does.
const PATIENCE: Duration = Duration::from_secs(240);

/// Builds the tests, proves memcheck, and watches them one by one.
pub(crate) fn run(options: &ValgrindOptions) -> Result<(), Fault> {
    packages::ensure(&[packages::BUILD, packages::VALGRIND], options.install)?;
    let interrupt = Interrupt::install()?;
    let root = workspace::root()?;
    let memcheck = Memcheck::new(&root)?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--locked", "-p", "punktfunk-net", "--example", "misuse"]);
    process::run(cargo.current_dir(&root).stdin(Stdio::null()))?;
    memcheck.prove(&workspace::target_folder(&root)?.join("debug/examples/misuse"), &interrupt)?;
    let binaries = build(&root)?;
    let mut faults = 0;
    for watched in WATCHED {
        let Watched { package, target, .. } = watched;
        let binary =
            binaries.get(&(package.to_string(), target.to_string())).ok_or_else(|| Fault::Answer {
                program: "cargo test".to_owned(),
                expected: "a binary for each watched test",
                got: format!("{package} {target}"),
            })?;
        let start = Instant::now();
        let mut args = vec!["--test-threads=1"];
        args.extend(watched.left_out.iter().flat_map(|name| ["--skip", name]));
        let ended = memcheck.watch(&format!("{package}-{target}"), binary, &args, &interrupt)?;
        let took = start.elapsed().as_secs_f64();
        println!("{package:<17} {target:<16} {took:>5.1} s  {}", ended.summary());
        if ended.code != Some(0) {
            faults += 1;
            println!("{}{}", ended.words, ended.report);
        }
    }
    if faults == 0 { Ok(()) } else { Err(Fault::Memory { count: faults }) }
}

/// The test binaries by their package and target, built as `cargo test` builds them.
fn build(root: &Path) -> Result<BTreeMap<(String, String), PathBuf>, Fault> {
    let mut packages: Vec<&str> = WATCHED.iter().map(|watched| watched.package).collect();
    packages.dedup();
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked", "--no-run", "--message-format=json"]);
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
    let text = process::output(cargo.current_dir(root).stderr(Stdio::inherit()))?;
    Ok(text.lines().filter_map(|line| binary_of(line, &packages)).collect())
}

/// The test binary that a line of cargo's tells of.
fn binary_of(line: &str, packages: &[&str]) -> Option<((String, String), PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    // The folder of a room is its package's name without the house's.
    let room = manifest.parent()?.file_name()?.to_str()?;
    let package = packages.iter().find(|package| package.strip_prefix("punktfunk-") == Some(room))?;
    Some((((*package).to_owned(), message["target"]["name"].as_str()?.to_owned()), PathBuf::from(path)))
}

/// Memcheck, and where its words go.
struct Memcheck {
    program: PathBuf,
    suppressions: String,
    folder: PathBuf,
}

/// How one watched program ended.
struct Ended {
    code: Option<i32>,
    /// The program's own words.
    words: String,
    /// Memcheck's.
    report: String,
}

impl Ended {
    /// The line of the test harness that counts, or what there is in its place.
    fn summary(&self) -> &str {
        match self.code {
            Some(FOUND) => "memcheck found faults:",
            Some(0) => self.words.lines().rev().find(|line| line.starts_with("test result")).unwrap_or("ran"),
            Some(_) | None => "failed:",
        }
    }
}

impl Memcheck {
    fn new(root: &Path) -> Result<Memcheck, Fault> {
        let folder = workspace::target_folder(root)?.join("valgrind");
        std::fs::create_dir_all(&folder).map_err(Fault::io(format!("make {}", folder.display())))?;
        let program = process::find("valgrind").ok_or_else(|| Fault::Answer {
            program: "the path".to_owned(),
            expected: "valgrind",
            got: String::new(),
        })?;
        let suppressions = format!("--suppressions={}", root.join("xtask/valgrind.supp").display());
        Ok(Memcheck { program, suppressions, folder })
    }

    /// Each misuse is found, and nothing where there is none.
    fn prove(&self, misuse: &Path, interrupt: &Interrupt) -> Result<(), Fault> {
        for (name, word) in MISUSES {
            let ended = self.watch("misuse", misuse, &[name], interrupt)?;
            if ended.code != Some(FOUND) || !ended.report.contains(word) {
                return Err(Fault::Answer {
                    program: format!("valgrind on `misuse {name}`"),
                    expected: "the fault that is in it",
                    got: ended.report,
                });
            }
        }
        let ended = self.watch("misuse", misuse, &["nothing"], interrupt)?;
        if ended.code != Some(0) {
            let program = "valgrind on `misuse nothing`".to_owned();
            return Err(Fault::Answer { program, expected: "no fault", got: ended.report });
        }
        println!("memcheck finds what is freed, unwritten, beyond and lost");
        Ok(())
    }

    /// Runs a program to its end under memcheck.
    fn watch(
        &self,
        name: &str,
        program: &Path,
        args: &[&str],
        interrupt: &Interrupt,
    ) -> Result<Ended, Fault> {
        let (log, report) =
            (self.folder.join(format!("{name}.log")), self.folder.join(format!("{name}.memcheck")));
        let report_to = format!("--log-file={}", report.display());
        let exit_code = format!("--error-exitcode={FOUND}");
        let own = [
            "--quiet",
            "--fair-sched=try",
            "--leak-check=full",
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
            &exit_code,
            &report_to,
            &self.suppressions,
        ];
        let mut all: Vec<&OsStr> = own.iter().map(OsStr::new).collect();
        all.push(program.as_os_str());
        all.extend(args.iter().map(OsStr::new));
        // A backtrace takes memcheck seconds, and panics are asked for.
        let environment =
            [("PROPTEST_CASES", OsStr::new(PROPTEST_CASES)), ("RUST_BACKTRACE", OsStr::new("0"))];
        let start = Instant::now();
        let mut running = Background::start(&self.program, &all, &environment, &log, None)?;
        let status = loop {
            interrupt.check()?;
            if let Some(status) = running.wait_for(Duration::from_millis(500))? {
                break status;
            }
            if start.elapsed() > PATIENCE {
                return Err(running.late(PATIENCE, "end"));
            }
        };
        let read = |path: &Path| {
            std::fs::read(path)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(Fault::io(format!("read {}", path.display())))
        };
        Ok(Ended { code: status.code(), words: read(&log)?, report: read(&report)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_is_told_from_all_else_that_cargo_says() {
        let line = |test: bool, executable: &str| {
            format!(
                r#"{{"manifest_path":"/a/fec/Cargo.toml","profile":{{"test":{test}}},"executable":{executable},
                "target":{{"name":"twins"}}}}"#
            )
            .replace('\n', "")
        };
        let packages = ["punktfunk-fec"];
        let found = binary_of(&line(true, "\"/t/twins-1\""), &packages).expect("a test binary");
        assert_eq!(found, (("punktfunk-fec".to_owned(), "twins".to_owned()), PathBuf::from("/t/twins-1")));
        for other in [&line(false, "\"/t/x\""), &line(true, "null"), "nonsense", "{}"] {
            assert_eq!(binary_of(other, &packages), None, "{other}");
        }
        assert_eq!(binary_of(&line(true, "\"/t/x\""), &["punktfunk-net"]), None);
    }

    #[test]
    fn an_end_is_summed_up_in_a_line() {
        let ended = |code, words: &str| Ended { code, words: words.to_owned(), report: String::new() };
        assert_eq!(ended(Some(0), "a\ntest result: ok. 3 passed\n").summary(), "test result: ok. 3 passed");
        assert_eq!(ended(Some(FOUND), "").summary(), "memcheck found faults:");
        assert_eq!(ended(Some(101), "").summary(), "failed:");
        assert_eq!(ended(None, "").summary(), "failed:");
    }
}
