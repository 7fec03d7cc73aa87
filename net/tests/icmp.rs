//! Anybody can send ICMP: no kind of it may end a receiving or a sending loop.

mod common;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use common::{backends, exchange, pair};
use punktfunk_net::udp_payload_bytes_to;

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// "Destination unreachable" of `code` for a datagram that port `from` is said to have sent to port 9.
fn unreachable(code: u8, from: u16) -> Vec<u8> {
    let mut icmp = vec![3, code, 0, 0, 0, 0, 0, 0];
    icmp.extend([0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    icmp.extend(from.to_be_bytes());
    icmp.extend([0, 9, 0, 8, 0, 0]);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    icmp
}

/// The same over IPv6 (RFC 4443), whose checksum the kernel writes; "packet too big" for 1280 bytes after the last code.
fn unreachable6(code: u8, from: u16) -> Vec<u8> {
    let mut icmp = match code {
        0..=8 => vec![1, code, 0, 0, 0, 0, 0, 0],
        _ => vec![2, 0, 0, 0, 0, 0, 5, 0],
    };
    icmp.extend([0x60, 0, 0, 0, 0, 8, 17, 64]);
    let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
    icmp.extend([loopback, loopback].concat());
    icmp.extend(from.to_be_bytes());
    icmp.extend([0, 9, 0, 8, 0, 0]);
    icmp
}

/// Moves this thread to a network of its own: the kernel believes such ICMP for ten minutes, and other programs of this
/// machine must not suffer for it.
fn own_network() -> io::Result<()> {
    // SAFETY: changes the network namespace of this thread only; no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if up.success() { Ok(()) } else { Err(io::Error::other("its loopback does not come up")) }
}

fn raw_socket(family: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: a plain call without pointers.
    let fd = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `address` is a `sockaddr` of its family.
fn send_to<T>(socket: &OwnedFd, address: &T, bytes: &[u8]) {
    // SAFETY: both pointers are to live values of the lengths given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            0,
            std::ptr::from_ref(address).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    assert_eq!(sent, bytes.len() as isize, "{}", io::Error::last_os_error());
}

fn send_to_loopback(socket: &OwnedFd, code: u8, port: u16) {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    send_to(socket, &address, &unreachable(code, port));
}

fn send_to_loopback6(socket: &OwnedFd, code: u8, port: u16) {
    let address = libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: std::net::Ipv6Addr::LOCALHOST.octets() },
        sin6_scope_id: 0,
    };
    send_to(socket, &address, &unreachable6(code, port));
}

#[test]
fn no_icmp_ends_a_loop() {
    let sockets = own_network()
        .and_then(|()| raw_socket(libc::AF_INET, libc::IPPROTO_ICMP))
        .and_then(|v4| Ok((v4, raw_socket(libc::AF_INET6, libc::IPPROTO_ICMPV6)?)));
    let (v4, v6) = match sockets {
        Ok(sockets) => sockets,
        Err(error) => {
            eprintln!("tier not run: forged ICMP (a network and a raw socket of its own: {error})");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI runs every tier");
            return;
        }
    };
    let families = [
        ("127.0.0.1:0", 0..=16, send_to_loopback as fn(&OwnedFd, u8, u16), &v4),
        ("[::1]:0", 0..=9, send_to_loopback6, &v6),
    ];
    for ((bind, codes, forge, raw), backend) in
        families.iter().flat_map(|family| backends().into_iter().map(move |backend| (family, backend)))
    {
        let (mut sender, mut receiver, dest) = pair(bind, backend);
        for code in codes.clone() {
            for _ in 0..20 {
                forge(raw, code, dest.port());
                // Without waiting: the error then meets the receiving call itself.
                let batch = receiver
                    .receive(Some(Duration::ZERO))
                    .unwrap_or_else(|error| panic!("code {code} ended the loop: {error}"));
                let _ = batch;
            }
        }
        let got = exchange(&mut receiver, 1, || {
            let report = sender.send(dest, &[7; 100], 100, Duration::from_millis(100));
            assert_eq!((report.sent, report.dropped), (1, 0));
        });
        assert_eq!(got[0].0, [7; 100]);
        assert!(receiver.counters().soft_errors > 0, "the errors came: {:?}", receiver.counters());
    }
    // "Fragmentation needed" and "packet too big" were among them, and the kernel took them for the route's.
    for (dest, payload_bytes) in [("127.0.0.1:9", 1_472), ("[::1]:9", 1_452)] {
        let known = udp_payload_bytes_to(dest.parse().expect("an address"));
        assert_eq!(known, Some(payload_bytes), "forged ICMP makes no datagram shorter: {dest}");
    }
}
