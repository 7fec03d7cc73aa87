//! The stage: a picture in, the encoder's picture out.
//!
//! Two timelines order it. The writer's one comes to a ticket's value when its picture is there; the reader's one comes to it
//! when it is read, and only then does the GPU write to that output again. Nobody waits for either on a thread, but a
//! reader that is the CPU. One that goes waits for its GPU, for a bounded time; what that does not let go is left to it.

mod acquire;
mod barriers;
#[cfg(test)]
mod tests;

use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ash::vk;

use crate::flight::{Cargo, Flight};
use crate::format::{Colour, Fourcc, Matrix, Range};
use crate::limits::{GPU_PATIENCE_NS, READER_PATIENCE_NS};
use crate::memory::Buffer;
use crate::output::Placement;
use crate::overlay::Overlays;
use crate::pipeline::{Job, Kind, Pipelines};
use crate::source::{Readable, Sources};
use crate::syncobj::Syncobjs;
use crate::timeline::Timeline;
use crate::weights::Weights;
use crate::{Counters, Device, GpuError, Input, Layout, Memory, OutputSpec, Overlay};

use barriers::Barriers;

/// Who reads the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// The CPU, from memory that it has mapped.
    Mapped,
    /// Another interface, by file descriptors: of each output's memory, and of two timelines.
    Exported,
}

impl Handover {
    fn name(self) -> &'static str {
        match self {
            Handover::Mapped => "the CPU",
            Handover::Exported => "another interface",
        }
    }
}

/// How a reader says that it is done with a ticket's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It is done already: nothing reads the output any more.
    Now,
    /// It will be when the reader's timeline comes to the ticket's value; that signal is on its way already.
    AtValue,
}

/// A picture that is being made, or is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Which output it is in.
    pub output: usize,
    /// What the writer's timeline comes to when it is done; what the reader brings its own one to when it is done with it.
    pub value: u64,
    /// Whether the producer's buffer may go back at once: it was copied, or the buffer itself, or the producer's release
    /// point, says when it can be drawn to. Else it may when the ticket is done.
    pub may_return: bool,
}

/// What one conversion is made with.
#[derive(Debug, Clone, Copy)]
struct Order {
    kind: Kind,
    /// The image that has to be taken over from its producer.
    image: Option<vk::Image>,
    /// Of the source, the output and the overlay.
    sets: [vk::DescriptorSet; 3],
    /// What the reader's timeline has to come to first.
    reader_at: Option<u64>,
}

/// Whose turn it is with an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The writer's.
    Writer,
    /// The reader's of this ticket.
    Reader(u64),
    /// The writer's, when the reader's timeline is there.
    WriterAt(u64),
}

#[derive(Debug)]
struct Output {
    buffer: Buffer,
    set: vk::DescriptorSet,
    turn: Turn,
}

/// Converts pictures, one after the other, into outputs that are written in turn.
#[derive(Debug)]
pub struct Importer {
    device: Device,
    spec: OutputSpec,
    layout: Layout,
    handover: Handover,
    counters: Counters,
    /// The last ticket's value.
    value: u64,
    /// The next ticket's output.
    next: usize,
    // What the GPU uses goes once it does not any more, or is left to it.
    written: ManuallyDrop<Timeline>,
    read: ManuallyDrop<Timeline>,
    flight: ManuallyDrop<Flight>,
    sources: ManuallyDrop<Sources>,
    overlays: ManuallyDrop<Overlays>,
    outputs: ManuallyDrop<Vec<Output>>,
    pipelines: ManuallyDrop<Pipelines>,
    /// Opened with the first picture that names a point.
    syncobjs: Option<Syncobjs>,
}

impl Importer {
    /// Makes the outputs and all that converts into them.
    ///
    /// # Errors
    /// [`GpuError::Output`] for a spec that cannot be, [`GpuError::Memory`], [`GpuError::Call`].
    pub fn new(device: &Device, spec: OutputSpec, handover: Handover) -> Result<Self, GpuError> {
        spec.check()?;
        let (shared, layout) = (&device.shared, spec.layout());
        let pipelines = Pipelines::new(shared, spec)?;
        let mut outputs = Vec::with_capacity(spec.buffers);
        for _ in 0..spec.buffers {
            let buffer = Buffer::output(shared, layout.bytes(), handover)?;
            let set = pipelines.name_buffer(buffer.handle)?;
            outputs.push(Output { buffer, set, turn: Turn::Writer });
        }
        let is_shared = handover == Handover::Exported && device.caps().shares_timelines;
        if handover == Handover::Exported && !is_shared {
            tracing::info!(
                device = device.description().name,
                "its timelines cannot be shared: this thread waits for each picture"
            );
        }
        let (written, read) = (Timeline::new(shared, is_shared)?, Timeline::new(shared, is_shared)?);
        let (flight, overlays) = (Flight::new(shared)?, Overlays::new(shared, &pipelines)?);
        Ok(Self {
            device: device.clone(),
            spec,
            layout,
            handover,
            counters: Counters::default(),
            value: 0,
            next: 0,
            written: ManuallyDrop::new(written),
            read: ManuallyDrop::new(read),
            flight: ManuallyDrop::new(flight),
            sources: ManuallyDrop::new(Sources::new(shared)),
            overlays: ManuallyDrop::new(overlays),
            outputs: ManuallyDrop::new(outputs),
            pipelines: ManuallyDrop::new(pipelines),
            syncobjs: None,
        })
    }

    /// What is made.
    #[must_use]
    pub fn spec(&self) -> OutputSpec {
        self.spec
    }

    /// Where each output's planes are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The device that it is made on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Begins to convert a picture into the next output, and returns at once.
    ///
    /// # Errors
    /// Everything of [`GpuError`]; [`GpuError::Unreleased`] when the next output's last ticket was not released.
    /// After [`GpuError::Lost`] nothing here works any more; after any other the next picture may.
    pub fn convert(&mut self, input: &Input<'_>) -> Result<Ticket, GpuError> {
        let done = self.make_room()?;
        let reader_at = match self.outputs[self.next].turn {
            Turn::Writer => None,
            Turn::WriterAt(value) => Some(value),
            Turn::Reader(_) => return Err(GpuError::Unreleased { output: self.next }),
        };
        let size = input.size();
        let place = self.spec.place(size[0], size[1])?;
        self.check_samples(input)?;
        let readable = match input {
            Input::Memory(memory) => {
                self.sources.memory(&self.pipelines, memory, done, &mut self.counters)?
            }
            Input::Dmabuf(dmabuf) => self.sources.dmabuf(&self.pipelines, dmabuf, &mut self.counters)?,
        };
        let over = self.overlays.find(&self.pipelines, input.overlay())?;
        let is_scaled = [place.width, place.height] != size;
        let kind = Kind { from: readable.from, order: readable.order, is_scaled };
        self.pipelines.prepare(kind)?;
        let mut cargo = Cargo::default();
        let job = self.job(size, place, &readable, input.overlay());
        let sets = [readable.set, self.outputs[self.next].set, over];
        let order = Order { kind, image: readable.image, sets, reader_at };
        let begun = self.begin(input, &order, &job, &mut cargo);
        let (place, may_return) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                cargo.late_release = None;
                crate::flight::put_away(&self.device.shared, cargo, None);
                return Err(error);
            }
        };
        let (value, output) = (self.value, self.next);
        self.flight.note(place, output, value, cargo);
        self.sources.note_use(&readable, value);
        self.overlays.note_use(input.overlay(), value);
        self.outputs[output].turn = Turn::Reader(value);
        self.next = (self.next + 1) % self.outputs.len();
        self.counters.conversions += 1;
        Ok(Ticket { output, value, may_return })
    }

    /// Whether a picture of samples can be what is made by scaling alone.
    fn check_samples(&self, input: &Input<'_>) -> Result<(), GpuError> {
        let Input::Memory(Memory { fourcc: Fourcc::YUV420, overlay, .. }) = input else { return Ok(()) };
        let Colour { matrix, range, .. } = self.spec.colour;
        let why = if (matrix, range) != (Matrix::Bt709, Range::Limited) {
            "they are BT.709 in the limited range, and other ones are wanted"
        } else if overlay.is_some() {
            "nothing is blended over them"
        } else {
            return Ok(());
        };
        Err(GpuError::Samples { fourcc: Fourcc::YUV420, why })
    }

    /// Puts away what is over, and waits if too much is under way; where the writer's timeline is.
    fn make_room(&mut self) -> Result<u64, GpuError> {
        let mut done = self.retire()?;
        if let Some(value) = self.flight.full_until() {
            self.counters.host_waits_full += 1;
            self.written.wait(value)?;
            done = self.retire()?;
        }
        Ok(done)
    }

    fn retire(&mut self) -> Result<u64, GpuError> {
        let done = self.written.value()?;
        self.counters.late_releases += self.flight.retire(done, self.syncobjs.as_ref());
        self.sources.retire(&self.pipelines, done);
        self.overlays.retire(&self.pipelines, done);
        Ok(done)
    }

    /// What the shader is told.
    fn job(
        &self,
        size: [u32; 2],
        place: Placement,
        readable: &Readable,
        overlay: Option<Overlay<'_>>,
    ) -> Job {
        let weights = Weights::new(self.spec.colour, self.spec.format, readable.order.bits());
        let planes = self.layout.planes();
        let word = |bytes: u64| u32::try_from(bytes / 4).unwrap_or(u32::MAX);
        let chroma = planes[1];
        let second = planes.last().map_or(0, |plane| plane.offset);
        Job {
            source_size: size,
            place_at: [place.x, place.y],
            place_size: [place.width, place.height],
            picture_size: [self.spec.width, self.spec.height],
            source_at: readable.at,
            source_stride: readable.stride,
            luma_pitch: planes[0].pitch / 4,
            chroma_pitch: chroma.pitch / 4,
            chroma_at: [word(chroma.offset), word(second)],
            overlay_at: overlay.map_or([0; 2], |overlay| [overlay.x, overlay.y]),
            overlay_size: overlay.map_or([0; 2], |overlay| [overlay.width, overlay.height]),
            unused: [0; 2],
            weights: [weights.luma, weights.blue_chroma, weights.red_chroma],
        }
    }

    /// Records and begins the next ticket's work: its place in flight, and whether the producer's buffer may return.
    fn begin(
        &mut self,
        input: &Input<'_>,
        order: &Order,
        job: &Job,
        cargo: &mut Cargo,
    ) -> Result<(usize, bool), GpuError> {
        let all = vk::PipelineStageFlags2::ALL_COMMANDS;
        let of = |semaphore| vk::SemaphoreSubmitInfo::default().semaphore(semaphore).stage_mask(all);
        let mut waits = Vec::new();
        if let Some(semaphore) = self.acquire(input)? {
            cargo.semaphores.push(semaphore);
            waits.push(of(semaphore));
        }
        waits.extend(order.reader_at.map(|value| of(self.read.handle).value(value)));
        let mut tells = vec![of(self.written.handle).value(self.value + 1)];
        let release = self.prepare_release(input, cargo)?;
        tells.extend(release.semaphore().map(of));
        let output = &self.outputs[self.next];
        let (place, commands) = self.flight.begin()?;
        let barriers = Barriers { device: &self.device.shared, commands };
        barriers.before(order.image);
        self.pipelines.record(commands, order.kind, order.sets, job);
        barriers.after(order.image, output.buffer.handle, self.handover);
        self.flight.end(place)?;
        self.flight.submit(place, &waits, &tells)?;
        self.value += 1;
        let may_return = self.release_to_producer(input, release);
        Ok((place, may_return))
    }

    /// Whether a ticket's picture is there.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn is_done(&self, ticket: Ticket) -> Result<bool, GpuError> {
        Ok(self.written.value()? >= ticket.value)
    }

    /// Waits until a ticket's picture is there; where it was not yet, that is counted.
    ///
    /// # Errors
    /// [`GpuError::Lost`], also for a GPU that takes ten seconds; [`GpuError::Stale`].
    pub fn wait(&mut self, ticket: Ticket) -> Result<(), GpuError> {
        if ticket.value > self.value {
            return Err(GpuError::Stale { output: ticket.output, value: ticket.value });
        }
        if !self.is_done(ticket)? {
            self.counters.host_waits_hand_over += 1;
            self.written.wait(ticket.value)?;
        }
        self.retire()?;
        Ok(())
    }

    /// A picture that is there, for the CPU: the planes of [`Self::layout`].
    ///
    /// # Errors
    /// [`GpuError::NotDone`], [`GpuError::Stale`], and [`GpuError::HandOver`] where the CPU cannot reach the outputs.
    pub fn mapped(&self, ticket: Ticket) -> Result<&[u8], GpuError> {
        let output = self.lent(ticket)?;
        if !self.is_done(ticket)? {
            return Err(GpuError::NotDone { value: ticket.value });
        }
        // SAFETY: the ticket is done, and the output is the reader's until it is released, which takes the importer
        // exclusively and so ends the slice.
        let contents = unsafe { output.buffer.contents() };
        contents.ok_or(GpuError::HandOver { made_for: self.handover.name(), wanted: Handover::Mapped.name() })
    }

    /// Lets a ticket's output be written again. Each ticket is released once.
    ///
    /// # Errors
    /// [`GpuError::Stale`] for a ticket that was released already; [`GpuError::HandOver`] for [`Done::AtValue`] where no
    /// reader has a timeline.
    pub fn release(&mut self, ticket: Ticket, done: Done) -> Result<(), GpuError> {
        self.lent(ticket)?;
        let turn = match done {
            Done::Now => Turn::Writer,
            Done::AtValue if self.shares_timelines() => Turn::WriterAt(ticket.value),
            Done::AtValue => {
                let wanted = "a reader with a timeline";
                return Err(GpuError::HandOver { made_for: self.handover.name(), wanted });
            }
        };
        self.outputs[ticket.output].turn = turn;
        Ok(())
    }

    /// Whether a ticket's output is its reader's.
    pub(crate) fn check_lent(&self, ticket: Ticket) -> Result<(), GpuError> {
        self.lent(ticket).map(|_| ())
    }

    /// Counts a wait of this thread for a reader.
    pub(crate) fn count_hand_over(&mut self) {
        self.counters.host_waits_hand_over += 1;
    }

    /// The output of a ticket that is the reader's.
    fn lent(&self, ticket: Ticket) -> Result<&Output, GpuError> {
        let output = self.outputs.get(ticket.output);
        output
            .filter(|output| output.turn == Turn::Reader(ticket.value))
            .ok_or(GpuError::Stale { output: ticket.output, value: ticket.value })
    }

    /// How long the GPU took for a ticket's picture; none until it is there, and where the device keeps no time.
    pub fn gpu_time(&mut self, ticket: Ticket) -> Option<Duration> {
        self.retire().ok()?;
        self.flight.time_of(ticket.output, ticket.value)
    }

    /// Lets a producer's buffer go, once the GPU is done with it, which this waits for: pages may be unmapped afterwards.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn forget(&mut self, buffer: u64) -> Result<(), GpuError> {
        self.sources.forget(buffer);
        self.written.wait(self.value)?;
        self.retire().map(|_| ())
    }

    /// The memory of an output and its bytes, for one that imports it, as memory of that buffer alone.
    ///
    /// # Errors
    /// [`GpuError::HandOver`] for outputs of another hand-over, [`GpuError::Stale`] for an output that is none,
    /// [`GpuError::Call`].
    pub fn export_memory(&self, output: usize) -> Result<(OwnedFd, u64), GpuError> {
        if self.handover != Handover::Exported {
            let wanted = Handover::Exported.name();
            return Err(GpuError::HandOver { made_for: self.handover.name(), wanted });
        }
        let buffer = &self.outputs.get(output).ok_or(GpuError::Stale { output, value: 0 })?.buffer;
        Ok((buffer.export()?, buffer.allocated()))
    }

    /// Whether the reader's interface can have both timelines; else it waits for tickets ([`Self::wait`]), and releases them
    /// when it is done ([`Done::Now`]).
    #[must_use]
    pub fn shares_timelines(&self) -> bool {
        self.handover == Handover::Exported && self.device.caps().shares_timelines
    }

    /// The writer's timeline and the reader's, for one that imports them; none where they cannot be shared.
    ///
    /// # Errors
    /// [`GpuError::Call`].
    pub fn export_timelines(&self) -> Result<Option<(OwnedFd, OwnedFd)>, GpuError> {
        Ok(self.written.export()?.zip(self.read.export()?))
    }

    /// What became of pictures.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl Drop for Importer {
    fn drop(&mut self) {
        if !self.is_over() {
            tracing::warn!(
                "the GPU does not end its work: what it has is left to it, and the device stays open"
            );
            self.device.shared.left_behind.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let _ = self.retire();
        self.counters.late_releases += self.flight.put_all_away(self.syncobjs.as_ref());
        tracing::debug!(counters = ?self.counters, "an importer ends");
        self.sources.end(&self.pipelines);
        self.overlays.end(&self.pipelines);
        // SAFETY: each goes here only, and none is used any more, by the GPU or from here.
        unsafe {
            ManuallyDrop::drop(&mut self.flight);
            ManuallyDrop::drop(&mut self.sources);
            ManuallyDrop::drop(&mut self.overlays);
            ManuallyDrop::drop(&mut self.outputs);
            ManuallyDrop::drop(&mut self.pipelines);
            ManuallyDrop::drop(&mut self.written);
            ManuallyDrop::drop(&mut self.read);
        }
    }
}

impl Importer {
    /// Whether the GPU uses nothing of it any more, which is waited for: its work is over, or it is lost.
    fn is_over(&self) -> bool {
        match self.comes_to_an_end() {
            Ok(is_over) => is_over,
            Err(GpuError::Lost { .. }) => true,
            Err(error) => {
                tracing::warn!(%error, "whether the GPU is at work is not known");
                false
            }
        }
    }

    fn comes_to_an_end(&self) -> Result<bool, GpuError> {
        // A reader's signal may be on its way, and a timeline must not fall back.
        if !self.written.comes_to(self.value, READER_PATIENCE_NS)? && self.shares_timelines() {
            tracing::warn!("what was begun is not done in time: its reader is not waited for any more");
            // Work that waits for it would never end, and nothing behind it on the device's queue.
            self.read.bring_up(self.value)?;
        }
        self.written.comes_to(self.value, GPU_PATIENCE_NS)
    }
}
