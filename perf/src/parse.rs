//! Reads an interval log back: for tests, and for whatever reports on it.
//!
//! Promises: what [`crate::HistogramLog`] wrote comes back equal; a log of another HdrHistogram port is
//! read too. A last line without its end (a killed process's) is left out and said. [`LogReader`] holds one line
//! at a time, and goes on behind a line that is none; [`parse_log`] holds all of it, and ends there.
//!
//! Refuses: lines and logs over the limits, and anything that is no interval log, with the line's number.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::error::{LogFault, PerfError};
use crate::histogram_text;
use crate::limits::{LINE_BYTES_MAX, LOG_BYTES_MAX};

/// A log, read back.
#[derive(Debug, Clone, Default)]
pub struct ParsedLog {
    /// Seconds since the epoch at which the session started, if the log says so.
    pub start_time_s: Option<f64>,
    /// Seconds since the epoch that interval times count from, if the log says so.
    pub base_time_s: Option<f64>,
    /// The intervals in the log's order.
    pub intervals: Vec<LoggedInterval>,
    /// The counter lines in the log's order.
    pub counters: Vec<CounterLine>,
    /// Every other comment, without its `#`.
    pub comments: Vec<String>,
    /// Whether the last line had no end and was left out.
    pub cut_off: bool,
}

/// One stage in one interval.
#[derive(Debug, Clone)]
pub struct LoggedInterval {
    /// The stage's name; `None` for a line without a tag.
    pub tag: Option<String>,
    /// When the interval began, since the log's base.
    pub start: Duration,
    /// How long it was.
    pub length: Duration,
    /// The samples, in nanoseconds in our own logs.
    pub histogram: Histogram<u64>,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterLine {
    /// Since the log's base.
    pub at: Duration,
    /// Names and values in the log's order.
    pub values: Vec<(String, u64)>,
}

impl ParsedLog {
    /// All samples of a tag in one histogram; `None` when there is none.
    pub fn total(&self, tag: &str) -> Option<Histogram<u64>> {
        let mut total: Option<Histogram<u64>> = None;
        for interval in self.intervals.iter().filter(|interval| interval.tag.as_deref() == Some(tag)) {
            match &mut total {
                // A histogram of other bounds may not fit; one that grows takes it.
                Some(total) => total.add(&interval.histogram).ok()?,
                None => {
                    let mut first = interval.histogram.clone();
                    first.auto(true);
                    total = Some(first);
                }
            }
        }
        total
    }
}

/// What one line of a log says.
#[derive(Debug, Clone)]
pub enum LogEntry {
    /// Seconds since the epoch at which the session started.
    StartTime(f64),
    /// Seconds since the epoch that interval times count from.
    BaseTime(f64),
    /// One stage in one interval.
    Interval(LoggedInterval),
    /// The counters at one moment.
    Counters(CounterLine),
    /// Any other comment, without its `#`.
    Comment(String),
}

/// Reads a log entry by entry.
///
/// An error says what is wrong with one line; the next entry is that of a line behind it. After an error of the reader,
/// or at the longest log's end, there is none.
#[derive(Debug)]
pub struct LogReader<R: Read> {
    reader: BufReader<R>,
    text: Vec<u8>,
    line: usize,
    bytes: usize,
    cut_off: bool,
    ended: bool,
}

/// How a line ended.
enum Line {
    /// With its end; so many bytes, of which those within the limit were kept.
    Whole(usize),
    /// With the log, in its middle.
    CutOff,
    /// There is none.
    None,
}

impl<R: Read> LogReader<R> {
    /// Reads from `reader`, from the log's first line on.
    pub fn new(reader: R) -> Self {
        let reader = BufReader::new(reader);
        Self { reader, text: Vec::new(), line: 0, bytes: 0, cut_off: false, ended: false }
    }

    /// Whether the last line had no end and was left out; known once there are no more entries.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Reads one line into `text`, which keeps no more than a line may have.
    fn read_line(&mut self) -> io::Result<Line> {
        self.text.clear();
        let mut bytes = 0;
        loop {
            let there = match self.reader.fill_buf() {
                Ok(there) => there,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if there.is_empty() {
                return Ok(if bytes == 0 { Line::None } else { Line::CutOff });
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let part = &there[..end.unwrap_or(there.len())];
            let room = LINE_BYTES_MAX.saturating_sub(self.text.len());
            self.text.extend_from_slice(&part[..part.len().min(room)]);
            bytes += part.len();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            self.bytes += used;
            if end.is_some() {
                return Ok(Line::Whole(bytes));
            }
            if self.bytes > LOG_BYTES_MAX {
                return Ok(Line::CutOff);
            }
        }
    }

    fn fault(&self, fault: LogFault) -> PerfError {
        PerfError::Parse { line: self.line, fault }
    }
}

impl<R: Read> Iterator for LogReader<R> {
    type Item = Result<LogEntry, PerfError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let line = self.read_line();
            self.line += 1;
            let entry = match line {
                Err(source) => {
                    self.ended = true;
                    return Some(Err(PerfError::Read { path: "the histogram log".into(), source }));
                }
                Ok(_) if self.bytes > LOG_BYTES_MAX => {
                    self.ended = true;
                    return Some(Err(self.fault(LogFault::LogTooLong { max: LOG_BYTES_MAX })));
                }
                Ok(Line::None) => {
                    self.ended = true;
                    continue;
                }
                Ok(Line::CutOff) => {
                    (self.ended, self.cut_off) = (true, true);
                    continue;
                }
                Ok(Line::Whole(bytes)) if bytes > LINE_BYTES_MAX => {
                    Err(LogFault::LineTooLong { bytes, max: LINE_BYTES_MAX })
                }
                Ok(Line::Whole(_)) => parse_line(&self.text),
            };
            match entry {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(fault) => return Some(Err(self.fault(fault))),
            }
        }
        None
    }
}

/// Reads a whole log.
///
/// # Errors
/// [`PerfError::Read`] when the reader fails, [`PerfError::Parse`] with the line and what is wrong there.
pub fn parse_log(reader: impl Read) -> Result<ParsedLog, PerfError> {
    let mut log = ParsedLog::default();
    let mut entries = LogReader::new(reader);
    for entry in &mut entries {
        match entry? {
            LogEntry::StartTime(seconds) => log.start_time_s = Some(seconds),
            LogEntry::BaseTime(seconds) => log.base_time_s = Some(seconds),
            LogEntry::Interval(interval) => log.intervals.push(interval),
            LogEntry::Counters(counters) => log.counters.push(counters),
            LogEntry::Comment(comment) => log.comments.push(comment),
        }
    }
    log.cut_off = entries.is_cut_off();
    Ok(log)
}

/// What a line says; nothing, where it is empty or the legend.
fn parse_line(line: &[u8]) -> Result<Option<LogEntry>, LogFault> {
    let line = std::str::from_utf8(line).map_err(|_| LogFault::NotText)?.trim_end_matches('\r');
    if let Some(comment) = line.strip_prefix('#') {
        return parse_comment(comment).map(Some);
    }
    if line.is_empty() || line.starts_with("\"StartTimestamp\"") {
        return Ok(None);
    }
    parse_interval(line).map(|interval| Some(LogEntry::Interval(interval)))
}

fn parse_interval(line: &str) -> Result<LoggedInterval, LogFault> {
    let fields: Vec<&str> = line.split(',').collect();
    let (tag, fields) = match fields.split_first() {
        Some((first, rest)) if first.starts_with("Tag=") => (Some(first["Tag=".len()..].to_owned()), rest),
        Some(_) | None => (None, fields.as_slice()),
    };
    let [start, length, max, histogram] = fields else {
        return Err(LogFault::Fields { fields: fields.len() });
    };
    seconds("Interval_Max", max)?;
    Ok(LoggedInterval {
        tag,
        start: duration("StartTimestamp", start)?,
        length: duration("Interval_Length", length)?,
        histogram: histogram_text::decode(histogram)?,
    })
}

fn parse_comment(comment: &str) -> Result<LogEntry, LogFault> {
    let first_number =
        |rest: &str| rest.split([' ', ']', ',']).find(|part| !part.is_empty()).map(str::to_owned);
    if let Some(rest) = comment.strip_prefix("[StartTime:") {
        Ok(LogEntry::StartTime(seconds("StartTime", &first_number(rest).unwrap_or_default())?))
    } else if let Some(rest) = comment.strip_prefix("[BaseTime:") {
        Ok(LogEntry::BaseTime(seconds("BaseTime", &first_number(rest).unwrap_or_default())?))
    } else if let Some(line) = parse_counters(comment) {
        Ok(LogEntry::Counters(line))
    } else {
        Ok(LogEntry::Comment(comment.to_owned()))
    }
}

/// A counter line, or `None` where the comment is none: comments of others are nobody's fault.
fn parse_counters(comment: &str) -> Option<CounterLine> {
    let body = comment.strip_prefix("[Counters ")?.strip_suffix(']')?;
    let (at, values) = body.split_once(':')?;
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Some(CounterLine {
        at: duration("Counters", at).ok()?,
        values: values.split_whitespace().map(pair).collect::<Option<_>>()?,
    })
}

fn seconds(field: &'static str, text: &str) -> Result<f64, LogFault> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
        // The text is cut so that a hostile log does not become a hostile message.
        Ok(_) | Err(_) => Err(LogFault::Number { field, got: text.chars().take(40).collect() }),
    }
}

fn duration(field: &'static str, text: &str) -> Result<Duration, LogFault> {
    Duration::try_from_secs_f64(seconds(field, text)?)
        .map_err(|_| LogFault::Number { field, got: text.chars().take(40).collect() })
}
