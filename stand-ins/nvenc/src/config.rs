//! What a session is set up with: the caller's parameters, judged and made one's own.
//!
//! Promises: what is accepted here is what a card takes for low latency, and all of it can be played. A field that asks for
//! what is not played is refused, never passed over.

use punktfunk_nvenc::sys::*;

use crate::card::{Card, Codec, PRESETS};
use crate::check::{check_word, null, only, structure, zero, zero_words};
use crate::status::{Answer, Refused, require};

mod codec;

/// Colour, as the bitstream says it.
pub(crate) type Colour = stand_in_h264::Colour;

/// A session's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) codec: Codec,
    preset: GUID,
    tuning: NV_ENC_TUNING_INFO,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// 0: the size stays.
    pub(crate) max: (u32, u32),
    pub(crate) rate: (u32, u32),
    pub(crate) report_offsets: bool,
    pub(crate) sub_frame: bool,
    split: NV_ENC_SPLIT_ENCODE_MODE,
    pub(crate) bitrate: u32,
    /// Bits.
    pub(crate) vbv: u32,
    pub(crate) part: Part,
}

/// What the codec's own structure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) profile: GUID,
    /// level_idc; 0: the encoder's choice.
    pub(crate) level: u32,
    pub(crate) is_high_tier: bool,
    pub(crate) is_444: bool,
    pub(crate) is_ten_bits: bool,
    /// Slices, or tiles in AV1.
    pub(crate) slices: u32,
    pub(crate) references: u32,
    /// Period and length in pictures.
    pub(crate) refresh: Option<(u32, u32)>,
    pub(crate) colour: Option<Colour>,
    pub(crate) repeats_sets: bool,
    pub(crate) hides_sets: bool,
    pub(crate) delimiter: bool,
    pub(crate) recovery_sei: bool,
    /// Mastering display and light levels may come with a picture.
    pub(crate) hdr: bool,
}

impl Part {
    /// Whether the highest level of the tier holds so many bits a second: HEVC's 6.2 (Table A.9), AV1's 6.3 (A.3); twice that
    /// with all of the chroma.
    fn check_tier(&self, codec: Codec, bitrate: u32) -> Answer {
        let mbps_max: u32 = match (codec, self.is_high_tier) {
            (Codec::H264, _) => return Ok(()),
            (Codec::Hevc, false) => 240,
            (Codec::Av1, false) => 160,
            (Codec::Hevc | Codec::Av1, true) => 800,
        };
        let most = u64::from(mbps_max) * 1_000_000 * if self.is_444 { 2 } else { 1 };
        require(u64::from(bitrate) <= most, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            format!("averageBitRate is {bitrate}, and no level of the tier holds more than {most}")
        })
    }
}

impl Setup {
    /// Judges what nvEncInitializeEncoder was given, or a reconfiguration; `before` is what holds until then.
    ///
    /// # Safety
    /// `params.encodeConfig` is null or a configuration that lives for the call.
    pub(crate) unsafe fn read(
        params: &NV_ENC_INITIALIZE_PARAMS,
        api: Api,
        card: &Card,
        before: Option<&Setup>,
    ) -> Answer<Setup> {
        check_frame(params, api)?;
        let Some(codec) = Codec::from_guid(params.encodeGUID).filter(|codec| card.encodes(*codec)) else {
            return Refused::breach(NV_ENC_ERR_INVALID_PARAM, "encodeGUID is of no codec that this card has");
        };
        require(before.is_none_or(|before| before.codec == codec), NV_ENC_ERR_INVALID_PARAM, || {
            "the codec cannot change within a session".to_owned()
        })?;
        check_size(params, codec, card)?;
        let (rc, part) = match (params.encodeConfig.is_null(), before) {
            (true, Some(before)) => ((before.bitrate, before.vbv), before.part),
            (true, None) => {
                return Refused::breach(
                    NV_ENC_ERR_UNSUPPORTED_PARAM,
                    "encodeConfig is null: not played here",
                );
            }
            (false, _) => {
                // SAFETY: the caller's promise.
                let config = unsafe { structure(params.encodeConfig, api) }?;
                check_config(config)?;
                let (rc, part) =
                    (check_rate(&config.rcParams, card, api)?, codec::read(config, codec, card, api)?);
                part.check_tier(codec, rc.0)?;
                (rc, part)
            }
        };
        let flag = |bits: Bits| bits.of(params.flags) == 1;
        let sub_frame = flag(NV_ENC_INITIALIZE_PARAMS::enableSubFrameWrite);
        require(!sub_frame || card.subframe == 1, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "enableSubFrameWrite, and the card has no sub-frame readback".to_owned()
        })?;
        let report_offsets = flag(NV_ENC_INITIALIZE_PARAMS::reportSliceOffsets);
        let split = NV_ENC_SPLIT_ENCODE_MODE(NV_ENC_INITIALIZE_PARAMS::splitEncodeMode.of(params.flags));
        check_split(split, codec, (card, api))?;
        require(!(is_forced(split) && report_offsets), NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "splitEncodeMode with reportSliceOffsets: they would be of each engine's own part".to_owned()
        })?;
        let is_apart = !(is_forced(split) && sub_frame && codec == Codec::Hevc);
        require(is_apart, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "splitEncodeMode does not go with enableSubFrameWrite".to_owned()
        })?;
        Ok(Setup {
            codec,
            preset: params.presetGUID,
            tuning: params.tuningInfo,
            width: params.encodeWidth,
            height: params.encodeHeight,
            max: (params.maxEncodeWidth, params.maxEncodeHeight),
            rate: (params.frameRateNum, params.frameRateDen),
            report_offsets,
            sub_frame,
            split,
            bitrate: rc.0,
            vbv: rc.1,
            part,
        })
    }

    /// Whether `next` may follow in the same session, and whether it is of another size.
    pub(crate) fn check_change(&self, next: &Setup, card: &Card) -> Answer<bool> {
        let fixed = |same: bool, what: &str| {
            require(same, NV_ENC_ERR_INVALID_PARAM, || format!("{what} cannot change within a session"))
        };
        fixed(self.preset == next.preset && self.tuning == next.tuning, "preset or tuning")?;
        fixed(self.max == next.max, "maxEncodeWidth or maxEncodeHeight")?;
        fixed(self.sub_frame == next.sub_frame, "enableSubFrameWrite")?;
        fixed(self.report_offsets == next.report_offsets, "reportSliceOffsets")?;
        fixed(self.split == next.split, "splitEncodeMode")?;
        let (old, new) = (&self.part, &next.part);
        fixed(old.profile == new.profile && old.is_444 == new.is_444, "profile or chroma format")?;
        fixed(old.is_ten_bits == new.is_ten_bits, "the bit depth")?;
        // The guide does not say so; the parameter sets do say the tier, and they stay.
        fixed(old.is_high_tier == new.is_high_tier, "the tier")?;
        fixed(old.references == new.references, "the number of reference pictures")?;
        let is_resized = (self.width, self.height) != (next.width, next.height);
        if is_resized {
            fixed(
                card.dyn_res == 1 && self.max.0 > 0,
                "the size, with maxEncodeWidth zero or a card that cannot,",
            )?;
        }
        if self.bitrate != next.bitrate {
            fixed(card.dyn_rate == 1, "the bitrate, with a card that cannot,")?;
        }
        Ok(is_resized)
    }

    /// Block rows: 16 lines in H.264, 32 in HEVC, 64 in AV1.
    pub(crate) fn rows(&self) -> u32 {
        self.height.div_ceil(match self.codec {
            Codec::H264 => 16,
            Codec::Hevc => 32,
            Codec::Av1 => 64,
        })
    }

    pub(crate) fn slices(&self) -> u32 {
        self.part.slices.min(self.rows())
    }

    /// The most that an access unit may take.
    pub(crate) fn output_bytes(&self) -> usize {
        let (width, height) = if self.max.0 > 0 { self.max } else { (self.width, self.height) };
        let samples = width.next_multiple_of(16) as usize * height.next_multiple_of(16) as usize * 3;
        // Bytes that keep start codes out are at most half as many again.
        samples * 3 / 2 + 65_536
    }
}

/// What holds whatever the codec.
fn check_frame(params: &NV_ENC_INITIALIZE_PARAMS, api: Api) -> Answer {
    let known = [
        NV_ENC_INITIALIZE_PARAMS::reportSliceOffsets,
        NV_ENC_INITIALIZE_PARAMS::enableSubFrameWrite,
        NV_ENC_INITIALIZE_PARAMS::splitEncodeMode,
    ];
    only("NV_ENC_INITIALIZE_PARAMS", params.flags, &known)?;
    let counts = params.maxMEHintCountsPerBlock.map(|counts| counts.counts);
    zero("maxMEHintCountsPerBlock", &counts)?;
    zero("numStateBuffers and outputStatsLevel", &[params.numStateBuffers, params.outputStatsLevel])?;
    zero("privDataSize and reserved", &[params.privDataSize, params.reserved])?;
    zero("NV_ENC_INITIALIZE_PARAMS::reserved1", &params.reserved1)?;
    // In 13.0 a reconfiguration's flags lie where 12.1 has the last reserved pointer.
    let reserved = if api < Api::V13_0 { &params.rest[..] } else { &params.rest[..64] };
    zero_words("NV_ENC_INITIALIZE_PARAMS::reserved2", reserved)?;
    null("privData", &[params.privData])?;
    require(PRESETS.contains(&params.presetGUID), NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        "presetGUID is none".to_owned()
    })?;
    check_tuning(params.tuningInfo, api)?;
    require(params.enableEncodeAsync == 0, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        "enableEncodeAsync: there is no asynchronous mode on Linux".to_owned()
    })?;
    require(params.enablePTD == 1, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        "enablePTD is not set: picture types by the caller are not played here".to_owned()
    })?;
    require(params.frameRateNum > 0 && params.frameRateDen > 0, NV_ENC_ERR_INVALID_PARAM, || {
        format!("a frame rate of {}/{}", params.frameRateNum, params.frameRateDen)
    })
}

/// Whether a tuning is one.
pub(crate) fn check_tuning(tuning: NV_ENC_TUNING_INFO, api: Api) -> Answer {
    let newest =
        if api < Api::V13_0 { NV_ENC_TUNING_INFO_LOSSLESS } else { NV_ENC_TUNING_INFO_ULTRA_HIGH_QUALITY };
    require((1..=newest.0).contains(&tuning.0), NV_ENC_ERR_INVALID_PARAM, || {
        format!("tuningInfo is {tuning:?}")
    })
}

fn check_size(params: &NV_ENC_INITIALIZE_PARAMS, codec: Codec, card: &Card) -> Answer {
    let (min, max) = (card.size_min(codec), card.size_max(codec));
    let (width, height) = (params.encodeWidth, params.encodeHeight);
    let is_even = width.is_multiple_of(2) && height.is_multiple_of(2);
    let fits = (min.0..=max.0).contains(&width) && (min.1..=max.1).contains(&height);
    require(fits && is_even, NV_ENC_ERR_INVALID_PARAM, || {
        format!("{width}x{height}: even sizes from {min:?} to {max:?} are encoded")
    })?;
    let (most_wide, most_high) = (params.maxEncodeWidth, params.maxEncodeHeight);
    if (most_wide, most_high) == (0, 0) {
        return Ok(());
    }
    require(most_wide >= width && most_high >= height, NV_ENC_ERR_INVALID_PARAM, || {
        format!("{width}x{height} is beyond maxEncodeWidth and maxEncodeHeight, {most_wide}x{most_high}")
    })?;
    require(most_wide <= max.0 && most_high <= max.1, NV_ENC_ERR_INVALID_PARAM, || {
        format!("maxEncodeWidth and maxEncodeHeight, {most_wide}x{most_high}, are beyond the card's {max:?}")
    })
}

/// Whether a picture is split whatever its size.
fn is_forced(mode: NV_ENC_SPLIT_ENCODE_MODE) -> bool {
    !matches!(mode, NV_ENC_SPLIT_AUTO_MODE | NV_ENC_SPLIT_DISABLE_MODE)
}

/// Splitting a picture between engines. A driver makes do with fewer engines than it is told; here one must not tell it so.
fn check_split(mode: NV_ENC_SPLIT_ENCODE_MODE, codec: Codec, (card, api): (&Card, Api)) -> Answer {
    let is_known = mode.name().is_some() && (mode != NV_ENC_SPLIT_FOUR_FORCED_MODE || api >= Api::V13_0);
    require(is_known, NV_ENC_ERR_INVALID_PARAM, || format!("splitEncodeMode is {mode:?}"))?;
    require(!is_forced(mode) || codec != Codec::H264, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        "splitEncodeMode is not for H.264".to_owned()
    })?;
    let engines = match mode {
        NV_ENC_SPLIT_AUTO_MODE | NV_ENC_SPLIT_DISABLE_MODE => 1,
        NV_ENC_SPLIT_THREE_FORCED_MODE => 3,
        NV_ENC_SPLIT_FOUR_FORCED_MODE => 4,
        _ => 2,
    };
    require(card.engines >= engines, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        format!("splitEncodeMode is {mode:?}, and the card has {} engines", card.engines)
    })
}

/// What holds of NV_ENC_CONFIG whatever the codec.
fn check_config(config: &NV_ENC_CONFIG) -> Answer {
    zero("NV_ENC_CONFIG::reserved", &config.reserved)?;
    null("NV_ENC_CONFIG::reserved2", &config.reserved2)?;
    require(config.gopLength == NVENC_INFINITE_GOPLENGTH, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        format!("gopLength is {}: only the infinite one is played here", config.gopLength)
    })?;
    require(config.frameIntervalP == 1, NV_ENC_ERR_INVALID_PARAM, || {
        format!("frameIntervalP is {}, and must be 1 with an infinite gopLength", config.frameIntervalP)
    })?;
    require(config.monoChromeEncoding == 0, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        "monoChromeEncoding".to_owned()
    })?;
    require(config.mvPrecision <= 3, NV_ENC_ERR_INVALID_PARAM, || {
        format!("mvPrecision is {}", config.mvPrecision)
    })?;
    let mode = config.frameFieldMode;
    require(mode == NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        format!("frameFieldMode is {mode:?}")
    })
}

/// The bitrate and the VBV in bits.
fn check_rate(rc: &NV_ENC_RC_PARAMS, card: &Card, api: Api) -> Answer<(u32, u32)> {
    check_word("NV_ENC_RC_PARAMS", rc.version, api.version_of::<NV_ENC_RC_PARAMS>(), api)?;
    use NV_ENC_RC_PARAMS as Rc;
    let known = [
        Rc::enableMinQP,
        Rc::enableMaxQP,
        Rc::enableInitialRCQP,
        Rc::enableAQ,
        Rc::disableIadapt,
        Rc::disableBadapt,
        Rc::enableTemporalAQ,
        Rc::zeroReorderDelay,
        Rc::strictGOPTarget,
        Rc::aqStrength,
    ];
    only(
        "NV_ENC_RC_PARAMS, where lookahead and non-reference pictures are delay or breaks,",
        rc.flags,
        &known,
    )?;
    zero("NV_ENC_RC_PARAMS::reserved", &rc.reserved)?;
    zero("lookaheadDepth", &[rc.lookaheadDepth.into()])?;
    require(rc.rateControlMode == NV_ENC_PARAMS_RC_CBR, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        format!("rateControlMode is {:?}: only CBR is played here", rc.rateControlMode)
    })?;
    require(rc.averageBitRate > 0, NV_ENC_ERR_INVALID_PARAM, || "averageBitRate is 0".to_owned())?;
    require(rc.multiPass.name().is_some(), NV_ENC_ERR_INVALID_PARAM, || {
        format!("multiPass is {:?}", rc.multiPass)
    })?;
    require(rc.vbvBufferSize == 0 || card.custom_vbv == 1, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        "vbvBufferSize, and the card has no custom VBV".to_owned()
    })?;
    let vbv = if rc.vbvBufferSize == 0 { rc.averageBitRate } else { rc.vbvBufferSize };
    require(rc.vbvInitialDelay <= vbv, NV_ENC_ERR_INVALID_PARAM, || {
        format!("vbvInitialDelay, {}, is more than the VBV holds, {vbv}", rc.vbvInitialDelay)
    })?;
    Ok((rc.averageBitRate, vbv))
}
