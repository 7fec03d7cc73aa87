//! A host that is told by a file, what the console is shown of it, and files that are wrong.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::support::{Ended, HostStart, PATIENCE, Place, Program, look};

/// Asks the management API as any program would: by its token, over TLS.
const ASK: &str = r#"
import json, ssl, sys, urllib.error, urllib.request
method, url, token, body = sys.argv[1:]
request = urllib.request.Request(url, method=method, data=body.encode() or None)
request.add_header("Authorization", "Bearer " + token)
request.add_header("Content-Type", "application/json")
context = ssl._create_unverified_context()
try:
    answer = urllib.request.urlopen(request, context=context, timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps({"status": answer.status, "body": json.loads(answer.read())}))
"#;

fn ask(place: &Place, (method, url): (&str, &str), body: &str) -> Value {
    let token = fs::read_to_string(place.path("host-identity").join("manage-token")).unwrap();
    let mut python = Command::new("python3");
    python.args(["-c", ASK, method, url, token.trim(), body]);
    Program::start(place, "ask", python).wait(PATIENCE).expect_code(0).json()
}

#[test]
fn a_host_is_told_by_its_file_and_the_console_changes_it() {
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = format!("[picture]\nslices = 2 # few\n\n[sessions]\nmax = 3\n\n[manage]\nlisten = {free:?}\n");
    let file = place.write("host.toml", text.as_bytes());
    let file_text = file.to_str().unwrap();
    let host = HostStart::new(&place, "card")
        .args(&["--config", file_text])
        .env("PUNKTFUNK_SESSIONS", "5")
        .manage(&free);
    let host = host.env("PUNKTFUNK_SESIONS", "5").ready();
    let said = || host.program.stderr().contains("did you mean PUNKTFUNK_SESSIONS?").then_some(());
    look("what the variable was meant to be", PATIENCE, said);
    let url = format!("https://{free}/api/v1/settings");
    let all = ask(&place, ("GET", &url), "");
    assert_eq!(all["status"], 200, "{all}");
    let of = |key: &str| {
        let found = all["body"].as_array().unwrap().iter().find(|setting| setting["key"] == key);
        found.unwrap_or_else(|| panic!("no {key}: {all}")).clone()
    };
    for (key, value, origin, place) in [
        ("picture.slices", "2", "file", format!("{file_text}:2:1")),
        ("sessions.max", "5", "environment", "PUNKTFUNK_SESSIONS".into()),
        ("trust.open", "true", "flag", "--open".into()),
        ("network.redundancy", "\"auto\"", "default", "default".into()),
    ] {
        let setting = of(key);
        assert_eq!((&setting["value"], &setting["origin"]), (&value.into(), &origin.into()), "{setting}");
        assert_eq!(setting["place"], place.as_str(), "{setting}");
    }
    let changed = ask(&place, ("PUT", &format!("{url}/picture.slices")), r#"{"value": "3"}"#);
    assert_eq!((&changed["status"], &changed["body"]["value"]), (&200.into(), &"3".into()), "{changed}");
    assert!(fs::read_to_string(&file).unwrap().starts_with("[picture]\nslices = 3 # few\n"));
    for (key, value, status) in [
        ("picture.slices", "99", 422),
        ("sessions.max", "2", 409),
        ("trust.open", "true", 409),
        ("x", "1", 404),
    ] {
        let body = serde_json::json!({ "value": value }).to_string();
        let refused = ask(&place, ("PUT", &format!("{url}/{key}")), &body);
        assert_eq!(refused["status"], status, "{key}: {refused}");
        assert!(refused["body"]["error"].as_str().is_some_and(|error| !error.is_empty()), "{refused}");
    }
    host.stop();
}

#[test]
fn a_wrong_file_is_refused_with_everything_that_is_wrong() {
    let place = Place::new();
    let file = place.write("host.toml", b"[pictuer]\nslices = 2\n[sessions]\nmax = 99\n");
    let ended = HostStart::new(&place, "card").args(&["--config", file.to_str().unwrap()]).refused();
    ended.expect_code(64).expect_said(&["host.toml:1:2: \"pictuer\" is no section; did you mean [picture]?"]);
    ended.expect_said(&["host.toml:4:7: sessions.max: 99 is not in 1..=16"]);
    let ended = HostStart::new(&place, "card").args(&["--config", "/no/such.toml"]).refused();
    ended.expect_code(64).expect_said(&["/no/such.toml: there is no such file"]);
    let ended = HostStart::new(&place, "card").env("PUNKTFUNK_LINK_KBPS", "1").refused();
    ended.expect_code(64).expect_said(&["PUNKTFUNK_LINK_KBPS: 1 is not in 500..=100000000"]);
}

/// A command that speaks to a running host, or does without, with these arguments and variables.
fn operate(place: &Place, words: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punktfunk-host"));
    command.env_clear().env("HOME", place.path("home")).args(words);
    command.envs(variables.iter().copied());
    command.arg("--identity").arg(place.path("host-identity"));
    Program::start(place, words[0], command).wait(PATIENCE)
}

/// Where the settings have the API off, the commands that speak by it say so, and where that stands.
#[test]
fn commands_to_a_host_without_an_api_say_who_has_it_off() {
    let place = Place::new();
    let file = place.write("host.toml", b"[manage]\nlisten = \"off\"\n");
    let file = file.to_str().unwrap();
    for words in [
        &["pair", "--seconds", "10"][..],
        &["pending"],
        &["pending", "approve", "1"],
        &["token", "--url"],
        &["doctor", "--running"],
    ] {
        let by_file = operate(&place, &[words, &["--config", file]].concat(), &[]);
        let line = format!("{file}:2:1: the management API is off");
        by_file.expect_code(2).expect_said(&[&line, "--manage ADDR:PORT"]);
        let by_variable = operate(&place, words, &[("PUNKTFUNK_MANAGE", "off")]);
        by_variable.expect_code(2).expect_said(&["PUNKTFUNK_MANAGE: the management API is off"]);
        operate(&place, &[words, &["--manage", "off"]].concat(), &[])
            .expect_code(2)
            .expect_said(&["--manage: the"]);
    }
    // A flag stands over it: this asks, and nobody is there.
    let elsewhere = operate(&place, &["pending", "--manage", "127.0.0.1:1", "--config", file], &[]);
    elsewhere.expect_code(2).expect_said(&["no host of this identity answers at 127.0.0.1:1"]);
    for (words, said) in [(&["token"][..], 64), (&["devices"], 15), (&["fingerprint"], 64)] {
        let told = operate(&place, &[words, &["--config", file]].concat(), &[]);
        assert!(told.expect_code(0).stdout.trim().len() >= said, "{words:?}: {:?}", told.stdout);
    }
    // An address in the file is for --url, and no reason to refuse the token alone.
    let there = place.write("there.toml", b"[manage]\nlisten = \"127.0.0.1:7\"\n");
    let there = there.to_str().unwrap();
    operate(&place, &["token", "--config", there], &[]).expect_code(0);
    let url = operate(&place, &["token", "--url", "--config", there], &[]);
    assert!(url.expect_code(0).stdout.starts_with("https://127.0.0.1:7/#token="), "{}", url.stdout);
}

/// Whatever fails, scripts are told by one object on standard output, and people by the same words.
#[test]
fn a_failure_is_told_in_json() {
    let place = Place::new();
    let file = place.write("wrong.toml", b"[sessions]\nmax = 99\n");
    let file = file.to_str().unwrap();
    let told = |words: &[&str], code: i32, kind: &str, message: &str| {
        let ended = operate(&place, words, &[]);
        let json = ended.expect_code(code).expect_said(&[message]).json();
        let error = &json["error"];
        assert_eq!((&error["code"], &error["kind"]), (&code.into(), &kind.into()), "{json}");
        assert!(error["message"].as_str().unwrap().contains(message), "{json}");
        json
    };
    told(&["pending", "--json", "deny", "x"], 64, "usage", "invalid value 'x'");
    let misspelt =
        told(&["serve", "--json", "--sesions", "2"], 64, "usage", "unexpected argument '--sesions'");
    assert!(misspelt["error"]["remedy"].as_str().unwrap().contains("--sessions"), "{misspelt}");
    told(&["devices", "--json", "revoke", "nobody"], 64, "usage", "see `punktfunk-host devices`");
    let faults = told(&["serve", "--json", "--config", file], 64, "usage", "max: 99 is not in 1..=16");
    assert_eq!((&faults["faults"][0]["line"], &faults["faults"][0]["file"]), (&2.into(), &file.into()));
    for words in [&["pending"][..], &["pair"], &["doctor", "--running"], &["pending", "approve", "1"]] {
        let there = [words, &["--json", "--manage", "127.0.0.1:1"]].concat();
        told(&there, 2, "no-host", "no host of this identity answers at 127.0.0.1:1");
    }
    told(
        &["serve", "--json", "--open", "--source", "file:/no/such.y4m", "--listen", "127.0.0.1:0"],
        6,
        "file",
        "/no/such.y4m",
    );
    let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = held.local_addr().unwrap().to_string();
    told(&["serve", "--json", "--open", "--source", "card", "--listen", &at], 7, "port-in-use", "is in use");
    let mut check = Command::new(env!("CARGO_BIN_EXE_punktfunk-host"));
    check.args(["config", "check", file, "--json"]);
    let checked = Program::start(&place, "check", check).wait(PATIENCE);
    let json = checked.expect_code(64).json();
    assert_eq!(
        (&json["faults"][0]["column"], &json["error"]["kind"]),
        (&7.into(), &"usage".into()),
        "{json}"
    );
}
