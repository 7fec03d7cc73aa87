//! The two coders in turns, in this process.

use std::hint::black_box;
use std::time::Instant;

use punktfunk_fec::{Decoder, Encoder, Kernel, Shape, ShardSet};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::{Case, FecArgs, Taken};
use crate::rng::{Purpose, Rng};

/// Shards start at a cache line, as a caller who chooses places them: a block that starts elsewhere takes about a seventh
/// longer.
const LINE_BYTES: usize = 64;

/// Turns of each figure: the best and the median of so many are told.
const ROUNDS: usize = 9;

/// Every shape: encoding, and recovering one, eight, half and all of what may be lost.
pub fn measure(kernel: Kernel, shapes: &[Shape], args: &FecArgs) -> Vec<Taken> {
    shapes.iter().flat_map(|&shape| measure_shape(kernel, shape, args)).collect()
}

fn measure_shape(kernel: Kernel, shape: Shape, args: &FecArgs) -> Vec<Taken> {
    let mut memory = vec![0; shape.data_bytes() + LINE_BYTES];
    let data = from_line(&mut memory, shape.data_bytes());
    Rng::new(args.seed, Purpose::Bytes(0)).fill(data);
    let data = &*data;
    let mut taken = vec![measure_encode(kernel, shape, data, args.seconds)];
    let most = shape.parity().min(shape.data());
    let mut losses = vec![1, 8.min(most), (most / 2).max(1), most];
    losses.dedup();
    losses.sort_unstable();
    losses.dedup();
    taken.extend(losses.into_iter().map(|lost| measure_recover(kernel, shape, data, lost, args.seconds)));
    taken
}

/// The first `bytes` of `memory` from a cache line's start on, of which there must be that many.
fn from_line(memory: &mut [u8], bytes: usize) -> &mut [u8] {
    let start = memory.as_ptr().align_offset(LINE_BYTES);
    &mut memory[start..start + bytes]
}

fn case_of(shape: Shape, lost: usize) -> Case {
    let count = |count: usize| u16::try_from(count).expect("a Shape's counts are u16");
    Case { k: count(shape.data()), m: count(shape.parity()), lost: count(lost) }
}

fn measure_encode(kernel: Kernel, shape: Shape, data: &[u8], seconds: f64) -> Taken {
    let mut encoder = Encoder::with_kernel(kernel);
    let mut library = library_encoder(shape);
    let [ours_us, library_us] = in_turns(
        seconds,
        || {
            black_box(encoder.encode(shape, black_box(data)).expect("the data fits").shard(0)[0]);
        },
        || {
            for shard in black_box(data).chunks(shape.shard_bytes()) {
                library.add_original_shard(shard).expect("k shards");
            }
            black_box(library.encode().expect("k shards were added").recovery(0).map(|shard| shard[0]));
        },
    );
    // What the parity is worth shows when it recovers.
    Taken { case: case_of(shape, 0), ours_us, library_us, bytes_right: true }
}

fn measure_recover(kernel: Kernel, shape: Shape, data: &[u8], lost: usize, seconds: f64) -> Taken {
    let (k, bytes) = (shape.data(), shape.shard_bytes());
    let mut memory = vec![0; shape.span_bytes() + LINE_BYTES];
    let span = from_line(&mut memory, shape.span_bytes());
    span[..data.len()].copy_from_slice(data);
    let mut encoder = Encoder::with_kernel(kernel);
    let parity = encoder.encode(shape, data).expect("the data fits");
    for (index, shard) in span[data.len()..].chunks_exact_mut(bytes).enumerate() {
        shard.copy_from_slice(parity.shard(index));
    }
    let library_parity = parity_of_library(shape, data);
    // Lost shards lie apart, as random loss leaves them.
    let is_lost = |index: usize| index < k && index.is_multiple_of(k / lost) && index / (k / lost) < lost;
    let mut filled = ShardSet::with_capacity(shape.shards());
    for index in (0..shape.shards()).filter(|&index| !is_lost(index)) {
        filled.insert(index);
    }
    (0..k).filter(|&index| is_lost(index)).for_each(|index| span[index * bytes..][..bytes].fill(0xEE));
    let mut decoder = Decoder::with_kernel(kernel);
    let mut library = ReedSolomonDecoder::new(k, shape.parity(), bytes).expect("a Shape is supported");
    let mut library_right = true;
    let [ours_us, library_us] = in_turns(
        seconds,
        || {
            decoder.recover(shape, black_box(&mut *span), &filled).expect("k shards are there");
        },
        || {
            for index in filled.present_in(0..k) {
                library.add_original_shard(index, &data[index * bytes..][..bytes]).expect("once each");
            }
            for (index, shard) in library_parity.chunks(bytes).take(lost).enumerate() {
                library.add_recovery_shard(index, shard).expect("once each");
            }
            let restored = library.decode().expect("k shards were added");
            let first = filled.missing_in(0..k).next().expect("something is lost");
            let shard = black_box(restored.restored_original(first));
            library_right &= shard.is_some_and(|shard| shard[0] == data[first * bytes]);
        },
    );
    let bytes_right = span[..data.len()] == *data && library_right;
    Taken { case: case_of(shape, lost), ours_us, library_us, bytes_right }
}

fn library_encoder(shape: Shape) -> ReedSolomonEncoder {
    ReedSolomonEncoder::new(shape.data(), shape.parity(), shape.shard_bytes()).expect("a Shape is supported")
}

fn parity_of_library(shape: Shape, data: &[u8]) -> Vec<u8> {
    let mut library = library_encoder(shape);
    for shard in data.chunks(shape.shard_bytes()) {
        library.add_original_shard(shard).expect("k shards");
    }
    let result = library.encode().expect("k shards were added");
    result.recovery_iter().flatten().copied().collect()
}

/// Rounds of both in turn, after a first call each that warms: microseconds of the best round and of the median one.
fn in_turns(seconds: f64, mut ours: impl FnMut(), mut library: impl FnMut()) -> [[f64; 2]; 2] {
    let round = seconds / ROUNDS as f64;
    let (calls_ours, calls_library) = (calls_in(round, &mut ours), calls_in(round, &mut library));
    let (mut times_ours, mut times_library) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times_ours.push(mean_us(calls_ours, &mut ours));
        times_library.push(mean_us(calls_library, &mut library));
    }
    [times_ours, times_library].map(|mut times| {
        times.sort_by(f64::total_cmp);
        [times[0], times[ROUNDS / 2]]
    })
}

/// How often `verb` can be called in `seconds`, at least once; calls it to find out.
fn calls_in(seconds: f64, verb: &mut impl FnMut()) -> u32 {
    verb();
    let one = mean_us(2, verb).max(0.01);
    ((seconds * 1e6 / one) as u32).max(1)
}

fn mean_us(calls: u32, verb: &mut impl FnMut()) -> f64 {
    let started = Instant::now();
    (0..calls).for_each(|_| verb());
    started.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}
