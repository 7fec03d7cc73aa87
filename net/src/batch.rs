//! What one receive brought: filled buffers, cut into the datagrams they were.
//!
//! Promises: the cut stays in its buffer, whatever the kernel told, and yields what was counted. Refuses: to hand
//! out a datagram that is not whole.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::ptr::NonNull;

use crate::sys::Slot;

/// Memory that is shared by parts, because others of its parts may be written meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    base: NonNull<u8>,
    bytes: usize,
    _lent: PhantomData<&'a [u8]>,
}

impl<'a> Ground<'a> {
    /// # Safety
    /// `bytes` from `base` on are initialised memory that lives for `'a`, and of which no part that
    /// [`Ground::part`] is asked for is written meanwhile.
    pub(crate) unsafe fn new(base: NonNull<u8>, bytes: usize) -> Self {
        Self { base, bytes, _lent: PhantomData }
    }

    /// One part.
    ///
    /// # Panics
    /// If it is not inside.
    pub(crate) fn part(self, start: usize, bytes: usize) -> &'a [u8] {
        assert!(start <= self.bytes && bytes <= self.bytes - start, "a buffer lies in its ring");
        // SAFETY: inside, by the line above; initialised and not written, by the promise of `new`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(start), bytes) }
    }
}

/// What of a filled buffer is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    segment: usize,
    pub(crate) datagrams: usize,
    /// Bytes of the whole datagrams.
    pub(crate) bytes: usize,
    pub(crate) truncated: usize,
}

impl Whole {
    pub(crate) fn of(slot: &Slot, buffer_bytes: usize) -> Self {
        let came = slot.bytes;
        let segment = slot.told.segment_bytes.unwrap_or(came).max(1);
        // A datagram of no bytes is a datagram.
        let all = came.div_ceil(segment).max(1);
        if came <= buffer_bytes {
            return Self { segment, datagrams: all, bytes: came, truncated: 0 };
        }
        let datagrams = buffer_bytes / segment;
        Self { segment, datagrams, bytes: datagrams * segment, truncated: all - datagrams }
    }
}

/// One datagram in the receive ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its payload.
    pub bytes: &'a [u8],
    /// Who sent it; canonical.
    pub from: SocketAddr,
    /// The address of this machine that it was sent to, canonical: the source of an answer. `None` where the
    /// kernel does not tell.
    pub to: Option<IpAddr>,
}

/// The datagrams of one [`Receiver::receive`](crate::Receiver::receive), in the order of their coming.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    slots: &'a [Slot],
    ground: Ground<'a>,
    buffer_bytes: usize,
    next: Cut<'a>,
}

/// The buffer being cut.
#[derive(Clone, Copy, Debug, Default)]
struct Cut<'a> {
    rest: &'a [u8],
    segment: usize,
    datagrams: usize,
    from: Option<SocketAddr>,
    to: Option<IpAddr>,
}

impl<'a> Batch<'a> {
    /// Of filled `slots`, whose payloads of at most `buffer_bytes` are in `ground`.
    pub(crate) fn new(slots: &'a [Slot], ground: Ground<'a>, buffer_bytes: usize) -> Self {
        Self { slots, ground, buffer_bytes, next: Cut::default() }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.next.datagrams == 0 && self.slots.is_empty()
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        loop {
            if let (Some(from), 1..) = (self.next.from, self.next.datagrams) {
                let (bytes, rest) = self.next.rest.split_at(self.next.segment.min(self.next.rest.len()));
                self.next.rest = rest;
                self.next.datagrams -= 1;
                return Some(Segment { bytes, from, to: self.next.to });
            }
            let (slot, slots) = self.slots.split_first()?;
            let whole = Whole::of(slot, self.buffer_bytes);
            self.slots = slots;
            self.next = Cut {
                rest: self.ground.part(slot.start, whole.bytes),
                segment: whole.segment,
                datagrams: whole.datagrams,
                from: slot.from(),
                to: slot.told.to,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(bytes: usize, segment_bytes: Option<usize>) -> Slot {
        let mut slot = Slot::new();
        slot.bytes = bytes;
        slot.told.segment_bytes = segment_bytes;
        slot
    }

    #[test]
    fn whole_datagrams_only() {
        for (came, told, buffer, datagrams, bytes, truncated) in [
            (0, None, 100, 1, 0, 0),
            (100, None, 100, 1, 100, 0),
            (101, None, 100, 0, 0, 1),
            (95, Some(10), 100, 10, 95, 0),
            (100, Some(10), 100, 10, 100, 0),
            (101, Some(10), 100, 10, 100, 1),
            (125, Some(30), 100, 3, 90, 2),
            (50, Some(60), 100, 1, 50, 0),
        ] {
            let whole = Whole::of(&slot(came, told), buffer);
            assert_eq!(
                (whole.datagrams, whole.bytes, whole.truncated),
                (datagrams, bytes, truncated),
                "{came}"
            );
        }
    }

    #[test]
    #[should_panic(expected = "lies in its ring")]
    fn a_part_outside_panics() {
        let mut memory = [0_u8; 64];
        // SAFETY: the array lives to the end and is not written.
        let ground = unsafe { Ground::new(NonNull::from(&mut memory).cast(), memory.len()) };
        assert_eq!(ground.part(60, 4).len(), 4);
        ground.part(61, 4);
    }

    proptest! {
        /// Whatever the kernel might tell, the cut stays in the buffer and yields what was counted.
        #[test]
        fn the_cut_agrees_with_the_count(
            slots in prop::collection::vec((0_usize..400, prop::option::of(1_usize..300)), 0..8),
        ) {
            let buffer_bytes = 256;
            let filled: Vec<Slot> = slots.iter().enumerate().map(|(index, (bytes, told))| {
                let mut slot = slot(*bytes, *told);
                slot.start = index * buffer_bytes;
                slot.set_from("127.0.0.1:9".parse().unwrap());
                slot
            }).collect();
            let mut ring = vec![0_u8; filled.len() * buffer_bytes];
            let base = NonNull::new(ring.as_mut_ptr()).unwrap();
            // SAFETY: the vector lives to the end and is not written.
            let ground = unsafe { Ground::new(base, ring.len()) };
            let batch = Batch::new(&filled, ground, buffer_bytes);
            let wholes: Vec<Whole> = filled.iter().map(|slot| Whole::of(slot, buffer_bytes)).collect();
            prop_assert_eq!(batch.clone().count(), wholes.iter().map(|whole| whole.datagrams).sum::<usize>());
            prop_assert_eq!(
                batch.map(|segment| segment.bytes.len()).sum::<usize>(),
                wholes.iter().map(|whole| whole.bytes).sum::<usize>()
            );
        }
    }
}
