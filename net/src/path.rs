//! How long datagrams to a peer may be, as far as this machine's own device takes them.
//!
//! Promises: no datagram is sent to find out. Refuses to believe what the kernel has learned of the route by ICMP, which
//! anybody can send: what the path takes beyond the device, QUIC's authenticated search finds. Refuses to count loopback
//! as a path of its own kind: it carries what an Ethernet does, so that what is measured on it is what a LAN sees.

use std::net::{IpAddr, SocketAddr};

use crate::route::Routes;

/// An Ethernet's MTU.
const ETHERNET_MTU: usize = 1_500;

/// The most UDP payload that a datagram to `dest` may have before it leaves this machine, or `None` where the kernel
/// knows no route, or does not tell.
pub fn udp_payload_bytes_to(dest: SocketAddr) -> Option<usize> {
    let ip = dest.ip().to_canonical();
    let headers = match ip {
        IpAddr::V4(_) => 28,
        IpAddr::V6(_) => 48,
    };
    let mtu = usize::try_from(Routes::new().ok()?.device_mtu(dest)?).ok()?;
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
