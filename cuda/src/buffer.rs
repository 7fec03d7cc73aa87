//! What device memory is to those who copy, encode or decode: an address, a length, and who keeps it.

#![allow(unsafe_code)]

use std::fmt;

use crate::context::Context;
use crate::error::CudaError;

/// Memory of a device. Whoever holds it as an `Arc<dyn DeviceBuffer>` keeps it.
///
/// # Safety
/// `bytes()` bytes from `pointer()` on can be read and written by the device in `context()`, for as long as the value
/// lives, and once it is dropped until all that was queued on the context's streams before is done (as
/// [`Context::settle`] finds out).
pub unsafe trait DeviceBuffer: fmt::Debug + Send + Sync {
    /// Where it begins: a `CUdeviceptr`, no address of the host's.
    fn pointer(&self) -> u64;

    /// Its length.
    fn bytes(&self) -> usize;

    /// The context that it is in.
    fn context(&self) -> &Context;
}

/// Where rows stand in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// The first row's first byte.
    pub offset: usize,
    /// Bytes from row to row.
    pub pitch: usize,
}

/// How much of each row, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of each row.
    pub width_bytes: usize,
    /// How many rows.
    pub rows: usize,
}

impl Rows {
    /// Whether `extent` laid out so is within `bytes`, and its rows do not overlap.
    ///
    /// # Errors
    /// They are not.
    pub fn check(self, extent: Extent, bytes: usize) -> Result<(), CudaError> {
        let Extent { width_bytes, rows } = extent;
        let end = self
            .pitch
            .checked_mul(rows.saturating_sub(1))
            .and_then(|bytes| bytes.checked_add(width_bytes)?.checked_add(self.offset));
        let is_within = end.is_some_and(|end| end <= bytes) && width_bytes > 0 && rows > 0;
        if is_within && (rows == 1 || self.pitch >= width_bytes) {
            return Ok(());
        }
        let Rows { offset, pitch } = self;
        Err(CudaError::Outside { offset, pitch, width_bytes, rows, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_where_memory_does() {
        let extent = Extent { width_bytes: 10, rows: 3 };
        let rows = Rows { offset: 5, pitch: 16 };
        assert!(rows.check(extent, 5 + 32 + 10).is_ok());
        assert!(rows.check(extent, 5 + 32 + 9).is_err());
        assert!(Rows { offset: 0, pitch: 9 }.check(extent, 1000).is_err(), "overlapping");
        assert!(Rows { offset: 0, pitch: 0 }.check(Extent { width_bytes: 10, rows: 1 }, 10).is_ok());
        for nothing in [Extent { width_bytes: 0, rows: 3 }, Extent { width_bytes: 10, rows: 0 }] {
            assert!(rows.check(nothing, 1000).is_err());
        }
        let huge = Rows { offset: usize::MAX, pitch: usize::MAX };
        assert!(huge.check(extent, usize::MAX).is_err());
    }
}
