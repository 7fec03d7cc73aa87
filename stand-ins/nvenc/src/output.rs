//! Output buffers: what is in them, and whether the caller may look.

use punktfunk_nvenc::sys::*;

use crate::memory::Memory;
use crate::status::{Answer, Refused, require};

/// How far a buffer's picture has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No picture, or one that has been read.
    Idle,
    /// Taken, and encoded once another comes.
    Held,
    /// Waits for the encoder, or is at work.
    Encoding,
    Done,
    /// It did not fit.
    Full,
}

/// What a picture's lock answers beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) time_stamp: u64,
    pub(crate) duration: u64,
    pub(crate) frame_idx: u32,
    pub(crate) kind: NV_ENC_PIC_TYPE,
    /// Macroblocks written whole, and copied; known at the end.
    pub(crate) blocks: (u32, u32),
}

/// An output buffer.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) handle: usize,
    memory: Memory,
    pub(crate) progress: Progress,
    /// While it is locked: whether the picture was whole when that began.
    locked: Option<bool>,
    /// Where each slice that is there begins.
    offsets: Vec<u32>,
    /// That are there: whole slices, and what precedes them.
    bytes: usize,
    /// Whether a slice of the picture was shown before the picture was done.
    is_begun: bool,
    facts: Option<Facts>,
}

impl Output {
    pub(crate) fn new(handle: usize, bytes: usize) -> Answer<Self> {
        let memory = Memory::new(bytes)?;
        Ok(Self {
            handle,
            memory,
            progress: Progress::Idle,
            locked: None,
            offsets: Vec::with_capacity(64),
            bytes: 0,
            is_begun: false,
            facts: None,
        })
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.locked.is_some()
    }

    /// Whether a picture may be encoded into it.
    pub(crate) fn check_free(&self) -> Answer {
        require(self.locked.is_none(), NV_ENC_ERR_INVALID_CALL, || "outputBitstream is locked".to_owned())?;
        require(self.progress == Progress::Idle, NV_ENC_ERR_INVALID_CALL, || {
            format!("outputBitstream has a picture that was not read to its end: {:?}", self.progress)
        })
    }

    /// A picture is to be encoded into it.
    pub(crate) fn begin(&mut self, progress: Progress, facts: Facts) {
        self.progress = progress;
        self.offsets.clear();
        self.bytes = 0;
        self.is_begun = false;
        self.facts = Some(facts);
    }

    /// Puts a part of the picture behind what is there.
    pub(crate) fn append(&mut self, is_slice: bool, bytes: &[u8]) {
        if self.progress == Progress::Full {
            return;
        }
        if !self.memory.write(self.bytes, bytes) {
            self.progress = Progress::Full;
            return;
        }
        if is_slice {
            self.offsets.push(self.bytes as u32);
        }
        self.bytes += bytes.len();
    }

    /// The picture is whole.
    pub(crate) fn end(&mut self, blocks: (u32, u32)) {
        if self.progress == Progress::Encoding {
            self.progress = Progress::Done;
        }
        if let Some(facts) = &mut self.facts {
            facts.blocks = blocks;
        }
    }

    /// Says why it cannot be locked at all.
    pub(crate) fn check_lockable(&self) -> Answer {
        require(self.locked.is_none(), NV_ENC_ERR_INVALID_CALL, || {
            "the buffer is locked already".to_owned()
        })?;
        match self.progress {
            Progress::Idle => {
                Refused::breach(NV_ENC_ERR_INVALID_PARAM, "nothing was encoded into the buffer")
            }
            Progress::Held => Refused::breach(
                NV_ENC_ERR_INVALID_CALL,
                "the encoder said that it needs more input for this buffer",
            ),
            Progress::Full => Refused::world(
                NV_ENC_ERR_NOT_ENOUGH_BUFFER,
                format!("the picture is larger than the buffer's {} bytes", self.memory.bytes()),
            ),
            Progress::Encoding | Progress::Done => Ok(()),
        }
    }

    /// Whether a lock comes between slices: some were shown, and the picture is not done.
    pub(crate) fn is_between_slices(&self) -> bool {
        self.is_begun && self.progress == Progress::Encoding
    }

    /// Slices that are there.
    pub(crate) fn slices(&self) -> usize {
        self.offsets.len()
    }

    /// Locks it and answers.
    pub(crate) fn lock(&mut self, params: &mut NV_ENC_LOCK_BITSTREAM, report_offsets: bool) {
        if report_offsets && !params.sliceOffsets.is_null() {
            let (offsets, count) = (self.offsets.as_ptr(), self.offsets.len());
            // SAFETY: the caller's array has room for as many slices as a picture has macroblocks; there are no more.
            unsafe { std::ptr::copy_nonoverlapping(offsets, params.sliceOffsets, count) };
        }
        self.memory.open(true);
        self.is_begun |= !self.offsets.is_empty();
        self.locked = Some(self.progress == Progress::Done);
        params.numSlices = if report_offsets { self.offsets.len() as u32 } else { 0 };
        params.bitstreamSizeInBytes = self.bytes as u32;
        params.bitstreamBufferPtr = self.memory.address();
        params.hwEncodeStatus = match self.progress {
            Progress::Done => 2,
            _ if self.bytes > 0 => 1,
            _ => 0,
        };
        params.pictureStruct = NV_ENC_PIC_STRUCT_FRAME;
        params.frameAvgQP = 20;
        if let Some(facts) = &self.facts {
            params.outputTimeStamp = facts.time_stamp;
            params.outputDuration = facts.duration;
            params.frameIdx = facts.frame_idx;
            params.frameIdxDisplay = facts.frame_idx;
            params.pictureType = facts.kind;
            if NV_ENC_LOCK_BITSTREAM::getRCStats.of(params.flags) == 1 {
                (params.intraMBCount, params.interMBCount) = facts.blocks;
            }
        }
    }

    /// Unlocks it; a picture that was whole is read then.
    pub(crate) fn unlock(&mut self) -> Answer {
        let Some(was_whole) = self.locked.take() else {
            return Refused::breach(NV_ENC_ERR_INVALID_CALL, "the buffer is not locked");
        };
        self.memory.open(false);
        if was_whole {
            self.progress = Progress::Idle;
        }
        Ok(())
    }
}
