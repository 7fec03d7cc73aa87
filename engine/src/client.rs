//! The client's pipeline: receive, open and recover → decode, started and stopped as one.
//!
//! Promises: two persistent threads for a session; QUIC datagrams, feedback reports and requests for an
//! IDR come out of bounded rings that the control thread empties, a ring's length at most in one call;
//! [`ClientPipeline::stop`] brings every span home and says whether it did; a pipeline that is dropped has
//! no thread left. Refuses: to start before the session's key is there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use punktfunk_net::Receiver;
use punktfunk_perf::Collector;
use punktfunk_proto::{
    FeedbackReport, FillerSeen, IdrRequester, Lost, Negotiated, Reassembler, ReassemblerLimits, SessionClock,
};
use punktfunk_seal::Opener;

use crate::decode::{Decode, DecodeEnd, DecodeStage, Next, SessionTime};
use crate::encode::StageFault;
use crate::error::EngineError;
use crate::limits::{
    CONTROL_RING, DECODE_BACKLOG, DECODE_BACKLOG_AUS_MIN, FEEDBACK_INTERVAL, FEEDBACK_RING, FILLER_RING,
    TAP_SAMPLES,
};
use crate::load::LoadMeter;
use crate::lost::LostCell;
use crate::machine::{CoreClaim, Idle, Machine, StageSetup};
use crate::planes::Openers;
use crate::receive::{ControlDatagram, FillerCount, FillerQuestion, Outbox, ReceiveEnd, ReceiveStage};
use crate::stage::{Running, Stop, Waker, drain, start};
use crate::stats::{ClientStats, DecodeCounters, ReceiveCounters};

/// What a client's pipeline is built from, beside its socket, key and decoder.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// What the two ends agreed on; every bound follows from it.
    pub negotiated: Negotiated,
    /// The client's own clock.
    pub clock: SessionClock,
    /// That clock joined to the host's.
    pub time: Arc<SessionTime>,
    /// Who is woken for QUIC datagrams, reports and requests: the control thread, attached.
    pub control: Waker,
    /// The cores to place stages on.
    pub machine: Machine,
}

/// A running client pipeline. Dropped, it stops as [`ClientPipeline::stop`] does, and what is left is lost.
pub struct ClientPipeline<D: Decode> {
    /// The decode stage, and the receive stage.
    running: Running<DecodeEnd<D>, ReceiveEnd, punktfunk_net::Waker>,
    quic: rtrb::Consumer<ControlDatagram>,
    feedback: rtrb::Consumer<FeedbackReport>,
    filler: Filler,
    lost: Arc<LostCell>,
    receive_counters: Arc<ReceiveCounters>,
    decode_counters: Arc<DecodeCounters>,
    collectors: Vec<Collector>,
    setups: Vec<StageSetup>,
    memory: String,
    _cores: CoreClaim,
}

/// What joins the control thread with the receive stage in a speed test.
struct Filler {
    question: Arc<FillerQuestion>,
    answers: rtrb::Consumer<FillerSeen>,
}

/// What is left when a client pipeline has stopped.
pub struct ClientEnd<D> {
    /// The decoder; none when its stage panicked.
    pub decode: Option<D>,
    /// The receiving end of the socket, for the control thread's last words; none after a panic.
    pub receiver: Option<Receiver>,
    /// The last snapshot.
    pub stats: ClientStats,
    /// What ended a stage before it was told to.
    pub fault: Option<StageFault>,
    /// Spans that did not come home; 0 unless a stage is broken.
    pub spans_out: usize,
}

/// The two stages, ready to run, and the other ends of what joins them.
struct Built<D: Decode> {
    receive: ReceiveStage,
    decode: DecodeStage<D>,
    quic: rtrb::Consumer<ControlDatagram>,
    feedback: rtrb::Consumer<FeedbackReport>,
    filler: Filler,
    collectors: Vec<Collector>,
}

impl<D: Decode> ClientPipeline<D> {
    /// Starts both stages.
    ///
    /// # Errors
    /// No thread for a stage.
    pub fn start(
        decode: D,
        receiver: Receiver,
        openers: impl Into<Openers>,
        config: &ClientConfig,
    ) -> Result<Self, EngineError> {
        let receive_waker = receiver.waker();
        let ([receive_place, decode_place], cores) = config.machine.claim([true, false]);
        let idle = [receive_place.idle, decode_place.idle];
        let built = build(decode, receiver, openers.into(), config, idle);
        let Built { receive, decode, quic, feedback, filler, collectors } = built;
        let (lost, stop) = (decode.lost.clone(), receive.stop.clone());
        let (receive_counters, decode_counters) = (receive.counters.clone(), decode.counters.clone());
        let (decode, decode_setup) = start("decode", decode_place, move || decode.run())
            .map_err(|source| EngineError::Thread { stage: "decode", source })?;
        let mut running = Running::new(Some(decode), stop, receive_waker, punktfunk_net::Waker::wake);
        // A failure here drops the receive stage, with which the decode stage comes to its end and is joined.
        let (receive, receive_setup) = start("receive", receive_place, move || receive.run())
            .map_err(|source| EngineError::Thread { stage: "receive", source })?;
        running.add(receive);
        Ok(Self {
            running,
            quic,
            feedback,
            filler,
            lost,
            receive_counters,
            decode_counters,
            collectors,
            setups: vec![receive_setup, decode_setup],
            memory: config.machine.lock_memory(),
            _cores: cores,
        })
    }

    /// Takes the QUIC datagrams that came since the last call: from whom, to which of this machine's
    /// addresses, and their bytes. What comes meanwhile is left for the next call, for which the control thread
    /// is woken.
    pub fn poll_quic(&mut self, mut handle: impl FnMut(SocketAddr, Option<IpAddr>, &mut [u8])) {
        drain(&mut self.quic, |mut datagram| {
            handle(datagram.from, datagram.to, &mut datagram.bytes[..usize::from(datagram.len)]);
        });
    }

    /// The newest feedback report that waits to be sent.
    pub fn poll_feedback(&mut self) -> Option<FeedbackReport> {
        let mut newest = None;
        drain(&mut self.feedback, |report| newest = Some(report));
        newest
    }

    /// What is missed, to be told to the host now.
    pub fn poll_idr_request(&self) -> Option<Lost> {
        self.lost.take()
    }

    /// Asks what came of speed test `test`, now that the host has said that all of it has left.
    pub fn ask_speed_test(&self, test: u16) {
        self.filler.question.ask(test);
    }

    /// What came of the speed test that was asked about: a tenth of a second after its last datagram, or a second after the
    /// question. The control thread is woken for it.
    pub fn poll_speed_test(&mut self) -> Option<FillerSeen> {
        self.filler.answers.pop().ok()
    }

    /// One snapshot by value.
    pub fn stats(&self) -> ClientStats {
        ClientStats { receive: self.receive_counters.snapshot(), decode: self.decode_counters.snapshot() }
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

    /// Whether a stage has ended by itself.
    pub fn is_ended(&self) -> bool {
        self.running.is_ended()
    }

    /// Stops both stages and brings every span home.
    pub fn stop(self) -> ClientEnd<D> {
        let (decode, receive) = self.running.stop();
        let stats = ClientStats {
            receive: self.receive_counters.snapshot(),
            decode: self.decode_counters.snapshot(),
        };
        let panicked = |stage| Some(StageFault::new(stage, "the stage's thread panicked; this is our fault"));
        let (receiver, receive_fault, spans_out) = match receive {
            Some(end) => (Some(end.receiver), end.fault, end.spans_out),
            None => (None, panicked("receive"), 0),
        };
        let (decode, decode_fault) = match decode {
            Some(end) => (Some(end.decode), end.fault),
            None => (None, panicked("decode")),
        };
        ClientEnd { decode, receiver, stats, fault: receive_fault.or(decode_fault), spans_out }
    }
}

/// Access units that may wait for the decoder.
fn decode_backlog_aus(negotiated: &Negotiated) -> u64 {
    let aus = DECODE_BACKLOG.as_millis() as u64 * u64::from(negotiated.refresh_mhz) / 1_000_000;
    aus.max(DECODE_BACKLOG_AUS_MIN)
}

/// Not so short that what is reported of silence is much.
fn picture_interval(refresh_mhz: u32) -> Duration {
    Duration::from_nanos(1_000_000_000_000 / u64::from(refresh_mhz.max(1))).max(2 * FEEDBACK_INTERVAL)
}

/// The two ends of a speed test, the receive stage's only where there are keys for it.
fn filler(probe: Option<Opener>, shard_bytes_max: u16) -> (Option<FillerCount>, Filler) {
    let (answers_in, answers) = rtrb::RingBuffer::new(FILLER_RING);
    let question = Arc::<FillerQuestion>::default();
    let asked = Arc::clone(&question);
    let count =
        probe.map(|opener| FillerCount::new(opener, shard_bytes_max, asked, answers_in, Instant::now()));
    (count, Filler { question, answers })
}

fn build<D: Decode>(
    decode: D,
    receiver: Receiver,
    Openers { video, probe }: Openers,
    config: &ClientConfig,
    [receive_idle, decode_idle]: [Idle; 2],
) -> Built<D> {
    let limits = ReassemblerLimits::from(&config.negotiated);
    let (aus_decoded, backlog) = (Arc::new(AtomicU64::new(0)), decode_backlog_aus(&config.negotiated));
    // A place for each block of each access unit that may wait, and one for its loss.
    let places = (backlog as usize + 1) * (usize::from(limits.blocks_per_au_max) + 1);
    let (deliveries_in, deliveries_out) = rtrb::RingBuffer::new(places);
    // One place more than blocks can be out: those in the ring, and the one in the decoder's hands.
    let (home_in, home_out) = rtrb::RingBuffer::new(places + 1);
    let (quic_in, quic_out) = rtrb::RingBuffer::new(CONTROL_RING);
    let (feedback_in, feedback_out) = rtrb::RingBuffer::new(FEEDBACK_RING);
    let (receive_tap, receive_collector) = punktfunk_perf::channel(TAP_SAMPLES);
    let (decode_tap, decode_collector) = punktfunk_perf::channel(TAP_SAMPLES);
    let (waker, decode_counters) = (Waker::new(), Arc::<DecodeCounters>::default());
    let (filler_in, filler_out) = filler(probe, config.negotiated.shard_bytes_max);
    let receive = ReceiveStage {
        receiver,
        reassembler: Reassembler::with_kernel(limits, video, config.machine.fec_kernel()),
        outbox: Outbox::new(deliveries_in, home_out, Arc::clone(&aus_decoded), backlog, receive_tap),
        quic: quic_in,
        feedback: feedback_in,
        decode: waker.clone(),
        control: config.control.clone(),
        counters: Arc::new(ReceiveCounters::default()),
        stop: Stop::default(),
        idle: receive_idle,
        last_batch: Instant::now(),
        wake_control: false,
        last_feedback: Instant::now(),
        last_media: Instant::now(),
        picture_interval: picture_interval(config.negotiated.refresh_mhz),
        datagrams: 0,
        wire_bytes: 0,
        clock: config.clock,
        time: Arc::clone(&config.time),
        load: LoadMeter::new(Arc::clone(&decode_counters)),
        filler: filler_in,
    };
    let decode = DecodeStage {
        requester: IdrRequester::new(decode.has_references()),
        decode,
        deliveries: deliveries_out,
        aus_decoded,
        home: home_in,
        waker,
        control: config.control.clone(),
        idle: decode_idle,
        clock: config.clock,
        time: config.time.clone(),
        lost: Arc::default(),
        counters: decode_counters,
        tap: decode_tap,
        next: Next::default(),
        spent: Duration::ZERO,
        decoded_at: None,
    };
    Built {
        receive,
        decode,
        quic: quic_out,
        feedback: feedback_out,
        filler: filler_out,
        collectors: vec![receive_collector, decode_collector],
    }
}
