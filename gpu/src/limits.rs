//! Every bound of this room, and why it is that.

use crate::format::PIXEL_BYTES;

/// Pixels of a side, in and out: what a GPU's images go to, and what keeps the shader's sums in 32 bits.
pub const SIDE_MAX: u32 = 16_384;

/// Pixels of a side of an output at least: a macroblock.
pub const OUTPUT_SIDE_MIN: u32 = 16;

/// How much smaller than the source an output's side may be. Each of its pixels is the mean of all that it covers, so that
/// this bounds the shader's work for one of them.
pub const DOWNSCALE_MAX: u32 = 16;

/// Bytes that an output's rows are a multiple of apart: what CUDA's own pitches are multiples of.
pub const PITCH_ALIGNMENT: u32 = 256;

/// Outputs of one importer. Two are the least that can overlap: one is read while the other is written.
pub const OUTPUTS_MIN: usize = 2;
/// More would only be memory: the encoder holds three at most.
pub const OUTPUTS_MAX: usize = 8;

/// Planes of a dmabuf: DRM's own bound.
pub const PLANES_MAX: usize = 4;

/// Buffers that stay imported. A producer has sixteen at most (PipeWire's bound), twice that many live while it changes
/// its mode.
pub const IMPORTS_MAX: usize = 32;

/// Images of overlays that stay uploaded: a cursor is one of a few.
pub const OVERLAYS_MAX: usize = 16;

/// Pixels of an overlay's side at most: several times the largest cursor.
pub const OVERLAY_SIDE_MAX: u32 = 1024;

/// Conversions under way: each output's, and as many again that wait for their producers.
pub const IN_FLIGHT_MAX: usize = 2 * OUTPUTS_MAX;

/// Bytes of a picture in memory at most.
pub const PICTURE_BYTES_MAX: u64 = SIDE_MAX as u64 * SIDE_MAX as u64 * PIXEL_BYTES as u64;

/// How long the host waits for the GPU before it calls it lost, in nanoseconds: a GPU's own watchdog bites after two to ten
/// seconds.
pub const GPU_PATIENCE_NS: u64 = 10_000_000_000;

/// How long an importer that goes waits for readers that have said that their signal is on its way, in nanoseconds: several
/// pictures, as with producers.
pub const READER_PATIENCE_NS: u64 = PRODUCER_PATIENCE_MS as u64 * 1_000_000;

/// How long the host waits for a producer to be done with a buffer, in milliseconds: several pictures.
pub const PRODUCER_PATIENCE_MS: u32 = 500;

// The mean over a column of pixels, of 16 bits each, weighed by up to a side's length, stays in 32 bits.
const _: () = assert!(SIDE_MAX as u64 * 65_535 <= u32::MAX as u64);
// Between two pixels, of 10 bits each and 6 of fraction, weights are up to twice a side's length.
const _: () = assert!(2 * SIDE_MAX as u64 * 65_535 <= u32::MAX as u64);
const _: () = assert!(OUTPUTS_MIN <= OUTPUTS_MAX && OUTPUTS_MAX <= IN_FLIGHT_MAX);
