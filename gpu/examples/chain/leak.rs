//! What is left after many pictures.
//!
//! Promises: ten importers, one after the other as changes of mode make them, convert a tenth of the pictures each, with
//! imports and evictions among them; what is held at the end of the first is set beside what is held at the end of the
//! last, so that what only grows until a cache is full is no leak. Refuses: too few pictures for that.

use std::time::Instant;

use punktfunk_gpu::format::{Colour, OutputFormat};
use punktfunk_gpu::limits::IMPORTS_MAX;
use punktfunk_gpu::{Device, GpuError, Handover, Importer, OutputSpec};

use crate::picture::Picture;
use crate::reader::{Reader, pass_on};

/// Importers, one after the other.
const LIVES: usize = 10;

/// Buffers in the beginning of each that come once: the cache is full after them.
const STRANGERS: usize = 2 * IMPORTS_MAX;

/// Pictures that are enough for the cache of each importer to be full.
pub const PICTURES_MIN: usize = LIVES * STRANGERS;

/// What there is more of at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leak {
    /// Pictures in all.
    pub pictures: usize,
    /// Buffers that became images.
    pub imports: u64,
    /// Images that made room for others.
    pub evictions: u64,
    /// Open descriptors.
    pub descriptors: i64,
    /// Resident memory, in KiB.
    pub resident_kib: i64,
    /// The device's memory by CUDA's word, in KiB; none where there is no CUDA.
    pub device_kib: Option<i64>,
}

/// What is held at one time.
struct Held {
    descriptors: i64,
    resident_kib: i64,
    device_kib: Option<i64>,
}

/// Converts about `pictures` pictures; none where these are fewer than [`PICTURES_MIN`].
pub fn leak(device: &Device, reader: Option<&Reader>, pictures: usize) -> Result<Option<Leak>, GpuError> {
    if pictures < PICTURES_MIN {
        return Ok(None);
    }
    let (width, height) = (256, 128);
    let picture = Picture::new(device, (width, height), 0)?;
    let spec = OutputSpec { width, height, format: OutputFormat::Nv12, colour: Colour::BT709, buffers: 3 };
    let (mut imports, mut evictions, mut held) = (0, 0, Vec::new());
    for _ in 0..LIVES {
        let mut importer = Importer::new(device, spec, Handover::Exported)?;
        let outputs = reader.map(|reader| reader.outputs(&importer)).transpose()?;
        for number in 0..pictures / LIVES {
            let buffer = (number.min(STRANGERS) + number / 10) as u64;
            let ticket = picture.convert(&mut importer, buffer)?;
            pass_on(&mut importer, ticket, outputs.as_ref().zip(reader), Instant::now())?;
        }
        held.push(look(reader)?);
        imports += importer.counters().imports;
        evictions += importer.counters().evictions;
    }
    let (first, last) = (&held[0], &held[LIVES - 1]);
    Ok(Some(Leak {
        pictures: pictures / LIVES * LIVES,
        imports,
        evictions,
        descriptors: last.descriptors - first.descriptors,
        resident_kib: last.resident_kib - first.resident_kib,
        device_kib: last.device_kib.zip(first.device_kib).map(|(last, first)| last - first),
    }))
}

fn look(reader: Option<&Reader>) -> Result<Held, GpuError> {
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    let used = reader.map(Reader::used_bytes).transpose()?;
    Ok(Held {
        descriptors: i64::try_from(descriptors).unwrap_or(i64::MAX),
        resident_kib: resident.unwrap_or(0),
        device_kib: used.map(|bytes| i64::try_from(bytes / 1024).unwrap_or(i64::MAX)),
    })
}
