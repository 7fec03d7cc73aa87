//! The H.264 stream on disk: as it came, or in an MP4 with each picture's own time.
//!
//! A thread writes; the decode stage hands it copies and never waits. Promises: a killed client loses half a second at
//! most, and what came before plays; no more than [`MEMORY_BYTES_MAX`] is held for ordinary pictures. Where the disk is
//! slower than the stream, access units are dropped and counted, and the recording goes on at an IDR that is asked for.
//! Refuses to end the stream because a disk is full: recording stops, is said once, and the error is kept; and formats
//! that it does not write.

mod boxes;
mod format;
mod mp4;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use format::Format;

use punktfunk_proto::Lost;

use crate::error::ClientError;
use crate::out_file::OutFile;
use format::{Medium, Writer};

/// How long what came waits for more before it is handed to the kernel.
const GATHER_MAX: Duration = Duration::from_millis(400);
/// How often the thread looks whether something has waited that long.
const TICK: Duration = Duration::from_millis(100);
/// What a killed client may lose.
const LOST_MAX: Duration = Duration::from_millis(500);
/// Bytes that wait for the disk at most; a single larger access unit may wait alone.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Access units that wait for the disk at most: two seconds at 120 Hz.
const QUEUE_AUS_MAX: usize = 256;
/// Buffers that are kept for the access units to come.
const SPARE_MAX: usize = 8;
/// The largest buffer that is kept: few access units but IDRs are larger.
const SPARE_BYTES_MAX: usize = 1 << 20;
/// What a recording holds at most while no access unit is larger than [`SPARE_BYTES_MAX`]; a larger one adds itself while
/// it is on its way, twice in a fragment.
const MEMORY_BYTES_MAX: usize =
    // What waits, and the room by which the last buffer is larger than what is in it.
    QUEUE_BYTES_MAX + SPARE_BYTES_MAX
    // What is handed home.
    + SPARE_MAX * SPARE_BYTES_MAX
    // A fragment that is gathered and its copy that is laid out, each with the access unit that filled it, in vectors that
    // grow by doubling.
    + 2 * 2 * (mp4::FRAGMENT_BYTES_MAX + SPARE_BYTES_MAX);

const _: () = assert!(MEMORY_BYTES_MAX <= 112 << 20);
const _: () = assert!(format::GATHERED_BYTES <= mp4::FRAGMENT_BYTES_MAX);
const _: () = assert!(GATHER_MAX.as_millis() + TICK.as_millis() <= LOST_MAX.as_millis());

/// One decoded access unit.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Its number.
    pub au: u32,
    /// Its capture time, as the wire has it.
    pub pts_us: u32,
    /// Whether it is an IDR.
    pub idr: bool,
    /// Width and height in pixels.
    pub sides: (u32, u32),
    /// Annex B.
    pub bytes: &'a [u8],
}

/// A copy on its way to the disk.
struct Queued {
    pts_us: u32,
    sides: (u32, u32),
    bytes: Vec<u8>,
    decoded_at: Instant,
}

/// What the recording tells other threads.
#[derive(Debug, Default)]
pub struct RecordingState {
    queued_bytes: AtomicUsize,
    dropped: AtomicU64,
    refused: AtomicU64,
    /// One more than the access unit behind which an IDR is wanted; 0 for none.
    idr_after: AtomicU64,
}

impl RecordingState {
    /// What the recording is asked to be said to miss, so that an IDR comes: once for each wish.
    pub fn poll_idr_request(&self) -> Option<Lost> {
        let after = self.idr_after.swap(0, Ordering::Relaxed).checked_sub(1)?;
        Some(Lost::all_up_to(u32::try_from(after).unwrap_or(u32::MAX)))
    }

    /// Access units that were not recorded because the disk was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Access units that the format cannot hold: those before an IDR with its parameter sets.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Where a recording stands after access units were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// Nothing is missing.
    None,
    /// An IDR is awaited, and is asked for as soon as half of the queue is free.
    Waiting,
    /// It is asked for.
    Asked,
}

/// A recording under way.
pub struct Recording {
    path: PathBuf,
    state: Arc<RecordingState>,
    queue: Option<SyncSender<Queued>>,
    spare: Receiver<Vec<u8>>,
    gap: Gap,
    writer: JoinHandle<io::Result<u64>>,
}

impl Recording {
    /// Begins one; the file is not touched before its first picture.
    ///
    /// # Errors
    /// No thread for it.
    pub fn new(file: OutFile, format: Format, state: Arc<RecordingState>) -> Result<Self, ClientError> {
        let path = file.path().to_owned();
        let open = move || file.begin().map(|file| Box::new(file) as Box<dyn Medium>);
        Self::on(open, format, state, path.clone()).map_err(|source| ClientError::File { path, source })
    }

    fn on(
        open: impl FnOnce() -> io::Result<Box<dyn Medium>> + Send + 'static,
        format: Format,
        state: Arc<RecordingState>,
        path: PathBuf,
    ) -> io::Result<Self> {
        let (queue, queued) = sync_channel(QUEUE_AUS_MAX);
        let (home, spare) = sync_channel(SPARE_MAX);
        let (shared, name) = (Arc::clone(&state), path.clone());
        let writer = std::thread::Builder::new().name("pf-record".into()).spawn(move || {
            let outcome = write_all(&queued, &home, Writer::new(open, format), &shared);
            if let Err(error) = &outcome {
                tracing::error!(path = %name.display(), %error, "the recording ends here; the stream goes on");
            }
            outcome
        })?;
        Ok(Self { path, state, queue: Some(queue), spare, gap: Gap::None, writer })
    }

    /// Adds one access unit, decoded at `now`, unless the disk lags too far behind.
    pub fn write(&mut self, picture: &Picture<'_>, now: Instant) {
        if self.queue.is_none() || self.writer.is_finished() {
            // The thread has said why; what was dropped was so by a slow disk, not by this.
            self.queue = None;
            return;
        }
        let queued_bytes = self.state.queued_bytes.load(Ordering::Relaxed);
        if self.gap != Gap::None && !picture.idr {
            if self.gap == Gap::Waiting && queued_bytes <= QUEUE_BYTES_MAX / 2 {
                self.gap = Gap::Asked;
                self.state.idr_after.store(u64::from(picture.au) + 1, Ordering::Relaxed);
            }
            return self.count_dropped();
        }
        let has_room = queued_bytes == 0 || queued_bytes + picture.bytes.len() <= QUEUE_BYTES_MAX;
        if !has_room || !self.push(picture, now) {
            if self.gap == Gap::None {
                let path = self.path.display();
                tracing::warn!(%path, "the disk is slower than the stream: the recording goes on at the next IDR");
            }
            self.gap = Gap::Waiting;
            return self.count_dropped();
        }
        self.gap = Gap::None;
    }

    /// Hands a copy to the thread; false when its queue is full.
    fn push(&mut self, picture: &Picture<'_>, now: Instant) -> bool {
        let Some(queue) = &self.queue else { return true };
        let mut bytes = self.spare.try_recv().unwrap_or_default();
        bytes.clear();
        bytes.reserve_exact(picture.bytes.len());
        bytes.extend_from_slice(picture.bytes);
        let room = bytes.capacity();
        self.state.queued_bytes.fetch_add(room, Ordering::Relaxed);
        let queued = Queued { pts_us: picture.pts_us, sides: picture.sides, bytes, decoded_at: now };
        match queue.try_send(queued) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.state.queued_bytes.fetch_sub(room, Ordering::Relaxed);
                false
            }
            Err(TrySendError::Disconnected(_)) => {
                self.queue = None;
                true
            }
        }
    }

    fn count_dropped(&self) {
        self.state.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes what is left; how many access units are in the file.
    ///
    /// # Errors
    /// The recording is not whole.
    pub fn finish(mut self) -> Result<u64, ClientError> {
        drop(self.queue.take());
        let outcome = self.writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        outcome.map_err(|source| ClientError::Recording { path: self.path, source })
    }
}

/// The thread: writes what comes until nothing more will.
fn write_all(
    queued: &Receiver<Queued>,
    home: &SyncSender<Vec<u8>>,
    mut writer: Writer,
    state: &RecordingState,
) -> io::Result<u64> {
    loop {
        match queued.recv_timeout(TICK) {
            Ok(Queued { pts_us, sides, bytes, decoded_at }) => {
                let written = writer.write(&bytes, pts_us, sides, decoded_at);
                state.queued_bytes.fetch_sub(bytes.capacity(), Ordering::Relaxed);
                state.refused.fetch_add(u64::from(!written?), Ordering::Relaxed);
                if bytes.capacity() <= SPARE_BYTES_MAX {
                    // Without room it is let go.
                    let _ = home.try_send(bytes);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return writer.finish(),
        }
        writer.handle_time(Instant::now())?;
    }
}

#[cfg(test)]
mod tests;
