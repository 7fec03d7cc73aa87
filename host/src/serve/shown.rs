//! A session as the console shows it, gathered from what the loop hears anyway.
//!
//! Promises: what was not measured is not shown as 0, nor what was measured long ago as what is so now. Refuses to
//! measure anything itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use punktfunk_control::{
    ClientStats, FallCount, Fingerprint, Hello, HostStats, LinkStats, Mode, SessionId, StageSummary, Welcome,
};
use punktfunk_manage::model;

use super::session::State;

/// How long a figure of a second is shown without another: both ends tell theirs each second.
const FRESH_MAX: Duration = Duration::from_secs(3);

/// What is known of one session.
pub(super) struct Shown {
    session: model::Session,
    began: Instant,
    /// What the host's side has measured last, and when.
    last: Option<(HostStats, Instant)>,
    /// What the client has told last, and when.
    client: Option<(ClientStats, Instant)>,
    /// When it has told last what was lost.
    loss_at: Option<Instant>,
}

impl Shown {
    pub(super) fn new(
        id: SessionId,
        hello: &Hello,
        fingerprint: Fingerprint,
        remote: SocketAddr,
        now: Instant,
    ) -> Self {
        let session = model::Session {
            id: id.number(),
            client: hello.client_name.clone(),
            fingerprint: fingerprint.to_string(),
            remote: remote.to_string(),
            mode: mode(hello.mode),
            bitrate_kbps: hello.bitrate_kbps,
            ..model::Session::default()
        };
        Self { session, began: now, last: None, client: None, loss_at: None }
    }

    pub(super) fn handle_welcome(&mut self, welcome: &Welcome) {
        let session = &mut self.session;
        session.mode = mode(welcome.mode);
        session.bitrate_kbps = welcome.bitrate_kbps;
        session.source.clone_from(&welcome.source);
        session.encoder.clone_from(&welcome.encoder);
        session.cipher = welcome.cipher.to_string();
    }

    pub(super) fn handle_moved(&mut self, remote: SocketAddr) {
        self.session.remote = remote.to_string();
    }

    pub(super) fn handle_source(&mut self, source: &str, to: Option<Mode>) {
        source.clone_into(&mut self.session.source);
        if let Some(to) = to {
            self.session.mode = mode(to);
        }
    }

    /// Whether that is anything new.
    pub(super) fn handle_reconfigured(&mut self, to: Mode, bitrate_kbps: u32) -> bool {
        let before = (self.session.mode, self.session.bitrate_kbps);
        (self.session.mode, self.session.bitrate_kbps) = (mode(to), bitrate_kbps);
        before != (self.session.mode, self.session.bitrate_kbps)
    }

    /// Of the datagrams lately, the thousandths that did not come.
    pub(super) fn handle_loss(&mut self, per_mille: u16, now: Instant) {
        self.session.loss_per_mille = Some(f64::from(per_mille));
        self.loss_at = Some(now);
    }

    /// Each second's figures of the client.
    pub(super) fn handle_client(&mut self, stats: ClientStats, now: Instant) {
        let last = self.client.take();
        self.session.decoded_per_s = last.and_then(|(last, _)| {
            // One that does not tell its time has no rate: words arrive early and late.
            let us = stats.session_us.checked_sub(last.session_us).filter(|us| *us > 0)?;
            Some(per_s(stats.pictures_decoded.saturating_sub(last.pictures_decoded), us))
        });
        self.session.client_stages = stats.stages.iter().map(latency).collect();
        let counts = &mut self.session.counts;
        counts.pictures_decoded = Some(stats.pictures_decoded);
        counts.aus_lost = Some(stats.pictures_lost);
        counts.aus_late = Some(stats.pictures_late);
        counts.aus_dropped_there = Some(stats.pictures_dropped);
        self.client = Some((stats, now));
    }

    /// Each second's figures, and each stage of that second.
    pub(super) fn handle_stats(&mut self, stats: &HostStats, lately: &[StageSummary], now: Instant) {
        if let Some((last, _)) = &self.last {
            let us = stats.session_us.saturating_sub(last.session_us).max(1);
            let bits = stats.wire_bytes.saturating_sub(last.wire_bytes) * 8;
            self.session.wire_kbps = Some(bits * 1_000 / us);
            self.session.pictures_per_s = Some(per_s(stats.aus_sent.saturating_sub(last.aus_sent), us));
        }
        self.session.stages = lately.iter().map(latency).collect();
        self.session.target_kbps = (stats.rate_kbps > 0).then_some(stats.rate_kbps);
        self.session.target_reason = (stats.rate_kbps > 0).then(|| stats.rate_reason.clone());
        self.session.link_kbps = (stats.link_kbps > 0).then_some(stats.link_kbps);
        self.session.counts = model::Counts {
            pictures_captured: stats.pictures_captured,
            pictures_shed: stats.pictures_shed,
            aus_sent: stats.aus_sent,
            aus_dropped: stats.aus_dropped,
            idrs_sent: stats.idrs_sent,
            wire_bytes: stats.wire_bytes,
            datagrams_sent: stats.datagrams_sent,
            datagrams_resent: stats.datagrams_resent,
            packets_send_dropped: stats.packets_send_dropped,
            fallbacks: stats.falls.iter().map(|fall| fall.count).sum(),
            ..self.session.counts
        };
        self.session.copied_by_cpu = model::Copied {
            capture: stats.copied_capture_bytes,
            import: stats.copied_import_bytes,
            slices: stats.copied_slice_bytes,
        };
        self.session.falls = stats.falls.iter().map(fall).collect();
        self.last = Some((stats.clone(), now));
    }

    /// As it is now.
    pub(super) fn at(
        &self,
        state: &State,
        device: Option<String>,
        link: Option<LinkStats>,
        now: Instant,
    ) -> model::Session {
        let is_old = |at: Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) >= FRESH_MAX);
        let mut session = self.session.clone();
        if is_old(self.last.as_ref().map(|(_, at)| *at)) {
            (session.wire_kbps, session.pictures_per_s) = (None, None);
            session.stages.clear();
        }
        if is_old(self.client.as_ref().map(|(_, at)| *at)) {
            session.decoded_per_s = None;
            session.client_stages.clear();
        }
        if is_old(self.loss_at) {
            session.loss_per_mille = None;
        }
        model::Session {
            device,
            state: match state {
                State::Opening(_) => model::SessionState::Opening,
                State::Welcomed(_) => model::SessionState::Welcomed,
                State::Streaming(_) => model::SessionState::Streaming,
                State::Over => model::SessionState::Ending,
            },
            age_s: now.saturating_duration_since(self.began).as_secs(),
            rtt_us: link.map(|link| u64::try_from(link.rtt.as_micros()).unwrap_or(u64::MAX)),
            ..session
        }
    }
}

/// What comes a second, of so much in so many microseconds.
fn per_s(count: u64, us: u64) -> f64 {
    count as f64 * 1e6 / us as f64
}

fn latency(stage: &StageSummary) -> model::Latency {
    model::Latency {
        stage: stage.name.clone(),
        count: stage.count,
        p50_us: stage.p50_us,
        p99_us: stage.p99_us,
        p999_us: stage.p999_us,
        max_us: stage.max_us,
    }
}

fn fall(fall: &FallCount) -> model::Fall {
    let FallCount { from, to, reason, count } = fall.clone();
    model::Fall { from, to, reason, count }
}

fn mode(mode: Mode) -> model::Mode {
    model::Mode { width: mode.width, height: mode.height, refresh_mhz: mode.refresh_mhz }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(now: Instant) -> Shown {
        let mode = Mode { width: 320, height: 180, refresh_mhz: 60_000 };
        let (hello, from) = (Hello::new("test", mode, 20_000), ([127, 0, 0, 1], 1).into());
        Shown::new(SessionId::of_number(1), &hello, Fingerprint::from([7; 32]), from, now)
    }

    fn at(shown: &Shown, now: Instant) -> model::Session {
        shown.at(&State::Over, None, None, now)
    }

    fn stage() -> StageSummary {
        StageSummary { name: "encode".into(), count: 60, p50_us: 1, p99_us: 2, p999_us: 3, max_us: 4 }
    }

    fn lesser(from: &str, to: &str, count: u64) -> FallCount {
        FallCount { from: from.into(), to: to.into(), reason: "a-test".into(), count }
    }

    #[test]
    fn what_was_not_measured_is_not_zero_and_what_is_old_goes() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut shown = shown(start);
        let opening = at(&shown, start);
        assert_eq!((opening.wire_kbps, opening.pictures_per_s, opening.loss_per_mille), (None, None, None));
        for seconds in 1..=2 {
            let now = start + second * seconds;
            let sofar = u64::from(seconds);
            let stats = HostStats {
                session_us: sofar * 1_000_000,
                wire_bytes: sofar * 125_000,
                aus_sent: sofar * 60,
                copied_capture_bytes: sofar * 3,
                copied_import_bytes: sofar * 5,
                copied_slice_bytes: sofar * 7,
                falls: vec![lesser("nvenc", "openh264", 1), lesser("dmabuf", "memory", sofar)],
                ..HostStats::default()
            };
            shown.handle_stats(&stats, &[stage()], now);
            shown.handle_loss(4, now);
        }
        let told = at(&shown, start + second * 4);
        assert_eq!((told.wire_kbps, told.pictures_per_s), (Some(1_000), Some(60.0)));
        assert_eq!((told.loss_per_mille, told.stages.len()), (Some(4.0), 1));
        assert_eq!(told.copied_by_cpu, model::Copied { capture: 6, import: 10, slices: 14 });
        let falls: Vec<_> = told.falls.iter().map(|fall| (fall.from.as_str(), fall.count)).collect();
        assert_eq!((falls, told.counts.fallbacks), (vec![("nvenc", 1), ("dmabuf", 2)], 3));
        let old = at(&shown, start + second * 5);
        assert_eq!((old.wire_kbps, old.pictures_per_s, old.loss_per_mille), (None, None, None));
        assert!(old.stages.is_empty() && old.counts.aus_sent == 120, "what was counted stays");
    }

    #[test]
    fn the_clients_rate_is_by_its_own_clock_and_goes_with_its_words() {
        let (start, ms) = (Instant::now(), Duration::from_millis(1));
        let mut shown = shown(start);
        let told = |seconds: u64, pictures_decoded| ClientStats {
            session_us: seconds * 1_000_000,
            pictures_decoded,
            stages: vec![stage()],
            ..ClientStats::default()
        };
        // The second comes late, and the third just behind it.
        shown.handle_client(told(1, 60), start + ms * 1_000);
        assert_eq!(at(&shown, start + ms * 1_000).decoded_per_s, None, "one word has no rate");
        shown.handle_client(told(2, 120), start + ms * 2_900);
        assert_eq!(at(&shown, start + ms * 2_900).decoded_per_s, Some(60.0));
        shown.handle_client(told(3, 180), start + ms * 3_000);
        assert_eq!(at(&shown, start + ms * 3_000).decoded_per_s, Some(60.0));
        let silent = at(&shown, start + ms * 6_000);
        assert!(silent.decoded_per_s.is_none() && silent.client_stages.is_empty());
        assert_eq!(silent.counts.pictures_decoded, Some(180));
        // A client that does not know of its time, or whose clock has gone back.
        for strange in [told(0, 240), told(0, 300)] {
            shown.handle_client(strange, start + ms * 7_000);
            assert_eq!(at(&shown, start + ms * 7_000).decoded_per_s, None);
        }
    }
}
