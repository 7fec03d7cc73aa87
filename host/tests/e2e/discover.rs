//! What the local network hears of a host: by our client, and by a second implementation of multicast DNS.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    ClientStart, HostStart, MARGIN, Namespace, PATIENCE, Place, Program, discover, discover_for_people,
    identity_fingerprint, look, not_run, wire,
};

/// Both ends of a wire on which multicast has a way.
fn network() -> Option<(Namespace, Namespace)> {
    match wire() {
        Ok(wire) => Some(wire),
        Err(cause) => {
            not_run("a host on a network of its own", &cause);
            None
        }
    }
}

/// The second implementation, in the namespace that is 10.9.0.2.
fn mdns(place: &Place, within: &Namespace, args: &[&str]) -> Program {
    let mut command = within.command("python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/mdns.py");
    command.arg("-B").arg(script).args(args);
    Program::start(place, "mdns", command)
}

/// `punktfunk discover` in the client's namespace.
fn hosts(place: &Place, within: &Namespace, wait_ms: &str) -> Value {
    discover(place, within, &["--wait", wait_ms]).expect_code(0).json()
}

/// The records of this kind that the second implementation has heard.
fn heard(listener: &Program, kind: &str) -> Vec<Value> {
    let stdout = listener.stdout();
    let whole = stdout[..stdout.rfind('\n').unwrap_or(0)].lines();
    let records = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["kind"] == kind).collect()
}

#[test]
fn a_host_is_found_by_two_implementations_and_withdrawn_at_its_end() {
    let Some((host_side, client_side)) = network() else { return };
    let place = Place::new();
    let host = HostStart::new(&place, "card").belief(&[]).listen("10.9.0.1:0").within(&host_side).ready();
    let listener = mdns(&place, &client_side, &["listen", "10.9.0.2", "60"]);
    let name = host.event("announced", 0, PATIENCE)["name"].clone();
    let ours = identity_fingerprint(&place, true, "host-identity");

    let found = look("the host", PATIENCE, || hosts(&place, &client_side, "700")["hosts"].get(0).cloned());
    assert_eq!(found["address"], format!("10.9.0.1:{}", host.port).as_str(), "{found}");
    assert_eq!((&found["name"], &found["fingerprint"]), (&name, &ours.as_str().into()));
    assert_eq!(
        (&found["paired"], &found["pairing"], &found["fault"]),
        (&false.into(), &"required".into(), &Value::Null)
    );

    let first = |kind| look(kind, PATIENCE, || heard(&listener, kind).first().cloned());
    assert_eq!(first("PTR")["data"][0], name);
    let (service, text) = (first("SRV"), first("TXT"));
    assert_eq!(service["data"]["port"], host.port);
    assert_eq!(text["data"]["fp"], ours.as_str());
    assert_eq!((&text["data"]["pair"], &text["data"]["id"]), (&"required".into(), &ours[..16].into()));
    let address = first("A");
    assert_eq!((&address["data"], &address["owner"]), (&"10.9.0.1".into(), &service["data"]["host"]));

    host.stop();
    let gone = || heard(&listener, "PTR").into_iter().find(|record| record["ttl"] == 0);
    assert_eq!(look("the goodbye", MARGIN, gone)["data"][0], name);
    assert_eq!(hosts(&place, &client_side, "700")["hosts"], serde_json::json!([]));
}

/// What bad neighbours say of themselves is bounded, and can be shown.
#[test]
fn a_crowd_of_hostile_hosts_is_shown_bounded_and_printable() {
    let Some((host_side, client_side)) = network() else { return };
    let place = Place::new();
    let crowd = mdns(&place, &host_side, &["crowd", "10.9.0.1", "60", "500"]);
    look("the crowd", PATIENCE, || crowd.stdout().contains("ready").then_some(()));
    let began = Instant::now();
    let found = hosts(&place, &client_side, "2000");
    assert!(began.elapsed() < Duration::from_secs(2) + MARGIN, "{:?}", began.elapsed());
    let shown = found["hosts"].as_array().unwrap();
    assert!((100..=256).contains(&shown.len()), "{} hosts", shown.len());
    assert!(shown.len() < 256 || found["left_out"].as_u64() > Some(0), "{}", found["left_out"]);
    for host in shown {
        let (name, fault) = (host["name"].as_str().unwrap(), host["fault"].as_str().unwrap_or_default());
        assert!(name.len() <= 63 && !name.contains(['\u{1b}', '\n', '\u{202e}']), "{name:?}");
        assert!(host["fingerprint"].as_str().is_some() != fault.contains("its record"), "{host}");
    }
    let text = discover_for_people(&place, &client_side, &["--wait", "1000"]);
    assert!(!text.expect_code(0).stdout.contains(['\u{1b}', '\u{202e}']), "{:?}", text.stdout);
    assert!(text.stdout.contains("its record"), "{}", text.stdout);
}

/// A neighbour that fills every memory on its network does not fill this host's.
#[test]
fn a_flood_of_records_is_forgotten_and_the_host_found_after_it() {
    let Some((host_side, client_side)) = network() else { return };
    let place = Place::new();
    let host = HostStart::new(&place, "card").listen("10.9.0.1:0").within(&host_side).ready();
    host.event("announced", 0, PATIENCE);
    let before = host.program.memory_peak_bytes();
    mdns(&place, &client_side, &["flood", "10.9.0.2", "600000"]).wait(PATIENCE).expect_code(0);
    look("the host begins anew", PATIENCE, || host.program.stderr().contains("announced anew").then_some(()));
    let found = look("the host", PATIENCE, || hosts(&place, &client_side, "700")["hosts"].get(0).cloned());
    assert_eq!(found["pairing"], "open");
    let grown = (host.program.memory_peak_bytes() - before) / 1024;
    eprintln!("600,000 records of a neighbour cost {grown} KiB at most");
    assert!(grown < 160 * 1024, "{grown} KiB");
    host.stop();
}

#[test]
fn a_host_that_nobody_could_reach_or_shall_find_is_not_announced() {
    let Some((host_side, client_side)) = network() else { return };
    let place = Place::new();
    let alone = HostStart::new(&place, "card").within(&host_side).ready();
    let quiet = HostStart::new(&place, "card").listen("10.9.0.1:0").args(&["--no-announce"]);
    let quiet = quiet.within(&host_side).ready();
    assert_eq!(hosts(&place, &client_side, "2000")["hosts"], serde_json::json!([]));
    for host in [&alone, &quiet] {
        assert!(host.events("announced").is_empty() && host.events("unannounced").is_empty());
    }
    assert!(alone.program.stderr().contains("not announced: 127.0.0.1"), "{}", alone.program.stderr());
    quiet.stop();
    alone.stop();
}

/// No network takes multicast here; the host says so once, and serves.
#[test]
fn a_host_that_cannot_be_announced_says_so_and_serves() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(cause) => return not_run("a host without a network", &cause),
    };
    let place = Place::new();
    let host = HostStart::new(&place, "card").listen("0.0.0.0:0").within(&namespace).ready();
    let event = host.event("unannounced", 0, PATIENCE);
    assert!(event["reason"].as_str().unwrap().contains("multicast"), "{event}");
    assert!(host.program.stderr().contains("clients reach it by its address"));
    ClientStart::new(&place, host.port)
        .args(&["--seconds", "1"])
        .within(&namespace, "127.0.0.1")
        .run()
        .expect_code(0);
    assert_eq!(host.events("unannounced").len(), 1);
    host.stop();
}

/// A bus on which everything is allowed, for avahi's two halves alone.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=BUS</listen><policy context="default">
<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>"#;

/// What an avahi that only looks is told.
const AVAHI: &str = "[server]\nuse-ipv6=no\n[publish]\ndisable-publishing=yes\n";

/// Avahi's two programs and what they link: unpacked by `cargo xtask test`, which installs no daemon that would tell the
/// network about the machine, or this machine's own.
struct Avahi {
    daemon: PathBuf,
    browse: PathBuf,
    libraries: OsString,
}

impl Avahi {
    fn find() -> Option<Self> {
        let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("avahi/usr");
        let names = ["sbin/avahi-daemon", "bin/avahi-browse"];
        let (daemon, browse) = match names.map(|name| unpacked.join(name)) {
            [daemon, browse] if daemon.exists() && browse.exists() => (daemon, browse),
            _ => ("avahi-daemon".into(), "avahi-browse".into()),
        };
        let folders = std::fs::read_dir(unpacked.join("lib")).into_iter().flatten().flatten();
        let libraries: Vec<_> = folders.map(|folder| folder.path()).collect();
        let found = Self { daemon, browse, libraries: std::env::join_paths(libraries).unwrap() };
        let runs = |program: &Path| {
            found.command(Command::new(program)).arg("--version").output().is_ok_and(|it| it.status.success())
        };
        (runs(&found.daemon) && runs(&found.browse)).then_some(found)
    }

    fn command(&self, mut command: Command) -> Command {
        if !self.libraries.is_empty() {
            command.env("LD_LIBRARY_PATH", &self.libraries);
        }
        command
    }
}

/// The Linux desktop's own browser finds it.
#[test]
fn avahi_browse_finds_a_host_until_its_end() {
    let Some(avahi_programs) = Avahi::find() else {
        return not_run("avahi-browse", "neither unpacked by `cargo xtask test` nor installed");
    };
    let Some((host_side, client_side)) = network() else { return };
    let place = Place::new();
    let bus = place.path("bus");
    let bus_config = place.write("bus.conf", BUS.replace("BUS", bus.to_str().unwrap()).as_bytes());
    let avahi_config = place.write("avahi.conf", AVAHI.as_bytes());
    let with_bus = |command: Command| {
        let mut command = avahi_programs.command(command);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", bus.display()));
        command
    };
    let mut daemon = Command::new("dbus-daemon");
    daemon.arg("--nofork").arg("--config-file").arg(bus_config);
    let _bus = Program::start(&place, "bus", daemon);
    look("the bus", PATIENCE, || bus.exists().then_some(()));
    // Its pid file is in /run, where the machine's own may be.
    let mut avahi = with_bus(client_side.command("unshare"));
    let run = "mount -t tmpfs none /run && exec \"$1\" --no-drop-root --no-chroot --no-rlimits -f \"$0\"";
    avahi.args(["--mount", "sh", "-c", run]).arg(avahi_config).arg(&avahi_programs.daemon);
    let avahi = Program::start(&place, "avahi", avahi);
    look("avahi", PATIENCE, || avahi.stderr().contains("startup complete").then_some(()));
    let browse = || {
        let mut browse = with_bus(client_side.command(&avahi_programs.browse));
        browse.args(["--resolve", "--parsable", "--terminate", "_punktfunk._udp"]);
        Program::start(&place, "browse", browse).wait(PATIENCE).expect_code(0).stdout.clone()
    };
    let host = HostStart::new(&place, "card").listen("10.9.0.1:0").within(&host_side).ready();
    let at = format!(";10.9.0.1;{};", host.port);
    let found =
        look("the host", PATIENCE, || browse().lines().find(|line| line.contains(&at)).map(str::to_owned));
    let ours = identity_fingerprint(&place, true, "host-identity");
    for said in ["proto=", &format!("fp={ours}"), "pair=open", &format!("id={}", &ours[..16])] {
        assert!(found.contains(&format!("\"{said}")), "{said} in {found}");
    }
    host.stop();
    look("its end", MARGIN, || browse().is_empty().then_some(()));
}
