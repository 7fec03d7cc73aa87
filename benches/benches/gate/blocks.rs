//! Parity and recovery of one block, beside reed-solomon-simd as its manual uses it, its coders kept.

use std::hint::black_box;

use punktfunk_fec::{Decoder, Encoder, Shape};

use crate::aead::SHARD_BYTES;
use crate::library::{library_decoder, library_encode, library_encoder, library_recover, lossy_block};
use crate::{Pair, whole};

const DATA: u16 = 434;
const PARITY: u16 = 44;

fn shape() -> Shape {
    Shape::new(DATA, PARITY, SHARD_BYTES).expect("a shape that the code takes")
}

pub fn encode(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    let data = vec![3; shape().data_bytes()];
    let (mut encoder, block) = (Encoder::new(), data.clone());
    let ours = whole(move || {
        black_box(encoder.encode(shape(), black_box(&block)).expect("lengths fit").shard(0)[0]);
    });
    let mut library = library_encoder(shape());
    let rival = whole(move || library_encode(&mut library, shape(), &data));
    Pair { name, bound, reason, ours, rival }
}

pub fn recover(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    lossy(name, bound, reason, 1)
}

pub fn recover_many(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    lossy(name, bound, reason, PARITY.into())
}

/// A block whose first `lost` data shards are missing.
fn lossy(name: &'static str, bound: f64, reason: &'static str, lost: usize) -> Pair {
    let shape = shape();
    let (span, filled) = lossy_block(shape, lost);
    let (mut decoder, mut block) = (Decoder::new(), span.clone());
    let ours = whole(move || {
        decoder.recover(shape, black_box(&mut block), &filled).expect("k shards are there");
    });
    let mut library = library_decoder(shape);
    let rival = whole(move || library_recover(&mut library, shape, &span, lost));
    Pair { name, bound, reason, ours, rival }
}
