//! A producer's picture: a dmabuf of the device's own where it imports them, else memory.
//!
//! Promises: the same pixels for the same seed, no two alike nearby. Refuses: what the importer refuses.

use punktfunk_gpu::format::{Fourcc, Order};
use punktfunk_gpu::producer::Produced;
use punktfunk_gpu::reference::Source;
use punktfunk_gpu::{Device, Dmabuf, GpuError, Importer, Input, Memory, Ticket};

const FOURCC: Fourcc = Fourcc::XRGB8888;
const ORDER: Order = Order::Bgr8;

/// A picture to be converted.
pub struct Picture {
    width: u32,
    height: u32,
    words: Vec<u32>,
    bytes: Vec<u8>,
    produced: Option<Produced>,
}

impl Picture {
    /// One of these sides, drawn by a seed.
    pub fn new(device: &Device, (width, height): (u32, u32), seed: u32) -> Result<Self, GpuError> {
        let word = |at: u32| at.wrapping_add(seed).wrapping_mul(0x9e37_79b1) >> 3;
        let words: Vec<u32> = (0..width * height).map(word).collect();
        let modifiers = device.import_formats().into_iter().find(|(known, _)| *known == FOURCC.0);
        let produced = match modifiers {
            Some((_, modifiers)) => Some(Produced::new(device, FOURCC, &modifiers, (width, height), &words)?),
            None => None,
        };
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Ok(Self { width, height, words, bytes, produced })
    }

    /// Whether it is imported; else the CPU copies it once.
    pub fn is_dmabuf(&self) -> bool {
        self.produced.is_some()
    }

    /// What the oracle converts.
    pub fn source(&self) -> Source<'_> {
        let Self { width, height, words, .. } = self;
        Source { order: ORDER, width: *width, height: *height, words, overlay: None }
    }

    /// Converts it as the producer's buffer of this number.
    pub fn convert(&self, importer: &mut Importer, buffer: u64) -> Result<Ticket, GpuError> {
        let (fourcc, width, height) = (FOURCC, self.width, self.height);
        match &self.produced {
            Some(produced) => {
                let planes = produced.planes();
                let (planes, modifier) = (&planes[..], produced.modifier());
                let (acquire, release, overlay) = (None, None, None);
                let dmabuf =
                    Dmabuf { buffer, fourcc, modifier, width, height, planes, acquire, release, overlay };
                importer.convert(&Input::Dmabuf(dmabuf))
            }
            None => {
                let (stride, bytes) = (width as usize * 4, &self.bytes[..]);
                let memory = Memory { fourcc, width, height, stride, bytes, pages: None, overlay: None };
                importer.convert(&Input::Memory(memory))
            }
        }
    }
}
