//! Any `k` of `k + m` shards give the data back, and every parity byte is the library's own.
//!
//! Two slow twins stand beside the coder: reed-solomon-simd used the plain way, a fresh coder and a list of shards for
//! each block, and for small shapes the definition itself, every subset of `k` shards.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use punktfunk_fec::{Decoder, Encoder, FecError, Shape, ShardSet};

/// Bytes that look random and depend on nothing but `seed` (splitmix64).
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        out.extend_from_slice(&draw(&mut state).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A random `count` of `0..of`, drawn from `seed`.
fn draw_subset(seed: u64, count: usize, of: usize) -> Vec<usize> {
    let mut state = seed;
    let mut all: Vec<usize> = (0..of).collect();
    for i in 0..count {
        let j = i + (draw(&mut state) % (of - i) as u64) as usize;
        all.swap(i, j);
    }
    all.truncate(count);
    all
}

fn shape_of(k: usize, m: usize, shard_bytes: usize) -> Shape {
    Shape::new(k.try_into().unwrap(), m.try_into().unwrap(), shard_bytes).unwrap()
}

/// The whole block: padded data, then parity as `encoder` makes it.
fn whole_block(encoder: &mut Encoder, shape: Shape, data: &[u8]) -> Vec<u8> {
    let mut span = vec![0; shape.span_bytes()];
    span[..data.len()].copy_from_slice(data);
    let parity = encoder.encode(shape, data).unwrap();
    assert_eq!(parity.len(), shape.parity());
    for (index, shard) in span[shape.data_bytes()..].chunks_mut(shape.shard_bytes()).enumerate() {
        shard.copy_from_slice(parity.shard(index));
    }
    span
}

/// The twin: the library as its manual shows it.
fn parity_of_the_library(shape: Shape, padded: &[u8]) -> Vec<u8> {
    let shards = padded.chunks(shape.shard_bytes());
    reed_solomon_simd::encode(shape.data(), shape.parity(), shards).unwrap().concat()
}

/// Leaves only the shards of `kept`, spoils the others, recovers, and compares the data.
fn check_recovery(decoder: &mut Decoder, filled: &mut ShardSet, shape: Shape, whole: &[u8], kept: &[usize]) {
    filled.clear();
    for &index in kept {
        filled.insert(index);
    }
    let mut span = whole.to_vec();
    for index in filled.missing_in(0..shape.shards()) {
        span[index * shape.shard_bytes()..][..shape.shard_bytes()].fill(0xA5);
    }
    let before = span.clone();
    let missing = filled.missing_in(0..shape.data()).count();
    let recovered = decoder.recover(shape, &mut span, filled);
    if kept.len() >= shape.data() {
        assert_eq!(recovered, Ok(missing), "{shape:?} from {kept:?}");
        assert_eq!(span[..shape.data_bytes()], whole[..shape.data_bytes()], "{shape:?} from {kept:?}");
    } else {
        let expected = if missing == 0 {
            Ok(0)
        } else {
            Err(FecError::TooFewShards { present: kept.len(), needed: shape.data() })
        };
        assert_eq!(recovered, expected, "{shape:?} from {kept:?}");
        assert_eq!(span, before, "{shape:?}: a refused block is untouched");
    }
    assert_eq!(
        span[shape.data_bytes()..],
        before[shape.data_bytes()..],
        "{shape:?}: parity is never written"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_k_shards_give_the_data_back(
        k in 1_usize..130,
        m in 0_usize..130,
        columns in 1_usize..8,
        short in 0_usize..512,
        kept in 0_usize..300,
        seed in any::<u64>(),
    ) {
        let shape = shape_of(k, m, columns * 64);
        let short = short % shape.shard_bytes();
        let data = noise(seed, shape.data_bytes() - short);
        let whole = whole_block(&mut Encoder::new(), shape, &data);
        if m > 0 {
            prop_assert_eq!(&whole[shape.data_bytes()..], &parity_of_the_library(shape, &whole[..shape.data_bytes()]));
        }
        let (mut decoder, mut filled) = (Decoder::new(), ShardSet::with_capacity(shape.shards()));
        let exactly_k = draw_subset(seed, k, k + m);
        check_recovery(&mut decoder, &mut filled, shape, &whole, &exactly_k);
        check_recovery(&mut decoder, &mut filled, shape, &whole, &exactly_k[1..]);
        let some = draw_subset(!seed, kept % (k + m + 1), k + m);
        check_recovery(&mut decoder, &mut filled, shape, &whole, &some);
    }

    /// One pair of coders sees a row of shapes, high rate and low, small after large: nothing of a block stays behind.
    #[test]
    fn reused_coders_equal_fresh_ones(
        shapes in prop::collection::vec((1_usize..90, 1_usize..90, 1_usize..4), 1..12),
        seed in any::<u64>(),
    ) {
        let (mut encoder, mut decoder, mut filled) = (Encoder::new(), Decoder::new(), ShardSet::with_capacity(180));
        for (number, (k, m, columns)) in shapes.into_iter().enumerate() {
            let shape = shape_of(k, m, columns * 64);
            let seed = seed ^ number as u64;
            let whole = whole_block(&mut encoder, shape, &noise(seed, shape.data_bytes() - number % 64));
            prop_assert_eq!(&whole[shape.data_bytes()..], &parity_of_the_library(shape, &whole[..shape.data_bytes()]));
            check_recovery(&mut decoder, &mut filled, shape, &whole, &draw_subset(seed, k, k + m));
        }
    }
}

#[test]
fn every_subset_of_small_blocks() {
    let (mut encoder, mut decoder, mut filled) = (Encoder::new(), Decoder::new(), ShardSet::with_capacity(8));
    for k in 1..=5 {
        for m in 0..=(8 - k) {
            let shape = shape_of(k, m, 64);
            let whole = whole_block(&mut encoder, shape, &noise((k * 16 + m) as u64, shape.data_bytes()));
            for pattern in 0_u32..1 << (k + m) {
                let kept: Vec<usize> = (0..k + m).filter(|index| pattern >> index & 1 == 1).collect();
                check_recovery(&mut decoder, &mut filled, shape, &whole, &kept);
            }
        }
    }
}

#[test]
fn shapes_of_the_stream_lose_as_much_as_they_may() {
    let (mut encoder, mut decoder, mut filled) =
        (Encoder::new(), Decoder::new(), ShardSet::with_capacity(4506));
    for (k, m) in [(1, 1), (64, 7), (434, 44), (874, 88), (874, 175), (4096, 410), (3, 900)] {
        let shape = shape_of(k, m, 1408);
        let whole = whole_block(&mut encoder, shape, &noise(k as u64, shape.data_bytes() - 1407));
        assert_eq!(whole[shape.data_bytes()..], parity_of_the_library(shape, &whole[..shape.data_bytes()]));
        let first_m_lost: Vec<usize> = (m..k + m).collect();
        check_recovery(&mut decoder, &mut filled, shape, &whole, &first_m_lost);
        let one_lost: Vec<usize> = (0..k + m).filter(|&index| index != k / 2).collect();
        check_recovery(&mut decoder, &mut filled, shape, &whole, &one_lost);
        check_recovery(&mut decoder, &mut filled, shape, &whole, &draw_subset(k as u64, k, k + m));
    }
}

#[test]
fn the_largest_shapes_are_supported() {
    let mut encoder = Encoder::new();
    for (k, m) in [(32_768, 32_767), (1, 32_768), (32_768, 1), (32_767, 32_768)] {
        let shape = shape_of(k, m, 64);
        assert_eq!(encoder.encode(shape, &noise(1, shape.data_bytes())).unwrap().len(), m);
    }
}

#[test]
fn an_empty_block_is_a_block_of_zeros() {
    let mut encoder = Encoder::new();
    let whole = whole_block(&mut encoder, shape_of(1, 2, 128), &[]);
    assert_eq!(whole, vec![0; 3 * 128]);
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let shape = shape_of(4, 2, 64);
    let mut encoder = Encoder::new();
    for got in [0, 192, 257, 1000] {
        let refused = encoder.encode(shape, &vec![1; got]).err();
        assert_eq!(refused, Some(FecError::DataBytes { got, least: 193, most: 256 }));
    }
    assert!(encoder.encode(shape, &[1; 193]).is_ok());
    let (mut decoder, mut filled) = (Decoder::new(), ShardSet::with_capacity(6));
    (1..5).for_each(|index| assert!(filled.insert(index)));
    for got in [0, 383, 385, 768] {
        let refused = decoder.recover(shape, &mut vec![1; got], &filled);
        assert_eq!(refused, Err(FecError::SpanBytes { got, expected: 384 }));
    }
}

/// A set that was made for a larger block, with shards of that block in, says nothing of shards beyond this block.
#[test]
fn shards_beyond_the_block_do_not_count() {
    let shape = shape_of(4, 1, 64);
    let mut filled = ShardSet::with_capacity(64);
    [0, 1, 2, 5, 6, 63].iter().for_each(|&index| assert!(filled.insert(index)));
    let refused = Decoder::new().recover(shape, &mut vec![0; shape.span_bytes()], &filled);
    assert_eq!(refused, Err(FecError::TooFewShards { present: 3, needed: 4 }));
}

#[test]
#[should_panic(expected = "parity shard 2 of 2")]
fn a_parity_shard_that_is_not_there_panics() {
    let mut encoder = Encoder::new();
    let parity = encoder.encode(shape_of(2, 2, 64), &[7; 128]).unwrap();
    let _ = parity.shard(2);
}
