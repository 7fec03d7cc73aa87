//! Messages through a ring: lent to the kernel where they lie in an attached arena, copied where they do not.
//!
//! Promises: messages go in order, and the first that fails holds up those behind it; what is lent is known to
//! the arena until the kernel has told that it is done; a loan that the kernel does not take is sent by copy in
//! the same call, counted, and given up after the third. Refuses: to lend what is not the arena's.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};

use super::loans::{Attached, Loans, is_loan_refusal, tag, untag};
use super::outgoing::Outgoing;
use super::ring::{NOTIF_USAGE_ZC_COPIED, Ring, SEND_ZC_REPORT_USAGE};
use crate::addr::RawPath;
use crate::control::SendControl;
use crate::flight::Flight;
use crate::limits::{
    DATAGRAMS_PER_CALL_MAX, LOAN_BYTES_MIN, LOAN_REFUSALS_MAX, LOANS_MAX, LOANS_WAIT, TRAINS_PER_CALL_MAX,
};

/// The result of a message that has none yet. The kernel's are lengths and negative error numbers.
const PENDING: i32 = i32::MIN;

/// Requests of one call at most.
const REQUESTS: u32 = DATAGRAMS_PER_CALL_MAX as u32;

/// Why nothing was sent.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The first message was.
    Message(io::Error),
    /// The ring is of no use any more.
    Ring(io::Error),
}

/// A ring for one sender.
#[derive(Debug)]
pub(crate) struct UringSend {
    ring: Ring,
    out: Box<Outgoing>,
    arena: Option<Attached>,
    loans: Loans,
    /// Loans refused in a row; at the limit nothing is lent any more.
    refusals: u32,
    /// Entries into the kernel so far.
    pub(crate) system_calls: u64,
    loans_max: u64,
}

impl UringSend {
    /// A ring with room for all that one call sends and all that may be lent.
    ///
    /// # Errors
    /// The kernel gives none.
    pub(crate) fn new() -> io::Result<Self> {
        Self::with_room(LOANS_MAX, REQUESTS + LOANS_MAX)
    }

    fn with_room(loans_max: u32, completions: u32) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new(REQUESTS, completions)?,
            out: Box::new(Outgoing::new()),
            arena: None,
            loans: Loans::default(),
            refusals: 0,
            system_calls: 0,
            loans_max: u64::from(loans_max),
        })
    }

    /// From now on what lies in the arena is lent.
    ///
    /// # Panics
    /// If there is one already: tickets are counted for one arena.
    pub(crate) fn attach(&mut self, flight: &Arc<Flight>) {
        assert!(self.arena.is_none(), "a sender lends from one arena");
        // Pages that the arena is about to replace must not be those that are read from.
        let lends = self.ring.lends_registered() && flight.orphaned().is_none();
        let registered = lends.then(|| self.register(flight.range()));
        match &registered {
            None => {
                tracing::info!("no registered memory is lent here: pages are looked up for each train");
            }
            Some(Err(cause)) => {
                tracing::info!(%cause, "the arena cannot be registered: its pages are looked up for each train");
            }
            Some(Ok(())) => {}
        }
        let back = vec![false; self.loans_max as usize].into_boxed_slice();
        let registered = matches!(registered, Some(Ok(())));
        self.arena = Some(Attached { flight: Arc::clone(flight), registered, back });
    }

    fn register(&self, (base, bytes): (usize, usize)) -> io::Result<()> {
        let part = libc::iovec { iov_base: ptr::without_provenance_mut(base), iov_len: bytes };
        // SAFETY: the range is an arena's mapping. The kernel pins its pages, so they outlive the arena if need be;
        // that nobody writes to what it reads is the flight's promise.
        unsafe { self.ring.submitter().register_buffers(&[part]) }
    }

    /// Sends `bytes` as messages of `message_bytes` (the last may be shorter), as many as one call carries.
    /// Returns how many messages went, at least one.
    pub(crate) fn send(
        &mut self,
        fd: BorrowedFd<'_>,
        path: &RawPath,
        bytes: &[u8],
        message_bytes: usize,
        segment_bytes: Option<u16>,
    ) -> Result<usize, Refused> {
        self.reap();
        let most = if segment_bytes.is_some() { TRAINS_PER_CALL_MAX } else { DATAGRAMS_PER_CALL_MAX };
        let messages = bytes.len().div_ceil(message_bytes).min(most);
        self.out.dest = path.dest;
        self.out.control = SendControl::new(path, segment_bytes);
        for (index, chunk) in bytes.chunks(message_bytes).take(messages).enumerate() {
            let train = segment_bytes.is_some_and(|segment| chunk.len() > usize::from(segment));
            self.out.set(index, chunk, train);
        }
        let lend = self.would_lend(bytes, message_bytes);
        let error = match self.submit(fd, messages, lend) {
            Ok(0) => self.first_error(),
            Ok(sent) => {
                self.refusals = if lend { 0 } else { self.refusals };
                return Ok(sent);
            }
            Err(error) => return Err(Refused::Ring(error)),
        };
        if !lend || !is_loan_refusal(&error) {
            return Err(Refused::Message(error));
        }
        match self.submit(fd, messages, false) {
            // Lent or not, it cannot go.
            Ok(0) => Err(Refused::Message(self.first_error())),
            Ok(sent) => {
                self.handle_loan_refusal(&error);
                Ok(sent)
            }
            Err(error) => Err(Refused::Ring(error)),
        }
    }

    /// Takes in what has come back, and waits for the rest no longer than `patience`. Whether nothing is lent.
    pub(crate) fn settle(&mut self, patience: Duration) -> bool {
        let mut give_up_at = None;
        loop {
            self.reap();
            if self.lent() == 0 {
                return true;
            }
            let now = Instant::now();
            let left = give_up_at.get_or_insert(now + patience).saturating_duration_since(now);
            self.system_calls += 1;
            if self.ring.enter_for(Some(left)).is_err() || left.is_zero() {
                self.reap();
                return self.lent() == 0;
            }
        }
    }

    /// What became of all loans so far.
    pub(crate) fn loans(&self) -> Loans {
        self.loans
    }

    /// Loans that have not come back.
    pub(crate) fn lent(&self) -> u64 {
        self.arena.as_ref().map_or(0, |arena| arena.flight.lent() - arena.flight.settled())
    }

    /// Whether messages of `message_bytes` would be lent now: the arena's, long enough, and not too many.
    pub(crate) fn would_lend(&self, bytes: &[u8], message_bytes: usize) -> bool {
        let messages = bytes.len().div_ceil(message_bytes).min(DATAGRAMS_PER_CALL_MAX) as u64;
        self.refusals < LOAN_REFUSALS_MAX
            && message_bytes.min(bytes.len()) >= LOAN_BYTES_MIN
            && self.lent() + messages <= self.loans_max
            && self.arena.as_ref().is_some_and(|arena| arena.flight.covers(bytes))
    }

    /// Hands the first `messages` in, as a chain in which one that fails cancels those behind it, and waits for
    /// their results. Returns how many went.
    fn submit(&mut self, fd: BorrowedFd<'_>, messages: usize, lend: bool) -> io::Result<usize> {
        self.out.results[..messages].fill(PENDING);
        for index in 0..messages {
            let request = self.request(fd, index, lend);
            let linked = if index + 1 < messages { squeue::Flags::IO_LINK } else { squeue::Flags::empty() };
            // SAFETY: the header, its parts and control are in `out`, which stays until all results are in. The
            // payload is borrowed until then, too; if it is lent, its arena leases it to nobody until the ticket
            // is back, and its pages are pinned.
            unsafe { self.ring.push(&request.flags(linked))? };
        }
        let mut want = messages;
        while self.out.results[..messages].contains(&PENDING) {
            self.system_calls += 1;
            if let Err(error) = self.ring.enter(want) {
                self.abandon(lend);
                return Err(error);
            }
            want = 1;
            self.reap();
        }
        Ok(self.out.results[..messages].iter().take_while(|result| **result >= 0).count())
    }

    fn request(&self, fd: BorrowedFd<'_>, index: usize, lend: bool) -> squeue::Entry {
        let header = &raw const self.out.headers[index];
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT).cast_unsigned();
        let fd = Fd(fd.as_raw_fd());
        match &self.arena {
            Some(arena) if lend => opcode::SendMsgZc::new(fd, header)
                .flags(flags)
                .ioprio(if self.ring.tells_of_copies() { SEND_ZC_REPORT_USAGE } else { 0 })
                .buf_index(arena.registered.then_some(0))
                .build()
                .user_data(tag(index, arena.flight.lend())),
            Some(_) | None => opcode::SendMsg::new(fd, header).flags(flags).build().user_data(tag(index, 0)),
        }
    }

    /// The error that the first message met.
    fn first_error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.out.results[0].wrapping_neg())
    }

    fn handle_loan_refusal(&mut self, error: &io::Error) {
        self.loans.refused += 1;
        let registered = self.arena.as_mut().is_some_and(|arena| mem::take(&mut arena.registered));
        if registered && error.raw_os_error() == Some(libc::EINVAL) {
            // Linux before 6.15 lends, but not from registered memory.
            tracing::info!("trains are lent without registered memory: this kernel's SENDMSG_ZC knows none");
            return;
        }
        if let Some(arena) = &mut self.arena {
            arena.registered = registered;
        }
        self.refusals += 1;
        if self.refusals == LOAN_REFUSALS_MAX {
            tracing::warn!(%error, "the kernel does not take trains on loan here: they are copied from now on");
        }
    }

    /// Takes in all completions that are there.
    fn reap(&mut self) {
        let tells = self.ring.tells_of_copies();
        while let Some(entry) = self.ring.pop() {
            let (index, ticket) = untag(entry.user_data());
            if !cqueue::notif(entry.flags()) {
                if let Some(result) = self.out.results.get_mut(index) {
                    *result = entry.result();
                }
                if cqueue::more(entry.flags()) {
                    // A notification follows.
                    continue;
                }
            } else if !tells || entry.result().cast_unsigned() & NOTIF_USAGE_ZC_COPIED != 0 {
                self.loans.copied += 1;
            } else {
                self.loans.read_in_place += 1;
            }
            if let (1.., Some(arena)) = (ticket, &mut self.arena) {
                arena.take_back(ticket);
            }
        }
        if let Some(arena) = &mut self.arena {
            // What a former ring was not told of may have been settled by the arena meanwhile.
            arena.advance();
        }
    }

    /// Waits for all that is lent, for a bounded time; the arena then knows of the rest that nobody will tell of it.
    /// Says how much that is.
    pub(crate) fn end(&mut self) -> u64 {
        let pause = Duration::from_millis(1);
        let give_up_at = Instant::now() + LOANS_WAIT;
        loop {
            self.reap();
            if self.lent() == 0 {
                return 0;
            }
            if Instant::now() >= give_up_at {
                break;
            }
            if self.ring.enter_for(Some(pause)).is_err() {
                // Broken: but the kernel tells with the return from any call.
                std::thread::park_timeout(pause);
            }
        }
        let lent = self.lent();
        tracing::warn!(
            lent,
            "trains on loan have not come back before their ring went: their memory is not used again"
        );
        if let Some(arena) = self.arena.take() {
            arena.flight.orphan();
        }
        lent
    }

    /// The ring broke with requests under way: what they point to must never go.
    fn abandon(&mut self, lend: bool) {
        if let (true, Some(arena)) = (lend, &mut self.arena) {
            // What the kernel has not even looked at is no loan.
            let lent = arena.flight.lent();
            let unseen = self.ring.queued() as u64;
            (lent - unseen + 1..=lent).for_each(|ticket| arena.take_back(ticket));
        }
        mem::forget(mem::replace(&mut self.out, Box::new(Outgoing::new())));
    }
}

impl Drop for UringSend {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arena;
    use crate::addr::{Family, RawAddr};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    /// A ring, if this machine has one for us; else it is said that the test was not run.
    fn ring(loans_max: u32, completions: u32) -> Option<UringSend> {
        match UringSend::with_room(loans_max, completions) {
            Ok(uring) => Some(uring),
            Err(cause) => {
                eprintln!("punktfunk-net: not run: loans through io_uring ({cause})");
                assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs every tier: {cause}");
                None
            }
        }
    }

    const MESSAGE: usize = 9000;
    const MESSAGES: usize = 64;

    /// Two sockets on loopback, and the way from one to the other.
    fn ends() -> (UdpSocket, UdpSocket, RawPath) {
        let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let dest = RawAddr::encode(to.local_addr().unwrap(), Family::V4).unwrap();
        (from, to, RawPath { dest, source: None, departure_ns: None })
    }

    #[test]
    fn completions_that_the_ring_has_no_room_for_are_not_lost() {
        let (from, _to, path) = ends();
        // Each message brings a result and a notification; there is room for half of them.
        let Some(mut uring) = ring(LOANS_MAX, REQUESTS) else { return };
        let mut arena = Arena::new(MESSAGES * MESSAGE).unwrap();
        uring.attach(arena.flight());
        for round in 1..=5 {
            let lease = arena.lease(MESSAGES * MESSAGE).unwrap();
            let sent = uring.send(from.as_fd(), &path, arena.bytes(&lease), MESSAGE, None).unwrap();
            assert_eq!(sent, MESSAGES);
            arena.release(lease);
            assert!(uring.settle(Duration::from_secs(2)));
            let loans = uring.loans();
            assert_eq!(loans.read_in_place + loans.copied, round * MESSAGES as u64, "{loans:?}");
        }
    }

    #[test]
    fn more_than_may_be_lent_is_copied() {
        let (from, _to, path) = ends();
        let Some(mut uring) = ring(3, REQUESTS) else { return };
        let mut arena = Arena::new(4 * MESSAGE).unwrap();
        uring.attach(arena.flight());
        let lease = arena.lease(4 * MESSAGE).unwrap();
        for (messages, lent) in [(4, 0), (3, 3), (1, 4), (4, 4)] {
            let bytes = &arena.bytes(&lease)[..messages * MESSAGE];
            assert_eq!(uring.send(from.as_fd(), &path, bytes, MESSAGE, None).unwrap(), messages);
            assert!(uring.settle(Duration::from_secs(2)));
            let loans = uring.loans();
            assert_eq!(loans.read_in_place + loans.copied, lent, "{loans:?}");
        }
        arena.release(lease);
    }

    #[test]
    fn what_fails_holds_up_what_is_behind() {
        let (from, to, path) = ends();
        let Some(mut uring) = ring(LOANS_MAX, REQUESTS + LOANS_MAX) else { return };
        // Too long for any datagram: the first, then the third.
        let bytes = vec![1; 70_000 + 10];
        let first = uring.send(from.as_fd(), &path, &bytes, 70_000, None);
        assert!(
            matches!(first, Err(Refused::Message(error)) if error.raw_os_error() == Some(libc::EMSGSIZE))
        );
        to.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(to.recv(&mut [0; 10]).is_err(), "the short one behind it did not overtake");
    }

    #[test]
    fn a_loan_that_is_refused_goes_by_copy_and_the_third_is_the_last() {
        let [known, mut unknown] = [(); 2].map(|()| Arena::new(4 * MESSAGE).unwrap());
        let Some(mut uring) = ring(LOANS_MAX, REQUESTS + LOANS_MAX) else { return };
        uring.attach(known.flight());
        // The pages that the kernel knows are not those that are lent, or, before Linux 6.15, it knows none: EFAULT.
        let arena = uring.arena.as_mut().unwrap();
        (arena.registered, arena.flight) = (true, Arc::clone(unknown.flight()));
        lend_and_count(&mut uring, &mut unknown, [1, 2, 3, 3, 3]);
    }

    #[test]
    fn a_kernel_that_lends_no_registered_memory_is_asked_for_it_once() {
        let mut arena = Arena::new(4 * MESSAGE).unwrap();
        let Some(mut uring) = ring(LOANS_MAX, REQUESTS + LOANS_MAX) else { return };
        uring.attach(arena.flight());
        let refused = if uring.ring.lends_registered() {
            [0; 5]
        } else {
            // As if it were believed to: EINVAL.
            uring.register(arena.flight().range()).unwrap();
            uring.arena.as_mut().unwrap().registered = true;
            [1; 5]
        };
        lend_and_count(&mut uring, &mut arena, refused);
        let loans = uring.loans();
        // A kernel may tell of a refused loan, too, that it copied: it read none of it in place.
        let told = loans.read_in_place + loans.copied;
        assert!((10 - 2 * refused[0]..=10).contains(&told), "{loans:?}");
    }

    /// Lends two messages each round, which come once each, and counts the refusals so far.
    fn lend_and_count(uring: &mut UringSend, arena: &mut Arena, refused: [u64; 5]) {
        let (from, to, path) = ends();
        to.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let lease = arena.lease(4 * MESSAGE).unwrap();
        arena.bytes_mut(&lease).fill(9);
        for (round, refused) in refused.into_iter().enumerate() {
            let bytes = &arena.bytes(&lease)[..2 * MESSAGE];
            assert_eq!(uring.send(from.as_fd(), &path, bytes, MESSAGE, None).unwrap(), 2);
            let mut came = [0; MESSAGE + 1];
            for _ in 0..2 {
                assert_eq!(to.recv(&mut came).unwrap(), MESSAGE, "round {round}: each comes once");
                assert!(came[..MESSAGE].iter().all(|byte| *byte == 9));
            }
            assert_eq!(uring.loans().refused, refused, "round {round}");
            assert!(uring.settle(Duration::from_secs(2)), "a refused loan is none");
        }
        arena.release(lease);
        let lease = arena.lease(4 * MESSAGE).unwrap();
        arena.release(lease);
    }

    #[test]
    fn memory_that_could_not_be_registered_is_lent_all_the_same() {
        let (from, _to, path) = ends();
        let mut arena = Arena::new(4 * MESSAGE).unwrap();
        let Some(mut uring) = ring(LOANS_MAX, REQUESTS + LOANS_MAX) else { return };
        uring.attach(arena.flight());
        uring.arena.as_mut().unwrap().registered = false;
        let lease = arena.lease(4 * MESSAGE).unwrap();
        assert_eq!(uring.send(from.as_fd(), &path, arena.bytes(&lease), MESSAGE, None).unwrap(), 4);
        arena.release(lease);
        assert!(uring.settle(Duration::from_secs(2)));
        let loans = uring.loans();
        assert_eq!((loans.read_in_place + loans.copied, loans.refused), (4, 0), "{loans:?}");
    }
}
