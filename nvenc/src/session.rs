//! One stream of pictures to one bitstream.
//!
//! Promises: pictures go in by their numbers, which rise; each comes out before the next goes in, slice by slice while it is
//! encoded where the card can. A session that dies is made anew once, and its next picture is an IDR; what dies again within
//! [`crate::limits::REBUILD_PICTURES`] is reported. What the client misses is answered by a reference that it has, or by an IDR with the
//! reason. A driver whose word on a picture that is not done cannot be true is not asked for it again: from the next picture on
//! whole ones are read, by a session without sub-frame readback; and one whose word on the slices of a finished picture cannot
//! be true has that given in one piece. What was done instead of what was asked for is counted.
//!
//! Refuses: B pictures, lookahead, groups of pictures, anything that keeps a picture back.

mod in_flight;
mod life;
mod traffic;

use std::sync::Arc;

use punktfunk_cuda::{Context, Stream};

use crate::caps::Caps;
use crate::config::{Config, Plan, check_request, plan, slices};
use crate::encoder::{CudaGround, Encoder, Ground};
use crate::error::{Lack, NvencError};
use crate::input::{Input, InputCounts};
use crate::library::Library;
use crate::live::Live;
use crate::picture::Wanted;
use crate::references::{IdrReason, Recovery, References};
use crate::sys::Api;

pub use in_flight::InFlight;
use life::gone;
pub use traffic::{Change, Counts, Encoded, PictureRequest, Step};

const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Session>();
};

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
    uncut_before: u64,
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
    /// What it was before: the slices that are out of it keep it.
    leaving: Vec<Live>,
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
            uncut_before: 0,
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
            leaving: Vec::new(),
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
            uncut: self.uncut_before + self.live.as_ref().map_or(0, Live::uncut),
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
        let Plan { size_max, readback, tier, .. } = self.plan;
        let plan = Plan { size_max, readback, tier, slices: slices(&config, readback), ..plan };
        if !tier.holds(config.codec, config.bitrate_kbps) {
            // Another tier takes another session of the driver's.
            (self.config, self.plan) = (config, plan);
            self.counts.changes += 1;
            return self.reopen();
        }
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
}
