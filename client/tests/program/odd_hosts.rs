//! Hosts that refuse, keep silent, or welcome to what cannot be: each is told apart, none is kept waiting.

use std::thread;
use std::time::Duration;

use punktfunk_control::{Chroma, Codec, Depth, Mode, PROTOCOL, Refusal, RefusalCode, Welcome};
use punktfunk_seal::{CIPHER_VARIABLE, Cipher};

use crate::host::{Answer, OddHost};
use crate::support::{Client, Ended, MARGIN, run};

/// How long a host lingers over a refusal that nobody acknowledges: an acknowledged one ends much sooner.
const LINGER: Duration = Duration::from_millis(500);

/// How long a client waits for the last word of a host that it leaves.
const GOODBYE: Duration = Duration::from_millis(1_800);

fn connect(host: &OddHost) -> Ended {
    run(&["connect", &host.address, "--open", "--json"], &[])
}

#[test]
fn each_refusal_has_its_exit_code_and_is_acknowledged() {
    let cases = [
        (RefusalCode::Busy, 11),
        (RefusalCode::ProtocolVersion, 4),
        (RefusalCode::Mode, 5),
        (RefusalCode::Bitrate, 5),
        (RefusalCode::Codec, 5),
        (RefusalCode::Cipher, 5),
        (RefusalCode::Limits, 5),
        (RefusalCode::Compositor, 8),
        (RefusalCode::Source, 10),
        (RefusalCode::ShuttingDown, 9),
        (RefusalCode::Other(999), 5),
    ];
    let mut shortest = Duration::MAX;
    for (code, exit_code) in cases {
        let host = OddHost::start(Answer::Refuse(Refusal::new(code, "for this test")));
        let ended = connect(&host);
        assert_eq!(ended.code, Some(exit_code), "{code:?}: {}", ended.stderr);
        let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(
            (&told["error"]["code"], told.as_object().unwrap().len()),
            (&exit_code.into(), 1),
            "{told}"
        );
        let refused = host.told("hello");
        let took = host.told("ended: the client was turned away").at - refused.at;
        eprintln!("{code:?}: the place was free after {took:?}");
        shortest = shortest.min(took);
    }
    // A busy machine may delay one of them.
    assert!(shortest < LINGER / 2, "the places were free after {shortest:?} at best");
}

#[test]
fn a_peers_words_do_not_steer_the_terminal() {
    let hostile = "\u{1b}[2Jcleared\u{9b}31mred\rback\u{7f}";
    let host = OddHost::start(Answer::Refuse(Refusal::new(RefusalCode::Source, hostile)));
    let ended = connect(&host);
    ended.expect(10, &["cleared", "red", "back"]);
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!ended.stderr.contains(steers), "{:?}", ended.stderr);
}

fn impossible() -> Welcome {
    Welcome {
        protocol: PROTOCOL,
        host_name: "an odd host".into(),
        mode: Mode { width: 1280, height: 720, refresh_mhz: 60_000 },
        codec: Codec::Av1,
        cipher: Cipher::Aes128Gcm,
        bitrate_kbps: 20_000,
        shard_bytes_max: 1408,
        redundancy_per_mille: 100,
        au_bytes_max: 1 << 20,
        slices_max: 1,
        source: "nothing".into(),
        encoder: "none".into(),
        compositors: Vec::new(),
        depth: Depth::Eight,
        chroma: Chroma::Yuv420,
    }
}

#[test]
fn a_welcome_that_cannot_be_is_told_to_both() {
    let host = OddHost::start(Answer::Welcome(Box::new(impossible())));
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording.h264");
    let args = ["connect", &host.address, "--open", "--json", "--record", recording.to_str().unwrap()];
    run(&args, &[]).expect(4, &["Welcome cannot be", "AV1"]);
    let leaving = host.told("leaving: a fault").what;
    assert!(leaving.contains("AV1"), "{leaving}");
    host.told("ended: the client left");
    assert!(!recording.exists(), "an empty recording was left behind");
}

#[test]
fn a_welcome_to_what_was_not_offered_is_refused_before_a_start() {
    let known = || Welcome { codec: Codec::Pattern, ..impossible() };
    let cases = [
        (Welcome { cipher: Cipher::ChaCha20Poly1305, ..known() }, "we did not offer ChaCha20-Poly1305"),
        (Welcome { slices_max: 65, ..known() }, "65 slices an access unit, and we take at most 64"),
        (Welcome { au_bytes_max: (64 << 20) + 1, ..known() }, "we take at most 67108864"),
        (Welcome { shard_bytes_max: 8_960, ..known() }, "8960 bytes a shard"),
    ];
    for (welcome, named) in cases {
        let host = OddHost::start(Answer::Welcome(Box::new(welcome)));
        let args = ["connect", &host.address, "--open", "--json"];
        run(&args, &[(CIPHER_VARIABLE, "aes")]).expect(4, &["Welcome cannot be", named]);
        host.told("hello");
        // A Start would be told before it.
        let next = host.next();
        assert!(next.starts_with("leaving: a fault") && next.contains(named), "{next}");
    }
}

#[test]
fn who_was_believed_unseen_is_said_and_json_stays_alone() {
    let welcome = Welcome { codec: Codec::Pattern, ..impossible() };
    let host = OddHost::start(Answer::Welcome(Box::new(welcome)));
    let connect = |trust: &[&str]| {
        let ended = run(&[&["connect", &host.address, "--json", "--seconds", "1"], trust].concat(), &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(summary.is_object(), "{summary}");
        ended.stderr
    };
    let said = connect(&["--open"]);
    assert!(said.contains("--open") && said.contains(&host.fingerprint), "{said}");
    let said = connect(&["--trust", &host.fingerprint]);
    assert!(!said.contains("--open"), "{said}");
}

#[test]
fn a_client_that_is_interrupted_before_the_welcome_leaves_in_order() {
    for signal in ["INT", "TERM", "HUP"] {
        let host = OddHost::start(Answer::Silence);
        let client = Client::start(&["connect", &host.address, "--open", "--json"], &[]);
        host.told("hello");
        client.signal(signal);
        client.wait().expect(130, &["interrupted"]);
        let leaving = host.told("leaving").what;
        assert!(leaving.contains("interrupted"), "{leaving}");
    }
}

#[test]
fn a_second_signal_ends_a_client_that_waits_for_a_last_word() {
    let host = OddHost::start(Answer::Death);
    let mut client = Client::start(&["connect", &host.address, "--open", "--json"], &[]);
    host.told("hello");
    client.signal("INT");
    host.told("leaving");
    thread::sleep(Duration::from_millis(200));
    assert!(client.is_running(), "it does not wait for the last word");
    let asked = std::time::Instant::now();
    client.signal("INT");
    let ended = client.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(asked.elapsed() < GOODBYE / 2, "after {:?}", asked.elapsed());
    assert!(ended.took < GOODBYE + MARGIN);
}
