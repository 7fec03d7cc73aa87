//! The writer: pictures in, slices out.

use std::ops::Range;

use crate::bits::Bits;
use crate::level::{self, Load};
use crate::sets::{self, Colour, FRAME_NUM_BITS, Profile, Sequence};
use crate::slice::{self, Coding, Header};
use crate::source::{Chroma, Source};
use crate::store::{Buffer, Planes};
use crate::{Refusal, nal};

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Pixels; even in 4:2:0.
    pub width: u32,
    /// Pixels; even in 4:2:0.
    pub height: u32,
    /// How chroma is sampled; 4:4:4 takes [`Profile::High444`].
    pub chroma: Chroma,
    /// The stream's word for its tools.
    pub profile: Profile,
    /// level_idc; the lowest that will do if not said.
    pub level: Option<u8>,
    /// Pictures in the decoded picture buffer, at least one.
    pub references: u32,
    /// Slices a picture; at most one a macroblock row.
    pub slices: u32,
    /// Pictures in so many seconds.
    pub rate: (u32, u32),
    /// What the samples mean, if the stream is to say so.
    pub colour: Option<Colour>,
}

/// What kind of picture came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Decoding can start here.
    Idr,
    /// No reference, yet no start either: the answer to a buffer of which nothing is valid.
    Intra,
    /// Built on one other picture.
    Predicted,
}

/// How a picture is to be written.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The caller's name for the picture, by which it may be invalidated.
    pub id: u64,
    /// An IDR, with or without its parameter sets.
    pub idr: bool,
    /// Parameter sets before the first slice; an IDR that is the stream's first picture has them always.
    pub parameter_sets: bool,
    /// Begin with an access unit delimiter.
    pub delimiter: bool,
    /// Bits to spend; not said: as many as it takes. Bytes that keep start codes out are not counted.
    pub budget_bits: Option<u64>,
    /// Macroblock rows that are written whole, whatever the budget: intra refresh.
    pub refresh_rows: Range<u32>,
    /// A recovery point: the picture is whole after so many more.
    pub recovery_point: Option<u32>,
}

/// A part of an access unit, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which slice it is; not one: what comes before the first.
    pub slice: Option<u32>,
    /// NAL units, each with its start code.
    pub bytes: &'a [u8],
}

/// What became of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coded {
    /// What kind it is.
    pub kind: Kind,
    /// Whom it was built on.
    pub reference: Option<u64>,
    /// Macroblocks written whole.
    pub whole: u32,
    /// Macroblocks copied from the reference.
    pub skipped: u32,
    /// Macroblocks that now show what the source does not.
    pub stale: u32,
}

/// An H.264 writer.
#[derive(Debug)]
pub struct Writer {
    config: Config,
    level: u8,
    buffer: Buffer,
    idr_pic_id: u32,
    /// The picture that is written, in macroblock order: the source, then what a decoder makes of it.
    samples: Vec<u8>,
    codings: Vec<Coding>,
    /// For each macroblock, the picture's count at which it began to differ from its source; 0: it does not.
    stale_since: Vec<u64>,
    pictures: u64,
    /// Macroblocks to write, oldest first.
    wanted: Vec<(u64, u32)>,
    bits: Bits,
    payload: Bits,
    out: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl Writer {
    /// A writer whose first picture is an IDR.
    ///
    /// # Errors
    /// [`Refusal::Size`], [`Refusal::Chroma`], [`Refusal::Level`], [`Refusal::References`].
    pub fn new(config: Config) -> Result<Self, Refusal> {
        let Config { width, height, chroma, .. } = config;
        let unit = chroma.crop_unit();
        if width == 0 || height == 0 || !width.is_multiple_of(unit) || !height.is_multiple_of(unit) {
            return Err(Refusal::Size { width, height });
        }
        if chroma == Chroma::Yuv444 && config.profile != Profile::High444 {
            return Err(Refusal::Chroma);
        }
        let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
        let references = config.references.max(1);
        let slices = config.slices.clamp(1, rows);
        let config = Config { references, slices, ..config };
        let rate = config.rate.0.div_ceil(config.rate.1.max(1));
        let level = level::choose(Load { columns, rows, rate, references }, config.level)?;
        let macroblocks = (columns * rows) as usize;
        Ok(Self {
            config,
            level,
            buffer: Buffer::new(references),
            idr_pic_id: 0,
            samples: vec![0; macroblocks * chroma.macroblock_bytes()],
            codings: vec![Coding::Whole; macroblocks],
            stale_since: vec![0; macroblocks],
            pictures: 0,
            wanted: Vec::with_capacity(macroblocks),
            bits: Bits::default(),
            payload: Bits::default(),
            out: Vec::new(),
            spare: Vec::new(),
        })
    }

    /// What is written.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// level_idc.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Slices a picture from the next one on, at most one a macroblock row.
    pub fn set_slices(&mut self, slices: u32) {
        self.config.slices = slices.clamp(1, self.rows());
    }

    /// Goes on where another stream ended: its next IDR gets another idr_pic_id than that one's last.
    #[must_use]
    pub fn following(mut self, other: &Writer) -> Self {
        self.idr_pic_id = other.idr_pic_id;
        self
    }

    /// Sequence and picture parameter set, each with its start code.
    pub fn parameter_sets(&mut self) -> &[u8] {
        self.out.clear();
        self.append_parameter_sets();
        &self.out
    }

    /// Marks the picture `id`, and all that was built on it, as unfit for reference. Whether it is in the buffer.
    pub fn invalidate(&mut self, id: u64) -> bool {
        self.buffer.invalidate(id)
    }

    /// The pictures that may be referred to, oldest first.
    pub fn valid(&self) -> impl Iterator<Item = u64> {
        self.buffer.valid()
    }

    /// Whether the picture is still in the buffer, fit for reference or not.
    pub fn holds(&self, id: u64) -> bool {
        self.buffer.find(id).is_some()
    }

    /// What a decoder shows after the last picture.
    pub fn reconstruction(&self) -> Option<Planes> {
        let Config { chroma, width, height, .. } = self.config;
        self.buffer.newest().map(|picture| Planes::new(chroma, width, height, &picture.samples))
    }

    /// Takes the picture's samples; they are not looked at again, so the memory may be written once this is back.
    ///
    /// # Errors
    /// [`Refusal::Size`] if the picture is not of this writer's size and format.
    pub fn take(&mut self, source: &Source<'_>) -> Result<(), Refusal> {
        let Config { chroma, width, height, .. } = self.config;
        if !source.is(chroma, width, height) {
            return Err(Refusal::Size { width, height });
        }
        source.arrange(&mut self.samples);
        Ok(())
    }

    /// Writes the picture that was taken last; `sink` is lent each part once it is written.
    pub fn write(&mut self, request: &Request, sink: &mut dyn FnMut(Part<'_>)) -> Coded {
        self.pictures += 1;
        let reference = self.buffer.newest_valid().filter(|_| !request.idr);
        let reference = reference.map(|picture| (picture.id, picture.frame_num));
        let kind = match reference {
            Some(_) => Kind::Predicted,
            None if request.idr || self.buffer.newest().is_none() => Kind::Idr,
            None => Kind::Intra,
        };
        self.decide(reference.map(|(id, _)| id), request);
        self.reconstruct(reference.map(|(id, _)| id));
        let header = self.next_header(kind, reference.map(|(_, frame_num)| frame_num));
        self.write_start(kind, request, sink);
        for index in 0..self.config.slices {
            self.write_slice(index, header, kind);
            sink(Part { slice: Some(index), bytes: &self.out });
        }
        self.keep(request.id, header.frame_num, reference.map(|(id, _)| id), kind);
        self.coded(kind, reference.map(|(id, _)| id))
    }

    fn rows(&self) -> u32 {
        self.config.height.div_ceil(16)
    }

    fn columns(&self) -> usize {
        self.config.width.div_ceil(16) as usize
    }

    /// A slice's macroblocks.
    fn range(&self, index: u32) -> Range<usize> {
        let row =
            |index: u32| (u64::from(index) * u64::from(self.rows()) / u64::from(self.config.slices)) as usize;
        row(index) * self.columns()..row(index + 1) * self.columns()
    }

    /// Says for each macroblock how it is written.
    fn decide(&mut self, reference: Option<u64>, request: &Request) {
        let bytes = self.config.chroma.macroblock_bytes();
        let cost_bits = bytes as u64 * 8 + 24;
        let budget = request.budget_bits.map_or(u64::MAX, |bits| bits / cost_bits);
        let Some(reference) = reference.and_then(|id| self.buffer.find(id)) else {
            return self.decide_without_reference(budget);
        };
        let columns = self.columns();
        self.wanted.clear();
        let blocks = self.samples.chunks_exact(bytes).zip(reference.samples.chunks_exact(bytes));
        for (at, (now, then)) in blocks.enumerate() {
            let row = (at / columns) as u32;
            let is_refreshed = request.refresh_rows.contains(&row);
            self.codings[at] = if is_refreshed { Coding::Whole } else { Coding::Skip };
            if now == then || is_refreshed {
                self.stale_since[at] = 0;
            } else {
                let since = if self.stale_since[at] == 0 { self.pictures } else { self.stale_since[at] };
                self.stale_since[at] = since;
                self.wanted.push((since, at as u32));
            }
        }
        self.wanted.sort_unstable();
        let refreshed = request.refresh_rows.len() as u64 * columns as u64;
        let affordable = usize::try_from(budget.saturating_sub(refreshed)).unwrap_or(usize::MAX);
        for (_, at) in self.wanted.iter().take(affordable) {
            self.codings[*at as usize] = Coding::Whole;
            self.stale_since[*at as usize] = 0;
        }
    }

    /// As many whole macroblocks as there is budget for, evenly spread, and the rest from their neighbours.
    fn decide_without_reference(&mut self, budget: u64) {
        let count = self.codings.len() as u64;
        let whole = budget.min(count);
        for at in 0..count {
            let is_whole = at * whole / count != (at + 1) * whole / count;
            self.codings[at as usize] = if is_whole { Coding::Whole } else { Coding::Spread };
            self.stale_since[at as usize] = if is_whole { 0 } else { self.pictures };
        }
    }

    /// Makes of the source what a decoder makes of it.
    fn reconstruct(&mut self, reference: Option<u64>) {
        let chroma = self.config.chroma;
        let bytes = chroma.macroblock_bytes();
        let columns = self.columns();
        let reference = reference.and_then(|id| self.buffer.find(id));
        for index in 0..self.config.slices {
            let range = self.range(index);
            for at in range.clone() {
                let here = at * bytes..(at + 1) * bytes;
                match (self.codings[at], reference) {
                    (Coding::Skip, Some(reference)) => {
                        self.samples[here.clone()].copy_from_slice(&reference.samples[here]);
                    }
                    (Coding::Spread, _) => slice::spread(&mut self.samples, at, range.start, columns, chroma),
                    (Coding::Whole | Coding::Skip, _) => {}
                }
            }
        }
    }

    fn next_header(&mut self, kind: Kind, reference: Option<u32>) -> Header {
        let newest = self.buffer.newest().map(|picture| picture.frame_num);
        let frame_num = match (kind, newest) {
            (Kind::Idr, _) | (_, None) => 0,
            (Kind::Intra | Kind::Predicted, Some(newest)) => (newest + 1) & ((1 << FRAME_NUM_BITS) - 1),
        };
        let is_idr = kind == Kind::Idr;
        self.idr_pic_id = (self.idr_pic_id + u32::from(is_idr)) & 1;
        Header { frame_num, idr_pic_id: is_idr.then_some(self.idr_pic_id), reference }
    }

    /// What comes before the first slice.
    fn write_start(&mut self, kind: Kind, request: &Request, sink: &mut dyn FnMut(Part<'_>)) {
        self.out.clear();
        if request.delimiter {
            sets::delimiter(&mut self.bits, kind != Kind::Predicted);
            nal::append(&mut self.out, nal::DELIMITER, 0, self.bits.bytes());
        }
        if request.parameter_sets || self.pictures == 1 {
            self.append_parameter_sets();
        }
        if let Some(pictures) = request.recovery_point {
            sets::recovery_point(&mut self.bits, &mut self.payload, pictures);
            nal::append(&mut self.out, nal::SEI, 0, self.bits.bytes());
        }
        if !self.out.is_empty() {
            sink(Part { slice: None, bytes: &self.out });
        }
    }

    fn append_parameter_sets(&mut self) {
        let Config { profile, chroma, width, height, references, rate, colour, .. } = self.config;
        let sequence =
            Sequence { profile, level: self.level, chroma, width, height, references, rate, colour };
        sets::sequence(&mut self.bits, &sequence);
        nal::append(&mut self.out, nal::SPS, 3, self.bits.bytes());
        sets::picture(&mut self.bits);
        nal::append(&mut self.out, nal::PPS, 3, self.bits.bytes());
    }

    fn write_slice(&mut self, index: u32, header: Header, kind: Kind) {
        let (range, columns, chroma) = (self.range(index), self.columns(), self.config.chroma);
        slice::write(&mut self.bits, header, range, columns, chroma, &self.codings, &self.samples);
        let (unit, reference) = match kind {
            Kind::Idr => (nal::IDR_SLICE, 3),
            Kind::Intra | Kind::Predicted => (nal::SLICE, 2),
        };
        self.out.clear();
        nal::append(&mut self.out, unit, reference, self.bits.bytes());
    }

    /// Puts the picture into the buffer; its memory is swapped for one that has gone.
    fn keep(&mut self, id: u64, frame_num: u32, reference: Option<u64>, kind: Kind) {
        if kind == Kind::Idr {
            self.buffer.clear(&mut self.spare);
        }
        let next = self.spare.pop().unwrap_or_else(|| vec![0; self.samples.len()]);
        let samples = std::mem::replace(&mut self.samples, next);
        self.spare.extend(self.buffer.push(id, frame_num, reference, samples));
    }

    fn coded(&self, kind: Kind, reference: Option<u64>) -> Coded {
        let count = |coding: Coding| self.codings.iter().filter(|other| **other == coding).count() as u32;
        Coded {
            kind,
            reference,
            whole: count(Coding::Whole),
            skipped: count(Coding::Skip),
            stale: self.stale_since.iter().filter(|since| **since != 0).count() as u32,
        }
    }
}
