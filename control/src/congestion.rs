//! How much control may have in flight: additive increase, halving, never below a floor.
//!
//! Control shares its path with media, which fills it on purpose and paces itself. A controller that
//! believed every loss would starve input and sound. Promises: at least `IN_FLIGHT_BYTES_FLOOR` at any
//! time, at most `IN_FLIGHT_BYTES_MAX`; halves at most once a round trip. Refuses: to be fair to bulk
//! transfers; there is none on this connection. Growth and recovery follow RFC 9002 section 7.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory};

use crate::limits::{IN_FLIGHT_BYTES_FLOOR, IN_FLIGHT_BYTES_MAX};

/// Makes a `FloorController` for each path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FloorConfig;

impl ControllerFactory for FloorConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(FloorController::new(now, current_mtu))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct FloorController {
    window: u64,
    /// Above it the window grows by one datagram a round trip, below it by what is acknowledged.
    slow_start_end: u64,
    /// Losses of what was sent before this belong to a halving that is done.
    recovery_start: Instant,
    acked_since_growth: u64,
    mtu: u64,
}

impl FloorController {
    fn new(now: Instant, mtu: u16) -> Self {
        Self {
            window: IN_FLIGHT_BYTES_FLOOR,
            slow_start_end: u64::MAX,
            recovery_start: now,
            acked_since_growth: 0,
            mtu: u64::from(mtu),
        }
    }

    fn resize(&mut self, window: u64) {
        self.window = window.clamp(IN_FLIGHT_BYTES_FLOOR, IN_FLIGHT_BYTES_MAX);
    }
}

impl Controller for FloorController {
    fn on_ack(&mut self, _now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        if app_limited || sent <= self.recovery_start {
            return;
        }
        if self.window < self.slow_start_end {
            self.resize(self.window + bytes);
            return;
        }
        self.acked_since_growth += bytes;
        if self.acked_since_growth >= self.window {
            self.acked_since_growth -= self.window;
            self.resize(self.window + self.mtu);
        }
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, _lost_bytes: u64) {
        if sent <= self.recovery_start {
            return;
        }
        self.recovery_start = now;
        self.acked_since_growth = 0;
        self.resize(if persistent { 0 } else { self.window / 2 });
        self.slow_start_end = self.window;
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        IN_FLIGHT_BYTES_FLOOR
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn never_below_the_floor_whatever_is_lost() {
        let start = Instant::now();
        let mut controller = FloorController::new(start, 1200);
        for ms in 1..1000 {
            let sent = start + Duration::from_millis(ms);
            controller.on_congestion_event(sent + Duration::from_millis(1), sent, ms % 3 == 0, 1200);
            assert!(controller.window() >= IN_FLIGHT_BYTES_FLOOR);
        }
        assert_eq!(controller.window(), IN_FLIGHT_BYTES_FLOOR);
    }

    #[test]
    fn halves_once_a_round_trip_and_stops_at_the_ceiling() {
        let start = Instant::now();
        let sent = start + Duration::from_millis(1);
        let mut controller = FloorController::new(start, 1200);
        controller.resize(u64::MAX);
        assert_eq!(controller.window(), IN_FLIGHT_BYTES_MAX);
        let lost_at = sent + Duration::from_millis(5);
        controller.on_congestion_event(lost_at, sent, false, 1200);
        controller.on_congestion_event(lost_at, sent + Duration::from_millis(2), false, 1200);
        assert_eq!(controller.window(), IN_FLIGHT_BYTES_MAX / 2);
    }
}
