//! A decoded picture, lent by its decoder.

#![allow(unsafe_code)]

use std::sync::Arc;

use punktfunk_cuda::{Context, DeviceBuffer, Extent, Rows};

use crate::caps::{Chroma, Depth};
use crate::hardware::Hardware;

/// Where a plane of a picture stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// In the picture's memory.
    pub rows: Rows,
    /// How much of it is visible.
    pub extent: Extent,
}

/// A decoded picture on the device: luma, then Cb and Cr by turns ([`Chroma::Half`]) or one after the other
/// ([`Chroma::Full`]). It keeps its decoder, and is given back when it is dropped.
#[derive(Debug)]
pub struct Frame {
    hardware: Arc<Hardware>,
    pointer: u64,
    pitch: usize,
}

impl Frame {
    pub(crate) fn new(hardware: Arc<Hardware>, pointer: u64, pitch: usize) -> Self {
        Self { hardware, pointer, pitch }
    }

    /// Visible pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.hardware.format.sides().0
    }

    /// Visible pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.hardware.format.sides().1
    }

    /// Bits of a sample.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.hardware.format.depth
    }

    /// How many samples of colour there are.
    #[must_use]
    pub fn colour(&self) -> Chroma {
        self.hardware.format.chroma
    }

    /// The luma plane.
    #[must_use]
    pub fn luma(&self) -> Plane {
        let (width, height) = self.hardware.format.sides();
        let width_bytes = width as usize * self.depth().sample_bytes();
        let rows = Rows { offset: 0, pitch: self.pitch };
        Plane { rows, extent: Extent { width_bytes, rows: height as usize } }
    }

    /// The planes of Cb and of Cr, where they are as large as luma's ([`Chroma::Full`]).
    #[must_use]
    pub fn full_chroma(&self) -> [Plane; 2] {
        let luma = self.luma();
        [1, 2].map(|at| {
            let offset = at * self.pitch * self.hardware.format.rows();
            Plane { rows: Rows { offset, ..luma.rows }, ..luma }
        })
    }

    /// The plane of Cb and Cr by turns, where they are half as large ([`Chroma::Half`]).
    #[must_use]
    pub fn chroma(&self) -> Plane {
        let (width, height) = self.hardware.format.sides();
        let width_bytes = width.next_multiple_of(2) as usize * self.depth().sample_bytes();
        let rows = Rows { offset: self.pitch * self.hardware.format.rows(), pitch: self.pitch };
        Plane { rows, extent: Extent { width_bytes, rows: height.div_ceil(2) as usize } }
    }
}

// SAFETY: the driver mapped luma and chroma of so many rows at that pitch, and they are given back only after the context has
// settled.
unsafe impl DeviceBuffer for Frame {
    fn pointer(&self) -> u64 {
        self.pointer
    }

    fn bytes(&self) -> usize {
        self.pitch * self.colour().rows(self.hardware.format.rows())
    }

    fn context(&self) -> &Context {
        self.hardware.context()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.hardware.unmap(self.pointer);
    }
}
