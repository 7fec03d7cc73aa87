//! A datagram allocates nothing, in Rust or in the C library inside: `malloc` itself is counted, a thread's own calls.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use punktfunk_seal::{
    Backend, Cipher, Direction, EPOCH_AGE_MAX, OpenError, Opener, Plane, PlaneKeys, REPLAY_WINDOW_DEFAULT,
    Sealer, Secret, TAG_BYTES,
};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::time::Instant;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // After a thread's locals are gone nothing is measured any more.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: glibc exports its allocator under these names too, with the contracts of the plain names.
unsafe extern "C" {
    fn __libc_malloc(bytes: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, bytes: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, bytes: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, bytes: usize) -> *mut c_void;
}

// SAFETY: the program's own `malloc` takes the place of glibc's; it is glibc's, counted.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(bytes: usize) -> *mut c_void {
    count();
    // SAFETY: the caller's contract is passed on.
    unsafe { __libc_malloc(bytes) }
}

// SAFETY: as `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(each: usize, bytes: usize) -> *mut c_void {
    count();
    // SAFETY: the caller's contract is passed on.
    unsafe { __libc_calloc(each, bytes) }
}

// SAFETY: as `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, bytes: usize) -> *mut c_void {
    count();
    // SAFETY: the caller's contract is passed on.
    unsafe { __libc_realloc(block, bytes) }
}

// SAFETY: as `malloc`; memory that runs out is reported by the null that `memalign` gives.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, bytes: usize) -> c_int {
    const ENOMEM: c_int = 12;
    count();
    // SAFETY: the caller's contract is passed on; `out` is the caller's to write.
    unsafe {
        *out = __libc_memalign(align, bytes);
        if (*out).is_null() { ENOMEM } else { 0 }
    }
}

/// How often `work` allocates on this thread.
fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn pair(backend: Backend, cipher: Cipher, now: Instant) -> (Sealer, Opener) {
    let keys = || {
        let secret = Secret::new([8; 32]);
        PlaneKeys::new(&secret, cipher, Direction::HostToClient, Plane::Video).with_backend(backend)
    };
    (Sealer::new(keys(), now), Opener::new(keys(), REPLAY_WINDOW_DEFAULT))
}

const SHARD: [u8; 1408] = [0x77; 1408];
const HEADER: [u8; 24] = [1; 24];

/// Everything that can happen to a datagram without an epoch's change: sealed whole, sealed padded, sequence wasted,
/// opened, replayed, forged.
fn exchange(sealer: &mut Sealer, opener: &mut Opener, now: Instant) {
    let (mut slot, mut place) = ([0; SHARD.len() + TAG_BYTES], [0; SHARD.len()]);
    for padding in [0, 64] {
        drop(sealer.reserve(now).unwrap());
        let ticket = sealer.reserve(now).unwrap();
        let (bits, sequence) = (ticket.epoch_low(), ticket.sequence());
        sealer.seal(ticket, &HEADER, &SHARD[padding..], padding, &mut slot);
        assert_eq!(opener.open(bits, sequence, &HEADER, &slot, &mut place, now), Ok(()));
        let again = opener.open(bits, sequence, &HEADER, &slot, &mut place, now);
        assert_eq!(again, Err(OpenError::Replayed { sequence }));
        slot[5] ^= 1;
        let forged = opener.open(bits, sequence, &HEADER, &slot, &mut place, now);
        assert_eq!(forged, Err(OpenError::BadTag { sequence }));
        assert!(opener.open(bits ^ 2, sequence, &HEADER, &slot, &mut place, now).is_err());
        sealer.handle_epoch_opened(opener.epoch_opened());
    }
}

/// The counter sees what the C library takes: an expanded key lies on its heap.
#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(7)))), 1);
    assert!(allocations_of(|| drop(pair(Backend::AwsLc, Cipher::Aes128Gcm, Instant::now()))) > 4);
}

#[test]
fn a_datagram_allocates_nothing() {
    for backend in Backend::ALL {
        for cipher in Cipher::ALL.into_iter().filter(|cipher| backend.supports(*cipher)) {
            let now = Instant::now();
            let (mut sealer, mut opener) = pair(backend, cipher, now);
            opener.prepare_thread();
            let count = allocations_of(|| (0..500).for_each(|_| exchange(&mut sealer, &mut opener, now)));
            assert_eq!(count, 0, "{backend} {cipher:?}");
        }
    }
}

/// The C library's queue of errors, once a thread, whatever a forger sends.
#[test]
fn an_unprepared_threads_first_wrong_tag_allocates_twice_and_no_other() {
    let now = Instant::now();
    let (_, mut opener) = pair(Backend::AwsLc, Cipher::Aes128Gcm, now);
    let mut forge = || assert!(opener.open(0, 0, &HEADER, &[9; 64], &mut [0; 48], now).is_err());
    assert!(allocations_of(&mut forge) <= 2);
    assert_eq!(allocations_of(|| (0..1000).for_each(|_| forge())), 0);
}

/// An epoch's change derives a key at each end: the only allocations of a session, once in 2^23 datagrams or 10 minutes.
#[test]
fn an_epochs_change_allocates_a_key_at_each_end() {
    let mut now = Instant::now();
    let (mut sealer, mut opener) = pair(Backend::AwsLc, Cipher::Aes128Gcm, now);
    opener.prepare_thread();
    for _ in 0..5 {
        exchange(&mut sealer, &mut opener, now);
        now += EPOCH_AGE_MAX;
        let count = allocations_of(|| exchange(&mut sealer, &mut opener, now));
        assert!((1..=20).contains(&count), "{count} allocations for two keys");
        assert_eq!(allocations_of(|| exchange(&mut sealer, &mut opener, now)), 0, "and then none");
    }
}
