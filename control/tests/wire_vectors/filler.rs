//! A speed test's filler: datagrams as they arrive, which of them count, and what the receiver says of each test then.

use std::time::{Duration, Instant};

use punktfunk_proto::{DATAGRAM_OVERHEAD, FillerMeter, Flags, HEADER_BYTES, Header};
use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret};
use serde_json::{Value, json};

use crate::bench::hex;
use crate::keys::cipher_name;

const SHARD_BYTES: usize = 64;

/// The longest shard of the session.
const SHARD_BYTES_MAX: u16 = 256;

fn keys(plane: Plane) -> PlaneKeys {
    PlaneKeys::new(&Secret::new(crate::secret()), Cipher::Aes128Gcm, Direction::HostToClient, plane)
}

/// A burst of nine datagrams of data and one of parity.
fn header(test: u16, burst: u32, shard: u16, pts_us: u32) -> Header {
    Header {
        plane: Plane::Probe,
        epoch_low: 0,
        flags: Flags::NONE,
        shard,
        sequence: 0,
        au: burst,
        pts_us,
        k: 9,
        m: 1,
        block: test,
        tail: 0,
    }
}

struct Steps {
    start: Instant,
    sealer: Sealer,
    meter: FillerMeter,
    steps: Vec<Value>,
}

impl Steps {
    fn sealed(&mut self, header: Header, shard_bytes: usize) -> Vec<u8> {
        let ticket = self.sealer.reserve(self.start).unwrap();
        let mut datagram = vec![0; shard_bytes + DATAGRAM_OVERHEAD];
        let (head, sealed) = datagram.split_first_chunk_mut::<HEADER_BYTES>().unwrap();
        Header { epoch_low: ticket.epoch_low(), sequence: ticket.sequence(), ..header }.write(head);
        self.sealer.seal(ticket, head, &vec![0x5a; shard_bytes], 0, sealed);
        datagram
    }

    fn arrive(&mut self, at_us: u64, what: &str, datagram: &[u8]) {
        let counts = self.meter.handle_datagram(datagram, self.start + Duration::from_micros(at_us));
        self.steps.push(json!({ "at_us": at_us, "what": what, "datagram": hex(datagram), "counts": counts }));
    }

    fn come(&mut self, at_us: u64, what: &str, header: Header) -> Vec<u8> {
        let datagram = self.sealed(header, SHARD_BYTES);
        self.arrive(at_us, what, &datagram);
        datagram
    }

    /// What is said of a test between two arrivals.
    fn says(&mut self, test: u16) {
        let seen = self.meter.seen(test);
        let says = json!({
            "test": test, "datagrams": seen.datagrams, "wire_bytes": seen.wire_bytes, "span_us": seen.span_us,
            "by_position": seen.by_position, "delay_p50_us": seen.delay_p50_us, "delay_p99_us": seen.delay_p99_us,
            "epoch_opened": seen.epoch_opened,
        });
        self.steps.push(json!({ "says": says }));
    }
}

pub(crate) fn vectors() -> Value {
    let start = Instant::now();
    let opener = Opener::new(keys(Plane::Probe), 65_536);
    let meter = FillerMeter::new(opener, SHARD_BYTES_MAX, start);
    let mut all = Steps { start, sealer: Sealer::new(keys(Plane::Probe), start), meter, steps: Vec::new() };
    let first = all.come(7_000, "the first of test 65535", header(u16::MAX, 0, 0, 1_000));
    for shard in 1..8 {
        // Two to a train; the seventh and the eighth queue for 3 ms.
        let queued = if shard >= 6 { 3_000 } else { 0 };
        let departure = 1_000 + u32::from(shard) / 2 * 100;
        all.come(6_000 + u64::from(departure) + queued, "another", header(u16::MAX, 0, shard, departure));
    }
    all.arrive(10_500, "once more", &first);
    let mut video = Sealer::new(keys(Plane::Video), start);
    std::mem::swap(&mut all.sealer, &mut video);
    all.come(10_600, "sealed by the video plane's key", header(u16::MAX, 1, 0, 4_000));
    std::mem::swap(&mut all.sealer, &mut video);
    for (what, bent) in [
        ("a flag", Header { flags: Flags::SLICE_END, ..header(u16::MAX, 1, 0, 4_000) }),
        ("a tail", Header { tail: 1, ..header(u16::MAX, 1, 0, 4_000) }),
        ("the video plane's number", Header { plane: Plane::Video, ..header(u16::MAX, 1, 0, 4_000) }),
        ("a place behind the last", Header { shard: 10, ..header(u16::MAX, 1, 0, 4_000) }),
        ("no parity", Header { m: 0, ..header(u16::MAX, 1, 0, 4_000) }),
    ] {
        all.come(10_700, what, bent);
    }
    let long = all.sealed(header(u16::MAX, 1, 0, 4_000), usize::from(SHARD_BYTES_MAX) + 64);
    all.arrive(10_800, "longer than was agreed on", &long);
    [u16::MAX, 0].into_iter().for_each(|test| all.says(test));
    all.come(20_000, "test 0 comes after 65535", header(0, 0, 9, u32::MAX - 99));
    all.come(20_200, "its clock wraps", header(0, 1, 0, 100));
    all.come(20_300, "a straggler of the test before", header(u16::MAX, 2, 0, 5_000));
    [u16::MAX, 0].into_iter().for_each(|test| all.says(test));
    json!({
        "about": "What a client makes of the probe plane's datagrams that arrive in this order, at_us on its clock: whether \
                  each counts; and what it says of a test when it is asked in between. See docs/wire.md, The speed test.",
        "secret": hex(&crate::secret()), "cipher": cipher_name(Cipher::Aes128Gcm),
        "shard_bytes_max": SHARD_BYTES_MAX, "steps": all.steps,
    })
}
