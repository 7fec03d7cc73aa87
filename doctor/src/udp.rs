//! The UDP edge: the host's port, both families, buffers and trains.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use punktfunk_net::limits::{SOCKET_BUFFER_BYTES, TRAIN_SEGMENTS_MAX};
use punktfunk_net::{Caps, NetError, Socket, SocketConfig};

use crate::holder::{Table, Whose, holder};
use crate::{Verdict, View};

/// Whether the host's port can be had.
pub(crate) fn port(view: &View) -> Verdict {
    let (listen, port) = (view.listen, view.listen.port());
    if view.is_host {
        return Verdict::ok(format!("{listen}, held by this host"));
    }
    match Socket::open(&SocketConfig::new(listen)) {
        Ok(_) if port == 0 => Verdict::ok("any free one"),
        Ok(_) => Verdict::ok(format!("{listen} is free")),
        Err(NetError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => judge_taken(view),
        Err(NetError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrNotAvailable => {
            Verdict::broken(
                format!("{} is no address of this machine", listen.ip()),
                "name another with --listen: ip address lists them, and [::] takes all",
            )
        }
        Err(NetError::Bind { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            Verdict::broken(
                format!("{listen} may not be taken by this user"),
                "choose a port above 1023 with --listen",
            )
        }
        Err(error) => Verdict::broken(error.to_string(), "name another address and port with --listen"),
    }
}

fn judge_taken(view: &View) -> Verdict {
    let port = view.listen.port();
    match holder(view, Table::Udp, view.listen) {
        Some(holder) if holder.is_host() => match holder.identity(view) {
            Whose::This => Verdict::ok(format!("{port} is held by {holder}, which serves")),
            Whose::Unnamed => {
                let whose = "with the identity that its own settings name";
                Verdict::ok(format!("{port} is held by {holder}, which serves, {whose}"))
            }
            Whose::Other(other) => Verdict::broken(
                format!("{port} is held by {holder}, a host with the identity in {}", other.display()),
                format!("choose another port with --listen, or end it (kill {})", holder.pid),
            ),
        },
        Some(holder) => Verdict::broken(
            format!("{port} is held by {holder}"),
            format!("end it (kill {}), or choose another port with --listen", holder.pid),
        ),
        None => Verdict::broken(
            format!("{port} is held by another user's program"),
            format!("sudo ss -lunp sport = :{port} names it; end it, or choose another port with --listen"),
        ),
    }
}

/// Whether one socket speaks both families.
pub(crate) fn ipv6(view: &View) -> Verdict {
    if view.listen.is_ipv4() {
        return Verdict::ok(format!("not wished for: the host listens on {}", view.listen.ip()));
    }
    let costs = "clients that speak IPv6 only do not reach this host";
    if let Err(error) = UdpSocket::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))) {
        return Verdict::degraded(
            format!("this machine has no IPv6 ({error})"),
            format!(
                "{costs}: sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0"
            ),
        );
    }
    match caps(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))) {
        Ok(caps) if caps.dual_stack => Verdict::ok("one socket speaks both families"),
        Ok(_) | Err(_) => Verdict::degraded(
            "a socket speaks one family only",
            format!("{costs}, or those that speak IPv4 only"),
        ),
    }
}

fn caps(bind: SocketAddr) -> Result<Caps, NetError> {
    Socket::open(&SocketConfig::new(bind)).map(|socket| socket.caps().clone())
}

fn loopback_caps() -> Result<Caps, Verdict> {
    caps(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(|error| {
        Verdict::broken(error.to_string(), "a socket on loopback must be had: sudo ip link set lo up")
    })
}

/// What the kernel grants.
pub(crate) fn buffers() -> Verdict {
    match loopback_caps() {
        Ok(caps) => judge_buffers(caps.send_buffer_bytes / 2, caps.receive_buffer_bytes / 2),
        Err(verdict) => verdict,
    }
}

fn judge_buffers(send_bytes: usize, receive_bytes: usize) -> Verdict {
    let found = format!("{} KiB to send from, {} KiB to receive into", send_bytes >> 10, receive_bytes >> 10);
    if send_bytes.min(receive_bytes) >= SOCKET_BUFFER_BYTES {
        return Verdict::ok(found);
    }
    Verdict::degraded(
        found,
        format!(
            "an access unit that does not fit waits for the device, or is cut: sudo sysctl -w \
             net.core.wmem_max={SOCKET_BUFFER_BYTES} net.core.rmem_max={SOCKET_BUFFER_BYTES}; for good: \
             packaging/sysctl/90-punktfunk.conf into /etc/sysctl.d/"
        ),
    )
}

/// Whether the kernel cuts trains.
pub(crate) fn gso() -> Verdict {
    let caps = match loopback_caps() {
        Ok(caps) => caps,
        Err(verdict) => return verdict,
    };
    if caps.gso {
        return Verdict::ok(format!("the kernel cuts trains of up to {TRAIN_SEGMENTS_MAX} datagrams"));
    }
    let cause = caps.fallbacks.iter().find(|fallback| fallback.wanted == "gso");
    Verdict::degraded(
        cause.map_or_else(|| "not given".to_owned(), |fallback| fallback.cause.clone()),
        "each datagram is handed over by itself, which takes up to eight times the CPU time: run Linux 4.18 or newer, \
         and lift what forbids UDP_SEGMENT (a container's seccomp filter)",
    )
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    #[test]
    fn buffers_below_what_is_asked_for_cost() {
        assert_eq!(judge_buffers(SOCKET_BUFFER_BYTES, SOCKET_BUFFER_BYTES).state, CheckState::Ok);
        let small = judge_buffers(SOCKET_BUFFER_BYTES, 212_992);
        assert_eq!(small.state, CheckState::Degraded);
        assert!(small.remedy.contains("net.core.rmem_max=33554432"), "{small:?}");
    }

    #[test]
    fn a_host_does_not_call_its_own_port_taken() {
        let (_dir, mut view) = machine(&[]);
        let holds = UdpSocket::bind("127.0.0.1:0").unwrap();
        (view.listen, view.root) = (holds.local_addr().unwrap(), "/".into());
        let taken = port(&view);
        assert_eq!(taken.state, CheckState::Broken);
        assert!(taken.remedy.contains(&format!("kill {}", std::process::id())), "{taken:?}");
        view.is_host = true;
        assert_eq!(port(&view).state, CheckState::Ok);
    }
}
