//! What went on over the session's time: latency, rate, and what was lost, late, dropped and shed.
//!
//! Promises: a point is an interval of a log; where there are more intervals than a plot has room for, several make one
//! point, of which the worst is shown, and how many is said. Lost, late and dropped are three lines.

use punktfunk_perf::{CounterLine, Stage};
use serde::Serialize;

use super::read::{EndLog, Found, Interval, value};

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

/// Counts in one interval.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// When it ended, in seconds of the session.
    pub at_s: f64,
    /// On the wire; the least of several.
    pub mbps: f64,
    /// Access units that never came whole.
    pub lost: u64,
    /// Access units that came too late.
    pub late: u64,
    /// Access units thrown away.
    pub dropped: u64,
    /// Pictures shed before encode.
    pub shed: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Series {
    /// What latency is of.
    pub latency_of: Option<&'static str>,
    /// Latency.
    pub latency: Vec<Latency>,
    /// What the client counted; what the host did, where the client left nothing.
    pub counts: Vec<Counts>,
    /// What the host shed and dropped, on its own intervals.
    pub host: Vec<Counts>,
    /// Intervals that make one point of latency.
    pub latency_merged: usize,
    /// Intervals that make one point of the counts.
    pub counts_merged: usize,
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
    let of_client = client.map_or_else(Vec::new, |log| counts(log, &CLIENT_DROPS, &[]));
    let of_host = host.map_or_else(Vec::new, |log| counts(log, &HOST_DROPS, &HOST_SHEDS));
    let (host_points, _) = merged(&of_host);
    let rates = if of_client.is_empty() { &of_host } else { &of_client };
    let (points, counts_merged) = merged(rates);
    Series {
        latency_of: measured.map(|(stage, _)| stage.name()),
        latency,
        counts: points,
        host: host_points,
        latency_merged,
        counts_merged,
    }
}

const CLIENT_DROPS: [&str; 5] = [
    "dropped_memory",
    "dropped_window",
    "dropped_decode_queue",
    "dropped_awaiting_idr",
    "dropped_decode_error",
];
const HOST_DROPS: [&str; 1] = ["aus_dropped_protect"];
const HOST_SHEDS: [&str; 2] = ["pictures_shed", "pictures_skipped"];

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

/// Differences from line to line.
fn counts(log: &EndLog, drops: &[&str], sheds: &[&str]) -> Vec<Counts> {
    let mut points = Vec::new();
    let mut before: Option<&CounterLine> = None;
    for line in &log.counters {
        let since = |name: &str| {
            let now = value(line, name).unwrap_or(0);
            now.saturating_sub(before.and_then(|before| value(before, name)).unwrap_or(0))
        };
        let all = |names: &[&str]| names.iter().map(|name| since(name)).fold(0, u64::saturating_add);
        let at_s = line.at.as_secs_f64();
        let seconds = at_s - before.map_or(0.0, |before| before.at.as_secs_f64());
        // The last words may come a moment after the last interval: a rate over that would be a fancy.
        if seconds > 0.02 {
            points.push(Counts {
                at_s,
                mbps: since("wire_bytes") as f64 * 8e-6 / seconds,
                lost: since("aus_lost"),
                late: since("aus_late"),
                dropped: all(drops),
                shed: all(sheds),
            });
            before = Some(line);
        } else if let Some(last) = points.last_mut() {
            last.lost = last.lost.saturating_add(since("aus_lost"));
            last.late = last.late.saturating_add(since("aus_late"));
            last.dropped = last.dropped.saturating_add(all(drops));
            last.shed = last.shed.saturating_add(all(sheds));
            before = Some(line);
        }
    }
    points
}

fn merged(points: &[Counts]) -> (Vec<Counts>, usize) {
    let together = points.len().div_ceil(POINTS_MAX).max(1);
    let join = |some: &[Counts]| {
        some.iter().copied().reduce(|one, other| Counts {
            at_s: other.at_s,
            mbps: one.mbps.min(other.mbps),
            lost: one.lost.saturating_add(other.lost),
            late: one.late.saturating_add(other.late),
            dropped: one.dropped.saturating_add(other.dropped),
            shed: one.shed.saturating_add(other.shed),
        })
    };
    (points.chunks(together).filter_map(join).collect(), together)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(at_s: f64, values: &[(&str, u64)]) -> CounterLine {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        CounterLine { at: Duration::from_secs_f64(at_s), values }
    }

    fn log_of(counters: Vec<CounterLine>) -> EndLog {
        let mut log = EndLog::default();
        log.counters = counters;
        log
    }

    #[test]
    fn counters_become_differences_and_a_short_last_line_adds_to_the_one_before() {
        let counters = vec![
            line(1.0, &[("wire_bytes", 1_000_000), ("aus_lost", 1)]),
            line(2.0, &[("wire_bytes", 3_000_000), ("aus_lost", 1), ("dropped_window", 2)]),
            line(2.01, &[("wire_bytes", 3_000_100), ("aus_lost", 4), ("dropped_window", 2)]),
        ];
        let points = counts(&log_of(counters), &CLIENT_DROPS, &[]);
        let said: Vec<_> = points.iter().map(|point| (point.mbps, point.lost, point.dropped)).collect();
        assert_eq!(said, [(8.0, 1, 0), (16.0, 3, 2)]);
    }

    #[test]
    fn counters_that_run_backwards_and_lines_at_one_moment_are_no_fault() {
        let counters = vec![
            line(5.0, &[("wire_bytes", u64::MAX), ("aus_late", u64::MAX)]),
            line(1.0, &[("wire_bytes", 0)]),
            line(9.0, &[("aus_late", u64::MAX)]),
        ];
        let points = counts(&log_of(counters), &CLIENT_DROPS, &[]);
        assert!(points.iter().all(|point| point.mbps.is_finite()), "{points:?}");
    }

    #[test]
    fn a_long_session_keeps_its_worst() {
        let mut points = vec![Counts { mbps: 10.0, ..Counts::default() }; 1_000];
        points[777] = Counts { mbps: 2.0, lost: 3, ..Counts::default() };
        let (few, together) = merged(&points);
        assert!(few.len() <= POINTS_MAX && together == 5);
        assert!(few.iter().any(|point| point.lost == 3 && point.mbps == 2.0));
    }
}
