//! What a conversion makes: the encoder's picture, where each of its planes lies, and where the source goes in it.
//!
//! Promises: rows begin at multiples of [`PITCH_ALIGNMENT`] (chroma of I420 at half of that), planes follow each other
//! without gaps, as NVENC reads them; the source keeps its aspect, in the middle, between black bars where it must.
//! Refuses: odd sides, and a source that is more than [`DOWNSCALE_MAX`] times larger.

use crate::GpuError;
use crate::format::{Colour, OutputFormat};
use crate::limits::{DOWNSCALE_MAX, OUTPUT_SIDE_MIN, OUTPUTS_MAX, OUTPUTS_MIN, PITCH_ALIGNMENT, SIDE_MAX};

/// What an importer makes of every picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSpec {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// How samples are laid out.
    pub format: OutputFormat,
    /// What they mean.
    pub colour: Colour,
    /// How many outputs there are to be written in turn, [`OUTPUTS_MIN`] to [`OUTPUTS_MAX`]; three let one be read, one
    /// be written, and one wait.
    pub buffers: usize,
}

impl OutputSpec {
    /// Whether it can be made at all.
    ///
    /// # Errors
    /// [`GpuError::Output`] says what is wrong with it.
    pub fn check(&self) -> Result<(), GpuError> {
        let side_is_fine = |side: u32| side.is_multiple_of(2) && (OUTPUT_SIDE_MIN..=SIDE_MAX).contains(&side);
        let why = if !side_is_fine(self.width) || !side_is_fine(self.height) {
            "both sides must be even, 16 to 16384 pixels"
        } else if !(OUTPUTS_MIN..=OUTPUTS_MAX).contains(&self.buffers) {
            "there must be 2 to 8 buffers"
        } else {
            return Ok(());
        };
        let Self { width, height, buffers, .. } = *self;
        Err(GpuError::Output { width, height, buffers, why })
    }

    /// Where an output's planes are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let pitch = (self.width * self.format.sample_bytes()).next_multiple_of(PITCH_ALIGNMENT);
        let luma = Plane { offset: 0, pitch, rows: self.height };
        let after = |plane: Plane| plane.offset + u64::from(plane.pitch) * u64::from(plane.rows);
        let half = self.height / 2;
        let planes = match self.format {
            OutputFormat::Nv12 | OutputFormat::P010 => {
                [luma, Plane { offset: after(luma), pitch, rows: half }, Plane::default()]
            }
            OutputFormat::Yuv444 | OutputFormat::Yuv444p10 => {
                let u = Plane { offset: after(luma), ..luma };
                [luma, u, Plane { offset: after(u), ..luma }]
            }
            OutputFormat::I420 => {
                let u = Plane { offset: after(luma), pitch: pitch / 2, rows: half };
                [luma, u, Plane { offset: after(u), ..u }]
            }
        };
        let count = if planes[2].rows == 0 { 2 } else { 3 };
        Layout { planes, count, bytes: after(planes[count - 1]) }
    }

    /// Where a source of these sides goes: its aspect is kept, to the even pixel; bars narrower than two pixels are not
    /// worth their edge.
    ///
    /// # Errors
    /// [`GpuError::Size`] when a side is zero, too long, or is to become less than a sixteenth.
    pub fn place(&self, width: u32, height: u32) -> Result<Placement, GpuError> {
        let refused = |why| Err(GpuError::Size { width, height, why });
        if width == 0 || height == 0 || width.max(height) > SIDE_MAX {
            return refused("both sides must be 1 to 16384 pixels");
        }
        // Products of sides are below 2^28.
        let (wide, high) = (width * self.height, height * self.width);
        let (mut fit_width, mut fit_height) = (self.width, self.height);
        if wide > high {
            fit_height = even_quotient(u64::from(self.width) * u64::from(height), width, self.height);
        } else if wide < high {
            fit_width = even_quotient(u64::from(self.height) * u64::from(width), height, self.width);
        }
        if width > DOWNSCALE_MAX * fit_width || height > DOWNSCALE_MAX * fit_height {
            return refused("it is more than 16 times larger than what it is to become");
        }
        let middle = |outer: u32, inner: u32| (outer - inner) / 4 * 2;
        Ok(Placement {
            x: middle(self.width, fit_width),
            y: middle(self.height, fit_height),
            width: fit_width,
            height: fit_height,
        })
    }
}

/// `dividend ÷ divisor`, to the nearest even number from 2 to `most`, which is even.
fn even_quotient(dividend: u64, divisor: u32, most: u32) -> u32 {
    let halves = (dividend + u64::from(divisor)) / (2 * u64::from(divisor));
    u32::try_from(2 * halves).unwrap_or(most).clamp(2, most)
}

/// One plane of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plane {
    /// Bytes before it.
    pub offset: u64,
    /// Bytes from row to row.
    pub pitch: u32,
    /// Its rows.
    pub rows: u32,
}

/// Where an output's planes are: Y and UV, or Y, U and V.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    planes: [Plane; 3],
    count: usize,
    bytes: u64,
}

impl Layout {
    /// The planes.
    #[must_use]
    pub fn planes(&self) -> &[Plane] {
        &self.planes[..self.count]
    }

    /// Bytes of the whole.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The pixels of an output that the source takes; all even. The rest is black.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Pixels to its left.
    pub x: u32,
    /// Pixels above it.
    pub y: u32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(width: u32, height: u32, format: OutputFormat) -> OutputSpec {
        OutputSpec { width, height, format, colour: Colour::BT709, buffers: 3 }
    }

    #[test]
    fn planes_lie_where_nvenc_looks_for_them() {
        let layout = spec(1920, 1080, OutputFormat::Nv12).layout();
        let chroma = Plane { offset: 2048 * 1080, pitch: 2048, rows: 540 };
        assert_eq!(layout.planes(), [Plane { offset: 0, pitch: 2048, rows: 1080 }, chroma]);
        assert_eq!(layout.bytes(), 2048 * 1620);
        let layout = spec(1920, 1080, OutputFormat::P010).layout();
        assert_eq!((layout.planes()[1].pitch, layout.bytes()), (3840, 3840 * 1620));
        let layout = spec(64, 16, OutputFormat::I420).layout();
        let v = Plane { offset: 256 * 16 + 128 * 8, pitch: 128, rows: 8 };
        assert_eq!((layout.planes()[2], layout.bytes()), (v, 256 * 24));
        assert_eq!(spec(64, 16, OutputFormat::Yuv444).layout().planes()[2].offset, 256 * 32);
    }

    #[test]
    fn a_picture_keeps_its_aspect_in_the_middle() {
        let spec = spec(1920, 1080, OutputFormat::Nv12);
        assert_eq!(spec.place(3840, 2160).unwrap(), Placement { x: 0, y: 0, width: 1920, height: 1080 });
        assert_eq!(spec.place(1600, 1200).unwrap(), Placement { x: 240, y: 0, width: 1440, height: 1080 });
        assert_eq!(spec.place(2560, 1080).unwrap(), Placement { x: 0, y: 134, width: 1920, height: 810 });
        assert_eq!(spec.place(1366, 768).unwrap().width, 1920);
        for (width, height) in [(0, 4), (4, 0), (SIDE_MAX + 1, 4)] {
            assert!(matches!(spec.place(width, height), Err(GpuError::Size { .. })), "{width}x{height}");
        }
        let small = OutputSpec { width: 64, height: 64, ..spec };
        assert!(small.place(1024, 1024).is_ok() && small.place(1026, 1024).is_err());
    }

    #[test]
    fn odd_sides_and_too_few_buffers_are_refused() {
        for (width, height, buffers) in
            [(17, 16, 3), (16, 14, 3), (16, SIDE_MAX + 2, 3), (16, 16, 1), (16, 16, 9)]
        {
            let spec = OutputSpec { buffers, ..spec(width, height, OutputFormat::Nv12) };
            assert!(matches!(spec.check(), Err(GpuError::Output { .. })), "{spec:?}");
        }
        spec(16, 16_384, OutputFormat::P010).check().unwrap();
    }

    proptest! {
        #[test]
        fn a_placement_is_inside_and_even(
            half in (8_u32..8192, 8_u32..8192), width in 1_u32..=SIDE_MAX, height in 1_u32..=SIDE_MAX,
        ) {
            let spec = spec(2 * half.0, 2 * half.1, OutputFormat::Nv12);
            if let Ok(at) = spec.place(width, height) {
                prop_assert!(at.x + at.width <= spec.width && at.y + at.height <= spec.height);
                prop_assert!([at.x, at.y, at.width, at.height].iter().all(|it| it.is_multiple_of(2)));
                prop_assert!(at.width > 0 && at.height > 0);
                prop_assert!(at.width == spec.width || at.height == spec.height);
                // Both sides are scaled alike, to the rounding of one of them.
                let off = i64::from(at.width) * i64::from(height) - i64::from(at.height) * i64::from(width);
                prop_assert!(off.unsigned_abs() <= 2 * u64::from(width.max(height)));
            }
        }
    }
}
