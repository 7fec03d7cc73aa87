//! NVIDIA's encoder as a stage: pictures are converted on the card and encoded there, and the bitstream is lent out of the
//! driver's memory, slice by slice.
//!
//! Promises: no pixel passes through the CPU but those of a picture that came in memory, which are uploaded once; what the
//! encoder reads is ordered behind the conversion on the card, not by a thread that waits. What the client misses is left
//! out of what comes next, without an IDR where the card can. Refuses what the card refuses, in the words of the room that
//! found it; three pictures that fail in a row are the encoder's fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_capture::{Mode, Picture};
use punktfunk_control::Codec;
use punktfunk_cuda::{Context, Cuda, Device as Card, DeviceBuffer, Priority, Rows, Stream};
use punktfunk_engine::{CpuCopies, EncodeOutcome, EncodeRequest, SliceSink, StageFault};
use punktfunk_gpu::format::Colour;
use punktfunk_gpu::{
    Choice, CudaOutputs, Device, Done, GpuError, Handover, Importer, OutputSpec, Ticket, Uuid,
};
use punktfunk_nvenc::{
    Caps, Change, InFlight, Input, Library, NvencError, PictureRequest, Recovery, Session, Step,
};

use super::able::CardAble;
use super::coding::{Coding, named, rate};
use super::import::{OUTPUTS, import_fault, with_input};
use super::picture_encoder::EncodeFault;
use super::{STAGE, Slice};

/// How long is waited for a slice before what came home is looked through again.
const SLICE_WAIT: Duration = Duration::from_millis(1);

/// How long is slept while slices have to come home first.
const HOME_WAIT: Duration = Duration::from_micros(50);

/// How long slices may be out: longer than any access unit is paced.
const HOME_MAX: Duration = Duration::from_secs(2);

/// Pictures that may fail in a row.
const FAILURES_MAX: u32 = 3;

/// A card with an encoder, and all that leads there.
#[derive(Debug)]
pub struct Means {
    context: Context,
    library: Library,
    device: Device,
    /// What it can do, a codec each.
    caps: Vec<(Codec, Caps)>,
    /// What CUDA and Vulkan had left behind when that was last told.
    left_behind: AtomicU64,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoMeans {
    /// No card, or no driver.
    #[error(transparent)]
    Cuda(#[from] punktfunk_cuda::CudaError),
    /// A driver that sees no card.
    #[error("NVIDIA's driver sees no card")]
    NoCard,
    /// No encoder.
    #[error(transparent)]
    Nvenc(#[from] NvencError),
    /// No way there.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl Means {
    /// Looks for a card with an encoder.
    ///
    /// # Errors
    /// There is none; the first card's reason.
    pub fn probe() -> Result<Self, NoMeans> {
        let cards = Cuda::load()?.devices()?;
        let library = Library::load()?;
        let mut first = None;
        for card in &cards {
            match Self::of(card, &library) {
                Ok(means) => return Ok(means),
                Err(why) => _ = first.get_or_insert(why),
            }
        }
        Err(first.unwrap_or(NoMeans::NoCard))
    }

    fn of(card: &Card, library: &Library) -> Result<Self, NoMeans> {
        let context = card.context()?;
        let mut caps = Vec::new();
        let mut refused = None;
        for codec in [Codec::H264, Codec::Hevc, Codec::Av1] {
            let Some(named) = named(codec) else { continue };
            match library.caps(&context, named) {
                Ok(found) => caps.push((codec, found)),
                Err(error) => _ = refused.get_or_insert(error),
            }
        }
        if caps.is_empty() {
            return Err(refused.map_or(NoMeans::NoCard, NoMeans::from));
        }
        let device = Device::open(&Choice::Uuid(Uuid(card.uuid().0)))?;
        Ok(Self { context, library: library.clone(), device, caps, left_behind: AtomicU64::new(0) })
    }

    /// Says what sessions before had to leave to a card that did not let it go: memory that this process has no more use of.
    fn tell_left_behind(&self) {
        let (cuda, vulkan) = (self.context.left_behind(), self.device.left_behind());
        if self.left_behind.swap(cuda + vulkan, Ordering::Relaxed) != cuda + vulkan {
            tracing::warn!(
                cuda,
                vulkan,
                "the card has not let go of what sessions before had: the host holds it"
            );
        }
    }

    /// The card's name.
    pub fn name(&self) -> &str {
        self.context.device().name()
    }

    /// Where pictures are converted.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What it makes, as values.
    pub fn able(&self) -> CardAble {
        CardAble { name: self.name().to_owned(), api: self.library.api(), caps: self.caps.clone() }
    }
}

/// One session of the card's encoder with the conversion before it.
pub struct Nvenc {
    means: Arc<Means>,
    pictures: Converter,
    session: Session,
    shape: (u32, u32, u32),
    /// The picture that was encoded last, which no output may be written over.
    newest: Option<Ticket>,
    /// The access unit that was tried last, and how often.
    tried: (u32, u8),
    failures: u32,
    /// Times that the session had been made anew when that was last told.
    rebuilds: u64,
    /// The rate that a session which died was to have.
    rate_due: Option<u32>,
    /// Whether it was said that whole pictures are read, since what was told of others cannot be.
    whole_is_said: bool,
    /// Pictures that had been given in one piece when that was last told, since what the driver said of their slices cannot be.
    uncut: u64,
}

/// The conversion into memory that the encoder reads.
struct Converter {
    /// Goes first: what it has queued is done before the importer's timelines are brought to their end.
    outputs: CudaOutputs,
    importer: Importer,
    inputs: Vec<Input>,
    stream: Arc<Stream>,
    coding: Coding,
}

impl Converter {
    fn new(
        means: &Means,
        stream: Arc<Stream>,
        (width, height): (u32, u32),
        coding: Coding,
    ) -> Result<Self, NoMeans> {
        // No source says that it is of another colour.
        let (format, colour) = (coding.output(), Colour::BT709);
        let spec = OutputSpec { width, height, format, colour, buffers: OUTPUTS };
        let importer = Importer::new(&means.device, spec, Handover::Exported)?;
        let outputs = importer.cuda(&means.context)?;
        let luma = importer.layout().planes()[0];
        let rows =
            Rows { offset: usize::try_from(luma.offset).unwrap_or(usize::MAX), pitch: luma.pitch as usize };
        let inputs = (0..OUTPUTS)
            .filter_map(|output| outputs.memory(output))
            .map(|memory| {
                let memory = Arc::clone(memory) as Arc<dyn DeviceBuffer>;
                Input::new(memory, rows, coding.input(), width, height)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { importer, outputs, inputs, stream, coding })
    }

    /// Begins a picture; the stream waits for it.
    fn begin(&mut self, picture: &Picture<'_>) -> Result<Ticket, GpuError> {
        let ticket = with_input(picture, |input| self.importer.convert(input))?;
        if let Err(error) = self.outputs.wait(&mut self.importer, ticket, &self.stream) {
            // Nobody will read it.
            self.importer.release(ticket, Done::Now)?;
            return Err(error);
        }
        Ok(ticket)
    }

    /// Waits until a picture's producer may have its buffer back, where the encoder did not come to read it.
    fn settle(&mut self, ticket: Ticket) {
        if !ticket.may_return
            && let Err(error) = self.importer.wait(ticket)
        {
            tracing::warn!(%error, "a producer has its buffer back before it was read");
        }
    }

    /// Lets a picture's output be written again once the stream is done with it.
    fn release(&mut self, ticket: Ticket) -> Result<(), GpuError> {
        self.outputs.release(&mut self.importer, ticket, &self.stream)
    }
}

impl Nvenc {
    /// A session for pictures of `mode` at `kbps` of access-unit bytes.
    ///
    /// # Errors
    /// The card's No.
    pub fn new(
        means: &Arc<Means>,
        coding: Coding,
        mode: Mode,
        kbps: u32,
        slices: u16,
    ) -> Result<Self, NoMeans> {
        let Some(config) = coding.config(mode, kbps, slices) else { return Err(NoMeans::NoCard) };
        means.tell_left_behind();
        let stream = Arc::new(Stream::new(&means.context, Priority::Highest)?);
        let sides = (mode.width(), mode.height());
        let pictures = Converter::new(means, Arc::clone(&stream), sides, coding)?;
        let session = Session::open(&means.library, &means.context, Some(stream), config)?;
        tracing::info!(%coding, plan = ?session.plan(), "NVENC's session");
        if !session.plan().invalidates {
            let intra_refresh = session.caps().intra_refresh;
            tracing::info!(
                intra_refresh,
                "the card leaves no reference out: each loss takes an IDR, and no refresh"
            );
        }
        Ok(Self {
            means: Arc::clone(means),
            pictures,
            session,
            shape: (mode.width(), mode.height(), mode.refresh_mhz()),
            newest: None,
            tried: (0, 0),
            failures: 0,
            rebuilds: 0,
            rate_due: None,
            whole_is_said: false,
            uncut: 0,
        })
    }

    /// Width, height and refresh of the pictures that it takes.
    pub fn shape(&self) -> (u32, u32, u32) {
        self.shape
    }

    /// Whether a loss takes no IDR.
    pub fn leaves_out(&self) -> bool {
        self.session.plan().invalidates
    }

    /// Whether the session died and was made anew since the last call.
    pub fn was_made_anew(&mut self) -> bool {
        let rebuilds = self.session.counts().rebuilds;
        std::mem::replace(&mut self.rebuilds, rebuilds) != rebuilds
    }

    /// Whether a picture was given in one piece since the last call, for want of a true word on its slices.
    pub fn was_uncut(&mut self) -> bool {
        let uncut = self.session.counts().uncut;
        let before = std::mem::replace(&mut self.uncut, uncut);
        if before == 0 && uncut > 0 {
            tracing::warn!(
                "what the driver says of a finished picture's slices cannot be: it is sent in one piece"
            );
        }
        before != uncut
    }

    /// Sets the rate from the next picture on; whether the card takes it. One that does not keeps the rate that it has. A
    /// session that dies of it is made anew with the next picture, and asked again after that.
    pub fn set_rate(&mut self, kbps: u32) -> bool {
        self.rate_due = None;
        let change = Change { bitrate_kbps: Some(kbps), ..Change::default() };
        match self.session.reconfigure(&change) {
            Ok(()) => true,
            Err(error) if error.is_session_lost() => {
                tracing::warn!(%error, "the encoder's session died of another rate");
                self.rate_due = Some(kbps);
                true
            }
            Err(error) => {
                tracing::warn!(%error, kbps, "the encoder keeps the rate that it has");
                false
            }
        }
    }

    /// Takes pictures of other sides or another rate from now on; false where that takes a new session.
    ///
    /// # Errors
    /// The encoder broke.
    pub fn reshape(
        &mut self,
        (width, height, refresh_mhz): (u32, u32, u32),
        kbps: u32,
    ) -> Result<bool, StageFault> {
        let is_other_size = (width, height) != (self.shape.0, self.shape.1);
        let change = Change {
            bitrate_kbps: Some(kbps),
            rate: Some(rate(refresh_mhz)),
            size: is_other_size.then_some((width, height)),
        };
        match self.session.reconfigure(&change) {
            Ok(()) => {}
            Err(error) if error.is_session_lost() => return Err(fault(error)),
            Err(error) => {
                tracing::info!(%error, "another mode takes a new session of the encoder");
                return Ok(false);
            }
        }
        if is_other_size {
            self.newest = None;
            let stream = Arc::clone(&self.pictures.stream);
            self.pictures = Converter::new(&self.means, stream, (width, height), self.pictures.coding)
                .map_err(|why| StageFault::new(STAGE, why))?;
        }
        self.shape = (width, height, refresh_mhz);
        Ok(true)
    }

    /// Encodes a picture.
    ///
    /// # Errors
    /// [`EncodeFault`].
    pub fn encode(
        &mut self,
        picture: &Picture<'_>,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, EncodeFault> {
        let begun = Instant::now();
        let copied_before = self.pictures.importer.counters().bytes_copied;
        if let Some(before) = self.newest.take() {
            self.pictures.release(before).map_err(lost)?;
        }
        let ticket = self.pictures.begin(picture).map_err(|error| import_fault(picture, error))?;
        self.newest = Some(ticket);
        let import = self.pictures.importer.counters().bytes_copied - copied_before;
        out.add_copies(CpuCopies { import, ..CpuCopies::default() });
        out.set_import(begun.elapsed());
        self.encode_newest(ticket, request, out)
    }

    /// Encodes the picture before once more.
    ///
    /// # Errors
    /// [`EncodeFault`].
    pub fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, EncodeFault> {
        match self.newest {
            Some(ticket) => self.encode_newest(ticket, request, out),
            None => Ok(EncodeOutcome::Skipped),
        }
    }

    fn encode_newest(
        &mut self,
        ticket: Ticket,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, EncodeFault> {
        let outcome = self.submit(ticket, request, out);
        if let Some(on_card) = self.pictures.importer.gpu_time(ticket) {
            out.set_convert(on_card);
        }
        match outcome {
            Ok(()) => {
                self.failures = 0;
                if let Some(kbps) = self.rate_due.take() {
                    self.set_rate(kbps);
                }
                Ok(EncodeOutcome::Encoded)
            }
            Err(error) => {
                self.pictures.settle(ticket);
                let reads_whole = self.session.counts().reads_whole > 0;
                if reads_whole && !std::mem::replace(&mut self.whole_is_said, reads_whole) {
                    tracing::warn!(%error, "slices on the way cannot be believed: whole pictures are read from now on");
                }
                self.failures += 1;
                let is_last = matches!(error, NvencError::Died { rebuilt: true, .. });
                let is_over = is_last || self.failures == FAILURES_MAX;
                Err(if is_over {
                    EncodeFault::Encoder(fault(error))
                } else {
                    EncodeFault::Picture(fault(error))
                })
            }
        }
    }

    fn submit(
        &mut self,
        ticket: Ticket,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<(), NvencError> {
        if let Some(lost) = request.lost {
            match self.session.invalidate(number(lost.from_au, 0))? {
                Recovery::Reference { picture } => {
                    tracing::debug!(from_au = lost.from_au, picture = picture >> 8, "references left out");
                    out.set_recovery_point();
                }
                Recovery::Idr { reason } => tracing::debug!(%reason, "a loss takes an IDR"),
            }
        }
        let tries = if self.tried.0 == request.au { self.tried.1.saturating_add(1) } else { 0 };
        self.tried = (request.au, tries);
        // The driver's memory must be free before the next picture, and only here are slices given back to it.
        while out.take_home().is_some() {}
        let begun = Instant::now();
        let wanted = PictureRequest { number: number(request.au, tries), idr: request.idr, refresh: 0 };
        let in_flight = self.session.encode(&self.pictures.inputs[ticket.output], &wanted)?;
        out.set_submit(begun.elapsed());
        hand_on(in_flight, out)
    }
}

/// Hands on each slice as it is finished, until the picture is done.
fn hand_on(mut in_flight: InFlight<'_>, out: &mut SliceSink<'_, Slice>) -> Result<(), NvencError> {
    let handed = hand_on_each(&mut in_flight, out);
    if handed.is_err() {
        // Who ends the picture, or the session, waits for their memory, and it is this thread that brings them.
        let until = Instant::now() + HOME_MAX;
        while in_flight.has_lent() && Instant::now() < until {
            while out.take_home().is_some() {}
            thread::sleep(HOME_WAIT);
        }
    }
    handed
}

fn hand_on_each(in_flight: &mut InFlight<'_>, out: &mut SliceSink<'_, Slice>) -> Result<(), NvencError> {
    let idr = in_flight.is_idr();
    let (mut patience, mut moved_at) = (SLICE_WAIT, Instant::now());
    loop {
        while out.take_home().is_some() {}
        match in_flight.next(patience)? {
            Step::Slice { slice, is_last } => {
                out.set_slice_ready(Instant::now());
                out.push(Slice::Lent(slice), idr, is_last).map_err(|(_, refused)| {
                    tracing::error!(%refused, "NVENC gave a slice too many; this is our fault");
                    NvencError::Request { what: "more slices than were agreed on" }
                })?;
                // While a slice is out nothing is to be waited for in there: it comes home here.
                (patience, moved_at) = (Duration::ZERO, Instant::now());
            }
            Step::Nothing => patience = SLICE_WAIT,
            Step::Lent if moved_at.elapsed() > HOME_MAX => return Err(NvencError::StillLent),
            Step::Lent => {
                thread::sleep(HOME_WAIT);
                patience = Duration::ZERO;
            }
            Step::Done(encoded) => {
                out.set_lock(encoded.locked);
                return Ok(());
            }
        }
    }
}

/// A picture's number: its access unit's, and how often that was tried, for a number is used once.
fn number(au: u32, tries: u8) -> u64 {
    u64::from(au) << 8 | u64::from(tries)
}

fn fault(error: NvencError) -> StageFault {
    StageFault::new(STAGE, error)
}

fn lost(error: GpuError) -> EncodeFault {
    EncodeFault::Encoder(StageFault::new("import", error))
}
