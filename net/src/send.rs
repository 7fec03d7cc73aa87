//! Contiguous datagrams to the kernel: in trains, by `sendmmsg`, one by one, or through io_uring.
//!
//! Promises: order is kept; a datagram is never cut or joined; each is either taken by the kernel or counted in
//! `packets_send_dropped`; a train that is refused goes as single datagrams in the same call; a ring that breaks
//! is done without, in the same call; nothing is allocated. Refuses: to wait longer than its patience for a full
//! buffer, and to lend the kernel anything but an attached arena's bytes.

mod counters;
mod own_ring;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::addr::RawPath;
use crate::limits::DEPARTURE_AHEAD_MAX;
use crate::socket::{gso_refusal, soft_retries, train_segments_max};
use crate::timing::Timing;
use crate::uring::{Refused, Turn};
use crate::{Arena, Backend, Socket, sys};
use own_ring::OwnRing;

pub use counters::{SendCounters, SendReport};

/// How long to leave a full device queue alone: it has no event to wait for.
const QUEUE_PAUSE: Duration = Duration::from_micros(200);

/// Sends for one thread.
#[derive(Debug)]
pub struct Sender {
    socket: Arc<Socket>,
    source: Option<IpAddr>,
    counters: SendCounters,
    /// The last reason said for `unreachable`, so that each is said once in a row.
    said: Option<i32>,
    timing: Timing,
    ring: OwnRing,
}

/// One `send` under way.
struct Job<'a> {
    path: RawPath,
    bytes: &'a [u8],
    segment: usize,
    /// Bytes done with: sent or dropped.
    done: usize,
    /// Up to here datagrams go singly: a train was refused.
    singly_until: usize,
    /// Why, if it was not their size.
    refusal: Option<io::Error>,
    /// Tries of the message at `done` that were told an earlier datagram's error.
    soft_tries: u32,
    patience: Duration,
    /// Set by the first wait.
    give_up_at: Option<Instant>,
}

impl Sender {
    /// A sender on `socket`, with the backend of the socket's caps.
    pub fn new(socket: Arc<Socket>) -> Self {
        let ring = OwnRing::new(socket.caps().backend == Backend::Uring, socket.may_try_uring());
        Self {
            socket,
            source: None,
            counters: SendCounters::default(),
            said: None,
            timing: Timing::new(),
            ring,
        }
    }

    /// From now on what is sent from `arena` may be lent to the kernel instead of copied, where the backend does
    /// that; where nobody forced one, a ring is tried on the first trains, and kept if that pays.
    ///
    /// Until it has come back the arena leases nobody what was lent of a released lease. Whoever keeps a lease
    /// must not write again to what he has sent of it before [`Sender::settle`] says so.
    ///
    /// # Panics
    /// If an arena is attached already.
    pub fn attach(&mut self, arena: &Arena) {
        self.ring.attach(arena.flight());
    }

    /// Takes in what the kernel has done with, and waits for the rest no longer than `patience`. Whether nothing
    /// is lent any more: then all that was released of the attached arena can be leased again.
    pub fn settle(&mut self, patience: Duration) -> bool {
        self.prepare_ring();
        self.ring.settle(patience, &mut self.counters)
    }

    fn prepare_ring(&mut self) {
        if let Err(cause) = self.ring.prepare() {
            self.leave_ring(&cause);
        }
    }

    /// From now on datagrams leave from `source`, one of this machine's addresses. `None`, or one of another
    /// family than the destination's, leaves the choice to the kernel.
    pub fn set_source(&mut self, source: Option<IpAddr>) {
        self.source = source;
    }

    /// The peer is on another path from now on: what the kernel refused on the last one is tried again, and refused
    /// again if need be. (Of departure times, and of rings, each new destination is asked by itself.)
    pub fn restart(&mut self) {
        self.socket.allow_gso();
    }

    /// Segments of `segment_bytes` that one train carries: min(44, ⌊65,507 ÷ segment⌋), at least 1.
    pub fn segments_max(&self, segment_bytes: usize) -> usize {
        train_segments_max(segment_bytes)
    }

    /// The backend in use now: the one of the caps until the kernel refuses it.
    pub fn backend(&self) -> Backend {
        let without = if self.socket.gso_works() { Backend::Gso } else { Backend::Sendmmsg };
        match self.socket.caps().backend {
            Backend::Uring | Backend::Gso if self.ring.is_chosen() => Backend::Uring,
            Backend::Uring | Backend::Gso => without,
            backend @ (Backend::Sendmmsg | Backend::Scalar) => backend,
        }
    }

    /// Sends `bytes`: datagrams of `segment_bytes` back to back, of which the last may be shorter.
    ///
    /// A full send buffer is waited for, at most `patience` in all; then the rest of this call is dropped.
    ///
    /// # Panics
    /// If `segment_bytes` is 0.
    pub fn send(
        &mut self,
        dest: SocketAddr,
        bytes: &[u8],
        segment_bytes: usize,
        patience: Duration,
    ) -> SendReport {
        self.timing.heading = Some((dest, self.source));
        self.send_when(dest, bytes, segment_bytes, patience, None)
    }

    /// As [`Sender::send`], to leave the machine at `departure`: the kernel keeps each train until then, if the
    /// route to `dest` is one that does. Else they go at once, and are counted as `departures_unkept`: whoever
    /// means to pace asks [`Sender::honours_departure`] first, and waits by himself if need be.
    ///
    /// A departure that is past is now; one farther ahead than [`DEPARTURE_AHEAD_MAX`] is that, and is counted as
    /// `departures_bounded`. Trains leave in the order of their
    /// departures, so one that is sent without any overtakes those that are kept.
    ///
    /// # Panics
    /// If `segment_bytes` is 0.
    pub fn send_at(
        &mut self,
        dest: SocketAddr,
        bytes: &[u8],
        segment_bytes: usize,
        patience: Duration,
        departure: Instant,
    ) -> SendReport {
        self.timing.heading = Some((dest, self.source));
        let ahead = departure.saturating_duration_since(Instant::now());
        if ahead.is_zero() {
            return self.send_when(dest, bytes, segment_bytes, patience, None);
        }
        let departure_ns = self.honours_departure().then(|| self.timing.on_kernels_clock(departure));
        let report = self.send_when(dest, bytes, segment_bytes, patience, departure_ns);
        match departure_ns {
            Some(_) => {
                self.counters.departures += report.sent;
                if ahead > DEPARTURE_AHEAD_MAX {
                    self.counters.departures_bounded += report.sent;
                }
            }
            None => self.counters.departures_unkept += report.sent,
        }
        report
    }

    /// Whether the route to the last destination keeps departure times: asked of the kernel when the destination
    /// or the source is new, and again every [`ROUTE_BELIEVED`](crate::limits::ROUTE_BELIEVED). `false` before
    /// the first send.
    pub fn honours_departure(&mut self) -> bool {
        self.timing.honours(&self.socket)
    }

    fn send_when(
        &mut self,
        dest: SocketAddr,
        bytes: &[u8],
        segment_bytes: usize,
        patience: Duration,
        departure_ns: Option<u64>,
    ) -> SendReport {
        assert!(segment_bytes > 0, "a datagram of no bytes is not sent from an arena");
        self.ring.head_for(dest);
        self.prepare_ring();
        let before = self.counters;
        match self.socket.raw_path(dest, self.source) {
            Ok(path) => self.run(Job {
                path: RawPath { departure_ns, ..path },
                bytes,
                segment: segment_bytes,
                done: 0,
                singly_until: 0,
                refusal: None,
                soft_tries: 0,
                patience,
                give_up_at: None,
            }),
            Err(error) => {
                let dropped = bytes.len().div_ceil(segment_bytes) as u64;
                self.counters.unreachable += dropped;
                self.counters.packets_send_dropped += dropped;
                self.say_unreachable(libc::EAFNOSUPPORT, &error);
            }
        }
        SendReport {
            sent: self.counters.datagrams - before.datagrams,
            dropped: self.counters.packets_send_dropped - before.packets_send_dropped,
            system_calls: self.counters.system_calls - before.system_calls,
        }
    }

    /// All that was done since `new`.
    pub fn counters(&self) -> SendCounters {
        self.counters
    }

    #[cfg(test)]
    pub(crate) fn timing_for_tests(&mut self) -> &mut Timing {
        &mut self.timing
    }

    fn run(&mut self, mut job: Job<'_>) {
        while job.done < job.bytes.len() {
            let singly = job.done < job.singly_until;
            let backend = self.backend();
            let in_trains = backend.has_trains() && self.socket.gso_works() && !singly;
            let segments = if in_trains { train_segments_max(job.segment) } else { 1 };
            let message = segments * job.segment;
            let rest = &job.bytes[job.done..if singly { job.singly_until } else { job.bytes.len() }];
            // One segment a message has no size to set, and one above 65,535 could not be cut.
            let size = if segments > 1 { u16::try_from(job.segment).ok() } else { None };
            let turn = if size.is_some() { self.ring.turn(rest, message) } else { None };
            let start = turn.map(|turn| (turn, Instant::now()));
            let backend = turn.map_or(backend, Turn::backend);
            match self.hand_over(backend, &job.path, rest, message, size) {
                Ok(messages) => {
                    let bytes = (messages * message).min(rest.len());
                    if let Some((turn, start)) = start {
                        let datagrams = bytes.div_ceil(job.segment);
                        self.ring.note_turn(turn, start.elapsed(), datagrams, messages, &mut self.counters);
                    }
                    self.note_sent(&mut job, bytes, message);
                }
                Err(Refused::Message(error)) => self.handle_error(&mut job, message.min(rest.len()), error),
                Err(Refused::Ring(cause)) => self.leave_ring(&cause),
            }
        }
    }

    /// Gives the kernel as many messages of `message` bytes as one call of `backend` carries.
    fn hand_over(
        &mut self,
        backend: Backend,
        path: &RawPath,
        bytes: &[u8],
        message: usize,
        segment: Option<u16>,
    ) -> Result<usize, Refused> {
        let fd = self.socket.as_fd();
        match (backend, self.ring.made()) {
            (Backend::Uring, Some(uring)) => {
                let sent = uring.send(fd, path, bytes, message, segment);
                self.ring.count(&mut self.counters);
                sent
            }
            (Backend::Gso | Backend::Sendmmsg | Backend::Uring, _) => {
                self.counters.system_calls += 1;
                sys::send_many(fd, path, bytes, message, segment).map_err(Refused::Message)
            }
            (Backend::Scalar, _) => {
                self.counters.system_calls += 1;
                let datagram = &bytes[..bytes.len().min(message)];
                sys::send_one(fd, path, datagram, None).map(|()| 1).map_err(Refused::Message)
            }
        }
    }

    /// Goes on without a ring, for good.
    fn leave_ring(&mut self, cause: &dyn std::fmt::Display) {
        self.ring.leave(&mut self.counters);
        tracing::warn!(%cause, local = %self.socket.local_addr(), "io_uring is refused here: datagrams go without it");
    }

    fn note_sent(&mut self, job: &mut Job<'_>, bytes: usize, message: usize) {
        self.counters.datagrams += bytes.div_ceil(job.segment) as u64;
        self.counters.bytes += bytes as u64;
        if message > job.segment {
            // A last message of one segment is no train.
            let last = bytes % message;
            let single = last > 0 && last <= job.segment;
            self.counters.trains += (bytes.div_ceil(message) - usize::from(single)) as u64;
        }
        job.done += bytes;
        job.soft_tries = 0;
        if let Some(cause) = job.refusal.take() {
            // The very datagrams that were refused as a train are fine: it is trains that do not work.
            self.socket.refuse_gso(&cause);
        }
    }

    /// `message` is the length of the message at `job.done` that met the error.
    fn handle_error(&mut self, job: &mut Job<'_>, message: usize, error: io::Error) {
        if job.soft_tries < soft_retries(&error) {
            job.soft_tries += 1;
            self.counters.soft_errors += 1;
            self.socket.drain_errors();
            return;
        }
        job.soft_tries = 0;
        if message > job.segment && gso_refusal(&error) {
            self.counters.gso_refused += 1;
            job.singly_until = job.done + message;
            match error.raw_os_error() {
                Some(libc::EIO) => self.socket.refuse_gso(&error),
                Some(libc::EINVAL) => job.refusal = Some(error),
                _ => {}
            }
            return;
        }
        match error.raw_os_error() {
            Some(libc::EAGAIN) => self.wait_or_drop(job, libc::POLLOUT),
            Some(libc::ENOBUFS | libc::ENOMEM) => {
                self.counters.enobufs += 1;
                self.wait_or_drop(job, 0);
            }
            Some(libc::EMSGSIZE) => self.drop_too_large(job),
            Some(code @ (libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ECONNREFUSED)) => {
                self.say_unreachable(code, &error);
                self.drop_unreachable(job, job.bytes.len() - job.done);
            }
            code => {
                // Forbidden by a firewall, perhaps by chance: the next may pass.
                self.say_unreachable(code.unwrap_or(0), &error);
                self.drop_unreachable(job, message);
            }
        }
    }

    /// Waits for room while patience lasts (`events` 0: just a pause), else drops the rest of the job.
    fn wait_or_drop(&mut self, job: &mut Job<'_>, events: libc::c_short) {
        let now = Instant::now();
        let give_up_at = *job.give_up_at.get_or_insert(now + job.patience);
        let left = give_up_at.saturating_duration_since(now);
        if left.is_zero() {
            self.drop_bytes(job, job.bytes.len() - job.done);
            return;
        }
        self.counters.waits_full += 1;
        let left = if events == 0 { left.min(QUEUE_PAUSE) } else { left };
        match sys::wait(self.socket.as_fd(), events, None, Some(left)) {
            Ok(ready) if ready.errors => self.socket.drain_errors(),
            Ok(_) => {}
            // Never seen on a live socket; a pause keeps the loop bounded by patience all the same.
            Err(_) => std::thread::sleep(left.min(QUEUE_PAUSE)),
        }
    }

    /// All datagrams of full length meet the same refusal; the last one may be shorter and pass.
    fn drop_too_large(&mut self, job: &mut Job<'_>) {
        job.refusal = None;
        let rest = job.bytes.len() - job.done;
        let bytes = if rest > job.segment { rest - rest % job.segment } else { rest };
        self.counters.emsgsize += bytes.div_ceil(job.segment) as u64;
        self.drop_bytes(job, bytes);
    }

    fn drop_unreachable(&mut self, job: &mut Job<'_>, bytes: usize) {
        self.counters.unreachable += bytes.div_ceil(job.segment) as u64;
        self.drop_bytes(job, bytes);
    }

    fn drop_bytes(&mut self, job: &mut Job<'_>, bytes: usize) {
        self.counters.packets_send_dropped += bytes.div_ceil(job.segment) as u64;
        job.done += bytes;
    }

    fn say_unreachable(&mut self, code: i32, cause: &dyn std::fmt::Display) {
        if self.said != Some(code) {
            self.said = Some(code);
            tracing::warn!(%cause, "datagrams cannot be sent; they are counted as packets_send_dropped");
        }
    }
}
