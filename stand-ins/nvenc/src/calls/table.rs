//! The two exported functions: which interface is spoken, and the table of all others.

use std::ffi::c_void;

use punktfunk_nvenc::sys::*;

use super::{answer, unused};
use crate::check::{null, output, zero};
use crate::driver;
use crate::status::{Answer, Refused};

/// Answers the newest interface that the driver speaks.
///
/// # Safety
/// Null or a variable.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the SDK's name")]
pub unsafe extern "C" fn NvEncodeAPIGetMaxSupportedVersion(version: *mut u32) -> NVENCSTATUS {
    answer("NvEncodeAPIGetMaxSupportedVersion", || {
        // SAFETY: the caller's variable.
        *unsafe { output(version, "version") }? = driver::version().to_driver();
        Ok(())
    })
}

/// Fills in the table of functions.
///
/// # Safety
/// Null or a table.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the SDK's name")]
pub unsafe extern "C" fn NvEncodeAPICreateInstance(list: *mut NV_ENCODE_API_FUNCTION_LIST) -> NVENCSTATUS {
    answer("NvEncodeAPICreateInstance", || {
        // SAFETY: the caller's table.
        let list = unsafe { output(list, "functionList") }?;
        check_version(list.version)?;
        zero("NV_ENCODE_API_FUNCTION_LIST::reserved", &[list.reserved])?;
        null("NV_ENCODE_API_FUNCTION_LIST::reserved1", &[list.reserved1])?;
        null("NV_ENCODE_API_FUNCTION_LIST::reserved2", &list.reserved2)?;
        fill(list);
        fill_unused(list);
        Ok(())
    })
}

/// A table of an interface that the driver speaks.
fn check_version(word: u32) -> Answer {
    let spoken = [Api::V12_1, Api::V13_0];
    let known = spoken.into_iter().find(|api| api.version_of::<NV_ENCODE_API_FUNCTION_LIST>() == word);
    match known {
        Some(api) if api <= driver::version() => Ok(()),
        Some(api) => {
            let newest = driver::version();
            let why = format!(
                "{}.{} is newer than this driver's {}.{}",
                api.major, api.minor, newest.major, newest.minor
            );
            Refused::world(NV_ENC_ERR_INVALID_VERSION, why)
        }
        None => Refused::breach(NV_ENC_ERR_INVALID_VERSION, format!("{word:#x} is no version of the table")),
    }
}

fn fill(list: &mut NV_ENCODE_API_FUNCTION_LIST) {
    list.nvEncOpenEncodeSessionEx = Some(super::open_session);
    list.nvEncGetEncodeGUIDCount = Some(super::guid_count);
    list.nvEncGetEncodeGUIDs = Some(super::guids);
    list.nvEncGetEncodeProfileGUIDCount = Some(super::profile_count);
    list.nvEncGetEncodeProfileGUIDs = Some(super::profiles);
    list.nvEncGetInputFormatCount = Some(super::format_count);
    list.nvEncGetInputFormats = Some(super::formats);
    list.nvEncGetEncodeCaps = Some(super::caps);
    list.nvEncGetEncodePresetCount = Some(super::preset_count);
    list.nvEncGetEncodePresetGUIDs = Some(super::presets);
    list.nvEncGetEncodePresetConfigEx = Some(super::preset_config);
    list.nvEncInitializeEncoder = Some(super::initialize);
    list.nvEncReconfigureEncoder = Some(super::reconfigure);
    list.nvEncGetSequenceParams = Some(super::parameter_sets);
    list.nvEncSetIOCudaStreams = Some(super::set_streams);
    list.nvEncCreateBitstreamBuffer = Some(super::create_output);
    list.nvEncDestroyBitstreamBuffer = Some(super::destroy_output);
    list.nvEncRegisterResource = Some(super::register);
    list.nvEncUnregisterResource = Some(super::unregister);
    list.nvEncMapInputResource = Some(super::map);
    list.nvEncUnmapInputResource = Some(super::unmap);
    list.nvEncEncodePicture = Some(super::encode);
    list.nvEncLockBitstream = Some(super::lock);
    list.nvEncUnlockBitstream = Some(super::unlock);
    list.nvEncInvalidateRefFrames = Some(super::invalidate);
    list.nvEncDestroyEncoder = Some(super::destroy);
    list.nvEncGetLastErrorString = Some(super::last_error);
}

fn fill_unused(list: &mut NV_ENCODE_API_FUNCTION_LIST) {
    let unused: unsafe extern "C" fn() -> NVENCSTATUS = unused;
    let unused = unused as *mut c_void;
    for function in [
        &mut list.nvEncOpenEncodeSession,
        &mut list.nvEncGetEncodePresetConfig,
        &mut list.nvEncCreateInputBuffer,
        &mut list.nvEncDestroyInputBuffer,
        &mut list.nvEncLockInputBuffer,
        &mut list.nvEncUnlockInputBuffer,
        &mut list.nvEncGetEncodeStats,
        &mut list.nvEncRegisterAsyncEvent,
        &mut list.nvEncUnregisterAsyncEvent,
        &mut list.nvEncCreateMVBuffer,
        &mut list.nvEncDestroyMVBuffer,
        &mut list.nvEncRunMotionEstimationOnly,
        &mut list.nvEncGetSequenceParamEx,
        &mut list.nvEncRestoreEncoderState,
        &mut list.nvEncLookaheadPicture,
    ] {
        *function = unused;
    }
}
