//! What holds of every structure that a caller hands in: it is there, bears its version word, and is zero where nothing is.

use std::ffi::c_void;

use punktfunk_nvenc::sys::*;

use crate::status::{Answer, require};

/// A structure of the caller's, its version word checked before anything else of it is looked at.
///
/// # Safety
/// Null, or a structure that lives for the call and that nobody else uses.
pub(crate) unsafe fn structure<'a, S: Versioned>(pointer: *mut S, api: Api) -> Answer<&'a mut S> {
    let name = std::any::type_name::<S>().rsplit("::").next().unwrap_or_default();
    require(!pointer.is_null(), NV_ENC_ERR_INVALID_PTR, || format!("{name} is null"))?;
    require(pointer.is_aligned(), NV_ENC_ERR_INVALID_PTR, || {
        format!("{name} at {pointer:p} is not aligned")
    })?;
    // SAFETY: every versioned structure begins with its word.
    let word = unsafe { pointer.cast::<u32>().read() };
    check_word(name, word, api.version_of::<S>(), api)?;
    // SAFETY: the word says that it is one; the caller's promise.
    Ok(unsafe { &mut *pointer })
}

/// A version word inside another structure.
pub(crate) fn check_word(name: &str, word: u32, expected: u32, api: Api) -> Answer {
    require(word == expected, NV_ENC_ERR_INVALID_VERSION, || {
        format!("{name}'s version word is {word:#x}, and {expected:#x} in {}.{}", api.major, api.minor)
    })
}

/// An output parameter.
///
/// # Safety
/// Null, or a variable that lives for the call.
pub(crate) unsafe fn output<'a, T>(pointer: *mut T, name: &str) -> Answer<&'a mut T> {
    require(!pointer.is_null() && pointer.is_aligned(), NV_ENC_ERR_INVALID_PTR, || {
        format!("{name} is {pointer:p}")
    })?;
    // SAFETY: not null, aligned; the caller's promise.
    Ok(unsafe { &mut *pointer })
}

/// What is reserved is zero.
pub(crate) fn zero(name: &str, values: &[u32]) -> Answer {
    let at = values.iter().position(|value| *value != 0);
    require(at.is_none(), NV_ENC_ERR_INVALID_PARAM, || format!("{name} must be zero, its word {at:?} is not"))
}

/// What is reserved is null.
pub(crate) fn null(name: &str, values: &[*mut c_void]) -> Answer {
    let at = values.iter().position(|value| !value.is_null());
    require(at.is_none(), NV_ENC_ERR_INVALID_PARAM, || {
        format!("{name} must be null, its pointer {at:?} is not")
    })
}

/// What differs between the versions, or is not played, is zero.
pub(crate) fn zero_words(name: &str, values: &[u64]) -> Answer {
    let at = values.iter().position(|value| *value != 0);
    require(at.is_none(), NV_ENC_ERR_INVALID_PARAM, || format!("{name} must be zero, its word {at:?} is not"))
}

/// Of a word of bit fields, only `known` ones are set.
pub(crate) fn only(name: &str, word: u32, known: &[Bits]) -> Answer {
    let unknown = known.iter().fold(word, |word, bits| word & !bits.mask());
    require(unknown == 0, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        format!("{name}: bits {unknown:#x} are reserved, or ask for what is not played here")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_reserves_are_looked_at() {
        let mut caps = Api::V12_1.fresh::<NV_ENC_CAPS_PARAM>();
        let caps = &raw mut *caps;
        // SAFETY: a structure of this test's; null is allowed.
        unsafe {
            assert!(structure(caps, Api::V12_1).is_ok());
            assert_eq!(structure(caps, Api::V13_0).unwrap_err().status, NV_ENC_ERR_INVALID_VERSION);
            let none = std::ptr::null_mut::<NV_ENC_CAPS_PARAM>();
            assert_eq!(structure(none, Api::V12_1).unwrap_err().status, NV_ENC_ERR_INVALID_PTR);
            assert_eq!(output::<u32>(std::ptr::null_mut(), "n").unwrap_err().status, NV_ENC_ERR_INVALID_PTR);
        }
        assert!(zero("r", &[0, 0]).is_ok() && zero("r", &[0, 1]).is_err());
        assert!(null("r", &[std::ptr::null_mut()]).is_ok() && null("r", &[caps.cast()]).is_err());
        let flags = [NV_ENC_LOCK_BITSTREAM::doNotWait, NV_ENC_LOCK_BITSTREAM::getRCStats];
        assert!(only("flags", 0b101, &flags).is_ok() && only("flags", 0b1000, &flags).is_err());
    }
}
