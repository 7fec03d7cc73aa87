//! `compare`: two builds, or two sets of options, measured in turn.
//!
//! Promises: A and B alternate, and which is first alternates too, so that a machine that grows slower meanwhile costs
//! both alike; a ratio is of two runs of one pair, and its spread is shown. Refuses: to compare figures that one of the
//! two does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use serde_json::Value;

use crate::error::PerfProgramError;
use crate::figures::Rounds;
use crate::report;

/// The figures of one case that are compared, where they stand in its summary, and whether more is better.
const METRICS: &[(&str, bool)] = &[
    ("goodput_mbps", true),
    ("p50_us", false),
    ("p99_us", false),
    ("p999_us", false),
    ("idr_p50_us", false),
    ("p50_ratio", false),
    ("p99_ratio", false),
    ("sender_cpu", false),
    ("receiver_cpu", false),
];

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contender {
    /// The build.
    pub program: PathBuf,
    /// Its own options.
    pub options: Vec<String>,
}

/// One figure of both.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Of which case and what.
    pub name: String,
    /// Whether more is better.
    pub more_is_better: bool,
    /// A's.
    pub a: Rounds,
    /// B's.
    pub b: Rounds,
    /// B's over A's, pair by pair.
    pub ratio: Rounds,
}

/// Runs `pairs` pairs of `loop` with `common` options.
///
/// # Errors
/// A build that does not run, or says no JSON.
pub fn run(
    a: &Contender,
    b: &Contender,
    common: &[String],
    pairs: u32,
) -> Result<Vec<Compared>, PerfProgramError> {
    let mut runs = [Vec::new(), Vec::new()];
    for pair in 0..pairs.max(1) {
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            let contender = if side == 0 { a } else { b };
            runs[side].push(figures(&run_once(contender, common)?));
        }
        report::progress(&format!("pair {} of {pairs}", pair + 1));
    }
    let [a, b] = runs;
    Ok(compare(&a, &b))
}

fn run_once(contender: &Contender, common: &[String]) -> Result<Value, PerfProgramError> {
    let command = contender.program.display().to_string();
    let failed = |words: String| PerfProgramError::Tool { command: command.clone(), words };
    let output = Command::new(&contender.program)
        .arg("loop")
        .args(common)
        .args(&contender.options)
        .args(["--rounds", "1", "--json"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    // A window that is not clean ends with 1, and its figures count all the same.
    serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(format!("{error}; {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// What a run says, by name.
fn figures(run: &Value) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    for case in run["cases"].as_array().into_iter().flatten() {
        let name = case["name"].as_str().unwrap_or("a case");
        for (metric, _) in METRICS {
            if let Some(value) = case["summary"][metric]["median"].as_f64() {
                figures.insert(format!("{name}: {metric}"), value);
            }
        }
    }
    for search in run["searches"].as_array().into_iter().flatten() {
        let plane = search["plane"].as_str().unwrap_or("a search");
        if let Some(mbps) = search["highest_clean_mbps"].as_f64() {
            figures.insert(format!("highest clean rate, {plane}: goodput_mbps"), mbps);
        }
    }
    figures
}

fn compare(a: &[BTreeMap<String, f64>], b: &[BTreeMap<String, f64>]) -> Vec<Compared> {
    let names = a.iter().flat_map(BTreeMap::keys).collect::<std::collections::BTreeSet<_>>();
    let compared = |name: &String| {
        let of =
            |runs: &[BTreeMap<String, f64>]| Rounds::of(runs.iter().filter_map(|run| run.get(name).copied()));
        let pairs = a.iter().zip(b).filter_map(|(a, b)| a.get(name).zip(b.get(name)));
        let ratio = Rounds::of(pairs.map(|(a, b)| b / a))?;
        let more_is_better = METRICS.iter().any(|(metric, more)| *more && name.ends_with(metric));
        Some(Compared { name: name.clone(), more_is_better, a: of(a)?, b: of(b)?, ratio })
    };
    names.into_iter().filter_map(compared).collect()
}

/// The options of one side as a person writes them in one argument: split at blanks.
pub fn options(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A build named by a path, or this one.
///
/// # Errors
/// This program's own path is not known.
pub fn program(path: Option<&Path>) -> Result<PathBuf, PerfProgramError> {
    let io = |source| PerfProgramError::Io { what: "find this program", source };
    path.map_or_else(|| std::env::current_exe().map_err(io), |path| Ok(path.to_owned()))
}

/// The table: the best and the median of each, and B over A.
pub fn text(compared: &[Compared]) -> String {
    let mut text = format!(
        "{:<74}{:>11}{:>11}{:>11}{:>11}  B/A median (spread)\n",
        "", "A best", "A median", "B best", "B median"
    );
    for one in compared {
        let best = |rounds: &Rounds| if one.more_is_better { rounds.worst } else { rounds.best };
        let _ = writeln!(
            text,
            "{:<74}{:>11.4}{:>11.4}{:>11.4}{:>11.4}  {:.3} ({:.3}–{:.3})",
            one.name,
            best(&one.a),
            one.a.median,
            best(&one.b),
            one.b.median,
            one.ratio.median,
            one.ratio.best,
            one.ratio.worst
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_found_by_name_and_compared_pair_by_pair() {
        let run = |p50: f64, clean: f64| {
            figures(&json!({
                "cases": [{"name": "1G", "summary": {"p50_us": {"median": p50}, "p99_us": null}}],
                "searches": [{"plane": "ours", "highest_clean_mbps": clean}],
            }))
        };
        let compared = compare(&[run(100.0, 5.0), run(200.0, 6.0)], &[run(50.0, 10.0), run(150.0, 6.0)]);
        assert_eq!(compared.len(), 2);
        let latency = compared.iter().find(|one| one.name == "1G: p50_us").unwrap();
        assert_eq!((latency.ratio.best, latency.ratio.worst, latency.more_is_better), (0.5, 0.75, false));
        let clean = compared.iter().find(|one| one.name.contains("clean rate")).unwrap();
        assert!(clean.more_is_better && clean.a.median == 5.5);
        assert!(text(&compared).contains("0.625 (0.500–0.750)"), "{}", text(&compared));
    }

    #[test]
    fn what_one_does_not_have_is_left_out_and_nonsense_is_nothing() {
        let one = figures(&json!({"cases": [{"name": "1G", "summary": {"p50_us": {"median": 1.0}}}]}));
        assert!(compare(&[one], &[BTreeMap::new()]).is_empty());
        for nonsense in [json!(null), json!([1]), json!({"cases": 3, "searches": {"a": 1}})] {
            assert!(figures(&nonsense).is_empty());
        }
    }

    #[test]
    fn a_build_that_does_not_run_is_named() {
        let missing = Contender { program: "/nonexistent/perf".into(), options: Vec::new() };
        let said = run(&missing, &missing, &[], 1).unwrap_err().to_string();
        assert!(said.contains("/nonexistent/perf"), "{said}");
        let silent = Contender { program: "true".into(), options: options(" --pace  on ") };
        assert_eq!(silent.options, ["--pace", "on"]);
        assert!(run(&silent, &silent, &[], 1).is_err());
    }
}
