//! The program from outside: its arguments, its JSON, its exit codes, and a short run of the whole data plane.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_punktfunk-perf"))
        .args(arguments)
        .output()
        .expect("the program was built")
}

fn object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1, "one object on one line: {text} {words}");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn arguments_that_make_no_sense_end_with_two() {
    for (arguments, said) in [
        (&["loop", "--rate", "fast"][..], "rate such as"),
        (&["loop", "--rate", "1G", "--seconds", "0"], "0.2 to 3600"),
        (&["loop", "--rate", "1G", "--idr", "5"], "5x/1s"),
        (&["loop", "--rate", "1G", "--spin", "--block"], "cannot be used with"),
        (&["loop", "--rate", "1G", "--slices", "65"], "1..=64"),
        (&["loop", "--rate", "1G", "--limits"], "cannot be used with"),
        (&["protect", "--shard", "100"], "shard_bytes_max"),
        (&["send"], "required"),
        (&["glass"], "required"),
        (&["dance"], "dance"),
    ] {
        let output = run(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {words}");
        assert!(words.contains(said), "{arguments:?}: {words}");
    }
}

#[test]
fn a_folder_that_is_none_ends_with_one_and_its_name() {
    let output = run(&["glass", "/nonexistent", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/perf-host.hlog"));
}

/// The kernel may drop a datagram on loopback and a busy machine may shed: what is asserted holds all the same.
#[test]
fn a_loop_is_measured_beside_its_twin_and_said_as_one_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let arguments =
        ["loop", "--rate", "20M", "--fps", "60", "--slices", "2", "--seconds", "0.6", "--rounds", "1"];
    let rest = ["--check", "all", "--perf", path, "--plots", path, "--json"];
    let report = object(&run(&[&arguments[..], &rest].concat()));
    let case = &report["cases"][0];
    let (ours, twin) = (&case["ours"][0], &case["twin"][0]);
    for figures in [ours, twin] {
        assert!(figures["goodput_mbps"].as_f64().expect("a number") > 1.0, "{figures}");
        for side in ["sender", "receiver"] {
            assert!(figures[side]["cpu_s_per_gbit"].as_f64().expect("a number") > 0.0, "{figures}");
            assert!(figures[side]["resident_kib"].as_u64().expect("a number") > 0);
        }
        let latency = &figures["latency_us"];
        assert!(latency["p50"].as_u64() <= latency["p99"].as_u64(), "{latency}");
    }
    assert_eq!(ours["aus"]["wrong"], 0);
    assert_eq!(ours["left_out"], 0, "everything came home");
    for stage in ["fec", "seal", "send"] {
        assert!(ours["sender"]["stages"][stage]["count"].as_u64().expect("a number") > 10, "{stage}");
    }
    assert!(ours["receiver"]["stages"]["open"]["count"].as_u64().expect("a number") > 10);
    assert!(case["summary"]["p50_ratio"]["median"].as_f64().expect("a number") > 0.0);
    for name in ["latency.svg", "latency-by-au.svg", "cpu.svg"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    glass(folder.path(), path);
}

/// The logs that the loop left make a way.
fn glass(folder: &Path, path: &str) {
    assert!(folder.join("perf-host.hlog").is_file());
    let way = object(&run(&["glass", path, "--json", "--plots", path]));
    assert_eq!(way["ends_with"], "decoded");
    let has = |stage: &str| way["steps"].as_array().expect("steps").iter().any(|step| step["stage"] == stage);
    assert!(has("seal") && has("capture_to_reassembled"), "{way}");
    assert!(folder.join("glass.svg").is_file());
}

#[test]
fn protecting_alone_is_measured() {
    let protected = object(&run(&["protect", "--rate", "20M", "--seconds", "0.2", "--json"]));
    assert!(protected["gbit_per_s"].as_f64().expect("a number") > 0.0);
}

/// Needs root: a network namespace is made, and is gone afterwards.
#[test]
fn the_sender_alone_goes_into_a_link_that_drops() {
    let output = run(&["send", "--veth", "--rate", "20M", "--seconds", "0.5", "--json"]);
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("need root") || words.contains("`ip ") {
        assert!(std::env::var_os("CI").is_none(), "this tier has to run: {words}");
        eprintln!("not run: {words}");
        return;
    }
    let dropped = object(&output);
    assert!(dropped["payload_mbps"].as_f64().expect("a number") > 1.0, "{dropped}");
    assert!(dropped["window"]["counters"]["datagrams"].as_u64().expect("a number") > 100, "{dropped}");
    let left = Command::new("ip").args(["netns", "list"]).output().expect("it ran above");
    assert!(!String::from_utf8_lossy(&left.stdout).contains("pf-perf-near-"), "the namespace is gone");
}

#[test]
fn the_targets_are_rows_with_their_answers() {
    let report =
        object(&run(&["loop", "--limits", "protect", "--seconds", "0.2", "--rounds", "1", "--json"]));
    let rows = report["limits"]["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert!(row["what"].is_string() && row["target"].is_number() && row["median"].is_number(), "{row}");
        assert!(row["reached"].is_boolean() && row["best"].is_number(), "{row}");
    }
    assert!(report["run"]["cpu"].is_string() && report["run"]["unix_time_s"].is_number());
}

#[test]
fn an_end_without_orders_ends() {
    let output = run(&["end"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Fault"));
}
