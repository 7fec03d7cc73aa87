//! Which encoders this host has, and which one a session's pictures get.
//!
//! Promises: looked for once, when the host begins; what is taken in place of a better one is said with its reason. Refuses
//! an encoder that is asked for by name and not there, and modes and rates that it cannot do; each No says what can be had.

use std::str::FromStr;
use std::sync::Arc;

use punktfunk_capture::dmabuf::Timelines;
use punktfunk_capture::{DmabufWish, Mode};
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::limits::{BITRATE_KBPS_MAX, BITRATE_KBPS_MIN};
use punktfunk_control::{Codec, RefusalCode};
use punktfunk_gpu::{Choice, Device};

use super::nvenc::{Means, Nvenc};
use super::software::Software;
use super::{PictureEncoder, PicturesConfig, payload_kbps};
use crate::error::HostError;

/// Which encoder is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EncoderChoice {
    /// The best one that is there.
    #[default]
    Auto,
    /// NVIDIA's.
    Nvenc,
    /// openh264, on the CPU.
    OpenH264,
}

impl FromStr for EncoderChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "nvenc" => Ok(Self::Nvenc),
            "openh264" => Ok(Self::OpenH264),
            _ => Err("an encoder is auto, nvenc or openh264".to_owned()),
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

/// The most that a card is asked for, in kbit/s of access-unit bytes: twice what NVENC's levels end with.
const CARD_KBPS_MAX: u32 = 1_600_000;

/// The encoders of this host.
#[derive(Debug, Default)]
pub struct Encoders {
    /// Whether the card's was asked for by name, so that nothing takes its place when a session begins.
    is_named: bool,
    /// The card's; none: the software encoder is all that there is.
    card: Option<Arc<Means>>,
    /// Why there is no card's, where one was looked for.
    why_no_card: Option<String>,
    /// Where pictures are made the software encoder's; none: on the CPU.
    device: Option<Device>,
}

impl Encoders {
    /// Looks for what is asked for.
    ///
    /// # Errors
    /// It is asked for by name and not there.
    pub fn probe(encoder: EncoderChoice, import: ImportChoice) -> Result<Self, HostError> {
        let (card, why_no_card) = match (encoder, Self::card(encoder, import)) {
            (_, Ok(card)) => (card, None),
            (EncoderChoice::Nvenc, Err(why)) => return Err(HostError::NoEncoder { wanted: "nvenc", why }),
            (_, Err(why)) => (None, Some(why)),
        };
        let device = match (import, &card) {
            (ImportChoice::Gpu, None) => Some(Device::open(&Choice::Automatic)?),
            (ImportChoice::Gpu | ImportChoice::Auto | ImportChoice::Cpu, _) => None,
        };
        Ok(Self { is_named: encoder == EncoderChoice::Nvenc, card, why_no_card, device })
    }

    fn card(encoder: EncoderChoice, import: ImportChoice) -> Result<Option<Arc<Means>>, String> {
        match (encoder, import) {
            (EncoderChoice::OpenH264, _) => Ok(None),
            (_, ImportChoice::Cpu) => {
                Err("it takes pictures from the GPU only, and --import cpu was asked for".into())
            }
            _ => Means::probe().map(|means| Some(Arc::new(means))).map_err(|why| why.to_string()),
        }
    }

    /// The encoder in words.
    pub fn describe(&self) -> String {
        if let Some(card) = &self.card {
            return format!("NVENC on {}", card.name());
        }
        let software = match &self.why_no_card {
            Some(why) => format!("openh264 in software on the CPU (no NVENC: {why})"),
            None => "openh264 in software on the CPU, as was asked for".to_owned(),
        };
        match &self.device {
            Some(device) => format!("{software}, pictures converted by {}", device.description()),
            None => software,
        }
    }

    /// The dmabufs that pictures may come in.
    pub fn dmabufs(&self) -> DmabufWish {
        let device = self.card.as_deref().map(Means::device).or(self.device.as_ref());
        let formats = device.map(Device::import_formats).unwrap_or_default();
        if formats.is_empty() {
            return DmabufWish::default();
        }
        DmabufWish { formats, timelines: timelines(), ..DmabufWish::default() }
    }

    /// The best of what a client decodes that can be encoded here.
    ///
    /// # Errors
    /// There is none.
    pub fn codec(&self, offered: &[Codec]) -> Result<Codec, HostError> {
        let can = |codec: &Codec| {
            *codec == Codec::H264 || self.card.as_ref().is_some_and(|card| card.caps(*codec).is_some())
        };
        offered.iter().copied().find(can).ok_or_else(|| {
            let why =
                format!("the client decodes {}, and {} makes none of these", list(offered), self.describe());
            HostError::Unagreed { code: RefusalCode::Codec, why }
        })
    }

    /// Whether the encoder can do pictures of this mode.
    ///
    /// # Errors
    /// The encoder's own No.
    pub fn check_mode(&self, mode: Mode) -> Result<(), HostError> {
        let is_the_cards = self.card.as_ref().and_then(|card| card.caps(Codec::H264)).is_some_and(|caps| {
            (caps.width_min..=caps.width_max).contains(&mode.width())
                && (caps.height_min..=caps.height_max).contains(&mode.height())
        });
        if is_the_cards {
            return Ok(());
        }
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
        let payload_max = if self.card.is_some() { CARD_KBPS_MAX } else { BITRATE_KBPS_MAX };
        if payload_kbps(wire_kbps, redundancy_per_mille, shard_bytes) <= payload_max {
            return Ok(());
        }
        let shard = u64::from(shard_bytes);
        let datagram = shard + punktfunk_proto::DATAGRAM_OVERHEAD as u64;
        let most =
            u64::from(payload_max) * datagram * (1000 + u64::from(redundancy_per_mille)) / 1000 / shard;
        Err(HostError::Rate { asked_kbps: wire_kbps, most_kbps: u32::try_from(most).unwrap_or(u32::MAX) })
    }

    /// An encoder for pictures of this mode at this rate, of access-unit bytes; and why it is a lesser one than there should be.
    ///
    /// # Errors
    /// The encoder's No.
    pub fn open(
        &self,
        mode: Mode,
        kbps: u32,
        config: &PicturesConfig,
    ) -> Result<(PictureEncoder, Option<String>), HostError> {
        match self.encoder(mode, kbps, config) {
            Ok(encoder) => Ok((encoder, None)),
            Err(why) if self.card.is_none() || self.is_named => Err(why),
            Err(why) => match self.in_its_place(mode, kbps, config) {
                Ok(software) => {
                    tracing::warn!(%why, "the card's encoder begins no session; openh264 takes its place in software");
                    Ok((software, Some(why.to_string())))
                }
                Err(other) => Err(HostError::NoEncoder { wanted: "nvenc", why: format!("{why}; {other}") }),
            },
        }
    }

    fn encoder(&self, mode: Mode, kbps: u32, config: &PicturesConfig) -> Result<PictureEncoder, HostError> {
        let Some(card) = &self.card else { return self.software(mode, kbps, config, self.device.as_ref()) };
        match Nvenc::new(card, config.codec, mode, kbps, config.slices) {
            Ok(nvenc) => Ok(PictureEncoder::Nvenc(Box::new(nvenc))),
            Err(why) => Err(HostError::NoEncoder { wanted: "nvenc", why: why.to_string() }),
        }
    }

    /// The software encoder, in place of a card's that is of no use. The card may still convert pictures; if it does not, they
    /// have to come in memory.
    ///
    /// # Errors
    /// It does not make that codec, or its own No.
    pub fn in_its_place(
        &self,
        mode: Mode,
        kbps: u32,
        config: &PicturesConfig,
    ) -> Result<PictureEncoder, HostError> {
        let device = self.card.as_deref().map(Means::device).or(self.device.as_ref());
        match self.software(mode, kbps, config, device) {
            Err(HostError::Gpu(why)) => {
                tracing::warn!(%why, "the GPU converts no pictures any more either");
                self.software(mode, kbps, config, None)
            }
            made => made,
        }
    }

    fn software(
        &self,
        mode: Mode,
        kbps: u32,
        config: &PicturesConfig,
        device: Option<&Device>,
    ) -> Result<PictureEncoder, HostError> {
        if config.codec != Codec::H264 {
            let why = format!("openh264 makes no {}", config.codec);
            return Err(HostError::NoEncoder { wanted: "openh264", why });
        }
        let software = Software::new(mode, kbps.min(BITRATE_KBPS_MAX), config.slices, device)?;
        Ok(PictureEncoder::Software(Box::new(software)))
    }
}

/// Who signals a producer's timelines where no GPU does.
#[cfg(feature = "pipewire")]
fn timelines() -> Option<Arc<dyn Timelines>> {
    match super::import::DrmTimelines::open() {
        Ok(timelines) => Some(Arc::new(timelines)),
        Err(error) => {
            tracing::info!(%error, "producers are not asked for explicit synchronisation: no DRM node could signal them");
            None
        }
    }
}

/// Without PipeWire nobody gives dmabufs.
#[cfg(not(feature = "pipewire"))]
fn timelines() -> Option<Arc<dyn Timelines>> {
    None
}

fn list(codecs: &[Codec]) -> String {
    let names: Vec<String> = codecs.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
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
