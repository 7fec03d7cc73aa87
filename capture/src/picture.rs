//! A captured picture, and what every source of pictures can do.

use std::time::{Duration, Instant};

use crate::dmabuf::Dmabuf;
use crate::{CaptureError, Mode};

/// How a picture's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Four bytes a pixel: blue, green, red, one unused. `stride` bytes a row.
    Bgrx,
    /// Planar 4:2:0, BT.709 limited range: Y with `stride` bytes a row, then U, then V with `stride / 2` bytes a
    /// row each, without gaps between the planes. `stride` is even.
    I420,
}

/// Where a picture's pixels are.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a> {
    /// In this program's memory.
    Memory {
        /// How `bytes` is laid out.
        format: PixelFormat,
        /// Bytes from one row (of the first plane) to the next.
        stride: usize,
        /// The pixels.
        bytes: &'a [u8],
    },
    /// In a GPU's. Only from a source that was opened with a [`crate::DmabufWish`].
    Dmabuf(Dmabuf<'a>),
}

/// One picture, lent by its source until the source's next verb.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Where its pixels are.
    pub pixels: Pixels<'a>,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// When the picture came to be.
    pub captured_at: Instant,
    /// The picture's number at its source, rising; a gap is pictures that were superseded or skipped.
    pub number: u64,
}

impl<'a> Picture<'a> {
    /// How its bytes are laid out, how many there are from row to row, and they themselves; none of a dmabuf.
    pub fn memory(&self) -> Option<(PixelFormat, usize, &'a [u8])> {
        match self.pixels {
            Pixels::Memory { format, stride, bytes } => Some((format, stride, bytes)),
            Pixels::Dmabuf(_) => None,
        }
    }
}

/// What became of a source's pictures, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Pictures that the source had, all of the following included.
    pub captured: u64,
    /// Pictures that were passed over because a newer one came before they were taken.
    pub superseded: u64,
    /// Pictures that [`Source::skip`] dropped unencoded.
    pub skipped: u64,
    /// Pictures that could not be read, and are none of the captured: their producer calls them corrupted or
    /// contradicts itself.
    pub spoiled: u64,
    /// Of the captured those that were stamped when they came: their producer gave no time on our clock.
    pub stamped_here: u64,
    /// Bytes of the captured that were copied out of their producers' buffers by the CPU; that a pointer was drawn into one
    /// more copy is not in it.
    pub copied_bytes: u64,
    /// Of the captured those that came as dmabufs.
    pub dmabufs: u64,
    /// How often pictures began to come in memory where dmabufs were wished for.
    pub memory_falls: u64,
}

/// A source of pictures. A picture is first waited for, then taken or skipped.
pub trait Source: Send {
    /// The source in a few words, for people.
    fn describe(&self) -> String;

    /// Sides and refresh of the pictures that come.
    fn mode(&self) -> Mode;

    /// How often pictures began to come from elsewhere than before: a change means that nothing of an earlier picture
    /// is in the next one. Most sources have one origin.
    fn changes(&self) -> u64 {
        0
    }

    /// Lets the pictures begin at `started`: a source with a schedule of its own starts it anew, with picture 0
    /// due then and nothing counted. A source whose pictures come from elsewhere has no part in it.
    fn restart(&mut self, _started: Instant) {}

    /// Waits until a picture can be taken, for at most `timeout`; true when one can.
    ///
    /// # Errors
    /// The source has failed and gives no more pictures.
    fn wait_picture(&mut self, timeout: Duration) -> Result<bool, CaptureError>;

    /// Takes the newest picture; `None` when there is none that was not taken or skipped. Does not wait.
    ///
    /// # Errors
    /// The source has failed and gives no more pictures.
    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError>;

    /// Gives back the picture that is lent, if one is: its producer has it from now on.
    fn give_back(&mut self) {}

    /// Has the source give no more dmabufs of this format with this modifier: they cannot be imported. Where nothing of
    /// the wish is left, pictures come in memory.
    fn decline(&mut self, _fourcc: u32, _modifier: u64) {}

    /// Has the source give no more dmabufs at all: there is nothing to import them. Pictures come in memory from then on.
    fn decline_all(&mut self) {}

    /// Drops the picture that could be taken now, if there is one, and counts it: load that is shed before encode.
    fn skip(&mut self);

    /// What became of the pictures so far.
    fn counters(&self) -> Counters;

    /// Waits for a picture and takes it: the newest wins, `None` when nothing new came within `timeout`.
    ///
    /// # Errors
    /// The source has failed and gives no more pictures.
    fn next_picture(&mut self, timeout: Duration) -> Result<Option<Picture<'_>>, CaptureError> {
        if self.wait_picture(timeout)? { self.take_picture() } else { Ok(None) }
    }
}
