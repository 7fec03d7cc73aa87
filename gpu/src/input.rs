//! A picture as its producer lends it.

use std::os::fd::BorrowedFd;

use crate::format::Fourcc;

/// A picture to be converted.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// In memory.
    Memory(Memory<'a>),
    /// In a buffer that the GPU reads itself.
    Dmabuf(Dmabuf<'a>),
}

impl<'a> Input<'a> {
    pub(crate) fn size(&self) -> [u32; 2] {
        match self {
            Input::Memory(memory) => [memory.width, memory.height],
            Input::Dmabuf(dmabuf) => [dmabuf.width, dmabuf.height],
        }
    }

    pub(crate) fn overlay(&self) -> Option<Overlay<'a>> {
        match self {
            Input::Memory(memory) => memory.overlay,
            Input::Dmabuf(dmabuf) => dmabuf.overlay,
        }
    }
}

/// A picture in memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'a> {
    /// How pixels are laid out.
    pub fourcc: Fourcc,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from row to row.
    pub stride: usize,
    /// The pixels.
    pub bytes: &'a [u8],
    /// What lets the GPU read the pixels where they are; without it they are copied once.
    pub pages: Option<Pages>,
    /// What is to be seen on it.
    pub overlay: Option<Overlay<'a>>,
}

/// Somebody's word that a picture's pages stay where they are: the GPU reads them in place, at times of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    pub(crate) buffer: u64,
    pub(crate) whole: (*const u8, usize),
}

impl Pages {
    /// The mapping of `whole.1` bytes at `whole.0` that a picture's bytes lie in, under a number: the same one for the
    /// same mapping, and never again for another.
    ///
    /// # Safety
    /// The mapping is readable and writable and stays as it is until the importer is dropped or has forgotten `buffer`
    /// ([`crate::Importer::forget`]); and nobody writes to a picture in it before that picture's ticket is done.
    #[must_use]
    pub unsafe fn new(buffer: u64, whole: (*const u8, usize)) -> Self {
        Self { buffer, whole }
    }
}

/// A picture in a dmabuf.
#[derive(Debug, Clone, Copy)]
pub struct Dmabuf<'a> {
    /// Which buffer: the same number for the same memory, and never again for another.
    pub buffer: u64,
    /// How pixels are laid out.
    pub fourcc: Fourcc,
    /// How they are arranged in memory (`drm_fourcc.h`).
    pub modifier: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The planes of memory that the modifier has.
    pub planes: &'a [DmabufPlane<'a>],
    /// When the producer's drawing is done; without it the buffer itself is asked.
    pub acquire: Option<SyncPoint<'a>>,
    /// What is to be told when the buffer can be drawn to again.
    pub release: Option<SyncPoint<'a>>,
    /// What is to be seen on it.
    pub overlay: Option<Overlay<'a>>,
}

/// A small image that is blended over a picture: a cursor.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Which image: the same number for the same pixels, and never again for others.
    pub image: u64,
    /// Where its left edge is in the picture, in pixels; may lie outside.
    pub x: i32,
    /// Where its upper edge is.
    pub y: i32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes blue, green, red, alpha, premultiplied, without gaps between the rows.
    pub pixels: &'a [u8],
}

/// One plane of a dmabuf.
#[derive(Debug, Clone, Copy)]
pub struct DmabufPlane<'a> {
    /// The memory.
    pub fd: BorrowedFd<'a>,
    /// Bytes before it.
    pub offset: u32,
    /// Bytes from row to row, or what the modifier takes for that.
    pub stride: u32,
}

/// A point on a timeline of DRM's.
#[derive(Debug, Clone, Copy)]
pub struct SyncPoint<'a> {
    /// The timeline.
    pub syncobj: BorrowedFd<'a>,
    /// The point.
    pub point: u64,
}
