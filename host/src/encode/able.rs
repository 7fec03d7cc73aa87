//! What each encoder makes, as values: asked once, then judged without a driver.
//!
//! Promises: what is said to be made is what a session would be opened with, for the same plan says so
//! ([`punktfunk_nvenc::plan`]). Refuses a coding, a mode or a rate, each with the end that it meets.

use std::fmt;

use punktfunk_capture::Mode;
use punktfunk_codec::CodecError;
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::limits::{BITRATE_KBPS_MAX, BITRATE_KBPS_MIN, MACROBLOCKS_MAX};
use punktfunk_control::Codec;
use punktfunk_nvenc::sys::Api;
use punktfunk_nvenc::{Caps, Lack, NvencError, Plan, Readback, plan};

use super::coding::Coding;
use super::levels;
use crate::error::HostError;

/// Why an encoder does not do what a session asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// It makes no such bitstream.
    Codec,
    /// Not of this depth or chroma.
    Colour(String),
    /// Not of this mode.
    Mode(String),
    /// Not so many bits a second; in kbit/s of access-unit bytes.
    Rate {
        /// The most that it fills.
        most_kbps: u32,
    },
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec => f.write_str("it does not encode it"),
            Self::Colour(why) | Self::Mode(why) => f.write_str(why),
            Self::Rate { most_kbps } => {
                write!(f, "its levels end at {most_kbps} kbit/s before headers and parity")
            }
        }
    }
}

/// What a card makes.
#[derive(Debug, Clone)]
pub struct CardAble {
    /// Its name.
    pub name: String,
    /// The interface that its driver speaks.
    pub api: Api,
    /// What it can do, a codec each.
    pub caps: Vec<(Codec, Caps)>,
}

impl CardAble {
    /// What it can do with a codec.
    pub fn caps(&self, codec: Codec) -> Option<&Caps> {
        self.caps.iter().find(|(known, _)| *known == codec).map(|(_, caps)| caps)
    }

    /// How it makes that, at this mode, in so many slices.
    ///
    /// # Errors
    /// It does not.
    pub fn plan(&self, coding: Coding, mode: Mode, slices: u16) -> Result<Plan, Lacking> {
        let (Some(caps), Some(config)) =
            (self.caps(coding.codec), coding.config(mode, BITRATE_KBPS_MIN, slices))
        else {
            return Err(Lacking::Codec);
        };
        plan(&config, caps, self.api, &self.name).map_err(|error| match error {
            NvencError::Unable { what, .. } => lacking(what),
            other => Lacking::Mode(other.to_string()),
        })
    }

    /// Whether it makes that, at some mode.
    ///
    /// # Errors
    /// It does not.
    pub fn check_coding(&self, coding: Coding) -> Result<(), Lacking> {
        let caps = self.caps(coding.codec).ok_or(Lacking::Codec)?;
        // The least that it makes is within all its other limits.
        let side = |least: u32| least.max(16).next_multiple_of(2);
        let mode = Mode::new(side(caps.width_min), side(caps.height_min), 1_000);
        let mode = mode.map_err(|error| Lacking::Mode(error.to_string()))?;
        self.plan(coding, mode, 1).map(drop)
    }

    /// The most bits that it makes of a codec, in kbit/s of access-unit bytes.
    pub fn kbps_max(&self, codec: Codec) -> u32 {
        self.caps(codec).map_or(0, |caps| levels::kbps_max(codec, caps.level_max))
    }

    /// Whether it makes that at this mode, or at some mode, and so many bits.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self, coding: Coding, mode: Option<Mode>, kbps: u32) -> Result<(), Lacking> {
        match mode {
            Some(mode) => drop(self.plan(coding, mode, 1)?),
            None => self.check_coding(coding)?,
        }
        let most_kbps = self.kbps_max(coding.codec);
        if kbps > most_kbps { Err(Lacking::Rate { most_kbps }) } else { Ok(()) }
    }

    /// A session on it, in words.
    pub fn describe(&self, coding: Coding, mode: Mode, slices: u16) -> String {
        let name = &self.name;
        let by = match self.plan(coding, mode, slices).map(|plan| plan.readback) {
            Ok(Readback::Split { engines }) => format!(", each picture by {engines} engines"),
            Ok(Readback::SubFrame | Readback::Whole) | Err(_) => String::new(),
        };
        format!("NVENC on {name}: {coding}{by}")
    }
}

fn lacking(what: Lack) -> Lacking {
    match what {
        Lack::Codec | Lack::Preset | Lack::ConstantBitrate => Lacking::Codec,
        Lack::TenBits | Lack::FullChroma | Lack::Format(_) => Lacking::Colour(what.to_string()),
        // The largest size and the level among them, and what is added later.
        _ => Lacking::Mode(what.to_string()),
    }
}

/// Whether openh264 makes that: H.264 of eight bits in 4:2:0.
///
/// # Errors
/// It does not.
pub fn check_software(coding: Coding, mode: Option<Mode>, kbps: u32) -> Result<(), Lacking> {
    if coding.codec != Codec::H264 {
        return Err(Lacking::Codec);
    }
    if !coding.is_usual() {
        return Err(Lacking::Colour("openh264 makes 8 bits in 4:2:0 and nothing else".to_owned()));
    }
    match mode.map(software_mode) {
        Some(Err(HostError::Codec(CodecError::TooLarge { .. }))) => {
            return Err(Lacking::Mode(format!("openh264 ends at {MACROBLOCKS_MAX} macroblocks")));
        }
        Some(Err(other)) => return Err(Lacking::Mode(other.to_string())),
        Some(Ok(())) | None => {}
    }
    if kbps > BITRATE_KBPS_MAX { Err(Lacking::Rate { most_kbps: BITRATE_KBPS_MAX }) } else { Ok(()) }
}

/// Whether openh264 takes pictures of this mode.
///
/// # Errors
/// Its own No.
pub fn software_mode(mode: Mode) -> Result<(), HostError> {
    Encoder::new(EncoderConfig {
        width: mode.width(),
        height: mode.height(),
        refresh_mhz: mode.refresh_mhz(),
        bitrate_kbps: BITRATE_KBPS_MIN,
        slices: 1,
    })?;
    Ok(())
}
