//! Where a millisecond went: stage clocks, histograms and `PUNKTFUNK_PERF` dumps.
//!
//! A pipeline thread owns a [`Tap`] and records how long each [`Stage`] took; the [`Recorder`], on a
//! thread that may wait, drains the taps into histograms; a [`HistogramLog`] writes them at intervals
//! as an HdrHistogram interval log, on the session's [`TimeAxis`], which both ends share.
//!
//! Promises: recording neither blocks, locks nor allocates; what does not fit is counted, never waited
//! for; a log is readable by HdrHistogram's ordinary tools at every moment, a killed process's too.
//!
//! Refuses: to read a clock for the protocol (times are handed in), to believe a log it did not check
//! ([`parse_log`] bounds every length and count before it allocates), and to hold global state.
#![forbid(unsafe_code)]

mod axis;
mod cpu;
mod error;
mod histogram_text;
mod limits;
mod log;
mod machine;
mod parse;
mod recorder;
mod stage;
mod tap;
mod target;

pub use axis::TimeAxis;
pub use cpu::{process_cpu, thread_cpu};
pub use error::{LogFault, PerfError};
pub use limits::{
    LINE_BYTES_MAX, LOG_BYTES_MAX, SIGNIFICANT_DIGITS, TAP_SAMPLES_DEFAULT, VALUE_MAX, VALUE_MIN,
};
pub use log::{HistogramLog, LogHeader};
pub use machine::machine_facts;
pub use parse::{CounterLine, LogEntry, LogReader, LoggedInterval, ParsedLog, parse_log};
pub use recorder::{Recorder, Summary};
pub use stage::Stage;
pub use tap::{Collector, Tap, channel};
pub use target::PerfTarget;
