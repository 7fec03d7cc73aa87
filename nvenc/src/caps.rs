//! What a card's encoder can do, asked once for each codec.
//!
//! Promises: numbers that cannot be are refused by name, and what a driver does not know counts as not there.

use std::fmt;

use crate::encoder::Encoder;
use crate::error::{Lack, Nonsense, NvencError};
use crate::limits::ENGINES_MAX;
use crate::sys::*;

/// What a bitstream is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264.
    H264,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 3] = [Codec::H264, Codec::Hevc, Codec::Av1];

    /// As the interface names it.
    #[must_use]
    pub fn guid(self) -> GUID {
        match self {
            Codec::H264 => NV_ENC_CODEC_H264_GUID,
            Codec::Hevc => NV_ENC_CODEC_HEVC_GUID,
            Codec::Av1 => NV_ENC_CODEC_AV1_GUID,
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

/// How the samples of an input picture lie: planes one after the other, without a gap between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Luma, then chroma interleaved at half the size both ways; 8 bits.
    Nv12,
    /// As NV12 with 16 bits a sample, the upper ten used.
    P010,
    /// Three planes of one size; 8 bits.
    Yuv444,
    /// As that with 16 bits a sample, the upper ten used.
    Yuv444Ten,
}

impl Format {
    /// As the interface names it.
    #[must_use]
    pub fn number(self) -> NV_ENC_BUFFER_FORMAT {
        match self {
            Format::Nv12 => NV_ENC_BUFFER_FORMAT_NV12,
            Format::P010 => NV_ENC_BUFFER_FORMAT_YUV420_10BIT,
            Format::Yuv444 => NV_ENC_BUFFER_FORMAT_YUV444,
            Format::Yuv444Ten => NV_ENC_BUFFER_FORMAT_YUV444_10BIT,
        }
    }

    /// Its usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Nv12 => "NV12",
            Format::P010 => "P010",
            Format::Yuv444 => "YUV444",
            Format::Yuv444Ten => "YUV444 of 16 bits",
        }
    }

    /// Whether samples have ten bits.
    #[must_use]
    pub fn is_ten_bits(self) -> bool {
        matches!(self, Format::P010 | Format::Yuv444Ten)
    }

    /// Whether chroma is as fine as luma.
    #[must_use]
    pub fn is_full_chroma(self) -> bool {
        matches!(self, Format::Yuv444 | Format::Yuv444Ten)
    }

    /// Bytes of one row of luma.
    #[must_use]
    pub fn row_bytes(self, width: u32) -> usize {
        width as usize * if self.is_ten_bits() { 2 } else { 1 }
    }

    /// Rows of all its planes together, all with the luma's pitch.
    #[must_use]
    pub fn rows(self, height: u32) -> usize {
        let height = height as usize;
        if self.is_full_chroma() { 3 * height } else { height + height.div_ceil(2) }
    }
}

/// What a card can do with one codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Of which codec.
    pub codec: Codec,
    /// The largest picture.
    pub width_max: u32,
    /// The largest picture.
    pub height_max: u32,
    /// The smallest picture.
    pub width_min: u32,
    /// The smallest picture.
    pub height_min: u32,
    /// Macroblocks a picture at most; 0 where the driver does not say.
    pub blocks_max: u32,
    /// The highest level, in the codec's own count; 0 where the driver does not say.
    pub level_max: u32,
    /// Encoder engines on the card, at least one.
    pub engines: u32,
    /// Ten bits a sample.
    pub ten_bits: bool,
    /// 4:4:4.
    pub full_chroma: bool,
    /// Finished slices can be read while the rest is encoded.
    pub sub_frame: bool,
    /// References can be invalidated.
    pub invalidation: bool,
    /// More than one reference can be kept.
    pub many_references: bool,
    /// Intra refresh.
    pub intra_refresh: bool,
    /// A VBV size of one's own.
    pub vbv: bool,
    /// The bitrate can change in a session.
    pub live_bitrate: bool,
    /// The size can change in a session.
    pub live_size: bool,
    /// Constant bitrate.
    pub constant_bitrate: bool,
    /// Lookahead, which is never used here: pictures are not kept back.
    pub lookahead: bool,
    /// Input formats that the card takes, of those that exist here.
    pub formats: Vec<Format>,
}

impl Caps {
    /// Asks `encoder` about `codec`.
    ///
    /// # Errors
    /// The card does not encode it, or its driver's answers cannot be.
    pub(crate) fn probe(encoder: &Encoder, codec: Codec) -> Result<Caps, NvencError> {
        if !encoder.codecs()?.contains(&codec.guid()) {
            let device = encoder.device().to_owned();
            return Err(NvencError::Unable { device, codec, what: Lack::Codec });
        }
        let given = encoder.formats(codec)?;
        let all = [Format::Nv12, Format::P010, Format::Yuv444, Format::Yuv444Ten];
        let formats = all.into_iter().filter(|format| given.contains(&format.number())).collect();
        read(codec, formats, |cap| encoder.cap(codec, cap))
    }
}

/// Reads every cap by `ask`.
pub(crate) fn read(
    codec: Codec,
    formats: Vec<Format>,
    mut ask: impl FnMut(NV_ENC_CAPS) -> Result<i32, NvencError>,
) -> Result<Caps, NvencError> {
    let mut count = |cap: NV_ENC_CAPS, least: i32, most: i32| {
        let got = ask(cap)?;
        if (least..=most).contains(&got) {
            return Ok(got.unsigned_abs());
        }
        let what = Nonsense::Cap { cap: cap.name().unwrap_or("a cap"), got };
        Err(NvencError::Hostile { call: "nvEncGetEncodeCaps", what })
    };
    let size = 1 << 16;
    let modes = count(NV_ENC_CAPS_SUPPORTED_RATECONTROL_MODES, 0, i32::MAX)?;
    let (width_min, height_min) =
        (count(NV_ENC_CAPS_WIDTH_MIN, 0, size)?, count(NV_ENC_CAPS_HEIGHT_MIN, 0, size)?);
    let caps = Caps {
        codec,
        width_min,
        height_min,
        width_max: count(NV_ENC_CAPS_WIDTH_MAX, 1, size)?,
        height_max: count(NV_ENC_CAPS_HEIGHT_MAX, 1, size)?,
        blocks_max: count(NV_ENC_CAPS_MB_NUM_MAX, 0, i32::MAX)?,
        level_max: count(NV_ENC_CAPS_LEVEL_MAX, 0, 1 << 10)?,
        // Older drivers say 0 for one engine.
        engines: count(NV_ENC_CAPS_NUM_ENCODER_ENGINES, 0, ENGINES_MAX.cast_signed())?.max(1),
        ten_bits: count(NV_ENC_CAPS_SUPPORT_10BIT_ENCODE, 0, i32::MAX)? > 0,
        full_chroma: count(NV_ENC_CAPS_SUPPORT_YUV444_ENCODE, 0, i32::MAX)? > 0,
        sub_frame: count(NV_ENC_CAPS_SUPPORT_SUBFRAME_READBACK, 0, i32::MAX)? > 0,
        invalidation: count(NV_ENC_CAPS_SUPPORT_REF_PIC_INVALIDATION, 0, i32::MAX)? > 0,
        many_references: count(NV_ENC_CAPS_SUPPORT_MULTIPLE_REF_FRAMES, 0, i32::MAX)? > 0,
        intra_refresh: count(NV_ENC_CAPS_SUPPORT_INTRA_REFRESH, 0, i32::MAX)? > 0,
        vbv: count(NV_ENC_CAPS_SUPPORT_CUSTOM_VBV_BUF_SIZE, 0, i32::MAX)? > 0,
        live_bitrate: count(NV_ENC_CAPS_SUPPORT_DYN_BITRATE_CHANGE, 0, i32::MAX)? > 0,
        live_size: count(NV_ENC_CAPS_SUPPORT_DYN_RES_CHANGE, 0, i32::MAX)? > 0,
        constant_bitrate: modes & NV_ENC_PARAMS_RC_CBR.0 != 0,
        lookahead: count(NV_ENC_CAPS_SUPPORT_LOOKAHEAD, 0, i32::MAX)? > 0,
        formats,
    };
    for (cap, least, most) in [
        (NV_ENC_CAPS_WIDTH_MAX, caps.width_min, caps.width_max),
        (NV_ENC_CAPS_HEIGHT_MAX, caps.height_min, caps.height_max),
    ] {
        if least > most {
            let what = Nonsense::Cap { cap: cap.name().unwrap_or("a cap"), got: most.cast_signed() };
            return Err(NvencError::Hostile { call: "nvEncGetEncodeCaps", what });
        }
    }
    Ok(caps)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A common card of 2022.
    pub(crate) fn common(codec: Codec) -> Caps {
        let max = if codec == Codec::H264 { 4096 } else { 8192 };
        Caps {
            codec,
            width_max: max,
            height_max: max,
            width_min: 145,
            height_min: 49,
            blocks_max: max / 16 * (max / 16),
            level_max: if codec == Codec::H264 { 62 } else { 0 },
            engines: 2,
            ten_bits: codec != Codec::H264,
            full_chroma: codec != Codec::Av1,
            sub_frame: true,
            invalidation: true,
            many_references: true,
            intra_refresh: true,
            vbv: true,
            live_bitrate: true,
            live_size: true,
            constant_bitrate: true,
            lookahead: true,
            formats: vec![Format::Nv12, Format::P010, Format::Yuv444, Format::Yuv444Ten],
        }
    }

    fn answer(cap: NV_ENC_CAPS) -> i32 {
        match cap {
            NV_ENC_CAPS_WIDTH_MAX | NV_ENC_CAPS_HEIGHT_MAX => 4096,
            NV_ENC_CAPS_WIDTH_MIN | NV_ENC_CAPS_HEIGHT_MIN => 48,
            NV_ENC_CAPS_SUPPORTED_RATECONTROL_MODES => 0x3f,
            NV_ENC_CAPS_NUM_ENCODER_ENGINES => 0,
            _ => 1,
        }
    }

    #[test]
    fn caps_are_what_the_driver_says() {
        let caps = read(Codec::H264, vec![], |cap| Ok(answer(cap))).expect("sound answers");
        assert_eq!((caps.width_max, caps.height_min, caps.engines), (4096, 48, 1));
        assert!(caps.constant_bitrate && caps.sub_frame && caps.invalidation);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_by_name() {
        for (wrong, got) in [
            (NV_ENC_CAPS_WIDTH_MAX, 0),
            (NV_ENC_CAPS_HEIGHT_MAX, -1),
            (NV_ENC_CAPS_HEIGHT_MAX, 40),
            (NV_ENC_CAPS_NUM_ENCODER_ENGINES, 1000),
            (NV_ENC_CAPS_SUPPORT_10BIT_ENCODE, -5),
            (NV_ENC_CAPS_LEVEL_MAX, 1 << 20),
        ] {
            let answers = |cap| Ok(if cap == wrong { got } else { answer(cap) });
            let error = read(Codec::Hevc, vec![], answers).expect_err("nonsense");
            assert!(error.to_string().contains(wrong.name().expect("known")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_driver_says_is_believed_or_refused(answers in proptest::collection::vec(any::<i32>(), 60)) {
            if let Ok(caps) = read(Codec::Av1, vec![], |cap| Ok(answers[cap.0 as usize])) {
                prop_assert!(caps.width_min <= caps.width_max && caps.width_max <= 1 << 16);
                prop_assert!(caps.engines >= 1 && caps.engines <= ENGINES_MAX);
            }
        }

        #[test]
        fn a_formats_rows_hold_its_samples(width in 1u32..9000, height in 1u32..9000) {
            for format in [Format::Nv12, Format::P010, Format::Yuv444, Format::Yuv444Ten] {
                let bytes = format.row_bytes(width) * format.rows(height);
                let luma = width as usize * height as usize * if format.is_ten_bits() { 2 } else { 1 };
                prop_assert!(bytes >= luma + luma / 2 && bytes <= 3 * luma + 2 * format.row_bytes(width));
            }
        }
    }
}
