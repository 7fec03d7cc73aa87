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

/// Two sockets: clients talk to the one, the host to the other, which another may take the place of.
pub(crate) struct Between {
    port: u16,
    front: Arc<Socket>,
    back: Arc<Mutex<Arc<Socket>>>,
    /// Ends the present back's way down.
    is_bound: Arc<AtomicBool>,
    client: Arc<Mutex<Option<SocketAddr>>>,
    drops: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// One direction.
struct Way {
    from: Receiver,
    to: Arc<Mutex<Arc<Socket>>>,
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
        let swapped = Arc::new(Mutex::new(Arc::clone(&back)));
        let drops = Arc::new(AtomicU64::new(0));
        let up = Way {
            from: receive(&front),
            to: Arc::clone(&swapped),
            dest: Arc::new(Mutex::new(Some(local(host_port)))),
            speaker: Some(Arc::clone(&client)),
            meddler: up,
            drops: Arc::clone(&drops),
        };
        let port = front.local_addr().port();
        let (stop, is_bound) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let mut between =
            Self { port, front, back: swapped, is_bound, client, drops, stop, threads: Vec::new() };
        between.run(up, &Arc::new(AtomicBool::new(true)));
        between.start_down(&back, down);
        between
    }

    fn start_down(&mut self, back: &Arc<Socket>, meddler: Meddler) {
        let down = Way {
            from: Receiver::new(Arc::clone(back), ReceiveLimits::default()).unwrap(),
            to: Arc::new(Mutex::new(Arc::clone(&self.front))),
            dest: Arc::clone(&self.client),
            speaker: None,
            meddler,
            drops: Arc::clone(&self.drops),
        };
        let is_bound = Arc::clone(&self.is_bound);
        self.run(down, &is_bound);
    }

    fn run(&mut self, way: Way, is_bound: &Arc<AtomicBool>) {
        let (stop, is_bound) = (Arc::clone(&self.stop), Arc::clone(is_bound));
        self.threads.push(thread::spawn(move || way.run(&stop, &is_bound)));
    }

    /// From now on the client is at this address as far as the host sees, with a port of its own. What comes for the
    /// former one goes nowhere, as at a NAT that has forgotten.
    pub(crate) fn rebind(&mut self, ip: Ipv4Addr, down: Meddler) {
        let back = Arc::new(Socket::open(&SocketConfig::new((ip, 0).into())).unwrap());
        self.is_bound.store(false, Ordering::Relaxed);
        self.is_bound = Arc::new(AtomicBool::new(true));
        *self.back.lock().unwrap() = Arc::clone(&back);
        self.start_down(&back, down);
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
    fn run(mut self, stop: &AtomicBool, is_bound: &AtomicBool) {
        let mut told = 0;
        while !stop.load(Ordering::Relaxed) && is_bound.load(Ordering::Relaxed) {
            for segment in self.from.receive(Some(Duration::from_millis(20))).unwrap() {
                if let Some(speaker) = &self.speaker {
                    *speaker.lock().unwrap() = Some(segment.from);
                }
                let Some(dest) = *self.dest.lock().unwrap() else { continue };
                let to = Arc::clone(&self.to.lock().unwrap());
                (self.meddler)(segment.bytes, &mut |bytes| to.send_to(dest, None, bytes, None).unwrap());
            }
            let drops = self.from.counters().kernel_drops;
            self.drops.fetch_add(drops - told, Ordering::Relaxed);
            told = drops;
        }
    }
}
