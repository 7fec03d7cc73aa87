//! The protect stage without a thread: trains.

use punktfunk_net::{Socket, SocketConfig};
use punktfunk_proto::Negotiated;
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Secret};

use super::*;

struct Bench {
    stage: ProtectStage<Vec<u8>>,
    _commands: rtrb::Producer<Command>,
    home: rtrb::Consumer<Vec<u8>>,
    _slices: rtrb::Producer<SliceItem<Vec<u8>>>,
}

impl Bench {
    fn new(sealer: Sealer) -> Self {
        let loopback = SocketConfig::new(([127, 0, 0, 1], 0).into());
        let socket = Arc::new(Socket::open(&loopback).expect("a loopback socket"));
        let negotiated = Negotiated::new(1408, 20_000, 60_000, 4, 100, 4 << 20).expect("usual");
        let (slices_in, slices) = rtrb::RingBuffer::new(4);
        let (home_in, home) = rtrb::RingBuffer::new(4);
        let (_commands, commands_out) = rtrb::RingBuffer::new(4);
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
            patience: Duration::from_millis(16),
            idle: Idle::Block,
            progress: Arc::default(),
            wishes: Arc::default(),
            counters: Arc::default(),
            tap,
            stop: Stop::default(),
            au: AuInProgress::with_capacity(8),
        };
        Self { stage, _commands, home, _slices: slices_in }
    }

    /// Sends access unit `au` of one slice of `bytes`.
    fn send(&mut self, au: u32, bytes: usize) {
        let slice = Some(vec![au as u8; bytes]);
        let captured_at = Instant::now();
        let (idr, first, last) = (au == 0, true, true);
        self.stage.handle_slice(SliceItem { au, captured_at, pts_us: 0, idr, first, last, slice });
        self.home.pop().expect("the slice is home");
    }
}

fn sealer() -> Sealer {
    let keys =
        PlaneKeys::new(&Secret::new([3; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    Sealer::new(keys, Instant::now())
}

#[test]
fn trains_fit_the_burst_and_the_rate() {
    for (kbps, burst, segments) in [(1_000_000, 8 << 10, 6), (1_000, 128 << 10, 1)] {
        let mut bench = Bench::new(sealer());
        bench.stage.pacer = Pacer::new(kbps, burst);
        bench.send(0, 50_000);
        let stats = bench.stage.counters.snapshot();
        assert!(stats.datagrams > 40, "{stats:?}");
        assert!(stats.system_calls * segments >= stats.datagrams, "{stats:?}");
    }
}
