//! Losses, requests and recovery points together: an encoder with a few references, a client that knows exactly what it
//! has, and a network that loses access units, recovery points and requests alike.
//!
//! Whatever is lost, the client decodes no picture whose reference it lacks; once nothing is lost any more it heals; and
//! an IDR is made only where no reference is left.

mod common;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use common::Rng;
use proptest::prelude::*;
use punktfunk_proto::idr::IDR_SPACING;
use punktfunk_proto::{Admission, Flags, IdrGate, IdrRequester, Lost, LostAu, Order};

/// What differs from one run to the next.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    /// Reference pictures that the encoder keeps.
    references: usize,
    /// Pictures between encode and client, and between request and host, at least.
    delay: u32,
    /// By how much more it may vary.
    jitter: u32,
    lost_per_mille: u64,
    requests_lost_per_mille: u64,
    refused_per_mille: u64,
    skipped_per_mille: u64,
    interval: Duration,
    aus: u32,
}

impl Plan {
    fn calm() -> Self {
        Self {
            seed: 1,
            references: 16,
            delay: 3,
            jitter: 0,
            lost_per_mille: 0,
            requests_lost_per_mille: 0,
            refused_per_mille: 0,
            skipped_per_mille: 0,
            interval: Duration::from_micros(16_667),
            aus: 600,
        }
    }
}

/// An encoded picture.
#[derive(Debug, Clone, Copy)]
struct Au {
    flags: Flags,
    /// What it refers to; none for an IDR.
    refers_to: Option<u32>,
}

/// An encoder that refers to any picture that it may, so that what it must not is found out.
struct Encoder {
    room: usize,
    /// The pictures that it has, and whether each may be referred to.
    references: VecDeque<(u32, bool)>,
}

impl Encoder {
    fn encode(&mut self, number: u32, order: Order, chance: &mut Rng) -> Au {
        if let Order::Recover(lost) = order {
            let is_missing = |au: u32| au >= lost.from_au;
            self.references
                .iter_mut()
                .filter(|(au, _)| is_missing(*au))
                .for_each(|(_, valid)| *valid = false);
        }
        let valid: Vec<u32> = self.references.iter().filter(|(_, valid)| *valid).map(|(au, _)| *au).collect();
        let refers_to = match order {
            Order::Idr => None,
            Order::Usual | Order::Recover(_) => valid.get(chance.below(valid.len().max(1))).copied(),
        };
        let flags = match (refers_to, order) {
            (None, _) => Flags::IDR,
            (Some(_), Order::Recover(_)) => Flags::RECOVERY_POINT,
            (Some(_), _) => Flags::NONE,
        };
        if flags.idr() {
            self.references.clear();
        }
        if self.references.len() == self.room {
            self.references.pop_front();
        }
        self.references.push_back((number, true));
        Au { flags, refers_to }
    }

    /// Whether a picture older than this one may be referred to.
    fn has_before(&self, au: u32) -> bool {
        self.references.iter().any(|(reference, valid)| *valid && *reference < au)
    }
}

struct Client {
    requester: IdrRequester,
    decoded: BTreeSet<u32>,
    newest_decoded: Option<u32>,
    next: u32,
}

impl Client {
    /// An access unit came, or (none) is given up.
    fn handle(&mut self, au: u32, came: Option<Au>, is_refused: bool, now: Instant) {
        assert_eq!(au, self.next, "in order");
        self.next += 1;
        let Some(came) = came else {
            let lost = LostAu { au, count: 1, blocks_delivered: 0, shards_seen: 0, shards_missing: 1 };
            return self.requester.handle_lost(&lost, now);
        };
        if self.requester.admit(au, came.flags, now) == Admission::Drop {
            return;
        }
        if let Some(reference) = came.refers_to {
            assert!(self.decoded.contains(&reference), "{au}: {came:?} refers to what is not there");
        }
        if is_refused {
            return self.requester.handle_damage(au, au, now);
        }
        if came.flags.idr() {
            self.decoded.clear();
        }
        self.decoded.insert(au);
        self.newest_decoded = Some(au);
    }
}

/// What a run came to.
#[derive(Debug, Default)]
struct Outcome {
    idrs: u32,
    recovery_points: u32,
    invalidated: u32,
    decoded: u32,
    /// Whether the last ones were decoded.
    is_healed: bool,
}

/// Plays a plan. In its last third nothing is lost or refused.
fn play(plan: &Plan) -> Outcome {
    let mut chance = Rng(plan.seed);
    let start = Instant::now();
    let mut gate = IdrGate::new(IDR_SPACING);
    let mut encoder = Encoder { room: plan.references, references: VecDeque::new() };
    let mut client = Client {
        requester: IdrRequester::new(true),
        decoded: BTreeSet::new(),
        newest_decoded: None,
        next: 0,
    };
    let mut outcome = Outcome::default();
    let (mut down, mut up) =
        (BTreeMap::<u32, Vec<(u32, Option<Au>)>>::new(), BTreeMap::<u32, Vec<Lost>>::new());
    let (mut last_down, mut last_up, mut next_au) = (0, 0, 0);
    for tick in 0..plan.aus {
        let now = start + plan.interval * tick;
        let is_rough = tick < plan.aus * 2 / 3;
        for lost in up.remove(&tick).unwrap_or_default() {
            gate.handle_request(lost, next_au);
        }
        let order = gate.decide(next_au, true, now);
        if !chance.chance(plan.skipped_per_mille) {
            if let (Order::Idr, true) = (order, outcome.idrs > 0) {
                assert!(
                    !encoder.has_before(order_from(&gate, next_au, now).unwrap_or(0)),
                    "an IDR though a reference is left"
                );
            }
            let au = encoder.encode(next_au, order, &mut chance);
            if au.flags.idr() {
                gate.handle_idr(next_au, now);
                outcome.idrs += 1;
            } else if au.flags.recovery_point() {
                outcome.invalidated += gate.handle_recovery_point(next_au);
                outcome.recovery_points += 1;
            }
            let came = (!is_rough || !chance.chance(plan.lost_per_mille)).then_some(au);
            // What is lost is known later.
            let wait = plan.delay
                + chance.below(plan.jitter as usize + 1) as u32
                + if came.is_none() { 2 } else { 0 };
            last_down = last_down.max(tick + wait);
            down.entry(last_down).or_default().push((next_au, came));
            next_au += 1;
        }
        for (au, came) in down.remove(&tick).unwrap_or_default() {
            let is_refused = is_rough && chance.chance(plan.refused_per_mille);
            client.handle(au, came, is_refused, now);
            outcome.decoded += u32::from(client.newest_decoded == Some(au));
        }
        if let Some(lost) = client.requester.poll_request(now)
            && !(is_rough && chance.chance(plan.requests_lost_per_mille))
        {
            last_up = last_up.max(tick + 1 + plan.delay);
            up.entry(last_up).or_default().push(lost);
        }
    }
    outcome.is_healed = client.next > 0 && client.newest_decoded == Some(client.next - 1);
    outcome
}

/// From where on an IDR that is ordered answers losses.
fn order_from(gate: &IdrGate, next_au: u32, now: Instant) -> Option<u32> {
    gate.clone().handle_idr(next_au, now).map(|lost| lost.from_au)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_decoded_that_refers_to_what_is_missing_and_all_heals(
        seed: u64,
        references in 1_usize..17,
        delay in 0_u32..9,
        jitter in 0_u32..4,
        lost_per_mille in 0_u64..600,
        requests_lost_per_mille in 0_u64..600,
        refused_per_mille in 0_u64..100,
        skipped_per_mille in 0_u64..300,
        refresh_hz in 30_u32..241,
    ) {
        let plan = Plan {
            seed, references, delay, jitter, lost_per_mille, requests_lost_per_mille, refused_per_mille, skipped_per_mille,
            interval: Duration::from_secs(1) / refresh_hz,
            ..Plan::calm()
        };
        let outcome = play(&plan);
        prop_assert!(outcome.is_healed, "{outcome:?}");
        prop_assert!(outcome.idrs >= 1);
    }
}

#[test]
fn a_calm_session_has_one_idr_and_no_recovery_point() {
    let outcome = play(&Plan::calm());
    assert_eq!((outcome.idrs, outcome.recovery_points, outcome.is_healed), (1, 0, true));
}

#[test]
fn with_references_beyond_the_round_trip_no_loss_costs_an_idr() {
    for seed in 0..50 {
        let plan = Plan { seed, lost_per_mille: 20, ..Plan::calm() };
        let outcome = play(&plan);
        assert!(outcome.recovery_points > 0, "seed {seed}: {outcome:?}");
        assert!(outcome.invalidated >= outcome.recovery_points, "seed {seed}: {outcome:?}");
        // The first one itself may be lost, and only another one helps then; nor has a client whose losses come too close
        // together a reference for ever.
        assert!(outcome.idrs <= 3, "seed {seed}: {outcome:?}");
        assert!(outcome.decoded > 450, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn with_one_reference_every_loss_costs_an_idr_and_they_are_spaced() {
    let plan = Plan { references: 1, lost_per_mille: 200, ..Plan::calm() };
    let outcome = play(&plan);
    assert_eq!(outcome.recovery_points, 0, "{outcome:?}");
    // 400 pictures of 60 a second, with 100 ms between IDRs, after one that came without.
    assert!((10..=68).contains(&outcome.idrs), "{outcome:?}");
    assert!(outcome.is_healed);
}
