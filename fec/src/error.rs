//! What the block coder refuses.

use crate::limits::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX, SHARD_BYTES_MAX, SHARD_BYTES_MULTIPLE, SHARDS_MAX};

/// Why a shape, an encode or a recover was refused. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FecError {
    /// No data shard, or more than [`DATA_SHARDS_MAX`].
    #[error("{data} data shards in a block: 1 to {DATA_SHARDS_MAX} can be coded")]
    DataShards {
        /// Data shards asked for.
        data: usize,
    },
    /// More than [`PARITY_SHARDS_MAX`] parity shards, or more than [`SHARDS_MAX`] in all.
    #[error(
        "{data} data + {parity} parity shards in a block: at most {PARITY_SHARDS_MAX} parity, {SHARDS_MAX} in all"
    )]
    ParityShards {
        /// Data shards asked for.
        data: usize,
        /// Parity shards asked for.
        parity: usize,
    },
    /// A shard length of 0, above [`SHARD_BYTES_MAX`], or no multiple of [`SHARD_BYTES_MULTIPLE`].
    #[error(
        "a shard of {shard_bytes} bytes: a multiple of {SHARD_BYTES_MULTIPLE} up to {SHARD_BYTES_MAX} is needed"
    )]
    ShardBytes {
        /// Bytes a shard asked for.
        shard_bytes: usize,
    },
    /// The data does not fill the block's data shards up to the last one.
    #[error("{got} bytes of data for a block that holds {least} to {most}: the caller's shape is wrong")]
    DataBytes {
        /// Bytes given.
        got: usize,
        /// The fewest bytes that reach the last data shard.
        least: usize,
        /// The bytes of all data shards.
        most: usize,
    },
    /// The span is not exactly `(k + m)` shards long.
    #[error("a span of {got} bytes for a block of {expected}: the caller's shape is wrong")]
    SpanBytes {
        /// Bytes given.
        got: usize,
        /// Bytes of all shards of the block.
        expected: usize,
    },
    /// Fewer shards are there than the block has data shards: wait for more.
    #[error("{present} shards of a block are there, {needed} are needed")]
    TooFewShards {
        /// Shards that are there.
        present: usize,
        /// Shards that are needed: the block's data shards.
        needed: usize,
    },
}
