//! NVDECODE's structures and numbers, as `nvcuvid.h` and `cuviddec.h` of the Video Codec SDK 12.1 have them.
//!
//! Promises: sizes and offsets of NVIDIA's (`tests/layout.rs`). Enumerations are numbers, since a driver may be newer than
//! any list of theirs. What only the driver reads in a picture's description is left as it is.

#![allow(non_camel_case_types, non_snake_case)]

use std::ffi::{c_int, c_longlong, c_short, c_uint, c_ulong, c_void};

/// `cudaVideoCodec_H264`
pub const CODEC_H264: c_int = 4;
/// `cudaVideoCodec_HEVC`
pub const CODEC_HEVC: c_int = 8;
/// `cudaVideoCodec_AV1`
pub const CODEC_AV1: c_int = 11;

/// `cudaVideoChromaFormat_420`
pub const CHROMA_420: c_int = 1;
/// `cudaVideoChromaFormat_444`
pub const CHROMA_444: c_int = 3;

/// `cudaVideoSurfaceFormat_NV12`
pub const SURFACE_NV12: c_int = 0;
/// `cudaVideoSurfaceFormat_P016`
pub const SURFACE_P016: c_int = 1;
/// `cudaVideoSurfaceFormat_YUV444`
pub const SURFACE_YUV444: c_int = 2;
/// `cudaVideoSurfaceFormat_YUV444_16Bit`
pub const SURFACE_YUV444_16: c_int = 3;

/// `cudaVideoDeinterlaceMode_Weave`
pub const DEINTERLACE_WEAVE: c_int = 0;

/// `cudaVideoCreate_PreferCUVID`
pub const CREATE_PREFER_CUVID: c_ulong = 4;

/// `CUVID_PKT_ENDOFSTREAM`
pub const PACKET_END_OF_STREAM: c_ulong = 0x01;
/// `CUVID_PKT_ENDOFPICTURE`
pub const PACKET_END_OF_PICTURE: c_ulong = 0x08;

/// `cuvidDecodeStatus_Error`
pub const STATUS_ERROR: c_int = 8;
/// `cuvidDecodeStatus_Error_Concealed`
pub const STATUS_ERROR_CONCEALED: c_int = 9;
/// `cuvidDecodeStatus_Success`
pub const STATUS_SUCCESS: c_int = 2;

/// A parser.
pub type CUvideoparser = *mut c_void;
/// A decoder.
pub type CUvideodecoder = *mut c_void;

/// A rectangle of `int`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rectangle {
    /// The first column.
    pub left: c_int,
    /// The first row.
    pub top: c_int,
    /// Behind the last column.
    pub right: c_int,
    /// Behind the last row.
    pub bottom: c_int,
}

/// A rectangle of `short`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShortRectangle {
    /// The first column.
    pub left: c_short,
    /// The first row.
    pub top: c_short,
    /// Behind the last column.
    pub right: c_short,
    /// Behind the last row.
    pub bottom: c_short,
}

/// What a sequence is, as the parser found it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct CUVIDEOFORMAT {
    /// The codec.
    pub codec: c_int,
    /// Numerator and denominator.
    pub frame_rate: [c_uint; 2],
    /// 0: interlaced.
    pub progressive_sequence: u8,
    /// Bits less 8.
    pub bit_depth_luma_minus8: u8,
    /// Bits less 8.
    pub bit_depth_chroma_minus8: u8,
    /// Surfaces that it takes at least.
    pub min_num_decode_surfaces: u8,
    /// Coded pixels.
    pub coded_width: c_uint,
    /// Coded pixels.
    pub coded_height: c_uint,
    /// What is to be seen of them.
    pub display_area: Rectangle,
    /// The chroma format.
    pub chroma_format: c_int,
    /// Bit/s, 0 where unknown.
    pub bitrate: c_uint,
    /// x and y.
    pub display_aspect_ratio: [c_int; 2],
    /// Format and range in one byte, primaries, transfer, matrix.
    pub video_signal_description: [u8; 4],
    /// Bytes that follow.
    pub seqhdr_data_length: c_uint,
}

/// A picture to be decoded. What its codec says of it is the driver's own affair.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUVIDPICPARAMS {
    /// In macroblocks.
    pub PicWidthInMbs: c_int,
    /// In macroblocks.
    pub FrameHeightInMbs: c_int,
    /// The surface that it goes to.
    pub CurrPicIdx: c_int,
    /// 1: a field.
    pub field_pic_flag: c_int,
    /// 1: the lower one.
    pub bottom_field_flag: c_int,
    /// 1: the second of a pair.
    pub second_field: c_int,
    /// Its bytes.
    pub nBitstreamDataLen: c_uint,
    /// Where they are.
    pub pBitstreamData: *const u8,
    /// Its slices.
    pub nNumSlices: c_uint,
    /// Where each begins.
    pub pSliceDataOffsets: *const c_uint,
    /// 1: others refer to it.
    pub ref_pic_flag: c_int,
    /// 1: it refers to none.
    pub intra_pic_flag: c_int,
    /// Zeros.
    pub Reserved: [c_uint; 30],
    /// What its codec says of it.
    pub CodecSpecific: CodecSpecific,
}

/// A union whose fields hold pointers, and so is aligned as one.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub struct CodecSpecific {
    /// The whole of it.
    pub CodecReserved: [c_uint; 1024],
}

/// A picture to be shown.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct CUVIDPARSERDISPINFO {
    /// Its surface.
    pub picture_index: c_int,
    /// 1: no fields.
    pub progressive_frame: c_int,
    /// The order of fields.
    pub top_field_first: c_int,
    /// Fields that are shown again.
    pub repeat_first_field: c_int,
    /// The packet's.
    pub timestamp: c_longlong,
}

/// Bytes for the parser.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUVIDSOURCEDATAPACKET {
    /// `PACKET_…`
    pub flags: c_ulong,
    /// Bytes.
    pub payload_size: c_ulong,
    /// Where they are.
    pub payload: *const u8,
    /// Only with its flag.
    pub timestamp: c_longlong,
}

/// Told of a new sequence: 0 to fail, 1 to go on, more to set the surfaces.
pub type SequenceCallback = unsafe extern "C" fn(*mut c_void, *mut CUVIDEOFORMAT) -> c_int;
/// Told of a picture to decode: 0 to fail.
pub type DecodeCallback = unsafe extern "C" fn(*mut c_void, *mut CUVIDPICPARAMS) -> c_int;
/// Told of a picture to show: 0 to fail.
pub type DisplayCallback = unsafe extern "C" fn(*mut c_void, *mut CUVIDPARSERDISPINFO) -> c_int;

/// What a parser shall do.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUVIDPARSERPARAMS {
    /// The codec.
    pub CodecType: c_int,
    /// Surfaces that the parser goes round in.
    pub ulMaxNumDecodeSurfaces: c_uint,
    /// 0: 10 MHz.
    pub ulClockRate: c_uint,
    /// Percent of errors that a picture may have.
    pub ulErrorThreshold: c_uint,
    /// Pictures that wait to be shown.
    pub ulMaxDisplayDelay: c_uint,
    /// Bit 0: AV1 in its Annex B.
    pub bAnnexb: c_uint,
    /// Zeros.
    pub uReserved1: [c_uint; 4],
    /// What callbacks are given.
    pub pUserData: *mut c_void,
    /// Told of sequences.
    pub pfnSequenceCallback: Option<SequenceCallback>,
    /// Told of pictures to decode.
    pub pfnDecodePicture: Option<DecodeCallback>,
    /// Told of pictures to show.
    pub pfnDisplayPicture: Option<DisplayCallback>,
    /// Of AV1; unused.
    pub pfnGetOperatingPoint: *const c_void,
    /// Unused.
    pub pfnGetSEIMsg: *const c_void,
    /// Zeros.
    pub pvReserved2: [*mut c_void; 5],
    /// Unused.
    pub pExtVideoInfo: *mut c_void,
}

/// What the device can decode: asked for by the first fields, answered in the rest.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct CUVIDDECODECAPS {
    /// In: the codec.
    pub eCodecType: c_int,
    /// In: the chroma format.
    pub eChromaFormat: c_int,
    /// In: bits less 8.
    pub nBitDepthMinus8: c_uint,
    /// Zeros.
    pub reserved1: [c_uint; 3],
    /// 1: it can.
    pub bIsSupported: u8,
    /// Engines that can.
    pub nNumNVDECs: u8,
    /// A bit for each surface format.
    pub nOutputFormatMask: u16,
    /// Coded pixels at most.
    pub nMaxWidth: c_uint,
    /// Coded pixels at most.
    pub nMaxHeight: c_uint,
    /// Macroblocks at most.
    pub nMaxMBCount: c_uint,
    /// Coded pixels at least.
    pub nMinWidth: u16,
    /// Coded pixels at least.
    pub nMinHeight: u16,
    /// Unused.
    pub bIsHistogramSupported: u8,
    /// Unused.
    pub nCounterBitDepth: u8,
    /// Unused.
    pub nMaxHistogramBins: u16,
    /// Zeros.
    pub reserved3: [c_uint; 10],
}

/// A decoder to be made.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUVIDDECODECREATEINFO {
    /// Coded pixels.
    pub ulWidth: c_ulong,
    /// Coded pixels.
    pub ulHeight: c_ulong,
    /// Surfaces to decode into.
    pub ulNumDecodeSurfaces: c_ulong,
    /// The codec.
    pub CodecType: c_int,
    /// The chroma format.
    pub ChromaFormat: c_int,
    /// `CREATE_…`
    pub ulCreationFlags: c_ulong,
    /// Bits less 8.
    pub bitDepthMinus8: c_ulong,
    /// 1: no picture refers to another.
    pub ulIntraDecodeOnly: c_ulong,
    /// For reconfiguring.
    pub ulMaxWidth: c_ulong,
    /// For reconfiguring.
    pub ulMaxHeight: c_ulong,
    /// Zero.
    pub Reserved1: c_ulong,
    /// What is to be seen.
    pub display_area: ShortRectangle,
    /// `SURFACE_…`
    pub OutputFormat: c_int,
    /// `DEINTERLACE_…`
    pub DeinterlaceMode: c_int,
    /// Pixels that come out.
    pub ulTargetWidth: c_ulong,
    /// Pixels that come out.
    pub ulTargetHeight: c_ulong,
    /// Pictures mapped at the same time.
    pub ulNumOutputSurfaces: c_ulong,
    /// Unused.
    pub vidLock: *mut c_void,
    /// All zeros: the whole.
    pub target_rect: ShortRectangle,
    /// Unused.
    pub enableHistogram: c_ulong,
    /// Zeros.
    pub Reserved2: [c_ulong; 4],
}

/// How a picture is mapped.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUVIDPROCPARAMS {
    /// 1: no fields.
    pub progressive_frame: c_int,
    /// Of fields.
    pub second_field: c_int,
    /// Of fields.
    pub top_field_first: c_int,
    /// Of fields.
    pub unpaired_field: c_int,
    /// Zeros.
    pub reserved_flags: c_uint,
    /// Zero.
    pub reserved_zero: c_uint,
    /// Unused.
    pub raw_input_dptr: u64,
    /// Unused.
    pub raw_input_pitch: c_uint,
    /// Unused.
    pub raw_input_format: c_uint,
    /// Unused.
    pub raw_output_dptr: u64,
    /// Unused.
    pub raw_output_pitch: c_uint,
    /// Zero.
    pub Reserved1: c_uint,
    /// The stream that maps, a `CUstream`.
    pub output_stream: *mut c_void,
    /// Zeros.
    pub Reserved: [c_uint; 46],
    /// Unused.
    pub histogram_dptr: *mut u64,
    /// Zero.
    pub Reserved2: [*mut c_void; 1],
}

/// How a picture went.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUVIDGETDECODESTATUS {
    /// `STATUS_…`
    pub decodeStatus: c_int,
    /// Zeros.
    pub reserved: [c_uint; 31],
    /// Zeros.
    pub pReserved: [*mut c_void; 8],
}
