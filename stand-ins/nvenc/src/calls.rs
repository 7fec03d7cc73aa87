//! The functions that the library exports and those of its table, by the SDK's names.
//!
//! Each looks its session up, asks whether it is to fail, checks what it was given, and says in words why it refuses.
//! Whatever a caller holds as a pointer to something of the driver's is a name here, looked up and never followed.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use punktfunk_nvenc::sys::*;

use crate::card::{Codec, PRESETS};
use crate::check::{check_word, null, only, output, structure, zero};
use crate::config::{Setup, check_tuning};
use crate::session::Session;
use crate::status::{Answer, Fault, Refused, parse, require};
use crate::{CONTROLS, driver, preset};

mod table;

pub use table::{NvEncodeAPICreateInstance, NvEncodeAPIGetMaxSupportedVersion};

/// What a call is to fail with, if a test asked for it.
fn asked_to_fail(call: &str) -> Option<NVENCSTATUS> {
    let code = CONTROLS.failure(call)?;
    let status = parse(&code);
    if status.is_none() {
        eprintln!("libnvidia-encode stand-in: {call} cannot fail with {code:?}");
        std::process::abort();
    }
    status.filter(|status| *status != NV_ENC_SUCCESS)
}

/// A call without a session.
fn answer(call: &str, body: impl FnOnce() -> Answer) -> NVENCSTATUS {
    if let Some(status) = asked_to_fail(call) {
        return status;
    }
    match body() {
        Ok(()) => NV_ENC_SUCCESS,
        Err(refused) => {
            if refused.fault == Fault::Breach {
                CONTROLS.breach(call, format_args!("{}", refused.why));
            }
            refused.status
        }
    }
}

/// What becomes of a call that fails on request, or on a session whose device is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// It is not done.
    Refuse,
    /// What it gives back is given back, and the answer is a failure all the same: nobody asks for that twice.
    GiveBack,
}

/// A call on a session.
fn on_session(
    call: &str,
    encoder: *mut c_void,
    failed: Failed,
    body: impl FnOnce(&Arc<Session>, Option<NVENCSTATUS>) -> Answer,
) -> NVENCSTATUS {
    let Some(session) = driver::session(encoder as usize) else {
        CONTROLS.breach(call, format_args!("{encoder:p} is no session"));
        return NV_ENC_ERR_INVALID_ENCODERDEVICE;
    };
    let asked = asked_to_fail(call);
    if asked == Some(NV_ENC_ERR_DEVICE_NOT_EXIST) {
        session.lose();
    }
    if session.is_lost() {
        if failed == Failed::GiveBack {
            // Its answer would be about a device that is no more.
            drop(body(&session, None));
        }
        *session.said() = CString::new(format!("{call}: the device is lost")).unwrap_or_default();
        return NV_ENC_ERR_DEVICE_NOT_EXIST;
    }
    let done = match asked {
        Some(status) if !(call == ENCODE && status == NV_ENC_ERR_NEED_MORE_INPUT) => {
            let done = if failed == Failed::GiveBack { body(&session, None) } else { Ok(()) };
            done.and_then(|()| failure(status))
        }
        other => body(&session, other),
    };
    match done {
        Ok(()) => NV_ENC_SUCCESS,
        Err(refused) => {
            session.complain(call, &refused);
            refused.status
        }
    }
}

const ENCODE: &str = "nvEncEncodePicture";

/// A lock of a picture that is not done, after another has shown a slice of it.
const BETWEEN_SLICES: &str = "nvEncLockBitstream@slice";

fn failure(status: NVENCSTATUS) -> Answer {
    Refused::world(status, format!("{} was asked for", status.name().unwrap_or("this")))
}

/// The codec of a GUID that the caller asks about.
fn codec_of(guid: GUID) -> Answer<Codec> {
    match Codec::from_guid(guid).filter(|codec| driver::card().encodes(*codec)) {
        Some(codec) => Ok(codec),
        None => Refused::breach(NV_ENC_ERR_INVALID_PARAM, "the GUID is of no codec that this card has"),
    }
}

/// Fills the caller's array with as many of `values` as it holds.
///
/// # Safety
/// `array` has room for `room` values, and `count` is a variable; either may be null.
unsafe fn list<T: Copy>(values: &[T], array: *mut T, room: u32, count: *mut u32) -> Answer {
    // SAFETY: the caller's promise.
    let count = unsafe { output(count, "the count") }?;
    require(!array.is_null(), NV_ENC_ERR_INVALID_PTR, || "the array is null".to_owned())?;
    let given = values.len().min(room as usize);
    // SAFETY: the array has that room.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), array, given) };
    *count = given as u32;
    Ok(())
}

/// Says how many there are.
///
/// # Safety
/// Null or a variable.
unsafe fn count(values: usize, count: *mut u32) -> Answer {
    // SAFETY: the caller's promise.
    *unsafe { output(count, "the count") }? = values as u32;
    Ok(())
}

unsafe extern "C" fn open_session(
    params: *mut NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS,
    encoder: *mut *mut c_void,
) -> NVENCSTATUS {
    answer("nvEncOpenEncodeSessionEx", || {
        // SAFETY: the caller's variable.
        let encoder = unsafe { output(encoder, "encoder") }?;
        *encoder = std::ptr::null_mut();
        require(!params.is_null(), NV_ENC_ERR_INVALID_PTR, || "the parameters are null".to_owned())?;
        // SAFETY: not null; what is read is compared with the word that it implies.
        let word = unsafe { (*params).apiVersion };
        let api = [Api::V12_1, Api::V13_0].into_iter().find(|api| api.word() == word);
        let Some(api) = api.filter(|api| *api <= driver::version()) else {
            let newest = driver::version();
            let why =
                format!("apiVersion {word:#x}: this driver speaks 12.1 to {}.{}", newest.major, newest.minor);
            return Refused::world(NV_ENC_ERR_INVALID_VERSION, why);
        };
        // SAFETY: the caller's structure.
        let params = unsafe { structure(params, api) }?;
        require(params.deviceType == NV_ENC_DEVICE_TYPE_CUDA, NV_ENC_ERR_UNSUPPORTED_DEVICE, || {
            format!("deviceType is {:?}: only CUDA is played here", params.deviceType)
        })?;
        require(!params.device.is_null(), NV_ENC_ERR_INVALID_PTR, || "device is null".to_owned())?;
        null("reserved", &[params.reserved])?;
        zero("reserved1", &params.reserved1)?;
        null("reserved2", &params.reserved2)?;
        *encoder = Session::open(api, params.device as usize)?.handle as *mut c_void;
        Ok(())
    })
}

unsafe extern "C" fn guid_count(encoder: *mut c_void, guids: *mut u32) -> NVENCSTATUS {
    on_session("nvEncGetEncodeGUIDCount", encoder, Failed::Refuse, |_, _| {
        // SAFETY: the caller's variable.
        unsafe { count(codecs().len(), guids) }
    })
}

unsafe extern "C" fn guids(
    encoder: *mut c_void,
    array: *mut GUID,
    room: u32,
    count: *mut u32,
) -> NVENCSTATUS {
    on_session("nvEncGetEncodeGUIDs", encoder, Failed::Refuse, |_, _| {
        // SAFETY: the caller's array and variable.
        unsafe { list(&codecs(), array, room, count) }
    })
}

fn codecs() -> Vec<GUID> {
    let all = [Codec::H264, Codec::Hevc, Codec::Av1];
    all.into_iter().filter(|codec| driver::card().encodes(*codec)).map(Codec::guid).collect()
}

unsafe extern "C" fn profile_count(encoder: *mut c_void, codec: GUID, profiles: *mut u32) -> NVENCSTATUS {
    on_session("nvEncGetEncodeProfileGUIDCount", encoder, Failed::Refuse, |_, _| {
        // SAFETY: the caller's variable.
        unsafe { count(codec_of(codec)?.profiles().len(), profiles) }
    })
}

unsafe extern "C" fn profiles(
    encoder: *mut c_void,
    codec: GUID,
    array: *mut GUID,
    room: u32,
    count: *mut u32,
) -> NVENCSTATUS {
    on_session("nvEncGetEncodeProfileGUIDs", encoder, Failed::Refuse, |_, _| {
        // SAFETY: the caller's array and variable.
        unsafe { list(codec_of(codec)?.profiles(), array, room, count) }
    })
}

unsafe extern "C" fn format_count(encoder: *mut c_void, codec: GUID, formats: *mut u32) -> NVENCSTATUS {
    on_session("nvEncGetInputFormatCount", encoder, Failed::Refuse, |_, _| {
        // SAFETY: the caller's variable.
        unsafe { count(driver::card().formats(codec_of(codec)?).len(), formats) }
    })
}

unsafe extern "C" fn formats(
    encoder: *mut c_void,
    codec: GUID,
    array: *mut NV_ENC_BUFFER_FORMAT,
    room: u32,
    count: *mut u32,
) -> NVENCSTATUS {
    on_session("nvEncGetInputFormats", encoder, Failed::Refuse, |_, _| {
        // SAFETY: the caller's array and variable.
        unsafe { list(&driver::card().formats(codec_of(codec)?), array, room, count) }
    })
}

unsafe extern "C" fn caps(
    encoder: *mut c_void,
    codec: GUID,
    params: *mut NV_ENC_CAPS_PARAM,
    value: *mut i32,
) -> NVENCSTATUS {
    on_session("nvEncGetEncodeCaps", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure and variable.
        let (params, value) = unsafe { (structure(params, session.api)?, output(value, "capsVal")?) };
        zero("NV_ENC_CAPS_PARAM::reserved", &params.reserved)?;
        let Some(cap) = driver::card().cap(codec_of(codec)?, params.capsToQuery) else {
            return Refused::world(NV_ENC_ERR_INVALID_PARAM, format!("no cap is {:?}", params.capsToQuery));
        };
        *value = cap;
        Ok(())
    })
}

unsafe extern "C" fn preset_count(encoder: *mut c_void, codec: GUID, presets: *mut u32) -> NVENCSTATUS {
    on_session("nvEncGetEncodePresetCount", encoder, Failed::Refuse, |_, _| {
        codec_of(codec)?;
        // SAFETY: the caller's variable.
        unsafe { count(PRESETS.len(), presets) }
    })
}

unsafe extern "C" fn presets(
    encoder: *mut c_void,
    codec: GUID,
    array: *mut GUID,
    room: u32,
    count: *mut u32,
) -> NVENCSTATUS {
    on_session("nvEncGetEncodePresetGUIDs", encoder, Failed::Refuse, |_, _| {
        codec_of(codec)?;
        // SAFETY: the caller's array and variable.
        unsafe { list(PRESETS, array, room, count) }
    })
}

unsafe extern "C" fn preset_config(
    encoder: *mut c_void,
    codec: GUID,
    preset: GUID,
    tuning: NV_ENC_TUNING_INFO,
    config: *mut NV_ENC_PRESET_CONFIG,
) -> NVENCSTATUS {
    on_session("nvEncGetEncodePresetConfigEx", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure.
        let config = unsafe { structure(config, session.api) }?;
        let codec = codec_of(codec)?;
        require(PRESETS.contains(&preset), NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "the GUID is of no preset".to_owned()
        })?;
        check_tuning(tuning, session.api)?;
        let expected = session.api.version_of::<NV_ENC_CONFIG>();
        check_word("presetCfg", config.presetCfg.version, expected, session.api)?;
        preset::fill(&mut config.presetCfg, codec, tuning, session.api);
        Ok(())
    })
}

unsafe extern "C" fn initialize(encoder: *mut c_void, params: *mut NV_ENC_INITIALIZE_PARAMS) -> NVENCSTATUS {
    on_session("nvEncInitializeEncoder", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structures.
        let setup =
            unsafe { Setup::read(structure(params, session.api)?, session.api, driver::card(), None) }?;
        session.initialize(setup)
    })
}

unsafe extern "C" fn reconfigure(
    encoder: *mut c_void,
    params: *mut NV_ENC_RECONFIGURE_PARAMS,
) -> NVENCSTATUS {
    on_session("nvEncReconfigureEncoder", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure.
        let params = unsafe { structure(params, session.api) }?;
        use NV_ENC_RECONFIGURE_PARAMS as Params;
        let flags = params.flags(session.api);
        only("NV_ENC_RECONFIGURE_PARAMS", flags, &[Params::resetEncoder, Params::forceIDR])?;
        zero("NV_ENC_RECONFIGURE_PARAMS::reserved", &[params.reserved])?;
        let inner = &params.reInitEncodeParams;
        let expected = session.api.version_of::<NV_ENC_INITIALIZE_PARAMS>();
        check_word("reInitEncodeParams", inner.version, expected, session.api)?;
        let before = session.setup()?;
        // SAFETY: the caller's structure.
        let next = unsafe { Setup::read(inner, session.api, driver::card(), Some(&before)) }?;
        let flag = |bits: Bits| bits.of(flags) == 1;
        session.reconfigure(next, flag(Params::resetEncoder), flag(Params::forceIDR))
    })
}

unsafe extern "C" fn parameter_sets(
    encoder: *mut c_void,
    params: *mut NV_ENC_SEQUENCE_PARAM_PAYLOAD,
) -> NVENCSTATUS {
    on_session("nvEncGetSequenceParams", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure.
        let params = unsafe { structure(params, session.api) }?;
        zero("NV_ENC_SEQUENCE_PARAM_PAYLOAD::reserved", &params.reserved)?;
        zero("spsId and ppsId", &[params.spsId, params.ppsId])?;
        let sets = session.parameter_sets()?;
        // SAFETY: the caller's variable.
        let size = unsafe { output(params.outSPSPPSPayloadSize, "outSPSPPSPayloadSize") }?;
        require(!params.spsppsBuffer.is_null(), NV_ENC_ERR_INVALID_PTR, || {
            "spsppsBuffer is null".to_owned()
        })?;
        require(params.inBufferSize as usize >= sets.len(), NV_ENC_ERR_NOT_ENOUGH_BUFFER, || {
            format!("{} bytes for parameter sets of {}", params.inBufferSize, sets.len())
        })?;
        // SAFETY: the caller's buffer has that room.
        unsafe { std::ptr::copy_nonoverlapping(sets.as_ptr(), params.spsppsBuffer.cast(), sets.len()) };
        *size = sets.len() as u32;
        Ok(())
    })
}

unsafe extern "C" fn set_streams(
    encoder: *mut c_void,
    input: NV_ENC_CUSTREAM_PTR,
    output: NV_ENC_CUSTREAM_PTR,
) -> NVENCSTATUS {
    on_session("nvEncSetIOCudaStreams", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's variables.
        unsafe { session.set_streams(input.cast(), output.cast()) }
    })
}

unsafe extern "C" fn create_output(
    encoder: *mut c_void,
    params: *mut NV_ENC_CREATE_BITSTREAM_BUFFER,
) -> NVENCSTATUS {
    on_session("nvEncCreateBitstreamBuffer", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure.
        let params = unsafe { structure(params, session.api) }?;
        zero("NV_ENC_CREATE_BITSTREAM_BUFFER::reserved1", &params.reserved1)?;
        null("NV_ENC_CREATE_BITSTREAM_BUFFER::reserved2", &params.reserved2)?;
        params.bitstreamBuffer = session.create_output()? as *mut c_void;
        Ok(())
    })
}

unsafe extern "C" fn destroy_output(encoder: *mut c_void, buffer: NV_ENC_OUTPUT_PTR) -> NVENCSTATUS {
    on_session("nvEncDestroyBitstreamBuffer", encoder, Failed::GiveBack, |session, _| {
        session.destroy_output(buffer as usize)
    })
}

unsafe extern "C" fn register(encoder: *mut c_void, params: *mut NV_ENC_REGISTER_RESOURCE) -> NVENCSTATUS {
    on_session("nvEncRegisterResource", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure.
        let params = unsafe { structure(params, session.api) }?;
        params.registeredResource = session.register(params)? as *mut c_void;
        Ok(())
    })
}

unsafe extern "C" fn unregister(encoder: *mut c_void, registered: NV_ENC_REGISTERED_PTR) -> NVENCSTATUS {
    on_session("nvEncUnregisterResource", encoder, Failed::GiveBack, |session, _| {
        session.unregister(registered as usize)
    })
}

unsafe extern "C" fn map(encoder: *mut c_void, params: *mut NV_ENC_MAP_INPUT_RESOURCE) -> NVENCSTATUS {
    on_session("nvEncMapInputResource", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure.
        let params = unsafe { structure(params, session.api) }?;
        zero("subResourceIndex", &[params.subResourceIndex])?;
        null("inputResource", &[params.inputResource])?;
        zero("NV_ENC_MAP_INPUT_RESOURCE::reserved1", &params.reserved1)?;
        null("NV_ENC_MAP_INPUT_RESOURCE::reserved2", &params.reserved2)?;
        let (mapped, format) = session.map(params.registeredResource as usize)?;
        params.mappedResource = mapped as *mut c_void;
        params.mappedBufferFmt = format;
        Ok(())
    })
}

unsafe extern "C" fn unmap(encoder: *mut c_void, mapped: NV_ENC_INPUT_PTR) -> NVENCSTATUS {
    on_session("nvEncUnmapInputResource", encoder, Failed::GiveBack, |session, _| {
        session.unmap(mapped as usize)
    })
}

unsafe extern "C" fn encode(encoder: *mut c_void, params: *mut NV_ENC_PIC_PARAMS) -> NVENCSTATUS {
    // SAFETY: null, or the caller's structure: its flags are looked at, and nothing is kept.
    let is_end = !params.is_null()
        && params.is_aligned()
        && unsafe { (*params).encodePicFlags } & NV_ENC_PIC_FLAG_EOS.0 != 0;
    // Nobody tells an end twice.
    let failed = if is_end { Failed::GiveBack } else { Failed::Refuse };
    on_session(ENCODE, encoder, failed, |session, asked| {
        // SAFETY: the caller's structure, and what it points to.
        unsafe { session.encode(structure(params, session.api)?, asked.is_some()) }
    })
}

unsafe extern "C" fn lock(encoder: *mut c_void, params: *mut NV_ENC_LOCK_BITSTREAM) -> NVENCSTATUS {
    on_session("nvEncLockBitstream", encoder, Failed::Refuse, |session, _| {
        // SAFETY: the caller's structure.
        let params = unsafe { structure(params, session.api) }?;
        use NV_ENC_LOCK_BITSTREAM as Lock;
        only("NV_ENC_LOCK_BITSTREAM", params.flags, &[Lock::doNotWait, Lock::ltrFrame, Lock::getRCStats])?;
        zero("NV_ENC_LOCK_BITSTREAM::reserved", &[params.reserved, params.outputStatsPtrSize])?;
        zero("NV_ENC_LOCK_BITSTREAM::reserved1", &params.reserved1)?;
        null("NV_ENC_LOCK_BITSTREAM::reserved2", &params.reserved2)?;
        null("outputStatsPtr", &[params.outputStatsPtr])?;
        let is_between = session.is_between_slices(params.outputBitstream as usize);
        if let Some(status) = is_between.then(|| asked_to_fail(BETWEEN_SLICES)).flatten() {
            if status == NV_ENC_ERR_DEVICE_NOT_EXIST {
                session.lose();
            }
            return failure(status);
        }
        session.lock(params)
    })
}

unsafe extern "C" fn unlock(encoder: *mut c_void, buffer: NV_ENC_OUTPUT_PTR) -> NVENCSTATUS {
    on_session("nvEncUnlockBitstream", encoder, Failed::GiveBack, |session, _| {
        session.unlock(buffer as usize)
    })
}

unsafe extern "C" fn invalidate(encoder: *mut c_void, time_stamp: u64) -> NVENCSTATUS {
    on_session("nvEncInvalidateRefFrames", encoder, Failed::Refuse, |session, _| {
        session.invalidate(time_stamp)
    })
}

unsafe extern "C" fn destroy(encoder: *mut c_void) -> NVENCSTATUS {
    const CALL: &str = "nvEncDestroyEncoder";
    let Some(session) = driver::session(encoder as usize) else {
        CONTROLS.breach(CALL, format_args!("{encoder:p} is no session"));
        return NV_ENC_ERR_INVALID_ENCODERDEVICE;
    };
    // A session that cannot even be ended is ended all the same: its caller has no other call for it.
    let asked = asked_to_fail(CALL);
    if asked == Some(NV_ENC_ERR_DEVICE_NOT_EXIST) {
        session.lose();
    }
    for left in session.destroy() {
        CONTROLS.breach(CALL, format_args!("{left}"));
    }
    asked.unwrap_or(NV_ENC_SUCCESS)
}

unsafe extern "C" fn last_error(encoder: *mut c_void) -> *const c_char {
    // The words stay until the session's next error, as the SDK's do.
    driver::session(encoder as usize).map_or(c"no such session".as_ptr(), |session| session.said().as_ptr())
}

/// A call that this house never makes.
unsafe extern "C" fn unused() -> NVENCSTATUS {
    CONTROLS.breach("a call that is not played", format_args!("it is none of this house's"));
    NV_ENC_ERR_UNIMPLEMENTED
}
