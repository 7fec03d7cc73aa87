//! The shader, made for each kind of source that comes: compiled once, on the first picture of its kind.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use ash::vk;

use crate::GpuError;
use crate::device::Shared;
use crate::error::Link;
use crate::format::{Order, OutputFormat, Siting};
use crate::limits::{IMPORTS_MAX, IN_FLIGHT_MAX, OUTPUTS_MAX, OVERLAYS_MAX};
use crate::output::OutputSpec;

/// `shaders/convert.comp`, as `cargo xtask shaders` builds it.
const FROM_IMAGE: &[u8] = include_bytes!("../shaders/convert_image.spv");
const FROM_BUFFER: &[u8] = include_bytes!("../shaders/convert_buffer.spv");
const FROM_PLANES: &[u8] = include_bytes!("../shaders/convert_planes.spv");

/// Invocations of a group, across and down; each makes two rows of a block.
const GROUP: [u32; 2] = [16, 8];

/// Sets of sources: those that are kept, those that are leaving, and one while another takes its place; of uploads; of
/// overlays: kept, leaving, one more, and none; of outputs.
const SETS_MAX: u32 = ((IMPORTS_MAX + IN_FLIGHT_MAX + 1)
    + (IN_FLIGHT_MAX + 1)
    + (OVERLAYS_MAX + IN_FLIGHT_MAX + 2)
    + OUTPUTS_MAX) as u32;

/// Where the shader reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum From {
    /// An imported image.
    Image,
    /// Words of RGB in a buffer.
    Buffer,
    /// Planes of 4:2:0 in a buffer.
    Planes,
}

/// What a shader is made for, beside the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) from: From,
    pub(crate) order: Order,
    pub(crate) is_scaled: bool,
}

/// What one picture's conversion is told: the shader's `Job`, word by word.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Job {
    pub(crate) source_size: [u32; 2],
    pub(crate) place_at: [u32; 2],
    pub(crate) place_size: [u32; 2],
    pub(crate) picture_size: [u32; 2],
    pub(crate) source_at: u32,
    pub(crate) source_stride: u32,
    pub(crate) luma_pitch: u32,
    pub(crate) chroma_pitch: u32,
    pub(crate) chroma_at: [u32; 2],
    pub(crate) overlay_at: [i32; 2],
    pub(crate) overlay_size: [u32; 2],
    pub(crate) unused: [u32; 2],
    pub(crate) weights: [[i32; 4]; 3],
}

/// Its bytes, which every driver takes at least.
pub(crate) const JOB_BYTES: u32 = size_of::<Job>() as u32;
const _: () = assert!(JOB_BYTES == 128);

impl Job {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the structure is of 32-bit numbers alone, without gaps.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

/// The shaders of one importer.
#[derive(Debug)]
pub(crate) struct Pipelines {
    device: Arc<Shared>,
    output: OutputSpec,
    /// Of an image, of a buffer (also the outputs' and the overlays').
    set_layouts: [vk::DescriptorSetLayout; 2],
    layouts: [vk::PipelineLayout; 2],
    pool: vk::DescriptorPool,
    made: HashMap<Kind, vk::Pipeline>,
}

fn index(from: From) -> usize {
    match from {
        From::Image => 0,
        From::Buffer | From::Planes => 1,
    }
}

impl Pipelines {
    pub(crate) fn new(device: &Arc<Shared>, output: OutputSpec) -> Result<Self, GpuError> {
        let null = (vk::DescriptorSetLayout::null(), vk::PipelineLayout::null());
        let mut pipelines = Self {
            device: Arc::clone(device),
            output,
            set_layouts: [null.0; 2],
            layouts: [null.1; 2],
            pool: vk::DescriptorPool::null(),
            made: HashMap::new(),
        };
        let vulkan = &device.device;
        let kinds = [vk::DescriptorType::SAMPLED_IMAGE, vk::DescriptorType::STORAGE_BUFFER];
        for (slot, kind) in pipelines.set_layouts.iter_mut().zip(kinds) {
            let binding = [vk::DescriptorSetLayoutBinding::default()
                .descriptor_type(kind)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)];
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&binding);
            // SAFETY: what is pointed to lives until the call returns.
            let layout = unsafe { vulkan.create_descriptor_set_layout(&create, None) };
            *slot = layout.map_err(GpuError::call(Link::Convert, "vkCreateDescriptorSetLayout"))?;
        }
        let job =
            [vk::PushConstantRange::default().stage_flags(vk::ShaderStageFlags::COMPUTE).size(JOB_BYTES)];
        for (slot, source) in pipelines.layouts.iter_mut().zip(pipelines.set_layouts) {
            let sets = [source, pipelines.set_layouts[1], pipelines.set_layouts[1]];
            let create =
                vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&job);
            // SAFETY: as above.
            let layout = unsafe { vulkan.create_pipeline_layout(&create, None) };
            *slot = layout.map_err(GpuError::call(Link::Convert, "vkCreatePipelineLayout"))?;
        }
        let sizes = kinds.map(|kind| vk::DescriptorPoolSize { ty: kind, descriptor_count: SETS_MAX });
        let create = vk::DescriptorPoolCreateInfo::default()
            .flags(vk::DescriptorPoolCreateFlags::FREE_DESCRIPTOR_SET)
            .max_sets(SETS_MAX)
            .pool_sizes(&sizes);
        // SAFETY: as above.
        let pool = unsafe { vulkan.create_descriptor_pool(&create, None) };
        pipelines.pool = pool.map_err(GpuError::call(Link::Convert, "vkCreateDescriptorPool"))?;
        Ok(pipelines)
    }

    /// A set that names an image, which is in the layout that shaders read.
    pub(crate) fn name_image(&self, view: vk::ImageView) -> Result<vk::DescriptorSet, GpuError> {
        let set = self.allocate(From::Image)?;
        let image = [vk::DescriptorImageInfo::default()
            .image_view(view)
            .image_layout(vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL)];
        let write = vk::WriteDescriptorSet::default()
            .dst_set(set)
            .descriptor_type(vk::DescriptorType::SAMPLED_IMAGE)
            .image_info(&image);
        // SAFETY: the set is new, and of the layout that has an image.
        unsafe { self.device.device.update_descriptor_sets(&[write], &[]) };
        Ok(set)
    }

    /// A set that names a buffer.
    pub(crate) fn name_buffer(&self, buffer: vk::Buffer) -> Result<vk::DescriptorSet, GpuError> {
        let set = self.allocate(From::Buffer)?;
        let whole = [vk::DescriptorBufferInfo::default().buffer(buffer).range(vk::WHOLE_SIZE)];
        let write = vk::WriteDescriptorSet::default()
            .dst_set(set)
            .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
            .buffer_info(&whole);
        // SAFETY: the set is new, and of the layout that has a buffer.
        unsafe { self.device.device.update_descriptor_sets(&[write], &[]) };
        Ok(set)
    }

    fn allocate(&self, from: From) -> Result<vk::DescriptorSet, GpuError> {
        let layouts = [self.set_layouts[index(from)]];
        let allocate =
            vk::DescriptorSetAllocateInfo::default().descriptor_pool(self.pool).set_layouts(&layouts);
        // SAFETY: the pool is not used elsewhere meanwhile.
        let sets = unsafe { self.device.device.allocate_descriptor_sets(&allocate) };
        let sets = sets.map_err(GpuError::call(Link::Convert, "vkAllocateDescriptorSets"))?;
        Ok(sets[0])
    }

    /// Takes back a set that the GPU is done with.
    pub(crate) fn free(&self, set: vk::DescriptorSet) {
        // SAFETY: the set is of this pool, which lets single ones go; nothing uses it. The call cannot fail.
        let _ = unsafe { self.device.device.free_descriptor_sets(self.pool, &[set]) };
    }

    /// Sees to it that the shader for a kind is there.
    pub(crate) fn prepare(&mut self, kind: Kind) -> Result<(), GpuError> {
        if !self.made.contains_key(&kind) {
            let pipeline = self.make(kind)?;
            self.made.insert(kind, pipeline);
        }
        Ok(())
    }

    /// Records one picture's conversion, by a shader that is prepared.
    pub(crate) fn record(
        &self,
        commands: vk::CommandBuffer,
        kind: Kind,
        sets: [vk::DescriptorSet; 3],
        job: &Job,
    ) {
        let Some(pipeline) = self.made.get(&kind) else { return };
        let layout = self.layouts[index(kind.from)];
        let vulkan = &self.device.device;
        let block = [block_width(self.output.format), 2];
        let groups = [0, 1].map(|side| job.picture_size[side].div_ceil(block[side] * GROUP[side]));
        let point = vk::PipelineBindPoint::COMPUTE;
        // SAFETY: the buffer is being recorded; pipeline, sets and job are of one layout.
        unsafe {
            vulkan.cmd_bind_pipeline(commands, point, *pipeline);
            vulkan.cmd_bind_descriptor_sets(commands, point, layout, 0, &sets, &[]);
            vulkan.cmd_push_constants(commands, layout, vk::ShaderStageFlags::COMPUTE, 0, job.bytes());
            vulkan.cmd_dispatch(commands, groups[0], groups[1], 1);
        }
    }

    fn make(&self, kind: Kind) -> Result<vk::Pipeline, GpuError> {
        let vulkan = &self.device.device;
        let code = match kind.from {
            From::Image => FROM_IMAGE,
            From::Buffer => FROM_BUFFER,
            From::Planes => FROM_PLANES,
        };
        let code = ash::util::read_spv(&mut Cursor::new(code))
            .expect("what the tree holds is SPIR-V, see the tests");
        let create = vk::ShaderModuleCreateInfo::default().code(&code);
        // SAFETY: the code is valid, and lives until the call returns.
        let module = unsafe { vulkan.create_shader_module(&create, None) };
        let module = module.map_err(GpuError::call(Link::Convert, "vkCreateShaderModule"))?;
        let constants = constants(&self.output, kind);
        let bytes: Vec<u8> = constants.iter().flat_map(|constant| constant.to_ne_bytes()).collect();
        let entries: Vec<_> = (0_u32..)
            .zip(&constants)
            .map(|(id, _)| vk::SpecializationMapEntry { constant_id: id, offset: 4 * id, size: 4 })
            .collect();
        let special = vk::SpecializationInfo::default().map_entries(&entries).data(&bytes);
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main")
            .specialization_info(&special);
        let create =
            vk::ComputePipelineCreateInfo::default().stage(stage).layout(self.layouts[index(kind.from)]);
        // SAFETY: the module is of the layout's interface; what is pointed to lives until the call returns.
        let made = unsafe { vulkan.create_compute_pipelines(vk::PipelineCache::null(), &[create], None) };
        // SAFETY: a pipeline does not need its module.
        unsafe { vulkan.destroy_shader_module(module, None) };
        let made =
            made.map_err(|(_, code)| GpuError::call(Link::Convert, "vkCreateComputePipelines")(code))?;
        Ok(made[0])
    }
}

/// The shader's constants, in the order of their numbers.
fn constants(output: &OutputSpec, kind: Kind) -> [u32; 5] {
    let format = match output.format {
        OutputFormat::Nv12 => 0,
        OutputFormat::P010 => 1,
        OutputFormat::Yuv444 => 2,
        OutputFormat::Yuv444p10 => 3,
        OutputFormat::I420 => 4,
    };
    let siting = match output.colour.siting {
        Siting::Left => 0,
        Siting::Centre => 1,
        Siting::TopLeft => 2,
    };
    let red_is_lowest = matches!(kind.order, Order::Rgb8 | Order::Rgb10);
    [format, siting, kind.order.bits(), u32::from(red_is_lowest), u32::from(kind.is_scaled)]
}

/// Columns of pixels that an invocation makes.
fn block_width(format: OutputFormat) -> u32 {
    if format == OutputFormat::I420 { 8 } else { 4 }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        let vulkan = &self.device.device;
        // SAFETY: nothing of the GPU's uses any of it: the importer waits for that. What was not made is null.
        unsafe {
            self.made.values().for_each(|pipeline| vulkan.destroy_pipeline(*pipeline, None));
            vulkan.destroy_descriptor_pool(self.pool, None);
            self.layouts.iter().for_each(|layout| vulkan.destroy_pipeline_layout(*layout, None));
            self.set_layouts.iter().for_each(|layout| vulkan.destroy_descriptor_set_layout(*layout, None));
        }
    }
}
