//! An access unit to sealed datagrams and back, beside the bare libraries doing the same arithmetic and nothing else.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{Aad, Nonce};
use punktfunk_fec::Encoder;
use punktfunk_proto::{
    Delivery, Negotiated, Packetizer, Reassembler, ReassemblerLimits, seal_data, seal_parity,
};
use punktfunk_seal::{Opener, Sealer, TAG_BYTES};
use reed_solomon_simd::ReedSolomonEncoder;

use crate::aead::{SHARD_BYTES, keys, rival_key};
use crate::{Pair, Run, whole};

const SLOT_BYTES: usize = SHARD_BYTES + 40;
const DATA: usize = 370;
const PARITY: usize = 37;

struct Host {
    packetizer: Packetizer,
    encoder: Encoder,
    sealer: Sealer,
    au: u32,
    now: Instant,
}

fn negotiated() -> Negotiated {
    Negotiated::new(SHARD_BYTES as u16, 500_000, 120_000, 1, 100, 16 << 20)
        .expect("values within their ranges")
}

impl Host {
    fn new() -> Host {
        let now = Instant::now();
        let mut packetizer = Packetizer::new(&negotiated());
        packetizer.set_shard_bytes(SHARD_BYTES as u16);
        Host { packetizer, encoder: Encoder::new(), sealer: Sealer::new(keys(), now), au: 0, now }
    }

    /// Protects one access unit of a single block.
    fn protect(&mut self, au: &[u8], slots: &mut [u8]) {
        self.sealer.handle_epoch_opened(self.sealer.epoch());
        self.packetizer.begin(self.au, self.au, false, false);
        self.au = self.au.wrapping_add(1);
        for plan in self.packetizer.plan_slice(au.len(), true).expect("within what was agreed") {
            let slots = &mut slots[..plan.slots_bytes()];
            seal_data(&plan, 0..usize::from(plan.k), au, slots, &mut self.sealer, self.now)
                .expect("the epoch was reported opened");
            let shape = plan.fec_shape().expect("plans have shapes");
            let parity = self.encoder.encode(shape, &au[plan.range()]).expect("lengths fit");
            seal_parity(&plan, &parity, slots, &mut self.sealer, self.now)
                .expect("the epoch was reported opened");
        }
    }
}

pub fn protect(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    let data = vec![5; DATA * SHARD_BYTES];
    let (mut host, mut slots, au) = (Host::new(), vec![0; 2 << 20], data.clone());
    let ours = whole(move || host.protect(black_box(&au), &mut slots));
    let (key, mut count) = (rival_key(), 0_u64);
    let mut encoder = ReedSolomonEncoder::new(DATA, PARITY, SHARD_BYTES).expect("supported");
    let mut slots = vec![0; (DATA + PARITY) * SLOT_BYTES];
    let mut seal = move |shard: &[u8], slot: &mut [u8]| {
        count += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&count.to_le_bytes());
        let (header, sealed) = slot.split_at_mut(24);
        let (out, tag) = sealed.split_at_mut(sealed.len() - TAG_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_out_of_place_scatter(nonce, Aad::from(&*header), shard, out, &[], tag).expect("lengths fit");
    };
    let rival = whole(move || {
        let (data_slots, parity_slots) = slots.split_at_mut(DATA * SLOT_BYTES);
        for (shard, slot) in black_box(&data).chunks(SHARD_BYTES).zip(data_slots.chunks_mut(SLOT_BYTES)) {
            seal(shard, slot);
            encoder.add_original_shard(shard).expect("k shards");
        }
        let parity = encoder.encode().expect("all were added");
        for (shard, slot) in parity.recovery_iter().zip(parity_slots.chunks_mut(SLOT_BYTES)) {
            seal(shard, slot);
        }
    });
    Pair { name, bound, reason, ours, rival }
}

/// An access unit is sealed outside of the measured time, because it can be opened only once.
pub fn reassemble(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    let limits = ReassemblerLimits::from(&negotiated());
    let mut client = Reassembler::new(limits, Opener::new(keys(), limits.replay_window));
    let (mut host, au) = (Host::new(), vec![5; DATA * SHARD_BYTES]);
    let (mut slots, now) = (vec![0; 2 << 20], Instant::now());
    let ours = Box::new(move |count| {
        let mut spent = Duration::ZERO;
        for _ in 0..count {
            host.protect(&au, &mut slots);
            let start = Instant::now();
            for datagram in slots[..(DATA + PARITY) * SLOT_BYTES].chunks(SLOT_BYTES) {
                black_box(client.handle_datagram(datagram, now));
                while let Some(delivery) = client.poll_delivery(now) {
                    if let Delivery::Block(block) = delivery {
                        client.give_back(block.span);
                    }
                }
            }
            spent += start.elapsed();
        }
        spent
    });
    Pair { name, bound, reason, ours, rival: open_alone() }
}

fn open_alone() -> Run {
    let (key, nonce) = (rival_key(), [3; 12]);
    let mut slots = vec![0; (DATA + PARITY) * SLOT_BYTES];
    for slot in slots.chunks_mut(SLOT_BYTES) {
        let (header, sealed) = slot.split_at_mut(24);
        let (out, tag) = sealed.split_at_mut(SHARD_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_out_of_place_scatter(nonce, Aad::from(&*header), &[5; SHARD_BYTES], out, &[], tag)
            .expect("lengths fit");
    }
    let mut span = vec![0; (DATA + PARITY) * SHARD_BYTES];
    whole(move || {
        for (slot, place) in black_box(&slots).chunks(SLOT_BYTES).zip(span.chunks_mut(SHARD_BYTES)) {
            let (header, sealed) = slot.split_at(24);
            let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.open_separate_gather(nonce, Aad::from(header), ciphertext, tag, place)
                .expect("the tag is right");
        }
    })
}
