//! One session's course, from a Hello to its end: its source is opened, it is welcomed, it streams, it is taken apart.
//!
//! Promises: nothing of it ends on the loop's thread, for a compositor may take seconds; whatever it has is taken apart
//! once. Refuses a Start that no Welcome stands before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_control::{
    Bye, ByeReason, ClientStats, CompositorOffer, Fingerprint, HostControl, PROTOCOL, Path, Refusal,
    SessionId, SourceNews, Welcome,
};
use punktfunk_engine::StageFault;
use punktfunk_proto::FeedbackReport;
use punktfunk_seal::Secret;

use super::shown::Shown;
use super::steer::{self, Asker};
use super::watch::Watch;
use super::{Common, control_mode, host_name, log_late};
use crate::closing::Closing;
use crate::opening::{Opened, Opening};
use crate::speed::SpeedTests;
use crate::stream::Stream;

/// A session in its place.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Whose it is: what keys it, wherever its client is.
    pub(super) fingerprint: Fingerprint,
    /// Whether it is there for more than a speed test.
    pub(super) has_pictures: bool,
    state: State,
    /// The path's datagram size, which may be known before media flows.
    udp_payload_bytes: Option<u16>,
    pub(super) shown: Shown,
    /// What its PUNKTFUNK_PERF log is called by.
    log: String,
    watch: Watch,
    speed_tests: SpeedTests,
    /// Whoever waits for a change of its mode, beside its client.
    pub(super) asker: Asker,
}

/// How far it has come.
pub(super) enum State {
    /// Its source is being made ready.
    Opening(Opening),
    /// It was welcomed and has not said Start.
    Welcomed(Box<Opened>),
    /// Media flows.
    Streaming(Box<Stream>),
    /// The client was refused or the stream has ended; the control session has its last words.
    Over,
}

impl Session {
    /// One whose source is being opened; over already where that could not begin.
    pub(super) fn new(
        (id, fingerprint, has_pictures): (SessionId, Fingerprint, bool),
        opening: Option<Opening>,
        (shown, log): (Shown, String),
        now: Instant,
    ) -> Self {
        let state = opening.map_or(State::Over, State::Opening);
        Self {
            id,
            fingerprint,
            has_pictures,
            state,
            udp_payload_bytes: None,
            shown,
            log,
            watch: Watch::new(now),
            speed_tests: SpeedTests::default(),
            asker: Asker::default(),
        }
    }

    /// How far it has come.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Whether only its last words are on their way.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Its stream, once media flows.
    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.state {
            State::Streaming(stream) => Some(stream),
            State::Opening(_) | State::Welcomed(_) | State::Over => None,
        }
    }

    /// A report, over a path of this round trip.
    pub(super) fn handle_feedback(&mut self, report: FeedbackReport, rtt: Option<Duration>, now: Instant) {
        self.watch.handle_report(report.load, now);
        self.shown.handle_loss(report.lost_per_mille, now);
        if let Some(stream) = self.stream() {
            stream.handle_feedback(report, rtt);
        }
    }

    /// The client's own figures.
    pub(super) fn handle_client(&mut self, stats: ClientStats, now: Instant) {
        self.watch.handle_figures(stats.pictures_decoded, now);
        self.shown.handle_client(stats, now);
    }

    /// What a speed test needs, while media flows.
    pub(super) fn bench(&mut self) -> Option<(&mut Stream, &mut SpeedTests)> {
        match &mut self.state {
            State::Streaming(stream) => Some((stream, &mut self.speed_tests)),
            State::Opening(_) | State::Welcomed(_) | State::Over => None,
        }
    }

    /// What the path carries.
    pub(super) fn handle_mtu(&mut self, udp_payload_bytes: u16) {
        self.udp_payload_bytes = Some(udp_payload_bytes);
        if let Some(stream) = self.stream() {
            stream.handle_mtu(udp_payload_bytes);
        }
    }

    /// Of the new path nothing is known until an `Mtu` of its own comes.
    pub(super) fn handle_path(&mut self, path: Path) {
        self.udp_payload_bytes = None;
        self.shown.handle_moved(path.remote);
        if let Some(stream) = self.stream() {
            stream.handle_path(path);
        }
    }

    /// The client's assent: media flows from here on.
    pub(super) fn handle_start(
        &mut self,
        secret: &Secret,
        (common, closing): (&mut Common, &mut Closing),
        now: Instant,
    ) {
        let id = self.id;
        // Without a path the session has just ended, and the event that says so is on its way.
        let Some(path) = common.control.path(id) else { return };
        let opened = match std::mem::replace(&mut self.state, State::Over) {
            State::Welcomed(opened) => opened,
            other @ (State::Opening(_) | State::Streaming(_) | State::Over) => {
                self.state = other;
                return tracing::warn!(%id, "a Start that no Welcome stands before");
            }
        };
        let (mode, to) = (control_mode(opened.mode), (Arc::clone(&common.socket), path));
        let always = common.config.stream.perf.clone().map(|target| (target, self.log.clone()));
        let perf = always.or_else(|| Some((common.recordings.next_log()?, "host".to_owned())));
        let config = (&common.config.stream, perf.as_ref());
        match Stream::start(*opened, mode, secret, to, config, now) {
            Ok(mut stream) => {
                if let Some(bytes) = self.udp_payload_bytes {
                    stream.handle_mtu(bytes);
                }
                log_late(common.control.start_clock(id, stream.clock(), now));
                self.watch = Watch::new(now);
                self.state = State::Streaming(Box::new(stream));
            }
            Err(failed) => {
                let (error, screen) = *failed;
                closing.then(move || screen.close());
                common.say.refused(id, &error);
                log_late(common.control.bye(id, &Bye::new(ByeReason::Fault, error.to_string()), now));
                common.failure = Some(error);
            }
        }
    }

    /// What has become of it since the last round.
    pub(super) fn poll(&mut self, (common, closing): (&mut Common, &mut Closing), now: Instant) {
        self.poll_opening(common, now);
        self.poll_speed_test(common, now);
        self.poll_stream(common, closing, now);
    }

    /// Welcomes or refuses once the source is ready.
    fn poll_opening(&mut self, common: &mut Common, now: Instant) {
        let id = self.id;
        if let State::Opening(opening) = &self.state
            && let Some(why) = opening.poll_waits()
        {
            common.say.waits(id, &why);
            let news = SourceNews { source: String::new(), why, mode: None, from_au: 0 };
            log_late(common.control.send_source_news(id, &news, now));
        }
        let opening = match std::mem::replace(&mut self.state, State::Over) {
            State::Opening(opening) if opening.is_finished() => opening,
            other @ (State::Opening(_) | State::Welcomed(_) | State::Streaming(_) | State::Over) => {
                self.state = other;
                return;
            }
        };
        match opening.join() {
            Ok(opened) => {
                let welcome = welcome(&opened, common.compositors.clone());
                common.say.welcome(id, &welcome, opened.cipher.1);
                self.shown.handle_welcome(&welcome);
                log_late(common.control.welcome(id, &welcome, now));
                self.state = State::Welcomed(Box::new(opened));
            }
            Err(error) => {
                common.say.refused(id, &error);
                let refusal = Refusal::new(error.refusal_code(), error.to_string());
                log_late(common.control.refuse(id, &refusal, now));
                common.failure = Some(error);
            }
        }
    }

    /// Sends figures, and ends a stream whose source has ended or broke.
    fn poll_stream(&mut self, common: &mut Common, closing: &mut Closing, now: Instant) {
        let (id, shown) = (self.id, &mut self.shown);
        let State::Streaming(stream) = &mut self.state else { return };
        if let Some((mut stats, lately)) = stream.poll(now) {
            stats.path_refused = paths_refused(&common.control, id);
            shown.handle_stats(&stats, &lately, now);
            log_late(common.control.send_stats(id, &stats, now));
        }
        while let Some((news, before)) = stream.poll_news() {
            common.say.source(id, &news);
            shown.handle_source(&news.source, news.mode);
            log_late(common.control.send_source_news(id, &news, now));
            if let Some(screen) = before {
                closing.then(move || screen.close());
            }
        }
        if let Some(reconfigured) = stream.poll_reconfigured() {
            let news = self.asker.handle_reconfigured(reconfigured, shown);
            steer::send(&mut common.control, id, news, now);
        }
        if let Some(held) = stream.poll_rate_held() {
            shown.handle_reconfigured(held.mode, held.bitrate_kbps);
            steer::send(&mut common.control, id, Some(held), now);
        }
        if stream.poll_path_shrunk() {
            log_late(common.control.restart_mtu_search(id, now));
        }
        if let Some(why) = self.watch.still(now) {
            common.say.still(id, &why);
            return self.end(Bye::new(ByeReason::Stuck, why), (common, closing), now);
        }
        if stream.is_ended() {
            let bye = Bye::new(ByeReason::SourceEnded, "the source has no more pictures");
            self.end(bye, (common, closing), now);
        }
    }

    /// Takes apart what it has, with its last figures, and says Bye.
    pub(super) fn end(&mut self, bye: Bye, (common, closing): (&mut Common, &mut Closing), now: Instant) {
        let fault = self.take_apart((common, closing), now);
        let bye = fault.map_or(bye, |fault| Bye::new(ByeReason::Fault, fault.to_string()));
        log_late(common.control.bye(self.id, &bye, now));
    }

    /// Leaves nothing of it but its last words. Returns what broke it.
    pub(super) fn take_apart(
        &mut self,
        (common, closing): (&mut Common, &mut Closing),
        now: Instant,
    ) -> Option<StageFault> {
        let id = self.id;
        self.asker.handle_end();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Opening(opening) => {
                opening.abandon();
                closing.then(move || {
                    if let Ok(opened) = opening.join() {
                        opened.close();
                    }
                });
                None
            }
            State::Welcomed(opened) => {
                closing.then(move || opened.close());
                None
            }
            State::Streaming(stream) => {
                self.end_speed_test(common, now);
                let mut end = stream.stop(now);
                end.stats.path_refused = paths_refused(&common.control, id);
                log_late(common.control.send_stats(id, &end.stats, now));
                common.say.figures(id, &end.stats, end.fallbacks);
                let fault = end.fault.clone();
                closing.then(move || end.close());
                if let Some(fault) = &fault {
                    common.say.fault(id, fault);
                    common.failure = Some(fault.clone().into());
                }
                fault
            }
            State::Over => None,
        }
    }
}

/// How often somebody elsewhere was tried and did not prove to be the client.
fn paths_refused(control: &HostControl, id: SessionId) -> u64 {
    control.stats(id).map_or(0, |link| link.paths_refused)
}

fn welcome(opened: &Opened, compositors: Vec<CompositorOffer>) -> Welcome {
    let negotiated = &opened.negotiated;
    Welcome {
        protocol: PROTOCOL,
        host_name: host_name(),
        mode: control_mode(opened.mode),
        codec: opened.coding.codec,
        cipher: opened.cipher.0,
        bitrate_kbps: negotiated.bitrate_kbps,
        shard_bytes_max: negotiated.shard_bytes_max,
        redundancy_per_mille: negotiated.redundancy_per_mille,
        au_bytes_max: negotiated.au_bytes_max,
        slices_max: negotiated.slices_max,
        source: opened.source.clone(),
        encoder: opened.encoder.clone(),
        compositors,
        depth: opened.coding.depth,
        chroma: opened.coding.chroma,
    }
}
