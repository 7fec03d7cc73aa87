//! The management API of a real host with real sessions: what is asked for is done, and what is shown is so.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use punktfunk_perf::parse_log;
use serde_json::{Value, json};

use crate::support::{
    Api, Client, ClientStart, Host, HostStart, MARGIN, PATIENCE, Place, assert_all_came, count, free_address,
    look, pair_as, session_turn, slow_sway, sway_turn, token,
};

/// A host with its API, and two paired devices.
fn host_of_two(place: &Place) -> (Host, Api) {
    let address = free_address();
    let host = HostStart::new(place, "card").belief(&[]).manage(&address).ready();
    let api = Api::of(place, &address);
    let at = format!("127.0.0.1:{}", host.port);
    for device in ["tv", "tablet"] {
        let pin =
            api.granted("POST", "pairing", Some(json!({"seconds": 60})))["pin"].as_str().unwrap().to_owned();
        let paired = pair_as(place, device, None, &[&at, "--pin", &pin, "--name", device], "");
        paired.wait(PATIENCE).expect_code(0);
    }
    (host, api)
}

fn connect(place: &Place, host: &Host, identity: &str, mode: &str) -> Client {
    let client = ClientStart::new(place, host.port).belief(&[]).identity(identity);
    client.args(&["--name", identity, "--mode", mode, "--bitrate", "3000"]).start()
}

/// This device's session, once it is as `is` wants it.
fn session(api: &Api, client: &str, is: impl Fn(&Value) -> bool) -> Value {
    look(&format!("a session of {client}"), PATIENCE, || {
        let all = api.granted("GET", "sessions", None);
        let mine = all.as_array().unwrap().iter().find(|session| session["client"] == client);
        mine.filter(|session| is(session)).cloned()
    })
}

/// Whether it has streamed, and its second's figures have come.
fn flows(session: &Value) -> bool {
    session["state"] == "streaming"
        && session["pictures_per_s"].as_f64() > Some(5.0)
        && !session["rtt_us"].is_null()
}

#[test]
fn two_sessions_are_shown_changed_and_ended_each_by_its_number() {
    let (_turn, place) = (session_turn(), Place::new());
    let (host, api) = host_of_two(&place);
    let (tv, tablet) =
        (connect(&place, &host, "tv", "640x360@60"), connect(&place, &host, "tablet", "320x180@30"));
    let (first, second) = (session(&api, "tv", flows), session(&api, "tablet", flows));
    assert_ne!(first["id"], second["id"]);
    assert_eq!((count(&first, "/mode/width"), count(&second, "/mode/width")), (640, 320));
    assert_eq!((&first["device"], &second["device"]), (&json!("tv"), &json!("tablet")));
    assert!(!first["stages"].as_array().unwrap().is_empty() && count(&first, "/wire_kbps") > 0, "{first:#}");

    let path = |session: &Value| format!("sessions/{}", session["id"]);
    let wanted = json!({"mode": {"width": 480, "height": 270, "refresh_mhz": 60_000}, "bitrate_kbps": 2_500});
    api.granted("PATCH", &path(&first), Some(wanted));
    // Granted is done, and shown.
    let shown = |id: &Value| {
        let sessions = api.granted("GET", "sessions", None);
        sessions.as_array().unwrap().iter().find(|session| session["id"] == *id).unwrap().clone()
    };
    let changed = shown(&first["id"]);
    assert_eq!((count(&changed, "/mode/width"), count(&changed, "/bitrate_kbps")), (480, 2_500));
    assert_eq!(count(&session(&api, "tablet", flows), "/mode/width"), 320, "the other one keeps its own");
    // What is refused of a change is said to whoever asked for it, however long the source takes to refuse it.
    let small = json!({"mode": {"width": 64, "height": 64, "refresh_mhz": 60_000}});
    assert!(api.refused("PATCH", &path(&first), Some(small), 409).contains("at least"));
    let half =
        json!({"mode": {"width": 640, "height": 360, "refresh_mhz": 60_000}, "bitrate_kbps": 1_000_000});
    assert!(api.refused("PATCH", &path(&first), Some(half), 409).contains("at most"));
    assert_eq!(count(&shown(&first["id"]), "/mode/width"), 640, "the rest of it is done");
    assert!(
        api.refused("PATCH", "sessions/999", Some(json!({"bitrate_kbps": 900})), 404).contains("no session")
    );

    api.granted("DELETE", &path(&first), None);
    tv.program.wait(PATIENCE).expect_code(9).expect_said(&["operator has ended it"]);
    assert!(api.refused("DELETE", &path(&first), None, 404).contains("no session"));
    session(&api, "tablet", flows);
    tablet.program.signal("INT");
    let ended = tablet.program.wait(PATIENCE);
    ended.expect_code(0);
    assert_all_came(&ended.json());
    host.stop();
}

#[test]
fn a_session_that_opens_cannot_be_changed_yet() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let address = free_address();
    let host = HostStart::new(&place, "wayland").env("PATH", slow_sway(&place, 60)).manage(&address).ready();
    let api = Api::of(&place, &address);
    let client = ClientStart::new(&place, host.port).args(&["--name", "tv"]).start();
    let opening = session(&api, "tv", |session| session["state"] == "opening");
    let path = format!("sessions/{}", opening["id"]);
    let said = api.refused("PATCH", &path, Some(json!({"bitrate_kbps": 2_000})), 409);
    assert!(said.contains("does not stream yet"), "{said}");
    host.stop();
    client.program.wait(PATIENCE).expect_code(9);
}

#[test]
fn the_tokens_address_is_the_consoles() {
    let place = Place::new();
    let bare = token(&place, &[]);
    assert_eq!(token(&place, &["--url"]), format!("https://127.0.0.1:47801/#token={bare}"));
    let elsewhere = token(&place, &["--url", "--manage", "[::1]:1234"]);
    assert_eq!(elsewhere, format!("https://[::1]:1234/#token={bare}"));
    // No other machine can open an address that stands for all of this one's.
    for all in ["0.0.0.0:1234", "[::]:1234"] {
        let url = token(&place, &["--url", "--manage", all]);
        let at = url.strip_prefix("https://").and_then(|url| url.strip_suffix(&format!("/#token={bare}")));
        let at: SocketAddr = at.unwrap().parse().unwrap();
        assert!(!at.ip().is_unspecified() && at.port() == 1234, "{url}");
    }
}

#[test]
fn a_device_is_renamed_and_one_that_is_revoked_is_out_within_a_second() {
    let (_turn, place) = (session_turn(), Place::new());
    let (host, api) = host_of_two(&place);
    let (tv, tablet) =
        (connect(&place, &host, "tv", "320x180@60"), connect(&place, &host, "tablet", "320x180@60"));
    let (first, _) = (session(&api, "tv", flows), session(&api, "tablet", flows));
    let path = format!("devices/{}", first["fingerprint"].as_str().unwrap());
    let renamed = api.granted("PATCH", &path, Some(json!({"name": "Living room"})));
    assert_eq!((&renamed["name"], &renamed["connected"]), (&json!("Living room"), &json!(true)));
    session(&api, "tv", |session| session["device"] == "Living room");

    api.granted("DELETE", &path, None);
    tv.program.wait(Duration::from_secs(1) + MARGIN).expect_code(9).expect_said(&["trust"]);
    assert_eq!(api.granted("GET", "devices", None).as_array().unwrap().len(), 1);
    let again = connect(&place, &host, "tv", "320x180@60");
    again.program.wait(PATIENCE).expect_code(3).expect_said(&["does not know this client"]);
    session(&api, "tablet", flows);
    tablet.program.signal("INT");
    tablet.program.wait(PATIENCE).expect_code(0);
    host.stop();
}

#[test]
fn a_recording_has_a_log_of_each_session_that_begins_while_it_runs() {
    let (_turn, place) = (session_turn(), Place::new());
    let (host, api) = host_of_two(&place);
    assert!(api.refused("DELETE", "recordings", None, 409).contains("nothing is being recorded"));
    let before = connect(&place, &host, "tv", "320x180@60");
    session(&api, "tv", flows);
    let begun = api.granted("POST", "recordings", None);
    assert!(begun["running"] == true && count(&begun, "/bytes") == 0, "{begun}");
    assert!(api.refused("POST", "recordings", None, 409).contains("is being recorded"));
    let recorded = connect(&place, &host, "tablet", "320x180@60");
    session(&api, "tablet", flows);
    // The log of a second is written when that is over.
    look("a log that grows", PATIENCE, || {
        (count(&api.granted("GET", "recordings", None), "/0/bytes") > 0).then_some(())
    });
    let ended = api.granted("DELETE", "recordings", None);
    assert!(ended["running"] == false && count(&ended, "/bytes") > 0, "{ended}");
    let listed = api.granted("GET", "recordings", None);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]), (1, &ended));
    let folder = Path::new(ended["path"].as_str().unwrap());
    assert_eq!(folder, place.path("host-identity").join("recordings").join(ended["name"].as_str().unwrap()));
    // As a report of the session has it.
    let log = parse_log(std::fs::File::open(folder.join("session-1/perf-host.hlog")).unwrap()).unwrap();
    assert!(!log.cut_off && log.total("encode").is_some_and(|stage| !stage.is_empty()));
    assert_eq!(count(&ended, "/sessions"), 1, "the session from before is not in it");
    // The sessions have not noticed.
    for client in [before, recorded] {
        client.program.signal("INT");
        let ended = client.program.wait(PATIENCE);
        ended.expect_code(0);
        assert_all_came(&ended.json());
    }
    host.stop();
}
