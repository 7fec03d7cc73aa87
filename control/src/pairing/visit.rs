//! A stranger's visit at the host: from its first message to the host's last.
//!
//! ```text
//! Greeting ── Ask ──> Guessing ── Confirm ──> Proven ──> let in by the program, once it has written the device down
//!          ── Knock ──> Waiting ── somebody says Yes ──> let in likewise
//! ```
//! *What it promises.* Each message once, in its turn, and each turn used up by the message that it was for; what
//! comes out of turn ends the visit. A guess and a place among those that wait are given back whatever the
//! way in which a visit ends. One address that asks or knocks without end leaves turns for others, and what is turned
//! away anyway takes none. Nothing is stored here, and nothing is to be stored before `Proven` or a Yes.
//!
//! *What it refuses.* A second guess on one connection, a guess by a device that waits, and to say why a guess failed.

use std::net::SocketAddr;
use std::time::Instant;

use super::exchange::Binding;
use super::messages::{Answer, Held, PairMessage, TurnedAwayReason};
use super::pending::{Pending, PendingDevice};
use super::window::{Run, Window};
use crate::error::Violation;
use crate::event::SessionId;
use crate::limits::{PAIR_ANSWERS_PER_ADDRESS, PAIR_ANSWERS_PER_SECOND, PENDING_WAIT_MAX};
use crate::pace::Pace;

/// What all visits at one host have to do with.
pub(crate) struct Desk {
    pub(crate) window: Window,
    pub(crate) pending: Pending,
    /// How many shares are answered: a share is a millisecond's work on the thread that all sessions' control is on. A
    /// PIN or none makes no difference.
    pub(crate) asks: Pace,
    /// How many knocks are told to whoever may decide; they take no Ask's turn.
    pub(crate) knocks: Pace,
}

impl Default for Desk {
    fn default() -> Self {
        let pace = || Pace::new(PAIR_ANSWERS_PER_SECOND, PAIR_ANSWERS_PER_ADDRESS);
        Self { window: Window::default(), pending: Pending::default(), asks: pace(), knocks: pace() }
    }
}

/// What a message leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This is to be said.
    Say(PairMessage),
    /// This is to be said and the program to be told: the device waits. Its earlier visit, if it has one, is over.
    Waits(PairMessage, Option<SessionId>),
    /// The device has proven the PIN: the program is to write it down.
    Proven,
    /// The visit is over.
    TurnAway(TurnedAwayReason),
}

enum Step {
    Greeting,
    Guessing(Run),
    Proven,
    Waiting,
    Over,
}

/// One stranger's visit.
pub(crate) struct Visit {
    id: SessionId,
    remote: SocketAddr,
    binding: Binding,
    name: String,
    step: Step,
}

impl Visit {
    /// A stranger has proven its certificate's key, and nothing else.
    pub(crate) fn new(id: SessionId, remote: SocketAddr, binding: Binding) -> Self {
        Self { id, remote, binding, name: String::new(), step: Step::Greeting }
    }

    /// What the device calls itself.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the program is to decide.
    pub(crate) fn is_to_be_decided(&self) -> bool {
        matches!(self.step, Step::Proven | Step::Waiting)
    }

    pub(crate) fn handle_message(
        &mut self,
        message: PairMessage,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<Outcome, Violation> {
        match (std::mem::replace(&mut self.step, Step::Over), message) {
            (Step::Greeting, PairMessage::Ask(_)) if !desk.asks.take(self.remote.ip(), now) => {
                Ok(Outcome::TurnAway(TurnedAwayReason::Full))
            }
            (Step::Greeting, PairMessage::Ask(ask)) => {
                let answered = desk.window.answer(&self.binding, &ask.share, now);
                let (run, answer) = answered.map_err(|_| Violation::Share)?;
                self.name = ask.name;
                self.step = Step::Guessing(run);
                let answer = Answer { share: answer.share, confirmation: answer.confirmation };
                Ok(Outcome::Say(PairMessage::Answer(answer)))
            }
            (Step::Guessing(run), PairMessage::Confirm(confirm)) => {
                if !desk.window.finish(run, &confirm.confirmation, now) {
                    return Ok(Outcome::TurnAway(TurnedAwayReason::NotPaired));
                }
                self.step = Step::Proven;
                Ok(Outcome::Proven)
            }
            (Step::Greeting, PairMessage::Knock(knock)) => {
                self.name = knock.name;
                let (id, remote, fingerprint) = (self.id, self.remote, self.binding.client);
                let device =
                    PendingDevice { id, name: self.name.clone(), fingerprint, remote, requested_at: now };
                if let Err(reason) = desk.pending.check(&device) {
                    return Ok(Outcome::TurnAway(reason));
                }
                if !desk.knocks.take(remote.ip(), now) {
                    return Ok(Outcome::TurnAway(TurnedAwayReason::Full));
                }
                self.step = Step::Waiting;
                let wait_s = u32::try_from(PENDING_WAIT_MAX.as_secs()).unwrap_or(u32::MAX);
                Ok(Outcome::Waits(PairMessage::Held(Held { wait_s }), desk.pending.knock(device)))
            }
            (step, message) => {
                let state = step.name();
                self.step = step;
                self.leave(desk, now);
                Err(Violation::OutOfTurn { message: message.name(), state })
            }
        }
    }

    /// The visit is over, whichever way: gives back what it had.
    pub(crate) fn leave(&mut self, desk: &mut Desk, now: Instant) {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::Guessing(run) => desk.window.give_up(&run, now),
            Step::Waiting => drop(desk.pending.take(self.id)),
            Step::Greeting | Step::Proven | Step::Over => {}
        }
    }
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Step::Greeting => "waiting for a first message",
            Step::Guessing(_) => "waiting for a confirmation",
            Step::Proven | Step::Waiting => "waiting for the host's word",
            Step::Over => "ending",
        }
    }
}
