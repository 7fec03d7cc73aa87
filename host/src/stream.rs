//! One session's media: the fitted source, the engine's pipeline, its figures, its desktop.
//!
//! Promises: what was agreed in the Welcome is what the pipeline is bounded by; [`Stream::stop`] ends all
//! of it and gives the last figures; no verb waits for a compositor. Refuses changes that the source or the
//! encoder cannot do, with a reason, and goes on; faults of a stage end the stream and are told.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use punktfunk_control::{FallCount, HostStats, Path, Reconfigure, Reconfigured, SourceNews};
use punktfunk_engine::{HostConfig, HostPipeline, Machine, StageFault};
use punktfunk_net::Socket;
use punktfunk_perf::PerfTarget;
use punktfunk_proto::limits::{BITRATE_KBPS, SHARD_BYTES_START, shard_bytes_for_payload};
use punktfunk_proto::{FeedbackReport, SessionClock};
use punktfunk_seal::{Backends, Direction, Plane, PlaneKeys, Sealer, Secret};

use crate::encode::{Fitting, check_rate};
use crate::error::HostError;
use crate::opening::Opened;
use crate::report::Report;
use crate::screen::Screen;
use crate::ways::{Fall, News};

/// How often the client is told the host's figures.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// What the operator set, for every stream alike.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// The link's rate in kbit/s, where it was given; else it is measured.
    pub link_kbps: Option<u32>,
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
    screen: Screen,
    report: Report,
    clock: SessionClock,
    mode: punktfunk_control::Mode,
    /// The mode that the desktop is being changed to, and what else was refused of the same request.
    mode_pending: Option<(punktfunk_control::Mode, Vec<String>)>,
    follows_rate: bool,
    redundancy_per_mille: u16,
    falls: Vec<Fall>,
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
}

impl StreamEnd {
    /// Ends the capture, and then what was captured. Takes a moment where that is a compositor.
    pub fn close(self) {
        drop(self.fitting);
        self.screens.into_iter().for_each(Screen::close);
    }
}

impl Stream {
    /// Starts the pipeline; `now` is the session clock's zero.
    ///
    /// # Errors
    /// The pipeline cannot be had; the screen is given back to be closed.
    pub fn start(
        opened: Opened,
        mode: punktfunk_control::Mode,
        secret: &Secret,
        (socket, path): (Arc<Socket>, Path),
        config: &StreamConfig,
        now: Instant,
    ) -> Result<Self, Box<(HostError, Screen)>> {
        let (cipher, cipher_reason) = opened.cipher;
        let Opened { fitting, screen, source, encoder, falls, news, negotiated, redundancy, .. } = opened;
        let mut comments = vec![
            format!("punktfunk-host {}", env!("CARGO_PKG_VERSION")),
            format!("source: {source}"),
            format!("mode: {}x{}@{}", mode.width, mode.height, f64::from(mode.refresh_mhz) / 1e3),
            format!("encoder: {encoder}"),
            format!("cipher: {cipher}, because {cipher_reason}"),
        ];
        comments.extend(config.caps.iter().cloned());
        let follows_rate = fitting.follows_rate();
        let clock = SessionClock::new(now);
        let host = HostConfig {
            negotiated,
            shard_bytes: SHARD_BYTES_START.min(negotiated.shard_bytes_max),
            clock,
            destination: path.remote,
            source: path.local,
            pace_kbps: config.link_kbps,
            burst_bytes: config.burst_bytes,
            redundancy: redundancy.policy,
            machine: config.machine.clone(),
        };
        let keys = PlaneKeys::new(secret, cipher, Direction::HostToClient, Plane::Video)
            .with_backend(config.seal.sealing(cipher));
        let mut pipeline = match HostPipeline::start(fitting, socket, Sealer::new(keys, now), &host) {
            Ok(pipeline) => pipeline,
            Err(error) => return Err(Box::new((error.into(), screen))),
        };
        for setup in pipeline.setups() {
            tracing::info!("stage {setup}");
            comments.push(format!("stage: {setup}"));
        }
        tracing::info!("{}", pipeline.memory());
        comments.push(format!("memory: {}", pipeline.memory().trim_start_matches("memory ")));
        let report = Report::new(config.perf.as_ref(), pipeline.take_collectors(), &comments, now);
        Ok(Self {
            pipeline,
            screen,
            report,
            clock,
            mode,
            mode_pending: None,
            follows_rate,
            redundancy_per_mille: redundancy.per_mille_at_start(),
            falls,
            news,
            overtaken: None,
            shard_bytes_max: negotiated.shard_bytes_max,
            path_pending: None,
            shard_bytes_pending: None,
            path_shrunk: 0,
            wire_kbps: negotiated.bitrate_kbps,
            next_stats: now + STATS_INTERVAL,
        })
    }

    /// The clock that pts are counted on.
    pub fn clock(&self) -> SessionClock {
        self.clock
    }

    /// The client misses `after_au` or earlier ones.
    pub fn request_idr(&self, after_au: u32) {
        self.pipeline.request_idr(after_au);
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

    /// Does what can be done of a change, and says what holds now; `None` where a desktop takes its time over
    /// it: [`Stream::poll_reconfigured`] says it then.
    pub fn reconfigure(&mut self, wanted: &Reconfigure) -> Option<Reconfigured> {
        let mut refused = Vec::new();
        if let Some(kbps) = wanted.bitrate_kbps
            && let Err(why) = self.set_rate(kbps)
        {
            refused.push(why.to_string());
        }
        if let Some(mode) = wanted.mode {
            let begun = punktfunk_capture::Mode::new(mode.width, mode.height, mode.refresh_mhz)
                .map_err(|error| HostError::Impossible(error.to_string()))
                .and_then(|mode| self.screen.change(mode));
            match begun {
                Ok(()) => {
                    self.mode_pending = Some((mode, refused));
                    return None;
                }
                Err(why) => refused.push(why.to_string()),
            }
        }
        Some(self.reconfigured(&refused))
    }

    /// What came of a change of mode, once the desktop is done with it.
    pub fn poll_reconfigured(&mut self) -> Option<Reconfigured> {
        if let Some(overtaken) = self.overtaken.take() {
            return Some(overtaken);
        }
        let outcome = self.screen.poll()?;
        let (mode, mut refused) = self.mode_pending.take()?;
        match outcome {
            Ok(()) => self.mode = mode,
            Err(why) => refused.push(why.to_string()),
        }
        Some(self.reconfigured(&refused))
    }

    /// What has become of the source, and the screen that is not shown any more: to be closed elsewhere.
    pub fn poll_news(&mut self) -> Option<(SourceNews, Option<Screen>)> {
        let News { source, why, mode, desktop, falls } = self.news.as_ref()?.try_recv().ok()?;
        self.falls = falls;
        self.mode = crate::serve::control_mode(mode);
        let before = source.is_some().then(|| std::mem::replace(&mut self.screen, Screen::new(desktop)));
        if before.is_some()
            && let Some((_, mut refused)) = self.mode_pending.take()
        {
            refused.push("the desktop ended before its mode was changed".to_owned());
            self.overtaken = Some(self.reconfigured(&refused));
        }
        let Reconfigured { mode, from_au, .. } = self.reconfigured(&[]);
        Some((SourceNews { source: source.unwrap_or_default(), why, mode: Some(mode), from_au }, before))
    }

    fn reconfigured(&self, refused: &[String]) -> Reconfigured {
        let next_au = self.pipeline.stats().encode.next_au;
        Reconfigured {
            mode: self.mode,
            bitrate_kbps: self.wire_kbps,
            from_au: u32::try_from(next_au).unwrap_or(u32::MAX),
            refused: refused.join("; "),
        }
    }

    fn set_rate(&mut self, kbps: u32) -> Result<(), HostError> {
        if !self.follows_rate {
            return Err(HostError::Impossible("this source has a rate of its own".into()));
        }
        if !BITRATE_KBPS.contains(&kbps) {
            let (least, most) = BITRATE_KBPS.into_inner();
            return Err(HostError::Impossible(format!("a bitrate is {least} to {most} kbit/s, not {kbps}")));
        }
        check_rate(kbps, self.redundancy_per_mille, self.shard_bytes_max.min(SHARD_BYTES_START))?;
        if self.pipeline.set_wire_rate(kbps).is_err() {
            return Err(HostError::Impossible("the bitrate stays, for the pacer is busy; ask again".into()));
        }
        self.wire_kbps = kbps;
        Ok(())
    }

    /// Reads the stages' samples; returns figures for the client when they are due.
    pub fn poll(&mut self, now: Instant) -> Option<HostStats> {
        self.tell_path();
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
        Some(with_falls(&self.falls, self.report.message(&stats, false, now)))
    }

    /// Whether media has shown since the last call that the path carries no long datagrams any more: what QUIC believes
    /// of it is outdated.
    pub fn poll_path_shrunk(&mut self) -> bool {
        let shrunk = self.pipeline.stats().protect.path_shrunk;
        std::mem::replace(&mut self.path_shrunk, shrunk) != shrunk
    }

    /// Whether a stage has ended by itself.
    pub fn is_ended(&self) -> bool {
        self.pipeline.is_ended()
    }

    /// Ends the pipeline; everything it lent is home afterwards.
    pub fn stop(mut self, now: Instant) -> StreamEnd {
        let end = self.pipeline.stop();
        if end.slices_out > 0 || end.arena_leased_bytes > 0 {
            tracing::error!(
                slices = end.slices_out,
                arena_bytes = end.arena_leased_bytes,
                "the pipeline did not bring everything home; this is our fault"
            );
        }
        self.report.finish(&end.stats, now);
        // What the source had to tell last: its falls, and desktops that are to be closed with the session.
        let mut screens = Vec::new();
        for News { source, desktop, falls, .. } in self.news.iter().flat_map(Receiver::try_iter) {
            if source.is_some() {
                screens.push(std::mem::replace(&mut self.screen, Screen::new(desktop)));
            }
            self.falls = falls;
        }
        let stats = with_falls(&self.falls, self.report.message(&end.stats, true, now));
        screens.push(self.screen);
        let fallen: u64 = self.falls.iter().map(|fall| fall.count).sum();
        StreamEnd {
            stats,
            fallbacks: fallen + end.stats.protect.fallbacks,
            fault: end.fault,
            fitting: end.encode,
            screens,
        }
    }
}

/// The figures with the source's falls among them.
fn with_falls(falls: &[Fall], stats: HostStats) -> HostStats {
    let count = |fall: &Fall| FallCount {
        from: fall.from.to_owned(),
        to: fall.to.to_owned(),
        reason: fall.reason.to_owned(),
        count: fall.count,
    };
    HostStats { falls: falls.iter().map(count).collect(), ..stats }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::process::Command;

    use punktfunk_control::{Hello, Mode};
    use punktfunk_display::limits::IPC_DEADLINE;
    use punktfunk_engine::Wishes;
    use punktfunk_net::SocketConfig;
    use punktfunk_seal::CipherPreference;

    use super::*;
    use crate::desktop::Desktop;
    use crate::opening::{OpeningConfig, open};
    use crate::redundancy::Redundancy;

    const MODE: Mode = Mode { width: 320, height: 180, refresh_mhz: 60_000 };

    /// A stream of this source to a port that nobody reads.
    fn stream(source: &str) -> Stream {
        let mut hello = Hello::new("test", MODE, 20_000);
        hello.codecs.push(punktfunk_control::Codec::Pattern);
        let doors = Arc::new(crate::ways::Doors::default());
        let opening = OpeningConfig {
            source: source.parse().unwrap(),
            doors,
            slices: 4,
            redundancy: Redundancy::fixed(100),
            ciphers: CipherPreference::of_this_cpu(None),
        };
        let opened = open(&opening, &hello, |_| ()).unwrap();
        let loopback = SocketConfig::new((Ipv4Addr::LOCALHOST, 0).into());
        let (socket, nobody) = (Socket::open(&loopback).unwrap(), Socket::open(&loopback).unwrap());
        let path = Path { remote: nobody.local_addr(), local: None };
        let config = StreamConfig {
            link_kbps: None,
            burst_bytes: 128 << 10,
            machine: Machine::probe(Wishes::default()),
            seal: Backends::measure(None, Instant::now),
            perf: None,
            caps: Vec::new(),
        };
        let (secret, to) = (Secret::new([7; 32]), (Arc::new(socket), path));
        Stream::start(opened, MODE, &secret, to, &config, Instant::now()).map_err(|failed| failed.0).unwrap()
    }

    fn change(stream: &mut Stream, mode: Option<Mode>, bitrate_kbps: Option<u32>) -> Reconfigured {
        stream.reconfigure(&Reconfigure { mode, bitrate_kbps }).expect("no desktop takes its time over it")
    }

    #[test]
    fn what_cannot_be_changed_is_refused_and_the_stream_goes_on() {
        let mut stream = stream("card");
        let done = change(&mut stream, None, Some(10_000));
        assert_eq!((done.bitrate_kbps, done.refused.as_str()), (10_000, ""));
        // The first is more than any stream's, the second more than this encoder's.
        for (kbps, said) in [(9_000_000, "500 to 8000000"), (499, "500 to 8000000"), (1_000_000, "at most")] {
            let done = change(&mut stream, None, Some(kbps));
            assert_eq!(done.bitrate_kbps, 10_000);
            assert!(done.refused.contains(said), "{done:?}");
        }
        let larger = Mode { width: 640, height: 360, ..MODE };
        let done = change(&mut stream, Some(larger), Some(12_000));
        assert_eq!((done.bitrate_kbps, done.mode), (12_000, MODE));
        assert!(done.refused.contains("fixed mode"), "{done:?}");
        let none = Mode { width: 0, ..MODE };
        assert!(!change(&mut stream, Some(none), None).refused.is_empty());
        assert!(stream.poll_reconfigured().is_none());
        let asked = Instant::now();
        while stream.pipeline.stats().protect.sent == 0 && asked.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(!stream.is_ended());
        let end = stream.stop(Instant::now());
        assert_eq!(end.fault, None);
        assert!(end.stats.aus_sent > 0);
        end.close();
    }

    /// Holds the machine's one desktop for tests; `None` where there can be none of our own, said, and no
    /// way out under CI.
    fn sway_turn() -> Option<std::fs::File> {
        let missing = ["sway", "foot"]
            .into_iter()
            .find(|program| Command::new(program).arg("--version").output().is_err())
            .map(|program| format!("{program} is not installed (apt install {program})"));
        let there = std::env::var_os("WAYLAND_DISPLAY").map(|_| "a desktop is there already".to_owned());
        if let Some(why) = missing.or(there) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "under CI this must be checked, but {why}");
            eprintln!("not checked: {why}");
            return None;
        }
        let turn = std::fs::File::create(std::env::temp_dir().join("punktfunk-sway-tests.lock")).unwrap();
        turn.lock().unwrap();
        Some(turn)
    }

    /// The processes that belong to this desktop.
    fn processes(desktop: &Desktop) -> Vec<String> {
        let folder = desktop.runtime_dir().expect("a desktop of our own").to_str().unwrap();
        let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
        let ours = all.filter(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(folder)
        });
        ours.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    fn signal(name: &str, processes: &[String]) {
        assert!(Command::new("kill").arg(name).args(processes).status().unwrap().success());
    }

    /// What comes of a change that a desktop takes its time over.
    fn changed(stream: &mut Stream) -> Reconfigured {
        let asked = Instant::now();
        loop {
            assert!(asked.elapsed() < Duration::from_secs(20));
            match stream.poll_reconfigured() {
                Some(done) => break done,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn begin_change(stream: &mut Stream, mode: Mode) {
        let wanted = Reconfigure { mode: Some(mode), bitrate_kbps: None };
        assert!(stream.reconfigure(&wanted).is_none(), "a desktop takes its time");
        let second = stream.reconfigure(&wanted).expect("one change at a time");
        assert!(second.refused.contains("already"), "{second:?}");
    }

    #[test]
    fn a_desktop_changes_its_mode_while_the_stream_goes_on() {
        let Some(_turn) = sway_turn() else { return };
        let mut stream = stream("wayland");
        let larger = Mode { width: 640, height: 360, ..MODE };
        begin_change(&mut stream, larger);
        let done = changed(&mut stream);
        assert_eq!((done.mode, done.refused.as_str()), (larger, ""));
        // The display could; the encoder could not, and would end the stream.
        begin_change(&mut stream, Mode { width: 8192, height: 8192, ..MODE });
        let done = changed(&mut stream);
        assert_eq!(done.mode, larger);
        assert!(done.refused.contains("8192x8192"), "{done:?}");
        std::thread::sleep(Duration::from_millis(200));
        assert!(!stream.is_ended());
        let end = stream.stop(Instant::now());
        assert_eq!(end.fault, None);
        end.close();
    }

    #[test]
    fn a_desktop_that_hangs_holds_nobody_up() {
        let Some(_turn) = sway_turn() else { return };
        let mut stream = stream("wayland");
        let Screen::Still(desktop) = &stream.screen else { panic!("a desktop of our own") };
        let hanging = processes(desktop);
        assert!(!hanging.is_empty());
        signal("-STOP", &hanging);
        let asked = Instant::now();
        begin_change(&mut stream, Mode { width: 640, height: 360, ..MODE });
        let took = asked.elapsed();
        signal("-CONT", &hanging);
        // As long as that it takes to give a desktop up that does not answer.
        assert!(took < IPC_DEADLINE, "{took:?}");
        // It may have been given up.
        let _ = changed(&mut stream);
        assert!(!stream.is_ended());
        stream.stop(Instant::now()).close();
    }

    #[test]
    fn a_source_with_a_rate_of_its_own_keeps_it() {
        let mut stream = stream("bitstream:rate=5M,fps=60,slices=2");
        let done = change(&mut stream, None, Some(10_000));
        assert!(done.refused.contains("rate of its own") && done.bitrate_kbps < 9_000, "{done:?}");
        stream.stop(Instant::now()).close();
    }
}
