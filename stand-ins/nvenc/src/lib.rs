//! A `libnvidia-encode.so.1` without a card.
//!
//! Promises: every call that this house makes checks the SDK's contract as its header and its programming guide state it:
//! version words, reserved fields, sizes, the order of calls, and what may be done to whom while the encoder is at work. A
//! breach is refused with the SDK's code, said on stderr, counted (`punktfunk_standin_breaches`), and in words at
//! `nvEncGetLastErrorString`. Each call fails on request (`punktfunk_standin_fail`, `PUNKTFUNK_STANDIN_FAIL`), and by the name
//! `nvEncLockBitstream@slice` those locks that come between two slices of a picture; device loss lasts for the session. A
//! thread for each session encodes, a slice at a time, into memory that can be read only while it is locked. H.264 is real
//! (`stand-in-h264`): lossless within the budget of the bitrate, with exact references. HEVC and AV1 are units of the right
//! framing that say in text what they stand for.
//!
//! Refuses: what the product does not use, in so many words: asynchronous mode, B pictures, finite groups of pictures,
//! lookahead, long-term references, motion estimation alone, output in video memory, RGB. Nobody's product links it.
//!
//! A driver is one for a process, so what it knows is in `static`s here; everything else is handed in.

mod calls;
mod card;
mod check;
mod config;
mod cuda;
mod driver;
mod encoder;
mod engine;
mod marked;
mod memory;
mod output;
mod picture;
mod preset;
mod references;
mod resource;
mod session;
mod status;

pub use calls::{NvEncodeAPICreateInstance, NvEncodeAPIGetMaxSupportedVersion};

use stand_in_common::Controls;

/// Failures on request, and breaches.
static CONTROLS: Controls = Controls::new("libnvidia-encode stand-in");

stand_in_common::controls!(CONTROLS);
