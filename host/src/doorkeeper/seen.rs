//! When a device was here last, written down beside the loop that all sessions' control is on.
//!
//! Promises: the loop waits neither for the disk nor for another program's lock; one thread at a time, and what comes
//! while it writes is written by the next one, each device once. Refuses to hold a session up: a note that cannot be
//! written is said in the log and let go.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use punktfunk_control::{Devices, DevicesError, Fingerprint};

/// The notes of one list.
pub struct Seen {
    folder: PathBuf,
    /// To be written yet.
    due: Vec<(Fingerprint, u64)>,
    writing: Option<JoinHandle<Result<(), DevicesError>>>,
}

impl Seen {
    /// Of the list in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), due: Vec::new(), writing: None }
    }

    /// A device that is listed is here, at this time.
    pub fn note(&mut self, device: Fingerprint, now_s: u64) {
        self.due.retain(|(known, _)| *known != device);
        self.due.push((device, now_s));
        self.poll();
    }

    /// Goes on with what is due.
    pub fn poll(&mut self) {
        if let Some(thread) = self.writing.take_if(|thread| thread.is_finished()) {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => unwritten(&error),
                Err(_) => unwritten(&io::Error::other("writing it panicked; our fault")),
            }
        }
        if self.writing.is_some() || self.due.is_empty() {
            return;
        }
        let (folder, due) = (self.folder.clone(), std::mem::take(&mut self.due));
        let thread = thread::Builder::new().name("devices-seen".into()).spawn(move || write(&folder, &due));
        match thread {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => unwritten(&error),
        }
    }
}

/// A device that has been taken out meanwhile stays out: only one that is listed has a note.
fn write(folder: &Path, due: &[(Fingerprint, u64)]) -> Result<(), DevicesError> {
    let mut devices = Devices::load(folder)?;
    for (device, at_s) in due {
        devices.note_seen(device, *at_s)?;
    }
    Ok(())
}

fn unwritten(error: &dyn std::error::Error) {
    tracing::warn!(%error, "when a device was here last is not written down");
}
