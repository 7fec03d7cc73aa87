//! The host's main loop: one socket, the control sessions on it, and a stream in each.
//!
//! Promises: each session goes its own way, and none waits for another; a client that is killed frees its place, and
//! one that comes again has it at once; one too many is told so, and a source that cannot be had is a refusal with its
//! reason; whatever a session had is gone when [`Serve::run`] returns. Refuses media from clients: media runs from the
//! host only, and what comes is counted and dropped.

mod managed;
mod places;
mod session;
mod shown;
mod speed;
mod steer;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punktfunk_capture::Patience;
use punktfunk_control::{
    Bye, ByeReason, CompositorOffer, ControlError, Fingerprint, Hello, HostControl, HostEvent, Refusal,
    RefusalCode, SessionId, machine_name,
};
use punktfunk_display::limits::STOP_DEADLINE;
use punktfunk_net::{Receiver, Socket};
use punktfunk_proto::is_media;
use punktfunk_settings::Config;

use crate::doorkeeper::Doorkeeper;
use crate::errands::Errands;
use crate::error::HostError;
use crate::manage::Management;
use crate::opening::{Opening, OpeningConfig};
use crate::path::shard_bytes_to;
use crate::pick::offers;
use crate::recordings::Recordings;
use crate::say::Say;
use crate::stream::{Stream, StreamConfig};
use places::Places;
use session::Session;
use shown::Shown;
use speed::Board;

/// The longest sleep: how late a request to stop, or a stage's end, is noticed.
const TICK: Duration = Duration::from_millis(20);

/// How long the last words to clients may take when the program ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long all sessions' ends may take then: a compositor that hangs is gone after its own four seconds, and whoever
/// stopped this program kills it after ten.
const LEAVE_MAX: Duration = Duration::from_secs(9);

const _: () = assert!(STOP_DEADLINE.as_secs() + FAREWELL.as_secs() < LEAVE_MAX.as_secs());

/// What a host serves with.
pub struct ServeConfig {
    /// What the console shows as settings.
    pub told: Config,
    /// For each opening.
    pub opening: OpeningConfig,
    /// End after the first session.
    pub once: bool,
    /// How many sessions there may be at a time.
    pub sessions_max: usize,
    /// Where recordings are kept.
    pub recordings: PathBuf,
    /// For each stream.
    pub stream: StreamConfig,
}

/// What all sessions share.
struct Common {
    config: ServeConfig,
    control: HostControl,
    socket: Arc<Socket>,
    compositors: Vec<CompositorOffer>,
    recordings: Recordings,
    errands: Errands,
    /// What ended a session: the program's own end where there is only one.
    failure: Option<HostError>,
    /// The speed test that is shown: one that runs, or has.
    speed_test: Board,
    say: Say,
}

/// The host, serving.
pub struct Serve {
    common: Common,
    receiver: Receiver,
    places: Places,
    sessions_done: u64,
    /// The program ends: nobody new is let in.
    is_leaving: bool,
    doorkeeper: Doorkeeper,
    management: Option<Management>,
    began: Instant,
    outgoing: Vec<u8>,
    media_refused: u64,
}

impl Serve {
    /// A host that is ready to serve.
    pub fn new(
        config: ServeConfig,
        (control, doorkeeper, management): (HostControl, Doorkeeper, Option<Management>),
        socket: Arc<Socket>,
        receiver: Receiver,
        say: Say,
    ) -> Self {
        // One that serves one session only has one place.
        let places = if config.once { 1 } else { config.sessions_max };
        let recordings = Recordings::new(config.recordings.clone(), config.stream.perf.is_some());
        let compositors = offers(punktfunk_display::probe());
        Self {
            common: Common {
                config,
                control,
                socket,
                compositors,
                recordings,
                errands: Errands::default(),
                failure: None,
                speed_test: Board::default(),
                say,
            },
            receiver,
            places: Places::new(places),
            sessions_done: 0,
            is_leaving: false,
            doorkeeper,
            management,
            began: Instant::now(),
            outgoing: Vec::new(),
            media_refused: 0,
        }
    }

    /// Serves until `stop` is set, or after one session when so configured; nothing is left then.
    ///
    /// # Errors
    /// The socket broke; or, of the one session, what refused it or broke it.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), HostError> {
        let mut outcome = Ok(());
        while outcome.is_ok()
            && !stop.load(Ordering::Relaxed)
            && !(self.common.config.once && self.sessions_done > 0)
        {
            outcome = self.turn(Instant::now() + TICK);
        }
        let outcome = outcome.and(self.leave());
        match self.common.failure.take() {
            Some(failure) if self.common.config.once => outcome.and(Err(failure)),
            Some(_) | None => outcome,
        }
    }

    /// One round: datagrams in, events, every session, datagrams out.
    fn turn(&mut self, latest: Instant) -> Result<(), HostError> {
        let now = Instant::now();
        let due = self.common.control.poll_timeout().map_or(latest, |due| due.min(latest));
        let batch = self.receiver.receive(Some(due.saturating_duration_since(now)))?;
        let now = Instant::now();
        for segment in batch {
            if segment.bytes.first().copied().is_none_or(is_media) {
                self.media_refused += 1;
            } else {
                self.common.control.handle_datagram(segment.from, segment.to, segment.bytes, now);
            }
        }
        if self.common.control.poll_timeout().is_some_and(|due| due <= now) {
            self.common.control.handle_timeout(now);
        }
        while let Some(event) = self.common.control.poll_event() {
            self.handle_event(event, Instant::now());
        }
        self.doorkeeper.poll(&mut self.common.control, Instant::now());
        self.manage(Instant::now());
        for (session, closing) in self.places.iter_mut() {
            session.poll((&mut self.common, closing), Instant::now());
        }
        self.transmit(Instant::now());
        Ok(())
    }

    fn transmit(&mut self, now: Instant) {
        while let Some(transmit) = self.common.control.poll_transmit(now, &mut self.outgoing) {
            let bytes = &self.outgoing[..transmit.bytes_len];
            let (dest, source) = (transmit.dest, transmit.source);
            if let Err(error) = self.common.socket.send_to(dest, source, bytes, transmit.segment_bytes) {
                // QUIC repeats what is lost; a path that is gone shows as silence.
                tracing::debug!(%error, %dest, "a control datagram was not sent");
            }
        }
    }

    fn handle_event(&mut self, event: HostEvent, now: Instant) {
        match event {
            HostEvent::Hello { session, mut hello, client_fingerprint, remote } => {
                hello.shard_bytes_max = hello.shard_bytes_max.min(shard_bytes_to(remote));
                self.common.say.hello(session, &hello.client_name, remote, client_fingerprint);
                let shown = Shown::new(session, &hello, client_fingerprint, remote, now);
                self.handle_hello((session, client_fingerprint), hello, shown, now);
            }
            HostEvent::Start { session, secret } => {
                if let Some((known, closing)) = self.places.parts(session) {
                    known.handle_start(&secret, (&mut self.common, closing), now);
                }
                self.doorkeeper.handle_start(session, &mut self.common.control, now);
            }
            HostEvent::RequestIdr { session, lost } => {
                if let Some(stream) = self.stream(session) {
                    stream.request_idr(lost);
                }
            }
            HostEvent::Reconfigure { session, reconfigure } => {
                if let Some(known) = self.places.session(session) {
                    known.reconfigure(&reconfigure, None, &mut self.common.control, now);
                }
            }
            HostEvent::Feedback { session, report } => {
                let rtt = self.common.control.stats(session).map(|link| link.rtt);
                if let Some(known) = self.places.session(session) {
                    known.handle_feedback(report, rtt, now);
                }
            }
            HostEvent::ClientStats { session, stats } => {
                if let Some(known) = self.places.session(session) {
                    known.handle_client(stats, now);
                }
            }
            HostEvent::SpeedTestAsked { session, wish } => self.handle_speed_test_asked(session, wish, now),
            HostEvent::SpeedTestSeen { session, seen } => self.handle_speed_test_seen(session, &seen, now),
            HostEvent::Mtu { session, udp_payload_bytes } => {
                if let Some(known) = self.places.session(session) {
                    known.handle_mtu(udp_payload_bytes);
                }
            }
            HostEvent::Path { session, path } => {
                if let Some(known) = self.places.session(session) {
                    self.common.say.moved(session, path.remote);
                    known.handle_path(path);
                }
            }
            HostEvent::Leaving { session, bye } => {
                tracing::info!(%session, %bye, "the client leaves");
                self.end(session, Bye::new(ByeReason::Asked, ""), now);
            }
            HostEvent::Ended { session, reason } => {
                self.drop_session(session, now);
                self.common.say.ended(session, &reason);
            }
            event @ (HostEvent::PinProven { .. }
            | HostEvent::PairingClosed { .. }
            | HostEvent::PendingChanged
            | HostEvent::PendingDecided { .. }
            | HostEvent::Rejected { .. }) => {
                self.doorkeeper.handle_event(event, &mut self.common.control, now);
            }
        }
    }

    fn stream(&mut self, session: SessionId) -> Option<&mut Stream> {
        self.places.session(session).and_then(Session::stream)
    }

    /// Gives it a place and begins to open its source. A client that is in session already has come again: the host
    /// may not know yet that the one before is dead, and takes the newcomer's key for it.
    fn handle_hello(
        &mut self,
        (id, client): (SessionId, Fingerprint),
        hello: Hello,
        shown: Shown,
        now: Instant,
    ) {
        let common = &mut self.common;
        let mut refuse = |code, why: &str| log_late(common.control.refuse(id, &Refusal::new(code, why), now));
        if self.is_leaving {
            return refuse(RefusalCode::ShuttingDown, "the host program ends");
        }
        if common.config.once
            && let Some(only) = self.places.sessions().next()
        {
            let (code, why) = match only.is_over() {
                true => (RefusalCode::ShuttingDown, "the host program serves one session only"),
                false => (RefusalCode::Busy, "another client is in session, and the host serves no other"),
            };
            return refuse(code, why);
        }
        let earlier = self.places.session_of(client);
        // A speed test must not cost the pictures that the same client has elsewhere.
        let has_pictures = |id| self.places.session(id).is_some_and(|session| session.has_pictures);
        if hello.without_pictures && earlier.is_some_and(has_pictures) {
            let why =
                "this client is in session; test that session, from the host's console, or end it first";
            return refuse(RefusalCode::Busy, why);
        }
        if let Some((before, closing)) = earlier.and_then(|earlier| self.places.parts(earlier)) {
            common.say.taken_over(before.id, id);
            before.end(Bye::new(ByeReason::TakenOver, ""), (common, closing), now);
        }
        let count = self.places.count();
        let Some(place) = self.places.free(client, now) else {
            let full = HostError::Full { sessions_max: count };
            common.say.refused(id, &full);
            let refusal = Refusal::new(full.refusal_code(), full.to_string());
            return log_late(common.control.refuse(id, &refusal, now));
        };
        let has_pictures = !hello.without_pictures;
        let opening = Opening::start(common.config.opening.clone(), hello, place.closing(), now);
        let opening = opening.map_err(|error| {
            log_late(common.control.refuse(id, &Refusal::new(error.refusal_code(), error.to_string()), now));
            common.say.refused(id, &error);
            common.failure = Some(error);
        });
        let log = place.log();
        place.enter(Session::new((id, client, has_pictures), opening.ok(), (shown, log), now));
    }

    /// The control session is gone: so is everything that belonged to it.
    fn drop_session(&mut self, id: SessionId, now: Instant) {
        let Some((session, closing)) = self.places.parts(id) else { return };
        session.take_apart((&mut self.common, closing), now);
        self.places.leave(id);
        self.sessions_done += 1;
    }

    /// Ends a session; whether there was one that could be ended.
    fn end(&mut self, id: SessionId, bye: Bye, now: Instant) -> bool {
        let Some((session, closing)) = self.places.parts(id) else { return false };
        session.end(bye, (&mut self.common, closing), now);
        true
    }

    /// Says Bye to everyone, turns newcomers away meanwhile, and leaves nothing behind.
    fn leave(&mut self) -> Result<(), HostError> {
        self.is_leaving = true;
        self.doorkeeper.leave(&mut self.common.control, Instant::now());
        for (session, closing) in self.places.iter_mut().filter(|(session, _)| !session.is_over()) {
            let bye = Bye::new(ByeReason::ShuttingDown, "the host program ends");
            session.end(bye, (&mut self.common, closing), Instant::now());
        }
        let began = Instant::now();
        let (farewell, latest) = (began + FAREWELL, began + LEAVE_MAX);
        let mut outcome = Ok(());
        while outcome.is_ok()
            && Instant::now() < latest
            && (!self.places.is_closed() || (!self.common.control.is_idle() && Instant::now() < farewell))
        {
            outcome = self.turn(Instant::now() + TICK);
        }
        if !self.places.wait(&Patience::until(latest)) {
            tracing::error!(waited = ?began.elapsed(), "a session's source did not end; it is left to the system");
        }
        if self.media_refused > 0 {
            tracing::warn!(
                datagrams = self.media_refused,
                "media or empty datagrams came in and were dropped"
            );
        }
        outcome
    }
}

/// A verb met a session that has just ended, and the event that says so is on its way; or a client that leaves unread what
/// it is told, which ends its session before long.
fn log_late(outcome: Result<(), ControlError>) {
    match outcome {
        Ok(()) => {}
        Err(error @ ControlError::PeerDoesNotRead { .. }) => {
            tracing::warn!(%error, "the client does not hear of it");
        }
        Err(error) => tracing::debug!(%error, "a session ended meanwhile"),
    }
}

pub(crate) fn control_mode(mode: punktfunk_capture::Mode) -> punktfunk_control::Mode {
    let (width, height, refresh_mhz) = (mode.width(), mode.height(), mode.refresh_mhz());
    punktfunk_control::Mode { width, height, refresh_mhz }
}

/// What this machine calls itself to clients.
pub(crate) fn host_name() -> String {
    machine_name().unwrap_or_else(|| "punktfunk host".to_owned())
}
