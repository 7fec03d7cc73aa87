//! What is read of the picture that is encoded: looks at its buffer, and slices out of it.
//!
//! Promises: what a look says is judged before anything is lent by it. Where a picture is done and none of it was given, it
//! is given in one piece if its slices are told wrong, which is counted. Refuses: to lock a picture again that is done.

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::{Live, Output};
use crate::config::Readback;
use crate::cuts::Report;
use crate::error::{Nonsense, NvencError};
use crate::home::Slice;
use crate::limits::{HOME_MAX, PICTURE_MAX, POLL};
use crate::sys::*;

/// The status of a picture that is done, as the driver has it in [`NV_ENC_LOCK_BITSTREAM`].
const HW_DONE: u32 = 2;

/// What a lock said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    slices: u32,
    bytes: u32,
    is_complete: bool,
    kind: NV_ENC_PIC_TYPE,
    qp: u32,
}

impl Look {
    /// What it says of the slices, whose number was checked.
    fn report<'a>(&self, offsets: &'a [u32]) -> Report<'a> {
        let told = offsets.get(..self.slices as usize).unwrap_or_default();
        Report::new(told, self.bytes, self.is_complete)
    }
}

/// What came of asking for a slice.
#[derive(Debug)]
pub(crate) enum Next {
    Slice {
        slice: Slice,
        is_last: bool,
    },
    /// Nothing yet.
    Nothing,
    /// Nothing before what was lent is home.
    Lent,
    Done {
        kind: NV_ENC_PIC_TYPE,
        qp: u32,
        bytes: u32,
        slices: u32,
        early: u32,
        locked: Duration,
    },
}

impl Live {
    /// The next finished slice, or what there is instead within `patience`.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Next, NvencError> {
        let until = Instant::now() + patience;
        loop {
            if let Some(next) = self.cut()? {
                return Ok(next);
            }
            let left = until.saturating_duration_since(Instant::now());
            if !self.let_go(left)? {
                return Ok(Next::Lent);
            }
            if self.look()? {
                continue;
            }
            let began = self.flight.as_ref().map(|flight| flight.began);
            if began.is_some_and(|began| began.elapsed() > PICTURE_MAX) {
                return Err(NvencError::Stuck);
            }
            if Instant::now() >= until {
                return Ok(Next::Nothing);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Out of what the last lock said: a slice, or that it is done. None where one must look again.
    fn cut(&mut self) -> Result<Option<Next>, NvencError> {
        let Some(flight) = self.flight.as_mut() else {
            return Err(NvencError::Request { what: "a slice where no picture is encoded" });
        };
        let Some(look) = flight.locked else { return Ok(None) };
        if let Some((range, is_last)) = flight.cuts.next(&look.report(&self.offsets)) {
            let Output::Locked(locked) = &self.outputs[flight.output] else { return Ok(None) };
            flight.early += u32::from(!look.is_complete);
            return Ok(locked.lend(range).map(|slice| Next::Slice { slice, is_last }));
        }
        if !look.is_complete {
            return Ok(None);
        }
        let (slices, early, at) = (flight.cuts.slices(), flight.early, flight.output);
        let unmapped = self.unmap();
        let unlocked = self.unlock(at);
        unmapped.and(unlocked)?;
        let Look { kind, qp, bytes, .. } = look;
        let locked = std::mem::take(&mut self.locked);
        Ok(Some(Next::Done { kind, qp, bytes, slices, early, locked }))
    }

    /// The encoder is done with the picture's input.
    fn unmap(&mut self) -> Result<(), NvencError> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let encoder = &*self.encoder;
        let _current = encoder.enter()?;
        flight.mapped.unmap(encoder)
    }

    /// Ends the lock on the picture that is encoded, when its slices are home; whether that was within `patience`.
    fn let_go(&mut self, patience: Duration) -> Result<bool, NvencError> {
        let Some(at) = self.flight.as_ref().map(|flight| flight.output) else { return Ok(true) };
        if let Output::Locked(locked) = &self.outputs[at]
            && !locked.home().wait(patience)
        {
            return Ok(false);
        }
        let is_open = self.unlock(at)?;
        if let Some(flight) = self.flight.as_mut() {
            flight.locked = None;
        }
        Ok(is_open)
    }

    /// Locks the picture's buffer; whether there is anything new. It stays locked only then.
    fn look(&mut self) -> Result<bool, NvencError> {
        let Some(mut look) = self.lock_output()? else { return Ok(false) };
        if !look.is_complete && self.readback != Readback::SubFrame {
            self.let_go(Duration::ZERO)?;
            return Ok(false);
        }
        let Some(flight) = self.flight.as_mut() else { return Ok(false) };
        let hostile = |what| NvencError::Hostile { call: "nvEncLockBitstream", what };
        let most = u32::try_from(self.offsets.len()).unwrap_or(u32::MAX);
        let told = if look.slices > most {
            Err(Nonsense::Count { got: look.slices, most })
        } else {
            flight.cuts.check(&look.report(&self.offsets))
        };
        match told {
            Ok(()) => {}
            // All of it is there, and none of it was given: where it could be cut is not needed.
            Err(Nonsense::Offset { .. } | Nonsense::Count { .. })
                if look.is_complete && flight.cuts.slices() == 0 =>
            {
                look.slices = 0;
                flight.cuts.check(&look.report(&self.offsets)).map_err(hostile)?;
                self.uncut += 1;
            }
            Err(what) => return Err(hostile(what)),
        }
        if look.is_complete && self.lock.outputTimeStamp != flight.number {
            let (got, expected) = (self.lock.outputTimeStamp, flight.number);
            return Err(hostile(Nonsense::Picture { got, expected }));
        }
        // A copy tells whether there is a part, and the flight's own gives it out.
        let mut ahead = flight.cuts;
        let is_new = look.is_complete || ahead.next(&look.report(&self.offsets)).is_some();
        flight.locked = Some(look);
        if is_new {
            return Ok(true);
        }
        self.let_go(Duration::ZERO)?;
        Ok(false)
    }

    /// Locks it, and reads what the driver says; none where it is busy.
    fn lock_output(&mut self) -> Result<Option<Look>, NvencError> {
        let call = "nvEncLockBitstream";
        let hostile = |what| NvencError::Hostile { call, what };
        let Some(flight) = self.flight.as_ref() else { return Ok(None) };
        let encoder = &*self.encoder;
        let at = flight.output;
        let Output::Open(open) = &self.outputs[at] else { return Ok(None) };
        let _current = encoder.enter()?;
        self.lock.flags = 0;
        NV_ENC_LOCK_BITSTREAM::doNotWait.set(&mut self.lock.flags, u32::from(!self.waits));
        self.lock.outputBitstream = open.raw();
        self.lock.sliceOffsets = self.offsets.as_mut_ptr();
        (self.lock.numSlices, self.lock.hwEncodeStatus, self.lock.bitstreamSizeInBytes) = (0, 0, 0);
        self.lock.bitstreamBufferPtr = std::ptr::null_mut();
        // SAFETY: the buffer is this session's and not locked; there is room for as many offsets as the picture has blocks.
        match unsafe { encoder.lock(&mut self.lock) } {
            NV_ENC_SUCCESS => {}
            NV_ENC_ERR_LOCK_BUSY => return Ok(None),
            status => return Err(encoder.failed(call, status)),
        }
        let Output::Open(open) = std::mem::replace(&mut self.outputs[at], Output::Gone) else {
            return Ok(None);
        };
        let is_complete = self.waits || self.lock.hwEncodeStatus == HW_DONE;
        if let Some(flight) = self.flight.as_mut() {
            flight.is_done = is_complete;
        }
        let bytes = self.lock.bitstreamSizeInBytes;
        let sane = bytes.min(self.bytes_max);
        let begin = NonNull::new(self.lock.bitstreamBufferPtr.cast::<u8>());
        // SAFETY: it is locked now. Where the driver gives no address, no bytes are.
        let locked = unsafe { open.locked(begin.unwrap_or(NonNull::dangling()), begin.map_or(0, |_| sane)) };
        self.outputs[at] = Output::Locked(locked);
        // Whole pictures are there or not: one that is neither is asked for so that the answer is sure.
        self.waits |= !is_complete && self.readback != Readback::SubFrame;
        if bytes > self.bytes_max {
            return Err(hostile(Nonsense::Size { got: bytes, most: self.bytes_max }));
        }
        if begin.is_none() && bytes > 0 {
            return Err(hostile(Nonsense::Null));
        }
        let is_split = matches!(self.readback, Readback::Split { .. });
        Ok(Some(Look {
            slices: if is_split { 0 } else { self.lock.numSlices },
            bytes,
            is_complete,
            kind: self.lock.pictureType,
            qp: self.lock.frameAvgQP,
        }))
    }

    /// Gives the picture up that is encoded: waits for its slices, and `patience` for the encoder, and forgets it.
    ///
    /// # Errors
    /// The session is of no use any more.
    pub(crate) fn abandon(&mut self, patience: Duration) -> Result<(), NvencError> {
        if !self.let_go(HOME_MAX)? {
            return Err(NvencError::StillLent);
        }
        // The encoder must be done before its input may be written to again.
        let until = Instant::now() + patience;
        while self.flight.as_ref().is_some_and(|flight| !flight.is_done) {
            match self.lock_output() {
                Err(NvencError::Hostile { .. }) | Ok(Some(_)) => _ = self.let_go(HOME_MAX)?,
                Ok(None) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > until {
                return Err(NvencError::Stuck);
            }
            std::thread::sleep(POLL);
        }
        self.unmap()
    }
}
