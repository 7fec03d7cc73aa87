//! The bounds of this crate, each with its reason.

use std::time::Duration;

use crate::driver::DriverVersion;

/// The oldest driver that is spoken to: CUDA 12.2, which NVIDIA's 535 series brings. Older ones lack parts of what NVENC 12.1
/// and timeline semaphores need, each in its own way.
pub const DRIVER_MIN: DriverVersion = DriverVersion(12_020);

/// How long a drop waits for the streams that may still use what is dropped. Work of ours takes milliseconds; what stands
/// for longer waits for a semaphore that nobody will signal, and a drop must not wait with it.
pub const SETTLE_MAX: Duration = Duration::from_secs(2);

/// How long whoever waits for a stream or an event waits: twice what a drop does. A copy takes milliseconds, and a GPU that
/// hangs is reset by its driver within seconds.
pub const WAIT_MAX: Duration = Duration::from_secs(4);

/// How often a stream that is waited for is asked whether it is lost: nothing else tells of that.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// How often an event that is waited for is looked at: a fraction of what a picture's copy takes.
pub(crate) const POLL: Duration = Duration::from_micros(50);

/// One allocation or import at most: a picture of 16384 × 16384 pixels with 8 bytes each. More is a wrong number.
pub const MEMORY_BYTES_MAX: usize = 1 << 31;

/// Devices asked about at most: no machine has more, and a wrong count must not make a long list.
pub const DEVICES_MAX: i32 = 64;
