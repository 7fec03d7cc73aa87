//! The bounds of this crate, each with its reason.

use std::time::Duration;

use crate::driver::DriverVersion;

/// The oldest driver that is spoken to: CUDA 12.2, which NVIDIA's 535 series brings. Older ones lack parts of what NVENC 12.1
/// and timeline semaphores need, each in its own way.
pub const DRIVER_MIN: DriverVersion = DriverVersion(12_020);

/// How long a drop waits for the streams that may still use what is dropped. Work of ours takes milliseconds; what stands
/// for longer waits for a semaphore that nobody will signal, and a drop must not wait with it.
pub const SETTLE_MAX: Duration = Duration::from_secs(2);

/// One allocation or import at most: a picture of 16384 × 16384 pixels with 8 bytes each. More is a wrong number.
pub const MEMORY_BYTES_MAX: usize = 1 << 31;

/// Devices asked about at most: no machine has more, and a wrong count must not make a long list.
pub const DEVICES_MAX: i32 = 64;
