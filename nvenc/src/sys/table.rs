//! The table of functions that a driver fills in, and the two that its library exports.

use super::{
    GUID, NV_ENC_BUFFER_FORMAT, NV_ENC_CAPS_PARAM, NV_ENC_CREATE_BITSTREAM_BUFFER, NV_ENC_CUSTREAM_PTR,
    NV_ENC_INITIALIZE_PARAMS, NV_ENC_INPUT_PTR, NV_ENC_LOCK_BITSTREAM, NV_ENC_MAP_INPUT_RESOURCE,
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, NV_ENC_OUTPUT_PTR, NV_ENC_PIC_PARAMS, NV_ENC_PRESET_CONFIG,
    NV_ENC_RECONFIGURE_PARAMS, NV_ENC_REGISTER_RESOURCE, NV_ENC_REGISTERED_PTR,
    NV_ENC_SEQUENCE_PARAM_PAYLOAD, NV_ENC_TUNING_INFO, NVENCSTATUS, plain, versioned,
};
use std::ffi::{c_char, c_void};

/// The library that every NVIDIA driver for Linux installs.
pub const SONAME: &str = "libnvidia-encode.so.1";

/// `NvEncodeAPIGetMaxSupportedVersion`.
pub type GetMaxSupportedVersion = unsafe extern "C" fn(version: *mut u32) -> NVENCSTATUS;

/// `NvEncodeAPICreateInstance`.
pub type CreateInstance = unsafe extern "C" fn(list: *mut NV_ENCODE_API_FUNCTION_LIST) -> NVENCSTATUS;

/// A function that is never called.
pub type Unused = *mut c_void;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENCODE_API_FUNCTION_LIST {
    pub version: u32,
    pub reserved: u32,
    pub nvEncOpenEncodeSession: Unused,
    pub nvEncGetEncodeGUIDCount:
        Option<unsafe extern "C" fn(encoder: *mut c_void, encode_guidcount: *mut u32) -> NVENCSTATUS>,
    pub nvEncGetEncodeProfileGUIDCount: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            encode_profile_guidcount: *mut u32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetEncodeProfileGUIDs: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            profile_guids: *mut GUID,
            guid_array_size: u32,
            g_uidcount: *mut u32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetEncodeGUIDs: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            g_uids: *mut GUID,
            guid_array_size: u32,
            g_uidcount: *mut u32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetInputFormatCount: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            input_fmt_count: *mut u32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetInputFormats: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            input_fmts: *mut NV_ENC_BUFFER_FORMAT,
            input_fmt_array_size: u32,
            input_fmt_count: *mut u32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetEncodeCaps: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            caps_param: *mut NV_ENC_CAPS_PARAM,
            caps_val: *mut i32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetEncodePresetCount: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            encode_preset_guidcount: *mut u32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetEncodePresetGUIDs: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            preset_guids: *mut GUID,
            guid_array_size: u32,
            encode_preset_guidcount: *mut u32,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetEncodePresetConfig: Unused,
    pub nvEncInitializeEncoder: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            create_encode_params: *mut NV_ENC_INITIALIZE_PARAMS,
        ) -> NVENCSTATUS,
    >,
    pub nvEncCreateInputBuffer: Unused,
    pub nvEncDestroyInputBuffer: Unused,
    pub nvEncCreateBitstreamBuffer: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            create_bitstream_buffer_params: *mut NV_ENC_CREATE_BITSTREAM_BUFFER,
        ) -> NVENCSTATUS,
    >,
    pub nvEncDestroyBitstreamBuffer: Option<
        unsafe extern "C" fn(encoder: *mut c_void, bitstream_buffer: NV_ENC_OUTPUT_PTR) -> NVENCSTATUS,
    >,
    pub nvEncEncodePicture: Option<
        unsafe extern "C" fn(encoder: *mut c_void, encode_pic_params: *mut NV_ENC_PIC_PARAMS) -> NVENCSTATUS,
    >,
    pub nvEncLockBitstream: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            lock_bitstream_buffer_params: *mut NV_ENC_LOCK_BITSTREAM,
        ) -> NVENCSTATUS,
    >,
    pub nvEncUnlockBitstream: Option<
        unsafe extern "C" fn(encoder: *mut c_void, bitstream_buffer: NV_ENC_OUTPUT_PTR) -> NVENCSTATUS,
    >,
    pub nvEncLockInputBuffer: Unused,
    pub nvEncUnlockInputBuffer: Unused,
    pub nvEncGetEncodeStats: Unused,
    pub nvEncGetSequenceParams: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            sequence_param_payload: *mut NV_ENC_SEQUENCE_PARAM_PAYLOAD,
        ) -> NVENCSTATUS,
    >,
    pub nvEncRegisterAsyncEvent: Unused,
    pub nvEncUnregisterAsyncEvent: Unused,
    pub nvEncMapInputResource: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            map_input_res_params: *mut NV_ENC_MAP_INPUT_RESOURCE,
        ) -> NVENCSTATUS,
    >,
    pub nvEncUnmapInputResource: Option<
        unsafe extern "C" fn(encoder: *mut c_void, mapped_input_buffer: NV_ENC_INPUT_PTR) -> NVENCSTATUS,
    >,
    pub nvEncDestroyEncoder: Option<unsafe extern "C" fn(encoder: *mut c_void) -> NVENCSTATUS>,
    pub nvEncInvalidateRefFrames:
        Option<unsafe extern "C" fn(encoder: *mut c_void, invalid_ref_frame_time_stamp: u64) -> NVENCSTATUS>,
    pub nvEncOpenEncodeSessionEx: Option<
        unsafe extern "C" fn(
            open_session_ex_params: *mut NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS,
            encoder: *mut *mut c_void,
        ) -> NVENCSTATUS,
    >,
    pub nvEncRegisterResource: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            register_res_params: *mut NV_ENC_REGISTER_RESOURCE,
        ) -> NVENCSTATUS,
    >,
    pub nvEncUnregisterResource: Option<
        unsafe extern "C" fn(encoder: *mut c_void, registered_res: NV_ENC_REGISTERED_PTR) -> NVENCSTATUS,
    >,
    pub nvEncReconfigureEncoder: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            re_init_encode_params: *mut NV_ENC_RECONFIGURE_PARAMS,
        ) -> NVENCSTATUS,
    >,
    pub reserved1: *mut c_void,
    pub nvEncCreateMVBuffer: Unused,
    pub nvEncDestroyMVBuffer: Unused,
    pub nvEncRunMotionEstimationOnly: Unused,
    pub nvEncGetLastErrorString: Option<unsafe extern "C" fn(encoder: *mut c_void) -> *const c_char>,
    pub nvEncSetIOCudaStreams: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            input_stream: NV_ENC_CUSTREAM_PTR,
            output_stream: NV_ENC_CUSTREAM_PTR,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetEncodePresetConfigEx: Option<
        unsafe extern "C" fn(
            encoder: *mut c_void,
            encode_guid: GUID,
            preset_guid: GUID,
            tuning_info: NV_ENC_TUNING_INFO,
            preset_config: *mut NV_ENC_PRESET_CONFIG,
        ) -> NVENCSTATUS,
    >,
    pub nvEncGetSequenceParamEx: Unused,
    pub nvEncRestoreEncoderState: Unused,
    pub nvEncLookaheadPicture: Unused,
    pub reserved2: [*mut c_void; 275],
}

versioned! {
    NV_ENCODE_API_FUNCTION_LIST: plain(2), plain(2);
}
