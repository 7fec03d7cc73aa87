//! Random sessions: one side seals, a bad network carries, both receivers say what they make of each datagram.

use crate::bench::{Block, Receiver, Sender, hex, video_keys};
use crate::chance::Chance;
use crate::twin::Twin;
use punktfunk_proto::{Flags, HEADER_BYTES, Negotiated};
use punktfunk_seal::Cipher;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A sender that keeps to the document, behind a network that loses, doubles and mixes.
    Honest,
    /// One that has the keys and seals headers that cannot be, behind a network that forges.
    Hostile,
}

/// What a session is about.
struct Session {
    agreed: Negotiated,
    cipher: Cipher,
    secret: [u8; 32],
}

impl Session {
    fn new(chance: &mut Chance) -> Self {
        let agreed = Negotiated::new(
            chance.one_of(&[256, 320, 512, 704]),
            // Up to many times what the largest AU may have.
            chance.one_of(&[500, 8_000, 200_000, 8_000_000]),
            chance.within(24_000..=480_000) as u32,
            chance.within(1..=8) as u16,
            chance.within(0..=1_000) as u16,
            chance.within(65_536..=300_000) as u32,
        );
        let cipher = chance.one_of(&Cipher::ALL);
        Self { agreed: agreed.unwrap(), cipher, secret: chance.secret() }
    }

    fn question(&self, verb: &str) -> Value {
        let agreed = &self.agreed;
        json!({
            "do": verb, "cipher": self.cipher.as_byte(), "secret": hex(&self.secret),
            "agreed": [
                agreed.shard_bytes_max, agreed.bitrate_kbps, agreed.refresh_mhz, agreed.slices_max,
                agreed.redundancy_per_mille, agreed.au_bytes_max,
            ],
        })
    }

    fn receiver(&self) -> Receiver {
        Receiver::new(&self.agreed, video_keys(self.secret, self.cipher))
    }

    fn shard_bytes(&self, chance: &mut Chance) -> u16 {
        let units = u64::from(self.agreed.shard_bytes_max) / 64;
        chance.within(4..=units) as u16 * 64
    }
}

/// The bytes of one slice: none, few, or many.
fn slice(chance: &mut Chance) -> Vec<u8> {
    let length = match chance.within(0..=9) {
        0 => 0,
        1 => 1,
        2 => 256 * chance.within(1..=4),
        _ => chance.within(2..=2_500),
    };
    chance.bytes(length as usize)
}

/// A datagram and when it arrives; None where only time goes by.
type Step = (u64, Option<Vec<u8>>);

/// A block and its datagrams.
type Sent = (Block, Vec<Vec<u8>>);

/// A whole AU of random shape: its bytes, and the datagrams of each of its blocks.
fn access_unit(
    session: &Session,
    sender: &mut Sender,
    au: u32,
    now: Instant,
    chance: &mut Chance,
) -> (Vec<u8>, Vec<Sent>) {
    let slices: Vec<Vec<u8>> =
        (0..chance.within(1..=u64::from(session.agreed.slices_max.min(3)))).map(|_| slice(chance)).collect();
    let common = chance.one_of(&[Flags::NONE, Flags::IDR, Flags::RECOVERY_POINT]);
    let template = Block {
        au,
        block: 0,
        flags: common,
        pts_us: chance.bits() as u32,
        shard_bytes: session.shard_bytes(chance),
        m: 1,
    };
    let mut pieces: Vec<(Vec<u8>, Flags)> = Vec::new();
    for slice in &slices {
        let cut = if chance.percent(30) { chance.index(slice.len() + 1) } else { 0 };
        if cut > 0 && cut < slice.len() {
            pieces.push((slice[..cut].to_vec(), common));
            pieces.push((slice[cut..].to_vec(), common.with(Flags::SLICE_END)));
        } else {
            pieces.push((slice.clone(), common.with(Flags::SLICE_END)));
        }
    }
    // An AU of this session has at most slices_max + 2 blocks.
    pieces.truncate(usize::from(session.agreed.slices_max) + 1);
    if chance.percent(20) {
        pieces.push((Vec::new(), common));
    }
    let last = pieces.len() - 1;
    pieces[last].1 = pieces[last].1.with(Flags::LAST_BLOCK);
    let bytes = pieces.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    let blocks = pieces.iter().enumerate().map(|(number, (bytes, flags))| {
        let m = chance.within(1..=4) as u16;
        let block = Block { block: number as u16, flags: *flags, m, ..template };
        (block, sender.block(block, bytes, now))
    });
    (bytes, blocks.collect())
}

/// A header that no sender makes, sealed by one that has the keys; or bytes that are not sealed at all.
fn hostile(sender: &mut Sender, block: Block, good: &[u8], now: Instant, chance: &mut Chance) -> Vec<u8> {
    if chance.percent(40) {
        let mut forged = good.to_vec();
        match chance.within(0..=3) {
            0 => forged.truncate(chance.index(good.len())),
            1 => forged.extend(chance.bytes(64)),
            _ => {
                let at =
                    if chance.percent(70) { chance.index(HEADER_BYTES) } else { chance.index(good.len()) };
                forged[at] ^= 1 << chance.within(0..=7);
            }
        }
        return forged;
    }
    let au = i64::from(block.au) + chance.within(0..=160) as i64 - 80;
    let far = chance.percent(3);
    let plan = Block { au: au.max(0) as u32, ..block }.plan(chance.within(0..=900) as usize);
    let (shard, bends) = (chance.within(0..=4) as u16, chance.within(0..=2));
    let places: Vec<(usize, u8)> = (0..bends)
        .map(|_| (chance.one_of(&[0, 1, 1, 2, 6, 12, 16, 17, 18, 20, 21, 22, 23]), 1 << chance.within(0..=7)))
        .collect();
    let bend = |header: &mut [u8; HEADER_BYTES]| {
        // The AU's own block, with other words of it.
        if au < 0 {
            header[8..12].copy_from_slice(&block.au.to_le_bytes());
        }
        if far {
            header[11] ^= 0x80;
        }
        places.iter().for_each(|(at, bit)| header[*at] ^= bit);
    };
    sender.authentic(plan, shard, bend, now)
}

/// What arrives of all that was sent, in what order, and when.
fn network(mut sent: Vec<Vec<u8>>, peer: Peer, chance: &mut Chance) -> Vec<Step> {
    let loss = chance.one_of(&[0, 5, 20, 40]);
    let reach = chance.one_of(&[0, 3, 20, 200]);
    sent.retain(|_| !chance.percent(loss));
    let doubled: Vec<Vec<u8>> = sent.iter().filter(|_| chance.percent(5)).cloned().collect();
    let strays = doubled.len();
    sent.extend(doubled);
    chance.shuffle(&mut sent, reach);
    // Some of the doubles come long after.
    if strays > 0 && chance.percent(50) {
        sent.rotate_right(strays / 2);
    }
    let pauses: &[u64] = match peer {
        Peer::Honest => &[1, 10, 1_000, 16_000],
        Peer::Hostile => &[1, 1_000, 20_000, 40_000, 249_999, 250_001, 1_000_000, 2_000_000],
    };
    let (mut at_us, mut steps) = (0, Vec::new());
    for datagram in sent {
        if chance.percent(10) {
            at_us += chance.one_of(pauses);
            steps.push((at_us, None));
        }
        steps.push((at_us, Some(datagram)));
    }
    steps.push((at_us + 1_000_000, None));
    steps
}

/// Losses that follow each other as one: whether they are told one by one is nobody's promise.
fn joined(delivered: Vec<Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for one in delivered {
        let follows = |last: &Value| {
            let numbers = [last, &one].map(|lost| Some((lost["lost_au"].as_u64()?, lost["count"].as_u64()?)));
            let nothing = one["blocks_delivered"] == 0;
            matches!(numbers, [Some((first, count)), Some((next, _))] if nothing && first + count == next)
        };
        match out.last_mut() {
            Some(last) if follows(last) => {
                last["count"] = (last["count"].as_u64().unwrap() + one["count"].as_u64().unwrap()).into();
            }
            _ => out.push(one),
        }
    }
    out
}

/// This receiver's word on each step, in Python's spelling.
fn words_of(receiver: &mut Receiver, steps: &[Step], start: Instant) -> Vec<Value> {
    let word = |(at_us, datagram): &Step| {
        let now = start + Duration::from_micros(*at_us);
        let outcome = receiver.step(datagram.as_deref(), now);
        json!([outcome, joined(receiver.deliveries(now))])
    };
    steps.iter().map(word).collect()
}

/// The bytes of the AUs that were handed on whole.
fn whole_aus(words: &[Value]) -> Vec<(u64, String)> {
    let (mut whole, mut bytes) = (Vec::new(), String::new());
    for one in words.iter().flat_map(|word| word[1].as_array().unwrap()) {
        if one["block"] == 0 {
            bytes.clear();
        }
        bytes.push_str(one["bytes"].as_str().unwrap_or_default());
        if one["last_block"] == true {
            whole.push((one["au"].as_u64().unwrap(), bytes.clone()));
        }
    }
    whole
}

/// Rust seals; both receive the same datagrams, and must say the same of each.
pub(crate) fn sealed_here(twin: &mut Twin, chance: &mut Chance, peer: Peer) {
    let session = Session::new(chance);
    let start = Instant::now();
    let mut sender = Sender::new(video_keys(session.secret, session.cipher), start);
    let interval_us = chance.one_of(&[1_000, 16_667, 400_000, 1_000_000]);
    let (mut sent, mut units) = (Vec::new(), Vec::new());
    for au in 0..12_u32 {
        let now = start + Duration::from_micros(u64::from(au) * interval_us);
        let (bytes, blocks) = access_unit(&session, &mut sender, au, now, chance);
        units.push(hex(&bytes));
        for (block, datagrams) in blocks {
            if peer == Peer::Hostile {
                for _ in 0..chance.within(0..=4) {
                    let good = &datagrams[chance.index(datagrams.len())];
                    sent.push(hostile(&mut sender, block, good, now, chance));
                }
            }
            sent.extend(datagrams);
        }
        let epoch = sender.sealer.reserve(now).unwrap().epoch();
        sender.sealer.handle_epoch_opened(epoch);
    }
    let steps = network(sent, peer, chance);
    let mut receiver = session.receiver();
    let here = words_of(&mut receiver, &steps, start);
    let mut question = session.question("receive");
    question["steps"] =
        steps.iter().map(|(at, datagram)| json!([at, datagram.as_deref().map(hex)])).collect();
    let there = twin.ask(&question);
    for (number, (here, there)) in here.iter().zip(there["steps"].as_array().unwrap()).enumerate() {
        if peer == Peer::Hostile && here[0] == "over_limit" && there[0] == "accepted" {
            eprintln!("step {number}: out of memory for blocks, which each receiver counts in its own way");
            return;
        }
        assert_eq!(here, there, "step {number}, {}", described(&steps[number]));
    }
    let report = receiver.feedback(start);
    assert_eq!(there["epoch_opened"], report.epoch_opened);
    assert_eq!(there["highest_au"], json!(report.highest_au));
    if peer == Peer::Honest {
        for (au, bytes) in whole_aus(&here) {
            assert_eq!(bytes, units[au as usize], "AU {au}");
        }
    }
}

fn described((at_us, datagram): &Step) -> String {
    match datagram {
        Some(datagram) => {
            format!(
                "at {at_us} us: {} bytes, header {}",
                datagram.len(),
                hex(&datagram[..datagram.len().min(HEADER_BYTES)])
            )
        }
        None => format!("at {at_us} us"),
    }
}

/// Python seals, no more is lost than parity makes good, and every AU has to come out here.
pub(crate) fn sealed_there(twin: &mut Twin, chance: &mut Chance) {
    let session = Session::new(chance);
    let units: Vec<Value> = (0..6)
        .map(|_| {
            let slices = chance.within(1..=u64::from(session.agreed.slices_max.min(3)));
            let idr = chance.percent(30);
            let slices: Vec<String> = (0..slices).map(|_| hex(&slice(chance))).collect();
            json!({
                "slices": slices, "pts_us": chance.bits() as u32, "idr": idr,
                "recovery_point": !idr && chance.percent(30), "late_end": chance.percent(30),
            })
        })
        .collect();
    let mut question = session.question("send");
    question["aus"] = units.clone().into();
    question["shard_bytes"] = session.shard_bytes(chance).into();
    // A second from AU to AU: an epoch for each, or one for all.
    question["epoch_us"] = chance.one_of(&[1_000_000, 600_000_000]).into();
    question["data_shards"] = 4_096.into();
    let answer = twin.ask(&question);
    let (start, mut receiver) = (Instant::now(), session.receiver());
    for (au, (unit, datagrams)) in units.iter().zip(answer["datagrams"].as_array().unwrap()).enumerate() {
        let datagrams: Vec<Vec<u8>> =
            datagrams.as_array().unwrap().iter().map(|one| unhex(one.as_str().unwrap())).collect();
        let steps: Vec<Step> = what_parity_makes_good(datagrams, chance)
            .into_iter()
            .map(|datagram| (au as u64 * 1_000_000, Some(datagram)))
            .collect();
        let words = words_of(&mut receiver, &steps, start);
        for (word, step) in words.iter().zip(&steps) {
            assert!(word[0] == "accepted" || word[0] == "surplus", "{word}, {}", described(step));
        }
        let bytes: String =
            unit["slices"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert_eq!(whole_aus(&words), [(au as u64, bytes)]);
        let blocks = words.iter().flat_map(|word| word[1].as_array().unwrap());
        for block in blocks {
            for field in ["pts_us", "idr", "recovery_point"] {
                assert_eq!(block[field], unit[field], "AU {au}, {field}");
            }
        }
    }
}

/// At most as many of a block are lost as it has parity; the order is any.
fn what_parity_makes_good(datagrams: Vec<Vec<u8>>, chance: &mut Chance) -> Vec<Vec<u8>> {
    let u16_at = |datagram: &[u8], at: usize| u16::from_le_bytes([datagram[at], datagram[at + 1]]);
    let (mut lost, mut left) = (0, Vec::new());
    for datagram in datagrams {
        if u16_at(&datagram, 2) == 0 {
            lost = 0;
        }
        if lost < u16_at(&datagram, 18) && chance.percent(40) {
            lost += 1;
        } else {
            left.push(datagram);
        }
    }
    chance.shuffle(&mut left, 100);
    left
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}
