//! A configuration in the driver's words: what a [`Config`] and its [`Plan`] become, for either version of the interface.

use crate::caps::Codec;
use crate::config::{Config, Plan, Readback, Tier};
use crate::sys::*;

/// Writes the plan over the preset's configuration.
pub(crate) fn configure(config: &Config, plan: &Plan, api: Api, to: &mut NV_ENC_CONFIG) {
    to.gopLength = NVENC_INFINITE_GOPLENGTH;
    to.frameIntervalP = 1;
    to.frameFieldMode = NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME;
    to.profileGUID = profile(config);
    rate_control(config, plan, &mut to.rcParams);
    match config.codec {
        // SAFETY: the preset was asked for this codec, and zeroes are a value of each.
        Codec::H264 => h264(config, plan, api, unsafe { &mut to.encodeCodecConfig.h264Config }),
        // SAFETY: as above.
        Codec::Hevc => hevc(config, plan, api, unsafe { &mut to.encodeCodecConfig.hevcConfig }),
        // SAFETY: as above.
        Codec::Av1 => av1(config, plan, api, unsafe { &mut to.encodeCodecConfig.av1Config }),
    }
}

/// Writes everything around it. `encodeConfig` is the caller's.
pub(crate) fn initialize(config: &Config, plan: &Plan, to: &mut NV_ENC_INITIALIZE_PARAMS) {
    to.encodeGUID = config.codec.guid();
    to.presetGUID = NV_ENC_PRESET_P1_GUID;
    to.tuningInfo = NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY;
    (to.encodeWidth, to.encodeHeight) = (config.width, config.height);
    (to.darWidth, to.darHeight) = (config.width, config.height);
    (to.frameRateNum, to.frameRateDen) = (config.rate.pictures, config.rate.seconds);
    (to.maxEncodeWidth, to.maxEncodeHeight) = plan.size_max.unwrap_or((config.width, config.height));
    to.enablePTD = 1;
    to.flags = 0;
    let (report, write, split) = match plan.readback {
        Readback::SubFrame => (1, 1, NV_ENC_SPLIT_DISABLE_MODE),
        Readback::Whole => (1, 0, NV_ENC_SPLIT_DISABLE_MODE),
        // Offsets count one engine's slices.
        Readback::Split { engines: 2 } => (0, 0, NV_ENC_SPLIT_TWO_FORCED_MODE),
        Readback::Split { engines: 3 } => (0, 0, NV_ENC_SPLIT_THREE_FORCED_MODE),
        Readback::Split { .. } => (0, 0, NV_ENC_SPLIT_FOUR_FORCED_MODE),
    };
    // H.264 knows no split.
    let split = if config.codec == Codec::H264 { NV_ENC_SPLIT_AUTO_MODE } else { split };
    NV_ENC_INITIALIZE_PARAMS::reportSliceOffsets.set(&mut to.flags, report);
    NV_ENC_INITIALIZE_PARAMS::enableSubFrameWrite.set(&mut to.flags, write);
    NV_ENC_INITIALIZE_PARAMS::splitEncodeMode.set(&mut to.flags, split.0);
}

fn profile(config: &Config) -> GUID {
    match (config.codec, config.format.is_full_chroma(), config.format.is_ten_bits()) {
        (Codec::H264, true, _) => NV_ENC_H264_PROFILE_HIGH_444_GUID,
        (Codec::H264, false, true) => NV_ENC_H264_PROFILE_HIGH_10_GUID,
        (Codec::H264, false, false) => NV_ENC_H264_PROFILE_HIGH_GUID,
        (Codec::Hevc, true, _) => NV_ENC_HEVC_PROFILE_FREXT_GUID,
        (Codec::Hevc, false, true) => NV_ENC_HEVC_PROFILE_MAIN10_GUID,
        (Codec::Hevc, false, false) => NV_ENC_HEVC_PROFILE_MAIN_GUID,
        (Codec::Av1, _, _) => NV_ENC_AV1_PROFILE_MAIN_GUID,
    }
}

/// Constant bitrate, one pass, nothing kept back.
fn rate_control(config: &Config, plan: &Plan, to: &mut NV_ENC_RC_PARAMS) {
    type Rc = NV_ENC_RC_PARAMS;
    to.rateControlMode = NV_ENC_PARAMS_RC_CBR;
    to.averageBitRate = config.bitrate_kbps * 1000;
    to.maxBitRate = to.averageBitRate;
    to.vbvBufferSize = plan.vbv_bits;
    to.vbvInitialDelay = plan.vbv_bits;
    to.multiPass = NV_ENC_MULTI_PASS_DISABLED;
    to.lookaheadDepth = 0;
    for off in
        [Rc::enableLookahead, Rc::enableAQ, Rc::enableTemporalAQ, Rc::enableNonRefP, Rc::strictGOPTarget]
    {
        off.set(&mut to.flags, 0);
    }
    Rc::zeroReorderDelay.set(&mut to.flags, 1);
}

/// One reference for each picture, where the card lets one choose: the others are kept for after a loss.
fn references(plan: &Plan) -> NV_ENC_NUM_REF_FRAMES {
    if plan.invalidates { NV_ENC_NUM_REF_FRAMES_1 } else { NV_ENC_NUM_REF_FRAMES_AUTOSELECT }
}

fn depth(config: &Config) -> NV_ENC_BIT_DEPTH {
    if config.format.is_ten_bits() { NV_ENC_BIT_DEPTH_10 } else { NV_ENC_BIT_DEPTH_8 }
}

fn chroma(config: &Config) -> u32 {
    if config.format.is_full_chroma() { 3 } else { 1 }
}

fn vui(config: &Config, to: &mut NV_ENC_CONFIG_H264_VUI_PARAMETERS) {
    to.videoSignalTypePresentFlag = 1;
    to.videoFormat = NV_ENC_VUI_VIDEO_FORMAT_UNSPECIFIED;
    to.videoFullRangeFlag = u32::from(config.colour.is_full_range);
    to.colourDescriptionPresentFlag = 1;
    to.colourPrimaries = config.colour.primaries;
    to.transferCharacteristics = config.colour.transfer;
    to.colourMatrix = config.colour.matrix;
    // Without it a decoder keeps pictures back, as many as the level allows.
    to.bitstreamRestrictionFlag = 1;
}

fn h264(config: &Config, plan: &Plan, api: Api, to: &mut NV_ENC_CONFIG_H264) {
    type H264 = NV_ENC_CONFIG_H264;
    to.level = NV_ENC_LEVEL_AUTOSELECT.0;
    to.idrPeriod = NVENC_INFINITE_GOPLENGTH;
    to.entropyCodingMode = NV_ENC_H264_ENTROPY_CODING_MODE_CABAC;
    to.chromaFormatIDC = chroma(config);
    to.maxNumRefFrames = plan.references;
    to.numRefL0 = references(plan);
    (to.sliceMode, to.sliceModeData) = (3, plan.slices);
    H264::repeatSPSPPS.set(&mut to.flags, 1);
    H264::disableSPSPPS.set(&mut to.flags, 0);
    H264::outputAUD.set(&mut to.flags, 0);
    H264::enableLTR.set(&mut to.flags, 0);
    H264::enableFillerDataInsertion.set(&mut to.flags, 0);
    let (period, length) = plan.refresh.map_or((0, 0), |refresh| (refresh.period, refresh.length));
    H264::enableIntraRefresh.set(&mut to.flags, u32::from(period > 0));
    H264::outputRecoveryPointSEI.set(&mut to.flags, u32::from(period > 0));
    (to.intraRefreshPeriod, to.intraRefreshCnt) = (period, length);
    vui(config, &mut to.h264VUIParameters);
    if api >= Api::V13_0 {
        (to.outputBitDepth, to.inputBitDepth) = (depth(config), depth(config));
    }
}

fn hevc(config: &Config, plan: &Plan, api: Api, to: &mut NV_ENC_CONFIG_HEVC) {
    type Hevc = NV_ENC_CONFIG_HEVC;
    to.level = NV_ENC_LEVEL_AUTOSELECT.0;
    to.tier = match plan.tier {
        Tier::Main => NV_ENC_TIER_HEVC_MAIN.0,
        Tier::High => NV_ENC_TIER_HEVC_HIGH.0,
    };
    to.idrPeriod = NVENC_INFINITE_GOPLENGTH;
    to.maxNumRefFramesInDPB = plan.references;
    to.numRefL0 = references(plan);
    (to.sliceMode, to.sliceModeData) = (3, plan.slices);
    Hevc::chromaFormatIDC.set(&mut to.flags, chroma(config));
    Hevc::repeatSPSPPS.set(&mut to.flags, 1);
    Hevc::disableSPSPPS.set(&mut to.flags, 0);
    Hevc::outputAUD.set(&mut to.flags, 0);
    Hevc::enableLTR.set(&mut to.flags, 0);
    Hevc::enableFillerDataInsertion.set(&mut to.flags, 0);
    let (period, length) = plan.refresh.map_or((0, 0), |refresh| (refresh.period, refresh.length));
    Hevc::enableIntraRefresh.set(&mut to.flags, u32::from(period > 0));
    Hevc::outputRecoveryPointSEI.set(&mut to.flags, u32::from(period > 0));
    (to.intraRefreshPeriod, to.intraRefreshCnt) = (period, length);
    vui(config, &mut to.hevcVUIParameters);
    if api >= Api::V13_0 {
        (to.outputBitDepth, to.inputBitDepth) = (depth(config), depth(config));
    } else {
        Hevc::pixelBitDepthMinus8.set(&mut to.flags, depth(config).0 - 8);
    }
}

fn av1(config: &Config, plan: &Plan, api: Api, to: &mut NV_ENC_CONFIG_AV1) {
    type Av1 = NV_ENC_CONFIG_AV1;
    to.level = NV_ENC_LEVEL_AV1_AUTOSELECT.0;
    to.tier = match plan.tier {
        Tier::Main => NV_ENC_TIER_AV1_0.0,
        Tier::High => NV_ENC_TIER_AV1_1.0,
    };
    to.idrPeriod = NVENC_INFINITE_GOPLENGTH;
    to.maxNumRefFramesInDPB = plan.references;
    to.numFwdRefs = references(plan);
    (to.numTileColumns, to.numTileRows) = (1, plan.slices);
    Av1::repeatSeqHdr.set(&mut to.flags, 1);
    Av1::disableSeqHdr.set(&mut to.flags, 0);
    Av1::outputAnnexBFormat.set(&mut to.flags, 0);
    Av1::enableBitstreamPadding.set(&mut to.flags, 0);
    Av1::chromaFormatIDC.set(&mut to.flags, chroma(config));
    let (period, length) = plan.refresh.map_or((0, 0), |refresh| (refresh.period, refresh.length));
    Av1::enableIntraRefresh.set(&mut to.flags, u32::from(period > 0));
    (to.intraRefreshPeriod, to.intraRefreshCnt) = (period, length);
    to.colorPrimaries = config.colour.primaries;
    to.transferCharacteristics = config.colour.transfer;
    to.matrixCoefficients = config.colour.matrix;
    to.colorRange = u32::from(config.colour.is_full_range);
    // Left, as H.264 and HEVC have it where they say nothing.
    to.chromaSamplePosition = 1;
    if api >= Api::V13_0 {
        (to.outputBitDepth, to.inputBitDepth) = (depth(config), depth(config));
        Av1::outputMaxCll.set(&mut to.flags, u32::from(config.hdr.is_some()));
        Av1::outputMasteringDisplay.set(&mut to.flags, u32::from(config.hdr.is_some()));
    } else {
        Av1::pixelBitDepthMinus8.set(&mut to.flags, depth(config).0 - 8);
        Av1::inputPixelBitDepthMinus8.set(&mut to.flags, depth(config).0 - 8);
    }
}
