//! The codecs' own structures.

use punktfunk_nvenc::sys::*;

use super::{Colour, Part};
use crate::card::{Card, Codec};
use crate::check::{null, only, zero};
use crate::status::{Answer, Refused, require};

/// Pictures in the buffer where the caller leaves it to the encoder.
const REFERENCES_AUTO: u32 = 4;

/// What all codecs have, in different places.
struct Common {
    idr_period: u32,
    refresh: (bool, u32, u32),
    references: u32,
    lists: NV_ENC_NUM_REF_FRAMES,
    chroma: u32,
    /// Zero in 12.1, where it lies in the flags.
    depth: (NV_ENC_BIT_DEPTH, NV_ENC_BIT_DEPTH),
}

/// Judges the part of the configuration that is `codec`'s.
pub(super) fn read(config: &NV_ENC_CONFIG, codec: Codec, card: &Card, api: Api) -> Answer<Part> {
    require(codec.profiles().contains(&config.profileGUID), NV_ENC_ERR_INVALID_PARAM, || {
        "profileGUID is none of the codec's".to_owned()
    })?;
    let part = match codec {
        // SAFETY: every bit pattern is a value of these plain structures, and the codec says which of them it is.
        Codec::H264 => h264(unsafe { &config.encodeCodecConfig.h264Config }, card, api)?,
        // SAFETY: as above.
        Codec::Hevc => hevc(unsafe { &config.encodeCodecConfig.hevcConfig }, card, api)?,
        // SAFETY: as above.
        Codec::Av1 => av1(unsafe { &config.encodeCodecConfig.av1Config }, card, api)?,
    };
    let part = Part { profile: config.profileGUID, ..part };
    check_profile(&part)?;
    Ok(part)
}

/// A profile that is said must hold what is encoded.
fn check_profile(part: &Part) -> Answer {
    let full = [NV_ENC_H264_PROFILE_HIGH_444_GUID, NV_ENC_HEVC_PROFILE_FREXT_GUID];
    let is_auto = part.profile == NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID;
    let holds_444 = is_auto || full.contains(&part.profile);
    require(!part.is_444 || holds_444, NV_ENC_ERR_INVALID_PARAM, || "the profile has no 4:4:4".to_owned())?;
    let narrow = part.profile == NV_ENC_HEVC_PROFILE_MAIN_GUID;
    require(!(part.is_ten_bits && narrow), NV_ENC_ERR_INVALID_PARAM, || {
        "the profile has no ten bits".to_owned()
    })
}

fn h264(h264: &NV_ENC_CONFIG_H264, card: &Card, api: Api) -> Answer<Part> {
    use NV_ENC_CONFIG_H264 as H264;
    let known = [
        H264::outputBufferingPeriodSEI,
        H264::outputPictureTimingSEI,
        H264::outputAUD,
        H264::disableSPSPPS,
        H264::outputRecoveryPointSEI,
        H264::enableIntraRefresh,
        H264::repeatSPSPPS,
        H264::enableFillerDataInsertion,
        H264::singleSliceIntraRefresh,
    ];
    only("NV_ENC_CONFIG_H264", h264.flags, &known)?;
    zero("NV_ENC_CONFIG_H264::reserved1", &h264.reserved1)?;
    null("NV_ENC_CONFIG_H264::reserved2", &h264.reserved2)?;
    zero(
        "fields that are not played",
        &[
            h264.separateColourPlaneFlag,
            h264.spsId,
            h264.ppsId,
            h264.stereoMode,
            h264.ltrNumFrames,
            h264.ltrTrustMode,
            h264.useBFramesAsRef,
        ],
    )?;
    require(h264.level == 0 || (10..=62).contains(&h264.level), NV_ENC_ERR_INVALID_PARAM, || {
        format!("level is {}", h264.level)
    })?;
    require(h264.entropyCodingMode.name().is_some(), NV_ENC_ERR_INVALID_PARAM, || {
        format!("entropyCodingMode is {:?}", h264.entropyCodingMode)
    })?;
    let flag = |bits: Bits| bits.of(h264.flags) == 1;
    let common = Common {
        idr_period: h264.idrPeriod,
        refresh: (flag(H264::enableIntraRefresh), h264.intraRefreshPeriod, h264.intraRefreshCnt),
        references: h264.maxNumRefFrames,
        lists: h264.numRefL0,
        chroma: h264.chromaFormatIDC,
        depth: (h264.outputBitDepth, h264.inputBitDepth),
    };
    let is_ten_bits = depth(&common, Codec::H264, api, 0)?;
    Ok(Part {
        level: h264.level,
        slices: slices(h264.sliceMode, h264.sliceModeData)?,
        colour: colour(&h264.h264VUIParameters)?,
        repeats_sets: flag(H264::repeatSPSPPS),
        hides_sets: flag(H264::disableSPSPPS),
        delimiter: flag(H264::outputAUD),
        recovery_sei: flag(H264::outputRecoveryPointSEI),
        ..common.part(Codec::H264, card, is_ten_bits)?
    })
}

fn hevc(hevc: &NV_ENC_CONFIG_HEVC, card: &Card, api: Api) -> Answer<Part> {
    use NV_ENC_CONFIG_HEVC as Hevc;
    let known = [
        Hevc::outputBufferingPeriodSEI,
        Hevc::outputPictureTimingSEI,
        Hevc::outputAUD,
        Hevc::disableSPSPPS,
        Hevc::repeatSPSPPS,
        Hevc::enableIntraRefresh,
        Hevc::chromaFormatIDC,
        Hevc::enableFillerDataInsertion,
        Hevc::singleSliceIntraRefresh,
        Hevc::outputRecoveryPointSEI,
    ];
    let old = [Hevc::pixelBitDepthMinus8];
    let new = [Hevc::outputMaxCll, Hevc::outputMasteringDisplay];
    let of_version = if api < Api::V13_0 { &old[..] } else { &new[..] };
    only("NV_ENC_CONFIG_HEVC", hevc.flags, &[&known[..], of_version].concat())?;
    zero("NV_ENC_CONFIG_HEVC::reserved1", &hevc.reserved1)?;
    null("NV_ENC_CONFIG_HEVC::reserved2", &hevc.reserved2)?;
    zero(
        "fields that are not played",
        &[
            hevc.ltrNumFrames,
            hevc.vpsId,
            hevc.spsId,
            hevc.ppsId,
            hevc.ltrTrustMode,
            hevc.useBFramesAsRef,
            hevc.tfLevel,
        ],
    )?;
    require(hevc.tier <= 1, NV_ENC_ERR_INVALID_PARAM, || format!("tier is {}", hevc.tier))?;
    let flag = |bits: Bits| bits.of(hevc.flags) == 1;
    let common = Common {
        idr_period: hevc.idrPeriod,
        refresh: (flag(Hevc::enableIntraRefresh), hevc.intraRefreshPeriod, hevc.intraRefreshCnt),
        references: hevc.maxNumRefFramesInDPB,
        lists: hevc.numRefL0,
        chroma: Hevc::chromaFormatIDC.of(hevc.flags),
        depth: (hevc.outputBitDepth, hevc.inputBitDepth),
    };
    let is_ten_bits = depth(&common, Codec::Hevc, api, Hevc::pixelBitDepthMinus8.of(hevc.flags))?;
    Ok(Part {
        level: hevc.level,
        is_high_tier: hevc.tier == NV_ENC_TIER_HEVC_HIGH.0,
        slices: slices(hevc.sliceMode, hevc.sliceModeData)?,
        colour: colour(&hevc.hevcVUIParameters)?,
        repeats_sets: flag(Hevc::repeatSPSPPS),
        hides_sets: flag(Hevc::disableSPSPPS),
        delimiter: flag(Hevc::outputAUD),
        recovery_sei: flag(Hevc::outputRecoveryPointSEI),
        hdr: api >= Api::V13_0 && flag(Hevc::outputMaxCll) && flag(Hevc::outputMasteringDisplay),
        ..common.part(Codec::Hevc, card, is_ten_bits)?
    })
}

fn av1(av1: &NV_ENC_CONFIG_AV1, card: &Card, api: Api) -> Answer<Part> {
    use NV_ENC_CONFIG_AV1 as Av1;
    let known = [
        Av1::disableSeqHdr,
        Av1::repeatSeqHdr,
        Av1::enableIntraRefresh,
        Av1::chromaFormatIDC,
        Av1::enableBitstreamPadding,
    ];
    let old = [Av1::inputPixelBitDepthMinus8, Av1::pixelBitDepthMinus8];
    let new = [Av1::outputMaxCll, Av1::outputMasteringDisplay];
    let of_version = if api < Api::V13_0 { &old[..] } else { &new[..] };
    only("NV_ENC_CONFIG_AV1", av1.flags, &[&known[..], of_version].concat())?;
    zero("NV_ENC_CONFIG_AV1::reserved1", &av1.reserved1)?;
    null("NV_ENC_CONFIG_AV1::reserved2", &av1.reserved2)?;
    zero("fields that are not played", &[av1.useBFramesAsRef])?;
    null(
        "tileWidths, tileHeights and filmGrainParams",
        &[av1.tileWidths.cast(), av1.tileHeights.cast(), av1.filmGrainParams],
    )?;
    require(av1.tier <= 1, NV_ENC_ERR_INVALID_PARAM, || format!("tier is {}", av1.tier))?;
    let flag = |bits: Bits| bits.of(av1.flags) == 1;
    let common = Common {
        idr_period: av1.idrPeriod,
        refresh: (flag(Av1::enableIntraRefresh), av1.intraRefreshPeriod, av1.intraRefreshCnt),
        references: av1.maxNumRefFramesInDPB,
        lists: av1.numFwdRefs,
        chroma: Av1::chromaFormatIDC.of(av1.flags),
        depth: (av1.outputBitDepth, av1.inputBitDepth),
    };
    let is_ten_bits = depth(&common, Codec::Av1, api, Av1::pixelBitDepthMinus8.of(av1.flags))?;
    let tiles = av1.numTileColumns.max(1) * av1.numTileRows.max(1);
    Ok(Part {
        level: av1.level,
        is_high_tier: av1.tier == NV_ENC_TIER_AV1_1.0,
        slices: tiles,
        repeats_sets: flag(Av1::repeatSeqHdr),
        hides_sets: flag(Av1::disableSeqHdr),
        hdr: api >= Api::V13_0 && flag(Av1::outputMaxCll) && flag(Av1::outputMasteringDisplay),
        ..common.part(Codec::Av1, card, is_ten_bits)?
    })
}

impl Common {
    fn part(&self, codec: Codec, card: &Card, is_ten_bits: bool) -> Answer<Part> {
        require(matches!(self.idr_period, 0 | NVENC_INFINITE_GOPLENGTH), NV_ENC_ERR_INVALID_PARAM, || {
            format!("idrPeriod is {}, and gopLength is infinite", self.idr_period)
        })?;
        require(self.references <= 16, NV_ENC_ERR_INVALID_PARAM, || {
            format!("{} reference pictures are more than any level holds", self.references)
        })?;
        require(self.lists.0 <= 1 || card.multi_ref == 1, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "more than one reference picture a list, and the card has not".to_owned()
        })?;
        let is_444 = match self.chroma {
            1 => false,
            3 => true,
            other => {
                return Refused::breach(
                    NV_ENC_ERR_INVALID_PARAM,
                    format!("chromaFormatIDC is {other}, not 1 or 3"),
                );
            }
        };
        require(!is_444 || card.has_444(codec), NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "4:4:4 on this card".to_owned()
        })?;
        require(!is_ten_bits || card.has_ten_bits(codec), NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "ten bits on this card".to_owned()
        })?;
        Ok(Part {
            profile: NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID,
            level: 0,
            is_high_tier: false,
            is_444,
            is_ten_bits,
            slices: 1,
            references: if self.references == 0 { REFERENCES_AUTO } else { self.references },
            refresh: self.refresh(card)?,
            colour: None,
            repeats_sets: false,
            hides_sets: false,
            delimiter: false,
            recovery_sei: false,
            hdr: false,
        })
    }

    fn refresh(&self, card: &Card) -> Answer<Option<(u32, u32)>> {
        let (is_on, period, count) = self.refresh;
        if !is_on {
            return Ok(None);
        }
        require(card.intra_refresh == 1, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "enableIntraRefresh, and the card has no intra refresh".to_owned()
        })?;
        // A period of zero: only when a picture asks for it.
        require(period == 0 || count > 0 && count < period, NV_ENC_ERR_INVALID_PARAM, || {
            format!("intraRefreshCnt, {count}, is not below intraRefreshPeriod, {period}")
        })?;
        Ok(Some((period, count)))
    }
}

/// Whether ten bits are encoded; `minus_8` is where 12.1 says it.
fn depth(common: &Common, codec: Codec, api: Api, minus_8: u32) -> Answer<bool> {
    let (output, input) = common.depth;
    if api < Api::V13_0 {
        zero("outputBitDepth and inputBitDepth, which 12.1 has not,", &[output.0, input.0])?;
        require(matches!(minus_8, 0 | 2), NV_ENC_ERR_INVALID_PARAM, || {
            format!("pixelBitDepthMinus8 is {minus_8}")
        })?;
        return Ok(minus_8 == 2);
    }
    let is_one = |depth: NV_ENC_BIT_DEPTH| matches!(depth, NV_ENC_BIT_DEPTH_8 | NV_ENC_BIT_DEPTH_10);
    require(is_one(output) && is_one(input), NV_ENC_ERR_INVALID_PARAM, || {
        format!("outputBitDepth is {output:?} and inputBitDepth {input:?}")
    })?;
    require(output == input, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        format!("{codec:?} of another depth than its input")
    })?;
    Ok(output == NV_ENC_BIT_DEPTH_10)
}

fn slices(mode: u32, amount: u32) -> Answer<u32> {
    match (mode, amount) {
        (0, 0) => Ok(1),
        (3, 1..=32) => Ok(amount),
        _ => Refused::breach(
            NV_ENC_ERR_INVALID_PARAM,
            format!(
                "sliceMode {mode} with sliceModeData {amount}: whole pictures or 1 to 32 slices are played"
            ),
        ),
    }
}

fn colour(vui: &NV_ENC_CONFIG_H264_VUI_PARAMETERS) -> Answer<Option<Colour>> {
    zero("the VUI parameters' reserved", &vui.reserved)?;
    let flags = [
        vui.overscanInfoPresentFlag,
        vui.videoSignalTypePresentFlag,
        vui.videoFullRangeFlag,
        vui.colourDescriptionPresentFlag,
        vui.chromaSampleLocationFlag,
        vui.bitstreamRestrictionFlag,
        vui.timingInfoPresentFlag,
    ];
    require(flags.iter().all(|flag| *flag <= 1), NV_ENC_ERR_INVALID_PARAM, || {
        format!("VUI flags {flags:?}")
    })?;
    let is_described = vui.colourDescriptionPresentFlag == 1;
    require(!is_described || vui.videoSignalTypePresentFlag == 1, NV_ENC_ERR_INVALID_PARAM, || {
        "colourDescriptionPresentFlag without videoSignalTypePresentFlag".to_owned()
    })?;
    Ok((vui.videoSignalTypePresentFlag == 1).then_some(Colour {
        primaries: if is_described { vui.colourPrimaries.0 as u8 } else { 2 },
        transfer: if is_described { vui.transferCharacteristics.0 as u8 } else { 2 },
        matrix: if is_described { vui.colourMatrix.0 as u8 } else { 2 },
        full_range: vui.videoFullRangeFlag == 1,
    }))
}
