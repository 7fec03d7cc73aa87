//! One test's folder, and whatever on the machine belongs to it.
//!
//! Promises: everything that a test's programs make lies in it, desktops included, and goes with it. Refuses
//! to miss a process: whoever has the folder in its environment is the test's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::look_for;

/// What the runtime folders of our own desktops begin with.
const DESKTOP_PREFIX: &str = "punktfunk-sway-";

/// A test's folder.
pub(crate) struct Place {
    dir: TempDir,
    names: AtomicU32,
}

impl Place {
    pub(crate) fn new() -> Self {
        // Short, because sockets are made in it; as open as /tmp, because root's desktops are another user's.
        let dir = tempfile::Builder::new().prefix("pf-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        Self { dir, names: AtomicU32::new(0) }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A name in it that is not taken yet.
    pub(crate) fn name(&self, kind: &str) -> String {
        format!("{kind}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The runtime folders of desktops that are there.
    pub(crate) fn desktops(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder()).unwrap().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(DESKTOP_PREFIX))
            .map(|entry| entry.path())
            .collect()
    }

    /// Panics unless, within `patience`, no process and no desktop of this test is left.
    pub(crate) fn assert_empty(&self, patience: Duration) {
        let mut left = (Vec::new(), Vec::new());
        let empty = look_for(patience, || {
            left = (processes_of(self.folder()), self.desktops());
            (left.0.is_empty() && left.1.is_empty()).then_some(())
        });
        assert!(
            empty.is_some(),
            "left behind after {patience:?}: processes {:?}, folders {:?}",
            left.0,
            left.1
        );
    }
}

/// The living processes with `folder` somewhere in their environment: id and name.
pub(crate) fn processes_of(folder: &Path) -> Vec<String> {
    let wanted = folder.as_os_str().as_encoded_bytes();
    let belongs = |environ: &[u8]| environ.windows(wanted.len()).any(|part| part == wanted);
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| fs::read(entry.path().join("environ")).is_ok_and(|environ| belongs(&environ)))
        .map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            format!("{} {}", entry.file_name().to_string_lossy(), name.trim())
        })
        .collect()
}
