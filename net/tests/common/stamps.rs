//! A plain socket that tells when the kernel took each datagram in, on the clock that departures are told on.
//!
//! Promises: a moment is never earlier than it was, so that "too early" is proved where it is found. Refuses: to tell a
//! moment of its own: it stamps nothing.
#![allow(dead_code)] // each test file uses a part

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// A receiver of stamped datagrams.
pub(crate) struct Stamped {
    socket: UdpSocket,
    clocks: Clocks,
}

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Its first bytes.
    pub(crate) head: [u8; 16],
    pub(crate) bytes: usize,
    /// When it came.
    pub(crate) at: Instant,
}

/// What the wall clock that the kernel stamps by shows at a moment of this process's.
struct Clocks {
    at: Instant,
    wall_ns: i128,
}

fn wall_ns() -> i128 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970");
    i128::try_from(since.as_nanos()).expect("a few centuries")
}

impl Clocks {
    /// The closest pair of many readings; the wall clock is read before the other, so that what is computed from them is
    /// late and never early.
    fn new() -> Self {
        let read = || {
            let wall_ns = wall_ns();
            let at = Instant::now();
            (Self { at, wall_ns }, self::wall_ns() - wall_ns)
        };
        (0..200).map(|_| read()).min_by_key(|(_, apart)| *apart).expect("many were read").0
    }

    fn moment(&self, wall_ns: i128) -> Instant {
        let since = wall_ns - self.wall_ns;
        let apart = Duration::from_nanos(u64::try_from(since.unsigned_abs()).expect("a test is short"));
        if since >= 0 { self.at + apart } else { self.at.checked_sub(apart).expect("the machine was up") }
    }
}

impl Stamped {
    /// At `address`, in the network namespace of this thread.
    pub(crate) fn bind(address: &str) -> Self {
        let socket = UdpSocket::bind(address).expect("a socket");
        for (name, value) in [(libc::SO_TIMESTAMPNS, 1_i32), (libc::SO_RCVBUFFORCE, 16 << 20)] {
            // SAFETY: the value is a live `c_int` of the length given.
            let done = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    name,
                    (&raw const value).cast(),
                    size_of::<i32>() as libc::socklen_t,
                )
            };
            assert_eq!(done, 0, "option {name}: {}", std::io::Error::last_os_error());
        }
        Self { socket, clocks: Clocks::new() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }

    pub(crate) fn address(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("an address"), self.port())
    }

    /// The next `count` datagrams, or as many as come before nothing does for `quiet`.
    pub(crate) fn collect(&self, count: usize, quiet: Duration) -> Vec<Arrival> {
        self.socket.set_read_timeout(Some(quiet)).expect("a timeout is no wonder");
        std::iter::from_fn(|| self.receive()).take(count).collect()
    }

    fn receive(&self) -> Option<Arrival> {
        let mut bytes = [0_u8; 9_000];
        let mut control = [0_u64; 16];
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: a `msghdr` is pointers and integers, for which zero is a value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let got = loop {
            // SAFETY: everything that the header points to is alive here, with its true length.
            let got = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0) };
            // A thread whose ring has gone is interrupted.
            if got >= 0 || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
                break usize::try_from(got).ok()?;
            }
        };
        // SAFETY: the kernel filled the header; the message it gives is within `control`, or null.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() }.expect("the kernel stamps");
        assert_eq!((header.cmsg_level, header.cmsg_type), (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS));
        // SAFETY: a message of this kind holds a `timespec`, wherever it lies.
        let stamp: libc::timespec =
            unsafe { libc::CMSG_DATA(std::ptr::from_ref(header)).cast::<libc::timespec>().read_unaligned() };
        let wall_ns = i128::from(stamp.tv_sec) * 1_000_000_000 + i128::from(stamp.tv_nsec);
        let head = *bytes.first_chunk().expect("a long array");
        Some(Arrival { head, bytes: got, at: self.clocks.moment(wall_ns) })
    }
}

/// The median, the 99th percentile and the longest of `times`, in a line.
pub(crate) fn spread(times: &mut [Duration]) -> String {
    assert!(!times.is_empty(), "nothing was measured");
    times.sort_unstable();
    let of = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    format!("p50 {} µs, p99 {} µs, longest {} µs, of {}", of(50), of(99), of(100), times.len())
}
