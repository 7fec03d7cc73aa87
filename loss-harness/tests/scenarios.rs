//! What hurts in the field, as plans, each with what is expected of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use serde_json::Value;

/// The plan's run with these arguments over it, which must be right.
fn run(plan: &str, arguments: &[&str]) -> Value {
    let path = format!("{}/plans/{plan}.toml", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_loss-harness"))
        .args(["run", &path, "--json"])
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{}{error}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(run: &Value, path: &str) -> u64 {
    run.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} of {run}"))
}

#[test]
fn idrs_above_any_small_codes_ceiling_come_through_loss() {
    let run = run("large-idr", &[]);
    assert_eq!(number(&run, "/aus/usable"), 240, "{run}");
    assert!(number(&run, "/received/shards_recovered") > 500, "{run}");
}

#[test]
fn a_paced_stream_passes_a_narrow_hop_that_an_unpaced_one_overflows() {
    let paced = run("narrow-hop", &[]);
    assert_eq!((number(&paced, "/channel/dropped_by_queue"), number(&paced, "/aus/delivered")), (0, 120));
    let unpaced = run("narrow-hop", &["--paced", "false"]);
    assert!(number(&unpaced, "/channel/dropped_by_queue") > 5_000, "{unpaced}");
    assert_eq!(number(&unpaced, "/aus/delivered"), 0, "{unpaced}");
}

#[test]
fn a_shrunken_mtu_costs_what_it_takes_to_learn_of_it() {
    let run = run("mtu-shrink", &[]);
    // 18 pictures of 300 ms, the one that was under way, and the IDR's way.
    let gap = number(&run, "/aus/longest_gap");
    assert!((18..=21).contains(&gap), "{run}");
    assert_eq!(number(&run, "/aus/usable"), 180 - gap, "one gap and no other");
}

#[test]
fn a_blackout_costs_its_own_pictures_and_a_few_more() {
    let run = run("blackout", &[]);
    // 12 pictures of 200 ms; then one that shows the loss, a request and its IDR.
    let gap = number(&run, "/aus/longest_gap");
    assert!((12..=16).contains(&gap), "{run}");
    assert_eq!(number(&run, "/aus/usable"), 180 - gap, "one gap and no other");
}

#[test]
fn one_percent_lost_costs_hardly_a_picture_and_three_percent_at_most() {
    for (arguments, delivered_min) in [(&[][..], 300), (&["--loss", "0%", "--burst", "1%x8"], 299)] {
        let run = run("one-percent", arguments);
        assert!(number(&run, "/aus/delivered") >= delivered_min, "{run}");
        let overhead = run["overhead"].as_f64().unwrap();
        assert!(overhead <= 0.03, "{overhead} {run}");
    }
}
