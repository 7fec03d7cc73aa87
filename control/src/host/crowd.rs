//! Room for a newcomer, of whom nobody knows yet who it is.
//!
//! Promises: connections behind which nobody is known (handshakes, strangers about whom nobody is asked, and what is left
//! of those that were turned away) have places of their own, and none of a known client or of a device that waits.
//! Where they are taken, a newcomer that has proven its address gets the place of whoever came first of the addresses
//! with the most. So whoever stalls, from however many addresses, keeps nobody out who shakes hands at
//! once. Refuses: more of one address than its share, and everyone where all places are known clients'. More newcomers
//! in a second than the thread of all sessions' control may spend its time on are not heard; QUIC repeats what is not
//! answered, so that an honest one comes again.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::HostControl;
use crate::error::RejectReason;
use crate::event::SessionId;

/// What a newcomer finds.
#[derive(Debug)]
pub(super) enum Room {
    /// A place.
    Free,
    /// It has to prove first that it is where it says.
    Prove,
    /// None now; it may come again.
    Later,
    /// None, for this reason.
    None(RejectReason),
}

impl HostControl {
    /// Finds a place for somebody from there; somebody else may have lost it then.
    pub(super) fn make_room(&mut self, remote: SocketAddr, is_proven: bool, now: Instant) -> Room {
        let unknown = self.unknown();
        let address = remote.ip().to_canonical();
        let (connections_max, per_address_max) =
            (self.limits.connections_max, self.limits.unknown_per_address_max);
        let is_full = self.sessions.len() + self.strangers.len() >= connections_max
            || unknown.len() >= self.limits.unknown_max;
        if is_full && unknown.is_empty() {
            return Room::None(RejectReason::Full { connections_max });
        }
        if count_at(&unknown, address) >= per_address_max {
            return Room::None(RejectReason::Crowded { per_address_max });
        }
        let handshaking = self.sessions.iter().filter(|session| session.is_handshaking()).count();
        if !is_proven && (is_full || handshaking >= self.limits.unproven_handshakes_max) {
            return Room::Prove;
        }
        if is_full {
            if !self.newcomers.take(address, now) {
                return Room::Later;
            }
            let most = unknown.iter().map(|(_, at)| count_at(&unknown, *at)).max();
            let crowded = unknown.iter().filter(|(_, at)| Some(count_at(&unknown, *at)) == most);
            if let Some(first) = crowded.map(|(id, _)| *id).min() {
                self.oust(first, now);
            }
        }
        Room::Free
    }

    /// Connections that nobody is known behind, or not yet, and whence they come; those that are closing, too.
    fn unknown(&self) -> Vec<(SessionId, IpAddr)> {
        let sessions = self.sessions.iter().filter(|session| session.fingerprint().is_none());
        let sessions = sessions.map(|session| (session.id, session.link.remote()));
        let strangers = self.strangers.iter().filter(|stranger| !stranger.is_spoken_for());
        let strangers = strangers.map(|stranger| (stranger.id, stranger.remote()));
        sessions.chain(strangers).map(|(id, remote)| (id, remote.ip().to_canonical())).collect()
    }

    /// Drops a connection without a word.
    fn oust(&mut self, id: SessionId, now: Instant) {
        let unknown_max = self.limits.unknown_max;
        let (remote, link, is_told) =
            if let Some(index) = self.sessions.iter().position(|session| session.id == id) {
                let session = self.sessions.remove(index);
                let is_told = !session.is_over();
                (session.link.remote(), session.link, is_told)
            } else if let Some(index) = self.strangers.iter().position(|stranger| stranger.id == id) {
                let mut stranger = self.strangers.remove(index);
                let is_told = stranger.leave(&mut self.desk, now);
                (stranger.remote(), stranger.link, is_told)
            } else {
                return;
            };
        link.forget(&mut self.port);
        self.tell_window();
        if is_told {
            self.tidings.reject(remote, RejectReason::GaveWay { unknown_max });
        }
    }
}

fn count_at(unknown: &[(SessionId, IpAddr)], address: IpAddr) -> usize {
    unknown.iter().filter(|(_, at)| *at == address).count()
}
