//! The stream: what the library calls when a format is agreed on, when a buffer is filled, and when it ends.
//!
//! Promises: the producer has every buffer back before the library's call returns; of several that are filled
//! the newest is read; a picture is stamped with the producer's time where that is on our clock. What ends the
//! stream is left in [`Notes`], for the loop to judge. Refuses what [`super::agreed`] refuses.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{MediaSubtype, MediaType};
use pipewire::spa::param::format_utils::parse_format;
use pipewire::spa::param::video::VideoInfoRaw;
use pipewire::spa::pod::Pod;
use pipewire::stream::{Stream, StreamListener, StreamState};

use super::agreed::Agreed;
use super::cursor::{self, Cursor};
use super::mapping::Mappings;
use super::params;
use super::picture::Pixels;
use super::raw::{Filled, Header};
use crate::exchange::Exchange;
use crate::limits::{STREAM_BUFFERS, STREAM_CURSOR_SIDE_MAX, STREAM_SPOILED_MAX};
use crate::{Diagnosis, Mode, stamp};

/// What the library's calls leave for the loop.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The mode that was agreed on last.
    pub(super) agreed: Cell<Option<Mode>>,
    /// Whether there was a picture.
    pub(super) has_captured: Cell<bool>,
    /// Whether buffers flow.
    pub(super) is_streaming: Cell<bool>,
    /// The stream's own word for its end.
    pub(super) stream_end: RefCell<Option<String>>,
    /// What came and cannot be used.
    pub(super) fault: RefCell<Option<Diagnosis>>,
}

/// What belongs to the library's calls.
pub(super) struct Receiver {
    exchange: Arc<Exchange<Pixels>>,
    notes: Rc<Notes>,
    wanted: Mode,
    agreed: Option<Agreed>,
    /// Buffers that the producer shares with us.
    buffers: u32,
    /// Their files.
    mappings: Mappings,
    cursor: Cursor,
    /// What the cursor's metadata is copied to.
    cursor_meta: Vec<u8>,
    /// The newest picture without the cursor, kept only where a cursor comes beside the pictures.
    clean: Option<Pixels>,
    /// Spoiled buffers: in a row, and in all.
    spoiled_in_a_row: u32,
    spoiled: u64,
    said: Said,
}

/// What was said once.
#[derive(Default)]
struct Said {
    no_stamp: bool,
    cursor: bool,
    spoiled: bool,
}

impl Receiver {
    pub(super) fn new(exchange: Arc<Exchange<Pixels>>, notes: Rc<Notes>, wanted: Mode) -> Self {
        Self {
            exchange,
            notes,
            wanted,
            agreed: None,
            buffers: 0,
            mappings: Mappings::default(),
            cursor: Cursor::default(),
            cursor_meta: Vec::with_capacity(cursor::bytes_of(STREAM_CURSOR_SIDE_MAX)),
            clean: None,
            spoiled_in_a_row: 0,
            spoiled: 0,
            said: Said::default(),
        }
    }

    /// Has the library call for this stream from now on.
    pub(super) fn listen(self, stream: &Stream) -> Result<StreamListener<Self>, pipewire::Error> {
        stream
            .add_local_listener_with_user_data(self)
            .state_changed(|_, receiver, old, new| receiver.note_state(&old, new))
            .param_changed(|stream, receiver, id, param| {
                if id == ParamType::Format.as_raw()
                    && let Some(param) = param
                {
                    receiver.agree(stream, param);
                }
            })
            .add_buffer(|_, receiver, _| receiver.buffers += 1)
            .remove_buffer(|_, receiver, _| {
                receiver.buffers = receiver.buffers.saturating_sub(1);
                receiver.mappings.clear();
            })
            .process(|stream, receiver| receiver.process(stream))
            .register()
    }

    fn note_state(&mut self, old: &StreamState, new: StreamState) {
        tracing::debug!(?old, ?new, buffers = self.buffers, "stream state");
        self.notes.is_streaming.set(new == StreamState::Streaming);
        let end = match new {
            StreamState::Error(words) => words,
            StreamState::Unconnected => "it was disconnected".to_owned(),
            StreamState::Streaming => {
                if self.buffers < STREAM_BUFFERS {
                    tracing::info!(
                        buffers = self.buffers,
                        "the producer shares fewer buffers than asked for"
                    );
                }
                return;
            }
            StreamState::Connecting | StreamState::Paused => return,
        };
        self.notes.stream_end.borrow_mut().get_or_insert(end);
    }

    fn fail(&self, diagnosis: Diagnosis) {
        self.notes.fault.borrow_mut().get_or_insert(diagnosis);
    }

    /// A format came, the first one or another one in mid-stream.
    fn agree(&mut self, stream: &Stream, param: &Pod) {
        match parse_format(param) {
            Ok((MediaType::Video, MediaSubtype::Raw)) => {}
            other => {
                let offered = format!("{other:?} instead of raw video");
                return self.fail(Diagnosis::FormatRefused { offered });
            }
        }
        let mut video = VideoInfoRaw::new();
        if let Err(error) = video.parse(param) {
            let offered = format!("a format that cannot be read: {error}");
            return self.fail(Diagnosis::FormatRefused { offered });
        }
        match Agreed::parse(&video, self.wanted) {
            Ok(agreed) => {
                tracing::debug!(mode = %agreed.mode, format = agreed.format_name(), "format agreed on");
                self.agreed = Some(agreed);
                self.clean = None;
                self.notes.agreed.set(Some(agreed.mode));
            }
            Err(refusal) => return self.fail(refusal),
        }
        let asked = params::buffers();
        let mut pods: Vec<&Pod> = asked.iter().filter_map(params::Param::pod).collect();
        if let Err(error) = stream.update_params(&mut pods) {
            self.fail(Diagnosis::StreamEnded { words: format!("it takes no buffers: {error}") });
        }
    }

    /// Buffers are filled.
    fn process(&mut self, stream: &Stream) {
        let Some(mut newest) = Filled::take(stream) else { return };
        while let Some(newer) = Filled::take(stream) {
            // What the older one says of the cursor counts all the same.
            self.follow_cursor(&newest);
            self.exchange.pass_over();
            newest = newer;
        }
        let Some(agreed) = self.agreed else { return };
        let has_moved = self.follow_cursor(&newest);
        let header = newest.header();
        match self.read(&newest, header, &agreed) {
            Ok(Some(pixels)) => {
                self.spoiled_in_a_row = 0;
                let captured_at = self.stamp(stream, header);
                self.publish(pixels, &agreed, captured_at);
            }
            // Nothing new but the cursor: a picture of its own, of the pixels before.
            Ok(None) if has_moved => {
                if let Some(clean) = &self.clean {
                    let mut pixels = self.exchange.reuse().unwrap_or_default();
                    pixels.compose(clean, &self.cursor, &agreed);
                    let captured_at = self.stamp(stream, header);
                    self.exchange.publish(pixels, agreed.mode, captured_at);
                }
            }
            Ok(None) => {}
            Err(diagnosis) => self.spoil(diagnosis),
        }
    }

    /// A picture out of a buffer; `None` where the producer says that there is none in it.
    fn read(
        &mut self,
        filled: &Filled<'_>,
        header: Option<Header>,
        agreed: &Agreed,
    ) -> Result<Option<Pixels>, Diagnosis> {
        let refuse = |offered: &str| Diagnosis::BufferRefused { offered: offered.to_owned() };
        let (fd, block, is_marked) = filled.block().ok_or_else(|| refuse("a buffer without memory"))?;
        // Producers mark a buffer so that carries a cursor alone, or nothing new at all: that is no picture.
        if is_marked || block.size == 0 {
            return Ok(None);
        }
        if header.is_some_and(|header| header.is_corrupted) {
            return Err(refuse("a picture that its producer calls corrupted"));
        }
        let place = block.place(agreed)?;
        let file = filled.file(fd).ok_or_else(|| refuse("memory without a descriptor"))?;
        let mut pixels = self.exchange.reuse().unwrap_or_default();
        match self.mappings.bytes(file, place.file_offset, place.bytes) {
            Some(source) => pixels.copy(source, place, agreed),
            None => pixels.read(file, place, agreed)?,
        }
        Ok(Some(pixels))
    }

    fn publish(&mut self, pixels: Pixels, agreed: &Agreed, captured_at: std::time::Instant) {
        self.notes.has_captured.set(true);
        if !self.cursor.is_visible() {
            // One that shows itself later is drawn over the picture after that.
            self.clean = None;
            return self.exchange.publish(pixels, agreed.mode, captured_at);
        }
        let mut drawn = self.exchange.reuse().unwrap_or_default();
        drawn.compose(&pixels, &self.cursor, agreed);
        self.clean = Some(pixels);
        self.exchange.publish(drawn, agreed.mode, captured_at);
    }

    /// Whether what is said of the cursor changes what is seen.
    fn follow_cursor(&mut self, filled: &Filled<'_>) -> bool {
        let Some(meta) = filled.cursor(&mut self.cursor_meta) else { return false };
        match self.cursor.update(meta) {
            Ok(has_changed) => has_changed,
            Err(flaw) => {
                if !std::mem::replace(&mut self.said.cursor, true) {
                    tracing::warn!(%flaw, "a cursor cannot be drawn");
                }
                false
            }
        }
    }

    /// When the picture came to be: by its header, else when the graph's cycle began.
    fn stamp(&mut self, stream: &Stream, header: Option<Header>) -> std::time::Instant {
        let told = header.and_then(|header| u64::try_from(header.pts_ns).ok()).filter(|pts_ns| *pts_ns > 0);
        let nanos = told.or_else(|| {
            if !std::mem::replace(&mut self.said.no_stamp, true) {
                tracing::info!("the producer does not stamp its pictures; the cycle's time is taken");
            }
            stream.time().ok().and_then(|time| u64::try_from(time.now()).ok())
        });
        stamp::instant_of(Duration::from_nanos(nanos.unwrap_or(0)))
    }

    /// A buffer that contradicts itself is passed over; a row of them ends the stream.
    fn spoil(&mut self, diagnosis: Diagnosis) {
        self.exchange.pass_over();
        self.spoiled += 1;
        self.spoiled_in_a_row += 1;
        if !std::mem::replace(&mut self.said.spoiled, true) {
            tracing::warn!(%diagnosis, "a picture is passed over");
        }
        if self.spoiled_in_a_row > STREAM_SPOILED_MAX {
            self.fail(diagnosis);
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.spoiled > 0 {
            tracing::warn!(pictures = self.spoiled, "pictures were passed over because they were spoiled");
        }
    }
}
