//! H.264 in a fragmented MP4 (ISO/IEC 14496-12 and -15): each picture at the time at which it was captured.
//!
//! Fragments begin with each IDR, and at the latest [`GATHER_MAX`] after the one before; each is written by one call, so
//! that a file that was cut off anywhere plays up to its last whole fragment. Times are the wire's, in microseconds: a lost
//! picture and a still screen are gaps, and nothing is made up.
//!
//! The parameter sets of the first IDR stand in the header, and each IDR keeps its own in front of it, so that a change of
//! size in mid-stream, and a jump back across it, are decoded. While all are the header's, the sample entry is `avc1`, which
//! every player knows: strictly it has none in front of an IDR, but copies change nothing, and ffmpeg writes them, too. The
//! first that differs makes it `avc3`, which is the entry for that; on a pipe, where nothing can be written over, it stays.
//!
//! Promises: times rise, whatever the stream claims; no fragment reaches into the next; memory for one fragment. Refuses
//! to begin before an IDR with its parameter sets, access units without a slice, and times that cannot be true.

use std::io;
use std::time::Instant;

use punktfunk_codec::annexb::{NalKind, nals};
use punktfunk_proto::unwrap_pts;

use super::GATHER_MAX;
use super::boxes::{self, ParameterSets, Sample};
use super::format::{Open, Pieces};

/// The longest fragment, in microseconds of the stream.
const FRAGMENT_US_MAX: u64 = GATHER_MAX.as_micros() as u64;
/// The most pictures of a fragment: a stream of no time at all is bounded, too.
const FRAGMENT_PICTURES_MAX: usize = 1_024;
/// The most bytes of a fragment that another picture may join.
pub(super) const FRAGMENT_BYTES_MAX: usize = 8 << 20;
/// How long the last picture before a pause is said to last, before anything is known of the rate.
const INTERVAL_US: u32 = 16_667;
/// How long a picture is said to last whose successor is not known: the next fragment's time makes it longer
/// (14496-12 section 8.8.12), and none may lie before its end.
const OPEN_US: u32 = 1;
/// How far a picture's time may be from the decoder's clock, beyond what the last one was: more is no delay.
const STRAY_US_MAX: u64 = 2_000_000;

/// Where the stream's 32 bits of time begin, and when that was.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    pts_us: u64,
    at: Instant,
}

/// An MP4 under way.
pub(super) struct Mp4 {
    /// How the file is opened, while there is nothing in it.
    open: Option<Open>,
    pieces: Option<Pieces>,
    anchor: Option<Anchor>,
    /// Where the name of the sample entry is, while the header has all parameter sets, and those.
    entry: Option<(u64, Vec<Vec<u8>>)>,
    /// How far the last picture that was believed was before the decoder's clock.
    ahead_us: i64,
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
    pub(super) fn new(open: Open) -> Self {
        Self {
            open: Some(open),
            pieces: None,
            anchor: None,
            entry: None,
            ahead_us: 0,
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

    /// Adds one access unit that was decoded at `now`; false when it is refused.
    pub(super) fn write(
        &mut self,
        au: &[u8],
        pts_us: u32,
        sides: (u32, u32),
        now: Instant,
    ) -> io::Result<bool> {
        let is_idr = nals(au).any(|nal| nal.kind == NalKind::IdrSlice);
        if !nals(au).any(|nal| nal.kind.is_slice()) {
            return Ok(false);
        }
        let anchor = match self.anchor {
            Some(anchor) => anchor,
            None => match ParameterSets::of(au).filter(|_| is_idr) {
                Some(sets) => self.begin(&sets, pts_us, sides, now)?,
                None => return Ok(false),
            },
        };
        self.check_sets(au)?;
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
        self.samples.push(Sample { duration_us: OPEN_US, size, is_idr });
        self.last_us = time_us;
        Ok(true)
    }

    /// Writes the fragment that has waited long enough.
    pub(super) fn handle_time(&mut self, now: Instant) -> io::Result<()> {
        let waited = now.saturating_duration_since(self.begun_at);
        if waited >= GATHER_MAX { self.write_fragment() } else { Ok(()) }
    }

    /// Writes the rest; how many access units there are.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        if let Some(last) = self.samples.last_mut() {
            last.duration_us = self.interval_us;
        }
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
        let name_at = boxes::put_header(sets, sides, &mut self.piece)?;
        self.entry = Some((name_at as u64, sets.to_vecs()));
        if let Some(open) = self.open.take() {
            self.pieces = Some(Pieces::new(open()?));
        }
        self.write_piece()?;
        self.sides = sides;
        // One wrap of room, so that a time before the first is a number, too.
        let anchor = Anchor { pts_us: u64::from(pts_us) + (1 << 32), at: now };
        self.anchor = Some(anchor);
        Ok(anchor)
    }

    /// Says in the header when it is no longer all that a decoder has to know.
    fn check_sets(&mut self, au: &[u8]) -> io::Result<()> {
        let is_new = |known: &[Vec<u8>]| boxes::sets(au).any(|set| !known.iter().any(|known| known == set));
        let (Some(pieces), Some((name_at, _))) =
            (&mut self.pieces, self.entry.take_if(|(_, known)| is_new(known)))
        else {
            return Ok(());
        };
        if !pieces.write_over(name_at, &boxes::ENTRY_CHANGING)? {
            tracing::info!("the recording's header cannot be changed: some players will not go on here");
        }
        Ok(())
    }

    /// The picture's time from the first one's: what it claims, if that can be, and later than the last one's.
    fn time_us(&mut self, anchor: Anchor, pts_us: u32, now: Instant) -> u64 {
        let gone_by = now.saturating_duration_since(anchor.at).as_micros();
        let gone_by_us = u64::try_from(gone_by).unwrap_or(u64::MAX);
        let expected_us = gone_by_us.saturating_add_signed(self.ahead_us);
        let claimed = unwrap_pts(pts_us, anchor.pts_us.saturating_add(expected_us));
        let claimed_us = claimed.saturating_sub(anchor.pts_us);
        let is_stray = claimed_us.abs_diff(expected_us) > STRAY_US_MAX;
        if !is_stray {
            self.ahead_us = claimed_us.wrapping_sub(gone_by_us).cast_signed();
        }
        let time_us = if is_stray { expected_us } else { claimed_us };
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
        self.write_piece()?;
        self.aus += self.samples.len() as u64;
        self.samples.clear();
        self.media.clear();
        self.media.shrink_to(FRAGMENT_BYTES_MAX);
        Ok(())
    }

    /// Writes what was laid out, and keeps no more room than most fragments need.
    fn write_piece(&mut self) -> io::Result<()> {
        let written = self.pieces.as_mut().map_or(Ok(()), |pieces| pieces.write(&self.piece));
        self.piece.clear();
        self.piece.shrink_to(FRAGMENT_BYTES_MAX);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::recording::format::Medium;

    #[test]
    fn a_large_picture_leaves_no_large_buffer() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("large.mp4")).unwrap();
        let mut mp4 = Mp4::new(Box::new(|| Ok(Box::new(file) as Box<dyn Medium>)));
        let sets = [0, 0, 1, 0x67, 66, 0, 30, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65];
        let slice = std::iter::repeat_n(0x55, 3 * FRAGMENT_BYTES_MAX);
        let au: Vec<u8> = sets.into_iter().chain(slice).collect();
        let now = Instant::now();
        assert!(mp4.write(&au, 0, (2, 2), now).unwrap());
        assert!(mp4.media.capacity() > FRAGMENT_BYTES_MAX);
        mp4.handle_time(now + GATHER_MAX).unwrap();
        assert_eq!(mp4.aus, 1);
        let kept = (mp4.media.capacity(), mp4.piece.capacity());
        assert!(kept.0 <= FRAGMENT_BYTES_MAX && kept.1 <= FRAGMENT_BYTES_MAX, "{kept:?}");
    }
}
