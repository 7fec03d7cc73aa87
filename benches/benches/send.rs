//! Arena and send: 132 datagrams of 1448 bytes (three trains) are leased, handed to the kernel and released, by
//! each backend, beside quinn-udp's GSO and `std`'s `send_to` for each datagram. The receiver on loopback is drained
//! by a thread of its own with GRO, so the sender pays for delivery and for waking it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use punktfunk_net::{Arena, Backend, Sender, Socket, SocketConfig};
use udp::{DATAGRAM_BYTES, DATAGRAMS, Drain, Quinn, loopback};

#[path = "rivals/udp.rs"]
mod udp;

const ARENA_BYTES: usize = 2 << 20;
const PATIENCE: Duration = Duration::from_millis(100);

fn open(backend: Backend) -> Socket {
    Socket::open(&SocketConfig { backend: Some(backend), ..loopback() }).expect("a socket on loopback")
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
    let (rival, bytes) = (Quinn::new(), vec![0; DATAGRAMS * DATAGRAM_BYTES]);
    group.bench_function("quinn-udp", |bencher| bencher.iter(|| rival.send(drain.addr, &bytes)));
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
