//! The machine and the host's settings, as the looks see them.
//!
//! Promises: whatever a look reads of the environment or of `/proc`, `/sys`, `/dev`, `/run` and `/etc`, it reads through
//! here, so that a test can show it another machine. Refuses to read more than a bound.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use punktfunk_settings::Config;

use crate::Announced;
use crate::limits::FILE_BYTES_MAX;

/// What the doctor looks at.
#[derive(Clone, Debug)]
pub struct View {
    /// Where `/proc`, `/sys` and the like are: `/`.
    pub root: PathBuf,
    /// The environment; what is not Unicode is none of ours.
    pub environment: HashMap<String, String>,
    /// What the host is told by its file and its variables; none where there is nothing that could tell it.
    pub told: Option<Config>,
    /// Where the host's identity is, and what belongs to it.
    pub folder: PathBuf,
    /// The host's UDP port.
    pub listen: SocketAddr,
    /// Where the console listens; `None` where it is not to.
    pub manage: Option<SocketAddr>,
    /// Whether this very program is the host, and holds these ports.
    pub is_host: bool,
    /// What became of the announcement, where this very program is the host.
    pub announced: Announced,
    /// Whether the host was built with PipeWire.
    pub has_pipewire: bool,
}

impl View {
    /// A variable that says something.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The folder that `XDG_RUNTIME_DIR` names.
    pub(crate) fn runtime_dir(&self) -> Option<&Path> {
        self.variable("XDG_RUNTIME_DIR").map(Path::new)
    }

    /// Where an absolute path of the machine is to be found.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text, without the white space at its ends.
    pub(crate) fn read(&self, path: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(self.path(path))?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The names in a folder, in order; none where it cannot be read.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine that has nothing but what `files` say.
    pub(crate) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, View) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let view = View {
            root: dir.path().to_owned(),
            environment: HashMap::new(),
            told: None,
            folder: dir.path().join("identity"),
            listen: "127.0.0.1:0".parse().unwrap(),
            manage: None,
            is_host: false,
            announced: Announced::default(),
            has_pipewire: true,
        };
        (dir, view)
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let (_dir, mut view) = machine(&[("/proc/x", " a\n")]);
        view.environment.insert("XDG_RUNTIME_DIR".into(), String::new());
        assert_eq!(view.runtime_dir(), None);
        assert_eq!(view.read("/proc/x").unwrap(), "a");
        assert_eq!(view.names("/proc"), ["x"]);
    }
}
