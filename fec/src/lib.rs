//! Leopard Reed-Solomon block coder over borrowed shards.
//!
//! *What it is.* A systematic erasure code for one FEC block: [`Encoder`] turns `k` data shards into `m` parity
//! shards, [`Decoder`] computes the missing data shards from any `k` of the `k + m`. The code is the one of Lin, Chung
//! and Han ("Novel Polynomial Basis and Its Application to Reed-Solomon Erasure Codes", FOCS 2014): an additive FFT
//! over GF(2^16) in a Cantor basis, the high-rate form, or the low-rate form where the parity outnumbers the data. The
//! crate reed-solomon-simd stands inside; its bytes are the wire format, and `tests/vectors.rs` pins them.
//!
//! *What it promises.* Data is borrowed where it lies: one slice in, no list of shards. Missing shards are computed in
//! place. Only as many parity shards are read as data shards are missing. After a coder has seen a block of a size
//! (shards times shard length), no block of that size or smaller allocates; `tests/allocation.rs` counts.
//!
//! *What it refuses.* A [`Shape`] that the field or the wire cannot carry, a slice whose length does not fit its shape,
//! and a block with fewer than `k` shards: each is a [`FecError`]. It cannot tell a damaged shard from a good one: what
//! is called filled must have been authenticated before.
//!
//! *Stack.* The library keeps a table of 128 KiB on the stack while it decodes: give a receiving thread 512 KiB or more.
#![forbid(unsafe_code)]

mod decoder;
mod encoder;
mod error;
mod limits;
mod shape;
mod shard_set;

pub use decoder::Decoder;
pub use encoder::{Encoder, Parity};
pub use error::FecError;
pub use limits::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX, SHARD_BYTES_MAX, SHARD_BYTES_MULTIPLE, SHARDS_MAX};
pub use shape::Shape;
pub use shard_set::ShardSet;
