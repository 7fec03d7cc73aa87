//! `libnvcuvid.so.1` for tests, over the stand-in of CUDA.
//!
//! Promises: the parser reads a stream of bytes in pieces of any length, and calls back in NVIDIA's order: a sequence before its
//! pictures, a picture when the next begins or its end is said. H.264 is really decoded, by openh264; a mapped picture is
//! NV12 in memory that the stand-in of CUDA gave. What NVIDIA's contract forbids fails, is said on stderr and counted: calls
//! without a context, calls from within a callback, handles after their end, surfaces that are none, more pictures mapped than
//! were asked for, a decoder that goes while one is mapped.
//!
//! Refuses: every codec but H.264; and it has but the order of callbacks to say of streams that NVIDIA's conceals.
//!
//! Calls fail on request, by CUDA's numbers: see [`stand_in_common::failures`].

#![deny(unsafe_code)]

mod cuda;
mod decoder;
mod entry;
mod parser;
mod sps;

/// What a test may ask, and the breaches.
mod controls {
    #![allow(unsafe_code)]

    use crate::entry::CONTROLS;

    stand_in_common::controls!(CONTROLS);
}
