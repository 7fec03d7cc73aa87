//! The stage: a picture in, the encoder's picture out.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::error::Link;
use crate::{Counters, Device, GpuError, Input, Layout, OutputSpec};

/// Who reads the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// The CPU, from memory that it has mapped.
    Mapped,
    /// Another interface, by file descriptors: of each output's memory, and of two timelines.
    Exported,
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
}

/// Converts pictures, one after the other, into outputs that are written in turn.
#[derive(Debug)]
pub struct Importer {
    device: Device,
    spec: OutputSpec,
    counters: Counters,
}

impl Importer {
    /// Makes the outputs and all that converts into them.
    ///
    /// # Errors
    /// [`GpuError::Output`] for a spec that cannot be, [`GpuError::Memory`], [`GpuError::Call`].
    pub fn new(device: &Device, spec: OutputSpec, _handover: Handover) -> Result<Self, GpuError> {
        spec.check()?;
        Ok(Self { device: device.clone(), spec, counters: Counters::default() })
    }

    /// What is made.
    #[must_use]
    pub fn spec(&self) -> OutputSpec {
        self.spec
    }

    /// Where each output's planes are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.spec.layout()
    }

    /// Begins to convert a picture into the next output, and returns at once. A dmabuf may go back to its producer when
    /// the ticket is done, or at once where the buffer itself or the producer's release point says so for us
    /// ([`crate::Caps::makes_sync_files`]).
    ///
    /// # Errors
    /// Everything of [`GpuError`]; [`GpuError::Unreleased`] when the next output's last ticket was not released.
    pub fn convert(&mut self, _input: &Input<'_>) -> Result<Ticket, GpuError> {
        self.missing()
    }

    /// Whether a ticket's picture is there.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn is_done(&self, _ticket: Ticket) -> Result<bool, GpuError> {
        self.missing()
    }

    /// Waits until a ticket's picture is there, which is counted.
    ///
    /// # Errors
    /// [`GpuError::Lost`], also for a GPU that takes ten seconds.
    pub fn wait(&mut self, _ticket: Ticket) -> Result<(), GpuError> {
        self.missing()
    }

    /// A picture that is there, for the CPU: the planes of [`Self::layout`].
    ///
    /// # Errors
    /// [`GpuError::NotDone`], [`GpuError::Stale`], and [`GpuError::HandOver`] where the CPU cannot reach the outputs.
    pub fn mapped(&self, _ticket: Ticket) -> Result<&[u8], GpuError> {
        self.missing()
    }

    /// Lets a ticket's output be written again. Each ticket is released once.
    ///
    /// # Errors
    /// [`GpuError::Stale`] for a ticket that was released already; [`GpuError::HandOver`] where there is no reader's
    /// timeline.
    pub fn release(&mut self, _ticket: Ticket, _done: Done) -> Result<(), GpuError> {
        self.missing()
    }

    /// How long the GPU took for a ticket's picture; none until it is there, and where the device keeps no time.
    pub fn gpu_time(&mut self, _ticket: Ticket) -> Option<Duration> {
        None
    }

    /// Lets a producer's buffer go, once the GPU is done with it.
    pub fn forget(&mut self, _buffer: u64) {}

    /// The memory of an output, for one that imports it.
    ///
    /// # Errors
    /// [`GpuError::HandOver`] for outputs of another hand-over, [`GpuError::Call`].
    pub fn export_memory(&self, _output: usize) -> Result<OwnedFd, GpuError> {
        self.missing()
    }

    /// The writer's timeline and the reader's, for one that imports them; none where the device shares none, and the
    /// reader has to wait for tickets and to release them when it is done.
    ///
    /// # Errors
    /// As [`Self::export_memory`].
    pub fn export_timelines(&self) -> Result<Option<(OwnedFd, OwnedFd)>, GpuError> {
        self.missing()
    }

    /// What became of pictures.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn missing<T>(&self) -> Result<T, GpuError> {
        let device = self.device.description().to_string();
        let (what, remedy) = ("conversion", "wait for the next commit");
        Err(GpuError::Missing { link: Link::Convert, device, what, remedy })
    }
}
