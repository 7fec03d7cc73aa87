//! The host's pipeline: encode → protect and send, started, steered and stopped as one.
//!
//! Promises: two persistent threads for a session, or one where there are few cores, none started while it runs;
//! [`HostPipeline::stop`] brings every lent slice and every leased byte home and says whether it did; a pipeline
//! that is dropped has no thread left. Refuses: steering that blocks; what a full command ring cannot take is given
//! back to the caller.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use punktfunk_fec as fec;
use punktfunk_net::limits::LEASE_ALIGN_BYTES;
use punktfunk_net::{Arena, Sender, Socket};
use punktfunk_perf::Collector;
use punktfunk_proto::idr::IDR_SPACING;
use punktfunk_proto::{
    BitrateControl, BitratePolicy, FeedbackReport, FillerSent, IdrGate, LinkRate, Lost, Negotiated, Pacer,
    Packetizer, PathWatch, ReassemblerLimits, RedundancyPolicy, SessionClock, SpeedTestOrder,
};
use punktfunk_seal::Sealer;

use crate::departure::Departures;
use crate::encode::{Encode, EncodeEnd, EncodeStage, EncodeWishes, Progress, Protect, StageFault};
use crate::error::EngineError;
use crate::limits::{AUS_IN_FLIGHT_MAX, COMMAND_RING, FILLER_RING, TAP_SAMPLES};
use crate::machine::{CoreClaim, Idle, Machine, StageSetup};
use crate::planes::Sealers;
use crate::protect::{
    AuInProgress, Command, FillerFault, FillerOutcome, FillerWork, ProtectStage, Resends, Told,
};
use crate::stage::{Running, Stop, Waker, start};
use crate::stats::{EncodeCounters, HostStats, ProtectCounters};

/// Pinned stages of the host: encode, and protect with send.
const STAGES: usize = 2;

/// What a host's pipeline is built from, beside its socket, key and encoder.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// What the two ends agreed on; every bound follows from it.
    pub negotiated: Negotiated,
    /// Bytes of a shard until [`HostPipeline::set_shard_bytes`] changes it.
    pub shard_bytes: u16,
    /// The clock that pts are counted on.
    pub clock: SessionClock,
    /// Where media goes.
    pub destination: SocketAddr,
    /// Which of this machine's addresses media leaves from: QUIC's. `None` leaves the choice to the kernel.
    pub source: Option<IpAddr>,
    /// The pacer's rate in kbit/s, where it is fixed; else the link's, as reports prove it.
    pub pace_kbps: Option<u32>,
    /// The microburst cap: what may leave at once, in bytes.
    pub burst_bytes: usize,
    /// Whether the redundancy follows the client's reports.
    pub redundancy: RedundancyPolicy,
    /// Whether the wire's rate does. It stays where the pacer's is fixed: then nothing measures the link.
    pub bitrate: BitratePolicy,
    /// The cores to place stages on.
    pub machine: Machine,
}

/// A running host pipeline. Dropped, it stops as [`HostPipeline::stop`] does, and what is left is lost.
pub struct HostPipeline<E: Encode> {
    /// The protect stage, where it has a thread of its own, and the encode stage.
    running: Running<usize, EncodeEnd<E>, Waker>,
    commands: rtrb::Producer<Command>,
    /// What comes of speed tests; none where there are no keys for them.
    filler: Option<rtrb::Consumer<FillerOutcome>>,
    protect: Waker,
    progress: Arc<Progress>,
    wishes: Arc<EncodeWishes>,
    encode_counters: Arc<EncodeCounters>,
    protect_counters: Arc<ProtectCounters>,
    collectors: Vec<Collector>,
    setups: Vec<StageSetup>,
    memory: String,
    _cores: CoreClaim,
}

/// What is left when a host pipeline has stopped.
pub struct HostEnd<E> {
    /// The encoder, to be used again; none when its stage panicked.
    pub encode: Option<E>,
    /// The last snapshot.
    pub stats: HostStats,
    /// What ended a stage before it was told to.
    pub fault: Option<StageFault>,
    /// Slices that did not come home; 0 unless a stage is broken.
    pub slices_out: usize,
    /// Bytes of the arena still leased; 0 unless a stage is broken.
    pub arena_leased_bytes: usize,
}

/// The two stages, ready to run, and the other ends of what joins them.
struct Built<E: Encode> {
    encode: EncodeStage<E>,
    /// None where it shares the encode stage's thread.
    protect: Option<ProtectStage<E::Slice>>,
    /// Wakes the protect stage.
    waker: Waker,
    commands: rtrb::Producer<Command>,
    filler: Option<rtrb::Consumer<FillerOutcome>>,
    collectors: Vec<Collector>,
}

impl<E: Encode> HostPipeline<E> {
    /// Starts both stages.
    ///
    /// # Errors
    /// No memory for the arena, or no thread for a stage.
    pub fn start(
        encode: E,
        socket: Arc<Socket>,
        sealers: impl Into<Sealers>,
        config: &HostConfig,
    ) -> Result<Self, EngineError> {
        // Whoever sends has the real-time priority: a receiver on the same machine would take its core from it with the
        // first train.
        let ([protect_place, encode_place], cores) = match config.machine.merges(STAGES) {
            true => {
                let ([place], cores) = config.machine.claim([true]);
                ([place; STAGES], cores)
            }
            false => config.machine.claim([true, false]),
        };
        let built = build(encode, socket, sealers.into(), config, protect_place.idle)?;
        let Built { encode, protect, waker, commands, filler, collectors } = built;
        let (wishes, stop, progress) = (encode.wishes.clone(), encode.stop.clone(), encode.progress.clone());
        let (encode_counters, protect_counters) = (encode.counters.clone(), encode.sent.clone());
        let mut setups = Vec::with_capacity(STAGES);
        let protect = match protect {
            None => None,
            Some(protect) => {
                let (thread, setup) = start("protect", protect_place, move || protect.run())
                    .map_err(|source| EngineError::Thread { stage: "protect", source })?;
                setups.push(setup);
                Some(thread)
            }
        };
        let mut running = Running::new(protect, stop, waker.clone(), Waker::wake);
        // A failure here drops the encode stage, with which the protect stage comes to its end and is joined.
        let (encode, setup) = start("encode", encode_place, move || encode.run())
            .map_err(|source| EngineError::Thread { stage: "encode", source })?;
        running.add(encode);
        setups.push(setup);
        Ok(Self {
            running,
            commands,
            filler,
            protect: waker,
            progress,
            wishes,
            encode_counters,
            protect_counters,
            collectors,
            setups,
            memory: config.machine.lock_memory(),
            _cores: cores,
        })
    }

    /// The client misses this: a recovery point is asked for where the encoder can make one, else an IDR.
    pub fn request_idr(&self, lost: Lost) {
        self.wishes.lost.tell(lost);
    }

    /// Sets the wire's rate, redundancy included: what holds within two pictures, or the most, where it follows the
    /// reports.
    ///
    /// # Errors
    /// The command ring is full; try again later.
    pub fn set_wire_rate(&mut self, kbps: u32) -> Result<(), u32> {
        if !self.command(Command::WireRate(kbps)) {
            return Err(kbps);
        }
        // The encoder's next picture shall have it, before any slice of it is there.
        self.protect.wake();
        Ok(())
    }

    /// Sends media to another address from the next slice on, over a path of which nothing is known: in short shards,
    /// and at the rate that a session begins with.
    ///
    /// # Errors
    /// The command ring is full; try again later.
    pub fn set_destination(
        &mut self,
        destination: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<(), SocketAddr> {
        self.command(Command::Destination(destination, source)).then_some(()).ok_or(destination)
    }

    /// Makes shards this long from the next access unit on.
    ///
    /// # Errors
    /// The command ring is full; try again later.
    pub fn set_shard_bytes(&mut self, bytes: u16) -> Result<(), u16> {
        self.command(Command::ShardBytes(bytes)).then_some(()).ok_or(bytes)
    }

    /// Sets the pacer's rate, in kbit/s; without effect where it follows the link.
    ///
    /// # Errors
    /// The command ring is full; try again later.
    pub fn set_pace_rate(&mut self, kbps: u32) -> Result<(), u32> {
        self.command(Command::PaceRate(kbps)).then_some(()).ok_or(kbps)
    }

    /// Pictures have this refresh rate from now on: a decoder's time is compared with it, and an access unit waits no
    /// longer for the kernel than until the next one.
    ///
    /// # Errors
    /// The command ring is full; try again later.
    pub fn set_refresh(&mut self, refresh_mhz: u32) -> Result<(), u32> {
        self.command(Command::PictureInterval(picture_interval(refresh_mhz))).then_some(()).ok_or(refresh_mhz)
    }

    /// Passes on what the client reports, over a path of this round trip. With a full ring the report is let go: the
    /// next one repeats its state.
    pub fn handle_feedback(&mut self, report: FeedbackReport, rtt: Option<Duration>) {
        let asks = !report.open_aus().is_empty();
        if !self.command(Command::Feedback(Told { report, rtt, at: Instant::now() })) {
            return tracing::trace!("a feedback report met a full ring");
        }
        // What is asked for must not wait for the next slice.
        if asks {
            self.protect.wake();
        }
    }

    /// Begins a speed test: pictures wait at their source until its filler has left, and an IDR follows. One at a time;
    /// whoever begins the next one has taken this one's outcome.
    ///
    /// # Errors
    /// The pipeline has no keys for it, or the command ring is full.
    pub fn begin_speed_test(&mut self, test: u16, order: SpeedTestOrder) -> Result<(), SpeedTestOrder> {
        if self.filler.is_none() || self.progress.filling.swap(true, Ordering::AcqRel) {
            return Err(order);
        }
        if !self.command(Command::SpeedTest(test, order)) {
            self.progress.filling.store(false, Ordering::Release);
            return Err(order);
        }
        self.protect.wake();
        Ok(())
    }

    /// What was sent of the speed test that was begun last, once its filler has left.
    pub fn poll_speed_test(&mut self) -> Option<Result<FillerSent, FillerFault>> {
        self.filler.as_mut()?.pop().ok()
    }

    /// The client says which epoch of the probe plane it has opened. A full command ring keeps the plane in its epoch.
    pub fn handle_probe_epoch(&mut self, epoch: u32) {
        if !self.command(Command::ProbeEpoch(epoch)) {
            tracing::debug!("the probe plane's epoch met a full ring");
        }
    }

    /// Whether the ring took the command. No wake: the stage looks with each slice, and every
    /// few ten milliseconds without one.
    fn command(&mut self, command: Command) -> bool {
        self.commands.push(command).is_ok()
    }

    /// One snapshot by value.
    pub fn stats(&self) -> HostStats {
        HostStats { encode: self.encode_counters.snapshot(), protect: self.protect_counters.snapshot() }
    }

    /// What each stage got of the machine.
    pub fn setups(&self) -> &[StageSetup] {
        &self.setups
    }

    /// Whether the pipeline's memory is locked, in one line.
    pub fn memory(&self) -> &str {
        &self.memory
    }

    /// The stages' samples; to be taken once.
    pub fn take_collectors(&mut self) -> Vec<Collector> {
        std::mem::take(&mut self.collectors)
    }

    /// Whether a stage has ended by itself: the source is at its end, or broke.
    pub fn is_ended(&self) -> bool {
        self.running.is_ended()
    }

    /// Tells both stages to stop and waits that long for it; whether they have. A source or an encoder that hangs may
    /// never: [`HostPipeline::stop`] waits for it all the same, and so does a drop.
    pub fn wind_down(&self, patience: Duration) -> bool {
        self.running.wind_down(patience)
    }

    /// Stops both stages and brings everything home.
    pub fn stop(self) -> HostEnd<E> {
        let (arena_leased_bytes, encode) = self.running.stop();
        let stats =
            HostStats { encode: self.encode_counters.snapshot(), protect: self.protect_counters.snapshot() };
        let panicked = |stage| Some(StageFault::new(stage, "the stage's thread panicked; this is our fault"));
        let (encode, mut fault, slices_out, leased_here) = match encode {
            Some(end) => (Some(end.encode), end.fault, end.slices_out, end.arena_leased_bytes),
            None => (None, panicked("encode"), 0, Some(0)),
        };
        let arena_leased_bytes = arena_leased_bytes.or(leased_here).unwrap_or_else(|| {
            fault = panicked("protect");
            0
        });
        HostEnd { encode, stats, fault, slices_out, arena_leased_bytes }
    }
}

/// What sends a speed test's filler, and what comes of it; the latter only where there are keys for it.
fn filler(probe: Option<Sealer>, config: &HostConfig) -> (FillerWork, Option<rtrb::Consumer<FillerOutcome>>) {
    let (done, outcomes) = rtrb::RingBuffer::new(FILLER_RING);
    let outcomes = probe.is_some().then_some(outcomes);
    (FillerWork::new(probe, config.clock, config.burst_bytes, done), outcomes)
}

fn build<E: Encode>(
    encode: E,
    socket: Arc<Socket>,
    Sealers { video, probe }: Sealers,
    config: &HostConfig,
    protect_idle: Idle,
) -> Result<Built<E>, EngineError> {
    let negotiated = &config.negotiated;
    let (sent, places) = (Arc::<ProtectCounters>::default(), slice_places(negotiated));
    let (slices_in, slices_out) = rtrb::RingBuffer::new(places);
    let (home_in, home_out) = rtrb::RingBuffer::new(places);
    let (commands_in, commands_out) = rtrb::RingBuffer::new(COMMAND_RING);
    let (filler, outcomes) = filler(probe, config);
    let (encode_tap, encode_collector) = punktfunk_perf::channel(TAP_SAMPLES);
    let (protect_tap, protect_collector) = punktfunk_perf::channel(TAP_SAMPLES);
    let (waker, stop, progress) = (Waker::new(), Stop::default(), Arc::<Progress>::default());
    let wishes = Arc::new(EncodeWishes::at(negotiated.bitrate_kbps));
    let (arena, blocks_max) = arena(negotiated)?;
    let protect = ProtectStage {
        slices: slices_out,
        home: home_in,
        commands: commands_out,
        waker: waker.clone(),
        packetizer: packetizer(config),
        fec: encoder(negotiated, config.machine.fec_kernel()),
        sealer: video,
        sender: sender(socket, config.source, &arena),
        arena,
        pacer: Pacer::new(config.pace_kbps.unwrap_or(negotiated.bitrate_kbps), config.burst_bytes),
        link: link(config),
        bitrate: bitrate(config),
        is_futile_said: false,
        departures: Departures::new(protect_idle),
        path: PathWatch::default(),
        destination: config.destination,
        patience: picture_interval(negotiated.refresh_mhz),
        idle: protect_idle,
        progress: progress.clone(),
        wishes: Arc::clone(&wishes),
        counters: sent.clone(),
        tap: protect_tap,
        stop: stop.clone(),
        resends: Resends::new(negotiated, config.redundancy),
        au: AuInProgress::with_capacity(blocks_max),
        filler,
    };
    let (here, protect) = placed(protect, config.machine.merges(STAGES));
    let encode = EncodeStage {
        encode,
        ring: slices_in,
        home: home_out,
        protect: here,
        wishes,
        counters: Arc::new(EncodeCounters::default()),
        sent,
        progress,
        clock: config.clock,
        gate: IdrGate::new(IDR_SPACING),
        slices_max: negotiated.slices_max,
        tap: encode_tap,
        stop,
        next_au: 0,
        slices_out: 0,
        lags_since: None,
        shed: 0,
        captured: None,
    };
    let collectors = vec![encode_collector, protect_collector];
    Ok(Built { encode, protect, waker, commands: commands_in, filler: outcomes, collectors })
}

fn bitrate(config: &HostConfig) -> Option<BitrateControl> {
    let is_adaptive = config.bitrate == BitratePolicy::Adaptive;
    let (kbps, interval) = (config.negotiated.bitrate_kbps, picture_interval(config.negotiated.refresh_mhz));
    (is_adaptive && config.pace_kbps.is_none()).then(|| BitrateControl::new(kbps, interval))
}

fn link(config: &HostConfig) -> Option<LinkRate> {
    let measured = || LinkRate::new(config.negotiated.bitrate_kbps, config.burst_bytes);
    config.pace_kbps.is_none().then(measured)
}

/// The arena, and how many blocks it has leases for.
fn arena(negotiated: &Negotiated) -> Result<(Arena, usize), EngineError> {
    let blocks_max = usize::from(ReassemblerLimits::from(negotiated).blocks_per_au_max);
    Ok((Arena::new(arena_bytes(negotiated, blocks_max))?, blocks_max))
}

/// A place for each slice of each access unit in flight, and one each for an end learned late.
fn slice_places(negotiated: &Negotiated) -> usize {
    (AUS_IN_FLIGHT_MAX as usize + 1) * (usize::from(negotiated.slices_max) + 1)
}

/// The protect stage as the encode stage sees it, and the stage itself where it has a thread of its own.
fn placed<S>(protect: ProtectStage<S>, merges: bool) -> (Protect<S>, Option<ProtectStage<S>>) {
    match merges {
        true => (Protect::Together(Box::new(protect)), None),
        false => (Protect::Apart(protect.waker.clone()), Some(protect)),
    }
}

fn packetizer(config: &HostConfig) -> Packetizer {
    let mut packetizer = Packetizer::new(&config.negotiated);
    packetizer.set_shard_bytes(config.shard_bytes);
    packetizer
}

/// Its memory is taken now, not with the first IDR.
fn encoder(negotiated: &Negotiated, kernel: fec::Kernel) -> fec::Encoder {
    let mut encoder = fec::Encoder::with_kernel(kernel);
    negotiated.shapes_expected().into_iter().for_each(|shape| encoder.prepare(shape));
    encoder
}

fn sender(socket: Arc<Socket>, source: Option<IpAddr>, arena: &Arena) -> Sender {
    let mut sender = Sender::new(socket);
    sender.attach(arena);
    sender.set_source(source);
    sender
}

fn picture_interval(refresh_mhz: u32) -> Duration {
    Duration::from_nanos(1_000_000_000_000 / u64::from(refresh_mhz.max(1)))
}

/// The arena's size as a sum, a line for each holder.
fn arena_bytes(negotiated: &Negotiated, blocks_max: usize) -> usize {
    // The access unit that is being sent: its largest, with parity, headers and tags. Where it is that large, what is
    // held for resends goes first, and then its own blocks that have left; so a wrap of the ring costs no room.
    let au = negotiated.au_wire_bytes_max();
    // The usual access units before it that may be sent again. Reports give most of them back within a round trip, and
    // an arena with nothing out begins anew at its start, so that it stays warm.
    let held = negotiated.aus_held_bytes();
    // What each block's lease is rounded up by.
    let rounding = blocks_max * LEASE_ALIGN_BYTES;
    au + held + rounding
}

#[cfg(test)]
mod tests;
