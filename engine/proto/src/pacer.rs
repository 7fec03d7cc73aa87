//! When each train may leave: a microburst at once, the rest at the rate.
//!
//! A virtual scheduling clock (the "theoretical arrival time" of ITU-T I.371, annex A): it holds the instant at which
//! everything sent so far would have left at the rate, and a train may leave once that is at most the burst's worth
//! ahead of it.
//!
//! Promises that over any interval of length t, first and last train counted in, at most rate × t + max(burst,
//! longest train) bytes leave, if each leaves no earlier than told. After a stall the clock has merely caught up with
//! now: never more than the burst leaves at once. A train of at most [`Pacer::train_segments_max`] is no longer than
//! the burst, unless one segment is, and leaves no gap behind it that would let an AU seem to stand still. It refuses
//! nothing: rates are kept above zero.

use std::time::{Duration, Instant};

use crate::limits::{TRAIN_BYTES_SHORT, TRAIN_TIME, TRAIN_TIME_MAX};

const NANOS_PER_BYTE_AT_1_KBPS: u64 = 8_000_000;

/// What the pacer did, totals by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacerCounters {
    /// AUs that left at once as a whole.
    pub aus_immediate: u64,
    /// AUs of which at least one train had to wait.
    pub aus_paced: u64,
}

/// Gives trains their departure times.
#[derive(Debug, Clone)]
pub struct Pacer {
    rate_kbps: u32,
    burst_bytes: usize,
    /// When all that was sent would have left at the rate; `None` before the first train.
    busy_until: Option<Instant>,
    au_paced: bool,
    counters: PacerCounters,
}

impl Pacer {
    /// A pacer of `rate_kbps` for the bytes that it is told of (UDP payloads), with `burst_bytes` at once.
    pub fn new(rate_kbps: u32, burst_bytes: usize) -> Self {
        let counters = PacerCounters::default();
        Self { rate_kbps: rate_kbps.max(1), burst_bytes, busy_until: None, au_paced: false, counters }
    }

    /// Changes the rate for what comes; what was sent keeps the time that it was given.
    pub fn set_rate(&mut self, rate_kbps: u32) {
        self.rate_kbps = rate_kbps.max(1);
    }

    /// Changes what may leave at once, for what comes.
    pub fn set_burst(&mut self, burst_bytes: usize) {
        self.burst_bytes = burst_bytes;
    }

    /// A new AU begins.
    pub fn begin_au(&mut self, _now: Instant) {
        self.au_paced = false;
        self.counters.aus_immediate += 1;
    }

    /// When a train of `bytes` may leave, `now` or later. The train counts as sent then.
    pub fn departure(&mut self, bytes: usize, now: Instant) -> Instant {
        let cost = self.time_of(bytes);
        let ahead_max = self.time_of(self.burst_bytes).saturating_sub(cost);
        let busy_until = self.busy_until.unwrap_or(now);
        let due = busy_until.checked_sub(ahead_max).unwrap_or(now);
        let departure = due.max(now);
        self.busy_until = Some(busy_until.max(departure) + cost);
        self.count(departure, now);
        departure
    }

    /// Segments of `segment_bytes` that a train may have at the rate now: no more than the burst, nor than the rate
    /// carries in [`TRAIN_TIME`]; short ones may take [`TRAIN_TIME_MAX`]. One segment at least.
    pub fn train_segments_max(&self, segment_bytes: usize) -> usize {
        // Kilobits a second times microseconds are thousandths of bits.
        let in_time = |time: Duration| u64::from(self.rate_kbps) * time.as_micros() as u64 / 8_000;
        let at_rate = in_time(TRAIN_TIME).max(in_time(TRAIN_TIME_MAX).min(TRAIN_BYTES_SHORT));
        let bytes = self.burst_bytes.min(usize::try_from(at_rate).unwrap_or(usize::MAX));
        (bytes / segment_bytes.max(1)).max(1)
    }

    /// Bytes that may leave at once.
    pub fn ready_bytes(&self, now: Instant) -> usize {
        let behind = self.busy_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        // Nanoseconds times kilobits a second.
        let bytes = behind.as_nanos() * u128::from(self.rate_kbps) / u128::from(NANOS_PER_BYTE_AT_1_KBPS);
        self.burst_bytes.saturating_sub(usize::try_from(bytes + 1).unwrap_or(usize::MAX))
    }

    /// Totals since the start.
    pub const fn counters(&self) -> PacerCounters {
        self.counters
    }

    fn count(&mut self, departure: Instant, now: Instant) {
        if departure > now && !self.au_paced {
            self.au_paced = true;
            self.counters.aus_paced += 1;
            self.counters.aus_immediate = self.counters.aus_immediate.saturating_sub(1);
        }
    }

    /// Rounded up, so that rounding never adds to the rate.
    fn time_of(&self, bytes: usize) -> Duration {
        let nanos = (bytes as u64).saturating_mul(NANOS_PER_BYTE_AT_1_KBPS).div_ceil(self.rate_kbps.into());
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        let now = Instant::now();
        // 8 Mbit/s: a byte a microsecond.
        let mut pacer = Pacer::new(8_000, 3_000);
        pacer.begin_au(now);
        let departures: Vec<u128> = (0..6).map(|_| (pacer.departure(1_000, now) - now).as_micros()).collect();
        assert_eq!(departures, [0, 0, 0, 1_000, 2_000, 3_000]);
        assert_eq!(pacer.ready_bytes(now + Duration::from_millis(5)), 1_999);
        assert_eq!(pacer.counters(), PacerCounters { aus_immediate: 0, aus_paced: 1 });
    }

    #[test]
    fn after_a_stall_no_more_than_the_burst() {
        let now = Instant::now();
        let mut pacer = Pacer::new(8_000, 3_000);
        pacer.begin_au(now);
        (0..10).for_each(|_| assert!(pacer.departure(1_000, now) >= now));
        let later = now + Duration::from_secs(5);
        let at_once = (0..10).filter(|_| pacer.departure(1_000, later) == later).count();
        assert_eq!(at_once, 3);
    }

    #[test]
    fn a_train_longer_than_the_burst_leaves_when_the_link_is_idle() {
        let now = Instant::now();
        let mut pacer = Pacer::new(8_000, 1_000);
        assert_eq!(pacer.departure(5_000, now), now);
        assert_eq!(pacer.departure(5_000, now), now + Duration::from_millis(5));
        assert_eq!(pacer.departure(1_000, now), now + Duration::from_millis(10));
    }

    #[test]
    fn a_new_rate_holds_for_what_comes() {
        let now = Instant::now();
        let mut pacer = Pacer::new(8_000, 0);
        pacer.departure(1_000, now);
        pacer.set_rate(80_000);
        assert_eq!(pacer.departure(1_000, now), now + Duration::from_micros(1_000));
        assert_eq!(pacer.departure(1_000, now), now + Duration::from_micros(1_100));
    }

    #[test]
    fn trains_fit_the_burst_and_the_rate() {
        let segments = |kbps, burst, bytes| Pacer::new(kbps, burst).train_segments_max(bytes);
        // Eight gigabits carry 250,000 bytes in 250 µs: the burst is what bounds.
        assert_eq!(segments(8_000_000, 128 << 10, 1_448), 90);
        assert_eq!(segments(8_000_000, 8 << 10, 1_448), 5);
        // A gigabit carries 31,250 bytes.
        assert_eq!(segments(1_000_000, 128 << 10, 1_448), 21);
        // 100 Mbit/s carry 3,125 bytes in that, and 16 KiB in less than 2 ms; 20 Mbit/s carry 5,000 in those.
        assert_eq!(segments(100_000, 128 << 10, 1_192), 13);
        assert_eq!(segments(20_000, 128 << 10, 1_192), 4);
        // A segment that passes both goes alone.
        assert_eq!(segments(1_000, 128 << 10, 1_192), 1);
        assert_eq!(segments(1_000_000, 0, 1_192), 1);
        assert_eq!(segments(u32::MAX, usize::MAX, 0), 134_217_727);
        let mut pacer = Pacer::new(1_000_000, 128 << 10);
        pacer.set_rate(20_000);
        assert_eq!(pacer.train_segments_max(1_192), 4, "at the rate now");
    }

    #[test]
    fn no_gap_between_trains_is_long() {
        let now = Instant::now();
        for kbps in [500, 1_000, 5_000, 20_000, 100_000] {
            let mut pacer = Pacer::new(kbps, 128 << 10);
            let train = pacer.train_segments_max(1_192) * 1_192;
            let departures: Vec<Instant> = (0..2_000).map(|_| pacer.departure(train, now)).collect();
            let longest = departures.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest <= TRAIN_TIME_MAX.max(pacer.time_of(1_192)), "{kbps} kbit/s: {longest:?}");
        }
    }

    proptest! {
        /// Over any interval from a departure to a departure: bytes <= rate * t + max(burst, longest train).
        #[test]
        fn never_more_than_the_rate_and_a_burst(
            rate_kbps in 1u32..8_000_000,
            burst in 0usize..200_000,
            steps in proptest::collection::vec((1usize..65_507, 0u64..3_000_000, any::<bool>()), 1..60),
        ) {
            let mut now = Instant::now();
            let mut pacer = Pacer::new(rate_kbps, burst);
            let mut sent: Vec<(Instant, u128)> = Vec::new();
            for (bytes, pause_ns, wait) in steps {
                let departure = pacer.departure(bytes, now);
                prop_assert!(departure >= now);
                prop_assert!(sent.last().is_none_or(|(last, _)| departure >= *last));
                sent.push((departure, bytes as u128));
                now += Duration::from_nanos(pause_ns);
                now = if wait { now.max(departure) } else { now };
            }
            let longest = sent.iter().map(|(_, bytes)| *bytes).max().unwrap();
            let ahead = longest.max(burst as u128);
            for first in 0..sent.len() {
                let mut bytes = 0;
                for last in first..sent.len() {
                    bytes += sent[last].1;
                    let nanos = (sent[last].0 - sent[first].0).as_nanos();
                    // One nanosecond of rounding at the burst's own length.
                    let allowed = (nanos + 1) * u128::from(rate_kbps) / 8_000_000 + 1 + ahead;
                    prop_assert!(bytes <= allowed, "{bytes} bytes in {nanos} ns, {allowed} allowed");
                }
            }
        }
    }
}
