//! What a handoff between two threads costs on this machine now: the cache-line ping-pong that every
//! latency figure is read beside, and the ring and the wake that the engine uses.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use criterion::{Criterion, criterion_group, criterion_main};

/// There and back: two crossings of one cache line between two spinning threads.
fn ping_pong(criterion: &mut Criterion) {
    let (ball, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let other = {
        let (ball, stop) = (Arc::clone(&ball), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let seen = ball.load(Ordering::Acquire);
                if seen % 2 == 1 {
                    ball.store(seen + 1, Ordering::Release);
                }
                spin_loop();
            }
        })
    };
    criterion.bench_function("handoff/cache line, there and back", |bencher| {
        bencher.iter(|| {
            let sent = ball.load(Ordering::Relaxed) + 1;
            ball.store(sent, Ordering::Release);
            while ball.load(Ordering::Acquire) == sent {
                spin_loop();
            }
        });
    });
    stop.store(true, Ordering::Relaxed);
    other.join().expect("the other side only spins");
}

/// One value over an `rtrb` ring to a spinning thread and back over another.
fn ring(criterion: &mut Criterion) {
    let (mut there, mut there_end) = rtrb::RingBuffer::<u64>::new(16);
    let (mut back, mut back_end) = rtrb::RingBuffer::<u64>::new(16);
    let other = thread::spawn(move || {
        while !there_end.is_abandoned() {
            if let Ok(value) = there_end.pop() {
                // The bench takes each value before it sends the next: there is room.
                let _ = back.push(value + 1);
            }
            spin_loop();
        }
    });
    criterion.bench_function("handoff/rtrb, there and back", |bencher| {
        let mut value = 0;
        bencher.iter(|| {
            let _ = there.push(value);
            value = loop {
                if let Ok(answer) = back_end.pop() {
                    break answer;
                }
                spin_loop();
            };
        });
        assert!(value > 0, "each round trip counts one");
    });
    drop(there);
    other.join().expect("the other side only spins");
}

/// A blocked thread is woken and wakes the other: two wakes.
fn park(criterion: &mut Criterion) {
    let (turn, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let here = thread::current();
    let other = {
        let (turn, stop) = (Arc::clone(&turn), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let seen = turn.load(Ordering::Acquire);
                if seen % 2 == 1 {
                    turn.store(seen + 1, Ordering::Release);
                    here.unpark();
                }
                thread::park();
            }
        })
    };
    criterion.bench_function("handoff/unpark, there and back", |bencher| {
        bencher.iter(|| {
            let sent = turn.load(Ordering::Relaxed) + 1;
            turn.store(sent, Ordering::Release);
            other.thread().unpark();
            while turn.load(Ordering::Acquire) == sent {
                thread::park();
            }
        });
    });
    stop.store(true, Ordering::Release);
    other.thread().unpark();
    other.join().expect("the other side only waits");
}

criterion_group!(benches, ping_pong, ring, park);
criterion_main!(benches);
