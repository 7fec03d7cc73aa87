//! What the client fits to the engine's decode stage: a decoder, or the check of the test bitstream.
//!
//! Promises: every access unit ends as a picture or as a named refusal. Refuses codecs that the Welcome
//! of this version cannot name.

mod card;
mod h264;
mod recording;
mod verify;

use punktfunk_engine::{Decode, DecodeOutcome, StageFault};
use punktfunk_proto::DeliveredBlock;

pub use card::{CardReport, CardTimes};
pub use h264::{H264, Output};
pub use recording::{Format, RecordingState};
pub use verify::{Verify, VerifyReport};

/// The fittings that there are.
pub enum Sink {
    /// H.264 in software.
    H264(Box<H264>),
    /// The verifiable bitstream.
    Verify(Box<Verify>),
}

impl Decode for Sink {
    fn has_references(&self) -> bool {
        match self {
            Self::H264(inner) => inner.has_references(),
            Self::Verify(inner) => inner.has_references(),
        }
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        match self {
            Self::H264(inner) => inner.handle_block(block),
            Self::Verify(inner) => inner.handle_block(block),
        }
    }

    fn abandon(&mut self) {
        match self {
            Self::H264(inner) => inner.abandon(),
            Self::Verify(inner) => inner.abandon(),
        }
    }
}
