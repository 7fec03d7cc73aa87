//! The window's ring of bits against a set of everything that was seen.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use punktfunk_seal::{REPLAY_WINDOW_MAX, ReplayWindow, Verdict};
use std::collections::BTreeSet;

/// The rule in one line each.
#[derive(Debug, Default, Clone)]
struct Naive {
    seen: BTreeSet<u32>,
}

impl Naive {
    fn admit(&mut self, sequence: u32, window: usize) -> Verdict {
        match self.seen.last().copied() {
            Some(highest) if u64::from(sequence) + window as u64 <= u64::from(highest) => {
                Verdict::TooOld { highest }
            }
            _ if self.seen.insert(sequence) => Verdict::Fresh,
            _ => Verdict::Replayed,
        }
    }
}

/// Sequences as a network gives them: mostly onward, some back, some far ahead, from anywhere in the numbers.
fn sequences() -> impl Strategy<Value = Vec<u32>> {
    let step = prop_oneof![
        10 => Just(1_i64),
        6 => -80_i64..80,
        2 => -600_i64..600,
        1 => -5_000_i64..5_000,
        1 => 0_i64..1 << 24,
    ];
    let start = prop_oneof![Just(0_u32), 0_u32..1 << 23, any::<u32>()];
    (start, prop::collection::vec(step, 1..600)).prop_map(|(start, steps)| {
        let mut at = i64::from(start);
        let walk = steps.into_iter().map(|step| {
            at = (at + step).clamp(0, i64::from(u32::MAX));
            u32::try_from(at).unwrap()
        });
        walk.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn agrees_with_the_set(sequences in sequences(), power in 6_u32..11) {
        let bits = 1_usize << power;
        let (mut window, mut naive) = (ReplayWindow::new(bits), Naive::default());
        prop_assert_eq!(window.len(), bits);
        for sequence in sequences {
            prop_assert_eq!(window.admit(sequence), naive.admit(sequence, bits), "sequence {}", sequence);
            prop_assert_eq!(window.highest(), naive.seen.last().copied());
        }
        window.clear();
        prop_assert_eq!(window.highest(), None);
        prop_assert_eq!(window.admit(3), Verdict::Fresh);
        prop_assert_eq!(window.admit(2), Verdict::Fresh, "a cleared window has forgotten");
    }
}

/// Each history of up to `left` more of `sequences`.
fn explore(window: &ReplayWindow, naive: &Naive, sequences: &[u32], left: usize) -> u64 {
    if left == 0 {
        return 0;
    }
    let mut histories = 0;
    for &sequence in sequences {
        let (mut window, mut naive) = (window.clone(), naive.clone());
        let bits = window.len();
        assert_eq!(window.admit(sequence), naive.admit(sequence, bits), "{sequence} after {naive:?}");
        assert_eq!(window.highest(), naive.seen.last().copied());
        histories += 1 + explore(&window, &naive, sequences, left - 1);
    }
    histories
}

/// Every short history of the smallest windows, over sequences at all edges: of a word, of the window, of the numbers.
#[test]
fn every_short_history_agrees_with_the_set() {
    for bits in [64_u32, 128] {
        let near = [0, 1, 63, 64, 65, bits - 1, bits, bits + 1, 2 * bits - 1, 2 * bits, 3 * bits];
        for base in [0, 1 << 22, u32::MAX - 3 * bits] {
            let sequences = near.map(|offset| base + offset);
            let window = ReplayWindow::new(bits as usize);
            assert!(explore(&window, &Naive::default(), &sequences, 5) > 100_000);
        }
    }
}

#[test]
fn the_edges_of_the_window() {
    let mut window = ReplayWindow::new(64);
    assert_eq!(window.admit(100), Verdict::Fresh);
    assert_eq!(window.admit(37), Verdict::Fresh, "the oldest that the window knows");
    assert_eq!(window.admit(36), Verdict::TooOld { highest: 100 });
    assert_eq!(window.admit(101), Verdict::Fresh, "shares a bit with 37, which it pushes out");
    assert_eq!(window.admit(37), Verdict::TooOld { highest: 101 });
    assert_eq!(window.admit(100), Verdict::Replayed);
    assert_eq!(window.admit(u32::MAX), Verdict::Fresh);
    assert_eq!(window.admit(u32::MAX), Verdict::Replayed);
    assert_eq!(window.admit(u32::MAX - 63), Verdict::Fresh);
    assert_eq!(window.admit(u32::MAX - 64), Verdict::TooOld { highest: u32::MAX });
}

#[test]
fn a_size_is_rounded_up_and_bounded() {
    for (asked, given) in
        [(0, 64), (1, 64), (64, 64), (65, 128), (60_000, 65_536), (usize::MAX, REPLAY_WINDOW_MAX)]
    {
        assert_eq!(ReplayWindow::new(asked).len(), given);
    }
}
