//! Leopard Reed-Solomon block coder over borrowed shards.
//!
//! *What it is.* A systematic erasure code for one FEC block: [`Encoder`] turns `k` data shards into `m` parity
//! shards, [`Decoder`] computes the missing data shards from any `k` of the `k + m`. The code is the one of Lin, Chung
//! and Han ("Novel Polynomial Basis and Its Application to Reed-Solomon Erasure Codes", FOCS 2014): an additive FFT
//! over GF(2^16) in a Cantor basis, the high-rate form, or the low-rate form where the parity outnumbers the data. Which
//! form, and how bytes map to symbols, is wire format: `docs/fec.md` says it, `docs/vectors/fec.txt` pins it. A [`Kernel`]
//! is a set of instructions to compute it with; all of them give the same bytes.
//!
//! *What it promises.* Data is borrowed where it lies: one slice in, no list of shards. The first pass reads it there
//! and the last writes the parity or the missing shards, in place; what is between is one column of the block at a time.
//! Only as many parity shards are read as data shards are missing, and the cost of recovering follows the losses. After
//! a coder was prepared for counts and a length, no block within them allocates; `tests/allocation.rs` counts.
//!
//! *What it refuses.* A [`Shape`] that the field or the wire cannot carry, a slice whose length does not fit its shape,
//! and a block with fewer than `k` shards: each is a [`FecError`]. It cannot tell a damaged shard from a good one: what
//! is called filled must have been authenticated before.

mod butterflies;
mod cells;
mod column;
mod cut;
mod decoder;
mod encoder;
mod error;
mod field;
mod kernel;
mod lanes;
mod layers;
mod limits;
mod passes;
mod rows;
mod shape;
mod shard_set;
mod solve;
mod transform;

pub use decoder::Decoder;
pub use encoder::{Encoder, Parity};
pub use error::FecError;
pub use kernel::{KERNEL_VARIABLE, Kernel, KernelError};
pub use limits::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX, SHARD_BYTES_MAX, SHARD_BYTES_MULTIPLE, SHARDS_MAX};
pub use shape::Shape;
pub use shard_set::ShardSet;
