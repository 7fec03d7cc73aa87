//! One UDP port, opened with everything this machine allows.
//!
//! Promises: non-blocking, don't-fragment, dual-stack where the address is `[::]`; what was wanted and not got
//! is in [`Caps`]. Refuses: to share its port, and to go on where don't-fragment cannot be set.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::addr::{Family, RawAddr, RawPath, RawSource};
use crate::limits::{SOCKET_BUFFER_BYTES, SOFT_RETRIES_MAX, TRAIN_BYTES_MAX, TRAIN_SEGMENTS_MAX};
use crate::route::{Departures, Routes};
use crate::{Backend, Caps, NetError, mapping, probe, sys, uring};

/// What a [`Socket`] is to be.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// Where to bind. `[::]` speaks both families; port 0 takes any.
    pub bind: SocketAddr,
    /// Payload bytes each of the two kernel buffers should hold.
    pub buffer_bytes: usize,
    /// A backend forced by a person; `None` takes the fastest that works.
    pub backend: Option<Backend>,
}

impl SocketConfig {
    /// The usual buffers and the fastest backend at `bind`.
    pub fn new(bind: SocketAddr) -> Self {
        Self { bind, buffer_bytes: SOCKET_BUFFER_BYTES, backend: None }
    }
}

/// One bound UDP socket. Shared (`Arc`) by a [`Sender`](crate::Sender), a [`Receiver`](crate::Receiver) and
/// the control plane.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    family: Family,
    local: SocketAddr,
    caps: Caps,
    /// Nobody forced a backend.
    chooses: bool,
    /// The kernel refused a train while running: trains are not tried again.
    gso_refused: AtomicBool,
    /// Who has last said that nobody listens there. Locked when an error came, never for a datagram.
    refused: Mutex<Option<SocketAddr>>,
    /// Where it can be asked what a route keeps.
    routes: Option<Routes>,
    tally: Tally,
}

/// Written by whichever threads call [`Socket::send_to`].
#[derive(Debug, Default)]
struct Tally {
    datagrams: AtomicU64,
    bytes: AtomicU64,
    system_calls: AtomicU64,
    packets_send_dropped: AtomicU64,
    gso_refused: AtomicU64,
    emsgsize: AtomicU64,
    errors_drained: AtomicU64,
}

/// What [`Socket::send_to`] has done, and what the error queue held. (A [`Sender`](crate::Sender) counts for
/// itself.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    /// Datagrams the kernel took.
    pub datagrams: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// System calls made for them.
    pub system_calls: u64,
    /// Datagrams finally not sent, whatever the cause.
    pub packets_send_dropped: u64,
    /// Batches that the kernel refused to cut, which then went one by one.
    pub gso_refused: u64,
    /// Datagrams larger than the path takes (also in `packets_send_dropped`).
    pub emsgsize: u64,
    /// Errors read from the error queue: unreachable peers, local refusals.
    pub errors_drained: u64,
}

impl Socket {
    /// Opens, binds and probes.
    ///
    /// # Errors
    /// [`NetError::Create`], [`NetError::Bind`], [`NetError::Option`] if the port cannot be had as it must be;
    /// [`NetError::BackendUnavailable`] if the backend asked for does not work here.
    pub fn open(config: &SocketConfig) -> Result<Self, NetError> {
        let mut fallbacks = Vec::new();
        let (fd, bind) = probe::create(config.bind, &mut fallbacks)?;
        let family = Family::of(bind);
        let dual_stack = probe::require_options(fd.as_fd(), bind)?;
        let error_queue = probe::error_queue(fd.as_fd(), family, dual_stack, &mut fallbacks);
        let local_ip = probe::local_ip(fd.as_fd(), family, &mut fallbacks);
        let mut wish = |wanted, level, name| {
            let done = sys::set_option(fd.as_fd(), level, name, 1);
            probe::note(done, wanted, &mut fallbacks)
        };
        let drop_count = wish("kernel drop count", libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
        let gro = wish("gro", libc::SOL_UDP, libc::UDP_GRO);
        let routes = probe::departures(fd.as_fd(), &mut fallbacks);
        let send_buffer_bytes =
            probe::buffer(fd.as_fd(), &probe::SEND_BUFFER, config.buffer_bytes, &mut fallbacks);
        let receive_buffer_bytes =
            probe::buffer(fd.as_fd(), &probe::RECEIVE_BUFFER, config.buffer_bytes, &mut fallbacks);
        let gso = probe::gso(fd.as_fd());
        let uring = uring::probe();
        let backend = probe::choose(config.backend, &gso, &uring)?;
        let gso = probe::note(gso, "gso", &mut fallbacks);
        let uring = match config.backend {
            Some(Backend::Uring) => probe::note(uring, "io_uring", &mut fallbacks),
            // Nobody is missing it.
            Some(Backend::Gso | Backend::Sendmmsg | Backend::Scalar) | None => uring.is_ok(),
        };
        let raw = RawAddr::encode(bind, family).expect("the family is the address's own");
        sys::bind(fd.as_fd(), &raw).map_err(|source| NetError::Bind { bind, source })?;
        let local = sys::local_addr(fd.as_fd())
            .map_err(|source| NetError::Option { option: "getsockname", source })?;
        let caps = Caps {
            backend,
            gso,
            uring,
            gro,
            dual_stack,
            drop_count,
            error_queue,
            local_ip,
            txtime: routes.is_some(),
            huge_pages: mapping::huge_pages(),
            send_buffer_bytes,
            receive_buffer_bytes,
            fallbacks,
        };
        Ok(Self {
            fd,
            family,
            local,
            caps,
            chooses: config.backend.is_none(),
            gso_refused: AtomicBool::new(false),
            refused: Mutex::new(None),
            routes,
            tally: Tally::default(),
        })
    }

    /// The address bound, with the port the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What the machine gave.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Whether a sender may try a ring by itself.
    pub(crate) fn may_try_uring(&self) -> bool {
        self.chooses && self.caps.uring && self.caps.backend == Backend::Gso
    }

    /// Whether the kernel still cuts trains: probed at open, and not refused since.
    pub fn gso_works(&self) -> bool {
        self.caps.gso && !self.gso_refused.load(Ordering::Relaxed)
    }

    /// Sends one datagram, or with `segment_bytes` a batch of equal datagrams (the last may be shorter),
    /// without waiting. For the control plane; media goes by a [`Sender`](crate::Sender).
    ///
    /// They leave from `source`, one of this machine's addresses: an answer comes from the address that was
    /// asked. `None`, or one of another family than `dest`, leaves the choice to the kernel.
    ///
    /// A full send buffer and a datagram too large for the path (QUIC probes for that) are counted in
    /// [`SocketCounters`] and are no error.
    ///
    /// # Errors
    /// [`NetError::FamilyMismatch`] if this socket cannot reach `dest`; [`NetError::Send`] for anything that
    /// waiting does not cure (no route, forbidden by a firewall). What was not sent is counted then, too.
    pub fn send_to(
        &self,
        dest: SocketAddr,
        source: Option<IpAddr>,
        bytes: &[u8],
        segment_bytes: Option<usize>,
    ) -> Result<(), NetError> {
        let path = self.raw_path(dest, source)?;
        let segment = segment_bytes.unwrap_or(bytes.len()).max(1);
        let mut in_trains = self.caps.backend.has_trains() && self.gso_works();
        let mut rest = bytes;
        loop {
            let most = if in_trains { train_segments_max(segment) * segment } else { segment };
            let (message, later) = rest.split_at(rest.len().min(most));
            let size = if message.len() > segment { u16::try_from(segment).ok() } else { None };
            match self.try_send(&path, message, size) {
                Ok(()) => self.count_sent(message.len().div_ceil(segment).max(1), message.len()),
                Err(error) if size.is_some() && gso_refusal(&error) => {
                    self.note_refusal(&error);
                    // What the train was refused for shows when its datagrams go one by one.
                    in_trains = false;
                    continue;
                }
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    self.tally.emsgsize.fetch_add(1, Ordering::Relaxed);
                    self.tally.packets_send_dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return self.drop_rest(dest, rest, segment, error),
            }
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// The destination of a datagram that was answered with "nobody listens on this port" since the last call
    /// (ECONNREFUSED, by ICMP): the last one, canonical. The network says so, and may lie; it is told when the
    /// next send or receive meets the report.
    pub fn take_refused(&self) -> Option<SocketAddr> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The counters of [`Socket::send_to`] and of the error queue.
    pub fn counters(&self) -> SocketCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SocketCounters {
            datagrams: read(&self.tally.datagrams),
            bytes: read(&self.tally.bytes),
            system_calls: read(&self.tally.system_calls),
            packets_send_dropped: read(&self.tally.packets_send_dropped),
            gso_refused: read(&self.tally.gso_refused),
            emsgsize: read(&self.tally.emsgsize),
            errors_drained: read(&self.tally.errors_drained),
        }
    }

    pub(crate) fn raw_path(&self, dest: SocketAddr, source: Option<IpAddr>) -> Result<RawPath, NetError> {
        let raw = RawAddr::encode(dest, self.family);
        let source = source.and_then(|source| RawSource::encode(source, dest, self.family));
        raw.map(|dest| RawPath { dest, source, departure_ns: None })
            .ok_or(NetError::FamilyMismatch { dest, local: self.local })
    }

    /// What becomes of departure times on the way to `dest`. A few system calls.
    pub(crate) fn departures(&self, dest: SocketAddr, source: Option<IpAddr>) -> Departures {
        self.routes.as_ref().map_or(Departures::Unknown, |routes| routes.departures(dest, source))
    }

    /// Stops trains on this socket, and says so once.
    pub(crate) fn refuse_gso(&self, cause: &dyn Display) {
        if !self.gso_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(%cause, local = %self.local, "the kernel refuses to cut trains (GSO) here: each datagram is a message from now on");
        }
    }

    /// Lets trains be tried again: the way is another, and may have what the last one lacked.
    pub(crate) fn allow_gso(&self) {
        self.gso_refused.store(false, Ordering::Relaxed);
    }

    /// Reads the error queue away.
    pub(crate) fn drain_errors(&self) {
        let drained = sys::drain_errors(self.as_fd(), |dest, errno| {
            if let (Some(dest), Some(libc::ECONNREFUSED)) = (dest, errno) {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(dest);
            }
        });
        self.tally.errors_drained.fetch_add(drained as u64, Ordering::Relaxed);
    }

    fn note_refusal(&self, error: &io::Error) {
        self.tally.gso_refused.fetch_add(1, Ordering::Relaxed);
        if error.raw_os_error() == Some(libc::EIO) {
            self.refuse_gso(error);
        }
    }

    /// One send. An error that an earlier datagram caused is taken away and the send tried again.
    fn try_send(&self, path: &RawPath, bytes: &[u8], segment: Option<u16>) -> io::Result<()> {
        let mut tries = 0;
        loop {
            self.tally.system_calls.fetch_add(1, Ordering::Relaxed);
            match sys::send_one(self.as_fd(), path, bytes, segment) {
                Err(error) if tries < soft_retries(&error) => {
                    tries += 1;
                    self.drain_errors();
                }
                other => return other,
            }
        }
    }

    fn count_sent(&self, datagrams: usize, bytes: usize) {
        self.tally.datagrams.fetch_add(datagrams as u64, Ordering::Relaxed);
        self.tally.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn drop_rest(
        &self,
        dest: SocketAddr,
        rest: &[u8],
        segment: usize,
        source: io::Error,
    ) -> Result<(), NetError> {
        let dropped = rest.len().div_ceil(segment).max(1) as u64;
        self.tally.packets_send_dropped.fetch_add(dropped, Ordering::Relaxed);
        let full = source.kind() == io::ErrorKind::WouldBlock || source.raw_os_error() == Some(libc::ENOBUFS);
        if full { Ok(()) } else { Err(NetError::Send { dest, source }) }
    }
}

impl AsFd for Socket {
    /// For options this crate has no verb for. The descriptor stays non-blocking and bound.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Segments of `segment_bytes` that one train carries: at least one.
pub(crate) fn train_segments_max(segment_bytes: usize) -> usize {
    (TRAIN_BYTES_MAX / segment_bytes.max(1)).clamp(1, TRAIN_SEGMENTS_MAX)
}

/// How often a send with this error is worth another try at once: the kernel reports an earlier datagram's
/// fate on the next call, and takes the report away by that.
pub(crate) fn soft_retries(error: &io::Error) -> u32 {
    match error.raw_os_error() {
        Some(
            libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENOPROTOOPT
            | libc::EPROTO
            | libc::EACCES
            | libc::EOPNOTSUPP
            | libc::ENONET,
        ) => SOFT_RETRIES_MAX,
        // Mostly this call's own: one more try tells.
        Some(libc::EMSGSIZE) => 1,
        _ => 0,
    }
}

/// Errors of a receiving call that are this program's own: no such socket, no such memory. Whatever else there is,
/// somebody else's ICMP put it there, and it must not end the loop.
pub(crate) fn is_own_fault(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL | libc::ENOMEM | libc::ENOSYS)
    )
}

/// Errors by which the kernel refuses a train whose datagrams may be fine: no checksum offload or IPsec on
/// the way (EIO), segments above the path's MTU or no such option (EINVAL, EMSGSIZE).
pub(crate) fn gso_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}
