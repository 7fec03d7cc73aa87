//! `punktfunk pair`: how this client and a host come to trust each other.
//!
//! Promises: the host is written down when it has proven that it knows the PIN *and* has written this client down, and not
//! before; a PIN that is typed is not asked for again by itself, because each try is one of three. Refuses a PIN on a
//! terminal that it is not typed at: it is read from standard input, or given by `--pin`. What is read is wiped.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punktfunk_control::limits::CONNECT_MAX;
use punktfunk_control::{
    Applicant, ApplicantEvent, ConnectError, Devices, Fingerprint, Identity, PairError, Pin, Trust, Wish,
    machine_name, now_s,
};
use punktfunk_net::{ReceiveLimits, Receiver, Socket, SocketConfig};
use punktfunk_proto::is_media;
use zeroize::Zeroizing;

use crate::address::{resolve, unspecified_like};
use crate::cli::PairArgs;
use crate::error::ClientError;
use crate::link::TICK;
use crate::terminal::say;

/// How long the last words to the host may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// The most bytes that are read for a PIN.
const LINE_BYTES_MAX: usize = 64;

/// A host that is written down now.
pub struct Paired {
    /// What it calls itself.
    pub name: String,
    /// Who it has proven to be.
    pub fingerprint: Fingerprint,
}

impl Paired {
    /// The result for scripts.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({"paired": true, "host": self.name, "fingerprint": self.fingerprint.to_string()})
    }
}

/// What is wished for: to pair by a PIN, which a person may have to type yet, or to knock.
///
/// # Errors
/// What was typed is no PIN, or cannot be read.
pub fn wish(args: &PairArgs) -> Result<Wish, ClientError> {
    Ok(if args.knock { Wish::Knock } else { Wish::Pair(pin(args)?) })
}

/// Pairs with a host, and writes it down among `devices`.
///
/// # Errors
/// The host does not answer, does not know the PIN, or does not let this client in; nothing is written down then.
pub fn pair(
    args: &PairArgs,
    wish: Wish,
    identity: &Identity,
    mut devices: Devices,
    stop: &AtomicBool,
) -> Result<Paired, ClientError> {
    let trust = if args.trust.is_empty() { Trust::Open } else { Trust::Pinned(args.trust.clone()) };
    let name = args.name.clone().or_else(machine_name).unwrap_or_else(|| "punktfunk".into());
    let answer_by = Instant::now() + CONNECT_MAX;
    let host = resolve(&args.host, answer_by)?;
    let socket = Arc::new(Socket::open(&SocketConfig::new(unspecified_like(host)))?);
    let receiver = Receiver::new(Arc::clone(&socket), ReceiveLimits::default())?;
    let now = Instant::now();
    let control = Applicant::connect(identity, (wish, trust), host, &name, answer_by, now)?;
    let mut errand = Errand { control, socket, receiver, outgoing: Vec::new() };
    let paired = errand.run(stop)?;
    let written = devices.add(paired.fingerprint, &paired.name, now_s());
    errand.part();
    written?;
    Ok(paired)
}

/// The PIN from the command line or from a person.
fn pin(args: &PairArgs) -> Result<Pin, ClientError> {
    if let Some(pin) = &args.pin {
        return Ok(pin.clone());
    }
    if io::stdin().is_terminal() {
        let mut err = io::stderr().lock();
        // Where it cannot be asked for it can still be typed.
        let _ = write!(err, "The PIN that the host shows: ").and_then(|()| err.flush());
    }
    let line = line().map_err(|source| ClientError::File { path: "standard input".into(), source })?;
    let text = std::str::from_utf8(&line[..]).unwrap_or_default();
    text.trim_end_matches('\0').parse().map_err(|error| ClientError::Usage(format!("{error}")))
}

/// What stands before the end of the first line, and zeros. Read by the byte and past the library's own buffer, which
/// nobody wipes.
fn line() -> io::Result<Zeroizing<[u8; LINE_BYTES_MAX]>> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut line = Zeroizing::new([0; LINE_BYTES_MAX]);
    let mut count = 0;
    while count < LINE_BYTES_MAX {
        match input.read(&mut line[count..=count]) {
            Ok(0) => break,
            Ok(_) if line[count] == b'\n' => break,
            Ok(_) => count += 1,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

/// The pairing under way.
struct Errand {
    control: Applicant,
    socket: Arc<Socket>,
    receiver: Receiver,
    outgoing: Vec<u8>,
}

impl Errand {
    fn run(&mut self, stop: &AtomicBool) -> Result<Paired, ClientError> {
        loop {
            self.exchange()?;
            if stop.load(Ordering::Relaxed) {
                self.control.leave(Instant::now());
            }
            while let Some(event) = self.control.poll_event() {
                match event {
                    ApplicantEvent::Held { host_fingerprint, wait_s } => say(&format!(
                        "waiting until somebody at the host says Yes, for {wait_s} s at most; its fingerprint is \
                         {host_fingerprint}"
                    )),
                    ApplicantEvent::Admitted { host_name, host_fingerprint } => {
                        return Ok(Paired { name: host_name, fingerprint: host_fingerprint });
                    }
                    ApplicantEvent::Ended { reason: PairError::Connect(ConnectError::Left(_)) } => {
                        self.part();
                        return Err(ClientError::Interrupted);
                    }
                    ApplicantEvent::Ended { reason } => {
                        self.part();
                        return Err(reason.into());
                    }
                }
            }
        }
    }

    /// Sees the last words through, as far as that can be done: how it went is decided before.
    fn part(&mut self) {
        let until = Instant::now() + FAREWELL;
        self.transmit();
        while !self.control.is_drained() && Instant::now() < until {
            if let Err(error) = self.exchange() {
                return tracing::debug!(%error, "the last words to the host were not seen through");
            }
        }
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.control.poll_transmit(Instant::now(), &mut self.outgoing) {
            let bytes = &self.outgoing[..transmit.bytes_len];
            let (dest, source) = (transmit.dest, transmit.source);
            if let Err(error) = self.socket.send_to(dest, source, bytes, transmit.segment_bytes) {
                // QUIC repeats what is lost.
                tracing::debug!(%error, "a datagram of the pairing was not sent");
            }
        }
    }

    fn exchange(&mut self) -> Result<(), ClientError> {
        self.transmit();
        let latest = Instant::now() + TICK;
        let due = self.control.poll_timeout().map_or(latest, |due| due.min(latest));
        let batch = self.receiver.receive(Some(due.saturating_duration_since(Instant::now())))?;
        let now = Instant::now();
        for segment in batch {
            if segment.bytes.first().copied().is_some_and(|first| !is_media(first)) {
                self.control.handle_datagram(segment.from, segment.to, segment.bytes, now);
            }
        }
        if let Some(dest) = self.socket.take_refused() {
            self.control.handle_refused(dest, now);
        }
        if self.control.poll_timeout().is_some_and(|due| due <= now) {
            self.control.handle_timeout(now);
        }
        Ok(())
    }
}
