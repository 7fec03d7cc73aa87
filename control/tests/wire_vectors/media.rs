//! Access units of every shape on their way: what is sent, what is lost, and the bytes that come out.

use crate::bench::Block;
use crate::case::{Case, agreed, payload};
use punktfunk_proto::Flags;
use punktfunk_seal::Cipher;
use serde_json::{Value, json};

const SLICE: Flags = Flags::SLICE_END;
const LAST: Flags = Flags::LAST_BLOCK.with(Flags::SLICE_END);

/// One block that is a whole AU, with shards of 256 bytes.
const fn single(au: u32, flags: Flags, m: u16) -> Block {
    Block { au, block: 0, flags, pts_us: 1_000 + au * 16_667, shard_bytes: 256, m }
}

fn one_block(cipher: Cipher) -> Value {
    let name = match cipher {
        Cipher::Aes128Gcm => "one block, AES-128-GCM",
        Cipher::ChaCha20Poly1305 => "one block, ChaCha20-Poly1305",
    };
    let mut case =
        Case::new(name, cipher, "An IDR of one slice: k = 3, m = 2, 168 bytes of padding, all comes.");
    let datagrams = case.block(0, single(0, LAST.with(Flags::IDR), 2), &payload(0, 600));
    case.all_arrive(0, &datagrams[..3], "AU 0 block 0");
    case.arrive(0, &datagrams[3], "surplus", "parity of an AU that was delivered");
    case.end()
}

fn slices(cipher: Cipher) -> Value {
    let mut case = Case::new(
        "slices and blocks",
        cipher,
        "AU 0 has two slices; its second slice has two blocks, of which only the second ends it. AU 1 is a recovery \
         point with longer shards and no padding. What is delivered is in order, whatever came first.",
    );
    let pts_us = 4_294_967_290;
    let block = |block, flags| Block { au: 0, block, flags, pts_us, shard_bytes: 256, m: 1 };
    let mut first = case.block(0, block(0, SLICE), &payload(1, 300));
    let second = case.block(0, block(1, Flags::NONE), &payload(2, 512));
    let third = case.block(0, block(2, LAST), &payload(3, 257));
    let au1 = Block { pts_us: 17, shard_bytes: 320, ..single(1, LAST.with(Flags::RECOVERY_POINT), 1) };
    let au1 = case.block(0, au1, &payload(4, 640));
    let held = first.remove(1);
    case.all_arrive(0, &first[..1], "AU 0 block 0");
    case.all_arrive(0, &third[..2], "AU 0 block 2");
    case.all_arrive(0, &second[..2], "AU 0 block 1");
    case.all_arrive(0, &au1[..2], "AU 1 block 0");
    case.arrive(100, &held, "accepted", "AU 0 block 0, shard 1 at last: everything behind it is delivered");
    case.end()
}

fn ends(cipher: Cipher) -> Value {
    let mut case = Case::new(
        "ends",
        cipher,
        "AU 0 learns its end late: a block of its own, k = 1 and all padding, without SLICE_END. AU 1 is an empty \
         slice. AU 2 is one byte.",
    );
    let data = case.block(0, single(0, SLICE, 1), &payload(5, 256));
    let end = case.block(0, Block { block: 1, ..single(0, Flags::LAST_BLOCK, 1) }, &[]);
    let empty = case.block(0, single(1, LAST, 1), &[]);
    let byte = case.block(0, single(2, LAST, 1), &payload(6, 1));
    case.all_arrive(0, &data[..1], "AU 0 block 0");
    case.all_arrive(0, &end[..1], "AU 0 block 1, its end");
    case.all_arrive(0, &empty[..1], "AU 1 block 0");
    case.all_arrive(0, &byte[..1], "AU 2 block 0");
    case.end()
}

fn recovery(cipher: Cipher) -> Value {
    let mut case = Case::new(
        "recovery by parity",
        cipher,
        "Data datagrams are lost; k of the k + m come, and the bytes are all there. AU 0: m = 1. AU 1: high rate, \
         m = 3 of k = 7. AU 2: low rate, m = 5 of k = 2, only parity comes. AU 3: the padded last shard is lost. AU 4: \
         k = 1. AU 5: only its end is lost.",
    );
    let au0 = case.block(0, single(0, LAST.with(Flags::IDR), 1), &payload(7, 700));
    let au1 = case.block(0, single(1, LAST, 3), &payload(8, 7 * 256 - 33));
    let au2 = case.block(0, single(2, LAST, 5), &payload(9, 400));
    let au3 = case.block(0, single(3, LAST, 2), &payload(10, 1_030));
    let au4 = case.block(0, single(4, LAST, 2), &payload(11, 99));
    let data = case.block(0, single(5, SLICE, 1), &payload(12, 200));
    let end = case.block(0, Block { block: 1, ..single(5, Flags::LAST_BLOCK, 1) }, &[]);
    let picked = |from: &[Vec<u8>], shards: &[usize]| -> Vec<(usize, Vec<u8>)> {
        shards.iter().map(|shard| (*shard, from[*shard].clone())).collect()
    };
    for (au, datagrams) in [
        (0_u8, picked(&au0, &[0, 2, 3])),
        (1, picked(&au1, &[9, 1, 2, 8, 4, 7, 6])),
        (2, picked(&au2, &[6, 3])),
        (3, picked(&au3, &[0, 1, 2, 3, 5])),
        (4, picked(&au4, &[2])),
    ] {
        for (shard, datagram) in datagrams {
            case.arrive(u64::from(au), &datagram, "accepted", &format!("AU {au} block 0, shard {shard}"));
        }
    }
    case.arrive(5, &data[0], "accepted", "AU 5 block 0, shard 0");
    case.arrive(5, &end[1], "accepted", "AU 5 block 1, parity alone: the end");
    case.end()
}

fn losses(cipher: Cipher) -> Value {
    let mut case = Case::new(
        "losses and resends",
        cipher,
        "AU 0 lacks a shard when AU 1 comes; it is sent again, bit for bit. AU 2 lacks one for good: it is given up \
         33,332 us after AU 3 was seen, AU 3 is delivered then, and the shard comes late. AU 4 and 5 never show.",
    );
    let au0 = case.block(0, single(0, LAST.with(Flags::IDR), 1), &payload(13, 900));
    let au1 = case.block(0, single(1, LAST, 1), &payload(14, 100));
    case.all_arrive(0, &au0[..2], "AU 0 block 0");
    case.arrive(1_000, &au1[0], "accepted", "AU 1 block 0, shard 0: it waits for AU 0");
    case.arrive(2_000, &au0[0], "replayed", "AU 0 shard 0 again, which had come");
    case.arrive(3_000, &au0[2], "accepted", "AU 0 shard 2");
    case.arrive(4_000, &au0[3], "accepted", "AU 0 shard 3, sent again: AU 0 and 1 are whole");
    let au2 = case.block(20_000, single(2, LAST, 1), &payload(15, 600));
    let au3 = case.block(20_000, single(3, LAST, 1), &payload(16, 60));
    case.arrive(20_000, &au2[0], "accepted", "AU 2 block 0, shard 0");
    case.arrive(20_000, &au3[0], "accepted", "AU 3 block 0, shard 0");
    case.wait(53_331, "not yet");
    case.wait(53_332, "AU 2 is given up");
    case.arrive(54_000, &au2[1], "late", "AU 2 shard 1, too late");
    let au6 = case.block(60_000, single(6, LAST, 1), &payload(17, 60));
    case.arrive(60_000, &au6[0], "accepted", "AU 6 block 0, shard 0");
    case.wait(93_332, "AU 4 and 5 are given up, of which nothing ever came");
    case.end()
}

fn window(cipher: Cipher) -> Value {
    let mut case = Case::new(
        "the window",
        cipher,
        "16 AUs may be open. AU 16 pushes AU 0 out, whole or not; AU 40 pushes out all up to 24.",
    );
    let au0 = case.block(0, single(0, LAST, 1), &payload(18, 600));
    let au16 = case.block(0, single(16, LAST, 1), &payload(19, 60));
    let au40 = case.block(0, single(40, LAST, 1), &payload(20, 60));
    case.arrive(0, &au0[0], "accepted", "AU 0 block 0, shard 0");
    case.arrive(10, &au16[0], "accepted", "AU 16 block 0, shard 0");
    case.arrive(20, &au0[1], "late", "AU 0 block 0, shard 1");
    case.arrive(30, &au40[0], "accepted", "AU 40 block 0, shard 0");
    case.end()
}

fn ended(cipher: Cipher) -> Value {
    let mut case = Case::new(
        "what is known of AUs that have ended",
        cipher,
        "AU 0 to 2 are delivered. AU 65 comes, and those between are given up, of which nothing ever came. AU 2 ended 64 \
         AUs ago, and that it was delivered is still known; of AU 1, which is one further back, it is not.",
    );
    let first: Vec<_> = (0..3).map(|au| case.block(0, single(au, LAST, 2), &payload(27, 60))).collect();
    for (au, datagrams) in first.iter().enumerate() {
        case.arrive(0, &datagrams[0], "accepted", &format!("AU {au} block 0, shard 0"));
    }
    let au65 = case.block(1_000, single(65, LAST, 1), &payload(28, 60));
    case.arrive(
        1_000,
        &au65[0],
        "accepted",
        "AU 65 block 0, shard 0: it pushes out what is 16 below it and more",
    );
    case.arrive(2_000, &first[1][1], "surplus", "AU 1 parity: AU 50 is the next to be handed on");
    case.wait(34_332, "AU 50 to 64 are given up, and AU 65 is delivered");
    case.arrive(35_000, &first[2][1], "surplus", "AU 2 parity: its AU was delivered, 64 AUs ago");
    case.arrive(35_000, &first[1][2], "late", "AU 1 parity: 65 AUs ago, whatever became of it");
    case.end()
}

fn epochs(cipher: Cipher) -> Value {
    let mut case = Case::new(
        "epochs",
        cipher,
        "The sender goes on by an epoch with each AU, once it is told that the last one was opened. The two bits come \
         round with epoch 4. A straggler of the epoch before is opened for two seconds after the first datagram of the \
         new one, and no longer.",
    );
    let mut stragglers = Vec::new();
    for au in 0..6_u32 {
        let at_us = u64::from(au) * 1_000_000;
        let datagrams = case.block(at_us, single(au, LAST, 2), &payload(21 + au as usize, 200));
        case.arrive(at_us, &datagrams[0], "accepted", &format!("AU {au} under epoch {au}, shard 0"));
        case.sender.sealer.handle_epoch_opened(au);
        stragglers.push(datagrams);
    }
    case.arrive(5_000_010, &stragglers[4][1], "surplus", "epoch 4 behind epoch 5: authentic, not needed");
    case.arrive(5_000_020, &stragglers[3][1], "unknown_epoch", "epoch 3: two behind");
    case.arrive(6_999_999, &stragglers[4][2], "surplus", "epoch 4, at the end of its grace");
    case.arrive(7_000_000, &stragglers[4][2], "unknown_epoch", "epoch 4, two seconds after epoch 5 began");
    case.arrive(7_000_010, &stragglers[1][1], "bad_tag", "epoch 1: its bits name epoch 5 now");
    case.end()
}

pub(crate) fn vectors() -> Value {
    let aes = Cipher::Aes128Gcm;
    let mut cases = vec![one_block(aes), one_block(Cipher::ChaCha20Poly1305)];
    cases.extend([slices, ends, recovery, losses, window, ended, epochs].map(|case| case(aes)));
    cases.extend([recovery, epochs].map(|case| case(Cipher::ChaCha20Poly1305)));
    json!({
        "about": "What a receiver of the video plane makes of datagrams that arrive in this order. Each step has its time \
                  in microseconds since the receiver was made (at_us); a step without a datagram only lets time go by. \
                  outcome is one of: accepted, surplus, replayed, late, malformed, bad_tag, unknown_epoch, over_limit \
                  (docs/wire.md, What a receiver says of a datagram). delivered is what is handed on then, in order. \
                  epoch_opened is what a feedback report says at the end. datagram, bytes and secret are hexadecimal.",
        "negotiated": agreed(),
        "cases": cases,
    })
}
