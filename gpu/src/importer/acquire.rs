//! The producer's side of a conversion: what it waits for, and what tells the producer that it is over.

use std::os::fd::{AsFd, BorrowedFd};

use ash::vk;

use super::Importer;
use crate::flight::Cargo;
use crate::sync::{self, Waiting};
use crate::syncobj::Syncobjs;
use crate::{Dmabuf, GpuError, Input};

/// How the producer hears that its buffer can be drawn to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Release {
    /// By the ticket alone.
    ByTicket,
    /// It has not to: the picture was copied.
    Unneeded,
    /// By a sync_file of this semaphore, which the GPU tells.
    ByGpu(vk::Semaphore),
    /// By its point, which this thread brings up when it comes by.
    Late,
}

impl Release {
    pub(super) fn semaphore(self) -> Option<vk::Semaphore> {
        match self {
            Release::ByGpu(semaphore) => Some(semaphore),
            Release::ByTicket | Release::Unneeded | Release::Late => None,
        }
    }
}

impl Importer {
    /// Has the GPU wait for the producer, by the semaphore that is returned, or waits here.
    pub(super) fn acquire(&mut self, input: &Input<'_>) -> Result<Option<vk::Semaphore>, GpuError> {
        let Input::Dmabuf(dmabuf) = input else { return Ok(None) };
        let sync_file = match dmabuf.acquire {
            Some(point) => {
                self.counters.explicit_acquires += 1;
                Some(self.syncobjs()?.sync_file(point)?)
            }
            None => memory_of(dmabuf).and_then(sync::fences_of),
        };
        let Some(sync_file) = sync_file else {
            if self.counters.unguarded_acquires == 0 {
                tracing::warn!(
                    "this kernel does not tell when a buffer's drawing is done; pictures may be torn"
                );
            }
            self.counters.unguarded_acquires += 1;
            return Ok(None);
        };
        self.counters.implicit_acquires += u64::from(dmabuf.acquire.is_none());
        match sync::wait_for(&self.device.shared, sync_file)? {
            Waiting::Over => Ok(None),
            Waiting::ByGpu(semaphore) => Ok(Some(semaphore)),
            Waiting::Waited => {
                if self.counters.host_waits_acquire == 0 {
                    tracing::info!("the GPU does not wait for producers by itself: this thread does");
                }
                self.counters.host_waits_acquire += 1;
                Ok(None)
            }
        }
    }

    /// Prepares what tells the producer; what has to go with the work is put into `cargo`.
    pub(super) fn prepare_release(
        &mut self,
        input: &Input<'_>,
        cargo: &mut Cargo,
    ) -> Result<Release, GpuError> {
        let dmabuf = match input {
            Input::Dmabuf(dmabuf) => dmabuf,
            Input::Memory(memory) if memory.pages.is_none() => return Ok(Release::Unneeded),
            Input::Memory(_) => return Ok(Release::ByTicket),
        };
        if let Some(point) = dmabuf.release {
            self.syncobjs()?;
            if !self.device.caps().makes_sync_files {
                let own = point.syncobj.try_clone_to_owned().map_err(|source| GpuError::System {
                    link: crate::Link::HandOver,
                    action: "dup",
                    source,
                    remedy: "raise the limit of open files",
                })?;
                cargo.late_release = Some((own, point.point));
                return Ok(Release::Late);
            }
        }
        if !self.device.caps().makes_sync_files {
            return Ok(Release::ByTicket);
        }
        let semaphore = sync::binary(&self.device.shared, true)?;
        cargo.semaphores.push(semaphore);
        Ok(Release::ByGpu(semaphore))
    }

    /// Tells the producer, now that the work has begun; whether its buffer may return at once.
    pub(super) fn release_to_producer(&mut self, input: &Input<'_>, release: Release) -> bool {
        let semaphore = match release {
            Release::Unneeded | Release::Late => return true,
            Release::ByTicket => return false,
            Release::ByGpu(semaphore) => semaphore,
        };
        let Input::Dmabuf(dmabuf) = input else { return false };
        let told = match sync::export(&self.device.shared, semaphore) {
            // It is over already.
            Ok(None) => {
                dmabuf.release.map_or(Ok(true), |point| self.syncobjs()?.signal(point).map(|()| true))
            }
            Ok(Some(file)) => match (dmabuf.release, memory_of(dmabuf)) {
                (Some(point), _) => self
                    .syncobjs()
                    .and_then(|syncobjs| syncobjs.signal_after(point, file.as_fd()))
                    .map(|()| true),
                (None, Some(memory)) => Ok(sync::add_reader(memory, file.as_fd()).is_ok()),
                (None, None) => Ok(false),
            },
            Err(error) => Err(error),
        };
        told.unwrap_or_else(|error| {
            tracing::warn!(%error, "a producer is not told that its buffer is free");
            false
        })
    }

    fn syncobjs(&mut self) -> Result<&Syncobjs, GpuError> {
        if self.syncobjs.is_none() {
            self.syncobjs = Some(Syncobjs::open(self.device.description().render_node)?);
        }
        Ok(self.syncobjs.as_ref().expect("it was opened above"))
    }
}

/// The memory that a dmabuf's planes lie in.
fn memory_of<'a>(dmabuf: &Dmabuf<'a>) -> Option<BorrowedFd<'a>> {
    dmabuf.planes.first().map(|plane| plane.fd)
}
