//! Somebody on the way between the client and the host, who hands datagrams on as he likes.
//!
//! Promises: order is kept, and nothing happens to a datagram but what the meddler does, and what the kernel drops
//! before him, which is counted. Refuses nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use punktfunk_net::{ReceiveLimits, Receiver, Socket, SocketConfig};

/// Gets each datagram, and a way to send.
pub(crate) type Meddler = Box<dyn FnMut(&[u8], &mut dyn FnMut(&[u8])) + Send>;

/// Two sockets: clients talk to the one, the host to the other.
pub(crate) struct Between {
    port: u16,
    client: Arc<Mutex<Option<SocketAddr>>>,
    drops: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// One direction.
struct Way {
    from: Receiver,
    to: Arc<Socket>,
    /// Where it goes; unknown towards the client until it has spoken.
    dest: Arc<Mutex<Option<SocketAddr>>>,
    /// Where the address of whoever speaks is kept.
    speaker: Option<Arc<Mutex<Option<SocketAddr>>>>,
    meddler: Meddler,
    /// What the kernel dropped of both ways.
    drops: Arc<AtomicU64>,
}

impl Between {
    /// Stands before the host on this port; `up` meddles with what goes to it, `down` with what it sends.
    pub(crate) fn start(host_port: u16, up: Meddler, down: Meddler) -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let open = || Arc::new(Socket::open(&SocketConfig::new(local(0))).unwrap());
        let receive =
            |socket: &Arc<Socket>| Receiver::new(Arc::clone(socket), ReceiveLimits::default()).unwrap();
        let (front, back, client) = (open(), open(), Arc::new(Mutex::new(None)));
        let drops = Arc::new(AtomicU64::new(0));
        let up = Way {
            from: receive(&front),
            to: Arc::clone(&back),
            dest: Arc::new(Mutex::new(Some(local(host_port)))),
            speaker: Some(Arc::clone(&client)),
            meddler: up,
            drops: Arc::clone(&drops),
        };
        let port = front.local_addr().port();
        let dest = Arc::clone(&client);
        let drops_down = Arc::clone(&drops);
        let down =
            Way { from: receive(&back), to: front, dest, speaker: None, meddler: down, drops: drops_down };
        let stop = Arc::new(AtomicBool::new(false));
        let run = |way: Way| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || way.run(&stop))
        };
        let threads = vec![run(up), run(down)];
        Self { port, client, drops, stop, threads }
    }

    /// The port that a client connects to in place of the host's.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of the client, once it has spoken.
    pub(crate) fn client(&self) -> Option<SocketAddr> {
        *self.client.lock().unwrap()
    }

    /// Whether everything came as far as the meddlers; where not, it says `what` cannot be asserted.
    pub(crate) fn kept_up(&self, what: &str) -> bool {
        let drops = self.drops.load(Ordering::Relaxed);
        if drops > 0 {
            eprintln!("not asserted: {what}; the kernel dropped {drops} datagrams between the two ends");
        }
        drops == 0
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "a thread between panicked");
        }
    }
}

impl Way {
    fn run(mut self, stop: &AtomicBool) {
        let mut told = 0;
        while !stop.load(Ordering::Relaxed) {
            for segment in self.from.receive(Some(Duration::from_millis(20))).unwrap() {
                if let Some(speaker) = &self.speaker {
                    *speaker.lock().unwrap() = Some(segment.from);
                }
                let Some(dest) = *self.dest.lock().unwrap() else { continue };
                (self.meddler)(segment.bytes, &mut |bytes| self.to.send_to(dest, None, bytes, None).unwrap());
            }
            let drops = self.from.counters().kernel_drops;
            self.drops.fetch_add(drops - told, Ordering::Relaxed);
            told = drops;
        }
    }
}
