//! NVIDIA's hardware encoder, by its own interface and nothing between.
//!
//! Promises: nothing links it, and a machine without it gets an error with a remedy ([`NvencError`]). Pictures are read from
//! device memory, in order with a CUDA stream, without a wait of the host; the bitstream is lent slice by slice from the
//! driver's own memory, while the rest of the picture is encoded where the card can ([`Slice`]), and nothing is allocated or
//! copied for a picture. A locked buffer is unlocked only when every slice of it has come home. Whatever the driver answers is
//! checked before it is believed.
//!
//! Refuses: a driver older than [`limits::API_MIN`]; what keeps pictures back.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use punktfunk_cuda::{Cuda, DeviceMemory, Priority, Rows, Stream};
//! use punktfunk_nvenc::{Codec, Config, Format, Input, Library, PictureRequest, Rate, Session, Step};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let library = Library::load()?;
//! let Some(device) = Cuda::load()?.devices()?.into_iter().next() else { return Ok(()) };
//! let context = device.context()?;
//! let stream = Arc::new(Stream::new(&context, Priority::Highest)?);
//! let config = Config::new(Codec::Hevc, 1920, 1080, Rate::per_second(60), 20_000);
//! let mut session = Session::open(&library, &context, Some(stream), config)?;
//! let memory = Arc::new(DeviceMemory::pitched(&context, 1920, Format::Nv12.rows(1080))?);
//! let rows = Rows { offset: 0, pitch: memory.pitch() };
//! let input = Input::new(memory, rows, Format::Nv12, 1920, 1080)?;
//! let mut picture = session.encode(&input, &PictureRequest { number: 1, idr: true, refresh: 0 })?;
//! loop {
//!     match picture.next(Duration::from_millis(5))? {
//!         Step::Slice { slice, .. } => println!("{} bytes", slice.as_ref().len()),
//!         Step::Nothing | Step::Lent => {}
//!         Step::Done(encoded) => break println!("{encoded:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod caps;
mod config;
mod cuts;
mod encoder;
mod error;
mod functions;
mod hdr;
mod home;
mod input;
mod library;
pub mod limits;
mod live;
mod parameters;
mod picture;
mod references;
mod session;
pub mod sys;
#[cfg(test)]
mod tests;

pub use caps::{Caps, Codec, Format};
pub use config::{
    BITRATE_KBPS_MAX, Colour, Config, Plan, Rate, Readback, Refresh, Tier, h264_level, plan, vbv_bits,
};
pub use error::{DriverText, Lack, Nonsense, NvencError, Said};
pub use hdr::{Chromaticity, Hdr};
pub use home::Slice;
pub use input::Input;
pub use library::{Library, negotiate};
pub use references::{IdrReason, Recovery};
pub use session::{Change, Counts, Encoded, InFlight, PictureRequest, Session, Step};
