//! The figures of one session, joined from what its two ends and its summary say.
//!
//! Promises: lost, late and dropped stay three; a percentile is of samples that were measured, never of percentiles
//! added up; what nobody measured is absent. Where two files tell of the same loss, the larger count holds.
//!
//! Refuses: to believe that a log which ends early tells all: what never came is counted from the two ends' last words
//! only, or from the summary.

use hdrhistogram::Histogram;
use punktfunk_perf::Stage;
use serde::Serialize;
use serde_json::Value;

use super::cadence::{Cadence, cadence};
use super::counts::{DROPS, SHEDS, sum};
use super::read::{EndLog, Found};
use super::series::{Series, series};
use super::verdict::{Word, verdict};
use super::words::shortened;

/// The longest words of a file that a page shows in one place.
pub const LETTERS_MAX: usize = 300;

/// The steps of a picture's way in their order, each with its end.
pub const WAY: [(&str, Stage); 12] = [
    ("host", Stage::Capture),
    ("host", Stage::Import),
    ("host", Stage::Encode),
    ("host", Stage::Fec),
    ("host", Stage::Seal),
    ("host", Stage::Pace),
    ("host", Stage::Send),
    ("client", Stage::Receive),
    ("client", Stage::Open),
    ("client", Stage::Reassemble),
    ("client", Stage::Decode),
    ("client", Stage::Present),
];

/// The sums across steps, each with the end that measured it.
pub const SUMS: [(&str, Stage); 5] = [
    ("host", Stage::CaptureToSent),
    ("client", Stage::CaptureToReassembled),
    ("client", Stage::CaptureToDecoded),
    ("client", Stage::IdrToReassembled),
    ("client", Stage::IdrToDecoded),
];

/// What lies inside a step or across two, each with the end that measured it: not in every session.
pub const DETAILS: [(&str, Stage); 6] = [
    ("host", Stage::Convert),
    ("host", Stage::Submit),
    ("host", Stage::SliceReady),
    ("host", Stage::Lock),
    ("host", Stage::HandOver),
    ("host", Stage::Overlap),
];

/// Percentiles of one stage or sum, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Timed {
    /// Whose log it is from.
    pub end: &'static str,
    /// The stage's name.
    pub stage: &'static str,
    /// Samples.
    pub count: u64,
    /// The median.
    pub p50_us: f64,
    /// Ninety-nine in a hundred took no longer.
    pub p99_us: f64,
    /// 999 in a thousand took no longer.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The mean.
    pub mean_us: f64,
}

impl Timed {
    fn new(end: &'static str, stage: Stage, histogram: &Histogram<u64>) -> Timed {
        let us = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Timed {
            end,
            stage: stage.name(),
            count: histogram.len(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: histogram.max() as f64 / 1e3,
            mean_us: histogram.mean() / 1e3,
        }
    }
}

/// Places of a curve in each decade: among them every percentile that has a name of its own, up to 95, 99.5 and so on.
const ONE_IN: [f64; 10] = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];

/// A curve: the latency that so many nines stay below.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The stage's name.
    pub stage: &'static str,
    /// Samples.
    pub count: u64,
    /// One over the share above it, and the latency in milliseconds; the longest is the last.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// The latency that all but one in so many stay below: a place of every curve, or the next one that this has.
    pub fn at(&self, one_in: f64) -> Option<f64> {
        let there = self.points.iter().find(|point| point.0 >= one_in * (1.0 - 1e-9));
        there.or(self.points.last()).map(|point| point.1)
    }
}

/// A part of a picture's time.
#[derive(Debug, Clone, Serialize)]
pub struct Share {
    /// The stage's name, or `between` for what no stage spent.
    pub stage: &'static str,
    /// Its mean, in microseconds.
    pub mean_us: f64,
}

/// What became of the pictures. `None` where nobody said.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pictures {
    /// That the source gave.
    pub captured: Option<u64>,
    /// Replaced by a newer one before the encoder took them.
    pub superseded: Option<u64>,
    /// Shed before encode, for sending lagged; those that the encoder's rate control skipped are in.
    pub shed: Option<u64>,
    /// Access units sent.
    pub sent: Option<u64>,
    /// Decoded.
    pub decoded: Option<u64>,
    /// Never came whole.
    pub lost: Option<u64>,
    /// Came when they were of no use.
    pub late: Option<u64>,
    /// Thrown away, by place: those places at which some were.
    pub dropped: Vec<(&'static str, u64)>,
    /// Thrown away, all places together: not known where the client's are not.
    pub dropped_in_all: Option<u64>,
}

/// A session.
#[derive(Debug, Clone, Serialize)]
pub struct Session {
    /// Where its pictures came from.
    pub source: String,
    /// Their size and rate.
    pub mode: Option<String>,
    /// Who encoded them.
    pub encoder: Option<String>,
    /// How it ended.
    pub ended: Option<String>,
    /// Seconds since 1970 at its start.
    pub start_unix_s: Option<f64>,
    /// How long it was.
    pub seconds: f64,
    /// What has to be said first.
    pub verdict: Vec<Word>,
    /// What became of the pictures.
    pub pictures: Pictures,
    /// Pictures decoded a second, or sent where nobody decoded.
    pub pictures_per_s: Option<f64>,
    /// On the wire, the session's mean.
    pub wire_mbps: Option<f64>,
    /// Datagrams sent, received.
    pub datagrams: (Option<u64>, Option<u64>),
    /// Processor time of the host and the client, in seconds.
    pub cpu_s: (Option<f64>, Option<f64>),
    /// Seconds that media flowed, as the summary has them: what processor time is of.
    pub streamed_s: Option<f64>,
    /// The steps that were measured.
    pub stages: Vec<Timed>,
    /// What was measured inside the steps and across them.
    pub details: Vec<Timed>,
    /// The sums that were measured.
    pub sums: Vec<Timed>,
    /// Where a picture's time goes, and what of: `capture_to_decoded`, or the farthest sum that there is.
    pub shares_of: Option<&'static str>,
    /// The parts.
    pub shares: Vec<Share>,
    /// Percentile curves of the sums and the steps.
    pub curves: Vec<Curve>,
    /// Over time.
    pub series: Series,
    /// How far pictures lay apart.
    pub cadence: Vec<Cadence>,
    /// What each end said of itself: names and words.
    pub facts: Vec<(&'static str, Vec<(String, String)>)>,
    /// The last counters of each end.
    pub counters: Vec<(&'static str, Vec<(String, u64)>)>,
}

/// Joins what was found.
pub fn session(found: &Found) -> Session {
    let client = client_summary(&found.summary);
    let ends = [("host", found.host.as_ref()), ("client", found.client.as_ref())];
    let word = |name: &str| ends.iter().find_map(|(_, log)| log.and_then(|log| log.fact(name)));
    let text = |value: &Value| value.as_str().map(|words| shortened(words, LETTERS_MAX));
    let seconds = ends.iter().filter_map(|(_, log)| log.map(EndLog::seconds)).fold(0.0, f64::max);
    let streamed_s = number(&client["streamed_s"]).filter(|seconds| *seconds > 0.0);
    let seconds = if seconds > 0.0 { seconds } else { streamed_s.unwrap_or(0.0) };
    let pictures = pictures(found, client);
    let stages = WAY.iter().filter_map(|(end, stage)| timed(found, end, *stage)).collect();
    let details = DETAILS.iter().filter_map(|(end, stage)| timed(found, end, *stage)).collect();
    let sums: Vec<Timed> = SUMS.iter().filter_map(|(end, stage)| timed(found, end, *stage)).collect();
    let (shares_of, shares) = shares(found);
    let last = |log: &Option<EndLog>, name| log.as_ref().and_then(|log| log.last(name));
    let (pictures_per_s, wire_mbps) = rates(found, client);
    Session {
        source: text(&client["source"])
            .or(word("source").map(str::to_owned))
            .or(text(&found.summary["source"]))
            .or(word("punktfunk-perf").map(|_| "punktfunk-perf’s own two ends".to_owned()))
            .unwrap_or_else(|| "an unnamed source".to_owned()),
        mode: word("mode").map(str::to_owned).or_else(|| mode(client)).or(text(&found.summary["mode"])),
        encoder: text(&client["encoder"]).or(word("encoder").map(str::to_owned)),
        ended: text(&client["ended"]),
        start_unix_s: ends.iter().find_map(|(_, log)| log.and_then(|log| log.start_s)),
        seconds,
        verdict: verdict(found, client, &pictures),
        pictures_per_s,
        pictures,
        wire_mbps,
        datagrams: (
            last(&found.host, "datagrams").or(client["datagrams"]["sent"].as_u64()),
            last(&found.client, "datagrams").or(client["datagrams"]["received"].as_u64()),
        ),
        cpu_s: (number(&client["cpu_s"]["host"]), number(&client["cpu_s"]["client"])),
        streamed_s,
        stages,
        details,
        sums,
        shares_of,
        shares,
        curves: curves(found),
        series: series(found),
        cadence: cadence(found, refresh_hz(found, client)),
        facts: facts(found),
        counters: ends
            .iter()
            .filter_map(|(end, log)| Some((*end, log.as_ref()?.counters.last().to_vec())))
            .filter(|(_, counters)| !counters.is_empty())
            .collect(),
    }
}

/// Pictures a second and Mbit/s, each over the seconds that were counted: those of a log that is whole, of the summary,
/// or of a log that ends early, of the client first.
fn rates(found: &Found, client: &Value) -> (Option<f64>, Option<f64>) {
    let counted = |log: &Option<EndLog>, is_finished: bool, name: &str| {
        let log =
            log.as_ref().filter(|log| log.is_finished == is_finished && log.counters.seconds() > 0.0)?;
        Some(log.last(name)? as f64 / log.counters.seconds())
    };
    let told = |count: &Value| {
        Some(number(count)? / number(&client["streamed_s"]).filter(|seconds| *seconds > 0.0)?)
    };
    let log = |log, name| counted(log, true, name);
    let cut = |log, name| counted(log, false, name);
    let (host_log, client_log) = (&found.host, &found.client);
    let pictures = log(client_log, "decoded")
        .or_else(|| told(&client["pictures"]["decoded"]))
        .or_else(|| cut(client_log, "decoded"))
        .or_else(|| log(host_log, "aus_sent"))
        .or_else(|| cut(host_log, "aus_sent"));
    let mbps = |bytes: Option<f64>| bytes.map(|bytes| bytes * 8e-6);
    let wire = mbps(log(client_log, "wire_bytes"))
        .or_else(|| number(&client["wire_kbps"]).map(|kbps| kbps / 1e3))
        .or_else(|| mbps(cut(client_log, "wire_bytes")))
        .or_else(|| mbps(log(host_log, "wire_bytes")))
        .or_else(|| mbps(cut(host_log, "wire_bytes")));
    (pictures, wire)
}

/// The client's own summary: the demo puts it into its own.
pub fn client_summary(summary: &Value) -> &Value {
    if summary["client"].is_object() { &summary["client"] } else { summary }
}

/// A number that counts: not below nothing, and not beyond anything that was ever measured.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| (0.0..=1e12).contains(number))
}

fn mode(client: &Value) -> Option<String> {
    let mode = &client["mode"];
    let (width, height) = (mode["width"].as_u64()?, mode["height"].as_u64()?);
    Some(format!("{width}x{height}@{}", number(&mode["refresh_hz"])?))
}

/// The pictures a second that were agreed on.
fn refresh_hz(found: &Found, client: &Value) -> Option<f64> {
    let said = |log: &Option<EndLog>| {
        log.as_ref()?.fact("mode")?.rsplit_once('@').and_then(|(_, hz)| hz.trim().parse::<f64>().ok())
    };
    let hz = number(&client["mode"]["refresh_hz"]).or(said(&found.host)).or(said(&found.client))?;
    (1.0..=1_000.0).contains(&hz).then_some(hz)
}

/// The log that is asked for a stage.
pub fn log_of<'a>(found: &'a Found, end: &str) -> Option<&'a EndLog> {
    if end == "host" { found.host.as_ref() } else { found.client.as_ref() }
}

fn timed(found: &Found, end: &'static str, stage: Stage) -> Option<Timed> {
    if let Some(total) = log_of(found, end).and_then(|log| log.total(stage)) {
        return Some(Timed::new(end, stage, total));
    }
    // Without that end's log, the summary has the percentiles of both.
    let told = &client_summary(&found.summary)["stages"][stage.name()];
    Some(Timed {
        end,
        stage: stage.name(),
        count: told["count"].as_u64()?,
        p50_us: number(&told["p50"])?,
        p99_us: number(&told["p99"])?,
        p999_us: number(&told["p999"])?,
        max_us: number(&told["max"])?,
        mean_us: f64::NAN,
    })
}

fn pictures(found: &Found, client: &Value) -> Pictures {
    let (host_log, client_log) = (found.host.as_ref(), found.client.as_ref());
    let host = |name: &str| host_log.and_then(|log| log.last(name));
    let end = |name: &str| client_log.and_then(|log| log.last(name));
    let told = &client["pictures"];
    let larger = |logged: Option<u64>, told: &Value| logged.max(told.as_u64());
    let dropped = DROPS.map(|place| {
        let logged = if place.end == "host" { host(place.counter) } else { end(place.counter) };
        (place, larger(logged, &told["dropped"][place.told]))
    });
    let knows_client = dropped.iter().any(|(place, count)| place.end == "client" && count.is_some());
    let late = larger(end("aus_late"), &told["late"]);
    let before_whole = DROPS.into_iter().filter(|place| place.end == "client" && place.is_before_whole);
    let in_client = sum(before_whole.map(|place| end(place.counter))).unwrap_or(0);
    // Of what never came at all, only both ends together know.
    let both_finished = [host_log, client_log].iter().all(|log| log.is_some_and(|log| log.is_finished));
    let unseen = host("aus_sent").zip(end("aus_whole")).filter(|_| both_finished).map(|(sent, whole)| {
        sent.saturating_sub(whole).saturating_sub(in_client).saturating_sub(late.unwrap_or(0))
    });
    Pictures {
        captured: larger(host("pictures_captured"), &told["captured"]),
        superseded: larger(host("pictures_superseded"), &told["superseded"]),
        shed: larger(sum(SHEDS.map(host)), &told["shed"]),
        sent: larger(host("aus_sent"), &told["sent"]),
        decoded: larger(end("decoded"), &told["decoded"]),
        lost: larger(end("aus_lost").max(unseen), &told["lost"]),
        late,
        dropped: dropped
            .iter()
            .filter_map(|(place, count)| Some((place.words, count.filter(|count| *count > 0)?)))
            .collect(),
        dropped_in_all: sum(dropped.map(|(_, count)| count)).filter(|_| knows_client),
    }
}

/// The parts of the farthest sum that there is. Opening goes on batch by batch while shards are received, so it is no
/// part of its own.
fn shares(found: &Found) -> (Option<&'static str>, Vec<Share>) {
    let total = |end, stage| log_of(found, end).and_then(|log| log.total(stage));
    let both = |all: Stage, idrs: Stage| {
        let (all, idrs) = (total("client", all), total("client", idrs));
        let weigh = |histogram: Option<&Histogram<u64>>| {
            histogram.map_or((0.0, 0.0), |one| (one.mean() / 1e3 * one.len() as f64, one.len() as f64))
        };
        let ((sum, count), (idr_sum, idr_count)) = (weigh(all), weigh(idrs));
        (count + idr_count > 0.0).then(|| (sum + idr_sum) / (count + idr_count))
    };
    let decoded = both(Stage::CaptureToDecoded, Stage::IdrToDecoded);
    let sent = total("host", Stage::CaptureToSent).map(|histogram| histogram.mean() / 1e3);
    let (name, whole) = match (decoded, sent) {
        (Some(whole), _) if found.host.is_some() => (Stage::CaptureToDecoded.name(), whole),
        (Some(_) | None, Some(whole)) => (Stage::CaptureToSent.name(), whole),
        (Some(_) | None, None) => return (None, Vec::new()),
    };
    let parts = WAY.iter().filter(|(end, stage)| {
        *stage != Stage::Open && *stage != Stage::Present && (decoded.is_some() || *end == "host")
    });
    let mut shares: Vec<Share> = parts
        .filter_map(|(end, stage)| {
            let mean_us = total(end, *stage)?.mean() / 1e3;
            (mean_us > 0.0).then_some(Share { stage: stage.name(), mean_us })
        })
        .collect();
    let between = whole - shares.iter().map(|share| share.mean_us).sum::<f64>();
    if between > 0.0 {
        shares.push(Share { stage: "between", mean_us: between });
    }
    (Some(name), shares)
}

/// Ten points a decade, and the longest.
fn curve(stage: Stage, histogram: &Histogram<u64>) -> Curve {
    let count = histogram.len() as f64;
    let places = (0_i32..).flat_map(|decade| ONE_IN.map(|one_in| one_in * 10_f64.powi(decade)));
    let mut points: Vec<(f64, f64)> = places
        .take_while(|one_in| *one_in <= count)
        .map(|one_in| (one_in, histogram.value_at_quantile(1.0 - 1.0 / one_in) as f64 / 1e6))
        .collect();
    points.push((count, histogram.max() as f64 / 1e6));
    Curve { stage: stage.name(), count: histogram.len(), points }
}

fn curves(found: &Found) -> Vec<Curve> {
    let all = SUMS.iter().chain(&WAY);
    all.filter_map(|(end, stage)| Some(curve(*stage, log_of(found, end)?.total(*stage)?))).collect()
}

/// What each end said of itself. What only the demo knows of its machine stands with the first of them, or alone.
fn facts(found: &Found) -> Vec<(&'static str, Vec<(String, String)>)> {
    let ends = [("host", &found.host), ("client", &found.client)];
    let mut facts: Vec<_> =
        ends.into_iter().filter_map(|(end, log)| Some((end, log.as_ref()?.facts.clone()))).collect();
    facts.retain(|(_, facts)| !facts.is_empty());
    if let Some(machine) = found.summary["machine"].as_object() {
        let words = |value: &Value| match value {
            Value::String(words) => Some(shortened(words, LETTERS_MAX)),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let is_new = |name: &String| {
            name != "unix_time_s" && facts.iter().all(|(_, facts)| facts.iter().all(|(said, _)| said != name))
        };
        let told = machine.iter().take(32).filter(|(name, _)| is_new(name));
        let told: Vec<_> =
            told.filter_map(|(name, value)| Some((shortened(name, 60), words(value)?))).collect();
        match facts.first_mut() {
            Some((_, facts)) => facts.extend(told),
            None if told.is_empty() => {}
            None => facts.push(("machine", told)),
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        histogram
    }

    #[test]
    fn of_two_samples_the_median_is_the_shorter() {
        let curve = curve(Stage::Encode, &histogram(&[1_000_000, 9_000_000]));
        assert!(curve.at(2.0).unwrap() < 1.1, "{curve:?}");
        assert!(curve.points.last().unwrap().1 > 8.9 && curve.at(100.0).unwrap() > 8.9, "{curve:?}");
        assert_eq!(curve.points.last().unwrap().0, 2.0);
    }

    proptest! {
        #[test]
        fn a_percentile_is_one_number_wherever_it_stands(values in prop::collection::vec(1_u64..60_000_000_000, 1..3_000)) {
            let histogram = histogram(&values);
            let (timed, curve) = (Timed::new("host", Stage::Encode, &histogram), curve(Stage::Encode, &histogram));
            let is_one = |one: f64, other: f64| (one - other).abs() <= 1e-9 * other;
            for (one_in, us) in [(2.0, timed.p50_us), (100.0, timed.p99_us), (1e3, timed.p999_us)] {
                if values.len() as f64 >= one_in {
                    prop_assert!(is_one(curve.at(one_in).unwrap(), us / 1e3), "1 in {one_in}");
                }
            }
            for (one_in, quantile) in [(4.0, 0.75), (10.0, 0.9), (20.0, 0.95), (200.0, 0.995)] {
                if values.len() as f64 >= one_in {
                    let ms = histogram.value_at_quantile(quantile) as f64 / 1e6;
                    prop_assert!(is_one(curve.at(one_in).unwrap(), ms), "1 in {one_in}");
                }
            }
            prop_assert!(is_one(curve.points.last().unwrap().1, timed.max_us / 1e3));
            prop_assert!(curve.points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        }
    }
}
