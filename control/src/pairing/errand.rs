//! What a client that is not known wants of a host, from its first message to the host's last.
//!
//! ```text
//! pair:  Asking ── Answer that proves the PIN ──> Convinced ── Admitted ──> done
//! knock: Knocking ── Held ──> Waiting ── Admitted ──> done
//! ```
//! *What it promises.* A pairing is done only when the host has proven that it knows the PIN *and* has written
//! this client down; nothing is to be stored before. Each message once, in its turn. *What it refuses.* To be let in
//! by a host that was asked by PIN and has proven nothing.

use super::exchange::{Asking, Binding, SystemRandom};
use super::messages::{Ask, Confirm, Knock, PairMessage, TurnedAwayReason};
use super::pin::Pin;
use crate::error::Violation;

/// What a client wants.
#[derive(Clone, Debug)]
pub enum Wish {
    /// To be let in at once, because its person knows the PIN.
    Pair(Pin),
    /// To wait until somebody at the host lets it in.
    Knock,
}

/// What a message leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// This is to be said.
    Say(PairMessage),
    /// The host's people are asked; for so many seconds at most.
    Held(u32),
    /// Done: the host is to be written down.
    Admitted(String),
    /// The host does not know the PIN: it is another host, or shows none.
    Unproven,
    /// The host has not let this client in.
    TurnedAway(TurnedAwayReason),
}

enum Step {
    Asking(Box<Asking>),
    Convinced,
    Knocking,
    Waiting,
    Over,
}

/// One errand under way.
pub(crate) struct Errand(Step);

impl Errand {
    /// Begins; the message is the first one to the host.
    pub(crate) fn start(wish: &Wish, name: &str, binding: &Binding) -> (Self, PairMessage) {
        let name = name.to_owned();
        match wish {
            Wish::Pair(pin) => {
                let (asking, share) = Asking::start(pin, binding, &mut SystemRandom);
                (Self(Step::Asking(Box::new(asking))), PairMessage::Ask(Ask { name, share }))
            }
            Wish::Knock => (Self(Step::Knocking), PairMessage::Knock(Knock { name })),
        }
    }

    pub(crate) fn handle_message(&mut self, message: PairMessage) -> Result<Progress, Violation> {
        match (std::mem::replace(&mut self.0, Step::Over), message) {
            (Step::Asking(asking), PairMessage::Answer(answer)) => {
                let Ok(confirmation) = asking.handle_answer(&answer.share, &answer.confirmation) else {
                    return Ok(Progress::Unproven);
                };
                self.0 = Step::Convinced;
                Ok(Progress::Say(PairMessage::Confirm(Confirm { confirmation })))
            }
            (Step::Knocking, PairMessage::Held(held)) => {
                self.0 = Step::Waiting;
                Ok(Progress::Held(held.wait_s))
            }
            (Step::Convinced | Step::Waiting, PairMessage::Admitted(admitted)) => {
                Ok(Progress::Admitted(admitted.host_name))
            }
            (
                Step::Asking(_) | Step::Convinced | Step::Knocking | Step::Waiting,
                PairMessage::TurnedAway(away),
            ) => Ok(Progress::TurnedAway(away.reason)),
            (step, message) => Err(Violation::OutOfTurn { message: message.name(), state: step.name() }),
        }
    }

    /// Whether the host's people are asked: it may take a while.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.0, Step::Waiting)
    }
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Step::Asking(_) => "waiting for the host's proof",
            Step::Convinced => "waiting to be let in",
            Step::Knocking => "waiting for the host's answer",
            Step::Waiting => "waiting for somebody's word",
            Step::Over => "ending",
        }
    }
}
