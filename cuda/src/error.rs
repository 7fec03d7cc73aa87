//! What can go wrong between here and the GPU, and what to do about it.

use std::fmt;
use std::time::Duration;

use crate::driver::DriverVersion;
use crate::limits::DRIVER_MIN;

/// An error of CUDA's driver, or of the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no driver.
    #[error(
        "CUDA's driver is not on this machine (no libcuda.so.1): install NVIDIA's driver \
         (Debian: nvidia-driver and libcuda1, non-free; in a container: start it with the NVIDIA runtime)"
    )]
    Absent,
    /// There is one, and it does not work.
    #[error("CUDA's driver is on this machine and does not work: {0}")]
    Broken(Breakage),
    /// The driver is older than what is spoken here.
    #[error(
        "CUDA's driver has version {has} and {DRIVER_MIN} is needed: install NVIDIA's driver 535 or newer"
    )]
    TooOld {
        /// What the driver says.
        has: DriverVersion,
    },
    /// A call failed.
    #[error("{call} failed: {code}")]
    Call {
        /// The function.
        call: &'static str,
        /// What it gave.
        code: Code,
    },
    /// The device cannot do what was asked for.
    #[error("{device} has no {what}")]
    Unable {
        /// The device's name.
        device: String,
        /// What it lacks.
        what: &'static str,
    },
    /// Rows that are not within the memory they are said to be in, or overlap.
    #[error(
        "{rows} rows of {width_bytes} bytes, {pitch} apart, from byte {offset} on are not within {bytes} bytes"
    )]
    Outside {
        /// The first row's place.
        offset: usize,
        /// Bytes from row to row.
        pitch: usize,
        /// Bytes of each row.
        width_bytes: usize,
        /// How many rows.
        rows: usize,
        /// Bytes that there are.
        bytes: usize,
    },
    /// A size that no picture has.
    #[error(
        "{bytes} bytes of device memory were asked for; between 1 and {} are had",
        crate::limits::MEMORY_BYTES_MAX
    )]
    Size {
        /// Bytes asked for.
        bytes: usize,
    },
    /// What was queued is not done after all of the time that is waited for it.
    #[error(
        "what was queued on a stream is not done after {} s: it waits for a semaphore that nobody signals, or the GPU \
         hangs; look at the kernel's log for Xid",
        .waited.as_secs_f32()
    )]
    Stuck {
        /// How long was waited.
        waited: Duration,
    },
    /// Two things of different contexts cannot be used together.
    #[error("{what} is of another CUDA context than the stream")]
    OtherContext {
        /// Which of them.
        what: &'static str,
    },
}

impl CudaError {
    /// Whether the device, or this process' hold of it, is gone: every later call fails until the context is made anew,
    /// and some until the process is.
    #[must_use]
    pub fn is_device_lost(&self) -> bool {
        matches!(self, CudaError::Call { code, .. } if code.is_sticky())
    }

    /// Whether the device has no memory left for what was asked.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, CudaError::Call { code, .. } if code.value() == OUT_OF_MEMORY)
    }
}

/// In what way a driver does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breakage {
    /// The library cannot be loaded.
    #[error("libcuda.so.1 cannot be loaded ({0}): install NVIDIA's driver anew")]
    Unloadable(String),
    /// The library lacks a function.
    #[error("libcuda.so.1 has no {0}: it is another library than NVIDIA's driver, or a part of one")]
    Symbol(&'static str),
    /// The driver could not begin.
    #[error("cuInit failed: {code}{}", remedy(*code))]
    Init {
        /// What it gave.
        code: Code,
    },
}

/// What to do about a driver that could not begin.
fn remedy(code: Code) -> &'static str {
    match code.value() {
        34 => ": a toolkit's stub library stands before the driver; take it out of LD_LIBRARY_PATH",
        100 => ": no GPU that CUDA can use; look at nvidia-smi and CUDA_VISIBLE_DEVICES",
        101 => ": CUDA_VISIBLE_DEVICES names a GPU that is not there",
        802 => ": the machine's fabric is not up; start nvidia-fabricmanager",
        803 | 804 => ": the kernel's driver and the library are of different versions; restart the machine",
        999 => ": the kernel's part may not be loaded; run nvidia-modprobe -u, and look at dmesg",
        _ => "",
    }
}

const OUT_OF_MEMORY: i32 = 2;

/// What a call of CUDA's driver gave, other than success. Numbers of newer drivers are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    value: i32,
    name: Option<&'static str>,
}

impl Code {
    /// A code with the driver's name for it.
    pub(crate) fn new(value: i32, name: Option<&'static str>) -> Self {
        Self { value, name }
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> i32 {
        self.value
    }

    /// The driver's name for it, as `CUDA_ERROR_OUT_OF_MEMORY`; `None` where the driver has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.name
    }

    /// Whether no call can succeed any more (the CUDA driver API's manual at `CUresult`: "leaves the process in an
    /// inconsistent state", "must be relaunched"): the device is gone or hung, or a fault of memory has ended the context.
    fn is_sticky(self) -> bool {
        matches!(self.value, 4 | 46 | 214 | 220 | 226 | 700 | 702 | 709 | 710 | 714..=719 | 721 | 911 | 999)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{name} ({})", self.value),
            None => write!(f, "error {}", self.value),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
