//! A file that a session is going to fill.
//!
//! Promises: whether it can be written is known before a host is asked; an older file of that name stays as
//! it is until there is something to put in its place; no empty file is left behind. Refuses a folder that is
//! not there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::ClientError;

/// A file that is open and not yet touched.
#[derive(Debug)]
pub struct OutFile {
    path: PathBuf,
    file: Option<File>,
    is_new: bool,
}

impl OutFile {
    /// Opens a file, or makes it where there is none.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(path: &Path) -> Result<Self, ClientError> {
        let mut options = OpenOptions::new();
        options.write(true);
        let (opened, is_new) = match options.create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.create_new(false).create(true).open(path), false)
            }
            opened => (opened, true),
        };
        let file = opened.map_err(|source| ClientError::File { path: path.into(), source })?;
        Ok(Self { path: path.into(), file: Some(file), is_new })
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Empties it for what comes now.
    ///
    /// # Errors
    /// It cannot be emptied.
    pub fn begin(mut self) -> io::Result<File> {
        let file = self.file.take().ok_or(io::ErrorKind::NotFound)?;
        // Pipes and devices have no length.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        Ok(file)
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        if self.file.is_some() && self.is_new {
            // At worst an empty file stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_older_file_stays_until_there_is_something_newer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        fs::write(&path, "what was recorded before").unwrap();
        drop(OutFile::open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"what was recorded before");
        OutFile::open(&path).unwrap().begin().unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn nothing_is_left_of_a_file_that_was_not_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        drop(OutFile::open(&path).unwrap());
        assert!(!path.exists());
        drop(OutFile::open(&path).unwrap().begin().unwrap());
        assert!(path.exists());
        OutFile::open(Path::new("/dev/null")).unwrap().begin().unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("no/such.folder"), folder.path().to_owned()] {
            let error = OutFile::open(&path).unwrap_err();
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(error.exit_code(), 6);
        }
    }
}
