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

/// Losses up to which what parity lacks is summed up shard by shard; encoding again is cheaper beyond. Measured at 434 to
/// 4,096 data shards.
pub(crate) const DIRECT_LOSSES_MAX: usize = 4;

/// The same for blocks within GF(2^8), which are encoded at a fraction of that cost. Measured at 64 data shards.
pub(crate) const DIRECT_LOSSES_MAX_NEAR: usize = 1;

/// Losses up to which the missing shards are summed up quotient by quotient; an FFT is cheaper beyond.
/// Measured at 88 and 175 parity shards.
pub(crate) const SUMS_LOSSES_MAX: usize = 64;

// The smaller count rounded up to a power of two plus the larger count must fit the field, whatever the two are.
const _: () = assert!(DATA_SHARDS_MAX.next_power_of_two() + PARITY_SHARDS_MAX <= 65_536);
const _: () = assert!(PARITY_SHARDS_MAX.next_power_of_two() + DATA_SHARDS_MAX <= 65_536);
const _: () = assert!(SHARDS_MAX <= u16::MAX as usize);
const _: () = assert!(SHARD_BYTES_MAX.is_multiple_of(SHARD_BYTES_MULTIPLE));
