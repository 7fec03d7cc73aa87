//! Encoding and recovering a block at 1408-byte shards, beside reed-solomon-simd as its manual uses it (coders reused).
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a bench may panic; criterion's macros make undocumented items"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use library::{library_decoder, library_encode, library_encoder, library_recover, lossy_block};
use punktfunk_fec::{Decoder, Encoder, Shape};
use std::hint::black_box;

#[path = "rivals/blocks.rs"]
mod library;

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
        let mut library = library_encoder(shape);
        group.bench_function(BenchmarkId::new("reed-solomon-simd", &name), |b| {
            b.iter(|| library_encode(&mut library, shape, &data));
        });
    }
    group.finish();
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
            let mut library = library_decoder(shape);
            group.bench_function(BenchmarkId::new("reed-solomon-simd", &name), |b| {
                b.iter(|| library_recover(&mut library, shape, &span, lost));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, encode, recover);
criterion_main!(benches);
