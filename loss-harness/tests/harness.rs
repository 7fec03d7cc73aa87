//! The harness as a program: what it delivers, that it repeats itself, and how it refuses.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

fn harness(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loss-harness")).args(arguments).output().unwrap()
}

fn json_of(arguments: &[&str]) -> serde_json::Value {
    let output = harness(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn plan(name: &str) -> String {
    format!("{}/plans/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn five_percent_loss_at_ten_percent_redundancy_reaches_the_bound() {
    let run = json_of(&["run", &plan("five-percent.toml"), "--aus", "250"]);
    assert_eq!(run["aus"]["sent"], 250);
    assert_eq!(run["delivered_share"], run["allowed_share"]);
    assert_eq!((&run["wrong_blocks"], &run["right"]), (&0.into(), &true.into()));
    assert!(run["delivered_share"].as_f64().unwrap() > 0.85, "{run}");
    assert!(run["received"]["shards_recovered"].as_u64().unwrap() > 2_500, "{run}");
    let ended = |way: &str| run["received"][way].as_u64().unwrap();
    let dropped = ended("aus_dropped_memory") + ended("aus_dropped_window");
    assert_eq!(
        (ended("aus_lost") + ended("aus_late"), dropped),
        (run["aus"]["lost"].as_u64().unwrap(), 0),
        "{run}"
    );
    let (lost, sent) =
        (run["channel"]["lost"].as_f64().unwrap(), run["channel"]["datagrams"].as_f64().unwrap());
    assert!((0.047..0.053).contains(&(lost / sent)), "{run}");
    // The client's own count lags by the sequences that may still come, and cannot see losses after the last arrival.
    let measured = run["received"]["datagrams_lost"].as_f64().unwrap();
    assert!((lost - 40.0..=lost).contains(&measured), "{run}");
}

#[test]
fn every_plan_is_right() {
    let mut plans = 0;
    for entry in std::fs::read_dir(plan("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let output = harness(&["run", "--aus", "40", "--plan", path.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{path:?}\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains("right: what the bound allows was delivered"), "{text}");
        plans += 1;
    }
    assert!(plans >= 13);
}

#[test]
fn the_same_seed_gives_the_same_result() {
    let arguments = ["run", "--plan", &plan("everything.toml"), "--aus", "20", "--seed"];
    let run = |seed| json_of(&[&arguments[..], &[seed]].concat());
    let first = run("7");
    assert_eq!(first, run("7"));
    assert_ne!(first["digest"], run("8")["digest"]);
}

#[test]
fn a_sweep_gets_better_with_redundancy_and_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/folder");
    let arguments =
        ["sweep", "--aus", "40", "--size", "2KB..200KB", "--losses", "5%", "--redundancies", "5%,40%"];
    let rows = json_of(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat());
    let share = |row: usize| rows[row]["delivered_share"].as_f64().unwrap();
    assert!(share(0) < share(1), "{rows}");
    let csv = std::fs::read_to_string(out.join("sweep.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    let page = std::fs::read_to_string(out.join("sweep.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    // Where nothing is named, a LAN's losses and redundancies.
    let rows = json_of(&["sweep", "--aus", "5", "--size", "2KB"]);
    assert_eq!(rows.as_array().unwrap().len(), 9);
    // The same cells on one thread, in words.
    let text = harness(&[&arguments[..], &["--threads", "1"]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("2 of 2 cells delivered exactly what the bound allows, 0 are wrong"), "{text}");
}

#[test]
fn the_coder_is_measured_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("fec.svg");
    let arguments = ["fec", "--shapes", "30+3,64+7", "--seconds", "0.002", "--processes", "2", "--plot"];
    let said = json_of(&[&arguments[..], &[plot.to_str().unwrap()]].concat());
    let rows = said["rows"].as_array().unwrap();
    // Encode; recover 1 and 3 of 3, or 1, 3 and 7 of 7.
    assert_eq!(rows.len(), 3 + 4, "{said}");
    assert!(rows.iter().all(|row| row["bytes_right"] == true && row["ours_best_us"].as_f64().unwrap() > 0.0));
    let plot = std::fs::read_to_string(plot).unwrap();
    assert!(plot.contains("64+7 recover 7"));
    let scalar = ["fec", "--k", "5", "--m", "2", "--shard", "64", "--kernel", "scalar", "--processes", "1"];
    let said = json_of(&[&scalar[..], &["--seconds", "0.002"]].concat());
    assert_eq!((&said["kernel"], &said["rows"][0]["k"]), (&"scalar".into(), &5.into()), "{said}");
}

#[test]
fn the_environment_forces_the_kernel() {
    let run = |name: &str| {
        Command::new(env!("CARGO_BIN_EXE_loss-harness"))
            .args(["fec", "--shapes", "3+2", "--seconds", "0.002", "--processes", "1", "--json"])
            .env("PUNKTFUNK_FEC_KERNEL", name)
            .output()
            .unwrap()
    };
    let said: serde_json::Value = serde_json::from_slice(&run("scalar").stdout).unwrap();
    assert_eq!(said["kernel"], "scalar");
    let refused = run("neon");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no FEC kernel is called `neon`"));
}

#[test]
fn what_makes_no_sense_ends_with_two_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[channel]\nlos = '5%'\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, wanted) in [
        (&["run", "--plan", "/nowhere.toml"][..], ["/nowhere.toml", "cannot read"]),
        (&["run", "--plan", file], ["`los`", "`loss`"]),
        (&["run", "--loss", "5"], ["--loss", "`5%`"]),
        (&["run", "--size", "4MB..2KB"], ["--size", "smallest first"]),
        (&["run", "--lose", "5%"], ["--lose", "--loss"]),
        (&["run", "--aus", "0"], ["aus", "1 to 1000000"]),
        (&["run", "--reorder", "2%x3s"], ["channel.delay", "2.147s"]),
        (&["run", file, "--plan", file], ["--plan", "cannot be used"]),
        (&["run", "--trace", "/nowhere.trace"], ["/nowhere.trace", "cannot read"]),
        (&["run", "--blackout", "1s"], ["--blackout", "`2s+200ms`"]),
        (&["sweep", "--bursts", "0"], ["sweep.bursts", "1 to 1000000"]),
        (&["sweep", "--aus", "1", "--size", "2KB", "--out", "/proc/none"], ["/proc/none", "cannot write"]),
        (&["fec", "--shapes", "64"], ["--shapes", "64+7"]),
        (&["fec", "--shard-bytes", "101"], ["--shard-bytes", "101"]),
        (&["fec", "--kernel", "neon"], ["--kernel", "avx2-gfni"]),
        (&["fec", "--seconds", "0"], ["--seconds", "0.001"]),
        (&["sweep", "--losses", "x"], ["--losses", "`5%`"]),
        (&["walk"], ["walk", "Usage"]),
    ] {
        let output = harness(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(wanted.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}
