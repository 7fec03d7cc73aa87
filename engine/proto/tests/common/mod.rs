//! A host and a client of the protocol core, joined by a vector of datagrams.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use punktfunk_fec::Encoder;
use punktfunk_proto::{
    BlockPlan, DeliveredBlock, Delivery, LostAu, Negotiated, Packetizer, Reassembler, ReassemblerLimits,
    seal_data, seal_parity,
};
use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret};

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1_000 < per_mille
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        bytes
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

pub fn negotiated() -> Negotiated {
    Negotiated::new(1408, 100_000, 60_000, 8, 100, 8 << 20).unwrap()
}

pub fn keys() -> PlaneKeys {
    let secret = Secret::new([7; 32]);
    PlaneKeys::new(&secret, Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
}

pub fn opener(limits: &ReassemblerLimits) -> Opener {
    Opener::new(keys(), limits.replay_window)
}

pub fn reassembler(negotiated: &Negotiated) -> Reassembler {
    let limits = ReassemblerLimits::from(negotiated);
    Reassembler::new(limits, opener(&limits))
}

/// One datagram as it was sent, and what it is.
#[derive(Clone, Debug)]
pub struct Sent {
    pub plan: BlockPlan,
    pub shard: usize,
    pub bytes: Vec<u8>,
}

pub struct Host {
    pub packetizer: Packetizer,
    pub sealer: Sealer,
    pub encoder: Encoder,
    pub now: Instant,
    pub next_au: u32,
}

impl Host {
    pub fn new(negotiated: &Negotiated) -> Self {
        let now = Instant::now();
        Self {
            packetizer: Packetizer::new(negotiated),
            sealer: Sealer::new(keys(), now),
            encoder: Encoder::new(),
            now,
            next_au: 0,
        }
    }

    /// The datagrams of the next AU, in order. With `late_end` its end is a block of its own.
    pub fn send(&mut self, slices: &[Vec<u8>], idr: bool, late_end: bool) -> Vec<Sent> {
        let au = self.next_au;
        self.next_au = self.next_au.wrapping_add(1);
        self.packetizer.begin(au, au.wrapping_mul(16_667), idr, false);
        let mut sent = Vec::new();
        for (index, slice) in slices.iter().enumerate() {
            let last = index + 1 == slices.len() && !late_end;
            for plan in self.packetizer.plan_slice(slice.len(), last).unwrap() {
                self.seal(&plan, slice, &mut sent);
            }
        }
        if late_end {
            let plan = self.packetizer.finish_empty().unwrap();
            self.seal(&plan, &[], &mut sent);
        }
        sent
    }

    pub fn seal(&mut self, plan: &BlockPlan, slice: &[u8], sent: &mut Vec<Sent>) {
        let mut slots = vec![0xEE; plan.slots_bytes()];
        let k = usize::from(plan.k);
        seal_data(plan, 0..k, slice, &mut slots, &mut self.sealer, self.now).unwrap();
        let parity = self.encoder.encode(plan.fec_shape().unwrap(), &slice[plan.range()]).unwrap();
        seal_parity(plan, &parity, &mut slots, &mut self.sealer, self.now).unwrap();
        for (shard, slot) in slots.chunks(plan.stride()).enumerate() {
            sent.push(Sent { plan: *plan, shard, bytes: slot.to_vec() });
        }
    }
}

/// What a client got, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    Block { au: u32, block: u16, last: bool, slice_end: bool, bytes: Vec<u8> },
    Lost { au: u32, count: u32, blocks_delivered: u16 },
}

/// Takes all that is ready and gives the spans back.
pub fn drain(reassembler: &mut Reassembler, now: Instant, got: &mut Vec<Got>) {
    while let Some(delivery) = reassembler.poll_delivery(now) {
        match delivery {
            Delivery::Block(DeliveredBlock { au, block, flags, span, .. }) => {
                let bytes = span.as_ref().to_vec();
                got.push(Got::Block {
                    au,
                    block,
                    last: flags.last_block(),
                    slice_end: flags.slice_end(),
                    bytes,
                });
                reassembler.give_back(span);
            }
            Delivery::Lost(LostAu { au, count, blocks_delivered, .. }) => {
                got.push(Got::Lost { au, count, blocks_delivered });
            }
        }
    }
}

/// Long after every deadline.
pub fn much_later(now: Instant) -> Instant {
    now + Duration::from_secs(60)
}

/// Slices of random lengths and contents; a zero-length one now and then.
pub fn random_slices(rng: &mut Rng, slices_max: usize, bytes_max: usize) -> Vec<Vec<u8>> {
    let slices = 1 + rng.below(slices_max);
    (0..slices)
        .map(|_| {
            let bytes = if rng.chance(50) { 0 } else { 1 + rng.below(bytes_max) };
            rng.bytes(bytes)
        })
        .collect()
}
