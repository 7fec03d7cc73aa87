//! Tests of the host: what goes again is what went before, and only while it is of use.

use std::collections::HashMap;

use super::*;
use punktfunk_proto::{FeedbackReport, MissingShards, OpenAuReport};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Secret};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn host(plan: &Plan) -> Host {
    let start = Instant::now();
    let keys =
        PlaneKeys::new(&Secret::new([7; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    Host::new(plan, &plan.negotiated().unwrap(), Sealer::new(keys, start), start)
}

/// All that leaves until `until`, by (AU, block, shard, again).
fn sent(host: &mut Host, until: Duration) -> HashMap<(u32, u16, u16, bool), Vec<u8>> {
    let mut all = HashMap::new();
    let mut now = Duration::ZERO;
    loop {
        host.handle_time(now).unwrap();
        while let Some((label, bytes)) = host.poll_transmit(now) {
            let key = (label.au, label.block, label.shard, label.again);
            assert!(all.insert(key, bytes.to_vec()).is_none(), "{label:?} left twice");
        }
        match host.poll_timeout() {
            Some(next) if next <= until => now = now.max(next),
            Some(_) | None => return all,
        }
    }
}

fn asked_for(au: u32, bits: u64) -> Message {
    let mut report = FeedbackReport::default();
    report.highest_au = Some(au);
    report.push_open(OpenAuReport { au, blocks_seen: 1, end_seen: true, unseen: 0 });
    report.push_missing(MissingShards { au, block: 0, word: 0, bits });
    Message::Report(Box::new(report))
}

#[test]
fn what_goes_again_is_what_went_before() {
    let plan = Plan::parse("aus = 1\nsize = '40KB'\nslices = 1\nresend = true\n").unwrap();
    let mut host = host(&plan);
    let first = sent(&mut host, ms(5));
    assert!(!host.is_done(), "it is held");
    host.handle_message(&asked_for(0, 0b1011 << 3), ms(5));
    assert_eq!(host.poll_released(), None);
    let again = sent(&mut host, ms(10));
    let mut shards: Vec<u16> = again
        .keys()
        .map(|(_, _, shard, again)| {
            assert!(again);
            *shard
        })
        .collect();
    shards.sort_unstable();
    assert_eq!(shards, [3, 4, 6]);
    assert!(
        again.iter().all(|((au, block, shard, _), bytes)| first[&(*au, *block, *shard, false)] == *bytes)
    );
    assert_eq!(host.counts().resends.resent, 3);
    // Once its time is over it is let go.
    assert!(sent(&mut host, ms(400)).is_empty());
    assert!(host.is_done());
    assert_eq!((host.poll_released(), host.poll_released()), (Some(0), None));
}

#[test]
fn without_resends_nothing_is_held() {
    let plan = Plan::parse("aus = 2\nsize = '40KB'\n").unwrap();
    let mut host = host(&plan);
    let first = sent(&mut host, ms(100));
    let data = host.counts().data_datagrams + host.counts().parity_datagrams;
    assert_eq!((first.len() as u64, host.is_done()), (data, true));
    assert_eq!([(); 3].map(|()| host.poll_released()), [Some(0), Some(1), None]);
    host.handle_message(&asked_for(0, 1), ms(100));
    assert!(host.poll_transmit(ms(200)).is_none());
}

#[test]
fn a_shrunken_mtu_is_followed_once_it_is_known() {
    let plan = Plan::parse(
        "aus = 8\nsize = '40KB'\nslices = 1\nmtu_known_after = '40ms'\n[channel]\nmtu = ['1280@20ms']\n",
    )
    .unwrap();
    let datagrams = sent(&mut host(&plan), ms(1_000));
    let longest =
        |au: u32| datagrams.iter().filter(|((of, ..), _)| *of == au).map(|(_, bytes)| bytes.len()).max();
    // Access units begin each 16.7 ms: the fourth begins at 50 ms, the fifth at 67 ms.
    assert_eq!((longest(3), longest(4)), (Some(1_448), Some(1_192)));
}
