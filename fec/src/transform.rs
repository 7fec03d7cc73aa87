//! One column of a block through the additive FFT, both ways round.
//!
//! *What it is.* [`Transform::gather`] takes chunks of rows to the sum of their coefficients and from there to values at
//! the first points: the high-rate code's encoder. [`Transform::spread`] takes rows at the first points to coefficients
//! and from there to values in later chunks: the low-rate one's. Each is the other's inverse map up to factors that
//! [`crate::solve`] knows, so a decoder uses both.
//!
//! *What it promises.* The first pass reads the caller's rows where they lie, the last writes where they are wanted;
//! what is between stays in scratch of this struct, bounded by [`Transform::reserve`].
//!
//! *What it refuses.* Nothing: addresses are the caller's word, and the verbs are unsafe for that reason.

use crate::cut::Cut;
use crate::layers::{LAYERS_MAX, Layers, TopSum};
use crate::passes::Passes;
use crate::rows::{LINE_BYTES, Lines, Rows, SCRATCH_OCTET};

/// Rows of scratch that chunks are brought to their top layers in together, so that their sum stays in registers; a
/// fraction of a second-level cache.
const BATCH_ROWS: usize = 1024;

/// The rows that a transform reads: `count` of them, of which all but the last are whole, and so is that unless it says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) rows: Rows,
    pub(crate) count: usize,
    /// Rows that can be read as a whole: `count`, or one less.
    pub(crate) whole: usize,
    /// What can be read of the row after those, low half and high: bytes of this column.
    pub(crate) rest: [usize; 2],
}

/// Scratch for a column.
#[derive(Default)]
pub(crate) struct Transform {
    lines: Lines,
    sum: usize,
    below: usize,
    chunk: usize,
    stage: usize,
}

/// Bytes of `rows` rows of scratch.
fn scratch_bytes(rows: usize, width: usize) -> usize {
    rows.div_ceil(8) * SCRATCH_OCTET * width
}

impl Transform {
    /// Takes the scratch for chunks of up to `2^log` rows.
    pub(crate) fn reserve(&mut self, log: usize) {
        let rows = (1_usize << log).max(8);
        let bytes = |rows| scratch_bytes(rows, LINE_BYTES);
        self.sum = 0;
        self.below = self.sum + bytes(rows);
        self.chunk = self.below + bytes(rows.max(BATCH_ROWS));
        self.stage = self.chunk + bytes(rows);
        self.lines.reserve(self.stage + bytes(16));
    }

    /// The rows that [`Transform::gather`] leaves between its halves, free for a caller who calls nothing meanwhile.
    fn scratch(&mut self, offset: usize, width: usize) -> Rows {
        Rows::scratch(self.lines.at().wrapping_add(offset), width)
    }

    /// Values at chunks `1..` of the cut's points to values at the first `wanted` points, of the polynomial that is the
    /// sum of the chunks' own. `cut` is that of [`Cut::gathering`]. Rows of `to` are written by sixteens (or all `2^log` if that is less).
    ///
    /// # Safety
    /// The source can be read as it says and `to` written, `passes.width` bytes a half; scratch for `log` was reserved;
    /// the CPU has the instructions of `passes`; the rows' positions are below 65,536.
    pub(crate) unsafe fn gather(
        &mut self,
        passes: &Passes,
        cut: &Cut,
        source: &Source,
        to: Rows,
        wanted: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            if cut.near {
                self.gather_near(passes, cut, source, to, wanted);
            } else {
                self.gather_far(passes, cut, source, to, wanted);
            }
        }
    }

    /// [`Transform::gather`] for chunks of which several share a 256 of points.
    ///
    /// The skews of such chunks differ within GF(2^8), but for a part that is the same for all butterflies of a layer in
    /// one 256. That part commutes with every layer above, and so it is left out until the chunks of a 256 are summed
    /// up: then the sum is shifted to the next lower 256, whose chunks are added to it, and so on down.
    ///
    /// # Safety
    /// As [`Transform::gather`].
    unsafe fn gather_near(&mut self, passes: &Passes, cut: &Cut, source: &Source, to: Rows, wanted: usize) {
        let rows = cut.rows();
        let log = cut.log();
        let into = if cut.is_single() { to } else { self.scratch(self.sum, passes.width) };
        let chunks = (source.count + rows - 1) >> log;
        // Chunk `c` stands at position `(c + 1) << log`.
        let per_block = 256 >> log;
        let last = (chunks << log) >> 8;
        let mut state = SumState { into, started: false, forwarded: false };
        for block in (0..=last).rev() {
            let numbers = (block * per_block).max(1) - 1..chunks.min((block + 1) * per_block - 1);
            // SAFETY: the caller's contract; scratch for 256 rows was reserved.
            unsafe {
                self.sum_block(passes, cut, source, numbers, &mut state);
                if block > 0 {
                    shift(passes, cut, into, (block ^ (block - 1)) << 8);
                }
            }
        }
        // SAFETY: as above.
        unsafe { lower_forward(passes, cut, 0, into, to, wanted) };
    }

    /// Adds the chunks numbered, which lie in one 256 of points, to the sum; takes it through the top pass back to values
    /// after chunk 0, which comes last.
    ///
    /// # Safety
    /// As [`Transform::gather`].
    unsafe fn sum_block(
        &mut self,
        passes: &Passes,
        cut: &Cut,
        source: &Source,
        numbers: std::ops::Range<usize>,
        state: &mut SumState,
    ) {
        let ((layer, log), rows) = (cut.top(), cut.rows());
        let mut chunk = numbers.start;
        while chunk < numbers.end {
            // SAFETY: the caller's contract.
            unsafe {
                let (from, count) = if cut.is_single() {
                    self.whole_chunks(passes, log, source, chunk..numbers.end)
                } else {
                    let below = self.scratch(self.below, passes.width);
                    let whole = self.whole_lower_layers(passes, cut, source, numbers.clone(), below);
                    for number in numbers.start + whole..numbers.end {
                        let to = below.from((number - numbers.start) * rows);
                        self.lower_layers(passes, cut, source, number, (number + 1) * rows, to);
                    }
                    (below, numbers.len())
                };
                (cut.butterflies(passes).top_sum)(&TopSum {
                    from,
                    chunk: from.from(rows).at.addr().wrapping_sub(from.at.addr()),
                    chunks: count,
                    position: (chunk + 1) * rows,
                    rows,
                    layer,
                    log,
                    to: state.into,
                    add: state.started,
                    forward: numbers.start == 0 && chunk + count == numbers.end,
                });
                state.started = true;
                chunk += count;
            }
        }
    }

    /// The lower layers of those of the chunks numbered that are whole, in one pass, if one is enough; returns how many.
    ///
    /// # Safety
    /// As [`Transform::lower_layers`].
    unsafe fn whole_lower_layers(
        &mut self,
        passes: &Passes,
        cut: &Cut,
        source: &Source,
        numbers: std::ops::Range<usize>,
        to: Rows,
    ) -> usize {
        let &[(layer, log)] = cut.lower() else { return 0 };
        let rows = cut.rows();
        let whole = numbers.end.min(source.whole / rows).saturating_sub(numbers.start);
        if whole > 0 {
            // SAFETY: the caller's contract.
            unsafe {
                (passes.inverse_in)(&Layers {
                    from: source.rows.from(numbers.start * rows),
                    to,
                    rows: whole * rows,
                    position: (numbers.start + 1) * rows,
                    layer,
                    log,
                    near: cut.near,
                });
            }
        }
        whole
    }

    /// [`Transform::gather`] for longer chunks.
    ///
    /// # Safety
    /// As [`Transform::gather`].
    unsafe fn gather_far(&mut self, passes: &Passes, cut: &Cut, source: &Source, to: Rows, wanted: usize) {
        let rows = cut.rows();
        let into = self.scratch(self.sum, passes.width);
        let chunks = source.count.div_ceil(rows);
        let mut chunk = 0;
        let mut state = SumState { into, started: false, forwarded: false };
        while chunk < chunks {
            // SAFETY: the caller's contract; scratch of one batch of chunks was reserved.
            unsafe {
                let batch = (BATCH_ROWS / rows).max(1).min(chunks - chunk);
                let below = self.scratch(self.below, passes.width);
                for number in 0..batch {
                    let to = below.from(number * rows);
                    let position = (chunk + number + 1) * rows;
                    self.lower_layers(passes, cut, source, chunk + number, position, to);
                }
                let is_last = chunk + batch == chunks;
                self.add_tops(passes, cut, below, chunk..chunk + batch, is_last, &mut state);
                chunk += batch;
            }
        }
        // SAFETY: as above.
        unsafe { forward_rest(passes, cut, into, to, wanted, state.forwarded) };
    }

    /// Chunks that need no scratch, of those numbered: all that are whole, or one that is not, brought to the stage.
    ///
    /// # Safety
    /// As [`Transform::gather`].
    unsafe fn whole_chunks(
        &mut self,
        passes: &Passes,
        log: usize,
        source: &Source,
        numbers: std::ops::Range<usize>,
    ) -> (Rows, usize) {
        let whole = numbers.end.min(source.whole >> log);
        let first = numbers.start << log;
        if whole > numbers.start {
            return (source.rows.from(first), whole - numbers.start);
        }
        // SAFETY: the caller's contract.
        (unsafe { self.stage_rows(passes, source, first, 1 << log) }, 1)
    }

    /// Copies up to sixteen rows from `first` on to the stage, with zeros for what the source does not have.
    ///
    /// # Safety
    /// As [`Transform::gather`].
    unsafe fn stage_rows(&mut self, passes: &Passes, source: &Source, first: usize, rows: usize) -> Rows {
        let stage = self.scratch(self.stage, passes.width);
        for row in 0..rows {
            let (from, to) = (source.rows.row_at(first + row), stage.row_at(row));
            let there = match (first + row).cmp(&source.whole) {
                std::cmp::Ordering::Less => [passes.width; 2],
                std::cmp::Ordering::Equal if first + row < source.count => source.rest,
                std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => [0; 2],
            };
            for (half, bytes) in there.into_iter().enumerate() {
                let to = to.wrapping_add(half * stage.high);
                // SAFETY: the source has `bytes` readable bytes there, and the stage a whole column of eight rows.
                unsafe {
                    to.write_bytes(0, passes.width);
                    if bytes > 0 {
                        let from = from.wrapping_add(half * source.rows.high);
                        to.copy_from_nonoverlapping(from, bytes);
                    }
                }
            }
        }
        stage
    }

    /// All layers but the top pass's of one chunk, from its rows to scratch.
    ///
    /// # Safety
    /// As [`Transform::gather`]; `to` is scratch for the chunk's rows.
    unsafe fn lower_layers(
        &mut self,
        passes: &Passes,
        cut: &Cut,
        source: &Source,
        chunk: usize,
        position: usize,
        to: Rows,
    ) {
        let (rows, first) = (cut.rows(), chunk * cut.rows());
        let there = rows.min(source.count - first);
        let log = cut.lower()[0].1;
        let group = 1 << log;
        let direct = (source.whole - first).min(there) & !(group - 1);
        let lowest =
            |from, to, rows, position| Layers { from, to, rows, position, layer: 0, log, near: cut.near };
        // The second pass works on what the first has just left in the cache, block by block.
        let (second, last) = (cut.lower().get(1), there.next_multiple_of(group));
        let block = second.map_or(rows, |&(layer, log)| 1 << (layer + log));
        for start in (0..there).step_by(block) {
            let end = last.min(start + block);
            let direct = direct.clamp(start, end);
            // SAFETY: the caller's contract; rows that the source lacks are staged or cleared.
            unsafe {
                if direct > start {
                    let from = source.rows.from(first + start);
                    (passes.inverse_in)(&lowest(from, to.from(start), direct - start, position + start));
                }
                if end > direct {
                    let staged = self.stage_rows(passes, source, first + direct, group);
                    (passes.inverse_in)(&lowest(staged, to.from(direct), group, position + direct));
                }
                let reached = if end == last { rows.min(start + block) } else { end };
                clear(to, end, reached);
                if let Some(&(layer, log)) = second {
                    let to = to.from(start);
                    (passes.within.inverse)(&Layers {
                        from: to,
                        to,
                        rows: block,
                        position: position + start,
                        layer,
                        log,
                        near: cut.near,
                    });
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            clear(to, there.next_multiple_of(block), rows);
            for &(layer, log) in cut.lower().iter().skip(2) {
                let rows = there.next_multiple_of(1 << (layer + log));
                (passes.within.inverse)(&Layers { from: to, to, rows, position, layer, log, near: cut.near });
            }
        }
    }

    /// The top pass of the chunks numbered, added to the sum.
    ///
    /// # Safety
    /// As [`Transform::gather`]; `from` holds the chunks' rows after their lower layers.
    unsafe fn add_tops(
        &mut self,
        passes: &Passes,
        cut: &Cut,
        from: Rows,
        chunks: std::ops::Range<usize>,
        is_last: bool,
        state: &mut SumState,
    ) {
        let (layer, log) = cut.top();
        let butterflies = cut.butterflies(passes);
        let rows = 1 << (layer + log);
        let chunk_step = from.from(rows).at.addr().wrapping_sub(from.at.addr());
        // Chunk `c` stands at `(c + 1) * rows`, and its skews lie in GF(2^8) while its end does so.
        let near_to = ((256 << layer) / rows).saturating_sub(1);
        let near = near_to.clamp(chunks.start, chunks.end) - chunks.start;
        // SAFETY: the caller's contract.
        unsafe {
            if near > 0 {
                let forward = is_last && near == chunks.len();
                (butterflies.top_sum)(&TopSum {
                    from,
                    chunk: chunk_step,
                    chunks: near,
                    position: (chunks.start + 1) * rows,
                    rows,
                    layer,
                    log,
                    to: state.into,
                    add: state.started,
                    forward,
                });
                state.started = true;
                state.forwarded = forward;
            }
            for number in near..chunks.len() {
                let pass = Layers {
                    from: from.from(number * rows),
                    to: state.into,
                    rows,
                    position: (chunks.start + number + 1) * rows,
                    layer,
                    log,
                    near: cut.near,
                };
                let inverse = if state.started { butterflies.inverse_add } else { butterflies.inverse };
                inverse(&pass);
                state.started = true;
            }
        }
    }

    /// The first half of a spread: values at the first `2^log` points to coefficients, kept in scratch.
    ///
    /// # Safety
    /// As [`Transform::gather`]; the source has at most `2^log` rows.
    pub(crate) unsafe fn spread(&mut self, passes: &Passes, log: usize, source: &Source) {
        let (rows, cut) = (1 << log, Cut::far(log));
        let below = self.scratch(self.below, passes.width);
        let (layer, top) = cut.top();
        // SAFETY: the caller's contract; scratch of one chunk was reserved.
        unsafe {
            let from = if cut.is_single() {
                if source.whole >= rows { source.rows } else { self.stage_rows(passes, source, 0, rows) }
            } else {
                self.lower_layers(passes, &cut, source, 0, 0, below);
                below
            };
            (cut.butterflies(passes).inverse)(&Layers {
                from,
                to: below,
                rows,
                position: 0,
                layer,
                log: top,
                near: cut.near,
            });
        }
    }

    /// The second half: the coefficients that [`Transform::spread`] left to values in chunk `chunk` (1 is the first
    /// beyond the coefficients' own). The first `wanted` rows are computed, by eights.
    ///
    /// # Safety
    /// As [`Transform::gather`]; `spread` was called with the same `log` and nothing since but this.
    pub(crate) unsafe fn spread_to(
        &mut self,
        passes: &Passes,
        log: usize,
        chunk: usize,
        to: Rows,
        wanted: usize,
    ) {
        let (rows, cut) = (1 << log, Cut::far(log));
        let below = self.scratch(self.below, passes.width);
        let work = self.scratch(self.chunk, passes.width);
        let (layer, log) = cut.top();
        let butterflies = cut.butterflies(passes);
        let position = chunk * rows;
        let into = if cut.is_single() { to } else { work };
        // SAFETY: the caller's contract.
        unsafe {
            (butterflies.forward)(&Layers {
                from: below,
                to: into,
                rows,
                position,
                layer,
                log,
                near: cut.near,
            });
            lower_forward(passes, &cut, position, into, to, wanted);
        }
    }
}

/// How far the sum of a gather's chunks is.
struct SumState {
    into: Rows,
    started: bool,
    /// The top pass back to values is done.
    forwarded: bool,
}

/// Shifts coefficients between two places that are `difference` apart: a multiple of 256.
///
/// # Safety
/// As [`Transform::gather`].
unsafe fn shift(passes: &Passes, cut: &Cut, rows: Rows, difference: usize) {
    let (top, top_log) = cut.top();
    // Layer `l` has a part beyond GF(2^8) if the difference reaches `256 << l`.
    let layers = (top + top_log).min(difference.ilog2() as usize - 7);
    for layer in (0..layers).step_by(LAYERS_MAX) {
        // SAFETY: passed on.
        unsafe {
            (cut.butterflies(passes).shift)(&Layers {
                from: rows,
                to: rows,
                rows: cut.rows(),
                position: difference,
                layer,
                log: LAYERS_MAX.min(layers - layer),
                near: cut.near,
            });
        }
    }
}

/// From the sum of coefficients to values at the first points.
///
/// # Safety
/// As [`Transform::gather`].
unsafe fn forward_rest(passes: &Passes, cut: &Cut, sum: Rows, to: Rows, wanted: usize, forwarded: bool) {
    let (layer, log) = cut.top();
    // SAFETY: passed on. With one pass, `sum` is `to`.
    unsafe {
        if !forwarded {
            (cut.butterflies(passes).forward)(&Layers {
                from: sum,
                to: sum,
                rows: 1 << (layer + log),
                position: 0,
                layer,
                log,
                near: cut.near,
            });
        }
        lower_forward(passes, cut, 0, sum, to, wanted);
    }
}

/// All passes below the top one, to values: in `work` but for the last, which writes to `to`.
///
/// # Safety
/// As [`Transform::gather`].
unsafe fn lower_forward(passes: &Passes, cut: &Cut, position: usize, work: Rows, to: Rows, wanted: usize) {
    if cut.is_single() {
        return;
    }
    // SAFETY: passed on.
    unsafe {
        for &(layer, log) in cut.lower().iter().skip(2).rev() {
            let rows = wanted.next_multiple_of(1 << (layer + log));
            (passes.within.forward)(&Layers {
                from: work,
                to: work,
                rows,
                position,
                layer,
                log,
                near: cut.near,
            });
        }
        let second = cut.lower().get(1);
        let block = second.map_or(cut.rows(), |&(layer, log)| 1 << (layer + log));
        for start in (0..wanted).step_by(block) {
            let (work, position) = (work.from(start), position + start);
            if let Some(&(layer, log)) = second {
                (passes.within.forward)(&Layers {
                    from: work,
                    to: work,
                    rows: block,
                    position,
                    layer,
                    log,
                    near: cut.near,
                });
            }
            let log = cut.lower()[0].1;
            let rows = block.min((wanted - start).next_multiple_of(1 << log));
            let to = to.from(start);
            (passes.forward_out)(&Layers { from: work, to, rows, position, layer: 0, log, near: cut.near });
        }
    }
}

/// Clears scratch rows, both multiples of eight.
///
/// # Safety
/// The rows can be written.
unsafe fn clear(rows: Rows, from: usize, to: usize) {
    // SAFETY: passed on; both halves of a row lie side by side.
    unsafe { rows.row_at(from).write_bytes(0, to.saturating_sub(from) / 8 * rows.octet) };
}
