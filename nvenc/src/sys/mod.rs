//! The NVENC interface as the driver sees it: structures, enumerations, GUIDs, version words and the function table.
//!
//! Written by hand from the facts of NVIDIA's public header, with the header's names, so that its documentation is
//! theirs. Two of its versions are bound: 12.1, which drivers since 530 speak, and 13.0, which brings HDR metadata and
//! names the bit depth in another place. A driver accepts each version up to its own, if every structure bears the
//! version word that *that* version gives it: see [`Api`].
//!
//! Promises: one Rust structure for both versions. Fields that both have lie at the same place in both; fields that only
//! 13.0 has lie where 12.1 wants zeroes; where a reserved tail's size differs, ours is as long as the longer. An
//! enumeration is a number with known names, so that a newer driver's answer is a value, never undefined behaviour.
//! The test `layout` holds every size, offset, bit, version word, GUID and value against both headers: 12.1 as Debian packages
//! it, 13.0 as a crate carries it (`cargo xtask test` lays both below `target`). Sizes hold without them: see the end.
//!
//! Refuses: what we do not use (motion estimation alone, MVC, film grain, D3D12): those fields are reserved space here.

#![allow(missing_docs, reason = "names and meanings are the header's")]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, reason = "names are the header's")]

mod config;
mod enums;
mod guid;
mod picture;
mod resource;
mod table;

pub use config::*;
pub use enums::*;
pub use guid::*;
pub use picture::*;
pub use resource::*;
pub use table::*;

/// A version of the interface that is spoken in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Api {
    pub major: u32,
    pub minor: u32,
}

impl Api {
    /// The oldest that is spoken: drivers since 530.41.03.
    pub const V12_1: Api = Api { major: 12, minor: 1 };
    /// The newest that is spoken: drivers since 570.
    pub const V13_0: Api = Api { major: 13, minor: 0 };

    /// `NVENCAPI_VERSION`, the word that opens a session.
    #[must_use]
    pub const fn word(self) -> u32 {
        self.major | self.minor << 24
    }

    /// What `NvEncodeAPIGetMaxSupportedVersion` answers, read.
    #[must_use]
    pub const fn from_driver(answer: u32) -> Api {
        Api { major: answer >> 4, minor: answer & 0xf }
    }

    /// The reverse of [`Api::from_driver`].
    #[must_use]
    pub const fn to_driver(self) -> u32 {
        self.major << 4 | self.minor
    }

    /// `NVENCAPI_STRUCT_VERSION` of a structure in this version of the interface.
    #[must_use]
    pub const fn struct_word(self, revision: Revision) -> u32 {
        self.word() | revision.number << 16 | 0x7 << 28 | (revision.high as u32) << 31
    }

    /// The version word of `S`.
    #[must_use]
    pub const fn version_of<S: Versioned>(self) -> u32 {
        self.struct_word(if self.major < 13 { S::IN_12_1 } else { S::IN_13_0 })
    }

    /// An `S` of zeroes with its version word set: what the header asks every call to begin with.
    #[must_use]
    pub fn fresh<S: Versioned>(self) -> Box<S> {
        let mut made: Box<S> = zeroed();
        made.set_version(self.version_of::<S>());
        made
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A structure's own revision within a version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    pub number: u32,
    /// Some structures set the word's highest bit, too.
    pub high: bool,
}

/// A bit field of one bit.
const fn bit(shift: u32) -> Bits {
    Bits::wide(shift, 1)
}

/// `number`, without the high bit.
const fn plain(number: u32) -> Revision {
    Revision { number, high: false }
}

/// `number`, with the high bit.
const fn high(number: u32) -> Revision {
    Revision { number, high: true }
}

/// A structure that begins with a version word.
///
/// # Safety
/// `repr(C)`, its first field is the `u32` version word, and a value of zeroes is valid.
pub unsafe trait Versioned: Zeroable {
    const IN_12_1: Revision;
    const IN_13_0: Revision;

    fn version(&self) -> u32;
    fn set_version(&mut self, word: u32);
}

/// A type of which a value of zeroes is valid.
///
/// # Safety
/// As the name says.
pub unsafe trait Zeroable: Sized {}

/// An `S` of zeroes, padding included: the driver may look at reserved bytes.
#[must_use]
pub fn zeroed<S: Zeroable>() -> Box<S> {
    // SAFETY: `S: Zeroable` promises that zeroes are a value.
    unsafe { Box::<S>::new_zeroed().assume_init() }
}

/// Says of structures that zeroes are a value of them.
macro_rules! zeroable {
    ($($name:ident),* $(,)?) => {$(
        // SAFETY: numbers, raw pointers, optional function pointers and unions of them.
        unsafe impl crate::sys::Zeroable for $name {}
    )*};
}

/// Says which revision a structure has in 12.1 and in 13.0.
macro_rules! versioned {
    ($($name:ident: $in_12_1:expr, $in_13_0:expr);* $(;)?) => {$(
        crate::sys::zeroable!($name);

        // SAFETY: `repr(C)`, begins with `version: u32`; the layout test holds that against the header.
        unsafe impl crate::sys::Versioned for $name {
            const IN_12_1: crate::sys::Revision = $in_12_1;
            const IN_13_0: crate::sys::Revision = $in_13_0;

            fn version(&self) -> u32 {
                self.version
            }

            fn set_version(&mut self, word: u32) {
                self.version = word;
            }
        }
    )*};
}

/// Names for bits of a word.
macro_rules! bits {
    ($owner:ident { $($name:ident = $bits:expr;)* }) => {
        impl $owner {
            $(pub const $name: crate::sys::Bits = $bits;)*
        }
    };
}

pub(crate) use {bits, versioned, zeroable};

/// Where a bit field lies in its word. C leaves that to the compiler; all that this driver exists for begin at bit 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    pub shift: u32,
    pub width: u32,
}

impl Bits {
    /// A field of `width` bits.
    const fn wide(shift: u32, width: u32) -> Bits {
        assert!(width >= 1 && shift + width <= 32);
        Bits { shift, width }
    }

    /// All its bits, in place.
    #[must_use]
    pub const fn mask(self) -> u32 {
        (u32::MAX >> (32 - self.width)) << self.shift
    }

    /// Puts `value`'s low bits there.
    pub const fn set(self, word: &mut u32, value: u32) {
        *word = *word & !self.mask() | value << self.shift & self.mask();
    }

    /// What is there.
    #[must_use]
    pub const fn of(self, word: u32) -> u32 {
        (word & self.mask()) >> self.shift
    }
}

/// Their sizes, in bytes. Where the versions differ, the longer one's: a driver never writes past what we have.
macro_rules! sizes {
    ($($name:ident: $bytes:expr;)*) => { $(const _: () = assert!(size_of::<$name>() == $bytes);)* };
}

sizes! {
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS: 1552;
    NV_ENC_QP: 12;
    NV_ENC_RC_PARAMS: 128;
    NV_ENC_CONFIG_H264_VUI_PARAMETERS: 112;
    NV_ENC_CONFIG_H264: 1792;
    NV_ENC_CONFIG_HEVC: 1560;
    NV_ENC_CONFIG_AV1: 1552;
    NV_ENC_CODEC_CONFIG: 1792;
    NV_ENC_CONFIG: 3584;
    NV_ENC_PRESET_CONFIG: 5128;
    NVENC_EXTERNAL_ME_HINT_COUNTS_PER_BLOCKTYPE: 16;
    NV_ENC_INITIALIZE_PARAMS: 1808;
    NV_ENC_RECONFIGURE_PARAMS: 1824;
    CHROMA_POINTS: 4;
    MASTERING_DISPLAY_INFO: 24;
    CONTENT_LIGHT_LEVEL: 4;
    NV_ENC_SEI_PAYLOAD: 16;
    NV_ENC_TIME_CODE: 28;
    NV_ENC_PIC_PARAMS_H264: 1536;
    NV_ENC_PIC_PARAMS_HEVC: 1536;
    NV_ENC_PIC_PARAMS_AV1: 1552;
    NV_ENC_CODEC_PIC_PARAMS: 1552;
    NV_ENC_PIC_PARAMS: 3360;
    NV_ENC_LOCK_BITSTREAM: 1552;
    NV_ENC_SEQUENCE_PARAM_PAYLOAD: 1544;
    NV_ENC_CAPS_PARAM: 256;
    NV_ENC_CREATE_BITSTREAM_BUFFER: 776;
    NV_ENC_REGISTER_RESOURCE: 1536;
    NV_ENC_MAP_INPUT_RESOURCE: 1544;
    NV_ENCODE_API_FUNCTION_LIST: 2552;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_words_are_those_of_the_header() {
        // As the two headers' own macros compute them.
        assert_eq!(Api::V12_1.word(), 0x0100_000c);
        assert_eq!(Api::V13_0.word(), 13);
        assert_eq!(Api::V12_1.version_of::<NV_ENC_CONFIG>(), 0xf108_000c);
        assert_eq!(Api::V13_0.version_of::<NV_ENC_CONFIG>(), 0xf009_000d);
        assert_eq!(Api::V12_1.version_of::<NV_ENC_CAPS_PARAM>(), 0x7101_000c);
        assert_eq!(Api::V13_0.version_of::<NV_ENC_REGISTER_RESOURCE>(), 0x7005_000d);
    }

    #[test]
    fn a_driver_tells_its_version_in_four_bits_each() {
        for api in [Api::V12_1, Api::V13_0, Api { major: 14, minor: 15 }] {
            assert_eq!(Api::from_driver(api.to_driver()), api);
        }
        assert_eq!(Api::from_driver(0xc1), Api::V12_1);
    }

    #[test]
    fn bits_keep_to_their_place() {
        let mut word = u32::MAX;
        NV_ENC_INITIALIZE_PARAMS::splitEncodeMode.set(&mut word, 2);
        assert_eq!(word, 0xffff_fe5f);
        assert_eq!(NV_ENC_INITIALIZE_PARAMS::splitEncodeMode.of(word), 2);
        NV_ENC_INITIALIZE_PARAMS::splitEncodeMode.set(&mut word, 0xff);
        assert_eq!(word, u32::MAX);
    }

    #[test]
    fn an_unknown_number_is_a_value_with_a_face() {
        assert_eq!(format!("{:?}", NVENCSTATUS(13)), "NV_ENC_ERR_LOCK_BUSY");
        assert_eq!(format!("{:?}", NVENCSTATUS(4000)), "NVENCSTATUS(0xfa0)");
    }

    #[test]
    fn the_flags_of_a_change_survive_in_either_version() {
        for api in [Api::V12_1, Api::V13_0] {
            let mut change = api.fresh::<NV_ENC_RECONFIGURE_PARAMS>();
            change.set_flags(api, NV_ENC_RECONFIGURE_PARAMS::forceIDR.mask());
            assert_eq!(change.flags(api), 2);
            let other = if api == Api::V12_1 { Api::V13_0 } else { Api::V12_1 };
            assert_eq!(change.flags(other), 0);
        }
    }
}
