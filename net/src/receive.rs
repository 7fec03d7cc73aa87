//! Datagrams from the kernel: coalesced batches into one reused ring, cut into the datagrams they were.
//!
//! Promises: one system call takes several GRO batches; nothing is allocated after `new`; an unreachable peer's
//! ICMP never ends the loop; what the kernel dropped or cut short is counted. Refuses: to hand out a datagram
//! that is not whole.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS, RECEIVE_BUFFERS_MAX};
use crate::mapping::Mapping;
use crate::socket::is_own_fault;
use crate::sys::Slot;
use crate::{NetError, Socket, Waker, sys};

/// Errors of other datagrams that one `receive` takes away before it gives the caller its turn.
const SOFT_ERRORS_PER_CALL_MAX: u32 = 16;

/// The size of a receive ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Buffers filled by one system call: 1 to [`RECEIVE_BUFFERS_MAX`].
    pub buffers: usize,
    /// Bytes of each: 64 to 65,536. Less than 65,536 cuts coalesced batches short.
    pub buffer_bytes: usize,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self { buffers: RECEIVE_BUFFERS, buffer_bytes: RECEIVE_BUFFER_BYTES }
    }
}

/// All that a [`Receiver`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// Buffers the kernel filled: GRO batches, or single datagrams.
    pub batches: u64,
    /// Whole datagrams handed on.
    pub datagrams: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Datagrams that did not fit their buffer, dropped here.
    pub truncated: u64,
    /// Buffers the kernel dropped because the socket's was full. The kernel counts what it queued: a coalesced
    /// batch is one, so this is the least number of datagrams.
    pub kernel_drops: u64,
    /// Errors of datagrams sent earlier (ICMP) that a receive was told of.
    pub soft_errors: u64,
    /// Receive calls, those that found nothing included.
    pub system_calls: u64,
    /// Waits, each one more system call.
    pub waits: u64,
}

/// Receives for one thread.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<Socket>,
    waker: Waker,
    ring: Mapping,
    slots: Box<[Slot]>,
    buffer_bytes: usize,
    counters: ReceiveCounters,
    /// The kernel's drop count when last told.
    drops_told: u32,
}

impl Receiver {
    /// A receiver on `socket`. Two on one socket share its datagrams between them.
    ///
    /// # Errors
    /// [`NetError::ReceiveLimits`] if `limits` are out of bounds; [`NetError::Map`] and [`NetError::Waker`] if
    /// the system has no memory or descriptors.
    pub fn new(socket: Arc<Socket>, limits: ReceiveLimits) -> Result<Self, NetError> {
        let ReceiveLimits { buffers, buffer_bytes } = limits;
        if !(1..=RECEIVE_BUFFERS_MAX).contains(&buffers)
            || !(64..=RECEIVE_BUFFER_BYTES).contains(&buffer_bytes)
        {
            return Err(NetError::ReceiveLimits { buffers, buffer_bytes, buffers_max: RECEIVE_BUFFERS_MAX });
        }
        Ok(Self {
            socket,
            waker: Waker::new()?,
            ring: Mapping::new(buffers * buffer_bytes)?,
            slots: vec![Slot::new(); buffers].into_boxed_slice(),
            buffer_bytes,
            counters: ReceiveCounters::default(),
            drops_told: 0,
        })
    }

    /// What ends this receiver's waits.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Takes what is there; if nothing is, waits for at most `timeout` (`None`: for ever; zero: not at all),
    /// or until woken. The batch is empty if nothing came.
    ///
    /// # Errors
    /// [`NetError::Receive`] if the socket is of no use any more.
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<Batch<'_>, NetError> {
        let filled = self.fill(timeout).map_err(|source| NetError::Receive { source })?;
        let ring = &self.ring.as_slice()[..self.slots.len() * self.buffer_bytes];
        Ok(Batch {
            slots: &self.slots[..filled],
            ring,
            buffer_bytes: self.buffer_bytes,
            next: Cut::default(),
        })
    }

    /// All that was seen since `new`.
    pub fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let mut deadline = None;
        let mut woken = timeout == Some(Duration::ZERO);
        let mut soft = 0;
        loop {
            self.counters.system_calls += 1;
            let used = self.slots.len() * self.buffer_bytes;
            let ring = &mut self.ring.as_mut_slice()[..used];
            match sys::receive_many(self.socket.as_fd(), ring, self.buffer_bytes, &mut self.slots) {
                Ok(filled) => {
                    self.count(filled);
                    return Ok(filled);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if !is_own_fault(&error) => {
                    self.counters.soft_errors += 1;
                    self.socket.drain_errors();
                    soft += 1;
                    if soft < SOFT_ERRORS_PER_CALL_MAX {
                        continue;
                    }
                    return Ok(0);
                }
                Err(error) => return Err(error),
            }
            if woken {
                return Ok(0);
            }
            let left = match timeout {
                None => None,
                Some(timeout) => {
                    let now = Instant::now();
                    let left = deadline.get_or_insert(now + timeout).saturating_duration_since(now);
                    if left.is_zero() {
                        return Ok(0);
                    }
                    Some(left)
                }
            };
            self.counters.waits += 1;
            let ready = sys::wait(self.socket.as_fd(), libc::POLLIN, Some(self.waker.as_fd()), left)?;
            if ready.errors {
                self.socket.drain_errors();
            }
            // Once woken, one more look and then the caller's turn, whatever is there.
            woken = ready.other && self.waker.take();
        }
    }

    fn count(&mut self, filled: usize) {
        for slot in &self.slots[..filled] {
            let whole = Whole::of(slot, self.buffer_bytes);
            self.counters.batches += 1;
            self.counters.datagrams += whole.datagrams as u64;
            self.counters.bytes += whole.bytes as u64;
            self.counters.truncated += whole.truncated as u64;
            if let Some(drops) = slot.told.drops {
                self.counters.kernel_drops += u64::from(drops.wrapping_sub(self.drops_told));
                self.drops_told = drops;
            }
        }
    }
}

/// What of a filled buffer is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whole {
    segment: usize,
    datagrams: usize,
    /// Bytes of the whole datagrams.
    bytes: usize,
    truncated: usize,
}

impl Whole {
    fn of(slot: &Slot, buffer_bytes: usize) -> Self {
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

/// The datagrams of one [`Receiver::receive`], in the order of their coming.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    slots: &'a [Slot],
    ring: &'a [u8],
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

impl Batch<'_> {
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
            let (buffer, ring) = self.ring.split_at(self.buffer_bytes);
            let whole = Whole::of(slot, self.buffer_bytes);
            self.slots = slots;
            self.ring = ring;
            self.next = Cut {
                rest: &buffer[..whole.bytes],
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
    use crate::sys::Slot;
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

    proptest! {
        /// Whatever the kernel might tell, the cut stays in the buffer and yields what was counted.
        #[test]
        fn the_cut_agrees_with_the_count(
            slots in prop::collection::vec((0_usize..400, prop::option::of(1_usize..300)), 0..8),
        ) {
            let buffer_bytes = 256;
            let filled: Vec<Slot> = slots.iter().map(|(bytes, told)| {
                let mut slot = slot(*bytes, *told);
                slot.set_from("127.0.0.1:9".parse().unwrap());
                slot
            }).collect();
            let ring = vec![0; filled.len() * buffer_bytes];
            let batch = Batch { slots: &filled, ring: &ring, buffer_bytes, next: Cut::default() };
            let wholes: Vec<Whole> = filled.iter().map(|slot| Whole::of(slot, buffer_bytes)).collect();
            prop_assert_eq!(batch.clone().count(), wholes.iter().map(|whole| whole.datagrams).sum::<usize>());
            prop_assert_eq!(
                batch.map(|segment| segment.bytes.len()).sum::<usize>(),
                wholes.iter().map(|whole| whole.bytes).sum::<usize>()
            );
        }
    }
}
