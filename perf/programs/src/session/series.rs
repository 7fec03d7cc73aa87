//! What went on over the session's time: latency, rate, and what was lost, late, dropped and shed.
//!
//! Promises: a point is an interval of a log; where there are more intervals than a plot has room for, several make one
//! point, of which counts are the sum and times the worst, and how many is said. Each end's counts stay its own.

use punktfunk_perf::Stage;
use serde::Serialize;

use super::counts::{Counts, joined};
use super::read::{EndLog, Found, Interval};

/// The most points of a line: as many as a plot has room for.
const POINTS_MAX: usize = 240;

/// Latency in one interval, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// When it ended, in seconds of the session.
    pub at_s: f64,
    /// The median.
    pub p50_ms: f64,
    /// Ninety-nine in a hundred took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// One end's counts.
#[derive(Debug, Clone, Serialize)]
pub struct Course {
    /// Its points.
    pub points: Vec<Counts>,
    /// Intervals that make one point.
    pub merged: usize,
}

impl Course {
    /// Whether any point knows this.
    pub fn knows(&self, of: fn(&Counts) -> Option<u64>) -> bool {
        self.points.iter().any(|point| of(point).is_some())
    }
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// What latency is of.
    pub latency_of: Option<&'static str>,
    /// Latency.
    pub latency: Vec<Latency>,
    /// Intervals that make one point of latency.
    pub latency_merged: usize,
    /// What the client counted.
    pub client: Course,
    /// What the host counted.
    pub host: Course,
}

impl Series {
    /// The rate as the client saw it; as the host did, where the client left nothing. With the end's name.
    pub fn rate(&self) -> Option<(&'static str, &Course)> {
        [("client", &self.client), ("host", &self.host)]
            .into_iter()
            .find(|(_, course)| course.points.iter().any(|point| point.mbps.is_some()))
    }
}

/// Joins the logs.
pub fn series(found: &Found) -> Series {
    let (host, client) = (found.host.as_ref(), found.client.as_ref());
    let sums = [
        (client, Stage::CaptureToDecoded),
        (client, Stage::CaptureToReassembled),
        (host, Stage::CaptureToSent),
    ];
    let measured = sums.into_iter().find_map(|(log, stage)| {
        let intervals = log?.intervals(stage);
        (!intervals.is_empty()).then_some((stage, intervals))
    });
    let (latency, latency_merged) = measured.map_or((Vec::new(), 1), |(_, intervals)| latency(intervals));
    Series {
        latency_of: measured.map(|(stage, _)| stage.name()),
        latency,
        latency_merged,
        client: course(client),
        host: course(host),
    }
}

fn course(log: Option<&EndLog>) -> Course {
    let Some(log) = log else { return Course { points: Vec::new(), merged: 1 } };
    let together = log.counters.points().len().div_ceil(POINTS_MAX).max(1);
    Course { points: joined(log.counters.points(), together), merged: together * log.counters.together() }
}

fn latency(intervals: &[Interval]) -> (Vec<Latency>, usize) {
    let together = intervals.len().div_ceil(POINTS_MAX).max(1);
    let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let point = |some: &[Interval]| Latency {
        at_s: some.last().map_or(0.0, |interval| interval.at_s),
        p50_ms: some.iter().map(|interval| ms(interval.p50_ns)).fold(0.0, f64::max),
        p99_ms: some.iter().map(|interval| ms(interval.p99_ns)).fold(0.0, f64::max),
        max_ms: some.iter().map(|interval| ms(interval.max_ns)).fold(0.0, f64::max),
    };
    (intervals.chunks(together).map(point).collect(), together)
}
