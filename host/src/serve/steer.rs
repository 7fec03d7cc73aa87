//! A session's change of mode or rate, whoever asks for it: its client, or somebody at the host.
//!
//! Promises: somebody at the host is answered once, when the change is done and shown or refused, with everything that
//! was refused of it; a desktop that takes its time is waited for, [`CHANGE_MAX`] long, and a session that ends meanwhile
//! says so; the client is told whatever changes. Refuses a session that does not stream.

use std::time::{Duration, Instant};

use punktfunk_control::{HostControl, Mode, Reconfigure, Reconfigured, SessionId};
use punktfunk_manage::limits::ANSWER_MAX;
use punktfunk_manage::{Refused, Reply, Why, model};

use super::managed::no_such_session;
use super::session::{Session, State};
use super::shown::Shown;
use super::{Serve, log_late};

/// How long a desktop may take over a change before the asker hears that it does.
const CHANGE_MAX: Duration = Duration::from_secs(10);
const _: () = assert!(CHANGE_MAX.as_secs() < ANSWER_MAX.as_secs(), "the asker hears why");

/// Somebody at the host who waits for a change, and the answers that are there.
#[derive(Default)]
pub(super) struct Asker {
    /// Nobody else waits: a mode is changed once at a time.
    waits: Option<(Reply<()>, Instant)>,
    answers: Vec<Answer>,
}

/// An answer that is given once what it tells of is shown.
pub(super) struct Answer {
    reply: Reply<()>,
    outcome: Result<(), Refused>,
}

impl Answer {
    /// Gives it.
    pub(super) fn give(self) {
        self.reply.answer(self.outcome);
    }
}

impl Asker {
    /// What has come of a change that the desktop takes its time over.
    pub(super) fn handle_reconfigured(
        &mut self,
        (id, reconfigured): (SessionId, Reconfigured),
        (shown, control): (&mut Shown, &mut HostControl),
        now: Instant,
    ) {
        let reply = self.waits.take().map(|(reply, _)| reply);
        self.tell((id, reconfigured, reply), (shown, control), now);
    }

    /// Tells everybody whom it concerns: a client takes what was refused for an answer to its own wish, so that it is not
    /// told what was refused to somebody else.
    fn tell(
        &mut self,
        (id, mut reconfigured, reply): (SessionId, Reconfigured, Option<Reply<()>>),
        (shown, control): (&mut Shown, &mut HostControl),
        now: Instant,
    ) {
        let has_changed = shown.handle_reconfigured(reconfigured.mode, reconfigured.bitrate_kbps);
        let Some(reply) = reply else { return log_late(control.send_reconfigured(id, &reconfigured, now)) };
        let refused = std::mem::take(&mut reconfigured.refused);
        let outcome = match refused.is_empty() {
            true => Ok(()),
            false => Err(Refused::new(Why::Conflict, refused, "ask for something else")),
        };
        self.answers.push(Answer { reply, outcome });
        if has_changed {
            log_late(control.send_reconfigured(id, &reconfigured, now));
        }
    }

    /// The session is over.
    pub(super) fn handle_end(&mut self) {
        if let Some((reply, _)) = self.waits.take() {
            let why = "the session ended before it was changed";
            self.answers.push(Answer { reply, outcome: Err(Refused::new(Why::Conflict, why, "")) });
        }
    }

    /// The answers that are there, one that gives up on a desktop that takes too long among them: to be given once what
    /// they tell of is shown.
    pub(super) fn poll_answers(&mut self, now: Instant) -> Vec<Answer> {
        if let Some((reply, _)) = self.waits.take_if(|(_, until)| *until <= now) {
            let most = CHANGE_MAX.as_secs();
            let why = format!("the desktop has not changed its mode for {most} s, and may do so yet");
            let refused = Refused::new(Why::Failed, why, "look at the session's mode in a moment");
            self.answers.push(Answer { reply, outcome: Err(refused) });
        }
        std::mem::take(&mut self.answers)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        // A session that left its place between two rounds.
        self.answers.drain(..).for_each(Answer::give);
    }
}

impl Session {
    /// Begins a change that its client asks for, or somebody who waits for `reply`.
    pub(super) fn reconfigure(
        &mut self,
        wanted: &Reconfigure,
        reply: Option<Reply<()>>,
        control: &mut HostControl,
        now: Instant,
    ) {
        let id = self.id;
        let begun = self.stream().map(|stream| stream.reconfigure(wanted));
        match (begun, reply) {
            (Some(Some(reconfigured)), reply) => {
                self.asker.tell((id, reconfigured, reply), (&mut self.shown, control), now);
            }
            (Some(None), Some(reply)) => self.asker.waits = Some((reply, now + CHANGE_MAX)),
            (None, Some(reply)) => reply.answer(Err(not_streaming(self.state()))),
            // The client's own waits for the desktop, or has met the stream's end.
            (Some(None) | None, None) => {}
        }
    }
}

impl Serve {
    /// Begins a change, which is answered when it is done: [`Asker::poll_answers`].
    pub(super) fn steer(&mut self, session: u64, change: model::Reconfigure, reply: Reply<()>, now: Instant) {
        let id = SessionId::of_number(session);
        let mode =
            change.mode.map(|to| Mode { width: to.width, height: to.height, refresh_mhz: to.refresh_mhz });
        let wanted = Reconfigure { mode, bitrate_kbps: change.bitrate_kbps, codec: None };
        match self.places.session(id) {
            Some(known) => known.reconfigure(&wanted, Some(reply), &mut self.common.control, now),
            None => reply.answer(Err(no_such_session(session))),
        }
    }
}

fn not_streaming(state: &State) -> Refused {
    let (why, remedy) = match state {
        State::Opening(_) | State::Welcomed(_) => ("the session does not stream yet", "wait until it does"),
        State::Streaming(_) | State::Over => ("the session has ended", ""),
    };
    Refused::new(Why::Conflict, why, remedy)
}
