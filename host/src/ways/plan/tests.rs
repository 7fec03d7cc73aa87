//! The watchdog's decisions on a clock that is handed in.

use super::*;

const PIPEWIRE: Way = Way::PipeWire(None);
const WAYLAND: Way = Way::Wayland(None);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn fault(reason: &'static str, is_passing: bool) -> Fault {
    Fault { reason, text: format!("it is {reason}"), is_passing, has_other: false }
}

/// A plan whose way number `index` gives pictures, and when that began.
fn flowing(ways: &[Way], index: usize) -> (Plan, Instant) {
    let (mut plan, now) = (Plan::new(ways.to_vec()), Instant::now());
    plan.begin(now);
    for _ in 0..index {
        assert!(matches!(plan.poll(now), Step::Open { .. }));
        plan.handle_refused(&fault("not-there", true), now);
    }
    assert!(matches!(plan.poll(now), Step::Open { way, .. } if way == ways[index]));
    plan.handle_opened(now);
    assert_eq!(plan.poll(now), Step::Flowing);
    (plan, now)
}

/// The ways that are opened from `now` on when each fails at once with what `fails` says, and when.
fn tried(plan: &mut Plan, mut now: Instant, fails: impl Fn(&Way) -> Fault) -> (Vec<Way>, Instant, String) {
    let mut ways = Vec::new();
    loop {
        match plan.poll(now) {
            Step::Open { way, .. } => {
                plan.handle_refused(&fails(&way), now);
                ways.push(way);
            }
            Step::Wait { until } => now = until,
            Step::GiveUp { text } => return (ways, now, text),
            Step::Flowing => panic!("nothing was opened"),
        }
    }
}

#[test]
fn a_start_goes_through_the_ways_in_order_and_counts_each_fall() {
    let ways = [PIPEWIRE, WAYLAND, Way::Own, Way::Card];
    let (plan, _) = flowing(&ways, 3);
    let falls: Vec<_> =
        plan.falls().iter().map(|fall| (fall.from, fall.to, fall.reason, fall.count)).collect();
    let expected = [("pipewire", "wayland"), ("wayland", "sway"), ("sway", "card")];
    assert_eq!(falls, expected.map(|(from, to)| (from, to, "not-there", 1)));
}

#[test]
fn the_same_screen_comes_before_another_one_and_the_same_door_after_the_others() {
    let ways = [PIPEWIRE, WAYLAND, Way::Own, Way::Card];
    let (mut plan, now) = flowing(&ways, 0);
    plan.handle_end(&fault("ended", true), now);
    let (order, end, text) = tried(&mut plan, now, |_| fault("not-there", true));
    assert_eq!(order, [WAYLAND, PIPEWIRE, Way::Own, Way::Card]);
    assert!(end < now + RECOVERY_MAX);
    for way in &ways {
        assert!(text.contains(&way.to_string()), "{way}: {text}");
    }
    assert_eq!(plan.falls().last().unwrap().to, "none");
}

#[test]
fn a_screen_that_is_gone_is_looked_for_by_the_same_door_first() {
    let ways = [PIPEWIRE, WAYLAND, Way::Own];
    let (mut plan, now) = flowing(&ways, 1);
    plan.handle_end(&Fault { has_other: true, ..fault("output-removed", true) }, now);
    assert!(matches!(plan.poll(now), Step::Open { way: WAYLAND, .. }));
    let (mut plan, now) = flowing(&ways, 2);
    plan.handle_end(&fault("ended", true), now);
    assert!(matches!(plan.poll(now), Step::Open { way: Way::Own, .. }), "a new one at once");
}

#[test]
fn ways_that_hang_end_within_two_seconds_and_leave_the_last_one_its_time() {
    let ways = [PIPEWIRE, WAYLAND, Way::Own, Way::Card];
    let (mut plan, began) = flowing(&ways, 0);
    plan.handle_end(&fault("no-answer", true), began);
    let (mut now, mut order) = (began, Vec::new());
    let text = loop {
        match plan.poll(now) {
            Step::Open { way, until } => {
                assert!(until > now && until <= began + RECOVERY_MAX, "{way}: {:?}", until - began);
                order.push((way, until - now));
                now = until;
            }
            Step::Wait { until } => now = until,
            Step::GiveUp { text } => break text,
            Step::Flowing => panic!("nothing was opened"),
        }
    };
    assert!(now <= began + RECOVERY_MAX, "{:?}", now - began);
    let (last, time) = order.last().unwrap();
    assert_eq!(last, &Way::Card);
    assert!(*time >= ms(100), "{time:?}");
    assert!(order.iter().any(|(way, time)| *way == Way::Own && *time >= ms(1_000)), "{order:?}");
    assert!(text.contains("permission dialog"), "{text}");
}

#[test]
fn a_dialog_that_nobody_answers_does_not_hold_the_session() {
    let mut plan = Plan::new(vec![PIPEWIRE, WAYLAND, Way::Own]);
    let began = Instant::now();
    plan.begin(began);
    let Step::Open { way: PIPEWIRE, until } = plan.poll(began) else { panic!("PipeWire first") };
    assert_eq!(until, began + DIALOG_MAX);
    assert_eq!(plan.poll(until - ms(1)), Step::Wait { until });
    let Step::Open { way: WAYLAND, until } = plan.poll(until) else { panic!("then Wayland") };
    assert!(until <= began + DIALOG_MAX + FIRST_PICTURE_MAX);
    assert!(plan.said().contains("dialog"));
    assert_eq!(plan.falls()[0].reason, "no-answer");
}

#[test]
fn a_permanent_fault_is_not_tried_again() {
    let ways = [PIPEWIRE, WAYLAND, Way::Card];
    let (mut plan, now) = (Plan::new(ways.to_vec()), Instant::now());
    plan.begin(now);
    assert!(matches!(plan.poll(now), Step::Open { way: PIPEWIRE, .. }));
    plan.handle_refused(&fault("not-built", false), now);
    assert!(matches!(plan.poll(now), Step::Open { way: WAYLAND, .. }));
    plan.handle_opened(now);
    plan.handle_end(&fault("ended", true), now);
    let (order, _, text) = tried(&mut plan, now, |_| fault("not-there", true));
    assert_eq!(order, [WAYLAND, Way::Card]);
    assert!(text.contains("could not be had before"), "{text}");
}

#[test]
fn a_way_that_keeps_ending_is_not_opened_in_a_loop_and_one_that_held_begins_anew() {
    let (mut plan, mut now) = flowing(&[Way::Own], 0);
    for _ in 1..OPENINGS_MAX {
        now += ms(50);
        plan.handle_end(&fault("ended", true), now);
        let Step::Open { .. } = plan.poll(now) else { panic!("it may go again") };
        plan.handle_opened(now);
    }
    let (mut held, later) = (plan, now + HELD_MIN);
    // An end after a minute is another matter than one after 50 ms.
    held.handle_end(&fault("ended", true), later);
    assert!(matches!(held.poll(later), Step::Open { .. }));
    held.handle_opened(later);
    for _ in 1..OPENINGS_MAX {
        held.handle_end(&fault("ended", true), later);
        assert!(matches!(held.poll(later), Step::Open { .. }));
        held.handle_opened(later);
    }
    held.handle_end(&fault("ended", true), later);
    let Step::GiveUp { text } = held.poll(later) else { panic!("enough") };
    assert_eq!(text, "it is ended");
    assert_eq!(held.falls().last().unwrap().to, "none");
}

#[test]
fn one_way_alone_is_tried_again_in_time_and_ends_with_its_own_words() {
    let (mut plan, began) = flowing(&[Way::PipeWire(Some("7".into()))], 0);
    plan.handle_end(&fault("ended", true), began);
    let (order, end, text) = tried(&mut plan, began, |_| fault("not-there", true));
    assert_eq!(order.len(), 1);
    assert!(end > began && end < began + RECOVERY_MAX, "after a pause: {:?}", end - began);
    assert!(text.contains("it is ended") && text.contains("it is not-there"), "{text}");
}
