//! What decodes: NVIDIA's decoder where there is one, openh264 else.
//!
//! Promises: NVIDIA's is looked for once a command, and why there is none is said once. A stream's bytes are taken as they come,
//! and a picture stays on the device unless somebody looks at it. Where NVIDIA's fails in mid-stream, openh264 goes on
//! with the next IDR; that is said, and counted. Refuses what openh264 does not decode without NVIDIA's (HEVC, AV1, ten
//! bits, 4:4:4): there is nothing to fall back to. What is decoded here only in another size is not offered.

mod kind;
mod nvdec;

use std::fmt;
use std::str::FromStr;

use punktfunk_codec::h264::Decoder as Openh264;
use punktfunk_codec::limits::{MACROBLOCKS_MAX, SIDE_MAX, SIDE_MIN};
use punktfunk_codec::{CodecError, I420};
use punktfunk_control::Codec;
use serde_json::{Value, json};

use crate::error::ClientError;
use crate::terminal::say;
use nvdec::{Able, Device, Nvdec};

pub use kind::{CodecChoice, StreamKind, StreamWish, chroma, depth};

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DecoderChoice {
    /// NVIDIA's, where there is one.
    #[default]
    Auto,
    /// NVIDIA's; without it the other, said and counted.
    Nvdec,
    /// openh264, on the CPU.
    Openh264,
}

impl FromStr for DecoderChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "nvdec" => Ok(Self::Nvdec),
            "openh264" => Ok(Self::Openh264),
            _ => Err("a decoder is auto, nvdec or openh264".to_owned()),
        }
    }
}

impl fmt::Display for DecoderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Nvdec => "nvdec",
            Self::Openh264 => "openh264",
        })
    }
}

/// The decoders of this machine, as they were found.
pub struct Decoders {
    asked: DecoderChoice,
    device: Option<Device>,
    /// Why NVIDIA's is not there, where it was looked for.
    missing: Option<String>,
}

impl Decoders {
    /// Looks for what is asked for.
    pub fn look(asked: DecoderChoice) -> Self {
        if asked == DecoderChoice::Openh264 {
            return Self { asked, device: None, missing: None };
        }
        match Device::look() {
            Ok(device) => {
                tracing::info!("pictures are decoded by {device}");
                Self { asked, device: Some(device), missing: None }
            }
            Err(error) => {
                let why = error.to_string();
                if asked == DecoderChoice::Nvdec {
                    say(&format!("NVDEC was asked for and cannot be had: {why}; openh264 decodes"));
                } else if nvdec::is_absent(&error) {
                    tracing::info!("openh264 decodes: {why}");
                } else {
                    tracing::warn!("openh264 decodes: {why}");
                }
                Self { asked, device: None, missing: Some(why) }
            }
        }
    }

    /// What a stream of pictures with these sides may be coded by of what is asked for, best first: what can go on in
    /// software is best. A recording is made of H.264 alone.
    ///
    /// # Errors
    /// Nothing of it is decoded here, or not in that size, or can be recorded.
    pub fn offer(
        &self,
        wish: StreamWish,
        sides: (u32, u32),
        is_recorded: bool,
    ) -> Result<Vec<Codec>, ClientError> {
        let by_device = self.device.as_ref().map(Device::ables).unwrap_or_default();
        let codecs = offered(by_device, wish, Some(sides), is_recorded);
        if !codecs.is_empty() {
            return Ok(codecs);
        }
        if !offered(by_device, wish, None, is_recorded).is_empty() {
            let device = self.device.as_ref().map(ToString::to_string);
            let mut why = limits(device.as_deref().zip(Some(by_device)), wish, sides, is_recorded);
            if let Some(missing) = &self.missing {
                why = format!("{why}; NVDEC: {missing}");
            }
            return Err(ClientError::Undecodable { why });
        }
        if is_recorded && !offered(by_device, wish, None, false).is_empty() {
            let why = format!("{wish}: a recording is made of H.264 alone, which is not decoded so here");
            return Err(ClientError::Undecodable { why });
        }
        let device = match (&self.device, &self.missing) {
            (Some(device), _) => {
                let kinds: Vec<String> = by_device.iter().map(|able| able.kind.to_string()).collect();
                format!("{device} decodes {}", kinds.join("; "))
            }
            (None, Some(missing)) => {
                format!("openh264 decodes H.264 of 8 bits in 4:2:0 alone, and NVDEC: {missing}")
            }
            (None, None) => {
                "openh264, which --decoder asks for, decodes H.264 of 8 bits in 4:2:0 alone".to_owned()
            }
        };
        Err(ClientError::Undecodable { why: format!("{wish}: {device}") })
    }

    /// A decoder for one stream, which waits for its first IDR, of pictures with these sides at first.
    ///
    /// # Errors
    /// There is none.
    pub fn decoder(&self, kind: StreamKind, sides: (u32, u32)) -> Result<Decoder, ClientError> {
        let mut report = DecoderReport {
            asked: self.asked,
            used: OPENH264.to_owned(),
            why: self.missing.clone(),
            fallbacks: u64::from(self.asked == DecoderChoice::Nvdec && self.device.is_none()),
            copied: 0,
        };
        let made = self.device.as_ref().map(|device| (device, Nvdec::new(device, kind, sides)));
        let by = match made {
            Some((device, Ok(nvdec))) => {
                report.used = device.to_string();
                By::Nvdec(Box::new(nvdec))
            }
            Some((_, Err(error))) if kind.is_software() && is_software_size(sides) => {
                report.fall(&error.to_string());
                By::Openh264(Openh264::new()?)
            }
            Some((_, Err(error))) => return Err(ClientError::Decoder(error.to_string())),
            None if kind.is_software() => By::Openh264(Openh264::new()?),
            None => return Err(ClientError::Welcome(format!("we did not offer {kind}"))),
        };
        Ok(Decoder { by, kind, report, is_au_lost: false })
    }
}

/// What is decoded of a wish in these sides; in some, where they are not given.
fn offered(by_device: &[Able], wish: StreamWish, sides: Option<(u32, u32)>, is_recorded: bool) -> Vec<Codec> {
    let by_nvidias = |kind: StreamKind| {
        let mut ables = by_device.iter().filter(|able| able.kind == kind);
        ables.any(|able| sides.is_none_or(|sides| able.has_sides(sides)))
    };
    let in_software = |kind: StreamKind| kind.is_software() && sides.is_none_or(is_software_size);
    wish.kinds()
        .filter(|kind| in_software(*kind) || by_nvidias(*kind))
        .filter(|kind| !is_recorded || kind.codec == Codec::H264)
        .map(|kind| kind.codec)
        .collect()
}

/// Whether openh264 goes so far.
fn is_software_size((width, height): (u32, u32)) -> bool {
    let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    let sides = SIDE_MIN..=SIDE_MAX;
    sides.contains(&width) && sides.contains(&height) && macroblocks <= u64::from(MACROBLOCKS_MAX)
}

/// Why a wish that is decoded in other sizes is not in this one.
fn limits(
    device: Option<(&str, &[Able])>,
    wish: StreamWish,
    (width, height): (u32, u32),
    is_recorded: bool,
) -> String {
    let mut said = Vec::new();
    let mut is_too_small = true;
    for kind in wish.kinds().filter(|kind| !is_recorded || kind.codec == Codec::H264) {
        if let Some((device, ables)) = device {
            for able in ables.iter().filter(|able| able.kind == kind) {
                said.push(format!("{device} decodes {able}"));
                is_too_small &= able.is_above((width, height));
            }
        }
        if kind.is_software() {
            said.push(format!(
                "openh264 decodes {kind} of {SIDE_MIN} to {SIDE_MAX} pixels a side, \
                 {MACROBLOCKS_MAX} macroblocks at most"
            ));
            is_too_small &= width.min(height) < SIDE_MIN;
        }
    }
    let recorded = if is_recorded { ", recorded, which is of H.264 alone" } else { "" };
    let other = if is_too_small { "larger" } else { "smaller" };
    format!("{wish}, {width}x{height}{recorded}: {}; ask for a {other} mode", said.join("; "))
}

const OPENH264: &str = "openh264";

/// Which decoder was used, and why not another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderReport {
    asked: DecoderChoice,
    used: String,
    why: Option<String>,
    /// How often openh264 took over from what was asked for or had begun.
    pub fallbacks: u64,
    /// Pictures that were copied from the device, because somebody looked at them.
    copied: u64,
}

impl DecoderReport {
    fn fall(&mut self, why: &str) {
        say(&format!("NVDEC failed: {why}; openh264 goes on with the next IDR"));
        self.fallbacks += 1;
        (self.used, self.why) = (OPENH264.to_owned(), Some(why.to_owned()));
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let why = self.why.as_ref().filter(|_| self.fallbacks > 0);
        let why = why.map(|why| format!("; NVDEC: {why}")).unwrap_or_default();
        format!("decoded by {}{why}\n", self.used)
    }

    /// A part of the summary.
    pub fn json(&self) -> Value {
        json!({
            "asked": self.asked.to_string(), "used": self.used, "why_not_nvdec": self.why,
            "fallbacks": self.fallbacks, "copied_from_device": self.copied,
        })
    }
}

enum By {
    Nvdec(Box<Nvdec>),
    Openh264(Openh264),
}

/// What became of a whole access unit.
pub enum Decoded<'a> {
    /// A picture.
    Picture {
        /// Visible pixels.
        sides: (u32, u32),
        /// It, where somebody looks, or where it is in memory anyhow.
        seen: Option<I420<'a>>,
    },
    /// None, and why.
    Refused(String),
}

/// A stream's decoder.
pub struct Decoder {
    by: By,
    kind: StreamKind,
    report: DecoderReport,
    /// What was fed of the open access unit went with the decoder that failed.
    is_au_lost: bool,
}

impl Decoder {
    /// Whether it takes an access unit as a whole, and not as it comes.
    pub fn gathers(&self) -> bool {
        matches!(self.by, By::Openh264(_))
    }

    /// Takes a part of an access unit that is not its last.
    ///
    /// # Errors
    /// No decoder can go on.
    pub fn feed(&mut self, part: &[u8]) -> Result<(), ClientError> {
        let By::Nvdec(nvdec) = &mut self.by else { return Ok(()) };
        match nvdec.feed(part) {
            Ok(()) => Ok(()),
            Err(why) => self.fall(&why),
        }
    }

    /// Takes an access unit's last part, and decodes it.
    ///
    /// # Errors
    /// No decoder can go on.
    pub fn finish(&mut self, last: &Last<'_>) -> Result<Decoded<'_>, ClientError> {
        if std::mem::take(&mut self.is_au_lost) {
            return Ok(Decoded::Refused("its decoder failed".to_owned()));
        }
        if let By::Nvdec(nvdec) = &mut self.by {
            let fault = match nvdec.finish(last.part, last.is_looked_at) {
                Ok(()) => None,
                // An IDR needs nothing of before: whoever refuses one may refuse all that follow.
                Err(error) if error.is_refusal() && !(last.is_idr && self.kind.is_software()) => {
                    return Ok(Decoded::Refused(error.to_string()));
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = fault {
                self.fall(&why)?;
                self.is_au_lost = false;
                return Ok(Decoded::Refused(format!("NVDEC failed: {why}")));
            }
        }
        match &mut self.by {
            By::Nvdec(nvdec) => {
                let seen = last.is_looked_at.then(|| nvdec.seen()).flatten();
                self.report.copied += u64::from(seen.is_some());
                Ok(Decoded::Picture { sides: nvdec.sides(), seen })
            }
            By::Openh264(software) => decode_in_software(software, last.whole),
        }
    }

    /// The access unit that is open will not be completed.
    pub fn abandon(&mut self) {
        self.is_au_lost = false;
        let By::Nvdec(nvdec) = &mut self.by else { return };
        if let Err(why) = nvdec.abandon() {
            // Where there is nothing to fall back to, the next part says so.
            let _ = self.fall(&why);
            self.is_au_lost = false;
        }
    }

    /// Which decoder was used, and why not another.
    pub fn report(&self) -> DecoderReport {
        self.report.clone()
    }

    fn fall(&mut self, why: &str) -> Result<(), ClientError> {
        if !self.kind.is_software() {
            return Err(ClientError::Decoder(why.to_owned()));
        }
        self.report.fall(why);
        self.is_au_lost = true;
        self.by = By::Openh264(Openh264::new()?);
        Ok(())
    }
}

/// The last part of an access unit.
pub struct Last<'a> {
    /// Its bytes.
    pub part: &'a [u8],
    /// All of the access unit, where that is gathered.
    pub whole: &'a [u8],
    /// Whether it refers to nothing.
    pub is_idr: bool,
    /// Whether somebody looks at the picture.
    pub is_looked_at: bool,
}

fn decode_in_software<'a>(software: &'a mut Openh264, whole: &[u8]) -> Result<Decoded<'a>, ClientError> {
    match software.decode(whole) {
        Ok(Some(picture)) => {
            let seen = picture.as_i420();
            Ok(Decoded::Picture { sides: (seen.width(), seen.height()), seen: Some(seen) })
        }
        Ok(None) => Ok(Decoded::Refused("there is no picture in it".to_owned())),
        Err(error @ (CodecError::Damaged { .. } | CodecError::AuTooLarge { .. })) => {
            Ok(Decoded::Refused(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
