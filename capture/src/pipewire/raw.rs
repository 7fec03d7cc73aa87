//! The library's buffers, read into types of our own.
//!
//! Promises: a buffer goes back to its stream whatever happens; every pointer in it is looked at once, and only
//! for as long as the buffer is ours. Refuses nothing: numbers are handed on as they are, for
//! [`super::agreed`] to judge.
//!
//! Unsafe, because the library's own safe words for a buffer panic where a producer leaves something out, and hide
//! where a file's block begins.

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::{self, NonNull};

use pipewire::spa::sys;
use pipewire::stream::Stream;
use pipewire::sys::pw_buffer;

use super::agreed::Block;
use super::loans::Key;

/// What a filled buffer tells, each word of it another process'.
pub(super) trait Buffer {
    /// Which buffer of its stream it is.
    fn key(&self) -> Key;

    /// A block of memory, by its index: its file, what is said of it, and whether the chunk is marked as corrupted.
    fn block(&self, index: usize) -> Option<(RawFd, Block, bool)>;

    /// The points on its timelines, where the producer has agreed to say them.
    fn points(&self) -> Option<Points>;

    /// Does not go back to its stream by being dropped; whoever calls this sees to it.
    fn hold(self);

    /// The file behind a descriptor that [`Buffer::block`] told.
    fn file(&self, fd: RawFd) -> Option<BorrowedFd<'_>>;

    /// The header, where the producer gives one.
    fn header(&self) -> Option<Header>;

    /// Whether something is new in the picture, where the producer says so.
    fn is_damaged(&self) -> Option<bool>;

    /// What is said of the cursor, put into `scratch`, at most as much as that has room for.
    fn cursor<'a>(&self, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]>;
}

/// A buffer that a producer filled; given back when dropped.
pub(super) struct Filled<'s> {
    stream: &'s Stream,
    buffer: NonNull<pw_buffer>,
}

/// What a buffer's header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Nanoseconds on the producer's clock.
    pub(super) pts_ns: i64,
    /// The producer's word that the pixels are not to be used.
    pub(super) is_corrupted: bool,
}

/// Points on a buffer's timelines (`struct spa_meta_sync_timeline`, PipeWire 1.2); 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Points {
    /// From which on the picture can be read.
    pub(super) acquire: u64,
    /// By which it was read.
    pub(super) release: u64,
}

impl Points {
    /// PipeWire's number for this metadata (`spa/buffer/meta.h`, since 1.2).
    pub(super) const KIND: u32 = 9;

    /// Flags and padding of four bytes each, and two points of eight.
    pub(super) const BYTES: usize = 24;

    fn parse(bytes: &[u8; Self::BYTES]) -> Self {
        let [_, acquire, release] = [0, 1, 2].map(|index| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
            u64::from_ne_bytes(word)
        });
        Self { acquire, release }
    }
}

/// Gives a buffer that was held back to its stream.
///
/// # Safety
/// The buffer is `stream`'s, which has not removed it, and was held and not given back since.
pub(super) unsafe fn queue(stream: &Stream, key: Key) {
    // SAFETY: by this function's own contract the buffer is the stream's and is given back once.
    unsafe { stream.queue_raw_buffer(key.as_ptr()) };
}

impl<'s> Filled<'s> {
    /// The oldest buffer that is filled, if there is one.
    pub(super) fn take(stream: &'s Stream) -> Option<Self> {
        // SAFETY: dequeueing asks for nothing but a live stream, which the reference is. What comes back is null
        // or a buffer that stays valid until it is queued again, which `drop` does once.
        let buffer = unsafe { stream.dequeue_raw_buffer() };
        NonNull::new(buffer).map(|buffer| Self { stream, buffer })
    }

    fn spa(&self) -> Option<&sys::spa_buffer> {
        // SAFETY: the buffer is dequeued, so the library keeps it and what it points to in place; both structures
        // lie in this process' own memory (only chunks and metadata are shared with the producer).
        unsafe { self.buffer.as_ref().buffer.as_ref() }
    }

    /// At most `into.len()` bytes of the metadata of this kind; how many there were to copy.
    fn copy_meta(&self, kind: u32, into: &mut [MaybeUninit<u8>]) -> usize {
        let Some(spa) = self.spa() else { return 0 };
        if spa.metas.is_null() {
            return 0;
        }
        for index in 0..spa.n_metas as usize {
            // SAFETY: `metas` points to `n_metas` structures in this process' own memory.
            let meta = unsafe { &*spa.metas.add(index) };
            if meta.type_ == kind && !meta.data.is_null() {
                let bytes = into.len().min(meta.size as usize);
                // SAFETY: `data` is mapped for `size` bytes while the buffer is ours, `into` has room for as
                // many, and the two do not overlap, for one is ours alone. The producer may write meanwhile:
                // bytes are copied once and nothing is read from there again.
                unsafe {
                    ptr::copy_nonoverlapping(meta.data.cast::<MaybeUninit<u8>>(), into.as_mut_ptr(), bytes);
                }
                return bytes;
            }
        }
        0
    }
}

impl Buffer for Filled<'_> {
    fn key(&self) -> Key {
        self.buffer
    }

    fn block(&self, index: usize) -> Option<(RawFd, Block, bool)> {
        let spa = self.spa()?;
        if index >= spa.n_datas as usize || spa.datas.is_null() {
            return None;
        }
        // SAFETY: `datas` points to `n_datas` structures in this process' own memory, of which this is one.
        let data = unsafe { &*spa.datas.add(index) };
        if data.chunk.is_null() {
            return None;
        }
        // SAFETY: a chunk that is not null is a whole, aligned structure of plain numbers in memory that is
        // mapped for as long as the buffer is ours. The producer may write to it at any time, so it is copied
        // out once, without a reference, and only the copy is judged.
        let chunk = unsafe { ptr::read_volatile(data.chunk) };
        let block = Block {
            kind: data.type_,
            map_offset: data.mapoffset,
            bytes_max: data.maxsize,
            offset: chunk.offset,
            size: chunk.size,
            stride: chunk.stride,
        };
        let is_corrupted = chunk.flags.cast_unsigned() & sys::SPA_CHUNK_FLAG_CORRUPTED != 0;
        Some((RawFd::try_from(data.fd).unwrap_or(-1), block, is_corrupted))
    }

    fn points(&self) -> Option<Points> {
        let mut bytes = [MaybeUninit::uninit(); Points::BYTES];
        if self.copy_meta(Points::KIND, &mut bytes) < bytes.len() {
            return None;
        }
        Some(Points::parse(&bytes.map(|byte| {
            // SAFETY: `copy_meta` has written as many bytes as there are.
            unsafe { byte.assume_init() }
        })))
    }

    fn hold(self) {
        std::mem::forget(self);
    }

    fn file(&self, fd: RawFd) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor is the library's and stays open for as long as the buffer is ours, which the
        // borrow sees to; -1, which means none, is left out.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    fn header(&self) -> Option<Header> {
        let mut bytes = [MaybeUninit::uninit(); size_of::<sys::spa_meta_header>()];
        if self.copy_meta(sys::SPA_META_Header, &mut bytes) < bytes.len() {
            return None;
        }
        // SAFETY: every byte was copied, the structure is of plain numbers that take any bits, and it is read
        // without an assumption about alignment.
        let header = unsafe { ptr::read_unaligned(bytes.as_ptr().cast::<sys::spa_meta_header>()) };
        Some(Header {
            pts_ns: header.pts,
            is_corrupted: header.flags & sys::SPA_META_HEADER_FLAG_CORRUPTED != 0,
        })
    }

    fn is_damaged(&self) -> Option<bool> {
        let mut bytes = [MaybeUninit::uninit(); size_of::<sys::spa_meta_region>()];
        if self.copy_meta(sys::SPA_META_VideoDamage, &mut bytes) < bytes.len() {
            return None;
        }
        // SAFETY: as for the header: every byte was copied, and any bits make such a structure of plain numbers.
        let first = unsafe { ptr::read_unaligned(bytes.as_ptr().cast::<sys::spa_meta_region>()) };
        // The list ends at the first region without an area, so that what follows tells nothing more.
        Some(first.region.size.width != 0 && first.region.size.height != 0)
    }

    fn cursor<'a>(&self, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        scratch.clear();
        let bytes = self.copy_meta(sys::SPA_META_Cursor, scratch.spare_capacity_mut());
        // SAFETY: `copy_meta` initialised that many bytes of the spare capacity, and the vector was empty.
        unsafe { scratch.set_len(bytes) };
        (bytes > 0).then_some(scratch.as_slice())
    }
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        // SAFETY: the buffer came from this stream and is given back once.
        unsafe { self.stream.queue_raw_buffer(self.buffer.as_ptr()) };
    }
}
