//! The sending end: the engine's host pipeline on a real socket, in a process of its own.
//!
//! Promises: all that runs beside the pipeline is what the host's control thread does in the product: reports in,
//! samples out. Refuses: keys that protect anything; they come from a number on the command line.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use punktfunk_engine::{HostConfig, HostPipeline, Machine, Wishes};
use punktfunk_net::{Socket, SocketConfig};
use punktfunk_proto::{AuArrivals, BitratePolicy, FeedbackReport, RedundancyPolicy, SessionClock};
use punktfunk_seal::{
    Backends, Cipher, Direction, EPOCH_AGE_MAX, EpochLimits, Plane, PlaneKeys, SEQUENCES_PER_EPOCH_MAX,
    Sealer, Secret,
};

use crate::case::{Case, Waiting};
use crate::error::PerfProgramError;
use crate::hello::{Hello, Said};
use crate::machine;
use crate::meter::{Meter, Totals};
use crate::source::{PatternSource, SourceKnobs};
use crate::talk::{Answer, Change, HostSetup, Order, Orders, answer};

/// What the control plane would have measured on loopback, two wakes included.
const ROUND_TRIP: Duration = Duration::from_micros(300);

/// How long the control thread waits for a report before it looks at its orders.
const REPORT_WAIT: Duration = Duration::from_millis(5);

/// The cipher of every CPU with AES instructions.
const CIPHER: Cipher = Cipher::Aes128Gcm;

/// How often a client that has not reported yet is told where reports go.
const HELLO_INTERVAL: Duration = Duration::from_millis(100);

/// The keys of a test: anybody can make them.
pub fn test_keys(seed: u64) -> PlaneKeys {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    PlaneKeys::new(&Secret::new(bytes), CIPHER, Direction::HostToClient, Plane::Video)
}

/// The keys of a sender, sealed by what is the fastest here, and its name.
pub fn sealing_keys(seed: u64) -> (PlaneKeys, String) {
    let backend = Backends::measure(None, Instant::now).sealing(CIPHER);
    (test_keys(seed).with_backend(backend), format!("sealed by {}", backend.name()))
}

/// The keys of a receiver, opened by what is the fastest here, and its name.
pub fn opening_keys(seed: u64) -> (PlaneKeys, String) {
    let backend = Backends::measure(None, Instant::now).opening(CIPHER);
    (test_keys(seed).with_backend(backend), format!("opened by {}", backend.name()))
}

/// The cores as the case wants them to be waited on.
///
/// # Errors
/// A variable of the environment that says nothing.
pub fn machine_for(waiting: Waiting) -> Result<Machine, PerfProgramError> {
    let machine = Machine::probe(Wishes::from_env()?);
    Ok(match waiting {
        Waiting::Block => machine,
        Waiting::Spin => machine.spinning_on_shared_cores(),
    })
}

/// The sending end's parts.
struct Host {
    pipeline: HostPipeline<PatternSource>,
    socket: Arc<Socket>,
    reports: UdpSocket,
    destination: SocketAddr,
    knobs: Arc<SourceKnobs>,
    meter: Meter,
    sealed_by: String,
    alone: bool,
    heard: bool,
    hello_due: Instant,
    case: Case,
}

/// Runs until told to stop.
///
/// # Errors
/// The pipeline cannot start, or a stage broke.
pub fn run(setup: &HostSetup, orders: &Orders) -> Result<(), PerfProgramError> {
    let mut host = Host::start(setup)?;
    let address = host.socket.local_addr();
    let mut words = vec![host.socket.caps().to_string(), host.sealed_by.clone()];
    words.extend(host.pipeline.setups().iter().map(ToString::to_string));
    answer(&Answer::Ready { address, setup: words });
    loop {
        host.listen(Instant::now());
        match orders.poll() {
            Some(Order::Go) => {
                host.knobs.started.store(true, Ordering::Release);
                answer(&Answer::Done);
            }
            Some(Order::Mark) => {
                let totals = host.totals();
                host.meter.mark(totals);
                answer(&Answer::Done);
            }
            Some(Order::Report) => {
                let totals = host.totals();
                answer(&Answer::Window(Box::new(host.meter.window(totals))));
            }
            Some(Order::Change(change)) => {
                host.change(&change);
                answer(&Answer::Done);
            }
            Some(Order::Stop) => return host.stop(),
            None if host.pipeline.is_ended() => {
                let fault = host.pipeline.stop().fault;
                let words = fault.map_or("the source came to its end".to_owned(), |fault| fault.to_string());
                return Err(PerfProgramError::Failed(words));
            }
            None => {}
        }
    }
}

impl Host {
    fn start(setup: &HostSetup) -> Result<Host, PerfProgramError> {
        let io = |source| PerfProgramError::Io { what: "open the reports' socket", source };
        let case = &setup.case;
        let negotiated = case.negotiated()?;
        let config = SocketConfig { backend: case.backend()?, ..SocketConfig::new(setup.bind) };
        let socket = Arc::new(Socket::open(&config)?);
        let reports = UdpSocket::bind(SocketAddr::new(setup.bind.ip(), 0)).map_err(io)?;
        reports.set_read_timeout(Some(REPORT_WAIT)).map_err(io)?;
        let knobs = Arc::new(SourceKnobs::default());
        let origin = machine::instant_at(setup.origin_ns);
        let (pace_kbps, burst_bytes) = case.pacing();
        let config = HostConfig {
            negotiated,
            shard_bytes: case.shard_bytes,
            clock: SessionClock::new(origin),
            destination: setup.destination,
            source: None,
            pace_kbps,
            burst_bytes,
            redundancy: match case.adaptive {
                true => RedundancyPolicy::Adaptive,
                false => RedundancyPolicy::Fixed,
            },
            // What it sends has a size of its own.
            bitrate: BitratePolicy::Fixed,
            machine: machine_for(case.waiting)?,
        };
        let source = PatternSource::new(case, Arc::clone(&knobs));
        let (keys, sealed_by) = sealing_keys(setup.seed);
        let epoch = setup.epoch_datagrams.unwrap_or(SEQUENCES_PER_EPOCH_MAX);
        let limits = EpochLimits::shorter(epoch, EPOCH_AGE_MAX);
        let sealer = Sealer::with_limits(keys, limits, Instant::now());
        let mut pipeline = HostPipeline::start(source, Arc::clone(&socket), sealer, &config)?;
        let meter = Meter::new("host", pipeline.take_collectors(), setup.perf.as_deref(), origin)?;
        Ok(Host {
            pipeline,
            socket,
            reports,
            destination: setup.destination,
            knobs,
            meter,
            sealed_by,
            alone: setup.alone,
            heard: false,
            hello_due: Instant::now(),
            case: case.clone(),
        })
    }

    /// Takes what the client says, for a moment at most.
    fn listen(&mut self, now: Instant) {
        let mut bytes = [0; 2048];
        if let Ok((length, _)) = self.reports.recv_from(&mut bytes) {
            match Said::parse(&bytes[..length]) {
                Some(Said::Report(report)) => {
                    self.heard = true;
                    self.pipeline.handle_feedback(report, Some(ROUND_TRIP));
                }
                Some(Said::Missing(lost)) => self.pipeline.request_idr(lost),
                None => {}
            }
        }
        if self.alone {
            self.pipeline.handle_feedback(self.report_of_nobody(), Some(ROUND_TRIP));
        } else if !self.heard && now >= self.hello_due {
            self.hello_due = now + HELLO_INTERVAL;
            let port = self.reports.local_addr().map_or(0, |address| address.port());
            // Nobody may be there yet; it is said again.
            let _ = self.socket.send_to(self.destination, None, &Hello { port }.encode(), None);
        }
        let (pipeline, knobs) = (&self.pipeline, &self.knobs);
        self.meter.poll(|| totals(pipeline, knobs), now);
    }

    /// What a client would report to whom everything came: without it the arena would not be leased anew from its
    /// beginning, and the path would be taken for one that carries no long datagrams.
    fn report_of_nobody(&self) -> FeedbackReport {
        let protect = self.pipeline.stats().protect;
        let mut report = FeedbackReport::default();
        report.epoch_opened = u32::try_from(protect.epoch).unwrap_or(0);
        report.highest_au = u32::try_from(protect.sent).ok().and_then(|sent| sent.checked_sub(1));
        if let Some(au) = report.highest_au {
            report.push_arrivals(AuArrivals {
                au,
                first: 1,
                reach: 1,
                datagrams: 1,
                span_us: 0,
                newest_us: 0,
            });
        }
        report
    }

    fn totals(&self) -> Totals {
        totals(&self.pipeline, &self.knobs)
    }

    fn change(&mut self, change: &Change) {
        if let Some(size) = change.size_per_mille {
            self.knobs.size_per_mille.store(size, Ordering::Relaxed);
        }
        if let Some(interval) = change.interval_us {
            self.knobs.interval_us.store(interval, Ordering::Relaxed);
        }
        if change.size_per_mille.or(change.interval_us).is_some() {
            let _ = self.pipeline.set_wire_rate(self.wire_kbps());
        }
        // A full ring is emptied within milliseconds, and the next change tells it anew.
        if let Some(bytes) = change.shard_bytes {
            let _ = self.pipeline.set_shard_bytes(bytes);
        }
        if let Some(kbps) = change.pace_kbps {
            let _ = self.pipeline.set_pace_rate(kbps);
        }
    }

    /// The wire's rate at the size and the interval of now.
    fn wire_kbps(&self) -> u32 {
        let size = u64::from(self.knobs.size_per_mille.load(Ordering::Relaxed));
        let usual = self.case.interval().as_micros() as u64;
        let interval = match self.knobs.interval_us.load(Ordering::Relaxed) {
            0 => usual,
            micros => micros.into(),
        };
        let kbps = self.case.wire_kbps() * size / 1_000 * usual / interval.max(1);
        u32::try_from(kbps).unwrap_or(u32::MAX)
    }

    fn stop(mut self) -> Result<(), PerfProgramError> {
        let totals = self.totals();
        let mut window = self.meter.window(totals.clone());
        self.meter.finish(&totals);
        let end = self.pipeline.stop();
        window.gauges.insert("slices_out".to_owned(), end.slices_out as u64);
        window.gauges.insert("arena_leased_bytes".to_owned(), end.arena_leased_bytes as u64);
        match end.fault {
            Some(fault) => Err(PerfProgramError::Failed(fault.to_string())),
            None => {
                answer(&Answer::Window(Box::new(window)));
                Ok(())
            }
        }
    }
}

fn totals(pipeline: &HostPipeline<PatternSource>, knobs: &SourceKnobs) -> Totals {
    let stats = pipeline.stats();
    let (encode, protect) = (stats.encode, stats.protect);
    Totals {
        apart_ns: knobs.making_ns.load(Ordering::Relaxed),
        counters: vec![
            ("captured", encode.captured),
            ("superseded", encode.superseded),
            ("shed", encode.shed),
            ("encoded", encode.encoded),
            ("idrs", encode.idrs),
            ("recovery_points", encode.recovery_points),
            ("au_bytes", encode.bytes),
            ("sent", protect.sent),
            ("dropped_protect", protect.dropped_protect),
            ("dropped_key_exhausted", protect.dropped_key_exhausted),
            ("datagrams", protect.datagrams),
            ("parity_datagrams", protect.parity_datagrams),
            ("wire_bytes", protect.wire_bytes),
            ("system_calls", protect.system_calls),
            ("packets_send_dropped", protect.packets_send_dropped),
            ("waits_full", protect.waits_full),
            ("fallbacks", protect.fallbacks),
            ("immediate_aus", protect.immediate_aus),
            ("paced_aus", protect.paced_aus),
            ("reports", protect.reports),
            ("resend_asked", protect.resend_asked),
            ("datagrams_resent", protect.datagrams_resent),
            ("resend_late", protect.resend_late),
            ("resend_gone", protect.resend_gone),
            ("resend_refused", protect.resend_refused),
            ("buffers_made", knobs.buffers_made.load(Ordering::Relaxed)),
        ],
        gauges: vec![
            ("epoch", protect.epoch),
            ("next_au", encode.next_au),
            ("pool_bytes", knobs.buffer_bytes.load(Ordering::Relaxed)),
            ("datagrams_ever", protect.datagrams),
            ("resent_ever", protect.datagrams_resent),
        ],
    }
}
