//! NVIDIA's CUDA driver, found at run time: devices, contexts, streams, device memory, and what is shared with Vulkan.
//!
//! Promises: nothing links CUDA, and a machine without it gets an error with a remedy ([`CudaError`]), never a panic.
//! What is made here keeps its context, and no memory goes while a stream may still read or write it: whoever
//! drops a thing waits for the work queued before, at most [`limits::SETTLE_MAX`]; what is busy for longer is left to the
//! driver and counted ([`Context::left_behind`]). Memory that a caller lends for a copy is never the device's: it goes through
//! pinned memory of the stream's own. Who waits for a stream waits for [`limits::WAIT_MAX`] at most. A wait between streams, or between CUDA and Vulkan, is the device's:
//! [`TimelineSemaphore`] holds a stream, not the host.
//!
//! Refuses: kernels, graphs, managed memory, the null stream. A driver older than [`limits::DRIVER_MIN`].
//!
//! The structures and numbers are cudarc's. Its functions are not called: their results are a closed enum, and a newer
//! driver knows errors that it lacks; and its loader panics, and takes a toolkit's stub for the driver. So the
//! functions are looked up here, once, all of them, by [`Cuda::load`].
//!
//! ```no_run
//! use punktfunk_cuda::{Cuda, DeviceMemory, Extent, Priority, Rows, Stream};
//!
//! # fn main() -> Result<(), punktfunk_cuda::CudaError> {
//! let cuda = Cuda::load()?;
//! let Some(device) = cuda.devices()?.into_iter().next() else { return Ok(()) };
//! let context = device.context()?;
//! let stream = Stream::new(&context, Priority::Highest)?;
//! let memory = DeviceMemory::pitched(&context, 1920, 1080)?;
//! let rows = Rows { offset: 0, pitch: memory.pitch() };
//! let picture = vec![16; 1920 * 1080];
//! stream.write(&picture, 1920, &memory, rows, Extent { width_bytes: 1920, rows: 1080 })?;
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]

mod buffer;
mod context;
mod copy;
mod device;
mod driver;
mod error;
mod event;
mod external;
pub mod limits;
mod memory;
mod pinned;
mod settle;
mod stream;
mod table;

pub use buffer::{DeviceBuffer, Extent, Rows};
pub use context::{Context, Current};
pub use device::{Device, Uuid};
pub use driver::{Cuda, DriverVersion};
pub use error::{Breakage, Code, CudaError};
pub use event::Event;
pub use external::{Dedicated, ImportedMemory, TimelineSemaphore};
pub use memory::DeviceMemory;
pub use pinned::{InFlight, PinnedMemory};
pub use stream::{Priority, Stream};
