//! The decode stage without a thread: losses, gaps, refusals and faults.

use punktfunk_fec::Encoder;
use punktfunk_proto::{
    Lost, LostAu, Negotiated, Packetizer, Reassembler, ReassemblerLimits, seal_data, seal_parity,
};
use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret};

use super::*;

/// Makes whole blocks as a host and a receive stage would.
struct Wire {
    packetizer: Packetizer,
    sealer: Sealer,
    reassembler: Reassembler,
    now: Instant,
}

impl Wire {
    fn new() -> Self {
        let now = Instant::now();
        let negotiated = Negotiated::new(1408, 20_000, 60_000, 4, 100, 4 << 20).expect("usual");
        let keys = || {
            PlaneKeys::new(&Secret::new([3; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
        };
        let limits = ReassemblerLimits::from(&negotiated);
        Self {
            packetizer: Packetizer::new(&negotiated),
            sealer: Sealer::new(keys(), now),
            reassembler: Reassembler::new(limits, Opener::new(keys(), limits.replay_window)),
            now,
        }
    }

    /// The one block of access unit `au`, after whatever the reassembler says of those before.
    fn block(&mut self, au: u32, idr: bool) -> DeliveredBlock {
        self.packetizer.begin(au, 0, idr, false);
        let slice = [au as u8; 500];
        let plan = self.packetizer.plan_slice(slice.len(), true).expect("it fits").next().expect("one block");
        let mut slots = vec![0; plan.slots_bytes()];
        seal_data(&plan, 0..usize::from(plan.k), &slice, &mut slots, &mut self.sealer, self.now)
            .expect("a fresh key");
        let mut fec = Encoder::new();
        let parity = fec.encode(plan.fec_shape().expect("a plan"), &slice).expect("the plan's shape");
        seal_parity(&plan, &parity, &mut slots, &mut self.sealer, self.now).expect("a fresh key");
        for datagram in slots.chunks(plan.stride()) {
            self.reassembler.handle_datagram(datagram, self.now);
        }
        self.now += Duration::from_secs(1);
        self.reassembler.handle_timeout(self.now);
        loop {
            match self.reassembler.poll_delivery(self.now).expect("the access unit was whole") {
                Delivery::Block(block) => return block,
                Delivery::Lost(_) => {}
            }
        }
    }
}

/// A decoder that does as it is told.
#[derive(Default)]
struct Scripted {
    decoded: Vec<u32>,
    refuse: Option<u32>,
    break_at: Option<u32>,
    calls: u32,
}

impl Decode for Scripted {
    fn has_references(&self) -> bool {
        true
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        self.calls += 1;
        if self.break_at == Some(block.au) {
            return Err(StageFault::new("decode", "broken"));
        }
        if self.refuse == Some(block.au) {
            return Ok(DecodeOutcome::Refused("damaged".into()));
        }
        self.decoded.push(block.au);
        Ok(DecodeOutcome::Picture)
    }

    fn abandon(&mut self) {}
}

struct Bench {
    stage: DecodeStage<Scripted>,
    deliveries: rtrb::Producer<Handed>,
    home: rtrb::Consumer<Span>,
    wire: Wire,
}

impl Bench {
    fn new(decode: Scripted) -> Self {
        let (deliveries, deliveries_out) = rtrb::RingBuffer::new(32);
        let (home_in, home) = rtrb::RingBuffer::new(32);
        let (tap, _) = punktfunk_perf::channel(64);
        let stage = DecodeStage {
            decode,
            deliveries: deliveries_out,
            aus_decoded: Arc::default(),
            home: home_in,
            waker: Waker::new(),
            control: Waker::new(),
            idle: Idle::Block,
            clock: SessionClock::new(Instant::now()),
            time: Arc::default(),
            requester: IdrRequester::new(true),
            lost: Arc::default(),
            counters: Arc::default(),
            tap,
            next: Next::default(),
            spent: Duration::ZERO,
            decoded_at: None,
        };
        Self { stage, deliveries, home, wire: Wire::new() }
    }

    fn send(&mut self, au: u32, idr: bool) {
        let block = self.wire.block(au, idr);
        self.deliveries.push((Delivery::Block(block), Instant::now())).expect("there is room");
    }

    fn lose(&mut self, au: u32) {
        let lost = LostAu { au, count: 1, blocks_delivered: 0, shards_seen: 0, shards_missing: 1 };
        self.deliveries.push((Delivery::Lost(lost), Instant::now())).expect("there is room");
    }

    /// Runs the stage over what was sent.
    fn run(self) -> (Scripted, Option<StageFault>, crate::stats::DecodeStats, Option<Lost>, usize) {
        let Self { stage, deliveries, home, .. } = self;
        drop(deliveries);
        let (counters, lost) = (stage.counters.clone(), stage.lost.clone());
        let end = stage.run();
        (end.decode, end.fault, counters.snapshot(), lost.take(), home.slots())
    }
}

#[test]
fn no_latency_before_the_clocks_are_joined() {
    let time = SessionTime::default();
    assert_eq!(time.host_us(5), None);
    time.join(-3);
    assert_eq!(time.host_us(5), Some(2));
    time.join(1_000);
    assert_eq!(time.host_us(5), Some(1_005));
}

#[test]
fn after_a_loss_nothing_is_decoded_until_an_idr_that_was_asked_for() {
    let mut bench = Bench::new(Scripted::default());
    bench.send(0, true);
    bench.send(1, false);
    bench.lose(2);
    bench.send(3, false);
    bench.send(4, false);
    bench.send(5, true);
    bench.send(6, false);
    let (decode, fault, stats, lost, home) = bench.run();
    assert_eq!((decode.decoded, fault), (vec![0, 1, 5, 6], None));
    assert_eq!((stats.decoded, stats.dropped_awaiting_idr, stats.without_clock), (4, 2, 4));
    assert!(stats.idr_requests >= 1);
    assert_eq!(lost, Some(Lost { from_au: 2, to_au: 2 }));
    assert_eq!(home, 6, "every span is home");
}

#[test]
fn the_distance_of_decoded_pictures_is_recorded() {
    let mut bench = Bench::new(Scripted::default());
    let (tap, mut collector) = punktfunk_perf::channel(64);
    bench.stage.tap = tap;
    for au in 0..5 {
        bench.send(au, au == 0);
    }
    bench.run();
    let mut intervals = 0;
    collector.drain(|stage, _| intervals += u32::from(stage == Stage::DecodeInterval));
    assert_eq!(intervals, 4, "five pictures");
}

#[test]
fn a_gap_in_the_numbers_is_a_loss_without_a_notice() {
    let mut bench = Bench::new(Scripted::default());
    bench.send(0, true);
    bench.send(2, false);
    bench.send(3, true);
    let (decode, _, stats, _, _) = bench.run();
    assert_eq!(decode.decoded, [0, 3]);
    assert_eq!((stats.dropped_awaiting_idr, stats.whole), (1, 2));
}

#[test]
fn a_refused_access_unit_needs_an_idr_too() {
    let mut bench = Bench::new(Scripted { refuse: Some(1), ..Scripted::default() });
    for au in 0..3 {
        bench.send(au, au == 0);
    }
    bench.send(3, true);
    let (decode, _, stats, lost, _) = bench.run();
    assert_eq!(decode.decoded, [0, 3]);
    assert_eq!((stats.dropped_decode_error, stats.dropped_awaiting_idr), (1, 1));
    assert_eq!(lost, Some(Lost::all_up_to(1)), "its decoder may have nothing left");
}

#[test]
fn a_broken_decoder_is_left_alone_and_spans_go_home() {
    let mut bench = Bench::new(Scripted { break_at: Some(1), ..Scripted::default() });
    for au in 0..5 {
        bench.send(au, au == 0);
    }
    let (decode, fault, stats, _, home) = bench.run();
    assert_eq!(fault, Some(StageFault::new("decode", "broken")));
    assert_eq!((decode.calls, stats.decoded, home), (2, 1, 5));
}
