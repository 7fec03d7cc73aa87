//! How a pipeline thread says how long a stage took: a wait-free ring to the [`crate::Recorder`].
//!
//! Promises: [`Tap::record`] never blocks, locks or allocates. A sample that finds the ring full is
//! dropped and counted. One tap a thread; samples of one tap arrive in their order.
//!
//! Refuses: to be cloned or shared. Two writers need two taps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::stage::Stage;

#[derive(Debug, Clone, Copy)]
struct Sample {
    stage: Stage,
    nanoseconds: u64,
}

/// A tap and its collector, joined by a ring of `samples` slots (at least one).
///
/// Allocates once, here.
pub fn channel(samples: usize) -> (Tap, Collector) {
    let (producer, consumer) = rtrb::RingBuffer::new(samples.max(1));
    let overflowed = Arc::new(AtomicU64::new(0));
    (Tap { producer, overflowed: Arc::clone(&overflowed) }, Collector { consumer, overflowed })
}

/// The recording end, owned by one pipeline thread.
#[derive(Debug)]
pub struct Tap {
    producer: rtrb::Producer<Sample>,
    overflowed: Arc<AtomicU64>,
}

impl Tap {
    /// Records that `stage` took `value`. A full ring drops the sample and counts it.
    #[inline]
    pub fn record(&mut self, stage: Stage, value: Duration) {
        let nanoseconds = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        if self.producer.push(Sample { stage, nanoseconds }).is_err() {
            // One writer only, so load and store need not be one operation.
            let overflowed = self.overflowed.load(Ordering::Relaxed);
            self.overflowed.store(overflowed + 1, Ordering::Relaxed);
        }
    }

    /// How many samples found the ring full since the tap was made.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }
}

/// The reading end of one tap, to be attached to a [`crate::Recorder`].
#[derive(Debug)]
pub struct Collector {
    consumer: rtrb::Consumer<Sample>,
    overflowed: Arc<AtomicU64>,
}

impl Collector {
    /// Hands each waiting sample to `sink`, oldest first, and says how many there were. What arrives
    /// meanwhile is left for the next call, so the work is bounded by the ring.
    pub fn drain(&mut self, mut sink: impl FnMut(Stage, Duration)) -> usize {
        let waiting = self.consumer.slots();
        let Ok(chunk) = self.consumer.read_chunk(waiting) else { return 0 };
        for sample in chunk {
            sink(sample.stage, Duration::from_nanos(sample.nanoseconds));
        }
        waiting
    }

    /// How many samples found the ring full since the tap was made.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Whether the tap is gone and everything it left was drained.
    pub fn is_finished(&self) -> bool {
        // Asked in this order: nothing can be pushed once the tap is gone.
        self.consumer.is_abandoned() && self.consumer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_in_order_and_a_full_ring_is_counted() {
        let (mut tap, mut collector) = channel(4);
        for nanoseconds in 1..=6 {
            tap.record(Stage::Seal, Duration::from_nanos(nanoseconds));
        }
        assert_eq!(tap.overflowed(), 2);
        let mut seen = Vec::new();
        assert_eq!(collector.drain(|stage, value| seen.push((stage, value.as_nanos()))), 4);
        assert_eq!(seen, (1..=4).map(|ns| (Stage::Seal, ns)).collect::<Vec<_>>());
        assert_eq!(collector.overflowed(), 2);

        tap.record(Stage::Fec, Duration::MAX);
        drop(tap);
        assert!(!collector.is_finished(), "a sample is still there");
        let mut longest = Duration::ZERO;
        collector.drain(|_, value| longest = value);
        assert_eq!(longest, Duration::from_nanos(u64::MAX));
        assert!(collector.is_finished());
    }

    #[test]
    fn two_threads_lose_nothing_but_what_is_counted() {
        const SAMPLES: u64 = 200_000;
        let (mut tap, mut collector) = channel(256);
        let writer = std::thread::spawn(move || {
            for nanoseconds in 0..SAMPLES {
                tap.record(Stage::Open, Duration::from_nanos(nanoseconds));
            }
        });
        let (mut seen, mut last) = (0_u64, None);
        while !collector.is_finished() {
            collector.drain(|_, value| {
                assert!(last < Some(value), "out of order: {last:?} then {value:?}");
                last = Some(value);
                seen += 1;
            });
            std::thread::yield_now();
        }
        writer.join().unwrap();
        assert_eq!(seen + collector.overflowed(), SAMPLES);
    }
}
