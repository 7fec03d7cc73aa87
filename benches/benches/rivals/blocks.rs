//! A block with losses, and reed-solomon-simd at work on one as its manual uses it, its coders kept: for the bench of the
//! code and for the gate.

use std::hint::black_box;

use punktfunk_fec::{Encoder, Shape, ShardSet};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

/// A block whose first `lost` data shards are missing; its parity is there.
pub fn lossy_block(shape: Shape, lost: usize) -> (Vec<u8>, ShardSet) {
    let mut span = vec![3; shape.span_bytes()];
    let mut encoder = Encoder::new();
    let parity = encoder.encode(shape, &span[..shape.data_bytes()]).expect("lengths fit");
    for (index, shard) in span[shape.data_bytes()..].chunks_mut(shape.shard_bytes()).enumerate() {
        shard.copy_from_slice(parity.shard(index));
    }
    let mut filled = ShardSet::with_capacity(shape.shards());
    (lost..shape.shards()).for_each(|index| assert!(filled.insert(index)));
    (span, filled)
}

/// The library's encoder for `shape`.
pub fn library_encoder(shape: Shape) -> ReedSolomonEncoder {
    ReedSolomonEncoder::new(shape.data(), shape.parity(), shape.shard_bytes()).expect("supported")
}

/// The library's decoder for `shape`.
pub fn library_decoder(shape: Shape) -> ReedSolomonDecoder {
    ReedSolomonDecoder::new(shape.data(), shape.parity(), shape.shard_bytes()).expect("supported")
}

/// The library's parity of `data`.
pub fn library_encode(library: &mut ReedSolomonEncoder, shape: Shape, data: &[u8]) {
    for shard in black_box(data).chunks(shape.shard_bytes()) {
        library.add_original_shard(shard).expect("k shards");
    }
    black_box(library.encode().expect("all were added").recovery(0).map(|shard| shard[0]));
}

/// The library's recovery of the first `lost` data shards of `span`, from no more parity than that.
pub fn library_recover(library: &mut ReedSolomonDecoder, shape: Shape, span: &[u8], lost: usize) {
    for (index, shard) in black_box(span).chunks(shape.shard_bytes()).enumerate().skip(lost) {
        match index.checked_sub(shape.data()) {
            None => library.add_original_shard(index, shard).expect("once each"),
            Some(parity) if parity < lost => library.add_recovery_shard(parity, shard).expect("once each"),
            Some(_) => break,
        }
    }
    let restored = library.decode().expect("k shards were added");
    black_box(restored.restored_original(0).map(|shard| shard[0]));
}
