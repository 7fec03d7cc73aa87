//! When datagrams leave: what a sender knows of its route's departure times, and their clock.
//!
//! Promises: the kernel is asked once for each new destination, and again every few seconds; a change is said
//! once. Refuses: to guess before a destination is known.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::limits::{DEPARTURE_AHEAD_MAX, ROUTE_BELIEVED};
use crate::route::Departures;
use crate::{Socket, sys};

/// A destination, and the address that datagrams leave from.
type Heading = (SocketAddr, Option<IpAddr>);

/// What is known about departure times.
#[derive(Debug)]
pub(crate) struct Timing {
    /// Of the last send.
    pub(crate) heading: Option<Heading>,
    known: Option<Known>,
    said: Option<Departures>,
    /// One moment on both clocks, which run alike.
    epoch: Instant,
    epoch_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    heading: Heading,
    asked_at: Instant,
    departures: Departures,
}

impl Timing {
    pub(crate) fn new() -> Self {
        Self { heading: None, known: None, said: None, epoch_ns: sys::monotonic_ns(), epoch: Instant::now() }
    }

    /// Whether the route of the last send keeps departure times.
    pub(crate) fn honours(&mut self, socket: &Socket) -> bool {
        let (Some(heading), true) = (self.heading, socket.caps().txtime) else { return false };
        let now = Instant::now();
        if let Some(known) = self.known
            && known.heading == heading
            && now.saturating_duration_since(known.asked_at) < ROUTE_BELIEVED
        {
            return known.departures == Departures::Kept;
        }
        let departures = socket.departures(heading.0, heading.1);
        self.known = Some(Known { heading, asked_at: now, departures });
        if self.said != Some(departures) {
            self.said = Some(departures);
            tracing::info!(dest = %heading.0, %departures, "departure times");
        }
        departures == Departures::Kept
    }

    /// A departure as the kernel counts it, within the bound.
    pub(crate) fn on_kernels_clock(&self, departure: Instant) -> u64 {
        let bound = Instant::now() + DEPARTURE_AHEAD_MAX;
        let since = departure.min(bound).saturating_duration_since(self.epoch);
        self.epoch_ns + u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2)
    }

    #[cfg(test)]
    pub(crate) fn believe(&mut self, heading: Heading, departures: Departures) {
        self.heading = Some(heading);
        self.known = Some(Known { heading, asked_at: Instant::now(), departures });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReceiveLimits, Receiver, Sender, SocketConfig};
    use std::sync::Arc;
    use std::time::Duration;

    fn open() -> Arc<Socket> {
        Arc::new(Socket::open(&SocketConfig::new("127.0.0.1:0".parse().unwrap())).unwrap())
    }

    #[test]
    fn both_clocks_tell_the_same_time_and_the_far_future_is_bounded() {
        let timing = Timing::new();
        let now_ns = sys::monotonic_ns();
        let apart = |ahead_ms: u64| {
            let departure = Instant::now() + Duration::from_millis(ahead_ms);
            timing.on_kernels_clock(departure).abs_diff(now_ns + ahead_ms * 1_000_000)
        };
        assert!(apart(5) < 500_000_000, "{}", apart(5));
        let far = timing.on_kernels_clock(Instant::now() + Duration::from_secs(100));
        assert!(far <= sys::monotonic_ns() + 1_000_000_000);
    }

    #[test]
    fn loopback_keeps_no_departures_and_says_so_by_the_counter() {
        let to = open();
        let dest = to.local_addr();
        let mut sender = Sender::new(open());
        assert!(to.caps().txtime && !sender.honours_departure(), "nothing is known before the first send");
        let later = Instant::now() + Duration::from_millis(200);
        let report = sender.send_at(dest, &[1; 3000], 1000, Duration::ZERO, later);
        assert_eq!((report.sent, sender.honours_departure()), (3, false));
        // What is due is as good as any send.
        sender.send_at(dest, &[1; 3000], 1000, Duration::ZERO, Instant::now());
        let counters = sender.counters();
        assert_eq!((counters.datagrams, counters.departures, counters.departures_unkept), (6, 0, 3));
    }

    /// Loopback has no queue to keep anything in; what is shown is that the kernel takes the times and that the
    /// datagrams come.
    #[test]
    fn a_route_that_keeps_times_is_given_them() {
        let to = open();
        let dest = to.local_addr();
        let mut receiver = Receiver::new(to, ReceiveLimits::default()).unwrap();
        let mut sender = Sender::new(open());
        let mut came = 0;
        for _ in 0..2 {
            sender.timing_for_tests().believe((dest, None), Departures::Kept);
            let later = Instant::now() + Duration::from_millis(50);
            let report = sender.send_at(dest, &[1; 100_000], 1000, Duration::ZERO, later);
            assert_eq!((report.sent, report.dropped), (100, 0));
            while came < sender.counters().datagrams {
                let batch = receiver.receive(Some(Duration::from_secs(2))).unwrap();
                if batch.is_empty() {
                    break;
                }
                came += batch.count() as u64;
            }
        }
        assert!(came > 100, "what was given a time comes: {came} of 200");
        assert_eq!((sender.counters().departures, sender.counters().departures_unkept), (200, 0));
    }

    #[test]
    fn another_destination_is_asked_about() {
        let to = open();
        let (dest, other) = (to.local_addr(), open().local_addr());
        let mut sender = Sender::new(open());
        sender.timing_for_tests().believe((dest, None), Departures::Kept);
        assert!(sender.honours_departure());
        sender.send(other, &[0; 10], 10, Duration::ZERO);
        assert!(!sender.honours_departure());
    }
}
