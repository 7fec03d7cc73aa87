//! Why there is no plan to run, and the checks that say so.
//!
//! Every refusal names the key, what came and what is allowed; [`PlanError::in_file`] adds which file it stands in.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use punktfunk_proto::LimitError;
use punktfunk_seal::SealError;

use crate::link::trace::TraceError;

/// Why there is no plan to run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no text, or longer than any plan.
    #[error("cannot read {path}: expected a text file of at most {bytes_max} bytes, got {got}")]
    NoText {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        bytes_max: u64,
        /// What it is instead.
        got: String,
    },
    /// What is said of a file is wrong.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<PlanError>,
    },
    /// The text is no plan: where, what was expected and what came.
    #[error("no plan: {0}")]
    Toml(#[from] toml::de::Error),
    /// The text is no trace.
    #[error("{path} is no trace: {source}")]
    Trace {
        /// The file.
        path: PathBuf,
        /// Where, what was expected and what came.
        source: TraceError,
    },
    /// A value is out of its range.
    #[error("{key} must be {expected}, got {got}")]
    Value {
        /// The plan's key.
        key: String,
        /// What it must be.
        expected: String,
        /// What came.
        got: String,
    },
    /// The session's limits do not allow it.
    #[error("no session can be like this: {0}")]
    Limits(#[from] LimitError),
    /// The channel passes nothing of a whole key epoch, so that no session gets beyond it.
    #[error("the plan ends at access unit {au}: {source}; send fewer datagrams, or lose less")]
    KeyExhausted {
        /// The AU that cannot be sent.
        au: u32,
        /// Which epoch.
        source: SealError,
    },
}

impl PlanError {
    /// The same, said of a file.
    pub fn in_file(self, path: &Path) -> PlanError {
        PlanError::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}

/// Refuses a value outside `min..=max`.
pub fn within(key: &str, min: u64, max: u64, got: u64) -> Result<(), PlanError> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    Err(PlanError::Value { key: key.to_owned(), expected: format!("{min} to {max}"), got: got.to_string() })
}

/// A regular file's text, if it has no more than `bytes_max` bytes: a device or a pipe could go on for ever.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, PlanError> {
    let failed = |source| PlanError::Read { path: path.to_owned(), source };
    let refused = |got: String| PlanError::NoText { path: path.to_owned(), bytes_max, got };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(refused("something that is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(refused("more".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| refused(error.to_string()))
}
