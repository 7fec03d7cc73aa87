//! `PUNKTFUNK_PERF=DIR[,INTERVAL_S]`: where the logs go and how often they are written on.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::error::PerfError;
use crate::log::{HistogramLog, LogHeader};

/// The parsed value of `PUNKTFUNK_PERF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerfTarget {
    directory: PathBuf,
    interval: Duration,
}

impl PerfTarget {
    /// The variable's name.
    pub const VARIABLE: &'static str = "PUNKTFUNK_PERF";

    /// The interval unless another is named.
    pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);

    /// Parses `DIR[,INTERVAL_S]`. What follows the last comma is an interval if it is a number; a folder
    /// whose name ends so is written with the interval behind it.
    ///
    /// # Errors
    /// [`PerfError::Target`] for an empty folder, or an interval outside of 0.01 s to 3600 s.
    pub fn parse(value: &str) -> Result<PerfTarget, PerfError> {
        let refuse = |problem| PerfError::Target { value: value.to_owned(), problem };
        let (directory, interval) = match value.rsplit_once(',') {
            Some((directory, tail)) => match tail.trim().parse::<f64>() {
                Ok(seconds) if (0.01..=3600.0).contains(&seconds) => {
                    (directory, Duration::from_secs_f64(seconds))
                }
                Ok(_) => return Err(refuse("the interval is not between 0.01 and 3600 seconds")),
                Err(_) => return Err(refuse("what follows the comma is not a number of seconds")),
            },
            None => (value, PerfTarget::INTERVAL_DEFAULT),
        };
        if directory.trim().is_empty() {
            return Err(refuse("the folder is empty"));
        }
        Ok(PerfTarget { directory: PathBuf::from(directory), interval })
    }

    /// This folder, and the usual interval.
    pub fn at(directory: PathBuf) -> PerfTarget {
        PerfTarget { directory, interval: PerfTarget::INTERVAL_DEFAULT }
    }

    /// What the environment's `PUNKTFUNK_PERF` says; `None` when it is not set.
    ///
    /// # Errors
    /// [`PerfError::Target`] for a value that is none.
    pub fn from_env() -> Result<Option<PerfTarget>, PerfError> {
        PerfTarget::asked(env::var_os(PerfTarget::VARIABLE))
    }

    /// What this value of it says.
    ///
    /// # Errors
    /// [`PerfError::Target`] for a value that is none.
    pub fn asked(variable: Option<OsString>) -> Result<Option<PerfTarget>, PerfError> {
        variable.map(|value| PerfTarget::parse_os(&value)).transpose()
    }

    fn parse_os(value: &OsStr) -> Result<PerfTarget, PerfError> {
        let problem = "the value is not UTF-8";
        let refuse = || PerfError::Target { value: value.to_string_lossy().into_owned(), problem };
        PerfTarget::parse(value.to_str().ok_or_else(refuse)?)
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How often a log is written on.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Makes the folder if need be and opens `perf-ROLE.hlog` in it, over an older one.
    ///
    /// # Errors
    /// [`PerfError::Create`] when either cannot be made, [`PerfError::Write`] when the header cannot be
    /// written.
    pub fn open_log(
        &self,
        role: &str,
        header: &LogHeader<'_>,
    ) -> Result<HistogramLog<BufWriter<File>>, PerfError> {
        let create = |path: &Path, source| PerfError::Create { path: path.to_owned(), source };
        fs::create_dir_all(&self.directory).map_err(|source| create(&self.directory, source))?;
        let path = self.directory.join(format!("perf-{role}.hlog"));
        let file = File::create(&path).map_err(|source| create(&path, source))?;
        HistogramLog::new(BufWriter::new(file), header)
    }
}

impl FromStr for PerfTarget {
    type Err = PerfError;

    fn from_str(value: &str) -> Result<PerfTarget, PerfError> {
        PerfTarget::parse(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_and_without_an_interval() {
        let plain = PerfTarget::parse("out/perf").unwrap();
        assert_eq!((plain.directory(), plain.interval()), (Path::new("out/perf"), Duration::from_secs(1)));
        let timed: PerfTarget = "a,b,0.25".parse().unwrap();
        assert_eq!((timed.directory(), timed.interval()), (Path::new("a,b"), Duration::from_millis(250)));
    }

    #[test]
    fn a_value_that_is_no_text_is_told() {
        use std::os::unix::ffi::OsStrExt;
        let told =
            |value: &[u8]| PerfTarget::parse_os(OsStr::from_bytes(value)).map_err(|error| error.to_string());
        assert!(told(b"out\xff").unwrap_err().contains("not UTF-8"));
        assert_eq!(told(b"out").unwrap().directory(), Path::new("out"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, word) in [
            ("", "empty"),
            (",1", "empty"),
            ("out,", "number"),
            ("out,fast", "number"),
            ("out,0", "between"),
            ("out,-1", "between"),
            ("out,nan", "between"),
            ("out,inf", "between"),
            ("out,86400", "between"),
        ] {
            let error = PerfTarget::parse(value).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("PUNKTFUNK_PERF"), "{value:?}: {error}");
        }
    }
}
