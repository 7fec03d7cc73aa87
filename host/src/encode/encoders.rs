//! Which encoders this host has, and which one a session's pictures get.
//!
//! Promises: looked for once, when the host begins; a session gets the first codec of its client's list that its mode
//! and its rate can be had in; what is taken in place of a better one is said with its reason. Refuses an encoder that is
//! asked for by name and not there, and codings, modes and rates that none makes; each No says why, codec by codec, and
//! what can be had.

use std::str::FromStr;
use std::sync::Arc;

use punktfunk_capture::dmabuf::Timelines;
use punktfunk_capture::{DmabufWish, Mode};
use punktfunk_codec::limits::BITRATE_KBPS_MAX;
use punktfunk_control::{Chroma, Codec, Depth, RefusalCode};
use punktfunk_gpu::{Choice, Device};

use super::able::{CardAble, Lacking, check_software, software_mode};
use super::coding::{Coding, CodingWish, WireRate};
use super::nvenc::{Means, Nvenc};
use super::software::Software;
use super::{PictureEncoder, PicturesConfig};
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

/// What pictures are coded as.
const CODECS: [Codec; 3] = [Codec::H264, Codec::Hevc, Codec::Av1];

/// The encoders of this host.
#[derive(Debug, Default)]
pub struct Encoders {
    /// Whether the card's was asked for by name, so that nothing takes its place when a session begins.
    is_named: bool,
    /// The card's; none: the software encoder is all that there is.
    card: Option<Arc<Means>>,
    /// What that makes.
    able: Option<CardAble>,
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
        let able = card.as_deref().map(Means::able);
        Ok(Self { is_named: encoder == EncoderChoice::Nvenc, card, able, why_no_card, device })
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

    /// The first of what a client wants that is made at this mode and this rate: on the card, else in software. Without a
    /// mode, at some mode.
    ///
    /// # Errors
    /// There is none: why, codec by codec, and what to do.
    pub fn agree(&self, wish: &CodingWish, mode: Option<Mode>, wire: WireRate) -> Result<Coding, HostError> {
        let kbps = wire.payload_kbps();
        let Some(able) = &self.able else { return self.agree_in_software(wish, mode, wire) };
        let on_card = wish.codings().find(|coding| able.check(*coding, mode, kbps).is_ok());
        let found = on_card.or_else(|| {
            wish.codings().find(|coding| self.falls() && check_software(*coding, mode, kbps).is_ok())
        });
        found.ok_or_else(|| self.refusal(able, wish, mode, wire))
    }

    /// Whether openh264 may take the card's place.
    fn falls(&self) -> bool {
        !self.is_named
    }

    /// The same where there is no card, or none that is of use any more.
    ///
    /// # Errors
    /// openh264's No.
    pub fn agree_in_software(
        &self,
        wish: &CodingWish,
        mode: Option<Mode>,
        wire: WireRate,
    ) -> Result<Coding, HostError> {
        if !wish.codecs.contains(&Codec::H264) {
            return Err(self.none_of(wish));
        }
        let coding = wish.by(Codec::H264);
        match check_software(coding, mode, wire.payload_kbps()) {
            Ok(()) => Ok(coding),
            Err(Lacking::Rate { most_kbps }) => {
                Err(HostError::Rate { asked_kbps: wire.kbps, most_kbps: wire.carrying(most_kbps) })
            }
            Err(Lacking::Mode(why)) => Err(match mode.map(software_mode) {
                Some(Err(error)) => error,
                Some(Ok(())) | None => HostError::Impossible(why),
            }),
            Err(lack @ (Lacking::Colour(_) | Lacking::Codec)) => Err(HostError::Unagreed {
                code: RefusalCode::Codec,
                why: format!("{}, {}: {lack}; {}", wish.depth, wish.chroma, self.describe()),
            }),
        }
    }

    fn none_of(&self, wish: &CodingWish) -> HostError {
        let (offered, us) = (list(&wish.codecs), self.describe());
        let why = format!("the client decodes {offered}, and {us} makes none of these");
        HostError::Unagreed { code: RefusalCode::Codec, why }
    }

    /// Why nothing of what is wanted can be had of the card, nor in its place.
    fn refusal(&self, able: &CardAble, wish: &CodingWish, mode: Option<Mode>, wire: WireRate) -> HostError {
        let kbps = wire.payload_kbps();
        let lacks: Vec<(Codec, Lacking)> = CODECS
            .into_iter()
            .filter(|codec| wish.codecs.contains(codec))
            .filter_map(|codec| Some((codec, able.check(wish.by(codec), mode, kbps).err()?)))
            .collect();
        let has = |is_it: fn(&Lacking) -> bool| lacks.iter().any(|(_, lack)| is_it(lack));
        let code = if has(|lack| matches!(lack, Lacking::Rate { .. })) {
            RefusalCode::Bitrate
        } else if has(|lack| matches!(lack, Lacking::Mode(_))) {
            RefusalCode::Mode
        } else {
            RefusalCode::Codec
        };
        if lacks.iter().all(|(_, lack)| *lack == Lacking::Codec) {
            return self.none_of(wish);
        }
        let said = |(codec, lack): &(Codec, Lacking)| match check_software(wish.by(*codec), mode, kbps) {
            Err(software @ (Lacking::Mode(_) | Lacking::Rate { .. })) if self.falls() => {
                format!("{codec}: {lack}, and {software}")
            }
            Ok(()) | Err(_) => format!("{codec}: {lack}"),
        };
        let lacks: Vec<String> = lacks.iter().map(said).collect();
        let at = mode.map(|mode| format!("{mode} at ")).unwrap_or_default();
        let why = format!(
            "{at}{} kbit/s in {}, {} cannot be had of {}: {}; {}",
            wire.kbps,
            wish.depth,
            wish.chroma,
            able.name,
            lacks.join("; "),
            remedy(able, wish, mode, kbps)
        );
        HostError::Unagreed { code, why }
    }

    /// The most that can be filled of a wire with this coding, in kbit/s; after the card's encoder has fallen, what
    /// openh264 fills.
    pub fn wire_kbps_max(&self, codec: Codec, wire: WireRate, has_fallen: bool) -> u32 {
        let payload = match &self.able {
            Some(able) if !has_fallen => able.kbps_max(codec),
            Some(_) | None => BITRATE_KBPS_MAX,
        };
        wire.carrying(payload)
    }

    /// A session's encoder in words.
    pub fn describe_session(&self, coding: Coding, mode: Mode, slices: u16) -> String {
        match &self.able {
            Some(able) => able.describe(coding, mode, slices),
            None => self.describe(),
        }
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
        match Nvenc::new(card, config.coding, mode, kbps, config.slices) {
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
        let (codec, wanted) = (config.coding.codec, "openh264");
        if codec != Codec::H264 {
            let why = format!("openh264 makes no {codec}; H.264 (--codec h264) can go on in software");
            return Err(HostError::NoEncoder { wanted, why });
        }
        if let Err(lack @ Lacking::Colour(_)) =
            check_software(config.coding, None, kbps.min(BITRATE_KBPS_MAX))
        {
            return Err(HostError::NoEncoder { wanted, why: lack.to_string() });
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

/// What to ask for instead.
fn remedy(able: &CardAble, wish: &CodingWish, mode: Option<Mode>, kbps: u32) -> String {
    let is_made = |coding: Coding| able.check(coding, mode, kbps).is_ok();
    let others: Vec<Codec> = CODECS.into_iter().filter(|codec| is_made(wish.by(*codec))).collect();
    if !others.is_empty() {
        let others = list(&others);
        return format!("{others} would do: connect with --codec (a client decodes HEVC and AV1 by NVDEC)");
    }
    let had = wish.codecs.iter().copied().flat_map(every).filter(|coding| is_made(*coding));
    let had: Vec<String> = had.map(|coding| coding.to_string()).collect();
    if had.is_empty() {
        return "ask for a smaller mode or a lower bitrate".to_owned();
    }
    format!("to be had: {}", had.join("; "))
}

/// Each way to code pictures by this codec.
fn every(codec: Codec) -> impl Iterator<Item = Coding> {
    let both = [Depth::Eight, Depth::Ten].into_iter();
    both.flat_map(move |depth| [Chroma::Yuv420, Chroma::Yuv444].map(|chroma| Coding { codec, depth, chroma }))
}

fn list(codecs: &[Codec]) -> String {
    let names: Vec<String> = codecs.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
