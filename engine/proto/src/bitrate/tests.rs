//! The control on simulated ways, and against reports that lie.

use proptest::prelude::*;

use super::*;
use crate::arrivals::AuArrivals;

mod sim;

use sim::{LAN, Sim, Way};

const ASKED: u32 = 200_000;

fn adaptive(way: Way, asked_kbps: u32) -> Sim {
    Sim::new(way, asked_kbps, BitratePolicy::Adaptive)
}

/// A hop of 100 Mbit/s with a tenth of a second of queue.
const HOP: Way = Way { link_kbps: 100_000, queue_bytes: 1_250_000, delay_ms: 2, ..LAN };

#[test]
fn a_link_of_half_the_rate_is_filled_and_no_more() {
    let mut sim = adaptive(HOP, ASKED);
    sim.run(30_000);
    let first = sim.samples.iter().find(|sample| sample.kbps < 100_000).expect("it falls");
    assert!(first.ms <= 150, "{first:?}");
    let (mean, p99) = (sim.mean_kbps(3_000, 30_000), sim.queue_p99_us(3_000, 30_000));
    assert!((80_000..=97_000).contains(&mean), "{mean} {:?}", sim.control.counters());
    let lowest = sim.between(3_000, 30_000).map(|sample| sample.kbps).min();
    eprintln!(
        "100 Mbit/s, 200 asked: below after {} ms, {mean} kbit/s, {lowest:?} at least, queue p99 {p99} us",
        first.ms
    );
    assert!(lowest > Some(75_000), "{lowest:?}");
    assert!(p99 <= 12_000, "{p99} {:?}", sim.control.counters());
    assert_eq!(sim.lost(3_000, 30_000), 0);

    let mut fixed = Sim::new(HOP, ASKED, BitratePolicy::Fixed);
    fixed.run(5_000);
    let pictures = |sim: &Sim| sim.between(3_000, 5_000).count();
    assert!(pictures(&sim) >= 119 && pictures(&fixed) < 90, "{} {}", pictures(&sim), pictures(&fixed));
}

#[test]
fn a_link_that_becomes_slow_is_followed_within_300_ms_and_back_within_12_s() {
    let mut sim = adaptive(Way { link_kbps: 120_000, ..HOP }, 100_000);
    sim.run(5_000);
    assert_eq!(sim.control.kbps(), 100_000);
    sim.way.link_kbps = 20_000;
    sim.run(300);
    assert!(sim.control.kbps() < 20_000, "{} after 300 ms", sim.control.kbps());
    let below = sim.between(5_000, 5_300).find(|sample| sample.kbps < 20_000).map(|sample| sample.ms - 5_000);
    sim.run(9_700);
    let (mean, p99) = (sim.mean_kbps(8_000, 15_000), sim.queue_p99_us(8_000, 15_000));
    assert!((15_000..=19_500).contains(&mean), "{mean} {:?}", sim.control.counters());
    assert!(p99 <= 25_000, "{p99}");
    sim.way.link_kbps = 120_000;
    sim.run(12_000);
    let back =
        sim.between(15_000, 27_000).find(|sample| sample.kbps == 100_000).map(|sample| sample.ms - 15_000);
    eprintln!(
        "100 -> 20 Mbit/s: below after {below:?} ms, {mean} kbit/s, queue p99 {p99} us, back after {back:?} ms"
    );
    assert_eq!(sim.control.kbps(), 100_000, "{:?} {:?}", sim.control.counters(), sim.link_counters());
}

#[test]
fn the_airs_losses_leave_the_rate_alone() {
    let mut sim = adaptive(Way { air_per_mille: 10, link_kbps: 150_000, ..HOP }, 100_000);
    sim.run(20_000);
    let mean = sim.mean_kbps(0, 20_000);
    assert!(mean >= 95_000, "{mean} {:?}", sim.control.counters());
}

#[test]
fn a_clean_way_leaves_the_rate_alone() {
    for (asked, stall_one_in, jitter_us) in [(500_000, u64::MAX, 100), (500_000, 9, 400), (20_000, 5, 2_000)]
    {
        let mut sim = adaptive(Way { stall_one_in, jitter_us, ..LAN }, asked);
        sim.run(10_000);
        let lowest = sim.between(0, 10_000).map(|sample| sample.kbps).min();
        assert_eq!(lowest, Some(asked), "stalls one in {stall_one_in}: {:?}", sim.control.counters());
    }
}

#[test]
fn another_flow_is_given_its_part_and_the_rest_is_used() {
    let mut sim = adaptive(HOP, ASKED);
    sim.run(5_000);
    sim.way.other_kbps = 50_000;
    sim.run(10_000);
    let mean = sim.mean_kbps(7_000, 15_000);
    assert!((38_000..=48_500).contains(&mean), "{mean} {:?}", sim.control.counters());
    assert!(sim.queue_p99_us(8_000, 15_000) <= 20_000, "{}", sim.queue_p99_us(8_000, 15_000));
}

#[test]
fn a_decoder_whose_time_is_the_bytes_gets_fewer() {
    // 25 ms of a picture's 16.7 at the rate asked for.
    let way = Way { decode_us: 1_000, decode_us_per_kb: 115, ..LAN };
    let mut sim = adaptive(way, 100_000);
    sim.run(20_000);
    let mean = sim.mean_kbps(5_000, 20_000);
    assert!((45_000..=70_000).contains(&mean), "{mean} {:?}", sim.control.counters());
    assert_eq!(sim.control.counters().futile, 0);
    assert!(sim.control.counters().decode <= 8, "{:?}", sim.control.counters());
}

#[test]
fn a_decoder_whose_time_is_the_pictures_keeps_its_rate_and_that_is_said() {
    let mut sim = adaptive(Way { decode_us: 25_000, ..LAN }, 100_000);
    sim.run(2_000);
    assert_eq!((sim.control.kbps(), sim.control.reason()), (100_000, BitrateReason::Futile));
    sim.run(28_000);
    // Tried again 10 s later, and not for 20 s after that.
    let counters = sim.control.counters();
    assert_eq!((counters.decode, counters.futile), (2, 2), "{counters:?}");
    assert!(sim.mean_kbps(0, 30_000) > 95_000);
}

#[test]
fn a_decoders_time_is_judged_by_the_interval_that_pictures_have_now() {
    // For a picture of 125 KB 14.5 ms, and for one of 62 KB 8.8: in time at 60 Hz, and not at 120.
    let mut sim = adaptive(Way { decode_us: 3_000, decode_us_per_kb: 92, ..LAN }, 60_000);
    sim.run(3_000);
    assert_eq!((sim.control.kbps(), sim.control.counters().decode), (60_000, 0));
    sim.set_refresh(120);
    sim.run(5_000);
    let (mean, counters) = (sim.mean_kbps(4_000, 8_000), sim.control.counters());
    assert!((35_000..=56_000).contains(&mean) && counters.decode >= 1, "{mean} {counters:?}");
    sim.set_refresh(60);
    sim.run(5_000);
    assert_eq!(sim.control.kbps(), 60_000, "{:?}", sim.control.counters());
}

#[test]
fn a_decoders_trial_ends_with_its_mode() {
    let mut sim = adaptive(Way { decode_us: 20_000, ..LAN }, 100_000);
    while sim.control.reason() != BitrateReason::Decode {
        sim.run(20);
    }
    sim.set_refresh(30);
    sim.run(5_000);
    let counters = sim.control.counters();
    assert_eq!((sim.control.kbps(), counters.decode, counters.futile), (100_000, 1, 0), "{counters:?}");
    // Nothing was in vain, so that it is tried at once where it is called for again.
    sim.set_refresh(60);
    sim.run(1_000);
    assert_eq!(sim.control.counters().decode, 2);
}

#[test]
fn a_fall_ends_a_trial() {
    let mut sim = adaptive(Way { link_kbps: 150_000, decode_us: 20_000, ..HOP }, 100_000);
    while sim.control.reason() != BitrateReason::Decode {
        sim.run(20);
    }
    sim.run(300);
    assert_eq!((sim.control.kbps(), sim.control.reason()), (74_900, BitrateReason::Decode));
    let dropped_ms = sim.samples.last().map_or(0, |sample| sample.ms);
    sim.way.link_kbps = 20_000;
    sim.run(5_000);
    let most = sim.between(dropped_ms + 300, dropped_ms + 5_000).map(|sample| sample.kbps).max();
    assert!(most < Some(22_000), "{most:?} {:?}", sim.control.counters());
}

#[test]
fn a_link_below_the_least_rate_is_no_fall_again_and_again() {
    let mut sim = adaptive(Way { link_kbps: 400, queue_bytes: 20_000, ..LAN }, 2_000);
    sim.run(30_000);
    let counters = sim.control.counters();
    assert_eq!(sim.control.kbps(), 500, "{counters:?}");
    assert!(counters.delay + counters.loss <= 20, "{counters:?} {:?}", sim.link_counters());
}

#[test]
fn losses_that_no_rate_helps_are_the_airs() {
    let mut sim = adaptive(Way { air_per_mille: 160, ..LAN }, 50_000);
    sim.run(20_000);
    let counters = sim.control.counters();
    assert!(counters.futile >= 1, "{counters:?}");
    assert!(sim.mean_kbps(0, 20_000) > 42_000, "{} {counters:?}", sim.mean_kbps(0, 20_000));
}

#[test]
fn a_policer_without_a_queue_is_found_by_its_losses() {
    let mut sim = adaptive(Way { link_kbps: 30_000, queue_bytes: 32_000, delay_ms: 1, ..LAN }, 100_000);
    sim.run(20_000);
    let mean = sim.mean_kbps(5_000, 20_000);
    assert!((15_000..=29_000).contains(&mean), "{mean} {:?}", sim.control.counters());
    assert!(sim.lost(5_000, 20_000) <= 90, "{}", sim.lost(5_000, 20_000));
}

#[test]
fn what_is_asked_for_is_the_most_and_moves_what_has_not_fallen() {
    let mut control = BitrateControl::new(20_000, Duration::from_millis(16));
    let change = control.set_asked(50_000).expect("it is followed at once");
    assert_eq!((change.reason, change.before_kbps, change.now_kbps), (BitrateReason::Asked, 20_000, 50_000));
    assert_eq!(control.set_asked(50_000), None);
    control.level_kbps = 30_000;
    assert_eq!(control.set_asked(60_000), None, "what has fallen climbs by its own proof");
    assert_eq!(control.set_asked(10_000).map(|change| change.now_kbps), Some(10_000));
    control.level_kbps = 2_000;
    assert_eq!(control.restart().map(|change| change.now_kbps), Some(10_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the link and what is asked of it: used and not filled, and left alone where it is wide enough.
    #[test]
    fn every_link_is_used_and_not_filled(
        link_mbps in 5u32..500,
        asked_percent in 20u32..400,
        queue_ms in 40u64..400,
        delay_ms in 0u64..20,
        jitter_us in 10u64..800,
    ) {
        let link_kbps = link_mbps * 1_000;
        let way = Way { link_kbps, queue_bytes: u64::from(link_kbps) * queue_ms / 8, delay_ms, jitter_us, ..LAN };
        let asked_kbps = (link_kbps / 100 * asked_percent).max(2_000);
        let mut sim = adaptive(way, asked_kbps);
        sim.run(12_000);
        let counters = sim.control.counters();
        let (mean, most) = (sim.mean_kbps(6_000, 12_000), asked_kbps.min(link_kbps));
        prop_assert!(mean * 10 >= most * 7, "{mean} of {most}: {counters:?}");
        // What is hardly above the link is left where it is: the queue, below, says that it fits.
        prop_assert!(mean * 50 <= most * 51, "{mean} of {most}: {counters:?}");
        // The burst that leaves at once is a queue of its own.
        let burst_us = (128 << 10) * 8_000 / u64::from(link_kbps);
        let p99 = sim.queue_p99_us(6_000, 12_000);
        prop_assert!(p99 <= 20_000 + burst_us, "{p99} us: {counters:?}");
        if asked_percent <= 80 {
            prop_assert_eq!(mean, asked_kbps, "{:?}", counters);
        }
    }

    /// Whatever a client says, and whenever: never above what was asked for, never below the least of all sessions.
    #[test]
    fn reports_that_lie_move_nothing_out_of_bounds(
        asked_kbps in 500u32..8_000_000,
        lies in proptest::collection::vec(
            (any::<[[u32; 6]; 2]>(), any::<[u32; 2]>(), any::<[u16; 2]>(), any::<[bool; 2]>(), 0u64..2_000_000), 1..300),
        near: bool,
    ) {
        let mut link = LinkRate::new(asked_kbps, 128 << 10);
        let mut control = BitrateControl::new(asked_kbps, Duration::from_millis(16));
        let mut now = Instant::now();
        for (au, (arrivals, words, halves, set, wait_us)) in lies.into_iter().enumerate() {
            link.begin_au(au as u32, false, now);
            for _ in 0..4 {
                link.handle_train(20, 20 * 1_192, now);
            }
            link.end_au(true, false);
            now += Duration::from_micros(wait_us);
            let mut report = FeedbackReport { has_times: set[0], highest_au: Some(au as u32), ..Default::default() };
            report.load = set[1].then_some(ClientLoad {
                aus_lost: words[0],
                decode_us: words[1],
                aus_waiting: halves[0],
                aus_overrun: halves[1],
            });
            for [number, first, reach, datagrams, span_us, newest_us] in arrivals {
                let number = if near { (au as u32).saturating_sub(number % 2) } else { number };
                let (first, reach) = if near { (1 + first % 40, 40 + reach % 41) } else { (first, reach) };
                report.push_arrivals(AuArrivals { au: number, first, reach, datagrams, span_us, newest_us });
            }
            link.handle_report(&report, now);
            control.handle_report(&report, &mut link, now);
            prop_assert!((500..=asked_kbps).contains(&control.kbps()), "{}", control.kbps());
        }
    }
}
