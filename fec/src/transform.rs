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

use crate::passes::{LAYERS_MAX, Layers, Passes, TopSum};
use crate::rows::{LINE_BYTES, Lines, Rows};

/// Rows of scratch that chunks are brought to their top layers in together, so that their sum stays in registers; a
/// fraction of a second-level cache.
const BATCH_ROWS: usize = 1024;
/// How many rows further on memory is asked for while a row of the caller's is read.
const ROWS_AHEAD: usize = 8;
/// The most passes: fifteen layers of a chunk of 32,768.
const PASSES_MAX: usize = 5;

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

/// How `2^log` rows are cut into passes: lowest layer and layers of each, lowest first.
#[derive(Debug, Clone, Copy)]
struct Cut {
    passes: [(usize, usize); PASSES_MAX],
    count: usize,
}

impl Cut {
    fn of(log: usize) -> Cut {
        let mut cut = Cut { passes: [(0, 0); PASSES_MAX], count: 0 };
        let mut layer = 0;
        loop {
            let layers = match log - layer {
                // Two and two rather than three and one, but for the first pass, which wants eight rows.
                4 if cut.count > 0 => 2,
                left => left.min(LAYERS_MAX),
            };
            cut.passes[cut.count] = (layer, layers);
            cut.count += 1;
            layer += layers;
            if layer == log {
                return cut;
            }
        }
    }

    /// All passes below the top one, lowest first.
    fn lower(&self) -> &[(usize, usize)] {
        &self.passes[..self.count - 1]
    }

    /// The top pass: its lowest layer, and its layers.
    fn top(&self) -> (usize, usize) {
        self.passes[self.count - 1]
    }

    /// Rows of a chunk.
    fn rows(&self) -> usize {
        let (layer, log) = self.top();
        1 << (layer + log)
    }
}

/// Bytes of one plane of `rows` rows of scratch: a line is left free after eight, so that rows a power of two apart do
/// not meet in one set of the cache.
fn plane_bytes(rows: usize, width: usize) -> usize {
    rows.div_ceil(8) * 9 * width
}

/// Scratch rows at `at`, of which there are `rows`.
fn scratch_rows(at: *mut u8, rows: usize, width: usize) -> Rows {
    Rows { at, row: width, octet: 9 * width, high: plane_bytes(rows, width) }
}

impl Transform {
    /// Takes the scratch for chunks of up to `2^log` rows.
    pub(crate) fn reserve(&mut self, log: usize) {
        let rows = (1_usize << log).max(8);
        let planes = |rows| 2 * plane_bytes(rows, LINE_BYTES);
        self.sum = 0;
        self.below = self.sum + planes(rows);
        self.chunk = self.below + planes(rows.max(BATCH_ROWS));
        self.stage = self.chunk + planes(rows);
        self.lines.reserve(self.stage + planes(8));
    }

    /// The rows that [`Transform::gather`] leaves between its halves, free for a caller who calls nothing meanwhile.
    fn scratch(&mut self, offset: usize, rows: usize, width: usize) -> Rows {
        scratch_rows(self.lines.at().wrapping_add(offset), rows.max(8), width)
    }

    /// Values at chunks `1..` of `2^log` points to values at the first `wanted` points, of the polynomial that is the
    /// sum of the chunks' own. Rows of `to` are written by eights (or all `2^log` if that is less).
    ///
    /// # Safety
    /// The source can be read as it says and `to` written, `passes.width` bytes a half; scratch for `log` was reserved;
    /// the CPU has the instructions of `passes`; the rows' positions are below 65,536.
    pub(crate) unsafe fn gather(
        &mut self,
        passes: &Passes,
        log: usize,
        source: &Source,
        to: Rows,
        wanted: usize,
    ) {
        let (rows, cut) = (1 << log, Cut::of(log));
        let sum = self.scratch(self.sum, rows, passes.width);
        let chunks = source.count.div_ceil(rows);
        let single = cut.count == 1;
        let batch_max = if single { usize::MAX } else { (BATCH_ROWS / rows).max(1) };
        let into = if single { to } else { sum };
        let mut chunk = 0;
        let mut state = SumState { into, started: false, forwarded: false };
        while chunk < chunks {
            // SAFETY: the caller's contract; scratch of one batch of chunks was reserved.
            unsafe {
                let (from, batch) = if single {
                    self.whole_chunks(passes, log, source, chunk)
                } else {
                    let batch = batch_max.min(chunks - chunk);
                    let below = self.scratch(self.below, batch * rows, passes.width);
                    for number in 0..batch {
                        let to = below.from(number * rows);
                        self.lower_layers(
                            passes,
                            &cut,
                            source,
                            chunk + number,
                            (chunk + number + 1) * rows,
                            to,
                        );
                    }
                    (below, batch)
                };
                let is_last = chunk + batch == chunks;
                self.add_tops(passes, &cut, from, chunk..chunk + batch, is_last, &mut state);
                chunk += batch;
            }
        }
        // SAFETY: as above.
        unsafe { forward_rest(passes, &cut, into, to, wanted, state.forwarded) };
    }

    /// Chunks that need no scratch, from number `chunk` on: all that are whole, or one that is not, brought to the stage.
    ///
    /// # Safety
    /// As [`Transform::gather`].
    unsafe fn whole_chunks(
        &mut self,
        passes: &Passes,
        log: usize,
        source: &Source,
        chunk: usize,
    ) -> (Rows, usize) {
        let whole = source.whole >> log;
        let first = chunk << log;
        if whole > chunk {
            return (source.rows.from(first), whole - chunk);
        }
        // SAFETY: the caller's contract.
        (unsafe { self.stage_rows(passes, source, first, 1 << log) }, 1)
    }

    /// Copies up to eight rows from `first` on to the stage, with zeros for what the source does not have.
    ///
    /// # Safety
    /// As [`Transform::gather`].
    unsafe fn stage_rows(&mut self, passes: &Passes, source: &Source, first: usize, rows: usize) -> Rows {
        let stage = self.scratch(self.stage, 8, passes.width);
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
        let rows = cut.rows();
        let first = chunk * rows;
        let there = rows.min(source.count - first);
        let direct = (source.whole - first).min(there) & !7;
        let lowest = |from, to, rows, position| Layers {
            from,
            to,
            rows,
            position,
            layer: 0,
            log: LAYERS_MAX,
            ahead: 0,
        };
        // The second pass works on what the first has just left in the cache, block by block.
        let (second, last) = (cut.lower().get(1), there.next_multiple_of(8));
        let block = second.map_or(rows, |&(layer, log)| 1 << (layer + log));
        for start in (0..there).step_by(block) {
            let end = last.min(start + block);
            let direct = direct.clamp(start, end);
            // SAFETY: the caller's contract; rows that the source lacks are staged or cleared.
            unsafe {
                if direct > start {
                    let from = source.rows.from(first + start);
                    let pass = lowest(from, to.from(start), direct - start, position + start);
                    (passes.inverse)(&Layers { ahead: from.step(ROWS_AHEAD), ..pass });
                }
                if end > direct {
                    let staged = self.stage_rows(passes, source, first + direct, 8);
                    (passes.inverse)(&lowest(staged, to.from(direct), 8, position + direct));
                }
                let reached = if end == last { rows.min(start + block) } else { end };
                clear(to, end, reached);
                if let Some(&(layer, log)) = second {
                    let to = to.from(start);
                    (passes.inverse)(&Layers {
                        from: to,
                        to,
                        rows: block,
                        position: position + start,
                        layer,
                        log,
                        ahead: 0,
                    });
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            clear(to, there.next_multiple_of(block), rows);
            for &(layer, log) in cut.lower().iter().skip(2) {
                let rows = there.next_multiple_of(1 << (layer + log));
                (passes.inverse)(&Layers { from: to, to, rows, position, layer, log, ahead: 0 });
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
        let rows = 1 << (layer + log);
        let chunk_step = from.from(rows).at.addr().wrapping_sub(from.at.addr());
        // Chunk `c` stands at `(c + 1) * rows`, and its skews lie in GF(2^8) while its end does so.
        let near_to = if log == 0 { chunks.end } else { ((256 << layer) / rows).saturating_sub(1) };
        let near = near_to.clamp(chunks.start, chunks.end) - chunks.start;
        // SAFETY: the caller's contract.
        unsafe {
            if near > 0 {
                let forward = is_last && near == chunks.len();
                (passes.top_sum)(&TopSum {
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
                    ahead: 0,
                };
                let inverse = if state.started { passes.inverse_add } else { passes.inverse };
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
        let (rows, cut) = (1 << log, Cut::of(log));
        let below = self.scratch(self.below, rows, passes.width);
        let (layer, top) = cut.top();
        // SAFETY: the caller's contract; scratch of one chunk was reserved.
        unsafe {
            let from = if cut.count == 1 {
                if source.whole >= rows { source.rows } else { self.stage_rows(passes, source, 0, rows) }
            } else {
                self.lower_layers(passes, &cut, source, 0, 0, below);
                below
            };
            (passes.inverse)(&Layers { from, to: below, rows, position: 0, layer, log: top, ahead: 0 });
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
        let (rows, cut) = (1 << log, Cut::of(log));
        let below = self.scratch(self.below, rows, passes.width);
        let work = self.scratch(self.chunk, rows, passes.width);
        let (layer, log) = cut.top();
        let position = chunk * rows;
        let into = if cut.count == 1 { to } else { work };
        // SAFETY: the caller's contract.
        unsafe {
            (passes.forward)(&Layers { from: below, to: into, rows, position, layer, log, ahead: 0 });
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

/// From the sum of coefficients to values at the first points.
///
/// # Safety
/// As [`Transform::gather`].
unsafe fn forward_rest(passes: &Passes, cut: &Cut, sum: Rows, to: Rows, wanted: usize, forwarded: bool) {
    let (layer, log) = cut.top();
    // SAFETY: passed on. With one pass, `sum` is `to`.
    unsafe {
        if !forwarded {
            (passes.forward)(&Layers {
                from: sum,
                to: sum,
                rows: 1 << (layer + log),
                position: 0,
                layer,
                log,
                ahead: 0,
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
    if cut.count == 1 {
        return;
    }
    // SAFETY: passed on.
    unsafe {
        for &(layer, log) in cut.lower().iter().skip(2).rev() {
            let rows = wanted.next_multiple_of(1 << (layer + log));
            (passes.forward)(&Layers { from: work, to: work, rows, position, layer, log, ahead: 0 });
        }
        let second = cut.lower().get(1);
        let block = second.map_or(cut.rows(), |&(layer, log)| 1 << (layer + log));
        for start in (0..wanted).step_by(block) {
            let (work, position) = (work.from(start), position + start);
            if let Some(&(layer, log)) = second {
                (passes.forward)(&Layers {
                    from: work,
                    to: work,
                    rows: block,
                    position,
                    layer,
                    log,
                    ahead: 0,
                });
            }
            let rows = block.min((wanted - start).next_multiple_of(8));
            let to = to.from(start);
            (passes.forward)(&Layers { from: work, to, rows, position, layer: 0, log: LAYERS_MAX, ahead: 0 });
        }
    }
}

/// Clears scratch rows, both multiples of eight.
///
/// # Safety
/// The rows can be written.
unsafe fn clear(rows: Rows, from: usize, to: usize) {
    let bytes = to.saturating_sub(from) / 8 * rows.octet;
    for half in [0, rows.high] {
        // SAFETY: passed on.
        unsafe { rows.row_at(from).wrapping_add(half).write_bytes(0, bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_spans_all_layers_and_begins_with_eight_rows() {
        for log in 0..=15 {
            let cut = Cut::of(log);
            assert_eq!(cut.passes[..cut.count].iter().map(|&(_, layers)| layers).sum::<usize>(), log);
            assert!(cut.passes[..cut.count].iter().all(|&(_, layers)| layers <= LAYERS_MAX));
            assert_eq!(cut.passes[0], (0, log.min(LAYERS_MAX)));
            let (layer, top) = cut.top();
            assert_eq!(layer + top, log);
            assert!(layer == 0 || layer >= 3, "rows of a group lie one apart, or a multiple of eight");
        }
    }
}
