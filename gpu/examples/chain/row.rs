//! One size's and format's figures.
//!
//! Promises: times are of pictures that come after the shader is made; each is waited for before the next one is begun, so
//! that none waits for room. Refuses: what the importer refuses.

use std::time::{Duration, Instant};

use punktfunk_gpu::{CudaOutputs, Device, GpuError, Handover, Importer, OutputSpec};

use crate::picture::Picture;
use crate::reader::{Reader, pass_on};

/// What was measured, each list in rising order.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What the device took for a picture, by its own clock.
    pub gpu: Vec<Duration>,
    /// What the first picture of a buffer took to be begun.
    pub import: Option<Duration>,
    /// What one took whose buffer was known.
    pub cached: Vec<Duration>,
    /// From the call until CUDA has it, less the device's time.
    pub hand_over: Vec<Duration>,
    /// Whether CUDA and Vulkan share timelines; none without CUDA.
    pub shares_timelines: Option<bool>,
    /// Waits of this thread for the hand-over, of pictures that CUDA reads.
    pub waits_hand_over: u64,
    /// All other waits of this thread.
    pub waits_other: u64,
    /// Whether pictures came as dmabufs.
    pub is_dmabuf: bool,
    /// Bytes that the CPU copied.
    pub copied: u64,
}

/// The value below which this part of a sorted list is.
pub fn quantile(sorted: &[Duration], part: f64) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * part).round() as usize).copied()
}

impl Row {
    /// Measures `pictures` pictures.
    pub fn measure(
        device: &Device,
        spec: OutputSpec,
        picture: &Picture,
        reader: Option<&Reader>,
        pictures: usize,
    ) -> Result<Self, GpuError> {
        let mut importer = Importer::new(device, spec, Handover::Exported)?;
        let outputs = reader.map(|reader| reader.outputs(&importer)).transpose()?;
        let reader = outputs.as_ref().zip(reader);
        // The first picture makes the shader; what an import takes is measured by a buffer that comes later.
        let first = picture.convert(&mut importer, 1)?;
        pass_on(&mut importer, first, reader, Instant::now())?;
        let began = Instant::now();
        let ticket = picture.convert(&mut importer, 2)?;
        let import = picture.is_dmabuf().then(|| began.elapsed());
        pass_on(&mut importer, ticket, reader, began)?;
        let shares_timelines = outputs.as_ref().map(CudaOutputs::shares_timelines);
        let is_dmabuf = picture.is_dmabuf();
        let mut row = Self { import, is_dmabuf, shares_timelines, ..Self::default() };
        let before = importer.counters();
        for _ in 0..pictures {
            row.one_more(&mut importer, picture, reader)?;
        }
        let after = importer.counters();
        [&mut row.gpu, &mut row.cached, &mut row.hand_over].into_iter().for_each(|times| times.sort());
        if reader.is_some() {
            row.waits_hand_over = after.host_waits_hand_over - before.host_waits_hand_over;
            row.waits_other = after.host_waits() - before.host_waits() - row.waits_hand_over;
        }
        row.copied = after.bytes_copied;
        Ok(row)
    }

    fn one_more(
        &mut self,
        importer: &mut Importer,
        picture: &Picture,
        reader: Option<(&CudaOutputs, &Reader)>,
    ) -> Result<(), GpuError> {
        let began = Instant::now();
        let ticket = picture.convert(importer, 2)?;
        if picture.is_dmabuf() {
            self.cached.push(began.elapsed());
        }
        let whole = pass_on(importer, ticket, reader, began)?;
        let gpu = importer.gpu_time(ticket);
        self.gpu.extend(gpu);
        self.hand_over.extend(whole.zip(gpu).map(|(whole, gpu)| whole.saturating_sub(gpu)));
        Ok(())
    }
}
