//! One AU from its bytes to sealed datagrams in their slots, at 10 % parity, beside the bare libraries doing the same
//! arithmetic: reed-solomon-simd for the parity, aws-lc-rs for the sealing, no headers, sequences or plans.
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a bench may panic; criterion's macros make undocumented items"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use punktfunk_fec::Encoder;
use punktfunk_proto::{Negotiated, Packetizer, seal_data, seal_parity};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Sealer, Secret, TAG_BYTES};
use reed_solomon_simd::ReedSolomonEncoder;
use std::hint::black_box;
use std::time::Instant;

const SHARD_BYTES: usize = 1408;
const SLOT_BYTES: usize = SHARD_BYTES + 40;
/// Data shards of an AU: 20 Mbit/s at 60 Hz, 500 Mbit/s and 1 Gbit/s at 120 Hz.
const AUS: [u16; 3] = [30, 370, 740];

struct Host {
    packetizer: Packetizer,
    encoder: Encoder,
    sealer: Sealer,
    slots: Vec<u8>,
    au: u32,
    now: Instant,
}

impl Host {
    fn new() -> Host {
        let now = Instant::now();
        let negotiated = Negotiated::new(SHARD_BYTES as u16, 1_000_000, 120_000, 4, 100, 16 << 20)
            .expect("values within their ranges");
        let keys =
            PlaneKeys::new(&Secret::new([1; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(SHARD_BYTES as u16);
        let slots = vec![0; negotiated.au_wire_bytes_max().min(4 << 20)];
        Host { packetizer, encoder: Encoder::new(), sealer: Sealer::new(keys, now), slots, au: 0, now }
    }

    fn send(&mut self, au: &[u8]) -> u8 {
        self.sealer.handle_epoch_opened(self.sealer.epoch());
        self.packetizer.begin(self.au, self.au, false, false);
        self.au = self.au.wrapping_add(1);
        let mut at = 0;
        for plan in self.packetizer.plan_slice(au.len(), true).expect("within what was agreed") {
            let slots = &mut self.slots[at..at + plan.slots_bytes()];
            at += plan.slots_bytes();
            seal_data(&plan, 0..usize::from(plan.k), au, slots, &mut self.sealer, self.now)
                .expect("the epoch was reported opened");
            let shape = plan.fec_shape().expect("plans have shapes");
            let parity = self.encoder.encode(shape, &au[plan.range()]).expect("lengths fit");
            seal_parity(&plan, &parity, slots, &mut self.sealer, self.now)
                .expect("the epoch was reported opened");
        }
        self.slots[at - 1]
    }
}

fn packetize(c: &mut Criterion) {
    let mut group = c.benchmark_group("packetize");
    for k in AUS {
        let data = vec![5; usize::from(k) * SHARD_BYTES];
        group.throughput(Throughput::Bytes(data.len() as u64));
        let mut host = Host::new();
        group.bench_function(BenchmarkId::new("ours", k), |b| b.iter(|| host.send(black_box(&data))));
        libraries(&mut group, k, &data);
    }
    group.finish();
}

fn libraries(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    k: u16,
    data: &[u8],
) {
    use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[9; 16]).expect("16 bytes"));
    let m = usize::from(k).div_ceil(10);
    let mut encoder = ReedSolomonEncoder::new(usize::from(k), m, SHARD_BYTES).expect("supported");
    let mut slots = vec![0; (usize::from(k) + m) * SLOT_BYTES];
    let mut sequence = 0u64;
    let mut seal = move |shard: &[u8], slot: &mut [u8]| {
        sequence += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&sequence.to_le_bytes());
        let (header, sealed) = slot.split_at_mut(24);
        let (out, tag) = sealed.split_at_mut(sealed.len() - TAG_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_out_of_place_scatter(nonce, Aad::from(&*header), shard, out, &[], tag).expect("lengths fit");
    };
    group.bench_function(BenchmarkId::new("libraries", k), |b| {
        b.iter(|| {
            let (data_slots, parity_slots) = slots.split_at_mut(usize::from(k) * SLOT_BYTES);
            for (shard, slot) in black_box(data).chunks(SHARD_BYTES).zip(data_slots.chunks_mut(SLOT_BYTES)) {
                seal(shard, slot);
                encoder.add_original_shard(shard).expect("k shards");
            }
            let parity = encoder.encode().expect("all were added");
            for (shard, slot) in parity.recovery_iter().zip(parity_slots.chunks_mut(SLOT_BYTES)) {
                seal(shard, slot);
            }
        });
    });
}

criterion_group!(benches, packetize);
criterion_main!(benches);
