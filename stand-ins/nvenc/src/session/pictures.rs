//! Pictures in, and bitstreams out.

use std::sync::Arc;

use punktfunk_nvenc::sys::*;

use super::{Session, State};
use crate::card::Partial;
use crate::cuda::Gate;
use crate::driver;
use crate::encoder::{Command, Job, is_settled};
use crate::output::{Facts, Progress};
use crate::picture::{Asked, Wish};
use crate::references::Kind;
use crate::resource::Layout;
use crate::status::{Answer, Refused, require};

/// Output buffers that the header has a caller make at least, where no B pictures are.
const OUTPUTS_MIN: usize = 4;

impl Session {
    /// nvEncEncodePicture. `hold`: the picture is taken, and encoded once the next one comes.
    ///
    /// # Safety
    /// As for [`crate::picture::read`].
    pub(crate) unsafe fn encode(&self, params: &NV_ENC_PIC_PARAMS, hold: bool) -> Answer {
        let mut state = self.state();
        let setup = *state.setup()?;
        // SAFETY: the caller's promise.
        let asked = unsafe { crate::picture::read(params, &setup, self.api) }?;
        match asked {
            Asked::End => state.is_ended = true,
            Asked::Picture(wish) => {
                require(!state.is_ended, NV_ENC_ERR_INVALID_CALL, || "the stream was ended".to_owned())?;
                let (layout, output) = state.check(&wish)?;
                let (ready, done) = self.gates(&state)?;
                state.has_pictures = true;
                let job = state.plan(&wish, layout, ready, done);
                let kind = picture_type(&job);
                let facts = Facts {
                    time_stamp: wish.time_stamp,
                    duration: wish.duration,
                    frame_idx: wish.frame_idx,
                    kind,
                    blocks: (0, 0),
                };
                let progress = if hold { Progress::Held } else { Progress::Encoding };
                state.outputs[output].begin(progress, facts);
                state.unread.push_back(wish.output);
                state.held.push(job);
            }
        }
        if hold {
            return Refused::world(
                NV_ENC_ERR_NEED_MORE_INPUT,
                "the picture is taken, and waits for the next",
            );
        }
        state.submit();
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// What the picture waits for, and what waits for it.
    fn gates(&self, state: &State) -> Answer<(Arc<Gate>, Arc<Gate>)> {
        let (ready, done) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        match self.cuda {
            Some(cuda) => {
                cuda.after(self.context, state.streams.0, &ready)?;
                cuda.hold(self.context, state.streams.1, &done)?;
            }
            None => ready.open(),
        }
        Ok((ready, done))
    }

    /// nvEncLockBitstream.
    pub(crate) fn lock(&self, params: &mut NV_ENC_LOCK_BITSTREAM) -> Answer {
        let handle = params.outputBitstream as usize;
        let mut state = self.state();
        let setup = *state.setup()?;
        state.output(handle)?.check_lockable()?;
        require(state.unread.front() == Some(&handle), NV_ENC_ERR_INVALID_CALL, || {
            "an older picture was not read yet: they come in order".to_owned()
        })?;
        if NV_ENC_LOCK_BITSTREAM::doNotWait.of(params.flags) == 0 {
            state = self.wait_for(state, handle);
        }
        if state.is_lost {
            return Refused::world(NV_ENC_ERR_DEVICE_NOT_EXIST, "the device is lost");
        }
        let output = state.output(handle)?;
        if output.progress == Progress::Full {
            let refused = output.check_lockable();
            output.progress = Progress::Idle;
            state.unread.pop_front();
            return refused;
        }
        let is_told = output.slices() > 0 || driver::partial() == Partial::Pointer;
        let has_something = output.progress == Progress::Done || setup.sub_frame && is_told;
        if !has_something {
            return Refused::world(NV_ENC_ERR_LOCK_BUSY, "nothing is there yet");
        }
        output.lock(params, setup.report_offsets);
        if output.progress == Progress::Done {
            // Its reader may take its time; the next picture's buffer can be locked meanwhile.
            state.unread.pop_front();
        }
        Ok(())
    }

    /// Whether a lock of this buffer would come between slices of its picture.
    pub(crate) fn is_between_slices(&self, handle: usize) -> bool {
        self.state().outputs.iter().any(|output| output.handle == handle && output.is_between_slices())
    }

    fn wait_for<'a>(
        &'a self,
        state: std::sync::MutexGuard<'a, State>,
        handle: usize,
    ) -> std::sync::MutexGuard<'a, State> {
        let is_waiting = |state: &mut State| {
            let progress =
                state.outputs.iter().find(|output| output.handle == handle).map(|output| output.progress);
            !state.is_stopped() && progress.is_some_and(|progress| !is_settled(progress))
        };
        self.changed.wait_while(state, is_waiting).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// nvEncUnlockBitstream.
    pub(crate) fn unlock(&self, handle: usize) -> Answer {
        let mut state = self.state();
        state.setup()?;
        state.output(handle)?.unlock()
    }
}

impl State {
    /// Judges whether the picture can be taken: where it lies, and the place of its output buffer.
    fn check(&mut self, wish: &Wish) -> Answer<(Layout, usize)> {
        let setup = *self.setup()?;
        let Some(input) = self.registered.iter().find(|input| input.mapped == Some(wish.input)) else {
            return Refused::breach(
                NV_ENC_ERR_RESOURCE_NOT_MAPPED,
                format!("inputBuffer {:#x} is not mapped", wish.input),
            );
        };
        let layout = input.layout;
        require(wish.format == layout.format, NV_ENC_ERR_INVALID_PARAM, || {
            format!("bufferFmt is {:?}, and what is mapped {:?}", wish.format, layout.format)
        })?;
        let is_same = (layout.width, layout.height) == (setup.width, setup.height);
        require(is_same, NV_ENC_ERR_INVALID_PARAM, || {
            format!(
                "a {}x{} input for a session of {}x{}",
                layout.width, layout.height, setup.width, setup.height
            )
        })?;
        let part = &setup.part;
        require(
            (layout.is_444(), layout.is_ten_bits()) == (part.is_444, part.is_ten_bits),
            NV_ENC_ERR_INVALID_PARAM,
            || format!("{:?} is of another chroma format or depth than was set up", layout.format),
        )?;
        require([0, layout.width, layout.pitch].contains(&wish.pitch), NV_ENC_ERR_INVALID_PARAM, || {
            format!("inputPitch is {}, and what is mapped has {}", wish.pitch, layout.pitch)
        })?;
        require(!self.references.holds(wish.time_stamp), NV_ENC_ERR_INVALID_PARAM, || {
            format!(
                "inputTimeStamp {} is that of a reference picture: none could be told from it",
                wish.time_stamp
            )
        })?;
        let place = self.outputs.iter().position(|output| output.handle == wish.output);
        let Some(place) = place else {
            return Refused::breach(
                NV_ENC_ERR_INVALID_PARAM,
                format!("{:#x} is no bitstream buffer", wish.output),
            );
        };
        self.outputs[place].check_free()?;
        let buffers = self.outputs.len();
        require(self.has_pictures || buffers >= OUTPUTS_MIN, NV_ENC_ERR_INVALID_CALL, || {
            format!(
                "{buffers} bitstream buffers: there are at least four more than B pictures in a row, which are none"
            )
        })?;
        Ok((layout, place))
    }

    /// Decides what the picture becomes, which nothing but the order of the calls does.
    fn plan(&mut self, wish: &Wish, layout: Layout, ready: Arc<Gate>, done: Arc<Gate>) -> Job {
        let is_idr = std::mem::take(&mut self.force_idr) || wish.is_idr;
        let (kind, reference) = self.references.take(wish.time_stamp, is_idr);
        let part = self.setup.map(|setup| setup.part);
        let repeats_sets = part.is_some_and(|part| part.repeats_sets);
        let hides_sets = part.is_some_and(|part| part.hides_sets);
        let wave = self.next_wave(wish, kind, part.and_then(|part| part.refresh));
        let begins = wave.filter(|(at, _)| *at == 0 && part.is_some_and(|part| part.recovery_sei));
        let parameter_sets = wish.with_sets || kind == Kind::Idr && repeats_sets && !hides_sets;
        if let Some(input) = self.registered.iter_mut().find(|input| input.mapped == Some(wish.input)) {
            input.in_use += 1;
        }
        Job {
            id: wish.time_stamp,
            kind,
            reference,
            parameter_sets,
            wave,
            recovery: begins.map(|(_, count)| count - 1),
            layout,
            input: wish.input,
            output: wish.output,
            ready,
            done,
        }
    }

    /// Which part of a wave of intra refresh the picture is.
    fn next_wave(&mut self, wish: &Wish, kind: Kind, refresh: Option<(u32, u32)>) -> Option<(u32, u32)> {
        if kind == Kind::Idr {
            (self.wave, self.since_wave) = (None, 0);
            return None;
        }
        self.since_wave += 1;
        let is_due = |period: u32| period > 0 && self.since_wave >= period;
        if let Some(count) = wish.refresh {
            self.wave = Some((0, count));
        } else if let Some((_, count)) = refresh.filter(|(period, _)| is_due(*period)) {
            self.wave = Some((0, count));
        }
        let wave = self.wave?;
        if wave.0 == 0 {
            self.since_wave = 0;
        }
        self.wave = (wave.0 + 1 < wave.1).then_some((wave.0 + 1, wave.1));
        Some(wave)
    }

    /// Hands the encoder all that was held.
    fn submit(&mut self) {
        for job in self.held.drain(..) {
            if let Some(output) = self.outputs.iter_mut().find(|output| output.handle == job.output) {
                output.progress = Progress::Encoding;
            }
            self.commands.push_back(Command::Picture(job));
        }
    }
}

/// What a lock says of the picture.
fn picture_type(job: &Job) -> NV_ENC_PIC_TYPE {
    match (job.kind, job.wave) {
        (Kind::Idr, _) => NV_ENC_PIC_TYPE_IDR,
        (Kind::Intra, _) => NV_ENC_PIC_TYPE_I,
        (Kind::Predicted, Some((0, _))) => NV_ENC_PIC_TYPE_INTRA_REFRESH,
        (Kind::Predicted, _) => NV_ENC_PIC_TYPE_P,
    }
}
