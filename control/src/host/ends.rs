//! What the end of a connection says: of a session that was announced, and of a stranger.
//!
//! Promises: whatever a peer has said is told in characters that move no cursor.

use std::net::SocketAddr;
use std::time::Duration;

use quinn_proto::ConnectionError;

use crate::alert;
use crate::error::{RejectReason, SessionEnd, Violation};
use crate::link::CloseCode;
use crate::printable::{printable_bytes, printable_end};
use crate::tls::Refused;

/// Why an announced session was lost.
pub(super) fn session_end(
    reason: &ConnectionError,
    silent: Duration,
    strayed: Option<SocketAddr>,
) -> SessionEnd {
    match reason {
        ConnectionError::TimedOut => match strayed {
            Some(to) => SessionEnd::Moved { to, silent },
            None => SessionEnd::Lost { silent },
        },
        ConnectionError::ApplicationClosed(close) => match CloseCode::from_number(close.error_code) {
            Some(CloseCode::Violation) => {
                let text = printable_bytes(&close.reason);
                SessionEnd::Violation(Violation::Accused { text })
            }
            Some(CloseCode::Bye | CloseCode::Stalled | CloseCode::NotTrusted) | None => {
                SessionEnd::Transport { text: printable_end(reason) }
            }
        },
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => SessionEnd::Transport { text: printable_end(reason) },
    }
}

/// Why a connection that never said Hello was lost.
pub(super) fn reject_reason(reason: &ConnectionError, refused: Option<Refused>) -> RejectReason {
    match (alert::of(reason), refused) {
        (Some(alert::Alert::Ours(_)), Some(Refused { fingerprint, fault: Some(fault) })) => {
            RejectReason::Certificate { fault, fingerprint }
        }
        (Some(alert::Alert::Ours(alert::ACCESS_DENIED)), Some(Refused { fingerprint, fault: None })) => {
            RejectReason::NotTrusted { fingerprint }
        }
        (Some(alert::Alert::Theirs(alert::ACCESS_DENIED)), _) => RejectReason::HostNotTrusted,
        (Some(alert::Alert::Ours(alert::NO_ALPN) | alert::Alert::Theirs(alert::NO_ALPN)), _) => {
            RejectReason::ProtocolVersion { theirs: None }
        }
        _ => RejectReason::NoHello { text: printable_end(reason) },
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
        for said in
            [reject_reason(&reason, None).to_string(), session_end(&reason, Duration::ZERO, None).to_string()]
        {
            assert!(said.contains("<?]0;x??????>"), "{said:?}");
        }
    }
}
