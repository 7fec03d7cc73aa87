//! Copies by wlr-screencopy: an offer of a buffer and a request for each.
//!
//! Promises: two copies are on their way, so that no refresh is missed between them; buffers follow the shape that the
//! compositor asks for, copy by copy, so that a mode change costs no picture more than it must. Refuses: shapes that
//! [`Shape`] refuses, which is a fault that ends the capture.

use std::time::Duration;

use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum, delegate_noop};
use wayland_protocols_wlr::screencopy::v1::client::{
    zwlr_screencopy_frame_v1::{Event, Flags, ZwlrScreencopyFrameV1},
    zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1,
};

use super::buffer::{Buffer, Shape};
use super::delivery::Delivery;
use super::outputs::Outputs;
use super::screen::{Screen, timestamp};
use super::way::Way;
use crate::Diagnosis;
use crate::limits::SCREEN_COPIES_IN_FLIGHT;

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

/// An output's copies.
#[derive(Debug)]
pub(super) struct Screencopy {
    manager: ZwlrScreencopyManagerV1,
    output: WlOutput,
    flights: Vec<Flight>,
}

impl Screencopy {
    pub(super) fn open(manager: ZwlrScreencopyManagerV1, output: WlOutput) -> Self {
        Self { manager, output, flights: Vec::with_capacity(SCREEN_COPIES_IN_FLIGHT) }
    }

    pub(super) fn top_up(&mut self, queue: &QueueHandle<Screen>) {
        while self.flights.len() < SCREEN_COPIES_IN_FLIGHT {
            // With the cursor in it: the client has no other one.
            let frame = self.manager.capture_output(1, &self.output, queue, ());
            self.flights.push(Flight { frame, offer: None, buffer: None, y_invert: false });
        }
    }

    pub(super) fn unanswered(&self) -> Option<&'static str> {
        let has_all = self.flights.iter().any(|flight| flight.buffer.is_some());
        (!has_all).then_some("zwlr_screencopy_manager_v1.capture_output")
    }

    /// A copy tells something of itself.
    fn tell(
        &mut self,
        frame: &ZwlrScreencopyFrameV1,
        event: Event,
        (outputs, delivery): (&Outputs, &mut Delivery),
        queue: &QueueHandle<Screen>,
    ) {
        let Some(index) = self.flights.iter().position(|flight| flight.frame == *frame) else { return };
        let flight = &mut self.flights[index];
        match event {
            Event::Buffer { format, width, height, stride } => {
                let offer = Shape::parse(format, width, height, stride);
                // Of several offers any that can be read will do.
                if !matches!(flight.offer, Some(Ok(_))) {
                    flight.offer = Some(offer);
                }
            }
            // A second one would take a second buffer for the same copy.
            Event::BufferDone if flight.buffer.is_none() => flight.start(delivery, queue),
            Event::Flags { flags: WEnum::Value(flags) } => flight.y_invert = flags.contains(Flags::YInvert),
            Event::Ready { tv_sec_hi, tv_sec_lo, tv_nsec } => {
                let presented = timestamp(tv_sec_hi, tv_sec_lo, tv_nsec);
                self.flights.swap_remove(index).finish(presented, outputs, delivery);
            }
            Event::Failed => {
                let flight = self.flights.swap_remove(index);
                flight.frame.destroy();
                delivery.fail(flight.buffer);
            }
            // The protocol's own: it may grow.
            _ => {}
        }
    }
}

impl Flight {
    /// The compositor waits for a buffer of the shape that it offered.
    fn start(&mut self, delivery: &mut Delivery, queue: &QueueHandle<Screen>) {
        match self.offer.take() {
            Some(Ok(shape)) => {
                self.buffer = delivery.obtain(shape, queue);
                if let Some(buffer) = &self.buffer {
                    self.frame.copy_with_damage(&buffer.wl_buffer);
                }
            }
            Some(Err(refusal)) => delivery.end(refusal),
            None => delivery.end(Diagnosis::no_shared_memory()),
        }
    }

    fn finish(self, presented: Duration, outputs: &Outputs, delivery: &mut Delivery) {
        self.frame.destroy();
        let Some(mut buffer) = self.buffer else { return };
        buffer.normalise(self.y_invert);
        let mode = outputs.mode_of(buffer.shape.width, buffer.shape.height);
        delivery.finish(buffer, mode, Some(presented));
    }
}

impl Dispatch<ZwlrScreencopyFrameV1, ()> for Screen {
    fn event(
        screen: &mut Self,
        frame: &ZwlrScreencopyFrameV1,
        event: Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        if let Some(Way::Screencopy(copy)) = &mut screen.way {
            copy.tell(frame, event, (&screen.outputs, &mut screen.delivery), queue);
        }
    }
}

delegate_noop!(Screen: ZwlrScreencopyManagerV1);
