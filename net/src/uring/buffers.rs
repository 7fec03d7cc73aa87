//! Buffers provided to the kernel: it takes one for each receive and says which, and it gets them back.
//!
//! Promises: a buffer is the kernel's from [`Buffers::give`] until a completion names it, and ours after that;
//! its memory stays until it is dropped. Layout of a filled one (io_uring_prep_recvmsg_multishot(3)): a header of
//! four words, room for the name, room for the control messages, the payload.

use std::io;
use std::mem::size_of;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::NetError;
use crate::addr::RawAddr;
use crate::batch::Ground;
use crate::control::ReceivedControl;
use crate::mapping::{Mapping, PageKind};
use crate::sys::Slot;

/// The one group of buffers that a ring has.
pub(super) const GROUP: u16 = 0;

const HEADER_BYTES: usize = 16;
/// Room for an address: a multiple of the word, so that control messages lie well.
pub(super) const NAME_BYTES: usize = (RawAddr::CAPACITY as usize).next_multiple_of(8);
pub(super) const CONTROL_BYTES: usize = ReceivedControl::CAPACITY;
/// Where the payload begins.
const PAYLOAD_START: usize = HEADER_BYTES + NAME_BYTES + CONTROL_BYTES;

/// A ring of provided buffers, and their memory.
#[derive(Debug)]
pub(super) struct Buffers {
    /// What the kernel reads: which buffers there are to take.
    entries: Mapping,
    memory: Mapping,
    /// A power of two.
    places: u16,
    /// Entries written so far, modulo 2¹⁶.
    tail: u16,
    stride: usize,
    payload_bytes: usize,
}

impl Buffers {
    /// `buffers` of them for payloads of `payload_bytes`. The kernel has none yet.
    pub(super) fn new(buffers: u16, payload_bytes: usize) -> Result<Self, NetError> {
        let places = buffers.next_power_of_two();
        let stride = (PAYLOAD_START + payload_bytes).next_multiple_of(64);
        Ok(Self {
            entries: Mapping::new(usize::from(places) * size_of::<BufRingEntry>())?,
            memory: Mapping::new(usize::from(buffers) * stride)?,
            places,
            tail: 0,
            stride,
            payload_bytes,
        })
    }

    /// Makes them known to a ring.
    pub(super) fn register(&self, submitter: &io_uring::Submitter<'_>) -> io::Result<()> {
        let address = self.entries.start().as_ptr() as u64;
        // SAFETY: the entries are page-aligned memory for `places` of them, and live as long as the ring, which is
        // closed (or leaked) before `self` goes.
        unsafe { submitter.register_buf_ring_with_flags(address, self.places, GROUP, 0) }
    }

    /// Gives one buffer to the kernel.
    pub(super) fn give(&mut self, id: u16) {
        let start = usize::from(id) * self.stride;
        assert!(start < self.memory.len(), "the kernel names buffers that it was given");
        let place = usize::from(self.tail & (self.places - 1));
        let entries = self.entries.start().cast::<BufRingEntry>();
        // SAFETY: `place` is below `places`, for which there is room; the kernel does not read an entry at or behind
        // the tail. The tail itself shares the first entry's memory, in a field that is not set here.
        let entry = unsafe { entries.add(place).as_mut() };
        // SAFETY: `start` is inside of the memory.
        entry.set_addr(unsafe { self.memory.start().add(start) }.as_ptr() as u64);
        entry.set_len(u32::try_from(self.stride).expect("buffers are short"));
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the first entry is mapped; its last field is the tail, aligned and shared with the kernel.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Reads what the kernel wrote into buffer `id`: `written` bytes in all.
    pub(super) fn read(&self, id: u16, written: usize, slot: &mut Slot) {
        let start = usize::from(id) * self.stride;
        slot.read_filled(self.ground().part(start, written.min(self.stride)), NAME_BYTES, CONTROL_BYTES);
        slot.start = start + PAYLOAD_START;
    }

    /// Where the payloads are. Only parts of buffers that are ours may be asked for.
    pub(super) fn ground(&self) -> Ground<'_> {
        // SAFETY: the mapping is initialised and lives as long as `self`; callers ask for filled buffers, which the
        // kernel does not write until they are given back, by `&mut self`.
        unsafe { Ground::new(self.memory.start(), self.memory.len()) }
    }

    pub(super) fn pages(&self) -> PageKind {
        self.memory.pages()
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }
}
