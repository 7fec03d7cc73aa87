//! When a producer is done with its buffer, and when we are.
//!
//! A producer says so in one of two ways: by a point on a timeline of DRM's that it names with the picture, or by fences that
//! the kernel keeps at the buffer itself. Both become a sync_file, which the GPU waits for by itself where its driver can; else this
//! thread does, for at most [`PRODUCER_PATIENCE_MS`]. (Linux, `include/uapi/linux/dma-buf.h` and `drm.h`.)
//!
//! Promises: a picture is not read before its producer is done, where anybody knows when that is. Refuses: a point that is
//! not come to in time, and one where no node of DRM's is open to us.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use ash::vk;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::ioctl::{self, Setter, Updater, opcode};

use crate::GpuError;
use crate::device::Shared;
use crate::error::Link;
use crate::limits::PRODUCER_PATIENCE_MS;

/// What a dmabuf is asked and told: `struct dma_buf_export_sync_file` and `dma_buf_import_sync_file`, which are alike.
#[repr(C)]
struct SyncFile {
    flags: u32,
    fd: i32,
}

/// `DMA_BUF_SYNC_READ`: asked for what a reader has to wait for; told of a reader that others have to.
const READ: u32 = 1;
const EXPORT: ioctl::Opcode = opcode::read_write::<SyncFile>(b'b', 2);
const IMPORT: ioctl::Opcode = opcode::write::<SyncFile>(b'b', 3);

/// What a reader of a dmabuf has to wait for; none where the kernel (before 6.0) has no word for it.
pub(crate) fn fences_of(dmabuf: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut file = SyncFile { flags: READ, fd: -1 };
    // SAFETY: the number is of this structure, which the kernel reads and writes.
    let asked = unsafe { ioctl::ioctl(dmabuf, Updater::<EXPORT, SyncFile>::new(&mut file)) };
    // SAFETY: the descriptor is new and ours.
    asked.ok().filter(|()| file.fd >= 0).map(|()| unsafe { OwnedFd::from_raw_fd(file.fd) })
}

/// Has whoever writes to a dmabuf wait for a sync_file.
pub(crate) fn add_reader(dmabuf: BorrowedFd<'_>, sync_file: BorrowedFd<'_>) -> Result<(), Errno> {
    let file = SyncFile { flags: READ, fd: sync_file.as_raw_fd() };
    // SAFETY: the number is of this structure, which the kernel reads.
    unsafe { ioctl::ioctl(dmabuf, Setter::<IMPORT, SyncFile>::new(file)) }
}

/// Whether all of a sync_file's fences are over, at once or within `patience_ms`.
pub(crate) fn is_over(sync_file: BorrowedFd<'_>, patience_ms: u32) -> bool {
    let patience =
        Timespec { tv_sec: (patience_ms / 1000).into(), tv_nsec: i64::from(patience_ms % 1000) * 1_000_000 };
    let mut polled = [PollFd::from_borrowed_fd(sync_file, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut polled, Some(&patience)) {
            Err(Errno::INTR) => {}
            answer => return answer == Ok(1),
        }
    }
}

/// How a sync_file is waited for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// It is over.
    Over,
    /// This thread has waited for it.
    Waited,
    /// The GPU will, by this semaphore, which goes with its work.
    ByGpu(vk::Semaphore),
}

/// Has the GPU wait for a sync_file, or this thread.
pub(crate) fn wait_for(device: &Shared, sync_file: OwnedFd) -> Result<Waiting, GpuError> {
    if is_over(sync_file.as_fd(), 0) {
        return Ok(Waiting::Over);
    }
    if device.caps.waits_for_sync_files
        && let Some(semaphore) = import(device, sync_file.as_fd())?
    {
        return Ok(Waiting::ByGpu(semaphore));
    }
    match is_over(sync_file.as_fd(), PRODUCER_PATIENCE_MS) {
        true => Ok(Waiting::Waited),
        false => Err(GpuError::Late { waited_ms: PRODUCER_PATIENCE_MS }),
    }
}

/// A sync_file as a semaphore that is waited for once; none where the driver does not take it.
fn import(device: &Shared, sync_file: BorrowedFd<'_>) -> Result<Option<vk::Semaphore>, GpuError> {
    let Some(extension) = &device.extensions.semaphore_fd else { return Ok(None) };
    let own = rustix::io::fcntl_dupfd_cloexec(sync_file, 0).map_err(GpuError::system(
        Link::Acquire,
        "dup",
        "raise the limit of open files",
    ))?;
    let semaphore = binary(device, false)?;
    let raw = own.into_raw_fd();
    let import = vk::ImportSemaphoreFdInfoKHR::default()
        .semaphore(semaphore)
        .handle_type(vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD)
        .flags(vk::SemaphoreImportFlags::TEMPORARY)
        .fd(raw);
    // SAFETY: the semaphore is unused; the descriptor becomes the driver's if the call succeeds.
    if unsafe { extension.import_semaphore_fd(&import) }.is_ok() {
        return Ok(Some(semaphore));
    }
    // SAFETY: the driver has not taken the descriptor over; nothing uses the semaphore.
    unsafe {
        drop(OwnedFd::from_raw_fd(raw));
        device.device.destroy_semaphore(semaphore, None);
    }
    Ok(None)
}

/// A semaphore that is waited for once, or, if it `is_told`, one that a sync_file is made of.
pub(crate) fn binary(device: &Shared, is_told: bool) -> Result<vk::Semaphore, GpuError> {
    let mut export =
        vk::ExportSemaphoreCreateInfo::default().handle_types(vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD);
    let mut create = vk::SemaphoreCreateInfo::default();
    if is_told {
        create = create.push_next(&mut export);
    }
    // SAFETY: what is pointed to lives until the call returns.
    let semaphore = unsafe { device.device.create_semaphore(&create, None) };
    semaphore.map_err(GpuError::call(Link::Acquire, "vkCreateSemaphore"))
}

/// The sync_file of a semaphore that submitted work will tell.
pub(crate) fn export(device: &Shared, semaphore: vk::Semaphore) -> Result<Option<OwnedFd>, GpuError> {
    let Some(extension) = &device.extensions.semaphore_fd else { return Ok(None) };
    let query = vk::SemaphoreGetFdInfoKHR::default()
        .semaphore(semaphore)
        .handle_type(vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD);
    // SAFETY: the semaphore was made for that, and the work that tells it is submitted.
    let fd = unsafe { extension.get_semaphore_fd(&query) };
    let fd = fd.map_err(GpuError::call(Link::HandOver, "vkGetSemaphoreFdKHR"))?;
    // SAFETY: a descriptor is new and ours; -1 stands for work that is over.
    Ok((fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_are_these() {
        // As `_IOWR('b', 2, struct dma_buf_export_sync_file)` and `_IOW('b', 3, …)` give them.
        assert_eq!((EXPORT, IMPORT), (0xc008_6202, 0x4008_6203));
    }

    #[test]
    fn what_is_no_dmabuf_has_no_fences_and_a_pipe_is_over_when_it_can_be_read() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        assert!(fences_of(reader.as_fd()).is_none());
        assert!(add_reader(reader.as_fd(), reader.as_fd()).is_err());
        assert!(!is_over(reader.as_fd(), 0) && !is_over(reader.as_fd(), 5));
        rustix::io::write(&writer, b"x").unwrap();
        assert!(is_over(reader.as_fd(), 0));
    }
}
