//! One 1408-byte shard from one buffer into another: our verbs whole, beside the best call that aws-lc-rs has for it.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use punktfunk_seal::{
    Backend, Cipher, Direction, Opener, Plane, PlaneKeys, REPLAY_WINDOW_DEFAULT, Sealer, Secret, TAG_BYTES,
};

use crate::{Pair, whole};

/// Bytes of a shard.
pub const SHARD_BYTES: usize = 1408;
const SLOT_BYTES: usize = SHARD_BYTES + TAG_BYTES;
const SHARDS: usize = 64;
const AAD: [u8; 24] = [7; 24];

/// What the programs would take on this CPU, by what it can run.
fn backend() -> Backend {
    let mut ours = [Backend::Vaes512, Backend::Vaes256].into_iter();
    ours.find(|backend| backend.supports(Cipher::Aes128Gcm)).unwrap_or(Backend::AwsLc)
}

/// The bound for what this CPU can run, over aws-lc-rs, and why that much.
pub fn bound() -> (f64, &'static str) {
    match backend() {
        Backend::Vaes512 => (0.75, "0.43–0.52 measured by our kernel for AVX-512"),
        Backend::Vaes256 => (1.0, "0.75–0.82 measured by our kernel for AVX2, where aws-lc has AVX-512"),
        Backend::AwsLc | Backend::Ring => {
            (1.25, "1.01–1.05 measured around the library; a fifth for the machine")
        }
    }
}

/// Keys of a bench.
pub fn keys() -> PlaneKeys {
    PlaneKeys::new(&Secret::new([1; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
        .with_backend(backend())
}

/// The rival's key.
pub fn rival_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[9; 16]).expect("16 bytes"))
}

/// The shards of a block and the slots that they are sealed into, round and round: warm in L2 and not in L1.
struct Ring {
    shards: Vec<u8>,
    slots: Vec<u8>,
    next: usize,
}

impl Ring {
    fn new() -> Ring {
        Ring { shards: vec![3; SHARDS * SHARD_BYTES], slots: vec![0; SHARDS * SLOT_BYTES], next: 0 }
    }

    fn step(&mut self) -> (&mut [u8], &mut [u8]) {
        let at = self.next;
        self.next = (at + 1) % SHARDS;
        let shard = &mut self.shards[at * SHARD_BYTES..][..SHARD_BYTES];
        (shard, &mut self.slots[at * SLOT_BYTES..][..SLOT_BYTES])
    }
}

pub fn seal(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    let now = Instant::now();
    let (mut sealer, mut block) = (Sealer::new(keys(), now), Ring::new());
    let ours = whole(move || {
        sealer.handle_epoch_opened(sealer.epoch());
        let ticket = sealer.reserve(now).expect("the epoch was reported opened");
        let (shard, slot) = block.step();
        sealer.seal(ticket, black_box(&AAD), shard, 0, slot);
    });
    let (key, mut block, mut count) = (rival_key(), Ring::new(), 0_u64);
    let rival = whole(move || {
        count += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&count.to_le_bytes());
        let (shard, slot) = block.step();
        let (out, tag) = slot.split_at_mut(SHARD_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_out_of_place_scatter(nonce, Aad::from(black_box(&AAD)), shard, out, &[], tag)
            .expect("lengths fit");
    });
    Pair { name, bound, reason, ours, rival }
}

pub fn open(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    let now = Instant::now();
    let (mut sealer, mut block) = (Sealer::new(keys(), now), Ring::new());
    for _ in 0..SHARDS {
        let ticket = sealer.reserve(now).expect("a fresh epoch");
        let (shard, slot) = block.step();
        sealer.seal(ticket, &AAD, shard, 0, slot);
    }
    // A replay costs what a first opening costs, and needs no new datagram for each call.
    let (mut opener, mut sequence) = (Opener::new(keys(), REPLAY_WINDOW_DEFAULT), 0);
    let ours = whole(move || {
        let (shard, slot) = block.step();
        let opened = opener.open(0, sequence, black_box(&AAD), slot, shard, now);
        sequence = (sequence + 1) % SHARDS as u32;
        black_box(opened.is_ok());
    });
    let (key, mut block, nonce) = (rival_key(), Ring::new(), [5; 12]);
    for _ in 0..SHARDS {
        let (shard, slot) = block.step();
        let (out, tag) = slot.split_at_mut(SHARD_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_out_of_place_scatter(nonce, Aad::from(&AAD), shard, out, &[], tag).expect("lengths fit");
    }
    let rival = whole(move || {
        let (shard, slot) = block.step();
        let (ciphertext, tag) = slot.split_at(SHARD_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.open_separate_gather(nonce, Aad::from(black_box(&AAD)), ciphertext, tag, shard)
            .expect("the tag is right");
    });
    Pair { name, bound, reason, ours, rival }
}
