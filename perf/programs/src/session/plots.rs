//! Which charts a session has.

use crate::axis::Scale;

use super::cadence::{BARS, Cadence, is_constant};
use super::chart::{Chart, Hit, Line, Stroke};
use super::counts::{Counts, sum};
use super::figures::{Curve, SUMS, Session, WAY};
use super::page::title_case;
use super::series::Course;
use super::way::label;
use super::words::{self, count, three_digits};

/// Percentiles of the sums, of the host's stages, and of the client's.
pub fn percentiles(session: &Session) -> Vec<Chart> {
    let of = |names: Vec<&str>| -> Vec<&Curve> {
        names.iter().filter_map(|name| session.curves.iter().find(|curve| curve.stage == *name)).collect()
    };
    let sums = of(SUMS.iter().map(|(_, stage)| stage.name()).collect());
    let end = |end: &str| {
        let steps = of(WAY.iter().filter(|(of, _)| *of == end).map(|(_, stage)| stage.name()).collect());
        // What never takes any time has no place on an axis of powers.
        steps.into_iter().filter(|curve| curve.points.iter().any(|(_, ms)| *ms > 0.0)).collect()
    };
    let host: Vec<&Curve> = end("host");
    let client: Vec<&Curve> = end("client");
    [
        ("percentiles-sums", "The whole way", sums, Scale::Linear),
        ("percentiles-host", "The host's stages", host, Scale::Log),
        ("percentiles-client", "The client's stages", client, Scale::Log),
    ]
    .into_iter()
    .filter(|(_, _, curves, _)| !curves.is_empty())
    .map(|(id, title, curves, scale)| percentile_chart(id, title, &curves, scale))
    .collect()
}

fn percentile_chart(id: &'static str, title: &str, curves: &[&Curve], scale: Scale) -> Chart {
    let most = curves.iter().flat_map(|curve| curve.points.last()).map(|point| point.0).fold(10.0, f64::max);
    let ticks =
        [(1.0, "0 %"), (2.0, "50 %"), (10.0, "90 %"), (1e2, "99 %"), (1e3, "99.9 %"), (1e4, "99.99 %")]
            .into_iter()
            .chain([(1e5, "99.999 %"), (1e6, "1 in 10⁶"), (1e7, "1 in 10⁷")])
            .map(|(one_in, words)| (one_in, words.to_owned()));
    let longest = curves.iter().map(|curve| curve.points.as_slice()).max_by_key(|points| points.len());
    let hits = longest.unwrap_or_default().iter().map(|(one_in, _)| {
        let below = (1.0 - 1.0 / one_in) * 100.0;
        let mut words = format!("{} % take no longer than", precise(below, *one_in));
        for curve in curves {
            if let Some(ms) = curve.at(*one_in) {
                words.push_str(&format!("; {} {} ms", label(curve.stage), three_digits(ms)));
            }
        }
        Hit { x: *one_in, words }
    });
    Chart {
        id,
        title: format!("{title}: latency by percentile"),
        description: curves.iter().map(|curve| in_words(curve)).collect::<Vec<_>>().join("; "),
        note: String::new(),
        y_least: 0.0,
        nothing: None,
        x_label: "percentile",
        y_label: "ms",
        x_scale: Scale::Log,
        y_scale: scale,
        x_range: Some((1.0, most)),
        x_ticks: Some(ticks.collect()),
        mark: None,
        hits: hits.collect(),
        lines: curves
            .iter()
            .enumerate()
            .map(|(index, curve)| Line {
                name: label(curve.stage).to_owned(),
                colour: index % 6,
                stroke: Stroke::LINES[index % Stroke::LINES.len()],
                points: curve.points.clone(),
            })
            .collect(),
    }
}

/// So many digits of a percentage that the nines show.
fn precise(percent: f64, one_in: f64) -> String {
    let places = (one_in.max(1.0).log10() - 1.0).max(0.0) as usize;
    format!("{percent:.*}", places.min(6))
}

fn in_words(curve: &Curve) -> String {
    let ms = |one_in: f64| curve.at(one_in).map_or_else(|| "none".to_owned(), three_digits);
    format!("{}: median {} ms, p99 {} ms, p99.9 {} ms", label(curve.stage), ms(2.0), ms(100.0), ms(1_000.0))
}

/// Latency, rate, losses and what was shed, over the session's time.
pub fn over_time(session: &Session) -> Vec<Chart> {
    let series = &session.series;
    let mut charts = Vec::new();
    let range = Some((0.0, session.seconds.max(1e-3)));
    let blank = |id, title: &str, y_label| Chart {
        id,
        title: title.to_owned(),
        description: String::new(),
        note: String::new(),
        y_least: 0.0,
        nothing: None,
        x_label: "seconds of the session",
        y_label,
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        x_range: range,
        x_ticks: None,
        mark: None,
        lines: Vec::new(),
        hits: Vec::new(),
    };
    if let Some(of) = series.latency_of {
        charts.push(latency(session, blank("time-latency", &format!("Latency, {}", label(of)), "ms")));
    }
    if let Some((end, course)) = series.rate() {
        charts.push(rate(session, end, course, blank("time-rate", "On the wire", "Mbit/s")));
    }
    charts.extend(losses(&series.client, blank("time-losses", "Lost, late, dropped", "pictures")));
    charts.extend(shed(&series.host, blank("time-shed", "Shed before encode", "pictures")));
    charts
}

/// Median, tail and longest of each interval.
fn latency(session: &Session, blank: Chart) -> Chart {
    let series = &session.series;
    let line = |name: &str, colour, stroke, of: fn(&super::series::Latency) -> f64| Line {
        name: name.to_owned(),
        colour,
        stroke,
        points: series.latency.iter().map(|point| (point.at_s, of(point))).collect(),
    };
    let worst = series.latency.iter().map(|point| point.max_ms).fold(0.0, f64::max);
    Chart {
        description: format!("The longest of all is {} ms.", three_digits(worst)),
        note: format!(
            "Each point is {}; the longest of all is {} ms.",
            intervals("the worst of", series.latency_merged),
            three_digits(worst)
        ),
        lines: vec![
            line("p50", 0, Stroke::Solid, |point| point.p50_ms),
            line("p99", 1, Stroke::Dash, |point| point.p99_ms),
            line("longest", 5, Stroke::Dots, |point| point.max_ms),
        ],
        hits: series
            .latency
            .iter()
            .map(|point| Hit {
                x: point.at_s,
                words: format!(
                    "at {} s: p50 {} ms, p99 {} ms, longest {} ms",
                    three_digits(point.at_s),
                    three_digits(point.p50_ms),
                    three_digits(point.p99_ms),
                    three_digits(point.max_ms)
                ),
            })
            .collect(),
        ..blank
    }
}

fn rate(session: &Session, end: &str, course: &Course, blank: Chart) -> Chart {
    let line = Line {
        name: "media datagrams".to_owned(),
        colour: 2,
        stroke: Stroke::Solid,
        points: course.points.iter().map(|point| (point.at_s, point.mbps.unwrap_or(f64::NAN))).collect(),
    };
    let mean =
        session.wire_mbps.map_or_else(String::new, |mbps| format!(" The mean is {}.", three_digits(mbps)));
    let description = format!(
        "As the {end} counted it, parity and headers included. Each point is {}.{mean}",
        intervals("the least of", course.merged)
    );
    let hits = hits(course, |point| point.mbps.map(|mbps| format!("{} Mbit/s", three_digits(mbps))));
    Chart { note: description.clone(), description, lines: vec![line], hits, ..blank }
}

/// Counts of one kind.
struct Kind {
    name: &'static str,
    colour: usize,
    stroke: Stroke,
    of: fn(&Counts) -> Option<u64>,
}

/// What the client counted as lost, late and dropped: nobody else can.
fn losses(course: &Course, blank: Chart) -> Option<Chart> {
    let kinds = [
        Kind { name: "lost", colour: 1, stroke: Stroke::Solid, of: |point| point.lost },
        Kind { name: "late", colour: 3, stroke: Stroke::Dash, of: |point| point.late },
        Kind { name: "dropped", colour: 5, stroke: Stroke::Dots, of: |point| point.dropped },
    ];
    counted(course, &kinds, "", blank)
}

/// What the host let go.
fn shed(course: &Course, blank: Chart) -> Option<Chart> {
    let kinds = [
        Kind { name: "shed before encode", colour: 4, stroke: Stroke::Solid, of: |point| point.shed },
        Kind { name: "dropped at the host", colour: 5, stroke: Stroke::Dash, of: |point| point.dropped },
    ];
    let why = "let go because sending lagged, before a reference could break: ";
    counted(course, &kinds, why, blank)
}

/// A chart of those kinds that are known; none, where none is.
fn counted(course: &Course, kinds: &[Kind], why: &str, blank: Chart) -> Option<Chart> {
    let known: Vec<&Kind> = kinds.iter().filter(|kind| course.knows(kind.of)).collect();
    if known.is_empty() {
        return None;
    }
    let total = |kind: &&Kind| sum(course.points.iter().map(kind.of)).unwrap_or(0);
    let totals: Vec<String> =
        known.iter().map(|kind| format!("{} {}", kind.name, count(total(kind)))).collect();
    let each = intervals("the sum of", course.merged);
    let description =
        format!("{}. Each point is {each}.", title_case(&format!("{why}{}", totals.join(", "))));
    let line = |kind: &&Kind| Line {
        name: kind.name.to_owned(),
        colour: kind.colour,
        stroke: kind.stroke,
        points: course
            .points
            .iter()
            .map(|point| (point.at_s, (kind.of)(point).map_or(f64::NAN, |count| count as f64)))
            .collect(),
    };
    let said = |point: &Counts| {
        let word = |kind: &&Kind| Some(format!("{} {}", count((kind.of)(point)?), kind.name));
        let words: Vec<String> = known.iter().filter_map(word).collect();
        (!words.is_empty()).then(|| words.join(", "))
    };
    Some(Chart {
        note: description.clone(),
        description,
        y_least: 4.0,
        nothing: known.iter().all(|kind| total(kind) == 0).then(|| "none in the whole session".to_owned()),
        hits: hits(course, said),
        lines: known.iter().map(line).collect(),
        ..blank
    })
}

/// What a point is: `how` several are one.
fn intervals(how: &str, merged: usize) -> String {
    if merged <= 1 {
        "one interval of the log".to_owned()
    } else {
        format!("{how} {merged} intervals of the log")
    }
}

/// What is to be read at each point, where anything is.
fn hits(course: &Course, say: impl Fn(&Counts) -> Option<String>) -> Vec<Hit> {
    let hit = |point: &Counts| {
        let words = format!("at {} s: {}", three_digits(point.at_s), say(point)?);
        Some(Hit { x: point.at_s, words })
    };
    course.points.iter().filter_map(hit).collect()
}

/// How evenly pictures came.
pub fn cadence(session: &Session) -> Vec<Chart> {
    let is_constant = is_constant(&session.source);
    session.cadence.iter().map(|cadence| cadence_chart(cadence, is_constant)).collect()
}

fn cadence_chart(cadence: &Cadence, is_constant: bool) -> Chart {
    let bar_ms = cadence.expected_ms / 16.0;
    let is_capture = cadence.stage == "capture_interval";
    let (id, title, colour) = match is_capture {
        true => ("cadence-capture", "Between captured pictures", 0),
        false => ("cadence-decode", "Between decoded pictures", 1),
    };
    let end = bar_ms * BARS as f64;
    let mut points: Vec<(f64, f64)> =
        cadence.bars.iter().enumerate().map(|(index, bar)| (bar_ms * index as f64, *bar as f64)).collect();
    points.push((end, 0.0));
    let hits = cadence.bars.iter().enumerate().filter(|(_, bar)| **bar > 0).map(|(index, bar)| {
        let from = bar_ms * index as f64;
        let words = match index + 1 == BARS {
            true => format!("{} at {} ms or more", count(*bar), three_digits(from)),
            false => {
                format!("{} from {} to {} ms", count(*bar), three_digits(from), three_digits(from + bar_ms))
            }
        };
        Hit { x: from + bar_ms / 2.0, words }
    });
    let description = format!(
        "{} intervals; median {} ms, 1 % shorter than {} ms, 1 % longer than {} ms, longest {} ms; {} of more than one and \
         a half times the {} ms {}.",
        count(cadence.count),
        three_digits(cadence.p50_ms),
        three_digits(cadence.p1_ms),
        three_digits(cadence.p99_ms),
        three_digits(cadence.max_ms),
        words::counted(cadence.gaps, if is_constant { "stutter" } else { "gap" }),
        three_digits(cadence.expected_ms),
        if cadence.is_agreed { "that the mode asks for" } else { "of the median" },
    );
    Chart {
        id,
        title: title.to_owned(),
        note: description.clone(),
        description,
        y_least: 0.0,
        nothing: None,
        x_label: "milliseconds",
        y_label: "pictures",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        x_range: Some((0.0, end)),
        x_ticks: None,
        mark: Some((cadence.expected_ms, format!("{} ms", three_digits(cadence.expected_ms)))),
        hits: hits.collect(),
        lines: vec![Line {
            name: if is_capture { "captured".to_owned() } else { "decoded".to_owned() },
            colour,
            stroke: Stroke::Bars,
            points,
        }],
    }
}
