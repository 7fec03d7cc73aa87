//! The work that is under way: what records it, what stamps it, and what goes with it.
//!
//! Promises: what a piece of work holds lives until the timeline says that it is over; it is over in the order in which it
//! was begun. Refuses: more than [`IN_FLIGHT_MAX`] pieces.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use ash::vk;

use crate::device::Shared;
use crate::error::Link;
use crate::limits::{IN_FLIGHT_MAX, OUTPUTS_MAX};
use crate::syncobj::Syncobjs;
use crate::{GpuError, SyncPoint};

/// Stamps of a piece of work: before and behind.
const STAMPS: u32 = 2;

/// What goes with a piece of work.
#[derive(Debug, Default)]
pub(crate) struct Cargo {
    /// Semaphores that are used once.
    pub(crate) semaphores: Vec<vk::Semaphore>,
    /// A producer's point that nobody else brings up.
    pub(crate) late_release: Option<(OwnedFd, u64)>,
}

#[derive(Debug)]
struct Work {
    value: u64,
    output: usize,
    place: usize,
    cargo: Cargo,
}

/// The work under way.
#[derive(Debug)]
pub(crate) struct Flight {
    device: Arc<Shared>,
    pool: vk::CommandPool,
    stamps: vk::QueryPool,
    commands: Vec<vk::CommandBuffer>,
    free: Vec<usize>,
    under_way: VecDeque<Work>,
    /// Of each output the last work that is over, and how long it took.
    times: [Option<(u64, Duration)>; OUTPUTS_MAX],
}

impl Flight {
    pub(crate) fn new(device: &Arc<Shared>) -> Result<Self, GpuError> {
        let (pool, stamps) = (vk::CommandPool::null(), vk::QueryPool::null());
        let mut flight = Self {
            device: Arc::clone(device),
            pool,
            stamps,
            commands: Vec::new(),
            free: (0..IN_FLIGHT_MAX).collect(),
            under_way: VecDeque::with_capacity(IN_FLIGHT_MAX),
            times: [None; OUTPUTS_MAX],
        };
        let vulkan = &device.device;
        let create = vk::CommandPoolCreateInfo::default()
            .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER | vk::CommandPoolCreateFlags::TRANSIENT)
            .queue_family_index(device.family);
        // SAFETY: what is pointed to lives until the call returns.
        let pool = unsafe { vulkan.create_command_pool(&create, None) };
        flight.pool = pool.map_err(GpuError::call(Link::Convert, "vkCreateCommandPool"))?;
        let count = IN_FLIGHT_MAX as u32;
        let allocate = vk::CommandBufferAllocateInfo::default()
            .command_pool(flight.pool)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(count);
        // SAFETY: the pool is ours.
        let commands = unsafe { vulkan.allocate_command_buffers(&allocate) };
        flight.commands = commands.map_err(GpuError::call(Link::Convert, "vkAllocateCommandBuffers"))?;
        if device.caps.timestamps.is_some() {
            let create = vk::QueryPoolCreateInfo::default()
                .query_type(vk::QueryType::TIMESTAMP)
                .query_count(STAMPS * count);
            // SAFETY: as above.
            let stamps = unsafe { vulkan.create_query_pool(&create, None) };
            flight.stamps = stamps.map_err(GpuError::call(Link::Convert, "vkCreateQueryPool"))?;
        }
        Ok(flight)
    }

    /// What the timeline comes to when the oldest work is over; none when there is room for more.
    pub(crate) fn full_until(&self) -> Option<u64> {
        self.under_way.front().filter(|_| self.free.is_empty()).map(|work| work.value)
    }

    /// Begins to record a piece of work, for which there is room: its place.
    pub(crate) fn begin(&self) -> Result<(usize, vk::CommandBuffer), GpuError> {
        let place = *self.free.last().expect("the caller waits until there is room");
        let commands = self.commands[place];
        let begin = vk::CommandBufferBeginInfo::default().flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the work that was recorded in it before is over.
        unsafe { self.device.device.begin_command_buffer(commands, &begin) }
            .map_err(GpuError::call(Link::Convert, "vkBeginCommandBuffer"))?;
        if self.stamps != vk::QueryPool::null() {
            // SAFETY: the buffer is being recorded; the place's stamps are of that work too.
            unsafe {
                self.device.device.cmd_reset_query_pool(commands, self.stamps, STAMPS * place as u32, STAMPS);
            }
        }
        self.stamp(place, 0);
        Ok((place, commands))
    }

    /// Stamps a piece of work that is being recorded.
    fn stamp(&self, place: usize, number: u32) {
        if self.stamps != vk::QueryPool::null() {
            let (stage, query) = (vk::PipelineStageFlags2::COMPUTE_SHADER, STAMPS * place as u32 + number);
            // SAFETY: the buffer is being recorded; the stamp was reset in it.
            unsafe {
                self.device.device.cmd_write_timestamp2(self.commands[place], stage, self.stamps, query);
            }
        }
    }

    /// Ends the record of a piece of work.
    pub(crate) fn end(&self, place: usize) -> Result<(), GpuError> {
        self.stamp(place, 1);
        // SAFETY: the buffer is being recorded.
        unsafe { self.device.device.end_command_buffer(self.commands[place]) }
            .map_err(GpuError::call(Link::Convert, "vkEndCommandBuffer"))
    }

    /// Begins a piece of work: the GPU waits for `waits`, does it, and then tells `tells`.
    pub(crate) fn submit(
        &self,
        place: usize,
        waits: &[vk::SemaphoreSubmitInfo<'_>],
        tells: &[vk::SemaphoreSubmitInfo<'_>],
    ) -> Result<(), GpuError> {
        let commands = [vk::CommandBufferSubmitInfo::default().command_buffer(self.commands[place])];
        let submit = vk::SubmitInfo2::default()
            .command_buffer_infos(&commands)
            .wait_semaphore_infos(waits)
            .signal_semaphore_infos(tells);
        self.device.submit(&submit, Link::Convert)
    }

    /// Notes work that has begun, which is over when the timeline comes to `value`.
    pub(crate) fn note(&mut self, place: usize, output: usize, value: u64, cargo: Cargo) {
        self.free.retain(|free| *free != place);
        self.under_way.push_back(Work { value, output, place, cargo });
    }

    /// Puts away what is over, now that the timeline is at `value`; how many producers were told.
    pub(crate) fn retire(&mut self, value: u64, syncobjs: Option<&Syncobjs>) -> u64 {
        let mut told = 0;
        while let Some(work) = self.under_way.pop_front_if(|work| work.value <= value) {
            self.times[work.output] = self.time(work.place).map(|time| (work.value, time));
            self.free.push(work.place);
            told += u64::from(put_away(&self.device, work.cargo, syncobjs));
        }
        told
    }

    /// Puts everything away, since nothing of it is under way any more: it is over, or the device is lost; how many producers
    /// were told.
    pub(crate) fn put_all_away(&mut self, syncobjs: Option<&Syncobjs>) -> u64 {
        let all =
            self.under_way.drain(..).map(|work| u64::from(put_away(&self.device, work.cargo, syncobjs)));
        all.sum()
    }

    /// How long the work in a place took, which is over.
    fn time(&self, place: usize) -> Option<Duration> {
        let tick_ns = f64::from(self.device.caps.timestamps?);
        let mut stamps = [0_u64; STAMPS as usize];
        let flags = vk::QueryResultFlags::TYPE_64;
        // SAFETY: the work that writes the stamps is over.
        unsafe {
            self.device.device.get_query_pool_results(self.stamps, STAMPS * place as u32, &mut stamps, flags)
        }
        .ok()?;
        let ticks = stamps[1].saturating_sub(stamps[0]);
        Some(Duration::from_nanos((ticks as f64 * tick_ns) as u64))
    }

    /// How long an output's work took that is over since the timeline came to `value`.
    pub(crate) fn time_of(&self, output: usize, value: u64) -> Option<Duration> {
        self.times.get(output).copied().flatten().filter(|(of, _)| *of == value).map(|(_, time)| time)
    }
}

/// Ends what went with a piece of work; true if a producer was told.
pub(crate) fn put_away(device: &Shared, cargo: Cargo, syncobjs: Option<&Syncobjs>) -> bool {
    for semaphore in cargo.semaphores {
        // SAFETY: the work that uses it is over, or was never begun.
        unsafe { device.device.destroy_semaphore(semaphore, None) };
    }
    let (Some((syncobj, point)), Some(syncobjs)) = (cargo.late_release, syncobjs) else { return false };
    if let Err(error) = syncobjs.signal(SyncPoint { syncobj: syncobj.as_fd(), point }) {
        tracing::warn!(%error, "a producer is not told that its buffer is free");
    }
    true
}

impl Drop for Flight {
    fn drop(&mut self) {
        let vulkan = &self.device.device;
        for work in self.under_way.drain(..) {
            put_away(&self.device, work.cargo, None);
        }
        // SAFETY: the importer has waited for all of it. What was not made is null.
        unsafe {
            vulkan.destroy_query_pool(self.stamps, None);
            vulkan.destroy_command_pool(self.pool, None);
        }
    }
}
