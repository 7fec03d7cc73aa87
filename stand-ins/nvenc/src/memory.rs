//! An output buffer's memory: written by the encoder at any time, read by the caller only while it is locked.
//!
//! Promises: the caller's address is the same for the buffer's life, and reading there while the buffer is not locked ends
//! the process with SIGSEGV, as no real driver would, so that a test sees it. The encoder writes through a mapping of its own.

use std::io;
use std::ptr::{self, NonNull};

use punktfunk_nvenc::sys::NV_ENC_ERR_OUT_OF_MEMORY;

use crate::status::{Answer, Refused};

/// Two views of the same pages.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The encoder's.
    inner: NonNull<u8>,
    /// The caller's.
    outer: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mappings belong to no thread, and every access goes through the session's lock.
unsafe impl Send for Memory {}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Answer<Self> {
        let refused = |what: &str| {
            let error = io::Error::last_os_error();
            Refused::world(NV_ENC_ERR_OUT_OF_MEMORY, format!("{what} for {bytes} bytes of output: {error}"))
        };
        // SAFETY: the name is a C string, the flag is one of memfd_create's.
        let fd = unsafe { libc::memfd_create(c"punktfunk-bitstream".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return refused("memfd_create");
        }
        // SAFETY: the fd is this function's own.
        let is_long = unsafe { libc::ftruncate(fd, bytes as libc::off_t) } == 0;
        let inner = if is_long { map(fd, bytes, libc::PROT_READ | libc::PROT_WRITE) } else { None };
        let outer = if inner.is_some() { map(fd, bytes, libc::PROT_NONE) } else { None };
        // SAFETY: it is closed once; the mappings keep the memory.
        unsafe { libc::close(fd) };
        match (inner, outer) {
            (Some(inner), Some(outer)) => Ok(Self { inner, outer, bytes }),
            (Some(inner), None) => {
                // SAFETY: mapped above, and nobody has its address.
                unsafe { libc::munmap(inner.as_ptr().cast(), bytes) };
                refused("mmap")
            }
            (None, _) => refused("mmap"),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the caller may read while the buffer is locked.
    pub(crate) fn address(&self) -> *mut libc::c_void {
        self.outer.as_ptr().cast()
    }

    /// Puts bytes at `at`; false if they do not fit.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) -> bool {
        if at + bytes.len() > self.bytes {
            return false;
        }
        // SAFETY: the range is inside the mapping, which is writable; `bytes` is nobody's view of it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.inner.as_ptr().add(at), bytes.len()) };
        true
    }

    /// Opens the caller's view, or shuts it.
    pub(crate) fn open(&mut self, is_open: bool) {
        let protection = if is_open { libc::PROT_READ } else { libc::PROT_NONE };
        // SAFETY: the whole of a mapping of this object's.
        let done = unsafe { libc::mprotect(self.outer.as_ptr().cast(), self.bytes, protection) };
        assert_eq!(done, 0, "mprotect of our own mapping: {}", io::Error::last_os_error());
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for view in [self.inner, self.outer] {
            // SAFETY: mapped by `new`, unmapped once.
            unsafe { libc::munmap(view.as_ptr().cast(), self.bytes) };
        }
    }
}

fn map(fd: i32, bytes: usize, protection: i32) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping of an open fd; nothing existing is replaced.
    let at = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, 0) };
    if at == libc::MAP_FAILED { None } else { NonNull::new(at.cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_view_shows_what_was_written_while_it_is_open() {
        let mut memory = Memory::new(10_000).unwrap();
        let address = memory.address();
        assert!(memory.write(9_998, &[7, 8]));
        assert!(!memory.write(9_999, &[7, 8]), "past the end");
        memory.open(true);
        assert!(memory.write(0, &[9]), "the encoder writes on");
        // SAFETY: the view is open for reading.
        let seen = unsafe { std::slice::from_raw_parts(address.cast::<u8>(), 10_000) };
        assert_eq!((seen[0], &seen[9_998..]), (9, &[7, 8][..]));
        memory.open(false);
        memory.open(true);
        assert_eq!(memory.address(), address);
    }
}
