//! Sealing and opening one 1408-byte shard from one buffer into another, beside the ways that aws-lc-rs and ring offer.
//!
//! The shards of a block are walked through, 64 of them, so that sources and slots are warm in L2 and not in L1. Our
//! own verbs are measured whole: sequence, nonce, epoch and replay window counted.
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a bench may panic; criterion's macros make undocumented items"
)]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use punktfunk_seal::{
    Backend, Cipher, Direction, Opener, Plane, PlaneKeys, REPLAY_WINDOW_DEFAULT, Sealer, Secret, TAG_BYTES,
};
use std::hint::black_box;
use std::time::Instant;

const SHARD_BYTES: usize = 1408;
const SLOT_BYTES: usize = SHARD_BYTES + TAG_BYTES;
const SHARDS: usize = 64;
const AAD: [u8; 24] = [7; 24];
const KEY: [u8; 32] = [9; 32];

/// The shards of a block and the slots that they are sealed into.
struct Block {
    shards: Vec<u8>,
    slots: Vec<u8>,
    next: usize,
}

impl Block {
    fn new() -> Block {
        Block { shards: vec![3; SHARDS * SHARD_BYTES], slots: vec![0; SHARDS * SLOT_BYTES], next: 0 }
    }

    /// The next shard and its slot, round and round.
    fn step(&mut self) -> (&mut [u8], &mut [u8]) {
        let at = self.next;
        self.next = (at + 1) % SHARDS;
        (
            &mut self.shards[at * SHARD_BYTES..][..SHARD_BYTES],
            &mut self.slots[at * SLOT_BYTES..][..SLOT_BYTES],
        )
    }
}

fn keys(cipher: Cipher) -> PlaneKeys {
    PlaneKeys::new(&Secret::new([1; 32]), cipher, Direction::HostToClient, Plane::Video)
}

/// A fresh nonce each time: counting is what every user of these libraries must do as well.
struct Nonces(u64);

impl Nonces {
    fn step(&mut self) -> [u8; 12] {
        self.0 += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.0.to_le_bytes());
        nonce
    }
}

fn seal_ours(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, keys: PlaneKeys) {
    let now = Instant::now();
    let (mut sealer, mut block) = (Sealer::new(keys, now), Block::new());
    group.bench_function(name, |b| {
        b.iter(|| {
            sealer.handle_epoch_opened(sealer.epoch());
            let ticket = sealer.reserve(now).expect("the epoch was reported opened");
            let (shard, slot) = block.step();
            sealer.seal(ticket, black_box(&AAD), shard, 0, slot);
        });
    });
}

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal 1408");
    group.throughput(Throughput::Bytes(SHARD_BYTES as u64));
    for backend in Backend::ALL.into_iter().filter(|backend| backend.supports(Cipher::Aes128Gcm)) {
        seal_ours(&mut group, &format!("ours, {backend}"), keys(Cipher::Aes128Gcm).with_backend(backend));
    }
    let key = aws_key();
    {
        use aws_lc_rs::aead::{Aad, Nonce};
        let (mut block, mut nonces) = (Block::new(), Nonces(0));
        group.bench_function("aws-lc: out of place", |b| {
            b.iter(|| {
                let (shard, slot) = block.step();
                let (out, tag) = slot.split_at_mut(SHARD_BYTES);
                let nonce = Nonce::assume_unique_for_key(nonces.step());
                let sealed =
                    key.seal_out_of_place_scatter(nonce, Aad::from(black_box(&AAD)), shard, out, &[], tag);
                sealed.expect("lengths fit");
            });
        });
        group.bench_function("aws-lc: copy, in place, scattered tag", |b| {
            b.iter(|| {
                let (shard, slot) = block.step();
                let (out, tag) = slot.split_at_mut(SHARD_BYTES);
                out.copy_from_slice(shard);
                let nonce = Nonce::assume_unique_for_key(nonces.step());
                key.seal_in_place_scatter(nonce, Aad::from(black_box(&AAD)), out, &[], tag)
                    .expect("lengths fit");
            });
        });
        group.bench_function("aws-lc: copy, in place, separate tag", |b| {
            b.iter(|| {
                let (shard, slot) = block.step();
                let (out, tag) = slot.split_at_mut(SHARD_BYTES);
                out.copy_from_slice(shard);
                let nonce = Nonce::assume_unique_for_key(nonces.step());
                let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(black_box(&AAD)), out);
                tag.copy_from_slice(sealed.expect("lengths fit").as_ref());
            });
        });
    }
    let key = ring_key();
    let (mut block, mut nonces) = (Block::new(), Nonces(0));
    group.bench_function("ring: copy, in place, separate tag", |b| {
        use ring::aead::{Aad, Nonce};
        b.iter(|| {
            let (shard, slot) = block.step();
            let (out, tag) = slot.split_at_mut(SHARD_BYTES);
            out.copy_from_slice(shard);
            let nonce = Nonce::assume_unique_for_key(nonces.step());
            let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(black_box(&AAD)), out);
            tag.copy_from_slice(sealed.expect("lengths fit").as_ref());
        });
    });
    seal_ours(&mut group, "ours, ChaCha20-Poly1305", keys(Cipher::ChaCha20Poly1305));
    group.finish();
}

fn open_ours(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, cipher: Cipher, backend: Backend) {
    let now = Instant::now();
    let (mut sealer, mut block) = (Sealer::new(keys(cipher), now), Block::new());
    for _ in 0..SHARDS {
        let ticket = sealer.reserve(now).expect("a fresh epoch");
        let (shard, slot) = block.step();
        sealer.seal(ticket, &AAD, shard, 0, slot);
    }
    // A replay costs what a first opening costs, and needs no new datagram for each round.
    let mut opener = Opener::new(keys(cipher).with_backend(backend), REPLAY_WINDOW_DEFAULT);
    let mut sequence = 0;
    group.bench_function(name, |b| {
        b.iter(|| {
            let (shard, slot) = block.step();
            let opened = opener.open(0, sequence, black_box(&AAD), slot, shard, now);
            sequence = (sequence + 1) % SHARDS as u32;
            black_box(opened)
        });
    });
}

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open 1408");
    group.throughput(Throughput::Bytes(SHARD_BYTES as u64));
    for backend in Backend::ALL.into_iter().filter(|backend| backend.supports(Cipher::Aes128Gcm)) {
        open_ours(&mut group, &format!("ours, {backend}"), Cipher::Aes128Gcm, backend);
    }
    let nonce = [5; 12];
    let mut block = sealed_block(nonce);
    {
        use aws_lc_rs::aead::{Aad, Nonce};
        let key = aws_key();
        group.bench_function("aws-lc: gather", |b| {
            b.iter(|| {
                let (shard, slot) = block.step();
                let (ciphertext, tag) = slot.split_at(SHARD_BYTES);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let opened =
                    key.open_separate_gather(nonce, Aad::from(black_box(&AAD)), ciphertext, tag, shard);
                opened.expect("the tag is right");
            });
        });
        group.bench_function("aws-lc: copy, in place", |b| {
            b.iter(|| {
                let (shard, slot) = block.step();
                let (ciphertext, tag) = slot.split_at(SHARD_BYTES);
                shard.copy_from_slice(ciphertext);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let opened = key.open_in_place_separate_tag(nonce, Aad::from(black_box(&AAD)), tag, shard);
                black_box(opened.expect("the tag is right").len())
            });
        });
    }
    use ring::aead::{Aad, Nonce, Tag};
    let key = ring_key();
    group.bench_function("ring: copy, in place", |b| {
        b.iter(|| {
            let (shard, slot) = block.step();
            let (ciphertext, tag) = slot.split_at(SHARD_BYTES);
            shard.copy_from_slice(ciphertext);
            let tag = Tag::try_from(tag).expect("16 bytes");
            let nonce = Nonce::assume_unique_for_key(nonce);
            let opened = key.open_in_place_separate_tag(nonce, Aad::from(black_box(&AAD)), tag, shard, 0..);
            black_box(opened.expect("the tag is right").len())
        });
    });
    open_ours(&mut group, "ours, ChaCha20-Poly1305", Cipher::ChaCha20Poly1305, Backend::AwsLc);
    group.finish();
}

/// All slots sealed under one nonce: what is opened again and again.
fn sealed_block(nonce: [u8; 12]) -> Block {
    use aws_lc_rs::aead::{Aad, Nonce};
    let (key, mut block) = (aws_key(), Block::new());
    for _ in 0..SHARDS {
        let (shard, slot) = block.step();
        let (out, tag) = slot.split_at_mut(SHARD_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_out_of_place_scatter(nonce, Aad::from(&AAD), shard, out, &[], tag).expect("lengths fit");
    }
    block
}

fn aws_key() -> aws_lc_rs::aead::LessSafeKey {
    use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, UnboundKey};
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &KEY[..16]).expect("16 bytes"))
}

fn ring_key() -> ring::aead::LessSafeKey {
    use ring::aead::{AES_128_GCM, LessSafeKey, UnboundKey};
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &KEY[..16]).expect("16 bytes"))
}

criterion_group!(benches, seal, open);
criterion_main!(benches);
