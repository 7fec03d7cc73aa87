//! A host as a person names it, and the address that it has.
//!
//! Promises: an answer within three seconds, whatever the resolver does. Refuses a name that is none, and a
//! port that is none.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::cli::PORT_DEFAULT;
use crate::error::ClientError;

/// How long a name's resolver may take.
const RESOLVE_MAX: Duration = Duration::from_secs(3);

/// The host's address. A resolver that hangs must not keep a person waiting: it is left behind.
///
/// # Errors
/// The name has no address.
pub fn resolve(host: &str) -> Result<SocketAddr, ClientError> {
    let (answer, answered) = mpsc::channel();
    let asked = host.to_owned();
    thread::spawn(move || {
        // Nobody may be listening any more.
        let _ = answer.send(look_up(&asked));
    });
    let late = || {
        std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no resolver answered in {RESOLVE_MAX:?}"))
    };
    let found = answered.recv_timeout(RESOLVE_MAX).unwrap_or_else(|_| Err(late()));
    found.map_err(|source| ClientError::NoSuchHost { host: host.to_owned(), source })
}

fn look_up(host: &str) -> std::io::Result<SocketAddr> {
    if let Ok(address) = host.parse::<std::net::IpAddr>() {
        return Ok((address, PORT_DEFAULT).into());
    }
    let with_port =
        host.rsplit_once(':').is_some_and(|(name, port)| !name.contains(':') && port.parse::<u16>().is_ok());
    let bracketed = host.starts_with('[') && host.parse::<SocketAddr>().is_ok();
    let mut addresses = if with_port || bracketed {
        host.to_socket_addrs()?
    } else {
        let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        (name, PORT_DEFAULT).to_socket_addrs()?
    };
    let nothing = || std::io::Error::new(std::io::ErrorKind::NotFound, "the resolver knows no address");
    addresses.next().ok_or_else(nothing)
}

/// What a socket is bound to that shall reach `host`.
pub fn unspecified_like(host: SocketAddr) -> SocketAddr {
    match host {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_a_port() {
        let of = |text: &str| resolve(text).map(|address| address.to_string());
        assert_eq!(of("127.0.0.1").unwrap(), format!("127.0.0.1:{PORT_DEFAULT}"));
        assert_eq!(of("127.0.0.1:9").unwrap(), "127.0.0.1:9");
        assert_eq!(of("::1").unwrap(), format!("[::1]:{PORT_DEFAULT}"));
        assert_eq!(of("[::1]:9").unwrap(), "[::1]:9");
        assert_eq!(of("[::1]").unwrap(), format!("[::1]:{PORT_DEFAULT}"));
        for wrong in ["", "127.0.0.1:99999", "a b:1", "[::1"] {
            let error = of(wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
