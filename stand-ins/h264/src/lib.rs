//! A small H.264 writer: what a stand-in for an encoder's driver answers with.
//!
//! Promises: an Annex B stream that any decoder of the profile decodes to exactly [`Writer::reconstruction`], bit for
//! bit. A macroblock is copied from the reference (P_Skip), written whole (I_PCM), or, in an IDR that has a budget, spread
//! from its neighbour (I_16x16 without residual). So what is coded is lossless, what is not is old, and the budget says
//! how much of each: what is oldest comes first. References are modelled exactly: each P slice names its reference, any
//! of the decoded picture buffer, and an invalidated one takes with it all that was built on it. Slices are handed out one by
//! one. No allocation for a picture once the first of each kind has been written.
//!
//! Refuses: sizes that 4:2:0 cannot crop to, levels that the size does not fit, more than eight bits a sample. It
//! compresses nothing: no motion, no transform, no entropy coder but CAVLC. Nobody's product imports it.
//!
//! Every name of syntax is that of ITU-T H.264, clause 7.3.

#![forbid(unsafe_code)]

mod bits;
mod level;
mod nal;
mod sets;
mod slice;
mod source;
mod store;
mod writer;

pub use sets::{Colour, Profile};
pub use source::{Chroma, Source};
pub use store::Planes;
pub use writer::{Coded, Config, Kind, Part, Request, Writer};

/// Why the writer refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The size is none that can be written.
    #[error("no picture of {width}x{height} can be written in this chroma format")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The level does not hold pictures of this size, rate or number.
    #[error("level {level} (tenths) does not hold this size, rate and number of references")]
    Level {
        /// `level_idc`.
        level: u8,
    },
    /// No level holds that many references.
    #[error("{references} reference pictures are more than any level holds at this size")]
    References {
        /// What was asked for.
        references: u32,
    },
    /// The profile has no such chroma format.
    #[error("this profile has no 4:4:4")]
    Chroma,
    /// The memory is too short for the picture it should hold.
    #[error("{bytes} bytes cannot hold the picture: it takes {needed}")]
    Memory {
        /// What there is.
        bytes: usize,
        /// What it takes.
        needed: usize,
    },
    /// Rows are wider than the distance between them.
    #[error("rows of {width} bytes at a pitch of {pitch}")]
    Pitch {
        /// Bytes.
        width: usize,
        /// Bytes.
        pitch: usize,
    },
}
