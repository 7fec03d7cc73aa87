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
use super::read::{EndLog, Found};
use super::series::{Series, series};
use super::verdict::{Word, verdict};

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

/// A curve: the latency that so many nines stay below.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The stage's name.
    pub stage: &'static str,
    /// One over the share above it, and the latency in milliseconds.
    pub points: Vec<(f64, f64)>,
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
    /// Thrown away, by place.
    pub dropped: Vec<(&'static str, u64)>,
}

impl Pictures {
    /// Thrown away, all places together.
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().map(|(_, count)| *count).fold(0, u64::saturating_add)
    }
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
    /// The steps that were measured.
    pub stages: Vec<Timed>,
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
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let seconds = ends.iter().filter_map(|(_, log)| log.map(EndLog::seconds)).fold(0.0, f64::max);
    let seconds = if seconds > 0.0 { seconds } else { number(&client["streamed_s"]).unwrap_or(0.0) };
    let pictures = pictures(found, client);
    let stages = WAY.iter().filter_map(|(end, stage)| timed(found, end, *stage)).collect();
    let sums: Vec<Timed> = SUMS.iter().filter_map(|(end, stage)| timed(found, end, *stage)).collect();
    let (shares_of, shares) = shares(found);
    let last = |log: &Option<EndLog>, name| log.as_ref().and_then(|log| log.last(name));
    let wire_bytes = last(&found.client, "wire_bytes").or(last(&found.host, "wire_bytes"));
    let shown = pictures.decoded.or(pictures.sent);
    Session {
        source: text(&client["source"])
            .or(word("source").map(str::to_owned))
            .or(text(&found.summary["source"]))
            .unwrap_or_else(|| "an unnamed source".to_owned()),
        mode: word("mode").map(str::to_owned).or_else(|| mode(client)).or(text(&found.summary["mode"])),
        encoder: text(&client["encoder"]).or(word("encoder").map(str::to_owned)),
        ended: text(&client["ended"]),
        start_unix_s: ends.iter().find_map(|(_, log)| log.and_then(|log| log.start_s)),
        seconds,
        verdict: verdict(found, client, &pictures),
        pictures_per_s: shown.filter(|_| seconds > 0.0).map(|shown| shown as f64 / seconds),
        pictures,
        wire_mbps: wire_bytes
            .filter(|_| seconds > 0.0)
            .map(|bytes| bytes as f64 * 8e-6 / seconds)
            .or(number(&client["wire_kbps"]).map(|kbps| kbps / 1e3)),
        datagrams: (
            last(&found.host, "datagrams").or(client["datagrams"]["sent"].as_u64()),
            last(&found.client, "datagrams").or(client["datagrams"]["received"].as_u64()),
        ),
        cpu_s: (number(&client["cpu_s"]["host"]), number(&client["cpu_s"]["client"])),
        stages,
        sums,
        shares_of,
        shares,
        curves: curves(found),
        series: series(found),
        cadence: cadence(found, refresh_hz(found, client)),
        facts: facts(found),
        counters: ends
            .iter()
            .filter_map(|(end, log)| Some((*end, log.as_ref()?.counters.last()?.values.clone())))
            .collect(),
    }
}

/// The client's own summary: the demo puts it into its own.
fn client_summary(summary: &Value) -> &Value {
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
    let places = [
        ("at the host, before the wire", host("aus_dropped_protect"), "host_protect"),
        ("at the client, for want of memory", end("dropped_memory"), "receive_memory"),
        ("at the client, by newer ones", end("dropped_window"), "receive_window"),
        ("before a decoder that lags", end("dropped_decode_queue"), "decode_queue"),
        ("while an IDR was awaited", end("dropped_awaiting_idr"), "awaiting_idr"),
        ("by the decoder", end("dropped_decode_error"), "decode_error"),
    ];
    let dropped: Vec<(&str, u64)> = places
        .into_iter()
        .filter_map(|(place, logged, key)| Some((place, larger(logged, &told["dropped"][key])?)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let shed = host("pictures_shed").map(|shed| shed.saturating_add(host("pictures_skipped").unwrap_or(0)));
    let late = larger(end("aus_late"), &told["late"]);
    let in_client: u64 = ["dropped_memory", "dropped_window", "dropped_decode_queue", "dropped_awaiting_idr"]
        .into_iter()
        .filter_map(end)
        .fold(0, u64::saturating_add);
    // Of what never came at all, only both ends together know.
    let both_finished = [host_log, client_log].iter().all(|log| log.is_some_and(|log| log.is_finished));
    let unseen = host("aus_sent").zip(end("aus_whole")).filter(|_| both_finished).map(|(sent, whole)| {
        sent.saturating_sub(whole).saturating_sub(in_client).saturating_sub(late.unwrap_or(0))
    });
    Pictures {
        captured: larger(host("pictures_captured"), &told["captured"]),
        superseded: larger(host("pictures_superseded"), &told["superseded"]),
        shed: larger(shed, &told["shed"]),
        sent: larger(host("aus_sent"), &told["sent"]),
        decoded: larger(end("decoded"), &told["decoded"]),
        lost: larger(end("aus_lost").max(unseen), &told["lost"]),
        late,
        dropped,
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

/// Twelve points a decade, and the longest.
fn curve(stage: Stage, histogram: &Histogram<u64>) -> Curve {
    let count = histogram.len() as f64;
    let mut points = Vec::new();
    for step in 0_i32.. {
        let one_in = 10_f64.powf(f64::from(step) / 12.0);
        if one_in >= count {
            break;
        }
        points.push((one_in, histogram.value_at_quantile(1.0 - 1.0 / one_in) as f64 / 1e6));
    }
    points.push((count, histogram.max() as f64 / 1e6));
    Curve { stage: stage.name(), points }
}

fn curves(found: &Found) -> Vec<Curve> {
    let all = SUMS.iter().chain(&WAY);
    all.filter_map(|(end, stage)| Some(curve(*stage, log_of(found, end)?.total(*stage)?))).collect()
}

/// What each end said of itself; the demo's machine where none did.
fn facts(found: &Found) -> Vec<(&'static str, Vec<(String, String)>)> {
    let ends = [("host", &found.host), ("client", &found.client)];
    let mut facts: Vec<_> =
        ends.into_iter().filter_map(|(end, log)| Some((end, log.as_ref()?.facts.clone()))).collect();
    if let Some(machine) = found.summary["machine"].as_object() {
        let words = |value: &Value| match value {
            Value::String(words) => Some(words.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let told = machine.iter().take(32).filter(|(name, _)| *name != "unix_time_s");
        let told: Vec<_> = told.filter_map(|(name, value)| Some((name.clone(), words(value)?))).collect();
        facts.push(("machine", told));
    }
    facts
}
