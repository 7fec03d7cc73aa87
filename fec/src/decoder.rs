//! Any `k` shards in, the missing data shards out, in place.
//!
//! Three ways, by what is missing. *Direct*: what each parity shard lacks is summed up from the data that is there, one
//! product a shard and loss. *Re-encode*: the data is encoded with zeros for what is missing, and the difference to the
//! parity that came is what it lacks. Then the Cauchy system of [`crate::solve`] gives the missing shards, by sums for
//! few losses, by an FFT of the differences for many.

use crate::column::{Code, Rate, columns, start_of};
use crate::cut::Cut;
use crate::error::FecError;
use crate::field::{POINTS, packed};
use crate::kernel::Kernel;
use crate::limits::{DIRECT_LOSSES_MAX, SUMS_BASE, SUMS_SHARE};
use crate::passes::{Passes, Product, Quotients, Run, passes_of};
use crate::rows::{LINE_BYTES, Lines, Rows};
use crate::shape::Shape;
use crate::shard_set::ShardSet;
use crate::solve::{Pattern, Way};
use crate::transform::{Source, Transform};

/// Computes a block's missing data shards. Owns the scratch of one column and the coefficients of one pattern of losses,
/// kept at the largest size seen.
pub struct Decoder {
    kernel: Kernel,
    transform: Transform,
    pattern: Pattern,
    /// Points of all data shards.
    keys: Vec<u16>,
    /// Data that is there, by runs within one chunk.
    runs: Vec<Run>,
    /// Rows of one column: what parity lacks, what that is weighted to.
    lines: Lines,
}

/// Where a decoder's own rows of one column lie.
#[derive(Clone, Copy)]
struct Work {
    /// By parity shard, or by member of the pattern.
    lacks: Rows,
    weighted: Rows,
}

/// How a block is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// What parity lacks is summed from the data that is there.
    is_direct: bool,
    way: Way,
}

/// One recovery's constants.
struct Block<'a> {
    shape: Shape,
    code: Code,
    plan: Plan,
    passes: &'static Passes,
    gathering: Cut,
    /// Whether the column laps over one before it.
    laps: bool,
    span: &'a mut [u8],
}

impl Decoder {
    /// A decoder with the best kernel of this CPU, and no memory taken yet.
    #[must_use]
    pub fn new() -> Decoder {
        Decoder::with_kernel(Kernel::best())
    }

    /// A decoder with a kernel of the caller's choice.
    ///
    /// # Panics
    /// When this CPU cannot run the kernel.
    #[must_use]
    pub fn with_kernel(kernel: Kernel) -> Decoder {
        assert!(kernel.is_supported(), "this CPU cannot run the FEC kernel {kernel}");
        Decoder {
            kernel,
            transform: Transform::default(),
            pattern: Pattern::default(),
            keys: Vec::new(),
            runs: Vec::new(),
            lines: Lines::default(),
        }
    }

    /// The kernel that it runs.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Takes the memory that blocks of up to `shape`'s counts and length need, before the first of them comes.
    pub fn prepare(&mut self, shape: Shape) {
        if shape.parity() == 0 {
            return;
        }
        let losses = shape.data().min(shape.parity());
        self.transform.reserve(Code::of(shape).log);
        self.pattern.reserve(losses);
        self.keys.reserve_exact(shape.data().saturating_sub(self.keys.len()));
        // A run ends with its chunk, of which there may be as many as data shards, or with a loss.
        let runs = shape.data() + DIRECT_LOSSES_MAX[2].1;
        self.runs.reserve_exact(runs.saturating_sub(self.runs.len()));
        self.lines.reserve(2 * work_rows(shape) * 2 * LINE_BYTES);
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
        let k = shape.data();
        let data_present = filled.count_in(0..k);
        let parity_present = filled.count_in(k..shape.shards());
        let missing = k - data_present;
        if missing > parity_present {
            return Err(FecError::TooFewShards { present: data_present + parity_present, needed: k });
        }
        if missing == 0 {
            return Ok(0);
        }
        self.prepare(shape);
        let code = Code::of(shape);
        let plan = Plan::of(code, k.max(shape.parity()), missing);
        self.note_pattern(shape, code, filled, missing);
        self.pattern.solve(code, plan.way);
        if plan.is_direct {
            self.note_runs(shape, code, filled);
        }
        let passes = passes_of(self.kernel, shape.shard_bytes() / 2);
        let gathering = Cut::gathering(passes, code.log);
        let mut block = Block { shape, code, plan, passes, gathering, laps: false, span };
        let work = self.work(&block);
        let start = start_of(block.span.as_ptr(), block.span.len(), passes.width);
        if !plan.is_direct {
            for &point in &self.pattern.lost {
                let bytes = shape.shard_bytes();
                block.span[index_of(code, point) * bytes..][..bytes].fill(0);
            }
        }
        let mut covered = 0;
        for offset in columns(shape.shard_bytes() / 2, passes.width, start) {
            block.laps = offset < covered;
            covered = offset + passes.width;
            // SAFETY: the kernel is supported, and so is the narrower one that may take its place; the span has been
            // checked against the shape, and memory for it prepared.
            unsafe { self.recover_column(&mut block, work, offset) };
        }
        Ok(missing)
    }

    /// Writes down which points are lost, and which parity stands in: the first that is there.
    fn note_pattern(&mut self, shape: Shape, code: Code, filled: &ShardSet, missing: usize) {
        let point = |number: usize| number as u16;
        let k = shape.data();
        self.pattern.lost.clear();
        self.pattern.lost.extend(filled.missing_in(0..k).map(|index| point(code.data_point(index))));
        self.pattern.kept.clear();
        let parity = filled.present_in(k..shape.shards()).take(missing);
        self.pattern.kept.extend(parity.map(|index| point(code.parity_point(index - k))));
    }

    /// Writes down the data that is there, by runs within one chunk, and every data shard's point.
    fn note_runs(&mut self, shape: Shape, code: Code, filled: &ShardSet) {
        self.keys.clear();
        self.keys.extend((0..shape.data()).map(|index| code.data_point(index) as u16));
        self.runs.clear();
        let chunk = code.chunk();
        let ends = filled.missing_in(0..shape.data()).chain([shape.data()]);
        let mut from = 0;
        for end in ends {
            while from < end {
                let to = end.min((from / chunk + 1) * chunk);
                // The factor of the chunk: its points are numbered from the second chunk on.
                let scale = POINTS[from / chunk + 1];
                self.runs.push(Run { first: from as u32, count: (to - from) as u32, scale });
                from = to;
            }
            from = end + 1;
        }
    }

    /// This block's rows of scratch. Those that no weighted row is written to are cleared for an FFT.
    fn work(&mut self, block: &Block<'_>) -> Work {
        let width = block.passes.width;
        let rows = work_rows(block.shape);
        if block.plan.way == Way::Transform {
            self.lines.bytes_mut()[rows * 2 * width..][..rows * 2 * width].fill(0);
        }
        let at = self.lines.at();
        let even = |first: usize| Rows::even(at.wrapping_add(first * 2 * width), 2 * width, width);
        Work { lacks: even(0), weighted: even(rows) }
    }

    /// # Safety
    /// The CPU has the instructions of the block's passes; the span fits the shape, for which memory was prepared;
    /// pattern, coefficients and runs are the block's; `offset` is that of a column.
    unsafe fn recover_column(&mut self, block: &mut Block<'_>, work: Work, offset: usize) {
        let shape = block.shape;
        let shards =
            Rows::even(block.span.as_mut_ptr(), shape.shard_bytes(), shape.shard_bytes() / 2).along(offset);
        // SAFETY: the caller's contract.
        unsafe {
            if block.plan.is_direct {
                self.lacks_by_sums(block, shards, work.lacks);
            } else {
                self.lacks_by_encoding(block, shards, work.lacks);
            }
            self.weigh(block, shards, work);
            match block.plan.way {
                Way::Sums => self.solve_by_sums(block, shards, work),
                Way::Transform => self.solve_by_transform(block, shards, work),
            }
        }
    }

    /// What each standing-in parity shard lacks, without that shard itself, by member of the pattern.
    ///
    /// # Safety
    /// As [`Decoder::recover_column`].
    unsafe fn lacks_by_sums(&self, block: &Block<'_>, shards: Rows, to: Rows) {
        let passes = block.passes;
        for (group, with) in self.pattern.kept.chunks(passes.sums).enumerate() {
            let to_rows: [_; SUM_ROWS] =
                std::array::from_fn(|number| to.row_at(group * passes.sums + number));
            // SAFETY: the caller's contract: the runs' rows are data shards, each with a key.
            unsafe {
                (passes.quotients)(&Quotients {
                    from: shards,
                    keys: &self.keys,
                    runs: &self.runs,
                    with,
                    scales: &[packed(1); SUM_ROWS][..with.len()],
                    to: &to_rows[..with.len()],
                    to_high: to.high,
                    wide: block.code.is_wide(),
                });
            }
        }
    }

    /// The same by parity shard, by encoding what is there. Missing data has been cleared, and is so again where the
    /// column laps over one that was recovered.
    ///
    /// # Safety
    /// As [`Decoder::recover_column`].
    unsafe fn lacks_by_encoding(&mut self, block: &Block<'_>, shards: Rows, to: Rows) {
        let (shape, code, passes) = (block.shape, block.code, block.passes);
        if block.laps {
            // SAFETY: the caller's contract: a data shard's column lies in the span.
            unsafe { self.clear_lost(block, shards) };
        }
        let source = Source { rows: shards, count: shape.data(), whole: shape.data(), rest: [0; 2] };
        let last = self.pattern.kept.last().map_or(0, |&point| parity_index_of(code, point));
        // SAFETY: the caller's contract; `work_rows` has room for a whole chunk, and no more than that is written.
        unsafe {
            match code.rate {
                Rate::High => self.transform.gather(passes, &block.gathering, &source, to, last + 1),
                Rate::Low => {
                    self.transform.spread(passes, code.log, &source);
                    for chunk in 0..=last / code.chunk() {
                        let first = chunk * code.chunk();
                        let wanted = code.chunk().min(last + 1 - first);
                        self.transform.spread_to(passes, code.log, chunk + 1, to.from(first), wanted);
                    }
                }
            }
        }
    }

    /// Clears what is missing of a column.
    ///
    /// # Safety
    /// As [`Decoder::recover_column`].
    unsafe fn clear_lost(&self, block: &Block<'_>, shards: Rows) {
        for &point in &self.pattern.lost {
            let row = shards.row_at(index_of(block.code, point));
            // SAFETY: the caller's contract: a data shard's column lies in the span.
            unsafe {
                row.write_bytes(0, block.passes.width);
                row.wrapping_add(shards.high).write_bytes(0, block.passes.width);
            }
        }
    }

    /// Adds the parity that came to what it lacks, and multiplies by the factors before.
    ///
    /// # Safety
    /// As [`Decoder::recover_column`].
    unsafe fn weigh(&self, block: &Block<'_>, shards: Rows, work: Work) {
        for (member, (&point, &coefficient)) in self.pattern.kept.iter().zip(&self.pattern.before).enumerate()
        {
            let parity = parity_index_of(block.code, point);
            let lack = if block.plan.is_direct { member } else { parity };
            let to = match block.plan.way {
                Way::Sums => member,
                Way::Transform => parity,
            };
            // SAFETY: the caller's contract: rows of scratch, and a parity shard of the span.
            unsafe {
                (block.passes.product)(&Product {
                    a: work.lacks.row_at(lack),
                    a_high: work.lacks.high,
                    b: shards.row_at(block.shape.data() + parity),
                    b_high: shards.high,
                    to: work.weighted.row_at(to),
                    to_high: work.weighted.high,
                    coefficient,
                });
            }
        }
    }

    /// The missing shards as sums of quotients.
    ///
    /// # Safety
    /// As [`Decoder::recover_column`].
    unsafe fn solve_by_sums(&self, block: &Block<'_>, shards: Rows, work: Work) {
        let passes = block.passes;
        let count = self.pattern.kept.len();
        let runs = [Run { first: 0, count: count as u32, scale: packed(1) }];
        for first in (0..count).step_by(passes.sums) {
            let group = first..count.min(first + passes.sums);
            let mut to = [std::ptr::null_mut(); SUM_ROWS];
            for (to, &point) in to.iter_mut().zip(&self.pattern.lost[group.clone()]) {
                *to = shards.row_at(index_of(block.code, point));
            }
            // SAFETY: the caller's contract: as many weighted rows as members, each with its point as the key; a missing
            // shard's column lies in the span.
            unsafe {
                (passes.quotients)(&Quotients {
                    from: work.weighted,
                    keys: &self.pattern.kept,
                    runs: &runs,
                    with: &self.pattern.lost[group.clone()],
                    scales: &self.pattern.after[group.clone()],
                    to: &to[..group.len()],
                    to_high: shards.high,
                    wide: block.code.is_wide(),
                });
            }
        }
    }

    /// The missing shards by an FFT: the weighted rows stand at their points, and their polynomial's values at the
    /// missing points are the sums of quotients up to a factor.
    ///
    /// # Safety
    /// As [`Decoder::recover_column`].
    unsafe fn solve_by_transform(&mut self, block: &Block<'_>, shards: Rows, work: Work) {
        let (code, passes) = (block.code, block.passes);
        let last = self.pattern.kept.last().map_or(0, |&point| parity_index_of(code, point));
        let count = (last + 1).next_multiple_of(8).min(work_rows(block.shape));
        let source = |count| Source { rows: work.weighted, count, whole: count, rest: [0; 2] };
        // SAFETY: the caller's contract; the weighted rows that are not the pattern's are zero.
        unsafe {
            if code.rate == Rate::Low {
                self.transform.gather(
                    passes,
                    &block.gathering,
                    &source(count),
                    work.lacks,
                    block.shape.data(),
                );
            } else {
                self.transform.spread(passes, code.log, &source(count.min(code.chunk())));
            }
            let mut computed = 0;
            for member in 0..self.pattern.lost.len() {
                let point = usize::from(self.pattern.lost[member]);
                let (chunk, within) = (point >> code.log, point & (code.chunk() - 1));
                if chunk != computed {
                    let wanted = code.chunk().min(block.shape.data() - (chunk - 1) * code.chunk());
                    self.transform.spread_to(passes, code.log, chunk, work.lacks, wanted);
                    computed = chunk;
                }
                self.finish(block, shards, member, work.lacks.row_at(within), work.lacks.high);
            }
        }
    }

    /// Multiplies by the factor after, into the missing shard.
    ///
    /// # Safety
    /// As [`Decoder::recover_column`]; `from` is a row of scratch.
    unsafe fn finish(&self, block: &Block<'_>, shards: Rows, member: usize, from: *const u8, high: usize) {
        // SAFETY: the caller's contract: a missing shard's column lies in the span.
        unsafe {
            (block.passes.product)(&Product {
                a: from,
                a_high: high,
                b: std::ptr::null(),
                b_high: 0,
                to: shards.row_at(index_of(block.code, self.pattern.lost[member])),
                to_high: shards.high,
                coefficient: self.pattern.after[member],
            });
        }
    }
}

/// Rows that [`Passes::sums`] reaches at most.
const SUM_ROWS: usize = 8;

/// Rows by parity shard or by member of a pattern, for any block of up to this shape's counts.
fn work_rows(shape: Shape) -> usize {
    let chunk = shape.data().min(shape.parity()).next_power_of_two();
    chunk.max(shape.parity()).next_multiple_of(8)
}

/// The data shard at a point.
fn index_of(code: Code, point: u16) -> usize {
    usize::from(point) - code.data_point(0)
}

/// The parity shard at a point.
fn parity_index_of(code: Code, point: u16) -> usize {
    usize::from(point) - code.parity_point(0)
}

impl Plan {
    fn of(code: Code, larger: usize, missing: usize) -> Plan {
        let direct_max =
            DIRECT_LOSSES_MAX.into_iter().find(|&(log, _)| code.log <= log).map_or(0, |(_, max)| max);
        let sums = 8 * missing * missing <= SUMS_SHARE * larger * code.log + SUMS_BASE;
        Plan {
            is_direct: code.rate == Rate::High && missing <= direct_max,
            way: if sums { Way::Sums } else { Way::Transform },
        }
    }
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}
