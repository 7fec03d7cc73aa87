//! Every operation that the API's document describes, asked of a real host with a real session: what is described is
//! there, and no answer is a fault of the host.

use serde_json::{Value, json};

use crate::support::{
    Api, ClientStart, HostStart, PATIENCE, Place, free_address, look, pair_as, session_turn,
};

#[allow(dead_code, reason = "the document's own tests use the rest")]
#[path = "../../../manage/tests/described/schema.rs"]
mod schema;

use schema::{Chance, Document};

/// What a request's path and body name.
struct Targets {
    session: Value,
    fingerprint: Value,
    key: Value,
}

impl Targets {
    /// Those that this host has: a session, a device that is not in it, a setting.
    fn of(api: &Api) -> Self {
        let session = look("a session that streams", PATIENCE, || {
            let session = api.granted("GET", "sessions", None)[0].clone();
            (session["state"] == "streaming").then_some(session)
        });
        let devices = api.granted("GET", "devices", None);
        let other = devices.as_array().unwrap().iter().find(|device| device["connected"] == false);
        let settings = api.granted("GET", "settings", None);
        let key = settings[0]["key"].as_str().unwrap_or("bitrate");
        Self {
            session: session["id"].clone(),
            fingerprint: other.expect("a device that is not connected")["fingerprint"].clone(),
            key: json!(key),
        }
    }

    /// Those that no host has.
    fn unknown() -> Self {
        Self { session: json!(987_654), fingerprint: json!("ab".repeat(32)), key: json!("no_such_setting") }
    }

    fn path(&self, path: &str) -> String {
        let words = [("{id}", &self.session), ("{fingerprint}", &self.fingerprint), ("{key}", &self.key)];
        let filled = words.iter().fold(path.to_owned(), |path, (name, value)| {
            path.replace(name, value.to_string().trim_matches('"'))
        });
        assert!(!filled.contains('{'), "what is named in {path}?");
        filled
    }

    /// A body as the document has it; where a value costs time or memory, a small one.
    fn body(&self, made: Value) -> Value {
        let Value::Object(mut body) = made else { return made };
        for (name, value) in [
            ("session", self.session.clone()),
            ("mode", json!({"width": 480, "height": 270, "refresh_mhz": 60_000})),
            ("bitrate_kbps", json!(2_500)),
            ("target_kbps", json!(5_000)),
            ("duration_ms", json!(200)),
        ] {
            if body.contains_key(name) {
                body.insert(name.to_owned(), value);
            }
        }
        Value::Object(body)
    }
}

/// Verb, path and what is said of them; those that end something last.
fn operations(document: &Document) -> Vec<(String, &str, &Value)> {
    let paths = document.0["paths"].as_object().unwrap().iter();
    let mut all: Vec<_> = paths
        .flat_map(|(path, verbs)| {
            let verbs = verbs.as_object().unwrap().iter();
            verbs.map(move |(verb, described)| (verb.to_uppercase(), path.as_str(), described))
        })
        .collect();
    all.sort_by_key(|(verb, path, _)| (verb == "DELETE", verb != "GET", *path));
    all
}

#[test]
fn a_real_host_has_an_answer_to_everything_that_is_described() {
    let (_turn, place) = (session_turn(), Place::new());
    let address = free_address();
    let host = HostStart::new(&place, "card").belief(&[]).manage(&address).ready();
    let api = Api::of(&place, &address);
    for device in ["tv", "tablet"] {
        let armed = api.granted("POST", "pairing", Some(json!({"seconds": 60})));
        let (at, pin) = (format!("127.0.0.1:{}", host.port), armed["pin"].as_str().unwrap());
        pair_as(&place, device, None, &[&at, "--pin", pin, "--name", device], "")
            .wait(PATIENCE)
            .expect_code(0);
    }
    let client = ClientStart::new(&place, host.port).belief(&[]).identity("tv");
    let client = client.args(&["--mode", "320x180@60", "--bitrate", "3000"]).start();
    let (known, unknown) = (Targets::of(&api), Targets::unknown());

    let document = Document(serde_json::from_str(&punktfunk_manage::document()).unwrap());
    let mut chance = Chance::of_this_run();
    eprintln!("PUNKTFUNK_SEED={} runs it again", chance.seed());
    let mut granted = 0_u32;
    for (verb, path, described) in operations(&document) {
        let schema = &described["requestBody"]["content"]["application/json"]["schema"];
        for targets in [&unknown, &known] {
            let target = targets.path(path.strip_prefix("/api/v1/").expect("a path of the API"));
            let body = (!schema.is_null()).then(|| targets.body(document.make(schema, &mut chance)));
            let is_stream = !described["responses"]["200"]["content"]["text/event-stream"].is_null();
            let (status, answer) = match is_stream {
                true => (api.status(&verb, &target), Value::Null),
                false => api.ask(&verb, &target, body.clone()),
            };
            let what = format!("{verb} {target} {body:?}: {status} {answer}");
            assert!(status < 500, "{what}");
            let response = &described["responses"][status.to_string()];
            assert!(!response.is_null(), "the document knows no such answer: {what}");
            assert!(verb != "GET" || status == 200, "{what}");
            let content = &response["content"]["application/json"]["schema"];
            if !content.is_null() {
                assert_eq!(document.misfit(content, &answer, "answer"), None, "{what}");
            }
            granted += u32::from(status < 300);
        }
    }
    assert!(granted > 20, "{granted} were granted");
    client.program.wait(PATIENCE).expect_code(9);
    host.stop();
}
