//! Copies by ext-image-copy-capture: a session that tells once what buffers must be, and copies that need no offer each.
//!
//! Promises: a copy is asked for as soon as the one before is there (the protocol allows no second one beside it), with
//! the cursor in it; what buffers must be may change at any time, as a mode change does, and is followed from the next
//! copy on; a session that the compositor stops is the end, said so. Refuses: shapes that [`Shape`] refuses, which is a
//! fault that ends the capture. Whatever the compositor tells of, one size and one format of it are kept.

use std::time::Duration;

use wayland_client::protocol::{wl_output::WlOutput, wl_shm};
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::ext::image_capture_source::v1::client::{
    ext_image_capture_source_v1::ExtImageCaptureSourceV1,
    ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1,
};
use wayland_protocols::ext::image_copy_capture::v1::client::{
    ext_image_copy_capture_frame_v1::{Event as FrameEvent, ExtImageCopyCaptureFrameV1, FailureReason},
    ext_image_copy_capture_manager_v1::{ExtImageCopyCaptureManagerV1, Options},
    ext_image_copy_capture_session_v1::{Event as SessionEvent, ExtImageCopyCaptureSessionV1},
};

use super::buffer::{Buffer, ByteOrder, Shape};
use super::delivery::Delivery;
use super::outputs::Outputs;
use super::screen::{Screen, timestamp};
use super::way::Way;
use crate::Diagnosis;

/// The copy that was asked for.
#[derive(Debug)]
struct Flight {
    frame: ExtImageCopyCaptureFrameV1,
    buffer: Buffer,
    presented: Option<Duration>,
}

/// What the compositor has told of the buffers that it wants.
#[derive(Clone, Copy, Debug, Default)]
struct Constraints {
    size: Option<(u32, u32)>,
    /// The one that is easiest to read.
    format: Option<WEnum<wl_shm::Format>>,
}

/// An output's session.
#[derive(Debug)]
pub(super) struct ImageCopy {
    session: ExtImageCopyCaptureSessionV1,
    /// As told until the last `done`, and since.
    told: Constraints,
    telling: Constraints,
    /// What buffers are to be.
    shape: Option<Shape>,
    flight: Option<Flight>,
}

impl ImageCopy {
    pub(super) fn open(
        sources: &ExtOutputImageCaptureSourceManagerV1,
        manager: &ExtImageCopyCaptureManagerV1,
        output: &WlOutput,
        queue: &QueueHandle<Screen>,
    ) -> Self {
        let source = sources.create_source(output, queue, ());
        // With the cursor in it: the client has no other one.
        let session = manager.create_session(&source, Options::PaintCursors, queue, ());
        source.destroy();
        let none = Constraints::default();
        Self { session, told: none, telling: none, shape: None, flight: None }
    }

    pub(super) fn top_up(&mut self, delivery: &mut Delivery, queue: &QueueHandle<Screen>) {
        let (None, Some(shape)) = (&self.flight, self.shape) else { return };
        let Some(buffer) = delivery.obtain(shape, queue) else { return };
        let frame = self.session.create_frame(queue, ());
        frame.attach_buffer(&buffer.wl_buffer);
        // What is in the buffer is older than the last copy: all of it has to be made anew.
        let [width, height] = [shape.width, shape.height].map(|side| i32::try_from(side).unwrap_or(i32::MAX));
        frame.damage_buffer(0, 0, width, height);
        frame.capture();
        self.flight = Some(Flight { frame, buffer, presented: None });
    }

    pub(super) fn unanswered(&self) -> Option<&'static str> {
        self.flight.is_none().then_some("ext_image_copy_capture_manager_v1.create_session")
    }

    /// The session tells something of itself.
    fn tell(&mut self, event: SessionEvent, outputs: &Outputs, delivery: &mut Delivery) {
        match event {
            SessionEvent::BufferSize { width, height } => self.telling.size = Some((width, height)),
            SessionEvent::ShmFormat { format }
                if self.telling.format.is_none_or(|best| rank(format) > rank(best)) =>
            {
                self.telling.format = Some(format);
            }
            SessionEvent::Done => {
                let telling = std::mem::take(&mut self.telling);
                // What is not told again stays as it was.
                self.told.size = telling.size.or(self.told.size);
                self.told.format = telling.format.or(self.told.format);
                match self.told.shape() {
                    Ok(shape) => self.shape = Some(shape),
                    Err(refusal) => delivery.end(refusal),
                }
            }
            SessionEvent::Stopped => delivery.end(Diagnosis::Stopped { output: outputs.name() }),
            // dmabufs, and the protocol's own: it may grow.
            _ => {}
        }
    }

    /// A copy tells something of itself.
    fn tell_frame(
        &mut self,
        frame: &ExtImageCopyCaptureFrameV1,
        event: FrameEvent,
        outputs: &Outputs,
        delivery: &mut Delivery,
    ) {
        if let FrameEvent::PresentationTime { tv_sec_hi, tv_sec_lo, tv_nsec } = event {
            if let Some(flight) = self.flight.as_mut().filter(|flight| flight.frame == *frame) {
                flight.presented = Some(timestamp(tv_sec_hi, tv_sec_lo, tv_nsec));
            }
            return;
        }
        if !matches!(event, FrameEvent::Ready | FrameEvent::Failed { .. }) {
            return;
        }
        let Some(flight) = self.flight.take_if(|flight| flight.frame == *frame) else { return };
        flight.frame.destroy();
        let Flight { mut buffer, presented, .. } = flight;
        let shape = buffer.shape;
        match event {
            FrameEvent::Failed { reason: WEnum::Value(FailureReason::Stopped) } => {
                delivery.end(Diagnosis::Stopped { output: outputs.name() });
            }
            FrameEvent::Failed { .. } => {
                delivery.fail(Some(buffer));
                // Of a new shape the next one may be asked for at once.
                if self.shape != Some(shape) {
                    delivery.retry_at = None;
                }
            }
            _ => {
                buffer.normalise(false);
                delivery.finish(buffer, outputs.mode_of(shape.width, shape.height), presented);
            }
        }
    }
}

/// Easy to read, readable, not.
fn rank(format: WEnum<wl_shm::Format>) -> u8 {
    match ByteOrder::of(format) {
        Some(ByteOrder::Bgrx) => 2,
        Some(ByteOrder::Rgbx) => 1,
        None => 0,
    }
}

impl Constraints {
    /// The shape of a buffer that satisfies them; its rows are as short as they can be.
    fn shape(&self) -> Result<Shape, Diagnosis> {
        let (width, height) = self
            .size
            .ok_or_else(|| Diagnosis::BufferRefused { offered: "a buffer of no size".to_owned() })?;
        let format = self.format.ok_or_else(Diagnosis::no_shared_memory)?;
        Shape::parse(format, width, height, width.saturating_mul(4))
    }
}

impl Dispatch<ExtImageCopyCaptureSessionV1, ()> for Screen {
    fn event(
        screen: &mut Self,
        _: &ExtImageCopyCaptureSessionV1,
        event: SessionEvent,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let Some(Way::ImageCopy(copy)) = &mut screen.way {
            copy.tell(event, &screen.outputs, &mut screen.delivery);
        }
    }
}

impl Dispatch<ExtImageCopyCaptureFrameV1, ()> for Screen {
    fn event(
        screen: &mut Self,
        frame: &ExtImageCopyCaptureFrameV1,
        event: FrameEvent,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let Some(Way::ImageCopy(copy)) = &mut screen.way {
            copy.tell_frame(frame, event, &screen.outputs, &mut screen.delivery);
        }
    }
}

delegate_noop!(Screen: ExtOutputImageCaptureSourceManagerV1);
delegate_noop!(Screen: ExtImageCaptureSourceV1);
delegate_noop!(Screen: ExtImageCopyCaptureManagerV1);
