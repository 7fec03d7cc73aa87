//! What stands around a conversion in its record: whose an image and an output are, and when.

use std::sync::Arc;

use ash::vk;

use super::Handover;
use crate::device::Shared;
use crate::image::WHOLE;

/// What stands around a conversion in its record.
pub(super) struct Barriers<'a> {
    pub(super) device: &'a Arc<Shared>,
    pub(super) commands: vk::CommandBuffer,
}

impl Barriers<'_> {
    /// Whom a producer's image belongs to between our turns.
    fn producer(&self) -> u32 {
        if self.device.caps.knows_foreign { vk::QUEUE_FAMILY_FOREIGN_EXT } else { vk::QUEUE_FAMILY_EXTERNAL }
    }

    /// Takes the image over, and lets what was written to the output before be over.
    pub(super) fn before(&self, image: Option<vk::Image>) {
        let shader = vk::PipelineStageFlags2::COMPUTE_SHADER;
        let memory = [vk::MemoryBarrier2::default()
            .src_stage_mask(shader)
            .src_access_mask(vk::AccessFlags2::SHADER_STORAGE_WRITE)
            .dst_stage_mask(shader)
            .dst_access_mask(vk::AccessFlags2::SHADER_STORAGE_WRITE)];
        let images = image.map(|image| {
            vk::ImageMemoryBarrier2::default()
                .image(image)
                .subresource_range(WHOLE)
                .old_layout(vk::ImageLayout::GENERAL)
                .new_layout(vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL)
                .src_queue_family_index(self.producer())
                .dst_queue_family_index(self.device.family)
                .dst_stage_mask(shader)
                .dst_access_mask(vk::AccessFlags2::SHADER_SAMPLED_READ)
        });
        self.record(&memory, &[], images.as_slice());
    }

    /// Gives the image back, and the output to its reader.
    pub(super) fn after(&self, image: Option<vk::Image>, output: vk::Buffer, handover: Handover) {
        let shader = vk::PipelineStageFlags2::COMPUTE_SHADER;
        let written = vk::BufferMemoryBarrier2::default()
            .buffer(output)
            .size(vk::WHOLE_SIZE)
            .src_stage_mask(shader)
            .src_access_mask(vk::AccessFlags2::SHADER_STORAGE_WRITE);
        let written = match handover {
            Handover::Mapped => written
                .dst_stage_mask(vk::PipelineStageFlags2::HOST)
                .dst_access_mask(vk::AccessFlags2::HOST_READ)
                .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
                .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED),
            // What comes back is overwritten, and so need not be taken over again.
            Handover::Exported => written
                .src_queue_family_index(self.device.family)
                .dst_queue_family_index(vk::QUEUE_FAMILY_EXTERNAL),
        };
        let images = image.map(|image| {
            vk::ImageMemoryBarrier2::default()
                .image(image)
                .subresource_range(WHOLE)
                .old_layout(vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL)
                .new_layout(vk::ImageLayout::GENERAL)
                .src_queue_family_index(self.device.family)
                .dst_queue_family_index(self.producer())
                .src_stage_mask(shader)
                .src_access_mask(vk::AccessFlags2::SHADER_SAMPLED_READ)
        });
        self.record(&[], &[written], images.as_slice());
    }

    fn record(
        &self,
        memory: &[vk::MemoryBarrier2<'_>],
        buffers: &[vk::BufferMemoryBarrier2<'_>],
        images: &[vk::ImageMemoryBarrier2<'_>],
    ) {
        let dependency = vk::DependencyInfo::default()
            .memory_barriers(memory)
            .buffer_memory_barriers(buffers)
            .image_memory_barriers(images);
        // SAFETY: the buffer is being recorded; what is pointed to lives until the call returns.
        unsafe { self.device.device.cmd_pipeline_barrier2(self.commands, &dependency) };
    }
}
