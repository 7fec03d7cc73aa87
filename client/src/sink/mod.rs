//! What the client fits to the engine's decode stage: a decoder, or the check of the test bitstream.
//!
//! Promises: every access unit ends as a picture or as a named refusal. Refuses codecs that the Welcome
//! of this version cannot name.

mod card;
mod recording;
mod verify;
mod video;

use punktfunk_engine::{Decode, DecodeOutcome, StageFault};
use punktfunk_proto::DeliveredBlock;

pub use card::{CardReport, CardTimes};
pub use recording::{Format, RecordingState};
pub use verify::{Verify, VerifyReport};
pub use video::{Output, Video};

/// The fittings that there are.
pub enum Sink {
    /// Pictures.
    Video(Box<Video>),
    /// The verifiable bitstream.
    Verify(Box<Verify>),
}

impl Decode for Sink {
    fn has_references(&self) -> bool {
        match self {
            Self::Video(inner) => inner.has_references(),
            Self::Verify(inner) => inner.has_references(),
        }
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        match self {
            Self::Video(inner) => inner.handle_block(block),
            Self::Verify(inner) => inner.handle_block(block),
        }
    }

    fn abandon(&mut self) {
        match self {
            Self::Video(inner) => inner.abandon(),
            Self::Verify(inner) => inner.abandon(),
        }
    }
}
