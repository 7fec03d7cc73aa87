//! Pairing by PIN, by somebody's word, and its end: two programs, two folders, and the files that they leave.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Api, ClientStart, Host, HostStart, MARGIN, Namespace, PATIENCE, Place, arm, arm_as, devices, discover,
    free_address, identity_fingerprint, look, not_run, operate, pair, pair_as, session_turn, wire,
};

/// What a host is started with that nobody is let in by.
const CLOSED: &[&str] = &[];

/// The PIN that the host shows.
fn pin(host: &Host) -> String {
    let event = host.event("pairing", 0, PATIENCE);
    let pin = event["pin"].as_str().unwrap().to_owned();
    assert_eq!((pin.len(), event["seconds"].as_u64()), (6, Some(120)), "{event}");
    pin
}

/// Another PIN.
fn other_than(pin: &str) -> String {
    let last = if pin.ends_with('0') { "1" } else { "0" };
    pin[..5].to_owned() + last
}

fn lists(place: &Place) -> [PathBuf; 2] {
    ["host-identity", "client-identity"].map(|folder| place.path(folder).join("devices.toml"))
}

/// A session by the paired host's certificate alone; its exit code and what it said.
fn connect<'a>(place: &'a Place, host: &Host, seconds: &str) -> ClientStart<'a> {
    ClientStart::new(place, host.port).belief(&[]).args(&["--seconds", seconds])
}

/// The one host that the network tells of, and where it is, without its port.
fn discovered(place: &Place, within: &Namespace) -> (Value, String) {
    let found = look("the host on its network", PATIENCE, || {
        let found = discover(place, within, &["--wait", "700"]).expect_code(0).json();
        found["hosts"].get(0).cloned()
    });
    let address = found["address"].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned();
    (found, address)
}

/// No word is typed but the PIN.
#[test]
fn paired_by_pin_it_streams_until_it_is_revoked_and_is_refused_then() {
    let (host_side, client_side) = match wire() {
        Ok(wire) => wire,
        Err(cause) => return not_run("pairing between two namespaces", &cause),
    };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").belief(CLOSED).args(&["--pair"]);
    let host = host.listen("10.9.0.1:0").within(&host_side).ready();
    let (found, told) = discovered(&place, &client_side);
    let address = found["address"].as_str().unwrap().to_owned();
    assert_eq!((told.as_str(), &found["paired"]), ("10.9.0.1", &false.into()), "{found}");
    let reach = |seconds| connect(&place, &host, seconds).within(&client_side, &told);
    reach("1").run().expect_code(64).expect_said(&["none is paired yet", "punktfunk pair 10.9.0.1"]);

    let typed = format!("{}\n", pin(&host));
    let paired = pair(&place, Some(&client_side), &[&address, "--name", "a desk"], &typed).wait(PATIENCE);
    let said = paired.expect_code(0).json();
    let (ours, theirs) = (
        identity_fingerprint(&place, false, "client-identity"),
        identity_fingerprint(&place, true, "host-identity"),
    );
    assert_eq!(
        (&said["fingerprint"], &said["fingerprint"]),
        (&theirs.as_str().into(), &found["fingerprint"])
    );
    assert_eq!(discovered(&place, &client_side).0["paired"], true);
    assert_eq!(host.event("paired", 0, PATIENCE)["fingerprint"], ours.as_str());
    assert_eq!(host.event("pairing_closed", 0, PATIENCE)["reason"], "paired");
    for (list, known) in lists(&place).iter().zip([&ours, &theirs]) {
        assert_eq!(fs::metadata(list).unwrap().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(list).unwrap().contains(known.as_str()), "{}", list.display());
    }
    reach("1").run().expect_code(0);

    let client = reach("60").start();
    host.event("welcome", 1, PATIENCE);
    // Into the stream; where it is not running yet the end comes by another way, and no later.
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    let left = devices(&place, &["revoke", "a desk"]);
    assert_eq!(left.expect_code(0).stdout.trim(), "[]");
    let ended = client.program.wait(Duration::from_secs(1) + MARGIN);
    ended.expect_code(9).expect_said(&["trust"]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1) + MARGIN, "{took:?}");
    eprintln!("a live session ended {took:?} after its device was revoked by another program");
    for _ in 0..2 {
        reach("1").run().expect_code(3).expect_said(&["does not know this client", &ours]);
    }
    host.stop();
}

#[test]
fn a_wrong_pin_three_times_disarms_and_stores_nothing() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").belief(CLOSED).args(&["--pair"]).ready();
    let (address, right) = (format!("127.0.0.1:{}", host.port), pin(&host));
    for _ in 0..3 {
        let ended = pair(&place, None, &[&address, "--pin", &other_than(&right)], "").wait(PATIENCE);
        ended.expect_code(3).expect_said(&["does not know this PIN"]);
    }
    assert_eq!(host.event("pairing_closed", 0, PATIENCE)["reason"], "failures");
    let ended = pair(&place, None, &[&address, "--pin", &right], "").wait(PATIENCE);
    ended.expect_code(3).expect_said(&["does not know this PIN"]);
    for list in lists(&place) {
        assert!(!list.exists(), "{}", list.display());
    }
    assert!(host.events("paired").is_empty() && host.events("hello").is_empty());
    let ended = host.stop();
    assert!(!ended.stderr.contains(&right), "a PIN in the log: {}", ended.stderr);
}

/// The word of a paired device's live session lets another one in.
#[test]
fn a_live_session_of_a_paired_device_lets_another_one_in() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").belief(CLOSED).args(&["--pair"]).ready();
    let address = format!("127.0.0.1:{}", host.port);
    let typed = pin(&host);
    pair(&place, None, &[&address], &typed).wait(PATIENCE).expect_code(0);
    let live = connect(&place, &host, "60").args(&["--approve-with", "yes"]).start();
    host.event("welcome", 0, PATIENCE);
    std::thread::sleep(Duration::from_millis(300));

    let ended =
        pair_as(&place, "tablet", None, &[&address, "--knock", "--name", "a tablet"], "").wait(PATIENCE);
    ended.expect_code(0).expect_said(&["waiting until somebody at the host says Yes"]);
    assert_eq!(host.event("paired", 1, PATIENCE)["name"], "a tablet");
    let pending = host.event("pending", 0, PATIENCE);
    assert_eq!(pending["devices"][0]["name"], "a tablet", "{pending}");
    live.program.signal("INT");
    let ended = live.program.wait(PATIENCE);
    ended.expect_said(&["a tablet", "asks the host to be let in: answered Yes"]);
    connect(&place, &host, "1").identity("tablet").run().expect_code(0);
    host.stop();
}

/// A host that is open lets everyone stream, and nobody who is only there for that decide about others.
#[test]
fn an_open_hosts_session_has_no_say_about_strangers() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").ready();
    let live = ClientStart::new(&place, host.port).args(&["--approve-with", "yes"]).start();
    host.event("welcome", 0, PATIENCE);
    let knocks = pair_as(&place, "tablet", None, &[&format!("127.0.0.1:{}", host.port), "--knock"], "");
    let pending = host.event("pending", 0, PATIENCE);
    assert_eq!(pending["devices"].as_array().unwrap().len(), 1, "{pending}");
    // Long enough for a session that was told to have answered.
    std::thread::sleep(Duration::from_millis(500));
    assert!(host.events("paired").is_empty());
    live.program.signal("INT");
    let ended = live.program.wait(PATIENCE);
    assert!(!ended.stderr.contains("asks the host"), "{}", ended.stderr);
    knocks.signal("INT");
    knocks.wait(PATIENCE).expect_code(130);
    assert!(host.event("pending", 1, PATIENCE)["devices"].as_array().unwrap().is_empty());
    assert!(!lists(&place)[0].exists());
    host.stop();
}

/// The word of a live session may be No, and a host that ends leaves nobody waiting.
#[test]
fn a_device_is_denied_or_told_that_the_host_ends() {
    let (_turn, place) = (session_turn(), Place::new());
    let ours = identity_fingerprint(&place, false, "client-identity");
    let host = HostStart::new(&place, "card").belief(&["--trust", &ours]).ready();
    let address = format!("127.0.0.1:{}", host.port);
    let live = ClientStart::new(&place, host.port).args(&["--approve-with", "no"]).start();
    host.event("welcome", 0, PATIENCE);
    std::thread::sleep(Duration::from_millis(300));
    let denied = pair_as(&place, "tablet", None, &[&address, "--knock"], "").wait(PATIENCE);
    denied.expect_code(3).expect_said(&["denied"]);
    host.event("denied", 0, PATIENCE);
    live.program.signal("INT");
    live.program.wait(PATIENCE);
    let again = pair_as(&place, "tablet", None, &[&address, "--knock"], "").wait(PATIENCE);
    again.expect_code(3).expect_said(&["denied"]);
    let waits = pair_as(&place, "phone", None, &[&address, "--knock"], "");
    // Told of, denied, and told of another one: what was denied is not asked about again.
    host.event("pending", 2, PATIENCE);
    host.stop();
    waits.wait(PATIENCE).expect_code(3).expect_said(&["the host program ends"]);
    assert!(["tablet", "phone"].iter().all(|device| !place.path(device).join("devices.toml").exists()));
}

/// A list that somebody has spoilt is named, and stays what it is.
#[test]
fn a_damaged_list_is_named_at_both_ends_and_never_replaced() {
    let place = Place::new();
    identity_fingerprint(&place, true, "host-identity");
    identity_fingerprint(&place, false, "client-identity");
    for list in lists(&place) {
        fs::write(&list, "[[device]]\nfingerprint = \"ab\"\nname = \"x\"\npaired_at = 1\n").unwrap();
        fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let [at_host, at_client] = lists(&place);
    let said = ["is damaged", "64 hex digits"];
    let host = HostStart::new(&place, "card").belief(CLOSED).refused();
    host.expect_code(3).expect_said(&said).expect_said(&[at_host.to_str().unwrap()]);
    let client = ClientStart::new(&place, 9).belief(&[]).run();
    client.expect_code(3).expect_said(&said).expect_said(&[at_client.to_str().unwrap()]);
    assert!(fs::read_to_string(&at_host).unwrap().contains("\"ab\""));
    fs::set_permissions(&at_host, fs::Permissions::from_mode(0o644)).unwrap();
    let host = HostStart::new(&place, "card").belief(CLOSED).refused();
    host.expect_code(3).expect_said(&["chmod 600"]);
}

/// What people see, in place of JSON: the PIN once, and not in the log.
#[test]
fn the_operators_commands_name_what_they_mean() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").belief(CLOSED).args(&["--pair"]).ready();
    let (address, right) = (format!("127.0.0.1:{}", host.port), pin(&host));
    let spaced = format!("{} {}", &right[..3], &right[3..]);
    pair(&place, None, &[&address, "--name", "a desk"], &spaced).wait(PATIENCE).expect_code(0);
    let renamed = devices(&place, &["rename", "a desk", "the office"]);
    let listed: Value = serde_json::from_str(&renamed.expect_code(0).stdout).unwrap();
    assert_eq!((listed[0]["name"].as_str(), listed[1].is_null()), (Some("the office"), true), "{listed}");
    devices(&place, &["revoke", "a desk"])
        .expect_code(64)
        .expect_said(&["\"a desk\"", "punktfunk-host devices"]);
    let prefix = &listed[0]["fingerprint"].as_str().unwrap()[..12];
    assert_eq!(devices(&place, &["revoke", prefix]).expect_code(0).stdout.trim(), "[]");
    host.stop();
}

/// The operator's command opens the window at a host that runs, and says how it went.
#[test]
fn armed_by_a_command_a_running_host_pairs_a_device() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    arm(&place, &["--manage", &free])
        .wait(PATIENCE)
        .expect_code(2)
        .expect_said(&["no host of this identity", &free]);
    let host = HostStart::new(&place, "card").belief(CLOSED).manage(&free).ready();
    let address = format!("127.0.0.1:{}", host.port);
    let armed = arm(&place, &["--manage", &free]);
    let right = pin(&host);
    pair(&place, None, &[&address, "--pin", &other_than(&right)], "").wait(PATIENCE).expect_code(3);
    pair(&place, None, &[&address, "--pin", &right, "--name", "a desk"], "").wait(PATIENCE).expect_code(0);
    let ended = armed.wait(PATIENCE);
    let lines: Vec<Value> =
        ended.expect_code(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["pin"], &lines[1]["paired"]), (&right.as_str().into(), &"a desk".into()));

    let armed = arm(&place, &["--manage", &free]);
    host.event("pairing", 1, PATIENCE);
    armed.signal("INT");
    armed.wait(PATIENCE).expect_code(3).expect_said(&["interrupted"]);
    assert_eq!(host.event("pairing_closed", 1, PATIENCE)["reason"], "cancelled");

    // Another identity's owner has no token of this host.
    let ended = arm_as(&place, "stranger", &["--manage", &free]).wait(PATIENCE);
    ended.expect_code(2).expect_said(&["no token"]);
    host.stop();
}

/// The operator's word reaches the running host from another terminal, under a name of his choice.
#[test]
fn a_device_that_knocks_is_let_in_by_the_operators_command() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let host = HostStart::new(&place, "card").belief(CLOSED).manage(&free).ready();
    let address = format!("127.0.0.1:{}", host.port);
    let waiting = |args: &[&str]| {
        let args = [args, &["--manage", &free]].concat();
        let ended = operate(&place, "host-identity", "pending", &args).wait(PATIENCE);
        serde_json::from_str::<Value>(&ended.expect_code(0).stdout).unwrap()
    };
    assert_eq!(waiting(&[]), serde_json::json!([]));
    for (verb, code) in [("deny", 3), ("approve", 0)] {
        // One that was denied is not heard again so soon.
        let knocks = pair_as(&place, verb, None, &[&address, "--knock", "--name", "a tablet"], "");
        let device = look("the device that knocks", PATIENCE, || waiting(&[]).get(0).cloned());
        assert_eq!((&device["name"], device["left_s"].as_u64() > Some(100)), (&"a tablet".into(), true));
        let id = device["id"].to_string();
        let named: &[&str] = if verb == "approve" { &["--name", "the sofa"] } else { &[] };
        assert_eq!(waiting(&[&[verb, &id], named].concat()), serde_json::json!([]));
        knocks.wait(PATIENCE).expect_code(code);
    }
    let listed = devices(&place, &[]);
    assert!(listed.stdout.contains("the sofa"), "{}", listed.stdout);
    let gone = operate(&place, "host-identity", "pending", &["deny", "1", "--manage", &free]).wait(PATIENCE);
    gone.expect_code(3).expect_said(&["no device waits under number 1"]);
    host.stop();
}

/// A device that knows the PIN, at a host that has no room to write it down: neither end says that it is done.
#[test]
fn a_device_that_cannot_be_written_down_is_said_not_to_be_paired() {
    let (place, free) = (Place::new(), free_address());
    let host = HostStart::new(&place, "card").belief(CLOSED).manage(&free).ready();
    let [list, ours] = lists(&place);
    let full: String = (0..256)
        .map(|number| format!("[[device]]\nfingerprint = \"{number:064x}\"\nname = \"x\"\npaired_at = 1\n"))
        .collect();
    fs::write(&list, &full).unwrap();
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).unwrap();
    let armed = arm(&place, &["--manage", &free]);
    let at = format!("127.0.0.1:{}", host.port);
    pair(&place, None, &[&at, "--pin", &pin(&host)], "").wait(PATIENCE).expect_code(3);
    let ended = armed.wait(PATIENCE);
    ended.expect_code(3).expect_said(&["could not let it in", "256 devices are trusted already"]);
    let told: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&told["error"]["code"], ended.stdout.lines().count()), (&3.into(), 2), "{}", ended.stdout);
    assert_eq!(host.event("pairing_closed", 0, PATIENCE)["reason"], "failed");
    assert!(host.events("paired").is_empty() && !ours.exists());
    assert_eq!(fs::read_to_string(&list).unwrap(), full, "and the list is as it was");
    let shown = Api::of(&place, &free).granted("GET", "status", None);
    assert_eq!((&shown["pairing"]["state"], &shown["pairing"]["paired"]), (&"failed".into(), &Value::Null));
    host.stop();
}

/// Interrupted, the operator's command leaves a window alone that somebody else has opened meanwhile.
#[test]
fn an_interrupted_command_closes_no_window_but_its_own() {
    let (place, free) = (Place::new(), free_address());
    let host = HostStart::new(&place, "card").belief(CLOSED).manage(&free).ready();
    let (armed, api) = (arm(&place, &["--manage", &free]), Api::of(&place, &free));
    host.event("pairing", 0, PATIENCE);
    // Its next look comes after both: another window, and the signal.
    armed.signal("STOP");
    let other = api.granted("POST", "pairing", Some(serde_json::json!({"seconds": 60})));
    // What is shown is published a moment after the answer.
    look("the other window", PATIENCE, || {
        (api.granted("GET", "pairing", None)["pin"] == other["pin"]).then_some(())
    });
    armed.signal("INT");
    armed.signal("CONT");
    armed.wait(PATIENCE).expect_code(3).expect_said(&["another PIN holds"]);
    let shown = api.granted("GET", "pairing", None);
    assert_eq!((&shown["state"], &shown["pin"]), (&"armed".into(), &other["pin"]));
    host.stop();
}
