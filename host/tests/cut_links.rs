//! A newer userland's sway, streamed through the portal and PipeWire by the two programs, whose links are cut one by one:
//! the pictures go on by another way, or the end is named, within two seconds. `cargo xtask userland` runs this there.

#![cfg(feature = "pipewire")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

#[allow(dead_code, reason = "its other half is for the tests of capture")]
#[path = "../../capture/tests/pipewire/session.rs"]
mod session;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use punktfunk_capture::Mode;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use session::{DEADLINE, Session};

/// From a link's end to pictures by another way, or to its name.
const RECOVERY: Duration = Duration::from_secs(2);

/// What a busy machine may add.
const MARGIN: Duration = Duration::from_millis(500);

/// The two programs; killed and reaped on drop.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(session: &Session, program: &Path, name: &str, args: &[&str]) -> Child {
    let around = session.surroundings();
    Command::new(program)
        .args(args)
        .env("XDG_RUNTIME_DIR", session.dir())
        .env("HOME", session.dir())
        .env("DBUS_SESSION_BUS_ADDRESS", around.bus.unwrap())
        .envs(around.environment.unwrap())
        .stdin(Stdio::null())
        .stdout(File::create(session.dir().join(format!("{name}.out"))).unwrap())
        .stderr(File::create(session.dir().join(format!("{name}.log"))).unwrap())
        .spawn()
        .unwrap()
}

/// Waits for an event of the host that `is` the one.
fn event(session: &Session, patience: Duration, is: impl Fn(&Value) -> bool) -> Option<Value> {
    let began = Instant::now();
    while began.elapsed() < patience {
        let said = std::fs::read_to_string(session.dir().join("host.out")).unwrap();
        let whole = &said[..said.rfind('\n').map_or(0, |end| end + 1)];
        let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        if let Some(found) = events.into_iter().find(&is) {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A host that streams a sway of its session through the portal, and its client.
fn streaming(session: &mut Session) -> Programs {
    session.start_sway(Mode::new(640, 480, 60_000).unwrap());
    let host = Path::new(env!("CARGO_BIN_EXE_punktfunk-host"));
    let port_file = session.dir().join("port");
    let identity = session.dir().join("host").display().to_string();
    let args = ["serve", "--open", "--listen", "127.0.0.1:0", "--json", "--once", "--source", "pipewire"];
    let port_file_arg = port_file.display().to_string();
    let args = [&args[..], &["--identity", &identity, "--port-file", &port_file_arg]].concat();
    let mut programs = Programs(vec![start(session, host, "host", &args)]);
    let port = std::fs::read_to_string(session.wait_for_file(Path::new("port"))).unwrap();
    let (address, identity) =
        (format!("127.0.0.1:{}", port.trim()), session.dir().join("client").display().to_string());
    let args = ["connect", &address, "--open", "--json", "--mode", "640x480@60", "--identity", &identity];
    let client = host.with_file_name("punktfunk");
    assert!(client.exists(), "the client is missing: cargo build -p punktfunk-client builds it");
    programs.0.push(start(session, &client, "client", &args));
    let welcome = event(session, DEADLINE, |event| event["event"] == "welcome");
    let welcome = welcome.unwrap_or_else(|| panic!("no Welcome\n{}", session.logs()));
    let source = welcome["source"].as_str().unwrap();
    assert!(source.contains("portal") && !source.contains("in place of"), "{source}\n{}", session.logs());
    std::thread::sleep(Duration::from_secs(1));
    programs
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_link_that_is_cut_in_mid_stream_is_named_or_gone_around() {
    for what in
        ["pipewire killed", "pipewire stopped", "portal killed", "portal's back end killed", "sway killed"]
    {
        let mut session = Session::start();
        let programs = streaming(&mut session);
        let cut = Instant::now();
        match what {
            "pipewire killed" => session.kill("pipewire"),
            "pipewire stopped" => session.signal("pipewire", Signal::STOP),
            "sway killed" => session.kill("sway"),
            "portal killed" => {
                kill_process(session.owner("org.freedesktop.portal.Desktop"), Signal::KILL).unwrap();
            }
            _ => {
                let name = "org.freedesktop.impl.portal.desktop.wlr";
                kill_process(session.owner(name), Signal::KILL).unwrap();
            }
        }
        let is_over = |event: &Value| {
            event["event"] == "fault" || event["source"].is_string() && event["event"] == "source"
        };
        let over = event(&session, RECOVERY + DEADLINE, is_over);
        let took = cut.elapsed();
        let over = over.unwrap_or_else(|| panic!("{what}: nothing\n{}", session.logs()));
        eprintln!("{what}: after {took:?}: {over}");
        assert!(took < RECOVERY + MARGIN, "{what}: {took:?}\n{}", session.logs());
        if what == "pipewire stopped" {
            session.signal("pipewire", Signal::CONT);
        }
        drop(programs);
    }
}
