//! What can go wrong at this crate's edge, and whose fault it is.

use std::io;
use std::path::PathBuf;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// `PUNKTFUNK_PERF` does not say what it must.
    #[error("PUNKTFUNK_PERF: {problem}; expected DIR[,INTERVAL_S], e.g. /tmp/perf,1, got {value:?}")]
    Target {
        /// What the variable held.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The log's folder or file cannot be made.
    #[error("cannot create {path}: {source}; name a folder that can be written in PUNKTFUNK_PERF")]
    Create {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The log cannot be written on (disk full, reader gone).
    #[error("cannot write the histogram log: {source}")]
    Write {
        /// The system's reason.
        #[from]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A log read back is not one: its writer's fault.
    #[error("histogram log, line {line}: {fault}")]
    Parse {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        fault: LogFault,
    },
}

/// What is wrong with a line of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// The log as a whole is too long to be read at once.
    #[error("the log is longer than {max} bytes")]
    LogTooLong {
        /// The limit.
        max: usize,
    },
    /// A line is too long to be one of an interval log.
    #[error("the line has {bytes} bytes, at most {max} are allowed")]
    LineTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A line is not text.
    #[error("the line is not UTF-8")]
    NotText,
    /// A line is neither comment, legend nor interval.
    #[error("expected [Tag=NAME,]START,LENGTH,MAX,HISTOGRAM, got {fields} fields")]
    Fields {
        /// How many fields came.
        fields: usize,
    },
    /// A number is none, or is out of range.
    #[error("{field}: expected a number of seconds from 0, got {got:?}")]
    Number {
        /// Which field.
        field: &'static str,
        /// What came.
        got: String,
    },
    /// The histogram's text is not base64 of a compressed V2 histogram.
    #[error("the histogram is not V2 deflate in base64: {0}")]
    Histogram(&'static str),
}
