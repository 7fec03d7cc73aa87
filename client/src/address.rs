//! A host as a person names it, and the address that it has.
//!
//! Promises: an answer in time, whatever the resolver does, and time left to ask the host itself. Refuses a
//! name that is none, and a port that is none.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::PORT_DEFAULT;
use crate::error::ClientError;

/// What a slow resolver leaves to the host: an answer takes some round trips, and a host is not to be blamed
/// for its name's.
const HOST_ANSWER_MIN: Duration = Duration::from_millis(500);

/// The host's address, soon enough that it can answer by `answer_by`. A resolver that hangs must not keep a
/// person waiting: it is left behind.
///
/// # Errors
/// The name has no address.
pub fn resolve(host: &str, answer_by: Instant) -> Result<SocketAddr, ClientError> {
    resolve_with(look_up, host, answer_by)
}

fn resolve_with(
    look_up: impl FnOnce(&str) -> io::Result<SocketAddr> + Send + 'static,
    host: &str,
    answer_by: Instant,
) -> Result<SocketAddr, ClientError> {
    let began = Instant::now();
    let (answer, answered) = mpsc::channel();
    let asked = host.to_owned();
    thread::spawn(move || {
        // Nobody may be listening any more.
        let _ = answer.send(look_up(&asked));
    });
    let patience = answer_by.saturating_duration_since(began).saturating_sub(HOST_ANSWER_MIN);
    let late = || {
        let waited = began.elapsed().as_secs_f32();
        io::Error::new(io::ErrorKind::TimedOut, format!("no resolver answered in {waited:.1} s"))
    };
    let found = answered.recv_timeout(patience).unwrap_or_else(|_| Err(late()));
    found.map_err(|source| ClientError::NoSuchHost { host: host.to_owned(), source })
}

fn look_up(host: &str) -> io::Result<SocketAddr> {
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
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "the resolver knows no address");
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
        let answer_by = Instant::now() + Duration::from_secs(60);
        let of = |text: &str| resolve(text, answer_by).map(|address| address.to_string());
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

    #[test]
    fn a_slow_resolver_is_left_behind_while_there_is_time_for_the_host() {
        let (hang_up, hung) = mpsc::channel::<()>();
        let hangs = move |_: &str| {
            // Until the test is over.
            let _ = hung.recv();
            Ok(([127, 0, 0, 1], PORT_DEFAULT).into())
        };
        let began = Instant::now();
        let answer_by = began + HOST_ANSWER_MIN + Duration::from_millis(100);
        let error = resolve_with(hangs, "slow.example", answer_by).unwrap_err();
        drop(hang_up);
        assert_eq!(error.exit_code(), 2);
        let said = error.to_string();
        assert!(said.contains("slow.example") && said.contains("no resolver"), "{said}");
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(100) && waited < Duration::from_secs(2), "{waited:?}");
        // One that answers is heard, with whatever time is left.
        let answers = |_: &str| Ok(([127, 0, 0, 1], 9).into());
        let found = resolve_with(answers, "quick.example", Instant::now() + Duration::from_secs(60));
        assert_eq!(found.unwrap(), ([127, 0, 0, 1], 9).into());
    }
}
