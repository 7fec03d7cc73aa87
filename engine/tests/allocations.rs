//! No allocation an access unit in steady state: encode, protect, receive and decode stages, and what
//! they stand on (proto, fec, seal, net), both ends.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::{Check, Pattern, start, wait_for};

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
    EXEMPT.set(true);
    let check = Check::new(true);
    let pictures = check.pictures.clone();
    let pair = start(Pattern::new(4, 80_000, Duration::from_millis(5), u64::MAX), check);
    let seen = || pictures.load(Ordering::Relaxed);
    assert!(wait_for(Duration::from_secs(10), || seen() >= 100), "warm-up");
    let before = seen();
    COUNTING.store(true, Ordering::SeqCst);
    assert!(wait_for(Duration::from_secs(20), || seen() >= before + 400));
    COUNTING.store(false, Ordering::SeqCst);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), 0, "{:?} {:?}", host.stats, client.stats);
    // The counter itself works: this allocation is seen.
    COUNTING.store(true, Ordering::SeqCst);
    EXEMPT.set(false);
    drop(std::hint::black_box(vec![0_u8; 64]));
    COUNTING.store(false, Ordering::SeqCst);
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), 1);
}
