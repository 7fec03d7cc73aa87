//! What a reassembler does with each kind of datagram, and when it gives up.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Got, Host, Rng, drain, negotiated, opener, reassembler};
use punktfunk_proto::{
    Arrival, Delivery, FeedbackReport, Flags, Header, Negotiated, Reassembler, ReassemblerLimits,
};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, SEQUENCES_PER_EPOCH_MAX, Sealer, Secret};

/// A datagram with a right tag and whatever header.
fn sealed(sealer: &mut Sealer, header: &Header, shard_bytes: usize, now: std::time::Instant) -> Vec<u8> {
    let ticket = sealer.reserve(now).unwrap();
    let mut bytes = vec![0; 40 + shard_bytes];
    let (head, rest) = bytes.split_first_chunk_mut().unwrap();
    Header { sequence: ticket.sequence(), epoch_low: ticket.epoch_low(), ..*header }.write(head);
    sealer.seal(ticket, head, &[], shard_bytes, rest);
    bytes
}

fn header_of(datagram: &[u8]) -> Header {
    Header::parse(datagram).unwrap()
}

#[test]
fn the_first_of_a_block_is_copied_and_the_rest_are_placed() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let sent = host.send(&[vec![5; 100_000]], true, false);
    let now = host.now;
    let arrivals: Vec<Arrival> = sent.iter().map(|d| client.handle_datagram(&d.bytes, now)).collect();
    let k = usize::from(sent[0].plan.k);
    assert_eq!(arrivals[0], Arrival::Copied);
    assert!(arrivals[1..k].iter().all(|arrival| *arrival == Arrival::Placed));
    assert!(arrivals[k..].iter().all(|arrival| *arrival == Arrival::Surplus), "parity after whole data");
    assert_eq!(client.handle_datagram(&sent[3].bytes, now), Arrival::Replayed);
    let mut got = Vec::new();
    drain(&mut client, now, &mut got);
    assert_eq!(got.len(), 1);
    assert_eq!(client.counters().shards_recovered, 0);
}

#[test]
fn a_recovered_shard_counts_as_filled() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let slice = Rng(1).bytes(100_000);
    let sent = host.send(std::slice::from_ref(&slice), true, false);
    let now = host.now;
    for datagram in &sent[1..] {
        client.handle_datagram(&datagram.bytes, now);
    }
    assert_eq!(client.counters().shards_recovered, 1);
    assert_eq!(client.handle_datagram(&sent[0].bytes, now), Arrival::Surplus);
    let mut got = Vec::new();
    drain(&mut client, now, &mut got);
    assert!(matches!(&got[..], [Got::Block { bytes, .. }] if *bytes == slice));
    assert_eq!(client.counters().blocks_recovered, 1);
}

#[test]
fn a_gap_is_lost_once_a_newer_au_has_waited_for_it() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let deadline = ReassemblerLimits::from(&negotiated()).au_deadline;
    let aus: Vec<_> = (0..3).map(|_| host.send(&[vec![5; 3_000]], false, false)).collect();
    let now = host.now;
    let mut got = Vec::new();
    for datagram in aus[0][..2].iter().chain(&aus[2]) {
        client.handle_datagram(&datagram.bytes, now);
        drain(&mut client, now, &mut got);
    }
    assert!(got.is_empty());
    assert_eq!(client.poll_timeout(), Some(now + deadline));
    client.handle_timeout(now + deadline - Duration::from_nanos(1));
    drain(&mut client, now, &mut got);
    assert!(got.is_empty());
    client.handle_timeout(now + deadline);
    drain(&mut client, now, &mut got);
    assert!(matches!(
        got[..],
        [
            Got::Lost { au: 0, count: 1, .. },
            Got::Lost { au: 1, count: 1, .. },
            Got::Block { au: 2, last: true, .. }
        ]
    ));
    assert_eq!(client.handle_datagram(&aus[0][2].bytes, now), Arrival::Late);
    assert_eq!(client.handle_datagram(&aus[1][0].bytes, now), Arrival::Late);
    assert_eq!(client.spans_filling(), 0);
}

/// An access unit that begins like a still picture and then is all that was agreed: the shortest shards throughout.
#[test]
fn the_largest_au_in_the_shortest_shards_is_accepted() {
    let negotiated = Negotiated::new(1408, 100_000, 60_000, 2, 100, 4 << 20).unwrap();
    let mut host = Host::new(&negotiated);
    let mut client = reassembler(&negotiated);
    let now = host.now;
    let mut got = Vec::new();
    let large = Rng(3).bytes((4 << 20) - 40);
    for slices in [vec![vec![1; 40]; 2], vec![vec![1; 40], large.clone()]] {
        for datagram in host.send(&slices, false, false) {
            if host.next_au == 2 {
                assert_eq!(datagram.bytes.len(), 296);
            }
            let arrival = client.handle_datagram(&datagram.bytes, now);
            assert!(matches!(arrival, Arrival::Placed | Arrival::Copied | Arrival::Surplus), "{arrival:?}");
            drain(&mut client, now, &mut got);
        }
    }
    let bytes: Vec<u8> = got
        .iter()
        .flat_map(|got| match got {
            Got::Block { au: 1, bytes, .. } => bytes.clone(),
            Got::Block { .. } => Vec::new(),
            Got::Lost { .. } => panic!("lost"),
        })
        .collect();
    assert_eq!((&bytes[..40], bytes[40..] == large), (&[1; 40][..], true));
    assert_eq!(client.counters().aus_delivered, 2);
}

#[test]
fn late_surplus_is_told_from_late() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let sent = host.send(&[vec![5; 3_000]], false, false);
    let mut got = Vec::new();
    let k = usize::from(sent[0].plan.k);
    for datagram in &sent[..k] {
        client.handle_datagram(&datagram.bytes, now);
        drain(&mut client, now, &mut got);
    }
    assert_eq!(client.handle_datagram(&sent[k].bytes, now), Arrival::Surplus);
}

#[test]
fn the_newest_au_is_given_up_when_it_stands_still() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let stall = ReassemblerLimits::from(&negotiated()).au_stall_deadline;
    let sent = host.send(&[vec![5; 9_000]], false, false);
    let now = host.now;
    client.handle_datagram(&sent[0].bytes, now);
    let later = now + Duration::from_millis(100);
    client.handle_datagram(&sent[1].bytes, later);
    assert_eq!(client.poll_timeout(), Some(later + stall));
    client.handle_timeout(later + stall);
    let Some(Delivery::Lost(lost)) = client.poll_delivery(later) else { panic!("not given up") };
    assert_eq!((lost.au, lost.count, lost.shards_seen, lost.shards_missing), (0, 1, 2, 6));
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn a_jump_loses_a_range_without_walking_it_and_keeps_memory() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let allocated_at_start = client.counters().spans_allocated;
    let mut got = Vec::new();
    client.handle_datagram(&host.send(&[vec![1; 9_000]], false, false)[0].bytes, now);
    host.next_au = 4_000_000_000;
    for datagram in host.send(&[vec![2; 9_000]], false, false) {
        client.handle_datagram(&datagram.bytes, now);
        drain(&mut client, now, &mut got);
    }
    let open = u32::from(ReassemblerLimits::from(&negotiated()).aus_open_max);
    assert_eq!(got, [Got::Lost { au: 0, count: 4_000_000_001 - open, blocks_delivered: 0 }]);
    client.handle_timeout(common::much_later(now));
    drain(&mut client, now, &mut got);
    assert_eq!(got.len() as u32, 1 + open);
    assert!(matches!(got.last(), Some(Got::Block { au: 4_000_000_000, last: true, .. })));
    assert_eq!(client.counters().aus_lost, 4_000_000_000);
    assert_eq!(client.counters().spans_allocated, allocated_at_start, "no memory was asked for");
    host.next_au = u32::MAX;
    for datagram in host.send(&[vec![3; 9_000]], false, false) {
        client.handle_datagram(&datagram.bytes, now);
        drain(&mut client, now, &mut got);
    }
    client.handle_timeout(common::much_later(now));
    drain(&mut client, now, &mut got);
    assert!(matches!(got.last(), Some(Got::Block { au: u32::MAX, last: true, .. })));
}

#[test]
fn an_authentic_datagram_in_conflict_changes_nothing() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let slice = Rng(2).bytes(9_000);
    let sent = host.send(&[slice[..5_000].to_vec(), slice[5_000..].to_vec()], false, false);
    let first = header_of(&sent[0].bytes);
    let last = header_of(&sent.last().unwrap().bytes);
    assert_eq!((first.block, last.block), (0, 1));
    client.handle_datagram(&sent[0].bytes, now);
    client.handle_datagram(&sent.last().unwrap().bytes, now);
    let conflicts = [
        Header { k: first.k + 1, ..first },
        Header { m: first.m + 1, ..first },
        Header { tail: first.tail + 1, ..first },
        Header { pts_us: first.pts_us + 1, ..first },
        Header { flags: Flags::NONE, ..first },
        Header { flags: first.flags.with(Flags::IDR), ..first },
        Header { flags: first.flags.with(Flags::LAST_BLOCK), ..first },
        Header { block: 2, ..last },
        Header { block: 2, flags: Flags::NONE, ..last },
    ];
    for header in conflicts {
        let datagram = sealed(&mut host.sealer, &header, 1152, now);
        assert_eq!(client.handle_datagram(&datagram, now), Arrival::Malformed, "{header:?}");
    }
    let datagram = sealed(&mut host.sealer, &Header { shard: 1, ..first }, 1088, now);
    assert_eq!(client.handle_datagram(&datagram, now), Arrival::Malformed, "another length");
    let mut got = Vec::new();
    for datagram in &sent[1..] {
        client.handle_datagram(&datagram.bytes, now);
        drain(&mut client, now, &mut got);
    }
    let bytes: Vec<u8> = got
        .iter()
        .flat_map(|got| match got {
            Got::Block { bytes, .. } => bytes.clone(),
            Got::Lost { .. } => panic!("lost"),
        })
        .collect();
    assert_eq!(bytes, slice);
}

#[test]
fn what_passes_the_limits_is_refused() {
    let negotiated = Negotiated::new(1152, 500, 60_000, 1, 100, 65_536).unwrap();
    let limits = ReassemblerLimits::from(&negotiated);
    let mut host = Host::new(&negotiated);
    let mut client = reassembler(&negotiated);
    let held_at_start = client.counters().span_bytes;
    let now = host.now;
    let sent = host.send(&[vec![1; 2_000]], false, false);
    let good = header_of(&sent[0].bytes);
    let cases = [
        (Header { k: limits.block_data_shards_max + 1, ..good }, 1152),
        (Header { m: limits.block_shards_max, ..good }, 1152),
        (Header { block: limits.blocks_per_au_max, ..good }, 1152),
        (good, 1216),
        // 57 shards of 1152 bytes are more than 65,536 bytes.
        (Header { k: 58, m: 6, tail: 0, ..good }, 1152),
    ];
    for (header, shard_bytes) in cases {
        let datagram = sealed(&mut host.sealer, &header, shard_bytes, now);
        assert_eq!(client.handle_datagram(&datagram, now), Arrival::OverLimit, "{header:?}");
    }
    assert_eq!(client.spans_filling(), 0);
    assert_eq!(client.counters().span_bytes, held_at_start);
}

/// Memory is laid out by the rate; what an AU may have at most is another word.
#[test]
fn a_rate_far_above_what_aus_may_have_leaves_memory_for_them() {
    for slices in [1, 8, 64] {
        let agreed = Negotiated::new(1408, 8_000_000, 60_000, slices, 100, 65_536).unwrap();
        for slice_bytes in [1, 700, 65_000 / usize::from(slices)] {
            let limits = ReassemblerLimits::from(&agreed);
            let mut client = Reassembler::new(limits, opener(&limits));
            let mut host = Host::new(&agreed);
            let now = host.now;
            // Three AUs are with the decoder, and two more come; or many small ones, behind one that waits for its shards.
            for au in 0..if slice_bytes > 1_000 { 5 } else { 12 } {
                let parts = vec![vec![au; slice_bytes]; usize::from(slices)];
                for datagram in host.send(&parts, false, false) {
                    let arrival = client.handle_datagram(&datagram.bytes, now);
                    assert_ne!(arrival, Arrival::OverLimit, "{slices} slices of {slice_bytes} bytes");
                }
                while au < 3 && client.poll_delivery(now).is_some() {}
            }
            assert!(client.counters().span_bytes <= limits.span_bytes_max);
        }
    }
}

#[test]
fn spans_that_never_come_back_stop_at_the_budget() {
    let mut limits = ReassemblerLimits::from(&negotiated());
    limits.span_bytes_max = 64 * 1024;
    limits.slices_under_way = 0;
    let mut client = Reassembler::new(limits, opener(&limits));
    let mut host = Host::new(&negotiated());
    let now = host.now;
    let mut kept = Vec::new();
    let mut over_limit = false;
    for _ in 0..20 {
        for datagram in host.send(&[vec![1; 6_000]], false, false) {
            over_limit |= client.handle_datagram(&datagram.bytes, now) == Arrival::OverLimit;
        }
        while let Some(delivery) = client.poll_delivery(now) {
            match delivery {
                Delivery::Block(block) => kept.push(block.span),
                Delivery::Lost(_) => {}
            }
        }
    }
    assert!(over_limit);
    assert_eq!((kept.len(), client.spans_out()), (8, 8));
    assert_eq!(client.counters().span_bytes, 64 * 1024);
    for span in kept {
        client.give_back(span);
    }
    assert_eq!(client.spans_out(), 0);
    host.next_au += 100;
    let mut got = Vec::new();
    for datagram in host.send(&[vec![1; 6_000]], false, false) {
        assert_ne!(client.handle_datagram(&datagram.bytes, now), Arrival::OverLimit);
        drain(&mut client, now, &mut got);
    }
}

/// The shards that a report asks for.
fn asked(report: &FeedbackReport) -> Vec<(u32, u32)> {
    report.missing().iter().flat_map(|m| m.shards().map(|shard| (m.au, shard))).collect()
}

#[test]
fn the_feedback_report_asks_for_what_a_block_still_needs() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let after = |micros| now + Duration::from_micros(micros);
    assert_eq!(client.feedback(now).highest_au, None);
    // 174 data shards and 18 of parity.
    let first = host.send(&[vec![1; 200_000]], true, false);
    let second = host.send(&[vec![1; 200_000]], false, false);
    let comes = |shard| ![3, 70, 71].contains(&shard) && !(100..180).contains(&shard);
    for datagram in first.iter().filter(|d| comes(d.shard) && d.shard < 100) {
        client.handle_datagram(&datagram.bytes, now);
    }
    assert_eq!(client.feedback(after(1_999)).missing(), [], "the rest may be on its way");
    assert_eq!(client.poll_report(), Some(after(2_000)), "it stands still");
    let all: Vec<(u32, u32)> = [3, 70, 71].into_iter().chain(100..174).map(|shard| (0, shard)).collect();
    assert_eq!(asked(&client.feedback(after(2_000))), all);
    assert_eq!(client.poll_report(), None, "it was asked for");
    assert_eq!(asked(&client.feedback(after(5_000))), all, "and is in every report");
    for datagram in first.iter().filter(|d| comes(d.shard) && d.shard >= 100) {
        client.handle_datagram(&datagram.bytes, after(5_000));
    }
    assert_eq!(client.poll_report(), Some(after(5_500)), "its end was reached");
    assert_eq!(asked(&client.feedback(after(5_499))), []);
    let parity = first.iter().filter(|d| d.shard >= 180).count();
    assert_eq!(asked(&client.feedback(after(5_500))), all[..all.len() - parity], "parity stands in for some");
    client.handle_datagram(&second[0].bytes, after(6_000));
    let report = client.feedback(after(8_000));
    assert_eq!(report.highest_au, Some(1));
    let open: Vec<_> = report.open_aus().iter().map(|au| (au.au, au.blocks_seen, au.end_seen)).collect();
    assert_eq!(open, [(0, 1, true), (1, 1, true)]);
    let of_second = asked(&report).iter().filter(|(au, _)| *au == 1).count();
    assert_eq!(of_second, 173, "all of it but one");
    assert!(report.receive_kbps > 0);
}

#[test]
fn the_feedback_report_names_blocks_of_which_nothing_came() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let sent = host.send(&vec![vec![1; 20_000]; 5], true, false);
    let unseen = |client: &mut Reassembler| {
        let report = client.feedback(now + Duration::from_millis(5));
        let [open] = report.open_aus() else { panic!("one is open: {report:?}") };
        (open.blocks_seen, open.end_seen, open.unseen)
    };
    for datagram in sent.iter().filter(|d| d.plan.block == 3) {
        client.handle_datagram(&datagram.bytes, now);
    }
    assert_eq!(unseen(&mut client), (4, false, 0b111));
    for datagram in sent.iter().filter(|d| [1, 4].contains(&d.plan.block)) {
        client.handle_datagram(&datagram.bytes, now);
    }
    assert_eq!(unseen(&mut client), (5, true, 0b101));
}

#[test]
fn datagrams_of_other_epochs_and_planes_are_refused() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let held_at_start = client.counters().span_bytes;
    let now = host.now;
    let mut sent = host.send(&[vec![1; 2_000]], true, false);
    sent[0].bytes[100] ^= 1;
    assert_eq!(client.handle_datagram(&sent[0].bytes, now), Arrival::BadTag);
    sent[1].bytes[0] |= 0b1000;
    assert_eq!(client.handle_datagram(&sent[1].bytes, now), Arrival::UnknownEpoch);
    sent[2].bytes[0] |= 0b1_0000;
    assert_eq!(client.handle_datagram(&sent[2].bytes, now), Arrival::Malformed);
    assert_eq!(client.handle_datagram(&[], now), Arrival::Malformed);
    assert_eq!(client.counters().span_bytes, held_at_start);
}

#[test]
fn a_stranger_s_datagrams_are_no_tag_of_this_session() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let held_at_start = client.counters().span_bytes;
    let now = host.now;
    let others = [
        (Secret::new([8; 32]), Direction::HostToClient, Plane::Video),
        (Secret::new([7; 32]), Direction::ClientToHost, Plane::Video),
        (Secret::new([7; 32]), Direction::HostToClient, Plane::Probe),
    ];
    for (secret, direction, plane) in others {
        let keys = PlaneKeys::new(&secret, Cipher::Aes128Gcm, direction, plane);
        let mut stranger =
            Host { sealer: Sealer::new(keys, now), next_au: host.next_au, ..Host::new(&negotiated()) };
        for datagram in stranger.send(&[vec![1; 2_000]], true, false) {
            assert_eq!(client.handle_datagram(&datagram.bytes, now), Arrival::BadTag);
        }
    }
    assert_eq!((client.counters().span_bytes, client.spans_filling()), (held_at_start, 0));
    assert_eq!(client.poll_timeout(), None, "no access unit was begun");
    for datagram in host.send(&[vec![1; 2_000]], true, false) {
        assert_ne!(client.handle_datagram(&datagram.bytes, now), Arrival::BadTag);
    }
    assert_eq!(client.counters().blocks_whole, 1);
}

#[test]
fn a_sequence_that_no_epoch_has_is_malformed() {
    let mut host = Host::new(&negotiated());
    let mut client = reassembler(&negotiated());
    let now = host.now;
    let sent = host.send(&[vec![1; 2_000]], true, false);
    for sequence in [SEQUENCES_PER_EPOCH_MAX, u32::MAX] {
        let mut bytes = sent[0].bytes.clone();
        bytes[4..8].copy_from_slice(&sequence.to_le_bytes());
        assert_eq!(client.handle_datagram(&bytes, now), Arrival::Malformed);
    }
    assert_eq!((client.counters().malformed, client.counters().datagrams_lost), (2, 0));
    assert_eq!(client.handle_datagram(&sent[0].bytes, now), Arrival::Copied);
}
