//! The speed test's filler: what is planned adds up to the target, what is sealed is counted once and where it stood,
//! and what both ends' counts say is named.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use punktfunk_fec::Encoder;
use punktfunk_proto::speed::{Next, OrderError, POSITIONS};
use punktfunk_proto::{
    BurstBlock, DATAGRAM_OVERHEAD, Filler, FillerMeter, FillerSeen, FillerSent, Header, Redundancy,
    SpeedTestOrder, WeakestLink, judge, seal_filler, seal_filler_parity,
};
use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret};

const INTERVAL: Duration = Duration::from_micros(16_667);

fn keys(plane: Plane) -> PlaneKeys {
    PlaneKeys::new(&Secret::new([9; 32]), Cipher::Aes128Gcm, Direction::HostToClient, plane)
}

fn order(target_kbps: u32, duration_ms: u32) -> SpeedTestOrder {
    SpeedTestOrder::new(target_kbps, duration_ms).unwrap()
}

/// A host that sends filler, and the datagrams of the burst that it sends now.
struct Host {
    start: Instant,
    filler: Filler,
    sealer: Sealer,
    fec: Encoder,
    sent: FillerSent,
    shard_bytes: u16,
}

impl Host {
    fn new(test: u16, order: SpeedTestOrder, shard_bytes: u16, now: Instant) -> Self {
        let filler = Filler::new(test, order, INTERVAL, Redundancy::fixed(100), now);
        let period_us = filler.period().as_micros() as u64;
        let sent = FillerSent { test, period_us, ..FillerSent::default() };
        Self {
            start: now,
            filler,
            sealer: Sealer::new(keys(Plane::Probe), now),
            fec: Encoder::new(),
            sent,
            shard_bytes,
        }
    }

    /// The next burst and when it leaves.
    fn burst(&mut self, now: &mut Instant) -> Option<Vec<Vec<u8>>> {
        loop {
            match self.filler.poll(self.shard_bytes, *now) {
                Next::Over => return None,
                Next::Wait(until) => *now = until,
                Next::Burst(burst) => {
                    let (mut datagrams, now) = (Vec::new(), *now);
                    for block in burst.blocks() {
                        let pts_us = (now - self.start).as_micros() as u32;
                        self.seal(&block, pts_us, &mut datagrams, now);
                    }
                    assert_eq!(datagrams.len(), burst.datagrams() as usize);
                    return Some(datagrams);
                }
            }
        }
    }

    fn seal(&mut self, block: &BurstBlock, pts_us: u32, out: &mut Vec<Vec<u8>>, now: Instant) {
        let (data, k) = (vec![0x5A; block.data_bytes()], usize::from(block.k));
        let mut slots = vec![0; block.slots_bytes()];
        seal_filler(block, 0..k, &data, &mut slots, pts_us, &mut self.sealer, now).unwrap();
        let parity = self.fec.encode(block.fec_shape().unwrap(), &data).unwrap();
        seal_filler_parity(block, k..block.shards(), &parity, &mut slots, pts_us, &mut self.sealer, now)
            .unwrap();
        self.sent.handle_train(block, 0, block.shards() as u64, 0);
        out.extend(slots.chunks(usize::from(self.shard_bytes) + DATAGRAM_OVERHEAD).map(<[u8]>::to_vec));
    }
}

fn meter(now: Instant) -> FillerMeter {
    FillerMeter::new(Opener::new(keys(Plane::Probe), 65_536), 8_896, now)
}

#[test]
fn what_is_sealed_is_counted_once_and_where_it_stood() {
    let start = Instant::now();
    let mut now = start;
    let mut host = Host::new(3, order(50_000, 300), 1_152, now);
    let mut meter = meter(start);
    let mut first = Vec::new();
    let mut burst_count = 0_u32;
    while let Some(burst) = host.burst(&mut now) {
        let datagrams = burst.len();
        // The last tenth is lost, and the way takes 5 ms, or 9 ms for each fourth burst.
        let way = Duration::from_millis(if burst_count % 4 == 3 { 9 } else { 5 });
        for datagram in &burst[..datagrams - datagrams / 10] {
            assert!(meter.handle_datagram(datagram, now + way));
        }
        first = burst.first().cloned().unwrap_or(first);
        burst_count += 1;
    }
    assert!(!meter.handle_datagram(&first, now), "once");
    assert_eq!(burst_count, 18);
    let seen = meter.seen(3);
    assert_eq!(seen.by_position.iter().sum::<u64>(), seen.datagrams);
    assert_eq!(seen.by_position[..9], host.sent.by_position[..9]);
    assert_eq!(seen.by_position[9], 0, "{seen:?}");
    assert_eq!((seen.delay_p50_us, seen.delay_p99_us), (0, 4_000));
    assert!(meter.is_quiet(3, Duration::from_millis(50), now + Duration::from_millis(60)));
    assert!(!meter.is_quiet(3, Duration::from_millis(50), now + Duration::from_millis(20)));
    assert_eq!(meter.seen(4), FillerSeen { test: 4, ..FillerSeen::default() }, "another test's");
    let found = judge(host.filler.order(), &host.sent, &seen).unwrap();
    assert_eq!(found.weakest, WeakestLink::Network);
    assert!(found.is_shallow, "{found:?}");
    assert_eq!(found.loss_by_position_ppm[0], 0);
    assert!(found.sent_kbps.abs_diff(50_000) < 500, "{found:?}");
    // A tenth is lost, a tenth of what came is parity.
    assert!((39_000..42_000).contains(&found.goodput_kbps), "{found:?}");
    assert!(found.to_string().contains("shallow"), "{found}");
}

#[test]
fn a_newer_test_takes_the_olders_place_and_never_the_other_way() {
    let start = Instant::now();
    let (mut now, mut meter) = (start, meter(start));
    // One sealer goes on through both.
    let mut host = Host::new(u16::MAX, order(20_000, 200), 1_152, now);
    let old = [host.burst(&mut now).unwrap(), host.burst(&mut now).unwrap()];
    host.filler = Filler::new(0, order(20_000, 200), INTERVAL, Redundancy::fixed(100), now);
    let new = host.burst(&mut now).unwrap();
    assert!(meter.handle_datagram(&old[0][0], now));
    assert_eq!(meter.seen(u16::MAX).datagrams, 1);
    assert!(new.iter().all(|datagram| meter.handle_datagram(datagram, now)), "numbers wrap");
    assert!(!meter.handle_datagram(&old[1][0], now), "a straggler of the test before");
    assert_eq!((meter.seen(0).datagrams, meter.seen(u16::MAX).datagrams), (new.len() as u64, 0));
}

#[test]
fn nothing_that_is_not_filler_is_counted() {
    let start = Instant::now();
    let (mut now, mut meter) = (start, meter(start));
    let mut host = Host::new(1, order(20_000, 200), 1_152, now);
    let good = host.burst(&mut now).unwrap().swap_remove(0);
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    // The video plane, another epoch, each flag, a tail, another place, another test, and a wrong tag.
    let hostile =
        [(0, 0), (0, 0x20), (0, 0x18), (1, 1), (1, 8), (22, 1), (2, 7), (20, 9), (good.len() - 1, 0)];
    for (at, to) in hostile {
        assert!(!meter.handle_datagram(&changed(at, to), now), "{at} {to}");
    }
    for bytes in [0, 1, 23, 39, 40, 103, good.len() - 1, good.len() - 64] {
        assert!(!meter.handle_datagram(&good[..bytes], now), "{bytes}");
    }
    assert_eq!(meter.seen(1).datagrams, 0);
    assert!(meter.handle_datagram(&good, now));
    // A shard longer than was agreed on is not even opened.
    let mut small = FillerMeter::new(Opener::new(keys(Plane::Probe), 65_536), 1_088, start);
    assert!(!small.handle_datagram(&good, now));
    // What a video key has sealed is not of this plane, whatever its header says.
    let header = Header::parse(&good).unwrap();
    assert_eq!(header.plane, Plane::Probe);
    let strange = reseal(&mut Sealer::new(keys(Plane::Video), now), &header, 1_152, now);
    assert!(!meter.handle_datagram(&strange, now));
}

#[test]
fn delays_of_a_long_test_are_kept_evenly() {
    let start = Instant::now();
    let (mut now, mut meter) = (start, meter(start));
    let mut host = Host::new(1, order(500_000, 10_000), 256, now);
    let (mut trains, mut stamp) = (0_u64, 0);
    while let Some(burst) = host.burst(&mut now) {
        // Of each burst 40 datagrams in trains of one, a microsecond apart at their departure: too many to be kept.
        for datagram in burst.iter().take(40) {
            let mut header = Header::parse(datagram).unwrap();
            stamp += 1;
            header.pts_us = stamp;
            trains += 1;
            let sealed = reseal(&mut host.sealer, &header, 256, now);
            // Delays rise evenly from 0 to 100 ms.
            let delay = Duration::from_micros(u64::from(stamp) + trains * 100_000 / 24_000);
            assert!(meter.handle_datagram(&sealed, start + delay));
        }
    }
    assert!(trains > 16_384, "{trains}");
    let seen = meter.seen(1);
    let most = trains * 100_000 / 24_000;
    assert!(u64::from(seen.delay_p50_us).abs_diff(most / 2) < most / 50, "{seen:?} {most}");
    assert!(u64::from(seen.delay_p99_us).abs_diff(most * 99 / 100) < most / 50, "{seen:?} {most}");
}

fn reseal(sealer: &mut Sealer, header: &Header, shard_bytes: usize, now: Instant) -> Vec<u8> {
    let mut datagram = vec![0; shard_bytes + DATAGRAM_OVERHEAD];
    let ticket = sealer.reserve(now).unwrap();
    let header = Header { epoch_low: ticket.epoch_low(), sequence: ticket.sequence(), ..*header };
    let (head, sealed) = datagram.split_first_chunk_mut().unwrap();
    header.write(head);
    sealer.seal(ticket, head, &vec![0; shard_bytes], 0, sealed);
    datagram
}

#[test]
fn orders_that_cannot_be_are_named() {
    assert_eq!(SpeedTestOrder::new(499, 1_000), Err(OrderError::Target(499)));
    assert_eq!(SpeedTestOrder::new(10_000_001, 1_000), Err(OrderError::Target(10_000_001)));
    assert_eq!(SpeedTestOrder::new(500, 199), Err(OrderError::Duration(199)));
    assert_eq!(SpeedTestOrder::new(500, 10_001), Err(OrderError::Duration(10_001)));
    let text = OrderError::Target(1).to_string();
    assert_eq!(text, "a speed test tries 500 to 10000000 kbit/s, not 1");
    assert_eq!(order(10_000_000, 10_000).pace_kbps(), 12_000_000);
}

/// A second at 100 Mbit/s, in datagrams of 1,250 bytes.
fn sent() -> FillerSent {
    FillerSent {
        test: 1,
        period_us: 1_000_000,
        datagrams: 10_000,
        wire_bytes: 12_500_000,
        data_bytes: 11_000_000,
        by_position: [1_000; POSITIONS],
        ..FillerSent::default()
    }
}

fn seen(datagrams: u64) -> FillerSeen {
    FillerSeen {
        test: 1,
        datagrams,
        wire_bytes: datagrams * 1_250,
        span_us: 995_000,
        by_position: [datagrams / 10; POSITIONS],
        ..FillerSeen::default()
    }
}

#[test]
fn the_weakest_link_is_named() {
    let order = order(100_000, 1_000);
    let name = |sent: FillerSent, seen: FillerSeen| {
        let found = judge(order, &sent, &seen).unwrap();
        assert!((500..=8_000_000).contains(&found.recommended_kbps));
        (found.weakest, found.recommended_kbps)
    };
    assert_eq!(name(sent(), seen(10_000)), (WeakestLink::None, 85_000));
    assert_eq!(name(sent(), seen(9_980)), (WeakestLink::None, 74_850));
    // Enough came, but too much was lost on the way.
    assert_eq!(name(sent(), seen(9_800)), (WeakestLink::Network, 73_500));
    assert_eq!(name(sent(), seen(6_000)), (WeakestLink::Network, 45_000));
    // Half of the losses, or more, were the client's own.
    let own = |drops| FillerSeen { client_drops: drops, ..seen(6_000) };
    assert_eq!(name(sent(), own(2_000)).0, WeakestLink::ClientBuffer);
    assert_eq!(name(sent(), own(1_999)).0, WeakestLink::Network);
    // All that was sent came, but it was not enough; a host that waits for its send buffer is held up from below.
    let slow = FillerSent { datagrams: 8_000, wire_bytes: 10_000_000, data_bytes: 8_800_000, ..sent() };
    assert_eq!(name(slow, seen(8_000)), (WeakestLink::Host, 68_000));
    assert_eq!(name(FillerSent { blocked_us: 300_000, ..slow }, seen(8_000)).0, WeakestLink::Network);
    assert_eq!(name(FillerSent { dropped: 5, ..slow }, seen(8_000)).0, WeakestLink::Network);
    // The larger gap counts.
    assert_eq!(name(slow, seen(5_000)).0, WeakestLink::Network);
    // A queue that empties late is as slow as it is.
    let late = FillerSeen { span_us: 2_000_000, ..seen(10_000) };
    assert_eq!(name(sent(), late), (WeakestLink::Network, 42_500));
    // A second in which nothing came has no result.
    assert_eq!(judge(order, &sent(), &seen(0)), None);
    assert_eq!(judge(order, &FillerSent::default(), &seen(10)), None);
}

proptest! {
    #[test]
    fn what_is_planned_adds_up_to_the_target(
        target_kbps in 500_u32..=10_000_000, duration_ms in 200_u32..=2_000, shards in 4_u16..=139,
        interval_us in 1_000_u64..100_000, per_mille in 0_u16..=1_000,
    ) {
        let start = Instant::now();
        let (mut now, shard_bytes) = (start, shards * 64);
        let interval = Duration::from_micros(interval_us);
        let mut filler =
            Filler::new(1, order(target_kbps, duration_ms), interval, Redundancy::fixed(per_mille), start);
        let (mut bytes, mut last) = (0_u64, None);
        let period = filler.period();
        prop_assert!(period >= Duration::from_millis(duration_ms.into()));
        loop {
            match filler.poll(shard_bytes, now) {
                Next::Over => break,
                Next::Wait(until) => {
                    prop_assert!(until > now);
                    now = until;
                }
                Next::Burst(burst) => {
                    prop_assert!(now < filler.end());
                    let blocks: Vec<_> = burst.blocks().collect();
                    let shards: usize = blocks.iter().map(BurstBlock::shards).sum();
                    prop_assert_eq!(shards, burst.datagrams() as usize);
                    prop_assert!(burst.datagrams() <= 65_535 && burst.data() > 0);
                    for block in &blocks {
                        prop_assert!(block.data_bytes() <= punktfunk_proto::Burst::block_bytes_max());
                        prop_assert!(block.m >= 1 && block.fec_shape().is_ok());
                    }
                    bytes += burst.bytes();
                    last = Some(burst);
                }
            }
        }
        let wanted = u128::from(target_kbps) * period.as_nanos() / 8_000_000;
        let bytes = u128::from(bytes);
        prop_assert!(bytes <= wanted);
        // No more stays due than the last burst could not take, unless its header cannot count more: each block's parity is
        // a whole number, so a datagram more of data may take one more for each block; and none is less than two.
        let stride = u128::from(shard_bytes) + 40;
        let left = wanted - bytes;
        let counted = last.is_none_or(|burst| burst.datagrams() < 60_000);
        let blocks = last.map_or(0, |burst| burst.blocks().count() as u128);
        prop_assert!(!counted || left < (blocks + 4) * stride, "{left} of {wanted} in {blocks} blocks");
    }

    /// Whatever the other end says it saw: no panic, and nothing above what was sent.
    #[test]
    fn no_word_of_the_other_end_makes_a_figure_that_cannot_be(
        numbers: [u64; 4], by_position: [u64; POSITIONS], delays: [u32; 2],
    ) {
        let [datagrams, wire_bytes, span_us, client_drops] = numbers;
        let seen = FillerSeen {
            test: 1, datagrams, wire_bytes, span_us, by_position, client_drops,
            delay_p50_us: delays[0], delay_p99_us: delays[1], epoch_opened: 0,
        };
        if let Some(found) = judge(order(100_000, 1_000), &sent(), &seen) {
            prop_assert!(found.received_kbps <= found.sent_kbps && found.goodput_kbps <= found.sent_kbps);
            prop_assert!(found.loss_ppm <= 1_000_000);
            prop_assert!((500..=8_000_000).contains(&found.recommended_kbps));
        }
    }
}
