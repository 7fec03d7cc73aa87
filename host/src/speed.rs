//! A session's speed tests: whether there may be one, how it goes, and what was found.
//!
//! Promises: one test at a time, and a rest between two; each that has begun ends with a result or the reason for none, in
//! bounded time, whatever the client says or leaves out. Refuses a test that cannot be, one while another runs, and one
//! too soon after another.

use std::time::{Duration, Instant};

use punktfunk_control::{
    SpeedTestBegun, SpeedTestFailed, SpeedTestNews, SpeedTestResult, SpeedTestSeen, SpeedTestSent,
};
use punktfunk_engine::FillerFault;
use punktfunk_proto::{FillerSeen, FillerSent, SpeedTestOrder, judge};

/// From the end of one test to the next: a client that asks without end leaves the picture most of the time.
pub const REST: Duration = Duration::from_secs(3);

/// How long a client may take to say what came: its own second, and an end that is busy with what came.
const SEEN_MAX: Duration = Duration::from_secs(5);

/// What a session's stream does for a test.
pub trait Bench {
    /// Begins to send; whether it could.
    fn begin(&mut self, test: u16, order: SpeedTestOrder) -> bool;
    /// What was sent, once all of it has left.
    fn poll(&mut self) -> Option<Result<FillerSent, FillerFault>>;
    /// Which epoch of the probe plane the client has opened.
    fn handle_epoch(&mut self, epoch: u32);
}

/// The tests of one session.
#[derive(Debug, Default)]
pub struct SpeedTests {
    /// The number of the newest; the first is 1.
    newest: u16,
    state: State,
    /// When the last one ended.
    ended_at: Option<Instant>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// Filler leaves.
    Sending { order: SpeedTestOrder },
    /// The client counts.
    Counting { order: SpeedTestOrder, sent: FillerSent, since: Instant },
}

impl SpeedTests {
    /// Begins a test at somebody's wish.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn begin(
        &mut self,
        (target_kbps, duration_ms): (u32, u32),
        bench: &mut impl Bench,
        now: Instant,
    ) -> Result<SpeedTestBegun, String> {
        let order = SpeedTestOrder::new(target_kbps, duration_ms).map_err(|error| error.to_string())?;
        if !matches!(self.state, State::Idle) {
            return Err("a speed test is under way in this session".to_owned());
        }
        let rested = self.ended_at.map_or(REST, |ended| now.saturating_duration_since(ended));
        if let Some(left) = REST.checked_sub(rested).filter(|left| !left.is_zero()) {
            return Err(format!("the last speed test has just ended; ask again in {} ms", left.as_millis()));
        }
        let test = self.newest.wrapping_add(1);
        if !bench.begin(test, order) {
            return Err("the session's pipeline takes no speed test now".to_owned());
        }
        self.newest = test;
        self.state = State::Sending { order };
        Ok(SpeedTestBegun { test, target_kbps, duration_ms })
    }

    /// What there is to tell now.
    pub fn poll(&mut self, bench: &mut impl Bench, now: Instant) -> Option<SpeedTestNews> {
        match std::mem::take(&mut self.state) {
            State::Idle => None,
            State::Sending { order } => match bench.poll() {
                None => {
                    self.state = State::Sending { order };
                    None
                }
                Some(Ok(sent)) => {
                    self.state = State::Counting { order, sent, since: now };
                    Some(SpeedTestNews::Sent(SpeedTestSent { test: sent.test }))
                }
                Some(Err(fault)) => Some(self.fail(fault.to_string(), now)),
            },
            State::Counting { since, .. } if now.saturating_duration_since(since) >= SEEN_MAX => {
                Some(self.fail(format!("the client has not said within {SEEN_MAX:?} what came"), now))
            }
            counting @ State::Counting { .. } => {
                self.state = counting;
                None
            }
        }
    }

    /// Takes the client's word on what came. One that nobody waits for is let go.
    pub fn handle_seen(
        &mut self,
        seen: &SpeedTestSeen,
        bench: &mut impl Bench,
        now: Instant,
    ) -> Option<SpeedTestNews> {
        let (order, sent) = match &self.state {
            State::Counting { order, sent, .. } if sent.test == seen.test => (*order, *sent),
            State::Idle | State::Sending { .. } | State::Counting { .. } => return None,
        };
        bench.handle_epoch(seen.epoch_opened);
        let Some(found) = judge(order, &sent, &FillerSeen::from(seen)) else {
            return Some(self.fail("nothing of it came through".to_owned(), now));
        };
        self.state = State::Idle;
        self.ended_at = Some(now);
        Some(SpeedTestNews::Result(SpeedTestResult::new(sent.test, &found)))
    }

    fn fail(&mut self, why: String, now: Instant) -> SpeedTestNews {
        self.state = State::Idle;
        self.ended_at = Some(now);
        SpeedTestNews::Failed(SpeedTestFailed { why })
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_control::Weakest;

    use super::*;

    #[derive(Default)]
    struct Stub {
        begun: Vec<u16>,
        refuses: bool,
        left: Option<Result<FillerSent, FillerFault>>,
        epochs: Vec<u32>,
    }

    impl Bench for Stub {
        fn begin(&mut self, test: u16, _order: SpeedTestOrder) -> bool {
            self.begun.push(test);
            !self.refuses
        }

        fn poll(&mut self) -> Option<Result<FillerSent, FillerFault>> {
            self.left.take()
        }

        fn handle_epoch(&mut self, epoch: u32) {
            self.epochs.push(epoch);
        }
    }

    fn sent(test: u16) -> FillerSent {
        FillerSent {
            test,
            period_us: 1_000_000,
            datagrams: 10_000,
            wire_bytes: 12_500_000,
            data_bytes: 11_000_000,
            by_position: [1_000; 10],
            ..FillerSent::default()
        }
    }

    fn seen(test: u16, datagrams: u64) -> SpeedTestSeen {
        let (wire_bytes, span_us) = (datagrams * 1_250, 1_000_000);
        SpeedTestSeen { test, datagrams, wire_bytes, span_us, epoch_opened: 1, ..SpeedTestSeen::default() }
    }

    const WISH: (u32, u32) = (100_000, 1_000);

    #[test]
    fn a_test_goes_its_course_and_the_next_one_waits() {
        let (mut tests, mut bench, now) = (SpeedTests::default(), Stub::default(), Instant::now());
        let begun = tests.begin(WISH, &mut bench, now).unwrap();
        assert_eq!(begun, SpeedTestBegun { test: 1, target_kbps: 100_000, duration_ms: 1_000 });
        assert!(tests.begin(WISH, &mut bench, now).unwrap_err().contains("under way"));
        assert_eq!(tests.poll(&mut bench, now), None);
        assert_eq!(tests.handle_seen(&seen(1, 10_000), &mut bench, now), None, "nobody has asked yet");
        bench.left = Some(Ok(sent(1)));
        assert_eq!(tests.poll(&mut bench, now), Some(SpeedTestNews::Sent(SpeedTestSent { test: 1 })));
        assert_eq!(tests.handle_seen(&seen(2, 10_000), &mut bench, now), None, "another test's");
        let Some(SpeedTestNews::Result(found)) = tests.handle_seen(&seen(1, 6_000), &mut bench, now) else {
            panic!("a result");
        };
        assert_eq!(
            (found.weakest, found.received_kbps, found.recommended_kbps),
            (Weakest::Network, 60_000, 45_000)
        );
        assert_eq!(tests.handle_seen(&seen(1, 6_000), &mut bench, now), None, "once");
        assert_eq!(bench.epochs, [1]);
        let soon = now + REST - Duration::from_millis(10);
        assert!(tests.begin(WISH, &mut bench, soon).unwrap_err().contains("again in 10 ms"));
        assert_eq!(tests.begin(WISH, &mut bench, now + REST).unwrap().test, 2);
        assert_eq!(bench.begun, [1, 2]);
    }

    #[test]
    fn what_cannot_be_is_refused_and_costs_nothing() {
        let (mut tests, mut bench, now) = (SpeedTests::default(), Stub::default(), Instant::now());
        for wish in [(0, 1_000), (499, 1_000), (u32::MAX, 1_000), (100_000, 199), (100_000, u32::MAX)] {
            assert!(
                tests.begin(wish, &mut bench, now).unwrap_err().starts_with("a speed test t"),
                "{wish:?}"
            );
        }
        assert_eq!(bench.begun, [0_u16; 0]);
        bench.refuses = true;
        assert!(tests.begin(WISH, &mut bench, now).unwrap_err().contains("pipeline"));
        bench.refuses = false;
        assert!(tests.begin(WISH, &mut bench, now).is_ok());
    }

    #[test]
    fn every_test_ends() {
        let failed = |news: Option<SpeedTestNews>| match news {
            Some(SpeedTestNews::Failed(failed)) => failed.why,
            other => panic!("{other:?}"),
        };
        let (mut tests, mut bench, mut now) = (SpeedTests::default(), Stub::default(), Instant::now());
        // The path changes.
        tests.begin(WISH, &mut bench, now).unwrap();
        bench.left = Some(Err(FillerFault::PathChanged));
        assert!(failed(tests.poll(&mut bench, now)).contains("another address"));
        // The client says nothing.
        now += REST;
        tests.begin(WISH, &mut bench, now).unwrap();
        bench.left = Some(Ok(sent(2)));
        tests.poll(&mut bench, now);
        assert_eq!(tests.poll(&mut bench, now + SEEN_MAX - Duration::from_millis(1)), None);
        now += SEEN_MAX;
        assert!(failed(tests.poll(&mut bench, now)).contains("not said"));
        // Nothing came.
        now += REST;
        tests.begin(WISH, &mut bench, now).unwrap();
        bench.left = Some(Ok(sent(3)));
        tests.poll(&mut bench, now);
        assert!(failed(tests.handle_seen(&seen(3, 0), &mut bench, now)).contains("nothing"));
        assert!(tests.begin(WISH, &mut bench, now).is_err(), "a rest after each");
    }
}
