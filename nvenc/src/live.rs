//! A session that is initialised: the encoder, its output buffers and inputs, and the one picture that is in it.
//!
//! Promises: register → map → encode → lock, in that order; then the input is unmapped, as soon as the picture is done, and the
//! output is unlocked, as soon as its slices are home, whatever fails in between. When it goes, the encoder is flushed first,
//! and then nothing of it is locked, mapped or registered any more. Where slices are still out after [`HOME_MAX`], their memory
//! is left to the driver for good, and so are the session and its inputs.

mod reading;

use std::fmt;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use crate::config::{Config, Plan, Readback};
use crate::cuts::Cuts;
use crate::encoder::Encoder;
use crate::error::NvencError;
use crate::home::{Kept, Locked, Open};
use crate::input::{Input, Inputs, Mapped};
use crate::limits::{BUSY_MAX, BUSY_PAUSE, FLUSH_MAX, HOME_MAX, OUTPUT_PER_INPUT, OUTPUTS};
use crate::parameters;
use crate::picture::{Metadata, Wanted, describe};
use crate::sys::*;

use reading::Look;
pub(crate) use reading::Next;

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
    /// Pictures whose slices were not told apart, since what the driver said of them cannot be.
    uncut: u64,
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
            uncut: 0,
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

    /// How many pictures were given in one piece, since the driver told their slices wrong.
    pub(crate) fn uncut(&self) -> u64 {
        self.uncut
    }

    /// Whether slices are out.
    pub(crate) fn has_lent(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output, Output::Locked(locked) if !locked.home().is_full()))
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
        let until = Instant::now() + HOME_MAX;
        let is_home = self.outputs.iter().all(|output| match output {
            Output::Locked(locked) => locked.home().wait(until.saturating_duration_since(Instant::now())),
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
