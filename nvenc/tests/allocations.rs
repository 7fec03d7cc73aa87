//! Nothing is allocated for a picture, nor for a slice of it, by the thread that encodes.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share
#![allow(unsafe_code)] // an allocator is

mod ground;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ground::{Ground, PATIENCE, config};
use punktfunk_nvenc::{Codec, Format, PictureRequest, Recovery, Step};

/// Counts what the thread allocates that asks for it.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is the system's; a number is counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_picture_allocates_nothing() {
    // The stand-ins have allocators of their own, as the driver has: what is counted is ours.
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures = [0, 1].map(|_| ground.pictures(Format::Nv12, 320, 192).input());
        let mut allocations = Vec::with_capacity(200);
        for number in 0..200u64 {
            let before = COUNT.get();
            if number % 20 == 19 {
                assert!(matches!(session.invalidate(number - 2), Ok(Recovery::Reference { .. })));
            }
            let request = PictureRequest { number, idr: number % 50 == 0, refresh: 0 };
            let mut flight = session.encode(&pictures[number as usize % 2], &request).unwrap();
            let mut bytes = 0;
            loop {
                match flight.next(PATIENCE).unwrap() {
                    Step::Slice { slice, .. } => bytes += slice.as_ref().len(),
                    Step::Nothing | Step::Lent => {}
                    Step::Done(encoded) => break assert_eq!(encoded.bytes as usize, bytes),
                }
            }
            allocations.push(COUNT.get() - before);
        }
        // The first two register their inputs.
        assert_eq!(allocations[2..].iter().sum::<u64>(), 0, "{allocations:?}");
        assert!(allocations[0] > 0, "they are counted");
    }
    ground.close();
}
