//! How the datagrams of the newest AUs came: what a sender measures the link by.
//!
//! Of each AU it keeps how far the datagrams reached, how many came in order, and the time from the end of the first
//! batch to the newest datagram, which has a time of its own on a clock of the receiver's. A datagram that comes behind a newer one of its AU moves no time: it was overtaken on
//! the way and counts, or it is a resend, and did not come when it was sent.
//!
//! Constant work a datagram, and only for authentic ones. It refuses AUs older than the newest, and an AU in whose
//! middle the key changed: its sequences cannot be counted through.

use std::time::{Duration, Instant};

/// AUs that a report describes: the newest, whose end may not be known, and the one before it.
pub const ARRIVALS_MAX: usize = 2;

/// How one AU came, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuArrivals {
    /// Access-unit number.
    pub au: u32,
    /// Sequences from the first that came to the newest of its batch, both counted in.
    pub first: u32,
    /// Sequences from the first that came to the newest that came, both counted in.
    pub reach: u32,
    /// Datagrams that came, resends apart.
    pub datagrams: u32,
    /// Microseconds from the first batch to the newest datagram.
    pub span_us: u32,
    /// When the newest datagram came, on a clock of the receiver's that runs from any zero; wraps.
    pub newest_us: u32,
}

/// How far behind a newer datagram one may come that was overtaken: less than a report and a resend take.
const OVERTAKEN_MAX: Duration = Duration::from_micros(250);

/// One AU under observation.
#[derive(Debug, Clone, Copy)]
struct Seen {
    au: u32,
    epoch: u32,
    lowest: u32,
    highest: u32,
    first: u32,
    datagrams: u32,
    first_at: Instant,
    last_at: Instant,
    /// False once the key has changed in its middle.
    is_whole_epoch: bool,
}

impl Seen {
    fn new(au: u32, epoch: u32, sequence: u32, now: Instant) -> Self {
        Self {
            au,
            epoch,
            lowest: sequence,
            highest: sequence,
            first: 1,
            datagrams: 1,
            first_at: now,
            last_at: now,
            is_whole_epoch: true,
        }
    }

    fn handle(&mut self, epoch: u32, sequence: u32, was_asked: bool, now: Instant) {
        self.is_whole_epoch &= epoch == self.epoch;
        if !self.is_whole_epoch {
            return;
        }
        if sequence <= self.highest {
            let is_resend = was_asked && now.saturating_duration_since(self.last_at) > OVERTAKEN_MAX;
            let counts = sequence > self.lowest && !is_resend;
            self.datagrams = self.datagrams.saturating_add(u32::from(counts));
            return;
        }
        self.datagrams += 1;
        self.highest = sequence;
        self.last_at = now;
        if now == self.first_at {
            self.first = self.reach();
        }
    }

    fn reach(&self) -> u32 {
        (self.highest - self.lowest).saturating_add(1)
    }

    fn report(&self, zero: Instant) -> AuArrivals {
        let span: Duration = self.last_at.saturating_duration_since(self.first_at);
        let newest = self.last_at.saturating_duration_since(zero);
        AuArrivals {
            au: self.au,
            first: self.first,
            reach: self.reach(),
            datagrams: self.datagrams,
            span_us: u32::try_from(span.as_micros()).unwrap_or(u32::MAX),
            newest_us: newest.as_micros() as u32,
        }
    }
}

/// Watches AUs come.
#[derive(Debug, Default)]
pub(crate) struct ArrivalMeter {
    /// When the first datagram of all came: zero of the times that are told.
    zero: Option<Instant>,
    newest: Option<Seen>,
    before: Option<Seen>,
}

impl ArrivalMeter {
    /// An authentic datagram came with the batch of `now`: datagrams of one batch are handed in with one time.
    ///
    /// `was_asked`: shards of its block were asked for, so that it may be a resend.
    pub(crate) fn handle(&mut self, au: u32, epoch: u32, sequence: u32, was_asked: bool, now: Instant) {
        self.zero.get_or_insert(now);
        match &mut self.newest {
            Some(seen) if seen.au == au => seen.handle(epoch, sequence, was_asked, now),
            Some(seen) if seen.au > au => {}
            Some(_) | None => {
                self.before = self.newest.take();
                self.newest = Some(Seen::new(au, epoch, sequence, now));
            }
        }
    }

    /// How they came until now, the newest first.
    pub(crate) fn report(&self) -> impl Iterator<Item = AuArrivals> + '_ {
        [&self.newest, &self.before]
            .into_iter()
            .flatten()
            .filter(|seen| seen.is_whole_epoch)
            .filter_map(|seen| Some(seen.report(self.zero?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(meter: &ArrivalMeter) -> Vec<AuArrivals> {
        meter.report().collect()
    }

    #[test]
    fn the_first_batch_is_apart_and_gaps_are_seen() {
        let (mut meter, start) = (ArrivalMeter::default(), Instant::now());
        let at = |us| start + Duration::from_micros(us);
        (100..110).for_each(|sequence| meter.handle(7, 0, sequence, false, at(0)));
        (110..120).for_each(|sequence| meter.handle(7, 0, sequence, false, at(40)));
        (125..130).for_each(|sequence| meter.handle(7, 0, sequence, false, at(100)));
        // One was overtaken.
        meter.handle(7, 0, 120, true, at(150));
        // One was sent again.
        meter.handle(7, 0, 121, true, at(5_000));
        let expected =
            AuArrivals { au: 7, first: 10, reach: 30, datagrams: 26, span_us: 100, newest_us: 100 };
        assert_eq!(reports(&meter), [expected]);
        meter.handle(8, 0, 130, false, at(8_000));
        let newest = AuArrivals { au: 8, first: 1, reach: 1, datagrams: 1, span_us: 0, newest_us: 8_000 };
        assert_eq!(reports(&meter), [newest, expected]);
        meter.handle(7, 0, 131, false, at(9_000));
        assert_eq!(reports(&meter), [newest, expected]);
    }

    #[test]
    fn an_au_with_two_keys_is_not_measured() {
        let (mut meter, now) = (ArrivalMeter::default(), Instant::now());
        meter.handle(1, 0, u32::MAX, false, now);
        meter.handle(1, 1, 0, false, now);
        meter.handle(1, 1, 1, false, now);
        assert!(reports(&meter).is_empty());
        meter.handle(2, 1, 2, false, now);
        assert_eq!(reports(&meter).len(), 1);
    }

    #[test]
    fn the_widest_reach_does_not_overflow() {
        let (mut meter, now) = (ArrivalMeter::default(), Instant::now());
        meter.handle(1, 0, 0, false, now);
        meter.handle(1, 0, u32::MAX, false, now);
        assert_eq!(reports(&meter)[0].reach, u32::MAX);
    }
}
