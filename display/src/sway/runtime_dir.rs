//! The private folder of one desktop: its sockets, its configuration, its home.
//!
//! Promises: fresh, 0700, owned by the desktop's user, locked while this program lives, and removed on
//! drop. A folder whose lock nobody holds is what a killed program left; [`RuntimeDir::sweep`] removes
//! such ones with whatever still runs in them. The lock is `flock` on the folder itself: the kernel
//! gives it back whatever ends its holder, and it is in nobody's way.
//!
//! Root's desktop belongs to somebody else, who may put anything into the folder at any time. So its files
//! are reached through the open folder, never by a path, and no link in it is followed.
//!
//! Refuses: folders of other users, links, names that are taken, and paths too long for a socket.

use std::{
    ffi::CString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd},
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use super::{RunAs, processes};
use crate::{DisplayError, limits::RUNTIME_DIR_BYTES_MAX};

const PREFIX: &str = "punktfunk-sway-";

/// Names are made of the process and the time; a name that is taken is rarely taken twice.
const NAMES_TRIED_MAX: u32 = 8;

/// What is read of a file that the desktop wrote: an exit status has three digits.
const SHORT_BYTES_MAX: u64 = 64;

#[derive(Debug)]
pub(super) struct RuntimeDir {
    path: PathBuf,
    owner: Option<RunAs>,
    /// The folder, open and locked.
    folder: File,
}

impl RuntimeDir {
    pub(super) fn make(temp_dir: &Path, owner: Option<RunAs>) -> Result<Self, DisplayError> {
        let fail = |path: &Path, source| DisplayError::RuntimeDir { path: path.to_owned(), source };
        let temp_dir = temp_dir.canonicalize().map_err(|source| fail(temp_dir, source))?;
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for attempt in 0..NAMES_TRIED_MAX {
            let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
            let name = format!("{PREFIX}{}-{:x}{attempt}", process::id(), nanos.subsec_nanos());
            let path = temp_dir.join(name);
            if path.as_os_str().len() > RUNTIME_DIR_BYTES_MAX {
                return Err(DisplayError::RuntimeDirTooLong { path, bytes_max: RUNTIME_DIR_BYTES_MAX });
            }
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    last = error;
                    continue;
                }
                Err(error) => return Err(fail(&path, error)),
            }
            // Somebody's sweep may come between these lines; then the folder is theirs to remove.
            match lock(&path) {
                Ok(Some(folder)) => {
                    let dir = Self { path, owner, folder };
                    dir.give_to_owner(&dir.folder).map_err(|source| fail(&dir.path, source))?;
                    return Ok(dir);
                }
                Ok(None) => last = io::Error::from(io::ErrorKind::WouldBlock),
                Err(error) => last = error,
            }
        }
        Err(fail(&temp_dir.join(PREFIX), last))
    }

    /// Removes the folders that killed programs of this user left, and what still runs in them. What
    /// cannot be removed now is left for the next time: a start does not fail for it.
    pub(super) fn sweep(temp_dir: &Path, uid: u32) {
        let Ok(entries) = temp_dir.canonicalize().and_then(fs::read_dir) else { return };
        for entry in entries.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            let path = entry.path();
            let ours = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
            // The lock is held until the folder is gone.
            let Ok(Some(_lock)) = (if ours { lock(&path) } else { Ok(None) }) else { continue };
            let killed = processes::kill_all_in(&path);
            let removed = fs::remove_dir_all(&path);
            tracing::warn!(folder = %path.display(), killed, ?removed, "swept what a killed program left");
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file that belongs to the desktop's user. What has this name already, a link too, is an error.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), DisplayError> {
        let write = || {
            let mut file = self.open(name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
            file.write_all(text.as_bytes())?;
            self.give_to_owner(&file)
        };
        write().map_err(|source| DisplayError::RuntimeDir { path: self.path.join(name), source })
    }

    /// The first bytes of a file that the desktop may have written; `None` where there is none.
    pub(super) fn read_short(&self, name: &str) -> Option<String> {
        // A pipe in its place would make us wait for a writer.
        let file = self.open(name, libc::O_RDONLY | libc::O_NONBLOCK).ok()?;
        let mut text = String::new();
        file.take(SHORT_BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Opens a file in the folder itself, wherever its path leads by now.
    fn open(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        let name = CString::new(name)?;
        let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let mode: libc::c_uint = 0o600;
        // SAFETY: the descriptor is open as long as `folder` lives, and `name` ends with a zero byte and lives
        // until the call returns.
        let descriptor = unsafe { libc::openat(self.folder.as_raw_fd(), name.as_ptr(), flags, mode) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: openat has just made this descriptor, and nobody else has it.
        Ok(unsafe { File::from_raw_fd(descriptor) })
    }

    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        self.owner.map_or(Ok(()), |RunAs { uid, gid }| fchown(file, Some(uid), Some(gid)))
    }

    /// sway takes the first free `wayland-N`, and in a fresh folder only the first one is there.
    pub(super) fn wayland_socket(&self) -> Option<PathBuf> {
        fs::read_dir(&self.path).ok()?.flatten().find_map(|entry| {
            let named = entry.file_name().to_string_lossy().starts_with("wayland-");
            (named && entry.file_type().ok()?.is_socket()).then(|| entry.path())
        })
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Ok(()) => {}
            // The supervisor was first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(folder = %self.path.display(), %error, "runtime folder stays"),
        }
    }
}

/// The folder's lock, or `None` where somebody holds it. An error where it is not a folder (any more).
fn lock(path: &Path) -> io::Result<Option<File>> {
    let dir = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)?;
    match dir.try_lock() {
        Ok(()) if dir.metadata()?.nlink() > 0 => Ok(Some(dir)),
        Ok(()) => Err(io::Error::from(io::ErrorKind::NotFound)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn is_private_and_goes_with_its_owner() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::make(temp.path(), None).unwrap();
        let path = dir.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        dir.write("sway.conf", "x").unwrap();
        assert_eq!(dir.wayland_socket(), None);
        let other = RuntimeDir::make(temp.path(), None).unwrap();
        assert_ne!(other.path(), path);
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn a_sweep_takes_the_abandoned_and_leaves_the_living() {
        let temp = tempfile::tempdir().unwrap();
        let living = RuntimeDir::make(temp.path(), None).unwrap();
        let abandoned = temp.path().join(format!("{PREFIX}1-2"));
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("wayland-1"), "").unwrap();
        let stranger = temp.path().join("other");
        fs::create_dir(&stranger).unwrap();
        let link = temp.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(&stranger, &link).unwrap();
        RuntimeDir::sweep(temp.path(), processes::effective_uid());
        assert!(living.path().exists());
        assert!(!abandoned.exists());
        assert!(stranger.exists() && link.is_symlink());
        // A folder of another user is not ours to remove.
        fs::create_dir(&abandoned).unwrap();
        RuntimeDir::sweep(temp.path(), processes::effective_uid() + 1);
        assert!(abandoned.exists());
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::make(temp.path(), None).unwrap();
        let target = temp.path().join("precious");
        fs::write(&target, "precious").unwrap();
        let missing = temp.path().join("missing");
        for (name, target) in [("sway.conf", &target), ("clock.sh", &missing)] {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
            let error = dir.write(name, "x").unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(dir.read_short(name), None);
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(!missing.exists());
        // A folder put in the place of ours changes nothing for us: ours is the open one.
        let aside = temp.path().join("aside");
        fs::rename(dir.path(), &aside).unwrap();
        fs::create_dir(dir.path()).unwrap();
        dir.write("show.sh", "x").unwrap();
        assert_eq!(fs::read_to_string(aside.join("show.sh")).unwrap(), "x");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_belong_to_the_desktops_user() {
        if processes::effective_uid() != 0 {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "only root can give files away");
            eprintln!("not checked: only root can give files away");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::make(temp.path(), Some(RunAs::NOBODY)).unwrap();
        dir.write("sway.conf", "x").unwrap();
        for path in [dir.path().to_owned(), dir.path().join("sway.conf")] {
            let meta = fs::metadata(path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (RunAs::NOBODY.uid, RunAs::NOBODY.gid));
        }
    }

    #[test]
    fn what_the_desktop_wrote_is_read_in_part() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::make(temp.path(), None).unwrap();
        assert_eq!(dir.read_short("content.1"), None);
        fs::write(dir.path().join("content.1"), "9".repeat(1000)).unwrap();
        assert_eq!(dir.read_short("content.1").unwrap().len() as u64, SHORT_BYTES_MAX);
        let pipe = dir.path().join("content.2");
        assert!(process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(dir.read_short("content.2").as_deref(), Some(""));
    }

    #[test]
    fn names_a_bad_temporary_folder() {
        let error = RuntimeDir::make(Path::new("/no/such/folder"), None).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("a".repeat(100));
        fs::create_dir(&deep).unwrap();
        let error = RuntimeDir::make(&deep, None).unwrap_err();
        assert!(matches!(error, DisplayError::RuntimeDirTooLong { .. }), "{error}");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }
}
