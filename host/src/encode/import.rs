//! Pictures made the encoder's on a GPU: imported where they are, or uploaded once.
//!
//! Promises: what a source lends is told to the importer as it is; the newest picture stays until the next one is begun,
//! so that it can be encoded again and is not converted again. Refuses what the importer refuses, in its words.

use std::array;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use punktfunk_capture::dmabuf as lent;
use punktfunk_capture::{Picture, PixelFormat, Pixels};
use punktfunk_engine::StageFault;
use punktfunk_gpu::format::{Colour, Fourcc, OutputFormat};
use punktfunk_gpu::{
    Device, Dmabuf, DmabufPlane, Done, GpuError, Handover, Importer, Input, Link, Memory, OutputSpec,
    Overlay, SyncPoint, Ticket,
};

use super::picture_encoder::EncodeFault;

/// A producer's timelines by a node of DRM's, for what no GPU signals.
#[cfg(feature = "pipewire")]
#[derive(Debug)]
pub struct DrmTimelines(punktfunk_gpu::Syncobjs);

#[cfg(feature = "pipewire")]
impl DrmTimelines {
    /// By the first node that knows timelines.
    ///
    /// # Errors
    /// There is none that is open to us.
    pub fn open() -> Result<Self, GpuError> {
        punktfunk_gpu::Syncobjs::any().map(Self)
    }
}

#[cfg(feature = "pipewire")]
impl lent::Timelines for DrmTimelines {
    fn signal(&self, syncobj: std::os::fd::BorrowedFd<'_>, point: u64) -> std::io::Result<()> {
        self.0.signal(SyncPoint { syncobj, point }).map_err(std::io::Error::other)
    }
}

/// Outputs that are written in turn: one is read, one is written, one waits.
pub const OUTPUTS: usize = 3;

/// The most planes that memory of any modifier has.
const PLANES_MAX: usize = 4;

/// What a conversion took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// From the call until the picture could be read.
    pub waited: Duration,
    /// The GPU's part of that, by its own clock.
    pub on_gpu: Option<Duration>,
    /// Bytes that the CPU copied for it.
    pub bytes_copied: u64,
}

/// A session's importer, and the picture that it made last.
pub struct Import {
    importer: Importer,
    newest: Option<Ticket>,
}

impl Import {
    /// One that makes pictures of these sides, for whoever `handover` says.
    ///
    /// # Errors
    /// The importer's own No.
    pub fn new(
        device: &Device,
        (width, height): (u32, u32),
        (format, colour): (OutputFormat, Colour),
        handover: Handover,
    ) -> Result<Self, GpuError> {
        let spec = OutputSpec { width, height, format, colour, buffers: OUTPUTS };
        Ok(Self { importer: Importer::new(device, spec, handover)?, newest: None })
    }

    /// Converts a picture, and waits for it.
    ///
    /// # Errors
    /// The importer's own No; there is no newest picture then.
    pub fn convert(&mut self, picture: &Picture<'_>) -> Result<Converted, GpuError> {
        let (start, copied_before) = (Instant::now(), self.importer.counters().bytes_copied);
        if let Some(before) = self.newest.take() {
            self.importer.release(before, Done::Now)?;
        }
        let ticket = with_input(picture, |input| self.importer.convert(input))?;
        self.newest = Some(ticket);
        self.importer.wait(ticket)?;
        Ok(Converted {
            waited: start.elapsed(),
            on_gpu: self.importer.gpu_time(ticket),
            bytes_copied: self.importer.counters().bytes_copied - copied_before,
        })
    }

    /// The newest picture's planes, and how many bytes there are from row to row of the first one; none where there is none.
    ///
    /// # Errors
    /// The importer's own No.
    pub fn newest(&self) -> Result<Option<(&[u8], usize)>, GpuError> {
        let Some(ticket) = self.newest else { return Ok(None) };
        let pitch = self.importer.layout().planes()[0].pitch;
        Ok(Some((self.importer.mapped(ticket)?, pitch as usize)))
    }
}

/// What an importer's No means for the pictures after.
pub fn import_fault(picture: &Picture<'_>, error: GpuError) -> EncodeFault {
    let fault = |error: &GpuError| StageFault::new("import", error);
    match (error, picture.pixels) {
        (error @ (GpuError::Late { .. } | GpuError::Size { .. }), _) => EncodeFault::Picture(fault(&error)),
        (
            error @ (GpuError::Format { .. }
            | GpuError::Modifier { .. }
            | GpuError::Plane { .. }
            | GpuError::Call { link: Link::Import, .. }
            | GpuError::Memory { link: Link::Import, .. }
            | GpuError::System { link: Link::Import, .. }
            | GpuError::Missing { link: Link::Import, .. }),
            Pixels::Dmabuf(dmabuf),
        ) => EncodeFault::Dmabuf { fourcc: dmabuf.fourcc, modifier: dmabuf.modifier, why: error.to_string() },
        (error, _) => EncodeFault::Encoder(fault(&error)),
    }
}

/// Tells `take` of a picture in the importer's words.
pub fn with_input<T>(picture: &Picture<'_>, take: impl FnOnce(&Input<'_>) -> T) -> T {
    let (width, height) = (picture.width, picture.height);
    let dmabuf = match picture.pixels {
        Pixels::Memory { format, stride, bytes } => {
            let fourcc = match format {
                PixelFormat::Bgrx => Fourcc::XRGB8888,
                PixelFormat::I420 => Fourcc::YUV420,
            };
            return take(&Input::Memory(Memory {
                fourcc,
                width,
                height,
                stride,
                bytes,
                pages: None,
                overlay: None,
            }));
        }
        Pixels::Dmabuf(dmabuf) => dmabuf,
    };
    let with = |planes: &[DmabufPlane<'_>]| {
        take(&Input::Dmabuf(Dmabuf {
            buffer: dmabuf.buffer,
            fourcc: Fourcc(dmabuf.fourcc),
            modifier: dmabuf.modifier,
            width,
            height,
            planes,
            acquire: dmabuf.acquire.map(point),
            release: dmabuf.release.map(point),
            overlay: dmabuf.cursor.map(overlay),
        }))
    };
    let Some(first) = dmabuf.planes.first() else { return with(&[]) };
    let planes: [DmabufPlane<'_>; PLANES_MAX] =
        array::from_fn(|index| plane(dmabuf.planes.get(index).unwrap_or(first)));
    with(&planes[..dmabuf.planes.len().min(PLANES_MAX)])
}

fn plane(plane: &lent::DmabufPlane) -> DmabufPlane<'_> {
    DmabufPlane { fd: plane.fd.as_fd(), offset: plane.offset, stride: plane.stride }
}

fn overlay(cursor: lent::Overlay<'_>) -> Overlay<'_> {
    let lent::Overlay { image, x, y, width, height, pixels } = cursor;
    Overlay { image, x, y, width, height, pixels }
}

fn point(point: lent::SyncPoint<'_>) -> SyncPoint<'_> {
    SyncPoint { syncobj: point.syncobj, point: point.point }
}
