//! What a client asks its pictures to be coded as, and what the card's stand-in is asked for because of it.
//!
//! The stand-in makes HEVC and AV1 that nothing decodes, so clients of these tests take what comes and look at none of it; the
//! stand-in ends the host at the first breach of the SDK's contract: a session, a profile or an input that do not fit each
//! other.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use punktfunk_control::{
    Bye, ByeReason, Chroma, ClientControl, ClientEvent, Codec, ConnectError, Depth, Hello, Identity, Mode,
    Trust, Welcome,
};
use punktfunk_proto::is_media;

use crate::gpu::with_card;
use crate::support::{ClientStart, HostStart, PATIENCE, Place, count, session_turn};

/// Long enough for some pictures, and too short for the host to miss a client's reports.
const A_WHILE: Duration = Duration::from_millis(2_500);
/// How long the rest of a picture may take.
const REST: Duration = Duration::from_secs(1);

/// What has become of a client that looks at nothing.
struct Seen {
    welcome: Option<Welcome>,
    ended: ConnectError,
    /// Media datagrams that came.
    datagrams: u64,
}

impl Seen {
    /// What it was welcomed to.
    fn welcome(&self) -> &Welcome {
        self.welcome.as_ref().unwrap_or_else(|| panic!("no Welcome: {}", self.ended))
    }

    /// Why it was turned away, or lost its session.
    fn why(&self) -> String {
        self.ended.to_string()
    }
}

fn hello(codecs: &[Codec], (width, height): (u32, u32)) -> Hello {
    let mode = Mode { width, height, refresh_mhz: 30_000 };
    Hello { codecs: codecs.to_vec(), ..Hello::new("looks at nothing", mode, 20_000) }
}

/// Says this Hello, takes what comes for `streaming`, and for longer where nothing of a picture has come, and leaves.
fn visit(port: u16, hello: Hello, streaming: Duration) -> Seen {
    let began = Instant::now();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (host, local) = (SocketAddr::from(([127, 0, 0, 1], port)), socket.local_addr().unwrap().ip());
    let identity = Identity::generate().unwrap();
    let mut control =
        ClientControl::connect(identity, Trust::Open, host, hello, began + PATIENCE, began).unwrap();
    let (mut buffer, mut outgoing) = (vec![0; 65_536], Vec::new());
    let (mut welcomed, mut leaves_at, mut datagrams, mut first_at) = (None, None, 0, None);
    while began.elapsed() < 2 * PATIENCE {
        let now = Instant::now();
        // A picture that has begun to come is let come whole.
        let has_seen = |at: Instant| first_at.map_or(at + PATIENCE, |first| first + REST) <= now;
        if leaves_at.is_some_and(|at| at <= now && has_seen(at)) {
            leaves_at = None;
            control.bye(&Bye::new(ByeReason::Asked, ""), now);
        }
        while let Some(transmit) = control.poll_transmit(now, &mut outgoing) {
            let segment = transmit.segment_bytes.unwrap_or(transmit.bytes_len).max(1);
            for datagram in outgoing[..transmit.bytes_len].chunks(segment) {
                socket.send_to(datagram, transmit.dest).unwrap();
            }
        }
        let due = control.poll_timeout().unwrap_or(now + PATIENCE);
        let wait =
            due.saturating_duration_since(now).clamp(Duration::from_millis(1), Duration::from_millis(20));
        socket.set_read_timeout(Some(wait)).unwrap();
        if let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
            if is_media(buffer[0]) {
                datagrams += 1;
                first_at.get_or_insert_with(Instant::now);
            } else {
                control.handle_datagram(from, Some(local), &buffer[..bytes], Instant::now());
            }
        }
        control.handle_timeout(Instant::now());
        while let Some(event) = control.poll_event() {
            match event {
                ClientEvent::Welcome { welcome, .. } => {
                    welcomed = Some(welcome);
                    leaves_at = Some(Instant::now() + streaming);
                    control.start(Instant::now()).unwrap();
                }
                ClientEvent::Ended { reason } => return Seen { welcome: welcomed, ended: reason, datagrams },
                _ => {}
            }
        }
    }
    panic!("nothing became of the client");
}

/// A host with a card whose caps are changed so; the first breach of a contract ends it.
fn host<'a>(place: &'a Place, caps: &str) -> HostStart<'a> {
    with_card(place, "card").env("PUNKTFUNK_STANDIN_CAPS", caps).args(&["--encoder", "nvenc"])
}

#[test]
fn each_codec_is_encoded_as_it_was_asked_for() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = host(&place, "").ready();
    let of = |codec, depth, chroma| (codec, depth, chroma);
    for (index, (codec, depth, chroma)) in [
        of(Codec::Hevc, Depth::Eight, Chroma::Yuv420),
        of(Codec::Av1, Depth::Eight, Chroma::Yuv420),
        of(Codec::Hevc, Depth::Ten, Chroma::Yuv420),
        of(Codec::Av1, Depth::Ten, Chroma::Yuv420),
        of(Codec::Hevc, Depth::Eight, Chroma::Yuv444),
        of(Codec::Hevc, Depth::Ten, Chroma::Yuv444),
        of(Codec::H264, Depth::Eight, Chroma::Yuv444),
    ]
    .into_iter()
    .enumerate()
    {
        let wanted = Hello {
            depth: Some(depth.to_number()),
            chroma: Some(chroma.to_number()),
            ..hello(&[codec], (320, 192))
        };
        let seen = visit(host.port, wanted, A_WHILE);
        let welcome = seen.welcome();
        assert_eq!((welcome.codec, welcome.depth, welcome.chroma), (codec, depth, chroma));
        let said = format!("NVENC on Stand-in GPU 0: {codec}, {depth}, {chroma}");
        assert_eq!(welcome.encoder, said);
        let figures = host.event("figures", index, PATIENCE);
        eprintln!("{said}: {} access units, {} datagrams", figures["aus_sent"], seen.datagrams);
        assert!(figures["aus_sent"].as_u64() > Some(10) && seen.datagrams > 0, "{said}: {figures}");
        assert!(figures["falls"].as_array().unwrap().is_empty(), "{said}: {figures}");
    }
    let ended = host.stop();
    assert!(!ended.stderr.contains("breach"), "{}", ended.stderr);
}

#[test]
fn five_k_is_had_in_hevc_by_every_engine_and_refused_in_h264_by_name() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = host(&place, "engines=2").ready();
    let five_k = (5120, 2880);
    let refused = visit(host.port, hello(&[Codec::H264], five_k), A_WHILE).why();
    for part in ["5120x2880", "H.264: ", "4096×4096", "HEVC, AV1 would do", "--codec"] {
        assert!(refused.contains(part), "no {part:?} in {refused}");
    }
    let mut slow = hello(&[Codec::H264, Codec::Hevc], five_k);
    slow.mode.refresh_mhz = 5_000;
    let seen = visit(host.port, slow, A_WHILE);
    let welcome = seen.welcome();
    assert_eq!((welcome.codec, welcome.mode.width), (Codec::Hevc, 5120));
    assert!(
        welcome.encoder.ends_with("HEVC, 8 bits, 4:2:0, each picture by 2 engines"),
        "{}",
        welcome.encoder
    );
    let figures = host.event("figures", 0, PATIENCE);
    // How many, is the machine's to say: its CPU converts them.
    eprintln!("5K: {} access units, {} datagrams", figures["aus_sent"], seen.datagrams);
    assert!(figures["aus_sent"].as_u64() > Some(0) && seen.datagrams > 0, "{figures}");
    assert!(figures["falls"].as_array().unwrap().is_empty(), "{figures}");
    let ended = host.stop();
    assert!(!ended.stderr.contains("breach"), "{}", ended.stderr);
}

#[test]
fn what_the_card_does_not_make_is_refused_with_what_it_does() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = host(&place, "ten_bit=0,av1=0").ready();
    let all = [Codec::H264, Codec::Hevc, Codec::Av1];
    let ten = Hello { depth: Some(10), ..hello(&all, (320, 192)) };
    let refused = visit(host.port, ten, A_WHILE).why();
    for part in ["10 bits, 4:2:0", "H.264: ", "HEVC: ", "ten bits", "HEVC, 8 bits, 4:4:4"] {
        assert!(refused.contains(part), "no {part:?} in {refused}");
    }
    let refused = visit(host.port, hello(&[Codec::Av1], (320, 192)), A_WHILE).why();
    assert!(refused.contains("the client decodes AV1"), "{refused}");
    let mut greedy = hello(&[Codec::Hevc], (320, 192));
    greedy.bitrate_kbps = 980_000;
    let refused = visit(host.port, greedy, A_WHILE).why();
    for part in
        ["cannot make this bitrate", "980000 kbit/s", "HEVC: its levels end at 800000", "H.264 would do"]
    {
        assert!(refused.contains(part), "no {part:?} in {refused}");
    }
    assert!(host.events("welcome").is_empty());
    host.stop();
}

#[test]
fn a_card_that_dies_of_hevc_ends_the_session_with_the_reason() {
    let _turn = session_turn();
    for (failure, is_welcomed) in [
        ("nvEncEncodePicture:10x9999=NV_ENC_ERR_DEVICE_NOT_EXIST", true),
        // Three are opened to ask what the card can do.
        ("nvEncOpenEncodeSessionEx:4x99=NV_ENC_ERR_OUT_OF_MEMORY", false),
    ] {
        let place = Place::new();
        let host = with_card(&place, "card").env("PUNKTFUNK_STANDIN_FAIL", failure).ready();
        let seen = visit(host.port, hello(&[Codec::Hevc], (320, 192)), PATIENCE);
        assert_eq!(seen.welcome.is_some(), is_welcomed, "{failure}: {}", seen.why());
        for part in ["openh264 makes no HEVC", "--codec h264"] {
            assert!(seen.why().contains(part), "{failure}: no {part:?} in {}", seen.why());
        }
        host.stop();
    }
}

#[test]
fn a_mode_that_the_sessions_codec_does_not_do_is_refused_and_the_stream_goes_on() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = host(&place, "").args(&["--once"]).ready();
    let args = ["--mode", "320x192@30", "--bitrate", "40000", "--commands"];
    let (client, mut typed) = ClientStart::new(&place, host.port).args(&args).start_telling_and_typed();
    client.has_pictures(1);
    typed.write_all(b"mode 5120x2880@30\n").unwrap();
    std::thread::sleep(A_WHILE);
    typed.write_all(b"quit\n").unwrap();
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0).expect_said(&["the host does not change that", "5120x2880", "4096×4096"]);
    host.ends();
    let summary = ended.json();
    assert_eq!((count(&summary, "/reconfigured/refused"), count(&summary, "/mode/width")), (1, 320));
    assert!(count(&summary, "/pictures/decoded") > 30, "{summary:#}");
    let coded = serde_json::json!({"codec": "H.264", "depth": 8, "chroma": "4:2:0"});
    assert_eq!(summary["coding"], coded, "{summary:#}");
}

#[test]
fn after_the_card_the_rate_is_held_to_what_openh264_fills() {
    let (_turn, place) = (session_turn(), Place::new());
    let failure = "nvEncEncodePicture:20x9999=NV_ENC_ERR_DEVICE_NOT_EXIST";
    let host = with_card(&place, "card").env("PUNKTFUNK_STANDIN_FAIL", failure).args(&["--once"]).ready();
    let args = ["--mode", "320x192@30", "--bitrate", "400000", "--commands"];
    let (client, mut typed) = ClientStart::new(&place, host.port).args(&args).start_telling_and_typed();
    client.has_pictures(1);
    std::thread::sleep(A_WHILE);
    // What the card would fill, and openh264 does not.
    typed.write_all(b"bitrate 400000\n").unwrap();
    std::thread::sleep(A_WHILE / 2);
    typed.write_all(b"quit\n").unwrap();
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0).expect_said(&["the host does not change that", "400000 kbit/s cannot be had"]);
    let host = host.ends();
    host.expect_said(&["the rate is held to what openh264 fills"]);
    let summary = ended.json();
    let reasons: Vec<_> = summary["falls"].as_array().unwrap().iter().map(|fall| &fall["reason"]).collect();
    assert!(reasons.contains(&&"encoder-lost".into()), "{reasons:?}");
    assert!(reasons.contains(&&"rate-held".into()), "{reasons:?}");
    let held = count(&summary, "/reconfigured/now/bitrate_kbps");
    // 240 Mbit/s for the encoder, with headers and parity.
    assert!((240_000..=280_000).contains(&held), "{summary:#}");
    assert!(count(&summary, "/rate/kbps") <= held, "{summary:#}");
}
