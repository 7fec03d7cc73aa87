//! Pictures that stay in a GPU's memory: what is told of one, and what is wished for.
//!
//! What is it: a [`Dmabuf`] is a producer's buffer by its file descriptors, with all that a GPU has to know to read it.
//! What does it promise: descriptors that stay open for as long as the picture is lent, whatever the producer does
//! meanwhile; one number for one memory, never used again for another. What does it refuse: to read a pixel, and to be
//! read once it has gone back. A source gives dmabufs only to those who wish for them ([`DmabufWish`]).

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The modifier of memory that is laid out row by row (`drm_fourcc.h`).
pub const MODIFIER_LINEAR: u64 = 0;

/// The modifier that names none: how the memory is laid out is for its driver to know (`drm_fourcc.h`).
pub const MODIFIER_INVALID: u64 = 0x00ff_ffff_ffff_ffff;

/// A picture in a GPU's memory.
#[derive(Debug, Clone, Copy)]
pub struct Dmabuf<'a> {
    /// Which memory this is, with its layout: the same number is the same, and no other ever has it.
    pub buffer: u64,
    /// How its pixels are laid out, by DRM's name: four letters, little endian.
    pub fourcc: u32,
    /// How its memory is laid out, by DRM's number.
    pub modifier: u64,
    /// Its planes: one to four, in the modifier's order.
    pub planes: &'a [DmabufPlane],
    /// When it may be read: not before this point. None: the memory's own fences tell.
    pub acquire: Option<SyncPoint<'a>>,
    /// What tells its producer that it was read. The source signals it when the dmabuf comes home; a GPU that signals it
    /// by itself is earlier, and the second signal does no harm.
    pub release: Option<SyncPoint<'a>>,
    /// The cursor, where it comes beside the picture and is not in it.
    pub cursor: Option<Overlay<'a>>,
}

/// A plane of a dmabuf.
#[derive(Debug)]
pub struct DmabufPlane {
    /// The memory; several planes may lie in one.
    pub fd: OwnedFd,
    /// Where the plane begins in it, in bytes.
    pub offset: u32,
    /// Bytes from row to row, or what the modifier means by it.
    pub stride: u32,
}

/// A point on a timeline that both sides see.
#[derive(Debug, Clone, Copy)]
pub struct SyncPoint<'a> {
    /// The timeline: a DRM syncobj.
    pub syncobj: BorrowedFd<'a>,
    /// The point on it.
    pub point: u64,
}

/// A small image to be blended over a picture.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Which image this is: the same number is the same pixels, and no other ever has it.
    pub image: u64,
    /// Where its left edge is in the picture, in pixels; may lie outside.
    pub x: i32,
    /// Where its upper edge is in the picture, in pixels; may lie outside.
    pub y: i32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Blue, green, red, alpha, a byte each, premultiplied, without gaps between the rows.
    pub pixels: &'a [u8],
}

/// Which dmabufs can be taken; the default wishes for none, so that pictures come in memory.
#[derive(Debug, Clone, Default)]
pub struct DmabufWish {
    /// The pixel formats that can be imported, by DRM's names, the preferred one first; each with the modifiers that it
    /// can be imported with, the preferred one first.
    pub formats: Vec<(u32, Vec<u64>)>,
    /// Who signals points on a producer's timelines. None: explicit synchronisation is not asked for.
    pub timelines: Option<Arc<dyn Timelines>>,
    /// Where numbers of buffers come from; one for all sources of an importer.
    pub numbers: Numbers,
}

impl DmabufWish {
    /// Whether there is nothing that it wishes for.
    pub fn is_empty(&self) -> bool {
        self.formats.iter().all(|(_, modifiers)| modifiers.is_empty())
    }
}

/// Numbers for memory, each given once; a clone goes on where the other one is.
#[derive(Debug, Clone, Default)]
pub struct Numbers(Arc<AtomicU64>);

impl Numbers {
    /// One that nobody has.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Who signals a producer's timelines where no GPU does: whoever opens the source knows a node of DRM's to do so by.
pub trait Timelines: fmt::Debug + Send + Sync {
    /// Signals `point` of the timeline behind `syncobj`.
    ///
    /// # Errors
    /// The system's No.
    fn signal(&self, syncobj: BorrowedFd<'_>, point: u64) -> io::Result<()>;
}

/// A format's name as people read it: its four letters.
pub fn fourcc_name(fourcc: u32) -> String {
    fourcc
        .to_le_bytes()
        .map(|byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' })
        .iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_without_a_modifier_is_none_and_its_clones_share_their_numbers() {
        let mut wish = DmabufWish::default();
        assert!(wish.is_empty());
        wish.formats.push((0x3432_5258, Vec::new()));
        assert!(wish.is_empty());
        wish.formats[0].1.push(MODIFIER_LINEAR);
        assert!(!wish.is_empty());
        let other = wish.clone();
        assert_eq!([wish.numbers.next(), other.numbers.next(), wish.numbers.next()], [0, 1, 2]);
        assert_eq!(fourcc_name(wish.formats[0].0), "XR24");
        assert_eq!(fourcc_name(0x0000_2020), "????");
    }
}
