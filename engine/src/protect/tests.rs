//! The protect stage without a thread: trains, patience, stops and keys.

use punktfunk_net::{Socket, SocketConfig};
use punktfunk_proto::{ClientLoad, FeedbackReport, Negotiated, RedundancyPolicy, SessionClock};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, SEQUENCES_PER_EPOCH_MAX, Secret};

use super::*;

/// A slice that is looked at.
struct Watched {
    bytes: Vec<u8>,
    seen: Box<dyn Fn()>,
}

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        (self.seen)();
        &self.bytes
    }
}

struct Bench {
    stage: ProtectStage<Watched>,
    commands: rtrb::Producer<Command>,
    home: rtrb::Consumer<Watched>,
    _slices: rtrb::Producer<SliceItem<Watched>>,
}

impl Bench {
    fn new(sealer: Sealer) -> Self {
        let loopback = SocketConfig::new(([127, 0, 0, 1], 0).into());
        let socket = Arc::new(Socket::open(&loopback).expect("a loopback socket"));
        let negotiated = Negotiated::new(1408, 20_000, 60_000, 4, 100, 4 << 20).expect("usual");
        let (slices_in, slices) = rtrb::RingBuffer::new(4);
        let (home_in, home) = rtrb::RingBuffer::new(4);
        let (commands, commands_out) = rtrb::RingBuffer::new(4);
        let (tap, _) = punktfunk_perf::channel(64);
        let stage = ProtectStage {
            slices,
            home: home_in,
            commands: commands_out,
            waker: Waker::new(),
            packetizer: Packetizer::new(&negotiated),
            fec: Encoder::new(),
            sealer,
            arena: Arena::new(1 << 20).expect("a megabyte"),
            destination: socket.local_addr(),
            sender: Sender::new(socket),
            pacer: Pacer::new(1_000_000, 1 << 20),
            link: None,
            bitrate: None,
            is_futile_said: false,
            departures: Departures::new(Idle::Block),
            path: PathWatch::default(),
            patience: Duration::from_millis(16),
            idle: Idle::Block,
            progress: Arc::default(),
            wishes: Arc::default(),
            counters: Arc::default(),
            tap,
            stop: Stop::default(),
            resends: Resends::new(&negotiated, RedundancyPolicy::Fixed),
            au: AuInProgress::with_capacity(8),
            filler: FillerWork::new(
                None,
                SessionClock::new(Instant::now()),
                1 << 20,
                rtrb::RingBuffer::new(1).0,
            ),
        };
        Self { stage, commands, home, _slices: slices_in }
    }

    /// Sends access unit `au` of one slice of `bytes`.
    fn send(&mut self, au: u32, bytes: usize) {
        self.send_watched(au, bytes, || ());
    }

    /// The same; `seen` is called each time the stage looks at the slice.
    fn send_watched(&mut self, au: u32, bytes: usize, seen: impl Fn() + 'static) {
        let slice = Some(Watched { bytes: vec![au as u8; bytes], seen: Box::new(seen) });
        let captured_at = Instant::now();
        let (idr, first, last) = (au == 0, true, true);
        self.stage.handle_slice(SliceItem {
            au,
            captured_at,
            pts_us: 0,
            idr,
            first,
            last,
            slice,
            ready_at: captured_at,
            recovery_point: false,
            given_up: false,
        });
        self.home.pop().expect("the slice is home");
    }

    fn datagrams(&self) -> u64 {
        self.stage.counters.snapshot().datagrams
    }
}

fn sealer() -> Sealer {
    let keys =
        PlaneKeys::new(&Secret::new([3; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    Sealer::new(keys, Instant::now())
}

/// A report that came just now.
fn told(report: FeedbackReport) -> Command {
    Command::Feedback(Told { report, rtt: Some(Duration::ZERO), at: Instant::now() })
}

#[test]
fn a_stop_is_seen_before_a_train_that_need_not_wait() {
    let mut bench = Bench::new(sealer());
    bench.send(0, 200_000);
    let sent = bench.datagrams();
    assert!(sent > 44, "{sent} datagrams are several trains");
    let stop = bench.stage.stop.clone();
    // The first look at the slice is when its sending begins.
    bench.send_watched(1, 200_000, move || stop.request());
    assert_eq!(bench.datagrams(), sent, "no train leaves after it");
    assert_eq!(bench.stage.counters.snapshot().dropped_protect, 0, "what a stop lets go is not dropped");
    bench.stage.resends.release_all(&mut bench.stage.arena, Instant::now());
    assert_eq!(bench.stage.arena.leased_bytes(), 0);
}

#[test]
fn patience_is_one_for_all_trains_and_only_waiting_costs_it() {
    let mut au = AuInProgress { patience: Duration::from_millis(16), ..AuInProgress::default() };
    let ms = Duration::from_millis;
    assert!(au.handle_sent(true, ms(10), 0).is_ok());
    assert!(au.handle_sent(false, ms(50), 0).is_ok(), "a slow call is no wait");
    assert_eq!(au.patience, ms(6));
    assert!(au.handle_sent(false, ms(1), 44).is_ok(), "what no wait helps is the parity's to mend");
    assert!(au.handle_sent(true, ms(6), 0).is_ok(), "it left in time");
    assert!(au.handle_sent(false, ms(1), 0).is_ok(), "what is taken at once needs none");
    assert!(matches!(au.handle_sent(false, ms(1), 44), Err(Cut::Blocked)));
    assert_eq!(au.send, ms(69));
}

#[test]
fn a_used_up_key_is_counted_and_a_report_opens_the_next() {
    let mut sealer = sealer();
    for _ in 0..SEQUENCES_PER_EPOCH_MAX {
        drop(sealer.reserve(Instant::now()).expect("the epoch is not used up yet"));
    }
    let mut bench = Bench::new(sealer);
    for au in 0..3 {
        bench.send(au, 50_000);
    }
    let stats = bench.stage.counters.snapshot();
    assert_eq!((stats.dropped_key_exhausted, stats.dropped_protect, stats.datagrams), (3, 3, 0));
    assert!(bench.stage.progress.key_blocked.load(Ordering::Acquire));
    let report = FeedbackReport::default();
    assert_eq!(report.epoch_opened, 0, "it says that the first epoch was opened");
    bench.commands.push(told(report)).expect("there is room");
    bench.stage.handle_commands();
    assert!(!bench.stage.progress.key_blocked.load(Ordering::Acquire));
    bench.send(3, 50_000);
    let stats = bench.stage.counters.snapshot();
    assert_eq!((stats.dropped_key_exhausted, stats.sent, stats.epoch), (3, 1, 1));
}

#[test]
fn trains_fit_the_burst_and_the_rate() {
    for (kbps, burst, segments) in [(1_000_000, 8 << 10, 6), (1_000, 1 << 10, 1)] {
        let mut bench = Bench::new(sealer());
        bench.stage.pacer = Pacer::new(kbps, burst);
        bench.send(0, 50_000);
        let stats = bench.stage.counters.snapshot();
        assert!(stats.datagrams > 40, "{stats:?}");
        assert!(stats.system_calls * segments >= stats.datagrams, "{stats:?}");
    }
}

#[test]
fn another_mode_has_its_own_patience_and_its_own_measure_of_a_decoder() {
    let mut bench = Bench::new(sealer());
    let second = Duration::from_secs(1);
    bench.stage.link = Some(LinkRate::new(20_000, 1 << 20));
    bench.stage.bitrate = Some(BitrateControl::new(20_000, second / 60));
    assert!(bench.commands.push(Command::PictureInterval(second / 120)).is_ok());
    bench.stage.handle_commands();
    assert_eq!(bench.stage.patience, second / 120);
    // In time at 60 Hz, and too slow at 120.
    let mut now = Instant::now();
    for aus_overrun in 0..4 {
        let load = ClientLoad { aus_lost: 0, decode_us: 10_000, aus_waiting: 2, aus_overrun };
        let mut report = FeedbackReport::default();
        report.load = Some(load);
        bench.stage.measure(&report, now);
        now += second / 60;
    }
    let bitrate = bench.stage.bitrate.as_ref().expect("it is adaptive");
    assert_eq!((bitrate.kbps() < 20_000, bitrate.counters().decode), (true, 1));
}

#[test]
fn another_path_is_begun_as_a_session_is() {
    let mut bench = Bench::new(sealer());
    bench.stage.packetizer.set_shard_bytes(1_408);
    bench.stage.link = Some(LinkRate::new(20_000, 1 << 20));
    let (new, old) = (Socket::open(&SocketConfig::new(([127, 0, 0, 1], 0).into())), bench.stage.destination);
    let new = new.expect("a loopback socket").local_addr();
    bench.send(0, 20_000);
    assert!(bench.commands.push(Command::Destination(new, None)).is_ok());
    bench.stage.handle_commands();
    assert!(bench.stage.destination == new && old != new);
    assert_eq!(bench.stage.packetizer.shard_bytes(), SHARD_BYTES_START);
    bench.send(1, 20_000);
    let counters = bench.stage.counters.snapshot();
    assert_eq!((counters.path_changed, counters.shard_bytes), (1, u64::from(SHARD_BYTES_START)));
    // QUIC has found out more.
    assert!(bench.commands.push(Command::ShardBytes(1_408)).is_ok());
    bench.stage.handle_commands();
    assert_eq!(bench.stage.packetizer.shard_bytes(), 1_408);
    bench.stage.resends.release_all(&mut bench.stage.arena, Instant::now());
}
