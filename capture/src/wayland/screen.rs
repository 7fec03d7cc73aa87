//! What the compositor has told: its globals, its outputs, and by which way the chosen one is copied.
//!
//! Promises: what every way shares is told once, to the outputs and the delivery. Refuses: compositors that have no way
//! of copying, by the name of what is missing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wayland_client::protocol::{
    wl_buffer::WlBuffer,
    wl_callback::{self, WlCallback},
    wl_output::{self, WlOutput},
    wl_registry::{self, WlRegistry},
    wl_shm::WlShm,
    wl_shm_pool::WlShmPool,
};
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};

use super::WaylandOutput;
use super::delivery::Delivery;
use super::outputs::Outputs;
use super::way::{Managers, Protocol, Way};
use crate::Diagnosis;
use crate::exchange::Exchange;

/// `buffer_done`, without which nobody knows when to ask.
const SCREENCOPY_VERSION: u32 = 3;
/// `wl_output.name`.
const OUTPUT_VERSION: u32 = 4;

/// The state behind the event queue.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) outputs: Outputs,
    pub(super) delivery: Delivery,
    pub(super) way: Option<Way>,
    managers: Managers,
    /// Answers to `sync`.
    pub(super) syncs: u32,
}

impl Screen {
    pub(super) fn new(exchange: Arc<Exchange<WaylandOutput>>) -> Self {
        Self {
            outputs: Outputs::default(),
            delivery: Delivery::new(exchange),
            way: None,
            managers: Managers::default(),
            syncs: 0,
        }
    }

    /// Chooses the output that is captured, and opens the way to it.
    pub(super) fn open(
        &mut self,
        output: Option<&str>,
        protocol: Option<Protocol>,
        queue: &QueueHandle<Self>,
    ) -> Result<Protocol, Diagnosis> {
        if self.delivery.shm.is_none() {
            return Err(Diagnosis::GlobalMissing { missing: "wl_shm" });
        }
        let chosen = self.managers.choose(protocol)?;
        let way = Way::open(&chosen, self.outputs.choose(output)?, queue);
        let protocol = way.protocol();
        self.way = Some(way);
        Ok(protocol)
    }

    /// Asks for copies until enough are on their way.
    pub(super) fn top_up(&mut self, queue: &QueueHandle<Self>, now: Instant) {
        if let Some(way) = &mut self.way
            && self.delivery.may_ask(now)
        {
            way.top_up(&mut self.delivery, queue);
        }
    }

    /// Why there is no picture yet, as far as it can be told.
    pub(super) fn diagnose(&self) -> Diagnosis {
        let output = self.outputs.name();
        let failures = self.delivery.failures;
        if failures > 0 {
            return Diagnosis::CopyFailed { output, failures };
        }
        match self.way.as_ref().and_then(Way::unanswered) {
            Some(request) => Diagnosis::NoAnswer { request },
            None => Diagnosis::NoDamage { output },
        }
    }
}

/// A time of the compositor's clock, as the protocols cut it up.
pub(super) fn timestamp(seconds_high: u32, seconds_low: u32, nanoseconds: u32) -> Duration {
    let seconds = u64::from(seconds_high) << 32 | u64::from(seconds_low);
    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds.into()))
}

impl Dispatch<WlRegistry, ()> for Screen {
    fn event(
        screen: &mut Self,
        registry: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        let managers = &mut screen.managers;
        match event {
            wl_registry::Event::Global { name, interface, version } => match interface.as_str() {
                "wl_shm" => screen.delivery.shm = Some(registry.bind(name, 1, queue, ())),
                "ext_output_image_capture_source_manager_v1" => {
                    managers.sources = Some(registry.bind(name, 1, queue, ()));
                }
                "ext_image_copy_capture_manager_v1" => {
                    managers.image_copy = Some(registry.bind(name, 1, queue, ()));
                }
                "zwlr_screencopy_manager_v1" if version >= SCREENCOPY_VERSION => {
                    managers.screencopy = Some(registry.bind(name, SCREENCOPY_VERSION, queue, ()));
                }
                "wl_output" => {
                    let version = version.min(OUTPUT_VERSION);
                    screen.outputs.add(name, registry.bind(name, version, queue, name));
                }
                _ => {}
            },
            wl_registry::Event::GlobalRemove { name } => {
                if let Some(fault) = screen.outputs.remove(name) {
                    // It says more than that the capture of it has ended.
                    screen.delivery.fault = Some(fault);
                }
            }
            // The protocol's own: it may grow.
            _ => {}
        }
    }
}

impl Dispatch<WlOutput, u32> for Screen {
    fn event(
        screen: &mut Self,
        _: &WlOutput,
        event: wl_output::Event,
        global: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        screen.outputs.tell(*global, event);
    }
}

impl Dispatch<WlCallback, ()> for Screen {
    fn event(
        screen: &mut Self,
        _: &WlCallback,
        event: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_callback::Event::Done { .. } = event {
            screen.syncs = screen.syncs.wrapping_add(1);
        }
    }
}

delegate_noop!(Screen: ignore WlShm);
delegate_noop!(Screen: ignore WlBuffer);
delegate_noop!(Screen: WlShmPool);
