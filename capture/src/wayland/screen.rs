//! What the compositor has told: its globals, the output, and the copies that are on their way.
//!
//! Promises: each copy goes to a buffer that nobody reads; buffers follow the shape that the compositor asks for, copy by copy, so that
//! a mode change costs no picture more than it must. Refuses: shapes that [`Shape`] refuses, which is a
//! fault that ends the capture.

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
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum, delegate_noop};
use wayland_protocols_wlr::screencopy::v1::client::{
    zwlr_screencopy_frame_v1::{self, ZwlrScreencopyFrameV1},
    zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1,
};

use super::buffer::{Buffer, Shape};
use crate::exchange::Exchange;
use crate::limits::{
    REFRESH_MHZ_MAX, REFRESH_MHZ_MIN, SCREEN_BUFFERS, SCREEN_COPIES_IN_FLIGHT, SCREEN_RETRY_INTERVAL,
};
use crate::{Diagnosis, Mode, ModeError, stamp};

/// `buffer_done`, without which nobody knows when to ask.
const SCREENCOPY_VERSION: u32 = 3;
/// `wl_output.name`.
const OUTPUT_VERSION: u32 = 4;

/// What an output that does not tell its refresh (a nested one, say) is taken for, in millihertz.
const REFRESH_UNTOLD_MHZ: u32 = 60_000;

/// An output that was announced.
#[derive(Debug)]
pub(super) struct Output {
    /// Its number in the registry.
    global: u32,
    wl_output: WlOutput,
    pub(super) name: Option<String>,
    /// Width and height in pixels, refresh in millihertz.
    pub(super) mode: Option<(u32, u32, u32)>,
}

/// One copy that was asked for.
#[derive(Debug)]
struct Flight {
    frame: ZwlrScreencopyFrameV1,
    /// The last buffer that was offered and can be read, until `buffer_done`.
    offer: Option<Result<Shape, Diagnosis>>,
    /// What the compositor writes to, from `buffer_done` on.
    buffer: Option<Buffer>,
    y_invert: bool,
}

/// The state behind the event queue.
#[derive(Debug)]
pub(super) struct Screen {
    exchange: Arc<Exchange<Buffer>>,
    shm: Option<WlShm>,
    manager: Option<ZwlrScreencopyManagerV1>,
    outputs: Vec<Output>,
    /// The one that is captured: its number in the registry.
    chosen: Option<u32>,
    /// Answers to `sync`.
    pub(super) syncs: u32,
    flights: Vec<Flight>,
    /// Buffers that nobody has.
    free: Vec<Buffer>,
    /// Whether there was a picture.
    pub(super) has_captured: bool,
    /// Copies in a row that failed, and when the next one may be asked for.
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// Why there will be no more pictures.
    pub(super) fault: Option<Diagnosis>,
}

impl Screen {
    pub(super) fn new(exchange: Arc<Exchange<Buffer>>) -> Self {
        Self {
            exchange,
            shm: None,
            manager: None,
            outputs: Vec::new(),
            chosen: None,
            syncs: 0,
            flights: Vec::with_capacity(SCREEN_COPIES_IN_FLIGHT),
            free: Vec::with_capacity(SCREEN_BUFFERS),
            has_captured: false,
            failures: 0,
            retry_at: None,
            fault: None,
        }
    }

    /// What has to be there and is not.
    pub(super) fn check_globals(&self) -> Result<(), Diagnosis> {
        let missing = if self.shm.is_none() {
            "wl_shm"
        } else if self.manager.is_none() {
            "zwlr_screencopy_manager_v1 version 3"
        } else {
            return Ok(());
        };
        Err(Diagnosis::GlobalMissing { missing })
    }

    /// Chooses the output that is captured: the one named so, or the first one.
    pub(super) fn choose_output(&mut self, wanted: Option<&str>) -> Result<(), Diagnosis> {
        let named = |output: &&Output| wanted.is_none_or(|wanted| output.name.as_deref() == Some(wanted));
        let chosen = self.outputs.iter().find(named).map(|output| output.global);
        self.chosen = Some(match (chosen, wanted) {
            (Some(chosen), _) => chosen,
            (None, None) => return Err(Diagnosis::NoOutput),
            (None, Some(wanted)) => {
                let name = |output: &Output| output.name.clone().unwrap_or_else(|| "unnamed".to_owned());
                let have = self.outputs.iter().map(name).collect();
                return Err(Diagnosis::OutputNotFound { wanted: wanted.to_owned(), have });
            }
        });
        Ok(())
    }

    /// The output that is captured.
    pub(super) fn output(&self) -> Option<&Output> {
        self.outputs.iter().find(|output| Some(output.global) == self.chosen)
    }

    /// Its name, for people.
    pub(super) fn output_name(&self) -> String {
        self.output().and_then(|output| output.name.clone()).unwrap_or_else(|| "unnamed".to_owned())
    }

    /// Asks for copies until enough are on their way.
    pub(super) fn top_up(&mut self, queue: &QueueHandle<Self>, now: Instant) {
        if self.fault.is_some() || self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return;
        }
        self.retry_at = None;
        let Some(wl_output) = self.output().map(|output| output.wl_output.clone()) else { return };
        let Some(manager) = &self.manager else { return };
        while self.flights.len() < SCREEN_COPIES_IN_FLIGHT {
            // With the cursor in it: the client has no other one.
            let frame = manager.capture_output(1, &wl_output, queue, ());
            self.flights.push(Flight { frame, offer: None, buffer: None, y_invert: false });
        }
    }

    /// The output's mode, with even sides.
    pub(super) fn mode(&self) -> Result<Mode, ModeError> {
        let (width, height, _) = self.output().and_then(|output| output.mode).unwrap_or((0, 0, 0));
        self.mode_of(width, height)
    }

    /// The mode of a picture: an odd last row or column is left out, for 4:2:0 has no half pixels.
    fn mode_of(&self, width: u32, height: u32) -> Result<Mode, ModeError> {
        let told = self.output().and_then(|output| output.mode).map_or(0, |(_, _, refresh_mhz)| refresh_mhz);
        let refresh_mhz = match told {
            0 => REFRESH_UNTOLD_MHZ,
            told => told.clamp(REFRESH_MHZ_MIN, REFRESH_MHZ_MAX),
        };
        Mode::new(width & !1, height & !1, refresh_mhz)
    }

    /// Why there is no picture yet, as far as it can be told.
    pub(super) fn diagnose(&self) -> Diagnosis {
        let output = self.output_name();
        if self.failures > 0 {
            return Diagnosis::CopyFailed { output, failures: self.failures };
        }
        if self.flights.iter().any(|flight| flight.buffer.is_some()) {
            return Diagnosis::NoDamage { output };
        }
        Diagnosis::NoAnswer { request: "zwlr_screencopy_manager_v1.capture_output" }
    }

    /// The compositor waits for a buffer of the shape that it offered.
    fn start_copy(&mut self, index: usize, queue: &QueueHandle<Self>) {
        let offer = self.flights[index].offer.take();
        let shape = match offer {
            Some(Ok(shape)) => shape,
            Some(Err(refusal)) => {
                self.fault = Some(refusal);
                return;
            }
            None => {
                let offered = "no shared-memory buffer, only others".to_owned();
                self.fault = Some(Diagnosis::BufferRefused { offered });
                return;
            }
        };
        match self.obtain(shape, queue) {
            Ok(buffer) => {
                let flight = &mut self.flights[index];
                flight.frame.copy_with_damage(&buffer.wl_buffer);
                flight.buffer = Some(buffer);
            }
            Err(refusal) => self.fault = Some(refusal),
        }
    }

    /// A buffer of this shape that nobody has: a used one where there is one. One of another shape, from
    /// before a mode change, is let go for it, so that there are never more than [`SCREEN_BUFFERS`].
    fn obtain(&mut self, shape: Shape, queue: &QueueHandle<Self>) -> Result<Buffer, Diagnosis> {
        while let Some(buffer) = self.exchange.reuse() {
            self.free.push(buffer);
        }
        if let Some(index) = self.free.iter().position(|buffer| buffer.shape == shape) {
            return Ok(self.free.swap_remove(index));
        }
        drop(self.free.pop());
        let shm = self.shm.as_ref().ok_or(Diagnosis::GlobalMissing { missing: "wl_shm" })?;
        Buffer::make(shape, shm, queue)
    }

    /// A copy is done.
    fn finish_copy(&mut self, index: usize, presented: Duration) {
        let captured_at = stamp::instant_of(presented);
        let flight = self.flights.swap_remove(index);
        flight.frame.destroy();
        let Some(mut buffer) = flight.buffer else { return };
        buffer.normalise(flight.y_invert);
        match self.mode_of(buffer.shape.width, buffer.shape.height) {
            Ok(mode) => {
                self.has_captured = true;
                self.failures = 0;
                self.exchange.publish(buffer, mode, captured_at);
            }
            // A shape has the same bounds; where they ever part, this is the compositor's wish.
            Err(error) => self.fault = Some(Diagnosis::BufferRefused { offered: error.to_string() }),
        }
    }

    /// A copy will not be done: the output changed, or the compositor has its reasons.
    fn fail_copy(&mut self, index: usize) {
        let flight = self.flights.swap_remove(index);
        flight.frame.destroy();
        self.free.extend(flight.buffer);
        self.failures += 1;
        self.retry_at = Some(Instant::now() + SCREEN_RETRY_INTERVAL);
    }
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
        match event {
            wl_registry::Event::Global { name, interface, version } => match interface.as_str() {
                "wl_shm" => screen.shm = Some(registry.bind(name, 1, queue, ())),
                "zwlr_screencopy_manager_v1" if version >= SCREENCOPY_VERSION => {
                    screen.manager = Some(registry.bind(name, SCREENCOPY_VERSION, queue, ()));
                }
                "wl_output" => screen.outputs.push(Output {
                    global: name,
                    wl_output: registry.bind(name, version.min(OUTPUT_VERSION), queue, name),
                    name: None,
                    mode: None,
                }),
                _ => {}
            },
            wl_registry::Event::GlobalRemove { name } => {
                if screen.chosen == Some(name) {
                    screen.fault = Some(Diagnosis::OutputRemoved { output: screen.output_name() });
                }
                screen.outputs.retain(|output| output.global != name);
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
        let Some(output) = screen.outputs.iter_mut().find(|output| output.global == *global) else { return };
        match event {
            wl_output::Event::Name { name } => output.name = Some(name),
            wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, refresh }
                if flags.contains(wl_output::Mode::Current) =>
            {
                let number = |value: i32| u32::try_from(value).unwrap_or(0);
                output.mode = Some((number(width), number(height), number(refresh)));
            }
            _ => {}
        }
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
            screen.syncs += 1;
        }
    }
}

impl Dispatch<ZwlrScreencopyFrameV1, ()> for Screen {
    fn event(
        screen: &mut Self,
        frame: &ZwlrScreencopyFrameV1,
        event: zwlr_screencopy_frame_v1::Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        use zwlr_screencopy_frame_v1::{Event, Flags};
        let Some(index) = screen.flights.iter().position(|flight| flight.frame == *frame) else { return };
        let flight = &mut screen.flights[index];
        match event {
            Event::Buffer { format, width, height, stride } => {
                let offer = Shape::parse(format, width, height, stride);
                // Of several offers any that can be read will do.
                if !matches!(flight.offer, Some(Ok(_))) {
                    flight.offer = Some(offer);
                }
            }
            // A second one would take a second buffer for the same copy.
            Event::BufferDone if flight.buffer.is_none() => screen.start_copy(index, queue),
            Event::Flags { flags: WEnum::Value(flags) } => flight.y_invert = flags.contains(Flags::YInvert),
            Event::Ready { tv_sec_hi, tv_sec_lo, tv_nsec } => {
                let seconds = u64::from(tv_sec_hi) << 32 | u64::from(tv_sec_lo);
                let presented =
                    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(tv_nsec.into()));
                screen.finish_copy(index, presented);
            }
            Event::Failed => screen.fail_copy(index),
            _ => {}
        }
    }
}

delegate_noop!(Screen: ignore WlShm);
delegate_noop!(Screen: ignore WlBuffer);
delegate_noop!(Screen: WlShmPool);
delegate_noop!(Screen: ZwlrScreencopyManagerV1);
