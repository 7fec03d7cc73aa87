//! A stranger's connection at the host, once TLS is done: it may pair or knock, and nothing else.
//!
//! Promises: every stage has a deadline; what a stranger had at the desk is given back when it goes, however it goes;
//! the last word has half a second to arrive. Refuses: messages of a session, and to be led further by anything but
//! `pairing`'s own steps and the program's word.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::tidings::Tidings;
use crate::error::{RejectReason, Violation};
use crate::event::{HostEvent, SessionId};
use crate::fingerprint::Fingerprint;
use crate::limits::{LINGER_MAX, PAIR_STEP_MAX, PENDING_WAIT_MAX};
use crate::link::{CloseCode, Link, LinkEvent};
use crate::pairing::{
    Admitted, Binding, Desk, EXPORTER_LABEL, Outcome, PairMessage, TurnedAway, TurnedAwayReason, Visit,
};

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `pairing` has the word.
    Visiting,
    /// The last message is on its way.
    Leaving,
    /// It is let in, and the message that says so is on its way.
    Admitted,
    /// Closed.
    Over,
}

/// What the program, or the list of those that wait, has to know of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    None,
    /// Those that wait are others now; this one's earlier connection is over.
    Waits(Option<SessionId>),
}

pub(super) struct Stranger {
    pub(super) id: SessionId,
    pub(super) link: Link,
    fingerprint: Fingerprint,
    visit: Visit,
    stage: Stage,
    deadline: Option<Instant>,
}

impl Stranger {
    /// `None` when TLS has not come to its end, which the caller has seen.
    pub(super) fn new(id: SessionId, link: Link, host: Fingerprint, now: Instant) -> Option<Self> {
        let (client, exporter) = (link.peer_fingerprint()?, link.export(EXPORTER_LABEL)?);
        let visit = Visit::new(id, link.remote(), Binding { host, client, exporter: *exporter });
        let deadline = Some(now + PAIR_STEP_MAX);
        Some(Self { id, link, fingerprint: client, visit, stage: Stage::Visiting, deadline })
    }

    pub(super) fn name(&self) -> &str {
        self.visit.name()
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.link.remote()
    }

    /// Whether the program may still decide about it.
    pub(super) fn is_to_be_decided(&self) -> bool {
        self.stage == Stage::Visiting && self.visit.is_to_be_decided()
    }

    /// Whether somebody is asked about it, or has let it in.
    pub(super) fn is_spoken_for(&self) -> bool {
        self.is_to_be_decided() || self.stage == Stage::Admitted
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        match (self.link.poll_timeout(), self.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk, tidings: &mut Tidings, now: Instant) -> Step {
        self.link.handle_timeout(now);
        let step = self.advance(desk, tidings, now);
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            match self.stage {
                Stage::Visiting if self.visit.is_to_be_decided() => {
                    let waits = desk.pending.all().iter().any(|device| device.id == self.id);
                    // Who has proven the PIN waits for the program alone.
                    let reason = if waits { TurnedAwayReason::Unanswered } else { TurnedAwayReason::Fault };
                    self.turn_away(reason, desk, now);
                }
                Stage::Visiting => {
                    tidings.reject(self.remote(), RejectReason::NotPaired);
                    self.close(CloseCode::Stalled, "", desk, now);
                }
                Stage::Leaving | Stage::Admitted => self.close(CloseCode::Bye, "", desk, now),
                Stage::Over => {}
            }
        }
        step
    }

    /// Looks at everything that has come since the last call.
    pub(super) fn advance(&mut self, desk: &mut Desk, tidings: &mut Tidings, now: Instant) -> Step {
        let (mut step, mut lost) = (Step::None, false);
        while let Some(event) = self.link.poll() {
            match event {
                LinkEvent::Connected => {}
                LinkEvent::Delivered if matches!(self.stage, Stage::Leaving | Stage::Admitted) => {
                    self.close(CloseCode::Bye, "", desk, now);
                }
                LinkEvent::Delivered => {}
                LinkEvent::Unread => self.close(CloseCode::Violation, "", desk, now),
                LinkEvent::Lost(_) => lost = true,
            }
        }
        while self.stage == Stage::Visiting {
            let handled = match self.link.read_framed(PairMessage::parse) {
                Ok(Some(message)) => self.handle_message(message, desk, tidings, now),
                // Nobody who pairs ends its side before it was told how it went.
                Ok(None) if self.link.peer_finished() => Err(Violation::StreamClosed),
                Ok(None) => break,
                Err(violation) => Err(violation),
            };
            match handled {
                Ok(Step::None) => {}
                Ok(waits @ Step::Waits(_)) => step = waits,
                Err(violation) => {
                    tidings.reject(self.remote(), RejectReason::NotPaired);
                    self.close(CloseCode::Violation, &violation.to_string(), desk, now);
                }
            }
        }
        while let Some((plane, _)) = self.link.receive_datagram() {
            self.link.count_unread(plane);
        }
        if lost {
            if self.stage == Stage::Visiting && !self.visit.is_to_be_decided() {
                tidings.reject(self.remote(), RejectReason::NotPaired);
            }
            self.stage = Stage::Over;
            self.deadline = None;
            self.visit.leave(desk, now);
        }
        step
    }

    fn handle_message(
        &mut self,
        message: PairMessage,
        desk: &mut Desk,
        tidings: &mut Tidings,
        now: Instant,
    ) -> Result<Step, Violation> {
        let wait = match self.visit.handle_message(message, desk, now)? {
            Outcome::Say(message) => {
                self.say(&message)?;
                PAIR_STEP_MAX
            }
            Outcome::Waits(message, before) => {
                self.say(&message)?;
                self.deadline = Some(now + PENDING_WAIT_MAX);
                return Ok(Step::Waits(before));
            }
            Outcome::Proven => {
                let (session, remote) = (self.id, self.remote());
                let (name, fingerprint) = (self.name().to_owned(), self.fingerprint);
                tidings.tell(HostEvent::PinProven { session, name, fingerprint, remote });
                PAIR_STEP_MAX
            }
            Outcome::TurnAway(reason) => {
                if reason == TurnedAwayReason::NotPaired {
                    tidings.reject(self.remote(), RejectReason::NotPaired);
                }
                self.turn_away(reason, desk, now);
                return Ok(Step::None);
            }
        };
        self.deadline = Some(now + wait);
        Ok(Step::None)
    }

    fn say(&mut self, message: &PairMessage) -> Result<(), Violation> {
        if self.link.send_framed(|out| message.encode(out)) { Ok(()) } else { Err(Violation::DoesNotRead) }
    }

    /// The program has written the device down.
    pub(super) fn admit(&mut self, host_name: &str, desk: &mut Desk, now: Instant) {
        let admitted = PairMessage::Admitted(Admitted { host_name: host_name.to_owned() });
        self.finish(&admitted, Stage::Admitted, desk, now);
    }

    /// Tells why not, and goes when that has arrived.
    pub(super) fn turn_away(&mut self, reason: TurnedAwayReason, desk: &mut Desk, now: Instant) {
        if reason == TurnedAwayReason::Denied {
            desk.pending.deny(self.fingerprint, self.remote().ip(), now);
        }
        self.finish(&PairMessage::TurnedAway(TurnedAway { reason }), Stage::Leaving, desk, now);
    }

    fn finish(&mut self, last: &PairMessage, stage: Stage, desk: &mut Desk, now: Instant) {
        if self.stage != Stage::Visiting {
            return;
        }
        self.visit.leave(desk, now);
        // One that does not read gets no last word; the linger deadline closes all the same.
        let _ = self.say(last);
        self.link.finish();
        self.stage = stage;
        self.deadline = Some(now + LINGER_MAX);
    }

    /// It goes without a last word, which it would have had yet if this says so.
    pub(super) fn leave(&mut self, desk: &mut Desk, now: Instant) -> bool {
        self.visit.leave(desk, now);
        std::mem::replace(&mut self.stage, Stage::Over) == Stage::Visiting
    }

    fn close(&mut self, code: CloseCode, text: &str, desk: &mut Desk, now: Instant) {
        if self.stage == Stage::Over {
            return;
        }
        self.visit.leave(desk, now);
        self.stage = Stage::Over;
        self.deadline = None;
        self.link.close(code, text, now);
    }
}

/// A stranger has so long for its first message, and a place for no longer.
const _: () = assert!(PAIR_STEP_MAX.as_millis() <= Duration::from_secs(5).as_millis());
