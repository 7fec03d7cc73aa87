//! Timelines of DRM's, signalled on the CPU (Linux, `include/uapi/drm/drm.h`).
//!
//! What is it: a node of DRM's to speak through; a timeline's descriptor means the same to every one of them, whichever
//! GPU's it is. What does it promise: no handle outlives its call. What does it refuse: nodes that know no timelines.
//!
//! A point that a GPU has signalled before is signalled once more without harm: a timeline's value does not fall.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::ioctl::{self, Opcode, Updater, opcode};

use super::Timelines;

/// Where nodes are.
const NODES: &str = "/dev/dri";

/// `struct drm_get_cap`.
#[repr(C)]
struct Capability {
    kind: u64,
    value: u64,
}

/// `struct drm_syncobj_handle`, up to its first version's end.
#[repr(C)]
struct Handle {
    handle: u32,
    flags: u32,
    fd: i32,
    pad: u32,
}

/// `struct drm_syncobj_timeline_array`.
#[repr(C)]
struct Points {
    handles: u64,
    points: u64,
    count: u32,
    flags: u32,
}

/// `struct drm_syncobj_destroy`.
#[repr(C)]
struct Destroy {
    handle: u32,
    pad: u32,
}

const CAPABILITY: Opcode = opcode::read_write::<Capability>(b'd', 0x0c);
const DESTROY: Opcode = opcode::read_write::<Destroy>(b'd', 0xc0);
const HANDLE_OF: Opcode = opcode::read_write::<Handle>(b'd', 0xc2);
const SIGNAL: Opcode = opcode::read_write::<Points>(b'd', 0xcd);

/// `DRM_CAP_SYNCOBJ_TIMELINE`.
const HAS_TIMELINES: u64 = 0x14;

/// A node of DRM's.
#[derive(Debug)]
pub struct DrmTimelines {
    node: File,
    path: PathBuf,
}

impl DrmTimelines {
    /// By the first node that is open to us and knows timelines.
    ///
    /// # Errors
    /// What the last of them said, or that there is none.
    pub fn open() -> io::Result<Self> {
        let mut paths: Vec<_> =
            std::fs::read_dir(NODES)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| is_render_node(path));
        paths.sort();
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for path in paths {
            match Self::open_node(&path) {
                Ok(opened) => return Ok(opened),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// By this node.
    ///
    /// # Errors
    /// It cannot be opened, or knows no timelines.
    pub fn open_node(path: &Path) -> io::Result<Self> {
        let node = OpenOptions::new().read(true).write(true).open(path)?;
        let mut capability = Capability { kind: HAS_TIMELINES, value: 0 };
        call::<CAPABILITY, _>(&node, &mut capability)?;
        if capability.value == 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "its driver knows no timelines"));
        }
        Ok(Self { node, path: path.to_owned() })
    }

    /// The node.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn is_render_node(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD"))
}

impl Timelines for DrmTimelines {
    fn signal(&self, syncobj: BorrowedFd<'_>, point: u64) -> io::Result<()> {
        let mut known = Handle { handle: 0, flags: 0, fd: syncobj.as_raw_fd(), pad: 0 };
        call::<HANDLE_OF, _>(&self.node, &mut known)?;
        let (handle, point) = (known.handle, point);
        let address = |word: *const u8| word.expose_provenance() as u64;
        let handles = address((&raw const handle).cast());
        let mut points = Points { handles, points: address((&raw const point).cast()), count: 1, flags: 0 };
        let signalled = call::<SIGNAL, _>(&self.node, &mut points);
        // A handle that could not be let go stays with the node, and goes with it.
        let _ = call::<DESTROY, _>(&self.node, &mut Destroy { handle, pad: 0 });
        signalled
    }
}

fn call<const OPCODE: Opcode, T>(node: &File, value: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: each number here is called with the structure that it is of, which the kernel reads and writes; the words
        // that one of them points to live until the call returns, in the caller's frame.
        match unsafe { ioctl::ioctl(node, Updater::<OPCODE, T>::new(value)) } {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            answer => return answer.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_kernels_headers() {
        assert_eq!(size_of::<Handle>(), 16);
        assert_eq!(size_of::<Points>(), 24);
        // As `_IOWR('d', …)` makes them.
        assert_eq!(CAPABILITY, 0xc010_640c);
        assert_eq!(DESTROY, 0xc008_64c0);
        assert_eq!(HANDLE_OF, 0xc010_64c2);
        assert_eq!(SIGNAL, 0xc018_64cd);
    }

    #[test]
    fn what_is_no_node_of_drms_is_refused() {
        assert_eq!(DrmTimelines::open_node(Path::new("/dev/null")).unwrap_err().raw_os_error(), Some(25));
        let missing = DrmTimelines::open_node(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(
            is_render_node(Path::new("/dev/dri/renderD128")) && !is_render_node(Path::new("/dev/dri/card0"))
        );
    }
}
