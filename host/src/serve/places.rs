//! The places that a host has for sessions, and who is in which.
//!
//! Promises: no more sessions than places, and no more desktops than that either, those on their way out counted; one
//! session's end holds another one up only where no other place is free; a client that comes again gets its own place,
//! so that what it had before is gone before it has anything anew, unless that takes longer than any end may. Refuses
//! nobody by itself.

use std::time::{Duration, Instant};

use punktfunk_capture::Patience;
use punktfunk_control::{Fingerprint, SessionId};
use punktfunk_display::limits::STOP_DEADLINE;

use super::session::Session;
use crate::closing::Closing;

/// How long what a client had before may take to go, for the client to wait for it: a compositor that hangs is given up by
/// then, and what still hangs may hang for good.
const OWN_WAIT_MAX: Duration = STOP_DEADLINE.saturating_add(Duration::from_millis(500));

/// One place: a session, and what those before it leave behind.
pub(super) struct Place {
    /// Counted from 1.
    number: usize,
    session: Option<Session>,
    /// Whose session was here last.
    last: Option<Fingerprint>,
    closing: Closing,
}

impl Place {
    /// Whether a newcomer may have it: a session that is over has its last words on the way, no more.
    fn is_free(&self) -> bool {
        self.session.as_ref().is_none_or(Session::is_over)
    }

    /// What a log of the session here is called by: no two at a time have the same one.
    pub(super) fn log(&self) -> String {
        if self.number == 1 { "host".to_owned() } else { format!("host-{}", self.number) }
    }

    /// What is on its way out of here.
    pub(super) fn closing(&self) -> Closing {
        self.closing.clone()
    }

    /// Puts a session in.
    pub(super) fn enter(&mut self, session: Session) {
        self.last = Some(session.fingerprint);
        self.session = Some(session);
    }

    /// The session and what its parts are closed by.
    pub(super) fn parts(&mut self) -> Option<(&mut Session, &mut Closing)> {
        Some((self.session.as_mut()?, &mut self.closing))
    }
}

/// All places.
pub(super) struct Places {
    places: Vec<Place>,
}

impl Places {
    /// So many.
    pub(super) fn new(count: usize) -> Self {
        let place = |number| Place { number, session: None, last: None, closing: Closing::default() };
        Self { places: (1..=count).map(place).collect() }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Every session that has a place.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.places.iter().filter_map(|place| place.session.as_ref())
    }

    /// The same, with what their parts are closed by.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&mut Session, &mut Closing)> {
        self.places.iter_mut().filter_map(Place::parts)
    }

    /// This session.
    pub(super) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.parts(id).map(|(session, _)| session)
    }

    /// This session, with what its parts are closed by.
    pub(super) fn parts(&mut self, id: SessionId) -> Option<(&mut Session, &mut Closing)> {
        self.iter_mut().find(|(session, _)| session.id == id)
    }

    /// The session of this client that is under way.
    pub(super) fn session_of(&self, client: Fingerprint) -> Option<SessionId> {
        let is_its = |session: &&Session| session.fingerprint == client && !session.is_over();
        self.sessions().find(is_its).map(|session| session.id)
    }

    /// A free place for this client: the one that it had last, else one that nothing is on its way out of, not even last
    /// words, else any. Its own is no better than another's once something hangs there.
    pub(super) fn free(&mut self, client: Fingerprint, now: Instant) -> Option<&mut Place> {
        let is_own = |place: &Place| place.last == Some(client) && place.closing.age(now) <= OWN_WAIT_MAX;
        let rank = |place: &Place| (!is_own(place), !place.closing.is_done(), place.session.is_some());
        self.places.iter_mut().filter(|place| place.is_free()).min_by_key(|place| rank(place))
    }

    /// Takes a session out of its place.
    pub(super) fn leave(&mut self, id: SessionId) {
        for place in &mut self.places {
            place.session.take_if(|session| session.id == id);
        }
    }

    /// Whether nothing is on its way out.
    pub(super) fn is_closed(&self) -> bool {
        self.places.iter().all(|place| place.closing.is_done())
    }

    /// Waits until nothing is, as long as `patience` lasts; whether that is so.
    pub(super) fn wait(&self, patience: &Patience) -> bool {
        self.places.iter().all(|place| place.closing.wait(patience))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use punktfunk_control::{Hello, Mode};

    use super::super::shown::Shown;
    use super::*;

    fn client(number: u8) -> Fingerprint {
        Fingerprint::from([number; 32])
    }

    /// A session of this client that is over: what the table cares for.
    fn over(id: u64, client: Fingerprint) -> Session {
        let mode = Mode { width: 64, height: 64, refresh_mhz: 60_000 };
        let (id, hello) = (SessionId::of_number(id), Hello::new("x", mode, 1_000));
        let shown = Shown::new(id, &hello, client, ([127, 0, 0, 1], 1).into(), Instant::now());
        Session::new((id, client, true), None, (shown, "host".to_owned()), Instant::now())
    }

    fn last(place: Option<&mut Place>) -> Option<Fingerprint> {
        place.expect("a place is free").last
    }

    #[test]
    fn a_client_comes_back_to_its_own_place_and_others_to_one_that_is_empty() {
        let mut places = Places::new(3);
        let (go, goes) = mpsc::channel::<()>();
        let now = Instant::now();
        for number in [1, 2] {
            places.free(client(number), now).unwrap().enter(over(number.into(), client(number)));
        }
        let (_, closing) = places.parts(SessionId::of_number(1)).unwrap();
        closing.then(move || _ = goes.recv());
        assert_eq!(last(places.free(client(1), now)), Some(client(1)), "its own, though it is not empty yet");
        assert_eq!(last(places.free(client(2), now)), Some(client(2)));
        let other = places.free(client(3), now).unwrap();
        assert_eq!(other.last, None, "one that nothing leaves");
        other.enter(over(3, client(3)));
        assert!(!places.is_closed());
        assert!(!places.wait(&Patience::until(Instant::now() + Duration::from_millis(10))));
        drop(go);
        assert!(places.wait(&Patience::until(Instant::now() + Duration::from_secs(30))));
        assert_eq!((places.sessions().count(), places.count()), (3, 3));
        places.leave(SessionId::of_number(3));
        assert!(places.session(SessionId::of_number(3)).is_none());
        assert_eq!(places.session_of(client(1)), None, "over is not under way");
    }

    #[test]
    fn a_client_whose_last_desktop_hangs_has_another_place() {
        let mut places = Places::new(2);
        let (go, goes) = mpsc::channel::<()>();
        places.free(client(1), Instant::now()).unwrap().enter(over(1, client(1)));
        let (_, closing) = places.parts(SessionId::of_number(1)).unwrap();
        closing.then(move || _ = goes.recv());
        let (now, late) = (Instant::now(), Instant::now() + OWN_WAIT_MAX + Duration::from_secs(1));
        assert_eq!(places.free(client(1), now).unwrap().number, 1);
        assert_eq!(places.free(client(1), late).unwrap().number, 2, "what hangs holds nobody up");
        // Where there is no other, it is had all the same, and whoever opens there waits.
        let mut only = Places::new(1);
        only.free(client(1), now).unwrap().enter(over(1, client(1)));
        let (_, closing) = only.parts(SessionId::of_number(1)).unwrap();
        let (still, waits) = mpsc::channel::<()>();
        closing.then(move || _ = waits.recv());
        assert_eq!(only.free(client(1), late).unwrap().number, 1);
        drop((go, still));
    }
}
