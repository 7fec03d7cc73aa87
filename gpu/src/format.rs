//! What pictures look like before and after the conversion: pixel formats by their names of DRM, formats that encoders
//! take, and what a sample's value means.
//!
//! Promises: a name that is in [`SOURCES`] can be read by the shader from any memory; whether a GPU can also import it with
//! a modifier is [`crate::Device::import_formats`]'s to say. Refuses: pixels of 16 bits in floating point, which want a
//! transfer curve; and of pictures that are not RGB all but [`Fourcc::YUV420`] in memory, whose samples are only scaled.

use std::fmt;

/// A pixel format by DRM's four characters, little endian (`drm_fourcc.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fourcc(pub u32);

impl Fourcc {
    /// Bytes blue, green, red, unused.
    pub const XRGB8888: Self = Self::of(b"XR24");
    /// Bytes blue, green, red, alpha.
    pub const ARGB8888: Self = Self::of(b"AR24");
    /// Bytes red, green, blue, unused.
    pub const XBGR8888: Self = Self::of(b"XB24");
    /// Bytes red, green, blue, alpha.
    pub const ABGR8888: Self = Self::of(b"AB24");
    /// A word with blue in bits 0 to 9, green, red, two unused.
    pub const XRGB2101010: Self = Self::of(b"XR30");
    /// A word with blue in bits 0 to 9, green, red, two of alpha.
    pub const ARGB2101010: Self = Self::of(b"AR30");
    /// A word with red in bits 0 to 9, green, blue, two unused.
    pub const XBGR2101010: Self = Self::of(b"XB30");
    /// A word with red in bits 0 to 9, green, blue, two of alpha.
    pub const ABGR2101010: Self = Self::of(b"AB30");

    /// Planes Y, U and V of 4:2:0, 8 bits, the latter two with half of Y's distance from row to row, without gaps between
    /// the planes.
    pub const YUV420: Self = Self::of(b"YU12");

    const fn of(name: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*name))
    }
}

impl fmt::Display for Fourcc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.to_le_bytes();
        match bytes.iter().all(u8::is_ascii_graphic) {
            true => bytes.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte))),
            false => write!(f, "{:#010x}", self.0),
        }
    }
}

impl fmt::Debug for Fourcc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The modifier of rows one after the other.
pub const LINEAR: u64 = 0;

/// How a pixel's word holds its colours; alpha is never looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Eight bits each, blue lowest.
    Bgr8,
    /// Eight bits each, red lowest.
    Rgb8,
    /// Ten bits each, blue lowest.
    Bgr10,
    /// Ten bits each, red lowest.
    Rgb10,
}

impl Order {
    /// Bits of one colour.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Order::Bgr8 | Order::Rgb8 => 8,
            Order::Bgr10 | Order::Rgb10 => 10,
        }
    }

    /// Red, green and blue of a pixel's word.
    #[must_use]
    pub fn rgb(self, word: u32) -> [u32; 3] {
        let bits = self.bits();
        let [low, mid, high] = [0, 1, 2].map(|index| word >> (index * bits) & ((1 << bits) - 1));
        match self {
            Order::Bgr8 | Order::Bgr10 => [high, mid, low],
            Order::Rgb8 | Order::Rgb10 => [low, mid, high],
        }
    }
}

/// Formats of RGB that pictures may come in, all of four bytes a pixel.
pub const SOURCES: &[(Fourcc, Order)] = &[
    (Fourcc::XRGB8888, Order::Bgr8),
    (Fourcc::ARGB8888, Order::Bgr8),
    (Fourcc::XBGR8888, Order::Rgb8),
    (Fourcc::ABGR8888, Order::Rgb8),
    (Fourcc::XRGB2101010, Order::Bgr10),
    (Fourcc::ARGB2101010, Order::Bgr10),
    (Fourcc::XBGR2101010, Order::Rgb10),
    (Fourcc::ABGR2101010, Order::Rgb10),
];

/// Bytes of one pixel of every format of [`SOURCES`].
pub const PIXEL_BYTES: u32 = 4;

/// How a format of [`SOURCES`] is read; none for another.
#[must_use]
pub fn order(fourcc: Fourcc) -> Option<Order> {
    SOURCES.iter().find(|(name, _)| *name == fourcc).map(|(_, order)| *order)
}

/// What an encoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputFormat {
    /// 4:2:0, 8 bits: Y, then U and V in turn.
    Nv12,
    /// 4:2:0, 10 bits in the upper bits of 16: Y, then U and V in turn.
    P010,
    /// 4:4:4, 8 bits: Y, U, V.
    Yuv444,
    /// 4:4:4, 10 bits in the upper bits of 16: Y, U, V.
    Yuv444p10,
    /// 4:2:0, 8 bits: Y, U, V, the latter two with half of Y's pitch.
    I420,
}

impl OutputFormat {
    /// Every one of them.
    pub const ALL: [Self; 5] = [Self::Nv12, Self::P010, Self::Yuv444, Self::Yuv444p10, Self::I420];

    /// Bits of a sample's value.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            OutputFormat::Nv12 | OutputFormat::Yuv444 | OutputFormat::I420 => 8,
            OutputFormat::P010 | OutputFormat::Yuv444p10 => 10,
        }
    }

    /// Bytes that a sample stands in.
    #[must_use]
    pub fn sample_bytes(self) -> u32 {
        if self.bits() == 8 { 1 } else { 2 }
    }

    /// Whether chroma has half of luma's columns and rows.
    #[must_use]
    pub fn is_420(self) -> bool {
        match self {
            OutputFormat::Nv12 | OutputFormat::P010 | OutputFormat::I420 => true,
            OutputFormat::Yuv444 | OutputFormat::Yuv444p10 => false,
        }
    }
}

/// Weights of red and blue in luma; green has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601-7, item 2.5.1: 0.299, 0.114.
    Bt601,
    /// ITU-R BT.709-6, item 3.2: 0.2126, 0.0722.
    Bt709,
    /// ITU-R BT.2020-2, table 4, non-constant luminance: 0.2627, 0.0593.
    Bt2020,
}

impl Matrix {
    /// Weights of red and of blue.
    #[must_use]
    pub fn weights(self) -> (f64, f64) {
        match self {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// Which values samples take (ITU-T H.273, 8.3, `VideoFullRangeFlag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range {
    /// Luma 16 to 235, chroma 16 to 240, at 8 bits.
    Limited,
    /// All of them.
    Full,
}

/// Where 4:2:0 chroma samples lie (ITU-T H.273, 8.7, `ChromaSampleLocType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Siting {
    /// On even columns, between two rows (0): what H.264 and HEVC mean where nothing is said.
    Left,
    /// Between two columns and two rows (1).
    Centre,
    /// On even columns and even rows (2): what BT.2020 and HDR10 want.
    TopLeft,
}

/// What a sample's value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Weights of the colours in luma.
    pub matrix: Matrix,
    /// Which values samples take.
    pub range: Range,
    /// Where chroma samples lie; without meaning for 4:4:4.
    pub siting: Siting,
}

impl Colour {
    /// What a desktop in standard range is sent as.
    pub const BT709: Self = Self { matrix: Matrix::Bt709, range: Range::Limited, siting: Siting::Left };
    /// What a desktop in high dynamic range is sent as.
    pub const BT2020: Self = Self { matrix: Matrix::Bt2020, range: Range::Limited, siting: Siting::TopLeft };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_drms_and_words_are_read_as_they_say() {
        assert_eq!(Fourcc::XRGB8888.0, 0x3432_5258);
        assert_eq!(Fourcc::ABGR2101010.0, 0x3033_4241);
        assert_eq!(Fourcc::XRGB8888.to_string(), "XR24");
        assert_eq!(Fourcc(7).to_string(), "0x00000007");
        assert_eq!(Order::Bgr8.rgb(0xff01_0203), [1, 2, 3]);
        assert_eq!(Order::Rgb8.rgb(0xff01_0203), [3, 2, 1]);
        assert_eq!(Order::Bgr10.rgb(0xc000_0000 | 1023 << 20 | 2 << 10 | 3), [1023, 2, 3]);
        assert_eq!(Order::Rgb10.rgb(1023 << 20 | 2 << 10 | 3), [3, 2, 1023]);
        assert_eq!(order(Fourcc(0)), None);
    }
}
