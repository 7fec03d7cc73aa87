//! The client where there is nobody to talk to, or nothing to do: a clear line, its exit code, no output.
//!
//! Promises: nothing is asked of a network beyond loopback. What takes a host is tested beside the host.

use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Client, MARGIN, PATIENCE, run};

/// How soon the client must have said that nobody is there.
const NO_HOST_SAID: Duration = Duration::from_secs(3);

#[test]
fn no_answer_is_told_within_three_seconds() {
    // A port that takes datagrams and never answers, as behind a firewall that drops.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A port that nobody has: the kernel refuses.
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut asked = vec![silent.local_addr().unwrap(), closed];
    if let Ok(socket) = UdpSocket::bind("[::1]:0") {
        asked.push(socket.local_addr().unwrap());
    }
    for address in asked {
        let ended = run(&["connect", &address.to_string(), "--open", "--json"], &[]);
        ended.expect(2, &[&address.to_string(), "no answer", "host program", "firewall"]);
        assert!(ended.took < NO_HOST_SAID + MARGIN, "{address}: told after {:?}", ended.took);
    }
}

#[test]
fn a_host_without_an_address_is_named() {
    // Names that no resolver would be asked for: a label has 63 letters at most.
    let long = "x".repeat(64);
    for host in [long.as_str(), "a b", "a b:47800", "127.0.0.1:99999", "[::1"] {
        let ended = run(&["connect", host, "--open"], &[]);
        ended.expect(2, &[host, "no address", "HOST:PORT"]);
        assert!(ended.took < NO_HOST_SAID + MARGIN, "{host}: told after {:?}", ended.took);
    }
    run(&["connect", "127.0.0.1:0", "--open"], &[]).expect(2, &["127.0.0.1:0", "port other than 0"]);
}

/// Where a person is to type the PIN, Ctrl-C ends the program: nothing has been asked of a host yet.
#[test]
fn interrupted_before_a_pin_is_typed_it_ends_at_once() {
    for signal in ["INT", "TERM"] {
        // A pipe that stays open, and says nothing.
        let client = Client::start_reading(&["pair", "127.0.0.1:9"], &[], Stdio::piped());
        client.catches_interrupts();
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(100));
        client.signal(signal);
        client.wait().expect(130, &[]);
        assert!(began.elapsed() < MARGIN, "{signal}: {:?}", began.elapsed());
    }
}

#[test]
fn what_is_typed_is_a_pin_or_named_as_none() {
    for typed in ["12345x\n", "\n", "", "1234567\n", "\u{fffd}123456\n"] {
        let place = TempDir::new().unwrap();
        let path = place.path().join("typed");
        fs::write(&path, typed).unwrap();
        let input = fs::File::open(&path).unwrap().into();
        let ended = Client::start_reading(&["pair", "127.0.0.1:9"], &[], input).wait();
        ended.expect(64, &["a PIN is 6 digits"]);
    }
}

#[test]
fn nobody_is_believed_unless_told_so() {
    run(&["connect", "127.0.0.1:9"], &[])
        .expect(64, &["--trust FINGERPRINT", "--open", "punktfunk pair 127.0.0.1:9"]);
}

#[test]
fn wrong_arguments_are_named() {
    let connect = |more: &[&'static str]| [&["connect", "127.0.0.1:9", "--open"], more].concat();
    let cases: [(Vec<&str>, &[&str]); 14] = [
        (vec![], &["Usage"]),
        (vec!["connect"], &["HOST[:PORT]"]),
        (connect(&["--mode", "big"]), &["--mode", "big"]),
        (connect(&["--mode", "0x0@60"]), &["--mode", "0x0@60"]),
        (connect(&["--bitrate", "1"]), &["--bitrate", "500"]),
        (connect(&["--seconds", "0"]), &["--seconds"]),
        (connect(&["--trust", "abc"]), &["--trust", "64 hex digits"]),
        (connect(&["--trust", &"0".repeat(64).leak()[..]]), &["--open", "cannot be used with"]),
        (connect(&["--approve-with", "maybe"]), &["--approve-with", "hex digits"]),
        (connect(&["--shout"]), &["--shout"]),
        (connect(&["--codec", "vp9"]), &["--codec", "auto, h264, hevc or av1"]),
        (connect(&["--depth", "12"]), &["--depth", "8 or 10"]),
        (connect(&["--chroma", "422"]), &["--chroma", "420 or 444"]),
        (connect(&["--record", "desk.mkv"]), &["desk.mkv", ".mp4"]),
    ];
    for (args, said) in cases {
        run(&args, &[]).expect(64, said);
        if !args.is_empty() {
            // In JSON as well, which `expect` looks at.
            run(&[&args[..], &["--json"]].concat(), &[]).expect(64, said);
        }
    }
}

/// Whatever is asked for and not decoded here: nobody is called, and it is said what is.
#[test]
fn what_cannot_be_decoded_is_named_before_a_host_is_asked() {
    let asked = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = asked.local_addr().unwrap().to_string();
    let connect = |more: &[&'static str]| {
        run(&[&["connect", &address, "--open", "--json", "--decoder", "openh264"], more].concat(), &[])
    };
    let of_software = ["cannot be decoded here", "openh264", "H.264 of 8 bits in 4:2:0 alone"];
    connect(&["--codec", "hevc"]).expect(5, &[&of_software[..], &["HEVC, 8 bits, 4:2:0"]].concat());
    connect(&["--depth", "10"]).expect(5, &[&of_software[..], &["10 bits, 4:2:0"]].concat());
    connect(&["--codec", "h264", "--chroma", "444"])
        .expect(5, &[&of_software[..], &["H.264, 8 bits, 4:4:4"]].concat());
    let of_size = ["cannot be decoded here", "8192x8192", "36864 macroblocks", "smaller mode"];
    connect(&["--mode", "8192x8192@60"]).expect(5, &of_size);
    let variables = [("PUNKTFUNK_CODEC", "av1"), ("PUNKTFUNK_DECODER", "openh264")];
    run(&["connect", &address, "--open"], &variables).expect(5, &["AV1", "openh264"]);
    asked.set_nonblocking(true).unwrap();
    let nobody = asked.recv(&mut [0; 1]).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "a host was asked");
}

#[test]
fn a_pin_that_is_none_is_named_and_not_repeated() {
    let ended = run(&["pair", "127.0.0.1:9", "--pin", "12345x"], &[]);
    ended.expect(64, &["--pin", "6 digits"]);
    // Nobody types at a test's standard input.
    run(&["pair", "127.0.0.1:9"], &[]).expect(64, &["6 digits"]);
    let both = ["pair", "127.0.0.1:9", "--pin", "123456", "--knock"];
    run(&both, &[]).expect(64, &["--knock", "cannot be used with"]);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    run(&["pair", &closed, "--pin", "123456"], &[]).expect(2, &[&closed, "no answer"]);
}

#[test]
fn wrong_settings_are_named() {
    let args = ["connect", "127.0.0.1:9", "--open"];
    run(&args, &[("PUNKTFUNK_NET", "pigeons")])
        .expect(64, &["PUNKTFUNK_NET", "pigeons", "gso", "sendmmsg", "scalar"]);
    run(&args, &[("PUNKTFUNK_SEAL", "wax")])
        .expect(64, &["PUNKTFUNK_SEAL", "wax", "aws-lc", "ring", "vaes512"]);
    run(&args, &[("PUNKTFUNK_PERF", "logs,soon")]).expect(64, &["PUNKTFUNK_PERF", "logs,soon"]);
    run(&args, &[("PUNKTFUNK_LOG", "punktfunk=loud")]).expect(64, &["PUNKTFUNK_LOG", "punktfunk=loud"]);
}

/// Whatever fails, scripts are told by the same object, and of settings each fault.
#[test]
fn a_failure_is_told_in_json() {
    let told = |args: &[&str], env: &[(&str, &str)], code: i32, kind: &str, message: &str| {
        let ended = run(args, env);
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let error = &json["error"];
        assert_eq!((&error["code"], &error["kind"]), (&code.into(), &kind.into()), "{json}");
        assert!(error["message"].as_str().unwrap().contains(message), "{json}");
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
        json
    };
    let misspelt =
        told(&["hosts", "--json", "--forgt", "x"], &[], 64, "usage", "unexpected argument '--forgt'");
    assert!(misspelt["error"]["remedy"].as_str().unwrap().contains("--forget"), "{misspelt}");
    told(&["hosts", "--json", "--forget", "nobody"], &[], 64, "usage", "punktfunk hosts");
    told(&["connect", "127.0.0.1:0", "--open", "--json"], &[], 2, "no-host", "port other than 0");
    told(&["speed-test", "127.0.0.1:9", "--json"], &[], 64, "usage", "which host shall be believed?");
    told(&["pair", "127.0.0.1:9", "--json"], &[], 64, "usage", "a PIN is 6 digits");
    let wrong = [("PUNKTFUNK_NET", "pigeons")];
    let faults = told(&["discover", "--json"], &wrong, 64, "usage", "the settings are wrong");
    assert_eq!(faults["faults"][0]["place"], "PUNKTFUNK_NET", "{faults}");
    for identity in ["fingerprint", "hosts", "discover"] {
        told(&[identity, "--json", "--identity", "/dev/null/x"], &[], 3, "trust", "/dev/null/x");
    }
    let place = TempDir::new().unwrap();
    let file = place.path().join("client.toml");
    fs::write(&file, "[connect]\nmod = 1\n").unwrap();
    let file = file.to_str().unwrap();
    let checked = told(&["config", "check", file, "--json"], &[], 64, "usage", "did you mean connect.mode?");
    assert_eq!((&checked["faults"][0]["line"], &checked["faults"][0]["column"]), (&2.into(), &1.into()));
}

#[test]
fn an_interrupted_client_that_waits_ends_at_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let client = Client::start(&["connect", &address, "--open", "--json"], &[]);
    // Its first datagram says that it is past the start of its life.
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.recv(&mut [0; 2_048]).unwrap();
    client.signal("INT");
    let asked = Instant::now();
    client.wait().expect(130, &["interrupted"]);
    assert!(asked.elapsed() < MARGIN, "after {:?}", asked.elapsed());
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_a_host_is_asked() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let place = TempDir::new().unwrap();
    let missing = place.path().join("missing").join("file");
    for option in ["--record", "--snapshot"] {
        let ended = run(&["connect", &address, "--open", option, missing.to_str().unwrap()], &[]);
        ended.expect(6, &[missing.to_str().unwrap(), "No such file"]);
        assert!(!ended.stderr.contains("recorded before"), "{}", ended.stderr);
        assert_eq!(silent.recv(&mut [0; 2_048]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_log_that_goes_to_a_file_has_no_colours() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = run(&["connect", &closed, "--open"], &[("PUNKTFUNK_LOG", "info")]);
    ended.expect(2, &["INFO", "no answer"]);
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
}

#[test]
fn an_identity_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = TempDir::new().unwrap();
    let folder = place.path().join("identity");
    let folder_text = folder.to_str().unwrap();
    let made = run_fingerprint(folder_text);
    assert_eq!(made.trim().len(), 64, "{made:?}");
    assert_eq!(run_fingerprint(folder_text), made, "an identity stays the same");
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    run(&["fingerprint", "--identity", folder_text], &[]).expect(3, &[folder_text, "600"]);
}

fn run_fingerprint(folder: &str) -> String {
    let ended = run(&["fingerprint", "--identity", folder], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}
