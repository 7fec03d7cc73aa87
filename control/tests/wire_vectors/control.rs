//! Control messages: their bytes and the same as JSON, a map's numbers as its keys; and bytes that are none.

use crate::bench::hex;
use minicbor::Decoder;
use minicbor::data::Type;
use punktfunk_control::limits::PROTOCOL;
use punktfunk_control::messages::*;
use punktfunk_seal::Cipher;
use serde_json::{Value, json};

const MODE: Mode = Mode { width: 1_920, height: 1_080, refresh_mhz: 59_940 };

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn known(message: &Message) -> Value {
    let bytes = encoded(message);
    let (length, body) = bytes.split_first_chunk().unwrap();
    assert_eq!(parse_length(*length).unwrap(), body.len());
    assert_eq!(Message::parse(body), Ok(Some(message.clone())));
    json!({
        "name": message.name(), "kind": message.kind(), "message": hex(&bytes),
        "cbor": read(body),
    })
}

fn hello() -> Hello {
    let mut hello = Hello::new("desk", MODE, 20_000);
    hello.codecs = vec![Codec::H264, Codec::Pattern];
    hello.redundancy_per_mille = Some(100);
    hello.compositor = Some("sway".into());
    hello
}

fn welcome() -> Welcome {
    let offer = |name: &str, version: Option<&str>, reason: &str| CompositorOffer {
        name: name.into(),
        version: version.map(str::to_owned),
        usable: reason.is_empty(),
        reason: reason.into(),
    };
    Welcome {
        protocol: PROTOCOL,
        host_name: "tower".into(),
        mode: MODE,
        codec: Codec::H264,
        cipher: Cipher::ChaCha20Poly1305,
        bitrate_kbps: 20_000,
        shard_bytes_max: 1_408,
        redundancy_per_mille: 100,
        au_bytes_max: 4 << 20,
        slices_max: 4,
        source: "test card".into(),
        encoder: "openh264, in software".into(),
        compositors: vec![offer("sway", Some("1.7"), ""), offer("kwin", None, "not installed")],
        depth: Depth::Eight,
        chroma: Chroma::Yuv420,
    }
}

fn stage() -> StageSummary {
    StageSummary {
        name: "encode".into(),
        count: 60,
        p50_us: 900,
        p99_us: 1_500,
        p999_us: 2_000,
        max_us: 2_100,
    }
}

fn host_stats() -> HostStats {
    HostStats {
        session_us: 1_000_000,
        aus_sent: 60,
        idrs_sent: 1,
        recovery_points: 2,
        stages: vec![stage()],
        rate_kbps: 18_250,
        rate_reason: "delay".into(),
        rate_delay: 1,
        falls: vec![FallCount {
            from: "pipewire".into(),
            to: "wayland".into(),
            reason: "ended".into(),
            count: 1,
        }],
        ..HostStats::default()
    }
}

fn client_stats() -> ClientStats {
    ClientStats {
        pictures_decoded: 59,
        pictures_lost: 1,
        datagrams: 1_200,
        cpu_us: 70_000,
        session_us: 1_000_000,
        stages: vec![stage()],
        ..ClientStats::default()
    }
}

fn speed_test_seen() -> SpeedTestSeen {
    SpeedTestSeen {
        test: 1,
        datagrams: 180_000,
        wire_bytes: 214_560_000,
        span_us: 1_995_000,
        by_position: (0..10).map(|part| 18_000 + part).collect(),
        delay_p50_us: 120,
        delay_p99_us: 900,
        client_drops: 3,
        epoch_opened: 0,
    }
}

fn speed_test_result() -> SpeedTestResult {
    SpeedTestResult {
        test: 1,
        target_kbps: 1_000_000,
        sent_kbps: 999_990,
        received_kbps: 858_240,
        goodput_kbps: 754_000,
        loss_ppm: 141_751,
        loss_by_position_ppm: (0..10).map(|part| 100_000 + part).collect(),
        delay_p50_us: 120,
        delay_p99_us: 900,
        recommended_kbps: 643_680,
        weakest: Weakest::Network,
        verdict: "the network is the weakest link".into(),
    }
}

fn all() -> Vec<Message> {
    vec![
        Message::Hello(hello()),
        Message::Hello(Hello { compositor: None, redundancy_per_mille: None, ..hello() }),
        Message::Hello(Hello { without_pictures: true, ..hello() }),
        Message::Hello(Hello { depth: Some(10), chroma: Some(444), ..hello() }),
        Message::Welcome(welcome()),
        Message::Welcome(Welcome {
            codec: Codec::Hevc,
            depth: Depth::Ten,
            chroma: Chroma::Yuv444,
            ..welcome()
        }),
        Message::Refusal(Refusal::new(RefusalCode::Busy, "another client is in session")),
        Message::Refusal(Refusal::new(RefusalCode::Other(999), "")),
        Message::Start(Start {}),
        Message::Reconfigure(Reconfigure { bitrate_kbps: Some(8_000), ..Reconfigure::default() }),
        Message::Reconfigure(Reconfigure { mode: Some(MODE), ..Reconfigure::default() }),
        Message::Reconfigure(Reconfigure { codec: Some(3), ..Reconfigure::default() }),
        Message::Reconfigured(Reconfigured {
            mode: MODE,
            bitrate_kbps: 8_000,
            from_au: 321,
            refused: String::new(),
        }),
        Message::RequestIdr(RequestIdr { after_au: 320, from_au: Some(317) }),
        Message::SkewPing(SkewPing { round: 0, t_client_us: 123_456_789_012 }),
        Message::SkewPong(SkewPong {
            round: 0,
            t_client_us: 123_456_789_012,
            t_received_us: 500,
            t_sent_us: 510,
        }),
        Message::PathPing(PathPing { nonce: 0x0123_4567_89ab_cdef }),
        Message::PathPong(PathPong { nonce: 0x0123_4567_89ab_cdef }),
        Message::SourceNews(SourceNews {
            source: "sway 1.7 without a screen".into(),
            why: "the compositor went away".into(),
            mode: Some(MODE),
            from_au: 512,
        }),
        Message::HostStats(host_stats()),
        Message::ClientStats(client_stats()),
        Message::Bye(Bye::new(ByeReason::Asked, "")),
        Message::PendingDevices(PendingDevices {
            devices: vec![PendingEntry {
                id: 7,
                name: "a tablet".into(),
                fingerprint: std::array::from_fn(|index| index as u8),
                left_s: 118,
            }],
        }),
        Message::DecidePending(DecidePending { id: 7, approve: true }),
        Message::StartSpeedTest(StartSpeedTest { target_kbps: 1_000_000, duration_ms: 2_000 }),
        Message::SpeedTestBegun(SpeedTestBegun { test: 1, target_kbps: 1_000_000, duration_ms: 2_000 }),
        Message::SpeedTestSent(SpeedTestSent { test: 1 }),
        Message::SpeedTestSeen(speed_test_seen()),
        Message::SpeedTestResult(speed_test_result()),
        Message::SpeedTestFailed(SpeedTestFailed { why: "another speed test runs".into() }),
    ]
}

/// CBOR as JSON.
pub(crate) fn read(body: &[u8]) -> Value {
    value(&mut Decoder::new(body))
}

fn value(d: &mut Decoder<'_>) -> Value {
    match d.datatype().unwrap() {
        Type::Bool => d.bool().unwrap().into(),
        Type::Bytes => json!({ "bytes": hex(d.bytes().unwrap()) }),
        Type::String => d.str().unwrap().into(),
        Type::Null => d.null().map(|()| Value::Null).unwrap(),
        Type::Array => {
            let entries = d.array().unwrap().unwrap();
            (0..entries).map(|_| value(d)).collect()
        }
        Type::ArrayIndef => {
            d.array().unwrap();
            let mut entries = Vec::new();
            while d.datatype().unwrap() != Type::Break {
                entries.push(value(d));
            }
            d.skip().unwrap();
            entries.into()
        }
        Type::Map => {
            let fields = d.map().unwrap().unwrap();
            let fields = (0..fields).map(|_| (d.u32().unwrap().to_string(), value(d)));
            Value::Object(fields.collect())
        }
        _ => d.u64().unwrap().into(),
    }
}

/// A body that is read though a part of it is not known, and what is read.
fn tolerated(name: &str, body: &[u8]) -> Value {
    let reads_as = match Message::parse(body).unwrap() {
        Some(message) => read(&encoded(&message)[LENGTH_BYTES..]),
        None => Value::Null,
    };
    json!({ "name": name, "body": hex(body), "cbor": read(body), "reads_as": reads_as })
}

fn refused(name: &str, body: &[u8]) -> Value {
    let _ = Message::parse(body).unwrap_err();
    json!({ "name": name, "body": hex(body) })
}

/// A Bye with a text of so many bytes.
fn bye_of(text_bytes: u16) -> Vec<u8> {
    let mut body = vec![0x82, 0x0c, 0xa2, 0x00, 0x01, 0x01, 0x79];
    body.extend(text_bytes.to_be_bytes());
    body.resize(body.len() + usize::from(text_bytes), b'x');
    body
}

/// Each first and last of those that are shown as a question mark, and what stands beside them and stays.
const BECOMES_A_MARK: &str = "\u{0}\u{1f} ~\u{7f}\u{9f}\u{a0}\u{61b}\u{61c}\u{61d}\u{200d}\u{200e}\u{200f}\u{2010}\
    \u{2027}\u{2028}\u{202e}\u{202f}\u{2065}\u{2066}\u{2069}\u{206a}";

/// A Bye with a text of less than 256 bytes.
fn bye_saying(text: &str) -> Vec<u8> {
    let mut body = vec![0x82, 0x0c, 0xa2, 0x00, 0x01, 0x01, 0x78, u8::try_from(text.len()).unwrap()];
    body.extend(text.as_bytes());
    body
}

/// The usual Hello with other bytes for its list of codecs (field 3).
fn hello_with_codecs(codecs: &[u8]) -> Vec<u8> {
    let body = encoded(&Message::Hello(hello()))[LENGTH_BYTES..].to_vec();
    let old = [0x03, 0x82, 0x01, 0x18, 0x64];
    let at = body.windows(old.len()).position(|window| window == old).unwrap();
    [&body[..=at], codecs, &body[at + old.len()..]].concat()
}

pub(crate) fn vectors() -> Value {
    let messages: Vec<Value> = all().iter().map(known).collect();
    let list_of_33: Vec<u8> = [&[0x98, 33][..], &[1; 33]].concat();
    let list_of_32: Vec<u8> = [&[0x98, 32][..], &[1; 32]].concat();
    for length in [0_u32, 32_769, u32::MAX] {
        assert!(parse_length(length.to_le_bytes()).is_err());
    }
    json!({
        "about": "Messages of the control stream: message is the length and the body, body the body alone, in hexadecimal; \
                  cbor is the body as JSON, a map's numbers as its keys. A tolerated body is read, as reads_as says; null: the message is \
                  skipped. Bytes are an object of their hexadecimal. A refused one ends the session, as do the refused lengths. See docs/wire.md, Control messages.",
        "protocol": PROTOCOL,
        "messages": messages,
        "tolerated": [
            tolerated("a kind that is not known is skipped", &[0x82, 0x18, 0xc8, 0xa1, 0x00, 0x01]),
            tolerated("a field that is not known is skipped", &[0x82, 0x04, 0xa1, 0x18, 0x63, 0x82, 0x01, 0x61, 0x61]),
            tolerated("a list's unknown numbers are left out", &hello_with_codecs(&[0x83, 0x19, 0x03, 0xe7, 0x18, 0x64, 0x01])),
            tolerated("a list of 32", &hello_with_codecs(&list_of_32)),
            tolerated("a list of no length said before", &hello_with_codecs(&[0x9f, 0x01, 0xff])),
            tolerated("fields in another order", &[0x82, 0x0c, 0xa2, 0x01, 0x61, 0x61, 0x00, 0x01]),
            tolerated("an absent optional field is null", &[0x82, 0x05, 0xa0]),
            tolerated("a text of 512 bytes", &bye_of(512)),
            tolerated("what a terminal would act on becomes ?", &[0x82, 0x0c, 0xa2, 0x00, 0x01, 0x01, 0x64, 0x1b, 0x5b, 0x6d, 0x0a]),
            tolerated("what turns the reading direction, or begins a line, becomes ?", &bye_saying(BECOMES_A_MARK)),
            tolerated("what joins, hides or breaks letters stays", &bye_saying("a\u{200d}b\u{ad}c\u{feff}d\u{a0}e\u{2060}f\u{e0001}")),
            tolerated("of a field that is there twice the last holds", &[0x82, 0x0c, 0xa3, 0x00, 0x02, 0x01, 0x61, 0x61, 0x00, 0x01]),
            tolerated("of an optional one too", &[0x82, 0x05, 0xa2, 0x01, 0x18, 0x2a, 0x01, 0xf6]),
            tolerated("counters that are absent are 0, lists empty", &[0x82, 0x0b, 0xa0]),
            tolerated("a reason without a word of its own", &[0x82, 0x0c, 0xa2, 0x00, 0x19, 0x03, 0xe7, 0x01, 0x60]),
        ],
        "refused_lengths": [0, 32_769, 4_294_967_295_u32],
        "refused": [
            refused("no array", &[0xa0]),
            refused("an array of one", &[0x81, 0x04]),
            refused("an array of no length said before", &[0x9f, 0x04, 0xa0, 0xff]),
            refused("a kind above 65,535", &[0x82, 0x1a, 0x00, 0x01, 0x00, 0x00, 0xa0]),
            refused("a body that is no map", &[0x82, 0x04, 0x01]),
            refused("cut short", &[0x82, 0x07, 0xa1, 0x00]),
            refused("a byte behind it", &[0x82, 0x04, 0xa0, 0x00]),
            refused("a required field is absent", &[0x82, 0x07, 0xa0]),
            refused("a field of another type", &[0x82, 0x07, 0xa1, 0x00, 0x61, 0x61]),
            refused("a number that does not fit its field", &[0x82, 0x07, 0xa1, 0x00, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0]),
            refused("a text of 513 bytes", &bye_of(513)),
            refused("a text that is not UTF-8", &[0x82, 0x0c, 0xa2, 0x00, 0x01, 0x01, 0x61, 0xff]),
            refused("a list of 33", &hello_with_codecs(&list_of_33)),
        ],
    })
}
