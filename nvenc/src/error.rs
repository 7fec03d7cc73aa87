//! What can go wrong between here and the encoder, whose fault it is, and what to do about it.

use std::fmt;

use punktfunk_cuda::CudaError;

use crate::caps::Codec;
use crate::limits::{API_MIN, DRIVER_MIN, HOME_MAX, PICTURE_MAX};
use crate::sys::{
    Api, NV_ENC_ERR_DEVICE_NOT_EXIST, NV_ENC_ERR_ENCODER_NOT_INITIALIZED, NV_ENC_ERR_GENERIC,
    NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY, NV_ENC_ERR_INVALID_DEVICE, NV_ENC_ERR_INVALID_ENCODERDEVICE,
    NV_ENC_ERR_INVALID_VERSION, NV_ENC_ERR_MAP_FAILED, NV_ENC_ERR_NEED_MORE_INPUT,
    NV_ENC_ERR_NO_ENCODE_DEVICE, NV_ENC_ERR_OUT_OF_MEMORY, NV_ENC_ERR_UNSUPPORTED_DEVICE, NVENCSTATUS,
};

/// An error of NVENC, or of the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvencError {
    /// There is no library.
    #[error(
        "NVENC's library is not on this machine (no libnvidia-encode.so.1): install NVIDIA's driver {DRIVER_MIN} or newer \
         (Debian: libnvidia-encode1, non-free; in a container: NVIDIA_DRIVER_CAPABILITIES must have \"video\")"
    )]
    Absent,
    /// There is one that cannot be loaded.
    #[error(
        "NVENC's library is on this machine and cannot be loaded ({reason}): install NVIDIA's driver anew"
    )]
    Unloadable {
        /// What the loader says.
        reason: String,
    },
    /// The library lacks a function that every NVENC has.
    #[error("NVENC's library has no {name}: it is not NVIDIA's, or broken; install NVIDIA's driver anew")]
    EntryMissing {
        /// The function.
        name: &'static str,
    },
    /// The driver is older than what is spoken here.
    #[error(
        "NVIDIA's driver {driver} speaks NVENC {has} and {API_MIN} is needed: install driver {DRIVER_MIN} or newer"
    )]
    TooOld {
        /// The driver's version, where the kernel tells it.
        driver: DriverText,
        /// The interface it speaks.
        has: Api,
    },
    /// Library and driver disagree about the interface.
    #[error(
        "{call}: NVIDIA's driver {driver} refuses NVENC {api} that its own library offers: they are of two versions, as \
         after an update without a restart; restart the machine"
    )]
    VersionMismatch {
        /// The call that was refused.
        call: &'static str,
        /// The kernel's driver.
        driver: DriverText,
        /// What was spoken.
        api: Api,
    },
    /// The card has no encoder.
    #[error(
        "{device} has no NVENC engine, as data-centre cards (A100, H100, H200) have none: choose another card or the \
         software encoder"
    )]
    NoEncoder {
        /// The card.
        device: String,
    },
    /// No more sessions are to be had.
    #[error(
        "{device} gives no more encoder sessions ({said}): consumer cards have a limit of 8 (3 before driver 530) that all \
         programs share; end another program that encodes (OBS, a second host), or free the card's memory"
    )]
    SessionLimit {
        /// The card.
        device: String,
        /// The status and the driver's own words.
        said: Said,
    },
    /// The card or its driver cannot do what was asked for.
    #[error("{codec} on {device}: {what}")]
    Unable {
        /// The card.
        device: String,
        /// The codec.
        codec: Codec,
        /// What it cannot do.
        what: Lack,
    },
    /// A request that no card can follow.
    #[error("not a request that an encoder can follow: {what}")]
    Request {
        /// What is wrong with it.
        what: &'static str,
    },
    /// An answer that the interface does not allow: it is not believed.
    #[error("{call}: NVIDIA's driver answered with {what}, which cannot be")]
    Hostile {
        /// The call.
        call: &'static str,
        /// What it answered.
        what: Nonsense,
    },
    /// The session is gone, and was made anew once before.
    #[error("{call}: the encoder's session is gone ({said}){}", again(*.rebuilt))]
    Died {
        /// The call that found it.
        call: &'static str,
        /// The status and the driver's own words.
        said: Said,
        /// Whether this was already after a rebuild.
        rebuilt: bool,
    },
    /// The encoder is at work for too long.
    #[error("the encoder gave nothing for {} ms: the card hangs, or is overloaded", PICTURE_MAX.as_millis())]
    Stuck,
    /// Slices that were lent did not come home.
    #[error("slices that were lent for sending are still out after {} s: a fault of ours", HOME_MAX.as_secs())]
    StillLent,
    /// A call failed.
    #[error("{call} failed: {said}")]
    Call {
        /// The function.
        call: &'static str,
        /// The status and the driver's own words.
        said: Said,
    },
    /// CUDA failed.
    #[error(transparent)]
    Cuda(#[from] CudaError),
}

fn again(rebuilt: bool) -> &'static str {
    if rebuilt { "; it was made anew once, and that did not help: see the kernel's log for Xid" } else { "" }
}

/// The kernel's driver version, or that there is none to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverText(pub Option<String>);

impl fmt::Display for DriverText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("(of unknown version)"))
    }
}

/// A status, and what the driver says about it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The status.
    pub status: NVENCSTATUS,
    /// `nvEncGetLastErrorString`; empty where it says nothing.
    pub words: String,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status.name(), self.words.trim()) {
            (Some(name), "") => f.write_str(name),
            (None, "") => write!(f, "status {}, unknown to NVENC 13.0", self.status.0),
            (Some(name), words) => write!(f, "{name}: {words}"),
            (None, words) => write!(f, "status {}, unknown to NVENC 13.0: {words}", self.status.0),
        }
    }
}

/// What a card or its driver does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lack {
    /// Not this codec.
    #[error("it does not encode it")]
    Codec,
    /// Not the preset.
    #[error("its driver has no preset P1 with ultra low latency")]
    Preset,
    /// Not so large.
    #[error("{width}×{height} is more than its {width_max}×{height_max}{}", hint(*.codec))]
    TooLarge {
        /// Asked for.
        width: u32,
        /// Asked for.
        height: u32,
        /// The card's.
        width_max: u32,
        /// The card's.
        height_max: u32,
        /// For the hint.
        codec: Codec,
    },
    /// Not so small.
    #[error("{width}×{height} is less than its {width_min}×{height_min}")]
    TooSmall {
        /// Asked for.
        width: u32,
        /// Asked for.
        height: u32,
        /// The card's.
        width_min: u32,
        /// The card's.
        height_min: u32,
    },
    /// More than the codec's own limits.
    #[error(
        "no level of it that the card has ({level_max} at most) holds {width}×{height} at {rate} pictures a second{}",
        hint(Codec::H264)
    )]
    Level {
        /// Asked for.
        width: u32,
        /// Asked for.
        height: u32,
        /// Asked for.
        rate: u32,
        /// As level_idc has it.
        level_max: u32,
    },
    /// Not ten bits.
    #[error("it does not encode ten bits")]
    TenBits,
    /// Not this much colour.
    #[error("it does not encode 4:4:4")]
    FullChroma,
    /// Not this input.
    #[error("it does not take {0} as input")]
    Format(&'static str),
    /// Not CBR.
    #[error("it has no constant bitrate")]
    ConstantBitrate,
    /// Not without a new session.
    #[error("its driver changes {0} only with a new session")]
    Live(&'static str),
}

fn hint(codec: Codec) -> &'static str {
    if codec == Codec::H264 { "; HEVC and AV1 go further" } else { "" }
}

/// What a driver must not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Nonsense {
    /// A count that is larger than what it was asked about, or than any driver's.
    #[error("{got} where at most {most} can be")]
    Count {
        /// What it said.
        got: u32,
        /// What can be.
        most: u32,
    },
    /// A number that the caps cannot have.
    #[error("{got} for {cap}")]
    Cap {
        /// Which of them.
        cap: &'static str,
        /// What it said.
        got: i32,
    },
    /// Success without a handle.
    #[error("success and a null pointer")]
    Null,
    /// More bytes than an access unit has.
    #[error("an access unit of {got} bytes, and {most} are the most")]
    Size {
        /// What it said.
        got: u32,
        /// What can be.
        most: u32,
    },
    /// A finished picture without a byte.
    #[error("a finished picture of no bytes")]
    Empty,
    /// Slices that are not one after the other within the access unit.
    #[error("slice {slice} at byte {offset} of {bytes}, after one at {before}")]
    Offset {
        /// Which.
        slice: u32,
        /// Where it is said to begin.
        offset: u32,
        /// Where the one before begins.
        before: u32,
        /// The access unit's length.
        bytes: u32,
    },
    /// A slice that was finished and is another now.
    #[error("another end of what was finished and lent: {was}, now {now}")]
    Moved {
        /// The end that was given.
        was: u32,
        /// The one that is said now.
        now: u32,
    },
    /// Fewer slices than were asked for, which showed after the last.
    #[error("{got} slices where {expected} were asked for")]
    Slices {
        /// What came.
        got: u32,
        /// What was due.
        expected: u32,
    },
    /// Another picture than the one that was handed in.
    #[error("picture {got} instead of {expected}")]
    Picture {
        /// What came.
        got: u64,
        /// What was due.
        expected: u64,
    },
}

impl NvencError {
    /// Whether the session is of no use any more: made anew, it may be.
    #[must_use]
    pub fn is_session_lost(&self) -> bool {
        match self {
            NvencError::Died { .. } | NvencError::Stuck => true,
            NvencError::Cuda(error) => error.is_device_lost(),
            _ => false,
        }
    }

    /// A status of a call within a session.
    pub(crate) fn of_session(call: &'static str, said: Said) -> NvencError {
        if is_fatal(said.status) {
            NvencError::Died { call, said, rebuilt: false }
        } else {
            NvencError::Call { call, said }
        }
    }

    /// A status of the call that opens a session on `device`.
    pub(crate) fn of_opening(
        call: &'static str,
        said: Said,
        device: &str,
        api: Api,
        driver: impl FnOnce() -> DriverText,
    ) -> NvencError {
        let device = device.to_owned();
        match said.status {
            NV_ENC_ERR_OUT_OF_MEMORY | NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY => {
                NvencError::SessionLimit { device, said }
            }
            NV_ENC_ERR_NO_ENCODE_DEVICE | NV_ENC_ERR_UNSUPPORTED_DEVICE => NvencError::NoEncoder { device },
            NV_ENC_ERR_INVALID_VERSION => NvencError::VersionMismatch { call, driver: driver(), api },
            _ => NvencError::Call { call, said },
        }
    }
}

/// Statuses after which no later call of the session succeeds. Needing more input is one: nothing is reordered, so an
/// encoder that keeps a picture back has lost its configuration.
fn is_fatal(status: NVENCSTATUS) -> bool {
    [
        NV_ENC_ERR_DEVICE_NOT_EXIST,
        NV_ENC_ERR_INVALID_DEVICE,
        NV_ENC_ERR_INVALID_ENCODERDEVICE,
        NV_ENC_ERR_ENCODER_NOT_INITIALIZED,
        NV_ENC_ERR_MAP_FAILED,
        NV_ENC_ERR_GENERIC,
        NV_ENC_ERR_NEED_MORE_INPUT,
    ]
    .contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::NV_ENC_ERR_INVALID_PARAM;

    fn said(status: NVENCSTATUS, words: &str) -> Said {
        Said { status, words: words.to_owned() }
    }

    #[test]
    fn opening_fails_by_name_with_a_remedy() {
        let of = |status| {
            let driver = || DriverText(Some("535.1".to_owned()));
            NvencError::of_opening("nvEncOpenEncodeSessionEx", said(status, ""), "a card", Api::V13_0, driver)
        };
        assert!(matches!(of(NV_ENC_ERR_OUT_OF_MEMORY), NvencError::SessionLimit { .. }));
        assert!(matches!(of(NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY), NvencError::SessionLimit { .. }));
        assert!(matches!(of(NV_ENC_ERR_UNSUPPORTED_DEVICE), NvencError::NoEncoder { .. }));
        let mismatch = of(NV_ENC_ERR_INVALID_VERSION).to_string();
        assert!(mismatch.contains("535.1") && mismatch.contains("restart"), "{mismatch}");
        assert!(matches!(of(NVENCSTATUS(999)), NvencError::Call { .. }));
    }

    #[test]
    fn a_status_says_its_name_and_the_drivers_words() {
        assert_eq!(said(NV_ENC_ERR_INVALID_PARAM, " bad ").to_string(), "NV_ENC_ERR_INVALID_PARAM: bad");
        assert_eq!(said(NVENCSTATUS(99), "").to_string(), "status 99, unknown to NVENC 13.0");
    }

    #[test]
    fn what_ends_a_session_is_told_from_what_does_not() {
        for status in [NV_ENC_ERR_DEVICE_NOT_EXIST, NV_ENC_ERR_GENERIC, NV_ENC_ERR_NEED_MORE_INPUT] {
            assert!(NvencError::of_session("x", said(status, "")).is_session_lost(), "{status:?}");
        }
        for status in [NV_ENC_ERR_INVALID_PARAM, NV_ENC_ERR_OUT_OF_MEMORY, NVENCSTATUS(999)] {
            assert!(!NvencError::of_session("x", said(status, "")).is_session_lost(), "{status:?}");
        }
    }
}
