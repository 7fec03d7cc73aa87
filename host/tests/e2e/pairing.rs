//! Pairing by PIN, by somebody's word, and its end: two programs, two folders, and the files that they leave.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{
    ClientStart, Host, HostStart, MARGIN, Namespace, PATIENCE, Place, devices, identity_fingerprint, not_run,
    pair, pair_as, session_turn,
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

/// Two namespaces; the host is 10.9.0.1.
fn wire() -> Result<(Namespace, Namespace), String> {
    let (host, client) = (Namespace::new()?, Namespace::new()?);
    host.run(&format!(
        "ip link add va type veth peer name vb
         ip link set vb netns {}
         ip addr add 10.9.0.1/24 dev va
         ip link set va up",
        client.id()
    ))?;
    client.run(
        "ip addr add 10.9.0.2/24 dev vb
         ip link set vb up",
    )?;
    Ok((host, client))
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
    let address = format!("10.9.0.1:{}", host.port);
    let reach = |seconds| connect(&place, &host, seconds).within(&client_side, "10.9.0.1");
    reach("1").run().expect_code(64).expect_said(&["none is paired yet", "punktfunk pair 10.9.0.1"]);

    let typed = format!("{}\n", pin(&host));
    let paired = pair(&place, Some(&client_side), &[&address, "--name", "a desk"], &typed).wait(PATIENCE);
    let said = paired.expect_code(0).json();
    let (ours, theirs) = (
        identity_fingerprint(&place, false, "client-identity"),
        identity_fingerprint(&place, true, "host-identity"),
    );
    assert_eq!(said["fingerprint"], theirs.as_str());
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
