//! What a recording is written as, and onto what.
//!
//! Promises: the file is begun with the first picture that is written; after a failed write a file ends where its last whole piece
//! ended. Refuses names of containers that it does not write.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use super::GATHER_MAX;
use super::mp4::Mp4;
use crate::error::ClientError;

/// Bytes gathered before a raw stream is handed to the kernel.
pub(super) const GATHERED_BYTES: usize = 1 << 20;

/// How a recording is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The Annex B stream as it came, without times.
    Raw,
    /// A fragmented MP4.
    Mp4,
}

impl Format {
    /// What a file's name asks for.
    ///
    /// # Errors
    /// It names a container that is not written.
    pub fn of(path: &Path) -> Result<Self, ClientError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("mp4" | "m4v") => Ok(Self::Mp4),
            Some("mkv" | "webm" | "mov" | "avi" | "ts" | "flv") => Err(ClientError::Usage(format!(
                "{} cannot be recorded: name it .mp4, or .h264 for the bare stream",
                path.display()
            ))),
            Some(_) | None => Ok(Self::Raw),
        }
    }
}

/// What a recording is written onto.
pub(super) trait Medium: Write + Send {
    /// Lets go of what lies behind `bytes`, as far as the medium can.
    fn cut(&mut self, bytes: u64);

    /// Writes over what lies at `at`; false where the medium cannot.
    ///
    /// # Errors
    /// The medium's.
    fn write_over(&mut self, at: u64, bytes: &[u8]) -> io::Result<bool>;
}

impl Medium for File {
    fn cut(&mut self, bytes: u64) {
        if self.metadata().is_ok_and(|file| file.is_file()) {
            // At worst a broken piece stays at the end.
            let _ = self.set_len(bytes);
        }
    }

    fn write_over(&mut self, at: u64, bytes: &[u8]) -> io::Result<bool> {
        let can = self.metadata()?.is_file();
        if can {
            self.write_all_at(bytes, at)?;
        }
        Ok(can)
    }
}

/// Whole pieces on a medium.
pub(super) struct Pieces {
    medium: Box<dyn Medium>,
    written: u64,
}

impl Pieces {
    pub(super) fn new(medium: Box<dyn Medium>) -> Self {
        Self { medium, written: 0 }
    }

    /// Writes one piece.
    ///
    /// # Errors
    /// The medium's; the piece is taken back then.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let written = self.medium.write_all(piece);
        match &written {
            Ok(()) => self.written += piece.len() as u64,
            Err(_) => self.medium.cut(self.written),
        }
        written
    }

    /// Writes over what lies at `at`; false on what has no places, a pipe for one.
    ///
    /// # Errors
    /// The medium's.
    pub(super) fn write_over(&mut self, at: u64, bytes: &[u8]) -> io::Result<bool> {
        self.medium.write_over(at, bytes)
    }
}

/// Opens the medium, when there is something to put onto it.
pub(super) type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Medium>> + Send>;

/// A recording in one of its formats.
pub(super) enum Writer {
    /// See [`Format::Raw`].
    Raw(Raw),
    /// See [`Format::Mp4`].
    Mp4(Mp4),
}

/// Access units back to back.
pub(super) struct Raw {
    open: Option<Open>,
    pieces: Option<Pieces>,
    gathered: Vec<u8>,
    /// When the first of it came.
    gathered_at: Instant,
    /// Access units in `gathered`, and those that were written.
    gathered_aus: u64,
    aus: u64,
}

impl Raw {
    fn new(open: Open) -> Self {
        Self {
            open: Some(open),
            pieces: None,
            gathered: Vec::new(),
            gathered_at: Instant::now(),
            gathered_aus: 0,
            aus: 0,
        }
    }

    fn write(&mut self, au: &[u8], now: Instant) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            self.pieces = Some(Pieces::new(open()?));
        }
        if !self.gathered.is_empty() && self.gathered.len() + au.len() > GATHERED_BYTES {
            self.flush()?;
        }
        if self.gathered.is_empty() {
            self.gathered_at = now;
        }
        self.gathered.extend_from_slice(au);
        self.gathered_aus += 1;
        Ok(())
    }

    fn handle_time(&mut self, now: Instant) -> io::Result<()> {
        let waited = now.saturating_duration_since(self.gathered_at);
        if waited >= GATHER_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(pieces) = &mut self.pieces {
            pieces.write(&self.gathered)?;
        }
        self.gathered.clear();
        self.gathered.shrink_to(GATHERED_BYTES);
        self.aus += std::mem::take(&mut self.gathered_aus);
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(
        open: impl FnOnce() -> io::Result<Box<dyn Medium>> + Send + 'static,
        format: Format,
    ) -> Self {
        match format {
            Format::Raw => Self::Raw(Raw::new(Box::new(open))),
            Format::Mp4 => Self::Mp4(Mp4::new(Box::new(open))),
        }
    }

    /// Adds one access unit of these sides that was decoded at `decoded_at`; false when the format cannot hold it.
    ///
    /// # Errors
    /// The medium's.
    pub(super) fn write(
        &mut self,
        au: &[u8],
        pts_us: u32,
        sides: (u32, u32),
        decoded_at: Instant,
    ) -> io::Result<bool> {
        match self {
            Self::Raw(raw) => raw.write(au, decoded_at).map(|()| true),
            Self::Mp4(mp4) => mp4.write(au, pts_us, sides, decoded_at),
        }
    }

    /// Hands the kernel what is due at `now`.
    ///
    /// # Errors
    /// The medium's.
    pub(super) fn handle_time(&mut self, now: Instant) -> io::Result<()> {
        match self {
            Self::Raw(raw) => raw.handle_time(now),
            Self::Mp4(mp4) => mp4.handle_time(now),
        }
    }

    /// Writes the rest; how many access units there are.
    ///
    /// # Errors
    /// The medium's.
    pub(super) fn finish(self) -> io::Result<u64> {
        match self {
            Self::Raw(mut raw) => raw.flush().map(|()| raw.aus),
            Self::Mp4(mp4) => mp4.finish(),
        }
    }
}
