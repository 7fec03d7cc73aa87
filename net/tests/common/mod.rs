//! What the network tests share: sockets on loopback, datagrams to compare.
//!
//! Promises: no wait without an end, and no failure for one lost datagram, because UDP promises none to anybody, on
//! loopback either: what is short is tried once more, and only what is short again is a fault.
#![allow(dead_code)] // each test file uses a part

pub(crate) mod stamps;
pub(crate) mod wire;
pub(crate) mod without;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_net::{Arena, Backend, Lease, ReceiveLimits, Receiver, Segment, Sender, Socket, SocketConfig};

/// Long enough for any scheduler, short enough for a person.
pub(crate) const WAIT: Duration = Duration::from_secs(2);

/// So long nothing comes where something is still on its way: longer than any thread stands still.
const QUIET: Duration = Duration::from_secs(1);

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

/// Whether this machine has rings for us; else it is said that they were not tried.
pub(crate) fn rings() -> bool {
    let bind = "127.0.0.1:0".parse().expect("an address");
    let config = SocketConfig { backend: Some(Backend::Uring), ..SocketConfig::new(bind) };
    let caps = Socket::open(&config).expect("a socket on loopback").caps().clone();
    if !caps.uring {
        let line = format!("punktfunk-net: not run: io_uring ({caps})\n");
        // Past the test harness, which hides what a passing test prints.
        let _ = std::io::stderr().write_all(line.as_bytes());
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
    }
    caps.uring
}

/// All backends that this machine has.
pub(crate) fn backends() -> Vec<Backend> {
    let rings = rings();
    Backend::ALL.into_iter().filter(|backend| rings || *backend != Backend::Uring).collect()
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

/// `bytes` in an arena that is attached to the sender: a ring lends them.
pub(crate) fn lend(sender: &mut Sender, bytes: &[u8]) -> (Arena, Lease) {
    let mut arena = Arena::new(bytes.len()).expect("an arena");
    sender.attach(&arena);
    let lease = arena.lease(bytes.len()).expect("an empty arena has room");
    arena.bytes_mut(&lease).copy_from_slice(bytes);
    (arena, lease)
}

/// A datagram that came, and who sent it.
pub(crate) type Came = (Vec<u8>, SocketAddr);

fn came(segment: Segment<'_>) -> Came {
    (segment.bytes.to_vec(), segment.from)
}

/// Receives until `count` datagrams came, or nothing has come for `quiet`.
pub(crate) fn collect(receiver: &mut Receiver, count: usize, quiet: Duration) -> Vec<Came> {
    collect_with(receiver, count, quiet, came)
}

fn collect_with<T>(
    receiver: &mut Receiver,
    count: usize,
    quiet: Duration,
    take: impl Fn(Segment<'_>) -> T,
) -> Vec<T> {
    let mut got = Vec::new();
    let mut deadline = Instant::now() + quiet;
    while got.len() < count && Instant::now() < deadline {
        let batch = receiver.receive(Some(Duration::from_millis(50))).expect("a live socket");
        if !batch.is_empty() {
            deadline = Instant::now() + quiet;
        }
        got.extend(batch.map(&take));
    }
    got
}

/// Receives `count` datagrams; if they do not come, what did.
pub(crate) fn all_of(receiver: &mut Receiver, count: usize) -> Result<Vec<Came>, String> {
    all_of_with(receiver, count, came)
}

/// As `all_of`, of each datagram what `take` takes.
pub(crate) fn all_of_with<T>(
    receiver: &mut Receiver,
    count: usize,
    take: impl Fn(Segment<'_>) -> T,
) -> Result<Vec<T>, String> {
    let got = collect_with(receiver, count, QUIET, take);
    assert!(got.len() <= count, "{} datagrams came of {count}: {:?}", got.len(), receiver.counters());
    if got.len() < count {
        return Err(format!("{} datagrams of {count} came: {:?}", got.len(), receiver.counters()));
    }
    Ok(got)
}

/// Makes an attempt that may fail because a datagram was lost; a second one if it did, and none after that.
pub(crate) fn again_once<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let first = match attempt() {
        Ok(done) => return done,
        Err(short) => short,
    };
    eprintln!("tried once more, because at first {first}");
    attempt().unwrap_or_else(|second| panic!("twice: {first}; {second}\n{}", kernels_view()))
}

/// Sends by `send`, which knows nothing of the receiver, and receives `count` datagrams.
pub(crate) fn exchange(receiver: &mut Receiver, count: usize, mut send: impl FnMut()) -> Vec<Came> {
    let mut short = false;
    again_once(|| {
        if short {
            drain(receiver);
        }
        short = true;
        send();
        all_of(receiver, count)
    })
}

/// Takes away what is left of a try that was short.
pub(crate) fn drain(receiver: &mut Receiver) {
    let deadline = Instant::now() + WAIT;
    while !receiver.receive(Some(Duration::from_millis(20))).expect("a live socket").is_empty() {
        assert!(Instant::now() < deadline, "datagrams without an end");
    }
}

/// What the kernel counted for UDP, in the network namespace of this thread.
fn kernels_view() -> String {
    let read = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let (v4, v6) = (read("snmp"), read("snmp6"));
    let lines = v4.lines().filter(|line| line.starts_with("Udp:"));
    lines.chain(v6.lines().filter(|line| line.starts_with("Udp6"))).collect::<Vec<_>>().join("\n")
}

/// Datagrams that a sender sent and that did not come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

/// Sends `bytes` in pieces that fit any receive buffer, and checks that each datagram comes as it went. Returns what
/// did not come, of pieces that were sent again.
pub(crate) fn assert_round_trip(
    sender: &mut Sender,
    receiver: &mut Receiver,
    dest: SocketAddr,
    bytes: &[u8],
    segment: usize,
) -> Missing {
    let (sent, seen) = (sender.counters(), receiver.counters());
    for piece in bytes.chunks(sender.segments_max(segment) * 2 * segment) {
        let count = piece.len().div_ceil(segment);
        let got = exchange(receiver, count, || {
            let report = sender.send(dest, piece, segment, WAIT);
            assert_eq!(
                (report.sent, report.dropped),
                (count as u64, 0),
                "{segment} bytes a datagram, to {dest}"
            );
        });
        for (index, (want, (got, _))) in piece.chunks(segment).zip(&got).enumerate() {
            assert!(want == got, "datagram {index} of {count}, {segment} bytes each, to {dest}");
        }
    }
    let (sent, seen) = (
        (sender.counters().datagrams - sent.datagrams, sender.counters().bytes - sent.bytes),
        (receiver.counters().datagrams - seen.datagrams, receiver.counters().bytes - seen.bytes),
    );
    Missing { datagrams: sent.0 - seen.0, bytes: sent.1 - seen.1 }
}
