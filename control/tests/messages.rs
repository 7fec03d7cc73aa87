//! The messages' wire form: round trips, limits, hostile bytes. Failures print proptest's seed.

use proptest::prelude::*;
use punktfunk_control::limits::{LIST_LENGTH_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use punktfunk_control::messages::*;
use punktfunk_seal::Cipher;

fn encode(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Option<Message>, MessageError> {
    let (length, body) = bytes.split_first_chunk().expect("a message has a length");
    assert_eq!(parse_length(*length)?, body.len());
    Message::parse(body)
}

fn mode() -> impl Strategy<Value = Mode> {
    (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(width, height, refresh_mhz)| Mode {
        width,
        height,
        refresh_mhz,
    })
}

fn name() -> impl Strategy<Value = String> {
    // What a terminal acts on does not come back.
    r"[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{0,16}".prop_map(|name: String| name)
}

prop_compose! {
    fn hello()(
        client_name in name(), mode in mode(), bitrate_kbps: u32, compositor in prop::option::of(name()),
        slices_max: u16, au_bytes_max: u32, shard_bytes_max: u16, redundancy_per_mille: Option<u16>,
        protocol: u32, without_pictures: bool, depth: Option<u16>, chroma: Option<u16>,
    ) -> Hello {
        Hello {
            protocol, client_name, mode, bitrate_kbps, compositor, slices_max, au_bytes_max, shard_bytes_max,
            redundancy_per_mille, without_pictures, depth, chroma,
            codecs: vec![Codec::Av1, Codec::Hevc, Codec::H264, Codec::Pattern],
            ciphers: vec![Cipher::ChaCha20Poly1305, Cipher::Aes128Gcm],
        }
    }
}

prop_compose! {
    fn welcome()(
        host_name in name(), mode in mode(), bitrate_kbps: u32, source in name(), encoder in name(),
        offers in prop::collection::vec((name(), prop::option::of(name()), any::<bool>(), name()), 0..5),
        redundancy_per_mille: u16, is_ten_bits: bool, is_full_chroma: bool,
    ) -> Welcome {
        Welcome {
            protocol: 1, host_name, mode, codec: Codec::H264, cipher: Cipher::Aes128Gcm, bitrate_kbps,
            shard_bytes_max: 1408, redundancy_per_mille, au_bytes_max: 1, slices_max: 2, source, encoder,
            compositors: offers
                .into_iter()
                .map(|(name, version, usable, reason)| CompositorOffer { name, version, usable, reason })
                .collect(),
            depth: if is_ten_bits { Depth::Ten } else { Depth::Eight },
            chroma: if is_full_chroma { Chroma::Yuv444 } else { Chroma::Yuv420 },
        }
    }
}

fn client_stats() -> impl Strategy<Value = Message> {
    (any::<[u64; 4]>(), name()).prop_map(|([a, b, c, d], name)| {
        let stage = StageSummary { name, count: a, p50_us: b, p99_us: c, p999_us: d, max_us: d };
        Message::ClientStats(ClientStats {
            pictures_decoded: a,
            pictures_late: b,
            kernel_drops: c,
            cpu_us: d,
            session_us: a,
            stages: vec![stage; 2],
            ..ClientStats::default()
        })
    })
}

fn speed_test() -> impl Strategy<Value = Message> {
    let numbers = (any::<u16>(), any::<[u32; 5]>(), any::<[u64; 4]>());
    let parts = prop::collection::vec(any::<u32>(), 0..=LIST_LENGTH_MAX);
    (0..6, numbers, parts, any::<u16>(), name()).prop_map(|(kind, numbers, parts, weakest, text)| {
        let (test, [target_kbps, duration_ms, delay_p50_us, delay_p99_us, rest], [a, b, c, d]) = numbers;
        match kind {
            0 => Message::StartSpeedTest(StartSpeedTest { target_kbps, duration_ms }),
            1 => Message::SpeedTestBegun(SpeedTestBegun { test, target_kbps, duration_ms }),
            2 => Message::SpeedTestSent(SpeedTestSent { test }),
            3 => Message::SpeedTestSeen(SpeedTestSeen {
                test,
                datagrams: a,
                wire_bytes: b,
                span_us: c,
                by_position: parts.into_iter().map(u64::from).collect(),
                delay_p50_us,
                delay_p99_us,
                client_drops: d,
                epoch_opened: rest,
            }),
            4 => Message::SpeedTestResult(SpeedTestResult {
                test,
                target_kbps,
                sent_kbps: a,
                received_kbps: b,
                goodput_kbps: c,
                loss_ppm: duration_ms,
                loss_by_position_ppm: parts,
                delay_p50_us,
                delay_p99_us,
                recommended_kbps: rest,
                // Numbers that have words come back as those words.
                weakest: if weakest < 4 { Weakest::Network } else { Weakest::Other(weakest) },
                verdict: text,
            }),
            _ => Message::SpeedTestFailed(SpeedTestFailed { why: text }),
        }
    })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        hello().prop_map(Message::Hello),
        welcome().prop_map(Message::Welcome),
        (any::<u16>(), name(), any::<u32>()).prop_map(|(number, text, protocol)| {
            // Numbers that have words come back as those words.
            let code = if number < 10 { RefusalCode::Busy } else { RefusalCode::Other(number) };
            Message::Refusal(Refusal { protocol, code, text })
        }),
        Just(Message::Start(Start {})),
        (prop::option::of(mode()), any::<Option<u32>>(), any::<Option<u16>>()).prop_map(
            |(mode, bitrate_kbps, codec)| Message::Reconfigure(Reconfigure { mode, bitrate_kbps, codec })
        ),
        (mode(), any::<u32>(), any::<u32>(), name()).prop_map(|(mode, bitrate_kbps, from_au, refused)| {
            Message::Reconfigured(Reconfigured { mode, bitrate_kbps, from_au, refused })
        }),
        (any::<u32>(), any::<Option<u32>>())
            .prop_map(|(after_au, from_au)| Message::RequestIdr(RequestIdr { after_au, from_au })),
        (any::<u32>(), any::<u64>())
            .prop_map(|(round, t_client_us)| Message::SkewPing(SkewPing { round, t_client_us })),
        (any::<u32>(), any::<[u64; 3]>()).prop_map(|(round, [t_client_us, t_received_us, t_sent_us])| {
            Message::SkewPong(SkewPong { round, t_client_us, t_received_us, t_sent_us })
        }),
        any::<u64>().prop_map(|nonce| Message::PathPing(PathPing { nonce })),
        any::<u64>().prop_map(|nonce| Message::PathPong(PathPong { nonce })),
        (any::<[u64; 4]>(), any::<bool>(), name()).prop_map(|([a, b, c, d], last, name)| {
            let stage = StageSummary { name, count: a, p50_us: b, p99_us: c, p999_us: d, max_us: d };
            Message::HostStats(HostStats {
                session_us: a,
                last,
                wire_bytes: b,
                cpu_us: c,
                system_calls: d,
                falls: vec![
                    FallCount {
                        from: stage.name.clone(),
                        to: "x".into(),
                        reason: "y".into(),
                        count: a
                    };
                    2
                ],
                stages: vec![stage; 3],
                ..HostStats::default()
            })
        }),
        client_stats(),
        (name(), name(), prop::option::of(mode()), any::<u32>()).prop_map(|(source, why, mode, from_au)| {
            Message::SourceNews(SourceNews { source, why, mode, from_au })
        }),
        prop::collection::vec((any::<u64>(), name(), any::<[u8; 32]>(), any::<u32>()), 0..9).prop_map(
            |all| {
                let devices = all
                    .into_iter()
                    .map(|(id, name, fingerprint, left_s)| PendingEntry { id, name, fingerprint, left_s })
                    .collect();
                Message::PendingDevices(PendingDevices { devices })
            }
        ),
        (any::<u64>(), any::<bool>())
            .prop_map(|(id, approve)| Message::DecidePending(DecidePending { id, approve })),
        speed_test(),
        name().prop_map(|text| Message::Bye(Bye { reason: ByeReason::Fault, text })),
    ]
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        prop_assert_eq!(decode(&encode(&message)), Ok(Some(message)));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Message::parse(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_right_start_never_panic(
        kind in 0u8..40, bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        // In two bytes, as all kinds may be written.
        let _ = Message::parse(&[&[0x82, 0x18, kind][..], &bytes].concat());
    }

    #[test]
    fn mutated_messages_never_panic_and_stay_in_bounds(
        message in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&message)[LENGTH_BYTES..].to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Message::parse(&bytes[..cut.index(bytes.len())]);
        if let Ok(Some(Message::Welcome(welcome))) = Message::parse(&bytes) {
            prop_assert!(welcome.compositors.len() <= LIST_LENGTH_MAX);
            prop_assert!(welcome.source.len() <= TEXT_BYTES_MAX && welcome.host_name.len() <= NAME_BYTES_MAX);
        }
    }
}

#[test]
fn the_largest_messages_fit() {
    let long = "ä".repeat(10_000);
    let offer = CompositorOffer {
        name: long.clone(),
        version: Some(long.clone()),
        usable: false,
        reason: long.clone(),
    };
    let mode = Mode { width: u32::MAX, height: u32::MAX, refresh_mhz: u32::MAX };
    let welcome = Welcome {
        protocol: u32::MAX,
        host_name: long.clone(),
        mode,
        codec: Codec::Pattern,
        cipher: Cipher::Aes128Gcm,
        bitrate_kbps: u32::MAX,
        shard_bytes_max: u16::MAX,
        redundancy_per_mille: u16::MAX,
        au_bytes_max: u32::MAX,
        slices_max: u16::MAX,
        source: long.clone(),
        encoder: long.clone(),
        compositors: vec![offer; 1000],
        depth: Depth::Eight,
        chroma: Chroma::Yuv420,
    };
    let most = u64::MAX;
    let stage =
        StageSummary { name: long, count: most, p50_us: most, p99_us: most, p999_us: most, max_us: most };
    let stats = HostStats { stages: vec![stage; 1000], session_us: most, ..HostStats::default() };
    for message in [Message::Welcome(welcome), Message::HostStats(stats)] {
        let bytes = encode(&message);
        eprintln!("the largest {} has {} bytes", message.name(), bytes.len());
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        // What was cut to the limits is within them: the peer takes it.
        assert!(matches!(decode(&bytes), Ok(Some(_))));
    }
}

/// What a terminal, a log or a reader would be misled by.
const MISLEADING: [char; 14] = [
    '\x1b', '\r', '\n', '\0', '\x7f', '\u{9b}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2069}',
];

#[test]
fn no_text_of_a_peer_moves_a_cursor() {
    let bad = format!("<{}>", MISLEADING.iter().collect::<String>());
    let (clean, bad_name) = (format!("<{}>", "?".repeat(MISLEADING.len())), Some(bad.clone()));
    let mode = Mode { width: 1, height: 1, refresh_mhz: 1 };
    let hello = Hello { compositor: bad_name.clone(), ..Hello::new(bad.clone(), mode, 1) };
    let offer = CompositorOffer { name: bad.clone(), version: bad_name, usable: false, reason: bad.clone() };
    let welcome = Welcome {
        protocol: 1,
        host_name: bad.clone(),
        mode,
        codec: Codec::Pattern,
        cipher: Cipher::Aes128Gcm,
        bitrate_kbps: 1,
        shard_bytes_max: 1,
        redundancy_per_mille: 1,
        au_bytes_max: 1,
        slices_max: 1,
        source: bad.clone(),
        encoder: bad.clone(),
        compositors: vec![offer],
        depth: Depth::Eight,
        chroma: Chroma::Yuv420,
    };
    let stage = StageSummary { name: bad.clone(), count: 1, p50_us: 1, p99_us: 1, p999_us: 1, max_us: 1 };
    for (message, texts) in [
        (Message::Hello(hello), 2),
        (Message::Welcome(welcome), 6),
        (Message::Refusal(Refusal { protocol: 1, code: RefusalCode::Busy, text: bad.clone() }), 1),
        (Message::Reconfigured(Reconfigured { mode, bitrate_kbps: 1, from_au: 1, refused: bad.clone() }), 1),
        (Message::HostStats(HostStats { stages: vec![stage], ..HostStats::default() }), 1),
        (Message::Bye(Bye { reason: ByeReason::Fault, text: bad.clone() }), 1),
    ] {
        let came = decode(&encode(&message)).unwrap().unwrap();
        // Debug would escape what is left; the clean texts are counted in it.
        let shown = format!("{came:?}");
        assert_eq!(shown.matches(&clean).count(), texts, "{shown}");
        assert!(!shown.contains("\\u{") && !shown.contains("\\n"), "{shown}");
    }
    // A text at its limit does not grow.
    let full = Message::Bye(Bye { reason: ByeReason::Fault, text: "\x1b".repeat(TEXT_BYTES_MAX) });
    assert_eq!(
        decode(&encode(&full)),
        Ok(Some(Message::Bye(Bye { reason: ByeReason::Fault, text: "?".repeat(TEXT_BYTES_MAX) })))
    );
}

#[test]
fn limits_are_enforced_on_what_comes() {
    // Bye{1, text of 513}: 82 0c a2 00 01 01 79 0201 ...
    let mut bytes = vec![0x82, 0x0c, 0xa2, 0x00, 0x01, 0x01, 0x79, 0x02, 0x01];
    bytes.resize(bytes.len() + 513, b'x');
    assert!(matches!(Message::parse(&bytes), Err(MessageError::Malformed { kind: 12, .. })));
    // The same with 512 is fine.
    bytes[8] = 0x00;
    bytes.pop();
    assert!(matches!(Message::parse(&bytes), Ok(Some(Message::Bye(_)))));
    bytes.push(0);
    assert_eq!(Message::parse(&bytes), Err(MessageError::Surplus { kind: 12, surplus: 1 }));
    assert!(parse_length([0; 4]).is_err());
    assert!(parse_length((MESSAGE_BYTES_MAX as u32).to_le_bytes()).is_ok());
    assert!(parse_length(u32::MAX.to_le_bytes()).is_err());
}

#[test]
fn lists_that_claim_to_be_endless_are_refused_quickly() {
    // HostStats{16: array of 2^40 stages}.
    let mut bytes = vec![0x82, 0x0b, 0xa1, 0x10, 0x9b, 0, 0, 1, 0, 0, 0, 0, 0];
    bytes.resize(MESSAGE_BYTES_MAX, 0xa0);
    assert!(Message::parse(&bytes).is_err());
    // Nested arrays, as deep as a message can be, in a field that nobody knows.
    let mut bytes = vec![0x82, 0x07, 0xa2, 0x00, 0x06, 0x18, 0x4d];
    bytes.resize(MESSAGE_BYTES_MAX - 1, 0x81);
    bytes.push(0x00);
    assert!(matches!(
        Message::parse(&bytes),
        Ok(Some(Message::RequestIdr(RequestIdr { after_au: 6, from_au: None })))
    ));
    let last = bytes.len() - 1;
    bytes[7..last].fill(0x9f);
    assert!(Message::parse(&bytes).is_err());
}

#[test]
fn a_newer_client_meets_an_older_host() {
    // Hello with codecs [1, 77, 3] and an unknown cipher 9 among the known.
    let hello = Hello::new("new", Mode { width: 1, height: 1, refresh_mhz: 1 }, 1);
    let bytes = encode(&Message::Hello(hello));
    let body = &bytes[LENGTH_BYTES..];
    let known = [0x03, 0x81, 0x01, 0x04, 0x82, 0x01, 0x02];
    let at = body.windows(known.len()).position(|w| w == known).expect("fields 3 and 4");
    let newer = [0x03, 0x83, 0x01, 0x18, 0x4d, 0x03, 0x04, 0x83, 0x01, 0x09, 0x02];
    let bytes = [&body[..at], &newer, &body[at + known.len()..]].concat();
    match Message::parse(&bytes) {
        Ok(Some(Message::Hello(hello))) => {
            assert_eq!(hello.codecs, [Codec::H264, Codec::Av1]);
            assert_eq!(hello.ciphers, [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305]);
        }
        other => panic!("{other:?}"),
    }
}

/// A Welcome to HEVC of ten bits in 4:4:4, without its last field: `0x0e`, and a u16.
fn welcome_without_chroma() -> Vec<u8> {
    let welcome = Welcome {
        protocol: 2,
        host_name: "a host".into(),
        mode: Mode { width: 1, height: 1, refresh_mhz: 1 },
        codec: Codec::Hevc,
        cipher: Cipher::Aes128Gcm,
        bitrate_kbps: 1,
        shard_bytes_max: 1408,
        redundancy_per_mille: 0,
        au_bytes_max: 1,
        slices_max: 1,
        source: String::new(),
        encoder: String::new(),
        compositors: Vec::new(),
        depth: Depth::Ten,
        chroma: Chroma::Yuv444,
    };
    let bytes = encode(&Message::Welcome(welcome));
    let (body, chroma) = bytes[LENGTH_BYTES..].split_at(bytes.len() - LENGTH_BYTES - 4);
    assert_eq!(chroma, [0x0e, 0x19, 0x01, 0xbc], "444");
    body.to_vec()
}

#[test]
fn what_a_peer_does_not_say_of_depth_and_chroma_is_the_usual() {
    let read = |bytes: &[u8]| match Message::parse(bytes) {
        Ok(Some(Message::Welcome(welcome))) => Some((welcome.depth, welcome.chroma)),
        _ => None,
    };
    let without = welcome_without_chroma();
    let full = [&without[..], &[0x0e, 0x19, 0x01, 0xbc]].concat();
    assert_eq!(read(&full), Some((Depth::Ten, Chroma::Yuv444)));
    // The map says how many fields it has: one less.
    let count = without.iter().position(|byte| *byte == 0xaf).expect("a map of fifteen");
    let mut fewer = without.clone();
    fewer[count] = 0xae;
    assert_eq!(read(&fewer), Some((Depth::Ten, Chroma::Yuv420)));
    assert_eq!(read(&[&without[..], &[0x0e, 0xf6]].concat()), Some((Depth::Ten, Chroma::Yuv420)));
    // What this end does not know, does not fit, or is no number.
    for hostile in [&[0x19, 0x01, 0xa6][..], &[0x00], &[0x1a, 0, 1, 0, 0], &[0x61, 0x61], &[0x80], &[]] {
        assert_eq!(read(&[&without[..], &[0x0e], hostile].concat()), None, "{hostile:?}");
    }
    // A Welcome to what is usual has the bytes that it had before there was another.
    let usual = Welcome { depth: Depth::Eight, chroma: Chroma::Yuv420, ..welcome_of(&full) };
    let bytes = encode(&Message::Welcome(usual));
    assert!(bytes.contains(&0xad) && !bytes.contains(&0xaf), "thirteen fields: {bytes:02x?}");
}

fn welcome_of(body: &[u8]) -> Welcome {
    match Message::parse(body) {
        Ok(Some(Message::Welcome(welcome))) => welcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hello_may_ask_for_what_this_end_does_not_know() {
    let mode = Mode { width: 1, height: 1, refresh_mhz: 1 };
    let usual = Hello::new("old", mode, 1);
    assert_eq!((usual.depth, usual.chroma), (None, None));
    let newer = Hello { depth: Some(12), chroma: Some(422), ..usual };
    assert_eq!(decode(&encode(&Message::Hello(newer.clone()))), Ok(Some(Message::Hello(newer))));
    assert_eq!((Depth::of_number(12), Chroma::of_number(422)), (None, None));
    for (depth, chroma) in [(Depth::Eight, Chroma::Yuv420), (Depth::Ten, Chroma::Yuv444)] {
        assert_eq!(Depth::of_number(depth.to_number()), Some(depth));
        assert_eq!(Chroma::of_number(chroma.to_number()), Some(chroma));
    }
}

#[test]
fn modes_read_as_people_write_them() {
    let mode = |refresh_mhz| Mode { width: 5120, height: 2880, refresh_mhz }.to_string();
    assert_eq!(mode(120_000), "5120x2880@120");
    assert_eq!(mode(59_940), "5120x2880@59.940");
}
