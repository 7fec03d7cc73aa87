//! A client that its host does not know yet, on the pairing protocol.
//!
//! ```text
//! Connecting → OnErrand → Leaving → Over
//! ```
//! Promises: exactly one last event, `Admitted` or `Ended`, with a reason that a person can act on; `Admitted` comes only
//! when the host has written this client down and, where a PIN was given, has proven that it knows it. Driven like
//! `ClientControl`. Refuses: messages out of turn.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use quinn_proto::ConnectionError;

use crate::call::Call;
use crate::error::{ConnectError, ControlError, Violation};
use crate::event::Transmit;
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::limits::{
    CONNECT_MAX, LINGER_MAX, PAIR_STEP_MAX, PENDING_WAIT_MAX, PROTOCOL, UDP_PAYLOAD_BYTES_SEARCHED,
};
use crate::link::{CloseCode, LinkEvent};
use crate::messages::{Bye, ByeReason};
use crate::pairing::{
    Binding, EXPORTER_LABEL, Errand, PAIR_ALPN, PairMessage, Progress, TurnedAwayReason, Wish,
};
use crate::trust::Trust;

/// Over what a host's word may take, on the network's account.
const WORD_MARGIN: Duration = Duration::from_secs(2);

/// What happens on the way.
#[derive(Debug)]
pub enum ApplicantEvent {
    /// The host's people are asked.
    Held {
        /// Who the host is.
        host_fingerprint: Fingerprint,
        /// For how long they are asked at most, in seconds.
        wait_s: u32,
    },
    /// The host has written this client down: now it is the client's turn. The last event.
    Admitted {
        /// What the host calls itself.
        host_name: String,
        /// Who the host is.
        host_fingerprint: Fingerprint,
    },
    /// It came to nothing. The last event.
    Ended {
        /// Why.
        reason: PairError,
    },
}

/// Why a client was not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The host has not proven that it knows the PIN.
    #[error(
        "the host at this address does not know this PIN: it is mistyped, the host shows none (any more), or another \
         machine answers; arm pairing there anew"
    )]
    Unproven,
    /// The host said No.
    #[error("{0}")]
    TurnedAway(TurnedAwayReason),
    /// The connection ended, or never was.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

enum Stage {
    Connecting,
    OnErrand(Errand),
    Leaving,
    Over,
}

/// A client that wants to be let in.
pub struct Applicant {
    call: Call,
    wish: Wish,
    name: String,
    stage: Stage,
    deadline: Option<Instant>,
    events: VecDeque<ApplicantEvent>,
}

impl Applicant {
    /// Begins to connect. `trust` is for a client that knocks: which host it may be let in by. With a PIN any
    /// host is heard, because none passes that does not know it.
    ///
    /// # Errors
    /// When the address cannot be connected to, or TLS does not take the identity.
    pub fn connect(
        identity: &Identity,
        (wish, trust): (Wish, Trust),
        host: SocketAddr,
        name: &str,
        answer_by: Instant,
        now: Instant,
    ) -> Result<Self, ControlError> {
        Ok(Self {
            call: Call::begin(identity, trust, host, UDP_PAYLOAD_BYTES_SEARCHED, PAIR_ALPN, now)?,
            wish,
            name: name.to_owned(),
            stage: Stage::Connecting,
            deadline: Some((now + CONNECT_MAX).min(answer_by)),
            events: VecDeque::new(),
        })
    }

    /// Takes one datagram whose first byte is 0x40 or more.
    pub fn handle_datagram(&mut self, from: SocketAddr, to: Option<IpAddr>, bytes: &[u8], now: Instant) {
        if self.call.handle_datagram(from, to, bytes, now) {
            self.advance(now);
        }
    }

    /// The network says that nobody listens there; believed as long as nothing was heard of the host.
    pub fn handle_refused(&mut self, dest: SocketAddr, now: Instant) {
        if self.call.is_refused_at(dest) && matches!(self.stage, Stage::Connecting) {
            let no_answer = self.call.no_answer(true, now);
            self.close(CloseCode::Stalled, "", no_answer, now);
        }
    }

    /// Call when `poll_timeout` has come; calling it at other times does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.call.link.handle_timeout(now);
        self.advance(now);
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            let host = self.call.host;
            let stalled = |waited_for, waited| ConnectError::Stalled { host, waited_for, waited };
            match &self.stage {
                Stage::Connecting => {
                    let no_answer = self.call.no_answer(false, now);
                    self.close(CloseCode::Stalled, "", no_answer, now);
                }
                Stage::OnErrand(errand) if errand.is_waiting() => {
                    self.close(CloseCode::Stalled, "", stalled("people's answer", PENDING_WAIT_MAX), now);
                }
                Stage::OnErrand(_) => {
                    self.close(CloseCode::Stalled, "", stalled("part of the pairing", PAIR_STEP_MAX), now);
                }
                Stage::Leaving => {
                    self.stage = Stage::Over;
                    self.call.link.close(CloseCode::Bye, "", now);
                }
                Stage::Over => {}
            }
        }
    }

    /// The next datagram or train of datagrams: `buf` is cleared and filled.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.call.poll_transmit(now, buf)
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        [self.call.link.poll_timeout(), self.deadline].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ApplicantEvent> {
        self.events.pop_front()
    }

    /// Does not want to be let in any more.
    pub fn leave(&mut self, now: Instant) {
        self.close(CloseCode::Bye, "", ConnectError::Left(Bye::new(ByeReason::Asked, "")), now);
    }

    /// Whether nothing is left to say.
    pub fn is_drained(&self) -> bool {
        self.call.link.is_drained()
    }

    #[cfg(test)]
    pub(crate) fn link(&mut self) -> &mut crate::link::Link {
        &mut self.call.link
    }

    fn advance(&mut self, now: Instant) {
        self.call.exchange();
        let mut lost = None;
        while let Some(event) = self.call.link.poll() {
            match event {
                LinkEvent::Connected => self.handle_connected(now),
                LinkEvent::Delivered => {}
                LinkEvent::Unread => self.violate(Violation::StreamClosed, now),
                LinkEvent::Lost(reason) => lost = Some(reason),
            }
        }
        // What a host sent last before it went is read in any case.
        while matches!(self.stage, Stage::OnErrand(_)) {
            let handled = match self.call.link.read_framed(PairMessage::parse) {
                Ok(Some(message)) => self.handle_message(message, now),
                Ok(None) if self.call.link.peer_finished() => Err(Violation::StreamClosed),
                Ok(None) => break,
                Err(violation) => Err(violation),
            };
            if let Err(violation) = handled {
                self.violate(violation, now);
            }
        }
        while let Some((plane, _)) = self.call.link.receive_datagram() {
            self.call.link.count_unread(plane);
        }
        if let Some(reason) = lost {
            self.handle_loss(&reason, now);
        }
        self.call.exchange();
    }

    fn handle_connected(&mut self, now: Instant) {
        let binding = self.call.link.peer_fingerprint().zip(self.call.link.export(EXPORTER_LABEL));
        let Some((host, exporter)) = binding.filter(|_| self.call.link.speaks(PAIR_ALPN)) else {
            let mismatch = ConnectError::ProtocolVersion { ours: PROTOCOL, theirs: None };
            self.close(CloseCode::Violation, "", mismatch, now);
            return;
        };
        self.call.link.open_stream();
        let binding = Binding { host, client: self.call.ours, exporter: *exporter };
        let (errand, first) = Errand::start(&self.wish, &self.name, &binding);
        self.stage = Stage::OnErrand(errand);
        self.deadline = Some(now + PAIR_STEP_MAX);
        self.say(&first, now);
    }

    fn handle_message(&mut self, message: PairMessage, now: Instant) -> Result<(), Violation> {
        let Stage::OnErrand(errand) = &mut self.stage else { return Ok(()) };
        let progress = errand.handle_message(message)?;
        let Some(host_fingerprint) = self.call.link.peer_fingerprint() else { return Ok(()) };
        match progress {
            Progress::Say(message) => {
                self.deadline = Some(now + PAIR_STEP_MAX + WORD_MARGIN);
                self.say(&message, now);
            }
            Progress::Held(wait_s) => {
                self.deadline = Some(now + PENDING_WAIT_MAX + WORD_MARGIN);
                self.events.push_back(ApplicantEvent::Held { host_fingerprint, wait_s });
            }
            Progress::Admitted(host_name) => {
                self.events.push_back(ApplicantEvent::Admitted { host_name, host_fingerprint });
                self.call.link.finish();
                self.stage = Stage::Leaving;
                self.deadline = Some(now + LINGER_MAX);
            }
            Progress::Unproven => self.end(CloseCode::Bye, "", PairError::Unproven, now),
            Progress::TurnedAway(reason) => self.end(CloseCode::Bye, "", PairError::TurnedAway(reason), now),
        }
        Ok(())
    }

    fn say(&mut self, message: &PairMessage, now: Instant) {
        if !self.call.link.send_framed(|out| message.encode(out)) {
            self.violate(Violation::DoesNotRead, now);
        }
    }

    fn handle_loss(&mut self, reason: &ConnectionError, now: Instant) {
        let end = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over | Stage::Leaving => return,
            Stage::Connecting if matches!(reason, ConnectionError::TimedOut) => {
                self.call.no_answer(false, now)
            }
            Stage::Connecting | Stage::OnErrand(_) => self.call.lost(reason, PROTOCOL, now),
        };
        self.deadline = None;
        self.events.push_back(ApplicantEvent::Ended { reason: end.into() });
    }

    fn violate(&mut self, violation: Violation, now: Instant) {
        let text = violation.to_string();
        self.close(CloseCode::Violation, &text, ConnectError::Violation(violation), now);
    }

    fn close(&mut self, code: CloseCode, text: &str, end: ConnectError, now: Instant) {
        self.end(code, text, end.into(), now);
    }

    fn end(&mut self, code: CloseCode, text: &str, reason: PairError, now: Instant) {
        if matches!(self.stage, Stage::Over | Stage::Leaving) {
            return;
        }
        self.stage = Stage::Over;
        self.deadline = None;
        self.call.link.close(code, text, now);
        self.events.push_back(ApplicantEvent::Ended { reason });
    }
}

impl std::fmt::Debug for Applicant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applicant").field("host", &self.call.host).finish_non_exhaustive()
    }
}
