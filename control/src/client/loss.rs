//! What a client's person is told when the connection is lost.
//!
//! Promises: each way in which a connection ends has an error that says whose fault it is. Refuses:
//! nothing; what has no words of its own is told in QUIC's.

use std::net::SocketAddr;
use std::time::Duration;

use quinn_proto::{ApplicationClose, ConnectionError};

use crate::alert::{self, Alert};
use crate::error::{ConnectError, Violation};
use crate::fingerprint::Fingerprint;
use crate::link::CloseCode;
use crate::messages::{Bye, ByeReason, Refusal, RefusalCode};
use crate::printable::{printable, printable_bytes, printable_end};
use crate::tls::Refused;
use crate::trust::Trust;

/// QUIC's number for a server that takes no connection (RFC 9000 section 20.1).
const CONNECTION_REFUSED: u64 = 2;

/// What is known about a lost connection besides QUIC's own reason.
pub(crate) struct Lost {
    /// The host's address.
    pub(crate) host: SocketAddr,
    /// This client's fingerprint.
    pub(crate) ours: Fingerprint,
    /// The control protocol that this client's Hello named.
    pub(crate) protocol: u32,
    /// The host's certificate, when this client turned it away.
    pub(crate) refused: Option<Refused>,
    /// How long the host has been silent.
    pub(crate) silent: Duration,
}

impl Lost {
    pub(crate) fn connect_error(&self, reason: &ConnectionError, trust: &Trust) -> ConnectError {
        let host = self.host;
        let mismatch = ConnectError::ProtocolVersion { ours: self.protocol, theirs: None };
        match (alert::of(reason), self.refused) {
            (Some(Alert::Ours(_)), Some(Refused { fingerprint: got, fault: Some(fault) })) => {
                return ConnectError::HostCertificate { fault, got };
            }
            (Some(Alert::Ours(alert::ACCESS_DENIED)), Some(Refused { fingerprint: got, fault: None })) => {
                return ConnectError::WrongFingerprint { expected: trust.expected().to_vec(), got };
            }
            (Some(Alert::Theirs(alert::BAD_CERTIFICATE | alert::CERTIFICATE_EXPIRED)), _) => {
                return ConnectError::OurCertificate;
            }
            (Some(Alert::Theirs(alert::ACCESS_DENIED)), _) => {
                return ConnectError::HostDemandsTrust { ours: self.ours };
            }
            (Some(Alert::Ours(alert::NO_ALPN) | Alert::Theirs(alert::NO_ALPN)), _) => return mismatch,
            _ => {}
        }
        match reason {
            ConnectionError::VersionMismatch => mismatch,
            ConnectionError::TimedOut => ConnectError::Lost { host, silent: self.silent },
            ConnectionError::Reset => ConnectError::Restarted { host },
            ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) == CONNECTION_REFUSED => {
                let text = "every place for connections is taken";
                ConnectError::ConnectionRefusedByHost(Refusal::new(RefusalCode::Busy, text))
            }
            ConnectionError::ApplicationClosed(close) => self.closed(close),
            ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => ConnectError::Transport { host, text: printable_end(reason) },
        }
    }

    fn closed(&self, close: &ApplicationClose) -> ConnectError {
        let text = printable_bytes(&close.reason);
        match CloseCode::from_number(close.error_code) {
            Some(CloseCode::Bye) => ConnectError::Closed(Bye::new(ByeReason::Other(0), text)),
            Some(CloseCode::Violation) => ConnectError::Violation(Violation::Accused { text }),
            Some(CloseCode::NotTrusted) => ConnectError::HostDemandsTrust { ours: self.ours },
            Some(CloseCode::Stalled) | None => {
                let text = printable(&format!("closed by the host: {close}"));
                ConnectError::Transport { host: self.host, text }
            }
        }
    }
}

/// A refusal as an error.
pub(crate) fn refused(refusal: Refusal, ours: u32) -> ConnectError {
    match refusal.code {
        RefusalCode::ProtocolVersion => {
            ConnectError::ProtocolVersion { ours, theirs: Some(refusal.protocol) }
        }
        RefusalCode::Busy
        | RefusalCode::Mode
        | RefusalCode::Codec
        | RefusalCode::Cipher
        | RefusalCode::Compositor
        | RefusalCode::Source
        | RefusalCode::ShuttingDown
        | RefusalCode::Bitrate
        | RefusalCode::Limits
        | RefusalCode::Other(_) => ConnectError::ConnectionRefusedByHost(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn_proto::{ConnectionClose, TransportErrorCode};

    /// An Initial's close is from anybody who has seen the first datagram.
    #[test]
    fn a_strangers_close_moves_no_cursor() {
        let close = ConnectionClose {
            error_code: TransportErrorCode::PROTOCOL_VIOLATION,
            frame_type: None,
            reason: "<\x1b]0;x\x07\r\n\u{9b}\u{202a}\u{2069}>".into(),
        };
        let reason = ConnectionError::ConnectionClosed(close);
        let lost = Lost {
            host: "10.0.0.1:9".parse().unwrap(),
            ours: Fingerprint::of_certificate(b"ours"),
            protocol: 1,
            refused: None,
            silent: Duration::ZERO,
        };
        let said = lost.connect_error(&reason, &Trust::Open).to_string();
        assert!(said.contains("<?]0;x??????>"), "{said:?}");
    }
}
