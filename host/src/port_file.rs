//! The file that tells a script which port the host listens on.
//!
//! Promises: a reader never sees half of it; it is gone when the host has ended in order. Refuses nothing.

use std::path::{Path, PathBuf};

use crate::error::HostError;

/// A port file; removed on drop.
#[derive(Debug)]
pub struct PortFile {
    path: PathBuf,
}

impl PortFile {
    /// Writes the port beside the file and moves it there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(path: &Path, port: u16) -> Result<Self, HostError> {
        let failed = |source| HostError::File { path: path.into(), source };
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        std::fs::write(&beside, format!("{port}\n")).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)?;
        Ok(Self { path: path.into() })
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the port file is gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_whole_and_goes_with_its_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("port");
        let file = PortFile::write(&path, 47_800).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "47800\n");
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = PortFile::write(&dir.path().join("no/such/folder"), 1).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"), "{error}");
    }
}
