//! A source of pictures and the software encoder.
//!
//! Promises: the newest picture is encoded; one conversion and one encode a picture; the wire's rate is held
//! by what is really sent; a mode that changes at the source gets a new encoder, and that is said. Refuses
//! what the encoder refuses, in its words.

use std::time::{Duration, Instant};

use punktfunk_capture::{Counters, Mode, Picture, PixelFormat, Source};
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::{CodecError, I420, I420Buffer, convert};
use punktfunk_engine::{Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait};
use punktfunk_proto::Negotiated;
use punktfunk_proto::limits::SHARD_BYTES_START;

use super::trim::RateTrim;
use super::{STAGE, SlicePool, payload_kbps, push};
use crate::error::HostError;
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
    fn payload_kbps(&self) -> u32 {
        payload_kbps(self.wire_kbps, self.redundancy_per_mille, self.shard_bytes)
    }
}

/// A source with the software encoder.
pub struct Pictures {
    source: Box<dyn Source>,
    encoder: Encoder,
    converted: I420Buffer,
    config: PicturesConfig,
    pool: SlicePool,
    trim: RateTrim,
    started: Instant,
    /// What the source had counted when the stream began.
    before: Counters,
    /// How often the source's pictures had come from elsewhere when one was last encoded.
    changes: u64,
    /// Whether `converted` holds the newest picture.
    has_converted: bool,
}

impl Pictures {
    /// Fits a source to an encoder of its mode.
    ///
    /// # Errors
    /// No memory for pictures of that mode.
    pub fn new(source: Box<dyn Source>, encoder: Encoder, config: PicturesConfig) -> Result<Self, HostError> {
        let mode = source.mode();
        Ok(Self {
            encoder,
            converted: I420Buffer::new(mode.width(), mode.height())?,
            before: source.counters(),
            changes: source.changes(),
            source,
            config,
            pool: SlicePool::new(4 * usize::from(config.slices), 64 << 10),
            trim: RateTrim::new(),
            started: Instant::now(),
            has_converted: false,
        })
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
        let fault = |error: CodecError| StageFault::new(STAGE, error);
        if kbps <= self.encoder.bitrate_kbps_max() {
            return self.encoder.set_bitrate(kbps).map_err(fault);
        }
        tracing::info!(kbps, "the rate passes what this encoder was made for; a new one begins with an IDR");
        let EncoderConfig { width, height, refresh_mhz, .. } = *self.encoder.config();
        self.encoder = encoder_of(width, height, refresh_mhz, kbps, self.config.slices).map_err(fault)?;
        Ok(())
    }
}

/// An encoder for this mode, at the rate of the session's beginning.
///
/// # Errors
/// The encoder's No.
pub fn encoder_for(mode: Mode, config: &PicturesConfig) -> Result<Encoder, CodecError> {
    encoder_of(mode.width(), mode.height(), mode.refresh_mhz(), config.payload_kbps(), config.slices)
}

fn encoder_of(
    width: u32,
    height: u32,
    refresh_mhz: u32,
    bitrate_kbps: u32,
    slices: u16,
) -> Result<Encoder, CodecError> {
    Encoder::new(EncoderConfig { width, height, refresh_mhz, bitrate_kbps, slices })
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
        let config = self.encoder.config();
        let encoded = (config.width, config.height, config.refresh_mhz);
        if (picture.width, picture.height, refresh_mhz) != encoded {
            tracing::warn!(
                width = picture.width,
                height = picture.height,
                refresh_mhz,
                "the source changed its mode; a new encoder begins with an IDR"
            );
            let kbps = self.trim.of(self.config.payload_kbps());
            self.encoder = encoder_of(picture.width, picture.height, refresh_mhz, kbps, self.config.slices)
                .map_err(|error| StageFault::new(STAGE, error))?;
            self.converted = I420Buffer::new(picture.width, picture.height)
                .map_err(|error| StageFault::new(STAGE, error))?;
        }
        // Nothing of another screen is worth a reference.
        let idr = request.idr || changes != self.changes;
        let request = EncodeRequest { idr, ..*request };
        self.changes = changes;
        self.has_converted = picture.format == PixelFormat::Bgrx;
        // A picture that was waiting before the session's clock began is as old as the session.
        out.set_captured_at(picture.captured_at.max(self.started));
        out.set_number(picture.number);
        encode_picture(&mut self.encoder, &mut self.converted, &mut self.pool, &picture, &request, out)
    }

    fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        if !self.has_converted {
            // The card and files move by themselves: their next picture is the IDR.
            return Ok(EncodeOutcome::Skipped);
        }
        let planes = self.converted.as_i420();
        encode_planes(&mut self.encoder, &mut self.pool, &planes, request, out)
    }

    fn recycle(&mut self, slice: Vec<u8>) {
        self.pool.put(slice);
    }

    fn counts(&self) -> SourceCounts {
        let (now, before) = (self.source.counters(), self.before);
        SourceCounts {
            captured: now.captured - before.captured,
            superseded: now.superseded - before.superseded,
            spoiled: now.spoiled - before.spoiled,
            stamped_here: now.stamped_here - before.stamped_here,
        }
    }
}

fn encode_picture(
    encoder: &mut Encoder,
    converted: &mut I420Buffer,
    pool: &mut SlicePool,
    picture: &Picture<'_>,
    request: &EncodeRequest,
    out: &mut SliceSink<'_, Vec<u8>>,
) -> Result<EncodeOutcome, StageFault> {
    let fault = |error: CodecError| StageFault::new(STAGE, error);
    let planes = match picture.format {
        PixelFormat::Bgrx => {
            let start = Instant::now();
            convert::bgrx_to_i420(picture.bytes, picture.stride, picture.width, picture.height, converted)
                .map_err(fault)?;
            out.set_import(start.elapsed());
            converted.as_i420()
        }
        PixelFormat::I420 => {
            I420::contiguous(picture.width, picture.height, picture.stride, picture.bytes).map_err(fault)?
        }
    };
    encode_planes(encoder, pool, &planes, request, out)
}

fn encode_planes(
    encoder: &mut Encoder,
    pool: &mut SlicePool,
    planes: &I420<'_>,
    request: &EncodeRequest,
    out: &mut SliceSink<'_, Vec<u8>>,
) -> Result<EncodeOutcome, StageFault> {
    let fault = |error: CodecError| StageFault::new(STAGE, error);
    let encoded = encoder.encode(planes, 0, request.idr).map_err(fault)?;
    if encoded.skipped() {
        return Ok(EncodeOutcome::Skipped);
    }
    let idr = encoded.is_idr();
    let mut slices = encoded.slices().peekable();
    while let Some(slice) = slices.next() {
        let mut buffer = pool.take();
        buffer.extend_from_slice(slice);
        push(pool, out, buffer, idr, slices.peek().is_none())?;
    }
    Ok(EncodeOutcome::Encoded)
}
