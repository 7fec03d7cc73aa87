//! The devices that this end trusts, in one file beside its identity.
//!
//! *What it is.* `devices.toml`: at a host the clients that may connect, at a client the hosts that it believes.
//!
//! *What it promises.* The file is written whole or not at all: into a file beside it, synced, then renamed over
//! it, readable by its owner only. A crash at any point leaves the old file as it was. Programs that share it take
//! turns, and each one's change is made to what the file holds then; [`Devices::poll_changed`] tells what others have
//! changed. *What it refuses.* A file that others may read, and a file that it cannot understand: it is named, and
//! never replaced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::limits::{DEVICES_BYTES_MAX, DEVICES_MAX, NAME_BYTES_MAX};
use crate::printable::printable;

/// The file's name in the identity's folder.
pub const DEVICES_FILE: &str = "devices.toml";

/// Under which the new file is written.
const NEW_FILE: &str = ".devices.toml.new";

/// Whose lock says that somebody changes the list.
const LOCK_FILE: &str = ".devices.lock";

/// How long another program's change may take.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// What the file begins with.
const HEAD: &str = "\
# Who is trusted here, by certificate. Taking an entry out withdraws that trust, at once where a program is running.
";

/// One device that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its certificate.
    pub fingerprint: Fingerprint,
    /// What a person calls it.
    pub name: String,
    /// When it was let in, in seconds since 1970 (UTC).
    pub paired_at: u64,
    /// When it was here last, in the same; `None` when never since.
    pub last_seen_at: Option<u64>,
}

/// Why the list cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    /// The file or its folder.
    #[error("cannot {verb} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Others may read or change who is trusted.
    #[error("{} may be read by others (mode {mode:03o}): run chmod 600 {}", .path.display(), .path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not what this program writes.
    #[error("{} is damaged: {what}; mend it, or move it away and pair anew", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another program has been changing it for too long.
    #[error("{} is held by another program for more than {} s", .path.display(), LOCK_WAIT.as_secs())]
    Busy {
        /// Whose lock.
        path: PathBuf,
    },
    /// There is no room for another one.
    #[error("{DEVICES_MAX} devices are trusted already: revoke one of them first")]
    Full,
}

/// Why it is not clear which device a person means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeantError {
    /// None of them.
    #[error("none that is trusted has the name {text:?}, or a fingerprint that begins so (8 digits or more)")]
    Nobody {
        /// What was given.
        text: String,
    },
    /// More than one.
    #[error("several are named {text:?}: give the beginning of the fingerprint, 8 digits or more")]
    Several {
        /// What was given.
        text: String,
    },
}

/// The list as the file holds it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    device: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fingerprint: String,
    name: String,
    paired_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_at: Option<u64>,
}

/// What tells one version of the file from another. The file is never changed in place by us, so its number differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// How far a change has come; for tests that end the program there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Locked,
    Cleared,
    Made,
    HalfWritten,
    Written,
    Synced,
    Renamed,
}

/// The devices that are trusted.
#[derive(Debug)]
pub struct Devices {
    folder: PathBuf,
    devices: Vec<Device>,
    version: Option<Version>,
}

impl Devices {
    /// Reads the list in `folder`, which the identity has made; one that is not there is empty.
    ///
    /// # Errors
    /// When it cannot be read, others may read it, or it is damaged.
    pub fn load(folder: &Path) -> Result<Self, DevicesError> {
        let (devices, version) = read(&folder.join(DEVICES_FILE))?;
        Ok(Self { folder: folder.to_owned(), devices, version })
    }

    /// All that are trusted, in the order in which they came.
    pub fn all(&self) -> &[Device] {
        &self.devices
    }

    /// Their certificates.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.devices.iter().map(|device| device.fingerprint).collect()
    }

    /// The one with this certificate.
    pub fn find(&self, fingerprint: &Fingerprint) -> Option<&Device> {
        self.devices.iter().find(|device| device.fingerprint == *fingerprint)
    }

    /// The one that a person means: by its name, or by the beginning of its fingerprint, at least 8 digits of it.
    ///
    /// # Errors
    /// When it is none of them, or may be several.
    pub fn meant_by(&self, text: &str) -> Result<&Device, MeantError> {
        let is_meant = |device: &&Device| {
            let digits = text.len() >= 8 && device.fingerprint.to_string().starts_with(&text.to_lowercase());
            digits || device.name == text
        };
        let mut meant = self.devices.iter().filter(is_meant);
        let text = || printable(text);
        let first = meant.next().ok_or_else(|| MeantError::Nobody { text: text() })?;
        if meant.next().is_some() { Err(MeantError::Several { text: text() }) } else { Ok(first) }
    }

    /// Trusts a device from now on. One that is trusted already gets the new name.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn add(&mut self, fingerprint: Fingerprint, name: &str, now_s: u64) -> Result<(), DevicesError> {
        let name = fit(name);
        self.change(|devices| {
            devices.retain(|device| device.fingerprint != fingerprint);
            if devices.len() >= DEVICES_MAX {
                return Err(DevicesError::Full);
            }
            devices.push(Device { fingerprint, name, paired_at: now_s, last_seen_at: None });
            Ok(true)
        })
        .map(drop)
    }

    /// Withdraws a device's trust; whether it had it.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn remove(&mut self, fingerprint: &Fingerprint) -> Result<bool, DevicesError> {
        self.change(|devices| {
            let before = devices.len();
            devices.retain(|device| device.fingerprint != *fingerprint);
            Ok(devices.len() != before)
        })
    }

    /// Gives a device another name; whether it is known.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn rename(&mut self, fingerprint: &Fingerprint, name: &str) -> Result<bool, DevicesError> {
        self.alter(fingerprint, |device| device.name = fit(name))
    }

    /// Notes that a device is here; whether it is known.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn note_seen(&mut self, fingerprint: &Fingerprint, now_s: u64) -> Result<bool, DevicesError> {
        self.alter(fingerprint, |device| device.last_seen_at = Some(now_s))
    }

    /// Whether another program has changed the file, which has then been read anew. Asks the kernel for the file's
    /// version, and for nothing else where that has not changed.
    ///
    /// # Errors
    /// When the new file cannot be read; the list stays what it was.
    pub fn poll_changed(&mut self) -> Result<bool, DevicesError> {
        let path = self.folder.join(DEVICES_FILE);
        let version = match fs::metadata(&path) {
            Ok(metadata) => Some(Version::of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("look at", &path)(error)),
        };
        if version == self.version {
            return Ok(false);
        }
        let (devices, version) = read(&path)?;
        self.version = version;
        Ok(std::mem::replace(&mut self.devices, devices) != self.devices)
    }

    fn alter(
        &mut self,
        fingerprint: &Fingerprint,
        alter: impl FnOnce(&mut Device),
    ) -> Result<bool, DevicesError> {
        self.change(|devices| {
            let device = devices.iter_mut().find(|device| device.fingerprint == *fingerprint);
            Ok(device.map(alter).is_some())
        })
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut Vec<Device>) -> Result<bool, DevicesError>,
    ) -> Result<bool, DevicesError> {
        self.change_by(change, |_| {})
    }

    /// Changes what the file holds *now*, whoever wrote it; `change` says whether there is anything to write.
    fn change_by(
        &mut self,
        change: impl FnOnce(&mut Vec<Device>) -> Result<bool, DevicesError>,
        mut reached: impl FnMut(Step),
    ) -> Result<bool, DevicesError> {
        let path = self.folder.join(DEVICES_FILE);
        let _lock = lock(&self.folder.join(LOCK_FILE))?;
        reached(Step::Locked);
        let (mut devices, version) = read(&path)?;
        let is_changed = change(&mut devices)?;
        if is_changed {
            write(&self.folder, &path, &text_of(&devices), &mut reached)?;
        }
        // What was written is read again: the list is what the file says, and its version is known.
        (self.devices, self.version) = if is_changed { read(&path)? } else { (devices, version) };
        Ok(is_changed)
    }
}

impl Version {
    fn of(metadata: &fs::Metadata) -> Self {
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Self { inode: metadata.ino(), length: metadata.len(), changed }
    }
}

/// Seconds since 1970, by this machine's calendar.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A name as it may be kept and shown.
fn fit(name: &str) -> String {
    let name = printable(name.trim());
    let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    if name.is_empty() { "a device without a name".to_owned() } else { name.to_owned() }
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DevicesError + use<> {
    let path = path.to_owned();
    move |error| DevicesError::Io { verb, path, error }
}

fn read(path: &Path) -> Result<(Vec<Device>, Option<Version>), DevicesError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    let metadata = file.metadata().map_err(io_error("look at", path))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DevicesError::Permissions { path: path.to_owned(), mode });
    }
    let damaged = |what: String| DevicesError::Damaged { path: path.to_owned(), what };
    if !metadata.is_file() || metadata.len() > DEVICES_BYTES_MAX {
        return Err(damaged(format!("it is no file of at most {DEVICES_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    match file.take(DEVICES_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => Ok((parse(&text).map_err(damaged)?, Some(Version::of(&metadata)))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damaged(error.to_string())),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

fn parse(text: &str) -> Result<Vec<Device>, String> {
    let form: Form = toml::from_str(text).map_err(|error| printable(error.to_string().trim()))?;
    if form.device.len() > DEVICES_MAX {
        return Err(format!("it has more than {DEVICES_MAX} devices"));
    }
    let mut devices: Vec<Device> = Vec::with_capacity(form.device.len());
    for (index, Entry { fingerprint, name, paired_at, last_seen_at }) in form.device.into_iter().enumerate() {
        let fingerprint: Fingerprint =
            fingerprint.parse().map_err(|error| format!("in device {}, {error}", index + 1))?;
        if devices.iter().any(|device| device.fingerprint == fingerprint) {
            return Err(format!("device {} is there twice", index + 1));
        }
        devices.push(Device { fingerprint, name: fit(&name), paired_at, last_seen_at });
    }
    Ok(devices)
}

fn text_of(devices: &[Device]) -> String {
    let entry = |device: &Device| Entry {
        fingerprint: device.fingerprint.to_string(),
        name: device.name.clone(),
        paired_at: device.paired_at,
        last_seen_at: device.last_seen_at,
    };
    let form = Form { device: devices.iter().map(entry).collect() };
    let text = toml::to_string(&form).expect("texts and small numbers have a form in TOML");
    format!("{HEAD}\n{text}")
}

/// Waits its turn; the lock is gone when the file is closed, however the program ends.
fn lock(path: &Path) -> Result<File, DevicesError> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(path).map_err(io_error("open", path))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WAIT => {
                // Nobody wakes this thread: a pause between two tries.
                thread::park_timeout(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(DevicesError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io_error("lock", path)(error)),
        }
    }
}

fn write(folder: &Path, path: &Path, text: &str, reached: &mut impl FnMut(Step)) -> Result<(), DevicesError> {
    let new = folder.join(NEW_FILE);
    match fs::remove_file(&new) {
        // Somebody's crash; whoever holds the lock may take it away.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("remove", &new)(error)),
    }
    reached(Step::Cleared);
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(&new);
    let mut file = made.map_err(io_error("make", &new))?;
    reached(Step::Made);
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    file.write_all(first).map_err(io_error("write", &new))?;
    reached(Step::HalfWritten);
    file.write_all(second).map_err(io_error("write", &new))?;
    reached(Step::Written);
    file.sync_all().map_err(io_error("sync", &new))?;
    reached(Step::Synced);
    fs::rename(&new, path).map_err(io_error("replace", path))?;
    reached(Step::Renamed);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync", folder))
}

#[cfg(test)]
mod tests;
