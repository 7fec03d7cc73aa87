//! A producer's files, mapped where nobody can shorten them.
//!
//! Promises: a mapping lies within its file for as long as it lives, because the file is sealed against being
//! shortened, by its producer or by us; so no read of it can fault. Refuses files that cannot be sealed so: these
//! are read by a call instead, which takes longer.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::slice;

use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::limits::STREAM_BUFFERS_MAX;

/// The files of a stream's buffers.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    /// By descriptor; `None`: cannot be mapped.
    known: Vec<(RawFd, Option<Mapping>)>,
    /// Whether it was said that a file cannot be mapped.
    has_said: bool,
}

impl Mappings {
    /// The bytes of `file` from `offset` on, if they lie in a mapping.
    pub(super) fn bytes(&mut self, file: BorrowedFd<'_>, offset: u64, bytes: usize) -> Option<&[u8]> {
        let fd = file.as_raw_fd();
        if !self.known.iter().any(|(known, _)| *known == fd) {
            if self.known.len() >= STREAM_BUFFERS_MAX as usize {
                return None;
            }
            let made = Mapping::make(file);
            if made.is_none() && !std::mem::replace(&mut self.has_said, true) {
                tracing::info!("the producer's memory could be shortened; pictures are read by a call");
            }
            self.known.push((fd, made));
        }
        let mapping = self.known.iter().find(|(known, _)| *known == fd)?.1.as_ref()?;
        let start = usize::try_from(offset).ok()?;
        mapping.bytes().get(start..start.checked_add(bytes)?)
    }

    /// Lets go of all: a descriptor's number may be another file's from now on.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

/// A whole file, to be read.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn make(file: BorrowedFd<'_>) -> Option<Self> {
        // Fails where it is sealed so already, or cannot be; what counts is what is so afterwards.
        let _ = rustix::fs::fcntl_add_seals(file, SealFlags::SHRINK);
        if !rustix::fs::fcntl_get_seals(file).ok()?.contains(SealFlags::SHRINK) {
            return None;
        }
        let bytes = usize::try_from(rustix::fs::fstat(file).ok()?.st_size).ok().filter(|bytes| *bytes > 0)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists. `bytes` is not
        // zero and is the file's length, below which the seal keeps it from falling.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), bytes, ProtFlags::READ, MapFlags::SHARED, file, 0)
        };
        let start = NonNull::new(start.ok()?.cast::<u8>())?;
        Some(Self { start, bytes })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is the start of a live mapping of `bytes` bytes, readable and initialised, all of which
        // lie within the file. The producer may write to it, and is not to while the buffer is ours; one that does
        // spoils a picture that it could have spoiled anyway: pixels are copied out as plain bytes, and no decision
        // is taken on one.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length and is unmapped once; every borrow of it has
        // ended, since they borrow `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping of our own: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;
    use std::os::fd::AsFd;

    #[test]
    fn a_file_is_sealed_and_read_within_its_bounds() {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&file, 10_000).unwrap();
        rustix::io::pwrite(&file, b"last", 9_996).unwrap();
        let mut mappings = Mappings::default();
        assert_eq!(mappings.bytes(file.as_fd(), 9_996, 4), Some(b"last".as_slice()));
        assert!(rustix::fs::ftruncate(&file, 9_999).is_err(), "nobody shortens it any more");
        for (offset, bytes) in [(9_997, 4), (0, 10_001), (u64::MAX, 1), (1, usize::MAX)] {
            assert_eq!(mappings.bytes(file.as_fd(), offset, bytes), None);
        }
        rustix::io::pwrite(&file, b"next", 9_996).unwrap();
        assert_eq!(mappings.bytes(file.as_fd(), 9_996, 4), Some(b"next".as_slice()));
        mappings.clear();
        assert_eq!(mappings.bytes(file.as_fd(), 9_996, 4), Some(b"next".as_slice()));
    }

    #[test]
    fn a_file_that_can_be_shortened_is_not_mapped() {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 10_000).unwrap();
        let regular = tempfile::tempfile().unwrap();
        regular.set_len(10_000).unwrap();
        let empty =
            rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let mut mappings = Mappings::default();
        for file in [file.as_fd(), regular.as_fd(), empty.as_fd()] {
            for _ in 0..2 {
                assert_eq!(mappings.bytes(file, 0, 4), None);
            }
        }
    }
}
