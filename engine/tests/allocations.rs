//! No allocation an access unit in steady state: encode, protect, receive and decode stages, and what
//! they stand on (proto, fec, seal, net), both ends.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use punktfunk_engine::Merge;
use support::{Check, Pattern, machine, start_on, wait_for};

const SLICES: u16 = 4;

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
    [Merge::Apart, Merge::Together].into_iter().for_each(nothing_is_allocated);
    // The counter itself works: this allocation is seen.
    COUNTING.store(true, Ordering::SeqCst);
    EXEMPT.set(false);
    drop(std::hint::black_box(vec![0_u8; 64]));
    COUNTING.store(false, Ordering::SeqCst);
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), 1);
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
