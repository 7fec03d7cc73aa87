//! A source of pictures and what encodes them.
//!
//! Promises: the newest picture is encoded, in the mode that it has; memory that cannot be read is not asked for again. Refuses
//! what the source and the encoder refuse, in their words.

use std::time::{Duration, Instant};

use punktfunk_capture::{Counters, Mode, Source};
use punktfunk_engine::{Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait};

use super::{EncoderFalls, Encoding, Slice};

/// The source's name in faults.
const CAPTURE: &str = "capture";

/// A source with its encoder.
pub struct Pictures {
    source: Box<dyn Source>,
    encoding: Encoding,
    started: Instant,
    /// What the source had counted when the stream began.
    before: Counters,
    /// How often the source's pictures had come from elsewhere when one was last encoded.
    changes: u64,
    /// How often its pictures had come in memory where dmabufs were wished for, when that was last looked at.
    memory_falls: u64,
    /// Whether the source was told that nothing reads dmabufs.
    has_declined: bool,
}

impl Pictures {
    /// Fits a source to an encoder of its mode.
    pub fn new(source: Box<dyn Source>, encoding: Encoding) -> Self {
        let mut pictures = Self {
            before: source.counters(),
            changes: source.changes(),
            memory_falls: 0,
            has_declined: false,
            source,
            encoding,
            started: Instant::now(),
        };
        pictures.decline_unread();
        pictures
    }

    /// Has the source give memory where the encoder has nothing that reads dmabufs, or has not any more: each of them would
    /// cost a picture.
    fn decline_unread(&mut self) {
        if !self.encoding.reads_dmabufs() && !std::mem::replace(&mut self.has_declined, true) {
            self.source.decline_all();
        }
    }

    /// What takes another's place between the source and the wire, as it goes on.
    pub fn falls(&self) -> EncoderFalls {
        self.encoding.falls()
    }

    /// Lets the pictures begin at `started`, with nothing counted.
    pub fn restart(&mut self, started: Instant) {
        self.source.restart(started);
        self.before = self.source.counters();
        self.started = started;
    }
}

impl Encode for Pictures {
    type Slice = Slice;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        let ready = self.source.wait_picture(timeout).map_err(|error| StageFault::new(CAPTURE, error))?;
        Ok(if ready { Wait::Picture(Instant::now()) } else { Wait::Nothing })
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        self.encoding.follow_rate(request, Instant::now())?;
        let (refresh_mhz, changes) = (self.source.mode().refresh_mhz(), self.source.changes());
        let picture = match self.source.take_picture() {
            Ok(Some(picture)) => picture,
            Ok(None) => return Ok(EncodeOutcome::Skipped),
            Err(error) => return Err(StageFault::new(CAPTURE, error)),
        };
        let mode = Mode::new(picture.width, picture.height, refresh_mhz);
        self.encoding.follow_mode(mode.map_err(|error| StageFault::new(CAPTURE, error))?)?;
        // Nothing of another screen is worth a reference.
        let idr = request.idr || changes != self.changes;
        let request = EncodeRequest { idr, ..*request };
        self.changes = changes;
        // A picture that was waiting before the session's clock began is as old as the session.
        out.set_captured_at(picture.captured_at.max(self.started));
        out.set_number(picture.number);
        let (outcome, unread) = self.encoding.encode(&picture, &request, out)?;
        self.source.give_back();
        let memory_falls = self.source.counters().memory_falls;
        if std::mem::replace(&mut self.memory_falls, memory_falls) != memory_falls {
            let reason = if self.has_declined { "no-gpu" } else { "no-dmabufs" };
            self.encoding.falls().count("dmabuf", "memory", reason);
        }
        self.decline_unread();
        if let Some((fourcc, modifier)) = unread {
            self.source.decline(fourcc, modifier);
        }
        Ok(outcome)
    }

    fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        self.encoding.repeat(request, out)
    }

    fn leaves_out(&self) -> bool {
        self.encoding.leaves_out()
    }

    fn recycle(&mut self, slice: Slice) {
        self.encoding.recycle(slice);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use punktfunk_capture::{CaptureError, Picture};
    use punktfunk_control::Codec;

    use super::*;
    use crate::encode::coding::Coding;
    use crate::encode::{Encoders, PicturesConfig};

    /// A source that counts how often it is told to give no dmabufs.
    struct Told(Arc<AtomicUsize>);

    impl Source for Told {
        fn describe(&self) -> String {
            "a stand-in".to_owned()
        }

        fn mode(&self) -> Mode {
            Mode::new(64, 64, 60_000).unwrap()
        }

        fn wait_picture(&mut self, _timeout: Duration) -> Result<bool, CaptureError> {
            Ok(false)
        }

        fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
            Ok(None)
        }

        fn decline_all(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn skip(&mut self) {}

        fn counters(&self) -> Counters {
            Counters::default()
        }
    }

    #[test]
    fn a_source_is_told_once_and_before_any_picture_that_nothing_reads_dmabufs() {
        let told = Arc::new(AtomicUsize::new(0));
        let source = Box::new(Told(Arc::clone(&told)));
        let encoders = Arc::new(Encoders::default());
        let config = PicturesConfig {
            wire_kbps: 2_000,
            redundancy_per_mille: 0,
            shard_bytes: 1152,
            slices: 1,
            coding: Coding::usual(Codec::H264),
        };
        let (encoder, _) = encoders.open(source.mode(), config.payload_kbps(), &config).unwrap();
        let mut pictures = Pictures::new(source, Encoding::new(encoder, encoders, config));
        assert_eq!(told.load(Ordering::Relaxed), 1);
        pictures.decline_unread();
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
