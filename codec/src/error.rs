//! What can go wrong at this crate's edge, and whose fault it is.

use crate::limits::{AU_BYTES_MAX, MACROBLOCKS_MAX, SIDE_MAX};

/// An error of the codecs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A side is zero, odd or shorter than a macroblock: 4:2:0 has no half chroma pixels.
    #[error("a picture of {width}x{height} cannot be coded: both sides must be even and at least 16 pixels")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The picture is larger than software H.264 goes.
    #[error(
        "a picture of {width}x{height} ({macroblocks} macroblocks) is too large for the software H.264 codec: \
         at most {MACROBLOCKS_MAX} macroblocks (4096x2304) and {SIDE_MAX} pixels a side; ask for a smaller mode"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Macroblocks of 16 × 16 pixels that it has.
        macroblocks: u64,
    },
    /// A plane or its stride is too short for the picture's sides.
    #[error("plane {plane}: {bytes} bytes with a stride of {stride}, but {expected} bytes are needed")]
    Plane {
        /// Which plane.
        plane: &'static str,
        /// Bytes from row to row.
        stride: usize,
        /// Bytes that came.
        bytes: usize,
        /// Bytes that the sides and the stride ask for.
        expected: usize,
    },
    /// The picture has not the size that the encoder was made for; a new size takes a new encoder.
    #[error("the encoder was made for {expected:?} pixels, but a picture of {came:?} came")]
    SizeChanged {
        /// Width and height that the encoder codes.
        expected: (u32, u32),
        /// Width and height of the picture that came.
        came: (u32, u32),
    },
    /// A setting of the encoder is outside of its range.
    #[error("{name} of {value} is out of range: {min} to {max}")]
    Setting {
        /// Which setting, with its unit.
        name: &'static str,
        /// What was asked for.
        value: u64,
        /// The least that is taken.
        min: u64,
        /// The most that is taken.
        max: u64,
    },
    /// The library refused a call: our fault or its own, never the stream's.
    #[error("openh264 refused to {step} (code {code})")]
    Library {
        /// What was asked of it.
        step: &'static str,
        /// Its return code.
        code: i64,
    },
    /// The access unit is larger than any real one.
    #[error("an access unit of {bytes} bytes is larger than {AU_BYTES_MAX}")]
    AuTooLarge {
        /// Bytes that came.
        bytes: usize,
    },
    /// The access unit could not be decoded: it is damaged, incomplete, or no H.264. The decoder needs an IDR next.
    #[error("the access unit cannot be decoded: {flaw}; the next IDR starts anew")]
    Damaged {
        /// What the decoder found.
        flaw: Flaw,
    },
}

/// What the decoder found wrong with an access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A picture that it refers to was lost or damaged, or no IDR has come yet.
    #[error("a reference picture is missing")]
    ReferenceLost,
    /// Parameter sets have not come.
    #[error("no parameter sets came before it")]
    ParameterSetsMissing,
    /// The bits make no sense, or slices are missing.
    #[error("its bits make no sense or a part of it is missing")]
    Bits,
    /// It decodes to a picture only by inventing parts of it.
    #[error("a part of it had to be concealed")]
    Concealed,
    /// It has slices, but the decoder made no picture of them.
    #[error("no picture came out of its slices")]
    NoPicture,
    /// It has B slices, whose pictures are shown in another order than they come: no low-latency stream has them.
    #[error("it has B slices, which this decoder does not support: encode without B pictures")]
    Bidirectional,
    /// It is more than one access unit: only one picture could come out.
    #[error("it is more than one access unit: hand them in one by one")]
    SeveralPictures,
    /// It is no Annex B stream.
    #[error("there is no NAL unit in it")]
    NoNalUnits,
    /// It is coded in a way that this decoder does not know.
    #[error("the decoder does not support it (state {state:#x})")]
    Other {
        /// openh264's `DECODING_STATE` bits.
        state: i32,
    },
}

/// Checks the sides against the limits of software H.264.
pub(crate) fn check_picture_size(width: u32, height: u32) -> Result<(), CodecError> {
    let macroblocks = macroblocks(width, height);
    if macroblocks > u64::from(MACROBLOCKS_MAX) || width.max(height) > SIDE_MAX {
        return Err(CodecError::TooLarge { width, height, macroblocks });
    }
    Ok(())
}

/// Macroblocks of 16 × 16 pixels in a picture.
pub(crate) fn macroblocks(width: u32, height: u32) -> u64 {
    u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16))
}

/// Checks a setting of the encoder against its range.
pub(crate) fn check_setting(
    name: &'static str,
    value: impl Into<u64>,
    min: impl Into<u64>,
    max: impl Into<u64>,
) -> Result<(), CodecError> {
    let (value, min, max) = (value.into(), min.into(), max.into());
    if (min..=max).contains(&value) { Ok(()) } else { Err(CodecError::Setting { name, value, min, max }) }
}
