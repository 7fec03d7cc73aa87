//! The code is wire format: the bytes of `docs/vectors/fec.txt` may change only with the protocol's version. `docs/fec.md` says how
//! they come about.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use punktfunk_fec::{Encoder, Kernel, Shape};

const VECTORS: &str = include_str!("../../docs/vectors/fec.txt");

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

fn parity_of(kernel: Kernel, k: u16, m: u16, shard_bytes: usize) -> Vec<u8> {
    let shape = Shape::new(k, m, shard_bytes).unwrap();
    let mut encoder = Encoder::with_kernel(kernel);
    let parity = encoder.encode(shape, &pattern(shape.data_bytes())).unwrap();
    (0..parity.len()).flat_map(|index| parity.shard(index).to_vec()).collect()
}

/// A line of the file: `k m shard_bytes` and what the parity is, in full or as a hash.
fn line_of(kernel: Kernel, line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut number = || words.next().unwrap().parse::<u16>().unwrap();
    let (k, m, shard_bytes) = (number(), number(), number());
    let parity = parity_of(kernel, k, m, usize::from(shard_bytes));
    let what = match words.next() {
        Some("hex") => {
            format!("hex {}", parity.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        _ => format!("fnv {:016x}", fnv1a(&parity)),
    };
    format!("{k} {m} {shard_bytes} {what}")
}

#[test]
fn parity_bytes_are_pinned() {
    let lines: Vec<&str> = VECTORS.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 20);
    for kernel in Kernel::supported() {
        for line in &lines {
            assert_eq!(line_of(kernel, line), **line, "{kernel}");
        }
    }
}
