//! Somebody sits between the two ends and sends as fast as a thread can: replays, forged headers, changed bytes,
//! noise, beside a stream of 500 Mbit/s. Nothing comes of it but counts and the CPU that looking at them takes.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use punktfunk_engine::{ClientEnd, HostEnd, Machine, Wishes};
use punktfunk_net::{ReceiveLimits, Receiver, Socket, SocketConfig};
use punktfunk_seal::EpochLimits;

use support::{Check, Pattern, start_through, wait_for};

/// 250 KB each 4 ms are 500 Mbit/s.
const INTERVAL: Duration = Duration::from_millis(4);
const SLICE_BYTES: usize = 125_000;
const SLICES: u16 = 2;

/// Pictures before the attack and while it goes on.
const WARM_UP: u64 = 150;
const UNDER_ATTACK: u64 = 500;

/// Allocations that the stages may make under attack: a span or two more than the warm-up needed, and nothing for a
/// datagram of tens of thousands.
const ALLOCATIONS_MAX: u64 = 50;

/// What the process may grow by.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Set on threads that are not the pipelines'.
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Ordering::Relaxed) && !EXEMPT.try_with(Cell::get).unwrap_or(true) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// What the two threads between the ends and the test have in common.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    attack: AtomicBool,
    hostile: AtomicU64,
    /// Genuine datagrams that the thread between had no room for.
    missed: AtomicU64,
    /// The last genuine ones, in a ring.
    seen: Mutex<Vec<Vec<u8>>>,
}

/// Genuine datagrams that are remembered.
const SEEN: usize = 2_048;

/// Hands genuine datagrams on, and keeps the last of them for the attacker.
fn hand_on(mut receiver: Receiver, client: SocketAddr, shared: &Shared) {
    let out = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
    let mut next = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        for segment in receiver.receive(Some(Duration::from_millis(5))).expect("a live socket") {
            out.send_to(segment.bytes, client).expect("loopback takes it");
            let mut seen = shared.seen.lock().expect("nobody panics with it");
            if seen.len() < SEEN {
                seen.push(segment.bytes.to_vec());
            } else {
                let place = &mut seen[next % SEEN];
                place.clear();
                place.extend_from_slice(segment.bytes);
            }
            next += 1;
        }
    }
    shared.missed.store(receiver.counters().kernel_drops, Ordering::Release);
}

/// Sends what it makes of genuine datagrams, without a pause.
fn attack(client: SocketAddr, shared: &Shared) {
    let out = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
    let mut random = Random(7);
    let mut bytes = [0; 2_048];
    while !shared.stop.load(Ordering::Relaxed) {
        if !shared.attack.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let length = {
            let seen = shared.seen.lock().expect("nobody panics with it");
            let source = &seen[random.below(seen.len())];
            bytes[..source.len()].copy_from_slice(source);
            source.len()
        };
        let length = spoil(&mut bytes[..length], &mut random);
        out.send_to(&bytes[..length], client).expect("loopback takes it");
        shared.hostile.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes a genuine datagram a hostile one, which a replay is as it stands; returns its length.
fn spoil(bytes: &mut [u8], random: &mut Random) -> usize {
    let length = bytes.len();
    match random.below(5) {
        0 => {}
        // A byte changed, anywhere.
        1 => bytes[random.below(length)] ^= 1 << random.below(8),
        // A header that holds together and claims something else: another access unit, block, sequence.
        2 => bytes[[4, 5, 6, 8, 9, 10, 20, 21][random.below(8)]] ^= 1 + random.below(255) as u8,
        3 => return random.below(length),
        _ => {
            let from = random.below(length);
            bytes[from..].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(113).wrapping_add(5));
        }
    }
    length
}

/// Lets the calling thread have only what others leave: the attacker is not to starve the thread that hands on, which
/// a real one between would be.
fn stand_back() {
    // SAFETY: the call takes numbers only; 0 is the calling thread.
    let outcome = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
    assert_eq!(outcome, 0, "everybody may stand back");
}

/// Starts both threads; returns where the host shall send to.
fn start_between(client: SocketAddr, shared: &Arc<Shared>, threads: &mut Vec<JoinHandle<()>>) -> SocketAddr {
    let socket = Socket::open(&SocketConfig::new(([127, 0, 0, 1], 0).into())).expect("a loopback socket");
    let at = socket.local_addr();
    let receiver = Receiver::new(Arc::new(socket), ReceiveLimits::default()).expect("a ring of buffers");
    let (to_hand_on, to_attack) = (Arc::clone(shared), Arc::clone(shared));
    threads.push(thread::spawn(move || {
        EXEMPT.set(true);
        hand_on(receiver, client, &to_hand_on);
    }));
    threads.push(thread::spawn(move || {
        EXEMPT.set(true);
        stand_back();
        attack(client, &to_attack);
    }));
    at
}

/// Memory that the process has now, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux says how much");
    let pages: u64 =
        status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4_096
}

/// Streams with and without the attack; returns both ends, and what the process grew by.
fn run(shared: &Arc<Shared>) -> (HostEnd<Pattern>, ClientEnd<Check>, u64) {
    EXEMPT.set(true);
    let pattern = Pattern::new(SLICES, SLICE_BYTES, INTERVAL, u64::MAX);
    let check = Check::new(false);
    let pictures = check.pictures.clone();
    let seen = || pictures.load(Ordering::Relaxed);
    let mut threads = Vec::new();
    let through = |client| start_between(client, shared, &mut threads);
    let machine = Machine::probe(Wishes::default());
    let mut pair = start_through(through, EpochLimits::default(), machine, pattern, check, 4_000_000);
    let mut until = |pictures: u64| {
        wait_for(Duration::from_secs(20), || {
            while let Some(report) = pair.client.poll_feedback() {
                pair.host.handle_feedback(report, None);
            }
            seen() >= pictures
        })
    };
    assert!(until(WARM_UP), "warm-up");
    let before = resident_bytes();
    COUNTING.store(true, Ordering::SeqCst);
    shared.attack.store(true, Ordering::Release);
    let (start, hostile) = (Instant::now(), || shared.hostile.load(Ordering::Relaxed));
    let went_on = until(seen() + UNDER_ATTACK);
    let (took, sent) = (start.elapsed(), hostile());
    COUNTING.store(false, Ordering::SeqCst);
    let grown = resident_bytes().saturating_sub(before);
    shared.attack.store(false, Ordering::Release);
    assert!(went_on, "the stream stands still: {:?} {:?}", pair.host.stats(), pair.client.stats());
    let rate = sent as f64 / took.as_secs_f64();
    eprintln!(
        "{UNDER_ATTACK} pictures in {took:?} beside {sent} hostile datagrams, {rate:.0} a second; {} allocations, \
         {grown} bytes more",
        ALLOCATIONS.load(Ordering::SeqCst),
    );
    let host = pair.host.stop();
    thread::sleep(Duration::from_millis(100));
    let client = pair.client.stop();
    shared.stop.store(true, Ordering::Release);
    threads.into_iter().for_each(|thread| thread.join().expect("it only sends"));
    (host, client, grown)
}

#[test]
fn a_flood_beside_the_stream_costs_cpu_and_nothing_else() {
    let shared = Arc::new(Shared::default());
    let (host, client, grown) = run(&shared);
    let came = client.stats.receive;
    eprintln!("{came:?}");
    assert_eq!((host.fault, client.fault), (None, None));
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    assert_eq!((host.slices_out, host.arena_leased_bytes, client.spans_out), (0, 0, 0));
    for (what, count) in
        [("replayed", came.replayed), ("bad_tag", came.bad_tag), ("malformed", came.malformed)]
    {
        assert!(count > 100, "{what}: {came:?}");
    }
    let allocations = ALLOCATIONS.load(Ordering::SeqCst);
    assert!(allocations <= ALLOCATIONS_MAX, "{allocations} allocations under attack");
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    // A machine without a core to spare loses datagrams in full sockets, its own and the attacker's: of a buffer that the
    // kernel dropped at most two pictures, and one that the stop cut. What came is whole whatever was dropped.
    let dropped = came.kernel_drops + shared.missed.load(Ordering::Acquire);
    assert!(came.lost_aus <= 1 + 2 * dropped, "{dropped} buffers dropped by the kernel: {came:?}");
}
