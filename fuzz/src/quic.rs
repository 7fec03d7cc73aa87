//! Datagrams at the host's port that claim to be QUIC, from several addresses.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use punktfunk_control::{HostControl, HostEvent, HostLimits, Identity, Trust};

use crate::bytes::Bytes;

/// Datagrams that an input may hold.
const DATAGRAMS_MAX: usize = 16;

/// Answers that a host may give to one datagram of a stranger.
const ANSWERS_MAX: usize = 64;

/// A host that lets everyone in takes each datagram, and time goes on between them. No stranger's datagram opens a
/// session.
pub(crate) fn port(input: &[u8]) {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    let identity =
        IDENTITY.get_or_init(|| Identity::generate().expect("the system gives randomness")).clone();
    let mut now = Instant::now();
    let mut host = HostControl::new(identity, Trust::Open, HostLimits::default(), now)
        .expect("TLS takes an identity of our own");
    let mut script = Bytes::new(input);
    let mut out = Vec::new();
    for _ in 0..DATAGRAMS_MAX {
        if script.is_empty() {
            break;
        }
        let (how, bytes) = (script.byte(), script.two());
        let from = SocketAddr::from(([10, 0, 0, how & 3], 4_000 + u16::from(how >> 7)));
        let mut datagram = script.take(usize::from(bytes) % 1_500).to_vec();
        // An Initial has to be long enough to be looked at.
        if how & 4 != 0 {
            datagram.resize(1_200, 0);
        }
        host.handle_datagram(from, None, &datagram, now);
        let answers = std::iter::from_fn(|| host.poll_transmit(now, &mut out)).take(ANSWERS_MAX).count();
        assert!(answers < ANSWERS_MAX, "a stranger's datagram is answered without end");
        now += Duration::from_millis(u64::from(how >> 3 & 15) * 100);
        if host.poll_timeout().is_some_and(|due| due <= now) {
            host.handle_timeout(now);
        }
        while let Some(event) = host.poll_event() {
            let is_rejected = matches!(event, HostEvent::Rejected { .. });
            assert!(is_rejected, "a stranger is told off, and opens nothing: {event:?}");
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let datagram = |how: u8, bytes: &[u8]| {
        let mut script = vec![how];
        script.extend((bytes.len() as u16).to_le_bytes());
        script.extend(bytes);
        script
    };
    // A long header of version 1 with connection ids of eight bytes: Initial, Handshake; and of a version that
    // nobody has, which is answered.
    let long = |first: u8, version: [u8; 4]| {
        let mut bytes = vec![first];
        bytes.extend(version);
        bytes.extend([8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 0x44, 0x9E]);
        bytes
    };
    vec![
        datagram(4, &long(0xC0, [0, 0, 0, 1])),
        datagram(4 | 1, &long(0xE0, [0, 0, 0, 1])),
        datagram(4 | 2, &long(0xC0, [0x1A, 0x2A, 0x3A, 0x4A])),
        datagram(0, &[0x40; 40]),
        datagram(0x78, &[0x00; 80]),
    ]
}
