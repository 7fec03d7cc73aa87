//! Memory for a producer's buffers: dmabufs from `/dev/udmabuf` where there is one, else files in memory that are called
//! dmabufs. PipeWire hands on either without a look at it; only a GPU's driver would see the difference.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags};

/// `struct udmabuf_create` (`linux/udmabuf.h`).
#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

// SAFETY: the opcode is that of `UDMABUF_CREATE`, which reads a structure like this one and returns a descriptor.
unsafe impl Ioctl for Create {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::write::<Self>(b'u', 0x42)
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::from_mut(self).cast()
    }

    unsafe fn output_from_ptr(
        out: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: what the call returns is a descriptor that is ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(out) })
    }
}

/// Pages that a producer writes to.
pub struct Memory {
    pages: OwnedFd,
    /// What is handed on.
    pub shared: OwnedFd,
}

impl Memory {
    /// That is handed on as what it is.
    pub fn in_file(bytes: usize) -> Self {
        let pages = file(bytes.next_multiple_of(4096) as u64);
        Self { shared: pages.try_clone().unwrap(), pages }
    }

    pub fn dmabuf(bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(4096) as u64;
        let pages = file(bytes);
        let shared = match File::options().read(true).write(true).open("/dev/udmabuf") {
            Ok(device) => {
                let create =
                    Create { memfd: pages.as_raw_fd().cast_unsigned(), flags: 1, offset: 0, size: bytes };
                // SAFETY: `Create` is what this call takes.
                unsafe { ioctl(&device, create) }.unwrap()
            }
            Err(_) => pages.try_clone().unwrap(),
        };
        Self { pages, shared }
    }

    /// Writes a number where the picture begins.
    pub fn write(&self, number: u64) {
        self.fill(&number.to_ne_bytes());
    }

    /// Writes a picture, or the beginning of one.
    pub fn fill(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::pwrite(&self.pages, bytes, 0).unwrap(), bytes.len());
    }
}

/// A file in memory, which stays as long as it is.
pub fn file(bytes: u64) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("producer", flags).unwrap();
    rustix::fs::ftruncate(&file, bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
    file
}

/// The number that is written where memory begins, read as a dmabuf is.
pub fn read(memory: BorrowedFd<'_>) -> u64 {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), 4096, ProtFlags::READ, MapFlags::SHARED, memory.as_fd(), 0)
    }
    .unwrap();
    // SAFETY: a producer's memory has whole pages, of which this is the first; the mapping lives until the next line.
    let number = unsafe { start.cast::<u64>().read_volatile() };
    // SAFETY: made above with this length, and not used again.
    unsafe { rustix::mm::munmap(start, 4096) }.unwrap();
    number
}
