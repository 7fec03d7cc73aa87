//! What every way of copying shares: buffers to copy to, and what becomes of a copy.
//!
//! Promises: each copy goes to a buffer that nobody reads, and there are never more than [`SCREEN_BUFFERS`]; after a copy
//! that failed the next one waits for [`SCREEN_RETRY_INTERVAL`]. Refuses: pictures that have no mode.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wayland_client::QueueHandle;
use wayland_client::protocol::wl_shm::WlShm;

use super::WaylandOutput;
use super::buffer::{Buffer, Shape};
use super::screen::Screen;
use crate::exchange::Exchange;
use crate::limits::{SCREEN_BUFFERS, SCREEN_RETRY_INTERVAL};
use crate::stamp::Stamp;
use crate::{Diagnosis, Mode, ModeError};

/// From the compositor's copies to the caller's pictures, and the buffers' way back.
#[derive(Debug)]
pub(super) struct Delivery {
    exchange: Arc<Exchange<WaylandOutput>>,
    /// Where buffers are made.
    pub(super) shm: Option<WlShm>,
    /// Buffers that nobody has.
    free: Vec<Buffer>,
    /// Whether there was a picture.
    pub(super) has_captured: bool,
    /// Copies in a row that failed, and when the next one may be asked for.
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// Whether it was said that pictures are stamped here.
    has_said_stamp: bool,
    /// Why there will be no more pictures.
    pub(super) fault: Option<Diagnosis>,
}

impl Delivery {
    pub(super) fn new(exchange: Arc<Exchange<WaylandOutput>>) -> Self {
        let free = Vec::with_capacity(SCREEN_BUFFERS);
        Self {
            exchange,
            shm: None,
            free,
            has_captured: false,
            failures: 0,
            retry_at: None,
            has_said_stamp: false,
            fault: None,
        }
    }

    /// Whether a copy may be asked for now.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        if self.fault.is_some() || self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return false;
        }
        self.retry_at = None;
        true
    }

    /// A buffer of this shape that nobody has: a used one where there is one. One of another shape, from
    /// before a mode change, is let go for it. Where none can be had that is the end.
    pub(super) fn obtain(&mut self, shape: Shape, queue: &QueueHandle<Screen>) -> Option<Buffer> {
        while let Some(buffer) = self.exchange.reuse() {
            self.free.push(buffer);
        }
        if let Some(index) = self.free.iter().position(|buffer| buffer.shape == shape) {
            return Some(self.free.swap_remove(index));
        }
        drop(self.free.pop());
        let shm = self.shm.as_ref().ok_or(Diagnosis::GlobalMissing { missing: "wl_shm" });
        match shm.and_then(|shm| Buffer::make(shape, shm, queue)) {
            Ok(buffer) => Some(buffer),
            Err(fault) => {
                self.end(fault);
                None
            }
        }
    }

    /// A copy is done: a picture of this mode, presented then on the compositor's clock, or now.
    pub(super) fn finish(
        &mut self,
        buffer: Buffer,
        mode: Result<Mode, ModeError>,
        presented: Option<Duration>,
    ) {
        let stamp = Stamp::new(presented, Instant::now);
        if !stamp.is_told && !std::mem::replace(&mut self.has_said_stamp, true) {
            tracing::info!("the compositor tells no time on our clock; pictures are stamped when they come");
        }
        match mode {
            Ok(mode) => {
                self.has_captured = true;
                self.failures = 0;
                self.exchange.publish(buffer, mode, stamp);
            }
            // A shape has the same bounds; where they ever part, this is the compositor's wish.
            Err(error) => self.end(Diagnosis::BufferRefused { offered: error.to_string() }),
        }
    }

    /// A copy will not be done: the output changed, or the compositor has its reasons.
    pub(super) fn fail(&mut self, buffer: Option<Buffer>) {
        self.free.extend(buffer);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + SCREEN_RETRY_INTERVAL);
    }

    /// There will be no more pictures; the first cause is the one that counts.
    pub(super) fn end(&mut self, fault: Diagnosis) {
        self.fault.get_or_insert(fault);
    }
}
