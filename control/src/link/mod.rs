//! One QUIC connection as both ends see it: a stream of messages, real-time planes, a path.
//!
//! Promises: messages arrive whole and in order; what waits to be sent or read is bounded; the media
//! secret comes from the TLS exporter. Refuses: a second stream, messages above the limit, and to
//! queue for a peer that does not read.

mod messages;
mod paths;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use punktfunk_seal::Secret;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    Connection, ConnectionError, ConnectionEvent, ConnectionHandle, Dir, EndpointEvent, Event, StreamEvent,
    StreamId, VarInt,
};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::event::Transmit;
use crate::fingerprint::Fingerprint;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::messages::LENGTH_BYTES;
use crate::planes::{Plane, Planes};
use crate::port::Port;
use crate::roaming::Roaming;
use crate::stats::LinkStats;

/// The exporter's label (RFC 8446 section 7.5): the media secret, first form.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-punktfunk media 1";

/// The longest message with its length.
const FRAME_BYTES_MAX: usize = LENGTH_BYTES + MESSAGE_BYTES_MAX;

/// Why a connection is closed, as the number that QUIC carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// All was said.
    Bye,
    /// The peer broke the protocol.
    Violation,
    /// The peer did not get on.
    Stalled,
    /// The peer's trust was withdrawn while it shook hands.
    NotTrusted,
}

impl CloseCode {
    pub(crate) fn number(self) -> VarInt {
        VarInt::from_u32(match self {
            CloseCode::Bye => 0,
            CloseCode::Violation => 1,
            CloseCode::Stalled => 2,
            CloseCode::NotTrusted => 3,
        })
    }

    pub(crate) fn from_number(number: VarInt) -> Option<Self> {
        [CloseCode::Bye, CloseCode::Violation, CloseCode::Stalled, CloseCode::NotTrusted]
            .into_iter()
            .find(|code| code.number() == number)
    }
}

/// What a connection has to say.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// TLS is done.
    Connected,
    /// Everything that was sent has arrived, after `finish`.
    Delivered,
    /// The peer will not read the stream any more.
    Unread,
    /// It is over.
    Lost(ConnectionError),
}

/// How far the end of our own messages has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    No,
    Wanted,
    Sent,
}

pub(crate) struct Link {
    handle: ConnectionHandle,
    connection: Connection,
    stream: Option<StreamId>,
    inbox: Vec<u8>,
    inbox_read: usize,
    outbox: Vec<u8>,
    outbox_sent: usize,
    finish: Finish,
    peer_finished: bool,
    planes: Planes,
    last_heard: Instant,
    /// Where the peer is, and where it may have gone.
    roaming: Roaming<ConnectionEvent>,
    /// What was sent home in place of another address, which has it too.
    copy: Option<(Transmit, Vec<u8>)>,
    /// Where datagrams with this connection's id come from while the peer's own address is silent.
    strayed: Option<SocketAddr>,
    udp_payload_told: u16,
    stats: LinkStats,
}

impl Link {
    pub(crate) fn new(handle: ConnectionHandle, connection: Connection, now: Instant) -> Self {
        Self {
            handle,
            stream: None,
            inbox: Vec::new(),
            inbox_read: 0,
            outbox: Vec::new(),
            outbox_sent: 0,
            finish: Finish::No,
            peer_finished: false,
            planes: Planes::default(),
            last_heard: now,
            roaming: Roaming::new(connection.remote_address()),
            copy: None,
            strayed: None,
            udp_payload_told: connection.current_mtu(),
            stats: LinkStats::default(),
            connection,
        }
    }

    pub(crate) fn handle(&self) -> ConnectionHandle {
        self.handle
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.judge_claims(now);
        self.connection.handle_timeout(now);
        // QUIC returns by itself from where its challenge stays unanswered.
        self.follow(now);
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        match (self.connection.poll_timeout(), self.roaming.poll_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets the connection and its endpoint tell each other about connection ids.
    pub(crate) fn exchange(&mut self, port: &mut Port) {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(reply) = port.handle_event(self.handle, event) {
                self.connection.handle_event(reply);
            }
        }
    }

    /// Lets the endpoint forget the connection, whatever the peer still says.
    pub(crate) fn forget(self, port: &mut Port) {
        // A connection that is gone has nothing to reply to.
        let _ = port.handle_event(self.handle, EndpointEvent::drained());
    }

    pub(crate) fn poll(&mut self) -> Option<LinkEvent> {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => return Some(LinkEvent::Connected),
                Event::ConnectionLost { reason } => return Some(LinkEvent::Lost(reason)),
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    self.stream = self.stream.or_else(|| self.connection.streams().accept(Dir::Bi));
                }
                Event::Stream(StreamEvent::Finished { .. }) => return Some(LinkEvent::Delivered),
                Event::Stream(StreamEvent::Stopped { .. }) => return Some(LinkEvent::Unread),
                // Both directions are looked at after every event anyway.
                Event::Stream(
                    StreamEvent::Opened { dir: Dir::Uni }
                    | StreamEvent::Readable { .. }
                    | StreamEvent::Writable { .. }
                    | StreamEvent::Available { .. },
                )
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        None
    }

    /// The client's part: opens the control stream.
    pub(crate) fn open_stream(&mut self) {
        self.stream = self.connection.streams().open(Dir::Bi);
    }

    pub(crate) fn send_datagram(&mut self, plane: Plane, write: impl FnOnce(&mut [u8]) -> usize) {
        self.planes.send(&mut self.connection, plane, write);
    }

    pub(crate) fn receive_datagram(&mut self) -> Option<(Plane, Bytes)> {
        self.planes.receive(&mut self.connection)
    }

    pub(crate) fn count_unread(&mut self, plane: Plane) {
        self.planes.count_unread(plane);
    }

    pub(crate) fn close(&mut self, code: CloseCode, text: &str, now: Instant) {
        let reason = Bytes::copy_from_slice(text.as_bytes());
        self.connection.close(now, code.number(), reason);
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.connection.is_drained()
    }

    /// The media keys' root (RFC 8446 section 7.5), the same at both ends; `None` before TLS is done.
    pub(crate) fn secret(&self) -> Option<Secret> {
        self.export(EXPORTER_LABEL).map(|bytes| Secret::new(*bytes))
    }

    /// Bytes that only the two ends of this connection know, of this label; `None` before TLS is done.
    pub(crate) fn export(&self, label: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let mut bytes = Zeroizing::new([0; 32]);
        let session = self.connection.crypto_session();
        session.export_keying_material(&mut bytes[..], label, b"").ok()?;
        Some(bytes)
    }

    /// Who the peer has proven to be; `None` before TLS is done.
    pub(crate) fn peer_fingerprint(&self) -> Option<Fingerprint> {
        let identity = self.connection.crypto_session().peer_identity()?;
        let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        chain.first().map(|certificate| Fingerprint::of_certificate(certificate))
    }

    /// Whether TLS has agreed on this ALPN.
    pub(crate) fn speaks(&self, alpn: &[u8]) -> bool {
        let agreed = self.connection.crypto_session().handshake_data();
        let agreed = agreed.and_then(|data| data.downcast::<HandshakeData>().ok());
        agreed.and_then(|data| data.protocol).is_some_and(|protocol| protocol == alpn)
    }

    /// Forgets what was found out about the path.
    pub(crate) fn restart_mtu_search(&mut self, now: Instant) {
        self.connection.path_changed(now);
    }

    /// The path's new UDP payload, once for each change.
    pub(crate) fn poll_mtu_change(&mut self) -> Option<u16> {
        if self.roaming.is_on_trial() {
            // Of a path that media does not go.
            return None;
        }
        let udp_payload = self.connection.current_mtu();
        (std::mem::replace(&mut self.udp_payload_told, udp_payload) != udp_payload).then_some(udp_payload)
    }

    /// When something authentic and new came last.
    pub(crate) fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// How long nothing has come.
    pub(crate) fn silent(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_heard)
    }

    pub(crate) fn stats(&self) -> LinkStats {
        let (quic, roaming) = (self.connection.stats(), self.roaming.counters());
        LinkStats {
            datagrams_strayed: self.stats.datagrams_strayed + roaming.strayed,
            paths_changed: roaming.changed,
            paths_refused: roaming.refused,
            rtt: quic.path.rtt,
            udp_payload_bytes: quic.path.current_mtu,
            in_flight_bytes_max: quic.path.cwnd,
            datagrams_sent: quic.udp_tx.datagrams,
            datagrams_received: quic.udp_rx.datagrams,
            packets_lost: quic.path.lost_packets,
            planes: self.planes.counters(),
            plane_unknown: self.planes.unknown(),
            ..self.stats
        }
    }

    /// Puts bytes on the stream that no message made.
    #[cfg(test)]
    pub(crate) fn inject(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
        self.flush();
    }

    /// Bytes that this end holds for the stream, sent and received.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.inbox.capacity() + self.outbox.capacity()
    }
}
