//! Everything that the document describes, driven with what it allows and with what it does not: values made from each
//! operation's schema, the same with something broken, and odd ones.
//!
//! Each run has a seed of its own, which a failure shows; `PUNKTFUNK_SEED` takes one again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

#[path = "../../examples/stand_in/host/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the host serves itself elsewhere")]
mod host;
mod schema;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use host::StandIn;
use punktfunk_manage::{Ask, Reply, Why};
use schema::{Chance, Document};
use serde_json::Value;
use support::{Answer, Host};

/// Requests for each operation.
const CASES: u32 = 40;

/// One verb at one path, as the document has it.
struct Operation<'a> {
    verb: String,
    path: &'a str,
    described: &'a Value,
}

fn operations(document: &Document) -> Vec<Operation<'_>> {
    let paths = document.0["paths"].as_object().unwrap();
    let of_path = |(path, verbs)| {
        let verbs: &Value = verbs;
        let path: &String = path;
        verbs.as_object().unwrap().iter().map(move |(verb, described)| Operation {
            verb: verb.to_uppercase(),
            path: path.as_str(),
            described,
        })
    };
    // A stream of events has no end, and a test of its own.
    paths.iter().flat_map(of_path).filter(|operation| operation.path != "/api/v1/events").collect()
}

/// A request for an operation.
struct Request {
    target: String,
    kind: Option<&'static str>,
    body: Option<String>,
    /// Whether its body is as the document asks.
    is_fitting: bool,
}

fn request(document: &Document, operation: &Operation<'_>, chance: &mut Chance) -> Request {
    let mut target = operation.path.to_owned();
    let mut query = String::new();
    for parameter in operation.described["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let value = match chance.below(4) {
            0 => chance.oddity(),
            1 => host_fingerprint(),
            2 => chance.below(3).to_string(),
            _ => document.make(&parameter["schema"], chance).to_string().trim_matches('"').to_owned(),
        };
        if parameter["in"] == "path" {
            target = target.replace(&format!("{{{name}}}"), &encoded(&value));
        } else {
            query = format!("?{name}={}", encoded(&value));
        }
    }
    let content = &operation.described["requestBody"]["content"]["application/json"]["schema"];
    if content.is_null() {
        return Request { target: target + &query, kind: None, body: None, is_fitting: true };
    }
    let mut value = document.make(content, chance);
    let breaks = chance.below(4);
    (0..breaks).for_each(|_| chance.break_something(&mut value));
    let kind = [Some("application/json"), Some("text/plain"), None][chance.mostly_first(3)];
    let whole = value.to_string();
    let text = match chance.mostly_first(4) {
        0 => whole,
        1 => whole[..floor(&whole, whole.len() / 2)].to_owned(),
        2 => "[".repeat(1_000),
        _ => format!("{whole}{}", " ".repeat(20_000)),
    };
    let read = serde_json::from_str::<Value>(&text).ok();
    let is_fitting = read.is_some_and(|read| document.misfit(content, &read, "body").is_none())
        && kind == Some("application/json")
        && text.len() < 16_384;
    Request { target: target + &query, kind, body: Some(text), is_fitting }
}

fn floor(text: &str, index: usize) -> usize {
    (0..=index).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0)
}

/// A device that the stand-in knows.
fn host_fingerprint() -> String {
    let mut host = StandIn::new(Instant::now());
    host.status(Instant::now()).sessions[0].fingerprint.clone()
}

fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn send(host: &Host, operation: &Operation<'_>, request: &Request) -> Answer {
    let bearer = host.bearer();
    let mut headers = vec![("Authorization", bearer.as_str())];
    headers.extend(request.kind.map(|kind| ("Content-Type", kind)));
    host.ask(&operation.verb, &request.target, &headers, request.body.as_deref())
}

/// What is wrong with an answer to this request, by the document.
fn fault(
    document: &Document,
    operation: &Operation<'_>,
    request: &Request,
    answer: &Answer,
) -> Option<String> {
    let described = &operation.described["responses"][answer.status.to_string()];
    if described.is_null() {
        return Some("the document knows no such answer".to_owned());
    }
    if !request.is_fitting && answer.status < 400 {
        return Some("a body that the document forbids was taken".to_owned());
    }
    if request.is_fitting && matches!(answer.status, 413 | 415) {
        return Some("a body that the document allows was not taken".to_owned());
    }
    let content = &described["content"]["application/json"]["schema"];
    if content.is_null() {
        let is_empty = answer.status != 204 || answer.body.is_empty();
        return (!is_empty).then(|| "it has a body".to_owned());
    }
    match serde_json::from_str::<Value>(&answer.body) {
        Ok(body) => document.misfit(content, &body, "answer"),
        Err(error) => Some(format!("it is no JSON: {error}")),
    }
}

/// Drives every operation; hands back how often each status came.
fn drive(host: &Host, before_each: impl Fn()) -> std::collections::BTreeMap<u16, u32> {
    let document = Document(serde_json::from_str(&punktfunk_manage::document()).unwrap());
    let mut chance = Chance::of_this_run();
    let seed = chance.seed();
    let mut statuses = std::collections::BTreeMap::new();
    for operation in operations(&document) {
        for _ in 0..CASES {
            before_each();
            let request = request(&document, &operation, &mut chance);
            let answer = send(host, &operation, &request);
            *statuses.entry(answer.status).or_insert(0) += 1;
            if let Some(fault) = fault(&document, &operation, &request, &answer) {
                let (verb, target) = (&operation.verb, &request.target);
                let sent = request.body.as_deref().unwrap_or_default();
                panic!(
                    "{fault}\nPUNKTFUNK_SEED={seed}\n{verb} {target} {:?}\n{sent:.300}\n{} {:.600}",
                    request.kind, answer.status, answer.body
                );
            }
        }
    }
    statuses
}

#[test]
fn a_host_that_answers_has_no_answer_that_the_document_does_not_know() {
    let stand_in = Arc::new(Mutex::new(StandIn::new(Instant::now())));
    let played = Arc::clone(&stand_in);
    let host = Host::start(move |ask| played.lock().unwrap().answer(ask, Instant::now()));
    host.publish(stand_in.lock().unwrap().status(Instant::now()));
    let statuses = drive(&host, || *stand_in.lock().unwrap() = StandIn::new(Instant::now()));
    for status in [200, 204, 400, 404, 413, 415, 422] {
        assert!(statuses.contains_key(&status), "{status} never came: {statuses:?}");
    }
    assert!(statuses.keys().all(|status| *status < 500), "{statuses:?}");
}

#[test]
fn a_host_that_refuses_has_its_words_heard() {
    let mut count = 0_u32;
    let host = Host::start(move |ask| {
        count += 1;
        refuse(ask, [Why::TooSoon, Why::Failed][count as usize % 2]);
    });
    let statuses = drive(&host, || {});
    assert!(statuses[&503] > 100 && statuses[&429] > 100, "{statuses:?}");
    assert!(statuses.keys().all(|status| *status < 500 || *status == 503), "{statuses:?}");
}

/// Answers whatever it is with the refusal.
fn refuse(ask: Ask, why: Why) {
    fn no<T: Send + 'static>(reply: Reply<T>, why: Why) {
        reply.answer(Err(punktfunk_manage::Refused::new(why, "no \"<b>\u{202e}", "")));
    }
    match ask {
        Ask::Compositors { reply } => no(reply, why),
        Ask::EndSession { reply, .. }
        | Ask::Reconfigure { reply, .. }
        | Ask::Deny { reply, .. }
        | Ask::RevokeDevice { reply, .. } => no(reply, why),
        Ask::ArmPairing { reply, .. } | Ask::CancelPairing { reply } => no(reply, why),
        Ask::Approve { reply, .. } | Ask::RenameDevice { reply, .. } => no(reply, why),
        Ask::Devices { reply } => no(reply, why),
        Ask::SpeedTest { reply, .. } => no(reply, why),
        Ask::Settings { reply } => no(reply, why),
        Ask::ChangeSetting { reply, .. } => no(reply, why),
        Ask::Diagnose { reply } => no(reply, why),
        Ask::Recordings { reply } => no(reply, why),
        Ask::StartRecording { reply } | Ask::StopRecording { reply } => no(reply, why),
    }
}

#[test]
fn what_does_not_fit_a_schema_is_found() {
    let document = Document(serde_json::from_str(&punktfunk_manage::document()).unwrap());
    let schema = serde_json::json!({"$ref": "#/components/schemas/SpeedTestRequest"});
    let fits = |text: &str| document.misfit(&schema, &serde_json::from_str(text).unwrap(), "it").is_none();
    assert!(fits("{\"session\":1,\"target_kbps\":500,\"duration_ms\":200}"));
    for bad in [
        "{\"session\":1,\"target_kbps\":499,\"duration_ms\":200}",
        "{\"session\":1,\"target_kbps\":500}",
        "{\"session\":1,\"target_kbps\":500,\"duration_ms\":200,\"more\":1}",
        "{\"session\":-1,\"target_kbps\":500,\"duration_ms\":200}",
        "{\"session\":1.5,\"target_kbps\":500,\"duration_ms\":200}",
        "{\"session\":null,\"target_kbps\":500,\"duration_ms\":200}",
        "[]",
    ] {
        assert!(!fits(bad), "{bad}");
    }
    let mut chance = Chance::of_this_run();
    for (name, schema) in document.0["components"]["schemas"].as_object().unwrap() {
        for _ in 0..50 {
            let made = document.make(schema, &mut chance);
            assert_eq!(document.misfit(schema, &made, name), None, "{made}");
        }
    }
}
