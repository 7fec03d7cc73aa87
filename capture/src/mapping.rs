//! Files in memory that pictures lie in, mapped where nobody can shorten them.
//!
//! What is it: a mapping of a whole file, one that a producer shares with us ([`Mapping`]) or one of our own that we
//! write to as well ([`OwnMemory`]). What does it promise: it lies within its file for as long as it lives, because the
//! file is sealed against being shortened; so no read of it can fault. What does it refuse: files that cannot be sealed so,
//! and empty ones.

use std::os::fd::AsFd;
#[cfg(feature = "pipewire")]
use std::os::fd::BorrowedFd;
#[cfg(feature = "wayland")]
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::slice;

#[cfg(any(feature = "wayland", test))]
use rustix::fs::MemfdFlags;
use rustix::fs::SealFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

/// A whole file, to be read.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone within this process and is not tied to a thread; access follows the
// borrows of `self`.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference the memory can only be read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Another process' file, sealed by it or else by us.
    #[cfg(feature = "pipewire")]
    pub(crate) fn of(file: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        // Fails where it is sealed so already, or cannot be; what counts is what is so afterwards.
        let _ = rustix::fs::fcntl_add_seals(file, SealFlags::SHRINK);
        Self::make(file, ProtFlags::READ, MapFlags::SHARED)
    }

    /// All of `file`, if it is sealed against being shortened.
    fn make(file: impl AsFd, access: ProtFlags, flags: MapFlags) -> rustix::io::Result<Self> {
        if !rustix::fs::fcntl_get_seals(&file)?.contains(SealFlags::SHRINK) {
            return Err(Errno::PERM);
        }
        // Read after the seal is there: the file has at least so many bytes from now on.
        let bytes = usize::try_from(rustix::fs::fstat(&file)?.st_size).map_err(|_| Errno::OVERFLOW)?;
        if bytes == 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists. `bytes` is not zero
        // and is the file's length, below which the seal keeps it from falling.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, access, flags, &file, 0) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, bytes })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is the start of a live mapping of `bytes` bytes, readable and initialised (a file in memory is
        // zeroed), all of which lie within the file. The other process may write to it, and is not to while the picture
        // is ours; one that does spoils a picture that it could have spoiled anyway: pixels are copied out as plain
        // bytes, and no decision is taken on one.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length and is unmapped once; every borrow of it has ended,
        // since they borrow `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping of our own: {unmapped:?}");
    }
}

/// Memory of our own that another process is shown, and writes to when it is asked to.
#[cfg(feature = "wayland")]
#[derive(Debug)]
pub(crate) struct OwnMemory(Mapping);

#[cfg(feature = "wayland")]
impl OwnMemory {
    /// So many bytes, and the file by which another process is shown them.
    pub(crate) fn make(bytes: usize) -> rustix::io::Result<(OwnedFd, Self)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("punktfunk-capture", flags)?;
        rustix::fs::ftruncate(&file, bytes as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // Faulted in now, not under the first picture.
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        let mapping = Mapping::make(&file, ProtFlags::READ | ProtFlags::WRITE, flags)?;
        Ok((file, Self(mapping)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `Mapping::bytes`; besides, `make` is the only one to make this type, with a mapping that can be
        // written to, and `&mut self` makes it the only borrow in this process.
        unsafe { slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "wayland")]
    #[test]
    fn memory_of_our_own_is_as_long_as_asked_for_and_stays_so() {
        let (file, mut memory) = OwnMemory::make(5000).unwrap();
        assert_eq!(memory.bytes(), [0; 5000]);
        memory.bytes_mut()[4999] = 7;
        let mut byte = [0];
        rustix::io::pread(&file, &mut byte, 4999).unwrap();
        assert_eq!(byte, [7]);
        rustix::io::pwrite(&file, &[9], 0).unwrap();
        assert_eq!(memory.bytes()[0], 9);
        for bytes in [4999, 5001] {
            assert!(rustix::fs::ftruncate(&file, bytes).is_err(), "its length is sealed");
        }
        assert_eq!(OwnMemory::make(0).unwrap_err(), Errno::INVAL);
    }

    #[cfg(feature = "pipewire")]
    #[test]
    fn a_file_that_can_be_shortened_or_is_empty_is_refused() {
        let memory = |flags| rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | flags).unwrap();
        let unsealable = memory(MemfdFlags::empty());
        rustix::fs::ftruncate(&unsealable, 10_000).unwrap();
        let regular = tempfile::tempfile().unwrap();
        regular.set_len(10_000).unwrap();
        let empty = memory(MemfdFlags::ALLOW_SEALING);
        for file in [unsealable.as_fd(), regular.as_fd(), empty.as_fd()] {
            for _ in 0..2 {
                assert!(Mapping::of(file).is_err());
            }
        }
    }
}
