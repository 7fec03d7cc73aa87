//! `glass`: one table of a picture's way, from the logs of both ends.
//!
//! A host and a client with `PUNKTFUNK_PERF` leave a log each; both are on the session's axis, and the sums across the
//! two ends were made by the client on joined clocks. Here they stand in the order of a picture's way. The last stamp
//! that there is tells how far the way is known: a client without a window ends with `decoded`, and the table says so.
//!
//! Promises: a folder of anything at all is a table or an error that names the file and what is wrong. Refuses: to add
//! percentiles of stages up; only sums that were measured as sums are shown as such.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use punktfunk_perf::{ParsedLog, Stage, parse_log};
use serde::Serialize;

use crate::error::PerfProgramError;
use crate::meter::Spread;
use crate::plot::{Plot, Scale, Series};

/// The way of a picture through both ends.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    /// The last stamp of the way that anybody took.
    pub ends_with: &'static str,
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// Whether a log had no end, as a killed process leaves it.
    pub cut_off: bool,
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Whose log it is from.
    pub end: &'static str,
    /// The stage's name.
    pub stage: &'static str,
    /// Its times, in microseconds.
    pub spread: Spread,
}

/// Joins the logs in two folders, which may be one.
///
/// # Errors
/// A log that is not there, or is none.
pub fn join(host: &Path, client: &Path) -> Result<Way, PerfProgramError> {
    let logs = [("host", read(host, "host")?), ("client", read(client, "client")?)];
    let mut steps = Vec::new();
    for stage in Stage::ALL {
        for (end, log) in &logs {
            if let Some(spread) = spread(log, stage) {
                steps.push(Step { end, stage: stage.name(), spread });
            }
        }
    }
    let has = |stage: Stage| steps.iter().any(|step| step.stage == stage.name());
    let ends_with = match () {
        () if has(Stage::Present) => "present",
        () if has(Stage::CaptureToDecoded) || has(Stage::IdrToDecoded) => "decoded",
        () if has(Stage::CaptureToReassembled) || has(Stage::IdrToReassembled) => "reassembled",
        () => "sent",
    };
    Ok(Way { ends_with, steps, cut_off: logs.iter().any(|(_, log)| log.cut_off) })
}

fn read(folder: &Path, role: &str) -> Result<ParsedLog, PerfProgramError> {
    let path: PathBuf = folder.join(format!("perf-{role}.hlog"));
    let named = |words: String| PerfProgramError::Failed(format!("{}: {words}", path.display()));
    let file = File::open(&path).map_err(|error| named(error.to_string()))?;
    // A device or a pipe would never end.
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(named("is no regular file".to_owned()));
    }
    parse_log(file).map_err(|error| named(error.to_string()))
}

fn spread(log: &ParsedLog, stage: Stage) -> Option<Spread> {
    let histogram = log.total(stage.name())?;
    let micros = |nanoseconds: u64| nanoseconds.saturating_add(500) / 1_000;
    let quantile = |quantile: f64| micros(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Spread {
        count: histogram.len(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        p999: quantile(0.999),
        max: micros(histogram.max()),
        mean: histogram.mean() / 1e3,
    })
}

/// The table.
pub fn text(way: &Way) -> String {
    let mut text = format!(
        "{:<8}{:<26}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
        "", "microseconds", "count", "p50", "p99", "p99.9", "max"
    );
    for Step { end, stage, spread } in &way.steps {
        let _ = writeln!(
            text,
            "{end:<8}{stage:<26}{:>9}{:>9}{:>9}{:>9}{:>9}",
            spread.count, spread.p50, spread.p99, spread.p999, spread.max
        );
    }
    let _ = writeln!(text, "the way is known up to: {}", way.ends_with);
    if way.ends_with != "present" {
        text.push_str("from there to the glass nothing has been stamped: this client has no window\n");
    }
    if way.cut_off {
        text.push_str("a log's last line has no end; it was left out\n");
    }
    text
}

/// A plot of each step's percentiles.
pub fn plot(way: &Way) -> Plot {
    let line = |name: &str, value: fn(&Spread) -> u64| Series {
        name: name.to_owned(),
        points: way
            .steps
            .iter()
            .enumerate()
            .map(|(at, step)| (at as f64, value(&step.spread) as f64))
            .collect(),
    };
    Plot {
        title: "a picture's way, step by step".to_owned(),
        x: "step, in the order of the table".to_owned(),
        y: "µs".to_owned(),
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
        series: vec![
            line("p50", |spread| spread.p50),
            line("p99", |spread| spread.p99),
            line("p99.9", |spread| spread.p999),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant, SystemTime};

    use proptest::prelude::*;
    use punktfunk_perf::{LogHeader, PerfTarget, Recorder, TimeAxis};

    use super::*;

    fn log(folder: &Path, role: &str, stages: &[Stage]) {
        let target = PerfTarget::parse(&folder.to_string_lossy()).unwrap();
        let axis = TimeAxis::with_offset(Instant::now(), 0, SystemTime::now(), Instant::now());
        let log = target.open_log(role, &LogHeader { axis, comments: &[] }).unwrap();
        let mut recorder = Recorder::new();
        for stage in stages {
            recorder.record(*stage, Duration::from_micros(100));
        }
        log.finish(&mut recorder, [], Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn both_ends_stand_in_the_order_of_the_way() {
        let (host, client) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        log(host.path(), "host", &[Stage::Encode, Stage::Send]);
        log(client.path(), "client", &[Stage::Receive, Stage::CaptureToDecoded]);
        let way = join(host.path(), client.path()).unwrap();
        let names: Vec<_> = way.steps.iter().map(|step| (step.end, step.stage)).collect();
        assert_eq!(
            names,
            [("host", "encode"), ("host", "send"), ("client", "receive"), ("client", "capture_to_decoded")]
        );
        assert_eq!(way.ends_with, "decoded");
        assert!(text(&way).contains("no window") && plot(&way).svg().contains("p99.9"));
        log(client.path(), "client", &[Stage::Present]);
        assert_eq!(join(host.path(), client.path()).unwrap().ends_with, "present");
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let said = join(empty.path(), empty.path()).unwrap_err().to_string();
        assert!(said.contains("perf-host.hlog"), "{said}");
        fs::create_dir(empty.path().join("perf-host.hlog")).unwrap();
        let said = join(empty.path(), empty.path()).unwrap_err().to_string();
        assert!(said.contains("perf-host.hlog"), "{said}");
    }

    #[test]
    fn histograms_of_other_bounds_are_read_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), "host", &[Stage::Encode]);
        let path = folder.path().join("perf-client.hlog");
        for bad in ["Tag=decode,0,1,2,HISTFAAAAA==\n", "Tag=decode,-1,1,2,x\n", "Tag=decode\n", "\0\n"] {
            fs::write(&path, bad).unwrap();
            let said = join(folder.path(), folder.path()).unwrap_err().to_string();
            assert!(said.contains("perf-client.hlog") && said.contains("line 1"), "{bad:?}: {said}");
        }
        fs::write(&path, "Tag=decode,0,1,2,HIST").unwrap();
        assert!(join(folder.path(), folder.path()).unwrap().cut_off);
    }

    proptest! {
        #[test]
        fn a_folder_of_anything_is_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            log(folder.path(), "host", &[Stage::Encode]);
            fs::write(folder.path().join("perf-client.hlog"), &bytes).unwrap();
            if let Ok(way) = join(folder.path(), folder.path()) {
                prop_assert!(!text(&way).is_empty());
            }
        }
    }
}
