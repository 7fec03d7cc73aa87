//! What the host fits to the engine's encode stage: a source of pictures with its encoder.
//!
//! Promises: slices are pooled buffers that come home and are used again, or lent by an encoder whose memory they lie in; a
//! bitrate change reaches the encoder with the next picture; schedules begin with the first wait, so that nothing was missed before the
//! pipeline ran. Refuses rates and modes that the encoder cannot do; each fitting names its faults.

mod able;
mod annexb;
mod bitstream;
mod coding;
mod codings;
mod encoders;
mod encoding;
mod falls;
mod import;
mod levels;
mod nvenc;
mod picture_encoder;
mod pictures;
mod slice;
mod software;
mod sps;
mod trim;

use std::time::{Duration, Instant};

use punktfunk_codec::limits::BITRATE_KBPS_MIN;
use punktfunk_engine::{Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait};

pub use annexb::AnnexB;
pub use bitstream::Bitstream;
pub use coding::{Coding, CodingWish, WireRate};
pub use codings::Codings;
pub use encoders::{EncoderChoice, Encoders, ImportChoice};
pub use encoding::{Encoding, PicturesConfig};
pub use falls::EncoderFalls;
pub use picture_encoder::PictureEncoder;
pub use pictures::Pictures;
pub use slice::{Slice, SlicePool};

/// The stage's name in faults.
const STAGE: &str = "encode";

/// The fittings that there are.
pub enum Source {
    /// Pictures through the software encoder.
    Pictures(Box<Pictures>),
    /// The verifiable bitstream, with no encoder.
    Bitstream(Box<Bitstream>),
    /// An H.264 file, passed through.
    AnnexB(Box<AnnexB>),
    /// No picture at all.
    Nothing,
}

/// A source, fitted to the engine's encode stage.
pub struct Fitting {
    source: Source,
    begun: bool,
}

impl Fitting {
    /// A fitting whose pictures begin when the stage first waits for one.
    pub fn new(source: Source) -> Self {
        Self { source, begun: false }
    }

    /// Whether the rate is the client's to choose.
    pub fn follows_rate(&self) -> bool {
        match &self.source {
            Source::Pictures(_) => true,
            Source::Bitstream(_) | Source::AnnexB(_) | Source::Nothing => false,
        }
    }

    /// What takes another's place between the source and the wire, as it goes on.
    pub fn falls(&self) -> EncoderFalls {
        match &self.source {
            Source::Pictures(inner) => inner.falls(),
            Source::Bitstream(_) | Source::AnnexB(_) | Source::Nothing => EncoderFalls::default(),
        }
    }

    fn restart(&mut self, started: Instant) {
        match &mut self.source {
            Source::Pictures(inner) => inner.restart(started),
            Source::Bitstream(inner) => inner.restart(started),
            Source::AnnexB(inner) => inner.restart(started),
            Source::Nothing => {}
        }
    }

    /// None where there is no picture.
    fn inner(&mut self) -> Option<&mut dyn Encode<Slice = Slice>> {
        match &mut self.source {
            Source::Pictures(inner) => Some(&mut **inner),
            Source::Bitstream(inner) => Some(&mut **inner),
            Source::AnnexB(inner) => Some(&mut **inner),
            Source::Nothing => None,
        }
    }
}

impl Encode for Fitting {
    type Slice = Slice;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        if !self.begun {
            self.begun = true;
            self.restart(Instant::now());
        }
        match self.inner() {
            Some(inner) => inner.wait_picture(timeout),
            None => {
                std::thread::park_timeout(timeout);
                Ok(Wait::Nothing)
            }
        }
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        self.inner().map_or(Ok(EncodeOutcome::Skipped), |inner| inner.encode(request, out))
    }

    fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        self.inner().map_or(Ok(EncodeOutcome::Skipped), |inner| inner.repeat(request, out))
    }

    fn leaves_out(&self) -> bool {
        match &self.source {
            Source::Pictures(inner) => inner.leaves_out(),
            Source::Bitstream(inner) => inner.leaves_out(),
            Source::AnnexB(inner) => inner.leaves_out(),
            Source::Nothing => false,
        }
    }

    fn recycle(&mut self, slice: Slice) {
        if let Some(inner) = self.inner() {
            inner.recycle(slice);
        }
    }

    fn counts(&self) -> SourceCounts {
        match &self.source {
            Source::Pictures(inner) => inner.counts(),
            Source::Bitstream(inner) => inner.counts(),
            Source::AnnexB(inner) => inner.counts(),
            Source::Nothing => SourceCounts::default(),
        }
    }
}

/// Pushes a slice; one that the sink refuses comes home at once.
fn push(
    pool: &mut SlicePool,
    out: &mut SliceSink<'_, Slice>,
    slice: Vec<u8>,
    idr: bool,
    last: bool,
) -> Result<(), StageFault> {
    out.push(Slice::Pooled(slice), idr, last).map_err(|(slice, fault)| {
        pool.put(slice);
        fault
    })
}

/// The encoder's rate to begin with for a wire rate: redundancy, headers and tags taken off. All in kbit/s.
/// What parity and padding really take is measured later, see [`trim::RateTrim`].
pub fn payload_kbps(wire_kbps: u32, redundancy_per_mille: u16, shard_bytes: u16) -> u32 {
    let shard = u64::from(shard_bytes);
    let datagram = shard + punktfunk_proto::DATAGRAM_OVERHEAD as u64;
    let payload = u64::from(wire_kbps) * 1000 * shard / (datagram * (1000 + u64::from(redundancy_per_mille)));
    u32::try_from(payload).unwrap_or(u32::MAX).max(BITRATE_KBPS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_that_the_encoder_begins_with_is_never_above_the_wires() {
        assert_eq!(payload_kbps(20_000, 0, 1408), 20_000 * 1408 / 1448);
        assert_eq!(payload_kbps(0, 1000, 1408), BITRATE_KBPS_MIN);
    }
}
