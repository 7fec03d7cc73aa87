//! Datagrams that a path loses are sent again, as they were, while their access unit can still be whole.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use punktfunk_engine::Merge;
use punktfunk_proto::{Header, RedundancyPolicy};

use support::{Check, Pattern, Relay, machine, start_lossy, wait_for};

/// What a path saw.
#[derive(Default)]
struct Seen {
    lost: AtomicU64,
    again: AtomicU64,
    changed: AtomicU64,
}

#[test]
fn what_is_lost_is_sent_again_bit_for_bit() {
    [Merge::Apart, Merge::Together].into_iter().for_each(lose_and_send_again);
}

fn lose_and_send_again(merge: Merge) {
    const AUS: u64 = 200;
    // Slices of 47 shards and their parity, of which runs of eight are lost: more than parity can mend.
    let check = Check::new(false);
    let (pictures, decoded) = (check.pictures.clone(), check.decoded.clone());
    let pattern = Pattern::closed(2, 65_000, 3, u64::MAX, &check);
    let seen = Arc::new(Seen::default());
    let notes = Arc::clone(&seen);
    let (mut first, mut count) = (HashMap::new(), 0_u64);
    let keeps = move |datagram: &[u8]| {
        let sequence = Header::parse(datagram).expect("it is media").sequence;
        if let Some(before) = first.get(&sequence) {
            notes.again.fetch_add(1, Ordering::Relaxed);
            notes.changed.fetch_add(u64::from(*before != datagram), Ordering::Relaxed);
            return true;
        }
        first.insert(sequence, datagram.to_vec());
        count += 1;
        let is_lost = count % 200 < 8;
        notes.lost.fetch_add(u64::from(is_lost), Ordering::Relaxed);
        !is_lost
    };
    let mut relay = None;
    let mut pair = start_lossy(machine(merge), (pattern, check), RedundancyPolicy::Fixed, |client| {
        relay.insert(Relay::start(client, keeps)).address()
    });
    let all = pair.control_until(Duration::from_secs(30), || decoded.load(Ordering::Relaxed) >= AUS);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    drop(relay);
    let (sent, came) = (host.stats.protect, client.stats.receive);
    assert!(all, "{sent:?} {came:?}");
    // A machine that stands still for longer than a deadline may cost one.
    let whole = pictures.load(Ordering::Relaxed);
    assert!(whole + 3 >= AUS, "{whole} of {AUS}: {sent:?} {came:?}");
    let [lost, again, changed] = [&seen.lost, &seen.again, &seen.changed].map(|n| n.load(Ordering::Relaxed));
    assert!(lost > 300 && again > 100, "{lost} lost, {again} came again");
    assert_eq!(changed, 0, "bit for bit");
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    assert!(again <= sent.datagrams_resent, "{sent:?}");
    assert!(sent.resend_asked >= sent.datagrams_resent, "{sent:?}");
    assert_eq!((host.arena_leased_bytes, host.slices_out, client.spans_out), (0, 0, 0));
}

#[test]
fn the_last_access_unit_of_a_source_is_sent_again_too() {
    [Merge::Apart, Merge::Together].into_iter().for_each(lose_of_the_last);
}

fn lose_of_the_last(merge: Merge) {
    const AUS: u64 = 20;
    let check = Check::new(false);
    let decoded = check.decoded.clone();
    let pattern = Pattern::closed(1, 65_000, 3, AUS, &check);
    let (mut seen, mut lost) = (HashSet::new(), 0_u64);
    // The first twelve datagrams of the last one, of which parity can mend five.
    let keeps = move |datagram: &[u8]| {
        let header = Header::parse(datagram).expect("it is media");
        let is_lost = u64::from(header.au) == AUS - 1 && seen.insert(header.sequence) && lost < 12;
        lost += u64::from(is_lost);
        !is_lost
    };
    let mut relay = None;
    let mut pair = start_lossy(machine(merge), (pattern, check), RedundancyPolicy::Fixed, |client| {
        relay.insert(Relay::start(client, keeps)).address()
    });
    let all = pair.control_until(Duration::from_secs(30), || decoded.load(Ordering::Relaxed) >= AUS);
    let ended = wait_for(Duration::from_secs(10), || pair.host.is_ended());
    let (host, client) = (pair.host.stop(), pair.client.stop());
    drop(relay);
    let (sent, came) = (host.stats.protect, client.stats.receive);
    assert!(all && ended, "{sent:?} {came:?}");
    assert!(sent.datagrams_resent >= 12 - 5, "{sent:?}");
    assert_eq!((host.arena_leased_bytes, host.slices_out, client.spans_out), (0, 0, 0));
}

#[test]
fn redundancy_follows_the_reports() {
    const AUS: u64 = 200;
    let check = Check::new(false);
    let pictures = check.pictures.clone();
    // One block of 285 data shards, of which one in a hundred datagrams is lost.
    let pattern = Pattern::closed(1, 400_000, 2, u64::MAX, &check);
    let mut count = 0_u64;
    let keeps = move |_: &[u8]| {
        count += 1;
        !count.is_multiple_of(100)
    };
    let mut relay = None;
    let mut pair =
        start_lossy(machine(Merge::Apart), (pattern, check), RedundancyPolicy::Adaptive, |client| {
            relay.insert(Relay::start(client, keeps)).address()
        });
    let all = pair.control_until(Duration::from_secs(30), || pictures.load(Ordering::Relaxed) >= AUS);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    drop(relay);
    let (sent, came) = (host.stats.protect, client.stats.receive);
    assert!(all && came.lost_aus <= 2, "{sent:?} {came:?}");
    // A tenth was agreed on as the most: 29 shards a block.
    assert!(sent.parity_datagrams < sent.sent * 20, "{sent:?}");
    assert!(sent.parity_datagrams >= sent.sent * 3, "{sent:?}");
}
