//! Cursors and the like: small images that are blended over pictures, uploaded once each.

use std::sync::Arc;

use ash::vk;

use crate::cache::Cache;
use crate::device::Shared;
use crate::format::PIXEL_BYTES;
use crate::limits::{IN_FLIGHT_MAX, OVERLAY_SIDE_MAX, OVERLAYS_MAX};
use crate::memory::Buffer;
use crate::pipeline::Pipelines;
use crate::{GpuError, Overlay};

// What makes room may be under way, and then leaves later.
const _: () = assert!(OVERLAYS_MAX >= IN_FLIGHT_MAX);

/// The overlays of one importer.
#[derive(Debug)]
pub(crate) struct Overlays {
    device: Arc<Shared>,
    kept: Cache<u64, (Buffer, vk::DescriptorSet)>,
    /// What is named where there is none: a pixel that is never read.
    none: (Buffer, vk::DescriptorSet),
}

impl Overlays {
    pub(crate) fn new(device: &Arc<Shared>, pipelines: &Pipelines) -> Result<Self, GpuError> {
        let none = upload(device, pipelines, &[0; PIXEL_BYTES as usize])?;
        Ok(Self { device: Arc::clone(device), kept: Cache::new(OVERLAYS_MAX), none })
    }

    /// The set of an overlay, or of none.
    pub(crate) fn find(
        &mut self,
        pipelines: &Pipelines,
        overlay: Option<Overlay<'_>>,
    ) -> Result<vk::DescriptorSet, GpuError> {
        let Some(overlay) = overlay else { return Ok(self.none.1) };
        let Overlay { image, width, height, pixels, .. } = overlay;
        if width.max(height) > OVERLAY_SIDE_MAX {
            return Err(GpuError::Size { width, height, why: "an overlay's sides are 1024 pixels at most" });
        }
        if pixels.len() as u64 != u64::from(width) * u64::from(height) * u64::from(PIXEL_BYTES) {
            return Err(GpuError::Size {
                width,
                height,
                why: "an overlay has four bytes for each of its pixels",
            });
        }
        if pixels.is_empty() {
            return Ok(self.none.1);
        }
        if let Some((buffer, set)) = self.kept.find(image) {
            if buffer.bytes() == pixels.len() as u64 {
                return Ok(*set);
            }
            self.kept.forget(image);
        }
        let made = upload(&self.device, pipelines, pixels)?;
        let set = made.1;
        self.kept.insert(image, made);
        Ok(set)
    }

    pub(crate) fn note_use(&mut self, overlay: Option<Overlay<'_>>, value: u64) {
        if let Some(overlay) = overlay {
            self.kept.note_use(overlay.image, value);
        }
    }

    pub(crate) fn retire(&mut self, pipelines: &Pipelines, done: u64) {
        self.kept.take_left(done).for_each(|(_, set)| pipelines.free(set));
    }

    pub(crate) fn end(&mut self, pipelines: &Pipelines) {
        self.kept.drain().for_each(|(_, set)| pipelines.free(set));
        pipelines.free(self.none.1);
    }
}

fn upload(
    device: &Arc<Shared>,
    pipelines: &Pipelines,
    pixels: &[u8],
) -> Result<(Buffer, vk::DescriptorSet), GpuError> {
    let mut buffer = Buffer::upload(device, pixels.len() as u64)?;
    // SAFETY: the buffer is new: the GPU knows nothing of it.
    if let Some(to) = unsafe { buffer.contents_mut() } {
        to.copy_from_slice(pixels);
    }
    let set = pipelines.name_buffer(buffer.handle)?;
    Ok((buffer, set))
}
