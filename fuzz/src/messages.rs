//! Control messages: greeting, course, skew, statistics.

use punktfunk_control::messages::{
    DecidePending, LENGTH_BYTES, Message, PathPing, PathPong, RequestIdr, SkewPing, SkewPong, SpeedTestBegun,
    SpeedTestFailed, SpeedTestResult, SpeedTestSeen, SpeedTestSent, Start, StartSpeedTest, Weakest,
    parse_length,
};
use punktfunk_control::pairing::{Answer, Ask, Confirm, Held, PairMessage, TurnedAway, TurnedAwayReason};
use punktfunk_control::{
    Bye, ByeReason, Chroma, ClientStats, Codec, CompositorOffer, Depth, FallCount, Hello, HostStats, Mode,
    PROTOCOL, PendingDevices, PendingEntry, Reconfigure, Reconfigured, Refusal, RefusalCode, SourceNews,
    StageSummary, Welcome,
};
use punktfunk_seal::Cipher;

/// A body that parses is written with its length and read back as itself, on the session's protocol and on pairing's.
pub(crate) fn parse(input: &[u8]) {
    parse_pairing(input);
    if let Some(length) = input.first_chunk() {
        let _ = parse_length(*length);
    }
    let Ok(Some(message)) = Message::parse(input) else { return };
    let mut written = Vec::new();
    message.encode(&mut written);
    let (length, body) = written.split_first_chunk().expect("a message begins with its length");
    assert_eq!(parse_length(*length), Ok(body.len()), "{}", message.name());
    assert_eq!(Message::parse(body), Ok(Some(message)));
}

fn parse_pairing(input: &[u8]) {
    let Ok(Some(message)) = PairMessage::parse(input) else { return };
    let mut written = Vec::new();
    message.encode(&mut written);
    let (length, body) = written.split_first_chunk().expect("a message begins with its length");
    assert_eq!(parse_length(*length), Ok(body.len()), "{}", message.name());
    assert_eq!(PairMessage::parse(body), Ok(Some(message)));
}

fn welcome(mode: Mode) -> Welcome {
    let reason = "its version is too old".to_owned();
    let offer = CompositorOffer { name: "sway".into(), version: Some("1.7".into()), usable: false, reason };
    Welcome {
        protocol: PROTOCOL,
        host_name: "a host".into(),
        mode,
        codec: Codec::H264,
        cipher: Cipher::Aes128Gcm,
        bitrate_kbps: 20_000,
        shard_bytes_max: 1408,
        redundancy_per_mille: 100,
        au_bytes_max: 1 << 20,
        slices_max: 4,
        source: "test card".into(),
        encoder: "openh264".into(),
        compositors: vec![offer],
        depth: Depth::Eight,
        chroma: Chroma::Yuv420,
    }
}

fn stage(name: &str) -> StageSummary {
    StageSummary { name: name.into(), count: 9, p50_us: 1, p99_us: 2, p999_us: 3, max_us: 1 << 40 }
}

fn host_stats() -> HostStats {
    let fall = FallCount { from: "pipewire".into(), to: "wayland".into(), reason: "ended".into(), count: 2 };
    let stages = vec![stage("encode")];
    HostStats { last: true, aus_sent: 77, falls: vec![fall], stages, ..HostStats::default() }
}

fn client_stats() -> ClientStats {
    ClientStats { pictures_decoded: 77, stages: vec![stage("decode")], ..ClientStats::default() }
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

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mode = Mode { width: 1920, height: 1080, refresh_mhz: 60_000 };
    let mut hello = Hello::new("a client", mode, 20_000);
    hello.codecs = vec![Codec::H264, Codec::Pattern];
    let refused = "the encoder has one size".to_owned();
    let messages = [
        Message::Hello(hello),
        Message::Welcome(welcome(mode)),
        Message::Refusal(Refusal::new(RefusalCode::Busy, "another client is here")),
        Message::Start(Start {}),
        Message::Reconfigure(Reconfigure { mode: Some(mode), bitrate_kbps: None, codec: Some(2) }),
        Message::Reconfigured(Reconfigured { mode, bitrate_kbps: 9, from_au: 3, refused }),
        Message::RequestIdr(RequestIdr { after_au: 7, from_au: Some(5) }),
        Message::SkewPing(SkewPing { round: 1, t_client_us: 5 }),
        Message::SkewPong(SkewPong { round: 1, t_client_us: 5, t_received_us: 6, t_sent_us: 7 }),
        Message::PathPing(PathPing { nonce: u64::MAX }),
        Message::PathPong(PathPong { nonce: 3 }),
        Message::SourceNews(SourceNews {
            source: "sway 1.7".into(),
            why: "the compositor went away".into(),
            mode: Some(mode),
            from_au: 512,
        }),
        Message::SourceNews(SourceNews {
            source: String::new(),
            why: "it ended".into(),
            mode: None,
            from_au: 0,
        }),
        Message::HostStats(host_stats()),
        Message::ClientStats(client_stats()),
        Message::Bye(Bye::new(ByeReason::Asked, "that was all")),
        Message::PendingDevices(PendingDevices {
            devices: vec![PendingEntry { id: 7, name: "a tablet".into(), fingerprint: [9; 32], left_s: 100 }],
        }),
        Message::DecidePending(DecidePending { id: 7, approve: true }),
        Message::StartSpeedTest(StartSpeedTest { target_kbps: 1_000_000, duration_ms: 2_000 }),
        Message::SpeedTestBegun(SpeedTestBegun { test: 1, target_kbps: 1_000_000, duration_ms: 2_000 }),
        Message::SpeedTestSent(SpeedTestSent { test: 1 }),
        Message::SpeedTestSeen(speed_test_seen()),
        Message::SpeedTestResult(speed_test_result()),
        Message::SpeedTestFailed(SpeedTestFailed { why: "another speed test runs".into() }),
    ];
    let body = |message: Message| {
        let mut written = Vec::new();
        message.encode(&mut written);
        written.split_off(LENGTH_BYTES)
    };
    let of_pairing = |message: PairMessage| {
        let mut written = Vec::new();
        message.encode(&mut written);
        written.split_off(LENGTH_BYTES)
    };
    let pairing = [
        PairMessage::Ask(Ask { name: "a client".into(), share: [4; 65] }),
        PairMessage::Answer(Answer { share: [4; 65], confirmation: [5; 32] }),
        PairMessage::Confirm(Confirm { confirmation: [6; 32] }),
        PairMessage::Held(Held { wait_s: 120 }),
        PairMessage::TurnedAway(TurnedAway { reason: TurnedAwayReason::Denied }),
    ];
    messages.into_iter().map(body).chain(pairing.into_iter().map(of_pairing)).collect()
}
