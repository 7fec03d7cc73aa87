//! The ledger against a naive model of every shard, and what no report can make it do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::wire::Flags;

const MS: Duration = Duration::from_millis(1);
const RTT: Duration = Duration::from_micros(500);

/// One shard of 256 bytes at least, so that a datagram has 296.
fn plan(au: u32, block: u16, k: u16) -> BlockPlan {
    BlockPlan {
        au,
        block,
        range_start: 0,
        range_end: usize::from(k) * 256,
        k,
        m: 1,
        tail: 0,
        flags: Flags::NONE,
        pts_us: 0,
        shard_bytes: 256,
    }
}

fn negotiated(bitrate_kbps: u32) -> Negotiated {
    Negotiated::new(1408, bitrate_kbps, 120_000, 4, 100, 4 << 20).unwrap()
}

/// A report of one open AU.
fn report(highest_au: u32, open: OpenAuReport, missing: &[MissingShards]) -> FeedbackReport {
    let mut report = FeedbackReport { highest_au: Some(highest_au), ..FeedbackReport::default() };
    assert!(report.push_open(open));
    missing.iter().for_each(|missing| assert!(report.push_missing(*missing)));
    report
}

fn open(au: u32, blocks_seen: u16, end_seen: bool) -> OpenAuReport {
    OpenAuReport { au, blocks_seen, end_seen, unseen: 0 }
}

/// All that is to be sent again now: (au, block, shards).
fn drain<L>(ledger: &mut ResendLedger<L>, now: Instant) -> Vec<(u32, u16, Range<usize>)> {
    std::iter::from_fn(|| ledger.poll_resend(now).map(|run| (run.au, run.block, run.shards))).collect()
}

fn releases<L>(ledger: &mut ResendLedger<L>, now: Instant) -> Vec<L> {
    std::iter::from_fn(|| ledger.poll_release(now)).collect()
}

#[test]
fn missing_shards_go_again_in_runs_and_not_before_an_answer_is_due() {
    let now = Instant::now();
    let mut ledger = ResendLedger::new(&negotiated(500_000));
    ledger.begin_au(7, now);
    ledger.hold(&plan(7, 0, 200), "lease", now);
    let missing = [
        MissingShards { au: 7, block: 0, word: 0, bits: 0b1011 | 3 << 62 },
        MissingShards { au: 7, block: 0, word: 1, bits: 0b11 },
        // Beyond the block's 200 shards, of which the first eight lie in word 3.
        MissingShards { au: 7, block: 0, word: 3, bits: 0b11 << 7 },
        MissingShards { au: 7, block: 0, word: 4, bits: u64::MAX },
    ];
    let report = report(7, open(7, 1, true), &missing);
    let later = now + MS;
    ledger.handle_report(&report, RTT, later);
    assert_eq!(
        drain(&mut ledger, later),
        [(7, 0, 0..2), (7, 0, 3..4), (7, 0, 62..66), (7, 0, 199..200)],
        "a run goes on into the next word"
    );
    ledger.handle_report(&report, RTT, later + MS);
    assert_eq!(drain(&mut ledger, later + MS), [], "the answer may still be under way");
    ledger.handle_report(&report, RTT, later + RTT + MS);
    assert_eq!(drain(&mut ledger, later + RTT + MS).len(), 4);
    for (micros, runs) in [(25_499, 0), (25_500, 4), (75_000, 0)] {
        let at = later + Duration::from_micros(micros);
        ledger.handle_report(&report, RTT, at);
        assert_eq!(drain(&mut ledger, at).len(), runs, "a third time, later, and no more");
    }
    let counters = ledger.counters();
    assert_eq!((counters.asked, counters.resent, counters.refused), (32, 24, 8));
}

#[test]
fn blocks_of_which_nothing_came_go_again_whole() {
    let now = Instant::now();
    let mut ledger = ResendLedger::new(&negotiated(500_000));
    ledger.begin_au(3, now);
    (0..4).for_each(|block| ledger.hold(&plan(3, block, 20), block, now));
    let unseen = OpenAuReport { unseen: 0b10, ..open(3, 3, false) };
    ledger.handle_report(&report(3, unseen, &[]), RTT, now + MS);
    assert_eq!(drain(&mut ledger, now + MS), [(3, 1, 0..16), (3, 1, 16..20)], "the last may be on its way");
    let later = now + RTT + 30 * MS;
    ledger.handle_report(&report(3, unseen, &[]), RTT, later - Duration::from_nanos(1));
    let second =
        |runs: Vec<(u32, u16, Range<usize>)>| runs.into_iter().filter(|run| run.1 == 3).collect::<Vec<_>>();
    assert_eq!(second(drain(&mut ledger, later)), []);
    ledger.handle_report(&report(3, unseen, &[]), RTT, later);
    assert_eq!(second(drain(&mut ledger, later)), [(3, 3, 0..16), (3, 3, 16..20)]);
}

#[test]
fn a_last_block_is_lost_once_a_newer_au_came() {
    let now = Instant::now();
    for (seen, end_seen, newer, again) in
        [(1, false, true, true), (1, false, false, false), (2, true, true, false), (1, true, true, false)]
    {
        let mut ledger = ResendLedger::new(&negotiated(500_000));
        ledger.begin_au(3, now);
        (0..2).for_each(|block| ledger.hold(&plan(3, block, 5), block, now));
        ledger.begin_au(4, now + MS);
        let highest_au = if newer { 4 } else { 3 };
        ledger.handle_report(&report(highest_au, open(3, seen, end_seen), &[]), RTT, now + 2 * MS);
        let runs = if again { vec![(3, 1, 0..5)] } else { vec![] };
        assert_eq!(drain(&mut ledger, now + 2 * MS), runs, "{seen} {end_seen} {newer}");
    }
}

#[test]
fn an_au_of_which_nothing_came_goes_again_whole() {
    let now = Instant::now();
    for nothing_before in [false, true] {
        let mut ledger = ResendLedger::new(&negotiated(500_000));
        ledger.begin_au(9, now);
        ledger.hold(&plan(9, 0, 3), (), now);
        let highest_au = (!nothing_before).then_some(8);
        let report = FeedbackReport { highest_au, ..FeedbackReport::default() };
        ledger.handle_report(&report, RTT, now + MS);
        assert_eq!(drain(&mut ledger, now + MS), []);
        ledger.handle_report(&report, RTT, now + 100 * MS);
        assert_eq!(drain(&mut ledger, now + 100 * MS), [(9, 0, 0..3)]);
        assert_eq!(releases(&mut ledger, now + 249 * MS), []);
        assert_eq!(releases(&mut ledger, now + 250 * MS), [()], "the receiver would have given it up");
    }
}

#[test]
fn leases_come_back_oldest_first_when_their_au_is_done_with() {
    let now = Instant::now();
    let mut ledger = ResendLedger::new(&negotiated(500_000));
    for au in 0..3 {
        ledger.begin_au(au, now + au * MS);
        (0..2).for_each(|block| ledger.hold(&plan(au, block, 2), (au, block), now + au * MS));
    }
    assert_eq!(releases(&mut ledger, now + 3 * MS), []);
    // AU 1 is open: 0 has ended.
    ledger.handle_report(&report(1, open(1, 1, false), &[]), RTT, now + 3 * MS);
    assert_eq!(releases(&mut ledger, now + 3 * MS), [(0, 0), (0, 1)]);
    assert_eq!(ledger.poll_timeout(), Some(now + 22 * MS), "20 ms after AU 2 began");
    assert_eq!(releases(&mut ledger, now + 22 * MS), [(1, 0), (1, 1)]);
    assert_eq!(ledger.evict(now + 22 * MS), Some((2, 0)), "for a caller that has no room");
    assert_eq!(ledger.blocks_held(), 1);
    ledger.handle_report(
        &FeedbackReport { highest_au: Some(2), ..FeedbackReport::default() },
        RTT,
        now + 23 * MS,
    );
    assert_eq!(releases(&mut ledger, now + 23 * MS), [(2, 1)]);
    assert_eq!((ledger.poll_timeout(), ledger.evict(now)), (None, None));
    ledger.hold(&plan(3, 0, 2), (3, 0), now + 23 * MS);
    ledger.end_au(3);
    assert_eq!(releases(&mut ledger, now + 23 * MS), [(3, 0)], "it was cut");
}

#[test]
fn nothing_goes_again_after_its_deadline_or_once_it_has_ended() {
    let now = Instant::now();
    let mut ledger = ResendLedger::new(&negotiated(500_000));
    ledger.begin_au(0, now);
    ledger.hold(&plan(0, 0, 10), 0, now);
    ledger.begin_au(1, now + 8 * MS);
    ledger.hold(&plan(1, 0, 10), 1, now + 8 * MS);
    let missing = |au| MissingShards { au, block: 0, word: 0, bits: 0b111 };
    ledger.handle_report(&report(1, open(0, 1, true), &[missing(0)]), RTT, now + 27 * MS);
    assert_eq!(drain(&mut ledger, now + 28 * MS), [], "20 ms after AU 1 began");
    assert_eq!(ledger.counters().late, 3);
    let both = report(1, open(1, 1, true), &[missing(0), missing(1)]);
    ledger.handle_report(&both, RTT, now + 28 * MS);
    assert_eq!(drain(&mut ledger, now + 28 * MS), [(1, 0, 0..3)]);
    assert_eq!(ledger.counters().late, 3, "it was late before, however often it is asked for");
    assert_eq!(releases(&mut ledger, now + 28 * MS), [0]);
    ledger.handle_report(&both, RTT, now + 28 * MS);
    assert_eq!(ledger.counters().gone, 3);
    // It is asked for in time, and a report that it ended overtakes the resend.
    ledger.handle_report(&report(1, open(1, 1, true), &[missing(1)]), RTT, now + 40 * MS);
    ledger.handle_report(
        &FeedbackReport { highest_au: Some(1), ..FeedbackReport::default() },
        RTT,
        now + 40 * MS,
    );
    assert_eq!((drain(&mut ledger, now + 40 * MS), ledger.counters().late), (vec![], 6));
}

#[test]
fn what_is_still_being_sent_is_not_gone() {
    let now = Instant::now();
    let mut ledger = ResendLedger::new(&negotiated(500_000));
    ledger.begin_au(5, now);
    let begun = [MissingShards { au: 5, block: 0, word: 0, bits: 1 }];
    ledger.handle_report(&report(5, open(5, 1, false), &begun), RTT, now);
    ledger.hold(&plan(5, 0, 10), (), now);
    let missing = [
        MissingShards { au: 5, block: 1, word: 0, bits: 1 },
        MissingShards { au: 6, block: 0, word: 0, bits: 1 },
    ];
    ledger.handle_report(&report(6, open(5, 2, false), &missing), RTT, now + MS);
    assert_eq!((drain(&mut ledger, now + MS), ledger.counters()), (vec![], ResendCounters::default()));
}

#[test]
fn resends_stay_within_their_share_of_the_rate() {
    let now = Instant::now();
    for (kbps, at_once) in [(8_000, 65_536 + 25_000), (500_000, 65_536 + 1_562_500)] {
        let mut ledger = ResendLedger::new(&negotiated(kbps));
        let (mut bytes, mut at) = (0, now);
        // Everything is lost for ten seconds, whatever goes again.
        for au in 0..1_200 {
            at = now + au * Duration::from_micros(8_333);
            ledger.begin_au(au, at);
            ledger.hold(&plan(au, 0, 4_000), (), at);
            let nothing = report(au, open(au.saturating_sub(2), 0, false), &[]);
            ledger.handle_report(&nothing, RTT, at + 4 * MS);
            while let Some(run) = ledger.poll_resend(at + 4 * MS) {
                bytes += run.bytes().len();
            }
            releases(&mut ledger, at + 4 * MS);
        }
        let seconds = (at + 4 * MS - now).as_secs_f64();
        let most = f64::from(at_once) + f64::from(kbps) * 125.0 / 4.0 * seconds;
        assert!(
            bytes as f64 <= most && bytes as f64 > most * 0.95,
            "{bytes} of {most} bytes at {kbps} kbit/s"
        );
        assert!(ledger.counters().refused > 0);
        ledger.set_wire_rate(0);
        assert!(ledger.poll_resend(at + 5 * MS).is_none());
    }
}

#[test]
fn an_ask_that_is_repeated_counts_once() {
    let now = Instant::now();
    let mut ledger = ResendLedger::new(&negotiated(500_000));
    ledger.set_wire_rate(0);
    ledger.begin_au(0, now);
    ledger.hold(&plan(0, 0, 600), (), now);
    // Sixty-four kilobytes go, the first 221 datagrams of 296 bytes; for the rest there is nothing left.
    let words = |count: u16| {
        let missing = (0..count).map(|word| MissingShards { au: 0, block: 0, word, bits: u64::MAX });
        report(0, open(0, 1, true), &missing.collect::<Vec<_>>())
    };
    ledger.budget.bytes = 221 * 296;
    for repeat in 0..5 {
        let at = now + MS + repeat * Duration::from_micros(100);
        ledger.handle_report(&words(9), RTT, at);
        drain(&mut ledger, at);
        let counters = ledger.counters();
        assert_eq!((counters.asked, counters.resent, counters.refused), (576, 221, 355), "{repeat}");
    }
    // One of them can be paid for after all, and is an ask again.
    ledger.budget.bytes = 296;
    let at = now + 5 * MS;
    let one = MissingShards { au: 0, block: 0, word: 8, bits: 1 };
    ledger.handle_report(&report(0, open(0, 1, true), &[one]), RTT, at);
    assert_eq!(drain(&mut ledger, at), [(0, 0, 512..513)]);
    let counters = ledger.counters();
    assert_eq!((counters.asked, counters.resent, counters.refused), (577, 222, 355));
    // Over is over, however often it is asked for.
    ledger.end_au(0);
    for _ in 0..3 {
        ledger.handle_report(&report(0, open(0, 1, true), &[one]), RTT, at + 20 * MS);
        assert_eq!((ledger.counters().asked, ledger.counters().late), (578, 1));
    }
}

#[test]
fn the_share_is_the_same_however_often_it_is_looked_at() {
    let now = Instant::now();
    for step_us in [1_u64, 7, 31, 1_000] {
        let mut budget = Budget::new(1_000);
        budget.refill(now);
        budget.bytes = 0;
        (1..=1_000_000 / step_us).for_each(|step| budget.refill(now + Duration::from_micros(step * step_us)));
        let exact = 1_000 * (1_000_000 / step_us * step_us) / (8_000 * RESEND_RATE_PART);
        assert_eq!(budget.bytes, exact, "in steps of {step_us} µs");
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A new AU of blocks of so many data shards.
    Au(Vec<u16>),
    /// A report of open AUs and missing words, their AUs counted back from the newest.
    Report {
        open: Vec<(u32, u16, u64)>,
        missing: Vec<(u32, u16, u16, u64)>,
        behind: u32,
    },
    Wait(u64),
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    let open = proptest::collection::vec((0u32..6, 0u16..5, prop_oneof![Just(0), any::<u64>()]), 0..4);
    let missing = proptest::collection::vec(
        (0u32..8, 0u16..5, 0u16..4, prop_oneof![any::<u64>(), (0u32..64).prop_map(|bit| 1 << bit)]),
        0..12,
    );
    prop_oneof![
        3 => proptest::collection::vec(1u16..200, 1..4).prop_map(Step::Au),
        4 => (open, missing, 0u32..3).prop_map(|(open, missing, behind)| Step::Report { open, missing, behind }),
        3 => (1u64..12_000).prop_map(Step::Wait),
        1 => Just(Step::Evict),
    ]
}

/// The naive twin: every data shard by itself, looked for by walking.
#[derive(Default)]
struct Naive {
    /// AU → when it began.
    begun: BTreeMap<u32, Instant>,
    held: Vec<NaiveShard>,
    ended_below: u32,
}

struct NaiveShard {
    au: u32,
    block: u16,
    shard: usize,
    sent_at: Instant,
    resent_at: Vec<Instant>,
}

impl Naive {
    fn deadline(&self, au: u32) -> Instant {
        let newer = self.begun.range(au + 1..).next().map(|(_, at)| *at + 20 * MS);
        let last_sent = self.held.iter().filter(|shard| shard.au == au).map(|shard| shard.sent_at).max();
        newer.unwrap_or_else(|| last_sent.unwrap() + 250 * MS)
    }

    /// What a report makes it send again, and notes it.
    fn handle_report(&mut self, report: &FeedbackReport, now: Instant) -> Vec<(u32, u16, usize)> {
        let highest = report.highest_au.map_or(0, |au| au + 1);
        let ended_below = report.open_aus().first().map_or(highest, |open| open.au);
        self.ended_below = self.ended_below.max(ended_below);
        let mut wanted = Vec::new();
        // An answer is waited for by sixty-four shards together.
        let word = |shard: &NaiveShard| (shard.au, shard.block, shard.shard / 64);
        let mut last_resent = BTreeMap::new();
        for shard in &self.held {
            let last = last_resent.entry(word(shard)).or_insert(None);
            *last = (*last).max(shard.resent_at.last().copied());
        }
        for at in 0..self.held.len() {
            let NaiveShard { au, block, shard, sent_at, .. } = self.held[at];
            let open = report.open_aus().iter().find(|open| open.au == au).copied();
            let open = open.or_else(|| (au >= highest).then(OpenAuReport::default));
            let wait = if au + 1 < highest { Duration::ZERO } else { RTT + 30 * MS };
            let is_unseen = open.is_some_and(|open| {
                open.unseen >> block & 1 == 1
                    || block >= open.blocks_seen && !open.end_seen && now >= sent_at + wait
            });
            let is_missing = now >= sent_at + RTT / 2
                && report.missing().iter().any(|missing| {
                    missing.au == au
                        && missing.block == block
                        && missing.shards().any(|s| s as usize == shard)
                });
            let resent_at = &self.held[at].resent_at;
            let newest_at = self.begun.values().last().copied();
            let newer_began =
                last_resent[&word(&self.held[at])].zip(newest_at).is_some_and(|(at, newest)| newest > at);
            let waits = [0, 1, if newer_began { 1 } else { 16 }, 1][resent_at.len()];
            let is_under_way =
                last_resent[&word(&self.held[at])].is_some_and(|at| now < at + (RTT + MS) * waits);
            let in_time = now < self.deadline(au) && au >= self.ended_below;
            if (is_unseen || is_missing) && !is_under_way && in_time && resent_at.len() < 3 {
                self.held[at].resent_at.push(now);
                wanted.push((au, block, shard));
            }
        }
        wanted
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn equals_the_naive_ledger(steps in proptest::collection::vec(step(), 1..40)) {
        // At this rate no budget is met.
        let mut ledger = ResendLedger::new(&negotiated(8_000_000));
        let mut naive = Naive::default();
        let mut now = Instant::now();
        let mut next_au = 0_u32;
        for step in steps {
            match step {
                Step::Au(blocks) => {
                    ledger.begin_au(next_au, now);
                    naive.begun.insert(next_au, now);
                    for (block, k) in (0_u16..).zip(blocks) {
                        ledger.hold(&plan(next_au, block, k), (next_au, block), now);
                        naive.held.extend((0..usize::from(k)).map(|shard| NaiveShard {
                            au: next_au, block, shard, sent_at: now, resent_at: Vec::new(),
                        }));
                    }
                    next_au += 1;
                }
                Step::Report { open, missing, behind } => {
                    let Some(newest) = next_au.checked_sub(1) else { continue };
                    let highest_au = Some(newest.saturating_sub(behind));
                    let mut report = FeedbackReport { highest_au, ..FeedbackReport::default() };
                    let mut open: Vec<_> = open.into_iter().map(|(back, seen, unseen)| OpenAuReport {
                        au: newest.saturating_sub(back), blocks_seen: seen, end_seen: false, unseen,
                    }).collect();
                    open.sort_by_key(|open| open.au);
                    open.dedup_by_key(|open| open.au);
                    open.into_iter().for_each(|open| assert!(report.push_open(open)));
                    for (back, block, word, bits) in missing {
                        report.push_missing(MissingShards { au: newest.saturating_sub(back), block, word, bits });
                    }
                    ledger.handle_report(&report, RTT, now);
                    let mut got = Vec::new();
                    for (au, block, shards) in drain(&mut ledger, now) {
                        prop_assert!(shards.len() <= RESEND_RUN_MAX);
                        got.extend(shards.map(|shard| (au, block, shard)));
                    }
                    got.sort_unstable();
                    let mut wanted = naive.handle_report(&report, now);
                    wanted.sort_unstable();
                    prop_assert_eq!(got, wanted);
                    let ResendCounters { asked, resent, late, refused, .. } = ledger.counters();
                    prop_assert_eq!(asked, resent + late + refused, "each ask has one end");
                }
                Step::Wait(micros) => now += Duration::from_micros(micros),
                Step::Evict => {
                    if let Some((au, block)) = ledger.evict(now) {
                        prop_assert_eq!(naive.held.first().map(|shard| (shard.au, shard.block)), Some((au, block)));
                        naive.held.retain(|shard| (shard.au, shard.block) != (au, block));
                    }
                }
            }
            for (au, block) in releases(&mut ledger, now) {
                let is_done = au < naive.ended_below || now >= naive.deadline(au);
                let aus = naive.held.iter().map(|shard| shard.au).collect::<std::collections::BTreeSet<_>>();
                prop_assert!(is_done || aus.len() > 8, "AU {} is held", au);
                naive.held.retain(|shard| (shard.au, shard.block) != (au, block));
            }
            let blocks = naive.held.iter().map(|shard| (shard.au, shard.block));
            prop_assert_eq!(ledger.blocks_held(), blocks.collect::<std::collections::BTreeSet<_>>().len());
        }
    }

    /// Whatever a report says, nothing but what is held goes again, and nothing panics.
    #[test]
    fn hostile_reports_are_bounded(
        bytes in proptest::collection::vec(any::<u8>(), 28..1_100),
        rtt_us: u32,
        wait_us in 0u64..300_000,
    ) {
        let mut bytes = bytes;
        (bytes[0], bytes[1], bytes[2]) = (1, bytes[1] % 5, bytes[2] % 61);
        bytes.resize(crate::feedback::REPORT_BYTES_MAX, 3);
        // AUs and blocks that are held, here and there.
        for at in (28..bytes.len() - 7).step_by(8) {
            bytes[at + 1..at + 4].fill(0);
            (bytes[at], bytes[at + 5], bytes[at + 7]) = (bytes[at] % 6, 0, 0);
            bytes[at + 4] %= 3;
        }
        let report = FeedbackReport::parse(&bytes).expect("the counts are in range");
        let now = Instant::now();
        let mut ledger = ResendLedger::new(&negotiated(500));
        for au in 0..4 {
            ledger.begin_au(au, now);
            (0..2).for_each(|block| ledger.hold(&plan(au, block, 150), (), now));
        }
        let later = now + Duration::from_micros(wait_us);
        ledger.handle_report(&report, Duration::from_micros(rtt_us.into()), later);
        ledger.handle_report(&report, Duration::ZERO, later + MS);
        let runs = drain(&mut ledger, later + MS);
        let bytes: usize = runs.iter().map(|(_, _, shards)| shards.len() * 296).sum();
        prop_assert!(bytes <= 65_536 + 1_600, "{}", bytes);
        prop_assert!(runs.iter().all(|(au, block, shards)| *au < 4 && *block < 2 && shards.end <= 150));
    }
}
