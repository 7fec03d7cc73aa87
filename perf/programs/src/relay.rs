//! A lossy hop: datagrams come in, most go out.
//!
//! Promises: which datagrams are lost depends on the seed and their order alone; what stays goes on in its order, in
//! trains where neighbours are equally long. Refuses: to lose anything but media, because the words beside it say where
//! reports go.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_net::{ReceiveLimits, Receiver, Sender, Socket, SocketConfig};
use punktfunk_proto::is_media;

use crate::error::PerfProgramError;
use crate::hello::Hello;
use crate::meter::{Meter, Totals};
use crate::talk::{Answer, Order, Orders, RelaySetup, answer};

/// How long it waits for datagrams before it looks at its orders.
const LOOK: Duration = Duration::from_millis(10);

/// How long a full send buffer may hold it up.
const PATIENCE: Duration = Duration::from_millis(5);

/// Datagrams of one length that are collected before they go on.
const HELD_BYTES_MAX: usize = 60_000;

/// What waits to go on.
struct Held {
    bytes: Vec<u8>,
    stride: usize,
    sender: Sender,
    destination: SocketAddr,
}

impl Held {
    fn add(&mut self, datagram: &[u8]) {
        if datagram.len() != self.stride || self.bytes.len() + datagram.len() > HELD_BYTES_MAX {
            self.pass_on();
        }
        self.stride = datagram.len();
        self.bytes.extend_from_slice(datagram);
    }

    fn pass_on(&mut self) {
        if !self.bytes.is_empty() {
            self.sender.send(self.destination, &self.bytes, self.stride.max(1), PATIENCE);
            self.bytes.clear();
        }
    }
}

/// Hands on until told to stop.
///
/// # Errors
/// No socket, or one that is of no use any more.
pub fn run(setup: &RelaySetup, orders: &Orders) -> Result<(), PerfProgramError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let inside = Arc::new(Socket::open(&SocketConfig::new(any))?);
    let outside = Arc::new(Socket::open(&SocketConfig::new(any))?);
    let address = inside.local_addr();
    answer(&Answer::Ready { address, setup: vec![format!("loses {} in a thousand", setup.loss_per_mille)] });
    let mut receiver = Receiver::new(inside, ReceiveLimits::default())?;
    let mut meter = Meter::new("relay", Vec::new(), None, Instant::now())?;
    let mut held = Held {
        bytes: Vec::with_capacity(HELD_BYTES_MAX),
        stride: 0,
        sender: Sender::new(outside),
        destination: setup.destination,
    };
    let (mut chance, mut lost, mut passed, mut strangers) = (Chance(setup.seed | 1), 0, 0, 0);
    loop {
        let batch = receiver.receive(Some(LOOK))?;
        for segment in batch {
            let media = segment.bytes.first().copied().is_some_and(is_media);
            if !media && Hello::parse(segment.bytes).is_none() {
                // A word beside media says at which port its sender listens; what is neither is a stranger's.
                strangers += 1;
            } else if media && chance.below(1_000) < u64::from(setup.loss_per_mille) {
                lost += 1;
            } else {
                passed += u64::from(media);
                held.add(segment.bytes);
            }
        }
        held.pass_on();
        let sent = held.sender.counters();
        let totals = Totals {
            counters: vec![
                ("lost", lost),
                ("passed", passed),
                ("strangers", strangers),
                ("datagrams", sent.datagrams),
                ("packets_send_dropped", sent.packets_send_dropped),
                ("kernel_drops", receiver.counters().kernel_drops),
            ],
            ..Totals::default()
        };
        match orders.poll() {
            Some(Order::Go | Order::Change(_)) => answer(&Answer::Done),
            Some(Order::Mark) => {
                meter.mark(totals);
                answer(&Answer::Done);
            }
            Some(Order::Report) => answer(&Answer::Window(Box::new(meter.window(totals)))),
            Some(Order::Stop) => {
                answer(&Answer::Window(Box::new(meter.window(totals))));
                return Ok(());
            }
            None => {}
        }
    }
}

/// A small generator: xorshift with Marsaglia's triple 13, 7, 17.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The high half is the better one.
        (self.0 >> 32) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_lost_is_the_one_asked_for_and_the_same_for_the_same_seed() {
        let lost = |seed| {
            let mut chance = Chance(seed);
            (0..100_000).filter(|_| chance.below(1_000) < 10).count()
        };
        assert!((850..1_150).contains(&lost(7)), "{}", lost(7));
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(9));
    }
}
