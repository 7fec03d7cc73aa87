//! The card that is played: what it can do, as environment variables say.
//!
//! `PUNKTFUNK_STANDIN_CAPS="engines=2,yuv444=0"` changes any of [`Card`]'s fields by name; what is not said is as on a common
//! card of 2022. `PUNKTFUNK_STANDIN_NVENC_VERSION=12.1` is the newest interface that the driver speaks, and
//! `PUNKTFUNK_STANDIN_SLICE_US=200` how long a slice takes. `PUNKTFUNK_STANDIN_PARTIAL=begins` (or `grows`, or `pointer`) changes
//! what is said of a picture that is not done ([`Partial`]). What cannot be read ends the process: it is a test's mistake.

use std::time::Duration;

use punktfunk_nvenc::sys::*;

/// Which codec a session encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    Hevc,
    Av1,
}

impl Codec {
    pub(crate) fn from_guid(guid: GUID) -> Option<Self> {
        [Self::H264, Self::Hevc, Self::Av1].into_iter().find(|codec| codec.guid() == guid)
    }

    pub(crate) fn guid(self) -> GUID {
        match self {
            Self::H264 => NV_ENC_CODEC_H264_GUID,
            Self::Hevc => NV_ENC_CODEC_HEVC_GUID,
            Self::Av1 => NV_ENC_CODEC_AV1_GUID,
        }
    }

    pub(crate) fn profiles(self) -> &'static [GUID] {
        match self {
            Self::H264 => &[
                NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID,
                NV_ENC_H264_PROFILE_BASELINE_GUID,
                NV_ENC_H264_PROFILE_MAIN_GUID,
                NV_ENC_H264_PROFILE_HIGH_GUID,
                NV_ENC_H264_PROFILE_HIGH_444_GUID,
                NV_ENC_H264_PROFILE_PROGRESSIVE_HIGH_GUID,
                NV_ENC_H264_PROFILE_CONSTRAINED_HIGH_GUID,
            ],
            Self::Hevc => &[
                NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID,
                NV_ENC_HEVC_PROFILE_MAIN_GUID,
                NV_ENC_HEVC_PROFILE_MAIN10_GUID,
                NV_ENC_HEVC_PROFILE_FREXT_GUID,
            ],
            Self::Av1 => &[NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID, NV_ENC_AV1_PROFILE_MAIN_GUID],
        }
    }
}

/// The presets, fastest first.
pub(crate) const PRESETS: &[GUID] = &[
    NV_ENC_PRESET_P1_GUID,
    NV_ENC_PRESET_P2_GUID,
    NV_ENC_PRESET_P3_GUID,
    NV_ENC_PRESET_P4_GUID,
    NV_ENC_PRESET_P5_GUID,
    NV_ENC_PRESET_P6_GUID,
    NV_ENC_PRESET_P7_GUID,
];

macro_rules! card {
    ($($field:ident: $default:literal, $doc:literal;)*) => {
        /// What the card can do; 0 and 1 for no and yes.
        #[derive(Debug, Clone)]
        pub(crate) struct Card {
            $(#[doc = $doc] pub(crate) $field: u32,)*
        }

        impl Card {
            /// A common card, changed by `list`.
            pub(crate) fn parse(list: &str) -> Result<Self, String> {
                let mut card = Self { $($field: $default,)* };
                for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                    let read = entry.split_once('=').and_then(|(name, value)| {
                        let value = value.trim().parse::<u32>().ok()?;
                        match name.trim() {
                            $(stringify!($field) => card.$field = value,)*
                            _ => return None,
                        }
                        Some(())
                    });
                    read.ok_or_else(|| format!("no such cap: {entry:?}"))?;
                }
                Ok(card)
            }
        }
    };
}

card! {
    hevc: 1, "Encodes HEVC.";
    av1: 1, "Encodes AV1.";
    engines: 1, "Encoding engines.";
    width_max: 8192, "Of HEVC and AV1; H.264 has 4096 at most.";
    height_max: 8192, "Of HEVC and AV1; H.264 has 4096 at most.";
    width_min: 145, "Of H.264.";
    height_min: 49, "Of H.264.";
    mb_per_sec_max: 983_040, "Macroblocks a second, of all sessions; for the caller to know.";
    yuv444: 1, "4:4:4, of H.264 and HEVC.";
    ten_bit: 1, "Ten bits, of HEVC and AV1.";
    subframe: 1, "Slices that are there before their picture is.";
    rfi: 1, "Reference pictures can be invalidated.";
    intra_refresh: 1, "Intra refresh.";
    dyn_res: 1, "A session's size can change.";
    dyn_rate: 1, "A session's bitrate can change.";
    custom_vbv: 1, "The VBV's size can be said.";
    multi_ref: 1, "More than one reference picture a list.";
    lookahead: 1, "Looks ahead; refused here, since it is delay.";
    sessions: 8, "Sessions at once, in this process.";
}

impl Card {
    pub(crate) fn encodes(&self, codec: Codec) -> bool {
        match codec {
            Codec::H264 => true,
            Codec::Hevc => self.hevc == 1,
            Codec::Av1 => self.av1 == 1,
        }
    }

    pub(crate) fn size_max(&self, codec: Codec) -> (u32, u32) {
        match codec {
            Codec::H264 => (self.width_max.min(4096), self.height_max.min(4096)),
            Codec::Hevc | Codec::Av1 => (self.width_max, self.height_max),
        }
    }

    pub(crate) fn size_min(&self, codec: Codec) -> (u32, u32) {
        match codec {
            Codec::H264 => (self.width_min, self.height_min),
            Codec::Hevc => (129, 33),
            Codec::Av1 => (192, 128),
        }
    }

    pub(crate) fn has_444(&self, codec: Codec) -> bool {
        self.yuv444 == 1 && codec != Codec::Av1
    }

    pub(crate) fn has_ten_bits(&self, codec: Codec) -> bool {
        self.ten_bit == 1 && codec != Codec::H264
    }

    /// What goes in.
    pub(crate) fn formats(&self, codec: Codec) -> Vec<NV_ENC_BUFFER_FORMAT> {
        let mut formats = vec![NV_ENC_BUFFER_FORMAT_NV12];
        if self.has_444(codec) {
            formats.push(NV_ENC_BUFFER_FORMAT_YUV444);
        }
        if self.has_ten_bits(codec) {
            formats.push(NV_ENC_BUFFER_FORMAT_YUV420_10BIT);
        }
        if self.has_444(codec) && self.has_ten_bits(codec) {
            formats.push(NV_ENC_BUFFER_FORMAT_YUV444_10BIT);
        }
        formats
    }

    /// The answer to nvEncGetEncodeCaps.
    pub(crate) fn cap(&self, codec: Codec, cap: NV_ENC_CAPS) -> Option<i32> {
        let value = match cap {
            NV_ENC_CAPS_SUPPORTED_RATECONTROL_MODES => 0b11_1111,
            NV_ENC_CAPS_LEVEL_MAX => match codec {
                Codec::H264 => 62,
                Codec::Hevc => 186,
                Codec::Av1 => 23,
            },
            NV_ENC_CAPS_LEVEL_MIN => match codec {
                Codec::H264 => 10,
                Codec::Hevc => 30,
                Codec::Av1 => 0,
            },
            NV_ENC_CAPS_WIDTH_MAX => self.size_max(codec).0,
            NV_ENC_CAPS_HEIGHT_MAX => self.size_max(codec).1,
            NV_ENC_CAPS_WIDTH_MIN => self.size_min(codec).0,
            NV_ENC_CAPS_HEIGHT_MIN => self.size_min(codec).1,
            NV_ENC_CAPS_MB_NUM_MAX => {
                self.size_max(codec).0.div_ceil(16) * self.size_max(codec).1.div_ceil(16)
            }
            NV_ENC_CAPS_MB_PER_SEC_MAX => self.mb_per_sec_max,
            NV_ENC_CAPS_SUPPORT_DYN_RES_CHANGE => self.dyn_res,
            NV_ENC_CAPS_SUPPORT_DYN_BITRATE_CHANGE => self.dyn_rate,
            NV_ENC_CAPS_SUPPORT_SUBFRAME_READBACK => self.subframe,
            NV_ENC_CAPS_SUPPORT_INTRA_REFRESH => self.intra_refresh,
            NV_ENC_CAPS_SUPPORT_CUSTOM_VBV_BUF_SIZE => self.custom_vbv,
            NV_ENC_CAPS_SUPPORT_DYNAMIC_SLICE_MODE => 1,
            NV_ENC_CAPS_SUPPORT_REF_PIC_INVALIDATION => self.rfi,
            NV_ENC_CAPS_SUPPORT_YUV444_ENCODE => u32::from(self.has_444(codec)),
            NV_ENC_CAPS_SUPPORT_10BIT_ENCODE => u32::from(self.has_ten_bits(codec)),
            NV_ENC_CAPS_SUPPORT_LOOKAHEAD => self.lookahead,
            NV_ENC_CAPS_SUPPORT_MULTIPLE_REF_FRAMES => self.multi_ref,
            NV_ENC_CAPS_NUM_ENCODER_ENGINES => self.engines,
            NV_ENC_CAPS_SUPPORT_CABAC => u32::from(codec == Codec::H264),
            NV_ENC_CAPS_DYNAMIC_QUERY_ENCODER_CAPACITY => 100,
            // What else there is, this card has not: B pictures, fields, monochrome, async on Linux …
            known if known.name().is_some() => 0,
            _ => return None,
        };
        Some(value as i32)
    }
}

/// The newest interface that the driver speaks.
pub(crate) fn version(text: Option<&str>) -> Result<Api, String> {
    let text = text.unwrap_or("13.0");
    let parts =
        text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let (major, minor) = parts.ok_or_else(|| format!("no version: {text:?}"))?;
    Ok(Api { major, minor })
}

/// How long a slice takes.
pub(crate) fn slice_time(text: Option<&str>) -> Result<Duration, String> {
    let micros = text.map_or(Ok(200), str::parse).map_err(|_| format!("no microseconds: {text:?}"))?;
    Ok(Duration::from_micros(micros))
}

/// What a lock says of a picture that is not done, for which the SDK has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Partial {
    /// The slices that are finished; busy before the first.
    #[default]
    Finished,
    /// Where the slice begins that is at work, too: behind the last byte.
    Begins,
    /// … and what there is of it: half.
    Grows,
    /// As [`Partial::Finished`], but never busy: before the first slice it is a pointer to nothing.
    Pointer,
}

impl Partial {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, String> {
        match text {
            None => Ok(Self::Finished),
            Some("begins") => Ok(Self::Begins),
            Some("grows") => Ok(Self::Grows),
            Some("pointer") => Ok(Self::Pointer),
            Some(other) => Err(format!("no reading of what is not done: {other:?}")),
        }
    }

    /// How much of a slice of so many bytes is there while it is at work; none where it is not told of before.
    pub(crate) fn ahead(self, bytes: usize) -> Option<usize> {
        match self {
            Self::Finished | Self::Pointer => None,
            Self::Begins => Some(0),
            Self::Grows => Some(bytes / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_changed_by_name() {
        let card = Card::parse("engines=2, yuv444=0,").unwrap();
        assert_eq!(card.cap(Codec::Hevc, NV_ENC_CAPS_NUM_ENCODER_ENGINES), Some(2));
        assert_eq!(card.formats(Codec::Hevc), [NV_ENC_BUFFER_FORMAT_NV12, NV_ENC_BUFFER_FORMAT_YUV420_10BIT]);
        assert_eq!(Card::parse("").unwrap().formats(Codec::H264).len(), 2);
        assert_eq!(card.cap(Codec::H264, NV_ENC_CAPS_WIDTH_MAX), Some(4096));
        assert_eq!(card.cap(Codec::H264, NV_ENC_CAPS_NUM_MAX_BFRAMES), Some(0));
        assert_eq!(card.cap(Codec::H264, NV_ENC_CAPS(9_999)), None);
        for list in ["engine=2", "engines", "engines=two", "=1"] {
            assert!(Card::parse(list).is_err(), "{list}");
        }
    }

    #[test]
    fn versions_and_times_are_read() {
        assert_eq!(version(None), Ok(Api::V13_0));
        assert_eq!(version(Some("12.1")), Ok(Api::V12_1));
        assert!(version(Some("12")).is_err() && version(Some("a.b")).is_err());
        assert_eq!(slice_time(Some("5")), Ok(Duration::from_micros(5)));
        assert!(slice_time(Some("soon")).is_err());
        assert_eq!(Partial::parse(None), Ok(Partial::Finished));
        assert_eq!(Partial::parse(Some("grows")).unwrap().ahead(9), Some(4));
        assert!(Partial::parse(Some("some")).is_err());
    }
}
