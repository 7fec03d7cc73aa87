//! Recording allocates nothing, whatever the ring's state.

#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use punktfunk_perf::{Recorder, Stage, channel};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged; counting touches only a
// const-initialised thread-local without a destructor, which itself never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` above with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn recording_and_draining_allocate_nothing() {
    let (mut tap, collector) = channel(128);
    let mut recorder = Recorder::new();
    recorder.attach(collector);
    let before = ALLOCATIONS.get();
    for round in 0..1000_u64 {
        tap.record(Stage::Seal, Duration::from_nanos(round * 977));
        if round % 200 == 0 {
            recorder.drain();
        }
    }
    let allocations = ALLOCATIONS.get() - before;
    assert!(tap.overflowed() > 0, "full rings are part of it");
    assert_eq!(allocations, 0);
    drop(std::hint::black_box(Vec::<u8>::with_capacity(8)));
    assert!(ALLOCATIONS.get() > before, "the counter counts");
}
