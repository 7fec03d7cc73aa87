//! The GPU's way where there is none: Vulkan on the CPU makes pictures the encoder's, and stand-ins for NVIDIA's driver, which
//! keep to its contract and hold the host to it, encode them.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use stand_in_common::{lay, library};

use crate::loss::{lose_aus, pass};
use crate::support::{
    Between, ClientStart, Host, HostStart, IMPORTER_LOG, ImporterCounts, PATIENCE, Place, assert_adds_up,
    assert_all_came, count, machine_kept_up, session_turn, sway_turn,
};

/// Some pictures long.
const A_WHILE: Duration = Duration::from_secs(1);

/// Single access units that get lost, with time between them to get over each.
const LOST: [u32; 3] = [60, 80, 100];

/// How often a machine may be too busy.
const TRIES: u32 = 3;

/// The manifest of Vulkan's driver on the CPU, so that no other one is asked.
fn lavapipe() -> PathBuf {
    let manifests = std::fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    manifests
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd")))
        .expect("lavapipe is installed (apt install mesa-vulkan-drivers)")
}

/// A host whose card is a stand-in. The first breach of a contract ends it.
pub(crate) fn with_card<'a>(place: &'a Place, source: &str) -> HostStart<'a> {
    let libraries = place.path("nvidia");
    for (name, package) in [("libcuda.so.1", "stand-in-cuda"), ("libnvidia-encode.so.1", "stand-in-nvenc")] {
        lay(&libraries, name, &library(package)).unwrap();
    }
    let devices = punktfunk_gpu::Device::all().unwrap();
    let uuid = devices.iter().find(|device| device.is_software).expect("lavapipe is there").uuid;
    HostStart::new(place, source)
        .env("LD_LIBRARY_PATH", libraries)
        .env("VK_DRIVER_FILES", lavapipe())
        .env("VK_ICD_FILENAMES", lavapipe())
        .env("PUNKTFUNK_STANDIN_UUID", uuid.to_string())
        .env("PUNKTFUNK_STANDIN_STRICT", "1")
}

#[test]
fn the_card_is_encoded_by_nvenc_and_every_number_is_read() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = with_card(&place, "card").args(&["--once", "--encoder", "nvenc"]).ready();
    let client = ClientStart::new(&place, host.port).args(&[
        "--mode",
        "320x192@30",
        "--bitrate",
        "40000",
        "--seconds",
        "4",
    ]);
    let ended = client.run_for(Duration::from_secs(4));
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    assert_all_came(&summary);
    let of = |pointer| count(&summary, pointer);
    assert!(summary["encoder"].as_str().unwrap().contains("NVENC"), "{summary:#}");
    assert!(of("/pictures/decoded") > 60, "{summary:#}");
    assert_eq!((of("/card/out_of_order"), of("/card/unreadable")), (0, 0), "{summary:#}");
    assert_eq!(of("/card/read"), of("/pictures/decoded"), "{summary:#}");
    // Out of the encoder's memory nothing was copied.
    assert_eq!(of("/copied_by_cpu/slices"), 0, "{summary:#}");
}

/// Streams the test card through the stand-in for a few seconds; the figures.
pub(crate) fn stream(place: &Place, host: Host, port: u16, mode: &str, seconds: u32) -> Value {
    stream_and_log(place, host, port, mode, seconds).0
}

/// The same, and what the host said.
fn stream_and_log(place: &Place, host: Host, port: u16, mode: &str, seconds: u32) -> (Value, String) {
    let client = ClientStart::new(place, port).args(&[
        "--mode",
        mode,
        "--bitrate",
        "40000",
        "--seconds",
        &seconds.to_string(),
    ]);
    let ended = client.run_for(Duration::from_secs(seconds.into()));
    ended.expect_code(0).expect_said(&[]);
    let log = host.ends().stderr;
    let summary = ended.json();
    assert_adds_up(&summary);
    // Whatever was done to the way: what was shown is what was drawn, in order.
    let of = |pointer| count(&summary, pointer);
    assert_eq!((of("/card/out_of_order"), of("/card/unreadable")), (0, 0), "{summary:#}");
    (summary, log)
}

/// Has Vulkan on the CPU share its timelines, by a layer.
pub(crate) fn sharing_timelines<'a>(place: &Place, host: HostStart<'a>) -> HostStart<'a> {
    let layers = place.path("layers");
    stand_in_vulkan::lay(&layers, &library("stand-in-vulkan")).unwrap();
    host.env("VK_LAYER_PATH", layers).env("VK_INSTANCE_LAYERS", stand_in_vulkan::NAME)
}

/// Streams the card, and has a client type these lines, some pictures apart; the figures.
pub(crate) fn change(place: &Place, host: &Host, lines: &[&str]) -> Value {
    let args = ["--mode", "320x192@30", "--bitrate", "40000", "--commands"];
    let (client, mut typed) = ClientStart::new(place, host.port).args(&args).start_telling_and_typed();
    client.has_pictures(1);
    for line in lines {
        writeln!(typed, "{line}").unwrap();
        std::thread::sleep(A_WHILE);
    }
    typed.write_all(b"quit\n").unwrap();
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    ended.json()
}

/// What took the place of what, and why.
#[derive(Debug)]
pub(crate) struct Fall {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason: String,
}

pub(crate) fn falls(summary: &Value) -> Vec<Fall> {
    let text = |fall: &Value, key: &str| fall[key].as_str().unwrap().to_owned();
    let of = |fall| Fall { from: text(fall, "from"), to: text(fall, "to"), reason: text(fall, "reason") };
    summary["falls"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn slices_leave_while_the_rest_is_encoded() {
    let (_turn, place) = (session_turn(), Place::new());
    // Four slices of 4 ms each: whoever waits for the last one is late by twelve.
    let host = with_card(&place, "card")
        .env("PUNKTFUNK_STANDIN_SLICE_US", "4000")
        .args(&["--once", "--encoder", "nvenc"])
        .ready();
    let port = host.port;
    let summary = stream(&place, host, port, "320x192@30", 4);
    let of = |pointer| count(&summary, pointer);
    let (sent, early) = (of("/pictures/sent"), of("/recovery/aus_sent_early"));
    eprintln!("{early} of {sent} access units had a datagram sent before their last slice was there");
    assert!(early * 10 >= sent * 9, "{early} of {sent}: {summary:#}");
    let stage = |name: &str| summary["stages"][name].clone();
    assert!(stage("slice_ready")["count"].as_u64() >= Some(4 * (sent - 1)), "{summary:#}");
    assert!(stage("overlap")["p50"].as_u64() > Some(2_000), "{summary:#}");
    assert!(stage("convert")["count"].as_u64() > Some(0), "{summary:#}");
}

/// The host's two stages on a thread each, a paced link, and slices that take as long as a card's do.
#[test]
fn slices_come_home_in_time_from_another_thread() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = with_card(&place, "card")
        .env("PUNKTFUNK_STANDIN_SLICE_US", "300")
        .env("PUNKTFUNK_STAGES", "apart")
        .args(&["--once", "--encoder", "nvenc", "--link", "30000"])
        .ready();
    let port = host.port;
    let summary = stream(&place, host, port, "320x192@60", 4);
    let of = |pointer: &str| count(&summary, pointer);
    let p50 = |name: &str| of(&format!("/stages/{name}/p50"));
    eprintln!("slice_ready {} µs, encode {} µs", p50("slice_ready"), p50("encode"));
    // Whoever waited for slices that only he brings home would stand still for seconds at a time.
    assert!(of("/pictures/decoded") > 120, "{summary:#}");
    assert!(falls(&summary).is_empty(), "{summary:#}");
    if machine_kept_up(&summary, "how long a slice took") {
        // Four slices of 300 µs, and what it takes to hand them on.
        assert!(p50("encode") < 4_000, "{summary:#}");
    }
}

#[test]
fn nobody_waits_for_a_picture_where_timelines_are_shared() {
    let _turn = session_turn();
    for is_shared in [true, false] {
        let place = Place::new();
        let host = with_card(&place, "card").env("PUNKTFUNK_LOG", IMPORTER_LOG).args(&[
            "--once",
            "--encoder",
            "nvenc",
        ]);
        let host = if is_shared { sharing_timelines(&place, host) } else { host }.ready();
        let port = host.port;
        let (summary, log) = stream_and_log(&place, host, port, "320x192@30", 3);
        assert!(falls(&summary).is_empty(), "{summary:#}");
        let counts = ImporterCounts::of(&log);
        let (pictures, waits) = (counts.count("conversions"), counts.waits());
        eprintln!(
            "timelines shared: {is_shared}; waits for a producer, to hand over, for room: {waits:?} in {pictures}"
        );
        assert!(pictures > 30 && pictures >= count(&summary, "/pictures/decoded"), "{summary:#}");
        assert_eq!(log.contains("its timelines cannot be shared"), !is_shared, "{log}");
        match is_shared {
            true => assert_eq!(waits, [0; 3], "{log}"),
            // In their place this thread waits, which is said and counted.
            false => assert!(waits[1] >= pictures && waits[0] + waits[2] == 0, "{log}"),
        }
    }
}

/// Streams the card, of which some access units get lost; the figures, and whether nothing else did. Pictures are small, so
/// that no buffer of a stock kernel is too small for them.
fn lose(encoder: &str, failure: &str) -> (Value, bool) {
    let place = Place::new();
    let host = with_card(&place, "card")
        .env("PUNKTFUNK_STANDIN_FAIL", failure)
        .args(&["--once", "--encoder", encoder])
        .ready();
    let (lose, lost) = lose_aus(|au| LOST.contains(&au));
    let between = Between::start(host.port, pass(), lose);
    let summary = stream(&place, host, between.port(), "320x192@30", 5);
    let of = |pointer| count(&summary, pointer);
    // Those were lost, told, and got over, whatever else was.
    let (lost, all) = (lost.load(Ordering::Relaxed), LOST.len() as u64);
    assert!(lost == all && of("/pictures/lost") >= all, "{encoder}: {summary:#}");
    assert!(of("/pictures/decoded") > u64::from(LOST[LOST.len() - 1]), "{encoder}: {summary:#}");
    assert_eq!(of("/pictures/dropped/decode_error"), 0, "{encoder}: {summary:#}");
    let what = "how each loss was got over";
    let kept_up = between.kept_up(what) && machine_kept_up(&summary, what);
    (summary, kept_up)
}

/// The same on a machine that kept up: one that does not in so many tries is one on which nothing can be shown.
fn lose_and_keep_up(encoder: &str, failure: &str) -> Value {
    let mut tries = (0..TRIES).map(|_| lose(encoder, failure));
    tries.find(|(_, kept_up)| *kept_up).expect("the machine takes thirty small pictures a second").0
}

#[test]
fn what_is_lost_is_left_out_of_what_follows_without_an_idr() {
    let _turn = session_turn();
    for encoder in ["nvenc", "openh264"] {
        let summary = lose_and_keep_up(encoder, "");
        let of = |pointer| count(&summary, pointer);
        assert_eq!(
            (of("/recovery/idrs"), of("/recovery/idrs_no_reference")),
            (1, 0),
            "{encoder}: {summary:#}"
        );
        assert!(of("/recovery/healed_by_recovery_point") >= LOST.len() as u64, "{encoder}: {summary:#}");
        assert!(falls(&summary).is_empty(), "{encoder}: {summary:#}");
    }
}

/// A card that leaves nothing out: an IDR each is what heals.
#[test]
fn a_card_that_refuses_to_leave_out_what_is_lost_makes_an_idr_of_it() {
    let _turn = session_turn();
    let summary = lose_and_keep_up("nvenc", "nvEncInvalidateRefFrames=NV_ENC_ERR_UNSUPPORTED_PARAM");
    let of = |pointer| count(&summary, pointer);
    let each = LOST.len() as u64;
    assert_eq!((of("/recovery/idrs"), of("/recovery/idrs_no_reference")), (1 + each, each), "{summary:#}");
    assert_eq!(of("/recovery/healed_by_recovery_point"), 0, "{summary:#}");
    assert!(falls(&summary).is_empty(), "{summary:#}");
    // A card that is lost of it is found again, with an IDR.
    let summary = lose_and_keep_up("nvenc", "nvEncInvalidateRefFrames:2=NV_ENC_ERR_DEVICE_NOT_EXIST");
    let falls = falls(&summary);
    assert!(falls.iter().any(|fall| fall.reason == "session-made-anew"), "{falls:?}");
    assert!(falls.iter().all(|fall| fall.to == "nvenc"), "{falls:?}");
    assert_eq!(count(&summary, "/recovery/idrs"), 2, "{summary:#}");
}

#[test]
fn bitrate_and_mode_change_in_one_session_of_the_encoder() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = with_card(&place, "card").args(&["--once", "--encoder", "nvenc"]).ready();
    // Enough for all of a larger picture: the stand-in leaves out what the rate does not carry.
    let summary = change(&place, &host, &["bitrate 80000", "mode 480x272@30"]);
    let host = host.ends();
    let of = |pointer: &str| count(&summary, pointer);
    let now = |key: &str| of(&format!("/reconfigured/now/{key}"));
    assert_eq!((now("width"), now("height"), now("bitrate_kbps")), (480, 272, 80_000), "{summary:#}");
    assert_eq!((of("/card/out_of_order"), of("/card/unreadable")), (0, 0), "{summary:#}");
    // The first, and that of the new size.
    assert_eq!(of("/recovery/idrs"), 2, "{summary:#}");
    assert!(falls(&summary).is_empty(), "{summary:#}");
    assert!(!host.stderr.contains("a new session"), "{}", host.stderr);
}

#[test]
fn a_desktops_pictures_are_converted_by_vulkan() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "sway")
        .env("VK_DRIVER_FILES", lavapipe())
        .env("VK_ICD_FILENAMES", lavapipe())
        .args(&["--once", "--import", "gpu"])
        .ready();
    let client = ClientStart::new(&place, host.port).args(&["--mode", "640x360@30", "--seconds", "4"]);
    let ended = client.run_for(Duration::from_secs(4));
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    place.assert_empty(PATIENCE);
    let summary = ended.json();
    assert_all_came(&summary);
    assert!(count(&summary, "/pictures/decoded") > 10, "{summary:#}");
    assert!(summary["encoder"].as_str().unwrap().contains("llvmpipe"), "{summary:#}");
    // One upload, which is all that the CPU copies to make a picture the encoder's.
    let pictures = count(&summary, "/pictures/decoded");
    let uploaded = count(&summary, "/copied_by_cpu/import");
    assert!(uploaded >= pictures * 640 * 360 * 4, "{uploaded} for {pictures}; {summary:#}");
}

#[test]
fn a_gpu_that_is_not_there_is_named_when_the_host_begins() {
    let place = Place::new();
    let nothing = place.path("no-driver.json");
    let ended = HostStart::new(&place, "card")
        .env("VK_DRIVER_FILES", &nothing)
        .env("VK_ICD_FILENAMES", &nothing)
        .args(&["--import", "gpu"])
        .refused();
    ended.expect_code(8).expect_said(&["GPU"]);
}

#[test]
fn a_gpu_that_is_lost_is_followed_by_the_cpu() {
    let (_turn, place) = (session_turn(), Place::new());
    let layer = place.path("layer");
    stand_in_vulkan::lay(&layer, &library("stand-in-vulkan")).unwrap();
    let host = HostStart::new(&place, "card")
        .env("VK_DRIVER_FILES", lavapipe())
        .env("VK_ICD_FILENAMES", lavapipe())
        .env("VK_LAYER_PATH", layer)
        .env("VK_INSTANCE_LAYERS", stand_in_vulkan::NAME)
        // VK_ERROR_DEVICE_LOST.
        .env("PUNKTFUNK_STANDIN_FAIL", "vkQueueSubmit2:20x9999=-4")
        .args(&["--once", "--import", "gpu"])
        .ready();
    let port = host.port;
    let summary = stream(&place, host, port, "320x192@30", 3);
    let falls = falls(&summary);
    assert!(matches!(&falls[..], [fall] if fall.reason == "gpu-lost"), "{falls:?}");
    assert!(count(&summary, "/card/newest") > 60, "{summary:#}");
}
