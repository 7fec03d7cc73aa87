//! What an encoder is set up with: rate control, codec, preset, initial and changed parameters.

use super::{
    Api, Bits, GUID, NV_ENC_BIT_DEPTH, NV_ENC_BUFFER_FORMAT, NV_ENC_DEVICE_TYPE,
    NV_ENC_H264_ADAPTIVE_TRANSFORM_MODE, NV_ENC_H264_ENTROPY_CODING_MODE, NV_ENC_MULTI_PASS,
    NV_ENC_NUM_REF_FRAMES, NV_ENC_PARAMS_FRAME_FIELD_MODE, NV_ENC_PARAMS_RC_MODE, NV_ENC_TUNING_INFO,
    NV_ENC_VUI_COLOR_PRIMARIES, NV_ENC_VUI_MATRIX_COEFFS, NV_ENC_VUI_TRANSFER_CHARACTERISTIC,
    NV_ENC_VUI_VIDEO_FORMAT, bit, bits, high, plain, versioned, zeroable,
};
use std::ffi::c_void;

/// A group of pictures that never ends.
pub const NVENC_INFINITE_GOPLENGTH: u32 = 0xffff_ffff;

/// The most bytes that a codec's parameter sets have.
pub const NV_MAX_SEQ_HDR_LEN: u32 = 512;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS {
    pub version: u32,
    pub deviceType: NV_ENC_DEVICE_TYPE,
    pub device: *mut c_void,
    pub reserved: *mut c_void,
    pub apiVersion: u32,
    pub reserved1: [u32; 253],
    pub reserved2: [*mut c_void; 64],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NV_ENC_QP {
    pub qpInterP: u32,
    pub qpInterB: u32,
    pub qpIntra: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_RC_PARAMS {
    pub version: u32,
    pub rateControlMode: NV_ENC_PARAMS_RC_MODE,
    pub constQP: NV_ENC_QP,
    pub averageBitRate: u32,
    pub maxBitRate: u32,
    pub vbvBufferSize: u32,
    pub vbvInitialDelay: u32,
    pub flags: u32,
    pub minQP: NV_ENC_QP,
    pub maxQP: NV_ENC_QP,
    pub initialRCQP: NV_ENC_QP,
    pub temporallayerIdxMask: u32,
    pub temporalLayerQP: [u8; 8],
    pub targetQuality: u8,
    pub targetQualityLSB: u8,
    pub lookaheadDepth: u16,
    pub lowDelayKeyFrameScale: u8,
    pub yDcQPIndexOffset: i8,
    pub uDcQPIndexOffset: i8,
    pub vDcQPIndexOffset: i8,
    pub qpMapMode: u32,
    pub multiPass: NV_ENC_MULTI_PASS,
    pub alphaLayerBitrateRatio: u32,
    pub cbQPIndexOffset: i8,
    pub crQPIndexOffset: i8,
    pub reserved2: u16,
    /// Of these 16 bytes, 13.0 uses some, for what we do not.
    pub reserved: [u32; 4],
}

bits! { NV_ENC_RC_PARAMS {
    enableMinQP = bit(0);
    enableMaxQP = bit(1);
    enableInitialRCQP = bit(2);
    enableAQ = bit(3);
    enableLookahead = bit(5);
    disableIadapt = bit(6);
    disableBadapt = bit(7);
    enableTemporalAQ = bit(8);
    zeroReorderDelay = bit(9);
    enableNonRefP = bit(10);
    strictGOPTarget = bit(11);
    aqStrength = Bits::wide(12, 4);
}}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_CONFIG_H264_VUI_PARAMETERS {
    pub overscanInfoPresentFlag: u32,
    pub overscanInfo: u32,
    pub videoSignalTypePresentFlag: u32,
    pub videoFormat: NV_ENC_VUI_VIDEO_FORMAT,
    pub videoFullRangeFlag: u32,
    pub colourDescriptionPresentFlag: u32,
    pub colourPrimaries: NV_ENC_VUI_COLOR_PRIMARIES,
    pub transferCharacteristics: NV_ENC_VUI_TRANSFER_CHARACTERISTIC,
    pub colourMatrix: NV_ENC_VUI_MATRIX_COEFFS,
    pub chromaSampleLocationFlag: u32,
    pub chromaSampleLocationTop: u32,
    pub chromaSampleLocationBot: u32,
    pub bitstreamRestrictionFlag: u32,
    pub timingInfoPresentFlag: u32,
    pub numUnitInTicks: u32,
    pub timeScale: u32,
    pub reserved: [u32; 12],
}

pub type NV_ENC_CONFIG_HEVC_VUI_PARAMETERS = NV_ENC_CONFIG_H264_VUI_PARAMETERS;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_CONFIG_H264 {
    pub flags: u32,
    pub level: u32,
    pub idrPeriod: u32,
    pub separateColourPlaneFlag: u32,
    pub disableDeblockingFilterIDC: u32,
    pub numTemporalLayers: u32,
    pub spsId: u32,
    pub ppsId: u32,
    pub adaptiveTransformMode: NV_ENC_H264_ADAPTIVE_TRANSFORM_MODE,
    pub fmoMode: u32,
    pub bdirectMode: u32,
    pub entropyCodingMode: NV_ENC_H264_ENTROPY_CODING_MODE,
    pub stereoMode: u32,
    pub intraRefreshPeriod: u32,
    pub intraRefreshCnt: u32,
    pub maxNumRefFrames: u32,
    pub sliceMode: u32,
    pub sliceModeData: u32,
    pub h264VUIParameters: NV_ENC_CONFIG_H264_VUI_PARAMETERS,
    pub ltrNumFrames: u32,
    pub ltrTrustMode: u32,
    pub chromaFormatIDC: u32,
    pub maxTemporalLayers: u32,
    pub useBFramesAsRef: u32,
    pub numRefL0: NV_ENC_NUM_REF_FRAMES,
    pub numRefL1: NV_ENC_NUM_REF_FRAMES,
    /// Since 13.0; zero in 12.1.
    pub outputBitDepth: NV_ENC_BIT_DEPTH,
    /// Since 13.0; zero in 12.1.
    pub inputBitDepth: NV_ENC_BIT_DEPTH,
    pub reserved1: [u32; 265],
    pub reserved2: [*mut c_void; 64],
}

bits! { NV_ENC_CONFIG_H264 {
    enableTemporalSVC = bit(0);
    outputBufferingPeriodSEI = bit(4);
    outputPictureTimingSEI = bit(5);
    outputAUD = bit(6);
    disableSPSPPS = bit(7);
    outputRecoveryPointSEI = bit(9);
    enableIntraRefresh = bit(10);
    enableConstrainedEncoding = bit(11);
    repeatSPSPPS = bit(12);
    enableLTR = bit(14);
    enableFillerDataInsertion = bit(17);
    singleSliceIntraRefresh = bit(20);
}}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_CONFIG_HEVC {
    pub level: u32,
    pub tier: u32,
    pub minCUSize: u32,
    pub maxCUSize: u32,
    pub flags: u32,
    pub idrPeriod: u32,
    pub intraRefreshPeriod: u32,
    pub intraRefreshCnt: u32,
    pub maxNumRefFramesInDPB: u32,
    pub ltrNumFrames: u32,
    pub vpsId: u32,
    pub spsId: u32,
    pub ppsId: u32,
    pub sliceMode: u32,
    pub sliceModeData: u32,
    pub maxTemporalLayersMinus1: u32,
    pub hevcVUIParameters: NV_ENC_CONFIG_HEVC_VUI_PARAMETERS,
    pub ltrTrustMode: u32,
    pub useBFramesAsRef: u32,
    pub numRefL0: NV_ENC_NUM_REF_FRAMES,
    pub numRefL1: NV_ENC_NUM_REF_FRAMES,
    /// Since 13.0; zero in 12.1.
    pub tfLevel: u32,
    /// Since 13.0; zero in 12.1.
    pub disableDeblockingFilterIDC: u32,
    /// Since 13.0; zero in 12.1.
    pub outputBitDepth: NV_ENC_BIT_DEPTH,
    /// Since 13.0; zero in 12.1.
    pub inputBitDepth: NV_ENC_BIT_DEPTH,
    pub reserved1: [u32; 210],
    pub reserved2: [*mut c_void; 64],
}

bits! { NV_ENC_CONFIG_HEVC {
    outputBufferingPeriodSEI = bit(2);
    outputPictureTimingSEI = bit(3);
    outputAUD = bit(4);
    enableLTR = bit(5);
    disableSPSPPS = bit(6);
    repeatSPSPPS = bit(7);
    enableIntraRefresh = bit(8);
    chromaFormatIDC = Bits::wide(9, 2);
    // In 12.1 only; zero in 13.0.
    pixelBitDepthMinus8 = Bits::wide(11, 3);
    enableFillerDataInsertion = bit(14);
    enableConstrainedEncoding = bit(15);
    singleSliceIntraRefresh = bit(17);
    outputRecoveryPointSEI = bit(18);
    // Since 13.0.
    outputMaxCll = bit(23);
    outputMasteringDisplay = bit(24);
}}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_CONFIG_AV1 {
    pub level: u32,
    pub tier: u32,
    pub minPartSize: u32,
    pub maxPartSize: u32,
    pub flags: u32,
    pub idrPeriod: u32,
    pub intraRefreshPeriod: u32,
    pub intraRefreshCnt: u32,
    pub maxNumRefFramesInDPB: u32,
    pub numTileColumns: u32,
    pub numTileRows: u32,
    pub tileWidths: *mut u32,
    pub tileHeights: *mut u32,
    pub maxTemporalLayersMinus1: u32,
    pub colorPrimaries: NV_ENC_VUI_COLOR_PRIMARIES,
    pub transferCharacteristics: NV_ENC_VUI_TRANSFER_CHARACTERISTIC,
    pub matrixCoefficients: NV_ENC_VUI_MATRIX_COEFFS,
    pub colorRange: u32,
    pub chromaSamplePosition: u32,
    pub useBFramesAsRef: u32,
    pub filmGrainParams: *mut c_void,
    pub numFwdRefs: NV_ENC_NUM_REF_FRAMES,
    pub numBwdRefs: NV_ENC_NUM_REF_FRAMES,
    /// Since 13.0; zero in 12.1.
    pub outputBitDepth: NV_ENC_BIT_DEPTH,
    /// Since 13.0; zero in 12.1.
    pub inputBitDepth: NV_ENC_BIT_DEPTH,
    pub reserved1: [u32; 233],
    pub reserved2: [*mut c_void; 62],
}

bits! { NV_ENC_CONFIG_AV1 {
    outputAnnexBFormat = bit(0);
    disableSeqHdr = bit(4);
    repeatSeqHdr = bit(5);
    enableIntraRefresh = bit(6);
    chromaFormatIDC = Bits::wide(7, 2);
    enableBitstreamPadding = bit(9);
    enableCustomTileConfig = bit(10);
    // In 12.1 only.
    inputPixelBitDepthMinus8 = Bits::wide(12, 3);
    pixelBitDepthMinus8 = Bits::wide(15, 3);
    // Since 13.0, in the same place.
    outputMaxCll = bit(14);
    outputMasteringDisplay = bit(15);
}}

/// One codec's part. Which one, the session's codec GUID says.
#[repr(C)]
#[derive(Clone, Copy)]
pub union NV_ENC_CODEC_CONFIG {
    pub h264Config: NV_ENC_CONFIG_H264,
    pub hevcConfig: NV_ENC_CONFIG_HEVC,
    pub av1Config: NV_ENC_CONFIG_AV1,
    pub reserved: [u32; 320],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct NV_ENC_CONFIG {
    pub version: u32,
    pub profileGUID: GUID,
    pub gopLength: u32,
    pub frameIntervalP: i32,
    pub monoChromeEncoding: u32,
    pub frameFieldMode: NV_ENC_PARAMS_FRAME_FIELD_MODE,
    pub mvPrecision: u32,
    pub rcParams: NV_ENC_RC_PARAMS,
    pub encodeCodecConfig: NV_ENC_CODEC_CONFIG,
    pub reserved: [u32; 278],
    pub reserved2: [*mut c_void; 64],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct NV_ENC_PRESET_CONFIG {
    pub version: u32,
    pub reserved: u32,
    pub presetCfg: NV_ENC_CONFIG,
    pub reserved1: [u32; 256],
    pub reserved2: [*mut c_void; 64],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NVENC_EXTERNAL_ME_HINT_COUNTS_PER_BLOCKTYPE {
    pub counts: u32,
    pub reserved1: [u32; 3],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_INITIALIZE_PARAMS {
    pub version: u32,
    pub encodeGUID: GUID,
    pub presetGUID: GUID,
    pub encodeWidth: u32,
    pub encodeHeight: u32,
    pub darWidth: u32,
    pub darHeight: u32,
    pub frameRateNum: u32,
    pub frameRateDen: u32,
    pub enableEncodeAsync: u32,
    pub enablePTD: u32,
    pub flags: u32,
    pub privDataSize: u32,
    pub reserved: u32,
    pub privData: *mut c_void,
    pub encodeConfig: *mut NV_ENC_CONFIG,
    pub maxEncodeWidth: u32,
    pub maxEncodeHeight: u32,
    pub maxMEHintCountsPerBlock: [NVENC_EXTERNAL_ME_HINT_COUNTS_PER_BLOCKTYPE; 2],
    pub tuningInfo: NV_ENC_TUNING_INFO,
    pub bufferFormat: NV_ENC_BUFFER_FORMAT,
    pub numStateBuffers: u32,
    pub outputStatsLevel: u32,
    pub reserved1: [u32; 284],
    /// Reserved pointers, which begin eight bytes further on in 12.1.
    pub rest: [u64; 65],
}

bits! { NV_ENC_INITIALIZE_PARAMS {
    reportSliceOffsets = bit(0);
    enableSubFrameWrite = bit(1);
    enableExternalMEHints = bit(2);
    enableMEOnlyMode = bit(3);
    enableWeightedPrediction = bit(4);
    splitEncodeMode = Bits::wide(5, 4);
    enableOutputInVidmem = bit(9);
    enableReconFrameOutput = bit(10);
    enableOutputStats = bit(11);
}}

/// Its flags follow the parameters, whose length differs: see [`NV_ENC_RECONFIGURE_PARAMS::flags`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_RECONFIGURE_PARAMS {
    pub version: u32,
    pub reserved: u32,
    pub reInitEncodeParams: NV_ENC_INITIALIZE_PARAMS,
    pub flags_of_12_1: u64,
}

impl NV_ENC_RECONFIGURE_PARAMS {
    /// The flags, where `api` has them.
    #[must_use]
    pub fn flags(&self, api: Api) -> u32 {
        if api < Api::V13_0 { self.flags_of_12_1 as u32 } else { self.reInitEncodeParams.rest[64] as u32 }
    }

    /// Sets the flags, where `api` has them. A later write of the parameters would undo it in 13.0: they come first.
    pub fn set_flags(&mut self, api: Api, flags: u32) {
        let place =
            if api < Api::V13_0 { &mut self.flags_of_12_1 } else { &mut self.reInitEncodeParams.rest[64] };
        *place = u64::from(flags);
    }
}

bits! { NV_ENC_RECONFIGURE_PARAMS {
    resetEncoder = bit(0);
    forceIDR = bit(1);
}}

zeroable!(
    GUID,
    NV_ENC_QP,
    NV_ENC_CONFIG_H264_VUI_PARAMETERS,
    NV_ENC_CONFIG_H264,
    NV_ENC_CONFIG_HEVC,
    NV_ENC_CONFIG_AV1,
    NV_ENC_CODEC_CONFIG,
    NVENC_EXTERNAL_ME_HINT_COUNTS_PER_BLOCKTYPE,
);

versioned! {
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS: plain(1), plain(1);
    NV_ENC_RC_PARAMS: plain(1), plain(1);
    NV_ENC_CONFIG: high(8), high(9);
    NV_ENC_PRESET_CONFIG: high(4), high(5);
    NV_ENC_INITIALIZE_PARAMS: high(6), high(7);
    NV_ENC_RECONFIGURE_PARAMS: high(1), high(2);
}
