//! Encoding and recovering a block at 1408-byte shards, beside reed-solomon-simd as its manual uses it (coders reused).
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a bench may panic; criterion's macros make undocumented items"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use punktfunk_fec::{Decoder, Encoder, Shape, ShardSet};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use std::hint::black_box;

const SHARD_BYTES: usize = 1408;
/// The shapes of LIMITS: a slice of a small picture, 60 and 120 Hz access units, and a large IDR.
const SHAPES: [(u16, u16); 5] = [(64, 7), (434, 44), (874, 88), (874, 175), (4096, 410)];

fn shape_of((k, m): (u16, u16)) -> Shape {
    Shape::new(k, m, SHARD_BYTES).expect("a shape of the list")
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for shape in SHAPES.map(shape_of) {
        let name = format!("{}+{}", shape.data(), shape.parity());
        let data = vec![3; shape.data_bytes()];
        group.throughput(Throughput::Bytes(shape.data_bytes() as u64));
        let mut encoder = Encoder::new();
        group.bench_function(BenchmarkId::new("ours", &name), |b| {
            b.iter(|| black_box(encoder.encode(shape, black_box(&data)).expect("lengths fit").shard(0)[0]));
        });
        let mut library =
            ReedSolomonEncoder::new(shape.data(), shape.parity(), SHARD_BYTES).expect("supported");
        group.bench_function(BenchmarkId::new("reed-solomon-simd", &name), |b| {
            b.iter(|| {
                for shard in black_box(&data).chunks(SHARD_BYTES) {
                    library.add_original_shard(shard).expect("k shards");
                }
                black_box(library.encode().expect("all were added").recovery(0).map(|shard| shard[0]))
            });
        });
    }
    group.finish();
}

/// A block whose first `lost` data shards are missing; as much parity as it has is there.
fn lossy_block(shape: Shape, lost: usize) -> (Vec<u8>, ShardSet) {
    let mut span = vec![3; shape.span_bytes()];
    let mut encoder = Encoder::new();
    let parity = encoder.encode(shape, &span[..shape.data_bytes()]).expect("lengths fit");
    for (index, shard) in span[shape.data_bytes()..].chunks_mut(SHARD_BYTES).enumerate() {
        shard.copy_from_slice(parity.shard(index));
    }
    let mut filled = ShardSet::with_capacity(shape.shards());
    (lost..shape.shards()).for_each(|index| assert!(filled.insert(index)));
    (span, filled)
}

fn recover(c: &mut Criterion) {
    let mut group = c.benchmark_group("recover");
    for shape in SHAPES.map(shape_of) {
        for lost in [1, 8, shape.parity()] {
            if lost > shape.parity() {
                continue;
            }
            let name = format!("{}+{} lost {lost}", shape.data(), shape.parity());
            let (mut span, filled) = lossy_block(shape, lost);
            group.throughput(Throughput::Bytes(shape.data_bytes() as u64));
            let mut decoder = Decoder::new();
            group.bench_function(BenchmarkId::new("ours", &name), |b| {
                b.iter(|| decoder.recover(shape, black_box(&mut span), &filled).expect("k shards are there"));
            });
            let mut library =
                ReedSolomonDecoder::new(shape.data(), shape.parity(), SHARD_BYTES).expect("supported");
            group.bench_function(BenchmarkId::new("reed-solomon-simd", &name), |b| {
                b.iter(|| {
                    for (index, shard) in black_box(&span).chunks(SHARD_BYTES).enumerate().skip(lost) {
                        match index.checked_sub(shape.data()) {
                            None => library.add_original_shard(index, shard).expect("once each"),
                            Some(parity) if parity < lost => {
                                library.add_recovery_shard(parity, shard).expect("once each");
                            }
                            Some(_) => break,
                        }
                    }
                    let restored = library.decode().expect("k shards were added");
                    black_box(restored.restored_original(0).map(|shard| shard[0]))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, encode, recover);
criterion_main!(benches);
