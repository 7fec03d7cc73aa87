//! A running session: clocks, requests, reports, paths.

use std::time::Duration;

use punktfunk_proto::{FeedbackReport, Lost, SessionClock};

use super::network::Way;
use super::pair::{MODE, Pair};
use crate::limits::EVENTS_MAX;
use crate::{ClientEvent, ClientStats, HostEvent, HostStats, Mode, Plane, Reconfigure, StageSummary};

pub(super) fn report(highest_au: u32) -> FeedbackReport {
    let mut report = FeedbackReport::default();
    report.highest_au = Some(highest_au);
    report
}

/// What a client says that misses this access unit and the one before it.
pub(super) fn missing(to_au: u32) -> Lost {
    Lost { from_au: to_au.saturating_sub(1), to_au }
}

pub(super) fn idr_requests(pair: &Pair) -> Vec<u32> {
    let requests = pair.events.iter().filter_map(|event| match event {
        HostEvent::RequestIdr { lost, .. } => Some(lost.to_au),
        _ => None,
    });
    requests.collect()
}

#[test]
fn skew_is_within_its_bound_under_lopsided_jitter() {
    for seed in 0..50 {
        let up = Way { delay_us: (200, 9_000), reorders: true, ..Way::LAN };
        let down = Way { delay_us: (50, 700), lost_per_mille: 50, ..Way::LAN };
        let mut pair = Pair::new("skew", seed, up, down);
        // The host's clock has run for a while when the client's begins.
        let lead = Duration::from_micros(1_234_567_890 + seed * 1_000_003);
        let start = pair.now.checked_sub(lead).expect("this machine has been up for an hour");
        pair.session_clock = SessionClock::new(start);
        let client = pair.connect_and_start();
        let estimate = pair.skew(client).unwrap();
        let error = (estimate.offset_us - lead.as_micros() as i64).unsigned_abs();
        assert!(error <= estimate.error_us, "seed {seed}: off by {error} µs, bound {}", estimate.error_us);
        assert!(estimate.error_us <= 4_900, "seed {seed}: the best of eight rounds is not that bad");
        let client_us = pair.clients[client].control.clock().micros(pair.now);
        let host_us = pair.session_clock.micros(pair.now);
        assert!(estimate.host_us(client_us).abs_diff(host_us) <= estimate.error_us);
    }
}

#[test]
fn skew_on_a_lan_is_known_to_a_tenth_of_a_millisecond_and_refreshed() {
    let mut pair = Pair::lan("skew_refresh");
    let client = pair.connect_and_start();
    let first = pair.skew(client).unwrap();
    assert!(first.error_us <= 160, "bound {}", first.error_us);
    pair.run_for(Duration::from_secs(60));
    pair.clients[client].events.clear();
    pair.clients[client].control.refresh_skew(pair.now).unwrap();
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
    let second = pair.skew(client).unwrap();
    assert!(second.measured_at > first.measured_at, "a minute's drift is worse than a new handshake");
}

#[test]
fn requests_arrive_in_order_and_reconfigure_is_answered() {
    let mut pair = Pair::new("requests", 3, Way::BAD, Way::BAD);
    let client = pair.connect_and_start();
    for after_au in 0..100 {
        pair.clients[client].control.request_idr(missing(after_au), pair.now).unwrap();
    }
    let mode = Mode { width: 1920, height: 1080, refresh_mhz: 59_940 };
    let change = Reconfigure { mode: Some(mode), ..Reconfigure::default() };
    pair.clients[client].control.reconfigure(&change, pair.now).unwrap();
    let answered = pair.run_until(Duration::from_secs(5), |pair| {
        pair.clients[client].events.iter().any(|event| {
            matches!(event, ClientEvent::Reconfigured(done) if done.mode == mode && done.bitrate_kbps == 20_000)
        })
    });
    assert!(answered && mode != MODE);
    assert_eq!(idr_requests(&pair), (0..100).collect::<Vec<_>>());
}

#[test]
fn statistics_reach_the_client() {
    let mut pair = Pair::lan("statistics");
    let client = pair.connect_and_start();
    let stages = (0..32).map(|n| StageSummary { name: format!("stage {n}"), count: n, ..Default::default() });
    let stats = HostStats { wire_bytes: 1 << 40, stages: stages.collect(), ..HostStats::default() };
    pair.host.send_stats(pair.session(), &stats, pair.now).unwrap();
    let came = pair.run_until(Duration::from_secs(1), |pair| {
        pair.clients[client]
            .events
            .iter()
            .any(|event| matches!(event, ClientEvent::HostStats(s) if *s == stats))
    });
    assert!(came);
}

#[test]
fn a_clients_figures_reach_the_host_and_the_newest_is_told() {
    let mut pair = Pair::lan("client's statistics");
    let client = pair.connect_and_start();
    let stats = |decoded| ClientStats { pictures_decoded: decoded, ..ClientStats::default() };
    for decoded in 1..=40 {
        pair.clients[client].control.send_stats(&stats(decoded), pair.now).unwrap();
    }
    let told = |pair: &Pair| -> Vec<u64> {
        let of = |event: &HostEvent| match event {
            HostEvent::ClientStats { stats, .. } => Some(stats.pictures_decoded),
            _ => None,
        };
        pair.events.iter().filter_map(of).collect()
    };
    assert!(pair.run_until(Duration::from_secs(1), |pair| told(pair).last() == Some(&40)));
    assert!(told(&pair).is_sorted() && told(&pair).len() < 40, "{:?}", told(&pair));
}

#[test]
fn reports_ride_datagrams_and_are_counted() {
    let mut pair = Pair::lan("reports");
    let client = pair.connect_and_start();
    let report = report(41);
    for _ in 0..200 {
        pair.clients[client].control.send_feedback(&report, pair.now).unwrap();
        pair.run_for(Duration::from_millis(5));
    }
    let came = pair
        .events
        .iter()
        .filter(|event| matches!(event, HostEvent::Feedback { report: r, .. } if r.highest_au == Some(41)));
    assert_eq!(came.count(), 200);
    let (_, counters) = pair.clients[client].control.stats().planes[Plane::Feedback as usize];
    assert_eq!((counters.sent, counters.waited, counters.dropped), (200, 0, 0));
}

#[test]
fn reports_that_cannot_leave_push_each_other_out() {
    let mut pair = Pair::lan("push_out");
    let client = pair.connect_and_start();
    let control = &mut pair.clients[client].control;
    for number in 0..1000 {
        control.send_feedback(&report(number), pair.now).unwrap();
    }
    let (_, counters) = control.stats().planes[Plane::Feedback as usize];
    assert!(counters.waited > 0 && counters.dropped > 0, "{counters:?}");
    pair.run_for(Duration::from_millis(100));
    let newest = pair.events.iter().rev().find_map(|event| match event {
        HostEvent::Feedback { report, .. } => report.highest_au,
        _ => None,
    });
    assert_eq!(newest, Some(999), "the newest survives");
    let (_, counters) = pair.clients[client].control.stats().planes[Plane::Feedback as usize];
    assert_eq!(counters.sent + counters.dropped, 1000);
}

#[test]
fn the_path_grows_to_a_full_shard_soon() {
    for limit in [1452, 1472, 9000] {
        let way = Way { udp_payload_bytes_max: limit, ..Way::LAN };
        let mut pair = Pair::new("mtu", 1, way, way);
        pair.connect_and_start();
        let began = pair.now;
        let grown = pair.run_until(Duration::from_secs(5), |pair| {
            pair.events.iter().any(
                |event| matches!(event, HostEvent::Mtu { udp_payload_bytes, .. } if *udp_payload_bytes >= 1448),
            )
        });
        assert!(grown, "no 1448 on a path of {limit}");
        eprintln!("1448 bytes on a path of {limit} after {:?}", pair.now - began);
        assert!(pair.now - began < Duration::from_millis(500));
    }
}

#[test]
fn two_clients_behind_one_address_stay_themselves() {
    let mut pair = Pair::lan("one_address");
    let a = pair.connect_and_start();
    let first = pair.session();
    let b = pair.connect_and_start();
    let second = pair.session();
    assert_ne!(first, second);
    pair.clients[a].control.request_idr(missing(1), pair.now).unwrap();
    pair.clients[b].control.request_idr(missing(2), pair.now).unwrap();
    pair.run_for(Duration::from_millis(50));
    for (wanted, number) in [(first, 1), (second, 2)] {
        assert!(pair.events.iter().any(
            |e| matches!(e, HostEvent::RequestIdr { session, lost } if *session == wanted && *lost == missing(number))
        ));
    }
}

#[test]
fn a_program_that_takes_no_events_holds_its_client_back_and_loses_nothing() {
    let mut pair = Pair::lan("held_back");
    let client = pair.connect_and_start();
    pair.host_polls = false;
    let mut asked = 0;
    for _ in 0..200 {
        for _ in 0..100 {
            if pair.clients[client].control.request_idr(missing(asked), pair.now).is_err() {
                panic!(
                    "the queue of {asked} requests overflowed: {:?}",
                    pair.clients[client].control.stats()
                );
            }
            asked += 1;
        }
        pair.run_for(Duration::from_millis(5));
        if pair.clients[client].control.link().queued_bytes() > 1000 {
            break;
        }
    }
    eprintln!("{asked} requests until the client was held back");
    assert!(asked as usize > EVENTS_MAX);
    assert!(pair.clients[client].control.stats().stream_waits > 0);
    pair.host_polls = true;
    pair.run_for(Duration::from_millis(500));
    assert_eq!(idr_requests(&pair), (0..asked).collect::<Vec<_>>());
}

#[test]
fn control_has_room_in_flight_whatever_is_lost() {
    let mut pair = Pair::new("starved", 11, Way { lost_per_mille: 400, ..Way::LAN }, Way::LAN);
    let client = pair.connect_and_start();
    for _ in 0..400 {
        let _ = pair.clients[client].control.send_feedback(&FeedbackReport::default(), pair.now);
        pair.run_for(Duration::from_millis(5));
        if pair.clients[client].ended.is_some() {
            break;
        }
        assert!(pair.clients[client].control.stats().in_flight_bytes_max >= 64 * 1024);
    }
    assert!(pair.clients[client].control.stats().packets_lost > 50);
}
