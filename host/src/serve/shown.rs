//! A session as the console shows it, gathered from what the loop hears anyway.
//!
//! Promises: what was not measured is not shown as 0. Refuses to measure anything itself.

use std::net::SocketAddr;
use std::time::Instant;

use punktfunk_control::{
    ClientStats, Fingerprint, Hello, HostStats, LinkStats, Mode, SessionId, StageSummary, Welcome,
};
use punktfunk_manage::model;

use super::session::State;

/// What is known of one session.
pub(super) struct Shown {
    session: model::Session,
    began: Instant,
    last: Option<HostStats>,
    /// What the client has told last, and when.
    client: Option<(ClientStats, Instant)>,
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
        Self { session, began: now, last: None, client: None }
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

    pub(super) fn handle_reconfigured(&mut self, to: Mode, bitrate_kbps: u32) {
        self.session.mode = mode(to);
        self.session.bitrate_kbps = bitrate_kbps;
    }

    /// Of the datagrams lately, the thousandths that did not come.
    pub(super) fn handle_loss(&mut self, per_mille: u16) {
        self.session.loss_per_mille = Some(f64::from(per_mille));
    }

    /// Each second's figures of the client.
    pub(super) fn handle_client(&mut self, stats: ClientStats, now: Instant) {
        if let Some((last, at)) = &self.client {
            let seconds = now.saturating_duration_since(*at).as_secs_f64().max(1e-3);
            let decoded = stats.pictures_decoded.saturating_sub(last.pictures_decoded);
            self.session.decoded_per_s = Some(decoded as f64 / seconds);
        }
        self.session.client_stages = stats.stages.iter().map(latency).collect();
        let counts = &mut self.session.counts;
        counts.pictures_decoded = Some(stats.pictures_decoded);
        counts.aus_lost = Some(stats.pictures_lost);
        counts.aus_late = Some(stats.pictures_late);
        counts.aus_dropped_there = Some(stats.pictures_dropped);
        self.client = Some((stats, now));
    }

    /// Each second's figures, and each stage of that second.
    pub(super) fn handle_stats(&mut self, stats: &HostStats, lately: &[StageSummary]) {
        if let Some(last) = &self.last {
            let us = stats.session_us.saturating_sub(last.session_us).max(1);
            let bits = stats.wire_bytes.saturating_sub(last.wire_bytes) * 8;
            self.session.wire_kbps = bits * 1_000 / us;
            self.session.pictures_per_s =
                stats.aus_sent.saturating_sub(last.aus_sent) as f64 * 1e6 / us as f64;
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
        self.last = Some(stats.clone());
    }

    /// As it is now.
    pub(super) fn at(
        &self,
        state: &State,
        device: Option<String>,
        link: Option<LinkStats>,
        now: Instant,
    ) -> model::Session {
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
            ..self.session.clone()
        }
    }
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

fn mode(mode: Mode) -> model::Mode {
    model::Mode { width: mode.width, height: mode.height, refresh_mhz: mode.refresh_mhz }
}
