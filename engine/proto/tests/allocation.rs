//! Once warm, neither end allocates: with loss, reordering and recovery on.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use common::{Host, Rng, negotiated, reassembler};
use punktfunk_proto::{
    AuArrivals, BitrateControl, ClientLoad, Delivery, FeedbackReport, LinkRate, MissingShards, Negotiated,
    OpenAuReport, Reassembler, RedundancyControl, RedundancyPolicy, ResendLedger, seal_data, seal_parity,
};

struct Counting;

thread_local! {
    /// Of this thread: what the other tests and their harness do is not counted.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator unchanged; only a counter is touched beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// AUs of a few sizes in turn, as a stream has them.
const SLICES: [[usize; 4]; 4] =
    [[40_000; 4], [9_000, 80_000, 100, 30_000], [200_000, 1, 5_000, 700_000], [25_000; 4]];

fn receive(client: &mut Reassembler, aus: &[Vec<Vec<u8>>], now: &mut Instant) -> (u64, u64) {
    let (mut blocks, mut lost) = (0, 0);
    for au in aus {
        for datagram in au {
            client.handle_datagram(datagram, *now);
            while let Some(delivery) = client.poll_delivery(*now) {
                match delivery {
                    Delivery::Block(block) => {
                        blocks += 1;
                        client.give_back(block.span);
                    }
                    Delivery::Lost(_) => lost += 1,
                }
            }
        }
        *now += Duration::from_millis(17);
        client.handle_timeout(*now);
        assert_eq!(client.feedback(*now).epoch_opened, 0);
    }
    (blocks, lost)
}

#[test]
fn neither_end_allocates_once_warm() {
    let negotiated = negotiated();
    let mut host = Host::new(&negotiated);
    let mut rng = Rng(3);
    eprintln!("seed 3");
    let mut aus: Vec<Vec<Vec<u8>>> = Vec::new();
    for number in 0..96 {
        let slices: Vec<Vec<u8>> = SLICES[number % 4].iter().map(|bytes| rng.bytes(*bytes)).collect();
        let mut sent = host.send(&slices, false, false);
        sent.retain(|_| !rng.chance(40));
        // One AU in twelve loses far too much.
        sent.retain(|_| number % 12 != 7 || !rng.chance(400));
        for _ in 0..20 {
            let at = rng.below(sent.len() - 3);
            sent.swap(at, at + 2);
        }
        aus.push(sent.into_iter().map(|sent| sent.bytes).collect());
    }
    let mut client = reassembler(&negotiated);
    let mut now = host.now;
    receive(&mut client, &aus[..48], &mut now);
    let before = allocations();
    let (blocks, lost) = receive(&mut client, &aus[48..], &mut now);
    assert_eq!(allocations() - before, 0, "receiver");
    assert!(blocks > 100 && lost > 0, "{blocks} blocks, {lost} lost");
    assert!(client.counters().blocks_recovered > 20);

    let slices: Vec<Vec<u8>> = SLICES[2].iter().map(|bytes| rng.bytes(*bytes)).collect();
    let mut slots = vec![0; 2 << 20];
    send(&mut host, &slices, &mut slots);
    let before = allocations();
    for _ in 0..20 {
        send(&mut host, &slices, &mut slots);
    }
    assert_eq!(allocations() - before, 0, "sender");
}

/// An IDR of five mean AUs, with as many losses as its parity can give back, is the first thing after `new`.
#[test]
fn the_first_idr_and_the_first_loss_allocate_nothing() {
    for (bitrate_kbps, slices_max) in [(20_000, 4), (100_000, 1), (500_000, 8)] {
        let negotiated = Negotiated::new(1408, bitrate_kbps, 60_000, slices_max, 100, 32 << 20).unwrap();
        let mut host = Host::new(&negotiated);
        negotiated.shapes_expected().into_iter().for_each(|shape| host.encoder.prepare(shape));
        host.packetizer.set_shard_bytes(1408);
        let mean_bytes = bitrate_kbps as usize * 125 / 60;
        // Parity, headers and tags are in the rate: an IDR of what is left for payload.
        let slice = vec![7; 5 * mean_bytes * 4 / 5 / usize::from(slices_max)];
        let slices = vec![slice; usize::from(slices_max)];
        let mut slots = vec![0; 16 << 20];
        let before = allocations();
        send(&mut host, &slices, &mut slots);
        assert_eq!(allocations() - before, 0, "sender at {bitrate_kbps} kbit/s");

        host.next_au = 0;
        let mut sent = host.send(&slices, true, false);
        sent.retain(|datagram| datagram.shard >= usize::from(datagram.plan.m));
        let aus = [sent.into_iter().map(|sent| sent.bytes).collect()];
        let started = Instant::now();
        let mut client = reassembler(&negotiated);
        let took = started.elapsed();
        let mut now = host.now;
        let before = allocations();
        let (blocks, lost) = receive(&mut client, &aus, &mut now);
        assert_eq!(allocations() - before, 0, "receiver at {bitrate_kbps} kbit/s, made in {took:?}");
        assert_eq!((blocks, lost), (u64::from(slices_max), 0));
        assert_eq!(client.counters().blocks_recovered, u64::from(slices_max));
        eprintln!("{bitrate_kbps} kbit/s: made in {took:?}, {} bytes of spans", client.counters().span_bytes);
    }
}

/// Reports that ask for shards and for whole blocks, runs sent again, leases that come back and are evicted.
#[test]
fn resends_and_the_redundancy_allocate_nothing() {
    let negotiated = Negotiated::new(1408, 500_000, 120_000, 4, 200, 8 << 20).unwrap();
    let mut host = Host::new(&negotiated);
    host.packetizer.set_shard_bytes(1408);
    let mut ledger = ResendLedger::new(&negotiated);
    let mut control = RedundancyControl::new(RedundancyPolicy::Adaptive, &negotiated);
    let mut now = host.now;
    let (mut resent, mut released) = (0, 0);
    let before = allocations();
    for au in 0..400 {
        host.packetizer.set_redundancy(control.redundancy(now));
        host.packetizer.begin(au, 0, au == 0, false);
        ledger.begin_au(au, now);
        for slice in 0..4 {
            for plan in host.packetizer.plan_slice(130_000, slice == 3).unwrap() {
                ledger.hold(&plan, [plan.au; 4], now);
                while ledger.poll_release(now).is_some() {
                    released += 1;
                }
            }
        }
        now += Duration::from_millis(5);
        let mut report = FeedbackReport::default();
        (report.highest_au, report.lost_per_mille) = (Some(au), 10);
        let open = OpenAuReport { au: au.saturating_sub(2), blocks_seen: 2, end_seen: false, unseen: 1 };
        report.push_open(open);
        report.push_missing(MissingShards { au: open.au, block: 1, word: 1, bits: 0b1011 });
        ledger.handle_report(&report, Duration::from_millis(1), now);
        control.handle_report(&report, Some(Duration::from_millis(1)), now);
        while let Some(run) = ledger.poll_resend(now) {
            resent += run.shards.len();
        }
        if au % 16 == 0 {
            released += usize::from(ledger.evict(now).is_some());
        }
        now += Duration::from_millis(3);
    }
    assert_eq!(allocations() - before, 0);
    assert!(resent > 400 && released > 1_500, "{resent} sent again, {released} leases back");
}

/// Reports of a queue that grows, of losses and of a decoder that is too slow.
#[test]
fn the_bitrate_allocates_nothing() {
    let mut link = LinkRate::new(100_000, 128 << 10);
    let mut bitrate = BitrateControl::new(100_000, Duration::from_micros(16_667));
    let mut now = Instant::now();
    let before = allocations();
    for au in 0..600 {
        link.begin_au(au, false, now);
        for train in 0..20 {
            link.handle_train(10, 11_920, now + Duration::from_micros(700) * train);
        }
        link.end_au(true, false);
        now += Duration::from_micros(16_667);
        // A link of half the rate, then none that is too slow.
        let span_us = if au < 200 { 33_000 } else { 13_300 };
        let queued_us = if au < 200 { au * 16_000 } else { 0 };
        let newest_us = au * 16_667 + span_us + queued_us;
        let mut report = FeedbackReport::default();
        (report.highest_au, report.has_times) = (Some(au), true);
        report.push_arrivals(AuArrivals { au, first: 10, reach: 200, datagrams: 200, span_us, newest_us });
        let aus_lost = if au % 4 == 0 { au } else { au.saturating_sub(1) };
        report.load = Some(ClientLoad { aus_lost, decode_us: 25_000, aus_waiting: 3, aus_overrun: 0 });
        link.handle_report(&report, now);
        bitrate.handle_report(&report, &mut link, now);
    }
    assert_eq!(allocations() - before, 0);
    let counters = bitrate.counters();
    assert!(counters.delay > 0 && counters.decode > 0 && counters.futile > 0, "{counters:?}");
}

fn send(host: &mut Host, slices: &[Vec<u8>], slots: &mut [u8]) {
    host.packetizer.begin(host.next_au, 0, false, false);
    host.next_au += 1;
    for (index, slice) in slices.iter().enumerate() {
        for plan in host.packetizer.plan_slice(slice.len(), index + 1 == slices.len()).unwrap() {
            let slots = &mut slots[..plan.slots_bytes()];
            seal_data(&plan, 0..usize::from(plan.k), slice, slots, &mut host.sealer, host.now).unwrap();
            let parity = host.encoder.encode(plan.fec_shape().unwrap(), &slice[plan.range()]).unwrap();
            seal_parity(&plan, &parity, slots, &mut host.sealer, host.now).unwrap();
        }
    }
}
