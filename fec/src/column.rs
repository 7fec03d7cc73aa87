//! How a block's shards are cut into columns, and where the code puts their points.

use crate::shape::Shape;

/// Which side of the block sits at the code's first points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Parity at the first points: no more parity than data.
    High,
    /// Data at the first points: more parity than data.
    Low,
}

/// A shape's place in the code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) rate: Rate,
    /// The smaller count, rounded up to a power of two, is `2^log`: the points of one chunk.
    pub(crate) log: usize,
    shape: Shape,
}

impl Code {
    /// The code of `shape`, which has parity.
    pub(crate) fn of(shape: Shape) -> Code {
        let (k, m) = (shape.data(), shape.parity());
        let rate = if m <= k { Rate::High } else { Rate::Low };
        let log = k.min(m).next_power_of_two().trailing_zeros() as usize;
        Code { rate, log, shape }
    }

    /// Points of a chunk.
    pub(crate) fn chunk(self) -> usize {
        1 << self.log
    }

    /// The point number of data shard `index`.
    pub(crate) fn data_point(self, index: usize) -> usize {
        match self.rate {
            Rate::High => self.chunk() + index,
            Rate::Low => index,
        }
    }

    /// The point number of parity shard `index`.
    pub(crate) fn parity_point(self, index: usize) -> usize {
        match self.rate {
            Rate::High => index,
            Rate::Low => self.chunk() + index,
        }
    }

    /// Whether some point lies beyond GF(2^8).
    pub(crate) fn is_wide(self) -> bool {
        self.chunk() + self.shape.data().max(self.shape.parity()) > 256
    }
}

/// Offsets of columns of `width` bytes in halves of `half` bytes, which is no less. All but the first and the last begin
/// `start` bytes behind a multiple of the width, so that rows whose first byte is as much short of a cache line are read
/// by whole lines; the first and the last may lap over their neighbours.
pub(crate) fn columns(half: usize, width: usize, start: usize) -> impl Iterator<Item = usize> {
    let start = start % width;
    let first = std::iter::once(0).filter(move |_| start > 0);
    let rest =
        (0..(half - start).div_ceil(width)).map(move |number| (start + number * width).min(half - width));
    first.chain(rest)
}

/// Bytes of rows from which columns keep to cache lines: less stays in the first or second cache, where a load across two
/// lines costs less than one column more.
const ALIGNED_FROM_BYTES: usize = 256 << 10;

/// Where whole columns start, for rows of `bytes` in all from `at` on: at the next multiple of `width`, if it is worth it.
pub(crate) fn start_of(at: *const u8, bytes: usize, width: usize) -> usize {
    if bytes < ALIGNED_FROM_BYTES { 0 } else { at.addr().wrapping_neg() % width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_cover_a_half_and_stay_in_it() {
        for (width, start) in
            [1, 8, 32, 64].into_iter().flat_map(|width| (0..width).map(move |at| (width, at)))
        {
            for half in width..200 {
                let mut covered = 0;
                for at in columns(half, width, start) {
                    assert!(at <= covered && at + width <= half);
                    assert!(at == 0 || at + width == half || at % width == start);
                    covered = at + width;
                }
                assert_eq!(covered, half);
            }
        }
    }

    #[test]
    fn points_are_the_smaller_side_first() {
        let code = Code::of(Shape::new(5, 3, 64).unwrap());
        assert_eq!((code.rate, code.chunk()), (Rate::High, 4));
        assert_eq!((code.data_point(0), code.parity_point(2), code.is_wide()), (4, 2, false));
        let code = Code::of(Shape::new(3, 5, 64).unwrap());
        assert_eq!((code.rate, code.chunk()), (Rate::Low, 4));
        assert_eq!((code.data_point(2), code.parity_point(0)), (2, 4));
        assert!(!Code::of(Shape::new(248, 8, 64).unwrap()).is_wide());
        assert!(Code::of(Shape::new(249, 8, 64).unwrap()).is_wide());
    }
}
