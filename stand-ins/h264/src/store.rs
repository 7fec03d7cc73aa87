//! Pictures as the decoder has them: the decoded picture buffer, on the writer's side.
//!
//! Promises: the last `references` pictures since the last IDR are there, exactly as a decoder that saw all of them has
//! them (a sliding window, H.264 clause 8.2.5.3); one that missed some has the others. Taking a picture in allocates
//! nothing once the buffer is full.

use crate::source::Chroma;

/// A picture that may be referred to.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The caller's name for it.
    pub(crate) id: u64,
    pub(crate) frame_num: u32,
    /// Whom it was built on.
    reference: Option<u64>,
    /// Whether it may be referred to.
    pub(crate) is_valid: bool,
    /// In macroblock order, as `Source::arrange` lays it.
    pub(crate) samples: Vec<u8>,
}

/// The decoded picture buffer, oldest first.
#[derive(Debug)]
pub(crate) struct Buffer {
    pictures: Vec<Stored>,
    references: usize,
}

impl Buffer {
    pub(crate) fn new(references: u32) -> Self {
        Self { pictures: Vec::new(), references: references as usize }
    }

    /// The newest that may be referred to.
    pub(crate) fn newest_valid(&self) -> Option<&Stored> {
        self.pictures.iter().rev().find(|picture| picture.is_valid)
    }

    pub(crate) fn newest(&self) -> Option<&Stored> {
        self.pictures.last()
    }

    pub(crate) fn find(&self, id: u64) -> Option<&Stored> {
        self.pictures.iter().find(|picture| picture.id == id)
    }

    /// Those that may be referred to, oldest first.
    pub(crate) fn valid(&self) -> impl Iterator<Item = u64> {
        self.pictures.iter().filter(|picture| picture.is_valid).map(|picture| picture.id)
    }

    /// Marks `id` as unfit for reference, and all that was built on it. Whether it was there.
    pub(crate) fn invalidate(&mut self, id: u64) -> bool {
        let Some(first) = self.pictures.iter().position(|picture| picture.id == id) else { return false };
        self.pictures[first].is_valid = false;
        for at in first + 1..self.pictures.len() {
            let reference = self.pictures[at].reference;
            // One that is gone already was judged when this picture was marked last.
            let is_spoilt = self.pictures[first..at]
                .iter()
                .any(|earlier| Some(earlier.id) == reference && !earlier.is_valid);
            self.pictures[at].is_valid &= !is_spoilt;
        }
        true
    }

    /// An IDR empties the buffer. The memory stays.
    pub(crate) fn clear(&mut self, spare: &mut Vec<Vec<u8>>) {
        spare.extend(self.pictures.drain(..).map(|picture| picture.samples));
    }

    /// Takes a picture in, and the oldest one's memory out.
    pub(crate) fn push(
        &mut self,
        id: u64,
        frame_num: u32,
        reference: Option<u64>,
        samples: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let is_full = self.pictures.len() == self.references;
        let oldest = is_full.then(|| self.pictures.remove(0).samples);
        self.pictures.push(Stored { id, frame_num, reference, is_valid: true, samples });
        oldest
    }
}

/// A picture in planes, without what is cropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planes {
    /// Samples a row of luma.
    pub width: usize,
    /// Rows of luma.
    pub height: usize,
    /// Luma.
    pub y: Vec<u8>,
    /// Cb.
    pub u: Vec<u8>,
    /// Cr.
    pub v: Vec<u8>,
}

impl Planes {
    /// Out of macroblock order.
    pub(crate) fn new(chroma: Chroma, width: u32, height: u32, samples: &[u8]) -> Self {
        let (width, height) = (width as usize, height as usize);
        let columns = width.div_ceil(16);
        let side = chroma.side();
        let plane = |first: usize, side: usize| {
            let (width, height) = (width * side / 16, height * side / 16);
            let mut plane = Vec::with_capacity(width * height);
            for row in 0..height {
                for column in 0..width {
                    let block = row / side * columns + column / side;
                    plane.push(
                        samples
                            [block * chroma.macroblock_bytes() + first + row % side * side + column % side],
                    );
                }
            }
            plane
        };
        Self { width, height, y: plane(0, 16), u: plane(256, side), v: plane(256 + side * side, side) }
    }
}
