//! The loop's part of the management API: what it shows, and what it does for those who ask.
//!
//! Promises: every ask is answered. Refuses nothing.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use punktfunk_control::{Bye, ByeReason, SessionId, Trust};
use punktfunk_manage::model::{self, Status};
use punktfunk_manage::{Ask, Refused, Why};

use super::{Serve, Session, host_name};
use crate::config;
use crate::doorkeeper::pending;

impl Serve {
    /// Answers what was asked since the last round, and shows what is so now: an answer is given behind that.
    pub(super) fn manage(&mut self, now: Instant) {
        while let Some(ask) = self.management.as_mut().and_then(crate::manage::Management::poll_ask) {
            if let Some(other) = self.doorkeeper.answer(ask, &mut self.common.control, now) {
                self.answer(other, now);
            }
        }
        let common = &mut self.common;
        if common.recordings.end_full(&mut common.errands, now) {
            self.end_logs(now);
        }
        for (session, _) in self.places.iter_mut() {
            session.asker.poll(now);
        }
        if self.management.as_ref().is_some_and(|management| management.is_due(now)) {
            let status = self.status(now);
            if let Some(management) = &mut self.management {
                management.publish(status, now);
            }
        }
    }

    fn answer(&mut self, ask: Ask, now: Instant) {
        match ask {
            Ask::Compositors { reply } => {
                let offer = |offer: &punktfunk_control::CompositorOffer| model::Compositor {
                    name: offer.name.clone(),
                    version: offer.version.clone(),
                    unusable: (!offer.usable).then(|| offer.reason.clone()),
                };
                reply.answer(Ok(self.common.compositors.iter().map(offer).collect()));
            }
            Ask::EndSession { session, reply } => {
                let id = SessionId::of_number(session);
                let ended = self.end(id, Bye::new(ByeReason::Asked, "the host's operator has ended it"), now);
                reply.answer(if ended { Ok(()) } else { Err(no_such_session(session)) });
            }
            Ask::Reconfigure { session, change, reply } => self.steer(session, change, reply, now),
            // Doors are the doorkeeper's.
            Ask::ArmPairing { .. }
            | Ask::CancelPairing { .. }
            | Ask::Approve { .. }
            | Ask::Deny { .. }
            | Ask::Devices { .. }
            | Ask::RenameDevice { .. }
            | Ask::RevokeDevice { .. } => {}
            Ask::SpeedTest { request, reply } => reply.answer(self.start_speed_test(request, now)),
            Ask::Diagnose { reply } => {
                if let Some(management) = &self.management {
                    management.diagnose(reply);
                }
            }
            Ask::Settings { reply } => {
                let told = self.common.config.told.clone();
                self.common.errands.answer(reply, move || config::settings(&told));
            }
            Ask::ChangeSetting { key, value, reply } => {
                let told = self.common.config.told.clone();
                self.common.errands.answer(reply, move || config::change(&told, &key, value.as_deref()));
            }
            Ask::Recordings { reply } => self.common.recordings.all(reply, &mut self.common.errands),
            Ask::StartRecording { reply } => self.common.recordings.start(reply, &mut self.common.errands),
            Ask::StopRecording { reply } => {
                self.end_logs(now);
                self.common.recordings.stop(reply, &mut self.common.errands);
            }
        }
    }

    /// Ends the sessions' logs where they are a recording's.
    fn end_logs(&mut self, now: Instant) {
        if self.common.config.stream.perf.is_none() {
            self.places
                .iter_mut()
                .filter_map(|(session, _)| session.stream())
                .for_each(|stream| stream.end_log(now));
        }
    }

    fn status(&self, now: Instant) -> Status {
        let link = |session: &Session| self.common.control.stats(session.id);
        let device = |session: &Session| self.doorkeeper.device_name(&session.fingerprint).map(str::to_owned);
        let shown =
            |session: &Session| session.shown.at(session.state(), device(session), link(session), now);
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Status {
            host_name: host_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: self.common.control.fingerprint().to_string(),
            open: self.doorkeeper.trust() == Trust::Open,
            port: self.common.socket.local_addr().port(),
            uptime_s: now.saturating_duration_since(self.began).as_secs(),
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            sessions: self.places.sessions().map(shown).collect(),
            pairing: self.doorkeeper.pairing(&self.common.control, now),
            pending: pending(&self.common.control, now),
            speed_test: self.common.speed_test.at(now),
        }
    }
}

pub(super) fn no_such_session(session: u64) -> Refused {
    Refused::new(Why::NotFound, format!("there is no session {session}"), "it may just have ended")
}
