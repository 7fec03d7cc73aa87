//! What cannot be had: replaced by something lesser and said, or the end of the one session with its code.

use std::fs::OpenOptions;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use punktfunk_capture::card::Painter;
use punktfunk_capture::{Mode, card::CardStamp};

use crate::nvdec::libraries;
use crate::support::{
    ClientStart, HostStart, PATIENCE, Place, Program, count, look, session_turn, sway_turn,
};

/// The socket of a compositor that has gone away: nobody answers, as one without screen capture does not.
fn dead_socket(place: &Place) -> PathBuf {
    let path = place.path("wayland-9");
    drop(UnixListener::bind(&path).unwrap());
    path
}

/// The doors to a desktop that this host tries, in order.
fn doors() -> &'static [&'static str] {
    if cfg!(feature = "pipewire") { &["wayland", "pipewire"] } else { &["wayland"] }
}

/// What is not built in is no failed way, and is said once.
fn assert_said_what_is_left_out(stderr: &str) {
    let times = stderr.matches("was built without PipeWire").count();
    assert_eq!(times, usize::from(!cfg!(feature = "pipewire")), "{stderr}");
}

#[test]
fn a_desktop_that_cannot_be_captured_is_replaced_by_one_of_our_own() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let socket = dead_socket(&place);
    let host = HostStart::new(&place, "auto").args(&["--once"]).env("WAYLAND_DISPLAY", &socket).ready();
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
    client.expect_code(0);
    let summary = client.json();
    let source = summary["source"].as_str().unwrap();
    assert!(source.starts_with("sway") && source.contains(socket.to_str().unwrap()), "{source}");
    let figures = host.event("figures", 0, PATIENCE);
    assert_eq!(figures["fallbacks"], doors().len());
    assert_eq!(figures["falls"], summary["falls"]);
    let falls = summary["falls"].as_array().unwrap();
    let from: Vec<_> = falls.iter().map(|fall| fall["from"].as_str().unwrap()).collect();
    let (last, once) = (falls.last().unwrap(), 1.into());
    assert_eq!(from, doors());
    assert_eq!((&last["to"], &last["count"]), (&"sway".into(), &once), "{falls:?}");
    let ended = host.ends();
    ended.expect_said(&["starting a desktop of our own instead"]);
    assert_said_what_is_left_out(&ended.stderr);
}

#[test]
fn without_any_desktop_the_card_says_both_reasons() {
    let (_turn, place) = (session_turn(), Place::new());
    std::fs::create_dir(place.path("bin")).unwrap();
    let socket = dead_socket(&place);
    let host = HostStart::new(&place, "auto").args(&["--once"]).env("WAYLAND_DISPLAY", &socket);
    let host = host.env("PATH", place.path("bin")).ready();
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
    client.expect_code(0);
    let summary = client.json();
    let source = summary["source"].as_str().unwrap();
    let parts = ["test card 1280x720@60, because", "apt install sway", socket.to_str().unwrap()];
    assert!(parts.iter().all(|part| source.contains(part)), "{source}");
    // The desktop's doors, and one of our own.
    assert_eq!(host.event("figures", 0, PATIENCE)["fallbacks"], doors().len() + 1);
    assert_said_what_is_left_out(&host.ends().stderr);
}

#[test]
fn gnomes_monitors_are_refused_by_name_where_there_is_no_gnome() {
    let place = Place::new();
    if !cfg!(feature = "pipewire") {
        HostStart::new(&place, "mutter").refused().expect_code(8).expect_said(&["built without PipeWire"]);
        return;
    }
    let address = format!("unix:path={}", place.path("bus").display());
    let refused = |source| HostStart::new(&place, source).env("DBUS_SESSION_BUS_ADDRESS", &address).refused();
    refused("mutter").expect_code(10).expect_said(&["D-Bus session bus"]);
    let mut bus = Command::new("dbus-daemon");
    bus.args(["--session", "--nofork", "--nopidfile", "--address", &address]);
    let _bus = Program::start(&place, "bus", bus);
    look("a bus", PATIENCE, || place.path("bus").exists().then_some(()));
    for source in ["mutter", "mutter:DP-1", "mutter-virtual"] {
        refused(source).expect_code(10).expect_said(&["org.gnome.Mutter.ScreenCast", "GNOME"]);
    }
}

#[test]
fn an_output_that_was_named_is_not_replaced() {
    let place = Place::new();
    let refused = HostStart::new(&place, "wayland:DP-9").refused();
    refused.expect_code(8).expect_said(&["DP-9", "WAYLAND_DISPLAY"]);
    let socket = dead_socket(&place);
    let host =
        HostStart::new(&place, "wayland:DP-9").args(&["--once"]).env("WAYLAND_DISPLAY", &socket).ready();
    let client = ClientStart::new(&place, host.port).run();
    client.expect_said(&["the host refused", socket.to_str().unwrap()]);
    host.ends_with(10);
    place.assert_empty(PATIENCE);
}

#[test]
fn a_refused_session_is_the_end_of_a_host_that_has_only_one() {
    let place = Place::new();
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    // A client that decodes more than the host encodes.
    let client = ClientStart::new(&place, host.port)
        .env("LD_LIBRARY_PATH", libraries(&place))
        .args(&["--mode", "4096x4096@60"])
        .run();
    client.expect_said(&["36864 macroblocks"]);
    assert_eq!(host.event("refused", 0, PATIENCE)["event"], "refused");
    host.ends_with(5).expect_said(&["punktfunk-host:", "36864 macroblocks"]);
}

#[test]
fn a_source_that_breaks_in_mid_stream_is_told_in_order() {
    let (_turn, place) = (session_turn(), Place::new());
    let mode: Mode = "640x360@60".parse().unwrap();
    let mut bytes = b"YUV4MPEG2 W640 H360 F60:1 Ip C420jpeg\n".to_vec();
    let mut painter = Painter::new(mode).unwrap();
    for number in 0..30 {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(painter.paint(CardStamp { number, time_us: 0 }));
    }
    let file = place.write("shrinks.y4m", &bytes);
    let host = HostStart::new(&place, format!("file:{}", file.display())).args(&["--once"]).ready();
    let recording = place.path("recording.h264");
    let client = ClientStart::new(&place, host.port).file("--record", &recording).start();
    look("a recording", PATIENCE, || {
        std::fs::metadata(&recording).is_ok_and(|file| file.len() > 20_000).then_some(())
    });
    OpenOptions::new().write(true).open(&file).unwrap().set_len(1_000).unwrap();
    let ended = client.program.wait(PATIENCE);
    ended.expect_said(&["shrinks.y4m"]);
    assert!(count(&ended.json(), "/pictures/decoded") > 0);
    host.event("ended", 0, PATIENCE);
    let stdout = host.program.stdout();
    let place_of = |event: &str| stdout.find(&format!("\"event\":\"{event}\"")).expect(event);
    assert!(place_of("figures") < place_of("fault") && place_of("fault") < place_of("ended"), "{stdout}");
    host.ends_with(10).expect_said(&["shrinks.y4m"]);
}
