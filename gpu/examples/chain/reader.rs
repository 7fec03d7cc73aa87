//! CUDA as the outputs' reader.
//!
//! Promises: what it reads is ordered behind the conversion by the stream, and by nobody who waits. Refuses: another GPU than
//! the device; a CUDA that is not there is told from one that does not work.

use std::time::{Duration, Instant};

use punktfunk_cuda::{
    Breakage, Context, Cuda, CudaError, DeviceBuffer, Event, Extent, Priority, Rows, Stream, Uuid,
};
use punktfunk_gpu::{CudaOutputs, Device, Done, GpuError, Importer, OutputSpec, Ticket};

/// A context and a stream on the device's GPU.
pub struct Reader {
    context: Context,
    stream: Stream,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoReader {
    /// No CUDA, or none for this device.
    Absent(String),
    /// It is there and does not work.
    Broken(String),
}

/// cuInit's answer where there is no card.
const NO_DEVICE: i32 = 100;

/// The first card that CUDA has, whatever Vulkan has.
pub fn card() -> Option<String> {
    let cards = Cuda::load().and_then(|cuda| cuda.devices()).ok()?;
    cards.first().map(|card| card.name().to_owned())
}

impl Reader {
    /// CUDA on the same GPU.
    pub fn open(device: &Device) -> Result<Self, NoReader> {
        let is_nvidias = device.description().name.contains("NVIDIA");
        let absent = |why: String| if is_nvidias { NoReader::Broken(why) } else { NoReader::Absent(why) };
        let cuda = match Cuda::load() {
            Ok(cuda) => cuda,
            Err(error @ CudaError::Absent) => return Err(NoReader::Absent(error.to_string())),
            Err(CudaError::Broken(Breakage::Init { code })) if code.value() == NO_DEVICE => {
                return Err(absent(format!("CUDA has no device ({code})")));
            }
            Err(error) => return Err(NoReader::Broken(error.to_string())),
        };
        let broken = |error: CudaError| NoReader::Broken(error.to_string());
        let found = cuda.device_by_uuid(Uuid(device.uuid().0)).map_err(broken)?;
        let Some(found) = found else {
            return Err(absent(format!("CUDA has no device {}", device.uuid())));
        };
        let context = found.context().map_err(broken)?;
        let stream = Stream::new(&context, Priority::Highest).map_err(broken)?;
        Ok(Self { context, stream })
    }

    /// An importer's outputs.
    pub fn outputs(&self, importer: &Importer) -> Result<CudaOutputs, GpuError> {
        importer.cuda(&self.context)
    }

    /// Bytes of the device's memory that are in use, by whomever.
    pub fn used_bytes(&self) -> Result<usize, CudaError> {
        self.context.memory().map(|(free, total)| total - free)
    }

    /// A ticket's picture as CUDA sees it, plane by plane without what is between the rows; the output is released.
    pub fn read(
        &self,
        importer: &mut Importer,
        outputs: &CudaOutputs,
        ticket: Ticket,
    ) -> Result<Vec<u8>, GpuError> {
        outputs.wait(importer, ticket, &self.stream)?;
        let Some(memory) = outputs.memory(ticket.output) else {
            return Err(GpuError::Stale { output: ticket.output, value: ticket.value });
        };
        let mut read = Vec::new();
        for (rows, extent) in planes(&importer.spec()) {
            let before = read.len();
            read.resize(before + extent.width_bytes * extent.rows, 0);
            let from: &dyn DeviceBuffer = &**memory;
            self.stream.read(from, rows, &mut read[before..], extent.width_bytes, extent)?;
        }
        outputs.release(importer, ticket, &self.stream)?;
        Ok(read)
    }

    /// Hands a picture over, and waits here, as no stage does, until it is there: how long that took since `began`.
    pub fn pass_on(
        &self,
        importer: &mut Importer,
        outputs: &CudaOutputs,
        ticket: Ticket,
        began: Instant,
    ) -> Result<Duration, GpuError> {
        outputs.wait(importer, ticket, &self.stream)?;
        let there = Event::new(&self.context)?;
        there.record(&self.stream)?;
        outputs.release(importer, ticket, &self.stream)?;
        there.wait()?;
        Ok(began.elapsed())
    }
}

/// Where an output's planes are, and how much of their rows are samples.
pub fn planes(spec: &OutputSpec) -> Vec<(Rows, Extent)> {
    let layout = spec.layout();
    let luma = (spec.width * spec.format.sample_bytes()) as usize;
    let planes = layout.planes().iter().enumerate().map(|(index, plane)| {
        // A row of U and V in turn is as long as one of Y.
        let is_halved = spec.format.is_420() && index > 0 && layout.planes().len() == 3;
        let width_bytes = if is_halved { luma / 2 } else { luma };
        let offset = usize::try_from(plane.offset).unwrap_or(usize::MAX);
        (Rows { offset, pitch: plane.pitch as usize }, Extent { width_bytes, rows: plane.rows as usize })
    });
    planes.collect()
}

/// A picture that one reader or none has taken: without one this thread is the reader.
pub fn pass_on(
    importer: &mut Importer,
    ticket: Ticket,
    reader: Option<(&CudaOutputs, &Reader)>,
    began: Instant,
) -> Result<Option<Duration>, GpuError> {
    match reader {
        Some((outputs, reader)) => reader.pass_on(importer, outputs, ticket, began).map(Some),
        None => {
            importer.wait(ticket)?;
            importer.release(ticket, Done::Now)?;
            Ok(None)
        }
    }
}
