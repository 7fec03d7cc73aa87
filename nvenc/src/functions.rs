//! The driver's functions, all of them there: what the table gives, checked once.

use std::ffi::{CStr, c_void};

use crate::error::{NvencError, Said};
use crate::sys::*;

/// Takes each named function out of a table, or names the one that is missing.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions that a session calls.
        #[allow(non_snake_case, reason = "names are the header's")]
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            /// # Errors
            /// The first that is not there.
            pub(crate) fn check(table: &NV_ENCODE_API_FUNCTION_LIST) -> Result<Functions, NvencError> {
                Ok(Functions {
                    $($name: table.$name.ok_or(NvencError::EntryMissing { name: stringify!($name) })?,)*
                })
            }
        }
    };
}

functions! {
    nvEncOpenEncodeSessionEx(*mut NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, *mut *mut c_void) -> NVENCSTATUS;
    nvEncGetEncodeGUIDCount(*mut c_void, *mut u32) -> NVENCSTATUS;
    nvEncGetEncodeGUIDs(*mut c_void, *mut GUID, u32, *mut u32) -> NVENCSTATUS;
    nvEncGetInputFormatCount(*mut c_void, GUID, *mut u32) -> NVENCSTATUS;
    nvEncGetInputFormats(*mut c_void, GUID, *mut NV_ENC_BUFFER_FORMAT, u32, *mut u32) -> NVENCSTATUS;
    nvEncGetEncodeCaps(*mut c_void, GUID, *mut NV_ENC_CAPS_PARAM, *mut i32) -> NVENCSTATUS;
    nvEncGetEncodePresetConfigEx(*mut c_void, GUID, GUID, NV_ENC_TUNING_INFO, *mut NV_ENC_PRESET_CONFIG) -> NVENCSTATUS;
    nvEncInitializeEncoder(*mut c_void, *mut NV_ENC_INITIALIZE_PARAMS) -> NVENCSTATUS;
    nvEncReconfigureEncoder(*mut c_void, *mut NV_ENC_RECONFIGURE_PARAMS) -> NVENCSTATUS;
    nvEncSetIOCudaStreams(*mut c_void, NV_ENC_CUSTREAM_PTR, NV_ENC_CUSTREAM_PTR) -> NVENCSTATUS;
    nvEncCreateBitstreamBuffer(*mut c_void, *mut NV_ENC_CREATE_BITSTREAM_BUFFER) -> NVENCSTATUS;
    nvEncDestroyBitstreamBuffer(*mut c_void, NV_ENC_OUTPUT_PTR) -> NVENCSTATUS;
    nvEncRegisterResource(*mut c_void, *mut NV_ENC_REGISTER_RESOURCE) -> NVENCSTATUS;
    nvEncUnregisterResource(*mut c_void, NV_ENC_REGISTERED_PTR) -> NVENCSTATUS;
    nvEncMapInputResource(*mut c_void, *mut NV_ENC_MAP_INPUT_RESOURCE) -> NVENCSTATUS;
    nvEncUnmapInputResource(*mut c_void, NV_ENC_INPUT_PTR) -> NVENCSTATUS;
    nvEncEncodePicture(*mut c_void, *mut NV_ENC_PIC_PARAMS) -> NVENCSTATUS;
    nvEncLockBitstream(*mut c_void, *mut NV_ENC_LOCK_BITSTREAM) -> NVENCSTATUS;
    nvEncUnlockBitstream(*mut c_void, NV_ENC_OUTPUT_PTR) -> NVENCSTATUS;
    nvEncInvalidateRefFrames(*mut c_void, u64) -> NVENCSTATUS;
    nvEncGetSequenceParams(*mut c_void, *mut NV_ENC_SEQUENCE_PARAM_PAYLOAD) -> NVENCSTATUS;
    nvEncDestroyEncoder(*mut c_void) -> NVENCSTATUS;
    nvEncGetLastErrorString(*mut c_void) -> *const std::ffi::c_char;
}

impl Functions {
    /// What the driver says about its last failure in the session `encoder`.
    pub(crate) fn words(&self, encoder: *mut c_void) -> String {
        if encoder.is_null() {
            return String::new();
        }
        // SAFETY: the session is open, and the answer is null or a string of the driver's.
        let words = unsafe { (self.nvEncGetLastErrorString)(encoder) };
        if words.is_null() {
            return String::new();
        }
        // SAFETY: as above, and it lives until the session's next call.
        unsafe { CStr::from_ptr(words) }.to_string_lossy().chars().take(200).collect()
    }

    /// The status with the driver's words to it.
    pub(crate) fn said(&self, encoder: *mut c_void, status: NVENCSTATUS) -> Said {
        Said { status, words: self.words(encoder) }
    }

    /// An error for every status but success.
    pub(crate) fn checked(
        &self,
        encoder: *mut c_void,
        call: &'static str,
        status: NVENCSTATUS,
    ) -> Result<(), NvencError> {
        if status == NV_ENC_SUCCESS {
            return Ok(());
        }
        Err(NvencError::of_session(call, self.said(encoder, status)))
    }
}
