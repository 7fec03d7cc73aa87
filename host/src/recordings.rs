//! Recordings that the console begins: folders of PUNKTFUNK_PERF logs beside the identity, and in each a folder for
//! each session that begins while it runs, as a report draws one session's.
//!
//! Promises: a name is this host's own, by its clock; there are [`RECORDINGS_MAX`] at most, the oldest goes for a new
//! one, and each ends by itself before it is large; what walks or clears folders is an errand. Refuses a second one at a
//! time, and any where `PUNKTFUNK_PERF` records already.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use punktfunk_manage::model::Recording;
use punktfunk_manage::{Refused, Reply, Why};
use punktfunk_perf::PerfTarget;

use crate::errands::Errands;

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
    shelf: Arc<Shelf>,
    /// When it was looked last how large the one that runs has become.
    looked_at: Option<Instant>,
}

/// What the loop and its errands share.
struct Shelf {
    folder: PathBuf,
    /// Whether `PUNKTFUNK_PERF` has the logs.
    is_taken: bool,
    /// Nobody holds the lock over more than the making of one folder.
    running: Mutex<Option<Running>>,
}

struct Running {
    name: String,
    logs: usize,
    is_full: bool,
}

impl Recordings {
    /// Those in this folder, which need not be there yet.
    pub fn new(folder: PathBuf, is_taken: bool) -> Self {
        Self { shelf: Arc::new(Shelf { folder, is_taken, running: Mutex::default() }), looked_at: None }
    }

    /// All of them, the newest first.
    pub fn all(&self, reply: Reply<Vec<Recording>>, errands: &mut Errands) {
        let shelf = Arc::clone(&self.shelf);
        errands.answer(reply, move || Ok(shelf.all()));
    }

    /// Begins one, for sessions that begin once it has; unless one runs, or its folder cannot be made.
    pub fn start(&self, reply: Reply<Recording>, errands: &mut Errands) {
        let shelf = Arc::clone(&self.shelf);
        errands.answer(reply, move || shelf.start());
    }

    /// Ends the one that runs: the sessions' logs are to be ended by whoever has them, before.
    pub fn stop(&self, reply: Reply<Recording>, errands: &mut Errands) {
        let shelf = Arc::clone(&self.shelf);
        match self.shelf.running().take() {
            Some(Running { name, .. }) => errands.answer(reply, move || Ok(shelf.shown(name))),
            None => {
                let remedy = "start a recording first";
                reply.answer(Err(Refused::new(Why::Conflict, "nothing is being recorded", remedy)));
            }
        }
    }

    /// Where a session that begins now has its log.
    pub fn next_log(&self) -> Option<PerfTarget> {
        let mut running = self.shelf.running();
        let running = running.as_mut()?;
        if running.logs >= LOGS_MAX {
            tracing::warn!(recording = running.name, most = LOGS_MAX, "a session is not recorded");
            return None;
        }
        let session = format!("{SESSION_PREFIX}{}", running.logs + 1);
        let folder = self.shelf.folder.join(&running.name).join(session);
        if let Err(error) = DirBuilder::new().mode(0o700).create(&folder) {
            tracing::error!(folder = %folder.display(), %error, "a session is not recorded");
            return None;
        }
        running.logs += 1;
        // Not by its text, in which a comma would be read.
        Some(PerfTarget::at(folder))
    }

    /// Ends the one that runs where it has become large; whether that is so. It is looked at now and then.
    pub fn end_full(&mut self, errands: &mut Errands, now: Instant) -> bool {
        let mut running = self.shelf.running();
        if let Some(full) = running.take_if(|running| running.is_full) {
            tracing::warn!(name = full.name, most = RECORDING_BYTES_MAX, "the recording is full and ends");
            return true;
        }
        let Some(Running { name, .. }) = &*running else {
            self.looked_at = None;
            return false;
        };
        if now.saturating_duration_since(*self.looked_at.get_or_insert(now)) >= LOOK_INTERVAL {
            self.looked_at = Some(now);
            let (shelf, name) = (Arc::clone(&self.shelf), name.clone());
            errands.spare(move || shelf.measure(&name));
        }
        false
    }
}

impl Shelf {
    /// What is there is whole whenever the lock is free, whatever became of who had it.
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Recording> {
        let mut names = names(&self.folder);
        names.reverse();
        names.into_iter().map(|name| self.shown(name)).collect()
    }

    fn start(&self) -> Result<Recording, Refused> {
        if self.is_taken {
            let why = "PUNKTFUNK_PERF records every session already";
            return Err(Refused::new(Why::Conflict, why, "start the host without it"));
        }
        // Nobody else starts one meanwhile: errands are done one after the other.
        if let Some(running) = &*self.running() {
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
        *self.running() = Some(Running { name: name.clone(), logs: 0, is_full: false });
        Ok(self.shown(name))
    }

    /// Notes whether the one of this name, if it still runs, has become large.
    fn measure(&self, name: &str) {
        let sessions = sessions(&self.folder.join(name));
        let is_full = sessions.iter().map(|session| bytes(session)).sum::<u64>() >= RECORDING_BYTES_MAX;
        if let Some(running) = self.running().as_mut().filter(|running| running.name == name) {
            running.is_full = is_full;
        }
    }

    fn shown(&self, name: String) -> Recording {
        let running = self.running().as_ref().is_some_and(|running| running.name == name);
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

    /// The answer that an errand finds.
    fn found<T: Send + 'static>(
        errands: &mut Errands,
        ask: impl FnOnce(Reply<T>, &mut Errands),
    ) -> Result<T, Refused> {
        let ((reply, mut waiting), asked) = (Reply::pair(), Instant::now());
        ask(reply, errands);
        loop {
            if let Some(answer) = waiting.poll() {
                return answer;
            }
            assert!(asked.elapsed() < Duration::from_secs(20), "no answer");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

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
        let (place, mut errands) = (tempfile::tempdir().unwrap(), Errands::default());
        let folder = place.path().join("a,1");
        let recordings = Recordings::new(folder.clone(), false);
        let mut all = || found(&mut errands, |reply, errands| recordings.all(reply, errands)).unwrap();
        assert!(all().is_empty() && recordings.next_log().is_none());
        let mut stop = || found(&mut errands, |reply, errands| recordings.stop(reply, errands));
        assert_eq!(stop().unwrap_err().why, Why::Conflict);
        let mut made = Vec::new();
        for _ in 0..RECORDINGS_MAX + 2 {
            let mut start = || found(&mut errands, |reply, errands| recordings.start(reply, errands));
            let begun = start().unwrap();
            assert!(begun.running && begun.bytes == 0);
            assert_eq!(start().unwrap_err().why, Why::Conflict);
            let logs: Vec<_> = (0..3).filter_map(|_| recordings.next_log()).collect();
            for (log, name) in logs.iter().zip(["session-1", "session-2", "session-3"]) {
                assert_eq!(log.directory(), folder.join(&begun.name).join(name));
                fs::write(log.directory().join("perf-host.hlog"), b"12345").unwrap();
            }
            let ended = found(&mut errands, |reply, errands| recordings.stop(reply, errands)).unwrap();
            assert_eq!((ended.running, ended.bytes, &ended.name), (false, 15, &begun.name));
            assert_eq!((ended.sessions, Path::new(&ended.path)), (3, &*folder.join(&begun.name)));
            made.push(begun.name);
        }
        assert!(made.is_sorted(), "{made:?}");
        let future = vec![format!("{PREFIX}99991231T235959.999Z")];
        assert!(new_name(&future, SystemTime::now()) > future[0]);
        let all = found(&mut errands, |reply, errands| recordings.all(reply, errands)).unwrap();
        let all: Vec<_> = all.into_iter().map(|recording| recording.name).collect();
        assert_eq!(all.len(), RECORDINGS_MAX, "{all:?}");
        assert!(!all.contains(&made[0]) && all.contains(&made[RECORDINGS_MAX + 1]), "{all:?}");
    }

    #[test]
    fn one_that_is_large_is_full_and_strange_folders_are_none() {
        let (place, now) = (tempfile::tempdir().unwrap(), Instant::now());
        fs::create_dir(place.path().join("photographs")).unwrap();
        let (mut recordings, mut errands) =
            (Recordings::new(place.path().to_owned(), false), Errands::default());
        found(&mut errands, |reply, errands| recordings.start(reply, errands)).unwrap();
        let session = recordings.next_log().unwrap();
        let log = fs::File::create(session.directory().join("perf-host.hlog")).unwrap();
        log.set_len(RECORDING_BYTES_MAX).unwrap();
        assert!(!recordings.end_full(&mut errands, now), "it has just begun");
        let all = found(&mut errands, |reply, errands| recordings.all(reply, errands)).unwrap();
        assert!(all.len() == 1 && all[0].running);
        assert!(!recordings.end_full(&mut errands, now), "nobody has looked yet");
        let looked = Instant::now();
        while !recordings.end_full(&mut errands, now + LOOK_INTERVAL) {
            assert!(looked.elapsed() < Duration::from_secs(20), "it is full");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(recordings.next_log().is_none(), "it has ended");
        let taken = Recordings::new(place.path().to_owned(), true);
        let refused = found(&mut errands, |reply, errands| taken.start(reply, errands)).unwrap_err();
        assert_eq!(refused.why, Why::Conflict);
    }
}
