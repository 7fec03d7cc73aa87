//! What each back end costs on this machine, in nanoseconds a datagram of 1448 bytes:
//! `cargo run --release -p punktfunk-net --example backends`
//!
//! Sending: on loopback with a live GRO receiver, and (as root) into a veth whose other end throws everything away.
//! Receiving: bursts that lie in the socket's buffer. All rows take turns, round after round; the median, the least
//! and the most of the rounds are shown. Nothing leaves the machine.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // its output is its purpose

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_net::{Arena, Backend, ReceiveLimits, Receiver, Sender, Socket, SocketConfig};

const DATAGRAM: usize = 1448;
const TRAIN: usize = 44;
const ROUNDS: usize = 9;
/// Of one row in one round.
const TURN: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_millis(100);

/// One way of sending.
struct Way {
    name: String,
    sender: Sender,
    /// Lent from, or copied from.
    arena: Arena,
    datagrams: usize,
    costs: Vec<f64>,
    dropped: u64,
}

impl Way {
    fn new(backend: Option<Backend>, trains: usize, lend: bool, bind: SocketAddr) -> Self {
        let datagrams = trains * TRAIN;
        let mut sender = Sender::new(Arc::new(open(backend, bind)));
        let arena = Arena::new(datagrams * DATAGRAM).unwrap();
        if lend {
            sender.attach(&arena);
        }
        let kind = match (backend, lend) {
            (Some(Backend::Uring), true) => "uring, lent",
            (Some(Backend::Uring), false) => "uring, copied",
            (Some(other), _) => other.name(),
            (None, _) => "chosen by itself",
        };
        let name = format!("{kind}, {datagrams} datagrams a call");
        Self { name, sender, arena, datagrams, costs: Vec::new(), dropped: 0 }
    }

    fn turn(&mut self, dest: SocketAddr) {
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < TURN {
            self.sender.settle(PATIENCE);
            let lease = self.arena.lease(self.datagrams * DATAGRAM).unwrap();
            let report = self.sender.send(dest, self.arena.bytes(&lease), DATAGRAM, PATIENCE);
            self.arena.release(lease);
            sent += report.sent;
            self.dropped += report.dropped;
        }
        self.costs.push(start.elapsed().as_nanos() as f64 / sent.max(1) as f64);
    }

    fn say(&mut self) {
        let counters = self.sender.counters();
        let loans = match (counters.loans_read, counters.loans_copied, counters.loans_refused) {
            (0, 0, 0) => String::new(),
            (read, copied, refused) => format!("  loans: {read} read, {copied} copied, {refused} refused"),
        };
        let calls = counters.system_calls as f64 / (counters.datagrams.max(1) as f64 / TRAIN as f64);
        let backend = self.sender.backend();
        say(&self.name, &mut self.costs);
        println!(
            "      {calls:.2} system calls a train, {} dropped, at the end by {backend}{loans}",
            self.dropped
        );
    }
}

fn open(backend: Option<Backend>, bind: SocketAddr) -> Socket {
    Socket::open(&SocketConfig { backend, ..SocketConfig::new(bind) }).unwrap()
}

fn say(name: &str, costs: &mut [f64]) {
    costs.sort_by(f64::total_cmp);
    let (least, most) = (costs[0], costs[costs.len() - 1]);
    println!("  {name:<38} {:>7.0} ns  ({least:.0}-{most:.0})", costs[costs.len() / 2]);
}

fn ways(bind: SocketAddr) -> Vec<Way> {
    let mut ways = vec![
        Way::new(Some(Backend::Scalar), 1, false, bind),
        Way::new(Some(Backend::Sendmmsg), 2, false, bind),
    ];
    for (backend, lend) in [(Backend::Gso, false), (Backend::Uring, false), (Backend::Uring, true)] {
        ways.extend([1, 4, 8].map(|trains| Way::new(Some(backend), trains, lend, bind)));
    }
    ways.push(Way::new(None, 8, true, bind));
    ways
}

fn measure(title: &str, bind: SocketAddr, dest: SocketAddr) {
    let mut ways = ways(bind);
    for _ in 0..ROUNDS {
        ways.iter_mut().for_each(|way| way.turn(dest));
    }
    println!("{title}");
    ways.iter_mut().for_each(Way::say);
}

fn on_loopback() {
    let bind: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let socket = Arc::new(open(Some(Backend::Gso), bind));
    let dest = socket.local_addr();
    let mut receiver = Receiver::new(socket, ReceiveLimits::default()).unwrap();
    let (stop, waker) = (AtomicBool::new(false), receiver.waker());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::black_box(receiver.receive(None).unwrap().count());
            }
        });
        measure("loopback, a live GRO receiver on the other core", bind, dest);
        stop.store(true, Ordering::Relaxed);
        waker.wake();
    });
}

/// In a network namespace of this thread's own, which goes with it.
fn into_a_veth() -> Result<(), String> {
    // SAFETY: changes the network namespace of this thread only; no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(format!("unshare: {}", std::io::Error::last_os_error()));
    }
    // The neighbour's address is nobody's: the other end drops what comes as somebody else's.
    for line in [
        "link add va type veth peer name vb",
        "addr add 10.9.0.1/24 dev va",
        "link set va up",
        "link set vb up",
        "neigh add 10.9.0.2 lladdr 02:00:00:00:00:99 dev va",
    ] {
        let done =
            Command::new("ip").args(line.split(' ')).status().map_err(|error| format!("ip: {error}"))?;
        if !done.success() {
            return Err(format!("ip {line}: {done}"));
        }
    }
    measure("a veth that drops", "10.9.0.1:0".parse().unwrap(), "10.9.0.2:9".parse().unwrap());
    Ok(())
}

/// Bursts that fit the socket's buffer, taken out by a receiver that waited for none of them.
fn receiving() {
    println!("receiving what lies in the socket's buffer");
    for (name, from, trains) in [
        ("trains", Backend::Gso, 16),
        ("single datagrams", Backend::Sendmmsg, 16),
        ("one train", Backend::Gso, 1),
    ] {
        let bind: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut sender = Sender::new(Arc::new(open(Some(from), bind)));
        let mut ends: Vec<_> = [Backend::Gso, Backend::Uring]
            .into_iter()
            .map(|backend| {
                let socket = Arc::new(open(Some(backend), bind));
                let dest = socket.local_addr();
                (backend, dest, Receiver::new(socket, ReceiveLimits::default()).unwrap(), Vec::new())
            })
            .collect();
        let bytes = vec![7; trains * TRAIN * DATAGRAM];
        for _ in 0..100 {
            for (_, dest, receiver, costs) in &mut ends {
                sender.send(*dest, &bytes, DATAGRAM, PATIENCE);
                let start = Instant::now();
                let mut came = 0;
                while came < trains * TRAIN {
                    let batch = receiver.receive(Some(PATIENCE)).unwrap();
                    if batch.is_empty() {
                        break;
                    }
                    came += batch
                        .map(|segment| std::hint::black_box(segment.bytes).len() / DATAGRAM)
                        .sum::<usize>();
                }
                costs.push(start.elapsed().as_nanos() as f64 / came.max(1) as f64);
            }
        }
        for (backend, _, receiver, costs) in &mut ends {
            let way = if *backend == Backend::Uring { "uring multishot" } else { "recvmmsg" };
            say(&format!("{way}, {name}"), costs);
            let counters = receiver.counters();
            println!("      {} batches in {} calls", counters.batches, counters.system_calls);
        }
    }
}

fn main() {
    println!("{}", open(Some(Backend::Uring), "127.0.0.1:0".parse().unwrap()).caps());
    on_loopback();
    if let Err(cause) = thread::spawn(into_a_veth).join().unwrap() {
        println!("a veth that drops: not measured ({cause}); needs root and iproute2");
    }
    receiving();
}
