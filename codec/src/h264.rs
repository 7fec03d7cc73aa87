//! H.264 in software, on openh264: [`Encoder`] and [`Decoder`].
//!
//! Promised: one access unit for one picture, at once (no look-ahead, no B pictures, no threads of its own), IDR only
//! when asked for; parameter sets with every IDR, always with the same ids and content for one encoder. The
//! decoder hands out a picture only when every macroblock of it was decoded from whole references.
//! An encoder that was made to recover leaves the newest pictures out where it is told to, and refers to an older one.
//! Refused: odd sides, more than 36,864 macroblocks, damaged access units, and B pictures.

mod decoder;
mod encoder;
mod raw;
mod references;

pub use decoder::{DecodedPicture, Decoder};
pub use encoder::{Encoded, Encoder, EncoderConfig, Slices};
