//! What a device can decode.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::fmt;

use punktfunk_cuda::Context;

use crate::error::NvdecError;
use crate::library::{Library, call};
use crate::limits::SIDE_MAX;
use crate::sys::{
    CHROMA_420, CHROMA_444, CODEC_AV1, CODEC_H264, CODEC_HEVC, CUVIDDECODECAPS, SURFACE_NV12, SURFACE_P016,
    SURFACE_YUV444, SURFACE_YUV444_16,
};

/// A codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, in Annex B form.
    H264,
    /// HEVC, in Annex B form.
    Hevc,
    /// AV1, a stream of open bitstream units.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 3] = [Codec::H264, Codec::Hevc, Codec::Av1];

    pub(crate) fn number(self) -> c_int {
        match self {
            Codec::H264 => CODEC_H264,
            Codec::Hevc => CODEC_HEVC,
            Codec::Av1 => CODEC_AV1,
        }
    }

    /// What says that an access unit has ended, to a parser that reads a stream of bytes: H.264's and HEVC's access unit
    /// delimiter for any picture type, AV1's temporal delimiter.
    pub(crate) fn delimiter(self) -> &'static [u8] {
        match self {
            Codec::H264 => &[0, 0, 0, 1, 0x09, 0xf0],
            Codec::Hevc => &[0, 0, 0, 1, 0x46, 0x01, 0x50],
            Codec::Av1 => &[0x12, 0x00],
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::H264 => "H.264",
            Codec::Hevc => "HEVC",
            Codec::Av1 => "AV1",
        })
    }
}

/// Bits of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// 8.
    Eight,
    /// 10, in the upper part of 16.
    Ten,
}

impl Depth {
    pub(crate) fn minus8(self) -> u32 {
        match self {
            Depth::Eight => 0,
            Depth::Ten => 2,
        }
    }

    /// Bytes of one sample.
    #[must_use]
    pub fn sample_bytes(self) -> usize {
        match self {
            Depth::Eight => 1,
            Depth::Ten => 2,
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Depth::Eight => "8 bits",
            Depth::Ten => "10 bits",
        })
    }
}

/// How many samples of colour there are to those of brightness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chroma {
    /// 4:2:0: half as many each way.
    Half,
    /// 4:4:4: as many.
    Full,
}

impl Chroma {
    pub(crate) fn number(self) -> c_int {
        match self {
            Chroma::Half => CHROMA_420,
            Chroma::Full => CHROMA_444,
        }
    }

    /// How pictures lie that come out.
    pub(crate) fn surface(self, depth: Depth) -> c_int {
        match (self, depth) {
            (Chroma::Half, Depth::Eight) => SURFACE_NV12,
            (Chroma::Half, Depth::Ten) => SURFACE_P016,
            (Chroma::Full, Depth::Eight) => SURFACE_YUV444,
            (Chroma::Full, Depth::Ten) => SURFACE_YUV444_16,
        }
    }

    /// Rows of all planes together, of a picture with so many rows of luma.
    pub(crate) fn rows(self, luma: usize) -> usize {
        match self {
            Chroma::Half => luma + luma / 2,
            Chroma::Full => 3 * luma,
        }
    }
}

impl fmt::Display for Chroma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Chroma::Half => "4:2:0",
            Chroma::Full => "4:4:4",
        })
    }
}

/// What a device decodes of a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Engines that can.
    pub engines: u8,
    /// Coded width and height at most, and never more than is decoded by this crate.
    pub sides_max: (u32, u32),
    /// Coded width and height at least.
    pub sides_min: (u32, u32),
    /// Macroblocks of 16 × 16 pixels at most.
    pub macroblocks_max: u32,
}

impl Caps {
    /// Whether pictures of these coded sides are decoded.
    #[must_use]
    pub fn has_sides(&self, width: u32, height: u32) -> bool {
        let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
        (self.sides_min.0..=self.sides_max.0).contains(&width)
            && (self.sides_min.1..=self.sides_max.1).contains(&height)
            && macroblocks <= u64::from(self.macroblocks_max)
    }
}

impl Library {
    /// What the context's device decodes of `codec` in 4:2:0; none where it does not.
    ///
    /// # Errors
    /// The call failed.
    pub fn caps(&self, context: &Context, codec: Codec, depth: Depth) -> Result<Option<Caps>, NvdecError> {
        self.caps_in(context, codec, depth, Chroma::Half)
    }

    /// The same in `chroma`.
    ///
    /// # Errors
    /// The call failed.
    pub fn caps_in(
        &self,
        context: &Context,
        codec: Codec,
        depth: Depth,
        chroma: Chroma,
    ) -> Result<Option<Caps>, NvdecError> {
        let mut caps = CUVIDDECODECAPS {
            eCodecType: codec.number(),
            eChromaFormat: chroma.number(),
            nBitDepthMinus8: depth.minus8(),
            ..CUVIDDECODECAPS::default()
        };
        // SAFETY: the driver fills the structure, which has the size that it knows.
        Self::within(context, || unsafe { call!(self, context, cuvidGetDecoderCaps(&raw mut caps)) })?;
        let has_surface = caps.nOutputFormatMask & (1 << chroma.surface(depth)) != 0;
        Ok((caps.bIsSupported != 0 && has_surface).then(|| Caps {
            engines: caps.nNumNVDECs,
            sides_max: (caps.nMaxWidth.min(SIDE_MAX), caps.nMaxHeight.min(SIDE_MAX)),
            sides_min: (caps.nMinWidth.into(), caps.nMinHeight.into()),
            macroblocks_max: caps.nMaxMBCount,
        }))
    }
}
