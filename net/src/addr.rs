//! Socket addresses as the kernel lays them out, written and read without unsafe code.
//!
//! Promises: what comes out is canonical (an IPv4 peer of a dual-stack socket is an IPv4 address), what goes
//! in is mapped as the socket's family needs it. Refuses (by `None`) what that family cannot reach.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of the longest address this crate meets: `sockaddr_in6`.
const ADDR_BYTES: usize = size_of::<libc::sockaddr_in6>();

// The offsets that `encode` and `decode` use are those of the kernel's structures.
const _: () = {
    assert!(ADDR_BYTES == 28 && size_of::<libc::sockaddr_in>() == 16);
    assert!(
        offset_of!(libc::sockaddr_in, sin_family) == 0 && offset_of!(libc::sockaddr_in6, sin6_family) == 0
    );
    assert!(offset_of!(libc::sockaddr_in, sin_port) == 2 && offset_of!(libc::sockaddr_in6, sin6_port) == 2);
    assert!(offset_of!(libc::sockaddr_in, sin_addr) == 4);
    assert!(offset_of!(libc::sockaddr_in6, sin6_flowinfo) == 4);
    assert!(offset_of!(libc::sockaddr_in6, sin6_addr) == 8);
    assert!(offset_of!(libc::sockaddr_in6, sin6_scope_id) == 24);
};

/// Where a datagram goes, which of this machine's addresses it leaves from, and when: as a socket takes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawPath {
    pub(crate) dest: RawAddr,
    /// `None` leaves the choice to the kernel.
    pub(crate) source: Option<RawSource>,
    /// On `CLOCK_MONOTONIC`; `None` is at once.
    pub(crate) departure_ns: Option<u64>,
}

/// One of this machine's addresses, for a socket of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawSource {
    /// For an IPv4 socket.
    V4([u8; 4]),
    /// For an IPv6 socket; IPv4 by mapped addresses.
    V6([u8; 16]),
}

impl RawSource {
    /// `source` as a socket of `family` wants it beside `dest`; `None` if no datagram can go there from it.
    pub(crate) fn encode(source: IpAddr, dest: SocketAddr, family: Family) -> Option<Self> {
        let source = source.to_canonical();
        if source.is_unspecified() || source.is_ipv4() != dest.ip().to_canonical().is_ipv4() {
            return None;
        }
        match (source, family) {
            (IpAddr::V4(ip), Family::V4) => Some(RawSource::V4(ip.octets())),
            (IpAddr::V4(ip), Family::V6) => Some(RawSource::V6(ip.to_ipv6_mapped().octets())),
            (IpAddr::V6(ip), Family::V6) => Some(RawSource::V6(ip.octets())),
            (IpAddr::V6(_), Family::V4) => None,
        }
    }
}

/// The address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4 only.
    V4,
    /// IPv6, and IPv4 by mapped addresses where the socket is dual-stack.
    V6,
}

impl Family {
    pub(crate) fn of(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(_) => Family::V4,
            SocketAddr::V6(_) => Family::V6,
        }
    }
}

/// A `sockaddr` of either family, as bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub(crate) struct RawAddr {
    bytes: [u8; ADDR_BYTES],
    len: u32,
}

impl RawAddr {
    /// `addr` as a socket of `family` wants it; `None` if it cannot reach it.
    pub(crate) fn encode(addr: SocketAddr, family: Family) -> Option<Self> {
        let mut raw = Self::default();
        raw.bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
        match family {
            Family::V4 => {
                let IpAddr::V4(ip) = addr.ip().to_canonical() else { return None };
                raw.set_family(libc::AF_INET);
                raw.bytes[4..8].copy_from_slice(&ip.octets());
                raw.len = 16;
            }
            Family::V6 => {
                let addr = match addr {
                    SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
                    SocketAddr::V6(v6) => v6,
                };
                raw.set_family(libc::AF_INET6);
                raw.bytes[4..8].copy_from_slice(&addr.flowinfo().to_be_bytes());
                raw.bytes[8..24].copy_from_slice(&addr.ip().octets());
                raw.bytes[24..28].copy_from_slice(&addr.scope_id().to_ne_bytes());
                raw.len = 28;
            }
        }
        Some(raw)
    }

    /// The canonical address; `None` if the kernel wrote none of the two families.
    pub(crate) fn decode(&self) -> Option<SocketAddr> {
        let bytes = &self.bytes;
        let family = i32::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        if family == libc::AF_INET {
            let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
            return Some(SocketAddr::V4(SocketAddrV4::new(ip, port)));
        }
        if family != libc::AF_INET6 {
            return None;
        }
        let octets: [u8; 16] = bytes[8..24].try_into().expect("8..24 are 16 bytes");
        let ip = Ipv6Addr::from(octets);
        if let Some(v4) = ip.to_ipv4_mapped() {
            return Some(SocketAddr::V4(SocketAddrV4::new(v4, port)));
        }
        let flow = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let scope = u32::from_ne_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
        Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
    }

    /// What the kernel wrote elsewhere.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut raw = Self::default();
        let len = bytes.len().min(ADDR_BYTES);
        raw.bytes[..len].copy_from_slice(&bytes[..len]);
        raw.len = len as u32;
        raw
    }

    /// Where the kernel reads the address from.
    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.bytes).cast()
    }

    /// Where the kernel writes an address of at most [`RawAddr::CAPACITY`] bytes to.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.bytes).cast()
    }

    /// Bytes of the address.
    pub(crate) fn len(&self) -> libc::socklen_t {
        self.len
    }

    /// Bytes that `as_mut_ptr` has room for.
    pub(crate) const CAPACITY: libc::socklen_t = ADDR_BYTES as libc::socklen_t;

    fn set_family(&mut self, family: i32) {
        let family = libc::sa_family_t::try_from(family).expect("address families are small numbers");
        self.bytes[..2].copy_from_slice(&family.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(text: &str, family: Family) -> Option<String> {
        Some(RawAddr::encode(text.parse().unwrap(), family)?.decode()?.to_string())
    }

    #[test]
    fn addresses_come_back_canonical() {
        for (text, family, back) in [
            ("10.1.2.3:80", Family::V4, Some("10.1.2.3:80")),
            ("10.1.2.3:80", Family::V6, Some("10.1.2.3:80")),
            ("[::ffff:10.1.2.3]:80", Family::V4, Some("10.1.2.3:80")),
            ("[::ffff:10.1.2.3]:80", Family::V6, Some("10.1.2.3:80")),
            ("[fe80::1%7]:65535", Family::V6, Some("[fe80::1%7]:65535")),
            ("[::1]:1", Family::V6, Some("[::1]:1")),
            ("[::1]:1", Family::V4, None),
        ] {
            assert_eq!(round_trip(text, family).as_deref(), back, "{text} {family:?}");
        }
    }

    #[test]
    fn a_source_fits_its_destination() {
        let mapped = std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
        let one = Ipv6Addr::LOCALHOST.octets();
        for (source, dest, family, raw) in [
            ("10.0.0.1", "10.0.0.2:9", Family::V4, Some(RawSource::V4([10, 0, 0, 1]))),
            ("10.0.0.1", "10.0.0.2:9", Family::V6, Some(RawSource::V6(mapped))),
            ("::ffff:10.0.0.1", "10.0.0.2:9", Family::V4, Some(RawSource::V4([10, 0, 0, 1]))),
            ("10.0.0.1", "[::ffff:10.0.0.2]:9", Family::V6, Some(RawSource::V6(mapped))),
            ("::1", "[::2]:9", Family::V6, Some(RawSource::V6(one))),
            ("::1", "10.0.0.2:9", Family::V6, None),
            ("10.0.0.1", "[::2]:9", Family::V6, None),
            ("::", "[::2]:9", Family::V6, None),
            ("0.0.0.0", "10.0.0.2:9", Family::V4, None),
        ] {
            let got = RawSource::encode(source.parse().unwrap(), dest.parse().unwrap(), family);
            assert_eq!(got, raw, "{source} to {dest} on {family:?}");
        }
    }

    #[test]
    fn an_empty_address_is_none() {
        assert_eq!(RawAddr::default().decode(), None);
    }

    proptest! {
        #[test]
        fn every_v6_address_survives(ip: u128, port: u16, flow: u32, scope: u32) {
            let addr = SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope);
            prop_assume!(addr.ip().to_ipv4_mapped().is_none());
            let addr = SocketAddr::V6(addr);
            prop_assert_eq!(RawAddr::encode(addr, Family::V6).unwrap().decode(), Some(addr));
        }

        #[test]
        fn every_v4_address_survives_both_families(ip: u32, port: u16) {
            let addr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(ip), port));
            prop_assert_eq!(RawAddr::encode(addr, Family::V4).unwrap().decode(), Some(addr));
            prop_assert_eq!(RawAddr::encode(addr, Family::V6).unwrap().decode(), Some(addr));
        }
    }
}
