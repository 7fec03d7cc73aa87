//! TLS alerts as QUIC carries them (RFC 9001 section 4.8): 0x100 and the alert's number.
//!
//! Promises: tells whose alert ended a handshake. Refuses: every other error.

use quinn_proto::{ConnectionError, TransportErrorCode};

/// The certificate is no certificate (RFC 8446 section 6.2).
pub(crate) const BAD_CERTIFICATE: u8 = 42;

/// The certificate is expired or not valid yet (the same section).
pub(crate) const CERTIFICATE_EXPIRED: u8 = 45;

/// The certificate is not among the trusted (RFC 8446 section 6.2).
pub(crate) const ACCESS_DENIED: u8 = 49;

/// No ALPN that both ends know (RFC 7301 section 3.2).
pub(crate) const NO_ALPN: u8 = 120;

/// Whose alert it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alert {
    /// This end turned the peer away.
    Ours(u8),
    /// The peer turned this end away.
    Theirs(u8),
}

/// The alert that ended a connection, if one did.
pub(crate) fn of(error: &ConnectionError) -> Option<Alert> {
    match error {
        ConnectionError::TransportError(error) => number(error.code).map(Alert::Ours),
        ConnectionError::ConnectionClosed(close) => number(close.error_code).map(Alert::Theirs),
        ConnectionError::VersionMismatch
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => None,
    }
}

fn number(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}
