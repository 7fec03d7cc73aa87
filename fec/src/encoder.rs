//! Data shards in, parity shards out.

use crate::error::FecError;
use crate::limits::SHARD_BYTES_MULTIPLE;
use crate::shape::Shape;
use reed_solomon_simd::{EncoderResult, ReedSolomonEncoder};

/// Computes a block's parity. Owns the library's working space (about `k + m` shards) and one padded shard, both kept
/// at the largest size seen.
pub struct Encoder {
    coder: ReedSolomonEncoder,
    /// The last data shard with its zero padding.
    padded: Vec<u8>,
}

impl Encoder {
    /// An encoder with the field's tables built (once a process, some 8 MiB and some milliseconds) and no working space.
    #[must_use]
    pub fn new() -> Encoder {
        let coder =
            ReedSolomonEncoder::new(1, 1, SHARD_BYTES_MULTIPLE).expect("one data and one parity shard fit");
        Encoder { coder, padded: Vec::new() }
    }

    /// Takes the memory that blocks of up to `shape`'s counts and length need, before the first of them comes.
    pub fn prepare(&mut self, shape: Shape) {
        self.padded.reserve(shape.shard_bytes().saturating_sub(self.padded.len()));
        if shape.parity() > 0 {
            self.reset(shape);
        }
    }

    /// Computes the parity of `data`, the block's bytes back to back: more than `k - 1` shards and at most `k`; a block
    /// of one shard may be empty. What is short of `k` shards counts as zeros. The parity lives in the encoder until its
    /// next block.
    ///
    /// # Errors
    /// [`FecError::DataBytes`] when the length of `data` does not fit `shape`.
    pub fn encode(&mut self, shape: Shape, data: &[u8]) -> Result<Parity<'_>, FecError> {
        shape.check_data_bytes(data.len())?;
        if shape.parity() == 0 {
            return Ok(Parity { result: None, shape });
        }
        self.reset(shape);
        let whole = data.chunks_exact(shape.shard_bytes());
        let tail = whole.remainder();
        let padded_is_needed = data.len() < shape.data_bytes();
        for shard in whole {
            self.coder.add_original_shard(shard).expect("at most k shards of the shape's length are added");
        }
        if padded_is_needed {
            self.padded.clear();
            self.padded.resize(shape.shard_bytes(), 0);
            self.padded[..tail.len()].copy_from_slice(tail);
            self.coder.add_original_shard(&self.padded).expect("the padded shard is the k-th");
        }
        let result = self.coder.encode().expect("all k data shards were added");
        Ok(Parity { result: Some(result), shape })
    }

    /// Turns the coder to `shape`, which has parity. Its memory grows where it must and never shrinks.
    fn reset(&mut self, shape: Shape) {
        self.coder
            .reset(shape.data(), shape.parity(), shape.shard_bytes())
            .expect("a Shape's counts are supported");
    }
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

/// The parity shards of the block that was encoded last, lent by the [`Encoder`].
pub struct Parity<'a> {
    /// None for a shape without parity.
    result: Option<EncoderResult<'a>>,
    shape: Shape,
}

impl Parity<'_> {
    /// Parity shard `index` (0 to `m - 1`; on the wire its number is `k + index`), `shard_bytes` long.
    ///
    /// # Panics
    /// When `index` is not below [`Parity::len`].
    #[must_use]
    pub fn shard(&self, index: usize) -> &[u8] {
        match self.result.as_ref().and_then(|result| result.recovery(index)) {
            Some(shard) => shard,
            None => panic!("parity shard {index} of {}", self.len()),
        }
    }

    /// Parity shards, `m`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.parity()
    }

    /// Whether the shape asked for no parity.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of the block.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

impl std::fmt::Debug for Parity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parity").field("shape", &self.shape).finish_non_exhaustive()
    }
}
