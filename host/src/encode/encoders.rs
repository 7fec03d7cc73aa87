//! Which encoders this host has, and which one a session's pictures get.
//!
//! Promises: looked for once, when the host begins; what is taken in place of a better one is said with its reason. Refuses
//! an encoder that is asked for by name and not there, and modes and rates that it cannot do; each No says what can be had.

use std::str::FromStr;

use punktfunk_capture::{DmabufWish, Mode};
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::limits::{BITRATE_KBPS_MAX, BITRATE_KBPS_MIN};
use punktfunk_gpu::{Choice, Device};

use super::{PicturesConfig, Software, payload_kbps};
use crate::error::HostError;

/// Which encoder is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EncoderChoice {
    /// The best one that is there.
    #[default]
    Auto,
    /// openh264, on the CPU.
    OpenH264,
}

impl FromStr for EncoderChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "openh264" => Ok(Self::OpenH264),
            _ => Err("an encoder is auto or openh264".to_owned()),
        }
    }
}

/// Who makes pictures the encoder's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImportChoice {
    /// The GPU for a GPU's encoder, else the CPU.
    #[default]
    Auto,
    /// A GPU, by Vulkan.
    Gpu,
    /// The CPU.
    Cpu,
}

impl FromStr for ImportChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "gpu" => Ok(Self::Gpu),
            "cpu" => Ok(Self::Cpu),
            _ => Err("import is auto, gpu or cpu".to_owned()),
        }
    }
}

/// The encoders of this host.
#[derive(Debug, Default)]
pub struct Encoders {
    /// Where pictures are made the encoder's; none: on the CPU.
    device: Option<Device>,
}

impl Encoders {
    /// Looks for what is asked for.
    ///
    /// # Errors
    /// It is asked for by name and not there.
    pub fn probe(encoder: EncoderChoice, import: ImportChoice) -> Result<Self, HostError> {
        match encoder {
            EncoderChoice::Auto | EncoderChoice::OpenH264 => {}
        }
        let device = match import {
            ImportChoice::Gpu => Some(Device::open(&Choice::Automatic)?),
            ImportChoice::Auto | ImportChoice::Cpu => None,
        };
        Ok(Self { device })
    }

    /// The encoder in words.
    pub fn describe(&self) -> String {
        let software = "openh264 in software on the CPU (no GPU encoder is built in)";
        match &self.device {
            Some(device) => format!("{software}, pictures converted by {}", device.description()),
            None => software.to_owned(),
        }
    }

    /// The dmabufs that pictures may come in.
    pub fn dmabufs(&self) -> DmabufWish {
        let formats = self.device.as_ref().map(Device::import_formats).unwrap_or_default();
        DmabufWish { formats, ..DmabufWish::default() }
    }

    /// Whether the encoder can do pictures of this mode.
    ///
    /// # Errors
    /// The encoder's own No.
    pub fn check_mode(&self, mode: Mode) -> Result<(), HostError> {
        Encoder::new(EncoderConfig {
            width: mode.width(),
            height: mode.height(),
            refresh_mhz: mode.refresh_mhz(),
            bitrate_kbps: BITRATE_KBPS_MIN,
            slices: 1,
        })?;
        Ok(())
    }

    /// Whether the encoder can fill this wire rate.
    ///
    /// # Errors
    /// [`HostError::Rate`] names the most that it can.
    pub fn check_rate(
        &self,
        wire_kbps: u32,
        redundancy_per_mille: u16,
        shard_bytes: u16,
    ) -> Result<(), HostError> {
        if payload_kbps(wire_kbps, redundancy_per_mille, shard_bytes) <= BITRATE_KBPS_MAX {
            return Ok(());
        }
        let shard = u64::from(shard_bytes);
        let datagram = shard + punktfunk_proto::DATAGRAM_OVERHEAD as u64;
        let most =
            u64::from(BITRATE_KBPS_MAX) * datagram * (1000 + u64::from(redundancy_per_mille)) / 1000 / shard;
        Err(HostError::Rate { asked_kbps: wire_kbps, most_kbps: u32::try_from(most).unwrap_or(u32::MAX) })
    }

    /// An encoder for pictures of this mode, at the rate of the session's beginning.
    ///
    /// # Errors
    /// The encoder's No.
    pub fn open(&self, mode: Mode, config: &PicturesConfig) -> Result<Software, HostError> {
        self.encoder(mode, config.payload_kbps(), config.slices)
    }

    /// The same at this rate, of access-unit bytes.
    ///
    /// # Errors
    /// The encoder's No.
    pub fn encoder(&self, mode: Mode, kbps: u32, slices: u16) -> Result<Software, HostError> {
        Software::new(mode, kbps, slices, self.device.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_that_the_encoder_cannot_fill_are_named() {
        let encoders = Encoders::default();
        // 240 Mbit/s for the encoder, a tenth of parity, 40 bytes a datagram of 1192: by hand.
        assert!(encoders.check_rate(273_166, 100, 1152).is_ok());
        let error = encoders.check_rate(280_000, 100, 1152).unwrap_err();
        assert!(matches!(error, HostError::Rate { asked_kbps: 280_000, most_kbps: 273_166 }), "{error:?}");
    }

    #[test]
    fn modes_that_the_encoder_cannot_do_are_named() {
        let encoders = Encoders::default();
        assert!(encoders.check_mode("1280x720@60".parse().unwrap()).is_ok());
        let error = encoders.check_mode("8192x8192@60".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("8192x8192"), "{error}");
    }
}
