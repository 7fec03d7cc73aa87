//! One session at the client, from the first datagram to the summary.
//!
//! Promises: until the session has started one thread does everything; afterwards this thread carries
//! control only, and media has its own. Refuses to go on when a stage breaks; what was recorded stays.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_control::{
    Bye, ByeReason, ClientEvent, Codec, ConnectError, Fingerprint, HostStats, Mode, Reconfigure,
    SkewEstimate, Welcome,
};
use punktfunk_engine::{ClientConfig, ClientPipeline, SessionTime, Waker};
use punktfunk_net::Receiver;
use punktfunk_perf::{PerfTarget, process_cpu};

use crate::caller::Turn;
use crate::changes::Changes;
use crate::cli::{Approval, ConnectArgs};
use crate::clocks::Clocks;
use crate::commands::{Command, Commands};
use crate::decoder::{Decoders, StreamKind};
use crate::error::ClientError;
use crate::ground::Ground;
use crate::link::{Greeted, Link, TICK};
use crate::out_file::OutFile;
use crate::pictures::Pictures;
use crate::report::Report;
use crate::sealing::Sealing;
use crate::sink::{CardTimes, Format, Output, RecordingState, Sink, Video};
use crate::sources::Sources;
use crate::terminal::say;
use crate::visitors::Visitors;

/// How long the last access units may take to come in once the host has said how many there are.
const LAST_PICTURES_WAIT: Duration = Duration::from_millis(300);

/// What the client ends with.
pub struct Finished {
    /// The JSON summary.
    pub json: serde_json::Value,
    /// The same for people.
    pub text: String,
    /// What went wrong, if anything did; the figures stand all the same.
    pub error: Option<ClientError>,
    /// Who the host has proven to be.
    pub host: Option<Fingerprint>,
    /// When media began to flow.
    pub began: Instant,
    /// How long it did.
    pub streamed: Duration,
}

/// What the host said in its Welcome, as lines of a log's head.
pub fn agreed(welcome: &Welcome) -> Vec<String> {
    let Mode { width, height, refresh_mhz } = welcome.mode;
    vec![
        format!("source: {}", welcome.source),
        format!("mode: {width}x{height}@{}", f64::from(refresh_mhz) / 1e3),
        format!("encoder: {}", welcome.encoder),
    ]
}

/// What a person wants to keep.
#[derive(Debug, Clone, Copy)]
struct Asked {
    record: bool,
    snapshot: bool,
}

/// The files that were asked for.
#[derive(Default)]
pub struct Files {
    record: Option<(OutFile, Format)>,
    snapshot: Option<OutFile>,
}

impl Files {
    /// Opens them.
    ///
    /// # Errors
    /// One cannot be written, or is of a kind that is not made.
    pub fn open(args: &ConnectArgs, turn: &Turn) -> Result<Self, ClientError> {
        let record = |path: &PathBuf| {
            Format::of(path).and_then(|format| Ok((OutFile::open(&turn.named(path))?, format)))
        };
        Ok(Self {
            record: args.record.as_ref().map(record).transpose()?,
            snapshot: args.snapshot.as_deref().map(OutFile::open).transpose()?,
        })
    }

    fn asked(&self) -> Asked {
        Asked { record: self.record.is_some(), snapshot: self.snapshot.is_some() }
    }
}

/// The stages under way, and what they share with the control thread.
pub struct Media {
    pipeline: ClientPipeline<Sink>,
    time: Arc<SessionTime>,
    recording: Arc<RecordingState>,
    card_times: Arc<CardTimes>,
    sealing: Sealing,
    asked: Asked,
    snapshot: Option<OutFile>,
    started: Instant,
}

impl Media {
    /// Starts the stages of a session that was greeted.
    ///
    /// # Errors
    /// A stage cannot be had, or the host welcomes to what was not offered.
    pub fn start(
        link: &mut Link,
        Greeted { welcome, negotiated, secret, .. }: &Greeted,
        receiver: Receiver,
        (ground, decoders): (&Ground, &Decoders),
        files: Files,
    ) -> Result<Self, ClientError> {
        let now = Instant::now();
        // The Start is on its way at once; media that comes before the pipeline waits in the socket.
        link.transmit(now);
        let asked = files.asked();
        let Files { record, snapshot } = files;
        let recording = Arc::new(RecordingState::default());
        let card_times = Arc::new(CardTimes::new(&welcome.source));
        let sink = match welcome.codec {
            Codec::H264 | Codec::Hevc | Codec::Av1 => {
                let (recording, card_times) = (Arc::clone(&recording), Arc::clone(&card_times));
                let (codec, depth, chroma) = (welcome.codec, welcome.depth, welcome.chroma);
                let kind = StreamKind { codec, depth, chroma };
                let output = Output { record, recording, keep_picture: snapshot.is_some(), card_times };
                let decoder = decoders.decoder(kind, (welcome.mode.width, welcome.mode.height))?;
                Sink::Video(Box::new(Video::new(decoder, output, now)?))
            }
            Codec::Pattern => {
                if asked.record || asked.snapshot {
                    say("there is no picture to record: the host sends its test bitstream");
                }
                Sink::Verify(Box::default())
            }
        };
        let sealing = Sealing::of(welcome.cipher, ground)?;
        let openers = sealing.openers(secret, negotiated);
        let (time, control) = (Arc::new(SessionTime::default()), Waker::new());
        control.attach();
        let config = ClientConfig {
            negotiated: *negotiated,
            clock: link.control.clock(),
            time: Arc::clone(&time),
            control,
            machine: ground.machine.clone(),
        };
        let pipeline = ClientPipeline::start(sink, receiver, openers, &config)?;
        for setup in pipeline.setups() {
            tracing::info!("stage {setup}");
        }
        Ok(Self { pipeline, time, sealing, recording, card_times, asked, snapshot, started: now })
    }
}

/// A session whose media flows.
pub struct Session {
    link: Link,
    pipeline: ClientPipeline<Sink>,
    welcome: Welcome,
    /// What the log's head says of this machine and of what was agreed.
    caps: Vec<String>,
    sealing: Sealing,
    time: Arc<SessionTime>,
    recording: Arc<RecordingState>,
    card_times: Arc<CardTimes>,
    report: Report,
    asked: Asked,
    snapshot: Option<OutFile>,
    started: Instant,
    clocks: Clocks,
    host_stats: Option<HostStats>,
    sources: Sources,
    changes: Changes,
    visitors: Visitors,
    /// When the first picture was seen to be decoded.
    first_picture: Option<Instant>,
    leaving: bool,
}

impl Session {
    /// Joins control and media.
    pub fn new(
        link: Link,
        (welcome, mut caps): (Welcome, Vec<String>),
        media: Media,
        log: (Option<PerfTarget>, String),
        (table, approval): (Option<Box<dyn Write>>, Option<Approval>),
    ) -> Self {
        let Media { mut pipeline, time, sealing, recording, card_times, asked, snapshot, started } = media;
        let report = Report::new(log, pipeline.take_collectors(), table, started);
        caps.push(format!("cipher: {}, because {}", sealing.cipher, sealing.reason));
        caps.extend(pipeline.setups().iter().map(|setup| format!("stage: {setup}")));
        caps.push(format!("memory: {}", pipeline.memory().trim_start_matches("memory ")));
        Self {
            link,
            pipeline,
            welcome,
            caps,
            sealing,
            time,
            recording,
            card_times,
            report,
            asked,
            snapshot,
            started,
            clocks: Clocks::default(),
            host_stats: None,
            sources: Sources::default(),
            changes: Changes::default(),
            visitors: Visitors::new(approval),
            first_picture: None,
            leaving: false,
        }
    }

    /// Streams until it is over, and sums up; `called` is when the host was first spoken to.
    ///
    /// # Errors
    /// What came cannot be summed up.
    pub fn run(
        mut self,
        limit: Option<Duration>,
        (stop, commands): (&AtomicBool, Option<&Commands>),
        (called, cpu_at_start): (Instant, Duration),
    ) -> Result<Finished, ClientError> {
        let mut streamed = None;
        let reason = loop {
            if let Some(reason) = self.turn(Instant::now()) {
                break reason;
            }
            let over = limit.is_some_and(|limit| self.started.elapsed() >= limit);
            let quits = self.obey(commands, Instant::now());
            if !self.leaving && (over || quits || stop.load(Ordering::Relaxed) || self.pipeline.is_ended()) {
                self.leaving = true;
                streamed = Some(self.started.elapsed());
                self.link.control.bye(&Bye::new(ByeReason::Asked, ""), Instant::now());
            }
            self.sleep();
        };
        let streamed = streamed.unwrap_or_else(|| self.started.elapsed());
        self.await_last_pictures();
        self.link.transmit(Instant::now());
        self.finish(reason, streamed, (called, cpu_at_start))
    }

    /// One round of control; gives the reason once the session is over.
    fn turn(&mut self, now: Instant) -> Option<ConnectError> {
        let control = &mut self.link.control;
        self.pipeline.poll_quic(|from, to, bytes| control.handle_datagram(from, to, bytes, now));
        self.link.handle_time(now);
        if let Some(report) = self.pipeline.poll_feedback() {
            log_late(self.link.control.send_feedback(&report, now));
        }
        if let Some(seen) = self.pipeline.poll_speed_test() {
            log_late(self.link.control.send_speed_test_seen(seen.into(), now));
        }
        let asks = [self.pipeline.poll_idr_request(), self.recording.poll_idr_request()];
        for lost in asks.into_iter().flatten() {
            log_late(self.link.control.request_idr(lost, now));
        }
        if !self.leaving && self.clocks.poll_refresh(now) {
            log_late(self.link.control.refresh_skew(now));
        }
        let mut over = None;
        while let Some(event) = self.link.poll_event() {
            match event {
                ClientEvent::Skew(skew) => self.join_clocks(skew, now),
                ClientEvent::HostStats(stats) => self.host_stats = Some(stats),
                ClientEvent::Ended { reason } => over = Some(reason),
                ClientEvent::SourceNews(news) => {
                    self.card_times.tell(&news.source, news.from_au);
                    self.sources.handle(news, self.started.elapsed());
                }
                ClientEvent::PendingDevices(pending) => {
                    for (id, word) in self.visitors.handle(&pending) {
                        log_late(self.link.control.decide_pending(id, word, now));
                    }
                }
                ClientEvent::SpeedTestBegun(begun) => {
                    say(&format!("a speed test of {} kbit/s: the picture waits", begun.target_kbps));
                }
                ClientEvent::SpeedTestSent(sent) => self.pipeline.ask_speed_test(sent.test),
                ClientEvent::SpeedTestResult(result) => say(&format!("the speed test: {}", result.verdict)),
                ClientEvent::SpeedTestFailed(failed) => say(&format!("no speed test: {}", failed.why)),
                ClientEvent::Mtu { udp_payload_bytes } => {
                    tracing::debug!(udp_payload_bytes, "the path's datagrams");
                }
                ClientEvent::Reconfigured(answer) => self.changes.handle(&answer),
                ClientEvent::Welcome { .. } | ClientEvent::Started { .. } => {}
            }
        }
        let seen = self.pipeline.stats();
        if self.first_picture.is_none() && seen.decode.decoded > 0 {
            self.first_picture = Some(now);
            tracing::info!("the first picture is decoded");
        }
        if let Some(stats) = self.report.poll(&seen, self.host_stats.as_ref(), now)
            && !self.leaving
        {
            log_late(self.link.control.send_stats(&stats, now));
        }
        self.link.transmit(now);
        over
    }

    /// Does what was said since the last round; whether that is to leave.
    fn obey(&mut self, commands: Option<&Commands>, now: Instant) -> bool {
        while self.changes.listens()
            && let Some(said) = commands.and_then(Commands::poll)
        {
            match said {
                Ok(Command::Mode(mode)) => {
                    let (width, height, refresh_mhz) = (mode.width(), mode.height(), mode.refresh_mhz());
                    let mode = Some(Mode { width, height, refresh_mhz });
                    self.changes.want(Reconfigure { mode, ..Reconfigure::default() });
                }
                Ok(Command::Bitrate(kbps)) => {
                    let bitrate_kbps = Some(kbps);
                    self.changes.want(Reconfigure { bitrate_kbps, ..Reconfigure::default() });
                }
                Ok(Command::Decide { id, approve }) if self.visitors.is_told(id) => {
                    log_late(self.link.control.decide_pending(id, approve, now));
                }
                Ok(Command::Decide { id, .. }) => say(&format!("no device with number {id} waits")),
                Ok(Command::Quit) => self.changes.quit(now),
                Err(wrong) => say(&wrong),
            }
        }
        if !self.leaving
            && let Some(wanted) = self.changes.poll_ask(now)
        {
            log_late(self.link.control.reconfigure(&wanted, now));
        }
        self.changes.is_over(now)
    }

    fn join_clocks(&mut self, skew: SkewEstimate, now: Instant) {
        let SkewEstimate { offset_us, error_us, rtt_us, .. } = skew;
        self.time.join(offset_us);
        if self.clocks.handle_skew(skew, now) {
            tracing::info!(offset_us, error_us, rtt_us, "clocks joined");
            self.report.join_clocks(self.link.control.clock(), skew, &self.caps, now);
        } else {
            tracing::debug!(offset_us, error_us, rtt_us, "clocks compared anew");
        }
    }

    fn sleep(&mut self) {
        let now = Instant::now();
        let latest = now + TICK;
        let due = self.link.control.poll_timeout().map_or(latest, |due| due.min(latest));
        thread::park_timeout(due.saturating_duration_since(now));
    }

    /// The host has said how many access units it sent: the last of them may still be on their way.
    fn await_last_pictures(&mut self) {
        let Some(sent) = self.host_stats.as_ref().filter(|stats| stats.last).map(|stats| stats.aus_sent)
        else {
            return;
        };
        let end = Instant::now() + LAST_PICTURES_WAIT;
        while Instant::now() < end {
            let stats = self.pipeline.stats();
            let ended = Pictures::new(&stats, None).ended(&stats);
            if ended >= sent {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn finish(
        mut self,
        reason: ConnectError,
        streamed: Duration,
        (called, cpu_at_start): (Instant, Duration),
    ) -> Result<Finished, ClientError> {
        let end = self.pipeline.stop();
        if end.spans_out > 0 {
            tracing::error!(spans = end.spans_out, "spans did not come home; this is our fault");
        }
        self.report.finish(&end.stats, Instant::now());
        let mut errors: Vec<ClientError> = Vec::new();
        if !matches!(reason, ConnectError::Left(_)) {
            errors.push(reason.clone().into());
        }
        errors.extend(end.fault.map(ClientError::from));
        let (mut card, mut verify, mut decoder) = (None, None, None);
        let (mut recorded, mut kept) = (false, false);
        match end.decode {
            Some(Sink::Video(sink)) => {
                let made = sink.finish();
                card = made.card;
                decoder = Some(made.decoder);
                recorded = made.recorded.as_ref().is_ok_and(|aus| *aus > 0);
                errors.extend(made.recorded.err());
                if let (Some(file), Some(picture)) = (self.snapshot.take(), made.kept) {
                    let written = crate::snapshot::write(file, &picture.as_i420());
                    kept = written.is_ok();
                    errors.extend(written.err());
                }
            }
            Some(Sink::Verify(sink)) => verify = Some(sink.report()),
            None => {}
        }
        let figures = crate::summary::Figures {
            stats: end.stats,
            host: self.host_stats,
            recorder: self.report.recorder(),
            streamed,
            first_picture: self.first_picture.map(|at| at.saturating_duration_since(called)),
            clocks: &self.clocks,
            now: Instant::now(),
            cpu: process_cpu() - cpu_at_start,
            welcome: &self.welcome,
            sealing: self.sealing,
            sources: &self.sources,
            changes: &self.changes,
            card,
            decoder: decoder.as_ref(),
            verify,
            recorded: self.asked.record.then_some(recorded),
            recording_dropped: self.recording.dropped(),
            recording_refused: self.recording.refused(),
            snapshot: self.asked.snapshot.then_some(kept),
            ended: &reason.to_string(),
        };
        let (json, text) = (figures.json(), figures.text());
        let (error, began) = (errors.into_iter().next(), self.started);
        Ok(Finished { json, text, error, host: None, began, streamed })
    }
}

fn log_late(outcome: Result<(), punktfunk_control::ControlError>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "the session ended meanwhile");
    }
}
