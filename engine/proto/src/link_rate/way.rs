//! How much longer than its shortest the way takes: the queue that a datagram has met.
//!
//! A datagram's time at the host is compared with its time at the client on two clocks that nobody has joined: only what
//! the difference has grown by, since it was least, is looked at. So no clock round is needed, and none can move it. The
//! least is that of the newest two windows (as LEDBAT's base delay, RFC 6817, section 3.4.2): two clocks that drift by 50
//! parts in a million do so by a millisecond in their time, and a path that became longer is known as that after it.
//!
//! Promises constant work; whatever a client tells, a queue is zero or more. Refuses nothing.

use std::time::{Duration, Instant};

/// How long a least time is collected.
const WINDOW: Duration = Duration::from_secs(10);

/// The shortest way, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Zero of the host's times, and the first difference of all.
    origin: Option<(Instant, u32)>,
    /// Since when the newest window runs.
    since: Option<Instant>,
    least_us: Option<i32>,
    least_before_us: Option<i32>,
}

impl Way {
    /// A datagram left at `sent_at` and came at `came_us` of the client's clock, as is known at `now`; the queue that it
    /// met.
    pub(super) fn handle(&mut self, sent_at: Instant, came_us: u32, now: Instant) -> Duration {
        let micros = |zero: Instant| sent_at.saturating_duration_since(zero).as_micros() as u32;
        let (zero, first) = *self.origin.get_or_insert((sent_at, came_us));
        // Modulo 2³², as the client's clock: half an hour either way.
        let way_us = came_us.wrapping_sub(micros(zero)).wrapping_sub(first) as i32;
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= WINDOW {
            self.since = Some(now);
            self.least_before_us = self.least_us.take();
        }
        let least_us = self.least_us.map_or(way_us, |least| least.min(way_us));
        self.least_us = Some(least_us);
        let base_us = self.least_before_us.map_or(least_us, |before| before.min(least_us));
        Duration::from_micros(u64::from(way_us.abs_diff(base_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_queue_is_what_came_later_than_the_earliest() {
        let (mut way, zero) = (Way::default(), Instant::now());
        // A clock that wraps in the midst of it, and a way of any length.
        let came = |ms: u32| (u32::MAX - 4_000).wrapping_add(ms * 1_000);
        assert_eq!(way.handle(zero, came(2), zero), Duration::ZERO);
        assert_eq!(way.handle(zero + 16 * MS, came(30), zero), 12 * MS);
        assert_eq!(way.handle(zero + 32 * MS, came(33), zero), Duration::ZERO);
        assert_eq!(way.handle(zero + 48 * MS, came(50), zero), MS, "the earliest is another");
    }

    #[test]
    fn a_longer_way_is_no_queue_for_ever() {
        let (mut way, zero) = (Way::default(), Instant::now());
        way.handle(zero, 0, zero);
        let queue = |way: &mut Way, s: u32| {
            let sent_at = zero + Duration::from_secs(s.into());
            way.handle(sent_at, s * 1_000_000 + 30_000, sent_at)
        };
        assert_eq!(queue(&mut way, 1), 30 * MS);
        assert_eq!(queue(&mut way, 11), 30 * MS);
        assert_eq!(queue(&mut way, 22), Duration::ZERO);
    }
}
