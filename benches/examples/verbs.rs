//! The hot verbs, one a run, for a counter of instructions: `cargo xtask instructions` runs this under callgrind.
//!
//! `verbs` lists them; `verbs NAME` warms one up and then does it once more inside [`measured`], which is what is
//! counted. It promises to do the same each time: no clock, no randomness, no thread.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use punktfunk_fec::{Decoder, Encoder, Shape, ShardSet};
use punktfunk_proto::feedback::REPORT_BYTES_MAX;
use punktfunk_proto::{
    Delivery, FeedbackReport, Header, MissingShards, Negotiated, OpenAuReport, Pacer, Packetizer,
    Reassembler, ReassemblerLimits, seal_data, seal_parity,
};
use punktfunk_seal::{
    Backend, Cipher, Direction, Opener, Plane, PlaneKeys, REPLAY_WINDOW_DEFAULT, ReplayWindow, Sealer, Secret,
};

const SHARD_BYTES: usize = 1408;
const SLOT_BYTES: usize = SHARD_BYTES + 40;
/// Data shards of an access unit: 500 Mbit/s at 120 Hz.
const SHARDS: usize = 370;

/// Something to count the instructions of.
trait Verb {
    /// Does it, as often as [`Entry::times`] says.
    fn run(&mut self);
}

struct Entry {
    name: &'static str,
    /// How often a run does what the name says.
    times: u64,
    make: fn() -> Box<dyn Verb>,
}

const VERBS: &[Entry] = &[
    Entry { name: "seal_datagram", times: SHARDS as u64, make: || Box::new(Seal::new(Backend::AwsLc)) },
    Entry { name: "seal_datagram_ring", times: SHARDS as u64, make: || Box::new(Seal::new(Backend::Ring)) },
    Entry { name: "receive_datagram", times: SHARDS as u64, make: || Box::new(Receive::new(usize::MAX)) },
    Entry { name: "receive_datagram_lossy", times: SHARDS as u64, make: || Box::new(Receive::new(40)) },
    Entry { name: "fec_encode_64_7", times: 1, make: || Box::new(Encode::new()) },
    Entry { name: "fec_recover_1_of_64_7", times: 1, make: || Box::new(Recover::new()) },
    Entry { name: "parse_header", times: 1_000, make: || Box::new(Parse::new()) },
    Entry { name: "admit_sequence", times: 1_000, make: || Box::new(Admit::new()) },
    Entry { name: "pacer_departure", times: 1_000, make: || Box::new(Pace::new()) },
    Entry { name: "feedback_there_and_back", times: 1, make: || Box::new(Report::new()) },
    Entry { name: "ring_there_and_back", times: 1_000, make: || Box::new(Ring::new()) },
];

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        for entry in VERBS {
            println!("{} {}", entry.name, entry.times);
        }
        return ExitCode::SUCCESS;
    };
    let Some(entry) = VERBS.iter().find(|entry| entry.name == name) else {
        eprintln!("there is no verb {name:?}");
        return ExitCode::FAILURE;
    };
    let mut verb = (entry.make)();
    for _ in 0..3 {
        verb.run();
    }
    measured(verb.as_mut());
    ExitCode::SUCCESS
}

/// What is counted.
#[inline(never)]
fn measured(verb: &mut dyn Verb) {
    verb.run();
}

fn keys(backend: Backend) -> PlaneKeys {
    let secret = Secret::new([1; 32]);
    PlaneKeys::new(&secret, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video).with_backend(backend)
}

fn negotiated() -> Negotiated {
    Negotiated::new(SHARD_BYTES as u16, 1_000_000, 120_000, 4, 100, 16 << 20)
        .expect("values within their ranges")
}

/// An access unit cut and its data sealed.
struct Seal {
    packetizer: Packetizer,
    sealer: Sealer,
    au: Vec<u8>,
    slots: Vec<u8>,
    number: u32,
    now: Instant,
}

impl Seal {
    fn new(backend: Backend) -> Self {
        let now = Instant::now();
        let mut packetizer = Packetizer::new(&negotiated());
        packetizer.set_shard_bytes(SHARD_BYTES as u16);
        Self {
            packetizer,
            sealer: Sealer::new(keys(backend), now),
            au: vec![5; SHARDS * SHARD_BYTES],
            slots: vec![0; 2 * SHARDS * SLOT_BYTES],
            number: 0,
            now,
        }
    }
}

impl Verb for Seal {
    fn run(&mut self) {
        self.packetizer.begin(self.number, self.number, false, false);
        self.number += 1;
        for plan in self.packetizer.plan_slice(self.au.len(), true).expect("within what was agreed") {
            let slots = &mut self.slots[..plan.slots_bytes()];
            seal_data(&plan, 0..usize::from(plan.k), &self.au, slots, &mut self.sealer, self.now)
                .expect("far from the key's end");
        }
        black_box(&self.slots);
    }
}

/// An access unit's datagrams into the reassembler, in order, some of them lost; each run its own access unit, sealed
/// beforehand.
struct Receive {
    client: Reassembler,
    aus: Vec<Vec<Vec<u8>>>,
    next: usize,
    now: Instant,
}

impl Receive {
    /// Each `lost_each`-th datagram is lost.
    fn new(lost_each: usize) -> Self {
        let mut host = Seal::new(Backend::AwsLc);
        let limits = ReassemblerLimits::from(&negotiated());
        let opener = Opener::new(keys(Backend::AwsLc), limits.replay_window);
        let aus = (0..4).map(|number| datagrams(&mut host, number, lost_each)).collect();
        Self { client: Reassembler::new(limits, opener), aus, next: 0, now: host.now }
    }
}

fn datagrams(host: &mut Seal, number: u32, lost_each: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    host.packetizer.begin(number, number, false, false);
    let plans: Vec<_> = host.packetizer.plan_slice(host.au.len(), true).expect("as agreed").collect();
    let mut sealed = Vec::new();
    for plan in plans {
        let slots = &mut host.slots[..plan.slots_bytes()];
        seal_data(&plan, 0..usize::from(plan.k), &host.au, slots, &mut host.sealer, host.now)
            .expect("far from the key's end");
        let shape = plan.fec_shape().expect("plans have shapes");
        let parity = encoder.encode(shape, &host.au[plan.range()]).expect("lengths fit");
        seal_parity(&plan, &parity, slots, &mut host.sealer, host.now).expect("far from the key's end");
        sealed.extend(slots.chunks(plan.stride()).map(<[u8]>::to_vec));
    }
    let kept = sealed.into_iter().enumerate().filter(|(index, _)| index % lost_each != lost_each - 1);
    kept.map(|(_, datagram)| datagram).collect()
}

impl Verb for Receive {
    fn run(&mut self) {
        for datagram in &self.aus[self.next] {
            black_box(self.client.handle_datagram(datagram, self.now));
            while let Some(delivery) = self.client.poll_delivery(self.now) {
                match delivery {
                    Delivery::Block(block) => self.client.give_back(block.span),
                    Delivery::Lost(lost) => panic!("{lost:?}"),
                }
            }
        }
        self.next += 1;
    }
}

/// The parity of a small block.
struct Encode {
    encoder: Encoder,
    shape: Shape,
    data: Vec<u8>,
}

impl Encode {
    fn new() -> Self {
        let shape = Shape::new(64, 7, SHARD_BYTES).expect("a small block");
        let data = (0..64 * SHARD_BYTES).map(|at| (at * 7 + at / 251) as u8).collect();
        Self { encoder: Encoder::new(), shape, data }
    }
}

impl Verb for Encode {
    fn run(&mut self) {
        black_box(self.encoder.encode(self.shape, &self.data).expect("lengths fit").shard(0)[0]);
    }
}

/// One lost shard of a small block.
struct Recover {
    decoder: Decoder,
    shape: Shape,
    span: Vec<u8>,
    filled: ShardSet,
}

impl Recover {
    fn new() -> Self {
        let mut encode = Encode::new();
        let parity = encode.encoder.encode(encode.shape, &encode.data).expect("lengths fit");
        let mut span = encode.data.clone();
        (0..7).for_each(|index| span.extend_from_slice(parity.shard(index)));
        let mut filled = ShardSet::with_capacity(encode.shape.shards());
        (0..65).filter(|shard| *shard != 20).for_each(|shard| {
            filled.insert(shard);
        });
        Self { decoder: Decoder::new(), shape: encode.shape, span, filled }
    }
}

impl Verb for Recover {
    fn run(&mut self) {
        let recovered = self.decoder.recover(self.shape, &mut self.span, &self.filled);
        assert_eq!(recovered.expect("enough are there"), 1);
    }
}

/// Headers read.
struct Parse(Vec<u8>);

impl Parse {
    fn new() -> Self {
        let mut host = Seal::new(Backend::AwsLc);
        Self(datagrams(&mut host, 0, usize::MAX).swap_remove(0))
    }
}

impl Verb for Parse {
    fn run(&mut self) {
        for _ in 0..1_000 {
            let _ = black_box(Header::parse(black_box(&self.0)));
        }
    }
}

/// Sequences in order, of which every eighth comes one later.
struct Admit {
    window: ReplayWindow,
    next: u32,
}

impl Admit {
    fn new() -> Self {
        Self { window: ReplayWindow::new(REPLAY_WINDOW_DEFAULT), next: 0 }
    }
}

impl Verb for Admit {
    fn run(&mut self) {
        for at in 0..1_000 {
            let swapped = match at % 8 {
                6 => self.next + 1,
                7 => self.next - 1,
                _ => self.next,
            };
            self.next += 1;
            black_box(self.window.admit(swapped));
        }
    }
}

/// Departure times of trains of 64 KB at a gigabit a second.
struct Pace {
    pacer: Pacer,
    now: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { pacer: Pacer::new(1_000_000, 128 << 10), now: Instant::now() }
    }
}

impl Verb for Pace {
    fn run(&mut self) {
        self.pacer.begin_au(self.now);
        for _ in 0..1_000 {
            black_box(self.pacer.departure(black_box(63_712), self.now));
            self.now += Duration::from_micros(500);
        }
    }
}

/// A report of one open access unit, written and read.
struct Report(FeedbackReport);

impl Report {
    fn new() -> Self {
        let mut report = FeedbackReport::default();
        report.push_open(OpenAuReport { au: 7, blocks_seen: 2, end_seen: true, unseen: 0 });
        for word in 0..4 {
            report.push_missing(MissingShards { au: 7, block: 1, word, bits: 0b1001 });
        }
        Self(report)
    }
}

impl Verb for Report {
    fn run(&mut self) {
        let mut bytes = [0; REPORT_BYTES_MAX];
        let length = black_box(&self.0).encode(&mut bytes);
        let _ = black_box(FeedbackReport::parse(black_box(&bytes[..length])));
    }
}

/// A slice's place in a ring, pushed and popped.
struct Ring {
    producer: rtrb::Producer<[u64; 8]>,
    consumer: rtrb::Consumer<[u64; 8]>,
}

impl Ring {
    fn new() -> Self {
        let (producer, consumer) = rtrb::RingBuffer::new(16);
        Self { producer, consumer }
    }
}

impl Verb for Ring {
    fn run(&mut self) {
        for number in 0..1_000 {
            self.producer.push(black_box([number; 8])).expect("it was emptied");
            let _ = black_box(self.consumer.pop());
        }
    }
}
