//! The QUIC endpoint behind the shared port, and its answers to strangers.
//!
//! Promises: a datagram is routed by its connection id, never by its address; answers to strangers
//! (version negotiation, retry, reset, refusal) wait in a short queue of reused buffers. Refuses:
//! datagrams whose first byte is media's.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{
    AcceptError, ClientConfig, ConnectError, Connection, ConnectionEvent, ConnectionHandle, DatagramEvent,
    Endpoint, EndpointConfig, EndpointEvent, Incoming, ServerConfig,
};

use crate::event::Transmit;
use crate::limits::RESPONSES_MAX;

/// The first byte of a QUIC datagram is at least this: its fixed bit.
const QUIC_FIRST_BYTE_MIN: u8 = 0x40;

/// Bytes that the pool of received datagrams grows by. A stream's bytes that wait for a gap keep the
/// whole piece alive that their datagram was cut from, so pieces are small.
const POOL_BYTES: usize = 8 * 1024;

/// Where a datagram belongs.
pub(crate) enum Routed {
    /// To a connection.
    Connection(ConnectionHandle, ConnectionEvent),
    /// It begins one.
    New(Incoming),
}

pub(crate) struct Port {
    endpoint: Endpoint,
    /// Received datagrams are cut from here; QUIC decrypts them in place and lets go of them.
    pool: BytesMut,
    responses: VecDeque<(SocketAddr, Option<IpAddr>, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    /// Datagrams that were media's or empty.
    pub(crate) datagrams_foreign: u64,
    /// Answers to strangers that found the queue full.
    pub(crate) responses_dropped: u64,
}

impl Port {
    pub(crate) fn new(config: Arc<EndpointConfig>, server: Option<Arc<ServerConfig>>) -> Self {
        Self {
            endpoint: Endpoint::new(config, server, true, None),
            pool: BytesMut::new(),
            responses: VecDeque::with_capacity(RESPONSES_MAX),
            spare: Vec::new(),
            datagrams_foreign: 0,
            responses_dropped: 0,
        }
    }

    pub(crate) fn replace_server(&mut self, server: Arc<ServerConfig>) {
        self.endpoint.set_server_config(Some(server));
    }

    pub(crate) fn connect(
        &mut self,
        config: ClientConfig,
        host: SocketAddr,
        now: Instant,
    ) -> Result<(ConnectionHandle, Connection), ConnectError> {
        // The name is a formality of TLS: it is neither sent nor checked.
        self.endpoint.connect(now, config, host, "punktfunk")
    }

    pub(crate) fn handle(
        &mut self,
        from: SocketAddr,
        to: Option<IpAddr>,
        bytes: &[u8],
        now: Instant,
    ) -> Option<Routed> {
        if bytes.first().is_none_or(|byte| *byte < QUIC_FIRST_BYTE_MIN) {
            self.datagrams_foreign += 1;
            return None;
        }
        if self.pool.capacity() < bytes.len() {
            self.pool.reserve(POOL_BYTES.max(bytes.len()));
        }
        self.pool.extend_from_slice(bytes);
        let datagram = self.pool.split();
        let mut answer = self.spare_buffer();
        match self.endpoint.handle(now, from, to, None, datagram, &mut answer) {
            None => self.spare.push(answer),
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.spare.push(answer);
                return Some(Routed::Connection(handle, event));
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.spare.push(answer);
                return Some(Routed::New(incoming));
            }
            Some(DatagramEvent::Response(transmit)) => self.respond(&transmit, answer),
        }
        None
    }

    // quinn-proto's own error type is this large.
    #[allow(clippy::result_large_err)]
    pub(crate) fn accept(
        &mut self,
        incoming: Incoming,
        config: Arc<ServerConfig>,
        now: Instant,
    ) -> Result<(ConnectionHandle, Connection), AcceptError> {
        let mut answer = self.spare_buffer();
        let result = self.endpoint.accept(incoming, now, &mut answer, Some(config));
        match &result {
            Err(AcceptError { response: Some(transmit), .. }) => self.respond(transmit, answer),
            Err(AcceptError { response: None, .. }) | Ok(_) => self.spare.push(answer),
        }
        result
    }

    pub(crate) fn refuse(&mut self, incoming: Incoming) {
        let mut answer = self.spare_buffer();
        let transmit = self.endpoint.refuse(incoming, &mut answer);
        self.respond(&transmit, answer);
    }

    /// Neither answers a stranger nor keeps anything of it.
    pub(crate) fn ignore(&mut self, incoming: Incoming) {
        self.endpoint.ignore(incoming);
    }

    /// Asks a stranger to prove its address first; gives it back when it already has.
    pub(crate) fn retry(&mut self, incoming: Incoming) -> Option<Incoming> {
        let mut answer = self.spare_buffer();
        match self.endpoint.retry(incoming, &mut answer) {
            Ok(transmit) => {
                self.respond(&transmit, answer);
                None
            }
            Err(error) => {
                self.spare.push(answer);
                Some(error.into_incoming())
            }
        }
    }

    pub(crate) fn handle_event(
        &mut self,
        handle: ConnectionHandle,
        event: EndpointEvent,
    ) -> Option<ConnectionEvent> {
        self.endpoint.handle_event(handle, event)
    }

    pub(crate) fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (dest, source, answer) = self.responses.pop_front()?;
        buf.clear();
        buf.extend_from_slice(&answer);
        self.spare.push(answer);
        Some(Transmit { dest, source, bytes_len: buf.len(), segment_bytes: None })
    }

    fn spare_buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn respond(&mut self, transmit: &quinn_proto::Transmit, answer: Vec<u8>) {
        if self.responses.len() == RESPONSES_MAX {
            self.responses_dropped += 1;
            self.spare.push(answer);
        } else {
            self.responses.push_back((transmit.destination, transmit.src_ip, answer));
        }
    }
}
