//! The HdrHistogram interval log of one end of a session.
//!
//! Promises: what HdrHistogram's own tools read: version line, `StartTime`, `BaseTime`, the legend, and a
//! line for each stage and interval, tagged with the stage's name, times in seconds since the session
//! started, histograms of nanoseconds as V2 deflate in base64, the readable maximum in milliseconds.
//! Counters stand in comment lines (`#[Counters SECONDS: name=value …]`), the session's summary in
//! comment lines at the end. Each interval is flushed whole, so a killed process leaves a readable log.
//!
//! Refuses: to write a name that would break a line (it is written with underscores instead).

use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::axis::TimeAxis;
use crate::error::PerfError;
use crate::histogram_text::HistogramText;
use crate::recorder::Recorder;
use crate::stage::Stage;

/// What the head of a log says.
#[derive(Debug, Clone, Copy)]
pub struct LogHeader<'a> {
    /// The axis that the log's times are on.
    pub axis: TimeAxis,
    /// Further comment lines: program, version, machine, source, skew and its error.
    pub comments: &'a [String],
}

/// Writes an interval log.
#[derive(Debug)]
pub struct HistogramLog<W: Write> {
    writer: W,
    text: HistogramText,
    written_until: Duration,
}

impl<W: Write> HistogramLog<W> {
    /// Writes the head. The first interval begins at session time zero.
    ///
    /// # Errors
    /// [`PerfError::Write`].
    pub fn new(mut writer: W, header: &LogHeader<'_>) -> Result<HistogramLog<W>, PerfError> {
        writeln!(writer, "#[Histogram log format version 1.3]")?;
        for comment in header.comments.iter().flat_map(|comment| comment.lines()) {
            writeln!(writer, "#{comment}")?;
        }
        writeln!(writer, "#values in nanoseconds, Interval_Max in milliseconds, tags are stages")?;
        let base = header.axis.base();
        let seconds = base.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        writeln!(writer, "#[StartTime: {seconds:.3} (seconds since epoch), the session's start]")?;
        writeln!(writer, "#[BaseTime: {seconds:.3} (seconds since epoch)]")?;
        writeln!(
            writer,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        writer.flush()?;
        Ok(HistogramLog { writer, text: HistogramText::new(), written_until: Duration::ZERO })
    }

    /// Writes the interval that ends at session time `until`: a line for each stage that has samples, the
    /// counters as they stand, and ends the recorder's interval. Drain the recorder first.
    ///
    /// # Errors
    /// [`PerfError::Write`].
    pub fn write_interval<'c>(
        &mut self,
        recorder: &mut Recorder,
        counters: impl IntoIterator<Item = (&'c str, u64)>,
        until: Duration,
    ) -> Result<(), PerfError> {
        let start = self.written_until;
        let length = until.saturating_sub(start);
        for stage in Stage::ALL {
            let histogram = recorder.interval_histogram(stage);
            if histogram.is_empty() {
                continue;
            }
            let text = self.text.encode(histogram);
            writeln!(
                self.writer,
                "Tag={},{:.3},{:.3},{:.6},{text}",
                stage.name(),
                start.as_secs_f64(),
                length.as_secs_f64(),
                // Nanoseconds to milliseconds, as HdrHistogram's own writer does.
                Duration::from_nanos(histogram.max()).as_secs_f64() * 1e3,
            )?;
        }
        self.write_counters(counters, until)?;
        recorder.end_interval();
        self.written_until = until.max(start);
        self.writer.flush()?;
        Ok(())
    }

    /// Writes the last interval and the session's summary, flushes, and hands the writer back.
    ///
    /// # Errors
    /// [`PerfError::Write`].
    pub fn finish<'c>(
        mut self,
        recorder: &mut Recorder,
        counters: impl IntoIterator<Item = (&'c str, u64)>,
        until: Duration,
    ) -> Result<W, PerfError> {
        self.write_interval(recorder, counters, until)?;
        for stage in Stage::ALL {
            let Some(total) = recorder.summary(stage) else { continue };
            writeln!(
                self.writer,
                "#[Total {}: count={} p50_us={} p99_us={} p999_us={} max_us={} mean_us={:.3}]",
                stage.name(),
                total.count,
                total.p50_us,
                total.p99_us,
                total.p999_us,
                total.max_us,
                total.mean_us,
            )?;
        }
        writeln!(
            self.writer,
            "#[Recorder: overflowed={} clamped={}]",
            recorder.overflowed(),
            recorder.clamped()
        )?;
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn write_counters<'c>(
        &mut self,
        counters: impl IntoIterator<Item = (&'c str, u64)>,
        until: Duration,
    ) -> Result<(), PerfError> {
        let mut counters = counters.into_iter().peekable();
        if counters.peek().is_none() {
            return Ok(());
        }
        write!(self.writer, "#[Counters {:.3}:", until.as_secs_f64())?;
        for (name, value) in counters {
            let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            self.writer.write_all(b" ")?;
            for c in name.chars() {
                write!(self.writer, "{}", if safe(c) { c } else { '_' })?;
            }
            write!(self.writer, "={value}")?;
        }
        writeln!(self.writer, "]")?;
        Ok(())
    }
}
