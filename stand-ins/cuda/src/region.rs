//! Memory: mapped pages, and what is said to be in them.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;

/// Pages, mapped until the last who needs them is done.
#[derive(Debug)]
pub(crate) struct Pages {
    start: usize,
    bytes: usize,
}

impl Pages {
    /// Anonymous pages of zeros.
    pub(crate) fn anonymous(bytes: usize) -> io::Result<Arc<Self>> {
        Self::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    /// The first `bytes` of a file, shared with all who have it.
    pub(crate) fn shared(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<Arc<Self>> {
        Self::map(bytes, libc::MAP_SHARED, fd.as_raw_fd())
    }

    fn map(bytes: usize, flags: libc::c_int, fd: libc::c_int) -> io::Result<Arc<Self>> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the system's choice harms nobody.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Arc::new(Self { start: start as usize, bytes }))
    }

    pub(crate) fn start(&self) -> usize {
        self.start
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`; whoever needs an address in it holds this.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.bytes) };
    }
}

/// What an allocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The device's own.
    Device,
    /// The host's, pinned.
    Host,
    /// A mapping of an external memory of this handle.
    Mapped(usize),
}

/// An allocation.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    /// Held: a stream that still needs the memory when it is freed has it, and is told of its breach.
    pub(crate) _pages: Arc<Pages>,
    pub(crate) bytes: usize,
    pub(crate) kind: Kind,
    pub(crate) context: usize,
    /// Of all allocations ever, so that one at the same address is another.
    pub(crate) number: u64,
}
