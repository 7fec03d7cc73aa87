//! What one picture is encoded with, and what comes of it.

use super::{
    NV_ENC_BUFFER_FORMAT, NV_ENC_PIC_STRUCT, NV_ENC_PIC_TYPE, bit, bits, high, plain, versioned, zeroable,
};
use std::ffi::c_void;

/// A mapped input, as a driver knows it.
pub type NV_ENC_INPUT_PTR = *mut c_void;
/// A bitstream buffer, as a driver knows it.
pub type NV_ENC_OUTPUT_PTR = *mut c_void;
/// A registered resource, as a driver knows it.
pub type NV_ENC_REGISTERED_PTR = *mut c_void;
/// Points to a `CUstream`: the handle's address, not the handle.
pub type NV_ENC_CUSTREAM_PTR = *mut c_void;

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CHROMA_POINTS {
    pub x: u16,
    pub y: u16,
}

/// Since 13.0. Chromaticities in 0.00002, luminances in 0.0001 cd/m² (HEVC's SEI; AV1 has units of its own).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MASTERING_DISPLAY_INFO {
    pub g: CHROMA_POINTS,
    pub b: CHROMA_POINTS,
    pub r: CHROMA_POINTS,
    pub whitePoint: CHROMA_POINTS,
    pub maxLuma: u32,
    pub minLuma: u32,
}

/// Since 13.0. In cd/m².
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CONTENT_LIGHT_LEVEL {
    pub maxContentLightLevel: u16,
    pub maxPicAverageLightLevel: u16,
}

/// An SEI message, or an AV1 metadata OBU: its type and its payload, without start code or escapes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_SEI_PAYLOAD {
    pub payloadSize: u32,
    pub payloadType: u32,
    pub payload: *mut u8,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_TIME_CODE {
    pub displayPicStruct: u32,
    pub clockTimestamp: [[u32; 2]; 3],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_PIC_PARAMS_H264 {
    pub displayPOCSyntax: u32,
    pub reserved3: u32,
    pub refPicFlag: u32,
    pub colourPlaneId: u32,
    pub forceIntraRefreshWithFrameCnt: u32,
    pub flags: u32,
    pub sliceTypeData: *mut u8,
    pub sliceTypeArrayCnt: u32,
    pub seiPayloadArrayCnt: u32,
    pub seiPayloadArray: *mut NV_ENC_SEI_PAYLOAD,
    pub sliceMode: u32,
    pub sliceModeData: u32,
    pub ltrMarkFrameIdx: u32,
    pub ltrUseFrameBitmap: u32,
    pub ltrUsageMode: u32,
    pub forceIntraSliceCount: u32,
    pub forceIntraSliceIdx: *mut u32,
    /// A union of what multi-view coding needs: 128 bytes with pointers in them.
    pub h264ExtPicParams: [u64; 16],
    pub timeCode: NV_ENC_TIME_CODE,
    pub reserved: [u32; 203],
    pub reserved2: [*mut c_void; 61],
}

bits! { NV_ENC_PIC_PARAMS_H264 {
    constrainedFrame = bit(0);
    sliceModeDataUpdate = bit(1);
    ltrMarkFrame = bit(2);
    ltrUseFrames = bit(3);
}}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_PIC_PARAMS_HEVC {
    pub displayPOCSyntax: u32,
    pub refPicFlag: u32,
    pub temporalId: u32,
    pub forceIntraRefreshWithFrameCnt: u32,
    pub flags: u32,
    pub reserved1: u32,
    pub sliceTypeData: *mut u8,
    pub sliceTypeArrayCnt: u32,
    pub sliceMode: u32,
    pub sliceModeData: u32,
    pub ltrMarkFrameIdx: u32,
    pub ltrUseFrameBitmap: u32,
    pub ltrUsageMode: u32,
    pub seiPayloadArrayCnt: u32,
    pub reserved: u32,
    pub seiPayloadArray: *mut NV_ENC_SEI_PAYLOAD,
    pub timeCode: NV_ENC_TIME_CODE,
    /// Since 13.0; zero in 12.1.
    pub skipClockTimestampInsertion: u32,
    /// Since 13.0; zero in 12.1.
    pub numTemporalLayers: u32,
    /// Since 13.0; zero in 12.1.
    pub viewId: u32,
    /// Since 13.0; null in 12.1.
    pub p3DReferenceDisplayInfo: *mut c_void,
    /// Since 13.0; null in 12.1.
    pub pMaxCll: *mut CONTENT_LIGHT_LEVEL,
    /// Since 13.0; null in 12.1.
    pub pMasteringDisplay: *mut MASTERING_DISPLAY_INFO,
    pub reserved2: [u32; 234],
    pub reserved3: [*mut c_void; 58],
}

bits! { NV_ENC_PIC_PARAMS_HEVC {
    constrainedFrame = bit(0);
    sliceModeDataUpdate = bit(1);
    ltrMarkFrame = bit(2);
    ltrUseFrames = bit(3);
}}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_PIC_PARAMS_AV1 {
    pub displayPOCSyntax: u32,
    pub refPicFlag: u32,
    pub temporalId: u32,
    pub forceIntraRefreshWithFrameCnt: u32,
    pub flags: u32,
    pub numTileColumns: u32,
    pub numTileRows: u32,
    pub reserved: u32,
    pub tileWidths: *mut u32,
    pub tileHeights: *mut u32,
    pub obuPayloadArrayCnt: u32,
    pub reserved1: u32,
    pub obuPayloadArray: *mut NV_ENC_SEI_PAYLOAD,
    pub filmGrainParams: *mut c_void,
    /// Since 13.0; zero in 12.1.
    pub ltrMarkFrameIdx: u32,
    /// Since 13.0; zero in 12.1.
    pub ltrUseFrameBitmap: u32,
    /// Since 13.0; zero in 12.1.
    pub numTemporalLayers: u32,
    pub reserved4: u32,
    /// Since 13.0; null in 12.1.
    pub pMaxCll: *mut CONTENT_LIGHT_LEVEL,
    /// Since 13.0; null in 12.1.
    pub pMasteringDisplay: *mut MASTERING_DISPLAY_INFO,
    pub reserved2: [u32; 242],
    /// One fewer in 13.0, and eight bytes sooner.
    pub reserved3: [*mut c_void; 60],
}

bits! { NV_ENC_PIC_PARAMS_AV1 {
    errorResilientModeFlag = bit(6);
    tileConfigUpdate = bit(7);
    enableCustomTileConfig = bit(8);
}}

/// One codec's part. Which one, the session's codec GUID says.
#[repr(C)]
#[derive(Clone, Copy)]
pub union NV_ENC_CODEC_PIC_PARAMS {
    pub h264PicParams: NV_ENC_PIC_PARAMS_H264,
    pub hevcPicParams: NV_ENC_PIC_PARAMS_HEVC,
    pub av1PicParams: NV_ENC_PIC_PARAMS_AV1,
    /// Longest in 12.1.
    pub reserved: [u64; 194],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct NV_ENC_PIC_PARAMS {
    pub version: u32,
    pub inputWidth: u32,
    pub inputHeight: u32,
    pub inputPitch: u32,
    pub encodePicFlags: u32,
    pub frameIdx: u32,
    pub inputTimeStamp: u64,
    pub inputDuration: u64,
    pub inputBuffer: NV_ENC_INPUT_PTR,
    pub outputBitstream: NV_ENC_OUTPUT_PTR,
    pub completionEvent: *mut c_void,
    pub bufferFmt: NV_ENC_BUFFER_FORMAT,
    pub pictureStruct: NV_ENC_PIC_STRUCT,
    pub pictureType: NV_ENC_PIC_TYPE,
    pub codecPicParams: NV_ENC_CODEC_PIC_PARAMS,
    /// Motion hints, QP maps, alpha and reconstruction, in places that differ; we use none of them.
    pub rest: [u64; 216],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_LOCK_BITSTREAM {
    pub version: u32,
    pub flags: u32,
    pub outputBitstream: NV_ENC_OUTPUT_PTR,
    pub sliceOffsets: *mut u32,
    pub frameIdx: u32,
    pub hwEncodeStatus: u32,
    pub numSlices: u32,
    pub bitstreamSizeInBytes: u32,
    pub outputTimeStamp: u64,
    pub outputDuration: u64,
    pub bitstreamBufferPtr: *mut c_void,
    pub pictureType: NV_ENC_PIC_TYPE,
    pub pictureStruct: NV_ENC_PIC_STRUCT,
    pub frameAvgQP: u32,
    pub frameSatd: u32,
    pub ltrFrameIdx: u32,
    pub ltrFrameBitmap: u32,
    pub temporalId: u32,
    pub intraMBCount: u32,
    pub interMBCount: u32,
    pub averageMVX: i32,
    pub averageMVY: i32,
    pub alphaLayerSizeInBytes: u32,
    pub outputStatsPtrSize: u32,
    pub reserved: u32,
    pub outputStatsPtr: *mut c_void,
    pub frameIdxDisplay: u32,
    pub reserved1: [u32; 220],
    pub reserved2: [*mut c_void; 63],
    pub reservedInternal: [u32; 8],
}

bits! { NV_ENC_LOCK_BITSTREAM {
    doNotWait = bit(0);
    ltrFrame = bit(1);
    getRCStats = bit(2);
}}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_SEQUENCE_PARAM_PAYLOAD {
    pub version: u32,
    pub inBufferSize: u32,
    pub spsId: u32,
    pub ppsId: u32,
    pub spsppsBuffer: *mut c_void,
    pub outSPSPPSPayloadSize: *mut u32,
    pub reserved: [u32; 250],
    pub reserved2: [*mut c_void; 64],
}

zeroable!(
    NV_ENC_SEI_PAYLOAD,
    NV_ENC_TIME_CODE,
    NV_ENC_PIC_PARAMS_H264,
    NV_ENC_PIC_PARAMS_HEVC,
    NV_ENC_PIC_PARAMS_AV1,
    NV_ENC_CODEC_PIC_PARAMS,
    CHROMA_POINTS,
    MASTERING_DISPLAY_INFO,
    CONTENT_LIGHT_LEVEL,
);

versioned! {
    NV_ENC_PIC_PARAMS: high(6), high(7);
    NV_ENC_LOCK_BITSTREAM: high(1), high(2);
    NV_ENC_SEQUENCE_PARAM_PAYLOAD: plain(1), plain(1);
}
