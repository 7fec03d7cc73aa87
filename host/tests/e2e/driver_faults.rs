//! What fails in NVIDIA's driver, by its stand-ins: the stream goes on, and what took the place of what is counted by its
//! reason; or it is named, and the host does without.

use crate::gpu::{Fall, change, falls, sharing_timelines, stream, with_card};
use crate::support::{HostStart, Place, count, session_turn};

/// Calls that fail, and what took the place of what because of it.
const SURVIVED: &[(&str, &[Fallen])] = &[
    ("nvEncEncodePicture:20=NV_ENC_ERR_DEVICE_NOT_EXIST", &[("nvenc", "nvenc", "session-made-anew")]),
    ("nvEncEncodePicture:20=NV_ENC_ERR_NEED_MORE_INPUT", &[("nvenc", "nvenc", "session-made-anew")]),
    ("nvEncMapInputResource:20=NV_ENC_ERR_OUT_OF_MEMORY", &[("nvenc", "nvenc", "picture-failed")]),
    ("nvEncRegisterResource:2=NV_ENC_ERR_RESOURCE_REGISTER_FAILED", &[("nvenc", "nvenc", "picture-failed")]),
    ("nvEncLockBitstream:40x3=NV_ENC_ERR_LOCK_BUSY", &[]),
    ("nvEncLockBitstream:60=NV_ENC_ERR_DEVICE_NOT_EXIST", &[("nvenc", "nvenc", "session-made-anew")]),
    // Before its first slice, or behind the last one.
    (
        "nvEncUnlockBitstream:40=NV_ENC_ERR_INVALID_PARAM",
        &[("nvenc", "nvenc", "picture-failed|picture-given-up")],
    ),
    ("cuStreamSynchronize:20=719", &[("nvenc", "openh264", "encoder-lost")]),
    ("cuStreamSynchronize:20x9999=700", &[("nvenc", "openh264", "encoder-lost")]),
    ("nvEncEncodePicture:20x9999=NV_ENC_ERR_DEVICE_NOT_EXIST", &[("nvenc", "openh264", "encoder-lost")]),
    // Three are opened to ask what the card can do.
    ("nvEncOpenEncodeSessionEx:4x99=NV_ENC_ERR_OUT_OF_MEMORY", &[("nvenc", "openh264", "not-opened")]),
    ("cuImportExternalMemory=2", &[("nvenc", "openh264", "not-opened")]),
];

/// Calls that are made where timelines are shared.
const SURVIVED_SHARING: &[(&str, &[Fallen])] = &[
    ("cuWaitExternalSemaphoresAsync:30=700", &[("nvenc", "openh264", "encoder-lost")]),
    ("cuSignalExternalSemaphoresAsync:30=719", &[("nvenc", "openh264", "encoder-lost")]),
    ("cuImportExternalSemaphore=2", &[("nvenc", "openh264", "not-opened")]),
];

/// From, to and reason, or one of these.
type Fallen = (&'static str, &'static str, &'static str);

/// Streams with a failure, and sees to it that nothing but what is expected took another's place, and that it went on.
fn survive(place: &Place, host: HostStart<'_>, failure: &str, expected: &[Fallen]) {
    let host = host.env("PUNKTFUNK_STANDIN_FAIL", failure).args(&["--once", "--encoder", "auto"]).ready();
    let port = host.port;
    let summary = stream(place, host, port, "320x192@30", 3);
    let falls = falls(&summary);
    for (from, to, reasons) in expected {
        let is_it = |fall: &&Fall| {
            (fall.from.as_str(), fall.to.as_str()) == (*from, *to)
                && reasons.split('|').any(|reason| fall.reason == reason)
        };
        assert!(falls.iter().any(|fall| is_it(&fall)), "{failure}: {falls:?}");
    }
    assert_eq!(falls.is_empty(), expected.is_empty(), "{failure}: {falls:?}");
    // It went on.
    assert!(count(&summary, "/card/newest") > 60, "{failure}: {summary:#}");
}

#[test]
fn what_fails_in_the_driver_is_survived_and_counted() {
    let _turn = session_turn();
    for (failure, expected) in SURVIVED {
        let place = Place::new();
        survive(&place, with_card(&place, "card"), failure, expected);
    }
}

#[test]
fn what_fails_of_shared_timelines_is_survived_and_counted() {
    let _turn = session_turn();
    for (failure, expected) in SURVIVED_SHARING {
        let place = Place::new();
        survive(&place, sharing_timelines(&place, with_card(&place, "card")), failure, expected);
    }
}

#[test]
fn a_rate_that_the_card_refuses_costs_no_encoder() {
    let _turn = session_turn();
    for (code, reason) in
        [("NV_ENC_ERR_INVALID_PARAM", "rate-refused"), ("NV_ENC_ERR_DEVICE_NOT_EXIST", "session-made-anew")]
    {
        let place = Place::new();
        let host = with_card(&place, "card")
            .env("PUNKTFUNK_STANDIN_FAIL", format!("nvEncReconfigureEncoder:1={code}"))
            .args(&["--once", "--encoder", "nvenc"])
            .ready();
        let summary = change(&place, &host, &["bitrate 30000"]);
        host.ends();
        let falls = falls(&summary);
        assert!(falls.iter().any(|fall| fall.reason == reason && fall.to == "nvenc"), "{code}: {falls:?}");
        assert!(falls.iter().all(|fall| fall.to == "nvenc"), "{code}: {falls:?}");
    }
}

#[test]
fn a_driver_that_is_of_no_use_is_named_and_openh264_takes_its_place() {
    let _turn = session_turn();
    for (variable, value, said) in [
        ("PUNKTFUNK_STANDIN_CUDA_VERSION", "11080", "11.8"),
        ("PUNKTFUNK_STANDIN_NVENC_VERSION", "11.1", "11.1"),
        ("PUNKTFUNK_STANDIN_FAIL", "cuInit=100", "100"),
        ("PUNKTFUNK_STANDIN_UUID", "00112233445566778899aabbccddeeff", "00112233"),
    ] {
        let place = Place::new();
        let host = with_card(&place, "card").env(variable, value).args(&["--once"]).ready();
        let port = host.port;
        let summary = stream(&place, host, port, "320x192@30", 2);
        let encoder = summary["encoder"].as_str().unwrap();
        assert!(encoder.starts_with("openh264") && encoder.contains(said), "{variable}: {encoder}");

        let place = Place::new();
        let ended = with_card(&place, "card").env(variable, value).args(&["--encoder", "nvenc"]).refused();
        ended.expect_code(8).expect_said(&["nvenc cannot be had", said]);
    }
}
