//! Both pipelines on loopback: every byte, every slot home, load shed before encode.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punktfunk_engine::{EncodeStats, Machine, Merge, Wishes};
use punktfunk_perf::{Collector, Stage};
use punktfunk_proto::Lost;
use support::{Check, Pair, Pattern, machine, start_on, wait_for};

/// A host whose stages have a thread each, and one whose stages share one.
const WAYS: [Merge; 2] = [Merge::Apart, Merge::Together];

/// A host and a client with a thread a stage, and a pacer that hardly shows.
fn start(pattern: Pattern, check: Check) -> Pair {
    start_on(machine(Merge::Apart), pattern, check, 4_000_000)
}

#[test]
fn every_byte_of_every_slice_arrives_and_everything_comes_home() {
    WAYS.into_iter().for_each(every_byte_arrives);
}

fn every_byte_arrives(merge: Merge) {
    const AUS: u64 = 240;
    // Slices of more than one train; two access units at a time fit a socket's buffer as kernels come.
    let check = Check::new(false);
    let pictures = check.pictures.clone();
    let mut pair = start_on(machine(merge), Pattern::closed(2, 65_000, 2, AUS, &check), check, 4_000_000);
    let host_threads = if merge == Merge::Together { 1 } else { 2 };
    assert_eq!((pair.host.setups().len(), pair.client.setups().len()), (host_threads, 2));
    assert_eq!((pair.host.take_collectors().len(), pair.client.take_collectors().len()), (2, 2));
    assert!(wait_for(Duration::from_secs(20), || pair.host.is_ended()), "{:?}", pair.host.stats());
    let host = pair.host.stop();
    let all = wait_for(Duration::from_secs(5), || pictures.load(Ordering::Relaxed) == AUS);
    let client = pair.client.stop();
    assert!(all, "{:?} {:?}", host.stats, client.stats);
    assert_eq!(host.fault, None);
    assert_eq!(client.fault, None);
    assert_eq!((host.slices_out, host.arena_leased_bytes, client.spans_out), (0, 0, 0));
    let (encode, sent) = (host.stats.encode, host.stats.protect);
    assert_eq!((encode.captured, encode.encoded, sent.sent), (AUS, AUS, AUS));
    assert_eq!((encode.shed, encode.superseded), (0, 0));
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    let (came, decode) = (client.stats.receive, client.stats.decode);
    assert_eq!((decode.whole, decode.decoded, came.lost_aus), (AUS, AUS, 0));
    // What loopback lost, or had not brought when the last picture was whole, parity stood in for.
    assert!(came.datagrams <= sent.datagrams, "{came:?} {sent:?}");
    assert!(sent.datagrams - came.datagrams <= sent.parity_datagrams, "{came:?} {sent:?}");
}

#[test]
fn stages_that_spin_lose_nothing_and_report_and_stop_in_time() {
    const AUS: u64 = 120;
    let check = Check::new(false);
    let pictures = check.pictures.clone();
    // Longer than a picture's interval: the receive stage never blocks while media flows.
    let wishes = Wishes { spin: Duration::from_millis(20), realtime: false, ..Wishes::default() };
    let machine = Machine::probe(wishes).spinning_on_shared_cores();
    let mut pair = start_on(machine, Pattern::closed(2, 20_000, 2, AUS, &check), check, 4_000_000);
    let mut reports = 0;
    let all = wait_for(Duration::from_secs(20), || {
        reports += u64::from(pair.client.poll_feedback().is_some());
        pictures.load(Ordering::Relaxed) == AUS
    });
    let host = pair.host.stop();
    let asked_to_stop = Instant::now();
    let client = pair.client.stop();
    assert!(all, "{:?} {:?}", host.stats, client.stats);
    assert!(asked_to_stop.elapsed() < Duration::from_secs(1), "a spin heeds a request to stop");
    assert!(reports > 10, "{reports} reports of {AUS} access units");
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    assert_eq!((host.slices_out, host.arena_leased_bytes, client.spans_out), (0, 0, 0));
}

#[test]
fn a_pipeline_that_is_dropped_leaves_no_thread() {
    let check = Check::new(false);
    let pictures = check.pictures.clone();
    let pattern = Pattern::closed(2, 20_000, 2, u64::MAX, &check);
    let forced = pattern.idrs_forced.clone();
    let pair = start(pattern, check);
    assert!(wait_for(Duration::from_secs(10), || pictures.load(Ordering::Relaxed) > 20));
    // A stage's thread owns what the counters are shared with.
    drop(pair.host);
    assert_eq!(Arc::strong_count(&forced), 1);
    drop(pair.client);
    assert_eq!(Arc::strong_count(&pictures), 1);
}

#[test]
fn the_last_pictures_of_a_source_have_the_pacers_time() {
    WAYS.into_iter().for_each(last_pictures_have_time);
}

fn last_pictures_have_time(merge: Merge) {
    // One slice that needs more than two seconds at this pace.
    let pattern = Pattern::new(1, 400_000, Duration::ZERO, 1);
    let pair = start_on(machine(merge), pattern, Check::new(false), 1_000);
    assert!(wait_for(Duration::from_secs(20), || pair.host.is_ended()), "{:?}", pair.host.stats());
    let host = pair.host.stop();
    assert_eq!((host.slices_out, host.arena_leased_bytes), (0, 0));
    let sent = host.stats.protect;
    assert_eq!((host.stats.encode.encoded, sent.sent, sent.dropped_protect), (1, 1, 0), "{sent:?}");
    pair.client.stop();
}

#[test]
fn load_is_shed_before_encode_when_sending_lags() {
    WAYS.into_iter().for_each(load_is_shed);
}

fn load_is_shed(merge: Merge) {
    // 800 Mbit/s asked of a pacer at 100 Mbit/s.
    let check = Check::new(false);
    let pattern = Pattern::new(1, 100_000, Duration::from_millis(1), 400);
    let mut pair = start_on(machine(merge), pattern, check, 100_000);
    let mut collectors = pair.host.take_collectors();
    assert!(wait_for(Duration::from_secs(20), || pair.host.is_ended()), "{:?}", pair.host.stats());
    let host = pair.host.stop();
    let encode = host.stats.encode;
    assert!(encode.shed > 0, "{encode:?}");
    the_cadence_is_the_sources(&mut collectors, &encode, Duration::from_millis(1));
    assert_eq!(encode.shed + encode.superseded + encode.encoded, encode.captured);
    assert_eq!((host.slices_out, host.arena_leased_bytes), (0, 0));
    assert_eq!(pair.client.stop().spans_out, 0);
}

/// Whatever was shed, of a source with so much time between its pictures.
fn the_cadence_is_the_sources(collectors: &mut [Collector], encode: &EncodeStats, interval: Duration) {
    let mut intervals = Vec::new();
    for collector in collectors {
        collector.drain(|stage, time| {
            if stage == Stage::CaptureInterval {
                intervals.push(time);
            }
        });
    }
    // What was passed over before the first picture was encoded is in no interval.
    let (noted, least) = (intervals.len() as u64, encode.encoded + encode.shed / 2);
    assert!((least..encode.captured).contains(&noted), "{noted} intervals of {encode:?}");
    intervals.sort_unstable();
    let median = intervals[intervals.len() / 2];
    assert!(median.abs_diff(interval) < Duration::from_micros(1), "{median:?}");
}

#[test]
fn a_stop_in_mid_stream_brings_everything_home() {
    WAYS.into_iter().for_each(a_stop_brings_everything_home);
}

fn a_stop_brings_everything_home(merge: Merge) {
    let check = Check::new(false);
    let pictures = check.pictures.clone();
    let pattern = Pattern::new(4, 50_000, Duration::from_millis(2), u64::MAX);
    let pair = start_on(machine(merge), pattern, check, 4_000_000);
    assert!(wait_for(Duration::from_secs(10), || pictures.load(Ordering::Relaxed) > 20));
    let host = pair.host.stop();
    let client = pair.client.stop();
    assert_eq!((host.slices_out, host.arena_leased_bytes, client.spans_out), (0, 0, 0));
    assert!(host.encode.is_some() && client.receiver.is_some());
}

#[test]
fn an_idr_comes_when_it_is_asked_for() {
    let pattern = Pattern::new(1, 2_000, Duration::from_millis(5), u64::MAX);
    let forced = pattern.idrs_forced.clone();
    let pair = start(pattern, Check::new(false));
    assert!(wait_for(Duration::from_secs(5), || pair.host.stats().encode.encoded > 30));
    assert_eq!(forced.load(Ordering::Relaxed), 1, "the first picture is an IDR, and no other");
    let newest = u32::try_from(pair.host.stats().encode.next_au).expect("few") - 1;
    pair.host.request_idr(Lost::all_up_to(newest));
    assert!(wait_for(Duration::from_secs(5), || forced.load(Ordering::Relaxed) == 2));
    pair.host.stop();
    pair.client.stop();
}

#[test]
fn a_slice_is_on_the_wire_before_the_next_is_encoded() {
    let check = Check::new(false);
    let (slices, pictures) = (check.slices_seen.clone(), check.pictures.clone());
    let mut pattern = Pattern::closed(2, 20_000, 2, 20, &check);
    let goes_on = Arc::new(AtomicBool::new(false));
    pattern.goes_on = Arc::clone(&goes_on);
    let pair = start(pattern, check);
    // The first slice reaches the decoder while the encoder still waits to make the second, before the access
    // unit counts as encoded.
    let early = wait_for(Duration::from_secs(5), || slices.load(Ordering::Relaxed) == 1);
    let encoded = pair.host.stats().encode.encoded;
    goes_on.store(true, Ordering::Release);
    assert!(early && encoded == 0, "{early} {encoded}");
    // The second came late to its access unit; with the next ones it is not.
    let whole = wait_for(Duration::from_secs(5), || pictures.load(Ordering::Relaxed) >= 2);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    assert!(whole && host.fault.is_none() && client.fault.is_none(), "{:?} {:?}", host.stats, client.stats);
    assert!(host.stats.protect.sent_early > 0, "it is counted: {:?}", host.stats.protect);
}

#[test]
fn a_stop_does_not_wait_for_the_pacer() {
    WAYS.into_iter().for_each(a_stop_is_heeded_while_paced);
}

fn a_stop_is_heeded_while_paced(merge: Merge) {
    // One access unit needs eight seconds at this pace.
    let pattern = Pattern::new(1, 500_000, Duration::from_millis(5), 3);
    let pair = start_on(machine(merge), pattern, Check::new(false), 500);
    assert!(wait_for(Duration::from_secs(5), || pair.client.stats().receive.datagrams > 0));
    let start = Instant::now();
    let host = pair.host.stop();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((host.slices_out, host.arena_leased_bytes), (0, 0));
    assert_eq!(pair.client.stop().spans_out, 0);
}
