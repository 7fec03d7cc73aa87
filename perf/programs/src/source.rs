//! The source: a pattern for each picture, lent slice by slice, and no encoder.
//!
//! Promises: what it costs to make is measured on its own thread's clock and kept apart; shapes change between two
//! pictures when they are told to. Refuses: to make bytes anew for a picture, unless each of them is to be looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use punktfunk_engine::{Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait};
use punktfunk_perf::thread_cpu;

use crate::cadence::Cadence;
use crate::case::{Case, Checking};
use crate::pattern::{self, Name, SLICE_BYTES_MIN};

/// Access units whose slices may be out: those on their way to the wire, one being sealed, one being made.
const AUS_POOLED: usize = 5;

/// What the control thread and the source share.
#[derive(Debug)]
pub struct SourceKnobs {
    /// The first picture may come.
    pub started: AtomicBool,
    /// Thread time spent on making slices, in nanoseconds.
    pub making_ns: AtomicU64,
    /// Buffers made because none had come home.
    pub buffers_made: AtomicU64,
    /// Bytes of all buffers.
    pub buffer_bytes: AtomicU64,
    /// An ordinary access unit's size now, in thousandths of the case's.
    pub size_per_mille: AtomicU32,
    /// The interval now, in microseconds; 0 for the case's.
    pub interval_us: AtomicU32,
}

impl Default for SourceKnobs {
    fn default() -> Self {
        Self {
            started: AtomicBool::new(false),
            making_ns: AtomicU64::new(0),
            buffers_made: AtomicU64::new(0),
            buffer_bytes: AtomicU64::new(0),
            size_per_mille: AtomicU32::new(1_000),
            interval_us: AtomicU32::new(0),
        }
    }
}

/// A lent slice: the first bytes of a buffer whose noise never changes.
#[derive(Debug)]
pub struct Lent {
    buffer: Box<[u8]>,
    bytes: usize,
    seed: u32,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.bytes]
    }
}

/// The source.
pub struct PatternSource {
    case: Case,
    cadence: Option<Cadence>,
    knobs: Arc<SourceKnobs>,
    pool: Vec<Lent>,
    seeds: u32,
    slice_bytes_max: usize,
    counts: SourceCounts,
}

impl PatternSource {
    /// A source of `case` with all its buffers filled.
    pub fn new(case: &Case, knobs: Arc<SourceKnobs>) -> PatternSource {
        let slices = usize::from(case.slices);
        let (unit, large) = case.au_bytes();
        let slice_bytes_max = unit.max(large).div_ceil(slices).max(SLICE_BYTES_MIN) + 8;
        let mut source = PatternSource {
            case: case.clone(),
            cadence: None,
            knobs,
            pool: Vec::with_capacity(2 * AUS_POOLED * slices),
            seeds: 0,
            slice_bytes_max,
            counts: SourceCounts::default(),
        };
        for _ in 0..AUS_POOLED * slices {
            let lent = source.make();
            source.pool.push(lent);
        }
        source
    }

    fn make(&mut self) -> Lent {
        let seed = self.seeds;
        self.seeds += 1;
        let mut buffer = vec![0; self.slice_bytes_max].into_boxed_slice();
        pattern::fill(seed, &mut buffer);
        self.knobs.buffer_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Lent { buffer, bytes: 0, seed }
    }

    fn take(&mut self) -> Lent {
        // The one that came home first: all are used in turn, as an encoder's are.
        if self.pool.is_empty() {
            self.knobs.buffers_made.fetch_add(1, Ordering::Relaxed);
            return self.make();
        }
        self.pool.remove(0)
    }

    fn au_bytes(&self, idr: bool) -> usize {
        let (unit, large) = self.case.au_bytes();
        let bytes = if idr { large } else { unit };
        let per_mille = self.knobs.size_per_mille.load(Ordering::Relaxed) as usize;
        let least = SLICE_BYTES_MIN * usize::from(self.case.slices);
        // A change never makes one larger than what was agreed.
        (bytes / 1_000 * per_mille.min(1_000) + bytes % 1_000).clamp(least, bytes.max(least))
    }
}

impl Encode for PatternSource {
    type Slice = Lent;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        if !self.knobs.started.load(Ordering::Acquire) {
            std::thread::park_timeout(timeout);
            return Ok(Wait::Nothing);
        }
        let cadence = self.cadence.get_or_insert_with(|| Cadence::new(self.case.interval(), Instant::now()));
        match self.knobs.interval_us.load(Ordering::Relaxed) {
            0 => cadence.set_interval(self.case.interval()),
            micros => cadence.set_interval(Duration::from_micros(micros.into())),
        }
        let Some(due) = cadence.wait(timeout) else { return Ok(Wait::Nothing) };
        self.counts.captured += due.passed_over + 1;
        self.counts.superseded += due.passed_over;
        Ok(Wait::Picture(due.at))
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Lent>,
    ) -> Result<EncodeOutcome, StageFault> {
        let (slices, idr) = (self.case.slices, self.case.is_idr(request.au) || request.idr);
        let total = self.au_bytes(self.case.is_idr(request.au));
        for slice in 0..slices {
            let start = thread_cpu();
            let mut lent = self.take();
            let share = |slice: u16| total * usize::from(slice) / usize::from(slices);
            lent.bytes = (share(slice + 1) - share(slice)).clamp(SLICE_BYTES_MIN, lent.buffer.len());
            let name = Name { au: request.au, slice, slices, idr };
            if self.case.checking == Checking::All {
                lent.seed = pattern::seed_of(request.au, slice);
                pattern::fill(lent.seed, &mut lent.buffer[..lent.bytes]);
            }
            pattern::stamp(lent.seed, name, &mut lent.buffer[..lent.bytes]);
            let spent = u64::try_from((thread_cpu() - start).as_nanos()).unwrap_or(0);
            self.knobs.making_ns.fetch_add(spent, Ordering::Relaxed);
            out.push(lent, idr, slice + 1 == slices).map_err(|(_, fault)| fault)?;
        }
        Ok(EncodeOutcome::Encoded)
    }

    fn recycle(&mut self, slice: Lent) {
        self.pool.push(slice);
    }

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_in_turn_and_made_when_none_is_home() {
        let case = Case { rate: "20M".parse().unwrap(), slices: 2, ..Case::default() };
        let knobs = Arc::new(SourceKnobs::default());
        let mut source = PatternSource::new(&case, Arc::clone(&knobs));
        let out: Vec<Lent> = (0..AUS_POOLED * 2).map(|_| source.take()).collect();
        assert_eq!(out.iter().map(|lent| lent.seed).collect::<Vec<_>>(), (0..10).collect::<Vec<u32>>());
        assert_eq!(knobs.buffers_made.load(Ordering::Relaxed), 0);
        assert_eq!(source.take().seed, 10);
        assert_eq!(knobs.buffers_made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_change_of_size_stays_within_what_was_agreed() {
        let case = Case { rate: "100M".parse().unwrap(), ..Case::default() };
        let knobs = Arc::new(SourceKnobs::default());
        let source = PatternSource::new(&case, Arc::clone(&knobs));
        let (unit, large) = case.au_bytes();
        assert_eq!((source.au_bytes(false), source.au_bytes(true)), (unit, large));
        knobs.size_per_mille.store(500, Ordering::Relaxed);
        assert!(source.au_bytes(false) <= unit / 2 + 1_000);
        knobs.size_per_mille.store(9_000, Ordering::Relaxed);
        assert_eq!(source.au_bytes(true), large);
        knobs.size_per_mille.store(0, Ordering::Relaxed);
        assert!(source.au_bytes(false) >= SLICE_BYTES_MIN);
    }
}
