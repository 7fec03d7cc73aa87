//! Sources that end in mid-stream: the pictures go on by another way, or the end is named; within two seconds.

use std::time::{Duration, Instant};

use punktfunk_display::sway::{HeadlessSway, SwayConfig};
use serde_json::Value;

use crate::support::{
    Client, ClientStart, Host, HostStart, MARGIN, PATIENCE, Place, count, look, processes_of, session_turn,
    sway_turn,
};

/// From a source's end to pictures, or to the session's end.
const RECOVERY: Duration = Duration::from_secs(2);

/// Waits until the client has decoded something: its recording grows.
fn streaming(place: &Place, host: &Host, args: &[&str]) -> Client {
    let recording = place.path("recording.h264");
    let client = ClientStart::new(place, host.port).args(args).file("--record", &recording).start();
    look("a recording", PATIENCE, || {
        std::fs::metadata(&recording).is_ok_and(|file| file.len() > 20_000).then_some(())
    });
    client
}

fn kill(processes: &[String]) {
    assert!(!processes.is_empty());
    let ids = processes.iter().map(|process| process.split(' ').next().unwrap());
    let killed = std::process::Command::new("kill").arg("-KILL").args(ids).status().unwrap();
    assert!(killed.success());
}

/// The compositors among a test's processes.
fn sways(place: &Place) -> Vec<String> {
    processes_of(place.folder()).into_iter().filter(|process| process.ends_with(" sway")).collect()
}

/// When the host has pictures again: its event, and how long it took.
fn recovered(host: &Host, since: Instant) -> Value {
    let event = look("pictures by another way", RECOVERY + MARGIN, || {
        host.events("source").into_iter().find(|event| event["source"].is_string())
    });
    let took = since.elapsed();
    eprintln!("pictures flow again after {took:?}: {event}");
    assert!(took < RECOVERY + MARGIN / 2, "{took:?}");
    event
}

#[test]
fn a_killed_compositor_of_our_own_is_replaced_and_the_stream_goes_on() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").args(&["--once"]).ready();
    let client = streaming(&place, &host, &["--mode", "640x360@30", "--seconds", "5"]);
    let killed = Instant::now();
    kill(&sways(&place));
    let event = recovered(&host, killed);
    assert!(event["source"].as_str().unwrap().starts_with("sway"), "{event}");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0).expect_said(&["the pictures now come from sway"]);
    let summary = ended.json();
    let told = summary["sources"]["told"].as_array().unwrap();
    assert_eq!(told.len(), 2, "{summary:#}");
    assert!(told[0]["source"].is_null() && told[0]["why"].as_str().unwrap().contains("compositor"));
    // Pictures of both desktops were decoded, the second ones from an IDR on.
    let from_au = told[1]["from_au"].as_u64().unwrap();
    assert!(count(&summary, "/pictures/decoded") > from_au + 10, "{summary:#}");
    assert_eq!(
        summary["falls"],
        serde_json::json!([{"from": "sway", "to": "sway", "reason": "ended", "count": 1}])
    );
    // Each IDR of this encoder brings its sequence parameter set.
    let recorded = std::fs::read(place.path("recording.h264")).unwrap();
    let sets = recorded.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == 7).count();
    assert!(sets >= 2, "{sets} IDRs were recorded");
    host.ends();
    place.assert_empty(Duration::ZERO);
}

#[test]
fn a_killed_desktop_is_replaced_by_one_of_our_own() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place, theirs) = (session_turn(), Place::new(), Place::new());
    let config = SwayConfig { temp_dir: theirs.folder().to_owned(), ..SwayConfig::default() };
    let mut desktop = HeadlessSway::start(&config).unwrap();
    desktop.create_output(punktfunk_display::Mode::new(1280, 720, 30_000).unwrap()).unwrap();
    let host =
        HostStart::new(&place, "auto").args(&["--once"]).env("WAYLAND_DISPLAY", desktop.wayland_socket());
    let host = host.ready();
    let client = streaming(&place, &host, &["--mode", "640x360@30", "--seconds", "5"]);
    let welcome = host.event("welcome", 0, PATIENCE);
    assert!(welcome["source"].as_str().unwrap().starts_with("the desktop at"), "{welcome}");
    let killed = Instant::now();
    kill(&sways(&theirs));
    let event = recovered(&host, killed);
    assert!(event["source"].as_str().unwrap().starts_with("sway"), "{event}");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    let summary = ended.json();
    // At the mode that it had: the desktop's, which the client took as it was.
    assert_eq!(summary["sources"]["told"][1]["mode"], "1280x720@30");
    let from_au = summary["sources"]["told"][1]["from_au"].as_u64().unwrap();
    assert!(count(&summary, "/pictures/decoded") > from_au + 10, "{summary:#}");
    let falls = summary["falls"].as_array().unwrap();
    assert_eq!((&falls[0]["from"], &falls[0]["reason"]), (&"wayland".into(), &"ended".into()), "{falls:?}");
    assert_eq!(falls.last().unwrap()["to"], "sway", "{falls:?}");
    host.ends();
    drop(desktop);
}

#[test]
fn an_output_that_was_named_ends_with_its_name_when_its_desktop_does() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place, theirs) = (session_turn(), Place::new(), Place::new());
    let config = SwayConfig { temp_dir: theirs.folder().to_owned(), ..SwayConfig::default() };
    let mut desktop = HeadlessSway::start(&config).unwrap();
    let output = desktop.create_output(punktfunk_display::Mode::new(640, 360, 30_000).unwrap()).unwrap();
    let host = HostStart::new(&place, format!("wayland:{}", output.as_str()));
    let host = host.args(&["--once"]).env("WAYLAND_DISPLAY", desktop.wayland_socket()).ready();
    let client = streaming(&place, &host, &["--mode", "640x360@30"]);
    let killed = Instant::now();
    kill(&sways(&theirs));
    let ended = client.program.wait(RECOVERY + MARGIN);
    let took = killed.elapsed();
    eprintln!("named after {took:?}: {}", ended.stderr.lines().last().unwrap_or_default());
    assert!(took < RECOVERY + MARGIN / 2, "{took:?}");
    ended.expect_code(9).expect_said(&["the compositor"]);
    host.ends_with(10).expect_said(&["the compositor"]);
    drop(desktop);
}

#[test]
fn a_card_that_takes_a_desktops_place_is_read() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place, theirs) = (session_turn(), Place::new(), Place::new());
    let config = SwayConfig { temp_dir: theirs.folder().to_owned(), ..SwayConfig::default() };
    let mut desktop = HeadlessSway::start(&config).unwrap();
    let output = desktop.create_output(punktfunk_display::Mode::new(640, 360, 30_000).unwrap()).unwrap();
    let host =
        HostStart::new(&place, format!("wayland:{}", output.as_str())).args(&["--source", "card", "--once"]);
    let host = host.env("WAYLAND_DISPLAY", desktop.wayland_socket()).ready();
    let client = streaming(&place, &host, &["--mode", "640x360@30", "--seconds", "5"]);
    let killed = Instant::now();
    kill(&sways(&theirs));
    let event = recovered(&host, killed);
    assert!(event["source"].as_str().unwrap().starts_with("test card"), "{event}");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0).expect_said(&["the pictures now come from test card"]);
    let summary = ended.json();
    // Of the card's pictures, and of no others.
    assert!(count(&summary, "/card/read") > 20, "{summary:#}");
    assert_eq!(count(&summary, "/card/unreadable") + count(&summary, "/card/out_of_order"), 0, "{summary:#}");
    host.ends();
    drop(desktop);
}

#[test]
fn an_output_that_was_named_returns_with_its_compositor() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place, theirs) = (session_turn(), Place::new(), Place::new());
    let config = SwayConfig { temp_dir: theirs.folder().to_owned(), ..SwayConfig::default() };
    let start = || {
        let mut sway = HeadlessSway::start(&config).unwrap();
        let mode = punktfunk_display::Mode::new(640, 360, 30_000).unwrap();
        (sway.create_output(mode).unwrap(), sway)
    };
    let ((output, before), (again, after)) = (start(), start());
    assert_eq!(output, again, "a sway names its first output");
    // The desktop's socket is where the session says that it is, whoever serves it.
    let socket = theirs.path("wayland-9");
    std::os::unix::fs::symlink(before.wayland_socket(), &socket).unwrap();
    let host = HostStart::new(&place, format!("wayland:{}", output.as_str()));
    let host = host.args(&["--once"]).env("WAYLAND_DISPLAY", &socket).ready();
    let client = streaming(&place, &host, &["--mode", "640x360@30", "--seconds", "5"]);
    // One that ends in order takes its socket with it.
    let ended = Instant::now();
    std::fs::remove_file(&socket).unwrap();
    before.stop().unwrap();
    let lost = look("the loss", PATIENCE, || host.events("source").into_iter().next());
    assert!(lost["source"].is_null(), "{lost}");
    // It is looked for once, and not there.
    std::thread::sleep(Duration::from_millis(700).saturating_sub(ended.elapsed()));
    std::os::unix::fs::symlink(after.wayland_socket(), &socket).unwrap();
    let event = recovered(&host, ended);
    assert!(event["source"].as_str().unwrap().starts_with("the desktop at"), "{event}");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    let falls = ended.json()["falls"].clone();
    assert_eq!(falls[1]["reason"], "not-there", "{falls}");
    host.ends();
}

#[test]
fn a_pick_among_the_compositors_is_honoured_or_refused_by_name() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "auto").ready();
    let pick =
        |name| ClientStart::new(&place, host.port).args(&["--compositor", name, "--seconds", "1"]).run();
    let ended = pick("sway");
    ended.expect_code(0);
    let summary = ended.json();
    assert!(summary["source"].as_str().unwrap().starts_with("sway"), "{summary:#}");
    let offers = summary["compositors"].as_array().unwrap();
    assert_eq!((&offers[0]["name"], &offers[0]["usable"]), (&"sway".into(), &true.into()), "{offers:?}");
    assert!(offers.iter().any(|offer| offer["name"] == "mutter" && offer["usable"] == false), "{offers:?}");
    host.event("ended", 0, PATIENCE);
    pick("cage").expect_code(8).expect_said(&["cage", "sway, kwin, mutter, gamescope"]);
    pick("gamescope").expect_code(8).expect_said(&["gamescope"]);
    host.stop();
}
