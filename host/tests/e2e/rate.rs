//! A bitrate is the wire's: what is asked for is what leaves, whatever the content and the slices.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use punktfunk_codec::annexb;
use serde_json::Value;

use crate::gpu::with_card;
use crate::support::{
    ClientStart, HostStart, MARGIN, PATIENCE, Place, Random, count, session_turn, sway_turn,
};

/// How long the mean is taken over.
const SECONDS: u32 = 9;

/// What may be above the rate asked for.
const PER_MILLE_MAX: u64 = 1_050;

/// Pictures that no encoder can predict: noise on grey, in a loop of half a second.
pub(crate) fn write_noise(place: &Place) -> PathBuf {
    write_noise_of(place, (640, 360), 60)
}

/// The same of these sides, at so many pictures a second.
fn write_noise_of(place: &Place, (width, height): (usize, usize), rate: u32) -> PathBuf {
    let pictures = rate / 2;
    let mut random = Random::new();
    let mut bytes = Vec::new();
    writeln!(bytes, "YUV4MPEG2 W{width} H{height} F{rate}:1 Ip C420jpeg").unwrap();
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

/// The rates that a stream has one after the other: down, and up again.
const CHANGED_KBPS: [u32; 3] = [6_000, 2_000, 4_500];

/// How long it has each.
const EACH: Duration = Duration::from_secs(2);

/// Access units after a change that are not looked at: an encoder may have spent ahead, or saved.
const SETTLED: usize = 12;

/// What a mean access unit may be away from its share of the rate, in percent of it: 40 bytes a datagram and a shard of parity
/// a slice are not the encoder's, and a machine that encodes fewer pictures than it should makes them larger.
const SHARE: std::ops::RangeInclusive<f64> = 60.0..=115.0;

/// The access units that a recording has at a rate each, by the client's words of where each change began.
fn by_rate(recording: &[u8], said: &str) -> Vec<Vec<usize>> {
    let begins = said.lines().filter_map(|line| line.split_once("from access unit ")?.1.split(' ').next());
    let mut begins: Vec<usize> = begins.map(|begin| begin.parse().unwrap()).collect();
    begins.insert(0, 0);
    let bytes: Vec<usize> = annexb::access_units(recording).map(<[u8]>::len).collect();
    begins.push(bytes.len());
    begins.windows(2).map(|span| bytes[span[0].min(bytes.len())..span[1].min(bytes.len())].to_vec()).collect()
}

#[test]
fn a_change_of_the_rate_is_one_of_the_streams_bytes() {
    let _turn = session_turn();
    for encoder in ["nvenc", "openh264"] {
        let place = Place::new();
        let source = format!("file:{}", write_noise_of(&place, (320, 192), 30).display());
        let host =
            with_card(&place, &source).args(&["--once", "--encoder", encoder, "--bitrate", "fixed"]).ready();
        let recording = place.path("noise.h264");
        let first = CHANGED_KBPS[0].to_string();
        let args = ["--mode", "320x192@30", "--bitrate", &first, "--commands"];
        let (client, mut typed) = ClientStart::new(&place, host.port)
            .args(&args)
            .file("--record", &recording)
            .start_telling_and_typed();
        client.has_pictures(1);
        std::thread::sleep(EACH);
        for kbps in &CHANGED_KBPS[1..] {
            writeln!(typed, "bitrate {kbps}").unwrap();
            std::thread::sleep(EACH);
        }
        typed.write_all(b"quit\n").unwrap();
        let ended = client.program.wait(PATIENCE);
        ended.expect_code(0).expect_said(&[]);
        host.ends();
        let summary = ended.json();
        assert_eq!(count(&summary, "/reconfigured/done"), 2, "{summary:#}");
        assert_eq!(summary["falls"].as_array().map(Vec::len), Some(0), "{summary:#}");
        assert!(count(&summary, "/recovery/idrs") == 1, "it goes on: {:#}", summary["recovery"]);

        let sizes = by_rate(&std::fs::read(&recording).unwrap(), &ended.stderr);
        assert_eq!(sizes.len(), CHANGED_KBPS.len(), "{}", ended.stderr);
        let means = sizes.iter().map(|sizes| {
            let settled = &sizes[SETTLED.min(sizes.len())..];
            settled.iter().sum::<usize>() as f64 / settled.len() as f64
        });
        let means: Vec<f64> = means.collect();
        let shares: Vec<f64> = means
            .iter()
            .zip(CHANGED_KBPS)
            .map(|(mean, kbps)| mean * 8.0 * 30.0 / 10.0 / f64::from(kbps))
            .collect();
        eprintln!("{encoder}: {:.0?} bytes a picture, {shares:.0?} % of {CHANGED_KBPS:?} kbit/s", means);
        assert!(shares.iter().all(|share| SHARE.contains(share)), "{encoder}: {shares:?} {sizes:?}");
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
