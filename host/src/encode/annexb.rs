//! An H.264 Annex B file passed through: its access units at the session's rate, from the start again at
//! its end.
//!
//! Promises: an IDR that the client asks for is met by going back to the file's newest one. Refuses a
//! file without an IDR at its start.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_capture::schedule::Schedule;
use punktfunk_codec::annexb;
use punktfunk_engine::{Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait};

use super::{SlicePool, push};
use crate::agreement::slices_for;
use crate::error::HostError;

/// Slices of the access units in flight.
const SLICES_POOLED: usize = 64;

/// The largest file taken into memory: an hour at 1 Mbit/s, or half a minute at 140 Mbit/s.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// A file's access units on a schedule.
pub struct AnnexB {
    stream: Vec<u8>,
    /// Where each access unit lies, and whether it is an IDR.
    aus: Vec<(std::ops::Range<usize>, bool)>,
    next: usize,
    schedule: Schedule,
    refresh_mhz: u32,
    slices_max: u16,
    pool: SlicePool,
    counts: SourceCounts,
}

impl AnnexB {
    /// Reads and indexes a file, to be sent in at most `slices_max` slices an access unit.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or does not begin with an IDR and its parameter sets.
    pub fn open(path: &Path, refresh_mhz: u32, slices_max: u16) -> Result<Self, HostError> {
        let failed = |source| HostError::File { path: path.into(), source };
        let malformed = |what: &str| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
        if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(malformed("the file is larger than 512 MiB; pass a shorter one"));
        }
        let stream = std::fs::read(path).map_err(failed)?;
        if annexb::has_bidirectional(&stream) {
            return Err(malformed(
                "the stream has B pictures, which cost latency; encode it without (-bf 0)",
            ));
        }
        let base = stream.as_ptr() as usize;
        let aus: Vec<_> = annexb::access_units(&stream)
            .map(|au| {
                let start = au.as_ptr() as usize - base;
                (start..start + au.len(), annexb::is_idr(au))
            })
            .collect();
        match aus.first() {
            Some((range, true)) if annexb::has_parameter_sets(&stream[range.clone()]) => {}
            _ => {
                return Err(malformed(
                    "this is no H.264 Annex B stream that begins with parameter sets and an IDR",
                ));
            }
        }
        let mean = stream.len() / aus.len();
        Ok(Self {
            stream,
            aus,
            next: 0,
            schedule: Schedule::new(refresh_mhz, Instant::now()),
            refresh_mhz,
            slices_max: slices_for(mean as u64, slices_max),
            pool: SlicePool::new(SLICES_POOLED, 16 << 10),
            counts: SourceCounts::default(),
        })
    }

    /// Begins anew: the first access unit is due at `started`.
    pub fn restart(&mut self, started: Instant) {
        self.schedule = Schedule::new(self.refresh_mhz, started);
        self.next = 0;
    }

    /// Mean bytes of an access unit.
    pub fn au_bytes_mean(&self) -> u64 {
        self.stream.len() as u64 / self.aus.len() as u64
    }

    /// Slices that an access unit is sent in at most.
    pub fn slices_max(&self) -> u16 {
        self.slices_max
    }

    /// Bytes of the largest access unit.
    pub fn au_bytes_max(&self) -> usize {
        self.aus.iter().map(|(range, _)| range.len()).max().unwrap_or(0)
    }

    /// The newest IDR at or before `index`; the first access unit is one.
    fn idr_at_or_before(&self, index: usize) -> usize {
        (0..=index).rev().find(|&index| self.aus[index].1).unwrap_or(0)
    }
}

impl Encode for AnnexB {
    type Slice = Vec<u8>;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        let now = Instant::now();
        let due = self.schedule.next_due();
        thread::sleep(due.saturating_duration_since(now).min(timeout));
        let now = Instant::now();
        let Some(claim) = self.schedule.claim(now) else { return Ok(Wait::Nothing) };
        // A file's pictures refer to each other, so a missed moment delays the file and drops nothing.
        self.counts.captured += 1;
        tracing::trace!(passed_over = claim.passed_over, "a file's access unit is due");
        Ok(Wait::Picture(now))
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        if request.idr {
            self.next = self.idr_at_or_before(self.next);
        }
        let (range, idr) = self.aus[self.next].clone();
        self.next = (self.next + 1) % self.aus.len();
        let au = &self.stream[range];
        let count = annexb::slices(au).count().clamp(1, usize::from(self.slices_max));
        let mut groups = annexb::slices(au);
        for index in 0..count {
            let mut buffer = self.pool.take();
            if index + 1 == count {
                // The last one takes all that is left, when the file has more slices than negotiated.
                groups.by_ref().for_each(|group| buffer.extend_from_slice(group));
            } else if let Some(group) = groups.next() {
                buffer.extend_from_slice(group);
            }
            push(&mut self.pool, out, buffer, idr, index + 1 == count)?;
        }
        Ok(EncodeOutcome::Encoded)
    }

    fn recycle(&mut self, slice: Vec<u8>) {
        self.pool.put(slice);
    }

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}
