//! What the network tests share: sockets on loopback, datagrams to compare.
#![allow(dead_code)] // each test file uses a part

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_net::{Backend, ReceiveLimits, Receiver, Sender, Socket, SocketConfig};

/// Long enough for any scheduler, short enough for a person.
pub(crate) const WAIT: Duration = Duration::from_secs(2);

/// A small generator with a printed seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

pub(crate) fn open(bind: &str, backend: Backend) -> Arc<Socket> {
    let bind: SocketAddr = bind.parse().expect("a test's address");
    let config = SocketConfig { backend: Some(backend), buffer_bytes: 4 << 20, ..SocketConfig::new(bind) };
    Arc::new(Socket::open(&config).expect("a socket on loopback"))
}

pub(crate) fn pair(bind: &str, backend: Backend) -> (Sender, Receiver, SocketAddr) {
    let to = open(bind, backend);
    let dest = to.local_addr();
    let receiver = Receiver::new(to, ReceiveLimits::default()).expect("a receiver");
    (Sender::new(open(bind, backend)), receiver, dest)
}

/// Receives until `count` datagrams came, or nothing more comes for a while.
pub(crate) fn collect(receiver: &mut Receiver, count: usize, wait: Duration) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut got = Vec::new();
    let deadline = Instant::now() + wait;
    while got.len() < count && Instant::now() < deadline {
        let batch = receiver.receive(Some(Duration::from_millis(50))).expect("a live socket");
        got.extend(batch.map(|segment| (segment.bytes.to_vec(), segment.from)));
    }
    got
}

/// Sends `bytes` in pieces that fit any receive buffer, and checks that each datagram comes as it went.
pub(crate) fn assert_round_trip(
    sender: &mut Sender,
    receiver: &mut Receiver,
    dest: SocketAddr,
    bytes: &[u8],
    segment: usize,
) {
    for piece in bytes.chunks(sender.segments_max(segment) * 2 * segment) {
        let count = piece.len().div_ceil(segment);
        let report = sender.send(dest, piece, segment, WAIT);
        assert_eq!((report.sent, report.dropped), (count as u64, 0), "{segment} bytes a datagram, to {dest}");
        let got = collect(receiver, count, WAIT);
        assert_eq!(got.len(), count, "{segment} bytes a datagram, to {dest}: {:?}", receiver.counters());
        for (index, (want, (got, _))) in piece.chunks(segment).zip(&got).enumerate() {
            assert!(want == got, "datagram {index} of {count}, {segment} bytes each, to {dest}");
        }
    }
}
