//! Where the shader reads a picture from: an image that was imported once, pages that were, or a copy.
//!
//! Promises: a buffer is imported on the first of its pictures and kept; pages that cannot be read in place are copied, which
//! is counted and said once. Refuses: rows that do not lie in the picture's bytes.

use std::sync::Arc;

use ash::vk;

use crate::cache::Cache;
use crate::device::Shared;
use crate::format::{Fourcc, Order, PIXEL_BYTES, order};
use crate::image::{Image, Shape};
use crate::input::{Dmabuf, Memory, Pages};
use crate::limits::{IMPORTS_MAX, IN_FLIGHT_MAX};
use crate::memory::Buffer;
use crate::pipeline::{From, Pipelines};
use crate::{Counters, GpuError};

/// What is kept: numbers of dmabufs and of pages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Dmabuf(u64),
    Pages(u64),
}

#[derive(Debug)]
enum Kept {
    Image(Image, vk::DescriptorSet),
    /// Where the mapping is, and its bytes.
    Pages {
        _buffer: Buffer,
        set: vk::DescriptorSet,
        whole: (usize, usize),
    },
}

/// A buffer that pictures are copied into.
#[derive(Debug)]
struct Upload {
    buffer: Buffer,
    set: vk::DescriptorSet,
    busy_until: u64,
}

/// What holds a picture until its conversion is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Kept(Key),
    Upload(usize),
}

/// A picture that the shader can read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readable {
    pub(crate) from: From,
    pub(crate) order: Order,
    pub(crate) set: vk::DescriptorSet,
    /// The image, which has to be taken over from its producer.
    pub(crate) image: Option<vk::Image>,
    /// In words: where it begins, and its rows' distance.
    pub(crate) at: u32,
    pub(crate) stride: u32,
    holder: Holder,
}

/// All sources of one importer.
#[derive(Debug)]
pub(crate) struct Sources {
    device: Arc<Shared>,
    kept: Cache<Key, Kept>,
    uploads: Vec<Upload>,
    has_said_why_copied: bool,
}

// What makes room is never under way: there are more kept than that.
const _: () = assert!(IMPORTS_MAX > IN_FLIGHT_MAX);

impl Sources {
    pub(crate) fn new(device: &Arc<Shared>) -> Self {
        let (kept, uploads) = (Cache::new(IMPORTS_MAX), Vec::new());
        Self { device: Arc::clone(device), kept, uploads, has_said_why_copied: false }
    }

    /// The image of a dmabuf.
    pub(crate) fn dmabuf(
        &mut self,
        pipelines: &Pipelines,
        dmabuf: &Dmabuf<'_>,
        counters: &mut Counters,
    ) -> Result<Readable, GpuError> {
        let (key, shape) = (Key::Dmabuf(dmabuf.buffer), Shape::of(dmabuf)?);
        match self.kept.find(key) {
            Some(Kept::Image(image, _)) if image.shape == shape => counters.cache_hits += 1,
            found => {
                let has_changed = found.is_some();
                let image = Image::import(&self.device, dmabuf)?;
                let set = pipelines.name_image(image.view)?;
                if has_changed {
                    self.kept.forget(key);
                }
                counters.imports += 1;
                counters.evictions += u64::from(self.kept.insert(key, Kept::Image(image, set)));
            }
        }
        let Some(Kept::Image(image, set)) = self.kept.find(key) else {
            unreachable!("it was found or inserted above");
        };
        Ok(Readable {
            from: From::Image,
            order: order(dmabuf.fourcc).ok_or(GpuError::Format { fourcc: dmabuf.fourcc })?,
            set: *set,
            image: Some(image.handle),
            at: 0,
            stride: 0,
            holder: Holder::Kept(key),
        })
    }

    /// The words of a picture in memory; at `done` the timeline is.
    pub(crate) fn memory(
        &mut self,
        pipelines: &Pipelines,
        memory: &Memory<'_>,
        done: u64,
        counters: &mut Counters,
    ) -> Result<Readable, GpuError> {
        let (from, order) = match memory.fourcc {
            // Its samples have eight bits too.
            Fourcc::YUV420 => (From::Planes, Order::Bgr8),
            fourcc => (From::Buffer, order(fourcc).ok_or(GpuError::Format { fourcc })?),
        };
        let needed = check(memory, from)?;
        let in_place = match memory.pages {
            Some(pages) => self.pages(pipelines, memory, pages, counters),
            None => None,
        };
        counters.uploads += 1;
        // What the shader is told is in words, and of planes in bytes.
        let unit = if from == From::Planes { PIXEL_BYTES } else { 1 };
        if let Some((set, at, stride, key)) = in_place {
            counters.uploads_in_place += 1;
            let (at, stride) = (at * unit, stride * unit);
            return Ok(Readable { from, order, set, image: None, at, stride, holder: Holder::Kept(key) });
        }
        let row = memory.width as usize * PIXEL_BYTES as usize;
        // Planes have no gaps between their rows to leave out.
        let (bytes, stride) = match from {
            From::Planes => (needed, u32::try_from(memory.stride).unwrap_or(u32::MAX)),
            From::Image | From::Buffer => (row * memory.height as usize, memory.width),
        };
        let index = self.upload(pipelines, bytes.next_multiple_of(PIXEL_BYTES as usize) as u64, done)?;
        let upload = &mut self.uploads[index];
        // SAFETY: the upload is idle: the conversion that read it last is over.
        let to = unsafe { upload.buffer.contents_mut() }.unwrap_or_default();
        if from == From::Planes || memory.stride == row {
            to[..bytes].copy_from_slice(&memory.bytes[..bytes]);
        } else {
            let rows = memory.bytes.chunks(memory.stride);
            to[..bytes]
                .chunks_exact_mut(row)
                .zip(rows)
                .for_each(|(to, from)| to.copy_from_slice(&from[..row]));
        }
        counters.bytes_copied += bytes as u64;
        let (set, holder) = (upload.set, Holder::Upload(index));
        Ok(Readable { from, order, set, image: None, at: 0, stride, holder })
    }

    /// The pages that a picture is in, where they can be read in place: their set, and in words where the picture begins
    /// and its rows' distance.
    fn pages(
        &mut self,
        pipelines: &Pipelines,
        memory: &Memory<'_>,
        pages: Pages,
        counters: &mut Counters,
    ) -> Option<(vk::DescriptorSet, u32, u32, Key)> {
        let whole = (pages.whole.0 as usize, pages.whole.1);
        let key = Key::Pages(pages.buffer);
        let offset = (memory.bytes.as_ptr() as usize).checked_sub(whole.0)?;
        let word = PIXEL_BYTES as usize;
        let lies_in = offset + memory.bytes.len() <= whole.1;
        if !lies_in || !offset.is_multiple_of(word) || !memory.stride.is_multiple_of(word) {
            self.say_why_copied("its pixels do not lie at multiples of four bytes of its mapping");
            return None;
        }
        let (at, stride) = (u32::try_from(offset / word).ok()?, u32::try_from(memory.stride / word).ok()?);
        match self.kept.find(key) {
            Some(Kept::Pages { set, whole: its, .. }) if *its == whole => {
                counters.cache_hits += 1;
                return Some((*set, at, stride, key));
            }
            Some(_) => self.kept.forget(key),
            None => {}
        }
        let alignment = usize::try_from(self.device.caps.host_pages?).ok()?;
        if !whole.0.is_multiple_of(alignment) || !whole.1.is_multiple_of(alignment) {
            self.say_why_copied("its mapping is not of whole pages");
            return None;
        }
        // SAFETY: whoever made the pages known promised that they stay; the cache lets them go when they are forgotten.
        let made = unsafe { Buffer::pages(&self.device, whole.0, whole.1 as u64) };
        let made = made.and_then(|buffer| pipelines.name_buffer(buffer.handle).map(|set| (buffer, set)));
        match made {
            Ok((buffer, set)) => {
                counters.imports += 1;
                counters.evictions +=
                    u64::from(self.kept.insert(key, Kept::Pages { _buffer: buffer, set, whole }));
                Some((set, at, stride, key))
            }
            Err(error) => {
                self.say_why_copied(&error.to_string());
                None
            }
        }
    }

    fn say_why_copied(&mut self, why: &str) {
        if !self.has_said_why_copied {
            self.has_said_why_copied = true;
            tracing::info!(why, "pictures in memory are copied once");
        }
    }

    /// An idle upload of so many bytes.
    fn upload(&mut self, pipelines: &Pipelines, bytes: u64, done: u64) -> Result<usize, GpuError> {
        let is_idle = |upload: &Upload| upload.busy_until <= done;
        let fits = |upload: &Upload| upload.buffer.bytes() >= bytes;
        if let Some(index) = self.uploads.iter().position(|upload| is_idle(upload) && fits(upload)) {
            return Ok(index);
        }
        // As many are busy as there is work under way, at most.
        let buffer = Buffer::upload(&self.device, bytes)?;
        let set = pipelines.name_buffer(buffer.handle)?;
        let made = Upload { buffer, set, busy_until: 0 };
        match self.uploads.iter().position(is_idle) {
            Some(index) => {
                let old = std::mem::replace(&mut self.uploads[index], made);
                pipelines.free(old.set);
                Ok(index)
            }
            None => {
                self.uploads.push(made);
                Ok(self.uploads.len() - 1)
            }
        }
    }

    /// Notes that a picture is read until the timeline comes to `value`.
    pub(crate) fn note_use(&mut self, readable: &Readable, value: u64) {
        match readable.holder {
            Holder::Kept(key) => self.kept.note_use(key, value),
            Holder::Upload(index) => self.uploads[index].busy_until = value,
        }
    }

    /// Lets go of what a producer's number stands for.
    pub(crate) fn forget(&mut self, number: u64) {
        self.kept.forget(Key::Dmabuf(number));
        self.kept.forget(Key::Pages(number));
    }

    /// Ends what was let go of, now that the timeline is at `done`.
    pub(crate) fn retire(&mut self, pipelines: &Pipelines, done: u64) {
        for kept in self.kept.take_left(done) {
            end(pipelines, kept);
        }
    }

    /// Ends all of it, when the GPU is done with everything.
    pub(crate) fn end(&mut self, pipelines: &Pipelines) {
        self.kept.drain().for_each(|kept| end(pipelines, kept));
        self.uploads.drain(..).for_each(|upload| pipelines.free(upload.set));
    }
}

fn end(pipelines: &Pipelines, kept: Kept) {
    match kept {
        Kept::Image(_, set) | Kept::Pages { set, .. } => pipelines.free(set),
    }
}

/// Whether the rows lie in the bytes; how many of these are the picture's.
fn check(memory: &Memory<'_>, from: From) -> Result<usize, GpuError> {
    let refused = |why| Err(GpuError::Plane { plane: 0, offset: 0, stride: memory.stride as u64, why });
    let (width, height, stride) = (memory.width as usize, memory.height as usize, memory.stride);
    let row = if from == From::Planes { width } else { width * PIXEL_BYTES as usize };
    if stride < row {
        return refused("a row does not fit into its stride");
    }
    let needed = match from {
        From::Planes if [width, height, stride].iter().any(|it| !it.is_multiple_of(2)) => {
            return refused("sides and stride of 4:2:0 must be even");
        }
        From::Planes => stride.checked_mul(height).and_then(|luma| luma.checked_add(luma / 2)),
        From::Image | From::Buffer => {
            stride.checked_mul(height.saturating_sub(1)).and_then(|rows| rows.checked_add(row))
        }
    };
    match needed {
        Some(needed) if needed <= memory.bytes.len() => Ok(needed),
        Some(_) | None => refused("it ends beyond the picture's bytes"),
    }
}
