//! The stream: what the library calls when a format is agreed on, when a buffer is filled, and when it ends.
//!
//! Promises: the producer has every buffer in memory back before the library's call returns, and a dmabuf as soon as
//! nobody has it any more; of several that are filled the newest with a picture is read or lent, and none says where the
//! cursor is in vain; a picture is stamped with the producer's time where that is on our clock, else that is counted.
//! What ends the stream is left in [`Notes`], for the loop to judge. Refuses what [`super::agreed`] and [`super::planes`]
//! refuse; of a producer whose dmabufs are all refused others are asked for, in the end memory.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{MediaSubtype, MediaType};
use pipewire::spa::param::format_utils::parse_format;
use pipewire::spa::param::video::VideoInfoRaw;
use pipewire::spa::pod::Pod;
use pipewire::stream::{Stream, StreamListener, StreamState};

use super::PipeWireNode;
use super::agreed::{Agreed, Kind, Modifier, Place};
use super::cursor::{self, Cursor, Shown};
use super::files::Mappings;
use super::loans::{Dmabufs, Lent};
use super::params::{self, Buffers};
use super::picture::{Copied, Received};
use super::planes::Layout;
use super::raw::{self, Buffer, Filled, Header};
use crate::exchange::Exchange;
use crate::limits::{
    DMABUF_PLANES_MAX, STREAM_BUFFERS, STREAM_CURSOR_SIDE_MAX, STREAM_DMABUFS, STREAM_SPOILED_MAX,
};
use crate::stamp::{self, Stamp};
use crate::{Diagnosis, Mode};

/// What the library's calls leave for the loop.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The mode that was agreed on last.
    pub(super) agreed: Cell<Option<Mode>>,
    /// Whether there was a picture, and when the last one came.
    pub(super) captured_at: Cell<Option<Instant>>,
    /// Since when there is another format in mid-stream, until a picture of it comes.
    pub(super) changed_at: Cell<Option<Instant>>,
    /// Whether buffers flow.
    pub(super) is_streaming: Cell<bool>,
    /// The stream's own word for its end.
    pub(super) stream_end: RefCell<Option<String>>,
    /// What came and cannot be used.
    pub(super) fault: RefCell<Option<Diagnosis>>,
}

/// What belongs to the library's calls.
pub(super) struct Receiver {
    exchange: Arc<Exchange<PipeWireNode>>,
    notes: Rc<Notes>,
    dmabufs: Rc<RefCell<Dmabufs>>,
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
    clean: Option<Received>,
    /// The cursor that was last seen over a dmabuf, whose image has a number.
    shown: Option<Shown>,
    /// Whether the producer was heard to tell what is damaged, and how many bytes a dmabuf's picture has.
    tells_damage: bool,
    tells_size: bool,
    /// Whether the next picture is new whatever is said of its damage: none was read since the format or a spoiled one.
    needs_picture: bool,
    /// Spoiled buffers: in a row, and in all.
    spoiled_in_a_row: u32,
    spoiled: u64,
    /// Pictures that the producer did not stamp by our clock.
    stamped_here: u64,
    said: Said,
}

/// What was said once.
#[derive(Default)]
struct Said {
    stamp: bool,
    cursor: bool,
    spoiled: bool,
    memory: bool,
}

/// Where a buffer's picture is.
enum Found<B> {
    InMemory(B, RawFd, Place),
    Dmabuf(Lent),
}

impl Receiver {
    pub(super) fn new(
        exchange: Arc<Exchange<PipeWireNode>>,
        notes: Rc<Notes>,
        dmabufs: Rc<RefCell<Dmabufs>>,
        wanted: Mode,
    ) -> Self {
        Self {
            exchange,
            notes,
            dmabufs,
            wanted,
            agreed: None,
            buffers: 0,
            mappings: Mappings::default(),
            cursor: Cursor::default(),
            cursor_meta: Vec::with_capacity(cursor::bytes_of(STREAM_CURSOR_SIDE_MAX)),
            clean: None,
            shown: None,
            tells_damage: false,
            tells_size: false,
            needs_picture: true,
            spoiled_in_a_row: 0,
            spoiled: 0,
            stamped_here: 0,
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
            .add_buffer(|_, receiver, buffer| {
                receiver.buffers += 1;
                if let Some(key) = NonNull::new(buffer) {
                    receiver.dmabufs.borrow_mut().add(key);
                }
            })
            .remove_buffer(|_, receiver, buffer| {
                receiver.buffers = receiver.buffers.saturating_sub(1);
                receiver.mappings.clear();
                if let Some(key) = NonNull::new(buffer) {
                    receiver.dmabufs.borrow_mut().remove(key);
                }
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
                let asked = match self.agreed.map(|agreed| agreed.kind) {
                    Some(Kind::Dmabuf { .. }) => STREAM_DMABUFS,
                    Some(Kind::Memory(_)) | None => STREAM_BUFFERS,
                };
                let buffers = self.buffers;
                if buffers < asked {
                    tracing::info!(buffers, asked, "the producer shares fewer buffers than asked for");
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
        let parsed = match Modifier::of(param.as_bytes()) {
            Modifier::None => Agreed::parse(&video, self.wanted),
            Modifier::One(modifier) => {
                Agreed::parse_dmabuf(&video, modifier, self.dmabufs.borrow().formats(), self.wanted)
            }
            Modifier::Open => return tracing::debug!("the producer has yet to choose a modifier"),
            Modifier::Malformed => {
                let offered = "a modifier that cannot be read".to_owned();
                return self.fail(Diagnosis::FormatRefused { offered });
            }
        };
        let agreed = match parsed {
            Ok(agreed) => agreed,
            Err(refusal) => return self.fail(refusal),
        };
        tracing::debug!(mode = %agreed.mode, format = agreed.format_name(), kind = ?agreed.kind, "format agreed on");
        self.begin(agreed);
        self.notes.agreed.set(Some(agreed.mode));
        let asked = params::buffers(match agreed.kind {
            Kind::Memory(_) => Buffers::Shared,
            Kind::Dmabuf { .. } => Buffers::Dmabufs { with_timelines: self.dmabufs.borrow().has_timelines() },
        });
        let mut pods: Vec<&Pod> = asked.iter().filter_map(params::Param::pod).collect();
        if let Err(error) = stream.update_params(&mut pods) {
            self.fail(Diagnosis::StreamEnded { words: format!("it takes no buffers: {error}") });
        }
    }

    /// Pictures of another format come from now on.
    fn begin(&mut self, agreed: Agreed) {
        let before = self.agreed.replace(agreed);
        if self.notes.captured_at.get().is_some() && before != Some(agreed) {
            self.notes.changed_at.set(Some(Instant::now()));
        }
        let is_in_memory = |agreed: &Agreed| matches!(agreed.kind, Kind::Memory(_));
        if is_in_memory(&agreed)
            && !before.as_ref().is_some_and(is_in_memory)
            && self.dmabufs.borrow().was_wished()
        {
            self.exchange.fall_to_memory();
            if !std::mem::replace(&mut self.said.memory, true) {
                tracing::info!("the producer gives pictures in memory, where dmabufs were wished for");
            }
        }
        self.forget_clean();
        self.needs_picture = true;
    }

    /// Buffers are filled.
    fn process(&mut self, stream: &Stream) {
        let cycle = || stream.time().ok().and_then(|time| u64::try_from(time.now()).ok());
        self.take_in(|| Filled::take(stream), cycle);
        bring_home(stream, &self.dmabufs);
    }

    /// Of the buffers that `next` gives the newest with a picture is taken; what any of them says of the cursor counts.
    /// `cycle` tells when the graph's cycle began, in nanoseconds.
    fn take_in<B: Buffer>(
        &mut self,
        mut next: impl FnMut() -> Option<B>,
        cycle: impl FnOnce() -> Option<u64>,
    ) {
        let (mut newest, mut has_moved, mut told) = (None, false, None);
        while let Some(filled) = next() {
            has_moved |= self.follow_cursor(&filled);
            let Some(agreed) = self.agreed else { continue };
            told = filled.header();
            match self.find(filled, told, &agreed) {
                Ok(Some(found)) => {
                    if newest.replace((found, told)).is_some() {
                        self.exchange.pass_over();
                    }
                }
                Ok(None) => {}
                Err(diagnosis) => self.spoil(diagnosis, &agreed),
            }
        }
        let Some(agreed) = self.agreed else { return };
        if let Some((found, told)) = newest {
            let received = match found {
                Found::InMemory(filled, fd, place) => {
                    self.read(&filled, (fd, place), &agreed).map(Received::Copied)
                }
                Found::Dmabuf(lent) => Ok(Received::Dmabuf(lent)),
            };
            match received {
                Ok(received) => {
                    self.spoiled_in_a_row = 0;
                    let stamp = self.stamp(told, cycle);
                    return self.publish(received, &agreed, stamp);
                }
                Err(diagnosis) => self.spoil(diagnosis, &agreed),
            }
        }
        // Nothing new but the cursor: a picture of its own, of the pixels before.
        if has_moved && let Some(clean) = self.clean.take() {
            let seen = self.with_cursor(&clean, &agreed);
            self.clean = Some(clean);
            let stamp = self.stamp(told, cycle);
            self.exchange.publish(seen, agreed.mode, stamp);
        }
    }

    /// Where a buffer's picture is; `None` where the producer says that there is none in it, or nothing new.
    fn find<B: Buffer>(
        &mut self,
        filled: B,
        header: Option<Header>,
        agreed: &Agreed,
    ) -> Result<Option<Found<B>>, Diagnosis> {
        if matches!(agreed.kind, Kind::Dmabuf { .. }) {
            return Ok(self.find_dmabuf(filled, header, agreed)?.map(Found::Dmabuf));
        }
        let (fd, block, is_marked) = filled.block(0).ok_or_else(|| refuse("a buffer without memory"))?;
        if !self.has_picture(&filled, is_marked || block.size == 0, header)? {
            return Ok(None);
        }
        let place = block.place(agreed)?;
        self.needs_picture = false;
        Ok(Some(Found::InMemory(filled, fd, place)))
    }

    /// A dmabuf, which is out from then on. One that has no picture goes out and comes home at once: it, too, may have a
    /// point on a timeline that its producer waits for.
    fn find_dmabuf<B: Buffer>(
        &mut self,
        filled: B,
        header: Option<Header>,
        agreed: &Agreed,
    ) -> Result<Option<Lent>, Diagnosis> {
        // One more than there can be is enough to know that there are too many.
        let blocks = (0..DMABUF_PLANES_MAX + 3).map_while(|index| filled.block(index));
        let (mut parts, mut is_marked, mut size) = (Vec::with_capacity(DMABUF_PLANES_MAX), false, 0);
        for (fd, block, is_part_marked) in blocks {
            is_marked |= is_part_marked;
            size = size.max(block.size);
            parts.push((fd, block));
        }
        // Of a dmabuf it may always be 0.
        self.tells_size |= size != 0;
        let is_empty = is_marked || (size == 0 && self.tells_size);
        let points = filled.points();
        let lent = Layout::of(&parts, points.is_some(), agreed).and_then(|layout| {
            let file = |fd| filled.file(fd);
            self.dmabufs.borrow_mut().lend(filled.key(), layout, points.unwrap_or_default(), agreed, file)
        });
        let has_picture = self.has_picture(&filled, is_empty, header);
        let lent = match lent {
            Ok(lent) => {
                filled.hold();
                lent
            }
            // Whatever it is, there is no picture in it.
            Err(_) if has_picture == Ok(false) => return Ok(None),
            Err(diagnosis) => return Err(diagnosis),
        };
        if !has_picture? {
            return Ok(None);
        }
        self.needs_picture = false;
        Ok(Some(lent))
    }

    /// Whether there is a picture in a buffer, and it is new. Producers mark one so that carries a cursor alone, or
    /// nothing new at all: that is no picture.
    fn has_picture<B: Buffer>(
        &mut self,
        filled: &B,
        is_empty: bool,
        header: Option<Header>,
    ) -> Result<bool, Diagnosis> {
        if is_empty {
            return Ok(false);
        }
        if header.is_some_and(|header| header.is_corrupted) {
            return Err(refuse("a picture that its producer calls corrupted"));
        }
        let damage = filled.is_damaged();
        self.tells_damage |= damage == Some(true);
        let needs_pixels = self.needs_picture || (self.cursor.is_visible() && self.clean.is_none());
        // Only from one that was heard to tell damage: another may never fill in what it was asked to.
        Ok(damage != Some(false) || !self.tells_damage || needs_pixels)
    }

    /// A picture out of a buffer.
    fn read<B: Buffer>(
        &mut self,
        filled: &B,
        (fd, place): (RawFd, Place),
        agreed: &Agreed,
    ) -> Result<Copied, Diagnosis> {
        let file = filled.file(fd).ok_or_else(|| refuse("memory without a descriptor"))?;
        let mut pixels = self.empty();
        match self.mappings.bytes(file, place.file_offset, place.bytes) {
            Some(source) => pixels.copy(source, place, agreed),
            None => {
                if let Err(diagnosis) = pixels.read(file, place, agreed) {
                    self.exchange.give_back(Received::Copied(pixels));
                    return Err(diagnosis);
                }
            }
        }
        Ok(pixels)
    }

    /// Memory of ours for a picture.
    fn empty(&self) -> Copied {
        match self.exchange.reuse() {
            Some(Received::Copied(copied)) => copied,
            // Only what is ours comes back to be used again.
            Some(Received::Dmabuf(_)) | None => Copied::default(),
        }
    }

    fn publish(&mut self, received: Received, agreed: &Agreed, stamp: Stamp) {
        self.notes.captured_at.set(Some(Instant::now()));
        self.notes.changed_at.set(None);
        self.forget_clean();
        if !self.cursor.is_visible() {
            // One that shows itself later is drawn over the picture after that.
            return self.exchange.publish(received, agreed.mode, stamp);
        }
        let seen = self.with_cursor(&received, agreed);
        self.clean = Some(received);
        self.exchange.publish(seen, agreed.mode, stamp);
    }

    /// A picture with the cursor: drawn over one in memory, said beside one that is not.
    fn with_cursor(&mut self, clean: &Received, agreed: &Agreed) -> Received {
        match clean {
            Received::Copied(clean) => {
                let mut drawn = self.empty();
                drawn.compose(clean, &self.cursor, agreed);
                Received::Copied(drawn)
            }
            Received::Dmabuf(clean) => {
                let known = self.shown.as_ref().filter(|shown| shown.is_of(&self.cursor));
                let number = known.map_or_else(|| self.dmabufs.borrow().number(), Shown::number);
                let cursor = self.cursor.shown(number);
                self.shown.clone_from(&cursor);
                Received::Dmabuf(clean.with_cursor(cursor))
            }
        }
    }

    fn forget_clean(&mut self) {
        if let Some(clean) = self.clean.take() {
            self.exchange.give_back(clean);
        }
    }

    /// Whether what is said of the cursor changes what is seen.
    fn follow_cursor<B: Buffer>(&mut self, filled: &B) -> bool {
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

    /// When the picture came to be: by its header, else when the graph's cycle began, else now.
    fn stamp(&mut self, header: Option<Header>, cycle: impl FnOnce() -> Option<u64>) -> Stamp {
        let told = header.and_then(|header| u64::try_from(header.pts_ns).ok()).filter(|pts_ns| *pts_ns > 0);
        let stamp = Stamp::new(told.map(Duration::from_nanos), || {
            let began = cycle().and_then(|nanos| stamp::instant_of(Duration::from_nanos(nanos)));
            began.unwrap_or_else(Instant::now)
        });
        if !stamp.is_told {
            self.stamped_here += 1;
            if !std::mem::replace(&mut self.said.stamp, true) {
                let why = if told.is_some() { "by a clock that is not ours" } else { "not at all" };
                tracing::info!(why, "the producer's stamps cannot be used; the cycle's time is taken");
            }
        }
        stamp
    }

    /// A buffer that contradicts itself is passed over; a row of them ends the stream, or the use of such dmabufs.
    fn spoil(&mut self, diagnosis: Diagnosis, agreed: &Agreed) {
        self.exchange.spoil();
        self.needs_picture = true;
        self.spoiled += 1;
        self.spoiled_in_a_row += 1;
        if !std::mem::replace(&mut self.said.spoiled, true) {
            tracing::warn!(%diagnosis, "a picture is passed over");
        }
        if self.spoiled_in_a_row <= STREAM_SPOILED_MAX {
            return;
        }
        match agreed.kind {
            Kind::Dmabuf { fourcc, modifier } if self.dmabufs.borrow().is_wished(fourcc, modifier) => {
                tracing::warn!(%diagnosis, "the producer's dmabufs are of no use; others are asked for, or memory");
                self.spoiled_in_a_row = 0;
                self.dmabufs.borrow().decline(fourcc, modifier);
            }
            Kind::Dmabuf { .. } | Kind::Memory(_) => self.fail(diagnosis),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.spoiled > 0 {
            tracing::warn!(pictures = self.spoiled, "pictures were passed over because they were spoiled");
        }
        if self.stamped_here > 0 {
            tracing::info!(
                pictures = self.stamped_here,
                "pictures had no stamp of their producer's on our clock"
            );
        }
    }
}

/// What came home goes back to its stream.
pub(super) fn bring_home(stream: &Stream, dmabufs: &RefCell<Dmabufs>) {
    let arrived = dmabufs.borrow_mut().bring_home();
    for key in arrived {
        // SAFETY: the table has only buffers of this stream that it has not removed, each of which was held when it
        // went out, and names one that came home once.
        unsafe { raw::queue(stream, key) };
    }
}

fn refuse(came: &str) -> Diagnosis {
    Diagnosis::PictureUnreadable { came: came.to_owned() }
}

#[cfg(test)]
mod tests;
