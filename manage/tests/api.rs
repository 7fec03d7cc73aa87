//! The API from outside, over TLS: who gets in, what comes back, what is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

mod support;

use std::time::{Duration, Instant};

use punktfunk_manage::model::{Device, Pairing, PairingState, Session, Status};
use punktfunk_manage::{Ask, Refused, Why};
use serde_json::{Value, json};
use support::{Answer, Host};

#[test]
fn without_the_token_there_is_only_that_the_host_lives() {
    let host = Host::start(|_| panic!("nothing is asked of the host"));
    assert_eq!(host.bare("GET", "/api/v1/health").json()["status"], "ok");
    assert_eq!(host.bare("GET", "/api/v1/openapi.json").status, 200);
    let document: Value = host.bare("GET", "/api/v1/openapi.json").json();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        if matches!(path.as_str(), "/api/v1/health" | "/api/v1/openapi.json") {
            continue;
        }
        let concrete =
            path.replace("{id}", "1").replace("{fingerprint}", &"0".repeat(64)).replace("{key}", "port");
        for verb in verbs.as_object().unwrap().keys() {
            let answer = host.bare(&verb.to_uppercase(), &concrete);
            assert_eq!(answer.status, 401, "{verb} {path}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
            assert!(answer.json()["remedy"].as_str().unwrap().contains("punktfunk-host token"));
        }
    }
}

#[test]
fn every_answer_keeps_a_browser_from_framing_guessing_and_keeping_it() {
    let host = Host::start(|_| {});
    for answer in [
        host.bare("GET", "/"),
        host.bare("GET", "/api/v1/status"),
        host.with_token("GET", "/api/v1/status", None),
        host.bare("GET", "/nothing"),
        host.ask("GET", "/", &[("Host", "evil.example")], None),
    ] {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("cache-control").is_some());
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

/// A page of somebody else's made the browser of an operator change a host.
#[test]
fn cve_2025_53095_a_foreign_page_changes_nothing_even_with_the_token() {
    let host = Host::start(|_| panic!("the ask must not reach the host"));
    let own = host.name();
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", &format!("http://{own}")),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let headers =
            [(name, value), ("Authorization", &host.bearer()), ("Content-Type", "application/json")];
        let answer = host.ask("POST", "/api/v1/pairing", &headers, Some("{}"));
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    let rebound = [("Host", "rebound.example"), ("Authorization", &host.bearer())];
    assert_eq!(host.ask("GET", "/api/v1/status", &rebound, None).status, 403);
    // A form of a foreign page cannot say that its body is JSON, nor send the token.
    let form = [("Authorization", &*host.bearer()), ("Content-Type", "text/plain")];
    assert_eq!(host.ask("POST", "/api/v1/pairing", &form, Some("{}")).status, 415);
}

/// A route for files was led out of its folder.
#[test]
fn cve_2024_31220_no_path_leads_to_a_file() {
    let host = Host::start(|_| {});
    for path in [
        "/../Cargo.toml",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/console.js/../../etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/api/v1/../../etc/passwd",
        "/api/v1/settings/..%2f..%2fetc%2fpasswd",
        "/console.js%00.html",
    ] {
        let answer = host.bare("GET", path);
        assert!(matches!(answer.status, 400 | 401 | 404 | 405), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:"), "{path}");
    }
}

#[test]
fn after_five_wrong_tokens_in_a_minute_an_address_has_no_more_guesses() {
    let host = Host::start(|_| {});
    let wrong = [("Authorization", &*format!("Bearer {}", "f".repeat(64)))];
    for _ in 0..5 {
        assert_eq!(host.ask("GET", "/api/v1/status", &wrong, None).status, 401);
    }
    assert_eq!(host.ask("GET", "/api/v1/status", &wrong, None).status, 429);
    assert_eq!(host.with_token("GET", "/api/v1/status", None).status, 200, "its owner may be there too");
    assert_eq!(host.ask("GET", "/api/v1/status", &wrong, None).status, 429);
    assert_eq!(host.bare("GET", "/api/v1/health").status, 200);
}

#[test]
fn what_the_host_publishes_is_what_the_status_says() {
    let host = Host::start(|_| {});
    let mut status = Status { host_name: "desk".to_owned(), port: 47_800, ..Status::default() };
    status.sessions.push(Session { id: 3, client: "<b>tv</b>".to_owned(), ..Session::default() });
    host.publish(status.clone());
    let answer = host.with_token("GET", "/api/v1/status", None);
    assert_eq!(serde_json::from_str::<Status>(&answer.body).unwrap(), status);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(host.with_token("GET", "/api/v1/sessions", None).json()[0]["id"], 3);
}

#[test]
fn an_ask_reaches_the_host_and_its_answer_comes_back() {
    let host = Host::start(|ask| match ask {
        Ask::ArmPairing { seconds, reply } => reply.answer(Ok(Pairing {
            state: PairingState::Armed,
            pin: Some("123456".to_owned()),
            left_s: Some(seconds.into()),
            ..Pairing::default()
        })),
        Ask::Approve { request: 7, name, reply } => reply.answer(Ok(Device {
            fingerprint: "0".repeat(64),
            name: name.unwrap_or_else(|| "its own".to_owned()),
            paired_at_s: Some(1),
            last_seen_at_s: None,
            connected: false,
        })),
        Ask::Approve { reply, .. } => {
            reply.answer(Err(Refused::new(Why::NotFound, "no such device waits", "look again")));
        }
        other => panic!("not asked here: {other:?}"),
    });
    let armed = host.with_token("POST", "/api/v1/pairing", Some("{}"));
    assert_eq!(
        (armed.status, &armed.json()["pin"], &armed.json()["left_s"]),
        (200, &json!("123456"), &json!(120))
    );
    assert_eq!(host.with_token("POST", "/api/v1/pairing", Some("{\"seconds\":30}")).json()["left_s"], 30);
    assert_eq!(host.with_token("POST", "/api/v1/pending/7/approve", Some("null")).json()["name"], "its own");
    let named = host.with_token("POST", "/api/v1/pending/7/approve", Some("{\"name\":\" TV \"}"));
    assert_eq!(named.json()["name"], "TV");
    let gone = host.with_token("POST", "/api/v1/pending/8/approve", Some("null"));
    assert_eq!((gone.status, &gone.json()["remedy"]), (404, &json!("look again")));
}

#[test]
fn a_senseless_body_or_path_does_not_reach_the_host() {
    let host = Host::start(|ask| panic!("reached the host: {ask:?}"));
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(17_000));
    let device = format!("/api/v1/devices/{}", "a".repeat(64));
    for (verb, path, body, status) in [
        ("POST", "/api/v1/pairing", "{\"seconds\":121}", 422),
        ("POST", "/api/v1/pairing", "{\"seconds\":9}", 422),
        ("POST", "/api/v1/pairing", "{\"seconds\":-1}", 422),
        ("POST", "/api/v1/pairing", "{\"second\":60}", 422),
        ("POST", "/api/v1/pairing", "[", 400),
        ("POST", "/api/v1/pairing", "", 400),
        ("PATCH", "/api/v1/sessions/1", "{\"bitrate_kbps\":499}", 422),
        ("PATCH", "/api/v1/sessions/1", "{\"mode\":{\"width\":0,\"height\":1,\"refresh_mhz\":1}}", 422),
        ("PATCH", "/api/v1/sessions/1", "[null, 500]", 422),
        ("PATCH", "/api/v1/sessions/1", "{\"mode\":[1920, 1080, 60000]}", 422),
        ("PATCH", "/api/v1/sessions/x", "{}", 400),
        ("PATCH", "/api/v1/sessions/18446744073709551616", "{}", 400),
        ("POST", "/api/v1/speed-test", "{\"session\":1,\"target_kbps\":10000001,\"duration_ms\":200}", 422),
        ("PATCH", &device, "{\"name\":\"\"}", 422),
        ("PATCH", &device, "{\"name\":\"a\\nb\"}", 422),
        ("PATCH", &device, "{\"name\":\"\\u202egnp.exe\"}", 422),
        ("PATCH", &device, &long, 413),
        ("PATCH", "/api/v1/devices/..", "{\"name\":\"x\"}", 422),
        ("PUT", "/api/v1/pairing", "{}", 405),
        ("GET", "/api/v2/status", "", 404),
    ] {
        let answer = host.with_token(verb, path, Some(body));
        assert_eq!(answer.status, status, "{verb} {path} {body:.60}: {}", answer.body);
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
    assert_eq!(host.with_token("GET", "/api/v1/logs?after=x", None).status, 400);
    assert_eq!(host.with_token("GET", "/api/v1/logs?before=1", None).status, 400);
}

#[test]
fn an_ask_that_is_dropped_is_an_error_and_no_silence() {
    let host = Host::start(drop);
    let answer = host.with_token("GET", "/api/v1/devices", None);
    assert_eq!(answer.status, 503);
}

#[test]
fn the_stream_of_events_has_each_new_status_and_ends_with_the_host() {
    let host = Host::start(|_| {});
    host.publish(Status { uptime_s: 1, ..Status::default() });
    let mut stream = host.open("GET", "/api/v1/events", &[("Authorization", &host.bearer())], None);
    assert!(stream.wait_for("\"uptime_s\":1", Duration::from_secs(5)));
    host.publish(Status { uptime_s: 2, ..Status::default() });
    assert!(stream.wait_for("\"uptime_s\":2", Duration::from_secs(5)));
    let before = Instant::now();
    drop(host);
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert!(stream.ends(Duration::from_secs(2)));
}

#[test]
fn streams_connections_heads_and_handshakes_are_bounded() {
    let host = Host::start(|_| {});
    host.publish(Status::default());
    let streams: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = host.open("GET", "/api/v1/events", &[("Authorization", &host.bearer())], None);
            assert!(stream.wait_for("event: status", Duration::from_secs(5)));
            stream
        })
        .collect();
    let ninth = host.with_token("GET", "/api/v1/events", None);
    assert_eq!(ninth.status, 429);
    drop(streams);
    let huge = format!("a={}", "x".repeat(40_000));
    assert!(matches!(host.ask("GET", "/api/v1/health", &[("X-Filler", &huge)], None).status, 400 | 431));
    // Those that say nothing hold no place for long.
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(host.address()).unwrap()).collect();
    let before = Instant::now();
    assert_eq!(host.bare("GET", "/api/v1/health").status, 200);
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    drop(silent);
}

#[test]
fn a_file_that_has_not_changed_is_not_sent_again() {
    let host = Host::start(|_| {});
    for path in ["/console.js", "/api/v1/openapi.json"] {
        let first = host.bare("GET", path);
        assert_eq!(first.status, 200);
        let tag = first.header("etag").unwrap_or_else(|| panic!("{path} has no name")).to_owned();
        let again = host.ask("GET", path, &[("If-None-Match", &tag)], None);
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        let Answer { status, .. } = host.ask("GET", path, &[("If-None-Match", "\"other\"")], None);
        assert_eq!(status, 200);
    }
}

/// What nobody reads of the console's largest file, asked for again and again.
fn asks_and_never_reads(host: &Host) -> support::Stream {
    let mut stream = host.open("GET", "/console.js", &[("Connection", "keep-alive")], None);
    let again = format!("GET /console.js HTTP/1.1\r\nHost: {}\r\n\r\n", host.name());
    stream.write(again.repeat(100).as_bytes());
    stream
}

#[test]
fn whoever_has_no_token_and_reads_nothing_keeps_nobody_out() {
    let host = Host::start(|_| {});
    host.publish(Status::default());
    let mut console = host.open("GET", "/api/v1/events", &[("Authorization", &host.bearer())], None);
    assert!(console.wait_for("event: status", Duration::from_secs(5)));
    let crowd: Vec<_> = (0..40).map(|_| asks_and_never_reads(&host)).collect();
    let before = Instant::now();
    assert_eq!(host.bare("GET", "/api/v1/health").status, 200);
    assert_eq!(host.with_token("GET", "/api/v1/status", None).status, 200);
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
    host.publish(Status { uptime_s: 77, ..Status::default() });
    assert!(console.wait_for("\"uptime_s\":77", Duration::from_secs(5)), "who has the token stays");
    drop(crowd);
}
