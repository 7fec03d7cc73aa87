//! Data shards in, parity shards out.

use crate::column::{Code, Rate, columns, start_of};
use crate::cut::Cut;
use crate::error::FecError;
use crate::kernel::Kernel;
use crate::passes::{Passes, passes_of};
use crate::rows::{LINE_BYTES, Lines, Rows};
use crate::shape::Shape;
use crate::transform::{Source, Transform};

/// Computes a block's parity. Owns the parity and the scratch of one column, both kept at the largest size seen.
pub struct Encoder {
    kernel: Kernel,
    transform: Transform,
    parity: Lines,
}

/// Bytes from one parity shard to the next: whole cache lines, an odd number of them, since rows a power of two apart
/// meet in one set of the cache.
fn stride_of(shape: Shape) -> usize {
    (shape.shard_bytes().div_ceil(LINE_BYTES) | 1) * LINE_BYTES
}

impl Encoder {
    /// An encoder with the best kernel of this CPU, and no memory taken yet.
    #[must_use]
    pub fn new() -> Encoder {
        Encoder::with_kernel(Kernel::best())
    }

    /// An encoder with a kernel of the caller's choice.
    ///
    /// # Panics
    /// When this CPU cannot run the kernel.
    #[must_use]
    pub fn with_kernel(kernel: Kernel) -> Encoder {
        assert!(kernel.is_supported(), "this CPU cannot run the FEC kernel {kernel}");
        Encoder { kernel, transform: Transform::default(), parity: Lines::default() }
    }

    /// The kernel that it runs.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Takes the memory that blocks of up to `shape`'s counts and length need, before the first of them comes.
    pub fn prepare(&mut self, shape: Shape) {
        if shape.parity() > 0 {
            self.transform.reserve(Code::of(shape).log);
            // Rows are written by sixteens at most.
            self.parity.reserve(shape.parity().next_multiple_of(16) * stride_of(shape));
        }
    }

    /// Computes the parity of `data`, the block's bytes back to back: more than `k - 1` shards and at most `k`; a block
    /// of one shard may be empty. What is short of `k` shards counts as zeros. The parity lives in the encoder until its
    /// next block. Data and shards that start at a cache line take a seventh less time than others.
    ///
    /// # Errors
    /// [`FecError::DataBytes`] when the length of `data` does not fit `shape`.
    pub fn encode(&mut self, shape: Shape, data: &[u8]) -> Result<Parity<'_>, FecError> {
        shape.check_data_bytes(data.len())?;
        self.prepare(shape);
        if shape.parity() > 0 {
            let half = shape.shard_bytes() / 2;
            let passes = passes_of(self.kernel, half);
            let code = Code::of(shape);
            let block = Block {
                shape,
                code,
                passes,
                gathering: Cut::gathering(passes, code.log),
                data,
                whole: data.len() / shape.shard_bytes(),
            };
            for offset in columns(half, passes.width, start_of(data.as_ptr(), data.len(), passes.width)) {
                // SAFETY: the kernel is supported, and so is the narrower one that may take its place; the data has been
                // checked against the shape, and memory for it prepared.
                unsafe { self.encode_column(&block, offset) };
            }
        }
        Ok(Parity { bytes: self.parity.bytes(), stride: stride_of(shape), shape })
    }

    /// # Safety
    /// The CPU has the instructions of the block's passes; the data fits the shape, for which memory was prepared;
    /// `offset` is that of a column of the shape's half.
    unsafe fn encode_column(&mut self, block: &Block<'_>, offset: usize) {
        let Block { shape, code, passes, .. } = *block;
        let half = shape.shard_bytes() / 2;
        let source = block.source(offset);
        let to = Rows::even(self.parity.at(), stride_of(shape), half).along(offset);
        // SAFETY: the caller's contract. Source and parity are separate memory, and rows of either lie within it: parity
        // has room for a multiple of sixteen.
        unsafe {
            match code.rate {
                Rate::High => self.transform.gather(passes, &block.gathering, &source, to, shape.parity()),
                Rate::Low => {
                    self.transform.spread(passes, code.log, &source);
                    for first in (0..shape.parity()).step_by(code.chunk()) {
                        let wanted = code.chunk().min(shape.parity() - first);
                        let chunk = first / code.chunk() + 1;
                        self.transform.spread_to(passes, code.log, chunk, to.from(first), wanted);
                    }
                }
            }
        }
    }
}

/// What all columns of one block have in common.
struct Block<'a> {
    shape: Shape,
    code: Code,
    passes: &'static Passes,
    gathering: Cut,
    data: &'a [u8],
    /// Shards that the data fills.
    whole: usize,
}

impl Block<'_> {
    /// The data as the rows of the column at `offset`: the last row may be short, and a block of one shard empty.
    fn source(&self, offset: usize) -> Source {
        let (shard_bytes, half) = (self.shape.shard_bytes(), self.shape.shard_bytes() / 2);
        let rest = self.data.len() - self.whole * shard_bytes;
        let there = |from: usize| rest.saturating_sub(from).min(self.passes.width);
        Source {
            // Rows are only read.
            rows: Rows::even(self.data.as_ptr().cast_mut(), shard_bytes, half).along(offset),
            count: self.shape.data(),
            whole: self.whole,
            rest: [there(offset), there(half + offset)],
        }
    }
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// The parity shards of the block that was encoded last, lent by the [`Encoder`].
pub struct Parity<'a> {
    bytes: &'a [u8],
    stride: usize,
    shape: Shape,
}

impl Parity<'_> {
    /// Parity shard `index` (0 to `m - 1`; on the wire its number is `k + index`), `shard_bytes` long, at a cache line's
    /// start.
    ///
    /// # Panics
    /// When `index` is not below [`Parity::len`].
    #[must_use]
    pub fn shard(&self, index: usize) -> &[u8] {
        assert!(index < self.len(), "parity shard {index} of {}", self.len());
        &self.bytes[index * self.stride..][..self.shape.shard_bytes()]
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
