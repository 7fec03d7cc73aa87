//! A live receiver on loopback, and quinn-udp's GSO to send to it: for the bench of sending and for the gate.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use punktfunk_net::{ReceiveLimits, Receiver, Socket, SocketConfig, Waker};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

/// Bytes of a datagram with a 1408-byte shard.
pub const DATAGRAM_BYTES: usize = 1448;
/// Three trains.
pub const DATAGRAMS: usize = 3 * 44;

/// Where a bench's sockets are bound.
pub fn loopback() -> SocketConfig {
    SocketConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A receiver that throws away what it gets, until it is dropped.
pub struct Drain {
    /// Where to send to.
    pub addr: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drain {
    /// Starts the thread.
    pub fn new() -> Self {
        let socket = Arc::new(Socket::open(&loopback()).expect("a socket on loopback"));
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

/// quinn-udp's socket with its state.
pub struct Quinn {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Quinn {
    /// A socket of its own.
    pub fn new() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket on loopback");
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("quinn-udp takes the socket");
        Self { socket, state }
    }

    /// Sends `bytes` in trains as long as ours.
    pub fn send(&self, destination: SocketAddr, bytes: &[u8]) {
        let segments = self.state.max_gso_segments().min(44);
        for contents in bytes.chunks(segments * DATAGRAM_BYTES) {
            let segment_size = Some(DATAGRAM_BYTES);
            let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
            // Its socket does not block: a full buffer is tried again, as ours is waited for.
            while let Err(error) = self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                thread::yield_now();
            }
        }
    }
}
