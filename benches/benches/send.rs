//! Arena and send: 132 datagrams of 1448 bytes (three trains) are leased, handed to the kernel and released, by
//! each backend, beside quinn-udp's GSO and `std`'s `send_to` for each datagram. The receiver on loopback is drained by a thread of
//! its own with GRO, so the sender pays for delivery and for waking it.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use punktfunk_net::{Arena, Backend, ReceiveLimits, Receiver, Sender, Socket, SocketConfig, Waker};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

const DATAGRAM_BYTES: usize = 1448;
const DATAGRAMS: usize = 3 * 44;
const ARENA_BYTES: usize = 2 << 20;
const PATIENCE: Duration = Duration::from_millis(100);

/// A receiver that throws away what it gets.
struct Drain {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drain {
    fn new() -> Self {
        let socket = Arc::new(open(Backend::Gso));
        let addr = socket.local_addr();
        let mut receiver = Receiver::new(socket, ReceiveLimits::default()).expect("a receiver");
        let (stop, waker) = (Arc::new(AtomicBool::new(false)), receiver.waker());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let bytes: usize =
                    receiver.receive(None).expect("a live socket").map(|segment| segment.bytes.len()).sum();
                std::hint::black_box(bytes);
            }
        });
        Self { addr, stop, waker, thread: Some(thread) }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the drain ends");
        }
    }
}

fn open(backend: Backend) -> Socket {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    Socket::open(&SocketConfig { backend: Some(backend), ..SocketConfig::new(bind) })
        .expect("a socket on loopback")
}

fn send(criterion: &mut Criterion) {
    let drain = Drain::new();
    let mut arena = Arena::new(ARENA_BYTES).expect("an arena");
    let mut group = criterion.benchmark_group("send 132 datagrams of 1448 bytes");
    group.throughput(Throughput::Elements(DATAGRAMS as u64));
    for backend in Backend::ALL {
        let mut sender = Sender::new(Arc::new(open(backend)));
        group.bench_function(BenchmarkId::new("arena", backend), |bencher| {
            bencher.iter(|| {
                let lease = arena.lease(DATAGRAMS * DATAGRAM_BYTES).expect("an empty arena has room");
                let report = sender.send(drain.addr, arena.bytes(&lease), DATAGRAM_BYTES, PATIENCE);
                arena.release(lease);
                assert_eq!(report.sent, DATAGRAMS as u64);
                report
            });
        });
    }
    let rival = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket on loopback");
    let state = UdpSocketState::new(UdpSockRef::from(&rival)).expect("quinn-udp takes the socket");
    let segments = state.max_gso_segments().min(44);
    let bytes = vec![0; DATAGRAMS * DATAGRAM_BYTES];
    group.bench_function("quinn-udp", |bencher| {
        bencher.iter(|| {
            for train in bytes.chunks(segments * DATAGRAM_BYTES) {
                let transmit = Transmit {
                    destination: drain.addr,
                    ecn: None,
                    contents: train,
                    segment_size: Some(DATAGRAM_BYTES),
                    src_ip: None,
                };
                // Its socket does not block: a full buffer is tried again, as ours is waited for.
                while let Err(error) = state.try_send(UdpSockRef::from(&rival), &transmit) {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    thread::yield_now();
                }
            }
        });
    });
    let plain = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket on loopback");
    group.bench_function("std send_to", |bencher| {
        bencher.iter(|| {
            for datagram in bytes.chunks(DATAGRAM_BYTES) {
                plain.send_to(datagram, drain.addr).expect("loopback takes it");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, send);
criterion_main!(benches);
