//! Software H.264 encode and decode, colour conversion, Annex B parsing and the verifiable bitstream.
//!
//! Everything here speaks std types. [`h264`] stands on openh264 with its assembly (the build fails without nasm);
//! all other modules are safe Rust. Nothing here reads a clock, starts a thread or logs.

#![deny(unsafe_code)]

pub mod annexb;
pub mod bitstream;
pub mod convert;
mod error;
pub mod h264;
pub mod limits;
mod picture;

pub use error::{CodecError, Flaw};
pub use picture::{I420, I420Buffer};
