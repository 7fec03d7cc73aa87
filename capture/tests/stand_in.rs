//! A compositor that fails in every way that has a name, played by a socket that speaks just enough of
//! the wire format.

#![cfg(feature = "wayland")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_capture::wayland::WaylandSource;
use punktfunk_capture::{CaptureError, Diagnosis, Source};

/// What a stand-in that answers keeps within, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(1);
const XRGB8888: u32 = 1;
const XBGR8888: u32 = 0x3432_4258;
/// `XR30`, ten bits a colour.
const XRGB2101010: u32 = 0x3033_5258;

/// What the stand-in does.
#[derive(Clone, Debug)]
struct Play {
    /// Interface and version, announced in this order.
    globals: Vec<(&'static str, u32)>,
    /// The format of the buffers that it asks for; `None`: it never asks.
    format: Option<u32>,
    /// Copies that are made before `then`.
    pictures: u32,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Wait,
    Fail,
    RemoveOutput,
    Close,
    /// Messages to objects that are there, of random content, from this seed.
    Noise(u64),
}

impl Default for Play {
    fn default() -> Self {
        let globals = vec![("wl_shm", 1), ("wl_output", 4), ("zwlr_screencopy_manager_v1", 3)];
        Self { globals, format: Some(XRGB8888), pictures: 0, then: Then::Wait }
    }
}

/// A stand-in's socket; the folder goes with it.
struct StandIn {
    path: PathBuf,
    copies: Arc<AtomicU32>,
    _dir: tempfile::TempDir,
}

fn serve(session: impl FnOnce(UnixStream, &AtomicU32) + Send + 'static) -> StandIn {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wayland-7");
    let listener = UnixListener::bind(&path).unwrap();
    let copies = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&copies);
    thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            session(stream, &counted);
        }
    });
    StandIn { path, copies, _dir: dir }
}

fn play(play: Play) -> StandIn {
    serve(move |stream, copies| {
        // The client hangs up whenever it has seen enough.
        let _ =
            Session { stream, play, shm: 0, manager: 0, output: 0, registry: 0, frames: Vec::new(), copies }
                .run();
    })
}

struct Session<'a> {
    stream: UnixStream,
    play: Play,
    registry: u32,
    shm: u32,
    manager: u32,
    output: u32,
    frames: Vec<u32>,
    copies: &'a AtomicU32,
}

impl Session<'_> {
    fn run(&mut self) -> std::io::Result<()> {
        loop {
            let mut header = [0; 8];
            self.stream.read_exact(&mut header)?;
            let object = u32::from_ne_bytes(header[..4].try_into().unwrap());
            let word = u32::from_ne_bytes(header[4..].try_into().unwrap());
            let mut body = vec![0; (word >> 16) as usize - 8];
            self.stream.read_exact(&mut body)?;
            let words: Vec<u32> =
                body.chunks_exact(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().unwrap())).collect();
            if !self.answer(object, word & 0xffff, &words)? {
                return Ok(());
            }
        }
    }

    /// Whether to go on.
    fn answer(&mut self, object: u32, opcode: u32, words: &[u32]) -> std::io::Result<bool> {
        if object == 1 && opcode == 0 {
            self.send(words[0], 0, &[0])?;
            self.send(1, 1, &[words[0]])?;
        } else if object == 1 {
            self.registry = words[0];
            for (name, (interface, version)) in self.play.globals.clone().into_iter().enumerate() {
                let mut event = vec![name as u32];
                event.extend(string(interface));
                event.push(version);
                self.send(self.registry, 0, &event)?;
            }
        } else if object == self.registry {
            let (interface, _) = self.play.globals[words[0] as usize];
            let id = *words.last().unwrap();
            match interface {
                "wl_shm" => self.shm = id,
                "wl_output" => {
                    self.output = id;
                    self.send(id, 1, &[1, 320, 240, 60_000])?;
                    self.send(id, 4, &string("STAND-1"))?;
                }
                _ => self.manager = id,
            }
        } else if object == self.manager {
            assert_eq!(words[2], self.output);
            self.frames.push(words[0]);
            if let Some(format) = self.play.format {
                self.send(words[0], 0, &[format, 320, 240, 1280])?;
                self.send(words[0], 6, &[])?;
            }
        } else if self.frames.contains(&object) && opcode == 2 {
            return self.copy(object);
        }
        Ok(true)
    }

    fn copy(&mut self, frame: u32) -> std::io::Result<bool> {
        if self.copies.fetch_add(1, Ordering::Relaxed) < self.play.pictures {
            thread::sleep(Duration::from_millis(5));
            self.send(frame, 1, &[1])?;
            // A time that is on no clock of ours.
            self.send(frame, 2, &[u32::MAX, 7, 999_999_999])?;
            return Ok(true);
        }
        match self.play.then {
            Then::Wait => {}
            Then::Fail => self.send(frame, 3, &[])?,
            Then::RemoveOutput => {
                let name = self.play.globals.iter().position(|global| global.0 == "wl_output").unwrap();
                self.send(self.registry, 1, &[name as u32])?;
            }
            Then::Close => return Ok(false),
            Then::Noise(seed) => return self.noise(seed),
        }
        Ok(true)
    }

    fn noise(&mut self, seed: u64) -> std::io::Result<bool> {
        let mut random = Random(seed);
        let mut objects = vec![self.registry, self.output];
        // A message that no object can have ends the session at once; most seeds keep to those that can.
        if seed.is_multiple_of(4) {
            objects.extend([1, self.shm, self.manager]);
        }
        for _ in 0..20 {
            // Mostly to the copies: there is the most to confuse.
            let frame = self.frames[(random.next() % self.frames.len() as u64) as usize];
            let all = objects.len() as u64 + 6;
            let object = objects.get((random.next() % all) as usize).copied().unwrap_or(frame);
            let value = |random: &mut Random| match random.next() % 4 {
                0 => random.next() as u32,
                1 => u32::MAX - (random.next() % 3) as u32,
                2 => XRGB8888,
                _ => (random.next() % 4096) as u32,
            };
            // As many words as the events of a copy have, mostly.
            let opcode = (random.next() % 7) as u32;
            let length = match random.next() % 16 {
                0 => random.next() as usize % 6,
                _ => [4, 1, 3, 0, 4, 3, 0][opcode as usize],
            };
            let words: Vec<u32> = (0..length).map(|_| value(&mut random)).collect();
            self.send(object, opcode, &words)?;
        }
        Ok(true)
    }

    fn send(&mut self, object: u32, opcode: u32, words: &[u32]) -> std::io::Result<()> {
        let mut message = vec![object, ((8 + 4 * words.len() as u32) << 16) | opcode];
        message.extend(words);
        let bytes: Vec<u8> = message.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.stream.write_all(&bytes)
    }
}

/// A string with its length, its zero and its padding.
fn string(text: &str) -> Vec<u32> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    let mut words = vec![bytes.len() as u32];
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    words.extend(bytes.chunks_exact(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().unwrap())));
    words
}

fn connect(path: &Path) -> Result<WaylandSource, CaptureError> {
    WaylandSource::connect_within(Some(path), None, DEADLINE)
}

/// The cause for which nothing could even be tried.
fn unusable(path: &Path) -> Diagnosis {
    match connect(path).unwrap_err() {
        CaptureError::Unusable { diagnosis } => diagnosis,
        other => panic!("{other}"),
    }
}

/// What ends a capture, and how many pictures there were before.
fn end(source: &mut WaylandSource) -> (u32, CaptureError) {
    let started = Instant::now();
    let mut pictures = 0;
    loop {
        match source.next_picture(Duration::from_millis(100)) {
            Ok(picture) => pictures += u32::from(picture.is_some()),
            Err(error) => return (pictures, error),
        }
        assert!(started.elapsed() < Duration::from_secs(10), "no end");
    }
}

#[test]
fn a_socket_that_is_not_there_or_refuses_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wayland-7");
    assert_eq!(unusable(&path), Diagnosis::SocketMissing { path: path.clone() });
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(unusable(&path), Diagnosis::SocketRefused { .. }));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    assert!(matches!(unusable(&path), Diagnosis::SocketRefused { .. }));
    if std::env::var_os("WAYLAND_DISPLAY").is_none() {
        let error = WaylandSource::connect_within(None, None, DEADLINE).unwrap_err();
        assert!(matches!(error, CaptureError::Unusable { diagnosis: Diagnosis::NoDisplay }), "{error}");
    }
}

#[test]
fn a_compositor_that_hangs_or_hangs_up_is_named() {
    let silent = serve(|stream, _| {
        thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    let started = Instant::now();
    assert_eq!(unusable(&silent.path), Diagnosis::NoAnswer { request: "wl_display.sync" });
    assert!(started.elapsed() < DEADLINE * 3, "{:?}", started.elapsed());
    let gone = serve(|stream, _| drop(stream));
    assert!(matches!(unusable(&gone.path), Diagnosis::Disconnected { .. }));
}

#[test]
fn what_is_missing_is_named() {
    for (globals, missing) in [
        (vec![], "wl_shm"),
        (vec![("wl_shm", 1), ("wl_output", 4)], "zwlr_screencopy_manager_v1 version 3"),
        (
            vec![("wl_shm", 1), ("wl_output", 4), ("zwlr_screencopy_manager_v1", 2)],
            "zwlr_screencopy_manager_v1 version 3",
        ),
    ] {
        let stand_in = play(Play { globals, ..Play::default() });
        assert_eq!(unusable(&stand_in.path), Diagnosis::GlobalMissing { missing });
    }
    let globals = vec![("wl_shm", 1), ("zwlr_screencopy_manager_v1", 3)];
    assert_eq!(unusable(&play(Play { globals, ..Play::default() }).path), Diagnosis::NoOutput);
}

#[test]
fn the_first_picture_that_does_not_come_has_a_cause() {
    let output = || "STAND-1".to_owned();
    let silent = Diagnosis::NoAnswer { request: "zwlr_screencopy_manager_v1.capture_output" };
    for (format, then, cause) in [
        (None, Then::Wait, silent),
        (Some(XRGB8888), Then::Wait, Diagnosis::NoDamage { output: output() }),
        (Some(XRGB8888), Then::Fail, Diagnosis::CopyFailed { output: output(), failures: 0 }),
    ] {
        let stand_in = play(Play { format, then, ..Play::default() });
        let started = Instant::now();
        let mut source = connect(&stand_in.path).unwrap();
        let (pictures, error) = end(&mut source);
        let took = started.elapsed();
        assert_eq!(pictures, 0);
        let CaptureError::NoFirstPicture { waited, diagnosis } = &error else { panic!("{error}") };
        assert_eq!(*waited, DEADLINE);
        match (diagnosis, &cause) {
            (Diagnosis::CopyFailed { failures, .. }, Diagnosis::CopyFailed { .. }) => {
                // It was asked again, at an interval: a compositor that fails at once is not kept busy.
                let copies = stand_in.copies.load(Ordering::Relaxed);
                let copies_max = 8 + 3 * took.as_millis() / 16;
                assert!(
                    *failures > 4 && u128::from(copies) < copies_max,
                    "{failures} failures of {copies} in {took:?}"
                );
            }
            _ => assert_eq!(*diagnosis, cause),
        }
        assert_eq!(end(&mut source).1.to_string(), error.to_string(), "an end is told again");
    }
}

#[test]
fn a_format_that_nobody_reads_is_refused_by_name() {
    let stand_in = play(Play { format: Some(XRGB2101010), ..Play::default() });
    let error = end(&mut connect(&stand_in.path).unwrap()).1;
    let CaptureError::Unusable { diagnosis: Diagnosis::BufferRefused { offered } } = &error else {
        panic!("{error}")
    };
    assert!(offered.contains("320x240 Xrgb2101010"), "{offered}");
}

#[test]
fn pictures_come_until_the_end_and_the_end_is_named() {
    for (then, format) in [
        (Then::Fail, XRGB8888),
        (Then::RemoveOutput, XBGR8888),
        (Then::Close, XBGR8888),
        (Then::Close, XRGB8888),
    ] {
        let stand_in = play(Play { format: Some(format), pictures: 40, then, ..Play::default() });
        let mut source = connect(&stand_in.path).unwrap();
        assert_eq!(source.output(), "STAND-1");
        assert_eq!(source.mode().to_string(), "320x240@60");
        let (pictures, error) = end(&mut source);
        let counters = source.counters();
        assert_eq!(counters.captured, 40);
        assert_eq!(u64::from(pictures), counters.captured - counters.superseded);
        let CaptureError::Ended { diagnosis } = error else { panic!("{error}") };
        match then {
            Then::Fail => assert!(matches!(diagnosis, Diagnosis::CopyFailed { failures: 61.., .. })),
            Then::RemoveOutput => assert!(matches!(diagnosis, Diagnosis::OutputRemoved { .. })),
            Then::Close | Then::Wait | Then::Noise(_) => {
                assert!(matches!(diagnosis, Diagnosis::Disconnected { .. }));
            }
        }
    }
}

#[test]
fn a_foreign_clock_does_not_date_a_picture() {
    let stand_in = play(Play { pictures: 1, ..Play::default() });
    let mut source = connect(&stand_in.path).unwrap();
    let before = Instant::now();
    let picture = source.next_picture(Duration::from_secs(5)).unwrap().expect("one picture");
    assert!(picture.captured_at <= Instant::now() && picture.captured_at + Duration::from_secs(2) > before);
    assert_eq!(picture.bytes.len(), 1280 * 240);
    // A screen that stands still from then on is no error.
    assert!(source.next_picture(DEADLINE * 2).unwrap().is_none());
}

#[test]
fn a_dropped_source_leaves_at_once() {
    let stand_in = play(Play { pictures: 1, ..Play::default() });
    let mut source = connect(&stand_in.path).unwrap();
    assert!(source.next_picture(Duration::from_secs(5)).unwrap().is_some());
    let started = Instant::now();
    drop(source);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// A small generator of our own, so that a seed means the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }
}

#[test]
fn noise_is_an_error_and_never_a_panic() {
    let seed = std::env::var("PUNKTFUNK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    eprintln!("PUNKTFUNK_SEED={seed}");
    let mut random = Random(seed);
    for round in 0..60 {
        let (length, kind) = (random.next() % 400, random.next());
        let mut bytes: Vec<u8> = (0..length * 4).map(|_| random.next() as u8).collect();
        if kind % 2 == 0 {
            // Whole messages to objects that are there, of random content.
            bytes = (0..20)
                .flat_map(|_| {
                    let words = (random.next() % 8) as u32;
                    let header = [
                        1 + (random.next() % 8) as u32,
                        ((8 + 4 * words) << 16) | (random.next() % 8) as u32,
                    ];
                    let body: Vec<u32> = (0..words).map(|_| (random.next() % 64) as u32).collect();
                    header.into_iter().chain(body).flat_map(u32::to_ne_bytes).collect::<Vec<_>>()
                })
                .collect();
        }
        let stand_in = serve(move |mut stream, _| {
            let _ = stream.write_all(&bytes);
            let _ = stream.read(&mut [0; 4096]);
        });
        let deadline = Duration::from_millis(100);
        let outcome = WaylandSource::connect_within(Some(&stand_in.path), None, deadline);
        let mut source = match outcome {
            Err(CaptureError::Unusable { .. } | CaptureError::Mode(_)) => continue,
            Err(other) => panic!("round {round}: {other}"),
            Ok(source) => source,
        };
        let error = end(&mut source).1;
        eprintln!("round {round}: {error}");
    }
}

#[test]
fn a_confused_compositor_is_an_error_or_a_still_screen_and_never_a_panic() {
    let seed = std::env::var("PUNKTFUNK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    eprintln!("PUNKTFUNK_SEED={seed}");
    let mut random = Random(seed);
    let mut endings = std::collections::BTreeMap::<_, u32>::new();
    let mut slow = 0;
    for round in 0..200 {
        let noise = random.next();
        let stand_in = play(Play { pictures: round % 3, then: Then::Noise(noise), ..Play::default() });
        let deadline = Duration::from_millis(60);
        let mut source = match WaylandSource::connect_within(Some(&stand_in.path), None, deadline) {
            Ok(source) => source,
            // The noise comes later: a busy machine let the stand-in wait.
            Err(CaptureError::Unusable { diagnosis: Diagnosis::NoAnswer { .. } }) => {
                slow += 1;
                continue;
            }
            Err(other) => panic!("round {round}, noise {noise}: {other}"),
        };
        let started = Instant::now();
        let ending = loop {
            match source.next_picture(Duration::from_millis(20)) {
                Ok(Some(picture)) => assert!(picture.bytes.len() >= picture.stride * picture.height as usize),
                Ok(None) if started.elapsed() > deadline => break "still".to_owned(),
                Ok(None) => {}
                Err(error) => break error.to_string(),
            }
        };
        assert!(!ending.contains("thread ended"), "round {round}, noise {noise}: {ending}");
        *endings.entry(ending.split(':').nth(1).unwrap_or(&ending).to_owned()).or_default() += 1;
    }
    eprintln!("{endings:#?}, {slow} not connected in time");
    assert!(slow < 100, "{slow} rounds of 200 were not connected in time");
    assert!(endings.len() > 3, "the noise reaches several places: {endings:?}");
}
