//! NVIDIA's decoder by its own interface (NVDECODE), found at run time.
//!
//! Promises: an access unit's bytes are taken as they come, slice by slice, and its picture is there when its last bytes are: no
//! picture waits for the next ([`Decoder::feed`], [`Decoder::finish`]). Pictures come in the order of decoding, on the device, and can
//! be copied from there ([`Frame`]). A stream whose size or depth changes goes on in a decoder of the new
//! kind. Memory is bounded by [`limits`], whatever a stream says.
//!
//! Refuses: interlaced pictures, chroma other than 4:2:0, more than 10 bits, B pictures' reordering (whoever sends to a
//! screen sends none). What a stream does wrong is told from what the driver or the device does wrong ([`NvdecError::is_refusal`]).
//!
//! `sys` is our own reading of `nvcuvid.h` and `cuviddec.h`, held against NVIDIA's by a test; it is public for the
//! stand-in that the tests load.

#![deny(unsafe_code)]

mod caps;
mod decoder;
mod error;
mod frame;
mod hardware;
mod library;
pub mod limits;
mod parser;
pub mod sys;

pub use caps::{Caps, Chroma, Codec, Depth};
pub use decoder::{Decoder, Fed};
pub use error::{Flaw, NvdecError};
pub use frame::{Frame, Plane};
pub use library::Library;
