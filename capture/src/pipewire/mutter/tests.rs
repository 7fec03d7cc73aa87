//! A mutter of our own, on a bus of our own: what it is asked, and what becomes of its answers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use zbus::ObjectPath;

use super::*;
use crate::pipewire::bus::Recall;
use crate::pipewire::tests::{TestBus, next_call};
use crate::pipewire::{Surroundings, has_mutter};

const SOON: Duration = Duration::from_secs(10);

/// A mutter with one monitor, which is called DP-1.
struct FakeMutter {
    bus: TestBus,
    /// The names of what was called, with what was to be recorded.
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeMutter {
    fn start() -> Self {
        let (mut bus, asked) = (TestBus::start(), Arc::new(Mutex::new(Vec::new())));
        let hears = Arc::clone(&asked);
        bus.serve(NAME, move |connection, mut calls| async move {
            while let Some(call) = next_call(&mut calls).await {
                let header = call.header();
                let member = header.member().unwrap().as_str().to_owned();
                let connector = match member.as_str() {
                    "RecordMonitor" => call.body().deserialize::<(String, Options<'_>)>().unwrap().0,
                    _ => String::new(),
                };
                hears.lock().unwrap().push(format!("{member} {connector}").trim_end().to_owned());
                let path = |path| ObjectPath::try_from(path).unwrap();
                match member.as_str() {
                    "CreateSession" => connection.reply(&header, &path("/session")).await.unwrap(),
                    "RecordMonitor" if !matches!(connector.as_str(), "" | "DP-1") => {
                        let name = "org.freedesktop.DBus.Error.Failed";
                        connection.reply_error(&header, name, &"Unknown monitor").await.unwrap();
                    }
                    "RecordMonitor" | "RecordVirtual" => {
                        connection.reply(&header, &path("/stream")).await.unwrap();
                    }
                    "Start" => {
                        connection.reply(&header, &()).await.unwrap();
                        let member = "PipeWireStreamAdded";
                        // Somebody else's comes first.
                        for (stream, node) in [("/other", 1_u32), ("/stream", 42)] {
                            let to = header.sender().cloned();
                            connection.emit_signal(to, path(stream), STREAM, member, &node).await.unwrap();
                        }
                    }
                    _ => {}
                }
            }
        });
        Self { bus, asked }
    }

    fn open(&self, screen: Screen<'_>) -> Result<Cast, Diagnosis> {
        let recall = Recall::default();
        zbus::block_on(async { open(&Bus::connect(Some(&self.bus.address), &recall).await?, screen).await })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn surroundings(bus: &TestBus) -> Surroundings {
    Surroundings { bus: Some(bus.address.clone()), ..Surroundings::default() }
}

#[test]
fn a_monitor_is_asked_for_by_its_name_and_a_virtual_one_is_made() {
    let mutter = FakeMutter::start();
    assert_eq!(has_mutter(&surroundings(&mutter.bus), SOON), Ok(()));
    assert!(mutter.asked().is_empty(), "who looks only asks the bus");
    for (screen, asked) in [
        (Screen::Monitor(None), "RecordMonitor"),
        (Screen::Monitor(Some("DP-1")), "RecordMonitor DP-1"),
        (Screen::Virtual, "RecordVirtual"),
    ] {
        assert_eq!(mutter.open(screen).unwrap().node, 42);
        assert_eq!(mutter.asked(), ["CreateSession", asked, "Start"]);
    }
}

#[test]
fn a_monitor_that_it_does_not_have_is_refused_in_its_words() {
    let mutter = FakeMutter::start();
    let error = mutter.open(Screen::Monitor(Some("DP-9"))).unwrap_err();
    assert!(matches!(error, Diagnosis::PortalRefused { by: BY, .. }), "{error}");
    assert!(error.to_string().contains("Unknown monitor"), "{error}");
    assert_eq!(mutter.asked(), ["CreateSession", "RecordMonitor DP-9"]);
}

#[test]
fn a_session_without_mutter_or_without_a_bus_is_named() {
    let bus = TestBus::start();
    let missing = has_mutter(&surroundings(&bus), SOON).unwrap_err();
    assert!(matches!(missing, Diagnosis::MutterMissing { .. }), "{missing}");
    assert!(missing.to_string().contains(NAME), "{missing}");
    let nowhere = Surroundings { bus: Some("unix:path=/nonexistent".to_owned()), ..Surroundings::default() };
    let missing = has_mutter(&nowhere, SOON).unwrap_err();
    assert!(matches!(missing, Diagnosis::NoSessionBus { .. }), "{missing}");
}

#[test]
fn a_bus_that_does_not_answer_is_waited_for_no_longer_than_told() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mute =
        Surroundings { bus: Some(format!("unix:path={}", socket.display())), ..Surroundings::default() };
    let began = Instant::now();
    let missing = has_mutter(&mute, Duration::from_millis(100)).unwrap_err();
    assert!(matches!(missing, Diagnosis::PortalTimedOut { .. }), "{missing}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}
