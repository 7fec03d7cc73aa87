//! What a session left in a folder: the logs of its two ends, and the client's summary.
//!
//! Promises: whatever lies there is read as far as it can be; what is missing, damaged or cut off is said in words, and
//! what was read before and behind it counts. Memory does not grow with the histograms of a log.
//!
//! Refuses: a folder with neither log nor summary; devices and pipes, which would never end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use hdrhistogram::Histogram;
use punktfunk_perf::{CounterLine, LogEntry, LogReader, LoggedInterval, Stage};
use serde_json::Value;

use crate::error::PerfProgramError;

/// The longest summary that is read: a real one has 5 KB.
const SUMMARY_BYTES_MAX: u64 = 4 << 20;

/// The most faults of one file that are said one by one.
const FAULTS_SAID_MAX: usize = 3;

/// The most lines of a log's head that are kept: a real one has a score.
const FACTS_MAX: usize = 64;

/// One stage in one interval of a log.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    /// When it ended, in seconds of the session.
    pub at_s: f64,
    /// In nanoseconds.
    pub p50_ns: u64,
    /// In nanoseconds.
    pub p99_ns: u64,
    /// In nanoseconds.
    pub max_ns: u64,
}

/// One end's log.
#[derive(Debug, Clone)]
pub struct EndLog {
    /// All samples of each stage, by [`Stage::index`].
    totals: Vec<Option<Histogram<u64>>>,
    /// The intervals of each stage, by [`Stage::index`].
    intervals: Vec<Vec<Interval>>,
    /// The counters, line by line.
    pub counters: Vec<CounterLine>,
    /// What the head says: names and words.
    pub facts: Vec<(String, String)>,
    /// Seconds since 1970 at the session's start.
    pub start_s: Option<f64>,
    /// Whether the end wrote its last words.
    pub is_finished: bool,
    /// What is wrong with the log.
    pub faults: Vec<String>,
}

impl Default for EndLog {
    fn default() -> Self {
        Self {
            totals: vec![None; Stage::COUNT],
            intervals: vec![Vec::new(); Stage::COUNT],
            counters: Vec::new(),
            facts: Vec::new(),
            start_s: None,
            is_finished: false,
            faults: Vec::new(),
        }
    }
}

impl EndLog {
    /// All samples of a stage.
    pub fn total(&self, stage: Stage) -> Option<&Histogram<u64>> {
        self.totals[stage.index()].as_ref()
    }

    /// The intervals of a stage in which it had samples.
    pub fn intervals(&self, stage: Stage) -> &[Interval] {
        &self.intervals[stage.index()]
    }

    /// The last value of a counter.
    pub fn last(&self, name: &str) -> Option<u64> {
        value(self.counters.last()?, name)
    }

    /// The words behind a name in the head.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(key, _)| key == name).map(|(_, words)| words.as_str())
    }

    /// The end of the log, in seconds of the session.
    pub fn seconds(&self) -> f64 {
        let intervals = self.intervals.iter().flatten().map(|interval| interval.at_s);
        let counters = self.counters.iter().map(|line| line.at.as_secs_f64());
        intervals.chain(counters).fold(0.0, f64::max)
    }

    fn add(&mut self, interval: &LoggedInterval) {
        let Some(stage) = interval.tag.as_deref().and_then(Stage::from_name) else {
            return self.note(format!("no stage {}", quoted(interval.tag.as_deref().unwrap_or(""))));
        };
        let histogram = &interval.histogram;
        if histogram.is_empty() {
            return;
        }
        let total = self.totals[stage.index()].get_or_insert_with(|| {
            let mut total = Histogram::new(3).expect("three digits are what the library takes");
            total.auto(true);
            total
        });
        if total.add(histogram).is_err() {
            return self.note(format!("{}: values that fit no histogram", stage.name()));
        }
        self.intervals[stage.index()].push(Interval {
            at_s: (interval.start + interval.length).as_secs_f64(),
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            max_ns: histogram.max(),
        });
    }

    fn add_comment(&mut self, comment: &str) {
        if comment.starts_with("[Recorder:") {
            self.is_finished = true;
        }
        if comment.starts_with('[') || self.facts.len() >= FACTS_MAX {
            return;
        }
        if let Some((name, words)) = comment.split_once(": ") {
            self.facts.push((name.to_owned(), words.to_owned()));
        } else if let Some((program, version)) = comment.split_once(' ')
            && program.starts_with("punktfunk")
        {
            self.facts.push((program.to_owned(), version.to_owned()));
        }
    }

    fn note(&mut self, fault: String) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// A counter of one line.
pub fn value(line: &CounterLine, name: &str) -> Option<u64> {
    line.values.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
}

/// Everything that was found in a folder.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The host's log.
    pub host: Option<EndLog>,
    /// The client's log.
    pub client: Option<EndLog>,
    /// The client's summary, or that of a demo around it; null where there is none.
    pub summary: Value,
    /// What is missing or wrong, in words.
    pub faults: Vec<String>,
}

/// Reads a folder.
///
/// # Errors
/// The folder is none, or holds nothing of a session.
pub fn read(folder: &Path) -> Result<Found, PerfProgramError> {
    let refuse = |words: String| PerfProgramError::Failed(format!("{}: {words}", folder.display()));
    let about = fs::metadata(folder).map_err(|error| refuse(error.to_string()))?;
    if !about.is_dir() {
        return Err(refuse("is no folder; name the one that PUNKTFUNK_PERF named, or the demo's".to_owned()));
    }
    let mut found = Found::default();
    found.host = read_log(folder, "host", &mut found.faults);
    found.client = read_log(folder, "client", &mut found.faults);
    found.summary = read_summary(folder, &mut found.faults);
    if found.host.is_none() && found.client.is_none() && found.summary.is_null() {
        return Err(refuse(format!(
            "nothing of a session is here ({}); run both ends with PUNKTFUNK_PERF=DIR",
            found.faults.join("; ")
        )));
    }
    Ok(found)
}

/// A regular file, opened.
fn open(path: &Path) -> io::Result<File> {
    // What is no file is refused before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    File::open(path)
}

fn read_log(folder: &Path, end: &str, faults: &mut Vec<String>) -> Option<EndLog> {
    let name = format!("perf-{end}.hlog");
    let file = match open(&folder.join(&name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            faults.push(format!("There is no {name}: what the {end} measured is not known."));
            return None;
        }
        Err(error) => {
            faults.push(format!("{name} cannot be read: {error}."));
            return None;
        }
    };
    let mut log = EndLog::default();
    let mut reader = LogReader::new(file);
    let mut wrong = 0_u64;
    for entry in reader.by_ref() {
        match entry {
            Ok(LogEntry::StartTime(seconds)) => log.start_s = Some(seconds),
            Ok(LogEntry::BaseTime(_)) => {}
            Ok(LogEntry::Interval(interval)) => log.add(&interval),
            Ok(LogEntry::Counters(line)) => log.counters.push(line),
            Ok(LogEntry::Comment(comment)) => log.add_comment(&comment),
            Err(error) => {
                wrong += 1;
                if log.faults.len() < FAULTS_SAID_MAX {
                    log.note(error.to_string());
                }
            }
        }
    }
    if wrong > 0 {
        log.note(format!("{wrong} of its lines could not be read, and were left out"));
    }
    if reader.is_cut_off() {
        log.note("its last line has no end, and was left out".to_owned());
    }
    if !log.is_finished {
        log.note(format!("it has no last words, so the {end} was killed, or still runs"));
    }
    log.faults.truncate(2 * FAULTS_SAID_MAX);
    faults.extend(log.faults.iter().map(|fault| format!("{name}: {fault}.")));
    Some(log)
}

fn read_summary(folder: &Path, faults: &mut Vec<String>) -> Value {
    let path = folder.join("summary.json");
    let mut text = Vec::new();
    let read = open(&path).and_then(|file| file.take(SUMMARY_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Ok(_) if text.len() as u64 > SUMMARY_BYTES_MAX => {
            faults.push(format!("summary.json is longer than {SUMMARY_BYTES_MAX} bytes, and was left out."));
        }
        Ok(_) => match serde_json::from_slice::<Value>(&text) {
            Ok(summary) if summary.is_object() => return summary,
            Ok(_) => faults.push("summary.json holds no JSON object, and was left out.".to_owned()),
            Err(error) => faults.push(format!("summary.json is no JSON ({error}), and was left out.")),
        },
        // A session whose summary nobody kept is a whole one all the same.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => faults.push(format!("summary.json cannot be read: {error}.")),
    }
    Value::Null
}

/// Words of a file in a fault: short, and between quotation marks.
fn quoted(words: &str) -> String {
    let short: String = words.chars().take(40).collect();
    format!("{short:?}")
}
