//! What a session left in a folder: the logs of its two ends, and the client's summary.
//!
//! Promises: whatever lies there is read as far as it can be; what is missing, damaged or cut off is said in words, and
//! what was read before and behind it counts. Memory grows neither with the histograms of a log nor with its faults, and
//! what the log's end says is never crowded out by them.
//!
//! Refuses: a folder with neither log nor summary; devices and pipes, which would never end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use hdrhistogram::Histogram;
use punktfunk_perf::{LogEntry, LogReader, LoggedInterval, Stage};
use serde_json::Value;

use crate::error::PerfProgramError;

use super::counts::CounterLog;
use super::words::{counted, shortened};

/// The longest summary that is read: a real one has 5 KB.
const SUMMARY_BYTES_MAX: u64 = 4 << 20;

/// The most faults of one kind in one file that are said one by one.
const FAULTS_SAID_MAX: usize = 3;

/// The most lines of a log's head that are kept: a real one has a score.
const FACTS_MAX: usize = 64;

/// The longest name and the longest words of a log's head that are kept: what a host says of its kernels has 290.
const FACT_LETTERS_MAX: (usize, usize) = (60, 400);

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
    /// The counters.
    pub counters: CounterLog,
    /// What the head says: names and words.
    pub facts: Vec<(String, String)>,
    /// Seconds since 1970 at the session's start.
    pub start_s: Option<f64>,
    /// Whether the end wrote its last words.
    pub is_finished: bool,
    /// Samples that found no room, and samples that were longer than a histogram holds, as the last words tell.
    pub unmeasured: (u64, u64),
    faults: Faults,
}

/// What is wrong with a log.
#[derive(Debug, Clone, Default)]
struct Faults {
    /// The first lines that could not be read, and how many there were.
    lines: Vec<String>,
    wrong: u64,
    /// The first names that are no stage's, and how many lines had one.
    unknown: Vec<String>,
    strange: u64,
    /// Stages whose values fit no histogram.
    misfits: Vec<&'static str>,
}

impl Faults {
    fn words(&self) -> Vec<String> {
        let mut words = self.lines.clone();
        if self.wrong > 0 {
            let were = if self.wrong == 1 { "was" } else { "were" };
            words.push(format!("{} could not be read, and {were} left out", counted(self.wrong, "line")));
        }
        if self.strange > 0 {
            let names = self.unknown.join(", ");
            let more = if self.strange > self.unknown.len() as u64 { " and others" } else { "" };
            words.push(format!("{} of no stage: {names}{more}", counted(self.strange, "interval")));
        }
        words.extend(self.misfits.iter().map(|stage| format!("{stage}: values that fit no histogram")));
        words
    }
}

impl Default for EndLog {
    fn default() -> Self {
        Self {
            totals: vec![None; Stage::COUNT],
            intervals: vec![Vec::new(); Stage::COUNT],
            counters: CounterLog::default(),
            facts: Vec::new(),
            start_s: None,
            is_finished: false,
            unmeasured: (0, 0),
            faults: Faults::default(),
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
        self.counters.value(name)
    }

    /// The words behind a name in the head.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(key, _)| key == name).map(|(_, words)| words.as_str())
    }

    /// The end of the log, in seconds of the session.
    pub fn seconds(&self) -> f64 {
        let intervals = self.intervals.iter().flatten().map(|interval| interval.at_s);
        let counters = self.counters.points().iter().map(|point| point.at_s);
        intervals.chain(counters).fold(0.0, f64::max)
    }

    fn add(&mut self, interval: &LoggedInterval) {
        let Some(stage) = interval.tag.as_deref().and_then(Stage::from_name) else {
            self.faults.strange += 1;
            let name = quoted(interval.tag.as_deref().unwrap_or(""));
            if self.faults.unknown.len() < FAULTS_SAID_MAX && !self.faults.unknown.contains(&name) {
                self.faults.unknown.push(name);
            }
            return;
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
            if !self.faults.misfits.contains(&stage.name()) {
                self.faults.misfits.push(stage.name());
            }
            return;
        }
        self.intervals[stage.index()].push(Interval {
            at_s: (interval.start + interval.length).as_secs_f64(),
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            max_ns: histogram.max(),
        });
    }

    fn add_comment(&mut self, comment: &str) {
        if let Some(last) = comment.strip_prefix("[Recorder:") {
            self.is_finished = true;
            let count = |name: &str| {
                let words = last.trim_end_matches(']').split_whitespace();
                words
                    .filter_map(|word| word.strip_prefix(name))
                    .find_map(|value| value.parse().ok())
                    .unwrap_or(0)
            };
            self.unmeasured = (count("overflowed="), count("clamped="));
        }
        if comment.starts_with('[') || self.facts.len() >= FACTS_MAX {
            return;
        }
        let (name_letters, letters) = FACT_LETTERS_MAX;
        if let Some((name, words)) = comment.split_once(": ") {
            self.facts.push((shortened(name, name_letters), shortened(words, letters)));
        } else if let Some((program, version)) = comment.split_once(' ')
            && program.starts_with("punktfunk")
        {
            self.facts.push((shortened(program, name_letters), shortened(version, letters)));
        }
    }
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
    for entry in reader.by_ref() {
        match entry {
            Ok(LogEntry::StartTime(seconds)) => log.start_s = Some(seconds),
            Ok(LogEntry::BaseTime(_)) => {}
            Ok(LogEntry::Interval(interval)) => log.add(&interval),
            Ok(LogEntry::Counters(line)) => log.counters.add(line),
            Ok(LogEntry::Comment(comment)) => log.add_comment(&comment),
            Err(error) => {
                log.faults.wrong += 1;
                if log.faults.lines.len() < FAULTS_SAID_MAX {
                    log.faults.lines.push(error.to_string());
                }
            }
        }
    }
    let mut said = log.faults.words();
    if reader.is_cut_off() {
        said.push("its last line has no end, and was left out".to_owned());
    }
    if !log.is_finished {
        said.push(format!("it has no last words, so the {end} was killed, or still runs"));
    }
    let (overflowed, clamped) = log.unmeasured;
    if overflowed > 0 {
        said.push(format!(
            "{} found no room and {} missing; percentiles and the longest are of the others",
            counted(overflowed, "sample"),
            if overflowed == 1 { "is" } else { "are" }
        ));
    }
    if clamped > 0 {
        said.push(format!(
            "{} longer than a histogram holds, and {} as its longest",
            counted(clamped, "sample"),
            if clamped == 1 { "stands" } else { "stand" }
        ));
    }
    faults.extend(said.into_iter().map(|fault| format!("{name}: {fault}.")));
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
    format!("{:?}", shortened(words, 40))
}
