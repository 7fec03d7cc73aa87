//! What the tests share: bytes that look random, and two slow twins of the coder.
//!
//! One twin is the code's definition, read off `docs/fec.md` and not off the crate: its own arithmetic, bit by bit, and
//! the generator as a matrix. The other is reed-solomon-simd through the fixed map between its symbols and ours.
#![allow(dead_code, reason = "each test takes what it needs")]

use punktfunk_fec::{Encoder, Shape};
use reed_solomon_simd::engine::NoSimd;
use reed_solomon_simd::rate::{HighRateEncoder, LowRateEncoder, RateEncoder};

/// Bytes that look random and depend on nothing but `seed` (splitmix64).
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        out.extend_from_slice(&draw(&mut state).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

pub fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A random `count` of `0..of`, drawn from `seed`.
pub fn draw_subset(seed: u64, count: usize, of: usize) -> Vec<usize> {
    let mut state = seed;
    let mut all: Vec<usize> = (0..of).collect();
    for i in 0..count {
        let j = i + (draw(&mut state) % (of - i) as u64) as usize;
        all.swap(i, j);
    }
    all.truncate(count);
    all
}

pub fn shape_of(k: usize, m: usize, shard_bytes: usize) -> Shape {
    Shape::new(k.try_into().unwrap(), m.try_into().unwrap(), shard_bytes).unwrap()
}

/// The whole block: padded data, then parity as `encoder` makes it.
pub fn whole_block(encoder: &mut Encoder, shape: Shape, data: &[u8]) -> Vec<u8> {
    let mut span = vec![0; shape.span_bytes()];
    span[..data.len()].copy_from_slice(data);
    let parity = encoder.encode(shape, data).unwrap();
    assert_eq!(parity.len(), shape.parity());
    for (index, shard) in span[shape.data_bytes()..].chunks_mut(shape.shard_bytes()).enumerate() {
        shard.copy_from_slice(parity.shard(index));
    }
    span
}

/// The Cantor basis of `docs/fec.md`.
const BASIS: [u16; 16] = [
    0x0001, 0x00BD, 0x00E1, 0x00EC, 0x00FE, 0x00F9, 0x0047, 0x0031, 0x0100, 0xBDC7, 0xE198, 0xECF8, 0xFE60,
    0xF9C3, 0x47A4, 0x314F,
];

/// A product in GF(2^8), polynomial 0x11B.
fn times_8(a: u16, b: u16) -> u16 {
    let product = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ (a << bit));
    (8..15)
        .rev()
        .fold(product, |rest, bit| if rest >> bit & 1 == 1 { rest ^ (0x11B << (bit - 8)) } else { rest })
}

/// A product of symbols `lo + hi w`, `w^2 = w + 0x31`.
pub fn times(a: u16, b: u16) -> u16 {
    let (a0, a1, b0, b1) = (a & 255, a >> 8, b & 255, b >> 8);
    let high = times_8(a1, b1);
    let low = times_8(a0, b0) ^ times_8(0x31, high);
    low | (times_8(a0, b1) ^ times_8(a1, b0) ^ high) << 8
}

fn inverse(a: u16) -> u16 {
    // a^(2^16 - 2)
    let (mut power, mut product) = (a, 1);
    for _ in 1..16 {
        power = times(power, power);
        product = times(product, power);
    }
    product
}

fn point(index: usize) -> u16 {
    (0..16).filter(|bit| index >> bit & 1 == 1).fold(0, |sum, bit| sum ^ BASIS[bit])
}

/// Symbol `index` of a shard.
fn symbol(shard: &[u8], index: usize) -> u16 {
    u16::from_le_bytes([shard[index], shard[shard.len() / 2 + index]])
}

/// The code's definition: each parity symbol is the sum of data symbols times `s / (x + y)`.
pub fn parity_by_definition(shape: Shape, padded: &[u8]) -> Vec<u8> {
    let (k, m) = (shape.data(), shape.parity());
    let chunk = k.min(m).next_power_of_two();
    let half = shape.shard_bytes() / 2;
    let mut parity = vec![0; m * shape.shard_bytes()];
    for (index, out) in parity.chunks_mut(shape.shard_bytes()).enumerate() {
        for (number, shard) in padded.chunks(shape.shard_bytes()).enumerate() {
            let (low, far) = if m <= k { (index, chunk + number) } else { (number, chunk + index) };
            let factor = times(point(far / chunk), inverse(point(low) ^ point(far)));
            for at in 0..half {
                let [low, high] = times(factor, symbol(shard, at)).to_le_bytes();
                out[at] ^= low;
                out[half + at] ^= high;
            }
        }
    }
    parity
}

/// The fixed map: bit `j` of one of reed-solomon-simd's symbols is basis element `j` here.
pub struct LibraryMap {
    ours: Vec<u16>,
    theirs: Vec<u16>,
}

impl LibraryMap {
    pub fn new() -> LibraryMap {
        let ours: Vec<u16> = (0..65_536).map(point).collect();
        let mut theirs = vec![0; 65_536];
        (0..=65_535_u16).for_each(|symbol| theirs[usize::from(ours[usize::from(symbol)])] = symbol);
        LibraryMap { ours, theirs }
    }

    /// The library keeps 32 low bytes, then 32 high ones, in every 64.
    fn to_library(&self, shard: &[u8]) -> Vec<u8> {
        let mut out = vec![0; shard.len()];
        for index in 0..shard.len() / 2 {
            let [low, high] = self.theirs[usize::from(symbol(shard, index))].to_le_bytes();
            out[index / 32 * 64 + index % 32] = low;
            out[index / 32 * 64 + 32 + index % 32] = high;
        }
        out
    }

    fn to_ours(&self, shard: &[u8]) -> Vec<u8> {
        let mut out = vec![0; shard.len()];
        for index in 0..shard.len() / 2 {
            let at = index / 32 * 64 + index % 32;
            let [low, high] =
                self.ours[usize::from(u16::from_le_bytes([shard[at], shard[at + 32]]))].to_le_bytes();
            out[index] = low;
            out[shard.len() / 2 + index] = high;
        }
        out
    }

    /// The library's parity of the same data; the shard length is a multiple of 64.
    pub fn parity(&self, shape: Shape, padded: &[u8]) -> Vec<u8> {
        let (k, m, bytes) = (shape.data(), shape.parity(), shape.shard_bytes());
        let shards: Vec<Vec<u8>> = padded.chunks(bytes).map(|shard| self.to_library(shard)).collect();
        let parity: Vec<Vec<u8>> = if m <= k {
            let mut library = HighRateEncoder::new(k, m, bytes, NoSimd::new(), None).unwrap();
            shards.iter().for_each(|shard| library.add_original_shard(shard).unwrap());
            let result = library.encode().unwrap();
            result.recovery_iter().map(|shard| self.to_ours(shard)).collect()
        } else {
            let mut library = LowRateEncoder::new(k, m, bytes, NoSimd::new(), None).unwrap();
            shards.iter().for_each(|shard| library.add_original_shard(shard).unwrap());
            let result = library.encode().unwrap();
            result.recovery_iter().map(|shard| self.to_ours(shard)).collect()
        };
        parity.concat()
    }
}
