//! Epochs: when they begin, who may open them, and that nothing moves on the word of a tag that was not checked.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use punktfunk_seal::{
    Cipher, Direction, EPOCH_AGE_MAX, EpochLimits, OpenError, Opener, PREVIOUS_EPOCH_GRACE, Plane, PlaneKeys,
    SEQUENCES_PER_EPOCH_MAX, SealError, Sealer, Secret, TAG_BYTES,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const AAD: &[u8] = b"the header in clear";
const WINDOW: usize = 64;
const MOMENT: Duration = Duration::from_nanos(1);

fn keys() -> PlaneKeys {
    PlaneKeys::new(&Secret::new([5; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
}

fn pair(now: Instant) -> (Sealer, Opener) {
    (Sealer::new(keys(), now), Opener::new(keys(), WINDOW))
}

#[derive(Debug, Clone)]
struct Datagram {
    epoch: u32,
    sequence: u32,
    sealed: Vec<u8>,
}

fn plaintext(epoch: u32, sequence: u32) -> Vec<u8> {
    [epoch.to_le_bytes(), sequence.to_le_bytes()].concat()
}

fn seal(sealer: &mut Sealer, now: Instant) -> Result<Datagram, SealError> {
    let ticket = sealer.reserve(now)?;
    let (epoch, sequence) = (ticket.epoch(), ticket.sequence());
    let plaintext = plaintext(epoch, sequence);
    let mut sealed = vec![0; plaintext.len() + TAG_BYTES];
    sealer.seal(ticket, AAD, &plaintext, 0, &mut sealed);
    Ok(Datagram { epoch, sequence, sealed })
}

/// Opens as if the header said `epoch_low`; checks the bytes when it opens.
fn open_as(opener: &mut Opener, epoch_low: u8, datagram: &Datagram, now: Instant) -> Result<(), OpenError> {
    let mut out = vec![0; datagram.sealed.len() - TAG_BYTES];
    opener.open(epoch_low, datagram.sequence, AAD, &datagram.sealed, &mut out, now)?;
    assert_eq!(out, plaintext(datagram.epoch, datagram.sequence));
    Ok(())
}

fn open(opener: &mut Opener, datagram: &Datagram, now: Instant) -> Result<(), OpenError> {
    open_as(opener, low(datagram.epoch), datagram, now)
}

fn low(epoch: u32) -> u8 {
    epoch.to_le_bytes()[0] & 3
}

/// Takes both ends from epoch n to n + 1, by age; returns the first datagram of n + 1, opened.
fn hand_over(sealer: &mut Sealer, opener: &mut Opener, now: &mut Instant) -> Datagram {
    let last = seal(sealer, *now).unwrap();
    assert_eq!(open(opener, &last, *now), Ok(()));
    sealer.handle_epoch_opened(opener.epoch_opened());
    *now += EPOCH_AGE_MAX;
    let first = seal(sealer, *now).unwrap();
    assert_eq!((first.epoch, first.sequence), (last.epoch + 1, 0));
    assert_eq!(open(opener, &first, *now), Ok(()));
    assert_eq!(opener.epoch_opened(), first.epoch);
    first
}

#[test]
fn a_sequence_that_no_epoch_has_is_refused_before_the_cipher() {
    let now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    let good = seal(&mut sealer, now).unwrap();
    for sequence in [SEQUENCES_PER_EPOCH_MAX, SEQUENCES_PER_EPOCH_MAX + 1, u32::MAX - 1, u32::MAX] {
        let datagram = Datagram { sequence, ..good.clone() };
        for bits in 0..4 {
            let refused = open_as(&mut opener, bits, &datagram, now);
            assert_eq!(refused, Err(OpenError::SequenceTooHigh { sequence }));
        }
    }
    let last = Datagram { sequence: SEQUENCES_PER_EPOCH_MAX - 1, ..good.clone() };
    let refused = open(&mut opener, &last, now);
    assert_eq!(
        refused,
        Err(OpenError::BadTag { sequence: SEQUENCES_PER_EPOCH_MAX - 1 }),
        "the cipher's to say"
    );
    assert_eq!(open(&mut opener, &good, now), Ok(()));
}

#[test]
fn sequences_count_up_from_zero_sent_or_not() {
    let now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    for sequence in 0..10 {
        let ticket = sealer.reserve(now).unwrap();
        assert_eq!((ticket.epoch(), ticket.sequence()), (0, 2 * sequence));
        drop(ticket);
        let datagram = seal(&mut sealer, now).unwrap();
        assert_eq!(datagram.sequence, 2 * sequence + 1);
        assert_eq!(open(&mut opener, &datagram, now), Ok(()));
    }
}

#[test]
fn a_used_up_key_seals_no_more_until_the_receiver_follows() {
    let now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    for sequence in 0..SEQUENCES_PER_EPOCH_MAX - 1 {
        assert_eq!(sealer.reserve(now).unwrap().sequence(), sequence);
    }
    let last = seal(&mut sealer, now).unwrap();
    assert_eq!((last.epoch, last.sequence), (0, SEQUENCES_PER_EPOCH_MAX - 1));
    for _ in 0..3 {
        assert_eq!(
            sealer.reserve(now).unwrap_err(),
            SealError::KeyExhausted { epoch: 0, sequences: SEQUENCES_PER_EPOCH_MAX }
        );
    }
    // A report of an epoch that has not begun is a lie and helps nothing.
    sealer.handle_epoch_opened(1);
    let later = now + EPOCH_AGE_MAX;
    assert_eq!(
        sealer.reserve(later).unwrap_err(),
        SealError::KeyExhausted { epoch: 0, sequences: SEQUENCES_PER_EPOCH_MAX }
    );
    assert_eq!(open(&mut opener, &last, later), Ok(()));
    sealer.handle_epoch_opened(opener.epoch_opened());
    let next = seal(&mut sealer, later).unwrap();
    assert_eq!((next.epoch, next.sequence), (1, 0));
    assert_eq!(open(&mut opener, &next, later), Ok(()));
}

#[test]
fn an_aged_epoch_ends_once_it_was_opened_and_goes_on_until_then() {
    let start = Instant::now();
    let (mut sealer, _) = pair(start);
    let due = start + EPOCH_AGE_MAX;
    assert_eq!(seal(&mut sealer, due - MOMENT).unwrap().epoch, 0);
    assert_eq!(seal(&mut sealer, due).unwrap().epoch, 0, "not reported opened: it goes on");
    assert_eq!(seal(&mut sealer, due + EPOCH_AGE_MAX).unwrap().sequence, 2);
    sealer.handle_epoch_opened(0);
    let begun = due + EPOCH_AGE_MAX;
    let first = seal(&mut sealer, begun).unwrap();
    assert_eq!((first.epoch, first.sequence), (1, 0));
    // The report of epoch 0 keeps coming; it says nothing of epoch 1, whose age counts from its own beginning.
    sealer.handle_epoch_opened(0);
    assert_eq!(seal(&mut sealer, begun + 2 * EPOCH_AGE_MAX).unwrap().epoch, 1);
    sealer.handle_epoch_opened(1);
    assert_eq!(seal(&mut sealer, begun + 2 * EPOCH_AGE_MAX).unwrap().epoch, 2);
    sealer.handle_epoch_opened(2);
    let second = begun + 2 * EPOCH_AGE_MAX;
    assert_eq!(seal(&mut sealer, second + EPOCH_AGE_MAX - MOMENT).unwrap().epoch, 2);
    assert_eq!(seal(&mut sealer, second + EPOCH_AGE_MAX).unwrap().epoch, 3);
}

#[test]
fn a_ticket_from_before_the_change_is_sealed_under_its_own_key() {
    let start = Instant::now();
    let (mut sealer, mut opener) = pair(start);
    sealer.handle_epoch_opened(0);
    let early = sealer.reserve(start).unwrap();
    let late = sealer.reserve(start + EPOCH_AGE_MAX).unwrap();
    assert_eq!((early.epoch(), late.epoch()), (0, 1));
    let mut sealed = [0; 8 + TAG_BYTES];
    sealer.seal(early, AAD, &plaintext(0, 0), 0, &mut sealed);
    let datagram = Datagram { epoch: 0, sequence: 0, sealed: sealed.to_vec() };
    assert_eq!(open(&mut opener, &datagram, start), Ok(()));
}

#[test]
#[should_panic(expected = "a ticket of epoch 0 in epoch 2")]
fn a_ticket_two_epochs_old_panics() {
    let start = Instant::now();
    let (mut sealer, _) = pair(start);
    let ticket = sealer.reserve(start).unwrap();
    for epoch in 0..2 {
        sealer.handle_epoch_opened(epoch);
        let _ = sealer.reserve(start + EPOCH_AGE_MAX * (epoch + 1)).unwrap();
    }
    sealer.seal(ticket, AAD, &[], 0, &mut [0; TAG_BYTES]);
}

#[test]
#[should_panic(expected = "a ticket of another sealer")]
fn a_ticket_of_another_plane_panics() {
    let now = Instant::now();
    let (mut sealer, _) = pair(now);
    let probe =
        PlaneKeys::new(&Secret::new([5; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Probe);
    let probe = Sealer::new(probe, now);
    let ticket = sealer.reserve(now).unwrap();
    probe.seal(ticket, AAD, &[], 0, &mut [0; TAG_BYTES]);
}

#[test]
fn the_epoch_before_is_opened_for_two_seconds() {
    let mut now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    let straggler = seal(&mut sealer, now).unwrap();
    let second = seal(&mut sealer, now).unwrap();
    let third = seal(&mut sealer, now).unwrap();
    hand_over(&mut sealer, &mut opener, &mut now);
    let until = now + PREVIOUS_EPOCH_GRACE;
    assert_eq!(open(&mut opener, &straggler, now), Ok(()));
    assert_eq!(open(&mut opener, &straggler, now), Err(OpenError::Replayed { sequence: 0 }));
    assert_eq!(open(&mut opener, &second, until - MOMENT), Ok(()));
    let gone = Err(OpenError::UnknownEpoch { epoch_low: 0, current: 1 });
    assert_eq!(open(&mut opener, &third, until), gone);
    assert_eq!(open(&mut opener, &third, now), gone, "gone is gone");
    assert_eq!(opener.epoch_opened(), 1);
}

/// A straggler of n − 1 does not prolong the grace, nor take the receiver back.
#[test]
fn the_grace_counts_from_the_first_datagram_of_the_new_epoch() {
    let mut now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    let old: Vec<_> = (0..5).map(|_| seal(&mut sealer, now).unwrap()).collect();
    hand_over(&mut sealer, &mut opener, &mut now);
    for (tenths, datagram) in [5, 10, 15, 19].into_iter().zip(&old) {
        assert_eq!(open(&mut opener, datagram, now + Duration::from_millis(100 * tenths)), Ok(()));
        assert_eq!(opener.epoch_opened(), 1);
    }
    let refused = open(&mut opener, &old[4], now + PREVIOUS_EPOCH_GRACE);
    assert_eq!(refused, Err(OpenError::UnknownEpoch { epoch_low: 0, current: 1 }));
}

/// The first datagrams of n + 1 come before the last of n, a lost one of n + 1 among them.
#[test]
fn a_handover_out_of_order_loses_nothing() {
    let start = Instant::now();
    let (mut sealer, mut opener) = pair(start);
    sealer.handle_epoch_opened(0);
    let old: Vec<_> = (0..20).map(|_| seal(&mut sealer, start).unwrap()).collect();
    let now = start + EPOCH_AGE_MAX;
    let new: Vec<_> = (0..20).map(|_| seal(&mut sealer, now).unwrap()).collect();
    assert!(old.iter().all(|datagram| datagram.epoch == 0) && new.iter().all(|datagram| datagram.epoch == 1));
    assert_eq!(open(&mut opener, &old[0], now), Ok(()));
    for (late, early) in old[1..].iter().rev().zip(new[1..].iter().rev()) {
        assert_eq!(open(&mut opener, early, now), Ok(()));
        assert_eq!(open(&mut opener, late, now), Ok(()));
    }
}

#[test]
fn a_replay_is_refused_in_every_epoch_that_is_held() {
    let mut now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    let mut seen: Vec<Datagram> = Vec::new();
    for epoch in 0..6 {
        for _ in 0..5 {
            let datagram = seal(&mut sealer, now).unwrap();
            assert_eq!(open(&mut opener, &datagram, now), Ok(()));
            seen.push(datagram);
        }
        for datagram in &seen {
            let refused = open(&mut opener, datagram, now).unwrap_err();
            if datagram.epoch + 1 >= epoch {
                assert_eq!(refused, OpenError::Replayed { sequence: datagram.sequence }, "{datagram:?}");
            } else {
                // Its bits may name another epoch's key, under which its tag is wrong.
                let unknown = OpenError::UnknownEpoch { epoch_low: low(datagram.epoch), current: epoch };
                let wrong = OpenError::BadTag { sequence: datagram.sequence };
                assert!(refused == unknown || refused == wrong, "{refused:?}");
            }
        }
        assert_eq!(opener.epoch_opened(), epoch);
        seen.push(hand_over(&mut sealer, &mut opener, &mut now));
    }
}

#[test]
fn forged_epoch_bits_open_nothing_and_move_nothing() {
    let mut now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    for epoch in 0..5 {
        let datagram = seal(&mut sealer, now).unwrap();
        let before = format!("{opener:?}");
        for bits in 0..=u8::MAX {
            if bits != low(epoch) {
                let refused = open_as(&mut opener, bits, &datagram, now).unwrap_err();
                assert!(
                    matches!(refused, OpenError::UnknownEpoch { .. } | OpenError::BadTag { .. }),
                    "{refused:?}"
                );
            }
        }
        assert_eq!(format!("{opener:?}"), before);
        assert_eq!(opener.epoch_opened(), epoch);
        assert_eq!(open(&mut opener, &datagram, now), Ok(()));
        hand_over(&mut sealer, &mut opener, &mut now);
    }
}

/// A forger shows every epoch and far sequences: the honest datagrams before and after still open.
#[test]
fn a_bad_tag_moves_neither_window_nor_epoch() {
    let mut now = Instant::now();
    let (mut sealer, mut opener) = pair(now);
    let held_back = seal(&mut sealer, now).unwrap();
    hand_over(&mut sealer, &mut opener, &mut now);
    let also_held_back = seal(&mut sealer, now).unwrap();
    let before = format!("{opener:?}");
    for epoch_low in 0..4 {
        for sequence in [0, 1, 2, 64, 1 << 22, (1 << 23) - 1, 1 << 23, u32::MAX] {
            let mut out = [0; 8];
            let forged = opener.open(epoch_low, sequence, AAD, &[0xCC; 8 + TAG_BYTES], &mut out, now);
            let expected = if sequence >= SEQUENCES_PER_EPOCH_MAX {
                OpenError::SequenceTooHigh { sequence }
            } else if epoch_low == 3 {
                OpenError::UnknownEpoch { epoch_low, current: 1 }
            } else {
                OpenError::BadTag { sequence }
            };
            assert_eq!(forged, Err(expected));
        }
    }
    assert_eq!(format!("{opener:?}"), before);
    assert_eq!(open(&mut opener, &held_back, now), Ok(()));
    assert_eq!(open(&mut opener, &also_held_back, now), Ok(()));
}

/// What can happen between a sender and a receiver.
#[derive(Debug, Clone)]
enum Step {
    Send,
    /// Deliver the datagram sent at this share of all that were sent, perhaps again.
    Deliver(prop::sample::Index),
    /// Deliver it with epoch bits of the forger's choice.
    Forge(prop::sample::Index, u8),
    Report,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Send),
        8 => any::<prop::sample::Index>().prop_map(Step::Deliver),
        2 => (any::<prop::sample::Index>(), 0_u8..4).prop_map(|(which, bits)| Step::Forge(which, bits)),
        2 => Just(Step::Report),
        2 => prop_oneof![0_u64..3_000, Just(600_000)].prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

/// The receiver's rules in the plainest words: a set of all that was opened, and the epochs by number.
#[derive(Default)]
struct Twin {
    epoch: u32,
    began: Option<Instant>,
    opened: BTreeSet<(u32, u32)>,
}

impl Twin {
    fn opens(&mut self, datagram: &Datagram, epoch_low: u8, now: Instant) -> bool {
        let in_grace = self.began.is_some_and(|began| now < began + PREVIOUS_EPOCH_GRACE);
        let held = datagram.epoch == self.epoch
            || datagram.epoch == self.epoch + 1
            || (in_grace && datagram.epoch + 1 == self.epoch);
        if !held || epoch_low != low(datagram.epoch) {
            return false;
        }
        if datagram.epoch > self.epoch {
            (self.epoch, self.began) = (datagram.epoch, Some(now));
        }
        let highest = self
            .opened
            .iter()
            .filter(|(epoch, _)| *epoch == datagram.epoch)
            .map(|(_, highest)| *highest)
            .max();
        let too_old = highest.is_some_and(|highest| highest >= datagram.sequence + WINDOW as u32);
        !too_old && self.opened.insert((datagram.epoch, datagram.sequence))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_agrees_with_the_rules(steps in steps()) {
        let mut now = Instant::now();
        let (mut sealer, mut opener) = pair(now);
        let (mut twin, mut sent) = (Twin::default(), Vec::new());
        for step in steps {
            match step {
                Step::Send => sent.push(seal(&mut sealer, now).unwrap()),
                Step::Deliver(which) if !sent.is_empty() => {
                    let datagram = which.get(&sent);
                    let opened = open(&mut opener, datagram, now);
                    let expected = twin.opens(datagram, low(datagram.epoch), now);
                    prop_assert_eq!(opened.is_ok(), expected, "{:?} {:?}", datagram, opened);
                }
                Step::Forge(which, bits) if !sent.is_empty() => {
                    let datagram = which.get(&sent);
                    let expected = twin.opens(datagram, bits, now);
                    prop_assert_eq!(open_as(&mut opener, bits, datagram, now).is_ok(), expected);
                }
                Step::Deliver(_) | Step::Forge(..) => {}
                Step::Report => sealer.handle_epoch_opened(opener.epoch_opened()),
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
            }
            prop_assert_eq!(opener.epoch_opened(), twin.epoch);
            // The sender is never more than the one epoch ahead that the receiver opens.
            prop_assert!(sealer.epoch() <= opener.epoch_opened() + 1);
        }
    }
}

/// What a history of few steps is made of. Indices count from the newest datagram back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Move {
    Send,
    Deliver(usize),
    DeliverFirst,
    Report,
    EndGrace,
}

const MOVES: [Move; 6] =
    [Move::Send, Move::Deliver(0), Move::Deliver(1), Move::DeliverFirst, Move::Report, Move::EndGrace];

/// Plays one history with epochs of `sequences_max` datagrams; returns the highest epoch that was opened.
fn play(moves: &[Move], sequences_max: u32, start: Instant) -> u32 {
    let mut now = start;
    let limits = EpochLimits::shorter(sequences_max, EPOCH_AGE_MAX);
    let (mut sealer, mut opener) = (Sealer::with_limits(keys(), limits, now), Opener::new(keys(), WINDOW));
    let (mut twin, mut sent, mut reported) = (Twin::default(), Vec::<Datagram>::new(), None);
    for step in moves {
        let delivered = match step {
            Move::Send => {
                let of_epoch = |epoch| sent.iter().filter(|sent| sent.epoch == epoch).count() as u32;
                let epoch = sealer.epoch();
                let used_up = of_epoch(epoch) == sequences_max;
                let expected = match (used_up, reported == Some(epoch)) {
                    (false, _) => Ok((epoch, of_epoch(epoch))),
                    (true, true) => Ok((epoch + 1, 0)),
                    (true, false) => Err(SealError::KeyExhausted { epoch, sequences: sequences_max }),
                };
                let came = seal(&mut sealer, now);
                assert_eq!(came.as_ref().map(|sent| (sent.epoch, sent.sequence)), expected.as_ref().copied());
                sent.extend(came);
                continue;
            }
            Move::Deliver(back) => sent.iter().nth_back(*back),
            Move::DeliverFirst => sent.first(),
            Move::Report => {
                reported = Some(opener.epoch_opened());
                sealer.handle_epoch_opened(opener.epoch_opened());
                continue;
            }
            Move::EndGrace => {
                now += PREVIOUS_EPOCH_GRACE;
                continue;
            }
        };
        let Some(datagram) = delivered else { continue };
        let opened = open(&mut opener, datagram, now).is_ok();
        assert_eq!(opened, twin.opens(datagram, low(datagram.epoch), now), "{moves:?}");
        assert_eq!(opener.epoch_opened(), twin.epoch, "{moves:?}");
    }
    opener.epoch_opened()
}

/// Every history of eight moves whose first is a datagram, with epochs of one datagram and of two.
#[test]
fn every_short_history_agrees_with_the_rules() {
    const LENGTH: u32 = 8;
    let start = Instant::now();
    let mut highest = 0;
    for sequences_max in [1, 2] {
        for number in 0..(MOVES.len() as u32).pow(LENGTH - 1) {
            let mut moves = [Move::Send; LENGTH as usize];
            let mut rest = number as usize;
            for step in &mut moves[1..] {
                *step = MOVES[rest % MOVES.len()];
                rest /= MOVES.len();
            }
            highest = highest.max(play(&moves, sequences_max, start));
        }
    }
    assert!(highest >= 2, "a history goes through three epochs: {highest}");
}

#[test]
fn epochs_are_made_shorter_and_never_longer() {
    let hour = Duration::from_secs(3_600);
    let longest = EpochLimits::shorter(u32::MAX, hour);
    assert_eq!(longest, EpochLimits::default());
    assert_eq!((longest.sequences_max(), longest.age_max()), (SEQUENCES_PER_EPOCH_MAX, EPOCH_AGE_MAX));
    let shortest = EpochLimits::shorter(0, Duration::ZERO);
    assert_eq!((shortest.sequences_max(), shortest.age_max()), (1, Duration::ZERO));
}
