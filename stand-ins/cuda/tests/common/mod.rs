//! What the tests of the stand-in, and of the room that speaks to it, begin with.

#![allow(dead_code, unsafe_code, clippy::unwrap_used)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use punktfunk_cuda::{Context, Cuda, CudaError, Priority, Stream};
use stand_in_common::Loaded;

pub fn loaded() -> Loaded {
    Loaded::new(&["stand-in-cuda"])
}

/// A context and a stream of the first device.
pub fn begin() -> Result<(Context, Stream), CudaError> {
    let device = Cuda::load()?.devices()?.into_iter().next().expect("the stand-in has a device");
    let context = device.context()?;
    let stream = Stream::new(&context, Priority::Highest)?;
    Ok((context, stream))
}

/// A file in memory.
pub fn memory_file(bytes: usize) -> OwnedFd {
    // SAFETY: the name ends with a zero, and the descriptor is new.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"memory".as_ptr(), libc::MFD_CLOEXEC)) };
    // SAFETY: the descriptor is open.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), bytes.try_into().unwrap()) }, 0);
    fd
}

pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
