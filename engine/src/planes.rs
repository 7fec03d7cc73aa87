//! What the two planes of media are sealed and opened with.
//!
//! Promises: each plane has keys of its own. Refuses nothing: a pipeline without keys for the probe plane offers no
//! speed test.

use std::time::Instant;

use punktfunk_seal::{Opener, PlaneKeys, Sealer};

use crate::limits::FILLER_WINDOW;

/// What a host seals with.
pub struct Sealers {
    pub(crate) video: Sealer,
    pub(crate) probe: Option<Sealer>,
}

impl Sealers {
    /// A sealer of the video plane, and the keys of the probe plane, for speed tests.
    pub fn with_probe(video: Sealer, probe: PlaneKeys, now: Instant) -> Self {
        Self { video, probe: Some(Sealer::new(probe, now)) }
    }
}

impl From<Sealer> for Sealers {
    fn from(video: Sealer) -> Self {
        Self { video, probe: None }
    }
}

/// What a client opens with.
pub struct Openers {
    pub(crate) video: Opener,
    pub(crate) probe: Option<Opener>,
}

impl Openers {
    /// An opener of the video plane, and the keys of the probe plane, for speed tests.
    pub fn with_probe(video: Opener, probe: PlaneKeys) -> Self {
        Self { video, probe: Some(Opener::new(probe, FILLER_WINDOW)) }
    }
}

impl From<Opener> for Openers {
    fn from(video: Opener) -> Self {
        Self { video, probe: None }
    }
}
