//! The watchdog's decisions on a clock that is handed in.

use super::*;

const PIPEWIRE: Way = Way::PipeWire(None);
const WAYLAND: Way = Way::Wayland(None);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn fault(reason: &'static str, outlook: Outlook) -> Fault {
    Fault { reason, text: format!("it is {reason}"), outlook }
}

fn passing(reason: &'static str) -> Fault {
    fault(reason, Outlook::Passing)
}

/// A plan whose way number `index` gives pictures, and when that began.
fn flowing(ways: &[Way], index: usize) -> (Plan, Instant) {
    let (mut plan, now) = (Plan::new(ways.to_vec()), Instant::now());
    plan.begin(now + OPENING_MAX);
    for _ in 0..index {
        assert!(matches!(plan.poll(now), Step::Open { .. }));
        plan.handle_refused(&passing("not-there"), now);
    }
    assert!(matches!(plan.poll(now), Step::Open { way, .. } if way == ways[index]));
    plan.handle_opened();
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
            Step::Flowing | Step::Late { .. } => panic!("nothing was opened"),
        }
    }
}

/// The way that is being opened has had its time.
fn late(plan: &mut Plan, now: Instant) {
    let Step::Late { text } = plan.poll(now) else { panic!("it has had its time") };
    plan.handle_refused(&Fault { text, ..fault("no-answer", Outlook::Silent) }, now);
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
    plan.handle_end(&passing("ended"), now);
    let (order, end, text) = tried(&mut plan, now, |_| passing("not-there"));
    assert_eq!(order, [WAYLAND, PIPEWIRE, Way::Own, Way::Card, PIPEWIRE]);
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
    plan.handle_end(&fault("output-removed", Outlook::Other), now);
    assert!(matches!(plan.poll(now), Step::Open { way: WAYLAND, .. }));
    let (mut plan, now) = flowing(&ways, 2);
    plan.handle_end(&passing("ended"), now);
    assert!(matches!(plan.poll(now), Step::Open { way: Way::Own, .. }), "a new one at once");
}

#[test]
fn ways_that_hang_end_within_two_seconds_and_leave_the_last_one_its_time() {
    let ways = [PIPEWIRE, WAYLAND, Way::Own, Way::Card];
    let (mut plan, began) = flowing(&ways, 0);
    plan.handle_end(&fault("no-answer", Outlook::Silent), began);
    let (mut now, mut order) = (began, Vec::new());
    let text = loop {
        match plan.poll(now) {
            Step::Open { way, until } => {
                assert!(until > now && until <= began + RECOVERY_MAX, "{way}: {:?}", until - began);
                order.push((way, until - now));
                now = until;
                late(&mut plan, now);
            }
            Step::Wait { until } => now = until,
            Step::GiveUp { text } => break text,
            Step::Flowing | Step::Late { .. } => panic!("nothing was opened"),
        }
    };
    assert!(now <= began + RECOVERY_MAX, "{:?}", now - began);
    let (last, time) = order.last().unwrap();
    assert_eq!(last, &Way::Card);
    assert!(*time >= ms(100), "{time:?}");
    assert!(order.iter().any(|(way, time)| *way == Way::Own && *time >= ms(1_000)), "{order:?}");
    assert!(text.contains("no-answer") && text.contains("does it hang?"), "{text}");
}

#[test]
fn what_does_not_answer_is_asked_again_behind_all_others() {
    let ways = [PIPEWIRE, Way::Own];
    let (mut plan, began) = flowing(&ways, 0);
    plan.handle_end(&fault("no-answer", Outlook::Silent), began);
    assert!(matches!(plan.poll(began), Step::Open { way: Way::Own, .. }), "without a pause");
    plan.handle_refused(&passing("not-started"), began);
    let Step::Wait { until } = plan.poll(began) else { panic!("then once more, after a pause") };
    assert!(matches!(plan.poll(until), Step::Open { way: PIPEWIRE, .. }));
}

#[test]
fn only_what_is_less_is_a_fallback() {
    let ways = [WAYLAND, Way::Own, Way::Card];
    let (mut plan, now) = flowing(&ways, 1);
    plan.handle_end(&passing("ended"), now);
    let (order, ..) = tried(&mut plan, now, |_| passing("not-there"));
    assert_eq!(order[..3], [Way::Own, WAYLAND, Way::Card]);
    let lesser = |from, to| {
        let fall = plan.falls().iter().find(|fall| (fall.from, fall.to) == (from, to));
        fall.unwrap_or_else(|| panic!("{from} {to}: {:?}", plan.falls())).is_lesser
    };
    assert!(lesser("wayland", "sway") && lesser("wayland", "card"));
    assert!(!lesser("sway", "sway") && !lesser("sway", "wayland") && !lesser("sway", "none"));
}

#[test]
fn a_dialog_that_nobody_answers_does_not_hold_the_session() {
    let mut plan = Plan::new(vec![PIPEWIRE, WAYLAND, Way::Own]);
    let began = Instant::now();
    plan.begin(began + OPENING_MAX);
    let Step::Open { way: PIPEWIRE, until } = plan.poll(began) else { panic!("PipeWire first") };
    assert_eq!(until, began + DIALOG_MAX);
    assert_eq!(plan.poll(until - ms(1)), Step::Wait { until });
    late(&mut plan, until);
    let Step::Open { way: WAYLAND, until } = plan.poll(until) else { panic!("then Wayland") };
    assert!(until <= began + DIALOG_MAX + FIRST_PICTURE_MAX);
    assert!(plan.said().contains("dialog"));
    assert_eq!(plan.falls()[0].reason, "no-answer");
}

#[test]
fn a_permanent_fault_is_not_tried_again() {
    let ways = [PIPEWIRE, WAYLAND, Way::Card];
    let (mut plan, now) = (Plan::new(ways.to_vec()), Instant::now());
    plan.begin(now + OPENING_MAX);
    assert!(matches!(plan.poll(now), Step::Open { way: PIPEWIRE, .. }));
    plan.handle_refused(&fault("not-built", Outlook::Permanent), now);
    assert!(matches!(plan.poll(now), Step::Open { way: WAYLAND, .. }));
    plan.handle_opened();
    plan.handle_end(&passing("ended"), now);
    let (order, _, text) = tried(&mut plan, now, |_| passing("not-there"));
    assert_eq!(order, [WAYLAND, Way::Card, WAYLAND]);
    assert!(text.contains("could not be had before"), "{text}");
}

#[test]
fn a_screen_that_somebody_does_not_want_shown_is_shown_by_no_other_door() {
    let ways = [PIPEWIRE, WAYLAND, Way::Own];
    let declined = fault("declined", Outlook::Declined);
    // Stopped in mid-stream, by whichever door.
    for index in [0, 1] {
        let (mut plan, now) = flowing(&ways, index);
        plan.handle_end(&declined, now);
        let (order, _, text) = tried(&mut plan, now, |_| passing("not-there"));
        assert_eq!(order, [Way::Own]);
        assert!(text.contains("does not want its screen shown"), "{text}");
    }
    // Refused at the start; and for the whole session.
    let (mut plan, now) = (Plan::new(ways.to_vec()), Instant::now());
    plan.begin(now + OPENING_MAX);
    assert!(matches!(plan.poll(now), Step::Open { way: PIPEWIRE, .. }));
    plan.handle_refused(&declined, now);
    assert!(matches!(plan.poll(now), Step::Open { way: Way::Own, .. }));
    plan.handle_opened();
    let later = now + 2 * OPENINGS_SPAN;
    plan.handle_end(&passing("ended"), later);
    let (order, ..) = tried(&mut plan, later, |_| passing("not-there"));
    assert!(order.iter().all(|way| *way == Way::Own), "{order:?}");
}

#[test]
fn a_way_that_keeps_ending_is_not_opened_in_a_loop_and_one_that_held_begins_anew() {
    let (mut plan, mut now) = flowing(&[Way::Own], 0);
    for _ in 1..OPENINGS_MAX {
        now += ms(50);
        plan.handle_end(&passing("ended"), now);
        let Step::Open { .. } = plan.poll(now) else { panic!("it may go again") };
        plan.handle_opened();
    }
    // An end after a minute is another matter than one after 50 ms.
    now += OPENINGS_SPAN;
    for _ in 0..OPENINGS_MAX {
        plan.handle_end(&passing("ended"), now);
        assert!(matches!(plan.poll(now), Step::Open { .. }));
        plan.handle_opened();
    }
    plan.handle_end(&passing("ended"), now);
    let Step::GiveUp { text } = plan.poll(now) else { panic!("enough") };
    assert_eq!(text, "it is ended");
    assert_eq!(plan.falls().last().unwrap().to, "none");
}

#[test]
fn openings_count_for_a_minute() {
    let ways = [WAYLAND, Way::Own];
    let (mut plan, mut now) = flowing(&ways, 1);
    // Once refused at the start, and again each time that our own desktop ends; ten minutes apart.
    for _ in 0..=OPENINGS_MAX {
        now += Duration::from_secs(600);
        plan.handle_end(&passing("ended"), now);
        assert!(matches!(plan.poll(now), Step::Open { way: Way::Own, .. }));
        plan.handle_refused(&passing("not-started"), now);
        assert!(matches!(plan.poll(now), Step::Open { way: WAYLAND, .. }));
        plan.handle_refused(&passing("not-there"), now);
        let Step::Wait { until } = plan.poll(now) else { panic!("our own once more") };
        assert!(matches!(plan.poll(until), Step::Open { way: Way::Own, .. }));
        plan.handle_opened();
    }
}

#[test]
fn a_way_is_not_opened_for_the_last_milliseconds() {
    let (mut plan, began) = flowing(&[WAYLAND, Way::Own], 0);
    plan.handle_end(&passing("ended"), began);
    let Step::Wait { until } = plan.poll(began) else { panic!("after a pause") };
    assert!(matches!(plan.poll(until), Step::Open { way: WAYLAND, .. }));
    let now = began + RECOVERY_MAX - ms(499);
    plan.handle_refused(&passing("not-there"), now);
    let Step::GiveUp { text } = plan.poll(now) else { panic!("no time for a compositor") };
    assert!(text.contains("no time left"), "{text}");
}

#[test]
fn one_way_alone_is_tried_again_in_time_and_ends_with_its_own_words() {
    let (mut plan, began) = flowing(&[Way::PipeWire(Some("7".into()))], 0);
    plan.handle_end(&passing("ended"), began);
    let (order, end, text) = tried(&mut plan, began, |_| passing("not-there"));
    assert_eq!(order.len(), 2, "what makes it may take a second to be there again");
    assert!(end > began && end < began + RECOVERY_MAX, "after a pause: {:?}", end - began);
    assert_eq!(text.matches("it is not-there").count(), 1, "{text}");
    assert!(text.contains("it is ended"), "{text}");
}
