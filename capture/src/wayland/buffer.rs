//! Memory that the compositor writes pictures into, and this program reads.
//!
//! What is it: memory of our own, and the `wl_buffer` by which the compositor knows it. What does it promise: nobody
//! reads it while the compositor may write to it. What does it refuse: layouts that are not 32 bits of 8-bit colours,
//! and sizes that contradict themselves.

use std::os::fd::AsFd;

use wayland_client::protocol::{wl_buffer::WlBuffer, wl_shm};
use wayland_client::{QueueHandle, WEnum};

use super::screen::Screen;
use crate::limits::{SIDE_MAX, SIDE_MIN};
use crate::mapping::OwnMemory;
use crate::threaded::Holds;
use crate::{Diagnosis, PixelFormat, Pixels};

const BYTES_PER_PIXEL: u32 = 4;

/// The orders of bytes that are taken; the fourth byte, alpha or nothing, is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    /// Blue first: XRGB8888 and ARGB8888, which are named as little-endian words.
    Bgrx,
    /// Red first: XBGR8888 and ABGR8888. Turned to blue first in place.
    Rgbx,
}

impl ByteOrder {
    /// That of a format, if it is read.
    pub(super) fn of(format: WEnum<wl_shm::Format>) -> Option<Self> {
        use wl_shm::Format;
        match format {
            WEnum::Value(Format::Xrgb8888 | Format::Argb8888) => Some(Self::Bgrx),
            WEnum::Value(Format::Xbgr8888 | Format::Abgr8888) => Some(Self::Rgbx),
            WEnum::Value(_) | WEnum::Unknown(_) => None,
        }
    }
}

/// What a buffer has to be, as the compositor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    format: wl_shm::Format,
    pub(super) order: ByteOrder,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bytes from row to row.
    pub(super) stride: u32,
}

impl Shape {
    /// The shape that the compositor asks for. Its numbers come from another process.
    pub(super) fn parse(
        format: WEnum<wl_shm::Format>,
        width: u32,
        height: u32,
        stride: u32,
    ) -> Result<Self, Diagnosis> {
        let refuse = |why: &str| {
            let name = match format {
                WEnum::Value(known) => format!("{known:?}"),
                WEnum::Unknown(fourcc) => format!("format {fourcc:#010x}"),
            };
            let offered = format!("{width}x{height} {name} with {stride} bytes a row: {why}");
            Err(Diagnosis::BufferRefused { offered })
        };
        let (Some(order), WEnum::Value(format)) = (ByteOrder::of(format), format) else {
            return refuse("only XRGB8888, ARGB8888, XBGR8888 and ABGR8888 are read");
        };
        let sides = SIDE_MIN..=SIDE_MAX;
        if !sides.contains(&width) || !sides.contains(&height) {
            return refuse(&format!("sides must be {SIDE_MIN} to {SIDE_MAX} pixels"));
        }
        let row_bytes = width * BYTES_PER_PIXEL;
        if stride < row_bytes || stride > 2 * row_bytes + 4096 || !stride.is_multiple_of(BYTES_PER_PIXEL) {
            return refuse("the row length does not fit the width");
        }
        let shape = Self { format, order, width, height, stride };
        if i32::try_from(shape.bytes()).is_err() {
            return refuse("a buffer can have 2 GiB at most");
        }
        Ok(shape)
    }

    /// Bytes of the whole picture. Fits: a side is at most 2^14, a row at most 2^18 bytes.
    pub(super) fn bytes(&self) -> usize {
        self.stride as usize * self.height as usize
    }

    /// The format's name, of those that are parsed.
    pub(super) fn format_name(&self) -> &'static str {
        match self.format {
            wl_shm::Format::Xrgb8888 => "XRGB8888",
            wl_shm::Format::Argb8888 => "ARGB8888",
            wl_shm::Format::Xbgr8888 => "XBGR8888",
            _ => "ABGR8888",
        }
    }
}

/// One buffer; its memory goes with it.
#[derive(Debug)]
pub struct Buffer {
    pub(super) shape: Shape,
    pub(super) wl_buffer: WlBuffer,
    memory: OwnMemory,
}

impl Buffer {
    pub(super) fn make(
        shape: Shape,
        shm: &wl_shm::WlShm,
        queue: &QueueHandle<Screen>,
    ) -> Result<Self, Diagnosis> {
        let (file, memory) = OwnMemory::make(shape.bytes()).map_err(|error| Diagnosis::BufferRefused {
            offered: format!("{} bytes of shared memory: {error}", shape.bytes()),
        })?;
        // `parse` saw to it that all of them fit.
        let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let pool = shm.create_pool(file.as_fd(), i32::try_from(shape.bytes()).unwrap_or(i32::MAX), queue, ());
        let wl_buffer = pool.create_buffer(
            0,
            int(shape.width),
            int(shape.height),
            int(shape.stride),
            shape.format,
            queue,
            (),
        );
        // The buffer keeps the pool's memory; the descriptor was sent and is closed here.
        pool.destroy();
        Ok(Self { shape, wl_buffer, memory })
    }

    /// Makes an upright BGRX picture out of what was copied.
    pub(super) fn normalise(&mut self, y_invert: bool) {
        let shape = self.shape;
        let bytes = self.memory.bytes_mut();
        if y_invert {
            flip(bytes, shape.stride as usize);
        }
        match shape.order {
            ByteOrder::Bgrx => {}
            ByteOrder::Rgbx => swap_red_blue(bytes),
        }
    }
}

/// Only of buffers that the compositor was not asked to write to.
impl Holds for Buffer {
    fn pixels(&self) -> Pixels<'_> {
        Pixels::Memory {
            format: PixelFormat::Bgrx,
            stride: self.shape.stride as usize,
            bytes: self.memory.bytes(),
        }
    }

    fn format_name(&self) -> &'static str {
        self.shape.format_name()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A compositor that is about to copy keeps its own mapping.
        self.wl_buffer.destroy();
    }
}

/// Turns the rows upside down, in place.
fn flip(bytes: &mut [u8], stride: usize) {
    let mut rows = bytes.chunks_exact_mut(stride);
    while let (Some(top), Some(bottom)) = (rows.next(), rows.next_back()) {
        top.swap_with_slice(bottom);
    }
}

/// RGBX to BGRX and back, in place.
fn swap_red_blue(bytes: &mut [u8]) {
    for pixel in bytes.chunks_exact_mut(BYTES_PER_PIXEL as usize) {
        pixel.swap(0, 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(format: wl_shm::Format, width: u32, height: u32, stride: u32) -> Result<Shape, String> {
        Shape::parse(WEnum::Value(format), width, height, stride).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn takes_the_four_and_names_the_rest() {
        use wl_shm::Format;
        assert_eq!(parse(Format::Xrgb8888, 1280, 720, 5120).unwrap().order, ByteOrder::Bgrx);
        assert_eq!(parse(Format::Argb8888, 1280, 720, 5120).unwrap().order, ByteOrder::Bgrx);
        assert_eq!(parse(Format::Xbgr8888, 1280, 720, 5120).unwrap().order, ByteOrder::Rgbx);
        assert_eq!(parse(Format::Abgr8888, 1280, 720, 5120).unwrap().bytes(), 5120 * 720);
        assert_eq!(parse(Format::Abgr8888, 1280, 720, 5120).unwrap().format_name(), "ABGR8888");
        let error = parse(Format::Xrgb2101010, 1280, 720, 5120).unwrap_err();
        assert!(error.contains("Xrgb2101010") && error.contains("ABGR8888"), "{error}");
        let error = Shape::parse(WEnum::Unknown(0x3432_5258), 1280, 720, 5120).unwrap_err();
        assert!(error.to_string().contains("0x34325258"), "{error}");
        for (width, height, stride) in [
            (0, 720, 0),
            (1280, 0, 5120),
            (1280, 720, 5116),
            (1280, 720, 5122),
            (1280, 720, u32::MAX),
            (16_385, 16, 65_540),
        ] {
            assert!(parse(Format::Xrgb8888, width, height, stride).is_err(), "{width} {height} {stride}");
        }
    }

    #[test]
    fn flips_and_swaps() {
        let mut bytes = *b"aaAAbbBBccCC";
        flip(&mut bytes, 4);
        assert_eq!(&bytes, b"ccCCbbBBaaAA");
        let mut even = *b"abcd";
        flip(&mut even, 1);
        assert_eq!(&even, b"dcba");
        let mut pixels = *b"RGBxrgbx";
        swap_red_blue(&mut pixels);
        assert_eq!(&pixels, b"BGRxbgrx");
    }

    proptest! {
        #[test]
        fn no_numbers_panic(format: u32, width: u32, height: u32, stride: u32) {
            let format = wl_shm::Format::try_from(format).map_or(WEnum::Unknown(format), WEnum::Value);
            if let Ok(shape) = Shape::parse(format, width, height, stride) {
                prop_assert!(shape.bytes() >= width as usize * height as usize * 4);
            }
            if let Ok(shape) = Shape::parse(WEnum::Value(wl_shm::Format::Xrgb8888), width % 20_000, height % 20_000, stride % 90_000) {
                prop_assert!(shape.stride >= shape.width * 4);
            }
        }
    }
}
