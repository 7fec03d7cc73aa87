//! A pair of pipelines on loopback, with a source whose every byte can be checked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_engine::{
    ClientConfig, ClientPipeline, Decode, DecodeOutcome, Encode, EncodeOutcome, EncodeRequest, HostConfig,
    HostPipeline, Machine, Merge, Openers, Sealers, SessionTime, SliceSink, SourceCounts, StageFault, Wait,
    Waker, Wishes,
};
use punktfunk_net::{ReceiveLimits, Receiver, Socket, SocketConfig};
use punktfunk_proto::{
    BitratePolicy, DeliveredBlock, Negotiated, ReassemblerLimits, RedundancyPolicy, SessionClock,
};
use punktfunk_seal::{Cipher, Direction, EpochLimits, Opener, Plane, PlaneKeys, Sealer, Secret};

/// The byte at `offset` of slice `slice` of access unit `au`.
fn byte(au: u32, slice: u16, offset: usize) -> u8 {
    (au as usize).wrapping_mul(31).wrapping_add(usize::from(slice) * 7).wrapping_add(offset * 13) as u8
}

/// Bytes after which a slice's repeat.
pub(crate) const PERIOD: usize = 256;

/// The first two periods of a slice, so that one of them begins anywhere in the first.
pub(crate) fn row(au: u32, slice: u16) -> [u8; 2 * PERIOD] {
    std::array::from_fn(|offset| byte(au, slice, offset))
}

/// A source of `slices` slices of `slice_bytes` bytes each, `au_count` times, or for ever.
pub(crate) struct Pattern {
    pub(crate) slices: u16,
    pub(crate) slice_bytes: usize,
    pub(crate) interval: Duration,
    pub(crate) au_count: u64,
    pub(crate) next_due: Instant,
    /// When the newest picture was, where each has its time.
    pub(crate) due: Option<Instant>,
    pub(crate) pool: Vec<Vec<u8>>,
    pub(crate) counts: SourceCounts,
    pub(crate) idrs_forced: Arc<AtomicU64>,
    /// Once this holds, the encoder makes each slice but the first.
    pub(crate) goes_on: Arc<AtomicBool>,
    pub(crate) passed_over: u64,
    /// Closes the loop.
    pub(crate) window: Option<Window>,
    next_au: u64,
}

/// Access units that may be under way, so that no stall of a thread overflows a queue or a socket.
pub(crate) struct Window {
    /// The newest that the decoder has done with, plus one.
    pub(crate) decoded: Arc<AtomicU64>,
    pub(crate) aus: Arc<AtomicU64>,
}

impl Pattern {
    /// A source whose next picture is there as soon as fewer than `aus` are under way to `check`.
    pub(crate) fn closed(slices: u16, slice_bytes: usize, aus: u64, au_count: u64, check: &Check) -> Self {
        let window = Window { decoded: Arc::clone(&check.decoded), aus: Arc::new(aus.into()) };
        Self { window: Some(window), ..Self::new(slices, slice_bytes, Duration::ZERO, au_count) }
    }

    /// A source that has a picture each `interval`, whatever becomes of it.
    pub(crate) fn new(slices: u16, slice_bytes: usize, interval: Duration, au_count: u64) -> Self {
        let mut pool = Vec::with_capacity(64);
        pool.resize_with(usize::from(slices) * 8, || Vec::with_capacity(slice_bytes));
        Self {
            slices,
            slice_bytes,
            interval,
            au_count,
            next_due: Instant::now(),
            due: None,
            pool,
            counts: SourceCounts::default(),
            idrs_forced: Arc::default(),
            goes_on: Arc::new(true.into()),
            passed_over: 0,
            window: None,
            next_au: 0,
        }
    }

    /// Access unit `au` was encoded, by whoever takes its pictures from here.
    pub(crate) fn encoded(&mut self, au: u32) {
        self.next_au = u64::from(au) + 1;
    }

    fn wait_window(&mut self, window: &Window, timeout: Duration) -> Wait {
        let end = Instant::now() + timeout;
        while self.next_au - window.decoded.load(Ordering::Acquire) >= window.aus.load(Ordering::Acquire) {
            if Instant::now() >= end {
                return Wait::Nothing;
            }
            thread::sleep(LOOK);
        }
        self.counts.captured += 1;
        Wait::Picture(Instant::now())
    }
}

/// How often what a test waits for is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// How long a stage waits for its test.
const GATE_WAIT: Duration = Duration::from_secs(10);

impl Encode for Pattern {
    type Slice = Vec<u8>;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        if self.counts.captured == self.au_count {
            return Ok(Wait::Ended);
        }
        if let Some(window) = self.window.take() {
            let wait = self.wait_window(&window, timeout);
            self.window = Some(window);
            return Ok(wait);
        }
        let left = self.next_due.saturating_duration_since(Instant::now());
        thread::sleep(left.min(timeout));
        if left > timeout {
            return Ok(Wait::Nothing);
        }
        let now = Instant::now();
        loop {
            self.next_due += self.interval;
            self.counts.captured += 1;
            // The newest wins: one that has a successor already is passed over.
            if self.next_due > now || self.counts.captured == self.au_count {
                self.due = Some(self.next_due - self.interval);
                return Ok(Wait::Picture(now));
            }
            self.passed_over += 1;
        }
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        // As a source does that passes over when a picture is taken.
        self.counts.superseded += std::mem::take(&mut self.passed_over);
        if let Some(due) = self.due {
            out.set_captured_at(due);
            out.set_number(self.counts.captured);
        }
        self.idrs_forced.fetch_add(u64::from(request.idr), Ordering::Relaxed);
        for slice in 0..self.slices {
            // For a bounded time, so that a test that fails still ends.
            if slice > 0 && !wait_for(GATE_WAIT, || self.goes_on.load(Ordering::Acquire)) {
                return Err(StageFault::new("encode", "the test does not let it go on"));
            }
            let mut buffer = self.pool.pop().unwrap_or_default();
            buffer.clear();
            let row = row(request.au, slice);
            while buffer.len() < self.slice_bytes {
                buffer.extend_from_slice(&row[..PERIOD.min(self.slice_bytes - buffer.len())]);
            }
            let last = slice + 1 == self.slices;
            out.push(buffer, request.idr, last).map_err(|(_, fault)| fault)?;
        }
        self.encoded(request.au);
        Ok(EncodeOutcome::Encoded)
    }

    fn recycle(&mut self, slice: Vec<u8>) {
        self.pool.push(slice);
    }

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}

/// Checks every byte of every slice.
pub(crate) struct Check {
    pub(crate) references: bool,
    pub(crate) slice: u16,
    pub(crate) offset: usize,
    pub(crate) wrong: u64,
    pub(crate) pictures: Arc<AtomicU64>,
    pub(crate) slices_seen: Arc<AtomicU64>,
    /// The newest access unit done with, plus one.
    pub(crate) decoded: Arc<AtomicU64>,
    /// While this holds, no access unit is begun.
    pub(crate) held: Arc<AtomicBool>,
}

impl Check {
    pub(crate) fn new(references: bool) -> Self {
        Self {
            references,
            slice: 0,
            offset: 0,
            wrong: 0,
            pictures: Arc::default(),
            slices_seen: Arc::default(),
            decoded: Arc::default(),
            held: Arc::default(),
        }
    }
}

impl Decode for Check {
    fn has_references(&self) -> bool {
        self.references
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        if block.block == 0 && !wait_for(GATE_WAIT, || !self.held.load(Ordering::Acquire)) {
            return Err(StageFault::new("decode", "the test does not let it go on"));
        }
        let row = row(block.au, self.slice);
        for came in block.span.as_ref().chunks(PERIOD) {
            let due = &row[self.offset % PERIOD..][..came.len()];
            if came != due {
                self.wrong += came.iter().zip(due).filter(|(came, due)| came != due).count() as u64;
            }
            self.offset += came.len();
        }
        if block.flags.slice_end() {
            self.slice += 1;
            self.offset = 0;
            self.slices_seen.fetch_add(1, Ordering::Relaxed);
        }
        if !block.flags.last_block() {
            return Ok(DecodeOutcome::Pending);
        }
        self.abandon();
        self.pictures.fetch_add(1, Ordering::Relaxed);
        self.decoded.store(u64::from(block.au) + 1, Ordering::Release);
        Ok(DecodeOutcome::Picture)
    }

    fn abandon(&mut self) {
        self.slice = 0;
        self.offset = 0;
    }
}

/// Both ends, running.
pub(crate) struct Pair<E: Encode = Pattern, D: Decode = Check> {
    pub(crate) host: HostPipeline<E>,
    pub(crate) client: ClientPipeline<D>,
}

/// What the two ends agree on in these tests.
pub(crate) fn negotiated(slices: u16) -> Negotiated {
    negotiated_at(slices, 120_000)
}

/// The same at another refresh rate, from which the deadlines follow.
fn negotiated_at(slices: u16, refresh_mhz: u32) -> Negotiated {
    Negotiated::new(1408, 500_000, refresh_mhz, slices, 100, 4 << 20).expect("within every range")
}

fn keys(plane: Plane) -> PlaneKeys {
    PlaneKeys::new(&Secret::new([7; 32]), Cipher::Aes128Gcm, Direction::HostToClient, plane)
}

/// This machine, with a host's stages on one thread or two, however many cores it has.
pub(crate) fn machine(merge: Merge) -> Machine {
    Machine::probe(Wishes { merge, ..Wishes::default() })
}

/// Starts a client on loopback and a host that sends to it, with a pacer of `pace_kbps`, on the cores of `machine`.
pub(crate) fn start_on(machine: Machine, pattern: Pattern, check: Check, pace_kbps: u32) -> Pair {
    start_rekeyed(EpochLimits::default(), machine, pattern, check, pace_kbps)
}

/// The same with keys whose epochs end by `epochs`.
pub(crate) fn start_rekeyed(
    epochs: EpochLimits,
    machine: Machine,
    pattern: Pattern,
    check: Check,
    pace_kbps: u32,
) -> Pair {
    start_through(|client| client, epochs, machine, pattern, check, pace_kbps)
}

/// The same with a host that sends to whom `through` names for the client's address.
pub(crate) fn start_through(
    through: impl FnOnce(SocketAddr) -> SocketAddr,
    epochs: EpochLimits,
    machine: Machine,
    pattern: Pattern,
    check: Check,
    pace_kbps: u32,
) -> Pair {
    let redundancy = RedundancyPolicy::Fixed;
    let between = Between { machine, negotiated: negotiated(pattern.slices), epochs, pace_kbps, redundancy };
    start_between(between, pattern, check, through)
}

/// The same with media sent to what `relay` makes of the client's address, and the longest deadlines, so that a busy
/// machine's pauses are no loss.
pub(crate) fn start_lossy(
    machine: Machine,
    (pattern, check): (Pattern, Check),
    redundancy: RedundancyPolicy,
    relay: impl FnOnce(SocketAddr) -> SocketAddr,
) -> Pair {
    let negotiated = negotiated_at(pattern.slices, 20_000);
    let (epochs, pace_kbps) = (EpochLimits::default(), 1_000_000);
    start_between(Between { machine, negotiated, epochs, pace_kbps, redundancy }, pattern, check, relay)
}

/// What lies between a source and its check.
struct Between {
    machine: Machine,
    negotiated: Negotiated,
    epochs: EpochLimits,
    pace_kbps: u32,
    redundancy: RedundancyPolicy,
}

/// An encoder and a decoder of a test's own, on loopback through `relay`.
pub(crate) fn start_own<E: Encode, D: Decode>(
    machine: Machine,
    slices: u16,
    (encode, decode): (E, D),
    relay: impl FnOnce(SocketAddr) -> SocketAddr,
) -> Pair<E, D> {
    let (epochs, redundancy) = (EpochLimits::default(), RedundancyPolicy::Fixed);
    let between =
        Between { machine, negotiated: negotiated(slices), epochs, pace_kbps: 4_000_000, redundancy };
    start_between(between, encode, decode, relay)
}

fn start_between<E: Encode, D: Decode>(
    between: Between,
    encode: E,
    decode: D,
    relay: impl FnOnce(SocketAddr) -> SocketAddr,
) -> Pair<E, D> {
    let loopback = SocketConfig::new(([127, 0, 0, 1], 0).into());
    let host_socket = Arc::new(Socket::open(&loopback).expect("a loopback socket"));
    let client_socket = Arc::new(Socket::open(&loopback).expect("a loopback socket"));
    let destination = relay(client_socket.local_addr());
    let Between { machine, negotiated, epochs, pace_kbps, redundancy } = between;
    let now = Instant::now();
    let clock = SessionClock::new(now);
    let time = Arc::new(SessionTime::default());
    time.join(0);
    let client_config =
        ClientConfig { negotiated, clock, time, control: Waker::new(), machine: machine.clone() };
    let receiver = Receiver::new(client_socket, ReceiveLimits::default()).expect("a ring of buffers");
    let window = ReassemblerLimits::from(&negotiated).replay_window;
    let opener = Opener::new(keys(Plane::Video), window);
    let openers = Openers::with_probe(opener, keys(Plane::Probe));
    let client = ClientPipeline::start(decode, receiver, openers, &client_config).expect("two threads");
    let host_config = HostConfig {
        negotiated,
        shard_bytes: 1408,
        clock,
        destination,
        source: None,
        pace_kbps: Some(pace_kbps),
        burst_bytes: 128 << 10,
        redundancy,
        bitrate: BitratePolicy::Fixed,
        machine,
    };
    let sealer = Sealer::with_limits(keys(Plane::Video), epochs, now);
    let sealers = Sealers::with_probe(sealer, keys(Plane::Probe), now);
    let host = HostPipeline::start(encode, host_socket, sealers, &host_config).expect("two threads");
    Pair { host, client }
}

/// Waits until `done` holds or `limit` has passed; says which.
pub(crate) fn wait_for(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(LOOK);
    }
}

/// A thread between host and client that passes on what `keeps` says, until it is dropped.
pub(crate) struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
    address: SocketAddr,
}

impl Relay {
    pub(crate) fn start(to: SocketAddr, mut keeps: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        let loopback = SocketConfig::new(([127, 0, 0, 1], 0).into());
        let socket = Arc::new(Socket::open(&loopback).expect("a loopback socket"));
        let (stop, address) = (Arc::new(AtomicBool::new(false)), socket.local_addr());
        let mut receiver =
            Receiver::new(Arc::clone(&socket), ReceiveLimits::default()).expect("a ring of buffers");
        let is_over = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                let batch = receiver.receive(Some(Duration::from_millis(20))).expect("a live socket");
                for segment in batch.into_iter().filter(|segment| keeps(segment.bytes)) {
                    // One that finds no room is lost, as on any path.
                    let _ = socket.send_to(to, None, segment.bytes, None);
                }
            }
        });
        Self { stop, thread: Some(thread), address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only passes on");
        }
    }
}

impl<E: Encode, D: Decode> Pair<E, D> {
    /// Does the control threads' part until `done` holds or `limit` has passed; says which.
    pub(crate) fn control_until(&mut self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + limit;
        while !done() {
            if Instant::now() >= end {
                return false;
            }
            if let Some(report) = self.client.poll_feedback() {
                self.host.handle_feedback(report, Some(RTT));
            }
            if let Some(lost) = self.client.poll_idr_request() {
                self.host.request_idr(lost);
            }
            thread::sleep(Duration::from_micros(100));
        }
        true
    }
}

/// What control would know of loopback's round trip.
const RTT: Duration = Duration::from_micros(300);
