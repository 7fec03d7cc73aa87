//! What nvEncGetEncodePresetConfigEx answers: a preset's configuration, for the caller to change.

use punktfunk_nvenc::sys::*;

use crate::card::Codec;

/// Fills in a preset's configuration. Its version words are the caller's.
pub(crate) fn fill(config: &mut NV_ENC_CONFIG, codec: Codec, tuning: NV_ENC_TUNING_INFO, api: Api) {
    let is_low_latency =
        matches!(tuning, NV_ENC_TUNING_INFO_LOW_LATENCY | NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY);
    config.profileGUID = NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID;
    // A caller that wants no end of its group of pictures has to say so.
    config.gopLength = if is_low_latency { NVENC_INFINITE_GOPLENGTH } else { 250 };
    config.frameIntervalP = if is_low_latency { 1 } else { 3 };
    config.frameFieldMode = NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME;
    let rc = &mut config.rcParams;
    rc.version = api.version_of::<NV_ENC_RC_PARAMS>();
    rc.rateControlMode = if is_low_latency { NV_ENC_PARAMS_RC_CBR } else { NV_ENC_PARAMS_RC_VBR };
    rc.averageBitRate = 5_000_000;
    rc.lowDelayKeyFrameScale = 1;
    NV_ENC_RC_PARAMS::zeroReorderDelay.set(&mut rc.flags, u32::from(is_low_latency));
    let depth = if api < Api::V13_0 { NV_ENC_BIT_DEPTH_INVALID } else { NV_ENC_BIT_DEPTH_8 };
    let idr_period = config.gopLength;
    match codec {
        Codec::H264 => {
            let mut h264 = *zeroed::<NV_ENC_CONFIG_H264>();
            h264.idrPeriod = idr_period;
            h264.chromaFormatIDC = 1;
            h264.entropyCodingMode = NV_ENC_H264_ENTROPY_CODING_MODE_CABAC;
            h264.outputBitDepth = depth;
            h264.inputBitDepth = depth;
            config.encodeCodecConfig.h264Config = h264;
        }
        Codec::Hevc => {
            let mut hevc = *zeroed::<NV_ENC_CONFIG_HEVC>();
            hevc.idrPeriod = idr_period;
            NV_ENC_CONFIG_HEVC::chromaFormatIDC.set(&mut hevc.flags, 1);
            hevc.outputBitDepth = depth;
            hevc.inputBitDepth = depth;
            config.encodeCodecConfig.hevcConfig = hevc;
        }
        Codec::Av1 => {
            let mut av1 = *zeroed::<NV_ENC_CONFIG_AV1>();
            av1.idrPeriod = idr_period;
            NV_ENC_CONFIG_AV1::chromaFormatIDC.set(&mut av1.flags, 1);
            av1.outputBitDepth = depth;
            av1.inputBitDepth = depth;
            config.encodeCodecConfig.av1Config = av1;
        }
    }
}
