//! A path that carries no long datagrams any more: seen by what the client reports of the AUs that were sent in them.
//!
//! QUIC's own search for such a black hole goes by its own long datagrams, of which a host sends hardly any. Media is
//! nothing else, so its loss tells at once: reports go on coming, which are short, and no AU of long datagrams does.
//!
//! Promises bounded memory and work. It refuses to judge by silence: without reports nothing is known, for then the
//! short ones are lost, too.

use std::time::{Duration, Instant};

use crate::feedback::FeedbackReport;
use crate::limits::SHARD_BYTES_START;

/// How long no AU of long datagrams must have been seen while such were sent: longer than a busy receiver stands
/// still, and short enough to be over within a second with the IDR that follows.
pub const BLACK_HOLE_AFTER: Duration = Duration::from_millis(150);
/// How long an AU may take from its last datagram to the report that names it.
const REPORT_AFTER: Duration = Duration::from_millis(60);
/// AUs unseen before it is a black hole.
const UNSEEN_MIN: u32 = 2;
/// AUs that are remembered: more than are sent in a black hole's time at 480 Hz.
const AUS: usize = 128;

/// One AU of long datagrams.
#[derive(Debug, Clone, Copy)]
struct Sent {
    au: u32,
    at: Instant,
}

/// Watches whether long datagrams arrive.
#[derive(Debug)]
pub struct PathWatch {
    /// Sent since one was seen, the oldest first.
    unseen: Vec<Sent>,
}

impl Default for PathWatch {
    fn default() -> Self {
        Self { unseen: Vec::with_capacity(AUS) }
    }
}

impl PathWatch {
    /// An AU has left, or a part of it, in shards of `shard_bytes`.
    pub fn handle_sent(&mut self, au: u32, shard_bytes: u16, at: Instant) {
        if shard_bytes > SHARD_BYTES_START && self.unseen.len() < AUS {
            self.unseen.push(Sent { au, at });
        }
    }

    /// What the client has seen; true when long datagrams do not arrive any more. It is told once: watching begins
    /// anew.
    pub fn handle_report(&mut self, report: &FeedbackReport, now: Instant) -> bool {
        for arrivals in report.arrivals() {
            if let Some(seen) = self.unseen.iter().position(|sent| sent.au == arrivals.au) {
                self.unseen.drain(..=seen);
            }
        }
        let old = |age| move |sent: &&Sent| now.saturating_duration_since(sent.at) >= age;
        let overdue = self.unseen.iter().take_while(old(REPORT_AFTER)).count();
        let is_long = self.unseen.first().filter(old(BLACK_HOLE_AFTER)).is_some();
        let is_black_hole = is_long && overdue >= UNSEEN_MIN as usize;
        if is_black_hole {
            self.unseen.clear();
        }
        is_black_hole
    }

    /// The path is another: what was sent on the one before says nothing of it.
    pub fn restart(&mut self) {
        self.unseen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::AuArrivals;

    const LONG: u16 = 1_408;

    fn report(aus: &[u32]) -> FeedbackReport {
        let mut report = FeedbackReport::default();
        for au in aus {
            assert!(report.push_arrivals(AuArrivals { au: *au, ..AuArrivals::default() }));
        }
        report
    }

    /// AUs of these lengths, one each 10 ms; the client sees those that `passes`, and reports each 5 ms. When the
    /// black hole was told, if it was.
    fn run(lengths: impl Fn(u32) -> u16, passes: impl Fn(u32) -> bool) -> Option<u64> {
        let (mut watch, start) = (PathWatch::default(), Instant::now());
        let mut seen: Vec<u32> = Vec::new();
        for ms in (0..1_000_u64).step_by(5) {
            let now = start + Duration::from_millis(ms);
            if ms.is_multiple_of(10) {
                let au = (ms / 10) as u32;
                watch.handle_sent(au, lengths(au), now);
                seen.extend(passes(au).then_some(au));
            }
            let newest: Vec<u32> = seen.iter().rev().take(2).copied().collect();
            if watch.handle_report(&report(&newest), now) {
                return Some(ms);
            }
        }
        None
    }

    #[test]
    fn what_arrives_is_no_black_hole() {
        assert_eq!(run(|_| LONG, |_| true), None);
        assert_eq!(run(|_| LONG, |au| au.is_multiple_of(5)), None, "losses are none");
        assert_eq!(run(|_| SHARD_BYTES_START, |_| false), None, "nor is a path that carries nothing");
    }

    #[test]
    fn long_ones_that_do_not_arrive_are_told_in_time() {
        assert_eq!(run(|_| LONG, |au| au < 40), Some(550));
        // Short ones between them do.
        let mixed = |au: u32| if au.is_multiple_of(3) { 256 } else { LONG };
        let told = run(mixed, |au| au < 40 || mixed(au) == 256).expect("it is told");
        assert!((550..600).contains(&told), "{told}");
    }

    #[test]
    fn silence_is_no_black_hole_and_what_follows_it_is_judged_anew() {
        let (mut watch, start) = (PathWatch::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        (0..1_000).for_each(|au| watch.handle_sent(au, LONG, at(u64::from(au))));
        assert!(watch.unseen.len() <= AUS);
        assert!(!watch.handle_report(&report(&[999, 127]), at(2_000)), "they did arrive");
        watch.handle_sent(1_000, LONG, at(2_000));
        watch.handle_sent(1_001, LONG, at(2_010));
        assert!(!watch.handle_report(&report(&[999]), at(2_100)));
        assert!(watch.handle_report(&report(&[999]), at(2_160)));
        assert!(!watch.handle_report(&report(&[999]), at(2_170)), "told once");
    }
}
