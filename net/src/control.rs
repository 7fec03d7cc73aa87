//! Control messages beside a datagram: this machine's address and the segment size, going out and coming in;
//! the kernel's drop count; why an earlier datagram failed.
//!
//! Promises: no unsafe code; a malformed or unknown message is skipped. Layout: `cmsghdr` is a length (the
//! machine's word, header included), a level and a kind, then the value, padded to the word.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addr::{RawPath, RawSource};

const WORD: usize = size_of::<usize>();
const HEADER: usize = size_of::<libc::cmsghdr>();
const _: () = assert!(HEADER == WORD + 8 && HEADER.is_multiple_of(WORD));

/// A message of a number of at most a word.
const NUMBER_BYTES: usize = HEADER + WORD;
/// The longest message with an address: `in6_pktinfo`.
const ADDRESS_BYTES: usize = HEADER + size_of::<libc::in6_pktinfo>().next_multiple_of(WORD);

/// Room for everything this crate asks the kernel to tell of a receive (the segment size, the drop count, an
/// address), twice. An error's message is no longer than that.
const RECEIVED_BYTES: usize = 2 * (2 * NUMBER_BYTES + ADDRESS_BYTES);

// The offsets that are written and read below are those of the kernel's structures.
const _: () = {
    assert!(size_of::<libc::in_pktinfo>() == 12 && offset_of!(libc::in_pktinfo, ipi_spec_dst) == 4);
    assert!(size_of::<libc::in6_pktinfo>() == 20 && offset_of!(libc::in6_pktinfo, ipi6_addr) == 0);
    assert!(offset_of!(libc::sock_extended_err, ee_errno) == 0);
};

/// Room for everything that goes beside a send.
const SENT_BYTES: usize = ADDRESS_BYTES + 2 * NUMBER_BYTES;

/// The control messages of a send as `sendmsg` takes them: the address it leaves from (`IP_PKTINFO`) and when
/// (`SCM_TXTIME`), where they are given, and the segment size (`UDP_SEGMENT`), where a message is a train.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct SendControl {
    bytes: [u8; SENT_BYTES],
    /// Bytes of the messages that a single datagram has, too.
    path_bytes: usize,
}

impl SendControl {
    /// `segment_bytes` is left out of the messages that are no train.
    pub(crate) fn new(path: &RawPath, segment_bytes: Option<u16>) -> Self {
        let mut bytes = [0; SENT_BYTES];
        let mut path_bytes = match path.source {
            // The interface stays 0: the route to the peer chooses it.
            Some(RawSource::V4(ip)) => {
                let mut info = [0; size_of::<libc::in_pktinfo>()];
                info[4..8].copy_from_slice(&ip);
                put(&mut bytes, libc::SOL_IP, libc::IP_PKTINFO, &info)
            }
            Some(RawSource::V6(ip)) => {
                let mut info = [0; size_of::<libc::in6_pktinfo>()];
                info[..16].copy_from_slice(&ip);
                put(&mut bytes, libc::SOL_IPV6, libc::IPV6_PKTINFO, &info)
            }
            None => 0,
        };
        if let Some(departure_ns) = path.departure_ns {
            let when = departure_ns.to_ne_bytes();
            path_bytes += put(&mut bytes[path_bytes..], libc::SOL_SOCKET, libc::SCM_TXTIME, &when);
        }
        let segment = segment_bytes.unwrap_or(0).to_ne_bytes();
        put(&mut bytes[path_bytes..], libc::SOL_UDP, libc::UDP_SEGMENT, &segment);
        Self { bytes, path_bytes }
    }

    /// No messages.
    pub(crate) fn none() -> Self {
        Self { bytes: [0; SENT_BYTES], path_bytes: 0 }
    }

    /// Where the messages begin.
    pub(crate) fn as_ptr(&self) -> *const libc::c_void {
        (&raw const self.bytes).cast()
    }

    /// Bytes of the messages of a train, or of a single datagram.
    pub(crate) fn len(&self, train: bool) -> usize {
        self.path_bytes + if train { NUMBER_BYTES } else { 0 }
    }
}

/// Writes one message at the start of `bytes`; returns its padded length.
fn put(bytes: &mut [u8], level: i32, kind: i32, value: &[u8]) -> usize {
    bytes[..WORD].copy_from_slice(&(HEADER + value.len()).to_ne_bytes());
    bytes[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    bytes[WORD + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
    bytes[HEADER..HEADER + value.len()].copy_from_slice(value);
    (HEADER + value.len()).next_multiple_of(WORD)
}

/// What the kernel says beside one received buffer.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct ReceivedControl([u8; RECEIVED_BYTES]);

/// The messages found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Bytes of each coalesced datagram but the last (`UDP_GRO`); never 0.
    pub(crate) segment_bytes: Option<usize>,
    /// Buffers this socket has dropped since it was opened, modulo 2³² (`SO_RXQ_OVFL`).
    pub(crate) drops: Option<u32>,
    /// The address of this machine that they were sent to, canonical (`IP_PKTINFO`, `IPV6_PKTINFO`).
    pub(crate) to: Option<IpAddr>,
    /// Why an earlier datagram failed, as an `errno` (`IP_RECVERR`, `IPV6_RECVERR`).
    pub(crate) failure: Option<i32>,
}

impl ReceivedControl {
    pub(crate) const CAPACITY: usize = RECEIVED_BYTES;

    pub(crate) fn new() -> Self {
        Self([0; RECEIVED_BYTES])
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut self.0).cast()
    }

    /// Reads the first `len` bytes, which the kernel has written.
    pub(crate) fn read(&self, len: usize) -> Told {
        parse(&self.0[..len.min(RECEIVED_BYTES)])
    }
}

/// Reads all messages that are whole.
pub(crate) fn parse(mut rest: &[u8]) -> Told {
    let mut told = Told::default();
    while let Some((header, _)) = rest.split_at_checked(HEADER) {
        let (len, kind) = header.split_at(WORD);
        let len = usize::from_ne_bytes(len.try_into().expect("split at the word"));
        if len < HEADER || len > rest.len() {
            break;
        }
        let level = i32::from_ne_bytes([kind[0], kind[1], kind[2], kind[3]]);
        let kind = i32::from_ne_bytes([kind[4], kind[5], kind[6], kind[7]]);
        let value = &rest[HEADER..len];
        let number = value.first_chunk::<4>().map(|value| u32::from_ne_bytes(*value));
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                told.segment_bytes =
                    number.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => told.drops = number,
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                // Not `ipi_addr`: that one is the group's or everybody's where it was not sent to us alone.
                let octets = value.get(4..).and_then(<[u8]>::first_chunk::<4>);
                told.to = octets.and_then(|octets| known(Ipv4Addr::from(*octets).into()));
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                let octets = value.first_chunk::<16>();
                told.to = octets.and_then(|octets| known(Ipv6Addr::from(*octets).into()));
            }
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) => {
                told.failure = number.and_then(|errno| i32::try_from(errno).ok());
            }
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    }
    told
}

/// An address that datagrams can leave from, canonical.
fn known(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    (!ip.is_unspecified() && !ip.is_multicast()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::RawAddr;
    use proptest::prelude::*;

    fn message(level: i32, kind: i32, value: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + value.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        bytes
    }

    #[test]
    fn known_messages_are_read_and_others_skipped() {
        let all = [
            message(libc::SOL_IP, libc::IP_TTL, &[1; 12]),
            message(libc::SOL_UDP, libc::UDP_GRO, &1448_i32.to_ne_bytes()),
            message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &9_u32.to_ne_bytes()),
        ]
        .concat();
        assert_eq!(parse(&all), Told { segment_bytes: Some(1448), drops: Some(9), ..Told::default() });
        assert_eq!(parse(&message(libc::SOL_UDP, libc::UDP_GRO, &[0; 4])), Told::default());
        assert_eq!(parse(&message(libc::SOL_UDP, libc::UDP_GRO, &[1])), Told::default());
    }

    #[test]
    fn this_machines_address_is_read_canonical() {
        let v4 = |ip: [u8; 4]| {
            let value = [[7, 0, 0, 0], ip, [9; 4]].concat();
            parse(&message(libc::SOL_IP, libc::IP_PKTINFO, &value)).to.map(|ip| ip.to_string())
        };
        assert_eq!(v4([10, 1, 2, 3]).as_deref(), Some("10.1.2.3"));
        assert_eq!(v4([0; 4]), None);
        assert_eq!(v4([224, 0, 0, 1]), None);
        let v6 = |ip: &str| {
            let ip: Ipv6Addr = ip.parse().unwrap();
            let value = [&ip.octets()[..], &[7, 0, 0, 0]].concat();
            parse(&message(libc::SOL_IPV6, libc::IPV6_PKTINFO, &value)).to.map(|ip| ip.to_string())
        };
        for (ip, to) in [
            ("fd00::7", Some("fd00::7")),
            ("::ffff:10.1.2.3", Some("10.1.2.3")),
            ("::", None),
            ("::ffff:0.0.0.0", None),
            ("ff02::1", None),
        ] {
            assert_eq!(v6(ip).as_deref(), to, "{ip}");
        }
    }

    #[test]
    fn the_sent_control_is_what_the_kernel_reads() {
        let segment = message(libc::SOL_UDP, libc::UDP_SEGMENT, &1448_u16.to_ne_bytes());
        let time = message(libc::SOL_SOCKET, libc::SCM_TXTIME, &77_u64.to_ne_bytes());
        let v4 = [[0; 4], [10, 1, 2, 3], [0; 4]].concat();
        let v6 = [&[3; 16][..], &[0; 4]].concat();
        for (source, first) in [
            (None, Vec::new()),
            (Some(RawSource::V4([10, 1, 2, 3])), message(libc::SOL_IP, libc::IP_PKTINFO, &v4)),
            (Some(RawSource::V6([3; 16])), message(libc::SOL_IPV6, libc::IPV6_PKTINFO, &v6)),
        ] {
            for (departure_ns, when) in [(None, Vec::new()), (Some(77), time.clone())] {
                let path = RawPath { dest: RawAddr::default(), source, departure_ns };
                let control = SendControl::new(&path, Some(1448));
                let first = [first.clone(), when].concat();
                assert_eq!(control.bytes[..control.len(true)], [first.clone(), segment.clone()].concat());
                assert_eq!(control.bytes[..control.len(false)], first);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }

        #[test]
        fn any_lengths_end(lens in prop::collection::vec(0_usize..64, 1..6)) {
            let bytes: Vec<u8> = lens.iter().flat_map(|len| {
                let mut message = len.to_ne_bytes().to_vec();
                message.resize(24, 3);
                message
            }).collect();
            parse(&bytes);
        }
    }
}
