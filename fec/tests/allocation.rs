//! Steady state allocates nothing: counted, a thread's own allocations only.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use punktfunk_fec::{Decoder, Encoder, Shape, ShardSet};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // After a thread's locals are gone nothing is measured any more.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; the count beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(block, layout, bytes) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates on this thread.
fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// The largest first, then others in turn: high rate, low rate, equal, without parity.
const SHAPES: [(u16, u16); 7] = [(434, 44), (64, 7), (1, 1), (10, 40), (32, 32), (200, 0), (434, 44)];
const SHARD_BYTES: usize = 1408;

fn encode_all(encoder: &mut Encoder, data: &[u8]) {
    for (k, m) in SHAPES {
        let shape = Shape::new(k, m, SHARD_BYTES).unwrap();
        let parity = encoder.encode(shape, &data[..shape.data_bytes() - 7]).unwrap();
        assert_eq!(parity.len(), usize::from(m));
    }
}

fn recover_all(decoder: &mut Decoder, filled: &mut ShardSet, span: &mut [u8]) {
    for (k, m) in SHAPES {
        let shape = Shape::new(k, m, SHARD_BYTES).unwrap();
        filled.clear();
        (usize::from(m.min(k))..shape.shards()).for_each(|index| assert!(filled.insert(index)));
        let recovered = decoder.recover(shape, &mut span[..shape.span_bytes()], filled);
        assert_eq!(recovered, Ok(usize::from(m.min(k))));
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(vec![1_u8; 100]))), 1);
}

#[test]
fn encode_allocates_nothing_once_the_size_was_seen() {
    let data = vec![3; 434 * SHARD_BYTES];
    let mut encoder = Encoder::new();
    encode_all(&mut encoder, &data);
    assert_eq!(allocations_of(|| (0..20).for_each(|_| encode_all(&mut encoder, &data))), 0);
}

#[test]
fn recover_allocates_nothing_once_the_size_was_seen() {
    let mut span = vec![3; 478 * SHARD_BYTES];
    let (mut decoder, mut filled) = (Decoder::new(), ShardSet::with_capacity(478));
    recover_all(&mut decoder, &mut filled, &mut span);
    let count = allocations_of(|| (0..20).for_each(|_| recover_all(&mut decoder, &mut filled, &mut span)));
    assert_eq!(count, 0);
}

/// What a size costs when it is new: parity and scratch for an encoder; for a decoder scratch of two kinds, the points of
/// the data and its runs, and four lists for the pattern of losses.
#[test]
fn a_new_size_costs_a_few_allocations() {
    let data = vec![3; 434 * SHARD_BYTES];
    let mut span = vec![3; 478 * SHARD_BYTES];
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    let mut filled = ShardSet::with_capacity(478);
    let encoding = allocations_of(|| encode_all(&mut encoder, &data));
    let recovering = allocations_of(|| recover_all(&mut decoder, &mut filled, &mut span));
    assert!((1..=2).contains(&encoding), "{encoding}");
    assert!((1..=8).contains(&recovering), "{recovering}");
}

/// Coders prepared for the largest counts allocate for no block below them, in whichever rate.
#[test]
fn prepared_coders_allocate_nothing() {
    let (data, mut filled) = (vec![1; 300 * 128], ShardSet::with_capacity(600));
    let mut span = vec![2; 600 * 128];
    for (k_max, m_max) in (1..300).step_by(37).flat_map(|k| (1..300).step_by(41).map(move |m| (k, m))) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        encoder.prepare(Shape::new(k_max, m_max, 128).unwrap());
        decoder.prepare(Shape::new(k_max, m_max, 128).unwrap());
        let count = allocations_of(|| {
            for (k, m) in
                (1..=k_max).rev().step_by(29).flat_map(|k| (1..=m_max).rev().step_by(31).map(move |m| (k, m)))
            {
                let shape = Shape::new(k, m, 128).unwrap();
                assert!(encoder.encode(shape, &data[..shape.data_bytes() - 1]).is_ok());
                // One loss, a few, and as many as there may be: every way of recovering.
                for lost in [1, 5, k.min(m)].map(|lost| usize::from(lost.min(k).min(m))) {
                    filled.clear();
                    (lost..lost + usize::from(k)).for_each(|index| assert!(filled.insert(index)));
                    let recovered = decoder.recover(shape, &mut span[..shape.span_bytes()], &filled);
                    assert_eq!(recovered, Ok(lost));
                }
            }
        });
        assert_eq!(count, 0, "blocks of up to {k_max}+{m_max}");
    }
}
