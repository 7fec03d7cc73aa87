//! `libcuda.so.1` for tests, on host memory.
//!
//! Promises: a `CUdeviceptr` is a host address, so that the stand-ins of NVIDIA's other libraries read and write it as such; an
//! opaque descriptor is a file in memory, mapped; a timeline semaphore is [`stand_in_common::Timeline`]'s. Streams are queues
//! with a thread each: what is not made to wait runs early, and what waits holds what is behind it. What the driver API
//! forbids fails with its code, is said on stderr and counted: handles used after their end or twice ended, calls
//! without a context or in another's, bytes beyond an allocation, memory freed while a queue still needs it, semaphores that go
//! backwards, whatever is left when a context's last hold is let go. A sticky error stays until then.
//!
//! Refuses: kernels, graphs, the null stream.
//!
//! | variable | |
//! |---|---|
//! | `PUNKTFUNK_STANDIN_FAIL` | calls that fail: see [`stand_in_common::failures`]; codes are numbers or names |
//! | `PUNKTFUNK_STANDIN_STRICT=1` | the first breach ends the process |
//! | `PUNKTFUNK_STANDIN_CUDA_VERSION` | the driver's version, 12040 unless given |
//! | `PUNKTFUNK_STANDIN_UUID` | the first device's 16 bytes as 32 hex digits; dashes are skipped |
//! | `PUNKTFUNK_STANDIN_PCI` | the first device's address |
//! | `PUNKTFUNK_STANDIN_DEVICES` | how many there are, 1 unless given |
//! | `PUNKTFUNK_STANDIN_TIMELINE=0` | they share no timeline semaphores |

#![deny(unsafe_code)]

mod code;
mod context;
mod entry;
mod event;
mod external;
mod general;
mod handles;
mod memory;
mod queue;
mod region;
mod state;
mod stream;
mod transfer;

/// What a test may ask, and the breaches.
mod controls {
    #![allow(unsafe_code)]

    use crate::state::CONTROLS;

    stand_in_common::controls!(CONTROLS);
}
