//! The host's end of every control session on one port.
//!
//! Promises: sessions are told apart by connection, so that two clients behind one address stay
//! themselves; a session follows its client to another address once that is proven there, and no copy of its
//! datagrams can redirect or end it (`roaming`); a stranger costs a place for five seconds at most, and nobody whose
//! handshake does not stall its own (`crowd`). Refuses: more connections than its limits, and clients that are not
//! trusted, naming them.

mod crowd;
mod ends;
mod pairing;
mod session;
mod stranger;
mod tidings;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use punktfunk_proto::SessionClock;
use quinn_proto::{ConnectionHandle, Incoming, ServerConfig};

use crate::error::ControlError;
use crate::event::{HostEvent, Path, SessionId, Transmit};
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::limits::{ALPN, HostLimits, NEWCOMERS_PER_ADDRESS, NEWCOMERS_PER_SECOND, UDP_PAYLOAD_BYTES_MAX};
use crate::link::Link;
use crate::messages::{
    Bye, ByeReason, HostStats, Message, Reconfigured, Refusal, SourceNews, SpeedTestNews, Welcome,
};
use crate::pace::Pace;
use crate::pairing::Desk;
use crate::port::{Port, Routed};
use crate::stats::{HostCounters, LinkStats};
use crate::tls::PinVerifier;
use crate::transport;
use crate::trust::Trust;
use crowd::Room;
use session::Session;
use stranger::Stranger;
use tidings::Tidings;

/// The host's end of all control sessions on one port.
pub struct HostControl {
    identity: Identity,
    limits: HostLimits,
    server: Arc<ServerConfig>,
    verifier: Arc<PinVerifier>,
    port: Port,
    sessions: Vec<Session>,
    /// Connections of the pairing protocol.
    strangers: Vec<Stranger>,
    desk: Desk,
    /// Whose places somebody else has lost.
    newcomers: Pace,
    next_session: u64,
    /// Which session may send next.
    turn: usize,
    tidings: Tidings,
    last_now: Instant,
    alpn: &'static [u8],
}

impl HostControl {
    /// Ready for clients that `trust` allows.
    ///
    /// # Errors
    /// When TLS does not take the identity.
    pub fn new(
        identity: Identity,
        trust: Trust,
        limits: HostLimits,
        now: Instant,
    ) -> Result<Self, ControlError> {
        Self::with_alpn(identity, trust, limits, ALPN, now)
    }

    pub(crate) fn with_alpn(
        identity: Identity,
        trust: Trust,
        limits: HostLimits,
        alpn: &'static [u8],
        now: Instant,
    ) -> Result<Self, ControlError> {
        let verifier = PinVerifier::new(trust);
        let server = transport::server_config(&identity, Arc::clone(&verifier), &limits, alpn)?;
        Ok(Self {
            port: Port::new(
                transport::endpoint_config(&identity, UDP_PAYLOAD_BYTES_MAX),
                Some(Arc::clone(&server)),
            ),
            identity,
            limits,
            server,
            verifier,
            sessions: Vec::new(),
            strangers: Vec::new(),
            desk: Desk::default(),
            newcomers: Pace::new(NEWCOMERS_PER_SECOND, NEWCOMERS_PER_ADDRESS),
            next_session: 0,
            turn: 0,
            tidings: Tidings::default(),
            last_now: now,
            alpn,
        })
    }

    /// This host's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// Takes one datagram whose first byte is 0x40 or more; others are counted and ignored. `to` is the
    /// address of this machine that it was sent to, where the network edge tells: answers leave from it.
    pub fn handle_datagram(&mut self, from: SocketAddr, to: Option<IpAddr>, bytes: &[u8], now: Instant) {
        self.last_now = now;
        match self.port.handle(from, to, bytes, now) {
            None => {}
            Some(Routed::New(incoming)) => self.handle_incoming(incoming, now),
            Some(Routed::Connection(handle, event)) => {
                if let Some(index) = self.index_of_handle(handle) {
                    self.sessions[index].link.handle_datagram(from, event, bytes.len(), now);
                    self.advance(index, now);
                } else if let Some(index) = self.index_of_stranger(handle) {
                    self.strangers[index].link.handle_datagram(from, event, bytes.len(), now);
                    self.advance_stranger(index, now);
                }
            }
        }
        self.forget_drained();
    }

    /// Call when `poll_timeout` has come; calling it at other times does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.last_now = now;
        self.tidings.take_resume();
        for session in &mut self.sessions {
            session.handle_timeout(&self.verifier, &mut self.tidings, now);
            session.link.exchange(&mut self.port);
        }
        self.handle_strangers_timeout(now);
        self.forget_drained();
    }

    /// The next datagram or train of datagrams: `buf` is cleared and filled. Call until it says `None`
    /// after every other call.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        if let Some(transmit) = self.port.poll_transmit(buf) {
            return Some(transmit);
        }
        let count = self.sessions.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            if let Some(transmit) = self.sessions[index].link.poll_transmit(now, buf) {
                self.turn = index;
                return Some(transmit);
            }
        }
        self.strangers.iter_mut().find_map(|stranger| stranger.link.poll_transmit(now, buf))
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if self.tidings.can_resume() {
            return Some(self.last_now);
        }
        let sessions = self.sessions.iter_mut().filter_map(Session::poll_timeout).min();
        [sessions, self.poll_strangers_timeout()].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.tidings.poll()
    }

    /// Answers a Hello with Yes.
    ///
    /// # Errors
    /// When the session has ended or was answered already.
    pub fn welcome(
        &mut self,
        session: SessionId,
        welcome: &Welcome,
        now: Instant,
    ) -> Result<(), ControlError> {
        self.session(session)?.welcome(Message::Welcome(welcome.clone()), now)
    }

    /// Answers a Hello with No; the session ends when the client has heard it.
    ///
    /// # Errors
    /// When the session has ended or was answered already.
    pub fn refuse(
        &mut self,
        session: SessionId,
        refusal: &Refusal,
        now: Instant,
    ) -> Result<(), ControlError> {
        self.session(session)?.refuse(refusal.clone(), now)
    }

    /// Answers a Start: from now on clock rounds are answered by `clock`.
    ///
    /// # Errors
    /// When the session has ended or is not running.
    pub fn start_clock(
        &mut self,
        session: SessionId,
        clock: SessionClock,
        now: Instant,
    ) -> Result<(), ControlError> {
        self.session(session)?.start_clock(clock, now)
    }

    /// Answers a Reconfigure, or tells of a change of the host's own.
    ///
    /// # Errors
    /// When the session has ended, is not welcomed, or the client does not read.
    pub fn send_reconfigured(
        &mut self,
        session: SessionId,
        reconfigured: &Reconfigured,
        _now: Instant,
    ) -> Result<(), ControlError> {
        let session = self.session(session)?;
        session.require_running("send_reconfigured")?;
        session.send(&Message::Reconfigured(reconfigured.clone()))
    }

    /// Tells what has become of the source, from the Hello on: what it waits for, before the Welcome.
    ///
    /// # Errors
    /// When the session has ended, or the client does not read.
    pub fn send_source_news(
        &mut self,
        session: SessionId,
        news: &SourceNews,
        _now: Instant,
    ) -> Result<(), ControlError> {
        self.session(session)?.send(&Message::SourceNews(news.clone()))
    }

    /// Tells how a speed test goes.
    ///
    /// # Errors
    /// When the session is not running, has ended, or the client does not read.
    pub fn send_speed_test(
        &mut self,
        session: SessionId,
        news: SpeedTestNews,
        _now: Instant,
    ) -> Result<(), ControlError> {
        let session = self.session(session)?;
        session.require_running("send_speed_test")?;
        session.send(&news.into())
    }

    /// Sends statistics. When the client does not read they are dropped and counted: the next ones
    /// hold all that these would have said. A client that has not read for
    /// [`UNREAD_MAX`](crate::limits::UNREAD_MAX) breaks the protocol.
    ///
    /// # Errors
    /// When the session has ended or is not welcomed.
    pub fn send_stats(
        &mut self,
        session: SessionId,
        stats: &HostStats,
        now: Instant,
    ) -> Result<(), ControlError> {
        let open = |known: &Session| known.id == session && known.is_open();
        let index = self.sessions.iter().position(open).ok_or(ControlError::NoSuchSession(session))?;
        let session = &mut self.sessions[index];
        session.require_running("send_stats")?;
        match session.send(&Message::HostStats(stats.clone())) {
            Ok(()) => {
                session.note_read();
                Ok(())
            }
            Err(ControlError::PeerDoesNotRead { .. }) => {
                session.note_unread(&mut self.tidings, now);
                session.link.exchange(&mut self.port);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the session once what was sent before has arrived, at the latest after half a second.
    ///
    /// # Errors
    /// When the session has ended.
    pub fn bye(&mut self, session: SessionId, bye: &Bye, now: Instant) -> Result<(), ControlError> {
        self.session(session)?.bye(bye, now);
        Ok(())
    }

    /// Where the client has proven to be, and from which of this machine's addresses it is reached.
    pub fn path(&self, session: SessionId) -> Option<Path> {
        self.sessions.iter().find(|s| s.id == session).map(|s| s.link.path())
    }

    /// Media has shown that the path carries no long datagrams any more: QUIC's search begins anew, from its
    /// smallest. [`HostEvent::Mtu`] follows.
    ///
    /// # Errors
    /// When the session has ended.
    pub fn restart_mtu_search(&mut self, session: SessionId, now: Instant) -> Result<(), ControlError> {
        let open = |known: &Session| known.id == session && known.is_open();
        let index = self.sessions.iter().position(open).ok_or(ControlError::NoSuchSession(session))?;
        self.sessions[index].link.restart_mtu_search(now);
        self.advance(index, now);
        Ok(())
    }

    /// The sessions in which media flows, and whose they are.
    pub fn running(&self) -> impl Iterator<Item = (SessionId, Fingerprint)> + '_ {
        let running = self.sessions.iter().filter(|session| session.is_open() && session.is_running());
        running.filter_map(|session| Some((session.id, session.fingerprint()?)))
    }

    /// A session's counters.
    pub fn stats(&self, session: SessionId) -> Option<LinkStats> {
        self.sessions.iter().find(|s| s.id == session).map(|s| s.link.stats())
    }

    /// The counters over all connections.
    pub fn counters(&self) -> HostCounters {
        HostCounters {
            datagrams_foreign: self.port.datagrams_foreign,
            responses_dropped: self.port.responses_dropped,
            ..self.tidings.counters
        }
    }

    /// Changes whom to believe; sessions of clients that are no longer trusted end within a second.
    ///
    /// # Errors
    /// When TLS does not take the identity any more.
    pub fn set_trust(&mut self, trust: Trust, now: Instant) -> Result<(), ControlError> {
        let verifier = PinVerifier::new(trust.clone());
        let server =
            transport::server_config(&self.identity, Arc::clone(&verifier), &self.limits, self.alpn)?;
        self.port.replace_server(Arc::clone(&server));
        self.server = server;
        self.verifier = verifier;
        for session in &mut self.sessions {
            let trusted = session.fingerprint().is_some_and(|fingerprint| trust.allows(&fingerprint));
            if session.is_open() && !trusted {
                session.bye(&Bye::new(ByeReason::TrustWithdrawn, ""), now);
            }
        }
        Ok(())
    }

    /// Whether no connection is left, closing ones counted.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty() && self.strangers.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn link(&mut self, id: SessionId) -> &mut Link {
        let session = self.sessions.iter_mut().find(|session| session.id == id);
        &mut session.expect("the test's session lives").link
    }

    fn handle_incoming(&mut self, incoming: Incoming, now: Instant) {
        let remote = incoming.remote_address();
        let incoming = match self.make_room(remote, incoming.remote_address_validated(), now) {
            Room::Free => incoming,
            Room::Prove => match self.port.retry(incoming) {
                Some(incoming) => incoming,
                None => return,
            },
            Room::Later => {
                self.tidings.counters.newcomers_unheard += 1;
                return self.port.ignore(incoming);
            }
            Room::None(reason) => {
                self.port.refuse(incoming);
                return self.tidings.reject(remote, reason);
            }
        };
        let route = transport::for_route(&self.server, (self.limits.udp_payload_bytes_to)(remote));
        match self.port.accept(incoming, route, now) {
            Ok((handle, connection)) => {
                let id = SessionId(self.next_session);
                self.next_session += 1;
                self.sessions.push(Session::new(id, Link::new(handle, connection, now), self.alpn, now));
                self.advance(self.sessions.len() - 1, now);
            }
            Err(error) => {
                let refused = self.verifier.take_refused();
                self.tidings.reject(remote, ends::reject_reason(&error.cause, refused));
            }
        }
    }

    fn advance(&mut self, index: usize, now: Instant) {
        let session = &mut self.sessions[index];
        session.link.exchange(&mut self.port);
        session.advance(&self.verifier, &mut self.tidings, now);
        session.link.exchange(&mut self.port);
        if session.is_stranger() {
            self.receive_stranger(index, now);
        }
    }

    fn forget_drained(&mut self) {
        self.sessions.retain(|session| !session.link.is_drained());
        self.strangers.retain(|stranger| !stranger.link.is_drained());
    }

    fn index_of_stranger(&self, handle: ConnectionHandle) -> Option<usize> {
        self.strangers.iter().position(|stranger| stranger.link.handle() == handle)
    }

    fn index_of_handle(&self, handle: ConnectionHandle) -> Option<usize> {
        self.sessions.iter().position(|session| session.link.handle() == handle)
    }

    fn session(&mut self, id: SessionId) -> Result<&mut Session, ControlError> {
        self.sessions
            .iter_mut()
            .find(|session| session.id == id && session.is_open())
            .ok_or(ControlError::NoSuchSession(id))
    }
}

impl std::fmt::Debug for HostControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostControl")
            .field("identity", &self.identity)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}
