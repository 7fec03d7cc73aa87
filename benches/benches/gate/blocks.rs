//! Parity and recovery of one block, beside reed-solomon-simd as its manual uses it, its coders kept.

use std::hint::black_box;

use punktfunk_fec::{Decoder, Encoder, Shape, ShardSet};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use crate::aead::SHARD_BYTES;
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
    let mut library = ReedSolomonEncoder::new(DATA.into(), PARITY.into(), SHARD_BYTES).expect("supported");
    let rival = whole(move || {
        for shard in black_box(&data).chunks(SHARD_BYTES) {
            library.add_original_shard(shard).expect("k shards");
        }
        black_box(library.encode().expect("all were added").recovery(0).map(|shard| shard[0]));
    });
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
    let mut span = vec![3; shape.span_bytes()];
    let mut encoder = Encoder::new();
    let parity = encoder.encode(shape, &span[..shape.data_bytes()]).expect("lengths fit");
    for (index, shard) in span[shape.data_bytes()..].chunks_mut(SHARD_BYTES).enumerate() {
        shard.copy_from_slice(parity.shard(index));
    }
    let mut filled = ShardSet::with_capacity(shape.shards());
    (lost..shape.shards()).for_each(|index| assert!(filled.insert(index)));
    let (mut decoder, mut block) = (Decoder::new(), span.clone());
    let ours = whole(move || {
        decoder.recover(shape, black_box(&mut block), &filled).expect("k shards are there");
    });
    let mut library = ReedSolomonDecoder::new(DATA.into(), PARITY.into(), SHARD_BYTES).expect("supported");
    let rival = whole(move || {
        for (index, shard) in black_box(&span).chunks(SHARD_BYTES).enumerate().skip(lost) {
            match index.checked_sub(DATA.into()) {
                None => library.add_original_shard(index, shard).expect("once each"),
                Some(parity) if parity < lost => {
                    library.add_recovery_shard(parity, shard).expect("once each");
                }
                Some(_) => break,
            }
        }
        let restored = library.decode().expect("k shards were added");
        black_box(restored.restored_original(0).map(|shard| shard[0]));
    });
    Pair { name, bound, reason, ours, rival }
}
