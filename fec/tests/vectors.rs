//! The code is wire format: these bytes may change only with the protocol's version.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use punktfunk_fec::{Encoder, Shape};

/// FNV-1a, 64 bits: enough to notice a change, short enough to print.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// Byte `i` of the data is the low byte of `(i * i + 7 i) / 3`.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| ((i * i + 7 * i) / 3).to_le_bytes()[0]).collect()
}

fn parity_of(k: u16, m: u16, shard_bytes: usize) -> Vec<u8> {
    let shape = Shape::new(k, m, shard_bytes).unwrap();
    let mut encoder = Encoder::new();
    let parity = encoder.encode(shape, &pattern(shape.data_bytes())).unwrap();
    (0..parity.len()).flat_map(|index| parity.shard(index).to_vec()).collect()
}

#[test]
fn parity_bytes_are_pinned() {
    for (k, m, shard_bytes, expected) in VECTORS {
        let hash = fnv1a(&parity_of(k, m, shard_bytes));
        assert_eq!(hash, expected, "{k}+{m} at {shard_bytes}: {hash:#018X}");
    }
}

/// k, m, bytes a shard, hash of all parity: the high rate, the low rate, equal powers of two, a last short chunk.
const VECTORS: [(u16, u16, usize, u64); 7] = [
    (1, 1, 64, 0x4E178F22A6E448BF),
    (64, 7, 1408, 0xC9BE0521FA366F71),
    (60, 60, 128, 0x2D0F4F2AFFAE3983),
    (33, 60, 128, 0xF9B59F946297400A),
    (5, 40, 192, 0x6791540DF7E92545),
    (434, 44, 1408, 0xADBC55DE94301489),
    (874, 175, 1152, 0x72B881681BE4D6C0),
];

/// 3 + 2 shards of 64 bytes, the parity in full.
#[test]
fn one_block_in_full() {
    let parity = parity_of(3, 2, 64);
    let hex: String = parity.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, FULL.concat());
}

const FULL: [&str; 4] = [
    "5d4ce6b3c1ef5654cdd72b1bc14108d64d4974df6bf55d0e2692837083b3ea2d",
    "c2b443019b3a3e13fcfa2898e9574e1d56304d61f65e3b18f58a178e288f14bc",
    "378e96478f11d2b4dfcdd3377757448e773b74bbf55b495e44588b6c05753665",
    "48165355f5e41a53ce8030143fa1a2258c62eda548d08fa877203f728ea9e814",
];
