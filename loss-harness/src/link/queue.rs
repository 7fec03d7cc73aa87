//! A narrow link and the tail-drop queue before it, in exact arithmetic.
//!
//! Time is counted in nanoseconds times the rate in kbit/s, so that a byte takes a whole number of units, 8,000,000,
//! and nothing is ever rounded but the moment that is told, upwards to the next nanosecond. A datagram is dropped if
//! it and what has not left yet would be more than the queue's bytes; what is being sent counts by what is left of it.

use std::time::Duration;

const UNITS_PER_BYTE: u128 = 8_000_000;

/// Spaces what is sent at a rate: an interface that waits and never drops.
#[derive(Debug)]
pub struct Spacer {
    kbps: u128,
    /// When all that was taken has left, in units.
    free_at: u128,
}

impl Spacer {
    /// An idle interface of `kbps`, which is not 0.
    pub fn new(kbps: u32) -> Spacer {
        Spacer { kbps: u128::from(kbps), free_at: 0 }
    }

    /// When a datagram of `bytes`, taken at `now`, has left.
    pub fn pass(&mut self, bytes: usize, now: Duration) -> Duration {
        self.free_at = self.free_at.max(now.as_nanos() * self.kbps) + bytes as u128 * UNITS_PER_BYTE;
        let nanos = self.free_at.div_ceil(self.kbps);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// What has not left at `now`, in units.
    fn backlog(&self, now: Duration) -> u128 {
        self.free_at.saturating_sub(now.as_nanos() * self.kbps)
    }
}

/// A link with a queue of so many bytes.
#[derive(Debug)]
pub struct TailDrop {
    link: Spacer,
    queue_bytes: u128,
}

impl TailDrop {
    /// An idle link of `kbps`, which is not 0.
    pub fn new(kbps: u32, queue_bytes: u64) -> TailDrop {
        TailDrop { link: Spacer::new(kbps), queue_bytes: u128::from(queue_bytes) }
    }

    /// When a datagram of `bytes`, coming at `now`, has left; `None` if it is dropped.
    pub fn pass(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        let waiting = self.link.backlog(now) + bytes as u128 * UNITS_PER_BYTE;
        (waiting <= self.queue_bytes * UNITS_PER_BYTE).then(|| self.link.pass(bytes, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The naive twin: a list of what waits, each datagram with the bits that are left of it, served nanosecond by
    /// nanosecond of whole intervals. Bits are counted in millionths, for a kbit/s is a millionth of a bit a nanosecond.
    struct Naive {
        kbps: u128,
        queue_bytes: u128,
        waiting: std::collections::VecDeque<u128>,
        last: Duration,
    }

    impl Naive {
        fn accepts(&mut self, bytes: usize, now: Duration) -> bool {
            let mut served = (now - self.last).as_nanos() * self.kbps;
            self.last = now;
            while let Some(first) = self.waiting.front_mut() {
                let part = served.min(*first);
                *first -= part;
                served -= part;
                if *first > 0 {
                    break;
                }
                self.waiting.pop_front();
            }
            let size = bytes as u128 * 8 * 1_000_000;
            let fits = self.waiting.iter().sum::<u128>() + size <= self.queue_bytes * 8 * 1_000_000;
            if fits {
                self.waiting.push_back(size);
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn drops_exactly_what_the_naive_queue_drops(
            kbps in 1u32..10_000_000,
            queue in 1u64..200_000,
            sends in proptest::collection::vec((1usize..9_000, 0u64..200_000), 1..400),
        ) {
            let mut queued = TailDrop::new(kbps, queue);
            let mut naive = Naive {
                kbps: kbps.into(), queue_bytes: queue.into(), waiting: [].into(), last: Duration::ZERO,
            };
            let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
            for (bytes, pause_ns) in sends {
                now += Duration::from_nanos(pause_ns);
                let left = queued.pass(bytes, now);
                prop_assert_eq!(left.is_some(), naive.accepts(bytes, now));
                if let Some(left) = left {
                    prop_assert!(left >= now && left >= last);
                    // Its bits are the newest that wait: it has left when all of them have.
                    let bits: u128 = naive.waiting.iter().sum();
                    prop_assert_eq!((left - now).as_nanos(), bits.div_ceil(u128::from(kbps)));
                    last = left;
                }
            }
        }
    }

    #[test]
    fn a_full_queue_takes_exactly_its_bytes() {
        // A byte a microsecond.
        let mut queue = TailDrop::new(8_000, 3_000);
        let sent = |queue: &mut TailDrop, at_us| {
            let left = queue.pass(1_000, Duration::from_micros(at_us));
            left.map(|left| left.as_micros())
        };
        assert_eq!(
            [0, 0, 0, 0].map(|at| sent(&mut queue, at)),
            [Some(1_000), Some(2_000), Some(3_000), None]
        );
        assert_eq!(sent(&mut queue, 999), None, "a byte is still too much");
        assert_eq!(sent(&mut queue, 1_000), Some(4_000));
    }
}
