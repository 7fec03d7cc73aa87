//! The files of a producer's buffers, each mapped once.
//!
//! Promises: what is lent of a file lies within it. Refuses files that cannot be mapped so that nobody shortens them:
//! these are read by a call instead, which takes longer.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::limits::STREAM_BUFFERS_MAX;
use crate::mapping::Mapping;

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
            let made = Mapping::of(file).ok();
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
        let mut mappings = Mappings::default();
        for _ in 0..2 {
            assert_eq!(mappings.bytes(file.as_fd(), 0, 4), None);
        }
        assert!(mappings.has_said);
    }
}
