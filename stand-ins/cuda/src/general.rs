//! The driver itself and its devices.

#![allow(unsafe_code)]

use std::env;
use std::ffi::{c_char, c_int, c_uint};

use cudarc::driver::sys::CUuuid;

use crate::code::{Code, INVALID_DEVICE, INVALID_VALUE, NO_DEVICE};
use crate::entry::calls;
use crate::state::{DEVICE_BYTES, Result, State, breach, put};

const TIMELINE_SEMAPHORES: c_int = 114;
const COMPUTE_MAJOR: c_int = 75;

fn number(variable: &str, usual: c_int) -> c_int {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn devices() -> c_int {
    number("PUNKTFUNK_STANDIN_DEVICES", 1)
}

fn check_device(call: &str, device: c_int) -> Result<()> {
    if (0..devices()).contains(&device) {
        return Ok(());
    }
    Err(breach(call, INVALID_DEVICE, format_args!("there is no device {device}")))
}

/// The UUID of a device: the first's, counted up in its last byte.
fn uuid(device: c_int) -> [u8; 16] {
    let text = env::var("PUNKTFUNK_STANDIN_UUID").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let mut bytes = u128::from_str_radix(&digits, 16).map_or(*b"punktfunk-standi", u128::to_be_bytes);
    bytes[15] = bytes[15].wrapping_add(u8::try_from(device).unwrap_or_default());
    bytes
}

fn write_text(call: &str, to: *mut c_char, length: c_int, text: &str) -> Result<()> {
    let room = usize::try_from(length).unwrap_or_default();
    if to.is_null() || text.len() >= room {
        return Err(breach(call, INVALID_VALUE, format_args!("there is no room for {text:?}")));
    }
    // SAFETY: the caller says that there is room for `length` bytes, and this is less.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        to.cast::<u8>().add(text.len()).write(0);
    }
    Ok(())
}

calls! {
    /// `cuInit`
    fn cuInit[call](flags: c_uint) {
        if flags != 0 {
            return Err(breach(call, INVALID_VALUE, format_args!("flags {flags}")));
        }
        if devices() == 0 {
            return Err(NO_DEVICE);
        }
        State::lock().is_initialised = true;
        Ok(())
    }

    /// `cuDriverGetVersion`
    fn cuDriverGetVersion[call](version: *mut c_int) {
        put(call, version, number("PUNKTFUNK_STANDIN_CUDA_VERSION", 12_040))
    }

    /// `cuGetErrorName`
    fn cuGetErrorName[call](error: c_int, name: *mut *const c_char) {
        let known = Code(error).name().ok_or(INVALID_VALUE)?;
        put(call, name, known.as_ptr().cast())
    }

    /// `cuDeviceGetCount`
    fn cuDeviceGetCount[call](count: *mut c_int) {
        put(call, count, devices())
    }

    /// `cuDeviceGet`
    fn cuDeviceGet[call](device: *mut c_int, ordinal: c_int) {
        check_device(call, ordinal)?;
        put(call, device, ordinal)
    }

    /// `cuDeviceGetName`
    fn cuDeviceGetName[call](name: *mut c_char, length: c_int, device: c_int) {
        check_device(call, device)?;
        write_text(call, name, length, &format!("Stand-in GPU {device}"))
    }

    /// `cuDeviceGetPCIBusId`
    fn cuDeviceGetPCIBusId[call](address: *mut c_char, length: c_int, device: c_int) {
        check_device(call, device)?;
        let first = env::var("PUNKTFUNK_STANDIN_PCI").unwrap_or_else(|_| "0000:01:00.0".to_owned());
        let text = if device == 0 { first } else { format!("0000:{:02X}:00.0", device + 1) };
        write_text(call, address, length, &text)
    }

    /// `cuDeviceGetUuid`
    fn cuDeviceGetUuid_v2[call](to: *mut CUuuid, device: c_int) {
        check_device(call, device)?;
        put(call, to, CUuuid { bytes: uuid(device).map(u8::cast_signed) })
    }

    /// `cuDeviceGetAttribute`
    fn cuDeviceGetAttribute[call](value: *mut c_int, attribute: c_int, device: c_int) {
        check_device(call, device)?;
        let answer = match attribute {
            TIMELINE_SEMAPHORES => number("PUNKTFUNK_STANDIN_TIMELINE", 1),
            COMPUTE_MAJOR => 9,
            _ => 0,
        };
        put(call, value, answer)
    }

    /// `cuDeviceTotalMem`
    fn cuDeviceTotalMem_v2[call](bytes: *mut usize, device: c_int) {
        check_device(call, device)?;
        put(call, bytes, DEVICE_BYTES)
    }

    /// `cuDevicePrimaryCtxRetain`
    fn cuDevicePrimaryCtxRetain[call](context: *mut usize, device: c_int) {
        check_device(call, device)?;
        let handle = State::lock().retain(device);
        put(call, context, handle)
    }

    /// `cuDevicePrimaryCtxRelease`
    fn cuDevicePrimaryCtxRelease_v2[call](device: c_int) {
        check_device(call, device)?;
        State::lock().release(call, device)
    }
}
