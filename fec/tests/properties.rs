//! Any `k` of `k + m` shards give the data back, on every kernel that this CPU can run, and all kernels make one parity.
//!
//! What the parity has to be is the affair of `twins.rs`; here it only has to give the data back, for small shapes from
//! every subset of shards.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{draw_subset, noise, shape_of, whole_block};
use proptest::prelude::*;
use punktfunk_fec::{Decoder, Encoder, FecError, Kernel, Shape, ShardSet};

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

/// A shard length: short ones, odd multiples of two, and those of the wire.
fn shard_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => (1_usize..40).prop_map(|pairs| pairs * 2),
        4 => (1_usize..400).prop_map(|pairs| pairs * 2),
        2 => (1_usize..12).prop_map(|lines| lines * 64),
    ]
}

/// Counts: small ones of every kind, and some for which a chunk takes several passes.
fn counts() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        6 => (1_usize..40, 0_usize..40),
        3 => (1_usize..300, 0_usize..80),
        1 => (200_usize..700, 60_usize..700),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_k_shards_give_the_data_back(
        (k, m) in counts(),
        shard_bytes in shard_bytes(),
        short in 0_usize..512,
        kept in 0_usize..1400,
        seed in any::<u64>(),
    ) {
        let shape = shape_of(k, m, shard_bytes);
        let data = noise(seed, shape.data_bytes() - short % shape.shard_bytes());
        let mut first: Option<Vec<u8>> = None;
        for kernel in Kernel::supported() {
            let whole = whole_block(&mut Encoder::with_kernel(kernel), shape, &data);
            prop_assert_eq!(first.get_or_insert_with(|| whole.clone()), &whole, "{} differs", kernel);
            let mut decoder = Decoder::with_kernel(kernel);
            let mut filled = ShardSet::with_capacity(shape.shards());
            let exactly_k = draw_subset(seed, k, k + m);
            check_recovery(&mut decoder, &mut filled, shape, &whole, &exactly_k);
            check_recovery(&mut decoder, &mut filled, shape, &whole, &exactly_k[1..]);
            let some = draw_subset(!seed, kept % (k + m + 1), k + m);
            check_recovery(&mut decoder, &mut filled, shape, &whole, &some);
            // A few losses: the ways that large blocks with many losses never take.
            let few = draw_subset(seed ^ 1, k + m - (kept % 9).min(m), k + m);
            check_recovery(&mut decoder, &mut filled, shape, &whole, &few);
        }
    }

    /// One pair of coders sees a row of shapes, high rate and low, small after large: nothing of a block stays behind.
    #[test]
    fn reused_coders_equal_fresh_ones(
        shapes in prop::collection::vec((1_usize..90, 1_usize..90, shard_bytes()), 1..12),
        seed in any::<u64>(),
    ) {
        for kernel in Kernel::supported() {
            let (mut encoder, mut decoder) = (Encoder::with_kernel(kernel), Decoder::with_kernel(kernel));
            let mut filled = ShardSet::with_capacity(180);
            for (number, &(k, m, shard_bytes)) in shapes.iter().enumerate() {
                let shape = shape_of(k, m, shard_bytes);
                let seed = seed ^ number as u64;
                let data = noise(seed, shape.data_bytes() - number % shard_bytes);
                let whole = whole_block(&mut encoder, shape, &data);
                let fresh = whole_block(&mut Encoder::with_kernel(kernel), shape, &data);
                prop_assert_eq!(&whole, &fresh);
                check_recovery(&mut decoder, &mut filled, shape, &whole, &draw_subset(seed, k, k + m));
            }
        }
    }

    /// Data and spans lie anywhere: the bytes around them are not touched, and make no difference.
    #[test]
    fn unaligned_memory_is_as_good(
        (k, m) in (1_usize..60, 1_usize..60),
        shard_bytes in shard_bytes(),
        at in 0_usize..64,
        seed in any::<u64>(),
    ) {
        let shape = shape_of(k, m, shard_bytes);
        let data = noise(seed, shape.data_bytes());
        for kernel in Kernel::supported() {
            let whole = whole_block(&mut Encoder::with_kernel(kernel), shape, &data);
            let mut room = vec![0xC3; at + shape.span_bytes() + 64];
            room[at..at + data.len()].copy_from_slice(&data);
            let mut encoder = Encoder::with_kernel(kernel);
            let parity = encoder.encode(shape, &room[at..at + data.len()]).unwrap();
            (0..m).for_each(|index| {
                let expected = &whole[(k + index) * shard_bytes..][..shard_bytes];
                assert_eq!(parity.shard(index), expected, "{shape:?} at {at}");
            });
            let kept = draw_subset(seed, k, k + m);
            let mut filled = ShardSet::with_capacity(shape.shards());
            kept.iter().for_each(|&index| assert!(filled.insert(index)));
            let span = &mut room[at..at + shape.span_bytes()];
            span.copy_from_slice(&whole);
            filled.missing_in(0..k).for_each(|index| span[index * shard_bytes..][..shard_bytes].fill(0x5A));
            let missing = filled.missing_in(0..k).count();
            prop_assert_eq!(Decoder::with_kernel(kernel).recover(shape, span, &filled), Ok(missing));
            prop_assert_eq!(&*span, &*whole);
            prop_assert!(room[..at].iter().chain(&room[at + shape.span_bytes()..]).all(|&byte| byte == 0xC3));
        }
    }
}

#[test]
fn every_subset_of_small_blocks() {
    let mut filled = ShardSet::with_capacity(8);
    for kernel in Kernel::supported() {
        let (mut encoder, mut decoder) = (Encoder::with_kernel(kernel), Decoder::with_kernel(kernel));
        for (k, m) in (1..=7).flat_map(|k| (0..=8 - k).map(move |m| (k, m))) {
            for shard_bytes in [2, 18, 130] {
                let shape = shape_of(k, m, shard_bytes);
                let whole = whole_block(&mut encoder, shape, &noise((k * 16 + m) as u64, shape.data_bytes()));
                for pattern in 0_u32..1 << (k + m) {
                    let kept: Vec<usize> = (0..k + m).filter(|index| pattern >> index & 1 == 1).collect();
                    check_recovery(&mut decoder, &mut filled, shape, &whole, &kept);
                }
            }
        }
    }
}

/// The shapes of the stream, and low-rate ones that lose hundreds.
#[test]
fn shapes_of_the_stream_lose_as_much_as_they_may() {
    let mut filled = ShardSet::with_capacity(4506);
    for kernel in Kernel::supported() {
        let shard_bytes = if kernel == Kernel::Scalar { 192 } else { 1408 };
        let (mut encoder, mut decoder) = (Encoder::with_kernel(kernel), Decoder::with_kernel(kernel));
        for (k, m) in [(1, 1), (64, 7), (434, 44), (874, 88), (874, 175), (4096, 410), (3, 900), (700, 1200)]
        {
            let shape = shape_of(k, m, shard_bytes);
            let data = noise(k as u64, shape.data_bytes() - shard_bytes + 1);
            let whole = whole_block(&mut encoder, shape, &data);
            for lost in [1, 2, 3, 4, 5, 8, m / 2, m] {
                let lost = lost.min(m);
                let without_first: Vec<usize> = (lost..k + m).collect();
                check_recovery(&mut decoder, &mut filled, shape, &whole, &without_first);
                let some = draw_subset((k + lost) as u64, k + m - lost, k + m);
                check_recovery(&mut decoder, &mut filled, shape, &whole, &some);
            }
        }
    }
}

/// The corners of what a shape may be: encoded, and recovered from as few shards as can be.
#[test]
fn the_largest_shapes_are_supported() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    let mut filled = ShardSet::with_capacity(65_535);
    for (k, m) in [(1, 32_768), (32_768, 1), (32_768, 32_767), (32_767, 32_768)] {
        let shape = shape_of(k, m, 8);
        let whole = whole_block(&mut encoder, shape, &noise(1, shape.data_bytes()));
        let lost = k.min(m).min(700);
        let kept: Vec<usize> = (lost..k + lost).collect();
        check_recovery(&mut decoder, &mut filled, shape, &whole, &kept);
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
