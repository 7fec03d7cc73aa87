//! An H.264 Annex B file passed through: its access units at the session's rate, from the start again at
//! its end.
//!
//! Promises: an IDR that the client asks for is met by going back to the file's newest one; the mode is the
//! stream's own. Refuses what is no regular file, a file without an IDR at its start, and pictures of several sizes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_capture::Mode;
use punktfunk_capture::schedule::Schedule;
use punktfunk_codec::annexb::{self, NalKind};
use punktfunk_engine::{
    CpuCopies, Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait,
};

use super::sps::picture_sides;
use super::{Slice, SlicePool, push};
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
    mode: Mode,
    slices_max: u16,
    pool: SlicePool,
    counts: SourceCounts,
}

impl AnnexB {
    /// Reads and indexes a file, to be sent in at most `slices_max` slices an access unit.
    ///
    /// # Errors
    /// The file cannot be read, is no regular one, is too large, does not begin with an IDR and its parameter sets,
    /// or has pictures of no size or of several.
    pub fn open(path: &Path, refresh_mhz: u32, slices_max: u16) -> Result<Self, HostError> {
        let failed = |source| HostError::File { path: path.into(), source };
        let malformed = |what: &str| failed(io::Error::new(io::ErrorKind::InvalidData, what));
        let stream = read(path).map_err(failed)?;
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
        let (width, height) = sides(&stream).map_err(malformed)?;
        let mode = Mode::new(width, height, refresh_mhz).map_err(|error| malformed(&error.to_string()))?;
        let mean = stream.len() / aus.len();
        Ok(Self {
            stream,
            aus,
            next: 0,
            schedule: Schedule::new(refresh_mhz, Instant::now()),
            mode,
            slices_max: slices_for(mean as u64, slices_max),
            pool: SlicePool::new(SLICES_POOLED, 16 << 10),
            counts: SourceCounts::default(),
        })
    }

    /// Begins anew: the first access unit is due at `started`.
    pub fn restart(&mut self, started: Instant) {
        self.schedule = Schedule::new(self.mode.refresh_mhz(), started);
        self.next = 0;
    }

    /// The stream's pictures, at the session's refresh.
    pub fn mode(&self) -> Mode {
        self.mode
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

/// A whole file of at most [`FILE_BYTES_MAX`]. Looked at before it is opened, for a pipe's opening waits for its
/// other end; and read no further than that, for a length may change, and not every file has one.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return refuse("this is no regular file; pass one that holds the stream");
    }
    let mut stream = Vec::new();
    if found.len() <= FILE_BYTES_MAX {
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut stream)?;
    }
    if found.len().max(stream.len() as u64) > FILE_BYTES_MAX {
        return refuse("the file is larger than 512 MiB; pass a shorter one");
    }
    Ok(stream)
}

/// Width and height of a stream's pictures in pixels. Every parameter set counts, for any of them may be used.
fn sides(stream: &[u8]) -> Result<(u32, u32), &'static str> {
    let mut known = None;
    for set in annexb::nals(stream).filter(|nal| nal.kind == NalKind::Sps) {
        let sides = picture_sides(set.payload)
            .ok_or("a sequence parameter set of the stream does not tell its pictures' size")?;
        if *known.get_or_insert(sides) != sides {
            return Err("the stream's pictures change their size; pass a file with pictures of one size");
        }
    }
    known.ok_or("the stream has no sequence parameter set")
}

impl Encode for AnnexB {
    type Slice = Slice;

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
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        if request.idr {
            self.next = self.idr_at_or_before(self.next);
        }
        let (range, idr) = self.aus[self.next].clone();
        self.next = (self.next + 1) % self.aus.len();
        let au = &self.stream[range];
        let count = annexb::slices(au).count().clamp(1, usize::from(self.slices_max));
        out.add_copies(CpuCopies { slices: au.len() as u64, ..CpuCopies::default() });
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

    fn recycle(&mut self, slice: Slice) {
        self.pool.put(slice);
    }

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::mpsc;

    use punktfunk_codec::I420Buffer;
    use punktfunk_codec::h264::{Encoder, EncoderConfig};

    use super::*;

    /// One picture's access unit.
    fn au(width: u32, height: u32) -> Vec<u8> {
        let config = EncoderConfig { width, height, refresh_mhz: 60_000, bitrate_kbps: 5_000, slices: 1 };
        let picture = I420Buffer::new(width, height).unwrap();
        let mut encoder = Encoder::new(config).unwrap();
        encoder.encode(&picture.as_i420(), 0, true).unwrap().bytes().to_vec()
    }

    fn refusal(path: PathBuf) -> String {
        let (told, hear) = mpsc::channel();
        // Whoever waits for the other end of a pipe waits for ever.
        thread::spawn(move || told.send(AnnexB::open(&path, 60_000, 4).err().map(|error| error.to_string())));
        let refused = hear.recv_timeout(Duration::from_secs(20)).expect("it is opened, and waited for");
        refused.expect("this is no stream")
    }

    #[test]
    fn the_mode_is_the_streams_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.h264");
        // 1080 and 180 are no multiples of 16, so the coded picture is cropped.
        for (width, height) in [(1920, 1080), (320, 180), (640, 352)] {
            fs::write(&path, au(width, height)).unwrap();
            let file = AnnexB::open(&path, 59_940, 4).unwrap();
            assert_eq!(file.mode(), Mode::new(width, height, 59_940).unwrap());
        }
        fs::write(&path, [au(640, 352), au(320, 180)].concat()).unwrap();
        assert!(refusal(path).contains("change their size"));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe, "/dev/null".into(), dir.path().into()] {
            assert!(refusal(path.clone()).contains("no regular file"), "{}", path.display());
        }
        let endless = dir.path().join("endless.h264");
        File::create(&endless).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(refusal(endless).contains("512 MiB"));
    }
}
