//! Whether pictures are what they should be: beside the oracle, and at CUDA's end beside what Vulkan has made.
//!
//! Promises: every sample is looked at. At CUDA's end each output is read twice, and holds another picture the second
//! time, so that one that is read too early or not at all differs. Refuses: nothing.

use punktfunk_gpu::{Device, Done, GpuError, Handover, Importer, OutputSpec, reference};

use crate::picture::Picture;
use crate::reader::{Reader, planes};

/// What was found of one size and format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How far the picture is from the oracle's, in samples' values.
    pub difference: u32,
    /// What CUDA read; none where there is no CUDA.
    pub cuda: Option<Compared>,
}

/// CUDA's bytes beside Vulkan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// How many were compared.
    pub bytes: u64,
    /// How many of them differ.
    pub differ: u64,
}

/// Checks two different pictures.
pub fn check(
    device: &Device,
    spec: OutputSpec,
    pictures: &[Picture; 2],
    reader: Option<&Reader>,
) -> Result<Checked, GpuError> {
    let mut importer = Importer::new(device, spec, Handover::Mapped)?;
    let mut made = Vec::new();
    let mut difference = 0;
    for (buffer, picture) in (0..).zip(pictures) {
        let ticket = picture.convert(&mut importer, buffer)?;
        importer.wait(ticket)?;
        let mapped = importer.mapped(ticket)?;
        if made.is_empty() {
            let source = picture.source();
            let expected = reference::convert(&source, &spec, spec.place(source.width, source.height)?);
            difference = reference::difference(&spec, mapped, &expected);
        }
        made.push(samples(&spec, mapped));
        importer.release(ticket, Done::Now)?;
    }
    let cuda = reader.map(|reader| compare(device, spec, pictures, &made, reader)).transpose()?;
    Ok(Checked { difference, cuda })
}

/// Holds what CUDA reads of each output against what was made of the same pictures.
pub fn compare(
    device: &Device,
    spec: OutputSpec,
    pictures: &[Picture; 2],
    made: &[Vec<u8>],
    reader: &Reader,
) -> Result<Compared, GpuError> {
    let mut importer = Importer::new(device, spec, Handover::Exported)?;
    let outputs = reader.outputs(&importer)?;
    let mut compared = Compared::default();
    for round in 0..2 {
        for output in 0..spec.buffers {
            let number = (round + output) % 2;
            let ticket = pictures[number].convert(&mut importer, number as u64)?;
            let read = reader.read(&mut importer, &outputs, ticket)?;
            compared.bytes += made[number].len() as u64;
            compared.differ += differing(&made[number], &read);
        }
    }
    Ok(compared)
}

/// The samples of an output that is mapped, without what is between its rows.
fn samples(spec: &OutputSpec, mapped: &[u8]) -> Vec<u8> {
    let rows = planes(spec).into_iter().flat_map(|(rows, extent)| {
        (0..extent.rows).map(move |row| (rows.offset + row * rows.pitch, extent.width_bytes))
    });
    rows.flat_map(|(at, bytes)| mapped[at..at + bytes].iter().copied()).collect()
}

/// How many bytes differ; those that only one of both has do, too.
fn differing(one: &[u8], other: &[u8]) -> u64 {
    let differ = one.iter().zip(other).filter(|(one, other)| one != other).count();
    (differ + one.len().abs_diff(other.len())) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_differs_or_is_not_there_is_counted() {
        assert_eq!(differing(&[1, 2, 3], &[1, 2, 3]), 0);
        assert_eq!(differing(&[1, 2, 3], &[1, 9, 3]), 1);
        assert_eq!(differing(&[1, 2, 3], &[1]), 2);
    }
}
