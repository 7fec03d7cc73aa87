//! What the demo says at its end: the summary file, and the latency table.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::programs::{MODE, Outcome, Source};
use crate::fault::Fault;
use crate::machine;

/// The stages in the order of a picture's way, by their names in the client's JSON.
const STAGES: [&str; 12] = [
    "capture",
    "import",
    "encode",
    "fec",
    "seal",
    "pace",
    "send",
    "receive",
    "open",
    "reassemble",
    "decode",
    "present",
];

/// Reads the client's JSON: the last line that is an object, or the whole answer.
pub(crate) fn read_client(path: &Path) -> Result<Value, Fault> {
    let text = fs::read_to_string(path).map_err(Fault::io(format!("read {}", path.display())))?;
    let is_object = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    is_object(&text).or_else(|| text.lines().rev().find_map(is_object)).ok_or_else(|| Fault::Answer {
        program: "the client".to_owned(),
        expected: "one JSON object on standard output",
        got: text.chars().take(80).collect(),
    })
}

/// The content of `summary.json`.
pub(crate) fn summary(client: &Value, source: Source, stream: Duration, fallback: Option<&str>) -> Value {
    json!({
        "source": source.name(),
        "fallback_reason": fallback,
        "mode": MODE,
        "seconds": stream.as_secs(),
        "machine": machine::facts(),
        "client": client,
    })
}

/// The table for a person, with the files below it.
pub(crate) fn table(summary: &Value, out: &Outcome) -> String {
    let client = &summary["client"];
    let mut text =
        format!("\n{:<24}{:>10}{:>12}{:>12}{:>12}{:>12}\n", "latency", "count", "p50", "p99", "p99.9", "max");
    row(&mut text, "capture to decoded", &client["latency_us"]);
    row(&mut text, "capture to reassembled", &client["reassembled_us"]);
    for name in STAGES {
        row(&mut text, name, &client["stages"][name]);
    }
    let pictures = &client["pictures"];
    let count = |key: &str| pictures[key].as_u64().map_or_else(|| "–".to_owned(), |count| count.to_string());
    let _ = writeln!(
        text,
        "\npictures: {} sent, {} decoded, {} lost, {} late, {} shed before encode",
        count("sent"),
        count("decoded"),
        count("lost"),
        count("late"),
        count("shed")
    );
    if let Some(kbps) = client["wire_kbps"].as_f64() {
        let _ = writeln!(text, "on the wire: {:.2} Mbit/s", kbps / 1e3);
    }
    let source = client["source"].as_str().or(summary["source"].as_str()).unwrap_or_default();
    let _ = writeln!(text, "\nSource: {source}. Everything is in {}:", out.folder.display());
    for path in [
        &out.report,
        &out.report_picture,
        &out.recording,
        &out.picture,
        &out.perf_host,
        &out.perf_client,
        &out.summary,
    ] {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kilobytes = fs::metadata(path).map_or(0, |file| file.len().div_ceil(1000));
        let _ = writeln!(text, "  {name:<20}{kilobytes:>8} kB");
    }
    text
}

fn row(text: &mut String, name: &str, values: &Value) {
    if !values.is_object() {
        return;
    }
    let count = values["count"].as_u64().map_or_else(String::new, |count| count.to_string());
    let _ = write!(text, "{name:<24}{count:>10}");
    for key in ["p50", "p99", "p999", "max"] {
        let cell = values[key].as_f64().map_or_else(|| "–".to_owned(), |us| format!("{:.3} ms", us / 1e3));
        let _ = write!(text, "{cell:>12}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_the_client_says_and_no_more() {
        let client = json!({
            "latency_us": {"p50": 4100, "p99": 9000, "p999": 12000, "max": 15000},
            "stages": {"encode": {"count": 900, "p50": 2500, "max": 7000},
                       "capture_to_decoded": {"count": 899, "p50": 4100}},
            "source": "the test card",
            "pictures": {"sent": 900, "decoded": 899, "lost": 1},
            "wire_kbps": 5250.0,
        });
        let summary = summary(&client, Source::Card, Duration::from_secs(15), Some("no sway"));
        assert_eq!(summary["fallback_reason"], "no sway");
        let text = table(&summary, &Outcome::in_folder(Path::new("nowhere")));
        for part in [
            "4.100 ms",
            "15.000 ms",
            "900    2.500 ms",
            "899 decoded",
            "– late",
            "5.25 Mbit/s",
            "the test card",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("capture to reassembled"), "the client did not say it\n{text}");
    }

    #[test]
    fn the_stages_are_those_that_are_measured_in_their_order() {
        let path = crate::workspace::root().unwrap().join("perf/src/stage.rs");
        let text = fs::read_to_string(path).unwrap();
        let places: Vec<_> = STAGES.iter().map(|name| text.find(&format!("=> \"{name}\","))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    }

    #[test]
    fn an_answer_without_json_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.json");
        for (answer, is_good) in
            [("{\"a\":1}", true), ("words\n{\"a\":1}\n", true), ("", false), ("[1]", false)]
        {
            fs::write(&path, answer).unwrap();
            assert_eq!(read_client(&path).is_ok(), is_good, "{answer:?}");
        }
    }
}
