//! Where the rows of one column of a block lie: plain addresses, and memory that starts at a cache line.

/// Bytes of a cache line, and of the widest vector.
pub(crate) const LINE_BYTES: usize = 64;

/// Eight rows of scratch in widths: one is left free, so that rows a power of two apart do not meet in one set of the
/// cache.
pub(crate) const SCRATCH_OCTET: usize = 17;

/// Rows of one column: `width` bytes of the low half and as many of the high half of each shard.
///
/// Row `r` starts at `at + (r / 8) * octet + (r % 8) * row`; its high half lies `high` bytes further.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) at: *mut u8,
    /// Bytes from one row to the next within eight.
    pub(crate) row: usize,
    /// Bytes from one eight of rows to the next.
    pub(crate) octet: usize,
    /// Bytes from a row's low half to its high half.
    pub(crate) high: usize,
}

impl Rows {
    /// Rows at one distance.
    pub(crate) fn even(at: *mut u8, row: usize, high: usize) -> Rows {
        Rows { at, row, octet: 8 * row, high }
    }

    /// Rows of scratch at `at`, both halves of a row of `width` bytes side by side.
    #[inline(always)]
    pub(crate) fn scratch(at: *mut u8, width: usize) -> Rows {
        Rows { at, row: 2 * width, octet: SCRATCH_OCTET * width, high: width }
    }

    /// The address of row `index`. Only a number: reading there is the caller's affair.
    #[inline(always)]
    pub(crate) fn row_at(&self, index: usize) -> *mut u8 {
        self.at.wrapping_add((index >> 3) * self.octet + (index & 7) * self.row)
    }

    /// The rows from `index` on, which is a multiple of 8 unless the rows are even.
    #[inline(always)]
    pub(crate) fn from(&self, index: usize) -> Rows {
        Rows { at: self.row_at(index), ..*self }
    }

    /// The distance between rows `apart`, which is 1 or a multiple of 8 (or, if they are even, whatever it is), and that
    /// between eight times as many.
    #[inline(always)]
    pub(crate) fn steps(&self, apart: usize) -> [usize; 2] {
        if apart < 8 {
            [apart * self.row, apart * self.octet]
        } else {
            [(apart >> 3) * self.octet, apart * self.octet]
        }
    }

    /// The same rows, `bytes` further along their shards.
    #[inline(always)]
    pub(crate) fn along(&self, bytes: usize) -> Rows {
        Rows { at: self.at.wrapping_add(bytes), ..*self }
    }
}

/// One cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

/// Memory that starts at a cache line, and only grows.
#[derive(Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
}

impl Lines {
    /// Takes room for `bytes`; what was there may be lost.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        let lines = bytes.div_ceil(LINE_BYTES);
        if lines > self.lines.len() {
            // The old memory goes first, and the new one comes zeroed and is not copied into.
            self.lines = Vec::new();
            self.lines = vec![Line([0; LINE_BYTES]); lines];
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: a Line is 64 plain bytes without padding, and the vector's lines lie back to back.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE_BYTES) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the borrow is exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * LINE_BYTES)
        }
    }

    /// The address of the first byte.
    pub(crate) fn at(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }
}
