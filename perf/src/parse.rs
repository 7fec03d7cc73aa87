//! Reads an interval log back: for tests, and for whatever reports on it.
//!
//! Promises: what [`crate::HistogramLog`] wrote comes back equal; a log of another HdrHistogram port is
//! read too. A last line without its end (a killed process's) is left out and said.
//!
//! Refuses: lines and logs over the limits, and anything that is no interval log, with the line's number.

use std::io::Read;
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

/// Reads a whole log.
///
/// # Errors
/// [`PerfError::Read`] when the reader fails, [`PerfError::Parse`] with the line and what is wrong there.
pub fn parse_log(reader: impl Read) -> Result<ParsedLog, PerfError> {
    let mut bytes = Vec::new();
    reader
        .take(LOG_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| PerfError::Read { path: "the histogram log".into(), source })?;
    if bytes.len() > LOG_BYTES_MAX {
        return Err(PerfError::Parse { line: 1, fault: LogFault::LogTooLong { max: LOG_BYTES_MAX } });
    }
    let mut log = ParsedLog::default();
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else {
            log.cut_off = true;
            break;
        };
        parse_line(line, &mut log).map_err(|fault| PerfError::Parse { line: index + 1, fault })?;
    }
    Ok(log)
}

fn parse_line(line: &[u8], log: &mut ParsedLog) -> Result<(), LogFault> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LogFault::LineTooLong { bytes: line.len(), max: LINE_BYTES_MAX });
    }
    let line = std::str::from_utf8(line).map_err(|_| LogFault::NotText)?.trim_end_matches('\r');
    if let Some(comment) = line.strip_prefix('#') {
        return parse_comment(comment, log);
    }
    if line.is_empty() || line.starts_with("\"StartTimestamp\"") {
        return Ok(());
    }
    log.intervals.push(parse_interval(line)?);
    Ok(())
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

fn parse_comment(comment: &str, log: &mut ParsedLog) -> Result<(), LogFault> {
    let first_number =
        |rest: &str| rest.split([' ', ']', ',']).find(|part| !part.is_empty()).map(str::to_owned);
    if let Some(rest) = comment.strip_prefix("[StartTime:") {
        log.start_time_s = Some(seconds("StartTime", &first_number(rest).unwrap_or_default())?);
    } else if let Some(rest) = comment.strip_prefix("[BaseTime:") {
        log.base_time_s = Some(seconds("BaseTime", &first_number(rest).unwrap_or_default())?);
    } else if let Some(line) = parse_counters(comment) {
        log.counters.push(line);
    } else {
        log.comments.push(comment.to_owned());
    }
    Ok(())
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
