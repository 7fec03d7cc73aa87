//! Any `k` shards in, the missing data shards out, in place.

use crate::encoder::Encoder;
use crate::error::FecError;
use crate::limits::SHARD_BYTES_MULTIPLE;
use crate::shape::Shape;
use crate::shard_set::ShardSet;
use reed_solomon_simd::ReedSolomonDecoder;

/// Computes a block's missing data shards. Owns the library's working space (`k + m` shards rounded up to a power of
/// two, about), kept at the largest size seen.
pub struct Decoder {
    coder: ReedSolomonDecoder,
}

impl Decoder {
    /// A decoder with the field's tables built (once a process, some 8 MiB and some milliseconds) and no working space
    /// to speak of.
    #[must_use]
    pub fn new() -> Decoder {
        let coder =
            ReedSolomonDecoder::new(1, 1, SHARD_BYTES_MULTIPLE).expect("one data and one parity shard fit");
        let mut decoder = Decoder { coder };
        decoder.build_tables();
        decoder
    }

    /// Takes the memory that blocks of up to `shape`'s counts and length need, before the first of them comes.
    pub fn prepare(&mut self, shape: Shape) {
        if shape.parity() > 0 {
            self.reset(shape);
        }
    }

    /// Computes the missing data shards of a block in place; returns how many. `span` is the whole block, data shards
    /// first, then parity, each at its number times the shard length; `filled` says which are there. Parity shards are
    /// not computed, and shards that are there are not written.
    ///
    /// # Errors
    /// [`FecError::SpanBytes`] when the length of `span` does not fit `shape`, [`FecError::TooFewShards`] when fewer
    /// than `k` shards are there. `span` is untouched then.
    pub fn recover(&mut self, shape: Shape, span: &mut [u8], filled: &ShardSet) -> Result<usize, FecError> {
        shape.check_span_bytes(span.len())?;
        let (k, shard_bytes) = (shape.data(), shape.shard_bytes());
        let data_present = filled.count_in(0..k);
        let parity_present = filled.count_in(k..shape.shards());
        let missing = k - data_present;
        if missing > parity_present {
            return Err(FecError::TooFewShards { present: data_present + parity_present, needed: k });
        }
        if missing == 0 {
            return Ok(0);
        }
        self.reset(shape);
        for index in filled.present_in(0..k) {
            let shard = &span[index * shard_bytes..][..shard_bytes];
            self.coder.add_original_shard(index, shard).expect("each data shard that is there is added once");
        }
        // The work grows with what is copied in, so no parity beyond the need is.
        for index in filled.present_in(k..shape.shards()).take(missing) {
            let shard = &span[index * shard_bytes..][..shard_bytes];
            self.coder
                .add_recovery_shard(index - k, shard)
                .expect("each parity shard that is there is added once");
        }
        let result = self.coder.decode().expect("k shards were added");
        for index in filled.missing_in(0..k) {
            let shard = result.restored_original(index).expect("a data shard that was not added is restored");
            span[index * shard_bytes..][..shard_bytes].copy_from_slice(shard);
        }
        Ok(missing)
    }

    /// Turns the coder to `shape`, which has parity. Its memory grows where it must and never shrinks.
    fn reset(&mut self, shape: Shape) {
        self.coder
            .reset(shape.data(), shape.parity(), shape.shard_bytes())
            .expect("a Shape's counts are supported");
    }

    /// Decodes the smallest block that loses a shard: the library builds a decoder's tables with the first, and a
    /// session's first loss must not pay for that.
    fn build_tables(&mut self) {
        let shape = Shape::new(2, 1, SHARD_BYTES_MULTIPLE).expect("two data and one parity shard fit");
        let mut span = [0; 3 * SHARD_BYTES_MULTIPLE];
        let mut encoder = Encoder::new();
        let parity =
            encoder.encode(shape, &span[..2 * SHARD_BYTES_MULTIPLE]).expect("two shards of data were given");
        span[2 * SHARD_BYTES_MULTIPLE..].copy_from_slice(parity.shard(0));
        let mut filled = ShardSet::with_capacity(shape.shards());
        filled.insert(1);
        filled.insert(2);
        let recovered = self.recover(shape, &mut span, &filled);
        debug_assert_eq!(recovered, Ok(1));
    }
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}
