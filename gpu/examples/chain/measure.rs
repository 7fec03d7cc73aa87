//! All sizes and formats, one after the other.
//!
//! Promises: what fails of one size and format is told, and the others are measured. Refuses: nothing.

use punktfunk_gpu::format::{Colour, OutputFormat};
use punktfunk_gpu::{Description, Device, GpuError, OutputSpec};

use crate::check::{Checked, check};
use crate::leak::{Leak, leak};
use crate::picture::Picture;
use crate::reader::{NoReader, Reader};
use crate::row::Row;

/// A size by its name, with its width and height.
pub type Size = (&'static str, u32, u32);

/// What is measured of each size.
const FORMATS: [(OutputFormat, &str); 3] =
    [(OutputFormat::Nv12, "NV12"), (OutputFormat::P010, "P010"), (OutputFormat::Yuv444, "YUV444")];

/// What the second picture of a size is drawn by.
const SEED: u32 = 77;

/// How much is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Amounts {
    /// Pictures of each size and format that are timed.
    pub pictures: usize,
    /// Pictures that the leak is looked for with; none: it is not looked for.
    pub leak: usize,
    /// Whether pictures are checked.
    pub check: bool,
}

/// One size and format.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The size's name.
    pub size: &'static str,
    /// The format's.
    pub format: &'static str,
    /// Its figures, or what failed.
    pub row: Result<Row, String>,
    /// Its pictures; none where that was not asked for.
    pub checked: Option<Result<Checked, String>>,
}

/// All that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The device, as people know it.
    pub device: String,
    /// Whether it is the CPU.
    pub is_software: bool,
    /// Why CUDA reads nothing; none where it does.
    pub no_reader: Option<NoReader>,
    /// Each size and format.
    pub rows: Vec<Measured>,
    /// What is left after many pictures; none where there were too few, or none.
    pub leak: Result<Option<Leak>, String>,
}

/// Measures these sizes; tells of each size and format when it is there.
pub fn measure(device: &Device, sizes: &[Size], amounts: &Amounts, mut tell: impl FnMut(&Measured)) -> Found {
    let (reader, no_reader) = match Reader::open(device) {
        Ok(reader) => (Some(reader), None),
        Err(why) => (None, Some(why)),
    };
    let reader = reader.as_ref();
    let mut rows = Vec::new();
    for &(size, width, height) in sizes {
        let draw = |seed| Picture::new(device, (width, height), seed);
        let pictures = draw(0).and_then(|one| Ok([one, draw(SEED)?])).map_err(words);
        for (format, format_name) in FORMATS {
            let spec = OutputSpec { width, height, format, colour: Colour::BT709, buffers: 3 };
            let row = pictures.as_ref().map_err(Clone::clone).and_then(|[one, _]| {
                Row::measure(device, spec, one, reader, amounts.pictures).map_err(words)
            });
            let checked = pictures.as_ref().ok().filter(|_| amounts.check);
            let checked = checked.map(|pictures| check(device, spec, pictures, reader).map_err(words));
            let measured = Measured { size, format: format_name, row, checked };
            tell(&measured);
            rows.push(measured);
        }
    }
    let leak = leak(device, reader, amounts.leak).map_err(words);
    let Description { name, is_software, .. } = device.description().clone();
    Found { device: name, is_software, no_reader, rows, leak }
}

fn words(error: GpuError) -> String {
    error.to_string()
}
