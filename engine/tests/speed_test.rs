//! A speed test through both pipelines on loopback: the target is met, video waits meanwhile and goes on with an IDR.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punktfunk_engine::{FillerFault, Merge};
use punktfunk_proto::{FillerSeen, FillerSent, SpeedTestOrder, WeakestLink, judge};
use support::{Check, Pair, Pattern, Relay, machine, start_on, start_through, wait_for};

/// A host whose stages have a thread each, and one whose stages share one.
const WAYS: [Merge; 2] = [Merge::Apart, Merge::Together];

const INTERVAL: Duration = Duration::from_micros(8_333);

fn order(target_kbps: u32, duration_ms: u32) -> SpeedTestOrder {
    SpeedTestOrder::new(target_kbps, duration_ms).expect("within every range")
}

/// What was sent of the test under way.
fn sent(pair: &mut Pair) -> Result<FillerSent, FillerFault> {
    let mut outcome = None;
    let left = wait_for(Duration::from_secs(5), || {
        outcome = pair.host.poll_speed_test();
        outcome.is_some()
    });
    assert!(left, "{:?}", pair.host.stats());
    outcome.expect("it is there")
}

/// And what came of it.
fn seen(pair: &mut Pair, test: u16) -> FillerSeen {
    pair.client.ask_speed_test(test);
    let mut seen = None;
    let answered = wait_for(Duration::from_secs(5), || {
        seen = pair.client.poll_speed_test();
        seen.is_some()
    });
    assert!(answered, "{:?}", pair.client.stats());
    seen.expect("it is there")
}

#[test]
fn a_test_meets_its_target_while_video_waits_and_goes_on_with_an_idr() {
    WAYS.into_iter().for_each(meets_its_target);
}

fn meets_its_target(merge: Merge) {
    const TARGET_KBPS: u32 = 60_000;
    let check = Check::new(false);
    let (pictures, pattern) = (check.pictures.clone(), Pattern::new(2, 4_000, INTERVAL, u64::MAX));
    let forced = pattern.idrs_forced.clone();
    let mut pair = start_on(machine(merge), pattern, check, 1_000_000);
    let seen_so_far = || pictures.load(Ordering::Relaxed);
    assert!(wait_for(Duration::from_secs(10), || seen_so_far() >= 10), "{:?}", pair.host.stats());
    for test in 1..=2 {
        let (before, idrs, shed) =
            (pair.host.stats(), forced.load(Ordering::Relaxed), pair.host.stats().encode.shed);
        pair.host.begin_speed_test(test, order(TARGET_KBPS, 400)).expect("the first of its time");
        assert!(pair.host.begin_speed_test(9, order(TARGET_KBPS, 400)).is_err(), "one at a time");
        let sent = sent(&mut pair).expect("nothing moved");
        // An access unit may have been under way when the test began, and one have followed its end.
        let after = pair.host.stats();
        assert!(after.encode.encoded <= before.encode.encoded + 2, "{merge:?} {before:?} {after:?}");
        let seen = seen(&mut pair, test);
        pair.host.handle_probe_epoch(seen.epoch_opened);
        let found = judge(order(TARGET_KBPS, 400), &sent, &seen).expect("something came");
        let close = |kbps: u64| kbps.abs_diff(TARGET_KBPS.into()) <= u64::from(TARGET_KBPS) * 3 / 100;
        assert!(
            close(found.sent_kbps) && close(found.received_kbps),
            "{merge:?} {found:?} {sent:?} {seen:?}"
        );
        assert_eq!((found.loss_ppm, found.weakest), (0, WeakestLink::None), "{merge:?} {found:?}");
        assert_eq!((sent.test, seen.test), (test, test));
        assert_eq!(sent.by_position, seen.by_position);
        let goes_on = seen_so_far() + 10;
        assert!(wait_for(Duration::from_secs(10), || seen_so_far() >= goes_on), "{merge:?}");
        assert!(forced.load(Ordering::Relaxed) > idrs, "{merge:?}: an IDR");
        // 400 ms of pictures, each 8 ms one, of which the source's ring keeps the newest.
        assert!(pair.host.stats().encode.shed >= shed + 20, "{merge:?} {:?}", pair.host.stats().encode);
    }
    let (host, client) = (pair.host.stop(), pair.client.stop());
    let (sent, came) = (host.stats.protect, client.stats.receive);
    assert_eq!((host.slices_out, host.arena_leased_bytes, client.spans_out), (0, 0, 0));
    assert!(
        sent.filler_datagrams > 2_000 && sent.filler_datagrams == came.filler_datagrams,
        "{sent:?} {came:?}"
    );
    // Filler is in no counter of video's.
    assert!(sent.datagrams >= came.datagrams && sent.datagrams < 5_000, "{sent:?} {came:?}");
    assert_eq!((came.malformed, came.bad_tag, came.lost_aus, came.filler_refused), (0, 0, 0, 0), "{came:?}");
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
}

#[test]
fn a_stop_and_another_path_end_a_test() {
    WAYS.into_iter().for_each(|merge| {
        let check = Check::new(false);
        let mut pair = start_on(machine(merge), Pattern::new(1, 4_000, INTERVAL, u64::MAX), check, 1_000_000);
        pair.host.begin_speed_test(1, order(20_000, 10_000)).expect("the first");
        assert!(wait_for(Duration::from_secs(5), || pair.host.stats().protect.filler_datagrams > 0));
        pair.host.set_destination(([127, 0, 0, 1], 9).into(), None).expect("room in the ring");
        assert_eq!(sent(&mut pair), Err(FillerFault::PathChanged));
        pair.host.begin_speed_test(2, order(20_000, 10_000)).expect("the first is over");
        let filler = pair.host.stats().protect.filler_datagrams;
        assert!(wait_for(Duration::from_secs(5), || pair.host.stats().protect.filler_datagrams > filler));
        let asked = Instant::now();
        let end = pair.host.stop();
        assert!(asked.elapsed() < Duration::from_secs(1), "{merge:?} {:?}", asked.elapsed());
        assert_eq!((end.slices_out, end.arena_leased_bytes), (0, 0));
        pair.client.stop();
    });
}

#[test]
fn what_is_lost_is_counted_where_it_stood_and_what_is_forged_is_not() {
    let (loses, lost) = (Arc::new(AtomicBool::new(true)), Arc::new(std::sync::atomic::AtomicU64::new(0)));
    let (drops, count) = (Arc::clone(&loses), Arc::clone(&lost));
    let mut relay = None;
    // Filler's last tenth is lost on the way.
    let keeps = move |datagram: &[u8]| {
        let field = |at: usize| u32::from(u16::from_le_bytes([datagram[at], datagram[at + 1]]));
        let is_last = datagram[0] >> 4 == 1 && field(2) * 10 >= 9 * (field(16) + field(18));
        count.fetch_add(u64::from(is_last), Ordering::Relaxed);
        !(is_last && drops.load(Ordering::Relaxed))
    };
    let check = Check::new(false);
    let mut pair = start_through(
        |client| relay.insert(Relay::start(client, keeps)).address(),
        punktfunk_seal::EpochLimits::default(),
        machine(Merge::Apart),
        Pattern::new(1, 4_000, INTERVAL, u64::MAX),
        check,
        1_000_000,
    );
    pair.host.begin_speed_test(1, order(20_000, 400)).expect("the first");
    let sent = sent(&mut pair).expect("nothing moved");
    let seen = seen(&mut pair, 1);
    let found = judge(order(20_000, 400), &sent, &seen).expect("something came");
    assert_eq!(sent.datagrams - seen.datagrams, lost.load(Ordering::Relaxed));
    assert_eq!(
        (found.loss_by_position_ppm[..9].iter().sum::<u32>(), found.loss_by_position_ppm[9]),
        (0, 1_000_000)
    );
    assert_eq!((found.weakest, found.is_shallow), (WeakestLink::Network, true), "{found:?}");
    // A question about a test that never was is answered too, after a while.
    let asked = Instant::now();
    let none = self::seen(&mut pair, 7);
    assert_eq!((none.test, none.datagrams), (7, 0));
    assert!(asked.elapsed() >= Duration::from_millis(900), "{:?}", asked.elapsed());
    pair.host.stop();
    pair.client.stop();
}
