//! A timeline of DRM's, made here and looked at here; `Syncobjs` signals it in between.

#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

#[repr(C)]
struct Create {
    handle: u32,
    flags: u32,
}

#[repr(C)]
struct Handle {
    handle: u32,
    flags: u32,
    fd: i32,
    pad: u32,
}

#[repr(C)]
struct Points {
    handles: u64,
    points: u64,
    count: u32,
    flags: u32,
}

const CREATE: Opcode = opcode::read_write::<Create>(b'd', 0xbf);
const FD_OF: Opcode = opcode::read_write::<Handle>(b'd', 0xc1);
const QUERY: Opcode = opcode::read_write::<Points>(b'd', 0xcb);

pub struct Timeline {
    node: File,
    handle: u32,
    pub fd: OwnedFd,
}

impl Timeline {
    pub fn new(node: &Path) -> Self {
        let node = File::options().read(true).write(true).open(node).unwrap();
        let mut made = Create { handle: 0, flags: 0 };
        call::<CREATE, _>(&node, &mut made);
        let mut exported = Handle { handle: made.handle, flags: 0, fd: -1, pad: 0 };
        call::<FD_OF, _>(&node, &mut exported);
        assert!(exported.fd >= 0);
        // SAFETY: the kernel has just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(exported.fd) };
        assert!(fd.as_raw_fd() != node.as_raw_fd());
        Self { node, handle: made.handle, fd }
    }

    /// The last point that was signalled.
    pub fn point(&self) -> u64 {
        let (handle, mut point) = (self.handle, 0_u64);
        let handles = (&raw const handle).expose_provenance() as u64;
        let points = (&raw mut point).expose_provenance() as u64;
        call::<QUERY, _>(&self.node, &mut Points { handles, points, count: 1, flags: 0 });
        point
    }
}

fn call<const OPCODE: Opcode, T>(node: &File, value: &mut T) {
    // SAFETY: each number is called with the structure that it is of; what that points to outlives the call.
    unsafe { ioctl(node, Updater::<OPCODE, T>::new(value)) }.unwrap();
}
