//! Clients that move, and others who only seem to be them.

use std::net::SocketAddr;
use std::time::Duration;

use super::course::{idr_requests, missing, report};
use super::endings::saw_final_stats;
use super::network::Way;
use super::pair::Pair;
use crate::limits::{CLAIM_HOLD, LINGER_MAX};
use crate::{Bye, ByeReason, HostEvent, Path, Plane, SessionEnd};

const ELSEWHERE: &str = "10.66.66.66:6666";

fn paths(pair: &Pair) -> Vec<Path> {
    let paths = pair.events.iter().filter_map(|event| match event {
        HostEvent::Path { path, .. } => Some(*path),
        _ => None,
    });
    paths.collect()
}

/// Runs for so many reports, one each `interval`, as a client sends them that gets no media.
fn run_reporting(pair: &mut Pair, client: usize, reports: u32, interval: Duration) {
    for number in 0..reports {
        let now = pair.now;
        if pair.clients[client].control.send_feedback(&report(number), now).is_err() {
            return;
        }
        pair.run_for(interval);
    }
}

/// Lets the client say something of which `copies` reach the host from elsewhere, and then the original unless it is
/// lost. Returns the bytes that were copied.
fn copy(pair: &mut Pair, client: usize, is_lost: bool) -> usize {
    let (home, local) = (pair.clients[client].addr, Some(pair.host_addr.ip()));
    let (mut buf, mut copied) = (Vec::new(), 0);
    while let Some(transmit) = pair.clients[client].control.poll_transmit(pair.now, &mut buf) {
        for segment in buf.chunks(transmit.segment_bytes.unwrap_or(buf.len())) {
            pair.host.handle_datagram(ELSEWHERE.parse().unwrap(), local, segment, pair.now);
            copied += segment.len();
            if !is_lost {
                pair.network.send(home, transmit.dest, true, segment, pair.now);
            }
        }
    }
    copied
}

/// Somebody on the way sees each datagram and sends a copy from an address of his own, which comes first.
#[test]
fn copies_from_another_address_change_nothing() {
    // As a client reports while media flows, and while a screen stands still.
    for (turns, interval) in [(1_000, 5), (40, 100)] {
        let mut pair = Pair::lan("copies");
        let client = pair.connect_and_start();
        let session = pair.session();
        let path = pair.host.path(session);
        let mut copied = 0;
        for after_au in 0..turns {
            pair.clients[client].control.request_idr(missing(after_au), pair.now).unwrap();
            pair.clients[client].control.send_feedback(&report(after_au), pair.now).unwrap();
            copied += copy(&mut pair, client, false);
            assert_eq!(pair.host.path(session), path);
            pair.run_for(Duration::from_millis(interval));
        }
        assert_eq!(idr_requests(&pair), (0..turns).collect::<Vec<_>>());
        assert_eq!(pair.sent_to.get(&ELSEWHERE.parse().unwrap()), None, "a spoofed source draws nothing");
        let stats = pair.host.stats(session).unwrap();
        assert!(stats.datagrams_strayed >= u64::from(turns) && copied > 0, "{stats:?}");
        assert_eq!((stats.paths_changed, stats.paths_refused), (0, 0));
        assert!(pair.clients[client].ended.is_none() && pair.ended.is_empty());
        // A client that is gone then is gone, and not moved.
        pair.clients[client].dead = true;
        assert!(pair.run_until(Duration::from_secs(5), |pair| pair.host.is_idle()));
        assert!(matches!(pair.ended[..], [(_, SessionEnd::Lost { .. })]), "{:?}", pair.ended);
    }
}

#[test]
fn a_client_that_moves_is_followed_at_once() {
    for new in ["10.0.0.2:50001", "10.9.9.9:1234", "[fd00::9]:1234"] {
        let mut pair = Pair::lan("moved");
        let client = pair.connect_and_start();
        let (session, old, to) = (pair.session(), pair.clients[client].addr, new.parse().unwrap());
        run_reporting(&mut pair, client, 20, Duration::from_millis(5));
        pair.events.clear();
        pair.clients[client].addr = to;
        let (moved, before) = (pair.now, pair.sent_to[&old]);
        pair.clients[client].control.send_feedback(&report(7), pair.now).unwrap();
        pair.clients[client].control.request_idr(missing(5), pair.now).unwrap();
        assert!(pair.run_until(Duration::from_secs(1), |pair| !paths(pair).is_empty()), "not followed");
        let took = pair.now - moved;
        // What draws the trial waits, and so does the answer that ends it.
        assert!(took < 2 * CLAIM_HOLD + Duration::from_millis(1), "{took:?}");
        let path = Path { remote: to, local: Some(pair.host_addr.ip()) };
        assert_eq!((paths(&pair), pair.host.path(session)), (vec![path], Some(path)));
        assert!(
            pair.sent_to[&old] - before <= 1_200,
            "QUIC's own check of the old path is all that goes there"
        );
        // Nothing is believed of the new path before it is found out anew.
        let grown = pair.run_until(Duration::from_secs(2), |pair| {
            let sizes = pair.events.iter().filter_map(|event| match event {
                HostEvent::Mtu { udp_payload_bytes, .. } => Some(*udp_payload_bytes),
                _ => None,
            });
            let sizes: Vec<u16> = sizes.collect();
            sizes.first() == Some(&1_200) && sizes.last().is_some_and(|last| *last >= 1_448)
        });
        assert!(grown, "{:?}", pair.events);
        pair.clients[client].control.request_idr(missing(6), pair.now).unwrap();
        pair.run_for(Duration::from_secs(5));
        assert_eq!(idr_requests(&pair), [5, 6]);
        let stats = pair.host.stats(session).unwrap();
        assert_eq!((stats.paths_changed, stats.paths_refused), (1, 0));
        assert!(pair.ended.is_empty() && pair.clients[client].ended.is_none());
    }
}

/// Somebody copies what the client says and hands on what the host says to him, so that both ends seem well, and the
/// network loses one report of the client's.
#[test]
fn who_relays_does_not_draw_the_media() {
    for interval in [1, 3, 5, 16, 100] {
        for losses in 1..3 {
            let mut pair = Pair::lan("relay");
            let client = pair.connect_and_start();
            let session = pair.session();
            let path = pair.host.path(session);
            run_reporting(&mut pair, client, 20, Duration::from_millis(5));
            pair.events.clear();
            (pair.relay, pair.losses) = (Some(ELSEWHERE.parse().unwrap()), losses);
            run_reporting(&mut pair, client, 1_000 / interval, Duration::from_millis(interval.into()));
            assert_eq!(
                (paths(&pair), pair.host.path(session)),
                (vec![], path),
                "{losses} lost, {interval} ms"
            );
            let stats = pair.host.stats(session).unwrap();
            assert_eq!(stats.paths_changed, 0);
            // Where reports are rare the next one comes too late to keep him from being tried.
            assert!(interval < 16 || stats.paths_refused >= 1, "{stats:?}");
            assert!(stats.paths_refused <= losses as u64, "{stats:?}");
            assert!(pair.ended.is_empty() && pair.clients[client].ended.is_none());
        }
    }
}

/// Somebody who knows the session's id says nothing of worth in the name of the address that the client has left.
#[test]
fn garbage_in_the_old_addresss_name_holds_nobody_off() {
    for (new, every_us) in [("10.0.0.2:50001", 100), ("10.9.9.9:1234", 100), ("10.9.9.9:1234", 4_000)] {
        let mut pair = Pair::lan("garbage");
        let client = pair.connect_and_start();
        run_reporting(&mut pair, client, 20, Duration::from_millis(5));
        let (session, old, to) = (pair.session(), pair.clients[client].addr, new.parse().unwrap());
        pair.clients[client].control.send_feedback(&report(1), pair.now).unwrap();
        let mut garbage = Vec::new();
        pair.clients[client].control.poll_transmit(pair.now, &mut garbage).unwrap();
        garbage[30..].fill(0x5a);
        pair.clients[client].addr = to;
        let (moved, local) = (pair.now, Some(pair.host_addr.ip()));
        let mut next_report = moved;
        while pair.host.path(session).unwrap().remote != to {
            assert!(pair.now - moved < Duration::from_millis(60), "he holds the client off");
            if pair.now >= next_report {
                pair.clients[client].control.send_feedback(&report(2), pair.now).unwrap();
                next_report += Duration::from_millis(16);
            }
            pair.host.handle_datagram(old, local, &garbage, pair.now);
            pair.run_for(Duration::from_micros(every_us));
        }
        assert!(pair.ended.is_empty() && pair.clients[client].ended.is_none());
    }
}

/// A host may take long for its Welcome, a person for the Start.
#[test]
fn a_client_that_moves_before_its_start_is_followed() {
    for welcomed in [false, true] {
        for turn in 0..4 {
            let mut pair = Pair::lan("early");
            pair.host_polls = welcomed;
            let client = pair.connect();
            pair.clients[client].starts = false;
            let shaken = pair.run_until(Duration::from_secs(1), |pair| {
                let control = format!("{:?}", pair.clients[client].control);
                control.contains(if welcomed { "Welcomed" } else { "Greeting" })
            });
            assert!(shaken);
            pair.run_for(Duration::from_millis(200 * turn));
            // He says nothing by himself.
            pair.clients[client].addr = "10.9.9.9:1234".parse().unwrap();
            pair.run_for(Duration::from_secs(5));
            assert!(pair.clients[client].ended.is_none(), "{:?}", pair.clients[client].ended);
            pair.host_polls = true;
            pair.run_for(Duration::from_millis(100));
            let remote = pair.host.path(pair.session()).unwrap().remote;
            assert_eq!(remote, pair.clients[client].addr);
            pair.clients[client].control.start(pair.now).unwrap();
            assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
            let stats = pair.host.stats(pair.session()).unwrap();
            let of_reports = stats.planes[Plane::Feedback as usize].1;
            assert!(of_reports.received > 0 && of_reports.unread == 0, "{of_reports:?}");
            assert_eq!((stats.paths_changed, stats.paths_refused), (1, 0));
        }
    }
}

/// The address changes while the host makes up its mind, and the client says something long.
#[test]
fn a_ping_may_come_before_the_welcome() {
    let mut pair = Pair::lan("ping first");
    pair.host_polls = false;
    let client = pair.connect();
    assert!(pair.run_until(Duration::from_secs(1), |pair| {
        format!("{:?}", pair.clients[client].control).contains("Greeting")
    }));
    pair.run_for(Duration::from_millis(20));
    pair.clients[client].addr = "10.9.9.9:1234".parse().unwrap();
    pair.clients[client].control.link().send_datagram(Plane::Feedback, |payload| payload.len().min(500));
    pair.run_for(Duration::from_millis(50));
    assert!(pair.clients[client].ended.is_none(), "{:?}", pair.clients[client].ended);
    pair.host_polls = true;
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.skew(client).is_some()));
    assert_eq!(pair.host.path(pair.session()).unwrap().remote, pair.clients[client].addr);
}

/// Long packets of its own are what QUIC wants to send first; short ones of the client's are not enough to answer.
#[test]
fn an_address_draws_three_times_what_it_gave_until_it_has_answered() {
    for losses in [3, 10, 60] {
        let mut pair = Pair::lan("thief");
        let client = pair.connect_and_start();
        let (session, home, elsewhere) =
            (pair.session(), pair.clients[client].addr, ELSEWHERE.parse::<SocketAddr>().unwrap());
        run_reporting(&mut pair, client, 20, Duration::from_millis(5));
        pair.events.clear();
        // He also makes away with what he has copied, and answers nothing.
        let mut copied = 0;
        for number in 0..losses {
            pair.clients[client].control.send_feedback(&report(number), pair.now).unwrap();
            copied += copy(&mut pair, client, true);
            pair.run_for(Duration::from_millis(5));
            let drawn = pair.sent_to.get(&elsewhere).copied().unwrap_or(0);
            assert!(drawn <= 3 * copied, "{drawn} bytes for {copied}");
            assert_eq!(pair.host.path(session).unwrap().remote, home);
        }
        assert!(pair.sent_to.contains_key(&elsewhere), "he was tried");
        // When he stops, the session is where it was.
        pair.clients[client].control.request_idr(missing(9), pair.now).unwrap();
        let began = pair.now;
        assert!(pair.run_until(Duration::from_secs(2), |pair| idr_requests(pair) == [9]));
        assert!(pair.now - began < Duration::from_millis(500), "{:?}", pair.now - began);
        let drawn = pair.sent_to[&elsewhere];
        run_reporting(&mut pair, client, 400, Duration::from_millis(5));
        assert_eq!(pair.sent_to[&elsewhere], drawn, "it is over");
        let stats = pair.host.stats(session).unwrap();
        assert_eq!((paths(&pair), stats.paths_changed), (vec![], 0));
        assert!(stats.paths_refused >= 1, "{stats:?}");
        assert!(pair.ended.is_empty() && pair.clients[client].ended.is_none());
    }
}

/// What a client said once, said again from elsewhere when it has fallen silent.
#[test]
fn replays_draw_nothing_and_a_dead_client_stays_dead() {
    let mut pair = Pair::lan("replays");
    let client = pair.connect_and_start();
    let (mut buf, mut recorded) = (Vec::new(), Vec::new());
    for number in 0..50 {
        pair.clients[client].control.send_feedback(&report(number), pair.now).unwrap();
        while let Some(transmit) = pair.clients[client].control.poll_transmit(pair.now, &mut buf) {
            for segment in buf.chunks(transmit.segment_bytes.unwrap_or(buf.len())) {
                recorded.push(segment.to_vec());
                pair.network.send(pair.clients[client].addr, transmit.dest, true, segment, pair.now);
            }
        }
        pair.run_for(Duration::from_millis(5));
    }
    pair.clients[client].dead = true;
    let local = Some(pair.host_addr.ip());
    // Once the session is over he is answered as any stranger is, by less than he sends.
    for replay in recorded.iter().cycle().take(3_000) {
        if !pair.ended.is_empty() {
            break;
        }
        pair.host.handle_datagram(ELSEWHERE.parse().unwrap(), local, replay, pair.now);
        pair.run_for(Duration::from_millis(1));
    }
    assert_eq!(pair.sent_to.get(&ELSEWHERE.parse().unwrap()), None);
    assert!(matches!(pair.ended[..], [(_, SessionEnd::Moved { .. })]), "{:?}", pair.ended);
    assert!(pair.ended[0].1.to_string().contains(ELSEWHERE), "{:?}", pair.ended);
}

#[test]
fn a_client_moves_again_and_again_on_a_bad_network() {
    for seed in 0..8 {
        let mut pair = Pair::new("moves", seed, Way::BAD, Way::BAD);
        let client = pair.connect_and_start();
        let session = pair.session();
        for turn in 0..20 {
            let port = 50_001 + turn;
            pair.clients[client].addr = if turn % 2 == 0 {
                SocketAddr::from(([10, 0, 0, 2], port))
            } else {
                SocketAddr::from(([10, 9, (turn / 2) as u8, 9], port))
            };
            let to = pair.clients[client].addr;
            run_reporting(&mut pair, client, 12, Duration::from_millis(20));
            let home = |pair: &Pair| pair.host.path(session).map(|path| path.remote);
            for _ in 0..100 {
                if home(&pair) == Some(to) || pair.clients[client].ended.is_some() {
                    break;
                }
                run_reporting(&mut pair, client, 1, Duration::from_millis(20));
            }
            assert_eq!(home(&pair), Some(to), "turn {turn}: {:?}", pair.clients[client].ended);
        }
        assert!(pair.ended.is_empty() && pair.clients[client].ended.is_none());
        assert!(pair.host.stats(session).unwrap().paths_changed >= 20);
    }
}

/// Two behind one address, of which one gets another port, as from a NAT that forgets.
#[test]
fn who_moves_takes_nobody_along() {
    let mut pair = Pair::lan("neighbours");
    let a = pair.connect_and_start();
    let first = pair.session();
    let b = pair.connect_and_start();
    let second = pair.session();
    pair.clients[a].addr = "10.7.7.7:1000".parse().unwrap();
    pair.clients[b].addr = "10.7.7.7:1001".parse().unwrap();
    run_reporting(&mut pair, a, 4, Duration::from_millis(5));
    run_reporting(&mut pair, b, 4, Duration::from_millis(5));
    pair.clients[a].addr = "10.7.7.7:1002".parse().unwrap();
    run_reporting(&mut pair, a, 4, Duration::from_millis(5));
    let remote = |session| pair.host.path(session).unwrap().remote;
    assert_eq!(remote(first), pair.clients[a].addr);
    assert_eq!(remote(second), pair.clients[b].addr);
}

/// Lets the client say Bye; how long it took until it had the host's last figures.
fn leave(pair: &mut Pair, client: usize) -> Duration {
    let began = pair.now;
    pair.clients[client].control.bye(&Bye::new(ByeReason::Asked, "enough"), pair.now);
    assert!(pair.run_until(Duration::from_secs(2), |pair| pair.clients[client].ended.is_some()));
    let took = pair.now - began;
    assert!(saw_final_stats(pair, client), "no final statistics within {took:?}");
    assert!(pair.run_until(Duration::from_secs(5), |pair| pair.host.is_idle()));
    assert!(matches!(pair.ended[..], [(_, SessionEnd::ClientLeft(_))]), "{:?}", pair.ended);
    took
}

/// It hears at its own address and seems to speak from another one, which is tried again and again.
#[test]
fn a_client_whose_new_address_never_answers_gets_the_last_figures() {
    let mut longest = Duration::ZERO;
    for elsewhere in ["10.0.0.2:50001", ELSEWHERE] {
        for turn in 0..100 {
            let mut pair = Pair::lan("deaf");
            let client = pair.connect_and_start();
            let (session, home) = (pair.session(), pair.clients[client].addr);
            run_reporting(&mut pair, client, 20, Duration::from_millis(5));
            pair.clients[client].seen_at = Some(elsewhere.parse().unwrap());
            run_reporting(&mut pair, client, 20 + turn, Duration::from_millis(5));
            pair.run_for(Duration::from_micros(u64::from(turn) * 337 % 5_000));
            assert_eq!(pair.host.path(session).unwrap().remote, home);
            longest = longest.max(leave(&mut pair, client));
        }
    }
    assert!(longest < LINGER_MAX, "{longest:?}");
}

/// Nobody hears at the address that it was at.
#[test]
fn a_client_that_leaves_as_it_moves_gets_the_last_figures() {
    let mut longest = Duration::ZERO;
    for to in ["10.0.0.2:50001", ELSEWHERE] {
        for turn in 0..100 {
            let mut pair = Pair::lan("leaves and moves");
            let client = pair.connect_and_start();
            run_reporting(&mut pair, client, 20, Duration::from_millis(5));
            pair.clients[client].addr = to.parse().unwrap();
            run_reporting(&mut pair, client, turn / 20, Duration::from_millis(5));
            pair.run_for(Duration::from_micros(u64::from(turn) * 337 % 5_000));
            longest = longest.max(leave(&mut pair, client));
        }
    }
    assert!(longest < LINGER_MAX, "{longest:?}");
}
