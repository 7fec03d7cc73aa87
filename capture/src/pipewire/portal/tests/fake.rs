//! A portal of our own, on a bus of our own: what it is asked, and what becomes of its tokens.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use zbus::{Connection, OwnedObjectPath};

use super::super::*;
use crate::pipewire::bus::Recall;
use crate::pipewire::tests::{DEADLINE, TestBus, next_call};
use crate::pipewire::{Door, PipeWireSource, Surroundings};
use crate::{CaptureError, Mode, Patience};

/// How a portal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Grants,
    /// Persons press Cancel, with a token too.
    Cancels,
    /// Nobody is there to answer.
    Waits,
    /// It goes once it was asked to start, before or after it took the call.
    Goes {
        has_replied: bool,
    },
}

/// What it was asked.
#[derive(Debug, Default)]
struct Asked {
    /// For each start: the token that came, and how long the choice is to be kept.
    starts: Vec<(Option<String>, Option<u32>)>,
    /// How often a person was asked.
    questions: u32,
}

struct FakePortal {
    bus: TestBus,
    asked: Arc<Mutex<Asked>>,
}

impl FakePortal {
    fn start(version: u32, manner: Manner) -> Self {
        let (mut bus, asked) = (TestBus::start(), Arc::new(Mutex::new(Asked::default())));
        let hears = Arc::clone(&asked);
        bus.serve(NAME, move |connection, mut calls| async move {
            serve(&connection, &mut calls, version, manner, &hears).await;
        });
        Self { bus, asked }
    }

    fn open(&self) -> Result<Cast, Diagnosis> {
        let token_file = self.token_file();
        let recall = Recall::default();
        zbus::block_on(async {
            let bus = Bus::connect(Some(&self.bus.address), &recall).await?;
            open(&bus, Some(&token_file)).await
        })
    }

    /// A source behind it; it has no picture.
    fn connect(&self, patience: &Patience) -> CaptureError {
        let surroundings = Surroundings {
            bus: Some(self.bus.address.clone()),
            environment: Some(Vec::new()),
            ..Surroundings::default()
        };
        let door = Door::Portal { token_file: Some(self.token_file()) };
        let mode = Mode::new(640, 480, 60_000).unwrap();
        PipeWireSource::connect_in(&surroundings, door, mode, patience.clone()).unwrap_err()
    }

    fn token_file(&self) -> std::path::PathBuf {
        self.bus.dir.path().join("token")
    }

    fn token(&self) -> Option<String> {
        std::fs::read_to_string(self.token_file()).ok()
    }

    fn starts(&self) -> Vec<(Option<String>, Option<u32>)> {
        self.asked.lock().unwrap().starts.clone()
    }

    fn questions(&self) -> u32 {
        self.asked.lock().unwrap().questions
    }
}

async fn serve(
    connection: &Connection,
    calls: &mut MessageStream,
    version: u32,
    manner: Manner,
    asked: &Mutex<Asked>,
) {
    let (mut selected, mut valid, mut given) = ((None, None), None, 0);
    while let Some(call) = next_call(calls).await {
        let header = call.header();
        let sender = header.sender().unwrap().as_str().trim_start_matches(':').replace('.', "_");
        let (code, results) = match header.member().unwrap().as_str() {
            "GetAll" => {
                let has = [("version", version.into()), ("AvailableCursorModes", 3_u32.into())];
                connection.reply(&header, &Options::from(has)).await.unwrap();
                continue;
            }
            "OpenPipeWireRemote" => {
                let (ours, _) = std::os::unix::net::UnixStream::pair().unwrap();
                connection.reply(&header, &zbus::OwnedFd::from(OwnedFd::from(ours))).await.unwrap();
                continue;
            }
            "CreateSession" => (0, Options::from([("session_handle", Variant::from("/session"))])),
            "SelectSources" => {
                selected = choice_of(&call);
                (0, Options::new())
            }
            "Start" => {
                asked.lock().unwrap().starts.push(selected.clone());
                let is_known = selected.0.is_some() && selected.0 == valid;
                match manner {
                    Manner::Goes { has_replied } => {
                        if has_replied {
                            connection.reply(&header, &()).await.unwrap();
                        }
                        let _ = connection.clone().close().await;
                        return;
                    }
                    Manner::Waits => continue,
                    Manner::Cancels => {
                        asked.lock().unwrap().questions += 1;
                        (1, Options::new())
                    }
                    // A token that it does not know is refused; a real one may ask instead.
                    Manner::Grants if selected.0.is_some() && !is_known => (2, Options::new()),
                    Manner::Grants => {
                        asked.lock().unwrap().questions += u32::from(!is_known);
                        given += 1;
                        valid = Some(format!("token-{given}"));
                        let streams = Variant::from(vec![(57_u32, Options::new())]);
                        let mut results = Options::from([("streams", streams)]);
                        if version >= PERSIST_VERSION {
                            results.insert("restore_token", Variant::from(format!("token-{given}")));
                        }
                        (0, results)
                    }
                }
            }
            // The session is closed.
            _ => continue,
        };
        let handle = handle_of(&call);
        let request = format!("{PATH}/request/{sender}/{handle}");
        let path = ObjectPath::try_from(request.as_str()).unwrap();
        connection.reply(&header, &path).await.unwrap();
        let (interface, signal) = ("org.freedesktop.portal.Request", "Response");
        let to = header.sender().cloned();
        connection.emit_signal(to, path, interface, signal, &(code as u32, results)).await.unwrap();
    }
}

/// The token of a selection, and how long it is to be kept.
fn choice_of(call: &Message) -> (Option<String>, Option<u32>) {
    let body = call.body();
    let (_, options): (OwnedObjectPath, Options<'_>) = body.deserialize().unwrap();
    let token = options.get("restore_token").map(|token| token.downcast_ref::<String>().unwrap());
    let persist = options.get("persist_mode").map(|mode| mode.downcast_ref::<u32>().unwrap());
    (token, persist)
}

fn handle_of(call: &Message) -> String {
    let body = call.body();
    let options: Options<'_> = match call.header().member().unwrap().as_str() {
        "CreateSession" => body.deserialize().unwrap(),
        "SelectSources" => body.deserialize::<(OwnedObjectPath, Options<'_>)>().unwrap().1,
        _ => body.deserialize::<(OwnedObjectPath, &str, Options<'_>)>().unwrap().2,
    };
    options["handle_token"].downcast_ref::<String>().unwrap()
}

fn sent(token: Option<&str>) -> (Option<String>, Option<u32>) {
    (token.map(str::to_owned), Some(PERSIST))
}

#[test]
fn a_token_is_kept_and_sent_and_a_person_is_asked_once() {
    let portal = FakePortal::start(PERSIST_VERSION, Manner::Grants);
    for token in ["token-1", "token-2", "token-3"] {
        assert_eq!(portal.open().unwrap().node, 57);
        assert_eq!(portal.token().as_deref(), Some(token));
        assert_eq!(portal.questions(), 1);
    }
    assert_eq!(portal.starts(), [sent(None), sent(Some("token-1")), sent(Some("token-2"))]);
}

#[test]
fn a_token_that_is_refused_costs_one_question() {
    let portal = FakePortal::start(PERSIST_VERSION, Manner::Grants);
    std::fs::write(portal.token_file(), "stale").unwrap();
    assert_eq!(portal.open().unwrap().node, 57);
    assert_eq!(portal.starts(), [sent(Some("stale")), sent(None)]);
    assert_eq!((portal.questions(), portal.token().as_deref()), (1, Some("token-1")));
}

#[test]
fn a_person_who_cancels_is_asked_once_and_the_token_stays() {
    let portal = FakePortal::start(PERSIST_VERSION, Manner::Cancels);
    std::fs::write(portal.token_file(), "mine").unwrap();
    assert_eq!(portal.open().unwrap_err(), Diagnosis::PortalCancelled { by: BY });
    assert_eq!(portal.starts(), [sent(Some("mine"))]);
    assert_eq!((portal.questions(), portal.token().as_deref()), (1, Some("mine")));
}

#[test]
fn a_portal_that_keeps_no_choice_is_given_no_token() {
    let portal = FakePortal::start(PERSIST_VERSION - 1, Manner::Grants);
    std::fs::write(portal.token_file(), "mine").unwrap();
    portal.open().unwrap();
    assert_eq!(portal.starts(), [(None, None)]);
    assert_eq!(portal.token().as_deref(), Some("mine"));
}

#[test]
fn a_portal_that_goes_before_it_answers_is_named_at_once_and_costs_no_token() {
    for has_replied in [true, false] {
        let portal = FakePortal::start(PERSIST_VERSION, Manner::Goes { has_replied });
        std::fs::write(portal.token_file(), "mine").unwrap();
        let started = Instant::now();
        assert_eq!(portal.open().unwrap_err(), Diagnosis::PortalGone { by: BY });
        assert!(started.elapsed() < Duration::from_secs(2), "after {:?}", started.elapsed());
        assert_eq!(portal.token().as_deref(), Some("mine"));
    }
}

#[test]
fn a_person_has_longer_than_a_portal_that_was_given_leave_before() {
    let portal = FakePortal::start(PERSIST_VERSION, Manner::Waits);
    let timed_out = |asked| Diagnosis::PortalTimedOut { asked };
    let (soon, later) = (Duration::from_millis(400), Duration::from_millis(1_200));
    let connect = || {
        let began = Instant::now();
        let patience = Patience { person_until: began + later, ..Patience::until(began + soon) };
        (portal.connect(&patience), began.elapsed())
    };
    let (error, took) = connect();
    assert!(
        matches!(&error, CaptureError::Unusable { diagnosis } if *diagnosis == timed_out(ASKING_A_PERSON)),
        "{error}"
    );
    assert!(took >= later, "{took:?}");
    std::fs::write(portal.token_file(), "mine").unwrap();
    let (error, took) = connect();
    assert!(error.to_string().contains("has given before"), "{error}");
    assert!(took < later, "{took:?}");
    // Whoever gives up gets the dialog closed, and waits no longer.
    let (patience, began) = (Patience::from(DEADLINE), Instant::now());
    patience.give_up();
    portal.connect(&patience);
    assert!(began.elapsed() < DEADLINE / 4, "{:?}", began.elapsed());
}
