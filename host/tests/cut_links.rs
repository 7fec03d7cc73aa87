//! A newer userland's desktops, streamed through PipeWire by the two programs, whose links are cut one by one: the
//! pictures go on by the way that is expected, for the reason that is expected, within two seconds, and are decoded.
//! And GNOME's own door, which gives a monitor or makes one.
//! `cargo xtask userland` runs this there.

#![cfg(feature = "pipewire")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

#[allow(dead_code, reason = "its other half is for the tests of capture")]
#[path = "../../capture/tests/pipewire/session.rs"]
mod session;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use punktfunk_capture::Mode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use session::{DEADLINE, Session};

/// From a link's end to pictures by another way.
const RECOVERY: Duration = Duration::from_secs(2);

/// From a compositor's hang to its name: it is quiet for a second, and five are what it may take to answer.
const HANG: Duration = Duration::from_millis(6_500);

/// What a busy machine may add.
const MARGIN: Duration = Duration::from_millis(500);

/// Between two looks at a file.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How often a recording has to grow for pictures to flow: by a buffer of them each time.
const FLOWING: usize = 3;

/// The portal, and its half that asks sway.
const PORTAL: &str = "org.freedesktop.portal.Desktop";
const BACK_END: &str = "org.freedesktop.impl.portal.desktop.wlr";

/// A link that is cut, and what must come of it.
struct Cut {
    cut: fn(&mut Session),
    /// Words of the reason that people are told.
    why: &'static str,
    /// The reason that the first fall is counted with.
    reason: &'static str,
    /// The ways that are tried, each once: the falls are from one to the next.
    ways: &'static [&'static str],
    /// How the source that pictures come from then begins.
    source: &'static str,
    /// What the end may take to be seen.
    seen: Duration,
}

/// What a source of our own is called.
const OWN: &str = "sway 1.";

/// What the desktop's Wayland door is called.
const BY_WAYLAND: &str = "the desktop at ";

/// The two programs under way.
struct Programs {
    session: Session,
    host: Child,
    client: Child,
    recording: PathBuf,
}

impl Drop for Programs {
    fn drop(&mut self) {
        for child in [&mut self.client, &mut self.host] {
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

impl Programs {
    /// A host of `asked` in a session, and its client, which has decoded pictures of a `source`.
    fn start(session: Session, asked: &str, source: &str) -> Self {
        let mut programs = Self::connect(session, asked, source);
        programs.wait_for_pictures();
        programs
    }

    /// A host of `asked` in a session, and its client, which was told of a `source`.
    fn connect(session: Session, asked: &str, source: &str) -> Self {
        let host_path = Path::new(env!("CARGO_BIN_EXE_punktfunk-host"));
        let client_path = host_path.with_file_name("punktfunk");
        assert!(client_path.exists(), "the client is missing: cargo build -p punktfunk-client builds it");
        let in_session = |name: &str| session.dir().join(name).display().to_string();
        let args = ["serve", "--open", "--listen", "127.0.0.1:0", "--json", "--once", "--source", asked];
        let places = ["--identity", &in_session("host"), "--port-file", &in_session("port")];
        let host = start(&session, host_path, "host", &[&args[..], &places].concat());
        let port = fs::read_to_string(session.wait_for_file(Path::new("port"))).unwrap();
        let (address, recording) =
            (format!("127.0.0.1:{}", port.trim()), session.dir().join("recording.h264"));
        let args = ["connect", &address, "--open", "--json", "--mode", "640x480@60"];
        let places = ["--identity", &in_session("client"), "--record", recording.to_str().unwrap()];
        let client = start(&session, &client_path, "client", &[&args[..], &places].concat());
        let programs = Self { session, host, client, recording };
        let welcome = programs.event(0, DEADLINE, |event| event["event"] == "welcome");
        let welcome = welcome.unwrap_or_else(|| panic!("no Welcome\n{}", programs.session.logs()));
        let text = welcome["source"].as_str().unwrap();
        assert!(
            text.contains(source) && !text.contains("in place of"),
            "{text}\n{}",
            programs.session.logs()
        );
        programs
    }

    fn said(&self) -> String {
        fs::read_to_string(self.session.dir().join("host.out")).unwrap()
    }

    /// Waits for an event of the host that `is` the one, and is not among the first bytes of what it said.
    fn event(&self, after: usize, patience: Duration, is: impl Fn(&Value) -> bool) -> Option<Value> {
        let began = Instant::now();
        while began.elapsed() < patience {
            let said = self.said();
            let whole = said.get(after..said.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default();
            let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            if let Some(found) = events.into_iter().find(&is) {
                return Some(found);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        None
    }

    /// Waits until pictures have come to the client, from now on.
    fn wait_for_pictures(&mut self) {
        let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let (began, mut last, mut grown) = (Instant::now(), length(&self.recording), 0);
        while grown < FLOWING {
            let now = length(&self.recording);
            grown += usize::from(now > last);
            last = now;
            let ended = self.client.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < DEADLINE,
                "{grown} pictures; the client: {ended:?}\n{}",
                self.session.logs()
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Lets the client leave; what it tells of the whole, once both programs have ended in order.
    fn end(mut self) -> Value {
        kill_process(Pid::from_child(&self.client), Signal::INT).unwrap();
        for (name, child) in [("client", &mut self.client), ("host", &mut self.host)] {
            let status = ended(child);
            assert!(
                status.is_some_and(|status| status.success()),
                "{name}: {status:?}\n{}",
                self.session.logs()
            );
        }
        let said = fs::read_to_string(self.session.dir().join("client.out")).unwrap();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

fn ended(child: &mut Child) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        let status = child.try_wait().unwrap();
        if status.is_some() || began.elapsed() >= DEADLINE {
            return status;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Cuts a link of a stream that flows, and sees to what comes of it.
fn cut(what: &str, mut programs: Programs, expected: &Cut) {
    let before = programs.said().len();
    let began = Instant::now();
    (expected.cut)(&mut programs.session);
    let is_over = |event: &Value| {
        event["event"] == "fault" || event["source"].is_string() && event["event"] == "source"
    };
    let over = programs.event(before, expected.seen + RECOVERY + DEADLINE, is_over);
    let took = began.elapsed();
    let over = over.unwrap_or_else(|| panic!("{what}: nothing\n{}", programs.session.logs()));
    eprintln!("{what}: after {took:?}: {over}");
    let logs = programs.session.logs();
    assert_eq!(over["event"], "source", "{what}: {over}\n{logs}");
    assert!(over["source"].as_str().unwrap().starts_with(expected.source), "{what}: {over}\n{logs}");
    assert!(over["reason"].as_str().unwrap().contains(expected.why), "{what}: {over}\n{logs}");
    assert!(took < expected.seen + RECOVERY + MARGIN, "{what}: {took:?}\n{logs}");

    programs.wait_for_pictures();
    let summary = programs.end();
    let told = summary["sources"]["told"].as_array().unwrap();
    assert_eq!(told.last().unwrap()["source"], over["source"], "{what}: {summary:#}");
    // Pictures of both ways were decoded.
    let from_au = told.last().unwrap()["from_au"].as_u64().unwrap();
    let decoded = summary["pictures"]["decoded"].as_u64().unwrap();
    assert!(from_au > 10 && decoded > from_au + 10, "{what}: {decoded} of {from_au} and more: {summary:#}");
    let falls = summary["falls"].as_array().unwrap();
    let steps: Vec<_> = falls.iter().map(|fall| [&fall["from"], &fall["to"]]).collect();
    assert_eq!(steps, expected.ways.windows(2).collect::<Vec<_>>(), "{what}: {falls:?}\n{logs}");
    assert_eq!(falls[0]["reason"], expected.reason, "{what}: {falls:?}\n{logs}");
    assert!(falls.iter().all(|fall| fall["count"] == 1), "{what}: {falls:?}\n{logs}");
}

/// A sway through the portal: PipeWire first, as it was asked for.
fn of_sway(what: &str, expected: &Cut) {
    let mut session = Session::start();
    session.start_sway(Mode::new(640, 480, 60_000).unwrap());
    cut(what, Programs::start(session, "pipewire", "desktop portal"), expected);
}

fn kill_owner(session: &Session, name: &str) {
    kill_process(session.owner(name), Signal::KILL).unwrap();
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_killed_pipewire_is_gone_around_by_wayland() {
    let expected = Cut {
        cut: |session| session.kill("pipewire"),
        why: "PipeWire went away",
        reason: "ended",
        ways: &["pipewire", "wayland"],
        source: BY_WAYLAND,
        seen: Duration::ZERO,
    };
    of_sway("PipeWire killed", &expected);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_pipewire_that_hangs_is_gone_around_by_wayland() {
    let expected = Cut {
        cut: |session| session.signal("pipewire", Signal::STOP),
        why: "PipeWire does not answer",
        reason: "no-answer",
        ways: &["pipewire", "wayland"],
        source: BY_WAYLAND,
        seen: Duration::ZERO,
    };
    of_sway("PipeWire stopped", &expected);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_killed_portal_is_gone_around_by_wayland() {
    let expected = Cut {
        cut: |session| kill_owner(session, PORTAL),
        why: "the desktop portal went away",
        reason: "ended",
        ways: &["pipewire", "wayland"],
        source: BY_WAYLAND,
        seen: Duration::ZERO,
    };
    of_sway("portal killed", &expected);
    let (cut, why): (fn(&mut Session), _) =
        (|session| kill_owner(session, BACK_END), "xdg-desktop-portal-wlr was removed");
    let expected = Cut { cut, why, ..expected };
    of_sway("portal's back end killed", &expected);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_sway_that_goes_or_hangs_is_replaced_by_one_of_our_own() {
    let expected = Cut {
        cut: |session| session.kill("sway"),
        why: "xdg-desktop-portal-wlr was removed",
        reason: "ended",
        ways: &["pipewire", "wayland", "pipewire", "sway"],
        source: OWN,
        seen: Duration::ZERO,
    };
    of_sway("sway killed", &expected);
    let expected = Cut {
        cut: |session| session.signal("sway", Signal::STOP),
        why: "does not answer wl_display.sync",
        reason: "no-answer",
        // What was silent is not asked again before another screen.
        ways: &["pipewire", "wayland", "sway"],
        seen: HANG,
        ..expected
    };
    of_sway("sway stopped", &expected);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_mutter_that_goes_or_hangs_is_replaced_by_a_sway_of_our_own() {
    let of_mutter = |what: &str, expected: &Cut| {
        let mut session = Session::start();
        session.start_mutter(Mode::new(640, 480, 60_000).unwrap());
        cut(what, Programs::start(session, "auto", "GNOME's primary monitor"), expected);
    };
    let expected = Cut {
        cut: |session| session.kill("mutter"),
        why: "GNOME's mutter went away",
        reason: "ended",
        ways: &["mutter", "pipewire", "mutter", "sway"],
        source: OWN,
        seen: Duration::ZERO,
    };
    of_mutter("mutter killed", &expected);
    let expected = Cut {
        cut: |session| session.signal("mutter", Signal::STOP),
        why: "does not answer wl_display.sync",
        reason: "no-answer",
        ways: &["mutter", "pipewire", "sway"],
        seen: HANG,
        ..expected
    };
    of_mutter("mutter stopped", &expected);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn gnomes_own_door_gives_its_monitor_or_makes_one_of_the_clients_size() {
    for (asked, source) in [
        ("mutter", "GNOME's primary monitor 800x600"),
        // Nothing is drawn on it, so that it has its first picture and no more.
        ("mutter-virtual", "virtual monitor of GNOME's 640x480"),
    ] {
        let mut session = Session::start();
        session.start_mutter(Mode::new(800, 600, 60_000).unwrap());
        let programs = Programs::connect(session, asked, source);
        let log = fs::read_to_string(programs.session.dir().join("host.log")).unwrap();
        assert!(log.contains("nobody has to agree"), "{log}");
        let began = Instant::now();
        while !fs::metadata(&programs.recording).is_ok_and(|file| file.len() > 0) {
            assert!(began.elapsed() < DEADLINE, "no picture\n{}", programs.session.logs());
            std::thread::sleep(LOOK_INTERVAL);
        }
        let summary = programs.end();
        assert_eq!(summary["falls"].as_array().map(Vec::len), Some(0), "{summary:#}");
    }
}
