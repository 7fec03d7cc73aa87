//! A source of pictures and what encodes them.
//!
//! Promises: the newest picture is encoded; the wire's rate is held by what is really sent; a mode that changes at the
//! source gets a new encoder, and that is said. Refuses what the encoder refuses, in its words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_capture::{Counters, Mode, Source};
use punktfunk_engine::{Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait};
use punktfunk_proto::Negotiated;
use punktfunk_proto::limits::SHARD_BYTES_START;

use super::software::Software;
use super::trim::RateTrim;
use super::{Encoders, STAGE, payload_kbps};
use crate::redundancy::Redundancy;

/// What a session's pictures are encoded with.
#[derive(Debug, Clone, Copy)]
pub struct PicturesConfig {
    /// The wire's rate, in kbit/s.
    pub wire_kbps: u32,
    /// Parity for each thousand data shards to begin with; what it comes to is in what is sent.
    pub redundancy_per_mille: u16,
    /// Bytes of a shard.
    pub shard_bytes: u16,
    /// Slices of an access unit.
    pub slices: u16,
}

impl PicturesConfig {
    /// What was agreed on, as far as an encoder is concerned.
    pub fn new(negotiated: &Negotiated, redundancy: Redundancy) -> Self {
        Self {
            wire_kbps: negotiated.bitrate_kbps,
            redundancy_per_mille: redundancy.per_mille_at_start(),
            shard_bytes: negotiated.shard_bytes_max.min(SHARD_BYTES_START),
            slices: negotiated.slices_max,
        }
    }

    /// The encoder's rate before anything was measured, in kbit/s.
    pub fn payload_kbps(&self) -> u32 {
        payload_kbps(self.wire_kbps, self.redundancy_per_mille, self.shard_bytes)
    }
}

/// A source with its encoder.
pub struct Pictures {
    source: Box<dyn Source>,
    encoder: Software,
    /// Where another one comes from.
    encoders: Arc<Encoders>,
    config: PicturesConfig,
    trim: RateTrim,
    started: Instant,
    /// What the source had counted when the stream began.
    before: Counters,
    /// How often the source's pictures had come from elsewhere when one was last encoded.
    changes: u64,
}

impl Pictures {
    /// Fits a source to an encoder of its mode.
    pub fn new(
        source: Box<dyn Source>,
        (encoder, encoders): (Software, Arc<Encoders>),
        config: PicturesConfig,
    ) -> Self {
        Self {
            encoders,
            encoder,
            before: source.counters(),
            changes: source.changes(),
            source,
            config,
            trim: RateTrim::new(),
            started: Instant::now(),
        }
    }

    /// Lets the pictures begin at `started`, with nothing counted.
    pub fn restart(&mut self, started: Instant) {
        self.source.restart(started);
        self.before = self.source.counters();
        self.started = started;
    }

    /// Asks the encoder for what fills the wire's rate, by what has really been sent.
    fn follow_rate(&mut self, request: &EncodeRequest, now: Instant) -> Result<(), StageFault> {
        let is_new = request.wire_kbps != self.config.wire_kbps;
        self.config.wire_kbps = request.wire_kbps;
        if !self.trim.handle(request.wire_bytes, request.wire_kbps, now) && !is_new {
            return Ok(());
        }
        let kbps = self.trim.of(self.config.payload_kbps());
        tracing::debug!(kbps, factor = self.trim.factor(), "the encoder's rate");
        self.encoder.set_rate(kbps)
    }
}

impl Encode for Pictures {
    type Slice = Vec<u8>;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        let ready = self.source.wait_picture(timeout).map_err(|error| StageFault::new("capture", error))?;
        Ok(if ready { Wait::Picture(Instant::now()) } else { Wait::Nothing })
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        self.follow_rate(request, Instant::now())?;
        let (refresh_mhz, changes) = (self.source.mode().refresh_mhz(), self.source.changes());
        let picture = match self.source.take_picture() {
            Ok(Some(picture)) => picture,
            Ok(None) => return Ok(EncodeOutcome::Skipped),
            Err(error) => return Err(StageFault::new("capture", error)),
        };
        if (picture.width, picture.height, refresh_mhz) != self.encoder.shape() {
            tracing::warn!(
                width = picture.width,
                height = picture.height,
                refresh_mhz,
                "the source changed its mode; a new encoder begins with an IDR"
            );
            let kbps = self.trim.of(self.config.payload_kbps());
            let mode = Mode::new(picture.width, picture.height, refresh_mhz)
                .map_err(|error| StageFault::new("capture", error))?;
            self.encoder = self
                .encoders
                .encoder(mode, kbps, self.config.slices)
                .map_err(|error| StageFault::new(STAGE, error))?;
        }
        // Nothing of another screen is worth a reference.
        let idr = request.idr || changes != self.changes;
        let request = EncodeRequest { idr, ..*request };
        self.changes = changes;
        // A picture that was waiting before the session's clock began is as old as the session.
        out.set_captured_at(picture.captured_at.max(self.started));
        out.set_number(picture.number);
        let outcome = self.encoder.encode(&picture, &request, out);
        self.source.give_back();
        outcome
    }

    fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        self.encoder.repeat(request, out)
    }

    fn recycle(&mut self, slice: Vec<u8>) {
        self.encoder.recycle(slice);
    }

    fn counts(&self) -> SourceCounts {
        let (now, before) = (self.source.counters(), self.before);
        SourceCounts {
            captured: now.captured - before.captured,
            superseded: now.superseded - before.superseded,
            spoiled: now.spoiled - before.spoiled,
            stamped_here: now.stamped_here - before.stamped_here,
            copied_bytes: now.copied_bytes - before.copied_bytes,
        }
    }
}
