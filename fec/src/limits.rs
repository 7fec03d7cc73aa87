//! Every bound of the block coder, with its reason.

/// A shard's length is a multiple of this many bytes: a symbol has two, one in each half of the shard.
pub const SHARD_BYTES_MULTIPLE: usize = 2;

/// The longest shard, bytes: the largest even number in a UDP payload over IPv4 (65,507 bytes).
pub const SHARD_BYTES_MAX: usize = 65_506;

/// The most data shards in a block: half of the field, so that with [`PARITY_SHARDS_MAX`] every pair of counts has a
/// place among the 65,536 points of the field.
pub const DATA_SHARDS_MAX: usize = 32_768;

/// The most parity shards in a block, for the same reason as [`DATA_SHARDS_MAX`].
pub const PARITY_SHARDS_MAX: usize = 32_768;

/// The most shards in a block: a shard's number and their counts are `u16` on the wire.
pub const SHARDS_MAX: usize = 65_535;

/// Losses up to which what parity lacks is summed up shard by shard, for chunks of up to 2^3, 2^6 and 2^15 points; encoding
/// again is cheaper beyond, by the sooner the fewer layers a chunk has. Measured with every kernel at 64 to 4,096 data
/// shards.
pub(crate) const DIRECT_LOSSES_MAX: [(usize, usize); 3] = [(3, 1), (6, 3), (15, 4)];

/// The missing shards are summed up quotient by quotient up to `e` losses with `8 e^2` no more than this many times the rows
/// and layers of a transform over the block's larger side, and [`SUMS_BASE`]; an FFT is cheaper beyond. Measured with every
/// kernel from 16 data and 8 parity to 4,096 and 410 shards: the two meet at 17 losses of 20 + 20 shards, 42 of 434 + 44, 63
/// of 874 + 88, 150 of 4,096 + 410.
pub(crate) const SUMS_SHARE: usize = 5;

/// What an FFT costs before its first row, in the same measure.
pub(crate) const SUMS_BASE: usize = 2000;

// The smaller count rounded up to a power of two plus the larger count must fit the field, whatever the two are.
const _: () = assert!(DATA_SHARDS_MAX.next_power_of_two() + PARITY_SHARDS_MAX <= 65_536);
const _: () = assert!(PARITY_SHARDS_MAX.next_power_of_two() + DATA_SHARDS_MAX <= 65_536);
const _: () = assert!(SHARDS_MAX <= u16::MAX as usize);
const _: () = assert!(SHARD_BYTES_MAX.is_multiple_of(SHARD_BYTES_MULTIPLE));
