//! The picture to write: planes with their pitch, lent, and put into the order that macroblocks have.
//!
//! Promises: each macroblock's samples lie together, in the order that I_PCM writes them: luma by rows, then Cb, then Cr.
//! What is outside the picture repeats its last column and row.
//!
//! Refuses: planes that are too short for their picture, rows longer than the pitch.

use crate::Refusal;

/// How chroma is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chroma {
    /// One sample of each kind for four pixels: NV12.
    #[default]
    Yuv420,
    /// One for each pixel, in planes of their own.
    Yuv444,
}

impl Chroma {
    /// Pixels on a side for one chroma sample, which is also what the picture is cropped by.
    pub(crate) fn crop_unit(self) -> u32 {
        match self {
            Self::Yuv420 => 2,
            Self::Yuv444 => 1,
        }
    }

    /// A macroblock's chroma samples on a side.
    pub(crate) fn side(self) -> usize {
        16 / self.crop_unit() as usize
    }

    /// A macroblock's samples, one byte each.
    pub(crate) fn macroblock_bytes(self) -> usize {
        256 + 2 * self.side() * self.side()
    }
}

/// A picture in its producer's memory.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    chroma: Chroma,
    width: usize,
    height: usize,
    pitch: usize,
    luma: &'a [u8],
    /// NV12: Cb and Cr by turns; 4:4:4: the Cb plane and, right behind, the Cr plane.
    colour: &'a [u8],
}

impl<'a> Source<'a> {
    /// A picture in one piece of memory, as NVENC takes it: luma of `height` rows, then NV12's rows of Cb and Cr by turns, or
    /// 4:4:4's planes of Cb and Cr, all at the same pitch.
    ///
    /// # Errors
    /// [`Refusal::Size`], [`Refusal::Pitch`], [`Refusal::Memory`].
    pub fn new(
        chroma: Chroma,
        width: u32,
        height: u32,
        pitch: usize,
        bytes: &'a [u8],
    ) -> Result<Self, Refusal> {
        let unit = chroma.crop_unit();
        if width == 0 || height == 0 || !width.is_multiple_of(unit) || !height.is_multiple_of(unit) {
            return Err(Refusal::Size { width, height });
        }
        let (columns, rows) = (width as usize, height as usize);
        if pitch < columns {
            return Err(Refusal::Pitch { width: columns, pitch });
        }
        let colour_rows = match chroma {
            Chroma::Yuv420 => rows / 2,
            Chroma::Yuv444 => rows * 2,
        };
        let needed = pitch * (rows + colour_rows - 1) + columns;
        if bytes.len() < needed {
            return Err(Refusal::Memory { bytes: bytes.len(), needed });
        }
        let (luma, colour) = bytes.split_at(pitch * rows);
        Ok(Self { chroma, width: columns, height: rows, pitch, luma, colour })
    }

    pub(crate) fn is(&self, chroma: Chroma, width: u32, height: u32) -> bool {
        self.chroma == chroma && self.width == width as usize && self.height == height as usize
    }

    /// Puts the picture into `out`, macroblock by macroblock.
    pub(crate) fn arrange(&self, out: &mut [u8]) {
        let columns = self.width.div_ceil(16);
        for (at, block) in out.chunks_exact_mut(self.chroma.macroblock_bytes()).enumerate() {
            let (x, y) = (at % columns * 16, at / columns * 16);
            let (luma, colour) = block.split_at_mut(256);
            self.arrange_plane(self.luma, (x, y), 16, luma);
            let side = self.chroma.side();
            let (cb, cr) = colour.split_at_mut(side * side);
            match self.chroma {
                Chroma::Yuv420 => self.part((x / 2, y / 2), cb, cr),
                Chroma::Yuv444 => {
                    self.arrange_plane(self.colour, (x, y), side, cb);
                    self.arrange_plane(&self.colour[self.pitch * self.height..], (x, y), side, cr);
                }
            }
        }
    }

    fn arrange_plane(&self, plane: &[u8], (x, y): (usize, usize), side: usize, out: &mut [u8]) {
        for (row, samples) in out.chunks_exact_mut(side).enumerate() {
            let from = (y + row).min(self.height - 1) * self.pitch;
            let there = (self.width - x).min(side);
            samples[..there].copy_from_slice(&plane[from + x..from + x + there]);
            let last = samples[there - 1];
            samples[there..].fill(last);
        }
    }

    /// NV12's pairs, into a block of each kind.
    fn part(&self, (x, y): (usize, usize), cb: &mut [u8], cr: &mut [u8]) {
        let (width, height) = (self.width / 2, self.height / 2);
        for (row, (cb, cr)) in cb.chunks_exact_mut(8).zip(cr.chunks_exact_mut(8)).enumerate() {
            let from = (y + row).min(height - 1) * self.pitch;
            let there = (width - x).min(8);
            let pairs = &self.colour[from + 2 * x..from + 2 * (x + there)];
            for (column, (cb, cr)) in cb.iter_mut().zip(cr).enumerate() {
                let at = 2 * column.min(there - 1);
                *cb = pairs[at];
                *cr = pairs[at + 1];
            }
        }
    }
}
