//! Both pipelines on loopback: every byte, every slot home, load shed before encode.

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::{Check, Pattern, start, start_paced, wait_for};

#[test]
fn every_byte_of_every_slice_arrives_and_everything_comes_home() {
    const AUS: u64 = 240;
    let check = Check::new(true);
    let pictures = check.pictures.clone();
    let mut pair = start(Pattern::new(4, 60_000, Duration::from_millis(4), AUS), check);
    assert_eq!((pair.host.setups().len(), pair.client.setups().len()), (2, 2));
    assert_eq!((pair.host.take_collectors().len(), pair.client.take_collectors().len()), (2, 2));
    let done = wait_for(Duration::from_secs(20), || {
        pair.host.is_ended() && pair.host.stats().protect.sent == pair.host.stats().encode.encoded
    });
    assert!(done, "{:?}", pair.host.stats());
    let host = pair.host.stop();
    let all =
        wait_for(Duration::from_secs(5), || pictures.load(Ordering::Relaxed) == host.stats.protect.sent);
    let client = pair.client.stop();
    assert!(all, "{:?} {:?}", host.stats, client.stats);
    assert_eq!(host.fault, None);
    assert_eq!(client.fault, None);
    assert_eq!((host.slices_out, host.arena_leased_bytes, client.spans_out), (0, 0, 0));
    assert_eq!(host.stats.encode.captured, AUS);
    let encode = host.stats.encode;
    assert_eq!(encode.encoded + encode.shed + encode.superseded, AUS);
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    let decode = client.stats.decode;
    assert_eq!((decode.whole, decode.decoded), (host.stats.protect.sent, host.stats.protect.sent));
    assert_eq!(client.stats.receive.lost_aus, 0);
    assert_eq!(client.stats.receive.datagrams, host.stats.protect.datagrams);
}

#[test]
fn load_is_shed_before_encode_when_sending_lags() {
    // 800 Mbit/s asked of a pacer at 100 Mbit/s.
    let check = Check::new(false);
    let pattern = Pattern::new(1, 100_000, Duration::from_millis(1), 400);
    let pair = start_paced(pattern, check, 100_000);
    assert!(wait_for(Duration::from_secs(20), || pair.host.is_ended()), "{:?}", pair.host.stats());
    let host = pair.host.stop();
    let encode = host.stats.encode;
    assert!(encode.shed > 0, "{encode:?}");
    assert_eq!(encode.shed + encode.superseded + encode.encoded, encode.captured);
    assert_eq!((host.slices_out, host.arena_leased_bytes), (0, 0));
    assert_eq!(pair.client.stop().spans_out, 0);
}

#[test]
fn a_stop_in_mid_stream_brings_everything_home() {
    let check = Check::new(false);
    let pictures = check.pictures.clone();
    let pair = start(Pattern::new(4, 50_000, Duration::from_millis(2), u64::MAX), check);
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
    let pair = start(pattern, Check::new(true));
    assert!(wait_for(Duration::from_secs(5), || pair.host.stats().encode.encoded > 30));
    assert_eq!(forced.load(Ordering::Relaxed), 1, "the first picture is an IDR, and no other");
    let newest = u32::try_from(pair.host.stats().encode.next_au).expect("few") - 1;
    pair.host.request_idr(newest);
    assert!(wait_for(Duration::from_secs(5), || forced.load(Ordering::Relaxed) == 2));
    pair.host.stop();
    pair.client.stop();
}

#[test]
fn a_slice_is_on_the_wire_before_the_next_is_encoded() {
    let mut pattern = Pattern::new(2, 20_000, Duration::from_millis(1), 1);
    pattern.between_slices = Duration::from_millis(120);
    let check = Check::new(false);
    let slices = check.slices_seen.clone();
    let pair = start(pattern, check);
    // One access unit of two slices: the first reaches the decoder while the encoder still waits to make the
    // second, before the access unit counts as encoded.
    let early = wait_for(Duration::from_secs(5), || slices.load(Ordering::Relaxed) == 1);
    let encoded = pair.host.stats().encode.encoded;
    assert!(early && encoded == 0, "{early} {encoded}");
    assert!(wait_for(Duration::from_secs(5), || slices.load(Ordering::Relaxed) == 2));
    let (host, client) = (pair.host.stop(), pair.client.stop());
    assert!(host.fault.is_none() && client.fault.is_none());
    assert_eq!(client.stats.decode.decoded, 1);
}

#[test]
fn a_stop_does_not_wait_for_the_pacer() {
    // One access unit needs eight seconds at this pace.
    let pair = start_paced(Pattern::new(1, 500_000, Duration::from_millis(5), 3), Check::new(false), 500);
    assert!(wait_for(Duration::from_secs(5), || pair.host.stats().encode.encoded > 0));
    let start = Instant::now();
    let host = pair.host.stop();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((host.slices_out, host.arena_leased_bytes), (0, 0));
    assert_eq!(pair.client.stop().spans_out, 0);
}
