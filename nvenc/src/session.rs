//! One stream of pictures to one bitstream.
//!
//! Promises: pictures go in by their numbers, which rise; each comes out before the next goes in, slice by slice while it is
//! encoded where the card can. A session that dies is made anew once, and its next picture is an IDR; what dies again within
//! [`REBUILD_PICTURES`] is reported. What the client misses is answered by a reference that it has, or by an IDR with the
//! reason. A driver whose word on a picture that is not done cannot be true is not asked for it again: from the next picture on
//! whole ones are read, by a session without sub-frame readback. What was done instead of what was asked for is counted.
//!
//! Refuses: B pictures, lookahead, groups of pictures, anything that keeps a picture back.

use std::sync::Arc;
use std::time::Duration;

use punktfunk_cuda::{Context, Stream};

use crate::caps::Caps;
use crate::config::{Config, Plan, Rate, Readback, check_request, plan, slices};
use crate::encoder::{CudaGround, Encoder, Ground};
use crate::error::{Lack, Nonsense, NvencError, Said};
use crate::home::Slice;
use crate::input::{Input, InputCounts};
use crate::library::Library;
use crate::limits::{PICTURE_MAX, REBUILD_PICTURES};
use crate::live::{Live, Next};
use crate::picture::Wanted;
use crate::references::{IdrReason, Recovery, References};
use crate::sys::{Api, NV_ENC_ERR_ENCODER_NOT_INITIALIZED, NV_ENC_PIC_TYPE, NV_ENC_PIC_TYPE_IDR};

/// What one picture shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureRequest {
    /// Its number, by which a loss is told. Numbers rise; gaps are allowed.
    pub number: u64,
    /// An IDR, with its parameter sets.
    pub idr: bool,
    /// An intra refresh that begins here and takes so many pictures; 0 for none. Only in a session whose plan has one.
    pub refresh: u32,
}

const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Session>();
};

/// What came of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Its number.
    pub number: u64,
    /// Whether it is an IDR.
    pub is_idr: bool,
    /// What the driver calls it.
    pub kind: NV_ENC_PIC_TYPE,
    /// What it is built on; none for an IDR.
    pub reference: Option<u64>,
    /// Bytes of the access unit.
    pub bytes: u32,
    /// Slices that were lent.
    pub slices: u32,
    /// Those among them that were lent while the rest was still being encoded.
    pub early: u32,
    /// The average quantiser, by which one sees what the bitrate does.
    pub qp: u32,
    /// How long output memory was locked, in all locks that ended since the picture before was done. A picture's last lock ends
    /// when its last slice is home, which may be with the next picture.
    pub locked: Duration,
}

/// What there is of a picture that is encoded.
#[derive(Debug)]
pub enum Step {
    /// A finished slice, the next in order; the first has the parameter sets before it.
    Slice {
        /// Its bytes.
        slice: Slice,
        /// Whether none comes behind it: known with the slice where the driver keeps to a number of them.
        is_last: bool,
    },
    /// None yet.
    Nothing,
    /// The driver wants back what was lent before it gives more: drop those slices.
    Lent,
    /// It is done; there is no more.
    Done(Encoded),
}

/// What shall be different from now on. What is none stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// The bitrate, and with it the VBV.
    pub bitrate_kbps: Option<u32>,
    /// The picture rate, and with it the VBV.
    pub rate: Option<Rate>,
    /// Width and height; the next picture is an IDR.
    pub size: Option<(u32, u32)>,
}

/// What was done, since the session was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pictures that were encoded.
    pub pictures: u64,
    /// IDRs among them.
    pub idrs: u64,
    /// Losses that were answered by a reference.
    pub recoveries: u64,
    /// Losses that took an IDR.
    pub recoveries_by_idr: u64,
    /// Changes that needed no new session.
    pub changes: u64,
    /// Inputs that were registered.
    pub inputs_registered: u64,
    /// Inputs that were found registered.
    pub inputs_found: u64,
    /// Inputs that were let go: to make room, or since the session encodes another size.
    pub inputs_evicted: u64,
    /// Times that the encoder was busy and asked again.
    pub busy: u64,
    /// Pictures that were given up in their midst.
    pub abandoned: u64,
    /// Times that a dead session was made anew.
    pub rebuilds: u64,
    /// 1 where the driver called slices finished that were not, or miscounted: the newest waits for the next since.
    pub holds_back: u64,
    /// 1 where the driver said of a picture that was not done what cannot be: whole pictures are read since.
    pub reads_whole: u64,
    /// 1 where the driver does not say by itself when a whole picture is done: it is waited for, without a bound.
    pub waits: u64,
}

/// An encoder with its bitstream.
#[derive(Debug)]
pub struct Session {
    library: Library,
    ground: Arc<dyn Ground + Sync>,
    caps: Caps,
    config: Config,
    plan: Plan,
    references: References,
    counts: Counts,
    inputs_before: InputCounts,
    busy_before: u64,
    waited_before: bool,
    last_number: Option<u64>,
    idr_is_due: bool,
    holds_back: bool,
    /// The next picture is read whole, and all that follow.
    whole_is_due: bool,
    /// Pictures since it was made anew; none where it never was.
    since_rebuild: Option<u64>,
    death: Option<NvencError>,
    current: Option<Wanted>,
    reference: Option<u64>,
    live: Option<Live>,
}

impl Library {
    /// What the card behind `context` can do with `codec`. Opens a session for it, and closes it.
    ///
    /// # Errors
    /// It has no encoder, or no session left, or does not encode it.
    pub fn caps(&self, context: &Context, codec: crate::caps::Codec) -> Result<Caps, NvencError> {
        let ground: Arc<dyn Ground + Sync> = Arc::new(CudaGround { context: context.clone(), stream: None });
        probe(&Encoder::open(self, &ground)?, codec)
    }
}

fn probe(encoder: &Encoder, codec: crate::caps::Codec) -> Result<Caps, NvencError> {
    let _current = encoder.enter()?;
    Caps::probe(encoder, codec)
}

impl Session {
    /// Opens one on the card of `context`; its work is ordered behind what is on `stream`, where one is given.
    ///
    /// # Errors
    /// The card cannot do it, or gives no more sessions, or the driver fails.
    pub fn open(
        library: &Library,
        context: &Context,
        stream: Option<Arc<Stream>>,
        config: Config,
    ) -> Result<Session, NvencError> {
        Session::open_on(library, Arc::new(CudaGround { context: context.clone(), stream }), config)
    }

    pub(crate) fn open_on(
        library: &Library,
        ground: Arc<dyn Ground + Sync>,
        config: Config,
    ) -> Result<Session, NvencError> {
        check_request(&config)?;
        let encoder = Encoder::open(library, &ground)?;
        let caps = probe(&encoder, config.codec)?;
        let plan = plan(&config, &caps, library.api(), encoder.device())?;
        let live = Live::start(encoder, &config, &plan)?;
        Ok(Session {
            library: library.clone(),
            ground,
            caps,
            config,
            references: References::new(plan.references),
            plan,
            counts: Counts::default(),
            inputs_before: InputCounts::default(),
            busy_before: 0,
            waited_before: false,
            last_number: None,
            idr_is_due: true,
            holds_back: false,
            whole_is_due: false,
            since_rebuild: None,
            death: None,
            current: None,
            reference: None,
            live: Some(live),
        })
    }

    /// What the card can do; without sub-frame readback once whole pictures are read since what it said of others was wrong.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// What it was asked for, with all changes since.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was chosen.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The interface that is spoken.
    #[must_use]
    pub fn api(&self) -> Api {
        self.library.api()
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (inputs, busy) = self
            .live
            .as_ref()
            .map_or((InputCounts::default(), 0), |live| (live.inputs().counts, live.busy()));
        Counts {
            inputs_registered: self.inputs_before.registered + inputs.registered,
            inputs_found: self.inputs_before.found + inputs.found,
            inputs_evicted: self.inputs_before.evicted + inputs.evicted,
            busy: self.busy_before + busy,
            holds_back: u64::from(self.holds_back),
            waits: u64::from(self.waited_before || self.live.as_ref().is_some_and(Live::waits)),
            ..self.counts
        }
    }

    /// The parameter sets that each IDR begins with (H.264: SPS and PPS, HEVC: VPS too; AV1: the sequence header).
    ///
    /// # Errors
    /// The driver fails.
    pub fn parameter_sets(&self) -> Result<Vec<u8>, NvencError> {
        self.live.as_ref().ok_or_else(|| gone("nvEncGetSequenceParams"))?.parameter_sets()
    }

    /// Makes `input` known to the driver ahead of its first picture, which that would otherwise cost some hundred
    /// microseconds.
    ///
    /// # Errors
    /// The driver refuses it.
    pub fn register(&mut self, input: &Input) -> Result<(), NvencError> {
        self.check_context(input)?;
        self.settle();
        match &mut self.live {
            Some(live) => live.register(input),
            None => Ok(()),
        }
    }

    /// Hands a picture in. What is on the session's stream is done before the encoder reads it.
    ///
    /// # Errors
    /// The input is not what the session encodes, the number does not rise, or the driver fails; a session that died is made
    /// anew first, once.
    pub fn encode(&mut self, input: &Input, request: &PictureRequest) -> Result<InFlight<'_>, NvencError> {
        self.check_context(input)?;
        if !input.is(self.config.format, self.config.width, self.config.height) {
            return Err(NvencError::Request {
                what: "a picture of another size or format than the session's",
            });
        }
        if self.last_number.is_some_and(|last| request.number <= last) {
            return Err(NvencError::Request { what: "a picture's number that does not rise" });
        }
        if request.refresh > 0 && self.plan.refresh.is_none() {
            return Err(NvencError::Request { what: "an intra refresh in a session without (see its plan)" });
        }
        self.settle();
        if self.death.is_some() {
            self.rebuild()?;
        } else if self.whole_is_due {
            self.reopen()?;
        }
        match self.begin(input, request) {
            Err(error) if error.is_session_lost() => {
                self.death = Some(error);
                self.rebuild()?;
                self.begin(input, request).inspect_err(|error| self.bury(error))?;
            }
            other => other?,
        }
        Ok(InFlight { session: self })
    }

    fn check_context(&self, input: &Input) -> Result<(), NvencError> {
        let is_other = input.context().is_some_and(|context| context != self.ground.context());
        if is_other { Err(NvencError::Request { what: "a picture in another CUDA context" }) } else { Ok(()) }
    }

    fn begin(&mut self, input: &Input, request: &PictureRequest) -> Result<(), NvencError> {
        let reference = self.references.newest();
        let is_idr = request.idr || self.idr_is_due || reference.is_none();
        let wanted = Wanted { number: request.number, is_idr, refresh: request.refresh };
        let live = self.live.as_mut().ok_or_else(|| gone("nvEncEncodePicture"))?;
        live.begin(input, &wanted, &self.config, self.holds_back)?;
        self.last_number = Some(request.number);
        self.references.push(request.number, is_idr);
        self.reference = reference.filter(|_| !is_idr);
        self.current = Some(wanted);
        self.idr_is_due = false;
        Ok(())
    }

    /// Makes a dead session anew, if that was not tried a moment ago.
    fn rebuild(&mut self) -> Result<(), NvencError> {
        let death = self.death.clone().unwrap_or_else(|| gone("nvEncEncodePicture"));
        if self.since_rebuild.is_some_and(|pictures| pictures < REBUILD_PICTURES) {
            return Err(after_rebuild(death));
        }
        self.since_rebuild = Some(0);
        self.counts.rebuilds += 1;
        self.reopen()
    }

    /// Ends the driver's session, and begins another as it is planned now, with an IDR.
    fn reopen(&mut self) -> Result<(), NvencError> {
        if let Some(live) = self.live.take() {
            let (inputs, before) = (live.inputs().counts, &mut self.inputs_before);
            before.registered += inputs.registered;
            before.found += inputs.found;
            before.evicted += inputs.evicted;
            self.busy_before += live.busy();
            self.waited_before |= live.waits();
        }
        if std::mem::take(&mut self.whole_is_due) {
            self.caps.sub_frame = false;
            self.plan.readback = Readback::Whole;
        }
        let encoder = Encoder::open(&self.library, &self.ground)?;
        self.live = Some(Live::start(encoder, &self.config, &self.plan)?);
        self.references.clear();
        self.idr_is_due = true;
        self.death = None;
        Ok(())
    }

    /// Remembers what ends the session.
    fn bury(&mut self, error: &NvencError) {
        if error.is_session_lost() {
            self.death = Some(error.clone());
        }
    }

    /// The client misses what was encoded from `from` on: numbers, as the pictures had them. Everything since was built on
    /// that, so where the loss ended does not matter.
    ///
    /// # Errors
    /// The session died of it; the next picture makes it anew.
    pub fn invalidate(&mut self, from: u64) -> Result<Recovery, NvencError> {
        let recovery = self.recover(from)?;
        match recovery {
            Recovery::Reference { .. } => self.counts.recoveries += 1,
            Recovery::Idr { .. } => {
                self.counts.recoveries_by_idr += 1;
                self.idr_is_due = true;
            }
        }
        Ok(recovery)
    }

    fn recover(&mut self, from: u64) -> Result<Recovery, NvencError> {
        if self.idr_is_due || self.death.is_some() {
            return Ok(Recovery::Idr { reason: IdrReason::Due });
        }
        let Some(live) = self.live.as_ref().filter(|_| self.plan.invalidates) else {
            return Ok(Recovery::Idr { reason: IdrReason::Unable });
        };
        match self.references.lose(from, |picture| live.invalidate(picture)) {
            Ok(recovery) => Ok(recovery),
            Err(error) if error.is_session_lost() => {
                self.bury(&error);
                Err(error)
            }
            Err(_) => Ok(Recovery::Idr { reason: IdrReason::Refused }),
        }
    }

    /// Changes the session without making it anew.
    ///
    /// # Errors
    /// The card cannot do what is asked for, or not without a new session ([`Lack::Live`]); then nothing has changed.
    pub fn reconfigure(&mut self, change: &Change) -> Result<(), NvencError> {
        self.settle();
        let mut config = self.config;
        config.bitrate_kbps = change.bitrate_kbps.unwrap_or(config.bitrate_kbps);
        config.rate = change.rate.unwrap_or(config.rate);
        (config.width, config.height) = change.size.unwrap_or((config.width, config.height));
        let is_other_size = (config.width, config.height) != (self.config.width, self.config.height);
        let plan = plan(&config, &self.caps, self.api(), self.ground.device())?;
        self.check_live(&config, &plan, is_other_size).map_err(|what| NvencError::Unable {
            device: self.ground.device().to_owned(),
            codec: config.codec,
            what,
        })?;
        // What the session has chosen for good stays, and what follows from it.
        let (size_max, readback) = (self.plan.size_max, self.plan.readback);
        let plan = Plan { size_max, readback, slices: slices(&config, readback), ..plan };
        if let Some(live) = self.live.as_mut().filter(|_| self.death.is_none()) {
            live.reconfigure(&config, &plan, is_other_size).inspect_err(|error| {
                if error.is_session_lost() {
                    self.death = Some(error.clone());
                }
            })?;
        }
        (self.config, self.plan) = (config, plan);
        self.counts.changes += 1;
        if is_other_size {
            self.references.clear();
            self.idr_is_due = true;
        }
        Ok(())
    }

    /// What a session of this card cannot change.
    fn check_live(&self, config: &Config, plan: &Plan, is_other_size: bool) -> Result<(), Lack> {
        let is_other_rate =
            (config.bitrate_kbps, config.rate) != (self.config.bitrate_kbps, self.config.rate);
        if is_other_rate && !self.caps.live_bitrate {
            return Err(Lack::Live("the bitrate"));
        }
        if !is_other_size {
            return Ok(());
        }
        match self.plan.size_max {
            None => Err(Lack::Live("the size")),
            Some((width, height)) if config.width > width || config.height > height => {
                Err(Lack::Live("to a size beyond what the session was opened for"))
            }
            // Engines and slices on the way are chosen when a session is opened.
            Some(_) if plan.readback != self.plan.readback => Err(Lack::Live("the number of engines")),
            Some(_) => Ok(()),
        }
    }

    /// What there is of the picture that is encoded.
    fn next(&mut self, patience: Duration) -> Result<Step, NvencError> {
        let live = self.live.as_mut().ok_or_else(|| gone("nvEncLockBitstream"))?;
        let next = live.next(patience);
        let is_partial = live.is_partial();
        let next = next.inspect_err(|error| self.judge(error, is_partial))?;
        Ok(match next {
            Next::Slice { slice, is_last } => Step::Slice { slice, is_last },
            Next::Nothing => Step::Nothing,
            Next::Lent => Step::Lent,
            Next::Done { kind, qp, bytes, slices, early, locked } => {
                let wanted = self.current.take().unwrap_or(Wanted { number: 0, is_idr: false, refresh: 0 });
                let is_idr = wanted.is_idr || kind == NV_ENC_PIC_TYPE_IDR;
                self.counts.pictures += 1;
                self.counts.idrs += u64::from(is_idr);
                if let Some(pictures) = &mut self.since_rebuild {
                    *pictures += 1;
                }
                let reference = self.reference.take().filter(|_| !is_idr);
                Step::Done(Encoded {
                    number: wanted.number,
                    is_idr,
                    kind,
                    reference,
                    bytes,
                    slices,
                    early,
                    qp,
                    locked,
                })
            }
        })
    }

    /// Gives up a picture whose [`InFlight`] was forgotten instead of dropped: its buffers are the encoder's still.
    fn settle(&mut self) {
        if self.death.is_none() {
            self.abandon();
        }
    }

    /// What follows from an answer, which may have been of a picture that was not done.
    fn judge(&mut self, error: &NvencError, is_partial: bool) {
        self.idr_is_due = true;
        self.bury(error);
        let NvencError::Hostile { what, .. } = error else { return };
        if is_partial {
            self.whole_is_due = true;
            self.counts.reads_whole = 1;
        } else {
            // A driver that moves what it called finished, or miscounts, is not trusted about the newest slice any more.
            self.holds_back |= matches!(what, Nonsense::Moved { .. } | Nonsense::Slices { .. });
        }
    }

    /// Gives up what is still encoded.
    fn abandon(&mut self) {
        let Some(live) = self.live.as_mut().filter(|live| live.is_encoding()) else { return };
        self.counts.abandoned += 1;
        self.current = None;
        self.idr_is_due = true;
        if self.death.is_some() {
            return;
        }
        if let Err(error) = live.abandon(PICTURE_MAX) {
            // Whatever it was: nothing is known of the session's state any more.
            self.death = Some(if error.is_session_lost() { error } else { gone("nvEncLockBitstream") });
        }
    }
}

/// The death of a session of which nothing more is known.
fn gone(call: &'static str) -> NvencError {
    let said = Said { status: NV_ENC_ERR_ENCODER_NOT_INITIALIZED, words: String::new() };
    NvencError::Died { call, said, rebuilt: false }
}

/// The same, told of a session that was made anew already.
fn after_rebuild(death: NvencError) -> NvencError {
    match death {
        NvencError::Died { call, said, .. } => NvencError::Died { call, said, rebuilt: true },
        other => other,
    }
}

/// A picture that is encoded. It is read to its end ([`Step::Done`]) before the next one; one that is dropped before is given
/// up, and the next is an IDR.
#[derive(Debug)]
pub struct InFlight<'a> {
    session: &'a mut Session,
}

impl InFlight<'_> {
    /// Whether it is an IDR, as it was handed in.
    #[must_use]
    pub fn is_idr(&self) -> bool {
        self.session.current.is_some_and(|wanted| wanted.is_idr)
    }

    /// What it is built on.
    #[must_use]
    pub fn reference(&self) -> Option<u64> {
        self.session.reference
    }

    /// The next finished slice, or what there is instead; waits for `patience` at most, or for the picture's end where the
    /// driver does not say otherwise when that is ([`Counts::waits`]).
    ///
    /// # Errors
    /// The driver fails, or answers what cannot be; the picture is lost.
    pub fn next(&mut self, patience: Duration) -> Result<Step, NvencError> {
        self.session.next(patience)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.session.abandon();
    }
}
