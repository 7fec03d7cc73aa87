//! The stand-in: a socket that speaks just enough of the wire format to play a compositor, well or badly.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use punktfunk_capture::wayland::Protocol;

pub(crate) const XRGB8888: u32 = 1;
pub(crate) const XBGR8888: u32 = 0x3432_4258;
/// `XR30`, ten bits a colour.
pub(crate) const XRGB2101010: u32 = 0x3033_5258;

/// What the stand-in does.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    /// Interface and version, announced in this order.
    pub(crate) globals: Vec<(&'static str, u32)>,
    /// The format of the buffers that it asks for; `None`: it never asks.
    pub(crate) format: Option<u32>,
    pub(crate) size: (u32, u32),
    /// Events of a session, opcode and words, in place of those that are right.
    pub(crate) constraints: Option<Vec<(u32, Vec<u32>)>>,
    /// Copies that are made before `then`.
    pub(crate) pictures: u32,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Wait,
    Fail,
    /// Says that a copy cannot be made, for this reason.
    FailFor(u32),
    /// Ends the session, as ext-image-copy-capture can.
    Stop,
    /// Another size, from the next copy on, of which as many are made once more.
    Resize(u32, u32),
    RemoveOutput,
    Close,
    /// Answers nothing any more, and keeps the connection.
    Hang,
    /// Messages to objects that are there, of random content, from this seed.
    Noise(u64),
}

impl Default for Play {
    fn default() -> Self {
        Self::of(Protocol::Screencopy)
    }
}

impl Play {
    /// One that copies by `protocol`.
    pub(crate) fn of(protocol: Protocol) -> Self {
        let mut globals = vec![("wl_shm", 1), ("wl_output", 4)];
        match protocol {
            Protocol::ImageCopyCapture => globals.extend([
                ("ext_output_image_capture_source_manager_v1", 1),
                ("ext_image_copy_capture_manager_v1", 1),
            ]),
            Protocol::Screencopy => globals.push(("zwlr_screencopy_manager_v1", 3)),
        }
        let (size, constraints) = ((320, 240), None);
        Self { globals, format: Some(XRGB8888), size, constraints, pictures: 0, then: Then::Wait }
    }
}

/// A stand-in's socket; the folder goes with it.
pub(crate) struct StandIn {
    pub(crate) path: PathBuf,
    pub(crate) copies: Arc<AtomicU32>,
    _dir: tempfile::TempDir,
}

pub(crate) fn serve(session: impl FnOnce(UnixStream, &AtomicU32) + Send + 'static) -> StandIn {
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

pub(crate) fn play(play: Play) -> StandIn {
    serve(move |stream, copies| {
        // The client hangs up whenever it has seen enough.
        let _ = Session { stream, play, copies, ids: Ids::default(), frames: Vec::new() }.run();
    })
}

/// What the client called its objects; 0 is nobody's.
#[derive(Default)]
struct Ids {
    registry: u32,
    shm: u32,
    output: u32,
    /// wlr-screencopy's manager.
    screencopy: u32,
    sources: u32,
    copying: u32,
    session: u32,
}

struct Session<'a> {
    stream: UnixStream,
    play: Play,
    ids: Ids,
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
            self.ids.registry = words[0];
            for (name, (interface, version)) in self.play.globals.clone().into_iter().enumerate() {
                let mut event = vec![name as u32];
                event.extend(string(interface));
                event.push(version);
                self.send(self.ids.registry, 0, &event)?;
            }
        } else if object == self.ids.registry {
            self.bind(words)?;
        } else if object == self.ids.screencopy {
            assert_eq!(words[2], self.ids.output);
            self.frames.push(words[0]);
            if let Some(format) = self.play.format {
                let (width, height) = self.play.size;
                self.send(words[0], 0, &[format, width, height, 4 * width])?;
                self.send(words[0], 6, &[])?;
            }
        } else if object == self.ids.sources {
            assert_eq!(words[1], self.ids.output);
        } else if object == self.ids.copying {
            assert_eq!(words[2], 1, "the cursor is in it");
            self.ids.session = words[0];
            self.constrain()?;
        } else if object == self.ids.session && opcode == 0 {
            self.frames.push(words[0]);
        } else if self.frames.contains(&object) && opcode == if self.is_session() { 3 } else { 2 } {
            return self.copy(object);
        }
        Ok(true)
    }

    fn bind(&mut self, words: &[u32]) -> std::io::Result<()> {
        let (interface, _) = self.play.globals[words[0] as usize];
        let id = *words.last().unwrap();
        match interface {
            "wl_shm" => self.ids.shm = id,
            "ext_output_image_capture_source_manager_v1" => self.ids.sources = id,
            "ext_image_copy_capture_manager_v1" => self.ids.copying = id,
            "zwlr_screencopy_manager_v1" => self.ids.screencopy = id,
            _ => {
                self.ids.output = id;
                self.send(id, 1, &[1, 320, 240, 60_000])?;
                self.send(id, 4, &string("STAND-1"))?;
            }
        }
        Ok(())
    }

    fn is_session(&self) -> bool {
        self.ids.session != 0
    }

    /// Tells what a session's buffers must be.
    fn constrain(&mut self) -> std::io::Result<()> {
        if let Some(events) = self.play.constraints.clone() {
            return events.iter().try_for_each(|(opcode, words)| self.send(self.ids.session, *opcode, words));
        }
        let Some(format) = self.play.format else { return Ok(()) };
        let (width, height) = self.play.size;
        self.send(self.ids.session, 0, &[width, height])?;
        self.send(self.ids.session, 1, &[format])?;
        self.send(self.ids.session, 4, &[])
    }

    fn fail(&mut self, frame: u32, reason: u32) -> std::io::Result<()> {
        match self.is_session() {
            true => self.send(frame, 4, &[reason]),
            false => self.send(frame, 3, &[]),
        }
    }

    fn copy(&mut self, frame: u32) -> std::io::Result<bool> {
        if self.copies.fetch_add(1, Ordering::Relaxed) < self.play.pictures {
            thread::sleep(Duration::from_millis(5));
            // Upright, or a transform that changes nothing; then a time that is on no clock of ours.
            let upright = if self.is_session() { 0 } else { 1 };
            self.send(frame, if self.is_session() { 0 } else { 1 }, &[upright])?;
            self.send(frame, 2, &[u32::MAX, 7, 999_999_999])?;
            if self.is_session() {
                self.send(frame, 3, &[])?;
            }
            return Ok(true);
        }
        match self.play.then {
            Then::Wait => {}
            Then::Fail => self.fail(frame, 0)?,
            Then::FailFor(reason) => self.fail(frame, reason)?,
            Then::Stop => self.send(self.ids.session, 5, &[])?,
            Then::Resize(width, height) => {
                // Only what is new is told, and the copy that is under way does not fit any more.
                self.send(self.ids.session, 0, &[width, height])?;
                self.send(self.ids.session, 4, &[])?;
                self.fail(frame, 1)?;
                self.play.pictures *= 2;
                self.play.then = Then::Wait;
            }
            Then::RemoveOutput => {
                let name = self.play.globals.iter().position(|global| global.0 == "wl_output").unwrap();
                self.send(self.ids.registry, 1, &[name as u32])?;
            }
            Then::Close => return Ok(false),
            Then::Hang => {
                // The client goes before this does.
                thread::sleep(Duration::from_secs(20));
                return Ok(false);
            }
            Then::Noise(seed) => return self.noise(seed),
        }
        Ok(true)
    }

    fn noise(&mut self, seed: u64) -> std::io::Result<bool> {
        let mut random = Random(seed);
        let mut objects = vec![self.ids.registry, self.ids.output];
        if self.is_session() {
            objects.extend([self.ids.session; 4]);
        }
        // A message that no object can have ends the session at once; most seeds keep to those that can.
        if seed.is_multiple_of(4) {
            objects.extend([1, self.ids.shm, self.ids.screencopy.max(self.ids.copying)]);
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
            let opcode = (random.next() % if self.is_session() { 6 } else { 7 }) as u32;
            let lengths = match self.is_session() {
                true if object == self.ids.session => [2, 1, 1, 2, 0, 0, 0],
                true => [1, 4, 3, 0, 1, 0, 0],
                false => [4, 1, 3, 0, 4, 3, 0],
            };
            let length = match random.next() % 16 {
                0 => random.next() as usize % 6,
                _ => lengths[opcode as usize],
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

/// A small generator of our own, so that a seed means the same everywhere (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }
}
