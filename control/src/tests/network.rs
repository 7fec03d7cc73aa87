//! A seeded network: delay, loss, reorder, duplication and an MTU, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// SplitMix64: small, seeded, good enough to lose datagrams by.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// Prints its seed, so that a failure can be played again with `PUNKTFUNK_TEST_SEED`.
    pub(super) fn announced(name: &str, seed: u64) -> Self {
        let seed = match std::env::var("PUNKTFUNK_TEST_SEED") {
            Ok(text) => text.parse().expect("PUNKTFUNK_TEST_SEED is a number"),
            Err(_) => seed,
        };
        eprintln!("{name}: seed {seed}");
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn one_in_per_mille(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// One direction's manners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) delay_us: (u64, u64),
    pub(super) lost_per_mille: u64,
    pub(super) twice_per_mille: u64,
    /// Whether the jitter of `delay_us` may let a datagram overtake another.
    pub(super) reorders: bool,
    pub(super) udp_payload_bytes_max: usize,
}

impl Way {
    /// A quiet LAN: 100 to 150 µs, no loss.
    pub(super) const LAN: Way = Way {
        delay_us: (100, 150),
        lost_per_mille: 0,
        twice_per_mille: 0,
        reorders: false,
        udp_payload_bytes_max: 1472,
    };

    /// A bad radio link.
    pub(super) const BAD: Way = Way {
        delay_us: (500, 12_000),
        lost_per_mille: 150,
        twice_per_mille: 100,
        reorders: true,
        udp_payload_bytes_max: 1472,
    };
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

pub(super) struct Network {
    pub(super) rng: Rng,
    pub(super) to_host: Way,
    pub(super) to_client: Way,
    flights: BinaryHeap<Reverse<Flight>>,
    number: u64,
    last_arrival: [Option<Instant>; 2],
}

impl Network {
    pub(super) fn new(rng: Rng, to_host: Way, to_client: Way) -> Self {
        Self { rng, to_host, to_client, flights: BinaryHeap::new(), number: 0, last_arrival: [None; 2] }
    }

    pub(super) fn send(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        toward_host: bool,
        bytes: &[u8],
        now: Instant,
    ) {
        assert!(bytes[0] >= 0x40, "the first byte {:#04x} is media's", bytes[0]);
        let way = if toward_host { self.to_host } else { self.to_client };
        if bytes.len() > way.udp_payload_bytes_max || self.rng.one_in_per_mille(way.lost_per_mille) {
            return;
        }
        let copies = 1 + u64::from(self.rng.one_in_per_mille(way.twice_per_mille));
        for _ in 0..copies {
            let (least, most) = way.delay_us;
            let mut at = now + Duration::from_micros(least + self.rng.below(most - least + 1));
            if !way.reorders {
                let last = &mut self.last_arrival[usize::from(toward_host)];
                at = at.max(last.unwrap_or(at));
                *last = Some(at);
            }
            self.number += 1;
            self.flights.push(Reverse(Flight { at, number: self.number, from, to, bytes: bytes.to_vec() }));
        }
    }

    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.flights.peek().map(|flight| flight.0.at)
    }

    pub(super) fn arrive(&mut self, now: Instant) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        if self.next_arrival()? > now {
            return None;
        }
        self.flights.pop().map(|Reverse(flight)| (flight.from, flight.to, flight.bytes))
    }
}
