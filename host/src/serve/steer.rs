//! A session's change of mode or rate, whoever asks for it: its client, or somebody at the host.
//!
//! Promises: somebody at the host is answered once, when the change is done or refused, with everything that was refused
//! of it; a desktop that takes its time is waited for, [`CHANGE_MAX`] long, and a session that ends meanwhile says so; the
//! client is told whatever changes, and of refusals those of its own wishes alone, however late. Refuses a session that
//! does not stream.

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

/// Whose change it is that a desktop takes its time over: a mode is changed once at a time.
#[derive(Default)]
pub(super) struct Asker(Option<Whose>);

/// Who has asked for a change.
enum Whose {
    /// The session's client.
    Clients,
    /// Somebody at the host, who waits until then; or has waited so long.
    Hosts(Option<(Reply<()>, Instant)>),
}

impl Whose {
    fn of(reply: Option<Reply<()>>, now: Instant) -> Self {
        reply.map_or(Self::Clients, |reply| Self::Hosts(Some((reply, now + CHANGE_MAX))))
    }
}

impl Asker {
    /// What has come of a change that the desktop took its time over; what the client is to hear of it.
    #[must_use]
    pub(super) fn handle_reconfigured(
        &mut self,
        reconfigured: Reconfigured,
        shown: &mut Shown,
    ) -> Option<Reconfigured> {
        tell(reconfigured, self.0.take().unwrap_or(Whose::Clients), shown)
    }

    /// The session is over.
    pub(super) fn handle_end(&mut self) {
        if let Some(Whose::Hosts(Some((reply, _)))) = self.0.take() {
            reply.answer(Err(Refused::new(Why::Conflict, "the session ended before it was changed", "")));
        }
    }

    /// Gives up on a desktop that takes too long.
    pub(super) fn poll(&mut self, now: Instant) {
        let Some(Whose::Hosts(waits)) = &mut self.0 else { return };
        if let Some((reply, _)) = waits.take_if(|(_, until)| *until <= now) {
            let most = CHANGE_MAX.as_secs();
            let why = format!("the desktop has not changed its mode for {most} s, and may do so yet");
            reply.answer(Err(Refused::new(Why::Failed, why, "look at the session's mode in a moment")));
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.handle_end();
    }
}

/// Answers whoever has asked. A client takes what was refused for an answer to its own wish, so that it does not hear what
/// was refused to somebody else.
fn tell(mut reconfigured: Reconfigured, whose: Whose, shown: &mut Shown) -> Option<Reconfigured> {
    let has_changed = shown.handle_reconfigured(reconfigured.mode, reconfigured.bitrate_kbps);
    let Whose::Hosts(waits) = whose else { return Some(reconfigured) };
    let refused = std::mem::take(&mut reconfigured.refused);
    match waits {
        Some((reply, _)) if refused.is_empty() => reply.answer(Ok(())),
        Some((reply, _)) => {
            reply.answer(Err(Refused::new(Why::Conflict, refused, "ask for something else")));
        }
        None if refused.is_empty() => {}
        None => tracing::warn!(refused, "a change came to nothing after its asker had given up"),
    }
    has_changed.then_some(reconfigured)
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
        let begun = self.stream().map(|stream| stream.reconfigure(wanted));
        match (begun, reply) {
            (Some(Some(reconfigured)), reply) => {
                let news = tell(reconfigured, Whose::of(reply, now), &mut self.shown);
                send(control, self.id, news, now);
            }
            (Some(None), reply) => self.asker.0 = Some(Whose::of(reply, now)),
            (None, Some(reply)) => reply.answer(Err(not_streaming(self.state()))),
            // The client's own has met the stream's end.
            (None, None) => {}
        }
    }
}

/// Tells the client.
pub(super) fn send(control: &mut HostControl, id: SessionId, news: Option<Reconfigured>, now: Instant) {
    if let Some(news) = news {
        log_late(control.send_reconfigured(id, &news, now));
    }
}

impl Serve {
    /// Begins a change, which is answered when it is done.
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

#[cfg(test)]
mod tests {
    use punktfunk_control::{Fingerprint, Hello};
    use punktfunk_manage::Waiting;

    use super::*;

    const MODE: Mode = Mode { width: 640, height: 360, refresh_mhz: 60_000 };

    /// A session at [`MODE`] and 20,000 kbit/s, as it is shown.
    fn shown(now: Instant) -> Shown {
        let hello = Hello::new("x", MODE, 20_000);
        let remote = ([127, 0, 0, 1], 1).into();
        Shown::new(SessionId::of_number(1), &hello, Fingerprint::from([1; 32]), remote, now)
    }

    fn done(width: u32, refused: &str) -> Reconfigured {
        let mode = Mode { width, ..MODE };
        Reconfigured { mode, bitrate_kbps: 20_000, from_au: 9, refused: refused.to_owned() }
    }

    /// A change of the operator's that the desktop takes its time over.
    fn operators(now: Instant) -> (Asker, Waiting<()>) {
        let (reply, waiting) = Reply::pair();
        (Asker(Some(Whose::of(Some(reply), now))), waiting)
    }

    fn why(waiting: &mut Waiting<()>) -> Option<(Why, String)> {
        Some(waiting.poll()?.map_err(|refused| (refused.why, refused.error)).expect_err("refused"))
    }

    #[test]
    fn the_operator_hears_what_was_refused_and_the_client_what_has_changed() {
        let now = Instant::now();
        let mut shown = shown(now);
        let (mut asker, mut waiting) = operators(now);
        asker.poll(now + CHANGE_MAX / 2);
        assert_eq!(waiting.poll(), None, "the desktop has time");
        assert_eq!(asker.handle_reconfigured(done(800, ""), &mut shown), Some(done(800, "")));
        assert_eq!((waiting.poll(), asker.0.is_none()), (Some(Ok(())), true));
        let (mut asker, mut waiting) = operators(now);
        assert_eq!(asker.handle_reconfigured(done(800, "no such mode"), &mut shown), None);
        assert_eq!(why(&mut waiting), Some((Why::Conflict, "no such mode".to_owned())));
        // Half of it was done.
        let (mut asker, mut waiting) = operators(now);
        assert_eq!(asker.handle_reconfigured(done(320, "no such rate"), &mut shown), Some(done(320, "")));
        assert_eq!(why(&mut waiting), Some((Why::Conflict, "no such rate".to_owned())));
    }

    #[test]
    fn a_refusal_that_comes_late_is_still_not_the_clients() {
        let now = Instant::now();
        let mut shown = shown(now);
        let (mut asker, mut waiting) = operators(now);
        asker.poll(now + CHANGE_MAX);
        let (kind, error) = why(&mut waiting).expect("the asker does not wait longer");
        assert!(kind == Why::Failed && error.contains("10 s"), "{error}");
        asker.poll(now + CHANGE_MAX * 2);
        assert_eq!(asker.handle_reconfigured(done(640, "too late"), &mut shown), None);
        // What it says of a change is the client's, however late.
        let (mut asker, _waiting) = operators(now);
        asker.poll(now + CHANGE_MAX);
        assert_eq!(asker.handle_reconfigured(done(800, ""), &mut shown), Some(done(800, "")));
    }

    #[test]
    fn the_clients_own_and_the_operators_changes_are_kept_apart() {
        let now = Instant::now();
        let mut shown = shown(now);
        // The client's waits for the desktop, and the operator's, refused at once, does not end that.
        let mut asker = Asker(Some(Whose::of(None, now)));
        let (reply, mut waiting) = Reply::pair();
        let refused = "the desktop is being changed already";
        assert_eq!(tell(done(640, refused), Whose::of(Some(reply), now), &mut shown), None);
        assert_eq!(why(&mut waiting), Some((Why::Conflict, refused.to_owned())));
        asker.poll(now + CHANGE_MAX * 2);
        assert_eq!(asker.handle_reconfigured(done(640, "no"), &mut shown), Some(done(640, "no")));
        // And the other way round.
        let (mut asker, mut waiting) = operators(now);
        let told = tell(done(640, refused), Whose::of(None, now), &mut shown);
        assert_eq!((told, waiting.poll()), (Some(done(640, refused)), None));
        assert_eq!(asker.handle_reconfigured(done(800, ""), &mut shown), Some(done(800, "")));
        assert_eq!(waiting.poll(), Some(Ok(())));
    }

    #[test]
    fn a_session_that_ends_or_goes_says_so_once() {
        let now = Instant::now();
        let ended = Some((Why::Conflict, "the session ended before it was changed".to_owned()));
        let (mut asker, mut waiting) = operators(now);
        asker.handle_end();
        assert_eq!(why(&mut waiting), ended);
        asker.handle_end();
        asker.poll(now + CHANGE_MAX);
        assert_eq!(waiting.poll(), None);
        let (asker, mut waiting) = operators(now);
        drop(asker);
        assert_eq!(why(&mut waiting), ended);
    }
}
