//! One client's session at the host, from the first datagram to the last.
//!
//! ```text
//! Handshaking → Greeting → Greeted → Welcomed → Running → Farewell → Leaving → Over
//!                              (refuse, bye and withdrawn trust lead straight to Leaving)
//! ```
//! Promises: every state but Greeted's wait for the program and Running has a deadline; a session that
//! said Hello ends with exactly one `Ended`, any other with one `Rejected`. Refuses: messages out of
//! turn, which end the session.

use std::time::{Duration, Instant};

use punktfunk_proto::feedback::FeedbackError;
use punktfunk_proto::{FeedbackReport, Lost, SessionClock};
use quinn_proto::ConnectionError;

use super::ends::{reject_reason, session_end};
use super::tidings::Tidings;
use crate::error::{ControlError, RejectReason, SessionEnd, Violation};
use crate::event::{HostEvent, SessionId};
use crate::fingerprint::Fingerprint;
use crate::limits::{
    EVENTS_MAX, FAREWELL_MAX, HELLO_MAX, LINGER_MAX, PROTOCOL, SIGN_OF_LIFE_VERSION, START_MAX,
    STREAM_WINDOW_BYTES, UNREAD_MAX, WELCOME_MAX,
};
use crate::link::{CloseCode, Link, LinkEvent};
use crate::messages::{Bye, Hello, Message, Refusal, RefusalCode, SkewPing, SkewPong};
use crate::pairing::PAIR_ALPN;
use crate::planes::Plane;
use crate::tls::PinVerifier;

/// How far a session has come.
#[derive(Clone, Debug)]
enum Stage {
    /// TLS is under way.
    Handshaking,
    /// It has asked for the pairing protocol: it goes on as a stranger's.
    Stranger,
    /// The client is known; its Hello is awaited.
    Greeting,
    /// The program is asked.
    Greeted,
    /// The client's Start is awaited.
    Welcomed,
    /// Media flows.
    Running,
    /// The client has said Bye; the program's last word is awaited.
    Farewell(Bye),
    /// The last messages are on their way.
    Leaving(SessionEnd),
    /// Told, and closing.
    Over,
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Stage::Handshaking | Stage::Stranger => "shaking hands",
            Stage::Greeting => "waiting for a Hello",
            Stage::Greeted => "waiting for the host's answer",
            Stage::Welcomed => "waiting for a Start",
            Stage::Running => "running",
            Stage::Farewell(_) | Stage::Leaving(_) | Stage::Over => "ending",
        }
    }
}

pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) link: Link,
    stage: Stage,
    deadline: Option<Instant>,
    fingerprint: Option<Fingerprint>,
    /// Whether the program knows of it.
    announced: bool,
    clock: Option<SessionClock>,
    /// A clock round that came before the clock was started.
    early_ping: Option<SkewPing>,
    /// Since when the client leaves unread as much as fits.
    unread_since: Option<Instant>,
    /// What TLS must have agreed on.
    alpn: &'static [u8],
}

impl Session {
    pub(super) fn new(id: SessionId, link: Link, alpn: &'static [u8], now: Instant) -> Self {
        Self {
            id,
            link,
            stage: Stage::Handshaking,
            deadline: Some(now + HELLO_MAX),
            fingerprint: None,
            announced: false,
            clock: None,
            early_ping: None,
            unread_since: None,
            alpn,
        }
    }

    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Handshaking)
    }

    /// Whether all has been told, and the connection is closing.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether media flows.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running)
    }

    /// Whether it is no session but a stranger's connection.
    pub(super) fn is_stranger(&self) -> bool {
        matches!(self.stage, Stage::Stranger)
    }

    /// Whether the program may still speak to it.
    pub(super) fn is_open(&self) -> bool {
        self.announced && !matches!(self.stage, Stage::Leaving(_) | Stage::Over)
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        match (self.link.poll_timeout(), self.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn handle_timeout(&mut self, verifier: &PinVerifier, tidings: &mut Tidings, now: Instant) {
        self.link.handle_timeout(now);
        self.advance(verifier, tidings, now);
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.handle_deadline(tidings, now);
        }
    }

    fn handle_deadline(&mut self, tidings: &mut Tidings, now: Instant) {
        match self.stage.clone() {
            Stage::Handshaking | Stage::Stranger | Stage::Greeting => {
                self.stall("Hello", HELLO_MAX, tidings, now);
            }
            Stage::Greeted => {
                let text = format!("the host was not ready within {} s", WELCOME_MAX.as_secs());
                self.turn_away(Refusal::new(RefusalCode::Source, text), now);
            }
            Stage::Welcomed => self.stall("Start", START_MAX, tidings, now),
            Stage::Farewell(bye) => {
                let answer = Bye::new(bye.reason, "");
                self.leave(Message::Bye(answer), SessionEnd::ClientLeft(bye), now);
            }
            Stage::Leaving(end) => self.close(CloseCode::Bye, end, tidings, now),
            Stage::Running | Stage::Over => {}
        }
    }

    /// Looks at everything that has come since the last call.
    pub(super) fn advance(&mut self, verifier: &PinVerifier, tidings: &mut Tidings, now: Instant) {
        let mut lost = None;
        while let Some(event) = self.link.poll() {
            match event {
                LinkEvent::Connected => self.handle_connected(tidings, now),
                LinkEvent::Delivered => {
                    if let Stage::Leaving(end) = self.stage.clone() {
                        self.close(CloseCode::Bye, end, tidings, now);
                    }
                }
                LinkEvent::Unread => self.violate(Violation::StreamClosed, tidings, now),
                LinkEvent::Lost(reason) => lost = Some(reason),
            }
        }
        self.read_messages(lost.is_some(), verifier, tidings, now);
        self.read_datagrams(tidings, now);
        if let Some(reason) = lost {
            self.handle_loss(&reason, verifier, tidings, now);
        } else if self.announced {
            self.tell_mtu(tidings);
        }
    }

    fn handle_connected(&mut self, tidings: &mut Tidings, now: Instant) {
        self.fingerprint = self.link.peer_fingerprint();
        if self.fingerprint.is_some() && self.link.speaks(PAIR_ALPN) {
            self.stage = Stage::Stranger;
            return;
        }
        self.stage = Stage::Greeting;
        if self.fingerprint.is_none() || !self.link.speaks(self.alpn) {
            let message = "TLS without certificate or ALPN";
            self.violate(Violation::OutOfTurn { message, state: "shaking hands" }, tidings, now);
        }
    }

    /// Reads until nothing is left or the program has enough to do. What a lost client sent last is
    /// read in any case: flow control has bounded it.
    fn read_messages(&mut self, lost: bool, verifier: &PinVerifier, tidings: &mut Tidings, now: Instant) {
        let events_max = if lost { EVENTS_MAX + STREAM_WINDOW_BYTES as usize } else { EVENTS_MAX };
        while !matches!(self.stage, Stage::Handshaking | Stage::Stranger | Stage::Leaving(_) | Stage::Over) {
            if tidings.len() >= events_max {
                tidings.hold_back();
                return;
            }
            let handled = match self.link.read() {
                Ok(Some(message)) => self.handle_message(message, verifier, tidings, now),
                Ok(None) if self.link.peer_finished() && !matches!(self.stage, Stage::Farewell(_)) => {
                    Err(Violation::StreamClosed)
                }
                Ok(None) => return,
                Err(violation) => Err(violation),
            };
            if let Err(violation) = handled {
                self.violate(violation, tidings, now);
            }
        }
    }

    fn handle_message(
        &mut self,
        message: Message,
        verifier: &PinVerifier,
        tidings: &mut Tidings,
        now: Instant,
    ) -> Result<(), Violation> {
        let session = self.id;
        match (&self.stage, message) {
            (Stage::Greeting, Message::Hello(hello)) => self.handle_hello(hello, verifier, tidings, now),
            (Stage::Welcomed, Message::Start(_)) => {
                let secret = self.link.secret().ok_or(Violation::StreamClosed)?;
                self.stage = Stage::Running;
                self.deadline = None;
                tidings.tell(HostEvent::Start { session, secret });
            }
            (Stage::Running, Message::RequestIdr(request)) => {
                let lost = Lost::reported(request.from_au, request.after_au);
                tidings.tell(HostEvent::RequestIdr { session, lost });
            }
            (Stage::Running, Message::Reconfigure(reconfigure)) => {
                tidings.tell(HostEvent::Reconfigure { session, reconfigure });
            }
            (Stage::Running, Message::ClientStats(stats)) => tidings.tell_client_stats(session, stats),
            (Stage::Running, Message::DecidePending(decision)) => {
                let Some(by) = self.fingerprint else { return Ok(()) };
                let (pending, is_approved) = (SessionId(decision.id), decision.approve);
                tidings.tell(HostEvent::PendingDecided { session, by, pending, is_approved });
            }
            (Stage::Running, Message::StartSpeedTest(wish)) => {
                tidings.tell(HostEvent::SpeedTestAsked { session, wish });
            }
            (Stage::Running, Message::SpeedTestSeen(seen)) => {
                tidings.tell(HostEvent::SpeedTestSeen { session, seen });
            }
            (Stage::Running, Message::SkewPing(ping)) => return self.answer_ping(ping, now),
            (_, Message::PathPong(pong)) => {
                if self.link.handle_pong(pong, now) && self.announced {
                    tidings.tell(HostEvent::Path { session, path: self.link.path() });
                }
            }
            (Stage::Greeted | Stage::Welcomed | Stage::Running, Message::Bye(bye)) => {
                self.stage = Stage::Farewell(bye.clone());
                self.link.settle();
                self.deadline = Some(now + FAREWELL_MAX);
                tidings.tell(HostEvent::Leaving { session, bye });
            }
            // What was under way when the client left.
            (Stage::Farewell(_), _) => {}
            (stage, message) => {
                return Err(Violation::OutOfTurn { message: message.name(), state: stage.name() });
            }
        }
        Ok(())
    }

    fn handle_hello(&mut self, hello: Hello, verifier: &PinVerifier, tidings: &mut Tidings, now: Instant) {
        let Some(client_fingerprint) = self.fingerprint else { return };
        let (session, remote) = (self.id, self.link.remote());
        if !verifier.allows(&client_fingerprint) {
            // Its trust was withdrawn while it shook hands.
            tidings.reject(remote, RejectReason::NotTrusted { fingerprint: client_fingerprint });
            self.stage = Stage::Over;
            self.deadline = None;
            self.link.close(CloseCode::NotTrusted, "", now);
            return;
        }
        if hello.protocol != PROTOCOL {
            let theirs = Some(hello.protocol);
            tidings.reject(remote, RejectReason::ProtocolVersion { theirs });
            let text = format!("the client speaks control protocol {}", hello.protocol);
            self.turn_away(Refusal::new(RefusalCode::ProtocolVersion, text), now);
            return;
        }
        self.announced = true;
        self.stage = Stage::Greeted;
        self.deadline = Some(now + WELCOME_MAX);
        tidings.tell(HostEvent::Hello { session, hello, client_fingerprint, remote });
    }

    fn answer_ping(&mut self, ping: SkewPing, now: Instant) -> Result<(), Violation> {
        let Some(clock) = self.clock else {
            // One question at a time: a second one before the answer is the client's fault.
            return match self.early_ping.replace(ping) {
                None => Ok(()),
                Some(ping) => Err(Violation::Skew { round: ping.round }),
            };
        };
        let t_us = clock.micros(now);
        let pong = SkewPong {
            round: ping.round,
            t_client_us: ping.t_client_us,
            t_received_us: t_us,
            t_sent_us: t_us,
        };
        if self.link.send(&Message::SkewPong(pong)) { Ok(()) } else { Err(Violation::DoesNotRead) }
    }

    fn read_datagrams(&mut self, tidings: &mut Tidings, now: Instant) {
        while let Some((plane, payload)) = self.link.receive_datagram() {
            let report = (plane == Plane::Feedback).then(|| FeedbackReport::parse(&payload));
            match report {
                // Its address and its length say all.
                Some(Err(FeedbackError::Version(SIGN_OF_LIFE_VERSION))) => {}
                Some(report) if matches!(self.stage, Stage::Running) => {
                    self.handle_report(report, tidings, now);
                }
                Some(_) | None => self.link.count_unread(plane),
            }
        }
    }

    fn handle_report(
        &mut self,
        report: Result<FeedbackReport, FeedbackError>,
        tidings: &mut Tidings,
        now: Instant,
    ) {
        match report {
            Ok(report) => {
                if !tidings.tell_report(self.id, report) {
                    self.link.count_unread(Plane::Feedback);
                }
            }
            // A report of another age is no crime.
            Err(FeedbackError::Version(_)) => self.link.count_unread(Plane::Feedback),
            Err(FeedbackError::TooShort { .. } | FeedbackError::TooMany { .. }) => {
                self.violate(Violation::Feedback, tidings, now);
            }
        }
    }

    fn tell_mtu(&mut self, tidings: &mut Tidings) {
        let session = self.id;
        if let Some(udp_payload_bytes) = self.link.poll_mtu_change() {
            tidings.tell(HostEvent::Mtu { session, udp_payload_bytes });
        }
    }

    fn handle_loss(
        &mut self,
        reason: &ConnectionError,
        verifier: &PinVerifier,
        tidings: &mut Tidings,
        now: Instant,
    ) {
        let end = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over => return,
            // The client may well close first.
            Stage::Leaving(end) => end,
            Stage::Farewell(bye) => SessionEnd::ClientLeft(bye),
            Stage::Handshaking
            | Stage::Stranger
            | Stage::Greeting
            | Stage::Greeted
            | Stage::Welcomed
            | Stage::Running => session_end(reason, self.link.silent(now), self.link.strayed()),
        };
        let refused = verifier.take_refused();
        self.deadline = None;
        if self.announced {
            tidings.tell(HostEvent::Ended { session: self.id, reason: end });
        } else if !matches!(end, SessionEnd::Refused(_)) {
            tidings.reject(self.link.remote(), reject_reason(reason, refused));
        }
    }

    fn violate(&mut self, violation: Violation, tidings: &mut Tidings, now: Instant) {
        let text = violation.to_string();
        self.close_with(CloseCode::Violation, &text, SessionEnd::Violation(violation), tidings, now);
    }

    fn stall(&mut self, waited_for: &'static str, waited: Duration, tidings: &mut Tidings, now: Instant) {
        self.close(CloseCode::Stalled, SessionEnd::Stalled { waited_for, waited }, tidings, now);
    }

    fn close(&mut self, code: CloseCode, end: SessionEnd, tidings: &mut Tidings, now: Instant) {
        self.close_with(code, "", end, tidings, now);
    }

    fn close_with(
        &mut self,
        code: CloseCode,
        text: &str,
        end: SessionEnd,
        tidings: &mut Tidings,
        now: Instant,
    ) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.stage = Stage::Over;
        self.deadline = None;
        self.link.close(code, text, now);
        if self.announced {
            tidings.tell(HostEvent::Ended { session: self.id, reason: end });
        } else if !matches!(end, SessionEnd::Refused(_)) {
            tidings.reject(self.link.remote(), RejectReason::NoHello { text: end.to_string() });
        }
    }

    /// Sends the last message and goes when it has arrived.
    fn leave(&mut self, last: Message, end: SessionEnd, now: Instant) {
        self.link.settle();
        // A client that does not read gets no last word; the linger deadline closes all the same.
        let _ = self.link.send(&last);
        self.link.finish();
        self.stage = Stage::Leaving(end);
        self.deadline = Some(now + LINGER_MAX);
    }

    fn turn_away(&mut self, refusal: Refusal, now: Instant) {
        self.leave(Message::Refusal(refusal.clone()), SessionEnd::Refused(refusal), now);
    }

    /// The program's Yes.
    pub(super) fn welcome(&mut self, welcome: Message, now: Instant) -> Result<(), ControlError> {
        self.require("welcome", "waiting for the host's answer", matches!(self.stage, Stage::Greeted))?;
        self.send(&welcome)?;
        self.stage = Stage::Welcomed;
        self.deadline = Some(now + START_MAX);
        Ok(())
    }

    /// The program's No.
    pub(super) fn refuse(&mut self, refusal: Refusal, now: Instant) -> Result<(), ControlError> {
        self.require("refuse", "waiting for the host's answer", matches!(self.stage, Stage::Greeted))?;
        self.turn_away(refusal, now);
        Ok(())
    }

    /// The program's Bye.
    pub(super) fn bye(&mut self, bye: &Bye, now: Instant) {
        let end = match &self.stage {
            Stage::Farewell(theirs) => SessionEnd::ClientLeft(theirs.clone()),
            _ => SessionEnd::HostLeft(bye.clone()),
        };
        self.leave(Message::Bye(bye.clone()), end, now);
    }

    pub(super) fn start_clock(&mut self, clock: SessionClock, now: Instant) -> Result<(), ControlError> {
        let running = matches!(self.stage, Stage::Running | Stage::Farewell(_));
        self.require("start_clock", "running", running)?;
        self.clock = Some(clock);
        match self.early_ping.take().map(|ping| self.answer_ping(ping, now)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(ControlError::PeerDoesNotRead { queued: self.link.queued_bytes() }),
        }
    }

    /// Queues a message of the program.
    pub(super) fn send(&mut self, message: &Message) -> Result<(), ControlError> {
        if self.link.send(message) {
            return Ok(());
        }
        Err(ControlError::PeerDoesNotRead { queued: self.link.queued_bytes() })
    }

    /// There was room for a message.
    pub(super) fn note_read(&mut self) {
        self.unread_since = None;
    }

    /// There was none: for so long, and it ends.
    pub(super) fn note_unread(&mut self, tidings: &mut Tidings, now: Instant) {
        let since = *self.unread_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= UNREAD_MAX {
            self.violate(Violation::DoesNotRead, tidings, now);
        }
    }

    pub(super) fn require_running(&self, verb: &'static str) -> Result<(), ControlError> {
        let running = matches!(self.stage, Stage::Welcomed | Stage::Running | Stage::Farewell(_));
        self.require(verb, "welcomed or running", running)
    }

    fn require(&self, verb: &'static str, needs: &'static str, holds: bool) -> Result<(), ControlError> {
        if holds {
            return Ok(());
        }
        Err(ControlError::OutOfTurn { verb, needs, found: self.stage.name() })
    }
}
