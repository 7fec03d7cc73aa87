//! Where an encoder puts slices, and what goes on to the protect stage of each.
//!
//! Promises: a slice leaves while the next is being encoded. Refuses more slices than were negotiated, and one after the
//! last; it is given back.

use std::time::{Duration, Instant};

use punktfunk_proto::SessionClock;

use super::{Protect, StageFault};

/// One message to the protect stage.
#[derive(Debug)]
pub(crate) struct SliceItem<S> {
    pub(crate) au: u32,
    pub(crate) captured_at: Instant,
    pub(crate) pts_us: u32,
    pub(crate) idr: bool,
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// None closes an access unit whose end was learned late.
    pub(crate) slice: Option<S>,
}

/// Where an encoder puts the slices of one access unit as they are finished.
pub struct SliceSink<'a, S> {
    pub(super) ring: &'a mut rtrb::Producer<SliceItem<S>>,
    pub(super) protect: &'a mut Protect<S>,
    pub(super) au: u32,
    pub(super) captured_at: Instant,
    pub(super) clock: SessionClock,
    pub(super) slices_max: u16,
    pub(super) slices: u16,
    pub(super) idr: bool,
    pub(super) closed: bool,
    pub(super) bytes: u64,
    pub(super) import: Duration,
    pub(super) number: Option<u64>,
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
        self.bytes += slice.as_ref().len() as u64;
        self.idr = idr;
        let item = self.item(Some(slice), last);
        match self.ring.push(item) {
            Ok(()) => {
                self.slices += 1;
                self.closed = last;
                self.protect.hand_on();
                Ok(())
            }
            Err(rtrb::PushError::Full(item)) => {
                let slice = item.slice.expect("the item was built with this slice just above");
                Err((slice, StageFault::new("encode", "the ring to the protect stage is full")))
            }
        }
    }

    /// Replaces the stamp that [`Encode::wait_picture`] gave by the picture's own. Before the first slice.
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

    fn item(&self, slice: Option<S>, last: bool) -> SliceItem<S> {
        SliceItem {
            au: self.au,
            captured_at: self.captured_at,
            pts_us: self.clock.pts(self.captured_at),
            idr: self.idr,
            first: self.slices == 0,
            last,
            slice,
        }
    }

    /// Closes an access unit that the encoder left open.
    pub(super) fn close(&mut self) {
        if self.slices > 0 && !self.closed {
            let item = self.item(None, true);
            // The ring holds one place more for each access unit than its slices take.
            self.closed = self.ring.push(item).is_ok();
            self.protect.hand_on();
        }
    }
}
