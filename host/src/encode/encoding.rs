//! What encodes a session's pictures, through changes of rate and mode and through failures.
//!
//! Promises: the wire's rate is held by what is really sent; another mode is taken by the encoder that there is, or by a new one;
//! a card's encoder that is of no use any more is followed by the software one; a picture that fails when some of it is on
//! the wire is given up, and not encoded again under its number. Each of these is said, and what took another's place is
//! counted. Refuses what the encoders refuse, in their words.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use punktfunk_capture::{Mode, Picture};
use punktfunk_engine::{EncodeOutcome, EncodeRequest, SliceSink, StageFault};
use punktfunk_proto::Negotiated;
use punktfunk_proto::limits::SHARD_BYTES_START;

use super::falls::EncoderFalls;
use super::picture_encoder::EncodeFault;
use super::trim::RateTrim;
use super::{Coding, Encoders, PictureEncoder, STAGE, Slice, payload_kbps};
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
    /// What they are encoded as.
    pub coding: Coding,
}

impl PicturesConfig {
    /// What was agreed on, as far as an encoder is concerned.
    pub fn new(negotiated: &Negotiated, redundancy: Redundancy, coding: Coding) -> Self {
        Self {
            wire_kbps: negotiated.bitrate_kbps,
            redundancy_per_mille: redundancy.per_mille_at_start(),
            shard_bytes: negotiated.shard_bytes_max.min(SHARD_BYTES_START),
            slices: negotiated.slices_max,
            coding,
        }
    }

    /// The encoder's rate before anything was measured, in kbit/s.
    pub fn payload_kbps(&self) -> u32 {
        payload_kbps(self.wire_kbps, self.redundancy_per_mille, self.shard_bytes)
    }
}

/// A dmabuf's format and modifier, by DRM's names.
pub type Memory = (u32, u64);

/// The encoder of a session, and what it is held to.
pub struct Encoding {
    encoder: PictureEncoder,
    /// Where another one comes from.
    encoders: Arc<Encoders>,
    config: PicturesConfig,
    trim: RateTrim,
    /// What took another's place.
    falls: EncoderFalls,
}

impl Encoding {
    /// Begins with this encoder.
    pub fn new(encoder: PictureEncoder, encoders: Arc<Encoders>, config: PicturesConfig) -> Self {
        Self { encoder, encoders, config, trim: RateTrim::new(), falls: EncoderFalls::default() }
    }

    /// Counts that the encoder that it begins with is not the one that there should be.
    pub fn count_lesser(&self) {
        self.falls.count("nvenc", self.encoder.name(), "not-opened");
    }

    /// What took another's place here, as it goes on.
    pub fn falls(&self) -> EncoderFalls {
        self.falls.clone()
    }

    /// Whether pictures may come as dmabufs.
    pub fn reads_dmabufs(&self) -> bool {
        self.encoder.reads_dmabufs()
    }

    /// Whether it can leave references out that a client misses.
    pub fn leaves_out(&self) -> bool {
        self.encoder.leaves_out()
    }

    /// Takes a slice back.
    pub fn recycle(&mut self, slice: Slice) {
        self.encoder.recycle(slice);
    }

    /// Asks the encoder for what fills the wire's rate, by what has really been sent.
    ///
    /// # Errors
    /// The encoder broke, and none takes its place.
    pub fn follow_rate(&mut self, request: &EncodeRequest, now: Instant) -> Result<(), StageFault> {
        let is_new = request.wire_kbps != self.config.wire_kbps;
        self.config.wire_kbps = request.wire_kbps;
        if !self.trim.handle(request.wire_bytes, request.wire_kbps, now) && !is_new {
            return Ok(());
        }
        let kbps = self.kbps();
        tracing::debug!(kbps, factor = self.trim.factor(), "the encoder's rate");
        match self.encoder.set_rate(kbps) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.falls.count(self.encoder.name(), self.encoder.name(), "rate-refused");
                Ok(())
            }
            Err(fault) => self.settle(Err(EncodeFault::Encoder(fault)), false).map(drop),
        }
    }

    /// Has pictures of this mode encoded from now on.
    ///
    /// # Errors
    /// No encoder takes them.
    pub fn follow_mode(&mut self, mode: Mode) -> Result<(), StageFault> {
        let shape = (mode.width(), mode.height(), mode.refresh_mhz());
        if shape == self.encoder.shape() {
            return Ok(());
        }
        tracing::warn!(%mode, "the source changed its mode");
        let kbps = self.kbps();
        match self.encoder.reshape(shape, kbps) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(fault) => tracing::warn!(%fault, "the encoder is made anew for another mode"),
        }
        // A card that was of no use is not tried again: its place is taken, and the rate is held to that.
        let other = match self.falls.has_fallen() {
            true => self.encoders.in_its_place(mode, kbps, &self.config).map(|software| (software, None)),
            false => self.encoders.open(mode, kbps, &self.config),
        };
        let (other, why_lesser) = other.map_err(|error| StageFault::new(STAGE, error))?;
        if why_lesser.is_some() && other.name() != self.encoder.name() {
            self.falls.count(self.encoder.name(), other.name(), "not-opened");
        }
        self.replace(other);
        Ok(())
    }

    /// Encodes a picture. Where its memory cannot be read, says which.
    ///
    /// # Errors
    /// The encoder broke, and none takes its place.
    pub fn encode(
        &mut self,
        picture: &Picture<'_>,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<(EncodeOutcome, Option<Memory>), StageFault> {
        let outcome = self.encoder.encode(picture, request, out);
        let is_the_encoders = match &outcome {
            Err(EncodeFault::Encoder(_) | EncodeFault::Gpu(_)) => true,
            Err(EncodeFault::Picture(fault)) => fault.stage == STAGE,
            Ok(_) | Err(EncodeFault::Dmabuf { .. } | EncodeFault::NoDmabufs { .. }) => false,
        };
        let settled = self.settle(outcome, out.is_begun())?;
        if !is_the_encoders || out.is_begun() {
            return Ok(settled);
        }
        // It is still there, and on a screen that stands still none may come after it.
        let outcome = self.encoder.encode(picture, request, out);
        self.settle(outcome, out.is_begun())
    }

    /// Encodes the picture before once more, where it is still there.
    ///
    /// # Errors
    /// As [`Encoding::encode`].
    pub fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        let outcome = self.encoder.repeat(request, out);
        Ok(self.settle(outcome, out.is_begun())?.0)
    }

    fn kbps(&self) -> u32 {
        self.trim.of(self.config.payload_kbps())
    }

    /// What a failure means for the pictures after: the stream goes on where it can. Of a picture that `is_begun` something is
    /// on the wire: it is given up.
    fn settle(
        &mut self,
        outcome: Result<EncodeOutcome, EncodeFault>,
        is_begun: bool,
    ) -> Result<(EncodeOutcome, Option<Memory>), StageFault> {
        let encoder = self.encoder.name();
        let mut unread = None;
        match outcome {
            Ok(outcome) => {
                if self.encoder.was_made_anew() {
                    tracing::warn!("the encoder's session died, and was made anew");
                    self.falls.count(encoder, encoder, "session-made-anew");
                }
                if self.encoder.was_uncut() {
                    self.falls.count(encoder, encoder, "slices-uncut");
                }
                return Ok((outcome, None));
            }
            Err(EncodeFault::Picture(fault)) => {
                tracing::warn!(%fault, is_begun, "a picture is passed over");
                let reason = if is_begun { "picture-given-up" } else { "picture-failed" };
                self.falls.count(encoder, encoder, reason);
            }
            Err(EncodeFault::Dmabuf { fourcc, modifier, why }) => {
                tracing::warn!(why, "the source is asked for other memory");
                self.falls.count("dmabuf", "other-memory", "not-imported");
                unread = Some((fourcc, modifier));
            }
            Err(EncodeFault::NoDmabufs { why }) => tracing::debug!(why, "a picture is passed over"),
            Err(EncodeFault::Gpu(fault)) => {
                tracing::warn!(%fault, "the GPU converts no pictures any more; the CPU does, from memory");
                self.falls.count("gpu", "cpu", "gpu-lost");
            }
            Err(EncodeFault::Encoder(fault)) => match &self.encoder {
                PictureEncoder::Software(_) => return Err(fault),
                PictureEncoder::Nvenc(_) => self.fall(&fault)?,
            },
        }
        Ok((if is_begun { EncodeOutcome::Failed } else { EncodeOutcome::Skipped }, unread))
    }

    /// Goes on in software.
    fn fall(&mut self, fault: &StageFault) -> Result<(), StageFault> {
        let (width, height, refresh_mhz) = self.encoder.shape();
        let kbps = self.kbps();
        let software = Mode::new(width, height, refresh_mhz)
            .map_err(|error| HostError::Impossible(error.to_string()))
            .and_then(|mode| self.encoders.in_its_place(mode, kbps, &self.config))
            .map_err(|error| StageFault::new(STAGE, format!("{fault}; and in its place: {error}")))?;
        tracing::warn!(%fault, "the card's encoder is of no use any more; openh264 goes on in software, with an IDR");
        self.falls.count(self.encoder.name(), software.name(), "encoder-lost");
        self.replace(software);
        Ok(())
    }

    /// Goes on with another encoder. The one before ends elsewhere: it waits for slices of its own to come home, and it is
    /// this thread that brings them.
    fn replace(&mut self, encoder: PictureEncoder) {
        let before = std::mem::replace(&mut self.encoder, encoder);
        match before {
            PictureEncoder::Software(_) => {}
            PictureEncoder::Nvenc(before) => {
                // Without a thread it ends here, which takes it two seconds at most.
                if let Err(error) =
                    thread::Builder::new().name("encoder-end".into()).spawn(move || drop(before))
                {
                    tracing::warn!(%error, "the system has no thread for an encoder's end");
                }
            }
        }
    }
}
