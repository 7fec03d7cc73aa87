//! The loop's part of a speed test: whoever asks, and what of it is shown.
//!
//! Promises: what a client asks for and what the host's operator does go one way; the newest test stays to be seen, its
//! session's end included. Refuses nothing by itself.

use std::time::{Duration, Instant};

use punktfunk_control::{
    SessionId, SpeedTestFailed, SpeedTestNews, SpeedTestResult, SpeedTestSeen, StartSpeedTest, Weakest,
};
use punktfunk_manage::model;
use punktfunk_manage::{Refused, Why};

use super::session::Session;
use super::{Common, Serve, log_late};

/// The newest test.
pub(super) struct ShownTest {
    request: model::SpeedTestRequest,
    began: Instant,
    outcome: Option<Result<model::SpeedTestResult, String>>,
}

impl ShownTest {
    /// As it stands now.
    pub(super) fn at(&self, now: Instant) -> model::SpeedTest {
        let whole = Duration::from_millis(self.request.duration_ms.into());
        let part = now.saturating_duration_since(self.began).as_secs_f64() / whole.as_secs_f64();
        let (result, failure) = match self.outcome.clone() {
            None => (None, None),
            Some(Ok(result)) => (Some(result), None),
            Some(Err(why)) => (None, Some(why)),
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
        if let Err(why) = session.begin_speed_test(wish, &mut self.common, now) {
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
        let wish = (request.target_kbps, request.duration_ms);
        session
            .begin_speed_test(wish, &mut self.common, now)
            .map_err(|why| Refused::new(Why::Conflict, why, "wait a moment, or choose another session"))?;
        Ok(ShownTest { request, began: now, outcome: None }.at(now))
    }
}

impl Session {
    /// Begins a test and tells the client.
    fn begin_speed_test(
        &mut self,
        (target_kbps, duration_ms): (u32, u32),
        common: &mut Common,
        now: Instant,
    ) -> Result<(), String> {
        let (stream, tests) = self.bench().ok_or("the session does not stream yet, or no more")?;
        let begun = tests.begin((target_kbps, duration_ms), stream, now)?;
        let request = model::SpeedTestRequest { session: self.id.number(), target_kbps, duration_ms };
        common.say.speed_test_begun(self.id, &begun);
        common.speed_test = Some(ShownTest { request, began: now, outcome: None });
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
            self.show_speed_test(outcome, common);
        }
        log_late(common.control.send_speed_test(self.id, news, now));
    }

    /// The session has come to its end: so has its test.
    pub(super) fn end_speed_test(&self, common: &mut Common) {
        self.show_speed_test(Err("the session has ended during the test".to_owned()), common);
    }

    fn show_speed_test(&self, outcome: Result<model::SpeedTestResult, String>, common: &mut Common) {
        if let Some(shown) = &mut common.speed_test
            && shown.request.session == self.id.number()
        {
            shown.outcome.get_or_insert(outcome);
        }
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
