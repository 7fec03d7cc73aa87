//! Tests of the oracle: what is enough, what is too late, and what never came down.

use super::*;
use punktfunk_proto::Negotiated;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// At 60 Hz: a deadline of 33.3 ms, a stall deadline of 250 ms, 16 AUs open.
fn oracle(aus: u32) -> Oracle {
    let negotiated = Negotiated::new(1408, 20_000, 60_000, 1, 100, 65_536).unwrap();
    let mut oracle = Oracle::new(&ReassemblerLimits::from(&negotiated));
    (0..aus).for_each(|_| oracle.begin([(2, 3)].into_iter()));
    oracle
}

fn arrive(oracle: &mut Oracle, au: u32, shard: u16, now: Duration) {
    let label = Label { au, block: 0, shard, again: false };
    oracle.note_sent(label, Fate { intact: 1, ..Fate::default() });
    oracle.note_arrival(label, true, now);
}

#[test]
fn k_distinct_intact_shards_of_each_block_are_enough_and_less_are_not() {
    let mut oracle = oracle(4);
    for (au, shards) in [&[0_u16, 1, 2][..], &[1, 2], &[2, 2, 2], &[0]].into_iter().enumerate() {
        shards.iter().for_each(|shard| arrive(&mut oracle, au as u32, *shard, ms(0)));
    }
    // A damaged copy is none.
    oracle.note_arrival(Label { au: 3, block: 0, shard: 1, again: false }, false, ms(0));
    let verdicts = oracle.finish();
    assert_eq!(verdicts.allowed, [true, true, false, false]);
    assert_eq!((verdicts.in_time, verdicts.astray), (vec![true, true, false, false], 0));
}

#[test]
fn what_comes_after_the_deadline_is_allowed_and_not_in_time() {
    for (late, in_time) in [(33, true), (34, false)] {
        let mut oracle = oracle(2);
        arrive(&mut oracle, 0, 0, ms(0));
        arrive(&mut oracle, 1, 0, ms(1));
        arrive(&mut oracle, 0, 1, ms(1 + late));
        arrive(&mut oracle, 1, 1, ms(1 + late));
        let verdicts = oracle.finish();
        assert_eq!(verdicts.allowed, [true, true]);
        assert_eq!(verdicts.in_time, [in_time, true], "{late}");
    }
}

#[test]
fn the_newest_waits_while_it_gets_on() {
    for (last, in_time) in [(449, true), (450, false)] {
        let mut oracle = oracle(1);
        oracle.begin([(3, 4)].into_iter());
        arrive(&mut oracle, 0, 0, ms(0));
        arrive(&mut oracle, 0, 1, ms(0));
        arrive(&mut oracle, 1, 0, ms(100));
        arrive(&mut oracle, 1, 1, ms(200));
        // Nothing new: no progress.
        arrive(&mut oracle, 1, 1, ms(300));
        arrive(&mut oracle, 1, 2, ms(last));
        assert_eq!(oracle.finish().in_time, [true, in_time], "{last}");
    }
}

#[test]
fn what_a_much_newer_one_leaves_no_room_for_is_over() {
    let mut oracle = oracle(20);
    arrive(&mut oracle, 0, 0, ms(0));
    // Whole, but behind one that is not.
    for (au, shard, at) in [(1, 0, 0), (1, 1, 0), (17, 0, 1), (17, 1, 1)] {
        arrive(&mut oracle, au, shard, ms(at));
    }
    let verdicts = oracle.finish();
    assert!(verdicts.allowed[1] && !verdicts.in_time[1] && verdicts.in_time[17]);
}

#[test]
fn what_was_sent_and_never_came_down_is_told() {
    let mut oracle = oracle(1);
    let label = Label { au: 0, block: 0, shard: 0, again: false };
    oracle.note_sent(label, Fate { intact: 2, ..Fate::default() });
    oracle.note_arrival(label, true, ms(0));
    assert_eq!(oracle.finish().astray, 1);
}
