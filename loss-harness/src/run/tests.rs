//! Tests of whole runs: any plan's run is right, and repeats itself; what is damaged is never believed.

use super::*;
use crate::plan::LinkPlan;
use crate::units::Percent;
use proptest::prelude::*;
use punktfunk_seal::SEQUENCES_PER_EPOCH_MAX;

fn run_silently(plan: &Plan) -> Outcome {
    plan.check().unwrap();
    run(plan, &mut Progress::silent()).unwrap()
}

#[test]
fn a_channel_that_passes_nothing_of_an_epoch_is_an_error_and_no_panic() {
    let mut plan = Plan { aus: 3, ..Plan::default() };
    plan.channel.loss = Percent::of(100.0);
    plan.check().unwrap();
    let start = Instant::now();
    // All but the last datagrams of epochs 0 and 1. The first needs no report: any receiver can follow to 1.
    let mut sealer = Sealer::new(keys(plan.seed), start);
    sealer.handle_epoch_opened(0);
    for _ in 0..2 * SEQUENCES_PER_EPOCH_MAX - 10 {
        let _ = sealer.reserve(start).unwrap();
    }
    let error = run_from(&plan, sealer, start, &mut Progress::silent()).unwrap_err();
    assert!(matches!(error, PlanError::KeyExhausted { au: 0, .. }), "{error}");
    let said = error.to_string();
    assert!(["access unit 0", "key epoch 1", "lose less"].iter().all(|part| said.contains(part)), "{said}");
    // Within the epochs nothing is delivered, and the bound allows nothing.
    let outcome = run_silently(&plan);
    assert!(outcome.is_right() && outcome.delivered == 0, "{outcome:?}");
}

#[test]
fn what_is_damaged_is_never_believed() {
    let mut plan = Plan::parse("aus = 30\nsize = '1KB..60KB'\n[channel]\ncorrupt = '100%'\n").unwrap();
    let outcome = run_silently(&plan);
    assert!(outcome.is_right() && outcome.delivered == 0, "{outcome:?}");
    let seen = outcome.counters;
    assert_eq!((seen.authentic_bytes, seen.placed + seen.copied + seen.surplus + seen.late), (0, 0));
    assert_eq!(seen.datagrams, outcome.fates.corrupted);
    // Beside an intact copy of each it costs nothing.
    plan.channel.corrupt = Percent::of(10.0);
    plan.channel.duplicate = Percent::of(100.0);
    plan.redundancy = Percent::of(100.0);
    let outcome = run_silently(&plan);
    assert!(outcome.is_right() && outcome.delivered == 30, "{outcome:?}");
}

#[test]
fn with_every_harm_off_all_is_delivered_as_soon_as_it_can_be() {
    let plan = Plan::parse("aus = 50\nsize = '1KB..60KB'\nbitrate = '1Gbit/s'\n").unwrap();
    let outcome = run_silently(&plan);
    assert!(outcome.is_right() && outcome.delivered == 50 && outcome.usable == 50, "{outcome:?}");
    let seen = outcome.counters;
    assert_eq!((seen.shards_recovered, seen.replayed, seen.late, seen.bad_tag), (0, 0, 0, 0));
    // Within the microburst, so that all leaves at once and takes the link's delay.
    assert_eq!(outcome.latency.max, Duration::from_micros(200));
}

/// Any one link, with holds and darkness beyond the receiver's patience.
fn any_link() -> impl Strategy<Value = LinkPlan> {
    let shares = (0u32..25, 0u32..20, 0u32..20, proptest::option::of((1u32..200, 1u32..40)));
    let times = (0u64..20_000, 0u64..9_000, proptest::option::of((0u32..30, 0u64..80_000)));
    let narrow = (proptest::option::of(5_000u32..200_000), 1_500u64..200_000);
    let changes =
        (proptest::option::of((0u64..300, 0u64..400)), proptest::option::of((0u64..300, 300u16..1_600)));
    (shares, times, narrow, changes).prop_map(|(shares, times, narrow, changes)| {
        let percent = |share: u32| Percent::of(f64::from(share));
        LinkPlan {
            loss: percent(shares.0),
            duplicate: percent(shares.1),
            corrupt: percent(shares.2),
            burst: shares
                .3
                .map(|(loss, length)| format!("{}%x{length}", f64::from(loss) / 10.0).parse().unwrap()),
            delay: format!("{}us", times.0).parse().unwrap(),
            jitter: format!("{}us", times.1).parse().unwrap(),
            reorder: times.2.map(|(share, us)| format!("{share}%x{us}us").parse().unwrap()),
            rate_limit: narrow.0.map(|kbps| format!("{kbps}kbit/s").parse().unwrap()),
            queue: format!("{}B", narrow.1).parse().unwrap(),
            blackouts: changes
                .0
                .map(|(at, ms)| format!("{at}ms+{ms}ms").parse().unwrap())
                .into_iter()
                .collect(),
            mtu: changes.1.map(|(at, mtu)| format!("{mtu}@{at}ms").parse().unwrap()).into_iter().collect(),
            ..LinkPlan::default()
        }
    })
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let stream =
        (any::<u64>(), 1u32..60, 1u64..4_000, 1u64..60, 1u16..6, prop_oneof![Just(30), Just(60), Just(240)]);
    let policy = (any::<[bool; 4]>(), 0u32..60, 0u32..20, 2_000u32..400_000);
    (stream, policy, any_link(), any_link()).prop_map(|(stream, policy, channel, feedback)| {
        let (seed, aus, min, times, slices, refresh_hz) = stream;
        let ([references, resend, adaptive, paced], redundancy, idr_each, kbps) = policy;
        Plan {
            seed,
            aus,
            size: format!("{min}B..{}B", min * times).parse().unwrap(),
            slices,
            idr_each,
            references,
            refresh_hz,
            bitrate: format!("{kbps}kbit/s").parse().unwrap(),
            paced,
            redundancy: Percent::of(f64::from(redundancy)),
            adaptive,
            resend,
            channel,
            feedback,
            ..Plan::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    /// The receiver under test against the oracle, which only counts: they agree on every access unit.
    #[test]
    fn any_plan_is_right_and_repeats_itself(plan in any_plan()) {
        prop_assume!(plan.check().is_ok());
        let outcome = run_silently(&plan);
        prop_assert!(outcome.is_right(), "{outcome:?}");
        prop_assert!(outcome.usable <= outcome.delivered && outcome.in_time <= outcome.allowed);
        prop_assert_eq!(run_silently(&plan).digest, outcome.digest);
    }
}
