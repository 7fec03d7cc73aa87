//! What the kernel's own tables know of a datagram's way: what keeps departure times on it, because setting them always
//! succeeds, and how long a packet its device takes.
//!
//! Promises: an answer is of the network namespace that the socket was opened in; asking never waits, and a
//! kernel that does not answer is one that keeps no times. Refuses: to believe anything but a qdisc that is
//! known to keep `CLOCK_MONOTONIC` times for everything that leaves by the device.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::limits::{QUEUE_ANSWERS_MAX, ROUTE_ANSWER_BYTES};
use crate::netlink::{Kind, Progress, Queues, Request, read_mtu, read_route};
use crate::sys;

/// The line to the routing tables. Locked when a route is asked for, never for a datagram.
#[derive(Debug)]
pub(crate) struct Routes {
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    fd: OwnedFd,
    sequence: u32,
}

/// What is known of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departures {
    /// A datagram leaves when it is told to.
    Kept,
    /// The device's root qdisc is of a kind that keeps none.
    Ignored(Kind),
    /// The kernel told of no device or no qdisc.
    Unknown,
}

impl fmt::Display for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Departures::Kept => f.write_str("the device's fq keeps departure times"),
            Departures::Ignored(Kind::Etf) => f.write_str(
                "the device's etf keeps times of another clock, and drops what has none; use fq in its place",
            ),
            Departures::Ignored(kind) => {
                write!(
                    f,
                    "the device's {} keeps no departure times; fq would: tc qdisc replace dev DEVICE root fq",
                    kind.name()
                )
            }
            Departures::Unknown => f.write_str("the kernel does not tell which qdisc the device has"),
        }
    }
}

impl Routes {
    /// A line to this thread's network namespace.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { line: Mutex::new(Line { fd: sys::route_socket()?, sequence: 0 }) })
    }

    /// What becomes of departure times on the way to `dest` from `source`.
    pub(crate) fn departures(&self, dest: SocketAddr, source: Option<IpAddr>) -> Departures {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(Some(device)) = line.device(dest, source) else { return Departures::Unknown };
        match line.queues(device) {
            Ok(queues) if queues.keep_departures() => Departures::Kept,
            Ok(queues) => queues.root().map_or(Departures::Unknown, Departures::Ignored),
            Err(_) => Departures::Unknown,
        }
    }

    /// The MTU of the device by which datagrams leave to `dest`. Not what the kernel has learned of the route: anybody
    /// can send the ICMP that it learns that from, and it believes it for ten minutes.
    pub(crate) fn device_mtu(&self, dest: SocketAddr) -> Option<u32> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let device = line.device(dest, None).ok()??;
        line.mtu(device).ok()?
    }
}

impl Line {
    fn mtu(&mut self, device: u32) -> io::Result<Option<u32>> {
        let sequence = self.next_sequence();
        let mut mtu = None;
        self.ask(&Request::device(sequence, device), |part| {
            let (told, progress) = read_mtu(part, sequence, device);
            mtu = told.or(mtu);
            progress
        })?;
        Ok(mtu)
    }

    fn device(&mut self, dest: SocketAddr, source: Option<IpAddr>) -> io::Result<Option<u32>> {
        let scope_id = match dest {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        let canonical = |ip: IpAddr| ip.to_canonical();
        let source = source.map(canonical).filter(|source| !source.is_unspecified());
        let sequence = self.next_sequence();
        let request = Request::route(sequence, canonical(dest.ip()), source, scope_id);
        let mut device = None;
        self.ask(&request, |part| {
            let (told, progress) = read_route(part, sequence);
            device = told.or(device);
            progress
        })?;
        Ok(device)
    }

    fn queues(&mut self, device: u32) -> io::Result<Queues> {
        let sequence = self.next_sequence();
        let mut queues = Queues::default();
        self.ask(&Request::queues(sequence), |part| queues.read(part, sequence, device))?;
        Ok(queues)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// The kernel answers while it is asked: a part that is not there will not come.
    fn ask(&self, request: &Request, mut take: impl FnMut(&[u8]) -> Progress) -> io::Result<()> {
        let mut answer = [0; ROUTE_ANSWER_BYTES];
        sys::write(self.fd.as_fd(), request.bytes())?;
        for _ in 0..QUEUE_ANSWERS_MAX {
            let came = sys::read(self.fd.as_fd(), &mut answer)?;
            match take(&answer[..came.min(answer.len())]) {
                Progress::More => {}
                Progress::Done => return Ok(()),
                Progress::Refused(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_keeps_no_departure_times_and_its_qdisc_is_named() {
        let routes = Routes::new().unwrap();
        for dest in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            let found = routes.departures(dest.parse().unwrap(), None);
            assert_ne!(found, Departures::Kept, "{dest}");
            let said = found.to_string();
            assert!(said.contains("noqueue") || found == Departures::Unknown, "{dest}: {said}");
        }
        let v4 = routes.departures("127.0.0.1:9".parse().unwrap(), Some("127.0.0.1".parse().unwrap()));
        assert!(matches!(v4, Departures::Ignored(Kind::Other(_))), "{v4}");
    }

    #[test]
    fn a_question_after_an_unread_answer_gets_its_own() {
        let routes = Routes::new().unwrap();
        let sequence = {
            let mut line = routes.line.lock().unwrap();
            let sequence = line.next_sequence();
            sys::write(line.fd.as_fd(), Request::queues(sequence).bytes()).unwrap();
            sequence
        };
        // The dump still under way may refuse the next one; then nothing is believed. Never a wrong answer.
        for _ in 0..3 {
            assert_ne!(routes.departures("127.0.0.1:9".parse().unwrap(), None), Departures::Kept);
        }
        assert!(routes.line.lock().unwrap().sequence > sequence);
    }
}
