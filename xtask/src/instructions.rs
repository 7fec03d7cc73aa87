//! `cargo xtask instructions`: how many instructions each hot verb takes, beside the committed table.
//!
//! Promises: counts by callgrind, whose CPU is always the same one (AVX2, no AVX-512), so that neither load nor the
//! machine's model changes them; a verb that takes more than the table says, by more than [`TOLERANCE_PERCENT`], fails
//! the run, and every verb is listed with its change. `--renew` writes what was counted into the table.
//!
//! Refuses: to speak of time. Kernels for wider CPUs than callgrind's are the benches' affair.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::args::InstructionsOptions;
use crate::fault::Fault;
use crate::{packages, process, workspace};

/// The table, below the workspace's root.
const TABLE: &str = "perf/instructions.toml";

/// What a verb may take more without a word: addresses move with the build's folder, and copies with them.
const TOLERANCE_PERCENT: u64 = 3;

/// And beside that, for the shortest verbs: what one spilled register takes.
const TOLERANCE: u64 = 3;

/// Counts only what happens inside the program's function of this name.
const MEASURED: &str = "--toggle-collect=*verbs::measured*";

const HEAD: &str = "\
# Instructions that each hot verb takes, by callgrind: `cargo xtask instructions` compares, `--renew` writes this.
# A verb that grows fails CI; one that shrinks wants a renewed line. See benches/examples/verbs.rs for what each does.
";

/// Counts all verbs and compares, or writes the table anew.
pub(crate) fn run(options: &InstructionsOptions) -> Result<(), Fault> {
    packages::ensure(&[packages::BUILD, packages::VALGRIND], options.install)?;
    let root = workspace::root()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--locked", "--release", "-p", "benches", "--example", "verbs"]);
    process::run(cargo.current_dir(&root).stdin(Stdio::null()))?;
    let program = workspace::target_folder(&root)?.join("release/examples/verbs");
    let counted = count_all(&program)?;
    let path = root.join(TABLE);
    if options.renew {
        let lines: String = counted.iter().map(|(verb, count)| format!("{verb} = {count}\n")).collect();
        return std::fs::write(&path, format!("{HEAD}{lines}")).map_err(Fault::io(format!("write {TABLE}")));
    }
    let text = std::fs::read_to_string(&path).map_err(Fault::io(format!("read {TABLE}")))?;
    let (report, faults) = compare(&counted, &read_table(&text)?);
    print!("{report}");
    if faults == 0 { Ok(()) } else { Err(Fault::Instructions { count: faults }) }
}

type Counts = BTreeMap<String, u64>;

/// The instructions of each verb, for once that it is done.
fn count_all(program: &Path) -> Result<Counts, Fault> {
    let listing = process::output(&mut Command::new(program))?;
    let mut counts = Counts::new();
    for line in listing.lines() {
        let entry = line.split_once(' ').and_then(|(name, times)| Some((name, times.parse::<u64>().ok()?)));
        let (name, times) = entry.filter(|(_, times)| *times > 0).ok_or_else(|| Fault::Answer {
            program: "verbs".to_owned(),
            expected: "a name and a number of times",
            got: line.to_owned(),
        })?;
        counts.insert(name.to_owned(), count(program, name)? / times);
    }
    Ok(counts)
}

/// The instructions of one verb's measured run.
fn count(program: &Path, verb: &str) -> Result<u64, Fault> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", MEASURED]).arg(program).arg(verb);
    // The environment lies on the stack and would move it.
    valgrind.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = valgrind.output().map_err(Fault::io("run valgrind"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let collected = read_collected(&words).filter(|count| output.status.success() && *count > 0);
    collected.ok_or_else(|| Fault::Answer {
        program: "valgrind".to_owned(),
        expected: "a count of what was collected",
        got: words.into_owned(),
    })
}

/// The number in callgrind's line `==1== Collected : 123`.
fn read_collected(words: &str) -> Option<u64> {
    let line = words.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.split_whitespace().next()?.parse().ok()
}

/// Lines of a name and a number.
fn read_table(text: &str) -> Result<Counts, Fault> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let entry = line.split_once('=');
            let entry = entry.and_then(|(name, count)| Some((name.trim(), count.trim().parse().ok()?)));
            entry.map(|(name, count)| (name.to_owned(), count)).ok_or_else(|| Fault::Answer {
                program: TABLE.to_owned(),
                expected: "`name = instructions`",
                got: line.to_owned(),
            })
        })
        .collect()
}

/// A line for each verb, and how many of them do not hold.
fn compare(counted: &Counts, table: &Counts) -> (String, usize) {
    let mut report = String::new();
    let mut faults = 0;
    for verb in counted.keys().chain(table.keys().filter(|verb| !counted.contains_key(*verb))) {
        let (now, before) = (counted.get(verb), table.get(verb));
        let judgement = match (now, before) {
            (Some(now), Some(before)) => judge(*now, *before),
            (Some(_), None) => Err("is not in the table".to_owned()),
            (None, _) => Err("is in the table and there is no such verb".to_owned()),
        };
        let show = |count: Option<&u64>| count.map_or("-".to_owned(), u64::to_string);
        let (Ok(word) | Err(word)) = &judgement;
        faults += usize::from(judgement.is_err());
        report.push_str(&format!("{verb:<24} {:>9} {:>9}  {word}\n", show(before), show(now)));
    }
    (report, faults)
}

fn judge(now: u64, before: u64) -> Result<String, String> {
    let change = (now as f64 / before.max(1) as f64 - 1.0) * 100.0;
    if now > TOLERANCE + before * (100 + TOLERANCE_PERCENT) / 100 {
        Err(format!("{change:+.1} %: more than {TOLERANCE_PERCENT} % above"))
    } else if now * (100 + TOLERANCE_PERCENT) < before * 100 {
        Ok(format!("{change:+.1} %: better; renew the table"))
    } else {
        Ok(format!("{change:+.1} %"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn growth_is_a_fault_and_shrinking_is_none() {
        let table = counts(&[("a", 1_000), ("b", 1_000), ("c", 1_000), ("gone", 5)]);
        let counted = counts(&[("a", 1_033), ("b", 1_034), ("c", 500), ("new", 1)]);
        let (report, faults) = compare(&counted, &table);
        assert_eq!(faults, 3, "{report}");
        for line in ["+3.3 %", "+3.4 %: more", "-50.0 %: better", "not in the table", "no such verb"] {
            assert!(report.contains(line), "{line}: {report}");
        }
    }

    #[test]
    fn a_table_is_read_and_nonsense_is_named() {
        let text = format!("{HEAD}\na = 5\nb=7 \n");
        assert_eq!(read_table(&text).unwrap(), counts(&[("a", 5), ("b", 7)]));
        assert!(read_table("a = many").unwrap_err().to_string().contains("a = many"));
    }

    #[test]
    fn callgrinds_word_is_found() {
        let words = "==7== Events    : Ir\n==7== Collected : 4711\n==7== \n";
        assert_eq!(read_collected(words), Some(4711));
        assert_eq!(read_collected("==7== Collected :\n"), None);
    }
}
