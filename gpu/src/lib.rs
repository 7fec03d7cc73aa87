//! Pictures on the GPU: a producer's buffer becomes the encoder's picture without passing through the CPU.
//!
//! A picture comes as a dmabuf, which is imported once as a Vulkan image and kept ([`Importer`]), or in memory, which is
//! uploaded once. A compute shader converts its colours and scales it in one pass into memory that was exported when the
//! importer was made, and a timeline semaphore tells the reader: CUDA, which waits for it on its own stream, or the CPU.
//! The same stages run on lavapipe, Vulkan on the CPU.
//!
//! Promises: every sample is within one of the exact, real-valued result ([`mod@reference`]); no thread waits where the GPU
//! can; each way down is counted ([`Counters`]) and said once. Refuses: what the GPU does not read, by name, with what helps
//! ([`GpuError`]). Vulkan is found at run time: nothing here links it.

mod cache;
mod counters;
mod cuda;
mod device;
mod error;
mod flight;
pub mod format;
mod image;
mod importer;
mod input;
pub mod limits;
mod memory;
mod output;
mod overlay;
mod pipeline;
pub mod producer;
pub mod reference;
mod source;
mod sync;
mod syncobj;
mod timeline;
mod weights;

pub use counters::Counters;
pub use cuda::CudaOutputs;
pub use device::{Caps, Choice, Description, Device, DrmNode, PciAddress, Priority, Uuid};
pub use error::{Code, GpuError, Link};
pub use importer::{Done, Handover, Importer, Ticket};
pub use input::{Dmabuf, DmabufPlane, Input, Memory, Overlay, Pages, SyncPoint};
pub use output::{Layout, OutputSpec, Placement, Plane};
pub use syncobj::Syncobjs;
