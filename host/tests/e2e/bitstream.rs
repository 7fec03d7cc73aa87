//! Verifiable access units through the whole engine: every byte, every figure, every way to send.

use std::fs::File;
use std::time::Duration;

use punktfunk_perf::{ParsedLog, parse_log};
use punktfunk_seal::{Backend, Cipher};
use serde_json::Value;

use crate::support::{ClientStart, HostStart, PATIENCE, Place, assert_all_came, count, session_turn};

/// 200 Mbit/s at 60 Hz in 4 slices, an IDR of five times the size each second.
const MODERATE: &str = "bitstream:rate=200M,fps=60,slices=4,idr=5x/1s";

#[test]
fn every_byte_arrives_and_every_figure_is_there() {
    let (_turn, place) = (session_turn(), Place::new());
    let perf = place.path("perf");
    let host = HostStart::new(&place, MODERATE).args(&["--once"]).env("PUNKTFUNK_PERF", &perf).ready();
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "5"]).env("PUNKTFUNK_PERF", &perf);
    let ended = client.run();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    place.assert_empty(PATIENCE);

    let summary = ended.json();
    let kept_up = assert_all_came(&summary);
    check_verified(&summary, kept_up);
    check_keys(&summary);
    check_latencies(&summary, kept_up);
    let (host_log, client_log) = (read_log(&place, "perf-host.hlog"), read_log(&place, "perf-client.hlog"));
    check_logs(&host_log, &client_log, &summary);
}

/// All slices of all access units were checked, at the rate that was asked for.
fn check_verified(summary: &Value, kept_up: bool) {
    let of = |pointer| count(summary, pointer);
    assert_eq!(of("/verified/wrong"), 0, "{summary:#}");
    let slices = 4 * of("/pictures/decoded");
    assert!(of("/verified/slices") >= slices, "{summary:#}");
    let seconds = summary["streamed_s"].as_f64().unwrap();
    assert!((4.9..8.0).contains(&seconds), "streamed for {seconds} s");
    if !kept_up {
        // Slices of access units that were given up are checked, too, and no rate is what was asked for.
        return;
    }
    // The end of the session may cut the last access unit: some of its slices came.
    assert!(of("/verified/slices") < slices + 4, "{summary:#}");
    let verified_kbps = of("/verified/bytes") as f64 * 8e-3 / seconds;
    let goodput_kbps = of("/goodput_kbps") as f64;
    assert!((0.97..1.03).contains(&(verified_kbps / goodput_kbps)), "{verified_kbps} against {goodput_kbps}");
    // A busy machine may pass pictures over, never add to them.
    assert!((100_000.0..210_000.0).contains(&goodput_kbps), "{goodput_kbps} kbit/s of 200,000");
    // A parity shard of each block, a fiftieth of larger ones, and headers.
    let share = of("/wire_kbps") as f64 / goodput_kbps;
    assert!((1.03..1.2).contains(&share), "{share} wire bytes for each byte");
    // Loopback may lose a datagram now and then, never many, and it makes none.
    let (sent, received) = (of("/datagrams/sent"), of("/datagrams/received"));
    assert!(received <= sent && (sent - received) * 1_000 <= sent, "{summary:#}");
}

/// Every key that a script may rely on is there, with its type.
fn check_keys(summary: &Value) {
    let counts = [
        "/pictures/sent",
        "/pictures/shed",
        "/pictures/decoded",
        "/pictures/lost",
        "/pictures/late",
        "/pictures/dropped/decode_queue",
        "/pictures/dropped/awaiting_idr",
        "/pictures/dropped/decode_error",
        "/goodput_kbps",
        "/wire_kbps",
    ];
    for pointer in counts {
        count(summary, pointer);
    }
    assert_eq!(summary["skew_corrected"], Value::Bool(true), "{summary:#}");
    for end in ["host", "client"] {
        let seconds = summary["cpu_s"][end].as_f64().unwrap_or_else(|| panic!("cpu_s of {end}: {summary:#}"));
        assert!(seconds > 0.0 && seconds < 60.0, "{end}: {seconds} s");
    }
    let stages = summary["stages"].as_object().unwrap_or_else(|| panic!("stages: {summary:#}"));
    for stage in ["encode", "fec", "seal", "send", "receive", "open", "reassemble", "decode"] {
        assert!(stages.contains_key(stage), "no stage {stage} in {stages:?}");
    }
    for (stage, figures) in stages {
        check_percentiles(stage, figures);
    }
}

fn check_percentiles(name: &str, figures: &Value) {
    let of = |key: &str| figures[key].as_u64().unwrap_or_else(|| panic!("{name}.{key} in {figures}"));
    let (p50, p99, p999, max) = (of("p50"), of("p99"), of("p999"), of("max"));
    assert!(of("count") > 0 && p50 <= p99 && p99 <= p999 && p999 <= max, "{name}: {figures}");
}

fn check_latencies(summary: &Value, kept_up: bool) {
    for name in ["latency_us", "reassembled_us", "idr_latency_us", "idr_reassembled_us"] {
        check_percentiles(name, &summary[name]);
    }
    let of = |pointer| count(summary, pointer);
    // Loopback: more than a second means that the clocks are not joined.
    assert!((1..1_000_000).contains(&of("/latency_us/p50")), "{summary:#}");
    assert!(of("/reassembled_us/p50") <= of("/latency_us/p50"), "{summary:#}");
    // IDRs apart: one a second, and together with the others all but those before the clocks were joined.
    let (idrs, others) = (of("/idr_latency_us/count"), of("/latency_us/count"));
    // What was lost is asked for, and brings more of them.
    assert!(idrs >= 3 && (idrs <= 6 || !kept_up), "{idrs} IDRs in 5 s");
    assert!(idrs + others <= of("/pictures/decoded"), "{summary:#}");
    assert!((idrs + others) * 4 >= of("/pictures/decoded") * 3, "{summary:#}");
}

fn read_log(place: &Place, name: &str) -> ParsedLog {
    let path = place.path("perf").join(name);
    let log = parse_log(File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let log = log.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!log.cut_off, "{} is cut off", path.display());
    assert!(
        log.intervals.iter().any(|interval| interval.start > Duration::ZERO),
        "{name}: one interval only"
    );
    log
}

/// Both ends' stages are in the dumps, on one time axis, and say what the summary says.
fn check_logs(host: &ParsedLog, client: &ParsedLog, summary: &Value) {
    let samples = |log: &ParsedLog, tag: &str| log.total(tag).map_or(0, |histogram| histogram.len());
    for tag in ["encode", "fec", "seal", "send", "capture_to_sent"] {
        assert!(samples(host, tag) > 0, "the host's dump has no {tag}");
    }
    for tag in ["receive", "open", "reassemble", "decode"] {
        assert!(samples(client, tag) > 0, "the client's dump has no {tag}");
    }
    assert_eq!(samples(host, "encode"), count(summary, "/stages/encode/count"));
    assert_eq!(samples(client, "capture_to_decoded"), count(summary, "/latency_us/count"));
    assert_eq!(samples(client, "idr_to_decoded"), count(summary, "/idr_latency_us/count"));

    let base = |log: &ParsedLog| log.base_time_s.expect("a dump has its time base");
    let apart_s = (base(host) - base(client)).abs();
    assert!(apart_s < 0.3, "the ends' time axes are {apart_s} s apart");

    let last = |log: &ParsedLog, name: &str| {
        let line = log.counters.last().expect("a dump has counters");
        line.values.iter().find(|(key, _)| key == name).unwrap_or_else(|| panic!("no {name} in {line:?}")).1
    };
    assert_eq!(last(host, "aus_sent"), count(summary, "/pictures/sent"));
    assert_eq!(last(client, "decoded"), count(summary, "/pictures/decoded"));
}

#[test]
fn each_way_to_send_works_when_it_is_asked_for() {
    let (_turn, place) = (session_turn(), Place::new());
    for backend in ["gso", "sendmmsg", "scalar", "uring"] {
        let host = HostStart::new(&place, "bitstream:rate=100M,fps=60,slices=2");
        let host = host.args(&["--once"]).env("PUNKTFUNK_NET", backend).ready();
        let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]);
        let ended = client.env("PUNKTFUNK_NET", backend).run();
        ended.expect_code(0);
        let said = host.ends();
        // Where rings are forbidden the session goes without, and says so.
        let refused = backend == "uring" && said.stderr.contains("no io_uring");
        said.expect_said(&[&format!("send by {}", if refused { "gso" } else { backend })]);
        let summary = ended.json();
        assert_all_came(&summary);
        assert_eq!(count(&summary, "/verified/wrong"), 0, "{backend}");
        let datagrams = count(&summary, "/datagrams/sent");
        let calls = count(&summary, "/datagrams/send_system_calls");
        eprintln!("{backend}: {datagrams} datagrams in {calls} system calls");
        match backend {
            "scalar" => assert!(calls >= datagrams, "{calls} calls for {datagrams} datagrams"),
            _ => assert!(calls * 4 < datagrams, "{backend}: {calls} calls for {datagrams} datagrams"),
        }
    }
}

#[test]
fn each_backend_opens_what_another_seals() {
    let (_turn, place) = (session_turn(), Place::new());
    let able = |name: &str| name.parse::<Backend>().is_ok_and(|backend| backend.supports(Cipher::Aes128Gcm));
    for (seals, opens) in
        [("ring", "aws-lc"), ("aws-lc", "ring"), ("vaes512", "vaes256"), ("vaes256", "vaes512")]
    {
        if !able(seals) || !able(opens) {
            eprintln!("{seals} to {opens} was not run: this CPU lacks the instructions");
            continue;
        }
        let host = HostStart::new(&place, MODERATE).args(&["--once"]).env("PUNKTFUNK_SEAL", seals).ready();
        let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]);
        let ended = client.env("PUNKTFUNK_SEAL", opens).run();
        ended.expect_code(0);
        host.ends().expect_said(&[&format!("sealed by {seals}"), &format!("PUNKTFUNK_SEAL={seals}")]);
        let summary = ended.json();
        assert_all_came(&summary);
        assert_eq!(count(&summary, "/verified/wrong"), 0, "{seals} to {opens}");
    }
}

#[test]
fn any_kernel_recovers_what_any_other_protects() {
    let (_turn, place) = (session_turn(), Place::new());
    let run = |protects: Option<&str>, recovers: Option<&str>| {
        let host = HostStart::new(&place, "bitstream:rate=20M,fps=60,slices=2").args(&["--once"]);
        let forced = |kernel| ("PUNKTFUNK_FEC_KERNEL", kernel);
        let host = match protects.map(forced) {
            Some((name, kernel)) => host.env(name, kernel).ready(),
            None => host.ready(),
        };
        let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]);
        let ended = match recovers.map(forced) {
            Some((name, kernel)) => client.env(name, kernel).run(),
            None => client.run(),
        };
        ended.expect_code(0);
        host.ends().expect_said(&[&format!("FEC by {}", protects.unwrap_or(""))]);
        let summary = ended.json();
        assert_all_came(&summary);
        assert_eq!(count(&summary, "/verified/wrong"), 0, "{protects:?} to {recovers:?}");
    };
    run(Some("scalar"), None);
    run(None, Some("scalar"));
}

#[test]
fn a_recording_of_a_bitstream_is_said_to_be_none() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "bitstream:rate=10M,fps=60,slices=2").args(&["--once"]).ready();
    let (recording, snapshot) = (place.path("out.h264"), place.path("out.png"));
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).file("--record", &recording);
    let ended = client.file("--snapshot", &snapshot).run();
    ended.expect_code(0).expect_said(&["there is no picture to record"]);
    host.ends();
    let summary = ended.json();
    assert_all_came(&summary);
    assert_eq!((&summary["recorded"], &summary["snapshot"]), (&false.into(), &false.into()), "{summary:#}");
    assert!(!recording.exists() && !snapshot.exists(), "empty files were left behind");
}

#[test]
fn an_unknown_way_to_send_is_told_the_choices() {
    let place = Place::new();
    let said = ["PUNKTFUNK_NET", "pigeons", "gso", "sendmmsg", "scalar"];
    let host = HostStart::new(&place, "card").env("PUNKTFUNK_NET", "pigeons").refused();
    host.expect_code(64).expect_said(&said);
    let client = ClientStart::new(&place, 9).env("PUNKTFUNK_NET", "pigeons").run();
    client.expect_code(64).expect_said(&said);
    for told in [host.json(), client.json()] {
        assert_eq!(
            (&told["error"]["code"], &told["faults"][0]["place"]),
            (&64.into(), &"PUNKTFUNK_NET".into())
        );
    }
}
