//! No allocation an access unit in steady state: encode, protect, receive and decode stages, and what
//! they stand on (proto, fec, seal, net), both ends.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use punktfunk_engine::Merge;
use punktfunk_proto::{RedundancyPolicy, SpeedTestOrder};

use support::{Check, Pattern, Relay, machine, start_lossy, start_on, wait_for};

const SLICES: u16 = 4;

/// One test at a time counts.
static TURN: Mutex<()> = Mutex::new(());

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Set on the test's own thread, whose waiting is not what is measured.
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note() {
    if COUNTING.load(Ordering::Relaxed) && !EXEMPT.try_with(Cell::get).unwrap_or(true) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn no_stage_allocates_in_steady_state() {
    let _turn = TURN.lock().expect("no test has failed");
    [Merge::Apart, Merge::Together].into_iter().for_each(nothing_is_allocated);
    // The counter itself works: this allocation is seen.
    COUNTING.store(true, Ordering::SeqCst);
    EXEMPT.set(false);
    drop(std::hint::black_box(vec![0_u8; 64]));
    COUNTING.store(false, Ordering::SeqCst);
    assert_eq!(ALLOCATIONS.swap(0, Ordering::SeqCst), 1);
}

fn nothing_is_allocated(merge: Merge) {
    EXEMPT.set(true);
    // No stall of a thread makes more than is seen in the warm-up: the source waits for the decoder, and the decoder
    // is held until all that may ever be under way, and an access unit more, is in the client's hands.
    let check = Check::new(false);
    let (pictures, held) = (check.pictures.clone(), check.held.clone());
    let pattern = Pattern::closed(SLICES, 20_000, 3, u64::MAX, &check);
    let window = pattern.window.as_ref().expect("it is closed").aus.clone();
    let pair = start_on(machine(merge), pattern, check, 4_000_000);
    let seen = || pictures.load(Ordering::Relaxed);
    assert!(wait_for(Duration::from_secs(10), || seen() >= 50), "warm-up");
    held.store(true, Ordering::Release);
    let spans = || pair.client.stats().receive.spans_out;
    assert!(wait_for(Duration::from_secs(5), || spans() >= 3 * u64::from(SLICES)), "{}", spans());
    window.store(2, Ordering::Release);
    held.store(false, Ordering::Release);
    let warm = seen() + 50;
    assert!(wait_for(Duration::from_secs(10), || seen() >= warm), "warm-up");
    let before = seen();
    COUNTING.store(true, Ordering::SeqCst);
    assert!(wait_for(Duration::from_secs(20), || seen() >= before + 400));
    COUNTING.store(false, Ordering::SeqCst);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), 0, "{:?} {:?}", host.stats, client.stats);
}

/// The same over a path that loses one datagram in fifty, with reports, resends and a redundancy that follows.
#[test]
fn no_stage_allocates_while_datagrams_are_sent_again() {
    let _turn = TURN.lock().expect("no test has failed");
    [Merge::Apart, Merge::Together].into_iter().for_each(nothing_is_allocated_for_a_resend);
}

fn nothing_is_allocated_for_a_resend(merge: Merge) {
    EXEMPT.set(true);
    let check = Check::new(false);
    let (pictures, held) = (check.pictures.clone(), check.held.clone());
    // As above: before anything is lost, more is under way than may ever be again. A machine that stands still would
    // else make the client take a span, and its set of shards, for the first time while allocations are counted.
    let pattern = Pattern::closed(SLICES, 20_000, 3, u64::MAX, &check);
    let window = pattern.window.as_ref().expect("it is closed").aus.clone();
    let is_lossy = Arc::new(AtomicBool::new(false));
    let (loses, mut count) = (Arc::clone(&is_lossy), 0_u64);
    let keeps = move |_: &[u8]| {
        count += 1;
        count % 100 >= 2 || !loses.load(Ordering::Acquire)
    };
    let mut relay = None;
    let mut pair = start_lossy(machine(merge), (pattern, check), RedundancyPolicy::Adaptive, |client| {
        relay.insert(Relay::start(client, keeps)).address()
    });
    let seen = || pictures.load(Ordering::Relaxed);
    assert!(pair.control_until(Duration::from_secs(10), || seen() >= 50), "warm-up");
    held.store(true, Ordering::Release);
    let end = Instant::now() + Duration::from_secs(5);
    while pair.client.stats().receive.spans_out < 3 * u64::from(SLICES) {
        assert!(Instant::now() < end, "{:?}", pair.client.stats());
        pair.control_until(Duration::from_millis(1), || false);
    }
    window.store(2, Ordering::Release);
    held.store(false, Ordering::Release);
    is_lossy.store(true, Ordering::Release);
    assert!(pair.control_until(Duration::from_secs(20), || seen() >= 200), "warm-up");
    let (before, resent) = (seen(), pair.host.stats().protect.datagrams_resent);
    let span_bytes = pair.client.stats().receive.span_bytes;
    COUNTING.store(true, Ordering::SeqCst);
    assert!(pair.control_until(Duration::from_secs(20), || seen() >= before + 300));
    COUNTING.store(false, Ordering::SeqCst);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    let (sent, came) = (host.stats.protect, client.stats.receive);
    assert!(sent.datagrams_resent > resent + 20, "{sent:?}");
    assert!(came.recovered > 0, "{came:?}");
    assert_eq!(ALLOCATIONS.swap(0, Ordering::SeqCst), 0, "spans {span_bytes}: {sent:?} {came:?}");
}

/// A speed test's filler, from its first datagram to its last; the first test takes its memory.
#[test]
fn no_stage_allocates_for_filler() {
    let _turn = TURN.lock().expect("no test has failed");
    [Merge::Apart, Merge::Together].into_iter().for_each(nothing_is_allocated_for_filler);
}

fn nothing_is_allocated_for_filler(merge: Merge) {
    EXEMPT.set(true);
    let check = Check::new(false);
    // Video has had its say: what it allocates is counted above.
    let pattern = Pattern::closed(SLICES, 20_000, 3, u64::MAX, &check);
    let pictures = check.pictures.clone();
    let window = pattern.window.as_ref().expect("it is closed").aus.clone();
    let mut pair = start_on(machine(merge), pattern, check, 4_000_000);
    assert!(wait_for(Duration::from_secs(10), || pictures.load(Ordering::Relaxed) >= 30), "warm-up");
    window.store(0, Ordering::Release);
    let order = SpeedTestOrder::new(300_000, 400).expect("within every range");
    for test in 0..2 {
        COUNTING.store(test == 1, Ordering::SeqCst);
        pair.host.begin_speed_test(test, order).expect("one at a time");
        assert!(wait_for(Duration::from_secs(5), || pair.host.poll_speed_test().is_some()));
        pair.client.ask_speed_test(test);
        assert!(wait_for(Duration::from_secs(5), || pair.client.poll_speed_test().is_some()));
        COUNTING.store(false, Ordering::SeqCst);
    }
    let (host, client) = (pair.host.stop(), pair.client.stop());
    assert!(client.stats.receive.filler_datagrams > 20_000, "{:?}", client.stats);
    assert_eq!(ALLOCATIONS.swap(0, Ordering::SeqCst), 0, "{:?} {:?}", host.stats, client.stats);
}
