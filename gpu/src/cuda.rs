//! The outputs as CUDA sees them.
//!
//! Promises: each output is imported once, when this is made; a stream waits for a picture by the writer's timeline, and the
//! writer for the stream by the reader's, so that no thread waits for either. Where the device's timelines cannot be shared this
//! thread waits in their place, which is counted. Refuses: a CUDA device that is another GPU than the importer's, by name.

use std::sync::Arc;

use punktfunk_cuda::{Context, Dedicated, ImportedMemory, Stream, TimelineSemaphore};

use crate::importer::Done;
use crate::{GpuError, Importer, Ticket};

/// An importer's outputs in a context of CUDA's. Drop it before the importer, or after; both hold what they need.
#[derive(Debug)]
pub struct CudaOutputs {
    memory: Vec<Arc<ImportedMemory>>,
    /// The writer's timeline and the reader's.
    timelines: Option<[TimelineSemaphore; 2]>,
}

impl Importer {
    /// The outputs, in a context that is on the same GPU.
    ///
    /// # Errors
    /// [`GpuError::Mismatch`], [`GpuError::HandOver`] for outputs that the CPU reads, [`GpuError::Cuda`].
    pub fn cuda(&self, context: &Context) -> Result<CudaOutputs, GpuError> {
        let (ours, theirs) = (self.device().description(), context.device());
        if ours.uuid.0 != theirs.uuid().0 {
            let reader = format!("{} ({})", theirs.name(), theirs.uuid());
            return Err(GpuError::Mismatch { device: ours.name.clone(), uuid: ours.uuid, reader });
        }
        let mut memory = Vec::with_capacity(self.spec().buffers);
        for output in 0..self.spec().buffers {
            let (fd, bytes) = self.export_memory(output)?;
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            memory.push(Arc::new(ImportedMemory::new(context, fd, bytes, Dedicated::Yes)?));
        }
        let timelines = match self.export_timelines()? {
            Some((written, read)) => {
                Some([TimelineSemaphore::new(context, written)?, TimelineSemaphore::new(context, read)?])
            }
            None => None,
        };
        Ok(CudaOutputs { memory, timelines })
    }
}

impl CudaOutputs {
    /// An output's memory; its planes are where [`Importer::layout`] says.
    #[must_use]
    pub fn memory(&self, output: usize) -> Option<&Arc<ImportedMemory>> {
        self.memory.get(output)
    }

    /// Whether no thread waits for a picture.
    #[must_use]
    pub fn shares_timelines(&self) -> bool {
        self.timelines.is_some()
    }

    /// Has what is queued on `stream` from now on wait for a ticket's picture.
    ///
    /// # Errors
    /// [`GpuError::Cuda`]; what [`Importer::wait`] says, where this thread has to wait.
    pub fn wait(&self, importer: &mut Importer, ticket: Ticket, stream: &Stream) -> Result<(), GpuError> {
        match &self.timelines {
            Some([written, _]) => Ok(stream.wait_until(written, ticket.value)?),
            None => importer.wait(ticket),
        }
    }

    /// Lets a ticket's output be written again when all that is queued on `stream` is done with it. Tickets are released in
    /// the order in which they were made: a timeline only rises.
    ///
    /// # Errors
    /// [`GpuError::Cuda`], [`GpuError::Stale`] for a ticket that was released already.
    pub fn release(&self, importer: &mut Importer, ticket: Ticket, stream: &Stream) -> Result<(), GpuError> {
        match &self.timelines {
            Some([_, read]) => {
                importer.check_lent(ticket)?;
                stream.signal(read, ticket.value)?;
                importer.release(ticket, Done::AtValue)
            }
            None => {
                importer.count_hand_over();
                stream.wait()?;
                importer.release(ticket, Done::Now)
            }
        }
    }
}
