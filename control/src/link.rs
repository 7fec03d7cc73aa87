//! One QUIC connection as both ends see it: a stream of messages, real-time planes, a path.
//!
//! Promises: messages arrive whole and in order; what waits to be sent or read is bounded; the media
//! secret comes from the TLS exporter. Refuses: a second stream, messages above the limit, and to
//! queue for a peer that does not read.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use punktfunk_seal::Secret;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    Connection, ConnectionError, ConnectionEvent, ConnectionHandle, Dir, Event, ReadError, StreamEvent,
    StreamId, VarInt, WriteError,
};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::error::Violation;
use crate::event::{Path, Transmit};
use crate::fingerprint::Fingerprint;
use crate::limits::{MESSAGE_BYTES_MAX, OUTBOX_BYTES_MAX, TRANSMIT_SEGMENTS_MAX, UDP_PAYLOAD_BYTES_MIN};
use crate::messages::{LENGTH_BYTES, Message, PathPing, PathPong, parse_length};
use crate::planes::{Plane, Planes};
use crate::port::Port;
use crate::roaming::{Answer, Roaming};
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

    /// Takes what the port has routed here, a datagram of so many bytes.
    pub(crate) fn handle_datagram(
        &mut self,
        from: SocketAddr,
        event: ConnectionEvent,
        bytes: usize,
        now: Instant,
    ) {
        if from != self.roaming.home() {
            self.strayed = Some(from);
        }
        // A host does not move, and hands are shaken where they were offered.
        let may_follow = self.connection.side().is_server() && !self.connection.is_handshaking();
        if !may_follow && from != self.roaming.home() {
            self.stats.datagrams_strayed += 1;
            return;
        }
        if let Some(event) = self.roaming.handle_datagram(from, bytes, event, now) {
            self.deliver(from, event, now);
        }
        self.judge_claims(now);
    }

    fn deliver(&mut self, from: SocketAddr, event: ConnectionEvent, now: Instant) {
        let is_from_home = from == self.roaming.home();
        if self.hand_over(event, now) && is_from_home {
            self.strayed = None;
            self.roaming.handle_home_heard(now);
        }
    }

    fn judge_claims(&mut self, now: Instant) {
        while let Some(event) = self.roaming.poll_datagram(now) {
            self.hand_over(event, now);
        }
    }

    /// Gives QUIC a datagram; whether it was authentic and new.
    fn hand_over(&mut self, event: ConnectionEvent, now: Instant) -> bool {
        let frames = self.frames_received();
        self.connection.handle_event(event);
        let is_authentic = self.frames_received() != frames;
        if is_authentic {
            self.last_heard = now;
        }
        self.follow(now);
        is_authentic
    }

    /// Looks where QUIC is, and pings an address that it has gone to.
    fn follow(&mut self, now: Instant) {
        let was_on_trial = self.roaming.is_on_trial();
        if let Some(nonce) = self.roaming.handle_path(self.connection.remote_address(), nonce, now) {
            // A path that nothing is known of: short datagrams, which what came from there allows.
            self.connection.path_changed(now);
            self.ping(nonce);
        } else if was_on_trial && !self.roaming.is_on_trial() {
            // QUIC's clock for what is to be repeated stands still on a path that nothing is under way on, whatever
            // was lost on the other one.
            self.connection.ping();
        }
    }

    /// Either end has said its last word: the peer's address stays what it is.
    pub(crate) fn settle(&mut self) {
        self.roaming.settle();
    }

    fn ping(&mut self, nonce: u64) {
        // A client that does not read is not asked; its address stays what it was.
        let _ = self.send(&Message::PathPing(PathPing { nonce }));
    }

    /// The peer has answered a ping; whether it has thereby proven another address.
    pub(crate) fn handle_pong(&mut self, pong: PathPong, now: Instant) -> bool {
        match self.roaming.handle_pong(pong.nonce, nonce, now) {
            Answer::Proven => {
                self.strayed = None;
                // What was kept from an unproven address looked like a loss.
                self.connection.path_changed(now);
                self.judge_claims(now);
                true
            }
            Answer::Doubted(nonce) => {
                self.ping(nonce);
                false
            }
            Answer::Stale => false,
        }
    }

    /// Frames in authentic packets that came for the first time.
    fn frames_received(&self) -> u64 {
        let frames = self.connection.stats().frame_rx;
        let of_streams =
            frames.stream + frames.max_data + frames.max_stream_data + frames.stream_data_blocked;
        let of_paths = frames.path_challenge + frames.path_response + frames.new_connection_id;
        let of_ids = frames.retire_connection_id + u64::from(frames.handshake_done);
        frames.acks + frames.ping + frames.crypto + frames.datagram + of_streams + of_paths + of_ids
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

    /// Queues a message; `false` when the peer has left too much unread.
    #[must_use]
    pub(crate) fn send(&mut self, message: &Message) -> bool {
        let start = self.outbox.len();
        message.encode(&mut self.outbox);
        if self.outbox.len() - self.outbox_sent > OUTBOX_BYTES_MAX || self.finish != Finish::No {
            self.outbox.truncate(start);
            self.stats.messages_dropped += 1;
            return false;
        }
        self.stats.messages_sent += 1;
        self.flush();
        true
    }

    /// No message follows: `LinkEvent::Delivered` comes when all have arrived.
    pub(crate) fn finish(&mut self) {
        if self.finish == Finish::No {
            self.finish = Finish::Wanted;
            self.flush();
        }
    }

    /// Bytes of messages that the peer has left no room for.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.len() - self.outbox_sent
    }

    fn flush(&mut self) {
        let Some(id) = self.stream else { return };
        while self.outbox_sent < self.outbox.len() {
            match self.connection.send_stream(id).write(&self.outbox[self.outbox_sent..]) {
                Ok(written) => self.outbox_sent += written,
                Err(WriteError::Blocked) => {
                    self.stats.stream_waits += 1;
                    break;
                }
                // The end of such a connection is told by its own event.
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                    self.outbox_sent = self.outbox.len();
                }
            }
        }
        self.outbox.drain(..self.outbox_sent);
        self.outbox_sent = 0;
        if self.finish == Finish::Wanted && self.outbox.is_empty() {
            self.finish = Finish::Sent;
            // A stream that the peer has stopped cannot be finished; `Unread` tells.
            let _ = self.connection.send_stream(id).finish();
        }
    }

    /// The next message that this end knows.
    ///
    /// # Errors
    /// When the peer's bytes are no message, or the stream was reset.
    pub(crate) fn read(&mut self) -> Result<Option<Message>, Violation> {
        loop {
            if let Some(body) = self.whole_message()? {
                self.inbox_read += LENGTH_BYTES + body.len();
                match Message::parse(&self.inbox[body])? {
                    Some(message) => {
                        self.stats.messages_received += 1;
                        return Ok(Some(message));
                    }
                    None => {
                        self.stats.messages_skipped += 1;
                        continue;
                    }
                }
            }
            if !self.fill_inbox()? {
                return Ok(None);
            }
        }
    }

    /// Where the first unread message lies, if it is all there.
    fn whole_message(&self) -> Result<Option<std::ops::Range<usize>>, Violation> {
        let unread = &self.inbox[self.inbox_read..];
        let Some((length, rest)) = unread.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = parse_length(*length)?;
        let start = self.inbox_read + LENGTH_BYTES;
        Ok((rest.len() >= length).then_some(start..start + length))
    }

    /// Takes what the stream has, at most one message's worth; `false` when there is nothing.
    fn fill_inbox(&mut self) -> Result<bool, Violation> {
        let Some(id) = self.stream else { return Ok(false) };
        self.inbox.drain(..self.inbox_read);
        self.inbox_read = 0;
        if self.peer_finished {
            return Ok(false);
        }
        let mut stream = self.connection.recv_stream(id);
        let mut chunks = stream.read(true).map_err(|_| Violation::StreamClosed)?;
        let room = FRAME_BYTES_MAX - self.inbox.len();
        // Dropping `chunks` gives the peer its credit back.
        match chunks.next(room) {
            Ok(Some(chunk)) => {
                self.inbox.extend_from_slice(&chunk.bytes);
                Ok(true)
            }
            Ok(None) => {
                self.peer_finished = true;
                Ok(false)
            }
            Err(ReadError::Blocked) => Ok(false),
            Err(ReadError::Reset(_)) => Err(Violation::StreamClosed),
        }
    }

    /// Whether the peer has ended its messages and all of them were read.
    pub(crate) fn peer_finished(&self) -> bool {
        self.peer_finished
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

    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.copy.take() {
            *buf = bytes;
            return Some(transmit);
        }
        self.flush();
        self.planes.flush(&mut self.connection);
        let is_on_trial = self.roaming.is_on_trial();
        let segments_max = if is_on_trial { 1 } else { TRANSMIT_SEGMENTS_MAX };
        while self.roaming.may_send(usize::from(UDP_PAYLOAD_BYTES_MIN)) {
            buf.clear();
            let transmit = self.connection.poll_transmit(now, segments_max, buf)?;
            buf.truncate(transmit.size);
            let is_tried = is_on_trial && transmit.destination == self.connection.remote_address();
            if is_tried && !self.roaming.may_send(transmit.size) {
                // A probe of longer datagrams, which an unproven address must not draw; QUIC takes it for lost.
                self.stats.datagrams_withheld += 1;
                continue;
            }
            return Some(self.route(&transmit, buf));
        }
        None
    }

    /// Addresses what QUIC says.
    fn route(&mut self, transmit: &quinn_proto::Transmit, bytes: &[u8]) -> Transmit {
        let (dest, copy) = self.roaming.route(transmit.destination, transmit.size);
        let to = |dest| Transmit {
            dest,
            source: transmit.src_ip,
            bytes_len: transmit.size,
            segment_bytes: transmit.segment_size,
        };
        if let Some(dest) = copy {
            self.roaming.handle_sent(dest, transmit.size);
            self.copy = Some((to(dest), bytes.to_vec()));
        }
        self.roaming.handle_sent(dest, transmit.size);
        to(dest)
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
        let mut bytes = Zeroizing::new([0; 32]);
        let session = self.connection.crypto_session();
        session.export_keying_material(&mut bytes[..], EXPORTER_LABEL, b"").ok()?;
        Some(Secret::new(*bytes))
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

    /// The address that the peer has proven.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.roaming.home()
    }

    pub(crate) fn path(&self) -> Path {
        Path { remote: self.remote(), local: self.connection.local_ip() }
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

    /// Where the peer seems to have moved to: its connection's id comes from there, and nothing from its own
    /// address. Not proven: good for a person to read, and for nothing else.
    pub(crate) fn strayed(&self) -> Option<SocketAddr> {
        self.strayed
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

/// A number that nobody can guess.
fn nonce() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's generator of random numbers works");
    u64::from_ne_bytes(bytes)
}
