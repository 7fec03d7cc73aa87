//! Datagrams that must be refused, each with its reason. A refused one changes nothing: each case goes on after it.

use crate::bench::Block;
use crate::case::{Case, agreed, payload};
use punktfunk_proto::{Flags, HEADER_BYTES, ReassemblerLimits};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Sealer, Secret};
use serde_json::{Value, json};
use std::time::Instant;

const LAST: Flags = Flags::LAST_BLOCK.with(Flags::SLICE_END);
const USUAL: Block = Block { au: 0, block: 0, flags: LAST, pts_us: 5_000, shard_bytes: 256, m: 2 };
/// Bytes of the usual block: k = 3.
const BYTES: usize = 600;

type Header = [u8; HEADER_BYTES];

fn put(header: &mut Header, at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// A case in which one shard of the usual block has come; the block comes whole at its end.
fn amid(name: &'static str, about: &'static str, hostile: impl FnOnce(&mut Case)) -> Value {
    let mut case = Case::new(name, Cipher::Aes128Gcm, about);
    let datagrams = case.block(0, USUAL, &payload(40, BYTES));
    case.arrive(0, &datagrams[0], "accepted", "AU 0 block 0, shard 0");
    hostile(&mut case);
    case.arrive(9, &datagrams[1], "accepted", "AU 0 block 0, shard 1: nothing has changed");
    case.arrive(9, &datagrams[4], "accepted", "AU 0 block 0, shard 4");
    case.end()
}

fn lengths() -> Value {
    amid("lengths", "No media datagram has these lengths. The header is a good one.", |case| {
        let good = case.authentic(1, USUAL.plan(BYTES), 1, |_| {});
        for bytes in [0, 1, 23, 24, 39, 40, 41, 103, 105, 295] {
            case.arrive(1, &good[..bytes], "malformed", &format!("{bytes} bytes"));
        }
        case.arrive(1, &good[..232], "bad_tag", "cut by a whole 64 bytes: a length that there is");
        case.arrive(1, &[&good[..], &[0; 64]].concat(), "bad_tag", "64 bytes more");
    })
}

fn headers() -> Value {
    amid("headers", "Authentic, and impossible: refused by the header alone, before the tag.", |case| {
        let plan = USUAL.plan(BYTES);
        let mut bent = |what: &str, outcome: &str, bend: &dyn Fn(&mut Header)| {
            let datagram = case.authentic(1, plan, 1, bend);
            case.arrive(1, &datagram, outcome, what);
        };
        bent("first byte 0x40: QUIC's, not media", "malformed", &|h| h[0] |= 0x40);
        bent("first byte 0x80", "malformed", &|h| h[0] |= 0x80);
        bent("bit 0 of the first byte", "malformed", &|h| h[0] |= 1);
        bent("bit 1 of the first byte", "malformed", &|h| h[0] |= 2);
        bent("plane 1, the probe's, at the video plane's receiver", "malformed", &|h| h[0] |= 0x10);
        bent("plane 2", "malformed", &|h| h[0] |= 0x20);
        bent("plane 3", "malformed", &|h| h[0] |= 0x30);
        bent("flag 0x10", "malformed", &|h| h[1] |= 0x10);
        bent("flag 0x80", "malformed", &|h| h[1] |= 0x80);
        bent("k = 0", "malformed", &|h| put(h, 16, 0));
        bent("m = 0", "malformed", &|h| put(h, 18, 0));
        bent("shard = k + m", "malformed", &|h| put(h, 2, 5));
        bent("k + m = 65,536", "malformed", &|h| {
            put(h, 16, 65_535);
            put(h, 18, 1);
        });
        bent("padding of a whole shard with k = 3", "malformed", &|h| put(h, 22, 256));
        bent("padding of more than a shard with k = 1", "malformed", &|h| {
            put(h, 16, 1);
            put(h, 22, 257);
        });
        bent("sequence 2^23", "malformed", &|h| h[4..8].copy_from_slice(&(1_u32 << 23).to_le_bytes()));
        bent("sequence 2^32 - 1", "malformed", &|h| h[4..8].fill(0xFF));
    })
}

fn limits() -> Value {
    amid("limits", "Authentic, and more than was agreed on.", |case| {
        let limits = ReassemblerLimits::from(&crate::case::negotiated());
        let plan = Block { au: 1, ..USUAL }.plan(BYTES);
        let mut bent = |what: &str, bend: &dyn Fn(&mut Header)| {
            let datagram = case.authentic(1, plan, 1, bend);
            case.arrive(1, &datagram, "over_limit", what);
        };
        let (data, all) = (limits.block_data_shards_max, limits.block_shards_max);
        bent("k = 4,097", &|h| put(h, 16, data + 1));
        bent("k + m one above block_shards_max", &|h| put(h, 18, all + 1 - 3));
        bent("block = blocks_per_au_max", &|h| put(h, 20, limits.blocks_per_au_max));
        bent("a block of 257 x 256 - 168 bytes, and 65,536 in an AU", &|h| put(h, 16, 257));
        let long = Block { shard_bytes: 384, ..USUAL }.plan(BYTES);
        let datagram = case.authentic(1, long, 1, |_| {});
        case.arrive(1, &datagram, "over_limit", "a shard of 384 bytes");
    })
}

fn forgeries() -> Value {
    amid("forgeries", "The tag is wrong: nothing is believed, neither AU, block, window nor epoch.", |case| {
        let good = case.authentic(1, USUAL.plan(BYTES), 1, |_| {});
        for (at, bit, what) in [
            (1, 4, "IDR set behind the sealer's back"),
            (2, 3, "another shard"),
            (4, 64, "another sequence"),
            (8, 200, "AU 200"),
            (12, 1, "another pts"),
            (16, 4, "another k"),
            (24, 1, "the first sealed byte"),
            (279, 0x80, "the last sealed byte"),
            (280, 1, "the tag's first byte"),
            (295, 1, "the tag's last byte"),
        ] {
            let mut forged = good.clone();
            forged[at] ^= bit;
            case.arrive(1, &forged, "bad_tag", what);
        }
        let mut ahead = good.clone();
        ahead[0] |= 1 << 2;
        case.arrive(1, &ahead, "bad_tag", "epoch bits 1: the epoch ahead, whose key is another");
        for bits in [2, 3] {
            let mut unknown = good.clone();
            unknown[0] |= bits << 2;
            case.arrive(1, &unknown, "unknown_epoch", &format!("epoch bits {bits}: no such key is held"));
        }
        for (direction, plane, what) in [
            (Direction::ClientToHost, Plane::Video, "sealed by the other direction's key"),
            (Direction::HostToClient, Plane::Probe, "sealed by the probe plane's key"),
        ] {
            case.arrive(1, &sealed_by(direction, plane, &good), "bad_tag", what);
        }
    })
}

/// The header of `good` over zeros, under a key that is not the video plane's.
fn sealed_by(direction: Direction, plane: Plane, good: &[u8]) -> Vec<u8> {
    let now = Instant::now();
    let keys = PlaneKeys::new(&Secret::new(crate::secret()), Cipher::Aes128Gcm, direction, plane);
    let mut sealer = Sealer::new(keys, now);
    let sequence = u32::from_le_bytes(good[4..8].try_into().unwrap());
    let mut ticket = sealer.reserve(now).unwrap();
    while ticket.sequence() < sequence {
        ticket = sealer.reserve(now).unwrap();
    }
    let mut datagram = good.to_vec();
    let (header, sealed) = datagram.split_at_mut(HEADER_BYTES);
    sealer.seal(ticket, header, &[0; 256], 0, sealed);
    datagram
}

fn replays() -> Value {
    let mut case = Case::new(
        "replays",
        Cipher::Aes128Gcm,
        "A sequence is accepted once. Behind a jump ahead, what is 65,536 or more below the highest is too old to know \
         (the window is 65,536 here); one less is not.",
    );
    let datagrams = case.block(0, USUAL, &payload(41, BYTES));
    case.arrive(0, &datagrams[0], "accepted", "sequence 0");
    case.arrive(1, &datagrams[0], "replayed", "sequence 0 again");
    while case.sender.sealer.reserve(Instant::now()).unwrap().sequence() < 65_536 {}
    let again = case.block(1, USUAL, &payload(41, BYTES));
    case.arrive(2, &again[0], "surplus", "sequence 65,537, the same shard: authentic, there already");
    case.arrive(3, &datagrams[1], "replayed", "sequence 1: 65,536 below the highest, never seen, too old");
    case.arrive(4, &datagrams[2], "accepted", "sequence 2: just within the window");
    case.arrive(5, &again[1], "accepted", "sequence 65,538");
    case.end()
}

fn conflicts() -> Value {
    amid("conflicts", "Authentic, and in conflict with what its block or AU has said before.", |case| {
        let plan = USUAL.plan(BYTES);
        let mut bent = |what: &str, bend: &dyn Fn(&mut Header)| {
            let datagram = case.authentic(1, plan, 1, bend);
            case.arrive(1, &datagram, "malformed", what);
        };
        bent("the block has k = 3", &|h| put(h, 16, 4));
        bent("the block has m = 2", &|h| put(h, 18, 3));
        bent("the block has 168 bytes of padding", &|h| put(h, 22, 167));
        bent("the block ends its AU", &|h| h[1] = 2);
        bent("the AU is no IDR", &|h| h[1] |= 4);
        bent("the AU has another pts", &|h| h[12] ^= 1);
        bent("a block behind the last", &|h| {
            put(h, 20, 1);
            h[1] = 2;
        });
        let long = Block { shard_bytes: 320, ..USUAL }.plan(BYTES);
        let datagram = case.authentic(1, long, 1, |_| {});
        case.arrive(1, &datagram, "malformed", "the AU has shards of 256 bytes");
    })
}

fn ends() -> Value {
    let mut case = Case::new(
        "ends that cannot be",
        Cipher::Aes128Gcm,
        "The last block of an AU is the highest. Blocks below it may still be unknown.",
    );
    let slice = |block, flags| Block { block, flags, ..USUAL };
    let datagrams = case.block(0, slice(1, Flags::SLICE_END), &payload(42, BYTES));
    case.arrive(0, &datagrams[0], "accepted", "AU 0 block 1, shard 0");
    let below = case.authentic(1, slice(0, LAST).plan(BYTES), 0, |_| {});
    case.arrive(1, &below, "malformed", "block 0 says that it is the last, and block 1 was seen");
    let end = case.authentic(2, slice(2, LAST).plan(BYTES), 0, |_| {});
    case.arrive(2, &end, "accepted", "AU 0 block 2, the last");
    let second = case.authentic(3, slice(0, LAST).plan(BYTES), 0, |_| {});
    case.arrive(3, &second, "malformed", "block 0 says that it is the last, and block 2 is");
    let first = case.authentic(4, slice(0, Flags::SLICE_END).plan(BYTES), 0, |_| {});
    case.arrive(4, &first, "accepted", "AU 0 block 0");
    case.end()
}

pub(crate) fn vectors() -> Value {
    json!({
        "about": "As media.json, with datagrams that must be refused. None of them changes what the receiver knows: each \
                  case goes on after them. what says why.",
        "negotiated": agreed(),
        "cases": [lengths(), headers(), limits(), forgeries(), replays(), conflicts(), ends()],
    })
}
