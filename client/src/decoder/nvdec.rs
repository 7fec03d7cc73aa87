//! NVIDIA's decoder, and its pictures copied for who looks at them.

use std::fmt;

use punktfunk_codec::{I420, I420Buffer};
use punktfunk_control::{Chroma, Codec, Depth};
use punktfunk_cuda::{Context, Cuda, CudaError, Stream};
use punktfunk_nvdec::{
    Caps, Chroma as Colour, Codec as Coding, Decoder, Depth as Bits, Frame, Library, NvdecError, Plane,
};

use super::StreamKind;

/// What a device decodes of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Able {
    /// What.
    pub kind: StreamKind,
    /// How small and how large.
    pub caps: Caps,
}

impl Able {
    /// Whether pictures of these visible sides are decoded.
    pub fn has_sides(&self, (width, height): (u32, u32)) -> bool {
        self.caps.has_sides(self.coded(width), self.coded(height))
    }

    /// Whether they are less than what is decoded.
    pub fn is_above(&self, (width, height): (u32, u32)) -> bool {
        self.coded(width) < self.caps.sides_min.0 || self.coded(height) < self.caps.sides_min.1
    }

    /// The least side that such a visible one is coded as: whole macroblocks, and HEVC's least coding blocks.
    fn coded(&self, side: u32) -> u32 {
        let step = match self.kind.codec {
            Codec::H264 => 16,
            Codec::Hevc => 8,
            Codec::Av1 | Codec::Pattern => 1,
        };
        side.checked_next_multiple_of(step).unwrap_or(side)
    }
}

impl fmt::Display for Able {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Caps { sides_min: (left, top), sides_max: (right, bottom), macroblocks_max, .. } = self.caps;
        write!(f, "{} of {left}x{top} to {right}x{bottom}, {macroblocks_max} macroblocks at most", self.kind)
    }
}

/// A device that decodes, and what it does.
pub struct Device {
    library: Library,
    context: Context,
    ables: Vec<Able>,
}

impl Device {
    /// The first device that decodes H.264.
    ///
    /// # Errors
    /// There is none, or what is needed to reach it.
    pub fn look() -> Result<Self, NvdecError> {
        let cuda = Cuda::load()?;
        let library = Library::load()?;
        let mut why = None;
        for device in cuda.devices()? {
            match Self::of(&library, device.context()) {
                Ok(device) => return Ok(device),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or(NvdecError::Absent))
    }

    fn of(library: &Library, context: Result<Context, CudaError>) -> Result<Self, NvdecError> {
        let context = context?;
        let mut ables: Vec<Able> = Vec::new();
        for kind in StreamKind::all() {
            let Some(coding) = coding(kind.codec) else { continue };
            let caps = library.caps_in(&context, coding, bits(kind.depth), colour(kind.chroma));
            match caps {
                Ok(Some(caps)) => ables.push(Able { kind, caps }),
                Ok(None) => {}
                // Older drivers have no answer for what they do not know.
                Err(error) if !kind.is_usual() => tracing::debug!(%error, "NVDEC and {kind}"),
                Err(error) => return Err(error),
            }
        }
        if !ables.iter().any(|able| able.kind == StreamKind::usual(Codec::H264)) {
            let (device, codec) = (context.device().name().to_owned(), Coding::H264);
            let (depth, chroma) = (Bits::Eight, Colour::Half);
            return Err(NvdecError::Unsupported { device, codec, depth, chroma });
        }
        Ok(Self { library: library.clone(), context, ables })
    }

    /// What it decodes.
    pub fn ables(&self) -> &[Able] {
        &self.ables
    }

    /// Checks that a kind's pictures may have these sides.
    fn check_sides(&self, kind: StreamKind, sides: (u32, u32)) -> Result<(), NvdecError> {
        let Some(able) = self.ables.iter().find(|able| able.kind == kind) else { return Ok(()) };
        match coding(kind.codec) {
            Some(codec) if !able.has_sides(sides) => {
                let device = self.context.device().name().to_owned();
                Err(NvdecError::Size { device, codec, width: sides.0, height: sides.1 })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn bits(depth: Depth) -> Bits {
    match depth {
        Depth::Eight => Bits::Eight,
        Depth::Ten => Bits::Ten,
    }
}

fn colour(chroma: Chroma) -> Colour {
    match chroma {
        Chroma::Yuv420 => Colour::Half,
        Chroma::Yuv444 => Colour::Full,
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NVDEC on {}", self.context.device().name())
    }
}

/// Whether the machine has nothing of NVIDIA's, which is no fault of it.
pub fn is_absent(error: &NvdecError) -> bool {
    matches!(error, NvdecError::Cuda(CudaError::Absent))
}

fn coding(codec: Codec) -> Option<Coding> {
    match codec {
        Codec::H264 => Some(Coding::H264),
        Codec::Hevc => Some(Coding::Hevc),
        Codec::Av1 => Some(Coding::Av1),
        Codec::Pattern => None,
    }
}

/// A stream's decoder of NVIDIA's.
pub struct Nvdec {
    decoder: Decoder,
    /// The newest picture.
    frame: Option<Frame>,
    /// A plane as it came from the device.
    rows: Vec<u8>,
    picture: Option<I420Buffer>,
}

impl Nvdec {
    /// A decoder that waits for its first IDR, of pictures with these sides at first.
    ///
    /// # Errors
    /// The device has none for this, or none of that size.
    pub fn new(device: &Device, kind: StreamKind, sides: (u32, u32)) -> Result<Self, NvdecError> {
        device.check_sides(kind, sides)?;
        // Nobody offers what is no coding of pictures.
        let coding = coding(kind.codec).unwrap_or(Coding::H264);
        let decoder = Decoder::new(&device.library, &device.context, coding)?;
        Ok(Self { decoder, frame: None, rows: Vec::new(), picture: None })
    }

    /// Takes a part of an access unit that is not its last.
    ///
    /// # Errors
    /// It cannot go on, and why.
    pub fn feed(&mut self, part: &[u8]) -> Result<(), String> {
        self.decoder.feed(part).map(drop).map_err(|error| error.to_string())
    }

    /// Takes an access unit's last part, and holds its picture; in memory, too, where somebody looks at it.
    ///
    /// # Errors
    /// The picture is refused, or it cannot go on.
    pub fn finish(&mut self, part: &[u8], is_looked_at: bool) -> Result<(), NvdecError> {
        self.frame = None;
        let frame = self.decoder.finish(part)?;
        if is_looked_at {
            self.copy(&frame)?;
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// The access unit that is open will not be completed.
    ///
    /// # Errors
    /// It cannot go on, and why.
    pub fn abandon(&mut self) -> Result<(), String> {
        self.decoder.abandon().map_err(|error| error.to_string())
    }

    /// Visible pixels of the picture that is held.
    pub fn sides(&self) -> (u32, u32) {
        self.frame.as_ref().map_or((0, 0), |frame| (frame.width(), frame.height()))
    }

    /// The last picture that was looked at, with 8 bits a sample.
    pub fn seen(&self) -> Option<I420<'_>> {
        self.picture.as_ref().map(I420Buffer::as_i420)
    }

    fn copy(&mut self, frame: &Frame) -> Result<(), NvdecError> {
        let (width, height) = (frame.width(), frame.height());
        let fits = self.picture.as_ref().is_some_and(|it| (it.width(), it.height()) == (width, height));
        if !fits {
            // Odd sides, which no screen has: nothing is seen of them.
            self.picture = I420Buffer::new(width, height).ok();
        }
        let Some(picture) = &mut self.picture else { return Ok(()) };
        let (y, u, v) = picture.planes_mut();
        let bytes = frame.depth().sample_bytes();
        let (stream, rows) = (self.decoder.stream(), &mut self.rows);
        read(stream, frame, frame.luma(), rows)?;
        // A sample's upper byte is its last one, and its only one where it has 8 bits.
        for (to, from) in y.iter_mut().zip(rows.chunks_exact(bytes)) {
            *to = from[bytes - 1];
        }
        match frame.colour() {
            Colour::Half => {
                read(stream, frame, frame.chroma(), rows)?;
                for ((u, v), pair) in u.iter_mut().zip(v).zip(rows.chunks_exact(2 * bytes)) {
                    (*u, *v) = (pair[bytes - 1], pair[2 * bytes - 1]);
                }
            }
            Colour::Full => {
                for (plane, to) in frame.full_chroma().into_iter().zip([u, v]) {
                    read(stream, frame, plane, rows)?;
                    halve(rows, width as usize, bytes, to);
                }
            }
        }
        Ok(())
    }
}

/// The mean of each four samples of a plane, with 8 bits.
fn halve(plane: &[u8], width: usize, bytes: usize, to: &mut [u8]) {
    let half = width / 2;
    let upper = |row: &[u8], column: usize| u16::from(row[column * bytes + bytes - 1]);
    for (to, two) in to.chunks_exact_mut(half.max(1)).zip(plane.chunks_exact(2 * width * bytes)) {
        let (above, below) = two.split_at(width * bytes);
        for (column, to) in to.iter_mut().enumerate() {
            let four = [(above, 0), (above, 1), (below, 0), (below, 1)];
            let sum: u16 = four.iter().map(|(row, right)| upper(row, 2 * column + right)).sum();
            *to = u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX);
        }
    }
}

/// Copies a plane's rows to memory, without gaps.
fn read(stream: &Stream, frame: &Frame, plane: Plane, rows: &mut Vec<u8>) -> Result<(), CudaError> {
    let width_bytes = plane.extent.width_bytes;
    rows.resize(width_bytes * plane.extent.rows, 0);
    stream.read(frame, plane.rows, rows, width_bytes, plane.extent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_samples_become_their_mean_of_eight_bits() {
        let mut to = [0; 2];
        halve(&[0, 4, 10, 20, 8, 12, 30, 40], 4, 1, &mut to);
        assert_eq!(to, [6, 25]);
        // Of ten bits in the upper part of 16: the upper byte counts.
        halve(&[9, 0, 9, 4, 9, 10, 9, 20, 9, 8, 9, 12, 9, 30, 9, 40], 4, 2, &mut to);
        assert_eq!(to, [6, 25]);
        halve(&[255; 8], 4, 1, &mut to);
        assert_eq!(to, [255; 2]);
    }
}
