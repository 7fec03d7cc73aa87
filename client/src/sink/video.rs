//! Video: decode, record, keep a picture, read the card.
//!
//! Promises: the recording holds each access unit that was decoded, from an IDR on. Refuses to copy every picture for
//! the sake of a snapshot, to gather what a decoder takes as it comes, and to wait for a disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_codec::{CodecError, I420, I420Buffer};
use punktfunk_engine::{Decode, DecodeOutcome, StageFault};
use punktfunk_proto::DeliveredBlock;

use super::recording::{Format, Picture, Recording, RecordingState};
use super::{CardReport, CardTimes};
use crate::decoder::{Decoded, Decoder, DecoderReport, Last};
use crate::error::ClientError;
use crate::out_file::OutFile;

/// How often a picture is kept for the snapshot.
const KEEP_INTERVAL: Duration = Duration::from_millis(500);

/// What shall be made of the decoded stream.
#[derive(Debug, Default)]
pub struct Output {
    /// Where the stream is recorded, and as what.
    pub record: Option<(OutFile, Format)>,
    /// What the recording tells.
    pub recording: Arc<RecordingState>,
    /// Whether a picture is kept.
    pub keep_picture: bool,
    /// Which pictures are a test card's.
    pub card_times: Arc<CardTimes>,
}

/// What was made of a stream.
pub struct Made {
    /// The newest kept picture.
    pub kept: Option<I420Buffer>,
    /// What the card said.
    pub card: Option<CardReport>,
    /// How many access units are in the recording, or why it is not whole.
    pub recorded: Result<u64, ClientError>,
    /// What decoded it.
    pub decoder: DecoderReport,
}

/// A decoder with what is made of its pictures.
pub struct Video {
    decoder: Decoder,
    /// The open access unit, where somebody wants it whole.
    au: Vec<u8>,
    recording: Option<Recording>,
    keep_picture: bool,
    kept: Option<I420Buffer>,
    next_keep: Instant,
    card_times: Arc<CardTimes>,
    card: Option<CardReport>,
}

impl Video {
    /// What is made of what `decoder` gives.
    ///
    /// # Errors
    /// The recording cannot be begun.
    pub fn new(decoder: Decoder, output: Output, now: Instant) -> Result<Self, ClientError> {
        let state = output.recording;
        let begin = |(file, format)| Recording::new(file, format, state);
        let recording = output.record.map(begin).transpose()?;
        Ok(Self {
            decoder,
            au: Vec::with_capacity(1 << 20),
            recording,
            keep_picture: output.keep_picture,
            kept: None,
            next_keep: now,
            card_times: output.card_times,
            card: None,
        })
    }

    /// Ends the recording and gives what was made of the stream.
    pub fn finish(self) -> Made {
        let recorded = self.recording.map_or(Ok(0), Recording::finish);
        Made { kept: self.kept, card: self.card, recorded, decoder: self.decoder.report() }
    }

    /// Decodes the access unit that ends with `last`.
    fn decode(&mut self, last: &DeliveredBlock) -> Result<DecodeOutcome, ClientError> {
        let (idr, now) = (last.flags.idr(), Instant::now());
        let is_card = self.card_times.is_card(last.au);
        let is_kept = self.keep_picture && now >= self.next_keep;
        let decoded = self.decoder.finish(&Last {
            part: last.span.as_ref(),
            whole: &self.au,
            is_idr: idr,
            is_looked_at: is_card || is_kept,
        })?;
        let (sides, seen) = match decoded {
            Decoded::Picture { sides, seen } => (sides, seen),
            Decoded::Refused(why) => return Ok(DecodeOutcome::Refused(why)),
        };
        if let Some(seen) = seen.filter(|_| is_card) {
            CardReport::read_if_card(&mut self.card, &self.card_times, last.au, &seen);
        }
        if let Some(seen) = seen.filter(|_| is_kept) {
            self.next_keep = now + KEEP_INTERVAL;
            keep(&mut self.kept, &seen)?;
        }
        if let Some(recording) = &mut self.recording {
            let (au, pts_us) = (last.au, last.pts_us);
            recording.write(&Picture { au, pts_us, idr, sides, bytes: &self.au }, now);
        }
        Ok(DecodeOutcome::Picture)
    }
}

impl Decode for Video {
    fn has_references(&self) -> bool {
        true
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        if self.recording.is_some() || self.decoder.gathers() {
            self.au.extend_from_slice(block.span.as_ref());
        }
        let outcome = if block.flags.last_block() {
            let outcome = self.decode(block);
            self.au.clear();
            outcome
        } else {
            self.decoder.feed(block.span.as_ref()).map(|()| DecodeOutcome::Pending)
        };
        outcome.map_err(|error| StageFault::new("decode", error))
    }

    fn abandon(&mut self) {
        self.au.clear();
        self.decoder.abandon();
    }
}

/// Copies a picture into a buffer that is used again while sizes agree.
fn keep(kept: &mut Option<I420Buffer>, picture: &I420<'_>) -> Result<(), CodecError> {
    let (width, height) = (picture.width(), picture.height());
    let fits = kept.as_ref().is_some_and(|kept| (kept.width(), kept.height()) == (width, height));
    if !fits {
        *kept = Some(I420Buffer::new(width, height)?);
    }
    let Some(kept) = kept else { return Ok(()) };
    let (width, half) = (width as usize, width as usize / 2);
    let (y, u, v) = kept.planes_mut();
    copy_plane(y, width, picture.y(), picture.stride_y());
    copy_plane(u, half, picture.u(), picture.stride_uv());
    copy_plane(v, half, picture.v(), picture.stride_uv());
    Ok(())
}

fn copy_plane(to: &mut [u8], width: usize, from: &[u8], stride: usize) {
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
        to.copy_from_slice(&from[..width]);
    }
}
