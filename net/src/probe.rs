//! What is asked of the kernel when a socket opens, and what is made of its answers.
//!
//! Promises: each wish is tried once; a refusal becomes a [`Fallback`] that says what a person can do. Refuses
//! (by an error) what a socket cannot do without: its port, and don't-fragment.

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::addr::{Family, RawAddr, RawPath};
use crate::route::Routes;
use crate::socket::gso_refusal;
use crate::{Backend, Fallback, NetError, sys};

/// The socket and the address it is to be bound to, which is IPv4 where the kernel has no IPv6.
pub(crate) fn create(
    bind: SocketAddr,
    fallbacks: &mut Vec<Fallback>,
) -> Result<(OwnedFd, SocketAddr), NetError> {
    create_by(sys::socket, bind, fallbacks)
}

fn create_by<S>(
    socket: impl Fn(Family) -> io::Result<S>,
    bind: SocketAddr,
    fallbacks: &mut Vec<Fallback>,
) -> Result<(S, SocketAddr), NetError> {
    match socket(Family::of(bind)) {
        Ok(fd) => Ok((fd, bind)),
        Err(error)
            if error.raw_os_error() == Some(libc::EAFNOSUPPORT)
                && bind.is_ipv6()
                && bind.ip().is_unspecified() =>
        {
            let cause = format!("this kernel has no IPv6 ({error}); bound to IPv4 only");
            fallbacks.push(Fallback { wanted: "dual stack", cause });
            let bind = SocketAddr::from((Ipv4Addr::UNSPECIFIED, bind.port()));
            socket(Family::V4).map(|fd| (fd, bind)).map_err(|source| NetError::Create { bind, source })
        }
        Err(source) => Err(NetError::Create { bind, source }),
    }
}

/// Don't-fragment for each family spoken. Returns whether the socket is dual-stack.
pub(crate) fn require_options(fd: BorrowedFd<'_>, bind: SocketAddr) -> Result<bool, NetError> {
    let require = |option: &'static str, level, name, value| {
        sys::set_option(fd, level, name, value).map_err(|source| NetError::Option { option, source })
    };
    let dual_stack = bind.is_ipv6() && bind.ip().is_unspecified();
    if bind.is_ipv6() {
        require("IPV6_V6ONLY", libc::SOL_IPV6, libc::IPV6_V6ONLY, i32::from(!dual_stack))?;
        let probe = libc::IPV6_PMTUDISC_PROBE;
        require("IPV6_MTU_DISCOVER", libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, probe)?;
    }
    if bind.is_ipv4() || dual_stack {
        require("IP_MTU_DISCOVER", libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
    }
    Ok(dual_stack)
}

/// Without the error queue a full device queue is silent: the kernel says ENOBUFS only to those who ask.
pub(crate) fn error_queue(
    fd: BorrowedFd<'_>,
    family: Family,
    dual_stack: bool,
    fallbacks: &mut Vec<Fallback>,
) -> bool {
    let v4 = || sys::set_option(fd, libc::SOL_IP, libc::IP_RECVERR, 1);
    let v6 = || sys::set_option(fd, libc::SOL_IPV6, libc::IPV6_RECVERR, 1);
    let done = match (family, dual_stack) {
        (Family::V4, _) => v4(),
        (Family::V6, false) => v6(),
        (Family::V6, true) => v6().and_then(|()| v4()),
    };
    note(done, "error queue", fallbacks)
}

/// The kernel tells which of this machine's addresses a datagram was sent to. An IPv6 socket tells it of IPv4,
/// too, as a mapped address.
pub(crate) fn local_ip(fd: BorrowedFd<'_>, family: Family, fallbacks: &mut Vec<Fallback>) -> bool {
    let (level, name) = match family {
        Family::V4 => (libc::SOL_IP, libc::IP_PKTINFO),
        Family::V6 => (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO),
    };
    note(sys::set_option(fd, level, name, 1), "local address of a datagram", fallbacks)
}

/// Departure times are allowed on the socket, and there is a line to ask which routes keep them.
pub(crate) fn departures(fd: BorrowedFd<'_>, fallbacks: &mut Vec<Fallback>) -> Option<Routes> {
    let routes = sys::allow_departures(fd).and_then(|()| Routes::new());
    routes
        .map_err(|cause| fallbacks.push(Fallback { wanted: "departure times", cause: cause.to_string() }))
        .ok()
}

/// Keeps a refusal as a fallback; says whether there was none.
pub(crate) fn note(
    done: Result<(), impl Display>,
    wanted: &'static str,
    fallbacks: &mut Vec<Fallback>,
) -> bool {
    if let Err(cause) = &done {
        fallbacks.push(Fallback { wanted, cause: cause.to_string() });
    }
    done.is_ok()
}

/// The names of one kernel buffer's options.
pub(crate) struct BufferOptions {
    wanted: &'static str,
    plain: i32,
    force: i32,
    limit: &'static str,
}

/// The send buffer's.
pub(crate) const SEND_BUFFER: BufferOptions = BufferOptions {
    wanted: "full send buffer",
    plain: libc::SO_SNDBUF,
    force: libc::SO_SNDBUFFORCE,
    limit: "net.core.wmem_max",
};
/// The receive buffer's.
pub(crate) const RECEIVE_BUFFER: BufferOptions = BufferOptions {
    wanted: "full receive buffer",
    plain: libc::SO_RCVBUF,
    force: libc::SO_RCVBUFFORCE,
    limit: "net.core.rmem_max",
};

/// Asks for a buffer, past the system's limit where we may. Returns what the kernel granted, which it counts
/// double for its bookkeeping.
pub(crate) fn buffer(
    fd: BorrowedFd<'_>,
    options: &BufferOptions,
    asked: usize,
    fallbacks: &mut Vec<Fallback>,
) -> usize {
    let value = i32::try_from(asked).unwrap_or(i32::MAX / 2);
    let set = |name| sys::set_option(fd, libc::SOL_SOCKET, name, value);
    let done = set(options.force).or_else(|_| set(options.plain));
    let granted = sys::option(fd, libc::SOL_SOCKET, options.plain).unwrap_or(0);
    let granted = usize::try_from(granted).unwrap_or(0);
    let wanted = options.wanted;
    if let Err(error) = done {
        fallbacks.push(Fallback { wanted, cause: error.to_string() });
    } else if granted / 2 < asked {
        let (got, limit) = (granted / 2, options.limit);
        let cause = format!("{got} of {asked} bytes granted; raise it by: sysctl -w {limit}={asked}");
        fallbacks.push(Fallback { wanted, cause });
    }
    granted
}

/// The backend to start with. A ring that was asked for and is refused is one that is done without; whoever asked
/// is told by a fallback.
pub(crate) fn choose(
    asked: Option<Backend>,
    gso: &Result<(), String>,
    uring: &Result<(), String>,
) -> Result<Backend, NetError> {
    let without = if gso.is_ok() { Backend::Gso } else { Backend::Sendmmsg };
    match (asked, gso, uring) {
        (Some(Backend::Gso), Err(cause), _) => {
            Err(NetError::BackendUnavailable { asked: Backend::Gso, cause: cause.clone() })
        }
        (Some(Backend::Uring), _, Err(_)) | (None, ..) => Ok(without),
        (Some(asked), ..) => Ok(asked),
    }
}

/// Whether the kernel knows `UDP_SEGMENT`, and really cuts a train that a throw-away socket sends to itself.
pub(crate) fn gso(fd: BorrowedFd<'_>) -> Result<(), String> {
    sys::option(fd, libc::SOL_UDP, libc::UDP_SEGMENT)
        .map_err(|error| format!("this kernel does not know UDP_SEGMENT ({error}); it needs Linux 4.18"))?;
    let try_it = || {
        let probe = sys::socket(Family::V4)?;
        let any = RawAddr::encode(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Family::V4)
            .expect("an IPv4 address for an IPv4 socket");
        sys::bind(probe.as_fd(), &any)?;
        let own = RawAddr::encode(sys::local_addr(probe.as_fd())?, Family::V4).unwrap_or(any);
        let path = RawPath { dest: own, source: None, departure_ns: None };
        sys::send_one(probe.as_fd(), &path, &[0; 96], Some(64))
    };
    match try_it() {
        Err(error) if gso_refusal(&error) => Err(format!("a train on loopback was refused ({error})")),
        // No loopback here, or no port: nothing is learned about trains, and a refusal shows at run time.
        Err(_) | Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ipv6_gets_an_ipv4_socket_for_everybody_and_no_other() {
        let v4_only = |family| match family {
            Family::V4 => Ok("v4"),
            Family::V6 => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        };
        let mut fallbacks = Vec::new();
        let (socket, bind) = create_by(v4_only, "[::]:47800".parse().unwrap(), &mut fallbacks).unwrap();
        assert_eq!((socket, bind.to_string().as_str()), ("v4", "0.0.0.0:47800"));
        assert_eq!(fallbacks[0].wanted, "dual stack");
        let one = create_by(v4_only, "[::1]:47800".parse().unwrap(), &mut fallbacks);
        assert!(matches!(one, Err(NetError::Create { .. })), "an address that a person named is not changed");
        let no_more = |_| Err::<(), _>(io::Error::from_raw_os_error(libc::EMFILE));
        assert!(create_by(no_more, "[::]:1".parse().unwrap(), &mut fallbacks).is_err());
        assert_eq!(fallbacks.len(), 1);
    }

    #[test]
    fn the_fastest_that_works_unless_asked() {
        let (works, refused) = (Ok(()), Err("no".to_owned()));
        for backend in Backend::ALL {
            assert_eq!(choose(Some(backend), &works, &works).unwrap(), backend);
        }
        assert_eq!(choose(None, &works, &works).unwrap(), Backend::Gso);
        assert_eq!(choose(None, &refused, &works).unwrap(), Backend::Sendmmsg);
        assert_eq!(choose(Some(Backend::Scalar), &refused, &refused).unwrap(), Backend::Scalar);
        assert_eq!(choose(Some(Backend::Uring), &works, &refused).unwrap(), Backend::Gso);
        assert_eq!(choose(Some(Backend::Uring), &refused, &refused).unwrap(), Backend::Sendmmsg);
        assert_eq!(choose(Some(Backend::Uring), &refused, &works).unwrap(), Backend::Uring);
        let said = choose(Some(Backend::Gso), &refused, &works).unwrap_err().to_string();
        assert!(said.contains("gso") && said.contains("PUNKTFUNK_NET"), "{said}");
    }
}
