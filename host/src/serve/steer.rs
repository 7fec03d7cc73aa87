//! The operator's changes to a running session.
//!
//! Promises: each is answered once, when it is made or refused, with everything that was refused of it; a desktop that
//! takes its time is waited for, [`CHANGE_MAX`] long, and a session that ends meanwhile says so. Refuses a session that
//! does not stream.

use std::time::{Duration, Instant};

use punktfunk_control::{Mode, Reconfigure, Reconfigured, SessionId};
use punktfunk_manage::limits::ANSWER_MAX;
use punktfunk_manage::{Refused, Reply, Why, model};

use super::managed::no_such_session;
use super::session::State;
use super::{Serve, log_late};

/// How long a desktop may take over a change before the asker hears that it does.
const CHANGE_MAX: Duration = Duration::from_secs(10);
const _: () = assert!(CHANGE_MAX.as_secs() < ANSWER_MAX.as_secs(), "the asker hears why");

/// Somebody who waits for a change.
pub(super) struct Asker {
    reply: Reply<()>,
    until: Instant,
}

impl Asker {
    /// The change is done, as far as it was possible.
    pub(super) fn handle_reconfigured(self, reconfigured: &Reconfigured) {
        self.reply.answer(outcome(reconfigured));
    }

    /// The session is over.
    pub(super) fn handle_end(self) {
        let why = "the session ended before it was changed";
        self.reply.answer(Err(Refused::new(Why::Conflict, why, "")));
    }

    /// Gives up on a desktop that takes too long.
    pub(super) fn poll(asker: &mut Option<Self>, now: Instant) {
        if let Some(late) = asker.take_if(|asker| asker.until <= now) {
            let most = CHANGE_MAX.as_secs();
            let why = format!("the desktop has not changed its mode for {most} s, and may do so yet");
            late.reply.answer(Err(Refused::new(Why::Failed, why, "look at the session's mode in a moment")));
        }
    }
}

impl Serve {
    /// Begins a change, and answers when it is done.
    pub(super) fn steer(&mut self, session: u64, change: model::Reconfigure, reply: Reply<()>, now: Instant) {
        let id = SessionId::of_number(session);
        let mode =
            change.mode.map(|to| Mode { width: to.width, height: to.height, refresh_mhz: to.refresh_mhz });
        let wanted = Reconfigure { mode, bitrate_kbps: change.bitrate_kbps, codec: None };
        let Some(known) = self.places.session(id) else {
            return reply.answer(Err(no_such_session(session)));
        };
        let Some(stream) = known.stream() else {
            return reply.answer(Err(not_streaming(known.state())));
        };
        let Some(reconfigured) = stream.reconfigure(&wanted) else {
            // Nobody else waits: a mode is changed once at a time.
            known.asker = Some(Asker { reply, until: now + CHANGE_MAX });
            return;
        };
        known.shown.handle_reconfigured(reconfigured.mode, reconfigured.bitrate_kbps);
        log_late(self.common.control.send_reconfigured(id, &reconfigured, now));
        reply.answer(outcome(&reconfigured));
    }
}

fn outcome(reconfigured: &Reconfigured) -> Result<(), Refused> {
    if reconfigured.refused.is_empty() {
        return Ok(());
    }
    Err(Refused::new(Why::Conflict, reconfigured.refused.clone(), "ask for something else"))
}

fn not_streaming(state: &State) -> Refused {
    let (why, remedy) = match state {
        State::Opening(_) | State::Welcomed(_) => ("the session does not stream yet", "wait until it does"),
        State::Streaming(_) | State::Over => ("the session has ended", ""),
    };
    Refused::new(Why::Conflict, why, remedy)
}
