//! The bare twin: the same bytes at the same cadence over UDP, and nothing else.
//!
//! What it shares with the data plane is the UDP edge: datagrams of the same length, sent in GSO trains from one
//! contiguous arena, received in GRO batches, at the priority that the engine's stages ask for, blocking or spinning as
//! they do. It has no parity, no cipher, no pacing, no second thread, and copies nothing; it counts datagrams. So it is
//! what the kernel and the machine cost at that moment, and figures of the data plane are quoted as ratios to it.
//!
//! Promises: an access unit counts as arrived with its last datagram. Refuses: to recover one that is short.

use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_net::{Arena, Lease, NetError, ReceiveLimits, Receiver, Sender, Socket, SocketConfig};
use punktfunk_perf::Stage;
use punktfunk_proto::DATAGRAM_OVERHEAD;

use crate::cadence::Cadence;
use crate::case::{Case, Waiting};
use crate::error::PerfProgramError;
use crate::machine;
use crate::meter::{Meter, Totals};
use crate::os;
use crate::talk::{Answer, ClientSetup, HostSetup, Order, Orders, answer};

/// How long a blocking end waits before it looks at its orders.
const LOOK: Duration = Duration::from_millis(10);

/// Access units that may be open at a time: loopback hardly reorders, and an old one will not be completed.
const OPEN_AUS: usize = 8;

const MARK_BYTES: usize = 32;

/// What each datagram begins with. The first byte is 0, as media's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    au: u32,
    datagrams: u32,
    idr: bool,
    stamp_ns: u64,
    au_bytes: u32,
}

impl Mark {
    fn write(self, out: &mut [u8]) {
        out[..4].copy_from_slice(&[0, u8::from(self.idr), b'T', b'W']);
        out[4..8].copy_from_slice(&self.au.to_le_bytes());
        out[8..12].copy_from_slice(&self.datagrams.to_le_bytes());
        out[12..16].copy_from_slice(&self.au_bytes.to_le_bytes());
        out[16..24].copy_from_slice(&self.stamp_ns.to_le_bytes());
    }

    fn parse(datagram: &[u8]) -> Option<Mark> {
        let (head, _) = datagram.split_first_chunk::<MARK_BYTES>()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[0] != 0 || &head[2..4] != b"TW" {
            return None;
        }
        let stamp_ns = u64::from(word(16)) | u64::from(word(20)) << 32;
        Some(Mark { au: word(4), datagrams: word(8), au_bytes: word(12), idr: head[1] == 1, stamp_ns })
    }
}

/// The sending end.
struct Sending {
    case: Case,
    arena: Arena,
    lease: Option<Lease>,
    sender: Sender,
    setup: HostSetup,
    next_au: u32,
    passed_over: u64,
}

/// Sends until told to stop.
///
/// # Errors
/// No socket.
pub fn send(setup: &HostSetup, orders: &Orders) -> Result<(), PerfProgramError> {
    let socket = Arc::new(Socket::open(&SocketConfig::new(setup.bind))?);
    let address = socket.local_addr();
    let words = vec![socket.caps().to_string(), priority()];
    let mut meter = Meter::new("twin-send", Vec::new(), None, Instant::now())?;
    let mut sending = Sending::new(setup, socket)?;
    answer(&Answer::Ready { address, setup: words });
    let mut cadence = None;
    loop {
        match orders.poll() {
            Some(Order::Go) => {
                cadence = Some(Cadence::new(setup.case.interval(), Instant::now()));
                answer(&Answer::Done);
            }
            Some(Order::Mark) => {
                meter.mark(sending.totals());
                answer(&Answer::Done);
            }
            Some(Order::Report) => answer(&Answer::Window(Box::new(meter.window(sending.totals())))),
            Some(Order::Change(_)) => answer(&Answer::Done),
            Some(Order::Stop) => {
                answer(&Answer::Window(Box::new(meter.window(sending.totals()))));
                return Ok(());
            }
            None => {}
        }
        let Some(cadence) = &mut cadence else {
            std::thread::park_timeout(LOOK);
            continue;
        };
        if let Some(due) = cadence.wait(LOOK) {
            sending.passed_over += due.passed_over;
            sending.send_au();
        }
    }
}

impl Sending {
    fn new(setup: &HostSetup, socket: Arc<Socket>) -> Result<Sending, NetError> {
        let (unit, large) = setup.case.au_bytes();
        let datagrams = datagrams(&setup.case, unit.max(large));
        let mut arena = Arena::new(datagrams * stride(&setup.case) + 4_096)?;
        let lease = arena.lease(datagrams * stride(&setup.case));
        if let Some(lease) = &lease {
            arena.bytes_mut(lease).fill(0x5a);
        }
        let (case, sender, setup) = (setup.case.clone(), Sender::new(socket), setup.clone());
        Ok(Sending { case, arena, lease, sender, setup, next_au: 0, passed_over: 0 })
    }

    fn send_au(&mut self) {
        let idr = self.case.is_idr(self.next_au);
        let (unit, large) = self.case.au_bytes();
        let au_bytes = if idr { large } else { unit };
        let (datagrams, stride) = (datagrams(&self.case, au_bytes), stride(&self.case));
        let mark = Mark {
            au: self.next_au,
            datagrams: u32::try_from(datagrams).unwrap_or(u32::MAX),
            idr,
            stamp_ns: machine::monotonic_ns(),
            au_bytes: u32::try_from(au_bytes).unwrap_or(u32::MAX),
        };
        self.next_au += 1;
        let Some(lease) = &self.lease else { return };
        let bytes = &mut self.arena.bytes_mut(lease)[..datagrams * stride];
        bytes.chunks_exact_mut(stride).for_each(|datagram| mark.write(datagram));
        let patience = self.case.interval();
        let bytes = &self.arena.bytes(lease)[..datagrams * stride];
        self.sender.send(self.setup.destination, bytes, stride, patience);
    }

    fn totals(&self) -> Totals {
        let sent = self.sender.counters();
        Totals {
            apart_ns: 0,
            counters: vec![
                ("encoded", u64::from(self.next_au)),
                ("superseded", self.passed_over),
                ("datagrams", sent.datagrams),
                ("wire_bytes", sent.bytes),
                ("trains", sent.trains),
                ("system_calls", sent.system_calls),
                ("packets_send_dropped", sent.packets_send_dropped),
                ("waits_full", sent.waits_full),
            ],
            gauges: Vec::new(),
        }
    }
}

fn stride(case: &Case) -> usize {
    usize::from(case.shard_bytes) + DATAGRAM_OVERHEAD
}

fn datagrams(case: &Case, au_bytes: usize) -> usize {
    au_bytes.div_ceil(usize::from(case.shard_bytes)).max(1)
}

/// Says which priority the calling thread has got.
fn priority() -> String {
    match os::become_realtime() {
        Ok(()) => "SCHED_FIFO".to_owned(),
        Err(error) => format!("ordinary priority (SCHED_FIFO refused: {error})"),
    }
}

/// What has come of the newest access units.
#[derive(Debug, Default)]
struct Open {
    aus: [Option<(u32, u32)>; OPEN_AUS],
    whole: u64,
    bytes: u64,
    datagrams: u64,
    malformed: u64,
}

impl Open {
    /// Counts a datagram; says its mark when it completes its access unit.
    fn take(&mut self, datagram: &[u8]) -> Option<Mark> {
        let Some(mark) = Mark::parse(datagram) else {
            self.malformed += 1;
            return None;
        };
        self.datagrams += 1;
        let place = &mut self.aus[mark.au as usize % OPEN_AUS];
        let came = match place {
            Some((au, came)) if *au == mark.au => {
                *came += 1;
                *came
            }
            Some((au, _)) if mark.au.wrapping_sub(*au).cast_signed() < 0 => return None,
            Some(_) | None => {
                *place = Some((mark.au, 1));
                1
            }
        };
        if came != mark.datagrams {
            return None;
        }
        self.whole += 1;
        self.bytes += u64::from(mark.au_bytes);
        // Its place stays, so that a copy of a datagram opens nothing.
        Some(mark)
    }
}

/// Receives until told to stop.
///
/// # Errors
/// No socket, or one that is of no use any more.
pub fn receive(setup: &ClientSetup, orders: &Orders) -> Result<(), PerfProgramError> {
    let socket = Arc::new(Socket::open(&SocketConfig::new(setup.listen))?);
    let address = socket.local_addr();
    let mut receiver = Receiver::new(Arc::clone(&socket), ReceiveLimits::default())?;
    let words = vec![socket.caps().to_string(), priority()];
    answer(&Answer::Ready { address, setup: words });
    let mut meter = Meter::new("twin-receive", Vec::new(), None, Instant::now())?;
    let mut open = Open::default();
    loop {
        let patience = match setup.case.waiting {
            Waiting::Block => LOOK,
            Waiting::Spin => Duration::ZERO,
        };
        let batch = receiver.receive(Some(patience))?;
        for segment in batch {
            let Some(mark) = open.take(segment.bytes) else { continue };
            let stage = if mark.idr { Stage::IdrToReassembled } else { Stage::CaptureToReassembled };
            let spent = machine::monotonic_ns().saturating_sub(mark.stamp_ns);
            meter.record(stage, Duration::from_nanos(spent));
        }
        match orders.poll() {
            Some(Order::Go | Order::Change(_)) => answer(&Answer::Done),
            Some(Order::Mark) => {
                meter.mark(arrived(&open, &receiver));
                answer(&Answer::Done);
            }
            Some(Order::Report) => answer(&Answer::Window(Box::new(meter.window(arrived(&open, &receiver))))),
            Some(Order::Stop) => {
                answer(&Answer::Window(Box::new(meter.window(arrived(&open, &receiver)))));
                return Ok(());
            }
            None => {}
        }
    }
}

fn arrived(open: &Open, receiver: &Receiver) -> Totals {
    let came = receiver.counters();
    Totals {
        apart_ns: 0,
        counters: vec![
            ("whole", open.whole),
            ("bytes", open.bytes),
            ("datagrams", open.datagrams),
            ("malformed", open.malformed),
            ("kernel_drops", came.kernel_drops),
            ("batches", came.batches),
            ("system_calls", came.system_calls),
            ("waits", came.waits),
        ],
        gauges: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(au: u32, datagrams: u32) -> Vec<u8> {
        let mut bytes = vec![0x5a; 100];
        Mark { au, datagrams, idr: au == 0, stamp_ns: 7, au_bytes: 250 }.write(&mut bytes);
        bytes
    }

    #[test]
    fn an_access_unit_is_there_with_its_last_datagram() {
        let mut open = Open::default();
        assert_eq!(open.take(&datagram(0, 3)), None);
        assert_eq!(open.take(&datagram(1, 1)).map(|mark| mark.au), Some(1));
        assert_eq!(open.take(&datagram(0, 3)), None);
        assert_eq!(open.take(&datagram(0, 3)).map(|mark| mark.idr), Some(true));
        assert_eq!((open.whole, open.bytes, open.datagrams), (2, 500, 4));
    }

    #[test]
    fn one_that_is_short_is_pushed_out() {
        let mut open = Open::default();
        open.take(&datagram(3, 2));
        assert!(open.take(&datagram(3 + OPEN_AUS as u32, 1)).is_some());
        assert_eq!(open.take(&datagram(3, 2)), None, "too late");
        assert_eq!(open.whole, 1);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_counted(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut open = Open::default();
            open.take(&bytes);
            prop_assert_eq!(open.datagrams + open.malformed, 1);
        }
    }
}
