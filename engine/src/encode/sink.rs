//! Where an encoder puts slices, and what goes on to the protect stage of each.
//!
//! Promises: a slice leaves while the next is being encoded, and comes home while its access unit is, to who asks. Refuses
//! more slices than were negotiated, and one after the last; it is given back.

use std::time::{Duration, Instant};

use punktfunk_perf::{Stage, Tap};
use punktfunk_proto::SessionClock;

use super::{Protect, StageFault};

/// One message to the protect stage.
#[derive(Debug)]
pub(crate) struct SliceItem<S> {
    pub(crate) au: u32,
    pub(crate) captured_at: Instant,
    /// When the slice could be read.
    pub(crate) ready_at: Instant,
    pub(crate) pts_us: u32,
    pub(crate) idr: bool,
    pub(crate) recovery_point: bool,
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// None closes an access unit whose end was learned late, or that was given up.
    pub(crate) slice: Option<S>,
    /// Nothing more comes of the access unit, and what came is of no use.
    pub(crate) given_up: bool,
}

/// Bytes of one picture that the CPU has written, by what for. What a device moves by itself is in none, nor what a
/// library does inside; how a picture came out of its producer's buffer is its source's to tell ([`super::SourceCounts`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuCopies {
    /// To make it the encoder's: a conversion's result, or an upload.
    pub import: u64,
    /// Out of the encoder's memory.
    pub slices: u64,
}

/// Where an encoder puts the slices of one access unit as they are finished.
pub struct SliceSink<'a, S> {
    pub(super) ring: &'a mut rtrb::Producer<SliceItem<S>>,
    pub(super) home: &'a mut rtrb::Consumer<S>,
    pub(super) protect: &'a mut Protect<S>,
    pub(super) tap: &'a mut Tap,
    pub(super) au: u32,
    pub(super) captured_at: Instant,
    /// When the encoder was given the picture.
    pub(super) began: Instant,
    pub(super) clock: SessionClock,
    pub(super) slices_max: u16,
    pub(super) slices: u16,
    /// Slices that came home here, of whichever access unit.
    pub(super) taken_home: usize,
    pub(super) idr: bool,
    /// Whether the request named something to recover from.
    pub(super) may_recover: bool,
    pub(super) recovery_point: bool,
    pub(super) closed: bool,
    pub(super) bytes: u64,
    pub(super) import: Duration,
    pub(super) copies: CpuCopies,
    pub(super) number: Option<u64>,
    pub(super) ready_at: Option<Instant>,
}

impl<S: AsRef<[u8]>> SliceSink<'_, S> {
    /// Hands on one finished slice. `idr` must be the same for all slices of an access unit, `last` ends
    /// it.
    ///
    /// # Errors
    /// More slices than negotiated, or one after the last; the slice is given back.
    pub fn push(&mut self, slice: S, idr: bool, last: bool) -> Result<(), (S, StageFault)> {
        if self.closed || self.slices == self.slices_max {
            let fault = format!(
                "the encoder gave more than the {} slices negotiated for access unit {}",
                self.slices_max, self.au
            );
            return Err((slice, StageFault::new("encode", fault)));
        }
        let bytes = slice.as_ref().len() as u64;
        let ready_at = self.ready_at.take().unwrap_or_else(Instant::now);
        self.idr = idr;
        let item = self.item(Some(slice), ready_at, last);
        match self.ring.push(item) {
            Ok(()) => {
                self.bytes += bytes;
                self.slices += 1;
                self.closed = last;
                self.tap.record(Stage::SliceReady, ready_at.saturating_duration_since(self.began));
                self.protect.hand_on();
                Ok(())
            }
            Err(rtrb::PushError::Full(item)) => {
                let slice = item.slice.expect("the item was built with this slice just above");
                Err((slice, StageFault::new("encode", "the ring to the protect stage is full")))
            }
        }
    }

    /// A slice that the protect stage is done with, of this access unit or one before: whose memory must be unlocked
    /// before the encoder can go on gets it here. What is not taken goes to [`super::Encode::recycle`].
    pub fn take_home(&mut self) -> Option<S> {
        let slice = self.home.pop().ok()?;
        self.taken_home += 1;
        Some(slice)
    }

    /// Says that this access unit refers to nothing of what [`super::EncodeRequest::lost`] names, nor to any access unit
    /// since, and that none after it will. Before the first slice; without effect on an IDR, and where nothing was named.
    pub fn set_recovery_point(&mut self) {
        self.recovery_point = self.may_recover;
    }

    /// Whether a slice of this access unit was handed on.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.slices > 0
    }

    /// Replaces the stamp that [`super::Encode::wait_picture`] gave by the picture's own. Before the first slice.
    pub fn set_captured_at(&mut self, captured_at: Instant) {
        self.captured_at = captured_at;
    }

    /// Says which of its source's pictures this is, counted as they were captured: a gap is pictures that were passed over,
    /// because a newer one came or load was shed.
    pub fn set_number(&mut self, number: u64) {
        self.number = Some(number);
    }

    /// Says how much of the time was spent on making the picture the encoder's: import or colour conversion.
    pub fn set_import(&mut self, import: Duration) {
        self.import = import;
    }

    /// Says how long a GPU was at work on the conversion, by its own stamps.
    pub fn set_convert(&mut self, convert: Duration) {
        self.tap.record(Stage::Convert, convert);
    }

    /// Says how long the call took that gives the picture to the encoder.
    pub fn set_submit(&mut self, submit: Duration) {
        self.tap.record(Stage::Submit, submit);
    }

    /// Says since when the slice that is pushed next can be read; without this, since it is pushed.
    pub fn set_slice_ready(&mut self, ready_at: Instant) {
        self.ready_at = Some(ready_at);
    }

    /// Says how long the encoder's output memory was locked, once it is not any more, whichever access unit it held.
    pub fn set_lock(&mut self, held: Duration) {
        self.tap.record(Stage::Lock, held);
    }

    /// Adds what the CPU has copied of this picture.
    pub fn add_copies(&mut self, copies: CpuCopies) {
        self.copies.import += copies.import;
        self.copies.slices += copies.slices;
    }

    fn item(&self, slice: Option<S>, ready_at: Instant, last: bool) -> SliceItem<S> {
        SliceItem {
            au: self.au,
            captured_at: self.captured_at,
            ready_at,
            pts_us: self.clock.pts(self.captured_at),
            idr: self.idr,
            recovery_point: self.recovery_point && !self.idr,
            first: self.slices == 0,
            last,
            slice,
            given_up: false,
        }
    }

    /// Closes an access unit that the encoder left open: with its end, or, where what came `is_sound` no picture, without.
    pub(super) fn close(&mut self, is_sound: bool) {
        if self.slices > 0 && !self.closed {
            let item = SliceItem { given_up: !is_sound, ..self.item(None, Instant::now(), true) };
            // The ring holds one place more for each access unit than its slices take.
            self.closed = self.ring.push(item).is_ok();
            self.protect.hand_on();
        }
    }
}
