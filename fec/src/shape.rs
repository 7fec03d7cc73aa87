//! The shape of a FEC block: how many shards, and how long.

use crate::error::FecError;
use crate::limits::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX, SHARD_BYTES_MAX, SHARD_BYTES_MULTIPLE, SHARDS_MAX};

/// `k` data and `m` parity shards of one length. A value of this type can be coded: the counts fit the field, the
/// length fits the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    data: u16,
    parity: u16,
    shard_bytes: u32,
}

impl Shape {
    /// A shape of `data` (1 to [`DATA_SHARDS_MAX`]) and `parity` (0 to [`PARITY_SHARDS_MAX`]) shards of `shard_bytes`
    /// bytes, a multiple of [`SHARD_BYTES_MULTIPLE`] up to [`SHARD_BYTES_MAX`].
    ///
    /// # Errors
    /// [`FecError::DataShards`], [`FecError::ParityShards`] or [`FecError::ShardBytes`] names the value that is out of
    /// its range.
    pub fn new(data: u16, parity: u16, shard_bytes: usize) -> Result<Shape, FecError> {
        let (k, m) = (usize::from(data), usize::from(parity));
        if k == 0 || k > DATA_SHARDS_MAX {
            return Err(FecError::DataShards { data: k });
        }
        if m > PARITY_SHARDS_MAX || k + m > SHARDS_MAX {
            return Err(FecError::ParityShards { data: k, parity: m });
        }
        let in_range = (SHARD_BYTES_MULTIPLE..=SHARD_BYTES_MAX).contains(&shard_bytes);
        match u32::try_from(shard_bytes) {
            Ok(bytes) if in_range && shard_bytes.is_multiple_of(SHARD_BYTES_MULTIPLE) => {
                Ok(Shape { data, parity, shard_bytes: bytes })
            }
            Ok(_) | Err(_) => Err(FecError::ShardBytes { shard_bytes }),
        }
    }

    /// Data shards, `k`: at least 1.
    #[must_use]
    pub fn data(&self) -> usize {
        usize::from(self.data)
    }

    /// Parity shards, `m`: may be 0, and then nothing can be recovered.
    #[must_use]
    pub fn parity(&self) -> usize {
        usize::from(self.parity)
    }

    /// All shards, `k + m`.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.data() + self.parity()
    }

    /// Bytes of one shard.
    #[must_use]
    pub fn shard_bytes(&self) -> usize {
        self.shard_bytes as usize
    }

    /// Bytes of all data shards, the padding of the last one counted.
    #[must_use]
    pub fn data_bytes(&self) -> usize {
        self.data() * self.shard_bytes()
    }

    /// Bytes of all shards: the length of a block's span.
    #[must_use]
    pub fn span_bytes(&self) -> usize {
        self.shards() * self.shard_bytes()
    }

    /// Checks that `bytes` of data reach the last data shard and no further. A block of one data shard may be empty.
    pub(crate) fn check_data_bytes(&self, bytes: usize) -> Result<(), FecError> {
        let most = self.data_bytes();
        let least = if self.data() == 1 { 0 } else { most - self.shard_bytes() + 1 };
        if (least..=most).contains(&bytes) {
            Ok(())
        } else {
            Err(FecError::DataBytes { got: bytes, least, most })
        }
    }

    /// Checks that `bytes` is the length of the block's span.
    pub(crate) fn check_span_bytes(&self, bytes: usize) -> Result<(), FecError> {
        let expected = self.span_bytes();
        if bytes == expected { Ok(()) } else { Err(FecError::SpanBytes { got: bytes, expected }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_met_from_both_sides() {
        assert!(Shape::new(1, 0, 64).is_ok());
        assert!(Shape::new(32_768, 32_767, 1408).is_ok());
        assert_eq!(Shape::new(0, 1, 64), Err(FecError::DataShards { data: 0 }));
        assert_eq!(Shape::new(32_769, 1, 64), Err(FecError::DataShards { data: 32_769 }));
        assert_eq!(Shape::new(1, 32_769, 64), Err(FecError::ParityShards { data: 1, parity: 32_769 }));
        assert_eq!(
            Shape::new(32_768, 32_768, 64),
            Err(FecError::ParityShards { data: 32_768, parity: 32_768 })
        );
        for bad in [0, 1, 3, 63, 65, 65_507, 65_508, usize::MAX] {
            assert_eq!(Shape::new(1, 1, bad), Err(FecError::ShardBytes { shard_bytes: bad }));
        }
        assert!(Shape::new(1, 1, 2).is_ok());
        assert!(Shape::new(1, 1, 65_506).is_ok());
    }

    #[test]
    fn data_reaches_the_last_shard_and_no_further() {
        let shape = Shape::new(3, 1, 64).unwrap();
        let refused = |got| Err(FecError::DataBytes { got, least: 129, most: 192 });
        assert_eq!(shape.check_data_bytes(128), refused(128));
        assert_eq!(shape.check_data_bytes(129), Ok(()));
        assert_eq!(shape.check_data_bytes(192), Ok(()));
        assert_eq!(shape.check_data_bytes(193), refused(193));
        let one = Shape::new(1, 1, 64).unwrap();
        assert_eq!(one.check_data_bytes(0), Ok(()));
        assert_eq!(one.check_data_bytes(65), Err(FecError::DataBytes { got: 65, least: 0, most: 64 }));
    }
}
