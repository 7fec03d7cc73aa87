//! The compositor's sign of life: one that hangs behind a PipeWire that is well looks like a screen that stands still.
//!
//! Promises: nothing is asked while pictures come; a compositor that hangs is named once it was quiet for
//! [`SCREEN_QUIET`] and has not answered for [`SCREEN_ANSWER_DEADLINE`], as at Wayland's own door. Refuses to judge a
//! compositor whose socket is not to be had, or that closes it: PipeWire tells that end.
//!
//! Source: the wire format of the Wayland protocol: the object's number, the message's length and number, and its
//! arguments, in the machine's byte order; `wl_display` is object 1, and `sync` is its request 0.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use crate::Diagnosis;
use crate::limits::{SCREEN_ANSWER_DEADLINE, SCREEN_QUIET};

/// `wl_display.sync`: the answer comes from object 2, which is gone with it.
const SYNC: [u32; 3] = [1, 12 << 16, 2];

/// A connection to the session's compositor for this alone.
#[derive(Debug)]
pub(super) struct Pulse {
    socket: Option<UnixStream>,
    /// The question that waits for its answer.
    asked_at: Option<Instant>,
    /// When it was last known to live.
    lived_at: Instant,
}

impl Pulse {
    /// Of the compositor at `socket`.
    pub(super) fn of(socket: &Path, now: Instant) -> Self {
        let connected = UnixStream::connect(socket).and_then(|stream| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        if let Err(error) = &connected {
            tracing::info!(socket = %socket.display(), %error, "a hang of the compositor will not be seen");
        }
        Self { socket: connected.ok(), asked_at: None, lived_at: now }
    }

    /// Looks for an answer, and asks where there was no picture since `last_picture` for long enough.
    pub(super) fn check(&mut self, last_picture: Instant, now: Instant) -> Result<(), Diagnosis> {
        self.lived_at = self.lived_at.max(last_picture);
        self.hear(now);
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let quiet = now.saturating_duration_since(self.lived_at);
        match self.asked_at {
            Some(asked_at) => {
                let waited = now.saturating_duration_since(asked_at).min(quiet);
                if waited >= SCREEN_ANSWER_DEADLINE {
                    return Err(Diagnosis::NoAnswer { request: "wl_display.sync" });
                }
            }
            None if quiet >= SCREEN_QUIET => {
                let question: Vec<u8> = SYNC.iter().flat_map(|word| word.to_ne_bytes()).collect();
                match socket.write_all(&question) {
                    Ok(()) => self.asked_at = Some(now),
                    Err(_) => self.socket = None,
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Whatever it says, it lives.
    fn hear(&mut self, now: Instant) {
        let mut said = [0; 256];
        while let Some(socket) = &mut self.socket {
            match socket.read(&mut said) {
                Ok(0) => self.socket = None,
                Ok(_) => (self.asked_at, self.lived_at) = (None, now),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.socket = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;

    /// A compositor that is asked, and answers only when the test does.
    fn compositor() -> (tempfile::TempDir, Pulse, UnixStream, Instant) {
        let (dir, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let path = dir.path().join("wayland-1");
        let listener = UnixListener::bind(&path).unwrap();
        let pulse = Pulse::of(&path, now);
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (dir, pulse, stream, now)
    }

    fn asked(stream: &mut UnixStream) -> bool {
        let mut words = [0; 24];
        match stream.read(&mut words) {
            Ok(length) => {
                let question: Vec<u8> =
                    [1_u32, 0x000c_0000, 2].iter().flat_map(|w| w.to_ne_bytes()).collect();
                assert_eq!(words[..length], question);
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    #[test]
    fn only_who_is_quiet_is_asked_and_only_who_does_not_answer_is_named() {
        let (_dir, mut pulse, mut stream, now) = compositor();
        let at = |ms| now + Duration::from_millis(ms);
        pulse.check(at(400), at(800)).unwrap();
        assert!(!asked(&mut stream));
        pulse.check(at(400), at(1400)).unwrap();
        assert!(asked(&mut stream));
        pulse.check(at(400), at(6300)).unwrap();
        assert!(!asked(&mut stream), "one question at a time");
        stream.write_all(&[0; 24]).unwrap();
        pulse.check(at(400), at(6400)).unwrap();
        pulse.check(at(400), at(7300)).unwrap();
        assert!(!asked(&mut stream));
        pulse.check(at(400), at(7400)).unwrap();
        assert!(asked(&mut stream));
        // A picture is a sign of life too.
        pulse.check(at(10_000), at(12_500)).unwrap();
        pulse.check(at(10_000), at(14_999)).unwrap();
        let named = pulse.check(at(10_000), at(15_000)).unwrap_err();
        assert_eq!(named, Diagnosis::NoAnswer { request: "wl_display.sync" });
    }

    #[test]
    fn who_is_not_there_or_goes_is_not_judged() {
        let (dir, mut pulse, stream, now) = compositor();
        drop(stream);
        let mut missing = Pulse::of(&dir.path().join("nobody"), now);
        for seconds in 0..30 {
            pulse.check(now, now + Duration::from_secs(seconds)).unwrap();
            missing.check(now, now + Duration::from_secs(seconds)).unwrap();
        }
    }
}
