//! The H.264 stream on disk, as it came.
//!
//! Promises: a killed client loses half a second at most. Refuses to end the stream because a disk is full:
//! recording stops, is said once, and the error is kept.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::ClientError;
use crate::out_file::OutFile;

/// How often the recording is handed to the kernel.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// A recording under way.
pub struct Recording {
    path: PathBuf,
    file: BufWriter<File>,
    next_flush: Instant,
    aus: u64,
    failure: Option<io::Error>,
}

impl Recording {
    /// Begins at `now`.
    ///
    /// # Errors
    /// The file cannot be emptied.
    pub fn new(file: OutFile, now: Instant) -> Result<Self, ClientError> {
        let path = file.path().to_owned();
        let file = file.begin().map_err(|source| ClientError::File { path: path.clone(), source })?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { path, file, next_flush: now + FLUSH_INTERVAL, aus: 0, failure: None })
    }

    /// Adds one access unit.
    pub fn write(&mut self, au: &[u8], now: Instant) {
        if self.failure.is_some() {
            return;
        }
        let mut outcome = self.file.write_all(au);
        if outcome.is_ok() && now >= self.next_flush {
            self.next_flush = now + FLUSH_INTERVAL;
            outcome = self.file.flush();
        }
        match outcome {
            Ok(()) => self.aus += 1,
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the recording ends here; the stream goes on");
                self.failure = Some(error);
            }
        }
    }

    /// Writes what is left; how many access units are in the file.
    ///
    /// # Errors
    /// The recording is not whole.
    pub fn finish(mut self) -> Result<u64, ClientError> {
        let outcome = self.failure.take().map_or_else(|| self.file.flush(), Err);
        outcome.map(|()| self.aus).map_err(|source| ClientError::Recording { path: self.path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_full_disk_ends_the_recording_only() {
        let now = Instant::now();
        let mut recording = Recording::new(OutFile::open(Path::new("/dev/full")).unwrap(), now).unwrap();
        recording.write(&[1; 64], now + FLUSH_INTERVAL);
        recording.write(&[1; 64], now + FLUSH_INTERVAL);
        let error = recording.finish().unwrap_err();
        assert!(error.to_string().contains("/dev/full"), "{error}");
        assert!(error.to_string().contains("what was recorded before"), "{error}");
        assert_eq!(error.exit_code(), 6);
    }
}
