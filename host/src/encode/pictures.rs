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
}

impl Pictures {
    /// Fits a source to an encoder of its mode.
    pub fn new(source: Box<dyn Source>, encoding: Encoding) -> Self {
        Self {
            before: source.counters(),
            changes: source.changes(),
            memory_falls: 0,
            source,
            encoding,
            started: Instant::now(),
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
            self.encoding.falls().count("dmabuf", "memory", "no-dmabufs");
        }
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
