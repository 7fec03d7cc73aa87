//! Pictures in planar YUV 4:2:0, borrowed ([`I420`]) and owned ([`I420Buffer`]).
//!
//! Promised: a value of either type has even sides and planes that are long enough, so that no reader checks again.
//! Refused: odd or zero sides, strides shorter than a row, planes shorter than their rows.

use crate::CodecError;

/// A borrowed 8-bit 4:2:0 picture: a luma plane and two chroma planes of half its sides.
#[derive(Debug, Clone, Copy)]
pub struct I420<'a> {
    width: u32,
    height: u32,
    stride_y: usize,
    stride_uv: usize,
    y: &'a [u8],
    u: &'a [u8],
    v: &'a [u8],
}

impl<'a> I420<'a> {
    /// A picture of `width` × `height` pixels out of three planes, strides in bytes; `stride_uv` is that of both
    /// chroma planes. The last row of a plane may end at its last pixel.
    ///
    /// # Errors
    /// [`CodecError::Size`] for zero or odd sides, [`CodecError::Plane`] for a stride or plane too short.
    pub fn new(
        (width, height): (u32, u32),
        (y, stride_y): (&'a [u8], usize),
        (u, v, stride_uv): (&'a [u8], &'a [u8], usize),
    ) -> Result<Self, CodecError> {
        check_sides(width, height)?;
        let (columns, rows) = (width as usize, height as usize);
        check_plane("Y", y.len(), stride_y, columns, rows)?;
        check_plane("U", u.len(), stride_uv, columns / 2, rows / 2)?;
        check_plane("V", v.len(), stride_uv, columns / 2, rows / 2)?;
        Ok(Self { width, height, stride_y, stride_uv, y, u, v })
    }

    /// A picture whose planes follow each other in `bytes`: Y with `stride` bytes a row, then U and V with
    /// `stride / 2` bytes a row.
    ///
    /// # Errors
    /// As [`I420::new`]; an odd stride is [`CodecError::Plane`] too.
    pub fn contiguous(width: u32, height: u32, stride: usize, bytes: &'a [u8]) -> Result<Self, CodecError> {
        check_sides(width, height)?;
        let rows = height as usize;
        let luma = stride.saturating_mul(rows);
        let chroma = luma / 4;
        let expected = luma.saturating_add(2 * chroma);
        if !stride.is_multiple_of(2) || bytes.len() < expected {
            return Err(CodecError::Plane { plane: "YUV", stride, bytes: bytes.len(), expected });
        }
        let (y, rest) = bytes.split_at(luma);
        let (u, v) = rest.split_at(chroma);
        Self::new((width, height), (y, stride), (u, v, stride / 2))
    }

    /// Width in pixels, even.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, even.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one luma row to the next.
    pub fn stride_y(&self) -> usize {
        self.stride_y
    }

    /// Bytes from one chroma row to the next, in both chroma planes.
    pub fn stride_uv(&self) -> usize {
        self.stride_uv
    }

    /// The luma plane.
    pub fn y(&self) -> &'a [u8] {
        self.y
    }

    /// The blue-difference plane.
    pub fn u(&self) -> &'a [u8] {
        self.u
    }

    /// The red-difference plane.
    pub fn v(&self) -> &'a [u8] {
        self.v
    }
}

/// An owned, reused picture whose planes follow each other without gaps.
#[derive(Debug, Clone)]
pub struct I420Buffer {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl I420Buffer {
    /// A black picture (limited range) of `width` × `height` pixels.
    ///
    /// # Errors
    /// [`CodecError::Size`] for zero or odd sides, [`CodecError::TooLarge`] past this crate's limits.
    pub fn new(width: u32, height: u32) -> Result<Self, CodecError> {
        check_sides(width, height)?;
        crate::error::check_picture_size(width, height)?;
        let luma = width as usize * height as usize;
        let mut bytes = vec![128; luma / 2 * 3];
        bytes[..luma].fill(16);
        Ok(Self { width, height, bytes })
    }

    /// Width in pixels, even.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, even.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The picture, lent.
    pub fn as_i420(&self) -> I420<'_> {
        let (width, height) = (self.width as usize, self.height as usize);
        let (y, rest) = self.bytes.split_at(width * height);
        let (u, v) = rest.split_at(rest.len() / 2);
        I420 { width: self.width, height: self.height, stride_y: width, stride_uv: width / 2, y, u, v }
    }

    /// The planes Y, U and V to write to; strides are `width`, `width / 2`, `width / 2`.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let luma = self.width as usize * self.height as usize;
        let (y, rest) = self.bytes.split_at_mut(luma);
        let (u, v) = rest.split_at_mut(luma / 4);
        (y, u, v)
    }
}

fn check_sides(width: u32, height: u32) -> Result<(), CodecError> {
    let good = |side: u32| side != 0 && side.is_multiple_of(2);
    if good(width) && good(height) { Ok(()) } else { Err(CodecError::Size { width, height }) }
}

fn check_plane(
    plane: &'static str,
    bytes: usize,
    stride: usize,
    columns: usize,
    rows: usize,
) -> Result<(), CodecError> {
    let expected = stride.saturating_mul(rows - 1).saturating_add(columns);
    if stride < columns || bytes < expected {
        return Err(CodecError::Plane { plane, stride, bytes, expected });
    }
    Ok(())
}
