//! Measures the GPU's way on this machine, size by size and format by format, and says link by link what it could not.
//!
//! `cargo run --release -p punktfunk-gpu --example chain -- [--device NAME | --software] [--pictures N] [--leak N] [--check]
//! [--json]`. Promises: each line's figures are of this run; `--check` holds every size's pictures against the oracle, and
//! what CUDA reads against what Vulkan wrote, byte for byte; it ends with 1 where one point is not as it must be
//! (`judge`). Refuses: to call what was not measured fast.

#![allow(clippy::print_stdout, reason = "a program's words to a person")]

mod check;
mod judge;
mod leak;
mod measure;
mod picture;
mod reader;
mod row;

use std::process::ExitCode;
use std::time::Duration;

use punktfunk_gpu::{Choice, Device};
use serde_json::{Value, json};

use check::{Checked, Compared};
use judge::{Point, State};
use measure::{Amounts, Found, Measured, Size};
use reader::NoReader;
use row::{Row, quantile};

const SIZES: [Size; 3] = [("1080p", 1920, 1080), ("4K", 3840, 2160), ("5K", 5120, 2880)];

/// What was asked for.
struct Asked {
    choice: Choice,
    amounts: Amounts,
    json: bool,
}

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(word) => {
            eprintln!("chain takes no {word:?}: see the first lines of its source");
            return ExitCode::from(2);
        }
    };
    let (is_asked_for, card) = (asked.choice != Choice::Automatic, reader::card());
    let device = match Device::open(&asked.choice) {
        Ok(device) => device,
        Err(error) => {
            let point = judge::device(Err(&error), is_asked_for, card.as_deref());
            let points: Vec<Point> = point.into_iter().collect();
            if asked.json {
                println!("{:#}", json!({ "device": Value::Null, "judged": in_words(&points) }));
            }
            return told(&points, asked.json);
        }
    };
    if !asked.json {
        println!("{}\n{:?}\n{}", device.description(), device.caps(), heading());
    }
    let found = measure::measure(&device, &SIZES, &asked.amounts, |measured| {
        if !asked.json {
            println!("{}", line(measured));
        }
    });
    let of_device = judge::device(Ok(device.description().is_software), is_asked_for, card.as_deref());
    let points: Vec<Point> = of_device.into_iter().chain(judge::judge(&found)).collect();
    if asked.json {
        println!("{:#}", whole(&device, &found, &points));
    }
    told(&points, asked.json)
}

/// Says each point, where that is not done in JSON; whether one has failed.
fn told(points: &[Point], is_json: bool) -> ExitCode {
    for Point { what, state, words } in points.iter().filter(|_| !is_json) {
        println!("{state:<8} {what}: {words}");
    }
    let has_failed = points.iter().any(|point| point.state == State::Failed);
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let amounts = Amounts { pictures: 100, leak: 10_000, check: false };
    let mut asked = Asked { choice: Choice::Automatic, amounts, json: false };
    let number = |word: Option<String>| {
        let word = word.unwrap_or_default();
        word.parse::<usize>().map_err(|_| word)
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--device" => asked.choice = Choice::Name(words.next().ok_or(word)?),
            "--software" => asked.choice = Choice::Software,
            "--pictures" => asked.amounts.pictures = number(words.next())?.max(1),
            "--leak" => asked.amounts.leak = number(words.next())?,
            "--check" => asked.amounts.check = true,
            "--json" => asked.json = true,
            _ => return Err(word),
        }
    }
    Ok(asked)
}

fn heading() -> String {
    format!(
        "{:<6} {:<7} {:>10} {:>10} {:>11} {:>11} {:>13} {:>6} {:>7} {:>9}",
        "size",
        "format",
        "GPU p50 ms",
        "p99 ms",
        "import µs",
        "cached µs",
        "hand-over µs",
        "waits",
        "oracle",
        "CUDA"
    )
}

fn line(measured: &Measured) -> String {
    let Measured { size, format, row, checked } = measured;
    let row = match row {
        Ok(row) => row,
        Err(why) => return format!("{size:<6} {format:<7} {why}"),
    };
    let (oracle, cuda) = match checked {
        None => ("–".to_owned(), "–".to_owned()),
        Some(Err(why)) => (why.clone(), String::new()),
        Some(Ok(Checked { difference, cuda })) => {
            let cuda = match cuda {
                None => "not run".to_owned(),
                Some(Compared { differ: 0, .. }) => "equal".to_owned(),
                Some(Compared { differ, .. }) => format!("{differ} B off"),
            };
            (format!("±{difference}"), cuda)
        }
    };
    let text = |time: Option<Duration>, unit_ns: f64| {
        time.map_or_else(|| "–".to_owned(), |time| format!("{:.3}", time.as_nanos() as f64 / unit_ns))
    };
    format!(
        "{size:<6} {format:<7} {:>10} {:>10} {:>11} {:>11} {:>13} {:>6} {oracle:>7} {cuda:>9}",
        text(quantile(&row.gpu, 0.5), 1e6),
        text(quantile(&row.gpu, 0.99), 1e6),
        text(row.import, 1e3),
        text(quantile(&row.cached, 0.5), 1e3),
        text(quantile(&row.hand_over, 0.5), 1e3),
        row.waits_hand_over + row.waits_other,
    )
}

fn in_words(points: &[Point]) -> Vec<Value> {
    let in_words = |Point { what, state, words }: &Point| json!({ "what": what, "state": state.to_string(), "words": words });
    points.iter().map(in_words).collect()
}

fn whole(device: &Device, found: &Found, points: &[Point]) -> Value {
    let judged = in_words(points);
    let cuda = match &found.no_reader {
        None => json!({ "state": "opened" }),
        Some(NoReader::Absent(why)) => json!({ "state": "not run", "why": why }),
        Some(NoReader::Broken(why)) => json!({ "state": "broken", "why": why }),
    };
    let leak = match &found.leak {
        Ok(None) => Value::Null,
        Ok(Some(leak)) => json!({
            "pictures": leak.pictures, "imports": leak.imports, "evictions": leak.evictions,
            "descriptors": leak.descriptors, "resident_kib": leak.resident_kib, "device_kib": leak.device_kib,
        }),
        Err(why) => json!({ "failed": why }),
    };
    json!({
        "device": device.description().to_string(), "caps": format!("{:?}", device.caps()), "cuda": cuda,
        "rows": found.rows.iter().map(in_json).collect::<Vec<_>>(), "leak": leak, "judged": judged,
        "failed": points.iter().filter(|point| point.state == State::Failed).count(),
    })
}

fn in_json(measured: &Measured) -> Value {
    let us = |time: Option<Duration>| time.map(|time| time.as_nanos() as f64 / 1e3);
    let of = |row: &Row| {
        json!({
            "gpu_p50_us": us(quantile(&row.gpu, 0.5)), "gpu_p99_us": us(quantile(&row.gpu, 0.99)),
            "import_us": us(row.import), "cached_p50_us": us(quantile(&row.cached, 0.5)),
            "hand_over_p50_us": us(quantile(&row.hand_over, 0.5)), "shares_timelines": row.shares_timelines,
            "host_waits_hand_over": row.waits_hand_over, "host_waits_other": row.waits_other,
            "is_dmabuf": row.is_dmabuf, "bytes_copied_by_cpu": row.copied,
        })
    };
    let checked = match &measured.checked {
        None => json!("not run: --check was not asked for"),
        Some(Err(why)) => json!({ "failed": why }),
        Some(Ok(Checked { difference, cuda })) => {
            let cuda = cuda.map_or(
                json!("not run: no CUDA for this device"),
                |Compared { bytes, differ }| json!({ "bytes": bytes, "bytes_that_differ": differ }),
            );
            json!({ "difference_max": difference, "cuda": cuda })
        }
    };
    let row = measured.row.as_ref().map_or_else(|why| json!({ "failed": why }), of);
    json!({ "size": measured.size, "format": measured.format, "row": row, "checked": checked })
}
