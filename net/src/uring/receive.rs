//! Receives through a ring: armed once, filled by the kernel as datagrams come, until somebody cancels.
//!
//! Promises: a buffer is handed on once, in the order of coming, and given back before the next look; a wake and
//! an error of somebody else's datagram do what they do elsewhere; the receive is over before its memory goes.
//! Refuses: to stay armed from a thread that no longer receives, because completions wait for the thread that
//! armed.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fd, Timespec};
use io_uring::{cqueue, opcode};

use super::buffers::{Buffers, CONTROL_BYTES, GROUP, NAME_BYTES};
use super::ring::Ring;
use crate::batch::Batch;
use crate::limits::{CANCEL_WAIT, RECEIVE_BUFFERS_MAX, SOFT_ERRORS_PER_CALL_MAX};
use crate::mapping::PageKind;
use crate::receive::ReceiveCounters;
use crate::socket::is_own_fault;
use crate::sys::{self, Slot};
use crate::{NetError, ReceiveLimits, Socket, Waker};

/// What a completion is of: the low byte of its tag. Above it is how often that was armed.
const RECEIVE: u64 = 1;
const WAKE: u64 = 2;

/// A request that stays with the kernel, until a completion says that it is over.
#[derive(Debug, Default)]
struct Standing {
    armed: bool,
    /// How often it was armed.
    times: u64,
}

impl Standing {
    fn arm(&mut self, kind: u64) -> u64 {
        self.armed = true;
        self.times += 1;
        self.tag(kind)
    }

    fn tag(&self, kind: u64) -> u64 {
        self.times << 8 | kind
    }
}

/// A ring for one receiver.
#[derive(Debug)]
pub(crate) struct UringReceive {
    /// Made by the thread that receives first: the kernel interrupts a thread whose ring goes. Closed before
    /// `buffers` go.
    ring: Option<Ring>,
    buffers: mem::ManuallyDrop<Buffers>,
    /// How much room there is for names and control messages; at an address that stays.
    message: Box<Message>,
    slots: Box<[Slot]>,
    /// Which buffer each filled slot is of.
    ids: [u16; RECEIVE_BUFFERS_MAX],
    filled: usize,
    receive: Standing,
    wake: Standing,
    /// The waker's descriptor was readable, and the caller has not been told.
    woken: bool,
    /// Who armed.
    thread: Option<ThreadId>,
}

#[derive(Debug)]
struct Message(libc::msghdr);

// SAFETY: its pointers are null, and stay null.
unsafe impl Send for Message {}
// SAFETY: as above.
unsafe impl Sync for Message {}

/// What ended a fill.
pub(crate) enum Fault {
    /// The socket is of no use any more.
    Socket(io::Error),
    /// The ring is of no use any more.
    Ring(io::Error),
}

impl UringReceive {
    /// # Errors
    /// The kernel gives no memory.
    pub(crate) fn new(limits: ReceiveLimits) -> Result<Self, NetError> {
        let count = u16::try_from(limits.buffers).expect("the limits are checked");
        let buffers = Buffers::new(count, limits.buffer_bytes)?;
        let mut message = Message(sys::empty_message());
        message.0.msg_namelen = u32::try_from(NAME_BYTES).expect("an address is short");
        message.0.msg_controllen = CONTROL_BYTES;
        Ok(Self {
            ring: None,
            buffers: mem::ManuallyDrop::new(buffers),
            message: Box::new(message),
            slots: vec![Slot::new(); limits.buffers].into_boxed_slice(),
            ids: [0; RECEIVE_BUFFERS_MAX],
            filled: 0,
            receive: Standing::default(),
            wake: Standing::default(),
            woken: false,
            thread: None,
        })
    }

    /// What the last [`UringReceive::fill`] brought.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch::new(&self.slots[..self.filled], self.buffers.ground(), self.buffers.payload_bytes())
    }

    /// The filled slots.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots[..self.filled]
    }

    /// Which pages the buffers are on.
    pub(crate) fn pages(&self) -> PageKind {
        self.buffers.pages()
    }

    /// Bytes that one buffer holds.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.buffers.payload_bytes()
    }

    /// Takes what is there; if nothing is, waits for at most `timeout`, or until woken.
    pub(crate) fn fill(
        &mut self,
        socket: &Socket,
        waker: &Waker,
        counters: &mut ReceiveCounters,
        timeout: Option<Duration>,
    ) -> Result<(), Fault> {
        self.make_ring().map_err(Fault::Ring)?;
        self.give_back();
        self.come_to_this_thread().map_err(Fault::Ring)?;
        let mut deadline = None;
        let mut last_look = timeout == Some(Duration::ZERO);
        let mut soft = 0;
        loop {
            soft += self.collect(socket, counters).map_err(Fault::Socket)?;
            if self.filled > 0 || soft >= SOFT_ERRORS_PER_CALL_MAX {
                return Ok(());
            }
            if mem::take(&mut self.woken) {
                waker.take();
                last_look = true;
            }
            self.arm(socket, waker).map_err(Fault::Ring)?;
            counters.system_calls += 1;
            if last_look {
                self.ring().enter(0).map_err(Fault::Ring)?;
                self.collect(socket, counters).map_err(Fault::Socket)?;
                return Ok(());
            }
            let left = match timeout {
                None => None,
                Some(timeout) => {
                    let now = Instant::now();
                    Some(deadline.get_or_insert(now + timeout).saturating_duration_since(now))
                }
            };
            last_look = left == Some(Duration::ZERO);
            counters.waits += u64::from(!last_look);
            self.ring().enter_for(left).map_err(Fault::Ring)?;
            if last_look {
                self.collect(socket, counters).map_err(Fault::Socket)?;
                return Ok(());
            }
        }
    }

    fn make_ring(&mut self) -> io::Result<()> {
        if self.ring.is_some() {
            return Ok(());
        }
        let count = u16::try_from(self.slots.len()).expect("the limits are checked");
        // A completion for each buffer, and one for the end of each standing request.
        let ring = Ring::new(4, 2 * u32::from(count) + 8)?;
        self.buffers.register(&ring.submitter())?;
        (0..count).for_each(|id| self.buffers.give(id));
        self.ring = Some(ring);
        Ok(())
    }

    fn ring(&mut self) -> &mut Ring {
        self.ring.as_mut().expect("made before anything else is asked of it")
    }

    fn give_back(&mut self) {
        for id in &self.ids[..self.filled] {
            self.buffers.give(*id);
        }
        self.filled = 0;
    }

    /// Completions are posted by the thread that armed, when it next returns from the kernel: that has to be this
    /// one.
    ///
    /// # Errors
    /// What another thread armed cannot be ended: it counts as armed, since the kernel may still write for it.
    fn come_to_this_thread(&mut self) -> io::Result<()> {
        let here = thread::current().id();
        if self.thread.replace(here).is_none_or(|before| before == here) {
            return Ok(());
        }
        let Some(ring) = &self.ring else { return Ok(()) };
        for (standing, kind) in [(&mut self.receive, RECEIVE), (&mut self.wake, WAKE)] {
            if standing.armed {
                let which = CancelBuilder::user_data(standing.tag(kind));
                match ring.submitter().register_sync_cancel(Some(wait_of(CANCEL_WAIT)), which) {
                    // Over already is as good as cancelled.
                    Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
                    Ok(()) | Err(_) => standing.armed = false,
                }
            }
        }
        Ok(())
    }

    /// Queues what is not with the kernel.
    fn arm(&mut self, socket: &Socket, waker: &Waker) -> io::Result<()> {
        if !self.receive.armed {
            let tag = self.receive.arm(RECEIVE);
            let request =
                opcode::RecvMsgMulti::new(Fd(socket.as_fd().as_raw_fd()), &raw const self.message.0, GROUP)
                    .flags(libc::MSG_TRUNC.cast_unsigned())
                    .build()
                    .user_data(tag);
            // SAFETY: the message is boxed and never written; the buffers are the kernel's until it names them.
            // Both outlive the request: `drop` waits for its end, or leaks them.
            unsafe { self.ring().push(&request)? };
        }
        if !self.wake.armed {
            let tag = self.wake.arm(WAKE);
            let events = libc::POLLIN.cast_unsigned();
            let request =
                opcode::PollAdd::new(Fd(waker.as_fd().as_raw_fd()), u32::from(events)).build().user_data(tag);
            // SAFETY: the request points to nothing.
            unsafe { self.ring().push(&request)? };
        }
        Ok(())
    }

    /// Takes in the completions that are there. Returns how many were errors of other datagrams.
    fn collect(&mut self, socket: &Socket, counters: &mut ReceiveCounters) -> io::Result<u32> {
        let mut soft = 0;
        while self.filled < self.slots.len() {
            let Some(entry) = self.ring().pop() else { break };
            if entry.user_data() & 0xff == WAKE {
                self.woken = true;
                self.wake.armed &= entry.user_data() != self.wake.tag(WAKE);
                continue;
            }
            if !cqueue::more(entry.flags()) && entry.user_data() == self.receive.tag(RECEIVE) {
                self.receive.armed = false;
                counters.rearmed += 1;
            }
            let error = match usize::try_from(entry.result()) {
                Ok(written) => {
                    self.take(&entry, written);
                    continue;
                }
                Err(_) => io::Error::from_raw_os_error(entry.result().wrapping_neg()),
            };
            match error.raw_os_error() {
                // All buffers are filled, or the thread that armed has gone.
                Some(libc::ENOBUFS) => {}
                Some(libc::ECANCELED) => socket.drain_errors(),
                _ if is_own_fault(&error) => return Err(error),
                _ => {
                    counters.soft_errors += 1;
                    socket.drain_errors();
                    soft += 1;
                }
            }
        }
        Ok(soft)
    }

    fn take(&mut self, entry: &cqueue::Entry, written: usize) {
        let Some(id) = cqueue::buffer_select(entry.flags()) else { return };
        self.buffers.read(id, written, &mut self.slots[self.filled]);
        self.ids[self.filled] = id;
        self.filled += 1;
    }

    /// Ends the standing receive and waits for its last completion. Whether it has come.
    fn cancel(&mut self) -> bool {
        let all = CancelBuilder::any().all();
        let _ = self.ring().submitter().register_sync_cancel(Some(wait_of(CANCEL_WAIT)), all);
        let give_up_at = Instant::now() + CANCEL_WAIT;
        while self.receive.armed {
            while let Some(entry) = self.ring().pop() {
                let last = !cqueue::more(entry.flags()) && entry.user_data() == self.receive.tag(RECEIVE);
                self.receive.armed &= !last;
            }
            let left = give_up_at.saturating_duration_since(Instant::now());
            if self.receive.armed && (left.is_zero() || self.ring().enter_for(Some(left)).is_err()) {
                return false;
            }
        }
        true
    }
}

impl Drop for UringReceive {
    fn drop(&mut self) {
        let over = !self.receive.armed || self.cancel();
        self.ring = None;
        if over {
            // SAFETY: they are not used again, and no request that could write to them is under way.
            unsafe { mem::ManuallyDrop::drop(&mut self.buffers) };
        } else {
            // The kernel may still write: this memory must not become anybody else's.
            tracing::warn!("a receive could not be cancelled: its buffers stay mapped");
            mem::forget(mem::replace(&mut self.message, Box::new(Message(sys::empty_message()))));
        }
    }
}

fn wait_of(time: Duration) -> Timespec {
    Timespec::new().sec(time.as_secs()).nsec(time.subsec_nanos())
}
