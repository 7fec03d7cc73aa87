//! The system calls: each wrapped once, with slices and numbers in place of pointers.
//!
//! Promises: every pointer handed to the kernel comes from a reference that outlives the call; interrupted
//! calls are tried again. Refuses: to judge an error; callers do.

use std::io;
use std::mem::{self, MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use crate::addr::{Family, RawAddr, RawPath};
use crate::control::{ReceivedControl, SendControl, Told};
use crate::limits::{DATAGRAMS_PER_CALL_MAX, ERRORS_PER_DRAIN_MAX, RECEIVE_BUFFERS_MAX, TRAINS_PER_CALL_MAX};

/// A new non-blocking UDP socket.
pub(crate) fn socket(family: Family) -> io::Result<OwnedFd> {
    let domain = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(domain, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    check(fd)?;
    // SAFETY: `fd` was just opened and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A new non-blocking event counter.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    check(fd)?;
    // SAFETY: `fd` was just opened and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A socket for questions to the routing tables of this thread's network namespace.
pub(crate) fn route_socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            libc::NETLINK_ROUTE,
        )
    };
    check(fd)?;
    // SAFETY: `fd` was just opened and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends plain bytes.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer is to `bytes`, alive here, and the length is theirs; the kernel only reads.
    let sent = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives plain bytes; says how many came, which is more than `into` holds where they were cut.
pub(crate) fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: the kernel writes at most `into.len()` bytes at `into`, which is borrowed mutably.
    let got = unsafe { libc::recv(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), flags) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Sets an integer socket option.
pub(crate) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_value(fd, level, name, &value)
}

/// Lets datagrams have departure times on `CLOCK_MONOTONIC` (`SO_TXTIME`).
pub(crate) fn allow_departures(fd: BorrowedFd<'_>) -> io::Result<()> {
    let value = libc::sock_txtime { clockid: libc::CLOCK_MONOTONIC, flags: 0 };
    set_value(fd, libc::SOL_SOCKET, libc::SO_TXTIME, &value)
}

fn set_value<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is alive, and the length given is its own; the kernel only reads.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), len) };
    check(done).map(drop)
}

/// The clock of departure times, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which is alive. The clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Reads an integer socket option.
pub(crate) fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: both pointers are to live values; the kernel writes at most `len` bytes, which is the value's size.
    let done =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len) };
    check(done).map(|_| value)
}

/// Binds a socket.
pub(crate) fn bind(fd: BorrowedFd<'_>, addr: &RawAddr) -> io::Result<()> {
    // SAFETY: `addr` is a live `sockaddr` of `len` bytes.
    check(unsafe { libc::bind(fd.as_raw_fd(), addr.as_ptr(), addr.len()) }).map(drop)
}

/// The address a socket is bound to.
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<std::net::SocketAddr> {
    let mut raw = RawAddr::default();
    let mut len = RawAddr::CAPACITY;
    // SAFETY: the kernel writes at most `CAPACITY` bytes, for which `raw` has room.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), raw.as_mut_ptr(), &raw mut len) })?;
    raw.decode().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Sends one message: a datagram, or with `segment_bytes` a train.
pub(crate) fn send_one(
    fd: BorrowedFd<'_>,
    path: &RawPath,
    bytes: &[u8],
    segment_bytes: Option<u16>,
) -> io::Result<()> {
    let control = SendControl::new(path, segment_bytes);
    let mut part = part_of(bytes);
    let message = message_of(&path.dest, &mut part, &control, segment_bytes.is_some());
    loop {
        // SAFETY: the header points to `path`, `part`, `control` and, through `part`, `bytes`, all alive here;
        // the kernel only reads them.
        let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends `bytes` as messages of `message_bytes` (the last may be shorter), as many as one call carries:
/// 8 trains where `segment_bytes` is given, 64 datagrams else. Returns how many messages went.
pub(crate) fn send_many(
    fd: BorrowedFd<'_>,
    path: &RawPath,
    bytes: &[u8],
    message_bytes: usize,
    segment_bytes: Option<u16>,
) -> io::Result<usize> {
    match segment_bytes {
        Some(_) => send_batch::<TRAINS_PER_CALL_MAX>(fd, path, bytes, message_bytes, segment_bytes),
        None => send_batch::<DATAGRAMS_PER_CALL_MAX>(fd, path, bytes, message_bytes, None),
    }
}

fn send_batch<const N: usize>(
    fd: BorrowedFd<'_>,
    path: &RawPath,
    bytes: &[u8],
    message_bytes: usize,
    segment_bytes: Option<u16>,
) -> io::Result<usize> {
    let control = SendControl::new(path, segment_bytes);
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; N];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; N];
    let mut count = 0;
    for ((chunk, part), message) in bytes.chunks(message_bytes).zip(&mut parts).zip(&mut messages) {
        let part = part.write(part_of(chunk));
        let train = segment_bytes.is_some_and(|segment| chunk.len() > usize::from(segment));
        let msg_hdr = message_of(&path.dest, part, &control, train);
        message.write(libc::mmsghdr { msg_hdr, msg_len: 0 });
        count += 1;
    }
    let count_c = libc::c_uint::try_from(count).expect("N is at most 64");
    loop {
        // SAFETY: the first `count` headers are initialised and point to `path`, `parts`, `control` and
        // `bytes`, all alive here; the kernel writes only their `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr().cast(), count_c, libc::MSG_NOSIGNAL)
        };
        if sent >= 0 {
            return Ok(sent.unsigned_abs() as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What belongs to one receive buffer beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    name: RawAddr,
    control: ReceivedControl,
    /// Where in the ring its payload begins.
    pub(crate) start: usize,
    /// Bytes that came, which may be more than the buffer holds.
    pub(crate) bytes: usize,
    /// What the kernel told beside them.
    pub(crate) told: Told,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            name: RawAddr::default(),
            control: ReceivedControl::new(),
            start: 0,
            bytes: 0,
            told: Told::default(),
        }
    }

    /// Reads what the kernel wrote before a payload in a provided buffer: the lengths of the name, the control
    /// messages and the payload, a word each, and one of flags; then, in rooms of fixed size, the first two.
    pub(crate) fn read_filled(&mut self, filled: &[u8], name_room: usize, control_room: usize) {
        let word = |at: usize| {
            let bytes = filled.get(at..).and_then(<[u8]>::first_chunk::<4>);
            bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes)) as usize
        };
        let rest = filled.get(16..).unwrap_or_default();
        let (name, rest) = rest.split_at(name_room.min(rest.len()));
        let control = &rest[..control_room.min(rest.len())];
        self.name = RawAddr::from_bytes(&name[..word(0).min(name.len())]);
        self.told = crate::control::parse(&control[..word(4).min(control.len())]);
        self.bytes = word(8);
    }

    #[cfg(test)]
    pub(crate) fn set_from(&mut self, from: std::net::SocketAddr) {
        self.name = RawAddr::encode(from, Family::of(from)).expect("the family is the address's own");
    }

    /// The sender, canonical.
    pub(crate) fn from(&self) -> Option<std::net::SocketAddr> {
        self.name.decode()
    }
}

/// Receives into `ring`, cut in buffers of `buffer_bytes`, one for each slot, without waiting. Returns how
/// many slots were filled (at least one, else the error says that nothing is there).
pub(crate) fn receive_many(
    fd: BorrowedFd<'_>,
    ring: &mut [u8],
    buffer_bytes: usize,
    slots: &mut [Slot],
) -> io::Result<usize> {
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; RECEIVE_BUFFERS_MAX];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; RECEIVE_BUFFERS_MAX];
    let mut count = 0;
    let places =
        ring.chunks_exact_mut(buffer_bytes).zip(slots.iter_mut()).zip(parts.iter_mut().zip(&mut messages));
    for ((buffer, slot), (part, message)) in places {
        let part = part.write(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() });
        let mut msg_hdr = empty_message();
        msg_hdr.msg_name = slot.name.as_mut_ptr().cast();
        msg_hdr.msg_namelen = RawAddr::CAPACITY;
        msg_hdr.msg_iov = part;
        msg_hdr.msg_iovlen = 1;
        msg_hdr.msg_control = slot.control.as_mut_ptr();
        msg_hdr.msg_controllen = ReceivedControl::CAPACITY;
        message.write(libc::mmsghdr { msg_hdr, msg_len: 0 });
        count += 1;
    }
    let filled = loop {
        // SAFETY: the first `count` headers are initialised; each points to a part, a slot and a buffer of its
        // own, mutably borrowed by this function and alive here, with their true lengths.
        let got = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                messages.as_mut_ptr().cast(),
                count,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                ptr::null_mut(),
            )
        };
        if got >= 0 {
            break got.unsigned_abs() as usize;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    for (index, (message, slot)) in messages.iter().zip(slots).take(filled).enumerate() {
        // SAFETY: `filled <= count`, and the first `count` headers are initialised.
        let message = unsafe { message.assume_init_ref() };
        slot.start = index * buffer_bytes;
        slot.bytes = message.msg_len as usize;
        slot.told = slot.control.read(message.msg_hdr.msg_controllen);
    }
    Ok(filled)
}

/// Reads away what the error queue holds (ICMP errors, local refusals), telling of each where the datagram
/// was to go and its `errno`; says how many there were.
pub(crate) fn drain_errors(
    fd: BorrowedFd<'_>,
    mut tell: impl FnMut(Option<std::net::SocketAddr>, Option<i32>),
) -> usize {
    for count in 0..ERRORS_PER_DRAIN_MAX {
        let mut slot = Slot::new();
        let mut message = empty_message();
        message.msg_name = slot.name.as_mut_ptr().cast();
        message.msg_namelen = RawAddr::CAPACITY;
        message.msg_control = slot.control.as_mut_ptr();
        message.msg_controllen = ReceivedControl::CAPACITY;
        // SAFETY: name and control point to `slot`, alive here, with their true lengths; there are no parts.
        let got = unsafe {
            libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
        };
        if got < 0 {
            return count;
        }
        tell(slot.from(), slot.control.read(message.msg_controllen).failure);
    }
    ERRORS_PER_DRAIN_MAX
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    /// The socket's error queue holds something.
    pub(crate) errors: bool,
    /// The other descriptor is readable.
    pub(crate) other: bool,
}

/// Waits for the socket's `events` or for `other` to be readable; `None` waits for ever. A signal ends the
/// wait early.
pub(crate) fn wait(
    socket: BorrowedFd<'_>,
    events: libc::c_short,
    other: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let entry = |fd: i32, events| libc::pollfd { fd, events, revents: 0 };
    // A negative descriptor is skipped by the kernel.
    let mut fds =
        [entry(socket.as_raw_fd(), events), entry(other.map_or(-1, |other| other.as_raw_fd()), libc::POLLIN)];
    let time = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `fds` has two entries; `time` is null or points to a live `timespec`; no signal mask is given.
    let got = unsafe { libc::ppoll(fds.as_mut_ptr(), 2, time, ptr::null()) };
    if got < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(Ready::default()) } else { Err(error) };
    }
    Ok(Ready { errors: fds[0].revents & libc::POLLERR != 0, other: fds[1].revents != 0 })
}

/// `bytes` as a part of a message.
pub(crate) fn part_of(bytes: &[u8]) -> libc::iovec {
    // The kernel only reads what is sent; the structure serves both ways and has one pointer type.
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// One message: a datagram, or a train. It points to all of its arguments.
pub(crate) fn message_of(
    dest: &RawAddr,
    part: &mut libc::iovec,
    control: &SendControl,
    train: bool,
) -> libc::msghdr {
    let mut message = empty_message();
    message.msg_name = dest.as_ptr().cast_mut().cast();
    message.msg_namelen = dest.len();
    message.msg_iov = part;
    message.msg_iovlen = 1;
    let control_bytes = control.len(train);
    if control_bytes > 0 {
        message.msg_control = control.as_ptr().cast_mut();
        message.msg_controllen = control_bytes;
    }
    message
}

/// A message of nothing to nobody.
pub(crate) fn empty_message() -> libc::msghdr {
    // SAFETY: a `msghdr` is pointers and integers, for which zero is a value.
    unsafe { mem::zeroed() }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
