//! Every order of messages, at both ends: only the right one lets anybody in.

use std::time::{Duration, Instant};

use super::errand::{Errand, Progress, Wish};
use super::exchange::{Binding, EXPORTER_BYTES};
use super::messages::*;
use super::pin::Pin;
use super::visit::{Desk, Outcome, Visit};
use crate::event::SessionId;
use crate::fingerprint::Fingerprint;
use crate::limits::{PAIR_ANSWERS_PER_ADDRESS, PAIR_ANSWERS_PER_SECOND, PENDING_MAX};
use crate::pairing::pending::Pending;

fn binding(connection: u8) -> Binding {
    Binding {
        host: Fingerprint::of_certificate(b"host"),
        client: Fingerprint::of_certificate(b"client"),
        exporter: [connection; EXPORTER_BYTES],
    }
}

fn visitor(connection: u8) -> Visit {
    Visit::new(SessionId(connection.into()), "10.0.0.1:9".parse().unwrap(), binding(connection))
}

/// The same PIN again, at a desk that has had its rest.
fn arm_again(desk: &mut Desk, pin: &Pin, now: Instant) {
    desk.window.arm_with(pin.clone(), now);
    (desk.asks, desk.knocks) = (Desk::default().asks, Desk::default().knocks);
}

fn desk() -> Desk {
    Desk::default()
}

/// What a stranger may say, whether it makes sense or not. `Old…` was recorded on another connection, where it was
/// right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Ask,
    OldAsk,
    Confirm,
    OldConfirm,
    Knock,
    Answer,
    Admitted,
}

const ALL: [Says; 7] =
    [Says::Ask, Says::OldAsk, Says::Confirm, Says::OldConfirm, Says::Knock, Says::Answer, Says::Admitted];

/// An earlier pairing that went well, as somebody on the way might have written it down if he could.
struct Recording {
    ask: PairMessage,
    answer: PairMessage,
    confirm: PairMessage,
}

fn record(desk: &mut Desk, pin: &Pin, now: Instant) -> Recording {
    let mut visit = visitor(1);
    let (mut errand, ask) = Errand::start(&Wish::Pair(pin.clone()), "old", &binding(1));
    let Ok(Outcome::Say(answer)) = visit.handle_message(ask.clone(), desk, now) else { panic!("no answer") };
    let Ok(Progress::Say(confirm)) = errand.handle_message(answer.clone()) else { panic!("no proof") };
    assert_eq!(visit.handle_message(confirm.clone(), desk, now), Ok(Outcome::Proven));
    Recording { ask, answer, confirm }
}

/// What one visit came to.
#[derive(Debug, PartialEq, Eq)]
enum End {
    LetIn,
    Waits,
    /// It may go on.
    Open,
    /// It was ended by the last message; whatever follows is refused.
    Over,
}

/// A visit that says these in this order, by somebody who knows the PIN.
fn visit(order: &[Says], desk: &mut Desk, pin: &Pin, old: &Recording, now: Instant) -> End {
    let mut visit = visitor(2);
    let (mut errand, ask) = Errand::start(&Wish::Pair(pin.clone()), "new", &binding(2));
    let mut confirm = PairMessage::Confirm(Confirm { confirmation: [0; 32] });
    let mut end = End::Open;
    for says in order {
        let message = match says {
            Says::Ask => ask.clone(),
            Says::OldAsk => old.ask.clone(),
            Says::Confirm => confirm.clone(),
            Says::OldConfirm => old.confirm.clone(),
            Says::Knock => PairMessage::Knock(Knock { name: "new".into() }),
            Says::Answer => old.answer.clone(),
            Says::Admitted => PairMessage::Admitted(Admitted { host_name: "me".into() }),
        };
        end = match visit.handle_message(message, desk, now) {
            Ok(Outcome::Say(answer)) => {
                if let (Says::Ask, Ok(Progress::Say(right))) = (says, errand.handle_message(answer)) {
                    confirm = right;
                }
                End::Open
            }
            Ok(Outcome::Waits(..)) => End::Waits,
            Ok(Outcome::Proven) => End::LetIn,
            Ok(Outcome::TurnAway(_)) | Err(_) => {
                visit.leave(desk, now);
                for late in [&ask, &old.ask, &confirm, &old.confirm, &old.answer] {
                    assert!(visit.handle_message(late.clone(), desk, now).is_err(), "{order:?} is over");
                }
                return End::Over;
            }
        };
    }
    end
}

/// Pairing took its steps in any order. Of all orders of up to five messages one lets a device in.
#[test]
fn cve_2024_51738_pairing_steps_out_of_order_let_nobody_in() {
    let now = Instant::now();
    let mut desk = desk();
    let pin = desk.window.arm(Duration::from_secs(120), now).unwrap().pin;
    let old = record(&mut desk, &pin, now);
    let (mut let_in, mut seen) = (Vec::new(), 0);
    // An order is gone on with as long as its visit may go on.
    let mut open = vec![Vec::new()];
    while let Some(begun) = open.pop() {
        for says in ALL {
            let order = [&begun[..], &[says]].concat();
            // The PIN is the same again, which is the best that a recording could hope for.
            arm_again(&mut desk, &pin, now);
            seen += 1;
            match visit(&order, &mut desk, &pin, &old, now) {
                End::LetIn => let_in.push(order.clone()),
                End::Waits => assert_eq!(order, [Says::Knock], "only a first message makes anybody wait"),
                End::Open | End::Over => {
                    assert!(desk.pending.all().is_empty(), "{order:?} leaves nobody waiting");
                }
            }
            let ended = visit(&order, &mut desk, &pin, &old, now) == End::Over;
            desk.pending = Pending::default();
            if !ended && order.len() < 5 {
                open.push(order);
            }
        }
    }
    assert_eq!(let_in, [[Says::Ask, Says::Confirm]]);
    assert!(seen > 7 * 3, "{seen}");
}

/// Somebody at this address, by a key of its own.
fn visitor_at(address: &str, key: u8) -> Visit {
    let client = Fingerprint::of_certificate(&[key]);
    let remote = format!("{address}:9").parse().unwrap();
    Visit::new(SessionId(key.into()), remote, Binding { client, ..binding(key) })
}

/// One machine that knocks without end is told of four times a second, and takes neither another one's turn nor a PIN's.
#[test]
fn one_machines_knocks_leave_turns_for_another_ones_and_for_a_pin() {
    let (mut desk, now) = (desk(), Instant::now());
    let knock = |desk: &mut Desk, address: &str, key: u8| {
        let (_, knock) = Errand::start(&Wish::Knock, "new", &binding(key));
        visitor_at(address, key).handle_message(knock, desk, now).unwrap()
    };
    let told = (0..200).filter(|_| matches!(knock(&mut desk, "10.0.0.1", 1), Outcome::Waits(..))).count();
    assert_eq!(told, PAIR_ANSWERS_PER_ADDRESS);
    assert!(matches!(knock(&mut desk, "10.0.0.2", 2), Outcome::Waits(..)));
    // What is turned away for want of a place is told to nobody, and takes no turn.
    let wait = (10..100).filter(|key| {
        let outcome = knock(&mut desk, &format!("10.0.1.{key}"), *key);
        matches!(outcome, Outcome::Waits(..))
    });
    assert_eq!(wait.count(), PENDING_MAX - 2);
    let again = knock(&mut desk, "10.0.0.2", 2);
    assert!(matches!(again, Outcome::Waits(_, Some(_))), "{again:?}");
    let pin = desk.window.arm(Duration::from_secs(120), now).unwrap().pin;
    let (_, ask) = Errand::start(&Wish::Pair(pin), "new", &binding(3));
    assert!(matches!(visitor_at("10.0.0.1", 3).handle_message(ask, &mut desk, now), Ok(Outcome::Say(_))));
}

/// One machine's guesses are paced by themselves; all together have no more than there are.
#[test]
fn one_machines_asks_leave_turns_for_another_ones() {
    let (mut desk, now) = (desk(), Instant::now());
    let pin = desk.window.arm(Duration::from_secs(120), now).unwrap().pin;
    let ask = |desk: &mut Desk, address: &str, at| {
        let (_, ask) = Errand::start(&Wish::Pair(pin.clone()), "new", &binding(2));
        matches!(visitor_at(address, 2).handle_message(ask, desk, at), Ok(Outcome::Say(_)))
    };
    assert_eq!((0..50).filter(|_| ask(&mut desk, "10.0.0.1", now)).count(), PAIR_ANSWERS_PER_ADDRESS);
    assert!(ask(&mut desk, "10.0.0.2", now));
    let crowd = (0..50).filter(|n| ask(&mut desk, &format!("10.0.1.{n}"), now)).count();
    assert_eq!(crowd, PAIR_ANSWERS_PER_SECOND - PAIR_ANSWERS_PER_ADDRESS - 1);
    assert!(ask(&mut desk, "10.0.0.1", now + Duration::from_secs(1)));
}

/// What was right on one connection is worth nothing on another, step by step.
#[test]
fn replayed_pairing_messages_let_nobody_in() {
    let now = Instant::now();
    for order in
        [[Says::OldAsk, Says::OldConfirm], [Says::Ask, Says::OldConfirm], [Says::OldAsk, Says::Confirm]]
    {
        let mut desk = desk();
        let pin = desk.window.arm(Duration::from_secs(120), now).unwrap().pin;
        let old = record(&mut desk, &pin, now);
        arm_again(&mut desk, &pin, now);
        assert_eq!(visit(&order, &mut desk, &pin, &old, now), End::Over, "{order:?}");
        assert_eq!(desk.window.status().unwrap().guesses_left, 2, "and it was a guess");
    }
}

/// A certificate was stored before the PIN was checked. A visit that is cut off at any step leaves nothing.
#[test]
fn cve_2024_45407_a_visit_that_is_cut_off_leaves_nothing() {
    let now = Instant::now();
    let whole = [Says::Ask, Says::Confirm];
    for length in 0..whole.len() {
        let mut desk = desk();
        let pin = desk.window.arm(Duration::from_secs(120), now).unwrap().pin;
        let mut visit = visitor(2);
        let (_, ask) = Errand::start(&Wish::Pair(pin), "new", &binding(2));
        for message in [ask].into_iter().take(length) {
            assert!(matches!(visit.handle_message(message, &mut desk, now), Ok(Outcome::Say(_))));
        }
        visit.leave(&mut desk, now);
        assert!(!visit.is_to_be_decided() && desk.pending.all().is_empty());
        assert_eq!(desk.window.status().unwrap().guesses_left as usize, 3 - length);
    }
    let mut desk = desk();
    let mut visit = visitor(2);
    let knock = PairMessage::Knock(Knock { name: "new".into() });
    assert!(matches!(visit.handle_message(knock, &mut desk, now), Ok(Outcome::Waits(..))));
    assert_eq!(desk.pending.all().len(), 1);
    visit.leave(&mut desk, now);
    assert!(desk.pending.all().is_empty());
}

/// A client that asked by PIN is let in by nothing but a host that has proven it, in every order of up to three
/// messages; one that knocked by nothing but Held and Admitted.
#[test]
fn a_client_believes_only_the_right_order() {
    let now = Instant::now();
    let names = ["Answer", "old Answer", "Held", "Admitted", "Ask", "Confirm", "Knock"];
    let count: usize = names.len();
    let mut desk = desk();
    let pin = desk.window.arm(Duration::from_secs(120), now).unwrap().pin;
    let old = record(&mut desk, &pin, now);
    for (wish, right) in [(Wish::Pair(pin.clone()), [0, 3]), (Wish::Knock, [2, 3])] {
        for order in (0..=3u32).flat_map(|length| (0..count.pow(length)).map(move |number| (length, number)))
        {
            let order: Vec<_> = (0..order.0).map(|place| order.1 / count.pow(place) % count).collect();
            if order.first().is_some_and(|first| *first > 3) && order.len() > 1 {
                // What ends an errand is tried as the first message, and behind each beginning that does not.
                continue;
            }
            arm_again(&mut desk, &pin, now);
            let (mut errand, first) = Errand::start(&wish, "new", &binding(2));
            let mut host = visitor(2);
            let answer = match host.handle_message(first, &mut desk, now) {
                Ok(Outcome::Say(answer)) => answer,
                _ => old.answer.clone(),
            };
            let mut admitted = false;
            for index in &order {
                let message = match index {
                    0 => answer.clone(),
                    1 => old.answer.clone(),
                    2 => PairMessage::Held(Held { wait_s: 1 }),
                    3 => PairMessage::Admitted(Admitted { host_name: "host".into() }),
                    4 => old.ask.clone(),
                    5 => old.confirm.clone(),
                    _ => PairMessage::Knock(Knock { name: "host".into() }),
                };
                match errand.handle_message(message) {
                    Ok(Progress::Admitted(_)) => admitted = true,
                    Ok(Progress::Say(_) | Progress::Held(_)) => {}
                    Ok(Progress::Unproven | Progress::TurnedAway(_)) | Err(_) => break,
                }
            }
            assert_eq!(admitted, order.starts_with(&right), "{wish:?}: {order:?}");
        }
    }
}

#[test]
fn every_message_of_a_pairing_comes_back_and_hostile_bytes_do_not() {
    let now = Instant::now();
    let mut desk = desk();
    let pin = desk.window.arm(Duration::from_secs(120), now).unwrap().pin;
    let old = record(&mut desk, &pin, now);
    let messages = [
        old.ask,
        old.answer,
        old.confirm,
        PairMessage::Knock(Knock { name: "a desk".into() }),
        PairMessage::Held(Held { wait_s: 120 }),
        PairMessage::Admitted(Admitted { host_name: "tower".into() }),
        PairMessage::TurnedAway(TurnedAway { reason: TurnedAwayReason::Denied }),
        PairMessage::TurnedAway(TurnedAway { reason: TurnedAwayReason::Other(900) }),
    ];
    for message in messages {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let body = &bytes[crate::messages::LENGTH_BYTES..];
        assert_eq!(PairMessage::parse(body), Ok(Some(message.clone())));
        for length in 0..body.len() {
            assert!(PairMessage::parse(&body[..length]).is_err(), "{} cut at {length}", message.name());
        }
        for at in 0..body.len() {
            for bit in 0..8 {
                let mut bent = body.to_vec();
                bent[at] ^= 1 << bit;
                let _ = PairMessage::parse(&bent);
            }
        }
        let longer = [body, &[0]].concat();
        assert!(PairMessage::parse(&longer).is_err(), "{} with a byte behind it", message.name());
    }
    assert_eq!(PairMessage::parse(&[0x82, 0x18, 99, 0xa0]), Ok(None), "a later version's");
}

/// A flood of strangers takes no more than its share of the thread, whether a PIN is armed or not.
#[test]
fn no_more_shares_are_answered_a_second_than_there_are_turns() {
    for is_armed in [true, false] {
        let (mut desk, mut now) = (desk(), Instant::now());
        if is_armed {
            desk.window.arm(Duration::from_secs(120), now).unwrap();
        }
        let (_, ask) = Errand::start(&Wish::Pair("123456".parse().unwrap()), "new", &binding(2));
        for _ in 0..2 {
            let visitor = |n: u8| visitor_at(&format!("10.0.1.{n}"), n);
            let answers = (0..50).map(|n| visitor(n).handle_message(ask.clone(), &mut desk, now).unwrap());
            let answered = answers.filter(|outcome| matches!(outcome, Outcome::Say(_))).count();
            assert_eq!(answered, PAIR_ANSWERS_PER_SECOND);
            now += Duration::from_secs(1);
        }
    }
}
