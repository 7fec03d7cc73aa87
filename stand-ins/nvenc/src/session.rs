//! A session: what was opened, set up, registered, mapped, encoded and locked, and in which order that may be.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use punktfunk_nvenc::sys::*;

use crate::config::{Part, Setup};
use crate::cuda::{Cuda, Gate};
use crate::driver;
use crate::encoder::{self, Command};
use crate::engine::Engine;
use crate::output::{Output, Progress};
use crate::references::References;
use crate::resource::{Layout, Registered};
use crate::status::{Answer, Fault, Refused, require};

mod pictures;

/// A session, by the name that its caller has for it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) handle: usize,
    pub(crate) api: Api,
    context: usize,
    cuda: Option<Cuda>,
    state: Mutex<State>,
    pub(crate) changed: Condvar,
    /// The last error in words; its memory stays until the next.
    said: Mutex<CString>,
}

/// A fault of the encoder's own ends the process: its callers would wait for ever.
struct EndsProcess;

impl Drop for EndsProcess {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// What changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) setup: Option<Setup>,
    pub(crate) registered: Vec<Registered>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) commands: VecDeque<Command>,
    /// Pictures that wait for more input.
    held: Vec<encoder::Job>,
    /// Output buffers with pictures that were not read to their end, in the order of their pictures.
    unread: VecDeque<usize>,
    references: References,
    /// CUDA's streams, once they were said.
    streams: (usize, usize),
    /// The next picture is an IDR whatever it asks for.
    force_idr: bool,
    /// A wave of intra refresh: the next part, of how many.
    wave: Option<(u32, u32)>,
    since_wave: u32,
    /// Pictures were handed in.
    has_pictures: bool,
    is_ended: bool,
    is_lost: bool,
    is_closing: bool,
    /// Of the picture that the encoder is at.
    pub(crate) ready: Option<Arc<Gate>>,
    thread: Option<JoinHandle<()>>,
}

impl State {
    /// Whether the encoder works no more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_lost || self.is_closing
    }

    fn setup(&self) -> Answer<&Setup> {
        match &self.setup {
            Some(setup) => Ok(setup),
            None => Refused::breach(NV_ENC_ERR_ENCODER_NOT_INITIALIZED, "the session was not initialized"),
        }
    }

    /// Forgets the pictures of an input that wait for more: nothing reads it yet. What comes next has no past.
    fn give_up(&mut self, mapped: usize) {
        let Self { held, outputs, unread, registered, force_idr, .. } = self;
        held.retain(|job| {
            if job.input != mapped {
                return true;
            }
            for output in outputs.iter_mut().filter(|output| output.handle == job.output) {
                output.progress = Progress::Idle;
            }
            unread.retain(|unread| *unread != job.output);
            for input in registered.iter_mut().filter(|input| input.mapped == Some(mapped)) {
                input.in_use -= 1;
            }
            job.done.open();
            *force_idr = true;
            false
        });
    }

    fn output(&mut self, handle: usize) -> Answer<&mut Output> {
        match self.outputs.iter_mut().find(|output| output.handle == handle) {
            Some(output) => Ok(output),
            None => Refused::breach(NV_ENC_ERR_INVALID_PARAM, format!("{handle:#x} is no bitstream buffer")),
        }
    }
}

impl Session {
    /// A session on a CUDA context.
    pub(crate) fn open(api: Api, context: usize) -> Answer<Arc<Self>> {
        let cuda = Cuda::loaded();
        if let Some(cuda) = cuda {
            cuda.check(context)?;
        }
        let state = State {
            setup: None,
            registered: Vec::new(),
            outputs: Vec::new(),
            commands: VecDeque::with_capacity(64),
            held: Vec::new(),
            unread: VecDeque::with_capacity(64),
            references: References::new(1),
            streams: (0, 0),
            force_idr: false,
            wave: None,
            since_wave: 0,
            has_pictures: false,
            is_ended: false,
            is_lost: false,
            is_closing: false,
            ready: None,
            thread: None,
        };
        let session = Arc::new(Self {
            handle: driver::name(),
            api,
            context,
            cuda,
            state: Mutex::new(state),
            changed: Condvar::new(),
            said: Mutex::new(CString::default()),
        });
        if driver::admit(Arc::clone(&session)) {
            return Ok(session);
        }
        Refused::world(NV_ENC_ERR_OUT_OF_MEMORY, "the card takes no more sessions")
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a breach, and says it.
    pub(crate) fn complain(&self, call: &str, refused: &Refused) {
        if refused.fault == Fault::Breach {
            crate::CONTROLS.breach(call, format_args!("{}", refused.why));
        }
        let words = format!("{call}: {}", refused.why.replace('\0', " "));
        *self.said() = CString::new(words).unwrap_or_default();
    }

    pub(crate) fn said(&self) -> MutexGuard<'_, CString> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The card is gone.
    pub(crate) fn lose(&self) {
        self.state().is_lost = true;
        self.release();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.state().is_lost
    }

    /// Lets go of all that waits for the encoder.
    fn release(&self) {
        let mut state = self.state();
        state.ready.take().inspect(|ready| ready.open());
        let held = std::mem::take(&mut state.held);
        for command in state.commands.drain(..) {
            if let Command::Picture(job) = command {
                job.done.open();
            }
        }
        held.iter().for_each(|job| job.done.open());
        drop(state);
        self.changed.notify_all();
    }

    /// nvEncInitializeEncoder.
    pub(crate) fn initialize(self: &Arc<Self>, setup: Setup) -> Answer {
        let mut state = self.state();
        require(state.setup.is_none(), NV_ENC_ERR_INVALID_CALL, || {
            "the session is initialized already".to_owned()
        })?;
        let engine = Engine::new(&setup)?;
        let session = Arc::clone(self);
        let spawned = thread::Builder::new().name("stand-in-nvenc".to_owned()).spawn(move || {
            let ends = EndsProcess;
            encoder::run(&session, engine, setup);
            std::mem::forget(ends);
        });
        match spawned {
            Ok(thread) => state.thread = Some(thread),
            Err(error) => return Refused::world(NV_ENC_ERR_OUT_OF_MEMORY, error.to_string()),
        }
        state.references = References::new(setup.part.references);
        state.setup = Some(setup);
        Ok(())
    }

    /// nvEncReconfigureEncoder.
    pub(crate) fn reconfigure(&self, next: Setup, reset: bool, force_idr: bool) -> Answer {
        let mut state = self.state();
        let setup = *state.setup()?;
        let is_resized = setup.check_change(&next, driver::card())?;
        require(!is_resized || force_idr, NV_ENC_ERR_INVALID_PARAM, || {
            format!("a change from {}x{} without forceIDR", setup.width, setup.height)
        })?;
        // Rate, VBV and slices change in the middle of a stream; all else begins it anew.
        let is_anew = is_resized || Part { slices: next.part.slices, ..setup.part } != next.part;
        let engine = if is_anew { Some(Engine::new(&next)?) } else { None };
        state.force_idr |= force_idr || reset || is_anew;
        state.wave = None;
        if is_anew {
            state.references.restart(next.part.references);
        }
        state.setup = Some(next);
        state.commands.push_back(Command::Change(Box::new(next), engine));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// What holds now.
    pub(crate) fn setup(&self) -> Answer<Setup> {
        self.state().setup().copied()
    }

    /// What the parameter sets are.
    pub(crate) fn parameter_sets(&self) -> Answer<Vec<u8>> {
        let setup = *self.state().setup()?;
        Ok(Engine::new(&setup)?.parameter_sets().to_vec())
    }

    /// nvEncSetIOCudaStreams.
    ///
    /// # Safety
    /// Each is null or the address of a stream's handle.
    pub(crate) unsafe fn set_streams(&self, input: *mut usize, output: *mut usize) -> Answer {
        let mut state = self.state();
        state.setup()?;
        require(!input.is_null() && !output.is_null(), NV_ENC_ERR_INVALID_PTR, || {
            "a stream's address is null: what is wanted is where the handle lies".to_owned()
        })?;
        // SAFETY: not null; the caller's promise.
        state.streams = unsafe { (*input, *output) };
        Ok(())
    }

    /// nvEncRegisterResource.
    pub(crate) fn register(&self, params: &NV_ENC_REGISTER_RESOURCE) -> Answer<usize> {
        let mut state = self.state();
        let codec = state.setup()?.codec;
        let layout = Layout::read(params, codec, driver::card())?;
        let has = self.cuda.and_then(|cuda| cuda.has(layout.address, layout.bytes()));
        require(has != Some(false), NV_ENC_ERR_INVALID_PARAM, || {
            format!("the {} bytes at {:#x} are not CUDA's", layout.bytes(), layout.address)
        })?;
        let is_known = state.registered.iter().any(|other| other.layout == layout);
        require(!is_known, NV_ENC_ERR_RESOURCE_REGISTER_FAILED, || {
            format!("the memory at {:#x} is registered already", layout.address)
        })?;
        let handle = driver::name();
        state.registered.push(Registered { handle, mapped: None, in_use: 0, layout });
        Ok(handle)
    }

    /// nvEncUnregisterResource.
    pub(crate) fn unregister(&self, handle: usize) -> Answer {
        let mut state = self.state();
        let Some(at) = state.registered.iter().position(|input| input.handle == handle) else {
            return Refused::breach(
                NV_ENC_ERR_RESOURCE_NOT_REGISTERED,
                format!("{handle:#x} is not registered"),
            );
        };
        require(state.registered[at].mapped.is_none(), NV_ENC_ERR_INVALID_CALL, || {
            "the resource is mapped: unmap it first".to_owned()
        })?;
        state.registered.remove(at);
        Ok(())
    }

    /// nvEncMapInputResource: the mapping's name, and its format.
    pub(crate) fn map(&self, handle: usize) -> Answer<(usize, NV_ENC_BUFFER_FORMAT)> {
        let mut state = self.state();
        state.setup()?;
        let Some(input) = state.registered.iter_mut().find(|input| input.handle == handle) else {
            return Refused::breach(
                NV_ENC_ERR_RESOURCE_NOT_REGISTERED,
                format!("{handle:#x} is not registered"),
            );
        };
        require(input.mapped.is_none(), NV_ENC_ERR_MAP_FAILED, || {
            "the resource is mapped already".to_owned()
        })?;
        let mapped = driver::name();
        input.mapped = Some(mapped);
        Ok((mapped, input.layout.format))
    }

    /// nvEncUnmapInputResource.
    pub(crate) fn unmap(&self, mapped: usize) -> Answer {
        let mut state = self.state();
        state.give_up(mapped);
        let is_stopped = state.is_stopped();
        let Some(input) = state.registered.iter_mut().find(|input| input.mapped == Some(mapped)) else {
            return Refused::breach(NV_ENC_ERR_RESOURCE_NOT_MAPPED, format!("{mapped:#x} is not mapped"));
        };
        require(input.in_use == 0 || is_stopped, NV_ENC_ERR_INVALID_CALL, || {
            "the encoder still reads the input: lock its picture to the end first".to_owned()
        })?;
        input.mapped = None;
        Ok(())
    }

    /// nvEncCreateBitstreamBuffer.
    pub(crate) fn create_output(&self) -> Answer<usize> {
        let mut state = self.state();
        let bytes = state.setup()?.output_bytes();
        let output = Output::new(driver::name(), bytes)?;
        let handle = output.handle;
        state.outputs.push(output);
        Ok(handle)
    }

    /// nvEncDestroyBitstreamBuffer.
    pub(crate) fn destroy_output(&self, handle: usize) -> Answer {
        let mut state = self.state();
        let is_stopped = state.is_stopped();
        let output = state.output(handle)?;
        require(!output.is_locked(), NV_ENC_ERR_INVALID_CALL, || "the buffer is locked".to_owned())?;
        let is_in_use = matches!(output.progress, Progress::Encoding | Progress::Held);
        require(!is_in_use || is_stopped, NV_ENC_ERR_INVALID_CALL, || {
            "the encoder still writes into the buffer".to_owned()
        })?;
        state.outputs.retain(|output| output.handle != handle);
        state.unread.retain(|unread| *unread != handle);
        Ok(())
    }

    /// nvEncInvalidateRefFrames.
    pub(crate) fn invalidate(&self, id: u64) -> Answer {
        let mut state = self.state();
        state.setup()?;
        require(driver::card().rfi == 1, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            "the card cannot invalidate reference pictures".to_owned()
        })?;
        let is_held = state.references.invalidate(id);
        require(is_held, NV_ENC_ERR_INVALID_PARAM, || {
            format!("no picture of time stamp {id} is in the decoded picture buffer")
        })?;
        state.commands.push_back(Command::Invalidate(id));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// nvEncDestroyEncoder: what was left behind, in words.
    pub(crate) fn destroy(&self) -> Vec<String> {
        self.state().is_closing = true;
        self.release();
        let thread = self.state().thread.take();
        // It has no panic of its own to tell of but one that the process has printed.
        drop(thread.map(JoinHandle::join));
        driver::dismiss(self.handle);
        let state = self.state();
        let mut left = Vec::new();
        if state.is_lost {
            return left;
        }
        if state.has_pictures && !state.is_ended {
            left.push(
                "the encoder was not flushed: NV_ENC_PIC_FLAG_EOS comes before all that is freed".to_owned(),
            );
        }
        for input in &state.registered {
            let what = if input.mapped.is_some() { "mapped" } else { "registered" };
            left.push(format!("the input at {:#x} is still {what}", input.layout.address));
        }
        for output in &state.outputs {
            let what = if output.is_locked() { "locked" } else { "there" };
            left.push(format!("the bitstream buffer {:#x} is still {what}", output.handle));
        }
        left
    }
}
