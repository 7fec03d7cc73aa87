//! A session that is initialised: the encoder, its output buffers and inputs, and the one picture that is in it.
//!
//! Promises: register → map → encode → lock, in that order; then the input is unmapped, as soon as the picture is done, and the
//! output is unlocked, as soon as its slices are home, whatever fails in between. When it goes, the encoder is flushed first,
//! and then nothing of it is locked, mapped or registered any more. Where slices are still out after [`HOME_MAX`], their memory
//! is left to the driver for good, and so are the session and its inputs.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use crate::config::{Config, Plan, Readback};
use crate::cuts::{Cuts, Report};
use crate::encoder::Encoder;
use crate::error::{Nonsense, NvencError};
use crate::home::{Kept, Locked, Open, Slice};
use crate::input::{Input, Inputs, Mapped};
use crate::limits::{
    BUSY_MAX, BUSY_PAUSE, FLUSH_MAX, HOME_MAX, OUTPUT_PER_INPUT, OUTPUTS, PICTURE_MAX, POLL,
};
use crate::parameters;
use crate::picture::{Metadata, Wanted, describe};
use crate::sys::*;

/// The status of a picture that is done, as the driver has it in [`NV_ENC_LOCK_BITSTREAM`].
const HW_DONE: u32 = 2;

/// An output buffer.
#[derive(Debug)]
enum Output {
    Open(Open),
    Locked(Locked),
    /// Between two states; a fault in between leaves it so.
    Gone,
}

/// The picture that is encoded.
#[derive(Debug)]
struct Flight {
    output: usize,
    mapped: Mapped,
    number: u64,
    cuts: Cuts,
    began: Instant,
    /// What the last lock said, while it is locked.
    locked: Option<Look>,
    /// Slices that were given before it was done.
    early: u32,
    /// Whether a lock has said that it is done: then it is never locked again.
    is_done: bool,
}

/// What a lock said.
#[derive(Debug, Clone, Copy)]
struct Look {
    slices: usize,
    bytes: u32,
    is_complete: bool,
    kind: NV_ENC_PIC_TYPE,
    qp: u32,
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

/// An initialised session.
pub(crate) struct Live {
    outputs: [Output; OUTPUTS],
    inputs: Inputs,
    flight: Option<Flight>,
    picture: Box<NV_ENC_PIC_PARAMS>,
    lock: Box<NV_ENC_LOCK_BITSTREAM>,
    offsets: Box<[u32]>,
    metadata: Option<Box<Metadata>>,
    readback: Readback,
    /// How many a picture has, where the driver keeps to what it is told.
    slices: Option<u32>,
    bytes_max: u32,
    busy: u64,
    /// Whether a lock waits in the driver, which does not say otherwise when a whole picture is done.
    waits: bool,
    /// How long output was locked since a picture was done the last time.
    locked: Duration,
    /// Whether a picture was handed in.
    has_encoded: bool,
    /// It goes after all that is made of it, or is left to the driver.
    encoder: ManuallyDrop<Encoder>,
}

// SAFETY: the pointers in it are the driver's handles and addresses of its own boxes; it is not `Sync`.
unsafe impl Send for Live {}

impl Live {
    /// Initialises `encoder`.
    pub(crate) fn start(encoder: Encoder, config: &Config, plan: &Plan) -> Result<Live, NvencError> {
        let api = encoder.api();
        let size = plan.size_max.unwrap_or((config.width, config.height));
        // As the header asks for: as many as the picture has blocks.
        let blocks = size.0.div_ceil(16) as usize * size.1.div_ceil(16) as usize;
        let raw = config.format.row_bytes(size.0) as u64 * config.format.rows(size.1) as u64;
        let mut live = Live {
            outputs: std::array::from_fn(|_| Output::Gone),
            inputs: Inputs::new(api),
            flight: None,
            picture: api.fresh(),
            lock: api.fresh(),
            offsets: vec![0; blocks.max(plan.slices as usize)].into_boxed_slice(),
            metadata: config.hdr.map(|hdr| Metadata::new(hdr, config.codec)),
            readback: plan.readback,
            slices: exact_slices(plan),
            bytes_max: u32::try_from(OUTPUT_PER_INPUT * raw + (1 << 16)).unwrap_or(u32::MAX),
            busy: 0,
            waits: false,
            locked: Duration::ZERO,
            has_encoded: false,
            encoder: ManuallyDrop::new(encoder),
        };
        live.initialize(config, plan)?;
        Ok(live)
    }

    fn initialize(&mut self, config: &Config, plan: &Plan) -> Result<(), NvencError> {
        let encoder = &*self.encoder;
        let _current = encoder.enter()?;
        let mut chosen = encoder.preset(config.codec)?;
        parameters::configure(config, plan, encoder.api(), &mut chosen);
        let mut params = encoder.api().fresh::<NV_ENC_INITIALIZE_PARAMS>();
        parameters::initialize(config, plan, &mut params);
        params.encodeConfig = &raw mut *chosen;
        // SAFETY: the configuration lives until behind the call.
        unsafe { encoder.initialize(&mut params) }?;
        encoder.follow_stream()?;
        for output in &mut self.outputs {
            *output = Output::Open(Open::new(encoder.create_output()?));
        }
        Ok(())
    }

    pub(crate) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// How often the encoder was busy.
    pub(crate) fn busy(&self) -> u64 {
        self.busy
    }

    /// Whether the driver has to be waited for without a bound.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    pub(crate) fn is_encoding(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether what the last lock said was of a picture that is not done.
    pub(crate) fn is_partial(&self) -> bool {
        self.readback == Readback::SubFrame && self.flight.as_ref().is_some_and(|flight| !flight.is_done)
    }

    pub(crate) fn register(&mut self, input: &Input) -> Result<(), NvencError> {
        let encoder = &*self.encoder;
        let _current = encoder.enter()?;
        self.inputs.register(encoder, input).map(|_| ())
    }

    pub(crate) fn parameter_sets(&self) -> Result<Vec<u8>, NvencError> {
        let encoder = &*self.encoder;
        let _current = encoder.enter()?;
        encoder.parameter_sets()
    }

    pub(crate) fn invalidate(&self, picture: u64) -> Result<(), NvencError> {
        let encoder = &*self.encoder;
        let _current = encoder.enter()?;
        encoder.invalidate(picture)
    }

    /// Tells the driver of another configuration.
    pub(crate) fn reconfigure(
        &mut self,
        config: &Config,
        plan: &Plan,
        is_other_size: bool,
    ) -> Result<(), NvencError> {
        let encoder = &*self.encoder;
        let _current = encoder.enter()?;
        let api = encoder.api();
        let mut chosen = encoder.preset(config.codec)?;
        parameters::configure(config, plan, api, &mut chosen);
        let mut change = api.fresh::<NV_ENC_RECONFIGURE_PARAMS>();
        let params = &mut change.reInitEncodeParams;
        params.version = api.version_of::<NV_ENC_INITIALIZE_PARAMS>();
        parameters::initialize(config, plan, params);
        params.encodeConfig = &raw mut *chosen;
        let mut flags = 0;
        NV_ENC_RECONFIGURE_PARAMS::resetEncoder.set(&mut flags, u32::from(is_other_size));
        NV_ENC_RECONFIGURE_PARAMS::forceIDR.set(&mut flags, u32::from(is_other_size));
        change.set_flags(api, flags);
        // SAFETY: the configuration lives until behind the call.
        unsafe { encoder.reconfigure(&mut change) }?;
        if self.flight.is_none() {
            self.inputs.retain(encoder, config.format, config.width, config.height);
        }
        self.slices = exact_slices(plan);
        Ok(())
    }

    /// Hands a picture in.
    pub(crate) fn begin(
        &mut self,
        input: &Input,
        wanted: &Wanted,
        config: &Config,
        holds_back: bool,
    ) -> Result<(), NvencError> {
        debug_assert!(self.flight.is_none(), "one at a time");
        let output = self.free_output()?;
        let Output::Open(open) = &self.outputs[output] else { return Err(NvencError::StillLent) };
        let target = open.raw();
        let encoder = &*self.encoder;
        let _current = encoder.enter()?;
        let mapped = self.inputs.map(encoder, input)?;
        describe(&mut self.picture, wanted, config, encoder.api(), self.metadata.as_deref_mut());
        self.picture.inputBuffer = mapped.raw();
        self.picture.outputBitstream = target;
        let began = Instant::now();
        self.has_encoded = true;
        let status = loop {
            // SAFETY: input and output are this session's; the payloads are `self.metadata`'s.
            let status = unsafe { encoder.encode(&mut self.picture) };
            if status != NV_ENC_ERR_ENCODER_BUSY || began.elapsed() > BUSY_MAX {
                break status;
            }
            self.busy += 1;
            std::thread::sleep(BUSY_PAUSE);
        };
        if status != NV_ENC_SUCCESS {
            let error = encoder.failed("nvEncEncodePicture", status);
            // The driver takes no hold of what it refused; a second error says less than the first.
            drop(mapped.unmap(encoder));
            return Err(error);
        }
        // Where blocks are refreshed, the driver cuts as that needs.
        let cuts = Cuts::new(self.slices.filter(|_| wanted.refresh == 0 && !holds_back));
        self.flight = Some(Flight {
            output,
            mapped,
            number: wanted.number,
            cuts,
            began,
            locked: None,
            early: 0,
            is_done: false,
        });
        Ok(())
    }

    /// A buffer that nobody reads: one whose slices have come home, or the first whose slices do.
    fn free_output(&mut self) -> Result<usize, NvencError> {
        self.reap()?;
        let is_open = |output: &Output| matches!(output, Output::Open(_));
        if let Some(at) = self.outputs.iter().position(is_open) {
            return Ok(at);
        }
        let until = Instant::now() + HOME_MAX;
        while Instant::now() < until {
            for output in &self.outputs {
                if let Output::Locked(locked) = output {
                    locked.home().wait(Duration::from_millis(1));
                }
            }
            self.reap()?;
            if let Some(at) = self.outputs.iter().position(is_open) {
                return Ok(at);
            }
        }
        Err(NvencError::StillLent)
    }

    /// Unlocks every buffer of a finished picture whose slices are home.
    pub(crate) fn reap(&mut self) -> Result<(), NvencError> {
        let busy = self.flight.as_ref().map(|flight| flight.output);
        for at in (0..OUTPUTS).filter(|at| Some(*at) != busy) {
            self.unlock(at)?;
        }
        Ok(())
    }

    /// Unlocks one buffer, if it is locked and its slices are home; whether it is open now.
    fn unlock(&mut self, at: usize) -> Result<bool, NvencError> {
        let encoder = &*self.encoder;
        let is_home = matches!(&self.outputs[at], Output::Locked(locked) if locked.home().is_full());
        if !is_home {
            return Ok(matches!(self.outputs[at], Output::Open(_)));
        }
        let _current = encoder.enter()?;
        let Output::Locked(locked) = std::mem::replace(&mut self.outputs[at], Output::Gone) else {
            return Ok(false);
        };
        self.locked += locked.held();
        let (output, result) = match locked.unlock(encoder) {
            Ok(open) => (Output::Open(open), Ok(true)),
            Err(Kept::Lent(locked)) => (Output::Locked(locked), Ok(false)),
            Err(Kept::Refused(open, error)) => (Output::Open(open), Err(error)),
        };
        self.outputs[at] = output;
        result
    }

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
        let report = Report::new(&self.offsets[..look.slices], look.bytes, look.is_complete);
        if let Some((range, is_last)) = flight.cuts.next(&report) {
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
        let Some(look) = self.lock_output()? else { return Ok(false) };
        if !look.is_complete && self.readback != Readback::SubFrame {
            self.let_go(Duration::ZERO)?;
            return Ok(false);
        }
        let Some(flight) = self.flight.as_mut() else { return Ok(false) };
        let report = Report::new(&self.offsets[..look.slices], look.bytes, look.is_complete);
        let hostile = |what| NvencError::Hostile { call: "nvEncLockBitstream", what };
        flight.cuts.check(&report).map_err(hostile)?;
        if look.is_complete && self.lock.outputTimeStamp != flight.number {
            let (got, expected) = (self.lock.outputTimeStamp, flight.number);
            return Err(hostile(Nonsense::Picture { got, expected }));
        }
        // A copy tells whether there is a part, and the flight's own gives it out.
        let mut ahead = flight.cuts;
        let is_new = look.is_complete || ahead.next(&report).is_some();
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
        let (got, most) = (self.lock.numSlices, u32::try_from(self.offsets.len()).unwrap_or(u32::MAX));
        if got > most {
            return Err(hostile(Nonsense::Count { got, most }));
        }
        Ok(Some(Look {
            slices: if matches!(self.readback, Readback::Split { .. }) { 0 } else { got as usize },
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

/// How many slices each picture has, where that is sure.
fn exact_slices(plan: &Plan) -> Option<u32> {
    (plan.readback == Readback::SubFrame && plan.refresh.is_none()).then_some(plan.slices)
}

impl Live {
    /// Tells the encoder that no picture follows, as the header asks for before anything of it is freed; what is left of a
    /// picture comes out, where it does so at once.
    fn flush(&mut self) {
        let encoder = &*self.encoder;
        let Ok(current) = encoder.enter() else { return };
        *self.picture = *encoder.api().fresh();
        self.picture.encodePicFlags = NV_ENC_PIC_FLAG_EOS.0;
        // SAFETY: it names no buffers. One that refuses is taken down all the same.
        unsafe { encoder.encode(&mut self.picture) };
        drop(current);
        drop(self.abandon(FLUSH_MAX));
    }

    /// Undoes all that was made of the encoder.
    fn take_down(&mut self) {
        if self.has_encoded {
            self.flush();
        }
        let encoder = &*self.encoder;
        let Ok(_current) = encoder.enter() else { return };
        for output in &mut self.outputs {
            let open = match std::mem::replace(output, Output::Gone) {
                Output::Open(open) => open,
                Output::Locked(locked) => match locked.unlock(encoder) {
                    Ok(open) | Err(Kept::Refused(open, _)) => open,
                    Err(Kept::Lent(_)) => continue,
                },
                Output::Gone => continue,
            };
            // SAFETY: it is not locked, and goes here. A refusal leaves it to the session's end.
            drop(unsafe { encoder.destroy_output(open.raw()) });
        }
        if let Some(flight) = self.flight.take() {
            drop(flight.mapped.unmap(encoder));
        }
        self.inputs.clear(encoder);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let is_home = self.outputs.iter().all(|output| match output {
            Output::Locked(locked) => locked.home().wait(HOME_MAX),
            Output::Open(_) | Output::Gone => true,
        });
        if !is_home {
            // Somebody reads that memory: it must stay for ever, and so must what it belongs to, and what that knows of.
            self.inputs.leave();
            return;
        }
        self.take_down();
        // SAFETY: here only, and it is used no more.
        unsafe { ManuallyDrop::drop(&mut self.encoder) };
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("encoder", &*self.encoder)
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}
