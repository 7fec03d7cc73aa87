//! How long datagrams to a peer may be, as far as this machine knows: its own device, and what it has learned of the
//! route.
//!
//! Promises: no datagram is sent to find out. Refuses to count loopback as a path of its own kind: it carries what an
//! Ethernet does, so that what is measured on it is what a LAN sees.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use crate::sys;

/// An Ethernet's MTU.
const ETHERNET_MTU: usize = 1_500;

/// The most UDP payload that a datagram to `dest` may have before it leaves this machine, or `None` where the kernel
/// knows no route.
pub fn udp_payload_bytes_to(dest: SocketAddr) -> Option<usize> {
    let ip = dest.ip().to_canonical();
    let (unspecified, level, name, headers): (IpAddr, _, _, _) = match ip {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), libc::SOL_IP, libc::IP_MTU, 28),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), libc::SOL_IPV6, libc::IPV6_MTU, 48),
    };
    // A connected socket has looked its route up.
    let socket = UdpSocket::bind((unspecified, 0)).ok()?;
    let dest = if ip == dest.ip() { dest } else { SocketAddr::new(ip, dest.port()) };
    socket.connect(dest).ok()?;
    let mtu = usize::try_from(sys::option(socket.as_fd(), level, name).ok()?).ok()?;
    let mtu = if ip.is_loopback() { mtu.min(ETHERNET_MTU) } else { mtu };
    mtu.checked_sub(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_carries_what_an_ethernet_does() {
        for (dest, bytes) in [("127.0.0.1:9", 1_472), ("[::ffff:127.0.0.1]:9", 1_472), ("[::1]:9", 1_452)] {
            let found = udp_payload_bytes_to(dest.parse().expect("an address"));
            assert!(found == Some(bytes) || found.is_none(), "{dest}: {found:?}");
        }
        assert!(udp_payload_bytes_to("127.0.0.1:9".parse().expect("an address")).is_some());
    }
}
