//! The estimator on simulated links, and against reports that lie.

use proptest::prelude::*;

use super::*;
use crate::pacer::Pacer;

const DATAGRAM: usize = 1_448;
/// What a device or a wake puts together.
const BATCH_NS: u64 = 40_000;

/// A wire of 10 Gbit/s or as fast as the host sends, then a hop of `link_kbps` with a tail-drop queue.
#[derive(Debug, Clone, Copy)]
struct Link {
    nic_kbps: u32,
    link_kbps: u32,
    queue_bytes: u64,
    /// Arrivals are told up to so much late.
    jitter_us: u64,
    /// Datagrams of each 1,000 that the air loses.
    air_per_mille: u64,
    /// One AU in so many meets a receiver that stands still for 1 to 3 ms.
    stall_one_in: u64,
}

const WIRED: Link = Link {
    nic_kbps: 10_000_000,
    link_kbps: 1_000_000,
    queue_bytes: 128 << 10,
    jitter_us: 30,
    air_per_mille: 0,
    stall_one_in: u64::MAX,
};

#[derive(Debug, Clone, Copy)]
struct Media {
    wire_kbps: u32,
    refresh: u64,
    /// One AU in so many is an IDR, five times the size.
    idr_every: u64,
}

/// What a session came to.
#[derive(Debug, Default)]
struct Ended {
    /// AUs of which more than a twentieth was lost: more than parity mends in the worst of four slices.
    broken: u64,
    /// The rate after each AU, and the milliseconds since the start.
    rates: Vec<(u64, u32)>,
    counters: LinkRateCounters,
    burst_bytes: usize,
}

struct Sim {
    link: Link,
    rate: LinkRate,
    pacer: Pacer,
    start: Instant,
    /// Nanoseconds: when the NIC, the hop and the host are free.
    nic_free: u64,
    hop_free: u64,
    now: u64,
    random: u64,
    before: Option<AuArrivals>,
}

impl Sim {
    fn new(link: Link, media: Media) -> Self {
        let burst = 128 << 10;
        let rate = LinkRate::new(media.wire_kbps, burst);
        let pacer = Pacer::new(rate.pace().rate_kbps, burst);
        let start = Instant::now();
        Self { link, rate, pacer, start, nic_free: 0, hop_free: 0, now: 0, random: 7, before: None }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit.max(1)
    }

    fn at(&self, ns: u64) -> Instant {
        self.start + Duration::from_nanos(ns)
    }

    /// Sends an AU and hands its report in; returns how many datagrams of how many were lost.
    fn au(&mut self, au: u32, bytes: u64, idr: bool) -> (u64, u64) {
        let pace = self.rate.begin_au(au, idr, self.at(self.now));
        self.set(pace);
        self.pacer.begin_au(self.at(self.now));
        let total = bytes.div_ceil(DATAGRAM as u64);
        let (mut left, mut sequence) = (total, 0);
        let mut came: Vec<(u64, u32)> = Vec::new();
        while left > 0 {
            let train = (self.pacer.train_segments_max(DATAGRAM).min(44) as u64).min(left);
            let size = train as usize * DATAGRAM;
            let departure = self.pacer.departure(size, self.at(self.now));
            self.now = (departure - self.start).as_nanos() as u64 + self.below(5_000);
            for _ in 0..train {
                if let Some(at) = self.datagram() {
                    came.push((at, sequence));
                }
                sequence += 1;
            }
            let pace = self.rate.handle_train(train as usize, size, self.at(self.now));
            self.set(pace);
            // What sealing and sending a train costs the host: 20 Gbit/s.
            self.now += size as u64 * 8 / 20;
            left -= train;
        }
        self.rate.end_au(true, idr);
        self.report(au, &came);
        (total - came.len() as u64, total)
    }

    fn set(&mut self, pace: Pace) {
        self.pacer.set_rate(pace.rate_kbps);
        self.pacer.set_burst(pace.burst_bytes);
    }

    /// When a datagram that is sent now comes, if it does.
    fn datagram(&mut self) -> Option<u64> {
        let lost_in_air = self.below(1_000) < self.link.air_per_mille;
        self.nic_free = self.nic_free.max(self.now) + nanos_of(DATAGRAM as u64, self.link.nic_kbps);
        let backlog_ns = self.hop_free.saturating_sub(self.nic_free);
        let backlog = backlog_ns * u64::from(self.link.link_kbps) / 8_000_000;
        if backlog + DATAGRAM as u64 > self.link.queue_bytes {
            return None;
        }
        self.hop_free = self.hop_free.max(self.nic_free) + nanos_of(DATAGRAM as u64, self.link.link_kbps);
        (!lost_in_air).then_some(self.hop_free)
    }

    /// The client takes what came in batches, each a little late, and reports.
    fn report(&mut self, au: u32, came: &[(u64, u32)]) {
        let is_stalled = self.below(self.link.stall_one_in) == 0;
        let stall = if is_stalled { 1_000_000 + self.below(2_000_000) } else { 0 };
        let mut arrivals = AuArrivals { au, ..AuArrivals::default() };
        let (mut first_at, mut taken_until) = (None, 0);
        let batches = came.chunk_by(|first, second| second.0 / BATCH_NS == first.0 / BATCH_NS);
        let mut taken = 0;
        for (index, batch) in batches.enumerate() {
            taken += batch.len();
            let late = self.below(self.link.jitter_us * 1_000);
            let stalled = if taken * 2 > came.len() { stall } else { 0 };
            taken_until = taken_until.max(batch[batch.len() - 1].0 + late + stalled);
            let from = *first_at.get_or_insert(taken_until);
            arrivals.reach = batch[batch.len() - 1].1 - came[0].1 + 1;
            arrivals.first = if index == 0 { arrivals.reach } else { arrivals.first };
            arrivals.span_us = ((taken_until - from) / 1_000) as u32;
        }
        arrivals.datagrams = came.len() as u32;
        let mut report = FeedbackReport { highest_au: Some(au), ..FeedbackReport::default() };
        if !came.is_empty() {
            report.push_arrivals(arrivals);
        }
        if let Some(before) = self.before.replace(arrivals) {
            report.push_arrivals(before);
        }
        let at = self.at(self.now.max(taken_until) + 300_000);
        self.rate.handle_report(&report, at);
    }
}

fn run(link: Link, media: Media, seconds: u64) -> Ended {
    let mut sim = Sim::new(link, media);
    let mut ended = Ended::default();
    let interval = 1_000_000_000 / media.refresh;
    let au_bytes = u64::from(media.wire_kbps) * 125 / media.refresh;
    for au in 0..seconds * media.refresh {
        if sim.now > (au + 2) * interval {
            // Shed before encode.
            continue;
        }
        sim.now = sim.now.max(au * interval);
        let idr = au.is_multiple_of(media.idr_every);
        let bytes = if idr { 5 * au_bytes } else { au_bytes * (90 + sim.below(20)) / 100 };
        let (lost, sent) = sim.au(au as u32, bytes, idr);
        ended.broken += u64::from(lost * 20 > sent);
        ended.rates.push((sim.now / 1_000_000, sim.rate.pace().rate_kbps));
    }
    ended.counters = sim.rate.counters();
    ended.burst_bytes = sim.rate.pace().burst_bytes;
    ended
}

impl Ended {
    fn rates_after(&self, ms: u64) -> impl Iterator<Item = u32> + '_ {
        self.rates.iter().filter(move |(at, _)| *at >= ms).map(|(_, rate)| *rate)
    }
}

#[test]
fn a_shallow_gigabit_hop_breaks_no_picture() {
    for wire_kbps in [100_000, 300_000, 600_000, 800_000] {
        for nic_kbps in [2_500_000, 10_000_000] {
            let link = Link { nic_kbps, ..WIRED };
            let ended = run(link, Media { wire_kbps, refresh: 120, idr_every: u64::MAX }, 10);
            assert_eq!(ended.broken, 0, "{wire_kbps} {nic_kbps}: {:?} {:?}", ended.counters, ended.rates);
            let (low, high) = (ended.rates_after(1_500).min().unwrap(), ended.rates_after(0).max().unwrap());
            assert!(low > 800_000 && high < 1_150_000, "{wire_kbps} {nic_kbps}: {low}..{high}");
        }
    }
}

#[test]
fn a_fast_link_is_found_within_a_second() {
    for wire_kbps in [500_000, 1_000_000, 1_500_000] {
        let link = Link { nic_kbps: 40_000_000, link_kbps: 40_000_000, queue_bytes: 8 << 20, ..WIRED };
        let ended = run(link, Media { wire_kbps, refresh: 120, idr_every: u64::MAX }, 2);
        let after = ended.rates_after(1_000).min().unwrap();
        assert!(after > 4_000_000, "{wire_kbps}: {after} {:?}", ended.rates);
    }
}

#[test]
fn a_receiver_that_stands_still_now_and_then_is_no_slow_link() {
    let link = Link { link_kbps: 10_000_000, queue_bytes: 1 << 20, stall_one_in: 7, ..WIRED };
    let ended = run(link, Media { wire_kbps: 500_000, refresh: 120, idr_every: u64::MAX }, 6);
    let median = {
        let mut rates: Vec<u32> = ended.rates_after(2_000).collect();
        rates.sort_unstable();
        rates[rates.len() / 2]
    };
    assert!(median > 3_000_000, "{median} {:?} {:?}", ended.counters, ended.rates);
}

#[test]
fn the_airs_losses_are_no_ceiling() {
    for air_per_mille in [10, 50] {
        let link = Link { air_per_mille, ..WIRED };
        let ended = run(link, Media { wire_kbps: 300_000, refresh: 60, idr_every: u64::MAX }, 10);
        let low = ended.rates_after(3_000).min().unwrap();
        assert!(low > 600_000, "{air_per_mille}: {low} {:?} {:?}", ended.counters, ended.rates);
    }
}

#[test]
fn another_path_begins_as_a_session_does() {
    let mut sim = Sim::new(WIRED, Media { wire_kbps: 300_000, refresh: 120, idr_every: u64::MAX });
    let fresh = sim.rate.pace();
    for au in 0..200 {
        sim.now = sim.now.max(u64::from(au) * 8_333_333);
        sim.au(au, 312_500, false);
    }
    assert!(sim.rate.pace().rate_kbps > 2 * fresh.rate_kbps, "{:?}", sim.rate.pace());
    let counters = sim.rate.counters();
    // In the midst of an access unit, whose report and the one before it come later.
    sim.rate.begin_au(200, false, sim.at(sim.now));
    sim.rate.handle_train(44, 44 * DATAGRAM, sim.at(sim.now));
    sim.rate.restart();
    sim.rate.end_au(true, false);
    sim.report(200, &[(sim.now, 0), (sim.now + 50_000_000, 43)]);
    assert_eq!((sim.rate.pace(), sim.rate.counters()), (fresh, counters));
}

#[test]
fn a_link_that_becomes_slow_is_followed_at_once() {
    let media = Media { wire_kbps: 300_000, refresh: 120, idr_every: u64::MAX };
    let mut sim = Sim::new(WIRED, media);
    let au_bytes = 300_000 * 125 / 120;
    let mut worst = 0;
    for au in 0_u64..1_200 {
        sim.now = sim.now.max(au * 8_333_333);
        if au == 400 {
            sim.link.link_kbps = 400_000;
        }
        let (lost, sent) = sim.au(au as u32, au_bytes, false);
        worst += u64::from(au >= 400 && lost * 20 > sent);
    }
    let rate = sim.rate.pace().rate_kbps;
    assert!((330_000..440_000).contains(&rate), "{rate}");
    assert!(worst <= 8, "{worst} access units lost");
}

#[test]
fn a_ceiling_that_lifts_is_found_again() {
    let media = Media { wire_kbps: 300_000, refresh: 120, idr_every: u64::MAX };
    let mut sim = Sim::new(Link { link_kbps: 500_000, ..WIRED }, media);
    for au in 0_u64..2_400 {
        sim.now = sim.now.max(au * 8_333_333);
        if au == 400 {
            assert!(sim.rate.pace().rate_kbps < 560_000);
            sim.link.link_kbps = 2_500_000;
        }
        sim.au(au as u32, 300_000 * 125 / 120, false);
    }
    assert!(sim.rate.pace().rate_kbps > 1_500_000, "{:?}", sim.rate.pace());
}

#[test]
fn a_wire_rate_that_grows_takes_the_pace_with_it() {
    let mut rate = LinkRate::new(20_000, 128 << 10);
    assert_eq!(rate.pace().rate_kbps, 95_000);
    let change = rate.set_wire_rate(200_000).expect("it needs more");
    assert_eq!((change.reason, change.now.rate_kbps), (RateReason::Agreed, 210_000));
    assert_eq!(
        rate.set_wire_rate(100_000).map(|change| change.now.rate_kbps),
        Some(199_500),
        "it needs less"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Never stuck low, never above the link for long, whatever the link; what breaks does so in the ramp only.
    #[test]
    fn every_link_is_found(
        link_mbps in 100u32..10_000,
        queue_kib in 64u64..1_024,
        jitter_us in 1u64..60,
        load_percent in 30u32..85,
        refresh in prop::sample::select(vec![60u64, 120, 240]),
        is_fast_nic in any::<bool>(),
    ) {
        let link_kbps = link_mbps * 1_000;
        let nic_kbps = if is_fast_nic { 40_000_000 } else { link_kbps.saturating_mul(5) / 2 };
        let link = Link { nic_kbps, link_kbps, queue_bytes: queue_kib << 10, jitter_us, ..WIRED };
        let media = Media { wire_kbps: link_kbps / 100 * load_percent, refresh, idr_every: u64::MAX };
        let ended = run(link, media, 8);
        let above = ended.rates_after(0).filter(|rate| *rate > link_kbps + link_kbps / 8).count();
        prop_assert!(above * 20 <= ended.rates.len(), "above for {above} of {}: {:?}", ended.rates.len(), ended.counters);
        let need = media.wire_kbps / 100 * 105;
        let low = ended.rates_after(4_000).min().unwrap();
        let least = need.max(link_kbps / 10 * 7);
        prop_assert!(low >= least.min(link_kbps / 10 * 9), "{low} of {link_kbps}: {:?}", ended.counters);
        prop_assert!(ended.broken * 100 <= ended.rates.len() as u64, "{} broken: {:?} burst {}", ended.broken, ended.counters, ended.burst_bytes);
    }

    /// Whatever a report says, the rate stays a link's, and without losses no less than is needed.
    #[test]
    fn reports_that_lie_move_nothing_out_of_bounds(
        reports in proptest::collection::vec((any::<[u32; 5]>(), any::<[u32; 5]>(), any::<Option<u32>>(), 0u32..40), 1..200),
        wire_kbps in 500u32..8_000_000,
    ) {
        let mut sim = Sim::new(WIRED, Media { wire_kbps, refresh: 60, idr_every: 50 });
        for (au, (first, second, highest_au, near)) in reports.into_iter().enumerate() {
            let bytes = 1 + sim.below(2_000_000);
            sim.au(au as u32, bytes, au.is_multiple_of(7));
            let mut report = FeedbackReport { highest_au, ..FeedbackReport::default() };
            for [number, first, reach, datagrams, span_us] in [first, second] {
                // Mostly of AUs that there are.
                let number = if near < 30 { (au as u32).saturating_sub(number % 4) } else { number };
                let (first, reach) = if near < 20 { (first % 2_000, reach % 2_000) } else { (first, reach) };
                report.push_arrivals(AuArrivals { au: number, first, reach, datagrams, span_us, newest_us: 0 });
            }
            sim.rate.handle_report(&report, sim.at(sim.now));
            let pace = sim.rate.pace();
            prop_assert!(LINK_KBPS.contains(&pace.rate_kbps));
            prop_assert!(((16 << 10)..=(128 << 10)).contains(&pace.burst_bytes));
        }
    }
}
