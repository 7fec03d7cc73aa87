//! Datagrams from the kernel: coalesced batches into one reused ring, cut into the datagrams they were.
//!
//! Promises: one system call takes several GRO batches, or none at all does where a ring holds them; nothing is
//! allocated after `new`; an unreachable peer's ICMP never ends the loop; what the kernel dropped or cut short is
//! counted. Refuses: to hand out a datagram that is not whole.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::{Batch, Ground, Whole};
use crate::limits::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS, RECEIVE_BUFFERS_MAX, SOFT_ERRORS_PER_CALL_MAX};
use crate::mapping::{Mapping, PageKind};
use crate::socket::is_own_fault;
use crate::sys::Slot;
use crate::uring::{Fault, UringReceive};
use crate::{Backend, NetError, Socket, Waker, sys};

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
    /// Waits: each one more system call, or through io_uring one of those above.
    pub waits: u64,
    /// Times that a standing receive had to be armed again: its buffers were all filled, or an error ended it.
    pub rearmed: u64,
    /// Rings that were refused or broke: receives go without.
    pub uring_refused: u64,
}

/// Receives for one thread.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<Socket>,
    waker: Waker,
    way: Way,
    limits: ReceiveLimits,
    counters: ReceiveCounters,
    /// The kernel's drop count when last told.
    drops_told: u32,
}

/// How datagrams come.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each receiver; a box would only be one more thing to follow"
)]
enum Way {
    Calls(Calls),
    Uring(UringReceive),
}

/// By `recvmmsg`, into a ring of buffers.
#[derive(Debug)]
struct Calls {
    ring: Mapping,
    slots: Box<[Slot]>,
    buffer_bytes: usize,
    filled: usize,
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
        let way = match socket.caps().backend {
            Backend::Uring => Way::Uring(UringReceive::new(limits)?),
            Backend::Gso | Backend::Sendmmsg | Backend::Scalar => Way::Calls(Calls::new(limits)?),
        };
        Ok(Self {
            socket,
            waker: Waker::new()?,
            way,
            limits,
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
        self.fill(timeout).map_err(|source| NetError::Receive { source })?;
        let (slots, buffer_bytes) = match &self.way {
            Way::Calls(calls) => (&calls.slots[..calls.filled], calls.buffer_bytes),
            Way::Uring(uring) => (uring.slots(), uring.payload_bytes()),
        };
        count(&mut self.counters, &mut self.drops_told, slots, buffer_bytes);
        Ok(match &self.way {
            Way::Calls(calls) => calls.batch(),
            Way::Uring(uring) => uring.batch(),
        })
    }

    /// The memory of the receive ring: which pages it got.
    pub fn pages(&self) -> PageKind {
        match &self.way {
            Way::Calls(calls) => calls.ring.pages(),
            Way::Uring(uring) => uring.pages(),
        }
    }

    /// All that was seen since `new`.
    pub fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if let Way::Uring(uring) = &mut self.way {
            match uring.fill(&self.socket, &self.waker, &mut self.counters, timeout) {
                Ok(()) => return Ok(()),
                Err(Fault::Socket(error)) => return Err(error),
                Err(Fault::Ring(cause)) => {
                    note_refusal(&mut self.counters, &cause);
                    self.way = Way::Calls(Calls::new(self.limits).map_err(io::Error::other)?);
                }
            }
        }
        let Way::Calls(calls) = &mut self.way else { return Ok(()) };
        calls.fill(&self.socket, &self.waker, &mut self.counters, timeout)
    }
}

fn note_refusal(counters: &mut ReceiveCounters, cause: &dyn Display) {
    counters.uring_refused += 1;
    tracing::warn!(%cause, "io_uring is refused here: datagrams are received without it");
}

fn count(counters: &mut ReceiveCounters, drops_told: &mut u32, slots: &[Slot], buffer_bytes: usize) {
    for slot in slots {
        let whole = Whole::of(slot, buffer_bytes);
        counters.batches += 1;
        counters.datagrams += whole.datagrams as u64;
        counters.bytes += whole.bytes as u64;
        counters.truncated += whole.truncated as u64;
        if let Some(drops) = slot.told.drops {
            counters.kernel_drops += u64::from(drops.wrapping_sub(*drops_told));
            *drops_told = drops;
        }
    }
}

impl Calls {
    fn new(limits: ReceiveLimits) -> Result<Self, NetError> {
        Ok(Self {
            ring: Mapping::new(limits.buffers * limits.buffer_bytes)?,
            slots: vec![Slot::new(); limits.buffers].into_boxed_slice(),
            buffer_bytes: limits.buffer_bytes,
            filled: 0,
        })
    }

    fn batch(&self) -> Batch<'_> {
        // SAFETY: the mapping is initialised, lives as long as `self`, and is written by `fill` only, which wants it
        // for itself.
        let ground = unsafe { Ground::new(self.ring.start(), self.ring.len()) };
        Batch::new(&self.slots[..self.filled], ground, self.buffer_bytes)
    }

    fn fill(
        &mut self,
        socket: &Socket,
        waker: &Waker,
        counters: &mut ReceiveCounters,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.filled = 0;
        let mut deadline = None;
        let mut woken = timeout == Some(Duration::ZERO);
        let mut soft = 0;
        loop {
            counters.system_calls += 1;
            match self.receive_many(socket) {
                Ok(filled) => {
                    self.filled = filled;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if !is_own_fault(&error) => {
                    counters.soft_errors += 1;
                    socket.drain_errors();
                    soft += 1;
                    if soft < SOFT_ERRORS_PER_CALL_MAX {
                        continue;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if woken {
                return Ok(());
            }
            let left = match timeout {
                None => None,
                Some(timeout) => {
                    let now = Instant::now();
                    let left = deadline.get_or_insert(now + timeout).saturating_duration_since(now);
                    if left.is_zero() {
                        return Ok(());
                    }
                    Some(left)
                }
            };
            counters.waits += 1;
            let ready = sys::wait(socket.as_fd(), libc::POLLIN, Some(waker.as_fd()), left)?;
            if ready.errors {
                socket.drain_errors();
            }
            // Once woken, one more look and then the caller's turn, whatever is there.
            woken = ready.other && waker.take();
        }
    }

    fn receive_many(&mut self, socket: &Socket) -> io::Result<usize> {
        // The mapping may be longer, by whole pages.
        let ring = &mut self.ring.as_mut_slice()[..self.slots.len() * self.buffer_bytes];
        sys::receive_many(socket.as_fd(), ring, self.buffer_bytes, &mut self.slots)
    }
}
