//! Tests of the link: each harm alone, and all of them at once.

use std::sync::Arc;

use super::trace::Trace;
use super::*;
use crate::units::Percent;
use proptest::prelude::*;

const FOREVER: Duration = Duration::MAX;

fn plan(change: impl FnOnce(&mut LinkPlan)) -> LinkPlan {
    let mut plan = LinkPlan::default();
    change(&mut plan);
    plan
}

fn link(plan: &LinkPlan) -> Link<u64> {
    Link::new(plan, 5, Way::ToClient)
}

/// 100,000 datagrams of 100 bytes, one a microsecond, and the fate of each.
fn sent_through(plan: &LinkPlan) -> (Link<u64>, Vec<Fate>) {
    let mut link = link(plan);
    let send = |index: u64| link.send(&[index as u8; 100], index, Duration::from_micros(index));
    let fates = (0..100_000).map(send).collect();
    (link, fates)
}

fn arrivals(link: &mut Link<u64>) -> Vec<Arrival<u64>> {
    std::iter::from_fn(|| link.poll_arrival(FOREVER)).collect()
}

fn count(fates: &[Fate], which: impl Fn(&Fate) -> bool) -> usize {
    fates.iter().filter(|fate| which(fate)).count()
}

#[test]
fn with_every_harm_off_all_arrives_in_order_after_the_delay() {
    let (mut link, fates) = sent_through(&LinkPlan::default());
    assert!(fates.iter().all(|fate| *fate == Fate { intact: 1, corrupted: 0, gone: None }));
    for (index, arrival) in arrivals(&mut link).into_iter().enumerate() {
        let wanted = Arrival {
            at: Duration::from_micros(index as u64 + 200),
            intact: true,
            label: index as u64,
            bytes: vec![index as u8; 100],
        };
        assert_eq!(arrival, wanted);
    }
    let counts = FateCounts { datagrams: 100_000, arrived: 100_000, ..FateCounts::default() };
    assert_eq!(link.counts(), counts);
}

#[test]
fn nothing_arrives_before_its_time() {
    let mut link = link(&LinkPlan::default());
    link.send(b"one", 1, Duration::ZERO);
    assert_eq!(link.poll_timeout(), Some(Duration::from_micros(200)));
    assert_eq!(link.poll_arrival(Duration::from_micros(199)), None);
    assert!(link.poll_arrival(Duration::from_micros(200)).is_some());
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn each_kind_of_harm_has_its_share_and_is_on_record() {
    let near_5_percent = 4_700..5_300;
    let (link, fates) = sent_through(&plan(|plan| plan.loss = Percent::of(5.0)));
    let lost = count(&fates, |fate| fate.gone == Some(Gone::Loss));
    assert!(near_5_percent.contains(&lost), "{lost}");
    let counts = FateCounts { datagrams: 100_000, ..FateCounts::default() };
    assert_eq!(link.counts(), FateCounts { lost: lost as u64, ..counts });
    let (link, fates) = sent_through(&plan(|plan| plan.duplicate = Percent::of(5.0)));
    let twice = count(&fates, |fate| fate.intact == 2);
    assert!(near_5_percent.contains(&twice), "{twice}");
    assert_eq!(link.counts(), FateCounts { duplicated: twice as u64, ..counts });
    let (mut link, fates) = sent_through(&plan(|plan| plan.corrupt = Percent::of(5.0)));
    let bad = count(&fates, |fate| fate.corrupted == 1 && fate.intact == 0);
    assert!(near_5_percent.contains(&bad), "{bad}");
    assert_eq!(link.counts(), FateCounts { corrupted: bad as u64, ..counts });
    for arrival in arrivals(&mut link) {
        let flipped: u32 = arrival.bytes.iter().map(|byte| (byte ^ arrival.label as u8).count_ones()).sum();
        assert_eq!(flipped, u32::from(!arrival.intact), "one bit, or none");
    }
}

#[test]
fn bursts_take_what_was_asked_for() {
    let (link, fates) = sent_through(&plan(|plan| plan.burst = Some("2%x20".parse().unwrap())));
    let lost = count(&fates, |fate| fate.gone == Some(Gone::Burst));
    assert_eq!(link.counts().lost_in_bursts, lost as u64);
    let begun = fates.windows(2).filter(|pair| pair[0].gone.is_none() && pair[1].gone.is_some()).count();
    assert!((1_400..2_600).contains(&lost), "{lost}");
    assert!((15..26).contains(&(lost / begun)), "{lost} in {begun}");
}

#[test]
fn what_is_held_back_is_overtaken_and_jitter_overtakes_nothing() {
    let overtaken = |plan: &LinkPlan| {
        let (mut link, _) = sent_through(plan);
        let arrived = arrivals(&mut link);
        assert!(arrived.is_sorted_by_key(|arrival| arrival.at));
        let mut newest = 0;
        let mut overtaken = 0;
        for arrival in &arrived {
            overtaken += usize::from(arrival.label < newest);
            newest = newest.max(arrival.label);
        }
        (overtaken, arrived)
    };
    let (held, _) = overtaken(&plan(|plan| plan.reorder = Some("2%x1ms".parse().unwrap())));
    assert!((1_700..2_300).contains(&held), "{held}");
    let (none, arrived) = overtaken(&plan(|plan| plan.jitter = "3ms".parse().unwrap()));
    assert_eq!(none, 0);
    let delays = arrived.iter().map(|arrival| arrival.at - Duration::from_micros(arrival.label));
    assert!(delays.clone().max().unwrap() - delays.min().unwrap() > Duration::from_millis(2));
}

#[test]
fn a_narrow_link_passes_its_rate_and_its_queue() {
    // 100 bytes a microsecond are 800 Mbit/s.
    let (mut link, fates) = sent_through(&plan(|plan| {
        plan.rate_limit = Some("400Mbit/s".parse().unwrap());
        plan.queue = "10KB".parse().unwrap();
    }));
    let dropped = count(&fates, |fate| fate.gone == Some(Gone::Queue));
    assert_eq!(link.counts().dropped_by_queue, dropped as u64);
    // All but every other one and the 99 more that the queue holds at the end, beside the one that is leaving.
    assert!((49_900..=49_901).contains(&dropped), "{dropped}");
    let last = arrivals(&mut link).pop().unwrap().at;
    assert!(last <= Duration::from_micros(99_999 + 200 + 200), "{last:?}");
}

#[test]
fn an_interface_spaces_and_drops_nothing() {
    let mut link = link(&plan(|plan| {
        plan.interface = Some("800Mbit/s".parse().unwrap());
        plan.rate_limit = Some("400Mbit/s".parse().unwrap());
        plan.queue = "300B".parse().unwrap();
    }));
    // Ten at once arrive at the queue a microsecond apart; once 200 bytes wait there, every other one finds it full.
    let passed: Vec<u64> =
        (0..10).filter(|index| link.send(&[0; 100], *index, Duration::ZERO).gone.is_none()).collect();
    assert_eq!(passed, [0, 1, 2, 3, 4, 6, 8]);
    assert_eq!(arrivals(&mut link)[0].at, Duration::from_micros(1 + 2 + 200));
}

#[test]
fn a_blackout_and_a_shrunken_mtu_take_all_of_their_time() {
    let (link, fates) = sent_through(&plan(|plan| {
        plan.blackouts = vec!["10ms+5ms".parse().unwrap(), "20ms+1ms".parse().unwrap()];
        plan.mtu =
            vec!["1500@1ms".parse().unwrap(), "127@30ms".parse().unwrap(), "128@40ms".parse().unwrap()];
    }));
    for (index, fate) in fates.iter().enumerate() {
        let wanted = match index {
            10_000..15_000 | 20_000..21_000 => Some(Gone::Blackout),
            30_000..40_000 => Some(Gone::Mtu),
            _ => None,
        };
        assert_eq!(fate.gone, wanted, "{index}");
    }
    assert_eq!((link.counts().lost_in_blackouts, link.counts().over_mtu), (6_000, 10_000));
}

#[test]
fn a_trace_is_replayed_exactly() {
    let text = "2 pass\n3 lost\ncorrupt\ntwice\nlate 3ms\n@50us 10 lost\n";
    let mut link = Link::new(&LinkPlan::default(), 5, Way::ToClient);
    link.replay = Some(Replay::new(Arc::new(Trace::parse(text).unwrap())));
    let fates: Vec<Fate> = (0..70).map(|us| link.send(&[0; 100], us, Duration::from_micros(us))).collect();
    let whole = Fate { intact: 1, ..Fate::default() };
    for (index, fate) in fates.into_iter().enumerate() {
        let wanted = match index {
            2..5 | 50..60 => Fate { gone: Some(Gone::Trace), ..Fate::default() },
            5 => Fate { corrupted: 1, ..Fate::default() },
            6 => Fate { intact: 2, ..Fate::default() },
            _ => whole,
        };
        assert_eq!(fate, wanted, "{index}");
    }
    let late = arrivals(&mut link).pop().unwrap();
    assert_eq!((late.label, late.at), (7, Duration::from_micros(7 + 200 + 3_000)));
}

/// Any link.
fn any_plan() -> impl Strategy<Value = LinkPlan> {
    let shares = (0u32..30, 0u32..30, 0u32..30, proptest::option::of((1u32..200, 1u32..30)));
    let times = (0u64..3_000, 0u64..9_000, proptest::option::of((0u32..30, 0u64..5_000)));
    let narrow = (proptest::option::of(100u32..2_000_000), 200u64..20_000, any::<bool>());
    (shares, times, narrow).prop_map(|(shares, times, narrow)| {
        let percent = |share: u32| Percent::of(f64::from(share));
        plan(|plan| {
            plan.loss = percent(shares.0);
            plan.duplicate = percent(shares.1);
            plan.corrupt = percent(shares.2);
            plan.burst = shares
                .3
                .map(|(loss, length)| format!("{}%x{length}", f64::from(loss) / 10.0).parse().unwrap());
            plan.delay = format!("{}us", times.0).parse().unwrap();
            plan.jitter = format!("{}us", times.1).parse().unwrap();
            plan.reorder = times.2.map(|(share, us)| format!("{share}%x{us}us").parse().unwrap());
            plan.rate_limit = narrow.0.map(|kbps| format!("{kbps}kbit/s").parse().unwrap());
            plan.queue = format!("{}B", narrow.1).parse().unwrap();
            plan.blackouts = if narrow.2 { vec!["2ms+1ms".parse().unwrap()] } else { vec![] };
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_datagram_is_accounted_for_and_a_seed_repeats_itself(
        plan in any_plan(), seed in any::<u64>(),
        sends in proptest::collection::vec((1usize..200, 0u64..20_000), 1..500),
    ) {
        let run = || {
            let mut link = Link::new(&plan, seed, Way::ToClient);
            let mut now = Duration::ZERO;
            let mut fates = Vec::new();
            for (index, (bytes, pause_ns)) in sends.iter().enumerate() {
                now += Duration::from_nanos(*pause_ns);
                fates.push(link.send(&vec![7; *bytes], index as u64, now));
            }
            let arrived = arrivals(&mut link);
            (fates, arrived, link.counts())
        };
        let (fates, arrived, counts) = run();
        prop_assert!(counts.are_conserved(), "{counts:?}");
        prop_assert_eq!(counts.datagrams, sends.len() as u64);
        prop_assert_eq!(counts.corrupted, arrived.iter().filter(|arrival| !arrival.intact).count() as u64);
        prop_assert_eq!(counts.gone(), fates.iter().filter(|fate| fate.gone.is_some()).count() as u64);
        prop_assert_eq!(run(), (fates, arrived, counts));
    }
}
