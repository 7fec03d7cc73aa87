//! Every parity byte is the one that the code's definition gives, and reed-solomon-simd's under the fixed map.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{LibraryMap, draw, noise, parity_by_definition, shape_of, whole_block};
use punktfunk_fec::{Encoder, Kernel, Shape};

fn padded(shape: Shape, data: &[u8]) -> Vec<u8> {
    let mut padded = data.to_vec();
    padded.resize(shape.data_bytes(), 0);
    padded
}

/// Each kernel's parity of `data`, held against what it must be.
fn check(shape: Shape, data: &[u8], expected: &[u8], twin: &str) {
    for kernel in Kernel::supported() {
        let whole = whole_block(&mut Encoder::with_kernel(kernel), shape, data);
        assert!(whole[shape.data_bytes()..] == *expected, "{kernel} differs from {twin}: {shape:?}");
    }
}

#[test]
fn small_blocks_are_as_defined() {
    for k in 1..=20 {
        for m in 1..=20 {
            let shape = shape_of(k, m, 2 * (1 + (3 * k + 5 * m) % 40));
            let data = noise((k * 32 + m) as u64, shape.data_bytes() - (k + m) % shape.shard_bytes());
            check(shape, &data, &parity_by_definition(shape, &padded(shape, &data)), "the definition");
        }
    }
}

#[test]
fn larger_blocks_are_as_defined() {
    for (k, m, shard_bytes) in
        [(248, 8, 130), (300, 9, 140), (130, 100, 34), (90, 400, 18), (1100, 30, 6), (2, 700, 4)]
    {
        let shape = shape_of(k, m, shard_bytes);
        let data = noise((k * 32 + m) as u64, shape.data_bytes() - 1);
        check(shape, &data, &parity_by_definition(shape, &padded(shape, &data)), "the definition");
    }
}

#[test]
fn the_fixed_map_leads_to_the_librarys_bytes() {
    let map = LibraryMap::new();
    let mut state = 7;
    let drawn = (0..120).map(|_| {
        let mut below = |n: u64| (draw(&mut state) % n) as usize;
        (1 + below(400), 1 + below(200), 64 * (1 + below(4)))
    });
    let chosen =
        [(1, 1), (64, 7), (60, 60), (33, 60), (32, 33), (434, 44), (874, 88), (874, 175), (4096, 410)];
    let chosen =
        chosen.into_iter().chain([(5000, 3), (9000, 70), (32_000, 100), (3, 5000)]).map(|(k, m)| (k, m, 128));
    for (k, m, shard_bytes) in drawn.chain(chosen) {
        let shape = shape_of(k, m, shard_bytes);
        let data = noise((k + m) as u64, shape.data_bytes());
        check(shape, &data, &map.parity(shape, &data), "reed-solomon-simd");
    }
}
