//! A timeline semaphore that processes share: a file in memory of one page.
//!
//! At byte 0 the value (u64, little endian), at byte 8 a futex word. Who signals stores the value, bumps the word and
//! wakes; who waits reads the word, then the value, and sleeps on the word as it was.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The file's length.
pub const BYTES: usize = 4096;

/// A mapped semaphore.
#[derive(Debug)]
pub struct Timeline {
    start: NonNull<u8>,
}

// SAFETY: what is mapped is used by atomics alone.
unsafe impl Send for Timeline {}
// SAFETY: as above.
unsafe impl Sync for Timeline {}

impl Timeline {
    /// A new semaphore at 0: its file.
    ///
    /// # Errors
    /// The system has none.
    pub fn create() -> io::Result<OwnedFd> {
        // SAFETY: the name ends with a zero.
        let fd = unsafe { libc::memfd_create(c"timeline".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was opened just now, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), BYTES as libc::off_t) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(fd)
    }

    /// Maps the semaphore behind a file.
    ///
    /// # Errors
    /// It has another length, or cannot be mapped.
    pub fn map(fd: impl AsFd) -> io::Result<Self> {
        let fd = fd.as_fd();
        // SAFETY: zeros are a right `stat`, which the call fills.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, and the structure has room.
        if unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if stat.st_size != BYTES as libc::off_t {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} bytes", stat.st_size)));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the system's choice harms nobody.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), BYTES, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The value that it has reached.
    #[must_use]
    pub fn value(&self) -> u64 {
        u64::from_le(self.cell().load(Ordering::Acquire))
    }

    /// Sets the value.
    ///
    /// # Errors
    /// It has reached that value or a higher one: the one that it has.
    pub fn signal(&self, value: u64) -> Result<(), u64> {
        let had = u64::from_le(self.cell().fetch_max(value.to_le(), Ordering::AcqRel));
        self.word().fetch_add(1, Ordering::AcqRel);
        // SAFETY: the word is mapped; a wake reads nothing else.
        unsafe { libc::syscall(libc::SYS_futex, self.word().as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
        if had < value { Ok(()) } else { Err(had) }
    }

    /// Waits until it has reached `value`, at most until `until`; whether it has.
    #[must_use]
    pub fn wait(&self, value: u64, until: Option<Instant>) -> bool {
        loop {
            let word = self.word().load(Ordering::Acquire);
            if self.value() >= value {
                return true;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return false;
            }
            let left = left.map(|left| libc::timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let left = left.as_ref().map_or(ptr::null(), ptr::from_ref);
            // SAFETY: the word is mapped, and the time is null or stands until the call returns.
            unsafe { libc::syscall(libc::SYS_futex, self.word().as_ptr(), libc::FUTEX_WAIT, word, left) };
        }
    }

    fn cell(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped for as long as `self` lives, is aligned, and is used by atomics alone.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().cast()) }
    }

    fn word(&self) -> &AtomicU32 {
        // SAFETY: as above; byte 8 is within the page.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().wrapping_add(8).cast()) }
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `map`, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_wakes_who_waits_through_another_mapping() {
        let fd = Timeline::create().unwrap();
        let (here, there) = (Timeline::map(&fd).unwrap(), Timeline::map(&fd).unwrap());
        assert!(!here.wait(1, Some(Instant::now() + Duration::from_millis(5))));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| here.wait(3, Some(Instant::now() + Duration::from_secs(10))));
            there.signal(2).unwrap();
            there.signal(3).unwrap();
            assert!(waiting.join().unwrap());
        });
        assert_eq!(there.signal(3), Err(3), "it only grows");
        assert_eq!(here.value(), 3);
    }

    #[test]
    fn another_file_is_refused() {
        assert!(Timeline::map(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
