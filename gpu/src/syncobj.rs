//! Points on timelines of DRM's (Linux, `include/uapi/drm/drm.h`, `DRM_IOCTL_SYNCOBJ_*`).
//!
//! A timeline's descriptor means something to every node of DRM's, whichever GPU's it is: we take the device's own, else
//! the first one that is open to us. Promises: no handle outlives its call; a point that was signalled before is signalled
//! once more without harm, since a timeline's value does not fall. Refuses: nodes whose driver knows no timelines, and
//! points that are not come to in time.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{self, Updater, opcode};

use crate::device::DrmNode;
use crate::error::Link;
use crate::limits::PRODUCER_PATIENCE_MS;
use crate::{GpuError, SyncPoint};

const NODES: &str = "/dev/dri";

#[repr(C)]
struct Capability {
    kind: u64,
    value: u64,
}

#[repr(C)]
struct Create {
    handle: u32,
    flags: u32,
}

#[repr(C)]
struct Destroy {
    handle: u32,
    pad: u32,
}

#[repr(C)]
struct Handle {
    handle: u32,
    flags: u32,
    fd: i32,
    pad: u32,
}

#[repr(C)]
struct Wait {
    handles: u64,
    points: u64,
    timeout_ns: i64,
    count: u32,
    flags: u32,
    first: u32,
    pad: u32,
}

#[repr(C)]
struct Transfer {
    source: u32,
    destination: u32,
    source_point: u64,
    destination_point: u64,
    flags: u32,
    pad: u32,
}

#[repr(C)]
struct Signal {
    handles: u64,
    points: u64,
    count: u32,
    flags: u32,
}

const CAPABILITY: ioctl::Opcode = opcode::read_write::<Capability>(b'd', 0x0c);
const CREATE: ioctl::Opcode = opcode::read_write::<Create>(b'd', 0xbf);
const DESTROY: ioctl::Opcode = opcode::read_write::<Destroy>(b'd', 0xc0);
const TO_FD: ioctl::Opcode = opcode::read_write::<Handle>(b'd', 0xc1);
const FROM_FD: ioctl::Opcode = opcode::read_write::<Handle>(b'd', 0xc2);
const WAIT: ioctl::Opcode = opcode::read_write::<Wait>(b'd', 0xca);
const TRANSFER: ioctl::Opcode = opcode::read_write::<Transfer>(b'd', 0xcc);
const SIGNAL: ioctl::Opcode = opcode::read_write::<Signal>(b'd', 0xcd);

/// Of [`CAPABILITY`]: timelines (`DRM_CAP_SYNCOBJ_TIMELINE`).
const HAS_TIMELINES: u64 = 0x14;
/// Of [`TO_FD`] and [`FROM_FD`]: a sync_file, not a timeline.
const SYNC_FILE: u32 = 1;
/// Of [`WAIT`]: also for a point that nobody has promised yet; and for the promise alone.
const FOR_SUBMIT: u32 = 2;
const FOR_PROMISE: u32 = 4;

/// A node of DRM's that timelines are spoken of through.
#[derive(Debug)]
pub struct Syncobjs {
    node: OwnedFd,
    path: PathBuf,
}

/// A timeline, known to the node by a number for as long as this lives.
struct Known<'a> {
    node: &'a OwnedFd,
    handle: u32,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let _ = call::<DESTROY, _>(self.node, &mut Destroy { handle: self.handle, pad: 0 });
    }
}

fn call<const OPCODE: ioctl::Opcode, T>(node: &OwnedFd, value: &mut T) -> Result<(), Errno> {
    loop {
        // SAFETY: each number is of the structure that it is called with here, which the kernel reads and writes; what that
        // points to lives until the call returns.
        match unsafe { ioctl::ioctl(node, Updater::<OPCODE, T>::new(value)) } {
            Err(Errno::INTR | Errno::AGAIN) => {}
            answer => return answer,
        }
    }
}

impl Syncobjs {
    /// Opens the first node that is open to us and knows timelines, for whoever has no device.
    ///
    /// # Errors
    /// [`GpuError::System`]: what the last of them said, or that there is none.
    pub fn any() -> Result<Self, GpuError> {
        Self::open(None)
    }

    /// The node.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the device's own node, else another one.
    pub(crate) fn open(own: Option<DrmNode>) -> Result<Self, GpuError> {
        let mut paths: Vec<_> = std::fs::read_dir(NODES)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        let is_render =
            |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD"));
        paths.retain(|path| is_render(path));
        paths.sort_by_key(|path| (own.is_none() || DrmNode::at(path) != own, path.clone()));
        let mut refused = Errno::NOENT;
        for path in paths {
            match Self::open_node(&path) {
                Ok(node) => return Ok(Self { node, path }),
                Err(errno) => refused = errno,
            }
        }
        let remedy = "put this user into the group render, or let the producer's buffers carry their fences themselves";
        Err(GpuError::system(Link::Acquire, "opening a node in /dev/dri", remedy)(refused))
    }

    fn open_node(path: &Path) -> Result<OwnedFd, Errno> {
        let node = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut capability = Capability { kind: HAS_TIMELINES, value: 0 };
        call::<CAPABILITY, _>(&node, &mut capability)?;
        if capability.value == 0 { Err(Errno::OPNOTSUPP) } else { Ok(node) }
    }

    /// The work that a point stands for, as a sync_file; waits until the producer has submitted it.
    pub(crate) fn sync_file(&self, point: SyncPoint<'_>) -> Result<OwnedFd, GpuError> {
        let timeline = self.known(point.syncobj).map_err(refused("looking at a timeline"))?;
        self.wait(&timeline, point.point, FOR_SUBMIT | FOR_PROMISE)?;
        self.take_sync_file(&timeline, point.point).map_err(refused("taking a timeline's point"))
    }

    /// Has a point come when a sync_file is over.
    pub(crate) fn signal_after(
        &self,
        point: SyncPoint<'_>,
        sync_file: BorrowedFd<'_>,
    ) -> Result<(), GpuError> {
        let give = || {
            let timeline = self.known(point.syncobj)?;
            let carrier = self.create()?;
            let fd = sync_file.as_raw_fd();
            call::<FROM_FD, _>(
                &self.node,
                &mut Handle { handle: carrier.handle, flags: SYNC_FILE, fd, pad: 0 },
            )?;
            self.transfer(&carrier, 0, &timeline, point.point)
        };
        give().map_err(refused("giving a timeline's point"))
    }

    /// Has a point come now.
    ///
    /// # Errors
    /// [`GpuError::System`]: it is no timeline of DRM's.
    pub fn signal(&self, point: SyncPoint<'_>) -> Result<(), GpuError> {
        let give = || {
            let timeline = self.known(point.syncobj)?;
            let (handles, points) = ([timeline.handle], [point.point]);
            let (handles, points) = (handles.as_ptr() as u64, points.as_ptr() as u64);
            call::<SIGNAL, _>(&self.node, &mut Signal { handles, points, count: 1, flags: 0 })
        };
        give().map_err(refused("signalling a timeline's point"))
    }

    fn known(&self, syncobj: BorrowedFd<'_>) -> Result<Known<'_>, Errno> {
        let mut handle = Handle { handle: 0, flags: 0, fd: syncobj.as_raw_fd(), pad: 0 };
        call::<FROM_FD, _>(&self.node, &mut handle)?;
        Ok(Known { node: &self.node, handle: handle.handle })
    }

    fn create(&self) -> Result<Known<'_>, Errno> {
        let mut create = Create { handle: 0, flags: 0 };
        call::<CREATE, _>(&self.node, &mut create)?;
        Ok(Known { node: &self.node, handle: create.handle })
    }

    fn wait(&self, timeline: &Known<'_>, point: u64, flags: u32) -> Result<(), GpuError> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let timeout_ns =
            now.tv_sec * 1_000_000_000 + now.tv_nsec + i64::from(PRODUCER_PATIENCE_MS) * 1_000_000;
        let (handles, points) = ([timeline.handle], [point]);
        let (handles, points) = (handles.as_ptr() as u64, points.as_ptr() as u64);
        let mut wait = Wait { handles, points, timeout_ns, count: 1, flags, first: 0, pad: 0 };
        match call::<WAIT, _>(&self.node, &mut wait) {
            Ok(()) => Ok(()),
            Err(Errno::TIME) => Err(GpuError::Late { waited_ms: PRODUCER_PATIENCE_MS }),
            Err(errno) => Err(refused("waiting for a timeline's point")(errno)),
        }
    }

    fn take_sync_file(&self, timeline: &Known<'_>, point: u64) -> Result<OwnedFd, Errno> {
        let carrier = self.create()?;
        self.transfer(timeline, point, &carrier, 0)?;
        let mut handle = Handle { handle: carrier.handle, flags: SYNC_FILE, fd: -1, pad: 0 };
        call::<TO_FD, _>(&self.node, &mut handle)?;
        // SAFETY: the descriptor is new and ours.
        Ok(unsafe { OwnedFd::from_raw_fd(handle.fd) })
    }

    fn transfer(
        &self,
        from: &Known<'_>,
        from_point: u64,
        to: &Known<'_>,
        to_point: u64,
    ) -> Result<(), Errno> {
        let mut transfer = Transfer {
            source: from.handle,
            destination: to.handle,
            source_point: from_point,
            destination_point: to_point,
            flags: 0,
            pad: 0,
        };
        call::<TRANSFER, _>(&self.node, &mut transfer)
    }
}

fn refused(action: &'static str) -> impl FnOnce(Errno) -> GpuError {
    GpuError::system(
        Link::Acquire,
        action,
        "the producer named no timeline of DRM's, or the kernel has none (5.2)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_are_these() {
        assert_eq!((CREATE, DESTROY, TO_FD), (0xc008_64bf, 0xc008_64c0, 0xc010_64c1));
        assert_eq!((FROM_FD, WAIT), (0xc010_64c2, 0xc028_64ca));
        assert_eq!((TRANSFER, SIGNAL, CAPABILITY), (0xc020_64cc, 0xc018_64cd, 0xc010_640c));
    }

    #[test]
    fn what_is_no_node_of_drms_is_refused() {
        assert_eq!(Syncobjs::open_node(Path::new("/dev/null")).unwrap_err(), Errno::NOTTY);
        assert_eq!(Syncobjs::open_node(Path::new("/nonexistent")).unwrap_err(), Errno::NOENT);
    }
}
