//! A bitrate is the wire's: what is asked for is what leaves, whatever the content and the slices.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    ClientStart, HostStart, MARGIN, PATIENCE, Place, Random, count, session_turn, sway_turn,
};

/// How long the mean is taken over.
const SECONDS: u32 = 9;

/// What may be above the rate asked for.
const PER_MILLE_MAX: u64 = 1_050;

/// Pictures that no encoder can predict: noise on grey, in a loop of half a second.
pub(crate) fn write_noise(place: &Place) -> PathBuf {
    let (width, height, pictures) = (640, 360, 30);
    let mut random = Random::new();
    let mut bytes = Vec::new();
    writeln!(bytes, "YUV4MPEG2 W{width} H{height} F60:1 Ip C420jpeg").unwrap();
    for _ in 0..pictures {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend(random.bytes(width * height).iter().map(|byte| 96 + byte % 64));
        bytes.resize(bytes.len() + width * height / 2, 128);
    }
    place.write("noise.y4m", &bytes)
}

/// Streams at this rate and returns the summary.
fn stream(place: &Place, source: &str, mode: &str, asked_kbps: u32) -> Value {
    let host = HostStart::new(place, source).args(&["--once"]).ready();
    let (seconds, kbps) = (SECONDS.to_string(), asked_kbps.to_string());
    let ended = ClientStart::new(place, host.port)
        .args(&["--mode", mode, "--seconds", &seconds, "--bitrate", &kbps])
        .run_for(Duration::from_secs(SECONDS.into()));
    ended.expect_code(0);
    let slices = host.events("welcome")[0]["slices"].clone();
    host.ends();
    let summary = ended.json();
    let wire = count(&summary, "/wire_kbps");
    eprintln!("{source} {mode}: asked {asked_kbps}, {wire} kbit/s on the wire in {slices} slices");
    assert!(wire * 1_000 <= u64::from(asked_kbps) * PER_MILLE_MAX, "{wire} of {asked_kbps} kbit/s");
    summary
}

#[test]
fn noise_keeps_to_the_rate_and_fills_it() {
    let (_turn, place) = (session_turn(), Place::new());
    let source = format!("file:{}", write_noise(&place).display());
    for asked_kbps in [3_000, 20_000] {
        let summary = stream(&place, &source, "640x360@60", asked_kbps);
        let wire = count(&summary, "/wire_kbps");
        // A busy machine encodes fewer pictures than 60 a second; each of them has its share of the rate.
        let wanted = 60.0 * summary["streamed_s"].as_f64().unwrap();
        let share = (count(&summary, "/pictures/sent") as f64 / wanted).min(1.0);
        let least = f64::from(asked_kbps) * 0.7 * share;
        assert!(wire as f64 >= least, "{wire} of {asked_kbps} kbit/s are too few: {least:.0} at least");
    }
}

#[test]
fn a_desktop_keeps_to_the_rate() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    for asked_kbps in [3_000, 20_000] {
        stream(&place, "wayland", "1280x720@60", asked_kbps);
    }
}

#[test]
fn low_rates_take_fewer_slices() {
    let (_turn, place) = (session_turn(), Place::new());
    for (kbps, slices) in [("1000", 1), ("20000", 3), ("100000", 4)] {
        let host = HostStart::new(&place, "card").args(&["--once"]).ready();
        let client = ClientStart::new(&place, host.port).args(&["--seconds", "1", "--bitrate", kbps]).run();
        client.expect_code(0);
        assert_eq!(host.events("welcome")[0]["slices"], slices, "at {kbps} kbit/s");
        host.ends();
    }
}

#[test]
fn a_rate_that_the_encoder_cannot_fill_is_refused_as_one() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let client = ClientStart::new(&place, host.port).args(&["--bitrate", "8000000"]).run();
    client.expect_said(&["cannot make this bitrate", "8000000", "kbit/s at most"]);
    host.ends_with(5);
}

#[test]
fn a_client_that_leaves_over_a_slow_link_is_answered_at_once() {
    let (_turn, place) = (session_turn(), Place::new());
    let source = format!("file:{}", write_noise(&place).display());
    let host = HostStart::new(&place, source).args(&["--once", "--link", "500"]).ready();
    let client =
        ClientStart::new(&place, host.port).args(&["--mode", "640x360@60", "--bitrate", "60000"]).start();
    host.event("welcome", 0, PATIENCE);
    // Too slow for a whole picture: the pacer is behind by seconds soon.
    std::thread::sleep(Duration::from_secs(2));
    let asked = Instant::now();
    client.program.signal("INT");
    let figures = host.event("figures", 0, PATIENCE);
    let took = asked.elapsed();
    eprintln!("the host answered after {took:?}");
    assert!(took < Duration::from_secs(1) + MARGIN / 4, "answered after {took:?}");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    let summary = ended.json();
    assert_eq!(summary["pictures"]["sent_is_final"], true, "{summary:#}");
    assert_eq!(figures["aus_sent"], summary["pictures"]["sent"]);
    host.ends();
}
