//! The host's main loop: one socket, the control sessions on it, and the one stream at a time.
//!
//! Promises: a client that is killed frees its place, a second one is told that the host is busy, and a
//! source that cannot be had is a refusal with its reason; whatever a session had is taken apart on another
//! thread, one after the other, and is gone when [`Serve::run`] returns. Refuses media from clients: media
//! runs from the host only, and what comes is counted and dropped.

mod managed;
mod shown;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punktfunk_capture::Patience;
use punktfunk_control::{
    Bye, ByeReason, CompositorOffer, Hello, HostControl, HostEvent, PROTOCOL, Path, Refusal, RefusalCode,
    SessionId, SourceNews, Welcome, machine_name,
};
use punktfunk_display::limits::STOP_DEADLINE;
use punktfunk_engine::StageFault;
use punktfunk_net::{Receiver, Socket};
use punktfunk_proto::is_media;
use punktfunk_seal::Secret;

use crate::closing::Closing;
use crate::doorkeeper::Doorkeeper;
use crate::error::HostError;
use crate::manage::Management;
use crate::opening::{Opened, Opening, OpeningConfig};
use crate::path::shard_bytes_to;
use crate::pick::offers;
use crate::say::Say;
use crate::stream::{Stream, StreamConfig};
use shown::Shown;

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
    /// For each opening.
    pub opening: OpeningConfig,
    /// End after the first session.
    pub once: bool,
    /// For each stream.
    pub stream: StreamConfig,
}

/// The session in place.
struct Session {
    id: SessionId,
    state: State,
    /// The path's datagram size, which may be known before media flows.
    udp_payload_bytes: Option<u16>,
    shown: Shown,
}

enum State {
    /// Its source is being made ready.
    Opening(Opening),
    /// It was welcomed and has not said Start.
    Welcomed(Box<Opened>),
    /// Media flows.
    Streaming(Box<Stream>),
    /// The client was refused or the stream has ended; the control session has its last words.
    Over,
}

/// The host, serving.
pub struct Serve {
    config: ServeConfig,
    control: HostControl,
    socket: Arc<Socket>,
    receiver: Receiver,
    session: Option<Session>,
    sessions_done: u64,
    /// What ended a session: the program's own end where there is only one.
    failure: Option<HostError>,
    /// Earlier sessions' desktops, on their way out.
    closing: Closing,
    /// The program ends: nobody new is let in.
    is_leaving: bool,
    compositors: Vec<CompositorOffer>,
    doorkeeper: Doorkeeper,
    management: Option<Management>,
    began: Instant,
    outgoing: Vec<u8>,
    media_refused: u64,
    say: Say,
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
        Self {
            config,
            control,
            socket,
            receiver,
            session: None,
            sessions_done: 0,
            failure: None,
            closing: Closing::default(),
            is_leaving: false,
            compositors: offers(punktfunk_display::probe()),
            doorkeeper,
            management,
            began: Instant::now(),
            outgoing: Vec::new(),
            media_refused: 0,
            say,
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
            && !(self.config.once && self.sessions_done > 0)
        {
            outcome = self.turn(Instant::now() + TICK);
        }
        let outcome = outcome.and(self.leave());
        match self.failure.take() {
            Some(failure) if self.config.once => outcome.and(Err(failure)),
            Some(_) | None => outcome,
        }
    }

    /// One round: datagrams in, events, the stream, datagrams out.
    fn turn(&mut self, latest: Instant) -> Result<(), HostError> {
        let now = Instant::now();
        let due = self.control.poll_timeout().map_or(latest, |due| due.min(latest));
        let batch = self.receiver.receive(Some(due.saturating_duration_since(now)))?;
        let now = Instant::now();
        for segment in batch {
            if segment.bytes.first().copied().is_none_or(is_media) {
                self.media_refused += 1;
            } else {
                self.control.handle_datagram(segment.from, segment.to, segment.bytes, now);
            }
        }
        if self.control.poll_timeout().is_some_and(|due| due <= now) {
            self.control.handle_timeout(now);
        }
        while let Some(event) = self.control.poll_event() {
            self.handle_event(event, Instant::now());
        }
        self.doorkeeper.poll(&mut self.control, Instant::now());
        self.manage(Instant::now());
        self.poll_opening(Instant::now());
        self.poll_stream(Instant::now());
        self.transmit(Instant::now());
        Ok(())
    }

    fn transmit(&mut self, now: Instant) {
        while let Some(transmit) = self.control.poll_transmit(now, &mut self.outgoing) {
            let bytes = &self.outgoing[..transmit.bytes_len];
            let (dest, source) = (transmit.dest, transmit.source);
            if let Err(error) = self.socket.send_to(dest, source, bytes, transmit.segment_bytes) {
                // QUIC repeats what is lost; a path that is gone shows as silence.
                tracing::debug!(%error, %dest, "a control datagram was not sent");
            }
        }
    }

    fn handle_event(&mut self, event: HostEvent, now: Instant) {
        match event {
            HostEvent::Hello { session, mut hello, client_fingerprint, remote } => {
                hello.shard_bytes_max = hello.shard_bytes_max.min(shard_bytes_to(remote));
                self.say.hello(&hello.client_name, remote, client_fingerprint);
                let shown = Shown::new(session, &hello, client_fingerprint, remote, now);
                self.handle_hello(session, hello, shown, now);
            }
            HostEvent::Start { session, secret } => {
                self.handle_start(session, &secret, now);
                self.doorkeeper.handle_start(session, &mut self.control, now);
            }
            HostEvent::RequestIdr { session, after_au } => {
                if let Some(stream) = self.stream(session) {
                    stream.request_idr(after_au);
                }
            }
            HostEvent::Reconfigure { session, reconfigure } => {
                let done = self.stream(session).and_then(|stream| stream.reconfigure(&reconfigure));
                if let Some(reconfigured) = done {
                    let sent = self.control.send_reconfigured(session, &reconfigured, now);
                    log_late(sent);
                }
            }
            HostEvent::Feedback { session, report } => {
                let rtt = self.control.stats(session).map(|link| link.rtt);
                if let Some(stream) = self.stream(session) {
                    stream.handle_feedback(report, rtt);
                }
            }
            HostEvent::Mtu { session, udp_payload_bytes } => {
                if let Some(known) = self.session.as_mut().filter(|known| known.id == session) {
                    known.udp_payload_bytes = Some(udp_payload_bytes);
                }
                if let Some(stream) = self.stream(session) {
                    stream.handle_mtu(udp_payload_bytes);
                }
            }
            HostEvent::Path { session, path } => self.handle_path(session, path),
            HostEvent::Leaving { session, bye } => {
                tracing::info!(%session, %bye, "the client leaves");
                self.end(session, Bye::new(ByeReason::Asked, ""), now);
            }
            HostEvent::Ended { session, reason } => {
                self.drop_session(session, now);
                self.say.ended(&reason);
            }
            event @ (HostEvent::PinProven { .. }
            | HostEvent::PairingClosed { .. }
            | HostEvent::PendingChanged
            | HostEvent::PendingDecided { .. }) => {
                self.doorkeeper.handle_event(event, &mut self.control, now);
            }
            HostEvent::Rejected { remote, reason } => self.say.rejected(remote, &reason),
        }
    }

    /// Of the new path nothing is known until an `Mtu` of its own comes.
    fn handle_path(&mut self, id: SessionId, path: Path) {
        let Some(session) = self.session.as_mut().filter(|session| session.id == id) else { return };
        session.udp_payload_bytes = None;
        session.shown.handle_moved(path.remote);
        self.say.moved(path.remote);
        if let State::Streaming(stream) = &mut session.state {
            stream.handle_path(path);
        }
    }

    fn stream(&mut self, session: SessionId) -> Option<&mut Stream> {
        match &mut self.session {
            Some(Session { id, state: State::Streaming(stream), .. }) if *id == session => Some(stream),
            Some(_) | None => None,
        }
    }

    fn handle_hello(&mut self, id: SessionId, hello: Hello, shown: Shown, now: Instant) {
        let mut refuse = |code, why: &str| log_late(self.control.refuse(id, &Refusal::new(code, why), now));
        if self.is_leaving {
            return refuse(RefusalCode::ShuttingDown, "the host program ends");
        }
        let is_over = self.session.as_ref().map(|session| matches!(session.state, State::Over));
        if self.config.once && is_over == Some(true) {
            return refuse(RefusalCode::ShuttingDown, "the host program serves one session only");
        }
        // One that is over only has its last words on the way.
        if is_over == Some(false) {
            return refuse(RefusalCode::Busy, "another client is in session; try again later");
        }
        let state = match Opening::start(self.config.opening.clone(), hello, self.closing.clone(), now) {
            Ok(opening) => State::Opening(opening),
            Err(error) => {
                refuse(error.refusal_code(), &error.to_string());
                self.say.refused(&error);
                self.failure = Some(error);
                State::Over
            }
        };
        self.session = Some(Session { id, state, udp_payload_bytes: None, shown });
    }

    /// Welcomes or refuses once the source is ready.
    fn poll_opening(&mut self, now: Instant) {
        let Some(Session { id, state, shown, .. }) = &mut self.session else { return };
        let id = *id;
        if let State::Opening(opening) = state
            && let Some(why) = opening.poll_waits()
        {
            self.say.waits(&why);
            let news = SourceNews { source: String::new(), why, mode: None, from_au: 0 };
            log_late(self.control.send_source_news(id, &news, now));
        }
        let opening = match std::mem::replace(state, State::Over) {
            State::Opening(opening) if opening.is_finished() => opening,
            other @ (State::Opening(_) | State::Welcomed(_) | State::Streaming(_) | State::Over) => {
                *state = other;
                return;
            }
        };
        match opening.join() {
            Ok(opened) => {
                let welcome = welcome(&opened, self.compositors.clone());
                self.say.welcome(&welcome, opened.cipher.1);
                shown.handle_welcome(&welcome);
                log_late(self.control.welcome(id, &welcome, now));
                *state = State::Welcomed(Box::new(opened));
            }
            Err(error) => {
                self.say.refused(&error);
                let refusal = Refusal::new(error.refusal_code(), error.to_string());
                log_late(self.control.refuse(id, &refusal, now));
                self.failure = Some(error);
            }
        }
    }

    fn handle_start(&mut self, id: SessionId, secret: &Secret, now: Instant) {
        // Without a path the session has just ended, and the event that says so is on its way.
        let Some(path) = self.control.path(id) else { return };
        let Some(session) = self.session.as_mut().filter(|session| session.id == id) else { return };
        let opened = match std::mem::replace(&mut session.state, State::Over) {
            State::Welcomed(opened) => opened,
            other @ (State::Opening(_) | State::Streaming(_) | State::Over) => {
                session.state = other;
                return tracing::warn!(%id, "a Start that no Welcome stands before");
            }
        };
        let (mode, to) = (control_mode(opened.mode), (Arc::clone(&self.socket), path));
        match Stream::start(*opened, mode, secret, to, &self.config.stream, now) {
            Ok(mut stream) => {
                if let Some(bytes) = session.udp_payload_bytes {
                    stream.handle_mtu(bytes);
                }
                log_late(self.control.start_clock(id, stream.clock(), now));
                session.state = State::Streaming(Box::new(stream));
            }
            Err(failed) => {
                let (error, screen) = *failed;
                self.closing.then(move || screen.close());
                self.say.refused(&error);
                log_late(self.control.bye(id, &Bye::new(ByeReason::Fault, error.to_string()), now));
                self.failure = Some(error);
            }
        }
    }

    /// Sends figures, and ends a stream whose source has ended or broke.
    fn poll_stream(&mut self, now: Instant) {
        let Some(Session { id, state: State::Streaming(stream), shown, .. }) = &mut self.session else {
            return;
        };
        let id = *id;
        if let Some(mut stats) = stream.poll(now) {
            stats.path_refused = paths_refused(&self.control, id);
            shown.handle_stats(&stats);
            log_late(self.control.send_stats(id, &stats, now));
        }
        while let Some((news, before)) = stream.poll_news() {
            self.say.source(&news);
            shown.handle_source(&news.source, news.mode);
            log_late(self.control.send_source_news(id, &news, now));
            if let Some(screen) = before {
                self.closing.then(move || screen.close());
            }
        }
        if let Some(reconfigured) = stream.poll_reconfigured() {
            shown.handle_reconfigured(reconfigured.mode, reconfigured.bitrate_kbps);
            log_late(self.control.send_reconfigured(id, &reconfigured, now));
        }
        if stream.poll_path_shrunk() {
            log_late(self.control.restart_mtu_search(id, now));
        }
        if stream.is_ended() {
            self.end(id, Bye::new(ByeReason::SourceEnded, "the source has no more pictures"), now);
        }
    }

    /// Takes apart what the session has, with its last figures, and says Bye.
    fn end(&mut self, id: SessionId, bye: Bye, now: Instant) {
        let Some(session) = self.session.as_mut().filter(|session| session.id == id) else { return };
        let state = std::mem::replace(&mut session.state, State::Over);
        let fault = self.take_apart(id, state, now);
        let bye = fault.map_or(bye, |fault| Bye::new(ByeReason::Fault, fault.to_string()));
        log_late(self.control.bye(id, &bye, now));
    }

    /// The control session is gone: so is everything that belonged to it.
    fn drop_session(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.session.take_if(|session| session.id == id) else { return };
        self.take_apart(id, session.state, now);
        self.sessions_done += 1;
    }

    /// Nothing of it ends on this thread, for a compositor may take seconds. Returns what broke it.
    fn take_apart(&mut self, id: SessionId, state: State, now: Instant) -> Option<StageFault> {
        match state {
            State::Opening(opening) => {
                opening.abandon();
                self.closing.then(move || {
                    if let Ok(opened) = opening.join() {
                        opened.close();
                    }
                });
                None
            }
            State::Welcomed(opened) => {
                self.closing.then(move || opened.close());
                None
            }
            State::Streaming(stream) => {
                let mut end = stream.stop(now);
                end.stats.path_refused = paths_refused(&self.control, id);
                log_late(self.control.send_stats(id, &end.stats, now));
                self.say.figures(&end.stats, end.fallbacks);
                let fault = end.fault.clone();
                self.closing.then(move || end.close());
                if let Some(fault) = &fault {
                    self.say.fault(fault);
                    self.failure = Some(fault.clone().into());
                }
                fault
            }
            State::Over => None,
        }
    }

    /// Says Bye to everyone, turns newcomers away meanwhile, and leaves nothing behind.
    fn leave(&mut self) -> Result<(), HostError> {
        self.is_leaving = true;
        self.doorkeeper.leave(&mut self.control, Instant::now());
        if let Some(id) = self.session.as_ref().map(|session| session.id) {
            self.end(id, Bye::new(ByeReason::ShuttingDown, "the host program ends"), Instant::now());
        }
        let began = Instant::now();
        let (farewell, latest) = (began + FAREWELL, began + LEAVE_MAX);
        let mut outcome = Ok(());
        while outcome.is_ok()
            && Instant::now() < latest
            && (!self.closing.is_done() || (!self.control.is_idle() && Instant::now() < farewell))
        {
            outcome = self.turn(Instant::now() + TICK);
        }
        if !self.closing.wait(&Patience::until(latest)) {
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

/// How often somebody elsewhere was tried and did not prove to be the client.
fn paths_refused(control: &HostControl, id: SessionId) -> u64 {
    control.stats(id).map_or(0, |link| link.paths_refused)
}

/// A verb met a session that has just ended: the event that says so is on its way.
fn log_late(outcome: Result<(), punktfunk_control::ControlError>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a session ended meanwhile");
    }
}

fn welcome(opened: &Opened, compositors: Vec<CompositorOffer>) -> Welcome {
    let negotiated = &opened.negotiated;
    Welcome {
        protocol: PROTOCOL,
        host_name: host_name(),
        mode: control_mode(opened.mode),
        codec: opened.codec,
        cipher: opened.cipher.0,
        bitrate_kbps: negotiated.bitrate_kbps,
        shard_bytes_max: negotiated.shard_bytes_max,
        redundancy_per_mille: negotiated.redundancy_per_mille,
        au_bytes_max: negotiated.au_bytes_max,
        slices_max: negotiated.slices_max,
        source: opened.source.clone(),
        encoder: opened.encoder.clone(),
        compositors,
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
