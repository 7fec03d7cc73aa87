//! The loop's part of a speed test: whoever asks, and what of it is shown.
//!
//! Promises: what a client asks for and what the host's operator does go one way; the newest test stays to be seen, its
//! session's end included, and one of the operator's [`OUTCOME_MIN`] beyond its outcome, whatever clients test meanwhile.
//! Refuses the operator a second test beside the one that runs: one is shown.

use std::time::{Duration, Instant};

use punktfunk_control::{
    SessionId, SpeedTestFailed, SpeedTestNews, SpeedTestResult, SpeedTestSeen, StartSpeedTest, Weakest,
};
use punktfunk_manage::model;
use punktfunk_manage::{Refused, Why};

use super::session::Session;
use super::{Common, Serve, log_late};

/// How long the outcome of an operator's test is left alone: a console looks each second, and a person takes longer.
const OUTCOME_MIN: Duration = Duration::from_mins(1);

type Outcome = Result<model::SpeedTestResult, String>;

/// Who wants a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// It hears by itself what was found.
    Client,
    /// Looks at what is shown.
    Operator,
}

/// The test that is shown.
#[derive(Default)]
pub(super) struct Board(Option<ShownTest>);

struct ShownTest {
    request: model::SpeedTestRequest,
    asker: Asker,
    began: Instant,
    outcome: Option<(Outcome, Instant)>,
}

impl Board {
    /// As it stands now.
    pub(super) fn at(&self, now: Instant) -> Option<model::SpeedTest> {
        self.0.as_ref().map(|test| test.at(now))
    }

    /// The session of an operator's test that runs.
    fn operators(&self) -> Option<u64> {
        let running = self.0.as_ref().filter(|test| test.asker == Asker::Operator && test.outcome.is_none());
        running.map(|test| test.request.session)
    }

    /// One has begun.
    fn begin(&mut self, request: model::SpeedTestRequest, asker: Asker, now: Instant) {
        let stays = |test: &ShownTest| {
            let is_fresh = |at: Instant| now.saturating_duration_since(at) < OUTCOME_MIN;
            let is_seen = test.outcome.as_ref().is_some_and(|(_, at)| !is_fresh(*at));
            test.asker == Asker::Operator && asker == Asker::Client && !is_seen
        };
        if !self.0.as_ref().is_some_and(stays) {
            self.0 = Some(ShownTest { request, asker, began: now, outcome: None });
        }
    }

    /// One of this session has ended, or the session has.
    fn end(&mut self, session: u64, outcome: Outcome, now: Instant) {
        if let Some(shown) = self.0.as_mut().filter(|shown| shown.request.session == session) {
            shown.outcome.get_or_insert((outcome, now));
        }
    }
}

impl ShownTest {
    fn at(&self, now: Instant) -> model::SpeedTest {
        let whole = Duration::from_millis(self.request.duration_ms.into());
        let part = now.saturating_duration_since(self.began).as_secs_f64() / whole.as_secs_f64();
        let (result, failure) = match self.outcome.clone() {
            None => (None, None),
            Some((Ok(result), _)) => (Some(result), None),
            Some((Err(why), _)) => (None, Some(why)),
        };
        let progress = if self.outcome.is_some() { 1.0 } else { part.min(1.0) };
        model::SpeedTest { request: self.request, progress, result, failure }
    }
}

impl Serve {
    /// A client asks for a test of its own session.
    pub(super) fn handle_speed_test_asked(&mut self, id: SessionId, wish: StartSpeedTest, now: Instant) {
        let Some((session, _)) = self.places.parts(id) else { return };
        let wish = (wish.target_kbps, wish.duration_ms);
        if let Err(why) = session.begin_speed_test(wish, Asker::Client, &mut self.common, now) {
            let news = SpeedTestNews::Failed(SpeedTestFailed { why });
            log_late(self.common.control.send_speed_test(id, news, now));
        }
    }

    /// A client says what came.
    pub(super) fn handle_speed_test_seen(&mut self, id: SessionId, seen: &SpeedTestSeen, now: Instant) {
        if let Some((session, _)) = self.places.parts(id) {
            session.handle_speed_test_seen(seen, &mut self.common, now);
        }
    }

    /// The host's operator asks.
    pub(super) fn start_speed_test(
        &mut self,
        request: model::SpeedTestRequest,
        now: Instant,
    ) -> Result<model::SpeedTest, Refused> {
        let id = SessionId::of_number(request.session);
        let Some((session, _)) = self.places.parts(id) else {
            return Err(super::managed::no_such_session(request.session));
        };
        if let Some(other) = self.common.speed_test.operators().filter(|other| *other != request.session) {
            let why = format!("a speed test of session {other} is under way from here");
            return Err(Refused::new(Why::Conflict, why, "wait until it has ended"));
        }
        let wish = (request.target_kbps, request.duration_ms);
        session
            .begin_speed_test(wish, Asker::Operator, &mut self.common, now)
            .map_err(|why| Refused::new(Why::Conflict, why, "wait a moment, or choose another session"))?;
        Ok(ShownTest { request, asker: Asker::Operator, began: now, outcome: None }.at(now))
    }
}

impl Session {
    /// Begins a test and tells the client.
    fn begin_speed_test(
        &mut self,
        (target_kbps, duration_ms): (u32, u32),
        asker: Asker,
        common: &mut Common,
        now: Instant,
    ) -> Result<(), String> {
        let (stream, tests) = self.bench().ok_or("the session does not stream yet, or no more")?;
        let begun = tests.begin((target_kbps, duration_ms), stream, now)?;
        let request = model::SpeedTestRequest { session: self.id.number(), target_kbps, duration_ms };
        common.say.speed_test_begun(self.id, &begun);
        common.speed_test.begin(request, asker, now);
        log_late(common.control.send_speed_test(self.id, SpeedTestNews::Begun(begun), now));
        Ok(())
    }

    /// What becomes of a test.
    pub(super) fn poll_speed_test(&mut self, common: &mut Common, now: Instant) {
        let news = self.bench().and_then(|(stream, tests)| tests.poll(stream, now));
        self.tell_speed_test(news, common, now);
    }

    fn handle_speed_test_seen(&mut self, seen: &SpeedTestSeen, common: &mut Common, now: Instant) {
        let news = self.bench().and_then(|(stream, tests)| tests.handle_seen(seen, stream, now));
        self.tell_speed_test(news, common, now);
    }

    fn tell_speed_test(&mut self, news: Option<SpeedTestNews>, common: &mut Common, now: Instant) {
        let Some(news) = news else { return };
        let outcome = match &news {
            SpeedTestNews::Begun(_) | SpeedTestNews::Sent(_) => None,
            SpeedTestNews::Result(result) => Some(Ok(shown_result(result))),
            SpeedTestNews::Failed(failed) => Some(Err(failed.why.clone())),
        };
        if let Some(outcome) = outcome {
            common.say.speed_test_ended(self.id, &outcome);
            common.speed_test.end(self.id.number(), outcome, now);
        }
        log_late(common.control.send_speed_test(self.id, news, now));
    }

    /// The session has come to its end: so has its test.
    pub(super) fn end_speed_test(&self, common: &mut Common, now: Instant) {
        let why = "the session has ended during the test".to_owned();
        common.speed_test.end(self.id.number(), Err(why), now);
    }
}

fn shown_result(result: &SpeedTestResult) -> model::SpeedTestResult {
    let per_mille = |ppm: u32| f64::from(ppm) / 1_000.0;
    model::SpeedTestResult {
        target_kbps: result.target_kbps,
        sent_kbps: result.sent_kbps,
        received_kbps: result.received_kbps,
        goodput_kbps: result.goodput_kbps,
        loss_per_mille: per_mille(result.loss_ppm),
        loss_by_position_per_mille: result.loss_by_position_ppm.iter().copied().map(per_mille).collect(),
        delay_p50_us: result.delay_p50_us.into(),
        delay_p99_us: result.delay_p99_us.into(),
        recommended_kbps: result.recommended_kbps,
        weakest: match result.weakest {
            Weakest::None => model::WeakestLink::None,
            Weakest::Host => model::WeakestLink::Host,
            // There is no other word here than those four.
            Weakest::Network | Weakest::Other(_) => model::WeakestLink::Network,
            Weakest::ClientBuffer => model::WeakestLink::ClientBuffer,
        },
        verdict: result.verdict.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(session: u64) -> model::SpeedTestRequest {
        model::SpeedTestRequest { session, target_kbps: 10_000, duration_ms: 1_000 }
    }

    /// Whose test is shown, and how it failed.
    fn shown(board: &Board, now: Instant) -> Option<(u64, Option<String>)> {
        board.at(now).map(|test| (test.request.session, test.failure))
    }

    fn failed(why: &str) -> Outcome {
        Err(why.to_owned())
    }

    #[test]
    fn a_client_takes_the_operators_test_from_nobody() {
        let (mut board, now) = (Board::default(), Instant::now());
        assert_eq!(shown(&board, now), None);
        board.begin(of(1), Asker::Operator, now);
        assert_eq!(board.operators(), Some(1));
        board.begin(of(2), Asker::Client, now);
        board.end(2, failed("two"), now);
        assert_eq!(shown(&board, now), Some((1, None)), "it runs");
        board.end(1, failed("one"), now);
        board.begin(of(2), Asker::Client, now + OUTCOME_MIN / 2);
        board.begin(of(1), Asker::Client, now + OUTCOME_MIN / 2);
        board.end(1, failed("another"), now + OUTCOME_MIN / 2);
        assert_eq!(
            shown(&board, now),
            Some((1, Some("one".to_owned()))),
            "nobody has had the time to read it"
        );
        assert_eq!(board.operators(), None);
        board.begin(of(2), Asker::Client, now + OUTCOME_MIN);
        assert_eq!(shown(&board, now), Some((2, None)));
    }

    #[test]
    fn the_operator_sees_the_test_that_was_asked_for_last() {
        let (mut board, now) = (Board::default(), Instant::now());
        board.begin(of(2), Asker::Client, now);
        assert_eq!((shown(&board, now), board.operators()), (Some((2, None)), None));
        for session in [1, 3] {
            board.begin(of(session), Asker::Operator, now);
            board.end(session, failed("it has"), now);
            assert_eq!(shown(&board, now), Some((session, Some("it has".to_owned()))));
        }
        let of_client = |board: &mut Board, session| {
            board.begin(of(session), Asker::Client, now + OUTCOME_MIN);
            shown(board, now)
        };
        assert_eq!(of_client(&mut board, 4), Some((4, None)));
        assert_eq!(of_client(&mut board, 5), Some((5, None)), "of clients' the newest");
    }
}
