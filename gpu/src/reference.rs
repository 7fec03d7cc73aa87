//! The oracle: the same conversion, sample by sample, in real numbers. Slow, and meant to be read.
//!
//! Promises: what the shader may differ from by one, and no more. Scaling: a pixel of the output is the mean of the part of
//! the source that it covers where the output is smaller, and lies on the line between the two nearest pixels where it is larger;
//! each direction for itself. 4:2:0: a chroma sample is made of the scaled pixels around its place, weighed ¼ ½ ¼ in a
//! direction in which it lies on a pixel and ½ ½ in one in which it lies between two; at the picture's edge the outermost
//! pixel stands for those beyond it. Refuses: nothing; sources are whole.

use crate::Overlay;
use crate::format::{Order, Siting};
use crate::output::{OutputSpec, Placement};
use crate::weights::Levels;

/// A source whose rows lie one after the other, a word a pixel.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// How a word is read.
    pub order: Order,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The pixels, `width × height` of them.
    pub words: &'a [u32],
    /// What is to be seen on it.
    pub overlay: Option<Overlay<'a>>,
}

/// Red, green and blue, 0 to 1.
type Rgb = [f64; 3];

impl Source<'_> {
    fn texel(&self, x: u32, y: u32) -> Rgb {
        let word = self.words[y as usize * self.width as usize + x as usize];
        let most = f64::from((1_u32 << self.order.bits()) - 1);
        let colour = self.order.rgb(word).map(|colour| f64::from(colour) / most);
        self.over(x, y).map_or(colour, |[blue, green, red, alpha]| {
            let blended = |index: usize, over: f64| (colour[index] * (1.0 - alpha) + over).min(1.0);
            [blended(0, red), blended(1, green), blended(2, blue)]
        })
    }

    /// What the overlay has there: blue, green, red and alpha, 0 to 1.
    fn over(&self, x: u32, y: u32) -> Option<[f64; 4]> {
        let overlay = self.overlay?;
        let inside = |at: u32, start: i32, length: u32| {
            u32::try_from(i64::from(at) - i64::from(start)).ok().filter(|inside| *inside < length)
        };
        let (x, y) = (inside(x, overlay.x, overlay.width)?, inside(y, overlay.y, overlay.height)?);
        let pixel = overlay.pixels.chunks_exact(4).nth(y as usize * overlay.width as usize + x as usize)?;
        Some([pixel[0], pixel[1], pixel[2], pixel[3]].map(|byte| f64::from(byte) / 255.0))
    }

    /// The pixel at (`x`, `y`) of a place of `width` × `height`.
    fn scaled(&self, x: u32, y: u32, place: Placement) -> Rgb {
        let (columns, rows) = (taps(x, self.width, place.width), taps(y, self.height, place.height));
        let mut sum = [0.0; 3];
        for (row, down) in &rows {
            for (column, across) in &columns {
                add(&mut sum, self.texel(*column, *row), down * across);
            }
        }
        sum
    }
}

fn add(sum: &mut Rgb, colour: Rgb, weight: f64) {
    sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += weight * colour);
}

/// The source's pixels that make the one at `at`, and how much of each, in one direction: `from` pixels become `to`.
fn taps(at: u32, from: u32, to: u32) -> Vec<(u32, f64)> {
    let ratio = f64::from(from) / f64::from(to);
    if from <= to {
        let position = ((f64::from(at) + 0.5) * ratio - 0.5).clamp(0.0, f64::from(from - 1));
        let first = position.floor();
        let (index, part) = (first as u32, position - first);
        return vec![(index, 1.0 - part), ((index + 1).min(from - 1), part)];
    }
    let (start, end) = (f64::from(at) * ratio, f64::from(at + 1) * ratio);
    let covered = |index: u32| (end.min(f64::from(index + 1)) - start.max(f64::from(index))).max(0.0) / ratio;
    (start.floor() as u32..(end.ceil() as u32).min(from)).map(|index| (index, covered(index))).collect()
}

/// Where the scaled pixels are that make a chroma sample, from the even one, and how much of each, in one direction.
fn chroma_taps(is_on_a_pixel: bool) -> &'static [(i32, f64)] {
    if is_on_a_pixel { &[(-1, 0.25), (0, 0.5), (1, 0.25)] } else { &[(0, 0.5), (1, 0.5)] }
}

/// Converts a source, whose place in the output is `place`, into what an output is to hold.
#[must_use]
pub fn convert(source: &Source<'_>, spec: &OutputSpec, place: Placement) -> Vec<u8> {
    let layout = spec.layout();
    let mut bytes = vec![0; usize::try_from(layout.bytes()).expect("an output fits into memory")];
    let levels = Levels::of(spec.colour.range, spec.format.bits());
    let (red, blue) = spec.colour.matrix.weights();
    let luma = |rgb: Rgb| red * rgb[0] + (1.0 - red - blue) * rgb[1] + blue * rgb[2];
    let is_inside = |x: u32, y: u32| {
        (place.x..place.x + place.width).contains(&x) && (place.y..place.y + place.height).contains(&y)
    };
    let mut put = |plane, x, y, sample| write(&mut bytes, spec, plane, [x, y], sample);
    for (y, x) in (0..spec.height).flat_map(|y| (0..spec.width).map(move |x| (y, x))) {
        let rgb = if is_inside(x, y) { source.scaled(x - place.x, y - place.y, place) } else { [0.0; 3] };
        put(0, x, y, f64::from(levels.black) + levels.luma * luma(rgb));
    }
    let step = if spec.format.is_420() { 2 } else { 1 };
    for (y, x) in (0..spec.height / step).flat_map(|y| (0..spec.width / step).map(move |x| (y, x))) {
        let (even_x, even_y) = (x * step, y * step);
        let rgb = match (is_inside(even_x, even_y), spec.format.is_420()) {
            (false, _) => [0.0; 3],
            (true, false) => source.scaled(even_x - place.x, even_y - place.y, place),
            (true, true) => gathered(source, even_x - place.x, even_y - place.y, place, spec.colour.siting),
        };
        let grey = f64::from(levels.grey);
        let cb = grey + levels.chroma * (rgb[2] - luma(rgb)) / (1.0 - blue) / 2.0;
        let cr = grey + levels.chroma * (rgb[0] - luma(rgb)) / (1.0 - red) / 2.0;
        if layout.planes().len() == 2 {
            put(1, 2 * x, y, cb);
            put(1, 2 * x + 1, y, cr);
        } else {
            put(1, x, y, cb);
            put(2, x, y, cr);
        }
    }
    bytes
}

/// The colour of the chroma sample of the four pixels from (`x`, `y`) of the place on.
fn gathered(source: &Source<'_>, x: u32, y: u32, place: Placement, siting: Siting) -> Rgb {
    let (across, down) = match siting {
        Siting::Left => (chroma_taps(true), chroma_taps(false)),
        Siting::Centre => (chroma_taps(false), chroma_taps(false)),
        Siting::TopLeft => (chroma_taps(true), chroma_taps(true)),
    };
    let mut sum = [0.0; 3];
    for (dy, row_weight) in down {
        for (dx, column_weight) in across {
            let (x, y) = (x.saturating_add_signed(*dx), y.saturating_add_signed(*dy));
            add(&mut sum, source.scaled(x, y, place), row_weight * column_weight);
        }
    }
    sum
}

/// Planes Y, U and V of 4:2:0, of BT.709 in the limited range.
#[derive(Debug, Clone, Copy)]
pub struct Planes<'a> {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Bytes from row to row of Y, even; those of U and V are half of that apart.
    pub stride: u32,
    /// The planes without gaps between them.
    pub bytes: &'a [u8],
}

impl Planes<'_> {
    /// The sample of a plane at (`x`, `y`) of its place, which has one for `step` pixels each way, at eight bits. Planes are
    /// scaled each for itself, as if chroma lay in the centre.
    fn scaled(&self, plane: u32, [x, y]: [u32; 2], place: Placement, step: u32) -> f64 {
        let halves = if plane == 0 { 1 } else { 2 };
        let luma = self.stride * self.height;
        let start = if plane == 0 { 0 } else { luma + (plane - 1) * (luma / 4) };
        let mut sum = 0.0;
        for (row, down) in taps(y, self.height / halves, place.height / step) {
            for (column, across) in taps(x, self.width / halves, place.width / step) {
                let at = start + row * (self.stride / halves) + column;
                sum += f64::from(self.bytes[at as usize]) * down * across;
            }
        }
        sum
    }
}

/// Scales planes, whose place in the output is `place`, into what an output is to hold.
#[must_use]
pub fn scale(source: &Planes<'_>, spec: &OutputSpec, place: Placement) -> Vec<u8> {
    let layout = spec.layout();
    let mut bytes = vec![0; usize::try_from(layout.bytes()).expect("an output fits into memory")];
    let levels = Levels::of(spec.colour.range, spec.format.bits());
    let unit = f64::from(1_u32 << (spec.format.bits() - 8));
    for plane in 0..3_u32 {
        let step = if plane > 0 && spec.format.is_420() { 2 } else { 1 };
        let empty = f64::from(if plane == 0 { levels.black } else { levels.grey });
        let (left, top) = (place.x / step, place.y / step);
        for (y, x) in (0..spec.height / step).flat_map(|y| (0..spec.width / step).map(move |x| (y, x))) {
            let is_inside = (left..left + place.width / step).contains(&x)
                && (top..top + place.height / step).contains(&y);
            let sample = match is_inside {
                true => unit * source.scaled(plane, [x - left, y - top], place, step),
                false => empty,
            };
            let in_turn = plane > 0 && layout.planes().len() == 2;
            let (plane, x) = if in_turn { (1, 2 * x + plane - 1) } else { (plane as usize, x) };
            write(&mut bytes, spec, plane, [x, y], sample);
        }
    }
    bytes
}

/// Writes a sample of a plane.
fn write(bytes: &mut [u8], spec: &OutputSpec, plane: usize, [x, y]: [u32; 2], sample: f64) {
    let sample = (sample.round() as u32).min((1 << spec.format.bits()) - 1);
    let plane = spec.layout().planes()[plane];
    let at = plane.offset + u64::from(y) * u64::from(plane.pitch) + u64::from(x * spec.format.sample_bytes());
    let at = usize::try_from(at).expect("an output fits into memory");
    match spec.format.sample_bytes() {
        1 => bytes[at] = sample as u8,
        _ => bytes[at..at + 2].copy_from_slice(&((sample << 6) as u16).to_le_bytes()),
    }
}

/// How far two outputs are apart at most, in samples' values; padding is not looked at.
#[must_use]
pub fn difference(spec: &OutputSpec, one: &[u8], other: &[u8]) -> u32 {
    let layout = spec.layout();
    let sample_bytes = spec.format.sample_bytes();
    let mut most = 0;
    for (index, plane) in layout.planes().iter().enumerate() {
        // A row of U and V in turn is as long as one of Y.
        let is_halved = spec.format.is_420() && index > 0 && layout.planes().len() == 3;
        let samples = if is_halved { spec.width / 2 } else { spec.width };
        for y in 0..u64::from(plane.rows) {
            let row = usize::try_from(plane.offset + y * u64::from(plane.pitch)).unwrap_or(usize::MAX);
            for x in 0..samples as usize {
                let sample = |bytes: &[u8]| match sample_bytes {
                    1 => u32::from(bytes[row + x]),
                    _ => u32::from(u16::from_le_bytes([bytes[row + 2 * x], bytes[row + 2 * x + 1]])) >> 6,
                };
                most = most.max(sample(one).abs_diff(sample(other)));
            }
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Colour, OutputFormat};

    fn spec(format: OutputFormat, colour: Colour) -> OutputSpec {
        OutputSpec { width: 16, height: 16, format, colour, buffers: 2 }
    }

    #[test]
    fn known_colours_have_the_samples_that_the_standards_tables_have() {
        // SMPTE RP 219's bars at 100 %, BT.709, limited range: white, yellow, cyan, green, magenta, red, blue, black.
        let bars = [
            (0xff_ffff, [235, 128, 128]),
            (0xff_ff00, [219, 16, 138]),
            (0x00_ffff, [188, 154, 16]),
            (0x00_ff00, [173, 42, 26]),
            (0xff_00ff, [78, 214, 230]),
            (0xff_0000, [63, 102, 240]),
            (0x00_00ff, [32, 240, 118]),
            (0x00_0000, [16, 128, 128]),
        ];
        for (word, expected) in bars {
            let spec = spec(OutputFormat::Yuv444, Colour::BT709);
            let source =
                Source { order: Order::Bgr8, width: 16, height: 16, words: &[word; 256], overlay: None };
            let bytes = convert(&source, &spec, spec.place(16, 16).unwrap());
            let planes = spec.layout();
            assert_eq!(
                [0, 1, 2].map(|plane| bytes[planes.planes()[plane].offset as usize]),
                expected,
                "{word:06x}"
            );
        }
    }

    #[test]
    fn taps_are_whole_and_lie_where_they_should() {
        for (from, to) in [(16, 16), (16, 10), (10, 16), (31, 2), (1, 16), (3, 2)] {
            for at in 0..to {
                let taps = taps(at, from, to);
                assert!((taps.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-9);
                assert!(taps.iter().all(|(index, weight)| *index < from && *weight >= 0.0));
            }
        }
        assert_eq!(taps(1, 4, 2), [(2, 0.5), (3, 0.5)]);
        assert_eq!(taps(0, 2, 4), [(0, 1.0), (1, 0.0)]);
        assert_eq!(taps(1, 2, 4), [(0, 0.75), (1, 0.25)]);
    }

    #[test]
    fn chroma_on_the_left_leans_to_the_even_column() {
        // One white column, number 2, in black: chroma is not touched by grey, so that it is a red one.
        let words: Vec<u32> = (0..256).map(|at| if at % 16 == 2 { 0xff_0000 } else { 0 }).collect();
        let source = Source { order: Order::Bgr8, width: 16, height: 16, words: &words, overlay: None };
        let row = |siting| {
            let spec = spec(OutputFormat::I420, Colour { siting, ..Colour::BT709 });
            let bytes = convert(&source, &spec, spec.place(16, 16).unwrap());
            let at = spec.layout().planes()[2].offset as usize;
            [bytes[at], bytes[at + 1], bytes[at + 2]]
        };
        assert_eq!(row(Siting::Left), [128, 184, 128]);
        assert_eq!(row(Siting::Centre), [128, 184, 128]);
        let words: Vec<u32> = (0..256).map(|at| if at % 16 == 3 { 0xff_0000 } else { 0 }).collect();
        let source = Source { words: &words, ..source };
        let spec = spec(OutputFormat::I420, Colour::BT709);
        let bytes = convert(&source, &spec, spec.place(16, 16).unwrap());
        let at = spec.layout().planes()[2].offset as usize;
        assert_eq!([bytes[at], bytes[at + 1], bytes[at + 2]], [128, 156, 156]);
    }
}
