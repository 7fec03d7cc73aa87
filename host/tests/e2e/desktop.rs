//! A real compositor, started by the host for its client, captured, streamed and gone again.

use std::time::Duration;

use crate::support::{
    ClientStart, HostStart, MARGIN, PATIENCE, Place, assert_all_came, count, look, probe_recording,
    processes_of, session_turn, sway_turn,
};

#[test]
fn sways_pictures_arrive_and_sway_goes_with_its_session() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").args(&["--once"]).ready();
    let recording = place.path("sway.h264");
    let client = ClientStart::new(&place, host.port)
        .args(&["--mode", "640x360@30", "--seconds", "10"])
        .file("--record", &recording)
        .file("--snapshot", &place.path("sway.png"));
    let ended = client.run_for(Duration::from_secs(10));
    ended.expect_code(0).expect_said(&[]);
    let host = host.ends();
    // With the host's own end, not some time after it.
    place.assert_empty(Duration::ZERO);

    let summary = ended.json();
    let kept_up = assert_all_came(&summary);
    assert!(summary["source"].as_str().unwrap().starts_with("sway"), "{summary:#}");
    let of = |pointer| count(&summary, pointer);
    assert_eq!((of("/mode/width"), of("/mode/height")), (640, 360));
    let (captured, superseded) = (of("/pictures/captured"), of("/pictures/superseded"));
    let rate = captured as f64 / summary["streamed_s"].as_f64().unwrap();
    eprintln!(
        "sway at 640x360@30: {rate:.1} pictures captured a second, {captured} in all, {superseded} superseded"
    );
    assert!(rate >= 15.0, "{rate:.1} pictures captured a second; {summary:#}\n{}", host.stderr);
    if let Some(recorded) = probe_recording(&recording, false) {
        assert_eq!((recorded.width, recorded.height), (640, 360));
        let got = recorded.pictures;
        eprintln!("recorded {got} of {captured} that the source gave");
        assert_eq!(got, of("/pictures/decoded"), "{summary:#}");
        if kept_up {
            assert!(got * 100 >= captured * 95, "{got} pictures recorded of {captured}; {summary:#}");
        }
    }
    assert!(has_more_than_one_colour(&place), "the snapshot is blank");
}

/// A desktop with a clock in a terminal is not one flat area.
fn has_more_than_one_colour(place: &Place) -> bool {
    let file = std::io::BufReader::new(std::fs::File::open(place.path("sway.png")).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut rgb).unwrap();
    let first = &rgb[..3];
    let other = rgb.chunks_exact(3).filter(|pixel| pixel.iter().zip(first).any(|(a, b)| a.abs_diff(*b) > 32));
    other.count() > 100
}

#[test]
fn a_killed_host_takes_its_sway_along() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let mut host = HostStart::new(&place, "wayland").ready();
    let recording = place.path("cut.h264");
    let client =
        ClientStart::new(&place, host.port).args(&["--reconnect", "0"]).file("--record", &recording).start();
    host.event("welcome", 0, PATIENCE);
    look("a recording", PATIENCE, || {
        std::fs::metadata(&recording).is_ok_and(|file| file.len() > 20_000).then_some(())
    });
    let running = processes_of(place.folder());
    for program in ["sway", "foot"] {
        assert!(running.iter().any(|process| process.ends_with(program)), "{program} in {running:?}");
    }
    host.program.kill();
    // What the kernel tells sway's supervisor comes at once; SIGTERM's grace is two seconds.
    let ended = client.program.wait(Duration::from_secs(3) + MARGIN);
    ended.expect_code(9);
    drop(host);
    place.assert_empty(Duration::from_secs(5));
    assert!(count(&ended.json(), "/pictures/decoded") > 0);
    if let Some(recorded) = probe_recording(&recording, true) {
        assert!(recorded.pictures > 0, "{recorded:?}");
    }
}

#[test]
fn a_killed_clients_sway_goes_and_the_host_stays() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").ready();
    let recording = place.path("cut.h264");
    let mut client = ClientStart::new(&place, host.port).file("--record", &recording).start();
    look("a recording", PATIENCE, || std::fs::metadata(&recording).is_ok().then_some(()));
    client.program.kill();
    drop(client);
    // The silence is noticed within three seconds; sway has two to leave in order.
    look("only the host", Duration::from_secs(5) + MARGIN, || {
        let only_host = processes_of(place.folder()).iter().all(|process| process.contains("punktfunk-host"));
        (only_host && place.desktops().is_empty()).then_some(())
    });
    host.stop();
    place.assert_empty(Duration::ZERO);
}

#[test]
fn a_host_that_is_asked_to_end_while_sway_starts_leaves_nothing() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "wayland").ready();
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).start();
    look("sway on its way", PATIENCE, || (!place.desktops().is_empty()).then_some(()));
    host.stop();
    assert!(place.desktops().is_empty(), "{:?}", place.desktops());
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(9).expect_said(&["the host program ends"]);
    place.assert_empty(Duration::ZERO);
}

#[test]
fn a_desktop_without_its_terminal_is_refused_by_name() {
    let Some(_sway) = sway_turn() else { return };
    let place = Place::new();
    let path = std::env::var_os("PATH").unwrap();
    let sway = std::env::split_paths(&path).map(|dir| dir.join("sway")).find(|program| program.exists());
    std::fs::create_dir(place.path("bin")).unwrap();
    std::os::unix::fs::symlink(sway.unwrap(), place.path("bin/sway")).unwrap();
    let host = HostStart::new(&place, "wayland").env("PATH", place.path("bin")).ready();
    let client = ClientStart::new(&place, host.port).args(&["--seconds", "1"]).run();
    client.expect_code(8).expect_said(&["foot", "apt install foot"]);
    assert!(place.desktops().is_empty());
    host.stop();
}
