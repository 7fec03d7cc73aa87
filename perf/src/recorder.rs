//! Histograms of every stage: this interval's and the whole session's.
//!
//! Promises: quantiles within 0.1 % from 1 ns to 60 s; memory fixed at `new` (about 7 MB of address
//! space, of which only what is counted into is touched); values above the range are recorded as its
//! end and counted.
//!
//! Refuses: nothing. It belongs on a thread that may take its time, never on a pipeline thread.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::limits::{SIGNIFICANT_DIGITS, VALUE_MAX, VALUE_MIN};
use crate::stage::Stage;
use crate::tap::Collector;

/// What one histogram says, in microseconds. The log keeps the nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many samples.
    pub count: u64,
    /// The median, to the nearest microsecond.
    pub p50_us: u64,
    /// Ninety-nine in a hundred were no longer.
    pub p99_us: u64,
    /// 999 in a thousand were no longer.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// The arithmetic mean.
    pub mean_us: f64,
}

#[derive(Debug)]
struct StageHistograms {
    interval: Histogram<u64>,
    total: Histogram<u64>,
}

/// Owns the histograms, fed by any number of [`Collector`]s and by [`Recorder::record`].
#[derive(Debug)]
pub struct Recorder {
    collectors: Vec<Collector>,
    stages: Vec<StageHistograms>,
    overflowed_finished: u64,
    clamped: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder::new()
    }
}

impl Recorder {
    /// A recorder with empty histograms and no collectors.
    pub fn new() -> Recorder {
        let stages = Stage::ALL
            .into_iter()
            .map(|_| StageHistograms { interval: empty_histogram(), total: empty_histogram() })
            .collect();
        Recorder { collectors: Vec::new(), stages, overflowed_finished: 0, clamped: 0 }
    }

    /// Takes charge of a tap's reading end.
    pub fn attach(&mut self, collector: Collector) {
        self.collectors.push(collector);
    }

    /// Counts one sample that came on no tap.
    pub fn record(&mut self, stage: Stage, value: Duration) {
        record_in(&mut self.stages, &mut self.clamped, stage, value);
    }

    /// Reads what the taps hold and says how many samples that was. A tap that is gone is let go of
    /// once it is empty.
    pub fn drain(&mut self) -> usize {
        self.drain_each(|_, _| {})
    }

    /// The same, and hands each sample to `also`: for figures over other intervals than this recorder's.
    pub fn drain_each(&mut self, mut also: impl FnMut(Stage, Duration)) -> usize {
        let Recorder { collectors, stages, overflowed_finished, clamped } = self;
        let mut drained = 0;
        collectors.retain_mut(|collector| {
            drained += collector.drain(|stage, value| {
                record_in(stages, clamped, stage, value);
                also(stage, value);
            });
            let finished = collector.is_finished();
            if finished {
                *overflowed_finished += collector.overflowed();
            }
            !finished
        });
        drained
    }

    /// The whole session's summary of a stage; `None` when it has no sample. Drains nothing.
    pub fn summary(&self, stage: Stage) -> Option<Summary> {
        summarize(&self.stages[stage.index()].total)
    }

    /// The summary of a stage since the last [`Recorder::end_interval`]; `None` when it has no sample.
    pub fn interval(&self, stage: Stage) -> Option<Summary> {
        summarize(&self.stages[stage.index()].interval)
    }

    /// Empties the interval's histograms; the session's stay.
    pub fn end_interval(&mut self) {
        for stage in &mut self.stages {
            if !stage.interval.is_empty() {
                stage.interval.reset();
            }
        }
    }

    /// Samples that found their tap full, all taps that ever were attached.
    pub fn overflowed(&self) -> u64 {
        self.overflowed_finished + self.collectors.iter().map(Collector::overflowed).sum::<u64>()
    }

    /// Samples above [`VALUE_MAX`], recorded as that.
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The histogram of a stage since the last [`Recorder::end_interval`], in nanoseconds.
    pub(crate) fn interval_histogram(&self, stage: Stage) -> &Histogram<u64> {
        &self.stages[stage.index()].interval
    }
}

fn record_in(stages: &mut [StageHistograms], clamped: &mut u64, stage: Stage, value: Duration) {
    if value > VALUE_MAX {
        *clamped += 1;
    }
    let nanoseconds = nanoseconds(value.min(VALUE_MAX));
    let histograms = &mut stages[stage.index()];
    histograms.interval.saturating_record(nanoseconds);
    histograms.total.saturating_record(nanoseconds);
}

fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(nanoseconds(VALUE_MIN), nanoseconds(VALUE_MAX), SIGNIFICANT_DIGITS)
        .expect("limits.rs asserts HdrHistogram's conditions on these constants at compile time")
}

fn nanoseconds(value: Duration) -> u64 {
    u64::try_from(value.as_nanos()).unwrap_or(u64::MAX)
}

fn summarize(histogram: &Histogram<u64>) -> Option<Summary> {
    let microseconds = |nanoseconds: u64| nanoseconds.saturating_add(500) / 1000;
    let quantile = |quantile: f64| microseconds(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Summary {
        count: histogram.len(),
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
        max_us: microseconds(histogram.max()),
        mean_us: histogram.mean() / 1000.0,
    })
}
