//! H.264 in a fragmented MP4 (ISO/IEC 14496-12 and -15): each picture at the time at which it was captured.
//!
//! Fragments begin with each IDR, and at the latest [`GATHER_MAX`] after the one before; each is written by one call, so
//! that a file that was cut off anywhere plays up to its last whole fragment. The parameter sets of the first IDR stand in
//! the header; each IDR keeps its own in front of it, too, so that a change of size in mid-stream, and a jump across it,
//! are decoded. Times are the wire's, in microseconds: a lost picture and a still screen are gaps, and nothing is made up.
//!
//! Promises: times rise, whatever the stream claims; memory for one fragment. Refuses to begin before an IDR with its
//! parameter sets, and access units without a slice.

use std::io;
use std::time::Instant;

use punktfunk_codec::annexb::{NalKind, nals};
use punktfunk_proto::unwrap_pts;

use super::GATHER_MAX;
use super::boxes::{self, ParameterSets, Sample};
use super::format::Pieces;

/// The longest fragment, in microseconds of the stream.
const FRAGMENT_US_MAX: u64 = GATHER_MAX.as_micros() as u64;
/// The most pictures of a fragment: a stream of no time at all is bounded, too.
const FRAGMENT_PICTURES_MAX: usize = 1_024;
/// The most bytes of a fragment that another picture may join.
const FRAGMENT_BYTES_MAX: usize = 8 << 20;
/// How long the last picture before a pause is said to last, before anything is known of the rate.
const INTERVAL_US: u32 = 16_667;

/// Where the stream's 32 bits of time begin, and when that was.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    pts_us: u64,
    at: Instant,
}

/// An MP4 under way.
pub(super) struct Mp4 {
    pieces: Pieces,
    anchor: Option<Anchor>,
    sides: (u32, u32),
    /// Of the fragment that is being gathered.
    samples: Vec<Sample>,
    media: Vec<u8>,
    first_us: u64,
    last_us: u64,
    begun_at: Instant,
    interval_us: u32,
    fragments: u32,
    aus: u64,
    piece: Vec<u8>,
}

impl Mp4 {
    pub(super) fn new(pieces: Pieces) -> Self {
        Self {
            pieces,
            anchor: None,
            sides: (0, 0),
            samples: Vec::with_capacity(64),
            media: Vec::new(),
            first_us: 0,
            last_us: 0,
            begun_at: Instant::now(),
            interval_us: INTERVAL_US,
            fragments: 0,
            aus: 0,
            piece: Vec::new(),
        }
    }

    /// Adds one access unit that was decoded at `now`.
    pub(super) fn write(
        &mut self,
        au: &[u8],
        pts_us: u32,
        sides: (u32, u32),
        now: Instant,
    ) -> io::Result<()> {
        let is_idr = nals(au).any(|nal| nal.kind == NalKind::IdrSlice);
        if !nals(au).any(|nal| nal.kind.is_slice()) {
            return Ok(());
        }
        let anchor = match self.anchor {
            Some(anchor) => anchor,
            None => match ParameterSets::of(au).filter(|_| is_idr) {
                Some(sets) => self.begin(&sets, pts_us, sides, now)?,
                None => return Ok(()),
            },
        };
        if sides != self.sides {
            let ((old_width, old_height), (width, height)) = (self.sides, sides);
            tracing::info!("the recording goes on at {width}x{height} after {old_width}x{old_height}");
            self.sides = sides;
        }
        let is_first = self.aus == 0 && self.samples.is_empty();
        let time_us = if is_first { 0 } else { self.time_us(anchor, pts_us, now) };
        let is_full = time_us - self.first_us >= FRAGMENT_US_MAX
            || self.samples.len() >= FRAGMENT_PICTURES_MAX
            || self.media.len() >= FRAGMENT_BYTES_MAX;
        self.end_last(time_us);
        if is_idr || is_full {
            self.write_fragment()?;
        }
        if self.samples.is_empty() {
            (self.first_us, self.begun_at) = (time_us, now);
        }
        let size = boxes::put_au(au, &mut self.media);
        self.samples.push(Sample { duration_us: self.interval_us, size, is_idr });
        self.last_us = time_us;
        Ok(())
    }

    /// Writes the fragment that has waited long enough.
    pub(super) fn handle_time(&mut self, now: Instant) -> io::Result<()> {
        let waited = now.saturating_duration_since(self.begun_at);
        if waited >= GATHER_MAX { self.write_fragment() } else { Ok(()) }
    }

    /// Writes the rest; how many access units there are.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.write_fragment()?;
        Ok(self.aus)
    }

    fn begin(
        &mut self,
        sets: &ParameterSets<'_>,
        pts_us: u32,
        sides: (u32, u32),
        now: Instant,
    ) -> io::Result<Anchor> {
        self.piece.clear();
        boxes::put_header(sets, sides, &mut self.piece)?;
        self.pieces.write(&self.piece)?;
        self.sides = sides;
        // One wrap of room, so that a time before the first is a number, too.
        let anchor = Anchor { pts_us: u64::from(pts_us) + (1 << 32), at: now };
        self.anchor = Some(anchor);
        Ok(anchor)
    }

    /// The picture's time from the first one's: the nearest to what has gone by since, and later than the last one's.
    fn time_us(&self, anchor: Anchor, pts_us: u32, now: Instant) -> u64 {
        let gone_by = now.saturating_duration_since(anchor.at).as_micros();
        let session_now_us = anchor.pts_us.saturating_add(u64::try_from(gone_by).unwrap_or(u64::MAX));
        let time_us = unwrap_pts(pts_us, session_now_us).saturating_sub(anchor.pts_us);
        time_us.max(self.last_us + 1)
    }

    /// The last picture that was gathered is followed by one at `next_us`.
    fn end_last(&mut self, next_us: u64) {
        let Some(last) = self.samples.last_mut() else { return };
        last.duration_us = u32::try_from(next_us - self.last_us).unwrap_or(u32::MAX);
        if u64::from(last.duration_us) <= FRAGMENT_US_MAX {
            self.interval_us = last.duration_us;
        }
    }

    fn write_fragment(&mut self) -> io::Result<()> {
        if self.samples.is_empty() {
            return Ok(());
        }
        self.fragments = self.fragments.wrapping_add(1);
        self.piece.clear();
        boxes::put_fragment(self.fragments, self.first_us, &self.samples, &self.media, &mut self.piece)?;
        self.pieces.write(&self.piece)?;
        self.aus += self.samples.len() as u64;
        self.samples.clear();
        self.media.clear();
        Ok(())
    }
}
