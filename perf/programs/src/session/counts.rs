//! The counters of one log, folded while the log is read.
//!
//! Promises: an interval's counts are what a counter grew by; what a log does not name is not known, which is not nought;
//! lost, late and dropped stay three. What is kept has a bound: of a log with more intervals, two and two become one,
//! and how many make a point is said.
//!
//! Refuses: to keep the names and values of more than a log's last line.

use punktfunk_perf::CounterLine;
use serde::Serialize;

/// The most points that are kept of one log: a day and more of intervals of a second.
const POINTS_KEPT_MAX: usize = 100_000;

/// The most counters of the last line that are kept: a real one has 29.
const COUNTERS_MAX: usize = 64;

/// The longest name of a counter that is kept.
const NAME_LETTERS_MAX: usize = 40;

/// A shorter interval is none of its own: the last words may come a moment after the last interval, and a rate over
/// that would be a fancy.
const INTERVAL_S_MIN: f64 = 0.02;

/// Where an access unit can be dropped.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The counter in a log.
    pub counter: &'static str,
    /// The name in the summary's `pictures.dropped`.
    pub told: &'static str,
    /// Whose it is.
    pub end: &'static str,
    /// Whether it happens before the client counts the access unit as whole.
    pub is_before_whole: bool,
    /// For a sentence.
    pub words: &'static str,
}

const fn place(
    counter: &'static str,
    told: &'static str,
    is_before_whole: bool,
    words: &'static str,
) -> Place {
    Place { counter, told, end: "client", is_before_whole, words }
}

/// All places.
pub const DROPS: [Place; 6] = [
    Place {
        counter: "aus_dropped_protect",
        told: "host_protect",
        end: "host",
        is_before_whole: true,
        words: "at the host, before the wire",
    },
    place("dropped_memory", "receive_memory", true, "at the client, for want of memory"),
    place("dropped_window", "receive_window", true, "at the client, by newer ones"),
    place("dropped_decode_queue", "decode_queue", true, "before a decoder that lags"),
    place("dropped_awaiting_idr", "awaiting_idr", true, "while an IDR was awaited"),
    place("dropped_decode_error", "decode_error", false, "by the decoder"),
];

/// The counters of what the host sheds: pictures that it never encodes, and those that the rate control skips.
pub const SHEDS: [&str; 2] = ["pictures_shed", "pictures_skipped"];

/// Counts in one interval, or in several together. `None` where nobody counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Counts {
    /// When it ended, in seconds of the session.
    pub at_s: f64,
    /// On the wire; the least of several.
    pub mbps: Option<f64>,
    /// Access units that never came whole.
    pub lost: Option<u64>,
    /// Access units that came too late.
    pub late: Option<u64>,
    /// Access units thrown away.
    pub dropped: Option<u64>,
    /// Pictures shed before encode.
    pub shed: Option<u64>,
}

impl Counts {
    /// Both intervals as one.
    fn and(self, other: Counts) -> Counts {
        let least = match (self.mbps, other.mbps) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Counts { at_s: other.at_s, mbps: least, ..self.plus(other) }
    }

    /// What a moment added to an interval.
    fn plus(self, moment: Counts) -> Counts {
        Counts {
            lost: sum([self.lost, moment.lost]),
            late: sum([self.late, moment.late]),
            dropped: sum([self.dropped, moment.dropped]),
            shed: sum([self.shed, moment.shed]),
            ..self
        }
    }
}

/// The sum of those that are known.
pub fn sum(counts: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    counts.into_iter().flatten().reduce(u64::saturating_add)
}

/// Several neighbours as one point each.
pub fn joined(points: &[Counts], together: usize) -> Vec<Counts> {
    let join = |some: &[Counts]| some.iter().copied().reduce(Counts::and);
    points.chunks(together.max(1)).filter_map(join).collect()
}

/// The counters of one line that become a course, in the order of their slots.
#[derive(Debug, Clone, Copy, Default)]
struct Slots {
    wire_bytes: Option<u64>,
    lost: Option<u64>,
    late: Option<u64>,
    sheds: [Option<u64>; SHEDS.len()],
    drops: [Option<u64>; DROPS.len()],
}

impl Slots {
    fn of(values: &[(String, u64)]) -> Slots {
        let value =
            |name: &str| values.iter().find(|(known, _)| name_of(known) == name).map(|(_, value)| *value);
        Slots {
            wire_bytes: value("wire_bytes"),
            lost: value("aus_lost"),
            late: value("aus_late"),
            sheds: SHEDS.map(value),
            drops: DROPS.map(|place| value(place.counter)),
        }
    }

    /// How much each grew since `before`; what runs backwards did not grow.
    fn since(&self, before: &Slots) -> Slots {
        let grown =
            |now: Option<u64>, before: Option<u64>| now.map(|now| now.saturating_sub(before.unwrap_or(0)));
        Slots {
            wire_bytes: grown(self.wire_bytes, before.wire_bytes),
            lost: grown(self.lost, before.lost),
            late: grown(self.late, before.late),
            sheds: std::array::from_fn(|at| grown(self.sheds[at], before.sheds[at])),
            drops: std::array::from_fn(|at| grown(self.drops[at], before.drops[at])),
        }
    }

    /// These, and what they do not name as it was.
    fn or(&self, before: &Slots) -> Slots {
        Slots {
            wire_bytes: self.wire_bytes.or(before.wire_bytes),
            lost: self.lost.or(before.lost),
            late: self.late.or(before.late),
            sheds: std::array::from_fn(|at| self.sheds[at].or(before.sheds[at])),
            drops: std::array::from_fn(|at| self.drops[at].or(before.drops[at])),
        }
    }

    fn counts(&self, at_s: f64, seconds: f64) -> Counts {
        Counts {
            at_s,
            mbps: self.wire_bytes.map(|bytes| bytes as f64 * 8e-6 / seconds),
            lost: self.lost,
            late: self.late,
            dropped: sum(self.drops),
            shed: sum(self.sheds),
        }
    }
}

/// What is kept of a log's counters.
#[derive(Debug, Clone)]
pub struct CounterLog {
    points: Vec<Counts>,
    /// Intervals that make one point, and those in the newest.
    together: usize,
    in_newest: usize,
    before: Slots,
    before_s: f64,
    last: Vec<(String, u64)>,
    last_s: f64,
}

impl Default for CounterLog {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            together: 1,
            in_newest: 0,
            before: Slots::default(),
            before_s: 0.0,
            last: Vec::new(),
            last_s: 0.0,
        }
    }
}

impl CounterLog {
    /// Takes a line.
    pub fn add(&mut self, line: CounterLine) {
        let at_s = line.at.as_secs_f64();
        let now = Slots::of(&line.values);
        let seconds = at_s - self.before_s;
        let counts = now.since(&self.before).counts(at_s, seconds);
        if seconds > INTERVAL_S_MIN {
            self.push(counts);
            (self.before, self.before_s) = (now.or(&self.before), at_s);
        } else if let Some(newest) = self.points.last_mut() {
            *newest = newest.plus(counts);
            (self.before, self.before_s) = (now.or(&self.before), at_s);
        }
        let kept = line.values.into_iter().take(COUNTERS_MAX);
        self.last = kept.map(|(name, value)| (shortened(name_of(&name)), value)).collect();
        self.last_s = at_s;
    }

    fn push(&mut self, counts: Counts) {
        match self.points.last_mut().filter(|_| self.in_newest < self.together) {
            Some(newest) => *newest = newest.and(counts),
            None => {
                if self.points.len() >= POINTS_KEPT_MAX {
                    self.points = joined(&self.points, 2);
                    self.together *= 2;
                }
                self.points.push(counts);
                self.in_newest = 0;
            }
        }
        self.in_newest += 1;
    }

    /// The intervals.
    pub fn points(&self) -> &[Counts] {
        &self.points
    }

    /// Intervals of the log that make one point.
    pub fn together(&self) -> usize {
        self.together
    }

    /// The last line's counters.
    pub fn last(&self) -> &[(String, u64)] {
        &self.last
    }

    /// The last value of a counter.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.last.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// When the last line was written, in seconds of the session: what counters are divided by.
    pub fn seconds(&self) -> f64 {
        self.last_s
    }
}

/// The engine's own name for a counter that `punktfunk-perf loop` calls otherwise.
fn name_of(name: &str) -> &str {
    match name {
        "captured" => "pictures_captured",
        "superseded" => "pictures_superseded",
        "shed" => "pictures_shed",
        "sent" => "aus_sent",
        "dropped_protect" => "aus_dropped_protect",
        "dropped_key_exhausted" => "blocks_dropped_key",
        "whole" => "aus_whole",
        "lost_aus" => "aus_lost",
        "late_aus" => "aus_late",
        "recovered" => "recovered_shards",
        other => other,
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_LETTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn log(lines: &[(f64, &[(&str, u64)])]) -> CounterLog {
        let mut log = CounterLog::default();
        for (at_s, values) in lines {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            log.add(CounterLine { at: Duration::from_secs_f64(*at_s), values });
        }
        log
    }

    #[test]
    fn counters_become_differences_and_a_short_last_line_adds_to_the_one_before() {
        let log = log(&[
            (1.0, &[("wire_bytes", 1_000_000), ("aus_lost", 1)]),
            (2.0, &[("wire_bytes", 3_000_000), ("aus_lost", 1), ("dropped_window", 2)]),
            (2.01, &[("wire_bytes", 3_000_100), ("aus_lost", 4), ("dropped_window", 2)]),
        ]);
        let said: Vec<_> = log.points().iter().map(|point| (point.mbps, point.lost, point.dropped)).collect();
        assert_eq!(said, [(Some(8.0), Some(1), None), (Some(16.0), Some(3), Some(2))]);
        assert_eq!((log.value("aus_lost"), log.value("aus_late"), log.seconds()), (Some(4), None, 2.01));
    }

    #[test]
    fn counters_that_run_backwards_and_lines_at_one_moment_are_no_fault() {
        let log = log(&[
            (5.0, &[("wire_bytes", u64::MAX), ("aus_late", u64::MAX)]),
            (1.0, &[("wire_bytes", 0)]),
            (9.0, &[("aus_late", u64::MAX)]),
        ]);
        assert!(log.points().iter().all(|point| point.mbps.is_none_or(f64::is_finite)), "{:?}", log.points());
    }

    #[test]
    fn what_nobody_counted_is_not_nought() {
        let log = log(&[(1.0, &[("aus_sent", 60), ("pictures_shed", 0)])]);
        assert_eq!(log.points(), [Counts { at_s: 1.0, shed: Some(0), ..Counts::default() }]);
    }

    #[test]
    fn the_loops_names_are_the_engines() {
        let log = log(&[(1.0, &[("lost_aus", 2), ("late_aus", 1), ("dropped_protect", 3), ("shed", 4)])]);
        let point = log.points()[0];
        assert_eq!((point.lost, point.late, point.dropped, point.shed), (Some(2), Some(1), Some(3), Some(4)));
        assert_eq!(log.value("aus_lost"), Some(2));
    }

    #[test]
    fn a_log_without_end_is_kept_in_bounded_memory_and_loses_no_count() {
        let mut log = CounterLog::default();
        let lines = 2 * POINTS_KEPT_MAX as u64 + 101;
        for second in 1..=lines {
            let values = (0..2 * COUNTERS_MAX).map(|at| (format!("{at:>99}"), 1));
            let values = match second {
                1 => values.collect(),
                _ => vec![("aus_lost".to_owned(), second)],
            };
            log.add(CounterLine { at: Duration::from_secs(second), values });
            assert!(log.points.len() <= POINTS_KEPT_MAX && log.last.len() <= COUNTERS_MAX);
            assert!(log.last.iter().all(|(name, _)| name.len() <= NAME_LETTERS_MAX));
        }
        assert_eq!(log.together(), 4);
        assert_eq!(sum(log.points().iter().map(|point| point.lost)), Some(lines));
        assert!(log.points().windows(2).all(|pair| pair[0].at_s < pair[1].at_s));
    }

    #[test]
    fn a_long_session_keeps_its_worst() {
        let mut points = vec![Counts { mbps: Some(10.0), lost: Some(0), ..Counts::default() }; 1_000];
        points[777] = Counts { mbps: Some(2.0), lost: Some(3), ..Counts::default() };
        let few = joined(&points, 5);
        assert_eq!(few.len(), 200);
        assert!(few.iter().any(|point| point.lost == Some(3) && point.mbps == Some(2.0)));
    }
}
