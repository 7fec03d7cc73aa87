//! One AU from its datagrams to whole blocks, beside aws-lc-rs opening the same datagrams into place and nothing else.
//!
//! Every round seals a fresh AU outside the measured time, because a datagram can be opened only once. Nothing lost,
//! and the losses of 5 % that FEC makes good.
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a bench may panic; criterion's macros make undocumented items"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use punktfunk_fec::Encoder;
use punktfunk_proto::{
    Delivery, Negotiated, Packetizer, Reassembler, ReassemblerLimits, seal_data, seal_parity,
};
use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret, TAG_BYTES};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SHARD_BYTES: usize = 1408;
const SLOT_BYTES: usize = SHARD_BYTES + 40;
/// Data shards of an AU: 20 Mbit/s at 60 Hz, 500 Mbit/s and 1 Gbit/s at 120 Hz.
const AUS: [u16; 3] = [30, 370, 740];

fn keys() -> PlaneKeys {
    PlaneKeys::new(&Secret::new([1; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
}

/// Both ends, and the slots between them.
struct Pair {
    packetizer: Packetizer,
    encoder: Encoder,
    sealer: Sealer,
    client: Reassembler,
    slots: Vec<u8>,
    au: u32,
    now: Instant,
}

impl Pair {
    fn new() -> Pair {
        let now = Instant::now();
        let negotiated = Negotiated::new(SHARD_BYTES as u16, 1_000_000, 120_000, 4, 100, 16 << 20)
            .expect("values within their ranges");
        let limits = ReassemblerLimits::from(&negotiated);
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(SHARD_BYTES as u16);
        Pair {
            packetizer,
            encoder: Encoder::new(),
            sealer: Sealer::new(keys(), now),
            client: Reassembler::new(limits, Opener::new(keys(), limits.replay_window)),
            slots: vec![0; 4 << 20],
            au: 0,
            now,
        }
    }

    fn send(&mut self, au: &[u8]) {
        self.sealer.handle_epoch_opened(self.sealer.epoch());
        self.packetizer.begin(self.au, self.au, false, false);
        self.au += 1;
        let plans = self.packetizer.plan_slice(au.len(), true).expect("within what was agreed");
        for plan in plans {
            let slots = &mut self.slots[..plan.slots_bytes()];
            seal_data(&plan, 0..usize::from(plan.k), au, slots, &mut self.sealer, self.now)
                .expect("the epoch was reported opened");
            let shape = plan.fec_shape().expect("plans have shapes");
            let parity = self.encoder.encode(shape, &au[plan.range()]).expect("lengths fit");
            seal_parity(&plan, &parity, slots, &mut self.sealer, self.now)
                .expect("the epoch was reported opened");
        }
    }

    /// The time from the first datagram to the whole AU; each `lost_each`-th datagram is left out.
    fn receive(&mut self, datagrams: usize, lost_each: usize) -> Duration {
        let started = Instant::now();
        for (index, datagram) in self.slots.chunks(SLOT_BYTES).take(datagrams).enumerate() {
            if index % lost_each == lost_each - 1 {
                continue;
            }
            black_box(self.client.handle_datagram(datagram, self.now));
            while let Some(delivery) = self.client.poll_delivery(self.now) {
                match delivery {
                    Delivery::Block(block) => self.client.give_back(block.span),
                    Delivery::Lost(lost) => panic!("{lost:?}"),
                }
            }
        }
        started.elapsed()
    }
}

fn reassemble(c: &mut Criterion) {
    let mut group = c.benchmark_group("reassemble");
    for k in AUS {
        let data = vec![5; usize::from(k) * SHARD_BYTES];
        let datagrams = usize::from(k) + usize::from(k).div_ceil(10);
        group.throughput(Throughput::Bytes(data.len() as u64));
        for (name, lost_each) in [("ours, 0 lost", usize::MAX), ("ours, 5 % lost", 20)] {
            let mut pair = Pair::new();
            group.bench_function(BenchmarkId::new(name, k), |b| {
                b.iter_custom(|rounds| {
                    let mut measured = Duration::ZERO;
                    for _ in 0..rounds {
                        pair.send(&data);
                        measured += pair.receive(datagrams, lost_each);
                    }
                    measured
                });
            });
            assert_eq!(pair.client.counters().aus_delivered, u64::from(pair.au));
        }
        open_alone(&mut group, k, datagrams);
    }
    group.finish();
}

fn open_alone(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    k: u16,
    datagrams: usize,
) {
    use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[9; 16]).expect("16 bytes"));
    let mut slots = vec![0; datagrams * SLOT_BYTES];
    for slot in slots.chunks_mut(SLOT_BYTES) {
        let (header, sealed) = slot.split_at_mut(24);
        let (out, tag) = sealed.split_at_mut(SHARD_BYTES);
        let nonce = Nonce::assume_unique_for_key([3; 12]);
        key.seal_out_of_place_scatter(nonce, Aad::from(&*header), &[5; SHARD_BYTES], out, &[], tag)
            .expect("lengths fit");
    }
    let mut span = vec![0; datagrams * SHARD_BYTES];
    group.bench_function(BenchmarkId::new("aws-lc: gather alone", k), |b| {
        b.iter(|| {
            for (slot, place) in black_box(&slots).chunks(SLOT_BYTES).zip(span.chunks_mut(SHARD_BYTES)) {
                let (header, sealed) = slot.split_at(24);
                let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
                let nonce = Nonce::assume_unique_for_key([3; 12]);
                key.open_separate_gather(nonce, Aad::from(header), ciphertext, tag, place)
                    .expect("the tag is right");
            }
        });
    });
}

criterion_group!(benches, reassemble);
criterion_main!(benches);
