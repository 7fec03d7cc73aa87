//! The verifiable bitstream as a source: its slices are written where they are lent from.

use std::thread;
use std::time::{Duration, Instant};

use punktfunk_capture::schedule::Schedule;
use punktfunk_codec::bitstream::{BitstreamSpec, Generator};
use punktfunk_engine::{Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait};

use super::{Slice, SlicePool, push};

/// Access units whose slices may be out at once: those in flight, and one being filled.
const AUS_POOLED: usize = 4;

/// A paced generator of verifiable access units.
pub struct Bitstream {
    generator: Generator,
    schedule: Schedule,
    pool: SlicePool,
    counts: SourceCounts,
    /// The picture that is due.
    number: u64,
}

impl Bitstream {
    /// A source whose first access unit is due at once.
    pub fn new(spec: BitstreamSpec) -> Self {
        let slices = usize::from(spec.slices());
        // Slices differ by at most a remainder; a quarter more is room enough, and a larger one grows once.
        let slice_bytes = spec.au_bytes_max() / slices * 5 / 4 + 4096;
        Self {
            schedule: Schedule::new(spec.refresh_mhz(), Instant::now()),
            generator: Generator::new(spec),
            pool: SlicePool::new(AUS_POOLED * slices, slice_bytes),
            counts: SourceCounts::default(),
            number: 0,
        }
    }

    /// Lets the first access unit be due at `started`.
    pub fn restart(&mut self, started: Instant) {
        self.schedule = Schedule::new(self.generator.spec().refresh_mhz(), started);
    }
}

impl Encode for Bitstream {
    type Slice = Slice;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        let due = self.schedule.next_due();
        let now = Instant::now();
        if due > now + timeout {
            thread::sleep(timeout);
            return Ok(Wait::Nothing);
        }
        thread::sleep(due.saturating_duration_since(now));
        let now = Instant::now();
        let Some(claim) = self.schedule.claim(now) else { return Ok(Wait::Nothing) };
        self.counts.captured += claim.passed_over + 1;
        self.counts.superseded += claim.passed_over;
        self.number = claim.number;
        Ok(Wait::Picture(now))
    }

    fn encode(
        &mut self,
        _request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        out.set_number(self.number);
        let plan = self.generator.next_au();
        for slice in 0..plan.slices() {
            let mut buffer = self.pool.take();
            buffer.resize(plan.slice_bytes(slice), 0);
            plan.fill(slice, &mut buffer);
            push(&mut self.pool, out, buffer, plan.is_idr(), slice + 1 == plan.slices())?;
        }
        Ok(EncodeOutcome::Encoded)
    }

    fn recycle(&mut self, slice: Slice) {
        self.pool.put(slice);
    }

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}
