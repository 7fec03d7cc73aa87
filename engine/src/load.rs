//! What a report says of the decoder: how long a picture takes it, and what waits for it.
//!
//! Read by the receive stage from the decode stage's own counters; promises plain loads and no word that the decode stage
//! would wait for. Refuses to say a time before a picture was decoded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use punktfunk_proto::{ClientLoad, ReassemblyCounters};

use crate::stats::DecodeCounters;

/// Makes the report's part.
#[derive(Debug)]
pub(crate) struct LoadMeter {
    counters: Arc<DecodeCounters>,
    /// Pictures, and the microseconds that they took, when a mean was last made.
    before: (u64, u64),
    decode_us: u32,
}

impl LoadMeter {
    pub(crate) fn new(counters: Arc<DecodeCounters>) -> Self {
        Self { counters, before: (0, 0), decode_us: 0 }
    }

    /// The load now: `waiting` access units are handed on and not decoded, `overrun` were thrown away for that.
    pub(crate) fn sample(&mut self, seen: &ReassemblyCounters, waiting: u64, overrun: u64) -> ClientLoad {
        let decoded = self.counters.decoded.load(Ordering::Relaxed);
        let spent_us = self.counters.decode_us.load(Ordering::Relaxed);
        let (pictures, us) = (decoded.wrapping_sub(self.before.0), spent_us.wrapping_sub(self.before.1));
        if let Some(mean) = us.checked_div(pictures) {
            self.decode_us = u32::try_from(mean).unwrap_or(u32::MAX);
            self.before = (decoded, spent_us);
        }
        let lost = seen.aus_lost + seen.aus_late + seen.aus_dropped_memory + seen.aus_dropped_window;
        ClientLoad {
            aus_lost: lost as u32,
            decode_us: self.decode_us,
            aus_waiting: u16::try_from(waiting).unwrap_or(u16::MAX),
            aus_overrun: overrun as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::add;

    #[test]
    fn the_mean_is_of_the_pictures_since_the_last_one() {
        let counters = Arc::<DecodeCounters>::default();
        let mut meter = LoadMeter::new(Arc::clone(&counters));
        let seen = ReassemblyCounters { aus_lost: 2, aus_late: 1, ..ReassemblyCounters::default() };
        let none = ClientLoad { aus_lost: 3, ..ClientLoad::default() };
        assert_eq!(meter.sample(&seen, 0, 0), none);
        add(&counters.decode_us, 30_000);
        add(&counters.decoded, 2);
        let told = ClientLoad { decode_us: 15_000, aus_waiting: 4, aus_overrun: 7, ..none };
        assert_eq!(meter.sample(&seen, 4, 7), told);
        assert_eq!(meter.sample(&seen, 4, 7), told, "none since: the last one holds");
        add(&counters.decode_us, 5_000);
        add(&counters.decoded, 1);
        assert_eq!(
            meter.sample(&seen, u64::MAX, 65_537),
            ClientLoad { decode_us: 5_000, aus_waiting: u16::MAX, aus_overrun: 1, ..none }
        );
    }
}
