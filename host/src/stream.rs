//! One session's media: the fitted source, the engine's pipeline, its figures, its desktop.
//!
//! Promises: what was agreed in the Welcome is what the pipeline is bounded by; [`Stream::stop`] ends all
//! of it and gives the last figures, in bounded time; no verb waits for a compositor. Refuses changes that the source or the
//! encoder cannot do, with a reason, and goes on; faults of a stage end the stream and are told.

mod changes;

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use punktfunk_control::{FallCount, HostStats, Path, Reconfigured, StageSummary};
use punktfunk_engine::{FillerFault, HostConfig, HostPipeline, Machine, Sealers, StageFault};
use punktfunk_net::Socket;
use punktfunk_perf::PerfTarget;
use punktfunk_proto::limits::{SHARD_BYTES_START, shard_bytes_for_payload};
use punktfunk_proto::{BitratePolicy, FeedbackReport, FillerSent, Lost, SessionClock, SpeedTestOrder};
use punktfunk_seal::{Backends, Cipher, Direction, Plane, PlaneKeys, Sealer, Secret};

use crate::bitrate;
use crate::encode::{Coding, Codings, EncoderFalls, Fitting};
use crate::error::HostError;
use crate::opening::Opened;
use crate::report::Report;
use crate::screen::Screen;
use crate::speed::Bench;
use crate::ways::{Fall, News};

/// How long a stream's end may hold its caller up: what takes longer hangs, and is waited for elsewhere.
const STOP_MAX: Duration = Duration::from_millis(500);

/// How often the client is told the host's figures.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// What the operator set, for every stream alike.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// The link's rate in kbit/s, where it was given; else it is measured.
    pub link_kbps: Option<u32>,
    /// Whether the wire's rate follows the client's reports.
    pub bitrate: BitratePolicy,
    /// The microburst cap in bytes.
    pub burst_bytes: usize,
    /// The machine's cores and the wishes for them.
    pub machine: Machine,
    /// Which library seals.
    pub seal: Backends,
    /// Where PUNKTFUNK_PERF logs go.
    pub perf: Option<PerfTarget>,
    /// What the machine can do, as lines of a log's head.
    pub caps: Vec<String>,
}

/// A running stream.
pub struct Stream {
    pipeline: HostPipeline<Fitting>,
    codings: Codings,
    screen: Screen,
    report: Report,
    clock: SessionClock,
    mode: punktfunk_control::Mode,
    coding: Coding,
    /// The mode that the desktop is being changed to, and what else was refused of the same request.
    mode_pending: Option<(punktfunk_control::Mode, Vec<String>)>,
    follows_rate: bool,
    falls: Vec<Fall>,
    encoder_falls: EncoderFalls,
    news: Option<Receiver<News>>,
    /// The answer to a change of mode that the desktop's end has overtaken.
    overtaken: Option<Reconfigured>,
    shard_bytes_max: u16,
    /// A path that met a full command ring.
    path_pending: Option<Path>,
    /// A shard length that met a full command ring.
    shard_bytes_pending: Option<u16>,
    /// How often the path had shrunk when that was last told.
    path_shrunk: u64,
    wire_kbps: u32,
    /// Whether the card's encoder has fallen: what openh264 fills is the most from then on.
    has_fallen: bool,
    /// The answer to nobody's request that the rate is held to that.
    rate_held: Option<Reconfigured>,
    /// The refresh rate that the pipeline goes by.
    refresh_mhz: u32,
    next_stats: Instant,
}

/// What is left of a stream.
pub struct StreamEnd {
    /// The last figures.
    pub stats: HostStats,
    /// Times that something lesser took the place of what was asked for: the source's, and the sender's.
    pub fallbacks: u64,
    /// What ended it before it was told to.
    pub fault: Option<StageFault>,
    fitting: Option<Fitting>,
    screens: Vec<Screen>,
    /// What has not come to its end.
    hanging: Option<HostPipeline<Fitting>>,
}

impl StreamEnd {
    /// Ends the capture, and then what was captured. Takes a moment where that is a compositor.
    pub fn close(self) {
        drop(self.fitting);
        self.screens.into_iter().for_each(Screen::close);
        // It may have waited for what is closed now.
        drop(self.hanging);
    }
}

impl Stream {
    /// Starts the pipeline; `now` is the session clock's zero, and `perf` where its log goes and what that is called by.
    ///
    /// # Errors
    /// The pipeline cannot be had; the screen is given back to be closed.
    pub fn start(
        opened: Opened,
        mode: punktfunk_control::Mode,
        secret: &Secret,
        (socket, path): (Arc<Socket>, Path),
        (config, perf): (&StreamConfig, Option<&(PerfTarget, String)>),
        now: Instant,
    ) -> Result<Self, Box<(HostError, Screen)>> {
        let ((cipher, _), coding) = (opened.cipher, opened.coding);
        let mut comments = comments(&opened, mode, config);
        let Opened { fitting, codings, screen, falls, news, negotiated, redundancy, .. } = opened;
        let (clock, follows_rate) = (SessionClock::new(now), fitting.follows_rate());
        let encoder_falls = fitting.falls();
        let bitrate = bitrate::policy(config.bitrate, follows_rate, config.link_kbps.is_some());
        comments.push(format!("bitrate: {}", bitrate::word(bitrate)));
        let host = HostConfig {
            negotiated,
            shard_bytes: SHARD_BYTES_START.min(negotiated.shard_bytes_max),
            clock,
            destination: path.remote,
            source: path.local,
            pace_kbps: config.link_kbps,
            burst_bytes: config.burst_bytes,
            redundancy: redundancy.policy,
            bitrate,
            machine: config.machine.clone(),
        };
        let sealers = sealers((secret, cipher), config.seal, now);
        let mut pipeline = match HostPipeline::start(fitting, socket, sealers, &host) {
            Ok(pipeline) => pipeline,
            Err(error) => return Err(Box::new((error.into(), screen))),
        };
        for setup in pipeline.setups() {
            tracing::info!("stage {setup}");
            comments.push(format!("stage: {setup}"));
        }
        tracing::info!("{}", pipeline.memory());
        comments.push(format!("memory: {}", pipeline.memory().trim_start_matches("memory ")));
        let report = Report::new(perf, pipeline.take_collectors(), &comments, now);
        Ok(Self {
            pipeline,
            codings,
            screen,
            report,
            clock,
            mode,
            coding,
            mode_pending: None,
            follows_rate,
            falls,
            encoder_falls,
            news,
            overtaken: None,
            shard_bytes_max: negotiated.shard_bytes_max,
            path_pending: None,
            shard_bytes_pending: None,
            path_shrunk: 0,
            wire_kbps: negotiated.bitrate_kbps,
            has_fallen: false,
            rate_held: None,
            refresh_mhz: negotiated.refresh_mhz,
            next_stats: now + STATS_INTERVAL,
        })
    }

    /// The clock that pts are counted on.
    pub fn clock(&self) -> SessionClock {
        self.clock
    }

    /// The client misses this.
    pub fn request_idr(&self, lost: Lost) {
        self.pipeline.request_idr(lost);
    }

    /// Passes a report on that came over a path of this round trip.
    pub fn handle_feedback(&mut self, report: FeedbackReport, rtt: Option<Duration>) {
        self.pipeline.handle_feedback(report, rtt);
    }

    /// Media follows the client to another address; in short shards, until it is known what the path carries.
    pub fn handle_path(&mut self, path: Path) {
        self.shard_bytes_pending = None;
        self.path_pending = Some(path);
        self.tell_path();
    }

    fn tell_path(&mut self) {
        if let Some(path) = self.path_pending
            && self.pipeline.set_destination(path.remote, path.local).is_ok()
        {
            self.path_pending = None;
        }
    }

    /// The path carries datagrams of this many bytes now: shards follow with the next access unit.
    pub fn handle_mtu(&mut self, udp_payload_bytes: u16) {
        if let Some(bytes) = shard_bytes_for_payload(usize::from(udp_payload_bytes)) {
            self.shard_bytes_pending = Some(bytes.min(self.shard_bytes_max));
        }
    }

    /// Reads the stages' samples; returns figures for the client when they are due, and each stage since the last time.
    pub fn poll(&mut self, now: Instant) -> Option<(HostStats, Vec<StageSummary>)> {
        self.tell_path();
        self.hold_rate();
        if self.mode.refresh_mhz != self.refresh_mhz
            && self.pipeline.set_refresh(self.mode.refresh_mhz).is_ok()
        {
            self.refresh_mhz = self.mode.refresh_mhz;
        }
        if self.path_pending.is_none()
            && let Some(bytes) = self.shard_bytes_pending.take()
            && self.pipeline.set_shard_bytes(bytes).is_err()
        {
            self.shard_bytes_pending = Some(bytes);
        }
        let stats = self.pipeline.stats();
        self.report.poll(&stats, now);
        if now < self.next_stats {
            return None;
        }
        self.next_stats = now + STATS_INTERVAL;
        let message =
            with_falls(&all(&self.falls, &self.encoder_falls), self.report.message(&stats, false, now));
        Some((message, self.report.lately()))
    }

    /// Whether media has shown since the last call that the path carries no long datagrams any more: what QUIC believes
    /// of it is outdated.
    pub fn poll_path_shrunk(&mut self) -> bool {
        let shrunk = self.pipeline.stats().protect.path_shrunk;
        std::mem::replace(&mut self.path_shrunk, shrunk) != shrunk
    }

    /// Ends the session's log before the session, if there is one.
    pub fn end_log(&mut self, now: Instant) {
        self.report.finish(&self.pipeline.stats(), now);
    }

    /// Whether a stage has ended by itself.
    pub fn is_ended(&self) -> bool {
        self.pipeline.is_ended()
    }

    /// Ends the pipeline; everything it lent is home afterwards. A capture or an encoder that hangs is told of as a fault,
    /// with the figures until now, and left to [`StreamEnd::close`].
    pub fn stop(mut self, now: Instant) -> StreamEnd {
        let (stats, fault, fitting, hanging) = if self.pipeline.wind_down(STOP_MAX) {
            let end = self.pipeline.stop();
            if end.slices_out > 0 || end.arena_leased_bytes > 0 {
                tracing::error!(
                    slices = end.slices_out,
                    arena_bytes = end.arena_leased_bytes,
                    "the pipeline did not bring everything home; this is our fault"
                );
            }
            (end.stats, end.fault, end.encode, None)
        } else {
            let why = format!("a call to the capture or the encoder hangs for {} ms", STOP_MAX.as_millis());
            (self.pipeline.stats(), Some(StageFault::new("encode", why)), None, Some(self.pipeline))
        };
        self.report.finish(&stats, now);
        // What the source had to tell last: its falls, and desktops that are to be closed with the session.
        let mut screens = Vec::new();
        for News { source, desktop, falls, .. } in self.news.iter().flat_map(Receiver::try_iter) {
            if source.is_some() {
                screens.push(std::mem::replace(&mut self.screen, Screen::new(desktop)));
            }
            self.falls = falls;
        }
        let sent_by_lesser = stats.protect.fallbacks;
        let falls = all(&self.falls, &self.encoder_falls);
        let stats = with_falls(&falls, self.report.message(&stats, true, now));
        screens.push(self.screen);
        let lesser = falls.iter().filter(|fall| fall.is_lesser);
        let fallen: u64 = lesser.map(|fall| fall.count).sum();
        StreamEnd { stats, fallbacks: fallen + sent_by_lesser, fault, fitting, screens, hanging }
    }
}

impl Bench for Stream {
    fn begin(&mut self, test: u16, order: SpeedTestOrder) -> bool {
        self.pipeline.begin_speed_test(test, order).is_ok()
    }

    fn poll(&mut self) -> Option<Result<FillerSent, FillerFault>> {
        self.pipeline.poll_speed_test()
    }

    fn handle_epoch(&mut self, epoch: u32) {
        self.pipeline.handle_probe_epoch(epoch);
    }
}

/// What seals on each plane that a host sends on.
fn sealers((secret, cipher): (&Secret, Cipher), seal: Backends, now: Instant) -> Sealers {
    let keys = |plane| {
        PlaneKeys::new(secret, cipher, Direction::HostToClient, plane).with_backend(seal.sealing(cipher))
    };
    Sealers::with_probe(Sealer::new(keys(Plane::Video), now), keys(Plane::Probe), now)
}

/// The head of a session's log.
fn comments(opened: &Opened, mode: punktfunk_control::Mode, config: &StreamConfig) -> Vec<String> {
    let Opened { source, encoder, cipher: (cipher, why), .. } = opened;
    let mut comments = vec![
        format!("punktfunk-host {}", env!("CARGO_PKG_VERSION")),
        format!("source: {source}"),
        format!("mode: {}x{}@{}", mode.width, mode.height, f64::from(mode.refresh_mhz) / 1e3),
        format!("encoder: {encoder}"),
        format!("cipher: {cipher}, because {why}"),
    ];
    comments.extend(config.caps.iter().cloned());
    comments
}

/// The source's falls, and the encoder's.
fn all(falls: &[Fall], encoder_falls: &EncoderFalls) -> Vec<Fall> {
    falls.iter().cloned().chain(encoder_falls.all()).collect()
}

/// The figures with the falls among them.
fn with_falls(falls: &[Fall], stats: HostStats) -> HostStats {
    let count = |fall: &Fall| FallCount {
        from: fall.from.to_owned(),
        to: fall.to.to_owned(),
        reason: fall.reason.to_owned(),
        count: fall.count,
    };
    HostStats { falls: falls.iter().map(count).collect(), ..stats }
}
