//! A batch of equal datagrams to a live receiver on loopback, beside quinn-udp's GSO.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use punktfunk_net::{Arena, ReceiveLimits, Receiver, Sender, Socket, SocketConfig, Waker};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::{Pair, whole};

const DATAGRAM_BYTES: usize = 1448;
const DATAGRAMS: usize = 3 * 44;
const PATIENCE: Duration = Duration::from_millis(100);

/// A receiver that throws away what it gets, until it is dropped.
struct Drain {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drain {
    fn new() -> Drain {
        let socket = open();
        let addr = socket.local_addr();
        let mut receiver = Receiver::new(socket, ReceiveLimits::default()).expect("a receiver");
        let (stop, waker) = (Arc::new(AtomicBool::new(false)), receiver.waker());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let batch = receiver.receive(None).expect("a live socket");
                std::hint::black_box(batch.map(|segment| segment.bytes.len()).sum::<usize>());
            }
        });
        Drain { addr, stop, waker, thread: Some(thread) }
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

fn open() -> Arc<Socket> {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    Arc::new(Socket::open(&SocketConfig::new(bind)).expect("a socket on loopback"))
}

pub fn send(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    let drain = Arc::new(Drain::new());
    let mut arena = Arena::new(2 << 20).expect("an arena");
    let (mut sender, ours_to) = (Sender::new(open()), Arc::clone(&drain));
    let ours = whole(move || {
        let lease = arena.lease(DATAGRAMS * DATAGRAM_BYTES).expect("an empty arena has room");
        sender.send(ours_to.addr, arena.bytes(&lease), DATAGRAM_BYTES, PATIENCE);
        arena.release(lease);
    });
    let rival = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket on loopback");
    let state = UdpSocketState::new(UdpSockRef::from(&rival)).expect("quinn-udp takes the socket");
    let segments = state.max_gso_segments().min(44);
    let bytes = vec![0; DATAGRAMS * DATAGRAM_BYTES];
    let rival = whole(move || {
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
    Pair { name, bound, reason, ours, rival }
}
