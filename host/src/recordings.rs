//! Recordings that the console begins: folders of PUNKTFUNK_PERF logs beside the identity, and in each a folder for
//! each session that begins while it runs, as a report draws one session's.
//!
//! Promises: a name is this host's own, by its clock; there are [`RECORDINGS_MAX`] at most, the oldest goes for a new
//! one, and each ends by itself before it is large. Refuses a second one at a time, and any where `PUNKTFUNK_PERF` records
//! already.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use punktfunk_manage::model::Recording;
use punktfunk_manage::{Refused, Why};
use punktfunk_perf::PerfTarget;

/// What is kept.
const RECORDINGS_MAX: usize = 16;

/// When one ends by itself: days of one session, and with all of them 1 GiB.
const RECORDING_BYTES_MAX: u64 = 64 << 20;

/// Logs of one: sessions that begin later are not in it.
const LOGS_MAX: usize = 256;

/// How often it is looked how large one has become.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What their names begin with.
const PREFIX: &str = "recording-";

/// What the names of their sessions' folders begin with, before a number from 1.
const SESSION_PREFIX: &str = "session-";

/// The one that runs, and those that there are.
pub struct Recordings {
    folder: PathBuf,
    running: Option<Running>,
    /// Whether `PUNKTFUNK_PERF` has the logs.
    is_taken: bool,
}

struct Running {
    name: String,
    logs: usize,
    looked_at: Instant,
}

impl Recordings {
    /// Those in this folder, which need not be there yet.
    pub fn new(folder: PathBuf, is_taken: bool) -> Self {
        Self { folder, running: None, is_taken }
    }

    /// All of them, the newest first.
    pub fn all(&self) -> Vec<Recording> {
        let mut names = names(&self.folder);
        names.reverse();
        names.into_iter().map(|name| self.shown(name)).collect()
    }

    /// Begins one, for sessions that begin from now on.
    ///
    /// # Errors
    /// One runs, or its folder cannot be made.
    pub fn start(&mut self, now: Instant) -> Result<Recording, Refused> {
        if self.is_taken {
            let why = "PUNKTFUNK_PERF records every session already";
            return Err(Refused::new(Why::Conflict, why, "start the host without it"));
        }
        if let Some(running) = &self.running {
            let why = format!("{} is being recorded", running.name);
            return Err(Refused::new(Why::Conflict, why, "stop it first"));
        }
        let failed = |error: io::Error| {
            let why = format!("{}: {error}", self.folder.display());
            Refused::new(Why::Failed, why, "look at the folder's rights and at the disk")
        };
        let mut known = names(&self.folder);
        while known.len() >= RECORDINGS_MAX {
            let oldest = known.remove(0);
            fs::remove_dir_all(self.folder.join(&oldest)).map_err(failed)?;
            tracing::info!(oldest, most = RECORDINGS_MAX, "the oldest recording goes for a new one");
        }
        let name = new_name(&known, SystemTime::now());
        let folder = self.folder.join(&name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        self.running = Some(Running { name: name.clone(), logs: 0, looked_at: now });
        Ok(self.shown(name))
    }

    /// Ends the one that runs: the sessions' logs are to be ended by whoever has them, before.
    ///
    /// # Errors
    /// None runs.
    pub fn stop(&mut self) -> Result<Recording, Refused> {
        let running = self.running.take();
        let none = || Refused::new(Why::Conflict, "nothing is being recorded", "start a recording first");
        running.map(|running| self.shown(running.name)).ok_or_else(none)
    }

    /// Where a session that begins now has its log.
    pub fn next_log(&mut self) -> Option<PerfTarget> {
        let running = self.running.as_mut()?;
        if running.logs >= LOGS_MAX {
            tracing::warn!(recording = running.name, most = LOGS_MAX, "a session is not recorded");
            return None;
        }
        let folder = self.folder.join(&running.name).join(format!("{SESSION_PREFIX}{}", running.logs + 1));
        if let Err(error) = DirBuilder::new().mode(0o700).create(&folder) {
            tracing::error!(folder = %folder.display(), %error, "a session is not recorded");
            return None;
        }
        running.logs += 1;
        // Not by its text, in which a comma would be read.
        Some(PerfTarget::at(folder))
    }

    /// Whether the one that runs has become so large that it is to be stopped.
    pub fn is_full(&mut self, now: Instant) -> bool {
        let Some(running) = &mut self.running else { return false };
        if now.saturating_duration_since(running.looked_at) < LOOK_INTERVAL {
            return false;
        }
        running.looked_at = now;
        let sessions = sessions(&self.folder.join(&running.name));
        sessions.iter().map(|session| bytes(session)).sum::<u64>() >= RECORDING_BYTES_MAX
    }

    fn shown(&self, name: String) -> Recording {
        let running = self.running.as_ref().is_some_and(|running| running.name == name);
        let folder = self.folder.join(&name);
        let sessions = sessions(&folder);
        Recording {
            bytes: sessions.iter().map(|session| bytes(session)).sum(),
            sessions: u32::try_from(sessions.len()).unwrap_or(u32::MAX),
            path: folder.display().to_string(),
            running,
            name,
        }
    }
}

/// By the clock, in UTC, and sorted as time is: after all that there are, whatever the clock has done since.
fn new_name(known: &[String], at: SystemTime) -> String {
    let at_ms = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let at_ms = u64::try_from(at_ms).unwrap_or(u64::MAX);
    let name = |ms: u64| format!("{PREFIX}{}", utc(ms));
    let newest = known.last();
    match newest.filter(|newest| name(at_ms) <= **newest) {
        None => name(at_ms),
        Some(newest) => format!("{newest}+"),
    }
}

/// Those that this host has made, the oldest first.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        entry.file_name().into_string().ok().filter(|name| is_folder && name.starts_with(PREFIX))
    });
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

/// The folders of a recording's sessions.
fn sessions(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sessions = entries.filter(|entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        is_folder && entry.file_name().to_string_lossy().starts_with(SESSION_PREFIX)
    });
    sessions.map(|entry| entry.path()).collect()
}

/// The bytes of the logs in it.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// A moment after 1970, in milliseconds, as `20261127T150405.678Z` (days to dates as in Howard Hinnant's `civil_from_days`).
fn utc(ms: u64) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years begin in March, so that a leap day is their last.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year_of_era, month + 3),
        _ => (era * 400 + year_of_era + 1, month - 9),
    };
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_their_dates() {
        for (seconds, text) in [
            (0, "19700101T000000.007Z"),
            (951_782_399, "20000228T235959.007Z"),
            (951_782_400, "20000229T000000.007Z"),
            (1_709_251_199, "20240229T235959.007Z"),
            (4_107_542_400, "21000301T000000.007Z"),
        ] {
            assert_eq!(utc(seconds * 1_000 + 7), text);
        }
    }

    #[test]
    fn one_at_a_time_and_the_oldest_goes() {
        let (place, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let folder = place.path().join("a,1");
        let mut recordings = Recordings::new(folder.clone(), false);
        assert!(recordings.all().is_empty() && recordings.next_log().is_none());
        assert_eq!(recordings.stop().unwrap_err().why, Why::Conflict);
        let mut made = Vec::new();
        for _ in 0..RECORDINGS_MAX + 2 {
            let begun = recordings.start(now).unwrap();
            assert!(begun.running && begun.bytes == 0);
            assert_eq!(recordings.start(now).unwrap_err().why, Why::Conflict);
            let logs: Vec<_> = (0..3).filter_map(|_| recordings.next_log()).collect();
            for (log, name) in logs.iter().zip(["session-1", "session-2", "session-3"]) {
                assert_eq!(log.directory(), folder.join(&begun.name).join(name));
                fs::write(log.directory().join("perf-host.hlog"), b"12345").unwrap();
            }
            let ended = recordings.stop().unwrap();
            assert_eq!((ended.running, ended.bytes, &ended.name), (false, 15, &begun.name));
            assert_eq!((ended.sessions, Path::new(&ended.path)), (3, &*folder.join(&begun.name)));
            made.push(begun.name);
        }
        assert!(made.is_sorted(), "{made:?}");
        let future = vec![format!("{PREFIX}99991231T235959.999Z")];
        assert!(new_name(&future, SystemTime::now()) > future[0]);
        let all: Vec<_> = recordings.all().into_iter().map(|recording| recording.name).collect();
        assert_eq!(all.len(), RECORDINGS_MAX, "{all:?}");
        assert!(!all.contains(&made[0]) && all.contains(&made[RECORDINGS_MAX + 1]), "{all:?}");
    }

    #[test]
    fn one_that_is_large_is_full_and_strange_folders_are_none() {
        let (place, now) = (tempfile::tempdir().unwrap(), Instant::now());
        fs::create_dir(place.path().join("photographs")).unwrap();
        let mut recordings = Recordings::new(place.path().to_owned(), false);
        recordings.start(now).unwrap();
        let session = recordings.next_log().unwrap();
        let log = fs::File::create(session.directory().join("perf-host.hlog")).unwrap();
        log.set_len(RECORDING_BYTES_MAX).unwrap();
        assert!(!recordings.is_full(now), "looked at a moment ago");
        assert!(recordings.is_full(now + LOOK_INTERVAL));
        assert_eq!(recordings.all().len(), 1);
        let taken = Recordings::new(place.path().to_owned(), true).start(now).unwrap_err();
        assert_eq!(taken.why, Why::Conflict);
    }
}
