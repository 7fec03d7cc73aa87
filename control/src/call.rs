//! A client's one connection: whom it called, its end of QUIC, and what both protocols over that have in common.
//!
//! Promises: datagrams of anybody else's connection are answered or dropped, and never seen further up; what a lost or
//! unanswered call came to is told in words that say whose fault it is. Refuses to know either protocol.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::ConnectionError;

use crate::client::loss::Lost;
use crate::error::{ConnectError, ControlError};
use crate::event::Transmit;
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::link::Link;
use crate::port::{Port, Routed};
use crate::tls::PinVerifier;
use crate::transport;
use crate::trust::Trust;

pub(crate) struct Call {
    pub(crate) host: SocketAddr,
    pub(crate) ours: Fingerprint,
    pub(crate) port: Port,
    pub(crate) link: Link,
    trust: Trust,
    verifier: Arc<PinVerifier>,
    began: Instant,
}

impl Call {
    /// Begins to connect to a host that `trust` believes, in datagrams of `udp_payload_bytes_max` at most.
    ///
    /// # Errors
    /// When the address cannot be connected to, or TLS does not take the identity.
    pub(crate) fn begin(
        identity: &Identity,
        trust: Trust,
        host: SocketAddr,
        udp_payload_bytes_max: u16,
        alpn: &'static [u8],
        now: Instant,
    ) -> Result<Self, ControlError> {
        let verifier = PinVerifier::new(trust.clone());
        let config = transport::client_config(identity, Arc::clone(&verifier), udp_payload_bytes_max, alpn)?;
        let mut port = Port::new(transport::endpoint_config(identity, udp_payload_bytes_max), None);
        let (handle, connection) =
            port.connect(config, host, now).map_err(|_| ControlError::Address { address: host })?;
        let link = Link::new(handle, connection, now);
        Ok(Self { host, ours: identity.fingerprint(), port, link, trust, verifier, began: now })
    }

    /// Takes one datagram; whether it was this connection's.
    pub(crate) fn handle_datagram(
        &mut self,
        from: SocketAddr,
        to: Option<IpAddr>,
        bytes: &[u8],
        now: Instant,
    ) -> bool {
        match self.port.handle(from, to, bytes, now) {
            None => false,
            Some(Routed::Connection(_, event)) => {
                self.link.handle_datagram(from, event, bytes.len(), now);
                true
            }
            // Only an endpoint that serves makes these.
            Some(Routed::New(incoming)) => {
                self.port.refuse(incoming);
                false
            }
        }
    }

    /// Whether the network's word that nobody listens at `dest` is about the host, and to be believed: as long as
    /// nothing was heard of it. One that has spoken is only lost by its silence.
    pub(crate) fn is_refused_at(&self, dest: SocketAddr) -> bool {
        let place = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        place(dest) == place(self.host) && self.link.stats().datagrams_received == 0
    }

    /// The next datagram or train of datagrams: `buf` is cleared and filled.
    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.port.poll_transmit(buf).or_else(|| self.link.poll_transmit(now, buf))
    }

    /// What the link and the endpoint have to tell each other.
    pub(crate) fn exchange(&mut self) {
        self.link.exchange(&mut self.port);
    }

    /// That the host has not answered; `refused`: that the network says why.
    pub(crate) fn no_answer(&self, refused: bool, now: Instant) -> ConnectError {
        let waited = now.saturating_duration_since(self.began);
        ConnectError::NoAnswer { host: self.host, waited, refused }
    }

    /// What a lost connection came to, for a client that speaks this `protocol`.
    pub(crate) fn lost(&self, reason: &ConnectionError, protocol: u32, now: Instant) -> ConnectError {
        let (silent, refused) = (self.link.silent(now), self.verifier.take_refused());
        Lost { host: self.host, ours: self.ours, protocol, refused, silent }
            .connect_error(reason, &self.trust)
    }
}
