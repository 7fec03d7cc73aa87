//! Which encoders this host has, and which one a session's pictures get.
//!
//! Promises: looked for once, when the host begins; what is taken in place of a better one is said with its reason. Refuses
//! modes and rates that the encoder cannot do; each No names what it can.

use punktfunk_capture::Mode;
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::limits::{BITRATE_KBPS_MAX, BITRATE_KBPS_MIN};

use super::{PicturesConfig, Software, payload_kbps};
use crate::error::HostError;

/// The software encoder, said out loud wherever it is used.
const SOFTWARE: &str = "openh264 in software on the CPU (no GPU encoder is built in)";

/// The encoders of this host.
#[derive(Debug, Default)]
pub struct Encoders {}

impl Encoders {
    /// The encoder in words.
    pub fn describe(&self) -> String {
        SOFTWARE.to_owned()
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
        Ok(Software::new(mode, config.payload_kbps(), config.slices)?)
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
